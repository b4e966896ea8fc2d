"""Writes the README's table of results from the logs under results/.

    python -m docs.results_table

The table stands between two marks in README.md, and is what this makes of the logs: a test compares them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import cli

cli.import_tensorflow()

from common import run_files  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
START, END = "<!-- results: python -m docs.results_table -->", "<!-- end of results -->"

# Those with 38 positives or more among the test photos; some others have 3 or 4.
TEN_CLASSES = ("bus", "car", "cat", "chair", "cow", "dog", "horse", "person", "sheep", "train")

# What was run, its folders under results/ (one for each seed), and at which iterations it is shown.
ROWS: tuple[tuple[str, tuple[str, ...], tuple[int, ...]], ...] = (
    ("Task 0, MNIST", ("mnist-30000",), (20_000, 30_000)),
    (
        "Task 1, two layers",
        ("pascal-1000-seed0", "pascal-1000-seed1", "pascal-1000-seed2"),
        (1_000,),
    ),
    (
        "Task 2, CaffeNet",
        ("caffenet-6000-seed0", "caffenet-6000-seed1", "caffenet-6000-seed2"),
        (2_000, 4_000, 6_000),
    ),
    ("Task 2, to the end", ("caffenet-40000",), (10_000, 20_000, 30_000, 40_000)),
    (
        "Task 2, in float32",
        ("caffenet-float32-seed0", "caffenet-float32-seed1", "caffenet-float32-seed2"),
        (6_000,),
    ),
    ("Task 3, VGG-16 from scratch", ("vgg16-scratch",), (400, 1_600, 4_000)),
    ("Task 3, with N(0, 0.01)", ("vgg16-dead",), (400, 1_600)),
    ("Task 4, fine-tuned, rate 0.0001", ("vgg16-finetuned-1e-4",), (800, 1_600, 4_000)),
    ("Task 4, fine-tuned, rate 0.001", ("vgg16-finetuned-1e-3",), (400, 800, 1_600, 4_000)),
    ("Task 6, mixup", ("mixup-40000",), (10_000, 20_000, 30_000, 40_000)),
)


def ten_class_mean(values: dict[str, float]) -> float:
    """Of AP by class, over the ten classes with enough test images to measure."""
    return sum(values[name] for name in TEN_CLASSES) / len(TEN_CLASSES)


def _scores(line: dict[str, Any]) -> list[float]:
    if "accuracy" in line:
        return [line["accuracy"], 1 / len(line["confusion"])]
    return [
        line["mAP"], line["mAP_guessing"], ten_class_mean(line["AP"]), ten_class_mean(line["AP_guessing"])
    ]  # fmt: skip


def _lines() -> Iterator[str]:
    yield "| run | iterations | accuracy or mAP | guessing | of ten classes | guessing | logs |"
    yield "|---|---|---|---|---|---|---|"
    for name, folders, steps in ROWS:
        logs = [
            {line["step"]: line for line in run_files.read_metrics(ROOT / "results" / f)} for f in folders
        ]
        links = ", ".join(f"[{number}](results/{f}/metrics.jsonl)" for number, f in enumerate(folders))
        for step in steps:
            columns = zip(*[_scores(log[step]) for log in logs], strict=True)
            # Guessing is the same whatever the seed, and stands once.
            cells = [
                " ".join(dict.fromkeys(f"{value:.3f}" for value in values))
                if number % 2
                else " ".join(f"{value:.3f}" for value in values)
                for number, values in enumerate(columns)
            ]
            cells += [""] * (4 - len(cells))  # accuracy isn't by class
            yield f"| {name} | {step:,} | {' | '.join(cells)} | {links} |"


def make_table() -> str:
    """The table in Markdown: a score for each seed, in the order of the logs."""
    return "\n".join(_lines())


def main() -> None:
    readme = ROOT / "README.md"
    before, start, rest = readme.read_text().partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise SystemExit(f"{readme}: lacks {START} or {END} behind it")
    readme.write_text(f"{before}{START}\n\n{make_table()}\n\n{END}{after}")
    print(readme)


if __name__ == "__main__":
    main()
