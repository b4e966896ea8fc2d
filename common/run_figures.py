"""The figures that a run draws into its folder when it ends."""

from pathlib import Path

import numpy as np

from common import figures, run_files, summary_figures
from common.distribution import Replicas
from common.input import Examples
from common.task_networks import network_of


def write_multilabel_figures(model_dir: Path) -> list[Path]:
    """The curves and the AP per class of a run, into its figures/.

    Args:
        model_dir: of the run; its metrics.jsonl has at least one line.

    Returns:
        The files; of several workers the first alone makes them.
    """
    if not Replicas().is_chief:
        return []
    evaluations = run_files.read_metrics(model_dir)
    config = run_files.read_config(model_dir)
    title = f"{network_of(config)[1]}, {figures.describe_data(config)}"
    folder = model_dir / "figures"
    return [
        *figures.multilabel_figures(evaluations, title, folder),
        *summary_figures.training(model_dir, title, folder / "training.png"),
    ]


def write_digit_figures(model_dir: Path, examples: Examples) -> list[Path]:
    """The curves, the confusion matrix and the worst mistakes of a run, into its figures/.

    Args:
        model_dir: of the run; it has predictions.npz and at least one line in metrics.jsonl.
        examples: the test split.

    Returns:
        The files; of several workers the first alone makes them.
    """
    if not Replicas().is_chief:
        return []
    evaluations = run_files.read_metrics(model_dir)
    title = figures.describe_data(run_files.read_config(model_dir))
    folder = model_dir / "figures"
    with np.load(model_dir / "predictions.npz") as stored:
        logits = stored["logits"]
    return [
        *figures.digit_figures(evaluations, title, folder),
        *summary_figures.training(model_dir, title, folder / "training.png"),
        figures.most_confidently_wrong(examples, logits, title, folder / "mistakes.png"),
    ]
