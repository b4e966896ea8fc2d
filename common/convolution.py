"""Convolution with a gradient of the kernel that is fast where oneDNN's isn't."""

import keras
import tensorflow as tf

from common import device


def kernel_gradient(images: tf.Tensor, upstream: tf.Tensor, kernel_size: tuple[int, int]) -> tf.Tensor:
    """The gradient of a kernel, for stride 1 and padding "same", as one matrix product for each of its rows.

    Args:
        images: (B, H, W, C), what was convolved; H and W are known in a graph.
        upstream: (B, H, W, F), the loss' gradient by what the convolution gave.
        kernel_size: rows and columns of the kernel.

    Returns:
        (rows, columns, C, F).
    """
    rows, columns = kernel_size
    height, width, channels = images.shape[1:]
    above, left = (rows - 1) // 2, (columns - 1) // 2
    padded = tf.pad(images, [[0, 0], [above, rows - 1 - above], [left, columns - 1 - left], [0, 0]])
    # The pixels that a row of the kernel sees at each place, side by side.
    seen = tf.concat([padded[:, :, column : column + width] for column in range(columns)], axis=-1)
    upstream = tf.reshape(upstream, [-1, upstream.shape[-1]])
    products = [
        tf.matmul(
            tf.reshape(seen[:, row : row + height], [-1, columns * channels]), upstream, transpose_a=True
        )
        for row in range(rows)
    ]
    return tf.reshape(tf.stack(products), [rows, columns, channels, -1])


class Conv2D(keras.layers.Conv2D):
    """Keras' own for stride 1 and padding "same", with another way to the gradient of its kernel.

    It is taken in float32 on processors without AVX-512: there oneDNN needs two to three times as long for
    that gradient as for the convolution, most of all where images are large and channels few (docs/speed.md).
    """

    def as_keras(self) -> keras.layers.Conv2D:
        """Keras' own with these settings and weights, for files that are to need nothing of this project."""
        layer = keras.layers.Conv2D.from_config(self.get_config())
        layer.build(self.input.shape)
        layer.set_weights(self.get_weights())
        return layer

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """What Keras calls, with inputs (B, H, W, C) and kernel (rows, columns, C, F)."""
        convolve = super().convolution_op
        if self.compute_dtype != "float32" or not device.lacks_avx512():
            return convolve(inputs, kernel)

        @tf.custom_gradient
        def with_products(images: tf.Tensor, kernel: tf.Tensor):
            def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                of_images = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(images), strides=1)
                return of_images, kernel_gradient(images, upstream, self.kernel_size)

            return convolve(images, kernel), gradients

        return with_products(inputs, tf.convert_to_tensor(kernel))
