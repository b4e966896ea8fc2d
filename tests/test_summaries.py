"""What TensorBoard reads back from a run's events."""

import collections
import json
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
from tensorboard.plugins.graph import keras_util

from common import summaries
from tests import tiny_run

CLASSES = ("cat", "dog", "sofa")


@pytest.fixture
def writer(tmp_path):
    return tf.summary.create_file_writer(str(tmp_path))


def read(folder) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={TENSORS: 0})
    accumulator.Reload()
    return accumulator


def tensors(folder, tag: str) -> dict[int, np.ndarray]:
    return {e.step: tf.make_ndarray(e.tensor_proto) for e in read(folder).Tensors(tag)}


@pytest.mark.parametrize(
    "values",
    [[1, np.nextafter(np.float32(1), 2)], [-3e38, 3e38], [0.5, 0.5], [0, 0], [0.5, np.nan, -np.inf]],
    ids=["narrow", "wide", "equal", "zeros", "one finite"],
)
def test_a_histogram_of_any_range_has_its_ends_and_counts_what_is_finite(tmp_path, writer, values):
    array = np.array(values, np.float32)
    summaries.write_histograms(writer, 5, "weights", {"fc8/bias": array})
    writer.close()
    ((step, bins),) = tensors(tmp_path, "weights/fc8/bias").items()
    finite = array[np.isfinite(array)]
    assert step == 5 and bins[:, 2].sum() == len(finite)
    assert (bins[0, 0], bins[-1, 1]) == (finite.min(), finite.max())


def test_what_is_nowhere_finite_has_no_histogram(tmp_path, writer):
    summaries.write_histograms(
        writer, 5, "weights", {"fc8/bias": np.full(4, np.nan), "fc8/kernel": np.ones(3)}
    )
    writer.close()
    assert read(tmp_path).Tags()["tensors"] == ["weights/fc8/kernel"]


def test_an_image_has_its_caption_beneath_and_its_pixels_as_they_are(tmp_path, writer):
    images = np.random.default_rng(0).integers(0, 256, (2, 120, 130, 3), np.uint8)
    summaries.write_images(writer, 3, images, ["dog, person", ""])
    writer.close()
    ((step, (_, _, *pngs)),) = tensors(tmp_path, "train/images").items()
    shown = [tf.io.decode_png(png).numpy() for png in pngs]
    assert step == 3 and [image.shape for image in shown] == [(136, 130, 3)] * 2
    for image, original in zip(shown, images, strict=True):
        np.testing.assert_array_equal(image[:120], original)
    assert shown[0][120:].min() < 100  # letters
    assert shown[1][120:].min() == 255  # none


def test_a_long_caption_goes_on_in_the_next_line_and_loses_no_word(tmp_path, writer):
    """Of the caption and of the same without its last word, the pictures differ."""
    images = np.zeros((2, 120, 227, 3), np.uint8)
    words = "0.62 chair, diningtable, person + 0.38 bird, person, (sofa)"
    summaries.write_images(writer, 1, images, [words, words.rpartition(" ")[0]])
    writer.close()
    pngs = tensors(tmp_path, "train/images")[1][2:]
    shown = [tf.io.decode_png(png).numpy() for png in pngs]
    assert [image.shape for image in shown] == [(152, 227, 3)] * 2
    difference = np.argwhere((shown[0] != shown[1]).any(axis=-1))
    assert len(difference) and difference[:, 0].min() >= 136 and difference[:, 1].max() < 225


def test_the_first_ten_images_are_shown_above_their_captions(tmp_path, writer):
    """Twelve of one shade each, whose captions are blank or not in turn."""
    images = np.stack([np.full((120, 130, 3), 20 * number, np.uint8) for number in range(12)])
    summaries.write_images(writer, 1, images, ["dog" if number % 2 else "" for number in range(12)])
    writer.close()
    shown = [tf.io.decode_png(png).numpy() for png in tensors(tmp_path, "train/images")[1][2:]]
    assert [int(image[0, 0, 0]) // 20 for image in shown] == list(range(10))
    assert [bool(image[120:].min() < 100) for image in shown] == [False, True] * 5


def test_small_grey_images_are_enlarged(tmp_path, writer):
    images = np.random.default_rng(0).integers(0, 256, (1, 28, 28, 1), np.uint8)
    summaries.write_images(writer, 1, images, ["7"])
    writer.close()
    png = tensors(tmp_path, "train/images")[1][2]
    enlarged = np.repeat(np.repeat(images[0], 3, axis=0), 3, axis=1)
    np.testing.assert_array_equal(tf.io.decode_png(png).numpy()[:84], np.broadcast_to(enlarged, (84, 84, 3)))


def test_a_histogram_counts_every_finite_entry_once(tmp_path, writer):
    values = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    broken = np.where(values > 1, np.nan, values)
    both = {"fc8/kernel": tf.constant(values), "fc8/broken": tf.constant(broken)}
    summaries.write_histograms(writer, 7, "weights", both)
    summaries.write_histograms(writer, 7, "weights", {"fc8/bias": np.zeros(20, np.float32)})
    writer.close()
    lefts, rights, counts = tensors(tmp_path, "weights/fc8/kernel")[7].T
    for left, right, count in zip(lefts[:-1], rights[:-1], counts[:-1], strict=True):
        inside = np.sum((values >= np.float32(left)) & (values < np.float32(right)))
        assert count == pytest.approx(inside, abs=1)
    assert counts.sum() == 2000 and len(counts) == 30
    assert (lefts[0], rights[-1]) == (values.min(), values.max())
    assert tensors(tmp_path, "weights/fc8/broken")[7][:, 2].sum() == np.sum(values <= 1)
    assert tensors(tmp_path, "weights/fc8/bias")[7][:, 2].sum() == 20


def test_pr_curves_are_precision_and_recall_at_each_threshold(tmp_path, writer):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (60, 3)).astype(np.float32)
    weights = (rng.random((60, 3)) < 0.8).astype(np.float32)
    logits = rng.normal(size=(60, 3)).astype(np.float32)
    summaries.write_pr_curves(writer, 11, labels, logits, weights, CLASSES)
    writer.close()
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    for column, name in enumerate(CLASSES):
        curve = tensors(tmp_path, f"test/PR/{name}/pr_curves")[11]
        assert read(tmp_path).SummaryMetadata(f"test/PR/{name}/pr_curves").display_name == name
        assert curve.shape == (6, 201)
        counted = weights[:, column] > 0
        positive = labels[counted, column] > 0
        for threshold in (0.0, 0.25, 0.5, 0.75):
            chosen = probabilities[counted, column] >= threshold
            precision, recall = curve[4:, round(threshold * 200)]
            assert recall == pytest.approx(np.sum(chosen & positive) / np.sum(positive))
            assert precision == pytest.approx(np.sum(chosen & positive) / max(np.sum(chosen), 1))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    tiny_run.run(folder, 20)
    return folder


