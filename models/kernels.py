"""Compiled twins of the E-steps: the same signature, the same numbers, less time.

The readable E-step of each model is the definition; a twin here is tested equal to it. Only the
hidden Markov model has one so far: its recursions over time are what Python is slow at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from models import Model, categorical_hmm
from models.categorical_hmm import Sequences, Statistics
from models.records import Floats, Integers, checked_weights

type EStep = Callable[..., tuple[Any, float]]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _expected_counts(
    startprob: Floats,
    transmat: Floats,
    emissionprob: Floats,
    symbols: Integers,
    weight: float,
    starts: Floats,
    transitions: Floats,
    emissions: Floats,
) -> float:
    """Add a sequence's weighted expected counts to the last three; return its log-likelihood.

    As `categorical_hmm.e_step`, with the backward pass and the counts in one sweep; a negative
    symbol is a masked one. An impossible sequence gives minus infinity and leaves the counts as
    they are.
    """
    T, K = len(symbols), len(startprob)
    alpha = np.empty((T, K))
    scales = np.empty(T)
    log_likelihood = 0.0
    for t in range(T):
        scale = 0.0
        for j in range(K):
            predicted = 0.0
            if t == 0:
                predicted = startprob[j]
            else:
                for i in range(K):
                    predicted += alpha[t - 1, i] * transmat[i, j]
            alpha[t, j] = predicted
            if symbols[t] >= 0:
                alpha[t, j] *= emissionprob[j, symbols[t]]
            scale += alpha[t, j]
        if scale == 0.0:
            return -np.inf
        for j in range(K):
            alpha[t, j] /= scale
        scales[t] = scale
        log_likelihood += np.log(scale)

    beta = np.ones(K)
    ahead = np.empty(K)
    for t in range(T - 1, -1, -1):
        if t < T - 1:
            for j in range(K):
                ahead[j] = beta[j] / scales[t + 1]
                if symbols[t + 1] >= 0:
                    ahead[j] *= emissionprob[j, symbols[t + 1]]
            for i in range(K):
                beta[i] = 0.0
                for j in range(K):
                    beta[i] += transmat[i, j] * ahead[j]
                    transitions[i, j] += weight * alpha[t, i] * transmat[i, j] * ahead[j]
        if symbols[t] >= 0:
            for i in range(K):
                emissions[i, symbols[t]] += weight * alpha[t, i] * beta[i]
    for i in range(K):
        starts[i] += weight * alpha[0, i] * beta[i]
    return weight * log_likelihood


def _hmm_e_step(
    parameters: categorical_hmm.Parameters, sequences: Sequences, weights: Floats | None = None
) -> tuple[Statistics, float]:
    K, V = parameters.emissionprob.shape
    starts, transitions, emissions = np.zeros(K), np.zeros((K, K)), np.zeros((K, V))
    total = 0.0
    w = checked_weights(weights, len(sequences), "sequence")
    for n in np.flatnonzero(w):
        total += _expected_counts(
            parameters.startprob,
            parameters.transmat,
            parameters.emissionprob,
            sequences[n],
            w[n],
            starts,
            transitions,
            emissions,
        )
    if total == -np.inf:
        return categorical_hmm.e_step(parameters, sequences, w)  # raises, and says where
    return Statistics(starts, transitions, emissions), total


def e_step(model: Model) -> EStep:
    """Return the quickest E-step of a model: its compiled twin, or its own if there is none."""
    return _hmm_e_step if model.NAME == categorical_hmm.NAME else model.e_step
