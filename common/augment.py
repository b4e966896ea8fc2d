"""Random crop, left-right flip and centre crop of batches, as TensorFlow operations on uint8.

All draws are stateless: an image's crop and flip are a function of (seed, step, position in the batch),
so a run that resumes, or a worker that takes a slice of the batch, sees the same pictures.
"""

import tensorflow as tf


def _crop(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Picks `rows` (B, h) and `columns` (B, w), indices into each image, from (B, H, W, C)."""
    return tf.gather(tf.gather(images, rows, batch_dims=1), columns, axis=2, batch_dims=1)


def random_crop_and_flip(
    images: tf.Tensor, size: int, seed: tf.Tensor | int, step: tf.Tensor | int, first_position: int = 0
) -> tf.Tensor:
    """Crops each image at its own random place and mirrors each with probability 1/2 (handout Q2.3).

    Args:
        images: (B, H, W, C), any dtype; H and W at least `size`.
        size: height and width of the crops, pixels.
        seed: the run's seed.
        step: the global step the batch belongs to.
        first_position: position of the first image in the global batch; not 0 for a worker whose
            images are a later slice.

    Returns:
        (B, size, size, C), of the same dtype; all H - size + 1 by W - size + 1 places equally likely.

    Raises:
        ValueError: the images are smaller than `size`.
    """
    height, width = images.shape[1], images.shape[2]
    if min(height, width) < size:
        raise ValueError(f"can't crop {size} x {size} from images of {height} x {width} pixels")
    end = first_position + tf.shape(images)[0]
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
    # Row i holds the three draws of position i whatever the number of rows.
    draws = tf.random.stateless_uniform((end, 3), key)[first_position:]
    top = tf.cast(draws[:, 0] * (height - size + 1), tf.int32)
    left = tf.cast(draws[:, 1] * (width - size + 1), tf.int32)
    rows = top[:, tf.newaxis] + tf.range(size)
    columns = left[:, tf.newaxis] + tf.range(size)
    columns = tf.where(draws[:, 2:] < 0.5, columns, tf.reverse(columns, axis=[1]))
    return _crop(images, rows, columns)


def center_crop(images: tf.Tensor, size: int) -> tf.Tensor:
    """Crops the middle of each image (handout Q2.3, at test).

    Args:
        images: (B, H, W, C), any dtype.
        size: height and width of the crops, pixels.

    Returns:
        (B, size, size, C), of the same dtype; where the margin is odd, the larger part is below and right.

    Raises:
        ValueError: the images are smaller than `size`.
    """
    height, width = images.shape[1], images.shape[2]
    if min(height, width) < size:
        raise ValueError(f"can't crop {size} x {size} from images of {height} x {width} pixels")
    top, left = (height - size) // 2, (width - size) // 2
    return images[:, top : top + size, left : left + size]
