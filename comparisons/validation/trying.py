"""Which reading of a candidate is meant: by names, by shapes, and by a trial on a tiny problem.

A *reading* says what each slot of a driver means and in which form it is held. Each is tried on a
problem of which our own EM knows the answer; where several fit, the one is taken under which the
candidate is right.
"""

from __future__ import annotations

import heapq
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, override

import numpy as np

from lockstep.comparisons.legible import said as spoken
from lockstep.comparisons.validation import drivers, lifting, problems
from lockstep.comparisons.validation.binding import (
    ROLES,
    Answer,
    Arrays,
    copies,
    given,
    last,
    n_symbols,
    numbers,
    plain_numbers,
    same,
)
from lockstep.comparisons.validation.calling import Adapter, Estimator, begin_alike, recognise
from lockstep.comparisons.validation.drivers import (
    CONSTANT,
    LOOP,
    STEP,
    Driver,
    Numbered,
    ObjectDriver,
    TooLongError,
    alternatives,
    drivers_of,
    patience,
)
from lockstep.comparisons.validation.forms import (
    BOXES,
    Forms,
    decoded,
    encoded,
    layouts_of,
    shown,
    state_names,
    symbol_names,
    together,
    values_of_space,
)
from lockstep.comparisons.validation.reading import TargetError, file_of, load
from lockstep.comparisons.validation.vocabulary import (
    is_log_likelihood,
    meanings,
    words,
)
from lockstep.models.records import CollapseError

RIGHT = 1e-4
"""Relative difference at which a parameter is the one that is meant: results may be rounded."""

PATIENCE = 1.0
"""Seconds that a call of a trial may take."""

FIRST = 10.0
"""The same for the first: something may have to be compiled."""

BUDGET = 3.0
"""Seconds that all trials of a driver may take."""

MOST_TRIED = 400
"""Readings."""

COLUMN = "a column"

COUNTS = ("n_components", "n_features", "size", "columns", "iterations", "states", "symbols")
"""What a constant beside a function may be."""

LAST_LOOKS = 5
"""Readings whose neighbours are tried once the candidate can be called."""

SEVERAL = 300
"""Iterations of a fit from a start of its own."""


# --- a reading ------------------------------------------------------------------------------------


