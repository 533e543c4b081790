"""The log-likelihood of the Gaussian mixture in any dimension in PyMC's own terms."""

from __future__ import annotations

from typing import Any

import pymc as pm


def log_likelihood(x: Any, weights: Any, means: Any, *, cholesky: Any, **_: Any) -> Any:
    """Return the log-likelihood of the Gaussian mixture, in any dimension.

    Parameters
    ----------
    x : TensorVariable, shape (N, D)
    weights : TensorVariable, shape (K,)
    means : TensorVariable, shape (K, D)
    cholesky : TensorVariable, shape (K, D, D)
        Lower triangular, the factors of the covariances.

    Returns
    -------
    TensorVariable, shape ()
    """
    components = [
        pm.MvNormal.dist(mu=means[k], chol=cholesky[k]) for k in range(means.type.shape[0])
    ]
    if len(components) == 1:  # PyMC would take its last axis for the components
        return pm.logp(components[0], x).sum()
    return pm.logp(pm.Mixture.dist(w=weights, comp_dists=components), x).sum()
