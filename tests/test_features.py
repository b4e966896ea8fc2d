"""Neighbours against brute force in float64; features against the layers' own outputs."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from common import features
from common.input import EvalInput, Examples


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(150, 12)).astype(np.float32) + 0.5


def brute_force(points: np.ndarray, metric: str, count: int) -> np.ndarray:
    x = points.astype(np.float64)
    if metric == "cosine":
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        distances = 1 - unit @ unit.T
    else:
        distances = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2))
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1)[:, :count]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_are_those_of_brute_force_in_float64(points, metric):
    found = features.nearest(points, metric, 7)
    np.testing.assert_array_equal(found, brute_force(points, metric, 7))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbours_are_right_where_all_images_look_much_the_same_to_a_network(points, metric):
    narrow = 50 + points / 10
    np.testing.assert_array_equal(features.nearest(narrow, metric, 7), brute_force(narrow, metric, 7))


def test_by_cosine_an_image_without_any_feature_is_at_a_right_angle_to_all_others():
    vectors = np.array([[0, 0], [1, 0], [3, 0.1], [1, 2], [-1, 0.1]], np.float32)
    found = features.nearest(vectors, "cosine", 4)
    assert found[1].tolist() == [2, 3, 0, 4]  # 0 between what points the same way and what points away


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_an_image_is_never_its_own_neighbour_even_beside_its_double(points, metric):
    doubled = np.concatenate([points[:20], points[:20]])
    found = features.nearest(doubled, metric, 39)
    for row, neighbours in enumerate(found):
        assert sorted([row, *neighbours]) == list(range(40))
        assert neighbours[0] == (row + 20) % 40


def test_the_two_metrics_differ(points):
    assert not np.array_equal(features.nearest(points, "euclidean", 3), features.nearest(points, "cosine", 3))


def test_classes_in_common_by_hand():
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0], [0, 1]])
    weights = np.array([[1, 1], [1, 1], [1, 1], [1, 1], [0, 1]])  # the last may show the first class too
    rows = np.array([0, 2, 3, 4])
    neighbours = np.array([[1, 2, 4], [0, 3, 4], [0, 1, 4], [0, 1, 3]])
    found = features.have_in_common(labels, weights, rows, neighbours)
    nan = np.nan
    np.testing.assert_array_equal(found, [[1, 0, nan], [0, 0, 1], [nan, nan, nan], [nan, 1, 0]])
    assert features.share_in_common(found) == 3 / 7
    assert np.isnan(features.share_in_common(found[2:3]))


def test_without_masked_labels_an_overlap_decides():
    rng = np.random.default_rng(5)
    labels = (rng.random((40, 6)) < 0.3).astype(int)
    rows, neighbours = np.arange(40), rng.integers(0, 40, (40, 4))
    found = features.have_in_common(labels, np.ones((40, 6)), rows, neighbours)
    for row, line in zip(rows, found, strict=True):
        shown = set(np.flatnonzero(labels[row]))
        for index, one in zip(neighbours[row], line, strict=True):
            assert np.isnan(one) if not shown else one == bool(shown & set(np.flatnonzero(labels[index])))


def test_neighbours_at_random_are_all_the_others_alike():
    found = features.random_neighbours(4_000, 5, np.random.default_rng(0))
    assert found.shape == (5, 4_000)
    for row, neighbours in enumerate(found):
        counts = np.bincount(neighbours, minlength=5)
        assert counts[row] == 0
        np.testing.assert_allclose(np.delete(counts, row), 1_000, atol=110)  # four standard deviations


def test_images_of_different_classes_are_chosen():
    rng = np.random.default_rng(1)
    labels = (rng.random((60, 8)) < 0.15).astype(int)
    labels[:, 5] = 0  # a class that no image shows
    chosen = features.choose_of_different_classes(labels, np.ones_like(labels), 6, np.random.default_rng(0))
    assert len(set(chosen)) == 6
    # Images can be matched to classes, each to one of its own.
    matched = maximum_bipartite_matching(csr_array(labels[chosen]), perm_type="column")
    assert np.all(matched >= 0)
    assert chosen == features.choose_of_different_classes(
        labels, np.ones_like(labels), 6, np.random.default_rng(0)
    )
    assert chosen != features.choose_of_different_classes(
        labels, np.ones_like(labels), 6, np.random.default_rng(1)
    )
    assert (
        len(features.choose_of_different_classes(labels, np.ones_like(labels), 20, np.random.default_rng(0)))
        == 7
    )


def test_an_image_of_one_class_is_preferred_to_one_of_several():
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0], [0, 1, 1]])
    for seed in range(5):
        chosen = features.choose_of_different_classes(
            labels, np.ones_like(labels), 3, np.random.default_rng(seed)
        )
        assert sorted(chosen) == [1, 3, 4]  # 4 shows two, as few as there are for the last class


def test_an_image_that_may_show_another_class_counts_as_showing_it():
    labels = np.array([[1, 0], [1, 0], [0, 1]])
    weights = np.array([[1, 0], [1, 1], [1, 1]])
    for seed in range(5):
        chosen = features.choose_of_different_classes(labels, weights, 2, np.random.default_rng(seed))
        assert sorted(chosen) == [1, 2]


def test_random_images_are_distinct_and_the_same_for_the_same_seed():
    chosen = features.choose_at_random(1_000, 4_952, np.random.default_rng(3))
    assert len(np.unique(chosen)) == 1_000 and 0 <= chosen.min() and chosen.max() < 4_952
    np.testing.assert_array_equal(chosen, features.choose_at_random(1_000, 4_952, np.random.default_rng(3)))
    assert not np.array_equal(chosen, features.choose_at_random(1_000, 4_952, np.random.default_rng(4)))
    np.testing.assert_array_equal(features.choose_at_random(9, 4, np.random.default_rng(0)), range(4))


def test_logits_are_not_rounded_where_the_network_computes_in_bfloat16():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    stack = [keras.Input((4, 4, 3)), layers.Flatten(), layers.Dense(3, dtype="float32", name="fc8")]
    model = keras.Sequential(stack)
    images = np.random.default_rng(0).normal(size=(9, 4, 4, 3)).astype(np.float32)
    examples = Examples("test", images, np.zeros((9, 3)), np.ones((9, 3)), range(9), "abc")
    found = features.extract(model, ("fc8",), EvalInput(examples, 4, lambda images: images))
    np.testing.assert_allclose(found["fc8"], model(images, training=False), rtol=1e-6)
    assert not np.array_equal(found["fc8"], found["fc8"].astype(np.float16))


def test_features_are_the_layers_outputs_flattened_after_relu_and_without_dropout():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3), dtype="uint8"),
            layers.Rescaling(1.0, dtype="float32"),
            layers.Conv2D(4, 3, name="conv"),
            layers.MaxPooling2D(2, name="pool5"),
            layers.Flatten(),
            layers.Dense(7, "relu", name="fc7"),
            layers.Dropout(0.5, name="dropout7"),
            layers.Dense(2, name="fc8"),
        ]
    )
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 3), np.uint8)
    examples = Examples("test", images, np.zeros((5, 2)), np.ones((5, 2)), range(5), "ab")
    found = features.extract(model, ("pool5", "fc7", "fc8"), EvalInput(examples, 2, lambda images: images))
    maps = model.get_layer("pool5")(model.get_layer("conv")(images.astype(np.float32))).numpy()
    np.testing.assert_allclose(found["pool5"], maps.reshape(5, -1), rtol=1e-5)
    kernel, bias = (variable.numpy() for variable in model.get_layer("fc7").weights)
    np.testing.assert_allclose(
        found["fc7"], np.maximum(maps.reshape(5, -1) @ kernel + bias, 0), rtol=1e-4, atol=1e-3
    )
    np.testing.assert_allclose(found["fc8"], model(images, training=False), rtol=1e-4, atol=1e-4)
    assert found["fc7"].dtype == np.float32
