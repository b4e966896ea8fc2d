"""Several devices and several processes against one, on the tiny run."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

from common import distribution, networks
from common.errors import UserError
from common.run_files import read_metrics
from common.sample import make_sample

ROOT = Path(__file__).parent.parent


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def run_python(*arguments: object, tf_config: dict | None = None) -> subprocess.Popen:
    environment = {**os.environ} | ({"TF_CONFIG": json.dumps(tf_config)} if tf_config else {})
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True
    )


def start(model_dir: Path, steps: int, *arguments: object, tf_config: dict | None = None) -> subprocess.Popen:
    return run_python("-m", "tests.tiny_run", model_dir, steps, *arguments, tf_config=tf_config)


def configs_of_two() -> list[dict]:
    """TF_CONFIG of each of two workers on this machine."""
    hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
    return [{"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}} for index in range(2)]


def start_two(
    model_dir: Path, steps: int, *arguments: object, more: Sequence[Sequence[object]] = ((), ())
) -> list[subprocess.Popen]:
    """Two workers; `more` is what each alone is given."""
    return [
        start(model_dir, steps, "--strategy", "multiworker", *arguments, *own, tf_config=tf_config)
        for tf_config, own in zip(configs_of_two(), more, strict=True)
    ]


def finish(*processes: subprocess.Popen, seconds: int = 120) -> list[str]:
    ended = [process.communicate(timeout=seconds) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), ended
    return [out for out, _ in ended]


def weights_of(model_dir: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(model_dir)))
    names = [n for n in reader.get_variable_to_shape_map() if n.startswith(("weights/", "optimizer/"))]
    return {name: reader.get_tensor(name) for name in names}


def gradient_ends_of(model_dir: Path) -> dict[int, np.ndarray]:
    """{step: smallest and largest entry} of fc8's gradient, as TensorBoard has it."""
    events = EventAccumulator(str(model_dir), size_guidance={TENSORS: 0})
    events.Reload()
    histograms = {e.step: tf.make_ndarray(e.tensor_proto) for e in events.Tensors("gradients/fc8/kernel")}
    return {step: np.array([bins[0, 0], bins[-1, 1]]) for step, bins in histograms.items()}


def assert_alike(one: Path, other: Path) -> None:
    """Losses, scores and final weights to 1e-4 relative, gradients to 1e-3."""
    gradients, expected = gradient_ends_of(one), gradient_ends_of(other)
    assert len(gradients) > 1 and gradients.keys() == expected.keys()
    for step, ends in gradients.items():
        np.testing.assert_allclose(ends, expected[step], rtol=1e-3, err_msg=str(step))
    lines, others = read_metrics(one), read_metrics(other)
    assert [line["step"] for line in lines] == [line["step"] for line in others]
    for line, expected in zip(lines, others, strict=True):
        for name in ("train_loss", "test_loss", "mAP", "train_sample_mAP"):
            assert line[name] == pytest.approx(expected[name], rel=1e-4), (line["step"], name)
    ours, theirs = weights_of(one), weights_of(other)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        scale = np.abs(theirs[name]).max()
        np.testing.assert_allclose(array, theirs[name], rtol=0, atol=1e-4 * scale, err_msg=name)


def test_two_devices_equal_one(half, tmp_path):
    finish(start(tmp_path, 30, "--strategy", "mirrored", "--cpus", 2))
    assert_alike(tmp_path, half)


@pytest.mark.slow
def test_two_processes_equal_one_and_the_first_alone_writes(half, tmp_path):
    first, second = finish(*start_two(tmp_path, 30))
    assert_alike(tmp_path, half)
    assert "step     30" in first and "step" not in second
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1


@pytest.mark.slow
def test_every_device_and_every_worker_starts_with_given_weights(tmp_path):
    """The gradient of conv1 at the first step is that of its given weights, on each of them."""
    finish(start(tmp_path / "given", 10))
    given = ["--init_from", tmp_path / "given"]
    finish(start(tmp_path / "one", 15, *given))
    finish(start(tmp_path / "devices", 15, "--strategy", "mirrored", "--cpus", 2, *given))
    finish(*start_two(tmp_path / "processes", 15, *given))
    for name in ("devices", "processes"):
        assert_alike(tmp_path / name, tmp_path / "one")


