"""The checks, from cheap to deep. Each asks the candidate something whose answer is known.

A check returns what it measured, or raises `Failed` or `NotChecked`; whatever the candidate does
wrong besides (no answer, a crash, rubbish) is the check's failure too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import models
from comparisons.judging import LOCKSTEP, NEAR_OPTIMUM
from comparisons.validation import exact, problems
from comparisons.validation.candidate import Candidate, Result
from comparisons.validation.channel import TroubleError
from comparisons.validation.problems import HMM, Arrays, Problem
from comparisons.validation.targets import field_names
from comparisons.validation.verdicts import Cause, Deviation, Outcome, Status
from models.records import Floats, entries

FIRST_STEP = 1e-12
"""One iteration on a dozen numbers against 50 digits: dozens of roundings of 1e-16, in units in
which every parameter is about 1."""

LONG = 1e-7
"""One iteration over 100,000 steps: logarithms near -1e5 are rounded by 1e-11, and a forward pass
on logarithms adds up to 1e-9 of that (hmmlearn's does); a slip shows at 1e-3 or more."""

FAR = 1e-5
"""Data at 1e8 with a standard deviation of 1 are rounded by 1.5e-8 whenever they are multiplied;
squares, of 1e16, by 1: an iteration that subtracts squares is off by 1 or more."""

RISE = 1e-10
"""A fall of the log-likelihood by less than this share of it is rounding."""

ITERATIONS = 10
"""Of the checks in lock step."""

EPSILON = 1e-9
"""Largest amount that, added to each total N_k, is a guard against division by zero."""


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
    ) -> None:
        super().__init__(message)
        self.message, self.cause = message, cause
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
    kept: list[Problem] = field(default_factory=list)

    @property
    def model(self) -> Any:
        """The model's module."""
        return models.load(self.candidate.model)

    @property
    def hmm(self) -> bool:
        """Whether the model is the hidden Markov model."""
        return self.candidate.model == HMM

    def general(self, seed: int, K: int, size: int) -> Problem:
        """Return a general problem of a kind that the candidate takes."""
        one = self.candidate.one_sequence
        return problems.general(self.candidate.model, seed, K, size, one=one)

    def record(self, arrays: Mapping[str, Floats]) -> Any:
        """Return the model's parameters."""
        return self.model.Parameters(**{k: arrays[k] for k in self.fields})

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the model's parameters."""
        return field_names(self.model)

    def read(self, section: str) -> str:
        """Return where something is explained."""
        return f"docs/{self.candidate.model.replace('_', '-')}.md, {section}"

    def raw(self, problem: Problem, iterations: int) -> Result:
        """Return the candidate's answer, whatever it is; the same question is asked once."""
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
        return answer_or_trouble

    def iterate(self, problem: Problem, iterations: int = 1) -> Arrays:
        """Return the candidate's parameters, if names and shapes are right and all are finite.

        Raises
        ------
        Failed
        """
        found = self.raw(problem, iterations).parameters
        self.shaped(found, problem)
        for name in self.fields:
            if not np.isfinite(found[name]).all():
                place = tuple(int(i) for i in np.argwhere(~np.isfinite(found[name]))[0])
                entry = f"{name}[{','.join(map(str, place))}]"
                raise Failed(
                    f"{entry} is {found[name][place]}", where=entry, iteration=iterations or None
                )
        return {name: found[name] for name in self.fields}

    def shaped(self, found: Mapping[str, Floats], problem: Problem) -> None:
        """Raise Failed unless the parameters have the right names and shapes."""
        missing = [name for name in self.fields if name not in found]
        if missing:
            said = ", ".join(found) or "nothing"
            raise Failed(f"the answer lacks {', '.join(missing)}; it has {said}")
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

    def reference(self, problem: Problem, iterations: int = 1) -> Arrays:
        """Return what our readable EM makes of a problem."""
        parameters = self.record(problem.start)
        data = self.checked(problem)
        for _ in range(iterations):
            parameters = self.model.m_step(self.model.e_step(parameters, data)[0])
        return parameters.arrays()  # type: ignore[no-any-return]

    def checked(self, problem: Problem) -> Any:
        """Return the data as the model takes them."""
        return tuple(problem.data) if self.hmm else problem.data

    def score(self, arrays: Mapping[str, Floats], problem: Problem) -> float:
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
        for entry, name, index in entries(record):
            difference = abs(found[name][index] - expected[name][index]) / scales[name][index]
            if difference > worst:
                worst, where = float(difference), entry
                said = f"{found[name][index]:.10g} in place of {expected[name][index]:.10g}"
        return worst, where, said

    def scales(self, expected: Arrays) -> Arrays:
        """Return the unit of each parameter."""
        found = {name: np.ones_like(a) for name, a in expected.items()}
        if "variances" in expected:
            found["means"] = np.sqrt(expected["variances"])
            found["variances"] = expected["variances"]
        if "covariances" in expected:
            sds = np.sqrt(np.diagonal(expected["covariances"], axis1=1, axis2=2))
            found["means"], found["covariances"] = sds, sds[:, :, None] * sds[:, None, :]
        return found

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


# --- the checks -------------------------------------------------------------------------------


