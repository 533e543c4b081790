"""A scenario: what the Poisson mixture is fitted to, and what is known of the answer."""

from __future__ import annotations

import numpy as np

from lockstep.comparisons.scenarios import Prepared, Scenario
from poisson_mixture import equations as model


def prepare() -> Prepared:
    """Return counts from two rates, and a start that is not far from them."""
    rng = np.random.default_rng(7)
    truth = model.Parameters.of(weights=[0.6, 0.4], rates=[3.0, 12.0])
    return Prepared(
        data=model.sample(truth, 400, rng),
        heldout=model.sample(truth, 400, rng),
        dims={"n_components": 2},
        start=model.Parameters.of(weights=[0.5, 0.5], rates=[2.0, 8.0]),
        truth=truth,
        labels={"axes": ("count",)},
    )


SCENARIOS = (
    Scenario(
        name="poisson-counts",
        title="Counts from two rates",
        model=model.NAME,
        lesson="A model that lockstep does not know comes as a folder, and is compared like any.",
        n_iter=40,
        prepare=prepare,
    ),
)
