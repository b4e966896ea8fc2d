"""How far a training step is from what the machine can do.

    python -m benchmarks.machine_limit

The limit of a layer is the longer of two times: its multiplications at the rate of a large bfloat16 matrix
product, and the bytes that it can't do without at the rate of a stream over memory; the limit of a step is
the sum over the layers, forward, backward and update. Copies that are made beyond that, of weights in
bfloat16 for example, are not in the limit: they are part of what is lost. Both rates are measured before each
turn of steps, and the best of all turns is the machine's.
"""

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import cli

cli.import_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks import setting  # noqa: E402
from common import device  # noqa: E402

BATCH, STEPS, TURNS = 10, 4, 6
_HALF, _SINGLE = 2, 4  # bytes of bfloat16 and float32


def _best_rate(amount: float, function: Callable[[], object], repeats: int = 5) -> float:
    """`amount` a second, by the shortest of some calls after one for warming up."""
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return amount / min(times)


class Machine:
    """The best rates that were measured so far.

    Attributes:
        operations: a second, a multiplication and an addition are two, of a 4096-cubed bfloat16 product.
        moved: bytes a second of variable += constant over 400 MB; each is read, one is written.
    """

    def __init__(self) -> None:
        self.operations = self.moved = 0.0
        matrix = tf.cast(tf.random.normal((4096, 4096)), tf.bfloat16)
        variable, constant = tf.Variable(tf.zeros(100_000_000)), tf.ones(100_000_000)

        @tf.function(autograph=False)
        def multiply() -> tf.Tensor:
            return tf.matmul(matrix, matrix)[0, 0]

        @tf.function(autograph=False)
        def add() -> tf.Tensor:
            variable.assign_add(constant, read_value=False)
            return variable[0]

        self._multiply, self._add = multiply, add

    def measure(self) -> None:
        """Measures both rates once more."""
        operations = _best_rate(2 * 4096**3, lambda: self._multiply().numpy())
        moved = _best_rate(3 * _SINGLE * 100_000_000, lambda: self._add().numpy())
        self.operations, self.moved = max(self.operations, operations), max(self.moved, moved)


def step_limit(
    model: keras.Model, batch_size: int, operations_a_second: float, bytes_a_second: float
) -> tuple[float, float, float]:
    """Operations, bytes and the least seconds of one step of `batch_size` images."""
    operations = moved = seconds = 0.0
    computing = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense | keras.layers.MaxPooling2D)
    ]
    for layer in computing:
        entering = batch_size * math.prod(layer.input.shape[1:])
        leaving = batch_size * math.prod(layer.output.shape[1:])
        # Forward reads what enters and writes what leaves; backward reads what entered and the gradient of
        # what left, and writes the gradient of what entered, except of the images.
        first = layer is computing[0]
        layer_bytes = _HALF * ((2 if first else 3) * entering + 2 * leaving)
        layer_operations = 0
        if layer.weights:
            weights = math.prod(layer.kernel.shape)
            products = weights * batch_size * math.prod(layer.output.shape[1:-1])
            layer_operations = 2 * products * (2 if first else 3)
            # Read forward and backward; its gradient written and read; weight and velocity read and written.
            layer_bytes += _SINGLE * 8 * weights
        operations += layer_operations
        moved += layer_bytes
        seconds += max(layer_operations / operations_a_second, layer_bytes / bytes_a_second)
    return operations, moved, seconds


def main() -> None:
    precision = device.set_precision("bfloat16")
    machine = Machine()
    rows = []
    for network in ("caffenet", "vgg16"):
        with tempfile.TemporaryDirectory() as folder:
            estimator = setting.make_estimator(network, Path(folder))
            train_input = setting.train_input(network, BATCH)
            times = []
            for _ in range(TURNS):
                machine.measure()
                times += setting.time_steps(estimator, train_input, STEPS)
        rows.append((network, estimator.model, statistics.median(times)))
    print(f"{setting.describe_machine()}, {precision}")
    print(f"at best {machine.operations / 1e9:.0f} GFLOP/s, {machine.moved / 1e9:.1f} GB/s")
    print(f"{'batch ' + str(BATCH):<12} {'GFLOP':>8} {'GB':>6} {'limit':>9} {'measured':>9} {'ratio':>6}")
    for network, model, measured in rows:
        operations, moved, limit = step_limit(model, BATCH, machine.operations, machine.moved)
        print(
            f"{network:<12} {operations / 1e9:>8.0f} {moved / 1e9:>6.2f} {1000 * limit:>6.0f} ms "
            f"{1000 * measured:>6.0f} ms {limit / measured:>6.2f}"
        )
    print(f"training steps with input; the median of {TURNS} turns of {STEPS}")


if __name__ == "__main__":
    main()
