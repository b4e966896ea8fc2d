"""Makes docs/vgg16_curves.png, by `python -m docs.vgg16_curves`.

VGG-16 fine-tuned and from scratch, from their logs under results/.
"""

from pathlib import Path

from matplotlib.figure import Figure

from common import cli

cli.import_tensorflow()

from common import run_files  # noqa: E402
from docs.results_table import ROOT, ten_class_mean  # noqa: E402

# Folders under results/, and how their runs differ.
RUNS = {
    "vgg16-finetuned-1e-3": "fine-tuned, 0.001 halved every 1,000",
    "vgg16-finetuned-1e-4": "fine-tuned, 0.0001 halved every 1,000",
    "vgg16-scratch": "from scratch, 0.001 throughout",
}


def draw() -> Figure:
    """Test loss and mAP of the ten classes over the iterations, a line for each run."""
    figure = Figure((12, 5), layout="constrained")
    figure.suptitle("VGG-16 with ImageNet's convolutions and from scratch, 5,093 photos")
    losses, scores = figure.subplots(1, 2)
    for folder, label in RUNS.items():
        lines = run_files.read_metrics(ROOT / "results" / folder)
        steps = [line["step"] for line in lines]
        losses.plot(steps, [line["test_loss"] for line in lines], ".-", label=label)
        scores.plot(steps, [ten_class_mean(line["AP"]) for line in lines], ".-", label=label)
    guessing = ten_class_mean(lines[-1]["AP_guessing"])
    scores.axhline(guessing, color="gray", linestyle="--", label=f"guessing, {guessing:.3f}")
    losses.set(xlabel="iteration", ylabel="test loss [nats per label]", ylim=(0, None))
    scores.set(xlabel="iteration", ylabel="test mAP of ten classes", ylim=(0, 1))
    for axes in (losses, scores):
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def main() -> None:
    path = Path(__file__).with_suffix(".png")
    draw().savefig(path, dpi=110, bbox_inches="tight")
    print(path)


if __name__ == "__main__":
    main()
