"""The log-likelihood of the categorical hidden Markov model.

A tensor, whose gradient is the E-step: see `models.fisher`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt

from lockstep.models import fisher, hmm_kernels, kernels, load, simplex
from lockstep.models.hmm_kernels import NO_LENGTH, NO_SYMBOL
from lockstep.models.records import Floats, Integers

_MODEL: Any = load(__package__.rpartition(".")[2])


@fisher.twin  # type: ignore[untyped-decorator]
def _not_transposed(square: Floats) -> bool:
    rows = columns = 0
    for i in range(len(square)):
        rows += int(abs(square[i].sum() - 1) <= fisher.TOLERANCE)
        columns += int(abs(square[:, i].sum() - 1) <= fisher.TOLERANCE)
    return rows == len(square) or columns < len(square)


class CategoricalHMM(fisher.LogLikelihood):
    """Of the hidden Markov model with categorical emissions; a masked symbol is -1."""

    PARAMETERS: ClassVar = {"startprob": "K", "transmat": "KK", "emissionprob": "KV"}
    DATA: ClassVar = {"symbols": "T", "lengths": "N"}
    INTEGERS: ClassVar = ("symbols", "lengths")
    CONDITIONS: ClassVar = (
        fisher.Condition.rows("startprob"),
        fisher.Condition(
            "transmat",
            "each row of transmat sums to 1; here the columns do, so it is transposed",
            _not_transposed,
        ),
        fisher.Condition.rows("transmat"),
        fisher.Condition.rows("emissionprob"),
    )

    def refuse_data(self, data: Mapping[str, Any], lengths: Mapping[str, int | None]) -> None:
        """Raise ValueError unless symbols are -1 .. V - 1 and the sequences take them all."""
        symbols, each, V = data.get("symbols"), data.get("lengths"), lengths.get("V")
        if symbols is not None and V is not None:
            for t in np.flatnonzero((symbols < _MODEL.MASKED) | (symbols >= V))[:1]:
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
        parameters = _MODEL.Parameters(startprob, transmat, emissionprob)
        ends = np.cumsum(lengths)[:-1]
        sequences = tuple(np.split(symbols.astype(np.int64), ends)) if len(lengths) else ()
        if all((p >= simplex.TINY).all() for p in parameters.arrays().values()):
            with suppress(ValueError):  # impossible, or too improbable for a double
                statistics, value = kernels.e_step(_MODEL)(parameters, sequences)
                scores = _MODEL.score(statistics, parameters).arrays().values()
                if all(np.isfinite(score).all() for score in scores):
                    return value, scores
        derivatives, value = _MODEL.gradient(parameters, sequences)
        return value, derivatives.arrays().values()


def log_likelihood(
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
        evaluated, and rows then make a `pm.Model`'s log-likelihood minus infinity.
    TypeError
        If symbols or lengths are not integers.
    """
    symbols = pt.as_tensor_variable(symbols)
    lengths = symbols.shape if lengths is None else lengths
    return CategoricalHMM().value(startprob, transmat, emissionprob, symbols, lengths)


_hmm = fisher.by_name(hmm_kernels.score, "lockstep_" + _MODEL.NAME)


@fisher.twin  # type: ignore[untyped-decorator]
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
    if not fisher.distributions(s.reshape(1, K)):
        fault = 1
    elif not _not_transposed(A):
        fault = 2
    elif not fisher.distributions(A):
        fault = 3
    elif not fisher.distributions(B):
        fault = 4
    if fault:
        out[0] = -np.inf
    fisher.settle(out)
    a, b = 1 + K, 1 + K + K * K
    by_A, by_B = out[a:b].reshape(K, K), out[b:].reshape(K, V)
    return np.asarray(out[0]), out[1:a], by_A, by_B, np.asarray(fault)


fisher.compiled_as(CategoricalHMM, _score_hmm, __file__, hmm_kernels.__file__)
