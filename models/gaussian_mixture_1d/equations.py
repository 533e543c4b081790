"""Gaussian mixture in one dimension, fitted by EM.

Letters: N observations, K components; n and k index them.

The model::

    z_n           ~ Categorical(weights)                 the component, unobserved
    x_n | z_n = k ~ Normal(means[k], variances[k])

EM climbs the log-likelihood ``sum_n log sum_k weights[k] Normal(x_n; means[k], variances[k])``.
In turns `e_step` takes the expectation of the latent components, and `m_step` maximises as if they
had been seen::

    E   r_nk  =  weights[k] Normal(x_n; means[k], variances[k]) / (the same, summed over k)

    M   N_k  =  sum_n r_nk                 weights[k]    =  N_k / N
                                           means[k]      =  sum_n r_nk x_n / N_k
                                           variances[k]  =  sum_n r_nk (x_n - means[k])^2 / N_k

A value that was not observed (NaN) is integrated out: its density is 1.

References
----------
.. [1] Dempster, Laird and Rubin (1977), Maximum likelihood from incomplete data via the EM
   algorithm, JRSS B 39, 1-38.
.. [2] Bishop (2006), Pattern Recognition and Machine Learning, section 9.2.2, equations
   (9.23) to (9.28).
.. [3] Fraley and Raftery (2007), Bayesian regularization for normal mixture estimation and
   model-based clustering, J. Classification 24, 155-181.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from scipy.special import logsumexp

from lockstep.models import records, simplex
from lockstep.models.records import CollapseError, Floats
from lockstep.models.spaces import Real, Simplex, Variance

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

    weights: Annotated[Floats, Simplex("K")]
    means: Annotated[Floats, Real("K", unit="variances")]
    variances: Annotated[Floats, Variance("K")]


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

    def about(self, reference: Floats) -> Statistics:
        """Return the same statistics, their moments taken about another point."""
        d = self.reference - reference
        return Statistics(
            self.counts,
            self.first + self.counts * d,
            self.second + 2 * self.first * d + self.counts * d**2,
            reference,
        )


@dataclass(frozen=True, eq=False)
class Prior(records.Prior):
    """The conjugate prior, the same for every component ([3]_, section 3).

    Weights are Dirichlet; a component's variance is inverse gamma(df / 2, scale / 2), and its
    mean given the variance is Normal(mean, variance / strength).

    Attributes
    ----------
    mean : ndarray, shape ()
        Prior mean of the means, in the data's unit.
    strength : ndarray, shape ()
        How many observations the prior mean counts for.
    df : ndarray, shape ()
        Degrees of freedom of the variance.
    scale : ndarray, shape ()
        In the data's unit squared.
    concentration : ndarray, shape ()
        Of the weights; 1 is flat.
    """

    mean: Floats
    strength: Floats
    df: Floats
    scale: Floats
    concentration: Floats = field(default_factory=lambda: np.array(1.0))

    SHAPES: ClassVar = dict.fromkeys(("mean", "strength", "df", "scale", "concentration"), "")

    def __post_init__(self) -> None:
        super().__post_init__()
        simplex.refuse_spiked(concentration=self.concentration)

    @classmethod
    def defaults(cls, x: Floats, n_components: int) -> Prior:
        """Return the defaults of [3]_: weak, and with room for K components side by side."""
        x = x[~np.isnan(x)]
        return cls.of(mean=x.mean(), strength=0.01, df=3, scale=x.var(ddof=1) / n_components**2)

    def statistics(self, reference: Floats) -> Statistics:
        """Return the observations that the prior counts for, as moments about the reference."""
        d = self.mean - reference
        return Statistics(
            np.full_like(d, self.strength),
            self.strength * d,
            self.strength * d**2 + self.scale,
            reference,
        )

    def log_density(self, parameters: Parameters) -> float:
        """Return the log-density without its constant: what MAP-EM adds to the log-likelihood."""
        v = parameters.variances
        deviance = (self.scale + self.strength * (parameters.means - self.mean) ** 2) / v
        return simplex.log_dirichlet(self.concentration, parameters.weights) - 0.5 * float(
            ((self.df + 3) * np.log(v) + deviance).sum()
        )


def log_joint(parameters: Parameters, x: Floats) -> Floats:
    """Return ``log p(x_n, z_n = k)``, the log of weight times density.

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (N,)
        NaN where nothing was observed.

    Returns
    -------
    ndarray, shape (..., N, K)
    """
    x = check_chunk(x, {}, missing=True)
    weights, means, variances = (a[..., None, :] for a in parameters.arrays().values())
    with np.errstate(over="ignore"):  # so far away the density is zero
        squares = (x[:, None] - means) ** 2 / variances  # (..., N, K)
    log_density = -0.5 * (np.log(2 * np.pi * variances) + squares)
    return simplex.to_logs(weights) + np.where(np.isnan(x)[:, None], 0.0, log_density)


def log_densities(parameters: Parameters, x: Floats) -> Floats:
    """Return ``log p(x_n)``, the components summed out ([2]_, equation 9.7).

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (N,)

    Returns
    -------
    ndarray, shape (..., N)
    """
    return np.asarray(logsumexp(log_joint(parameters, x), axis=-1))


def log_likelihood(parameters: Parameters, x: Floats) -> Floats:
    """Return the log-likelihood in nats ([2]_, equation 9.28).

    Parameters
    ----------
    parameters : Parameters
        With leading axes, one value is returned for each of their indices.
    x : ndarray, shape (N,)

    Returns
    -------
    ndarray, shape (...)
    """
    return np.asarray(log_densities(parameters, x).sum(axis=-1))


def responsibilities(parameters: Parameters, x: Floats) -> Floats:
    """Return ``r_nk = p(z_n = k | x_n)`` ([2]_, equation 9.23).

    Returns
    -------
    ndarray, shape (..., N, K)
        Probabilities; each row sums to 1.
    """
    joint = log_joint(parameters, x)
    return simplex.posterior(joint, lambda: simplex.nearest(log_joint, parameters, x))


memberships = responsibilities
"""Where an observation comes from: the name by which every model is asked."""


def e_step(
    parameters: Parameters, x: Floats, weights: Floats | None = None
) -> tuple[Statistics, float]:
    """Return the expected statistics under ``p(z | x)``, and the log-likelihood.

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (N,)
        NaN where nothing was observed.
    weights : ndarray, shape (N,), optional
        How often each observation counts; 0 leaves it out.

    Returns
    -------
    statistics : Statistics
    log_likelihood : float
        Of `parameters`, in nats.
    """
    x = _rows(x)
    w = records.checked_weights(weights, len(x))
    x, w = x[w > 0], w[w > 0]
    joint = log_joint(parameters, x)  # (N, K)
    evidence = logsumexp(joint, axis=-1)  # (N,)  log p(x_n)
    r = w[:, None] * simplex.posterior(  # (N, K)  (9.23)
        joint, lambda: simplex.nearest(log_joint, parameters, x)
    )
    missing = np.isnan(x)[:, None]
    centred = np.where(missing, 0.0, x[:, None] - parameters.means)  # (N, K)
    squares = np.where(missing, parameters.variances, centred**2)  # a missing one's is expected
    statistics = Statistics(
        counts=r.sum(axis=0),  # (K,)  (9.27)
        first=(r * centred).sum(axis=0),
        second=(r * squares).sum(axis=0),
        reference=parameters.means,
    )
    return statistics, float((w * evidence).sum())


def m_step(
    statistics: Statistics, *, prior: Prior | None = None, reg_covar: float = 0.0
) -> Parameters:
    """Return the parameters that maximise the expected complete-data log-likelihood.

    Parameters
    ----------
    statistics : Statistics
    prior : Prior, optional
        Then its log-density is added to what is maximised.
    reg_covar : float, optional
        Added to every variance afterwards. This is no prior: the log-likelihood may fall.

    Raises
    ------
    DegenerateError
        If a component has lost its observations, or its variance has collapsed even with the
        ridge (`CollapseError`): there the likelihood is unbounded and has no maximum.
    """
    counts = for_mean = for_variance = statistics.counts
    if prior is not None:
        statistics += prior.statistics(statistics.reference)
        for_mean, for_variance = statistics.counts, counts + prior.df + 3
        counts = counts + prior.concentration - 1
    records.refuse_empty(counts)
    shift = statistics.first / for_mean
    means = statistics.reference + shift  # (9.24)
    variances = (statistics.second - for_mean * shift**2) / for_variance  # (9.25)
    # Where a mean has come from afar this cancels; the next E-step will see the variance itself.
    rounding = records.RESOLUTION * statistics.second / for_variance
    variances = np.maximum(variances + reg_covar, rounding)
    weights = counts / counts.sum()  # (9.26)

    parameters = Parameters(weights, means, variances)
    refuse_collapsed(parameters, reg_covar)
    return parameters


def refuse_collapsed(parameters: Parameters, reg_covar: float = 0.0) -> None:
    """Raise CollapseError if double precision cannot hold a component: it is as good as a point.

    However narrow a component is beside the others, it is sound as long as its standard deviation
    is more than the rounding of numbers where it lies.
    """
    means, variances = parameters.means, parameters.variances
    least = np.maximum((records.RESOLUTION * means) ** 2, records.SMALLEST)
    for k in np.flatnonzero(~(variances > least)):
        raise CollapseError(
            f"component {k} collapsed onto a point: its variance fell to {variances[k]:.3g} "
            f"at {means[k]:.6g}{records.lost_ridge(reg_covar)}"
        )


def collapsed(parameters: Parameters, x: Floats) -> str | None:
    """Return which component is at a singularity of the likelihood, and where; None if none is.

    So is one that a ridge alone holds from it: a component on a single value, repeated or not,
    whose variance EM without the ridge sends to zero.

    Parameters
    ----------
    parameters : Parameters
        Anybody's; without leading axes.
    x : ndarray, shape (N,)
    """
    return records.collapse_ahead(
        parameters, refuse_collapsed, lambda p: m_step(e_step(p, x)[0]), _log_volumes
    )


def _log_volumes(parameters: Parameters) -> Floats:
    return np.log(parameters.variances)


def score(statistics: Statistics, parameters: Parameters) -> Parameters:
    """Return each parameter's partial derivative of the log-likelihood, by Fisher's identity.

    The gradient of ``log p(x)`` is the expectation, given x, of the gradient of ``log p(x, z)``:
    the complete data's score at the expected statistics. Every entry counts as free; along the
    simplex of the weights only differences of their derivatives matter.

    Parameters
    ----------
    statistics : Statistics
        From the E-step at `parameters`.
    parameters : Parameters
    """
    s, variances = statistics.about(parameters.means), parameters.variances
    return Parameters(
        weights=simplex.score(s.counts, parameters.weights),
        means=s.first / variances,
        variances=0.5 * (s.second / variances - s.counts) / variances,
    )


def gradient(parameters: Parameters, x: Floats) -> tuple[Parameters, float]:
    """Return the derivatives of the log-likelihood, at zero weights too, and its value.

    As `score`, but the derivative by a weight is ``sum_n N(x_n | k) / p(x_n)``, which is the
    expected count over the weight wherever that can be divided.

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (N,)

    Returns
    -------
    derivatives : Parameters
    log_likelihood : float
        In nats.
    """
    statistics, value = e_step(parameters, x)
    even = replace(parameters, weights=np.ones_like(parameters.weights))
    evidence = logsumexp(log_joint(parameters, x), axis=-1, keepdims=True)  # (N, 1)
    with np.errstate(over="ignore"):
        by_weights = np.exp(log_joint(even, x) - evidence).sum(axis=0)
    return replace(score(statistics, parameters), weights=simplex.bounded(by_weights)), value


def sample(parameters: Parameters, size: int, rng: np.random.Generator) -> Floats:
    """Draw `size` observations.

    Returns
    -------
    ndarray, shape (size,)
    """
    records.refuse_no_count("size", size, 0)
    weights = records.normalised(parameters.weights, "weights")
    z = rng.choice(parameters.n_components, size=size, p=weights)
    return rng.normal(parameters.means[z], np.sqrt(parameters.variances[z]))


def start(x: Floats, dims: Mapping[str, int], rng: np.random.Generator) -> Parameters:
    """Return random parameters to start from: distinct values of the data as means, ascending.

    The weights are equal and every variance is the data's own.
    """
    K = dims["n_components"]
    x = x[~np.isnan(x)]
    values = np.unique(x)
    records.refuse_too_few(len(values), K, "distinct values")
    _refuse_constant(values)
    means = np.sort(rng.choice(values, K, replace=False))
    return Parameters(np.full(K, 1 / K), means, np.full(K, x.var()))


def check_data(data: Any, dims: Mapping[str, int], *, missing: bool = False) -> Floats:
    """Return the data as a float array of shape (N,).

    Parameters
    ----------
    data : array_like, shape (N,)
    dims : mapping
        ``n_components``.
    missing : bool, optional
        Whether NaN stands for a value that was not observed.

    Raises
    ------
    ValueError
        If they are not one-dimensional and finite, have fewer distinct values than there are
        components, or are so large or small that their squares are no doubles.
    """
    x = check_chunk(data, dims, missing=missing)
    seen = x[~np.isnan(x)]
    records.refuse_too_few(len(seen), dims["n_components"])
    _refuse_constant(seen)
    records.refuse_unit(x, "x")
    records.refuse_too_few(len(np.unique(seen)), dims["n_components"], "distinct values")
    return x


def _refuse_constant(x: Floats) -> None:
    if x.min() == x.max():
        raise ValueError(f"every value is {x[0]:g}: a constant has no mixture to find")


def _rows(data: Any) -> Floats:
    x = records.floats(data, "x")
    if x.ndim != 1:
        raise ValueError(f"x has shape {x.shape}; a 1D mixture needs shape (N,)")
    return x


def check_chunk(data: Any, dims: Mapping[str, int], *, missing: bool = False) -> Floats:  # noqa: ARG001
    """Return a part of the data as a float array of shape (N,).

    As `check_data`, without what can only be asked of the whole.
    """
    return records.finite_floats(_rows(data), "x", missing=missing)


def rounding(parameters: Parameters) -> float:
    """Return how far rounding may move a parameter in one iteration, as `change` counts it.

    A mean is rounded to a few units in its last place, and all else follows it.
    """
    return records.RESOLUTION * float(
        (np.abs(parameters.means) / np.sqrt(parameters.variances)).max()
    )
