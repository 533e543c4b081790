"""A user's own file as a scenario: read strictly, so that what is wrong is named, not guessed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lockstep import models
from lockstep.comparisons import scale
from lockstep.comparisons.csv_file import DataError, Table, read
from lockstep.comparisons.files import Notice
from lockstep.comparisons.legible import LONG, clipped, printable
from lockstep.comparisons.scenarios import Prepared, Scenario
from lockstep.models import bayesian

if TYPE_CHECKING:
    from lockstep.models.records import Floats, Integers

N_ITER, MOST_FOLLOWED = 50, 10_000_000
"""Iterations of the matched fits, and numbers in all of them together: of more, fewer."""

MOST_PARAMETERS = 1_000_000
"""Numbers that a model may have: with more, its report is larger than anyone can open."""

FEW_SYMBOLS = 1000
"""So many symbols may be numbered with gaps; beyond, no more than there are rows."""

LISTED = 10
"""Names of columns, symbols or lengths that are shown in a message."""


def _listed(names: Sequence[str]) -> str:
    """Return names in a line, the first of them if they are many."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(map(_short, names[:LISTED])) + more


def _short(name: str) -> str:
    """Return a name as it may be printed, its end cut off if it is long."""
    return printable(name[:LONG]) + "..." * (len(name) > LONG)


