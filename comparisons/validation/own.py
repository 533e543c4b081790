"""Fits from a start of their own: each iteration from the one before, and where they end.

A candidate that chooses its own start but takes a number of iterations shows all that EM does: its
parameters after n + 1 iterations must be ours after one from its parameters after n. Of one that
only ends, the end is all there is: the likelihood must be stationary there. Where it is not, a
deviation has left its trace: the iteration that deviates in this way, and no other, stays there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np

from lockstep.comparisons.validation import causes, manners
from lockstep.comparisons.validation.bench import Bench, Failed, NotChecked, Passed, in_space
from lockstep.comparisons.validation.mistakes import Observed, distances
from lockstep.comparisons.validation.problems import Arrays, Question
from lockstep.comparisons.validation.restricted import Restriction, restrictions
from lockstep.comparisons.validation.verdicts import Deviation
from lockstep.comparisons.yardstick import LOCKSTEP, NEAR_OPTIMUM

STEPS = 5
"""Iterations of a fit that are looked at one by one."""

DATA_SETS = ((71, 120), (72, 90), (73, 60), (74, 150))
"""Seeds and sizes: a divisor of N_k - 1 shows in small ones, another optimum in large ones."""

STATIONARY = 1e-7
"""A fit that moves by no more, in the natural units of its parameters, has converged."""

STILL = 1e-4
"""Nats that one more iteration of a fit may gain without a word."""

SHARE = 0.01
"""Of what a right iteration moves a fit by: one that moves it by less keeps it where it is."""


def _fits(bench: Bench, problem: Question, iterations: int | None = None) -> Arrays:
    result = bench.candidate.counted(problem.data, problem.dims, 0, iterations)
    if result is None:
        raise NotChecked("no number of iterations can be given")
    found = bench.accepted(result.parameters, problem)
    in_space(bench.model, found, iterations)
    return found


def own_steps(bench: Bench) -> Passed:
    """Ask for 1, 2, ... iterations: each must be EM's from the one before."""
    observed: list[tuple[Question, list[Arrays]]] = []
    for seed in (71, 72):
        problem = bench.general(seed, 2, 60)
        path = [_fits(bench, problem, n) for n in range(1, STEPS + 1)]
        if _same(path[0], path[1]):
            raise NotChecked("the number of iterations given has no effect")
        if not _same(path[0], _fits(bench, problem, 1)):
            raise NotChecked("it begins elsewhere each time")
        observed.append((problem, path))
    seen = [
        Observed(a, problem.data, [b, c])
        for problem, path in observed
        for a, b, c in zip(path, path[1:], path[2:])
        if not _same(a, b)
    ]
    worst, where = _apart(bench, observed, Restriction())
    if worst > LOCKSTEP and not bench.strict:
        for restriction in restrictions(bench.candidate.model):
            if _apart(bench, observed, restriction)[0] <= LOCKSTEP:
                bench.restriction = restriction
                manners.say_restricted(bench)
                worst, where = _apart(bench, observed, restriction)
                break
    if worst > LOCKSTEP:
        told = causes.diagnose(bench, seen)
        raise Failed(
            f"after each iteration of its own fits the next is wrong, by {worst:.3g} in {where}",
            measured=worst,
            allowed=LOCKSTEP,
            where=where,
            cause=told[0] if told else None,
        )
    return Passed(f"{STEPS} iterations, each from the one before", worst, LOCKSTEP, where)


def _same(a: Arrays, b: Arrays) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


def _apart(
    bench: Bench, observed: Sequence[tuple[Question, list[Arrays]]], restriction: Restriction
) -> tuple[float, str]:
    """Return how far iterations are from EM's under a restriction, each from the one before."""
    worst = (0.0, "")
    for problem, path in observed:
        for before, after in pairwise(path):
            if not _same(before, after):
                expected = restriction.maximum(bench.once(before, problem), before)
                worst = max(worst, bench.apart(after, expected)[:2])
    return worst