def interface(bench: Bench) -> Passed:
    """Ask for one iteration, and look at names, shapes and numbers."""
    if not bench.candidate.from_start:
        found = own_fit(bench, bench.general(41, 3, 60))
        bench.shaped(found.parameters, bench.general(41, 3, 60))
        return Passed("names and shapes are right")
    if bench.hmm and not bench.candidate.python:
        try:
            bench.raw(bench.general(41, 3, 60), 1)
        except TroubleError as trouble:
            if trouble.kind != "refused":
                raise
            bench.candidate.one_sequence = True
    bench.iterate(bench.general(41, 3, 60))
    return Passed("names and shapes are right, all numbers finite")


def untouched(bench: Bench) -> Passed:
    """Ask the same twice, and see whether the input was written to."""
    problem = bench.general(41, 3, 60)
    first = bench.raw(problem, 3)
    again = bench.raw(replace(problem), 3)
    bench.shaped(first.parameters, problem)
    bench.shaped(again.parameters, problem)
    if "data" in first.mutated:
        raise Failed("it writes to the data that it is given: work on a copy")
    for name in bench.fields:
        a, b = first.parameters[name], again.parameters[name]
        if not np.array_equal(a, b, equal_nan=True):
            difference = float(np.nanmax(np.abs(a - b)))
            if not difference <= FIRST_STEP * max(1.0, float(np.abs(b).max())):
                raise Failed(
                    f"the same question, asked twice, has two answers: {name} differs by "
                    f"{difference:.2g}. Something is kept from call to call, or random",
                    measured=difference,
                    where=name,
                )
    if "parameters" in first.mutated:
        bench.deviations.append(
            Deviation(
                "writes to the parameters that it is given",
                "the caller's start was changed in place: whoever uses it again starts elsewhere",
            )
        )
    if not bench.candidate.python:
        return Passed("asked twice it gives the same answer")
    return Passed("asked twice it gives the same answer, and the data are left as they were")


def valid(bench: Bench) -> Passed:
    """See whether the parameters are in their space after each of ten iterations."""
    for problem in (bench.general(41, 3, 60), bench.general(42, 2, 40)):
        for n in range(1, ITERATIONS + 1):
            in_space(bench.model, bench.iterate(problem, n), n)
    return Passed(f"after each of {ITERATIONS} iterations, on 2 problems")


def in_space(model: Any, found: Arrays, iteration: int | None) -> None:
    """Raise Failed unless parameters are in the model's space, up to rounding."""
    for name in model.Parameters.PROBABILITIES:
        p = found[name]
        if (p < 0).any():
            raise Failed(f"{name} has the entry {p.min():.6g}, below zero", iteration=iteration)
        off = np.abs(p.sum(axis=-1) - 1)
        if off.max() > LOCKSTEP:
            row = np.unravel_index(off.argmax(), off.shape) if off.ndim else ()
            where = f"{name}[{int(row[0])}]" if row else name
            raise Failed(
                f"{where} sums to {float(p.sum(axis=-1)[row]):.10g}, not to 1",
                measured=float(off.max()),
                allowed=LOCKSTEP,
                where=where,
                iteration=iteration,
            )
    if "variances" in found and (found["variances"] <= 0).any():
        k = int(found["variances"].argmin())
        where = f"variances[{k}]"
        raise Failed(
            f"{where} is {found['variances'][k]:.6g}, not positive",
            where=where,
            iteration=iteration,
        )
    for k, c in enumerate(found.get("covariances", ())):
        skew = float(np.abs(c - c.T).max() / np.abs(c).max())
        if skew > LOCKSTEP:
            raise Failed(
                f"covariances[{k}] is not symmetric: {c[0, 1]:.6g} and {c[1, 0]:.6g}",
                measured=skew,
                where=f"covariances[{k}]",
                iteration=iteration,
            )
        lowest = float(np.linalg.eigvalsh((c + c.T) / 2)[0])
        if lowest <= 0:
            raise Failed(
                f"covariances[{k}] is not positive definite: it has the eigenvalue {lowest:.4g}",
                measured=lowest,
                where=f"covariances[{k}]",
                iteration=iteration,
            )


def _tiny(bench: Bench, seed: int) -> Problem:
    """Return a problem small enough for 50 digits, or for all paths."""
    if not bench.hmm:
        return bench.general(seed, 2, 12)
    return bench.general(seed, 2, 8 if bench.candidate.one_sequence else 12)


def e_step(bench: Bench) -> Passed:
    """Compare what the E-step expects with enumeration or 50 digits."""
    if not bench.candidate.pair:
        raise NotChecked(
            "the E-step cannot be seen by itself; its result is part of the first iteration"
        )
    worst = 0.0
    for seed in (51, 52):
        problem = _tiny(bench, seed)
        found = bench.candidate.expect(problem)
        if not found:
            raise NotChecked(
                "what the E-step returns is not in a form that is known: responsibilities (N, K), "
                "or for one sequence gamma (T, K) and xi (T-1, K, K)"
            )
        expected, _ = exact.expectation(problem.start, problem.data)
        if "counts" in found:
            expected["counts"] = expected["responsibilities"].sum(axis=0)
        for name, array in found.items():
            if array.shape != expected[name].shape:
                raise Failed(f"{name} has shape {array.shape}; expected {expected[name].shape}")
            difference = np.abs(array - expected[name])
            place = np.unravel_index(difference.argmax(), difference.shape)
            where = f"{name}[{','.join(str(int(i)) for i in place)}]"
            if not difference.max() <= FIRST_STEP * max(1.0, expected[name].max()):
                raise Failed(
                    f"{where} is {array[place]:.10g} in place of {expected[name][place]:.10g}",
                    measured=float(difference.max()),
                    allowed=FIRST_STEP,
                    where=where,
                )
            worst = max(worst, float(difference.max()))
    return Passed("what it expects is right", worst, FIRST_STEP)


