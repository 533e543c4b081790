"""The spaces that parameters live in: a field of a model's `Parameters` declares its own.

``means: Annotated[Floats, Real("KD", unit="covariances")]`` says that the means are any real
numbers, one for each component and coordinate, counted in standard deviations of the field
`covariances`. From that follow the checks of what a user gives, the free coordinates in which
nothing is constrained, the chain rule into them, the number of free parameters, the units of a
change, and the scale of an interval.

Letters: K components or states, D coordinates of an observation, V symbols.

References
----------
.. [1] Sprott (1973), Normal likelihoods and their relation to large sample theory of estimation,
   Biometrika 60, 457-465: the power of a parameter whose likelihood is near to a parabola.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit

from lockstep.models import simplex
from lockstep.models.records import DegenerateError, Floats, Space

SUM = 1e-9
"""How far the sum of a distribution's probabilities may be from 1."""

SYMMETRY = 1e-9
"""How far a covariance may be from symmetric, in products of standard deviations."""


@dataclass(frozen=True)
class Real(Space):
    """Any real number."""

    @property
    def in_units(self) -> bool:
        """Whether the value is counted in the data's unit."""
        return bool(self.unit)

    def rescaled(self, value: Any, centre: Any, scale: Any) -> Any:
        """Return the value in the data's unit."""
        return centre + scale * value if self.unit else value


