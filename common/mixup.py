"""mixup (Zhang, Cisse, Dauphin and Lopez-Paz, ICLR 2018), as TensorFlow operations.

As in `common.augment` all draws are stateless: a function of the seed and the step.
"""

from typing import NamedTuple

import tensorflow as tf


class Mixed(NamedTuple):
    """Labels of a batch in which every image is share * one image + (1 - share) * another.

    Attributes:
        first, second: (B, classes), labels of the two images.
        share: (B, 1) float32 in [0, 1], of the first.
    """

    first: tf.Tensor
    second: tf.Tensor
    share: tf.Tensor


class MixedWeights(NamedTuple):
    """Weights of the labels of the two images: (B, classes) each, 0 where a label is not counted."""

    first: tf.Tensor
    second: tf.Tensor


def draw_shares(alpha: float, count: int, key: tf.Tensor) -> tf.Tensor:
    """Draws from Beta(alpha, alpha), by two draws from Gamma(alpha).

    Args:
        alpha: above 0; the smaller, the closer the shares are to 0 or 1.
        count: how many.
        key: (2,) int64, decides the draws.

    Returns:
        (count,) float32 in [0, 1].
    """
    # In float64: with a small alpha most draws are far below what float32 can tell from 0.
    gammas = tf.random.stateless_gamma((2, count), key, tf.constant(alpha, tf.float64), dtype=tf.float64)
    return tf.cast(gammas[0] / (gammas[0] + gammas[1]), tf.float32)


def mix(
    images: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor,
    *,
    alpha: float,
    one_share: bool,
    seed: int,
    step: tf.Tensor | int,
) -> tuple[tf.Tensor, Mixed, MixedWeights]:
    """Mixes each image of a batch with the one that a random permutation of the batch gives it.

    Args:
        images: (B, H, W, C) uint8.
        labels, weights: (B, classes).
        alpha: the shares are drawn from Beta(alpha, alpha).
        one_share: draw one share for the whole batch instead of one for each pair.
        seed: the run's seed.
        step: the global step the batch belongs to.

    Returns:
        The mixtures, rounded to whole values, as uint8 of the same shape; the labels and the weights of
        both images of each. `common.losses.sigmoid_cross_entropy` takes them.
    """
    batch_size = images.shape[0]
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
    # Keys of their own, so that the shares have nothing to do with crop and flip of the same step.
    share_key, order_key = tf.unstack(tf.random.split(tf.random.fold_in(key, 1), 2))
    shares = draw_shares(alpha, 1 if one_share else batch_size, share_key)
    share = tf.broadcast_to(shares[:, tf.newaxis], (batch_size, 1))
    partners = tf.random.experimental.stateless_shuffle(tf.range(batch_size), order_key)
    of_image = share[:, :, tf.newaxis, tf.newaxis]
    first, second = tf.cast(images, tf.float32), tf.cast(tf.gather(images, partners), tf.float32)
    mixtures = tf.cast(tf.round(of_image * first + (1 - of_image) * second), images.dtype)
    return (
        mixtures,
        Mixed(labels, tf.gather(labels, partners), share),
        MixedWeights(weights, tf.gather(weights, partners)),
    )