def first_step(bench: Bench) -> Passed:
    """Compare one iteration with enumeration of all paths, or with 50 digits."""
    worst = (0.0, "")
    for seed in (51, 52):
        problem = _tiny(bench, seed)
        expected = exact.iteration(problem.start, problem.data)
        how = "all paths enumerated" if bench.hmm else "50 digits"
        found = bench.iterate(problem)
        worst = max(worst, bench.equal(found, expected, FIRST_STEP, f"by {how}", 1))
    return Passed("one iteration is right", worst[0], FIRST_STEP, worst[1])


def log_likelihood(bench: Bench) -> Passed:
    """Compare the log-likelihood that it reports with 50 digits."""
    worst, seen = 0.0, 0
    for seed in (51, 52):
        problem = _tiny(bench, seed)
        for n in (0, 1, 2):
            result = bench.raw(problem, n)
            if result.log_likelihood is None:
                continue
            seen += 1
            bench.shaped(result.parameters, problem)
            _, true = exact.expectation(result.parameters, problem.data)
            off = abs(result.log_likelihood - true)
            if off <= FIRST_STEP * abs(true):
                worst = max(worst, off)
                continue
            _explain_log_likelihood(bench, problem, n, result.log_likelihood, true)
            return Passed("right, but for the deviation that is listed")
    if not seen:
        raise NotChecked("it reports none")
    return Passed("it is that of the parameters it returns", worst, FIRST_STEP)


def _explain_log_likelihood(
    bench: Bench, problem: Problem, n: int, said: float, true: float
) -> None:
    """Note a log-likelihood that is another known quantity, or raise Failed."""
    N, D = problem.size, 2 if "covariances" in problem.start else 1
    before = bench.raw(problem, n - 1).parameters if n else problem.start
    stale = exact.expectation(before, problem.data)[1] if n else np.nan
    harmless = {
        "log-likelihood of the parameters before the last M-step": stale,
        "log-likelihood per observation": true / N,
        "log-likelihood per observation, before the last M-step": stale / N,
        "negative log-likelihood": -true,
        "negative log-likelihood per observation": -true / N,
    }
    wrong = {
        "without the constant (2 pi) of the densities": true + 0.5 * N * D * np.log(2 * np.pi),
        "in bits (log2)": true / np.log(2),
        "in decimal digits (log10)": true / np.log(10),
        "the likelihood, not its logarithm": np.exp(true),
    }

    def near(value: float) -> bool:
        return bool(abs(said - value) <= LOCKSTEP * abs(value))

    for what, value in harmless.items():
        if near(value):
            bench.deviations.append(
                Deviation(
                    f"reports the {what}", f"{said:.10g}; that of the parameters is {true:.10g}"
                )
            )
            return
    cause = None
    for what, value in wrong.items():
        if near(value):
            cause = Cause(
                f"log-likelihood {what}",
                f"you report {said:.10g}, which is it {what}; in nats it is {true:.10g}",
                "sum the natural logarithms of the whole densities",
                bench.read("The model"),
            )
    raise Failed(
        f"it reports {said:.10g} after {n} iterations; it is {true:.10g}",
        measured=abs(said - true),
        allowed=FIRST_STEP * abs(true),
        iteration=n,
        cause=cause,
    )


def m_step(bench: Bench) -> Passed:
    """See whether the derivatives of what the M-step maximises are zero at its result."""
    worst = 0.0
    for seed in (41, 42):
        problem = bench.general(seed, 3 if seed == 41 else 2, 60 if seed == 41 else 40)
        found = bench.record(bench.iterate(problem))
        statistics, _ = bench.model.e_step(bench.record(problem.start), bench.checked(problem))
        try:
            slopes = bench.model.score_free(statistics, found) / problem.size
        except ArithmeticError as error:
            raise Failed(f"there are no derivatives at its result: {error}") from None
        largest = float(np.abs(slopes).max())
        if not largest <= LOCKSTEP:
            raise Failed(
                "its result is no maximum of the expected log-likelihood: a slope of "
                f"{largest:.3g} per observation is left",
                measured=largest,
                allowed=LOCKSTEP,
                iteration=1,
            )
        worst = max(worst, largest)
    return Passed("every slope is zero at its result", worst, LOCKSTEP)


def lockstep(bench: Bench) -> Passed:
    """Compare each of ten iterations with the reference's, from the same start."""
    worst = (0.0, "")
    for problem in (bench.general(41, 3, 60), bench.general(42, 2, 40)):
        for n in range(1, ITERATIONS + 1):
            found = bench.iterate(problem, n)
            expected = bench.reference(problem, n)
            worst = max(worst, bench.equal(found, expected, LOCKSTEP, f"iteration {n}", n))
    return Passed(f"{ITERATIONS} iterations agree, on 2 problems", worst[0], LOCKSTEP, worst[1])


