"""Images a second of this project and of PyTorch: the same network, batch, augmentation and loss.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.against_pytorch caffenet --batch_size 10 --turns 5
    python -m benchmarks.against_pytorch mnist --batch_size 100 --steps 200 --turns 5 --iterations 20000

The sides take turns, each in a process of its own, with input pipeline and all; what counts is the median
of all their steps. Nothing else should run meanwhile.
"""

import importlib.util

from common import cli

cli.import_tensorflow()

from benchmarks import sides  # noqa: E402
from common import device  # noqa: E402
from common.errors import UserError  # noqa: E402

# On a processor PyTorch takes its memory from malloc. glibc's gives large blocks back at once, and every step
# waits for the system to map and clear them anew; TensorFlow has an allocator that keeps what it has.
KEEPING_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(10**11),
    "MALLOC_TOP_PAD_": str(5 * 10**8),
}

SIDES = (
    sides.Side("this project", "benchmarks.tensorflow_side", {}),
    sides.Side("PyTorch", "benchmarks.torch_side", {}),
    sides.Side("PyTorch, keeping memory", "benchmarks.torch_side", KEEPING_MEMORY),
)


def main() -> None:
    parser = cli.Parser(__doc__)
    parser.add_argument("network", choices=["mnist", "caffenet", "vgg16"])
    sides.add_turns(parser)
    parser.add_argument("--precision", choices=["auto", "bfloat16", "float32"], default="auto")
    positive = cli.bounded(int, minimum=1)
    parser.add_argument("--iterations", type=positive, help="also print the time that so many would take")
    options = parser.parse_args()
    if (options.network, options.mode) == ("mnist", "evaluate"):
        parser.error("evaluation is measured on photos, with caffenet or vgg16")
    if importlib.util.find_spec("torch") is None:
        raise UserError("PyTorch isn't installed; pip install -r benchmarks/requirements.txt")
    sides.compare(SIDES, options, device.set_precision(options.precision), options.iterations)


if __name__ == "__main__":
    cli.run(main)
