"""What a network makes of images, and which images it takes for alike (handout Task 5)."""

import itertools
from collections.abc import Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from sklearn.neighbors import NearestNeighbors
from tqdm import tqdm

from common.input import EvalInput

Metric = Literal["euclidean", "cosine"]


def extract(model: keras.Model, layers: Sequence[str], input: EvalInput) -> dict[str, np.ndarray]:
    """Outputs of layers for every example, in order, without dropout.

    Args:
        model: the network.
        layers: names; "fc7" is its output after the relu, before dropout.
        input: the examples.

    Returns:
        {layer: float32 (N, D)}; maps are flattened, height before width before channels.
    """
    # In float32, whatever the policy: the logits must not be rounded on their way out.
    outputs = {
        name: keras.layers.Flatten(name=f"{name}_flat", dtype="float32")(model.get_layer(name).output)
        for name in layers
    }
    network = tf.function(keras.Model(model.inputs[0], outputs), autograph=False, reduce_retracing=True)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in layers}
    with tqdm(desc=f"{model.name}: features", total=len(input.examples), unit=" images", disable=None) as bar:
        for images in input.batches():
            for name, output in network(images, training=False).items():
                parts[name].append(output.numpy())
            bar.update(len(images))
    # One layer after the other, so that no more than one is held twice.
    return {name: np.concatenate(parts.pop(name)) for name in layers}


def _on_the_sphere(features: np.ndarray) -> np.ndarray:
    """Vectors of length 1, whose Euclidean neighbours are the neighbours by cosine of `features`.

    scikit-learn finds them with double precision, and those by cosine with that of the features. Vectors of
    zeros share a direction of their own, at a right angle to all others.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    empty = lengths == 0
    return np.concatenate([features / np.where(empty, 1, lengths), empty], axis=1, dtype=features.dtype)


def nearest(features: np.ndarray, metric: Metric, count: int) -> np.ndarray:
    """The nearest neighbours of every example among the others, the nearest first.

    Args:
        features: (N, D).
        metric: "euclidean" or "cosine".
        count: of neighbours, fewer than N.

    Returns:
        int64 (N, count), rows of `features`; an example is never among its own.
    """
    if metric == "cosine":
        features = _on_the_sphere(features)
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(features)
    return search.kneighbors(return_distance=False)


def have_in_common(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Whether images show a class in common, by the labels that count.

    Args:
        labels: (N, classes) in {0, 1}.
        weights: (N, classes), 0 where a label doesn't count: the image may show the class.

    Returns:
        float32 (N, N): 1 or 0, and NaN where it hangs on a label that doesn't count, and of an image and
        itself.
    """
    shown = ((labels > 0) & (weights > 0)).astype(np.float32)
    possible = ((labels > 0) | (weights == 0)).astype(np.float32)
    certain, perhaps = shown @ shown.T > 0, possible @ possible.T > 0
    decided = certain | ~perhaps
    np.fill_diagonal(decided, False)
    return np.where(decided, certain.astype(np.float32), np.float32(np.nan))


def share_in_common(in_common: np.ndarray) -> float | None:
    """The share of pairs with a class in common, of those where it is known; None if of none."""
    known = in_common[~np.isnan(in_common)]
    return float(known.mean(dtype=np.float64)) if len(known) else None


def choose_of_different_classes(
    labels: np.ndarray, weights: np.ndarray, count: int, rng: np.random.Generator
) -> dict[int, int]:
    """Images that each stand for a class of their own: with no class in common as long as there are such.

    Of these images with few classes come first. Where fewer classes have an image left, there are fewer.

    Args:
        labels: (N, classes) in {0, 1}.
        weights: (N, classes), 0 where a label doesn't count: the image may show the class.
        count: of images.
        rng: decides among classes, and among images of a class.

    Returns:
        {class: row of its image}.
    """
    shown, possible = (labels > 0) & (weights > 0), (labels > 0) | (weights == 0)
    sizes = possible.sum(axis=1)
    order = rng.permutation(labels.shape[1]).tolist()
    chosen: dict[int, int] = {}
    for apart, size, column in itertools.product((True, False), np.unique(sizes), order):
        if column in chosen or len(chosen) == count:
            continue
        rows = list(chosen.values())
        candidates = np.setdiff1d(np.flatnonzero(shown[:, column] & (sizes == size)), rows)
        if apart:
            taken = possible[rows].any(axis=0)
            candidates = candidates[~possible[candidates][:, taken].any(axis=1)]
        if len(candidates):
            chosen[column] = int(rng.choice(candidates))
    return chosen


def choose_at_random(count: int, available: int, rng: np.random.Generator) -> np.ndarray:
    """`count` distinct numbers below `available`, or all of them, in ascending order: int64."""
    return np.sort(rng.permutation(available)[:count])
