"""The networks, layer by layer as the handout and the papers list them."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import networks
from tests.scripts import SMALLEST_CROPS

KERNELS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
SMALL = SMALLEST_CROPS["caffenet"]


def kernel_of(model: keras.Model, layer: str) -> np.ndarray:
    return model.get_layer(layer).kernel.numpy()


def output_of(model: keras.Model, layer: str, images, training: bool = False) -> np.ndarray:
    return keras.Model(model.inputs[0], model.get_layer(layer).output)(images, training=training).numpy()


@pytest.fixture(scope="module")
def caffenet() -> keras.Model:
    """With the handout's settings, at full size."""
    return networks.caffenet(20, seed=3)


@pytest.fixture(scope="module")
def small() -> keras.Model:
    """For small images, with weights large enough that outputs differ from 0."""
    return networks.caffenet(5, init="xavier", seed=3, size=SMALL)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, SMALL, SMALL, 3), np.uint8)


@pytest.fixture
def bfloat16():
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy(before)


def test_layers_and_shapes_are_the_handouts(caffenet):
    shapes = {
        layer.name: tuple(layer.output.shape[1:])
        for layer in caffenet.layers
        if layer.name != "subtract_mean"
    }
    assert list(shapes.items()) == [
        ("conv1", (55, 55, 96)),
        ("pool1", (27, 27, 96)),
        ("conv2", (27, 27, 256)),
        ("pool2", (13, 13, 256)),
        ("conv3", (13, 13, 384)),
        ("conv4", (13, 13, 384)),
        ("conv5", (13, 13, 256)),
        ("pool5", (6, 6, 256)),
        ("flatten", (9216,)),
        ("fc6", (4096,)),
        ("dropout6", (4096,)),
        ("fc7", (4096,)),
        ("dropout7", (4096,)),
        ("fc8", (20,)),
    ]
    assert caffenet.input_shape == (None, 227, 227, 3)
    assert caffenet.inputs[0].dtype == "uint8"


def test_number_of_parameters(caffenet):
    convolutions = 11 * 11 * 3 * 96 + 5 * 5 * 96 * 256 + 3 * 3 * (256 * 384 + 384 * 384 + 384 * 256)
    dense = 9216 * 4096 + 4096 * 4096 + 4096 * 20
    biases = 96 + 256 + 384 + 384 + 256 + 4096 + 4096 + 20
    assert caffenet.count_params() == convolutions + dense + biases == 58_363_284


def test_biases_are_0_and_kernels_are_gaussian_with_deviation_one_hundredth(caffenet):
    for name in KERNELS:
        assert not np.any(caffenet.get_layer(name).bias.numpy())
        kernel = kernel_of(caffenet, name)
        # Both estimates within five of their own deviations.
        assert abs(kernel.mean(dtype=np.float64)) < 5 * 0.01 / kernel.size**0.5, name
        assert abs(kernel.std(dtype=np.float64) - 0.01) < 5 * 0.01 / (2 * kernel.size) ** 0.5, name
        beyond = np.mean(np.abs(kernel) > 0.02)  # 4.55 % of a normal distribution that isn't cut off
        assert beyond == pytest.approx(0.0455, abs=5 * (0.0455 / kernel.size) ** 0.5), name


def test_caffes_fc6_and_fc7_are_half_as_wide():
    model = networks.caffenet(5, init="caffe", size=SMALL)
    for name in KERNELS:
        deviation = 0.005 if name in ("fc6", "fc7") else 0.01
        assert kernel_of(model, name).std(dtype=np.float64) == pytest.approx(deviation, rel=0.05), name


