"""A complete run of the Estimator in seconds: a small network with dropout, on augmented noise.

As a program it can be killed: `python -m tests.tiny_run MODEL_DIR STEPS [KILL_AT_STEP]`.
"""

import functools
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from common import augment, evaluation, hooks, losses, optimizers
from common.cli import RunOptions, option
from common.estimator import Estimator
from common.input import Data, EvalInput, Examples, TrainInput
from common.run_files import open_run

CLASSES = ("circle", "square", "star")
SIZE, CROP = 20, 16


@dataclass(frozen=True)
class Config(RunOptions):
    steps: int = option(64, "iterations", resumable=True)
    batch_size: int = option(10, "images an iteration")


def examples(split: str, count: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (count, len(CLASSES))).astype(np.float32)
    noise = rng.integers(0, 156, (count, SIZE, SIZE, len(CLASSES)))
    images = (noise + 100 * labels[:, np.newaxis, np.newaxis]).astype(np.uint8)
    weights = (rng.random(labels.shape) < 0.9).astype(np.float32)
    return Examples(split, images, labels, weights, [f"{split}-{i}" for i in range(count)], CLASSES)


def network() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((CROP, CROP, 3), dtype="uint8"),
            layers.Rescaling(1 / 255, dtype="float32"),
            layers.Conv2D(
                8, 5, activation="relu", kernel_initializer=keras.initializers.HeNormal(1), name="conv1"
            ),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5, seed=3),
            layers.Dense(len(CLASSES), kernel_initializer=keras.initializers.HeNormal(2), name="fc8"),
        ]
    )


def estimator(
    model_dir: Path, learning_rate: float = 0.01, seed: int = 0, decay_steps: int = 20
) -> tuple[Estimator, Config]:
    """An estimator on `model_dir`, and the settings that stand in its config.json."""
    often = {"summary_every": 5, "images_every": 20, "histograms_every": 20, "checkpoint_every": 10}
    config = Config(model_dir=model_dir, seed=seed, **often)
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
    def augmentation(images, step):
        return augment.random_crop_and_flip(images, CROP, config.seed, step)

    return TrainInput(examples("train", 37, 1), config.batch_size, config.seed, augmentation)


def test_input() -> EvalInput:
    return EvalInput(examples("test", 23, 2), 8, lambda images: augment.center_crop(images, CROP))


class KillAt(hooks.Hook):
    """kill -9, by the run itself, so that the step is certain."""

    def __init__(self, step: int) -> None:
        self._step = step

    def after_step(self, estimator, step, done):
        if step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


def run(model_dir: Path, steps: int, *more: hooks.Hook, seed: int = 0) -> dict:
    made, config = estimator(model_dir, seed=seed)
    standard = hooks.standard(config, steps, CLASSES, hooks.Snapshots("conv1", (0, 7)), *more)
    return made.train_and_evaluate(train_input(config), test_input(), steps, 5, standard)


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), *[KillAt(int(step)) for step in sys.argv[3:]])
