"""Figures of Task 5: filters, nearest neighbours, t-SNE, and the images behind an AP."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common import features
from common.captions import describe_batch
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
    figure = Figure((2.4 * columns, 8.2), layout="constrained")
    figure.suptitle(f"conv1 filters: {title}\nmiddle grey is 0, each sheet is scaled by its strongest weight")
    above, below = figure.subplots(2, columns)
    for axes in (*above, *below):
        axes.set_axis_off()
    for axes, (step, kernel) in zip(above, kernels.items(), strict=True):
        axes.imshow(_tile(kernel, 8), interpolation="nearest")
        axes.set_title(f"iteration {step:,}\nstrongest weight {np.abs(kernel).max():.3f}", fontsize=9)
    for axes, (step, kernel) in zip(below[1:], later, strict=True):
        change = kernel - start
        axes.imshow(_tile(change, 8), interpolation="nearest")
        size = np.linalg.norm(change) / np.linalg.norm(start)
        strongest = np.abs(change).max()
        axes.set_title(
            f"change from {first:,} to {step:,}:\n{size:.1%} of the norm\nstrongest {strongest:.3f}",
            fontsize=9,
        )
    return save(figure, path)


def nearest_neighbours(
    test: Examples,
    queries: Mapping[str, int],
    found: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str,
    path: Path,
) -> Path:
    """Test images and their nearest neighbours, framed by whether they have a class in common.

    Args:
        test: the split.
        queries: {the class it stands for: row of it}, Q of them.
        found: {metric: (int (Q, K) rows of the neighbours, (Q, K) `features.have_in_common`)}.
        title: by what features.
        path: PNG to write.
    """
    count = next(iter(found.values()))[0].shape[1]
    widths = [1.0] + [one for _ in found for one in (0.25, *[1.0] * count)]
    # As small as a page shows it whole, so that what is written below the images stays readable.
    figure = Figure((max(1.05 * sum(widths), 9), 1.55 * len(queries) + 1.2), layout="constrained")
    shares = {metric: features.share_in_common(alike) for metric, (_, alike) in found.items()}
    described = [f"{metric} {'unknown' if s is None else f'{s:.0%}'}" for metric, s in shares.items()]
    figure.suptitle(
        f"{title}\n{count} nearest; with a class in common: {', '.join(described)}\n"
        "green: a class in common; red: none; grey: unknown, one is only marked difficult"
    )
    grid = figure.subplots(len(queries), len(widths), squeeze=False, width_ratios=widths)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, (name, query) in enumerate(queries.items()):
        _show(grid[row][0], test, query, "black")
        grid[row][0].set_ylabel(name, fontsize=10)
        for number, (rows, alike) in enumerate(found.values()):
            columns = grid[row][2 + number * (count + 1) :]
            for axes, index, common in zip(columns, rows[row], alike[row], strict=False):
                frame = "tab:gray" if np.isnan(common) else "tab:green" if common else "tab:red"
                _show(axes, test, index, frame)
    grid[0][0].set_title("image", fontsize=10)
    for number, metric in enumerate(found):
        grid[0][2 + number * (count + 1)].set_title(metric, fontsize=10, loc="left")
    return save(figure, path)


def _show(axes: Axes, test: Examples, index: int, frame: str) -> None:
    """An image in a frame, above what it shows."""
    axes.set_axis_on()
    axes.imshow(test.images[index])
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(_caption(test, index, 16), fontsize=8)
    for spine in axes.spines.values():
        spine.set(color=frame, linewidth=2.5)


def _caption(test: Examples, index: int, width: int) -> str:
    """What an image shows, in lines of at most so many characters; what doesn't count in parentheses."""
    (caption,) = describe_batch(test.labels[[index]], test.weights[[index]], test.classes)
    return textwrap.fill(caption, width)


def shares_in_common(
    shares: Mapping[str, Mapping[str, float | None]], by_chance: float | None, title: str, path: Path
) -> Path:
    """The share of neighbours with a class in common, by feature and metric.

    Args:
        shares: {feature: {metric: share}}; None where it isn't known.
        by_chance: the share of neighbours at random.
        title, path: as for `conv1_filters`.
    """
    figure = Figure((8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    metrics = list(next(iter(shares.values())))
    width = 0.8 / len(metrics)
    for number, metric in enumerate(metrics):
        values = np.array([share[metric] for share in shares.values()], float)
        bars = axes.bar(np.arange(len(shares)) + number * width, values, width, label=metric)
        axes.bar_label(bars, fmt="%.2f", fontsize=8)
    if by_chance is not None:
        axes.axhline(by_chance, color="gray", linestyle="--", label=f"at random, {by_chance:.2f}")
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
    # Thin edges keep the pale ones apart from the background.
    axes.scatter(points[:, 0], points[:, 1], s=18, c=colors, edgecolors="0.4", linewidths=0.3)
    axes.set(title=title, xlabel="t-SNE, first dimension", ylabel="t-SNE, second dimension")
    marker = {"marker": "o", "linestyle": "", "markeredgecolor": "0.4", "markeredgewidth": 0.3}
    handles = [Line2D([], [], color=tuple(color), label=name, **marker) for name, color in classes.items()]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), title="class")
    return save(figure, path)


def extremes(test: Examples, logits: np.ndarray, column: int, count: int) -> dict[str, np.ndarray]:
    """What costs a class its precision: rows of its highest-scored negatives and lowest-scored positives.

    Args:
        test: the split; labels that don't count are neither.
        logits: (N, classes) of it.
        column: the class.
        count: at most so many of each.

    Returns:
        {what they are: int (<= count,) rows, the worst first}.
    """
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
    rows = []
    for kind, name in (("hardest", ranked[0]), ("easiest", ranked[-1])):
        column = test.classes.index(name)
        positives = int(((test.labels[:, column] > 0) & (test.weights[:, column] > 0)).sum())
        for what, indices in extremes(test, logits, column, 6).items():
            label = f"{kind}: {name}, AP {ap[name]:.2f}\non {positives:,} of {len(test):,} images\n{what}"
            rows.append((label, column, indices))
    figure = Figure((13, 10.5), layout="constrained")
    figure.suptitle(f"The hardest and the easiest class: {title}")
    for (label, column, indices), axes_row in zip(rows, figure.subplots(len(rows), 6), strict=True):
        for axes in axes_row:
            axes.set_axis_off()
        axes_row[0].text(
            -0.08, 0.5, label, rotation=90, ha="right", va="center", transform=axes_row[0].transAxes
        )
        for axes, index in zip(axes_row, indices, strict=False):
            axes.imshow(test.images[index])
            probability = 1 / (1 + np.exp(-float(logits[index, column])))
            axes.set_title(f"{probability:.1%}\nshows {_caption(test, index, 26)}", fontsize=8)
    return save(figure, path)
