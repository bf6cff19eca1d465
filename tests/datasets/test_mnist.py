import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from sktally.datasets import load_mnist
from sktally.exceptions import TallyError

REAL = Path(__file__).parents[3] / "shared" / "data" / "mnist"


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def folder(tmp_path):
    for prefix, n in (("train", 5), ("t10k", 3)):
        images = np.arange(n * 4 * 6, dtype=np.uint8).reshape(n, 4, 6)
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(
            tmp_path / f"{prefix}-labels-idx1-ubyte.gz", np.arange(n).astype("u1")
        )
    return tmp_path


@pytest.mark.parametrize(("subset", "n"), [("train", 5), ("test", 3)])
def test_reads_what_was_written(folder, subset, n):
    digits = load_mnist(str(folder), subset=subset)
    assert digits.images.shape == (n, 4, 6) and digits.images.dtype == np.uint8
    np.testing.assert_array_equal(digits.images.ravel(), np.arange(n * 24))
    assert digits.target.tolist() == [str(i) for i in range(n)]
    digits.images[0] = 0  # writable


def test_plain_files_are_read_too(folder):
    packed = folder / "t10k-images-idx3-ubyte.gz"
    (folder / "t10k-images-idx3-ubyte").write_bytes(
        gzip.decompress(packed.read_bytes())
    )
    packed.unlink()
    assert len(load_mnist(folder, subset="test").images) == 3


def test_missing_file(tmp_path):
    with pytest.raises(TallyError, match="no train-images-idx3-ubyte.gz; expected"):
        load_mnist(tmp_path)


def test_wrong_subset(folder):
    with pytest.raises(TallyError, match="subset: expected one of 'train', 'test'"):
        load_mnist(folder, subset="validation")


def test_torn_gzip(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TallyError, match="train-images.*damaged or unreadable gzip"):
        load_mnist(folder)


def test_not_gzip(folder):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"hello")
    with pytest.raises(TallyError, match="damaged or unreadable gzip"):
        load_mnist(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected magic 00000803, got nothing"),
        (bytes([0, 0, 13, 3]) + bytes(12), "expected magic 00000803, got 00000d03"),
        (bytes([0, 0, 8, 3, 0, 0]), "torn inside its header"),
        (
            bytes([0, 0, 8, 3]) + struct.pack(">3I", 5, 4, 6) + bytes(9),
            "120 bytes, and 9",
        ),
    ],
)
def test_bad_content(folder, content, message):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(TallyError, match=message):
        load_mnist(folder)


def test_images_and_labels_disagree(folder):
    write_idx(folder / "train-labels-idx1-ubyte.gz", np.zeros(4, np.uint8))
    with pytest.raises(TallyError, match="5 images but 4 labels in subset 'train'"):
        load_mnist(folder)


@pytest.mark.real
@pytest.mark.skipif(not REAL.exists(), reason="../shared/data/mnist is absent")
def test_real_mnist():
    digits = load_mnist(REAL, subset="test")
    assert digits.images.shape == (10_000, 28, 28)
    assert digits.target[:5].tolist() == ["7", "2", "1", "0", "4"]
    assert np.median(digits.images) == 0
