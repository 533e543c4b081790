"""The log-likelihood of the Gaussian mixture in one dimension.

A tensor, whose gradient is the E-step: see `models.fisher`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lockstep.models import fisher, kernels, load, mixture_kernels
from lockstep.models.records import Floats

_MODEL: Any = load(__package__.rpartition(".")[2])


class GaussianMixture1D(fisher.LogLikelihood):
    """Of the univariate Gaussian mixture."""

    PARAMETERS: ClassVar = {"weights": "K", "means": "K", "variances": "K"}
    DATA: ClassVar = {"x": "N"}
    CONDITIONS: ClassVar = (
        fisher.WEIGHTS,
        fisher.MEANS,
        fisher.Condition("variances", "variances > 0", fisher.positive),
    )

    def e_step(self, weights: Floats, means: Floats, variances: Floats, x: Floats) -> Any:
        """Return the log-likelihood and the scores."""
        parameters = _MODEL.Parameters(weights, means, variances)
        statistics, value = kernels.e_step(_MODEL)(parameters, x)
        return value, fisher.mixture_score(_MODEL, statistics, parameters, x).arrays().values()


def log_likelihood(x: Any, weights: Any, means: Any, variances: Any) -> Any:
    """Return the log-likelihood of the univariate Gaussian mixture.

    Parameters
    ----------
    x : tensor_like, shape (N,)
        Data.
    weights, means, variances : tensor_like, shape (K,)

    Returns
    -------
    TensorVariable, shape ()
        In nats; for `pm.Potential`.

    Raises
    ------
    ValueError
        If shapes do not fit together, data are not finite, weights are no distribution or
        variances not positive: at once where that is known, or else when it is evaluated. What is
        wrong with parameters, a `pm.Model` then takes for a log-likelihood of minus infinity, as
        it does with PyMC's own distributions.
    """
    return GaussianMixture1D().value(weights, means, variances, x)


_mixture_1d = fisher.by_name(mixture_kernels.score_1d, "lockstep_" + _MODEL.NAME)


@fisher.twin  # type: ignore[untyped-decorator]
def _score_1d(weights: Floats, means: Floats, variances: Floats, x: Floats) -> Any:
    w, m, v, x = (
        np.ascontiguousarray(weights),
        np.ascontiguousarray(means),
        np.ascontiguousarray(variances),
        np.ascontiguousarray(x),
    )
    K, N = len(w), len(x)
    if len(m) != K or len(v) != K:
        raise ValueError("weights, means and variances differ in length")
    out, fault = np.zeros(1 + 3 * K), 0
    if not fisher.distributions(w.reshape(1, K)):
        fault = 1
    elif not fisher.finite(m):
        fault = 2
    elif not fisher.positive(v):
        fault = 3
    if fault:
        out[0] = -np.inf
    elif N > 0:
        _mixture_1d(w.ctypes, m.ctypes, v.ctypes, x.ctypes, out.ctypes, K, N)
    fisher.settle(out)
    a, b = 1 + K, 1 + 2 * K
    return np.asarray(out[0]), out[1:a], out[a:b], out[b:], np.asarray(fault)


fisher.compiled_as(GaussianMixture1D, _score_1d, __file__, mixture_kernels.__file__)
