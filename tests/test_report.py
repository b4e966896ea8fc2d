"""The page of the report, made from runs of tiny networks."""

import base64
import html.parser
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from common import command_line, report, run_files
from common.errors import UserError
from common.questions import QUESTIONS


def write_run(folder: Path, script: str, **settings) -> Path:
    folder.mkdir(parents=True)
    config = {
        "settings": {"script": script, "seed": 0, "precision": "float32", "batch_size": 10, **settings},
        "resumable_settings": {"steps": 20},
        "data": {"name": "noise <&>", "splits": {"trainval": {"images": 20}, "test": {"images": 10}}},
        "environment": {"device": "a box", "python": "3.12", "libraries": {"tensorflow": "2.21.0"}},
    }
    (folder / "config.json").write_text(json.dumps(config))
    for step in (10, 20):
        line = {"step": step, "train_loss": 0.3, "test_loss": 0.4, "images_per_second": 50.0}
        run_files.append_metrics(folder, line | {"mAP": step / 100, "AP": {"cat": 0.125, "dog": 0.5}})
    (folder / "figures").mkdir()
    Image.new("RGB", (4, 3), "red").save(folder / "figures" / "mAP.png")
    return folder


class Page(html.parser.HTMLParser):
    """Pictures and text of a page; refuses what would be fetched from elsewhere."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.pictures.append(dict(attributes)["src"])
            assert self.pictures[-1].startswith("data:image/png;base64,")
        assert not {"href", "srcset"} & dict(attributes).keys() and tag not in ("script", "link", "iframe")

    def handle_data(self, data):
        self.text += data


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
    command = "python 02_pascal_alexnet.py --data_dir $DATA_DIR --precision float32 --steps 20"
    assert re.sub(r"\s+", " ", page.text).count(command) == 1
    for part in ("small", "0.2000", "AP cat", "0.125", "0.5", "noise <&>", "a box", "TensorFlow 2.21.0"):
        assert part in page.text
    assert page.text.count("No run yet") == len(QUESTIONS) - 1
    (picture,) = page.pictures
    content = base64.b64decode(picture.removeprefix("data:image/png;base64,"))
    assert content == (tmp_path / "runs" / "small" / "figures" / "mAP.png").read_bytes()


def test_a_folder_may_be_a_run_or_hold_runs(tmp_path):
    write_run(tmp_path / "runs" / "a", "02_pascal_alexnet")
    write_run(tmp_path / "runs" / "b", "02_pascal_alexnet", seed=1)
    alone = write_run(tmp_path / "c", "03_pascal_vgg16")
    assert [run.name for run in report.find_runs([tmp_path / "runs", alone])] == ["a", "b", "c"]


def test_an_analysis_is_shown_with_its_shares_and_figures(tmp_path):
    folder = tmp_path / "runs" / "05_analysis"
    folder.mkdir(parents=True)
    shares = {"CaffeNet fc7": {"euclidean": 0.25, "cosine": 0.375}}
    result = {
        "runs": {"caffenet": "scratch-seed0", "vgg16": "tuned-seed0"},
        "AP": {"caffenet": {"step": 600, "mAP": 0.625}, "vgg16": {"step": 400, "mAP": 0.75}},
        "neighbours_with_a_class_in_common": {"all": shares, "shown": shares},
    }
    (folder / "analysis.json").write_text(json.dumps(result))
    Image.new("RGB", (4, 3)).save(folder / "tsne_vgg16.png")
    page = Page(report.write_report([tmp_path / "runs"], tmp_path / "report.html"))
    for part in ("scratch-seed0", "0.6250", "0.375"):
        assert part in page.text
    assert len(page.pictures) == 1


def test_a_run_that_has_not_ended_is_shown_without_figures_and_says_so(tmp_path):
    run = write_run(tmp_path / "run", "02_pascal_alexnet")
    assert "the same command goes on" not in Page(report.write_report([run], tmp_path / "a.html")).text
    (run / "figures" / "mAP.png").unlink()
    assert "the same command goes on" in Page(report.write_report([run], tmp_path / "b.html")).text


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
    assert command_line.command_of(config) == f"python 02_pascal_alexnet.py --data_dir $DATA_DIR{command}"


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
    assert command_line.command_of(config) == command


def test_a_run_of_an_earlier_version_is_left_out_and_named(tmp_path, capsys):
    run = write_run(tmp_path / "runs" / "old", "02_pascal_alexnet")
    config = json.loads((run / "config.json").read_text())
    del config["settings"]["script"]
    (run / "config.json").write_text(json.dumps(config))
    assert report.find_runs([tmp_path / "runs"]) == []
    assert "old: left out" in capsys.readouterr().err
