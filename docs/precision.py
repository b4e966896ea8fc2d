"""Whether bfloat16 costs accuracy: CaffeNet after 6,000 iterations in both precisions, by its logs.

    python -m docs.precision

What it prints is results/precision.txt.
"""

import statistics

from common import cli

cli.import_tensorflow()

from common import run_files  # noqa: E402
from docs.results_table import ROOT, ten_class_mean  # noqa: E402

STEP = 6_000
# Folders under results/ of the seeds from 0 on.
RUNS = {
    "bfloat16": ("caffenet-6000-seed0", "caffenet-6000-seed1", "caffenet-6000-seed2"),
    "float32": ("caffenet-float32-seed0", "caffenet-float32-seed1", "caffenet-float32-seed2"),
}


def score(folder: str) -> float:
    """The mean AP of the ten classes at `STEP`, of a run under results/ that was evaluated there."""
    (line,) = [line for line in run_files.read_metrics(ROOT / "results" / folder) if line["step"] == STEP]
    return ten_class_mean(line["AP"])


def describe(scores: dict[str, list[float]]) -> str:
    """A table of the scores of two or more seeds by precision, and the difference of the means."""
    lines = [f"{'':<10} {'seeds 0, 1, ...':<22} {'mean':>8} {'deviation':>10}"]
    for precision, values in scores.items():
        each = " ".join(f"{value:.4f}" for value in values)
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        lines.append(f"{precision:<10} {each:<22} {mean:>8.4f} {deviation:>10.4f}")
    difference = statistics.mean(scores["bfloat16"]) - statistics.mean(scores["float32"])
    return "\n".join([*lines, f"bfloat16 - float32: {difference:+.4f}"])


def main() -> None:
    print(f"CaffeNet, {STEP:,} iterations, test mAP of ten classes")
    print(describe({precision: [score(folder) for folder in folders] for precision, folders in RUNS.items()}))


if __name__ == "__main__":
    main()
