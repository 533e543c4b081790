"""What an implementation is given, and nothing more: no truth, no held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lockstep.models import Data
    from lockstep.models.records import Parameters


class Mode(StrEnum):
    """The two ways of comparing, never to be mixed up."""

    MATCHED = "matched"
    AS_CONFIGURED = "as_configured"


@dataclass(frozen=True)
class Problem:
    """One fitting task.

    Attributes
    ----------
    model : str
        The model's name: the name of its module in `models`.
    data : Data
        Training data, as the model's `check_data` returns them: floats of shape (N,) or (N, D)
        for the mixtures, a tuple of integer sequences for the hidden Markov model; NaN, or -1, is
        a value that was not observed.
    dims : mapping of str to int
        The model's sizes: ``n_components``, and for the HMM ``n_features`` (the number of symbols).
    mode : Mode
        Matched: from `start`, exactly `n_iter` iterations, no ridge and no prior.
        As configured: the implementation's own start and stopping rule; both are None.
    seed : int
        For whatever is random in the fit.
    start : Parameters or None
    n_iter : int or None
    quick : bool
        A posterior may be shorter; a point fit takes no notice.
    """

    model: str
    data: Data
    dims: Mapping[str, int]
    mode: Mode
    seed: int
    start: Parameters | None = None
    n_iter: int | None = None
    quick: bool = False

    def holes(self) -> str:
        """Return how many values of the data were not observed, in words; empty if all were."""
        from lockstep.models.admission import not_observed

        number = not_observed(self.data)
        return f"{number:,} value{'s' * (number > 1)} missing" if number else ""

    def matched(self) -> tuple[Parameters, int]:
        """Return the start and the number of iterations of a matched problem."""
        if self.start is None or self.n_iter is None:
            raise ValueError("a matched problem needs a start and a number of iterations")
        return self.start, self.n_iter
