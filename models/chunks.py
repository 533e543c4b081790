"""Data larger than memory, one chunk after the other, for `em.fit_chunks`.

Each function returns a callable; each of its calls begins another pass over the data.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from lockstep.models.records import Floats

type Chunks = Callable[[], Iterator[Any]]

ROWS = 65_536
"""Rows of a chunk, unless a caller says otherwise: half a megabyte a column."""


def rows(array: Any, size: int = ROWS) -> Chunks:
    """Cut anything that can be sliced, such as `numpy.memmap` or a list of sequences.

    Parameters
    ----------
    array : array_like or sequence
        Only the slice in use is read.
    size : int, optional
        Rows (or sequences) of a chunk.
    """
    if not isinstance(size, Integral) or size < 1:
        raise ValueError(f"chunks of {size} rows: there must be at least 1 in each")

    sliced = hasattr(array, "__len__") and hasattr(array, "__getitem__")
    if not sliced or isinstance(array, Mapping) or getattr(array, "ndim", 1) == 0:
        raise TypeError(f"a {type(array).__name__} cannot be cut: give an array or a sequence")

    def chunks() -> Iterator[Any]:
        for begin in range(0, len(array), size):
            yield array[begin : begin + size]
            _let_go(array)

    return chunks


def _let_go(array: Any) -> None:
    """Drop what has been read of a mapped file from memory: else all of it stays, as if loaded."""
    owner = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    # Of a private map ("c") this would drop what was written.
    if isinstance(owner, mmap.mmap) and getattr(array, "mode", None) in ("r", "r+"):
        with contextlib.suppress(AttributeError):  # Windows has no such advice
            owner.madvise(mmap.MADV_DONTNEED)


def tables(batches: Callable[[], Iterable[Any]], columns: Sequence[str] | str) -> Chunks:
    """Read columns of Arrow record batches, a null becoming NaN.

    For a Parquet file, ``batches`` is ``lambda: ParquetFile(path).iter_batches()``; for a
    dataset, its ``to_batches``.

    Parameters
    ----------
    batches : callable
        Returns a fresh iterable of `pyarrow.RecordBatch` at each call.
    columns : sequence of str, or str
        Several give chunks of shape (N, D), in this order; a single name gives shape (N,).
    """

    def column(batch: Any, name: str) -> Floats:
        if name not in batch.schema.names:
            raise ValueError(f"no column {name!r}; there are {', '.join(batch.schema.names)}")
        return np.asarray(batch.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)

    def chunks() -> Iterator[Any]:
        for batch in batches():
            if isinstance(columns, str):
                yield column(batch, columns)
            else:
                yield np.column_stack([column(batch, name) for name in columns])

    return chunks
