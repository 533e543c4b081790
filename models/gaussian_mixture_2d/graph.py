"""The log-likelihood of the Gaussian mixture in any dimension.

A tensor, whose gradient is the E-step: see `models.fisher`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lockstep.models import fisher, kernels, load, mixture_kernels
from lockstep.models.records import Floats

_MODEL: Any = load(__package__.rpartition(".")[2])


@fisher.twin  # type: ignore[untyped-decorator]
def _lower_factors(factors: Floats) -> bool:
    for k in range(len(factors)):
        for i in range(factors.shape[1]):
            for j in range(i + 1):
                if not np.isfinite(factors[k, i, j]):
                    return False
            if not factors[k, i, i] >= fisher.NORMAL:
                return False
    return True


@fisher.twin  # type: ignore[untyped-decorator]
def _upper_factors(factors: Floats) -> bool:
    for k in range(len(factors)):
        for j in range(factors.shape[1]):
            for i in range(j + 1):
                if not np.isfinite(factors[k, i, j]):
                    return False
            if not factors[k, j, j] >= fisher.NORMAL:
                return False
    return True


class GaussianMixture(fisher.LogLikelihood):
    """Of the Gaussian mixture in any dimension; the covariances are ``cholesky cholesky'``."""

    PARAMETERS: ClassVar = {"weights": "K", "means": "KD", "cholesky": "KDD"}
    DATA: ClassVar = {"x": "ND"}
    CONDITIONS: ClassVar = (
        fisher.WEIGHTS,
        fisher.MEANS,
        fisher.Condition(
            "cholesky", "posdef covariance: each diagonal of cholesky > 0", _lower_factors
        ),
    )

    def e_step(self, weights: Floats, means: Floats, cholesky: Floats, x: Floats) -> Any:
        """Return the log-likelihood and the scores.

        With G the derivative by a covariance ``L L'``, the one by L is the lower half of ``2 G L``.
        """
        L = np.tril(cholesky)
        parameters = _MODEL.Parameters(weights, means, L @ L.mT)
        statistics, value = kernels.e_step(_MODEL)(parameters, x)
        score = fisher.mixture_score(_MODEL, statistics, parameters, x)
        return value, (score.weights, score.means, np.tril(2 * score.covariances @ L))


class GaussianMixtureByPrecisions(GaussianMixture):
    """Of the same mixture; the precisions are ``precisions_cholesky precisions_cholesky'``."""

    PARAMETERS: ClassVar = {"weights": "K", "means": "KD", "precisions_cholesky": "KDD"}
    CONDITIONS: ClassVar = (
        fisher.WEIGHTS,
        fisher.MEANS,
        fisher.Condition(
            "precisions_cholesky",
            "posdef precision: each diagonal of precisions_cholesky > 0",
            _upper_factors,
        ),
    )

    def e_step(self, weights: Floats, means: Floats, precisions_cholesky: Floats, x: Floats) -> Any:
        """Return the log-likelihood and the scores.

        With S the second moment about the mean, the score of the upper triangular U of a precision
        ``U U'`` is the upper half of ``N_k U^-T - S U``.
        """
        U = np.triu(precisions_cholesky)
        inverse = np.linalg.inv(U)
        parameters = _MODEL.Parameters(weights, means, inverse.mT @ inverse)
        statistics: Any
        statistics, value = kernels.e_step(_MODEL)(parameters, x)
        score = fisher.mixture_score(_MODEL, statistics, parameters, x)
        by_factor = statistics.counts[:, None, None] * inverse.mT - statistics.second @ U
        return value, (score.weights, score.means, np.triu(by_factor))


def log_likelihood(
    x: Any, weights: Any, means: Any, cholesky: Any = None, *, precisions_cholesky: Any = None
) -> Any:
    """Return the log-likelihood of the Gaussian mixture, in any dimension.

    Parameters
    ----------
    x : tensor_like, shape (N, D)
        Data.
    weights : tensor_like, shape (K,)
    means : tensor_like, shape (K, D)
    cholesky : tensor_like, shape (K, D, D)
        Lower triangular, the factors of the covariances: what `pm.LKJCholeskyCov` returns first.
        Above the diagonal it is taken for zero.
    precisions_cholesky : tensor_like, shape (K, D, D)
        Instead of them, and taken if both are there: upper triangular factors U of the precisions
        ``U U'``. Below the diagonal they are taken for zero.

    Returns
    -------
    TensorVariable, shape ()
        In nats; for `pm.Potential`.

    Raises
    ------
    TypeError
        If there is neither cholesky nor precisions_cholesky.
    ValueError
        As in one dimension: if shapes do not fit together, data are not finite, or parameters are
        none; the diagonals of factors must be positive.
    """
    if precisions_cholesky is not None:
        return GaussianMixtureByPrecisions().value(weights, means, precisions_cholesky, x)
    if cholesky is None:
        raise TypeError("give cholesky or precisions_cholesky")
    return GaussianMixture().value(weights, means, cholesky, x)


def _score_of(kernel: Any, are_factors: Any) -> Any:
    """Return the compiled Op of a mixture, whose kernel takes covariances in one form or other."""

    @fisher.twin  # type: ignore[untyped-decorator]
    def score(weights: Floats, means: Floats, factors: Floats, x: Floats) -> Any:
        w, m, f, x = (
            np.ascontiguousarray(weights),
            np.ascontiguousarray(means),
            np.ascontiguousarray(factors),
            np.ascontiguousarray(x),
        )
        (K, D), N = m.shape, len(x)
        if len(w) != K or f.shape != (K, D, D) or x.shape[1] != D:
            raise ValueError("weights (K,), means (K, D), factors (K, D, D), x (N, D) do not fit")
        out, fault = np.zeros(1 + K + K * D + K * D * D), 0
        if not fisher.distributions(w.reshape(1, K)):
            fault = 1
        elif not fisher.finite(m):
            fault = 2
        elif not are_factors(f):
            fault = 3
        if fault:
            out[0] = -np.inf
        elif N > 0:
            kernel(w.ctypes, m.ctypes, f.ctypes, x.ctypes, out.ctypes, K, D, N)
        fisher.settle(out)
        a, b = 1 + K, 1 + K + K * D
        by_means, by_factors = out[a:b].reshape(K, D), out[b:].reshape(K, D, D)
        return np.asarray(out[0]), out[1:a], by_means, by_factors, np.asarray(fault)

    return score


_score_2d = _score_of(
    fisher.by_name(mixture_kernels.score, "lockstep_gaussian_mixture"), _lower_factors
)
_score_by_precisions = _score_of(
    fisher.by_name(mixture_kernels.score_by_precisions, "lockstep_gaussian_mixture_by_precisions"),
    _upper_factors,
)

fisher.compiled_as(GaussianMixture, _score_2d, __file__, mixture_kernels.__file__)
fisher.compiled_as(
    GaussianMixtureByPrecisions, _score_by_precisions, __file__, mixture_kernels.__file__
)
