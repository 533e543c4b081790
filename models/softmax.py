"""A simplex as unconstrained numbers, in a graph that compiles and runs quicker than PyMC's own."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pymc.logprob.transforms import Transform


class Softmax(Transform):  # type: ignore[misc]
    """Rows of K probabilities as K - 1 numbers v: the centred logarithms, without the last.

    The same function as `pm.distributions.transforms.simplex`. With
    ``y = (v_1, ..., v_{K-1}, -sum v)`` the probabilities are ``p = softmax(y)``. Of
    ``(p_1, ..., p_{K-1})`` by the log ratios ``log(p_i / p_K)`` the Jacobian's determinant is
    ``p_1 ... p_K``, and of these, ``v + sum v``, by v it is K: together ``K p_1 ... p_K``.
    """

    name = "simplex"
    ndim_supp: ClassVar[int] = 1

    def forward(self, value: Any, *inputs: Any) -> Any:  # noqa: ARG002
        """Return unconstrained numbers, shape (..., K - 1)."""
        logs = pt.log(value)
        return (logs - logs.mean(axis=-1, keepdims=True))[..., :-1]

    def backward(self, value: Any, *inputs: Any) -> Any:  # noqa: ARG002
        """Return probabilities, shape (..., K)."""
        return pt.special.softmax(self._logs(value), axis=-1)

    def log_jac_det(self, value: Any, *inputs: Any) -> Any:  # noqa: ARG002
        """Return the logarithm of the determinant, shape (...)."""
        logs = pt.special.log_softmax(self._logs(value), axis=-1)
        return logs.sum(axis=-1) + np.log(value.type.shape[-1] + 1)

    @staticmethod
    def _logs(value: Any) -> Any:
        """Return y; numba takes a product and a sum into one loop, and would join in seconds."""
        n = value.type.shape[-1]
        return (value[..., None] * np.vstack([np.eye(n), -np.ones(n)]).T).sum(axis=-2)
