"""The four examples that lockstep grew from, drawn exactly as in the original notebooks.

They use NumPy's legacy generator; `np.random.RandomState(s)` draws the stream that
`np.random.seed(s)` starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockstep.comparisons.problem import Mode
from lockstep.comparisons.scenarios import Prepared, Scenario

if TYPE_CHECKING:
    import numpy as np

HELDOUT_SEED = 20_000
"""Held-out data come from NumPy's new generator: no stream is shared with the training data."""


def _heldout_rng(seed: int) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng(HELDOUT_SEED + seed)


def gmm1d_separated() -> Prepared:
    """Draw 250 + 250 values; the start's means are the next draws of the same stream."""
    import numpy as np

    from lockstep.models import gaussian_mixture_1d as model

    rng = np.random.RandomState(42)
    x = np.concatenate([rng.normal(-2, 0.5, 250), rng.normal(3, 1.0, 250)])
    start = model.Parameters.of(weights=[0.5, 0.5], means=rng.choice(x, 2), variances=[1.0, 1.0])
    truth = model.Parameters.of(weights=[0.5, 0.5], means=[-2.0, 3.0], variances=[0.25, 1.0])
    return Prepared(
        data=x,
        dims={"n_components": 2},
        start=start,
        truth=truth,
        heldout=model.sample(truth, 500, _heldout_rng(42)),
        labels={"axes": ("x",)},
    )


def gmm1d_notebook() -> Prepared:
    """Draw 210 + 90 values; the start is two data points, the data's sd and equal weights."""
    import numpy as np

    from lockstep.models import gaussian_mixture_1d as model

    rng = np.random.RandomState(100)
    x = np.concatenate([rng.normal(0, 1, 210), rng.normal(5, 1, 90)])
    means = np.random.RandomState(42).choice(x, 2)
    start = model.Parameters.of(weights=[0.5, 0.5], means=means, variances=[x.var(), x.var()])
    truth = model.Parameters.of(weights=[0.7, 0.3], means=[0.0, 5.0], variances=[1.0, 1.0])
    return Prepared(
        data=x,
        dims={"n_components": 2},
        start=start,
        truth=truth,
        heldout=model.sample(truth, 300, _heldout_rng(100)),
        labels={"axes": ("x",)},
    )


def gmm2d_notebook() -> Prepared:
    """Draw 210 + 90 points; the start is an M-step from random responsibilities."""
    import numpy as np

    from lockstep.models import gaussian_mixture_2d as model

    truth = model.Parameters.of(
        weights=[0.7, 0.3],
        means=[[0.0, 0.0], [4.0, 4.0]],
        covariances=[[[1.0, 0.5], [0.5, 1.0]], [[1.0, -0.3], [-0.3, 1.0]]],
    )
    rng = np.random.RandomState(1)
    x = np.vstack(
        [
            rng.multivariate_normal(mean, covariance, size)
            for mean, covariance, size in zip(truth.means, truth.covariances, (210, 90))
        ]
    )
    r = np.random.RandomState(42).dirichlet([1, 1], size=300)  # (N, K)
    origin = np.zeros((2, 2))
    start = model.m_step(
        model.Statistics(
            counts=r.sum(axis=0),
            first=r.T @ x,
            second=np.einsum("nk,nd,ne->kde", r, x, x),
            reference=origin,
        )
    )
    return Prepared(
        data=x,
        dims={"n_components": 2},
        start=start,
        truth=truth,
        heldout=model.sample(truth, 300, _heldout_rng(1)),
        labels={"axes": ("x", "y"), "limits": ("-4", "8")},
    )


def hmm_weather_noise() -> Prepared:
    """Draw 100 independent uniform symbols; the start is the next draws of the same stream."""
    import numpy as np

    from lockstep.models import categorical_hmm as model

    rng = np.random.RandomState(42)
    symbols = rng.choice(3, size=100).astype(np.int64)
    transmat = rng.dirichlet(np.ones(2), size=2)
    emissionprob = rng.dirichlet(np.ones(3), size=2)
    startprob = rng.dirichlet(np.ones(2))
    start = model.Parameters(startprob, transmat, emissionprob)
    return Prepared(
        data=(symbols,),
        dims={"n_components": 2, "n_features": 3},
        start=start,
        reference=start,
        heldout=(_heldout_rng(42).integers(0, 3, size=100),),
        labels={"components": ("Rainy", "Sunny"), "symbols": ("Walk", "Shop", "Clean")},
    )


FLAT = (
    "the data have no structure: the posterior is flat and has several modes, which is this "
    "scenario's lesson"
)

SCENARIOS = (
    Scenario(
        name="gmm1d-separated",
        title="Two well separated Gaussians",
        model="gaussian_mixture_1d",
        lesson="With components this far apart, every method finds the same answer within a few "
        "iterations, and the posterior is as narrow as theory says.",
        n_iter=20,
        prepare=gmm1d_separated,
    ),
    Scenario(
        name="gmm1d-notebook",
        title="Two Gaussians, 70 to 30",
        model="gaussian_mixture_1d",
        lesson="The classroom example: unequal weights, equal widths, a start in the far tails.",
        n_iter=20,
        prepare=gmm1d_notebook,
    ),
    Scenario(
        name="gmm2d-notebook",
        title="Two Gaussian clouds in the plane",
        model="gaussian_mixture_2d",
        lesson="Started from random responsibilities, EM crosses a plateau of some 25 iterations "
        "that gain hardly a nat each. A stopping rule on the log-likelihood can end "
        "there: from this start scikit-learn's default tolerance stops after 2 iterations, 121 "
        "nats below the optimum. Compare iterations or optima, never stopping points.",
        n_iter=40,
        prepare=gmm2d_notebook,
    ),
    Scenario(
        name="hmm-weather-noise",
        title="Weather without structure",
        model="categorical_hmm",
        lesson="The symbols are independent and uniform, so there is nothing to recover; two "
        "states still gain 5.5 nats over one, for five more parameters. The likelihood is flat, "
        "random starts can end in different places, and the posterior stays nearly as wide as the "
        "prior: that is how noise looks when it is read honestly.",
        n_iter=10,
        prepare=hmm_weather_noise,
        expected={
            ("hmmlearn", Mode.AS_CONFIGURED): "its default of 10 iterations ends on the flat "
            "part of the likelihood, short of the optimum",
            ("pymc-nuts", Mode.AS_CONFIGURED): FLAT,
            ("pymc-stock", Mode.AS_CONFIGURED): FLAT,
            ("pymc-advi", Mode.AS_CONFIGURED): "the data have no structure: one Gaussian cannot "
            "describe a flat posterior with several modes",
            ("pymc-fullrank", Mode.AS_CONFIGURED): "the data have no structure: one Gaussian "
            "cannot describe a flat posterior with several modes",
        },
    ),
)
