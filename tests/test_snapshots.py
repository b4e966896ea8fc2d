import keras
import numpy as np
import pytest

from common import snapshots
from common.errors import UserError
from common.trained import Trained


@pytest.fixture
def network() -> Trained:
    layers = [keras.Input((5, 5, 3)), keras.layers.Conv2D(2, 3, name="conv1")]
    planned = {"snapshot_steps": [0, 950, 2_000]}
    config = {"settings": {"script": "02_pascal_alexnet"}, "resumable_settings": planned}
    return Trained(keras.Sequential(layers), 900, config)


def keep(folder, *steps: int) -> None:
    (folder / "snapshots").mkdir()
    for step in steps:
        np.save(folder / "snapshots" / f"conv1_{step:06}.npy", np.full((3, 3, 3, 2), step, np.float32))


def test_stages_are_those_kept_and_the_present_one(tmp_path, network):
    keep(tmp_path, 0, 500)
    stages = snapshots.read_stages(tmp_path, network)
    assert list(stages) == [0, 500, 900]
    assert stages[500][0, 0, 0, 0] == 500
    np.testing.assert_array_equal(stages[900], network.model.get_layer("conv1").kernel)


def test_of_many_five_are_taken_with_the_first_and_the_last(tmp_path, network):
    keep(tmp_path, *range(0, 900, 100))
    assert list(snapshots.read_stages(tmp_path, network)) == [0, 200, 400, 700, 900]


def test_what_was_kept_beyond_the_present_iteration_is_left_out(tmp_path, network):
    keep(tmp_path, 0, 500, 1_000)
    assert list(snapshots.read_stages(tmp_path, network)) == [0, 500, 900]


def test_fewer_than_three_stages_are_refused(tmp_path, network):
    keep(tmp_path, 0)
    expected = "has conv1 of 1 stages besides the present one, 2 are needed; train "
    with pytest.raises(UserError, match=f"{expected}beyond iteration 950, or with other --snapshot_steps"):
        snapshots.read_stages(tmp_path, network)
    with pytest.raises(UserError, match=f"{expected}anew, or with other --snapshot_steps"):  # some are gone
        snapshots.read_stages(tmp_path, network._replace(step=1_000))


def test_a_damaged_snapshot_is_named(tmp_path, network):
    keep(tmp_path, 0, 500)
    (tmp_path / "snapshots" / "conv1_000500.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(UserError, match=r"conv1_000500\.npy: is damaged"):
        snapshots.read_stages(tmp_path, network)


def test_a_snapshot_of_another_shape_is_named(tmp_path, network):
    keep(tmp_path, 0, 500)
    np.save(tmp_path / "snapshots" / "conv1_000500.npy", np.zeros((5, 5, 3, 2), np.float32))
    with pytest.raises(UserError, match=r"conv1_000500\.npy: is damaged"):
        snapshots.read_stages(tmp_path, network)


def test_a_run_of_another_script_keeps_none_which_is_said(tmp_path, network):
    other = network._replace(config={"settings": {"script": "06_mixup"}})
    with pytest.raises(UserError, match=r"has no stages of conv1, which only runs of 02_pascal_alexnet\.py"):
        snapshots.read_stages(tmp_path, other)
