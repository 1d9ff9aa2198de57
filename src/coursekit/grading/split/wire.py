"""Messages over a socket, with a limit on their size and a deadline on their arrival."""

import socket
import struct
import time

__all__ = ["LostError", "Wire"]

_HEADER = struct.Struct("<BI")


class LostError(BaseException):
    """The other process is lost: it died, broke the rules, or took too long.

    No `Exception`: a test that forgives errors of a student's function does not forgive this.
    """


class Wire:
    """One end of a connection.

    Args:
        connection: A connected stream socket.
        message_bytes: Size of the largest message.
    """

    def __init__(self, connection: socket.socket, message_bytes: int) -> None:
        self.connection = connection
        self.message_bytes = message_bytes
        self.deadline = float("inf")
        self._timeout = float("nan")  # Of the socket, as set last.
        self._came = bytearray()  # What came and is not read yet.

    def send(self, kind: int, data: bytes | bytearray) -> None:
        """Send one message.

        Raises:
            LostError: Nobody takes it in time.
        """
        try:
            self._wait()
            self.connection.sendall(_HEADER.pack(kind, len(data)) + data)
        except TimeoutError as error:
            raise LostError("took too long to listen") from error
        except OSError as error:
            raise LostError("died") from error

    def receive(self) -> tuple[int, memoryview]:
        """Wait for one message: its kind and its bytes.

        Raises:
            LostError: None comes whole and in time, or it is too large.
        """
        self._collect(_HEADER.size)
        kind, size = _HEADER.unpack_from(self._came)
        if size > self.message_bytes:
            raise LostError(f"sent a message of {size} bytes")
        whole = _HEADER.size + size
        self._collect(whole)
        came, self._came = self._came, self._came[whole:]
        return kind, memoryview(came)[_HEADER.size : whole]

    def _collect(self, size: int) -> None:
        """Read until so many bytes have come. Memory grows with these, not with what they say."""
        try:
            while len(self._came) < size:
                self._wait()
                part = self.connection.recv(max(size - len(self._came), 2**16))
                if not part:
                    raise LostError("died")
                self._came += part
        except TimeoutError as error:
            raise LostError("took too long") from error
        except OSError as error:
            raise LostError("died") from error

    def _wait(self) -> None:
        """Let the next call of the socket wait until the deadline, or a little longer."""
        if self.deadline == float("inf"):
            left = self.deadline
        else:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
        # Setting it is dear, and a tenth more or less does not matter.
        if not 0.9 * left <= self._timeout <= 1.1 * left:
            self._timeout = left
            self.connection.settimeout(None if left == float("inf") else left)
