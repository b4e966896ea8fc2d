"""Weights made elsewhere: TF-slim's vgg_16.ckpt, Keras' VGG-16, another run of this project."""

import contextlib
import os
import re
import tarfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
import numpy as np
import tensorflow as tf

from common import checkpoints
from common.errors import UserError

KERAS = "keras"

_SLIM_KINDS = {"weights": "kernel", "biases": "bias"}
_KERAS_KINDS = ("kernel", "bias")  # in the order in which Keras lists a layer's weights
_BGR_KERNEL = "block1_conv1/kernel"
_KERAS_CLASSIFIER = {"fc1": "fc6", "fc2": "fc7", "predictions": "fc8"}
_OF_FILES = (OSError, LookupError, ValueError, RuntimeError, TypeError, AttributeError)  # h5py's among them
_ANEW = "fetch it again, or give --init_from another"
_BFLOAT16 = tf.bfloat16.as_numpy_dtype  # to NumPy no floating number


@dataclass(frozen=True)
class Weights:
    """Arrays by this project's names, "conv1_1/kernel", which are read when they are wanted.

    Attributes:
        name: where they come from, for messages.
        shapes: of every array.
        read: from a name to the array.
        others: names of what the source holds besides, as it calls them.
        bgr: whether the source's conv1_1 takes BGR, and is turned to RGB when it is read.
        way_out: what to do where an array is damaged, for messages.
    """

    name: str
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]
    others: tuple[str, ...] = ()
    bgr: bool = False
    way_out: str = _ANEW


class Restored(NamedTuple):
    """What became of a network's layers, and what of the source was of no use."""

    restored: list[str]
    initialised: list[str]
    ignored: list[str]


@contextlib.contextmanager
def _named_errors(path: object, way_out: str = _ANEW) -> Iterator[None]:
    """Errors of reading, as one line that names the file."""
    try:
        yield
    except (tf.errors.OpError, *_OF_FILES) as error:
        reason = textwrap.shorten(str(error), 120, placeholder=" ...")
        raise UserError(f"{path}: is damaged or holds no weights ({reason}); {way_out}") from error


def open_checkpoint(prefix: Path, way_out: str = _ANEW) -> Weights:
    """A TensorFlow checkpoint, V1 or V2: slim's, or another run's.

    Args:
        prefix: path of the one file of a V1 checkpoint, or what a V2 checkpoint's files begin with.
        way_out: see `Weights`.

    Raises:
        UserError: it can't be read.
    """
    with _named_errors(prefix, way_out):
        reader = tf.train.load_checkpoint(str(prefix))
        stored = reader.get_variable_to_shape_map()
    keys: dict[str, str] = {}
    others = []
    for key in sorted(stored):
        layer, _, kind = key.removesuffix(checkpoints.VALUE).rpartition("/")
        if key.startswith(checkpoints.WEIGHTS) and key.endswith(checkpoints.VALUE):
            keys[f"{layer.removeprefix(checkpoints.WEIGHTS)}/{kind}"] = key
        elif kind in _SLIM_KINDS:  # vgg_16/conv1/conv1_1/weights
            keys[f"{layer.rpartition('/')[2]}/{_SLIM_KINDS[kind]}"] = key
        elif key.endswith(checkpoints.VALUE):  # a run's: its optimizer has a variable for each weight
            others.append(key.partition("/")[0])
        elif key != checkpoints.OBJECT_GRAPH:
            others.append(key)

    def read(name: str) -> np.ndarray:
        with _named_errors(f"{prefix}: {keys[name].removesuffix(checkpoints.VALUE)}", way_out):
            return reader.get_tensor(keys[name])

    shapes = {name: tuple(stored[key]) for name, key in keys.items()}
    return Weights(str(prefix), shapes, read, tuple(dict.fromkeys(others)), way_out=way_out)


def _from_keras_name(name: str) -> str:
    """block1_conv2/kernel is conv1_2/kernel here, fc1/bias is fc6/bias."""
    layer, _, kind = name.partition("/")
    block, _, conv = layer.partition("_conv")
    ours = f"conv{block.removeprefix('block')}_{conv}" if conv else _KERAS_CLASSIFIER.get(layer, layer)
    return f"{ours}/{kind}"


