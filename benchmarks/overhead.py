"""What summaries, progress and checkpoints cost beside the training steps, at default settings.

    python -m benchmarks.overhead

Trains CaffeNet as Task 2 does for 1,000 steps, and times every hook.
"""

import contextlib
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common import cli

cli.import_tensorflow()

from benchmarks import setting  # noqa: E402
from common import device, hooks, snapshots  # noqa: E402
from common.input import Data  # noqa: E402
from common.run_files import open_run  # noqa: E402

STEPS, BATCH = 1_000, 10


@dataclass(frozen=True)
class Config(cli.RunOptions):
    batch_size: int = cli.option(BATCH, "images an iteration")


class Timed(hooks.Hook):
    """Another hook, timed."""

    def __init__(self, hook: hooks.Hook) -> None:
        self.hook = hook
        self.seconds = 0.0

    def wants_gradients(self, step: int) -> bool:
        return self.hook.wants_gradients(step)

    def _time(self, method, *arguments) -> None:
        started = time.perf_counter()
        method(*arguments)
        self.seconds += time.perf_counter() - started

    def begin(self, estimator) -> None:
        self._time(self.hook.begin, estimator)

    def after_step(self, estimator, step, done) -> None:
        self._time(self.hook.after_step, estimator, step, done)

    def end(self, estimator) -> None:
        self._time(self.hook.end, estimator)

    def close(self, estimator) -> None:
        self._time(self.hook.close, estimator)


def main() -> None:
    precision = device.set_precision("auto")
    photos = setting.photos()
    with tempfile.TemporaryDirectory() as folder:
        config = Config(model_dir=Path(folder) / "run")
        model_dir = open_run(config, sys.argv[0], Data("noise", "noise", photos, photos), precision)
        estimator = setting.make_estimator("caffenet", model_dir)
        conv1 = snapshots.Snapshots("conv1", (0, 500))
        timed = [Timed(hook) for hook in hooks.standard(config, STEPS, photos.classes, conv1)]
        started = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):  # its progress isn't part of the table
            estimator.train(setting.train_input("caffenet", BATCH, photos), STEPS, timed)
        whole = time.perf_counter() - started
    print(f"CaffeNet, batch {BATCH}, {STEPS:,} steps in {whole:.1f} s, {precision}, {device.describe()}")
    for one in timed:
        print(f"{type(one.hook).__name__:<12} {one.seconds:6.2f} s {one.seconds / whole:6.2%}")
    print(
        f"{'together':<12} {sum(one.seconds for one in timed):6.2f} s "
        f"{sum(one.seconds for one in timed) / whole:6.2%}"
    )


if __name__ == "__main__":
    main()
