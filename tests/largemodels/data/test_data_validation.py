"""What lies in the cache may come from anywhere: what is not exactly right is refused by name."""

import csv
import lzma

import numpy as np
import pytest

from largemodels import data


@pytest.fixture
def npz(mnist, folder):
    """Return a function that lays a changed `mnist.npz` into the cache."""
    folder.mkdir()

    def npz(**changes):
        arrays = {key: getattr(mnist, key) for key in ("x_train", "y_train", "x_test", "y_test")}
        arrays.update(changes)
        present = {key: array for key, array in arrays.items() if array is not None}
        np.savez(folder / "mnist.npz", **present)
        return folder / "mnist.npz"

    return npz


def refuse(path, *parts, name="mnist"):
    """Expect an error of one line that names the file, what is wrong, and what to do."""
    with pytest.raises(data.DataError) as caught:
        data.load(name)
    message = str(caught.value)
    for part in (str(path), *parts, "Delete the file to download it again."):
        assert part in message
    assert "\n" not in message


def test_a_right_file_is_used_without_network(npz, server, mnist):
    npz()
    np.testing.assert_array_equal(data.load("mnist").x_test, mnist.x_test)
    assert server.asked == []


def test_missing_arrays(npz):
    refuse(npz(y_train=None, x_test=None), "must hold the arrays", "y_train, x_test missing")


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int8, bool])
def test_wrong_dtype(npz, mnist, dtype):
    path = npz(x_train=mnist.x_train.astype(dtype))
    refuse(path, "`x_train`", "dtype uint8", f"got shape (400, 28, 28) and dtype {dtype.__name__}")


def test_wrong_dtype_of_labels(npz, mnist):
    refuse(npz(y_test=mnist.y_test.astype(float)), "`y_test`", "float64")


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("x_train", (400, 784)),
        ("x_train", (28, 28, 400)),
        ("x_test", (20, 28, 28, 1)),
        ("y_train", (400, 1)),
    ],
)
def test_wrong_shape(npz, mnist, key, shape):
    path = npz(**{key: getattr(mnist, key).reshape(shape)})
    refuse(path, f"`{key}`", f"got shape {shape}")


def test_wrong_number(npz, mnist):
    path = npz(x_train=mnist.x_train[:-1], y_train=mnist.y_train[:-1])
    refuse(path, "`x_train` must have shape (400, 28, 28)", "(399, 28, 28)")


def test_label_out_of_range(npz, mnist):
    labels = mnist.y_train.copy()
    labels[7] = 10
    refuse(npz(y_train=labels), "`y_train`", "from 0 to 9", "got 11 labels from 0 to 10")


def test_labels_that_lack_a_class(npz, mnist):
    refuse(npz(y_train=np.zeros_like(mnist.y_train)), "got 1 labels from 0 to 0")


@pytest.mark.parametrize("keep", [0, 10, 5000, -30])
def test_truncated(npz, keep):
    path = npz()
    path.write_bytes(path.read_bytes()[:keep])
    refuse(path, "cannot be read")


def test_flipped_bit(npz):
    path = npz()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refuse(path, "cannot be read", "CRC")


def test_not_an_archive(npz):
    path = npz()
    path.write_text("<html>Please log in.</html>")
    refuse(path, "cannot be read")


def test_one_array_only(npz, mnist):
    path = npz()
    with path.open("wb") as file:
        np.save(file, mnist.x_train)
    refuse(path, "x_train, y_train, x_test, y_test missing")


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_pickled_objects(npz):
    trap = np.array([Trap()] * 400, dtype=object)
    refuse(npz(y_train=trap), "allow_pickle=False")


def test_a_folder_under_the_name_of_the_file(npz):
    path = npz()
    path.unlink()
    (path / "something").mkdir(parents=True)
    with pytest.raises(data.DataError, match=r"mnist\.npz: cannot store what comes from .* got: "):
        data.load("mnist")
    assert (path / "something").is_dir()


def test_grouped_classes_are_mixed(npz, mnist):
    order = np.argsort(mnist.y_train, kind="stable")
    npz(x_train=mnist.x_train[order], y_train=mnist.y_train[order])
    dataset = data.load("mnist")
    assert len(np.unique(dataset.y_train[:60])) == 10
    pairs = zip(mnist.x_train, mnist.y_train, strict=True)
    label_of = {image.tobytes(): label for image, label in pairs}
    assert all(
        label_of[image.tobytes()] == label
        for image, label in zip(dataset.x_train, dataset.y_train, strict=True)
    )
    np.testing.assert_array_equal(data.load("mnist").y_train, dataset.y_train)


GOOD_ROWS = [
    ["train", "1", "9", "Good."],
    ["train", "0", "2", "Bad, really."],
    ["test", "1", "7", "Fine."],
    ["test", "0", "4", "Poor."],
]


