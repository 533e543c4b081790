"""Checks of single iterations, of ten in a row, and of what must not matter to them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from lockstep.comparisons.validation import mistakes, problems
from lockstep.comparisons.validation.bench import (
    STOPPED,
    Bench,
    Failed,
    NotChecked,
    Passed,
    in_space,
)
from lockstep.comparisons.validation.channel import TroubleError
from lockstep.comparisons.validation.manners import recognise
from lockstep.comparisons.validation.problems import Arrays, Question
from lockstep.comparisons.validation.verdicts import Cause, Deviation
from lockstep.comparisons.yardstick import LOCKSTEP
from lockstep.models.records import Floats, Integers

FIRST_STEP = 1e-12
"""One iteration on a dozen numbers against 50 digits: dozens of roundings of 1e-16, in units in
which every parameter is about 1. What is further off, but within `LOCKSTEP`, is no slip: a guard of
1e-12 in a denominator, or a constant typed to 12 digits."""

RISE = 1e-10
"""A fall of the log-likelihood by less than this share of it is rounding."""

ITERATIONS = 10
"""Of the checks in lock step."""


def interface(bench: Bench) -> Passed:
    """Ask for one iteration, and look at names, shapes and numbers."""
    if not bench.candidate.from_start:
        problem = bench.general(41, 3, 60)
        found = bench.candidate.configured(problem.data, problem.dims, seed=0)
        bench.shaped(found.parameters, problem)
        return Passed("names and shapes are right")
    if bench.sequences and not bench.candidate.python:
        try:
            bench.raw(bench.general(41, 3, 60), 1)
        except TroubleError as trouble:
            if trouble.kind != "refused":
                raise
            bench.candidate.one_sequence = True
    bench.iterate(bench.general(41, 3, 60))
    recognise(bench)
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
    lifted = bench.candidate.kind.startswith("loop of")  # of a script: its names are nobody else's
    if "parameters" in first.mutated and not lifted:
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
            in_space(bench.model, bench.iterate(problem, n), n, LOCKSTEP + 10 * bench.coarse)
    return Passed(f"after each of {ITERATIONS} iterations, on 2 problems")


def _tiny(bench: Bench, seed: int) -> Question:
    """Return a problem small enough for 50 digits, or for all paths."""
    if not bench.sequences:
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
        start = bench.restriction.begun(problem.start)
        expected, _ = bench.exact.expectation(start, problem.data)
        if "counts" in found:
            expected["counts"] = expected["responsibilities"].sum(axis=0)
        for name, array in found.items():
            if array.shape != expected[name].shape:
                raise Failed(f"{name} has shape {array.shape}; expected {expected[name].shape}")
            difference = np.abs(array - expected[name])
            place = np.unravel_index(difference.argmax(), difference.shape)
            where = f"{name}[{','.join(str(int(i)) for i in place)}]"
            if not difference.max() <= LOCKSTEP * max(1.0, expected[name].max()):
                raise Failed(
                    f"{where} is {array[place]:.10g} in place of {expected[name][place]:.10g}",
                    measured=float(difference.max()),
                    allowed=LOCKSTEP,
                    where=where,
                )
            worst = max(worst, float(difference.max()))
    if worst > FIRST_STEP:
        bench.inexact(worst)
    return Passed("what it expects is right", worst, LOCKSTEP)


def first_step(bench: Bench) -> Passed:
    """Compare one iteration with enumeration of all paths, or with 50 digits."""
    worst = (0.0, "")
    for seed in (51, 52):
        problem = _tiny(bench, seed)
        expected = bench.exactly(problem)
        how = "all paths enumerated" if bench.sequences else "50 digits"
        found = bench.iterate(problem)
        worst = max(worst, bench.equal(found, expected, LOCKSTEP, f"by {how}", 1))
    if worst[0] > FIRST_STEP:
        bench.inexact(worst[0])
    return Passed("one iteration is right", worst[0], LOCKSTEP, worst[1])


def log_likelihood(bench: Bench) -> Passed:
    """Compare the log-likelihood that it reports with 50 digits, or with our own function."""
    worst, seen = 0.0, 0
    for seed in (51, 52):
        problem = _tiny(bench, seed)
        for n in (0, 1, 2):
            result = bench.raw(problem, n)
            if result.log_likelihood is None:
                continue
            seen += 1
            bench.shaped(result.parameters, problem)
            true = bench.true_score(result.parameters, problem)
            off = abs(result.log_likelihood - true)
            if off <= FIRST_STEP * abs(true) + 10 * bench.coarse * problem.size:
                worst = max(worst, off)
                continue
            _explain_log_likelihood(bench, problem, n, result.log_likelihood, true)
            return Passed("right, but for a deviation, below")
    if not seen:
        raise NotChecked("it reports none")
    return Passed("it is that of the parameters it returns", worst, FIRST_STEP)


def _explain_log_likelihood(
    bench: Bench, problem: Question, n: int, said: float, true: float
) -> None:
    """Note a log-likelihood that is another known quantity, or raise Failed."""
    N, D = problem.size, 1 if bench.sequences else np.size(problem.data[0])
    before = bench.raw(problem, n - 1).parameters if n else problem.start
    stale = bench.true_score(before, problem) if n else np.nan
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
    cause = _beside(bench, problem, n, said, true)
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


def _beside(bench: Bench, problem: Question, n: int, said: float, true: float) -> Cause | None:
    """Return the cause of a wrong log-likelihood, if the parameters beside it are right."""
    found = bench.raw(problem, n).parameters
    if not bench.apart(found, bench.reference(problem, n))[0] <= LOCKSTEP:
        return None
    before = bench.raw(problem, n - 1).parameters if n else problem.start
    what = next(
        (
            what
            for arrays in (before, found)
            for what, value in mistakes.no_log_likelihoods(arrays, problem.data)
            if abs(said - value) <= 1e-6 * abs(value)
        ),
        "",
    )
    evidence = f"you report {said:.10g} where it is {true:.10g}, beside parameters that are right"
    return Cause(
        "a wrong log-likelihood beside right parameters",
        f"{evidence}; it is {what}" if what else evidence,
        "sum over the observations the logarithm of p(x_n), which is the sum over the components "
        "of weight times density, or over the steps the logarithms of the forward pass's scales",
        bench.read("The model"),
    )


def m_step(bench: Bench) -> Passed:
    """See whether the derivatives of what the M-step maximises are zero at its result."""
    if bench.restriction:
        raise NotChecked("what is not estimated has slopes of its own")
    if not bench.paced:
        raise NotChecked("its number of iterations cannot be set")
    worst, allowed = 0.0, LOCKSTEP + 1e3 * bench.coarse
    for seed in (41, 42):
        problem = bench.general(seed, 3 if seed == 41 else 2, 60 if seed == 41 else 40)
        found = bench.record(bench.iterate(problem))
        statistics, _ = bench.model.e_step(bench.record(problem.start), bench.checked(problem))
        try:
            slopes = found.by_free(bench.model.score(statistics, found)) / problem.size
        except (ArithmeticError, ValueError) as error:
            raise Failed(f"there are no derivatives at its result: {error}") from None
        largest = float(np.abs(slopes).max())
        if not largest <= allowed:
            raise Failed(
                "its result is no maximum of the expected log-likelihood: a slope of "
                f"{largest:.3g} per observation is left",
                measured=largest,
                allowed=allowed,
                iteration=1,
            )
        worst = max(worst, largest)
    return Passed("every slope is zero at its result", worst, allowed)


def lockstep(bench: Bench) -> Passed:
    """Compare each of ten iterations with the reference's, from the same start."""
    worst = (0.0, "")
    for problem in (bench.general(41, 3, 60), bench.general(42, 2, 40)):
        for n in range(1, ITERATIONS + 1):
            found = bench.iterate(problem, n)
            expected = bench.expected(found, problem, n)
            allowed = LOCKSTEP if bench.paced else STOPPED
            worst = max(worst, bench.equal(found, expected, allowed, f"iteration {n}", n))
    return Passed(f"{ITERATIONS} iterations agree, on 2 problems", worst[0], LOCKSTEP, worst[1])


