"""Convolution with kernels of 3 x 3 and 5 x 5 by a quarter and a sixth of the multiplications: Winograd's.

After Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), section 4: F(4 x 4, 3 x
3), for which a tile of 6 x 6 pixels gives 4 x 4 outputs, and F(4 x 4, 5 x 5), of tiles of 8 x 8. Tiles and
kernels are transformed, and at each place of a tile channels become filters by one matrix product for all
tiles of a batch. In float32 the rounding error of outputs and gradients is about 2e-6 of their standard
deviation, with kernels of 5 x 5 4e-6; the direct way's is 2e-7 to 1e-6.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.polynomial import polynomial

# In a profile of a training step, what belongs to each stands under this name.
FORWARD_SCOPE, IMAGES_SCOPE, KERNEL_SCOPE = "winograd", "winograd_images_gradient", "winograd_kernel_gradient"

_GIVEN = 4  # outputs of a tile, along one side


class _Transforms(NamedTuple):
    """The paper's B^T, G and A^T: from a column of a tile, from one of a kernel, to one of the outputs."""

    from_tile: np.ndarray
    from_kernel: np.ndarray
    to_outputs: np.ndarray

    @property
    def seen(self) -> int:
        """Pixels that a tile sees, along one side."""
        return len(self.from_tile)

    @property
    def kernel_size(self) -> int:
        """Pixels along one side of the kernels."""
        return self.from_kernel.shape[1]


def _transforms(kernel_size: int, points: np.ndarray) -> _Transforms:
    """
    Toom and Cook multiply two polynomials by their values at as many points as the product has coefficients.
    With one of the two fixed that is a linear map, and its transpose is a convolution as networks have it.

    Args:
        kernel_size: pixels along one side.
        points: where polynomials are evaluated, infinity apart; `kernel_size` + 2 of them.
    """
    others = [np.delete(points, number) for number in range(len(points))]
    from_tile = [np.append(polynomial.polyfromroots(roots), 0) for roots in others]
    from_tile.append(polynomial.polyfromroots(points))
    scale = [np.prod(point - rest) for point, rest in zip(points, others, strict=True)]
    from_kernel = np.vander(points, kernel_size, increasing=True) / np.array(scale)[:, np.newaxis]
    to_outputs = np.vander(points, _GIVEN, increasing=True)
    return _Transforms(
        np.array(from_tile),
        np.vstack([from_kernel, np.eye(kernel_size)[-1]]),
        np.vstack([to_outputs, np.eye(_GIVEN)[-1]]).T,
    )


# By the size of kernels. The paper's points for 3 x 3, 0, 1, -1, 2, -2, round four times as badly; for 5 x 5
# no others of this form were found that round less.
_TRANSFORMS = {
    3: _transforms(3, np.array([0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)])),
    5: _transforms(5, np.array([0, 0.5, -0.5, 1, -1, 2, -2])),
}
KERNEL_SIZES = tuple(_TRANSFORMS)


def _transform(matrix: np.ndarray, squares: tf.Tensor) -> tf.Tensor:
    """matrix x square x matrix^T of squares (places, N, C), whose places are listed row by row."""
    places, _, channels = squares.shape
    by_place = np.kron(matrix, matrix)
    product = tf.matmul(tf.constant(by_place, squares.dtype), tf.reshape(squares, [places, -1]))
    return tf.reshape(product, [len(by_place), -1, channels])


