"""What can be driven: a function, two functions, an object with state; each by named slots.

A driver is given a value for each slot that has a meaning, and gives back what came out, by name
where there is one. What the slots mean is not known here (`trying`).
"""

from __future__ import annotations

import ast
import copy
import inspect
import itertools
import re
import signal
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, override

import numpy as np

from lockstep.comparisons.validation.forms import unboxed
from lockstep.comparisons.validation.vocabulary import is_expectation, plain, words

type Outputs = list[tuple[str | None, Any]]


@dataclass(frozen=True)
class Slot:
    """An argument, or an attribute that is set.

    Attributes
    ----------
    name : str
        As its owner calls it.
    required : bool
    """

    name: str
    required: bool = True


def arguments(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the arguments of a function that can be named; none if it does not say."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return []
    stars = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [a for a in signature.parameters.values() if a.kind not in stars]


def slots_of(function: Callable[..., Any]) -> list[Slot]:
    """Return the slots of a function."""
    return [Slot(a.name, a.default is a.empty) for a in arguments(function)]


def written(function: Callable[..., Any]) -> str:
    """Return a function's name and signature."""
    try:
        signature = str(inspect.signature(function))
    except (TypeError, ValueError):
        signature = "(...)"
    return f"{getattr(function, '__name__', type(function).__name__)}{signature}"


class TooLongError(Exception):
    """A call took longer than its patience."""


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """End what takes longer, where a signal can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise TooLongError(f"no answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- what comes back ------------------------------------------------------------------------------


def _named(node: ast.expr | None) -> str | None:
    match node:
        case ast.Name(name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=inner) | ast.Starred(value=inner):
            return _named(inner)
        case ast.Call(func=ast.Attribute(value=ast.Name("np" | "numpy")), args=[inner, *_]):
            return _named(inner)
        case ast.Call(func=ast.Attribute(value=inner, attr="copy" | "tolist" | "reshape")):
            return _named(inner)
        case ast.Call(func=ast.Name("list" | "tuple" | "dict"), args=[inner]):
            return _named(inner)
    return None


def returned_names(function: Callable[..., Any]) -> list[str | None]:
    """Return the names of what a function returns last, as its source has them."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return []
    top = tree.body[0] if tree.body else None
    if not isinstance(top, ast.FunctionDef):
        return []
    found: list[str | None] = []
    for node in _own(top):
        if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
            if isinstance(node.value, ast.Tuple | ast.List):
                names = [_named(item) for item in node.value.elts]
            else:
                names = [_named(node.value)]
            if len(names) >= len(found):
                found = names
    return found


def _own(function: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield node
            yield from _own(node)


def _attributes(value: Any) -> dict[str, Any] | None:
    """Return the attributes of an object that only holds values."""
    if isinstance(value, np.ndarray | str | bytes | int | float | Mapping) or value is None:
        return None
    if type(value).__module__.startswith(("pandas", "numpy")):
        return None
    if hasattr(value, "_asdict"):
        return dict(value._asdict())
    held = getattr(value, "__dict__", None)
    return dict(held) if held and not callable(value) else None


def alternatives(returned: Any, names: Sequence[str | None]) -> Iterator[tuple[str, Outputs]]:
    """Yield the ways in which what was returned may be taken apart, the likeliest first."""
    held = _attributes(returned)
    if held is not None:
        yield "attributes", list(held.items())
    if isinstance(returned, Mapping):
        yield "keys", [(str(k), v) for k, v in returned.items()]
        yield "whole", [(next(iter(names), None), returned)]
        return
    if isinstance(returned, tuple | list):
        if len(names) != len(returned):
            names = [None] * len(returned)
        parts: Outputs = list(zip(names, returned))
        yield "values", parts
        flat: Outputs = []
        for name, part in parts:
            inner = _attributes(part)
            if isinstance(part, Mapping):
                inner = {str(k): v for k, v in part.items()}
            if inner is not None:
                flat += list(inner.items())
            elif isinstance(part, tuple | list) and any(np.ndim(p) for p in _safe(part)):
                flat += [(None, p) for p in part]
            else:
                flat.append((name, part))
        if len(flat) != len(parts):
            yield "values of values", flat
        if parts and isinstance(parts[-1][1], Mapping | tuple):
            for label, found in alternatives(parts[-1][1], []):
                yield f"last, {label}", found
        if all(isinstance(p, list | np.ndarray) and len(p) for _, p in parts if np.ndim(_one(p))):
            yield "last of each", [(n, p[-1] if _long(p) else p) for n, p in parts]
    yield "whole", [(names[0] if len(names) == 1 else None, returned)]


def _one(value: Any) -> Any:
    return value if isinstance(value, list | np.ndarray) else 0


def _long(value: Any) -> bool:
    return isinstance(value, list | np.ndarray) and np.ndim(_one(value)) > 0 and len(value) > 0


def _safe(parts: Sequence[Any]) -> list[Any]:
    return [p for p in parts if isinstance(p, np.ndarray | list | tuple)]


# --- drivers --------------------------------------------------------------------------------------


class Driver:
    """Something that iterates EM when its slots are filled.

    Attributes
    ----------
    kind, text : str
        What it is, and how it is called.
    slots : list of Slot
    counts : bool
        Whether it does any number of iterations by itself, whatever its arguments are.
    pair : bool
        Whether its E-step can be seen.
    same_names : bool
        Whether what it is given and what comes out are called the same.
    names : list of str or None
        Of what it returns.
    hints : dict
        What slots are, as far as values say it; None for one that is left as it is.
    """

    kind = ""
    text = ""
    counts = False
    pair = False
    same_names = False

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self.names: list[str | None] = []
        self.hints: dict[str, str | None] = {}

    def __call__(self, values: dict[str, Any], iterations: int) -> Any:
        """Return what comes out."""
        raise NotImplementedError

    def expectation(self, values: dict[str, Any]) -> list[Any]:  # noqa: ARG002
        """Return what the E-step returned."""
        return []


CONSTANT = "constant."
"""Before the name of a slot that is a constant beside a function."""


def constants(*functions: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """Return the numbers and lists beside functions that they read, each with where it is."""
    found: dict[str, dict[str, Any]] = {}
    waiting, seen = list(functions), set()
    while waiting:
        function = waiting.pop()
        if not inspect.isfunction(function) or function in seen:
            continue
        seen.add(function)
        for name in function.__code__.co_names:
            value = function.__globals__.get(name)
            if inspect.isfunction(value) and value.__globals__ is function.__globals__:
                waiting.append(value)
            elif type(value) in (int, list, np.ndarray):
                found[name] = function.__globals__
    return found


@contextmanager
def beside(values: Mapping[str, Any], places: Mapping[str, dict[str, Any]]) -> Iterator[None]:
    """Give constants other values."""
    put = {n: values[CONSTANT + n] for n in places if CONSTANT + n in values}
    before = {name: places[name][name] for name in put}
    for name, value in put.items():
        places[name][name] = value
    try:
        yield
    finally:
        for name, value in before.items():
            places[name][name] = value


class FunctionDriver(Driver):
    """A function, or a generator of each iteration's parameters."""

    def __init__(
        self, function: Callable[..., Any], text: str = "", kind: str = "function"
    ) -> None:
        self.places = constants(function)
        slots = [Slot(CONSTANT + name, required=False) for name in self.places]
        super().__init__([*slots_of(function), *slots])
        self.function, self.kind = function, kind
        self.text = text or written(function)
        self.names = returned_names(function)
        self.by_place = [a.name for a in arguments(function) if a.kind is a.POSITIONAL_ONLY]
        self.counts = inspect.isgeneratorfunction(function)
        if self.counts:
            self.kind = "generator"

    @override
    def __call__(self, values: dict[str, Any], iterations: int) -> Any:
        placed = [values[name] for name in self.by_place if name in values]
        named = {n: v for n, v in values.items() if n not in self.by_place}
        named = {n: v for n, v in named.items() if not n.startswith(CONSTANT)}
        with beside(values, self.places):
            made = self.function(*placed, **named)
            if not inspect.isgenerator(made):
                return made
            last = None
            for last in itertools.islice(made, iterations):  # noqa: B007 - the last one is wanted
                pass
            return last


class PairDriver(Driver):
    """An E-step and an M-step."""

    kind = "E-step and M-step"
    counts = True
    pair = True

    def __init__(self, e_step: Callable[..., Any], m_step: Callable[..., Any]) -> None:
        self.e_step, self.m_step = e_step, m_step
        taken = slots_of(e_step)
        names = {slot.name for slot in taken}
        self.e_names, self.names = returned_names(e_step), returned_names(m_step)
        self.spare = [a.name for a in arguments(m_step) if self._is_spare(a.name, names)]
        others = [s for s in slots_of(m_step) if s.name not in names and s.name not in self.spare]
        self.places = constants(e_step, m_step)
        slots = [Slot(CONSTANT + name, required=False) for name in self.places]
        super().__init__([*taken, *others, *slots])
        self.names = returned_names(m_step)
        self.counts = False
        self.text = f"{written(e_step)} and {written(m_step)}"
        self.taken, self.wanted = names, {a.name for a in arguments(m_step)}
        again = {*self.names, *self.spare}
        self.updated = [n for n in self.e_names if n in names and n not in (*again, None)]
        self.names += self.updated

    def _is_spare(self, name: str, taken: set[str]) -> bool:
        return name in self.e_names or (name not in taken and is_expectation(name))

    def _expected(self, values: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        returned = self.e_step(**{n: v for n, v in values.items() if n in self.taken})
        return handed_on(returned, self.e_names, self.spare)

    @override
    def __call__(self, values: dict[str, Any], iterations: int) -> Any:
        with beside(values, self.places):
            return self._iterated(values)

    def _iterated(self, values: dict[str, Any]) -> Any:
        spare, expected = self._expected(values)
        rest = {n: v for n, v in values.items() if n in self.wanted and n not in self.spare}
        returned = self.m_step(**rest, **spare)
        if not self.updated:
            return returned
        parts = list(returned) if isinstance(returned, tuple | list) else [returned]
        return (*parts, *(expected[self.e_names.index(n)] for n in self.updated))

    @override
    def expectation(self, values: dict[str, Any]) -> list[Any]:
        with beside(values, self.places):
            return self._expected(values)[1]


def handed_on(
    returned: Any, names: Sequence[str | None], spare: Sequence[str]
) -> tuple[dict[str, Any], list[Any]]:
    """Return what an M-step is given of what the E-step returned, by name, and all of it."""
    parts = list(returned) if type(returned) is tuple else [returned]
    if not spare:
        return {}, parts
    by_name = dict(zip(names, parts)) if len(names) == len(parts) else {}
    if all(name in by_name for name in spare):
        return {name: by_name[name] for name in spare}, parts
    arrays = [p for p in parts if not isinstance(p, float | int | np.floating) and p is not None]
    if len(spare) == 1:
        whole = len(arrays) > 1 and not all(isinstance(a, np.ndarray) for a in arrays)
        return {spare[0]: returned if whole or not arrays else arrays[0]}, parts
    return dict(zip(spare, arrays)), parts


class Numbered(Driver):
    """Two components whose parameters are numbers of their own: ``mu1, mu2, sigma1, sigma2, pi``.

    Parameters
    ----------
    inner : Driver
    groups : mapping of str to list of str
        The slots that are one parameter.
    share : int
        Of which component a single number is the weight.
    """

    def __init__(self, inner: Driver, groups: Mapping[str, list[str]], share: int) -> None:
        self.inner, self.groups, self.share = inner, groups, share
        self.alone = [
            s.name
            for s in inner.slots
            if not any(s.name in names for names in groups.values()) and plain(s.name) in SHARES
        ]
        if any(stem in SHARES for stem in groups):
            self.alone = []
        numbered = {name for names in groups.values() for name in names}
        slots = [Slot(stem) for stem in groups]
        slots += [Slot(s.name, s.required) for s in inner.slots if s.name not in numbered]
        super().__init__(slots)
        self.kind, self.text = inner.kind, inner.text
        self.counts = inner.counts

    @override
    def __call__(self, values: dict[str, Any], iterations: int) -> Any:
        split: dict[str, Any] = {}
        for name, value in values.items():
            if name in self.groups:
                split |= dict(zip(self.groups[name], (float(v) for v in value), strict=True))
            elif name in self.alone and np.ndim(value) == 1:
                first, second = value
                split[name] = float(second if self.share else first)
            else:
                split[name] = value
        return self._joined(self.inner(split, iterations))

    def _joined(self, returned: Any) -> dict[str, Any]:
        _, outputs = next(alternatives(returned, self.inner.names))
        order = [s.name for s in self.inner.slots if self._is_number(s.name)]
        if not all(name for name, _ in outputs[: len(order)]):
            outputs = [*zip(order, (v for _, v in outputs)), *outputs[len(order) :]]
        found = {name: value for name, value in outputs if name is not None}
        joined: dict[str, Any] = dict(found)
        for stem, names in self.groups.items():
            if all(name in found for name in names):
                joined[stem] = [found[name] for name in names]
        for name in self.alone:
            if name in found and np.ndim(found[name]) == 0:
                p = float(found[name])
                joined[name] = [1 - p, p] if self.share else [p, 1 - p]
        return joined

    def _is_number(self, name: str) -> bool:
        return name in self.alone or any(name in names for names in self.groups.values())


SHARES = [
    "pi",
    "w",
    "p",
    "weight",
    "alpha",
    "lam",
    "lambda_",
    "lambda",
    "tau",
    "phi",
    "mix",
    "theta",
    "pi1",
    "pi2",
    "w1",
    "w2",
    "p1",
    "mixing",
]
"""Names of the weight of one of two components."""


def numbered(driver: Driver) -> list[Driver]:
    """Return a driver, or where it takes ``mu1, mu2`` those that give it numbers."""
    groups: dict[str, list[str]] = {}
    for slot in driver.slots:
        if match := re.fullmatch(r"([a-zA-Z_]+?)_?([0-9ab])", slot.name):
            groups.setdefault(match[1], []).append(slot.name)
    pairs = {stem: sorted(names) for stem, names in groups.items() if len(names) == 2}
    if len(pairs) < 2:
        return [driver]
    return [Numbered(driver, pairs, share) for share in (0, 1)]


E_STEP = r"e|e_?step|expectation(_?step)?|_?do_e_step|calc_?e_?step|expect|compute_?resp\w*|"
E_STEP += (
    r"get_?expectations?|(compute|calculate|update)_responsibilit\w*|responsibilit\w*|posteriors?"
)
M_STEP = r"m|m_?step|maximi[sz]ation(_?step)?|maximi[sz]e|update_(params?|parameters)|"
M_STEP += r"re_?estimate(_parameters)?"
STEP = r"(em|one|single|baum_?welch|bw)_?(step|iteration|iter|update)|step|iterate|update|iteration"
LOOP = r"fit|train(ing)?|run|em|learn|estimate|solve|optimi[sz]e|baum_?welch\w*|run_\w*em\w*|"
LOOP += r"expectation_maximi[sz]ation|fit_em|em_algorithm|train_\w+|fit_\w+|em_fit|em_loop|bw|"
LOOP += r"\w*_em|em_\w+|\w*baum_?welch\w*|gmm|gaussian_mixture\w*|mixture_of_gaussians|"
LOOP += r"run_?em\w*|learn_\w+"
INIT = r"init\w*|_?initiali[sz]e\w*|reset\w*|set_?up|random_init\w*|start"


def called(name: str, pattern: str) -> bool:
    """Return whether a name is one of those of a pattern."""
    return re.fullmatch(pattern, words(name)) is not None or (
        re.fullmatch(pattern, name.lower().strip("_")) is not None
    )


class ObjectDriver(Driver):
    """An object that keeps its parameters in attributes.

    Parameters
    ----------
    target : type or object
    plan : str
        ``pair``, ``step`` or ``loop``.
    methods : sequence of str
    """

    def __init__(self, target: Any, plan: str, methods: Sequence[str]) -> None:
        self.target, self.plan, self.methods = target, plan, tuple(methods)
        cls = target if isinstance(target, type) else type(target)
        made = slots_of(cls) if isinstance(target, type) else []
        self.begun = [n for n in _methods(cls) if called(n, INIT) and n not in methods]
        self.held = attributes_of(cls)
        self.returns = returned_names(getattr(cls, methods[0]))
        spare: list[str] = []
        if plan == "pair":
            m_arguments = [a.name for a in arguments(getattr(cls, methods[1]))[1:]]
            spare = [n for n in m_arguments if n in self.returns or is_expectation(n)]
        self.spare = spare
        super().__init__(self._slots(cls, made))
        self.text = f"{cls.__qualname__}: {', '.join(methods)}"
        self.kind = {
            "pair": "object with an E-step and an M-step",
            "step": "object with a step",
            "loop": "object that iterates",
        }[plan]
        self.pair = plan == "pair"
        self.counts = plan != "loop"
        self.names = []
        self.put: dict[str, str] = {}

    def _slots(self, cls: type, made: list[Slot]) -> list[Slot]:
        found = {f"init.{s.name}": Slot(f"init.{s.name}", s.required) for s in made}
        for method in (*self.methods, *self.begun):
            for slot in slots_of(getattr(cls, method))[1:]:
                if slot.name not in self.spare:
                    name = f"call.{slot.name}"
                    required = slot.required and method in self.methods
                    found[name] = Slot(name, required or found.get(name, slot).required)
        asked = {s.name for s in made if s.required}
        for name in self.held:
            if name in asked:  # given when it is made
                continue
            found[f"self.{name}"] = Slot(f"self.{name}", required=False)
        return list(found.values())

    def _call(self, made: Any, method: str, values: dict[str, Any], **spare: Any) -> Any:
        function = getattr(made, method)
        wanted = [a.name for a in arguments(function)]
        given = {n: values[f"call.{n}"] for n in wanted if f"call.{n}" in values}
        return function(**{**given, **{k: v for k, v in spare.items() if k in wanted}})

    def _made(self, values: dict[str, Any]) -> Any:
        """Return an object with the parameters in it."""
        if isinstance(self.target, type):
            made = self.target(**{n[5:]: v for n, v in values.items() if n.startswith("init.")})
        else:
            made = copy.deepcopy(self.target)
        put = {n[5:]: v for n, v in values.items() if n.startswith("self.")}
        if any(_there(made, name) is None for name in put):
            for method in self.begun:
                self._call(made, method, values)

        def place(*_: Any, **__: Any) -> None:
            for name, value in put.items():
                owner, _dot, entry = name.partition(".")
                if entry:
                    getattr(made, owner)[entry] = alike(value, _there(made, name))
                else:
                    setattr(made, name, alike(value, _there(made, name)))

        place()
        if self.plan == "loop" and put:
            for method in self.begun:  # it would begin anew
                setattr(made, method, _after(getattr(made, method), place))
        return made

    @override
    def __call__(self, values: dict[str, Any], iterations: int) -> Any:
        made = self._made(values)
        returned = None
        for _ in range(iterations if self.counts else 1):
            if self.plan == "pair":
                expected = self._call(made, self.methods[0], values)
                spare, _parts = handed_on(expected, self.returns, self.spare)
                returned = self._call(made, self.methods[1], values, **spare)
            else:
                returned = self._call(made, self.methods[0], values)
        held = {k: v for k, v in vars(made).items() if not callable(v)}
        for owner in {n.partition(".")[0] for n in self.held if "." in n}:
            held = {**dict(held.pop(owner, {})), **held}
        if returned is not None and returned is not made and self.plan != "pair":
            for _label, outputs in alternatives(returned, self.returns):
                held |= {k: v for k, v in outputs if k and k not in held}
                break
        return Holder(held)

    @override
    def expectation(self, values: dict[str, Any]) -> list[Any]:
        made = self._made(values)
        before = {k: id(v) for k, v in vars(made).items()}
        returned = self._call(made, self.methods[0], values)
        if returned is not None and returned is not made:
            return list(returned) if type(returned) is tuple else [returned]
        return [v for k, v in vars(made).items() if before.get(k) != id(v)]


def _there(made: Any, name: str) -> Any:
    """Return what an attribute holds, or a key of one that is a dictionary."""
    owner, _, key = name.partition(".")
    value = getattr(made, owner, None)
    return value.get(key) if key and isinstance(value, Mapping) else None if key else value


class Holder:
    """What an object held in the end."""

    def __init__(self, held: dict[str, Any]) -> None:
        self.__dict__.update(held)


def _after(method: Callable[..., Any], place: Callable[..., None]) -> Callable[..., None]:
    def begin(*given: Any, **named: Any) -> None:
        method(*given, **named)
        place()

    return begin


def alike(value: Any, there: Any) -> Any:
    """Return a parameter in the form of what an attribute holds already."""
    if there is None or not isinstance(value, np.ndarray):
        return value
    shape = np.shape(unboxed(there))
    if shape != value.shape and int(np.prod(shape)) == value.size:
        squeezed = tuple(n for n in shape if n > 1) == tuple(n for n in value.shape if n > 1)
        value = value.reshape(shape) if squeezed else value.T if value.T.shape == shape else value
    if isinstance(there, list):
        return [row if np.ndim(row) else float(row) for row in value]
    if isinstance(there, Mapping) and len(there) == len(value):
        return dict(zip(there, value))
    return value


def _methods(cls: type) -> list[str]:
    return [
        name
        for name, value in inspect.getmembers(cls, callable)
        if not name.startswith("__") and inspect.isfunction(value)
    ]


def attributes_of(cls: type) -> list[str]:
    """Return the attributes that a class's source assigns, with the keys of dictionaries."""
    found: dict[str, None] = {}
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name("self"), attr=name, ctx=ast.Store()):
                found[name] = None
            case ast.Assign(
                targets=[ast.Attribute(value=ast.Name("self"), attr=name)],
                value=ast.Dict(keys=keys),
            ):
                words_of = [k.value for k in keys if isinstance(k, ast.Constant)]
                found |= {f"{name}.{k}": None for k in words_of if isinstance(k, str)}
            case ast.Subscript(
                value=ast.Attribute(value=ast.Name("self"), attr=name),
                slice=ast.Constant(value=str(key)),
                ctx=ast.Store(),
            ):
                found[f"{name}.{key}"] = None
    return list(found)


def drivers_of(target: Any) -> list[Driver]:
    """Return the ways in which an object can be driven, the likeliest first."""
    if isinstance(target, tuple):
        return [PairDriver(*target)]
    if isinstance(target, Driver):
        return numbered(target)
    if inspect.isroutine(target) or not (isinstance(target, type) or hasattr(target, "__dict__")):
        return numbered(FunctionDriver(target))
    cls = target if isinstance(target, type) else type(target)
    methods = _methods(cls)
    found: list[Driver] = []
    e_steps = [n for n in methods if called(n, E_STEP)]
    m_steps = [n for n in methods if called(n, M_STEP)]
    for e_step, m_step in itertools.product(e_steps[:2], m_steps[:2]):
        found.append(ObjectDriver(target, "pair", (e_step, m_step)))
    for plan, pattern in (("step", STEP), ("loop", LOOP)):
        named = [n for n in methods if called(n, pattern) and n not in (*e_steps, *m_steps)]
        named.sort(key=lambda n: (plain(n) != "fit", n))
        found += [ObjectDriver(target, plan, (name,)) for name in named[:3]]
    if not found and callable(target) and not isinstance(target, type):
        return [FunctionDriver(target)]
    return found
