"""The real `main()` of the scripts that have to do with VGG-16: Tasks 3 to 6."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from common import analysis, cli, hooks, snapshots, trained
from common.errors import UserError
from common.estimator import Estimator
from common.mixup import mix
from common.questions import QUESTIONS
from common.run_files import read_config, read_metrics
from common.sample import make_sample
from tests.scripts import ROOT, load, load_small, write_mnist


def arguments_of_two_steps(voc: Path, folder: Path) -> list[str]:
    arguments = ["--data_dir", str(voc), "--cache_dir", str(folder / "cache"), "--batch_size", "1"]
    return [*arguments, "--steps", "2", "--eval_every", "2", "--eval_batch_size", "8"]


@pytest.fixture(scope="module")
def vgg16_training(voc, tmp_path_factory) -> tuple[dict[str, Any], Path]:
    """Two iterations of Task 3 on small crops; what it returned, and its folder."""
    folder = tmp_path_factory.mktemp("vgg16")
    arguments = arguments_of_two_steps(voc, folder)
    metrics = load_small("03_pascal_vgg16.py").main([*arguments, "--model_dir", str(folder / "run")])
    return metrics, folder / "run"


@pytest.fixture(scope="module")
def vgg16_run(vgg16_training) -> Path:
    """The folder of those two iterations."""
    return vgg16_training[1]


def assert_trained_evaluated_and_written(metrics: dict[str, Any], folder: Path) -> None:
    assert metrics["step"] == 2 and 0 < metrics["mAP"] < 1
    assert {"ckpt-2.index", "metrics.jsonl", "predictions.npz"} <= {path.name for path in folder.iterdir()}
    assert sorted(p.name for p in (folder / "figures").iterdir()) == [
        "ap_per_class.png",
        "loss.png",
        "mAP.png",
    ]


def test_vgg16_trains_evaluates_and_writes_the_run(vgg16_training):
    assert_trained_evaluated_and_written(*vgg16_training)


@pytest.mark.slow
def test_vgg16_trains_at_full_size(voc, tmp_path):
    arguments = arguments_of_two_steps(voc, tmp_path)
    metrics = load("03_pascal_vgg16.py").main([*arguments, "--model_dir", str(tmp_path / "run")])
    assert_trained_evaluated_and_written(metrics, tmp_path / "run")


def test_fine_tuning_starts_from_the_given_weights(voc, vgg16_run, tmp_path, capsys):
    """With the learning rate 0, the layers up to fc7 end as they were in the other run."""
    script = load_small("04_pascal_vgg16_finetune.py")
    arguments = [*arguments_of_two_steps(voc, tmp_path), "--model_dir", str(tmp_path / "run")]
    arguments += ["--learning_rate", "0", "--steps", "1"]
    metrics = script.main([*arguments, "--init_from", str(vgg16_run)])
    printed = capsys.readouterr().out
    assert metrics["step"] == 1
    assert f"restored from {vgg16_run / 'ckpt-2'}: conv1_1, conv1_2, " in printed
    assert "initialised: fc8\n" in printed
    readers = [tf.train.load_checkpoint(tf.train.latest_checkpoint(f)) for f in (vgg16_run, tmp_path / "run")]
    for layer in ("conv1_1", "conv5_3", "fc7"):
        key = f"weights/{layer}/kernel/.ATTRIBUTES/VARIABLE_VALUE"
        np.testing.assert_array_equal(*(reader.get_tensor(key) for reader in readers))
    fc8 = [reader.get_tensor("weights/fc8/kernel/.ATTRIBUTES/VARIABLE_VALUE") for reader in readers]
    assert not np.array_equal(*fc8) and fc8[1].std() == pytest.approx(0.01, rel=0.05)


def test_vgg16s_solvers_are_the_handouts():
    alexnet, scratch = load("02_pascal_alexnet.py").Config(), load("03_pascal_vgg16.py").Config()
    tuned = load("04_pascal_vgg16_finetune.py").Config()
    for name in ("steps", "batch_size", "learning_rate", "decay_steps", "decay_rate", "momentum", "dropout"):
        assert getattr(scratch, name) == getattr(alexnet, name), name
    assert scratch.init == "xavier"  # Task 2's, which the handout gives it, kills the signal
    assert (tuned.steps, tuned.learning_rate, tuned.decay_steps) == (4_000, 0.0001, 1_000)
    assert (tuned.batch_size, tuned.decay_rate, tuned.momentum) == (10, 0.5, 0.9)
    assert (tuned.init, tuned.restore_up_to) == ("caffe", "fc7")


def test_weights_that_can_not_be_restored_stop_before_training(voc, tmp_path):
    """And the same folder takes the command once it is right: nothing there binds it."""
    wrong = tmp_path / "vgg_16.ckpt"
    arguments = ["--data_dir", str(voc), "--cache_dir", str(tmp_path / "cache")]
    arguments += ["--model_dir", str(tmp_path / "run"), "--init_from", str(wrong)]
    with pytest.raises(UserError, match=f"^{wrong}: does not exist; give --init_from"):
        load_small("04_pascal_vgg16_finetune.py").main(arguments)
    assert not list((tmp_path / "run").glob("ckpt-*")) and not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("wrong", ["truncated", "missing", "shape", "nothing", "folder"])
def test_wrong_weights_are_one_line_and_exit_code_2(wrong, voc, vgg16_run, tmp_path, capfd):
    if wrong == "folder":
        (tmp_path / "weights").mkdir()
    elif wrong != "nothing":
        reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(vgg16_run))
        suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
        names = [name for name in reader.get_variable_to_shape_map() if name.startswith("weights/conv")]
        tensors = {name: reader.get_tensor(name) for name in names}
        if wrong == "missing":
            del tensors[f"weights/conv3_2/kernel{suffix}"]
        if wrong == "shape":
            tensors[f"weights/conv3_2/bias{suffix}"] = np.zeros(7, np.float32)
        tf.raw_ops.Save(
            filename=str(tmp_path / "weights"), tensor_names=list(tensors), data=list(tensors.values())
        )
        if wrong == "truncated":
            content = (tmp_path / "weights").read_bytes()
            (tmp_path / "weights").write_bytes(content[: len(content) // 2])
    arguments = ["--data_dir", str(voc), "--cache_dir", str(tmp_path / "cache"), "--restore_up_to", "conv5_3"]
    arguments += ["--model_dir", str(tmp_path / "run"), "--init_from", str(tmp_path / "weights")]
    capfd.readouterr()
    with pytest.raises(SystemExit) as exit:
        cli.run(lambda: load_small("04_pascal_vgg16_finetune.py").main(arguments))
    (line,) = capfd.readouterr().err.splitlines()
    reason = {
        "truncated": "is damaged", "missing": "lacks conv3_2/kernel", "folder": "holds no checkpoint",
        "shape": "conv3_2/bias has the shape (7,)", "nothing": "does not exist",
    }[wrong]  # fmt: skip
    assert exit.value.code == 2 and str(tmp_path / "weights") in line and reason in line


@pytest.fixture(scope="module")
def caffenet_run(voc, tmp_path_factory):
    """Two iterations of Task 2 on small crops; its folder."""
    folder = tmp_path_factory.mktemp("caffenet")
    arguments = ["--data_dir", str(voc), "--cache_dir", str(folder / "cache"), "--batch_size", "2"]
    arguments += ["--steps", "2", "--snapshot_steps", "0", "1", "--model_dir", str(folder / "run")]
    load_small("02_pascal_alexnet.py").main(arguments)
    return folder / "run"


def test_mixup_trains_and_is_compared_with_its_baseline(
    voc, caffenet_run, small_networks, tmp_path, capsys, monkeypatch
):
    told = []

    def note(*batch, **settings):
        told.append((settings["alpha"], settings["one_share"], settings["seed"]))
        return mix(*batch, **settings)

    monkeypatch.setattr("common.mixup.mix", note)
    arguments = ["--data_dir", str(voc), "--cache_dir", str(tmp_path / "cache"), "--batch_size", "2"]
    arguments += ["--steps", "2", "--baseline_dir", str(caffenet_run), "--model_dir", str(tmp_path / "run")]
    metrics = load("06_mixup.py").main(arguments)
    assert metrics["step"] == 2 and 0 < metrics["mAP"] < 1
    assert set(told) == {(0.2, False, 0)}
    assert {"with_baseline.png", "ap_with_baseline.png"} <= {
        path.name for path in (tmp_path / "run" / "figures").iterdir()
    }
    assert "ap_with_baseline.png" in capsys.readouterr().out
    settings = read_config(tmp_path / "run")["settings"]
    assert (settings["learning_rate"], settings["decay_steps"], settings["alpha"]) == (0.001, 10_000, 0.2)
    ours, theirs = read_metrics(tmp_path / "run"), read_metrics(caffenet_run)
    assert ours[0]["train_loss"] != theirs[0]["train_loss"]
    assert 0 < ours[0]["train_sample_mAP"] < 1 and 0 < theirs[0]["train_sample_mAP"] < 1


def test_mixup_of_the_fine_tuned_vgg16_restores_and_mixes_as_it_is_told(
    voc, vgg16_run, small_networks, tmp_path, monkeypatch
):
    """All of main but the training, which Task 4 has too."""
    told, given = [], {}

    def note(*batch, **settings):
        told.append((settings["alpha"], settings["one_share"], settings["seed"]))
        return mix(*batch, **settings)

    def stop(estimator, train_input, test_input, steps, eval_every, all_hooks):
        given.update(model=estimator.model, input=train_input, hooks=all_hooks)
        (restore,) = [hook for hook in all_hooks if isinstance(hook, hooks.Restore)]
        restore.begin(estimator)
        next(iter(train_input.from_step(0)))
        raise UserError("enough")

    monkeypatch.setattr("common.mixup.mix", note)
    monkeypatch.setattr(Estimator, "train_and_evaluate", stop)
    arguments = ["--data_dir", str(voc), "--cache_dir", str(tmp_path / "cache"), "--seed", "5"]
    arguments += ["--network", "vgg16", "--init_from", str(vgg16_run), "--restore_up_to", "conv5_3"]
    arguments += ["--alpha", "0.7", "--share_per", "batch", "--model_dir", str(tmp_path / "run")]
    with pytest.raises(UserError, match="enough"):
        load("06_mixup.py").main(arguments)
    assert set(told) == {(0.7, True, 5)}
    stored = tf.train.load_checkpoint(tf.train.latest_checkpoint(vgg16_run))
    for layer, restored in (("conv1_1", True), ("conv5_3", True), ("fc7", False)):
        kernel = stored.get_tensor(f"weights/{layer}/kernel/.ATTRIBUTES/VARIABLE_VALUE")
        assert np.array_equal(given["model"].get_layer(layer).kernel.numpy(), kernel) is restored


def test_mixups_solvers_are_those_of_the_networks_own_tasks():
    script = load("06_mixup.py")
    for network, task in (("caffenet", "02_pascal_alexnet.py"), ("vgg16", "04_pascal_vgg16_finetune.py")):
        ours, own = script.complete(script.Config(network=network)), load(task).Config()
        for name in vars(own).keys() & vars(ours).keys():
            assert getattr(ours, name) == getattr(own, name), (network, name)
    assert script.complete(script.Config(steps=7)).steps == 7


def test_mixup_takes_images_as_small_as_the_networks_own_tasks_do():
    script = load("06_mixup.py")
    assert script.complete(script.Config(network="vgg16", image_size=224)).image_size == 224
    assert script.complete(script.Config(network="caffenet", image_size=227)).image_size == 227
    with pytest.raises(UserError, match="--image_size 226: CaffeNet takes crops of 227 pixels"):
        script.complete(script.Config(network="caffenet", image_size=226))
    with pytest.raises(SystemExit):
        script.main(["--image_size", "223"])


def test_mixup_refuses_a_baseline_with_other_settings_before_it_trains(voc, caffenet_run, tmp_path):
    arguments = ["--data_dir", str(voc), "--cache_dir", str(tmp_path / "cache"), "--learning_rate", "0.5"]
    arguments += ["--model_dir", str(tmp_path / "run"), "--baseline_dir", str(caffenet_run)]
    with pytest.raises(UserError, match=f"{caffenet_run}: is no baseline of .* learning_rate .* and not 0.5"):
        load("06_mixup.py").main(arguments)
    assert not list((tmp_path / "run").glob("ckpt-*"))


@pytest.mark.parametrize("given", [{"init_from": "vgg_16.ckpt"}, {"restore_up_to": "fc6"}])
def test_weights_for_mixup_from_scratch_are_refused(given):
    script = load("06_mixup.py")
    with pytest.raises(UserError, match="--init_from and --restore_up_to: CaffeNet starts from scratch"):
        script.complete(script.Config(**given))


def test_analysis_draws_everything_from_the_weights_of_both_runs(
    voc, caffenet_run, vgg16_run, small_networks, tmp_path, capsys, monkeypatch
):
    arguments = ["--data_dir", str(voc), "--cache_dir", str(tmp_path / "cache"), "--queries", "4"]
    arguments += ["--caffenet", str(caffenet_run), "--vgg", str(vgg16_run), "--output_dir", str(tmp_path)]
    arguments += ["--neighbours", "3", "--eval_batch_size", "12", "--tsne_images", "8", "--seed", "5"]
    told = {}

    def noted(function):
        def note(seen, test, *settings):
            told[function.__name__] = (seen, settings)
            return function(seen, test, *settings)

        return note

    for function in (analysis.neighbours, analysis.embed_fc7):
        monkeypatch.setattr(analysis, function.__name__, noted(function))
    result = load("05_analysis.py").main(arguments)
    assert told["neighbours"][1] == (4, 3, 5, tmp_path) and told["embed_fc7"][1] == (8, 5)
    assert len((tmp_path / "projector" / "metadata.tsv").read_text().splitlines()) == 1 + 8
    seen, _ = told["neighbours"]
    extracted = [seen[network].features[layer] for network in seen for layer in ("pool5", "fc7")]
    for number, one in enumerate(extracted):
        assert one.shape[0] == 12 and one.std() > 0
        assert not any(np.array_equal(one, other) for other in extracted[:number])
    printed = capsys.readouterr().out
    for name in (
        "conv1.png", "neighbours_caffenet_pool5.png", "neighbours_caffenet_fc7.png",
        "neighbours_vgg16_pool5.png", "neighbours_vgg16_fc7.png", "neighbours_shares.png",
        "tsne_caffenet.png", "tsne_vgg16.png", "ap_of_both.png", "examples_caffenet.png",
        "examples_vgg16.png", "analysis.json", "projector",
    ):  # fmt: skip
        assert (tmp_path / name).exists() and f"{tmp_path / name}\n" in printed
    for name, folder in (("caffenet", caffenet_run), ("vgg", vgg16_run)):
        assert (tmp_path / result["settings"][name]).resolve() == folder.resolve()
    for network, folder in (("caffenet", caffenet_run), ("vgg16", vgg16_run)):
        last = read_metrics(folder)[-1]
        assert result["AP"][network]["step"] == last["step"] == 2
        assert result["AP"][network]["AP"] == pytest.approx(last["AP"], abs=1e-6)
    data = "VOC, not 2007's split (24 trainval / 12 test images)"
    assert result["titles"]["caffenet"] == f"CaffeNet, iteration 2, {data}"
    assert result["titles"]["vgg16"].startswith("VGG-16 from scratch, iteration 2, ")
    (question,) = [one for one in QUESTIONS if one.script == "05_analysis"]
    assert {*question.figures} == {path.name for path in tmp_path.glob("*.png")}
    shares = result["neighbours_with_a_class_in_common"]["all"]
    assert shares.keys() == {"CaffeNet pool5", "CaffeNet fc7", "VGG-16 pool5", "VGG-16 fc7"}

    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for module, function in ((trained, "load_for"), (snapshots, "read_stages")):
        monkeypatch.setattr(module, function, lambda *arguments: None)  # takes seconds
    monkeypatch.setattr(analysis, "look", has_diverged)
    with pytest.raises(UserError, match="it has diverged"):
        load("05_analysis.py").main(arguments)
    assert {path: path.read_bytes() for path in before} == before


def has_diverged(*arguments: object) -> None:
    raise UserError("it has diverged")


def test_analysis_refuses_what_is_no_run_of_the_network_or_has_other_weights_or_data(
    voc, caffenet_run, vgg16_run, small_networks, tmp_path
):
    script = load("05_analysis.py")
    empty = tmp_path / "empty"
    empty.mkdir()
    untrained = tmp_path / "untrained"
    shutil.copytree(caffenet_run, untrained, ignore=shutil.ignore_patterns("ckpt-*", "checkpoint"))
    other = make_sample(tmp_path / "other", train=4, val=4, test=8)

    def refused(caffenet: Path, vgg: Path, data: Path = voc, *more: str) -> str:
        arguments = ["--data_dir", str(data), "--cache_dir", str(tmp_path / "cache"), *more]
        arguments += ["--output_dir", str(tmp_path / "out"), "--caffenet", str(caffenet), "--vgg", str(vgg)]
        with pytest.raises(UserError) as error:
            script.main(arguments)
        assert "\n" not in str(error.value) and not (tmp_path / "out").exists()
        return str(error.value)

    without_weights, of_other_data = tmp_path / "without_weights", tmp_path / "of_other_data"
    for folder in (without_weights, of_other_data):
        shutil.copytree(vgg16_run, folder, ignore=shutil.ignore_patterns("ckpt-*", "checkpoint"))
    config = read_config(of_other_data)
    config["data"]["splits"]["test"]["sha256"] = "0"
    (of_other_data / "config.json").write_text(json.dumps(config))

    assert f"{empty}: is no model directory" in refused(empty, vgg16_run)
    assert f"{empty}: is no model directory" in refused(caffenet_run, empty)
    assert f"{without_weights}: has no checkpoint yet" in refused(caffenet_run, without_weights)
    assert f"{of_other_data}: its run had other data, VOC2007" in refused(caffenet_run, of_other_data)
    assert f"{untrained}: has no checkpoint yet" in refused(untrained, vgg16_run)
    assert "is a run of VGG-16 where one of CaffeNet is wanted" in refused(vgg16_run, caffenet_run)
    assert "its run had other data, VOC2007" in refused(caffenet_run, vgg16_run, other)
    expected = "12 test images are too few for 12 neighbours and t-SNE"
    assert expected in refused(caffenet_run, vgg16_run, voc, "--neighbours", "12")
    larger = tmp_path / "larger"
    shutil.copytree(caffenet_run, larger, ignore=shutil.ignore_patterns("ckpt-*", "checkpoint"))
    config = read_config(larger)
    config["settings"]["image_size"] = 300
    (larger / "config.json").write_text(json.dumps(config))
    expected = f"the runs had images of different sizes: {larger} 300, {vgg16_run} 256 pixels"
    assert expected in refused(larger, vgg16_run)
    with pytest.raises(UserError, match="give --caffenet and --vgg"):
        script.main(["--data_dir", str(voc)])


@pytest.mark.slow
@pytest.mark.parametrize("task", ["00", "01", "02", "03", "04", "06"])
def test_the_same_seed_gives_the_same_numbers_and_another_one_others(task, voc, vgg16_run, tmp_path):
    (script,) = (path.name for path in ROOT.glob(f"{task}_*.py"))
    arguments = [
        "--data_dir",
        str(write_mnist(tmp_path / "mnist") if task == "00" else voc),
        "--batch_size",
        "2",
    ]
    arguments += ["--steps", "2", "--eval_batch_size", "8", "--checkpoint_every", "100"]
    if task != "00":
        arguments += ["--cache_dir", str(tmp_path / "cache")]
    if task == "01":
        arguments += ["--image_size", "32"]
    if task == "04":
        arguments += ["--init_from", str(vgg16_run), "--restore_up_to", "conv5_3"]

    def logits(name: str, seed: int) -> np.ndarray:
        load(script).main([*arguments, "--seed", str(seed), "--model_dir", str(tmp_path / name)])
        with np.load(tmp_path / name / "predictions.npz") as stored:
            return stored["logits"]

    first = logits("first", 3)
    np.testing.assert_array_equal(logits("again", 3), first)
    assert not np.any(logits("other", 4) == first)
