import io
import re
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

from common import hooks, run_files
from common.errors import UserError
from tests import tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    tiny_run.run(folder, 40)
    return folder


@pytest.fixture(scope="module")
def events(run):
    accumulator = EventAccumulator(str(run), size_guidance={TENSORS: 0})
    accumulator.Reload()
    return accumulator


def scalars(events: EventAccumulator, tag: str) -> dict[int, float]:
    return {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)}


def test_tensorboard_has_the_training_scalars_at_their_steps(tmp_path):
    losses = {}

    class Note(hooks.Hook):
        def after_step(self, estimator, step, done):
            losses[step] = done.loss

    tiny_run.run(tmp_path, 40, Note())
    accumulator = EventAccumulator(str(tmp_path), size_guidance={TENSORS: 0})
    accumulator.Reload()
    expected = {step: losses[step] for step in (5, 10, 15, 20, 25, 30, 35, 40)}
    assert scalars(accumulator, "train/loss") == pytest.approx(expected)
    rates = scalars(accumulator, "train/images_per_second")
    assert rates.keys() == expected.keys() and all(rate > 0 for rate in rates.values())


def test_tensorboard_has_the_precision_and_recall_of_every_evaluation(run, events):
    """Of the last one, which predictions.npz holds: at threshold 0.5 by counting."""
    with np.load(run / "predictions.npz") as stored:
        logits, labels, weights = (stored[name] for name in ("logits", "labels", "weights"))
    for column, name in enumerate(tiny_run.CLASSES):
        kept = events.Tensors(f"test/PR/{name}/pr_curves")
        curves = {e.step: tf.make_ndarray(e.tensor_proto) for e in kept}
        assert list(curves) == [line["step"] for line in run_files.read_metrics(run)]
        counted, true = weights[:, column] > 0, labels[:, column] > 0
        middle = curves[40].shape[1] // 2
        sure = logits[:, column] >= 0
        tp, fp = (np.sum(counted & sure & right) for right in (true, ~true))
        assert curves[40][:2, middle].tolist() == [tp, fp]


def test_tensorboards_histograms_of_weights_are_of_the_weights(run, events):
    last = tf.train.load_variable(
        tf.train.latest_checkpoint(run), "weights/fc8/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    )
    shown = {e.step: tf.make_ndarray(e.tensor_proto) for e in events.Tensors("weights/fc8/kernel")}
    assert shown[40][0, 0] == pytest.approx(last.min()) and shown[40][-1, 1] == pytest.approx(last.max())
    assert shown[40][:, 2].sum() == last.size


def test_tensorboard_has_the_learning_rate_that_the_step_used(events):
    """The stairs are 20 updates long: the 20th still uses the first rate, the 21st the second."""
    rates = scalars(events, "train/learning_rate")
    assert rates[20] == pytest.approx(0.01) and rates[25] == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("updates", "rate"), [(0, 1e-3), (9_999, 1e-3), (10_000, 5e-4), (39_999, 1e-3 * 0.5**3)]
)
def test_tensorboards_learning_rate_is_the_handouts_schedule(updates, rate, tmp_path):
    """0.001 * 0.5 ** floor(updates / 10,000), at the step that makes the update."""
    made, config = tiny_run.estimator(tmp_path, learning_rate=0.001, decay_steps=10_000)
    made.optimizer.iterations.assign(updates)
    tensorboard = hooks.Summaries(1, 1_000, 1_000, tiny_run.CLASSES)
    made.train(tiny_run.train_input(config), updates + 1, [tensorboard])
    accumulator = EventAccumulator(str(tmp_path), size_guidance={TENSORS: 0})
    accumulator.Reload()
    assert scalars(accumulator, "train/learning_rate") == {updates + 1: pytest.approx(rate, rel=1e-6)}


def test_tensorboard_has_the_evaluations_of_metrics_jsonl(run, events):
    for line in run_files.read_metrics(run):
        assert scalars(events, "test/loss")[line["step"]] == pytest.approx(line["test_loss"])
        assert scalars(events, "test/mAP")[line["step"]] == pytest.approx(line["mAP"])
        for name in tiny_run.CLASSES:
            assert scalars(events, f"test/AP/{name}")[line["step"]] == pytest.approx(line["AP"][name])


