"""The model directory is the run: its settings, its metrics, its predictions.

config.json        every setting, the data, library versions, the device
metrics.jsonl      a line per evaluation
predictions.npz    test scores of the last evaluation
checkpoint, ckpt-* weights, momentum, step: `common.checkpoints`
events.out.*       TensorBoard: `common.summaries`
snapshots/         conv1 weights at chosen steps: `common.snapshots`
figures/           PNG: `common.run_figures`
comparison.json    of a run with mixup: `common.comparison`
"""

import dataclasses
import errno
import hashlib
import itertools
import json
import math
import os
import platform
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from common import checkpoints, device, run_lock
from common.cli import DataOptions, RunOptions
from common.distribution import Replicas
from common.errors import UserError
from common.files import replacing
from common.input import Data, Examples

_LIBRARIES = ("tensorflow", "keras", "numpy", "pillow", "scikit-learn")


class EarlierVersionError(UserError):
    """The run was made by a version that kept less of it."""


def describe_split(examples: Examples) -> dict[str, Any]:
    """Number of images, and a digest of ids, labels and weights, by which runs know their data."""
    digest = hashlib.sha256()
    for array in (examples.labels, examples.weights):
        digest.update(np.ascontiguousarray(array).data)
    digest.update("\n".join(examples.ids).encode())
    return {"images": len(examples), "sha256": digest.hexdigest()[:16]}


def describe_environment() -> dict[str, Any]:
    """The device, Python's version and the libraries'."""
    return {
        "device": device.describe(),
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
    }


def settings_of(config: DataOptions, resumable: bool) -> dict[str, Any]:
    """Settings as JSON has them: those that may change when a run goes on, or those that define it."""
    chosen = [f for f in dataclasses.fields(config) if f.metadata["resumable"] is resumable]
    # Folders are left out: they say where a run and its data are, not what they are.
    values = {f.name: getattr(config, f.name) for f in chosen if not f.name.endswith("_dir")}
    # Through JSON, so that a tuple equals the list that the file holds.
    return json.loads(json.dumps(values, default=str))


def differing_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of settings that both have, as each version may know more of them, with different values.

    Weights to start from are known by their file's name, wherever it lies.
    """

    def value(settings: Mapping[str, Any], name: str) -> Any:
        return Path(settings[name]).name if name == "init_from" and settings[name] else settings[name]

    return [name for name in one if name in other and value(one, name) != value(other, name)]


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between the settings and data of two config.json."""
    old, new = before["settings"], now["settings"]
    found = [f"{name} {old[name]} became {new[name]}" for name in differing_settings(new, old)]
    for split, described in now["data"]["splits"].items():
        if described != before["data"]["splits"].get(split):
            found.append(f"{split} is other data")
    return found


def _unused(model_dir: Path) -> Path:
    """The folder itself, or the first of <folder>-2, <folder>-3, ... that isn't there."""
    whole = model_dir if model_dir.name else model_dir.resolve()  # "." has no name
    candidates = (whole.parent / f"{whole.name}-{number}" for number in itertools.count(2))
    return next(path for path in itertools.chain([model_dir], candidates) if not path.exists())


def open_run(config: RunOptions, script: str, data: Data, precision: str) -> Path:
    """Makes the model directory and its config.json, or checks that it holds this very run; locks it.

    A run that stopped before it saved or measured anything leaves nothing that its settings would have
    to agree with: the same folder may be tried again with others.

    Args:
        config: the script's settings.
        script: the script's `__file__`; names the default folder.
        data: what is trained and tested on; its name is part of the default folder.
        precision: "float32" or "bfloat16", as resolved on this machine.

    Returns:
        `config.model_dir`, or runs/<script>-<data>-seed<seed>; with `config.fresh` and where that
        exists, a new folder beside it.

    Raises:
        UserError: the folder can't be written, another process trains there, or it holds a run with other
            settings or data, or without its checkpoints; several workers and `config.fresh`.
    """
    default = Path("runs") / f"{Path(script).stem}-{data.name}-seed{config.seed}"
    model_dir = config.model_dir or default
    if config.fresh and Replicas().workers > 1:
        raise UserError("--fresh can't agree on a folder among several workers; give --model_dir a new one")
    if config.fresh:
        model_dir = _unused(model_dir)
    path = model_dir / "config.json"
    run = {
        "settings": {"script": Path(script).stem}
        | settings_of(config, resumable=False)
        | {"precision": precision},
        "data": {
            "name": data.title,
            "splits": {examples.split: describe_split(examples) for examples in (data.train, data.test)},
        },
        "resumable_settings": settings_of(config, resumable=True),
        "environment": describe_environment(),
    }
    decisive = (run["settings"], run["resumable_settings"], run["data"]["splits"])
    Replicas().check_agreed("settings or data", decisive)
    if not Replicas().is_chief:
        return model_dir
    if model_dir.exists() and not model_dir.is_dir():
        raise UserError(f"{model_dir}: is a file and no folder; give another --model_dir")
    try:
        run_lock.hold(model_dir)
    except OSError as error:
        raise UserError(f"{model_dir}: can't be written ({error.strerror})") from error
    made = checkpoints.completed(model_dir)
    if not made:
        _check_replaceable(model_dir)
    if made or (model_dir / "metrics.jsonl").exists():
        changed = _differences(read_config(model_dir), run)
        if changed:
            raise UserError(
                f"{model_dir} holds another run: {', '.join(changed)}; repeat its settings to go on with it, "
                f"or {_elsewhere()}"
            )
        if made and checkpoints.step_of(made[0]) >= run["resumable_settings"].get("steps", math.inf):
            return model_dir  # nothing is left to do, so its settings stay those that it was made with
    try:
        write_json(path, run)
    except OSError as error:
        raise UserError(f"{model_dir}: can't be written ({error.strerror})") from error
    return model_dir


