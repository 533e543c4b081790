"""PyMC's model sampled by NUTS, stock: PyMC's own mixtures, an autodiff forward algorithm.

The posterior is that of pymc-nuts, and none of the arithmetic: the one checks the other. It takes
longer, so a quick report does without.
"""

from __future__ import annotations

from comparisons.implementations import _nuts, _pymc
from comparisons.problem import Problem
from models.fits import PosteriorFit

NAME = "pymc-stock"
PACKAGE = "pymc"
KIND = "posterior"
SUMMARY = "the same posterior with PyMC's own likelihoods and gradients"


def unsupported(problem: Problem) -> str | None:
    """Return why it cannot or should not do the problem, or None."""
    if problem.quick:
        return "it checks pymc-nuts, and a quick report does without"
    return _pymc.unsupported(problem)


def fit(problem: Problem) -> PosteriorFit:
    """Sample the posterior."""
    return _nuts.sample(problem, stock=True)
