"""What PyMC's implementations share: compiled graphs kept for later data, and their draws."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lockstep import models
from lockstep.comparisons.problem import Mode, Problem
from lockstep.models import bayesian, records
from lockstep.models.records import Floats, Parameters

if TYPE_CHECKING:
    from pymc import Model


DEPENDS = ("pytensor", "numba", "numpy", "scipy")
"""What a compiled graph and its numbers depend on, beyond PyMC."""


MOST_PARAMETERS = 1000
"""Of a posterior that is drawn from; with more, chains take hours and their draws gigabytes."""


def unsupported(problem: Problem) -> str | None:
    """Return why a posterior cannot answer the problem, or None if it can."""
    if problem.mode is Mode.MATCHED:
        return "a posterior has no EM iterations to match"
    model = models.load(problem.model)
    if bayesian.prior_of(model) is None:
        return f"{model.TITLE} states no prior"
    if not isinstance(problem.data, tuple) and (holes := problem.holes()):
        return f"PyMC keeps data as they are, and takes no NaN among them: {holes}"
    size = _size(problem)
    if not size:
        return "one state and one symbol leave no parameter to infer"
    if size > MOST_PARAMETERS:
        return f"{size:,} parameters are too many to draw: at most {MOST_PARAMETERS:,}"
    return None


def _size(problem: Problem) -> int:
    """Return the number of free parameters, symmetric entries of a covariance counted once."""
    model = models.load(problem.model)
    columns = 1 if isinstance(problem.data, tuple) else problem.data[0].size
    shapes = bayesian.shapes(model, problem.dims, columns)
    spaces = model.Parameters.SPACES
    return sum(spaces[name].n_free(np.broadcast_to(0.0, s)) for name, s in shapes.items())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings and PyMC's log messages off the terminal; what they say is in the results."""
    loggers = [logging.getLogger(name) for name in ("pymc", "pytensor")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class Graph:
    """A PyMC model whose compiled functions serve all data of the same kind.

    Attributes
    ----------
    name : str
        The model's name.
    model : pymc.Model
        The model; its data containers hold the data observed last.
    n_dim : int
        The number of its unconstrained parameters.
    """

    def __init__(self, name: str, model: Model) -> None:
        self.name = name
        self.model = model
        self._point = model.initial_point(0)
        self.n_dim = sum(int(np.size(value)) for value in self._point.values())

    def flat(self, point: Mapping[str, Floats]) -> Floats:
        """Return unconstrained values by value variable as one vector, in the model's order."""
        return np.concatenate([np.ravel(point[v.name]) for v in self.model.value_vars])

    @cached_property
    def log_density(self) -> Callable[[Floats], tuple[Floats, Floats]]:
        """The compiled log posterior density, up to a constant, and its gradient."""
        with self.model:
            wrapped = self.model.logp_dlogp_function(ravel_inputs=True, initial_point=self._point)
        function: Callable[[Floats], tuple[Floats, Floats]] = _unchecked(wrapped._pytensor_function)
        # Compile here: a sampler calls it from a thread of its own, with a small stack.
        function(np.zeros(self.n_dim))
        return function

    @cached_property
    def _constrain(self) -> Callable[[Floats], list[Floats]]:
        """All draws at once, so there is no need to compile it."""
        import pytensor
        import pytensor.tensor as pt
        from pymc.pytensorf import join_nonshared_inputs
        from pytensor.graph.replace import vectorize_graph

        outputs, joined = join_nonshared_inputs(
            point=self._point,
            outputs=self.model.replace_rvs_by_values(
                [self.model[field.name] for field in fields(models.load(self.name).Parameters)]
            ),
            inputs=self.model.value_vars,
            make_inputs_shared=False,
        )
        draws = pt.matrix("draws", shape=(None, self.n_dim))
        mode = pytensor.compile.mode.Mode(linker="py", optimizer="fast_compile")
        with pytensor.config.change_flags(cxx=""):
            function: Callable[[Floats], list[Floats]] = pytensor.function(
                [draws], vectorize_graph(outputs, {joined: draws}), mode=mode
            )
        return function

    def parameters(self, draws: Floats) -> Parameters:
        """Return draws of the unconstrained vector, shape (chain, draw, n_dim), as parameters."""
        record, lead = models.load(self.name).Parameters, draws.shape[:2]
        stacked = self._constrain(draws.reshape(-1, self.n_dim))
        shapes = [self.model[field.name].type.shape for field in fields(record)]
        return record(
            *(  # what does not depend on the draws comes once
                np.broadcast_to(values, (int(np.prod(lead)), *shape)).reshape(*lead, *shape)
                for values, shape in zip(stacked, shapes, strict=True)
            )
        )


_GRAPHS: dict[Hashable, Graph] = {}


def graph(problem: Problem, *, stock: bool = False) -> Graph:
    """Return the graph that fits the problem, compiled at most once, holding the problem's data.

    Parameters
    ----------
    problem : Problem
    stock : bool, optional
        As for `bayesian.build`.

    Returns
    -------
    Graph
    """
    import pymc as pm

    observed = bayesian.observations(problem.model, problem.data)
    key: list[Hashable] = [problem.model, stock, *sorted(problem.dims.items())]
    key += [array.shape[1:] for array in observed.values()]
    if stock:
        padded = getattr(models.part(models.load(problem.model), "stock"), "padded", None)
        key.append(padded and padded(records.size(problem.data)))
    if tuple(key) not in _GRAPHS:
        model = bayesian.build(problem.model, problem.dims, observed, stock=stock)
        _GRAPHS[tuple(key)] = Graph(problem.model, model)
    kept = _GRAPHS[tuple(key)]
    pm.set_data(observed, model=kept.model)
    return kept


def _unchecked(function: Any) -> Any:
    """Return a compiled function that takes its arguments as they are: the samplers' are right."""
    function.trust_input = True
    return function
