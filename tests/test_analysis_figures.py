"""What the figures of Task 5 show, read back from them."""

import numpy as np
import pytest
from matplotlib.colors import same_color

from common import analysis_figures, figures
from common.input import Examples

CLASSES = ("cat", "dog", "sofa")
LABELS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 0, 0]])
WEIGHTS = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 1, 1], [0, 1, 1]])


@pytest.fixture
def split() -> Examples:
    images = np.stack([np.full((4, 4, 3), 40 * number, np.uint8) for number in range(6)])
    return Examples("test", images, LABELS, WEIGHTS, [f"{n:06}" for n in range(6)], CLASSES)


@pytest.fixture
def drawn(monkeypatch) -> list:
    """The figures that would be written."""
    kept = []
    for module in (analysis_figures, figures):
        monkeypatch.setattr(module, "save", lambda figure, path: kept.append(figure) or path)
    return kept


def test_the_worst_mistakes_are_the_highest_negatives_and_the_lowest_positives(split):
    logits = np.zeros((6, 3))
    logits[:, 0] = [2.0, -1.0, 0.5, 3.0, -2.0, 9.0]  # of the last the label doesn't count
    found = analysis_figures.extremes(split, logits, 0, 2)
    assert found["highest scores without it"].tolist() == [3, 2]
    assert found["lowest scores with it"].tolist() == [1, 0]


def test_neighbours_are_framed_by_whether_they_have_a_class_in_common(split, drawn, tmp_path):
    rows, alike = np.array([[1, 3, 2]]), np.array([[1, 0, np.nan]])
    found = {"euclidean": (rows, alike), "cosine": (rows[:, ::-1], alike[:, ::-1])}
    analysis_figures.nearest_neighbours(split, {"cat": 0}, found, "fc7", tmp_path / "x.png")
    shown = [axes for axes in drawn[0].axes if axes.images]
    assert [int(axes.images[0].get_array()[0, 0, 0]) // 40 for axes in shown] == [0, 1, 3, 2, 2, 3, 1]
    colors = ["black", "tab:green", "tab:red", "tab:gray", "tab:gray", "tab:red", "tab:green"]
    for axes, color in zip(shown, colors, strict=True):
        assert same_color(axes.spines["left"].get_edgecolor(), color)
    assert [axes.get_xlabel() for axes in shown[:4]] == ["cat", "cat, dog", "sofa", "dog, (sofa)"]
    assert shown[0].get_title() == "image" and shown[0].get_ylabel() == "cat"
    titles = [axes.get_title(loc="left") for axes in (shown[1], shown[4])]
    assert titles == ["euclidean", "cosine"]
    assert "3 nearest; with a class in common: euclidean 50%, cosine 50%" in drawn[0].get_suptitle()


def test_conv1_is_shown_at_each_stage_with_what_it_has_changed(drawn, tmp_path):
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 3, 3, 10)).astype(np.float32)
    kernels = {0: start, 500: start, 2_000: start * 1.5}
    analysis_figures.conv1_filters(kernels, "CaffeNet", tmp_path / "x.png")
    titles = [axes.get_title() for axes in drawn[0].axes if axes.images]
    strongest = np.abs(start).max()
    assert titles == [
        f"iteration 0\nstrongest weight {strongest:.3f}",
        f"iteration 500\nstrongest weight {strongest:.3f}",
        f"iteration 2,000\nstrongest weight {1.5 * strongest:.3f}",
        "change from 0 to 500:\n0.0% of the norm\nstrongest 0.000",
        f"change from 0 to 2,000:\n50.0% of the norm\nstrongest {strongest / 2:.3f}",
    ]
    sheets = [axes.images[0].get_array() for axes in drawn[0].axes if axes.images]
    top_left = 0.5 + start[..., 0] / (2 * np.abs(start).max())
    for sheet in (sheets[0], sheets[2], sheets[4]):  # a change by half of each weight looks like the weights
        np.testing.assert_allclose(sheet[1:4, 1:4], top_left, rtol=1e-6)
    np.testing.assert_array_equal(sheets[3][1:4, 1:4], 0.5)  # no change is grey


def test_classes_are_sorted_by_their_gain_the_largest_on_top(drawn, tmp_path):
    guessing = {"AP_guessing": {"cat": 0.3, "dog": 0.2, "sofa": 0.1}}
    ours = {"step": 400, "mAP": 0.6, "AP": {"cat": 0.7, "dog": 0.6, "sofa": 0.4}, **guessing}
    theirs = {"step": 600, "mAP": 0.4, "AP": {"cat": 0.6, "dog": 0.1, "sofa": 0.5}, **guessing}
    figures.paired_ap(ours, theirs, "VGG-16", "CaffeNet", "x", tmp_path / "x.png")
    (axes,) = drawn[0].axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "sofa  -0.100", "cat  +0.100", "dog  +0.500"
    ]  # fmt: skip
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert widths == [[0.4, 0.7, 0.6], [0.5, 0.6, 0.1]]
    assert axes.lines[0].get_xydata().tolist() == [[0.1, 0], [0.3, 1], [0.2, 2]]
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert sorted(labels) == [
        "CaffeNet, iteration 600, mAP 0.400",
        "VGG-16, iteration 400, mAP 0.600",
        "guessing",
    ]


def test_hardest_and_easiest_show_their_worst_mistakes_with_probabilities(split, drawn, tmp_path):
    logits = np.zeros((6, 3))
    logits[:, 0] = [2.0, -1.0, 0.5, 3.0, -2.0, 9.0]
    ap = {"cat": 0.2, "dog": 0.9, "sofa": 0.5}
    analysis_figures.hardest_and_easiest(split, logits, ap, "x", tmp_path / "x.png")
    first = drawn[0].axes[0]
    assert first.texts[0].get_text() == "hardest: cat, AP 0.20\non 2 of 6 images\nhighest scores without it"
    assert first.get_title() == "95.3%\nshows sofa"  # 1 / (1 + exp(-3))
    assert drawn[0].axes[12].texts[0].get_text().startswith("easiest: dog, AP 0.90")
