"""What checks work with: a candidate on trial, and how a check can end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import lockstep
from lockstep import models
from lockstep.comparisons import agreement
from lockstep.comparisons.exact import Twin, twin
from lockstep.comparisons.validation import problems
from lockstep.comparisons.validation.binding import field_names
from lockstep.comparisons.validation.candidate import Candidate, Result
from lockstep.comparisons.validation.channel import TroubleError
from lockstep.comparisons.validation.problems import Arrays, Question
from lockstep.comparisons.validation.restricted import Restriction
from lockstep.comparisons.validation.verdicts import Cause, Deviation
from lockstep.comparisons.yardstick import LOCKSTEP
from lockstep.models.records import Floats, Space, entries
from lockstep.models.spaces import Positive, PositiveDefinite, Simplex


class Failed(Exception):  # noqa: N818 - an outcome
    """The candidate's answer is not the right one."""

    def __init__(
        self,
        message: str,
        *,
        measured: float | None = None,
        allowed: float | None = None,
        where: str = "",
        iteration: int | None = None,
        cause: Cause | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.message, self.cause, self.detail = message, cause, detail
        self.unheard = False
        """Whether there was nothing by which the mathematics could be judged."""
        self.facts: dict[str, Any] = {
            "measured": measured,
            "allowed": allowed,
            "where": where,
            "iteration": iteration,
        }


class NotChecked(Exception):  # noqa: N818 - an outcome
    """The check does not apply, or cannot be afforded; the message says why."""


@dataclass(frozen=True)
class Passed:
    """What a check that passed has to say."""

    message: str
    measured: float | None = None
    allowed: float | None = None
    where: str = ""


STOPPED = 1e-7
"""How near to the reference's a fit that stopped by itself must be: hundreds of iterations have
magnified its rounding."""


def _from_here(file: Path) -> str:
    """Return the way to a file: from the current folder, if that is above it."""
    file, here = file.resolve(), Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


@dataclass
class Bench:
    """A candidate on trial, with what has been learned of it so far."""

    candidate: Candidate
    limit: float
    deviations: list[Deviation] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    timing: list[dict[str, Any]] = field(default_factory=list)
    rate: float = 0.0
    """Seconds per observation and iteration, of the longest work so far."""
    most: int = 200
    """That work; below, the pipe is all that is measured."""
    answers: dict[tuple[int, int], Result | TroubleError] = field(default_factory=dict)
    kept: list[Question] = field(default_factory=list)
    paths: dict[int, list[Arrays]] = field(default_factory=dict)
    """Of the reference, by problem."""
    strict: bool = False
    """Whether what a candidate leaves out is a failure."""
    restriction: Restriction = field(default_factory=Restriction)
    lacking: set[str] = field(default_factory=set)
    """Fields that were not in an answer."""
    unreturned: frozenset[str] = frozenset()
    """Those of them that are estimated all the same."""
    decimals: dict[str, int] = field(default_factory=dict)
    """To which fields are rounded."""
    paced: bool = True
    """Whether it does as many iterations as asked for."""

    @property
    def model(self) -> Any:
        """The model's module."""
        return models.load(self.candidate.model)

    @property
    def exact(self) -> Twin:
        """The model's EM at 50 digits.

        Raises
        ------
        NotChecked
            If it has none.
        """
        try:
            return twin(self.candidate.model)
        except LookupError as error:
            raise NotChecked(str(error)) from None

    def true_score(self, arrays: Mapping[str, Floats], problem: Question) -> float:
        """Return the log-likelihood: at 50 digits, or where there is no such twin our own."""
        try:
            return self.exact.expectation(dict(arrays), problem.data)[1]
        except NotChecked:
            return self.score(arrays, problem)

    @property
    def sequences(self) -> bool:
        """Whether the data are sequences of symbols."""
        return bool(self.model.shows.SEQUENCES)

    def general(self, seed: int, K: int, size: int) -> Question:
        """Return a general problem of a kind that the candidate takes."""
        one = bool(self.candidate.one_sequence)
        K = self.candidate.only or K
        return problems.general(self.candidate.model, seed, K, size, one=one)

    def record(self, arrays: Mapping[str, Floats]) -> Any:
        """Return the model's parameters."""
        return self.model.Parameters(**{k: arrays[k] for k in self.fields})

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the model's parameters."""
        return field_names(self.model)

    def read(self, section: str) -> str:
        """Return where something is explained: in the model's page, or else in its equations."""
        page = Path(lockstep.__path__[0], "docs", f"{self.model.NAME.replace('_', '-')}.md")
        if page.is_file():
            return f"{_from_here(page)}, {section}"
        return _from_here(Path(self.model.__file__).with_name("equations.py"))

    def raw(self, problem: Question, iterations: int) -> Result:
        """Return the candidate's answer, whatever it is; the same question is asked once."""
        only = self.candidate.only
        if only is not None and problem.n_components != only:
            raise NotChecked(f"it takes exactly {only} components")
        key = (id(problem), iterations)
        if key not in self.answers:
            work = problem.size * max(iterations, 1)
            expected = self.rate * work
            if expected > self.limit:
                raise NotChecked(
                    f"at its speed this would take about {expected:.0f} s; the limit is "
                    f"{self.limit:g} s (--limit)"
                )
            began, warm = time.perf_counter(), self.candidate.channel.running
            self.kept.append(problem)  # so that no other gets its id
            try:
                answer = self.candidate.iterate(problem, iterations)
            except TroubleError as trouble:
                self.answers[key] = trouble
                raise
            self.answers[key] = answer
            if work >= self.most and warm:
                seconds = answer.seconds or time.perf_counter() - began
                self.rate, self.most = seconds / work, work
        answer_or_trouble = self.answers[key]
        if isinstance(answer_or_trouble, TroubleError):
            raise answer_or_trouble
        return self._filled(answer_or_trouble, problem, iterations)

    def _filled(self, answer: Result, problem: Question, iterations: int) -> Result:
        """Return an answer with what it lacks: as given, or where it is estimated ours."""
        found = answer.parameters
        lacks = [name for name in self.fields if name not in found]
        if not lacks or len(lacks) == len(self.fields) or self.strict:
            return answer
        self.lacking.update(lacks)
        estimated = self.reference(problem, iterations) if self.unreturned & set(lacks) else {}
        whole = problem.start | {n: estimated[n] for n in self.unreturned if n in estimated}
        return replace(answer, parameters={n: found.get(n, whole[n]) for n in self.fields})

    def iterate(self, problem: Question, iterations: int = 1) -> Arrays:
        """Return the candidate's parameters, if names and shapes are right and all are finite.

        Raises
        ------
        Failed
        """
        return self.accepted(self.raw(problem, iterations).parameters, problem, iterations)

    def accepted(self, found: Arrays, problem: Question, iterations: int = 0) -> Arrays:
        """Return the model's parameters among those found, as `iterate` does."""
        self.shaped(found, problem)
        for name in self.fields:
            if not np.isfinite(found[name]).all():
                place = tuple(int(i) for i in np.argwhere(~np.isfinite(found[name]))[0])
                entry = f"{name}[{','.join(map(str, place))}]"
                raise Failed(
                    f"{entry} is {found[name][place]}", where=entry, iteration=iterations or None
                )
        return {name: found[name] for name in self.fields}

    def shaped(self, found: Mapping[str, Floats], problem: Question) -> None:
        """Raise Failed unless the parameters have the right names and shapes."""
        missing = [name for name in self.fields if name not in found]
        if missing:
            said = ", ".join(found) or "nothing"
            failed = Failed(f"the answer lacks {', '.join(missing)}; it has {said}")
            failed.unheard = True
            raise failed
        for name in self.fields:
            shape, wanted = found[name].shape, problem.start[name].shape
            if shape == wanted:
                continue
            cause = None
            if shape == (1, *wanted):
                cause = Cause(
                    "keepdims over the wrong axes",
                    f"your {name} has the shape {shape}: a division by a sum with keepdims=True "
                    "gave it a leading axis",
                    "divide by xi.sum(axis=(0, 2))[:, None]"
                    if name == "transmat"
                    else "drop keepdims, or sum over the axis that is meant",
                    self.read("M-step"),
                )
            elif shape == wanted[::-1]:
                cause = Cause(
                    f"{name} returned transposed",
                    f"your {name} has the shape {shape}, which is {wanted} the other way round",
                    f"return it with the shape {wanted}",
                    self.read("The model"),
                )
            raise Failed(f"{name} has shape {shape}; expected {wanted}", where=name, cause=cause)

    def inexact(self, by: float) -> None:
        """Note that one iteration is further off than rounding alone would put it."""
        self.deviations.append(
            Deviation(
                "less than double precision",
                f"one iteration is off by {by:.1g}, where rounding comes to 1e-15: a small number "
                "in a denominator, or a constant with few digits",
            )
        )

    def reference(self, problem: Question, iterations: int = 1) -> Arrays:
        """Return what our readable EM makes of a problem, in the model that is estimated."""
        if id(problem) not in self.paths:
            self.kept.append(problem)
            self.paths[id(problem)] = [self.restriction.begun(problem.start)]
        path = self.paths[id(problem)]
        while len(path) <= iterations:
            path.append(self.restriction.maximum(self.once(path[-1], problem), path[-1]))
        return path[iterations]

    def once(self, parameters: Arrays, problem: Question) -> Arrays:
        """Return one iteration of our readable EM, unrestricted."""
        statistics, _ = self.model.e_step(self.record(parameters), self.checked(problem))
        return self.model.m_step(statistics).arrays()  # type: ignore[no-any-return]

    def exactly(self, problem: Question) -> Arrays:
        """Return one iteration at 50 digits, in the model that is estimated."""
        if not self.paced:
            raise NotChecked("its number of iterations cannot be set")
        start = self.restriction.begun(problem.start)
        return self.restriction.maximum(self.exact.iteration(start, problem.data), start)

    def nearest(self, found: Arrays, problem: Question, most: int) -> int | None:
        """Return the iteration of the reference that was handed back, if it is one of so many."""
        best, place = np.inf, 0
        for n in range(1, most + 1):
            off = self.apart(found, self.reference(problem, n))[0]
            if off < best:
                best, place = off, n
            if best <= LOCKSTEP < off:
                break
        return place if best <= STOPPED else None

    def expected(self, found: Arrays, problem: Question, iterations: int) -> Arrays:
        """Return what the reference has where the candidate is.

        That is after as many iterations, but for a candidate that stops by a rule of its own.
        """
        right = self.reference(problem, iterations)
        if self.strict or (self.paced and self.apart(found, right)[0] <= LOCKSTEP):
            return right
        place = self.nearest(found, problem, max(iterations, 1 if self.paced else 400))
        if place is None or place == iterations:
            return right
        if self.paced:
            same = self.iterate(problem, place)
            if not all(np.array_equal(same[name], found[name]) for name in self.fields):
                return right
            self._note_stop(problem, place, iterations)
        return self.reference(problem, place)

    def _note_stop(self, problem: Question, place: int, iterations: int) -> None:
        before, at = (self.score(self.reference(problem, n), problem) for n in (place - 1, place))
        name = "a stopping rule of its own"
        if name not in (cause.name for cause in self.causes):
            self.causes.append(
                Cause(
                    name,
                    f"asked for {iterations} iterations it hands back the right parameters after "
                    f"{place}, the last of which gained {at - before:.2g} nats",
                    "where a number of iterations is given, do them all, or take a tolerance "
                    "called tol that may be 0",
                    choice=True,
                )
            )

    def checked(self, problem: Question) -> Any:
        """Return the data as the model takes them."""
        return tuple(problem.data) if self.sequences else problem.data

    def score(self, arrays: Mapping[str, Floats], problem: Question) -> float:
        """Return the log-likelihood, by our own function: the judge is never the contestant."""
        return float(self.model.log_likelihood(self.record(arrays), self.checked(problem)))

    def apart(self, found: Arrays, expected: Arrays) -> tuple[float, str, str]:
        """Return the largest difference, the entry that has it, and both values in words.

        Means count in the expected standard deviations, variances and covariances in products of
        two of them, probabilities as they are.
        """
        worst, where, said = -1.0, "", ""
        scales = self.scales(expected)
        record = self.record(expected)
        slack = {name: self.slack(name, expected) for name in self.fields}
        for entry, name, index in entries(record):
            difference = abs(found[name][index] - expected[name][index])
            difference = max(difference - slack[name], 0.0) / scales[name][index]
            if difference > worst:
                worst, where = float(difference), entry
                said = f"{found[name][index]:.10g} in place of {expected[name][index]:.10g}"
        return worst, where, said

    def slack(self, name: str, arrays: Arrays) -> float:
        """Return how far rounding to a few decimals may take a field in some iterations."""
        if name not in self.decimals:
            return 0.0
        steep = 2 * float(np.sqrt(arrays[name].max())) if name == "variances" else 1.0
        return 10 * 10.0 ** -self.decimals[name] * max(1.0, steep)

    @property
    def coarse(self) -> float:
        """The last decimal of what is handed back; 0 if it is not rounded."""
        return 10.0 ** -min(self.decimals.values()) if self.decimals else 0.0

    def scales(self, expected: Arrays) -> Arrays:
        """Return the unit of each parameter."""
        known = agreement.units(self.record(expected))
        return {name: known.get(name, np.ones_like(a)) for name, a in expected.items()}

    def equal(
        self,
        found: Arrays,
        expected: Arrays,
        allowed: float,
        what: str,
        iteration: int | None = None,
        cause: Callable[[], Cause | None] = lambda: None,
    ) -> tuple[float, str]:
        """Return the largest difference and its entry; raise Failed if it is not allowed."""
        worst, where, said = self.apart(found, expected)
        if not worst <= allowed:
            raise Failed(
                f"{where} is {said} ({what})",
                measured=worst,
                allowed=allowed,
                where=where,
                iteration=iteration,
                cause=cause(),
            )
        return worst, where


def in_space(model: Any, found: Arrays, iteration: int | None, allowed: float = LOCKSTEP) -> None:
    """Raise Failed unless parameters are in the model's space, up to rounding."""
    for name, space in model.Parameters.SPACES.items():
        for kind, refuse in REFUSALS.items():
            if isinstance(space, kind):
                refuse(name, found[name], iteration, allowed)


def _no_distributions(name: str, p: Floats, iteration: int | None, allowed: float) -> None:
    if (p < 0).any():
        raise Failed(f"{name} has the entry {p.min():.6g}, below zero", iteration=iteration)
    off = np.abs(p.sum(axis=-1) - 1)
    if off.max() > allowed:
        row = np.unravel_index(off.argmax(), off.shape) if off.ndim else ()
        where = f"{name}[{int(row[0])}]" if row else name
        raise Failed(
            f"{where} sums to {float(p.sum(axis=-1)[row]):.10g}, not to 1",
            measured=float(off.max()),
            allowed=allowed,
            where=where,
            iteration=iteration,
        )


def _not_positive(name: str, values: Floats, iteration: int | None, _: float) -> None:
    if (values <= 0).any():
        place = np.unravel_index(values.argmin(), values.shape)
        where = f"{name}[{','.join(str(int(i)) for i in place)}]"
        raise Failed(
            f"{where} is {values[place]:.6g}, not positive", where=where, iteration=iteration
        )


def _no_covariances(name: str, covariances: Floats, iteration: int | None, _: float) -> None:
    for k, c in enumerate(covariances):
        where = f"{name}[{k}]"
        skew = float(np.abs(c - c.T).max() / np.abs(c).max())
        if skew > LOCKSTEP:
            raise Failed(
                f"{where} is not symmetric: {c[0, 1]:.6g} and {c[1, 0]:.6g}",
                measured=skew,
                where=where,
                iteration=iteration,
            )
        lowest = float(np.linalg.eigvalsh((c + c.T) / 2)[0])
        if lowest <= 0:
            raise Failed(
                f"{where} is not positive definite: it has the eigenvalue {lowest:.4g}",
                measured=lowest,
                where=where,
                iteration=iteration,
            )


REFUSALS: dict[type[Space], Callable[[str, Floats, int | None, float], None]] = {
    Simplex: _no_distributions,
    Positive: _not_positive,
    PositiveDefinite: _no_covariances,
}
"""By the kind of a field's space, what raises Failed outside it."""


def first_line(text: str) -> str:
    """Return the beginning of what may be a long message."""
    return text.splitlines()[0][:120] if text else ""
