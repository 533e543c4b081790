"""Implementations: every module here whose name has no leading underscore is one.

An implementation is a module with the names of `Implementation`. Importing it must be cheap: the
library it stands for is imported inside `fit`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
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

    A module whose posteriors are known to fail a check may name it in ``KNOWN_FAILINGS``, a mapping
    of the check's name to the reason: such a failure is shown, and does not count against it.
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


ORDER = (
    *("em", "scikit-learn", "hmmlearn"),
    *("pymc-advi", "pymc-fullrank", "pymc-nuts", "pymc-stock"),
)
"""Rows of a table come in this order; others follow by name."""

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
    found = {}
    for info in pkgutil.iter_modules(__path__):
        if not info.name.startswith("_"):
            module = cast("Implementation", importlib.import_module(f"{__name__}.{info.name}"))
            found[module.NAME] = module
    rank = {name: place for place, name in enumerate(ORDER)}
    return dict(sorted(found.items(), key=lambda kv: (rank.get(kv[0], len(rank)), kv[0])))
