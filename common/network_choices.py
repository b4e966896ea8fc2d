"""What the command lines offer of the networks; without TensorFlow, for `--help` lists it."""

from typing import Literal

# How kernels begin, for convolutions and fc6 and fc7: see `common.networks`.
Init = Literal["gaussian", "caffe", "xavier", "he"]

# The layers of VGG-16 that have weights, by TF-slim's names.
VGG16Layer = Literal[
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1", "conv4_2",
    "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6", "fc7", "fc8",
]  # fmt: skip
