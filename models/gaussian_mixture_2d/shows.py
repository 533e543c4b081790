"""What a reader is shown of the Gaussian mixture in any dimension."""

from __future__ import annotations

import numpy as np

from lockstep.models.gaussian_mixture_2d.equations import Parameters
from lockstep.models.records import Floats

NOUN = "component"
SEQUENCES = False
UNIT = PREDICTED = "observation"
COLUMNS = (2, None)


def meaning(field: str, *names: str) -> str:
    """Return what a parameter is; `names` are those of its component and its coordinates."""
    match field, names:
        case "weights", (component,):
            return f"weight of {component}"
        case "means", (component, axis):
            return f"mean of {component}, {axis}"
        case _, (component, axis, other) if axis == other:
            return f"variance of {component}, {axis}"
        case _, (component, axis, other):
            return f"covariance of {component}, {axis} and {other}"
    return ""


def densities(parameters: Parameters, grid: Floats, column: int) -> Floats:
    """Return weight times density of each component over one column, shape (..., points, K)."""
    means = parameters.means[..., None, :, column]
    variances = parameters.covariances[..., None, :, column, column]
    squares = (grid[:, None] - means) ** 2 / variances
    weights = parameters.weights[..., None, :]
    return np.asarray(weights * np.exp(-0.5 * squares) / np.sqrt(2 * np.pi * variances))
