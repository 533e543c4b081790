"""The prior of the Poisson mixture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lockstep.models.priors import Dirichlet, Gamma, Prior
from lockstep.models.records import Floats
from poisson_mixture.equations import Parameters

PRIOR = Prior({"weights": Dirichlet(2), "rates": Gamma(shape=2, rate=0.2)})


def start(x: Floats, dims: Mapping[str, int], rng: np.random.Generator) -> Parameters:
    """Return parameters for a sampler to start from: rates at quantiles of the data."""
    K = dims["n_components"]
    quantiles = np.quantile(x, (np.arange(K) + rng.uniform(0.3, 0.7, K)) / K)
    return Parameters(np.full(K, 1 / K), quantiles + 0.5)
