"""The parts of Task 5 on features, labels and scores made by hand."""

import dataclasses

import keras
import numpy as np
import pytest
from keras.initializers import Constant as constant
from matplotlib.colors import same_color
from PIL import Image

from common import analysis, analysis_figures, features, figures
from common.embedding import NO_CLASS
from common.errors import UserError
from common.input import Examples
from common.trained import Trained

CLASSES = ("cat", "dog", "person")


@pytest.fixture
def split() -> Examples:
    """12 images: 4 of cats, 4 of dogs, 3 of dogs with persons, one of nothing; two labels don't count."""
    labels = np.repeat([[1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0]], [4, 4, 3, 1], axis=0).astype(np.float32)
    weights = np.ones_like(labels)
    weights[4, 2] = weights[11, 0] = 0
    images = np.stack([np.full((64, 64, 3), 20 * number, np.uint8) for number in range(12)])
    return Examples("test", images, labels, weights, [f"{n:06}" for n in range(12)], CLASSES)


def in_common(split: Examples, one: int, other: int) -> float:
    """1 or 0, NaN if unknown, by sets."""
    pairs = zip(split.labels[[one, other]], split.weights[[one, other]], strict=True)
    (surely, perhaps), (surely_too, perhaps_too) = [
        (
            {c for c in range(3) if labels[c] and weights[c]},
            {c for c in range(3) if labels[c] or not weights[c]},
        )
        for labels, weights in pairs
    ]
    return 1 if surely & surely_too else np.nan if perhaps & perhaps_too else 0


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


def seen(
    name: str, by_layer: dict[str, np.ndarray], ap: dict[str, float], step: int, logit: float
) -> analysis.Seen:
    evaluation = {"step": step, "mAP": float(np.mean(list(ap.values()))), "AP": ap}
    evaluation["AP_guessing"] = dict.fromkeys(ap, 0.125)
    return analysis.Seen(name, by_layer, np.full((12, 3), logit), evaluation)


