"""The log-likelihood of the Gaussian mixture in one dimension in PyMC's own terms."""

from __future__ import annotations

from typing import Any

import pymc as pm
import pytensor.tensor as pt


def log_likelihood(x: Any, weights: Any, means: Any, variances: Any) -> Any:
    """Return the log-likelihood of the univariate Gaussian mixture.

    Parameters
    ----------
    x : TensorVariable, shape (N,)
    weights, means, variances : TensorVariable, shape (K,)

    Returns
    -------
    TensorVariable, shape ()
    """
    mixture = pm.NormalMixture.dist(w=weights, mu=means, sigma=pt.sqrt(variances))
    return pm.logp(mixture, x).sum()
