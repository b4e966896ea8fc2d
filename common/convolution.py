"""Convolution with a gradient of the kernel that is fast where oneDNN's isn't."""

import keras
import tensorflow as tf

from common import device

# In a profile of a training step, what belongs to the gradient stands under this name.
SCOPE = "kernel_gradient"


def kernel_gradient(images: tf.Tensor, upstream: tf.Tensor, kernel_size: tuple[int, int]) -> tf.Tensor:
    """The gradient of a kernel, for stride 1 and padding "same", as one matrix product for each of its rows.

    Args:
        images: (B, H, W, C), float of any width; what was convolved. Only B may be unknown in a graph.
        upstream: (B, H, W, F), of the same dtype; the gradient of the loss by the convolution's output.
        kernel_size: rows and columns of the kernel.

    Returns:
        (rows, columns, C, F), of the same dtype. On the way there it takes the memory of `columns` times the
        images and of `upstream`.
    """
    rows, columns = kernel_size
    height, width, channels = images.shape[1:]
    above, left = (rows - 1) // 2, (columns - 1) // 2
    with tf.name_scope(SCOPE):
        padded = tf.pad(images, [[0, 0], [above, rows - 1 - above], [left, columns - 1 - left], [0, 0]])
        # The pixels that a row of the kernel sees at each place, side by side. The images lie one below the
        # other, with zeros in upstream where the kernel would lie across two of them: so what the kernel's
        # next row sees is a slice of the same memory, and no copy.
        seen = tf.concat([padded[:, :, column : column + width] for column in range(columns)], axis=-1)
        seen = tf.reshape(seen, [-1, columns * channels])
        upstream = tf.pad(upstream, [[0, 0], [0, rows - 1], [0, 0], [0, 0]])
        upstream = tf.reshape(upstream, [-1, upstream.shape[-1]])
        places = tf.shape(seen)[0] - (rows - 1) * width
        products = [
            tf.matmul(tf.slice(seen, [row * width, 0], [places, -1]), upstream[:places], transpose_a=True)
            for row in range(rows)
        ]
        return tf.reshape(tf.stack(products), [rows, columns, channels, -1])


class Conv2D(keras.layers.Conv2D):
    """Keras' convolution, with another way to the gradient of its kernel where that is faster.

    In float32 with AVX2 alone oneDNN needs 2.7 times as long for that gradient as for VGG-16's convolutions,
    most of all where images are large and channels few. There it is a matter of matrix products, if stride is
    1 and padding "same"; anything else is Keras'. Not to be saved: see `as_keras`.
    """

    def as_keras(self) -> keras.layers.Conv2D:
        """Keras' own with these settings and weights, for files that are to need nothing of this project."""
        layer = keras.layers.Conv2D.from_config(self.get_config())
        layer.build(self.get_build_config()["input_shape"])
        layer.set_weights(self.get_weights())
        return layer

    def _has_products(self) -> bool:
        settings = (self.strides, self.padding, self.dilation_rate, self.groups, self.data_format)
        return (
            settings == ((1, 1), "same", (1, 1), 1, "channels_last")
            and self.compute_dtype == "float32"
            and device.has_slow_kernel_gradients()
        )

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """What Keras calls, with inputs (B, H, W, C) and kernel (rows, columns, C, F) of one dtype."""
        convolve = super().convolution_op
        if not self._has_products():
            return convolve(inputs, kernel)

        @tf.custom_gradient
        def with_products(images: tf.Tensor, kernel: tf.Tensor):
            def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                of_images = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(images), strides=1)
                return of_images, kernel_gradient(images, upstream, self.kernel_size)

            return convolve(images, kernel), gradients

        return with_products(inputs, tf.convert_to_tensor(kernel))
