"""PyMC's model fitted by ADVI: the nearest independent normals on the unconstrained scale.

The approximation is mean-field: it ignores correlations, and its standard deviations are
therefore too small where parameters are correlated.
"""

from __future__ import annotations

from lockstep.comparisons.implementations import _advi, _pymc
from lockstep.comparisons.problem import Problem
from lockstep.models.fits import PosteriorFit

NAME = "pymc-advi"
PACKAGE = "pymc"
PLACE = 3
DEPENDS = _pymc.DEPENDS
TARGETS_REFERENCE = False
KIND = "posterior"
SUMMARY = "PyMC, mean-field variational approximation of the posterior"

TOO_NARROW = (
    "the mean-field family ignores correlations: where parameters are correlated, each one's sd is "
    "that given all the others, which is too small"
)
KNOWN_FAILINGS = {"sd against NUTS": TOO_NARROW, "Pareto k-hat": TOO_NARROW}

unsupported = _pymc.unsupported


def fit(problem: Problem) -> PosteriorFit:
    """Maximise the evidence lower bound over the mean-field family, and draw from the best."""
    return _advi.fit(problem, "mean field")
