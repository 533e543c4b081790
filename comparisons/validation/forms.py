"""The forms in which people hold data and parameters, and the ways there and back.

A parameter has a *value* (as it is, its logarithm, a standard deviation in place of a variance,
a precision), a *layout* (turned, a column, a row) and a *box*: an array, lists, dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lockstep.comparisons.validation.binding import Arrays
from lockstep.models.records import Floats, Space
from lockstep.models.spaces import Positive, PositiveDefinite, Simplex

type Way = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def _root(a: Any) -> Any:
    return np.sqrt(np.abs(a))


VALUES: dict[str, Way] = {
    "as it is": (lambda a: a, lambda a: a),
    "standard deviations": (_root, np.square),
    "precisions": (lambda a: 1 / a, lambda a: 1 / a),
    "precision matrices": (np.linalg.inv, np.linalg.inv),
    "logarithms": (np.log, np.exp),
    "decimal logarithms": (np.log10, lambda a: 10.0**a),
}
"""Ways from a parameter to what is held of it, and back."""

LAYOUTS: dict[str, Way] = {
    "as it is": (lambda a: a, lambda a: a),
    "turned": (lambda a: a.T, lambda a: a.T),
    "a column": (lambda a: a[:, None], lambda a: a[:, 0]),
    "a row": (lambda a: a[None], lambda a: a[0]),
    "components last": (lambda a: np.moveaxis(a, 0, -1), lambda a: np.moveaxis(a, -1, 0)),
    "1 x 1 matrices": (lambda a: a[:, None, None], lambda a: a[:, 0, 0]),
}


def values_of_space(space: Space) -> tuple[str, ...]:
    """Return the values in which a parameter of that space may be held."""
    if isinstance(space, Simplex):
        return ("as it is", "logarithms")
    if isinstance(space, PositiveDefinite):
        return ("as it is", "precision matrices")
    if isinstance(space, Positive):
        return ("as it is", "standard deviations", "precisions", "logarithms")
    return ("as it is",)


def layouts_of(space: Space) -> tuple[str, ...]:
    """Return the layouts in which a parameter of that space may be held."""
    if len(space.axes) == 1:
        cube = ("1 x 1 matrices",) if isinstance(space, Positive) else ()
        return ("as it is", "a column", "a row", *cube)
    return ("as it is", "turned") if len(space.axes) == 2 else ("as it is", "components last")


BOXES = ("array", "list", "tuple", "list of arrays", "dictionary", "frame")
"""What may hold the numbers of a parameter."""


@dataclass(frozen=True)
class Forms:
    """How a candidate holds data and parameters.

    Attributes
    ----------
    fields : dict
        The value and the layout of each parameter.
    box : str
        What holds the numbers of parameters.
    data, layout : str
        What holds the data, and how it is turned.
    one : bool
        Whether an HMM takes a single sequence.
    record : str
        What holds all parameters, where they come as one.
    tol : bool
        Whether a tolerance is set to 0.
    """

    fields: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    box: str = "array"
    data: str = "array"
    layout: str = "as it is"
    one: bool = False
    record: str = "record"
    tol: bool = True

    def key(self) -> tuple[Any, ...]:
        """Return what makes two of them the same."""
        held = tuple(sorted(self.fields.items()))
        return (held, self.box, self.data, self.layout, self.one, self.record, self.tol)

    def said(self) -> list[str]:
        """Return in words what is not as the model has it."""
        told = []
        for name, (value, layout) in self.fields.items():
            parts = [part for part in (value, layout) if part != "as it is"]
            if parts:
                told.append(f"{name} as {', '.join(parts)}")
        if self.box != "array":
            told.append(f"parameters in {PLURAL[self.box]}")
        if self.layout != "as it is":
            told.append(f"the data {self.layout}")
        if self.data != "array":
            told.append(f"the data in {PLURAL[self.data]}")
        if self.record != "record":
            told.append(f"all parameters in one {self.record}")
        if not self.tol:
            told.append("its own tolerance")
        return told


PLURAL = {
    "list": "lists",
    "tuple": "tuples",
    "list of arrays": "lists of arrays",
    "dictionary": "dictionaries of named states and symbols",
    "frame": "pandas",
    "strings": "strings",
}


def state_names(K: int) -> list[str]:
    """Return names for states."""
    return [f"state{k}" for k in range(K)]


def symbol_names(V: int) -> list[str]:
    """Return names for symbols."""
    return [f"symbol{v}" for v in range(V)]


def boxed(array: Floats, box: str, axes: str) -> Any:
    """Return an array in what a candidate holds it in."""
    match box:
        case "list":
            return array.tolist()
        case "tuple":
            return tuple(tuple(row) if np.ndim(row) else row for row in array.tolist())
        case "list of arrays":
            return [row if np.ndim(row) else float(row) for row in array]
        case "dictionary" | "frame":
            if box == "frame":
                return _frame(array, axes)
            return _nested(array, axes)
    return array


def _names(axis: str, number: int) -> list[str]:
    return symbol_names(number) if axis == "V" else state_names(number)


def _nested(array: Floats, axes: str) -> Any:
    if not array.ndim:
        return float(array)
    return {n: _nested(a, axes[1:]) for n, a in zip(_names(axes[:1], len(array)), array)}


def _frame(array: Floats, axes: str) -> Any:
    import pandas as pd

    names = [_names(axis, size) for axis, size in zip(axes, array.shape)]
    if array.ndim == 1:
        return pd.Series(array, index=names[0])
    return pd.DataFrame(array, index=names[0], columns=names[1])


def unboxed(value: Any) -> Any:
    """Return what a candidate holds as an array where it is one, or else as it is."""
    value = _listed(value)
    if isinstance(value, np.ndarray) and value.dtype.kind not in "OUS":
        return value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return value
    if array.dtype.kind == "O":
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
            return value
    return array


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping) and value:
        keys = list(value)
        if all(isinstance(k, str | int | np.integer) for k in keys):
            keys.sort(key=lambda k: (len(str(k)), str(k)))
        return [_listed(value[k]) for k in keys]
    if type(value).__module__.startswith("pandas") and hasattr(value, "to_numpy"):
        return value.to_numpy()
    if isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value):
        return [_listed(v) for v in value]
    return value


def encoded(array: Floats, held: tuple[str, str], box: str, axes: str) -> Any:
    """Return a parameter as a candidate holds it."""
    value, layout = held
    with np.errstate(all="ignore"):
        made = LAYOUTS[layout][0](VALUES[value][0](np.array(array, dtype=np.float64)))
    turned = axes[::-1] if layout == "turned" else axes
    return boxed(np.ascontiguousarray(made), box, turned)


def decoded(value: Any, held: tuple[str, str], shape: tuple[int, ...]) -> Any:
    """Return what a candidate holds as the model has it; as it is if its shape does not fit."""
    array = unboxed(value)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        return value
    kind, layout = held
    there = np.shape(LAYOUTS[layout][0](np.empty(shape)))
    if array.shape == there:
        array = LAYOUTS[layout][1](array)
    elif len(shape) == 1 and array.size == shape[0] and array.ndim > 1:
        array = array.reshape(shape)
    elif array.shape != shape:
        return array
    try:
        with np.errstate(all="ignore"):
            return VALUES[kind][1](array)
    except np.linalg.LinAlgError:
        return np.full(shape, np.nan)


# --- data ---------------------------------------------------------------------------------------


def shown(data: Any, forms: Forms, *, sequences: bool) -> Any:
    """Return the data as a candidate takes them."""
    if sequences:
        made = [_sequence(np.array(s, dtype=np.int64), forms) for s in data]
        if forms.one:
            if len(made) > 1:
                raise ValueError("this target takes a single sequence")
            return made[0]
        return made if forms.data in ("list", "strings") else tuple(made)
    array = np.array(data, dtype=np.float64)
    match forms.layout:
        case "a column":
            array = array.reshape(len(array), -1)
        case "a row":
            array = array.reshape(1, -1)
        case "turned":
            array = np.ascontiguousarray(array.T)
    match forms.data:
        case "list":
            return array.tolist()
        case "tuple":
            return [tuple(row) if np.ndim(row) else row for row in array.tolist()]
        case "list of arrays":
            return list(array)
        case "frame":
            import pandas as pd

            return pd.Series(array) if array.ndim == 1 else pd.DataFrame(array)
    return array


def _sequence(symbols: Any, forms: Forms) -> Any:
    match forms.layout:
        case "a column":
            symbols = symbols[:, None]
        case "a row":
            symbols = symbols[None]
    match forms.data:
        case "list":
            return symbols.tolist()
        case "tuple":
            return tuple(symbols.tolist())
        case "strings":
            return [f"symbol{v}" for v in np.ravel(symbols)]
        case "frame":
            import pandas as pd

            return pd.Series(symbols)
    return symbols


class Named(dict[str, Any]):
    """Parameters by name, under whatever name they are asked for."""

    def __init__(self, names: Callable[[str], str | None], held: Mapping[str, Any]) -> None:
        super().__init__(held)
        self._names = names

    def __missing__(self, key: Any) -> Any:
        name = self._names(str(key))
        if name is None or name not in self:
            raise KeyError(key)
        return self[name]


def together(held: Arrays, form: str, names: Callable[[str], str | None]) -> Any:
    """Return all parameters as one."""
    match form:
        case "dictionary":
            return Named(names, held)
        case "list":
            return list(held.values())
        case "flat array":
            return np.concatenate([np.ravel(a) for a in held.values()])
    return tuple(held.values())
