"""Why VGG-16 doesn't learn with the handout's weights: what the README says, and what measures it."""

import re

import numpy as np
import pytest

from common import networks, run_files
from docs import dead_network
from docs.results_table import ROOT


def logged() -> dict[str, dict[str, float]]:
    """{"gaussian, output": {layer: spread}, ...} of the log."""
    lines = (ROOT / "results" / "dead_network.txt").read_text().splitlines()
    parts = (line.split(": ") for line in lines)
    return {
        what: {name: float(one) for name, one in re.findall(r"(\w+) (\S+?)(?:,|$)", of)} for what, of in parts
    }


def test_what_the_readme_says_stands_in_the_log():
    log = logged()
    text = " ".join((ROOT / "README.md").read_text().split())
    output = log["gaussian, output"]
    assert f"falls a million times, to {output['fc8']:.0e}".replace("e-06", "e-6") in text
    assert 0.9e6 < output["conv1_1"] / output["fc8"] < 1.1e6
    assert f"whose logits have a spread of {log['xavier, output']['fc8']:.2f}" in text
    fewer = [log["xavier, gradient"][layer] / one for layer, one in log["gaussian, gradient"].items()]
    assert "ten to seventy thousand times smaller" in text and 1e4 <= min(fewer) and max(fewer) < 7e4


def test_what_the_readme_says_of_its_training_stands_in_the_log():
    """The best constant for a class has the entropy of the share of images that show it.

    Of n images in random order, m of them with the class, AP is (m - 1) / (n - 1) + (n - m) / (n - 1) H / n
    in the mean, with H = 1 + 1/2 + ... + 1/n. All count but for a few that are marked difficult.
    """
    *earlier, last = run_files.read_metrics(ROOT / "results" / "vgg16-dead")
    images = 1_406
    of_none = np.sum(1 / np.arange(1, images + 1)) / images
    guessing = np.array(list(last["AP_guessing"].values()))
    shares = (1 + (images - 1) * (guessing - of_none) / (1 - of_none)) / images
    constants = np.mean(-shares * np.log(shares) - (1 - shares) * np.log1p(-shares))
    assert last["test_loss"] == pytest.approx(constants, rel=0.01)
    assert min(line["test_loss"] for line in earlier) > 0.995 * constants
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"its test loss is {constants:.2f}, that of the best constant" in text
    assert f"its mAP {last['mAP']:.3f}, where guessing gives {last['mAP_guessing']:.3f}" in text
    assert last["mAP"] < last["mAP_guessing"]
    from_scratch = run_files.read_metrics(ROOT / "results" / "vgg16-scratch")
    scores = {line["step"]: line["mAP"] for line in from_scratch}
    assert f"After {last['step']:,} iterations" in text
    assert f"default initialiser mAP is {scores[last['step']]:.3f} by then, and rising" in text
    assert scores[4_000] > scores[last["step"]]


def test_the_spreads_are_of_outputs_and_gradients_by_layer(monkeypatch):
    """Small images; of N(0, 0.01) the signal dies, and with it the gradient."""
    full = networks.vgg16
    monkeypatch.setattr(
        dead_network.networks, "vgg16", lambda classes, init: full(classes, init=init, size=32)
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 32, 32, 3), np.uint8)
    labels = rng.integers(0, 2, (4, 20)).astype(np.float32)
    gaussian, xavier = (
        dead_network.spreads(init, images, labels, np.ones_like(labels)) for init in dead_network.LABELS
    )
    assert list(gaussian["output"]) == list(gaussian["gradient"]) == [*logged()["gaussian, output"]]
    assert gaussian["output"]["fc8"] < 1e-3 * xavier["output"]["fc8"]
    assert gaussian["gradient"]["conv1_1"] < 1e-2 * xavier["gradient"]["conv1_1"]