def monotone(bench: Bench) -> Passed:
    """See whether the log-likelihood, by our own function, rises at each iteration."""
    least = np.inf
    for problem in (bench.general(41, 3, 60), bench.general(42, 2, 40)):
        path = [problem.start, *(bench.iterate(problem, n) for n in range(1, ITERATIONS + 1))]
        try:
            with np.errstate(all="ignore"):
                trace = np.array([bench.score(p, problem) for p in path])
        except ArithmeticError as error:
            raise Failed(f"there is no log-likelihood at its parameters: {error}") from None
        with np.errstate(invalid="ignore"):
            gains = np.diff(trace)
        low = (
            int(gains.argmin()) if np.isfinite(gains).all() else int(np.argmin(np.isfinite(gains)))
        )
        if not gains[low] >= -RISE * abs(trace[low]):
            raise Failed(
                f"it falls by {-gains[low]:.4g} nats at iteration {low + 1}, from "
                f"{trace[low]:.8g} to {trace[low + 1]:.8g}",
                measured=float(-gains[low]),
                allowed=RISE * abs(float(trace[low])),
                iteration=low + 1,
            )
        least = min(least, float(gains.min()))
    return Passed(f"it never falls; the smallest gain is {least:.2g} nats")


def optimum(bench: Bench) -> Passed:
    """Run to the end from random starts: the same optimum as the reference's."""
    size, n, worst = (90, 100, 0.0)
    for problem in problems.random_starts(
        bench.candidate.model, bench.general(61, 2, size), number=3, seed=62
    ):
        found = bench.score(bench.iterate(problem, n), problem)
        expected = bench.score(bench.reference(problem, n), problem)
        off = abs(found - expected)
        if not off <= OPTIMUM:
            raise Failed(
                f"after {n} iterations from a random start it is at {found:.8g} nats, the "
                f"reference at {expected:.8g}",
                measured=off,
                allowed=OPTIMUM,
                iteration=n,
            )
        worst = max(worst, off)
    return Passed(f"the same log-likelihood after {n} iterations from 3 starts", worst, OPTIMUM)


OPTIMUM = 1e-6
"""Nats between two programs after 100 iterations from the same start: rounding that iterations have
amplified, at an optimum where it counts quadratically."""

EQUIVARIANCE_ITERATIONS = 3


def _equivariant(
    bench: Bench, changed: Problem, back: Callable[[Arrays], Arrays], what: str
) -> Passed:
    """Compare the answer to a changed problem, changed back, with the answer to the original."""
    problem = bench.general(43, 3, 60)
    plain = bench.iterate(problem, EQUIVARIANCE_ITERATIONS)
    found = back(bench.iterate(changed, EQUIVARIANCE_ITERATIONS))
    worst, where = bench.equal(found, plain, LOCKSTEP, what, EQUIVARIANCE_ITERATIONS)
    return Passed("the result changes along, and in nothing else", worst, LOCKSTEP, where)


def relabelled(bench: Bench) -> Passed:
    """Permute the components of the start: those of the result must be permuted alike."""
    problem = bench.general(43, 3, 60)
    order = [2, 0, 1]
    changed = problem.begun(**bench.record(problem.start).relabelled(order).arrays())

    def back(found: Arrays) -> Arrays:
        return bench.record(found).relabelled(np.argsort(order)).arrays()  # type: ignore[no-any-return]

    return _equivariant(bench, changed, back, "components permuted")


def shifted(bench: Bench) -> Passed:
    """Move the data and the start: the means must move along."""
    problem, by = bench.general(43, 3, 60), 64.0
    changed = replace(problem.begun(means=problem.start["means"] + by), data=problem.data + by)
    return _equivariant(
        bench,
        changed,
        lambda found: {**found, "means": found["means"] - by},
        f"data moved by {by:g}",
    )


def scaled(bench: Bench) -> Passed:
    """Change the data's units: means and variances must follow."""
    problem = bench.general(43, 3, 60)
    result = Passed("")
    for by in (1e-4, 1e4):
        scale = np.array([by, 1 / by]) if problem.data.ndim == 2 else np.array(by)
        squared = scale[:, None] * scale if problem.data.ndim == 2 else scale**2
        second = "covariances" if problem.data.ndim == 2 else "variances"
        changed = replace(
            problem.begun(
                means=problem.start["means"] * scale,
                **{second: problem.start[second] * squared},
            ),
            data=problem.data * scale,
        )

        def back(
            found: Arrays, scale: Any = scale, squared: Any = squared, second: str = second
        ) -> Arrays:
            return {**found, "means": found["means"] / scale, second: found[second] / squared}

        result = _equivariant(bench, changed, back, f"data in units of {by:g}")
    return result


def rotated(bench: Bench) -> Passed:
    """Turn the plane: means and covariances must turn along."""
    problem = bench.general(43, 3, 60)
    c, s = np.cos(0.7), np.sin(0.7)
    R = np.array([[c, -s], [s, c]])
    changed = replace(
        problem.begun(
            means=problem.start["means"] @ R.T, covariances=R @ problem.start["covariances"] @ R.T
        ),
        data=problem.data @ R.T,
    )

    def back(found: Arrays) -> Arrays:
        return {**found, "means": found["means"] @ R, "covariances": R.T @ found["covariances"] @ R}

    return _equivariant(bench, changed, back, "the plane turned by 0.7")


