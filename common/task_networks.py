"""The network that each task's runs train, and what it is called in titles."""

from collections.abc import Mapping
from typing import Any

NETWORK_TITLES = {"caffenet": "CaffeNet", "vgg16": "VGG-16"}

# The script whose runs are the baseline of each network's mixup.
BASELINES = {"caffenet": "02_pascal_alexnet", "vgg16": "04_pascal_vgg16_finetune"}

_NETWORK_OF = {
    "01_pascal": (None, "two-layer network"),
    "02_pascal_alexnet": ("caffenet", "CaffeNet"),
    "03_pascal_vgg16": ("vgg16", "VGG-16 from scratch"),
    "04_pascal_vgg16_finetune": ("vgg16", "fine-tuned VGG-16"),
}


def network_of(config: Mapping[str, Any]) -> tuple[str | None, str]:
    """A run's network and what it is called, for example "vgg16" and "fine-tuned VGG-16".

    Args:
        config: the run's config.json.

    Returns:
        "caffenet", "vgg16" or None for another, and a title; of a script that isn't known here, its name.
    """
    settings = config["settings"]
    if settings["script"] == "06_mixup":
        network, title = _NETWORK_OF[BASELINES[settings["network"]]]
        return network, f"{title} with mixup"
    return _NETWORK_OF.get(settings["script"], (None, settings["script"]))
