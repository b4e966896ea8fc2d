"""Keras' convolution, by Winograd's algorithm where TensorFlow's own is slower."""

import keras
import tensorflow as tf

from common import device, scopes, winograd

# With fewer, 64 in VGG-16, the transforms take longer than the multiplications that they save.
_FEWEST_FILTERS = 128


class Conv2D(keras.layers.Conv2D):
    """Keras' convolution; in float32 on a processor with AVX2 alone, 3 x 3 and 5 x 5 by `common.winograd`.

    There oneDNN reaches the processor's rate in convolutions, which Winograd's algorithm beats by fewer
    multiplications; in gradients of kernels it doesn't, most of all where images are large and channels few.
    So with few filters these gradients alone are Winograd's. Other strides than 1 and another padding than
    "same" are left to Keras. Not to be saved: see `as_keras`.
    """

    def as_keras(self) -> keras.layers.Conv2D:
        """Keras' own with these settings and weights, for files that are to need nothing of this project."""
        layer = keras.layers.Conv2D.from_config(self.get_config())
        layer.build(self.get_build_config()["input_shape"])
        layer.set_weights(self.get_weights())
        return layer

    def _fits_winograd(self) -> bool:
        settings = (self.strides, self.padding, self.dilation_rate, self.groups)
        return (
            self.kernel_size in {(size, size) for size in winograd.KERNEL_SIZES}
            and settings == ((1, 1), "same", (1, 1), 1)
            and self.data_format == "channels_last"
            and self.compute_dtype in ("float32", "float64")  # fewer digits are too few for its rounding
            and device.has_avx2_alone()
        )

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """What Keras calls, with inputs (B, H, W, C) and kernel (rows, columns, C, F) of one dtype."""
        convolve = super().convolution_op
        if not self._fits_winograd():
            return convolve(inputs, kernel)
        kernel = tf.convert_to_tensor(kernel)
        if self.filters >= _FEWEST_FILTERS:
            return winograd.convolve(inputs, kernel)
        layer = tf.get_current_name_scope()

        @tf.custom_gradient
        def with_kernel_gradient(images: tf.Tensor, kernel: tf.Tensor):
            def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                with scopes.of_gradient(layer):
                    of_images = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(images), strides=1)
                    return of_images, winograd.kernel_gradient(images, upstream, self.kernel_size[0])

            return convolve(images, kernel), gradients

        return with_kernel_gradient(inputs, kernel)
