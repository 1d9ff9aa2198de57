"""What a process can do to lock itself in: namespaces, an own disk, no rights, limits, a filter.

Linux only, and only what Python's own modules lack: Python 3.11 has neither `unshare` nor `mount`.
Each step can be taken once and never be undone.
"""

import ctypes
import errno
import fcntl
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from coursekit.grading.limits import Limits
from coursekit.grading.sandbox import seccomp

__all__ = [
    "DISK",
    "HOME",
    "TEMPORARY",
    "WORK",
    "become_first",
    "die_with_parent",
    "drop_user",
    "enter_process_namespace",
    "filter_calls",
    "fork_into_namespaces",
    "give_up_rights",
    "hide",
    "is_privileged",
    "keep_mounts",
    "limit",
    "limit_processes",
    "make_disk",
    "map_user",
    "raise_loopback",
    "show_own_processes",
]

# The disk of a submission, and where it works on it, inside the sandbox.
DISK = Path("/student")
HOME, WORK, TEMPORARY = DISK / "home", DISK / "work", DISK / "tmp"

# Files that fit on the disk: each takes memory that no other limit counts.
_BYTES_PER_FILE = 8192
_CPU_GRACE = 30

_NEW_MOUNTS, _NEW_HOST_NAME, _NEW_IPC = 0x00020000, 0x04000000, 0x08000000
_NEW_USERS, _NEW_PROCESSES, _NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
# Number of the system call.
_CLONE = {"x86_64": 56, "aarch64": 220}
_OTHERS = _NEW_IPC | _NEW_NETWORK | _NEW_HOST_NAME
_NO_SETUID, _NO_DEVICES, _NO_PROGRAMS = 0x2, 0x4, 0x8
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000

_SET_DEATH_SIGNAL, _SET_DUMPABLE, _SET_SECCOMP = 1, 4, 22
_DROP_BOUNDING, _NO_NEW_RIGHTS, _AMBIENT, _AMBIENT_CLEAR = 24, 38, 47, 4
_MAY_MOUNT = 21  # CAP_SYS_ADMIN
_FILTER = 2  # SECCOMP_MODE_FILTER
_RIGHTS_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3

_libc = ctypes.CDLL(None, use_errno=True)
_python = ctypes.PyDLL(None, use_errno=True)  # Which keeps the lock of the interpreter.


def die_with_parent(parent: int) -> None:
    """End at once when the parent ends, however it ends.

    Args:
        parent: Its process id: it may have ended before this call.
    """
    if sys.platform == "linux":
        _call("prctl", _SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def hide(hidden: bool = True) -> None:
    """Hide the memory of this process from all others of its user, or show it again."""
    if sys.platform == "linux":
        _call("prctl", _SET_DUMPABLE, int(not hidden), 0, 0, 0)


def drop_user(user: int) -> None:
    """Turn from root into a user without a name, groups or rights."""
    _drop_bounding()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def is_privileged() -> bool:
    """Whether this process is root with the right to mount: it needs no user namespace."""
    status = Path("/proc/self/status").read_text()
    rights = int(status.partition("CapEff:")[2].split()[0], 16)
    return os.geteuid() == 0 and bool(rights >> _MAY_MOUNT & 1)


def fork_into_namespaces() -> int:
    """Copy this process as `os.fork` does; the copy is the first process of fresh namespaces.

    `unshare` would need one more copy, for it moves only the next child into a new process
    namespace; and to copy all that is imported is half of what a job costs. So this does what
    `os.fork` does around its system call. It knows of no threads: there must be none. The copy is
    nobody until it calls `map_user`.

    Returns:
        The process id of the copy; 0 in the copy.

    Raises:
        OSError: The kernel does not allow it.
    """
    flags = _NEW_USERS | _NEW_PROCESSES | _NEW_MOUNTS | _OTHERS | signal.SIGCHLD
    number = _CLONE.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"no sandbox on {platform.machine()}")
    _python.PyOS_BeforeFork()
    process = _python.syscall(number, ctypes.c_ulong(flags), None, None, None, None)
    reason = ctypes.get_errno()
    if process == 0:
        _python.PyOS_AfterFork_Child()
    else:
        _python.PyOS_AfterFork_Parent()
    if process == -1:
        raise OSError(reason, f"clone: {os.strerror(reason)}")
    return int(process)


def enter_process_namespace() -> None:
    """Let the next child be the first process of a namespace: all in it end with that child.

    Raises:
        OSError: The kernel does not allow it.
    """
    namespaces = _NEW_PROCESSES | _NEW_MOUNTS | (0 if is_privileged() else _NEW_USERS)
    user, group = os.getuid(), os.getgid()
    _call("unshare", namespaces)
    if namespaces & _NEW_USERS:
        map_user(user, group)
    keep_mounts()


