"""A complete run of the Estimator in seconds: a small network with dropout, on augmented noise.

As a program, `python -m tests.tiny_run MODEL_DIR STEPS`, it can send itself a signal or be one of several
workers.
"""

import argparse
import functools
import os
import random
import threading
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from common import augment, cli, distribution, evaluation, hooks, losses, optimizers, snapshots
from common.cli import RunOptions, option
from common.dropout import Dropout
from common.errors import UserError
from common.estimator import Estimator
from common.input import Data, EvalInput, Examples, TrainInput
from common.run_files import open_run

CLASSES = ("circle", "square", "star")
SIZE, CROP = 20, 16


@dataclass(frozen=True)
class Config(RunOptions):
    steps: int = option(64, "iterations", resumable=True)
    eval_every: int = option(5, "iterations between evaluations", resumable=True)
    batch_size: int = option(10, "images an iteration")


def examples(split: str, count: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (count, len(CLASSES))).astype(np.float32)
    noise = rng.integers(0, 156, (count, SIZE, SIZE, len(CLASSES)))
    images = (noise + 100 * labels[:, np.newaxis, np.newaxis]).astype(np.uint8)
    weights = (rng.random(labels.shape) < 0.9).astype(np.float32)
    return Examples(split, images, labels, weights, [f"{split}-{i}" for i in range(count)], CLASSES)


def network() -> keras.Model:
    layers, he = keras.layers, keras.initializers.HeNormal
    return keras.Sequential(
        [
            keras.Input((CROP, CROP, 3), dtype="uint8", name="image"),
            layers.Rescaling(1 / 255, dtype="float32", name="scale"),
            layers.Conv2D(8, 5, activation="relu", kernel_initializer=he(1), name="conv1"),
            layers.MaxPooling2D(2, name="pool1"),
            layers.Flatten(name="flatten"),
            Dropout(0.5, seed=3, name="dropout"),
            layers.Dense(len(CLASSES), kernel_initializer=he(2), name="fc8"),
        ],
        name="tiny",
    )


def estimator(
    model_dir: Path, learning_rate: float = 0.01, seed: int = 0, decay_steps: int = 20, eval_every: int = 5
) -> tuple[Estimator, Config]:
    """An estimator on `model_dir`, and the settings that stand in its config.json."""
    often = {"summary_every": 5, "images_every": 20, "histograms_every": 10, "checkpoint_every": 10}
    config = Config(model_dir=model_dir, seed=seed, eval_every=eval_every, **often)
    open_run(
        config,
        __file__,
        Data("noise", "coloured noise", examples("train", 37, 1), examples("test", 23, 2)),
        "float32",
    )
    optimizer = optimizers.MomentumSGD(optimizers.staircase(learning_rate, decay_steps, 0.5), 0.9)
    metrics = functools.partial(evaluation.multilabel_metrics, classes=CLASSES)
    made = Estimator(network(), optimizer, losses.sigmoid_cross_entropy, metrics, "mAP", model_dir)
    return made, config


def train_input(config: Config) -> TrainInput:
    def augmentation(images, step, first):
        return augment.random_crop_and_flip(images, CROP, config.seed, step, first)

    return TrainInput(examples("train", 37, 1), config.batch_size, config.seed, augmentation)


def test_input() -> EvalInput:
    return EvalInput(examples("test", 23, 2), 8, lambda images: augment.center_crop(images, CROP))


class SignalAt(hooks.Hook):
    """A signal from the run to itself, so that the moment is certain."""

    on_every_worker = True

    def __init__(self, number: int, step: int, moment: str) -> None:
        """
        Args:
            number: of the signal.
            step: at or after which it is sent.
            moment: "begin", before the first; "step"; "evaluation", while the test split is predicted;
                "sample", while training images are; "save", some milliseconds into the writing of a
                checkpoint.
        """
        self._number, self._step, self._moment = number, step, moment
        self._calls = 0

    def begin(self, estimator) -> None:
        if self._moment == "begin":
            self._send()
        elif self._moment in ("evaluation", "sample"):
            estimator.forward = self._before(estimator.forward, estimator)
        elif self._moment == "save":
            estimator.save = self._before(estimator.save, estimator)

    def _before(self, function, estimator):
        def call(*arguments):
            if estimator.step >= self._step:
                self._calls += 1
                if self._moment == "sample" and self._calls <= 3:  # batches of the test split
                    pass
                elif self._moment == "save":
                    threading.Timer(random.Random(self._step).uniform(0, 0.03), self._send).start()
                else:
                    self._send()
            return function(*arguments)

        return call

    def after_step(self, estimator, step, done):
        if self._moment == "step" and step >= self._step:
            self._send()

    def _send(self) -> None:
        os.kill(os.getpid(), self._number)


def run(model_dir: Path, steps: int, *more: hooks.Hook, seed: int = 0, eval_every: int = 5) -> dict:
    made, config = estimator(model_dir, seed=seed, eval_every=eval_every)
    standard = hooks.standard(config, steps, CLASSES, *more, snapshots.Snapshots("conv1", (0, 7)))
    return made.train_and_evaluate(train_input(config), test_input(), steps, eval_every, standard)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("steps", type=int)
    parser.add_argument("--signal", nargs=3, help="number, step, moment: see SignalAt")
    parser.add_argument("--strategy", default="none")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval_every", type=int, default=5)
    parser.add_argument("--without_data", action="store_true")
    parser.add_argument("--init_from", help="a run whose conv1 this one starts with")
    options = parser.parse_args()
    if options.cpus > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * options.cpus
        )
    distribution.start(options.strategy)
    if options.without_data:
        raise UserError("there is no data")
    more = [hooks.Restore(options.init_from, "conv1")] if options.init_from else []
    if options.signal:
        number, step, moment = options.signal
        more.append(SignalAt(int(number), int(step), moment))
    run(options.model_dir, options.steps, *more, seed=options.seed, eval_every=options.eval_every)


if __name__ == "__main__":
    cli.run(main)
