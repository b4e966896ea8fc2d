"""What the command line of Tasks 2 to 4 says is what is trained."""

import numpy as np
import pytest
import tensorflow as tf

from common import augment, networks
from common.errors import UserError
from common.estimator import Estimator
from common.input import TrainInput
from tests.scripts import load


@pytest.mark.parametrize(
    ("script", "network", "size", "smallest", "first"),
    [
        ("02_pascal_alexnet.py", networks.caffenet, 227, 67, "conv1"),
        ("03_pascal_vgg16.py", networks.vgg16, 224, 32, "conv1_1"),
        ("04_pascal_vgg16_finetune.py", networks.vgg16, 224, 32, "conv1_1"),
    ],
)
def test_every_setting_reaches_the_training(
    script, network, size, smallest, first, voc, tmp_path, monkeypatch
):
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
    for updates, rate in ((6, 0.25), (7, 0.025)):
        optimizer.iterations.assign(updates)
        assert float(optimizer.learning_rate) == pytest.approx(rate)
    assert [model.get_layer(name).rate for name in ("dropout6", "dropout7")] == [0.3, 0.3]
    assert model.get_layer(first).compute_dtype == "bfloat16"
    assert model.get_layer("fc7").kernel.numpy().std() == pytest.approx((2 / 4096) ** 0.5, rel=0.02)
    same_seed = network(20, init="he", seed=5, size=smallest)
    np.testing.assert_array_equal(*(one.get_layer(first).kernel.numpy() for one in (model, same_seed)))

    train, test = given["train"], given["test"]
    assert (train.examples.split, test.examples.split) == ("trainval", "test")
    rows = TrainInput(train.examples, 3, 5, None).indices(2)
    images, _, _ = next(iter(train.from_step(2)))
    photos = tf.constant(train.examples.images[rows])
    np.testing.assert_array_equal(images, augment.random_crop_and_flip(photos, size, 5, 2))
    shown = np.concatenate(list(test.batches().as_numpy_iterator()))
    np.testing.assert_array_equal(shown, augment.center_crop(test.examples.images[:], size))
