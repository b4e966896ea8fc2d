"""PASCAL VOC's class names and its image lists, `ImageSets/Main`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip

Split = Literal["train", "val", "trainval", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

# {class: whether every object of it is difficult}; classes that aren't on the image are left out
Objects = Mapping[str, bool]


def list_path(data_dir: Path, name: str, split: Split) -> Path:
    """`ImageSets/Main/<name>_<split>.txt`."""
    return data_dir / "ImageSets" / "Main" / f"{name}_{split}.txt"


def only_difficult(objects: Iterable[tuple[str, bool]]) -> dict[str, bool]:
    """Reduces the objects of an image, (class, difficult) each, to `Objects`."""
    reduced: dict[str, bool] = {}
    for name, difficult in objects:
        reduced[name] = reduced.get(name, True) and difficult
    return reduced


def write_lists(
    data_dir: Path, train: Sequence[str], val: Sequence[str], test: Sequence[str],
    objects: Mapping[str, Objects],
) -> None:  # fmt: skip
    """Writes the image lists and class lists of all four splits, trainval being train and val.

    Args:
        data_dir: `ImageSets/Main` is made in it.
        train, val, test: image ids.
        objects: what is on each image.
    """
    (data_dir / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
    members = {"train": train, "val": val, "trainval": [*train, *val], "test": test}
    for split in SPLITS:
        ids = sorted(members[split])
        lines = "".join(f"{image_id}\n" for image_id in ids)
        (data_dir / "ImageSets" / "Main" / f"{split}.txt").write_text(lines)
        for name in CLASSES:
            values = {None: -1, True: 0, False: 1}
            entries = [f"{i} {values[objects[i].get(name)]:2d}\n" for i in ids]
            list_path(data_dir, name, split).write_text("".join(entries))
