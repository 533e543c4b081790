"""Latent-variable models by hand: each module is one model, written as its equations.

A model is a module of this package that has the names of `Model`; being there registers it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    import numpy as np

    from models import records
    from models.records import Floats, Integers

type Data = Floats | tuple[Integers, ...]


class Model(Protocol):
    """The names that make a module a model.

    Attributes
    ----------
    NAME : str
        The model's name in results: the module's own.
    TITLE : str
        The model's name for a reader.
    Parameters, Statistics : type
        Its records.
    """

    NAME: str
    TITLE: str
    Parameters: type[records.Parameters]
    Statistics: type[records.Statistics]

    def check_data(self, data: Any, dims: Mapping[str, int]) -> Data:
        """Return the data as the model takes them, or raise ValueError."""
        ...

    def size(self, data: Data) -> int:
        """Return the number of observations."""
        ...

    def n_free(self, parameters: records.Parameters) -> int:
        """Return the number of free parameters."""
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
        self, parameters: records.Parameters, data: Data
    ) -> tuple[records.Statistics, float]:
        """Return the expected statistics and the log-likelihood."""
        ...

    def m_step(self, statistics: records.Statistics) -> records.Parameters:
        """Return the parameters that maximise the expected log-likelihood."""
        ...

    def log_likelihood(self, parameters: records.Parameters, data: Data) -> Floats:
        """Return the log-likelihood for each index of the parameters' leading axes."""
        ...

    def change(self, old: records.Parameters, new: records.Parameters) -> float:
        """Return the largest change of a parameter, free of the data's units."""
        ...

    def features(self, parameters: records.Parameters, reference: records.Parameters) -> Floats:
        """Return one row per component, by which components of two fits are matched."""
        ...


SHARED = ("bayesian", "em", "fits", "kernels", "records")
"""Modules of this package that are not a model."""


@cache
def names() -> tuple[str, ...]:
    """Return the names of all models, in alphabetical order."""
    return tuple(m.name for m in pkgutil.iter_modules(__path__) if m.name not in SHARED)


def load(name: str) -> Model:
    """Return the model of that name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in names():
        raise ValueError(f"there is no model {name!r}; there are {', '.join(names())}")
    return cast("Model", importlib.import_module(f"{__name__}.{name}"))
