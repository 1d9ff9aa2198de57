"""Workers on many machines, by way of Dask: what `Pool` is on one.

Submissions travel in batches, so that the network costs little beside the grading. There are never
more batches than threads of workers: a batch that waits at a worker would be lost with it for
nothing. After the death of a worker, each submission of its batch is tried again alone, and better
on another machine.

Dask's messages are pickles: whoever reaches the scheduler commands all machines. How they are
protected is set where Dask wants it set (`DASK_DISTRIBUTED__COMM__TLS__CA_FILE`, …).
"""

import json
import logging
import math
import queue
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any
from uuid import uuid4

import dask
from distributed import Client, Future, KilledWorker, Scheduler, Security
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.comm.core import CommClosedError
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.protocol.pickle import dumps

from coursekit.errors import CourseError
from coursekit.grading.environment import environment
from coursekit.grading.limits import Limits
from coursekit.grading.package import Package
from coursekit.grading.results import Result
from coursekit.grading.spread.batch import Answer, Order, close_slots, grade
from coursekit.grading.spread.pool import (
    DEATHS,
    Died,
    Event,
    Finished,
    Job,
    MakeSlot,
    Started,
    set_aside,
)

__all__ = ["Cluster"]

# A batch should take so long: a thousand times what sending it costs, and little to lose.
_BATCH_SECONDS = 2.0
_BATCH_LARGEST = 50
_BATCH_BYTES = 8 * 2**20
# Submissions in one batch until it is known how long one takes.
_BATCH_FIRST = 10
# How often in a row the workers of one machine may die until the machine is to blame.
_DEATHS_OF_A_HOST = 6
_CONNECT_SECONDS = 20.0
_TICK_SECONDS = 1.0
# How often in a row a slot may fail to start, until the workers are to blame.
_FALSE_STARTS = 3
_SILENT = logging.CRITICAL + 1
_PREFIX = "course-grade-"
_CLIENT = "course-grade"
# What must be alike for machines to understand each other; `environment` tells about the rest.
_ALIKE = ("python", "dask", "distributed", "cloudpickle", "msgpack", "tornado", "toolz")
_LOST = (OSError, TimeoutError, CommClosedError, CancelledError)


class _AtScheduler(SchedulerPlugin):
    """What the scheduler does for us: it tells of a death at once, ends slots nobody needs, and
    keeps no submission that it has sent to a worker.
    """

    name = "course-grade"
    idempotent = True

    async def start(self, scheduler: Scheduler) -> None:
        """Begin."""
        self._scheduler = scheduler
        for worker in scheduler.workers:
            self.add_worker(scheduler, worker)

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Keep no copies of what this worker is sent: by itself, Dask keeps a thousand messages."""
        scheduler.stream_comms[worker].recent_message_log = deque(maxlen=0)

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Use up the tries of a batch as a worker gets it: Dask itself would try three more."""
        if finish == "processing" and str(key).startswith(_PREFIX):
            self._scheduler.tasks[key].suspicious = self._scheduler.allowed_failures

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """End the slots on all workers when a run is over, however it ended."""
        if _CLIENT in client:
            message = {"op": "run", "function": dumps(close_slots), "args": dumps((client,))}
            scheduler.loop.add_callback(scheduler.broadcast, msg=message, on_error="ignore")


