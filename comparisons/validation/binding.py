"""Which argument, attribute or place of what is returned is which parameter of the model.

A function is read by the names of its arguments: ``em(data, mu, sigma, pi, n_iterations)`` says
all that is needed. Two arguments of other names are ``(parameters, data)``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from lockstep.comparisons.validation.reading import TargetError
from lockstep.comparisons.validation.vocabulary import plain, spoken, words
from lockstep.models.records import Floats, Record

type Arrays = dict[str, Floats]

ROLES = [
    "data",
    "parameters",
    "iterations",
    "n_components",
    "n_features",
    "seed",
    "tol",
    "reg_covar",
    "quiet",
]
"""What an argument may be besides a field."""

ONE_SEQUENCE = {"obs_seq", "observation_sequence", "sequence", "symbols"}
MANY_SEQUENCES = {"sequences", "seqs"}


def role_of(name: str, names: Sequence[str]) -> str | None:
    """Return what an argument or an attribute of that name is, for a model with these fields."""
    known = [*names, *(["sds"] if "variances" in names else []), *ROLES]
    for form in (words(name), plain(name)):
        for role in known:
            if form in spoken(role):
                return role
    return None


def field_names(model: Any) -> tuple[str, ...]:
    """Return the names of a model's parameters."""
    return tuple(f.name for f in fields(model.Parameters))


def n_symbols(model: Any, arrays: Mapping[str, Floats]) -> int | None:
    """Return the number V of symbols; None where there are none."""
    shown = (name for name, space in model.Parameters.SPACES.items() if space.axes[-1] == "V")
    return next((int(np.shape(arrays[name])[-1]) for name in shown), None)


# --- what a candidate is given and gives back ---------------------------------------------------


def given(model: Any, arrays: Mapping[str, Floats]) -> Any:
    """Return the model's parameters as a candidate gets them.

    They are the model's own record, with arrays that may be written to, and can also be indexed
    by name and unpacked in order: ``weights, means, variances = parameters``.
    """

    def values(self: Any) -> Iterator[Floats]:
        return iter(self.arrays().values())

    def item(self: Any, name: str) -> Floats:
        return self.arrays()[name]  # type: ignore[no-any-return]

    kind = type("Parameters", (model.Parameters,), {"__iter__": values, "__getitem__": item})
    made = kind(**arrays)
    for name, array in arrays.items():
        object.__setattr__(made, name, np.array(array, dtype=np.float64))
    return made


NO_NUMBERS = {
    "b": "truth values",
    "c": "complex numbers",
    "m": "durations",
    "M": "dates",
    "O": "objects of Python",
    "S": "bytes",
    "T": "text",
    "U": "text",
    "V": "records",
}
"""What an array holds that is no array of real numbers, by the kind of its type."""

MOST = 2**20
"""Numbers that an answer may hold."""


def numbers(value: Any, name: str) -> Any:
    """Return an array of real numbers, or say what it is in place of one."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        masked = int(np.ma.getmaskarray(value).sum())
        raise ValueError(f"the {name} returned are masked, in {masked} of {value.size} places")
    array = np.asarray(value)
    if array.dtype.kind in NO_NUMBERS:
        what = NO_NUMBERS[array.dtype.kind]
        if array.dtype.kind == "O" and not array.ndim:
            what = f"a {type(value).__name__:.80}"
        raise ValueError(f"the {name} returned are no array of numbers but {what}")
    if array.size > MOST:
        raise ValueError(f"the {name} returned have the shape {array.shape}: too large to be right")
    return array


def plain_numbers(value: Any, name: str) -> Any:
    """Return real numbers in JSON's types."""
    return np.asarray(numbers(value, name), np.float64).tolist()


@dataclass
class Answer:
    """What a candidate returned: fields as arrays, and a log-likelihood if there was one."""

    parameters: Arrays
    log_likelihood: float | None = None
    halves: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the answer in JSON's types."""
        said: dict[str, Any] = {
            "parameters": {
                k: np.asarray(a, np.float64).tolist() for k, a in self.parameters.items()
            }
        }
        if self.log_likelihood is not None:
            said["log_likelihood"] = self.log_likelihood
        return said


def squared(sds: Any) -> Any:
    """Return variances in place of standard deviations."""
    return np.asarray(numbers(sds, "sds"), np.float64) ** 2


