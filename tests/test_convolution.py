"""This project's convolution against Keras' own."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import convolution, device, networks, winograd
from tests.scripts import SMALLEST_CROPS

FILTERS = [6, 128]  # few, which are left to Keras but for the kernel's gradient, and many


@pytest.fixture
def avx2_alone(monkeypatch):
    """Whatever processor this is, it counts as one with AVX2 alone."""
    monkeypatch.setattr(device, "has_avx2_alone", lambda: True)


def without_winograd(monkeypatch) -> None:
    for function in ("convolve", "kernel_gradient"):
        monkeypatch.setattr(winograd, function, None)


def make_layer(kind: type, filters: int = 128, **settings) -> keras.layers.Conv2D:
    """A layer for images (7, 9, 4); with the same settings it has the same weights, whatever the kind."""
    settings = {"kernel_size": 3, "padding": "same", "activation": "relu", "name": "conv1_1"} | settings
    layer = kind(filters, **settings)
    layer.build((None, 7, 9, 4))
    generator = np.random.default_rng(1)
    layer.set_weights([generator.normal(size=weight.shape) for weight in layer.weights])
    return layer


def make_both(filters: int = 128, **settings) -> list[keras.layers.Conv2D]:
    """This project's layer and Keras' own, with the same weights."""
    return [make_layer(kind, filters, **settings) for kind in (convolution.Conv2D, keras.layers.Conv2D)]


def make_images() -> tf.Tensor:
    return tf.constant(np.random.default_rng(2).normal(size=(5, 7, 9, 4)), "float32")


def gradients(network: keras.Layer, images: tf.Tensor) -> list[tf.Tensor]:
    """Of a loss that weighs each output differently: by images and weights."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        output = network(images)
        factors = tf.sin(tf.cast(tf.range(tf.size(output)), tf.float32))
        loss = tf.reduce_sum(tf.cast(output, tf.float32) * tf.reshape(factors, tf.shape(output)))
    return tape.gradient(loss, [images, *(variable.value for variable in network.trainable_variables)])


def assert_alike(ours, expected) -> None:
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize("kernel_size", winograd.KERNEL_SIZES)
@pytest.mark.parametrize("filters", FILTERS)
def test_outputs_and_gradients_are_those_of_keras_own_layer(avx2_alone, filters, kernel_size):
    ours, keras_own = make_both(filters, kernel_size=kernel_size)
    images = make_images()
    if filters == 128:
        assert_alike([ours(images)], [keras_own(images)])
    else:
        np.testing.assert_array_equal(ours(images), keras_own(images))
    assert_alike(gradients(ours, images), gradients(keras_own, images))


@pytest.mark.parametrize("kernel_size", winograd.KERNEL_SIZES)
@pytest.mark.parametrize("filters", FILTERS)
def test_in_a_graph_any_batch_size_will_do(avx2_alone, filters, kernel_size):
    ours, keras_own = make_both(filters, kernel_size=kernel_size)
    signature = [tf.TensorSpec((None, 7, 9, 4))]
    in_graph = tf.function(lambda images: gradients(ours, images), signature, autograph=False)
    for images in (make_images(), make_images()[:1]):
        assert_alike(in_graph(images), gradients(keras_own, images))


@pytest.mark.parametrize("filters", FILTERS)
def test_in_tensorboards_graph_a_layers_gradient_is_a_box_of_its_own(avx2_alone, filters):
    """As TensorFlow's own are, beside which this is nothing but the sum that is differentiated."""
    network = keras.Sequential([keras.Input((7, 9, 4)), make_layer(convolution.Conv2D, filters)], name="net")
    kernel = network.layers[0].kernel

    def gradient(images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            output = network(images)
            with tf.name_scope("loss"):
                loss = tf.reduce_sum(output)
        return tape.gradient(loss, kernel.value)

    graph = tf.function(gradient, autograph=False).get_concrete_function(make_images()).graph
    computing = [
        one.name for one in graph.get_operations() if one.type in ("MatMul", "BatchMatMulV2", "Conv2D")
    ]
    of_gradient = [name for name in computing if winograd.KERNEL_SCOPE in name]
    assert of_gradient and all(name.startswith("gradient_tape/") for name in of_gradient)
    ((network_box, layer_box),) = {
        tuple(name.removeprefix("gradient_tape/").split("/")[:2]) for name in computing
    }
    assert network_box.startswith("net") and layer_box.startswith("conv1_1")


@pytest.mark.parametrize("filters", FILTERS)
def test_replicas_sum_up_to_the_gradients_of_the_whole(avx2_alone, filters):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        ours = make_layer(convolution.Conv2D, filters)
    images = make_images()[:4]
    halves = strategy.experimental_distribute_values_from_function(
        lambda context: images[context.replica_id_in_sync_group * 2 :][:2]
    )

    def of_half(half: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(ours(half) ** 2)
        return tape.gradient(loss, ours.kernel.value)

    given = strategy.reduce("sum", tf.function(lambda: strategy.run(of_half, (halves,)))(), axis=None)
    keras_own = make_layer(keras.layers.Conv2D, filters)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(keras_own(images) ** 2)
    assert_alike([given], [tape.gradient(loss, keras_own.kernel.value)])


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 7},
        {"kernel_size": 1},
        {"kernel_size": (2, 4)},
        {"kernel_size": (3, 1)},
        {"kernel_size": (3, 5)},
        {"strides": 2},
        {"padding": "valid"},
        {"dilation_rate": 2},
        {"groups": 2},
        {"dtype": "mixed_bfloat16"},
    ],
)
def test_what_winograds_algorithm_is_not_for_is_left_to_keras(avx2_alone, monkeypatch, settings):
    without_winograd(monkeypatch)
    images = make_images()
    ours, keras_own = make_both(**settings)
    assert_alike(gradients(ours, images), gradients(keras_own, images))


@pytest.mark.parametrize("filters", FILTERS)
def test_so_is_everything_where_tensorflow_is_fast(monkeypatch, filters):
    monkeypatch.setattr(device, "has_avx2_alone", lambda: False)
    without_winograd(monkeypatch)
    gradients(make_layer(convolution.Conv2D, filters), make_images())


@pytest.mark.parametrize("name", SMALLEST_CROPS)
def test_all_gradients_of_the_networks_are_those_with_keras_own_layers(name, avx2_alone, monkeypatch):
    """In float64, as the rounding of thirteen layers would add up."""
    keras.config.set_dtype_policy("float64")
    size = SMALLEST_CROPS[name]
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (2, size, size, 3)), "float32")
    network = functools.partial(networks.NETWORKS[name], 3, init="xavier", seed=1, size=size)
    ours = network()
    assert {type(layer) for layer in ours.layers if "conv" in layer.name} == {convolution.Conv2D}
    monkeypatch.setattr(convolution, "Conv2D", keras.layers.Conv2D)
    keras_own = network()
    assert {type(layer) for layer in keras_own.layers if "conv" in layer.name} == {keras.layers.Conv2D}
    assert_alike(gradients(ours, images)[1:], gradients(keras_own, images)[1:])


def test_as_keras_own_it_has_the_same_settings_and_weights(avx2_alone):
    layer = make_layer(convolution.Conv2D, 6)
    plain = layer.as_keras()
    assert type(plain) is keras.layers.Conv2D
    assert plain.get_config() == layer.get_config()
    np.testing.assert_array_equal(plain(make_images()), layer(make_images()))
