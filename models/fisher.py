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

from lockstep.models import Model, hmm_kernels, kernels, load, mixture_kernels, simplex
from lockstep.models.categorical_hmm import MASKED
from lockstep.models.hmm_kernels import NO_LENGTH, NO_SYMBOL
from lockstep.models.records import DegenerateError, Floats, Integers, Space
from lockstep.models.spaces import Positive

_MIXTURE_1D: Any = load("gaussian_mixture_1d")
_MIXTURE_2D: Any = load("gaussian_mixture_2d")
_HMM: Any = load("categorical_hmm")

_FILES = (__file__, mixture_kernels.__file__, hmm_kernels.__file__)
VERSION = int(sha256(b"".join(Path(file).read_bytes() for file in _FILES)).hexdigest()[:15], 16)
"""Part of the key under which PyTensor keeps what it compiled: other kernels are another graph."""

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


# numba does not keep what is compiled here; PyTensor keeps whole graphs, under `VERSION`.
_twin = numba.njit(error_model="numpy")

NORMAL = float(np.finfo(np.float64).smallest_normal)
"""Variances, and diagonals of factors, are at least this: the reciprocal must be a double."""

MOST = float(np.finfo(np.float64).max)

TOLERANCE = 1e-5 + 1e-8
"""By how much a sum may differ from 1: that of `pt.isclose`, by which PyMC judges its own."""


@_twin  # type: ignore[untyped-decorator]
def _distributions(rows: Floats) -> bool:
    sound = True
    for i in range(len(rows)):
        sound = sound and rows[i].min() >= 0 and abs(rows[i].sum() - 1) <= TOLERANCE
    return sound


@_twin  # type: ignore[untyped-decorator]
def _not_transposed(square: Floats) -> bool:
    rows = columns = 0
    for i in range(len(square)):
        rows += int(abs(square[i].sum() - 1) <= TOLERANCE)
        columns += int(abs(square[:, i].sum() - 1) <= TOLERANCE)
    return rows == len(square) or columns < len(square)


@_twin  # type: ignore[untyped-decorator]
def _finite(values: Floats) -> bool:
    return bool(np.isfinite(values).all())


@_twin  # type: ignore[untyped-decorator]
def _variances(values: Floats) -> bool:
    return bool((values >= NORMAL).all() and np.isfinite(values).all())


@_twin  # type: ignore[untyped-decorator]
def _lower_factors(factors: Floats) -> bool:
    for k in range(len(factors)):
        for i in range(factors.shape[1]):
            for j in range(i + 1):
                if not np.isfinite(factors[k, i, j]):
                    return False
            if not factors[k, i, i] >= NORMAL:
                return False
    return True


@_twin  # type: ignore[untyped-decorator]
def _upper_factors(factors: Floats) -> bool:
    for k in range(len(factors)):
        for j in range(factors.shape[1]):
            for i in range(j + 1):
                if not np.isfinite(factors[k, i, j]):
                    return False
            if not factors[k, j, j] >= NORMAL:
                return False
    return True


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
        return cls(name, f"0 <= {name}, each row of {name} sums to 1", _distributions)


_WEIGHTS = Condition("weights", "0 <= weights, sum(weights) = 1", _distributions)
_MEANS = Condition("means", "means are finite", _finite)


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

    def refuse_data(self, data: Mapping[str, Any], lengths: Mapping[str, int | None]) -> None:
        """Raise ValueError if data that are known have values that the model cannot take.

        Parameters
        ----------
        data : mapping of str to ndarray
            By name; may lack some.
        lengths : mapping of str to int or None
            By letter.
        """
        raise NotImplementedError

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


def _refuse_infinite(data: Mapping[str, Any]) -> None:
    for name, value in data.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name} has values that are not finite: leave those rows out")


def _mixture_score(model: Any, statistics: Any, parameters: Any, x: Floats) -> Any:
    """Return a mixture's score, also where a weight is too small to divide a count by."""
    score = model.score(statistics, parameters)
    if (parameters.weights >= simplex.TINY).all():
        return score
    return replace(score, weights=model.gradient(parameters, x)[0].weights)


