"""How a table of text is written: its encoding, what separates values, what marks decimals.

All of it is found from the text, and may be given instead. What is found is certain where the text
leaves no choice (a byte order mark, valid UTF-8, one separator that makes all rows as wide as the
header); where it is a convention the description says so.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

SAMPLE = 1000
"""Lines from which separator and decimal mark are found."""

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes", " ": "spaces"}
"""What is looked for, in the order in which it is preferred; spaces stand for any white space."""

GIVEN = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "space": " "}
"""Words for separators that are hard to type."""

MARKS = {
    codecs.BOM_UTF8: ("utf-8-sig", "UTF-8 with a byte order mark"),
    codecs.BOM_UTF32_LE: ("utf-32", "UTF-32"),
    codecs.BOM_UTF32_BE: ("utf-32", "UTF-32"),
    codecs.BOM_UTF16_LE: ("utf-16", "UTF-16"),
    codecs.BOM_UTF16_BE: ("utf-16", "UTF-16"),
}
"""Byte order marks; that of UTF-32 begins with that of UTF-16."""

NUMBERS = {
    mark: re.compile(
        rf"[+-]?(?:[0-9]++(?:[{mark}][0-9]*+)?|[{mark}][0-9]++)(?:[eE][+-]?[0-9]++)?"
    ).fullmatch
    for mark in ".,"
}
"""What is a number, by its decimal mark."""

THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+").fullmatch


class DataError(ValueError):
    """The file cannot be used; the message names the file and, where it can, column and line."""


@dataclass(frozen=True)
class Dialect:
    """How a table is written; what is None is found.

    Attributes
    ----------
    delimiter : str or None
        One character, or one of the words of `GIVEN`.
    decimal : {".", ","} or None
    encoding : str or None
        As Python names it.
    """

    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None

    def checked(self) -> Dialect:
        """Return the dialect with its separator as one character.

        Raises
        ------
        ValueError
            If one of its parts is none; the message says what there is.
        """
        delimiter = self.delimiter and GIVEN.get(self.delimiter.lower(), self.delimiter)
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
            raise ValueError(
                f"--delimiter {self.delimiter!r} is not one character; there are also "
                + ", ".join(word for word in GIVEN if word.isalpha())
            )
        if self.decimal not in (None, ".", ","):
            raise ValueError(f"--decimal {self.decimal!r} is neither '.' nor ','")
        if delimiter is not None and delimiter == self.decimal:
            raise ValueError(f"--delimiter and --decimal cannot both be {delimiter!r}")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError):
                raise ValueError(
                    f"there is no encoding of text called {self.encoding!r}; try utf-8, cp1252, "
                    "latin-1 or utf-16"
                ) from None
        return Dialect(delimiter, self.decimal, self.encoding)


def encoding(content: bytes, given: str | None) -> tuple[str, str]:
    """Return the encoding of a text and what to call it; it can be decoded by it.

    Raises
    ------
    DataError
        If it is no text; naming the line.
    """
    found, name = (given, given) if given else _encoding(content)
    try:
        content.decode(found)
    except UnicodeDecodeError as error:
        raise DataError(
            f"line {_line(content, error.start)} has the byte 0x{content[error.start]:02x}, which "
            f"is not {name}; save the file as UTF-8, or name its encoding with --encoding"
        ) from None
    except UnicodeError as error:
        raise DataError(f"this is no text in {name}: {error}") from None
    return found, name


def _encoding(content: bytes) -> tuple[str, str]:
    for mark, found in MARKS.items():
        if content.startswith(mark):
            return found
    if (position := content.find(b"\0")) >= 0:
        even, odd = content[::2].count(0), content[1::2].count(0)
        if even + odd > len(content) / 4 and not (even and odd):
            return ("utf-16-be", "UTF-16") if even else ("utf-16-le", "UTF-16")
        raise DataError(
            f"line {_line(content, position)} has a NUL byte; this is no text, or one in an "
            "encoding to be named with --encoding"
        )
    try:
        content.decode()
    except UnicodeDecodeError:
        if content.decode(errors="ignore").isascii():  # no sign of UTF-8
            with suppress(UnicodeDecodeError):
                content.decode("cp1252")
                return "cp1252", "Windows-1252 (it is no UTF-8)"
    return "utf-8", "UTF-8"


def _line(content: bytes, position: int) -> int:
    return 1 + len(re.findall(rb"\r\n?|\n", content[:position]))


def rows(lines: Iterable[str], delimiter: str) -> Any:
    """Return a reader of the values in each line; runs of white space are one separator."""
    if delimiter == " ":
        lines = (re.sub(r"[ \t]+", " ", line.strip(" \t")) for line in lines)
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _sampled(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the rows of a sample that are not blank, up to one that cannot be read."""
    found: list[list[str]] = []
    with suppress(csv.Error):
        found.extend(values for values in rows(lines, delimiter) if any(map(str.strip, values)))
    return found


