"""A training step in float32 with this project's convolutions, and with TensorFlow's own.

    python -m benchmarks.winograd caffenet
    python -m benchmarks.winograd vgg16

For processors with AVX2 and no AVX-512; elsewhere both would be TensorFlow's. They take turns in one process.
"""

import functools
import tempfile
from pathlib import Path
from unittest import mock

from common import cli

cli.import_tensorflow()

import keras  # noqa: E402

from benchmarks import setting  # noqa: E402
from common import convolution, device  # noqa: E402
from common.errors import UserError  # noqa: E402

TURNS, STEPS, BATCH = 5, 4, 10
LAYERS = {"Winograd's algorithm": convolution.Conv2D, "TensorFlow's own": keras.layers.Conv2D}


def main() -> None:
    parser = cli.Parser(__doc__)
    parser.add_argument("network", choices=["caffenet", "vgg16"])
    network = parser.parse_args().network
    if not device.has_avx2_alone():
        raise UserError(
            "the processor has AVX-512 or lacks AVX2, or a GPU computes: both would be TensorFlow's"
        )
    precision = device.set_precision("float32")
    print(f"{network}, batch {BATCH}, {precision}, {setting.describe_machine()}")
    train_input = setting.train_input(network, BATCH)
    measures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, layer in LAYERS.items():
            with mock.patch.object(convolution, "Conv2D", layer):
                estimator = setting.make_estimator(network, Path(folder) / name)
            measures[name] = functools.partial(setting.time_steps, estimator, train_input, STEPS)
        ours, its_own = setting.median_in_turns(measures, TURNS)
    print(f"{its_own / ours:.2f} times as fast")


if __name__ == "__main__":
    cli.run(main)
