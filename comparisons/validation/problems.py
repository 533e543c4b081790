"""What candidates are tried on: data and starts, made from fixed seeds.

Starts are general on purpose (weights and variances unequal, nothing symmetric), so that every
part of an iteration shows in its result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from lockstep import models
from lockstep.models.records import Floats

type Arrays = dict[str, Floats]

HMM = "categorical_hmm"


@dataclass(frozen=True, eq=False)
class Problem:
    """Data and parameters to start from."""

    data: Any
    start: Arrays

    @property
    def size(self) -> int:
        """The number of observations, or of steps."""
        if isinstance(self.data, tuple):
            return sum(len(s) for s in self.data)
        return len(self.data)

    @property
    def n_components(self) -> int:
        """The number K of components or states."""
        return len(next(iter(self.start.values())))

    def begun(self, **fields: Floats) -> Problem:
        """Return the problem with some fields of its start replaced."""
        return replace(self, start={**self.start, **fields})

    def to_json(self) -> dict[str, Any]:
        """Return data and start in JSON's types."""
        return {
            "data": plain(self.data),
            "start": {name: a.tolist() for name, a in self.start.items()},
        }

    @property
    def dims(self) -> dict[str, int]:
        """The model's sizes."""
        sizes = {"n_components": self.n_components}
        if "emissionprob" in self.start:
            sizes["n_features"] = self.start["emissionprob"].shape[-1]
        return sizes


def plain(data: Any) -> list[Any]:
    """Return data in JSON's types."""
    return [s.tolist() for s in data] if isinstance(data, tuple) else list(data.tolist())