ON_TWO_CPUS = """
import runpy, sys
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.set_visible_devices([], "GPU")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_caffenet_on_two_devices_and_in_two_processes_equals_one(tmp_path):
    """30 steps of Task 2 in float32 without dropout.

    Loss curve and weights are compared by their norms: single losses and weights also move by more than 1e-4
    where a single process starts from weights that differ in their last bit.
    """
    voc = make_sample(tmp_path / "sample", train=24, val=16, test=8)
    script = [
        ROOT / "02_pascal_alexnet.py", "--data_dir", voc, "--cache_dir", tmp_path / "cache", "--steps", 30,
        "--eval_every", 1, "--histograms_every", 1000, "--precision", "float32", "--dropout", 0,
    ]  # fmt: skip
    finish(run_python(*script, "--model_dir", tmp_path / "one"), seconds=300)
    mirrored = ["--strategy", "mirrored", "--model_dir", tmp_path / "devices"]
    finish(run_python("-c", ON_TWO_CPUS, *script, *mirrored), seconds=300)
    workers = ["--strategy", "multiworker", "--model_dir", tmp_path / "processes"]
    both = [run_python(*script, *workers, tf_config=tf_config) for tf_config in configs_of_two()]
    finish(*both, seconds=300)

    def curve(name: str) -> np.ndarray:
        return np.array([line["train_loss"] for line in read_metrics(tmp_path / name)])

    def weights(name: str) -> np.ndarray:
        return np.concatenate(
            [v.ravel() for k, v in sorted(weights_of(tmp_path / name).items()) if k.startswith("weights")]
        )

    untrained = networks.caffenet(20, seed=0, dropout=0.0)
    initial = {
        f"weights/{layer.name}/{variable.name}/.ATTRIBUTES/VARIABLE_VALUE": variable.numpy()
        for layer in untrained.layers
        for variable in layer.trainable_variables
    }
    moved = np.linalg.norm(weights("one") - np.concatenate([initial[k].ravel() for k in sorted(initial)]))
    one = curve("one")
    assert one.shape == (30,) and one[-1] < 0.6 * one[0]
    for name in ("devices", "processes"):
        assert np.linalg.norm(curve(name) - one) < 1e-4 * np.linalg.norm(one)
        difference = np.linalg.norm(weights(name) - weights("one"))
        assert difference < 1e-4 * np.linalg.norm(weights("one"))
        assert difference < 0.02 * moved


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_workers(half, tmp_path):
    finish(*start_two(tmp_path, 15))
    finish(start(tmp_path, 30))
    assert_alike(tmp_path, half)


@pytest.mark.slow
def test_when_a_worker_is_killed_the_other_ends_and_both_go_on_when_restarted(tmp_path):
    first, second = start_two(tmp_path, 100_000)
    deadline = time.monotonic() + 90
    while not list(tmp_path.glob("ckpt-*.index")) and time.monotonic() < deadline:
        time.sleep(0.2)
    second.kill()
    second.communicate()
    _, error = first.communicate(timeout=60)
    assert first.returncode == 2 and "Traceback" not in error
    assert "another worker is gone" in error.splitlines()[-1]
    saved = max(int(path.stem[5:]) for path in tmp_path.glob("ckpt-*.index"))
    out, _ = finish(*start_two(tmp_path, saved + 10))
    assert f"{saved:,} of {saved + 10:,} steps are made, going on" in out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_worker_stops_all_at_the_same_step_and_saves(half, tmp_path, number):
    first, second = start_two(tmp_path, 30, more=[(), ("--signal", number.value, 15, "step")])
    errors = [process.communicate(timeout=60)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (143, 128 + number)
    assert all("interrupted and saved" in error.splitlines()[-1] for error in errors)
    assert (tmp_path / "ckpt-15.index").exists()
    finish(*start_two(tmp_path, 30))
    assert_alike(tmp_path, half)


@pytest.mark.slow
@pytest.mark.parametrize("other", [("--seed", 1), ("--eval_every", 7)])
def test_workers_with_other_settings_are_refused(tmp_path, other):
    processes = start_two(tmp_path, 30, more=[(), other])
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "settings or data of worker 1 differ from those of worker 0" in error.splitlines()[-1]


@pytest.mark.slow
def test_workers_that_do_not_see_the_same_model_directory_are_refused(tmp_path):
    finish(start(tmp_path / "one", 5))
    folders = tmp_path / "one", tmp_path / "two"
    processes = [
        start(folder, 30, "--strategy", "multiworker", tf_config=tf_config)
        for folder, tf_config in zip(folders, configs_of_two(), strict=True)
    ]
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "the iterations made of worker 1 differ from those of worker 0" in error.splitlines()[-1]


@pytest.mark.slow
def test_when_the_first_worker_refuses_the_other_ends_with_a_line_too(tmp_path):
    finish(start(tmp_path, 5))
    first, second = start_two(tmp_path, 30, "--seed", 1)
    lines = [process.communicate(timeout=60)[1].splitlines()[-1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (2, 2)
    assert "holds another run: seed 0 became 1; repeat its settings to go on with it, " in lines[0]
    assert lines[0].endswith("or give another --model_dir")
    assert "another worker is gone" in lines[1]


@pytest.mark.slow
def test_when_a_worker_lacks_its_data_the_other_ends_with_a_line_too(tmp_path):
    first, second = start_two(tmp_path, 30, more=[(), ("--without_data",)])
    lines = [process.communicate(timeout=60)[1].splitlines()[-1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (2, 2)
    assert "another worker is gone" in lines[0] and "no data" in lines[1]


def test_a_worker_that_waits_for_the_others_says_so_and_can_be_stopped(tmp_path):
    config, _ = configs_of_two()
    process = start(tmp_path, 5, "--strategy", "multiworker", tf_config=config)
    hosts = ", ".join(config["cluster"]["worker"])
    assert process.stdout.readline() == f"waiting for the workers of TF_CONFIG, {hosts}; Ctrl-C stops\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize(
    "text",
    [
        None, "", "{", "[]", '{"cluster": {}}', '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)  # fmt: skip
def test_a_wrong_tf_config_is_one_line(text, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="TF_CONFIG") as error:
        distribution.start("multiworker")
    assert "\n" not in str(error.value) and "for example" in str(error.value)


def test_a_batch_that_can_not_be_divided_is_one_line(tmp_path):
    process = start(tmp_path, 5, "--strategy", "mirrored", "--cpus", 3)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--batch_size 10: can't be divided among 3 replicas" in error.splitlines()[-1]


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        config = {"cluster": {"worker": [host]}, "task": {"type": "worker", "index": 0}}
        process = start(tmp_path, 5, "--strategy", "multiworker", tf_config=config)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 2 and "is its port free?" in error.splitlines()[-1]
