"""The parts of Task 5 on features, labels and scores made by hand."""

import numpy as np
import pytest

from common import analysis, analysis_figures, features, figures
from common.embedding import NO_CLASS
from common.input import Examples

CLASSES = ("cat", "dog", "person")


@pytest.fixture
def split() -> Examples:
    """12 images: 4 of cats, 4 of dogs, 3 of dogs with persons, one of nothing."""
    labels = np.repeat([[1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0]], [4, 4, 3, 1], axis=0).astype(np.float32)
    images = np.stack([np.full((64, 64, 3), 20 * number, np.uint8) for number in range(12)])
    return Examples("test", images, labels, np.ones_like(labels), [f"{n:06}" for n in range(12)], CLASSES)


@pytest.fixture
def drawn(monkeypatch) -> dict:
    """The figures that would be written, by name."""
    kept = {}
    for module in (analysis_figures, figures):
        monkeypatch.setattr(module, "save", lambda figure, path: kept.update({path.name: figure}) or path)
    return kept


def angles(*degrees: float) -> np.ndarray:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def seen(name: str, by_layer: dict[str, np.ndarray], ap: dict[str, float], step: int) -> analysis.Seen:
    evaluation = {"step": step, "mAP": float(np.mean(list(ap.values()))), "AP": ap}
    return analysis.Seen(name, by_layer, np.zeros((12, 3)), evaluation)


@pytest.fixture
def both() -> dict[str, analysis.Seen]:
    """Of the first network fc7 alone keeps kinds apart; the second has neighbours that never agree."""
    apart = angles(0, 1, 2, 3, 90, 91, 92, 93, 180, 181, 182, 270)
    mixed = np.stack([np.arange(12) % 4, np.arange(12) // 4], axis=1).astype(np.float32) * [1000, 1]
    return {
        "caffenet": seen("CaffeNet, x", {"pool5": mixed, "fc7": apart}, {"cat": 0.5, "dog": 0.25}, 600),
        "vgg16": seen("VGG-16, y", {"pool5": mixed[::-1], "fc7": mixed}, {"cat": 0.75, "dog": 0.75}, 400),
    }


def test_shares_of_neighbours_are_of_their_network_their_layer_and_their_images(both, split, drawn, tmp_path):
    shares, paths = analysis.neighbours(both, split, 3, 2, 0, tmp_path)
    assert [path.name for path in paths] == [
        "neighbours_caffenet_pool5.png", "neighbours_caffenet_fc7.png", "neighbours_vgg16_pool5.png",
        "neighbours_vgg16_fc7.png", "neighbours_shares.png",
    ]  # fmt: skip
    chosen = features.choose_of_different_classes(split.labels, split.weights, 3, np.random.default_rng(0))
    names = {"caffenet": "CaffeNet", "vgg16": "VGG-16"}
    for network, layer in [(network, layer) for network in both for layer in ("pool5", "fc7")]:
        for metric in ("euclidean", "cosine"):
            alike = []
            for row, neighbours in enumerate(features.nearest(both[network].features[layer], metric, 2)):
                agree = split.labels[row] @ split.labels[neighbours].T > 0
                alike.append(agree if split.labels[row].any() else [np.nan, np.nan])
            named = f"{names[network]} {layer}"
            assert shares["all"][named][metric] == pytest.approx(np.nanmean(alike))
            assert shares["shown"][named][metric] == pytest.approx(np.nanmean(np.array(alike)[chosen]))
    assert shares["all"]["CaffeNet fc7"] == {"euclidean": 1, "cosine": 1}
    assert shares["all"]["VGG-16 fc7"]["euclidean"] < 0.7
    # Of 11 images that show a class 4 are cats, 4 dogs, and 3 dogs with persons; the twelfth shows none.
    assert shares["at random"] == pytest.approx((4 * 3 + 7 * 6) / (11 * 11), abs=0.06)
    (line,) = drawn["neighbours_shares.png"].axes[0].lines
    assert set(line.get_ydata()) == {shares["at random"]}
    titles = drawn["neighbours_vgg16_fc7.png"].get_suptitle()
    assert "fc7 after its relu, without dropout" in titles and "VGG-16, y" in titles


def test_dots_thumbnails_and_vectors_are_of_the_same_images(both, split, drawn, tmp_path, monkeypatch):
    """6 of the 12, so that a row of the projector isn't a row of the split."""
    monkeypatch.setattr(analysis.embedding, "tsne", lambda vectors, seed: vectors)
    paths = analysis.map_of_fc7(both, split, 6, 1, tmp_path)
    assert [path.name for path in paths] == ["tsne_caffenet.png", "tsne_vgg16.png", "projector"]
    ids = [
        line.split("\t")[0] for line in (tmp_path / "projector" / "metadata.tsv").read_text().splitlines()[1:]
    ]
    rows = [split.ids.index(one) for one in ids]
    assert len(set(rows)) == 6 and rows != list(range(6))
    shown = {
        line.split("\t")[1] for line in (tmp_path / "projector" / "metadata.tsv").read_text().splitlines()
    }
    assert shown >= {"cat", "dog"}
    colors = analysis.embedding.class_colors(CLASSES)
    kinds = [colors[0], colors[1], (colors[1] + colors[2]) / 2, np.full(3, NO_CLASS)]
    expected = [kinds[min(row // 4, 2) if row < 11 else 3] for row in rows]
    for network, name in (("caffenet", "CaffeNet"), ("vgg16", "VGG-16")):
        vectors = both[network].features["fc7"][rows]
        stored = np.fromfile(tmp_path / "projector" / f"{name}_fc7.bytes", np.float32).reshape(6, 2)
        np.testing.assert_array_equal(stored, vectors)
        axes = drawn[f"tsne_{network}.png"].axes[0]
        dots = axes.collections[0]
        np.testing.assert_allclose(dots.get_offsets(), vectors)
        np.testing.assert_allclose(dots.get_facecolors()[:, :3], expected)
        legend = axes.get_legend()
        assert [text.get_text() for text in legend.get_texts()][:3] == list(CLASSES)
        assert both[network].title in axes.get_title() and "6 random test images" in axes.get_title()


def test_aps_stand_beside_the_name_of_their_network(both, split, drawn, tmp_path):
    analysis.scores(both, split, tmp_path)
    axes = drawn["ap_of_both.png"].axes[0]
    bars = {one.get_label(): [bar.get_width() for bar in one] for one in axes.containers}
    assert bars == {
        "VGG-16, iteration 400, mAP 0.750": [0.75, 0.75],
        "CaffeNet, iteration 600, mAP 0.375": [0.5, 0.25],
    }
    for network in both:
        assert both[network].title in drawn[f"examples_{network}.png"].get_suptitle()
