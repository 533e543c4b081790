"""Scenarios: what is fitted, and what is known about the right answer.

Every module of this package is a group of scenarios; a module joins by being here and having a
tuple `SCENARIOS`. So does one that an installed distribution names by an entry point.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from lockstep.comparisons.problem import Mode

if TYPE_CHECKING:
    from lockstep.models import Data
    from lockstep.models.records import Parameters


@dataclass(frozen=True)
class Published:
    """A figure from the literature.

    Attributes
    ----------
    quantity : str
        ``log_likelihood``, ``bic_mclust``, or a parameter such as ``means[0]`` or ``sds[1]``.
    printed : str
        The figure with the digits that were printed.
    source : str
        Where it was printed.
    note : str
        If not empty, why the figure is not expected of the fit: it is then shown beside ours
        and not compared.
    at : Parameters or None
        If given, the figure is compared with our log-likelihood at these parameters, not with
        the fit.
    """

    quantity: str
    printed: str
    source: str
    note: str = ""
    at: Parameters | None = None


@dataclass(frozen=True)
class Prepared:
    """A scenario's data and what is known about them.

    Attributes
    ----------
    data, heldout : Data
        Training data, and data from the same truth that no implementation sees.
    dims : mapping of str to int
        The model's sizes.
    start : Parameters
        Where matched fits begin.
    truth : Parameters or None
        What the data were drawn from.
    reference : Parameters or None
        Gives the components their order where there is no truth.
    published : tuple of Published
    labels : mapping of str to sequence of str
        Names for a reader: ``axes`` of the data, ``components``, ``symbols``; and
        the ``limits`` of a picture's axes.
    """

    data: Data
    dims: Mapping[str, int]
    start: Parameters
    heldout: Data | None = None
    truth: Parameters | None = None
    reference: Parameters | None = None
    published: tuple[Published, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """One comparison.

    Attributes
    ----------
    name, title : str
    model : str
        The name of its model.
    lesson : str
        What it shows, in a sentence or two.
    n_iter : int
        Iterations of the matched fits.
    prepare : callable
        Makes the data; not called before they are needed.
    expected : mapping of (implementation, Mode) to str
        Disagreements that belong to the scenario, each with its reason.
    """

    name: str
    title: str
    model: str
    lesson: str
    n_iter: int
    prepare: Callable[[], Prepared]
    expected: Mapping[tuple[str, Mode], str] = field(default_factory=dict)


ORDER = ("seeds", "simulated", "real")
"""Groups come in this order; others follow by name."""

ENTRY_POINTS = "lockstep.scenarios"
"""The group of entry points by which an installed distribution brings scenarios of its own."""


@cache
def scenarios() -> dict[str, Scenario]:
    """Return all scenarios by name: those of the modules here, then those of entry points."""
    rank = {name: place for place, name in enumerate(ORDER)}
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    here = sorted(modules, key=lambda name: (rank.get(name, len(rank)), name))
    there = sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    found: dict[str, Scenario] = {}
    for place in (*(f"{__name__}.{name}" for name in here), *(point.value for point in there)):
        for scenario in importlib.import_module(place).SCENARIOS:
            found.setdefault(scenario.name, scenario)
    return found