def map_user(user: int, group: int) -> None:
    """Be in a new user namespace who one was; a user without rights may map nobody else."""
    hide(False)  # Hidden, a process may not even write its own map.
    Path("/proc/self/setgroups").write_text("deny")  # Else not even that.
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def keep_mounts() -> None:
    """Let nothing that is mounted here be seen outside of this mount namespace."""
    _call("mount", None, b"/", None, _RECURSIVE | _PRIVATE, None)


def show_own_processes() -> None:
    """Make `/proc` show the processes of this process namespace, by their numbers in it."""
    flags = _NO_SETUID | _NO_DEVICES | _NO_PROGRAMS
    _call("mount", b"proc", b"/proc", b"proc", flags, None)


def make_disk(limits: Limits, places: Sequence[str]) -> None:
    """Give this mount namespace an empty disk of its own, and work there.

    Args:
        limits: How large it is.
        places: Other folders that can be written: they lie on the same disk, so that one limit
            holds for all.
    """
    size = limits.disk_bytes
    options = f"size={size},nr_inodes={size // _BYTES_PER_FILE},mode=755"
    flags = _NO_SETUID | _NO_DEVICES
    _call("mount", b"tmpfs", os.fsencode(DISK), b"tmpfs", flags, options.encode())
    for folder in {HOME, WORK, TEMPORARY, *(DISK / Path(place).name for place in places)}:
        folder.mkdir()
    for place in places:
        folder = DISK / Path(place).name
        _call("mount", os.fsencode(folder), os.fsencode(place), None, _BIND, None)
    os.chdir(WORK)


def become_first() -> None:
    """Let `/proc/1` show this process, as it is called in its own process namespace.

    Else the first process of the sandbox stood there, which serves all jobs. Where nobody is root
    it is of their user, so that one job could tell the kernel to end it when memory runs out.
    """
    own = Path("/proc") / Path("/proc/self").readlink()
    _call("mount", os.fsencode(own), b"/proc/1", None, _BIND, None)


def raise_loopback() -> None:
    """Let the processes of this network namespace talk with each other."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", 0x1)  # IFF_UP
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


def limit(limits: Limits) -> None:
    """Set what the kernel counts per process; children inherit it."""
    cpu = int(limits.notebook_seconds) + _CPU_GRACE
    numbers = {
        resource.RLIMIT_DATA: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NOFILE: limits.files,
        resource.RLIMIT_CPU: cpu,
        # Where the system hands core files to a program, it asks for none only at exactly 1 byte.
        resource.RLIMIT_CORE: 1,
    }
    if sys.platform == "linux":
        numbers |= {resource.RLIMIT_MEMLOCK: 0, resource.RLIMIT_MSGQUEUE: 0}
        # Where the whole machine runs out of memory, this is the first to go.
        Path("/proc/self/oom_score_adj").write_text("1000")
    for kind, number in numbers.items():
        _, hard = resource.getrlimit(kind)
        bound = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(kind, (bound, bound))


def limit_processes(limits: Limits) -> None:
    """Bound processes and threads, as counted in this user namespace."""
    resource.setrlimit(resource.RLIMIT_NPROC, (limits.processes, limits.processes))


def give_up_rights() -> None:
    """Lose every capability, for good."""
    _drop_bounding()
    _call("prctl", _AMBIENT, _AMBIENT_CLEAR, 0, 0, 0)
    header = struct.pack("=Ii", _RIGHTS_VERSION, 0)
    _call("capset", header, bytes(24))
    _call("prctl", _NO_NEW_RIGHTS, 1, 0, 0, 0)


def filter_calls() -> None:
    """Install the filter of system calls, which needs that no rights can come back."""
    lines = ctypes.create_string_buffer(seccomp.program())
    # `struct sock_fprog`: how many lines, and where. The buffer has a zero more at its end.
    program = struct.pack("@HP", len(lines) // 8, ctypes.addressof(lines))
    _call("prctl", _SET_SECCOMP, _FILTER, program, 0, 0)


def _drop_bounding() -> None:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for right in range(last + 1):
        _call("prctl", _DROP_BOUNDING, right, 0, 0, 0)


def _call(name: str, *arguments: int | bytes | None) -> None:
    """Call a function of the C library, which says -1 where it fails."""
    words = [ctypes.c_ulong(one) if isinstance(one, int) else one for one in arguments]
    if getattr(_libc, name)(*words) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
