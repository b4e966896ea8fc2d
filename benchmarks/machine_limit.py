"""How far a training step is from what the machine can do.

    python -m benchmarks.machine_limit

The precision is bfloat16 where the machine has it, float32 elsewhere. The limit of a product is the longer
of two times: its multiplications at the rate of a large matrix product, and its bytes at the rate of a
stream over memory; pooling and the update have bytes alone. The limit of a step is the sum over the layers.
The bytes are those of products in that precision and an update after them, with weights and velocities in
float32; copies beyond that, of weights in bfloat16 for example, are part of what is lost. Both rates are
measured before each turn of steps, and the best of all turns is the machine's. What a convolution does can
exceed the rate of the matrix product a little, and Winograd's algorithm (`common.winograd`) makes fewer
multiplications than are counted, so the limit isn't a law of nature.
"""

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from common import cli

cli.import_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks import setting  # noqa: E402
from common import device  # noqa: E402

BATCH, STEPS, TURNS = 10, 4, 6
_SINGLE = 4  # bytes of float32

# What a step consists of.
FORWARD = "convolutions, forward"
OF_INPUT = "convolutions, gradient of the input"
OF_KERNEL = "convolutions, gradient of the kernel"
DENSE = "products of fc6 to fc8, forward and backward"
POOLING = "pooling"
UPDATE = "momentum update"


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
        operations: a second, a multiplication and an addition are two, of a 4096-cubed product.
        moved: bytes a second of variable += constant over 400 MB; each is read, one is written.
    """

    def __init__(self, precision: str) -> None:
        """
        Args:
            precision: of the product, "float32" or "bfloat16".
        """
        self.operations = self.moved = 0.0
        matrix = tf.cast(tf.random.normal((4096, 4096)), precision)
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


class Part(NamedTuple):
    """One operation of a step.

    Attributes:
        kind: FORWARD, OF_INPUT, OF_KERNEL, DENSE, POOLING or UPDATE.
        operations: a multiplication and an addition are two.
        moved: bytes that it reads and writes at the least.
    """

    kind: str
    operations: int
    moved: int

    def limit(self, machine: Machine) -> float:
        """Seconds that it takes at the machine's rates."""
        return max(self.operations / machine.operations, self.moved / machine.moved)


def step_parts(model: keras.Model, batch_size: int) -> Iterator[Part]:
    """What one training step of `batch_size` images consists of, layer by layer, in the precision of each."""
    computing = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense | keras.layers.MaxPooling2D)
    ]
    for layer in computing:
        computed = tf.as_dtype(layer.compute_dtype).size
        # Of what enters and what leaves, and as much of their gradients.
        entering = computed * batch_size * math.prod(layer.input.shape[1:])
        leaving = computed * batch_size * math.prod(layer.output.shape[1:])
        if not layer.weights:
            yield Part(POOLING, 0, entering + leaving)
            yield Part(POOLING, 0, 2 * entering + leaving)
            continue
        dense = isinstance(layer, keras.layers.Dense)
        weights = math.prod(layer.kernel.shape)
        operations = 2 * weights * batch_size * math.prod(layer.output.shape[1:-1])
        yield Part(DENSE if dense else FORWARD, operations, entering + leaving + _SINGLE * weights)
        yield Part(DENSE if dense else OF_KERNEL, operations, entering + leaving + computed * weights)
        if layer is not computing[0]:  # nobody wants a gradient of the images
            yield Part(DENSE if dense else OF_INPUT, operations, entering + leaving + _SINGLE * weights)
        # The gradient is read, weight and velocity are read and written.
        yield Part(UPDATE, 0, (computed + 4 * _SINGLE) * weights)


def main() -> None:
    cli.Parser(__doc__).parse_args()
    precision = device.set_precision("auto")
    machine = Machine(precision)
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
        parts = list(step_parts(model, BATCH))
        operations, moved = sum(part.operations for part in parts), sum(part.moved for part in parts)
        limit = sum(part.limit(machine) for part in parts)
        print(
            f"{network:<12} {operations / 1e9:>8.0f} {moved / 1e9:>6.2f} {1000 * limit:>6.0f} ms "
            f"{1000 * measured:>6.0f} ms {limit / measured:>6.2f}"
        )
    print(f"training steps with input; the median of {TURNS} turns of {STEPS}")


if __name__ == "__main__":
    cli.run(main)
