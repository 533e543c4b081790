"""The prior of the Gaussian mixture in one dimension, on the scale of standardised data.

An inverse gamma of the variances keeps a component from collapsing onto one observation, which
would make the likelihood infinite (and, with ties, the posterior improper).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lockstep.models import starts
from lockstep.models.gaussian_mixture_1d.equations import Parameters
from lockstep.models.priors import Dirichlet, InverseWishart, Normal, Prior
from lockstep.models.records import Floats

VARIANCE = 0.1
"""Of a component, expected before any data."""

PRIOR = Prior(
    {
        "weights": Dirichlet(2),
        "means": Normal(sd=2, ordered=True),
        "variances": InverseWishart(beyond=2, variance=VARIANCE).marginal(),
    },
    standardised=True,
)


def start(x: Floats, dims: Mapping[str, int], rng: np.random.Generator) -> Parameters:
    """Return parameters for a sampler to start from: a k-means split."""
    weights, means, variances = starts.split(x, dims["n_components"], VARIANCE, rng)
    return Parameters(weights, means[:, 0], variances[:, 0])