class GaussianMixture1D(LogLikelihood):
    """Of the univariate Gaussian mixture."""

    PARAMETERS: ClassVar = {"weights": "K", "means": "K", "variances": "K"}
    DATA: ClassVar = {"x": "N"}
    CONDITIONS: ClassVar = (_WEIGHTS, _MEANS, Condition("variances", "variances > 0", _variances))

    def refuse_data(self, data: Mapping[str, Any], lengths: Mapping[str, int | None]) -> None:  # noqa: ARG002
        """Raise ValueError unless all is finite."""
        _refuse_infinite(data)

    def e_step(self, weights: Floats, means: Floats, variances: Floats, x: Floats) -> Any:
        """Return the log-likelihood and the scores."""
        parameters = _MIXTURE_1D.Parameters(weights, means, variances)
        statistics, value = kernels.e_step(_MIXTURE_1D)(parameters, x)
        return value, _mixture_score(_MIXTURE_1D, statistics, parameters, x).arrays().values()


class GaussianMixture(LogLikelihood):
    """Of the Gaussian mixture in any dimension; the covariances are ``cholesky cholesky'``."""

    PARAMETERS: ClassVar = {"weights": "K", "means": "KD", "cholesky": "KDD"}
    DATA: ClassVar = {"x": "ND"}
    CONDITIONS: ClassVar = (
        _WEIGHTS,
        _MEANS,
        Condition("cholesky", "posdef covariance: each diagonal of cholesky > 0", _lower_factors),
    )

    def refuse_data(self, data: Mapping[str, Any], lengths: Mapping[str, int | None]) -> None:  # noqa: ARG002
        """Raise ValueError unless all is finite."""
        _refuse_infinite(data)

    def e_step(self, weights: Floats, means: Floats, cholesky: Floats, x: Floats) -> Any:
        """Return the log-likelihood and the scores.

        With G the derivative by a covariance ``L L'``, the one by L is the lower half of ``2 G L``.
        """
        L = np.tril(cholesky)
        parameters = _MIXTURE_2D.Parameters(weights, means, L @ L.mT)
        statistics, value = kernels.e_step(_MIXTURE_2D)(parameters, x)
        score = _mixture_score(_MIXTURE_2D, statistics, parameters, x)
        return value, (score.weights, score.means, np.tril(2 * score.covariances @ L))


class GaussianMixtureByPrecisions(GaussianMixture):
    """Of the same mixture; the precisions are ``precisions_cholesky precisions_cholesky'``."""

    PARAMETERS: ClassVar = {"weights": "K", "means": "KD", "precisions_cholesky": "KDD"}
    CONDITIONS: ClassVar = (
        _WEIGHTS,
        _MEANS,
        Condition(
            "precisions_cholesky",
            "posdef precision: each diagonal of precisions_cholesky > 0",
            _upper_factors,
        ),
    )

    def e_step(self, weights: Floats, means: Floats, precisions_cholesky: Floats, x: Floats) -> Any:
        """Return the log-likelihood and the scores.

        With S the second moment about the mean, the score of the upper triangular U of a precision
        ``U U'`` is the upper half of ``N_k U^-T - S U``.
        """
        U = np.triu(precisions_cholesky)
        inverse = np.linalg.inv(U)
        parameters = _MIXTURE_2D.Parameters(weights, means, inverse.mT @ inverse)
        statistics: Any
        statistics, value = kernels.e_step(_MIXTURE_2D)(parameters, x)
        score = _mixture_score(_MIXTURE_2D, statistics, parameters, x)
        by_factor = statistics.counts[:, None, None] * inverse.mT - statistics.second @ U
        return value, (score.weights, score.means, np.triu(by_factor))


