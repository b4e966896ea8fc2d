"""What Winograd's algorithm costs in rounding, in float32, beside TensorFlow's own convolution.

    python -m benchmarks.winograd_rounding

At the shapes of CaffeNet's conv2 and VGG-16's conv4_2, with images, kernels and gradients from N(0, 1);
errors are against TensorFlow in float64, in standard deviations of what is computed.
"""

from collections.abc import Callable

from common import cli

cli.import_tensorflow()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks import setting  # noqa: E402
from common import winograd  # noqa: E402

# Batch, height and width, channels, filters, size of the kernel.
LAYERS = {"CaffeNet's conv2": (10, 27, 96, 256, 5), "VGG-16's conv4_2": (10, 28, 512, 512, 3)}


def directly(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """TensorFlow's own."""
    return tf.nn.conv2d(images, kernel, 1, "SAME")


def compute(
    convolve: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], arrays: list[np.ndarray], dtype: tf.DType
) -> list[np.ndarray]:
    """Output, gradient of the images and gradient of the kernel, computed in `dtype`; float64."""
    images, kernel, upstream = (tf.constant(array, dtype) for array in arrays)
    with tf.GradientTape() as tape:
        tape.watch([images, kernel])
        output = convolve(images, kernel)
    gradients = tape.gradient(output, [images, kernel], upstream)
    return [np.asarray(one, np.float64) for one in (output, *gradients)]


def main() -> None:
    cli.Parser(__doc__).parse_args()
    print(setting.describe_machine())
    print("root mean square and largest error, in standard deviations")
    titles = ("output", "gradient of images", "gradient of kernel")
    print(f"{'':33}" + "".join(f"{title:20}" for title in titles).rstrip())
    for name, (batch, size, channels, filters, kernel_size) in LAYERS.items():
        generator = np.random.default_rng(0)
        shapes = (
            (batch, size, size, channels),
            (kernel_size, kernel_size, channels, filters),
            (batch, size, size, filters),
        )
        arrays = [generator.normal(size=shape).astype(np.float32) for shape in shapes]
        exact = compute(directly, arrays, tf.float64)
        for way, convolve in (("Winograd's", winograd.convolve), ("TensorFlow's", directly)):
            line = f"{name:18} {way:14}"
            for one, expected in zip(compute(convolve, arrays, tf.float32), exact, strict=True):
                error = np.abs(one - expected) / expected.std()
                line += f"{np.sqrt(np.mean(error**2)):.1e} {error.max():.1e}".ljust(20)
            print(line.rstrip(), flush=True)


if __name__ == "__main__":
    cli.run(main)