def _elsewhere() -> str:
    """How to train without the folder; workers can't agree on the new one of --fresh."""
    return "give another --model_dir" + (", or --fresh" if Replicas().workers == 1 else "")


def _check_replaceable(model_dir: Path) -> None:
    """Raises UserError where a run that begins in the folder would replace what can't be made again."""
    config, log = model_dir / "config.json", model_dir / "metrics.jsonl"
    if not config.exists():
        others = [*model_dir.glob("events.out.tfevents.*"), *model_dir.glob("*.ckpt*")]
        others += [path for path in (model_dir / "checkpoint", log) if path.exists()]
        if others:
            raise UserError(
                f"{model_dir}: holds {others[0].name}, but no config.json of a run of this project; "
                f"{_elsewhere()}"
            )
        return
    evaluations = read_metrics(model_dir)
    plan = read_config(model_dir)["resumable_settings"]
    if evaluations and (
        evaluations[-1]["step"] > plan.get("checkpoint_every", math.inf)
        or evaluations[-1]["step"] >= plan.get("steps", math.inf)
    ):
        raise UserError(
            f"{model_dir}: has a log of {evaluations[-1]['step']:,} iterations and no checkpoint, so "
            f"training would begin anew and replace the log; {_elsewhere()}"
        )


def explain_full_disk(error: Exception, model_dir: Path) -> None:
    """Raises UserError for an error of a full disk, Python's or TensorFlow's; else does nothing."""
    for reason in (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)):
        if reason in str(error):
            raise UserError(
                f"{model_dir}: can't be written to ({reason}); make room, then "
                f"{checkpoints.way_on(model_dir)}"
            ) from error


def write_json(path: Path, value: Any) -> Path:
    """Writes a JSON file at once or not at all; returns its path."""
    with replacing(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())
    return path


def read_config(model_dir: Path) -> dict[str, Any]:
    """config.json of a run: "settings", "data", "resumable_settings", "environment".

    Raises:
        EarlierVersionError: it lacks what every run has today.
        UserError: it isn't there, or is damaged.
    """
    path = model_dir / "config.json"
    problem = "can't be read; it is damaged or an earlier version's, use another run's folder or train anew"
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {problem}") from error
    try:
        whole = isinstance(config["settings"]["script"], str) and all(
            isinstance(part, dict)
            for part in (config["data"]["splits"], config["resumable_settings"], config["environment"])
        )
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise EarlierVersionError(f"{path}: {problem}")
    return config


def append_metrics(model_dir: Path, line: Mapping[str, Any]) -> None:
    """Adds an evaluation to metrics.jsonl; `line` has a "step"."""
    with open(model_dir / "metrics.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")


def read_metrics(model_dir: Path) -> list[dict[str, Any]]:
    """Evaluations of a run, the earliest first; a last line that was cut short is left out.

    Raises:
        UserError: a line before the last is damaged.
    """
    path = model_dir / "metrics.jsonl"
    if not path.exists():
        return []
    evaluations = []
    lines = path.read_text(errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            evaluation = json.loads(line)
            if not isinstance(evaluation["step"], int):
                raise TypeError("a step is a whole number")
            evaluations.append(evaluation)
        except (ValueError, LookupError, TypeError) as error:
            if number < len(lines):
                raise UserError(f"{path}:{number}: is damaged; remove the line") from error
    return evaluations


def rewind_metrics(model_dir: Path, step: int) -> None:
    """Drops evaluations after `step`, which a run that goes on there makes again, and a part of a line."""
    path = model_dir / "metrics.jsonl"
    if path.exists():
        kept = "".join(json.dumps(line) + "\n" for line in read_metrics(model_dir) if line["step"] <= step)
        if kept != path.read_text(errors="replace"):
            with replacing(path) as file:
                file.write(kept.encode())


def write_predictions(model_dir: Path, logits: np.ndarray, examples: Examples, step: int) -> None:
    """predictions.npz: logits, labels and weights (N, classes), ids (N,), step ()."""
    with replacing(model_dir / "predictions.npz") as file:
        np.savez(
            file,
            logits=logits,
            labels=examples.labels,
            weights=examples.weights,
            ids=np.array(examples.ids),
            step=step,
        )


def step_of_predictions(model_dir: Path) -> int | None:
    """The step of predictions.npz; None where it isn't there or is damaged."""
    try:
        with np.load(model_dir / "predictions.npz") as stored:
            return int(stored["step"])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
