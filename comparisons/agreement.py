"""How far one fit is from another, in units that those of the data do not enter."""

from __future__ import annotations

import numpy as np

from lockstep.models.records import Floats, Parameters, Space
from lockstep.models.spaces import Positive, PositiveDefinite, Real, Variance


def units(reference: Parameters) -> dict[str, Floats]:
    """Return the unit of each field that has one.

    Locations are counted in the standard deviations of their component, variances and rates
    relative to themselves, covariances in products of two standard deviations; probabilities are
    taken as they are.
    """
    found: dict[str, Floats] = {}
    for name, space in reference.SPACES.items():
        value = reference.arrays()[name]
        if isinstance(space, PositiveDefinite):
            sd = space.sds(value)  # (..., K, D)
            found[name] = sd[..., :, None] * sd[..., None, :]
        elif isinstance(space, Positive):
            found[name] = value
        elif space.unit:
            found[name] = np.asarray(reference.unit(name))
    return found


def scaled(parameters: Parameters, reference: Parameters) -> dict[str, Floats]:
    """Return the absolute difference of every parameter from the reference's, in its `units`."""
    return _in(units(reference), parameters, reference)


def in_data(parameters: Parameters, reference: Parameters, data: Floats) -> dict[str, Floats]:
    """Return the same in standard deviations of the data, for components that are collapsing."""
    sd = np.nanstd(data, axis=0)
    of_kind: dict[type[Space], Floats] = {
        Real: sd,
        Variance: sd**2,
        PositiveDefinite: np.multiply.outer(sd, sd),
    }
    spaces = reference.SPACES.items()
    known = ((name, of_kind.get(type(space))) for name, space in spaces if space.in_units)
    found = {name: unit for name, unit in known if unit is not None}
    return _in(found, parameters, reference)


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
