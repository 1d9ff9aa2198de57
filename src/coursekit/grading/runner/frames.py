"""Messages between the processes of a slot: JSON, with its length before it."""

import json
import os
import struct
from collections.abc import Iterator
from typing import IO, Any

__all__ = ["Frames", "read", "write"]

_LENGTH = struct.Struct("!Q")
_CHUNK = 2**16


def encode(message: Any) -> bytes:
    """Give a message as bytes."""
    content = json.dumps(message, separators=(",", ":")).encode()
    return _LENGTH.pack(len(content)) + content


def write(stream: IO[bytes], message: Any) -> None:
    """Write a message.

    Raises:
        OSError: Nobody reads any more.
    """
    stream.write(encode(message))
    stream.flush()


def read(stream: IO[bytes]) -> Any:
    """Read a message.

    Raises:
        EOFError: The stream ended.
    """
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return json.loads(_exactly(stream, length))


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if data is None or len(data) < count:
        raise EOFError("the other process ended")
    return data


class Frames:
    """Messages that come piece by piece through a pipe.

    Args:
        descriptor: Where they are read.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        self._data = bytearray()

    def read(self) -> Iterator[Any]:
        """Read once, which waits if nothing is there; yield each message that is complete."""
        chunk = os.read(self.descriptor, _CHUNK)
        self.ended = not chunk
        self._data += chunk
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            end = _LENGTH.size + length
            if len(self._data) < end:
                return
            message = json.loads(self._data[_LENGTH.size : end])
            del self._data[:end]
            yield message
