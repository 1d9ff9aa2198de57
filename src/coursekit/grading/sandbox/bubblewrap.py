"""The sandbox: what a submission sees of the computer, as a command line of bubblewrap.

It sees the system's programs and libraries, this Python with its packages, and the parts of this
repository that a notebook may import, all read-only; no network, no other process, no file of the
instructor's. Never is anything graded outside of it without being told to.
"""

import functools
import importlib.util
import os
import platform
import re
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

from coursekit.errors import CourseError
from coursekit.grading.imports import imported
from coursekit.grading.limits import Limits
from coursekit.grading.sandbox import confinement, seccomp
from coursekit.grading.sandbox.contained import contained_command

__all__ = [
    "check",
    "environment",
    "mend",
    "open_environment",
    "options",
    "places",
    "reproducible",
    "require",
    "start",
    "unprivileged_user",
]

# What a notebook may import of this repository. Of the other rooms of `largemodels` only the door
# is there: it says that the reference cannot be imported while your work is graded.
_VISIBLE = (
    "__init__.py",
    "_grading.py",
    "check",
    "data",
    "plots",
    "scratch/__init__.py",
    "models/__init__.py",
    "training/__init__.py",
    "trust/__init__.py",
    "economics/__init__.py",
)
# What the sandbox itself runs, with what that imports.
_PROGRAMS = ("sandbox.zygote", "split.agent")
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/localtime")
_PARTS = ("bin", "lib", "lib64", "include", "share", "pyvenv.cfg")
# Users that no system gives to anybody: systemd's ranges begin right behind them.
_FIRST_USER, _USERS = 61000, 184
_KERNEL = (5, 14)  # Counts processes by user namespace, so that one submission has its own number.


def unprivileged_user() -> int:
    """Whom root becomes in the sandbox; 0 where this process is not root."""
    return _FIRST_USER + secrets.randbelow(_USERS) if confinement.is_privileged() else 0


def environment() -> dict[str, str]:
    """All variables of a submission, and nothing of the instructor's."""
    return {
        "HOME": str(confinement.HOME),
        "USER": "student",
        "LOGNAME": "student",
        "PATH": f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TMPDIR": str(confinement.TEMPORARY),
        "IPYTHONDIR": str(confinement.HOME / ".ipython"),
        **_settings(),
    }


def open_environment() -> dict[str, str]:
    """All variables of a submission that is not locked in: the instructor's, but for the secret."""
    own = {name: value for name, value in os.environ.items() if name != "COURSE_SECRET"}
    return own | _settings()


def _settings() -> dict[str, str]:
    settings = {
        "MPLBACKEND": "agg",
        # A copied process has one thread. A folder named `numpy` must not stand in for NumPy.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        # There is no network: `!pip install` need not look for one.
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    return settings | reproducible()


def reproducible() -> dict[str, str]:
    """Variables that checker and submission share, so that both see the same data."""
    return {
        "LARGEMODELS_OFFLINE": "1",
        "LARGEMODELS_DATA": str(_data_folder()),
        "NBGRADER_EXECUTION": "autograde",
    }


def options(
    limits: Limits, *, variables: Mapping[str, str] | None = None, extra: Iterable[str] = ()
) -> list[str]:
    """Give the options with which bubblewrap makes the sandbox.

    Args:
        limits: How large each folder is that can be written.
        variables: Variables on top of those of `environment`.
        extra: More options, e.g. for a folder that is shared.
    """
    words = ["--die-with-parent", "--new-session", "--clearenv", "--hostname", "grader"]
    words += ["--unshare-pid", "--unshare-ipc", "--unshare-net", "--unshare-uts"]
    words += ["--unshare-cgroup-try"]
    if not confinement.is_privileged():
        words += ["--unshare-user", "--cap-drop", "ALL"]
    words += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"]
    # A shared mapping of it would be memory that no limit counts.
    words += ["--dev-bind", "/dev/null", "/dev/zero"]
    writable = [*places(), str(confinement.DISK)]
    words += ["--tmpfs", "/tmp", *_files(), *extra]
    for folder in writable:
        words += ["--perms", "1777", "--size", str(limits.disk_bytes), "--tmpfs", folder]
    # What bubblewrap made as it went could be written by its own user.
    for folder in {"/tmp", "/dev", "/"} - set(writable):
        words += ["--remount-ro", folder]
    words += ["--chdir", "/"]
    for name, value in {**environment(), **(variables or {})}.items():
        words += ["--setenv", name, value]
    return words


def start(
    program: Sequence[str],
    words: Sequence[str],
    *,
    around: Sequence[str] = (),
    inherited: Sequence[int] = (),
    **streams: Any,
) -> Popen[Any]:
    """Run a program in the sandbox; it ends with this process.

    Args:
        program: What to run.
        words: What `options` gave. They go through a file without a name: what stands in a command
            line can be read by every process, also by those in the sandbox.
        around: Begins the command, for what is to be around the sandbox.
        inherited: Open files that the program gets.
        streams: What `subprocess.Popen` is to do with its streams.
    """
    with os.fdopen(os.memfd_create("arguments"), "w+b") as file:
        file.write(b"".join(os.fsencode(word) + b"\0" for word in words))
        file.seek(0)
        descriptor = file.fileno()
        return Popen(
            [*around, "bwrap", "--args", str(descriptor), "--", *program],
            pass_fds=[descriptor, *inherited],
            **streams,
        )


def places() -> list[str]:
    """Folders beside its home that a submission may write: not where something else lies there."""
    needed = {word for word in _files() if word.startswith("/tmp/")}
    return ["/dev/shm"] if needed else ["/dev/shm", "/tmp"]


def _files() -> Iterator[str]:
    """Files and folders that can be read."""
    yield from ("--ro-bind", "/usr", "/usr")
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), name)
        elif path.exists():
            yield from ("--ro-bind", name, name)
    for name in _SETTINGS:
        yield from _show(Path(name))
    yield from _python()
    yield from _own_packages()
    yield from _show(_data_folder())


