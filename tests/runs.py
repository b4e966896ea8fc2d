"""What runs leave behind, to compare."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from common.run_files import read_metrics

ROOT = Path(__file__).parent.parent


def child(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.tiny_run", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def checkpoint_arrays(model_dir: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(model_dir))
    names = [n for n in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in n]
    return {name: reader.get_tensor(name) for name in names}


def without_times(lines: list[dict]) -> list[dict]:
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]


def summaries_in(model_dir: Path) -> dict[str, list[tuple[int, bytes]]]:
    """{tag: [(step, content) ...]} of everything that TensorBoard is given but speeds."""
    found: dict[str, list[tuple[int, bytes]]] = {}

    def age(path: Path) -> list[int]:
        # By number: in one second, one process' tenth file comes after its ninth.
        return [int(part) for part in path.name.split(".") if part.isdigit()]

    for path in sorted(model_dir.glob("events.out.tfevents.*"), key=age):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                if value.tag not in ("train/images_per_second", "config"):
                    content = value.tensor.SerializeToString()
                    found.setdefault(value.tag, []).append((event.step, content))
    return found


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, momentum, seeds, metrics.jsonl and TensorBoard, bit for bit; nothing twice or missing."""
    ours, theirs = checkpoint_arrays(one), checkpoint_arrays(other)
    ours.pop("save_counter/.ATTRIBUTES/VARIABLE_VALUE")
    theirs.pop("save_counter/.ATTRIBUTES/VARIABLE_VALUE")
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    assert without_times(read_metrics(one)) == without_times(read_metrics(other))
    shown, also_shown = summaries_in(one), summaries_in(other)
    assert shown.keys() == also_shown.keys()
    for tag, values in shown.items():
        assert values == also_shown[tag], tag
