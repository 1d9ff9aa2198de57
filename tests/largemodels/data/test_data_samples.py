"""The offline sample has the form of the real data, is the same everywhere, and can be learned."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from largemodels import data
from largemodels.data import samples


@pytest.fixture
def sample(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LARGEMODELS_DATA", str(tmp_path))
    monkeypatch.setenv("LARGEMODELS_OFFLINE", "1")

    def sample(name):
        dataset = data.load(name)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1
        assert dataset.source in lines[0]
        assert data.loading.RECIPES[name].source.title in lines[0]
        assert dataset.is_sample
        assert dataset.source.startswith("offline sample: ")
        assert dataset.name == name
        return dataset

    return sample


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_images(sample, name):
    dataset = sample(name)
    source = data.loading.RECIPES[name].source
    assert dataset.x_train.shape == (1437, *source.shape)
    assert dataset.x_test.shape == (360, *source.shape)
    assert dataset.x_train.dtype == dataset.y_train.dtype == np.uint8
    assert (dataset.x_train.min(), dataset.x_train.max()) == (0, 255)
    assert len(dataset.class_names) == len(source.class_names)
    assert not dataset.x_train[:, :4].any(), "the border is empty"
    assert dataset.x_train[:, 4:24, 4:24].any(axis=(1, 2)).all()


def test_enlarged_digits_are_the_digits(sample):
    """Every corner of the 8×8 grid stays what it was, and no side is preferred."""
    small, large = data.load("digits"), sample("mnist")
    np.testing.assert_array_equal(small.y_test, large.y_test)
    corners = large.x_test[:, 4:24:19, 4:24:19]
    np.testing.assert_array_equal(corners, np.rint(small.x_test[:, ::7, ::7] * (255 / 16)))
    turned = samples._enlarge(small.x_test[:, ::-1, ::-1], (28, 28))
    np.testing.assert_array_equal(turned, large.x_test[:, ::-1, ::-1])


def test_who_changes_the_digits_changes_them_for_nobody_else():
    first = data.load("digits")
    first.x_train[...] = 0
    assert data.load("digits").x_train.max() == 16


def test_digits_need_no_network_and_are_no_sample(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LARGEMODELS_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("LARGEMODELS_OFFLINE", "1")
    dataset = data.load("digits")
    assert not dataset.is_sample
    assert dataset.x_train.shape == (1437, 8, 8)
    assert dataset.x_train.dtype == dataset.y_train.dtype == np.uint8
    assert (dataset.x_train.min(), dataset.x_train.max()) == (0, 16)
    shares = np.bincount(dataset.y_train) / 1437 - np.bincount(dataset.y_test) / 360
    assert np.abs(shares).max() < 0.002
    assert capsys.readouterr().out == ""
    pairs = {image.tobytes() for image in dataset.x_train}
    assert sum(image.tobytes() in pairs for image in dataset.x_test) == 0


def test_reviews_teach_a_bag_of_words(sample):
    dataset = sample("imdb")
    assert "synthetic" in dataset.source
    assert dataset.x_train.dtype == object
    assert all(isinstance(text, str) for text in dataset.x_train)
    assert np.bincount(dataset.y_train).tolist() == [1000, 1000]
    words = CountVectorizer().fit(dataset.x_train)
    model = LogisticRegression().fit(words.transform(dataset.x_train), dataset.y_train)
    accuracy = model.score(words.transform(dataset.x_test), dataset.y_test)
    assert 0.87 < accuracy < 0.93


def test_ratings_have_the_form_of_the_real_ones(sample):
    dataset = sample("movielens_100k")
    assert "synthetic" in dataset.source
    pairs = np.concatenate([dataset.x_train, dataset.x_test])
    stars = np.concatenate([dataset.y_train, dataset.y_test])
    assert dataset.x_train.shape == (80_000, 2)
    assert len(np.unique(pairs, axis=0)) == 100_000
    assert pairs.min(axis=0).tolist() == [0, 0]
    assert pairs[:, 0].max() == 942
    assert pairs[:, 1].max() <= 1681
    assert np.unique(stars).tolist() == [1, 2, 3, 4, 5]
    assert stars.dtype == np.float32
    assert np.bincount(pairs[:, 0]).min() >= 20
    assert len(dataset.item_titles) == 1682


def test_ratings_hold_tastes_beyond_the_averages(sample):
    """Biases explain part of the ratings, a matrix of low rank explains more."""
    dataset = sample("movielens_100k")
    (u, i), y = dataset.x_train.T, dataset.y_train
    (u_test, i_test), y_test = dataset.x_test.T, dataset.y_test

    def rmse(prediction):
        return np.sqrt(np.mean((np.clip(prediction, 1, 5) - y_test) ** 2))

    mean = y.mean()
    user, item = np.zeros(943), np.zeros(1682)
    for _ in range(5):
        item = np.bincount(i, y - mean - user[u], 1682) / (np.bincount(i, minlength=1682) + 5)
        user = np.bincount(u, y - mean - item[i], 943) / (np.bincount(u, minlength=943) + 5)
    biased = mean + user[:, None] + item
    # Alternating least squares, five factors, for all users (then all items) at once.
    known, rest = np.zeros((2, 943, 1682))
    known[u, i], rest[u, i] = 1, y - mean - user[u] - item[i]
    q = np.random.default_rng(0).normal(scale=0.1, size=(1682, 5))
    for step in range(20):
        seen, values = (known, rest) if step % 2 == 0 else (known.T, rest.T)
        squares = (q[:, :, None] * q[:, None, :]).reshape(-1, 25)
        gram = (seen @ squares).reshape(-1, 5, 5) + 3 * np.eye(5)
        p, q = q, np.linalg.solve(gram, (values @ q)[..., None])[..., 0]
    filled = biased + p @ q.T
    errors = [rmse(mean), rmse(biased[u_test, i_test]), rmse(filled[u_test, i_test])]
    assert errors[0] > errors[1] + 0.1
    assert errors[1] > errors[2] + 0.02


def test_text_is_the_course(sample):
    dataset = sample("tiny_shakespeare")
    text = dataset.x_train + dataset.x_test
    assert len(text) > 20_000
    assert len(dataset.x_train) == round(0.9 * len(text))
    assert dataset.y_train is dataset.y_test is None
    for page in samples._pages():
        assert page.read_text(encoding="utf-8") in text
        assert "_build" not in page.parts


@pytest.mark.parametrize("pages", [True, False])
def test_text_of_an_installed_package(tmp_path, monkeypatch, pages):
    """There is no repository: the copies of the pages in the package count, or the docstrings."""
    package = tmp_path / "site-packages" / "largemodels"
    shutil.copytree(samples._PACKAGE, package, ignore=shutil.ignore_patterns("pages"))
    if pages:
        (package / "data/pages/math").mkdir(parents=True)
        (package / "data/pages/index.md").write_text("# The first page\n")
        (package / "data/pages/math/chain.md").write_text("# The second page\n")
        (package / "data/pages/_build").mkdir()
        (package / "data/pages/_build/page.md").write_text("# Not ours\n")
    monkeypatch.setattr(samples, "_PACKAGE", package)
    dataset = samples.course_text(data.loading.RECIPES["tiny_shakespeare"].source)
    text = dataset.x_train + dataset.x_test
    assert ("# The first page\n\n\n# The second page\n" in text) == pages
    assert "Not ours" not in text
    assert "Return every docstring of the package" in text


def test_samples_are_the_same_in_every_process(sample):
    """Also under another hash seed, which would change the order of any set."""
    program = (
        "import hashlib; from largemodels import data; "
        "print(*[hashlib.sha256(repr((d.x_train[:50], d.y_train[:50], d.x_test[-50:]))"
        ".encode()).hexdigest() for d in map(data.load, "
        "('mnist', 'cifar10', 'imdb', 'movielens_100k'))], sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    theirs = [line for line in done.stdout.splitlines() if not line.startswith("largemodels")]
    ours = []
    for name in ("mnist", "cifar10", "imdb", "movielens_100k"):
        d = sample(name)
        content = repr((d.x_train[:50], d.y_train[:50], d.x_test[-50:]))
        ours.append(hashlib.sha256(content.encode()).hexdigest())
    assert theirs == ours


def test_no_sample_is_stored(sample, tmp_path):
    for name in data.loading.RECIPES:
        sample(name)
    assert list(Path(tmp_path).iterdir()) == []
