"""Figures of a run, as PNG files made for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.errors import UserError
from common.input import Examples
from common.score_titles import SCORE_TITLES

_VOC2007_TEST = 4_952  # images, as published
_SIZE = (8, 5)  # inches
_DPI = 120
_ON_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # so that no line strikes text through


def save(figure: Figure, path: Path) -> Path:
    """Writes a PNG, making its folder if need be; returns its path.

    Raises:
        UserError: it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=_DPI, bbox_inches="tight")
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror}); the same command draws it") from error
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
    axes.set_xlim(left=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    return save(figure, path)


def plot_score(
    axes: Axes, evaluations: Sequence[Mapping[str, Any]], name: str, form: str, **style: Any
) -> None:
    """Draws a score over the iterations, from lines of a log that have it; an earlier version's may not."""
    points = [(line["step"], line[name]) for line in evaluations if name in line]
    if points:
        axes.plot(*zip(*points, strict=True), form, **style)


def score_curves(
    evaluations: Sequence[Mapping[str, Any]],
    scores: Mapping[str, str],
    guessing: float,
    title: str,
    path: Path,
) -> Path:
    """Scores over the iterations, beside guessing.

    Args:
        evaluations, title, path: as for `loss_curves`.
        scores: what to draw, by its name in metrics.jsonl, with its label; 0 to 1, higher is better. The
            first name stands at the axis.
        guessing: the score of random guesses.
    """
    figure = Figure(_SIZE)
    axes = figure.add_subplot()
    for name, label in scores.items():
        plot_score(axes, evaluations, name, ".-", label=label)
    axes.axhline(guessing, color="gray", linestyle="--", label=f"guessing, {guessing:.3f}")
    axes.set(title=f"Score: {title}", xlabel="iteration", ylabel=next(iter(scores)))
    axes.set_ylim(bottom=0)
    axes.legend()
    axes.set_xlim(left=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    return save(figure, path)


def confusion_matrix(counts: Sequence[Sequence[int]], title: str, path: Path) -> Path:
    """How often each class was taken for each.

    Args:
        counts: C x C; row is the class, column the guess.
        title, path: as for `loss_curves`.
    """
    matrix = np.array(counts)
    figure = Figure((7, 6.5))
    axes = figure.add_subplot()
    # Shades by row, so that a rare class shows its confusions as clearly as a common one.
    axes.imshow(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            color = "white" if count > matrix[row].sum() / 2 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=color)
    axes.set(title=f"Confusion matrix: {title}", xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(matrix)))
    axes.set_yticks(range(len(matrix)))
    return save(figure, path)


def most_confidently_wrong(examples: Examples, logits: np.ndarray, title: str, path: Path) -> Path:
    """The 20 images whose wrong guess has the highest probability, with truth, guess and probability.

    Args:
        examples: images uint8 (N, H, W, 1), labels (N,).
        logits: (N, C).
        title, path: as for `loss_curves`.
    """
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    guesses, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(guesses != examples.labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:20]
    figure = Figure((9, 8), layout="constrained")
    figure.suptitle(f"Most confidently wrong: {title}")
    grid = list(figure.subplots(4, 5).flat)
    for axes in grid:
        axes.set_axis_off()
    for axes, index in zip(grid, worst, strict=False):
        axes.imshow(examples.images[index, ..., 0], cmap="gray_r", vmin=0, vmax=255)
        axes.set_title(f"{examples.labels[index]}, taken for {guesses[index]}\n{confidence[index]:.1%}")
    return save(figure, path)


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
    return save(figure, path)


def format_gain(difference: float) -> str:
    """A difference of scores with its sign, "+0.012"; one that rounds to nothing is "0.000"."""
    return "0.000" if f"{abs(difference):.3f}" == "0.000" else f"{difference:+.3f}"


def paired_ap(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], name: str, other: str, title: str, path: Path
) -> Path:
    """AP per class of two evaluations, sorted by how much higher the first is, beside guessing.

    Args:
        ours, theirs: with "AP", "AP_guessing", "mAP" and "step", as in metrics.jsonl; of the same test images
            and classes.
        name, other: what they are of.
        title: of what data.
        path: PNG to write.
    """
    gains = {one: ours["AP"][one] - theirs["AP"][one] for one in ours["AP"]}
    classes = sorted(gains, key=gains.get)
    rows = np.arange(len(classes))
    figure = Figure((8, 7.5), layout="constrained")
    axes = figure.add_subplot()
    for lines, label, shift, color in (
        (ours, name, 0.2, "tab:orange"), (theirs, other, -0.2, "tab:blue")
    ):  # fmt: skip
        label = f"{label}, iteration {lines['step']:,}, mAP {lines['mAP']:.3f}"
        axes.barh(rows + shift, [lines["AP"][one] for one in classes], 0.4, label=label, color=color)
    guessing = [theirs["AP_guessing"][one] for one in classes]
    axes.plot(guessing, rows, "|", color="black", markersize=16, label="guessing")
    axes.set_yticks(rows, [f"{one}  {format_gain(gains[one])}" for one in classes])
    axes.set(title=f"Test AP per class: {name} and {other}\n{title}", xlabel="average precision", xlim=(0, 1))
    axes.set_ylabel(f"class, and how much higher {name} is")
    axes.margins(y=0.01)
    figure.legend(loc="outside lower center", ncols=3)  # below, for bars are everywhere
    axes.grid(axis="x", alpha=0.3)
    return save(figure, path)


def describe_data(config: Mapping[str, Any]) -> str:
    """From a run's config.json, for example "VOC2007 (5,011 trainval / 4,952 test images)".

    Of other photos in its folder it says so, as no published figure compares with theirs.
    """
    name, splits = config["data"]["name"], config["data"]["splits"]
    sizes = " / ".join(f"{described['images']:,} {split}" for split, described in splits.items())
    if name == "VOC2007" and splits["test"]["images"] != _VOC2007_TEST:
        name = "VOC, not 2007's split"
    return f"{name} ({sizes} images)"


def multilabel_figures(evaluations: Sequence[Mapping[str, Any]], title: str, folder: Path) -> list[Path]:
    """The curves of loss and mAP and the AP per class: all that a log of a VOC run has to show.

    Args:
        evaluations, title: as for `loss_curves`.
        folder: to write to.
    """
    last = evaluations[-1]
    scores = {name: SCORE_TITLES[name] for name in ("mAP", "mAP_11point", "train_sample_mAP")}
    return [
        loss_curves(evaluations, title, folder / "loss.png"),
        score_curves(evaluations, scores, last["mAP_guessing"], title, folder / "mAP.png"),
        ap_per_class(last, f"{title}\niteration {last['step']:,}", folder / "ap_per_class.png"),
    ]


def digit_figures(evaluations: Sequence[Mapping[str, Any]], title: str, folder: Path) -> list[Path]:
    """The curves of loss and accuracy and the confusion matrix: all that a log of an MNIST run has to show.

    Args:
        evaluations, title, folder: as for `multilabel_figures`.
    """
    counts = evaluations[-1]["confusion"]
    scores = {name: SCORE_TITLES[name] for name in ("accuracy", "train_sample_accuracy")}
    return [
        loss_curves(evaluations, title, folder / "loss.png"),
        score_curves(evaluations, scores, 1 / len(counts), title, folder / "accuracy.png"),
        confusion_matrix(counts, title, folder / "confusion.png"),
    ]
