"""The scores of training images, beside those of the test split."""

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

from common import run_files
from common.estimator import Estimator
from common.evaluation import multilabel_metrics
from tests import tiny_run


@pytest.fixture
def scored(monkeypatch):
    """Rows, split and logits of what is scored, in order."""
    noted = []
    score = Estimator.score

    def note(estimator, input, logits):
        noted.append((input.examples.split, input.rows.tolist(), logits))
        return score(estimator, input, logits)

    monkeypatch.setattr(Estimator, "score", note)
    return noted


def test_as_many_training_images_as_test_images_are_scored_without_augmentation_or_dropout(tmp_path, scored):
    """Of 37 the 23 that a permutation begins with, as the last checkpoint's weights score their centres."""
    tiny_run.run(tmp_path, 10)
    assert [split for split, _, _ in scored] == ["test", "train"] * 2
    rows = sorted(np.random.default_rng(0).permutation(37)[:23])
    assert scored[1][1] == scored[3][1] == rows
    made, _ = tiny_run.estimator(tmp_path)
    examples = tiny_run.examples("train", 37, 1)
    logits = made.model(examples.images[rows, 2:18, 2:18], training=False).numpy()
    np.testing.assert_allclose(scored[3][2], logits, rtol=1e-5, atol=1e-6)
    expected = multilabel_metrics(examples.labels[rows], logits, examples.weights[rows], tiny_run.CLASSES)
    lines = run_files.read_metrics(tmp_path)
    assert lines[1]["train_sample_mAP"] == pytest.approx(expected["mAP"])
    events = EventAccumulator(str(tmp_path), size_guidance={TENSORS: 0})
    events.Reload()
    shown = {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors("train_sample/mAP")}
    assert shown == {line["step"]: pytest.approx(line["train_sample_mAP"]) for line in lines}


def test_of_many_training_images_a_part_is_scored(tmp_path, scored, monkeypatch):
    monkeypatch.setattr("common.estimator._SAMPLED", 9)
    tiny_run.run(tmp_path, 5)
    assert [len(rows) for _, rows, _ in scored] == [23, 9]


def test_where_no_training_image_shows_a_class_their_score_is_left_out(tmp_path, monkeypatch):
    made, config = tiny_run.estimator(tmp_path)
    train_input = tiny_run.train_input(config)
    train_input.examples.labels[:] = 0
    line = made.train_and_evaluate(train_input, tiny_run.test_input(), 5, 5)
    assert "mAP" in line and "train_sample_mAP" not in line
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()
