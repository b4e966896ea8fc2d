"""Images a second of this project and of PyTorch: the same network, batch, augmentation and loss.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.against_pytorch caffenet --batch_size 10 --turns 5
    python -m benchmarks.against_pytorch mnist --batch_size 100 --steps 200 --turns 5 --iterations 20000

The sides take turns, each in a process of its own, with input pipeline and all; what counts is the median
of all their steps. Nothing else should run meanwhile.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys

from common import cli
from common.errors import UserError

# On a processor PyTorch takes its memory from malloc. glibc's gives large blocks back at once, and every step
# waits for the system to map and clear them anew; TensorFlow has an allocator that keeps what it has.
KEEPING_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(10**11),
    "MALLOC_TOP_PAD_": str(5 * 10**8),
}

# Name, module, and what its environment has besides.
SIDES: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("this project", "benchmarks.tensorflow_side", {}),
    ("PyTorch", "benchmarks.torch_side", {}),
    ("PyTorch, keeping memory", "benchmarks.torch_side", KEEPING_MEMORY),
)


def main() -> None:
    parser = cli.Parser(__doc__)
    positive = cli.bounded(int, minimum=1)
    parser.add_argument("network", choices=["mnist", "caffenet", "vgg16"])
    parser.add_argument("--mode", choices=["train", "evaluate"], default="train")
    parser.add_argument("--batch_size", type=positive, default=10)
    parser.add_argument("--steps", type=positive, default=20, help="measured in each turn")
    parser.add_argument("--turns", type=positive, default=3)
    parser.add_argument("--precision", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--iterations", type=positive, help="also print the time that so many would take")
    options = parser.parse_args()
    if (options.network, options.mode) == ("mnist", "evaluate"):
        parser.error("evaluation is measured on photos, with caffenet or vgg16")
    if importlib.util.find_spec("torch") is None:
        raise UserError("PyTorch isn't installed; pip install -r benchmarks/requirements.txt")

    seconds: dict[str, list[float]] = {name: [] for name, *_ in SIDES}
    used = set()
    what = [options.network, options.mode, options.batch_size, options.steps, options.precision]
    for turn in range(options.turns):
        for name, module, environment in SIDES:
            command = [sys.executable, "-m", module, *map(str, what)]
            output = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment
            ).stdout
            measured = json.loads(output.splitlines()[-1])
            used.add(measured["on"])
            seconds[name] += measured["seconds"]
            median = statistics.median(measured["seconds"])
            print(f"turn {turn + 1}  {name:<25} {1000 * median:8.1f} ms", file=sys.stderr)

    print(f"{options.network}, {options.mode}, batch {options.batch_size}, {options.precision}")
    print(f"{'':<25} {'ms a step':>10} {'images/s':>10} {'ours/its':>10}")
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        rate, ratio = options.batch_size / median, median / medians["this project"]
        iterations = f"  {options.iterations * median / 60:.1f} min" if options.iterations else ""
        print(f"{name:<25} {1000 * median:>10.1f} {rate:>10.1f} {ratio:>10.2f}{iterations}")
    print(f"medians of {options.turns} turns of {options.steps}")
    print("; ".join(sorted(used)))


if __name__ == "__main__":
    cli.run(main)
