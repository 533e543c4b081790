"""What anyone's EM of the model is tried on: parameters, and a start that is near to them."""

from __future__ import annotations

import numpy as np

from lockstep.models import starts
from lockstep.models.gaussian_mixture_1d.equations import Parameters


def truth(K: int, rng: np.random.Generator) -> Parameters:
    """Return random parameters, their means some standard deviations apart."""
    return Parameters(
        weights=rng.dirichlet(np.full(K, 6.0)),
        means=rng.permutation(np.arange(K)) * 2.3 + rng.normal(0, 0.3, K),
        variances=rng.uniform(0.3, 2.0, K),
    )


def start(truth: Parameters, rng: np.random.Generator) -> Parameters:
    """Return parameters near to the truth, but not at it."""
    K = truth.n_components
    return Parameters(
        weights=starts.jittered(truth.weights, rng),
        means=truth.means + rng.normal(0, 0.5, K),
        variances=truth.variances * rng.uniform(0.6, 1.8, K),
    )
