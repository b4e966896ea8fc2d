"""The real `main()` of each script, for a few steps on a few drawings."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common import cli
from common.errors import UserError
from common.mixup import mix
from common.run_files import read_config, read_metrics
from common.sample import make_sample
from common.voc_layout import CLASSES

ROOT = Path(__file__).parent.parent


def load(script: str):
    specification = importlib.util.spec_from_file_location(script.removesuffix(".py"), ROOT / script)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look their module up there
    specification.loader.exec_module(module)
    return module


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / script), *map(str, arguments)]


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("sample"), train=16, val=8, test=12)


def test_alexnet_trains_evaluates_and_writes_the_run(voc, tmp_path, capsys):
    script = load("02_pascal_alexnet.py")
    arguments = ["--data_dir", str(voc), "--cache_dir", str(tmp_path / "cache"), "--batch_size", "4"]
    arguments += ["--model_dir", str(tmp_path / "run"), "--eval_every", "2", "--snapshot_steps", "0", "3"]
    metrics = script.main([*arguments, "--steps", "3", "--summary_every", "1"])
    assert metrics["step"] == 3 and 0 < metrics["mAP"] < 1
    assert set(metrics["AP"]) | set(metrics["classes_without_positives"]) == set(CLASSES)
    made = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*")}
    assert made >= {
        "config.json", "metrics.jsonl", "predictions.npz", "checkpoint", "ckpt-3.index",
        "snapshots/conv1_000000.npy", "snapshots/conv1_000003.npy",
        "figures/loss.png", "figures/mAP.png", "figures/ap_per_class.png",
    }  # fmt: skip
    assert [line["step"] for line in read_metrics(tmp_path / "run")] == [2, 3]
    settings = read_config(tmp_path / "run")["settings"]
    assert settings["learning_rate"] == 0.001 and settings["momentum"] == 0.9
    with np.load(tmp_path / "run" / "predictions.npz") as stored:
        assert stored["logits"].shape == (12, 20)
    printed = capsys.readouterr().out
    assert "guessing" in printed and str(tmp_path / "run" / "figures" / "mAP.png") in printed

    again = script.main([*arguments, "--steps", "4", "--summary_every", "1"])
    assert "3 of 4 steps are made, going on" in capsys.readouterr().out
    assert again["step"] == 4


def test_alexnet_defaults_are_the_handouts():
    config = load("02_pascal_alexnet.py").Config()
    assert (config.steps, config.batch_size, config.eval_every) == (40_000, 10, 1_000)
    assert (config.learning_rate, config.decay_steps, config.decay_rate) == (0.001, 10_000, 0.5)
    assert (config.momentum, config.dropout, config.init) == (0.9, 0.5, "gaussian")


def test_a_broken_image_stops_the_run_or_is_left_out_of_training_alone(voc, tmp_path, capsys):
    data = tmp_path / "VOC2007"
    data.mkdir()
    (data / "ImageSets").symlink_to(voc / "ImageSets")
    (data / "JPEGImages").mkdir()
    for jpeg in (voc / "JPEGImages").iterdir():
        (data / "JPEGImages" / jpeg.name).symlink_to(jpeg)
    trainval, test = data / "JPEGImages" / "000001.jpg", data / "JPEGImages" / "000025.jpg"
    trainval.unlink()
    trainval.write_text("not a picture")
    script = load("02_pascal_alexnet.py")
    arguments = ["--data_dir", str(data), "--cache_dir", str(tmp_path / "cache"), "--steps", "1"]
    arguments += ["--model_dir", str(tmp_path / "run"), "--batch_size", "2"]
    with pytest.raises(UserError, match=r"000001\.jpg: is not a JPEG; .*--skip_bad_images"):
        script.main(arguments)
    script.main([*arguments, "--skip_bad_images"])
    assert "left out: 1\n" in capsys.readouterr().err
    assert read_config(tmp_path / "run")["data"]["splits"]["trainval"]["images"] == 23
    test.unlink()
    with pytest.raises(UserError, match=r"000025\.jpg: can't be read"):
        script.main([*arguments, "--skip_bad_images"])


def write_mnist(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for stem, count in (("train", 30), ("t10k", 20)):
        images, labels = (
            rng.integers(0, 256, (count, 28, 28), np.uint8),
            np.arange(count, dtype=np.uint8) % 10,
        )
        for array, kind in ((images, "images-idx3"), (labels, "labels-idx1")):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (folder / f"{stem}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder


def test_mnist_trains_evaluates_and_writes_the_run(tmp_path, capsys):
    script = load("00_mnist.py")
    arguments = ["--data_dir", str(write_mnist(tmp_path / "mnist")), "--model_dir", str(tmp_path / "run")]
    metrics = script.main([*arguments, "--steps", "6", "--eval_every", "2", "--batch_size", "8"])
    assert metrics["step"] == 6 and 0 <= metrics["accuracy"] <= 1
    assert np.sum(metrics["confusion"]) == 20
    lines = read_metrics(tmp_path / "run")
    assert [line["step"] for line in lines] == [2, 4, 6]
    figures = sorted(path.name for path in (tmp_path / "run" / "figures").iterdir())
    assert figures == ["accuracy.png", "confusion.png", "loss.png", "mistakes.png"]
    assert f"test accuracy {metrics['accuracy']:.4f} after 6 iterations" in capsys.readouterr().out


def test_mnist_defaults_are_the_handouts():
    config = load("00_mnist.py").Config()
    assert (config.steps, config.batch_size, config.learning_rate, config.dropout) == (
        20_000,
        100,
        0.001,
        0.4,
    )
    assert config.steps / config.eval_every >= 100


def test_the_small_network_trains_on_pascal(voc, tmp_path, capsys):
    script = load("01_pascal.py")
    arguments = ["--data_dir", str(voc), "--cache_dir", str(tmp_path / "cache"), "--batch_size", "4"]
    arguments += ["--model_dir", str(tmp_path / "run"), "--image_size", "32"]
    metrics = script.main([*arguments, "--steps", "3", "--eval_every", "2"])
    assert metrics["step"] == 3 and 0 < metrics["mAP"] < 1
    assert [line["step"] for line in read_metrics(tmp_path / "run")] == [2, 3]
    assert "guessing" in capsys.readouterr().out


def test_the_small_network_has_task_0s_solver_and_1000_iterations():
    mnist, pascal = load("00_mnist.py").Config(), load("01_pascal.py").Config()
    assert (pascal.steps, pascal.image_size) == (1_000, 256)
    for name in ("batch_size", "learning_rate", "dropout"):
        assert getattr(pascal, name) == getattr(mnist, name)


@pytest.fixture(scope="module")
def vgg16_run(voc, tmp_path_factory):
    """Two iterations of Task 3 at full size; its folder, its final metrics and its arguments."""
    folder = tmp_path_factory.mktemp("vgg16")
    arguments = ["--data_dir", str(voc), "--cache_dir", str(folder / "cache"), "--batch_size", "1"]
    arguments += ["--steps", "2", "--eval_every", "2", "--eval_batch_size", "8"]
    metrics = load("03_pascal_vgg16.py").main([*arguments, "--model_dir", str(folder / "run")])
    return folder / "run", metrics, arguments


def test_vgg16_trains_evaluates_and_writes_the_run(vgg16_run):
    folder, metrics, _ = vgg16_run
    assert metrics["step"] == 2 and 0 < metrics["mAP"] < 1
    assert {"ckpt-2.index", "metrics.jsonl", "predictions.npz"} <= {path.name for path in folder.iterdir()}
    assert sorted(p.name for p in (folder / "figures").iterdir()) == [
        "ap_per_class.png",
        "loss.png",
        "mAP.png",
    ]


def test_fine_tuning_starts_from_the_given_weights(vgg16_run, tmp_path, capsys):
    """With the learning rate 0, the layers up to fc7 end as they were in the other run."""
    folder, _, arguments = vgg16_run
    script = load("04_pascal_vgg16_finetune.py")
    arguments = [*arguments, "--model_dir", str(tmp_path / "run"), "--learning_rate", "0", "--steps", "1"]
    metrics = script.main([*arguments, "--init_from", str(folder)])
    printed = capsys.readouterr().out
    assert metrics["step"] == 1
    assert f"restored from {folder / 'ckpt-2'}: conv1_1, conv1_2, " in printed
    assert "initialised: fc8\n" in printed
    readers = [tf.train.load_checkpoint(tf.train.latest_checkpoint(f)) for f in (folder, tmp_path / "run")]
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
    assert scratch.init == "xavier"  # with Task 2's, which the handout gives it, it can't learn
    assert (tuned.steps, tuned.learning_rate, tuned.decay_steps) == (4_000, 0.0001, 1_000)
    assert (tuned.batch_size, tuned.decay_rate, tuned.momentum) == (10, 0.5, 0.9)
    assert (tuned.init, tuned.restore_up_to) == ("caffe", "fc7")


def test_weights_that_can_not_be_restored_stop_before_training(voc, tmp_path):
    """And the same folder takes the command once it is right: nothing there binds it."""
    wrong = tmp_path / "vgg_16.ckpt"
    arguments = ["--data_dir", str(voc), "--cache_dir", str(tmp_path / "cache")]
    arguments += ["--model_dir", str(tmp_path / "run"), "--init_from", str(wrong)]
    with pytest.raises(UserError, match=f"^{wrong}: does not exist; give --init_from"):
        load("04_pascal_vgg16_finetune.py").main(arguments)
    assert not list((tmp_path / "run").glob("ckpt-*")) and not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("wrong", ["truncated", "missing", "shape", "nothing", "folder"])
def test_wrong_weights_are_one_line_and_exit_code_2(wrong, voc, vgg16_run, tmp_path, capfd):
    if wrong == "folder":
        (tmp_path / "weights").mkdir()
    elif wrong != "nothing":
        reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(vgg16_run[0]))
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
        cli.run(lambda: load("04_pascal_vgg16_finetune.py").main(arguments))
    (line,) = capfd.readouterr().err.splitlines()
    reason = {
        "truncated": "is damaged", "missing": "lacks conv3_2/kernel", "folder": "holds no checkpoint",
        "shape": "conv3_2/bias has the shape (7,)", "nothing": "does not exist",
    }[wrong]  # fmt: skip
    assert exit.value.code == 2 and str(tmp_path / "weights") in line and reason in line


@pytest.fixture(scope="module")
def caffenet_run(voc, tmp_path_factory):
    """Two iterations of Task 2; its folder."""
    folder = tmp_path_factory.mktemp("caffenet")
    arguments = ["--data_dir", str(voc), "--cache_dir", str(folder / "cache"), "--batch_size", "2"]
    arguments += ["--steps", "2", "--snapshot_steps", "0", "1", "--model_dir", str(folder / "run")]
    load("02_pascal_alexnet.py").main(arguments)
    return folder / "run"


def test_mixup_trains_and_is_compared_with_its_baseline(voc, caffenet_run, tmp_path, capsys):
    arguments = ["--data_dir", str(voc), "--cache_dir", str(tmp_path / "cache"), "--batch_size", "2"]
    arguments += ["--steps", "2", "--baseline_dir", str(caffenet_run), "--model_dir", str(tmp_path / "run")]
    metrics = load("06_mixup.py").main(arguments)
    assert metrics["step"] == 2 and 0 < metrics["mAP"] < 1
    assert {"with_baseline.png", "ap_with_baseline.png"} <= {
        path.name for path in (tmp_path / "run" / "figures").iterdir()
    }
    assert "ap_with_baseline.png" in capsys.readouterr().out
    settings = read_config(tmp_path / "run")["settings"]
    assert (settings["learning_rate"], settings["decay_steps"], settings["alpha"]) == (0.001, 10_000, 0.2)
    ours, theirs = read_metrics(tmp_path / "run"), read_metrics(caffenet_run)
    assert ours[0]["train_loss"] != theirs[0]["train_loss"]


def test_mixup_of_the_fine_tuned_vgg16_restores_and_mixes_as_it_is_told(
    voc, vgg16_run, tmp_path, capsys, monkeypatch
):
    folder, _, _ = vgg16_run
    told = []

    def note(*batch, **settings):
        told.append({name: settings[name] for name in ("alpha", "one_share", "seed")})
        return mix(*batch, **settings)

    monkeypatch.setattr("common.mixup.mix", note)
    arguments = ["--data_dir", str(voc), "--cache_dir", str(tmp_path / "cache"), "--eval_batch_size", "8"]
    arguments += ["--network", "vgg16", "--init_from", str(folder), "--batch_size", "2"]
    arguments += ["--learning_rate", "0", "--alpha", "0.7", "--share_per", "batch", "--seed", "5"]
    load("06_mixup.py").main([*arguments, "--steps", "1", "--model_dir", str(tmp_path / "run")])
    assert "initialised: fc8\n" in capsys.readouterr().out
    assert told and all(one == {"alpha": 0.7, "one_share": True, "seed": 5} for one in told)
    readers = [tf.train.load_checkpoint(tf.train.latest_checkpoint(f)) for f in (folder, tmp_path / "run")]
    key = "weights/conv3_2/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    np.testing.assert_array_equal(*(reader.get_tensor(key) for reader in readers))


def test_mixups_solvers_are_those_of_the_networks_own_tasks():
    script = load("06_mixup.py")
    for network, task in (("caffenet", "02_pascal_alexnet.py"), ("vgg16", "04_pascal_vgg16_finetune.py")):
        ours, own = script.complete(script.Config(network=network)), load(task).Config()
        for name in vars(own).keys() & vars(ours).keys():
            assert getattr(ours, name) == getattr(own, name), (network, name)
    assert script.complete(script.Config(steps=7)).steps == 7


@pytest.mark.parametrize("given", [{"init_from": "vgg_16.ckpt"}, {"restore_up_to": "fc6"}])
def test_weights_for_mixup_from_scratch_are_refused(given):
    script = load("06_mixup.py")
    with pytest.raises(UserError, match="--init_from and --restore_up_to: CaffeNet starts from scratch"):
        script.complete(script.Config(**given))


def test_analysis_draws_everything_from_the_weights_of_both_runs(
    voc, caffenet_run, vgg16_run, tmp_path, capsys
):
    arguments = ["--data_dir", str(voc), "--cache_dir", str(tmp_path / "cache"), "--queries", "4"]
    arguments += ["--caffenet", str(caffenet_run), "--vgg", str(vgg16_run[0]), "--output_dir", str(tmp_path)]
    result = load("05_analysis.py").main([*arguments, "--neighbours", "3", "--eval_batch_size", "12"])
    printed = capsys.readouterr().out
    for name in (
        "conv1.png", "neighbours_caffenet_pool5.png", "neighbours_caffenet_fc7.png",
        "neighbours_vgg16_pool5.png", "neighbours_vgg16_fc7.png", "neighbours_shares.png",
        "tsne_caffenet.png", "tsne_vgg16.png", "ap_of_both.png", "examples_caffenet.png",
        "examples_vgg16.png", "analysis.json", "projector",
    ):  # fmt: skip
        assert (tmp_path / name).exists() and f"{tmp_path / name}\n" in printed
    for network, folder in (("caffenet", caffenet_run), ("vgg16", vgg16_run[0])):
        last = read_metrics(folder)[-1]
        assert result["AP"][network]["step"] == last["step"] == 2
        assert result["AP"][network]["AP"] == pytest.approx(last["AP"], abs=1e-6)
    data = "VOC2007 (24 trainval / 12 test images)"
    assert result["titles"]["caffenet"] == f"CaffeNet, iteration 2, {data}"
    assert result["titles"]["vgg16"].startswith("VGG-16 from scratch, iteration 2, ")
    shares = result["neighbours_with_a_class_in_common"]["all"]
    assert shares.keys() == {"CaffeNet pool5", "CaffeNet fc7", "VGG-16 pool5", "VGG-16 fc7"}


def test_analysis_refuses_what_is_no_run_of_the_network_or_has_other_weights_or_data(
    voc, caffenet_run, vgg16_run, tmp_path
):
    script = load("05_analysis.py")
    empty = tmp_path / "empty"
    empty.mkdir()
    untrained = tmp_path / "untrained"
    shutil.copytree(caffenet_run, untrained, ignore=shutil.ignore_patterns("ckpt-*", "checkpoint"))
    other = make_sample(tmp_path / "other", train=4, val=4, test=8)

    def refused(caffenet: Path, vgg: Path, data: Path = voc) -> str:
        arguments = ["--data_dir", str(data), "--cache_dir", str(tmp_path / "cache")]
        arguments += ["--output_dir", str(tmp_path / "out"), "--caffenet", str(caffenet), "--vgg", str(vgg)]
        with pytest.raises(UserError) as error:
            script.main(arguments)
        assert "\n" not in str(error.value) and not (tmp_path / "out").exists()
        return str(error.value)

    assert f"{empty}: is no model directory" in refused(empty, vgg16_run[0])
    assert f"{untrained}: has no checkpoint yet" in refused(untrained, vgg16_run[0])
    assert "is a run of VGG-16 where one of CaffeNet is wanted" in refused(vgg16_run[0], caffenet_run)
    assert "its run had other data, VOC2007" in refused(caffenet_run, vgg16_run[0], other)
    with pytest.raises(UserError, match="give --caffenet and --vgg"):
        script.main(["--data_dir", str(voc)])


@pytest.mark.parametrize("wrong", [["--epochs", "3"], ["--data_dir", "nowhere"]])
def test_user_errors_are_one_line_and_exit_code_2(wrong, tmp_path):
    process = subprocess.run(
        command("02_pascal_alexnet.py", *wrong), cwd=tmp_path, capture_output=True, text=True
    )
    assert process.returncode == 2
    assert len(process.stderr.splitlines()) == 1 and wrong[0] in process.stderr
    assert process.stdout == "" and list(tmp_path.iterdir()) == []


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
        arguments += ["--init_from", str(vgg16_run[0]), "--restore_up_to", "conv5_3"]

    def logits(name: str, seed: int) -> np.ndarray:
        load(script).main([*arguments, "--seed", str(seed), "--model_dir", str(tmp_path / name)])
        with np.load(tmp_path / name / "predictions.npz") as stored:
            return stored["logits"]

    first = logits("first", 3)
    np.testing.assert_array_equal(logits("again", 3), first)
    assert not np.any(logits("other", 4) == first)


@pytest.mark.slow
def test_caffenet_killed_from_outside_ends_bit_for_bit_like_an_uninterrupted_run(voc, tmp_path):
    """60 steps of batch 10 over 24 images, float32; killed once there is a checkpoint and more."""

    def run(name: str) -> list[str]:
        return command(
            "02_pascal_alexnet.py", "--data_dir", voc, "--cache_dir", tmp_path / "cache", "--steps", 60,
            "--eval_every", 20, "--checkpoint_every", 20, "--precision", "float32",
            "--model_dir", tmp_path / name,
        )  # fmt: skip

    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    subprocess.run(run("whole"), check=True, env=environment)
    process = subprocess.Popen(run("killed"), env=environment)
    deadline = time.monotonic() + 300
    while not (tmp_path / "killed" / "ckpt-20.index").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    subprocess.run(run("killed"), check=True, env=environment)
    readers = [tf.train.load_checkpoint(str(tmp_path / name / "ckpt-60")) for name in ("whole", "killed")]
    names = [n for n in readers[0].get_variable_to_shape_map() if n.startswith(("weights", "optimizer"))]
    assert len(names) == 8 * 4 + 1  # kernels and biases of 8 layers, their momentum; the step
    for name in names:
        np.testing.assert_array_equal(readers[0].get_tensor(name), readers[1].get_tensor(name))