@dataclass
class _Jobs:
    """What is still to be sent.

    Args:
        source: Jobs that nobody has seen yet.
        ahead: The next of them: as many as a round of batches takes.
        back: Jobs whose batch ended before their turn.
        again: Jobs that saw a death: each goes alone.
        started: Jobs that count as started.
        hosts: Where workers died of a job.
    """

    source: Iterator[Job]
    ahead: deque[Job] = field(default_factory=deque)
    back: deque[Job] = field(default_factory=deque)
    again: deque[Job] = field(default_factory=deque)
    started: set[str] = field(default_factory=set)
    hosts: dict[str, set[str]] = field(default_factory=dict)

    def look_ahead(self, number: int) -> None:
        """Read so many jobs, if they are not too large together."""
        room = number * _BATCH_BYTES // _BATCH_LARGEST - _bytes(self.ahead)
        while len(self.ahead) < number and (room > 0 or not self.ahead):
            job = next(self.source, None)
            if job is None:
                return
            room -= len(job.submission)
            (self.again if job.deaths else self.ahead).append(job)

    def take(self, size: int) -> list[Job]:
        """The jobs of a batch; none where none are left."""
        if self.again:
            return [self.again.popleft()]
        line = self.back or self.ahead
        jobs: list[Job] = []
        while line and len(jobs) < size and _bytes(jobs) < _BATCH_BYTES:
            jobs.append(line.popleft())
        return jobs

    def __len__(self) -> int:
        """How many are known."""
        return len(self.ahead) + len(self.back) + len(self.again)


