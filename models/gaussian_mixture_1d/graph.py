"""The log-likelihood of the Gaussian mixture in one dimension as a PyTensor graph."""

from __future__ import annotations

from typing import Any


def fisher(x: Any, weights: Any, means: Any, variances: Any) -> Any:
    """Return the log-likelihood; its gradient is the E-step."""
    from lockstep.models.fisher import gaussian_mixture_1d

    return gaussian_mixture_1d(x, weights, means, variances)


def stock(x: Any, weights: Any, means: Any, variances: Any) -> Any:
    """Return the log-likelihood; its gradient is that of automatic differentiation."""
    from lockstep.models.stock import gaussian_mixture_1d

    return gaussian_mixture_1d(x, weights, means, variances)
