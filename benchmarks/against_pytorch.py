"""Images a second of this project and of PyTorch: the same network, batch, augmentation and loss.

    pip install -r benchmarks/requirements.txt
    python -m benchmarks.against_pytorch caffenet --batch_size 10
    python -m benchmarks.against_pytorch mnist --batch_size 100 --steps 200 --iterations 20000

The two sides take turns, each in a process of its own, with input pipeline and all; what counts is the
median of all their steps. Nothing else should run meanwhile.
"""

import argparse
import json
import statistics
import subprocess
import sys

SIDES = {"this project": "benchmarks.tensorflow_side", "PyTorch": "benchmarks.torch_side"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", choices=["mnist", "caffenet", "vgg16"])
    parser.add_argument("--mode", choices=["train", "evaluate"], default="train")
    parser.add_argument("--batch_size", type=int, default=10)
    parser.add_argument("--steps", type=int, default=20, help="measured in each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--precision", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--iterations", type=int, help="also print the time that so many would take")
    options = parser.parse_args()
    if (options.network, options.mode) == ("mnist", "evaluate"):
        parser.error("evaluation is measured on photos, with caffenet or vgg16")

    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    used = {}
    what = [options.network, options.mode, options.batch_size, options.steps, options.precision]
    for turn in range(options.turns):
        for side, module in SIDES.items():
            command = [sys.executable, "-m", module, *map(str, what)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            measured = json.loads(output.splitlines()[-1])
            used[side] = measured["on"]
            seconds[side] += measured["seconds"]
            median = statistics.median(measured["seconds"])
            print(f"turn {turn + 1}  {side:<15} {1000 * median:8.1f} ms", file=sys.stderr)

    print(f"{options.network}, {options.mode}, batch {options.batch_size}, {options.precision}")
    print(f"{'':<15} {'ms a step':>10} {'images/s':>10}")
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    for side, median in medians.items():
        iterations = f"  {options.iterations * median / 60:.1f} min" if options.iterations else ""
        print(f"{side:<15} {1000 * median:>10.1f} {options.batch_size / median:>10.1f}{iterations}")
    ours, theirs = (medians[side] for side in SIDES)
    print(
        f"{theirs / ours:.2f} times PyTorch's images a second; {options.turns} turns of {options.steps} steps"
    )
    print("; ".join(used.values()))


if __name__ == "__main__":
    main()