def shuffled(bench: Bench) -> Passed:
    """Change the order of the rows, or of the sequences: nothing must change."""
    problem = bench.general(43, 3, 60)
    if bench.hmm:
        if bench.candidate.one_sequence:
            raise NotChecked("it takes a single sequence")
        data: Any = problem.data[::-1]
    else:
        data = problem.data[np.random.default_rng(44).permutation(len(problem.data))]
    changed = replace(problem, data=data)
    return _equivariant(bench, changed, lambda found: found, "in another order")


def repeated(bench: Bench) -> Passed:
    """Give every row, or every sequence, twice: nothing must change."""
    problem = bench.general(43, 3, 60)
    if bench.hmm:
        if bench.candidate.one_sequence:
            raise NotChecked("it takes a single sequence")
        data: Any = problem.data + problem.data
    else:
        data = np.repeat(problem.data, 2, axis=0)
    changed = replace(problem, data=data)
    return _equivariant(bench, changed, lambda found: found, "everything twice")


def renamed(bench: Bench) -> Passed:
    """Permute the symbols: the emission probabilities must be permuted alike."""
    problem = bench.general(43, 3, 60)
    order = np.array([2, 3, 0, 1])
    names = np.argsort(order)
    changed = replace(
        problem.begun(emissionprob=problem.start["emissionprob"][:, order]),
        data=tuple(names[s] for s in problem.data),
    )
    return _equivariant(
        bench,
        changed,
        lambda found: {**found, "emissionprob": found["emissionprob"][:, names]},
        "symbols renamed",
    )


# --- hard cases ---------------------------------------------------------------------------------


def _against_exact(
    bench: Bench,
    problem: Problem,
    allowed: float,
    cause: Callable[[Arrays | None], Cause | None] = lambda _: None,
) -> Passed:
    """Compare one iteration with 50 digits, or with all paths."""
    expected = exact.iteration(problem.start, problem.data)
    try:
        found = bench.iterate(problem)
    except Failed as failed:
        failed.cause = failed.cause or cause(None)
        raise
    off = bench.apart(found, expected)[0]
    guarded = None if off <= allowed else _with_epsilon(bench, problem, found, expected)
    if guarded is not None and bench.apart(found, guarded[0])[0] <= allowed:
        epsilon = guarded[1]
        bench.deviations.append(
            Deviation(
                "a small number in the totals",
                f"{epsilon:.2g} ({epsilon / np.finfo(float).eps:.3g} eps) is added to each N_k; "
                f"with it this case is right, without it off by {off:.1g}",
            )
        )
        return Passed("right, but for the deviation that is listed", off, allowed)
    worst, where = bench.equal(found, expected, allowed, "50 digits", 1, lambda: cause(found))
    return Passed("one iteration is right", worst, allowed, where)


def _with_epsilon(
    bench: Bench, problem: Problem, found: Arrays, expected: Arrays
) -> tuple[Arrays, float] | None:
    """Return one iteration with a small number added to each N_k, and the number, if there is one.

    It is read off the mean of the emptiest component, which it divides.
    """
    if bench.hmm:
        return None
    k = int(expected["weights"].argmin())
    mine, right = np.ravel(found["means"][k]), np.ravel(expected["means"][k])
    i = int(np.abs(right).argmax())
    epsilon = float(expected["weights"][k] * problem.size * (right[i] / mine[i] - 1))
    if not 0 < epsilon <= EPSILON:
        return None
    r = exact.expectation(problem.start, problem.data)[0]["responsibilities"]
    x = problem.data.reshape(problem.size, -1)
    n = r.sum(axis=0) + epsilon
    means = r.T @ x / n[:, None]
    d = x[:, None] - means
    covariances = np.einsum("nk,nkd,nke->kde", r, d, d) / n[:, None, None]
    second = "variances" if "variances" in found else "covariances"
    return {
        "weights": n / n.sum(),
        "means": means.reshape(found["means"].shape),
        second: covariances.reshape(found[second].shape),
    }, epsilon


UNDERFLOW = "underflow"


def _underflow(bench: Bench, evidence: str, mend: str) -> Cause:
    return Cause(UNDERFLOW, evidence, mend, bench.read("E-step"))


def far_away(bench: Bench) -> Passed:
    """Give a mixture a point at which every density underflows."""
    problem = problems.far_away(bench.candidate.model)

    def cause(found: Arrays | None) -> Cause | None:
        joint = bench.model.log_joint(bench.record(problem.start), problem.data)
        top = joint.max(axis=1).min() / np.log(10)
        mend = "work with logarithms: scipy.special.logsumexp over the components"
        evidence = (
            f"at one point the largest density is 10^{top:.0f}, and the smallest double 10^-308: "
            "all of them are zero there, and 0/0 is not a number"
        )
        if found is None:
            return _underflow(bench, evidence, mend)
        rest = replace(problem, data=np.delete(problem.data, 4, axis=0))
        without = exact.iteration(rest.start, rest.data)
        if bench.apart({**found, "weights": without["weights"]}, without)[0] < LOCKSTEP:
            return _underflow(
                bench,
                f"at one point the largest density is 10^{top:.0f}: your result is the one "
                "without that point, whose responsibilities are all zero",
                mend,
            )
        return None

    return _against_exact(bench, problem, LOCKSTEP, cause)


