"""Compiled twins of the hidden Markov model's recursions, from which `models.kernels` chooses.

`categorical_hmm` is the definition and the place to read; here is the same arithmetic in an order
that a processor likes. Four things make the difference (letters as there):

- A step is one product with ``M[x][i, j] = transmat[i, j] * emissionprob[j, x]``, made once.
- Symbols are read a word at a time. A word ``x y z`` has the matrix ``M[x] M[y] M[z]``; what is
  summed over the data for each word is the outer product G of the forward vector before it and
  the backward vector after it, and from G follow the expected counts within the word, once for
  each word of the language instead of once for each place where it stands (`_spelled`).
- Vectors are rescaled every few words only. The counts divide each word by its own sum, so that
  scales cancel, and the log-likelihood takes one logarithm a rescaling.
- Forward and backward start from both ends of a sequence at the same time, meet in the middle and
  go on, each combining with what the other left behind. The two chains of products do not wait
  for one another, and one array holds forward vectors in its first half, backward ones in the
  second.

Where a number falls so low that digits would be lost, `counts` begins again, a symbol at a time,
and rescales at every step. A masked symbol is -1 there; in words it is one more letter, whose
matrix is ``transmat`` itself.

Loops take arrays with indices, not slices: a slice costs two atomic operations. The argument
`states` stands for K. For few states it is a tuple of that length, and loops over them have a
constant length. For more it is an array, as long as K rounded up to a multiple of `LANES`, and the
two innermost loops take so many numbers at a time, in instructions that are written out because
the compiler finds none for loops so short: without them a fit with 5 to 16 states takes 1.4 to 4
times as long. Rows have zeros at their ends.

References
----------
.. [1] Rabiner (1989), A tutorial on hidden Markov models, Proc. IEEE 77, 257-286: Viterbi's
   algorithm, equations 32 to 35.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from lockstep.models.categorical_hmm import LARGE
from lockstep.models.records import Floats, Integers

EVERY = 16
"""Words from one rescaling to the next."""

TABLE = 1024
"""Numbers in the matrices of all words, about: four such tables stay in a processor's first
cache."""

SPELLING = 32
"""Symbols of data that a word of the language must have, or its table costs more than it saves."""

LOWEST = 1e-250
"""A sum below this may have lost digits to the smallest number that a double can hold."""

FEW = 3
"""Up to so many states the loops over them have a constant length."""

LANES = 8
"""Numbers that one instruction takes, or two on a processor with shorter vectors."""

NO_SYMBOL, NO_LENGTH = 1, 2
"""What `score` returns of symbols, or of lengths, that cannot be."""

# What an entry is called with, so that it is ready when this module has been imported. Arrays that
# may be written to pass for read-only ones.
_Vector, _Matrix = (types.Array(types.float64, n, "C", readonly=True) for n in (1, 2))
_Indices = types.Array(types.int64, 1, "C", readonly=True)
_STATES = (*(types.UniTuple(types.int64, K) for K in range(2, FEW + 1)), _Vector)
_PARAMETERS = (_Vector, _Matrix, _Matrix)
_Written = types.Array(types.int64, 1, "C")


class Text(NamedTuple):
    """Sequences of symbols, and the same in words.

    Attributes
    ----------
    symbols : ndarray of int, shape (sum of T,)
        All sequences, one after the other; -1 where masked.
    offsets : ndarray of int, shape (number of sequences + 1,)
        Where each begins, and the end.
    words : ndarray of int
        Of each sequence the first symbol, then words of `length` letters, then what is left over.
        Numbered as in `_language`.
    ends : ndarray of int, shape (number of sequences + 1,)
        As `offsets`, of the words.
    letters : int
        V, or V + 1 if a symbol is masked: it is letter V.
    length : int
        Letters of a word at most.
    """

    symbols: Integers
    offsets: Integers
    words: Integers
    ends: Integers
    letters: int
    length: int


_TEXT = types.NamedTuple((_Written,) * 4 + (types.int64,) * 2, Text)
_IN = tuple((states, *_PARAMETERS, _TEXT, _Vector) for states in _STATES)

_OPTIONS = {"error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}
_fast = numba.njit(cache=True, nogil=True, **_OPTIONS)
_exact = numba.njit(cache=True, nogil=True, error_model="numpy")
_entry = partial(numba.njit, cache=True, nogil=True, error_model="numpy")


_I64, _I32 = ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(ir.DoubleType(), LANES)


def _vector_at(builder: Any, data: Any, place: Any) -> Any:
    return builder.bitcast(builder.gep(data, [place]), _VECTOR.as_pointer())


def _each(builder: Any, number: Any) -> Any:
    """Return the vector that has this number in each lane."""
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(_I32, 0))
    lanes = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, lanes)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    name = f"llvm.fmuladd.v{LANES}f64"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [a, b, c])


def _arrays(context: Any, builder: Any, signature: Any, values: Any, *places: int) -> list[Any]:
    return [context.make_array(signature.args[n])(context, builder, values[n]) for n in places]


@intrinsic  # type: ignore[untyped-decorator]
def _combine(_: Any, table: Any, x: Any, vectors: Any, t: Any, out: Any, u: Any) -> tuple[Any, Any]:
    """Set ``out[u] = sum_i vectors[t, i] table[x, i]``, eight entries at a time."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        tables, given, result = _arrays(context, builder, signature, values, 0, 2, 4)
        _, K, width = cgutils.unpack_tuple(builder, tables.shape)
        row = builder.mul(values[1], builder.mul(K, width))
        old, new = (builder.mul(values[n], width) for n in (3, 5))
        total = cgutils.alloca_once(builder, _VECTOR)
        zero, step = ir.Constant(_I64, 0), ir.Constant(_I64, LANES)
        with cgutils.for_range_slice(builder, zero, width, step) as (begin, _):
            builder.store(ir.Constant(_VECTOR, [0.0] * LANES), total)
            with cgutils.for_range(builder, K) as loop:
                number = builder.load(builder.gep(given.data, [builder.add(old, loop.index)]))
                place = builder.add(row, builder.add(builder.mul(loop.index, width), begin))
                entries = builder.load(_vector_at(builder, tables.data, place), align=8)
                summed = _multiply_add(
                    builder, entries, _each(builder, number), builder.load(total)
                )
                builder.store(summed, total)
            place = _vector_at(builder, result.data, builder.add(new, begin))
            builder.store(builder.load(total), place, align=8)
        return context.get_dummy_value()

    return types.void(table, types.intp, vectors, types.intp, out, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def _spread(
    _: Any, out: Any, x: Any, a: Any, s: Any, b: Any, t: Any, factor: Any
) -> tuple[Any, Any]:
    """Add ``factor * a[s, i] b[t]`` to each ``out[x, i]``, eight entries at a time."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        result, left, right = _arrays(context, builder, signature, values, 0, 2, 4)
        _, K, width = cgutils.unpack_tuple(builder, result.shape)
        row = builder.mul(values[1], builder.mul(K, width))
        of_left, of_right = (builder.mul(values[n], width) for n in (3, 5))
        zero, step = ir.Constant(_I64, 0), ir.Constant(_I64, LANES)
        with cgutils.for_range_slice(builder, zero, width, step) as (begin, _):
            place = _vector_at(builder, right.data, builder.add(of_right, begin))
            entries = builder.fmul(_each(builder, values[6]), builder.load(place, align=8))
            with cgutils.for_range(builder, K) as loop:
                number = builder.load(builder.gep(left.data, [builder.add(of_left, loop.index)]))
                at = builder.add(row, builder.add(builder.mul(loop.index, width), begin))
                place = _vector_at(builder, result.data, at)
                old = builder.load(place, align=8)
                builder.store(
                    _multiply_add(builder, _each(builder, number), entries, old), place, align=8
                )
        return context.get_dummy_value()

    arguments = (out, types.intp, a, types.intp, b, types.intp, types.float64)
    return types.void(*arguments), generate


def _times(
    states: Any, M: Floats, transposed: Floats, x: int, vectors: Floats, t: int, out: Floats, u: int
) -> None:
    """Set ``out[u] = M[x] @ vectors[t]``."""
    raise NotImplementedError("compiled code alone calls this")


@overload(_times, jit_options=_OPTIONS)  # type: ignore[untyped-decorator]
def _choose_times(
    states: Any, M: Any, transposed: Any, x: Any, vectors: Any, t: Any, out: Any, u: Any
) -> Any:
    def few(
        states: Any, M: Any, transposed: Any, x: Any, vectors: Any, t: Any, out: Any, u: Any
    ) -> None:
        K = len(states)
        for i in range(K):
            total = 0.0
            for j in range(K):
                total += M[x, i, j] * vectors[t, j]
            out[u, i] = total

    def many(
        states: Any, M: Any, transposed: Any, x: Any, vectors: Any, t: Any, out: Any, u: Any
    ) -> None:
        _combine(transposed, x, vectors, t, out, u)

    return few if isinstance(states, types.UniTuple) else many


def _add_outer(
    states: Any, out: Floats, x: int, a: Floats, s: int, b: Floats, t: int, factor: float
) -> None:
    """Add ``factor * a[s] b[t]'`` to ``out[x]``."""
    raise NotImplementedError("compiled code alone calls this")


@overload(_add_outer, jit_options=_OPTIONS)  # type: ignore[untyped-decorator]
def _choose_add_outer(
    states: Any, out: Any, x: Any, a: Any, s: Any, b: Any, t: Any, factor: Any
) -> Any:
    def few(states: Any, out: Any, x: Any, a: Any, s: Any, b: Any, t: Any, factor: Any) -> None:
        for i in range(len(states)):
            scaled = a[s, i] * factor
            for j in range(len(states)):
                out[x, i, j] += scaled * b[t, j]

    def many(states: Any, out: Any, x: Any, a: Any, s: Any, b: Any, t: Any, factor: Any) -> None:
        _spread(out, x, a, s, b, t, factor)

    return few if isinstance(states, types.UniTuple) else many


@_exact  # type: ignore[untyped-decorator]
def _longest(offsets: Integers) -> int:
    """Return the length of the longest sequence."""
    longest = 0
    for n in range(len(offsets) - 1):
        longest = max(longest, offsets[n + 1] - offsets[n])
    return longest


@_fast  # type: ignore[untyped-decorator]
def _language(
    transmat: Floats, emissionprob: Floats, letters: int, length: int, width: int
) -> tuple[Floats, Floats]:
    """Return the matrices of all words up to a length, shorter ones first, and their transposes.

    Each has shape (number of words, K, width).

    The word of index w at one length, with letter x added, has index ``w * letters + x`` at the
    next. Letter V is the masked symbol.
    """
    K, V = emissionprob.shape
    words, power = 0, 1
    for _ in range(length):
        power *= letters
        words += power
    M, transposed = np.zeros((words, K, width)), np.zeros((words, K, width))
    for x in range(letters):
        for i in range(K):
            for j in range(K):
                M[x, i, j] = transmat[i, j] * (emissionprob[j, x] if x < V else 1.0)
    # Numbering the lengths through, word n with letter x added is word (n + 1) * letters + x.
    for word in range(letters, words):
        stem, x = word // letters - 1, word % letters
        for i in range(K):
            for j in range(K):
                total = 0.0
                for k in range(K):
                    total += M[stem, i, k] * M[x, k, j]
                M[word, i, j] = total
    for word in range(words):
        for i in range(K):
            for j in range(K):
                transposed[word, j, i] = M[word, i, j]
    return M, transposed


@_fast  # type: ignore[untyped-decorator]
def _spelled(M: Floats, letters: int, pairs: Floats) -> None:
    """Break words down into their letters, from the longest.

    Of the word with stem s and last letter x, ``G = sum f b'`` over its places gives to the
    letter's ``sum (f M[s])' b' = M[s]' G``, and to the stem's ``sum f (M[x] b)' = G M[x]'``.
    """
    K = M.shape[1]
    for word in range(len(M) - 1, letters - 1, -1):
        stem, x = word // letters - 1, word % letters
        for i in range(K):
            for j in range(K):
                of_letter = of_stem = 0.0
                for k in range(K):
                    of_letter += M[stem, k, i] * pairs[word, k, j]
                    of_stem += pairs[word, i, k] * M[x, j, k]
                pairs[x, i, j] += of_letter
                pairs[stem, i, j] += of_stem


@_fast  # type: ignore[untyped-decorator]
def _dot(states: Any, a: Floats, s: int, b: Floats, t: int) -> float:
    total = 0.0
    for i in range(len(states)):
        total += a[s, i] * b[t, i]
    return total


@_fast  # type: ignore[untyped-decorator]
def _rescale(states: Any, vectors: Floats, t: int) -> float:
    """Divide a vector by its sum, and return the sum."""
    total = 0.0
    for i in range(len(states)):
        total += vectors[t, i]
    factor = 1.0 / total
    for i in range(len(states)):
        vectors[t, i] *= factor
    return total


@_fast  # type: ignore[untyped-decorator]
def _begin(
    startprob: Floats, emissionprob: Floats, x: int, kept: Floats, T: int, behind: Floats
) -> None:
    """Set the first forward vector, ``p(z_1, x_1)``, and the last backward one."""
    K, V = emissionprob.shape
    for i in range(kept.shape[1]):
        kept[T - 1, i] = behind[0, i] = 1.0 if i < K else 0.0
    for i in range(kept.shape[1]):
        kept[0, i] = startprob[i] * (emissionprob[i, x] if x < V else 1.0) if i < K else 0.0


@_fast  # type: ignore[untyped-decorator]
def _from_the_ends(
    states: Any, M: Floats, transposed: Floats, words: Integers, kept: Floats
) -> tuple[float, float]:
    """Set the forward vectors of the first half of a sequence, the backward ones of the second.

    Parameters
    ----------
    states : tuple or ndarray
    M, transposed : ndarray, shape (number of words, K, width)
    words : ndarray, shape (T,)
        The first is the letter of the first step.
    kept : ndarray, shape (>= T, width)
        As `_begin` leaves it.

    Returns
    -------
    log_likelihood : float
        What the rescalings account for.
    lowest : float
        The smallest sum that was divided by.
    """
    T = len(words)
    middle = (T + 1) // 2
    log_likelihood, lowest = 0.0, 1.0
    for s in range(1, middle):
        t = T - 1 - s
        _times(states, transposed, M, words[s], kept, s - 1, kept, s)
        if t >= middle:
            _times(states, M, transposed, words[t + 1], kept, t + 1, kept, t)
        if s % EVERY == 0:
            total = _rescale(states, kept, s)
            lowest = min(lowest, total)
            log_likelihood += np.log(total)
            if t >= middle:
                total = _rescale(states, kept, t)
                lowest = min(lowest, total)
                log_likelihood += np.log(total)
    return log_likelihood, lowest


@_fast  # type: ignore[untyped-decorator]
def _meet(
    states: Any,
    M: Floats,
    transposed: Floats,
    words: Integers,
    kept: Floats,
    ahead: Floats,
    behind: Floats,
) -> None:
    """Take both chains over the middle: from here on they live in two rows each, by turns."""
    middle = (len(words) + 1) // 2
    for i in range(len(states)):
        ahead[(middle - 1) % 2, i] = kept[middle - 1, i]
        behind[middle % 2, i] = kept[middle, i]
    _times(states, M, transposed, words[middle], behind, middle % 2, behind, (middle - 1) % 2)


@_fast  # type: ignore[untyped-decorator]
def _to_the_ends(
    states: Any,
    M: Floats,
    transposed: Floats,
    words: Integers,
    weight: float,
    kept: Floats,
    ahead: Floats,
    behind: Floats,
    pairs_ahead: Floats,
    pairs_behind: Floats,
) -> tuple[float, float]:
    """Add the outer products of forward and backward vectors to the last two arrays.

    Parameters
    ----------
    states, M, transposed, words, kept
        As `_from_the_ends` takes and leaves them.
    weight : float
    ahead, behind : ndarray, shape (2, width)
        As `_meet` leaves them. On return ``behind[0]`` is the backward vector of the first step,
        up to a factor.
    pairs_ahead, pairs_behind : ndarray, shape (number of words, K, width)
        By the word between the two. Two arrays, one for each chain, so that neither waits for the
        other.

    Returns
    -------
    log_likelihood : float
        What is still missing in it.
    lowest : float
        The smallest sum that was divided by.
    """
    T = len(words)
    middle = (T + 1) // 2
    log_likelihood, lowest = 0.0, 1.0
    for s in range(middle, T):
        t = 2 * middle - 1 - s
        x, old, new = words[s], (s - 1) % 2, s % 2  # with the backward vectors that were kept
        _times(states, transposed, M, x, ahead, old, ahead, new)
        evidence = _dot(states, ahead, new, kept, s)
        if s == middle:
            log_likelihood += np.log(evidence)
        lowest = min(lowest, evidence)
        _add_outer(states, pairs_ahead, x, ahead, old, kept, s, weight / evidence)
        if t > 0:
            x, old, new = words[t], t % 2, (t - 1) % 2  # with the forward ones
            _times(states, M, transposed, x, behind, old, behind, new)
            evidence = _dot(states, kept, t - 1, behind, new)
            lowest = min(lowest, evidence)
            _add_outer(states, pairs_behind, x, kept, t - 1, behind, old, weight / evidence)
        if s % EVERY == 0:
            lowest = min(lowest, _rescale(states, ahead, s % 2))
            if t > 0:
                lowest = min(lowest, _rescale(states, behind, (t - 1) % 2))
    return log_likelihood, lowest


@_fast  # type: ignore[untyped-decorator]
def _add_first(
    x: int, weight: float, kept: Floats, behind: Floats, first: Floats, begun: Floats
) -> float:
    """Add the states' probabilities at the first step to ``first[x]``; return ``p(x)`` to scale.

    ``begun[x]`` gets the derivatives by the first forward vector.
    """
    evidence = 0.0
    for i in range(first.shape[1]):
        evidence += kept[0, i] * behind[0, i]
    for i in range(first.shape[1]):
        first[x, i] += weight * kept[0, i] * behind[0, i] / evidence
        begun[x, i] += weight * behind[0, i] / evidence
    return evidence


@_fast  # type: ignore[untyped-decorator]
def _gathered(M: Floats, pairs: Floats, first: Floats, V: int) -> tuple[Floats, Floats, Floats]:
    """Return the expected counts of starts, transitions and emissions, from those of letters."""
    K = M.shape[1]
    transitions, emissions = np.zeros((K, K)), np.zeros((K, V))
    for x in range(len(first)):
        for j in range(K):
            shown = first[x, j]
            for i in range(K):
                pair = pairs[x, i, j] * M[x, i, j]
                transitions[i, j] += pair
                shown += pair
            if x < V:
                emissions[j, x] = shown
    return first.sum(axis=0), transitions, emissions


@_fast  # type: ignore[untyped-decorator]
def _quick_pairs(
    states: Any,
    startprob: Floats,
    transmat: Floats,
    emissionprob: Floats,
    text: Text,
    weights: Floats,
) -> tuple[Floats, Floats, Floats, Floats, float]:
    """Return M, the outer products by letter, `first` and `begun`, and the log-likelihood.

    That is NaN, and nothing of use, if digits were lost. Of letter x the outer products are the
    derivatives of the log-likelihood by ``M[x]``.
    """
    K = len(startprob)
    width = len(states)
    M, transposed = _language(transmat, emissionprob, text.letters, text.length, width)
    longest = _longest(text.ends)
    kept, ahead, behind = np.empty((longest, width)), np.zeros((2, width)), np.zeros((2, width))
    pairs_ahead, pairs_behind = np.zeros(M.shape), np.zeros(M.shape)
    first, begun = np.zeros((text.letters, K)), np.zeros((text.letters, K))
    log_likelihood = 0.0
    for n in range(len(weights)):
        if weights[n] == 0.0:
            continue
        own = text.words[text.ends[n] : text.ends[n + 1]]
        _begin(startprob, emissionprob, own[0], kept, len(own), behind)
        value, lowest = 0.0, 1.0
        if len(own) > 1:
            value, lowest = _from_the_ends(states, M, transposed, own, kept)
            _meet(states, M, transposed, own, kept, ahead, behind)
            rest, low = _to_the_ends(
                states, M, transposed, own, weights[n], kept, ahead, behind,
                pairs_ahead, pairs_behind,
            )  # fmt: skip
            value, lowest = value + rest, min(lowest, low)
        evidence = _add_first(own[0], weights[n], kept, behind, first, begun)
        if not min(lowest, evidence) > LOWEST:
            log_likelihood = np.nan
            break
        log_likelihood += weights[n] * (value if len(own) > 1 else np.log(evidence))
    pairs = pairs_ahead + pairs_behind
    _spelled(M, text.letters, pairs)
    return M, pairs, first, begun, log_likelihood


@_exact  # type: ignore[untyped-decorator]
def _filter(
    startprob: Floats,
    transmat: Floats,
    emissionprob: Floats,
    symbols: Integers,
    alpha: Floats,
    scales: Floats,
) -> float:
    """Set what `categorical_hmm.forward` returns, and return the sequence's log-likelihood.

    A negative symbol is a masked one. An impossible sequence gives minus infinity, and nothing is
    set from the step on where it becomes so.
    """
    K = len(startprob)
    log_likelihood = 0.0
    for t in range(len(symbols)):
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
    return log_likelihood


@_exact  # type: ignore[untyped-decorator]
def _add_carefully(
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
    alpha, scales = np.empty((T, K)), np.empty(T)
    log_likelihood: float = _filter(startprob, transmat, emissionprob, symbols, alpha, scales)
    if log_likelihood == -np.inf:
        return log_likelihood
    beta = np.ones(K)
    ahead = np.empty(K)
    for t in range(T - 1, -1, -1):
        if t < T - 1:
            for j in range(K):
                ahead[j] = beta[j]
                if symbols[t + 1] >= 0:
                    ahead[j] *= emissionprob[j, symbols[t + 1]]
                ahead[j] = min(ahead[j] / scales[t + 1], LARGE)
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


@_entry(list(_IN))  # type: ignore[untyped-decorator]
def counts(
    states: Any,
    startprob: Floats,
    transmat: Floats,
    emissionprob: Floats,
    text: Text,
    weights: Floats,
) -> tuple[Floats, Floats, Floats, float]:
    """Return the expected counts and the log-likelihood of weighted sequences.

    Parameters
    ----------
    states : tuple or ndarray
        See `states_of`.
    startprob : ndarray, shape (K,)
    transmat : ndarray, shape (K, K)
    emissionprob : ndarray, shape (K, V)
    text : Text
    weights : ndarray, shape (number of sequences,)

    Returns
    -------
    starts : ndarray, shape (K,)
    transitions : ndarray, shape (K, K)
    emissions : ndarray, shape (K, V)
    log_likelihood : float
        Minus infinity if a sequence is impossible; then the counts are of no use.
    """
    K, V = emissionprob.shape
    M, pairs, first, _, log_likelihood = _quick_pairs(
        states, startprob, transmat, emissionprob, text, weights
    )
    if not np.isnan(log_likelihood):
        starts, transitions, emissions = _gathered(M, pairs, first, V)
        return starts, transitions, emissions, log_likelihood
    starts, transitions, emissions = np.zeros(K), np.zeros((K, K)), np.zeros((K, V))
    log_likelihood = 0.0
    for n in range(len(weights)):
        if weights[n] > 0:
            log_likelihood += _add_carefully(
                startprob, transmat, emissionprob,
                text.symbols[text.offsets[n] : text.offsets[n + 1]],
                weights[n], starts, transitions, emissions,
            )  # fmt: skip
    return starts, transitions, emissions, log_likelihood


@_fast  # type: ignore[untyped-decorator]
def _shares(counts: Floats, out: Floats) -> float:
    """Set each row of `out` to its share of counts; return the largest change.

    As `categorical_hmm.m_step` does, a row without counts becomes uniform.
    """
    change = 0.0
    for i in range(counts.shape[0]):
        total = 0.0
        for j in range(counts.shape[1]):
            total += counts[i, j]
        for j in range(counts.shape[1]):
            share = counts[i, j] / total if total > 0 else 1.0 / counts.shape[1]
            change = max(change, abs(share - out[i, j]))
            out[i, j] = share
    return change


@_entry([(*args, types.int64, types.float64) for args in _IN])  # type: ignore[untyped-decorator]
def climb(
    states: Any,
    startprob: Floats,
    transmat: Floats,
    emissionprob: Floats,
    text: Text,
    weights: Floats,
    iterations: int,
    tol: float,
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Iterate EM until a parameter's largest change is at most `tol`.

    The first six arguments are those of `counts`.

    Returns
    -------
    startprobs, transmats, emissionprobs : ndarray, shape (n + 1, ...)
        The parameters after 0, 1, ..., n iterations. There are fewer iterations than asked for
        also where the next needs care.
    trace : ndarray, shape (n + 1,)
        Their log-likelihoods.
    changes : ndarray, shape (n,)
    """
    K, V = emissionprob.shape
    start, moves, shows = startprob.copy().reshape(1, K), transmat.copy(), emissionprob.copy()
    starts = np.empty((iterations + 1, K))
    transitions = np.empty((iterations + 1, K, K))
    emissions = np.empty((iterations + 1, K, V))
    trace, changes = np.empty(iterations + 1), np.empty(iterations)
    done = 0
    while True:
        s, t, e, value = counts(states, start[0], moves, shows, text, weights)
        if not np.isfinite(value):
            break
        starts[done], transitions[done], emissions[done], trace[done] = (
            start[0],
            moves,
            shows,
            value,
        )
        done += 1
        if done > iterations or (done > 1 and changes[done - 2] <= tol):
            break
        changes[done - 1] = max(
            _shares(s.reshape(1, K), start), max(_shares(t, moves), _shares(e, shows))
        )
    return starts[:done], transitions[:done], emissions[:done], trace[:done], changes[: done - 1]


@_entry((*_PARAMETERS, _Indices, _Indices))  # type: ignore[untyped-decorator]
def log_likelihoods(
    startprob: Floats, transmat: Floats, emissionprob: Floats, symbols: Integers, offsets: Integers
) -> Floats:
    """Return the log-likelihood of each sequence; `symbols` and `offsets` are those of `Text`."""
    longest = _longest(offsets)
    alpha, scales = np.empty((longest, len(startprob))), np.empty(longest)
    values = np.empty(len(offsets) - 1)
    for n in range(len(values)):
        own = symbols[offsets[n] : offsets[n + 1]]
        values[n] = _filter(startprob, transmat, emissionprob, own, alpha, scales)
    return values


@_exact  # type: ignore[untyped-decorator]
def _smooth(
    transmat: Floats, emissionprob: Floats, symbols: Integers, gamma: Floats, scales: Floats
) -> None:
    """Make smoothed probabilities of the filtered ones in `gamma`."""
    K = len(transmat)
    beta, ahead = np.ones(K), np.empty(K)
    for t in range(len(symbols) - 2, -1, -1):
        x = symbols[t + 1]
        for j in range(K):
            shown = emissionprob[j, x] if x >= 0 else 1.0
            ahead[j] = min(shown * beta[j] / scales[t + 1], LARGE)
        for i in range(K):
            beta[i] = 0.0
            for j in range(K):
                beta[i] += transmat[i, j] * ahead[j]
            gamma[t, i] *= beta[i]


@_entry((*_PARAMETERS, _Indices, _Indices))  # type: ignore[untyped-decorator]
def smoothed(
    startprob: Floats, transmat: Floats, emissionprob: Floats, symbols: Integers, offsets: Integers
) -> tuple[Floats, Floats]:
    """Return `log_likelihoods`, and `categorical_hmm.state_probabilities` of all sequences.

    These are NaN for an impossible one.
    """
    gamma, scales = np.empty((len(symbols), len(startprob))), np.empty(_longest(offsets))
    values = np.empty(len(offsets) - 1)
    for n in range(len(values)):
        begin, end = offsets[n], offsets[n + 1]
        own, out = symbols[begin:end], gamma[begin:end]
        values[n] = _filter(startprob, transmat, emissionprob, own, out, scales)
        if values[n] == -np.inf:
            out[:] = np.nan
        else:
            _smooth(transmat, emissionprob, own, out, scales)
    return values, gamma


@_entry((_Vector, _Matrix, _Matrix, _Indices, _Indices))  # type: ignore[untyped-decorator]
def viterbi(
    log_start: Floats,
    log_transitions: Floats,
    log_emissions: Floats,
    symbols: Integers,
    offsets: Integers,
) -> Integers:
    """Return the most probable path of each sequence ([1]_, equations 32 to 35)."""
    K = len(log_start)
    best, ahead = np.empty(K), np.empty(K)  # of all paths to state j
    origin = np.empty((_longest(offsets), K), dtype=np.int64)
    path = np.empty(len(symbols), dtype=np.int64)
    for n in range(len(offsets) - 1):
        begin, end = offsets[n], offsets[n + 1]
        for t in range(begin, end):
            x = symbols[t]
            for j in range(K):
                through, state = log_start[j], 0
                if t > begin:
                    through = best[0] + log_transitions[0, j]
                    for i in range(1, K):
                        other = best[i] + log_transitions[i, j]
                        if other > through:
                            through, state = other, i
                ahead[j] = through + log_emissions[j, x] if x >= 0 else through
                origin[t - begin, j] = state
            best[:] = ahead
        path[end - 1] = np.argmax(best)
        for t in range(end - 1, begin, -1):
            path[t - 1] = origin[t - begin, path[t]]
    return path


@_entry((_Indices, _Indices, types.int64, types.int64, types.int64))  # type: ignore[untyped-decorator]
def _read(
    symbols: Integers, offsets: Integers, V: int, letters: int, length: int
) -> tuple[Integers, Integers]:
    """Return the words of all sequences, and where each sequence ends; see `Text`."""
    ends = np.zeros(len(offsets), np.int64)
    for n in range(len(offsets) - 1):
        ends[n + 1] = ends[n] + 1 - (offsets[n] + 1 - offsets[n + 1]) // length
    words = np.empty(ends[-1], np.int64)
    for n in range(len(offsets) - 1):
        begin = offsets[n]
        words[ends[n]] = symbols[begin] if symbols[begin] >= 0 else V
        for place in range(ends[n] + 1, ends[n + 1]):
            begin += 1 if place == ends[n] + 1 else length
            word = -1
            for t in range(begin, min(begin + length, offsets[n + 1])):
                word = (word + 1) * letters + (symbols[t] if symbols[t] >= 0 else V)
            words[place] = word
    return words, ends


@_entry((_Written, _Written, types.int64, types.int64))  # type: ignore[untyped-decorator]
def read(symbols: Integers, offsets: Integers, K: int, V: int) -> Text:
    """Return sequences as `counts` takes them.

    Parameters
    ----------
    symbols : ndarray of int, shape (sum of T,)
        All sequences, one after the other; -1 where masked.
    offsets : ndarray of int, shape (number of sequences + 1,)
        Where each begins, and the end.
    K, V : int
        Hidden states and symbols.
    """
    letters = V
    for t in range(len(symbols)):
        if symbols[t] < 0:
            letters = V + 1
    most = min(TABLE // K**2, len(symbols) // SPELLING)  # words of the greatest length
    length = 1
    while length < EVERY and letters ** (length + 1) <= most:
        length += 1
    words, ends = _read(symbols, offsets, V, letters, length)
    return Text(symbols, offsets, words, ends, letters, length)


def states_of(K: int) -> Any:
    """Return what stands for K states: a tuple if they are few."""
    return (0,) * K if 2 <= K <= FEW else np.empty(-(-K // LANES) * LANES)


@_fast  # type: ignore[untyped-decorator]
def _derived(
    startprob: Floats, transmat: Floats, emissionprob: Floats, pairs: Floats, begun: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the derivatives by probabilities, from those by ``M[x]`` and by the first vectors."""
    K, V = emissionprob.shape
    starts, transitions, emissions = np.zeros(K), np.zeros((K, K)), np.zeros((K, V))
    for x in range(len(begun)):
        for j in range(K):
            shows = emissionprob[j, x] if x < V else 1.0
            starts[j] += begun[x, j] * shows
            entered = begun[x, j] * startprob[j]
            for i in range(K):
                transitions[i, j] += pairs[x, i, j] * shows
                entered += pairs[x, i, j] * transmat[i, j]
            if x < V:
                emissions[j, x] = entered
    return starts, transitions, emissions


@_exact  # type: ignore[untyped-decorator]
def _log_sum(logs: Floats) -> float:
    """Return the logarithm of a sum, of terms whose logarithms are given."""
    highest = logs.max()
    if highest == -np.inf:
        return -np.inf
    total = 0.0
    for value in logs:
        total += np.exp(value - highest)
    log_sum: float = highest + np.log(total)
    return log_sum


@_exact  # type: ignore[untyped-decorator]
def _add_derivatives(
    log_start: Floats,
    log_transitions: Floats,
    log_emissions: Floats,
    symbols: Integers,
    starts: Floats,
    transitions: Floats,
    emissions: Floats,
) -> float:
    """Add a sequence's derivatives to the last three, in logarithms; return its log-likelihood.

    As `categorical_hmm.gradient`. An impossible sequence gives minus infinity.
    """
    T, K = len(symbols), len(log_start)
    predicted, log_scales = np.empty((T, K)), np.empty(T)
    alpha, terms, entering, beta = np.empty(K), np.empty(K), np.empty(K), np.zeros(K)
    for t in range(T):
        for j in range(K):
            predicted[t, j] = log_start[j]
            if t > 0:
                predicted[t, j] = _log_sum(alpha + log_transitions[:, j])
        for j in range(K):
            alpha[j] = predicted[t, j]
            if symbols[t] >= 0:
                alpha[j] += log_emissions[j, symbols[t]]
        log_scales[t] = _log_sum(alpha)
        if log_scales[t] == -np.inf:
            return -np.inf
        alpha -= log_scales[t]
    for t in range(T - 1, -1, -1):
        for j in range(K):
            entering[j] = beta[j] - log_scales[t]
            if symbols[t] >= 0:
                emissions[j, symbols[t]] += np.exp(predicted[t, j] + entering[j])
                entering[j] += log_emissions[j, symbols[t]]
        if t == 0:
            starts += np.exp(entering)
            break
        for i in range(K):
            left = predicted[t - 1, i] - log_scales[t - 1]
            if symbols[t - 1] >= 0:
                left += log_emissions[i, symbols[t - 1]]
            for j in range(K):
                transitions[i, j] += np.exp(left + entering[j])
                terms[j] = log_transitions[i, j] + entering[j]
            beta[i] = _log_sum(terms)
    return float(log_scales.sum())


@_exact  # type: ignore[untyped-decorator]
def derivatives(
    states: Any, startprob: Floats, transmat: Floats, emissionprob: Floats, text: Text
) -> tuple[Floats, Floats, Floats, float]:
    """Return `categorical_hmm.gradient`: the derivatives by all probabilities, zeros included.

    Parameters
    ----------
    states : tuple or ndarray
        See `states_of`.
    startprob : ndarray, shape (K,)
    transmat : ndarray, shape (K, K)
    emissionprob : ndarray, shape (K, V)
    text : Text

    Returns
    -------
    starts : ndarray, shape (K,)
    transitions : ndarray, shape (K, K)
    emissions : ndarray, shape (K, V)
    log_likelihood : float
        Minus infinity if a sequence is impossible; then the derivatives are of no use.
    """
    N, (K, V) = len(text.offsets) - 1, emissionprob.shape
    _, pairs, _, begun, log_likelihood = _quick_pairs(
        states, startprob, transmat, emissionprob, text, np.ones(N)
    )
    if not np.isnan(log_likelihood):
        starts, transitions, emissions = _derived(startprob, transmat, emissionprob, pairs, begun)
        return starts, transitions, emissions, log_likelihood
    starts, transitions, emissions = np.zeros(K), np.zeros((K, K)), np.zeros((K, V))
    logs = np.log(startprob), np.log(transmat), np.log(emissionprob)
    log_likelihood = 0.0
    for n in range(N):
        symbols = text.symbols[text.offsets[n] : text.offsets[n + 1]]
        log_likelihood += _add_derivatives(*logs, symbols, starts, transitions, emissions)
    return starts, transitions, emissions, log_likelihood


_Numbers, _Places = types.CPointer(types.float64), types.CPointer(types.int64)


@numba.cfunc(  # type: ignore[untyped-decorator]
    types.int64(*(_Numbers,) * 3, *(_Places,) * 2, _Numbers, *(types.int64,) * 4),
    cache=True,
    error_model="numpy",
)
def score(
    startprob: Any, transmat: Any, emissionprob: Any, symbols: Any, lengths: Any, out: Any,
    K: int, V: int, T: int, n: int,
) -> int:  # fmt: skip
    """Compute the log-likelihood and `categorical_hmm.gradient`, for callers in C's manner.

    Parameters
    ----------
    startprob, transmat, emissionprob : address of K, K K and K V numbers
    symbols : address of T integers
        All sequences, one after the other; -1 where masked.
    lengths : address of n integers
        The sequences' lengths.
    out : address of 1 + K + K K + K V numbers
        Set to the log-likelihood, and the derivatives by startprob, transmat and emissionprob.
        These are of no use where a sequence is impossible.
    K, V, T, n : int

    Returns
    -------
    int
        0, or what is wrong: `NO_SYMBOL` or `NO_LENGTH`.
    """
    s, A, B, x, each, result = (
        numba.carray(startprob, K),
        numba.carray(transmat, (K, K)),
        numba.carray(emissionprob, (K, V)),
        numba.carray(symbols, T),
        numba.carray(lengths, n),
        numba.carray(out, 1 + K + K * K + K * V),
    )
    offsets = np.zeros(n + 1, np.int64)
    for i in range(n):
        if each[i] < 1:
            return NO_LENGTH
        offsets[i + 1] = offsets[i] + each[i]
    if offsets[n] != T:
        return NO_LENGTH
    for t in range(T):
        if x[t] < -1 or x[t] >= V:
            return NO_SYMBOL
    text = read(x, offsets, K, V)
    if K == 2:
        a, b, c, result[0] = derivatives((0, 0), s, A, B, text)
    elif K == 3:
        a, b, c, result[0] = derivatives((0, 0, 0), s, A, B, text)
    else:
        a, b, c, result[0] = derivatives(np.empty(-(-K // LANES) * LANES), s, A, B, text)
    result[1 : 1 + K] = a
    result[1 + K : 1 + K + K * K] = b.ravel()
    result[1 + K + K * K :] = c.ravel()
    return 0