def _tiles_down_and_across(shape: tf.TensorShape) -> tuple[int, int]:
    _, height, width, _ = shape
    return -(-height // _GIVEN), -(-width // _GIVEN)


def _from_images(images: tf.Tensor, by: _Transforms) -> tf.Tensor:
    """Transformed tiles (places, tiles, C) of images (B, H, W, C), around which there are zeros."""
    _, height, width, channels = images.shape
    down, across = _tiles_down_and_across(images.shape)
    margin = by.kernel_size // 2
    rows, columns = _GIVEN * down + 2 * margin, _GIVEN * across + 2 * margin
    around = [[margin, rows - margin - height], [margin, columns - margin - width]]
    padded = tf.pad(images, [[0, 0], *around, [0, 0]])
    # Which pixel of its image is at each place of each tile, as a number that counts row by row.
    row = np.add.outer(np.arange(by.seen), _GIVEN * np.arange(down))
    column = np.add.outer(np.arange(by.seen), _GIVEN * np.arange(across))
    pixels = row[:, np.newaxis, :, np.newaxis] * columns + column[:, np.newaxis, :]
    pixels = tf.constant(pixels.reshape(by.seen**2, 1, down * across), tf.int32)
    pixels += tf.range(tf.shape(images)[0])[:, tf.newaxis] * (rows * columns)
    tiles = tf.gather(tf.reshape(padded, [-1, channels]), tf.reshape(pixels, [by.seen**2, -1]))
    return _transform(by.from_tile, tiles)


def _convolve(tiles: tf.Tensor, kernels: tf.Tensor, shape: tf.TensorShape, by: _Transforms) -> tf.Tensor:
    """Outputs (B, H, W, F) of transformed tiles and kernels.

    Args:
        tiles: (places, tiles, C).
        kernels: (places, F, C): filters before channels, as the product is then faster.
        shape: of the images that the tiles are of.
        by: what tiles and kernels were transformed by.
    """
    _, height, width, _ = shape
    down, across = _tiles_down_and_across(shape)
    outputs = _transform(by.to_outputs, tf.matmul(tiles, kernels, transpose_b=True))
    outputs = tf.reshape(outputs, [_GIVEN, _GIVEN, -1, down, across, kernels.shape[1]])
    outputs = tf.transpose(outputs, [2, 3, 0, 4, 1, 5])
    return tf.reshape(outputs, [-1, _GIVEN * down, _GIVEN * across, kernels.shape[1]])[:, :height, :width]


def _kernel_gradient(tiles: tf.Tensor, upstream: tf.Tensor, by: _Transforms) -> tf.Tensor:
    """What the transposed transforms make of transformed tiles and an upstream gradient (B, H, W, F)."""
    _, height, width, filters = upstream.shape
    down, across = _tiles_down_and_across(upstream.shape)
    upstream = tf.pad(upstream, [[0, 0], [0, _GIVEN * down - height], [0, _GIVEN * across - width], [0, 0]])
    upstream = tf.reshape(upstream, [-1, down, _GIVEN, across, _GIVEN, filters])
    upstream = tf.reshape(tf.transpose(upstream, [2, 4, 0, 1, 3, 5]), [_GIVEN**2, -1, filters])
    products = tf.matmul(tiles, _transform(by.to_outputs.T, upstream), transpose_a=True)
    gradient = _transform(by.from_kernel.T, products)
    return tf.reshape(gradient, [by.kernel_size, by.kernel_size, *products.shape[1:]])


def kernel_gradient(images: tf.Tensor, upstream: tf.Tensor, kernel_size: int) -> tf.Tensor:
    """The gradient of a kernel, for stride 1 and padding "same".

    Args:
        images: (B, H, W, C), float32 or float64; what was convolved. Only B may be unknown in a graph.
        upstream: (B, H, W, F), of the same dtype; the gradient of the loss by the convolution's output.
        kernel_size: pixels along one side of the kernel, one of `KERNEL_SIZES`.

    Returns:
        (kernel_size, kernel_size, C, F), of the same dtype.
    """
    by = _TRANSFORMS[kernel_size]
    with tf.name_scope(KERNEL_SCOPE):
        return _kernel_gradient(_from_images(images, by), upstream, by)


@tf.custom_gradient
def convolve(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """What `tf.nn.conv2d` does with stride 1 and padding "SAME".

    The transformed tiles, for a kernel of 3 x 3 2.25 times the images and for one of 5 x 5 4 times, are kept
    for the gradient of the kernel.

    Args:
        images: (B, H, W, C), float32 or float64. Only B may be unknown in a graph.
        kernel: (R, R, C, F), of the same dtype; R is one of `KERNEL_SIZES`.

    Returns:
        (B, H, W, F), of the same dtype.
    """
    channels, filters = kernel.shape[2:]
    by = _TRANSFORMS[kernel.shape[0]]
    with tf.name_scope(FORWARD_SCOPE):
        tiles = _from_images(images, by)
        kernels = tf.reshape(tf.transpose(kernel, [0, 1, 3, 2]), [-1, filters, channels])
        convolved = _convolve(tiles, _transform(by.from_kernel, kernels), images.shape, by)

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.name_scope(IMAGES_SCOPE):
            # A convolution with the kernel upside down and mirrored, in which filters become channels.
            kernels = _transform(by.from_kernel[:, ::-1], tf.reshape(kernel, [-1, channels, filters]))
            of_images = _convolve(_from_images(upstream, by), kernels, upstream.shape, by)
        with tf.name_scope(KERNEL_SCOPE):
            return of_images, _kernel_gradient(tiles, upstream, by)

    return convolved, gradients