def test_logits_start_near_0_but_apart(caffenet):
    """The spread of about 0.13 from which the handout's initialisation can still train."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 227, 227, 3), np.uint8)
    logits = caffenet(noise, training=False).numpy()
    assert logits.shape == (4, 20) and logits.dtype == np.float32
    assert 0.01 < logits.std() < 1


@pytest.mark.parametrize("init", ["xavier", "he"])
def test_the_other_initialisers_scale_with_the_layers_width(init):
    model = networks.caffenet(5, init=init, size=SMALL)
    for name in KERNELS:
        kernel = kernel_of(model, name)
        fan_in = np.prod(kernel.shape[:-1])
        fan_out = np.prod(kernel.shape[:-2]) * kernel.shape[-1]
        deviation = (2 / fan_in) ** 0.5 if init == "he" else (2 / (fan_in + fan_out)) ** 0.5
        assert kernel.std(dtype=np.float64) == pytest.approx(deviation, rel=0.03), name
        if init == "xavier":  # uniform
            assert np.abs(kernel).max() <= deviation * 3**0.5 * 1.000001
        assert not np.any(model.get_layer(name).bias.numpy())


def test_the_seed_decides_the_weights(small):
    same = networks.caffenet(5, init="xavier", seed=3, size=SMALL)
    other = networks.caffenet(5, init="xavier", seed=4, size=SMALL)
    for name in KERNELS:
        np.testing.assert_array_equal(kernel_of(same, name), kernel_of(small, name))
        assert np.mean(kernel_of(other, name) == kernel_of(small, name)) < 0.01


def test_every_layer_has_weights_of_its_own(caffenet):
    starts = {name: kernel_of(caffenet, name).ravel()[:1000] for name in KERNELS}
    for one, other in itertools.combinations(KERNELS, 2):
        correlation = np.corrcoef(starts[one], starts[other])[0, 1]
        assert abs(correlation) < 0.2, (one, other)  # six deviations of independent draws


def test_relu_after_every_layer_but_conv5_and_fc8(small, images):
    negative = {name: bool(np.any(output_of(small, name, images) < 0)) for name in KERNELS}
    assert negative == {name: name in ("conv5", "fc8") for name in KERNELS}


def test_pixels_enter_as_rgb_minus_the_mean(small, images):
    expected = images.astype(np.float64) - [123.68, 116.78, 103.94]
    np.testing.assert_allclose(output_of(small, "subtract_mean", images), expected, atol=1e-4)


def test_an_image_of_the_mean_colour_enters_as_nearly_0(small):
    image = np.broadcast_to(np.array([124, 117, 104], np.uint8), (1, SMALL, SMALL, 3))
    assert np.abs(output_of(small, "subtract_mean", image)).max() < 0.33


def test_in_bfloat16_the_mean_weights_and_logits_stay_float32(bfloat16, images):
    model = networks.caffenet(5, init="xavier", seed=3, size=SMALL)
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    expected = images.astype(np.float64) - [123.68, 116.78, 103.94]
    np.testing.assert_allclose(output_of(model, "subtract_mean", images), expected, atol=1e-4)
    assert {weight.dtype for weight in model.trainable_variables} == {"float32"}
    assert model(images, training=False).dtype == tf.float32


def test_bfloat16_gives_nearly_the_same_logits(small, bfloat16, images):
    logits = networks.caffenet(5, init="xavier", seed=3, size=SMALL)(images, training=False).numpy()
    expected = small(images, training=False).numpy()
    np.testing.assert_allclose(logits, expected, atol=0.05 * np.abs(expected).max())


def test_dropout_is_active_in_training_alone(small, images):
    active = output_of(small, "fc6", images)
    np.testing.assert_array_equal(output_of(small, "dropout6", images), active)
    dropped = output_of(small, "dropout6", images, training=True)
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], 2 * active[kept], rtol=1e-6)
    assert np.mean(kept[active > 0]) == pytest.approx(0.5, abs=0.05)
    np.testing.assert_array_equal(small(images, training=False), small(images, training=False))
    assert not np.array_equal(small(images, training=True), small(images, training=True))


def test_dropout_takes_its_share_and_seed(images):
    def in_training(seed):
        model = networks.caffenet(5, init="xavier", dropout=0.2, seed=seed, size=SMALL)
        model.get_layer("fc6").bias.assign(tf.ones(4096) * 1e4)  # so that relu gives no zeros
        model.get_layer("fc7").bias.assign(tf.ones(4096) * 1e5)
        return [output_of(model, name, images, training=True) != 0 for name in ("dropout6", "dropout7")]

    first, second = in_training(1)
    assert first.mean() == pytest.approx(0.8, abs=0.02)
    assert second.mean() == pytest.approx(0.8, abs=0.02)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(in_training(1)[0], first)
    assert not np.array_equal(in_training(2)[0], first)


def test_the_tutorials_network_is_that_of_the_layers_tutorial():
    model = networks.layers_tutorial_cnn(10, (28, 28, 1), scale=1 / 255)
    shapes = {layer.name: tuple(layer.output.shape[1:]) for layer in model.layers}
    assert shapes == {
        "scale": (28, 28, 1), "conv1": (28, 28, 32), "pool1": (14, 14, 32), "conv2": (14, 14, 64),
        "pool2": (7, 7, 64), "flatten": (3136,), "dense": (1024,), "dropout": (1024,), "logits": (10,),
    }  # fmt: skip
    by_hand = (25 * 32 + 32) + (25 * 32 * 64 + 64) + (3136 * 1024 + 1024) + (1024 * 10 + 10)
    assert model.count_params() == by_hand
    assert model.get_layer("dropout").rate == 0.4


def test_the_tutorials_network_sees_pixels_of_0_to_1():
    model = networks.layers_tutorial_cnn(10, (28, 28, 1), scale=1 / 255)
    white = np.full((1, 28, 28, 1), 255, np.uint8)
    np.testing.assert_allclose(output_of(model, "scale", white), 1.0, rtol=1e-6)


@pytest.fixture(scope="module")
def vgg16() -> keras.Model:
    """With Task 3's settings, at full size."""
    return networks.vgg16(20, seed=3)


