"""A candidate in a process of its own: one question a line, one answer a line, both JSON.

Whatever it does there (hang, crash, print rubbish) ends in a `TroubleError` here, and the next
question finds a new process.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

type Trouble = Literal["hung", "crashed", "rubbish", "refused"]

LONGEST = 2**28
"""Characters of a line at the most: beyond it no answer is to be expected."""

SHOWN = 200
"""Characters of an answer that are quoted."""


class TroubleError(Exception):
    """A question got no usable answer.

    Parameters
    ----------
    kind : {"hung", "crashed", "rubbish", "refused"}
        Refused: the candidate answered with an error of its own.
    message : str
    detail : str, optional
        A traceback, or the last lines on standard error.
    """

    def __init__(self, kind: Trouble, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.detail = kind, message, detail


class StartError(Exception):
    """The process cannot be started at all."""


class Channel:
    """Asks a process questions; starts it when there is none.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    limit : float
        Seconds that an answer may take.
    """

    def __init__(self, command: Sequence[str], limit: float) -> None:
        self.command, self.limit = list(command), limit
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._asked = 0

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(at_once=False)

    @property
    def running(self) -> bool:
        """Whether there is a process to ask."""
        return self._process is not None

    def _start(self) -> subprocess.Popen[str]:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        try:
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise StartError(f"cannot run {self.command[0]}: {error.strerror or error}") from None
        self._process, self._lines = process, queue.Queue()
        threading.Thread(target=_read, args=(process.stdout, self._lines), daemon=True).start()
        return process

    def ask(self, question: dict[str, Any], limit: float | None = None) -> dict[str, Any]:
        """Return the answer to one question.

        Parameters
        ----------
        question : dict
            In JSON's types; it is given an ``id``.
        limit : float, optional
            Seconds, if not the channel's own.

        Raises
        ------
        TroubleError
            If there is none in time, or it is not what was asked for.
        StartError
            If the program cannot be run.
        """
        limit = self.limit if limit is None else limit
        process = self._process or self._start()
        self._asked += 1
        name = f"q{self._asked}"
        line = json.dumps({"id": name, **question}) + "\n"
        threading.Thread(target=_write, args=(process.stdin, line), daemon=True).start()
        try:
            answered = self._lines.get(timeout=limit)
        except queue.Empty:
            self.close()
            raise TroubleError("hung", f"no answer within {limit:g} s") from None
        if answered is None:
            code, said = self._end()
            raise TroubleError("crashed", f"its process ended {code}", said)
        try:
            answer = json.loads(answered)
        except (ValueError, RecursionError):
            self.close()
            raise TroubleError("rubbish", f"printed {_short(answered)}, which is no JSON") from None
        if not isinstance(answer, dict) or answer.get("id") != name:
            self.close()
            raise TroubleError(
                "rubbish", f"answered {_short(answered)}, which does not have the id {name!r}"
            )
        if "error" in answer:
            detail = str(answer.get("traceback", ""))
            raise TroubleError("refused", str(answer["error"]), detail)
        return answer

    def _end(self) -> tuple[str, str]:
        """Return how the process ended, and what it said on standard error."""
        assert self._process is not None
        assert self._errors is not None
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            how = "its output without ending itself"
        else:
            how = f"with status {code}" if code >= 0 else f"by signal {signal.Signals(-code).name}"
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace")
        self.close()
        return how, "\n".join(said.splitlines()[-12:])

    def close(self, *, at_once: bool = True) -> None:
        """End the process and whatever it started.

        Parameters
        ----------
        at_once : bool, optional
            If not, it is given a moment to end by itself when there are no more questions.
        """
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        if not at_once:
            _close_quietly(process.stdin)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.5)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _close_quietly(process.stdin)
        if self._errors is not None:
            self._errors.close()


def _close_quietly(stream: IO[str]) -> None:
    with contextlib.suppress(OSError, ValueError):  # unwritten questions to one that is gone
        stream.close()


def _write(stream: IO[str], line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # the reader tells that the process has ended
        stream.write(line)
        stream.flush()


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    with stream:
        while line := stream.readline(LONGEST):
            if line.strip():
                lines.put(line)
    lines.put(None)


def _short(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


def worker(python: str, target: str, model: str) -> list[str]:
    """Return the command that serves a Python target (`lockstep.comparisons.validation.worker`)."""
    # -P: a file of the user's that is called models.py must not stand in for ours.
    return [
        python,
        "-P",
        "-m",
        "lockstep.comparisons.validation.worker",
        target,
        model,
        str(Path.cwd()),
    ]
