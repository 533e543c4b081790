"""Frozen records of arrays: what parameters and expected statistics are made of."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Self, get_type_hints

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
    """A frozen record whose fields are read-only float64 arrays, contiguous in C's order."""

    __match_args__: ClassVar[tuple[str, ...]]  # dataclass sets it: the fields, as declared

    def __post_init__(self) -> None:
        for name in self.__match_args__:
            array = np.array(floats(getattr(self, name), name), order="C")
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def of(cls, **arrays: ArrayLike) -> Self:
        """Return the record made of anything array-like, such as nested lists."""
        return cls(**arrays)

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


SIZES = {"K": "n_components", "V": "n_features", "D": "n_columns"}
"""What the lengths of axes are called: of components, of symbols and of coordinates."""


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

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> Self:
        """Return parameters made of what was given by name, such as nested lists.

        Raises
        ------
        ValueError
            If a field is missing or unknown, a shape does not fit the others, a number is not
            finite, or a value does not lie in the space of its field.
        """
        if set(given) != set(cls.SPACES):
            raise ValueError(
                f"the parameters are {', '.join(given)}; expected {', '.join(cls.SPACES)}"
            )
        sizes: dict[str, int] = {}
        arrays: dict[str, Floats] = {}
        for name, space in cls.SPACES.items():
            array = arrays[name] = floats(given[name], name)
            for letter, size in zip(space.axes, array.shape):
                sizes.setdefault(letter, size)
            expected = tuple(sizes.get(letter, 1) for letter in space.axes)
            if array.shape != expected or not array.size:
                letters = dict.fromkeys(space.axes)
                wanted = ", ".join(f"{letter} = {sizes.get(letter, '?')}" for letter in letters)
                raise ValueError(
                    f"{name} has shape {array.shape}; expected ({', '.join(space.axes)}) with "
                    f"{wanted} and nothing empty"
                )
            for index in np.argwhere(~np.isfinite(array)):
                place = [int(i) for i in index]
                raise ValueError(
                    f"{name}{place} is {array[*place]}; every parameter must be finite"
                )
        for name, space in cls.SPACES.items():
            space.check(name, arrays[name])
        return cls(**arrays)

    @property
    def n_components(self) -> int:
        """The number K of components or hidden states."""
        name, axes = next(iter(self.COMPONENT_AXES.items()))
        return int(getattr(self, name).shape[axes[0]])

    @property
    def dims(self) -> dict[str, int]:
        """The model's sizes: `SIZES`, as far as its fields have such axes."""
        sizes: dict[str, int] = {}
        for name, space in self.SPACES.items():
            shape = getattr(self, name).shape[len(self.lead) :]
            sizes |= {SIZES[axis]: int(n) for axis, n in zip(space.axes, shape)}
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


class Prior(Record):
    """A conjugate prior; that of a mixture names in `SHAPES` the axes of its fields by letters."""

    SHAPES: ClassVar[dict[str, str]]

    def refuse_misfit(self, parameters: Parameters) -> None:
        """Raise ValueError if the prior is none of such parameters.

        Strengths and degrees of freedom must not be negative, and a scale must be that of
        variances: symmetric and without a negative eigenvalue.
        """
        self.refuse_misshaped(parameters.arrays()["means"].shape[-1])

    def refuse_misshaped(self, D: int) -> None:
        """Do as `refuse_misfit`, for mixtures in D dimensions."""
        for name, letters in self.SHAPES.items():
            array = getattr(self, name)
            expected = (D,) * len(letters)
            if array.shape != expected:
                raise ValueError(f"the prior's {name} has shape {array.shape}; expected {expected}")
            if not (np.abs(array) <= LARGEST).all():
                raise ValueError(f"the prior's {name} must be finite, and is {array}")
            if name != "mean" and not letters and array < 0:
                raise ValueError(f"the prior's {name} must be at least 0, and is {array:g}")
            if letters == "DD":
                least = np.linalg.eigvalsh(array)[0]
                if least < 0 or np.abs(array - array.T).max() > 1e-9 * array.max():
                    raise ValueError(f"the prior's {name} is no covariance: {array.tolist()}")