class CategoricalHMM(LogLikelihood):
    """Of the hidden Markov model with categorical emissions; a masked symbol is -1."""

    PARAMETERS: ClassVar = {"startprob": "K", "transmat": "KK", "emissionprob": "KV"}
    DATA: ClassVar = {"symbols": "T", "lengths": "N"}
    INTEGERS: ClassVar = ("symbols", "lengths")
    CONDITIONS: ClassVar = (
        Condition.rows("startprob"),
        Condition(
            "transmat",
            "each row of transmat sums to 1; here the columns do, so it is transposed",
            _not_transposed,
        ),
        Condition.rows("transmat"),
        Condition.rows("emissionprob"),
    )

    def refuse_data(self, data: Mapping[str, Any], lengths: Mapping[str, int | None]) -> None:
        """Raise ValueError unless symbols are -1 .. V - 1 and the sequences take them all."""
        symbols, each, V = data.get("symbols"), data.get("lengths"), lengths.get("V")
        if symbols is not None and V is not None:
            for t in np.flatnonzero((symbols < MASKED) | (symbols >= V))[:1]:
                raise ValueError(
                    f"symbols[{t}] is {symbols[t]}; emissionprob has {V} columns, so a symbol is "
                    f"one of 0 .. {V - 1}, or -1 where it was not observed"
                )
        if each is not None and (each < 1).any():
            raise ValueError(f"lengths has {each.min()}; a sequence has at least one symbol")
        if symbols is not None and each is not None and each.sum() != len(symbols):
            raise ValueError(
                f"lengths add up to {each.sum()}, but there are {len(symbols)} symbols"
            )

    def e_step(
        self, startprob: Floats, transmat: Floats, emissionprob: Floats,
        symbols: Integers, lengths: Integers,
    ) -> Any:  # fmt: skip
        """Return the log-likelihood and the scores: `gradient` where counts say too little."""
        parameters = _HMM.Parameters(startprob, transmat, emissionprob)
        ends = np.cumsum(lengths)[:-1]
        sequences = tuple(np.split(symbols.astype(np.int64), ends)) if len(lengths) else ()
        if all((p >= simplex.TINY).all() for p in parameters.arrays().values()):
            with suppress(ValueError):  # impossible, or too improbable for a double
                statistics, value = kernels.e_step(_HMM)(parameters, sequences)
                scores = _HMM.score(statistics, parameters).arrays().values()
                if all(np.isfinite(score).all() for score in scores):
                    return value, scores
        derivatives, value = _HMM.gradient(parameters, sequences)
        return value, derivatives.arrays().values()


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

    def refuse_data(self, data: Mapping[str, Any], lengths: Mapping[str, int | None]) -> None:  # noqa: ARG002
        """Raise ValueError unless all is finite."""
        _refuse_infinite(data)

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
        return Condition(field, f"{field} > 0", _variances)
    return Condition(field, f"{field} are finite", _finite)


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


def gaussian_mixture_1d(x: Any, weights: Any, means: Any, variances: Any) -> Any:
    """Return the log-likelihood of the univariate Gaussian mixture.

    Parameters
    ----------
    x : tensor_like, shape (N,)
        Data.
    weights, means, variances : tensor_like, shape (K,)

    Returns
    -------
    TensorVariable, shape ()
        In nats; for `pm.Potential`.

    Raises
    ------
    ValueError
        If shapes do not fit together, data are not finite, weights are no distribution or
        variances not positive: at once where that is known, or else when it is evaluated. What is
        wrong with parameters, a `pm.Model` then takes for a log-likelihood of minus infinity, as
        it does with PyMC's own distributions.
    """
    return GaussianMixture1D().value(weights, means, variances, x)


