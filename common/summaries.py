"""What TensorBoard shows of a run. Every value stands at the step it belongs to."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont
from tensorboard.plugins.histogram import metadata as histogram_plugin
from tensorboard.plugins.pr_curve import summary as pr_curve_plugin

_BINS = 30  # of a histogram; TensorBoard's default
_LINE_HEIGHT = 16  # pixels
_SMALLEST_SHOWN = 96  # pixels; a caption needs room
_TEST, _TRAIN_SAMPLE = "test/", "train_sample/"  # what an evaluation writes, and nothing else does


def _is_of_evaluation(event: tf.compat.v1.Event) -> bool:
    return any(value.tag.startswith((_TEST, _TRAIN_SAMPLE)) for value in event.summary.value)


def rewind_events(model_dir: Path, step: int, evaluated: bool) -> None:
    """Drops what was written after `step`, which a run that resumes there will write again.

    Args:
        model_dir: of the run; its event files are rewritten where need be, a record that was cut short
            goes.
        step: at which it goes on; at 0 all goes.
        evaluated: whether its evaluation at `step` is complete; otherwise what is written of it goes too.
    """
    for path in sorted(model_dir.glob("events.out.tfevents.*")):
        if step == 0:
            path.unlink()
            continue
        kept, whole = [], True
        try:
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                event = tf.compat.v1.Event.FromString(record)
                made_again = event.step == step and not evaluated and _is_of_evaluation(event)
                if event.step <= step and not made_again:
                    kept.append(record)
                else:
                    whole = False
        except tf.errors.DataLossError:
            whole = False
        if not whole:
            rewound = path.with_name("rewound.partial")
            with tf.io.TFRecordWriter(str(rewound)) as writer:
                for record in kept:
                    writer.write(record)
            rewound.replace(path)


def write_config(writer: tf.summary.SummaryWriter, config: Mapping[str, Any]) -> None:
    """The run's config.json as a table under Text.

    Args:
        writer: of the run.
        config: mapping of sections to mappings of names to values.
    """
    rows = ["| setting | value |", "|---|---|"]
    for section, values in config.items():
        rows += [f"| {section} / {name} | {value} |" for name, value in values.items()]
    with writer.as_default(0):
        tf.summary.text("config", "\n".join(rows))


def write_training(
    writer: tf.summary.SummaryWriter,
    step: int,
    loss: float,
    learning_rate: float,
    images_per_second: float | None,
) -> None:
    """Scalars of one training step.

    Args:
        writer: of the run.
        step: its number, from 1.
        loss: of its batch, before its update.
        learning_rate: of its update.
        images_per_second: since these were last written; None where it isn't known.
    """
    with writer.as_default(step):
        tf.summary.scalar("train/loss", loss)
        tf.summary.scalar("train/learning_rate", learning_rate)
        if images_per_second is not None:
            tf.summary.scalar("train/images_per_second", images_per_second)


def _wrapped(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """Words in lines of at most `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _with_captions(images: np.ndarray, captions: Sequence[str]) -> np.ndarray:
    """Images, (B, H, W, 1 or 3) uint8, each with its caption beneath.

    Returns:
        (B, H + 16 for each line of the longest caption, W, 3), small images enlarged.
    """
    factor = max(1, _SMALLEST_SHOWN // images.shape[2])
    enlarged = np.repeat(np.repeat(images, factor, axis=1), factor, axis=2)
    count, height, width, _ = enlarged.shape
    font = ImageFont.load_default(size=12)
    texts = [_wrapped(caption, width - 4, font) for caption in captions]
    below = _LINE_HEIGHT * max(map(len, texts))
    captioned = np.full((count, height + below, width, 3), 255, np.uint8)
    captioned[:, :height] = enlarged
    for picture, lines in zip(captioned, texts, strict=True):
        strip = Image.fromarray(picture[height:])
        for number, line in enumerate(lines):
            ImageDraw.Draw(strip).text((2, _LINE_HEIGHT * number), line, fill="black", font=font)
        picture[height:] = strip
    return captioned


def write_images(
    writer: tf.summary.SummaryWriter, step: int, images: np.ndarray, captions: Sequence[str]
) -> None:
    """Up to 10 training images as the network sees them, augmented, each with its labels beneath.

    Args:
        writer: of the run.
        step: at which they were trained on.
        images: uint8 (B, H, W, 1 or 3), grey or RGB.
        captions: B texts.
    """
    with writer.as_default(step):
        tf.summary.image("train/images", _with_captions(images[:10], captions[:10]), max_outputs=10)


def write_histograms(
    writer: tf.summary.SummaryWriter, step: int, group: str, tensors: Mapping[str, tf.Tensor]
) -> None:
    """Histograms under `<group>/<name>`, of the finite entries, where there are any.

    `tf.summary.histogram` makes 30 float64 of every entry, 9 GB for CaffeNet's fc6; NumPy counts.

    Args:
        writer: of the run.
        step: to which they belong.
        group: "weights" or "gradients".
        tensors: by name, "conv1/kernel".
    """
    metadata = histogram_plugin.create_summary_metadata(display_name=None, description=None)
    for name, tensor in tensors.items():
        array = np.asarray(tensor)  # without a copy, unlike `numpy()`
        finite = np.isfinite(array)
        values = array if finite.all() else array[finite]
        if not values.size:
            continue
        # In float64: float32 can't tell the edges of bins of a narrow range apart.
        low, high = np.float64(values.min()), np.float64(values.max())
        if low == high:  # NumPy would widen the range
            bins = np.array([[low, high, values.size]])
        else:
            counts, edges = np.histogram(values, _BINS, (low, high))
            bins = np.stack([edges[:-1], edges[1:], counts], axis=1)
        tf_metadata = tf.compat.v1.SummaryMetadata.FromString(metadata.SerializeToString())
        with writer.as_default(step):
            tf.summary.write(f"{group}/{name}", bins, metadata=tf_metadata)


def write_graphs(writer: tf.summary.SummaryWriter, operations: tf.Graph, model: keras.Model) -> None:
    """What TensorBoard shows under Graphs: every operation of a step, and the network as its layers.

    Args:
        writer: of the run.
        operations: of a training step.
        model: the network.
    """
    network = json.loads(model.to_json())
    network["config"]["name"] = ""  # else TensorBoard shows one closed box
    metadata = tf.compat.v1.SummaryMetadata(
        plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="graph_keras_model", content=b"1")
    )
    with writer.as_default(0):
        tf.summary.graph(operations)
        tf.summary.write("network", json.dumps(network), metadata=metadata)


def write_pr_curves(
    writer: tf.summary.SummaryWriter,
    step: int,
    labels: np.ndarray,
    logits: np.ndarray,
    weights: np.ndarray,
    classes: Sequence[str],
) -> None:
    """Precision and recall of each class at 201 thresholds of its probability, under test/PR/<class>.

    Args:
        writer: of the run.
        step: of the evaluation.
        labels: (N, classes) in {0, 1}.
        logits: (N, classes).
        weights: (N, classes), 0 where a label is not counted.
        classes: their names.
    """
    probabilities = tf.sigmoid(logits).numpy()
    with writer.as_default(step):
        for column, name in enumerate(classes):
            curve = pr_curve_plugin.pb(
                f"{_TEST}PR/{name}",
                labels[:, column] > 0,
                probabilities[:, column],
                weights=weights[:, column],
                display_name=name,
            )
            tf.summary.experimental.write_raw_pb(curve.SerializeToString())
    writer.flush()


def write_evaluation(
    writer: tf.summary.SummaryWriter,
    step: int,
    metrics: Mapping[str, Any],
    sample_metrics: Mapping[str, float],
) -> None:
    """Scalars of an evaluation: test/<name> of every number, test/AP/<class>, and train_sample/<name>.

    Args:
        writer: of the run.
        step: at which it was made.
        metrics: what `Estimator.score` gives.
        sample_metrics: of training images that were scored like the test split.
    """
    with writer.as_default(step):
        for name, value in sample_metrics.items():
            tf.summary.scalar(f"{_TRAIN_SAMPLE}{name}", value)
        for name, value in metrics.items():
            if isinstance(value, float):
                tf.summary.scalar(f"{_TEST}{name}", value)
        for name, value in metrics.get("AP", {}).items():
            tf.summary.scalar(f"{_TEST}AP/{name}", value)
    writer.flush()
