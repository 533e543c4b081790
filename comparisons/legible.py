"""Text that others wrote (a program's output, an exception's words) as a reader may be shown it."""

from __future__ import annotations

import unicodedata

MOST, LONG = 1_000, 60
"""Characters of a message, and of a value in one; the rest is counted, or left out."""


def legible(text: str, most: int = MOST, *, lines: bool = False) -> str:
    r"""Return the text clipped, with each control character in Python's notation.

    An escape sequence reads ``\x1b[31m`` and does nothing, half a surrogate pair reads ``\ud800``
    and can be written to any file. Marks that turn the direction of what follows, and all else
    that has no glyph, are spelled out too.

    Parameters
    ----------
    text : str
    most : int, optional
        Characters that are kept.
    lines : bool, optional
        Whether line breaks stay; then it is the end of the text that is kept, as for a log.
    """
    left_out = len(text) - most
    if left_out > 0:
        text = text[left_out:] if lines else text[:most]
    if lines:
        spelled = "\n".join(printable(line) for line in text.splitlines())
    else:
        spelled = printable(text.strip())
    if left_out <= 0:
        return spelled
    note = f"... ({left_out:,} characters more)"
    return f"{note}\n{spelled}" if lines else spelled + note


def printable(text: str) -> str:
    """Return the text whole, its control characters and odd bytes spelled out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(c: str) -> str:
    if unicodedata.category(c) == "Zs":
        return " "
    return "    " if c == "\t" else c.encode("unicode_escape").decode("ascii")


def said(error: BaseException) -> str:
    """Return an exception's type and words, even of one whose words cannot be had."""
    try:
        return legible(f"{type(error).__name__}: {str.__str__(str(error))}")
    except BaseException as other:  # noqa: BLE001 - its __str__ may do anything
        return f"{type(error).__name__:.100}, whose text raises a {type(other).__name__:.100}"


def clipped(text: str) -> str:
    """Return the text in quotes, its end cut off if it is long."""
    return repr(text) if len(text) <= LONG else f"{text[:LONG]!r}..."
