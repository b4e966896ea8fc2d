"""Noise of the shapes that the tasks train on; what is in an image doesn't matter to its speed."""

import numpy as np

# Pixels of the squares that each network takes.
CROPS = {"caffenet": 227, "vgg16": 224, "mnist": 28}


def photos(count: int = 1_000) -> tuple[np.ndarray, np.ndarray]:
    """As from VOC: images uint8 (N, 256, 256, 3), labels float32 (N, 20)."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 256, 256, 3), np.uint8)
    return images, (rng.random((count, 20)) < 0.1).astype(np.float32)


def digits(count: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    """As from MNIST: images uint8 (N, 28, 28, 1), labels int64 (N,)."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 28, 28, 1), np.uint8), rng.integers(0, 10, count)
