import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from common import run_files
from common.cli import RunOptions, option
from common.errors import UserError
from common.input import Data, Examples


@dataclasses.dataclass(frozen=True)
class Config(RunOptions):
    steps: int = option(100, "iterations", resumable=True)
    learning_rate: float = option(0.001, "of SGD")
    stages: tuple[int, ...] = option((1, 2), "a tuple")
    init_from: str | None = option(None, "weights")


def split(labels: float = 1.0, count: int = 3) -> Examples:
    array = np.full((count, 2), labels, np.float32)
    images = np.zeros((count, 4, 4, 3), np.uint8)
    return Examples("test", images, array, array, [str(i) for i in range(count)], "abc")


def data(test: Examples | None = None) -> Data:
    train = dataclasses.replace(split(), split="trainval")
    return Data("sample", "built-in sample", train, test or split())


def open_run(path, **settings):
    config = Config(model_dir=path, **settings)
    return run_files.open_run(config, "02_pascal_alexnet.py", data(), "float32")


def begin_run(path):
    """A run that has something to lose."""
    open_run(path)
    run_files.append_metrics(path, {"step": 5})


def test_config_holds_settings_data_versions_and_device(tmp_path):
    config = run_files.read_config(open_run(tmp_path / "a" / "run", learning_rate=0.5))
    assert config["settings"] == {
        "script": "02_pascal_alexnet", "seed": 0, "precision": "float32", "skip_bad_images": False,
        "learning_rate": 0.5, "stages": [1, 2], "init_from": None,
    }  # fmt: skip
    assert config["resumable_settings"]["steps"] == 100
    assert config["data"]["name"] == "built-in sample" and config["data"]["splits"]["test"]["images"] == 3
    assert config["environment"]["libraries"].keys() >= {"tensorflow", "keras", "numpy"}
    assert config["environment"]["device"]


def test_default_folder_names_script_data_and_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(open_run(None, seed=7)) == "runs/02_pascal_alexnet-sample-seed7"


def test_more_steps_and_moved_folders_are_the_same_run(tmp_path):
    open_run(tmp_path)
    open_run(tmp_path, steps=200, data_dir="elsewhere", cache_dir=tmp_path / "other")
    assert run_files.read_config(tmp_path)["resumable_settings"]["steps"] == 200


def test_weights_to_start_from_may_have_been_moved(tmp_path):
    run_files.append_metrics(open_run(tmp_path, init_from="vgg_16.ckpt"), {"step": 1})
    open_run(tmp_path, init_from="/data/vgg_16.ckpt")
    with pytest.raises(UserError, match="init_from /data/vgg_16.ckpt became keras"):
        open_run(tmp_path, init_from="keras")


@pytest.mark.parametrize("changed", [{"learning_rate": 0.1}, {"seed": 1}, {"stages": (1,)}])
def test_other_settings_are_another_run(tmp_path, changed):
    begin_run(tmp_path)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(UserError) as refused:
        open_run(tmp_path, **changed)
    assert next(iter(changed)) in str(refused.value) and "--model_dir" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert (tmp_path / "config.json").read_text() == before


@pytest.mark.parametrize("other", [split(labels=0.0), split(count=4)])
def test_other_data_is_another_run(tmp_path, other):
    begin_run(tmp_path)
    with pytest.raises(UserError, match="holds another run: test is other data"):
        run_files.open_run(Config(model_dir=tmp_path), "02_pascal_alexnet.py", data(other), "float32")


def test_a_damaged_config_and_an_unwritable_folder_are_one_line(tmp_path):
    begin_run(tmp_path)
    (tmp_path / "config.json").write_text('{"settings": ')
    with pytest.raises(UserError, match=r"config\.json: can't be read"):
        begin_run(tmp_path)
    with pytest.raises(UserError, match="can't be written"):
        open_run(tmp_path / "config.json" / "below")
    with pytest.raises(UserError, match=r"config\.json: is a file and no folder; give another --model_dir"):
        open_run(tmp_path / "config.json")


def test_another_scripts_run_is_another_run(tmp_path):
    begin_run(tmp_path)
    with pytest.raises(UserError, match="script 02_pascal_alexnet became 03_pascal_vgg16"):
        run_files.open_run(Config(model_dir=tmp_path), "03_pascal_vgg16.py", data(), "float32")


def test_a_folder_where_nothing_was_saved_or_measured_may_be_tried_again(tmp_path):
    open_run(tmp_path, learning_rate=0.1)
    assert run_files.read_config(open_run(tmp_path, learning_rate=0.2))["settings"]["learning_rate"] == 0.2


@pytest.mark.parametrize(("settings", "step"), [({"checkpoint_every": 50}, 60), ({}, 100)])
def test_a_log_whose_checkpoints_are_gone_is_not_replaced(tmp_path, settings, step):
    open_run(tmp_path, **settings)
    run_files.append_metrics(tmp_path, {"step": step})
    with pytest.raises(UserError, match=f"a log of {step} iterations and no checkpoint, .*; .*--fresh"):
        open_run(tmp_path, **settings)


