import errno
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import average_precision_score

from common import hooks, losses, optimizers
from common.errors import UserError
from common.estimator import Estimator
from common.run_files import read_metrics
from tests import tiny_run
from tests.runs import assert_same_run, checkpoint_arrays

ROOT = Path(__file__).parent.parent


def test_training_goes_on_where_the_steps_ended(tmp_path):
    tiny_run.run(tmp_path / "once", 20)
    tiny_run.run(tmp_path / "twice", 10)
    tiny_run.run(tmp_path / "twice", 20)
    assert_same_run(tmp_path / "once", tmp_path / "twice")


def test_a_finished_run_is_left_as_it_is(tmp_path, monkeypatch):
    before = tiny_run.run(tmp_path, 10)
    files = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with monkeypatch.context() as patches:
        patches.setattr(Estimator, "predict", None)  # VGG-16 takes minutes for it
        assert tiny_run.run(tmp_path, 10) == before
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == files


def test_a_finished_run_that_lost_its_predictions_is_evaluated_alike(tmp_path):
    before = tiny_run.run(tmp_path, 10)
    log = (tmp_path / "metrics.jsonl").read_bytes()
    (tmp_path / "predictions.npz").unlink()
    again = tiny_run.run(tmp_path, 10)
    scores = ("step", "test_loss", "best", "mAP", "AP", "train_sample_mAP")
    assert [again[name] for name in scores] == [before[name] for name in scores]
    assert (tmp_path / "metrics.jsonl").read_bytes() == log


def test_an_evaluation_whose_line_was_cut_short_is_made_up_for_also_in_a_finished_run(tmp_path):
    tiny_run.run(tmp_path, 10)
    path = tmp_path / "metrics.jsonl"
    lines = read_metrics(tmp_path)
    path.write_text(path.read_text()[:-100])
    for _ in range(2):
        tiny_run.run(tmp_path, 10)
        made = read_metrics(tmp_path)
        assert [line["step"] for line in made] == [5, 10]
        assert made[-1]["mAP"] == lines[-1]["mAP"] and made[-1]["test_loss"] == lines[-1]["test_loss"]


def test_the_seed_decides_the_numbers(tmp_path):
    same = [tiny_run.run(tmp_path / name, 5) for name in ("a", "b")]
    other = tiny_run.run(tmp_path / "c", 5, seed=1)
    assert same[0]["train_loss"] == same[1]["train_loss"] != other["train_loss"]


def test_evaluate_scores_the_whole_split_at_once(tmp_path):
    """Loss and AP are those of all 23 images, not means over batches of 8."""
    made, _ = tiny_run.estimator(tmp_path)
    test = tiny_run.examples("test", 23, 2)
    metrics, logits = made.evaluate(tiny_run.test_input()), made.predict(tiny_run.test_input())
    crops = test.images[:, 2:18, 2:18]
    np.testing.assert_allclose(logits, made.model(crops, training=False), rtol=1e-4, atol=1e-5)
    z, y, w = (array.astype(np.float64) for array in (logits, test.labels, test.weights))
    cross_entropy = np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - z * y
    assert metrics["loss"] == pytest.approx((w * cross_entropy).sum() / (w != 0).sum(), rel=1e-5)
    for column, name in enumerate(tiny_run.CLASSES):
        rows = w[:, column] > 0
        expected = average_precision_score(y[rows, column], z[rows, column])
        assert metrics["AP"][name] == pytest.approx(expected)


