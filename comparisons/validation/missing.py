"""Missing values: what a mixture makes of rows with gaps, for candidates that take NaN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from lockstep.comparisons.validation.bench import Bench, NotChecked, Passed
from lockstep.comparisons.validation.channel import TroubleError
from lockstep.comparisons.validation.problems import Arrays, Question
from lockstep.comparisons.validation.verdicts import Cause
from lockstep.comparisons.yardstick import LOCKSTEP


def gaps(bench: Bench) -> Passed:
    """Give a mixture data with gaps, and compare one iteration with 50 digits.

    The gaps are integrated out (Ghahramani and Jordan 1994). A candidate that refuses them, or
    returns NaN as well, does not take them. A row without any value says nothing of means and
    spreads; whether it counts in the weights changes the way to the optimum, not the optimum.
    """
    whole = bench.general(49, 2, 30)
    data = whole.data.copy()
    if data.ndim == 1:
        data[::5] = np.nan
    else:
        data[::4, 0] = data[1::4, 1] = np.nan
    problem = replace(whole, data=data)
    try:
        found = bench.raw(problem, 1).parameters
    except TroubleError as trouble:
        how = "refuses" if trouble.kind == "refused" else "does not take"
        raise NotChecked(f"it {how} missing values") from None
    bench.shaped(found, problem)
    found = {name: found[name] for name in bench.fields}
    if any(np.isnan(found[name]).any() for name in bench.fields):
        raise NotChecked("it makes NaN of missing values")
    right = bench.exact.iteration(problem.start, _with_none(data))
    seen = ~np.isnan(data).reshape(len(data), -1).any(axis=1)
    if data.ndim == 1:
        dropped = bench.reference(replace(problem, data=data[seen]))
        if bench.apart(found, dropped)[0] <= LOCKSTEP:
            return Passed("missing values are left out, which has the same optimum")

    if not bench.candidate.python and bench.apart(found, right)[0] > LOCKSTEP:
        raise NotChecked("it does not take missing values")  # null may be a zero, unasked

    def cause() -> Cause | None:
        for name, (mend, made) in SLIPS.items():
            if bench.apart(found, made(bench, problem))[0] <= LOCKSTEP:
                told = f"in data with {int(np.isnan(data).sum())} gaps your iteration is that"
                return Cause(name, told, mend, bench.read("Missing values"))
        return None

    allowed = LOCKSTEP
    worst, where = bench.equal(found, right, allowed, "the gaps integrated out", 1, cause)
    return Passed("one iteration with gaps is right", worst, allowed, where)


def _with_none(data: Any) -> Any:
    if data.ndim > 1:
        return [_with_none(row) for row in data]
    return [None if np.isnan(value) else float(value) for value in data]


def _dropped(bench: Bench, problem: Question) -> Arrays:
    seen = ~np.isnan(problem.data).reshape(problem.size, -1).any(axis=1)
    return bench.reference(replace(problem, data=problem.data[seen]))


def _filled(value: Callable[[Any], Any]) -> Callable[[Bench, Question], Arrays]:
    def made(bench: Bench, problem: Question) -> Arrays:
        data = np.where(np.isnan(problem.data), value(problem.data), problem.data)
        return bench.reference(replace(problem, data=data))

    return made


def _without_spread(bench: Bench, problem: Question) -> Arrays:
    """Return an iteration that expects the gaps, and forgets how uncertain they are."""
    start, x = problem.start, problem.data.reshape(problem.size, -1)
    r = bench.exact.expectation(start, _with_none(problem.data))[0]["responsibilities"]
    means = start["means"].reshape(len(r[0]), -1)
    second = "covariances" if "covariances" in start else "variances"
    spreads = start[second].reshape(len(means), x.shape[1], x.shape[1])
    found: dict[str, Any] = {"weights": r.mean(axis=0), "means": [], second: []}
    for k, (m, S) in enumerate(zip(means, spreads)):
        own = x.copy()
        for row in own:
            o, gap = ~np.isnan(row), np.isnan(row)
            row[gap] = m[gap] + S[np.ix_(gap, o)] @ np.linalg.solve(S[np.ix_(o, o)], (row - m)[o])
        mean = r[:, k] @ own / r[:, k].sum()
        found["means"].append(mean)
        found[second].append((own - mean).T * r[:, k] @ (own - mean) / r[:, k].sum())
    return {name: np.reshape(values, start[name].shape) for name, values in found.items()}


SLIPS: dict[str, tuple[str, Callable[[Bench, Question], Arrays]]] = {
    "rows with missing values dropped": (
        "use what a row has: its density over the coordinates that were observed",
        _dropped,
    ),
    "missing values replaced by the column's mean": (
        "expect each gap under each component, given what was observed of its row",
        _filled(lambda x: np.nanmean(x, axis=0)),
    ),
    "missing values replaced by zero": (
        "expect each gap under each component, given what was observed of its row",
        _filled(np.zeros_like),
    ),
    "the conditional covariance of the gaps left out": (
        "add what is left of the gaps' covariance, given what was observed, to the covariances",
        _without_spread,
    ),
}
"""Mistakes with missing values: how to mend them, and what they make of one iteration."""
