"""What a reader is shown of the Gaussian mixture in one dimension."""

from __future__ import annotations

NOUN = "component"
SEQUENCES = False
UNIT = PREDICTED = "observation"
COLUMNS = (1, 1)


def meaning(field: str, *names: str) -> str:
    """Return what a parameter is; `names` are those of its component."""
    (component,) = names
    nouns = {"weights": "weight", "means": "mean", "variances": "variance"}
    return f"{nouns[field]} of {component}"
