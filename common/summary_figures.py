"""What TensorBoard has of a training (handout Q3.2), as a figure for the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

from common.figures import save

_GRADIENTS = "gradients/"


def _read(model_dir: Path) -> dict[str, dict[int, np.ndarray]]:
    """{tag: {step: value}} of a run's TensorBoard files."""
    events = EventAccumulator(str(model_dir), size_guidance={TENSORS: 0})
    events.Reload()
    return {
        tag: {one.step: tf.make_ndarray(one.tensor_proto) for one in events.Tensors(tag)}
        for tag in events.Tags()["tensors"]
        if tag in ("train/loss", "train/learning_rate") or tag.startswith(_GRADIENTS)
    }


def training(model_dir: Path, title: str, path: Path) -> list[Path]:
    """Training loss, learning rate as used, and the largest gradient of each kernel.

    Args:
        model_dir: of the run.
        title: what was trained, on what.
        path: PNG to write.

    Returns:
        The PNG; nothing where the run's TensorBoard files lack these.
    """
    read = _read(model_dir)
    gradients = {tag.removeprefix(_GRADIENTS): read[tag] for tag in read if tag.endswith("/kernel")}
    if "train/loss" not in read or not gradients:
        return []
    figure = Figure((16, 5), layout="constrained")
    figure.suptitle(f"Training: {title}")
    losses, rates, sizes = figure.subplots(1, 3)
    _plot(losses, read["train/loss"], lw=0.8)
    losses.set(title="loss of the batch", ylabel="cross entropy [nats per label]", ylim=(0, None))
    _plot(rates, read["train/learning_rate"], drawstyle="steps-pre")
    rates.set(title="learning rate as used", ylabel="learning rate", ylim=(0, None))
    for number, (name, histograms) in enumerate(gradients.items()):
        color = colormaps["viridis"](number / len(gradients))
        # A histogram's rows are left edge, right edge and count of a bin: its ends are exact.
        largest = {step: max(-bins[0, 0], bins[-1, 1]) for step, bins in histograms.items()}
        layer = name.removesuffix("/kernel")
        # A logarithmic axis can't show 0.
        label = layer if any(largest.values()) else f"{layer}: 0"
        _plot(sizes, largest, marker=".", color=color, label=label)
    sizes.set(title="gradients of the kernels", ylabel="largest absolute value", yscale="log")
    sizes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    for axes in (losses, rates, sizes):
        axes.set_xlabel("iteration")
        axes.locator_params(axis="x", nbins=5)  # more of five digits run into one another
        axes.grid(alpha=0.3)
    return [save(figure, path)]


def _plot(axes: Axes, values: Mapping[int, float], **style: Any) -> None:
    alone = {"marker": "."} if len(values) == 1 else {}  # which a line wouldn't show
    axes.plot(list(values), [float(value) for value in values.values()], **alone | style)
