"""Good tables, mangled: bytes flipped, rows cut, other encodings, quotes, numbers and packings."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import numpy as np

MODELS = ("gaussian_mixture_1d", "gaussian_mixture_2d", "categorical_hmm")

ODD_VALUES = (
    b"", b" ", b"1e400", b"1e-400", b"-1e999999999", b"0x10", b"1_000", b"inf", b"-nan", b"1,5",
    b'"1,5"', b'"', b'""', b'"a"b', b"#", b"# a", b"\xef\xbc\x91", b"\xc3\xa9", b"\xff", b"\0",
    b"9" * 400, b"1" * 200_000, b"\x1b[2J", b"\r", b"\r\n\r\n", b'"1\n2"', b"\xe2\x80\xae", b"=1+1",
    b"1.5.2", b"--1", b"1e", b".", b"+", b"\xed\xb0\x80", b"4.9e-324", b"1.7976931348623157e308",
)  # fmt: skip

ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp037", "utf-7")


def good(rng, model):
    """Return a table of the model's kind as bytes, and the options to read it with."""
    n = int(rng.integers(5, 40))
    if model == "categorical_hmm":
        symbols = rng.integers(0, 3, n)
        lengths = [n // 2, *[""] * (n // 2 - 1), n - n // 2, *[""] * (n - n // 2 - 1)]
        rows = [f"{s},{length}" for s, length in zip(symbols, lengths)]
        return "\n".join(["symbol,length", *rows, ""]).encode(), {"lengths_column": "length"}
    x = rng.normal(size=(n, 1 if model.endswith("1d") else 2))
    rows = [",".join(map(repr, row)) for row in x.tolist()]
    return "\n".join([",".join("xy"[: x.shape[1]]), *rows, ""]).encode(), {}


def _packed(rng, content):
    """Return the content compressed, or in an archive with one, two or no files."""
    out, kind = io.BytesIO(), int(rng.integers(5))
    if kind < 3:
        return (gzip.compress, bz2.compress, lzma.compress)[kind](content)
    names = ("a.csv", "b.csv")[: int(rng.integers(3))]
    if kind == 3:
        with zipfile.ZipFile(out, "w") as archive:
            for name in names:
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _flipped(rng, content):
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
    return bytes(changed)


def _with_odd_value(rng, content):
    lines = content.split(b"\n")
    line = int(rng.integers(len(lines)))
    values = lines[line].split(b",")
    odd = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
    values[int(rng.integers(len(values)))] = odd
    lines[line] = b",".join(values)
    return b"\n".join(lines)


def _with_odd_rows(rng, content):
    lines = content.split(b"\n")
    line = int(rng.integers(len(lines)))
    match int(rng.integers(5)):
        case 0:
            del lines[line]
        case 1:
            lines.insert(line, b"")
        case 2:
            lines[line] += b",7"
        case 3:
            lines.insert(line, lines[line])
        case 4:
            lines[line] = lines[line].partition(b",")[0]
    return b"\n".join(lines)


def _cut(rng, content):
    begin, end = sorted(rng.integers(0, len(content) + 1, 2).tolist())
    return content[:begin] + content[end:] if rng.random() < 0.5 else content[:end]


def _reworded(rng, content):
    replacements = [
        (b",", b";"), (b",", b"\t"), (b".", b","), (b"\n", b"\r"), (b"\n", b"\r\n"),
        (b"\n", b"\n\n"), (b"\n", b""), (b"x", b"y"), (b"1", b"\0"), (b"-", b"\xe2\x88\x92"),
        (b"\n", b'"\n'), (b",", b'","'),
    ]  # fmt: skip
    return content.replace(*replacements[int(rng.integers(len(replacements)))])


def _recoded(rng, content):
    text = content.decode("utf-8", "replace")
    encoding = ENCODINGS[int(rng.integers(len(ENCODINGS)))]
    return text.encode(encoding, "replace")


MANGLINGS = (
    _flipped, _with_odd_value, _with_odd_rows, _cut, _reworded, _recoded, _packed, _with_odd_value,
)  # fmt: skip


def mangled(seed):
    """Return the bytes, the name, the model and the options of the seed's file."""
    rng = np.random.default_rng(seed)
    model = MODELS[int(rng.integers(3))]
    content, options = good(rng, model)
    for _ in range(int(rng.integers(1, 4))):
        if content:
            content = MANGLINGS[int(rng.integers(len(MANGLINGS)))](rng, content)
    ending = ("csv", "tsv", "gz", "zip", "xz", "tar", "zst")[int(rng.integers(7))]
    return content, f"data.{ending}", model, options
