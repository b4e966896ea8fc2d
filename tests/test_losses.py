"""The weighted cross entropy against its definition in float64."""

import math

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import log_loss

from common.losses import sigmoid_cross_entropy, softmax_cross_entropy
from common.mixup import Mixed, MixedWeights


def definition(labels, logits, weights) -> float:
    """sum(weight * cross entropy) / count(weight != 0), by -z log(p) - (1 - z) log(1 - p)."""
    labels, logits, weights = (np.asarray(array, np.float64) for array in (labels, logits, weights))
    probability = 1 / (1 + np.exp(-logits))
    entropy = -labels * np.log(probability) - (1 - labels) * np.log(1 - probability)
    return np.sum(weights * entropy) / np.count_nonzero(weights)


def loss_of(labels, logits, weights) -> float:
    arrays = (tf.constant(np.asarray(array, np.float32)) for array in (labels, logits, weights))
    loss = sigmoid_cross_entropy(*arrays)
    assert loss.shape == () and loss.dtype == tf.float32
    return float(loss)


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = (rng.random((10, 20)) < 0.1).astype(np.float32)
    logits = rng.normal(0, 3, (10, 20)).astype(np.float32)
    weights = (rng.random((10, 20)) < 0.9).astype(np.float32)
    return labels, logits, weights


def test_by_hand():
    # ln 2; -ln 0.8 at logit ln 4; -ln 0.2 at logit ln 4 and label 0; the last isn't counted.
    four = math.log(4)
    loss = loss_of([[1, 1], [0, 1]], [[0, four], [four, -50]], [[1, 1], [1, 0]])
    assert loss == pytest.approx((math.log(2) - math.log(0.8) - math.log(0.2)) / 3, rel=1e-6)


def test_against_the_definition(batch):
    assert loss_of(*batch) == pytest.approx(definition(*batch), rel=1e-6)


def test_weights_other_than_1_count_once_in_the_denominator(batch):
    labels, logits, weights = batch
    weights = weights * np.random.default_rng(1).uniform(0.5, 2, weights.shape)
    assert loss_of(labels, logits, weights) == pytest.approx(definition(labels, logits, weights), rel=1e-6)


def test_sure_and_wrong_is_large_but_finite():
    assert loss_of([[0, 1]], [[1e4, -1e4]], [[1, 1]]) == pytest.approx(1e4)


def test_nothing_to_count_gives_0_and_no_gradient(batch):
    labels, logits, weights = batch
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = sigmoid_cross_entropy(labels, logits, tf.zeros_like(weights))
    assert float(loss) == 0
    np.testing.assert_array_equal(tape.gradient(loss, logits), np.zeros((10, 20)))


def test_masked_labels_and_logits_change_nothing(batch):
    labels, logits, weights = batch
    other_labels = np.where(weights == 0, 1 - labels, labels)
    other_logits = np.where(weights == 0, logits + 7, logits)
    assert loss_of(other_labels, other_logits, weights) == loss_of(labels, logits, weights)


def test_gradient_is_probability_minus_label_where_counted_and_0_elsewhere(batch):
    labels, logits, weights = batch
    variable = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        loss = sigmoid_cross_entropy(labels, variable, weights)
    gradient = tape.gradient(loss, variable).numpy()
    assert np.all(gradient[weights == 0] == 0)
    expected = weights * (1 / (1 + np.exp(-logits.astype(np.float64))) - labels) / np.sum(weights)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-9)


def test_gradients_are_those_of_tensorflows_own_cross_entropy(batch):
    """In float64, also where the logits are large."""
    labels, logits, weights = (tf.constant(array, tf.float64) for array in batch)
    logits *= 100
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([labels, logits])
        ours = sigmoid_cross_entropy(labels, logits, weights)
        its_own = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        its_own = tf.reduce_sum(weights * its_own) / tf.reduce_sum(weights)
    for one in (labels, logits):
        expected = tape.gradient(its_own, one)
        np.testing.assert_allclose(tape.gradient(ours, one), expected, rtol=1e-12, atol=1e-300)


def count_of_sums(mixed: bool, batch) -> list[int]:
    """How many gradients each sum of the loss' gradient by the logits has."""
    labels, logits, weights = map(tf.constant, batch)
    if mixed:
        labels = Mixed(labels, labels[::-1], tf.constant(0.3))
        weights = MixedWeights(weights, weights[::-1])

    @tf.function(autograph=False)
    def gradient(logits: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = sigmoid_cross_entropy(labels, logits, weights)
        return tape.gradient(loss, logits)

    operations = gradient.get_concrete_function(logits).graph.get_operations()
    return [len(operation.inputs) for operation in operations if operation.type == "AddN"]


@pytest.mark.parametrize(("mixed", "sums"), [(False, []), (True, [2])])
def test_no_sum_in_the_gradient_depends_on_the_order_of_its_terms(batch, mixed, sums):
    """TensorFlow adds three terms or more in the order in which they are there, which rounds differently."""
    assert count_of_sums(mixed, batch) == sums


def test_softmax_cross_entropy_is_scikit_learns_log_loss():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(9, 4)).astype(np.float32), rng.integers(0, 4, 9)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    loss = softmax_cross_entropy(tf.constant(labels), tf.constant(logits), tf.ones(9))
    assert float(loss) == pytest.approx(log_loss(labels, probabilities, labels=range(4)), rel=1e-5)


def test_softmax_cross_entropy_of_images_that_do_not_count():
    """Two images of probability 1/2 and 1/4 for their class; a third of weight 0."""
    logits = tf.math.log([[0.5, 0.5], [0.25, 0.75], [1.0, 0.01]])
    loss = softmax_cross_entropy(tf.constant([0, 0, 1]), logits, tf.constant([1.0, 1.0, 0.0]))
    assert float(loss) == pytest.approx((math.log(2) + math.log(4)) / 2, rel=1e-6)
    assert float(softmax_cross_entropy(tf.constant([0, 0, 1]), logits, tf.zeros(3))) == 0
