"""The prior of the categorical hidden Markov model: every row uniform on its simplex.

The states are exchangeable: nothing orders them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import softmax

from lockstep.models.categorical_hmm.equations import Parameters, Sequences
from lockstep.models.priors import Dirichlet, Prior
from lockstep.models.records import Floats

PRIOR = Prior(
    {
        "startprob": Dirichlet(1),
        "transmat": Dirichlet(1),
        "emissionprob": Dirichlet(1),
    }
)


def start(
    sequences: Sequences,  # noqa: ARG001 - a start needs no look at the data here
    dims: Mapping[str, int],
    rng: np.random.Generator,
) -> Parameters:
    """Return parameters for a sampler to start from, as far apart as the prior's draws.

    The centred logarithms of each row, without the last, are standard normal.
    """
    K, V = dims["n_components"], dims["n_features"]

    def rows(*shape: int) -> Floats:
        v = rng.normal(size=(*shape[:-1], shape[-1] - 1))
        logs = np.concatenate([v, -v.sum(axis=-1, keepdims=True)], axis=-1)
        return np.asarray(softmax(logs, axis=-1))

    return Parameters(rows(K), rows(K, K), rows(K, V))
