"""Scenarios drawn from a truth that can be recovered."""

from __future__ import annotations

from lockstep.comparisons.problem import Mode
from lockstep.comparisons.scenarios import Prepared, Scenario

SEED = 9


def hmm_weather() -> Prepared:
    """Draw 10 sequences of 50 days, and 10 more to hold out."""
    import numpy as np

    from lockstep.models import categorical_hmm as model

    truth = model.Parameters.of(
        startprob=[0.6, 0.4],
        transmat=[[0.9, 0.1], [0.2, 0.8]],
        emissionprob=[[0.1, 0.3, 0.6], [0.7, 0.2, 0.1]],
    )
    rng = np.random.default_rng(SEED)
    lengths = [50] * 10
    dims = {"n_components": 2, "n_features": 3}
    data = model.sample(truth, lengths, rng)
    return Prepared(
        data=data,
        dims=dims,
        start=model.start(data, dims, rng),
        truth=truth,
        heldout=model.sample(truth, lengths, rng),
        labels={"components": ("Rainy", "Sunny"), "symbols": ("Walk", "Shop", "Clean")},
    )


SCENARIOS = (
    Scenario(
        name="hmm-weather",
        title="Rainy and sunny days",
        model="categorical_hmm",
        lesson="The weather example with weather in it: ten sequences of fifty days, drawn from a "
        "model whose parameters can be recovered. The start probabilities rest on ten first days "
        "only, and show it. Two random starts in five end 32 nats lower.",
        n_iter=50,
        prepare=hmm_weather,
        expected={
            ("hmmlearn", Mode.AS_CONFIGURED): "its default is one random start and at "
            "most 10 iterations: it ends in the lower optimum, or on the way",
        },
    ),
)
