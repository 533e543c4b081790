"""The E-step as the gradient that Hamiltonian Monte Carlo follows: log-likelihoods for PyMC.

Fisher's identity says of any model with latent variables z that ::

    d/dtheta log p(x; theta) = E[ d/dtheta log p(x, z; theta) | x; theta ]

The right-hand side is the score of the complete data at the expected statistics: what an E-step
returns, put into a model's `score`. Each function here is a log-likelihood with z summed out, as a
PyTensor variable whose gradient is that score; one E-step gives both. A sampler that works on
another scale (logarithms, ordered values, a simplex) has the chain rule from PyTensor.

At a probability of zero the score would be 0 / 0, an expected count over a probability, and the
derivative is not: it is taken in a form that divides by no probability, see the models' `gradient`.

Data may be `pm.Data`: a graph once compiled serves any data, of any size. In Python the E-step is
that of `models.kernels` and the score the model's own; compiled by numba, as PyTensor and nutpie
do it, a graph calls both by the address of one function, `score` of the kernels, and never calls
Python. There are no second derivatives.

``fisher.NAME`` is the log-likelihood of the model of that name. The compiled Op of one that has one
is in its folder's ``graph.py``; here is what they share, and the Op of all others.

Parameters that are none (rows that do not sum to 1, a variance of -1) are refused as PyMC refuses
its own: at once with a ValueError where they are known, or else by its `CheckParameterValue`.

References
----------
.. [1] Fisher (1925), Proc. Cambridge Philos. Soc. 22, 700-725.
.. [2] Dempster, Laird and Rubin (1977), JRSS B 39, 1-38: the identity is equation (2.13) in the
   form that EM uses.

Examples
--------
>>> import numpy as np, pymc as pm
>>> from lockstep.models import fisher
>>> with pm.Model():
...     symbols = pm.Data("symbols", np.array([0, 1, 2, 2, 1, 0, 0, 2]))
...     startprob = pm.Dirichlet("startprob", np.ones(2))
...     transmat = pm.Dirichlet("transmat", np.ones((2, 2)))
...     emissionprob = pm.Dirichlet("emissionprob", np.ones((2, 3)))
...     value = fisher.categorical_hmm(symbols, startprob, transmat, emissionprob)
...     log_likelihood = pm.Potential("log_likelihood", value)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numba
import numpy as np
import pytensor.tensor as pt
from llvmlite.binding import add_symbol
from pymc.logprob.utils import CheckParameterValue, ParameterValueError
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.gradient import DisconnectedType, disconnected_type, grad_not_implemented
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key

from lockstep.models import Model, load, names, part, simplex
from lockstep.models.records import DegenerateError, Floats, Space
from lockstep.models.spaces import Positive

_Shape = tuple[int | None, ...]


def _refuse_shapes(letters: Mapping[str, str], shapes: Mapping[str, _Shape]) -> None:
    """Raise ValueError if a shape has the wrong number of axes, or equal letters differ."""
    needed = ", ".join(f"{name} ({_tuple(of)})" for name, of in letters.items())
    known: dict[str, tuple[int, str]] = {}
    for name, shape in shapes.items():
        if len(shape) != len(letters[name]):
            raise ValueError(f"{name} has {len(shape)} axes; the shapes needed are {needed}")
        for letter, length in zip(letters[name], shape):
            if length is None:
                continue
            other, where = known.setdefault(letter, (length, name))
            if length != other:
                raise ValueError(
                    f"{name} has shape {shape} and {where} {shapes[where]}: {letter} cannot be "
                    f"{length} and {other}; the shapes needed are {needed}"
                )


def _tuple(letters: str) -> str:
    return ", ".join(letters) + "," * (len(letters) == 1)


# numba does not keep what is compiled here; PyTensor keeps whole graphs, see `compiled_as`.
twin = numba.njit(error_model="numpy")

NORMAL = float(np.finfo(np.float64).smallest_normal)
"""Variances, and diagonals of factors, are at least this: the reciprocal must be a double."""

MOST = float(np.finfo(np.float64).max)

TOLERANCE = 1e-5 + 1e-8
"""By how much a sum may differ from 1: that of `pt.isclose`, by which PyMC judges its own."""


@twin  # type: ignore[untyped-decorator]
def distributions(rows: Floats) -> bool:
    """Return whether each row is a distribution."""
    sound = True
    for i in range(len(rows)):
        sound = sound and rows[i].min() >= 0 and abs(rows[i].sum() - 1) <= TOLERANCE
    return sound


@twin  # type: ignore[untyped-decorator]
def finite(values: Floats) -> bool:
    """Return whether all values are."""
    return bool(np.isfinite(values).all())


@twin  # type: ignore[untyped-decorator]
def positive(values: Floats) -> bool:
    """Return whether all values have a reciprocal above zero."""
    return bool((values >= NORMAL).all() and np.isfinite(values).all())


class Condition(NamedTuple):
    """What parameters of one name must fulfil.

    Attributes
    ----------
    name : str
    message : str
        What is right, or what is wrong.
    holds : callable
        Compiled; of the array, with two axes at least.
    """

    name: str
    message: str
    holds: Any

    @classmethod
    def rows(cls, name: str) -> Condition:
        """Return that of rows of probabilities."""
        return cls(name, f"0 <= {name}, each row of {name} sums to 1", distributions)


WEIGHTS = Condition("weights", "0 <= weights, sum(weights) = 1", distributions)
MEANS = Condition("means", "means are finite", finite)


class LogLikelihood(Op):  # type: ignore[misc]
    """A log-likelihood in nats, as further outputs its derivatives by the parameters, and a fault.

    The last output is 0, or 1 plus the place in `CONDITIONS` of the first that fails. Then,
    and for impossible data, the log-likelihood is minus infinity and the derivatives are NaN. Of a
    finite log-likelihood the derivatives are finite; one beyond the largest double is that.

    Attributes
    ----------
    PARAMETERS, DATA : dict of str to str
        The inputs by name, with a letter for each axis: equal letters are equal lengths.
    INTEGERS : tuple of str
        Those that are integers; all others are taken as float64.
    CONDITIONS : tuple of Condition
    """

    __props__: ClassVar[tuple[str, ...]] = ()
    PARAMETERS: ClassVar[dict[str, str]]
    DATA: ClassVar[dict[str, str]]
    INTEGERS: ClassVar[tuple[str, ...]] = ()
    CONDITIONS: ClassVar[tuple[Condition, ...]]

    @property
    def _letters(self) -> dict[str, str]:
        return self.PARAMETERS | self.DATA

    def make_node(self, *inputs: Any) -> Apply:
        """Check what is known before there are numbers, and the numbers of known data."""
        given = {k: pt.as_tensor_variable(value) for k, value in zip(self._letters, inputs)}
        _refuse_shapes(self._letters, {name: v.type.shape for name, v in given.items()})
        known = {k: value for k, v in given.items() if (value := _known(v)) is not None}
        static = {
            letter: length
            for name in self.PARAMETERS
            for letter, length in zip(self.PARAMETERS[name], given[name].type.shape)
        }
        for name, variable in given.items():
            if name not in self.INTEGERS:
                given[name] = pt.cast(variable, "float64")
            elif not variable.dtype.startswith(("int", "uint")):
                raise TypeError(f"{name} are {variable.dtype}; they must be integers")
        self.refuse_data({name: known[name] for name in self.DATA if name in known}, static)
        if fault := self.fault(known):
            name, message, _ = self.CONDITIONS[fault - 1]
            raise ParameterValueError(f"{message}; it does not hold for {name} = {known[name]}")
        scores = [pt.tensor(dtype="float64", shape=given[k].type.shape) for k in self.PARAMETERS]
        return Apply(self, list(given.values()), [pt.dscalar(), *scores, pt.lscalar()])

    def value(self, *inputs: Any) -> Any:
        """Return the log-likelihood, checked as PyMC checks its own."""
        value, *_, fault = self(*inputs)
        for n, condition in enumerate(self.CONDITIONS, 1):
            check = CheckParameterValue(condition.message, can_be_replaced_by_ninf=True)
            value = check(value, pt.neq(fault, n))
        return value

    def infer_shape(self, node: Apply, shapes: Sequence[Any]) -> list[Any]:  # noqa: ARG002
        """Return the shapes of the outputs: a score has its parameter's."""
        return [(), *shapes[: len(self.PARAMETERS)], ()]

    def fault(self, given: Mapping[str, Any]) -> int:
        """Return 1 plus the place of the first condition that what is given fails, or 0."""
        for n, (name, _, holds) in enumerate(self.CONDITIONS, 1):
            if name in given and not holds.py_func(np.atleast_2d(given[name])):
                return n
        return 0

    def refuse_data(self, data: Mapping[str, Any], lengths: Mapping[str, int | None]) -> None:  # noqa: ARG002
        """Raise ValueError if data that are known have values that the model cannot take.

        Those are numbers that are not finite, unless the model says otherwise.

        Parameters
        ----------
        data : mapping of str to ndarray
            By name; may lack some.
        lengths : mapping of str to int or None
            By letter.
        """
        for name, value in data.items():
            if not np.isfinite(value).all():
                raise ValueError(f"{name} has values that are not finite: leave those rows out")

    def e_step(self, *inputs: Any) -> tuple[float, list[Floats]]:
        """Return the log-likelihood and the derivatives of checked inputs."""
        raise NotImplementedError

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Any) -> None:  # noqa: ARG002
        """Run the E-step and score its statistics, in Python."""
        given = dict(zip(self._letters, inputs))
        shapes = {name: array.shape for name, array in given.items()}
        _refuse_shapes(self._letters, shapes)
        lengths = {k: n for name in shapes for k, n in zip(self._letters[name], shapes[name])}
        self.refuse_data({name: given[name] for name in self.DATA}, lengths)
        fault = self.fault(given)
        value, scores = -np.inf, [given[name] for name in self.PARAMETERS]
        if not fault:
            with np.errstate(all="ignore"), suppress(DegenerateError, ValueError):  # impossible
                value, scores = self.e_step(*inputs)
        for storage, score in zip(output_storage[1:], scores):
            storage[0] = (
                simplex.bounded(score) if np.isfinite(value) else np.full_like(score, np.nan)
            )
        output_storage[0][0], output_storage[-1][0] = np.asarray(value), np.asarray(fault)

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Return which outputs depend on which inputs; nothing does on symbols and lengths."""
        scored = len(node.outputs) - 1
        return [[name not in self.INTEGERS] * scored + [False] for name in self._letters]

    def pullback(
        self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]
    ) -> list[Any]:
        """Return the scores times the log-likelihood's cotangent."""
        by_value, *by_scores = cotangents
        pulled = []
        for i, (name, variable) in enumerate(zip(self._letters, inputs)):
            if name in self.INTEGERS:
                pulled.append(disconnected_type())
            elif name in self.DATA:
                why = f"{name} are data; a gradient with respect to them is not there"
                pulled.append(grad_not_implemented(self, i, variable, why))
            elif not all(isinstance(c.type, DisconnectedType) for c in by_scores):
                why = "an E-step gives first derivatives only"
                pulled.append(grad_not_implemented(self, i, variable, why))
            else:
                pulled.append(by_value * outputs[1 + i])
        return pulled