def _to_rgb(keras_name: str, array: np.ndarray) -> np.ndarray:
    """Keras' VGG-16 takes BGR, as Caffe did; the first kernel's input channels are turned round.

    Not those of a file that Keras wrote of this project's own network, which takes RGB.
    """
    return array[:, :, ::-1] if keras_name == _BGR_KERNEL else array


def _of_keras(name: str, shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], np.ndarray]) -> Weights:
    """Weights of which shapes and arrays go by the names that Keras gives them."""
    keras_names = {_from_keras_name(keras_name): keras_name for keras_name in shapes}
    return Weights(
        name,
        {ours: shapes[keras_name] for ours, keras_name in keras_names.items()},
        lambda ours: _to_rgb(keras_names[ours], read(keras_names[ours])),
        bgr=_BGR_KERNEL in shapes,
    )


def _h5_datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """The arrays of a Keras file by its names, "fc1/bias", whether of Keras 3 or of the older layout."""
    layers: dict[str, list[h5py.Dataset]] = {}
    if "layers" in file:  # Keras 3's .weights.h5
        for group in file["layers"].values():
            variables = group["vars"]
            layers[variables.attrs["name"]] = [variables[str(n)] for n in range(len(variables))]
    else:
        root = file.get("model_weights", file)  # there where a whole model was saved
        for layer in root.attrs["layer_names"]:
            name = layer.decode() if isinstance(layer, bytes) else layer
            layers[name] = [root[name][weight] for weight in root[name].attrs["weight_names"]]
    return {
        f"{layer}/{kind}": dataset
        for layer, datasets in layers.items()
        for kind, dataset in zip(_KERAS_KINDS, datasets, strict=False)
    }


def _open_h5(path: Path) -> Weights:
    with _named_errors(path), h5py.File(path) as file:
        shapes = {name: tuple(dataset.shape) for name, dataset in _h5_datasets(file).items()}

    def read(name: str) -> np.ndarray:
        with _named_errors(f"{path}: {name}"), h5py.File(path) as file:
            return _h5_datasets(file)[name][()]

    return _of_keras(str(path), shapes, read)


def _fetch_keras(with_classifier: bool) -> Weights:
    """ImageNet's VGG-16, which Keras fetches once and verifies."""
    try:
        model = keras.applications.VGG16(weights="imagenet", include_top=with_classifier)
    except Exception as error:  # Keras raises a bare Exception where it can't fetch
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"Keras' VGG-16 weights can't be had ({reason}); give --init_from a vgg_16.ckpt or an .h5 file"
        ) from error
    variables = _variables(model)
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    return _of_keras("Keras' VGG-16", shapes, lambda name: variables[name].numpy())


def _is_archive(path: Path) -> bool:
    """Whether it is a tar with something in it; a file of zeros would be one without."""
    try:
        with tarfile.open(path) as archive:
            return archive.next() is not None
    except (tarfile.TarError, OSError, EOFError):  # EOFError is of one that was cut short
        return False


def open_weights(init_from: str, with_classifier: bool) -> Weights:
    """Finds weights and reads their names and shapes.

    Args:
        init_from: one of
            - a checkpoint of TF-slim's VGG-16, V1 (one file) or V2 (its prefix, or one of its files);
            - an .h5 file of Keras' VGG-16, with or without its classifier, in Keras 3's layout or in
              the older one;
            - "keras", which has Keras fetch ImageNet's;
            - the model directory of another run, whose latest checkpoint is taken.
        with_classifier: of "keras" only: whether fc6 to fc8, most of the 553 MB, are wanted.

    Raises:
        UserError: there is nothing there, or it can't be read.
    """
    if init_from == KERAS:
        return _fetch_keras(with_classifier)
    path = Path(os.path.expanduser(init_from))  # leaves the home of an unknown user as it is
    if path.is_dir():
        own = checkpoints.completed(path)
        if own:
            before = f"{own[1]}, the checkpoint before it" if len(own) > 1 else "another"
            return open_checkpoint(own[0], f"give --init_from {before}")
        files = sorted({*path.glob("*.ckpt"), *path.glob("*.ckpt.index"), *path.glob("*.h5")})
        way_out = f"the file, {files[0]}" if files else "the model directory of a run"
        raise UserError(f"{path}: holds no checkpoint of a run; give --init_from {way_out}")
    if path.suffix in (".index", ".meta") or re.fullmatch(r"\.data-\d+-of-\d+", path.suffix):
        path = path.with_suffix("")
    if path.is_file() and _is_archive(path):
        raise UserError(f"{path}: is an archive; unpack it, tar xf {path}, and give what is in it")
    if path.suffix == ".keras" and path.is_file():
        raise UserError(
            f"{path}: is a whole Keras model, of which no weights are read; give --init_from the model "
            "directory that it was exported from, or what model.save_weights makes, an .h5 file"
        )
    if path.suffix in (".h5", ".hdf5") and path.is_file():
        return _open_h5(path)
    if path.is_file() or Path(f"{path}.index").is_file():
        return open_checkpoint(path)
    raise UserError(
        f"{path}: does not exist; give --init_from a vgg_16.ckpt, an .h5 file of Keras' VGG-16, "
        "a run's model directory, or 'keras'"
    )


