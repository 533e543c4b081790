"""Tables in text files, read once, strictly and within bounds: what is wrong is named by its line.

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
import tarfile
import zipfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lockstep.comparisons.legible import clipped, printable
from lockstep.models.records import Floats

LARGEST = 2**29
"""Bytes of a file, and of what is packed in it, that are read."""

MOST_ROWS = 10_000_000

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch
MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none"))

OTHER_KINDS = {
    b"\xff\xfe": "text in UTF-16; save it as UTF-8",
    b"\xfe\xff": "text in UTF-16; save it as UTF-8",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard, which is not read here; unpack it",
    b"7z\xbc\xaf\x27\x1c": "an archive of 7-Zip, which is not read here; unpack it",
    b"\x1f\x9d": "compressed by compress, which is not read here; unpack it",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the sheet as CSV",
    b"PAR1": "a Parquet file; save it as CSV",
    b"ARROW1": "a Feather file; save it as CSV",
    b"SQLite format 3": "a database of SQLite; save the table as CSV",
    b"\x89HDF": "an HDF5 file; save it as CSV",
    b"%PDF-": "a PDF; save the table as CSV",
}
"""By the bytes that begin the file."""


type Records = Iterator[tuple[int, int, list[str]]]
"""The line in which each record begins, the one in which it ends, and its values."""


class DataError(ValueError):
    """The file cannot be used; the message names the file and, where it can, column and line."""


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
    """

    file: str
    names: list[str]
    columns: list[list[str]]
    lines: array[int]
    _later: dict[tuple[int, int], int] = field(default_factory=dict)
    """The line of a value that is not in the line in which its row begins, by row and column."""

    def error(self, column: int, row: int, problem: str) -> DataError:
        """Return what is wrong with one value, for raising."""
        line = self._later.get((row, column), self.lines[row])
        return DataError(
            f"{self.file}: column {clipped(self.names[column])}, line {line}: {problem}"
        )

    def numbers(self, column: int) -> Floats:
        """Return a column as finite numbers.

        Raises
        ------
        DataError
            Naming the first value that is none.
        """
        texts = [text.strip(" \t") for text in self.columns[column]]
        wrong = next((row for row, text in enumerate(texts) if not NUMBER(text)), len(texts))
        numbers: Floats = np.fromiter(map(float, texts[:wrong]), np.float64, wrong)
        lost = [
            int(row)
            for row in np.flatnonzero((numbers == 0) | np.isinf(numbers))
            if numbers[row] != 0 or _is_positive(texts[row])
        ]
        for row in [*lost[:1], *([wrong] if wrong < len(texts) else [])]:
            raise self.error(column, row, _why_no_number(texts[row]))
        return numbers


def _is_positive(number: str) -> bool:
    """Return whether a number that became 0 is none: a digit of its mantissa is not 0."""
    return re.search("[1-9]", re.split("[eE]", number)[0]) is not None


def _why_no_number(text: str) -> str:
    if text.strip().lower() in MISSING:
        return "the value is missing"
    shown = clipped(text)
    if NUMBER(text):
        what = "small: it would become 0" if float(text) == 0 else "large"
        return f"{shown} is too {what} in double precision; change the unit"
    hints = {
        r"[+-]?[0-9]+(,[0-9]{3})+(\.[0-9]*)?": "write it without commas",
        r"[+-]?[0-9]*,[0-9]+": "write a decimal point",
        r"[+-]?[0-9]+([_' \u2009\u202f\xa0][0-9]{3})+([.,][0-9]*)?": "write digits only",
        r"[+-]?(inf|infinity)": "leave such rows out",
        r"#.*": "comments are not read; delete them",
    }
    for pattern, hint in hints.items():
        if re.fullmatch(pattern, text, re.IGNORECASE):
            return f"{shown} is not a finite number; {hint}"
    return f"{shown} is not a finite number"


def read(path: Path, choose: Callable[[Sequence[str]], Sequence[int]]) -> Table:
    """Read a table with a header: separated by commas, or by tabs if it is called .tsv.

    It may be compressed (gzip, bzip2, xz), or be the one file of a zip or tar archive; what it is
    called does not matter.

    Parameters
    ----------
    path : Path
    choose : callable
        Given the names of all columns, returns the positions of those to keep.

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
    file = printable(str(path))
    delimiter = "\t" if ".tsv" in path.suffixes[-2:] else ","
    try:
        content = _checked(_unpacked(_content(path)))
        text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
        records = _records(text, delimiter)
        _, _, names = next(records, (0, 0, []))
        if not names:
            raise DataError("the file is empty")
        if all(NUMBER(name.strip()) for name in names):
            raise DataError("the first row has numbers only; put column names above the data")
        table = _filled(file, names, choose(names), records)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    if not table.lines:
        raise DataError(f"{file}: there are no rows below the header")
    return table


def _filled(file: str, names: Sequence[str], kept: Sequence[int], records: Records) -> Table:
    """Return the table of the rows below the header."""
    table = Table(file, [names[i] for i in kept], [[] for _ in kept], array("q"))
    places = list(zip(kept, table.columns))
    width, blank = len(names), 0
    for begins, ends, values in records:
        if len(values) != width:
            if width > 1 and len(values) < 2 and not "".join(values).strip():
                blank = blank or begins
                continue
            if len(values) > width:
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
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
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


def _checked(content: bytes) -> bytes:
    """Return the content if it is text in UTF-8."""

    def line(position: int) -> int:
        return 1 + len(re.findall(rb"\r\n?|\n", content[:position]))

    if (position := content.find(b"\0")) >= 0:
        raise DataError(
            f"line {line(position)} has a NUL byte; this is no text in UTF-8 (UTF-16, perhaps)"
        )
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"line {line(error.start)} has the byte 0x{content[error.start]:02x}, which is not "
            "UTF-8; save the file as UTF-8"
        ) from None
    return content


def _content(path: Path) -> bytes:
    """Return the bytes of a regular file, or of a pipe that the shell opened."""
    try:
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


def _unpacked(content: bytes) -> bytes:
    """Return what a compressed file or an archive holds, by its content, not its name."""
    for _ in range(3):  # as many as .tar.gz in a .zip
        for beginning, kind in OTHER_KINDS.items():
            if content.startswith(beginning):
                raise DataError(f"this is {kind}")
        packed = io.BytesIO(content)
        try:
            if content.startswith(b"\x1f\x8b"):
                unpacked = gzip.GzipFile(fileobj=packed).read(LARGEST + 1)
            elif re.match(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", content):
                unpacked = bz2.BZ2File(packed).read(LARGEST + 1)
            elif content.startswith(b"\xfd7zXZ\0"):
                unpacked = lzma.LZMAFile(packed).read(LARGEST + 1)  # noqa: SIM115
            elif content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
                unpacked = _from_zip(packed)
            elif content[257:262] == b"ustar":
                unpacked = _from_tar(packed)
            else:
                return content
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001 - a damaged archive raises what it likes
            reason = printable(str(error).strip().partition("\n")[0]) or type(error).__name__
            raise DataError(f"it is compressed, and damaged or cut short: {reason}") from None
        content = _bounded(unpacked)
    raise DataError("it is compressed over and over; unpack it")


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
