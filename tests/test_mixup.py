"""Shares against the Beta distribution, mixtures against plain arithmetic, losses against definitions."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import log_loss

from common import augment, losses, mixup
from common.input import Examples, TrainInput
from common.mixup import Mixed, MixedWeights

BATCH, CLASSES = 12, 5


@pytest.fixture(scope="module")
def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, 6, 6, 3), np.uint8)
    labels = rng.integers(0, 2, (BATCH, CLASSES)).astype(np.float32)
    weights = (rng.random((BATCH, CLASSES)) < 0.8).astype(np.float32)
    return images, labels, weights


def mix(batch, seed: int = 1, step: int = 5, alpha: float = 1.0, one_share: bool = False):
    return mixup.mix(*map(tf.constant, batch), alpha=alpha, one_share=one_share, seed=seed, step=step)


def in_graph(batch, step: int):
    @tf.function(autograph=False)
    def run(step):
        return mix(batch, step=step)

    return run(tf.constant(step, tf.int64))


def partners_in(batch, mixed: Mixed, weights: MixedWeights) -> list[int]:
    """Which row of the batch became the second of each; labels and weights together identify it."""
    rows = np.concatenate(batch[1:], axis=1)
    seconds = np.concatenate([mixed.second, weights.second], axis=1)
    found = [np.flatnonzero((rows == second).all(axis=1)) for second in seconds]
    assert all(len(one) == 1 for one in found)
    return [int(one[0]) for one in found]


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 3.0])
def test_shares_have_the_mean_and_variance_of_beta(alpha):
    shares = mixup.draw_shares(alpha, 200_000, tf.constant([0, 1], tf.int64)).numpy().astype(np.float64)
    assert np.isfinite(shares).all() and 0 <= shares.min() and shares.max() <= 1
    variance = 1 / (4 * (2 * alpha + 1))
    assert shares.mean() == pytest.approx(0.5, abs=5 * (variance / len(shares)) ** 0.5)
    assert shares.var() == pytest.approx(variance, rel=0.01)


def test_beta_1_is_uniform():
    shares = mixup.draw_shares(1.0, 100_000, tf.constant([2, 3], tf.int64)).numpy()
    counts, _ = np.histogram(shares, 20, (0, 1))
    assert np.sum((counts - 5_000) ** 2 / 5_000) < 50  # chi squared with 19 degrees of freedom


def test_the_share_differs_from_step_to_step_and_from_seed_to_seed(batch):
    shares = [mix(batch, step=step)[1].share.numpy() for step in range(20)]
    assert len({share.tobytes() for share in shares}) == 20
    assert not np.array_equal(mix(batch, seed=2)[1].share, mix(batch, seed=1)[1].share)
    np.testing.assert_array_equal(mix(batch, step=3)[1].share, shares[3])


def test_the_input_draws_anew_at_every_step(batch):
    """One graph makes all batches: drawn when it was built, the shares would be equal."""
    images, labels, weights = batch
    examples = Examples("train", images, labels, weights, [str(n) for n in range(BATCH)], "abcde")

    def mixing(images, labels, weights, step):
        return mixup.mix(images, labels, weights, alpha=1.0, one_share=False, seed=1, step=step)

    batches = TrainInput(examples, 4, 0, lambda images, step, first: images, mixing).from_step(0)
    shares = [mixed.share.numpy() for _, mixed, _ in batches.take(10)]
    assert len(np.unique(shares)) == 40


def test_each_pair_has_a_share_of_its_own_or_the_batch_has_one(batch):
    pairs, whole = mix(batch)[1].share.numpy(), mix(batch, one_share=True)[1].share.numpy()
    assert pairs.shape == whole.shape == (BATCH, 1)
    assert len(np.unique(pairs)) == BATCH and len(np.unique(whole)) == 1


def test_partners_are_a_permutation_that_changes_with_the_step(batch):
    orders = [partners_in(batch, *mix(batch, step=step)[1:]) for step in range(8)]
    assert all(sorted(order) == list(range(BATCH)) for order in orders)
    assert len({tuple(order) for order in orders}) == 8


@pytest.mark.parametrize("run", [lambda batch: mix(batch, step=9), lambda batch: in_graph(batch, 9)])
def test_an_image_is_the_mixture_of_its_two_eager_and_in_a_graph(batch, run):
    mixtures, labels, weights = run(batch)
    partners = partners_in(batch, labels, weights)
    images, share = batch[0].astype(np.float64), labels.share.numpy()[:, :, None, None]
    expected = share * images + (1 - share) * images[partners]
    assert mixtures.dtype == tf.uint8
    np.testing.assert_allclose(mixtures, expected, atol=0.5 + 1e-4)  # rounded
    np.testing.assert_array_equal(labels.first, batch[1])
    np.testing.assert_array_equal(weights.first, batch[2])


def test_in_a_graph_it_draws_what_it_draws_eagerly(batch):
    for step in range(3):
        for one, other in zip(
            tf.nest.flatten(mix(batch, step=step)), tf.nest.flatten(in_graph(batch, step)), strict=True
        ):
            np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def logits() -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).normal(0, 2, (BATCH, CLASSES)).astype(np.float32))


def test_the_loss_of_one_share_is_the_shared_sum_of_both_masked_losses(batch, logits):
    _, labels, weights = mix(batch, one_share=True)
    share = float(labels.share[0, 0])
    first = float(losses.sigmoid_cross_entropy(labels.first, logits, weights.first))
    second = float(losses.sigmoid_cross_entropy(labels.second, logits, weights.second))
    loss = float(losses.sigmoid_cross_entropy(labels, logits, weights))
    assert loss == pytest.approx(share * first + (1 - share) * second, rel=1e-6)


def test_the_loss_of_pairs_is_its_definition_in_float64(batch, logits):
    _, labels, weights = mix(batch)
    z = logits.numpy().astype(np.float64)

    def part(y, w, share):
        probability = 1 / (1 + np.exp(-z))
        entropy = -y * np.log(probability) - (1 - y) * np.log(1 - probability)
        return np.sum(share * w * entropy) / np.count_nonzero(w)

    arrays = [tensor.numpy().astype(np.float64) for tensor in (*labels, *weights)]
    first, second, share, first_weights, second_weights = arrays
    expected = part(first, first_weights, share) + part(second, second_weights, 1 - share)
    assert float(losses.sigmoid_cross_entropy(labels, logits, weights)) == pytest.approx(expected, rel=1e-6)


def test_where_nothing_is_masked_it_is_the_loss_of_the_mixed_labels(batch, logits):
    images, labels, _ = batch
    _, mixed, weights = mix((images, labels, np.ones_like(labels)))
    blend = (mixed.share * mixed.first + (1 - mixed.share) * mixed.second).numpy()
    probability = tf.sigmoid(tf.cast(logits, tf.float64)).numpy()
    # scikit-learn takes no soft labels: each is a positive and a negative, weighted.
    truth = np.concatenate([np.ones(blend.size), np.zeros(blend.size)])
    doubled = np.concatenate([probability.ravel(), probability.ravel()])
    share = np.concatenate([blend.ravel(), 1 - blend.ravel()])
    expected = log_loss(truth, doubled, sample_weight=share)
    loss = losses.sigmoid_cross_entropy(mixed, logits, weights)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_share_1_is_the_baselines_loss_to_the_bit(batch, logits):
    _, labels, weights = mix(batch)
    labels = labels._replace(share=tf.ones((BATCH, 1)))
    loss = losses.sigmoid_cross_entropy(labels, logits, weights)
    baseline = losses.sigmoid_cross_entropy(tf.constant(batch[1]), logits, tf.constant(batch[2]))
    assert loss.numpy().tobytes() == baseline.numpy().tobytes()


def test_pixels_of_share_1_are_the_images_own(batch, monkeypatch):
    monkeypatch.setattr(mixup, "draw_shares", lambda alpha, count, key: tf.ones(count))
    for one_share in (False, True):
        mixtures, labels, _ = mix(batch, one_share=one_share)
        np.testing.assert_array_equal(mixtures, batch[0])
        np.testing.assert_array_equal(labels.share, np.ones((BATCH, 1)))


def test_an_ignored_label_of_either_image_never_contributes(batch, logits):
    _, labels, weights = mix(batch)
    flipped = labels._replace(
        first=tf.where(weights.first == 0, 1 - labels.first, labels.first),
        second=tf.where(weights.second == 0, 1 - labels.second, labels.second),
    )
    assert np.sum(weights.first == 0) > 0
    loss = losses.sigmoid_cross_entropy(labels, logits, weights)
    assert losses.sigmoid_cross_entropy(flipped, logits, weights).numpy() == loss.numpy()
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = losses.sigmoid_cross_entropy(labels, logits, weights)
    gradient = tape.gradient(loss, logits).numpy()
    ignored_by_both = (weights.first == 0) & (weights.second == 0)
    assert np.all(gradient[ignored_by_both] == 0)


def test_the_input_mixes_what_it_augmented(batch):
    images, labels, weights = batch
    examples = Examples("train", images, labels, weights, range(BATCH), "abcde")

    def augmentation(images, step, first):
        return augment.random_crop_and_flip(images, 4, 1, step, first)

    def mixing(images, labels, weights, step):
        return mixup.mix(images, labels, weights, alpha=1.0, one_share=False, seed=1, step=step)

    plain = next(iter(TrainInput(examples, 6, 1, augmentation).from_step(7)))
    mixed = next(iter(TrainInput(examples, 6, 1, augmentation, mixing).from_step(7)))
    expected = mixing(*plain, tf.constant(7, tf.int64))
    for one, other in zip(tf.nest.flatten(mixed), tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(one, other)