VGG16_CONVOLUTIONS = {
    "conv1_1": 64, "conv1_2": 64, "conv2_1": 128, "conv2_2": 128, "conv3_1": 256, "conv3_2": 256,
    "conv3_3": 256, "conv4_1": 512, "conv4_2": 512, "conv4_3": 512, "conv5_1": 512, "conv5_2": 512,
    "conv5_3": 512,
}  # fmt: skip


def test_vgg16_is_configuration_d(vgg16):
    kernels = {layer.name: layer.kernel.shape for layer in vgg16.layers if layer.weights}
    channels = [3, *VGG16_CONVOLUTIONS.values()]
    pairs = zip(VGG16_CONVOLUTIONS, itertools.pairwise(channels), strict=True)
    expected = {name: (3, 3, before, after) for name, (before, after) in pairs}
    expected |= {"fc6": (25088, 4096), "fc7": (4096, 4096), "fc8": (4096, 20)}
    assert kernels == expected
    sides = [vgg16.get_layer(f"pool{block}").output.shape[1] for block in range(1, 6)]
    assert sides == [112, 56, 28, 14, 7]
    # The paper's 138 million, with 20 classes instead of 1,000.
    assert vgg16.count_params() == 138_357_544 - 980 * 4097


def by_hand(model: keras.Model, images: np.ndarray, pool: int, conv1: dict) -> np.ndarray:
    """Logits by TensorFlow's operations, from the model's weights alone."""
    x = tf.constant(images, tf.float32) - [123.68, 116.78, 103.94]
    for layer in model.layers:
        kind = layer.name.rstrip("_0123456789")
        if kind == "conv":
            how = conv1 if layer.name == "conv1" else {"strides": 1, "padding": "SAME"}
            x = tf.nn.conv2d(x, layer.kernel.value, **how) + layer.bias.value
        elif kind == "fc":
            x = tf.matmul(tf.reshape(x, (len(images), -1)), layer.kernel.value) + layer.bias.value
        elif kind == "pool":
            x = tf.nn.max_pool2d(x, pool, 2, "VALID")
        if kind in ("conv", "fc") and layer.name not in ("conv5", "fc8"):
            x = tf.nn.relu(x)
    return x.numpy()


@pytest.mark.parametrize(
    ("network", "size", "pool", "conv1"),
    [
        (networks.caffenet, SMALL, 3, {"strides": 4, "padding": "VALID"}),
        (networks.vgg16, SMALLEST_CROPS["vgg16"], 2, {}),
    ],
)
def test_logits_are_those_of_a_forward_pass_by_hand(network, size, pool, conv1):
    images = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), np.uint8)
    model = network(5, init="xavier", seed=3, size=size)
    expected = by_hand(model, images, pool, conv1)
    largest = np.abs(expected).max()
    np.testing.assert_allclose(model(images, training=False), expected, rtol=0, atol=1e-4 * largest)


def test_vgg16s_weights_are_xaviers_by_default_and_the_seeds():
    one, other = (networks.vgg16(5, seed=seed, size=SMALLEST_CROPS["vgg16"]) for seed in (3, 4))
    for layer in one.layers:
        if layer.weights:
            kernel = layer.kernel.numpy()
            fans = np.prod(kernel.shape[:-1]), np.prod(kernel.shape[:-2]) * kernel.shape[-1]
            deviation = (2 / sum(fans)) ** 0.5
            assert kernel.std(dtype=np.float64) == pytest.approx(deviation, rel=0.05), layer.name
            assert not np.any(layer.bias.numpy())
            assert np.mean(kernel == kernel_of(other, layer.name)) < 0.01


def test_vgg16_drops_half_after_fc6_and_fc7(vgg16):
    assert [vgg16.get_layer(name).rate for name in ("dropout6", "dropout7")] == [0.5, 0.5]


def test_vgg16s_logits_die_with_the_handouts_initialiser_and_live_with_the_default(vgg16):
    noise = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    dead = networks.vgg16(20, init="gaussian", seed=3)
    assert dead(noise, training=False).numpy().std() < 1e-4
    assert 0.01 < vgg16(noise, training=False).numpy().std() < 10
