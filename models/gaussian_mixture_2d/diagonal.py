"""The Gaussian mixture with diagonal covariances, as vectors of variances.

Letters: N observations of D coordinates, K components.

`gaussian_mixture_2d` with the covariance type ``diag`` or ``spherical`` is the definition. It has
matrices of D x D numbers, all but D of them zero: here is the same model in time and memory that
grow as D, which `lockstep.models.em` climbs as it does any other. The coordinates are independent
given the component, so one that was not observed (NaN) is simply left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from scipy.special import logsumexp

from lockstep.models import kernels, records, simplex
from lockstep.models.gaussian_mixture_2d import equations as gaussian_mixture_2d
from lockstep.models.records import CollapseError, DegenerateError, Floats
from lockstep.models.spaces import Real, Simplex, Variance

NAME = "mixture_diagonal"

check_chunk = gaussian_mixture_2d.check_chunk

type CovarianceType = Literal["diag", "spherical"]

BLOCK = 2**14
"""Numbers in a block of rows: what is made of them stays in the cache."""


@dataclass(frozen=True, eq=False)
class Parameters(records.Parameters):
    """What the mixture is made of.

    Attributes
    ----------
    weights : ndarray, shape (K,)
    means : ndarray, shape (K, D)
    variances : ndarray, shape (K, D)
        In the data's units squared, positive.
    """

    weights: Annotated[Floats, Simplex("K")]
    means: Annotated[Floats, Real("KD", unit="variances")]
    variances: Annotated[Floats, Variance("KD")]


@dataclass(frozen=True, eq=False)
class Statistics(records.Statistics):
    """Expected counts and moments, as in `gaussian_mixture_2d`, of each coordinate by itself.

    Attributes
    ----------
    counts : ndarray, shape (K,)
    first, second, reference : ndarray, shape (K, D)
    """

    counts: Floats
    first: Floats
    second: Floats
    reference: Floats

    REFERENCE: ClassVar = "reference"


@dataclass(frozen=True)
class Prior:
    """What `gaussian_mixture_2d.Prior` says of diagonal covariances."""

    of: gaussian_mixture_2d.Prior

    def refuse_misfit(self, parameters: Parameters) -> None:
        """Raise ValueError if the prior is none of such parameters."""
        self.of.refuse_misshaped(parameters.means.shape[-1])

    def statistics(self, reference: Floats) -> Statistics:
        """Return the observations that the prior counts for, as moments about the reference."""
        d, strength = self.of.mean - reference, self.of.strength
        return Statistics(
            np.full(len(d), strength),
            strength * d,
            strength * d**2 + np.diagonal(self.of.scale),
            reference,
        )

    def log_density(self, parameters: Parameters) -> float:
        """Return the log-density without its constant."""
        D, v = len(self.of.mean), parameters.variances
        moment = (
            np.diagonal(self.of.scale) + self.of.strength * (parameters.means - self.of.mean) ** 2
        )
        return simplex.log_dirichlet(self.of.concentration, parameters.weights) - 0.5 * float(
            ((self.of.df + D + 2) * np.log(v) + moment / v).sum()
        )


def _centred(x: Floats, means: Floats) -> Iterator[tuple[slice, int, Floats]]:
    """Yield for each block of rows and each k the rows and ``x_n - means_k``, to be used up."""
    (N, D), size = x.shape, max(1, BLOCK // x.shape[1])
    buffer = np.empty((min(size, N), D))
    for begin in range(0, N, size):
        rows = slice(begin, min(begin + size, N))
        for k, mean in enumerate(means):
            yield rows, k, np.subtract(x[rows], mean, out=buffer[: rows.stop - begin])


def log_joint(parameters: Parameters, x: Floats) -> Floats:
    """Return ``log p(x_n, z_n = k)``, the log of weight times density, shape (N, K).

    Parameters
    ----------
    parameters : Parameters
    x : ndarray, shape (N, D)
        NaN where a coordinate was not observed.

    Raises
    ------
    DegenerateError
        If a variance is not positive.
    """
    weights, means, variances = parameters.arrays().values()
    if not (variances > 0).all():
        raise DegenerateError("a variance is not positive")
    joint = np.empty((len(x), len(means)))
    holes = np.isnan(x).any()
    precisions, log_scales = 1 / variances, np.log(2 * np.pi * variances)  # (K, D)
    scales = log_scales.sum(axis=1)
    for rows, k, centred in _centred(x, means):
        scale = scales[k]
        if holes:
            missing = np.isnan(centred)
            centred[missing], scale = 0.0, ~missing @ log_scales[k]
        with np.errstate(over="ignore"):  # so far away that there is no density
            joint[rows, k] = -0.5 * (scale + np.square(centred, out=centred) @ precisions[k])
    return joint + simplex.to_logs(weights)


def responsibilities(parameters: Parameters, x: Floats) -> Floats:
    """Return ``r_nk = p(z_n = k | x_n)``, shape (N, K); each row sums to 1."""
    joint = log_joint(parameters, x)
    return simplex.posterior(joint, lambda: simplex.nearest(log_joint, parameters, x))


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
    """
    w = records.checked_weights(weights, len(x))
    if not w.all():
        x, w = x[w > 0], w[w > 0]
    joint = log_joint(parameters, x)
    evidence = logsumexp(joint, axis=-1)  # (N,)  log p(x_n)
    r = w[:, None] * np.exp(joint - evidence[:, None])  # (N, K)
    return moments(r, x, parameters.means, parameters.variances), float((w * evidence).sum())


