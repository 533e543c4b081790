"""Which of a user's data are held out: rows, whole sequences, or the ends of sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lockstep.models.records import Floats, Integers

FEW = 5
"""Sequences; of fewer, the end of each is held out, and none as a whole."""


@dataclass(frozen=True)
class Sample:
    """Rows of numbers or sequences of symbols, and how often each counts.

    Attributes
    ----------
    data : ndarray, or tuple of ndarray
    weights : ndarray or None
        Of each row or sequence; None if all count once.
    """

    data: Any
    weights: Floats | None = None

    def taken(self, kept: Integers) -> Sample:
        """Return some of the rows or sequences, in their order."""
        data, weights = self.data, self.weights
        some = tuple(data[i] for i in kept) if isinstance(data, tuple) else data[kept]
        return Sample(some, None if weights is None else weights[kept])


def split(sample: Sample, share: float) -> tuple[Sample, Sample, str]:
    """Return the training data, those held out, and in a sentence which these are.

    Parameters
    ----------
    sample : Sample
    share : float
        Of the rows or sequences, drawn at random; of few sequences, of the end of each.

    Raises
    ------
    ValueError
        If there is not one to hold out, or none would be left.
    """
    if not 0 < share < 1:
        raise ValueError(f"--holdout {share:g} is no share of the data, between 0 and 1")
    n, sequences = len(sample.data), isinstance(sample.data, tuple)
    if sequences and n < FEW:
        return _ends(sample, share)
    held = round(share * n)
    what = "sequences" if sequences else "rows"
    if not 0 < held < n:
        raise ValueError(f"--holdout {share:g} of {n} {what} leaves none to hold out or to fit")
    order = np.random.default_rng(0).permutation(n)
    train, test = (sample.taken(np.sort(part)) for part in (order[held:], order[:held]))
    return train, test, f"Held out: {held:,} of {n:,} {what}, drawn at random."


def _ends(sample: Sample, share: float) -> tuple[Sample, Sample, str]:
    ends = [len(symbols) - round(share * len(symbols)) for symbols in sample.data]
    if not any(0 < end < len(symbols) for end, symbols in zip(ends, sample.data)):
        raise ValueError(f"--holdout {share:g} of such short sequences leaves none to hold out")
    train = Sample(tuple(s[: max(end, 1)] for end, s in zip(ends, sample.data)), sample.weights)
    rest = Sample(tuple(s[max(end, 1) :] for end, s in zip(ends, sample.data)), sample.weights)
    test = rest.taken(np.flatnonzero([len(symbols) > 0 for symbols in rest.data]))
    held, total = (sum(map(len, part.data)) for part in (test, sample))
    whose = "each sequence" if len(sample.data) > 1 else "the sequence"
    return (
        train,
        test,
        (
            f"Held out: {held:,} of {total:,} symbols, the end of {whose}, predicted as sequences "
            "of their own."
        ),
    )
