"""Tables in files, read once, strictly and within bounds: what is wrong is named by its line.

A file is read to its end before anything is made of it, so that a pipe will do, and so that a
message about a line needs no second look. Lines are counted as an editor counts them.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import os
import re
import stat
import sys
import tarfile
import zipfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lockstep.comparisons import columnar, dialect
from lockstep.comparisons.dialect import DataError, Dialect
from lockstep.comparisons.legible import clipped, printable
from lockstep.models.records import Floats

LARGEST = 2**29
"""Bytes of a file, and of what is packed in it, that are read."""

MOST_ROWS = 10_000_000

NUMBER = dialect.NUMBERS["."]

MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "-nan", "null", ".", "?"))
"""What stands for a value that was not observed, in any case; among numbers ``none`` does too."""

NOT_OBSERVED = "nan"
"""In place of a text that stands for a missing value: it is known by its identity."""

HINTS = {
    r"[+-]?[0-9]+(,[0-9]{3})+(\.[0-9]*)?": "write it without commas",
    r"[+-]?[0-9]*,[0-9]+": "write a decimal point",
    r"[+-]?[0-9]+([_' \u2009\u202f\xa0][0-9]{3})+([.,][0-9]*)?": "write digits only",
    r"[+-]?[0-9]{1,3}(\.[0-9]{3})+,[0-9]*": "write it without points",
    r"[+-]?(inf|infinity)": "leave such rows out",
    r"#.*": "comments are not read; delete them",
}
"""What to do about a text that is no number, by its pattern."""

OTHER_KINDS = {
    b"7z\xbc\xaf\x27\x1c": "an archive of 7-Zip, which is not read here; unpack it",
    b"\x1f\x9d": "compressed by compress, which is not read here; unpack it",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the sheet as CSV",
    b"FEA1": "a Feather file of version 1; save it as version 2, or as CSV",
    b"SQLite format 3": "a database of SQLite; save the table as CSV",
    b"\x89HDF": "an HDF5 file; save it as CSV",
    b"%PDF-": "a PDF; save the table as CSV",
}
"""By the bytes that begin the file."""


type Records = Iterator[tuple[int, int, list[str]]]
"""The line in which each record begins, the one in which it ends, and its values."""


@dataclass(frozen=True)
class Table:
    """Columns of text.

    Attributes
    ----------
    file : str
        The file's name, as it may be printed.
    names : list of str
        Of the columns that were kept.
    columns : list of list of str
        Their values.
    lines : array of int
        The line in which each row begins.
    decimal : str
        The decimal mark.
    missing : frozenset of str
        What stands for a value that was not observed, beyond `MISSING`.
    described : str
        How the file is written.
    unit : str
        What `lines` count.
    """

    file: str
    names: list[str]
    columns: list[list[str]]
    lines: array[int]
    decimal: str = "."
    missing: frozenset[str] = frozenset()
    described: str = ""
    unit: str = "line"
    _later: dict[tuple[int, int], int] = field(default_factory=dict)
    """The line of a value that is not in the line in which its row begins, by row and column."""

    def error(self, column: int, row: int, problem: str) -> DataError:
        """Return what is wrong with one value, for raising."""
        line = self._later.get((row, column), self.lines[row])
        return DataError(
            f"{self.file}: column {clipped(self.names[column])}, {self.unit} {line}: {problem}"
        )

    def is_missing(self, text: str) -> bool:
        """Return whether a text stands for a value that was not observed."""
        text = text.strip()
        return text.lower() in MISSING or text in self.missing

    def is_number(self, text: str) -> bool:
        """Return whether a text is a number."""
        return dialect.NUMBERS[self.decimal](text.strip(" \t")) is not None

    def numbers(self, column: int, *, missing: bool = False) -> Floats:
        """Return a column as finite numbers.

        Parameters
        ----------
        column : int
        missing : bool, optional
            Whether values may be missing; they are NaN.

        Raises
        ------
        DataError
            Naming the first value that is none.
        """
        number, texts = dialect.NUMBERS[self.decimal], []
        for text in self.columns[column]:
            text = text.strip(" \t")
            if missing and (text.lower() == "none" or self.is_missing(text)):
                text = NOT_OBSERVED
            texts.append(text)
        wrong = next(
            (i for i, text in enumerate(texts) if text is not NOT_OBSERVED and not number(text)),
            len(texts),
        )
        if self.decimal == ",":
            texts[:wrong] = [text.replace(",", ".") for text in texts[:wrong]]
        numbers: Floats = np.fromiter(map(float, texts[:wrong]), np.float64, wrong)
        lost = [
            int(row)
            for row in np.flatnonzero((numbers == 0) | np.isinf(numbers))
            if numbers[row] != 0 or _is_positive(texts[row])
        ]
        for row in [*lost[:1], *([wrong] if wrong < len(texts) else [])]:
            raise self.error(column, row, self._why_no_number(texts[row]))
        return numbers

    def _why_no_number(self, text: str) -> str:
        if text.lower() == "none" or self.is_missing(text):
            return "the value is missing"
        shown = clipped(text)
        if NUMBER(text):
            if self.decimal == ",":
                return f"{shown} has a decimal point and others a comma; see --decimal"
            what = "small: it would become 0" if float(text) == 0 else "large"
            return f"{shown} is too {what} in double precision; change the unit"
        for pattern, hint in HINTS.items():
            if re.fullmatch(pattern, text, re.IGNORECASE):
                return f"{shown} is not a finite number; {hint}"
        return f"{shown} is not a finite number"


def _is_positive(number: str) -> bool:
    """Return whether a number that became 0 is none: a digit of its mantissa is not 0."""
    return re.search("[1-9]", re.split("[eE]", number)[0]) is not None


def read(
    path: Path,
    choose: Callable[[Sequence[str]], Sequence[int]],
    written: Dialect | None = None,
    missing: Iterable[str] = (),
) -> Table:
    """Read a table with a header: text, Parquet, Arrow or Feather.

    It may be compressed (gzip, bzip2, xz, Zstandard), or be the one file of a zip or tar archive;
    what it is called does not matter. How text is written is found, as far as it is not given.

    Parameters
    ----------
    path : Path
        ``-`` is standard input.
    choose : callable
        Given the names of all columns, returns the positions of those to keep.
    written : Dialect, optional
        How text is written, as far as it is known.
    missing : iterable of str, optional
        What stands for missing values, beyond `MISSING`.

    Returns
    -------
    Table

    Raises
    ------
    DataError
        If there is no such file, or it is no table with a header. Rows may be shorter than the
        header, their last values missing, and never longer. A blank line is a row of a table with
        one column, and ends one with several.
    """
    file = called(path)
    try:
        written = (written or Dialect()).checked()
        content, packing = _unpacked(_content(path))
        kind = columnar.kind(content)
        if kind is not None:
            names, columns = columnar.columns(content, choose, MOST_ROWS, LARGEST)
            rows = array("q", range(1, 1 + len(columns[0])))
            table = Table(file, names, columns, rows, described=f"{kind}{packing}", unit="row")
        else:
            table = _text(file, content, choose, written, packing)
    except ValueError as error:
        raise DataError(f"{file}: {printable(str(error))}") from None
    if not table.lines:
        raise DataError(f"{file}: there are no rows below the header")
    return replace(table, missing=frozenset(text.strip() for text in missing))


def called(path: Path) -> str:
    """Return a file's name, as it may be printed."""
    return "standard input" if str(path) == "-" else printable(str(path))


