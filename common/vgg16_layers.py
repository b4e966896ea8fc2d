"""The layers of VGG-16 that have weights, by TF-slim's names; without TensorFlow, for `--help` lists them."""

from typing import Literal

VGG16Layer = Literal[
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1", "conv4_2",
    "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6", "fc7", "fc8",
]  # fmt: skip
