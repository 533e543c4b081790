"""The check at every public entrance: data, parameters and settings that nobody has looked at.

It costs less than one E-step, and is the same whether or not compiled kernels are loaded. Inside,
loops and kernels trust what has passed it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np

from lockstep.models import Data, Model
from lockstep.models.records import (
    LARGEST,
    Floats,
    Parameters,
    checked_weights,
    is_between,
    normalised,
    refuse_extreme,
)


def admitted_parameters(model: Model, parameters: Any) -> Parameters:
    """Return parameters that are sound, their probabilities divided by sums that are not quite 1.

    Raises
    ------
    TypeError
        If they are not the model's `Parameters`.
    ValueError
        As `Parameters.checked`, but that sums may be off by the rounding of numbers
        saved with six digits.
    """
    if not isinstance(parameters, model.Parameters):
        raise TypeError(
            f"the parameters are of type {type(parameters).__name__}; {model.NAME} needs its own: "
            "Parameters.of(...), by name"
        )
    fields = parameters.arrays()
    for name in parameters.PROBABILITIES:
        if fields[name].ndim and np.isfinite(fields[name]).all():
            fields[name] = normalised(fields[name], name)
    return model.Parameters.checked(fields)


def admitted(
    model: Model, parameters: Any, data: Any, weights: Any = None
) -> tuple[Parameters, Data, Floats | None]:
    """Return parameters, data and weights as the E-steps take them: what every entrance checks.

    NaN, or in a sequence -1, stands for a value that was not observed: here always, where
    `check_data` asks for ``missing=True``.

    Raises
    ------
    TypeError, ValueError
        If one of them is not sound, or does not fit the others; the message says what to do.
    """
    parameters = admitted_parameters(model, parameters)
    data, weights = admitted_data(model, data, parameters.dims, weights)
    return parameters, data, weights


def admitted_data(
    model: Model, data: Any, dims: Mapping[str, int], weights: Any = None
) -> tuple[Data, Floats | None]:
    """Return data of a model of these sizes, and weights, as `admitted`."""
    data = model.check_chunk(data, dims, missing=True)
    what = "sequence" if isinstance(data, tuple) else "observation"
    if not len(data):
        raise ValueError(f"there are no {what}s")
    if weights is not None:
        weights = checked_weights(weights, len(data), what)
        refuse_extreme(weights, "weights")
    return data, weights


def not_observed(data: Data) -> int:
    """Return how many values were not observed."""
    if isinstance(data, tuple):
        return sum(int((symbols < 0).sum()) for symbols in data)
    return int(np.isnan(data).sum())


def refuse_misfit(model: Model, parameters: Parameters, settings: Mapping[str, Any]) -> None:
    """Raise ValueError or TypeError if a setting of `em.Settings` is none."""
    max_iter, tol = settings.get("max_iter", 0), settings.get("tol", 0.0)
    if not isinstance(max_iter, Integral) or max_iter < 0:
        raise ValueError(f"max_iter={max_iter!r}; it must be an integer of at least 0")
    if not is_between(tol, -math.inf, math.inf):
        raise ValueError(f"tol={tol!r}; it must be a number; below 0 it never stops")
    options, prior = settings.get("options", {}), settings.get("prior")
    known = inspect.signature(model.m_step).parameters.keys() - {"statistics", "prior"}
    if not isinstance(options, Mapping) or not set(options) <= known:
        raise ValueError(f"options={options!r}; {model.NAME} knows {sorted(known) or 'none'}")
    ridge = options.get("reg_covar", 0.0)
    if not is_between(ridge, 0, LARGEST):
        raise ValueError(f"reg_covar={ridge!r}; it must be a number from 0 to {LARGEST:g}")
    if prior is not None:
        kind = getattr(model, "Prior", None)
        if kind is None:
            raise ValueError(f"{model.NAME} has no conjugate prior: EM climbs its likelihood only")
        if not isinstance(prior, kind):
            raise TypeError(f"prior is of type {type(prior).__name__}; give {model.NAME}.Prior")
        prior.refuse_misfit(parameters)
    for name in ("update", "watch"):
        if settings.get(name) is not None and not callable(settings[name]):
            raise TypeError(f"{name} must be a function; see em.Settings")


def refuse_no_generator(rng: Any) -> None:
    """Raise TypeError unless this is NumPy's generator of random numbers."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is of type {type(rng).__name__}; give numpy.random.default_rng(seed)")