def test_captions_are_the_labels_of_the_batch(tmp_path, monkeypatch):
    captions_at = {}

    def note(writer, step, images, shown):
        captions_at[step] = shown

    monkeypatch.setattr(hooks.summaries, "write_images", note)
    tiny_run.run(tmp_path, 20)
    _, labels, weights = next(iter(tiny_run.train_input(tiny_run.Config()).from_step(19)))
    expected = [
        ", ".join(
            [name for name, label, weight in zip(tiny_run.CLASSES, *one, strict=True) if weight and label]
            + [f"({name})" for name, weight in zip(tiny_run.CLASSES, one[1], strict=True) if not weight]
        )
        for one in zip(labels.numpy(), weights.numpy(), strict=True)
    ]
    assert list(captions_at) == [1, 20] and captions_at[20] == [one or "no class" for one in expected]
    assert len(set(expected)) > 3


def test_a_speed_that_was_not_measured_is_left_out(tmp_path, capsys):
    """The first step of a process isn't timed: it also builds the graph."""
    made, config = tiny_run.estimator(tmp_path)
    settings = (tiny_run.train_input(config), tiny_run.test_input())
    made.train_and_evaluate(*settings, 1, 5, [hooks.Summaries(1, 1_000, 1_000, tiny_run.CLASSES)])
    assert made.images_trained == 0
    (line,) = run_files.read_metrics(tmp_path)
    assert line["images_per_second"] is None and "images/s" not in capsys.readouterr().out
    made.train(settings[0], 4, [hooks.Summaries(1, 1_000, 1_000, tiny_run.CLASSES)])
    assert made.images_trained == 20  # two steps of ten
    accumulator = EventAccumulator(str(tmp_path), size_guidance={TENSORS: 0})
    accumulator.Reload()
    assert list(scalars(accumulator, "train/images_per_second")) == [3, 4]
    assert list(scalars(accumulator, "train/loss")) == [1, 2, 3, 4]


def test_tensorboard_images_are_the_batch_as_the_network_sees_it(events):
    """Decoded, they equal the augmented images that the input gives for that step, 6 times as large."""
    shown = {e.step: e.tensor_proto.string_val for e in events.Tensors("train/images")}
    assert list(shown) == [1, 20, 40]
    images, _, _ = next(iter(tiny_run.train_input(tiny_run.Config()).from_step(19)))
    width, height, *pngs = shown[20]
    assert (width, len(pngs)) == (b"96", 10) and int(height) > 96  # the caption is below
    for png, image in zip(pngs, images, strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(png)))
        np.testing.assert_array_equal(pixels[:96], np.repeat(np.repeat(image, 6, axis=0), 6, axis=1))


def test_tensorboard_has_the_settings(events):
    text = events.Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert "| settings / batch_size | 10 |" in text and "libraries" in text


def test_train_loss_is_the_mean_since_the_evaluation_before(tmp_path):
    losses = []

    class Record(hooks.Hook):
        def after_step(self, estimator, step, done):
            losses.append(done.loss)

    made, config = tiny_run.estimator(tmp_path)
    made.train_and_evaluate(tiny_run.train_input(config), tiny_run.test_input(), 12, 5, [Record()])
    lines = run_files.read_metrics(tmp_path)
    assert [line["step"] for line in lines] == [5, 10, 12]
    expected = [np.mean(losses[:5]), np.mean(losses[5:10]), np.mean(losses[10:])]
    np.testing.assert_allclose([line["train_loss"] for line in lines], expected, rtol=1e-5)


def test_best_is_the_highest_headline_metric_so_far(run):
    lines = run_files.read_metrics(run)
    highest = np.maximum.accumulate([line["mAP"] for line in lines])
    np.testing.assert_allclose([line["best"] for line in lines], highest, rtol=1e-6)


def test_snapshots_hold_the_kernel_at_the_chosen_steps(run):
    initial, later = (np.load(run / "snapshots" / f"conv1_{step:06}.npy") for step in (0, 7))
    assert sorted(p.name for p in (run / "snapshots").iterdir()) == ["conv1_000000.npy", "conv1_000007.npy"]
    np.testing.assert_array_equal(initial, tiny_run.network().get_layer("conv1").kernel)
    assert initial.shape == later.shape == (5, 5, 3, 8)
    assert not np.array_equal(initial, later)


def test_two_checkpoints_are_kept(run):
    assert sorted(p.name for p in run.glob("ckpt-*.index")) == ["ckpt-30.index", "ckpt-40.index"]


