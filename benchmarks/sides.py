"""Compares programs, each in a process of its own, turn after turn."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from typing import NamedTuple

from common import cli


class Side(NamedTuple):
    """One of those compared.

    Attributes:
        name: in the table.
        module: prints what it ran on and the seconds of its steps, as JSON in its last line.
        environment: what it has besides this process' own.
    """

    name: str
    module: str
    environment: dict[str, str]


def add_turns(parser: argparse.ArgumentParser) -> None:
    """The flags for what is measured, and how often."""
    positive = cli.bounded(int, minimum=1)
    parser.add_argument("--mode", choices=["train", "evaluate"], default="train")
    parser.add_argument("--batch_size", type=positive, default=10)
    parser.add_argument("--steps", type=positive, default=20, help="measured in each turn")
    parser.add_argument("--turns", type=positive, default=3)


def compare(
    sides: tuple[Side, ...], options: argparse.Namespace, precision: str, iterations: int | None = None
) -> None:
    """Lets the sides take turns and prints a table of the median of all steps of each.

    Args:
        sides: the first is this project as it is.
        options: with a network, and what `add_turns` adds.
        precision: "float32" or "bfloat16".
        iterations: where given, the time that so many would take is printed too.
    """
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    used = set()
    what = [options.network, options.mode, options.batch_size, options.steps, precision]
    for turn in range(options.turns):
        for name, module, environment in sides:
            command = [sys.executable, "-m", module, *map(str, what)]
            output = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment
            ).stdout
            measured = json.loads(output.splitlines()[-1])
            used.add(measured["on"])
            seconds[name] += measured["seconds"]
            median = statistics.median(measured["seconds"])
            print(f"turn {turn + 1}  {name:<25} {1000 * median:8.1f} ms", file=sys.stderr)

    print(f"{options.network}, {options.mode}, batch {options.batch_size}, {precision}")
    print(f"{'':<25} {'ms a step':>10} {'images/s':>10} {'ours/its':>10}")
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        rate, ratio = options.batch_size / median, median / medians[sides[0].name]
        time = f"  {iterations * median / 60:.1f} min" if iterations else ""
        print(f"{name:<25} {1000 * median:>10.1f} {rate:>10.1f} {ratio:>10.2f}{time}")
    print(f"medians of {options.turns} turns of {options.steps}")
    print("; ".join(sorted(used)))
