"""Is the input pipeline in the way? CaffeNet's step with real, augmented input and on one constant batch.

    python -m benchmarks.constant_batch

The two take turns in one process.
"""

import statistics
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
    precision = device.set_precision("auto")
    real = setting.train_input("caffenet", BATCH)
    constant = Constant(real.examples, BATCH, 0, lambda images, step, first: images[:, :227, :227])
    seconds: dict[str, list[float]] = {"real, augmented input": [], "one constant batch": []}
    with tempfile.TemporaryDirectory() as folder:
        estimator = setting.make_estimator("caffenet", Path(folder))
        for _ in range(TURNS):
            for times, train_input in zip(seconds.values(), (real, constant), strict=True):
                times += setting.time_steps(estimator, train_input, STEPS)
    print(f"CaffeNet, batch {BATCH}, {precision}, {setting.describe_machine()}")
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name:<25} {1000 * median:8.1f} ms a step")
    with_input, without = medians.values()
    print(f"{with_input / without:.3f} times the step without input")


if __name__ == "__main__":
    main()