def _positions(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return where the columns are that are wanted."""
    places: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    for name in wanted:
        if name not in places:
            raise DataError(f"there is no column {clipped(name)}; there are {_listed(names)}")
        if len(places[name]) > 1:
            raise DataError(f"{len(places[name])} columns are called {clipped(name)}; rename them")
    return [places[name][0] for name in wanted]


def _pick(
    there: Sequence[str], names: Sequence[str] | None, wanted: int, most: int | None
) -> list[int]:
    """Return the columns to use: those named, or all if there are as many as wanted."""
    positions = _positions(there, names or there)
    named = len(names or ())
    if len(positions) != wanted and not (named > wanted and (most is None or named <= most)):
        which = f"{len(names)} were named" if names else f"the file has {_listed(there)}"
        raise DataError(
            f"this model takes {wanted} column{'s' * (wanted > 1)} and {which}; "
            "name them with --columns"
        )
    return positions


def _varying(table: Table, column: int) -> Floats:
    """Return a column as finite numbers that are not all the same."""
    numbers = table.numbers(column)
    if len(numbers) > 1 and numbers.min() == numbers.max():
        raise DataError(
            f"{table.file}: column {clipped(table.names[column])}: every value is {numbers[0]:g}; "
            "a constant has nothing to fit"
        )
    return numbers


def _symbols(table: Table, column: int) -> Integers:
    """Return a column as symbols 0, 1, 2, ..."""
    numbers = _varying(table, column)

    def shown(row: int) -> str:
        return clipped(table.columns[column][row])

    for row in np.flatnonzero((numbers < 0) | (numbers != np.floor(numbers)))[:1]:
        problem = f"{shown(row)} is not a symbol; symbols are the whole numbers 0, 1, 2, ..."
        raise table.error(column, int(row), problem)
    for row in np.flatnonzero(numbers >= max(FEW_SYMBOLS, len(numbers)))[:1]:
        raise table.error(
            column,
            int(row),
            f"{shown(row)} is no number for one of the symbols in {len(numbers)} rows; number "
            "them 0, 1, 2, ... without gaps",
        )
    return numbers.astype(np.int64)


def _unseen(symbols: Integers) -> str:
    """Return in a line which symbols never occur though greater ones do; empty if all do."""
    counts = np.bincount(symbols)
    unseen = [str(v) for v in np.flatnonzero(counts == 0)]
    if not unseen:
        return ""
    if unseen == ["0"]:
        return (
            f"symbol 0 never occurs, and counts as one of {len(counts)}: symbols are numbered "
            "from 0; subtract 1 if yours begin at 1"
        )
    noun, verb = ("symbols", "occur") if len(unseen) > 1 else ("symbol", "occurs")
    return f"{noun} {_listed(unseen)} never {verb}, of {len(counts)} from 0 to {len(counts) - 1}"


def _lengths(table: Table, column: int) -> list[int]:
    """Return the lengths of the sequences: the column's non-blank entries in order."""
    rows, name = len(table.lines), clipped(table.names[column])
    filled = [row for row, text in enumerate(table.columns[column]) if text.strip()]
    if len(filled) == rows:
        raise DataError(
            f"{table.file}: column {name} has a value in every row, so it is no list of lengths; "
            + _as_names(table.columns[column])
        )
    entries = Table(
        table.file,
        [table.names[column]],
        [[table.columns[column][row] for row in filled]],
        type(table.lines)("q", [table.lines[row] for row in filled]),
    )
    lengths = entries.numbers(0)
    for i in np.flatnonzero((lengths < 1) | (lengths != np.floor(lengths)))[:1]:
        shown = clipped(entries.columns[0][i])
        problem = f"{shown} is not the length of a sequence, a whole number from 1"
        raise entries.error(0, int(i), problem)
    if lengths.sum() != rows:
        raise DataError(
            f"{table.file}: column {name}: the lengths add up to {lengths.sum():.0f} and there "
            f"are {rows} symbols; write each sequence's length once, in order, and leave the "
            "other rows blank"
        )
    ends = np.cumsum(lengths)
    places = (np.arange(len(filled)), ends - lengths, ends - 1)  # on top, first rows, last rows
    if not any(np.array_equal(filled, place) for place in places):
        raise DataError(
            f"{table.file}: column {name}: the lengths are neither at the top of the column nor "
            "each in the first row of its sequence; if they name sequences, write lengths instead"
        )
    return [int(n) for n in lengths]


def _as_names(values: Sequence[str]) -> str:
    """Return what to do with a column that names the sequence of each row."""
    begins = [0, *(i for i in range(1, len(values)) if values[i] != values[i - 1]), len(values)]
    if len(begins) == 2:
        return "if it names the sequence of each row, there is one: leave out --lengths-column"
    runs = [str(end - begin) for begin, end in pairwise(begins)]
    return (
        "if it names the sequence of each row, write the sequences' lengths into the first row "
        f"of each instead, and leave the others blank: {_listed(runs)}"
    )


def _numbers(model: models.Model, dims: Mapping[str, int], columns: int) -> int:
    """Return how many numbers the parameters are."""
    return sum(math.prod(shape) for shape in bayesian.shapes(model, dims, columns).values())


def scenario(
    path: Path,
    model_name: str,
    n_components: int,
    *,
    columns: Sequence[str] | None = None,
    lengths_column: str | None = None,
    seed: int = 0,
) -> tuple[Scenario, Prepared]:
    """Return a user's file as a scenario.

    Parameters
    ----------
    path : Path
        A comma-separated table with a header, as `csv_file.read` takes it.
    model_name : str
    n_components : int
    columns : sequence of str, optional
        The columns with the data; needed if there are others.
    lengths_column : str, optional
        For symbols: the column whose non-blank entries are the lengths of the sequences, in
        order, at the top of the column or each in the first or the last row of its sequence.
        Without it all symbols are one sequence.
    seed : int
        For the start of the matched fits.

    Raises
    ------
    DataError
        If the file cannot be used, with the file and where possible the column and the line.
    """
    model = models.load(model_name)
    sequences = model.shows.SEQUENCES
    if lengths_column is not None and not sequences:
        raise DataError(
            f"{printable(str(path))}: --lengths-column is for the HMM and its like, whose data are "
            f"sequences; the {model.TITLE} has none"
        )

    def choose(names: Sequence[str]) -> list[int]:
        beside = _positions(names, [lengths_column] if lengths_column is not None else [])
        rest = [i for i in range(len(names)) if i not in beside]
        taken = _pick([names[i] for i in rest], columns, *model.shows.COLUMNS)
        return [rest[i] for i in taken] + beside

    table = read(path, choose)
    dims, note = {"n_components": n_components}, ""
    try:
        if sequences:
            symbols = _symbols(table, 0)
            lengths = [len(symbols)] if lengths_column is None else _lengths(table, 1)
            dims["n_features"] = int(symbols.max()) + 1
            note = _unseen(symbols)
            data = model.check_data(np.split(symbols, np.cumsum(lengths)[:-1]), dims)
        else:
            values = np.column_stack([_varying(table, i) for i in range(len(table.names))])
            if len(values) > 1:  # of fewer, the model says that they are too few
                scale.refuse(values, table.names)
            data = model.check_data(values[:, 0] if len(table.names) == 1 else values, dims)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{table.file}: {printable(str(error))}") from None
    if note:
        warnings.warn(f"{table.file}: {note}", Notice, stacklevel=2)
    numbers = _numbers(model, dims, len(table.names))
    if numbers > MOST_PARAMETERS:
        fewer = "fewer components" + ", or one symbol for rare ones" * sequences
        raise DataError(
            f"{table.file}: the model would have {numbers:,} parameters, more than "
            f"{MOST_PARAMETERS:,}; take {fewer}"
        )
    own = Scenario(
        name=printable(path.stem),
        title=printable(path.name),
        model=model_name,
        lesson=f"{note[0].upper()}{note[1:]}." if note else "",
        n_iter=min(N_ITER, max(2, MOST_FOLLOWED // numbers)),
        prepare=lambda: prepared,
    )
    prepared = Prepared(
        data=data,
        dims=dims,
        start=model.start(data, dims, np.random.default_rng(seed)),
        labels={"axes": tuple(map(_short, table.names[: 1 if sequences else None]))},
    )
    return own, prepared