def _known(variable: Any) -> Any:
    """Return the value that a constant or a shared variable has, or None."""
    if isinstance(variable, Constant):
        return variable.data
    return variable.get_value(borrow=True) if isinstance(variable, SharedVariable) else None


def mixture_score(model: Any, statistics: Any, parameters: Any, x: Floats) -> Any:
    """Return a mixture's score, also where a weight is too small to divide a count by."""
    score = model.score(statistics, parameters)
    if (parameters.weights >= simplex.TINY).all():
        return score
    return replace(score, weights=model.gradient(parameters, x)[0].weights)


class AnyModel(LogLikelihood):
    """Of any model whose data are rows of numbers, by its own E-step in Python.

    Parameters
    ----------
    name : str
        The model's name.
    """

    __props__: ClassVar = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name
        spaces = load(name).Parameters.SPACES
        self.__dict__.update(
            PARAMETERS={field: space.axes for field, space in spaces.items()},
            DATA={"x": "ND" if any("D" in space.axes for space in spaces.values()) else "N"},
            CONDITIONS=tuple(_condition(field, space) for field, space in spaces.items()),
        )

    def e_step(self, *inputs: Any) -> Any:
        """Return the log-likelihood and the derivatives."""
        model: Any = load(self.name)
        *fields, x = inputs
        parameters = model.Parameters(*fields)
        if hasattr(model, "gradient"):
            derivatives, value = model.gradient(parameters, x)
        else:
            statistics, value = model.e_step(parameters, x)
            derivatives = model.score(statistics, parameters)
        return value, derivatives.arrays().values()


