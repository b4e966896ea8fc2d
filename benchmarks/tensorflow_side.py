"""This project's side of `benchmarks.against_pytorch`: its networks, input pipeline and Estimator."""

import json
import sys
import tempfile
import time
from pathlib import Path

from common import cli

cli.import_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks import generated  # noqa: E402
from common import augment, device, hooks, losses, networks, optimizers  # noqa: E402
from common.estimator import Estimator  # noqa: E402
from common.input import EvalInput, Examples, TrainInput  # noqa: E402

CROPS = {"caffenet": 227, "vgg16": 224}


class Clock(hooks.Hook):
    """Seconds from step to step."""

    def __init__(self) -> None:
        self.times = [time.perf_counter()]

    def after_step(self, estimator: Estimator, step: int, done: hooks.Step) -> None:
        self.times.append(time.perf_counter())


def as_examples(images: np.ndarray, labels: np.ndarray) -> Examples:
    weights = np.ones(labels.shape, np.float32)
    return Examples("noise", images, labels, weights, range(len(images)), range(20))


def make_estimator(network: str, model_dir: Path) -> Estimator:
    """With the solver and the loss of the network's task."""
    if network == "mnist":
        model = networks.layers_tutorial_cnn(10, (28, 28, 1), scale=1 / 255)
        optimizer, loss = keras.optimizers.SGD(0.001), losses.softmax_cross_entropy
    else:
        model = networks.caffenet(20) if network == "caffenet" else networks.vgg16(20)
        optimizer = optimizers.MomentumSGD(optimizers.staircase(0.001, 10_000, 0.5), 0.9)
        loss = losses.sigmoid_cross_entropy
    return Estimator(model, optimizer, loss, dict, "none", model_dir)


def time_training(network: str, batch_size: int, steps: int) -> list[float]:
    """Seconds of each of `steps` training steps, input and all, after 5 for warming up."""

    def crop_and_flip(images, step):
        return augment.random_crop_and_flip(images, CROPS[network], 0, step)

    if network == "mnist":
        data, augmentation = generated.digits(), lambda images, step: images
    else:
        data, augmentation = generated.photos(), crop_and_flip
    train_input = TrainInput(as_examples(*data), batch_size, 0, augmentation)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        make_estimator(network, Path(folder)).train(train_input, steps + 5, [clock])
    return np.diff(clock.times)[5:].tolist()


def time_evaluation(network: str, batch_size: int, steps: int) -> list[float]:
    """Seconds of each of `steps` batches of prediction, after two batches for warming up."""
    photos = as_examples(*generated.photos((steps + 2) * batch_size))
    crop = CROPS[network]
    test_input = EvalInput(photos, batch_size, lambda images: augment.center_crop(images, crop))
    times = []
    with tempfile.TemporaryDirectory() as folder:
        estimator = make_estimator(network, Path(folder))
        for images in test_input.batches():
            estimator.forward(images).numpy()
            times.append(time.perf_counter())
    return np.diff(times)[1:].tolist()


if __name__ == "__main__":
    network, mode, batch_size, steps, precision = sys.argv[1:]
    device.set_precision(precision)
    measure = time_training if mode == "train" else time_evaluation
    print(json.dumps(measure(network, int(batch_size), int(steps))))