def test_one_step_is_loss_gradient_and_update_of_the_masked_loss(tmp_path):
    """One step of a linear network: by hand in float64, and by a float64 GradientTape."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4, 5)).astype(np.float32)
    labels = rng.integers(0, 2, (4, 3)).astype(np.float32)
    weights = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1], [0, 1, 1]], np.float32)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, name="fc8")])
    kernel = model.get_layer("fc8").kernel.numpy()
    optimizer = optimizers.MomentumSGD(optimizers.staircase(0.1, 10, 0.5), 0.9)
    made = Estimator(model, optimizer, losses.sigmoid_cross_entropy, dict, "mAP", tmp_path)
    loss, learning_rate, gradients = made._train_step(*map(tf.constant, (images, labels, weights)), True)

    x, y, w, k = (array.astype(np.float64) for array in (images, labels, weights, kernel))
    probability = 1 / (1 + np.exp(-x @ k))
    entropy = -y * np.log(probability) - (1 - y) * np.log(1 - probability)
    assert float(loss) == pytest.approx(np.sum(w * entropy) / 9, rel=1e-6)
    gradient = x.T @ (w * (probability - y)) / 9
    np.testing.assert_allclose(gradients[0], gradient, rtol=1e-5, atol=1e-8)
    assert float(learning_rate) == pytest.approx(0.1)
    np.testing.assert_allclose(model.get_layer("fc8").kernel, k - 0.1 * gradient, rtol=1e-6, atol=1e-8)

    variable = tf.Variable(k)
    with tf.GradientTape() as tape:
        double = losses.sigmoid_cross_entropy(y, tf.constant(x) @ variable, w)
    np.testing.assert_allclose(tape.gradient(double, variable), gradient, rtol=1e-12)


def test_training_learns(tmp_path):
    lines = [tiny_run.run(tmp_path, steps) for steps in (5, 60)]
    assert lines[1]["train_loss"] < 0.5 * lines[0]["train_loss"]
    assert lines[1]["mAP"] > 0.9 > lines[1]["mAP_guessing"]


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    tiny_run.run(tmp_path, 10)
    before = checkpoint_arrays(tmp_path)
    made, config = tiny_run.estimator(tmp_path, learning_rate=1e38)
    with pytest.raises(UserError, match=r"loss of step 1\d is (nan|inf)"):
        made.train(tiny_run.train_input(config), 30, hooks.standard(config, 30, tiny_run.CLASSES))
    after = checkpoint_arrays(tmp_path)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_opening_a_run_to_predict_leaves_its_files_alone(tmp_path):
    tiny_run.run(tmp_path, 10)
    for path in [tmp_path / "checkpoint", *tmp_path.glob("ckpt-*")]:
        path.unlink()
    before = (tmp_path / "metrics.jsonl").read_text()
    made, _ = tiny_run.estimator(tmp_path)
    made.predict(tiny_run.test_input())
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_a_second_process_is_refused_by_name_of_the_first(tmp_path):
    script = (
        "import sys; from pathlib import Path; from common import run_lock; run_lock.hold(Path(sys.argv[1]))"
    )
    command = [
        sys.executable,
        "-c",
        script + "; print('held', flush=True); sys.stdin.read()",
        str(tmp_path / "b"),
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"training there, process {first.pid}, "):
            tiny_run.estimator(tmp_path / "b")
        assert not (tmp_path / "b" / "config.json").exists()  # which would be the first one's
        first.kill()
    made, config = tiny_run.estimator(tmp_path / "b")  # the lock that is left is nobody's
    made.train(tiny_run.train_input(config), 1)
    assert made.step == 1


def test_the_predictions_of_a_finished_run_are_made_again(thirty):
    """They may be damaged, or of a later step that the run went back from."""
    path, log = thirty / "predictions.npz", read_metrics(thirty)
    before = dict(np.load(path))
    path.write_bytes(b"damaged")
    tiny_run.run(thirty, 30)
    after = dict(np.load(path))
    assert after["step"] == 30 and after.keys() == before.keys()
    np.testing.assert_array_equal(after["logits"], before["logits"])
    assert read_metrics(thirty) == log


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(UserError, match="/lock: the file system has no locks .*; give --model_dir on one"):
        tiny_run.estimator(tmp_path)


def test_an_error_before_the_first_step_is_the_one_that_is_seen(tmp_path):
    tiny_run.run(tmp_path, 10)
    (tmp_path / "metrics.jsonl").write_text('{"st\n{"step": 10}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl:1: is damaged"):
        tiny_run.run(tmp_path, 10)
