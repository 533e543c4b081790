"""Latent-variable models by hand: each module is one model, written as its equations.

A model is a module of this package that has the names of `Model`; being there registers it.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    import numpy as np

    from lockstep.models import records
    from lockstep.models.records import Floats, Integers

if __name__ == "models":  # found in the repository's root: the folder is still one package
    sys.modules[__name__] = importlib.import_module("lockstep.models")

type Data = Floats | tuple[Integers, ...]


class Model(Protocol):
    """The names that make a module a model.

    Attributes
    ----------
    NAME : str
        The model's name in results: the module's own.
    TITLE : str
        The model's name for a reader.
    Parameters, Statistics, Prior : type
        Its records; the prior is conjugate.
    """

    NAME: str
    TITLE: str
    Parameters: type[records.Parameters]
    Statistics: type[records.Statistics]
    Prior: type[records.Prior]

    def check_parameters(self, given: Mapping[str, Any]) -> records.Parameters:
        """Return parameters made of nested lists by name, or raise ValueError."""
        ...

    def check_data(self, data: Any, dims: Mapping[str, int], *, missing: bool = False) -> Data:
        """Return the data as the model takes them, or raise ValueError."""
        ...

    def check_chunk(self, data: Any, dims: Mapping[str, int], *, missing: bool = False) -> Data:
        """Return a part of the data as the model takes it, or raise ValueError."""
        ...

    def size(self, data: Data) -> int:
        """Return the number of observations."""
        ...

    def dims(self, parameters: records.Parameters) -> dict[str, int]:
        """Return the model's sizes."""
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

    def gradient(
        self, parameters: records.Parameters, data: Data
    ) -> tuple[records.Parameters, float]:
        """Return the derivatives of the log-likelihood, at zeros too, and its value."""
        ...

    def to_free(self, parameters: records.Parameters) -> Floats:
        """Return unconstrained coordinates."""
        ...

    def from_free(self, free: Floats, dims: Mapping[str, int]) -> records.Parameters:
        """Return the parameters that have these unconstrained coordinates."""
        ...

    def free_units(self, parameters: records.Parameters) -> Floats:
        """Return a natural length for a step in each unconstrained coordinate."""
        ...

    def score_free(self, statistics: records.Statistics, parameters: records.Parameters) -> Floats:
        """Return the derivatives of the log-likelihood by the unconstrained coordinates."""
        ...

    def log_likelihood(self, parameters: records.Parameters, data: Data) -> Floats:
        """Return the log-likelihood for each index of the parameters' leading axes."""
        ...

    def change(self, old: records.Parameters, new: records.Parameters) -> float:
        """Return the largest change of a parameter, free of the data's units."""
        ...

    def rounding(self, parameters: records.Parameters) -> float:
        """Return how far rounding may move a parameter in one iteration, as `change` counts it."""
        ...

    def collapsed(self, parameters: records.Parameters, data: Data) -> str | None:
        """Return which component is at a singularity of the likelihood; None if none is."""
        ...

    def features(self, parameters: records.Parameters, reference: records.Parameters) -> Floats:
        """Return one row per component, by which components of two fits are matched."""
        ...


SHARED = (
    "admission",
    "bayesian",
    "chunks",
    "em",
    "estimators",
    "fisher",
    "fits",
    "hmm_kernels",
    "kernels",
    "labels",
    "mixture_diagonal",
    "mixture_kernels",
    "records",
    "simplex",
    "softmax",
    "stock",
    "uncertainty",
)
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
