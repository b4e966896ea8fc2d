"""The page of the report, made from runs of tiny networks."""

import base64
import html.parser
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common import command_line, figures, report, run_files
from common.errors import UserError
from common.questions import QUESTIONS

NAME = "noise <b>x</b> &amp;"  # a page that doesn't escape it shows something else


def write_run(folder: Path, script: str, ap_cat: float = 0.125, sampled: bool = True, **settings) -> Path:
    folder.mkdir(parents=True)
    config = {
        "settings": {"script": script, "seed": 0, "precision": "float32", "batch_size": 10, **settings},
        "resumable_settings": {"steps": 20, "summary_every": 10},
        "data": {"name": NAME, "splits": {"trainval": {"images": 20}, "test": {"images": 10}}},
        "environment": {"device": "a box", "python": "3.12", "libraries": {"tensorflow": "2.21.0"}},
    }
    (folder / "config.json").write_text(json.dumps(config))
    for step in (10, 20):
        line = {"step": step, "train_loss": 0.3, "test_loss": 0.4, "images_per_second": 50.0}
        scores = {"mAP": step / 100, "mAP_11point": step / 90, "mAP_guessing": 0.1}
        scores |= {"train_sample_mAP": step / 50} if sampled else {}
        by_class = {"AP": {"cat": ap_cat, "dog": 0.5}, "AP_guessing": {"cat": 0.1, "dog": 0.1}}
        run_files.append_metrics(folder, line | scores | by_class)
    return folder


