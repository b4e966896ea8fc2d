"""What a checkpoint holds, and what becomes of a run whose checkpoints are damaged."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from tests import tiny_run
from tests.runs import assert_same_run, checkpoint_arrays


def test_what_a_save_that_was_cut_short_has_left_is_removed_by_the_next(tmp_path):
    left = tmp_path / "ckpt-7_temp"
    left.mkdir()
    (left / "part-00000-of-00001.data-00000-of-00001.tempstate123").touch()
    tiny_run.run(tmp_path, 10)
    assert not left.exists() and (tmp_path / "ckpt-10.index").exists()


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


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    """The loss of a step is from before its update, so the weights may be lost while it is finite."""
    made, _ = tiny_run.estimator(tmp_path)
    made.model.get_layer("fc8").kernel.assign(np.full(made.model.get_layer("fc8").kernel.shape, np.nan))
    with pytest.raises(UserError, match="fc8/kernel is no longer finite after step 0; .*--model_dir"):
        made.save()
    assert not list(tmp_path.glob("ckpt-*"))


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


def test_where_the_first_checkpoint_can_not_be_written_the_way_out_is_a_new_run(tmp_path, monkeypatch):
    def refuse(self, checkpoint_number):
        raise tf.errors.ResourceExhaustedError(None, None, "ckpt-5; No space left on device")

    monkeypatch.setattr(tf.train.CheckpointManager, "save", refuse)
    with pytest.raises(UserError, match="No space left on device.*; make room, then train anew, with an"):
        tiny_run.run(tmp_path, 5)
