"""MNIST: the four idx files, or TensorFlow Datasets' copy, or scikit-learn's digits in their place."""

import gzip
import logging
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from common.cli import RunOptions
from common.connection import require_host
from common.errors import UserError
from common.input import Data, Examples

SIZE = 28  # pixels along each side
CLASSES = tuple("0123456789")

_FILES = {"train": ("train-images", "train-labels"), "test": ("t10k-images", "t10k-labels")}
_MIRROR = "storage.googleapis.com"  # where TensorFlow Datasets has MNIST from
_DIGITS_FOR_TRAINING = 1_500  # of scikit-learn's 1,797


def _open(path: Path) -> BinaryIO:
    return gzip.open(path) if path.suffix == ".gz" else open(path, "rb")


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Reads an idx file of bytes (format: yann.lecun.com/exdb/mnist, at the end of the page).

    Args:
        path: the file, gzipped where its name ends in .gz.
        dimensions: of the array: 3 for images, 1 for labels.

    Returns:
        uint8, of the shape that the file's header gives.

    Raises:
        UserError: the file can't be read, is no idx file of that many dimensions, or isn't as long as its
            header says.
    """
    try:
        with _open(path) as file:
            header = file.read(4 + 4 * dimensions)
            magic = struct.pack(">HBB", 0, 8, dimensions)  # two zeros, type "unsigned byte", dimensions
            if len(header) < 4 + 4 * dimensions or header[:4] != magic:
                kind = {1: "labels", 3: "images"}[dimensions]
                raise UserError(
                    f"{path}: not an idx file of {kind}, it starts with {header[:4].hex()} and not "
                    f"{magic.hex()}; download it again"
                )
            shape = struct.unpack(f">{dimensions}I", header[4:])
            count = math.prod(shape)
            content = bytearray()
            while len(content) <= count and (part := file.read(min(count + 1 - len(content), 1 << 20))):
                content += part
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path}: can't be read ({reason}); download it again") from error
    if len(content) != count:
        what = "ends early" if len(content) < count else "has more content"
        raise UserError(f"{path}: {what} than its header says, {shape}; download it again")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _find(folder: Path, stem: str) -> Path:
    """train-images-idx3-ubyte or train-images.idx3-ubyte, gzipped or not."""
    kind = "idx3-ubyte" if stem.endswith("images") else "idx1-ubyte"
    names = [f"{stem}{separator}{kind}{end}" for end in ("", ".gz") for separator in "-."]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"{folder / names[0]}: is not there, nor gzipped; --data_dir needs MNIST's four files, without it "
        "TensorFlow Datasets fetches them"
    )


def _examples(split: str, images: np.ndarray, labels: np.ndarray) -> Examples:
    return Examples(
        split=split,
        images=images.reshape(-1, SIZE, SIZE, 1),
        labels=labels.astype(np.int64),
        weights=np.ones(len(labels), np.float32),
        ids=[f"{number:05}" for number in range(len(labels))],
        classes=CLASSES,
    )


def _from_files(folder: Path) -> Data:
    splits = {}
    for split, stems in _FILES.items():
        image_file, label_file = (_find(folder, stem) for stem in stems)
        images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
        if len(images) != len(labels):
            raise UserError(
                f"{label_file}: has {len(labels):,} labels for the {len(images):,} images of "
                f"{image_file.name}; they don't belong together"
            )
        if images.shape[1:] != (SIZE, SIZE):
            raise UserError(f"{image_file}: images are {images.shape[1:]} pixels and not {(SIZE, SIZE)}")
        if labels.size == 0 or labels.max() >= len(CLASSES):
            raise UserError(f"{label_file}: labels aren't the digits 0 to 9")
        splits[split] = _examples(split, images, labels)
    return Data("mnist", "MNIST", splits["train"], splits["test"])


def _from_tfds() -> Data:
    import tensorflow_datasets as tfds

    logging.getLogger("absl").setLevel(logging.ERROR)  # it warns of a folder that isn't there yet
    builder = tfds.builder("mnist")
    if not builder.is_prepared():
        require_host(_MIRROR)
        builder.download_and_prepare()
    train, test = (builder.as_dataset(split=split, batch_size=-1) for split in ("train", "test"))
    splits = [
        _examples(name, split["image"].numpy(), split["label"].numpy())
        for name, split in (("train", train), ("test", test))
    ]
    return Data("mnist", "MNIST", *splits)


def _from_scikit_learn() -> Data:
    """1,797 digits of 8 x 8 pixels in 17 shades (Alpaydin and Kaynak), enlarged by linear interpolation."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    shades = np.round(digits.images * (255 / 16)).astype(np.uint8)
    resample = Image.Resampling.BILINEAR
    images = np.stack([np.asarray(Image.fromarray(s).resize((SIZE, SIZE), resample)) for s in shades])
    at = _DIGITS_FOR_TRAINING
    return Data(
        "digits",
        "scikit-learn's digits, enlarged (not MNIST)",
        _examples("train", images[:at], digits.target[:at]),
        _examples("test", images[at:], digits.target[at:]),
    )


def load_data(options: RunOptions) -> Data:
    """MNIST from `data_dir`, else from TensorFlow Datasets, else scikit-learn's digits, said in one line.

    Raises:
        UserError: `data_dir` is given and a file in it is missing or damaged.
    """
    if options.data_dir is not None:
        return _from_files(Path(os.path.expanduser(options.data_dir)))
    try:
        return _from_tfds()
    except Exception as error:  # of the network, the disk or a checksum: any kind
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        print(
            f"no --data_dir, and TensorFlow Datasets can't give mnist ({reason[:80]}): "
            "scikit-learn's 1,797 digits instead, enlarged; results are not MNIST's"
        )
        return _from_scikit_learn()
