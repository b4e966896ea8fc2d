import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import average_precision_score

from common import cli, hooks, interruption, losses, optimizers, run_files
from common.errors import UserError
from common.estimator import Estimator
from common.interruption import Interrupted
from common.run_files import read_metrics
from tests import tiny_run

ROOT = Path(__file__).parent.parent


def child(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.tiny_run", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def checkpoint_arrays(model_dir: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(model_dir))
    names = [n for n in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in n]
    return {name: reader.get_tensor(name) for name in names}


def without_times(lines: list[dict]) -> list[dict]:
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]


def summaries_in(model_dir: Path) -> dict[str, list[tuple[int, bytes]]]:
    """{tag: [(step, content) ...]} of everything that TensorBoard is given but speeds."""
    found: dict[str, list[tuple[int, bytes]]] = {}

    def age(path: Path) -> list[int]:
        # By number: in one second, one process' tenth file comes after its ninth.
        return [int(part) for part in path.name.split(".") if part.isdigit()]

    for path in sorted(model_dir.glob("events.out.tfevents.*"), key=age):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                if value.tag not in ("train/images_per_second", "config"):
                    content = value.tensor.SerializeToString()
                    found.setdefault(value.tag, []).append((event.step, content))
    return found


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, momentum, seeds, metrics.jsonl and TensorBoard, bit for bit; nothing twice or missing."""
    ours, theirs = checkpoint_arrays(one), checkpoint_arrays(other)
    ours.pop("save_counter/.ATTRIBUTES/VARIABLE_VALUE")
    theirs.pop("save_counter/.ATTRIBUTES/VARIABLE_VALUE")
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    assert without_times(read_metrics(one)) == without_times(read_metrics(other))
    shown, also_shown = summaries_in(one), summaries_in(other)
    assert shown.keys() == also_shown.keys()
    for tag, values in shown.items():
        assert values == also_shown[tag], tag


@pytest.fixture(scope="module")
def forty(tmp_path_factory) -> Path:
    """40 uninterrupted steps."""
    folder = tmp_path_factory.mktemp("forty")
    tiny_run.run(folder, 40)
    return folder


@pytest.fixture
def thirty(half, tmp_path) -> Path:
    """A copy of a run of 30 steps, to go on with or to harm."""
    return Path(shutil.copytree(half, tmp_path / "thirty"))


def test_a_run_killed_while_it_saves_ends_bit_for_bit_like_an_uninterrupted_one(whole, tmp_path):
    assert child(tmp_path, 64, "--signal", signal.SIGKILL.value, 48, "save").returncode == -signal.SIGKILL
    assert child(tmp_path, 64).returncode == 0
    assert_same_run(whole, tmp_path)
    assert [line["step"] for line in read_metrics(tmp_path)] == [*range(5, 65, 5), 64]


@pytest.mark.slow
def test_kill_9_at_20_moments_of_which_8_in_the_writing_of_a_checkpoint(whole, tmp_path):
    moments = [("step", step) for step in range(3, 63, 5)] + [("save", step) for step in range(1, 60, 8)]
    for moment, step in sorted(moments, key=lambda pair: pair[1]):
        ended = child(tmp_path, 64, "--signal", signal.SIGKILL.value, step, moment)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert child(tmp_path, 64).returncode == 0
    assert_same_run(whole, tmp_path)


@pytest.mark.parametrize("moment", ["step", "evaluation", "sample"])
def test_a_signal_saves_and_the_run_goes_on_as_if_never_interrupted(forty, tmp_path, moment):
    """Also in the middle of an evaluation, which is then made up for."""
    stop = tiny_run.SignalAt(signal.SIGTERM, 25, moment)
    with pytest.raises(Interrupted) as stopped:
        tiny_run.run(tmp_path, 40, stop)
    assert stopped.value.signal == signal.SIGTERM
    assert read_metrics(tmp_path)[-1]["step"] == (25 if moment == "step" else 20)
    assert (tmp_path / "ckpt-25.index").exists()
    tiny_run.run(tmp_path, 40)
    assert_same_run(forty, tmp_path)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_script_names_the_command_that_goes_on(number, code, capsys, monkeypatch):
    def main():
        with interruption.watching() as watch:
            os.kill(os.getpid(), number)
            watch.check()

    monkeypatch.delenv("DATA_DIR", raising=False)
    monkeypatch.setattr(sys, "argv", ["02_pascal_alexnet.py", "--data_dir", "my photos"])
    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    assert ended.value.code == code
    expected = (
        "interrupted and saved; this goes on from here: python 02_pascal_alexnet.py --data_dir 'my photos'\n"
    )
    assert capsys.readouterr().err == expected


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_process_that_is_sent_a_signal_goes_on_as_if_it_was_not(whole, tmp_path, number, code):
    stopped = child(tmp_path, 64, "--signal", number.value, 25, "evaluation")
    assert stopped.returncode == code and "Traceback" not in stopped.stderr
    assert child(tmp_path, 64).returncode == 0
    assert_same_run(whole, tmp_path)


def test_a_signal_saves_also_where_nobody_reads_what_is_said(tmp_path):
    """As in `python ... 2>&1 | tee log`, where Ctrl-C ends `tee` too."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tests.tiny_run", str(tmp_path), "64", "--signal", "15", "13", "step"]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=writer)
    os.close(writer)
    assert ended.returncode == 143
    assert (tmp_path / "ckpt-13.index").exists()


