"""What TensorBoard shows of a run. Every value stands at the step it belongs to."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf


def write_config(writer: tf.summary.SummaryWriter, config: Mapping[str, Any], step: int) -> None:
    """The run's config.json as a table under Text.

    Args:
        writer: of the run.
        config: mapping of sections to mappings of names to values.
        step: the step at which training starts or goes on.
    """
    rows = ["| setting | value |", "|---|---|"]
    for section, values in config.items():
        rows += [f"| {section} / {name} | {value} |" for name, value in values.items()]
    with writer.as_default(step):
        tf.summary.text("config", "\n".join(rows))


def write_training(
    writer: tf.summary.SummaryWriter,
    step: int,
    loss: float,
    learning_rate: float,
    images_per_second: float,
) -> None:
    """Scalars of one training step; the loss is that of its batch."""
    with writer.as_default(step):
        tf.summary.scalar("train/loss", loss)
        tf.summary.scalar("train/learning_rate", learning_rate)
        tf.summary.scalar("train/images_per_second", images_per_second)


def write_images(writer: tf.summary.SummaryWriter, step: int, images: tf.Tensor) -> None:
    """Up to 10 training images as the network sees them: uint8 (B, H, W, 3) RGB, augmented."""
    with writer.as_default(step):
        tf.summary.image("train/images", images, max_outputs=10)


def write_evaluation(writer: tf.summary.SummaryWriter, step: int, metrics: Mapping[str, Any]) -> None:
    """Scalars of an evaluation: test/<name> of every number, and test/AP/<class>.

    Args:
        writer: of the run.
        step: at which it was made.
        metrics: what `Estimator.score` gives.
    """
    with writer.as_default(step):
        for name, value in metrics.items():
            if isinstance(value, float):
                tf.summary.scalar(f"test/{name}", value)
        for name, value in metrics.get("AP", {}).items():
            tf.summary.scalar(f"test/AP/{name}", value)
    writer.flush()
