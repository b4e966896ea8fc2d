"""Files of weights with slim's and Keras' names and layouts, at reduced widths."""

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras import layers

from common import networks

WIDTHS = {1: 4, 2: 5, 3: 6, 4: 7, 5: 8}
DEPTHS = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
UNITS = 9
CONVOLUTIONS = [f"conv{block}_{number}" for block in DEPTHS for number in range(1, DEPTHS[block] + 1)]
KINDS = ("kernel", "bias")
LAYERS = [*CONVOLUTIONS, "fc6", "fc7", "fc8"]


def small_vgg16(classes: int = 20, names=lambda name: name) -> keras.Model:
    """VGG-16 with few filters; `names` turns its layers' names into another library's."""
    stack = [keras.Input((224, 224, 3)), layers.Rescaling(1.0, [-m for m in networks.MEAN_RGB])]
    for block, depth in DEPTHS.items():
        for number in range(1, depth + 1):
            name = names(f"conv{block}_{number}")
            stack.append(layers.Conv2D(WIDTHS[block], 3, padding="same", activation="relu", name=name))
        stack.append(layers.MaxPooling2D(2))
    stack += [layers.Flatten(), *(layers.Dense(UNITS, "relu", name=names(name)) for name in ("fc6", "fc7"))]
    return keras.Sequential([*stack, layers.Dense(classes, name=names("fc8"))])


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    return {f"{layer.name}/{v.name}": v.numpy() for layer in model.layers for v in layer.weights}


def slim_values() -> dict[str, np.ndarray]:
    """{"conv1_1/kernel": array ...} as slim has them: fc6 to fc8 are convolutions, 1,000 classes."""
    rng = np.random.default_rng(0)
    shapes, channels = {}, 3
    for name in CONVOLUTIONS:
        filters = WIDTHS[int(name[4])]
        shapes[name] = (3, 3, channels, filters)
        channels = filters
    shapes |= {"fc6": (7, 7, channels, UNITS), "fc7": (1, 1, UNITS, UNITS), "fc8": (1, 1, UNITS, 1000)}
    arrays = {}
    for name, shape in shapes.items():
        arrays[f"{name}/kernel"] = rng.normal(size=shape).astype(np.float32)
        arrays[f"{name}/bias"] = rng.normal(size=shape[-1:]).astype(np.float32)
    return arrays


def write_slim(values, path, version: str = "v2", without: str = "no layer", **changed: np.ndarray) -> str:
    """Writes a checkpoint of TF-slim's VGG-16 with its true names; returns its path."""
    kinds = {"kernel": "weights", "bias": "biases"}
    tensors = {"vgg_16/mean_rgb": np.float32(networks.MEAN_RGB), "global_step": np.int64(370_000)}
    for name, array in (values | {key.replace("__", "/"): value for key, value in changed.items()}).items():
        layer, kind = name.split("/")
        scope = f"{layer[:5]}/{layer}" if layer.startswith("conv") else layer
        if layer != without:
            tensors[f"vgg_16/{scope}/{kinds[kind]}"] = array
    names, data = list(tensors), [tf.constant(array) for array in tensors.values()]
    if version == "v2":
        slices = [""] * len(names)
        tf.raw_ops.SaveV2(prefix=str(path), tensor_names=names, shape_and_slices=slices, tensors=data)
    else:
        tf.raw_ops.Save(filename=str(path), tensor_names=names, data=data)
    return str(path)


def keras_name(name: str) -> str:
    if name.startswith("conv"):
        return f"block{name[4]}_conv{name[6]}"
    return {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}[name]


def keras_arrays(values, layer: str) -> list[np.ndarray]:
    """As Keras has them: conv1_1 takes BGR, the classifier is dense."""
    kernel, bias = values[f"{layer}/kernel"], values[f"{layer}/bias"]
    if layer == "conv1_1":
        kernel = kernel[:, :, ::-1]
    return [kernel.reshape(-1, kernel.shape[-1]) if layer.startswith("fc") else kernel, bias]


def write_keras_2(values, path, chosen=LAYERS) -> str:
    """The layout of the published vgg16_weights_tf_dim_ordering_tf_kernels.h5."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in ("input_1", *map(keras_name, chosen))]
        file.create_group("input_1").attrs["weight_names"] = np.array([], "S")
        for layer in chosen:
            group = file.create_group(keras_name(layer))
            names = [f"{keras_name(layer)}_{kind}_1:0" for kind in ("W", "b")]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, keras_arrays(values, layer), strict=True):
                group[name] = array
    return str(path)


def keras_model(values) -> keras.Model:
    model = small_vgg16(1000, keras_name)
    for layer in LAYERS:
        model.get_layer(keras_name(layer)).set_weights(keras_arrays(values, layer))
    return model