def test_a_run_has_histograms_of_every_variable_and_its_gradient(run):
    tags = read(run).Tags()["tensors"]
    for group in ("gradients", "weights"):
        for variable in ("conv1/kernel", "conv1/bias", "fc8/kernel", "fc8/bias"):
            assert f"{group}/{variable}" in tags
            assert list(tensors(run, f"{group}/{variable}")) == [1, 10, 20]


def test_the_gradients_shown_are_those_of_the_step(run, tmp_path):
    """Of the first step, where the weights are known: against a GradientTape of its own."""
    made, config = tiny_run.estimator(tmp_path)
    images, labels, weights = next(iter(tiny_run.train_input(config).from_step(0)))
    with tf.GradientTape() as tape:
        logits = made.model(images, training=True)
        each = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        loss = tf.reduce_sum(each * weights) / tf.reduce_sum(weights)
    kernel = made.model.get_layer("fc8").kernel
    gradient = tape.gradient(loss, kernel.value).numpy()
    shown = tensors(run, "gradients/fc8/kernel")[1]
    assert shown[0, 0] == pytest.approx(gradient.min(), rel=1e-4)
    assert shown[-1, 1] == pytest.approx(gradient.max(), rel=1e-4)


def test_looking_at_the_gradients_changes_no_number(tmp_path):
    made, config = tiny_run.estimator(tmp_path)
    batch = next(iter(tiny_run.train_input(config).from_step(0)))
    start = [v.numpy() for v in made.model.variables]
    results = []
    for keep_gradients in (False, True):
        for variable, value in zip(made.model.variables, start, strict=True):
            variable.assign(value)
        for variable in made.optimizer.variables:
            variable.assign(tf.zeros_like(variable.value))
        made._train_step(*batch, keep_gradients)
        results.append([v.numpy() for v in made.model.variables])
    for without, with_gradients in zip(*results, strict=True):
        np.testing.assert_array_equal(without, with_gradients)


def test_gradients_that_are_looked_at_come_from_the_one_backward_pass(tmp_path):
    made, config = tiny_run.estimator(tmp_path)
    batch = next(iter(tiny_run.train_input(config).from_step(0)))
    without, with_gradients = (
        collections.Counter(operation.type for operation in step.graph.get_operations())
        for step in (made._train_step.get_concrete_function(*batch, keep) for keep in (False, True))
    )
    assert without["Conv2DBackpropFilter"] == 1
    for kind in ("Conv2D", "Conv2DBackpropFilter", "MatMul", "ReluGrad", "MaxPoolGrad"):
        assert without[kind] == with_gradients[kind] > 0


def test_a_run_has_its_operations_and_its_layers_as_graphs(run):
    accumulator = read(run)
    operations = {node.name for node in accumulator.Graph().node}
    assert any("conv1" in name for name in operations) and any("ResourceApply" in n for n in operations)
    boxes = {re.sub(r"(_\d+)?/.*", "", name) for name in operations if "/" in name}
    counting = {"Add", "AssignAddVariableOp"}  # iterations, losses and their sum
    assert boxes - counting == {"tiny", "loss", "gradient_tape", "momentum_sgd", "ExponentialDecay"}
    assert accumulator.SummaryMetadata("network").plugin_data.plugin_name == "graph_keras_model"
    network = json.loads(tensors(run, "network")[0].item())
    graph = keras_util.keras_model_to_graph_def(network)  # what TensorBoard draws
    inputs = {node.name: list(node.input) for node in graph.node}
    assert inputs["conv1"] == ["scale"] and inputs["fc8"] == ["dropout"]
