"""How a candidate goes about it: what it leaves out, how it rounds, when it stops.

None of these is wrong, and each would make every comparison fail. They are recognised by two
iterations on two problems, said, and taken into account by whatever is checked after.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lockstep.comparisons.validation.bench import Bench, Failed, NotChecked
from lockstep.comparisons.validation.channel import TroubleError
from lockstep.comparisons.validation.mistakes import SAME, distances
from lockstep.comparisons.validation.problems import Arrays, Question
from lockstep.comparisons.validation.restricted import Restriction, restrictions, told
from lockstep.comparisons.validation.verdicts import Cause

FINEST = 9
"""Decimals that still are rounding: a double has 16 digits."""

PATH = 400
"""Iterations among which a fit is looked for that does as many as it likes."""

type Seen = list[tuple[Question, list[Arrays]]]


def recognise(bench: Bench) -> None:
    """Learn how the candidate goes about it, if that explains its first two iterations."""
    seen = list(_seen(bench))
    if bench.strict or len(seen) < 2 or not bench.candidate.from_start:
        return
    lacking = frozenset(bench.lacking)
    fields = [name for name in bench.fields if name not in lacking]
    if not fields:
        return
    bench.decimals = _decimals(seen, fields)
    plain = Restriction()
    if not lacking and _explains(bench, plain, seen, fields):
        _say_rounded(bench)
        return
    for found in (plain, *restrictions(bench.candidate.model)):
        # What is not handed back may be estimated all the same, or kept.
        if _explains(bench, found, seen, fields):
            bench.restriction = found
            bench.unreturned = lacking - set(found.kept)
            say_restricted(bench)
            _say_rounded(bench)
            return
    if _at_its_own_pace(bench, seen, fields):
        _say_rounded(bench)
        return
    bench.decimals = {}


def _seen(bench: Bench) -> Iterator[tuple[Question, list[Arrays]]]:
    """Yield one and two iterations on two general problems, if there are numbers."""
    for seed in (91, 92):
        problem = bench.general(seed, 3, 30)
        try:
            path = [bench.iterate(problem, n) for n in (1, 2)]
        except (TroubleError, Failed, NotChecked):
            return
        yield problem, path


def _decimals(seen: Seen, fields: list[str]) -> dict[str, int]:
    """Return the decimals to which each field is rounded, if it is."""
    found = {}
    for name in fields:
        values = [path[0][name] for problem, path in seen]
        if all(np.array_equal(v, p.start[name]) for v, (p, _) in zip(values, seen)):
            continue  # as it was given
        forms = [np.concatenate([v.ravel() for v in values])]
        if name == "variances" and (forms[0] >= 0).all():
            forms.append(np.sqrt(forms[0]))
        for decimals in range(1, FINEST + 1):
            scaled = [form * 10.0**decimals for form in forms]
            if any((np.abs(s - s.round()) <= 1e-15 * (np.abs(s) + 1)).all() for s in scaled):
                found[name] = decimals
                break
    return found


def _explains(bench: Bench, restriction: Restriction, seen: Seen, fields: list[str]) -> bool:
    """Return whether the candidate's iterations are those of EM under a restriction."""
    for problem, path in seen:
        p = restriction.begun(problem.start)
        for n, found in enumerate(path, 1):
            try:
                p = restriction.maximum(bench.once(p, problem), p)
            except (ArithmeticError, ValueError):
                return False
            if not _same(bench, found, p, fields, 0.51 if n == 1 else 10.0):
                return False
    return True


def _same(bench: Bench, found: Arrays, p: Arrays, fields: list[str], units: float) -> bool:
    """Return whether fields are the same, up to so many units of the last decimal."""
    for name in fields:
        if name not in bench.decimals:
            if not distances(found, {name: p[name]})[name] <= SAME:
                return False
            continue
        allowed = units * 10.0 ** -bench.decimals[name]
        off = np.abs(found[name] - p[name])
        if name == "variances":  # of which the root may have been rounded
            off = np.minimum(off, np.abs(np.sqrt(np.abs(found[name])) - np.sqrt(p[name])))
        if not off.max() <= allowed:
            return False
    return True


def _at_its_own_pace(bench: Bench, seen: Seen, fields: list[str]) -> bool:
    """Recognise iterations without effect: one answer, however many are asked for."""
    if not all(_equal(*path) for _, path in seen):
        return False
    places = []
    for problem, (found, _) in seen:
        if (place := bench.nearest(found, problem, PATH)) is None:
            return False
        places.append(place)
    bench.paced = False
    told = " and ".join(str(n) for n in places)
    bench.causes.append(
        Cause(
            "iterations without effect",
            "asked for one iteration and for two it gives the same; on two problems its answers "
            f"are those of EM after {told}, where it stops by a rule of its own",
            "do as many iterations as asked for, where a number can be given",
            choice=True,
        )
    )
    _ = fields
    return True


def _equal(a: Arrays, b: Arrays) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


def say_restricted(bench: Bench) -> None:
    """Say what the candidate leaves out."""
    found = bench.restriction
    lacks = ", ".join(sorted(bench.unreturned))
    if lacks:
        bench.causes.append(
            Cause(
                f"{lacks} not returned",
                f"two iterations are right in all that is handed back; the {lacks} can only be "
                "judged by what the next iteration makes of them",
                f"hand back the {lacks} as well",
                choice=True,
            )
        )
    bench.causes += [
        Cause(
            name,
            f"your iterations are those of EM for the model with {found.model}, which is what "
            "the other checks compare with",
            f"if you mean to estimate it, {_lower(told(name))}",
            bench.read("M-step"),
            choice=True,
        )
        for name in found.names
    ]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _say_rounded(bench: Bench) -> None:
    if not bench.decimals:
        return
    decimals = sorted(set(bench.decimals.values()))
    number = " and ".join(str(d) for d in decimals)
    which = "" if set(bench.decimals) == set(bench.fields) else f" ({', '.join(bench.decimals)})"
    last = 10.0 ** -decimals[0]
    bench.causes.append(
        Cause(
            f"rounded to {number} decimal{'' if decimals == [1] else 's'}",
            f"every entry{which} is a multiple of {last:.0e}, and at most half of that from the "
            "right one",
            "hand back the numbers as they are, and round where they are printed",
            choice=True,
        )
    )
