"""A candidate as one more implementation of a report, for one run."""

from __future__ import annotations

import atexit
import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lockstep.comparisons.legible import legible

if TYPE_CHECKING:
    from lockstep.comparisons.problem import Problem
    from lockstep.comparisons.validation.candidate import Candidate
    from lockstep.models.fits import PointFit


STEPWISE = frozenset({"step function", "E-step and M-step"})
"""Kinds of candidates that are called once for each iteration."""


_held: dict[tuple[str, str, bool], Candidate] = {}
"""The candidates of this process, which is one for each implementation of a report."""


class Guest:
    """A target with the names of an implementation.

    Parameters
    ----------
    target, model, command, limit
        As for `lockstep.comparisons.validation.trial`.
    from_start : bool, optional
        Whether it begins where it is told; else from a start of its own.
    estimator : bool, optional
        Whether it is an estimator, which has a configuration of its own as well.
    """

    KIND: Literal["point", "posterior"] = "point"
    __file__: str | None = None

    def __init__(
        self,
        target: str,
        model: str,
        *,
        command: bool,
        limit: float,
        from_start: bool = True,
        estimator: bool = False,
    ) -> None:
        self.target, self.model, self.command, self.limit = target, model, command, limit
        self.from_start, self.estimator = from_start, estimator
        words = target.split() if command else [target]
        self.NAME = legible(" ".join(Path(word).name for word in words))
        if not command and ":" in target and not {".py", ".ipynb"} & {Path(self._place()).suffix}:
            self.NAME = legible(target.rpartition(":")[2])
        self.PACKAGE = target.split()[0] if command else target.split(":")[0].split(".")[0]
        self.SUMMARY = legible(f"the candidate {target}")

    def _place(self) -> str:
        """Return the module or the file of the target."""
        return self.target.rpartition(":")[0]

    def unsupported(self, problem: Problem) -> str | None:
        """Return why it cannot do this problem, or None if it can."""
        from lockstep.comparisons.problem import Mode

        if problem.model != self.model:
            return f"it was given as a {self.model.replace('_', '-')}"
        if problem.mode is Mode.MATCHED and not self.from_start:
            return "it cannot be told where to begin"
        if holes := problem.holes():
            return f"it is asked for complete data only: {holes}"
        if problem.mode is Mode.AS_CONFIGURED and self.from_start and not self.estimator:
            return "it begins where it is told, and has no configuration of its own"
        return None

    def fit(self, problem: Problem) -> PointFit:
        """Ask for each iteration of a matched problem, or for a fit of its own."""
        key = (self.target, self.model, self.command)
        if key not in _held:  # its process serves all fits of this one
            _held[key] = self.candidate()
            _held[key].describe()
            atexit.register(_held[key].channel.close)
        return _fit(_held[key], problem)

    def candidate(self) -> Candidate:
        """Return the candidate; it must be closed."""
        from lockstep.comparisons.validation.candidate import Candidate

        make = Candidate.of_command if self.command else Candidate.of
        return make(self.target, self.model, self.limit)


def invited(target: str, model: str, *, command: bool, limit: float) -> Guest:
    """Return a guest, once it is known that it can be loaded.

    Raises
    ------
    UnusableError, StartError
        As `lockstep.comparisons.validation.trial`.
    """
    guest = Guest(target, model, command=command, limit=limit)
    with guest.candidate() as candidate:
        candidate.describe()
        guest.from_start, guest.estimator = candidate.from_start, candidate.estimator
    return guest


def _fit(candidate: Candidate, problem: Problem) -> PointFit:
    import numpy as np

    from lockstep import models
    from lockstep.comparisons.problem import Mode
    from lockstep.comparisons.validation.bench import Bench, in_space
    from lockstep.comparisons.validation.problems import Question
    from lockstep.models.fits import PointFit, Status, stack

    model = models.load(problem.model)
    bench = Bench(candidate, limit=math.inf)  # each answer has its limit; slow ones are waited for
    if problem.mode is Mode.MATCHED:
        start, n_iter = problem.matched()
        question = Question(problem.data, start.arrays())
        path = [start]
        # An iteration knows nothing of those before: the next may begin where this one ended.
        stepwise = candidate.kind in STEPWISE
        for n in range(1, n_iter + 1):
            if stepwise:
                found = bench.iterate(Question(problem.data, path[-1].arrays()))
            else:
                found = bench.iterate(question, n)
            in_space(model, found, n)
            path.append(model.Parameters(**found))
        return PointFit(
            parameters=path[-1],
            status=Status.ITERATION_LIMIT,
            message=f"{n_iter} iterations, as asked",
            iterations=n_iter,
            path=stack(path),
        )
    start = model.start(problem.data, problem.dims, np.random.default_rng(problem.seed))
    result = candidate.configured(problem.data, problem.dims, problem.seed)
    found = bench.accepted(result.parameters, Question(problem.data, start.arrays()))
    in_space(model, found, None)
    return PointFit(
        parameters=model.Parameters(**found),
        status=Status.CONVERGED,
        message="it returned, and says no more",
        iterations=0,
    )
