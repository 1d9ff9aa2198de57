"""Whatever a server does: the right data, or an error that says what was wrong. Never half a file.

Every test downloads through a real HTTP server, see `conftest.py`.
"""

import numpy as np
import pytest

from largemodels import data
from largemodels.data import download


def final_files(folder):
    """Return everything that lies under a final name."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".downloads")


def received(server, path):
    """Return how many bytes are kept of a file whose first half was sent."""
    half = len(server.contents[path]) // 2
    return half - half % download.CHUNK_BYTES


def assert_right(dataset, mnist):
    assert not dataset.is_sample
    for key in ("x_train", "y_train", "x_test", "y_test"):
        array = getattr(dataset, key)
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, getattr(mnist, key))


def test_good_server(mnist, folder, server, capsys):
    assert_right(data.load("mnist"), mnist)
    assert final_files(folder) == ["mnist.npz", "mnist.npz.sha256"]
    assert [path.name for path in (folder / ".downloads").iterdir()] == ["mnist.lock"]
    assert capsys.readouterr().out == ""

    asked = len(server.asked)
    assert_right(data.load("mnist"), mnist)
    assert len(server.asked) == asked, "the second call must not ask the server"


def test_source_says_official_only_for_what_was_verified(mnist, folder):
    assert data.load("mnist").source == "MNIST, official data (mnist.npz)"
    np.savez(
        folder / "mnist.npz",
        x_train=mnist.x_train ^ 1,
        y_train=mnist.y_train,
        x_test=mnist.x_test,
        y_test=mnist.y_test,
    )
    assert "local copy" in data.load("mnist").source
    (folder / "mnist.npz.sha256").unlink()
    assert "local copy" in data.load("mnist").source


@pytest.mark.parametrize(
    ("manners", "requests"),
    [
        (["redirect", "good"], 2),
        (["error_500", "good"], 2),
        (["hang_up", "good"], 2),
        (["hang_up", "error_500", "truncate", "good"], 4),
        (["truncate", "good_without_ranges"], 2),
        (["truncate", "no_such_range"], 3),
        (["end_early", "good"], 2),
        (["stall", "good"], 2),
    ],
)
def test_passing_troubles_are_mended(mnist, server, manners, requests, monkeypatch):
    if "stall" in manners:
        monkeypatch.setattr(download, "READ_SECONDS", 1.5)
    server.manners[mnist.path] = manners
    assert_right(data.load("mnist"), mnist)
    assert len([path for path, _ in server.asked if path.endswith(mnist.path)]) == requests


def test_after_an_interruption_only_the_rest_is_asked_for(mnist, server):
    server.manners[mnist.path] = ["truncate", "good"]
    data.load("mnist")
    ranges = [wanted for path, wanted in server.asked if path == mnist.path]
    assert ranges == [None, f"bytes={received(server, mnist.path)}-"]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(mnist, folder, server):
    server.manners[mnist.path] = ["truncate"]
    with pytest.raises(data.DataError, match="load again to go on"):
        data.load("mnist")
    assert final_files(folder) == []

    server.asked.clear()
    server.manners[mnist.path] = ["good"]
    assert_right(data.load("mnist"), mnist)
    assert server.asked[0] == (mnist.path, f"bytes={received(server, mnist.path)}-")


def test_a_damaged_piece_is_not_used(mnist, folder, server):
    server.manners[mnist.path] = ["truncate"]
    with pytest.raises(data.DataError):
        data.load("mnist")
    piece = folder / ".downloads" / f"{mnist.source.files[0].name}.part"
    piece.write_bytes(bytes(piece.stat().st_size))

    server.manners[mnist.path] = ["good"]
    assert_right(data.load("mnist"), mnist)


@pytest.mark.parametrize(
    ("manner", "expected", "got"),
    [
        ("corrupt", "expected SHA-256 {sha256}", "got "),
        ("too_long", "expected {size:,} bytes", "got at least "),
        ("truncate", "expected {size:,} bytes", "got {received:,}"),
        ("end_early", "expected {size:,} bytes", "got {half:,}"),
        ("login_page", "expected {size:,} bytes", "got {page}"),
        ("stall", "expected {size:,} bytes", "got {received:,}"),
        ("hang_up", "expected {size:,} bytes", "got 0"),
        ("error_500", "expected status 200", "got 500"),
        ("error_404", "expected status 200", "got 404"),
        ("redirect_for_ever", "expected status 200", "got 302"),
    ],
)
def test_lasting_troubles_are_errors(mnist, folder, server, manner, expected, got, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 2)
    if manner == "stall":
        monkeypatch.setattr(download, "READ_SECONDS", 1.5)
    server.manners[mnist.path] = [manner]
    file = mnist.source.files[0]
    with pytest.raises(data.DataError) as caught:
        data.load("mnist")
    message = str(caught.value)
    values = {
        "sha256": file.sha256,
        "size": file.size,
        "half": file.size // 2,
        "received": received(server, mnist.path),
        "page": len("<html>Please log in to this network.</html>"),
    }
    for part in (file.name, file.urls[0], expected.format(**values), got.format(**values)):
        assert part in message
    assert "LARGEMODELS_OFFLINE=1" in message
    assert "\n" not in message
    assert final_files(folder) == []


def test_wrong_content_in_the_second_file_leaves_nothing(mnist, folder, server):
    second = f"/{mnist.source.files[1].name}"
    server.manners[second] = ["corrupt"]
    with pytest.raises(data.DataError, match=second):
        data.load("mnist")
    assert final_files(folder) == []

    server.asked.clear()
    server.manners[second] = ["good"]
    assert_right(data.load("mnist"), mnist)
    assert mnist.path not in [path for path, _ in server.asked], "the first file was complete"


def test_a_kept_download_is_verified_again(mnist, folder, server):
    server.manners[f"/{mnist.source.files[1].name}"] = ["error_404", "good"]
    with pytest.raises(data.DataError):
        data.load("mnist")
    kept = folder / ".downloads" / mnist.source.files[0].name
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    assert_right(data.load("mnist"), mnist)


def with_mirror(recipes, name, url):
    """Put `url` before the address of the first file of a data set."""
    from dataclasses import replace

    recipe = recipes[name]
    first, *others = recipe.source.files
    first = replace(first, urls=(url, *first.urls))
    source = replace(recipe.source, files=(first, *others))
    return replace(recipe, source=source)


@pytest.mark.parametrize("trouble", ["corrupt", "error_404", "no connection"])
def test_a_mirror_helps(mnist, server, monkeypatch, trouble):
    first = f"{server.address}/elsewhere"
    if trouble == "no connection":
        first = "http://127.0.0.1:9/elsewhere"
    else:
        server.contents["/elsewhere"] = server.contents[mnist.path]
        server.manners["/elsewhere"] = [trouble]
    recipes = data.loading.RECIPES
    monkeypatch.setitem(recipes, "mnist", with_mirror(recipes, "mnist", first))
    assert_right(data.load("mnist"), mnist)


def test_no_network_gives_the_sample_and_writes_nothing(mnist, folder, server, capsys):
    server.shutdown()
    server.server_close()
    dataset = data.load("mnist")
    assert dataset.is_sample
    assert not folder.exists()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    for part in ("MNIST", "offline sample", "no connection to 127.0.0.1", "LARGEMODELS_DATA"):
        assert part in lines[0]


def test_a_server_that_never_answers_is_asked_once(mnist, monkeypatch, capsys):
    import socket

    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.1)
    asked = []
    head = download.requests.head
    monkeypatch.setattr(
        download.requests, "head", lambda url, **more: asked.append(url) or head(url, **more)
    )
    with socket.create_server(("127.0.0.1", 0)) as mute:  # It accepts, and says nothing.
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/file"
        for recipe in list(data.loading.RECIPES.values()):
            files = [download.RemoteFile(f.name, (url,), f.sha256, 1) for f in recipe.source.files]
            changed = data.loading.Recipe(
                data.loading.sources.Source(**{**vars(recipe.source), "files": tuple(files)}),
                recipe.convert,
                recipe.read,
                recipe.sample,
            )
            monkeypatch.setitem(data.loading.RECIPES, recipe.source.name, changed)
        for name in data.loading.RECIPES:
            assert data.load(name).is_sample
    assert len(asked) == 1
    assert len(capsys.readouterr().out.splitlines()) == len(data.loading.RECIPES)


def test_a_name_that_does_not_resolve_is_no_network(mnist, monkeypatch):
    recipes = data.loading.RECIPES
    nowhere = download.RemoteFile("file", ("https://nowhere.invalid/file",), "0", 1)
    with pytest.raises(download.UnreachableError, match=r"no connection to nowhere\.invalid"):
        download.reachable(nowhere)
    assert recipes["mnist"].source is mnist.source


def test_offline_asks_nobody(mnist, folder, server, monkeypatch, capsys):
    monkeypatch.setenv("LARGEMODELS_OFFLINE", "1")
    assert data.load("mnist").is_sample
    assert server.asked == []
    assert "LARGEMODELS_OFFLINE is set" in capsys.readouterr().out
    monkeypatch.setenv("LARGEMODELS_OFFLINE", "0")
    assert_right(data.load("mnist"), mnist)
    monkeypatch.setenv("LARGEMODELS_OFFLINE", "1")
    assert_right(data.load("mnist"), mnist)


def test_progress_goes_to_stderr_and_can_be_silenced(mnist, make, folder):
    process = make.in_process(mnist.source, folder)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "mnist-train-images-idx3-ubyte.gz: " in err
    assert out.startswith("sum")
    assert out.count("\n") == 1
