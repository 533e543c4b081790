"""Latent-variable models by hand: each folder with an `equations.py` is one.

A model has the names of `Model`; being here registers it, or an entry point of a distribution that
is installed.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    import numpy as np

    from lockstep.models import records
    from lockstep.models.records import Floats, Integers

if __name__ == "models":  # found in the repository's root: the folder is still one package
    sys.modules[__name__] = importlib.import_module("lockstep.models")

type Data = Floats | tuple[Integers, ...]


class Shows(Protocol):
    """What a reader is shown of a model.

    Attributes
    ----------
    NOUN : str
        What K counts: component or state.
    SEQUENCES : bool
        Whether data are sequences of symbols, or else rows of numbers.
    UNIT, PREDICTED : str
        What one observation is called; and one as it is predicted.
    COLUMNS : tuple of int or None
        How many columns of a table it takes at least, and at most.
    """

    NOUN: str
    SEQUENCES: bool
    UNIT: str
    PREDICTED: str
    COLUMNS: tuple[int, int | None]

    def densities(self, parameters: Any, grid: Floats, column: int) -> Floats:
        """Return weight times density of each component over one column, for rows of numbers."""
        ...

    def meaning(self, field: str, *names: str) -> str:
        """Return what a parameter is, given the name of its place along each axis."""
        ...


class Model(Protocol):
    """The names that make a folder a model.

    Attributes
    ----------
    NAME : str
        The model's name in results: the module's own.
    TITLE : str
        The model's name for a reader.
    Parameters, Statistics : type
        Its records.
    shows : module
        What readers are shown.

    A model may have more: ``Prior``, a conjugate one for `m_step`; ``gradient``, the score where a
    probability is zero; ``collapsed`` and ``rounding``, what doubles cannot hold; and in its
    folder ``prior.py``, ``compiled.py``, ``graph.py``, ``stock.py`` and ``problems.py``. What it
    lacks is said where it is missed.
    """

    __name__: str
    __file__: str | None
    NAME: str
    TITLE: str
    shows: Shows
    Parameters: type[records.Parameters]
    Statistics: type[records.Statistics]

    def check_data(self, data: Any, dims: Mapping[str, int], *, missing: bool = False) -> Data:
        """Return the data as the model takes them, or raise ValueError."""
        ...

    def check_chunk(self, data: Any, dims: Mapping[str, int], *, missing: bool = False) -> Data:
        """Return a part of the data as the model takes it, or raise ValueError."""
        ...

    def sample(self, parameters: records.Parameters, size: Any, rng: np.random.Generator) -> Data:
        """Draw data from the model."""
        ...

    def start(
        self, data: Data, dims: Mapping[str, int], rng: np.random.Generator
    ) -> records.Parameters:
        """Return random parameters to start EM from."""
        ...

    def e_step(
        self, parameters: records.Parameters, data: Data, weights: Floats | None = None
    ) -> tuple[records.Statistics, float]:
        """Return the expected statistics and the log-likelihood."""
        ...

    def m_step(
        self, statistics: records.Statistics, *, prior: Any = None, **options: Any
    ) -> records.Parameters:
        """Return the parameters that maximise the expected log-likelihood."""
        ...

    def score(
        self, statistics: records.Statistics, parameters: records.Parameters
    ) -> records.Parameters:
        """Return the derivatives of the log-likelihood, by Fisher's identity."""
        ...

    def log_densities(self, parameters: records.Parameters, data: Data) -> Floats:
        """Return the log density of every unit that is predicted in one piece."""
        ...

    def memberships(self, parameters: records.Parameters, data: Data) -> Floats:
        """Return the probability of each component for every observation or step."""
        ...

    def log_likelihood(self, parameters: records.Parameters, data: Data) -> Floats:
        """Return the log-likelihood for each index of the parameters' leading axes."""
        ...


ENTRY_POINTS = "lockstep.models"
"""The group of entry points by which an installed distribution brings models of its own."""


@cache
def _places() -> dict[str, str]:
    """Return the module of each model by its name: the folders here, and entry points."""
    folders = [m.name for m in pkgutil.iter_modules(__path__) if m.ispkg]
    here = {n: f"{__name__}.{n}" for n in folders if Path(__path__[0], n, "equations.py").exists()}
    there = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    return dict(sorted({**there, **here}.items()))


def names() -> tuple[str, ...]:
    """Return the names of all models, in alphabetical order."""
    return tuple(_places())


def load(name: str) -> Model:
    """Return the model of that name.

    Raises
    ------
    ValueError
        If there is none, or it lacks one of the names of `Model`.
    """
    if name not in names():
        raise ValueError(f"there is no model {name!r}; there are {', '.join(names())}")
    return _model(name, _places()[name])


@cache
def _model(name: str, place: str) -> Model:
    """Return a model that has the names of `Model`, or say which it lacks."""
    found = importlib.import_module(place)
    methods = [n for n, value in vars(Model).items() if callable(value) and n[0] != "_"]
    wanted = [n for n in (*Model.__annotations__, *methods) if n != "__name__"]
    if lacking := [n for n in wanted if not hasattr(found, n)]:
        raise ValueError(
            f"{place} is no model yet: it lacks {', '.join(lacking)}; `lockstep.models.Model` says "
            "what each is"
        )
    if name != found.NAME:
        raise ValueError(f"{place} is found as {name!r} and its NAME is {found.NAME!r}: use one")
    return cast("Model", found)


def has(model: Model, name: str) -> bool:
    """Return whether the model's folder has a module of that name."""
    return hasattr(model, "__path__") and find_spec(f"{model.__name__}.{name}") is not None


def part(model: Model, name: str) -> Any:
    """Return a module of the model's folder that not every model has; None if it is not there.

    Parameters
    ----------
    model : Model
    name : str
        ``prior``, ``compiled``, ``graph``, ``stock`` or ``problems``.
    """
    return importlib.import_module(f"{model.__name__}.{name}") if has(model, name) else None


def singularity(model: Model, parameters: records.Parameters, data: Data) -> str | None:
    """Return which component is at a singularity of the likelihood, and where; None if none is.

    A model without a `collapsed` of its own has none.
    """
    collapsed: Callable[[Any, Any], str | None] = getattr(model, "collapsed", lambda *_: None)
    return collapsed(parameters, data)
