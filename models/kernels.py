"""The quickest E-step there is for a model: its compiled twin, in parts over the processor's cores.

The readable E-step of each model is the definition; a twin is tested equal to it. A model without
a twin, and data that its twin does not take, have the readable one, and so does whatever is not
finite: it says what is wrong.

Loading the twins takes about a second, and they are loaded when a process has spent half a second
without them: who fits little never waits for them, and who fits much hardly longer than if they had
been there from the start.

How data are cut into parts depends on their size alone, and when the twins are loaded on the sizes
of what was done before. The same program therefore gives the same digits on any number of cores.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lockstep.models import (
    Data,
    Model,
    categorical_hmm,
    gaussian_mixture_1d,
    gaussian_mixture_2d,
    mixture_diagonal,
    records,
    simplex,
)
from lockstep.models.records import Floats, Integers, Parameters, Statistics, checked_weights

LOADING = 0.5
"""Seconds without compiled functions after which they are loaded."""

ROW, STEP = 1e-7, 1e-5
"""Seconds, about, that a readable E-step takes for a row and component of a mixture, and for a step
of a hidden Markov model."""

WORK = 2**22
"""Products of numbers in one part, about: a millisecond's work or two, of which waking a thread
is a small share."""


_without: defaultdict[str, float] = defaultdict(float)
"""Seconds, about, spent without each module of compiled functions."""


def compiled(name: str, seconds: float = math.inf) -> Any:
    """Return a module of compiled functions, or None as long as it is not worth loading.

    Parameters
    ----------
    name : str
        ``hmm_kernels`` or ``mixture_kernels``.
    seconds : float, optional
        What it takes, about, to do without this time; by default the module is loaded.
    """
    module = f"lockstep.models.{name}"
    if module not in sys.modules:
        _without[name] += seconds
        if _without[name] < LOADING:
            return None
    return importlib.import_module(module)


class Stretch(NamedTuple):
    """Some EM iterations in a row, as far as nothing was amiss.

    Attributes
    ----------
    path : tuple of ndarray, shape (n + 1, ...)
        The fields of the parameters after 0, 1, ..., n iterations.
    trace : ndarray, shape (n + 1,)
        Their log-likelihoods.
    changes : ndarray, shape (n,)
        The model's `change` over each iteration.
    """

    path: tuple[Floats, ...]
    trace: Floats
    changes: Floats


class _Mixture1D:
    """Data of the 1D mixture, for its kernels. A missing value says what the weights say."""

    MODULE: ClassVar = "mixture_kernels"

    @staticmethod
    def seconds(x: Floats, K: int) -> float:
        """Return about how long the readable E-step takes."""
        return ROW * len(x) * K

    def __init__(self, x: Floats, weights: Floats | None) -> None:
        self.kernels = compiled(self.MODULE)
        w = np.empty(0) if weights is None else checked_weights(weights, len(x))
        missing = np.isnan(x)
        self.missing = 0.0
        if missing.any():
            self.missing = float(w[missing].sum() if len(w) else missing.sum())
            x, w = x[~missing], w[~missing] if len(w) else w
        self.whole = np.ascontiguousarray(x), w

    def parts(self, parameters: Any) -> list[Any]:
        return self._rows(WORK // (4 * parameters.n_components))

    def _rows(self, size: int) -> list[Any]:
        (x, w), size = self.whole, max(size, self.kernels.ROWS)
        cuts = range(0, len(x), size)
        return [(x[begin : begin + size], w[begin : begin + size]) for begin in cuts]

    def expect(self, parameters: Any, part: Any) -> Any:
        return self.kernels.moments_1d(*part, *parameters.arrays().values())

    def statistics(self, parameters: Any, sums: Sequence[Any]) -> Any:
        counts, first, second = sums
        if self.missing:
            counts = counts + self.missing * parameters.weights
            second = second + self.missing * parameters.weights * parameters.variances
        return gaussian_mixture_1d.Statistics(counts, first, second, parameters.means)

    def climb(
        self, parameters: Any, part: Any, iterations: int, tol: float, reg_covar: float = 0.0
    ) -> Any:
        if self.missing:
            return None
        fields = parameters.arrays().values()
        return self.kernels.climb_1d(*part, *fields, reg_covar, iterations, tol)


class _Column(_Mixture1D):
    """Data of the mixture in any dimension if that is one: the same numbers in longer shapes."""

    def __init__(self, x: Floats, weights: Floats | None) -> None:
        super().__init__(x[:, 0], weights)

    def _short(self, parameters: Any) -> gaussian_mixture_1d.Parameters:
        return gaussian_mixture_1d.Parameters(
            parameters.weights, parameters.means[:, 0], parameters.covariances[:, 0, 0]
        )

    def expect(self, parameters: Any, part: Any) -> Any:
        return super().expect(self._short(parameters), part)

    def statistics(self, parameters: Any, sums: Sequence[Any]) -> Any:
        s = super().statistics(self._short(parameters), sums)
        return gaussian_mixture_2d.Statistics(
            s.counts, s.first[:, None], s.second[:, None, None], parameters.means
        )

    def climb(
        self,
        parameters: Any,
        part: Any,
        iterations: int,
        tol: float,
        reg_covar: float = 0.0,
        covariance_type: str = "full",
    ) -> Any:
        if covariance_type == "tied":
            return None
        climbed = super().climb(self._short(parameters), part, iterations, tol, reg_covar)
        if climbed is None:
            return None
        weights, means, variances, trace, changes = climbed
        return weights, means[..., None], variances[..., None, None], trace, changes


class _Mixture(_Mixture1D):
    """Data of the mixture in any dimension, for its kernels; none is missing."""

    def __init__(self, x: Floats, weights: Floats | None) -> None:
        self.kernels = compiled(self.MODULE)
        w = np.empty(0) if weights is None else checked_weights(weights, len(x))
        self.whole = np.ascontiguousarray(x), w

    def parts(self, parameters: Any) -> list[Any]:
        K, D = parameters.means.shape
        return self._rows(WORK // (K * (D + 1) ** 2))

    def expect(self, parameters: Any, part: Any) -> Any:
        factors = gaussian_mixture_2d.cholesky(parameters.covariances)
        return self.kernels.moments(*part, parameters.weights, parameters.means, factors)

    def statistics(self, parameters: Any, sums: Sequence[Any]) -> Statistics:
        counts, first, second = sums
        return gaussian_mixture_2d.Statistics(counts, first, second, parameters.means)

    def climb(
        self,
        parameters: Any,
        part: Any,
        iterations: int,
        tol: float,
        reg_covar: float = 0.0,
        covariance_type: str = "full",
    ) -> Any:
        if covariance_type != "full":
            return None
        fields = parameters.arrays().values()
        return self.kernels.climb(*part, *fields, reg_covar, iterations, tol)


class _Diagonal(_Mixture):
    """Data of the mixture with diagonal covariances, for its kernel; none is missing."""

    def parts(self, parameters: Any) -> list[Any]:
        return self._rows(WORK // (4 * parameters.means.size))

    def expect(self, parameters: Any, part: Any) -> Any:
        return self.kernels.moments_diagonal(*part, *parameters.arrays().values())

    def statistics(self, parameters: Any, sums: Sequence[Any]) -> Statistics:
        counts, first, second = sums
        return mixture_diagonal.Statistics(counts, first, second, parameters.means)

    def climb(self, *_: Any, **__: Any) -> None:
        return None


class _Sequences:
    """Data of the hidden Markov model, for its kernels: all sequences in one array."""

    MODULE: ClassVar = "hmm_kernels"

    @staticmethod
    def seconds(sequences: tuple[Integers, ...], K: int) -> float:  # noqa: ARG004
        """Return about how long the readable E-step takes."""
        return STEP * records.size(sequences)

    def __init__(self, sequences: tuple[Integers, ...], weights: Floats | None) -> None:
        self.kernels = compiled(self.MODULE)
        offsets = np.cumsum([0, *map(len, sequences)])
        symbols = np.concatenate([np.empty(0, np.int64), *sequences])
        self.whole = symbols, offsets, checked_weights(weights, len(sequences), "sequence")

    def parts(self, parameters: Any) -> list[Any]:
        """Cut between sequences, wherever another part's share of the symbols is full."""
        (symbols, offsets, w), (K, V) = self.whole, parameters.emissionprob.shape
        categorical_hmm.refuse_beyond(symbols, V)  # kernels read whatever lies there
        shares = np.arange(0, offsets[-1], WORK // (8 * K * K) + 1)
        cuts = np.unique([*np.searchsorted(offsets, shares), len(w)])
        return [
            (
                self.kernels.read(
                    symbols[offsets[i] : offsets[j]], offsets[i : j + 1] - offsets[i], K, V
                ),
                w[i:j],
            )
            for i, j in pairwise(cuts)
        ]

    def expect(self, parameters: Any, part: Any) -> Any:
        states = self.kernels.states_of(parameters.n_components)
        return self.kernels.counts(states, *parameters.arrays().values(), *part)

    def statistics(self, parameters: Any, sums: Sequence[Any]) -> Statistics:  # noqa: ARG002
        starts, transitions, emissions = sums
        return categorical_hmm.Statistics(starts, transitions, emissions)

    def climb(self, parameters: Any, part: Any, iterations: int, tol: float) -> Any:
        states = self.kernels.states_of(parameters.n_components)
        return self.kernels.climb(states, *parameters.arrays().values(), *part, iterations, tol)


def _kind(model: Model, data: Any) -> Any:
    """Return the class that prepares such data for the kernels; None if they do not take them."""
    if model.NAME == gaussian_mixture_1d.NAME:
        return _Mixture1D
    if model.NAME == gaussian_mixture_2d.NAME and data.shape[1] == 1:
        return _Column
    if model.NAME == gaussian_mixture_2d.NAME and not np.isnan(data).any():
        return _Mixture
    if model.NAME == mixture_diagonal.NAME and not np.isnan(data).any():
        return _Diagonal
    if model.NAME == categorical_hmm.NAME:
        return _Sequences
    return None


class Expectation:
    """The E-step of a model on given data, as quick as it goes.

    Parameters
    ----------
    model : Model
    data : Data
        As the model's `check_data` returns them.
    weights : ndarray, optional
        As for the model's `e_step`.
    """

    def __init__(self, model: Model, data: Data, weights: Floats | None = None) -> None:
        self.model, self.data, self.weights = model, data, weights
        self._kind = _kind(model, data)
        self._prepared: Any = None
        self._parts: list[Any] = []
        self._threads: ThreadPoolExecutor | None = None

    def _cut(self, parameters: Parameters) -> list[Any]:
        """Return the parts of the data; none if the readable E-step is to take them."""
        if self._prepared is None and self._kind is not None:
            seconds = self._kind.seconds(self.data, parameters.n_components)
            if compiled(self._kind.MODULE, seconds) is None:
                return []
            self._prepared = self._kind(self.data, self.weights)
            self._parts = self._prepared.parts(parameters)
            if len(self._parts) > 1:
                from numba import get_num_threads

                self._threads = ThreadPoolExecutor(get_num_threads())
        return self._parts

    def __call__(self, parameters: Parameters) -> tuple[Statistics, float]:
        """Return what the model's `e_step` returns.

        Raises
        ------
        DegenerateError, ValueError
            As the model's `e_step` does.
        """
        if parts := self._cut(parameters):
            run = map if self._threads is None else self._threads.map
            sums = list(run(lambda part: self._prepared.expect(parameters, part), parts))
            *statistics, log_likelihood = (sum(each) for each in zip(*sums))
            if np.isfinite(log_likelihood):
                return self._prepared.statistics(parameters, statistics), float(log_likelihood)
        return self.model.e_step(parameters, self.data, self.weights)

    def climb(
        self, parameters: Parameters, options: Mapping[str, Any], iterations: int, tol: float
    ) -> Stretch | None:
        """Iterate EM, M-steps included, without coming back in between.

        Parameters
        ----------
        parameters : Parameters
        options : mapping
            Arguments of the model's `m_step`.
        iterations : int
            At the most.
        tol : float
            Stops after an iteration whose `change` is at most this.

        Returns
        -------
        Stretch or None
            None if there is no kernel for that, or it is not worth loading, or the data are so
            many that they are better taken in parts.
        """
        parts = self._cut(parameters)
        if len(parts) != 1:
            return None
        climbed = self._prepared.climb(parameters, parts[0], iterations, tol, **options)
        if climbed is None:
            return None
        *path, trace, changes = climbed
        return Stretch(tuple(path), trace, changes)


def e_step(model: Model) -> Callable[..., tuple[Statistics, float]]:
    """Return the quickest E-step of a model, with the signature of the model's own."""

    def quickest(
        parameters: Parameters, data: Data, weights: Floats | None = None
    ) -> tuple[Statistics, float]:
        return Expectation(model, data, weights)(parameters)

    return quickest


def log_likelihoods(
    parameters: categorical_hmm.Parameters, symbols: Integers, offsets: Integers
) -> Floats:
    """Return each sequence's `categorical_hmm.log_likelihood`; minus infinity if impossible.

    Parameters
    ----------
    parameters : Parameters
    symbols : ndarray of int, shape (sum of T,)
        All sequences, one after the other; -1 where masked.
    offsets : ndarray of int, shape (number of sequences + 1,)
        Where each begins, and the end.

    Returns
    -------
    ndarray, shape (number of sequences,)
    """
    kernels = compiled("hmm_kernels", STEP * len(symbols))
    if kernels is not None:
        values: Floats = kernels.log_likelihoods(*parameters.arrays().values(), symbols, offsets)
        return values
    sequences = categorical_hmm.split(symbols, offsets)
    return np.array([categorical_hmm.log_likelihood(parameters, (s,)) for s in sequences])


def smoothed(
    parameters: categorical_hmm.Parameters, symbols: Integers, offsets: Integers
) -> tuple[Floats, Floats]:
    """Return `log_likelihoods`, and each sequence's `categorical_hmm.state_probabilities`.

    Returns
    -------
    values : ndarray, shape (number of sequences,)
    probabilities : ndarray, shape (sum of T, K)
        NaN where the sequence is impossible.
    """
    kernels = compiled("hmm_kernels", 2 * STEP * len(symbols))
    if kernels is not None:
        both: tuple[Floats, Floats]
        both = kernels.smoothed(*parameters.arrays().values(), symbols, offsets)
        return both
    values = log_likelihoods(parameters, symbols, offsets)
    probabilities = [
        categorical_hmm.state_probabilities(parameters, s)
        if value > -np.inf
        else np.full((len(s), parameters.n_components), np.nan)
        for s, value in zip(categorical_hmm.split(symbols, offsets), values, strict=True)
    ]
    return values, np.concatenate(probabilities)


def viterbi(
    parameters: categorical_hmm.Parameters, symbols: Integers, offsets: Integers
) -> Integers:
    """Return each sequence's `categorical_hmm.viterbi`, shape (sum of T,)."""
    kernels = compiled("hmm_kernels", STEP * len(symbols))
    if kernels is not None:
        logs = map(simplex.to_logs, parameters.arrays().values())
        path: Integers = kernels.viterbi(*logs, symbols, offsets)
        return path
    sequences = categorical_hmm.split(symbols, offsets)
    return np.concatenate([categorical_hmm.viterbi(parameters, s) for s in sequences])
