"""From the official archive through a real server to the arrays: every data set, in small."""

import csv
import io
import lzma
import pickle

import numpy as np
import pytest

from largemodels import data


def test_fashion_mnist(offer, make, folder):
    train, test = make.images(30, (28, 28), seed=1), make.images(20, (28, 28), seed=2)
    offer("fashion_mnist", *map(make.idx, (*train, *test)), sizes=(30, 20))
    dataset = data.load("fashion_mnist")
    np.testing.assert_array_equal(dataset.x_train, train[0])
    np.testing.assert_array_equal(dataset.y_test, test[1])
    assert dataset.class_names[9] == "Ankle boot"
    assert dataset.source == "Fashion-MNIST, official data (fashion_mnist.npz)"


def cifar_archive(make, images, labels):
    # (N, H, W, C) -> (N, C, H, W): the publisher stores one color after the other.
    rows = [
        bytes([label]) + image.transpose(2, 0, 1).tobytes()
        for image, label in zip(images, labels, strict=True)
    ]
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    parts = [b"".join(rows[i : i + 10]) for i in range(0, 60, 10)]
    members = {f"cifar-10-batches-bin/{n}": part for n, part in zip(names, parts, strict=True)}
    # The order in the archive, which is not that of the batches, must not matter.
    return {"cifar-10-batches-bin/readme.html": b"hello"} | dict(reversed(members.items()))


def test_cifar10(offer, make, folder):
    images, labels = make.images(60, (32, 32, 3), seed=1)
    labels[50:] = np.random.default_rng(0).permutation(10)
    offer("cifar10", make.tar(cifar_archive(make, images, labels)), sizes=(50, 10))
    dataset = data.load("cifar10")
    np.testing.assert_array_equal(dataset.x_train, images[:50])
    np.testing.assert_array_equal(dataset.y_train, labels[:50])
    np.testing.assert_array_equal(dataset.x_test, images[50:])
    assert dataset.class_names[labels[0]] in ("airplane", "truck", *dataset.class_names)


def test_an_archive_cannot_write_elsewhere(offer, make, folder, tmp_path):
    images, labels = make.images(60, (32, 32, 3), seed=1)
    labels[50:] = range(10)
    members = cifar_archive(make, images, labels) | {
        "../../escaped.txt": b"!",
        f"{tmp_path}/escaped.txt": b"!",
    }
    offer("cifar10", make.tar(members), sizes=(50, 10))
    data.load("cifar10")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_cifar10_with_a_batch_missing(offer, make, folder):
    images, labels = make.images(60, (32, 32, 3), seed=1)
    members = cifar_archive(make, images, labels)
    del members["cifar-10-batches-bin/data_batch_3.bin"]
    offer("cifar10", make.tar(members), sizes=(50, 10))
    with pytest.raises(data.DataError, match=r"expected a member .*data_batch_3\.bin"):
        data.load("cifar10")


REVIEWS = {
    "aclImdb/train/pos/0_9.txt": 'Good, "very" good.\nTwo lines; naïve – ünïcode.',
    "aclImdb/train/pos/1_7.txt": "It was fine.",
    "aclImdb/train/neg/0_1.txt": "No.<br />No!",
    "aclImdb/train/neg/10_4.txt": "Meh, 'sort of'.",
    "aclImdb/test/pos/0_10.txt": "Yes",
    "aclImdb/test/neg/0_3.txt": "Bad",
    "aclImdb/train/unsup/0_0.txt": "nobody knows",
    "aclImdb/train/urls_pos.txt": "http://example.org",
}


def test_imdb(offer, make, folder):
    archive = make.tar({name: text.encode() for name, text in REVIEWS.items()})
    offer("imdb", archive, sizes=(4, 2))
    dataset = data.load("imdb")
    expected = {text: int("/pos/" in name) for name, text in REVIEWS.items() if "/train/" in name}
    del expected["nobody knows"], expected["http://example.org"]
    assert dict(zip(dataset.x_train, dataset.y_train, strict=True)) == expected
    assert set(dataset.x_test) == {"Yes", "Bad"}
    assert dataset.x_train.dtype == object
    assert dataset.y_train.dtype == np.uint8
    assert [dataset.class_names[i] for i in (0, 1)] == ["negative", "positive"]

    with lzma.open(folder / "imdb.csv.xz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["split", "label", "rating", "text"]
    assert ["train", "1", "9", REVIEWS["aclImdb/train/pos/0_9.txt"]] in rows


def test_movielens(offer, make, folder):
    pairs = [(user, item) for user in range(1, 4) for item in range(1, 3)]
    rows = [f"{user}\t{item}\t{1 + (user * item) % 5}\t88\n" for user, item in pairs]
    items = [f"{i}|Caf\xe9 {i} (1995)|" + "|" * 21 + "\n" for i in (1, 2)]
    archive = make.zipped(
        {
            "ml-100k/u.data": "".join(reversed(rows)).encode(),
            "ml-100k/u.item": "".join(items).encode("latin-1"),
            "ml-100k/../../escaped.txt": b"!",
        }
    )
    offer("movielens_100k", archive, sizes=(4, 2), shape=(3, 2))
    dataset = data.load("movielens_100k")
    assert dataset.item_titles == ("Caf\xe9 1 (1995)", "Caf\xe9 2 (1995)")
    x = np.concatenate([dataset.x_train, dataset.x_test])
    y = np.concatenate([dataset.y_train, dataset.y_test])
    assert {tuple(pair) for pair in x + 1} == set(pairs)
    np.testing.assert_array_equal(y, 1 + np.prod(x + 1, axis=1) % 5)
    assert (x.dtype, y.dtype) == (np.int64, np.float32)
    assert dataset.source == "MovieLens 100K, official data (ml-100k/u.data)"

    # The order of the rows in the file must not change the split.
    (folder / "ml-100k/u.data").write_text("".join(rows))
    again = data.load("movielens_100k")
    np.testing.assert_array_equal(again.x_test, dataset.x_test)
    assert "local copy" in again.source


def test_tiny_shakespeare(offer, folder):
    text = "First Citizen:\nBefore we proceed any further, hear me speak.\n" * 10
    offer("tiny_shakespeare", text.encode())
    dataset = data.load("tiny_shakespeare")
    assert dataset.x_train + dataset.x_test == text
    assert len(dataset.x_train) == round(0.9 * len(text))
    assert dataset.y_train is dataset.y_test is None

    (folder / "tinyshakespeare.txt").write_text(text.replace("\n", "\r\n"), newline="")
    with pytest.raises(data.DataError, match=r"expected SHA-256 .* got "):
        data.load("tiny_shakespeare")


def test_nothing_is_ever_unpickled(offer, make, folder):
    """The right checksum is no licence to run code."""

    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    buffer = io.BytesIO()
    np.savez(buffer, x_train=np.array([Trap()], dtype=object))
    train, test = make.images(30, (28, 28), seed=1), make.images(20, (28, 28), seed=2)
    offer("mnist", pickle.dumps(Trap()), *map(make.idx, (train[1], *test)), sizes=(30, 20))
    with pytest.raises(data.DataError):
        data.load("mnist")
    folder.mkdir(exist_ok=True)
    (folder / "mnist.npz").write_bytes(buffer.getvalue())
    with pytest.raises(data.DataError):
        data.load("mnist")