def moments(r: Floats, x: Floats, reference: Floats, variances: Floats) -> Statistics:
    """Return counts and moments about the reference of rows that count r, shape (N, K).

    A missing coordinate is expected at the reference, and its square is the variance.
    """
    first, second = np.zeros(reference.shape), np.zeros(reference.shape)
    holes = np.isnan(x).any()
    for rows, k, centred in _centred(x, reference):
        share = r[rows, k]
        if holes:
            missing = np.isnan(centred)
            centred[missing] = 0.0
            second[k] += (share @ missing) * variances[k]
        first[k] += share @ centred
        second[k] += share @ np.square(centred, out=centred)
    return Statistics(r.sum(axis=0), first, second, reference)


def m_step(
    statistics: Statistics,
    *,
    prior: Prior | None = None,
    covariance_type: CovarianceType = "diag",
    reg_covar: float = 0.0,
) -> Parameters:
    """Return the parameters that maximise the expected complete-data log-likelihood.

    Arguments and errors are those of `gaussian_mixture_2d.m_step`.
    """
    counts = for_mean = for_variance = statistics.counts
    if prior is not None:
        statistics += prior.statistics(statistics.reference)
        D = statistics.first.shape[1]
        for_mean, for_variance = statistics.counts, counts + prior.of.df + D + 2
        counts = counts + prior.of.concentration - 1
    records.refuse_empty(counts)
    shift = statistics.first / for_mean[:, None]
    scatter = statistics.second - for_mean[:, None] * shift**2
    # Where a mean has come from afar this cancels; the next E-step will see the scatter itself.
    scatter = np.maximum(scatter, records.RESOLUTION * statistics.second)
    variances = scatter / for_variance[:, None]
    if covariance_type == "spherical":
        variances = np.broadcast_to(variances.mean(axis=1, keepdims=True), variances.shape)
    parameters = Parameters(
        counts / counts.sum(), statistics.reference + shift, variances + reg_covar
    )
    refuse_collapsed(parameters, reg_covar)
    return parameters


def refuse_collapsed(parameters: Parameters, reg_covar: float = 0.0) -> None:
    """Raise CollapseError if double precision cannot hold a component."""
    means = parameters.means
    least = np.maximum((records.RESOLUTION * means) ** 2, records.SMALLEST)
    flat = ~(parameters.variances > least)
    for k in np.flatnonzero(flat.any(axis=1)):
        d = flat[k].argmax()
        raise CollapseError(
            f"component {k} collapsed in column {d}: its variance fell to "
            f"{parameters.variances[k, d]:.3g} at {means[k, d]:.6g}{records.lost_ridge(reg_covar)}"
        )


def rounding(parameters: Parameters) -> float:
    """Return how far rounding may move a parameter in one iteration, as `change` counts it."""
    return records.RESOLUTION * float(
        (np.abs(parameters.means) / np.sqrt(parameters.variances)).max()
    )


def twin(x: Floats) -> type[Prepared] | None:
    """Return the class that prepares the data for the kernel; None if they lack coordinates."""
    return None if np.isnan(x).any() else Prepared


class Prepared(kernels.Rows):
    """Data of the mixture with diagonal covariances, for its kernel; none is missing."""

    def parts(self, parameters: Any) -> list[Any]:
        return self.cut(kernels.WORK // (4 * parameters.means.size))

    def expect(self, parameters: Any, part: Any) -> Any:
        return self.kernels.moments_diagonal(*part, *parameters.arrays().values())

    def statistics(self, parameters: Any, sums: Sequence[Any]) -> Any:
        counts, first, second = sums
        return Statistics(counts, first, second, parameters.means)

    def climb(self, *_: Any, **__: Any) -> None:
        return None
