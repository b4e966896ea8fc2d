"""Weights of slim's and Keras' names and layouts, at reduced widths, into a network with VGG-16's names."""

from typing import get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from common import networks, pretrained
from common.errors import UserError
from common.network_choices import VGG16Layer
from tests.pretrained_files import (
    CONVOLUTIONS,
    KINDS,
    LAYERS,
    UNITS,
    keras_model,
    slim_values,
    small_vgg16,
    weights_of,
    write_keras_2,
    write_slim,
)


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    return slim_values()


def assert_restored(model: keras.Model, values, up_to: str) -> None:
    ours = weights_of(model)
    for layer in LAYERS[: LAYERS.index(up_to) + 1]:
        for kind in KINDS:
            expected = values[f"{layer}/{kind}"].reshape(ours[f"{layer}/{kind}"].shape)
            np.testing.assert_array_equal(ours[f"{layer}/{kind}"], expected, err_msg=f"{layer}/{kind}")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_layer_up_to_fc7_equals_slims(values, version, tmp_path):
    path = write_slim(values, tmp_path / "vgg_16.ckpt", version)
    model = small_vgg16()
    fc8 = model.get_layer("fc8").kernel.numpy()
    outcome = pretrained.restore(model, pretrained.open_weights(path, True), "fc7")
    assert_restored(model, values, "fc7")
    np.testing.assert_array_equal(model.get_layer("fc8").kernel, fc8)
    assert outcome.restored == LAYERS[:-1] and outcome.initialised == ["fc8"]
    assert outcome.ignored == ["fc8", "global_step", "vgg_16/mean_rgb"]


@pytest.mark.parametrize("suffix", [".index", ""])
def test_a_v2_checkpoint_is_named_by_its_prefix_or_its_index(values, suffix, tmp_path):
    path = write_slim(values, tmp_path / "vgg_16.ckpt")
    assert pretrained.open_weights(path + suffix, True).shapes["fc6/kernel"] == (7, 7, 8, UNITS)


def test_fc6_as_a_7_by_7_convolution_and_as_dense_give_equal_output(values, tmp_path):
    model = small_vgg16()
    path = write_slim(values, tmp_path / "vgg_16.ckpt")
    pretrained.restore(model, pretrained.open_weights(path, True), "fc6")
    pool5 = np.random.default_rng(1).normal(size=(2, 7, 7, 8)).astype(np.float32)
    convolution = tf.nn.conv2d(pool5, values["fc6/kernel"], 1, "VALID") + values["fc6/bias"]
    dense = model.get_layer("fc6")(layers.Flatten()(pool5))
    np.testing.assert_allclose(dense, tf.nn.relu(convolution)[:, 0, 0], rtol=1e-4, atol=1e-4)


def write_keras_3(values, path) -> str:
    keras_model(values).save_weights(path)
    return str(path)


def write_whole_model(values, path) -> str:
    path = path.with_name("vgg16.h5")
    keras_model(values).save(path)
    return str(path)


# Of Keras' own saving, which we need here to have files to read.
keras_saves = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


@keras_saves
@pytest.mark.parametrize("write", [write_keras_2, write_keras_3, write_whole_model])
def test_every_layer_equals_keras_in_each_of_its_layouts(values, write, tmp_path):
    path = write(values, tmp_path / "vgg16.weights.h5")
    model = small_vgg16()
    outcome = pretrained.restore(model, pretrained.open_weights(path, True), "fc7")
    assert_restored(model, values, "fc7")
    assert outcome.ignored == ["fc8"]
    assert pretrained.open_weights(path, True).bgr


def test_keras_weights_without_the_classifier(values, tmp_path):
    path = write_keras_2(values, tmp_path / "notop.h5", CONVOLUTIONS)
    model = small_vgg16()
    fc6 = model.get_layer("fc6").kernel.numpy()
    outcome = pretrained.restore(model, pretrained.open_weights(path, False), "conv5_3")
    assert_restored(model, values, "conv5_3")
    np.testing.assert_array_equal(model.get_layer("fc6").kernel, fc6)
    assert outcome.initialised == ["fc6", "fc7", "fc8"]
    with pytest.raises(UserError, match="lacks fc6/kernel, fc6/bias, fc7/kernel, fc7/bias; give --restore_u"):
        pretrained.restore(model, pretrained.open_weights(path, False), "fc7")


@pytest.mark.parametrize("with_classifier", [True, False])
def test_keras_fetches_what_is_wanted(values, with_classifier, monkeypatch):
    asked = []

    def application(**arguments):
        asked.append(arguments)
        return keras_model(values)

    monkeypatch.setattr(keras.applications, "VGG16", application)
    model = small_vgg16()
    pretrained.restore(model, pretrained.open_weights("keras", with_classifier), "conv5_3")
    assert_restored(model, values, "conv5_3")
    assert asked == [{"weights": "imagenet", "include_top": with_classifier}]


