"""Hard cases: where right equations fail in the arithmetic, and the ends of what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lockstep.comparisons.validation import problems
from lockstep.comparisons.validation.bench import Bench, Failed, NotChecked, Passed, first_line
from lockstep.comparisons.validation.channel import TroubleError
from lockstep.comparisons.validation.problems import Arrays, Question
from lockstep.comparisons.validation.verdicts import Cause, Deviation
from lockstep.comparisons.yardstick import LOCKSTEP

LONG = 1e-7
"""One iteration over 100,000 steps: logarithms near -1e5 are rounded by 1e-11, and a forward pass
on logarithms adds up to 1e-9 of that (hmmlearn's does); a slip shows at 1e-3 or more."""

FAR = 1e-5
"""Data at 1e8 with a standard deviation of 1 are rounded by 1.5e-8 whenever they are multiplied;
squares, of 1e16, by 1: an iteration that subtracts squares is off by 1 or more."""

EPSILON = 1e-9
"""Largest amount that, added to each total N_k, is a guard against division by zero."""


def _against_exact(
    bench: Bench,
    problem: Question,
    allowed: float,
    cause: Callable[[Arrays | None], Cause | None] = lambda _: None,
) -> Passed:
    """Compare one iteration with 50 digits, or with all paths."""
    expected = bench.exactly(problem)
    found = _iterated(bench, problem, lambda: cause(None))
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
        return Passed("right, but for a deviation, below")
    worst, where = bench.equal(found, expected, allowed, "50 digits", 1, lambda: cause(found))
    return Passed("one iteration is right", worst, allowed, where)


def _iterated(bench: Bench, problem: Question, cause: Callable[[], Cause | None]) -> Arrays:
    """Return one iteration; where there is none, or no numbers, the cause is known."""
    try:
        return bench.iterate(problem)
    except Failed as failed:
        failed.cause = failed.cause or cause()
        raise
    except TroubleError as trouble:
        if trouble.kind != "refused":
            raise
        raise Failed(trouble.message, cause=cause(), detail=trouble.detail) from None


def _with_epsilon(
    bench: Bench, problem: Question, found: Arrays, expected: Arrays
) -> tuple[Arrays, float] | None:
    """Return one iteration with a small number added to each N_k, and the number, if there is one.

    It is read off the mean of the emptiest component, which it divides.
    """
    if not {"weights", "means"} <= set(expected):
        return None
    k = int(expected["weights"].argmin())
    mine, right = np.ravel(found["means"][k]), np.ravel(expected["means"][k])
    i = int(np.abs(right).argmax())
    epsilon = float(expected["weights"][k] * problem.size * (right[i] / mine[i] - 1))
    if not 0 < epsilon <= EPSILON:
        return None
    r = bench.exact.expectation(problem.start, problem.data)[0]["responsibilities"]
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
        densities = bench.model.log_densities(bench.record(problem.start), problem.data)
        top = densities.min() / np.log(10)
        mend = "work with logarithms: scipy.special.logsumexp over the components"
        evidence = (
            f"at one point the largest density is 10^{top:.0f}, and the smallest double 10^-308: "
            "all of them are zero there, and 0/0 is not a number"
        )
        if found is None:
            return _underflow(bench, evidence, mend)
        rest = replace(problem, data=np.delete(problem.data, 4, axis=0))
        without = bench.exact.iteration(rest.start, rest.data)
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


def units(bench: Bench) -> Passed:
    """Give coordinates in units so unlike that a covariance has a condition of 1e16."""
    from lockstep.comparisons.validation import iterations

    def cause() -> Cause:
        return Cause(
            "covariances of unlike units refused",
            "in like units your iteration is right; with one coordinate in units of 1e-4 and "
            "another in 1e4 covariances have a condition of 1e16, which the density takes for "
            "singular (scipy.stats.multivariate_normal does, with allow_singular as well)",
            "standardise the columns first, or take the density from a Cholesky factor",
            bench.read("E-step"),
        )

    try:
        return iterations.scaled(bench, (1e-4, 1e4))
    except Failed as failed:
        failed.cause = failed.cause or cause()
        raise
    except TroubleError as trouble:
        if trouble.kind != "refused":
            raise
        raise Failed(trouble.message, cause=cause(), detail=trouble.detail) from None


def nearly_empty(bench: Bench) -> Passed:
    """Begin with a component that has hardly any weight."""
    return _against_exact(bench, problems.nearly_empty(bench.candidate.model), LOCKSTEP)


def repeated_points(bench: Bench) -> Passed:
    """Give points that occur several times."""
    return _against_exact(bench, problems.repeated_points(bench.candidate.model), LOCKSTEP)


def one_component(bench: Bench) -> Passed:
    """Fit a single component, or a single state."""
    problem = problems.one_component(bench.candidate.model)
    if bench.sequences and bench.candidate.one_sequence:
        problem = replace(problem, data=(np.concatenate(problem.data),))
    return _against_exact(bench, problem, LOCKSTEP)


def one_each(bench: Bench) -> Passed:
    """Fit as many components as there are points."""
    return _against_exact(bench, problems.one_each(bench.candidate.model), LOCKSTEP)


def unseen(bench: Bench) -> Passed:
    """Leave one symbol out of the data: its probability falls to zero, and stays there."""
    problem = problems.unseen_symbol(bench.candidate.model)
    result = _against_exact(bench, problem, LOCKSTEP)
    found, expected = bench.iterate(problem, 3), bench.reference(problem, 3)
    worst, where = bench.equal(found, expected, LOCKSTEP, "iteration 3", 3)
    return replace(result, message="three iterations are right", measured=worst, where=where)


def one_observation(bench: Bench) -> Passed:
    """Give a single observation: an answer or a refusal, but no NaN."""
    if not bench.paced:
        raise NotChecked("its number of iterations cannot be set")
    problem = problems.one_observation(bench.candidate.model)
    try:
        found = bench.iterate(problem)
    except TroubleError as trouble:
        if trouble.kind != "refused":
            raise
        return Passed(f"it refuses: {first_line(trouble.message)}")
    expected = bench.exactly(problem)
    if bench.sequences:
        _open_rows(bench, problem, found, expected)
        bench.equal(found, expected, LOCKSTEP, "all paths enumerated", 1)
        return Passed("one iteration is right")
    second = next((name for name in ("variances", "covariances") if name in found), None)
    if "means" not in found or second is None:
        bench.equal(found, expected, LOCKSTEP, "50 digits", 1)
        return Passed("one iteration is right")
    scale = np.sqrt(np.abs(problem.start[second]).max())
    off = float(np.abs(found["means"] - expected["means"]).max() / scale)
    if off > LOCKSTEP + 10 * bench.coarse:
        raise Failed(f"the mean is {off:.3g} standard deviations from the only point", measured=off)
    return Passed("the mean is the point")


def _open_rows(bench: Bench, problem: Question, found: Arrays, expected: Arrays) -> None:
    """Take transitions that no sequence has: any row will do, and zeros are noted."""
    _ = problem
    if "transmat" not in found:
        return
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
    result = _against_exact(bench, problems.length_one(bench.candidate.model, only=False), LOCKSTEP)
    alone = problems.length_one(bench.candidate.model, only=True)
    try:
        found = bench.iterate(alone)
    except TroubleError as trouble:
        if trouble.kind != "refused":
            raise
        return replace(
            result, message=f"right among others; alone refused: {first_line(trouble.message)}"
        )
    expected = bench.exactly(alone)
    _open_rows(bench, alone, found, expected)
    bench.equal(found, expected, LOCKSTEP, "all paths enumerated", 1)
    return result


def _long(bench: Bench, length: int) -> Passed:
    problem = problems.long_sequence(bench.candidate.model, length)
    from lockstep.models import em

    if not bench.paced:
        raise NotChecked("its number of iterations cannot be set")
    model, start = bench.model, bench.restriction.begun(problem.start)
    reference = em.fit(model, bench.record(start), problem.data, max_iter=1, tol=-1)
    expected = bench.restriction.maximum(reference.parameters.arrays(), start)
    assert reference.trace is not None
    digits = reference.trace[0] / np.log(10)

    def cause() -> Cause:
        return _underflow(
            bench,
            f"short sequences are right; the probability of these {length:,} symbols is "
            f"10^{digits:.0f}, and the smallest double 10^-308",
            "scale the forward pass at each step (Rabiner 1989, section V.A), or use logarithms",
        )

    found = _iterated(bench, problem, cause)
    worst, where = bench.equal(found, expected, LONG, "scaled forward and backward", 1, cause)
    return Passed("one iteration is right", worst, LONG, where)


def long_sequence(bench: Bench) -> Passed:
    """Give a sequence of 2,000 steps."""
    return _long(bench, 2_000)


def very_long(bench: Bench) -> Passed:
    """Give a sequence of 100,000 steps."""
    return _long(bench, 100_000)