def _show(path: Path) -> Iterator[str]:
    """One file or folder, if it can be read; all may pass through the folders above it."""
    if os.access(path, os.R_OK):
        for folder in reversed(path.parents[:-1]):
            yield from ("--perms", "0755", "--dir", str(folder))
        yield from ("--ro-bind", str(path), str(path))


def _python() -> Iterator[str]:
    """Python and its packages: parts of the folders, for somebody's home may be one of them."""
    folders = {sys.base_prefix, sys.prefix, sys.base_exec_prefix, sys.exec_prefix}
    for folder in sorted(folder for folder in folders if not _is_system(Path(folder))):
        for part in _PARTS:
            yield from _show(Path(folder, part))
    # The program may be a chain of links through more folders.
    program = Path(sys.executable)
    while program.is_symlink():
        program = Path(os.path.normpath(program.parent / program.readlink()))
        known = _is_system(program) or str(program.parent.parent) in folders
        if program.is_symlink() and not known:
            yield from ("--symlink", str(program.readlink()), str(program))


def _is_system(path: Path) -> bool:
    return path.is_relative_to("/usr")


def _own_packages() -> Iterator[str]:
    """The visible parts of this repository; the rest of its packages is covered."""
    tools = [f"grading/{file}" for file in sorted(imported(*_PROGRAMS))]
    visible = {
        "largemodels": _VISIBLE,
        "coursekit": ("__init__.py", "errors.py", *tools),
    }
    for package, parts in visible.items():
        root = _folder(package)
        yield from ("--tmpfs", str(root))
        for name in parts:
            yield from _show(root / name)
            if name.endswith(".py"):
                yield from _show(Path(importlib.util.cache_from_source(str(root / name))))
        yield from ("--remount-ro", str(root))
        if package == "largemodels":
            yield from _pages(root.parents[1])


def _pages(repository: Path) -> Iterator[str]:
    """The pages of the book, which are the offline sample of a text data set."""
    book, project = repository / "book", repository / "pyproject.toml"
    if project.is_file() and book.is_dir():
        yield from _show(project)
        for path in sorted(book.iterdir()):
            if path.name[0] not in "._" and path.name != "assets":
                yield from _show(path)


def _folder(package: str) -> Path:
    specification = importlib.util.find_spec(package)
    if specification is None or not specification.origin:
        raise CourseError(f"the Python package `{package}` is not installed; install it again.")
    return Path(specification.origin).parent


def _data_folder() -> Path:
    from largemodels.data.cache import data_folder

    return data_folder().absolute()


def require() -> None:
    """Make sure that this computer can have the sandbox at all.

    Raises:
        CourseError: It cannot; with the mend.
    """
    if sys.platform != "linux":
        raise CourseError(
            f"the sandbox needs Linux, and this is {platform.system()}; grade in a virtual machine "
            "or WSL, or, if you trust every student, with `--trust-submissions`."
        )
    release = platform.release()
    if tuple(map(int, re.findall(r"\d+", release)[:2])) < _KERNEL:
        raise CourseError(f"the sandbox needs Linux 5.14 or newer, and this is {release}; update.")
    if platform.machine() not in seccomp.MACHINES:
        raise CourseError(
            f"the sandbox knows {' and '.join(seccomp.MACHINES)}, and this is "
            f"{platform.machine()}; grade on such a computer."
        )
    if os.geteuid() == 0 and not confinement.is_privileged():
        raise CourseError(
            "this root lacks the right to mount (CAP_SYS_ADMIN), so it cannot make a sandbox; "
            "grade as an ordinary user."
        )
    if not shutil.which("bwrap"):
        raise CourseError(
            "bubblewrap is not installed, and nothing is graded outside a sandbox; install it: "
            "`apt install bubblewrap`."
        )


@functools.cache
def check() -> None:
    """Make sure that the sandbox works here, by locking a process in.

    Raises:
        CourseError: It does not; with the mend.
    """
    require()
    zygote = [sys.executable, "-m", "coursekit.grading.sandbox.zygote"]
    program = [*zygote, "--try", str(unprivileged_user()), *places()]
    outlets: dict[str, Any] = {"stdout": DEVNULL, "stderr": PIPE, "text": True}
    with start(program, options(Limits()), around=contained_command(), **outlets) as process:
        _, said = process.communicate(timeout=60)
    if process.returncode:
        raise CourseError(mend(said))


def mend(message: str) -> str:
    """Say why the sandbox does not work, and what to do."""
    lines = message.strip().splitlines()
    reason = lines[-1] if lines else "no reason given"
    start = f"the sandbox does not work here ({reason}); "
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return start + (
            "Ubuntu forbids user namespaces: allow them with "
            "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`."
        )
    if _setting("kernel/unprivileged_userns_clone") == "0":
        return start + "allow user namespaces: `sudo sysctl kernel.unprivileged_userns_clone=1`."
    if _setting("user/max_user_namespaces") == "0":
        return start + "allow user namespaces: `sudo sysctl user.max_user_namespaces=10000`."
    return start + (
        "user namespaces must be allowed and `/proc` be whole: start a container with "
        "`--security-opt seccomp=unconfined --security-opt systempaths=unconfined`."
    )


def _setting(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""
