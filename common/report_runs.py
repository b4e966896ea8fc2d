"""The runs and analyses that a report is made from."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.command_line import command_of
from common.errors import UserError


def shown(folder: Path) -> str:
    """A folder as one would type it here."""
    folder, here = folder.resolve(), Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


@dataclass(frozen=True)
class Run:
    """A run as its model directory tells it.

    Attributes:
        folder: the model directory.
        config: config.json.
        evaluations: lines of metrics.jsonl, at least one.
        comparison: comparison.json, of a run with mixup that was compared with its baseline.
    """

    folder: Path
    config: Mapping[str, Any]
    evaluations: Sequence[Mapping[str, Any]]
    comparison: Mapping[str, Any] | None

    @property
    def settings(self) -> Mapping[str, Any]:
        return {**self.config["settings"], **self.config["resumable_settings"]}

    @property
    def last(self) -> Mapping[str, Any]:
        return self.evaluations[-1]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def has_ended(self) -> bool:
        return self.last["step"] >= self.settings["steps"]

    @property
    def command(self) -> str:
        """Makes the run, or goes on with it; a run of which only the log is kept is made anew under runs/."""
        # Of its baseline the name alone is kept, so it is looked for beside the run.
        beside = self.folder.parent / self.comparison["name"] if self.comparison else None
        baseline = to_type(beside) if beside and (beside / "config.json").is_file() else None
        return command_of(self.config, to_type(self.folder), baseline)


def to_type(folder: Path) -> str:
    """A run's folder for a command; under runs/ where it has no checkpoint to go on from."""
    return shown(folder) if (folder / "checkpoint").is_file() else f"runs/{folder.name}"


def _read_comparison(folder: Path) -> dict[str, Any] | None:
    path = folder / "comparison.json"
    if not path.is_file():
        return None
    try:
        comparison = json.loads(path.read_text())
        if not {"name", "mixup", "baseline"} <= comparison.keys():
            raise ValueError("lacks a part")
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path}: is damaged; remove it, and repeat the run's command") from error
    return comparison


def find_runs(folders: Iterable[Path]) -> list[Run]:
    """Every evaluated run in the folders or right below them, by name.

    Raises:
        UserError: a folder isn't there, or a run can't be read.
    """
    from common import run_files  # loads TensorFlow, which `--help` shouldn't wait for

    runs = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: is not a folder")
        for path in sorted({*folder.glob("config.json"), *folder.glob("*/config.json")}):
            evaluations = run_files.read_metrics(path.parent)
            try:
                config = run_files.read_config(path.parent)
            except run_files.EarlierVersionError:
                print(f"{path.parent}: left out, it is an earlier version's", file=sys.stderr)
                continue
            if not evaluations:
                print(f"{path.parent}: left out, it wasn't evaluated yet", file=sys.stderr)
                continue
            comparison = _read_comparison(path.parent)
            runs.append(Run(path.parent.resolve(), config, evaluations, comparison))
    return list({run.folder: run for run in runs}.values())


def find_analyses(folders: Iterable[Path]) -> list[Path]:
    """Every folder of Task 5 in the folders or right below them."""
    found = (
        p for folder in folders for p in (*folder.glob("analysis.json"), *folder.glob("*/analysis.json"))
    )
    return sorted({path.parent for path in found})
