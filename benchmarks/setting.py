"""What the benchmarks of this project's own side share: networks with their solvers, inputs, a clock."""

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from benchmarks import generated
from common import augment, device, hooks, losses, networks, optimizers
from common.estimator import Estimator
from common.input import Examples, TrainInput


class Clock(hooks.Hook):
    """Notes the time at every step."""

    def __init__(self) -> None:
        self.times = [time.perf_counter()]

    def tick(self) -> None:
        """Notes it once more."""
        self.times.append(time.perf_counter())

    def after_step(self, estimator: Estimator, step: int, done: hooks.Step) -> None:
        self.tick()


def describe_machine() -> str:
    """What computes: the device, TensorFlow and Keras."""
    return f"{device.describe()}, TensorFlow {tf.__version__}, Keras {keras.__version__}"


def as_examples(images: np.ndarray, labels: np.ndarray) -> Examples:
    """A split of images uint8 (N, H, W, C) and their labels, all of which count."""
    weights = np.ones(labels.shape, np.float32)
    ids = [str(number) for number in range(len(images))]
    return Examples("noise", images, labels, weights, ids, [str(number) for number in range(20)])


def photos(count: int = 1_000) -> Examples:
    """See `generated.photos`."""
    return as_examples(*generated.photos(count))


def train_input(network: str, batch_size: int, examples: Examples | None = None) -> TrainInput:
    """As the network's task has it; of generated images unless others are given."""

    def crop_and_flip(images, step, first):
        return augment.random_crop_and_flip(images, generated.CROPS[network], 0, step, first)

    if network == "mnist":
        digits = as_examples(*generated.digits())
        return TrainInput(digits, batch_size, 0, lambda images, step, first: images)
    return TrainInput(examples or photos(), batch_size, 0, crop_and_flip)


def make_estimator(
    network: str, model_dir: Path, optimizer: keras.optimizers.Optimizer | None = None
) -> Estimator:
    """With the loss and, unless another is given, the optimizer of the network's task."""
    if network == "mnist":
        model = networks.layers_tutorial_cnn(10, (28, 28, 1), scale=1 / 255)
        own, loss = keras.optimizers.SGD(0.001), losses.softmax_cross_entropy
    else:
        model = networks.NETWORKS[network](20)
        own = optimizers.MomentumSGD(optimizers.staircase(0.001, 10_000, 0.5), 0.9)
        loss = losses.sigmoid_cross_entropy
    return Estimator(model, optimizer or own, loss, dict, "none", model_dir)


def time_steps(estimator: Estimator, input: TrainInput, steps: int, warm_up: int = 2) -> list[float]:
    """Seconds of each of `steps` training steps, after some for warming up, from where the estimator is."""
    clock = Clock()
    estimator.train(input, estimator.step + warm_up + steps, [clock])
    return np.diff(clock.times)[warm_up:].tolist()


def median_in_turns(measures: Mapping[str, Callable[[], list[float]]], turns: int) -> list[float]:
    """Lets each measure its steps once in every turn, and prints what each came to.

    Args:
        measures: by name, functions that give seconds of some steps.
        turns: how often.

    Returns:
        The median of all of its steps for each, in seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(turns):
        for name, measure in measures.items():
            seconds[name] += measure()
    for name, times in seconds.items():
        print(f"{name:<25} {1000 * statistics.median(times):8.1f} ms a step")
    print(f"medians of {turns} turns of {len(times) // turns}")
    return [statistics.median(times) for times in seconds.values()]
