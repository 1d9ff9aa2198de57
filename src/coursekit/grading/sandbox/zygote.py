"""The first program in the sandbox: it imports, stays warm, and never computes.

A job is a copy of it: `fork` costs milliseconds where imports cost seconds. A copy is whole only if
one thread runs, which is looked at before each. A job enters namespaces of its own, so that
nothing of it is left when its first process ends, which the kernel sees to.

Messages on the control channel are JSON, one a packet. It gets what is in `Setup`; lists of modules
to import, of which an empty one is the last; then for each job one end of a connection. It answers
`ready`, and for each job `started` (sent by the job, so that the kernel tells who it is) and
`ended`; or `failed`, or `impossible` here, with the reason.
"""

import contextlib
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coursekit.grading.limits import Limits
from coursekit.grading.sandbox import confinement, seccomp

__all__ = ["PACKET", "Setup"]

# Longest message on the control channel; the kernel keeps a packet whole.
PACKET = 2**16


@dataclass(frozen=True)
class Setup:
    """What a zygote is told at the start.

    Args:
        limits: What a job may use.
        user: Who to become, where it starts as root; 0 else.
        sandboxed: Whether jobs are locked in.
        places: Folders beside its home that a job may write.
        program: What a job is: `agent`, or `kernel` for a Jupyter kernel.
    """

    limits: Limits
    user: int
    sandboxed: bool
    places: list[str]
    program: str = "agent"

    def encode(self) -> bytes:
        """Give it as a message."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, message: bytes) -> "Setup":
        """Read what `encode` gave."""
        data = json.loads(message)
        return cls(**{**data, "limits": Limits(**data["limits"])})


def main() -> None:
    """Prepare, then copy this process for each job until the control channel ends."""
    if sys.argv[1] == "--try":
        _become(int(sys.argv[2]))
        if reason := _try(Limits(), sys.argv[3:]):
            sys.exit(reason)
        return
    control = socket.socket(fileno=int(sys.argv[1]))
    setup = Setup.decode(control.recv(PACKET))
    _become(setup.user)
    # What one job could read here, it could leave here for the next.
    confinement.hide()
    if not setup.sandboxed:
        confinement.die_with_parent(os.getppid())
    else:
        # Imports may write there. A job has a disk of its own in this place.
        confinement.HOME.mkdir()
        confinement.TEMPORARY.mkdir()
    while modules := json.loads(control.recv(PACKET) or "[]"):
        _prepare(setup, modules)
    _prepare(setup, [])
    # Else the first collection of each copy would write to, and so copy, all that is shared.
    gc.collect()
    gc.freeze()
    if setup.sandboxed and (reason := _try(setup.limits, setup.places)):
        _tell(control, impossible=reason)
        return
    if setup.sandboxed:
        seccomp.program()  # It takes a millisecond, which no copy spends again.
    _tell(control, ready=True)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, PACKET, 1)
        if not message:
            return
        connection = socket.socket(fileno=descriptors[0])
        if threads := _other_threads():
            _tell(control, failed=f"an import started {threads} threads; a copy would lack them")
            return
        owner = os.getuid(), os.getgid()
        process = confinement.fork_into_namespaces() if setup.sandboxed else os.fork()
        if process == 0:
            _in_a_copy(control, connection, setup, owner)
        connection.close()
        _, status = os.waitpid(process, 0)
        _tell(control, ended=os.waitstatus_to_exitcode(status))


def _become(user: int) -> None:
    if user:
        confinement.drop_user(user)


def _try(limits: Limits, places: Sequence[str]) -> str:
    """Lock a copy in; why it cannot be done, or nothing."""
    owner = os.getuid(), os.getgid()
    reading, writing = os.pipe()
    try:
        process = confinement.fork_into_namespaces()
    except OSError as error:
        return str(error)
    if process == 0:
        with contextlib.suppress(BaseException):
            try:
                _lock_in(owner, limits, places)
            except OSError as error:
                os.write(writing, str(error).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        reason = pipe.read()
    _, status = os.waitpid(process, 0)
    return reason or (f"a copy ended with status {status}" if status else "")


def _in_a_copy(
    control: socket.socket, connection: socket.socket, setup: Setup, owner: tuple[int, int]
) -> None:
    """Lock this copy in, and run the job; it ends here."""
    with contextlib.suppress(BaseException):
        try:
            if setup.sandboxed:
                _lock_in(owner, setup.limits, setup.places)
            else:
                os.setsid()
                confinement.die_with_parent(os.getppid())
                confinement.hide(False)
                confinement.limit(setup.limits)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _silence()
            _tell(control, started=os.getpid())
            control.close()
            _close_all_but(connection.fileno())
        except BaseException as error:
            _tell(control, failed=f"{type(error).__name__}: {error}")
            os._exit(1)
        _serve(setup, connection)
    os._exit(0)


def _prepare(setup: Setup, modules: list[str]) -> None:
    """Import what a job needs."""
    if setup.program == "agent":
        from coursekit.grading.split import agent

        agent.prepare(modules)
    else:
        import ipykernel.kernelapp  # noqa: F401


def _serve(setup: Setup, connection: socket.socket) -> None:
    """Be what the other side of a connection expects."""
    if setup.program == "agent":
        from coursekit.grading.split import agent

        agent.serve(connection, setup.limits)
    else:
        from coursekit.grading.sandbox import kernel_side

        kernel_side.serve(connection)


def _lock_in(owner: tuple[int, int], limits: Limits, places: Sequence[str]) -> None:
    """Be the first process of fresh namespaces, with a disk, and without any right."""
    confinement.die_with_parent(0)  # From inside, the parent has no number.
    confinement.map_user(*owner)
    confinement.keep_mounts()
    confinement.make_disk(limits, places)
    confinement.raise_loopback()
    confinement.limit(limits)
    confinement.limit_processes(limits)
    os.setsid()
    confinement.become_first()
    confinement.give_up_rights()
    confinement.filter_calls()


def _silence() -> None:
    """Leave no way out through what the parent prints."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.close(null)


def _close_all_but(descriptor: int) -> None:
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, 2**16)


def _other_threads() -> int:
    if sys.platform != "linux":
        return 0
    return len(list(Path("/proc/self/task").iterdir())) - 1


def _tell(control: socket.socket, **message: Any) -> None:
    control.send(json.dumps(message).encode()[:PACKET])


if __name__ == "__main__":
    main()
