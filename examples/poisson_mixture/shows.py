"""What a reader is shown of the Poisson mixture."""

from __future__ import annotations

import numpy as np

from lockstep.models.records import Floats
from poisson_mixture.equations import Parameters, log_joint

NOUN = "component"
SEQUENCES = False
UNIT = PREDICTED = "count"
COLUMNS = (1, 1)


def densities(parameters: Parameters, grid: Floats, column: int) -> Floats:  # noqa: ARG001
    """Return weight times probability of the count nearest to each point, (..., points, K)."""
    return np.asarray(np.exp(log_joint(parameters, np.maximum(np.rint(grid), 0.0))))


def meaning(field: str, *names: str) -> str:
    """Return what a parameter is; `names` are those of its component."""
    (component,) = names
    return f"{'weight' if field == 'weights' else 'rate'} of {component}"
