"""Crops and flips against plain slices; draws that depend on seed, step and position alone."""

import numpy as np
import pytest
import tensorflow as tf

from common.augment import center_crop, random_crop_and_flip

HEIGHT, WIDTH, CROP = 9, 10, 6
ROWS, COLUMNS = HEIGHT - CROP + 1, WIDTH - CROP + 1  # offsets that there are


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """64 images of noise, so that every crop of every image is different."""
    return np.random.default_rng(0).integers(0, 256, (64, HEIGHT, WIDTH, 3), np.uint8)


def crop(images, seed=1, step=5, first_position=0) -> np.ndarray:
    return random_crop_and_flip(tf.constant(images), CROP, seed, step, first_position).numpy()


def find_crop(output: np.ndarray, image: np.ndarray) -> tuple[int, int, bool]:
    """(top, left, flipped) of the one slice of `image` that `output` is."""
    found = [
        (top, left, flipped)
        for top in range(ROWS)
        for left in range(COLUMNS)
        for flipped in (False, True)
        if np.array_equal(output, image[top : top + CROP, left : left + CROP][:, :: -1 if flipped else 1])
    ]
    assert len(found) == 1
    return found[0]


def test_each_output_is_a_slice_of_its_image_mirrored_or_not(images):
    outputs = crop(images)
    assert outputs.shape == (64, CROP, CROP, 3) and outputs.dtype == np.uint8
    drawn = [find_crop(output, image) for output, image in zip(outputs, images, strict=True)]
    assert len(set(drawn)) > 20  # of 40; one offset a batch would be 1 or 2


def test_all_places_and_both_flips_are_equally_frequent(images):
    count = 12_000
    same = np.broadcast_to(images[0], (count, HEIGHT, WIDTH, 3))
    outputs = crop(same)
    kinds = {
        images[0, top : top + CROP, left : left + CROP][:, ::flip].tobytes(): (top, left, flip)
        for top in range(ROWS)
        for left in range(COLUMNS)
        for flip in (1, -1)
    }
    drawn = np.array([kinds[output.tobytes()] for output in outputs])
    values, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(values) == len(kinds) == ROWS * COLUMNS * 2
    expected = count / len(kinds)
    # Chi squared with 39 degrees of freedom: 39 +- 8.8; 80 is over four deviations.
    assert np.sum((counts - expected) ** 2 / expected) < 80


def test_eager_and_in_a_graph_are_equal(images):
    graph = tf.function(lambda batch, step: random_crop_and_flip(batch, CROP, 1, step))
    for step in (0, 5):
        in_graph = graph(tf.constant(images), tf.constant(step, tf.int64)).numpy()
        np.testing.assert_array_equal(in_graph, crop(images, step=step))


def test_in_a_graph_the_number_of_images_may_be_unknown(images):
    signature = [tf.TensorSpec((None, HEIGHT, WIDTH, 3), tf.uint8)]
    graph = tf.function(lambda batch: random_crop_and_flip(batch, CROP, 1, 5), input_signature=signature)
    for count in (1, 7, 64):
        np.testing.assert_array_equal(graph(images[:count]).numpy(), crop(images)[:count])


@pytest.mark.parametrize("first", [1, 10, 33, 63])
def test_a_slice_of_the_batch_is_cropped_as_in_the_whole(images, first):
    np.testing.assert_array_equal(crop(images[first:], first_position=first), crop(images)[first:])


def test_draws_depend_on_seed_and_step_and_nothing_else(images):
    first = crop(images, seed=1, step=5)
    np.testing.assert_array_equal(crop(images, seed=1, step=5), first)
    for seed, step in ((1, 6), (2, 5), (5, 1), (1, 0)):
        assert not np.array_equal(crop(images, seed=seed, step=step), first)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_dtype_stays(images, dtype):
    batch = images.astype(dtype)
    assert crop(batch).dtype == dtype
    assert center_crop(tf.constant(batch), CROP).dtype == dtype


def test_images_of_exactly_the_size_are_only_flipped(images):
    square = images[:, :CROP, :CROP]
    for output, image in zip(crop(square), square, strict=True):
        assert np.array_equal(output, image) or np.array_equal(output, image[:, ::-1])


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [(6, slice(1, 7), slice(2, 8)), (5, slice(2, 7), slice(2, 7)), (9, slice(0, 9), slice(0, 9))],
)
def test_center_crop_puts_the_larger_margin_below_and_right(images, size, rows, columns):
    expected = images[:, rows, columns]
    np.testing.assert_array_equal(center_crop(tf.constant(images), size).numpy(), expected)
    in_graph = tf.function(lambda batch: center_crop(batch, size))(tf.constant(images))
    np.testing.assert_array_equal(in_graph.numpy(), expected)


def test_images_that_are_too_small_raise(images):
    for too_large in (HEIGHT + 1, WIDTH + 1):
        with pytest.raises(ValueError, match=f"{too_large} x {too_large}"):
            center_crop(tf.constant(images), too_large)
        with pytest.raises(ValueError, match=f"{too_large} x {too_large}"):
            random_crop_and_flip(tf.constant(images), too_large, 0, 0)
