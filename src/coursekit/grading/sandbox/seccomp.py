"""System calls that a submission may not make: a small program for the kernel's filter.

Namespaces, limits and the lack of rights hold without it. It shuts what they leave open: memory
that nobody counts (`memfd_create`, System V shared memory), namespaces inside the namespace, rare
parts of the kernel that had most of its holes, and sockets that no network namespace holds back.
Everything else is allowed, so that honest libraries run.
"""

import errno
import functools
import platform
import struct
from dataclasses import dataclass

__all__ = ["MACHINES", "program"]

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_IF_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_KILL = 0x80000000  # SECCOMP_RET_KILL_PROCESS
_ALLOW = 0x7FFF0000  # SECCOMP_RET_ALLOW
_ERROR = 0x00050000  # SECCOMP_RET_ERRNO

# Where `struct seccomp_data` has the number of the call, the architecture, and the low words of
# the arguments.
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND, _THIRD, _FOURTH = 0, 4, 16, 24, 32, 40

_X32 = 0x40000000  # Set in the numbers of a second set of calls, which would pass by the filter.
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET
_FAKE_INPUT, _FAKE_SELECTION = 0x5412, 0x541C  # TIOCSTI, TIOCLINUX
# MAP_ANONYMOUS, MAP_SHARED: together they give memory that stays when no process maps it any more.
_ANONYMOUS, _SHARED = 0x20, 0x01
# AF_UNIX, AF_INET, AF_INET6: the network namespace is empty. AF_VSOCK, for one, is in none.
_FAMILIES = (1, 2, 10)
_NETLINK, _ROUTE = 16, 0  # Of this one only what lists the interfaces, which ZeroMQ asks for.


@dataclass(frozen=True)
class _Machine:
    """An architecture: its number in the kernel, and which column of the tables is its own."""

    audit: int
    column: int


MACHINES = {"x86_64": _Machine(0xC000003E, 0), "aarch64": _Machine(0xC00000B7, 1)}

# Numbers of the calls on x86_64 and aarch64; None where there is no such call.
_CLONE, _CLONE3, _IOCTL, _MMAP = (56, 220), (435, 435), (16, 29), (9, 222)
_SOCKET, _SOCKETPAIR = (41, 198), (53, 199)
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # Namespaces and mounts.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    # Other processes.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # Memory and messages that outlive their process, or that no limit counts.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "vmsplice": (278, 75),
    # Rare parts of the kernel.
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    # The machine as a whole.
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "syslog": (103, 116),
    "iopl": (172, None),
    "ioperm": (173, None),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "vhangup": (153, 58),
}


@functools.cache
def program(machine: str = "") -> bytes:
    """Give the filter as the kernel reads it: an array of `struct sock_filter`.

    Args:
        machine: What `uname -m` says; by default of this computer.

    Raises:
        ValueError: The numbers of the calls of this machine are not known here.
    """
    name = machine or platform.machine()
    if name not in MACHINES:
        raise ValueError(f"`machine` (={name}) must be one of {', '.join(MACHINES)}.")
    this = MACHINES[name]
    refused = _return(_ERROR | errno.EPERM)
    # A program of another machine would mean other calls by the same numbers: it ends.
    lines = [
        _load(_ARCHITECTURE),
        _if(_IF_EQUAL, this.audit, yes=1),
        _return(_KILL),
        _load(_NUMBER),
    ]
    if name == "x86_64":
        lines += [_if(_IF_AT_LEAST, _X32, no=1), _return(_KILL)]
    denied = [call[this.column] for call in _DENIED.values()]
    numbers = [number for number in denied if number is not None]
    # All of them jump to one line behind them, and what is none of them jumps over it.
    lines += [
        _if(_IF_EQUAL, number, yes=len(numbers) - 1 - place, no=int(place == len(numbers) - 1))
        for place, number in enumerate(numbers)
    ]
    lines.append(refused)
    # Its flags lie in memory, where no filter looks. Where it is missing, glibc takes `clone`.
    missing = _return(_ERROR | errno.ENOSYS)
    lines += [_if(_IF_EQUAL, _CLONE3[this.column], no=1), missing]
    lines += _where(_CLONE[this.column], _FIRST, [_if(_IF_ANY_BIT, _NEW_NAMESPACES, no=1), refused])
    fakes = [_if(_IF_EQUAL, _FAKE_INPUT, yes=1), _if(_IF_EQUAL, _FAKE_SELECTION, no=1), refused]
    lines += _where(_IOCTL[this.column], _SECOND, fakes)
    shared = [_if(_IF_ANY_BIT, _ANONYMOUS, no=2), _if(_IF_ANY_BIT, _SHARED, no=1), refused]
    lines += _where(_MMAP[this.column], _FOURTH, shared)
    for socket in (_SOCKET, _SOCKETPAIR):
        known = [
            _if(_IF_EQUAL, family, yes=len(_FAMILIES) - place + 3)
            for place, family in enumerate(_FAMILIES)
        ]
        unknown = _return(_ERROR | errno.EAFNOSUPPORT)
        other = [_if(_IF_EQUAL, _NETLINK, no=2), _load(_THIRD), _if(_IF_EQUAL, _ROUTE, yes=1)]
        lines += _where(socket[this.column], _FIRST, [*known, *other, unknown])
    return b"".join([*lines, _return(_ALLOW)])


def _where(number: int, argument: int, lines: list[bytes]) -> list[bytes]:
    """Lines that look at an argument of one call."""
    lines = [_load(argument), *lines, _load(_NUMBER)]
    return [_if(_IF_EQUAL, number, no=len(lines)), *lines]


def _load(offset: int) -> bytes:
    return _line(_LOAD_WORD, offset)


def _if(comparison: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """Compare what was loaded, and skip so many lines."""
    return _line(comparison, value, yes, no)


def _return(action: int) -> bytes:
    return _line(_RETURN, action)


def _line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
