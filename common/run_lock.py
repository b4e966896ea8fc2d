"""One process at a time trains in a model directory."""

import atexit
import fcntl
import os
import shlex
import sys
from pathlib import Path
from typing import TextIO

from common.errors import UserError

_held: dict[Path, TextIO] = {}  # by this process


def hold(model_dir: Path) -> None:
    """Makes the model directory if need be, and holds its lock until this process ends.

    The lock is the operating system's and ends with the process, however that ends; the file only says
    who holds it. Where this process holds it already, nothing is done.

    Raises:
        UserError: another process holds it, or the file system has no locks.
        OSError: the folder can't be written.
    """
    model_dir.mkdir(parents=True, exist_ok=True)
    path = model_dir.resolve() / "lock"
    if path in _held:
        return
    file = open(path, "a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        with file:
            holder = file.read().strip()
        raise UserError(
            f"{model_dir}: another process is training there, {holder}; wait for it, or give another "
            "--model_dir"
        ) from error
    except OSError as error:
        file.close()
        raise UserError(
            f"{path}: the file system has no locks ({error.strerror}); give --model_dir on one that has"
        ) from error
    file.truncate(0)
    file.write(f"process {os.getpid()}, {shlex.join(sys.argv)[:200]}\n")
    file.flush()
    _held[path] = file
    atexit.register(file.close)
