"""Frozen records of arrays: what parameters and expected statistics are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_type_hints

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Floats = NDArray[np.float64]
type Integers = NDArray[np.int64]


class DegenerateError(ArithmeticError):
    """An M-step has no finite optimum: the message names the component and the cause."""


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


@dataclass(frozen=True)
class Space:
    """What values a field can take; `models.spaces` has the kinds. Here: any real number.

    Attributes
    ----------
    axes : str
        A letter for each axis: K for components or states, D for coordinates, V for symbols.
    unit : str
        The field whose standard deviations a change is counted in; empty for none.
    """

    axes: str
    unit: str = ""

    probability: ClassVar[bool] = False

    def check(self, name: str, value: Floats) -> None:
        """Raise ValueError unless the finite value lies in the space."""

    def n_free(self, value: Floats) -> int:
        """Return the number of free parameters."""
        return value.size

    def to_free(self, value: Floats) -> Floats:
        """Return unconstrained coordinates, on one axis."""
        return value.ravel()

    def from_free(self, free: Floats, shape: tuple[int, ...]) -> Floats:
        """Return the value that has these coordinates."""
        return free.reshape(shape)

    def chain(self, score: Floats, value: Floats) -> Floats:
        """Return derivatives by the coordinates, from those by the value's entries."""
        return score.ravel()

    def change(self, old: Floats, new: Floats, unit: Floats | float) -> float:
        """Return the largest change of an entry, in the unit given."""
        return float((np.abs(new - old) / unit).max())

    def sds(self, value: Floats) -> Floats:
        """Return the standard deviations that a variance or covariance holds."""
        raise TypeError(f"{type(self).__name__} holds no standard deviations")

    @property
    def in_units(self) -> bool:
        """Whether the value has a unit that is the data's."""
        return False

    def rescaled(self, value: Any, centre: Any, scale: Any) -> Any:
        """Return the value for data ``centre + scale * z`` from that for z; graphs do as well."""
        return value

    def interval(
        self,
        at: float,
        sd: float,
        z: float,
        index: tuple[int, ...],
    ) -> tuple[float, float]:
        """Return an entry's interval of z standard errors to each side."""
        return at - z * sd, at + z * sd

    def redundant(self, index: tuple[int, ...], shape: tuple[int, ...]) -> bool:
        """Return whether other entries determine this one."""
        return False


class Parameters(Record):
    """Parameters of one model; a posterior is the same record with leading (chain, draw) axes.

    Each field of a subclass declares its space: ``weights: Annotated[Floats, Simplex("K")]``.

    Attributes
    ----------
    SPACES : mapping of str to Space
        By field.
    COMPONENT_AXES : mapping of str to tuple of int
        The axes of each field, counted from the end, that run over the components or hidden
        states: the ones that a relabelling permutes.
    PROBABILITIES : tuple of str
        The fields whose last axis is a distribution.
    """

    SPACES: ClassVar[dict[str, Space]]
    COMPONENT_AXES: ClassVar[dict[str, tuple[int, ...]]]
    PROBABILITIES: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        hints = get_type_hints(cls, include_extras=True)
        declared = {
            name: [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Space)]
            for name, hint in hints.items()
        }
        cls.SPACES = {name: spaces[0] for name, spaces in declared.items() if spaces}
        cls.COMPONENT_AXES = {
            name: tuple(i - len(space.axes) for i, axis in enumerate(space.axes) if axis == "K")
            for name, space in cls.SPACES.items()
        }
        cls.PROBABILITIES = tuple(name for name, s in cls.SPACES.items() if s.probability)

    @property
    def n_components(self) -> int:
        """The number K of components or hidden states."""
        name, axes = next(iter(self.COMPONENT_AXES.items()))
        return int(getattr(self, name).shape[axes[0]])

    @property
    def dims(self) -> dict[str, int]:
        """The model's sizes: ``n_components``, and ``n_features`` where there are symbols."""
        sizes = {"n_components": self.n_components}
        for name, space in self.SPACES.items():
            if "V" in space.axes:
                place = space.axes.index("V") - len(space.axes)
                sizes["n_features"] = int(getattr(self, name).shape[place])
        return sizes

    @property
    def lead(self) -> tuple[int, ...]:
        """The shape of the leading axes, such as (chain, draw); empty for a single point."""
        name, space = next(iter(self.SPACES.items()))
        shape: tuple[int, ...] = getattr(self, name).shape
        return shape[: len(shape) - len(space.axes)]

    @property
    def n_free(self) -> int:
        """The number of free parameters."""
        return sum(self.SPACES[name].n_free(a) for name, a in self.arrays().items())

    def to_free(self) -> Floats:
        """Return unconstrained coordinates, field by field as its space has them."""
        arrays = self.arrays().items()
        return np.concatenate([self.SPACES[name].to_free(a) for name, a in arrays])

    def from_free(self, free: Floats) -> Self:
        """Return parameters of the same shape that have other unconstrained coordinates."""
        arrays, begin = {}, 0
        for name, array in self.arrays().items():
            end = begin + len(self.SPACES[name].to_free(array))
            arrays[name] = self.SPACES[name].from_free(free[begin:end], array.shape)
            begin = end
        return type(self)(**arrays)

    def free_units(self) -> Floats:
        """Return a natural length for a step in each unconstrained coordinate."""
        units = []
        for name, array in self.arrays().items():
            of_entry = np.broadcast_to(self.unit(name), array.shape)
            count = len(self.SPACES[name].to_free(array))
            units.append(of_entry.ravel() if self.SPACES[name].unit else np.ones(count))
        return np.concatenate(units)

    def free_probabilities(self) -> NDArray[np.bool_]:
        """Return which unconstrained coordinates are logarithms of probabilities."""
        of_fields = [
            np.full(len(space.to_free(a)), space.probability)
            for space, a in zip(self.SPACES.values(), self.arrays().values())
        ]
        return np.concatenate(of_fields)

    def by_free(self, score: Parameters) -> Floats:
        """Return derivatives by the unconstrained coordinates, from those by the entries."""
        pairs = zip(self.SPACES.items(), score.arrays().values(), self.arrays().values())
        return np.concatenate([space.chain(s, value) for (_, space), s, value in pairs])

    def unit(self, name: str) -> Floats | float:
        """Return what a change of the field is counted in: standard deviations, or one."""
        owner = self.SPACES[name].unit
        return self.SPACES[owner].sds(getattr(self, owner)) if owner else 1.0

    def change(self, new: Self) -> float:
        """Return the largest change of a parameter, in units that the data's scale does not enter.

        Locations are counted in standard deviations, variances relative to themselves.
        """
        pairs = zip(self.SPACES.items(), self.arrays().values(), new.arrays().values())
        return max(space.change(a, b, self.unit(name)) for (name, space), a, b in pairs)

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


def size(data: Any) -> int:
    """Return the number of observations, or of steps in all sequences."""
    return sum(map(len, data)) if isinstance(data, tuple) else len(data)


def entries(parameters: Parameters) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Yield for each number its name, such as ``means[0,1]``, its field and its index."""
    for field, array in parameters.arrays().items():
        for index in np.ndindex(array.shape):
            yield f"{field}[{','.join(map(str, index))}]", field, index


COLLAPSE = 1e-12
"""A variance below this share of the data's own (a millionth in standard deviations) counts as
collapsed: EM on its way into a singularity passes any bound within a few iterations, and no
mixture that double precision can resolve about a common origin is so narrow."""

RESOLUTION = 4 * 2.0**-52
"""A standard deviation below this share of the mean is nothing but the rounding of the data."""


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
