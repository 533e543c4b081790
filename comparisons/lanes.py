"""Processes that do one thing after the other: what they print is kept, what they leave is removed.

Whatever a process and the libraries in it write to standard output and error, by Python or below
it, goes into a file in a folder of the process's own. There it has its temporary files as well; the
folder goes with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from lockstep.comparisons.legible import legible

MOST_SAID = 4096
"""Characters that are kept of what was printed: the last."""

GRACE = 10.0
"""Seconds that processes have to end when there is nothing left to do."""


class Lane:
    """A process.

    Parameters
    ----------
    prepare : callable
        Called in the process, before anything else, with `arguments`.
    *arguments
    """

    def __init__(self, prepare: Callable[..., object], *arguments: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lockstep-"))
        self.pool = ProcessPoolExecutor(
            1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(self.folder, prepare, arguments),
        )

    def submit[T](self, function: Callable[..., T], *arguments: Any) -> Future[tuple[T, str]]:
        """Have a function called; its value comes with what was printed meanwhile."""
        return self.pool.submit(_called, function, arguments)

    def said(self) -> str:
        """Return the last that a process printed that is no more."""
        with contextlib.suppress(OSError), _file(self.folder).open("rb") as file:
            return _tail(file.fileno())
        return ""


def close(lanes: Collection[Lane], processes: Collection[BaseProcess]) -> None:
    """End the processes of lanes, and remove what they leave."""
    for lane in lanes:
        lane.pool.shutdown(wait=False, cancel_futures=True)
    left, until = {process.sentinel for process in processes}, time.monotonic() + GRACE
    while left and time.monotonic() < until:
        left -= set(wait(list(left), until - time.monotonic()))
    for lane in lanes:
        _remove(lane.folder)


def _file(folder: Path) -> Path:
    return folder / "printed"


def _begin(folder: Path, prepare: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    """Turn what is printed into the folder's file, and leave nothing when the parent is killed."""
    printed = os.open(_file(folder), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        _remove(folder)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    prepare(*arguments)


def _called[T](function: Callable[..., T], arguments: tuple[Any, ...]) -> tuple[T, str]:
    os.ftruncate(1, 0)
    value = function(*arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).fflush(None)  # what C has not written yet
    return value, _tail(1)


def _tail(file: int) -> str:
    """Return the end of a file, legible."""
    size = os.fstat(file).st_size
    text = os.pread(file, 4 * MOST_SAID, max(0, size - 4 * MOST_SAID)).decode("utf-8", "replace")
    return legible(text.rstrip(), MOST_SAID, lines=True)


def _remove(folder: Path) -> None:
    for _ in range(5):  # what is being written to may need another go
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
