"""Whatever a process writes into the connection, the checker loses it and nothing else."""

import random
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from coursekit.grading.limits import Limits
from coursekit.grading.split.codec import Writer
from coursekit.grading.split.sharing import Sharing
from coursekit.grading.split.trusted import TimeIsUpError, TrustedPeer
from coursekit.grading.split.wire import LostError

REQUEST, RESULT, ERROR = range(3)


def message(value: Any, *, forgets: list[int] = [], updates: list[int] = []) -> bytes:  # noqa: B006
    """A message as a peer writes it; updates write nothing more than their number."""
    writer = Writer(Limits(), Sharing())
    for numbers in (forgets, updates):
        writer.size(len(numbers))
        for number in numbers:
            writer.size(number)
    writer.value(value)
    return bytes(writer.data)


def frame(kind: int, data: bytes) -> bytes:
    return struct.pack("<BI", kind, len(data)) + data


def read(connection: socket.socket) -> bytes:
    """Read one message."""
    header = connection.recv(5, socket.MSG_WAITALL)
    return connection.recv(struct.unpack("<BI", header)[1], socket.MSG_WAITALL)


def answering(*frames: bytes) -> Callable[[socket.socket], None]:
    """Answer whatever comes with these bytes, one after the other, and then listen only."""

    def serve(connection: socket.socket) -> None:
        for one in frames:
            read(connection)
            connection.sendall(one)
        while connection.recv(2**16):
            pass

    return serve


def ask(student: Any, *arguments: Any) -> Any:
    return student.peer.request("names", *arguments)


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (b"\xff" * 100, "sent a message of"),
        (frame(7, message(1)), "no answer"),
        (frame(ERROR, message("no exception")), "no answer"),
        (frame(RESULT, b""), "too few bytes"),
        (frame(RESULT, message(1) + b"x"), "after the end"),
        (frame(RESULT, message(1, forgets=[5])), "number 5"),
        (frame(RESULT, message(1, updates=[5])), "number 5"),
        (frame(RESULT, struct.pack("<II", 2**32 - 1, 0)), "number"),
        (frame(REQUEST, message("no request")), "no request"),
        (frame(REQUEST, message(("get", 1, 0, "x"))), "no request"),
        (struct.pack("<BI", RESULT, 2**31), "sent a message of"),
    ],
)
def test_a_broken_rule_loses_the_process_for_good(start, frames, why):
    student = start(answering(frames))
    with pytest.raises(LostError, match=why):
        ask(student)
    with pytest.raises(LostError):
        ask(student)


def reference(*description: Any) -> bytes:
    """A message that holds a reference with this description."""
    return struct.pack("<II", 0, 0) + b"&" + message(description)[8:]


@pytest.mark.parametrize(
    "description",
    [
        (),
        ("object",),
        ("object", 1, "", 0, ""),
        ("object", "a", "b", 0),
        ("object", "a", "b", "c", ""),
        ("object", "a", "b", 0, ("c",)),
        ("object", "a" * 1000, "", 0, ""),
        ("object", "a", "b" * 1000, 0, ""),
        ("object", "a", "b", 0, "c " * 10_000),
        ("method", 0, "x"),
        ("library", "os", "system"),
        ("given", "Parameter", ""),
        ("member", "Colour"),
        ("error",),
        ("error", "E", "Mistake", (), "", ""),
        ("error", "E", "ValueError", [], "", ""),
        ("error", "E", "ValueError", ([],), "", ""),
        ("error", "E", "ValueError", ("x",) * 9, "", ""),
        ("error", "E", "ValueError", (), "", None),
        ("error", "E", "ValueError", (), "x" * 30_000, ""),
        ("error", "E", "print", (), "", ""),
    ],
)
def test_a_reference_is_to_what_is_known_or_to_nothing(start, description):
    student = start(answering(frame(RESULT, reference(*description))))
    with pytest.raises(LostError):
        ask(student)


def test_an_exception_with_an_odd_name_is_still_one(start):
    for name in ("", "a b", "a\0b", "\ud800", "__class__", "x" * 5000):
        description = ("error", name, "ValueError", ("text",), "f", "")
        student = start(answering(frame(ERROR, reference(*description))))
        with pytest.raises(ValueError, match="text"):
            ask(student)


def test_arguments_that_do_not_fit_an_exception_still_make_one(start):
    description = ("error", "UnicodeDecodeError", "UnicodeDecodeError", ("text",), "f", "")
    student = start(answering(frame(ERROR, reference(*description))))
    with pytest.raises(ValueError, match="text"):
        ask(student)