class Reading(Adapter):
    """A driver whose slots have a meaning, and a form.

    Parameters
    ----------
    model : Model
    driver : Driver
    roles : mapping of str to str
        What each slot is that will be filled.
    forms : Forms
    """

    def __init__(self, model: Any, driver: Driver, roles: Mapping[str, str], forms: Forms) -> None:
        super().__init__(model)
        self.driver, self.roles, self.forms = driver, dict(roles), forms
        self.text = driver.text
        self.picked: tuple[str, dict[str, int], int | None] | None = None
        self.kept: list[str] = []
        self.from_start = any(r in self.fields or r == "parameters" for r in roles.values())
        self.one_sequence = forms.one if self.sequences else None
        self.is_pair = driver.pair
        self.kind = self._kind()
        self._answers: Callable[[Mapping[str, Any]], tuple[int, bool]] | None = None

    def begins(self) -> None:
        """Take it for one that begins where it likes."""
        self.from_start = False
        own = (*self.fields, "parameters")
        self.roles = {slot: role for slot, role in self.roles.items() if role not in own}
        self.kind = self._kind()

    def _kind(self) -> str:
        if not self.from_start:
            return f"{self.driver.kind}, from its own start"
        return self.driver.kind

    @property
    def counts(self) -> bool:
        """Whether one call does several iterations."""
        return self.driver.counts or "iterations" in self.roles.values()

    @override
    def data(self, given: Any) -> Any:
        return shown(given, self.forms, sequences=self.sequences)

    def held(self, start: Arrays, name: str) -> Any:
        """Return a parameter as the candidate holds it."""
        axes = self.model.Parameters.SPACES[name].axes
        form = self.forms.fields.get(name, ("as it is", "as it is"))
        return encoded(start[name], form, self.forms.box, "".join(axes))

    def _values(self, start: Arrays, data: Any, iterations: int) -> dict[str, Any]:
        """Return what stands for each role."""
        values: dict[str, Any] = {"data": data, "iterations": iterations}
        if start:
            values |= {name: self.held(start, name) for name in self.fields}
            K = len(next(iter(start.values())))
            values["parameters"] = self._together(start)
            V = n_symbols(self.model, start)
            values |= {"n_components": K, "n_features": V, "states": state_names(K)}
            if V is not None:
                values["symbols"] = symbol_names(V)
            if self.forms.data != "strings" and self.forms.box != "dictionary":
                values["states"] = list(range(K))
                values["symbols"] = list(range(V or 0))
        columns = np.shape(data)[1] if np.ndim(_array(data)) == 2 else 1
        return values | {
            "tol": 0.0,
            "reg_covar": 0.0,
            "seed": 0,
            "quiet": False,
            "size": len(data),
            "columns": columns,
            "history": [],
            **({"n_features": columns} if not self.sequences else {}),
        }

    def _together(self, start: Arrays) -> Any:
        if self.forms.record == "record":
            return given(self.model, start)
        held = {name: self.held(start, name) for name in self.fields}

        def name_of(key: str) -> str | None:
            found = [r for r, _ in meanings(key, self.fields)]
            return next(("variances" if r == "sds" else r for r in found), None)

        return together(held, self.forms.record, name_of)

    def filled(self, start: Arrays, data: Any, iterations: int) -> dict[str, Any]:
        """Return a value for each slot that has a meaning."""
        values = self._values(start, data, iterations)
        return {
            slot: values[role]
            for slot, role in self.roles.items()
            if role in values and not (role == "tol" and not self.forms.tol)
        }

    def _called(self, start: Arrays, data: Any, iterations: int) -> Answer:
        arguments = self.filled(start, data, iterations)
        before = {name: copies(value) for name, value in arguments.items()}
        returned = self.driver(arguments, iterations)
        for name, value in arguments.items():
            if not same(value, before[name]):
                self.changed.add("data" if self.roles[name] == "data" else "parameters")
        return self._read(returned, start, arguments)

    def _read(self, returned: Any, start: Arrays, arguments: Mapping[str, Any]) -> Answer:
        ways = list(alternatives(returned, self.driver.names))
        if self.picked is None:
            self.picked = self._pick(ways, start)
        label, places, score = self.picked
        found = dict(ways).get(label)
        if found is None or any(i >= len(found) for i in places.values()):
            raise ValueError(
                f"a {type(returned).__name__} was returned, of another form than before"
            )
        parameters: Arrays = {}
        for name in self.fields:
            if name in places:
                value = self._decoded(name, found[places[name]][0], found[places[name]][1], start)
                parameters[name] = numbers(value, name)
            elif start:
                parameters[name] = self._left(name, start, arguments)
        if not places:
            what = "None" if returned is None else f"a {type(returned).__name__}"
            raise ValueError(f"{what} was returned, without {', '.join(self.fields)}")
        answer = Answer(parameters)
        self.kept = [name for name in self.fields if name not in places]
        if score is not None and score < len(found):
            answer.log_likelihood = last(found[score][1])
        return answer

    def _left(self, name: str, start: Arrays, arguments: Mapping[str, Any]) -> Any:
        """Return a parameter that was not returned: as it was changed in place, or as it was."""
        for slot, role in self.roles.items():
            if role == name:
                value = self._decoded(name, None, arguments[slot], start)
                if isinstance(value, np.ndarray) and value.shape == start[name].shape:
                    return value
        return start[name]

    def _decoded(self, name: str, said: str | None, value: Any, start: Arrays) -> Any:
        value_form, layout = self.forms.fields.get(name, ("as it is", "as it is"))
        if name == "variances" and said:
            roles = [r for r, cost in meanings(said, self.fields) if cost < 1]
            if "variances" in roles and "sds" not in roles:
                value_form = "as it is"
        shape = start[name].shape if start else self._own_shapes[name]
        return decoded(value, (value_form, layout), shape)

    _own_shapes: Mapping[str, tuple[int, ...]] = {}

    def _pick(
        self, ways: Sequence[tuple[str, Any]], start: Arrays
    ) -> tuple[str, dict[str, int], int | None]:
        """Return which of what was returned is which parameter, and which the log-likelihood."""
        best: tuple[Any, ...] | None = None
        chosen: tuple[str, dict[str, int], int | None] = ("whole", {}, None)
        for label, found in ways:
            for cost, places in self._placings(found, start):
                values = {
                    n: self._decoded(n, found[i][0], found[i][1], start) for n, i in places.items()
                }
                right, inside = self._answers(values) if self._answers else (0, True)
                key = (len(places) > 0, right, len(places), inside, -cost)
                if best is None or key > best:
                    best = key
                    chosen = (label, places, _score_of(found, places))
        return chosen

    def _placings(self, found: Any, start: Arrays) -> Iterator[tuple[float, dict[str, int]]]:
        options = []
        for order, name in enumerate(self._order()):
            there: list[tuple[float, int | None]] = []
            own = [s for s, r in self.roles.items() if r == name]
            if not self.driver.same_names or not any(s in own for s, _ in found):
                own = []
            for place, (said, value) in enumerate(found):
                if own and said not in own:
                    continue
                cost = self._cost(name, said, value, start)
                if cost is not None:
                    there.append((cost + 0.1 * abs(place - order), place))
            there.sort(key=lambda item: item[0])
            options.append([(name, c, p) for c, p in [*there[:5], (6.0, None)]])
        for combination in itertools.islice(itertools.product(*options), 500):
            places = [p for _, _, p in combination if p is not None]
            if places and len(set(places)) == len(places):
                yield (
                    sum(c for _, c, _ in combination),
                    {n: p for n, _, p in combination if p is not None},
                )

    def _order(self) -> list[str]:
        """Return the fields in the order in which they are taken, and then the others."""
        taken = [r for r in self.roles.values() if r in self.fields]
        return [*dict.fromkeys(taken), *(n for n in self.fields if n not in taken)]

    def _cost(self, name: str, said: str | None, value: Any, start: Arrays) -> float | None:
        """Return how unlikely it is that a value is this parameter; None if it cannot be."""
        array = self._decoded(name, said, value, start)
        shape = start[name].shape if start else self._own_shapes[name]
        known = dict(meanings(said, self.fields)) if said else {}
        if "sds" in known:
            known["variances"] = min(known.get("variances", 9.0), known["sds"])
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            return None
        if array.shape != shape:  # to be told, where the name says that it is meant
            return 4.0 + known[name] if known.get(name, 9.0) < 1 and array.size else None
        if said is None:
            return 1.0
        if name in known:
            return known[name]
        return 3.0 if not any(r in self.fields for r in known) else 5.0

    @override
    def iterate(self, start: Arrays, data: Any, iterations: int) -> Answer:
        if not iterations:
            return Answer(start)
        if self.counts:
            return self._called(start, data, iterations)
        answer = Answer(start)
        for _ in range(iterations):
            answer = self._called(answer.parameters, data, 1)
        return answer

    @property
    @override
    def counted(self) -> bool:
        return self.counts

    @override
    def configured(
        self,
        data: Any,
        n_components: int,
        n_features: int | None,
        seed: int,
        iterations: int | None = None,
    ) -> Answer:
        number = SEVERAL if iterations is None else iterations
        sizes = {"K": n_components, "V": n_features or 0, "D": self.model.shows.COLUMNS[0]}
        spaces = self.model.Parameters.SPACES
        shapes = {n: tuple(sizes[a] for a in spaces[n].axes) for n in self.fields}
        values = self._values({}, data, number)
        values |= {
            "n_components": n_components,
            "n_features": n_features,
            "seed": seed,
            "states": list(range(n_components)),
            "symbols": list(range(n_features or 0)),
        }
        unasked = () if iterations is not None else ("tol",)
        filled = {s: values[r] for s, r in self.roles.items() if r in values and r not in unasked}
        self._own_shapes = shapes
        begin_alike(seed)
        return self._read(self.driver(filled, number), {}, filled)

    @override
    def expect(self, start: Arrays, data: Any) -> dict[str, Any]:
        K = len(next(iter(start.values())))
        N = len(data)
        seen: dict[str, Any] = {}
        for value in self.driver.expectation(self.filled(start, data, 1)):
            array = value if isinstance(value, np.ndarray) else np.empty(0)
            name = "gamma" if self.sequences else "responsibilities"
            if N != K and array.shape in ((N, K), (K, N)) and name not in seen:
                array = array if array.shape == (N, K) else array.T
                if np.abs(array.sum(axis=1) - 1).max() < 1:
                    seen[name] = plain_numbers(array, name)
            elif self.sequences and array.shape == (N - 1, K, K):
                seen["xi"] = plain_numbers(array, "xi")
        return seen

    def told(self) -> str:
        """Return how the candidate is read, in words."""
        parts: list[str] = []
        for slot, role in self.roles.items():
            if slot.startswith("self.") and any(
                r == role and not s.startswith("self.") for s, r in self.roles.items()
            ):
                continue
            name = slot.removeprefix("call.").removeprefix("init.").removeprefix(CONSTANT)
            if role in (*self.fields, "data", "n_components", "iterations", "n_features"):
                meant = role
                if role == "variances" and self._held_as(role) == "standard deviations":
                    meant = "standard deviations"
                if words(name) != meant:
                    parts.append(f"{name} = {meant.replace('_', ' ')}")
        parts += [
            text
            for text in self.forms.said()
            if text != "variances as standard deviations" or "variances" not in self.roles.values()
        ]
        if self.forms.one:
            parts.append("a single sequence")
        if self.kept:
            parts.append(f"{', '.join(self.kept)} kept, since not returned")
        return "; ".join(parts)

    def _held_as(self, name: str) -> str:
        return self.forms.fields.get(name, ("as it is",))[0]


