"""What candidates are tried on: data and starts, made from fixed seeds.

Starts are general on purpose (weights and variances unequal, nothing symmetric), so that every
part of an iteration shows in its result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from lockstep import models
from lockstep.models import bayesian
from lockstep.models.records import Floats, Parameters
from lockstep.models.spaces import PositiveDefinite, Real, Variance

type Arrays = dict[str, Floats]


@dataclass(frozen=True, eq=False)
class Question:
    """Data and parameters to start from."""

    data: Any
    start: Arrays
    n_features: int | None = None
    """The number V of symbols."""

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

    def begun(self, **fields: Floats) -> Question:
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
        if self.n_features is not None:
            sizes["n_features"] = self.n_features
        return sizes


def plain(data: Any) -> list[Any]:
    """Return data in JSON's types."""
    if isinstance(data, tuple):
        return [s.tolist() for s in data]
    if data.dtype.kind == "f" and np.isnan(data).any():
        gaps: Any = np.where(np.isnan(data), None, data)  # null, as of any program
        return list(gaps.tolist())
    return list(data.tolist())


@cache
def general(model: str, seed: int, K: int, size: int, *, one: bool) -> Question:
    """Return data from random parameters, and a start near to them but not at them.

    Both are as the `problems.py` of the model's folder says; without one, the parameters are a
    draw from the prior on its own scale, and the start is near in unconstrained coordinates.

    Parameters
    ----------
    model : str
    seed, K : int
    size : int
        Observations, or steps in all.
    one : bool
        Whether sequences are to be a single one; else there are three, of unequal lengths.

    Raises
    ------
    LookupError
        If the model has neither.
    """
    module, rng = models.load(model), np.random.default_rng(seed)
    own = models.part(module, "problems")
    truth = _from_prior(module, K, rng) if own is None else own.truth(K, rng)
    sizes: Any = size
    if module.shows.SEQUENCES:
        sizes = [size] if one else [size // 2, size // 3, size - size // 2 - size // 3]
    data = module.sample(truth, sizes, rng)
    start = _near(truth, rng) if own is None else own.start(truth, rng)
    return Question(data, start.arrays(), truth.dims.get("n_features"))


def _from_prior(model: models.Model, K: int, rng: np.random.Generator) -> Parameters:
    if bayesian.prior_of(model) is None:
        raise LookupError(
            f"there is nothing to try an EM of the {model.TITLE} on: give its folder a prior.py or "
            "a problems.py"
        )
    sizes = {"n_components": K, "n_features": K + 1, "columns": model.shows.COLUMNS[0]}
    return bayesian.draws(model.NAME, sizes, None, 1, rng).draw(0)


NEAR = 0.3
"""Of a start from its truth, in the natural units of unconstrained coordinates."""


def _near(truth: Parameters, rng: np.random.Generator) -> Parameters:
    free = truth.to_free()
    return truth.from_free(free + NEAR * truth.free_units() * rng.normal(size=len(free)))


def random_starts(model: str, problem: Question, number: int, seed: int) -> list[Question]:
    """Return the problem with so many random starts, as EM would choose them."""
    module, rng = models.load(model), np.random.default_rng(seed)
    starts = [module.start(problem.data, problem.dims, rng).arrays() for _ in range(number)]
    return [replace(problem, start=start) for start in starts]


# --- hard cases ---------------------------------------------------------------------------------


def far_away(model: str) -> Question:
    """Return a mixture with one point so far from all components that every density is zero."""
    problem = general(model, 21, K=2, size=18, one=False)
    data = problem.data.copy()
    data[4] = 120.0  # in units of about one standard deviation: exp(-7000) is no double
    return replace(problem, data=data)


def long_sequence(model: str, length: int) -> Question:
    """Return one sequence, far longer than doubles can hold the probability of."""
    problem = general(model, 22, K=2, size=50, one=True)
    rng, module = np.random.default_rng(23), models.load(model)
    # A block of 500 steps from the model, again and again: quick to draw, as hard to filter.
    block = module.sample(module.Parameters(**problem.start), [500], rng)[0]
    return replace(problem, data=(np.tile(block, -(-length // 500))[:length],))


def offset(model: str, by: float) -> Question:
    """Return a mixture whose data lie far from zero, on a grid of 2^-20: none is rounded."""
    problem = general(model, 24, K=2, size=18, one=False)
    grid = 2.0**-20
    data = np.round(problem.data / grid) * grid + by
    spaces = models.load(model).Parameters.SPACES
    located = [name for name, s in spaces.items() if isinstance(s, Real) and s.unit]
    moved = {name: np.round(problem.start[name] / grid) * grid + by for name in located}
    return replace(problem.begun(**moved), data=data)


def nearly_empty(model: str) -> Question:
    """Return a start in which one component, far away, has hardly any of the data."""
    problem = general(model, 25, K=2, size=18, one=False)
    return problem.begun(weights=np.array([1 - 1e-9, 1e-9]))


def repeated_points(model: str) -> Question:
    """Return a mixture on a coarse grid: most points occur several times."""
    problem = general(model, 26, K=2, size=24, one=False)
    return replace(problem, data=np.round(problem.data))


def one_component(model: str) -> Question:
    """Return a problem with K = 1."""
    return general(model, 27, K=1, size=14, one=False)


def one_each(model: str) -> Question:
    """Return as many components as observations, spread out so that all densities matter."""
    problem = general(model, 28, K=4, size=4, one=False)
    spread: Arrays = {}
    for name, space in models.load(model).Parameters.SPACES.items():
        if isinstance(space, Variance):
            spread[name] = np.array([0.9, 1.3, 2.0, 0.7])
        elif isinstance(space, PositiveDefinite):
            spread[name] = problem.start[name] + np.eye(problem.start[name].shape[-1])
    return problem.begun(**spread)


def one_observation(model: str) -> Question:
    """Return a single observation, and of rows a single component."""
    if models.load(model).shows.SEQUENCES:
        problem = general(model, 29, K=2, size=12, one=True)
        return replace(problem, data=(np.array([2]),))
    problem = general(model, 29, K=1, size=4, one=False)
    return replace(problem, data=problem.data[:1])


def unseen_symbol(model: str) -> Question:
    """Return sequences in which the last of the symbols never occurs."""
    problem = general(model, 30, K=2, size=9, one=True)
    symbols = problem.data[0].copy()
    symbols[symbols == 2] = 0
    return replace(problem, data=(symbols,))


def length_one(model: str, *, only: bool) -> Question:
    """Return sequences of which some, or all, have a single step."""
    problem = general(model, 31, K=2, size=12, one=True)
    x = problem.data[0]
    pieces = (x[:1], x[1:2], x[2:3]) if only else (x[:1], x[1:7], x[7:8])
    return replace(problem, data=pieces)
