"""The log-likelihood of the Gaussian mixture in any dimension as a PyTensor graph."""

from __future__ import annotations

from typing import Any


def fisher(x: Any, weights: Any, means: Any, *, precisions_cholesky: Any, **_: Any) -> Any:
    """Return the log-likelihood; its gradient is the E-step."""
    from lockstep.models.fisher import gaussian_mixture_2d

    return gaussian_mixture_2d(x, weights, means, precisions_cholesky=precisions_cholesky)


def stock(x: Any, weights: Any, means: Any, *, cholesky: Any, **_: Any) -> Any:
    """Return the log-likelihood; its gradient is that of automatic differentiation."""
    from lockstep.models.stock import gaussian_mixture_2d

    return gaussian_mixture_2d(x, weights, means, cholesky)