def test_keras_without_a_network_is_one_line(monkeypatch):
    def application(**arguments):
        raise Exception("URL fetch failure on https://somewhere:\nNone -- unreachable")

    monkeypatch.setattr(keras.applications, "VGG16", application)
    with pytest.raises(UserError, match="weights can't be had .*unreachable.*; give --init_from"):
        pretrained.open_weights("keras", True)


def test_conv1_1_gives_equal_output_from_slim_and_from_keras(values, tmp_path):
    """Slim's takes RGB minus the mean; Keras' takes what Keras' own preprocessing makes of RGB."""
    image = np.random.default_rng(2).integers(0, 256, (1, 224, 224, 3)).astype(np.float32)
    theirs = keras_model(values)
    first = keras.Sequential([theirs.get_layer("block1_conv1")])
    expected = first(keras.applications.vgg16.preprocess_input(image.copy())).numpy()
    for path in (write_slim(values, tmp_path / "a.ckpt"), write_keras_2(values, tmp_path / "b.h5")):
        model = small_vgg16()
        pretrained.restore(model, pretrained.open_weights(path, True), "conv1_1")
        ours = keras.Model(model.inputs[0], model.get_layer("conv1_1").output)(image).numpy()
        # Keras subtracts 116.779 from green, slim 116.78.
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=0.02)


def test_another_runs_weights_are_taken_and_not_its_step(tmp_path):
    from tests import tiny_run

    tiny_run.run(tmp_path / "first", 20)
    assert {"ckpt-10.index", "ckpt-20.index"} <= {path.name for path in (tmp_path / "first").iterdir()}
    trained, _ = tiny_run.estimator(tmp_path / "first")
    model = tiny_run.network()
    weights = pretrained.open_weights(str(tmp_path / "first"), True)
    assert weights.name.endswith("ckpt-20")
    outcome = pretrained.restore(model, weights, "conv1")
    np.testing.assert_array_equal(
        model.get_layer("conv1").kernel, trained.model.get_layer("conv1").kernel.numpy()
    )
    assert not np.array_equal(model.get_layer("fc8").kernel, trained.model.get_layer("fc8").kernel.numpy())
    assert outcome.initialised == ["fc8"] and outcome.ignored[0] == "fc8"
    assert {"optimizer", "loss_sum"} < {*outcome.ignored} and len(outcome.ignored) < 10


@keras_saves
def test_a_keras_file_of_this_projects_own_network_takes_rgb_already(tmp_path):
    model, trained = small_vgg16(), small_vgg16()
    trained.save_weights(tmp_path / "own.weights.h5")
    weights = pretrained.open_weights(str(tmp_path / "own.weights.h5"), True)
    pretrained.restore(model, weights, "fc7")
    assert not weights.bgr
    for layer in LAYERS[:-1]:
        kernels = (one.get_layer(layer).kernel.numpy() for one in (model, trained))
        np.testing.assert_array_equal(*kernels, err_msg=layer)


@pytest.mark.parametrize("write", [write_slim, write_keras_2])
def test_the_scripts_own_network_has_the_layers_of_the_real_names_in_their_order(write, tmp_path):
    """Networks of reduced widths show each layer equal; here it is `networks.vgg16` on small images."""
    model = networks.vgg16(20, size=32)
    layers_with_weights = [layer.name for layer in model.layers if layer.weights]
    assert layers_with_weights == LAYERS == list(get_args(VGG16Layer))
    rng = np.random.default_rng(0)
    real = {
        name: rng.normal(size=array.shape).astype(np.float32) for name, array in weights_of(model).items()
    }
    convolutions = {} if write is write_slim else {"chosen": CONVOLUTIONS}
    path = write(real, tmp_path / ("vgg16.h5" if convolutions else "vgg_16.ckpt"), **convolutions)
    outcome = pretrained.restore(model, pretrained.open_weights(path, False), "conv5_3")
    assert outcome.restored == CONVOLUTIONS and outcome.initialised == ["fc6", "fc7", "fc8"]
    assert_restored(model, real, "conv5_3")


def test_a_checkpoint_in_bfloat16_is_taken(values, tmp_path):
    halves = {name: array.astype(tf.bfloat16.as_numpy_dtype) for name, array in values.items()}
    model = small_vgg16()
    path = write_slim(halves, tmp_path / "vgg_16.ckpt")
    pretrained.restore(model, pretrained.open_weights(path, True), "fc7")
    assert_restored(model, {name: array.astype(np.float32) for name, array in halves.items()}, "fc7")


def test_any_file_of_a_checkpoint_names_it(values, tmp_path):
    path = write_slim(values, tmp_path / "vgg_16.ckpt", "v2")
    for suffix in (".index", ".data-00000-of-00001"):
        assert pretrained.open_weights(path + suffix, True).name == path
