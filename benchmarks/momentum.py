"""The momentum update in one operation against Keras' own SGD: CaffeNet's step, and the weights after 50.

    python -m benchmarks.momentum

The two take turns in one process; weights are compared in float32 from the same start.
"""

import functools
import tempfile
from pathlib import Path

from common import cli

cli.import_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks import setting  # noqa: E402
from common import device, optimizers  # noqa: E402
from common.estimator import Estimator  # noqa: E402

TURNS, STEPS, BATCH = 10, 20, 10
OPTIMIZERS = {"MomentumSGD": optimizers.MomentumSGD, "keras.optimizers.SGD": keras.optimizers.SGD}


def estimators(folder: str) -> dict[str, Estimator]:
    """CaffeNet with each of the two, from the same start."""
    return {
        name: setting.make_estimator("caffenet", Path(folder) / name, make(0.001, 0.9))
        for name, make in OPTIMIZERS.items()
    }


def largest_difference() -> float:
    """Of all weights after 50 steps, relative to each variable's largest."""
    device.set_precision("float32")
    train_input = setting.train_input("caffenet", BATCH)
    with tempfile.TemporaryDirectory() as folder:
        both = estimators(folder)
        for estimator in both.values():
            estimator.train(train_input, 50)
        weights = [[v.numpy() for v in estimator.model.trainable_variables] for estimator in both.values()]
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(*weights, strict=True))


def main() -> None:
    cli.Parser(__doc__).parse_args()
    precision = device.set_precision("auto")
    print(f"CaffeNet, batch {BATCH}, {precision}, {setting.describe_machine()}")
    train_input = setting.train_input("caffenet", BATCH)
    with tempfile.TemporaryDirectory() as folder:
        measures = {
            name: functools.partial(setting.time_steps, estimator, train_input, STEPS)
            for name, estimator in estimators(folder).items()
        }
        ours, keras_own = setting.median_in_turns(measures, TURNS)
    print(f"{keras_own / ours:.2f} times as fast")
    print(f"largest relative difference of weights after 50 steps in float32: {largest_difference():.1e}")


if __name__ == "__main__":
    cli.run(main)
