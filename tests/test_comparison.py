import json
from pathlib import Path

import pytest

from common import comparison, figures, run_files
from common.errors import UserError

MIXUP = {"script": "06_mixup", "network": "caffenet", "alpha": 0.2}


def evaluation(step: int, train_loss: float = 0.3, test_loss: float = 0.4, mAP: float = 0.2) -> dict:
    """A line of metrics.jsonl."""
    line = {"step": step, "train_loss": train_loss, "test_loss": test_loss, "mAP": mAP, "mAP_guessing": 0.1}
    line["AP"] = {"cat": 0.1 + step / 1000, "dog": 0.3}
    return line | {"AP_guessing": {"cat": 0.05, "dog": 0.15}}


@pytest.fixture
def drawn(monkeypatch) -> list:
    """The figures that would be written: the curves, then the bars."""
    kept = []
    monkeypatch.setattr(figures, "save", lambda figure, path: kept.append(figure) or path)
    return kept


def write_run(
    folder: Path,
    steps: tuple[int, ...],
    trained_on: str = "a",
    tested_on: str = "a",
    train_loss: float = 0.3,
    test_loss: float = 0.4,
    mAP: float = 0.2,
    sampled: bool = True,
    **settings,
) -> Path:
    folder.mkdir()
    splits = {"trainval": {"images": 20, "digest": trained_on}, "test": {"images": 10, "digest": tested_on}}
    settings = {
        "script": "02_pascal_alexnet",
        "seed": 0,
        "learning_rate": 0.001,
        "batch_size": 10,
        **settings,
    }
    config = {
        "settings": settings,
        "resumable_settings": {"steps": 20, "eval_every": 5},
        "data": {"name": "noise", "splits": splits},
        "environment": {},
    }
    (folder / "config.json").write_text(json.dumps(config))
    for step in steps:
        line = evaluation(step, train_loss, test_loss, mAP)
        run_files.append_metrics(folder, line | ({"train_sample_mAP": mAP + 0.3} if sampled else {}))
    return folder


def test_figures_are_of_the_iterations_that_both_were_evaluated_at(tmp_path, drawn):
    run = write_run(tmp_path / "run", (10, 20, 30), **MIXUP)
    baseline = write_run(tmp_path / "baseline", (15, 20, 40))
    comparison.check_baseline(run, baseline)
    comparison.write_figures(run, baseline)
    curves, bars = drawn
    lines = [line for axes in curves.axes for line in axes.lines if not line.get_label().startswith("guess")]
    assert len(lines) == 8 and all(line.get_xdata().tolist() == [20] for line in lines)
    assert sum("iteration 20, " in text.get_text() for text in bars.legends[0].get_texts()) == 2


def test_curves_are_the_losses_and_scores_of_both_by_name(tmp_path, drawn):
    run = write_run(tmp_path / "run", (10, 20), **MIXUP)
    baseline = write_run(tmp_path / "baseline", (10, 20), mAP=0.3, test_loss=0.6, train_loss=0.5)
    comparison.write_figures(run, baseline)
    curves, bars = drawn
    for figure in (curves.get_suptitle(), bars.axes[0].get_title()):
        assert "CaffeNet with mixup and its baseline baseline" in figure and "noise (20 trainval" in figure
    losses, scores = (
        {line.get_label(): line.get_xydata().tolist() for line in axes.lines} for axes in curves.axes
    )
    assert losses == {
        "mixup, training, on mixtures": [[10, 0.3], [20, 0.3]], "mixup, test": [[10, 0.4], [20, 0.4]],
        "baseline, training": [[10, 0.5], [20, 0.5]], "baseline, test": [[10, 0.6], [20, 0.6]],
    }  # fmt: skip
    assert scores["mixup, test"] == [[10, 0.2], [20, 0.2]]
    assert scores["baseline, test"] == [[10, 0.3], [20, 0.3]]
    assert scores["mixup, training images as they are"] == [[10, 0.5], [20, 0.5]]
    assert scores["baseline, training images as they are"] == [[10, 0.6], [20, 0.6]]
    assert [height for _, height in scores["guessing, 0.100"]] == [0.1, 0.1]
    labels = {text.get_text() for text in bars.legends[0].get_texts()}
    assert labels == {"mixup, iteration 20, mAP 0.200", "baseline, iteration 20, mAP 0.300", "guessing"}


def test_a_baseline_of_an_earlier_version_has_no_curve_of_training_images(tmp_path, drawn):
    run = write_run(tmp_path / "run", (10, 20), **MIXUP)
    baseline = write_run(tmp_path / "baseline", (10, 20), sampled=False)
    comparison.write_figures(run, baseline)
    labels = [line.get_label() for line in drawn[0].axes[1].lines]
    assert labels == [
        "mixup, test",
        "mixup, training images as they are",
        "baseline, test",
        "guessing, 0.100",
    ]


def test_training_losses_are_means_over_the_same_iterations_however_often_each_was_evaluated(tmp_path, drawn):
    """The loss falls from 0.8 to 0.4 at iteration 15 in both runs; the second is evaluated more often."""
    run, baseline = write_run(tmp_path / "run", (), **MIXUP), write_run(tmp_path / "baseline", ())
    for folder, means in (
        (run, {20: 0.7, 30: 0.4}),
        (baseline, {5: 0.8, 15: 0.8, 20: 0.4, 25: 0.4, 30: 0.4}),
    ):
        for step, mean in means.items():
            run_files.append_metrics(folder, evaluation(step, train_loss=mean))
    comparison.write_figures(run, baseline)
    losses = {line.get_label(): line.get_xydata() for line in drawn[0].axes[0].lines}
    for name in ("mixup, training, on mixtures", "baseline, training"):
        assert dict(losses[name].tolist()) == pytest.approx({20: 0.7, 30: 0.4})