@pytest.mark.parametrize(
    "request_",
    [
        ("names",),
        ("run", "import os"),
        ("get",),
        ("get", 0),
        ("get", 99, "x"),
        ("get", -1, "x"),
        ("get", True, "x"),
        ("get", "0", "x"),
        ("get", 0, "x"),
        ("get", 1, "__class__"),
        ("set", 1, "data"),
        ("get", 1, "data", 5),
        ("call", 1, ()),
        ("call", 2),
        ("call", 2, []),
        ("call", 2, ((1, 2),)),
        ("call", 2, (1,)),
        ("call", 0, ()),
        ("special", 2, "__reduce__"),
        ("special", 2, "__class__"),
        ("special", 2, 5),
        ("special", 2, "__getitem__", 0),
        ("special", 1, "__init_subclass__"),
        ("isinstance", 2, 1),
        ("deepcopy", 1, 1),
        ("method", 1),
        ("method", 1, "step"),
        ("method", 1, "_hidden", ()),
        ("method", 1, "__init__", ()),
        ("method", 1, "data", ()),
        ("method", 1, "step", [], 1),
        ("method", 2, "step", ()),
        ("method", 0, "tobytes", ()),
        ("deepcopy", 2),
        ("get", 1, ["data"]),
        ("__init__", 1, "data"),
    ],
)
def test_a_request_for_more_than_was_handed_out_gets_nothing(start, request_):
    answers: list[str] = []

    def serve(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(frame(REQUEST, message((request_[0], 0.0, *request_[1:]))))
        kind = connection.recv(1, socket.MSG_WAITALL)[0]
        [size] = struct.unpack("<I", connection.recv(4, socket.MSG_WAITALL))
        connection.recv(size, socket.MSG_WAITALL)
        connection.sendall(frame(RESULT, message(kind)))
        connection.recv(1)

    class Parameter:
        """An object of a test."""

        def __init__(self) -> None:
            self.data = 1

        def step(self) -> None:
            answers.append("stepped")

        def _hidden(self) -> None:
            answers.append("hidden")

    Parameter.__module__ = "__main__"
    student = start(serve)
    # Numbers 0, 1 and 2 are an array, an object and a function.
    answer = ask(student, np.zeros(1), Parameter(), lambda *a, **k: answers.append("called"))
    assert answer == ERROR
    assert not answers


def test_a_process_cannot_make_the_checker_wait(start):
    def silent(connection: socket.socket) -> None:
        time.sleep(60)

    def drip(connection: socket.socket) -> None:
        connection.sendall(struct.pack("<BI", RESULT, 10**6))
        while True:
            connection.sendall(b"\0")
            time.sleep(0.05)

    for serve in (silent, drip):
        student = start(serve)
        student.peer.begin(0.2)
        student.peer.wire.deadline = student.peer.ends
        with pytest.raises(LostError, match="too long"):
            ask(student)


def test_a_process_that_does_not_listen_cannot_make_the_checker_wait(start):
    student = start(lambda connection: time.sleep(60))
    student.peer.begin(0.2)
    student.peer.wire.deadline = student.peer.ends
    with pytest.raises(LostError, match="too long"):
        ask(student, bytes(2**24))


def test_calls_back_without_end_are_ended(start):
    def serve(connection: socket.socket) -> None:
        read(connection)
        call = frame(REQUEST, message(("call", 0.0, 0, ())))
        while True:
            connection.sendall(call)
            read(connection)

    student = start(serve)
    student.peer.begin(0.3)
    student.peer.wire.deadline = student.peer.ends
    calls: list[int] = []
    with pytest.raises(LostError, match="too long"):
        ask(student, lambda: calls.append(1))
    assert calls


def test_when_time_is_up_nothing_more_is_asked(start):
    student = start(answering())
    student.peer.begin(0.0)
    with pytest.raises(TimeIsUpError):
        ask(student)


class Script:
    """A socket from which these bytes come and no more."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def settimeout(self, seconds: float) -> None:
        """Never wait."""

    def sendall(self, data: bytes) -> None:
        """Send nothing."""

    def recv(self, size: int) -> bytes:
        """Give the next bytes."""
        part, self.data = self.data[:size], self.data[size:]
        return part


class Describing(Sharing):
    """Lets a function cross."""

    def describe(self, value: Any) -> tuple[Any, ...]:
        return "object", "function", "f", 1, ""


@pytest.mark.parametrize("seed", range(10))
def test_noise_in_an_answer_loses_the_process_or_gives_other_data(seed):
    rng = random.Random(seed)
    writer = Writer(Limits(), Describing())
    writer.size(0), writer.size(0)
    writer.value([{"a": np.arange(3.0)}, (1, "text", 2.5), lambda: 0])
    honest = frame(RESULT, bytes(writer.data))
    for _ in range(100):
        noisy = bytearray(honest)
        for _ in range(rng.randint(1, 3)):
            noisy[rng.randrange(len(noisy))] = rng.randrange(256)
        if rng.random() < 0.3:
            del noisy[rng.randrange(len(noisy)) :]
        peer = TrustedPeer(Script(bytes(noisy)), Limits())  # type: ignore[arg-type]
        peer.begin(60)
        try:
            peer.request("names")
        except LostError:
            assert peer.lost


def test_a_message_is_refused_by_its_size_before_it_comes(start):
    student = start(answering(frame(RESULT, message(bytes(50_000)))), message_bytes=10_000)
    with pytest.raises(LostError, match="sent a message of 5"):
        ask(student)
