"""Columns of symbols, and columns that say where sequences begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from lockstep.comparisons.csv_file import Table
from lockstep.comparisons.dialect import DataError
from lockstep.comparisons.legible import LONG, clipped, printable
from lockstep.models.records import Floats, Integers

MASKED = -1
"""In place of a symbol that was not observed."""

EXACT = 1e15
"""Whole numbers up to this are told apart in double precision."""

LISTED = 10
"""Names of columns or symbols that are shown in a message."""


def listed(names: Sequence[str]) -> str:
    """Return names in a line, the first of them if they are many."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(map(short, names[:LISTED])) + more


def short(name: str) -> str:
    """Return a name as it may be printed, its end cut off if it is long."""
    return printable(name[:LONG]) + "..." * (len(name) > LONG)


def symbols(table: Table, column: int) -> tuple[Integers, list[str]]:
    """Return a column as symbols 0, 1, 2, ..., and their names in the order of the symbols.

    Values are words where more than half of them are no numbers, and else whole numbers; either
    are symbols in sorted order. Missing ones are -1.

    Raises
    ------
    DataError
        Naming the first value that is no symbol; or if there is but one symbol.
    """
    texts = [text.strip() for text in table.columns[column]]
    seen = [text for text in texts if not table.is_missing(text)]
    if sum(map(table.is_number, seen)) * 2 < len(seen):
        names = sorted(set(seen))
        codes = {name: code for code, name in enumerate(names)}
        found = np.array([codes.get(text, MASKED) for text in texts], dtype=np.int64)
    else:
        numbers = table.numbers(column, missing=True)
        whole = (numbers == np.floor(numbers)) & (np.abs(numbers) <= EXACT)
        for row in np.flatnonzero(~whole & ~np.isnan(numbers))[:1]:
            problem = "is not a symbol; symbols are words, or whole numbers of up to 15 digits"
            raise table.error(column, int(row), f"{clipped(texts[row])} {problem}")
        values, found = np.unique(numbers, return_inverse=True)  # NaN is the last
        names = [f"{value:.0f}" for value in values[~np.isnan(values)]]
        found = np.where(found == len(names), MASKED, found).astype(np.int64)
    if len(names) < 2 and len(texts) > 1:
        every = f"every value is {names[0]}" if names else "every value is missing"
        raise DataError(
            f"{table.file}: column {clipped(table.names[column])}: {printable(every)}; a constant "
            "has nothing to fit"
        )
    return found, names


def lengths(table: Table, column: int) -> list[int]:
    """Return the lengths of the sequences: the column's non-blank entries in order."""
    rows, name = len(table.lines), clipped(table.names[column])
    filled = [row for row, text in enumerate(table.columns[column]) if not table.is_missing(text)]
    if len(filled) == rows:
        raise DataError(
            f"{table.file}: column {name} has a value in every row, so it is no list of lengths; "
            "if it says which sequence a row belongs to, give it as --sequence-column"
        )
    entries = replace(
        table,
        names=[table.names[column]],
        columns=[[table.columns[column][row] for row in filled]],
        lines=type(table.lines)("q", [table.lines[row] for row in filled]),
        _later={},
    )
    found = entries.numbers(0)
    for i in np.flatnonzero((found < 1) | (found != np.floor(found)))[:1]:
        shown = clipped(entries.columns[0][i])
        problem = f"{shown} is not the length of a sequence, a whole number from 1"
        raise entries.error(0, int(i), problem)
    if found.sum() != rows:
        raise DataError(
            f"{table.file}: column {name}: the lengths add up to {found.sum():.0f} and there "
            f"are {rows} symbols; write each sequence's length once, in order, and leave the "
            "other rows blank"
        )
    ends = np.cumsum(found)
    places = (np.arange(len(filled)), ends - found, ends - 1)  # on top, first rows, last rows
    if not any(np.array_equal(filled, place) for place in places):
        raise DataError(
            f"{table.file}: column {name}: the lengths are neither at the top of the column nor "
            "each in the first row of its sequence; if they name sequences, give the column as "
            "--sequence-column"
        )
    return [int(n) for n in found]


def members(table: Table, column: int) -> list[Integers]:
    """Return the rows of each sequence that a column names, in the order of first appearance."""
    rows: dict[str, list[int]] = {}
    for row, text in enumerate(table.columns[column]):
        if table.is_missing(text):
            raise table.error(column, row, "the name of the sequence is missing")
        rows.setdefault(text.strip(), []).append(row)
    return [np.array(own) for own in rows.values()]


def are_in_one_piece(rows: Sequence[Integers]) -> bool:
    """Return whether the rows of the sequences follow one another."""
    every = list(chain.from_iterable(own.tolist() for own in rows))
    return every == sorted(every)


def counts(table: Table, column: int, *, blank: bool = False) -> Floats:
    """Return a column as whole numbers from 0, not all 0; NaN where it may be blank, and is."""
    found = table.numbers(column, missing=blank)
    for row in np.flatnonzero((found < 0) | ((found != np.floor(found)) & ~np.isnan(found)))[:1]:
        shown = clipped(table.columns[column][row])
        problem = f"{shown} is no whole number from 0, of times that the row counts"
        raise table.error(column, int(row), problem)
    if not np.nansum(found):
        raise DataError(f"{table.file}: column {clipped(table.names[column])}: every weight is 0")
    return found


def weights(table: Table, column: int, rows: Sequence[Integers]) -> Floats:
    """Return how often each sequence counts, as one of its rows says, or several alike."""
    numbers, found = counts(table, column, blank=True), np.empty(len(rows))
    for i, own in enumerate(rows):
        seen = own[~np.isnan(numbers[own])]
        if not len(seen):
            raise table.error(column, int(own[0]), "the weight is missing")
        found[i] = numbers[seen[0]]
        for row in seen[numbers[seen] != found[i]][:1]:
            raise table.error(column, int(row), "another row of the sequence has another weight")
    return found
