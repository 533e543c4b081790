"""Which component of one fit is which of another: labels are arbitrary until matched."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from lockstep.models import Model
from lockstep.models.records import Floats, Integers, Parameters

FARTHEST = 1e6
"""Features are taken to lie no farther from the reference than this: those of a collapsed
component, or of one far off, may be infinite."""


def matching(model: Model, parameters: Parameters, reference: Parameters) -> Integers:
    """Return the order of components that brings each fit nearest to the reference.

    The assignment minimises the sum of squared distances between the components' features
    (Hungarian method), for each draw by itself, before anything is averaged over draws.

    Parameters
    ----------
    model : Model
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
        ours = model.features(parameters, reference)  # (..., K, F)
    ours = np.clip(np.nan_to_num(ours, nan=FARTHEST), -FARTHEST, FARTHEST)
    theirs = model.features(reference, reference)  # (K, F)
    # cost[..., k, j]: of putting component j in the reference's place k
    cost = ((theirs[:, None, :] - ours[..., None, :, :]) ** 2).sum(axis=-1)
    return assignments(cost)


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
