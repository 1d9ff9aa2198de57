"""Names, summaries and start-up."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import largemodels.data
from largemodels import data

MODULES = ["largemodels.data"] + [
    f"largemodels.data.{module.name}" for module in pkgutil.iter_modules(largemodels.data.__path__)
]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("minst", "Did you mean 'mnist'?"),
        ("MNIST", "Did you mean 'mnist'?"),
        ("cifar-10", "Did you mean 'cifar10'?"),
        ("movielens", "Did you mean 'movielens_100k'?"),
        ("imagenet21k-winter", "one of mnist, fashion_mnist, cifar10, imdb, movielens_100k, "),
        (None, "`name` (=None)"),
    ],
)
def test_unknown_name(name, hint):
    with pytest.raises(ValueError, match="must be one of ") as caught:
        data.load(name)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fingerprint_follows_the_files(mnist, folder):
    nothing = data.fingerprint()
    assert nothing.startswith("mnist=sample fashion_mnist=sample ")
    assert nothing.endswith(" digits=real")
    data.load("mnist")
    first = data.fingerprint()
    assert first.startswith("mnist=real:")
    assert data.fingerprint() == first
    (folder / "mnist.npz").write_bytes(b"other")
    assert data.fingerprint() not in (nothing, first)
    (folder / "ml-100k").mkdir()
    (folder / "ml-100k/u.data").write_text("without u.item")
    assert "movielens_100k=sample" in data.fingerprint()


def test_fingerprint_and_describe_ask_nobody(mnist, folder, server):
    data.fingerprint()
    text = data.describe()
    assert server.asked == []
    assert not folder.exists()
    assert str(folder) in text
    assert all(name in text for name in data.NAMES)
    assert "not here: 170 MB from www.cs.toronto.edu, or the offline sample" in text
    data.load("mnist")
    assert "real data (mnist.npz)" in data.describe()


def test_the_folder_of_the_user_is_the_default(monkeypatch, tmp_path):
    monkeypatch.delenv("LARGEMODELS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert str(data.cache.data_folder()).endswith("largemodels")
    monkeypatch.setenv("LARGEMODELS_DATA", "~/somewhere")
    assert "~" not in str(data.cache.data_folder())


def test_import_is_light():
    """NumPy only: nothing that talks to the network, nothing that learns."""
    program = "import sys, largemodels.data; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    heavy = {
        "requests",
        "tqdm",
        "sklearn",
        "scipy",
        "torch",
        "tensorflow",
        "matplotlib",
        "filelock",
    }
    assert not loaded & heavy


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module):
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0


def test_there_are_examples_in_docstrings():
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = [
        test
        for module in MODULES
        for test in finder.find(importlib.import_module(module))
        if test.examples
    ]
    assert len(tests) >= 5
