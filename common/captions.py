"""What an image shows, in words: the names of its classes."""

from collections.abc import Sequence

import numpy as np

from common.mixup import Mixed, MixedWeights


def describe_batch(
    labels: np.ndarray | Mixed, weights: np.ndarray | MixedWeights, classes: Sequence[str]
) -> list[str]:
    """What each image of a batch is trained as; a class that isn't counted stands in parentheses.

    Args:
        labels: (B, classes) in {0, 1}, or (B,) the class of each image, or those of mixtures.
        weights: of the same shape; 0 where a label is not counted.
        classes: their names.

    Returns:
        B captions.
    """
    if isinstance(labels, Mixed):
        first = describe_batch(labels.first, weights.first, classes)
        second = describe_batch(labels.second, weights.second, classes)
        shares = zip(labels.share[:, 0], first, second, strict=True)
        return [f"{share:.2f} {one} + {1 - share:.2f} {other}" for share, one, other in shares]
    if labels.ndim == 1:
        return [classes[label] for label in labels]
    captions = []
    for present, counted in zip(labels > 0, weights > 0, strict=True):
        certain = np.compress(present & counted, classes)
        unsure = [f"({name})" for name in np.compress(~counted, classes)]
        captions.append(", ".join([*certain, *unsure]) or "no class")
    return captions