def test_figures_are_written_into_the_runs_folder_and_both_scores_are_printed(tmp_path, capsys):
    run = write_run(tmp_path / "run", (10, 20), mAP=0.25, **MIXUP)
    baseline = write_run(tmp_path / "baseline", (10, 20))
    paths = comparison.write_figures(run, baseline)
    expected = f"mAP at iteration 20: 0.2500 with mixup, 0.2000 of {baseline}, +0.050\n"
    assert capsys.readouterr().out == expected
    *drawn, compared = paths
    assert [path.name for path in drawn] == ["with_baseline.png", "ap_with_baseline.png"]
    assert all(path.parent == run / "figures" and path.stat().st_size > 10_000 for path in drawn)
    assert compared == run / "comparison.json"
    found = json.loads(compared.read_text())
    assert found["name"] == "baseline" and found["mixup"] == run_files.read_metrics(run)[-1]
    assert found["baseline"] == run_files.read_metrics(baseline)[-1]


def test_a_single_iteration_in_common_is_seen(tmp_path, drawn):
    run, baseline = write_run(tmp_path / "run", (20,), **MIXUP), write_run(tmp_path / "baseline", (20,))
    comparison.write_figures(run, baseline)
    lines = [line for axes in drawn[0].axes for line in axes.lines if len(line.get_xdata()) == 1]
    assert len(lines) == 8 and all(line.get_marker() == "." for line in lines)


def test_a_baseline_that_ends_earlier_is_said_before_and_in_the_figures(tmp_path, drawn, capsys):
    run, baseline = write_run(tmp_path / "run", (10, 20), **MIXUP), write_run(tmp_path / "baseline", (5, 10))
    comparison.check_baseline(run, baseline)
    assert f"{baseline}: stands at iteration 10, this run goes to 20; the figures" in capsys.readouterr().out
    comparison.write_figures(run, baseline)
    for title in (drawn[0].get_suptitle(), drawn[1].axes[0].get_title()):
        assert "up to iteration 10 of 20, the last that the baseline has too" in title


def test_runs_without_a_common_iteration_are_refused(tmp_path):
    run, baseline = write_run(tmp_path / "run", (10,)), write_run(tmp_path / "baseline", (20,))
    with pytest.raises(UserError, match="was evaluated at none of the iterations"):
        comparison.write_figures(run, baseline)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"seed": 1}, "it has seed 1 and not 0"),
        ({"learning_rate": 0.1}, "learning_rate 0.1 and not 0.001"),
        ({"trained_on": "b"}, "it has other data"),
        ({"tested_on": "b"}, "it has other data"),
        ({"script": "03_pascal_vgg16"}, "is a run of 03_pascal_vgg16.py, the baseline has to be one of 02_"),
        (MIXUP, "is a run of 06_mixup.py"),
    ],
)
def test_a_baseline_that_differs_in_more_than_the_change_is_refused(tmp_path, other, named):
    run = write_run(tmp_path / "run", (), **MIXUP)
    baseline = write_run(tmp_path / "baseline", (10,), **other)
    with pytest.raises(UserError, match=named):
        comparison.check_baseline(run, baseline)


def test_weights_to_start_from_are_the_same_wherever_they_lie(tmp_path):
    vgg16 = {"network": "vgg16", "init_from": "/data/vgg_16.ckpt", "restore_up_to": "fc7"}
    run = write_run(tmp_path / "run", (), **MIXUP | vgg16)
    tuned = {"script": "04_pascal_vgg16_finetune", "restore_up_to": "fc7"}
    comparison.check_baseline(run, write_run(tmp_path / "a", (10,), **tuned, init_from="vgg_16.ckpt"))
    with pytest.raises(UserError, match="init_from keras and not /data/vgg_16.ckpt"):
        comparison.check_baseline(run, write_run(tmp_path / "b", (10,), **tuned, init_from="keras"))


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    run = write_run(tmp_path / "run", (), **MIXUP)
    for folder in (tmp_path, write_run(tmp_path / "never_evaluated", ())):
        with pytest.raises(UserError, match="is no model directory of an evaluated run"):
            comparison.check_baseline(run, folder)


@pytest.mark.parametrize("text", ["{", '{"settings": {}, "data": {"test": {}}}'])
def test_a_damaged_or_old_config_of_the_baseline_is_one_line(tmp_path, text):
    run = write_run(tmp_path / "run", (), **MIXUP)
    baseline = write_run(tmp_path / "baseline", (10,))
    (baseline / "config.json").write_text(text)
    with pytest.raises(UserError, match="is damaged or an earlier version's"):
        comparison.check_baseline(run, baseline)


def test_a_baseline_that_was_evaluated_at_other_iterations_is_refused_before_training(tmp_path, capsys):
    run = write_run(tmp_path / "run", (), **MIXUP)
    comparison.check_baseline(run, write_run(tmp_path / "one_in_common", (7, 15, 40)))
    assert capsys.readouterr().out == ""
    uneven = write_run(tmp_path / "uneven", (), **MIXUP)
    config = json.loads((uneven / "config.json").read_text())
    config["resumable_settings"]["steps"] = 23  # the last is evaluated too
    (uneven / "config.json").write_text(json.dumps(config))
    comparison.check_baseline(uneven, write_run(tmp_path / "last_in_common", (7, 23, 40)))
    baseline = write_run(tmp_path / "baseline", (7, 14, 40))
    with pytest.raises(UserError, match="was evaluated at none of the iterations that .* will be"):
        comparison.check_baseline(run, baseline)
