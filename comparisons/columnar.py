"""Parquet, Arrow and Feather files, as columns of text like those of any other file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lockstep.comparisons.dialect import DataError
from lockstep.comparisons.legible import clipped, printable

KINDS = {
    b"PAR1": "Parquet",
    b"ARROW1\0\0": "Arrow (Feather)",
    b"\xff\xff\xff\xff": "an Arrow stream",
}
"""By the bytes that begin the file."""


def kind(content: bytes) -> str | None:
    """Return what kind of columnar file this is; None if it is none."""
    return next((name for start, name in KINDS.items() if content.startswith(start)), None)


def columns(
    content: bytes, choose: Callable[[Sequence[str]], Sequence[int]], most_rows: int, largest: int
) -> tuple[list[str], list[list[str]]]:
    """Return the names and the values, as text, of the columns to keep.

    A null is the empty text. Numbers are written so that they are read again to the last bit.

    Parameters
    ----------
    content : bytes
    choose : callable
        As for `csv_file.read`.
    most_rows, largest : int
        Rows, and bytes once decompressed, that are read.

    Raises
    ------
    DataError
        If the file is damaged, too large, or a column has neither numbers nor text.
    """
    import pyarrow as pa

    try:
        names, n_rows, take = _opened(content, largest)
        if n_rows > most_rows:
            raise DataError(f"there are more than {most_rows:,} rows; take a sample of them")
        kept = list(choose(names))
        return [names[i] for i in kept], [_texts(names[i], take(i)) for i in kept]
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = printable(str(error).strip().partition("\n")[0]) or type(error).__name__
        raise DataError(f"it is damaged or cut short: {reason}") from None


def _opened(content: bytes, largest: int) -> tuple[list[str], int, Callable[[int], Any]]:
    """Return the names of the columns, the number of rows, and what reads a column."""
    import pyarrow as pa
    import pyarrow.parquet

    buffer = pa.BufferReader(content)
    if content.startswith(b"PAR1"):
        file = pyarrow.parquet.ParquetFile(buffer)
        about = file.metadata
        groups = range(about.num_row_groups)
        if sum(about.row_group(i).total_byte_size for i in groups) > largest:
            raise DataError(f"there are more than {largest >> 20} MiB in it; take a sample of it")
        schema = file.schema_arrow

        def take(i: int) -> Any:
            return file.read(columns=[schema.names[i]]).column(0)

        return list(schema.names), about.num_rows, take
    stream = content.startswith(b"\xff")
    table = (pa.ipc.open_stream if stream else pa.ipc.open_file)(buffer).read_all()
    if table.nbytes > largest:
        raise DataError(f"there are more than {largest >> 20} MiB in it; take a sample of it")
    return list(table.column_names), table.num_rows, table.column


def _texts(name: str, column: Any) -> list[str]:
    """Return a column's values as text."""
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        kind = kind.value_type
    plain = (types.is_floating, types.is_integer, types.is_boolean, types.is_decimal)
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    if not any(is_kind(kind) for is_kind in (*plain, *texts, types.is_temporal, types.is_null)):
        raise DataError(f"column {clipped(name)} is of type {kind}, neither numbers nor text")
    if types.is_temporal(kind):
        column = column.cast("string")
    return [
        "" if value is None else repr(value) if isinstance(value, float) else str(value)
        for value in column.to_pylist()
    ]
