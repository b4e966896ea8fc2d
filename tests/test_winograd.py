"""Winograd's convolution and its gradients, against TensorFlow's own in float64."""

import numpy as np
import pytest
import tensorflow as tf

from common import winograd

# Height and width: as tiles give them, beyond that by 1, 2 and 3, and less than a tile gives.
SIZES = [(8, 4), (5, 6), (7, 13), (1, 3)]
WRAPS = {"eager": lambda function: function, "graph": lambda function: tf.function(function, autograph=False)}


def make_arrays(size: tuple[int, int], images: int = 3, channels: int = 4, filters: int = 6):
    """Images, a kernel, and the gradient of a loss by their convolution."""
    generator = np.random.default_rng(0)
    shapes = (images, *size, channels), (3, 3, channels, filters), (images, *size, filters)
    return [tf.constant(generator.normal(size=shape)) for shape in shapes]


def output_and_gradients(convolve, images, kernel, upstream):
    with tf.GradientTape() as tape:
        tape.watch([images, kernel])
        output = convolve(images, kernel)
    return output, *tape.gradient(output, [images, kernel], upstream)


def directly(images, kernel):
    return tf.nn.conv2d(images, kernel, 1, "SAME")


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("size", SIZES)
def test_outputs_and_gradients_are_tensorflows(size, wrap):
    arrays = make_arrays(size)
    ours = wrap(lambda *arrays: output_and_gradients(winograd.convolve, *arrays))(*arrays)
    for one, expected in zip(ours, output_and_gradients(directly, *arrays), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("size", SIZES)
def test_the_gradient_of_the_kernel_is_to_be_had_alone(size, wrap):
    images, kernel, upstream = make_arrays(size)
    _, _, expected = output_and_gradients(directly, images, kernel, upstream)
    given = wrap(winograd.kernel_gradient)(images, upstream)
    np.testing.assert_allclose(given, expected, rtol=1e-10, atol=1e-11)


def test_in_a_graph_any_batch_size_will_do():
    shapes = (None, 5, 6, 4), (3, 3, 4, 6), (None, 5, 6, 6)
    signature = [tf.TensorSpec(shape, tf.float64) for shape in shapes]
    in_graph = tf.function(
        lambda *arrays: output_and_gradients(winograd.convolve, *arrays), signature, autograph=False
    )
    for count in (1, 4):
        arrays = make_arrays((5, 6), images=count)
        for one, expected in zip(in_graph(*arrays), output_and_gradients(directly, *arrays), strict=True):
            np.testing.assert_allclose(one, expected, rtol=1e-10, atol=1e-11)


def test_rounding_in_float32_is_small_beside_what_it_rounds():
    """With as many channels as VGG-16 has, which add up."""
    arrays = make_arrays((14, 14), images=2, channels=512, filters=128)
    rounded = output_and_gradients(winograd.convolve, *(tf.cast(array, tf.float32) for array in arrays))
    for one, exact in zip(rounded, output_and_gradients(directly, *arrays), strict=True):
        error = np.asarray(one, np.float64) - exact
        assert np.sqrt(np.mean(error**2)) < 4e-6 * np.std(exact)
        assert np.abs(error).max() < 4e-5 * np.std(exact)
