"""A candidate in a process of its own: one question a line, one answer a line, both JSON.

Whatever it does there (hang, crash, print rubbish, take all memory, leave processes behind) ends in
a `TroubleError` here, and the next question finds a new process. Its output is read all the time
and kept only as far as it can be an answer, or its last words.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from lockstep.comparisons.legible import legible
from lockstep.comparisons.validation import keeper

type Trouble = Literal["hung", "crashed", "rubbish", "refused", "greedy"]

LONGEST = 2**25
"""Bytes of an answer at the most."""

NESTED = 2**21
"""Lists and objects in an answer at the most: empty ones take twenty times their bytes."""

WAITING = 4
"""Lines that are kept until they are asked for; an answer is one."""

LAST_WORDS = 2**14
"""Bytes of standard error that are kept."""

DETAIL = 20_000
"""Characters of a traceback, or of last words, that are kept; fewer are shown."""

SHOWN = 200
"""Characters of an answer that are quoted."""

MEMORY = 2**32
"""Bytes that a candidate may hold with all its processes, unless a caller says otherwise."""


class TroubleError(Exception):
    """A question got no usable answer.

    Parameters
    ----------
    kind : {"hung", "crashed", "rubbish", "refused", "greedy"}
        Refused: the candidate answered with an error of its own. Greedy: it took more than it may.
    message : str
    detail : str, optional
        A traceback, or the last lines on standard error.
    """

    def __init__(self, kind: Trouble, message: str, detail: str = "") -> None:
        self.kind, self.message = kind, legible(message)
        self.detail = legible(detail, DETAIL, lines=True)
        super().__init__(self.message)


def last_lines(detail: str, number: int = 12) -> str:
    """Return the end of what a candidate said, and how much comes before it."""
    lines = detail.rstrip().splitlines()
    left = len(lines) - number
    shown = "\n".join(legible(line) for line in lines[-number:])
    return shown if left <= 0 else f"({left} lines before)\n{shown}"


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
    memory : int, optional
        Bytes that the process and its descendants may hold.
    """

    def __init__(self, command: Sequence[str], limit: float, memory: int = MEMORY) -> None:
        self.command, self.limit, self.memory = list(command), limit, memory
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._mark = ""
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._last_words = bytearray()
        self._reading: list[threading.Thread] = []
        self._writing: list[threading.Thread] = []
        self._asked = 0

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(at_once=False)

    @property
    def running(self) -> bool:
        """Whether there is a process to ask."""
        return self._process is not None

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the candidate with its `keeper`, and whoever reads what it says."""
        self._line, theirs = socket.socketpair()
        self._mark = secrets.token_hex(16)
        with theirs:
            kept = [keeper.__file__, str(theirs.fileno()), str(self.memory), *self.command]
            try:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", *kept],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    start_new_session=True,
                    pass_fds=(theirs.fileno(),),
                    env={**os.environ, keeper.MARK: self._mark},
                )
            except (OSError, ValueError) as error:
                self._line.close()
                raise StartError(self._unstarted(str(error))) from None
        self._process, self._lines, self._last_words = process, queue.Queue(), bytearray()
        self._reading = [
            _begun(_read, process.stdout, self._lines),
            _begun(_drain, process.stderr, self._last_words),
        ]
        self._writing = []
        return process

    def _unstarted(self, why: str) -> str:
        return f"cannot run {legible(self.command[0])}: {legible(why)}"

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
        self._writing = [thread for thread in self._writing if thread.is_alive()]
        self._writing.append(_begun(_write, process.stdin, line.encode()))
        try:
            answered = self._lines.get(timeout=min(limit, threading.TIMEOUT_MAX))
        except queue.Empty:
            self.close()
            raise TroubleError("hung", f"no answer within {limit:g} s") from None
        if answered is None:
            raise self._ended()
        try:
            answer = _parsed(answered)
        except (ValueError, RecursionError) as error:
            self.close()
            what = str(error) if isinstance(error, _TooMuchError) else "which is no JSON"
            raise TroubleError("rubbish", f"printed {_short(answered)}, {what}") from None
        if not isinstance(answer, dict) or answer.get("id") != name:
            self.close()
            raise TroubleError(
                "rubbish", f"answered {_short(answered)}, which does not have the id {name!r}"
            )
        if "error" in answer:
            said, detail = str(answer["error"]), str(answer.get("traceback", ""))
            if answer.get("memory") is True:
                raise TroubleError("greedy", f"{self._too_much()} ({said})", detail)
            raise TroubleError("refused", said, detail)
        return answer

    def _too_much(self) -> str:
        return f"takes more than {self.memory / 2**30:.3g} GiB of memory"

    def _ended(self) -> Exception:
        """Return what there is to say of a process that will answer no more."""
        assert self._line is not None
        self._line.settimeout(1)
        try:
            fate = self._line.recv(2**12).decode("utf-8", "replace")
        except TimeoutError:
            fate = "open"
        except OSError:
            fate = ""
        self.close()
        word, _, told = fate.partition(" ")
        detail = bytes(self._last_words).decode("utf-8", "replace")
        if word == "unstarted":
            return StartError(self._unstarted(told))
        if word == "memory":
            return TroubleError("greedy", self._too_much(), detail)
        if word == "processes":
            allowed = f"more than {keeper.PROCESSES}"
            return TroubleError("greedy", f"has {told} processes at the same time, {allowed}")
        if word == "ended":
            code = int(told)
            how = f"with status {code}" if code >= 0 else f"by signal {_signal(-code)}"
            return TroubleError("crashed", f"its process ended {how}", detail)
        how = "its output without ending itself" if word else "itself and what watched it"
        return TroubleError("crashed", f"its process ended {how}", detail)

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
        assert self._line is not None
        if not at_once and not any(thread.is_alive() for thread in self._writing):
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.5)
        with contextlib.suppress(OSError):  # the keeper ends all when it hears no more
            self._line.shutdown(socket.SHUT_WR)
        try:
            process.wait(timeout=2 * keeper.PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._sweep()
        for thread in (*self._reading, *self._writing):  # nobody is left who could hold the pipes
            thread.join(timeout=1)
        self._line.close()
        if not any(thread.is_alive() for thread in self._writing):
            process.stdin.close()

    def _sweep(self) -> None:
        """Kill what is left if the candidate has killed its keeper."""
        until = time.monotonic() + keeper.PATIENCE
        while (left := keeper.marked(self._mark)) and time.monotonic() < until:
            keeper.kill(left)
            time.sleep(0.01)


def _begun(function: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def _signal(number: int) -> str:
    """Return a signal's name; those for real time have none of their own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        first = getattr(signal, "SIGRTMIN", None)
        return f"SIGRTMIN+{number - first}" if first and number > first else str(number)