def read(returned: Any, names: Sequence[str], order: Sequence[str]) -> Answer:
    """Return what was returned, by the model's names.

    Parameters
    ----------
    returned : object
        Something with the fields as attributes or keys, or a tuple of them in `order`, which a
        log-likelihood (the last, if it is a list) may follow.
    names : sequence of str
    order : sequence of str
        May have ``sds`` in place of ``variances``.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if _is_pair(returned, len(order)):
        answer = read(returned[0], names, order)
        answer.log_likelihood = last(returned[1])
        return answer
    fields, rest = _by_field(returned, names, order)
    if "sds" in fields and "variances" not in fields:
        fields["variances"] = squared(fields["sds"])
    missing = [name for name in names if name not in fields]
    if missing:
        what = "None" if returned is None else f"a {type(returned).__name__}"
        raise ValueError(f"{what} was returned, without {', '.join(missing)}")
    answer = Answer({name: numbers(fields[name], name) for name in names})
    answer.halves = [k for k in order if _is_short(fields.get(k))]
    for value in (*rest, *(fields.get(k) for k in LOG_LIKELIHOODS)):
        if value is not None and answer.log_likelihood is None:
            answer.log_likelihood = last(value)
    return answer


def _by_field(
    returned: Any, names: Sequence[str], order: Sequence[str]
) -> tuple[dict[str, Any], list[Any]]:
    """Return what was returned by the fields' names, and the values that follow a tuple of them."""
    if isinstance(returned, Mapping):
        return {role_of(str(key), names) or str(key): value for key, value in returned.items()}, []
    if all(hasattr(returned, name) for name in names):
        return {name: getattr(returned, name) for name in names}, []
    if isinstance(returned, tuple | list):
        if len(returned) < len(order):
            raise ValueError(f"{len(returned)} values were returned; expected {', '.join(order)}")
        return dict(zip(order, returned)), list(returned[len(order) :])
    fields: dict[str, Any] = {}
    for key, value in getattr(returned, "__dict__", {}).items():
        if (name := role_of(key, names)) is not None:
            fields.setdefault(name, value)
    return fields, []