def size(data: Any) -> int:
    """Return the number of observations, or of steps in all sequences."""
    return sum(map(len, data)) if isinstance(data, tuple) else len(data)


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


ROUNDED = 1e-5
"""How far it may be where parameters are a start, or attributes: rounded to six digits, say. They
are then divided by their sum."""

LARGEST = 1e120
"""Of the data: beyond this, sums of squares may overflow."""

LEAST_WEIGHT, LARGEST_WEIGHT = 1e-40, 1e40
"""Between which the largest weight must lie, that sums neither overflow nor vanish."""


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


def normalised(p: Floats, name: str) -> Floats:
    """Return distributions along the last axis, divided by sums that are not quite 1.

    Raises
    ------
    ValueError
        If one has a negative entry, or a sum that is further from 1 than by `ROUNDED`.
    """
    if not p.size:
        raise ValueError(f"{name} is empty")
    sums = p.sum(axis=-1, keepdims=True)
    off = float(np.abs(sums - 1).max())
    if not (off <= ROUNDED and p.min() >= 0):
        raise ValueError(
            f"{name} must have no negative entry and rows that sum to 1, but the sums are "
            f"{sums[..., 0]} and the smallest entry is {p.min():g}"
        )
    return p / sums if off > p.shape[-1] * 2.0**-52 else p  # less is the rounding of the sum


def plain(data: Any, name: str) -> NDArray[Any]:
    """Return whatever holds numbers as a plain array, NaN where one is masked or NA.

    Parameters
    ----------
    data : array_like
        Lists, masked arrays, columns and tables of pandas and Arrow, objects that are numbers.
    name : str
        What an error calls it.

    Raises
    ------
    ValueError
        If its rows differ in length, or it holds complex numbers, dates or anything but numbers.
        Text is left as it is.
    """
    if isinstance(data, list | tuple) and any(isinstance(row, np.ma.MaskedArray) for row in data):
        with warnings.catch_warnings(action="ignore"):  # of np.ma.masked, which becomes NaN
            data = np.ma.array(data)
    if isinstance(data, np.ma.MaskedArray):
        hidden, data = np.ma.getmaskarray(data), data.data
        if hidden.dtype != np.bool_:
            raise ValueError(f"{name} has records for entries; it must be numbers")
        if hidden.any():
            data = np.where(hidden, None if data.dtype.kind == "O" else np.nan, data)
    try:
        array = np.asarray(data)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be numbers in rows of equal length; these are ragged, or no array"
        ) from None
    if array.dtype.kind == "O":
        array = _numbers(array, name)
    if array.dtype.kind not in "biufUS":
        raise ValueError(f"{name} must be numbers, and these are {array.dtype}")
    return array


def _numbers(objects: NDArray[Any], name: str) -> NDArray[Any]:
    """Return objects that are numbers as an array of numbers, NaN for None and NA."""
    import pandas as pd  # loaded already where an NA can come from

    try:
        array = np.array(np.where(pd.isna(objects), np.nan, objects).tolist())
        return array.astype(np.float64) if array.dtype.kind == "O" else array
    except (TypeError, ValueError, OverflowError):
        odd = next((each for each in objects.flat if not isinstance(each, Real)), None)
        what = f"one is of type {type(odd).__name__}" if odd is not None else "one is too large"
        raise ValueError(f"{name} must be numbers, and {what}") from None


def floats(data: Any, name: str) -> Floats:
    """Return the data as float64 in C's order, native and aligned: as compiled code takes them.

    Parameters
    ----------
    data : array_like
        As for `plain`.
    name : str
        What an error calls it.

    Raises
    ------
    ValueError
        If they are not numbers.
    """
    given = data if type(data) is np.ndarray and data.dtype == np.float64 else plain(data, name)
    array: Floats = given
    if given.dtype == np.float64 and given.flags.c_contiguous and given.flags.aligned:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            array = np.require(given, np.float64, ["C", "A"])
        except ValueError:  # text that is no number
            raise ValueError(f"{name} must be numbers, and one is {_first_word(given)!r}") from None
    return array


