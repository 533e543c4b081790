"""What anyone's EM of the model is tried on: parameters, and a start that is near to them."""

from __future__ import annotations

import numpy as np

from lockstep.models import starts
from lockstep.models.gaussian_mixture_2d.equations import Parameters


def truth(K: int, rng: np.random.Generator) -> Parameters:
    """Return random parameters in the plane."""
    weights = rng.dirichlet(np.full(K, 6.0))
    factors = rng.normal(0, 0.7, (K, 2, 2))
    covariances = factors @ factors.mT + 0.3 * np.eye(2)
    return Parameters(weights, rng.normal(0, 2.5, (K, 2)), covariances)


def start(truth: Parameters, rng: np.random.Generator) -> Parameters:
    """Return parameters near to the truth, but not at it."""
    K = truth.n_components
    return Parameters(
        weights=starts.jittered(truth.weights, rng),
        means=truth.means + rng.normal(0, 0.5, (K, 2)),
        covariances=truth.covariances * rng.uniform(0.6, 1.8, K)[:, None, None] + 0.1 * np.eye(2),
    )