def _is_short(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize < 8


LOG_LIKELIHOODS = ("log_likelihood", "loglik", "ll", "log_lik", "log_likelihoods", "logl")


def _is_pair(returned: Any, number: int) -> bool:
    """Return whether it is ``(parameters, log-likelihood)``, of a model with so many fields."""
    if not isinstance(returned, tuple | list) or not len(returned) == 2 < number:
        return False
    value = returned[0]
    if isinstance(value, tuple | list):
        return len(value) >= number and np.ndim(value[0]) > 0
    return isinstance(value, Mapping) or (
        hasattr(value, "__dict__") and not isinstance(value, np.ndarray)
    )


def last(value: Any) -> float | None:
    """Return a log-likelihood, or the last of a trace; None if it is neither."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    masked = isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any()
    beyond = isinstance(value, int) and array.dtype.kind == "O"  # too many digits for a double
    if masked or beyond or array.dtype.kind == "c":
        what = "is masked" if masked else "has too many digits" if beyond else "is complex"
        raise ValueError(f"the log-likelihood returned is no number: it {what}")
    if array.dtype.kind not in "fiu":
        return None
    if array.ndim == 1 and len(array):
        array = array[-1]
    return float(array) if array.ndim == 0 else None


# --- functions --------------------------------------------------------------------------------


def _arrays(value: Any) -> list[Any]:
    """Return the arrays of which a value consists; none if it is not data or parameters."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, Record):
        return list(value.arrays().values())
    if isinstance(value, tuple | list):
        return [array for item in value for array in _arrays(item)]
    return []


def copies(value: Any) -> list[Any]:
    """Return a copy of each array of which a value consists."""
    return [array.copy() for array in _arrays(value)]


def same(value: Any, before: list[Any]) -> bool:
    """Return whether the arrays of a value are still what they were, NaN for NaN."""
    pairs = zip(_arrays(value), before)
    return all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


def _silent(parameters: Any, data: Any) -> None:
    """Stand for a function that does not say what it takes."""


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # compiled, and silent about itself
        return inspect.signature(_silent)


def _by_place(places: Sequence[str], roles: Mapping[str, str | None]) -> dict[str, str]:
    """Return two arguments as parameters and data, unless a name says otherwise."""
    first, second = (roles[name] for name in places)
    if second == "n_components" or first == "n_components":
        return {}
    if first == "data":
        return {places[1]: "parameters"}
    return {places[0]: "parameters", places[1]: "data"}


class Call:
    """How a function is called: which of its arguments is what.

    Parameters
    ----------
    function : callable
    model : Model
    spare : str, optional
        The role of arguments that have no known name (the M-step's expectations).

    Attributes
    ----------
    text : str
        Its name and signature.
    roles : dict
        What each argument that will be given is, by its name.
    order : tuple of str
        The fields in the order of the arguments; in that of the model if it takes a record.
    changed : set of str
        What it has written to: ``data``, ``parameters``.

    Raises
    ------
    TargetError
        If the meaning of an argument is not known.
    """

    def __init__(self, function: Callable[..., Any], model: Any, spare: str | None = None) -> None:
        self.function = function
        self.fields = field_names(model)
        self.changed: set[str] = set()
        signature = _signature(function)
        self.text = f"{getattr(function, '__name__', type(function).__name__)}{signature}"
        arguments = [
            a
            for a in signature.parameters.values()
            if a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD)
        ]
        self.by_place = [a.name for a in arguments if a.kind is a.POSITIONAL_ONLY]
        self.roles = self._roles(arguments, spare)
        self.order = self._order()

    def _roles(self, arguments: list[inspect.Parameter], spare: str | None) -> dict[str, str]:
        """Return what each argument is that must be given, or that is a setting."""
        several = (*self.fields, "sds")
        roles = {a.name: role_of(a.name, self.fields) for a in arguments}
        needed = [a.name for a in arguments if a.default is a.empty]
        places = [name for name in needed if roles[name] != "iterations"]
        if spare is None and len(places) == 2 and not any(roles[n] in several for n in places):
            roles |= _by_place(places, roles)
        for name in needed:
            roles[name] = roles[name] or spare
            if roles[name] is None:
                raise TargetError(
                    f"{self.text}: what is {name!r}? Known names are data, parameters, "
                    f"{', '.join(self.fields)}, iterations, n_components; two arguments of other "
                    f"names are (parameters, data). To say it: --map {name}={self.fields[0]}"
                )
        own_choice = ("data", "parameters", *several)  # where it has a default
        return {
            name: known
            for name, known in roles.items()
            if known is not None and (name in needed or known not in own_choice)
        }

    def _order(self) -> tuple[str, ...]:
        """Return the fields in the order in which it takes them; refuse it if it lacks one."""
        own = tuple(r for r in self.roles.values() if r in (*self.fields, "sds"))
        taken = {"variances" if name == "sds" else name for name in own}
        if own and taken != set(self.fields):
            lacks = [name for name in self.fields if name not in taken]
            raise TargetError(f"{self.text} takes no {', '.join(lacks)}")
        return own or self.fields

    def takes(self, role: str) -> bool:
        """Return whether it has such an argument."""
        return role in self.roles.values()

    @property
    def from_start(self) -> bool:
        """Whether it takes parameters to begin from."""
        return self.takes("parameters") or self.takes(self.fields[0])

    def __call__(self, **values: Any) -> Any:
        """Call it with what each role stands for; spare ones are a list."""
        spare = list(values.pop("expectation", ()))
        arguments = {}
        for name, role in self.roles.items():
            if role == "expectation":
                arguments[name] = spare.pop(0)
            elif role in values:
                arguments[name] = values[role]
        before = {name: copies(value) for name, value in arguments.items()}
        placed = [arguments[name] for name in self.by_place if name in arguments]
        named = {k: v for k, v in arguments.items() if k not in self.by_place}
        returned = self.function(*placed, **named)
        for name, value in arguments.items():
            if not same(value, before[name]):
                self.changed.add("data" if self.roles[name] == "data" else "parameters")
        return returned


def values_of(model: Any, start: Arrays, data: Any, iterations: int = 1) -> dict[str, Any]:
    """Return what stands for each role, fresh copies all."""
    values: dict[str, Any] = {"data": data, "parameters": given(model, start)}
    values |= {name: np.array(array) for name, array in start.items()}
    if "variances" in start:
        with np.errstate(invalid="ignore"):
            values["sds"] = np.sqrt(start["variances"])
    values |= {"iterations": iterations, "tol": 0.0, "reg_covar": 0.0}
    K = len(next(iter(start.values())))
    values |= {"n_components": K, "seed": 0, "quiet": False}
    if (V := n_symbols(model, start)) is not None:
        values["n_features"] = V
    return values


def one_sequence(call: Call) -> bool | None:
    """Return whether an argument's name says that it is a single sequence; None if none does."""
    for name, role in call.roles.items():
        if role == "data" and name.lower() in ONE_SEQUENCE | MANY_SEQUENCES:
            return name.lower() in ONE_SEQUENCE
    return None
