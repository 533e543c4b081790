"""The compiled twin of the Gaussian mixture in one dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lockstep.models import kernels
from lockstep.models.gaussian_mixture_1d.equations import Statistics
from lockstep.models.records import Floats


def twin(x: Floats) -> type[Prepared]:  # noqa: ARG001 - it takes any data
    """Return the class that prepares the data for the kernels."""
    return Prepared


class Prepared(kernels.Rows):
    """Data for the kernels. A missing value says what the weights say."""

    def __init__(self, x: Floats, weights: Floats | None) -> None:
        super().__init__(x, weights)
        (x, w), missing = self.whole, np.isnan(x)
        self.missing = 0.0
        if missing.any():
            self.missing = float(w[missing].sum() if len(w) else missing.sum())
            self.whole = x[~missing], w[~missing] if len(w) else w

    def parts(self, parameters: Any) -> list[Any]:
        return self.cut(kernels.WORK // (4 * parameters.n_components))

    def expect(self, parameters: Any, part: Any) -> Any:
        return self.kernels.moments_1d(*part, *parameters.arrays().values())

    def statistics(self, parameters: Any, sums: Sequence[Any]) -> Any:
        counts, first, second = sums
        if self.missing:
            counts = counts + self.missing * parameters.weights
            second = second + self.missing * parameters.weights * parameters.variances
        return Statistics(counts, first, second, parameters.means)

    def climb(
        self, parameters: Any, part: Any, iterations: int, tol: float, reg_covar: float = 0.0
    ) -> Any:
        if self.missing:
            return None
        fields = parameters.arrays().values()
        return self.kernels.climb_1d(*part, *fields, reg_covar, iterations, tol)
