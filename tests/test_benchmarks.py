"""The benchmarks measure what they say: limits by hand, and the same work on both sides."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import (
    against_pytorch,
    constant_batch,
    generated,
    machine_limit,
    overhead,
    setting,
    sides,
    step_profile,
    winograd,
    winograd_rounding,
)
from common import augment, convolution, hooks, losses, networks
from common.winograd import convolve

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(("policy", "size"), [("mixed_bfloat16", 2), ("float32", 4)])
def test_the_limit_of_a_step_by_hand(policy, size):
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            keras.layers.Conv2D(3, 3, padding="same", dtype=policy),  # 54 weights at each of 16 places
            keras.layers.MaxPooling2D(2, dtype=policy),
            keras.layers.Flatten(dtype=policy),
            keras.layers.Dense(5, dtype=policy),  # 60 weights
        ]
    )
    parts = list(machine_limit.step_parts(model, 10))
    conv, dense = 2 * 54 * 16 * 10, 2 * 60 * 10
    weights_read, gradient_written, updated = 4, size, size + 4 * 4  # bytes a weight
    assert parts == [
        (machine_limit.FORWARD, conv, size * (320 + 480) + weights_read * 54),
        (machine_limit.OF_KERNEL, conv, size * (320 + 480) + gradient_written * 54),
        (machine_limit.UPDATE, 0, updated * 54),  # nothing is before it that wants a gradient
        (machine_limit.POOLING, 0, size * (480 + 120)),
        (machine_limit.POOLING, 0, size * (2 * 480 + 120)),
        (machine_limit.DENSE, dense, size * (120 + 50) + weights_read * 60),
        (machine_limit.DENSE, dense, size * (120 + 50) + gradient_written * 60),
        (machine_limit.DENSE, dense, size * (120 + 50) + weights_read * 60),
        (machine_limit.UPDATE, 0, updated * 60),
    ]
    machine = SimpleNamespace(operations=500.0, moved=100.0)
    assert parts[0].limit(machine) == pytest.approx(conv / 500)  # and not the 18.16 or 34.16 s of its bytes
    assert parts[2].limit(machine) == pytest.approx(updated * 54 / 100)


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("_MklNativeConv2DBackpropFilter", machine_limit.OF_KERNEL),
        ("_MklNativeConv2DBackpropInput", machine_limit.OF_INPUT),
        ("_MklNativeFusedConv2D", machine_limit.FORWARD),
        ("_MklFusedMatMul", machine_limit.DENSE),
        ("_MklMaxPoolGrad", machine_limit.POOLING),
        ("ResourceApplyKerasMomentum", machine_limit.UPDATE),
        ("Transpose", "everything else"),
    ],
)
def test_kernels_are_counted_with_their_kind(kernel, kind):
    assert step_profile.kind_of("network/layer", kernel) == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("vgg16_1/conv2_1_1/winograd/MatMul", machine_limit.FORWARD),
        ("winograd_images_gradient_9/MatMul_2", machine_limit.OF_INPUT),
        ("winograd_kernel_gradient/GatherV2", machine_limit.OF_KERNEL),
    ],
)
def test_operations_of_our_convolutions_are_counted_by_their_scope(name, kind):
    assert step_profile.kind_of(name, "_MklMatMul") == kind


def kinds_in_a_profile(function, folder: Path) -> dict[str, float]:
    """Seconds by kind, of a function without arguments in a graph."""
    graph = tf.function(function, autograph=False)
    graph().numpy()
    tf.profiler.experimental.start(str(folder))
    graph().numpy()
    tf.profiler.experimental.stop()
    return step_profile.read_profile(folder)


def test_a_profile_accounts_for_the_operations_of_its_graph(tmp_path):
    matrix = tf.random.normal((256, 256))
    kinds = kinds_in_a_profile(lambda: tf.matmul(matrix, matrix), tmp_path)
    assert kinds[machine_limit.DENSE] > 0 and machine_limit.OF_KERNEL not in kinds


def test_in_a_profile_our_convolutions_and_their_gradients_count_as_such(tmp_path):
    images, kernel = tf.random.normal((2, 32, 32, 8)), tf.random.normal((3, 3, 8, 8))

    def step():
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            loss = tf.reduce_sum(convolve(images, kernel) ** 2)
        return sum(map(tf.reduce_sum, tape.gradient(loss, [images, kernel])))

    kinds = kinds_in_a_profile(step, tmp_path)
    ours = (machine_limit.FORWARD, machine_limit.OF_INPUT, machine_limit.OF_KERNEL)
    assert min(kinds[kind] for kind in ours) > 0 and machine_limit.DENSE not in kinds


def test_convolutions_are_compared_where_they_differ_alone(monkeypatch, capsys):
    layers = []
    monkeypatch.setattr(winograd.device, "has_avx2_alone", lambda: True)
    monkeypatch.setattr(winograd.device, "set_precision", lambda precision: precision)
    monkeypatch.setattr(winograd, "TURNS", 1)
    monkeypatch.setattr(winograd.setting, "train_input", lambda *args: None)
    monkeypatch.setattr(
        winograd.setting, "make_estimator", lambda *args: networks.vgg16(20, size=32).get_layer("conv1_2")
    )
    monkeypatch.setattr(
        winograd.setting, "time_steps", lambda layer, *args: layers.append(type(layer)) or [len(layers)]
    )
    monkeypatch.setattr(sys, "argv", ["winograd", "vgg16"])
    winograd.main()
    assert layers == [convolution.Conv2D, keras.layers.Conv2D]
    assert capsys.readouterr().out.endswith("2.00 times as fast\n")
    monkeypatch.setattr(winograd.device, "has_avx2_alone", lambda: False)
    with pytest.raises(winograd.UserError, match="both would be TensorFlow's"):
        winograd.main()


def test_roundings_are_errors_in_standard_deviations(monkeypatch, capsys):
    """A way that is wrong by a hundredth everywhere is so in the printed table."""
    monkeypatch.setattr(winograd_rounding, "LAYERS", {"a layer": (2, 6, 3, 4, 5)})
    monkeypatch.setattr(
        winograd_rounding.winograd, "convolve", lambda *arrays: 1.01 * winograd_rounding.directly(*arrays)
    )
    monkeypatch.setattr(sys, "argv", ["winograd_rounding"])
    winograd_rounding.main()
    wrong, right = capsys.readouterr().out.splitlines()[-2:]
    assert wrong.startswith("a layer            Winograd's ") and "TensorFlow's" in right
    wrong, right = ([float(number) for number in line.split()[3:]] for line in (wrong, right))
    assert wrong[::2] == pytest.approx([0.01] * 3, rel=0.2) and min(wrong[1::2]) > 0.015
    assert max(right) < 1e-5


def test_steps_for_warming_up_are_not_among_those_timed():
    made = []

    def train(input, steps, acting):
        for step in range(len(made) + 1, steps + 1):
            made.append(step)
            acting[0].after_step(estimator, step, None)

    estimator = SimpleNamespace(step=7, train=train)
    made += range(1, 8)
    assert len(setting.time_steps(estimator, None, 3, warm_up=5)) == 3
    assert made[-1] == 7 + 5 + 3


def test_medians_are_of_all_turns(capsys):
    turns = {"one": iter([[0.001, 0.002], [0.003, 0.9]]), "other": iter([[0.01, 0.01], [0.01, 0.01]])}
    measures = {name: times.__next__ for name, times in turns.items()}
    assert setting.median_in_turns(measures, 2) == pytest.approx([0.0025, 0.01])
    assert "2.5 ms a step" in capsys.readouterr().out


def test_the_constant_batch_is_the_same_at_every_step_and_of_the_real_ones_shape():
    examples = setting.photos(20)
    real = setting.train_input("caffenet", 4, examples)
    constant = constant_batch.Constant(examples, 4, 0, lambda images, step, first: images[:, :227, :227])
    batches = [images.numpy() for images, *_ in constant.from_step(5).take(3)]
    assert (batches[0] == batches[1]).all() and (batches[0] == batches[2]).all()
    assert batches[0].shape == next(iter(real.from_step(0)))[0].shape


def test_steps_whose_gradients_are_wanted_are_counted_apart(monkeypatch):
    class Wanting(hooks.Hook):
        def wants_gradients(self, step):
            return step == 3

    steps = overhead.Steps([Wanting()])
    monkeypatch.setattr(overhead.time, "perf_counter", itertools.count(100.0, 2.0).__next__)
    estimator = SimpleNamespace(train_seconds=0.0)
    steps.begin(estimator)
    for step, seconds in enumerate([0.0, 1.0, 5.0, 1.0], start=1):  # the estimator leaves the first one out
        estimator.train_seconds += seconds
        steps.after_step(estimator, step, None)
    assert steps.plain == [2.0, 1.0, 1.0] and steps.with_gradients == [5.0]
    assert steps.extra() == 4.0


def test_the_progress_bar_is_drawn_on_the_benchmarks_terminal():
    with overhead.terminal():
        assert sys.stderr.isatty()
        assert os.get_terminal_size(sys.stderr.fileno()).columns == 100
        print("\n" * 200_000, file=sys.stderr)  # more than a terminal holds that nobody reads
    assert not sys.stderr.isatty()


def test_without_pytorch_one_line_says_so(monkeypatch):
    monkeypatch.setattr(against_pytorch.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["against_pytorch", "caffenet"])
    with pytest.raises(against_pytorch.UserError, match="benchmarks/requirements.txt"):
        against_pytorch.main()


def test_sides_take_turns_and_the_medians_of_their_steps_are_compared(monkeypatch, capsys):
    seconds = {"ours": iter([[0.1, 0.3], [0.2, 0.2]]), "theirs": iter([[0.5, 0.3], [0.3, 0.3]])}
    calls = []

    def run(command, env, **kwargs):
        calls.append((*command[2:], env["FLAG"]))
        measured = {"on": command[2], "seconds": next(seconds[command[2]])}
        return SimpleNamespace(stdout=f"a note\n{json.dumps(measured)}\n")

    monkeypatch.setattr(sides.subprocess, "run", run)
    both = (sides.Side("this project", "ours", {"FLAG": "1"}), sides.Side("another", "theirs", {"FLAG": "0"}))
    options = SimpleNamespace(network="caffenet", mode="train", batch_size=3, steps=2, turns=2)
    sides.compare(both, options, "float32", iterations=600)
    what = ("caffenet", "train", "3", "2", "float32")
    assert calls == 2 * [("ours", *what, "1"), ("theirs", *what, "0")]
    title, _, first, second, turns, used = capsys.readouterr().out.splitlines()
    assert title == "caffenet, train, batch 3, float32"
    assert first.split() == "this project 200.0 15.0 1.00 2.0 min".split()
    assert second.split() == "another 300.0 10.0 1.50 3.0 min".split()
    assert (turns, used) == ("medians of 2 turns of 2", "ours; theirs")


@pytest.fixture
def torch_side():
    pytest.importorskip("torch", reason="PyTorch isn't installed")
    from benchmarks import torch_side

    return torch_side


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mnist", "caffenet", "vgg16"])
def test_pytorchs_side_is_the_same_network(torch_side, network):
    """With our weights it gives our logits."""
    torch = torch_side.torch
    if network == "mnist":
        ours = networks.layers_tutorial_cnn(10, (28, 28, 1), scale=1 / 255)
        images = generated.digits(2)[0]
    else:
        ours = networks.NETWORKS[network](20, init="he")
        images = augment.center_crop(tf.constant(generated.photos(2)[0]), generated.CROPS[network]).numpy()
    theirs = torch_side.make_network(network).eval()
    parameters = list(theirs.parameters())
    variables = [variable.numpy() for variable in ours.trainable_variables]
    convolved = next(layer for layer in ours.layers if layer.name == "flatten").input.shape[1:]
    assert len(parameters) == len(variables)
    for parameter, array in zip(parameters, variables, strict=True):
        if array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        elif array.shape[0] == np.prod(convolved):  # flattened here as H, W, C and there as C, H, W
            array = array.reshape(*convolved, -1).transpose(3, 2, 0, 1).reshape(array.shape[1], -1)
        elif array.ndim == 2:
            array = array.T
        parameter.data = torch.from_numpy(np.ascontiguousarray(array))
    with torch.inference_mode():
        given = torch_side.logits_of(theirs, torch_side.prepare(images), bfloat16=False).numpy()
    expected = ours(images).numpy()
    np.testing.assert_allclose(given, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_pytorchs_side_crops_mirrors_and_scores_alike(torch_side):
    images, labels = generated.photos(3)
    rng = np.random.default_rng(1)
    for image, cropped in zip(images, torch_side.augment(images, 227, rng), strict=True):
        windows = [image[top : top + 227, left : left + 227] for top in range(30) for left in range(30)]
        assert any((cropped == window).all() or (cropped == window[:, ::-1]).all() for window in windows)
    assert (
        (torch_side.center_crop(images, 227) == augment.center_crop(tf.constant(images), 227)).numpy().all()
    )

    logits = rng.normal(size=labels.shape).astype(np.float32)
    weights = (rng.random(labels.shape) < 0.7).astype(np.float32)
    theirs = torch_side.loss_of(*map(torch_side.torch.from_numpy, (logits, labels, weights)))
    ours = losses.sigmoid_cross_entropy(labels, logits, weights)
    assert float(theirs) == pytest.approx(float(ours), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["train", "evaluate"])
def test_the_sides_are_measured_and_compared(torch_side, mode):
    command = [sys.executable, "-m", "benchmarks.against_pytorch", "caffenet", "--mode", mode]
    command += ["--batch_size", "2", "--steps", "2", "--turns", "1", "--precision", "float32"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    lines = printed.splitlines()
    assert lines[0] == f"caffenet, {mode}, batch 2, float32"
    ours, *others = (list(map(float, line.split()[-3:])) for line in lines[2:5])
    assert ours[2] == 1
    for _, rate, ratio in others:
        assert ratio == pytest.approx(ours[1] / rate, abs=0.05 * ours[1] / rate)


@pytest.mark.slow
def test_memory_that_pytorch_gave_back_is_kept_for_it(torch_side):
    code = (
        "import resource, torch\n"
        "for _ in range(50): torch.ones(10_000_000)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(10): torch.ones(10_000_000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    faults = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, env=environment
            ).stdout
        )
        for environment in ({}, against_pytorch.KEEPING_MEMORY)
    ]
    assert faults[0] > 10_000 and faults[1] < 1_000