def gaussian_mixture_2d(
    x: Any, weights: Any, means: Any, cholesky: Any = None, *, precisions_cholesky: Any = None
) -> Any:
    """Return the log-likelihood of the Gaussian mixture, in any dimension.

    Parameters
    ----------
    x : tensor_like, shape (N, D)
        Data.
    weights : tensor_like, shape (K,)
    means : tensor_like, shape (K, D)
    cholesky : tensor_like, shape (K, D, D)
        Lower triangular, the factors of the covariances: what `pm.LKJCholeskyCov` returns first.
        Above the diagonal it is taken for zero.
    precisions_cholesky : tensor_like, shape (K, D, D)
        Instead of them, upper triangular factors U of the precisions ``U U'``. Below the diagonal
        they are taken for zero.

    Returns
    -------
    TensorVariable, shape ()
        In nats; for `pm.Potential`.

    Raises
    ------
    TypeError
        Unless there is one of cholesky and precisions_cholesky.
    ValueError
        As for `gaussian_mixture_1d`; the diagonals of factors must be positive.
    """
    if (cholesky is None) == (precisions_cholesky is None):
        raise TypeError("give either cholesky or precisions_cholesky")
    if cholesky is None:
        return GaussianMixtureByPrecisions().value(weights, means, precisions_cholesky, x)
    return GaussianMixture().value(weights, means, cholesky, x)


def categorical_hmm(
    symbols: Any, startprob: Any, transmat: Any, emissionprob: Any, lengths: Any = None
) -> Any:
    """Return the log-likelihood of the hidden Markov model with categorical emissions.

    Parameters
    ----------
    symbols : tensor_like of int, shape (T,)
        All sequences, one after the other; -1 where a symbol was not observed.
    startprob : tensor_like, shape (K,)
    transmat : tensor_like, shape (K, K)
    emissionprob : tensor_like, shape (K, V)
    lengths : tensor_like of int, shape (number of sequences,), optional
        How many symbols each sequence has; without it they are one sequence.

    Returns
    -------
    TensorVariable, shape ()
        In nats; for `pm.Potential`. Minus infinity if a sequence is impossible.

    Raises
    ------
    ValueError
        If shapes do not fit together, a symbol is not one of the V, the lengths do not add up, or
        a row of probabilities is no distribution: at once where that is known, or else when it is
        evaluated, rows as for `gaussian_mixture_1d`.
    TypeError
        If symbols or lengths are not integers.
    """
    symbols = pt.as_tensor_variable(symbols)
    lengths = symbols.shape if lengths is None else lengths
    return CategoricalHMM().value(startprob, transmat, emissionprob, symbols, lengths)


def _by_name(kernel: Any, name: str) -> Any:
    """Return a kernel as a function that compiled ones call by that name.

    The kernel's code is not compiled into them; and an address, which another process does not
    share, would keep PyTensor from keeping them.
    """
    add_symbol(name, kernel.address)
    return numba.types.ExternalFunction(name, kernel._sig)


_mixture_1d = _by_name(mixture_kernels.score_1d, "lockstep_gaussian_mixture_1d")
_mixture = _by_name(mixture_kernels.score, "lockstep_gaussian_mixture")
_mixture_by_precisions = _by_name(
    mixture_kernels.score_by_precisions, "lockstep_gaussian_mixture_by_precisions"
)
_hmm = _by_name(hmm_kernels.score, "lockstep_categorical_hmm")


@_twin  # type: ignore[untyped-decorator]
def _settle(out: Floats) -> None:
    """Bound the derivatives; without a log-likelihood, which comes first, there are none."""
    for i in range(1, len(out)):
        out[i] = max(min(out[i], MOST), -MOST) if np.isfinite(out[0]) else np.nan


# The compiled Ops.


@_twin  # type: ignore[untyped-decorator]
def _score_1d(weights: Floats, means: Floats, variances: Floats, x: Floats) -> Any:
    w, m, v, x = (
        np.ascontiguousarray(weights),
        np.ascontiguousarray(means),
        np.ascontiguousarray(variances),
        np.ascontiguousarray(x),
    )
    K, N = len(w), len(x)
    if len(m) != K or len(v) != K:
        raise ValueError("weights, means and variances differ in length")
    out, fault = np.zeros(1 + 3 * K), 0
    if not _distributions(w.reshape(1, K)):
        fault = 1
    elif not _finite(m):
        fault = 2
    elif not _variances(v):
        fault = 3
    if fault:
        out[0] = -np.inf
    elif N > 0:
        _mixture_1d(w.ctypes, m.ctypes, v.ctypes, x.ctypes, out.ctypes, K, N)
    _settle(out)
    a, b = 1 + K, 1 + 2 * K
    return np.asarray(out[0]), out[1:a], out[a:b], out[b:], np.asarray(fault)


