"""What a training step spends its time on: TensorFlow's own profile, by kind of operation.

    python -m benchmarks.step_profile caffenet
    python -m benchmarks.step_profile vgg16 --keras_layers     # without common.convolution

One operation runs at a time here, on all cores, so that their times add up to the step's. Beside each kind
stands what it would take at the machine's rates, see `benchmarks.machine_limit`.
"""

import collections
import re
import tempfile
from pathlib import Path
from unittest import mock

from common import cli

cli.import_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.tsl.profiler.protobuf import xplane_pb2  # noqa: E402

from benchmarks import machine_limit, setting  # noqa: E402
from common import convolution, device, winograd  # noqa: E402

STEPS, BATCH = 10, 10
RATES = 4  # measurements of the machine's rates before the steps, and as many after them
INPUT = "input"  # is made beside the step before
# Kinds by the scope that operations of this project's convolutions have.
SCOPES = {
    winograd.FORWARD_SCOPE: machine_limit.FORWARD,
    winograd.IMAGES_SCOPE: machine_limit.OF_INPUT,
    winograd.KERNEL_SCOPE: machine_limit.OF_KERNEL,
}
# Kinds by the name of the kernel, the first that fits.
KINDS = {
    machine_limit.OF_KERNEL: ("Conv2DBackpropFilter",),
    machine_limit.OF_INPUT: ("Conv2DBackpropInput",),
    machine_limit.FORWARD: ("Conv2D",),
    machine_limit.DENSE: ("MatMul",),
    machine_limit.UPDATE: ("ApplyKerasMomentum",),
    "casts between float32 and bfloat16": ("Cast",),
    machine_limit.POOLING: ("MaxPool",),
    INPUT: ("GatherV2", "PyFunc"),
}


def kind_of(name: str, kernel: str) -> str:
    """The kind of an operation, by its name in the graph and the kernel of TensorFlow's that computes it."""
    for scope in SCOPES:
        if re.search(rf"\b{scope}(_\d+)?/", name):  # TensorFlow numbers those of the same name
            return SCOPES[scope]
    for kind, parts in KINDS.items():
        if any(part in kernel for part in parts):
            return kind
    return "everything else"


def read_profile(folder: Path) -> dict[str, float]:
    """{kind: seconds} of the operations in a profile that TensorFlow wrote."""
    (path,) = folder.rglob("*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    seconds: dict[str, float] = collections.defaultdict(float)
    for plane in (plane for plane in space.planes if plane.name == "/host:CPU"):
        for event in (event for line in plane.lines for event in line.events):
            # An operation of a graph is "its/name:Kernel"; what else is there encloses them.
            name, _, kernel = plane.event_metadata[event.metadata_id].name.partition(":")
            if kernel and not kernel.startswith((":", " ")):
                seconds[kind_of(name, kernel)] += event.duration_ps / 1e12
    return seconds


def main() -> None:
    parser = cli.Parser(__doc__)
    parser.add_argument("network", choices=["caffenet", "vgg16"])
    parser.add_argument("--keras_layers", action="store_true", help="with TensorFlow's convolutions alone")
    arguments = parser.parse_args()
    network = arguments.network
    tf.config.threading.set_inter_op_parallelism_threads(1)
    precision = device.set_precision("auto")
    machine = machine_limit.Machine(precision)
    for _ in range(RATES):
        machine.measure()
    train_input = setting.train_input(network, BATCH)
    with tempfile.TemporaryDirectory() as folder:
        layer = keras.layers.Conv2D if arguments.keras_layers else convolution.Conv2D
        with mock.patch.object(convolution, "Conv2D", layer):
            estimator = setting.make_estimator(network, Path(folder) / "run")
        setting.time_steps(estimator, train_input, 2)
        tf.profiler.experimental.start(folder)
        whole = sum(setting.time_steps(estimator, train_input, STEPS, warm_up=0))
        tf.profiler.experimental.stop()
        kinds = read_profile(Path(folder))
    for _ in range(RATES):
        machine.measure()
    at_rates = collections.Counter()
    for part in machine_limit.step_parts(estimator.model, BATCH):
        at_rates[part.kind] += part.limit(machine)
    kinds.pop(INPUT, None)
    print(f"{setting.describe_machine()}, {precision}")
    layers = ", Keras' convolutions" if arguments.keras_layers else ""
    print(f"{network}, batch {BATCH}{layers}: {1000 * whole / STEPS:.0f} ms a step, the mean of {STEPS}")
    print(f"at best {machine.operations / 1e9:.0f} GFLOP/s, {machine.moved / 1e9:.1f} GB/s")
    print(f"{'':<46} {'measured':>11} {'':>6} {'at these':>11}")
    for kind, seconds in sorted(kinds.items(), key=lambda item: -item[1]):
        each, expected = 1000 * seconds / STEPS, 1000 * at_rates[kind]
        print(f"{kind:<46} {each:8.1f} ms {seconds / whole:6.1%} {expected:8.1f} ms")


if __name__ == "__main__":
    cli.run(main)
