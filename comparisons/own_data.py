"""A user's own file as a scenario: read strictly, so that what is wrong is named, not guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lockstep import models
from lockstep.comparisons import heldout, scale, sequences
from lockstep.comparisons.csv_file import MOST_ROWS, Table, called, read
from lockstep.comparisons.dialect import DataError, Dialect
from lockstep.comparisons.heldout import Sample
from lockstep.comparisons.legible import clipped, printable
from lockstep.comparisons.scenarios import Prepared, Scenario
from lockstep.comparisons.sequences import listed, short
from lockstep.models import bayesian

if TYPE_CHECKING:
    from lockstep.models import Data, Model
    from lockstep.models.records import Floats, Integers

N_ITER, MOST_FOLLOWED = 50, 10_000_000
"""Iterations of the matched fits, and numbers in all of them together: of more, fewer."""

MOST_PARAMETERS = 1_000_000
"""Numbers that a model may have: with more, its report is larger than anyone can open."""

NAMELESS = ("", "Unnamed: 0", "__index_level_0__")
"""What a column is called that R or pandas wrote the numbers or names of the rows into."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are what, as for `scenario`."""

    data: Sequence[str] | None = None
    lengths: str | None = None
    sequence: str | None = None
    weights: str | None = None

    def beside(self) -> list[str]:
        """Return the names of the columns that are no data; they are read behind the data."""
        named = (self.lengths, self.sequence, self.weights)
        return [name for name in named if name is not None]