def offset(bench: Bench) -> Passed:
    """Move the data to 1e8: squares of such numbers lose all of the variance."""
    problem = problems.offset(bench.candidate.model, 1e8)

    def cause(_: Arrays | None) -> Cause:
        return Cause(
            "cancellation",
            "near zero your iteration is right, near 1e8 it is not: the difference of two numbers "
            "near 1e16 has none of the digits of the variance",
            "take squares of x - mean, not E[x^2] - mean^2",
            bench.read("E-step"),
        )

    return _against_exact(bench, problem, FAR, cause)


def nearly_empty(bench: Bench) -> Passed:
    """Begin with a component that has hardly any weight."""
    return _against_exact(bench, problems.nearly_empty(bench.candidate.model), LOCKSTEP)


def repeated_points(bench: Bench) -> Passed:
    """Give points that occur several times."""
    return _against_exact(bench, problems.repeated_points(bench.candidate.model), LOCKSTEP)


def one_component(bench: Bench) -> Passed:
    """Fit a single component, or a single state."""
    problem = problems.one_component(bench.candidate.model)
    if bench.hmm and bench.candidate.one_sequence:
        problem = replace(problem, data=(np.concatenate(problem.data),))
    return _against_exact(bench, problem, LOCKSTEP)


def one_each(bench: Bench) -> Passed:
    """Fit as many components as there are points."""
    return _against_exact(bench, problems.one_each(bench.candidate.model), LOCKSTEP)


def unseen(bench: Bench) -> Passed:
    """Leave one symbol out of the data: its probability falls to zero, and stays there."""
    problem = problems.unseen_symbol()
    result = _against_exact(bench, problem, LOCKSTEP)
    found, expected = bench.iterate(problem, 3), bench.reference(problem, 3)
    worst, where = bench.equal(found, expected, LOCKSTEP, "iteration 3", 3)
    return replace(result, message="three iterations are right", measured=worst, where=where)


def one_observation(bench: Bench) -> Passed:
    """Give a single observation: an answer or a refusal, but no NaN."""
    problem = problems.one_observation(bench.candidate.model)
    try:
        found = bench.iterate(problem)
    except TroubleError as trouble:
        if trouble.kind != "refused":
            raise
        return Passed(f"it refuses: {_line(trouble.message)}")
    expected = exact.iteration(problem.start, problem.data)
    if bench.hmm:
        _open_rows(bench, problem, found, expected)
        bench.equal(found, expected, LOCKSTEP, "all paths enumerated", 1)
        return Passed("one iteration is right")
    second = "variances" if "variances" in problem.start else "covariances"
    scale = np.sqrt(np.abs(problem.start[second]).max())
    off = float(np.abs(found["means"] - expected["means"]).max() / scale)
    if off > LOCKSTEP:
        raise Failed(f"the mean is {off:.3g} standard deviations from the only point", measured=off)
    return Passed("the mean is the point")


def _open_rows(bench: Bench, problem: Problem, found: Arrays, expected: Arrays) -> None:
    """Take transitions that no sequence has: any row will do, and zeros are noted."""
    _ = problem
    rows = found["transmat"].sum(axis=1)
    if np.all(found["transmat"] == 0):
        bench.deviations.append(
            Deviation(
                "rows of zeros",
                "where there is no transition to count it returns a transition matrix of zeros",
            )
        )
    elif np.abs(rows - 1).max() > LOCKSTEP or (found["transmat"] < 0).any():
        raise Failed(f"transmat has rows that sum to {', '.join(f'{r:.6g}' for r in rows)}")
    found["transmat"] = expected["transmat"]


def length_one(bench: Bench) -> Passed:
    """Give sequences of a single step, among others and alone."""
    if bench.candidate.one_sequence:
        raise NotChecked("it takes a single sequence")
    result = _against_exact(bench, problems.length_one(only=False), LOCKSTEP)
    alone = problems.length_one(only=True)
    try:
        found = bench.iterate(alone)
    except TroubleError as trouble:
        if trouble.kind != "refused":
            raise
        return replace(
            result, message=f"right among others; alone refused: {_line(trouble.message)}"
        )
    expected = exact.iteration(alone.start, alone.data)
    _open_rows(bench, alone, found, expected)
    bench.equal(found, expected, LOCKSTEP, "all paths enumerated", 1)
    return result


def _long(bench: Bench, length: int) -> Passed:
    problem = problems.long_sequence(length)
    from models import em

    model = bench.model
    reference = em.fit(model, bench.record(problem.start), problem.data, max_iter=1, tol=-1)
    expected = reference.parameters.arrays()
    assert reference.trace is not None
    digits = reference.trace[0] / np.log(10)

    def cause() -> Cause:
        return _underflow(
            bench,
            f"short sequences are right; the probability of these {length:,} symbols is "
            f"10^{digits:.0f}, and the smallest double 10^-308",
            "scale the forward pass at each step (Rabiner 1989, section V.A), or use logarithms",
        )

    try:
        found = bench.iterate(problem)
    except Failed as failed:
        failed.cause = failed.cause or cause()
        raise
    worst, where = bench.equal(found, expected, LONG, "scaled forward and backward", 1, cause)
    return Passed("one iteration is right", worst, LONG, where)


