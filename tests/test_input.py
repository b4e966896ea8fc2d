"""Batches as a function of the step, and evaluation that sees each example once."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common import mixup
from common.input import EvalInput, Examples, TrainInput

COUNT = 23


@pytest.fixture(scope="module")
def examples() -> Examples:
    """Example number i is an image full of i, with labels (i, 2 i) and weights (3 i, 4 i)."""
    numbers = np.arange(COUNT)
    images = np.broadcast_to(numbers.astype(np.uint8)[:, None, None, None], (COUNT, 2, 2, 3))
    labels = np.stack([numbers, 2 * numbers], 1).astype(np.float32)
    weights = np.stack([3 * numbers, 4 * numbers], 1).astype(np.float32)
    return Examples("train", images, labels, weights, [f"{number:06d}" for number in numbers], "ab")


def as_given(images, step, first):
    return images


def take(train_input: TrainInput, first: int, count: int) -> list[tuple[np.ndarray, ...]]:
    batches = train_input.from_step(first).as_numpy_iterator()
    return list(itertools.islice(batches, count))


def numbers_in(batches) -> list[int]:
    return np.concatenate([images[:, 0, 0, 0] for images, _, _ in batches]).tolist()


@pytest.mark.parametrize("batch_size", [1, 5, 10, COUNT, 30, 50])
def test_every_epoch_is_another_permutation(examples, batch_size):
    epochs = 4
    batches = take(TrainInput(examples, batch_size, 0, as_given), 0, -(-epochs * COUNT // batch_size))
    assert {len(images) for images, _, _ in batches} == {batch_size}
    seen = numbers_in(batches)
    orders = [tuple(seen[i * COUNT : (i + 1) * COUNT]) for i in range(epochs)]
    assert all(sorted(order) == list(range(COUNT)) for order in orders)
    assert len({*orders, tuple(range(COUNT))}) == epochs + 1


def test_labels_and_weights_belong_to_their_images(examples):
    for images, labels, weights in take(TrainInput(examples, 10, 3, as_given), 0, 8):
        numbers = images[:, 0, 0, 0].astype(np.float32)
        np.testing.assert_array_equal(labels, np.stack([numbers, 2 * numbers], 1))
        np.testing.assert_array_equal(weights, np.stack([3 * numbers, 4 * numbers], 1))
        assert images.dtype == np.uint8 and labels.dtype == weights.dtype == np.float32


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7, 12])
def test_starting_at_a_step_gives_what_an_uninterrupted_run_has_there(examples, step):
    def augmentation(images, step, first):  # shows the step as well
        return tf.cast(images, tf.int64) + 1_000 * step

    whole = take(TrainInput(examples, 10, 0, augmentation), 0, 15)
    resumed = take(TrainInput(examples, 10, 0, augmentation), step, 15 - step)
    for before, after in zip(whole[step:], resumed, strict=True):
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)


def test_augmentation_is_given_the_step_of_its_batch(examples):
    def the_step(images, step, first):
        return tf.fill([tf.shape(images)[0]], step)

    batches = take(TrainInput(examples, 4, 0, the_step), 1_234_567, 3)
    assert [images.tolist() for images, _, _ in batches] == [[1_234_567 + i] * 4 for i in range(3)]


def test_steps_may_be_asked_for_in_any_order(examples):
    fresh = [TrainInput(examples, 10, 0, as_given).indices(step) for step in range(12)]
    used = TrainInput(examples, 10, 0, as_given)
    for step in (11, 0, 5, 5, 2, 1, 11):
        np.testing.assert_array_equal(used.indices(step), fresh[step])


def test_another_seed_gives_another_order(examples):
    orders = {tuple(TrainInput(examples, COUNT, seed, as_given).indices(0)) for seed in range(5)}
    assert len(orders) == 5


def test_training_batches_have_a_static_shape(examples):
    images, labels, weights = TrainInput(examples, 10, 0, as_given).from_step(0).element_spec
    assert (images.shape, labels.shape, weights.shape) == ((10, 2, 2, 3), (10, 2), (10, 2))


@pytest.mark.parametrize("batch_sizes", [range(1, 24), range(24, 47), range(47, 71)], ids=str)
def test_evaluation_sees_every_example_once_in_order(examples, batch_sizes):
    for batch_size in batch_sizes:
        batches = list(EvalInput(examples, batch_size, lambda x: x).batches().as_numpy_iterator())
        assert max(len(images) for images in batches) <= batch_size
        np.testing.assert_array_equal(np.concatenate(batches), examples.images)


def test_evaluation_transforms_its_images(examples):
    batches = EvalInput(examples, 10, lambda images: images[:, :1, :1] + 1).batches()
    outputs = np.concatenate(list(batches.as_numpy_iterator()))
    np.testing.assert_array_equal(outputs, examples.images[:, :1, :1] + 1)


def test_evaluation_may_be_repeated(examples):
    """And its pipeline is traced once."""
    traced = []
    evaluation = EvalInput(examples, 10, lambda images: traced.append(1) or images)
    for _ in range(2):
        assert sum(len(images) for images in evaluation.batches()) == COUNT
    assert len(traced) == 1


def test_a_sample_is_a_random_part_in_order_transformed_alike(examples):
    test_input = EvalInput(examples, 4, lambda images: images[:, :1] + 1)
    samples = [test_input.of_sample(examples, 9) for _ in range(2)]
    rows = samples[0].rows
    assert len(rows) == 9 and (np.diff(rows) > 0).all() and len(set(np.diff(rows))) > 1
    np.testing.assert_array_equal(rows, samples[1].rows)
    batches = list(samples[0].batches().as_numpy_iterator())
    assert [len(images) for images in batches] == [4, 4, 1]
    np.testing.assert_array_equal(np.concatenate(batches), examples.images[rows, :1] + 1)


@pytest.mark.parametrize("at_most", [COUNT, 1_000])
def test_a_sample_of_few_examples_is_all_of_them(examples, at_most):
    sample = EvalInput(examples, 4, lambda images: images).of_sample(examples, at_most)
    np.testing.assert_array_equal(sample.rows, np.arange(COUNT))


@pytest.mark.parametrize("workers", [2, 5])
@pytest.mark.parametrize("mixed", [False, True])
def test_the_slices_of_all_workers_are_the_batch_of_one(examples, workers, mixed):
    """Also what is drawn for a position, and mixtures with images of other slices."""

    def augmentation(images, step, first):
        draws = tf.random.stateless_uniform((10,), [3, step], maxval=100, dtype=tf.int32)
        mine = draws[first : first + images.shape[0], tf.newaxis, tf.newaxis, tf.newaxis]
        return images + tf.cast(mine, images.dtype)

    def mixing(images, labels, weights, step):
        return mixup.mix(images, labels, weights, alpha=1.0, one_share=False, seed=1, step=step)

    train_input = TrainInput(examples, 10, 0, augmentation, mixing if mixed else None)
    for step in (0, 4):
        whole = tf.nest.flatten(next(iter(train_input.from_step(step))))
        slices = [
            tf.nest.flatten(next(iter(train_input.from_step(step, worker, workers))))
            for worker in range(workers)
        ]
        for number, tensor in enumerate(whole):
            np.testing.assert_array_equal(np.concatenate([part[number] for part in slices]), tensor)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 30])
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_the_workers_parts_of_a_split_are_the_split_in_order(examples, batch_size, workers):
    test_input = EvalInput(examples, batch_size, lambda images: images)
    parts = [b for w in range(workers) for b in test_input.batches(w, workers).as_numpy_iterator()]
    np.testing.assert_array_equal(np.concatenate(parts), examples.images)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone tells")
@pytest.mark.parametrize("part", [slice(None), slice(0, 300)], ids=["whole", "slice"])
def test_a_process_does_not_grow_by_what_it_reads_of_a_mapped_file(tmp_path, part):
    np.save(tmp_path / "images.npy", np.ones((400, 200, 200, 3), np.uint8))  # 48 MB
    images = np.load(tmp_path / "images.npy", mmap_mode="r")[part]
    labels = np.ones((len(images), 1), np.float32)
    mapped = Examples("train", images, labels, labels, [str(i) for i in range(len(images))], ("thing",))

    def mapped_megabytes() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssFile")) / 1024

    before = mapped_megabytes()
    assert len(take(TrainInput(mapped, 10, 0, as_given), 0, len(images) // 10)) == len(images) // 10
    assert mapped_megabytes() - before < 15
    test_input = EvalInput(mapped, 10, lambda images: images)
    for read in (test_input, test_input.of_sample(mapped, 250)):
        assert sum(len(batch) for batch in read.batches()) == len(read.rows)
        assert mapped_megabytes() - before < 15


def test_a_mapped_file_gives_the_images_that_it_holds(examples, tmp_path):
    """Epoch after epoch, though its pages are given back after each batch."""
    np.save(tmp_path / "images.npy", examples.images)
    mapped = dataclasses.replace(examples, images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    ours = take(TrainInput(mapped, 10, 0, as_given), 0, 9)
    for one, other in zip(ours, take(TrainInput(examples, 10, 0, as_given), 0, 9), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    batches = EvalInput(mapped, 4, lambda images: images).batches().as_numpy_iterator()
    np.testing.assert_array_equal(np.concatenate(list(batches)), examples.images)
