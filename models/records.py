"""Frozen records of arrays: what parameters and expected statistics are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Floats = NDArray[np.float64]
type Integers = NDArray[np.int64]


class DegenerateError(ArithmeticError):
    """An M-step has no finite optimum: the message names the component and the cause."""


class CollapseError(DegenerateError):
    """A component is at a singularity of the likelihood, as near as double precision goes."""


@dataclass(frozen=True)
class Record:
    """A frozen record whose fields are read-only float64 arrays."""

    __match_args__: ClassVar[tuple[str, ...]]  # dataclass sets it: the fields, as declared

    def __post_init__(self) -> None:
        for name in self.__match_args__:
            array = np.array(getattr(self, name), dtype=np.float64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def of(cls, **arrays: ArrayLike) -> Self:
        """Return the record made of anything array-like, such as nested lists."""
        return cls(**{name: np.asarray(array, np.float64) for name, array in arrays.items()})

    def arrays(self) -> dict[str, Floats]:
        """Return the fields by name, in the order they are declared."""
        return {name: getattr(self, name) for name in self.__match_args__}

    def __eq__(self, other: object) -> bool:
        """Return whether the other record has the same type and the same arrays, bit for bit."""
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, Record)
        mine, theirs = self.arrays(), other.arrays()
        return all(np.array_equal(mine[name], theirs[name]) for name in mine)

    __hash__ = None  # type: ignore[assignment]


class Statistics(Record):
    """Expected complete-data statistics; those of two parts of the data add up to the whole's.

    A subclass may name in `REFERENCE` the field that its moments are taken about. It is no sum:
    both parts must share it.
    """

    REFERENCE: ClassVar[str | None] = None

    def __add__(self, other: Self) -> Self:
        """Return the statistics of the two parts together.

        Raises
        ------
        ValueError
            If the moments of the two are taken about different points.
        """
        mine, theirs = self.arrays(), other.arrays()
        total = {name: mine[name] + theirs[name] for name in mine}
        if self.REFERENCE is not None:
            total[self.REFERENCE] = mine[self.REFERENCE]
            if not np.array_equal(mine[self.REFERENCE], theirs[self.REFERENCE]):
                raise ValueError(
                    "these statistics are moments about different points and cannot be added: "
                    "run both E-steps with the same parameters"
                )
        return type(self)(**total)


class Parameters(Record):
    """Parameters of one model; a posterior is the same record with leading (chain, draw) axes.

    A subclass names in `COMPONENT_AXES` the axes, counted from the end, that run over the
    components (or hidden states) of each field: the ones that a relabelling permutes; and in
    `PROBABILITIES` the fields whose last axis is a distribution.
    """

    COMPONENT_AXES: ClassVar[dict[str, tuple[int, ...]]]
    PROBABILITIES: ClassVar[tuple[str, ...]]

    @property
    def n_components(self) -> int:
        """The number K of components or hidden states."""
        name, axes = next(iter(self.COMPONENT_AXES.items()))
        return int(getattr(self, name).shape[axes[0]])

    def relabelled(self, order: ArrayLike) -> Self:
        """Return the same parameters with component ``order[k]`` in place k.

        Parameters
        ----------
        order : array_like of int, shape (..., K)
            One permutation for all, or one for each draw (leading axes as in the fields).
        """
        order = np.asarray(order, dtype=np.int64)
        lead, K = order.shape[:-1], order.shape[-1]
        permuted = self.arrays()
        for name, axes in self.COMPONENT_AXES.items():
            for axis in axes:
                array = permuted[name]
                if not lead:
                    permuted[name] = np.take(array, order, axis=axis)
                    continue
                trailing = [1] * (array.ndim - len(lead))
                trailing[axis] = K
                index = order.reshape(*lead, *trailing)
                permuted[name] = np.take_along_axis(array, index, axis=axis)
        return type(self)(**permuted)

    def draw(self, *index: int) -> Self:
        """Return the parameters at one index of the leading axes."""
        return type(self)(**{name: array[index] for name, array in self.arrays().items()})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as nested lists, as written to JSON."""
        return {name: array.tolist() for name, array in self.arrays().items()}


def entries(parameters: Parameters) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Yield for each number its name, such as ``means[0,1]``, its field and its index."""
    for field, array in parameters.arrays().items():
        for index in np.ndindex(array.shape):
            yield f"{field}[{','.join(map(str, index))}]", field, index


RESOLUTION = 4 * 2.0**-52
"""Four units in the last place: what is smaller than this share of a number is its rounding. A
standard deviation below this share of the mean is one that doubles there cannot hold."""

SMALLEST = 2.0**-970
"""Variances below this (1e-292) lose digits, for the squares that they are made of do."""

SHRINKING, AHEAD = 0.01, 100
"""A component on its way into a singularity shrinks in every EM iteration by at least this share
of its volume, and ever faster: it gets there within so many iterations."""


SUM = 1e-9
"""How far the sum of a distribution's probabilities may be from 1."""


