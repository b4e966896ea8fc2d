"""A numbered script's settings, and the command that makes a run, from the run's config.json."""

import dataclasses
import importlib.util
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What names the data, by its title; anything else is a VOC folder.
_DATA_ARGUMENTS = {
    "MNIST": ("--data_dir FOLDER_OF_THE_FOUR_FILES",),
    "scikit-learn's digits, enlarged (not MNIST)": (),
    "built-in sample": (),
}

ROOT = Path(__file__).resolve().parents[1]


def config_of(script: str) -> type:
    """A numbered script's Config, a dataclass of its settings; `script` is its name without ".py"."""
    specification = importlib.util.spec_from_file_location(script, ROOT / f"{script}.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[script] = module  # dataclasses look their module up there
    specification.loader.exec_module(module)
    return module.Config


def told_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that isn't its script's default, in the order of `--help`.

    Args:
        config: of a run's config.json, or Task 5's analysis.json.
    """
    settings = {**config["settings"], **config["resumable_settings"], "fresh": False}
    defaults = {field.name: field.default for field in dataclasses.fields(config_of(settings["script"]))}
    return {
        name: settings[name]
        for name, default in defaults.items()
        # Through JSON, so that a tuple equals the list that the file holds.
        if settings.get(name) is not None and json.loads(json.dumps(default, default=str)) != settings[name]
    }


def command_of(config: Mapping[str, Any], folder: str | None, baseline: str | None = None) -> str:
    """The shell command that makes a run: every setting that isn't its script's default, and its folder.

    Args:
        config: of a run's config.json, or Task 5's analysis.json.
        folder: the model directory; None for Task 5, which has none.
        baseline: of a run with mixup, the model directory that it was compared with, where that is known.

    Returns:
        For example "python 02_pascal_alexnet.py --data_dir $DATA_DIR --seed 1 --model_dir runs/again".
    """
    script = config["settings"]["script"]
    # A sample is what a VOC script takes without any folder, also of the environment.
    nowhere = "DATA_DIR= " if config["data"]["name"] == "built-in sample" else ""
    parts = [
        f"{nowhere}python {script}.py",
        *_DATA_ARGUMENTS.get(config["data"]["name"], ("--data_dir $DATA_DIR",)),
    ]
    for name, value in told_settings(config).items():
        values = value if isinstance(value, list) else [value]
        flag = f"--{name}" if value is not False else f"--no-{name}"
        parts.append(
            " ".join([flag, *(() if isinstance(value, bool) else map(shlex.quote, map(str, values)))])
        )
    if script == "06_mixup":
        task = "TASK_4" if config["settings"]["network"] == "vgg16" else "TASK_2"
        parts.append(f"--baseline_dir {shlex.quote(baseline or f'RUN_OF_{task}')}")
    if folder is not None:
        parts.append(f"--model_dir {shlex.quote(folder)}")
    return " ".join(parts)
