"""Runs that were killed, interrupted or cut short end like one that was not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common import cli, interruption, run_files
from common.interruption import Interrupted
from common.run_files import read_metrics
from tests import tiny_run
from tests.runs import assert_same_run, child

ROOT = Path(__file__).parent.parent


def test_a_run_killed_while_it_saves_ends_bit_for_bit_like_an_uninterrupted_one(whole, tmp_path):
    assert child(tmp_path, 64, "--signal", signal.SIGKILL.value, 48, "save").returncode == -signal.SIGKILL
    assert child(tmp_path, 64).returncode == 0
    assert_same_run(whole, tmp_path)
    assert [line["step"] for line in read_metrics(tmp_path)] == [*range(5, 65, 5), 64]


@pytest.mark.slow
def test_kill_9_at_20_moments_of_which_8_in_the_writing_of_a_checkpoint(whole, tmp_path):
    moments = [("step", step) for step in range(3, 63, 5)] + [("save", step) for step in range(1, 60, 8)]
    for moment, step in sorted(moments, key=lambda pair: pair[1]):
        ended = child(tmp_path, 64, "--signal", signal.SIGKILL.value, step, moment)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert child(tmp_path, 64).returncode == 0
    assert_same_run(whole, tmp_path)


@pytest.mark.parametrize("moment", ["step", "evaluation", "sample"])
def test_a_signal_saves_and_the_run_goes_on_as_if_never_interrupted(forty, tmp_path, moment):
    """Also in the middle of an evaluation, which is then made up for."""
    stop = tiny_run.SignalAt(signal.SIGTERM, 25, moment)
    with pytest.raises(Interrupted) as stopped:
        tiny_run.run(tmp_path, 40, stop)
    assert stopped.value.signal == signal.SIGTERM
    assert read_metrics(tmp_path)[-1]["step"] == (25 if moment == "step" else 20)
    assert (tmp_path / "ckpt-25.index").exists()
    tiny_run.run(tmp_path, 40)
    assert_same_run(forty, tmp_path)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_script_names_the_command_that_goes_on(number, code, capsys, monkeypatch):
    def main():
        with interruption.watching() as watch:
            os.kill(os.getpid(), number)
            watch.check()

    monkeypatch.delenv("DATA_DIR", raising=False)
    monkeypatch.setattr(sys, "argv", ["02_pascal_alexnet.py", "--data_dir", "my photos"])
    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    assert ended.value.code == code
    expected = (
        "interrupted and saved; this goes on from here: python 02_pascal_alexnet.py --data_dir 'my photos'\n"
    )
    assert capsys.readouterr().err == expected


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_process_that_is_sent_a_signal_goes_on_as_if_it_was_not(whole, tmp_path, number, code):
    stopped = child(tmp_path, 64, "--signal", number.value, 25, "evaluation")
    assert stopped.returncode == code and "Traceback" not in stopped.stderr
    assert child(tmp_path, 64).returncode == 0
    assert_same_run(whole, tmp_path)


@pytest.mark.slow
def test_a_signal_saves_also_where_nobody_reads_what_is_said(tmp_path):
    """As in `python ... 2>&1 | tee log`, where Ctrl-C ends `tee` too."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tests.tiny_run", str(tmp_path), "64", "--signal", "15", "13", "step"]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=writer)
    os.close(writer)
    assert ended.returncode == 143
    assert (tmp_path / "ckpt-13.index").exists()


@pytest.fixture
def ctrl_c_interrupts():
    """Also where the tests were started in the background of a shell, which has them ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_ctrl_c_before_the_first_step_ends_at_once_and_binds_the_folder_to_nothing(tmp_path):
    """As while Keras fetches weights."""
    with pytest.raises(KeyboardInterrupt):
        tiny_run.run(tmp_path, 10, tiny_run.SignalAt(signal.SIGINT, 0, "begin"))
    assert not list(tmp_path.glob("ckpt-*"))
    assert tiny_run.run(tmp_path, 10, seed=1)["step"] == 10


def test_an_estimator_that_was_interrupted_can_still_evaluate(tmp_path):
    made, config = tiny_run.estimator(tmp_path)
    with pytest.raises(Interrupted):
        made.train(tiny_run.train_input(config), 5, [tiny_run.SignalAt(signal.SIGTERM, 2, "step")])
    assert made.evaluate(tiny_run.test_input())["loss"] > 0


def test_a_second_signal_stops_at_once():
    watching = (
        "import os, signal, time\n"
        "from common.interruption import watching\n"
        "with watching():\n"
        "    os.kill(os.getpid(), signal.SIGTERM); print('once', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
    )
    ended = subprocess.run([sys.executable, "-c", watching], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (143, "once\n")
    assert ended.stderr == "\nstopping after this step; once more to stop at once\n"


def test_an_interrupted_last_evaluation_leaves_the_numbers_of_a_prolonged_run_as_they_are(thirty, tmp_path):
    tiny_run.run(thirty, 40)
    stop = tiny_run.SignalAt(signal.SIGTERM, 30, "evaluation")
    with pytest.raises(Interrupted):
        tiny_run.run(tmp_path / "stopped", 30, stop)
    tiny_run.run(tmp_path / "stopped", 30)
    tiny_run.run(tmp_path / "stopped", 40)
    scores = {line["step"]: line["mAP"] for line in run_files.read_metrics(thirty)}
    assert scores[30] > scores[35]  # the best is that of the evaluation that was made up for
    assert_same_run(thirty, tmp_path / "stopped")


def test_an_evaluation_that_lost_its_line_stands_once_in_tensorboard(forty, tmp_path, monkeypatch):
    """It was interrupted, and when it was made up for the process ended before the line was written."""
    with pytest.raises(Interrupted):
        tiny_run.run(tmp_path, 40, tiny_run.SignalAt(signal.SIGTERM, 25, "evaluation"))

    def end(model_dir, line):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_files, "append_metrics", end)
        tiny_run.run(tmp_path, 40)
    tiny_run.run(tmp_path, 40)
    assert_same_run(forty, tmp_path)
