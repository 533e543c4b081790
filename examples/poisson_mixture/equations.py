"""Mixture of Poisson distributions, fitted by EM.

Letters: N counts, K components; n and k index counts and components.

The model::

    z_n           ~ Categorical(weights)       the component, unobserved
    x_n | z_n = k ~ Poisson(rates[k])

References
----------
.. [1] McLachlan and Peel (2000), Finite Mixture Models, section 5.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from scipy.special import gammaln, logsumexp, xlogy

from lockstep.models import records, simplex
from lockstep.models.records import Floats
from lockstep.models.spaces import Positive, Simplex

NAME = "poisson_mixture"
TITLE = "Poisson mixture"


@dataclass(frozen=True, eq=False)
class Parameters(records.Parameters):
    """``weights`` (..., K) add up to 1; ``rates`` (..., K) are positive, in counts."""

    weights: Annotated[Floats, Simplex("K")]
    rates: Annotated[Floats, Positive("K")]


@dataclass(frozen=True, eq=False)
class Statistics(records.Statistics):
    """``counts`` N_k = sum_n r_nk, and ``totals`` sum_n r_nk x_n, each of shape (K,)."""

    counts: Floats
    totals: Floats


def log_joint(parameters: Parameters, x: Floats) -> Floats:
    """Return ``log p(x_n, z_n = k)``, shape (..., N, K)."""
    weights, rates = (a[..., None, :] for a in parameters.arrays().values())
    log_density = xlogy(x[:, None], rates) - rates - gammaln(x[:, None] + 1)  # (..., N, K)
    return simplex.to_logs(weights) + log_density


def log_densities(parameters: Parameters, x: Floats) -> Floats:
    """Return ``log p(x_n)``, shape (..., N)."""
    return np.asarray(logsumexp(log_joint(parameters, x), axis=-1))


def log_likelihood(parameters: Parameters, x: Floats) -> Floats:
    """Return the log-likelihood in nats, shape (...)."""
    return np.asarray(log_densities(parameters, x).sum(axis=-1))


def memberships(parameters: Parameters, x: Floats) -> Floats:
    """Return the responsibilities ``r_nk = p(z_n = k | x_n)``, shape (..., N, K)."""
    joint = log_joint(parameters, x)
    return np.asarray(np.exp(joint - logsumexp(joint, axis=-1, keepdims=True)))


def e_step(
    parameters: Parameters, x: Floats, weights: Floats | None = None
) -> tuple[Statistics, float]:
    """Return the expected statistics under ``p(z | x)``, and the log-likelihood."""
    w = records.checked_weights(weights, len(x))
    r = w[:, None] * memberships(parameters, x)  # (N, K)
    evidence = log_densities(parameters, x)  # (N,)
    return Statistics(r.sum(axis=0), r.T @ x), float(w @ evidence)


def m_step(statistics: Statistics) -> Parameters:
    """Return the parameters that maximise the expected complete-data log-likelihood."""
    records.refuse_empty(statistics.counts)
    rates = statistics.totals / statistics.counts
    if not (rates > 0).all():
        raise records.DegenerateError(
            f"component {int(rates.argmin())} has zeros only: its rate fell to zero"
        )
    return Parameters(statistics.counts / statistics.counts.sum(), rates)


def score(statistics: Statistics, parameters: Parameters) -> Parameters:
    """Return each parameter's derivative of the log-likelihood, by Fisher's identity."""
    return Parameters(
        weights=simplex.score(statistics.counts, parameters.weights),
        rates=statistics.totals / parameters.rates - statistics.counts,
    )


def sample(parameters: Parameters, size: int, rng: np.random.Generator) -> Floats:
    """Draw `size` counts."""
    z = rng.choice(parameters.n_components, size=size, p=parameters.weights)
    return rng.poisson(parameters.rates[z]).astype(np.float64)


def start(x: Floats, dims: Mapping[str, int], rng: np.random.Generator) -> Parameters:
    """Return random parameters to start from: equal weights, rates at counts of the data."""
    K = dims["n_components"]
    return Parameters(np.full(K, 1 / K), np.sort(rng.choice(np.unique(x), K, replace=False)) + 0.5)


def check_data(data: Any, dims: Mapping[str, int], *, missing: bool = False) -> Floats:
    """Return the data as counts, shape (N,); raise ValueError if they are none."""
    x = check_chunk(data, dims, missing=missing)
    records.refuse_too_few(len(np.unique(x)), dims["n_components"], "distinct values")
    return x


def check_chunk(data: Any, dims: Mapping[str, int], *, missing: bool = False) -> Floats:  # noqa: ARG001
    """Return a part of the data as counts, shape (N,)."""
    x = records.finite_floats(data, "x", missing=missing)
    if x.ndim != 1:
        raise ValueError(f"x has shape {x.shape}; counts need shape (N,)")
    for n in np.flatnonzero(~((x >= 0) & (x == np.floor(x)))):
        raise ValueError(f"x[{n}] is {x[n]:g}; a count is one of 0, 1, 2, ...")
    return x
