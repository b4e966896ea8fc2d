"""What `--init_from` refuses, in a line that names it."""

import re
import tarfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from common import pretrained
from common.errors import UserError
from tests.pretrained_files import (
    KINDS,
    LAYERS,
    UNITS,
    slim_values,
    small_vgg16,
    write_keras_2,
    write_slim,
)


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    return slim_values()


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
    assert f"{path}: is of another network, one with conv3_4, conv4_4, conv5_4; give" in refused(path)


def test_a_whole_keras_model_is_told_from_its_weights(tmp_path):
    (tmp_path / "vgg16.keras").write_bytes(b"PK")
    expected = f"{tmp_path / 'vgg16.keras'}: is a whole Keras model, of which no weights are read; give"
    assert expected in refused(tmp_path / "vgg16.keras")


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


def test_a_run_of_caffenet_is_another_networks(tmp_path):
    caffenet = keras.Sequential(
        [keras.Input((9, 9, 3)), *(layers.Conv2D(2, 1, name=f"conv{n}") for n in (1, 2))]
    )
    checkpoint = tf.train.Checkpoint(
        weights={layer.name: {v.name: v.value for v in layer.weights} for layer in caffenet.layers}
    )
    path = checkpoint.write(str(tmp_path / "ckpt-5"))
    assert refused(tmp_path) == (
        f"{path}: is of another network, one with conv1, conv2; give --init_from other weights"
    )


def test_a_damaged_checkpoint_of_a_run_names_the_one_before(tmp_path):
    from tests import tiny_run

    tiny_run.run(tmp_path / "run", 20)
    data = tmp_path / "run" / "ckpt-20.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])
    network = tiny_run.network()
    with pytest.raises(UserError) as error:
        pretrained.restore(network, pretrained.open_weights(str(tmp_path / "run"), True), "fc8")
    before = tmp_path / "run" / "ckpt-10"
    assert "ckpt-20" in str(error.value) and "fetch" not in str(error.value)
    assert str(error.value).endswith(f"; give --init_from {before}, the checkpoint before it")
    pretrained.restore(network, pretrained.open_weights(str(before), True), "fc8")
    data.with_name("ckpt-10.index").unlink()
    (tmp_path / "run" / "checkpoint").unlink()
    with pytest.raises(UserError, match="; give --init_from another$"):
        pretrained.restore(network, pretrained.open_weights(str(tmp_path / "run"), True), "fc8")