class Page(html.parser.HTMLParser):
    """Pictures, text and rows of tables of a page; refuses what would be fetched from elsewhere."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.pictures: list[Image.Image] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            kind, content = re.fullmatch(
                r"data:image/(png|jpeg);base64,([\w+/=]+)", dict(attributes)["src"]
            ).groups()
            self.pictures.append(Image.open(io.BytesIO(base64.b64decode(content))))
            assert self.pictures[-1].format == kind.upper()
        assert not {"href", "srcset"} & dict(attributes).keys() and tag not in ("script", "link", "iframe")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data


def test_every_question_has_a_section_and_says_how_to_make_a_run_that_is_not_there(tmp_path):
    (tmp_path / "runs").mkdir()
    page = Page(report.write_report([tmp_path / "runs"], tmp_path / "out" / "report.html"))
    for question in QUESTIONS:
        assert question.title in page.text
        assert f"python {question.script}.py --data_dir " in page.text
    assert page.text.count("No run yet") == len(QUESTIONS) and page.pictures == []


def test_a_run_has_its_command_table_figures_settings_time_and_machine(tmp_path):
    write_run(tmp_path / "runs" / "small", "02_pascal_alexnet", learning_rate=0.5)
    page = Page(report.write_report([tmp_path / "runs"], tmp_path / "report.html"))
    command = (
        "02_pascal_alexnet.py --data_dir $DATA_DIR --precision float32 --summary_every 10 --steps 20 "
        "--learning_rate 0.5"
    )
    assert re.sub(r"\s+", " ", page.text).count(f"python {command} --model_dir runs/small") == 1
    for part in ("small", "0.2000", "AP cat", "0.125", "0.5", NAME, "a box", "TensorFlow 2.21.0"):
        assert part in page.text
    assert page.text.count("No run yet") == len(QUESTIONS) - 1
    assert len(page.pictures) == 3  # loss, mAP, AP per class, drawn from its log


def test_runs_of_a_question_stand_side_by_side_below_their_names(tmp_path):
    write_run(tmp_path / "runs" / "one", "02_pascal_alexnet", ap_cat=0.25)
    write_run(tmp_path / "runs" / "two", "02_pascal_alexnet", ap_cat=0.75, seed=1)
    rows = Page(report.write_report([tmp_path / "runs"], tmp_path / "report.html")).rows
    assert rows[0] == ["", "one", "two"] and ["AP cat", "0.250", "0.750"] in rows
    assert rows[1:3] == [["data", *[f"{NAME} (20 trainval / 10 test images)"] * 2], ["seed", "0", "1"]]
    assert ["mAP of a sample of the training images", "0.4000", "0.4000"] in rows


def test_runs_on_other_data_and_with_other_settings_are_told_apart(tmp_path):
    write_run(tmp_path / "runs" / "fine", "06_mixup", network="vgg16", init_from="keras")
    demo = write_run(tmp_path / "runs" / "sample", "06_mixup", network="caffenet", learning_rate=0.5)
    config = json.loads((demo / "config.json").read_text())
    config["data"] = {"name": "built-in sample", "splits": {"test": {"images": 7}}}
    (demo / "config.json").write_text(json.dumps(config))
    rows = Page(report.write_report([tmp_path / "runs"], tmp_path / "report.html")).rows
    assert rows[:6] == [
        ["", "fine", "sample"],
        ["data", f"{NAME} (20 trainval / 10 test images)", "built-in sample (7 test images)"],
        ["network", "vgg16", "caffenet"],
        ["init_from", "keras", ""],
        ["learning_rate", "", "0.5"],
        ["iterations", "20", "20"],
    ]


def test_a_single_run_says_what_it_did_otherwise_than_its_script(tmp_path):
    write_run(tmp_path / "run", "04_pascal_vgg16_finetune", learning_rate=0.001, restore_up_to="fc7", seed=0)
    rows = Page(report.write_report([tmp_path / "run"], tmp_path / "report.html")).rows
    assert [row[0] for row in rows[:4]] == ["", "data", "learning_rate", "iterations"]
    assert rows[2] == ["learning_rate", "0.001"]


def test_mnist_has_its_accuracy_after_20_000_iterations_also_when_it_went_on(tmp_path):
    for name, steps in (("whole", (20_000, 30_000)), ("short", (10_000,))):
        run = write_run(tmp_path / name, "00_mnist")
        (run / "metrics.jsonl").unlink()
        for step in steps:
            line = {"step": step, "train_loss": 0.3, "test_loss": 0.4, "images_per_second": 50.0}
            line |= {"accuracy": step / 40_000, "confusion": [[1, 2], [3, 4]]}
            run_files.append_metrics(run, line)
    rows = Page(report.write_report([tmp_path / "whole", tmp_path / "short"], tmp_path / "x.html")).rows
    assert ["test accuracy after 20,000", "0.5000", ""] in rows
    assert ["test accuracy", "0.7500", "0.2500"] in rows


def test_a_run_with_mixup_stands_beside_the_baseline_that_it_was_compared_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "runs" / "mixed", "06_mixup", network="caffenet")
    ours, theirs = (
        {"step": 20, "mAP": score, "mAP_guessing": 0.1, "AP": {"cat": score}, "AP_guessing": {"cat": 0.05}}
        for score in (0.5, 0.75)
    )
    compared = {"name": "plain one", "mixup": ours, "baseline": theirs}
    (run / "comparison.json").write_text(json.dumps(compared))
    page = Page(report.write_report([tmp_path / "runs"], tmp_path / "report.html"))
    head = page.rows.index(["", "mixed, iteration 20", "plain one, iteration 20", "gain", "guessing"])
    assert page.rows[head + 1] == ["mAP", "0.500", "0.750", "-0.250", "0.100"]
    assert page.rows[head + 2] == ["AP cat", "0.500", "0.750", "-0.250", "0.050"]
    assert "--baseline_dir RUN_OF_TASK_2 --model_dir runs/mixed" in page.text  # it isn't beside the run
    write_run(tmp_path / "runs" / "plain one", "02_pascal_alexnet")
    (mixed, _) = report.find_runs([tmp_path / "runs"])
    assert "--baseline_dir 'runs/plain one' --model_dir runs/mixed" in mixed.command
    for damaged in ("{", "[]", "{}"):
        (run / "comparison.json").write_text(damaged)
        with pytest.raises(UserError, match=r"comparison\.json: is damaged; remove it"):
            report.find_runs([tmp_path / "runs"])


def test_a_score_that_an_earlier_version_did_not_take_is_left_empty(tmp_path):
    write_run(tmp_path / "one", "02_pascal_alexnet")
    write_run(tmp_path / "two", "02_pascal_alexnet", sampled=False, seed=1)
    page = Page(report.write_report([tmp_path / "one", tmp_path / "two"], tmp_path / "both.html"))
    assert ["mAP of a sample of the training images", "0.4000", ""] in page.rows
    assert (
        "mAP of a sample of the training images"
        not in Page(report.write_report([tmp_path / "two"], tmp_path / "old.html")).text
    )


def test_the_time_is_that_of_the_iterations_at_their_rates(tmp_path):
    run = write_run(tmp_path / "run", "02_pascal_alexnet")
    rates = [(600, 10.0), (1_200, 5.0)]  # 600 iterations of 10 images at 10 a second, then at 5 a second
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    (run / "metrics.jsonl").unlink()
    for line, (step, rate) in zip(lines, rates, strict=True):
        run_files.append_metrics(run, {**line, "step": step, "images_per_second": rate})
    assert "30.0 minutes of training" in Page(report.write_report([run], tmp_path / "report.html")).text


def test_a_folder_may_be_a_run_or_hold_runs(tmp_path):
    write_run(tmp_path / "runs" / "a", "02_pascal_alexnet")
    write_run(tmp_path / "runs" / "b", "02_pascal_alexnet", seed=1)
    alone = write_run(tmp_path / "c", "03_pascal_vgg16")
    assert [run.name for run in report.find_runs([tmp_path / "runs", alone])] == ["a", "b", "c"]


def write_analysis(folder: Path) -> Path:
    folder.mkdir(parents=True)
    shares = {"CaffeNet fc7": {"euclidean": 0.25, "cosine": None}}
    guessing = {"mAP_guessing": 0.125, "AP_guessing": {"cat": 0.2, "dog": 0.05}}
    result = {
        "settings": {"script": "05_analysis", "caffenet": "../a", "vgg": "../b", "queries": 7},
        "resumable_settings": {},
        "data": {"name": "VOC2007", "splits": {"test": {"images": 10}}},
        "environment": {"device": "a box", "python": "3.12", "libraries": {"tensorflow": "2.21.0"}},
        "seconds": 90,
        "titles": {"caffenet": "CaffeNet, iteration 600", "vgg16": "fine-tuned VGG-16, iteration 400"},
        "AP": {
            "caffenet": {"mAP": 0.4, "AP": {"cat": 0.5, "dog": 0.3}, **guessing},
            "vgg16": {"mAP": 0.65, "AP": {"cat": 0.7, "dog": 0.6}, **guessing},
        },
        "neighbours_with_a_class_in_common": {
            "all": shares,
            "shown": {"CaffeNet fc7": dict.fromkeys(shares["CaffeNet fc7"], 0.5)},
            "at random": 0.125,
        },
    }
    (folder / "analysis.json").write_text(json.dumps(result))
    Image.new("RGB", (4, 3)).save(folder / "tsne_vgg16.png")
    return folder


def test_an_analysis_is_shown_with_its_command_gains_shares_and_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_analysis(tmp_path / "runs" / "05_analysis")
    (tmp_path / "runs" / "a").mkdir()
    (tmp_path / "runs" / "a" / "checkpoint").touch()
    page = Page(report.write_report([tmp_path / "runs"], tmp_path / "report.html"))
    command = "05_analysis.py --data_dir $DATA_DIR --caffenet runs/a --vgg runs/b --queries 7 "
    assert f"python {command}--output_dir runs/05_analysis" in page.text
    assert "VOC, not 2007's split (10 test images); 1.5 minutes on a box" in page.text
    titles = ["fine-tuned VGG-16, iteration 400", "CaffeNet, iteration 600"]
    head = page.rows.index(["", *titles, "gain", "guessing"])
    assert page.rows[head + 1 : head + 4] == [
        ["mAP", "0.650", "0.400", "+0.250", "0.125"],
        ["AP dog", "0.600", "0.300", "+0.300", "0.050"],
        ["AP cat", "0.700", "0.500", "+0.200", "0.200"],
    ]
    head = page.rows.index(["neighbours with a class in common", "metric", "shown", "all test images"])
    assert page.rows[head + 1 : head + 4] == [
        ["CaffeNet fc7", "euclidean", "0.500", "0.250"],
        ["CaffeNet fc7", "cosine", "0.500", "unknown"],
        ["two images at random", "", "", "0.125"],
    ]
    assert len(page.pictures) == 1


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"titles": {}, "AP": {"vgg16": 3, "caffenet": 4}}'])
def test_a_damaged_analysis_is_left_out_and_named(tmp_path, capsys, content):
    folder = write_analysis(tmp_path / "runs" / "05_analysis")
    (folder / "analysis.json").write_text(content)
    page = Page(report.write_report([tmp_path / "runs"], tmp_path / "report.html"))
    assert capsys.readouterr().err.startswith(f"{folder}: left out")
    assert page.text.count("No run yet") == len(QUESTIONS)


def test_a_run_that_has_not_ended_says_so_and_shows_no_figure_that_it_drew_before(tmp_path):
    run = write_run(tmp_path / "run", "06_mixup", network="caffenet")
    (run / "figures").mkdir()
    Image.new("RGB", (4, 3)).save(run / "figures" / "with_baseline.png")
    ended = Page(report.write_report([run], tmp_path / "a.html"))
    assert "Not here: ap_with_baseline.png, training.png; the command above draws them." in ended.text
    assert "not ended" not in ended.text and (4, 3) in [picture.size for picture in ended.pictures]
    config = json.loads((run / "config.json").read_text())
    config["resumable_settings"]["steps"] = 5_000
    (run / "config.json").write_text(json.dumps(config))
    going_on = Page(report.write_report([run], tmp_path / "b.html"))
    assert "20 of 5,000, not ended" in going_on.text and "the same command goes on" in going_on.text
    assert len(going_on.pictures) == len(ended.pictures) - 1 and "Not here" not in going_on.text


def test_a_run_too_short_for_the_figure_of_the_training_does_not_promise_it(tmp_path):
    run = write_run(tmp_path / "run", "03_pascal_vgg16")
    promise = "Not here: training.png; the command above draws them."
    assert promise in Page(report.write_report([run], tmp_path / "a.html")).text
    config = json.loads((run / "config.json").read_text())
    config["resumable_settings"]["summary_every"] = 21
    (run / "config.json").write_text(json.dumps(config))
    assert "Not here" not in Page(report.write_report([run], tmp_path / "b.html")).text


def test_the_command_goes_on_in_the_runs_folder_or_makes_a_run_of_which_only_the_log_is_kept(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "a b", "02_pascal_alexnet")
    (tmp_path / "runs" / "a b" / "checkpoint").touch()
    write_run(tmp_path / "logs" / "c", "02_pascal_alexnet")
    here, log = (report.find_runs([Path(folder)])[0] for folder in ("runs", "logs"))
    assert here.command.endswith("--steps 20 --model_dir 'runs/a b'")
    assert log.command.endswith("--steps 20 --model_dir runs/c")


def test_a_large_picture_becomes_a_jpeg(tmp_path):
    run = write_run(tmp_path / "run", "06_mixup", network="caffenet")
    (run / "figures").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (600, 500, 3), np.uint8)
    Image.fromarray(noise).save(run / "figures" / "with_baseline.png")
    pictures = Page(report.write_report([run], tmp_path / "report.html")).pictures
    assert [picture.size for picture in pictures if picture.format == "JPEG"] == [(500, 600)]


def test_the_committed_results_make_a_page(tmp_path, monkeypatch):
    """Those of today's version; `find_runs` leaves out the others, and says so."""
    monkeypatch.setattr(figures, "save", lambda figure, path: Image.new("RGB", (4, 3)).save(path) or path)
    results = command_line.ROOT / "results"
    runs = {run.name: run for run in report.find_runs([results])}
    page = Page(report.write_report([results], tmp_path / "report.html"))
    assert all(name in page.text for name in runs) and len(page.pictures) >= 3 * len(runs)
    assert all(run.has_ended for run in runs.values())
    assert runs["demo"].command.startswith("DATA_DIR= python 02_pascal_alexnet.py ")
    tuned = "--learning_rate 0.001 --init_from vgg_16.ckpt --restore_up_to conv5_3 --model_dir runs/vgg16"
    assert tuned in runs["vgg16-finetuned-1e-3"].command


