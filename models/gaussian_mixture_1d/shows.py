"""What a reader is shown of the Gaussian mixture in one dimension."""

from __future__ import annotations

import numpy as np

from lockstep.models.gaussian_mixture_1d.equations import Parameters, log_joint
from lockstep.models.records import Floats

NOUN = "component"
SEQUENCES = False
UNIT = PREDICTED = "observation"
COLUMNS = (1, 1)


def meaning(field: str, *names: str) -> str:
    """Return what a parameter is; `names` are those of its component."""
    (component,) = names
    nouns = {"weights": "weight", "means": "mean", "variances": "variance"}
    return f"{nouns[field]} of {component}"


def densities(parameters: Parameters, grid: Floats, column: int) -> Floats:  # noqa: ARG001
    """Return weight times density of each component over one column, shape (..., points, K)."""
    return np.asarray(np.exp(log_joint(parameters, grid)))
