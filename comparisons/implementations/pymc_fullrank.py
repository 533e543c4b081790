"""PyMC's model fitted by full-rank ADVI: the nearest correlated normal on the unconstrained scale.

It follows correlations that the mean-field family cannot; what is left is that a posterior need
not be normal in these coordinates.
"""

from __future__ import annotations

from lockstep.comparisons.implementations import _advi, _pymc
from lockstep.comparisons.problem import Problem
from lockstep.models.fits import PosteriorFit

NAME = "pymc-fullrank"
PACKAGE = "pymc"
PLACE = 4
DEPENDS = _pymc.DEPENDS
TARGETS_REFERENCE = False
KIND = "posterior"
SUMMARY = "PyMC, full-rank variational approximation of the posterior"

NOT_NORMAL = "one normal distribution cannot follow a posterior that is skewed or has several modes"
KNOWN_FAILINGS = {"sd against NUTS": NOT_NORMAL, "Pareto k-hat": NOT_NORMAL}

unsupported = _pymc.unsupported


def fit(problem: Problem) -> PosteriorFit:
    """Maximise the evidence lower bound over the full-rank family, and draw from the best."""
    return _advi.fit(problem, "full rank")
