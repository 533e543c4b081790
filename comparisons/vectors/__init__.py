"""Conformance vectors: problems for EM with their answers to 17 digits, for any language.

The files in ``v1`` are the vectors, one file a model, in JSON that ``v1/schema.json`` describes;
docs/conformance.md says how to use them. Here they are read, and answers are judged.

A vector asks for the parameters after some numbers of iterations from a given start. What it
expects was computed at 50 digits by `lockstep.comparisons.exact`, which shares no code with
`models`. An error is counted in units that the scale of the data does not enter: a probability as
it is; a mean in standard deviations of its component; a variance relative to itself; a covariance
in products of two standard deviations; a log-likelihood in nats.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "v1"
MODELS = tuple(path.stem for path in sorted(FOLDER.glob("*.json")) if path.stem != "schema")

PROBABILITIES = ("weights", "startprob", "transmat", "emissionprob")
UNITS = {
    "means": " standard deviations",
    "variances": " of itself",
    "covariances": " products of standard deviations",
    "log_likelihood": " nats",
}

VALID, ACCEPTABLE, MUST_ERROR = "valid", "acceptable", "must-error"

type Fields = dict[str, Any]


@dataclass(frozen=True)
class Expected:
    """What is expected after some iterations.

    Attributes
    ----------
    iterations : int
    log_likelihood : float
        In nats.
    parameters : dict or None
        Fields as nested lists; None in place of a number that the data leave open. After no
        iteration there is nothing to expect of the parameters: they are the start.
    tolerance : dict
        Largest error of the ``log_likelihood``, in nats, and of the ``parameters``.
    """

    iterations: int
    log_likelihood: float
    parameters: Fields | None
    tolerance: dict[str, float]


@dataclass(frozen=True)
class Vector:
    """One problem and what is expected of it.

    Attributes
    ----------
    id : str
    model : str
    comment : str
        What the vector is there to find.
    flags : tuple of str
    result : {"valid", "acceptable", "must-error"}
        Acceptable: refusing is right, and so is the expected answer.
    data : list
        Floats of shape (N,) or (N, D), or a list of lists of symbols; None where nothing was
        observed.
    start : dict
        Fields as nested lists.
    expected : tuple of Expected
        Empty where an error is the only right answer.
    iterations : tuple of int
        Numbers of iterations to ask for.
    """

    id: str
    model: str
    comment: str
    flags: tuple[str, ...]
    result: str
    data: Any
    start: Fields
    expected: tuple[Expected, ...]
    iterations: tuple[int, ...]


@dataclass(frozen=True)
class Finding:
    """What became of one answer.

    Attributes
    ----------
    passed : bool
    message : str
        What is wrong, where and by how much; or how near to wrong it was.
    error : float or None
        The largest error of a number in units of its tolerance, if numbers were compared.
    """

    passed: bool
    message: str
    error: float | None = None


@cache
def load(model: str | None = None) -> tuple[Vector, ...]:
    """Return the vectors of a model, or of all.

    Raises
    ------
    ValueError
        If there is no such model.
    """
    if model is None:
        return tuple(vector for each in MODELS for vector in load(each))
    if model not in MODELS:
        raise ValueError(f"there are no vectors for {model!r}; there are for {', '.join(MODELS)}")
    document = json.loads((FOLDER / f"{model}.json").read_text("utf-8"))
    return tuple(_vector(model, each) for each in document["vectors"])


def _vector(model: str, record: Mapping[str, Any]) -> Vector:
    expected = tuple(
        Expected(
            iterations=each["iterations"],
            log_likelihood=each["log_likelihood"],
            parameters=each.get("parameters"),
            tolerance=each["tolerance"],
        )
        for each in record.get("expected", ())
    )
    return Vector(
        id=record["id"],
        model=model,
        comment=record["comment"],
        flags=tuple(record["flags"]),
        result=record["result"],
        data=record["data"],
        start=record["start"],
        expected=expected,
        iterations=tuple(e.iterations for e in expected) or (record["iterations"],),
    )


def requests(vector: Vector) -> list[Fields]:
    """Return what to ask a program, one request for each number of iterations.

    The id of a request is the vector's, ``@`` and the number of iterations.
    """
    return [
        {
            "id": f"{vector.id}@{n}",
            "model": vector.model,
            "op": "iterate",
            "data": vector.data,
            "start": vector.start,
            "iterations": n,
        }
        for n in vector.iterations
    ]


def line(message: Any) -> str:
    """Return a request as one line of JSON; an infinity becomes 1e999, which reads as one.

    JSON has no infinity, and NumPy's and Python's ``Infinity`` is an error to other readers.
    """
    if isinstance(message, dict):
        pairs = (f"{json.dumps(name)}:{line(value)}" for name, value in message.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(message, list | tuple):
        return f"[{','.join(map(line, message))}]"
    if isinstance(message, float) and math.isinf(message):
        return "1e999" if message > 0 else "-1e999"
    return json.dumps(message, allow_nan=False)


def check(answer: Any, vector: Vector) -> Finding:
    """Judge one answer to one of the vector's requests.

    Parameters
    ----------
    answer : dict
        As read from JSON: the request's ``id``, and ``error`` or ``parameters`` and, if the
        program likes, ``log_likelihood``.
    vector : Vector

    Returns
    -------
    Finding
    """
    if not isinstance(answer, dict):
        return Finding(False, f"the answer is not a JSON object: {_short(answer)}")
    asked = {f"{vector.id}@{n}": n for n in vector.iterations}
    if answer.get("id") not in asked:
        return Finding(False, f"the answer's id is {answer.get('id')!r}; expected {list(asked)}")
    n = asked[answer["id"]]
    if answer.get("error") is not None:
        if vector.result == VALID:
            return Finding(False, f"refused, and it can be answered: {_short(answer['error'])}")
        return Finding(True, f"refused: {_short(answer['error'])}")
    if vector.result == MUST_ERROR:
        return Finding(False, "answered, and it must be refused")
    expected = next(e for e in vector.expected if e.iterations == n)
    try:
        errors = list(_errors(answer, expected))
    except ValueError as error:
        return Finding(False, str(error))
    if not errors:
        return Finding(False, "the answer has neither parameters nor a log_likelihood")
    worst, message = max(errors)
    return Finding(worst <= 1, message, worst)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _errors(answer: Fields, expected: Expected) -> Iterator[tuple[float, str]]:
    """Yield for each number its error in units of the tolerance, with words for it.

    Raises
    ------
    ValueError
        If numbers are missing, too many or not finite.
    """
    if expected.parameters is not None:
        given = answer.get("parameters")
        if not isinstance(given, dict):
            raise ValueError("the answer has no parameters, an object of nested lists")
        scales = units(expected.parameters)
        for name, values in expected.parameters.items():
            if name not in given:
                raise ValueError(f"the answer's parameters have no {name!r}")
            yield from _compare(
                name, given[name], values, scales[name], expected.tolerance["parameters"]
            )
    if answer.get("log_likelihood") is not None:
        tolerance = expected.tolerance["log_likelihood"]
        yield from _compare(
            "log_likelihood", answer["log_likelihood"], expected.log_likelihood, 1.0, tolerance
        )
    elif expected.parameters is None:
        raise ValueError("the answer has no log_likelihood, and after no iteration nothing else")


def _compare(
    name: str, given: Any, expected: Any, unit: Any, tolerance: float
) -> Iterator[tuple[float, str]]:
    if isinstance(expected, list):
        if not isinstance(given, list) or len(given) != len(expected):
            found = f"{len(given)} entries" if isinstance(given, list) else _short(given)
            raise ValueError(f"{name} should be a list of {len(expected)} and is {found}")
        for i, (value, right, scale) in enumerate(zip(given, expected, unit)):
            yield from _compare(f"{name}[{i}]", value, right, scale, tolerance)
        return
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ValueError(f"{name} is {_short(given)}, not a finite number")
    if expected is None:
        return
    field, name = name.partition("[")[0], name.replace("][", ",")
    if expected == 0 and field in PROBABILITIES:
        # A zero of the model's structure stays one; 1e-300 forgives the smallest exponents.
        error = 0.0 if 0 <= given <= 1e-300 else math.inf
        yield error, f"{name} is {given!r}, expected 0 exactly"
        return
    off = abs(given - expected) / unit
    yield (
        off / tolerance,
        f"{name} is {given!r}, expected {expected!r}: off by {off:.2g}{UNITS.get(field, '')}, "
        f"tolerance {tolerance:g}",
    )


def units(parameters: Mapping[str, Any]) -> Fields:
    """Return for each number of the parameters the unit that its error is counted in.

    Parameters
    ----------
    parameters : mapping
        Fields as nested lists of any kind of number.
    """
    result: Fields = {}
    for name, values in parameters.items():
        if name == "means" and "variances" in parameters:
            result[name] = [v and v**0.5 for v in parameters["variances"]]
        elif name == "means":
            result[name] = [
                [row[d] and row[d] ** 0.5 for d, row in enumerate(covariance)]
                for covariance in parameters["covariances"]
            ]
        elif name == "variances":
            result[name] = values
        elif name == "covariances":
            result[name] = [
                [
                    [row[d] and row[d] ** 0.5 * covariance[e][e] ** 0.5 for e in range(len(row))]
                    for d, row in enumerate(covariance)
                ]
                for covariance in values
            ]
        else:
            result[name] = _ones(values)
    return result


def _ones(values: Any) -> Any:
    return [_ones(each) for each in values] if isinstance(values, list) else 1