def _first_word(texts: NDArray[Any]) -> str:
    """Return the first text that is no number."""
    for text in texts.flat:
        try:
            float(text)
        except ValueError:
            return str(text)[:40]
    return str(texts.flat[0])[:40]


def finite_floats(data: Any, name: str, *, missing: bool = False) -> Floats:
    """Return the data as `floats`, all finite and of a size that can be squared.

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
    array = floats(data, name)
    if not array.size or (array.min() >= -LARGEST and array.max() <= LARGEST):  # NaN is neither
        return array
    wrong = ~(np.abs(array) <= LARGEST)
    for index in np.argwhere(wrong & ~np.isnan(array) if missing else wrong):
        place = [int(i) for i in index]
        value = array[*place]
        if np.isfinite(value):
            raise ValueError(
                f"{name}{place} is {value:g}; beyond {LARGEST:g} sums of squares overflow: give "
                "the data in another unit"
            )
        mend = "; missing=True takes NaN for a value not observed" if np.isnan(value) else ""
        raise ValueError(f"{name}{place} is {value}; every value must be finite{mend}")
    return array


UNIT = "{} {:g}: the squares of such numbers leave the range of doubles; choose another unit"


def refuse_overflow(data: Floats, name: str) -> None:
    """Raise ValueError if squares of what was observed overflow."""
    largest = max(np.fmax.reduce(data, axis=None), -np.fmin.reduce(data, axis=None))
    if largest > 1 / np.sqrt(SMALLEST):
        raise ValueError(UNIT.format(f"{name} goes to", largest))


def refuse_unit(column: Floats, name: str) -> None:
    """Raise ValueError if squares of what was observed, or of its spread, are no doubles."""
    refuse_overflow(column, name)
    span = np.fmax.reduce(column) - np.fmin.reduce(column)
    if span < np.sqrt(SMALLEST):
        raise ValueError(UNIT.format(f"{name} has a spread of", span))


def checked_weights(weights: Any, number: int, what: str = "observation") -> Floats:
    """Return the weights of so many observations as a float array; None gives each the weight 1.

    Raises
    ------
    ValueError
        If their shape is not (number,), or one is negative, not finite or above `LARGEST_WEIGHT`.
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
    refuse_extreme(array, "weights", least=0.0)
    return array


def refuse_extreme(weights: Floats, name: str, least: float = LEAST_WEIGHT) -> None:
    """Raise ValueError if sums of weights overflow, vanish or have nothing to add up."""
    largest = float(weights.max(initial=0.0))
    if largest == 0 < least:
        raise ValueError(f"every entry of {name} is zero: nothing is left to fit")
    if not least <= largest <= LARGEST_WEIGHT:
        raise ValueError(
            f"the largest of {name} is {largest:g}; it must be from {LEAST_WEIGHT:g} to "
            f"{LARGEST_WEIGHT:g}, or sums lose it: multiply all by the same number"
        )


def is_between(value: Any, least: float, most: float) -> bool:
    """Return whether this is a number of that range, its ends included."""
    return isinstance(value, Real) and bool(least <= float(value) <= most)


def refuse_no_count(name: str, value: Any, least: int = 1) -> None:
    """Raise ValueError unless the value is an integer of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r}; it must be an integer of at least {least}")


ENTRIES = 2**26
"""Probabilities in a matrix at the most: half a gigabyte."""


def refuse_large(n_components: int, n_features: int) -> None:
    """Raise ValueError if matrices of K x K or K x V probabilities would not fit into memory."""
    K, V = n_components, n_features
    refuse_no_count("n_components", K)
    refuse_no_count("n_features", V)
    if K * max(K, V) > ENTRIES:
        raise ValueError(
            f"{K} states and {V} symbols need a matrix of {K * max(K, V) * 8 / 1e9:.3g} GB: "
            "number the symbols 0, 1, 2, ... (sklearn.preprocessing.LabelEncoder), or take fewer"
        )


def refuse_too_few(number: int, n_components: int, what: str = "observations") -> None:
    """Raise ValueError if there are fewer observations than components."""
    refuse_no_count("n_components", n_components)
    if number < n_components:
        raise ValueError(f"{number} {what} are too few for {n_components} components")
