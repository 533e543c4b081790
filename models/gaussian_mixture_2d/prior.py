"""The prior of the Gaussian mixture in any dimension, on the scale of standardised columns.

The components are exchangeable: nothing orders them. In one dimension it is the prior of the
mixture there, but for that order.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lockstep.models import starts
from lockstep.models.gaussian_mixture_2d.equations import Parameters
from lockstep.models.priors import Dirichlet, InverseWishart, Normal, Prior
from lockstep.models.records import Floats

VARIANCE = 0.1
"""Of a component in each column, expected before any data."""

PRIOR = Prior(
    {
        "weights": Dirichlet(2),
        "means": Normal(sd=2),
        "covariances": InverseWishart(beyond=2, variance=VARIANCE),
    },
    standardised=True,
)


def start(x: Floats, dims: Mapping[str, int], rng: np.random.Generator) -> Parameters:
    """Return parameters for a sampler to start from: a k-means split, without correlations."""
    weights, means, variances = starts.split(x, dims["n_components"], VARIANCE, rng)
    return Parameters(weights, means, variances[:, :, None] * np.eye(means.shape[1]))
