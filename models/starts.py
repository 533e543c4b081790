"""Rough places to begin in."""

from __future__ import annotations

import numpy as np

from lockstep.models.records import Floats


def split(
    x: Floats, n_components: int, variance: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Split standardised data by k-means into components, in order of their first coordinate.

    Every component is given one observation more, and one whose squared deviation is `variance`.

    Parameters
    ----------
    x : ndarray, shape (N,) or (N, D)
    n_components : int
    variance : float
    rng : numpy.random.Generator

    Returns
    -------
    weights : ndarray, shape (K,)
    means, variances : ndarray, shape (K, D)
        In the unit of the data.
    """
    from scipy.cluster.vq import kmeans2

    columns = np.asarray(x, np.float64).reshape(len(x), -1)  # (N, D)
    centre, scale = columns.mean(axis=0), columns.std(axis=0)
    z = (columns - centre) / scale
    means, labels = kmeans2(z, n_components, minit="++", rng=rng)
    order = np.argsort(means[:, 0])
    means, members = means[order], [z[labels == k] for k in order]
    counts = np.array([1 + len(member) for member in members])
    squares = [((member - mean) ** 2).sum(axis=0) for member, mean in zip(members, means)]
    variances = (variance + np.array(squares)) / counts[:, None]  # (K, D)
    return counts / counts.sum(), centre + scale * means, scale**2 * variances


def jittered(p: Floats, rng: np.random.Generator) -> Floats:
    """Return distributions near to those given, each entry changed by up to a factor of 1.6."""
    changed = p * rng.uniform(0.6, 1.6, p.shape)
    return np.asarray(changed / changed.sum(axis=-1, keepdims=True))
