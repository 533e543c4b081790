"""Which component of one fit is which of another: labels are arbitrary until matched."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from lockstep.models.records import Floats, Integers, Parameters, Space

FARTHEST = 1e6
"""Features are taken to lie no farther from the reference than this: those of a collapsed
component, or of one far off, may be infinite."""


def matching(parameters: Parameters, reference: Parameters) -> Integers:
    """Return the order of components that brings each fit nearest to the reference.

    The assignment minimises the sum of squared distances between the components' features
    (Hungarian method), for each draw by itself, before anything is averaged over draws.

    Parameters
    ----------
    parameters : Parameters
        With any leading axes.
    reference : Parameters
        Without leading axes.

    Returns
    -------
    ndarray of int, shape (..., K)
        For `Parameters.relabelled`: entry k is the component to be put in place k.
    """
    with np.errstate(divide="ignore"):  # the logarithm of a variance of zero
        ours = features(parameters, reference)  # (..., K, F)
    ours = np.clip(np.nan_to_num(ours, nan=FARTHEST), -FARTHEST, FARTHEST)
    theirs = features(reference, reference)  # (K, F)
    # cost[..., k, j]: of putting component j in the reference's place k
    cost = ((theirs[:, None, :] - ours[..., None, :, :]) ** 2).sum(axis=-1)
    return assignments(cost)


def features(parameters: Parameters, reference: Parameters) -> Floats:
    """Return one row for each component, by which those of two fits are matched.

    They are, in units of the reference's spread, its location and the logarithms of its standard
    deviations; the logarithms of its rates; the distributions that it has; and the probability of
    staying in it. How often it occurs says nothing of which it is.

    Returns
    -------
    ndarray, shape (..., K, F)
    """
    spaces, arrays = parameters.SPACES, parameters.arrays()
    spreads = {spaces[n].unit: _spread(reference, n) for n in spaces if spaces[n].unit}
    columns: list[Floats] = []
    for name, space in spaces.items():
        value = arrays[name]
        if space.probability:
            if space.axes == "KK":
                columns.append(np.diagonal(value, axis1=-2, axis2=-1)[..., None])
            elif len(space.axes) > 1:
                columns.insert(0, value)
        elif space.unit:
            centre, spread = spreads[space.unit]
            columns.append(_by_component((value - centre) / spread, space))
        elif name in spreads:
            columns.append(_by_component(np.log(space.sds(value) / spreads[name][1]), space))
        else:
            columns.append(_by_component(np.log(value), space))
    return np.concatenate(columns, axis=-1)


def _by_component(value: Floats, space: Space) -> Floats:
    """Return the value with one axis behind that of the components."""
    return value[..., None] if space.axes == "K" else value


def _spread(reference: Parameters, name: str) -> tuple[Floats, Floats]:
    """Return centre and standard deviation of all data, in each coordinate of a location."""
    spaces, arrays = reference.SPACES, reference.arrays()
    shares = next(a for n, a in arrays.items() if spaces[n].probability and spaces[n].axes == "K")
    location, sds = arrays[name], reference.unit(name)
    centre = shares @ location
    return centre, np.sqrt(shares @ (sds**2 + (location - centre) ** 2))


def assignments(cost: Floats) -> Integers:
    """Return for each matrix which column to choose in each row, for the least sum.

    Parameters
    ----------
    cost : ndarray, shape (..., K, K)

    Returns
    -------
    ndarray of int, shape (..., K)
    """
    order = np.empty(cost.shape[:-1], dtype=np.int64)
    for index in np.ndindex(*cost.shape[:-2]):
        order[index] = linear_sum_assignment(cost[index])[1]
    return order
