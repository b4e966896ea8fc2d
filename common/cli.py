"""Command line of every script, generated from its frozen `Config` dataclass.

`--help` and a bad flag are answered before TensorFlow loads.
"""

import argparse
import contextlib
import dataclasses
import importlib
import importlib.util
import math
import os
import shlex
import signal
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from common.errors import UserError
from common.interruption import Interrupted

ConfigT = TypeVar("ConfigT")


def option(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    resumable: bool = False,
) -> Any:
    """A dataclass field that becomes a flag.

    Args:
        default: value without the flag; it is shown in `--help`.
        help: what it is, its unit, and where the value comes from.
        minimum, maximum: bounds of a number, both allowed values; outside them the command line
            is refused.
        resumable: whether a run that goes on may be given another value. Settings that are not
            resumable define the run: see `common.run_files.open_run`.
    """
    metadata = {"help": help, "minimum": minimum, "maximum": maximum, "resumable": resumable}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """What every script takes that looks at a data set."""

    data_dir: str | None = option(
        None,
        "the VOC2007 folder or one above it, or 'tfds'; without it $DATA_DIR, without that the built-in "
        "sample",
        resumable=True,
    )
    cache_dir: Path = option(
        Path("cache"), "folder of VOC's decoded images and of the built-in sample", resumable=True
    )
    seed: int = option(0, "decides everything that is drawn", minimum=0, maximum=2**31 - 1)
    eval_batch_size: int = option(
        64, "images at a time in evaluation; no effect on results", minimum=1, resumable=True
    )


@dataclasses.dataclass(frozen=True)
class RunOptions(DataOptions):
    """What every training script takes, whatever its task."""

    model_dir: Path | None = option(
        None,
        "folder of this run: checkpoints, logs, figures; without it runs/<script>-<data>-seed<seed>",
        resumable=True,
    )
    fresh: bool = option(
        False, "start anew in a new folder, instead of going on with the run that is there", resumable=True
    )
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto", "of the arithmetic; weights stay float32. auto: bfloat16 where in hardware"
    )
    strategy: Literal["none", "mirrored", "multiworker"] = option(
        "none", "of tf.distribute: all devices of this machine, or the machines in $TF_CONFIG", resumable=True
    )
    checkpoint_every: int = option(1_000, "iterations between checkpoints", minimum=1, resumable=True)
    summary_every: int = option(100, "iterations between TensorBoard scalars", minimum=1, resumable=True)
    images_every: int = option(1_000, "iterations between TensorBoard images", minimum=1, resumable=True)
    histograms_every: int = option(
        1_000, "iterations between TensorBoard histograms of weights and gradients", minimum=1, resumable=True
    )
    skip_bad_images: bool = option(
        False, "train without VOC's images that can't be read, instead of stopping"
    )


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are a single line, and whose flags are written in full.

    Args:
        description: shown above the flags, line by line as it is; the script's docstring.
    """

    def __init__(self, description: str) -> None:
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        if message == "argument --data_dir: expected one argument":
            message += "; is $DATA_DIR set? Leave --data_dir out for the built-in data"
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see --help)\n")


def bounded(
    convert: type[int] | type[float], minimum: float | None = None, maximum: float | None = None
) -> Callable[[str], Any]:
    """The `type` of an argument that is a finite number within bounds, both allowed values."""

    def parse(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            kind = {int: "a whole number", float: "a number"}[convert]
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind}") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not finite")
        if minimum is not None and value < minimum:
            raise argparse.ArgumentTypeError(f"{text} is less than {minimum}")
        if maximum is not None and value > maximum:
            raise argparse.ArgumentTypeError(f"{text} is more than {maximum}")
        return value

    return parse


def path(text: str) -> Path:
    """The `type` of an argument that is a path; a shell leaves ~ as it is behind "="."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; is the variable set?")
    return Path(os.path.expanduser(text))


def _add_flag(group: argparse._ArgumentGroup, field: dataclasses.Field, hint: Any) -> None:
    """Adds the flag of one dataclass field; `hint` is the field's resolved type."""
    # `int | None` is a types.UnionType, `Literal[...] | None` a typing.Union; the flag takes what isn't None.
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(member for member in typing.get_args(hint) if member is not type(None))
    minimum, maximum = field.metadata["minimum"], field.metadata["maximum"]
    # Without a value argparse gives none, and the dataclass' own default holds.
    arguments: dict[str, Any] = {"default": argparse.SUPPRESS, "help": field.metadata["help"]}
    if hint is bool:
        arguments["action"] = argparse.BooleanOptionalAction
    elif typing.get_origin(hint) is Literal:
        arguments["choices"] = typing.get_args(hint)
    elif typing.get_origin(hint) is tuple:
        element = typing.get_args(hint)[0]
        arguments |= {"nargs": "*", "type": bounded(element, minimum, maximum)}
        arguments["metavar"] = element.__name__.upper()
    elif hint in (int, float):
        arguments |= {"type": bounded(hint, minimum, maximum), "metavar": hint.__name__.upper()}
    elif hint is Path:
        arguments |= {"type": path, "metavar": "PATH"}
    else:
        arguments |= {"type": hint, "metavar": hint.__name__.upper()}
    if field.default is not None:
        shown = " ".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
        arguments["help"] += f" (default: {shown})"
    group.add_argument(f"--{field.name}", **arguments)


