"""Convolution by Winograd's algorithm, 3 x 3 and 5 x 5 with about a quarter and a sixth of the products.

After Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016): their F(4 x 4, 3 x 3),
in which a tile of 6 x 6 pixels gives 4 x 4 outputs, and F(4 x 4, 5 x 5), made in the same way with tiles of 8
x 8. Tiles and kernels are transformed, and at each place of a tile channels become filters by one matrix
product for all tiles of a batch. Where height and width are no multiples of 4, part of the last tiles is
computed in vain. What it costs in rounding: `benchmarks.winograd_rounding`.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.polynomial import polynomial

from common import scopes

# In a profile of a training step, what belongs to each stands under this name.
FORWARD_SCOPE, IMAGES_SCOPE, KERNEL_SCOPE = "winograd", "winograd_images_gradient", "winograd_kernel_gradient"

_GIVEN = 4  # outputs of a tile, along one side


class _Transforms(NamedTuple):
    """The paper's B^T, G and A^T: from a column of a tile, from one of a kernel, to one of the outputs."""

    from_tile: np.ndarray
    from_kernel: np.ndarray
    to_outputs: np.ndarray

    @property
    def tile_size(self) -> int:
        """Pixels that a tile sees, along one side."""
        return len(self.from_tile)

    @property
    def kernel_size(self) -> int:
        """Pixels along one side of the kernels."""
        return self.from_kernel.shape[1]


def _transforms(points: np.ndarray) -> _Transforms:
    """By evaluating polynomials at points, as Toom and Cook multiply two of them.

    With one of the two fixed that is a linear map, and its transpose is a convolution as networks have it.

    Args:
        points: where they are evaluated, infinity apart; as many as a tile has pixels along one side, less 1.
    """
    kernel_size = len(points) + 2 - _GIVEN
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


# For 3 x 3 the paper has 0, 1, -1, 2, -2, with which the largest errors are four times these. For 5 x 5, of 0
# and three pairs of opposite numbers between 0.4 and 2.2, these round least.
_POINTS = (
    np.array([0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)]),
    np.array([0, 0.5, -0.5, 1, -1, 2, -2]),
)
_TRANSFORMS = {transforms.kernel_size: transforms for transforms in map(_transforms, _POINTS)}
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


def _from_images(images: tf.Tensor, transforms: _Transforms) -> tf.Tensor:
    """Transformed tiles (places, tiles, C) of images (B, H, W, C), around which there are zeros."""
    _, height, width, channels = images.shape
    down, across = _tiles_down_and_across(images.shape)
    margin = transforms.kernel_size // 2
    rows, columns = _GIVEN * down + 2 * margin, _GIVEN * across + 2 * margin
    around = [[margin, rows - margin - height], [margin, columns - margin - width]]
    padded = tf.pad(images, [[0, 0], *around, [0, 0]])
    # Which pixel of its image is at each place of each tile, as a number that counts row by row.
    row = np.add.outer(np.arange(transforms.tile_size), _GIVEN * np.arange(down))
    column = np.add.outer(np.arange(transforms.tile_size), _GIVEN * np.arange(across))
    pixels = row[:, np.newaxis, :, np.newaxis] * columns + column[:, np.newaxis, :]
    pixels = tf.constant(pixels.reshape(transforms.tile_size**2, 1, down * across), tf.int32)
    pixels += tf.range(tf.shape(images)[0])[:, tf.newaxis] * (rows * columns)
    tiles = tf.gather(tf.reshape(padded, [-1, channels]), tf.reshape(pixels, [transforms.tile_size**2, -1]))
    return _transform(transforms.from_tile, tiles)


