"""A run's network with the weights of its latest checkpoint, to look into or to predict with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras

from common import checkpoints, device, networks, pretrained, run_files
from common.errors import UserError
from common.figures import describe_data
from common.input import Examples
from common.task_networks import NETWORK_TITLES, network_of
from common.voc_layout import CLASSES


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

    @property
    def title(self) -> str:
        """The network, its iteration and its data."""
        name = network_of(self.config)[1]
        return f"{name}, iteration {self.step:,}, {describe_data(self.config)}"


def read_run(model_dir: Path) -> tuple[dict[str, Any], str | None]:
    """config.json of a run, and its network: "caffenet", "vgg16", or None for another.

    Raises:
        UserError: the folder is no model directory, or its config.json is damaged.
    """
    if not (model_dir / "config.json").is_file():
        raise UserError(f"{model_dir}: is no model directory, it has no config.json")
    config = run_files.read_config(model_dir)
    return config, network_of(config)[0]


def load(model_dir: Path, precision: str | None = None) -> Trained:
    """Loads a run's network with the weights of its latest checkpoint, all of them.

    Args:
        model_dir: of a run of CaffeNet or VGG-16.
        precision: "float32" or "bfloat16"; None takes the run's own.

    Raises:
        UserError: the folder is no such run's, or has no checkpoint, or a damaged one.
    """
    config, network = read_run(model_dir)
    if network is None:
        script = config["settings"]["script"]
        raise UserError(f"{model_dir}: is a run of {script}, and not of CaffeNet or VGG-16")
    latest = next(iter(checkpoints.completed(model_dir)), None)
    if latest is None:
        raise UserError(f"{model_dir}: has no checkpoint yet; train it first, with the command of its task")
    device.set_precision(precision or config["settings"]["precision"])
    model = networks.NETWORKS[network](len(CLASSES))
    try:
        pretrained.restore(model, pretrained.open_checkpoint(latest), model.layers[-1].name)
    except UserError as error:
        raise UserError(
            f"{latest}: is damaged; its training's command goes on from the one before, or take another run"
        ) from error
    return Trained(model, checkpoints.step_of(latest), config)


def image_size_of(model_dirs: Mapping[str, Path]) -> int:
    """Height and width of the images that runs were trained with, before they were cropped, pixels.

    Args:
        model_dirs: {network: folder of a run of it}, "caffenet" or "vgg16".

    Raises:
        UserError: as `read_run`, or a run is of another network, or had images of another size.
    """
    sizes = {}
    for network, model_dir in model_dirs.items():
        config, found = read_run(model_dir)
        if found != network:
            what = NETWORK_TITLES.get(found, config["settings"]["script"])
            raise UserError(
                f"{model_dir}: is a run of {what} where one of {NETWORK_TITLES[network]} is wanted"
            )
        sizes[model_dir] = config["settings"]["image_size"]
    if len(set(sizes.values())) > 1:
        described = ", ".join(f"{folder} {size}" for folder, size in sizes.items())
        raise UserError(
            f"the runs had images of different sizes: {described} pixels; give two of one --image_size"
        )
    return next(iter(sizes.values()))


def load_for(model_dir: Path, test: Examples) -> Trained:
    """`load`, of a run that had the test split that its network will be shown.

    Args:
        model_dir: of the run.
        test: the split.

    Raises:
        UserError: as `load`, or the run had other data.
    """
    config, _ = read_run(model_dir)
    if config["data"]["splits"]["test"] != run_files.describe_split(test):
        raise UserError(
            f"{model_dir}: its run had other data, {config['data']['name']}; give --data_dir that data, or "
            "for the built-in sample leave it and $DATA_DIR out"
        )
    return load(model_dir)