def _is_number(text: str) -> bool:
    return any(number(text.strip()) for number in NUMBERS.values())


def _fit(table: list[list[str]], delimiter: str) -> tuple[float, float]:
    """Return the share of rows that are as wide as the header, and of values that are numbers."""
    header, *below = table
    if not below:
        return 0.0, 0.0
    values = [value for row in below for value in row]
    wide = sum(len(row) == len(header) for row in below) / len(below)
    if without_index_name(table, delimiter):
        wide = 1.0
    return wide, sum(map(_is_number, values)) / len(values)


def without_index_name(table: Sequence[Sequence[str]], delimiter: str) -> bool:
    """Return whether the header names all columns but a first one, as R's ``write.table`` does."""
    header, *below = table
    if len(below) < 2 or any(len(row) != len(header) + 1 for row in below):
        return False
    first = {row[0].strip() for row in below}
    if len(first) < len(below) or (delimiter == "," and len(header) == 1):
        return False  # of one name, 1,5 may well be a fraction
    return (delimiter != "," and len(header) > 1) or all(text.isdecimal() for text in first)


def _delimiter(lines: Sequence[str]) -> str:
    fits = {
        mark: (*_fit(table, mark), len(table[0]))
        for mark in SEPARATORS
        if (table := _sampled(lines, mark))
    }
    wide = {
        mark: fit[:2]
        for mark, fit in fits.items()
        if mark != " " and fit[2] > 1 and (mark == "," or fit[0] >= 0.5)
    }
    if wide:  # of equal ones the first
        return max(wide, key=lambda mark: wide[mark])
    for mark, (share, _, width) in fits.items():
        named = width > 1 or without_index_name(_sampled(lines, mark), mark)
        if share == 1 and named and mark != ",":
            return mark
    below = [line.strip() for line in lines if line.strip()][1:]
    fractions = sum("," in text and NUMBERS[","](text) is not None for text in below)
    pointed = any("." in text and _is_number(text) for text in below)
    return ";" if fractions > len(below) / 2 and not pointed else ","  # or one column


def _decimal(table: Sequence[Sequence[str]], delimiter: str) -> str:
    """Return the decimal mark: a comma only where nothing speaks for a point."""
    values = [value.strip() for row in table[1:] for value in row]
    commas = [value for value in values if "," in value and NUMBERS[","](value)]
    if any("." in value and NUMBERS["."](value) for value in values):
        return "."
    if any(THOUSANDS(value) and value.count(",") > 1 for value in values):
        return "."
    if delimiter != ";" and all(map(THOUSANDS, commas)):  # 1,000 is as likely a thousand
        return "."
    return "," if commas else "."


def found(lines: Iterator[str], given: Dialect) -> tuple[str, str, list[list[str]]]:
    """Return separator and decimal mark of a table, and the rows they were found from.

    Parameters
    ----------
    lines : iterator of str
    given : Dialect
        What need not be found.
    """
    sample = list(islice(lines, SAMPLE))
    delimiter = given.delimiter or _delimiter(sample)
    table = _sampled(sample, delimiter)
    return delimiter, given.decimal or _decimal(table, delimiter), table


def described(delimiter: str, decimal: str, width: int) -> str:
    """Return separator and decimal mark of a table with so many columns in words."""
    marks = {".": "", ",": ", decimal commas"}
    separated = SEPARATORS.get(delimiter, f"{delimiter!r} between values")
    return (separated if width > 1 else "one column") + marks[decimal]
