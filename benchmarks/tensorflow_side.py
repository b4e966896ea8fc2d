"""This project's side of `benchmarks.against_pytorch`, and both of `benchmarks.onednn`.

Its networks, input pipeline and Estimator.
"""

import json
import sys
import tempfile
from pathlib import Path

from common import cli

cli.import_tensorflow()

import numpy as np  # noqa: E402

from benchmarks import generated, setting  # noqa: E402
from common import augment, device  # noqa: E402
from common.input import EvalInput  # noqa: E402


def time_training(network: str, batch_size: int, steps: int) -> list[float]:
    """Seconds of each of `steps` training steps, input and all, after 5 for warming up."""
    with tempfile.TemporaryDirectory() as folder:
        estimator = setting.make_estimator(network, Path(folder))
        return setting.time_steps(estimator, setting.train_input(network, batch_size), steps, warm_up=5)


def time_evaluation(network: str, batch_size: int, steps: int) -> list[float]:
    """Seconds of each of `steps` batches of prediction, after two batches for warming up."""
    photos = setting.photos((steps + 2) * batch_size)
    crop = generated.CROPS[network]
    test_input = EvalInput(photos, batch_size, lambda images: augment.center_crop(images, crop))
    clock = setting.Clock()
    with tempfile.TemporaryDirectory() as folder:
        estimator = setting.make_estimator(network, Path(folder))
        for images in test_input.batches():
            estimator.forward(images).numpy()
            clock.tick()
    return np.diff(clock.times)[2:].tolist()


if __name__ == "__main__":
    network, mode, batch_size, steps, precision = sys.argv[1:]
    device.set_precision(precision)
    measure = time_training if mode == "train" else time_evaluation
    seconds = measure(network, int(batch_size), int(steps))
    print(json.dumps({"on": setting.describe_machine(), "seconds": seconds}))
