"""A candidate as the checks see it: questions with problems in them, answers as arrays."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lockstep.comparisons.validation.channel import Channel, TroubleError, worker
from lockstep.comparisons.validation.problems import Arrays, Problem, plain

FIRST = 3
"""The first answer may take this many times the limit: something may have to be compiled."""

LOADING = 60.0
"""Seconds that importing a target may take, at least."""


class UnusableError(Exception):
    """There is nothing to validate; the message says what to change."""


@dataclass(frozen=True)
class Result:
    """An answer.

    Attributes
    ----------
    parameters : dict of str to ndarray
        In whatever shapes they came.
    log_likelihood : float or None
    seconds : float or None
        By the target's own process.
    mutated : tuple of str
        ``data`` or ``parameters``, if they were written to.
    halves : tuple of str
        Fields that were returned in single precision.
    """

    parameters: Arrays
    log_likelihood: float | None = None
    seconds: float | None = None
    mutated: tuple[str, ...] = ()
    halves: tuple[str, ...] = ()


@dataclass
class Candidate:
    """A target behind a channel.

    Attributes
    ----------
    name : str
        The target as it was given.
    model : str
    channel : Channel
    python : bool
        Whether it is an object of Python, behind a `worker`.
    kind, text : str
        What it is, and how it is called.
    from_start, one_sequence, estimator, pair : bool
    answered : bool
        Whether it has ever answered.
    """

    name: str
    model: str
    channel: Channel
    python: bool
    kind: str = "program"
    text: str = ""
    from_start: bool = True
    one_sequence: bool = False
    estimator: bool = False
    pair: bool = False
    answered: bool = False

    @classmethod
    def of(cls, target: str, model: str, limit: float) -> Candidate:
        """Return the candidate that a Python target names."""
        channel = Channel(worker(sys.executable, target, model), limit)
        return cls(target, model, channel, python=True)

    @classmethod
    def of_command(cls, command: str, model: str, limit: float) -> Candidate:
        """Return the candidate behind a command line."""
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise UnusableError(f"--command {command!r}: {error}") from None
        if not words:
            raise UnusableError("--command is empty")
        return cls(command, model, Channel(words, limit), python=False, text=command)

    def __enter__(self) -> Candidate:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close(at_once=False)

    def describe(self) -> None:
        """Load a Python target and find out what it is.

        Raises
        ------
        UnusableError
        """
        if not self.python:
            return
        try:
            said = self.channel.ask({"op": "describe"}, max(LOADING, self.channel.limit))
        except TroubleError as trouble:
            shown = f"\n{trouble.detail}" if trouble.detail else ""
            message = f"{self.name} cannot be loaded: {trouble.message}{shown}"
            raise UnusableError(message) from None
        if "unusable" in said:
            shown = f"\n{said['traceback'].rstrip()}" if said.get("traceback") else ""
            raise UnusableError(said["unusable"] + shown)
        for name in ("kind", "text", "from_start", "one_sequence", "estimator", "pair"):
            setattr(self, name, said[name])

    def ask(self, question: dict[str, Any], limit: float | None = None) -> dict[str, Any]:
        """Return the answer to a question about this model, from a new process if need be."""
        if self.python and not self.channel.running:
            self.describe()
        if not self.answered:
            limit = FIRST * (limit or self.channel.limit)
        answer = self.channel.ask({"model": self.model, **question}, limit)
        self.answered = True
        return answer

    def iterate(self, problem: Problem, iterations: int, limit: float | None = None) -> Result:
        """Return what the candidate makes of a problem in so many iterations.

        Raises
        ------
        TroubleError
            If there is no answer, or none that can be read.
        """
        question = {"op": "iterate", **problem.to_json(), "iterations": iterations}
        return _result(self.ask(question, limit))

    def configured(self, data: Any, dims: Mapping[str, int], seed: int) -> Result:
        """Return the candidate's own fit, from its own start."""
        question = {"op": "configured", "data": plain(data), **dims, "seed": seed}
        return _result(self.ask(question))

    def expect(self, problem: Problem) -> dict[str, Any]:
        """Return what a candidate's E-step expects, as far as it is recognised."""
        found = self.ask({"op": "expect", **problem.to_json()})["expectation"]
        return {name: np.array(value, dtype=np.float64) for name, value in found.items()}


def _result(answer: dict[str, Any]) -> Result:
    given = answer.get("parameters")
    if not isinstance(given, dict):
        raise TroubleError("rubbish", "answered without an object 'parameters'")
    arrays = {}
    for name, value in given.items():
        try:
            arrays[str(name)] = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise TroubleError(
                "rubbish", f"answered with {name} that are no array of numbers"
            ) from None
    score = answer.get("log_likelihood")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise TroubleError(
            "rubbish", f"answered with the log_likelihood {score!r:.80}, which is no number"
        )
    return Result(
        arrays,
        None if score is None else float(score),
        answer.get("seconds"),
        tuple(answer.get("mutated", ())),
        tuple(answer.get("halves", ())),
    )
