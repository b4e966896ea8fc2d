"""Losses with the weights and the reduction of `tf.losses` in TensorFlow 1."""

import tensorflow as tf

from common import scopes
from common.distribution import sum_over_replicas
from common.mixup import Mixed, MixedWeights


def sigmoid_cross_entropy(
    labels: tf.Tensor | Mixed, logits: tf.Tensor, weights: tf.Tensor | MixedWeights
) -> tf.Tensor:
    """Multi-label loss: each class is a binary decision of its own (handout Q1.2).

    The reduction is `tf.losses.sigmoid_cross_entropy`'s, SUM_BY_NONZERO_WEIGHTS:
    sum(weight * cross entropy) / count(weight != 0), and 0 if that count is 0.

    The loss of mixtures is mixup's: share * loss against the one image's labels and weights +
    (1 - share) * loss against the other's. Where nothing is masked, that is the loss against the mixed
    labels.

    Args:
        labels: (B, classes) in {0, 1}, or those of mixtures.
        logits: (B, classes), of the labels' dtype, float32 or float64.
        weights: (B, classes) of the same dtype, 0 where a label is not to be counted, or those of mixtures.

    Returns:
        () of that dtype, nats.
    """

    def loss(labels: tf.Tensor, weights: tf.Tensor, share: tf.Tensor | float) -> tf.Tensor:
        return _mean_by_nonzero_weights(share * _binary_cross_entropy(labels, logits), weights)

    if isinstance(labels, Mixed):
        first = loss(labels.first, weights.first, labels.share)
        return first + loss(labels.second, weights.second, 1 - labels.share)
    return loss(labels, weights, 1.0)


def softmax_cross_entropy(labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """One class an image (handout Task 0), with the reduction of `sigmoid_cross_entropy`.

    Args:
        labels: (B,) int64, the class.
        logits: (B, classes) float32 or float64.
        weights: (B,) of the logits' dtype, 0 where an image is not to be counted.

    Returns:
        () of that dtype, nats.
    """
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return _mean_by_nonzero_weights(cross_entropy, weights)


@tf.custom_gradient
def _binary_cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The cross entropy of each label alone: (B, classes), nats, of arrays of that shape.

    It is TensorFlow's with a gradient of its own: TensorFlow's leads to the logits on four ways, and grappler
    has a graph add up what comes back on them in the order in which it is computed. By rounding, a training
    could then part from its repetition.
    """
    scope = tf.get_current_name_scope()

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with scopes.of_gradient(scope):
            # Probability - label; for 0 and 1 without a difference of numbers that are almost equal.
            of_logits = (1 - labels) * tf.sigmoid(logits) - labels * tf.sigmoid(-logits)
            return -upstream * logits, upstream * of_logits

    return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits), gradients


def _mean_by_nonzero_weights(losses: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    # Each replica has a part of the batch, and divides by the count of the whole: their sum is the loss.
    counted = sum_over_replicas(tf.math.count_nonzero(weights, dtype=losses.dtype))
    return tf.math.divide_no_nan(tf.reduce_sum(weights * losses), counted)