@pytest.fixture
def both() -> dict[str, analysis.Seen]:
    """Of the first network fc7 alone keeps kinds apart; the second has neighbours that never agree."""
    apart = angles(0, 1, 2, 3, 90, 91, 92, 93, 180, 181, 182, 270)
    mixed = np.stack([np.arange(12) % 4, np.arange(12) // 4], axis=1).astype(np.float32) * [1000, 1]
    return {
        "caffenet": seen("CaffeNet, x", {"pool5": mixed, "fc7": apart}, {"cat": 0.5, "dog": 0.25}, 600, 0.0),
        "vgg16": seen("VGG-16, y", {"pool5": mixed[::-1], "fc7": mixed}, {"cat": 0.7, "dog": 0.8}, 400, 1.0),
    }


def small_network(fc8_bias: float) -> Trained:
    """On 8 x 8 pixels, with the layers that Task 5 looks at."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3), dtype="uint8"),
            keras.layers.Rescaling(1.0, dtype="float32"),
            keras.layers.MaxPooling2D(4, name="pool5"),
            keras.layers.Flatten(),
            keras.layers.Dense(5, name="fc7"),
            keras.layers.Dense(3, bias_initializer=constant(fc8_bias), name="fc8"),
        ]
    )
    settings = {"script": "02_pascal_alexnet"}
    data = {"name": "noise", "splits": {"test": {"images": 12}}}
    return Trained(model, 7, {"settings": settings, "data": data})


def test_a_network_is_looked_at_by_its_centre_crops(split):
    network = small_network(0.5)
    seen = analysis.look(network, split, 5)
    crops = split.images[:, 28:36, 28:36].astype(np.float32)
    np.testing.assert_allclose(seen.features["pool5"], crops[:, :2, :2].reshape(12, -1))
    np.testing.assert_allclose(seen.logits, network.model(split.images[:, 28:36, 28:36]), rtol=1e-5)
    assert seen.evaluation["step"] == 7 and seen.evaluation["AP"].keys() == set(CLASSES)
    assert seen.title == "CaffeNet, iteration 7, noise (12 test images)"


def test_a_network_without_finite_scores_is_refused(split):
    with pytest.raises(UserError, match="it has diverged, take another run"):
        analysis.look(small_network(np.nan), split, 5)


def test_a_network_that_is_dead_on_the_images_drawn_is_refused(split, both):
    """Another image may well have features."""
    drawn = analysis.embed_fc7(both, split, 6, 1).rows
    fc7 = both["vgg16"].features["fc7"]
    fc7[drawn] = 0.1
    assert fc7.std() > 0
    with pytest.raises(UserError, match="^VGG-16, y: gives all test images the same features"):
        analysis.embed_fc7(both, split, 6, 1)


def test_shares_of_neighbours_are_of_their_network_their_layer_and_their_images(both, split, drawn, tmp_path):
    shares, paths = analysis.neighbours(both, split, 3, 2, 0, tmp_path)
    assert [path.name for path in paths] == [
        "neighbours_caffenet_pool5.png", "neighbours_caffenet_fc7.png", "neighbours_vgg16_pool5.png",
        "neighbours_vgg16_fc7.png", "neighbours_shares.png",
    ]  # fmt: skip
    chosen = features.choose_of_different_classes(split.labels, split.weights, 3, np.random.default_rng(0))
    assert len(chosen) == 3
    names = {"caffenet": "CaffeNet", "vgg16": "VGG-16"}
    for network, layer in [(network, layer) for network in both for layer in ("pool5", "fc7")]:
        figure = drawn[f"neighbours_{network}_{layer}.png"]
        assert both[network].title in figure.get_suptitle() and layer in figure.get_suptitle()
        shown = [int(axes.images[0].get_array()[0, 0, 0]) // 20 for axes in figure.axes if axes.images]
        nearest = {m: features.nearest(both[network].features[layer], m, 2) for m in ("euclidean", "cosine")}
        for number, (column, row) in enumerate(chosen.items()):
            expected = [row, *nearest["euclidean"][row], *nearest["cosine"][row]]
            assert shown[5 * number : 5 * number + 5] == expected
            assert figure.axes[7 * number].get_ylabel() == CLASSES[column]
        for metric, rows in nearest.items():
            alike = np.array([[in_common(split, row, one) for one in ones] for row, ones in enumerate(rows)])
            named = f"{names[network]} {layer}"
            assert shares["all"][named][metric] == pytest.approx(np.nanmean(alike))
            assert shares["shown"][named][metric] == pytest.approx(np.nanmean(alike[list(chosen.values())]))
    assert shares["all"]["VGG-16 fc7"]["euclidean"] < 0.7 < shares["all"]["CaffeNet fc7"]["euclidean"]
    pairs = [in_common(split, one, other) for one in range(12) for other in range(12) if one != other]
    assert shares["at random"] == pytest.approx(np.nanmean(pairs))
    assert "fc7 after its relu, without dropout" in drawn["neighbours_vgg16_fc7.png"].get_suptitle()


def test_bars_of_shares_stand_above_their_feature_in_their_metrics_colour(both, split, drawn, tmp_path):
    shares, _ = analysis.neighbours(both, split, 3, 2, 0, tmp_path)
    (axes,) = drawn["neighbours_shares.png"].axes
    features_named = [text.get_text() for text in axes.get_xticklabels()]
    for bars in axes.containers:
        for named, bar in zip(features_named, bars, strict=True):
            assert bar.get_height() == pytest.approx(shares["all"][named][bars.get_label()])
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert len(heights) == 2 and heights[0] != heights[1]
    (line,) = axes.lines
    assert set(line.get_ydata()) == {shares["at random"]}
    assert all(what.title in axes.get_title() for what in both.values())


def test_shares_that_no_label_decides_are_unknown(both, split, drawn, tmp_path):
    unsure = dataclasses.replace(split, weights=np.zeros_like(split.weights))
    unsure.weights[0] = 1  # a cat, which the others may show or not
    shares, _ = analysis.neighbours(both, unsure, 3, 1, 0, tmp_path)
    assert shares["at random"] is None and set(shares["all"]["VGG-16 fc7"].values()) == {None}
    title = drawn["neighbours_vgg16_fc7.png"].get_suptitle()
    assert "1 nearest; with a class in common: euclidean unknown, cosine unknown" in title


def test_dots_thumbnails_and_vectors_are_of_the_same_images(both, split, drawn, tmp_path, monkeypatch):
    """6 of the 12, so that a row of the projector isn't a row of the split."""
    monkeypatch.setattr(analysis.embedding, "tsne", lambda vectors, title, seed: vectors)
    embedded = analysis.embed_fc7(both, split, 6, 1)
    paths = analysis.map_of_fc7(both, split, embedded, tmp_path)
    assert [split.ids[row] for row in embedded.rows] == [
        line.split("\t")[0] for line in (tmp_path / "projector" / "metadata.tsv").read_text().splitlines()[1:]
    ]
    assert [path.name for path in paths] == ["tsne_caffenet.png", "tsne_vgg16.png", "projector"]
    metadata = (tmp_path / "projector" / "metadata.tsv").read_text().splitlines()
    ids, captions = zip(*[line.split("\t") for line in metadata[1:]], strict=True)
    rows = [split.ids.index(one) for one in ids]
    assert len(set(rows)) == 6 and rows != list(range(6)) and 11 in rows
    by_row = {4: "dog, (person)", 8: "dog, person", 9: "dog, person", 10: "dog, person", 11: "(cat)"}
    assert list(captions) == [by_row.get(row, "cat" if row < 4 else "dog") for row in rows]
    sprite = np.asarray(Image.open(tmp_path / "projector" / "sprite.png"))
    side = sprite.shape[1] // 3
    thumbnails = [int(sprite[n // 3 * side + 9, n % 3 * side + 9, 0]) // 20 for n in range(6)]
    assert thumbnails == rows
    colors = analysis.embedding.class_colors(CLASSES)
    kinds = [colors[0], colors[1], (colors[1] + colors[2]) / 2, np.full(3, NO_CLASS)]
    expected = [kinds[min(row // 4, 2) if row < 11 else 3] for row in rows]
    for network, name in (("caffenet", "CaffeNet"), ("vgg16", "VGG-16")):
        vectors = both[network].features["fc7"][rows]
        stored = np.loadtxt(tmp_path / "projector" / f"{name}_fc7.tsv", np.float32)
        np.testing.assert_array_equal(stored, vectors)
        axes = drawn[f"tsne_{network}.png"].axes[0]
        dots = axes.collections[0]
        np.testing.assert_allclose(dots.get_offsets(), vectors)
        np.testing.assert_allclose(dots.get_facecolors()[:, :3], expected)
        legend = axes.get_legend()
        assert [text.get_text() for text in legend.get_texts()] == [*CLASSES, "none that counts"]
        for handle, color in zip(legend.legend_handles, [*colors, np.full(3, NO_CLASS)], strict=True):
            assert same_color(handle.get_color(), color)
        assert both[network].title in axes.get_title() and "6 random test images" in axes.get_title()


def test_aps_stand_beside_the_name_of_their_network(both, split, drawn, tmp_path):
    analysis.scores(both, split, tmp_path)
    axes = drawn["ap_of_both.png"].axes[0]
    bars = {one.get_label(): [bar.get_width() for bar in one] for one in axes.containers}
    assert bars == {
        "VGG-16, iteration 400, mAP 0.750": [0.7, 0.8],
        "CaffeNet, iteration 600, mAP 0.375": [0.5, 0.25],
    }


def test_examples_are_of_the_scores_and_the_classes_of_their_network(both, split, drawn, tmp_path):
    analysis.scores(both, split, tmp_path)
    for network, hardest, probability in (
        ("caffenet", "dog, AP 0.25\non 7 of 12 images", "50.0%"),
        ("vgg16", "cat, AP 0.70\non 4 of 12 images", "73.1%"),  # 1 / (1 + exp(-1))
    ):
        figure = drawn[f"examples_{network}.png"]
        assert both[network].title in figure.get_suptitle()
        first = figure.axes[0]
        assert first.texts[0].get_text() == f"hardest: {hardest}\nhighest scores without it"
        assert first.get_title().startswith(probability)