def _condition(field: str, space: Space) -> Condition:
    """Return what a field of that space must fulfil."""
    if space.probability:
        return Condition.rows(field)
    if isinstance(space, Positive):
        return Condition(field, f"{field} > 0", positive)
    return Condition(field, f"{field} are finite", finite)


def log_likelihood(model: Model, x: Any, **parameters: Any) -> Any:
    """Return the log-likelihood of a model whose data are rows of numbers.

    Parameters
    ----------
    model : Model
    x : tensor_like, shape (N,) or (N, D)
    **parameters : tensor_like
        The fields of its parameters.

    Returns
    -------
    TensorVariable, shape ()
        In nats; for `pm.Potential`.
    """
    ordered = [parameters[name] for name in model.Parameters.SPACES]
    return AnyModel(model.NAME).value(*ordered, x)


def by_name(kernel: Any, name: str) -> Any:
    """Return a kernel as a function that compiled ones call by that name.

    The kernel's code is not compiled into them; and an address, which another process does not
    share, would keep PyTensor from keeping them.
    """
    add_symbol(name, kernel.address)
    return numba.types.ExternalFunction(name, kernel._sig)


@twin  # type: ignore[untyped-decorator]
def settle(out: Floats) -> None:
    """Bound the derivatives; without a log-likelihood, which comes first, there are none."""
    for i in range(1, len(out)):
        out[i] = max(min(out[i], MOST), -MOST) if np.isfinite(out[0]) else np.nan


def compiled_as(op: type[LogLikelihood], score: Any, *files: str) -> None:
    """Have numba compile an Op as `score`; PyTensor keeps the graphs while these files stay."""
    read = b"".join(Path(file).read_bytes() for file in (__file__, *files))
    version = int(sha256(read).hexdigest()[:15], 16)

    @register_funcify_default_op_cache_key(op)  # type: ignore[untyped-decorator]
    def _(op: Op, node: Apply, **kwargs: Any) -> Any:  # noqa: ARG001
        return score, version


def __getattr__(name: str) -> Any:
    """Return the log-likelihood of the model of that name, as a function of tensors."""
    if name not in names():
        raise AttributeError(f"{name} is no model; there are {', '.join(names())}")
    model = load(name)
    own = part(model, "graph")
    return partial(log_likelihood, model) if own is None else own.log_likelihood
