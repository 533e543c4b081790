"""A user's own file as a scenario: read strictly, so that what is wrong is named, not guessed."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lockstep import models
from lockstep.comparisons import scale
from lockstep.comparisons.scenarios import Prepared, Scenario

if TYPE_CHECKING:
    import pandas as pd

    from lockstep.models.records import Floats, Integers

N_ITER = 50
"""Iterations of the matched fits."""

FEW_SYMBOLS = 1000
"""So many symbols may be numbered with gaps; beyond, no more than there are rows."""


class DataError(ValueError):
    """The file cannot be used; the message names the file and, where it can, column and row."""


def read(path: Path) -> pd.DataFrame:
    """Read a table of text: comma-separated, or tab-separated if the file's name ends in .tsv.

    Raises
    ------
    DataError
        If there is no such file, it is empty or is no table with a header.
    """
    import pandas as pd

    separator = "\t" if path.suffix == ".tsv" else ","
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # it would cut long rows
            table = pd.read_csv(
                path,
                sep=separator,
                dtype=str,
                keep_default_na=False,
                skipinitialspace=True,
                encoding="utf-8-sig",
                index_col=False,
            )
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: the file is empty") from None
    except pd.errors.ParserWarning:
        raise DataError(f"{path}: {_longer_than_header(path, separator)}") from None
    except (OSError, UnicodeError, pd.errors.ParserError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{path}: this is not a readable table: {reason}") from None
    if table.empty:
        raise DataError(f"{path}: there are no rows below the header")
    if not np.isnan(pd.to_numeric(pd.Series(table.columns), errors="coerce")).any():
        raise DataError(f"{path}: the first row has numbers only; put column names above the data")
    return table


def _longer_than_header(path: Path, separator: str) -> str:
    """Return what is wrong with the first row that has more values than the header has names."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = [row for row in csv.reader(lines, delimiter=separator) if row]
    names = len(rows[0])
    first = next((i for i, row in enumerate(rows) if len(row) > names), 0)
    return f"row {first} has {len(rows[first])} values and the header has {names} names"


def _pick(path: Path, table: pd.DataFrame, names: Sequence[str] | None, wanted: int) -> list[str]:
    """Return the columns to use: those named, or all if there are as many as wanted."""
    there = [str(name) for name in table.columns]
    for name in names or ():
        if name not in there:
            raise DataError(f"{path}: there is no column {name!r}; there are {', '.join(there)}")
    picked = list(names) if names else there
    if len(picked) != wanted and not (names and len(names) > wanted > 1):  # any D is fitted
        which = f"{len(picked)} were named" if names else f"the file has {', '.join(there)}"
        raise DataError(
            f"{path}: this model takes {wanted} column{'s' * (wanted > 1)} and {which}; "
            "name them with --columns"
        )
    return picked


def _numbers(path: Path, column: pd.Series) -> Floats:
    """Return a column as finite numbers."""
    import pandas as pd

    numbers: Floats = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    for row in np.flatnonzero(~np.isfinite(numbers)):
        text = str(column.iloc[row])
        missing = text.strip().lower() in ("", "na", "nan", "null", "none")
        problem = "the value is missing" if missing else f"{text!r} is not a finite number"
        raise DataError(f"{path}: column {column.name!r}, row {row + 1}: {problem}")
    if len(numbers) > 1 and numbers.min() == numbers.max():
        raise DataError(
            f"{path}: column {column.name!r}: every value is {numbers[0]:g}; "
            "a constant has nothing to fit"
        )
    return numbers


def _symbols(path: Path, column: pd.Series) -> Integers:
    """Return a column as symbols 0, 1, 2, ..."""
    numbers = _numbers(path, column)
    for row in np.flatnonzero((numbers < 0) | (numbers != np.floor(numbers))):
        raise DataError(
            f"{path}: column {column.name!r}, row {row + 1}: {column.iloc[row]!r} is not a symbol; "
            "symbols are the whole numbers 0, 1, 2, ..."
        )
    for row in np.flatnonzero(numbers >= max(FEW_SYMBOLS, len(numbers))):
        raise DataError(
            f"{path}: column {column.name!r}, row {row + 1}: {column.iloc[row]!r} is no number for "
            f"one of the symbols in {len(numbers)} rows; number them 0, 1, 2, ... without gaps"
        )
    return numbers.astype(np.int64)


def _lengths(path: Path, column: pd.Series, rows: int) -> list[int]:
    """Return the lengths of the sequences: the column's non-blank entries in order."""
    import pandas as pd

    filled = column[column.str.strip() != ""]
    numbers = pd.to_numeric(filled, errors="coerce").to_numpy(dtype=np.float64)
    for i in np.flatnonzero(~(numbers >= 1) | (numbers != np.floor(numbers))):
        raise DataError(
            f"{path}: column {column.name!r}, row {filled.index[i] + 1}: {filled.iloc[i]!r} is "
            "not the length of a sequence, a whole number from 1"
        )
    if numbers.sum() != rows:
        raise DataError(
            f"{path}: column {column.name!r}: the lengths add up to {numbers.sum():.0f} and there "
            f"are {rows} symbols; write each sequence's length once, in order, and leave the "
            "other rows blank"
        )
    return [int(n) for n in numbers]


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
        A comma-separated table with a header.
    model_name : str
    n_components : int
    columns : sequence of str, optional
        The columns with the data; needed if there are others.
    lengths_column : str, optional
        For the HMM: the column whose non-blank entries are the lengths of the sequences, in
        order. Without it all symbols are one sequence.
    seed : int
        For the start of the matched fits.

    Raises
    ------
    DataError
        If the file cannot be used, with the file and where possible the column and the row.
    """
    model = models.load(model_name)
    table = read(path)
    if lengths_column is not None and lengths_column not in table.columns:
        there = ", ".join(map(str, table.columns))
        raise DataError(f"{path}: there is no column {lengths_column!r}; there are {there}")
    rest = table.drop(columns=[lengths_column] if lengths_column else [])
    dims = {"n_components": n_components}
    try:
        if model_name == "categorical_hmm":
            picked = _pick(path, rest, columns, 1)
            symbols = _symbols(path, rest[picked[0]])
            lengths = [len(symbols)]
            if lengths_column is not None:
                lengths = _lengths(path, table[lengths_column], len(symbols))
            dims["n_features"] = int(symbols.max()) + 1
            data = model.check_data(np.split(symbols, np.cumsum(lengths)[:-1]), dims)
        else:
            if lengths_column is not None:
                raise DataError(f"{path}: --lengths-column is for the HMM; a mixture has none")
            picked = _pick(path, rest, columns, 1 if model_name.endswith("1d") else 2)
            values = np.column_stack([_numbers(path, rest[name]) for name in picked])
            scale.refuse(values, picked)
            data = model.check_data(values[:, 0] if len(picked) == 1 else values, dims)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    own = Scenario(
        name=path.stem,
        title=path.name,
        model=model_name,
        lesson="",
        n_iter=N_ITER,
        prepare=lambda: prepared,
    )
    prepared = Prepared(
        data=data,
        dims=dims,
        start=model.start(data, dims, np.random.default_rng(seed)),
        labels={"axes": tuple(picked)},
    )
    return own, prepared
