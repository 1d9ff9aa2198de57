"""A real HTTP server that misbehaves on demand, and data sets small enough to send through it."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from largemodels.data import download, loading, sources


class Server(ThreadingHTTPServer):
    """Serves `contents[path]` in the way that `manners[path]` says; the last manner stays."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents: dict[str, bytes] = {}
        self.manners: dict[str, list[str]] = defaultdict(lambda: ["good"])
        self.asked: list[tuple[str, str | None]] = []  # path and Range header of every GET
        self.release = threading.Event()  # set at the end: nobody stalls any longer
        self.stalling = threading.Event()  # set as soon as somebody stalls

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away in the middle are the point of these tests."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(200, 0)

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        manners = self.server.manners[self.path]
        manner = manners.pop(0) if len(manners) > 1 else manners[0]
        content = self.server.contents.get(self.path, b"")
        getattr(self, f"_{manner}")(content, wanted)

    def _answer(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _good(self, content: bytes, wanted: str | None) -> None:
        if wanted:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._answer(206, len(content) - start, **{"Content-Range": span})
            self.wfile.write(content[start:])
        else:
            self._good_without_ranges(content, wanted)

    def _good_without_ranges(self, content: bytes, wanted: str | None) -> None:
        self._answer(200, len(content))
        self.wfile.write(content)

    def _truncate(self, content: bytes, wanted: str | None) -> None:
        """Promise everything, send half."""
        self._answer(200, len(content))
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True

    def _end_early(self, content: bytes, wanted: str | None) -> None:
        """Promise nothing, send half: nothing in HTTP tells that this is not all."""
        self._answer(200, None)
        self.wfile.write(content[: len(content) // 2])

    def _corrupt(self, content: bytes, wanted: str | None) -> None:
        self._good(content[:-1] + bytes([content[-1] ^ 1]), wanted)

    def _too_long(self, content: bytes, wanted: str | None) -> None:
        self._good_without_ranges(content + b"more", None)

    def _login_page(self, content: bytes, wanted: str | None) -> None:
        self._good_without_ranges(b"<html>Please log in to this network.</html>", None)

    def _stall(self, content: bytes, wanted: str | None) -> None:
        """Send half, then nothing, and keep the line open."""
        self._answer(200, len(content))
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        self.server.stalling.set()
        self.server.release.wait(30)
        self.close_connection = True

    def _hang_up(self, content: bytes, wanted: str | None) -> None:
        self.close_connection = True

    def _error_500(self, content: bytes, wanted: str | None) -> None:
        self._answer(500, 0)

    def _error_404(self, content: bytes, wanted: str | None) -> None:
        self._answer(404, 0)

    def _no_such_range(self, content: bytes, wanted: str | None) -> None:
        if wanted:
            self._answer(416, 0)
        else:
            self._good(content, wanted)

    def _redirect(self, content: bytes, wanted: str | None) -> None:
        self._answer(302, 0, Location=f"/moved{self.path}")

    def _redirect_for_ever(self, content: bytes, wanted: str | None) -> None:
        self._answer(302, 0, Location=self.path)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the empty folder of the data sets; which servers were silent is forgotten."""
    folder = tmp_path / "data sets"
    monkeypatch.setenv("LARGEMODELS_DATA", str(folder))
    monkeypatch.delenv("LARGEMODELS_OFFLINE", raising=False)
    monkeypatch.setattr(download, "_silent_servers", {})
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.001)
    return folder


@pytest.fixture
def offer(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., sources.Source]:
    """Return a function that makes a data set come from the server, with the given files."""

    def offer(name: str, *files: bytes, **changes: object) -> sources.Source:
        remote = []
        for old, content in zip(loading.RECIPES[name].source.files, files, strict=True):
            server.contents[f"/{old.name}"] = server.contents[f"/moved/{old.name}"] = content
            url = f"{server.address}/{old.name}"
            checksum = hashlib.sha256(content).hexdigest()
            remote.append(sources.RemoteFile(old.name, (url,), checksum, len(content)))
        source = dataclasses.replace(
            loading.RECIPES[name].source, files=tuple(remote), **{"idx_md5": {}, **changes}
        )
        recipe = dataclasses.replace(loading.RECIPES[name], source=source)
        monkeypatch.setitem(loading.RECIPES, name, recipe)
        return source

    return offer


def in_process(source: sources.Source, folder: Path) -> subprocess.Popen[str]:
    """Start a Python of its own that loads `source` and prints the sum of its pixels."""
    program = f"""
import dataclasses, sys
from largemodels.data import DataError, download, loading
from largemodels.data.sources import RemoteFile, Source
download.PAUSE_SECONDS = 0.001
source = {source!r}
recipe = loading.RECIPES[source.name]
loading.RECIPES[source.name] = dataclasses.replace(recipe, source=source)
try:
    dataset = loading.load(source.name)
except DataError as error:
    sys.exit(f"DataError: {{error}}")
print("sum", dataset.x_train.sum(), dataset.source)
"""
    environment = os.environ | {"LARGEMODELS_DATA": str(folder)}
    environment.pop("LARGEMODELS_OFFLINE", None)
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def images(count: int, shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random images and labels that hold every class, not grouped."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count, dtype=np.uint8) % 10)
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8), labels


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def make() -> SimpleNamespace:
    """Return the helpers of this file: tests cannot import each other's modules."""
    return SimpleNamespace(images=images, idx=idx, tar=tar, zipped=zipped, in_process=in_process)


@dataclasses.dataclass
class Digits:
    """A small MNIST, offered by the server."""

    source: sources.Source
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    path: str  # of the training images on the server


@pytest.fixture
def mnist(offer: Callable[..., sources.Source], folder: Path) -> Digits:
    """Return a small MNIST; its training images are large enough to arrive in several pieces."""
    train, test = images(400, (28, 28), seed=1), images(20, (28, 28), seed=2)
    files = map(idx, (*train, *test))
    source = offer("mnist", *files, sizes=(400, 20))
    return Digits(source, *train, *test, path=f"/{source.files[0].name}")