def test_a_run_that_was_killed_before_its_first_checkpoint_may_begin_anew(tmp_path):
    open_run(tmp_path, checkpoint_every=50)
    run_files.append_metrics(tmp_path, {"step": 50})  # comes before the checkpoint of the same step
    open_run(tmp_path, checkpoint_every=50)


@pytest.mark.parametrize(
    "name", ["checkpoint", "events.out.tfevents.1.host", "metrics.jsonl", "vgg_16.ckpt", "model.ckpt-5.index"]
)
def test_a_folder_of_something_else_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("of another program")
    with pytest.raises(UserError, match=f"holds {name}, but no config.json of a run"):
        open_run(tmp_path)
    assert (tmp_path / name).read_text() == "of another program"


def test_a_config_of_another_program_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text('{"model": "bert"}')
    with pytest.raises(UserError, match="config.json: can't be read"):
        open_run(tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"model": "bert"}'


def test_fewer_steps_than_were_made_leave_the_settings_of_the_run_alone(tmp_path):
    open_run(tmp_path, steps=200)
    (tmp_path / "ckpt-200.index").write_bytes(b"index")
    for steps in (100, 200, 300):
        open_run(tmp_path, steps=steps)
        assert run_files.read_config(tmp_path)["resumable_settings"]["steps"] == max(steps, 200)


def test_fresh_takes_a_new_folder_and_leaves_the_old_one_alone(tmp_path):
    first = open_run(tmp_path / "run", fresh=True)
    begin_run(first)
    before = {path: path.read_bytes() for path in first.iterdir()}
    second = open_run(tmp_path / "run", fresh=True, learning_rate=0.5)
    third = open_run(tmp_path / "run", fresh=True)
    assert [path.name for path in (first, second, third)] == ["run", "run-2", "run-3"]
    assert {path: path.read_bytes() for path in first.iterdir()} == before


def test_fresh_beside_the_folder_one_is_in(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert open_run(Path("."), fresh=True) == tmp_path / "here-2"


def test_fresh_is_refused_among_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(run_files, "Replicas", lambda: SimpleNamespace(workers=2))
    with pytest.raises(UserError, match="--fresh can't agree on a folder among several workers; give --mod"):
        open_run(tmp_path / "run", fresh=True)
    assert not (tmp_path / "run").exists()


def test_metrics_are_appended_and_rewound(tmp_path):
    assert run_files.read_metrics(tmp_path) == []
    for step in (5, 10, 15):
        run_files.append_metrics(tmp_path, {"step": step, "mAP": step / 100})
    run_files.rewind_metrics(tmp_path, 10)
    assert run_files.read_metrics(tmp_path) == [{"step": 5, "mAP": 0.05}, {"step": 10, "mAP": 0.1}]


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path):
    run_files.append_metrics(tmp_path, {"step": 5})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 10, "mA')
    assert run_files.read_metrics(tmp_path) == [{"step": 5}]
    run_files.rewind_metrics(tmp_path, 10)
    run_files.append_metrics(tmp_path, {"step": 15})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [5, 15]


def test_predictions_hold_what_average_precision_needs(tmp_path):
    logits = np.arange(6, dtype=np.float32).reshape(3, 2)
    run_files.write_predictions(tmp_path, logits, split(), step=40)
    with np.load(tmp_path / "predictions.npz") as stored:
        np.testing.assert_array_equal(stored["logits"], logits)
        assert stored["labels"].shape == stored["weights"].shape == (3, 2)
        assert stored["ids"].tolist() == ["0", "1", "2"] and stored["step"] == 40
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.npz"]


@pytest.mark.parametrize("damaged", [b'{"st', b"7", b'{"mAP": 1}', b'{"step": "5"}', b'{"step": 5, "\xff'])
def test_a_damaged_line_in_the_middle_is_named_and_nothing_is_lost(tmp_path, damaged):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 5}\n' + damaged + b'\n{"step": 15}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl:2: is damaged"):
        run_files.rewind_metrics(tmp_path, 5)
    assert len(path.read_bytes().splitlines()) == 3


def test_another_precision_is_another_run(tmp_path):
    begin_run(tmp_path)
    with pytest.raises(UserError, match="precision float32 became bfloat16"):
        run_files.open_run(Config(model_dir=tmp_path), "02_pascal_alexnet.py", data(), "bfloat16")


def test_renamed_data_is_the_same_run(tmp_path):
    begin_run(tmp_path)
    run_files.open_run(
        Config(model_dir=tmp_path), "02_pascal_alexnet.py", dataclasses.replace(data(), name="b"), "float32"
    )


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("part", ["labels", "weights", "ids"])
def test_data_that_differ_in_one_thing_alone_are_another_run(tmp_path, part, split):
    begin_run(tmp_path)
    before = data()
    examples = getattr(before, split)
    value = ["x", "1", "2"] if part == "ids" else getattr(examples, part) * 0
    other = dataclasses.replace(before, **{split: dataclasses.replace(examples, **{part: value})})
    with pytest.raises(UserError, match=f"holds another run: {examples.split} is other data"):
        run_files.open_run(Config(model_dir=tmp_path), "02_pascal_alexnet.py", other, "float32")
