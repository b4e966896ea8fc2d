"""Average precision by both conventions, against scikit-learn, literal loops and hand-made cases."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from common.errors import UserError
from common.evaluation import (
    accuracy_metrics,
    break_ties,
    check_finite,
    format_table,
    guessing_average_precision,
    multilabel_metrics,
    voc2007_average_precision,
)

CLASSES = ("cat", "dog", "cow", "car")


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, logits and weights of 60 images; where the weight is 0 so is the label, as in VOC."""
    rng = np.random.default_rng(0)
    weights = (rng.random((60, 4)) < 0.8).astype(np.float32)
    labels = (rng.random((60, 4)) < 0.3).astype(np.float32) * weights
    logits = (labels + rng.normal(0, 1, (60, 4))).astype(np.float32)
    return labels, logits, weights


def slow_voc2007(labels, scores) -> float:
    """As the development kit's VOCevaldet.m writes it: threshold by threshold, level by level."""
    labels, scores = [float(label) for label in labels], [float(score) for score in scores]
    points = []
    for threshold in scores:
        chosen = [label for label, score in zip(labels, scores, strict=True) if score >= threshold]
        points.append((sum(chosen) / sum(labels), sum(chosen) / len(chosen)))
    total = 0.0
    for level in range(11):
        beyond = [precision for recall, precision in points if recall >= level / 10 - 1e-9]
        total += max(beyond, default=0) / 11
    return total


def test_ap_is_scikit_learns_on_the_rows_that_count(scored):
    labels, logits, weights = scored
    metrics = multilabel_metrics(labels, logits, weights, CLASSES)
    assert list(metrics["AP"]) == list(CLASSES)
    expected = []
    for column, name in enumerate(CLASSES):
        rows = weights[:, column] > 0
        expected.append(average_precision_score(labels[rows, column], logits[rows, column]))
        assert metrics["AP"][name] == pytest.approx(expected[-1], abs=1e-12)
        slow = slow_voc2007(labels[rows, column], logits[rows, column])
        assert metrics["AP_11point"][name] == pytest.approx(slow, abs=1e-12)
    assert metrics["mAP"] == pytest.approx(np.mean(expected), abs=1e-12)
    for kind in ("AP_11point", "AP_guessing"):
        assert metrics[f"m{kind}"] == pytest.approx(np.mean(list(metrics[kind].values())))
    assert metrics["classes_without_positives"] == []


def test_ap_by_hand():
    # Ranks 1 and 3 of 4 are positive: precision 1 at recall 1/2, 2/3 at recall 1.
    labels, logits = np.array([[1.0], [0], [1], [0]]), np.array([[4.0], [3], [2], [1]])
    metrics = multilabel_metrics(labels, logits, np.ones((4, 1)), ["cat"])
    assert metrics["mAP"] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics["mAP_11point"] == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)


def test_entries_of_weight_0_change_nothing(scored):
    labels, logits, weights = scored
    other_labels = np.where(weights == 0, 1 - labels, labels)
    other_logits = np.where(weights == 0, 100 - logits, logits)
    expected = multilabel_metrics(labels, logits, weights, CLASSES)
    assert multilabel_metrics(other_labels, other_logits, weights, CLASSES) == expected


def test_a_monotone_shift_of_the_logits_changes_nothing(scored):
    labels, logits, weights = scored
    expected = multilabel_metrics(labels, logits, weights, CLASSES)
    assert multilabel_metrics(labels, 3 * logits + 200, weights, CLASSES) == expected


def test_ties_count_against_the_model():
    """One score for every image: all 3 negatives come before the 2 positives, which share a rank."""
    labels = np.array([1.0, 1, 0, 0, 0])
    for order in itertools.permutations(labels):
        column = np.array(order)[:, np.newaxis]
        metrics = multilabel_metrics(column, np.full((5, 1), 0.7), np.ones((5, 1)), ["cat"])
        assert metrics["mAP"] == pytest.approx(2 / 5)
        assert metrics["mAP_11point"] == pytest.approx(2 / 5)


def test_ties_are_broken_by_a_hundred_thousandth():
    labels, scores = np.array([1.0, 0.0]), np.array([2.0, 2.0], np.float32)
    lowered = break_ties(labels, scores)
    assert lowered.dtype == np.float64
    np.testing.assert_allclose(lowered, [2 - 1e-5, 2], rtol=0, atol=1e-12)
    assert scores.tolist() == [2, 2]


