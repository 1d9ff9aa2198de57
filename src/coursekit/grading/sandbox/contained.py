"""A process namespace around whatever one process starts: all of it ends together.

The first process of a namespace takes every other one with it when it ends, however it ends: the
kernel sees to that. So no moment is left, not even while a sandbox is being made, in which the
death of one process could leave another behind.

    python -m coursekit.grading.sandbox.contained PROCESS PROGRAM ARGUMENTS…

runs a program in this way, and ends it with the process of that number, which started it.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

from coursekit.grading.sandbox import confinement

__all__ = ["contain", "contained_command"]


def contained_command() -> list[str]:
    """Begin a command that this process starts and that is to end with it."""
    return [sys.executable, "-m", __name__, str(os.getpid())]


def contain(starter: int, at_end: Callable[[], None] = lambda: None) -> None:
    """Go on as the first process of a namespace of its own, which ends with who started it.

    Args:
        starter: Process id of the parent: it may have ended already.
        at_end: Called outside the namespace when nothing runs in it any more.

    Raises:
        OSError: The kernel does not allow it.
    """
    # Ctrl-C goes to all processes of a terminal; what follows from it is for the starter to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watched = os.pidfd_open(starter)
    if os.getppid() != starter:
        os._exit(1)
    confinement.enter_process_namespace()
    lifeline, held = os.pipe()
    process = os.fork()
    if process:
        os.close(lifeline)
        _stand_by(watched, process, at_end)
    os.close(held)
    os.close(watched)
    confinement.die_with_parent(0)  # From inside, the parent has no number.
    if select.select([lifeline], [], [], 0)[0]:
        os._exit(1)  # It ended before this process was bound to it.
    confinement.show_own_processes()
    if not confinement.is_privileged():
        confinement.give_up_rights()


def _stand_by(starter: int, process: int, at_end: Callable[[], None]) -> None:
    """Wait outside the namespace for the end of either side, and end the other."""
    select.select([starter, os.pidfd_open(process)], [], [])
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    at_end()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def main() -> None:
    """Run a program, and end with its status."""
    contain(int(sys.argv[1]))
    # What it was given of open files is for the program.
    sys.exit(subprocess.run(sys.argv[2:], check=False, close_fds=False).returncode)


if __name__ == "__main__":
    main()