def _positions(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return where the columns are that are wanted."""
    places: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    for name in wanted:
        if name not in places:
            raise DataError(f"there is no column {clipped(name)}; there are {listed(names)}")
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
        which = f"{len(names)} were named" if names else f"the file has {listed(there)}"
        raise DataError(
            f"this model takes {wanted} column{'s' * (wanted > 1)} and {which}; "
            "name them with --columns"
        )
    return positions


def _varying(table: Table, column: int) -> Floats:
    """Return a column as numbers that are not all the same; NaN is a missing one."""
    numbers = table.numbers(column, missing=True)
    seen = numbers[~np.isnan(numbers)]
    where = f"{table.file}: column {clipped(table.names[column])}"
    if not len(seen):
        raise DataError(f"{where}: every value is missing")
    if len(numbers) > 1 and seen.min() == seen.max():
        raise DataError(f"{where}: every value is {seen[0]:g}; a constant has nothing to fit")
    return numbers


def _numbers(model: models.Model, dims: Mapping[str, int], columns: int) -> int:
    """Return how many numbers the parameters are."""
    return sum(math.prod(shape) for shape in bayesian.shapes(model, dims, columns).values())


@dataclass(frozen=True)
class _Found:
    """What a file holds for a model.

    Attributes
    ----------
    sample : Sample
    dims, labels : dict
        As of `Prepared`.
    remarks : list of str
        How the file was read, in sentences.
    """

    sample: Sample
    dims: dict[str, int]
    labels: dict[str, tuple[str, ...]]
    remarks: list[str]


def _sequences(table: Table, columns: Columns, dims: dict[str, int]) -> _Found:
    """Return a table's sequences of symbols; its second column may tell them apart."""
    codes, names = sequences.symbols(table, 0)
    dims, remarks = {**dims, "n_features": len(names)}, []
    labels: dict[str, tuple[str, ...]] = {"axes": (short(table.names[0]),)}
    if names != [str(v) for v in range(len(names))]:
        labels["symbols"] = tuple(map(short, names))
        remarks.append(f"{len(names)} symbols, in sorted order: {listed(names)}.")
        if names[0][0] == "-" and names[1] in ("0", "1") and names[:2] != ["-1", "0"]:
            remarks.append(f"If {short(names[0])} stands for a missing one, say --missing with it.")
    if number := int((codes < 0).sum()):
        remarks.append(
            f"{number:,} of {len(codes):,} symbols {_are(number)} missing, and summed out."
        )
    rows: Sequence[Integers] = [np.arange(len(codes))]
    if columns.lengths is not None:
        rows = np.split(rows[0], np.cumsum(sequences.lengths(table, 1))[:-1])
    elif columns.sequence is not None:
        rows = sequences.members(table, 1)
        apart = "" if sequences.are_in_one_piece(rows) else ", whose rows lie apart in the file"
        plural = "s" * (len(rows) > 1)
        remarks.append(f"{len(rows):,} sequence{plural} by {clipped(columns.sequence)}{apart}.")
    weights = None
    if columns.weights is not None:
        weights = sequences.weights(table, len(table.names) - 1, rows)
        remarks.append(_weighted(weights, "sequences", columns.weights))
    return _Found(Sample(tuple(codes[own] for own in rows), weights), dims, labels, remarks)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _rows(table: Table, columns: Columns, dims: dict[str, int]) -> _Found:
    """Return a table's rows of numbers, without those that have none."""
    names = table.names[: len(table.names) - len(columns.beside())]
    values = np.column_stack([_varying(table, i) for i in range(len(names))])
    weights, remarks = None, []
    if columns.weights is not None:
        weights = sequences.counts(table, len(names))
        remarks.append(_weighted(weights, "rows", columns.weights))
    holes = np.isnan(values)
    empty = holes.all(axis=1)
    if empty.any():
        without = "a value" if len(names) == 1 else "any value"
        number = int(empty.sum())
        remarks.append(f"{number:,} row{'s' * (number > 1)} without {without} left out.")
        values, holes = values[~empty], holes[~empty]
        weights = None if weights is None else weights[~empty]
    if number := int(holes.sum()):
        where = [f"{short(n)} {k:,}" for n, k in zip(names, holes.sum(axis=0)) if k]
        remarks.append(
            f"{number:,} of {values.size:,} values {_are(number)} missing ({listed(where)}), and "
            "integrated out."
        )
    if len(values) > 1:  # of fewer, the model says that they are too few
        scale.refuse(values, names)
    sample = Sample(values[:, 0] if len(names) == 1 else values, weights)
    return _Found(sample, dims, {"axes": tuple(map(short, names))}, remarks)


def _weighted(weights: Floats, what: str, column: str) -> str:
    return (
        f"{len(weights):,} {what} stand for {weights.sum():,.0f}, each counted as often as "
        f"{clipped(column)} says."
    )


def _counted(sample: Sample) -> Any:
    """Return data in which each row or sequence is there as often as it counts."""
    if sample.weights is None:
        return sample.data
    total = sample.weights.sum()
    if total > MOST_ROWS:
        raise ValueError(f"the weights add up to {total:,.0f}, more than {MOST_ROWS:,}")
    return sample.taken(np.repeat(np.arange(len(sample.data)), sample.weights.astype(int))).data


def _refuse_no_index(table: Table) -> None:
    """Raise DataError if a nameless column, the last that was read, may hold data."""
    values = set(table.columns[-1])
    if len(values) < len(table.lines) and values != {""}:
        raise DataError(
            f"{table.file}: a column has no name, and its values repeat, so it does not number the "
            "rows; name the columns with --columns"
        )


def _read(
    path: Path, model: Model, columns: Columns, written: Dialect | None, missing: Sequence[str]
) -> tuple[Table, bool]:
    """Return the columns of a file, first those with data; and whether an index was left out."""
    left_out: list[int] = []

    def choose(names: Sequence[str]) -> list[int]:
        beside = _positions(names, columns.beside())
        rest = [i for i in range(len(names)) if i not in beside]
        if columns.data is None and len(rest) > 1:
            left_out.extend(i for i in rest if names[i] in NAMELESS and i in (0, len(names) - 1))
            rest = [i for i in rest if i not in left_out]
        taken = _pick([names[i] for i in rest], columns.data, *model.shows.COLUMNS)
        return [rest[i] for i in taken] + beside + left_out

    table = read(path, choose, written, missing)
    if not left_out:
        return table, False
    _refuse_no_index(table)
    table.names.pop()
    table.columns.pop()
    return table, True


def name(path: Path) -> str:
    """Return the name of a file's scenario, and of its report."""
    return "stdin" if str(path) == "-" else path.stem


def scenario(
    path: Path,
    model_name: str,
    n_components: int,
    *,
    columns: Sequence[str] | None = None,
    lengths_column: str | None = None,
    sequence_column: str | None = None,
    weights_column: str | None = None,
    holdout: float | None = None,
    missing: Sequence[str] = (),
    written: Dialect | None = None,
    seed: int = 0,
) -> tuple[Scenario, Prepared]:
    """Return a user's file as a scenario; its lesson says how the file was read.

    Parameters
    ----------
    path : Path
        A table with a header, as `csv_file.read` takes it.
    model_name : str
    n_components : int
    columns : sequence of str, optional
        The columns with the data; needed if there are others.
    lengths_column : str, optional
        Of sequences: its non-blank entries are their lengths, in order, at the top of the column
        or each in the first or the last row of its sequence.
    sequence_column : str, optional
        It says which sequence a row belongs to; of each sequence the rows keep their order.
        With neither, all symbols are one sequence.
    weights_column : str, optional
        How often a row counts, a whole number; of sequences, each one's in any of its rows.
    holdout : float, optional
        The share of the data that is not fitted, but predicted.
    missing : sequence of str, optional
        What stands for missing values, beside what usually does.
    written : Dialect, optional
        How text is written, as far as it is not to be found.
    seed : int
        For the start of the matched fits.

    Raises
    ------
    DataError
        If the file cannot be used, with the file and where possible the column and the line.
    """
    model = models.load(model_name)
    chosen = Columns(columns, lengths_column, sequence_column, weights_column)
    _refuse_needless(path, model, chosen)
    table, index = _read(path, model, chosen, written, missing)
    dims = {"n_components": n_components}
    try:
        found = (_sequences if model.shows.SEQUENCES else _rows)(table, chosen, dims)
        if index:
            found.remarks.insert(0, "The column without a name is left out.")
        data, held = _fitted_and_held_out(model, found, holdout)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{table.file}: {printable(str(error))}") from None
    numbers = _numbers(model, found.dims, len(found.labels["axes"]))
    if numbers > MOST_PARAMETERS:
        fewer = "fewer components" + ", or one symbol for rare ones" * model.shows.SEQUENCES
        raise DataError(
            f"{table.file}: the model would have {numbers:,} parameters, more than "
            f"{MOST_PARAMETERS:,}; take {fewer}"
        )
    own = Scenario(
        name=printable(name(path)),
        title=printable("standard input" if str(path) == "-" else path.name),
        model=model_name,
        lesson=" ".join([f"{len(table.lines):,} rows; {table.described}.", *found.remarks]),
        n_iter=min(N_ITER, max(2, MOST_FOLLOWED // numbers)),
        prepare=lambda: prepared,
    )
    prepared = Prepared(
        data=data,
        heldout=held,
        dims=found.dims,
        start=model.start(data, found.dims, np.random.default_rng(seed)),
        labels=found.labels,
    )
    return own, prepared


def _fitted_and_held_out(
    model: Model, found: _Found, share: float | None
) -> tuple[Data, Data | None]:
    """Return the data as the model takes them, and those that are held out."""
    sample, held = found.sample, None
    if sample.weights is not None:
        sample = sample.taken(np.flatnonzero(sample.weights))
    if share is not None:
        sample, rest, told = heldout.split(sample, share)
        found.remarks.append(told)
        held = model.check_chunk(_counted(rest), found.dims, missing=True)
    return _checked(model, _counted(sample), found.dims), held


def _checked(model: Model, data: Any, dims: Mapping[str, int]) -> Data:
    """Return data as the model takes them; one without missing values need not know of them."""
    arrays = data if isinstance(data, tuple) else (data,)
    holes = any((a < 0 if a.dtype.kind == "i" else np.isnan(a)).any() for a in arrays)
    return model.check_data(data, dims, missing=True) if holes else model.check_data(data, dims)


def _refuse_needless(path: Path, model: Model, columns: Columns) -> None:
    """Raise DataError if columns are named that the model has no use for."""
    options = {"--lengths-column": columns.lengths, "--sequence-column": columns.sequence}
    given = [option for option, column in options.items() if column is not None]
    if given and not model.shows.SEQUENCES:
        raise DataError(
            f"{called(path)}: {given[0]} is for the HMM and its like, whose data are sequences; "
            f"the {model.TITLE} has none"
        )
    if len(given) > 1:
        raise DataError(f"{called(path)}: name either {' or '.join(given)}")
