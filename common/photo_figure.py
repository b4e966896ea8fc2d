"""A photo beside what a network sees in it."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from common.figures import save
from common.image_cache import upright


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
        image = upright(image).convert("RGB")
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