def test_11_point_ap_by_hand():
    # 5 positives at ranks 1, 2, 4, 7, 10: precision 1, 1, 3/4, 4/7, 1/2 at recall 0.2, 0.4, ... 1.
    labels = np.array([1, 1, 0, 1, 0, 0, 1, 0, 0, 1])
    expected = (5 * 1 + 2 * 3 / 4 + 2 * 4 / 7 + 2 * 1 / 2) / 11
    assert voc2007_average_precision(labels, -np.arange(10.0)) == pytest.approx(expected)


@pytest.mark.parametrize("positives", [1, 2, 3, 7, 10, 11, 30])
def test_11_point_ap_against_a_literal_loop(positives):
    rng = np.random.default_rng(positives)
    for _ in range(20):
        labels = rng.permutation([1] * positives + [0] * 30)
        scores = labels * 0.5 + rng.normal(size=len(labels))
        assert voc2007_average_precision(labels, scores) == pytest.approx(slow_voc2007(labels, scores))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_guessing_is_the_mean_over_all_rankings(count):
    for positives in range(1, count + 1):
        labels = np.array([1] * positives + [0] * (count - positives))
        rankings = itertools.permutations(range(count))
        mean = np.mean([average_precision_score(labels, ranking) for ranking in rankings])
        assert guessing_average_precision(labels) == pytest.approx(mean)


def test_a_class_without_positives_is_left_out_and_named(scored):
    labels, logits, weights = scored
    everything = multilabel_metrics(labels, logits, weights, CLASSES)
    labels[:, 1] = 0
    metrics = multilabel_metrics(labels, logits, weights, CLASSES)
    assert metrics["classes_without_positives"] == ["dog"]
    assert set(metrics["AP"]) == {"cat", "cow", "car"}
    others = [everything["AP"][name] for name in ("cat", "cow", "car")]
    assert metrics["mAP"] == pytest.approx(np.mean(others))
    assert "dog" in format_table({"step": 40, **metrics}).splitlines()[-1]


def test_a_class_whose_positives_do_not_count_has_none(scored):
    labels, logits, weights = scored
    weights[labels[:, 2] == 1, 2] = 0
    metrics = multilabel_metrics(labels, logits, weights, CLASSES)
    assert metrics["classes_without_positives"] == ["cow"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_an_error_that_names_the_class_and_the_image(scored, value):
    _, logits, _ = scored
    ids = [f"{number:06}" for number in range(60)]
    check_finite(logits, ids, CLASSES, "runs/a", "train anew")
    logits[13, 2] = value
    with pytest.raises(UserError, match="^runs/a: the score of cow for image 000013 is .*; train anew$"):
        check_finite(logits, ids, CLASSES, "runs/a", "train anew")


def test_one_image():
    labels = np.array([[1.0, 0.0]])
    metrics = multilabel_metrics(labels, np.array([[-3.0, 5.0]]), np.ones((1, 2)), ["cat", "dog"])
    assert metrics["AP"] == metrics["AP_11point"] == metrics["AP_guessing"] == {"cat": 1.0}
    assert metrics["classes_without_positives"] == ["dog"]


def test_nothing_to_count_has_no_mean(scored):
    labels, logits, weights = scored
    metrics = multilabel_metrics(labels, logits, np.zeros_like(weights), CLASSES)
    assert metrics["AP"] == {}
    assert metrics["classes_without_positives"] == list(CLASSES)
    assert np.isnan([metrics["mAP"], metrics["mAP_11point"], metrics["mAP_guessing"]]).all()
    assert "nan" in format_table({"step": 40, **metrics})


def test_the_table_has_every_class_best_first_and_the_means(scored):
    metrics = multilabel_metrics(*scored, CLASSES)
    title, *lines = format_table({"step": 40, **metrics}).splitlines()
    assert title == "test scores after 40 iterations"
    rows = [line.split() for line in lines]
    best_first = sorted(CLASSES, key=lambda name: -metrics["AP"][name])
    assert [row[0] for row in rows] == ["class", *best_first, "mean"]
    for name, *values in rows[1:-1]:
        expected = (metrics[kind][name] for kind in ("AP", "AP_11point", "AP_guessing"))
        assert values == [f"{value:.3f}" for value in expected]
    means = (metrics[kind] for kind in ("mAP", "mAP_11point", "mAP_guessing"))
    assert rows[-1][1:] == [f"{value:.3f}" for value in means]


def test_accuracy_and_confusion_by_hand():
    """Five images of two classes; the last doesn't count, the second is taken for the other class."""
    labels = np.array([0, 0, 1, 1, 1])
    logits = np.array([[2.0, 1.0], [0.0, 3.0], [0.0, 1.0], [-1.0, 0.0], [5.0, 0.0]])
    metrics = accuracy_metrics(labels, logits, np.array([1, 1, 1, 1, 0]))
    assert metrics == {"accuracy": 0.75, "confusion": [[1, 1], [0, 2]]}
