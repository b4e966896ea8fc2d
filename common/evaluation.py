"""Average precision of multi-label predictions, by the course's convention and by VOC 2007's."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, confusion_matrix

from common.errors import UserError


def break_ties(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Lowers the scores of positives by 1e-5, so that equal scores count against the model.

    The course's evaluation does this, so that a network that gives every image one score is not
    rewarded for the order of the images.

    Args:
        labels: (N,) or (N, classes) in {0, 1}.
        scores: of the same shape; logits, so that 1e-5 is small against their spread.

    Returns:
        float64, of the same shape.
    """
    return np.asarray(scores, np.float64) - 1e-5 * np.asarray(labels, np.float64)


def voc2007_average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """VOC 2007's 11-point interpolated AP of one class (Everingham et al., IJCV 2010, section 4.2).

    The mean, over recall 0, 0.1, ... 1, of the highest precision at that recall or beyond.

    Args:
        labels: (N,) in {0, 1}, with at least one 1.
        scores: (N,) finite.

    Returns:
        0 to 1.
    """
    order = np.argsort(-scores, kind="stable")
    positives = np.cumsum(labels[order] == 1)
    precision = positives / np.arange(1, len(order) + 1)
    # Tenths as whole numbers: 0.3 * 10 positives must be reached by exactly 3 of them.
    tenths = positives * 10
    reached = [tenths >= level * positives[-1] for level in range(11)]
    return float(np.mean([precision[at].max() for at in reached]))


def guessing_average_precision(labels: np.ndarray) -> float:
    """Expected AP of one class when scores are random.

    For P positives among N: (H + (P - 1) / (N - 1) * (N - H)) / N with H = 1 + 1/2 + ... + 1/N
    (Bestgen, "Exact expected average precision of the random baseline", 2015).

    Args:
        labels: (N,) in {0, 1}, with at least one 1.
    """
    count, positives = len(labels), float(np.sum(labels == 1))
    if count == 1:
        return 1.0
    harmonic = float(np.sum(1 / np.arange(1, count + 1)))
    return (harmonic + (positives - 1) / (count - 1) * (count - harmonic)) / count


def check_finite(
    logits: np.ndarray, ids: Sequence[str], classes: Sequence[str], where: object, way_out: str
) -> None:
    """Checks that the scores of a split are numbers, which the metrics need.

    Args:
        logits: (N, C).
        ids: N names of the images.
        classes: C names.
        where: what the scores are of, and `way_out`: what to do, for the error.

    Raises:
        UserError: a logit is NaN or infinite, also of a label that doesn't count.
    """
    if not np.isfinite(logits).all():
        row, column = np.argwhere(~np.isfinite(logits))[0]
        raise UserError(
            f"{where}: the score of {classes[column]} for image {ids[row]} is "
            f"{logits[row, column]}; {way_out}"
        )


def multilabel_metrics(
    labels: np.ndarray, logits: np.ndarray, weights: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """Average precision per class and its mean, over the rows of each class whose weight is not 0.

    Args:
        labels: (N, C) in {0, 1}.
        logits: (N, C) finite.
        weights: (N, C), 0 where a label is not to be counted.
        classes: C names.

    Returns:
        "mAP", "mAP_11point" and "mAP_guessing": means over classes that have a positive (NaN if none
        has); "AP", "AP_11point" and "AP_guessing": {class: 0 to 1} of those classes;
        "classes_without_positives": names of the others. "AP" is scikit-learn's
        `average_precision_score` after `break_ties`, as the course computes it.
    """
    scores = break_ties(labels, logits)
    per_class: dict[str, dict[str, float]] = {"AP": {}, "AP_11point": {}, "AP_guessing": {}}
    without_positives = []
    for column, name in enumerate(classes):
        rows = weights[:, column] != 0
        truth, score = labels[rows, column], scores[rows, column]
        if not np.any(truth == 1):
            without_positives.append(name)
            continue
        per_class["AP"][name] = float(average_precision_score(truth, score))
        per_class["AP_11point"][name] = voc2007_average_precision(truth, score)
        per_class["AP_guessing"][name] = guessing_average_precision(truth)
    means = {
        f"m{kind}": float(np.mean(list(values.values()))) if values else float("nan")
        for kind, values in per_class.items()
    }
    return {**means, **per_class, "classes_without_positives": without_positives}


def accuracy_metrics(labels: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Share of images whose highest logit is the right class (handout Q0.1).

    Args:
        labels: (N,) whole numbers, the class.
        logits: (N, C) finite.
        weights: (N,), 0 where an image is not to be counted.

    Returns:
        "accuracy", 0 to 1, and "confusion", C x C counts as lists: row is the class, column the guess.
    """
    counted = weights != 0
    guesses = np.argmax(logits, axis=1)
    confusion = confusion_matrix(labels[counted], guesses[counted], labels=np.arange(logits.shape[1]))
    accuracy = float(np.trace(confusion) / max(confusion.sum(), 1))
    return {"accuracy": accuracy, "confusion": confusion.tolist()}


def format_table(metrics: dict[str, Any]) -> str:
    """AP per class as lines of text, the best class first, the means last.

    Args:
        metrics: what `multilabel_metrics` gives, with the "step" it was made at.
    """
    columns = ("AP", "AP_11point", "AP_guessing")
    lines = [
        f"test scores after {metrics['step']:,} iterations",
        f"{'class':<16}{'AP':>8}{'11-point':>10}{'guessing':>10}",
    ]
    for name in sorted(metrics["AP"], key=metrics["AP"].get, reverse=True):
        ap, ap11, guess = (metrics[column][name] for column in columns)
        lines.append(f"{name:<16}{ap:>8.3f}{ap11:>10.3f}{guess:>10.3f}")
    ap, ap11, guess = (metrics[f"m{column}"] for column in columns)
    lines.append(f"{'mean':<16}{ap:>8.3f}{ap11:>10.3f}{guess:>10.3f}")
    if metrics["classes_without_positives"]:
        names = ", ".join(metrics["classes_without_positives"])
        lines.append(f"no positives, so not in the mean: {names}")
    return "\n".join(lines)
