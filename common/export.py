"""A trained network as files that need nothing of this project."""

from pathlib import Path

import keras
import tensorflow as tf

from common import convolution
from common.errors import UserError
from common.trained import Trained


def make_standalone(network: Trained) -> keras.Model:
    """The network with its preprocessing and the sigmoid inside.

    Args:
        network: loaded in float32.

    Returns:
        A model from uint8 (B, H, W, 3) RGB of any size to probabilities, float32 (B, classes). Images are
        resized as in training, but by TensorFlow, which differs from Pillow by less than a grey level.
    """
    size = network.config["settings"]["image_size"]
    images = keras.Input((None, None, 3), dtype="uint8", name="images")
    # To float32 first: what Resizing makes of whole numbers depends on whether it runs in a graph.
    values = keras.layers.Rescaling(1.0, dtype="float32", name="to_float32")(images)
    values = keras.layers.Resizing(size, size, antialias=True, dtype="float32", name="resize")(values)
    values = keras.layers.CenterCrop(network.size, network.size, dtype="float32", name="crop")(values)
    # Layer by layer: called as a whole, the network would cut the values to uint8. Dropout does nothing here,
    # and layers of this project's would ask for its code.
    for layer in network.model.layers:
        if not isinstance(layer, keras.layers.Dropout):
            values = (layer.as_keras() if isinstance(layer, convolution.Conv2D) else layer)(values)
    probabilities = keras.layers.Activation("sigmoid", dtype="float32", name="probabilities")(values)
    return keras.Model(images, probabilities, name=f"{network.model.name}_standalone")


def _served(model: keras.Model) -> tf.Module:
    """What a SavedModel is made of. `model.export` of Keras 3.15 would store every weight twice."""
    module = tf.Module()
    module.weights = [variable.value for variable in model.weights]
    module.serve = tf.function(
        lambda images: model(images, training=False),
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")],
        autograph=False,
    )
    return module


def write(network: Trained, folder: Path) -> list[Path]:
    """Writes the network as a Keras file and as a SavedModel.

    Args:
        network: loaded in float32.
        folder: where to; made if need be.

    Returns:
        <name>.keras, for `keras.saving.load_model`, and saved_model/, whose `serve` takes images.

    Raises:
        UserError: the folder can't be written.
    """
    model = make_standalone(network)
    paths = [folder / f"{network.model.name}.keras", folder / "saved_model"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        model.save(paths[0])
        module = _served(model)
        tf.saved_model.save(module, str(paths[1]), signatures=module.serve)  # for TensorFlow Serving
    except (OSError, tf.errors.OpError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.message.splitlines()[0][:200]
        raise UserError(f"{folder}: can't be written ({reason})") from error
    return paths