@pytest.fixture
def csv_xz(offer, folder):
    """Return a function that lays an `imdb.csv.xz` with these rows into the cache."""
    offer("imdb", b"", sizes=(2, 2))
    folder.mkdir()

    def csv_xz(rows, header=("split", "label", "rating", "text")):
        path = folder / "imdb.csv.xz"
        with lzma.open(path, "wt", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    return csv_xz


def test_right_reviews(csv_xz):
    csv_xz(GOOD_ROWS)
    dataset = data.load("imdb")
    assert sorted(dataset.x_train) == ["Bad, really.", "Good."]
    csv_xz(GOOD_ROWS[::-1])
    np.testing.assert_array_equal(data.load("imdb").x_train, dataset.x_train)


@pytest.mark.parametrize(
    "row",
    [
        ["validation", "1", "9", "text"],
        ["train", "2", "9", "text"],
        ["train", "-1", "9", "text"],
        ["train", "1", "3", "a rating that contradicts the label"],
        ["train", "0", "8", "a rating that contradicts the label"],
        ["train", "1", "11", "text"],
        ["train", "1", "", "text"],
        ["train", "1", "9", ""],
        ["train", "1", "9"],
        ["train", "1", "9", "text", "more"],
        [],
    ],
)
def test_wrong_review(csv_xz, row):
    refuse(csv_xz([GOOD_ROWS[0], row, *GOOD_ROWS[2:]]), "line 3", ",".join(row), name="imdb")


def test_wrong_header(csv_xz):
    path = csv_xz(GOOD_ROWS, header=("text", "label"))
    refuse(path, "first line", "text,label", name="imdb")


def test_wrong_number_of_reviews(csv_xz):
    refuse(csv_xz(GOOD_ROWS[:3]), "expected 2 reviews for test", "got 1 and 1", name="imdb")
    rows = [["train", "1", "8", "Also good."], *GOOD_ROWS[:1], *GOOD_ROWS[2:]]
    refuse(csv_xz(rows), "1 of them positive; got 2 and 2", name="imdb")


@pytest.mark.parametrize("damage", ["cut", "text", "bytes", "empty"])
def test_damaged_reviews(csv_xz, damage):
    path = csv_xz(GOOD_ROWS)
    if damage == "bytes":
        with lzma.open(path, "wb") as file:
            file.write(b"split,label,rating,text\ntrain,1,9,\xff\xfe\n")
    else:
        whole = path.read_bytes()
        path.write_bytes({"cut": whole[:-20], "text": b"no archive", "empty": b""}[damage])
    refuse(path, name="imdb")


@pytest.fixture
def movies(offer, folder):
    """Return a function that lays MovieLens files with these lines into the cache."""
    offer("movielens_100k", b"", sizes=(3, 1), shape=(2, 2))
    (folder / "ml-100k").mkdir(parents=True)

    def movies(data_lines=DATA, item_lines=ITEMS):
        (folder / "ml-100k/u.item").write_text("".join(item_lines), encoding="latin-1")
        (folder / "ml-100k/u.data").write_text("".join(data_lines))
        return folder / "ml-100k"

    return movies


DATA = ["1\t1\t5\t88\n", "1\t2\t3\t88\n", "2\t1\t1\t88\n", "2\t2\t4\t88\n"]
ITEMS = [f"{i}|Film {i}|" + "|" * 21 + "\n" for i in (1, 2)]


def test_right_ratings(movies):
    movies()
    assert data.load("movielens_100k").item_titles == ("Film 1", "Film 2")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("3\t2\t4\t88\n", "every user must be from 1 to 2; got 1 to 3"),
        ("2\t0\t4\t88\n", "every item must be from 1 to 2; got 0 to 2"),
        ("2\t2\t6\t88\n", "every rating must be from 1 to 5; got 1 to 6"),
        ("2\t1\t4\t88\n", "same item twice"),
        ("", "expected 4 rows of user, item, rating and time; got 3 rows of 4"),
        ("2\t2\t4\n", "cannot be read"),
        ("2\ttwo\t4\t88\n", "cannot be read"),
        ("2\t2\t4.5\t88\n", "cannot be read"),
    ],
)
def test_wrong_rating(movies, line, says):
    path = movies([*DATA[:3], line])
    refuse(path / "u.data", says, name="movielens_100k")


@pytest.mark.parametrize("items", [ITEMS[:1], ITEMS[::-1], [ITEMS[0], "2|Film 2\n"], []])
def test_wrong_items(movies, items):
    path = movies(DATA, items)
    refuse(path / "u.item", "expected 2 lines of 24 fields", name="movielens_100k")
