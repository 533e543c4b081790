"""Gaussian mixture with full covariances, taught in two dimensions, right in any D >= 1.

Letters: N observations of D coordinates, K components; n and k index observations, components.

The model::

    z_n           ~ Categorical(weights)                   the component, unobserved
    x_n | z_n = k ~ Normal(means[k], covariances[k])

EM climbs its log-likelihood by `e_step` and `m_step` in turns::

    E   r_nk  =  weights[k] Normal(x_n; means[k], covariances[k]) / (the same, summed over k)

    M   N_k  =  sum_n r_nk    weights[k]      =  N_k / N
                              means[k]        =  sum_n r_nk x_n / N_k
                              covariances[k]  =  sum_n r_nk (x_n - means[k]) (x_n - means[k])' / N_k

A coordinate that was not observed (NaN) is integrated out: a row enters with the density of the
coordinates that it has, which is maximum likelihood for values missing at random.

References
----------
.. [1] Bishop (2006), Pattern Recognition and Machine Learning, section 9.2.2, equations
   (9.23) to (9.28).
.. [2] McLachlan and Peel (2000), Finite Mixture Models, chapter 3.
.. [3] Fraley and Raftery (2007), Bayesian regularization for normal mixture estimation and
   model-based clustering, J. Classification 24, 155-181.
.. [4] Ghahramani and Jordan (1994), Supervised learning from incomplete data via an EM approach,
   NIPS 6, 120-127: the E-step with missing coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from lockstep.models import records, simplex
from lockstep.models.records import CollapseError, DegenerateError, Floats, Integers
from lockstep.models.spaces import PositiveDefinite, Real, Simplex

NAME = "gaussian_mixture_2d"
TITLE = "Gaussian mixture, 2D"

type CovarianceType = Literal["full", "tied", "diag", "spherical"]


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

    weights: Annotated[Floats, Simplex("K")]
    means: Annotated[Floats, Real("KD", unit="covariances")]
    covariances: Annotated[Floats, PositiveDefinite("KDD")]


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

    def about(self, reference: Floats) -> Statistics:
        """Return the same statistics, their moments taken about another point."""
        d = self.reference - reference  # (K, D)
        cross = self.first[:, :, None] * d[:, None]
        return Statistics(
            self.counts,
            self.first + self.counts[:, None] * d,
            self.second + cross + cross.mT + self.counts[:, None, None] * _squares(d),
            reference,
        )


def _squares(d: Floats) -> Floats:
    """Return ``d d'`` of each row."""
    return d[..., :, None] * d[..., None, :]


@dataclass(frozen=True, eq=False)
class Prior(records.Prior):
    """The conjugate prior, the same for every component ([3]_, section 3).

    Weights are Dirichlet; a component's covariance is inverse Wishart(df, scale), and its mean
    given the covariance is Normal(mean, covariance / strength). Where covariances are restricted
    to be tied, diagonal or spherical, so is this density; a tied one then has the prior of each
    of the K components, where [3]_ counts it once.

    Attributes
    ----------
    mean : ndarray, shape (D,)
        Prior mean of the means.
    strength : ndarray, shape ()
        How many observations the prior mean counts for.
    df : ndarray, shape ()
        Degrees of freedom of the covariance.
    scale : ndarray, shape (D, D)
        The inverse Wishart's, in products of the data's units.
    concentration : ndarray, shape ()
        Of the weights; 1 is flat.
    """

    mean: Floats
    strength: Floats
    df: Floats
    scale: Floats
    concentration: Floats = field(default_factory=lambda: np.array(1.0))

    SHAPES: ClassVar = {"mean": "D", "strength": "", "df": "", "scale": "DD", "concentration": ""}

    def __post_init__(self) -> None:
        super().__post_init__()
        simplex.refuse_spiked(concentration=self.concentration)

    @classmethod
    def defaults(cls, x: Floats, n_components: int) -> Prior:
        """Return the defaults of [3]_: weak, and with room for K components side by side.

        Rows with a missing coordinate are left out of the data's own mean and covariance.
        """
        x = x[~np.isnan(x).any(axis=1)]
        D = x.shape[1]
        scale = np.atleast_2d(np.cov(x.T)) / n_components ** (2 / D)
        return cls.of(mean=x.mean(axis=0), strength=0.01, df=D + 2, scale=scale)

    def statistics(self, reference: Floats) -> Statistics:
        """Return the observations that the prior counts for, as moments about the reference."""
        d = self.mean - reference  # (K, D)
        return Statistics(
            np.full(len(d), self.strength),
            self.strength * d,
            self.strength * _squares(d) + self.scale,
            reference,
        )

    def log_density(self, parameters: Parameters) -> float:
        """Return the log-density without its constant: what MAP-EM adds to the log-likelihood."""
        D = len(self.mean)
        moment = self.scale + self.strength * _squares(parameters.means - self.mean)
        deviance = np.trace(np.linalg.solve(parameters.covariances, moment), axis1=1, axis2=2)
        log_det = np.linalg.slogdet(parameters.covariances)[1]
        return simplex.log_dirichlet(self.concentration, parameters.weights) - 0.5 * float(
            ((self.df + D + 2) * log_det + deviance).sum()
        )


