"""PyMC's model sampled by NUTS, its gradient the hand-written E-step by Fisher's identity."""

from __future__ import annotations

from lockstep.comparisons.implementations import _nuts, _pymc
from lockstep.comparisons.problem import Problem
from lockstep.models.fits import PosteriorFit

NAME = "pymc-nuts"
PACKAGE = "pymc"
PLACE = 5
DEPENDS = (*_pymc.DEPENDS, "nutpie")
REFERENCE = TARGETS_REFERENCE = True
KIND = "posterior"
SUMMARY = "PyMC, draws by the No-U-Turn sampler; its gradient is our E-step"

unsupported = _pymc.unsupported


def fit(problem: Problem) -> PosteriorFit:
    """Sample the posterior."""
    return _nuts.sample(problem, stock=False)