@dataclass(frozen=True)
class Simplex(Space):
    """Distributions along the last axis: not negative, and adding up to 1."""

    probability = True

    def check(self, name: str, value: Floats) -> None:
        """Raise ValueError if an entry is negative or a row does not add up to 1."""
        if (value < 0).any():
            raise ValueError(f"{name} has a negative entry, {value.min():g}: it is no probability")
        sums = value.sum(axis=-1)
        if (np.abs(sums - 1) > SUM).any():
            columns = value.sum(axis=0)
            turned = value.ndim == 2 and (np.abs(columns - 1) <= SUM).all()
            mend = "; its columns do: give it transposed" if turned else ""
            raise ValueError(f"{name} must sum to 1 (in each row), and the sums are {sums}{mend}")

    def n_free(self, value: Floats) -> int:
        """Return the number of free parameters: one fewer for each row."""
        return int(value.size - value.size // value.shape[-1])

    def to_free(self, value: Floats) -> Floats:
        """Return the logarithms, redundant by a constant for each row."""
        return simplex.to_logs(value).ravel()

    def from_free(self, free: Floats, shape: tuple[int, ...]) -> Floats:
        """Return the rows whose logarithms these are, up to a constant."""
        return simplex.from_logs(free.reshape(shape))

    def chain(self, score: Floats, value: Floats) -> Floats:
        """Return derivatives by the logarithms, from those by the probabilities."""
        return simplex.score_of_logs(np.where(value > 0, value * score, 0.0), value).ravel()

    def interval(
        self, at: float, sd: float, z: float, index: tuple[int, ...]
    ) -> tuple[float, float]:
        """Return an interval that is symmetric on the logit scale."""
        half = z * sd / (at * (1 - at))
        return float(expit(logit(at) - half)), float(expit(logit(at) + half))

    def redundant(self, index: tuple[int, ...], shape: tuple[int, ...]) -> bool:
        """Return whether the entry is one minus the others of its row."""
        return index[-1] == shape[-1] - 1


@dataclass(frozen=True)
class Positive(Space):
    """Positive numbers; the coordinate is the logarithm.

    Attributes
    ----------
    power : float
        The power on whose scale an interval is symmetric ([1]_): 1/3 for a rate.
    """

    power: float = 1 / 3

    def check(self, name: str, value: Floats) -> None:
        """Raise ValueError if a number is not positive."""
        for index in np.argwhere(~(value > 0)):
            at = ",".join(map(str, index))
            raise ValueError(f"{name}[{at}] is {value[tuple(index)]:g}; it must be positive")

    def to_free(self, value: Floats) -> Floats:
        """Return the logarithms."""
        return np.log(value).ravel()

    def from_free(self, free: Floats, shape: tuple[int, ...]) -> Floats:
        """Return the numbers whose logarithms these are."""
        return np.exp(free).reshape(shape)

    def chain(self, score: Floats, value: Floats) -> Floats:
        """Return derivatives by the logarithms."""
        return (value * score).ravel()

    def change(self, old: Floats, new: Floats, unit: Floats | float) -> float:
        """Return the largest change, relative to the old value."""
        return float((np.abs(new - old) / old).max())

    def interval(
        self, at: float, sd: float, z: float, index: tuple[int, ...]
    ) -> tuple[float, float]:
        """Return an interval that is symmetric on the scale of the power."""
        return _by_power(at, sd, z, self.power)


@dataclass(frozen=True)
class Variance(Positive):
    """Variances; the coordinate is the logarithm of the standard deviation.

    The third derivative of a normal sample's log-likelihood by the power -1/3 of its variance
    vanishes at the maximum ([1]_).
    """

    power: float = -1 / 3

    def to_free(self, value: Floats) -> Floats:
        """Return the logarithms of the standard deviations."""
        return 0.5 * np.log(value).ravel()

    def from_free(self, free: Floats, shape: tuple[int, ...]) -> Floats:
        """Return the variances."""
        return np.exp(2 * free).reshape(shape)

    def chain(self, score: Floats, value: Floats) -> Floats:
        """Return derivatives by the logarithms of the standard deviations."""
        return (2 * value * score).ravel()

    def sds(self, value: Floats) -> Floats:
        """Return the standard deviations."""
        return np.sqrt(value)

    @property
    def in_units(self) -> bool:
        """Whether the value has a unit: the data's, squared."""
        return True

    def rescaled(self, value: Any, centre: Any, scale: Any) -> Any:
        """Return the variances in the data's unit squared."""
        return scale**2 * value


@dataclass(frozen=True)
class PositiveDefinite(Space):
    """Covariances, symmetric and positive definite along the last two axes.

    With ``covariance = diag(s) U U' diag(s)``, U lower triangular with ones on its diagonal, the
    coordinates are ``log s`` and the rest of U: the Cholesky factor with each row in units of its
    diagonal, so that a change of the data's units moves ``log s`` alone.
    """

    def check(self, name: str, value: Floats) -> None:
        """Raise ValueError unless each matrix is symmetric and positive definite."""
        for k, covariance in enumerate(value):
            variances = np.diagonal(covariance)
            if not (variances > 0).all():
                raise ValueError(f"{name}[{k}] has a variance that is not positive: {variances}")
            sds = np.sqrt(variances)
            if (np.abs(covariance - covariance.T) / sds[:, None] / sds > SYMMETRY).any():
                raise ValueError(f"{name}[{k}] is not symmetric: {covariance.tolist()}")
            try:
                np.linalg.cholesky(covariance)
            except np.linalg.LinAlgError:
                raise ValueError(
                    f"{name}[{k}] is not positive definite: {covariance.tolist()}"
                ) from None

    def n_free(self, value: Floats) -> int:
        """Return the number of free parameters: a triangle of each matrix."""
        D = value.shape[-1]
        return int(value.size // (D * D) * (D * (D + 1) // 2))

    def to_free(self, value: Floats) -> Floats:
        """Return all ``log s``, then the entries below the diagonal of all U."""
        s, U = _triangles(value)
        below = np.tril_indices(value.shape[-1], -1)
        return np.concatenate([np.log(s).ravel(), U[:, *below].ravel()])

    def from_free(self, free: Floats, shape: tuple[int, ...]) -> Floats:
        """Return the covariances."""
        K, D, _ = shape
        U = np.tile(np.eye(D), (K, 1, 1))
        U[:, *np.tril_indices(D, -1)] = free[K * D :].reshape(K, -1)
        L = np.exp(free[: K * D]).reshape(K, D, 1) * U
        return L @ L.mT

    def chain(self, score: Floats, value: Floats) -> Floats:
        """Return derivatives by the coordinates.

        With G the derivative by a covariance, the one by its factor ``L = diag(s) U`` is ``2 G L``.
        """
        s, U = _triangles(value)
        by_factor = 2 * score @ (s[..., None] * U) * s[..., None]  # by U, row by row
        below = np.tril_indices(value.shape[-1], -1)
        by_scale = np.tril(by_factor * U).sum(axis=-1)
        return np.concatenate([by_scale.ravel(), by_factor[:, *below].ravel()])

    def change(self, old: Floats, new: Floats, unit: Floats | float) -> float:
        """Return the largest change, in products of two standard deviations."""
        sds = self.sds(old)
        return float((np.abs(new - old) / sds[..., :, None] / sds[..., None, :]).max())

    @property
    def in_units(self) -> bool:
        """Whether the value has a unit: the data's, squared."""
        return True

    def rescaled(self, value: Any, centre: Any, scale: Any) -> Any:
        """Return the covariances in products of the data's units."""
        return value * scale * scale[:, None]

    def sds(self, value: Floats) -> Floats:
        """Return the standard deviations, shape (..., K, D)."""
        return np.sqrt(np.diagonal(value, axis1=-2, axis2=-1))

    def interval(
        self, at: float, sd: float, z: float, index: tuple[int, ...]
    ) -> tuple[float, float]:
        """Return an interval: on the diagonal that of a variance, off it a symmetric one."""
        if index[-2] == index[-1]:
            return _by_power(at, sd, z, -1 / 3)
        return super().interval(at, sd, z, index)

    def redundant(self, index: tuple[int, ...], shape: tuple[int, ...]) -> bool:
        """Return whether symmetry makes the entry the copy of another."""
        return index[-2] > index[-1]


def _by_power(at: float, sd: float, z: float, power: float) -> tuple[float, float]:
    """Return an interval of a positive number, symmetric on the scale of its power."""
    half = z * sd * abs(power) / at  # of the power, relative to itself
    ends = [(1 + sign * half) if 1 + sign * half > 0 else 0.0 for sign in (-1, 1)]
    scaled = [at * end ** (1 / power) if end else math.inf if power < 0 else 0.0 for end in ends]
    return min(scaled), max(scaled)


def _triangles(covariances: Floats) -> tuple[Floats, Floats]:
    """Return s and unit lower triangular U with ``covariance = diag(s) U U' diag(s)``."""
    try:
        L = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        raise DegenerateError("a covariance is not positive definite") from None
    s = np.diagonal(L, axis1=-2, axis2=-1)
    return s, L / s[..., None]