def _text(
    file: str,
    content: bytes,
    choose: Callable[[Sequence[str]], Sequence[int]],
    written: Dialect,
    packing: str,
) -> Table:
    """Return a table of text."""
    encoding, encoded = dialect.encoding(content, written.encoding)

    def lines() -> Iterator[str]:
        text = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
        first = next(text, "").removeprefix("\ufeff")
        yield from (line for line in (first,) if line)
        yield from text

    delimiter, decimal, sample = dialect.found(lines(), written)
    records = _records(lines(), delimiter)
    _, _, names = next(records, (0, 0, []))
    if not names:
        raise DataError("the file is empty")
    if all(dialect.NUMBERS[decimal](name.strip()) for name in names):
        raise DataError("the first row has numbers only; put column names above the data")
    if dialect.without_index_name(sample, delimiter):
        names = ["", *names]  # as R's write.table leaves it
    described = f"{dialect.described(delimiter, decimal, len(names))}, {encoded}{packing}"
    table = Table(*(file, [], [], array("q")), decimal=decimal, described=described)
    return _filled(table, names, choose(names), records, exact=delimiter == " ")


def _filled(
    table: Table, names: Sequence[str], kept: Sequence[int], records: Records, *, exact: bool
) -> Table:
    """Return the table with the rows below the header; if exact, none may be shorter than it."""
    table.names.extend(names[i] for i in kept)
    table.columns.extend([] for _ in kept)
    places = list(zip(kept, table.columns))
    width, blank = len(names), 0
    for begins, ends, values in records:
        if len(values) != width:
            if width > 1 and len(values) < 2 and not "".join(values).strip():
                blank = blank or begins
                continue
            if len(values) > width or (exact and width > 1):
                raise DataError(
                    f"line {begins} has {_count(len(values), 'value')} and the header has "
                    f"{_count(width, 'name')}"
                )
            values += [""] * (width - len(values))
        if blank:
            raise DataError(f"line {blank} is blank, and there are rows below it; delete it")
        if len(table.lines) == MOST_ROWS:
            raise DataError(f"there are more than {MOST_ROWS:,} rows; take a sample of them")
        for i, column in places:
            column.append(values[i])
        if begins != ends:
            for place, i in enumerate(kept):
                above = sum(len(re.findall("\r\n?|\n", value)) for value in values[:i])
                table._later[len(table.lines), place] = begins + above
        table.lines.append(begins)
    return table


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _records(lines: Iterable[str], delimiter: str) -> Records:
    """Yield each record with the lines in which it begins and ends, from the header on."""
    reader = dialect.rows(lines, delimiter)
    begins, started = 1, False
    try:
        for values in reader:
            ends = reader.line_num
            started = started or any(map(str.strip, values))
            if started:
                yield begins, ends, values
            begins = ends + 1
    except csv.Error as error:
        problem = str(error)
        if "field limit" in problem:
            problem = f"a value is longer than {csv.field_size_limit():,} characters"
        elif "end of data" in problem:
            problem = "a quoted value is never closed"
        elif "expected after" in problem:
            problem = 'there is text behind a closing quote; a quote within quotes is written ""'
        raise DataError(f"line {begins}: {printable(problem)}") from None


