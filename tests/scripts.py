"""The numbered scripts, for tests that run them."""

import importlib.util
import sys
from pathlib import Path

import numpy as np

from common.task_networks import network_of

ROOT = Path(__file__).parent.parent
SMALLEST_CROPS = {"caffenet": 67, "vgg16": 32}  # pixels; they leave one place after pool5


def load(script: str):
    """The module of a script, "02_pascal_alexnet.py"."""
    specification = importlib.util.spec_from_file_location(script.removesuffix(".py"), ROOT / script)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look their module up there
    specification.loader.exec_module(module)
    return module


def load_small(script: str):
    """The module of a script, with the smallest crops that its network can take.

    CaffeNet's fc6 then has 1/36 of its weights, VGG-16's 1/49; all other layers have theirs.
    """
    module = load(script)
    network, _ = network_of({"settings": {"script": module.__name__}})
    module.CROP_SIZE = SMALLEST_CROPS[network]
    return module


def command(script: str, *arguments: object) -> list[str]:
    """What runs a script in a process of its own."""
    return [sys.executable, str(ROOT / script), *map(str, arguments)]


def write_mnist(folder: Path) -> Path:
    """MNIST's four files, with 30 and 20 images of noise; returns the folder."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for stem, count in (("train", 30), ("t10k", 20)):
        images, labels = (
            rng.integers(0, 256, (count, 28, 28), np.uint8),
            np.arange(count, dtype=np.uint8) % 10,
        )
        for array, kind in ((images, "images-idx3"), (labels, "labels-idx1")):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (folder / f"{stem}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder
