"""Weights of slim's and Keras' names and layouts, at reduced widths, into a network with VGG-16's names."""

import re
import tarfile
from pathlib import Path
from typing import get_args

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from common import networks, pretrained
from common.errors import UserError
from common.network_choices import VGG16Layer

WIDTHS = {1: 4, 2: 5, 3: 6, 4: 7, 5: 8}
DEPTHS = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
UNITS = 9
CONVOLUTIONS = [f"conv{block}_{number}" for block in DEPTHS for number in range(1, DEPTHS[block] + 1)]
KINDS = ("kernel", "bias")
LAYERS = [*CONVOLUTIONS, "fc6", "fc7", "fc8"]


def small_vgg16(classes: int = 20, names=lambda name: name) -> keras.Model:
    """VGG-16 with few filters; `names` turns its layers' names into another library's."""
    stack = [keras.Input((224, 224, 3)), layers.Rescaling(1.0, [-m for m in networks.MEAN_RGB])]
    for block, depth in DEPTHS.items():
        for number in range(1, depth + 1):
            name = names(f"conv{block}_{number}")
            stack.append(layers.Conv2D(WIDTHS[block], 3, padding="same", activation="relu", name=name))
        stack.append(layers.MaxPooling2D(2))
    stack += [layers.Flatten(), *(layers.Dense(UNITS, "relu", name=names(name)) for name in ("fc6", "fc7"))]
    return keras.Sequential([*stack, layers.Dense(classes, name=names("fc8"))])


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    return {f"{layer.name}/{v.name}": v.numpy() for layer in model.layers for v in layer.weights}


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    """{"conv1_1/kernel": array ...} as slim has them: fc6 to fc8 are convolutions, 1,000 classes."""
    rng = np.random.default_rng(0)
    shapes, channels = {}, 3
    for name in CONVOLUTIONS:
        filters = WIDTHS[int(name[4])]
        shapes[name] = (3, 3, channels, filters)
        channels = filters
    shapes |= {"fc6": (7, 7, channels, UNITS), "fc7": (1, 1, UNITS, UNITS), "fc8": (1, 1, UNITS, 1000)}
    arrays = {}
    for name, shape in shapes.items():
        arrays[f"{name}/kernel"] = rng.normal(size=shape).astype(np.float32)
        arrays[f"{name}/bias"] = rng.normal(size=shape[-1:]).astype(np.float32)
    return arrays


def write_slim(values, path, version: str = "v2", without: str = "no layer", **changed: np.ndarray) -> str:
    """Writes a checkpoint of TF-slim's VGG-16 with its true names; returns its path."""
    kinds = {"kernel": "weights", "bias": "biases"}
    tensors = {"vgg_16/mean_rgb": np.float32(networks.MEAN_RGB), "global_step": np.int64(370_000)}
    for name, array in (values | {key.replace("__", "/"): value for key, value in changed.items()}).items():
        layer, kind = name.split("/")
        scope = f"{layer[:5]}/{layer}" if layer.startswith("conv") else layer
        if layer != without:
            tensors[f"vgg_16/{scope}/{kinds[kind]}"] = array
    names, data = list(tensors), [tf.constant(array) for array in tensors.values()]
    if version == "v2":
        slices = [""] * len(names)
        tf.raw_ops.SaveV2(prefix=str(path), tensor_names=names, shape_and_slices=slices, tensors=data)
    else:
        tf.raw_ops.Save(filename=str(path), tensor_names=names, data=data)
    return str(path)


def keras_name(name: str) -> str:
    if name.startswith("conv"):
        return f"block{name[4]}_conv{name[6]}"
    return {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}[name]


def keras_arrays(values, layer: str) -> list[np.ndarray]:
    """As Keras has them: conv1_1 takes BGR, the classifier is dense."""
    kernel, bias = values[f"{layer}/kernel"], values[f"{layer}/bias"]
    if layer == "conv1_1":
        kernel = kernel[:, :, ::-1]
    return [kernel.reshape(-1, kernel.shape[-1]) if layer.startswith("fc") else kernel, bias]