def monotone(bench: Bench) -> Passed:
    """See whether the log-likelihood, by our own function, rises at each iteration."""
    least = np.inf
    for problem in (bench.general(41, 3, 60), bench.general(42, 2, 40)):
        path = [bench.iterate(problem, n) for n in range(1, ITERATIONS + 1)]
        if not bench.restriction:  # of which a start need not be
            path.insert(0, problem.start)
        try:
            with np.errstate(all="ignore"):
                trace = np.array([bench.score(p, problem) for p in path])
        except (ArithmeticError, ValueError) as error:
            raise Failed(f"there is no log-likelihood at its parameters: {error}") from None
        with np.errstate(invalid="ignore"):
            gains = np.diff(trace)
        low = (
            int(gains.argmin()) if np.isfinite(gains).all() else int(np.argmin(np.isfinite(gains)))
        )
        if not gains[low] >= -RISE * abs(trace[low]) - 10 * bench.coarse * problem.size:
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
    size, n, worst, done = 90, 100, 0.0, 0
    began = time.perf_counter()
    for problem in problems.random_starts(
        bench.candidate.model, bench.general(61, 2, size), number=3, seed=62
    ):
        fitted = bench.iterate(problem, n)
        found = bench.score(fitted, problem)
        expected = bench.score(bench.reference(problem, n), problem)
        off, allowed = abs(found - expected), OPTIMUM + 10 * bench.coarse * size
        if not off <= allowed:
            expected = bench.score(bench.expected(fitted, problem, n), problem)
            off = abs(found - expected)
        if not off <= allowed:
            raise Failed(
                f"after {n} iterations from a random start it is at {found:.8g} nats, the "
                f"reference at {expected:.8g}",
                measured=off,
                allowed=allowed,
                iteration=n,
            )
        worst, done = max(worst, off), done + 1
        if time.perf_counter() - began > SLOW:
            break
    starts = "a random start" if done == 1 else f"{done} starts"
    return Passed(f"the same log-likelihood after {n} iterations from {starts}", worst, OPTIMUM)


