"""Numbers whose scale leaves nothing to fit in double precision: refused before any fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lockstep.models.records import Floats

LARGEST, SMALLEST = 1e100, 1e-100
"""Of a column's values and of its standard deviation: variances, their products with counts and
those of two columns stay far from where doubles end, at 1e308 and 1e-308."""

STEPS = 1000
"""Doubles that a standard deviation must span: with fewer, rounding is what would be fitted."""


def refuse(data: Floats, names: Sequence[str]) -> None:
    """Raise ValueError if a column cannot be fitted as it is; the message says how it can.

    Parameters
    ----------
    data : ndarray, shape (N,) or (N, D)
        NaN is a value that was not observed.
    names : sequence of str
        Of the columns.
    """
    for name, values in zip(names, data.reshape(len(data), -1).T, strict=True):
        column = values[~np.isnan(values)]
        largest = float(np.abs(column).max())
        if largest > LARGEST:
            raise ValueError(
                f"column {name!r}: the values go up to {largest:.3g}, and squares of numbers "
                f"above {LARGEST:g} overflow; divide the column by {largest:.0e}"
            )
        sd = float(column.std())
        if sd < SMALLEST:
            spread = float(np.ptp(column))
            raise ValueError(
                f"column {name!r}: the values differ by {spread:.3g} at the most, and squares of "
                f"numbers below {SMALLEST:g} vanish; divide the column by {spread:.0e}"
            )
        if sd < STEPS * np.spacing(largest):
            raise ValueError(
                f"column {name!r}: the values lie {largest / sd:.0e} of their standard deviations "
                f"from zero, where double precision tells but {sd / np.spacing(largest):.2g} "
                f"values in one apart; subtract {column.mean():.15g} before the file is written"
            )
