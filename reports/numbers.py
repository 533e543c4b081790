"""How numbers are written: as many digits as they deserve, and no more."""

from __future__ import annotations

import math

DASH = "–"
"""Stands for a number that there is not."""


def fixed(value: float | None, decimals: int) -> str:
    """Return the number with so many decimals; fewer than none rounds to tens and up."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{round(value, decimals):.{max(decimals, 0)}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def supported_decimals(error: float | None, default: int) -> int:
    """Return the decimals that a Monte Carlo error supports.

    The unit of the last decimal is never smaller than the error.

    Parameters
    ----------
    error : float or None
        The Monte Carlo standard error.
    default : int
        For want of one, or where it is zero.
    """
    if error is None or not math.isfinite(error) or error <= 0:
        return default
    return min(math.floor(-math.log10(error)), default)


def estimate(value: float | None) -> str:
    """Return an exact computation's result with 7 significant digits, but 8 decimals at most."""
    if value is None or not math.isfinite(value):
        return DASH
    size = abs(value)
    if 0 < size < 5e-7:
        return f"{value:.1e}"
    if size >= 1e15:
        return f"{value:.6e}"
    return fixed(value, 6 - max(0, math.floor(math.log10(size))) if size else 6)


def scientific(value: float | None) -> str:
    """Return a small number such as a rounding difference: ``5.7e-13``."""
    if value is None or not math.isfinite(value):
        return DASH
    return "0" if value == 0 else f"{value:.1e}"


def three(value: float | None) -> str:
    """Return a number of any size with three significant digits."""
    if value is None or not math.isfinite(value):
        return DASH
    size = abs(value)
    if size == 0:
        return "0"
    if not 1e-4 <= size < 1e6:
        return f"{value:.1e}"
    return fixed(value, max(0, 2 - math.floor(math.log10(size))))


def given(value: float | None) -> str:
    """Return a number that someone chose, such as a true parameter, as they would write it."""
    return DASH if value is None or not math.isfinite(value) else f"{value:.10g}"


def nats(value: float | None, decimals: int = 6) -> str:
    """Return a log-likelihood."""
    return fixed(value, decimals)


def duration(seconds: float | None) -> str:
    """Return seconds with what matters of their digits."""
    if seconds is None or not math.isfinite(seconds):
        return DASH
    return fixed(seconds, 2 if seconds < 10 else 1 if seconds < 100 else 0)


def count(number: int | None, noun: str, plural: str | None = None) -> str:
    """Return ``1 fit``, ``2 fits``."""
    if number is None:
        return f"{DASH} {plural or noun + 's'}"
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