def _score_of(kernel: Any, are_factors: Any) -> Any:
    """Return the compiled Op of a mixture, whose kernel takes covariances in one form or other."""

    @_twin  # type: ignore[untyped-decorator]
    def score(weights: Floats, means: Floats, factors: Floats, x: Floats) -> Any:
        w, m, f, x = (
            np.ascontiguousarray(weights),
            np.ascontiguousarray(means),
            np.ascontiguousarray(factors),
            np.ascontiguousarray(x),
        )
        (K, D), N = m.shape, len(x)
        if len(w) != K or f.shape != (K, D, D) or x.shape[1] != D:
            raise ValueError("weights (K,), means (K, D), factors (K, D, D), x (N, D) do not fit")
        out, fault = np.zeros(1 + K + K * D + K * D * D), 0
        if not _distributions(w.reshape(1, K)):
            fault = 1
        elif not _finite(m):
            fault = 2
        elif not are_factors(f):
            fault = 3
        if fault:
            out[0] = -np.inf
        elif N > 0:
            kernel(w.ctypes, m.ctypes, f.ctypes, x.ctypes, out.ctypes, K, D, N)
        _settle(out)
        a, b = 1 + K, 1 + K + K * D
        by_means, by_factors = out[a:b].reshape(K, D), out[b:].reshape(K, D, D)
        return np.asarray(out[0]), out[1:a], by_means, by_factors, np.asarray(fault)

    return score


_score_2d = _score_of(_mixture, _lower_factors)
_score_by_precisions = _score_of(_mixture_by_precisions, _upper_factors)


@_twin  # type: ignore[untyped-decorator]
def _score_hmm(
    startprob: Floats, transmat: Floats, emissionprob: Floats, symbols: Integers, lengths: Integers
) -> Any:
    s, A, B, x, each = (
        np.ascontiguousarray(startprob),
        np.ascontiguousarray(transmat),
        np.ascontiguousarray(emissionprob),
        symbols.astype(np.int64),
        lengths.astype(np.int64),
    )
    K, V = B.shape
    if len(s) != K or A.shape != (K, K):
        raise ValueError("startprob (K,), transmat (K, K), emissionprob (K, V) do not fit")
    out, fault = np.zeros(1 + K + K * K + K * V), 0
    wrong = _hmm(
        s.ctypes, A.ctypes, B.ctypes, x.ctypes, each.ctypes, out.ctypes, K, V, len(x), len(each)
    )
    if wrong == NO_SYMBOL:
        raise ValueError("a symbol is not one of 0 .. V - 1, nor -1 for one not observed")
    if wrong == NO_LENGTH:
        raise ValueError(
            "a sequence has no symbol, or the lengths do not add up to the number of symbols"
        )
    if not _distributions(s.reshape(1, K)):
        fault = 1
    elif not _not_transposed(A):
        fault = 2
    elif not _distributions(A):
        fault = 3
    elif not _distributions(B):
        fault = 4
    if fault:
        out[0] = -np.inf
    _settle(out)
    a, b = 1 + K, 1 + K + K * K
    by_A, by_B = out[a:b].reshape(K, K), out[b:].reshape(K, V)
    return np.asarray(out[0]), out[1:a], by_A, by_B, np.asarray(fault)


for _op, _score in (
    (GaussianMixture1D, _score_1d),
    (GaussianMixture, _score_2d),
    (GaussianMixtureByPrecisions, _score_by_precisions),
    (CategoricalHMM, _score_hmm),
):

    @register_funcify_default_op_cache_key(_op)  # type: ignore[untyped-decorator]
    def _funcify(op: Op, node: Apply, *, score: Any = _score, **kwargs: Any) -> Any:  # noqa: ARG001
        return score, VERSION