def test_ctrl_c_before_the_first_step_ends_at_once_and_binds_the_folder_to_nothing(tmp_path):
    """As while Keras fetches weights."""
    with pytest.raises(KeyboardInterrupt):
        tiny_run.run(tmp_path, 10, tiny_run.SignalAt(signal.SIGINT, 0, "begin"))
    assert not list(tmp_path.glob("ckpt-*"))
    assert tiny_run.run(tmp_path, 10, seed=1)["step"] == 10


def test_an_estimator_that_was_interrupted_can_still_evaluate(tmp_path):
    made, config = tiny_run.estimator(tmp_path)
    with pytest.raises(Interrupted):
        made.train(tiny_run.train_input(config), 5, [tiny_run.SignalAt(signal.SIGTERM, 2, "step")])
    assert made.evaluate(tiny_run.test_input())["loss"] > 0


def test_what_a_save_that_was_cut_short_has_left_is_removed_by_the_next(tmp_path):
    left = tmp_path / "ckpt-7_temp"
    left.mkdir()
    (left / "part-00000-of-00001.data-00000-of-00001.tempstate123").touch()
    tiny_run.run(tmp_path, 10)
    assert not left.exists() and (tmp_path / "ckpt-10.index").exists()


def test_a_second_signal_stops_at_once():
    watching = (
        "import os, signal, time\n"
        "from common.interruption import watching\n"
        "with watching():\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print('once', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
    )
    ended = subprocess.run([sys.executable, "-c", watching], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (143, "once\n")
    assert ended.stderr == "\nstopping after this step; once more to stop at once\n"


def test_checkpoint_holds_weights_momentum_step_dropout_seed_and_best(tmp_path):
    best = tiny_run.run(tmp_path, 10)["best"]
    stored = checkpoint_arrays(tmp_path)
    arrays = {name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): stored[name] for name in stored}
    assert arrays["weights/conv1/kernel"].shape == (5, 5, 3, 8)
    assert arrays["weights/fc8/bias"].shape == (3,)
    assert np.abs(arrays["optimizer/conv1_kernel_momentum"]).max() > 0
    assert arrays["optimizer/iteration"] == 10
    assert arrays["seeds/0"].tolist() == [3, 10]  # Keras counts the draws of each Dropout
    assert arrays["best"] == best


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


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    """The loss of a step is from before its update, so the weights may be lost while it is finite."""
    made, _ = tiny_run.estimator(tmp_path)
    made.model.get_layer("fc8").kernel.assign(np.full(made.model.get_layer("fc8").kernel.shape, np.nan))
    with pytest.raises(UserError, match="fc8/kernel is no longer finite after step 0; .*--model_dir"):
        made.save()
    assert not list(tmp_path.glob("ckpt-*"))


def test_opening_a_run_to_predict_leaves_its_files_alone(tmp_path):
    tiny_run.run(tmp_path, 10)
    for path in [tmp_path / "checkpoint", *tmp_path.glob("ckpt-*")]:
        path.unlink()
    before = (tmp_path / "metrics.jsonl").read_text()
    made, _ = tiny_run.estimator(tmp_path)
    made.predict(tiny_run.test_input())
    assert (tmp_path / "metrics.jsonl").read_text() == before


