"""A candidate as the checks see it: questions with problems in them, answers as arrays."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lockstep.comparisons.legible import legible
from lockstep.comparisons.validation.channel import (
    MEMORY,
    Channel,
    StartError,
    TroubleError,
    last_lines,
    worker,
)
from lockstep.comparisons.validation.problems import Arrays, Question, plain
from lockstep.models.records import Floats

LOADING = 60.0
"""Seconds that importing a target may take, at least."""


DESCRIPTION: dict[str, Any] = {
    "kind": str,
    "text": str,
    "from_start": bool,
    "one_sequence": bool | None,
    "estimator": bool,
    "pair": bool,
    "reading": str,
    "only": int | None,
    "methods": list,
}
"""What a Python target is described by."""


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
    reading : str
        How it is read, where its names alone do not say it.
    only : int or None
        The number of components, where it takes no other.
    methods : list of str
        Of an estimator with a library's interface, the checks of `methods` that apply.
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
    one_sequence: bool | None = None
    estimator: bool = False
    pair: bool = False
    reading: str = ""
    only: int | None = None
    methods: list[str] = field(default_factory=list)
    answered: bool = False

    @classmethod
    def of(
        cls,
        target: str,
        model: str,
        limit: float,
        memory: int = MEMORY,
        said: Mapping[str, str] | None = None,
    ) -> Candidate:
        """Return the candidate that a Python target names; `said` are meanings of its names."""
        channel = Channel(worker(sys.executable, target, model, said or {}), limit, memory)
        return cls(target, model, channel, python=True)

    @classmethod
    def of_command(cls, command: str, model: str, limit: float, memory: int = MEMORY) -> Candidate:
        """Return the candidate behind a command line."""
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise UnusableError(f"--command {legible(repr(command))}: {error}") from None
        if not words:
            raise UnusableError("--command is empty")
        channel = Channel(words, limit, memory)
        return cls(command, model, channel, python=False, text=command)

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
        question = {"op": "describe", "one_sequence": self.one_sequence}
        patience = max(LOADING, self.channel.limit)
        try:
            try:
                said = self.channel.ask(question, patience)
            except TroubleError:  # it does not survive a trial: the checks will say how it ends
                said = self.channel.ask({**question, "trial": False}, patience)
        except TroubleError as trouble:
            shown = f"\n{last_lines(trouble.detail)}" if trouble.detail else ""
            message = f"{legible(self.name)} cannot be loaded: {trouble.message}{shown}"
            raise UnusableError(message) from None
        if "unusable" in said:
            shown = str(said.get("traceback", "")).rstrip()
            raise UnusableError("\n".join(filter(None, (str(said["unusable"]), shown))))
        if not all(isinstance(said.get(name), kind) for name, kind in DESCRIPTION.items()):
            raise UnusableError(f"{legible(self.name)} cannot be loaded: it answers in our place")
        for name in DESCRIPTION:
            setattr(self, name, said[name])
        if self.one_sequence is None:
            self.one_sequence = self._takes_one()

    def _takes_one(self) -> bool:
        """Return whether it takes a single sequence, which only trying can tell."""
        try:
            said = self.channel.ask({"op": "takes_one"})
        except TroubleError:  # the checks will find the same
            return False
        return said.get("one_sequence") is True

    def ask(self, question: dict[str, Any], limit: float | None = None) -> dict[str, Any]:
        """Return the answer to a question about this model, from a new process if need be."""
        try:
            if self.python and not self.channel.running:
                self.describe()
            answer = self.channel.ask({"model": self.model, **question}, limit)
        except (UnusableError, StartError) as error:
            if not (self.python or self.answered):
                raise
            raise TroubleError("crashed", f"it cannot be started again: {error}") from None
        self.answered = True
        return answer

    def iterate(self, problem: Question, iterations: int, limit: float | None = None) -> Result:
        """Return what the candidate makes of a problem in so many iterations.

        Raises
        ------
        TroubleError
            If there is no answer, or none that can be read.
        """
        question = {"op": "iterate", **problem.to_json(), "iterations": iterations}
        began = time.perf_counter()
        answer = self.ask(question, limit)
        return _result(answer, time.perf_counter() - began)

    def configured(self, data: Any, dims: Mapping[str, int], seed: int) -> Result:
        """Return the candidate's own fit, from its own start."""
        found = self.counted(data, dims, seed, None)
        assert found is not None
        return found

    def counted(
        self, data: Any, dims: Mapping[str, int], seed: int, iterations: int | None
    ) -> Result | None:
        """Return its own fit after so many iterations, or None if it cannot be given a number."""
        question = {"op": "configured", "data": plain(data), **dims, "seed": seed}
        if iterations is not None:
            question["iterations"] = iterations
        began = time.perf_counter()
        answer = self.ask(question)
        if answer.get("uncounted") is True and iterations is not None:
            return None
        return _result(answer, time.perf_counter() - began)

    def expect(self, problem: Question) -> dict[str, Any]:
        """Return what a candidate's E-step expects, as far as it is recognised."""
        found = self.ask({"op": "expect", **problem.to_json()}).get("expectation")
        if not isinstance(found, dict):
            raise TroubleError("rubbish", "answered without an object 'expectation'")
        return {name: _array(value, name) for name, value in found.items()}

    def say(
        self, problem: Question, other: Any, methods: list[str], **more: int
    ) -> tuple[Arrays, list[Any]]:
        """Return what an estimator holds after a fit, and what methods say of other data."""
        question = {"op": "methods", **problem.to_json(), "other": plain(other), "methods": methods}
        answer = self.ask({**question, **more})
        said = answer.get("said")
        if not isinstance(said, list) or len(said) != len(methods):
            raise TroubleError("rubbish", "answered without a list 'said'")
        return _arrays(answer.get("parameters")), said

    def fits(
        self,
        problem: Question,
        settings: list[dict[str, Any]],
        *,
        from_start: bool,
        sample_weight: list[float] | None = None,
    ) -> list[Arrays]:
        """Return the parameters of an estimator's fits with various settings."""
        question = {"op": "fit", **problem.to_json(), **problem.dims, "from_start": from_start}
        question["sample_weight"] = sample_weight
        found = [self.ask({**question, "settings": each}) for each in settings]
        return [_arrays(answer.get("parameters")) for answer in found]

    def habits(self, problem: Question, limit: float) -> list[tuple[str, str]]:
        """Return an estimator's habits: their names, and the evidence."""
        found = self.ask({"op": "habits", **problem.to_json()}, limit).get("habits")
        if not isinstance(found, list) or not all(isinstance(habit, dict) for habit in found):
            raise TroubleError("rubbish", "answered without a list 'habits'")
        return [(str(habit.get("name")), str(habit.get("evidence"))) for habit in found]


