"""Rows of probabilities, in the coordinates in which they are free.

A row p of shape (..., K) has the free coordinates ``log p`` up to a constant per row: any real
vector is a row once its exponentials are divided by their sum. The coordinates are one more than
the row has degrees of freedom; that keeps them symmetric in the entries, and whoever inverts an
information matrix holds one entry of each row fixed. A probability of zero sits at minus infinity.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp, softmax, xlogy

from lockstep.models.records import Floats, Parameters

TINY = 1e-100
"""Below this a probability is too small to divide an expected count by: digits may be lost."""


def to_logs(p: Floats) -> Floats:
    """Return the logarithms, minus infinity for zero."""
    with np.errstate(divide="ignore"):
        return np.log(p)


def from_logs(logs: Floats) -> Floats:
    """Return the rows whose logarithms these are, up to a constant per row."""
    return np.asarray(softmax(logs, axis=-1))


def posterior(joint: Floats, nearest: Callable[[], Floats]) -> Floats:
    """Return ``p(z | x)`` from ``log p(x, z)``, along the last axis.

    Parameters
    ----------
    joint : ndarray, shape (..., K)
    nearest : callable
        Returns the same up to constants, for rows so far from everything that each density
        is zero.
    """
    largest = joint.max(axis=-1, keepdims=True)
    far = largest < -1e6  # beside such numbers logsumexp would lose the logarithm of a sum
    if far.any():
        if np.isneginf(largest).any():
            joint = np.where(np.isneginf(largest), nearest(), joint)
            largest = joint.max(axis=-1, keepdims=True)
        joint = np.where(far, joint - largest, joint)
    return np.asarray(np.exp(joint - logsumexp(joint, axis=-1, keepdims=True)))


FAR = 1e140
"""Squares of distances that overflow do not in this unit, and are then far above all else."""


def nearest[P: Parameters](
    log_joint: Callable[[P, Floats], Floats], parameters: P, x: Floats
) -> Floats:
    """Return a mixture's log joint, of the components nearest to each row; else minus infinity."""
    fields = parameters.arrays()
    means, kind = fields["means"], type(parameters)
    near = log_joint(kind(**{**fields, "means": np.zeros_like(means)}), np.where(np.isnan(x), x, 0))
    far = log_joint(kind(**{**fields, "means": means / FAR}), x / FAR)
    with np.errstate(invalid="ignore"):
        squares = np.where(np.isneginf(near), np.inf, near - far)
    return np.where(squares > squares.min(axis=-1, keepdims=True), -np.inf, near)


def score(counts: Floats, p: Floats) -> Floats:
    """Return the derivatives of ``sum_k counts[k] log p[k]``, every entry of p taken as free.

    They are ``counts / p``. Where p is zero so is the expected count, which then says nothing of
    the derivative: it is not a number there, see each model's `gradient`.
    """
    return np.where(p > 0, counts / np.where(p > 0, p, 1.0), np.nan)


def bounded(derivatives: Floats) -> Floats:
    """Return derivatives, those beyond the largest double as that: times zero they must be zero."""
    limit = np.finfo(np.float64).max
    return np.clip(derivatives, -limit, limit)


def score_of_logs(counts: Floats, p: Floats) -> Floats:
    """Return the derivatives of ``sum_k counts[k] log p[k]`` by the free coordinates of p."""
    return np.asarray(counts - counts.sum(axis=-1, keepdims=True) * p)


def log_dirichlet(concentration: Floats, p: Floats) -> float:
    """Return the log-density of Dirichlet rows at p, without its constant."""
    return float(xlogy(concentration - 1, p).sum())


def refuse_spiked(**concentrations: Floats) -> None:
    """Raise ValueError unless every Dirichlet parameter is at least 1.

    Below 1 the density is infinite where a probability is zero, and has no mode.
    """
    for name, concentration in concentrations.items():
        if not np.all(concentration >= 1):
            raise ValueError(
                f"{name} has the value {np.min(concentration):g}; a Dirichlet parameter below 1 "
                "has no mode to climb to: give 1 for a flat prior, or more"
            )
