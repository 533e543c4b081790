"""``results.json``: written, read strictly, and described by a JSON Schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from lockstep.comparisons.outcomes import SCHEMA_VERSION, Array, Results


class ResultsError(ValueError):
    """A file that is not the results of this version of lockstep; the message says why."""


DEEPEST = 8
"""Levels of a nested list."""


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in results")


def _array(_: type, value: object) -> Array:
    given = np.asarray(value, dtype=object)
    deep = not 0 < given.ndim <= DEEPEST
    if deep or not {type(v) for v in given.flat} <= {int, float, type(None)}:
        raise ValueError("Expected nested lists of numbers, all of one length")
    return given.astype(np.float64)


def encode(results: Struct) -> bytes:
    """Return any of these records as JSON."""
    return msgspec.json.encode(results, enc_hook=_plain)


def text(results: Results) -> str:
    """Return the content of ``results.json``."""
    return msgspec.json.format(encode(results), indent=1).decode() + "\n"


def written[R: Struct](record: R) -> R:
    """Return a record as it will be read: of plain numbers, each of the type that it should be."""
    return msgspec.json.decode(encode(record), type=type(record), dec_hook=_array)


def decode(content: bytes | str) -> Results:
    """Return what ``results.json`` holds.

    Raises
    ------
    ResultsError
        In one line, if it is not JSON, of another version, or not according to the schema.
    """
    try:
        version = msgspec.json.decode(content, type=dict[str, msgspec.Raw]).get("schema_version")
        if version is None or bytes(version) != str(SCHEMA_VERSION).encode():
            found = "none" if version is None else bytes(version).decode()[:20]
            raise ResultsError(
                f"these results have schema_version {found}, and this lockstep reads "
                f"{SCHEMA_VERSION}: make the report again"
            )
        return msgspec.json.decode(content, type=Results, dec_hook=_array)
    except (msgspec.DecodeError, OverflowError, RecursionError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise ResultsError(f"these are no results of lockstep: {said}") from None


NUMBERS = {
    "type": "array",
    "items": {"anyOf": [{"type": ["number", "null"]}, {"$ref": "#/$defs/Array"}]},
}


def schema() -> dict[str, Any]:
    """Return the JSON Schema of ``results.json``."""
    made = msgspec.json.schema(Results, schema_hook=lambda _: {"$ref": "#/$defs/Array"})
    made["$defs"]["Array"] = {"description": "Numbers in nested lists of one length.", **NUMBERS}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def main() -> None:
    """Write the schema into the file that is named."""
    Path(sys.argv[1]).write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
