"""Draws docs/sample.jpg, the README's picture of the built-in sample.

python -m docs.sample_picture
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from common.sample import make_sample
from common.voc import read_lists
from common.voc_layout import CLASSES

ROWS, COLUMNS = 3, 6


def main() -> None:
    """Shows the first test images in a grid, with their labels; those in parentheses are difficult."""
    data_dir = make_sample(Path("cache") / "sample")
    ids, values = read_lists(data_dir, "test")
    figure = Figure((12, 6.6), layout="constrained")
    for axes, image_id, row in zip(figure.subplots(ROWS, COLUMNS).flat, ids, values, strict=False):
        with Image.open(data_dir / "JPEGImages" / f"{image_id}.jpg") as image:
            axes.imshow(ImageOps.fit(image, (256, 256)))
        names = [CLASSES[c] if row[c] == 1 else f"({CLASSES[c]})" for c in np.flatnonzero(row >= 0)]
        axes.set_title("\n".join([", ".join(names[:2]), ", ".join(names[2:])]).strip(), fontsize=10)
        axes.set_axis_off()
    figure.savefig(Path(__file__).with_name("sample.jpg"), dpi=80)


if __name__ == "__main__":
    main()
