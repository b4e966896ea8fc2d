"""The real `main()` of the scripts of Tasks 0 to 2, for a few steps on a few drawings."""

import os
import signal
import subprocess
import time

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.run_files import read_config, read_metrics
from common.voc_layout import CLASSES
from tests.scripts import command, load, load_small, write_mnist


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
    script = load_small("02_pascal_alexnet.py")
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


def test_mnist_trains_evaluates_and_writes_the_run(tmp_path, capsys):
    script = load("00_mnist.py")
    arguments = ["--data_dir", str(write_mnist(tmp_path / "mnist")), "--model_dir", str(tmp_path / "run")]
    metrics = script.main([*arguments, "--steps", "6", "--eval_every", "2", "--batch_size", "8"])
    assert metrics["step"] == 6
    assert all(0 <= metrics[name] <= 1 for name in ("accuracy", "train_sample_accuracy"))
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


@pytest.mark.parametrize("wrong", [["--epochs", "3"], ["--data_dir", "nowhere"]])
def test_user_errors_are_one_line_and_exit_code_2(wrong, tmp_path):
    process = subprocess.run(
        command("02_pascal_alexnet.py", *wrong), cwd=tmp_path, capture_output=True, text=True
    )
    assert process.returncode == 2
    assert len(process.stderr.splitlines()) == 1 and wrong[0] in process.stderr
    assert process.stdout == "" and list(tmp_path.iterdir()) == []


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
