"""The command line: what it takes, what it refuses and how, and the exit codes."""

import errno
import os
import platform
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import tensorflow as tf

from common import cli
from common.cli import option
from common.errors import UserError
from common.interruption import Interrupted

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Config:
    count: int = option(3, "items", minimum=1, maximum=10)
    rate: float = option(0.5, "per second", minimum=0, maximum=1)
    name: str | None = option(None, "of the thing")
    folder: Path = option(Path("here"), "of files")
    fast: bool = option(False, "hurry")
    kind: Literal["round", "square"] = option("round", "shape")
    steps: tuple[int, ...] = option((0, 500), "chosen ones", minimum=0)
    limit: int | None = option(None, "at most", minimum=1)
    order: Literal["up", "down"] | None = option(None, "of the items")


def parse(*argv: str) -> Config:
    return cli.parse(Config, argv, "What it does.")


def test_without_flags_every_field_has_its_default():
    assert parse() == Config()


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["--count", "10"], "count", 10),
        (["--count=1"], "count", 1),
        (["--rate", "1e-3"], "rate", 0.001),
        (["--rate", "1"], "rate", 1.0),
        (["--name", "a b"], "name", "a b"),
        (["--folder", "x/y"], "folder", Path("x/y")),
        (["--folder=~/y"], "folder", Path.home() / "y"),
        (["--folder", "~no_such_user/y"], "folder", Path("~no_such_user/y")),
        (["--fast"], "fast", True),
        (["--fast", "--no-fast"], "fast", False),
        (["--kind", "square"], "kind", "square"),
        (["--steps", "1", "20", "300"], "steps", (1, 20, 300)),
        (["--steps"], "steps", ()),
        (["--limit", "7"], "limit", 7),
        (["--order", "down"], "order", "down"),
    ],
)
def test_a_flag_gives_a_value_of_the_fields_type(argv, field, value):
    parsed = getattr(parse(*argv), field)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--no_such_flag", "1"], "unrecognized arguments: --no_such_flag 1"),
        (["--cou", "3"], "unrecognized arguments: --cou 3"),
        (["--count"], "--count: expected one argument"),
        (["--count", "three"], "--count: 'three' is not a whole number"),
        (["--count", "3.5"], "--count: '3.5' is not a whole number"),
        (["--count", "0"], "--count: 0 is less than 1"),
        (["--count", "11"], "--count: 11 is more than 10"),
        (["--count", "-1"], "--count: -1 is less than 1"),
        (["--count", "1" + "0" * 400], "0 is more than 10"),
        (["--rate", "quick"], "--rate: 'quick' is not a number"),
        (["--rate", "1.5"], "--rate: 1.5 is more than 1"),
        (["--rate", "-0.1"], "--rate: -0.1 is less than 0"),
        (["--rate", "nan"], "--rate: 'nan' is not finite"),
        (["--rate", "inf"], "--rate: 'inf' is not finite"),
        (["--rate=-inf"], "--rate: '-inf' is not finite"),
        (["--kind", "oval"], "--kind: invalid choice: 'oval'"),
        (["--steps", "1", "x"], "--steps: 'x' is not a whole number"),
        (["--steps", "1", "-2"], "--steps: -2 is less than 0"),
        (["--fast", "yes"], "unrecognized arguments: yes"),
        (["--limit", "0"], "--limit: 0 is less than 1"),
        (["--folder", ""], "--folder: is empty; is the variable set?"),
    ],
)
def test_a_bad_command_line_is_one_line_and_code_2(argv, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(*argv)
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n") and err.count("\n") == 1
    assert f"{said} (see --help)" in err or f"{said} (choose from" in err


def test_help_shows_description_flags_and_defaults(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse("--help")
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "What it does." in shown
    assert "--no-fast" in shown and "--steps" in shown
    assert "(default: 0.5)" in shown and "{round,square}" in shown


def test_help_of_a_script_does_not_load_tensorflow_or_numpy():
    command = [sys.executable, "-X", "importtime", "02_pascal_alexnet.py", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--learning_rate" in done.stdout
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "argparse" in imported
    assert imported.isdisjoint({"tensorflow", "keras", "numpy", "PIL", "sklearn", "matplotlib"})


def test_a_bad_flag_of_a_script_is_one_line_and_code_2():
    command = [sys.executable, "02_pascal_alexnet.py", "--batch_size", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "02_pascal_alexnet.py" in done.stderr and "--batch_size" in done.stderr


def exit_code(main) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.run(main)
    return stopped.value.code


def test_an_unset_data_dir_is_asked_about(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.parse(cli.DataOptions, ["--data_dir"], "")
    assert ended.value.code == 2
    assert "argument --data_dir: expected one argument; is $DATA_DIR set?" in capsys.readouterr().err


def test_without_tensorflow_the_environment_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"TensorFlow isn't installed for {sys.executable}; activate"):
        cli.import_tensorflow()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="elsewhere TensorFlow decides")
@pytest.mark.parametrize(("set_by_user", "expected"), [({}, "1"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "0")])
def test_onednn_computes_unless_the_user_says_otherwise(set_by_user, expected):
    """TensorFlow reads the switch as it loads, so it is set before."""
    code = "import os, sys, common; print(os.environ['TF_ENABLE_ONEDNN_OPTS'], 'tensorflow' in sys.modules)"
    inherited = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    command = [sys.executable, "-c", code]
    printed = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, env=inherited | set_by_user
    ).stdout
    assert printed == f"{expected} False\n"


def test_success_is_code_0(capsys):
    assert exit_code(lambda: {"mAP": 0.5}) == 0
    assert capsys.readouterr() == ("", "")


def test_a_user_error_is_one_line_and_code_2(capsys):
    def main():
        raise UserError("list.txt:3: is wrong; mend it")

    assert exit_code(main) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.endswith(": list.txt:3: is wrong; mend it\n")


def test_ctrl_c_is_code_130_without_traceback(capsys):
    def main():
        raise KeyboardInterrupt

    assert exit_code(main) == 130
    out, err = capsys.readouterr()
    assert out == "" and len(err.strip().splitlines()) == 1
    assert "interrupted; the same command goes on" in err


def test_ctrl_c_of_a_fresh_run_does_not_promise_that_the_command_goes_on(capsys, monkeypatch):
    def main():
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["02_pascal_alexnet.py", "--fresh"])
    assert exit_code(main) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


SCRIPT = "python 02_pascal_alexnet.py"


@pytest.mark.parametrize(
    ("number", "data_dir", "given", "goes_on"),
    [
        (signal.SIGINT, "/data", ["--seed", "1"], f"{SCRIPT} --seed 1"),
        (signal.SIGINT, "", ["--seed", "1"], f"DATA_DIR= {SCRIPT} --seed 1"),
        (signal.SIGTERM, "/data", ["--fresh"], f"{SCRIPT} --model_dir 'my runs/demo-2'"),
    ],
)
def test_after_an_interruption_the_command_that_goes_on_is_said(
    number, data_dir, given, goes_on, monkeypatch, capsys
):
    """--fresh would take yet another folder; the one it took is named instead."""
    monkeypatch.setenv("DATA_DIR", data_dir)
    monkeypatch.setattr("sys.argv", ["02_pascal_alexnet.py", *given])

    def main():
        interrupted = Interrupted(number)
        interrupted.model_dir = Path("my runs/demo-2")
        raise interrupted

    assert exit_code(main) == 128 + number
    assert capsys.readouterr().err == f"interrupted and saved; this goes on from here: {goes_on}\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/a"), "runs/a: No space left on device"),
        (OSError("the socket is closed"), "the socket is closed"),
    ],
)
def test_what_the_disk_refuses_is_one_line_and_code_2(error, said, capsys):
    def main():
        raise error

    assert exit_code(main) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.endswith(f": {said}\n")


def test_sigterm_clears_away_what_is_half_done():
    program = (
        "import os, signal, time\n"
        "from common import cli\n"
        "def main():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
        "    finally:\n"
        "        print('cleared')\n"
        "cli.run(main)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (143, "cleared\n")
    assert ended.stderr == "\ninterrupted; the same command goes on from what there is\n"


@pytest.mark.parametrize(
    "error",
    [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nwith more")],
)
def test_too_little_memory_is_one_line_and_code_2(error, capsys):
    def main():
        raise error

    assert exit_code(main) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "not enough memory (" in err and "lower --batch_size" in err


def test_a_programming_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda: 1 / 0)