def test_a_missing_folder_and_a_damaged_run_are_one_line(tmp_path):
    with pytest.raises(UserError, match="nowhere: is not a folder"):
        report.write_report([tmp_path / "nowhere"], tmp_path / "report.html")
    run = write_run(tmp_path / "runs" / "a", "02_pascal_alexnet")
    (run / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config\.json: can't be read"):
        report.write_report([tmp_path / "runs"], tmp_path / "report.html")


def test_the_command_line_writes_the_page_and_says_where(tmp_path, capsys):
    write_run(tmp_path / "runs" / "a", "02_pascal_alexnet")
    report.main([str(tmp_path / "runs"), "-o", str(tmp_path / "page.html")])
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'page.html'}: ")


@pytest.mark.parametrize(
    ("settings", "resumable", "command"),
    [
        ({"learning_rate": 0.001, "precision": "bfloat16"}, {"steps": 40_000}, " --precision bfloat16"),
        ({"seed": 3, "init": "xavier"}, {"steps": 6_000}, " --seed 3 --steps 6000 --init xavier"),
        ({"skip_bad_images": True}, {"snapshot_steps": [0, 5]}, " --skip_bad_images --snapshot_steps 0 5"),
    ],
)
def test_a_runs_command_names_what_differs_from_the_scripts_defaults(settings, resumable, command):
    settings = {"script": "02_pascal_alexnet", **settings}
    config = {"settings": settings, "resumable_settings": resumable, "data": {"name": "VOC2007"}}
    expected = f"python 02_pascal_alexnet.py --data_dir $DATA_DIR{command} --model_dir runs/x"
    assert command_line.command_of(config, "runs/x") == expected


