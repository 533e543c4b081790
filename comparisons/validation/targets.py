"""Python targets: found (`reading`), understood (`binding`), and called (`calling`)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lockstep import models
from lockstep.comparisons.implementations import implementations
from lockstep.comparisons.validation.binding import copies, same
from lockstep.comparisons.validation.calling import Estimator, recognise
from lockstep.comparisons.validation.reading import TargetError, load
from lockstep.comparisons.validation.trying import taken

__all__ = [
    "Estimator",
    "TargetError",
    "copies",
    "load",
    "model_named",
    "offered",
    "quiet",
    "recognise",
    "same",
    "taken",
]


def quiet() -> None:
    """Silence what libraries say on the side: the verdict says it."""
    import logging

    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    for module in implementations().values():
        library = getattr(module, "ESTIMATOR", "").partition(".")[0]
        if library:
            logging.getLogger(library).setLevel(logging.CRITICAL)


def model_named(name: str) -> Any:
    """Return the model of that name."""
    return models.load(name)


def offered(adapter: Any) -> list[str]:
    """Return the checks of methods that apply to a target; none but to an estimator."""
    from lockstep.comparisons.validation import methods

    return methods.offered(adapter) if isinstance(adapter, Estimator) else []
