"""Neighbours against brute force in float64; features against the layers' own outputs."""

import keras
import numpy as np
import pytest
from keras import layers

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
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0], [0, 1], [0, 0]])
    # The fifth may show the first class too, and so may the last.
    weights = np.array([[1, 1], [1, 1], [1, 1], [1, 1], [0, 1], [0, 1]])
    found = features.have_in_common(labels, weights)
    nan = np.nan
    expected = [
        [nan, 1, 0, 0, nan, nan],
        [1, nan, 1, 0, 1, nan],
        [0, 1, nan, 0, 1, 0],
        [0, 0, 0, nan, 0, 0],
        [nan, 1, 1, 0, nan, nan],
        [nan, nan, 0, 0, nan, nan],
    ]
    np.testing.assert_array_equal(found, expected)
    assert features.share_in_common(found) == 8 / 22
    assert features.share_in_common(found[[0, 4, 5]][:, [4, 5]]) is None


def test_images_of_different_classes_are_chosen():
    rng = np.random.default_rng(1)
    labels = (rng.random((60, 8)) < 0.15).astype(int)
    labels[:, 5] = 0  # a class that no image shows

    def choose(count: int, seed: int) -> dict[int, int]:
        return features.choose_of_different_classes(
            labels, np.ones_like(labels), count, np.random.default_rng(seed)
        )

    chosen = choose(6, 0)
    assert len(chosen) == len(set(chosen.values())) == 6
    assert all(labels[row, column] for column, row in chosen.items())
    assert chosen == choose(6, 0) != choose(6, 1)
    assert sorted(choose(20, 0)) == [0, 1, 2, 3, 4, 6, 7]


@pytest.mark.parametrize("seed", range(5))
def test_images_without_a_class_in_common_come_first_and_of_them_those_of_few_classes(seed):
    labels = np.array([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 1, 1, 0, 1]])
    weights = np.ones_like(labels)

    def choose(count: int) -> dict[int, int]:
        return features.choose_of_different_classes(labels, weights, count, np.random.default_rng(seed))

    # The first class has an image of its own. Apart from it are the last three images; they have a class in
    # common, so that only one of them is, and the last shows most.
    assert choose(1) == {0: 1}
    two = choose(2)
    assert two.pop(0) == 1 and list(two.values()) in ([2], [3])
    three = choose(3)
    assert len(set(three.values())) == 3 and three.items() > choose(2).items()


@pytest.mark.parametrize("seed", range(5))
def test_an_image_that_may_show_another_class_counts_as_showing_it(seed):
    labels = np.array([[1, 0], [1, 0], [0, 1]])
    weights = np.array([[1, 0], [1, 1], [1, 1]])
    chosen = features.choose_of_different_classes(labels, weights, 2, np.random.default_rng(seed))
    assert chosen == {0: 1, 1: 2}


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
    # An atol too, for the logits whose terms cancel; bfloat16 would be off by 1e-3.
    np.testing.assert_allclose(found["fc8"], model(images, training=False), rtol=1e-6, atol=1e-6)
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
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:  # whole numbers, whose sums are exact in any order
        variable.assign(rng.integers(-2, 3, variable.shape))
    images = rng.integers(0, 256, (5, 6, 6, 3), np.uint8)
    examples = Examples("test", images, np.zeros((5, 2)), np.ones((5, 2)), range(5), "ab")
    found = features.extract(model, ("pool5", "fc7", "fc8"), EvalInput(examples, 2, lambda images: images))
    maps = model.get_layer("pool5")(model.get_layer("conv")(images.astype(np.float32))).numpy()
    np.testing.assert_array_equal(found["pool5"], maps.reshape(5, -1))
    kernel, bias = (variable.numpy() for variable in model.get_layer("fc7").weights)
    np.testing.assert_array_equal(found["fc7"], np.maximum(maps.reshape(5, -1) @ kernel + bias, 0))
    np.testing.assert_array_equal(found["fc8"], model(images, training=False))
    assert found["fc7"].dtype == np.float32
