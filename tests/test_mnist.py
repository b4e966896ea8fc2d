import gzip
import socket
import struct
import types
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from common import mnist
from common.cli import RunOptions
from common.errors import UserError

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def idx(array: np.ndarray) -> bytes:
    """The format by its description: magic with type 8 and dimensions, sizes big-endian, then bytes."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for count, (images, labels) in zip((7, 5), NAMES.values(), strict=True):
        (tmp_path / images).write_bytes(idx(rng.integers(0, 256, (count, 28, 28), np.uint8)))
        (tmp_path / labels).write_bytes(idx(rng.integers(0, 10, count, np.uint8)))
    return tmp_path


def load(folder: Path):
    return mnist.load_data(RunOptions(data_dir=str(folder)))


def rewrite(path: Path, change) -> None:
    path.write_bytes(change(path.read_bytes()))


def test_images_and_labels_are_those_of_the_files(folder):
    data = load(folder)
    for examples, (images, labels) in zip((data.train, data.test), NAMES.values(), strict=True):
        assert examples.images.shape == (len(examples), 28, 28, 1) and examples.images.dtype == np.uint8
        assert examples.images.tobytes() == (folder / images).read_bytes()[16:]
        assert examples.labels.tolist() == list((folder / labels).read_bytes()[8:])
        assert examples.weights.tolist() == [1.0] * len(examples)
    assert (len(data.train), len(data.test)) == (7, 5)


@pytest.mark.parametrize("spelling", ["{}.gz", "dotted"])
def test_gzipped_and_other_spellings_are_read(folder, spelling):
    expected = load(folder).test.images.tobytes()
    for path in list(folder.iterdir()):
        if spelling == "dotted":
            path.rename(folder / path.name.replace("-idx", ".idx"))
        else:
            (folder / spelling.format(path.name)).write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    assert load(folder).test.images.tobytes() == expected


DAMAGES = {
    "wrong magic number": (lambda b: b"\x00\x00\x0d" + b[3:], "not an idx file of images"),
    "empty": (lambda b: b"", "not an idx file of images"),
    "cut short": (lambda b: b[:-1], "ends early"),
    "too long": (lambda b: b + b"\0", "has more content"),
    "wrong count": (lambda b: b[:4] + struct.pack(">I", 8) + b[8:], "ends early"),
    "huge count": (lambda b: b[:4] + b"\xff" * 12 + b[16:], "ends early"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_line_that_names_it(folder, damage):
    change, message = DAMAGES[damage]
    rewrite(folder / "train-images-idx3-ubyte", change)
    with pytest.raises(UserError) as refused:
        load(folder)
    assert f"train-images-idx3-ubyte: {message}" in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"no gzip", lambda b: b[:20] + b"\xff" * 9])
def test_a_damaged_gzip_file_is_one_line_that_names_it(folder, damage):
    path = folder / "t10k-images-idx3-ubyte"
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(damage(gzip.compress(path.read_bytes())))
    path.unlink()
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte\.gz: "):
        load(folder)


def test_images_with_the_labels_of_the_other_split(folder):
    (folder / NAMES["train"][1]).write_bytes((folder / NAMES["test"][1]).read_bytes())
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte: has 5 labels for the 7 images"):
        load(folder)


def test_labels_in_place_of_images(folder):
    (folder / NAMES["train"][0]).write_bytes((folder / NAMES["train"][1]).read_bytes())
    with pytest.raises(UserError, match="train-images-idx3-ubyte: not an idx file of images"):
        load(folder)


def test_images_of_another_size(folder):
    (folder / NAMES["train"][0]).write_bytes(idx(np.zeros((7, 32, 32), np.uint8)))
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte: images are \(32, 32\) pixels"):
        load(folder)


def test_labels_beyond_9(folder):
    rewrite(folder / NAMES["test"][1], lambda b: b[:-1] + b"\x0a")
    with pytest.raises(UserError, match="t10k-labels-idx1-ubyte: labels aren't the digits"):
        load(folder)


def test_a_missing_file_is_named(folder):
    (folder / NAMES["test"][0]).unlink()
    with pytest.raises(UserError, match="t10k-images-idx3-ubyte: is not there"):
        load(folder)


def test_without_data_and_network_scikit_learns_digits_stand_in(tmp_path, monkeypatch, capsys):
    def no_network(*_):
        raise OSError("host not found")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    builder = tfds.builder
    monkeypatch.setattr(tfds, "builder", lambda name: builder(name, data_dir=str(tmp_path)))
    data = mnist.load_data(RunOptions())
    said = capsys.readouterr().out
    assert "host not found" in said and "scikit-learn" in said and said.count("\n") == 1
    assert "not MNIST" in data.title
    assert data.train.images.shape == (1500, 28, 28, 1) and data.test.images.shape == (297, 28, 28, 1)
    assert sorted(set(data.test.labels)) == list(range(10))
    assert data.train.images.max() == 255 and data.train.images.min() == 0


def test_real_mnist_has_its_published_sizes():
    real = Path(__file__).parent.parent.parent / "shared" / "data" / "mnist"
    if not real.exists():
        pytest.skip("no ../shared")
    data = load(real)
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert np.bincount(data.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_mnist_of_tensorflow_datasets_is_its_splits(monkeypatch):
    rng = np.random.default_rng(0)
    splits = {
        name: {"image": tf.constant(rng.integers(0, 256, (count, 28, 28, 1), np.uint8)),
               "label": tf.constant(rng.integers(0, 10, count))}
        for name, count in (("train", 7), ("test", 5))
    }  # fmt: skip
    builder = types.SimpleNamespace(
        is_prepared=lambda: True, as_dataset=lambda split, batch_size: splits[split]
    )
    monkeypatch.setattr("tensorflow_datasets.builder", lambda name: builder)
    data = mnist.load_data(RunOptions())
    assert data.title == "MNIST"
    for examples, name in ((data.train, "train"), (data.test, "test")):
        assert examples.split == name
        np.testing.assert_array_equal(examples.images, splits[name]["image"])
        np.testing.assert_array_equal(examples.labels, splits[name]["label"])


def test_scikit_learns_digits_keep_their_labels():
    digits, data = load_digits(), mnist._from_scikit_learn()
    np.testing.assert_array_equal([*data.train.labels, *data.test.labels], digits.target)
    images = np.concatenate([data.train.images, data.test.images])[..., 0]
    middle = (np.arange(8) * 3.5 + 1.75).astype(int)
    for image, original in zip(images[::50], digits.images[::50], strict=True):
        assert np.corrcoef(image[np.ix_(middle, middle)].ravel(), original.ravel())[0, 1] > 0.9
