"""Is the input pipeline in the way? CaffeNet's step with real, augmented input and on one constant batch.

    python -m benchmarks.constant_batch

The two take turns in one process.
"""

import functools
import tempfile
from pathlib import Path

from common import cli

cli.import_tensorflow()

import tensorflow as tf  # noqa: E402

from benchmarks import setting  # noqa: E402
from common import device  # noqa: E402
from common.input import TrainInput  # noqa: E402

TURNS, STEPS, BATCH = 4, 20, 10


class Constant(TrainInput):
    """The first batch over and over."""

    def from_step(self, step: int, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        return super().from_step(0).take(1).cache().repeat()


def main() -> None:
    cli.Parser(__doc__).parse_args()
    precision = device.set_precision("auto")
    print(f"CaffeNet, batch {BATCH}, {precision}, {setting.describe_machine()}")
    real = setting.train_input("caffenet", BATCH)
    constant = Constant(real.examples, BATCH, 0, lambda images, step, first: images[:, :227, :227])
    with tempfile.TemporaryDirectory() as folder:
        estimator = setting.make_estimator("caffenet", Path(folder))
        measures = {
            name: functools.partial(setting.time_steps, estimator, train_input, STEPS)
            for name, train_input in {"real, augmented input": real, "one constant batch": constant}.items()
        }
        with_input, without = setting.median_in_turns(measures, TURNS)
    print(f"{with_input / without:.3f} times the step without input")


if __name__ == "__main__":
    cli.run(main)