def _array(value: Any) -> Any:
    return value if isinstance(value, np.ndarray) else 0


def _score_of(found: Any, places: Mapping[str, int]) -> int | None:
    """Return which of what was returned is a log-likelihood."""
    rest = [i for i in range(len(found)) if i not in places.values()]
    for i in rest:
        if is_log_likelihood(found[i][0]) and not isinstance(found[i][1], Mapping):
            return i
    for i in rest:
        name, value = found[i]
        if name is None and isinstance(value, float | np.floating):
            return i
    return None


# --- the trial ------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Grade:
    """How far a reading came; the better are larger."""

    right: bool = False
    n_right: int = 0
    level: int = 0
    """0 it could not be called, 1 not be read, 2 has other shapes, 3 not finite, 4 outside the
    space, 5 inside."""
    far: int = 0
    error: str = field(default="", compare=False)


class Trial:
    """A tiny problem with the path that EM takes from its start.

    Parameters
    ----------
    model : Model
    K : int
    one : bool
        Whether there is a single sequence.
    """

    def __init__(self, model: Any, K: int, *, one: bool) -> None:
        self.model, self.one = model, one
        self.problem = problems.general(model.NAME, 21, K=K, size=13, one=one)
        self.roomy = problems.general(model.NAME, 21, K=K, size=60, one=one)
        self.fields = list(self.problem.start)
        self._paths: dict[tuple[str, ...], list[Arrays]] = {}

    def path(self, number: int, kept: Sequence[str] = ()) -> Arrays:
        """Return the parameters after so many iterations, some of them kept."""
        path = self._paths.setdefault(tuple(kept), [self.problem.start])
        data = self.problem.data
        while len(path) <= number:
            statistics, _ = self.model.e_step(self.model.Parameters(**path[-1]), data)
            made = self.model.m_step(statistics).arrays()
            path.append({**made, **{name: self.problem.start[name] for name in kept}})
        return path[number]

    def right(self, found: Mapping[str, Any], number: int, kept: Sequence[str] = ()) -> list[str]:
        """Return which of the parameters are right."""
        try:
            expected = self.path(number, kept)
        except CollapseError:  # with fields kept, on so few data
            return []
        return [n for n, a in found.items() if n not in kept and near(a, expected[n])]

    def answers(self, found: Mapping[str, Any]) -> tuple[int, bool]:
        """Return how good parameters are after one iteration."""
        return (len(self.right(found, 1)), _inside(self.model, found))

    def grade(self, adapter: Adapter, seconds: float = PATIENCE) -> Grade:
        """Return how far an adapter comes."""
        try:
            own = FIRST if not adapter.from_start else seconds
            with patience(own), np.errstate(all="ignore"):
                # On so few data as a start is tried on, fits to their end collapse.
                problem = self.problem if adapter.from_start else self.roomy
                data = adapter.data(
                    [s.tolist() for s in problem.data] if adapter.sequences else problem.data
                )
                if not adapter.from_start:
                    sizes = (problem.n_components, problem.n_features, 0)
                    found = adapter.configured(data, *sizes).parameters
                else:
                    found = adapter.iterate(problem.start, data, 1).parameters
        except ValueError as error:
            return _stopped(error)
        except BaseException as error:  # noqa: BLE001 - that is the answer
            return _stopped(error)
        if adapter.from_start and self._idle(adapter, found):
            return Grade(level=1, error="it left the parameters as they were given")
        return self._graded(adapter, found)

    def _idle(self, adapter: Adapter, found: Arrays) -> bool:
        """Return whether no number of iterations changes anything."""
        if not _unchanged(found, self.problem.start):
            return False
        try:
            with patience(PATIENCE), np.errstate(all="ignore"):
                data = adapter.data(self.problem.data)
                later = adapter.iterate(self.problem.start, data, 3).parameters
        except BaseException:  # noqa: BLE001 - then it does something
            return False
        return _unchanged(later, self.problem.start)

    def _graded(self, adapter: Adapter, found: Arrays) -> Grade:
        start = self.problem.start
        if any(n not in found or np.shape(found[n]) != start[n].shape for n in start):
            shapes = ", ".join(f"{n} {np.shape(a)}" for n, a in found.items())
            there = {n: found[n] for n in start if n in found}
            n_right = len(self.right(there, 1)) if adapter.from_start else 0
            return Grade(n_right=n_right, level=2, error=f"it returned the shapes {shapes}")
        if not all(np.isfinite(np.asarray(a, float)).all() for a in found.values()):
            finite = {n: a for n, a in found.items() if np.isfinite(np.asarray(a, float)).all()}
            n_right = len(self.right(finite, 1)) if adapter.from_start else 0
            return Grade(n_right=n_right, level=3, error="it returned numbers that are not finite")
        level = 5 if _inside(self.model, found) else 4
        if not adapter.from_start:
            return Grade(level=level)
        kept = getattr(adapter, "kept", [])
        right = self.right(found, 1)
        if not right and isinstance(adapter, Reading) and self._begins_anew(adapter, found):
            adapter.begins()
            return Grade(level=level)
        n_right = len([n for n in right if n not in kept])
        whole = n_right == len(start) - len(kept)
        return Grade(whole and self._again(adapter, kept), n_right, level)

    def _begins_anew(self, reading: Reading, found: Arrays) -> bool:
        """Return whether what an object is given to begin from makes no difference."""
        if not isinstance(reading.driver, ObjectDriver):
            return False
        try:
            other = {n: a[::-1].copy() for n, a in self.path(2).items()}
            with patience(PATIENCE), np.errstate(all="ignore"):
                again = reading.iterate(other, reading.data(self.problem.data), 1).parameters
        except BaseException:  # noqa: BLE001 - then it makes a difference
            return False
        return all(np.array_equal(again[n], a) for n, a in found.items())

    def _again(self, adapter: Adapter, kept: Sequence[str]) -> bool:
        """Return whether the third iteration is right too."""
        try:
            with patience(PATIENCE), np.errstate(all="ignore"):
                data = adapter.data(
                    [s.tolist() for s in self.problem.data]
                    if adapter.sequences
                    else self.problem.data
                )
                found = adapter.iterate(self.problem.start, data, 3).parameters
        except BaseException:  # noqa: BLE001 - then it is not right
            return False
        return len(self.right(found, 3, kept)) == len(found) - len(kept)


