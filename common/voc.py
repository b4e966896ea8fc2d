"""PASCAL VOC 2007 as arrays: multi-label ground truth and decoded images."""

import itertools
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common import sample, voc_tfds
from common.cli import DataOptions, RunOptions
from common.errors import UserError
from common.image_cache import cached_images
from common.input import Data, Examples
from common.voc_layout import CLASSES, Split, list_path

# Letters, digits and inner dots, so that an id can't name a file outside JPEGImages.
_IMAGE_ID = re.compile(r"\w[\w-]*(\.[\w-]+)*", re.ASCII)


class Location(NamedTuple):
    """Where a data set is.

    Attributes:
        folder: it holds `JPEGImages` and `ImageSets`.
        name: what to call the data set in run folders.
        title: what to call it in figures.
    """

    folder: Path
    name: str
    title: str


def locate(data_dir: str | None, cache_dir: Path) -> Location:
    """Finds the data set.

    Args:
        data_dir: the folder that holds `JPEGImages` and `ImageSets`, or a `VOCdevkit` or its parent
            above it, or "tfds" for TensorFlow Datasets' `voc/2007`. None: the environment's
            `DATA_DIR`, as the handout exports it; without that the built-in sample, said in one line.
        cache_dir: where the built-in sample, or what TensorFlow Datasets gave, is written.

    Raises:
        UserError: there is no such folder, or it isn't VOC's.
    """
    asked_by = "--data_dir"
    if data_dir is None and os.environ.get("DATA_DIR"):
        data_dir, asked_by = os.environ["DATA_DIR"], "$DATA_DIR"
    if data_dir is None:
        try:
            location = sample.make_sample(cache_dir / "sample")
        except OSError as error:
            raise UserError(
                f"{cache_dir}: can't write the built-in sample ({error.strerror}); "
                "--cache_dir names another folder"
            ) from error
        print(f"no --data_dir and no $DATA_DIR: the built-in sample of drawings, {location}")
        return Location(location, "sample", "built-in sample")
    if not data_dir:
        raise UserError("--data_dir is empty; is $DATA_DIR set? Leave --data_dir out for the built-in sample")
    if data_dir == "tfds":
        return Location(voc_tfds.make_voc_layout(cache_dir / "tfds"), "VOC2007", "VOC2007")
    given = Path(os.path.expanduser(data_dir))  # leaves the home of an unknown user as it is
    for folder in (given, given / "VOC2007", given / "VOCdevkit" / "VOC2007"):
        if os.path.isdir(folder / "ImageSets" / "Main") and os.path.isdir(folder / "JPEGImages"):
            name = folder.resolve().name
            return Location(folder, name, name)
    problem = "has no JPEGImages and ImageSets/Main" if os.path.isdir(given) else "is not a folder"
    raise UserError(
        f"{given}: {problem}; give {asked_by} the VOC2007 folder, or 'tfds', "
        "or nothing for the built-in sample"
    )


