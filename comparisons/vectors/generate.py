"""Make the conformance vectors anew: ``make vectors``.

Every number that a vector expects comes from `comparisons.exact`, at 50 digits; what it gives is
in the files of `comparisons.vectors.cases`. The same files come out each time, byte for byte.

A tolerance is `ALLOWANCE` times what rounding must cost any program that works in doubles: the
rounding unit itself, magnified as `exact` says; or, where that is more, the change of the
exact answer when every number that is given moves by one unit in its last place, and in every
iteration variances and logarithms of densities by half of one, up or down at random.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import mpmath
from mpmath import mpf

from lockstep.comparisons import exact
from lockstep.comparisons.files import write_whole
from lockstep.comparisons.vectors import ACCEPTABLE, FOLDER, MUST_ERROR, VALID, units
from lockstep.comparisons.vectors.cases import FLAGS, MODELS, Case, cases

VERSION = 1
ALLOWANCE = 100
"""How many times the unavoidable error may be made: an iteration rounds more than once."""
DRAWS = 3
"""How often the problem is moved by units in the last place; the largest change counts."""
WORST = 1e-4
"""A tolerance beyond this tells right from wrong no longer: such a case must be given fewer
iterations."""
ROUNDING = 2.0**-53


class UnfitError(ValueError):
    """A case cannot be made into a vector as it stands; the message says why."""


def moved(value: Any, rng: random.Random) -> Any:
    """Return nested lists with every double moved by one unit in its last place, up or down."""
    if isinstance(value, list):
        return [moved(each, rng) for each in value]
    if value is None or isinstance(value, int) or value == 0:
        return value
    return math.nextafter(value, rng.choice((-math.inf, math.inf)))


def moved_start(start: exact.Fields, rng: random.Random) -> exact.Fields:
    """Return a start moved in the same way; covariances stay symmetric."""
    new: exact.Fields = {name: moved(values, rng) for name, values in start.items()}
    for covariance in new.get("covariances", ()):
        for i in range(len(covariance)):
            for j in range(i):
                covariance[i][j] = covariance[j][i]
    return new


def numbers(value: Any) -> Iterator[Any]:
    """Yield the numbers of nested lists, or of fields of them."""
    if isinstance(value, dict):
        for each in value.values():
            yield from numbers(each)
    elif isinstance(value, list):
        for each in value:
            yield from numbers(each)
    else:
        yield value


def distance(p: exact.Fields, q: exact.Fields) -> Any:
    """Return the largest difference of two numbers, in the first's units."""
    scaled = zip(numbers(p), numbers(q), numbers(units(p)))
    return max(abs(a - b) / unit for a, b, unit in scaled)


def follow(case: Case, data: Any, start: exact.Fields, **options: Any) -> dict[int, exact.Point]:
    """Return the exact points after the case's numbers of iterations, as far as EM goes."""
    points: dict[int, exact.Point] = {}
    try:
        for n, point in enumerate(exact.twin(case.model).em(start, data, **options)):
            if n in case.iterations:
                points[n] = point
            if n == max(case.iterations):
                break
    except exact.UndefinedError as error:
        if case.result == VALID:
            raise UnfitError(f"{case.id}: {error}") from None
    return points


def sensitivity(case: Case, points: dict[int, exact.Point]) -> dict[int, tuple[float, float]]:
    """Return how far parameters and log-likelihood move when the problem does, by iteration."""
    rng = random.Random(zlib.crc32(case.id.encode()))
    largest = dict.fromkeys(points, (0.0, 0.0))
    for _ in range(DRAWS):
        others = follow(
            case,
            moved(case.data, rng),
            moved_start(case.start, rng),
            noise=lambda: rng.choice((-ROUNDING, ROUNDING)),
        )
        for n, point in points.items():
            if n not in others:
                largest[n] = math.inf, math.inf
                continue
            of_parameters = distance(point.parameters, others[n].parameters)
            of_log_likelihood = abs(point.log_likelihood - others[n].log_likelihood)
            largest[n] = (
                max(largest[n][0], float(of_parameters)),
                max(largest[n][1], float(of_log_likelihood)),
            )
    return largest


def refuse_ambiguous(case: Case, points: dict[int, exact.Point]) -> None:
    """Raise UnfitError if a row that the data leave open has a say in what follows."""
    if not any(point.undetermined for point in points.values()):
        return
    for n, other in follow(case, case.data, case.start, uniform=False).items():
        opened = opened_parameters(points[n]), opened_parameters(other)
        pairs = list(zip(*map(numbers, opened)))
        if any((a is None) != (b is None) for a, b in pairs) or any(
            a is not None and abs(a - b) > mpf(10) ** -40 for a, b in pairs
        ):
            raise UnfitError(f"{case.id}: iteration {n} depends on a row that the data leave open")


