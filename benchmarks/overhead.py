"""What summaries, progress and checkpoints cost beside the training steps, at default settings.

    python -m benchmarks.overhead

Trains CaffeNet as Task 2 does for 1,000 steps, before a terminal of its own, so that the progress bar is
drawn. Times every hook, and what the steps whose gradients a hook wants take longer than the median of the
others; and, as the median over all steps, what all hooks take at one at which nothing is written.
"""

import contextlib
import fcntl
import os
import statistics
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from common import cli

cli.import_tensorflow()

from benchmarks import setting  # noqa: E402
from common import device, hooks, snapshots  # noqa: E402
from common.input import Data  # noqa: E402
from common.run_files import open_run  # noqa: E402

STEPS, BATCH = 1_000, 10
COLUMNS = 100


@dataclass(frozen=True)
class Config(cli.RunOptions):
    """The defaults of every run."""

    batch_size: int = cli.option(BATCH, "images an iteration")


class Timed(hooks.Hook):
    """Another hook, timed."""

    def __init__(self, hook: hooks.Hook) -> None:
        self.hook = hook
        self.seconds = 0.0
        self.after_steps: list[float] = []

    def wants_gradients(self, step: int) -> bool:
        return self.hook.wants_gradients(step)

    def _time(self, method, *arguments) -> None:
        started = time.perf_counter()
        method(*arguments)
        self.seconds += time.perf_counter() - started

    def begin(self, estimator) -> None:
        self._time(self.hook.begin, estimator)

    def after_step(self, estimator, step, done) -> None:
        before = self.seconds
        self._time(self.hook.after_step, estimator, step, done)
        self.after_steps.append(self.seconds - before)

    def end(self, estimator) -> None:
        self._time(self.hook.end, estimator)

    def close(self, estimator) -> None:
        self._time(self.hook.close, estimator)


class Steps(hooks.Hook):
    """Seconds of each step, apart for those whose gradients a hook wants; it stands before the others."""

    def __init__(self, others: Sequence[hooks.Hook]) -> None:
        self.plain: list[float] = []
        self.with_gradients: list[float] = []
        self._others = others
        self._before = self._begun = 0.0

    def begin(self, estimator) -> None:
        self._begun = time.perf_counter()

    def after_step(self, estimator, step, done) -> None:
        # The first step builds a graph, and isn't in the estimator's own count.
        first = time.perf_counter() - self._begun
        wanted = any(hook.wants_gradients(step) for hook in self._others)
        seconds = first if step == 1 else estimator.train_seconds - self._before
        (self.with_gradients if wanted else self.plain).append(seconds)
        self._before = estimator.train_seconds

    def extra(self) -> float:
        """Seconds that the gradients cost; most of it is their graph, built beside the one without."""
        return sum(self.with_gradients) - len(self.with_gradients) * statistics.median(self.plain)


@contextlib.contextmanager
def terminal() -> Iterator[None]:
    """Has stderr be a terminal that nobody looks at."""
    controller, device_file = os.openpty()
    # Rows, columns, and two that nobody uses. In one of no columns tqdm draws nothing.
    fcntl.ioctl(device_file, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))

    def read() -> None:
        with contextlib.suppress(OSError):  # when it is closed
            while os.read(controller, 65_536):
                pass

    reader = threading.Thread(target=read)
    reader.start()
    with open(device_file, "w") as stderr, contextlib.redirect_stderr(stderr):
        yield
    reader.join()
    os.close(controller)


def main() -> None:
    cli.Parser(__doc__).parse_args()
    precision = device.set_precision("auto")
    photos = setting.photos()
    with tempfile.TemporaryDirectory() as folder:
        config = Config(model_dir=Path(folder) / "run")
        model_dir = open_run(config, sys.argv[0], Data("noise", "noise", photos, photos), precision)
        estimator = setting.make_estimator("caffenet", model_dir)
        conv1 = snapshots.Snapshots("conv1", (0, 500))
        timed = [Timed(hook) for hook in hooks.standard(config, STEPS, photos.classes, conv1)]
        steps = Steps(timed)
        started = time.perf_counter()
        with terminal(), contextlib.redirect_stdout(sys.stderr):
            estimator.train(setting.train_input("caffenet", BATCH, photos), STEPS, [steps, *timed])
        whole = time.perf_counter() - started
    parts = [(type(one.hook).__name__, one.seconds) for one in timed] + [("gradients", steps.extra())]
    parts.append(("together", sum(seconds for _, seconds in parts)))
    print(f"{setting.describe_machine()}, {precision}")
    print(f"CaffeNet, batch {BATCH}, {STEPS:,} steps in {whole:.1f} s")
    for name, seconds in parts:
        print(f"{name:<12} {seconds:6.2f} s {seconds / whole:6.2%}")
    plain = sum(statistics.median(one.after_steps) for one in timed)
    print(f"a plain step {1e6 * plain:.0f} microseconds {plain / statistics.median(steps.plain):.4%}")


if __name__ == "__main__":
    cli.run(main)