def _arrays(given: Any) -> Arrays:
    if not isinstance(given, dict):
        raise TroubleError("rubbish", "answered without an object 'parameters'")
    return {name: _array(value, name) for name, value in given.items()}


def _result(answer: dict[str, Any], elapsed: float) -> Result:
    given = _arrays(answer.get("parameters"))
    seconds = answer.get("seconds")
    return Result(
        given,
        _score(answer.get("log_likelihood")),
        # By a clock that the candidate may have changed: no longer than by ours.
        seconds if isinstance(seconds, float) and 0 < seconds <= elapsed else None,
        _known(answer.get("mutated"), ("data", "parameters")),
        _known(answer.get("halves"), tuple(given)),
    )


def _array(value: Any, name: str) -> Floats:
    """Return numbers in lists as an array; null stands for NaN."""
    level = [value]
    while level:
        lists = [item for item in level if isinstance(item, list)]
        if not all(_is_number(item) for item in level if not isinstance(item, list)):
            raise TroubleError("rubbish", f"answered with {name} that are no array of numbers")
        level = [item for items in lists for item in items]
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TroubleError(
            "rubbish", f"answered with {name} that are no array of numbers"
        ) from None
    except OverflowError:
        raise TroubleError(
            "rubbish", f"answered with {name} that are beyond any double: an integer too large"
        ) from None


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _score(value: Any) -> float | None:
    if value is None:
        return None
    try:
        if _is_number(value):
            return float(value)
    except OverflowError:
        pass
    raise TroubleError(
        "rubbish", f"answered with the log_likelihood {value!r:.80}, which is no number"
    )


def _known(value: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name in value) if isinstance(value, list) else ()
