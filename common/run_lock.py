"""One process at a time trains in a model directory."""

import contextlib
import fcntl
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from common.errors import UserError


@contextlib.contextmanager
def held(model_dir: Path) -> Iterator[None]:
    """Makes the model directory if need be, and holds its lock while the block runs.

    The lock is the operating system's and ends with the process, however that ends; the file only says
    who holds it.

    Raises:
        UserError: another process holds it.
    """
    model_dir.mkdir(parents=True, exist_ok=True)
    with open(model_dir / "lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise UserError(
                f"{model_dir}: another process is training there, {file.read().strip()}; "
                "wait for it, or give another --model_dir"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()}, {shlex.join(sys.argv)[:200]}\n")
        file.flush()
        yield
