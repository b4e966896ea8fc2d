"""Batches as a function of the step.

Training batch `s` depends on (seed, s) alone: there is no iterator state to save, and a run that
resumes at step `s` gets exactly the batches that an uninterrupted one would.
"""

import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

Augmentation = Callable[[tf.Tensor, tf.Tensor, int], tf.Tensor]
Mixing = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tuple[Any, Any, Any]]


@dataclass(frozen=True)
class Examples:
    """A split in memory, or memory-mapped.

    Attributes:
        split: its name, for example "trainval".
        images: (N, H, W, C) uint8, or what the network takes.
        labels: (N, ...), what the loss takes.
        weights: float32, of the shape the loss takes; entries of weight 0 are ignored.
        ids: N names of the images.
        classes: names of what the labels number.
    """

    split: str
    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    ids: Sequence[str]
    classes: Sequence[str]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Data:
    """What a run is trained and tested on.

    Attributes:
        name: what run folders call it.
        title: what figures call it.
        train, test: the splits.
    """

    name: str
    title: str
    train: Examples
    test: Examples


def _forget_pages(images: np.ndarray) -> None:
    """Gives back the memory of a mapped file's pages that were read; they stay in the system's cache.

    Otherwise a process would grow, epoch by epoch, to the size of the whole file.
    """
    if isinstance(images, np.memmap):
        mapping = images.base
        while isinstance(mapping, np.ndarray):  # of a slice: what it is a slice of
            mapping = mapping.base
        mapping.madvise(mmap.MADV_DONTNEED)


class TrainInput:
    """Endless batches in a new random order every epoch; an epoch's end may fall inside a batch."""

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        seed: int,
        augmentation: Augmentation,
        mixing: Mixing | None = None,
    ) -> None:
        """
        Args:
            examples: the training split.
            batch_size: examples a step.
            seed: decides the order.
            augmentation: graph function of (images (B, H, W, C), step () int64, the position of the first
                image in the whole batch) to the images that the network takes.
            mixing: graph function of the augmented (images, labels, weights, step) to the images, labels
                and weights to train on.
        """
        self.examples = examples
        self.batch_size = batch_size
        self._seed = seed
        self._augmentation = augmentation
        self._mixing = mixing
        self._latest_order = (-1, np.empty(0, np.int64))  # of the epoch in use

    def _order_of(self, epoch: int) -> np.ndarray:
        latest, order = self._latest_order
        if epoch != latest:
            order = np.random.default_rng((self._seed, epoch)).permutation(len(self.examples))
            self._latest_order = (epoch, order)
        return order

    def indices(self, step: int) -> np.ndarray:
        """Rows of the examples in batch number `step` (from 0): int64 (batch_size,)."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, offsets = np.divmod(positions, len(self.examples))
        rows = [self._order_of(epoch)[offsets[epochs == epoch]] for epoch in np.unique(epochs)]
        return np.concatenate(rows)

    def _read(self, step: int, part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = self.indices(int(step))[part]
        examples = self.examples
        images = examples.images[rows]
        _forget_pages(examples.images)
        return images, examples.labels[rows], examples.weights[rows]

    def from_step(self, step: int, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        """Batches from number `step` on, endless: (images, labels, weights) each.

        Args:
            step: from 0.
            worker, workers: of several workers, each takes its slice of the same batch of `batch_size`.
        """
        count = self.batch_size // workers
        mine = slice(worker * count, (worker + 1) * count)
        # What is mixed may come from another worker's slice, so then the whole batch is made.
        part = slice(0, self.batch_size) if self._mixing else mine

        def load(number: tf.Tensor) -> tuple[tf.Tensor, Any, Any]:
            arrays = (self.examples.images, self.examples.labels, self.examples.weights)
            batch = tf.numpy_function(
                lambda number: self._read(number, part), [number], [array.dtype for array in arrays]
            )
            for tensor, array in zip(batch, arrays, strict=True):
                tensor.set_shape((part.stop - part.start, *array.shape[1:]))
            images, labels, weights = batch
            images = self._augmentation(images, number, part.start)
            if self._mixing:
                mixed = self._mixing(images, labels, weights, number)
                return tf.nest.map_structure(lambda tensor: tensor[mine], mixed)
            return images, labels, weights

        numbers = tf.data.Dataset.range(step, np.iinfo(np.int64).max)
        return numbers.map(load).prefetch(2)


class EvalInput:
    """Every example once, or some of them, in order; the last batch may be smaller.

    Attributes:
        examples: a split.
        rows: int64, the numbers of those to score.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        transform: Callable[[tf.Tensor], tf.Tensor],
        rows: np.ndarray | None = None,
    ) -> None:
        """
        Args:
            examples: the split.
            batch_size: examples at a time; no effect on results.
            transform: graph function of images (B, H, W, C) to the images that the network takes.
            rows: ascending; without it all.
        """
        self.examples = examples
        self.rows = np.arange(len(examples)) if rows is None else rows
        self._batch_size = batch_size
        self._transform = transform
        self._made: dict[tuple[int, int], tf.data.Dataset] = {}  # kept: to trace one takes time

    def of_sample(self, examples: Examples, at_most: int) -> "EvalInput":
        """Other examples, transformed alike: all, or so many at random, the same at every call."""
        drawn = np.random.default_rng(0).permutation(len(examples))[:at_most]
        return EvalInput(examples, self._batch_size, self._transform, np.sort(drawn))

    def batches(self, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        """The images of all rows, or of a worker's part of them, in order: (B, ...) each."""
        if (worker, workers) not in self._made:
            self._made[worker, workers] = self._make(worker, workers)
        return self._made[worker, workers]

    def _make(self, worker: int, workers: int) -> tf.data.Dataset:
        images = self.examples.images
        first, end = (len(self.rows) * number // workers for number in (worker, worker + 1))

        def read(start: int) -> np.ndarray:
            batch = images[self.rows[start : min(start + self._batch_size, end)]]
            _forget_pages(images)
            return batch

        def load(start: tf.Tensor) -> tf.Tensor:
            batch = tf.numpy_function(read, [start], images.dtype)
            batch.set_shape((None, *images.shape[1:]))
            return self._transform(batch)

        starts = tf.data.Dataset.range(first, end, self._batch_size)
        return starts.map(load).prefetch(2)
