"""The networks of the handout, with the mean subtraction inside and the field's layer names.

Every network takes images of 0 to 255, uint8, RGB but for MNIST's, and gives float32 logits.
"""

import itertools
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from common import convolution
from common.dropout import Dropout
from common.network_choices import Init

# Mean RGB of ImageNet, as Caffe and TF-slim subtract it.
MEAN_RGB = (123.68, 116.78, 103.94)


def _seeded(init: Init, seed: int) -> Callable[[str], keras.initializers.Initializer]:
    """A function of a layer's name that gives an initialiser with a seed of its own at every call."""
    seeds = itertools.count(seed * 1_000)

    def initializer(layer: str) -> keras.initializers.Initializer:
        if init == "xavier":
            return keras.initializers.GlorotUniform(seed=next(seeds))
        if init == "he":
            return keras.initializers.HeNormal(seed=next(seeds))
        narrow = init == "caffe" and layer in ("fc6", "fc7")
        return keras.initializers.RandomNormal(stddev=0.005 if narrow else 0.01, seed=next(seeds))

    return initializer


def _subtract_mean() -> layers.Layer:
    # In float32, whatever the policy: what is rounded to bfloat16 is then the small difference.
    return layers.Rescaling(1.0, [-m for m in MEAN_RGB], dtype="float32", name="subtract_mean")


def _classifier(
    classes: int, initializer: Callable[[str], keras.initializers.Initializer], dropout: float, seed: int
) -> list[layers.Layer]:
    """What CaffeNet and VGG-16 end with: flatten to fc8."""

    def fully_connected(units: int, name: str, **kwargs: Any) -> layers.Dense:
        return layers.Dense(units, kernel_initializer=initializer(name), name=name, **kwargs)

    return [
        layers.Flatten(name="flatten"),
        fully_connected(4096, "fc6", activation="relu"),
        Dropout(dropout, seed=seed, name="dropout6"),
        fully_connected(4096, "fc7", activation="relu"),
        Dropout(dropout, seed=seed + 1, name="dropout7"),
        fully_connected(classes, "fc8", dtype="float32"),
    ]


def caffenet(
    classes: int, *, init: Init = "gaussian", dropout: float = 0.5, seed: int = 0, size: int = 227
) -> keras.Model:
    """CaffeNet as the handout lists it (Q2.1).

    Unlike Caffe's bvlc_reference_caffenet it has no relu after conv5, no local response
    normalisation and no groups.

    Args:
        classes: number of logits.
        init: of the kernels: "gaussian" is N(0, 0.01), the handout's; "caffe" is that but for fc6 and fc7,
            N(0, 0.005), like the kernels of bvlc_reference_caffenet; "xavier" is Glorot and Bengio's uniform;
            "he" is He et al.'s normal. Biases are 0.
        dropout: share of fc6 and fc7 set to 0 in training.
        seed: of the initial weights and of dropout.
        size: height and width of the images, pixels.

    Returns:
        A model from uint8 (B, size, size, 3) to logits float32 (B, classes), with layers conv1, pool1,
        conv2, pool2, conv3, conv4, conv5, pool5, flatten, fc6, dropout6, fc7, dropout7, fc8.
    """
    initializer = _seeded(init, seed)

    def conv(kernel: int, stride: int, filters: int, padding: str, name: str, **kwargs: Any) -> keras.Layer:
        return convolution.Conv2D(
            filters,
            kernel,
            stride,
            padding,
            kernel_initializer=initializer(name),
            name=name,
            **({"activation": "relu"} | kwargs),
        )

    return keras.Sequential(
        [
            keras.Input((size, size, 3), dtype="uint8", name="image"),
            _subtract_mean(),
            conv(11, 4, 96, "valid", "conv1"),
            layers.MaxPooling2D(3, 2, name="pool1"),
            conv(5, 1, 256, "same", "conv2"),
            layers.MaxPooling2D(3, 2, name="pool2"),
            conv(3, 1, 384, "same", "conv3"),
            conv(3, 1, 384, "same", "conv4"),
            conv(3, 1, 256, "same", "conv5", activation=None),
            layers.MaxPooling2D(3, 2, name="pool5"),
            *_classifier(classes, initializer, dropout, seed),
        ],
        name="caffenet",
    )


def vgg16(
    classes: int, *, init: Init = "xavier", dropout: float = 0.5, seed: int = 0, size: int = 224
) -> keras.Model:
    """VGG-16, configuration D of Simonyan and Zisserman (ICLR 2015), named as TF-slim names it (Q3.1).

    Args:
        classes, dropout, seed, size: as for `caffenet`.
        init: as for `caffenet`. With "gaussian" or "caffe" the signal shrinks from layer to layer until
            next to nothing of it is left in the logits, and next to no gradient comes back, at first.

    Returns:
        A model from uint8 (B, size, size, 3) to logits float32 (B, classes), with layers conv1_1,
        conv1_2, pool1, conv2_1, ... conv5_3, pool5, flatten, fc6, dropout6, fc7, dropout7, fc8.
    """
    initializer = _seeded(init, seed)
    blocks: list[layers.Layer] = []
    for block, (depth, filters) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], start=1):
        for number in range(1, depth + 1):
            name = f"conv{block}_{number}"
            kernel = initializer(name)
            conv = convolution.Conv2D(
                filters, 3, padding="same", activation="relu", kernel_initializer=kernel, name=name
            )
            blocks.append(conv)
        blocks.append(layers.MaxPooling2D(2, name=f"pool{block}"))
    return keras.Sequential(
        [
            keras.Input((size, size, 3), dtype="uint8", name="image"),
            _subtract_mean(),
            *blocks,
            *_classifier(classes, initializer, dropout, seed),
        ],
        name="vgg16",
    )


def layers_tutorial_cnn(
    classes: int,
    input_shape: tuple[int, int, int],
    *,
    scale: float,
    dropout: float = 0.4,
    seed: int = 0,
) -> keras.Model:
    """The network of TensorFlow's old layers tutorial, which the handout starts from (Task 0).

    Kernels have the tutorial's default initialiser, Glorot and Bengio's uniform; biases are 0.

    Args:
        classes: number of logits.
        input_shape: height, width and channels of the images.
        scale: factor to the pixels. The tutorial's MNIST comes as 0..1, so that is 1/255; PASCAL comes as
            0..255 (handout Q1.1), so that is 1.
        dropout: share of the dense layer set to 0 in training.
        seed: of the initial weights and of dropout.

    Returns:
        A model from uint8 (B, *input_shape) to logits float32 (B, classes), with layers conv1, pool1,
        conv2, pool2, flatten, dense, dropout, logits.
    """
    initializer = _seeded("xavier", seed)

    def conv(filters: int, name: str):
        return layers.Conv2D(
            filters, 5, padding="same", activation="relu", kernel_initializer=initializer(name), name=name
        )

    return keras.Sequential(
        [
            keras.Input(input_shape, dtype="uint8", name="image"),
            layers.Rescaling(scale, dtype="float32", name="scale"),
            conv(32, "conv1"),
            layers.MaxPooling2D(2, name="pool1"),
            conv(64, "conv2"),
            layers.MaxPooling2D(2, name="pool2"),
            layers.Flatten(name="flatten"),
            layers.Dense(1024, "relu", kernel_initializer=initializer("dense"), name="dense"),
            Dropout(dropout, seed=seed, name="dropout"),
            layers.Dense(classes, kernel_initializer=initializer("logits"), dtype="float32", name="logits"),
        ],
        name="layers_tutorial_cnn",
    )


NETWORKS = {"caffenet": caffenet, "vgg16": vgg16}
