"""Figures of a run, as PNG files made for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from common import run_files

_SIZE = (8, 5)  # inches
_DPI = 120
_ON_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # so that no line strikes text through


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI, bbox_inches="tight")
    return path


def loss_curves(evaluations: Sequence[Mapping[str, Any]], title: str, path: Path) -> Path:
    """Training and test loss over the iterations.

    Args:
        evaluations: lines of metrics.jsonl.
        title: what was trained, on what.
        path: PNG to write.
    """
    figure = Figure(_SIZE)
    axes = figure.add_subplot()
    steps = [line["step"] for line in evaluations]
    train = [line["train_loss"] for line in evaluations]
    axes.plot(steps, train, ".-", label="training, mean since the point before")
    axes.plot(steps, [line["test_loss"] for line in evaluations], ".-", label="test")
    axes.set(title=f"Loss: {title}", xlabel="iteration", ylabel="cross entropy [nats per label]")
    axes.legend()
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    return _save(figure, path)


def map_curves(evaluations: Sequence[Mapping[str, Any]], title: str, path: Path) -> Path:
    """Test mAP over the iterations, by both conventions, beside guessing.

    Args:
        evaluations, title, path: as for `loss_curves`.
    """
    figure = Figure(_SIZE)
    axes = figure.add_subplot()
    steps = [line["step"] for line in evaluations]
    axes.plot(steps, [line["mAP"] for line in evaluations], ".-", label="mAP")
    eleven = [line["mAP_11point"] for line in evaluations]
    axes.plot(steps, eleven, ".-", label="mAP, VOC 2007's 11 points")
    guessing = evaluations[-1]["mAP_guessing"]
    axes.axhline(guessing, color="gray", linestyle="--", label=f"guessing, {guessing:.3f}")
    axes.set(title=f"Test mAP: {title}", xlabel="iteration", ylabel="mean average precision")
    axes.set_ylim(bottom=0)
    axes.legend()
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    return _save(figure, path)


def ap_per_class(metrics: Mapping[str, Any], title: str, path: Path) -> Path:
    """Test AP of each class, the best on top, beside guessing.

    Args:
        metrics: a line of metrics.jsonl.
        title, path: as for `loss_curves`.
    """
    figure = Figure((8, 6.5))
    axes = figure.add_subplot()
    names = sorted(metrics["AP"], key=metrics["AP"].get)
    values = [metrics["AP"][name] for name in names]
    axes.barh(names, values, label="AP")
    guessing = [metrics["AP_guessing"][name] for name in names]
    for name, value, guess in zip(names, values, guessing, strict=True):
        axes.text(max(value, guess) + 0.012, name, f"{value:.2f}", va="center", fontsize=8, bbox=_ON_WHITE)
    axes.plot(guessing, names, "|", color="black", markersize=11, label="guessing")
    axes.axvline(metrics["mAP"], color="gray", linestyle="--", label=f"mAP, {metrics['mAP']:.3f}")
    axes.set(title=f"Test AP per class: {title}", xlabel="average precision", xlim=(0, 1))
    axes.margins(y=0.01)
    axes.legend(loc="lower right")
    axes.grid(axis="x", alpha=0.3)
    return _save(figure, path)


def describe_data(config: Mapping[str, Any]) -> str:
    """From a run's config.json, for example "VOC2007 (5,011 trainval / 4,952 test images)"."""
    data = config["data"]
    sizes = " / ".join(f"{split['images']:,} {name}" for name, split in data["splits"].items())
    return f"{data['name']} ({sizes} images)"


def write_multilabel_figures(model_dir: Path, network: str) -> list[Path]:
    """The curves and the AP per class of a run, into its figures/.

    Args:
        model_dir: of the run; its metrics.jsonl has at least one line.
        network: for the titles, for example "CaffeNet".

    Returns:
        The files.
    """
    evaluations = run_files.read_metrics(model_dir)
    title = f"{network}, {describe_data(run_files.read_config(model_dir))}"
    last = evaluations[-1]
    folder = model_dir / "figures"
    return [
        loss_curves(evaluations, title, folder / "loss.png"),
        map_curves(evaluations, title, folder / "mAP.png"),
        ap_per_class(last, f"{title}\niteration {last['step']:,}", folder / "ap_per_class.png"),
    ]