def _write(stream: IO[bytes], line: bytes) -> None:
    left = memoryview(line)
    with contextlib.suppress(OSError, ValueError):  # the reader tells that the process has ended
        while left:
            left = left[stream.write(left) or 0 :]


def _read(stream: IO[bytes], lines: queue.Queue[bytes | None]) -> None:
    """Put lines into the queue, and None at the end; drop what nobody will ask for."""
    line = bytearray()

    def ended() -> None:
        if line.strip() and lines.qsize() < WAITING:
            lines.put(bytes(line))
        line.clear()

    with stream:
        while piece := stream.read(2**16):
            first, *others = piece.split(b"\n")
            line += first if len(line) <= LONGEST else b""
            for other in others:
                ended()
                line += other
    ended()
    lines.put(None)


def _drain(stream: IO[bytes], last: bytearray) -> None:
    """Read to the end, and keep the last words."""
    with stream:
        while piece := stream.read(2**16):
            last += piece
            del last[:-LAST_WORDS]


class _TooMuchError(ValueError):
    """An answer that is not worth reading."""


def _parsed(line: bytes) -> Any:
    """Return what a line says, its words legible."""
    if len(line) > LONGEST or line.count(b"[") + line.count(b"{") > NESTED:
        raise _TooMuchError("which is longer than any answer")
    return json.loads(line.decode("utf-8", "replace"), object_pairs_hook=_legible)


def _legible(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose names and words can be shown; a log keeps its lines."""
    return {
        legible(k): legible(v, DETAIL, lines=k == "traceback") if isinstance(v, str) else v
        for k, v in pairs
    }


def _short(line: bytes) -> str:
    text = line[: 4 * SHOWN + 4].decode("utf-8", "replace").strip()
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


def worker(
    python: str, target: str, model: str, said: Mapping[str, str] | None = None
) -> list[str]:
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
        *(f"{name}={meaning}" for name, meaning in (said or {}).items()),
    ]
