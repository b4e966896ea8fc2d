"""A disk that is full or can only be read, for real: a tmpfs of its own. It takes root to mount one."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import keras
import pytest
from PIL import Image

from common import export
from common.errors import UserError
from common.image_cache import cached_images
from common.trained import Trained
from tests import tiny_run
from tests.runs import assert_same_run, child

MEGABYTE = 1 << 20


class Disk:
    """A small file system of its own.

    Attributes:
        folder: where it is mounted.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self._filler = folder / "filler"
        self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs")

    def _mount(self, *arguments: str) -> None:
        subprocess.run(["mount", *arguments, str(self.folder)], check=True, capture_output=True)

    def resize(self, size: int) -> None:
        self._mount("-o", f"remount,size={size}")

    def protect(self) -> None:
        """Lets it only be read from now on."""
        self._mount("-o", "remount,ro")

    def fill(self, left: int) -> None:
        """Takes all room but `left` bytes."""
        status = os.statvfs(self.folder)
        self._filler.write_bytes(bytes(status.f_bavail * status.f_frsize - left))

    def empty(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        made = Disk(folder, 64 * MEGABYTE)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("can't mount a tmpfs")
    yield made
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_while_caching(disk, tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(40)]
    for path in paths:
        Image.new("RGB", (8, 8), "teal").save(path)
    before = cached_images(disk.folder, paths[:20], 64)[0].tobytes()
    left = contents(disk.folder)
    disk.resize(MEGABYTE // 2)
    with pytest.raises(UserError, match=r"disk: can't write decoded images \(No space left on device\)"):
        cached_images(disk.folder, paths, 64)
    assert contents(disk.folder) == left
    disk.resize(MEGABYTE)
    assert cached_images(disk.folder, paths, 64)[0][:20].tobytes() == before


def test_a_folder_that_can_only_be_read_stops_a_run_before_its_first_step(disk):
    run = disk.folder / "run"
    run.mkdir()
    disk.protect()
    with pytest.raises(UserError, match=f"^{run}: can't be written \\(Read-only file system\\)"):
        tiny_run.estimator(run)


# Of Keras' own saving.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
def test_while_exporting(disk):
    model = keras.Sequential([keras.Input((4, 4, 3), dtype="uint8"), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2))
    network = Trained(model, 1, {"settings": {"image_size": 4}})
    export.write(network, disk.folder / "first")
    disk.fill(0)
    with pytest.raises(UserError, match="second: can't be written .*No space left on device"):
        export.write(network, disk.folder / "second")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pages", "where"),
    [
        pytest.param(0, "can't be written (No space", id="at the start"),
        pytest.param(1, "can't be written to (No space", id="going back to step 30"),
        pytest.param(2, "can't be written to (No space", id="logging the first summary"),
        pytest.param(12, "can't be written to (No space", id="logging histograms"),
        pytest.param(20, "a checkpoint can't be written (", id="saving"),
    ],
)
def test_while_training(disk, whole, half, pages, where):
    run = disk.folder / "run"
    shutil.copytree(half, run)
    disk.fill(pages * os.sysconf("SC_PAGE_SIZE"))
    ended = child(run, 64)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(f"tiny_run.py: {run}: {where}")
    for path in half.glob("ckpt-30.*"):
        assert (run / path.name).read_bytes() == path.read_bytes()
    assert not list(run.glob("ckpt-*_temp"))
    disk.empty()
    assert child(run, 64).returncode == 0
    assert_same_run(whole, run)