OPTIMUM = 1e-6
"""Nats between two programs after 100 iterations from the same start: rounding that iterations have
amplified, at an optimum where it counts quadratically."""

SLOW = 2.0
"""Seconds after which one random start is enough."""

EQUIVARIANCE_ITERATIONS = 3


def _equivariant(
    bench: Bench, changed: Question, back: Callable[[Arrays], Arrays], what: str
) -> Passed:
    """Compare the answer to a changed problem, changed back, with the answer to the original."""
    problem = bench.general(43, 3, 60)
    if not bench.paced:
        raise NotChecked("it may stop after another number of iterations")
    plain = bench.iterate(problem, EQUIVARIANCE_ITERATIONS)
    found = back(bench.iterate(changed, EQUIVARIANCE_ITERATIONS))
    worst, where = bench.equal(found, plain, LOCKSTEP, what, EQUIVARIANCE_ITERATIONS)
    return Passed("the result changes along, and in nothing else", worst, LOCKSTEP, where)


def relabelled(bench: Bench) -> Passed:
    """Permute the components of the start: those of the result must be permuted alike."""
    problem = bench.general(43, 3, 60)
    order = np.roll(np.arange(problem.n_components), 1)
    changed = problem.begun(**bench.record(problem.start).relabelled(order).arrays())

    def back(found: Arrays) -> Arrays:
        return bench.record(found).relabelled(np.argsort(order)).arrays()  # type: ignore[no-any-return]

    return _equivariant(bench, changed, back, "components permuted")


