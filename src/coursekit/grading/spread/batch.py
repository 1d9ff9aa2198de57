"""What a worker on another machine does: it grades a batch, in a slot that stays warm.

The worker sees nothing of the instructor's disk: the assignment and the submissions come with the
batch, and the results go back as JSON.
"""

import atexit
import json
import platform
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from coursekit.errors import CourseError
from coursekit.grading.environment import environment
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.spread.pool import GradingSlot, MakeSlot

__all__ = ["Answer", "Order", "close_slots", "grade"]

# When a batch ends early: what is left goes back, so that little is lost when the worker dies.
_SECONDS = 10.0
_BYTES = 32 * 2**20
# What a slot may take longer than a notebook, until it is taken for hanging.
_GRACE_SECONDS = 60.0


@dataclass(frozen=True)
class Order:
    """What all batches of a run have in common.

    Args:
        package: The assignment.
        limits: What a submission may use.
        trust_submissions: Grade without a sandbox.
        environment: What else decides a grade; a worker with another one must not take part.
        make_slot: Makes the slot, where it is not `coursekit.grading.runner.slot.Slot`.
        client: Whose run this is, as Dask calls it.
    """

    package: Package
    limits: Limits
    trust_submissions: bool
    environment: str
    make_slot: MakeSlot | None = None
    client: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        """Slots of the same key do the same."""
        return (self.package.fingerprint, self.limits, self.trust_submissions, self.make_slot)


class _UnreadyError(Exception):
    """No slot starts on this worker."""


@dataclass(frozen=True)
class Answer:
    """What came of a batch.

    Args:
        results: Results as JSON, of as many submissions as were graded.
        broke: Why the slot broke at the next one; empty where it did not.
        unready: Why no slot started; empty where one did.
        seconds: Wall time that they took, without that for which a new slot starts.
    """

    results: tuple[bytes, ...] = ()
    broke: str = ""
    unready: str = ""
    seconds: float = 0.0


def grade(order: Order, submissions: Sequence[bytes]) -> Answer:
    """Grade submissions one after the other, until all are done, time is up or the slot breaks.

    Args:
        order: The assignment, and how it is graded.
        submissions: What students handed in.

    Raises:
        CourseError: This worker cannot grade.
    """
    try:
        if order.client in _SLOTS.ended:
            return Answer()  # Nobody waits for it.
        _check_environment(order)
        with _SLOTS.lend(order) as lent:
            return _grade(lent, submissions)
    except CourseError as error:
        raise CourseError(f"{platform.node()}: {error}") from error
    except _UnreadyError as error:
        return Answer(unready=f"{platform.node()}: {error}")


def _check_environment(order: Order) -> None:
    if environment(order.limits, trust_submissions=order.trust_submissions) != order.environment:
        raise CourseError(
            "has other versions of Python, the libraries or the course than this computer; "
            "install the same there, with constraints.txt."
        )


def _grade(lent: "_Lent", submissions: Sequence[bytes]) -> Answer:
    start = time.monotonic()
    results: list[bytes] = []
    broke = ""
    for submission in submissions:
        try:
            results.append(lent.grade(submission))
        except CourseError:
            raise
        except Exception as error:  # The slot broke; a fresh one is whole.
            broke = _clause(error)
            break
        if sum(map(len, results)) > _BYTES or time.monotonic() - start > _SECONDS:
            break
    return Answer(tuple(results), broke, seconds=time.monotonic() - start)


def close_slots(client: str) -> None:
    """End the slots that wait for work, and those that work for a client as soon as they can.

    Args:
        client: Whose run is over, as Dask calls it.
    """
    _SLOTS.ended.add(client)
    # In a thread of its own: this is called where the worker hears from its scheduler.
    threading.Thread(target=_SLOTS.close).start()


@dataclass
class _Lent:
    """A slot in the hands of one thread.

    Args:
        manager: What opened it, and closes it.
        slot: The slot.
        patience: How long it may take for one submission, in seconds.
        whole: Whether it may be used again.
    """

    manager: AbstractContextManager[GradingSlot]
    slot: GradingSlot
    patience: float
    whole: bool = True

    def grade(self, submission: bytes) -> bytes:
        """Grade a submission; a slot that hangs is ended, and raises."""
        # A slot keeps its own time; this is for one that cannot.
        alarm = threading.Timer(self.patience, self.close)
        alarm.daemon = True
        alarm.start()
        self.whole = False
        try:
            result = json.dumps(self.slot.grade(submission).to_json()).encode()
            self.whole = True
            return result
        finally:
            alarm.cancel()

    def close(self) -> None:
        self.manager.__exit__(None, None, None)


@dataclass
class _Slots:
    """The warm slots of this process: a thread has one to itself, and all serve one order.

    Args:
        key: The order.
        idle: Slots that wait.
        ended: Clients whose run is over: a batch of theirs may come to this process after that.
        lock: Held by who changes these.
    """

    key: tuple[Any, ...] = ()
    idle: list[_Lent] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def lend(self, order: Order) -> Iterator[_Lent]:
        """Give a slot, a new one if none is idle."""
        lent = self._take(order.key) or _open(order)
        try:
            yield lent
        finally:
            if not self._keep(order, lent):
                lent.close()

    def close(self) -> None:
        """End the slots that wait."""
        with self.lock:
            idle, self.idle = self.idle, []
        for lent in idle:
            lent.close()

    def _take(self, key: tuple[Any, ...]) -> _Lent | None:
        if key != self.key:
            self.close()
        with self.lock:
            self.key = key
            return self.idle.pop() if self.idle else None

    def _keep(self, order: Order, lent: _Lent) -> bool:
        with self.lock:
            if order.key == self.key and lent.whole and order.client not in self.ended:
                self.idle.append(lent)
                return True
            return False


def _open(order: Order) -> _Lent:
    try:
        manager = (order.make_slot or _slot())(
            order.package, order.limits, trust_submissions=order.trust_submissions
        )
        slot = manager.__enter__()
    except CourseError:
        raise
    except Exception as error:
        raise _UnreadyError(_clause(error)) from error
    return _Lent(manager, slot, order.limits.notebook_seconds + _GRACE_SECONDS)


def _slot() -> MakeSlot:
    from coursekit.grading.runner.slot import Slot

    return Slot


def _clause(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


_SLOTS = _Slots()
atexit.register(_SLOTS.close)
