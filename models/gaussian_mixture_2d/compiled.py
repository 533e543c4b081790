"""The compiled twins of the Gaussian mixture in any dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lockstep.models import kernels
from lockstep.models.gaussian_mixture_1d import compiled as compiled_1d
from lockstep.models.gaussian_mixture_1d import equations as equations_1d
from lockstep.models.gaussian_mixture_2d.equations import Statistics, cholesky
from lockstep.models.records import Floats


def twin(x: Floats) -> Any:
    """Return the class that prepares the data for the kernels; None if they lack coordinates."""
    if x.shape[1] == 1:
        return Column
    return None if np.isnan(x).any() else Prepared


class Column(compiled_1d.Prepared):
    """Data of the mixture in any dimension if that is one: the same numbers in longer shapes."""

    def __init__(self, x: Floats, weights: Floats | None) -> None:
        super().__init__(x[:, 0], weights)

    def _short(self, parameters: Any) -> equations_1d.Parameters:
        return equations_1d.Parameters(
            parameters.weights, parameters.means[:, 0], parameters.covariances[:, 0, 0]
        )

    def expect(self, parameters: Any, part: Any) -> Any:
        return super().expect(self._short(parameters), part)

    def statistics(self, parameters: Any, sums: Sequence[Any]) -> Any:
        s = super().statistics(self._short(parameters), sums)
        return Statistics(s.counts, s.first[:, None], s.second[:, None, None], parameters.means)

    def climb(
        self,
        parameters: Any,
        part: Any,
        iterations: int,
        tol: float,
        reg_covar: float = 0.0,
        covariance_type: str = "full",
    ) -> Any:
        if covariance_type == "tied":
            return None
        climbed = super().climb(self._short(parameters), part, iterations, tol, reg_covar)
        if climbed is None:
            return None
        weights, means, variances, trace, changes = climbed
        return weights, means[..., None], variances[..., None, None], trace, changes


class Prepared(kernels.Rows):
    """Data of the mixture in any dimension, for its kernels; none is missing."""

    def parts(self, parameters: Any) -> list[Any]:
        K, D = parameters.means.shape
        return self.cut(kernels.WORK // (K * (D + 1) ** 2))

    def expect(self, parameters: Any, part: Any) -> Any:
        factors = cholesky(parameters.covariances)
        return self.kernels.moments(*part, parameters.weights, parameters.means, factors)

    def statistics(self, parameters: Any, sums: Sequence[Any]) -> Any:
        counts, first, second = sums
        return Statistics(counts, first, second, parameters.means)

    def climb(
        self,
        parameters: Any,
        part: Any,
        iterations: int,
        tol: float,
        reg_covar: float = 0.0,
        covariance_type: str = "full",
    ) -> Any:
        if covariance_type != "full":
            return None
        fields = parameters.arrays().values()
        return self.kernels.climb(*part, *fields, reg_covar, iterations, tol)