def _unchanged(found: Mapping[str, Any], start: Arrays) -> bool:
    def close(a: Any, b: Any) -> bool:  # but for a logarithm and back, say
        return np.shape(a) == b.shape and np.allclose(a, b, rtol=1e-9, atol=1e-12)

    return bool(found) and all(close(a, start[name]) for name, a in found.items())


def near(found: Any, expected: Any) -> bool:
    """Return whether a parameter is the one that is meant."""
    array = np.asarray(found)
    if array.shape != expected.shape or array.dtype.kind not in "fiu":
        return False
    return bool(np.abs(array - expected).max() <= RIGHT * max(1.0, np.abs(expected).max()))


def _inside(model: Any, found: Mapping[str, Any]) -> bool:
    for name, value in found.items():
        try:
            model.Parameters.SPACES[name].check(name, np.asarray(value, float))
        except (ValueError, ArithmeticError, TypeError):
            return False
    return True


def _stopped(error: BaseException) -> Grade:
    """Return how far a call came that raised."""
    trace, depth, far = error.__traceback__, 0, 0
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        ours = "validation" in file and "lockstep" in file.replace("comparisons", "lockstep")
        if not ours and not depth:
            far, depth = trace.tb_lineno - trace.tb_frame.f_code.co_firstlineno + 1, 1
        trace = trace.tb_next
    far = getattr(error, "line", far)
    read = isinstance(error, ValueError) and "returned" in str(error)
    return Grade(level=1 if read else 0, far=far, error=spoken(error))


