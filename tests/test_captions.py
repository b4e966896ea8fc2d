"""Captions of images, worked out by hand."""

import numpy as np

from common.captions import describe_batch
from common.mixup import Mixed, MixedWeights

CLASSES = ("cat", "dog", "sofa")


def test_captions_name_the_classes_and_put_what_is_not_counted_in_parentheses():
    labels = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], np.float32)
    weights = np.array([[1, 1, 1], [1, 1, 1], [0, 1, 1]], np.float32)
    assert describe_batch(labels, weights, CLASSES) == ["cat, sofa", "no class", "dog, (cat)"]


def test_captions_of_one_class_an_image():
    assert describe_batch(np.array([2, 0]), np.ones(2), CLASSES) == ["sofa", "cat"]


def test_captions_of_mixtures_name_both_images_and_their_shares():
    labels = Mixed(np.array([[1, 0, 0]]), np.array([[0, 1, 1]]), np.array([[0.75]]))
    weights = MixedWeights(np.ones((1, 3)), np.ones((1, 3)))
    assert describe_batch(labels, weights, CLASSES) == ["0.75 cat + 0.25 dog, sofa"]
