"""Where each data set comes from: official addresses, published checksums, expected form.

Every checksum is one that somebody else published. The comment beside it says who, so that
you can compare. TFDS stands for TensorFlow Datasets, folder `tensorflow_datasets/url_checksums/`
of https://github.com/tensorflow/datasets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RemoteFile:
    """A file on the internet.

    Args:
        name: Its name while it lies in the cache.
        urls: Addresses of the very same bytes; the first that answers is used.
        sha256: The published checksum.
        size: The published size in bytes.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str
    size: int


@dataclass(frozen=True)
class Source:
    """A data set as its publisher offers it, and the form it has in the cache.

    Args:
        name: The name for `load`.
        title: The name that its publisher gave it.
        license: The terms of use, in short.
        files: What to download.
        cached: The files in the cache folder.
        sizes: Number of training and of test examples.
        shape: The shape of one image; for ratings the number of users and of items.
        class_names: The name of each class, indexed by label.
        idx_md5: MD5 of each array as an uncompressed IDX file, where somebody publishes it.
    """

    name: str
    title: str
    license: str
    files: tuple[RemoteFile, ...]
    cached: tuple[str, ...]
    sizes: tuple[int, int] = (0, 0)
    shape: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    idx_md5: Mapping[str, str] = field(default_factory=dict)


def _idx_files(
    name: str, folders: tuple[str, ...], files: tuple[tuple[str, str, int], ...]
) -> tuple[RemoteFile, ...]:
    """Return the four files of a data set in the format of MNIST."""
    return tuple(
        RemoteFile(
            f"{name}-{file}.gz", tuple(f"{folder}/{file}.gz" for folder in folders), sha256, size
        )
        for file, sha256, size in files
    )


MNIST = Source(
    name="mnist",
    title="MNIST",
    license="CC BY-SA 3.0",
    # Home page: http://yann.lecun.com/exdb/mnist/.
    # The home page no longer serves the files. The first folder is the mirror of torchvision
    # (`torchvision/datasets/mnist.py`), the second the one of TFDS.
    # Checksums and sizes: TFDS, `mnist.txt`.
    files=_idx_files(
        "mnist",
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        (
            (
                "train-images-idx3-ubyte",
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                9_912_422,
            ),
            (
                "train-labels-idx1-ubyte",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                28_881,
            ),
            (
                "t10k-images-idx3-ubyte",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                1_648_877,
            ),
            (
                "t10k-labels-idx1-ubyte",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                4_542,
            ),
        ),
    ),
    cached=("mnist.npz",),
    sizes=(60_000, 10_000),
    shape=(28, 28),
    class_names=tuple("0123456789"),
    # With these a `mnist.npz` from anywhere (Keras offers one) can be told to be exact.
    # Many projects publish them, among them SecML (`src/secml/data/loader/c_dataloader_mnist.py` of
    # https://github.com/pralab/secml).
    idx_md5={
        "x_train": "6bbc9ace898e44ae57da46a324031adb",
        "y_train": "a25bea736e30d166cdddb491f175f624",
        "x_test": "2646ac647ad5339dbf082846283269ea",
        "y_test": "27ae3e4e09519cfbb04c329615203637",
    },
)

FASHION_MNIST = Source(
    name="fashion_mnist",
    title="Fashion-MNIST",
    license="MIT",
    # Home page: https://github.com/zalandoresearch/fashion-mnist.
    # Both folders are the publisher's, named in its README. S3 websites have no HTTPS; the
    # checksum makes up for that.
    # Checksums and sizes: TFDS, `fashion_mnist.txt` (the README states MD5).
    files=_idx_files(
        "fashion_mnist",
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
        ),
        (
            (
                "train-images-idx3-ubyte",
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                26_421_880,
            ),
            (
                "train-labels-idx1-ubyte",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                29_515,
            ),
            (
                "t10k-images-idx3-ubyte",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                4_422_102,
            ),
            (
                "t10k-labels-idx1-ubyte",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                5_148,
            ),
        ),
    ),
    cached=("fashion_mnist.npz",),
    sizes=(60_000, 10_000),
    shape=(28, 28),
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
)

CIFAR10 = Source(
    name="cifar10",
    title="CIFAR-10",
    license="none stated; cite Krizhevsky (2009)",
    # Home page: https://www.cs.toronto.edu/~kriz/cifar.html.
    # The binary version, because the Python version is a pickle, and a pickle can run code.
    # Checksum and size: TFDS, `cifar10.txt` (the home page states MD5
    # c32a1d4ab5d03f1284b67883e8d87530).
    files=(
        RemoteFile(
            "cifar-10-binary.tar.gz",
            ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            170_052_171,
        ),
    ),
    cached=("cifar10.npz",),
    sizes=(50_000, 10_000),
    shape=(32, 32, 3),
    class_names=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
)

IMDB = Source(
    name="imdb",
    title="Large Movie Review data set",
    license="none stated; cite Maas et al. (2011)",
    # Home page: https://ai.stanford.edu/~amaas/data/sentiment/.
    # Checksum and size: TFDS, `imdb_reviews.txt` (torchtext states MD5
    # 7c2ac02c03563afcf9b574c7e56c153a, `torchtext/datasets/imdb.py`).
    files=(
        RemoteFile(
            "aclImdb_v1.tar.gz",
            ("https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",),
            "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
            84_125_825,
        ),
    ),
    cached=("imdb.csv.xz",),
    sizes=(25_000, 25_000),
    class_names=("negative", "positive"),
)

MOVIELENS_100K = Source(
    name="movielens_100k",
    title="MovieLens 100K",
    license="research use, no redistribution",
    # Home page: https://grouplens.org/datasets/movielens/100k/.
    # Checksum and size: TFDS, `movielens.txt` (GroupLens states MD5
    # 0e33842e24a9c977be4e0107933c0723 in `ml-100k.zip.md5`).
    files=(
        RemoteFile(
            "ml-100k.zip",
            ("https://files.grouplens.org/datasets/movielens/ml-100k.zip",),
            "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
            4_924_029,
        ),
    ),
    cached=("ml-100k/u.item", "ml-100k/u.data"),
    sizes=(80_000, 20_000),
    shape=(943, 1682),
)

TINY_SHAKESPEARE = Source(
    name="tiny_shakespeare",
    title="Tiny Shakespeare",
    license="public domain",
    # Home page: https://github.com/karpathy/char-rnn.
    # Checksum and size: TFDS, `tiny_shakespeare.txt`.
    files=(
        RemoteFile(
            "tinyshakespeare.txt",
            (
                "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            ),
            "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            1_115_394,
        ),
    ),
    cached=("tinyshakespeare.txt",),
)