# --- the search -----------------------------------------------------------------------------------


def assignments(
    driver: Driver, fields: Sequence[str], said: Mapping[str, str]
) -> list[tuple[float, dict[str, str]]]:
    """Return what the slots may mean, the likeliest first, each with its cost."""
    options: list[list[tuple[str, str | None, float]]] = []
    for slot in driver.slots:
        name = slot.name.rpartition(".")[2]
        if name in said:
            options.append([(slot.name, said[name], -10.0)])
            continue
        if name in driver.hints:
            role = driver.hints[name]
            options.append([(slot.name, role, -1.0), (slot.name, None, 2.0)])
            continue
        known: list[tuple[str | None, float]] = list(meanings(name, fields))
        own = slot.name.startswith(("self.", CONSTANT))
        if not slot.required:
            helpful = (*ROLES, "size", "columns")
            taken = fields if own else (*helpful, *fields, "sds", "data")
            taken = COUNTS if slot.name.startswith(CONSTANT) else taken
            known = [(r, c) for r, c in known if r in taken or (own and r == "sds")]
            if not known and not own:
                known = [("data", 2.5)]
            known = [*known[:4], (None, 0.6 if own else 0.9)]
        else:
            unknown = [r for r in (*fields, "data", "parameters") if r not in dict(known)]
            odd = 5.0 if known and known[0][1] < 1 else 3.0
            known = [*known[:5], *((r, odd + 0.1 * i) for i, r in enumerate(unknown))]
        options.append([(slot.name, role, cost) for role, cost in known])
    return _combined(options, driver, fields)


def _combined(
    options: list[list[tuple[str, str | None, float]]], driver: Driver, fields: Sequence[str]
) -> list[tuple[float, dict[str, str]]]:
    found: list[tuple[float, dict[str, str]]] = []
    partial: list[tuple[float, dict[str, str]]] = [(0.0, {})]
    for choices in options:
        grown = []
        for cost, roles in partial:
            for slot, role, more in choices:
                if role is None:
                    grown.append((cost + more, roles))
                elif not _taken(slot, role, roles):
                    grown.append((cost + more, {**roles, slot: role}))
        grown.sort(key=lambda item: item[0])
        partial = grown[:300]
    for cost, roles in partial:
        meant = {"variances" if r == "sds" else r for r in roles.values()}
        lacks = [n for n in fields if n not in meant] if "parameters" not in meant else []
        if isinstance(driver, ObjectDriver):
            lacks = [] if not meant & set(fields) else lacks
        if "data" not in meant:
            continue
        found.append((cost + (2.0 * len(lacks) if len(lacks) < len(fields) else 4.0), roles))
    found.sort(key=lambda item: item[0])
    return found


def _taken(slot: str, role: str, roles: Mapping[str, str]) -> bool:
    """Return whether another slot has that meaning; an attribute may repeat an argument's."""
    same_role = ("variances", "sds") if role in ("variances", "sds") else (role,)
    if role in ("quiet", "seed"):
        return False
    own = slot.startswith("self.")
    return any(r in same_role and s.startswith("self.") == own for s, r in roles.items())


def begun(model: Any, roles: Mapping[str, str], *, one: bool) -> tuple[dict[str, str], Forms]:
    """Return roles without ``sds``, and the forms that names suggest."""
    fields = {}
    plain_roles = {}
    for slot, role in roles.items():
        name = slot.rpartition(".")[2]
        if role == "sds":
            fields["variances"] = ("standard deviations", "as it is")
        elif role in model.Parameters.SPACES and words(name).startswith(("log_", "ln_")):
            fields[role] = ("logarithms", "as it is")
        plain_roles[slot] = "variances" if role == "sds" else role
    return plain_roles, Forms(fields=fields, one=one)


def moves(
    model: Any,
    roles: Mapping[str, str],
    forms: Forms,
    level: int,
    said: Mapping[str, str],
) -> Iterator[Forms]:
    """Yield other forms, one step away; fewer where the candidate can be called already."""
    spaces = model.Parameters.SPACES
    held = dict(forms.fields)

    def put(name: str, place: int, form: str) -> dict[str, tuple[str, str]]:
        pair = list(held.get(name, ("as it is", "as it is")))
        pair[place] = form
        return {**held, name: (pair[0], pair[1])}

    for name, space in spaces.items():
        slots = [s.rpartition(".")[2] for s, r in roles.items() if r == name]
        if not (certain(name, slots) or set(slots) & set(said)):
            for value in values_of_space(space):
                yield replace(forms, fields=put(name, 0, value))
    matrices = [n for n, s in spaces.items() if len(s.axes) == 2]
    for chosen in ([m] for m in matrices):
        for layout in ("turned", "as it is"):
            yield replace(forms, fields=put(chosen[0], 1, layout))
    if len(matrices) > 1:
        turned = {m: (held.get(m, ("as it is",))[0], "turned") for m in matrices}
        yield replace(forms, fields={**held, **turned})
    logs = {
        n: ("logarithms", "as it is") for n in spaces if "logarithms" in values_of_space(spaces[n])
    }
    if model.shows.SEQUENCES:
        yield replace(forms, fields={**held, **logs})
    if "tol" in roles.values():
        yield replace(forms, tol=not forms.tol)
    if level >= 4:
        return
    yield from _further(model, roles, forms, put)