def parse(config_class: type[ConfigT], argv: Sequence[str] | None, description: str) -> ConfigT:
    """Reads the command line into a `config_class`.

    Args:
        config_class: a frozen dataclass whose fields are made with `option`. Types: int, float, str,
            Path, bool (`--flag` and `--no-flag`), Literal of strings, tuple[int, ...], each `| None`.
        argv: the arguments; None takes those of the process.
        description: shown above the flags; the script's docstring.

    Raises:
        SystemExit: code 0 after `--help`; code 2, after one line on stderr, for a bad command line.
    """
    parser = Parser(description)
    task = parser.add_argument_group("this task")
    every = parser.add_argument_group("every run")
    inherited = {field.name for field in dataclasses.fields(RunOptions)}
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        _add_flag(every if field.name in inherited else task, field, hints[field.name])
    values = vars(parser.parse_args(argv))
    return config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def import_tensorflow(strategy: str = "none") -> None:
    """Imports TensorFlow and starts a strategy, without the notes on CUDA and oneDNN that it writes.

    It writes them from C++ to file descriptor 2, before any setting of its own takes effect. A failing
    import is an exception, and so is still seen.

    Args:
        strategy: see `common.distribution.start`.

    Raises:
        UserError: TensorFlow isn't installed, or the strategy can't be started.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            f"TensorFlow isn't installed for {sys.executable}; activate the environment that has it, "
            ". .venv/bin/activate, or make one: see README"
        )
    sys.stderr.flush()
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        importlib.import_module("tensorflow").config.list_physical_devices()
        importlib.import_module("common.distribution").start(strategy)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


@contextlib.contextmanager
def _lost_workers_explained() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        distribution = sys.modules.get("common.distribution")  # not loaded: there are no other workers
        if distribution:
            distribution.explain_lost_worker(error)
        raise


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which like Ctrl-C lets what is half done be cleared away."""


def _terminate(number: int, frame: object) -> NoReturn:
    raise _Terminated


def _say(line: str) -> None:
    """Prints to stderr, if anybody is left to read it."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        # Python would try once more at its end, and change the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _is_out_of_memory(error: Exception) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    kinds = (MemoryError, tensorflow.errors.ResourceExhaustedError) if tensorflow else MemoryError
    return isinstance(error, kinds)


def run(main: Callable[[], Any]) -> NoReturn:
    """Runs a script's `main` as a command: user errors and Ctrl-C end it with one line and no traceback.

    Raises:
        SystemExit: 0 when `main` returns; 2 for a `UserError`, or where a file, the disk or the memory is at
            fault; 130 for Ctrl-C and 143 for SIGTERM.
    """
    signal.signal(signal.SIGTERM, _terminate)
    script = Path(sys.argv[0]).name
    try:
        with _lost_workers_explained():
            main()
    except UserError as error:
        _say(f"{script}: {error}")
        sys.exit(2)
    except Interrupted as interrupted:
        # --fresh would start anew once more, and its folder has a number that only this run knows.
        arguments = [argument for argument in sys.argv if argument != "--fresh"]
        if interrupted.model_dir and "--fresh" in sys.argv:
            arguments += ["--model_dir", str(interrupted.model_dir)]  # of two the last one counts
        # An empty $DATA_DIR, as README's demo has it, means the built-in sample.
        environment = "DATA_DIR= " if os.environ.get("DATA_DIR") == "" else ""
        command = environment + shlex.join(["python", *arguments])
        _say(f"interrupted and saved; this goes on from here: {command}")
        sys.exit(128 + interrupted.signal)
    except KeyboardInterrupt as interrupt:
        anew = "--fresh" in sys.argv  # goes on with nothing
        _say("\ninterrupted" + ("" if anew else "; the same command goes on from what there is"))
        sys.exit(128 + (signal.SIGTERM if isinstance(interrupt, _Terminated) else signal.SIGINT))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _say(f"{script}: {where}{error.strerror or error}")
        sys.exit(2)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        _say(f"{script}: not enough memory ({reason}); lower --batch_size, --eval_batch_size or --image_size")
        sys.exit(2)
    sys.exit(0)
