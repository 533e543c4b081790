"""What anyone's EM of the model is tried on: parameters, and a start that is near to them."""

from __future__ import annotations

import numpy as np

from lockstep.models import starts
from lockstep.models.categorical_hmm.equations import Parameters


def truth(K: int, rng: np.random.Generator) -> Parameters:
    """Return random parameters, of one symbol more than states."""
    return Parameters(
        startprob=rng.dirichlet(np.full(K, 3.0)),
        transmat=rng.dirichlet(np.full(K, 1.5), K),
        emissionprob=rng.dirichlet(np.full(K + 1, 1.0), K),
    )


def start(truth: Parameters, rng: np.random.Generator) -> Parameters:
    """Return parameters near to the truth, mixed with an even distribution: none is near zero."""
    near = {
        name: 0.7 * starts.jittered(a, rng) + 0.3 / a.shape[-1]
        for name, a in truth.arrays().items()
    }
    return Parameters(**near)
