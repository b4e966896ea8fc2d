"""Checkpoints of a run: everything it needs to go on as if never interrupted; the last two are kept."""

import functools
import re
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import keras
import tensorflow as tf

from common.errors import UserError
from common.files import replacing

# A key in a run's checkpoint is for example weights/conv1/kernel/.ATTRIBUTES/VARIABLE_VALUE: what
# `RunCheckpoints` calls the variable, and what tf.train.Checkpoint adds.
WEIGHTS = "weights/"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"

_NAME = re.compile(r"ckpt-\d+")


def completed(model_dir: Path) -> list[Path]:
    """Prefixes of the run's checkpoints that were completed, the newest first, damaged or not.

    A save that was cut short, before it was entered in the file named "checkpoint", left no index or an
    empty one.
    """
    try:
        state = tf.train.get_checkpoint_state(str(model_dir))
    except ValueError:  # damaged
        state = None
    entered = [Path(path).name for path in state.all_model_checkpoint_paths] if state else []
    indexed = [path.stem for path in model_dir.glob("ckpt-*.index") if path.stat().st_size]
    numbers = {int(name[5:]) for name in (*entered, *indexed) if _NAME.fullmatch(name)}
    return [model_dir / f"ckpt-{number}" for number in sorted(numbers, reverse=True)]


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was made after; of its prefix."""
    return int(checkpoint.name.removeprefix("ckpt-"))


def way_on(model_dir: Path) -> str:
    """How training continues once the disk has room again."""
    if completed(model_dir):
        return "the same command goes on from the last complete checkpoint"
    return "train anew, with another --model_dir"


class RunCheckpoints:
    """Saves and restores weights, the optimizer's state, dropout's random state, and a run's counters."""

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        counters: Mapping[str, tf.Variable],
        model_dir: Path,
    ) -> None:
        """
        Args:
            model: the network.
            optimizer: built.
            counters: what else is to be kept, by name.
            model_dir: of the run.
        """
        self._model_dir = model_dir
        layers = [layer for layer in model.layers if layer.weights]
        # "momentum_sgd/caffenet_conv1_kernel_momentum" without the names that Keras may number.
        slots = {v.path.split("/", 1)[1].removeprefix(f"{model.name}_"): v.value for v in optimizer.variables}
        # tf.train.Checkpoint doesn't find the states of dropout's random generators by itself.
        known = {id(v) for v in model.weights}
        self._checkpoint = tf.train.Checkpoint(
            weights={layer.name: {v.name: v.value for v in layer.weights} for layer in layers},
            optimizer=slots,
            seeds=[v.value for v in model.variables if id(v) not in known],
            **counters,
        )
        # Made here by all workers together, and not by the first alone when it first saves.
        _ = self._checkpoint.save_counter
        self._latest: Path | None = None  # of this process

    def restore_latest(self) -> None:
        """Restores the newest checkpoint that is whole; does nothing where none was ever completed.

        Raises:
            UserError: there are checkpoints, and none of them can be restored.
        """
        reasons: list[str] = []
        for path in completed(self._model_dir):
            try:
                self._checkpoint.restore(str(path)).assert_consumed()
            except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
                reason = str(error).strip().splitlines()[0][:200]
                reasons.append(f"{path}: this checkpoint is damaged or another network's ({reason})")
            else:
                if reasons:
                    print(f"{reasons[0]}; going on from {path.name} instead", file=sys.stderr)
                return
        if reasons:
            raise UserError(f"{reasons[0]}, and there is no other; give another --model_dir")

    def _remove_partial_saves(self) -> None:
        # Each save that was cut short leaves one, under a name of its own and as large as a checkpoint.
        for folder in self._model_dir.glob("ckpt-*_temp"):
            shutil.rmtree(folder, ignore_errors=True)

    @functools.cached_property
    def _manager(self) -> tf.train.CheckpointManager:
        self._remove_partial_saves()
        folder, list_file = str(self._model_dir), self._model_dir / "checkpoint"
        try:
            state = tf.train.get_checkpoint_state(folder)
        except ValueError:  # damaged, which the manager wouldn't take
            list_file.unlink()
            state = None
        if state is None and (made := completed(self._model_dir)):
            # Written again, for the manager only deletes what it knows, of a time that isn't 0.
            lines = [f'model_checkpoint_path: "{made[0].name}"']
            lines += [f'all_model_checkpoint_paths: "{path.name}"' for path in reversed(made)]
            lines += [f"all_model_checkpoint_timestamps: {time.time()}"] * len(made)
            with replacing(list_file) as file:
                file.write("\n".join(lines).encode())
        return tf.train.CheckpointManager(self._checkpoint, folder, max_to_keep=2, checkpoint_name="ckpt")

    def save(self, step: int) -> Path:
        """Writes ckpt-<step>, unless this process did so last; returns its prefix.

        Raises:
            UserError: the disk is full; what was saved before is left as it is.
        """
        path = self._model_dir / f"ckpt-{step}"
        if self._latest != path:
            try:
                self._latest = Path(self._manager.save(checkpoint_number=step))
            except tf.errors.OpError as error:
                self._remove_partial_saves()
                reason = re.sub(r"\{\{.*?\}\} ", "", str(error).strip().splitlines()[0])[:200]
                raise UserError(
                    f"{self._model_dir}: a checkpoint can't be written ({reason}); make room, then "
                    f"{way_on(self._model_dir)}"
                ) from error
        return path