def patterns(x: Floats) -> Iterator[tuple[NDArray[np.bool_], Integers | slice]]:
    """Yield each pattern of observed coordinates, shape (D,), with the rows that have it."""
    observed = ~np.isnan(x)
    if observed.all():
        yield np.ones(x.shape[1], dtype=np.bool_), slice(None)
        return
    which, inverse = np.unique(observed, axis=0, return_inverse=True)
    for p, pattern in enumerate(which):
        yield pattern, np.flatnonzero(inverse == p)


def cholesky(covariances: Floats) -> Floats:
    """Return lower triangular L with ``covariance = L L'``.

    Raises
    ------
    DegenerateError
        If a covariance is not positive definite.
    """
    try:
        return np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        raise DegenerateError("a covariance is not positive definite") from None


def log_joint(parameters: Parameters, x: Floats) -> Floats:
    """Return ``log p(x_n, z_n = k)``, the log of weight times density.

    With ``covariance = L L'`` (Cholesky) the quadratic form of the density is ``|u|^2`` for
    ``L u = x - mean``, and half the log-determinant is the sum of ``log diag L``.

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (N, D)
        NaN where a coordinate was not observed; the density is that of the others.

    Returns
    -------
    ndarray, shape (..., N, K)

    Raises
    ------
    DegenerateError
        If a covariance is not positive definite.
    """
    x = check_chunk(x, {"n_columns": parameters.means.shape[-1]}, missing=True)
    log_weights = simplex.to_logs(parameters.weights)[..., None]
    joint = np.empty((*parameters.weights.shape, len(x)))  # (..., K, N)
    for seen, rows in patterns(x):
        means, covariances = parameters.means[..., seen], parameters.covariances[..., seen, :]
        L = cholesky(covariances[..., seen])  # (..., K, D, D)
        centred = x[rows][:, seen].T - means[..., None]  # (..., K, D, N)
        u = np.linalg.solve(L, centred)  # (..., K, D, N)
        half_log_det = np.log(np.diagonal(L, axis1=-2, axis2=-1)).sum(axis=-1)  # (..., K)
        log_scale = -0.5 * seen.sum() * np.log(2 * np.pi) - half_log_det
        with np.errstate(over="ignore"):  # so far away the density is zero
            squares = (u**2).sum(axis=-2)  # (..., K, N)
        joint[..., rows] = log_weights + log_scale[..., None] - 0.5 * squares
    return np.moveaxis(joint, -2, -1)


def log_densities(parameters: Parameters, x: Floats) -> Floats:
    """Return ``log p(x_n)``, the components summed out ([1]_, equation 9.7).

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (N, D)

    Returns
    -------
    ndarray, shape (..., N)
    """
    return np.asarray(logsumexp(log_joint(parameters, x), axis=-1))


def log_likelihood(parameters: Parameters, x: Floats) -> Floats:
    """Return the log-likelihood in nats ([1]_, equation 9.28).

    Parameters
    ----------
    parameters : Parameters
        With leading axes, one value is returned for each of their indices.
    x : ndarray, shape (N, D)

    Returns
    -------
    ndarray, shape (...)
    """
    return np.asarray(log_densities(parameters, x).sum(axis=-1))


