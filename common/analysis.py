"""The parts of Task 5: each looks at one thing, draws it, and returns what it measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common import analysis_figures, augment, embedding, evaluation, features, figures
from common.captions import describe_batch
from common.input import EvalInput, Examples
from common.task_networks import NETWORK_TITLES
from common.trained import Trained

LAYERS = ("pool5", "fc7")
METRICS: tuple[features.Metric, ...] = ("euclidean", "cosine")


class Seen(NamedTuple):
    """What a network makes of the test split.

    Attributes:
        title: the network, its iteration and its data.
        features: {layer: float32 (N, D)} of `LAYERS`.
        logits: float32 (N, classes).
        evaluation: "step" and the metrics of the logits.
    """

    title: str
    features: Mapping[str, np.ndarray]
    logits: np.ndarray
    evaluation: Mapping[str, Any]


def look(network: Trained, test: Examples, batch_size: int) -> Seen:
    """Shows a network the centre crops of a split, once.

    Args:
        network: see `common.trained.load_for`.
        test: the split, uint8 images no smaller than the network's crops.
        batch_size: images at a time; no effect on what is seen.

    Returns:
        Features, logits and scores of all images, in order.

    Raises:
        UserError: a logit is NaN or infinite.
    """
    test_input = EvalInput(test, batch_size, lambda images: augment.center_crop(images, network.size))
    outputs = features.extract(network.model, (*LAYERS, "fc8"), test_input)
    logits = outputs.pop("fc8")
    evaluation.check_finite(
        logits, test.ids, test.classes, network.title, "it has diverged, take another run"
    )
    metrics = evaluation.multilabel_metrics(test.labels, logits, test.weights, test.classes)
    return Seen(network.title, outputs, logits, {"step": network.step, **metrics})


def neighbours(
    seen: Mapping[str, Seen], test: Examples, queries: int, count: int, seed: int, folder: Path
) -> tuple[dict[str, Any], list[Path]]:
    """Nearest neighbours by each network's pool5 and fc7, Euclidean and cosine.

    Args:
        seen: by network, "caffenet" and "vgg16".
        test: the split.
        queries: how many images of different classes to show.
        count: neighbours of each.
        seed: decides which images.
        folder: of the figures.

    Returns:
        The share of neighbours with a class in common, by feature and metric, over the images "shown"
        and over "all", and the share of all pairs of images, "at random"; None where no label decides. The
        figures.
    """
    chosen = features.choose_of_different_classes(
        test.labels, test.weights, queries, np.random.default_rng(seed)
    )
    queries_by_class = {test.classes[column]: row for column, row in chosen.items()}
    rows = list(chosen.values())
    in_common = features.have_in_common(test.labels, test.weights)
    by_chance = features.share_in_common(in_common)
    shares: dict[str, Any] = {"shown": {}, "all": {}, "at random": by_chance}
    paths = []
    for network, layer in [(network, layer) for network in seen for layer in LAYERS]:
        found = {m: features.nearest(seen[network].features[layer], m, count) for m in METRICS}
        alike = {m: np.take_along_axis(in_common, nearest, axis=1) for m, nearest in found.items()}
        name = f"{NETWORK_TITLES[network]} {layer}"
        shares["shown"][name] = {m: features.share_in_common(one[rows]) for m, one in alike.items()}
        shares["all"][name] = {m: features.share_in_common(one) for m, one in alike.items()}
        what = f"{layer} after its relu, without dropout" if layer == "fc7" else f"{layer}, flattened"
        title = f"Neighbours among {len(test):,} test images by {what}\n{seen[network].title}"
        path = folder / f"neighbours_{network}_{layer}.png"
        shown = {metric: (found[metric][rows], alike[metric][rows]) for metric in METRICS}
        paths.append(analysis_figures.nearest_neighbours(test, queries_by_class, shown, title, path))
    titles = "\n".join(what.title for what in seen.values())
    title = f"all {len(test):,} test images, {count} neighbours each\n{titles}"
    path = folder / "neighbours_shares.png"
    paths.append(analysis_figures.shares_in_common(shares["all"], by_chance, title, path))
    return shares, paths


class Embedded(NamedTuple):
    """fc7 of random test images in two dimensions.

    Attributes:
        rows: int (N,) of the split.
        points: {network: float32 (N, 2)}.
    """

    rows: np.ndarray
    points: Mapping[str, np.ndarray]


def embed_fc7(seen: Mapping[str, Seen], test: Examples, count: int, seed: int) -> Embedded:
    """t-SNE of fc7 of random test images, the same ones for every network.

    Args:
        seen, test, seed: as for `neighbours`.
        count: images, at most.

    Raises:
        UserError: a network gives all of them the same fc7.
    """
    rows = features.choose_at_random(count, len(test), np.random.default_rng(seed))
    points = {
        network: embedding.tsne(what.features["fc7"][rows], what.title, seed)
        for network, what in seen.items()
    }
    return Embedded(rows, points)


def map_of_fc7(seen: Mapping[str, Seen], test: Examples, embedded: Embedded, folder: Path) -> list[Path]:
    """Figures of the t-SNE of fc7, and the same images for TensorBoard's projector.

    Args:
        seen, test, folder: as for `neighbours`.
        embedded: see `embed_fc7`.

    Returns:
        The figures, and the projector's folder.
    """
    rows = embedded.rows
    labels, weights = test.labels[rows], test.weights[rows]
    colors = embedding.class_colors(test.classes)
    legend = dict(zip(test.classes, colors, strict=True))
    if not labels.any(axis=1).all():
        legend["none that counts"] = np.full(3, embedding.NO_CLASS)
    dots = embedding.mean_colors(labels, colors)
    paths = []
    for network, what in seen.items():
        title = (
            f"t-SNE of fc7, after its relu, without dropout: {len(rows):,} random test images, each in the "
            f"mean colour of its classes\n{what.title}"
        )
        points = embedded.points[network]
        paths.append(analysis_figures.tsne_map(points, dots, legend, title, folder / f"tsne_{network}.png"))
    vectors = {f"{NETWORK_TITLES[network]} fc7": what.features["fc7"][rows] for network, what in seen.items()}
    ids = [test.ids[row] for row in rows]
    projector = folder / "projector"
    shown = describe_batch(labels, weights, test.classes)
    paths.append(embedding.write_projector(projector, vectors, test.images[rows], shown, ids))
    return paths


def scores(seen: Mapping[str, Seen], test: Examples, folder: Path) -> Sequence[Path]:
    """AP per class of both networks, and the images behind the hardest and the easiest class of each.

    Args:
        seen, test, folder: as for `neighbours`; the first network is the one from scratch.

    Returns:
        The figures.
    """
    scratch, tuned = seen.values()
    names = [NETWORK_TITLES[network] for network in reversed(seen)]
    title = f"{tuned.title}\n{scratch.title}"
    path = folder / "ap_of_both.png"
    paths = [figures.paired_ap(tuned.evaluation, scratch.evaluation, *names, title, path)]
    for network, what in seen.items():
        path = folder / f"examples_{network}.png"
        ap = what.evaluation["AP"]
        paths.append(analysis_figures.hardest_and_easiest(test, what.logits, ap, what.title, path))
    return paths