def test_predictions_are_those_of_the_last_evaluation(run):
    made, _ = tiny_run.estimator(run)
    with np.load(run / "predictions.npz") as stored:
        assert stored["step"] == 40
        np.testing.assert_array_equal(stored["logits"], made.predict(tiny_run.test_input()))


def test_an_evaluation_is_one_printed_line_and_no_bar_without_a_terminal(tmp_path, capfd):
    tiny_run.run(tmp_path, 5)
    out, err = capfd.readouterr()
    assert "0 of 5 steps are made, starting" in out
    (line,) = run_files.read_metrics(tmp_path)
    said, speed = out.splitlines()[-1].rsplit("  ", 1)
    assert said == (
        f"step      5  train loss {line['train_loss']:.4f}  test loss {line['test_loss']:.4f}  "
        f"mAP {line['mAP']:.4f}"
    )
    assert float(speed.removesuffix(" images/s")) == pytest.approx(line["images_per_second"], abs=0.6)
    assert "training:" not in err


def test_of_few_images_a_second_the_tenths_are_said(tmp_path, capsys):
    class Slow(hooks.Hook):
        def after_step(self, estimator, step, done):
            estimator.train_seconds += 4 if step > 1 else 0  # for 10 images

    tiny_run.run(tmp_path, 5, Slow())
    speed = float(re.search(r"  (\d\.\d) images/s\n", capsys.readouterr().out)[1])
    assert 3 < speed < 3.4  # 40 images in 12 seconds and a little: the evaluation comes before this hook
    assert speed == pytest.approx(run_files.read_metrics(tmp_path)[0]["images_per_second"], abs=0.051)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_bar_shows_loss_speed_and_time_left(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "150")
    tiny_run.run(tmp_path, 40)
    shown = sys.stderr.getvalue()
    assert re.search(
        r"training: .* 40/40 \[\d\d:\d\d<\d\d:\d\d, .*, loss \d\.\d{4}, [\d.]+ images/s\]", shown
    )


def test_an_error_closes_the_bar_first(tmp_path, monkeypatch):
    """So that its line doesn't stand behind the bar."""
    monkeypatch.setattr(sys, "stderr", Terminal())

    class Fail(hooks.Hook):
        def after_step(self, estimator, step, done):
            raise UserError("too bad")

    with pytest.raises(UserError):
        tiny_run.run(tmp_path, 20, Fail())
    assert sys.stderr.getvalue().endswith("\n")


def test_what_other_hooks_print_at_the_start_stands_before_the_bar(tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    tiny_run.run(tmp_path / "given", 5)
    terminal.truncate(0)
    tiny_run.run(tmp_path / "run", 5, hooks.Restore(str(tmp_path / "given"), "conv1"))
    before, _, after = terminal.getvalue().partition("restored from")
    assert "training:" not in before and "training:" in after


@pytest.mark.parametrize(("up_to", "wanted"), [("conv5_3", False), ("fc6", True), ("fc8", True)])
def test_the_classifier_is_fetched_only_where_it_is_restored(tmp_path, monkeypatch, up_to, wanted):
    asked = []

    def fetch(init_from, with_classifier):
        asked.append(with_classifier)
        raise UserError("enough")

    monkeypatch.setattr(hooks.pretrained, "open_weights", fetch)
    with pytest.raises(UserError, match="enough"):
        hooks.Restore("keras", up_to).begin(tiny_run.estimator(tmp_path)[0])
    assert asked == [wanted]


def test_given_weights_start_a_new_run_and_not_one_that_goes_on(tmp_path, capsys):
    tiny_run.run(tmp_path / "given", 10)
    weights = hooks.Restore(str(tmp_path / "given"), "conv1")
    tiny_run.run(tmp_path / "run", 5, weights)
    printed = capsys.readouterr().out
    assert f"restored from {tmp_path / 'given' / 'ckpt-10'}: conv1\ninitialised: fc8\n" in printed
    given = tiny_run.estimator(tmp_path / "given")[0].model.get_layer("conv1").kernel.numpy()
    np.testing.assert_array_equal(np.load(tmp_path / "run" / "snapshots" / "conv1_000000.npy"), given)
    tiny_run.run(tmp_path / "run", 10, hooks.Restore("nowhere", "conv1"))
    assert "restored from" not in capsys.readouterr().out