def _further(model: Any, roles: Mapping[str, str], forms: Forms, put: Any) -> Iterator[Forms]:
    spaces = model.Parameters.SPACES
    sequences = model.shows.SEQUENCES
    if sequences:
        yield replace(forms, data="strings", box="dictionary", one=True)
        if "pandas" in sys.modules:
            yield replace(forms, data="strings", box="frame", one=True)
            yield replace(forms, box="frame")
        yield replace(forms, data="list", box="dictionary")
        yield replace(forms, one=not forms.one)
    for data in ("array", "list", "tuple", "list of arrays", "frame", "strings"):
        there = sequences if data == "strings" else "pandas" in sys.modules
        if there or data not in ("strings", "frame"):
            yield replace(forms, data=data)
    for box in BOXES:
        if box not in ("dictionary", "frame") or (sequences and box == "dictionary"):
            yield replace(forms, box=box)
    yield replace(forms, data="list", box="list")
    for layout in ("as it is", "a column", "a row", "turned"):
        yield replace(forms, layout=layout)
    for name, space in spaces.items():
        for layout in layouts_of(space):
            yield replace(forms, fields=put(name, 1, layout))
    vectors = [n for n, s in spaces.items() if len(s.axes) == 1]
    for layout in ("a column", "a row"):
        columns = {n: (forms.fields.get(n, ("as it is",))[0], layout) for n in vectors}
        yield replace(forms, fields={**forms.fields, **columns})
        yield replace(forms, fields={**forms.fields, **columns}, layout=layout)
    if "variances" in spaces:
        cube = {"means": ("as it is", "a column"), "variances": ("as it is", "1 x 1 matrices")}
        yield replace(forms, fields={**forms.fields, **cube}, layout="a column")
        yield replace(
            forms, fields={**forms.fields, "means": ("as it is", "a column")}, layout="a column"
        )
    if "covariances" in spaces:
        turned = {"means": ("as it is", "turned")}
        last_axis = {**turned, "covariances": ("as it is", "components last")}
        yield replace(forms, fields={**forms.fields, **turned}, layout="turned")
        yield replace(forms, fields={**forms.fields, **last_axis})
        yield replace(forms, fields={**forms.fields, **last_axis}, layout="turned")
    if "parameters" in roles.values():
        for record in ("record", "dictionary", "tuple", "list", "flat array"):
            yield replace(forms, record=record)


def certain(name: str, slots: Sequence[str]) -> bool:
    """Return whether names say in which form a parameter is held."""
    if name == "variances":
        return any(words(s) in CERTAIN or s.startswith("var") for s in slots)
    return False


CERTAIN = ("variances", "variance", "var", "vars", "sigma2", "sigma_squared", "sds", "stds", "std")
"""Names that leave no doubt whether they are variances."""


@dataclass
class Tried:
    """What a search found."""

    adapter: Adapter | None
    grade: Grade
    number: int = 0
    only: int | None = None


def search(
    driver: Driver,
    model: Any,
    K: int,
    said: Mapping[str, str] | None = None,
    budget: float = BUDGET,
    floor: Grade | None = None,
) -> Tried:
    """Return the reading of a driver that comes furthest.

    Parameters
    ----------
    driver : Driver
    model : Model
    K : int
        Components of the problem.
    said : mapping of str to str, optional
        Meanings that are given.
    budget : float, optional
        Seconds.
    floor : Grade, optional
        Of a reading that is there already: it decides how far to look.
    """
    until = time.monotonic() + budget
    spaces = tuple(model.Parameters.SPACES)
    trials = {
        one: Trial(model, K, one=one)
        for one in ((True, False) if model.shows.SEQUENCES else (False,))
    }
    best = Tried(None, Grade())
    heap: list[Any] = []
    seen: set[Any] = set()
    order = itertools.count()
    level = floor.level if floor is not None else 0

    def attempt(roles: dict[str, str], forms: Forms, cost: float) -> bool:
        key = (tuple(sorted(roles.items())), forms.key())
        if key in seen or time.monotonic() > until or best.number >= MOST_TRIED:
            return False
        seen.add(key)
        trial = trials[forms.one]
        adapter = Reading(model, driver, roles, forms)
        adapter._answers = trial.answers
        grade = trial.grade(adapter)
        adapter._answers = None
        best.number += 1
        if best.adapter is None or grade > best.grade:
            best.adapter, best.grade = adapter, grade
        heapq.heappush(heap, (-_worth(grade), cost, next(order), roles, forms))
        return grade.right

    choices = assignments(driver, spaces, said or {})[:40]
    for cost, roles in choices:
        if level >= 4 and cost > choices[0][0] + 1:
            break
        for one in trials:
            if attempt(*begun(model, roles, one=one), cost):
                return best
    opened = 0
    while heap and time.monotonic() < until and best.number < MOST_TRIED:
        worth, cost, _, roles, forms = heapq.heappop(heap)
        if max(level, best.grade.level) >= 4:  # it can be called: only what names leave open
            opened += 1
            if opened > LAST_LOOKS:
                break
        for other in moves(model, roles, forms, max(level, _level(worth)), said or {}):
            if attempt(roles, other, cost + 1):
                return best
    return best


