"""The kernel's gradient as matrix products, against TensorFlow's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import convolution, device

KERNELS = [(3, 3), (5, 5), (1, 1), (3, 1), (2, 4)]


@pytest.fixture
def lacks_avx512(monkeypatch):
    """Whatever processor this is, it counts as one with AVX2 alone."""
    monkeypatch.setattr(device, "lacks_avx512", lambda: True)


def layer_and_images(kernel_size: tuple[int, int], kind: type = convolution.Conv2D, dtype: str = "float32"):
    layer = kind(6, kernel_size, padding="same", activation="relu", name="conv1_1", dtype=dtype)
    layer(keras.Input((7, 9, 4)))
    generator = np.random.default_rng(1)
    layer.set_weights([generator.normal(size=weight.shape) for weight in layer.weights])
    return layer, tf.constant(generator.normal(size=(5, 7, 9, 4)), "float32")


def gradients(layer: keras.Layer, images: tf.Tensor) -> list[tf.Tensor]:
    """Of a loss that weighs every output differently: by images, kernel and bias."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        output = layer(images)
        factors = np.linspace(-1, 1, output.shape.num_elements()).reshape(output.shape)
        loss = tf.reduce_sum(output * tf.cast(factors, output.dtype))
    return tape.gradient(loss, [images, *layer.trainable_weights])


@pytest.mark.parametrize(
    "wrap", [lambda f: f, lambda f: tf.function(f, autograph=False)], ids=["eager", "graph"]
)
@pytest.mark.parametrize("kernel_size", KERNELS)
def test_the_gradient_of_the_kernel_is_tensorflows_in_float64(kernel_size, wrap):
    generator = np.random.default_rng(0)
    images, upstream = generator.normal(size=(5, 7, 9, 4)), generator.normal(size=(5, 7, 9, 6))
    kernel = tf.zeros((*kernel_size, 4, 6), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        loss = tf.reduce_sum(tf.nn.conv2d(images, kernel, 1, "SAME") * upstream)
    product = wrap(lambda *arrays: convolution.kernel_gradient(*arrays, kernel_size))(
        tf.constant(images), tf.constant(upstream)
    )
    np.testing.assert_allclose(product, tape.gradient(loss, kernel), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kernel_size", KERNELS)
def test_outputs_and_gradients_are_those_of_keras_own_layer(lacks_avx512, kernel_size):
    ours, images = layer_and_images(kernel_size)
    keras_own, _ = layer_and_images(kernel_size, keras.layers.Conv2D)
    np.testing.assert_array_equal(ours(images), keras_own(images))
    for mine, expected in zip(gradients(ours, images), gradients(keras_own, images), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("lacks", "dtype", "used"), [
    (True, "float32", True), (False, "float32", False), (True, "mixed_bfloat16", False),
])  # fmt: skip
def test_products_are_for_float32_without_avx512_alone(monkeypatch, lacks, dtype, used):
    calls = []
    own = convolution.kernel_gradient
    monkeypatch.setattr(convolution, "kernel_gradient", lambda *args: calls.append(args) or own(*args))
    monkeypatch.setattr(device, "lacks_avx512", lambda: lacks)
    gradients(*layer_and_images((3, 3), dtype=dtype))
    assert bool(calls) == used


def test_as_keras_own_it_has_the_same_settings_and_weights(lacks_avx512):
    layer, images = layer_and_images((3, 3))
    plain = layer.as_keras()
    assert type(plain) is keras.layers.Conv2D
    assert plain.get_config() == layer.get_config()
    np.testing.assert_array_equal(plain(images), layer(images))