def _content(path: Path) -> bytes:
    """Return the bytes of a regular file, of standard input, or of a pipe the shell opened."""
    try:
        if str(path) == "-":
            return _bounded(sys.stdin.buffer.read(LARGEST + 1))
        mode = path.stat().st_mode
        opened = str(path).startswith(("/dev/", "/proc/"))
        if stat.S_ISDIR(mode):
            raise DataError("this is a folder; name a file")
        if stat.S_ISFIFO(mode) and not opened:
            raise DataError("this is a named pipe, which may never end; save it as a file")
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise DataError("this is a device or a socket; name a file")
        with path.open("rb") as stream:
            return _bounded(stream.read(LARGEST + 1))
    except FileNotFoundError:
        raise DataError("there is no such file") from None
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = os.strerror(error.errno) if getattr(error, "errno", None) else str(error)  # type: ignore[union-attr, arg-type]
        raise DataError(f"this cannot be read: {reason}") from None


def _bounded(content: bytes) -> bytes:
    if len(content) > LARGEST:
        raise DataError(f"there are more than {LARGEST >> 20} MiB of text; take a sample of it")
    return content


def _unpacked(content: bytes) -> tuple[bytes, str]:
    """Return what a compressed file or an archive holds, and of what kind it is.

    It is known by its content, not by its name.
    """
    packing = ""
    for _ in range(3):  # as many as .tar.gz in a .zip
        for beginning, kind in OTHER_KINDS.items():
            if content.startswith(beginning):
                raise DataError(f"this is {kind}")
        packed = io.BytesIO(content)
        name = next((n for n, begins in PACKINGS.items() if begins(content)), None)
        if name is None:
            return content, packing
        try:
            unpacked = _unpack(name, packed)
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001 - a damaged archive raises what it likes
            reason = printable(str(error).strip().partition("\n")[0]) or type(error).__name__
            raise DataError(f"it is compressed, and damaged or cut short: {reason}") from None
        content, packing = _bounded(unpacked), f"{packing}, {name}"
    raise DataError("it is compressed over and over; unpack it")


PACKINGS: dict[str, Callable[[bytes], object]] = {
    "gzip": re.compile(rb"\x1f\x8b").match,
    "bzip2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)").match,
    "xz": re.compile(rb"\xfd7zXZ\0").match,
    "Zstandard": re.compile(rb"\x28\xb5\x2f\xfd").match,
    "zip": re.compile(rb"PK(\x03\x04|\x05\x06)").match,
    "tar": lambda content: content[257:262] == b"ustar",
}
"""What says that content is packed so."""


def _unpack(name: str, packed: io.BytesIO) -> bytes:
    if name == "zip":
        return _from_zip(packed)
    if name == "tar":
        return _from_tar(packed)
    if name == "Zstandard":
        import pyarrow as pa

        with pa.input_stream(packed, compression="zstd") as stream:
            return bytes(stream.read(LARGEST + 1))
    opened: dict[str, Callable[..., Any]] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
    with opened[name](packed) as stream:
        return bytes(stream.read(LARGEST + 1))


def _from_zip(packed: io.BytesIO) -> bytes:
    with zipfile.ZipFile(packed) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        if any(info.filename.startswith("xl/") for info in files):
            raise DataError("this is an Excel workbook; save the sheet as CSV")
        _one_file(len(files))
        if files[0].flag_bits & 1:
            raise DataError("the archive is encrypted; unpack it")
        with archive.open(files[0]) as member:
            return member.read(LARGEST + 1)


def _from_tar(packed: io.BytesIO) -> bytes:
    with tarfile.open(fileobj=packed, mode="r:") as archive:
        files = [member for member in archive if not member.isdir()]
        _one_file(len(files))
        content = archive.extractfile(files[0])
        if content is None:
            raise DataError("the archive holds no regular file")
        unpacked = content.read(LARGEST + 1)
        if len(unpacked) < min(files[0].size, LARGEST + 1):
            raise EOFError("the file in it has lost its end")
        return unpacked


def _one_file(n: int) -> None:
    if n != 1:
        raise DataError(f"the archive holds {_count(n, 'file')}; unpack it and name one")
