"""How far one fit is from another, in units that those of the data do not enter."""

from __future__ import annotations

import numpy as np

from lockstep.models.records import Floats, Parameters


def scaled(parameters: Parameters, reference: Parameters) -> dict[str, Floats]:
    """Return the absolute difference of every parameter from the reference's, by field.

    Means are counted in the standard deviations of the reference's component, variances relative
    to its own, covariances in products of two standard deviations, probabilities as they are.
    """
    arrays = reference.arrays()
    if "variances" in arrays:
        units = {"means": np.sqrt(arrays["variances"]), "variances": arrays["variances"]}
    elif "covariances" in arrays:
        sd = np.sqrt(np.diagonal(arrays["covariances"], axis1=-2, axis2=-1))  # (..., K, D)
        units = {"means": sd, "covariances": sd[..., :, None] * sd[..., None, :]}
    else:
        units = {}
    return _in(units, parameters, reference)


def in_data(parameters: Parameters, reference: Parameters, data: Floats) -> dict[str, Floats]:
    """Return the same in standard deviations of the data, for components that are collapsing."""
    sd = data.std(axis=0)
    units = {"means": sd, "variances": sd**2, "covariances": np.multiply.outer(sd, sd)}
    return _in(units, parameters, reference)


def raw(parameters: Parameters, reference: Parameters) -> dict[str, Floats]:
    """Return the same in the parameters' own units."""
    return _in({}, parameters, reference)


def _in(
    units: dict[str, Floats], parameters: Parameters, reference: Parameters
) -> dict[str, Floats]:
    theirs = reference.arrays()
    return {
        name: np.abs(array - theirs[name]) / units.get(name, 1.0)
        for name, array in parameters.arrays().items()
    }
