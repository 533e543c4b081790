"""PyMC's model sampled by NUTS, stock: PyMC's own mixtures, an autodiff forward algorithm.

The posterior is that of pymc-nuts, and none of the arithmetic: the one checks the other. It takes
longer, so a quick report does without.
"""

from __future__ import annotations

from lockstep import models
from lockstep.comparisons.implementations import _nuts, _pymc
from lockstep.comparisons.problem import Problem
from lockstep.models import records
from lockstep.models.fits import PosteriorFit

NAME = "pymc-stock"
PACKAGE = "pymc"
PLACE = 6
DEPENDS = (*_pymc.DEPENDS, "nutpie")
TARGETS_REFERENCE = True
KIND = "posterior"
SUMMARY = "the same posterior with PyMC's own likelihoods and gradients"


MOST = 20_000
"""Observations. A hundred thousand gradients of the 1D mixture then take some minutes; they grow
with the number of observations."""


def unsupported(problem: Problem) -> str | None:
    """Return why it cannot or should not do the problem, or None."""
    if problem.quick:
        return "it checks pymc-nuts, and a quick report does without"
    if (size := records.size(problem.data)) > MOST:
        return (
            f"{size:,} observations would take it long; pymc-nuts has the same posterior, and "
            f"this checks it for up to {MOST:,}"
        )
    reason = _pymc.unsupported(problem)
    if reason is None and not models.has(models.load(problem.model), "stock"):
        return "its log-likelihood is not written in PyMC's own terms"
    return reason


def fit(problem: Problem) -> PosteriorFit:
    """Sample the posterior."""
    return _nuts.sample(problem, stock=True)
