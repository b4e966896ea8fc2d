"""Features in two dimensions, coloured by class, and in TensorBoard's projector."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import hsv_to_rgb
from PIL import Image
from sklearn.manifold import TSNE
from tensorboard.plugins import projector

from common.errors import UserError

_THUMBNAIL = 48  # pixels
_LARGEST_SPRITE = 8192  # pixels; what browsers draw
_PERPLEXITY = 30

NO_CLASS = 0.7  # grey


def class_colors(classes: Sequence[str]) -> np.ndarray:
    """A colour for each class: (classes, 3) RGB in [0, 1].

    Hues are spread over the circle, full and pale in turn. Persons are in images of every other class: they
    are black, and no other class is dark, so that an image with one has a dark shade of the other class.
    """
    count = len(classes)
    hues = np.arange(count) / count
    saturations = np.where(np.arange(count) % 2, 0.45, 1.0)
    colors = hsv_to_rgb(np.stack([hues, saturations, np.ones(count)], axis=1))
    colors[[name == "person" for name in classes]] = 0
    return colors


def mean_colors(labels: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """The mean colour of the classes of each image; `NO_CLASS` where an image has none.

    Args:
        labels: (N, classes) in {0, 1}.
        colors: (classes, 3).

    Returns:
        (N, 3).
    """
    classes = labels.sum(axis=1, keepdims=True)
    return np.where(classes > 0, labels @ colors / np.maximum(classes, 1), NO_CLASS)


def tsne(features: np.ndarray, title: str, seed: int) -> np.ndarray:
    """t-SNE (van der Maaten and Hinton, JMLR 2008) in two dimensions, from a PCA start.

    Args:
        features: (N, D), of at least 4 images.
        title: what network they are of, for the error.
        seed: decides.

    Returns:
        float32 (N, 2).

    Raises:
        UserError: all images have the same features.
    """
    if (features == features[0]).all():  # scikit-learn's t-SNE would crash
        raise UserError(f"{title}: gives all test images the same features, it is dead; take another run")
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features)


def write_projector(
    folder: Path,
    features: dict[str, np.ndarray],
    images: np.ndarray,
    captions: Sequence[str],
    ids: Sequence[str],
) -> Path:
    """Features for TensorBoard's projector, with thumbnails, image ids and classes.

    Args:
        folder: TensorBoard's logdir; made if need be.
        features: {name: (N, D)}.
        images: uint8 (N, H, W, 3) RGB.
        captions: N, the classes of each.
        ids: N names.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns = int(np.ceil(np.sqrt(len(images))))
    side = min(_THUMBNAIL, _LARGEST_SPRITE // columns)
    sprite = Image.new("RGB", (columns * side, columns * side), "white")
    for number, image in enumerate(images):
        thumbnail = Image.fromarray(image).resize((side, side))
        sprite.paste(thumbnail, (number % columns * side, number // columns * side))
    sprite.save(folder / "sprite.png")
    rows = [f"{name}\t{caption}" for name, caption in zip(ids, captions, strict=True)]
    (folder / "metadata.tsv").write_text("\n".join(["image\tclasses", *rows]) + "\n")
    config = projector.ProjectorConfig()
    for name, values in features.items():
        path = folder / f"{name.replace(' ', '_')}.tsv"
        # As text, which TensorBoard tries first for any file; on binary numbers that may fail.
        np.savetxt(path, values, fmt="%.9g", delimiter="\t")
        embedding = config.embeddings.add()
        embedding.tensor_name = name
        embedding.tensor_shape.extend(values.shape)
        embedding.tensor_path = path.name
        embedding.metadata_path = "metadata.tsv"
        embedding.sprite.image_path = "sprite.png"
        embedding.sprite.single_image_dim.extend([side, side])
    projector.visualize_embeddings(str(folder), config)
    return folder
