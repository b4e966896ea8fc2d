"""What several test files share."""

import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common import cli

if "PYTEST_XDIST_WORKER" in os.environ:
    # OpenMP's threads, which t-SNE has, would busily wait for cores that the other process uses.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
cli.import_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from PIL import Image  # noqa: E402

from common import networks  # noqa: E402
from common.sample import make_sample  # noqa: E402
from tests import tiny_run  # noqa: E402
from tests.scripts import SMALLEST_CROPS  # noqa: E402

# Written out again, and not taken from the package: the tests' own idea of VOC's layout.
VOC_CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor"
).split()


@pytest.fixture(autouse=True)
def precision_policy():
    """Scripts set Keras' global policy; no test is to see another's."""
    keras.mixed_precision.set_global_policy("float32")
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def small_networks(monkeypatch):
    """`networks.NETWORKS` makes them as small as `load_small` does: for Tasks 5 and 6 and `trained.load`."""
    for name, size in SMALLEST_CROPS.items():
        monkeypatch.setitem(networks.NETWORKS, name, functools.partial(networks.NETWORKS[name], size=size))


@pytest.fixture(scope="session")
def voc(tmp_path_factory) -> Path:
    """The built-in sample with few images: 16 and 8 to train on, 12 to test."""
    return make_sample(tmp_path_factory.mktemp("sample"), train=16, val=8, test=12)


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Path:
    """64 uninterrupted steps of batch 10 over 37 images, with augmentation and dropout."""
    folder = tmp_path_factory.mktemp("whole")
    tiny_run.run(folder, 64)
    return folder


@pytest.fixture(scope="session")
def half(tmp_path_factory) -> Path:
    """The first 30 of them; to copy, not to go on with."""
    folder = tmp_path_factory.mktemp("half")
    tiny_run.run(folder, 30)
    return folder


@pytest.fixture(scope="session")
def forty(tmp_path_factory) -> Path:
    """40 of them."""
    folder = tmp_path_factory.mktemp("forty")
    tiny_run.run(folder, 40)
    return folder


@pytest.fixture
def thirty(half, tmp_path) -> Path:
    """A copy of the 30 steps of `half`, to go on with or to harm."""
    return Path(shutil.copytree(half, tmp_path / "thirty"))


@dataclass(frozen=True)
class TinyVoc:
    """A VOC tree on disk and what its lists say.

    Attributes:
        folder: holds JPEGImages and ImageSets.
        ids: {split: image ids in the order of the lists}.
        values: {split: int (N, 20), 1 present, -1 absent, 0 only present as difficult}.
    """

    folder: Path
    ids: dict[str, list[str]]
    values: dict[str, np.ndarray]


def _write_voc(root: Path, train: int = 3, val: int = 2, test: int = 4) -> TinyVoc:
    folder = root / "VOCdevkit" / "VOC2007"
    (folder / "JPEGImages").mkdir(parents=True)
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    generator = np.random.default_rng(7)
    everything = [f"{number:06d}" for number in range(1, train + val + test + 1)]
    for number, name in enumerate(everything):
        pixels = generator.integers(0, 256, (24, 32 + number, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "JPEGImages" / f"{name}.jpg")
    ids = {
        "train": everything[:train],
        "val": everything[train : train + val],
        "trainval": everything[: train + val],
        "test": everything[train + val :],
    }
    table = generator.choice([-1, -1, 0, 1], (len(everything), 20))
    values = {split: table[[everything.index(i) for i in names]] for split, names in ids.items()}
    for split, names in ids.items():
        for column, class_name in enumerate(VOC_CLASSES):
            entries = zip(names, values[split][:, column], strict=True)
            lines = "".join(f"{name} {value:2d}\n" for name, value in entries)
            (folder / "ImageSets" / "Main" / f"{class_name}_{split}.txt").write_text(lines)
    return TinyVoc(folder, ids, values)


@pytest.fixture(scope="session")
def write_voc() -> Callable[..., TinyVoc]:
    """A function of (root, train, val, test) that writes a tree of small noise images."""
    return _write_voc
