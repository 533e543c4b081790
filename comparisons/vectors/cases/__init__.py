"""The problems of the conformance vectors: data, starts, and what each is there to find.

A model's cases are a file in this folder, in the order of its vectors. Data stand as they are, or
as one of these, in place of any list:

- ``{"file": "faithful.csv", "columns": "waiting", "rows": 100}``: a column of real data, or rows
  of several columns; all of it, or its beginning;
- ``{"case": "gmm1d-scale-1", "times": 8.0, "plus": 1.0}``: the data of another case, in other
  units; for rows, a factor and an offset a coordinate;
- ``{"sample": {..., "steps": 1200, "seed": 10}}``: symbols drawn from a hidden Markov model by
  Python's own generator, whose numbers are the same everywhere; ``"missing": {"first": 3, "every":
  7}`` takes some away.

What is expected is not here: `lockstep.comparisons.vectors.generate` computes it.
"""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lockstep.comparisons.vectors import VALID, Fields

FOLDER = Path(__file__).parent
DATA = Path(__file__).parents[2] / "scenarios" / "data"

FLAGS: dict[str, str] = json.loads((FOLDER / "flags.json").read_text("utf-8"))
MODELS = tuple(path.stem for path in sorted(FOLDER.glob("*.json")) if path.stem != "flags")


@dataclass(frozen=True)
class Case:
    """One problem.

    Attributes
    ----------
    id, model, comment : str
    flags : tuple of str
    data : list
    start : dict
    result : str
    iterations : tuple of int
        For which something is expected; one number if it must be refused.
    """

    id: str
    model: str
    comment: str
    flags: tuple[str, ...]
    data: Any
    start: Fields
    result: str = VALID
    iterations: tuple[int, ...] = (0, 1, 2, 5, 20)


def cases(model: str) -> list[Case]:
    """Return the cases of a model, in the order of its file.

    Raises
    ------
    ValueError
        If an id is used twice, a flag is not explained, or a field is not known.
    """
    records = json.loads((FOLDER / f"{model}.json").read_text("utf-8"))
    by_id = {fields["id"]: fields for fields in records}
    if len(by_id) < len(records):
        used = Counter(fields["id"] for fields in records)
        raise ValueError(f"{model}: ids are used twice: {[i for i in used if used[i] > 1]}")
    return [_case(model, fields, by_id) for fields in records]


def _case(model: str, fields: Fields, by_id: dict[str, Fields]) -> Case:
    if unknown := set(fields["flags"]) - set(FLAGS):
        raise ValueError(f"{fields['id']}: flags.json does not explain {', '.join(unknown)}")
    if unknown := set(fields) - set(Case.__dataclass_fields__):
        raise ValueError(f"{fields['id']}: there is no field {', '.join(unknown)}")
    lists: Fields = {key: tuple(fields[key]) for key in ("flags", "iterations") if key in fields}
    data = _data(fields["data"], by_id)
    return Case(model=model, **(fields | lists | {"data": data}))


def _data(value: Any, by_id: dict[str, Fields]) -> Any:
    """Return data as nested lists."""
    if isinstance(value, list):
        return [_data(each, by_id) for each in value]
    if not isinstance(value, dict):
        return value
    if "file" in value:
        return _columns(value["file"], value["columns"], value.get("rows"))
    if "case" in value:
        other = _data(by_id[value["case"]]["data"], by_id)
        x = np.array(other, np.float64)  # None becomes NaN
        x = np.array(value["plus"]) + np.array(value["times"]) * x
        numbers = x.astype(object)
        numbers[np.isnan(x)] = None
        return numbers.tolist()
    symbols: list[int | None] = [*_sample(**value["sample"])]
    if "missing" in value:
        gaps = slice(value["missing"]["first"], None, value["missing"]["every"])
        symbols[gaps] = [None] * len(symbols[gaps])
    return symbols


def _columns(file: str, names: str | list[str], rows: int | None) -> list[Any]:
    with (DATA / file).open(encoding="utf-8", newline="") as lines:
        table = list(csv.DictReader(lines))[:rows]
    if isinstance(names, str):
        return [float(row[names]) for row in table]
    return [[float(row[name]) for name in names] for row in table]


def _sample(startprob: Any, transmat: Any, emissionprob: Any, steps: int, seed: int) -> list[int]:
    rng = random.Random(seed)
    symbols, row = [], startprob
    for _ in range(steps):
        z = rng.choices(range(len(row)), row)[0]
        symbols.append(rng.choices(range(len(emissionprob[z])), emissionprob[z])[0])
        row = transmat[z]
    return symbols