def write_keras_2(values, path, chosen=LAYERS) -> str:
    """The layout of the published vgg16_weights_tf_dim_ordering_tf_kernels.h5."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in ("input_1", *map(keras_name, chosen))]
        file.create_group("input_1").attrs["weight_names"] = np.array([], "S")
        for layer in chosen:
            group = file.create_group(keras_name(layer))
            names = [f"{keras_name(layer)}/{kind}:0" for kind in KINDS]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, keras_arrays(values, layer), strict=True):
                group[name] = array
    return str(path)


def keras_model(values) -> keras.Model:
    model = small_vgg16(1000, keras_name)
    for layer in LAYERS:
        model.get_layer(keras_name(layer)).set_weights(keras_arrays(values, layer))
    return model


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
    assert outcome.initialised == ["fc8"] and "optimizer/iteration" in outcome.ignored


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


def refused(path: object, up_to: str = "fc7") -> str:
    with pytest.raises(UserError) as error:
        pretrained.restore(small_vgg16(), pretrained.open_weights(str(path), True), up_to)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_missing_is_named(values, tmp_path):
    path = write_slim(values, tmp_path / "vgg_16.ckpt", without="conv3_2")
    message = refused(path)
    assert f"{path}: lacks conv3_2/kernel, conv3_2/bias" in message


def test_a_wrong_shape_is_named_with_both(values, tmp_path):
    path = write_slim(values, tmp_path / "vgg_16.ckpt", fc7__kernel=np.zeros((1, 1, UNITS, 3), np.float32))
    assert f"fc7/kernel has the shape (1, 1, {UNITS}, 3), the network's has ({UNITS}, {UNITS})" in refused(
        path
    )


def test_weights_that_are_not_finite_are_named(values, tmp_path):
    path = write_slim(values, tmp_path / "vgg_16.ckpt", conv2_1__bias=np.full(5, np.nan, np.float32))
    assert "conv2_1/bias is damaged" in refused(path)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_truncated_checkpoint_is_one_line_that_names_it(values, version, share, tmp_path):
    path = write_slim(values, tmp_path / "vgg_16.ckpt", version)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    assert re.match(rf"{re.escape(path)}.*(damaged|lacks)", refused(path))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_truncated_keras_file_is_one_line_that_names_it(values, share, tmp_path):
    path = write_keras_2(values, tmp_path / "vgg16.h5")
    content = (tmp_path / "vgg16.h5").read_bytes()
    (tmp_path / "vgg16.h5").write_bytes(content[: int(share * len(content))])
    assert re.match(rf"{re.escape(path)}.*damaged", refused(path))


@pytest.mark.parametrize("name", ["notes.h5", "notes.ckpt"])
def test_a_file_that_holds_no_weights_is_named(name, tmp_path):
    (tmp_path / name).write_text("Remember the milk.\n" * 100)
    assert f"{tmp_path / name}: is damaged or holds no weights" in refused(tmp_path / name)


def write_archive(folder: Path) -> Path:
    (folder / "vgg_16.ckpt").write_bytes(np.random.default_rng(0).bytes(10_000))
    with tarfile.open(folder / "vgg_16.tar.gz", "w:gz") as archive:
        archive.add(folder / "vgg_16.ckpt")
    return folder / "vgg_16.tar.gz"


def test_an_archive_is_to_be_unpacked(tmp_path):
    path = write_archive(tmp_path)
    assert f"{path}: is an archive; unpack it, tar xf {path}" in refused(path)


@pytest.mark.parametrize("size", [0, 5, 20, 100, 600])
def test_an_archive_that_was_cut_short_is_one_line(size, tmp_path):
    path = write_archive(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    assert re.match(rf"{re.escape(str(path))}: is (damaged|an archive)", refused(path))


def test_a_download_of_nothing_but_zeros_is_damaged(tmp_path):
    (tmp_path / "vgg_16.ckpt").write_bytes(bytes(100_000))
    assert f"{tmp_path / 'vgg_16.ckpt'}: is damaged" in refused(tmp_path / "vgg_16.ckpt")


@pytest.mark.parametrize("write", [write_slim, write_keras_2])
def test_vgg_19_is_another_network(values, write, tmp_path):
    """It has all of VGG-16's names and shapes."""
    more = {f"conv{block}_4/{kind}": values[f"conv{block}_3/{kind}"] for block in (3, 4, 5) for kind in KINDS}
    layers = [*LAYERS, "conv3_4", "conv4_4", "conv5_4"]
    chosen = {} if write is write_slim else {"chosen": layers}
    path = write(values | more, tmp_path / ("vgg_19.h5" if chosen else "vgg_19.ckpt"), **chosen)
    assert f"{path}: is of another network, which has conv3_4, conv4_4, conv5_4 too; give" in refused(path)


def test_a_path_that_does_not_exist_is_named(tmp_path):
    assert f"{tmp_path / 'vgg_16.ckpt'}: does not exist; give --init_from" in refused(
        tmp_path / "vgg_16.ckpt"
    )


def test_a_folder_without_a_checkpoint_is_named(tmp_path):
    assert f"{tmp_path}: holds no checkpoint of a run; give --init_from the model dir" in refused(tmp_path)


@pytest.mark.parametrize("name", ["vgg_16.ckpt", "vgg_16.ckpt.index", "vgg16.h5"])
def test_a_folder_that_holds_the_file_is_one_line_that_names_it(name, tmp_path):
    (tmp_path / name).touch()
    assert refused(tmp_path).endswith(f"give --init_from the file, {tmp_path / name}")


def test_a_layer_that_the_network_lacks_is_named(values, tmp_path):
    path = write_slim(values, tmp_path / "vgg_16.ckpt")
    assert "--restore_up_to fc9: the network's layers are" in refused(path, "fc9")


def test_a_layer_without_weights_is_refused_for_nothing_would_be_restored(values, tmp_path):
    path = write_slim(values, tmp_path / "vgg_16.ckpt")
    assert "--restore_up_to pool1: the network's layers are conv1_1, " in refused(path, "pool1")


def test_the_scripts_choices_are_the_layers_with_weights():
    layers = [layer.name for layer in small_vgg16().layers if layer.weights]
    assert list(get_args(VGG16Layer)) == layers


def test_any_file_of_a_checkpoint_names_it(values, tmp_path):
    path = write_slim(values, tmp_path / "vgg_16.ckpt", "v2")
    for suffix in (".index", ".data-00000-of-00001"):
        assert pretrained.open_weights(path + suffix, True).name == path


def test_the_home_of_nobody_does_not_exist():
    assert "~nobody-of-that-name/vgg_16.ckpt: does not exist" in refused("~nobody-of-that-name/vgg_16.ckpt")


def test_a_keras_file_of_another_layout_is_one_line(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["layers"] = np.zeros(3)
    assert f"{tmp_path / 'x.h5'}: is damaged or holds no weights" in refused(tmp_path / "x.h5")


def test_variables_that_are_no_numbers_are_named(values, tmp_path):
    words = np.full((5,), "milk", object)
    path = write_slim(values, tmp_path / "vgg_16.ckpt", conv2_1__bias=words)
    assert "conv2_1/bias is damaged, not all of it are finite numbers" in refused(path)