def long_sequence(bench: Bench) -> Passed:
    """Give a sequence of 2,000 steps."""
    return _long(bench, 2_000)


def very_long(bench: Bench) -> Passed:
    """Give a sequence of 100,000 steps."""
    return _long(bench, 100_000)


# --- a start of its own, habits, timing ---------------------------------------------------------


def own_fit(bench: Bench, problem: Problem, seed: int = 0) -> Result:
    """Return the candidate's fit from its own start."""
    return bench.candidate.configured(problem.data, problem.dims, seed)


def own_optimum(bench: Bench) -> Passed:
    """Judge what it fits from its own start."""
    gaps, reached = [], 0
    for seed in (71, 72, 73):
        problem = _separated(bench, seed)
        found = own_fit(bench, problem).parameters
        bench.shaped(found, problem)
        in_space(bench.model, found, None)
        score = bench.score(found, problem)
        best = _best(bench, problem)
        gap = best - score
        moved = Problem(problem.data, {k: found[k] for k in bench.fields})
        gain = bench.score(bench.reference(moved), problem) - score
        if not gain <= NEAR_OPTIMUM:
            raise Failed(
                f"it stops at {score:.8g} nats, where one more iteration would gain {gain:.3g}; "
                f"the optimum is {best:.8g}",
                measured=float(gain),
                allowed=NEAR_OPTIMUM,
            )
        gaps.append(gap)
        reached += gap <= NEAR_OPTIMUM
    if reached < len(gaps):
        bench.deviations.append(
            Deviation(
                "ends short of the best optimum",
                f"on {len(gaps) - reached} of {len(gaps)} data sets, by up to {max(gaps):.3g} "
                "nats: another local optimum, or an early end",
            )
        )
    return Passed(
        f"{reached} of {len(gaps)} fits reach the best optimum known, the others a local one",
        float(max(gaps)),
        NEAR_OPTIMUM,
    )


def _separated(bench: Bench, seed: int) -> Problem:
    return bench.general(seed, 2, 200)


def _best(bench: Bench, problem: Problem) -> float:
    from models import em

    rng = np.random.default_rng(0)
    fit = em.fit_best(
        bench.model,
        bench.checked(problem),
        problem.dims,
        n_starts=10,
        rng=rng,
        max_iter=2000,
        tol=1e-7,
    )
    return em.final_log_likelihood(fit)


def habits(bench: Bench) -> Passed:
    """Measure what surprises people who compare numbers."""
    if not (bench.candidate.estimator and bench.candidate.from_start):
        raise NotChecked("it is no estimator that begins where it is told")
    problem = bench.general(43, 2, 80)
    said = bench.candidate.ask({"op": "habits", **problem.to_json()}, 3 * bench.limit)
    for habit in said["habits"]:
        bench.deviations.append(Deviation(habit["name"], habit["evidence"]))
    number = len(said["habits"])
    return Passed(f"{number} found, listed below" if number else "none found")


LIBRARIES = {
    "gaussian_mixture_1d": ("scikit-learn", "sklearn.mixture:GaussianMixture"),
    "gaussian_mixture_2d": ("scikit-learn", "sklearn.mixture:GaussianMixture"),
    "categorical_hmm": ("hmmlearn", "hmmlearn.hmm:CategoricalHMM"),
}

TIMED, TIMED_ITERATIONS = 2_000, 5


def timing(bench: Bench) -> Passed:
    """Time five iterations on 2,000 observations, beside the reference and the library."""
    from models import em

    problem = bench.general(81, 3, TIMED)
    work = TIMED * TIMED_ITERATIONS

    def row(who: str, seconds: float) -> None:
        bench.timing.append({"who": who, "nanoseconds": 1e9 * seconds / work})

    bench.raw(problem, 1)
    result = bench.raw(problem, TIMED_ITERATIONS)
    began = time.perf_counter()
    bench.raw(replace(problem), TIMED_ITERATIONS)
    elapsed = time.perf_counter() - began
    seconds = elapsed if result.seconds is None else result.seconds
    row("candidate", seconds)
    began = time.perf_counter()
    bench.reference(problem, TIMED_ITERATIONS)
    row("our readable EM", time.perf_counter() - began)
    start = bench.record(problem.start)
    for _ in range(2):
        began = time.perf_counter()
        em.fit(bench.model, start, bench.checked(problem), max_iter=TIMED_ITERATIONS, tol=-1)
        ours = time.perf_counter() - began
    row("our kernels", ours)
    name, target = LIBRARIES[bench.candidate.model]
    if bench.candidate.name != target:
        peer = Candidate.of(target, bench.candidate.model, bench.limit)
        with peer.channel:
            try:
                peer.describe()
                peer.iterate(problem, 1)
                row(name, peer.iterate(problem, TIMED_ITERATIONS).seconds or np.nan)
            except (TroubleError, Exception) as error:  # noqa: BLE001 - it is not on trial
                return Passed(f"{name} could not be timed: {_line(str(error))}")
    return Passed(f"{1e9 * seconds / work:,.0f} ns an observation and iteration")