@cache
def general(model: str, seed: int, K: int, size: int, *, one: bool) -> Problem:
    """Return data from random parameters, and a start near to them but not at them.

    Parameters
    ----------
    model : str
    seed, K : int
    size : int
        Observations, or steps in all.
    one : bool
        Whether an HMM is to have a single sequence; else it has three, of unequal lengths.
    """
    rng = np.random.default_rng(seed)
    if model == HMM:
        V = K + 1
        truth = {
            "startprob": rng.dirichlet(np.full(K, 3.0)),
            "transmat": rng.dirichlet(np.full(K, 1.5), K),
            "emissionprob": rng.dirichlet(np.full(V, 1.0), K),
        }
        lengths = [size] if one else [size // 2, size // 3, size - size // 2 - size // 3]
        data = models.load(model).sample(_record(model, truth), lengths, rng)
        # A mixture with an even distribution: no probability is near zero.
        start = {k: 0.7 * _jittered(a, rng) + 0.3 / a.shape[-1] for k, a in truth.items()}
        return Problem(data, start)
    weights = rng.dirichlet(np.full(K, 6.0))
    if model == "gaussian_mixture_1d":
        truth = {
            "weights": weights,
            "means": rng.permutation(np.arange(K)) * 2.3 + rng.normal(0, 0.3, K),
            "variances": rng.uniform(0.3, 2.0, K),
        }
        x = models.load(model).sample(_record(model, truth), size, rng)
        start = {
            "weights": _jittered(weights, rng),
            "means": truth["means"] + rng.normal(0, 0.5, K),
            "variances": truth["variances"] * rng.uniform(0.6, 1.8, K),
        }
        return Problem(x, start)
    factors = rng.normal(0, 0.7, (K, 2, 2))
    covariances = factors @ factors.mT + 0.3 * np.eye(2)
    truth = {"weights": weights, "means": rng.normal(0, 2.5, (K, 2)), "covariances": covariances}
    x = models.load(model).sample(_record(model, truth), size, rng)
    start = {
        "weights": _jittered(weights, rng),
        "means": truth["means"] + rng.normal(0, 0.5, (K, 2)),
        "covariances": covariances * rng.uniform(0.6, 1.8, K)[:, None, None] + 0.1 * np.eye(2),
    }
    return Problem(x, start)


def _record(model: str, arrays: Mapping[str, Floats]) -> Any:
    return models.load(model).Parameters(**arrays)


def _jittered(p: Floats, rng: np.random.Generator) -> Floats:
    changed = p * rng.uniform(0.6, 1.6, p.shape)
    return np.asarray(changed / changed.sum(axis=-1, keepdims=True))


def random_starts(model: str, problem: Problem, number: int, seed: int) -> list[Problem]:
    """Return the problem with so many random starts, as EM would choose them."""
    module, rng = models.load(model), np.random.default_rng(seed)
    starts = [module.start(problem.data, problem.dims, rng).arrays() for _ in range(number)]
    return [replace(problem, start=start) for start in starts]


# --- hard cases ---------------------------------------------------------------------------------


def far_away(model: str) -> Problem:
    """Return a mixture with one point so far from all components that every density is zero."""
    problem = general(model, 21, K=2, size=18, one=False)
    data = problem.data.copy()
    data[4] = 120.0  # in units of about one standard deviation: exp(-7000) is no double
    return replace(problem, data=data)


def long_sequence(length: int) -> Problem:
    """Return one sequence, far longer than doubles can hold the probability of."""
    problem = general(HMM, 22, K=2, size=50, one=True)
    rng = np.random.default_rng(23)
    # A block of 500 steps from the model, again and again: quick to draw, as hard to filter.
    truth = _record(HMM, problem.start)
    block = models.load(HMM).sample(truth, 500, rng)[0]
    return replace(problem, data=(np.tile(block, -(-length // 500))[:length],))


def offset(model: str, by: float) -> Problem:
    """Return a mixture whose data lie far from zero, on a grid of 2^-20: none is rounded."""
    problem = general(model, 24, K=2, size=18, one=False)
    grid = 2.0**-20
    data = np.round(problem.data / grid) * grid + by
    means = np.round(problem.start["means"] / grid) * grid + by
    return replace(problem.begun(means=means), data=data)


def nearly_empty(model: str) -> Problem:
    """Return a start in which one component, far away, has hardly any of the data."""
    problem = general(model, 25, K=2, size=18, one=False)
    return problem.begun(weights=np.array([1 - 1e-9, 1e-9]))


def repeated_points(model: str) -> Problem:
    """Return a mixture on a coarse grid: most points occur several times."""
    problem = general(model, 26, K=2, size=24, one=False)
    return replace(problem, data=np.round(problem.data))


def one_component(model: str) -> Problem:
    """Return a problem with K = 1."""
    problem = general(model, 27, K=1, size=14, one=False)
    if model == HMM:
        return problem
    return problem


def one_each(model: str) -> Problem:
    """Return as many components as observations."""
    problem = general(model, 28, K=4, size=4, one=False)
    spread = {"variances": np.array([0.9, 1.3, 2.0, 0.7])}
    if model == "gaussian_mixture_2d":
        spread = {"covariances": problem.start["covariances"] + np.eye(2)}
    return problem.begun(**spread)


def one_observation(model: str) -> Problem:
    """Return a single observation, and for a mixture a single component."""
    if model == HMM:
        problem = general(model, 29, K=2, size=12, one=True)
        return replace(problem, data=(np.array([2]),))
    problem = general(model, 29, K=1, size=4, one=False)
    return replace(problem, data=problem.data[:1])


def unseen_symbol() -> Problem:
    """Return sequences in which the last of the symbols never occurs."""
    problem = general(HMM, 30, K=2, size=9, one=True)
    symbols = problem.data[0].copy()
    symbols[symbols == 2] = 0
    return replace(problem, data=(symbols,))


def length_one(*, only: bool) -> Problem:
    """Return sequences of which some, or all, have a single step."""
    problem = general(HMM, 31, K=2, size=12, one=True)
    x = problem.data[0]
    pieces = (x[:1], x[1:2], x[2:3]) if only else (x[:1], x[1:7], x[7:8])
    return replace(problem, data=pieces)
