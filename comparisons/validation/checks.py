"""The checks, from cheap to deep. Each asks the candidate something whose answer is known.

A check returns what it measured, or raises `Failed` or `NotChecked`; whatever the candidate does
wrong besides (no answer, a crash, rubbish) is the check's failure too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lockstep import models
from lockstep.comparisons.implementations import estimators
from lockstep.comparisons.problem import Mode, Problem
from lockstep.comparisons.validation import hard, iterations, methods, missing, own
from lockstep.comparisons.validation.bench import (
    Bench,
    Failed,
    NotChecked,
    Passed,
    first_line,
)
from lockstep.comparisons.validation.candidate import Candidate
from lockstep.comparisons.validation.channel import TroubleError
from lockstep.comparisons.validation.verdicts import Checked, Deviation, Ended
from lockstep.models import Model
from lockstep.models.spaces import PositiveDefinite, Real


def habits(bench: Bench) -> Passed:
    """Measure what surprises people who compare numbers."""
    if not (bench.candidate.estimator and bench.candidate.from_start):
        raise NotChecked("it is no estimator that begins where it is told")
    problem = bench.general(43, 2, 80)
    habits = bench.candidate.habits(problem, bench.limit)
    bench.deviations += [Deviation(name, evidence) for name, evidence in habits]
    number = len(habits)
    return Passed(f"{number} found, listed below" if number else "none found")


TIMED, TIMED_ITERATIONS = 2_000, 5


def timing(bench: Bench) -> Passed:
    """Time five iterations on 2,000 observations, beside the reference and the library."""
    from lockstep.models import em

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
    compiled = models.part(bench.model, "compiled") is not None
    row("our kernels" if compiled else "our EM (there is no compiled twin)", ours)
    said = f"{1e9 * seconds / work:,.0f} ns an observation and iteration"
    task = Problem(bench.candidate.model, problem.data, problem.dims, Mode.AS_CONFIGURED, seed=0)
    others = estimators(task)
    for name, target in others.items():
        if bench.candidate.name == target:
            continue
        peer = Candidate.of(target, bench.candidate.model, bench.limit)
        with peer.channel:
            try:
                peer.describe()
                peer.iterate(problem, 1)
                row(name, peer.iterate(problem, TIMED_ITERATIONS).seconds or np.nan)
            except (TroubleError, Exception) as error:  # noqa: BLE001 - it is not on trial
                return Passed(f"{name} could not be timed: {first_line(str(error))}")
    return Passed(said if others else f"{said}; there is no library's estimator beside it")


# --- the list ---------------------------------------------------------------------------------

ASIDE = frozenset({"habits", "timing"})
"""Checks of which the verdict does not depend."""

type Capability = Callable[[Model], bool]


def any_model(model: Model) -> bool:  # noqa: ARG001
    """Return True."""
    return True


def sequences(model: Model) -> bool:
    """Return whether the data are sequences of symbols."""
    return model.shows.SEQUENCES


def rows(model: Model) -> bool:
    """Return whether the data are rows of numbers."""
    return not model.shows.SEQUENCES


def mixing(model: Model) -> bool:
    """Return whether a row comes from a component that is drawn by the ``weights``."""
    return rows(model) and "weights" in model.Parameters.SPACES


def located(model: Model) -> bool:
    """Return whether parameters have the data's unit: data may be moved, and take another."""
    spaces = model.Parameters.SPACES.values()
    return rows(model) and any(isinstance(space, Real) and space.unit for space in spaces)


def plane(model: Model) -> bool:
    """Return whether the data have several coordinates, which may be turned."""
    spaces = model.Parameters.SPACES.values()
    return located(model) and any(isinstance(space, PositiveDefinite) for space in spaces)


@dataclass(frozen=True)
class Check:
    """A check of the list.

    Attributes
    ----------
    name, title : str
    run : callable
    fits : callable
        Whether a model has what the check is about.
    stage : {"interface", "core", "deep"}
        Deep ones are left out while a core one fails, all while the interface does.
    hard : bool
        Whether it is a hard case.
    start : bool or None
        Whether it needs a candidate that begins where it is told (True), from a start of its own
        (False), or either (None).
    section : str
        Of the model's page, where it is explained.
    method : bool
        Whether it is of an estimator's method, and not to be made where there is none.
    """

    name: str
    title: str
    run: Callable[[Bench], Passed]
    fits: Capability = any_model
    stage: str = "core"
    hard: bool = False
    start: bool | None = True
    section: str = ""
    method: bool = False


def _deep(name: str, title: str, run: Any, fits: Capability = any_model) -> Check:
    return Check(name, title, run, fits, "deep")


def _hard(name: str, title: str, run: Any, fits: Capability = any_model) -> Check:
    return Check(name, title, run, fits, "deep", hard=True)