def _convolve(
    tiles: tf.Tensor, kernels: tf.Tensor, shape: tf.TensorShape, transforms: _Transforms
) -> tf.Tensor:
    """Outputs (B, H, W, F) of transformed tiles and kernels.

    Args:
        tiles: (places, tiles, C).
        kernels: (places, F, C): filters before channels, as the product is then faster.
        shape: of the images that the tiles are of.
        transforms: of tiles and kernels.
    """
    _, height, width, _ = shape
    down, across = _tiles_down_and_across(shape)
    outputs = _transform(transforms.to_outputs, tf.matmul(tiles, kernels, transpose_b=True))
    outputs = tf.reshape(outputs, [_GIVEN, _GIVEN, -1, down, across, kernels.shape[1]])
    outputs = tf.transpose(outputs, [2, 3, 0, 4, 1, 5])
    return tf.reshape(outputs, [-1, _GIVEN * down, _GIVEN * across, kernels.shape[1]])[:, :height, :width]


def _kernel_gradient(tiles: tf.Tensor, upstream: tf.Tensor, transforms: _Transforms) -> tf.Tensor:
    """What the transposed transforms make of transformed tiles and an upstream gradient (B, H, W, F)."""
    _, height, width, filters = upstream.shape
    down, across = _tiles_down_and_across(upstream.shape)
    upstream = tf.pad(upstream, [[0, 0], [0, _GIVEN * down - height], [0, _GIVEN * across - width], [0, 0]])
    upstream = tf.reshape(upstream, [-1, down, _GIVEN, across, _GIVEN, filters])
    upstream = tf.reshape(tf.transpose(upstream, [2, 4, 0, 1, 3, 5]), [_GIVEN**2, -1, filters])
    products = tf.matmul(tiles, _transform(transforms.to_outputs.T, upstream), transpose_a=True)
    gradient = _transform(transforms.from_kernel.T, products)
    return tf.reshape(gradient, [transforms.kernel_size, transforms.kernel_size, *products.shape[1:]])


def kernel_gradient(images: tf.Tensor, upstream: tf.Tensor, kernel_size: int) -> tf.Tensor:
    """The gradient of a kernel, for stride 1 and padding "same".

    Args:
        images: (B, H, W, C), float32 or float64; what was convolved. Only B may be unknown in a graph.
        upstream: (B, H, W, F), of the same dtype; the gradient of the loss by the convolution's output.
        kernel_size: pixels along one side of the kernel, one of `KERNEL_SIZES`.

    Returns:
        (kernel_size, kernel_size, C, F), of the same dtype.

    Raises:
        KeyError: `kernel_size` is another.
    """
    transforms = _TRANSFORMS[kernel_size]
    with tf.name_scope(KERNEL_SCOPE):
        return _kernel_gradient(_from_images(images, transforms), upstream, transforms)


@tf.custom_gradient
def convolve(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """What `tf.nn.conv2d` does with stride 1 and padding "SAME".

    The transformed tiles are kept for the gradient of the kernel: for 3 x 3 2.25 times the images, for 5 x 5
    4 times, and more where height and width are no multiples of 4.

    Args:
        images: (B, H, W, C), float32 or float64. Only B may be unknown in a graph.
        kernel: (R, R, C, F), of the same dtype; R is one of `KERNEL_SIZES`.

    Returns:
        (B, H, W, F), of the same dtype.

    Raises:
        KeyError: R is another.
    """
    channels, filters = kernel.shape[2:]
    transforms = _TRANSFORMS[kernel.shape[0]]
    layer = tf.get_current_name_scope()
    with tf.name_scope(FORWARD_SCOPE):
        tiles = _from_images(images, transforms)
        kernels = tf.reshape(tf.transpose(kernel, [0, 1, 3, 2]), [-1, filters, channels])
        convolved = _convolve(tiles, _transform(transforms.from_kernel, kernels), images.shape, transforms)

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with scopes.of_gradient(layer), tf.name_scope(IMAGES_SCOPE):
            # A convolution with the kernel upside down and mirrored, in which filters become channels.
            kernels = _transform(transforms.from_kernel[:, ::-1], tf.reshape(kernel, [-1, channels, filters]))
            of_images = _convolve(_from_images(upstream, transforms), kernels, upstream.shape, transforms)
        with scopes.of_gradient(layer), tf.name_scope(KERNEL_SCOPE):
            return of_images, _kernel_gradient(tiles, upstream, transforms)

    return convolved, gradients