@pytest.mark.parametrize(
    ("script", "name", "command"),
    [
        ("00_mnist", "MNIST", "python 00_mnist.py --data_dir FOLDER_OF_THE_FOUR_FILES"),
        ("00_mnist", "scikit-learn's digits, enlarged (not MNIST)", "python 00_mnist.py"),
        ("02_pascal_alexnet", "built-in sample", "DATA_DIR= python 02_pascal_alexnet.py"),
    ],
)
def test_a_runs_command_names_its_data_and_never_starts_afresh(script, name, command):
    config = {"settings": {"script": script}, "resumable_settings": {"fresh": True}, "data": {"name": name}}
    assert command_line.command_of(config, "runs/x") == f"{command} --model_dir runs/x"


@pytest.mark.parametrize(("network", "task"), [("caffenet", "TASK_2"), ("vgg16", "TASK_4")])
def test_the_command_of_mixup_wants_its_baseline(network, task):
    settings = {"script": "06_mixup", "network": network}
    config = {"settings": settings, "resumable_settings": {}, "data": {"name": "VOC2007"}}
    assert f" --baseline_dir RUN_OF_{task} " in command_line.command_of(config, "runs/x")


def test_a_run_that_was_not_evaluated_yet_is_left_out_and_named(tmp_path, capsys):
    run = write_run(tmp_path / "runs" / "young", "02_pascal_alexnet")
    (run / "metrics.jsonl").unlink()
    report.write_report([tmp_path / "runs"], tmp_path / "report.html")
    written = capsys.readouterr()
    assert f"{run}: left out, it wasn't evaluated yet\n" in written.err
    assert written.out.startswith(f"{tmp_path / 'report.html'}: 0.0 MB, of 0 runs and 0 analyses")


def test_a_run_of_an_earlier_version_is_left_out_and_named(tmp_path, capsys):
    run = write_run(tmp_path / "runs" / "old", "02_pascal_alexnet")
    config = json.loads((run / "config.json").read_text())
    del config["settings"]["script"]
    (run / "config.json").write_text(json.dumps(config))
    assert report.find_runs([tmp_path / "runs"]) == []
    assert "old: left out" in capsys.readouterr().err