def responsibilities(parameters: Parameters, x: Floats) -> Floats:
    """Return ``r_nk = p(z_n = k | x_n)`` ([1]_, equation 9.23).

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
    x : ndarray, shape (N, D)
        NaN where a coordinate was not observed.
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
    first, second = np.zeros(parameters.means.shape), np.zeros(parameters.covariances.shape)
    for seen, rows in patterns(x):
        centred, left = completed(parameters, x[rows], seen)  # (K, N, D), (K, D, D)
        weighted = r[rows].T[..., None] * centred  # (K, N, D)
        first += weighted.sum(axis=1)  # (K, D)
        second += weighted.mT @ centred + r[rows].sum(axis=0)[:, None, None] * left
    statistics = Statistics(
        counts=r.sum(axis=0),  # (K,)  (9.27)
        first=first,
        second=second,
        reference=parameters.means,
    )
    return statistics, float((w * evidence).sum())


def completed(parameters: Parameters, x: Floats, seen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return what is expected of rows that lack the same coordinates, given those they have.

    With o the observed and m the missing coordinates, x_m given x_o is normal with the mean
    ``mu_m + S_mo S_oo^-1 (x_o - mu_o)`` and the covariance ``S_mm - S_mo S_oo^-1 S_om`` ([4]_).

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (N, D)
    seen : ndarray of bool, shape (D,)

    Returns
    -------
    centred : ndarray, shape (K, N, D)
        Expected deviation from each component's mean.
    left : ndarray, shape (K, D, D)
        Conditional covariance; zero but for missing coordinates.
    """
    centred = x - parameters.means[:, None]  # (K, N, D)
    left = np.zeros_like(parameters.covariances)
    if not seen.all():
        o, m = np.flatnonzero(seen), np.flatnonzero(~seen)
        S = parameters.covariances
        S_om = S[:, o[:, None], m]
        regression = np.linalg.solve(S[:, o[:, None], o], S_om)  # (K, o, m)
        centred[..., m] = centred[..., o] @ regression
        left[:, m[:, None], m] = S[:, m[:, None], m] - S_om.mT @ regression
    return centred, left


def m_step(
    statistics: Statistics,
    *,
    prior: Prior | None = None,
    covariance_type: CovarianceType = "full",
    reg_covar: float = 0.0,
) -> Parameters:
    """Return the parameters that maximise the expected complete-data log-likelihood.

    Parameters
    ----------
    statistics : Statistics
    prior : Prior, optional
        Then its log-density is added to what is maximised.
    covariance_type : {"full", "tied", "diag", "spherical"}
        Among which covariances: any; one for all components; diagonal ones; multiples of I.
    reg_covar : float, optional
        Added to every diagonal afterwards. This is no prior: the log-likelihood may fall.

    Raises
    ------
    DegenerateError
        If a component has lost its observations, or its covariance has collapsed even with the
        ridge (`CollapseError`): there the likelihood is unbounded and has no maximum.
    """
    D = statistics.first.shape[1]
    counts = for_mean = for_covariance = statistics.counts
    if prior is not None:
        statistics += prior.statistics(statistics.reference)
        for_mean, for_covariance = statistics.counts, counts + prior.df + D + 2
        counts = counts + prior.concentration - 1
    records.refuse_empty(counts)
    shift = statistics.first / for_mean[:, None]  # (K, D)
    means = statistics.reference + shift  # (9.24)
    scatter = statistics.second - for_mean[:, None, None] * _squares(shift)
    scatter = (scatter + scatter.mT) / 2  # rounding must not break the symmetry
    scatter = _resolved(scatter, statistics.second, reg_covar * for_covariance)
    covariances = _averaged(scatter, for_covariance, covariance_type)  # (9.25)
    covariances = covariances + reg_covar * np.eye(D)
    weights = counts / counts.sum()  # (9.26)

    parameters = Parameters(weights, means, covariances)
    refuse_collapsed(parameters, reg_covar)
    return parameters


