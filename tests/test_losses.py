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


def gradients_by_definition(labels, logits, weights) -> tuple[np.ndarray, np.ndarray]:
    """Of the loss, by labels and by logits, of arrays in float64."""
    share = weights / np.count_nonzero(weights)
    present, absent = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(logits))  # probabilities
    return -share * logits, share * ((1 - labels) * present - labels * absent)


def gradients_of_loss(labels, logits, weights, by) -> list[tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(by)
        loss = sigmoid_cross_entropy(labels, logits, weights)
    return tape.gradient(loss, by)


@pytest.mark.parametrize("run", [lambda function: function, tf.function], ids=["eager", "graph"])
def test_gradients_by_labels_and_logits_are_their_definitions(batch, run):
    """Also where the logits are large."""
    labels, logits, weights = (array.astype(np.float64) for array in batch)
    logits *= 20
    given = run(lambda labels, logits: gradients_of_loss(labels, logits, weights, [labels, logits]))
    expected = gradients_by_definition(labels, logits, weights)
    for one, other in zip(given(tf.constant(labels), tf.constant(logits)), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def mix(labels, weights, shares) -> tuple[Mixed, MixedWeights]:
    """Every image with the one at the other end of the batch."""
    return Mixed(labels, labels[::-1], shares), MixedWeights(weights, weights[::-1])


def test_the_gradient_of_mixtures_is_the_shared_sum_of_both(batch):
    labels, logits, weights = (array.astype(np.float64) for array in batch)
    shares = np.random.default_rng(2).random((10, 1))
    mixed_labels, mixed_weights = mix(labels, weights, tf.constant(shares))
    variable = tf.constant(logits)
    (given,) = gradients_of_loss(mixed_labels, variable, mixed_weights, [variable])
    _, first = gradients_by_definition(labels, logits, weights)
    _, second = gradients_by_definition(labels[::-1], logits, weights[::-1])
    np.testing.assert_allclose(given, shares * first + (1 - shares) * second, rtol=1e-12, atol=1e-18)


def terms_of_sums(loss, logits) -> list[int]:
    """How many terms each sum has in the graph of a loss' gradient."""

    def gradient(logits: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(logits)
        return tape.gradient(value, logits)

    graph = tf.function(gradient, autograph=False).get_concrete_function(tf.constant(logits)).graph
    return [len(operation.inputs) for operation in graph.get_operations() if operation.type == "AddN"]


def test_no_sum_in_the_gradient_depends_on_the_order_of_its_terms(batch):
    """TensorFlow adds three terms or more in the order in which they are there, and so rounds differently."""
    labels, logits, weights = batch
    mixed = mix(labels, weights, tf.fill((10, 1), 0.3))
    assert terms_of_sums(lambda logits: sigmoid_cross_entropy(labels, logits, weights), logits) == []
    assert terms_of_sums(lambda logits: sigmoid_cross_entropy(mixed[0], logits, mixed[1]), logits) == [2]
    its_own = tf.nn.sigmoid_cross_entropy_with_logits
    assert max(terms_of_sums(lambda logits: its_own(labels=labels, logits=logits), logits)) > 2


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
