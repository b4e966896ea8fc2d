"""conv1's kernel at stages of a training: kept while it lasts, read afterwards."""

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from common import hooks
from common.errors import UserError
from common.estimator import Estimator
from common.trained import Trained

_NAME = re.compile(r"conv1_(\d+)")
_FEWEST, _MOST = 3, 5


class Snapshots(hooks.Hook):
    """Keeps a layer's kernel at chosen steps, as snapshots/<layer>_<step>.npy.

    A checkpoint holds everything, so only the last two are kept; these are small enough to keep all.
    """

    def __init__(self, layer: str, steps: Collection[int]) -> None:
        """
        Args:
            layer: its name; it has a kernel.
            steps: when to keep it, 0 before the first update; steps beyond the last do nothing.
        """
        self._layer = layer
        self._steps = frozenset(steps)

    def begin(self, estimator: Estimator) -> None:
        for path in (estimator.model_dir / "snapshots").glob(f"{self._layer}_[0-9]*.npy"):
            step = path.stem.rpartition("_")[2]
            if step.isdecimal() and int(step) > estimator.step:  # of a part that is trained again
                path.unlink()
        if estimator.step == 0:
            self._save(estimator, 0)

    def after_step(self, estimator: Estimator, step: int, done: hooks.Step) -> None:
        self._save(estimator, step)

    def _save(self, estimator: Estimator, step: int) -> None:
        if step in self._steps:
            folder = estimator.model_dir / "snapshots"
            folder.mkdir(exist_ok=True)
            kernel = estimator.model.get_layer(self._layer).kernel
            np.save(folder / f"{self._layer}_{step:06}.npy", kernel.numpy())


def read_stages(model_dir: Path, network: Trained) -> dict[int, np.ndarray]:
    """The kernels that a run kept, and the present one.

    Args:
        model_dir: of the run.
        network: of the same run.

    Returns:
        {iteration: float32 (H, W, 3, filters)}, three to five, in order; the first and the last are the
        first kept and the present one.

    Raises:
        UserError: the run keeps none, there are fewer than three, or one is damaged.
    """
    if network.config["settings"]["script"] != "02_pascal_alexnet":
        raise UserError(f"{model_dir}: has no stages of conv1, which only runs of 02_pascal_alexnet.py keep")
    present = network.model.get_layer("conv1").kernel.numpy()
    kernels = {}
    for path in sorted((model_dir / "snapshots").glob("conv1_*.npy")):
        match = _NAME.fullmatch(path.stem)
        if match and int(match[1]) < network.step:  # later ones are of a part that was trained again
            try:
                kernel = np.load(path, allow_pickle=False)
                if kernel.shape != present.shape:
                    raise ValueError(f"{kernel.shape} and not {present.shape}")
            except (OSError, ValueError, EOFError) as error:
                raise UserError(f"{path}: is damaged; remove it, or train again") from error
            kernels[int(match[1])] = kernel
    kernels[network.step] = present
    if len(kernels) < _FEWEST:
        planned = sorted(network.config["resumable_settings"].get("snapshot_steps", ()))[_FEWEST - 2 :]
        beyond = f"beyond iteration {planned[0]:,}" if planned and planned[0] >= network.step else "anew"
        raise UserError(
            f"{model_dir / 'snapshots'}: has conv1 of {len(kernels) - 1} stages besides the present one, "
            f"{_FEWEST - 1} are needed; train {beyond}, or with other --snapshot_steps"
        )
    steps = sorted(kernels)
    chosen = np.unique(np.linspace(0, len(steps) - 1, _MOST).round().astype(int))
    return {steps[at]: kernels[steps[at]] for at in chosen}
