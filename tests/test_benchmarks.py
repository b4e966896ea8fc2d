"""The benchmarks measure what they say: limits by hand, and the same networks on both sides."""

import math
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from benchmarks import machine_limit
from common import networks


def test_the_limit_of_a_step_by_hand():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            keras.layers.Conv2D(3, 3, padding="same"),  # 54 weights at each of 16 places
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(5),  # 60 weights
        ]
    )
    operations, moved, seconds = machine_limit.step_limit(model, 10, 1000.0, 100.0)
    conv = 2 * 54 * 16 * 10 * 2  # nothing is before it that wants a gradient
    dense = 2 * 60 * 10 * 3
    conv_bytes = 2 * (2 * 320 + 2 * 480) + 32 * 54
    pool_bytes = 2 * (3 * 480 + 2 * 120)
    dense_bytes = 2 * (3 * 120 + 2 * 50) + 32 * 60
    assert operations == conv + dense
    assert moved == conv_bytes + pool_bytes + dense_bytes
    assert seconds == pytest.approx(
        max(conv / 1000, conv_bytes / 100) + pool_bytes / 100 + max(dense / 1000, dense_bytes / 100)
    )


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mnist", "caffenet", "vgg16"])
def test_pytorchs_side_has_the_same_layers(network):
    torch_side = pytest.importorskip("benchmarks.torch_side", reason="PyTorch isn't installed")
    ours = {
        "mnist": lambda: networks.layers_tutorial_cnn(10, (28, 28, 1), scale=1 / 255),
        "caffenet": lambda: networks.caffenet(20),
        "vgg16": lambda: networks.vgg16(20),
    }[network]()
    theirs = torch_side.make_network(network).parameters()
    assert [math.prod(v.shape) for v in ours.trainable_variables] == [p.numel() for p in theirs]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["train", "evaluate"])
def test_the_two_sides_are_measured_and_compared(mode):
    pytest.importorskip("torch", reason="PyTorch isn't installed")
    command = [sys.executable, "-m", "benchmarks.against_pytorch", "caffenet", "--mode", mode]
    command += ["--batch_size", "2", "--steps", "2", "--turns", "1"]
    root = Path(__file__).parent.parent
    printed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    lines = printed.splitlines()
    ours, theirs = (float(line.split()[-1]) for line in lines[2:4])
    assert lines[0] == f"caffenet, {mode}, batch 2, bfloat16"
    assert float(lines[4].split()[0]) == pytest.approx(ours / theirs, abs=0.02 * ours / theirs)