def empty(path: Path) -> None:
    path.write_bytes(b"")


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("harm", [empty, halve, Path.unlink])
@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before_which_is_said(
    forty, thirty, harm, part, capsys
):
    harm(thirty / f"ckpt-30.{part}")
    tiny_run.run(thirty, 40)
    out, err = capsys.readouterr()
    assert "ckpt-30: this checkpoint is damaged" in err and "going on from ckpt-20 instead" in err
    assert "20 of 40 steps are made, going on" in out
    assert_same_run(forty, thirty)


@pytest.mark.parametrize("harm", [empty, Path.unlink])
def test_without_a_good_checkpoint_a_run_never_starts_over_silently(thirty, harm):
    for path in thirty.glob("ckpt-*.index"):
        harm(path)
    with pytest.raises(UserError, match="ckpt-30: this checkpoint is damaged .* and there is no other"):
        tiny_run.estimator(thirty)


@pytest.mark.parametrize("harm", [empty, Path.unlink])
def test_a_lost_list_of_checkpoints_loses_none_and_keeps_no_more_than_two(thirty, harm, capsys):
    harm(thirty / "checkpoint")
    tiny_run.run(thirty, 40)
    printed = capsys.readouterr()
    assert "30 of 40 steps are made, going on" in printed.out and "deprecated" not in printed.err
    assert sorted(path.stem for path in thirty.glob("ckpt-*.index")) == ["ckpt-30", "ckpt-40"]


def test_a_first_save_that_was_cut_short_is_no_checkpoint(tmp_path):
    tiny_run.run(tmp_path, 10)
    (tmp_path / "checkpoint").unlink()
    (tmp_path / "ckpt-10.index").unlink()
    made, _ = tiny_run.estimator(tmp_path)
    assert made.step == 0


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


def test_where_the_first_checkpoint_can_not_be_written_the_way_out_is_a_new_run(tmp_path, monkeypatch):
    def refuse(self, checkpoint_number):
        raise tf.errors.ResourceExhaustedError(None, None, "ckpt-5; No space left on device")

    monkeypatch.setattr(tf.train.CheckpointManager, "save", refuse)
    with pytest.raises(UserError, match="No space left on device.*; make room, then train anew, with an"):
        tiny_run.run(tmp_path, 5)


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(UserError, match="/lock: the file system has no locks .*; give --model_dir on one"):
        tiny_run.estimator(tmp_path)


def test_an_interrupted_last_evaluation_leaves_the_numbers_of_a_prolonged_run_as_they_are(thirty, tmp_path):
    tiny_run.run(thirty, 40)
    stop = tiny_run.SignalAt(signal.SIGTERM, 30, "evaluation")
    with pytest.raises(Interrupted):
        tiny_run.run(tmp_path / "stopped", 30, stop)
    tiny_run.run(tmp_path / "stopped", 30)
    tiny_run.run(tmp_path / "stopped", 40)
    scores = {line["step"]: line["mAP"] for line in run_files.read_metrics(thirty)}
    assert scores[30] > scores[35]  # the best is that of the evaluation that was made up for
    assert_same_run(thirty, tmp_path / "stopped")


def test_an_evaluation_that_lost_its_line_stands_once_in_tensorboard(forty, tmp_path, monkeypatch):
    """It was interrupted, and when it was made up for the process ended before the line was written."""
    with pytest.raises(Interrupted):
        tiny_run.run(tmp_path, 40, tiny_run.SignalAt(signal.SIGTERM, 25, "evaluation"))

    def end(model_dir, line):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_files, "append_metrics", end)
        tiny_run.run(tmp_path, 40)
    tiny_run.run(tmp_path, 40)
    assert_same_run(forty, tmp_path)


def test_an_error_before_the_first_step_is_the_one_that_is_seen(tmp_path):
    tiny_run.run(tmp_path, 10)
    (tmp_path / "metrics.jsonl").write_text('{"st\n{"step": 10}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl:1: is damaged"):
        tiny_run.run(tmp_path, 10)
