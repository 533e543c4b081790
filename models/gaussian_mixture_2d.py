"""Gaussian mixture with full covariances, taught in two dimensions, right in any D >= 1.

Letters: N observations of D coordinates, K components; n and k index observations, components.

The model::

    z_n           ~ Categorical(weights)                   the component, unobserved
    x_n | z_n = k ~ Normal(means[k], covariances[k])

References
----------
.. [1] Bishop (2006), Pattern Recognition and Machine Learning, section 9.2.2, equations
   (9.23) to (9.28).
.. [2] McLachlan and Peel (2000), Finite Mixture Models, chapter 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import logsumexp

from models import records
from models.records import DegenerateError, Floats

NAME = "gaussian_mixture_2d"
TITLE = "Gaussian mixture, 2D"


@dataclass(frozen=True, eq=False)
class Parameters(records.Parameters):
    """What the mixture is made of; a posterior has leading (chain, draw) axes.

    Attributes
    ----------
    weights : ndarray, shape (..., K)
        Probability of each component; they sum to 1.
    means : ndarray, shape (..., K, D)
        In the units of the data.
    covariances : ndarray, shape (..., K, D, D)
        In products of the data's units; symmetric and positive definite.
    """

    weights: Floats
    means: Floats
    covariances: Floats

    COMPONENT_AXES: ClassVar = {"weights": (-1,), "means": (-2,), "covariances": (-3,)}


@dataclass(frozen=True, eq=False)
class Statistics(records.Statistics):
    """Expected counts and moments; moments are taken about `reference` so as not to cancel.

    Attributes
    ----------
    counts : ndarray, shape (K,)
        Expected number of observations in each component, ``N_k = sum_n r_nk``.
    first : ndarray, shape (K, D)
        ``sum_n r_nk (x_n - reference_k)``.
    second : ndarray, shape (K, D, D)
        ``sum_n r_nk (x_n - reference_k) (x_n - reference_k)'``.
    reference : ndarray, shape (K, D)
        The means that the E-step was run with.
    """

    counts: Floats
    first: Floats
    second: Floats
    reference: Floats

    REFERENCE: ClassVar = "reference"


def log_joint(parameters: Parameters, x: Floats) -> Floats:
    """Return ``log p(x_n, z_n = k)``, the log of weight times density.

    With ``covariance = L L'`` (Cholesky) the quadratic form of the density is ``|u|^2`` for
    ``L u = x - mean``, and half the log-determinant is the sum of ``log diag L``.

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (N, D)

    Returns
    -------
    ndarray, shape (..., N, K)

    Raises
    ------
    DegenerateError
        If a covariance is not positive definite.
    """
    D = x.shape[1]
    try:
        L = np.linalg.cholesky(parameters.covariances)  # (..., K, D, D)
    except np.linalg.LinAlgError:
        raise DegenerateError("a covariance is not positive definite") from None
    centred = x.T - parameters.means[..., None]  # (..., K, D, N)
    u = np.linalg.solve(L, centred)  # (..., K, D, N)
    half_log_det = np.log(np.diagonal(L, axis1=-2, axis2=-1)).sum(axis=-1)  # (..., K)
    with np.errstate(divide="ignore"):  # a weight of zero has the logarithm minus infinity
        log_scale = np.log(parameters.weights) - 0.5 * D * np.log(2 * np.pi) - half_log_det
    joint = log_scale[..., None] - 0.5 * (u**2).sum(axis=-2)  # (..., K, N)
    return np.moveaxis(joint, -2, -1)


def log_likelihood(parameters: Parameters, x: Floats) -> Floats:
    """Return the log-likelihood in nats, the components summed out ([1]_, equation 9.28).

    Parameters
    ----------
    parameters : Parameters
        With leading axes, one value is returned for each of their indices.
    x : ndarray, shape (N, D)

    Returns
    -------
    ndarray, shape (...)
    """
    return np.asarray(logsumexp(log_joint(parameters, x), axis=-1).sum(axis=-1))


def responsibilities(parameters: Parameters, x: Floats) -> Floats:
    """Return ``r_nk = p(z_n = k | x_n)`` ([1]_, equation 9.23).

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
    x : ndarray, shape (N, D)

    Returns
    -------
    statistics : Statistics
    log_likelihood : float
        Of `parameters`, in nats.
    """
    joint = log_joint(parameters, x)  # (N, K)
    evidence = logsumexp(joint, axis=-1)  # (N,)  log p(x_n)
    r = np.exp(joint - evidence[:, None])  # (N, K)  (9.23)
    centred = x - parameters.means[:, None]  # (K, N, D)
    weighted = r.T[..., None] * centred  # (K, N, D)
    statistics = Statistics(
        counts=r.sum(axis=0),  # (K,)  (9.27)
        first=weighted.sum(axis=1),  # (K, D)
        second=weighted.mT @ centred,  # (K, D, D)
        reference=parameters.means,
    )
    return statistics, float(evidence.sum())


def m_step(statistics: Statistics) -> Parameters:
    """Return the parameters that maximise the expected complete-data log-likelihood.

    Raises
    ------
    DegenerateError
        If a component has lost its observations, or its covariance has collapsed: there the
        likelihood is unbounded and has no maximum.
    """
    counts = statistics.counts
    records.refuse_empty(counts)
    shift = statistics.first / counts[:, None]  # (K, D)
    means = statistics.reference + shift  # (9.24)
    covariances = (  # (9.25), about the new means
        statistics.second / counts[:, None, None] - shift[:, :, None] * shift[:, None, :]
    )
    covariances = (covariances + covariances.mT) / 2  # rounding must not break the symmetry
    weights = counts / counts.sum()  # (9.26)

    # Relative to the spread of all data, by its Cholesky factor, so that units do not matter.
    centred = means - weights @ means
    total = np.einsum("k,kde->de", weights, covariances + centred[:, :, None] * centred[:, None])
    scale = np.sqrt(np.diagonal(total))
    for k, covariance in enumerate(covariances / (scale[:, None] * scale)):
        if not np.linalg.eigvalsh(covariance)[0] > records.COLLAPSE:
            raise DegenerateError(
                f"component {k} collapsed: the covariance about {np.round(means[k], 6).tolist()} "
                "is singular"
            )
    return Parameters(weights, means, covariances)


def sample(parameters: Parameters, size: int, rng: np.random.Generator) -> Floats:
    """Draw `size` observations.

    Returns
    -------
    ndarray, shape (size, D)
    """
    z = rng.choice(parameters.n_components, size=size, p=parameters.weights)
    L = np.linalg.cholesky(parameters.covariances)
    standard = rng.standard_normal((size, parameters.means.shape[1]))
    x: Floats = parameters.means[z] + np.matvec(L[z], standard)
    return x


def start(x: Floats, dims: Mapping[str, int], rng: np.random.Generator) -> Parameters:
    """Return random parameters to start from: distinct points of the data as means.

    They are in ascending order of their first coordinate; the weights are equal and every
    covariance is the data's own.
    """
    K = dims["n_components"]
    means = rng.choice(np.unique(x, axis=0), K, replace=False)
    means = means[np.argsort(means[:, 0], kind="stable")]
    covariance = np.atleast_2d(np.cov(x.T, bias=True))
    return Parameters(np.full(K, 1 / K), means, np.repeat(covariance[None], K, axis=0))


def check_data(data: Any, dims: Mapping[str, int]) -> Floats:
    """Return the data as a float array of shape (N, D).

    Raises
    ------
    ValueError
        If they are not two-dimensional and finite, have fewer distinct rows than there are
        components, or have a column that is constant or that the others determine.
    """
    x = records.finite_floats(data, "x")
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f"x has shape {x.shape}; this mixture needs shape (N, D)")
    records.refuse_too_few(len(x), dims["n_components"])
    for d in np.flatnonzero(x.min(axis=0) == x.max(axis=0)):
        raise ValueError(
            f"column {d} is constant at {x[0, d]:g}: its covariance is singular; leave it out"
        )
    if x.shape[1] > 1:
        smallest = np.linalg.eigvalsh(np.corrcoef(x.T))[0]
        if smallest <= records.COLLAPSE:
            raise ValueError(
                "the columns determine one another (their correlation matrix is singular): "
                "leave one out"
            )
    records.refuse_too_few(len(np.unique(x, axis=0)), dims["n_components"], "distinct rows")
    return x


def size(x: Floats) -> int:
    """Return the number N of observations."""
    return len(x)


def n_free(parameters: Parameters) -> int:
    """Return the number of free parameters: weights, means and symmetric covariances."""
    K, D = parameters.means.shape
    return int((K - 1) + K * D + K * D * (D + 1) // 2)


def change(old: Parameters, new: Parameters) -> float:
    """Return the largest change of a parameter, in units that the data's scale does not enter.

    Means are counted in standard deviations, covariances in products of two of them.
    """
    scale = np.sqrt(np.diagonal(old.covariances, axis1=-2, axis2=-1))  # (K, D)
    return float(
        max(
            np.abs(new.weights - old.weights).max(),
            (np.abs(new.means - old.means) / scale).max(),
            (
                np.abs(new.covariances - old.covariances)
                / (scale[..., :, None] * scale[..., None, :])
            ).max(),
        )
    )


def features(parameters: Parameters, reference: Parameters) -> Floats:
    """Return means and log standard deviations in units of the reference's spread.

    Returns
    -------
    ndarray, shape (..., K, 2 D)
    """
    centre = reference.weights @ reference.means  # (D,)
    variances = np.diagonal(reference.covariances, axis1=-2, axis2=-1)  # (K, D)
    spread = reference.weights @ (variances + (reference.means - centre) ** 2)  # (D,)
    own = np.diagonal(parameters.covariances, axis1=-2, axis2=-1)
    return np.concatenate(
        [(parameters.means - centre) / np.sqrt(spread), 0.5 * np.log(own / spread)], axis=-1
    )