def _fits(stored: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Equal shapes, or a convolution over the whole map where the network has a dense layer.

    Slim's fc6 is a 7 x 7 convolution, (7, 7, 512, 4096); over a map of 7 x 7 that is the dense layer
    (25088, 4096) behind a channels-last flatten.
    """
    as_dense = (int(np.prod(stored[:-1])), *stored[-1:])
    return wanted in (stored, as_dense)


def _layers_of(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.rpartition("/")[0] for name in names))


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    return {f"{layer.name}/{variable.name}": variable for layer in model.layers for variable in layer.weights}


def restore(model: keras.Model, weights: Weights, up_to: str) -> Restored:
    """Gives a network's layers, from the first to `up_to`, the weights of the same names.

    The layers after it keep what their initialisers gave. Nothing but kernels and biases is taken: no
    step counter, which would end the learning rate schedule before it begins.

    Args:
        model: its layers have the field's names, conv1_1 to fc8.
        weights: see `open_weights`.
        up_to: the last layer to restore.

    Returns:
        Names of layers.

    Raises:
        UserError: the network has no such layer with weights, the source has convolutions that the network
            lacks, or a variable is missing, of another shape, damaged or not finite; it is named.
    """
    layers = [layer.name for layer in model.layers if layer.weights]
    if up_to not in layers:
        raise UserError(f"--restore_up_to {up_to}: the network's layers are {', '.join(layers)}")
    variables = _variables(model)
    last = layers.index(up_to)
    wanted = [name for name in variables if layers.index(name.rpartition("/")[0]) <= last]
    # VGG-19 has all of VGG-16's names and shapes, and more convolutions between them.
    others = [layer for layer in _layers_of(weights.shapes) if re.fullmatch(r"conv\d(_\d)?", layer)]
    if more := [layer for layer in others if layer not in layers]:
        raise UserError(
            f"{weights.name}: is of another network, one with {', '.join(more)}; give --init_from other "
            "weights"
        )
    if missing := [name for name in wanted if name not in weights.shapes]:
        raise UserError(
            f"{weights.name}: lacks {', '.join(missing)}; give --restore_up_to an earlier layer, "
            "or --init_from other weights"
        )
    for name in wanted:
        stored, shape = weights.shapes[name], tuple(variables[name].shape)
        if not _fits(stored, shape):
            raise UserError(
                f"{weights.name}: {name} has the shape {stored}, the network's has {shape}; give "
                "--restore_up_to an earlier layer, or --init_from other weights"
            )
    for name in wanted:
        array = weights.read(name)
        if array.dtype == _BFLOAT16:
            array = array.astype(np.float32)
        if not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
            raise UserError(
                f"{weights.name}: {name} is damaged, not all of it are finite numbers; {weights.way_out}"
            )
        variables[name].assign(array.reshape(variables[name].shape))
    rest = [name for name in variables if name not in wanted]
    unused = _layers_of([name for name in weights.shapes if name not in wanted])
    return Restored(_layers_of(wanted), _layers_of(rest), [*unused, *weights.others])