class Cluster:
    """Workers of a Dask cluster; a context manager, see `Graders`.

    Args:
        address: Address of the scheduler, e.g. `tcp://192.168.0.5:8786`.
        package: The assignment.
        limits: What a submission may use.
        trust_submissions: Grade without a sandbox.
        make_slot: Makes the slot of a worker, where it is not `coursekit.grading.runner.slot.Slot`.
        patience: How long to wait for a worker where there is none, in seconds.

    Raises:
        CourseError: The scheduler is not reached, or no worker can take part (on entry).
    """

    def __init__(
        self,
        address: str,
        package: Package,
        limits: Limits | None = None,
        *,
        trust_submissions: bool = False,
        make_slot: MakeSlot | None = None,
        patience: float = 60.0,
    ) -> None:
        limits = limits or Limits()
        named = environment(limits, trust_submissions=trust_submissions)
        self._order = Order(package, limits, trust_submissions, named, make_slot)
        self._address = address
        self._patience = patience
        self._open = ExitStack()
        self._client: Client
        self._run = uuid4().hex
        self._numbers = count(1)
        self._batches: dict[Future, list[Job]] = {}
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._seconds = _BATCH_SECONDS / _BATCH_FIRST
        self._deaths: dict[str, int] = {}
        self._false_starts = 0
        self._last_seen = time.monotonic()

    def __enter__(self) -> "Cluster":
        with ExitStack() as stack:
            stack.callback(_set_levels, _set_levels(dict.fromkeys(_loggers(), _SILENT)))
            stack.enter_context(
                dask.config.set(
                    {
                        "distributed.admin.large-graph-warning-threshold": "4GiB",
                        # Dask would keep the last thousand messages, and submissions are in them.
                        "distributed.admin.low-level-log-length": 0,
                    }
                )
            )
            self._client = self._connect()
            self._order = replace(self._order, client=self._client.id)
            stack.callback(self._disconnect)
            self._check_versions()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def run(self, jobs: Iterable[Job]) -> Iterator[Event]:
        """Grade jobs; see `Graders`."""
        waiting = _Jobs(iter(jobs))
        while True:
            threads = self._threads()
            waiting.look_ahead(1)  # Without a worker, too: it tells whether this is the end.
            while len(self._batches) < threads:
                waiting.look_ahead(threads * self._size)
                # At the end, all workers share what is left.
                batch = waiting.take(min(self._size, math.ceil(len(waiting) / threads)))
                if not batch:
                    break
                yield from self._start(batch, waiting)
            if not self._batches and not waiting:
                return
            with suppress(queue.Empty):
                future = self._ended.get(timeout=_TICK_SECONDS)
                yield from self._hear(future, waiting)

    @property
    def _size(self) -> int:
        """How many submissions make a batch."""
        return max(1, min(_BATCH_LARGEST, round(_BATCH_SECONDS / max(self._seconds, 1e-3))))

    def _start(self, batch: list[Job], waiting: _Jobs) -> Iterator[Event]:
        if batch[0].deaths >= DEATHS:
            yield Finished(batch[0].key, set_aside(batch[0].deaths))
            return
        for job in batch:
            if job.key not in waiting.started:
                waiting.started.add(job.key)
                yield Started(job.key, self._address)
        self._send(batch, waiting.hosts.get(batch[0].key, set()))

    def _connect(self) -> Client:
        self._check_address()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Versions are compared below.
                client = Client(
                    self._address, timeout=_CONNECT_SECONDS, set_as_default=False, name=_CLIENT
                )
        except _LOST as error:
            raise CourseError(
                f"{self._address}: no Dask scheduler answers there ({_clause(error)}); start one "
                "with `dask scheduler`, and give the address that it prints."
            ) from error
        try:
            client.register_plugin(_AtScheduler())
            client.wait_for_workers(1, timeout=self._patience)
        except _LOST as error:
            client.close(_CONNECT_SECONDS)
            raise CourseError(
                f"{self._address}: no worker came within {self._patience:.0f} seconds; start some "
                f"with `dask worker {self._address}`."
            ) from error
        except Exception as error:
            client.close(_CONNECT_SECONDS)
            raise self._unfit("the scheduler", error) from error
        return client

    def _check_address(self) -> None:
        """Refuse what Dask would stumble over."""
        protocol, place = parse_address(self._address)
        try:
            parse_host_port(place)
            known = protocol in ("tcp", "tls")
        except ValueError:
            known = False
        if not known:
            raise CourseError(
                f"--cluster (={self._address}) is no address of a Dask scheduler; write it as in "
                "tcp://10.0.0.5:8786."
            )
        if protocol == "tls" and not Security().get_connection_args("client")["ssl_context"]:
            raise CourseError(
                f"{self._address}: that scheduler encrypts; name your certificates to Dask in "
                "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …__CLIENT__CERT and …__CLIENT__KEY."
            )

    def _disconnect(self) -> None:
        """Have the workers forget what is not graded yet, if they can be reached."""
        with suppress(Exception):
            self._client.cancel(list(self._batches), force=True)
        self._batches.clear()
        with suppress(Exception):
            self._client.close(_CONNECT_SECONDS)

    def _check_versions(self) -> None:
        versions: Any = self._client.get_versions()
        ours = versions["client"]["packages"]
        others = {"the scheduler": versions["scheduler"], **versions["workers"]}
        for who, theirs in others.items():
            for name in _ALIKE:
                their = theirs["packages"].get(name)
                if their != ours[name]:
                    raise CourseError(
                        f"{self._address}: {who} has {name} {their}, and this computer "
                        f"{ours[name]}; install the same on all of them, with constraints.txt."
                    )

    def _threads(self) -> int:
        """How many submissions the workers grade side by side.

        Raises:
            CourseError: The scheduler is gone, or all workers are for too long.
        """
        try:
            if self._client.status != "running":
                raise CommClosedError(self._client.status)
            threads = sum(self._client.nthreads().values())
        except _LOST as error:
            raise self._gone() from error
        now = time.monotonic()
        if threads:
            self._last_seen = now
        elif now - self._last_seen > self._patience:
            raise CourseError(
                f"{self._address}: all workers are gone for {self._patience:.0f} seconds; start "
                f"some with `dask worker {self._address}` and run the command again: what is "
                "graded is kept."
            )
        return threads

    def _send(self, jobs: list[Job], hosts: set[str]) -> None:
        key = f"{_PREFIX}{self._run}-{next(self._numbers)}"
        try:
            elsewhere = self._workers_but_on(hosts) if hosts else None
            future = self._client.submit(
                grade,
                self._order,
                [job.submission for job in jobs],
                key=key,
                pure=False,
                workers=elsewhere,
                allow_other_workers=bool(elsewhere),
            )
        except _LOST as error:
            raise self._gone() from error
        self._batches[future] = jobs
        future.add_done_callback(self._ended.put)

    def _workers_but_on(self, hosts: set[str]) -> list[str] | None:
        workers: Mapping[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        return [name for name, one in workers.items() if one["host"] not in hosts] or None

    def _hear(self, future: Future, waiting: _Jobs) -> Iterator[Event]:
        """What came of a batch."""
        jobs = self._batches.pop(future)
        try:
            answer: Answer = future.result(self._patience)
        except KilledWorker as error:
            worker = error.last_worker
            self._blame(worker.host)
            reason = f"its worker {worker.address} died"
            yield from self._bury(jobs, worker.address, worker.host, reason, waiting)
            return
        except CourseError as error:
            raise CourseError(f"{self._address}: a worker cannot grade: {error}") from error
        except _LOST as error:
            raise self._gone() from error
        except Exception as error:
            raise self._unfit("a worker", error) from error
        finally:
            future.release()
        self._check_start(answer)
        done = len(answer.results)
        for job, result in zip(jobs[:done], answer.results, strict=True):
            waiting.started.discard(job.key)
            yield Finished(job.key, Result.from_json(json.loads(result)))
        left = jobs[done:]
        if answer.broke:
            yield from self._bury(left[:1], self._address, "", answer.broke, waiting)
            left = left[1:]
        waiting.back.extend(left)
        if done:
            # Half by the last batch: what takes long may come late.
            self._seconds += (answer.seconds / done - self._seconds) / 2

    def _check_start(self, answer: Answer) -> None:
        """Stop when no slot starts.

        Raises:
            CourseError: None does.
        """
        if not answer.unready:
            self._deaths.clear()
            self._false_starts = 0
            return
        self._false_starts += 1
        if self._false_starts >= _FALSE_STARTS:
            raise CourseError(
                f"{self._address}: no grader starts there ({answer.unready}); is there enough "
                "memory and disk? What is graded is kept."
            )

    def _bury(
        self, jobs: list[Job], worker: str, host: str, reason: str, waiting: _Jobs
    ) -> Iterator[Event]:
        for job in jobs:
            waiting.started.discard(job.key)
            yield Died(job.key, worker, reason)
            job = replace(job, deaths=job.deaths + 1)
            if job.deaths >= DEATHS:
                yield Finished(job.key, set_aside(job.deaths, reason))
                continue
            waiting.again.append(job)
            if host:
                waiting.hosts.setdefault(job.key, set()).add(host)

    def _blame(self, host: str) -> None:
        """Stop when a machine kills whatever comes to it.

        Raises:
            CourseError: It does.
        """
        self._deaths[host] = self._deaths.get(host, 0) + 1
        if self._deaths[host] >= _DEATHS_OF_A_HOST:
            raise CourseError(
                f"{self._address}: workers on {host} died {self._deaths[host]} times in a row; "
                "is there enough memory? Mend or stop them and run the command again: what is "
                "graded is kept."
            )

    def _gone(self) -> CourseError:
        return CourseError(
            f"{self._address}: the scheduler went away; start it again with its workers and run "
            "the command again: what is graded is kept."
        )

    def _unfit(self, who: str, error: Exception) -> CourseError:
        return CourseError(
            f"{self._address}: {who} cannot take part ({_clause(error)}); install the course there "
            "as on this computer, with constraints.txt."
        )


def _bytes(jobs: Iterable[Job]) -> int:
    return sum(len(job.submission) for job in jobs)


def _clause(error: BaseException) -> str:
    """An error in the middle of a sentence."""
    text = " ".join(str(error).split())[:200].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _loggers() -> list[str]:
    """Loggers of Dask: what goes wrong is told in one sentence, and they would print pages."""
    return [
        name
        for name in logging.root.manager.loggerDict
        if name.partition(".")[0] in ("asyncio", "distributed", "tornado")
    ]


def _set_levels(levels: Mapping[str, int]) -> dict[str, int]:
    """Set how loud loggers are; how loud they were."""
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    return before
