"""Draws from the priors of `lockstep.models.bayesian`, by NumPy alone.

The priors are conjugate families that NumPy and SciPy sample directly, so seeing what they say of
the data needs no compilation. Their constants come from `models.bayesian.PRIORS`, the one place
to change them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lockstep import models
from lockstep.models import Data, bayesian
from lockstep.models.records import Parameters


def draws(
    model: str,
    dims: Mapping[str, int],
    data: Data,
    n: int,
    rng: np.random.Generator,
    priors: bayesian.Priors = bayesian.PRIORS,
) -> Parameters:
    """Return parameters drawn from the prior, in the data's unit, with one leading axis.

    Parameters
    ----------
    model : str
        The model's name.
    dims : mapping of str to int
        Its sizes.
    data : Data
        Give a mixture's priors their location and scale: no more of them is used.
    n : int
        How many draws.
    rng : numpy.random.Generator
    priors : Priors, optional
        Their constants.
    """
    from scipy.stats import invwishart

    make, K = models.load(model).Parameters.of, dims["n_components"]
    if model == "categorical_hmm":
        V = dims["n_features"]
        return make(
            startprob=rng.dirichlet(np.full(K, priors.rows), n),
            transmat=rng.dirichlet(np.full(K, priors.rows), (n, K)),
            emissionprob=rng.dirichlet(np.full(V, priors.rows), (n, K)),
        )
    x = np.asarray(data, dtype=np.float64)
    centre, scale = x.mean(axis=0), x.std(axis=0)
    weights = rng.dirichlet(np.full(K, priors.weights), n)
    if model == "gaussian_mixture_1d":
        z_means = np.sort(rng.normal(0, priors.mean_sd, (n, K)))
        shape = (1 + priors.covariance_df) / 2
        z_variances = priors.covariance_scale / 2 / rng.gamma(shape, size=(n, K))
        return make(
            weights=weights, means=centre + scale * z_means, variances=scale**2 * z_variances
        )
    D = x.shape[1]
    z_means = rng.normal(0, priors.mean_sd, (n, K, D))
    of_covariances = invwishart(D + priors.covariance_df, priors.covariance_scale * np.eye(D))
    z_covariances = of_covariances.rvs(n * K, random_state=rng).reshape(n, K, D, D)
    return make(
        weights=weights,
        means=centre + scale * z_means,
        covariances=z_covariances * scale[:, None] * scale,
    )
