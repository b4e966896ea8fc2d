"""Files that are whole at any moment, in folders that can be written."""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from common.errors import UserError


def check_writable(folder: Path) -> None:
    """Makes a folder, and in it a file that is gone again at once.

    Raises:
        UserError: it can't.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder}: can't be written ({error.strerror}); give another folder") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends well, and goes when it doesn't.

    Whoever reads `path` meanwhile, or after the writer was killed, finds the old content or the new, never
    a part; several writers at once don't meet.

    Raises:
        OSError: the file can't be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
