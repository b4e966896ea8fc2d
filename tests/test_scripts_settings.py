"""What the command line says is what is trained, and which of it may change."""

import dataclasses
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import augment, losses, networks
from common.cli import RunOptions
from common.errors import UserError
from common.estimator import Estimator
from common.input import TrainInput
from tests.scripts import SMALLEST_CROPS, load, write_mnist


@pytest.mark.parametrize(
    ("script", "network", "size", "first"),
    [
        ("02_pascal_alexnet.py", "caffenet", 227, "conv1"),
        ("03_pascal_vgg16.py", "vgg16", 224, "conv1_1"),
        ("04_pascal_vgg16_finetune.py", "vgg16", 224, "conv1_1"),
    ],
)
def test_every_setting_reaches_the_training(script, network, size, first, voc, tmp_path, monkeypatch):
    given = {}

    def stop(estimator, train_input, test_input, steps, eval_every, all_hooks):
        given.update(estimator=estimator, train=train_input, test=test_input, often=(steps, eval_every))
        raise UserError("enough")

    monkeypatch.setattr(Estimator, "train_and_evaluate", stop)
    arguments = [
        "--data_dir", voc, "--cache_dir", tmp_path / "cache", "--model_dir", tmp_path / "run", "--seed", 5,
        "--batch_size", 3, "--learning_rate", 0.25, "--decay_steps", 7, "--decay_rate", 0.1,
        "--momentum", 0.75, "--dropout", 0.3, "--init", "he", "--image_size", 240,
        "--precision", "bfloat16", "--steps", 11, "--eval_every", 4,
    ]  # fmt: skip
    with pytest.raises(UserError, match="enough"):
        load(script).main([str(argument) for argument in arguments])
    model, optimizer = given["estimator"].model, given["estimator"].optimizer
    assert given["often"] == (11, 4) and optimizer.momentum == 0.75
    assert given["estimator"]._loss is losses.sigmoid_cross_entropy
    for updates, rate in ((6, 0.25), (7, 0.025)):
        optimizer.iterations.assign(updates)
        assert float(optimizer.learning_rate) == pytest.approx(rate)
    assert [model.get_layer(name).rate for name in ("dropout6", "dropout7")] == [0.3, 0.3]
    assert model.get_layer(first).compute_dtype == "bfloat16"
    assert model.get_layer("fc7").kernel.numpy().std() == pytest.approx((2 / 4096) ** 0.5, rel=0.02)
    same_seed = networks.NETWORKS[network](20, init="he", seed=5, size=SMALLEST_CROPS[network])
    np.testing.assert_array_equal(*(one.get_layer(first).kernel.numpy() for one in (model, same_seed)))

    train, test = given["train"], given["test"]
    assert (train.examples.split, test.examples.split) == ("trainval", "test")
    rows = TrainInput(train.examples, 3, 5, None).indices(2)
    images, _, _ = next(iter(train.from_step(2)))
    photos = tf.constant(train.examples.images[rows])
    np.testing.assert_array_equal(images, augment.random_crop_and_flip(photos, size, 5, 2))
    of_worker, _, _ = next(iter(train.from_step(2, worker=1, workers=3)))
    np.testing.assert_array_equal(of_worker, images[1:2])
    shown = np.concatenate(list(test.batches().as_numpy_iterator()))
    np.testing.assert_array_equal(shown, augment.center_crop(test.examples.images[:], size))


@pytest.mark.parametrize(
    ("network", "script"),
    [
        ("caffenet", "02_pascal_alexnet.py"),
        ("vgg16", "03_pascal_vgg16.py"),
        ("vgg16", "04_pascal_vgg16_finetune.py"),
    ],
)
def test_what_makes_a_network_by_name_makes_that_of_its_script(network, script):
    parameters = inspect.signature(networks.NETWORKS[network]).parameters
    assert parameters["size"].default == load(script).CROP_SIZE


@pytest.mark.parametrize(
    ("script", "splits", "scale", "loss"),
    [
        ("00_mnist.py", ("train", "test"), 1 / 255, losses.softmax_cross_entropy),
        ("01_pascal.py", ("trainval", "test"), 1.0, losses.sigmoid_cross_entropy),
    ],
)
def test_every_setting_of_tasks_0_and_1_reaches_the_training(
    script, splits, scale, loss, voc, tmp_path, monkeypatch
):
    given = {}

    def stop(estimator, train_input, test_input, steps, eval_every, all_hooks):
        given.update(estimator=estimator, train=train_input, test=test_input, often=(steps, eval_every))
        raise UserError("enough")

    monkeypatch.setattr(Estimator, "train_and_evaluate", stop)
    data = write_mnist(tmp_path / "mnist") if script == "00_mnist.py" else voc
    arguments = [
        "--data_dir", data, "--cache_dir", tmp_path / "cache", "--model_dir", tmp_path / "run", "--seed", 5,
        "--batch_size", 3, "--learning_rate", 0.25, "--dropout", 0.3, "--precision", "bfloat16",
        "--steps", 11, "--eval_every", 4,
    ]  # fmt: skip
    arguments += ["--image_size", 32] if script == "01_pascal.py" else []
    with pytest.raises(UserError, match="enough"):
        load(script).main([str(argument) for argument in arguments])
    estimator, train, test = given["estimator"], given["train"], given["test"]
    model = estimator.model
    assert given["often"] == (11, 4)
    assert type(estimator.optimizer) is keras.optimizers.SGD and estimator.optimizer.momentum == 0
    assert float(estimator.optimizer.learning_rate) == 0.25
    assert model.get_layer("dropout").rate == 0.3 and model.get_layer("scale").scale == scale
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert estimator._loss is loss
    seeded = keras.initializers.GlorotUniform(seed=5_000)(model.get_layer("conv1").kernel.shape)
    np.testing.assert_array_equal(model.get_layer("conv1").kernel.numpy(), seeded)
    assert (train.examples.split, test.examples.split) == splits
    rows = TrainInput(train.examples, 3, 5, None).indices(2)
    images, labels, _ = next(iter(train.from_step(2)))
    np.testing.assert_array_equal(images, train.examples.images[rows])
    np.testing.assert_array_equal(labels, train.examples.labels[rows])
    shown = np.concatenate(list(test.batches().as_numpy_iterator()))
    np.testing.assert_array_equal(shown, test.examples.images)


RESUMABLE = {field.name for field in dataclasses.fields(RunOptions) if field.metadata["resumable"]} | {
    "steps", "eval_every", "snapshot_steps", "baseline_dir",
}  # fmt: skip


@pytest.mark.parametrize("task", ["00_mnist", "01_pascal", "02_pascal_alexnet", "03_pascal_vgg16",
                                  "04_pascal_vgg16_finetune", "06_mixup"])  # fmt: skip
def test_what_decides_the_numbers_may_not_change_when_a_run_goes_on(task):
    for field in dataclasses.fields(load(f"{task}.py").Config):
        assert field.metadata["resumable"] is (field.name in RESUMABLE), field.name


def test_the_options_of_every_run_that_may_change():
    assert {f.name for f in dataclasses.fields(RunOptions) if not f.metadata["resumable"]} == {
        "seed", "precision", "skip_bad_images"}  # fmt: skip