def _line(text: str) -> str:
    return text.splitlines()[0][:120] if text else ""


# --- the list ---------------------------------------------------------------------------------

ANY = ("gaussian_mixture_1d", "gaussian_mixture_2d", HMM)
MIXTURES, PLANE = ANY[:2], ANY[1:2]


@dataclass(frozen=True)
class Check:
    """A check of the list.

    Attributes
    ----------
    name, title : str
    run : callable
    models : tuple of str
    stage : {"interface", "core", "deep"}
        Deep ones are left out while a core one fails, all while the interface does.
    hard : bool
        Whether it is a hard case.
    start : bool or None
        Whether it needs a candidate that begins where it is told (True), from a start of its own
        (False), or either (None).
    section : str
        Of the model's page, where it is explained.
    """

    name: str
    title: str
    run: Callable[[Bench], Passed]
    models: tuple[str, ...] = ANY
    stage: str = "core"
    hard: bool = False
    start: bool | None = True
    section: str = ""


def _deep(name: str, title: str, run: Any, models: tuple[str, ...] = ANY) -> Check:
    return Check(name, title, run, models, "deep")


def _hard(name: str, title: str, run: Any, models: tuple[str, ...] = ANY) -> Check:
    return Check(name, title, run, models, "deep", hard=True)


CHECKS = (
    Check("interface", "Names, shapes, numbers", interface, stage="interface", start=None),
    Check("untouched", "Input untouched, answer repeatable", untouched),
    Check("valid", "Parameters valid after every step", valid, section="M-step"),
    Check("e-step", "E-step alone", e_step, section="E-step"),
    Check("first-step", "First iteration, to the last digit", first_step, section="E-step"),
    Check("log-likelihood", "Log-likelihood it reports", log_likelihood, section="The model"),
    Check("m-step", "M-step stationary", m_step, section="M-step"),
    Check("lockstep", "Ten iterations in lock step", lockstep, section="M-step"),
    Check("monotone", "Log-likelihood never falls", monotone, section="M-step"),
    _deep("optimum", "Same optimum from random starts", optimum),
    _deep("relabelled", "Components permuted", relabelled),
    _deep("shifted", "Data moved", shifted, MIXTURES),
    _deep("scaled", "Data in other units", scaled, MIXTURES),
    _deep("rotated", "Plane turned", rotated, PLANE),
    _deep("shuffled", "Data in another order", shuffled),
    _deep("repeated", "Everything twice", repeated),
    _deep("renamed", "Symbols renamed", renamed, (HMM,)),
    _hard("far-away", "A point far from everything", far_away, MIXTURES),
    _hard("offset", "Data at 100,000,000", offset, MIXTURES),
    _hard("nearly-empty", "A component with almost no weight", nearly_empty, MIXTURES),
    _hard("repeated-points", "Duplicated points", repeated_points, MIXTURES),
    _hard("one-each", "K = N", one_each, MIXTURES),
    _hard("one-component", "K = 1", one_component),
    _hard("one-observation", "A single observation", one_observation),
    _hard("unseen", "A symbol never seen", unseen, (HMM,)),
    _hard("length-one", "Sequences of length 1", length_one, (HMM,)),
    _hard("long", "A sequence of 2,000 steps", long_sequence, (HMM,)),
    _hard("very-long", "A sequence of 100,000 steps", very_long, (HMM,)),
    Check("own-fit", "Fit from its own start", own_optimum, stage="deep", start=False),
    _deep("habits", "Habits of an estimator", habits),
    _deep("timing", "Time", timing),
)


def checks(model: str) -> list[Check]:
    """Return the checks of a model, from cheap to deep."""
    return [check for check in CHECKS if model in check.models]


def carry_out(check: Check, bench: Bench) -> Outcome:
    """Carry out one check; whatever the candidate does, there is an outcome."""
    began = time.perf_counter()
    # Section titles are those of the model's page.
    read = bench.read(check.section) if check.section else ""
    facts: dict[str, Any] = {}
    detail = ""
    try:
        if check.start is True and not bench.candidate.from_start:
            raise NotChecked("it cannot be told where to begin")
        if check.start is False and bench.candidate.from_start:
            raise NotChecked("it begins where it is told, which says more")
        passed = check.run(bench)
        status, message = Status.PASSED, passed.message
        facts = {"measured": passed.measured, "allowed": passed.allowed, "where": passed.where}
    except NotChecked as reason:
        status, message, read = Status.NOT_CHECKED, str(reason), ""
    except Failed as failed:
        status, message, facts = Status.FAILED, failed.message, failed.facts
        if failed.cause is not None and failed.cause not in bench.causes:
            bench.causes.append(failed.cause)
    except TroubleError as trouble:
        words = {"hung": "it hangs: ", "crashed": "it crashes: ", "rubbish": "it ", "refused": ""}
        status, message = Status.FAILED, words[trouble.kind] + trouble.message
        detail = trouble.detail
    return Outcome(
        name=check.name,
        title=check.title,
        status=status,
        message=message,
        detail=detail,
        read=read,
        hard=check.hard,
        seconds=time.perf_counter() - began,
        **facts,
    )