def _rescaled(bench: Bench, arrays: Arrays, centre: Any, scale: Any) -> Arrays:
    """Return the parameters for data ``centre + scale * x`` from those for x."""
    spaces = bench.model.Parameters.SPACES
    return {name: spaces[name].rescaled(a, centre, scale) for name, a in arrays.items()}


def shifted(bench: Bench) -> Passed:
    """Move the data and the start: the locations must move along."""
    problem, by = bench.general(43, 3, 60), 64.0
    one = np.ones(problem.data.shape[1:])
    start = _rescaled(bench, problem.start, by, one)
    return _equivariant(
        bench,
        replace(problem, start=start, data=problem.data + by),
        lambda found: _rescaled(bench, found, -by, one),
        f"data moved by {by:g}",
    )


def scaled(bench: Bench, factors: tuple[float, ...] = (0.1, 10.0)) -> Passed:
    """Change the data's units: locations and variances must follow."""
    problem = bench.general(43, 3, 60)
    if bench.decimals:
        raise NotChecked("what is rounded has one unit in which it is right")
    if bench.restriction.shape == "spherical":
        raise NotChecked("coordinates that share a variance share their unit")
    if problem.data.ndim == 1:
        factors = (1e-4, 1e4)
    result = Passed("")
    for by in factors:
        # Of several coordinates each has a unit of its own.
        scale = by ** np.array([1, -1])[np.arange(problem.data[0].size) % 2]
        scale = scale.reshape(problem.data.shape[1:])
        changed = replace(
            problem, start=_rescaled(bench, problem.start, 0, scale), data=problem.data * scale
        )

        def back(found: Arrays, scale: Floats = scale) -> Arrays:
            return _rescaled(bench, found, 0, 1 / scale)

        result = _equivariant(bench, changed, back, f"data in units of {by:g}")
    return result


def rotated(bench: Bench) -> Passed:
    """Turn the first two coordinates: locations and covariances must turn along."""
    if bench.restriction.shape == "diagonal":
        raise NotChecked("what has no covariances between coordinates cannot be turned")
    problem = bench.general(43, 3, 60)
    c, s = np.cos(0.7), np.sin(0.7)
    R = np.eye(problem.data.shape[1])
    R[:2, :2] = [[c, -s], [s, c]]

    def turned(arrays: Arrays, R: Floats) -> Arrays:
        spaces = bench.model.Parameters.SPACES
        by_axes = {0: lambda a: a, 1: lambda a: a @ R.T, 2: lambda a: R @ a @ R.T}
        return {name: by_axes[spaces[name].axes.count("D")](a) for name, a in arrays.items()}

    changed = replace(problem, start=turned(problem.start, R), data=problem.data @ R.T)
    return _equivariant(bench, changed, lambda found: turned(found, R.T), "the plane turned by 0.7")


def shuffled(bench: Bench) -> Passed:
    """Change the order of the rows, or of the sequences: nothing must change."""
    problem = bench.general(43, 3, 60)
    if bench.sequences:
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
    if bench.sequences:
        if bench.candidate.one_sequence:
            raise NotChecked("it takes a single sequence")
        data: Any = problem.data + problem.data
    else:
        data = np.repeat(problem.data, 2, axis=0)
    changed = replace(problem, data=data)
    return _equivariant(bench, changed, lambda found: found, "everything twice")


def renamed(bench: Bench) -> Passed:
    """Permute the symbols: their probabilities must be permuted alike."""
    problem = bench.general(43, 3, 60)
    order = np.array([2, 3, 0, 1])
    names = np.argsort(order)

    def permuted(arrays: Arrays, order: Integers) -> Arrays:
        spaces = bench.model.Parameters.SPACES
        return {n: a[..., order] if spaces[n].axes[-1] == "V" else a for n, a in arrays.items()}

    changed = replace(
        problem,
        start=permuted(problem.start, order),
        data=tuple(names[s] for s in problem.data),
    )
    return _equivariant(bench, changed, lambda found: permuted(found, names), "symbols renamed")