def _read_class_list(path: Path) -> dict[str, int]:
    """`<class>_<split>.txt` as {image id: 1 present, -1 absent, 0 only present as difficult}."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a mark at the start
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); is the data set complete?") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not text; unpack the data set again") from error
    values: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2 or fields[1] not in ("1", "0", "-1"):
            raise UserError(
                f"{path}:{number}: expected an image id and 1, 0 or -1, found {line[:60]!r}; "
                "unpack the data set again"
            )
        if not _IMAGE_ID.fullmatch(fields[0]):
            raise UserError(
                f"{path}:{number}: {fields[0][:60]!r} can't be an image id; unpack the data set again"
            )
        if fields[0] in values:
            raise UserError(f"{path}:{number}: {fields[0]} is listed twice; unpack the data set again")
        values[fields[0]] = int(fields[1])
    if not values:
        raise UserError(f"{path}: lists no images; unpack the data set again")
    return values


def read_lists(data_dir: Path, split: Split) -> tuple[list[str], np.ndarray]:
    """Reads the 20 class lists of a split, `ImageSets/Main/<class>_<split>.txt`.

    Args:
        data_dir: the folder that holds `ImageSets`.
        split: "train", "val", "trainval" or "test".

    Returns:
        ids: N image ids, in the order of the first list.
        values: int8 (N, 20), 1 present, -1 absent, 0 only present as difficult; classes in the order
            of `CLASSES`.

    Raises:
        UserError: a list is missing, has a bad line, or names other images than the first.
    """
    paths = [list_path(data_dir, name, split) for name in CLASSES]
    lists = [_read_class_list(path) for path in paths]
    ids = list(lists[0])
    for path, values in zip(paths, lists, strict=True):
        if values.keys() != lists[0].keys():
            odd = min(values.keys() ^ lists[0].keys())
            where, other = (path, paths[0]) if odd in values else (paths[0], path)
            raise UserError(f"{other}: lacks image {odd}, which {where.name} lists")
    return ids, np.array([[values[i] for values in lists] for i in ids], np.int8)


def load_examples(
    data_dir: Path, split: Split, size: int, cache_dir: Path, skip_bad_images: bool = False
) -> Examples:
    """`load_pascal`, together with the images' ids."""
    ids, values = read_lists(data_dir, split)
    paths = [data_dir / "JPEGImages" / f"{i}.jpg" for i in ids]
    remedy = "replace it, or have --skip_bad_images leave such images out of training"
    if split == "test":
        remedy = "replace it, every test image is scored"
    images, kept = cached_images(cache_dir, paths, size, skip_bad_images, remedy)
    values = values[kept]
    return Examples(
        split=split,
        images=images,
        labels=(values == 1).astype(np.float32),
        weights=(values != 0).astype(np.float32),
        ids=list(itertools.compress(ids, kept)),
        classes=CLASSES,
    )


def load_pascal(
    data_dir: str | Path,
    split: Split,
    size: int = 256,
    *,
    cache_dir: str | Path = "cache",
    skip_bad_images: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loads a split of PASCAL VOC 2007 for multi-label classification (handout Q1.1).

    Args:
        data_dir: the folder that holds `JPEGImages` and `ImageSets`; `locate` finds it from others.
        split: "train", "val", "trainval" or "test".
        size: images are resized to `size` x `size` pixels, without keeping their aspect.
        cache_dir: folder of the decoded images, about 2 GB for all of VOC 2007 at 256.
        skip_bad_images: leave out images that can't be decoded instead of raising.

    Returns:
        images: uint8 (N, size, size, 3) RGB, 0 to 255; memory-mapped from the cache, read-only.
        labels: float32 (N, 20), 1 where an object of the class is present that is not difficult.
        weights: float32 (N, 20), 0 where the class is only present as difficult, else 1.

    Raises:
        UserError: a list or an image is missing or damaged, or the cache can't be written.
    """
    examples = load_examples(Path(data_dir), split, size, Path(cache_dir), skip_bad_images)
    return examples.images, examples.labels, examples.weights


def _require_positives(data_dir: Path, test: Examples) -> None:
    if not test.labels.any():
        raise UserError(f"{data_dir}: no test image shows any class, so nothing can be measured")


def load_test(options: DataOptions, size: int) -> Examples:
    """The test split of the data that the options name; see `load_data`."""
    folder = locate(options.data_dir, options.cache_dir).folder
    test = load_examples(folder, "test", size, options.cache_dir)
    _require_positives(folder, test)
    return test


def load_data(options: RunOptions, size: int) -> Data:
    """What the scripts train and test on: trainval and test of the data that the options name.

    Images that can't be read are left out of training where the options say so, of testing never.

    Args:
        options: see `locate` for its data_dir.
        size: as for `load_pascal`.

    Raises:
        UserError: as `locate` and `load_pascal`, or nothing is to be found on any test image.
    """
    folder, name, title = locate(options.data_dir, options.cache_dir)
    train = load_examples(folder, "trainval", size, options.cache_dir, options.skip_bad_images)
    test = load_examples(folder, "test", size, options.cache_dir)
    _require_positives(folder, test)
    return Data(name, title, train, test)