def refuse_collapsed(parameters: Parameters, reg_covar: float = 0.0) -> None:
    """Raise CollapseError if double precision cannot hold a component: it is as good as flat.

    However small a component is beside the others, it is sound as long as its standard deviations
    are more than the rounding of numbers where it lies, and no direction of it is rounding.
    """
    means = parameters.means
    variances = np.diagonal(parameters.covariances, axis1=-2, axis2=-1)  # (K, D)
    rounding = (records.RESOLUTION * means) ** 2
    flat = ~(variances > np.maximum(rounding, records.SMALLEST))
    for d in np.flatnonzero(flat.all(axis=0)):
        if np.ptp(means[:, d]) <= np.sqrt(rounding[:, d].max()):
            raise CollapseError(
                f"all components collapsed in column {d}: it is constant at {means[0, d]:.6g}"
                + records.lost_ridge(reg_covar)
            )
    for k in range(len(means)):
        if not flat[k].any():
            scale = np.sqrt(variances[k])
            correlations = parameters.covariances[k] / scale[:, None] / scale
            least = max(2 * records.RESOLUTION * len(scale), (rounding[k] / variances[k]).sum())
            if np.linalg.eigvalsh(correlations)[0] > least:
                continue
        place = ", ".join(f"{mean:.6g}" for mean in means[k])
        raise CollapseError(
            f"component {k} collapsed: the covariance about [{place}] is singular"
            + records.lost_ridge(reg_covar)
        )


def collapsed(parameters: Parameters, x: Floats) -> str | None:
    """Return which component is at a singularity of the likelihood, and where; None if none is.

    So is one that a ridge alone holds from it: a component on a point, a line or a plane, whose
    covariance EM without the ridge makes singular.

    Parameters
    ----------
    parameters : Parameters
        Anybody's; without leading axes.
    x : ndarray, shape (N, D)
    """
    return records.collapse_ahead(
        parameters, refuse_collapsed, lambda p: m_step(e_step(p, x)[0]), _log_volumes
    )


def _log_volumes(parameters: Parameters) -> Floats:
    return np.asarray(np.linalg.slogdet(parameters.covariances)[1])


def _resolved(scatter: Floats, second: Floats, ridge: Floats) -> Floats:
    """Return the scatter, diagonal wherever a mean has come from afar and left but rounding of it.

    The next E-step, about the new mean, will see the scatter itself.
    """
    moments, squares = (np.diagonal(a, axis1=-2, axis2=-1) for a in (second, scatter))  # (K, D)
    far = (np.sqrt(records.RESOLUTION) * moments > squares + ridge[:, None]).any(axis=1)
    if far.any():
        scatter = scatter.copy()
        least = np.maximum(squares, records.RESOLUTION * moments)
        scatter[far] = least[far][:, :, None] * np.eye(scatter.shape[1])
    return scatter


def _averaged(scatter: Floats, counts: Floats, covariance_type: CovarianceType) -> Floats:
    """Return scatter per count, pooled over components or masked as the type says."""
    K, D, _ = scatter.shape
    if covariance_type == "tied":
        scatter, counts = np.broadcast_to(scatter.sum(axis=0), (K, D, D)), counts.sum()[None]
    covariances: Floats = scatter / counts[:, None, None]
    if covariance_type in ("full", "tied"):
        return covariances
    if covariance_type == "diag":
        return covariances * np.eye(D)
    if covariance_type == "spherical":
        variances: Floats = np.trace(covariances, axis1=1, axis2=2) / D
        return variances[:, None, None] * np.eye(D)
    raise ValueError(
        f"covariance_type is {covariance_type!r}; expected 'full', 'tied', 'diag' or 'spherical'"
    )


def score(statistics: Statistics, parameters: Parameters) -> Parameters:
    """Return each parameter's partial derivative of the log-likelihood, by Fisher's identity.

    The gradient of ``log p(x)`` is the expectation, given x, of the gradient of ``log p(x, z)``:
    the complete data's score at the expected statistics. Every entry counts as free; along the
    simplex of the weights only differences of their derivatives matter. With P the inverse of a
    covariance and S the second moment about the mean, its derivative is ``(P S P - N_k P) / 2``:
    the symmetric G for which ``sum_ij G_ij dC_ij`` is the change along any symmetric dC.

    Parameters
    ----------
    statistics : Statistics
        From the E-step at `parameters`.
    parameters : Parameters
    """
    s = statistics.about(parameters.means)
    P = np.linalg.inv(parameters.covariances)
    P = (P + P.mT) / 2
    return Parameters(
        weights=simplex.score(s.counts, parameters.weights),
        means=np.matvec(P, s.first),
        covariances=0.5 * (P @ s.second @ P - s.counts[:, None, None] * P),
    )


