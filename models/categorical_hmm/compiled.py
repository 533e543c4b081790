"""The compiled twin of the categorical hidden Markov model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from lockstep.models import kernels, records, simplex
from lockstep.models.categorical_hmm import equations
from lockstep.models.categorical_hmm.equations import Parameters, Statistics, refuse_beyond
from lockstep.models.records import Floats, Integers, checked_weights


def twin(sequences: tuple[Integers, ...]) -> type[Prepared]:  # noqa: ARG001 - it takes any data
    """Return the class that prepares the data for the kernels."""
    return Prepared


class Prepared:
    """Data of the hidden Markov model, for its kernels: all sequences in one array."""

    MODULE: ClassVar = "hmm_kernels"

    @staticmethod
    def seconds(sequences: tuple[Integers, ...], K: int) -> float:  # noqa: ARG004
        """Return about how long the readable E-step takes."""
        return kernels.STEP * records.size(sequences)

    def __init__(self, sequences: tuple[Integers, ...], weights: Floats | None) -> None:
        self.kernels = kernels.compiled(self.MODULE)
        offsets = np.cumsum([0, *map(len, sequences)])
        symbols = np.concatenate([np.empty(0, np.int64), *sequences])
        self.whole = symbols, offsets, checked_weights(weights, len(sequences), "sequence")

    def parts(self, parameters: Any) -> list[Any]:
        """Cut between sequences, wherever another part's share of the symbols is full."""
        (symbols, offsets, w), (K, V) = self.whole, parameters.emissionprob.shape
        refuse_beyond(symbols, V)  # kernels read whatever lies there
        shares = np.arange(0, offsets[-1], kernels.WORK // (8 * K * K) + 1)
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

    def statistics(self, parameters: Any, sums: Sequence[Any]) -> Any:  # noqa: ARG002
        starts, transitions, emissions = sums
        return Statistics(starts, transitions, emissions)

    def climb(self, parameters: Any, part: Any, iterations: int, tol: float) -> Any:
        states = self.kernels.states_of(parameters.n_components)
        return self.kernels.climb(states, *parameters.arrays().values(), *part, iterations, tol)


def log_likelihoods(parameters: Parameters, symbols: Integers, offsets: Integers) -> Floats:
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
    loaded = kernels.compiled("hmm_kernels", kernels.STEP * len(symbols))
    if loaded is not None:
        values: Floats = loaded.log_likelihoods(*parameters.arrays().values(), symbols, offsets)
        return values
    sequences = equations.split(symbols, offsets)
    return np.array([equations.log_likelihood(parameters, (s,)) for s in sequences])


def smoothed(parameters: Parameters, symbols: Integers, offsets: Integers) -> tuple[Floats, Floats]:
    """Return `log_likelihoods`, and each sequence's `categorical_hmm.state_probabilities`.

    Returns
    -------
    values : ndarray, shape (number of sequences,)
    probabilities : ndarray, shape (sum of T, K)
        NaN where the sequence is impossible.
    """
    loaded = kernels.compiled("hmm_kernels", 2 * kernels.STEP * len(symbols))
    if loaded is not None:
        both: tuple[Floats, Floats]
        both = loaded.smoothed(*parameters.arrays().values(), symbols, offsets)
        return both
    values = log_likelihoods(parameters, symbols, offsets)
    probabilities = [
        equations.state_probabilities(parameters, s)
        if value > -np.inf
        else np.full((len(s), parameters.n_components), np.nan)
        for s, value in zip(equations.split(symbols, offsets), values, strict=True)
    ]
    return values, np.concatenate(probabilities)


def viterbi(parameters: Parameters, symbols: Integers, offsets: Integers) -> Integers:
    """Return each sequence's `categorical_hmm.viterbi`, shape (sum of T,)."""
    loaded = kernels.compiled("hmm_kernels", kernels.STEP * len(symbols))
    if loaded is not None:
        logs = map(simplex.to_logs, parameters.arrays().values())
        path: Integers = loaded.viterbi(*logs, symbols, offsets)
        return path
    sequences = equations.split(symbols, offsets)
    return np.concatenate([equations.viterbi(parameters, s) for s in sequences])
