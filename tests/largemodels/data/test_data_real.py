"""The real data sets, where `LARGEMODELS_DATA` names a folder that holds them."""

import os

import numpy as np
import pytest

from largemodels import data

needs = {
    name: pytest.mark.skipif(
        not os.environ.get("LARGEMODELS_DATA") or f"{name}=real" not in data.fingerprint(),
        reason=f"LARGEMODELS_DATA names no folder with the real {name}",
    )
    for name in data.NAMES
}


@needs["mnist"]
def test_real_mnist():
    dataset = data.load("mnist")
    assert dataset.source == "MNIST, official data (mnist.npz)", "every pixel as published"
    assert dataset.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(dataset.y_test).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert abs(dataset.x_train.mean() / 255 - 0.1307) < 1e-4


@needs["cifar10"]
def test_real_cifar10():
    dataset = data.load("cifar10")
    assert np.bincount(dataset.y_train).tolist() == [5000] * 10
    assert np.bincount(dataset.y_test).tolist() == [1000] * 10
    assert len(np.unique(dataset.y_train[:100])) == 10, "the classes are mixed"
    mean = dataset.x_train.mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=2e-3)


@needs["imdb"]
def test_real_imdb():
    dataset = data.load("imdb")
    assert dataset.x_train.shape == dataset.y_test.shape == (25_000,)
    assert dataset.y_train.mean() == dataset.y_test.mean() == 0.5
    assert 0.4 < dataset.y_train[:1000].mean() < 0.6, "the classes are mixed"
    # Words, of which everybody knows what they mean for a film.
    shares = [
        np.mean([word in text for text in dataset.x_train[dataset.y_train == label]])
        for word in ("awful", "wonderful")
        for label in (0, 1)
    ]
    assert shares[0] > 3 * shares[1]
    assert shares[3] > 2 * shares[2]


@needs["movielens_100k"]
def test_real_movielens():
    dataset = data.load("movielens_100k")
    stars = np.concatenate([dataset.y_train, dataset.y_test])
    assert np.bincount(stars.astype(int)).tolist() == [0, 6110, 11370, 27145, 34174, 21201]
    pairs = np.concatenate([dataset.x_train, dataset.x_test])
    most_rated = np.bincount(pairs[:, 1]).argmax()
    assert dataset.item_titles[most_rated] == "Star Wars (1977)"
    assert np.bincount(pairs[:, 0]).min() == 20


@needs["tiny_shakespeare"]
def test_real_tiny_shakespeare():
    dataset = data.load("tiny_shakespeare")
    text = dataset.x_train + dataset.x_test
    assert len(text) == 1_115_394
    assert len(set(text)) == 65
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n")
