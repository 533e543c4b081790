"""Implementations: every module here whose name has no leading underscore is one.

Installed distributions bring others by entry points.

An implementation is a module with the names of `Implementation`. Importing it must be cheap: the
library it stands for is imported inside `fit`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Literal, Protocol, cast

if TYPE_CHECKING:
    from lockstep.comparisons.problem import Problem
    from lockstep.models.fits import Fit


class Implementation(Protocol):
    """The names that make a module an implementation.

    Attributes
    ----------
    NAME : str
        What rows of the report call it.
    PACKAGE : str
        The installed distribution it stands for.
    KIND : {"point", "posterior"}
        What `fit` returns: a PointFit or a PosteriorFit.
    SUMMARY : str
        What it is, in a line.

    A module may say more of itself:

    DEPENDS : tuple of str
        Distributions beyond PACKAGE whose versions its fits depend on.
    PLACE : float
        Where its rows come, from the first; else they are among the last.
    REFERENCE : bool
        Whether others of its kind are held against it.
    TARGETS_REFERENCE : bool
        Whether its draws are meant to be from the posterior that the reference samples, and are
        judged by that; so they are unless it says no.
    ESTIMATOR : str
        Its estimator, as ``lockstep validate`` takes it, to be timed beside a candidate.
    KNOWN_FAILINGS : mapping of str to str
        Checks that its posteriors are known to fail, with the reason: such a failure is shown, and
        does not count against it.
    """

    __file__: str | None
    NAME: str
    PACKAGE: str
    SUMMARY: str
    KIND: Literal["point", "posterior"]

    def unsupported(self, problem: Problem) -> str | None:
        """Return why it cannot do this problem, or None if it can."""
        ...

    def fit(self, problem: Problem) -> Fit:
        """Fit; an exception becomes a row that says so."""
        ...


ENTRY_POINTS = "lockstep.implementations"
"""The group of entry points by which an installed distribution brings implementations."""

LAST = 100
"""The place of those that claim none; they are in the order of their names."""

_guests: dict[str, Implementation] = {}


def invite(guest: Implementation) -> None:
    """Let something that is no module of this package take part, in this process."""
    _guests[guest.NAME] = guest


def guests() -> dict[str, Implementation]:
    """Return those invited, by name."""
    return dict(_guests)


def implementations() -> dict[str, Implementation]:
    """Return all implementations by name."""
    return {**_modules(), **_guests}


@cache
def _modules() -> dict[str, Implementation]:
    here = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    places = [f"{__name__}.{name}" for name in here]
    places += [point.value for point in entry_points(group=ENTRY_POINTS)]
    found = [cast("Implementation", importlib.import_module(place)) for place in places]
    found.sort(key=lambda module: (getattr(module, "PLACE", LAST), module.NAME))
    return {module.NAME: module for module in found}


def targets_reference(name: str) -> bool:
    """Return whether an implementation's draws are meant to be the reference posterior's."""
    return bool(getattr(implementations()[name], "TARGETS_REFERENCE", True))


def depends(implementation: Implementation) -> tuple[str, ...]:
    """Return the distributions whose versions its fits depend on."""
    return (implementation.PACKAGE, *getattr(implementation, "DEPENDS", ()))


def estimators(problem: Problem) -> dict[str, str]:
    """Return the libraries' estimators that can do the problem, by name."""
    return {
        name: module.ESTIMATOR
        for name, module in implementations().items()
        if hasattr(module, "ESTIMATOR") and module.unsupported(problem) is None
    }


@cache
def reference(kind: Literal["point", "posterior"]) -> str:
    """Return the name of the implementation that others of its kind are held against."""
    return next(
        name
        for name, module in _modules().items()
        if kind == module.KIND and getattr(module, "REFERENCE", False)
    )
