"""The hand-written EM of `models`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lockstep.comparisons.problem import Problem
    from lockstep.models.fits import PointFit

NAME = "em"
PACKAGE = "lockstep-em"
PLACE = 0
DEPENDS = ("numpy", "scipy", "numba")
REFERENCE = True
KIND: Literal["point"] = "point"
SUMMARY = "the EM of this project, every step by hand"
N_STARTS, FEW_STARTS = 10, 2
MANY_PARAMETERS = 1000
"""Beyond, there are few starts and no path is kept: on the flat likelihoods of such models a fit
takes thousands of iterations."""

MOST_STEPS = 200_000_000
"""Parameters times iterations of a start: a model of more than 20,000 parameters has fewer than
`em.MAX_ITER` iterations, and its message says so if they did not suffice."""


def unsupported(problem: Problem) -> str | None:  # noqa: ARG001
    """Return None: it does every model."""
    return None


def fit(problem: Problem) -> PointFit:
    """Run EM from the given start, or from several random ones and keep the best."""
    import numpy as np

    from lockstep import models
    from lockstep.comparisons.problem import Mode
    from lockstep.models import em

    model = models.load(problem.model)
    if problem.mode is Mode.MATCHED:
        start, n_iter = problem.matched()
        return em.fit(model, start, problem.data, max_iter=n_iter, tol=-1)
    rng = np.random.default_rng(problem.seed)
    start = model.start(problem.data, problem.dims, np.random.default_rng(0))
    few = start.n_free <= MANY_PARAMETERS
    return em.fit_best(
        model,
        problem.data,
        problem.dims,
        n_starts=N_STARTS if few else FEW_STARTS,
        rng=rng,
        keep_path=few,
        max_iter=max(1, min(em.MAX_ITER, MOST_STEPS // max(1, start.n_free))),
    )
