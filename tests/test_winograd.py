"""Winograd's convolution and its gradients, against TensorFlow's own in float64."""

import numpy as np
import pytest
import tensorflow as tf

from common import winograd

KERNELS = [3, 5]

# Height and width of images: as tiles give them, beyond that by 1, 2 and 3, and less than a tile gives.
SIZES = [(8, 4), (5, 6), (7, 13), (1, 3)]
WRAPS = {"eager": lambda function: function, "graph": lambda function: tf.function(function, autograph=False)}


def make_arrays(kernel: int, size: tuple[int, int], images: int = 3, channels: int = 4, filters: int = 6):
    """Images, a kernel, and the gradient of a loss by their convolution."""
    generator = np.random.default_rng(0)
    shapes = (images, *size, channels), (kernel, kernel, channels, filters), (images, *size, filters)
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
@pytest.mark.parametrize("kernel_size", KERNELS)
def test_outputs_and_gradients_are_tensorflows(kernel_size, size, wrap):
    arrays = make_arrays(kernel_size, size)
    ours = wrap(lambda *arrays: output_and_gradients(winograd.convolve, *arrays))(*arrays)
    for one, expected in zip(ours, output_and_gradients(directly, *arrays), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel_size", KERNELS)
def test_the_gradient_of_the_kernel_is_to_be_had_alone(kernel_size, size, wrap):
    images, kernel, upstream = make_arrays(kernel_size, size)
    _, _, expected = output_and_gradients(directly, images, kernel, upstream)
    given = wrap(lambda *arrays: winograd.kernel_gradient(*arrays, kernel_size))(images, upstream)
    np.testing.assert_allclose(given, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kernel_size", KERNELS)
def test_in_a_graph_any_batch_size_will_do(kernel_size):
    shapes = (None, 5, 6, 4), (kernel_size, kernel_size, 4, 6), (None, 5, 6, 6)
    signature = [tf.TensorSpec(shape, tf.float64) for shape in shapes]
    in_graph = tf.function(
        lambda *arrays: output_and_gradients(winograd.convolve, *arrays), signature, autograph=False
    )
    for count in (1, 4):
        arrays = make_arrays(kernel_size, (5, 6), images=count)
        for one, expected in zip(in_graph(*arrays), output_and_gradients(directly, *arrays), strict=True):
            np.testing.assert_allclose(one, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    ("kernel_size", "channels", "typical", "largest"), [(3, 512, 4e-6, 4e-5), (5, 96, 8e-6, 8e-5)]
)
def test_rounding_in_float32_is_small_beside_what_it_rounds(kernel_size, channels, typical, largest):
    """With as many channels as VGG-16 and CaffeNet's conv2 have, which add up."""
    arrays = make_arrays(kernel_size, (14, 14), images=2, channels=channels, filters=128)
    rounded = output_and_gradients(winograd.convolve, *(tf.cast(array, tf.float32) for array in arrays))
    for one, exact in zip(rounded, output_and_gradients(directly, *arrays), strict=True):
        error = np.asarray(one, np.float64) - exact
        assert np.sqrt(np.mean(error**2)) < typical * np.std(exact)
        assert np.abs(error).max() < largest * np.std(exact)