def refuse_wrong_recursion(case: Case) -> None:
    """Check one iteration against the one through all latent paths, if there are not too many."""
    twin = exact.twin(case.model)
    with mpmath.workdps(exact.DIGITS):
        p, data = exact.exactly(case.start), twin.data(case.data)
        truth = twin.enumerated(p, data)
        if truth is None:
            return
        ours = twin.e_step(p, data)
        new, right = (twin.m_step(p, data, e.statistics, True).parameters for e in (ours, truth))
        off = max(distance(right, new), abs(truth.log_likelihood - ours.log_likelihood))
        if off > mpf(10) ** -(exact.DIGITS - 5):
            raise UnfitError(f"{case.id}: recursion and enumeration differ by {off}")


def opened_parameters(point: exact.Point) -> exact.Fields:
    """Return the parameters with None in place of what the data leave open."""
    opened = dict(point.parameters)
    for name, *place in point.undetermined:
        opened[name] = _nothing(opened[name], *place)
    return opened


def _nothing(value: Any, *place: int) -> Any:
    """Return nested lists with None in place of the numbers at a place, or of all."""
    if place:
        return [_nothing(each) if i == place[0] else each for i, each in enumerate(value)]
    return [_nothing(each) for each in value] if isinstance(value, list) else None


def tidy(tolerance: float) -> float:
    """Return the tolerance rounded up to one digit."""
    exponent = math.floor(math.log10(tolerance))
    digit = math.ceil(tolerance / 10.0**exponent - 1e-9)
    return float(f"{digit}e{exponent}")


def record(case: Case) -> dict[str, Any]:
    """Return the vector that a case makes."""
    head = {
        "id": case.id,
        "comment": case.comment,
        "flags": sorted(case.flags),
        "result": case.result,
        "data": case.data,
        "start": case.start,
    }
    if case.result == MUST_ERROR:
        (n,) = case.iterations
        if "degenerate" in case.flags and n in follow(case, case.data, case.start):
            raise UnfitError(f"{case.id}: {n} iterations go well")
        return head | {"iterations": n}
    refuse_wrong_recursion(case)
    points = follow(case, case.data, case.start)
    refuse_ambiguous(case, points)
    conditions = sensitivity(case, points)
    expected: list[dict[str, Any]] = []
    ill = 0.0
    for n, point in points.items():
        of_parameters, of_log_likelihood = conditions[n]
        if n and ALLOWANCE * of_parameters > WORST:
            if case.result == ACCEPTABLE:
                break
            raise UnfitError(
                f"{case.id}: after {n} iterations rounding moves the answer by {of_parameters:.2g}"
            )
        floor = ROUNDING * max(1.0, float(point.magnitude))
        tolerance = {"log_likelihood": tidy(ALLOWANCE * max(floor, of_log_likelihood))}
        one: dict[str, Any] = {"iterations": n, "log_likelihood": point.log_likelihood}
        if n:
            one["parameters"] = opened_parameters(point)
            # A ratio of sums has two roundings at the least.
            floor = ROUNDING * max(2.0, float(point.magnified))
            tolerance["parameters"] = tidy(ALLOWANCE * max(floor, of_parameters))
            ill = max(ill, floor, of_parameters)
        expected.append(one | {"tolerance": tolerance})
    head["expected"] = expected
    if ill > 20 * ROUNDING:
        head["tolerance_reason"] = (
            "roundings in the last place, of what is given and of logarithms of densities, move "
            f"the parameters by {ill:.1g}"
        )
    return head


def text(value: Any) -> str:
    """Return JSON: doubles by their shortest digits, numbers of 50 digits by 17."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(k)}: {text(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(text, value))}]"
    if isinstance(value, mpf):
        return str(mpmath.nstr(value, 17, min_fixed=-4, max_fixed=15))
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def written(case: Case) -> str:
    """Return a vector as it stands in its file."""
    lines = []
    for name, value in record(case).items():
        if name == "expected":
            steps = ",\n    ".join(text(each) for each in value)
            lines.append(f'  "expected": [\n    {steps}\n  ]')
        else:
            lines.append(f"  {json.dumps(name)}: {text(value)}")
    return "{\n" + ",\n".join(lines) + "\n}"


def document(model: str, vectors: Sequence[str], flags: Sequence[str]) -> str:
    """Return a model's file."""
    head = {
        "$schema": "schema.json",
        "version": VERSION,
        "model": model,
        "number": len(vectors),
        "flags": {name: FLAGS[name] for name in sorted(flags)},
    }
    lines = [f"{json.dumps(name)}: {text(value)}" for name, value in head.items()]
    return "{\n" + ",\n".join([*lines, '"vectors": [\n' + ",\n".join(vectors) + "\n]"]) + "\n}\n"


def main(folder: Path = FOLDER) -> None:
    """Make all vectors and write their files."""
    every = [case for model in MODELS for case in cases(model)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = []
        for case, vector in zip(every, pool.map(written, every)):
            done.append((case, vector))
            print(f"\r{len(done)} of {len(every)} vectors", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for model in MODELS:
        own = [(case, vector) for case, vector in done if case.model == model]
        flags = sorted({flag for case, _ in own for flag in case.flags})
        content = document(model, [vector for _, vector in own], flags)
        write_whole(folder / f"{model}.json", content)


if __name__ == "__main__":
    main()
