"""Download one file: verified, resumable, and never half a file under its final name.

The two usual helpers do not fit. `pooch` and `keras.utils.get_file` start from zero after every
interruption, and some of the servers are slow enough (CIFAR-10 has been seen at 55 kB/s, which
is most of an hour) that a reader loses the connection, or the patience, at least once.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tqdm.auto import tqdm

from largemodels.data.dataset import DataError
from largemodels.data.sources import RemoteFile

CONNECT_SECONDS = 4.0
ANSWER_SECONDS = 10.0
READ_SECONDS = 20.0
ATTEMPTS = 4  # In a row, without a single new byte.
PAUSE_SECONDS = 1.0
REFUSALS = {401, 403, 404, 410, 451}  # Asking again would not help.
CHUNK_BYTES = 1 << 13  # At most so much is lost when a connection breaks.
USE_THE_SAMPLE = "To work with the offline sample meanwhile, set LARGEMODELS_OFFLINE=1."

# Servers that gave no answer, remembered so that ten data sets do not wait for ten time-outs.
_silent_servers: dict[str, str] = {}


class UnreachableError(Exception):
    """No server gave any answer: there is no network, or none that leads there."""


class _TransferError(DataError):
    """One server failed; another may do better."""


def reachable(file: RemoteFile) -> list[str]:
    """Return the addresses of `file` whose server answers at all.

    Any HTTP answer counts, even an error: it proves that there is a network. What is wrong
    after that is a fault that the reader must see, and not a reason for the offline sample.

    Args:
        file: The file that somebody wants.

    Raises:
        UnreachableError: No server answers (name not found, refused, time-out, no TLS, proxy).
    """
    servers = {url: "{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in file.urls}
    for server in servers.values():
        if server not in _silent_servers:
            try:
                requests.head(server, timeout=(CONNECT_SECONDS, ANSWER_SECONDS)).close()
            except requests.RequestException as error:
                _silent_servers[server] = f"no connection to {urlsplit(server).hostname}"
                if isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError):
                    _silent_servers[server] += f" ({type(error).__name__})"
    answering = [url for url, server in servers.items() if server not in _silent_servers]
    if not answering:
        raise UnreachableError(_silent_servers[servers[file.urls[0]]])
    return answering


def fetch(file: RemoteFile, folder: Path) -> Path:
    """Return the path of `file` in `folder`, downloaded if it is not there, and verified.

    What has arrived waits in `<name>.part` until the checksum is right. After an interruption
    the next call asks the server for the rest only.

    Args:
        file: What to download.
        folder: Where to put it.

    Raises:
        UnreachableError: No server answers.
        DataError: A server answered, and still the right bytes did not come or had no room.
    """
    path = folder / file.name
    if path.exists():
        if _sha256(path) == file.sha256:
            return path
        path.unlink()
    failures = []
    for url in reachable(file):
        try:
            return _fetch_from(url, file, path)
        except _TransferError as error:
            failures.append(str(error))
    raise DataError(" ".join([*failures, USE_THE_SAMPLE]))


def _fetch_from(url: str, file: RemoteFile, path: Path) -> Path:
    part = path.with_name(f"{path.name}.part")
    resumed = part.exists()
    _receive_all(url, file, part)
    got = _sha256(part)
    if got == file.sha256:
        part.replace(path)
        return path
    part.unlink()
    if resumed:  # The old piece may be the one that is damaged: once more from zero.
        return _fetch_from(url, file, path)
    raise _TransferError(
        f"{file.name}: what {url} sent is not the published file: "
        f"expected SHA-256 {file.sha256}, got {got}. It was thrown away."
    )


def _receive_all(url: str, file: RemoteFile, part: Path) -> None:
    """Fill `part` up to the published size, however often the connection breaks."""
    failures = 0
    furthest = _size(part)
    with tqdm(
        total=file.size, desc=file.name, unit="B", unit_scale=True, miniters=1, leave=False
    ) as bar:
        while _size(part) != file.size:
            try:
                _receive(url, file, part, bar)
            except requests.RequestException as error:
                status = error.response.status_code if error.response is not None else None
                failures = failures + 1 if _size(part) <= furthest else 1
                furthest = max(furthest, _size(part))
                if status in REFUSALS or failures == ATTEMPTS:
                    raise _TransferError(_describe(error, url, file, part)) from error
                time.sleep(PAUSE_SECONDS * failures)


def _receive(url: str, file: RemoteFile, part: Path, bar: tqdm) -> None:
    """Append to `part` what one request brings."""
    have = _size(part)
    if have > file.size:
        part.unlink()
        have = 0
    # A compressed answer would make positions in the file and in the stream differ.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    timeout = (CONNECT_SECONDS, READ_SECONDS)
    with requests.get(url, headers=headers, timeout=timeout, stream=True) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink(missing_ok=True)
        response.raise_for_status()
        goes_on = response.status_code == requests.codes.partial_content
        have = have if goes_on else 0
        announced = "Content-Length" in response.headers
        bar.n = have
        try:
            with part.open("ab" if goes_on else "wb") as out:
                for chunk in response.iter_content(CHUNK_BYTES):
                    out.write(chunk)
                    have += len(chunk)
                    bar.update(len(chunk))
                    if have > file.size:
                        break
        except requests.RequestException:
            raise
        except OSError as error:
            part.unlink(missing_ok=True)
            raise DataError(
                f"{part.parent / file.name}: cannot write what {url} sends: {error.strerror}; "
                f"expected room for {file.size:,} bytes, got {have:,} written. "
                "Nothing was kept. Make room, or set LARGEMODELS_DATA to another folder."
            ) from error
    if have < file.size and not announced:
        raise requests.ConnectionError("the server closed the connection early")
    if have != file.size:  # All that was announced has come, and yet it is another file.
        part.unlink()
        raise _TransferError(
            f"{file.name}: what {url} sends is not the published file: expected {file.size:,} "
            f"bytes, got {'at least ' if have > file.size else ''}{have:,}. They were thrown away."
        )


def _describe(error: requests.RequestException, url: str, file: RemoteFile, part: Path) -> str:
    if error.response is not None:
        return (
            f"{file.name}: {url} answers with an error: expected status 200, "
            f"got {error.response.status_code} {error.response.reason}."
        )
    return (
        f"{file.name}: the download from {url} broke off or stalled {ATTEMPTS} times "
        f"({type(error).__name__}): expected {file.size:,} bytes, got {_size(part):,}. "
        "What has come is kept: load again to go on from there."
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