def own_optimum(bench: Bench) -> Passed:
    """Judge where it ends: at a stationary point, the best one known or another."""
    ends: list[tuple[Question, Arrays]] = []
    for seed, size in DATA_SETS:
        problem = bench.general(seed, 2, size // 2 if bench.sequences else size)
        ends.append((replace(problem, start=_fits(bench, problem)), problem.start))
    moves = [_moved(bench, problem, bench.restriction) for problem, _ in ends]
    if min(moves) > STATIONARY and not bench.strict and not bench.restriction:
        for restriction in restrictions(bench.candidate.model):
            if restriction.kept:  # it stays wherever it is, whatever was done to it
                continue
            stays = [_moved(bench, problem, restriction) for problem, _ in ends]
            if all(s <= SHARE * m for s, m in zip(stays, moves)):
                bench.restriction, moves = restriction, stays
                bench.paths.clear()
                manners.say_restricted(bench)
                break
    if min(moves) > STATIONARY:
        _trace(bench, [problem for problem, _ in ends], moves)
    gains = [_gain(bench, problem) for problem, _ in ends]
    if not max(gains) <= NEAR_OPTIMUM:
        place = int(np.argmax(gains))
        raise Failed(
            f"it stops at {bench.score(ends[place][0].start, ends[place][0]):.8g} nats, where one "
            f"more iteration would gain {gains[place]:.3g}",
            measured=float(gains[place]),
            allowed=NEAR_OPTIMUM,
        )
    if max(gains) > STILL:
        bench.deviations.append(
            Deviation(
                "ends before it stands still",
                f"one more iteration would move it by {max(moves):.2g} and gain {max(gains):.2g} "
                "nats: a tolerance of its own",
            )
        )
    return _compared_with_the_best(bench, [problem for problem, _ in ends])


def _moved(bench: Bench, problem: Question, restriction: Restriction) -> float:
    """Return how far one iteration moves a fit, relative to the largest entry of each field."""
    after = restriction.maximum(bench.once(problem.start, problem), problem.start)
    return max(distances(problem.start, after).values())


def _gain(bench: Bench, problem: Question) -> float:
    before = bench.score(problem.start, problem)
    return bench.score(bench.reference(problem), problem) - before


def _trace(bench: Bench, ends: Sequence[Question], moves: Sequence[float]) -> None:
    """Raise Failed if an iteration with a known mistake stays where the right one does not."""
    seen = [Observed(p.start, p.data, [p.start], SHARE * m) for p, m in zip(ends, moves)]
    # One of them may have had too few iterations.
    groups = [seen, *(list(few) for few in combinations(seen, len(seen) - 1))]
    if named := next(filter(None, (causes.named(bench, group) for group in groups)), []):
        slope = max(_slope(bench, problem) for problem in ends)
        raise Failed(
            f"where it ends the likelihood is not stationary: a slope of {slope:.2g} per "
            f"observation is left, and one right iteration moves it by {max(moves):.2g}",
            measured=slope,
            allowed=LOCKSTEP,
            cause=named[0],
        )


def _slope(bench: Bench, problem: Question) -> float:
    """Return the largest derivative of the log-likelihood there, by Fisher's identity."""
    parameters = bench.record(problem.start)
    statistics, _ = bench.model.e_step(parameters, bench.checked(problem))
    slopes = parameters.by_free(bench.model.score(statistics, parameters))
    return float(np.abs(slopes).max() / problem.size)


def _compared_with_the_best(bench: Bench, ends: Sequence[Question]) -> Passed:
    if bench.restriction:
        return Passed(f"{len(ends)} fits end where EM of the restricted model stays")
    few = ends[:2]
    gaps = [_best(bench, problem) - bench.score(problem.start, problem) for problem in few]
    reached = sum(gap <= NEAR_OPTIMUM for gap in gaps)
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


def _best(bench: Bench, problem: Question) -> float:
    from lockstep.models import em

    rng = np.random.default_rng(0)
    fit = em.fit_best(
        bench.model,
        bench.checked(problem),
        problem.dims,
        n_starts=5,
        rng=rng,
        max_iter=1000,
        tol=1e-7,
    )
    return em.final_log_likelihood(fit)