CHECKS = (
    Check(
        "interface", "Names, shapes, numbers", iterations.interface, stage="interface", start=None
    ),
    Check("untouched", "Input untouched, answer repeatable", iterations.untouched),
    Check("valid", "Parameters valid after every step", iterations.valid, section="M-step"),
    Check("e-step", "E-step alone", iterations.e_step, section="E-step"),
    Check(
        "first-step", "First iteration, to the last digit", iterations.first_step, section="E-step"
    ),
    Check(
        "log-likelihood",
        "Log-likelihood it reports",
        iterations.log_likelihood,
        section="The model",
    ),
    Check("m-step", "M-step stationary", iterations.m_step, section="M-step"),
    Check("lockstep", "Ten iterations in lock step", iterations.lockstep, section="M-step"),
    Check("monotone", "Log-likelihood never falls", iterations.monotone, section="M-step"),
    _deep("optimum", "Same optimum from random starts", iterations.optimum),
    _deep("relabelled", "Components permuted", iterations.relabelled),
    _deep("shifted", "Data moved", iterations.shifted, located),
    _deep("scaled", "Data in other units", iterations.scaled, located),
    _deep("rotated", "Plane turned", iterations.rotated, plane),
    _deep("shuffled", "Data in another order", iterations.shuffled),
    _deep("repeated", "Everything twice", iterations.repeated),
    _deep("renamed", "Symbols renamed", iterations.renamed, sequences),
    _hard("far-away", "A point far from everything", hard.far_away, located),
    _hard("offset", "Data at 100,000,000", hard.offset, located),
    _hard("units", "Units 100,000,000 apart", hard.units, plane),
    _hard("nearly-empty", "A component with almost no weight", hard.nearly_empty, mixing),
    _hard("repeated-points", "Duplicated points", hard.repeated_points, rows),
    _hard("one-each", "K = N", hard.one_each, rows),
    _hard("one-component", "K = 1", hard.one_component),
    _hard("one-observation", "A single observation", hard.one_observation),
    _hard("unseen", "A symbol never seen", hard.unseen, sequences),
    _hard("length-one", "Sequences of length 1", hard.length_one, sequences),
    _hard("long", "A sequence of 2,000 steps", hard.long_sequence, sequences),
    _hard("very-long", "A sequence of 100,000 steps", hard.very_long, sequences),
    _hard("missing", "Missing values", missing.gaps, located),
    Check("own-steps", "Iterations of its own fits", own.own_steps, start=False, section="M-step"),
    Check("own-fit", "Where its own fits end", own.own_optimum, stage="deep", start=False),
    *(
        Check(
            name,
            {**methods.TITLES, **methods.SETTINGS}[name],
            run,
            stage="deep",
            method=True,
            hard=name == "long-score",
        )
        for name, run in methods.CHECKED.items()
    ),
    _deep("habits", "Habits of an estimator", habits),
    _deep("timing", "Time", timing),
)


def checks(model: str) -> list[Check]:
    """Return the checks of a model, from cheap to deep."""
    return [check for check in CHECKS if check.fits(models.load(model))]


def carry_out(check: Check, bench: Bench) -> Checked:
    """Carry out one check; whatever the candidate does, there is an outcome."""
    began = time.perf_counter()
    # Section titles are those of the model's page.
    read = bench.read(check.section) if check.section else ""
    facts: dict[str, Any] = {}
    detail, unheard, is_hard = "", False, check.hard
    try:
        if check.start is True and not bench.candidate.from_start:
            raise NotChecked("it cannot be told where to begin")
        if check.start is False and bench.candidate.from_start:
            raise NotChecked("it begins where it is told, which says more")
        if check.method and check.name not in bench.candidate.methods:
            raise NotChecked("it is no estimator that has this")
        passed = check.run(bench)
        status, message = Ended.PASSED, passed.message
        facts = {"measured": passed.measured, "allowed": passed.allowed, "where": passed.where}
    except NotChecked as reason:
        status, message, read = Ended.NOT_CHECKED, str(reason), ""
    except Failed as failed:
        status, message, facts = Ended.FAILED, failed.message, failed.facts
        detail, unheard = failed.detail, failed.unheard
        if failed.cause is not None and failed.cause.name not in (c.name for c in bench.causes):
            bench.causes.append(failed.cause)
    except (ArithmeticError, ValueError) as error:
        # A singular covariance, say, where no check before looked for one.
        status, message = Ended.FAILED, f"its parameters cannot be judged: {error}"
        if check.name in ASIDE:
            status = Ended.NOT_CHECKED
    except TroubleError as trouble:
        words = {"hung": "it hangs: ", "crashed": "it crashes: ", "refused": ""}
        status, message = Ended.FAILED, words.get(trouble.kind, "it ") + trouble.message
        detail = trouble.detail
        if check.name in ASIDE:
            status, message = Ended.NOT_CHECKED, f"it cannot be measured: {message}"
        unheard = check.stage == "interface" and trouble.kind == "refused"
        # What was right in time on less is slow, not wrong.
        is_hard = check.hard or (check.stage == "deep" and trouble.kind == "hung")
    return Checked(
        name=check.name,
        title=check.title,
        status=status,
        message=message,
        detail=detail,
        read=read,
        hard=is_hard,
        unheard=unheard,
        seconds=time.perf_counter() - began,
        **facts,
    )
