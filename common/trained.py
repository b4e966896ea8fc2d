"""A run's network with the weights of its latest checkpoint, to look into or to predict with."""

from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from common import device, networks, pretrained, run_files
from common.errors import UserError
from common.input import Examples

TITLES = {"caffenet": "CaffeNet", "vgg16": "VGG-16"}

_NETWORK_OF = {
    "02_pascal_alexnet": "caffenet",
    "03_pascal_vgg16": "vgg16",
    "04_pascal_vgg16_finetune": "vgg16",
}


class Trained(NamedTuple):
    """A trained network.

    Attributes:
        model: takes uint8 (B, size, size, 3).
        step: iterations that it was trained for.
        config: its run's config.json.
    """

    model: keras.Model
    step: int
    config: dict[str, Any]

    @property
    def size(self) -> int:
        """Height and width of its images, pixels."""
        return self.model.input_shape[1]


def _network_of(config: dict[str, Any]) -> str | None:
    settings = config["settings"]
    return settings.get("network") or _NETWORK_OF.get(settings.get("script"))


def load(model_dir: Path, network: str, test: Examples) -> Trained:
    """Loads a network with the weights of its run's latest checkpoint, all of them.

    Args:
        model_dir: of the run.
        network: "caffenet" or "vgg16", which the run is expected to be of.
        test: the split that it will be shown.

    Raises:
        UserError: the folder is no run's, or one of another network or of other data, or has no
            checkpoint.
    """
    if not (model_dir / "config.json").is_file():
        raise UserError(f"{model_dir}: is no model directory, it has no config.json")
    config = run_files.read_config(model_dir)
    found = _network_of(config)
    if found != network:
        what = TITLES.get(found, f"another network ({config['settings'].get('script', 'unknown script')})")
        raise UserError(f"{model_dir}: is a run of {what} where one of {TITLES[network]} is wanted")
    if config["data"]["splits"]["test"] != run_files.describe_split(test):
        raise UserError(
            f"{model_dir}: its run had other data, {config['data']['name']}; give --data_dir that data"
        )
    latest = next(iter(run_files.checkpoints(model_dir)), None)
    if latest is None:
        raise UserError(f"{model_dir}: has no checkpoint yet; train it first, with the command of its task")
    device.set_precision(config["settings"]["precision"])
    make_network = networks.caffenet if network == "caffenet" else networks.vgg16
    model = make_network(test.labels.shape[1])
    pretrained.restore(model, pretrained.open_checkpoint(latest), model.layers[-1].name)
    step = int(tf.train.load_variable(str(latest), "optimizer/iteration/.ATTRIBUTES/VARIABLE_VALUE"))
    return Trained(model, step, config)
