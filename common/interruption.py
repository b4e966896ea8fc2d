"""Ctrl-C and SIGTERM while training: the step is finished and saved; a second one stops at once."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path


class Interrupted(Exception):
    """The training was asked to stop, and what it had is saved.

    Attributes:
        signal: SIGINT or SIGTERM.
        model_dir: where it is saved.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number
        self.model_dir: Path | None = None


class Watch:
    """Whether a signal has come."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def check(self) -> None:
        """Raises Interrupted if one has."""
        if self.signal is not None:
            raise Interrupted(self.signal)

    def stop(self) -> None:
        """Raises Interrupted; by the signal of another worker as by SIGTERM."""
        raise Interrupted(self.signal or signal.SIGTERM)

    def _take(self, number: int, frame: object) -> None:
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        # os.write, since print isn't safe in a signal handler. There may be no stderr, or, as behind a `tee`
        # that Ctrl-C has ended, nobody who reads it.
        with contextlib.suppress(OSError, AttributeError):
            os.write(sys.__stderr__.fileno(), b"\nstopping after this step; once more to stop at once\n")


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """Keeps SIGINT and SIGTERM from ending the process while the block runs.

    In a thread that isn't the main one, where Python allows no handlers, nothing is watched.
    """
    watch = Watch()
    if threading.current_thread() is not threading.main_thread():
        yield watch
        return
    before = {number: signal.signal(number, watch._take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield watch
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
