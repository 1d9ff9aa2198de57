"""Full disks, read-only folders, two processes at once, and processes that are killed."""

import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest


def mount(target, *options):
    """Mount a small file system of its own on `target`; say whether that was possible."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    target.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(target)]
    return subprocess.run(command, capture_output=True).returncode == 0


@contextmanager
def small_disk(target):
    """Make `target` a disk of 64 kB, or else forbid this process and its children larger files.

    Neither needs a privilege on every machine, so that the tests below run everywhere.
    """
    if mount(target, "size=64k"):
        try:
            yield
        finally:
            subprocess.run(["umount", str(target)], check=True)
    else:
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, old[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)


@contextmanager
def read_only(target):
    """Make `target` a folder in which nobody can write, not even root."""
    if mount(target):
        try:
            subprocess.run(["mount", "-o", "remount,ro", str(target)], check=True)
            yield
        finally:
            subprocess.run(["umount", str(target)], check=True)
    else:
        assert os.geteuid() != 0, "root without the right to mount: run this test as a user"
        target.mkdir(exist_ok=True)
        target.chmod(0o555)
        try:
            yield
        finally:
            target.chmod(0o755)


def final_files(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".downloads")


def total(mnist):
    return str(mnist.x_train.sum(dtype="uint64"))


def load(make, source, folder):
    process = make.in_process(source, folder)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_disk_full_while_downloading(mnist, make, folder):
    with small_disk(folder):
        code, out, err = load(make, mnist.source, folder)
        left = list((folder / ".downloads").glob("*.part"))
        files = final_files(folder)
    file = mnist.source.files[0]
    assert (code, out, files, left) == (1, "", [], [])
    message = err.splitlines()[-1]
    assert "DataError" in message
    for part in (str(folder), file.name, file.urls[0], f"expected room for {file.size:,}", "got "):
        assert part in message


def test_disk_full_while_converting(offer, make, folder):
    # Black pictures: the archive is tiny, the arrays are not.
    batch = b"".join(bytes([label]) + bytes(3072) for label in range(10))
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    archive = make.tar({f"cifar-10-batches-bin/{name}": batch for name in names})
    source = offer("cifar10", archive, sizes=(50, 10))
    with small_disk(folder):
        code, out, err = load(make, source, folder)
        left = sorted(path.name for path in (folder / ".downloads").iterdir())
        files = final_files(folder)
    assert (code, out, files) == (1, "", [])
    assert left == ["cifar-10-binary.tar.gz", "cifar10.lock"], "the verified download is kept"
    message = err.splitlines()[-1]
    for part in ("DataError", str(folder / "cifar10.npz"), source.files[0].urls[0], "got: "):
        assert part in message

    code, out, err = load(make, source, folder)
    assert (code, out.split()[:2]) == (0, ["sum", "0"]), err


def test_read_only_folder(mnist, make, folder):
    with read_only(folder):
        code, out, err = load(make, mnist.source, folder)
    assert (code, out) == (1, "")
    message = err.splitlines()[-1]
    for part in ("DataError", str(folder), mnist.source.files[0].urls[0], "LARGEMODELS_DATA"):
        assert part in message


def test_read_only_folder_with_data(mnist, make, folder, server):
    assert load(make, mnist.source, folder)[0] == 0
    server.asked.clear()
    (folder / ".downloads" / "mnist.lock").unlink()
    (folder / ".downloads").rmdir()
    folder.chmod(0o555)
    code, out, err = load(make, mnist.source, folder)
    folder.chmod(0o755)
    assert (code, out.split()[1]) == (0, total(mnist)), err
    assert server.asked == []


def test_read_only_folder_without_network(mnist, make, folder, server):
    server.shutdown()
    server.server_close()
    with read_only(folder):
        code, out, err = load(make, mnist.source, folder)
    assert code == 0, err
    assert "offline sample" in out


def test_two_processes_at_once(mnist, make, folder, server):
    processes = [make.in_process(mnist.source, folder) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.split()[:2] == ["sum", total(mnist)]
    assert len([path for path, _ in server.asked if path == mnist.path]) == 1
    assert final_files(folder) == ["mnist.npz", "mnist.npz.sha256"]


def test_waiting_for_another_process_is_said(mnist, make, folder, server):
    server.manners[mnist.path] = ["stall", "good"]
    first = make.in_process(mnist.source, folder)
    assert server.stalling.wait(30)
    second = make.in_process(mnist.source, folder)
    for line in second.stderr:
        if "waiting for another process" in line:
            break
    server.release.set()
    for process in (first, second):
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.split()[1] == total(mnist)


def test_killed_in_the_middle_of_a_download(mnist, make, folder, server):
    server.manners[mnist.path] = ["stall", "good"]
    process = make.in_process(mnist.source, folder)
    assert server.stalling.wait(30)
    process.kill()
    process.communicate()
    assert final_files(folder) == []

    code, out, err = load(make, mnist.source, folder)
    assert (code, out.split()[1]) == (0, total(mnist)), err
    assert server.asked[1][0] == mnist.path
    assert final_files(folder) == ["mnist.npz", "mnist.npz.sha256"]
    assert [path.name for path in (folder / ".downloads").iterdir()] == ["mnist.lock"]


def test_killed_in_the_middle_of_a_conversion(mnist, folder):
    from largemodels import data

    half = folder / ".downloads" / "mnist.new" / "mnist.npz"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"PK half a file")
    assert data.load("mnist").x_train.sum() == mnist.x_train.sum()
    assert not half.parent.exists()


def test_stopped_at_the_last_moment(mnist, folder, monkeypatch):
    """The file comes to its final name in one step: before that step nothing is there."""
    from largemodels import data

    replace = Path.replace

    def stop(self, target):
        if target == folder / "mnist.npz":
            assert not target.exists()
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            data.load("mnist")
    assert final_files(folder) == ["mnist.npz.sha256"]
    assert "mnist=sample" in data.fingerprint()
    assert data.load("mnist").x_train.sum() == mnist.x_train.sum()


@pytest.mark.parametrize("wrong", ["x_train", "y_test"])
def test_a_conversion_that_goes_wrong_leaves_nothing(mnist, offer, make, folder, wrong):
    """The published file has an unexpected form: better no data than other data."""
    from largemodels import data

    arrays = {key: getattr(mnist, key) for key in ("x_train", "y_train", "x_test", "y_test")}
    arrays[wrong] = arrays[wrong][:-1]
    offer("mnist", *map(make.idx, arrays.values()), sizes=(400, 20))
    with pytest.raises(data.DataError, match=f"`{wrong}` must have shape"):
        data.load("mnist")
    assert final_files(folder) == []


def test_folder_that_is_a_file(mnist, folder):
    from largemodels import data

    folder.write_text("not a folder")
    with pytest.raises(data.DataError, match=r"`LARGEMODELS_DATA` \(=.*\) must be a folder"):
        data.load("mnist")
