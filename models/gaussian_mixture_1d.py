"""Gaussian mixture in one dimension, fitted by EM.

Letters: N observations, K components; n and k index them.

The model::

    z_n           ~ Categorical(weights)                 the component, unobserved
    x_n | z_n = k ~ Normal(means[k], variances[k])

EM climbs the log-likelihood ``sum_n log sum_k weights[k] Normal(x_n; means[k], variances[k])``:
the E-step takes the expectation of the latent components, the M-step maximises as if they had
been seen.

References
----------
.. [1] Dempster, Laird and Rubin (1977), Maximum likelihood from incomplete data via the EM
   algorithm, JRSS B 39, 1-38.
.. [2] Bishop (2006), Pattern Recognition and Machine Learning, section 9.2.2, equations
   (9.23) to (9.28).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import logsumexp

from models import records
from models.records import DegenerateError, Floats

NAME = "gaussian_mixture_1d"
TITLE = "Gaussian mixture, 1D"


@dataclass(frozen=True, eq=False)
class Parameters(records.Parameters):
    """What the mixture is made of; a posterior has leading (chain, draw) axes.

    Attributes
    ----------
    weights : ndarray, shape (..., K)
        Probability of each component; they sum to 1.
    means : ndarray, shape (..., K)
        In the unit of the data.
    variances : ndarray, shape (..., K)
        In the data's unit squared, positive.
    """

    weights: Floats
    means: Floats
    variances: Floats

    COMPONENT_AXES: ClassVar = {"weights": (-1,), "means": (-1,), "variances": (-1,)}


@dataclass(frozen=True, eq=False)
class Statistics(records.Statistics):
    """Expected counts and moments; moments are taken about `reference` so as not to cancel.

    Attributes
    ----------
    counts : ndarray, shape (K,)
        Expected number of observations in each component, ``N_k = sum_n r_nk``.
    first : ndarray, shape (K,)
        ``sum_n r_nk (x_n - reference_k)``.
    second : ndarray, shape (K,)
        ``sum_n r_nk (x_n - reference_k)^2``.
    reference : ndarray, shape (K,)
        The means that the E-step was run with.
    """

    counts: Floats
    first: Floats
    second: Floats
    reference: Floats

    REFERENCE: ClassVar = "reference"


def log_joint(parameters: Parameters, x: Floats) -> Floats:
    """Return ``log p(x_n, z_n = k)``, the log of weight times density.

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (N,)

    Returns
    -------
    ndarray, shape (..., N, K)
    """
    weights, means, variances = (a[..., None, :] for a in parameters.arrays().values())
    with np.errstate(divide="ignore"):  # a weight of zero has the logarithm minus infinity
        return np.log(weights) - 0.5 * (  # (..., N, K)
            np.log(2 * np.pi * variances) + (x[:, None] - means) ** 2 / variances
        )


def log_likelihood(parameters: Parameters, x: Floats) -> Floats:
    """Return the log-likelihood in nats, the components summed out ([2]_, equation 9.28).

    Parameters
    ----------
    parameters : Parameters
        With leading axes, one value is returned for each of their indices.
    x : ndarray, shape (N,)

    Returns
    -------
    ndarray, shape (...)
    """
    return np.asarray(logsumexp(log_joint(parameters, x), axis=-1).sum(axis=-1))


def responsibilities(parameters: Parameters, x: Floats) -> Floats:
    """Return ``r_nk = p(z_n = k | x_n)`` ([2]_, equation 9.23).

    Returns
    -------
    ndarray, shape (..., N, K)
        Probabilities; each row sums to 1.
    """
    joint = log_joint(parameters, x)
    return np.exp(joint - logsumexp(joint, axis=-1, keepdims=True))


def e_step(parameters: Parameters, x: Floats) -> tuple[Statistics, float]:
    """Return the expected statistics under ``p(z | x)``, and the log-likelihood.

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (N,)

    Returns
    -------
    statistics : Statistics
    log_likelihood : float
        Of `parameters`, in nats.
    """
    joint = log_joint(parameters, x)  # (N, K)
    evidence = logsumexp(joint, axis=-1)  # (N,)  log p(x_n)
    r = np.exp(joint - evidence[:, None])  # (N, K)  (9.23)
    centred = x[:, None] - parameters.means  # (N, K)
    statistics = Statistics(
        counts=r.sum(axis=0),  # (K,)  (9.27)
        first=(r * centred).sum(axis=0),
        second=(r * centred**2).sum(axis=0),
        reference=parameters.means,
    )
    return statistics, float(evidence.sum())


def m_step(statistics: Statistics) -> Parameters:
    """Return the parameters that maximise the expected complete-data log-likelihood.

    Raises
    ------
    DegenerateError
        If a component has lost its observations, or its variance has collapsed: there the
        likelihood is unbounded and has no maximum.
    """
    counts = statistics.counts
    records.refuse_empty(counts)
    shift = statistics.first / counts
    means = statistics.reference + shift  # (9.24)
    variances = statistics.second / counts - shift**2  # (9.25), about the new means
    weights = counts / counts.sum()  # (9.26)

    centre = weights @ means
    total = weights @ (variances + (means - centre) ** 2)
    for k in np.flatnonzero(~(variances > records.COLLAPSE * total)):
        raise DegenerateError(
            f"component {k} collapsed onto a point: its variance fell to {variances[k]:.3g} "
            f"at {means[k]:.6g}"
        )
    return Parameters(weights, means, variances)


def sample(parameters: Parameters, size: int, rng: np.random.Generator) -> Floats:
    """Draw `size` observations.

    Returns
    -------
    ndarray, shape (size,)
    """
    z = rng.choice(parameters.n_components, size=size, p=parameters.weights)
    return rng.normal(parameters.means[z], np.sqrt(parameters.variances[z]))


def start(x: Floats, dims: Mapping[str, int], rng: np.random.Generator) -> Parameters:
    """Return random parameters to start from: distinct values of the data as means, ascending.

    The weights are equal and every variance is the data's own.
    """
    K = dims["n_components"]
    means = np.sort(rng.choice(np.unique(x), K, replace=False))
    return Parameters(np.full(K, 1 / K), means, np.full(K, x.var()))


def check_data(data: Any, dims: Mapping[str, int]) -> Floats:
    """Return the data as a float array of shape (N,).

    Raises
    ------
    ValueError
        If they are not one-dimensional and finite, or have fewer distinct values than there are
        components.
    """
    x = records.finite_floats(data, "x")
    if x.ndim != 1:
        raise ValueError(f"x has shape {x.shape}; a 1D mixture needs shape (N,)")
    records.refuse_too_few(len(x), dims["n_components"])
    if x.min() == x.max():
        raise ValueError(f"every value is {x[0]:g}: a constant has no mixture to find")
    records.refuse_too_few(len(np.unique(x)), dims["n_components"], "distinct values")
    return x


def size(x: Floats) -> int:
    """Return the number N of observations."""
    return len(x)


def n_free(parameters: Parameters) -> int:
    """Return the number of free parameters: K - 1 weights, K means, K variances."""
    return 3 * parameters.n_components - 1


def change(old: Parameters, new: Parameters) -> float:
    """Return the largest change of a parameter, in units that the data's scale does not enter.

    Means are counted in standard deviations, variances relative to themselves.
    """
    return float(
        max(
            np.abs(new.weights - old.weights).max(),
            (np.abs(new.means - old.means) / np.sqrt(old.variances)).max(),
            (np.abs(new.variances - old.variances) / old.variances).max(),
        )
    )


def features(parameters: Parameters, reference: Parameters) -> Floats:
    """Return means and log standard deviations in units of the reference's spread.

    Returns
    -------
    ndarray, shape (..., K, 2)
    """
    centre = reference.weights @ reference.means
    spread = reference.weights @ (reference.variances + (reference.means - centre) ** 2)
    return np.stack(
        [
            (parameters.means - centre) / np.sqrt(spread),
            0.5 * np.log(parameters.variances / spread),
        ],
        axis=-1,
    )