def _worth(grade: Grade) -> float:
    return 1000 * grade.n_right + 100 * grade.level + min(grade.far, 99)


def _level(worth: float) -> int:
    return 5 if -worth >= 1000 else int(-worth // 100)


# --- what is taken --------------------------------------------------------------------------------


def understood(target: Any, model: Any, said: Mapping[str, str] | None = None) -> Adapter:
    """Return how an object is driven.

    Parameters
    ----------
    target : object
    model : Model
    said : mapping of str to str, optional
        What names stand for.

    Raises
    ------
    TargetError
        If there is no way.
    """
    found = _tried(target, model, said or {})
    if found.adapter is None:
        raise TargetError(found.grade.error)
    return found.adapter


def _tried(target: Any, model: Any, said: Mapping[str, str], budget: float = BUDGET) -> Tried:
    """Return the adapter of an object, with how far it came; or why there is none."""
    first = Tried(None, Grade())
    refusal = ""
    if not said and not isinstance(target, Driver):
        try:
            first = _by_names(target, model)
        except TargetError as error:
            refusal = str(error)
    if first.grade.right or (first.adapter is not None and first.grade.level < 0):
        return first
    ways = drivers_of(target)
    K = 2 if ways and all(isinstance(w, Numbered) for w in ways) else 3
    found = _furthest(ways, model, K, said, budget, first.grade)
    if K == 2 and _usable(found):
        return _two(found)
    if found.grade.right:
        return _of_three(found, model)
    if first.grade.level >= 3:
        better = (found.grade.n_right, found.grade.level) > (first.grade.n_right, first.grade.level)
        return found if better and not _revalued(found.adapter) else first
    second = None if found.grade.n_right else _of_two(first, ways, model, said, budget)
    if second is not None:
        return second
    if _usable(found):
        return found
    if first.adapter is not None:
        return first
    return Tried(None, Grade(error=_told(refusal, target, found)))


def _revalued(adapter: Adapter | None) -> bool:
    """Return whether a reading takes names for other values than they say."""
    if not isinstance(adapter, Reading):
        return False
    named = [r for s in adapter.driver.slots for r, _ in meanings(s.name, adapter.fields)[:1]]
    said_sds = "sds" in named
    held = adapter.forms.fields.get("variances", ("as it is", ""))[0]
    return "variances" in adapter.fields and (held == "standard deviations") != said_sds


def _by_names(target: Any, model: Any) -> Tried:
    """Return the adapter that names alone give, tried."""
    adapter = recognise(target, model)
    if isinstance(adapter, Estimator) and adapter.from_start:
        return Tried(adapter, Grade(right=True))
    ones: tuple[bool, ...] = (False,)
    if adapter.sequences:
        ones = (False, True) if adapter.one_sequence is None else (adapter.one_sequence,)
    grades = []
    for one in ones:
        adapter.one_sequence = one
        grades.append(Trial(model, 3, one=one).grade(adapter, FIRST))
        if grades[-1].error.startswith(TooLongError.__name__):
            adapter.one_sequence = ones[0] if len(ones) == 1 else None
            return Tried(adapter, Grade(level=-1))
    best = max(range(len(ones)), key=lambda i: (grades[i].right, grades[i].level, -i))
    adapter.one_sequence = ones[best]
    adapter.changed.clear()
    return Tried(adapter, grades[best])


def _furthest(
    ways: Sequence[Driver],
    model: Any,
    K: int,
    said: Mapping[str, str],
    budget: float,
    floor: Grade,
) -> Tried:
    best = Tried(None, Grade())
    for driver in ways:
        found = search(driver, model, K, said, budget / len(ways), floor)
        found.number += best.number
        if found.adapter is not None and (best.adapter is None or found.grade > best.grade):
            best = found
        else:
            best.number = found.number
        if best.grade.right:
            break
    return best


def _usable(found: Tried) -> bool:
    """Return whether a reading can be judged: it can be called, and not all is kept."""
    kept = getattr(found.adapter, "kept", [])
    if found.adapter is None:
        return False
    if found.grade.n_right:
        return found.grade.level >= 2
    return found.grade.level >= 4 and not kept


def _of_two(
    first: Tried, ways: Sequence[Driver], model: Any, said: Mapping[str, str], budget: float
) -> Tried | None:
    """Return an adapter that takes two components alone."""
    if first.adapter is not None:
        one = bool(first.adapter.one_sequence)
        grade = Trial(model, 2, one=one).grade(first.adapter)
        if grade.level >= 4 and grade.n_right:
            return _two(Tried(first.adapter, grade))
    found = _furthest(ways, model, 2, said, budget, Grade())
    return _two(found) if _usable(found) and found.grade.n_right else None


def _of_three(found: Tried, model: Any) -> Tried:
    """Return what is right for three components, with whether it takes others."""
    assert found.adapter is not None
    one = bool(found.adapter.one_sequence)
    if not Trial(model, 2, one=one).grade(found.adapter).level:
        found.adapter.only = 3
    return found


def _two(found: Tried) -> Tried:
    assert found.adapter is not None
    found.adapter.only = 2
    return found


def _told(refusal: str, target: Any, found: Tried) -> str:
    """Return why nothing could be called, with what was tried."""
    parts = [refusal] if refusal else []
    if isinstance(found.adapter, Reading):
        parts.append(
            f"{found.number} readings were tried; the one that came furthest "
            f"({found.adapter.driver.text}; {found.adapter.told() or 'names as they are'}) "
            f"ended with: {found.grade.error}"
        )
        unbound = [
            s.name.rpartition(".")[2]
            for s in found.adapter.driver.slots
            if s.required and not meanings(s.name.rpartition(".")[2], found.adapter.fields)
        ]
        parts += [
            f"Say what {n} is: --map {n}={found.adapter.roles.get(n, 'data')}" for n in unbound
        ]
    elif not refusal:
        parts.append(f"there is no way to drive {type(target).__name__!r}")
    return "\n".join(parts)


# --- what a target names --------------------------------------------------------------------------


def taken(
    target: str, folder: Path, model: Any, said: Mapping[str, str], *, trial: bool = True
) -> Adapter:
    """Return how what a target names is driven.

    Parameters
    ----------
    target : str
        An object (`reading.load`), or a whole script or notebook.
    folder : Path
    model : Model
    said : mapping of str to str
        What names stand for.
    trial : bool, optional
        Whether it may be tried; else names alone decide.

    Raises
    ------
    TargetError
    """
    path = file_of(target, folder)
    if path is not None:
        return _of_file(path, model, said)
    found = load(target, folder)
    return understood(found, model, said) if trial else recognise(found, model)


def _of_file(path: Path, model: Any, said: Mapping[str, str]) -> Adapter:
    """Return what comes furthest of all that a file holds."""
    source = lifting.opened(path)
    fields = tuple(model.Parameters.SPACES)
    held = _held(source, fields)
    parts = [n for n, _ in held if n.isidentifier() and not drivers.called(n, f"{LOOP}|{STEP}")]
    best, number, told = Tried(None, Grade()), 0, []
    for label, target in held[:12]:
        try:
            found = _tried(target, model, said, BUDGET / min(len(held), 3))
        except TargetError as error:
            told.append(f"{label}: {error}")
            continue
        number += found.number
        if label in parts and len(getattr(found.adapter, "kept", [])) > 1:
            continue  # a part of an iteration, an E-step say
        if found.adapter is None:
            told.append(f"{label}: {found.grade.error}")
        elif best.adapter is None or found.grade > best.grade:
            best = found
        if best.grade.right:
            break
    if best.adapter is None or (best.grade.level < 4 and not best.grade.n_right):
        raise TargetError(_nothing(source, held, told, best))
    if source.blanks and isinstance(best.adapter, Reading) and best.adapter.forms.layout == COLUMN:
        raise TargetError(_nothing(source, held, told, best))  # what is filled in is another model
    return best.adapter


def _held(source: lifting.Source, fields: Sequence[str]) -> list[tuple[str, Any]]:
    """Return what a file holds that may be EM, the likeliest first, each with its name."""
    loops = lifting.scripts(source, fields)
    found: list[tuple[str, Any]] = [(s.text, s) for s in loops]
    functions, classes = lifting.defined(source)
    if not (functions or classes):
        return found
    module = lifting.definitions(source)
    there = {n: getattr(module, n) for n in (*functions, *classes) if hasattr(module, n)}
    whole = [n for n in there if n in classes or drivers.called(n, f"{LOOP}|{STEP}")]
    pairs = [
        (e, m)
        for e in functions
        if drivers.called(e, drivers.E_STEP)
        for m in functions
        if drivers.called(m, drivers.M_STEP)
    ]
    found += [(n, there[n]) for n in whole]
    found += [(f"{e},{m}", (there[e], there[m])) for e, m in pairs if e in there and m in there]
    rest = [n for n in there if n not in whole and _takes(there[n], fields)]
    return [*found, *((n, there[n]) for n in rest)]


def _takes(function: Any, fields: Sequence[str]) -> bool:
    """Return whether a function's arguments may be data and parameters."""
    known = [dict(meanings(a.name, fields)) for a in drivers.arguments(function)]
    own = {r for k in known for r in k if r in (*fields, "sds", "parameters")}
    return any("data" in k for k in known) and bool(own)


def _nothing(source: lifting.Source, held: Sequence[Any], told: Sequence[str], best: Tried) -> str:
    """Return why nothing in a file can be validated."""
    name = source.path.name
    if source.blanks:
        shown = "\n".join(f"  {text}" for text in source.blanks[:12])
        return f"{name} has blanks that are still to be filled in:\n{shown}"
    if not held:
        functions, classes = lifting.defined(source)
        there = ", ".join([*functions, *classes]) or "nothing"
        return (
            f"{name} has no loop over a model's parameters, and no function or class that takes "
            f"them; it defines {there}"
        )
    parts = list(told)
    if best.adapter is not None:
        parts.append(f"{best.adapter.text}: {best.grade.error}")
    return f"nothing in {name} could be called:\n" + "\n".join(parts)