def gradient(parameters: Parameters, x: Floats) -> tuple[Parameters, float]:
    """Return the derivatives of the log-likelihood, at zero weights too, and its value.

    As `score`, but the derivative by a weight is ``sum_n N(x_n | k) / p(x_n)``, which is the
    expected count over the weight wherever that can be divided.

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (N, D)

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
    ndarray, shape (size, D)
    """
    records.refuse_no_count("size", size, 0)
    weights = records.normalised(parameters.weights, "weights")
    z = rng.choice(parameters.n_components, size=size, p=weights)
    L = cholesky(parameters.covariances)
    standard = rng.standard_normal((size, parameters.means.shape[1]))
    x: Floats = parameters.means[z] + np.matvec(L[z], standard)
    return x


def start(x: Floats, dims: Mapping[str, int], rng: np.random.Generator) -> Parameters:
    """Return random parameters to start from: distinct points of the data as means.

    They are in ascending order of their first coordinate; the weights are equal and every
    covariance is the data's own. For this a missing coordinate is given its column's mean.
    """
    K = dims["n_components"]
    _refuse_unseen(x)
    x = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    points = np.unique(x, axis=0)
    records.refuse_too_few(len(points), K, "distinct rows")
    means = rng.choice(points, K, replace=False)
    means = means[np.argsort(means[:, 0], kind="stable")]
    covariance = np.atleast_2d(np.cov(x.T, bias=True))
    return Parameters(np.full(K, 1 / K), means, np.repeat(covariance[None], K, axis=0))


def check_data(data: Any, dims: Mapping[str, int], *, missing: bool = False) -> Floats:
    """Return the data as a float array of shape (N, D).

    Parameters
    ----------
    data : array_like, shape (N, D)
    dims : mapping
        ``n_components``.
    missing : bool, optional
        Whether NaN stands for a coordinate that was not observed.

    Raises
    ------
    ValueError
        If they are not two-dimensional and finite, have fewer distinct rows than there are
        components, or have a column that is constant, that the others determine, or whose squares
        are no doubles.
    """
    x = check_chunk(data, dims, missing=missing)
    records.refuse_too_few(len(x), dims["n_components"])
    _refuse_unseen(x)
    for d, column in enumerate(x.T):
        seen = column[~np.isnan(column)]
        if seen.min() == seen.max():
            raise ValueError(
                f"column {d} is constant at {seen[0]:g}: its covariance is singular; leave it out"
            )
        records.refuse_unit(column, f"column {d}")
    complete = x[~np.isnan(x).any(axis=1)]
    # Rows that lack coordinates may still determine what too few complete ones cannot.
    if x.shape[1] > 1 and (len(complete) == len(x) or len(complete) > x.shape[1]):
        smallest = np.linalg.eigvalsh(np.corrcoef(complete.T))[0]
        if smallest <= 2 * records.RESOLUTION * x.shape[1]:
            raise ValueError(
                "the columns determine one another (their correlation matrix is singular): "
                "leave one out"
            )
    records.refuse_too_few(len(np.unique(x, axis=0)), dims["n_components"], "distinct rows")
    return x


def _refuse_unseen(x: Floats) -> None:
    for d in np.flatnonzero(np.isnan(x).all(axis=0)):
        raise ValueError(f"column {d} was never observed: leave it out")


def _rows(data: Any) -> Floats:
    x = records.floats(data, "x")
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f"x has shape {x.shape}; this mixture needs shape (N, D)")
    return x


def check_chunk(data: Any, dims: Mapping[str, int], *, missing: bool = False) -> Floats:
    """Return a part of the data as a float array of shape (N, D).

    As `check_data`, without what can only be asked of the whole.
    """
    x = records.finite_floats(_rows(data), "x", missing=missing)
    if (D := dims.get("n_columns", x.shape[1])) != x.shape[1]:
        raise ValueError(f"x has shape {x.shape}; the parameters are for {D} columns")
    return x


def rounding(parameters: Parameters) -> float:
    """Return how far rounding may move a parameter in one iteration, as `change` counts it.

    Means are rounded to a few units in the last place; and the nearer to singular a covariance
    is, the more it magnifies that, and the rounding of its Cholesky factor.
    """
    L = np.diagonal(cholesky(parameters.covariances), axis1=-2, axis2=-1)  # (K, D)
    variances = np.diagonal(parameters.covariances, axis1=-2, axis2=-1)
    pivots = (L**2 / variances).min(axis=-1)  # (K,)
    offsets = (np.abs(parameters.means) / np.sqrt(variances)).max(axis=-1)
    return records.RESOLUTION * float((1 / pivots + offsets / np.sqrt(pivots)).max())
