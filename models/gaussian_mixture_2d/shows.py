"""What a reader is shown of the Gaussian mixture in any dimension."""

from __future__ import annotations

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