def checked_parameters[P: Parameters](
    kind: type[P], given: Mapping[str, Any], shapes: Mapping[str, str]
) -> P:
    """Return parameters made of what was given by name, such as nested lists.

    Parameters
    ----------
    kind : type
        A model's Parameters.
    given : mapping of str to array_like
    shapes : mapping of str to str
        For each field its axes as letters: ``"KD"`` is (K, D).

    Raises
    ------
    ValueError
        If a field is missing or unknown, a shape does not fit the others, a number is not finite,
        or a distribution has a negative entry or does not sum to 1.
    """
    if set(given) != set(shapes):
        raise ValueError(f"the parameters are {', '.join(given)}; expected {', '.join(shapes)}")
    sizes: dict[str, int] = {}
    arrays: dict[str, Floats] = {}
    for name, letters in shapes.items():
        try:
            array = arrays[name] = np.asarray(given[name], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must be numbers: {error}") from None
        for letter, size in zip(letters, array.shape):
            sizes.setdefault(letter, size)
        expected = tuple(sizes.get(letter, 1) for letter in letters)
        if array.shape != expected or not array.size:
            wanted = ", ".join(f"{letter} = {sizes.get(letter, '?')}" for letter in set(letters))
            raise ValueError(
                f"{name} has shape {array.shape}; expected ({', '.join(letters)}) with {wanted} "
                "and nothing empty"
            )
        for index in np.argwhere(~np.isfinite(array)):
            place = [int(i) for i in index]
            raise ValueError(f"{name}{place} is {array[*place]}; every parameter must be finite")
    for name in kind.PROBABILITIES:
        array, sums = arrays[name], arrays[name].sum(axis=-1)
        if (array < 0).any():
            raise ValueError(f"{name} has a negative entry, {array.min():g}: it is no probability")
        if (np.abs(sums - 1) > SUM).any():
            raise ValueError(f"{name} must sum to 1 (in each row), and the sums are {sums}")
    return kind(**arrays)


def refuse_empty(counts: Floats) -> None:
    """Raise DegenerateError if a component has no observations left."""
    for k in np.flatnonzero(~(counts > 0)):
        raise DegenerateError(f"component {k} has no observations left: its weight fell to zero")


def lost_ridge(reg_covar: float) -> str:
    """Return what to say of a ridge that did not keep a component from collapsing."""
    if not reg_covar:
        return ""
    return (
        f" (reg_covar={reg_covar:g} is lost in the rounding of numbers there: raise it, or shift "
        "or scale the data)"
    )


def collapse_ahead[P: Parameters](
    parameters: P,
    refuse_collapsed: Callable[[P], None],
    iterate: Callable[[P], P],
    log_volumes: Callable[[P], Floats],
) -> str | None:
    """Return which component is at a singularity of the likelihood, or held from it by a ridge.

    Left to themselves (`iterate` is EM without a ridge or prior), such parameters collapse.

    Parameters
    ----------
    parameters : Parameters
    refuse_collapsed : callable
        Raises CollapseError if double precision cannot hold a component.
    iterate : callable
        One EM iteration.
    log_volumes : callable
        Returns the logarithm of each component's volume.
    """
    try:
        refuse_collapsed(parameters)
        for _ in range(AHEAD):
            old, parameters = parameters, iterate(parameters)
            if not (log_volumes(parameters) < log_volumes(old) - SHRINKING).any():
                return None
    except CollapseError as error:
        return str(error)
    except DegenerateError:  # a component without observations has no singularity
        return None
    return None


def finite_floats(data: Any, name: str, *, missing: bool = False) -> Floats:
    """Return the data as a float array.

    Parameters
    ----------
    data : array_like
    name : str
        What an error calls it.
    missing : bool, optional
        Whether NaN stands for a value that was not observed.

    Raises
    ------
    ValueError
        If they are not numbers, or not all finite.
    """
    try:
        array = np.asarray(data, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers: {error}") from None
    if np.isfinite(array).all():
        return array
    for index in np.argwhere(np.isinf(array) if missing else ~np.isfinite(array)):
        place = tuple(int(i) for i in index)
        mend = "; missing=True takes NaN for a value not observed" if np.isnan(array[place]) else ""
        raise ValueError(f"{name}{list(place)} is {array[place]}; every value must be finite{mend}")
    return array


UNIT = "{} {:g}: the squares of such numbers leave the range of doubles; choose another unit"


def refuse_large(data: Floats, name: str) -> None:
    """Raise ValueError if squares of what was observed overflow."""
    largest = max(np.fmax.reduce(data, axis=None), -np.fmin.reduce(data, axis=None))
    if largest > 1 / np.sqrt(SMALLEST):
        raise ValueError(UNIT.format(f"{name} goes to", largest))


def refuse_unit(column: Floats, name: str) -> None:
    """Raise ValueError if squares of what was observed, or of its spread, are no doubles."""
    refuse_large(column, name)
    span = np.fmax.reduce(column) - np.fmin.reduce(column)
    if span < np.sqrt(SMALLEST):
        raise ValueError(UNIT.format(f"{name} has a spread of", span))


def checked_weights(weights: Any, number: int, what: str = "observation") -> Floats:
    """Return the weights of so many observations as a float array; None gives each the weight 1.

    Raises
    ------
    ValueError
        If their shape is not (number,), or one is negative or not finite.
    """
    if weights is None:
        return np.ones(number)
    array = finite_floats(weights, "weights")
    if array.shape != (number,):
        raise ValueError(
            f"weights have shape {array.shape}; expected ({number},), one for each {what}"
        )
    for n in np.flatnonzero(array < 0):
        raise ValueError(
            f"weights[{n}] is {array[n]:g}; a weight must be at least 0 (0 leaves the {what} out)"
        )
    return array


def refuse_too_few(number: int, n_components: int, what: str = "observations") -> None:
    """Raise ValueError if there are fewer observations than components."""
    if n_components < 1:
        raise ValueError(f"{n_components} components: there must be at least 1")
    if number < n_components:
        raise ValueError(f"{number} {what} are too few for {n_components} components")
