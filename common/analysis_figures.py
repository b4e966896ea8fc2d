"""Figures of Task 5: filters, nearest neighbours, t-SNE, and the images behind an AP."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image, ImageOps

from common.captions import describe_image
from common.figures import save
from common.input import Examples


def _tile(kernel: np.ndarray, columns: int) -> np.ndarray:
    """Filters (H, W, 3, F) side by side, zero as middle grey, the strongest weight as black or white."""
    height, width, _, filters = kernel.shape
    rows = -(-filters // columns)
    sheet = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1, 3))
    strongest = np.abs(kernel).max() or 1  # of a change that is none
    scaled = 0.5 + kernel / (2 * strongest)
    for number in range(filters):
        top = number // columns * (height + 1) + 1
        left = number % columns * (width + 1) + 1
        sheet[top : top + height, left : left + width] = scaled[..., number]
    return sheet


def conv1_filters(kernels: Mapping[int, np.ndarray], title: str, path: Path) -> Path:
    """conv1's filters at stages of the training, and below each what training has added since the first.

    Without weight decay the noise that the filters start from stays, and hides what is learned: the
    differences show it.

    Args:
        kernels: {iteration: float32 (H, W, 3, filters)}, two stages or more, the first one first.
        title: of what network, on what data.
        path: PNG to write.
    """
    (first, start), *later = kernels.items()
    columns = 1 + len(later)
    figure = Figure((4.2 * columns, 12.8), layout="constrained")
    figure.suptitle(f"conv1 filters: {title}\nmiddle grey is 0, each sheet is scaled by its strongest weight")
    above, below = figure.subplots(2, columns)
    for axes in (*above, *below):
        axes.set_axis_off()
    for axes, (step, kernel) in zip(above, kernels.items(), strict=True):
        axes.imshow(_tile(kernel, 8), interpolation="nearest")
        axes.set_title(f"iteration {step:,}\nstrongest weight {np.abs(kernel).max():.3f}")
    for axes, (step, kernel) in zip(below[1:], later, strict=True):
        change = kernel - start
        axes.imshow(_tile(change, 8), interpolation="nearest")
        size = np.linalg.norm(change) / np.linalg.norm(start)
        axes.set_title(
            f"change from {first:,} to {step:,}: {size:.1%} of the norm\nstrongest {np.abs(change).max():.3f}"
        )
    return save(figure, path)


def nearest_neighbours(
    test: Examples, queries: Sequence[int], found: Mapping[str, np.ndarray], title: str, path: Path
) -> Path:
    """Test images and their nearest neighbours; those with a class in common are framed in green.

    Args:
        test: the split.
        queries: Q rows of it.
        found: {metric: int (Q, K) rows of the neighbours}.
        title: by what features.
        path: PNG to write.
    """
    count = next(iter(found.values())).shape[1]
    columns = 1 + len(found) * count
    figure = Figure((1.5 * columns, 1.85 * len(queries)), layout="constrained")
    names = [f"{count} nearest, {metric}" for metric in found]
    figure.suptitle(
        f"{title}\nleft the image; then the {', then the '.join(names)}; green has a class in common"
    )
    grid = figure.subplots(len(queries), columns, squeeze=False)
    for row, query in enumerate(queries):
        shown = [query, *(int(n) for rows in found.values() for n in rows[row])]
        for column, (axes, index) in enumerate(zip(grid[row], shown, strict=True)):
            axes.imshow(test.images[index])
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_xlabel(describe_image(test.labels[index], test.classes), fontsize=7)
            alike = bool(np.any(test.labels[index] * test.labels[query]))
            frame = "black" if column == 0 else "tab:green" if alike else "tab:red"
            for spine in axes.spines.values():
                spine.set(color=frame, linewidth=2.5)
    return save(figure, path)


def shares_in_common(shares: Mapping[str, Mapping[str, float]], title: str, path: Path) -> Path:
    """The share of neighbours with a class in common, by feature and metric.

    Args:
        shares: {feature: {metric: share}}.
        title, path: as for `conv1_filters`.
    """
    figure = Figure((8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    metrics = list(next(iter(shares.values())))
    width = 0.8 / len(metrics)
    for number, metric in enumerate(metrics):
        values = [share[metric] for share in shares.values()]
        bars = axes.bar(np.arange(len(shares)) + number * width, values, width, label=metric)
        axes.bar_label(bars, fmt="%.2f", fontsize=8)
    axes.set_xticks(np.arange(len(shares)) + 0.4 - width / 2, list(shares))
    axes.set(title=f"Neighbours with a class in common: {title}", ylabel="share of neighbours", ylim=(0, 1))
    axes.legend()
    return save(figure, path)


def tsne_map(
    points: np.ndarray,
    colors: np.ndarray,
    classes: Mapping[str, np.ndarray],
    title: str,
    path: Path,
) -> Path:
    """Images as dots of the mean colour of their classes.

    Args:
        points: (N, 2).
        colors: (N, 3) RGB in [0, 1].
        classes: {name: (3,) its colour}, for the legend.
        title, path: as for `conv1_filters`.
    """
    figure = Figure((10.5, 8), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(points[:, 0], points[:, 1], s=14, c=colors)
    axes.set(title=title, xlabel="t-SNE, first dimension", ylabel="t-SNE, second dimension")
    handles = [
        Line2D([], [], marker="o", linestyle="", color=tuple(color), label=name)
        for name, color in classes.items()
    ]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), title="class")
    return save(figure, path)


def _extremes(test: Examples, logits: np.ndarray, column: int, count: int) -> dict[str, np.ndarray]:
    """Rows of the highest-scored negatives and of the lowest-scored positives of a class."""
    order = np.argsort(-logits[:, column], kind="stable")
    counted = order[test.weights[order, column] > 0]
    positive = test.labels[counted, column] > 0
    return {
        "highest scores without it": counted[~positive][:count],
        "lowest scores with it": counted[positive][::-1][:count],
    }


def hardest_and_easiest(
    test: Examples, logits: np.ndarray, ap: Mapping[str, float], title: str, path: Path
) -> Path:
    """The images that cost the hardest and the easiest class its precision, with their probabilities.

    Args:
        test: the split.
        logits: (N, classes) of it.
        ap: {class: average precision}.
        title, path: as for `conv1_filters`.
    """
    ranked = sorted(ap, key=ap.get)
    rows = [
        (f"{kind}: {name}, AP {ap[name]:.2f}\n{what}", test.classes.index(name), indices)
        for kind, name in (("hardest", ranked[0]), ("easiest", ranked[-1]))
        for what, indices in _extremes(test, logits, test.classes.index(name), 6).items()
    ]
    figure = Figure((13, 10.5), layout="constrained")
    figure.suptitle(f"Hardest and easiest class: {title}")
    for (label, column, indices), axes_row in zip(rows, figure.subplots(len(rows), 6), strict=True):
        for axes in axes_row:
            axes.set_axis_off()
        axes_row[0].text(
            -0.08, 0.5, label, rotation=90, ha="right", va="center", transform=axes_row[0].transAxes
        )
        for axes, index in zip(axes_row, indices, strict=False):
            axes.imshow(test.images[index])
            probability = 1 / (1 + np.exp(-float(logits[index, column])))
            shows = describe_image(test.labels[index], test.classes)
            axes.set_title(f"{probability:.1%}\nshows {shows}", fontsize=8)
    return save(figure, path)


def photo_with_probabilities(photo: Path, probabilities: Mapping[str, float], path: Path) -> Path:
    """A photo beside a bar for each class, the most probable on top.

    Args:
        photo: a JPEG file.
        probabilities: {class: probability}.
        path: PNG to write.
    """
    figure = Figure((11, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    with Image.open(photo) as image:
        image.draft("RGB", (1_000, 1_000))
        image = ImageOps.exif_transpose(image).convert("RGB")
        image.thumbnail((1_000, 1_000))
        left.imshow(image)
    ranked = sorted(probabilities, key=probabilities.get)
    sure = [name for name in reversed(ranked) if probabilities[name] >= 0.5]
    left.set_title(", ".join(sure) or "no class above 50%")
    left.set_axis_off()
    bars = right.barh(ranked, [probabilities[name] for name in ranked])
    right.bar_label(bars, [f"{probabilities[name]:.1%}" for name in ranked], fontsize=7, padding=2)
    right.set(xlabel="probability", xlim=(0, 1.15), xticks=(0, 0.25, 0.5, 0.75, 1))
    right.margins(y=0.01)
    return save(figure, path)
