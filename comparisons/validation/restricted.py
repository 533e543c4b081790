"""What an EM may choose not to do: models with fewer free parameters, each with an EM of its own.

A restriction is known by the candidate's first two iterations, which must be those of EM in the
restricted model; everything after is judged against that EM. It is composed of the model's own
E-step and M-step: what the M-step gives is taken to the maximum that the restriction leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import Any

import numpy as np

from lockstep.comparisons.validation import mistakes
from lockstep.comparisons.validation.problems import Arrays
from lockstep.models import load
from lockstep.models.spaces import PositiveDefinite, Real, Simplex, Variance

WORDS = {
    "transmat": "transition matrix",
    "emissionprob": "emission matrix",
    "covariances": "variances",
}
"""Fields as mistakes call them."""


@dataclass(frozen=True)
class Restriction:
    """What of a model is not estimated.

    Attributes
    ----------
    kept : tuple of str
        Fields that stay as they are given.
    equal : str
        A distribution that is held uniform.
    shape : {"", "diagonal", "spherical"}
        Of covariances.
    tied : bool
        Whether all components share one covariance.
    from_within : bool
        Whether the start is first made one of the restricted model.
    """

    kept: tuple[str, ...] = ()
    equal: str = ""
    shape: str = ""
    tied: bool = False
    from_within: bool = False

    def __bool__(self) -> bool:
        return bool(self.kept or self.equal or self.shape or self.tied)

    @property
    def names(self) -> list[str]:
        """What it does not do, each as the mistake of that effect is called."""
        said = [f"{WORDS.get(name, name)} not updated" for name in self.kept]
        said += [f"{self.equal} held equal"] if self.equal else []
        said += {
            "diagonal": ["off-diagonals dropped"],
            "spherical": ["one variance for all coordinates"],
        }.get(self.shape, [])
        return said + (["one variance for all components"] if self.tied else [])

    @property
    def model(self) -> str:
        """The restricted model in words."""
        said = [f"{', '.join(self.kept)} kept as given"] if self.kept else []
        said += [f"equal {self.equal}"] if self.equal else []
        covariances = " ".join(filter(None, ("one" if self.tied else "", self.shape)))
        if covariances:
            said.append(f"{covariances} covariance{'' if self.tied else 's'}")
        return " and ".join(said)

    def begun(self, start: Arrays) -> Arrays:
        """Return the start from which it goes."""
        return self._within(start, start.get("weights")) if self.from_within else start

    def maximum(self, free: Arrays, start: Arrays) -> Arrays:
        """Return the restricted maximum, from the free one and what the iteration began with."""
        made = free | {name: start[name] for name in self.kept}
        return self._within(made, free.get("weights"))

    def _within(self, arrays: Arrays, shares: Any) -> Arrays:
        """Return parameters of the restricted model; covariances are pooled by shares."""
        made, second = dict(arrays), _second(arrays)
        if self.equal:
            made[self.equal] = np.full_like(arrays[self.equal], 1 / len(arrays[self.equal]))
        if second is None:
            return made
        spread = made[second]
        if self.tied:
            pooled = np.tensordot(shares / shares.sum(), spread, axes=1)
            spread = np.broadcast_to(pooled, spread.shape).copy()
        if self.shape:
            identity = np.eye(spread.shape[-1])
            diagonal = spread * identity
            if self.shape == "spherical":
                trace = np.trace(spread, axis1=1, axis2=2) / len(identity)
                diagonal = trace[:, None, None] * identity
            spread = diagonal
        return made | {second: spread}


def _second(arrays: Arrays) -> str | None:
    """Return the name of the variances or covariances."""
    return next((name for name in ("variances", "covariances") if name in arrays), None)


@cache
def restrictions(model: str) -> tuple[Restriction, ...]:
    """Return the restrictions of a model, those that leave most free first."""
    spaces = load(model).Parameters.SPACES
    # Who keeps the means has forgotten them; the variances about kept ones would be others besides.
    fields = [n for n, s in spaces.items() if not isinstance(s, Real)]
    # Rows of a matrix of probabilities that are held uniform leave no states to tell apart.
    even = [n for n, s in spaces.items() if isinstance(s, Simplex) and s.axes == "K"]
    matrices = any(isinstance(s, PositiveDefinite) for s in spaces.values())
    shapes = ("", "diagonal", "spherical") if matrices else ("",)
    spread = [n for n, s in spaces.items() if isinstance(s, PositiveDefinite | Variance)]

    def made() -> Iterator[Restriction]:
        for n in range(min(len(fields) + 1, len(spaces))):
            for kept in combinations(fields, n):
                for shape, tied in product(shapes, (False, True) if spread else (False,)):
                    if (shape or tied) and set(spread) & set(kept):
                        continue
                    for equal in ("", *(name for name in even if name not in kept)):
                        found = Restriction(kept, equal, shape, tied)
                        if found:
                            yield found
                        if equal or shape or tied:
                            yield Restriction(kept, equal, shape, tied, from_within=True)

    def size(r: Restriction) -> int:
        return len(r.kept) + bool(r.equal) + bool(r.shape) + r.tied

    return tuple(sorted(made(), key=size))


def told(name: str) -> str:
    """Return how what is not done would be done: as for the mistake of that name."""
    return next((m.MEND for m in mistakes.REGISTER if name == m.NAME), "estimate it as well")
