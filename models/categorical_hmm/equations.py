"""Hidden Markov model with categorical emissions, fitted by EM (Baum and Welch).

Letters: T steps of a sequence, K hidden states, V symbols; i and j index states, t steps.

The model, for each sequence::

    z_1             ~ Categorical(startprob)              the hidden state, unobserved
    z_t | z_{t-1}=i ~ Categorical(transmat[i])
    x_t | z_t=i     ~ Categorical(emissionprob[i])

EM climbs its log-likelihood by `e_step` (`forward`, `backward`, and what follows from the two) and
`m_step` in turns::

    E   gamma_t[i]  =  p(z_t = i | x)  =  alpha_t[i] beta_t[i]
        xi_t[i, j]  =  p(z_t = i, z_{t+1} = j | x)
                    =  alpha_t[i] transmat[i, j] emissionprob[j, x_{t+1}] beta_{t+1}[j] / scale

    M   startprob[i]        =  gamma_1[i]
        transmat[i, j]      =  sum_t xi_t[i, j] / (the same, summed over j)
        emissionprob[i, v]  =  sum_{t: x_t = v} gamma_t[i] / sum_t gamma_t[i]

Data are a tuple of sequences, each an array of symbols 0 .. V-1. A step whose symbol was not
observed is -1 and contributes no emission: whatever was shown there has probability 1.

The forward and backward passes are scaled: ``scales[t] = p(x_t | x_1 .. x_{t-1})`` is divided
out at each step, so nothing underflows however long the sequence, and the log-likelihood is the
sum of ``log scales[t]``.

References
----------
.. [1] Rabiner (1989), A tutorial on hidden Markov models, Proc. IEEE 77, 257-286, section III
   and, for the scaling, V.A.
.. [2] Bishop (2006), Pattern Recognition and Machine Learning, section 13.2, equations (13.18)
   to (13.23) and (13.55) to (13.65).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from lockstep.models import records, simplex
from lockstep.models.records import Floats, Integers
from lockstep.models.spaces import Simplex

NAME = "categorical_hmm"
TITLE = "Categorical HMM"

type Sequences = tuple[Integers, ...]

MASKED = -1
"""Stands for a symbol that was not observed."""

LARGE = 1e290
"""As good as infinite, but times zero it is zero: a state that cannot be reached may explain what
follows so much better than the path does."""


@dataclass(frozen=True, eq=False)
class Parameters(records.Parameters):
    """What the model is made of; a posterior has leading (chain, draw) axes.

    Attributes
    ----------
    startprob : ndarray, shape (..., K)
        Probability of each state at the first step.
    transmat : ndarray, shape (..., K, K)
        ``transmat[i, j] = p(z_t = j | z_{t-1} = i)``; each row sums to 1.
    emissionprob : ndarray, shape (..., K, V)
        ``emissionprob[i, v] = p(x_t = v | z_t = i)``; each row sums to 1.
    """

    startprob: Annotated[Floats, Simplex("K")]
    transmat: Annotated[Floats, Simplex("KK")]
    emissionprob: Annotated[Floats, Simplex("KV")]


@dataclass(frozen=True, eq=False)
class Statistics(records.Statistics):
    """Expected counts of what happened along the hidden paths.

    Attributes
    ----------
    starts : ndarray, shape (K,)
        Sequences begun in each state.
    transitions : ndarray, shape (K, K)
        Steps from state i to state j.
    emissions : ndarray, shape (K, V)
        Times that state i showed symbol v.
    """

    starts: Floats
    transitions: Floats
    emissions: Floats


def _flat() -> Floats:
    return np.array(1.0)


@dataclass(frozen=True, eq=False)
class Prior(records.Prior):
    """Dirichlet priors of the rows: each value is one more than a count seen beforehand.

    Attributes
    ----------
    startprob_prior : ndarray, shape () or (K,)
    transmat_prior : ndarray, shape () or (K, K)
    emissionprob_prior : ndarray, shape () or (K, V)
        Whatever broadcasts to the parameter; 1 is flat.
    """

    startprob_prior: Floats = field(default_factory=_flat)
    transmat_prior: Floats = field(default_factory=_flat)
    emissionprob_prior: Floats = field(default_factory=_flat)

    def __post_init__(self) -> None:
        super().__post_init__()
        simplex.refuse_spiked(**self.arrays())

    def refuse_misfit(self, parameters: records.Parameters) -> None:
        """Raise ValueError if a field does not broadcast to its parameter, or is not finite."""
        for (name, array), p in zip(self.arrays().items(), parameters.arrays().values()):
            sizes = zip(reversed(array.shape), reversed(p.shape))
            if array.ndim > p.ndim or any(a not in (1, b) for a, b in sizes):
                raise ValueError(f"{name} has shape {array.shape}; expected () or {p.shape}")
            if not array.max() <= records.LARGEST:
                raise ValueError(f"{name} must be finite, and is {array}")

    def log_density(self, parameters: Parameters) -> float:
        """Return the log-density without its constant: what MAP-EM adds to the log-likelihood."""
        pairs = zip(self.arrays().values(), parameters.arrays().values())
        return sum(simplex.log_dirichlet(concentration, p) for concentration, p in pairs)


def refuse_beyond(symbols: Integers, V: int) -> None:
    """Raise ValueError if a symbol is not one of -1 .. V - 1."""
    if len(symbols) and not (symbols.min() >= MASKED and symbols.max() < V):
        check_chunk((symbols,), {"n_features": V}, missing=True)


def emission_likelihoods(parameters: Parameters, symbols: Integers) -> Floats:
    """Return ``p(x_t | z_t = i)`` for every step and state; 1 where the symbol is masked.

    Returns
    -------
    ndarray, shape (T, ..., K)

    Raises
    ------
    ValueError
        If a symbol is none of the model's.
    """
    V = parameters.emissionprob.shape[-1]
    (symbols,) = check_chunk((symbols,), {"n_features": V}, missing=True)
    b = np.ascontiguousarray(np.moveaxis(parameters.emissionprob[..., symbols], -1, 0))
    b[symbols == MASKED] = 1
    return b


def forward(parameters: Parameters, symbols: Integers) -> tuple[Floats, Floats]:
    """Filter: where the path is, given the symbols so far ([2]_, equation 13.59).

    Parameters
    ----------
    parameters : Parameters
    symbols : ndarray of int, shape (T,)

    Returns
    -------
    alpha : ndarray, shape (T, ..., K)
        ``p(z_t = i | x_1 .. x_t)``.
    scales : ndarray, shape (T, ...)
        ``p(x_t | x_1 .. x_{t-1})``; zero where the symbols so far are impossible.
    """
    b = emission_likelihoods(parameters, symbols)  # (T, ..., K)
    alpha = np.empty_like(b)
    scales = np.empty(b.shape[:-1])  # (T, ...)
    predicted = parameters.startprob  # p(z_t | x_1 .. x_{t-1})
    for t in range(len(b)):
        joint = predicted * b[t]  # p(z_t, x_t | x_1 .. x_{t-1})
        scales[t] = scale = joint.sum(axis=-1)
        alpha[t] = joint / np.where(scale > 0, scale, 1.0)[..., None]
        predicted = np.vecmat(alpha[t], parameters.transmat)
    return alpha, scales


def backward(parameters: Parameters, symbols: Integers, scales: Floats) -> Floats:
    """Smooth: what the symbols to come say of the path ([2]_, equation 13.62).

    Parameters
    ----------
    parameters : Parameters
    symbols : ndarray of int, shape (T,)
    scales : ndarray, shape (T, ...)
        As `forward` returns them.

    Returns
    -------
    ndarray, shape (T, ..., K)
        ``beta[t, i] = p(x_{t+1} .. x_T | z_t = i) / p(x_{t+1} .. x_T | x_1 .. x_t)``, or about
        `LARGE` if that is less: then the path is not in state i.
    """
    b = emission_likelihoods(parameters, symbols)
    beta = np.ones_like(b)
    with np.errstate(over="ignore"):
        for t in range(len(b) - 2, -1, -1):
            ahead = np.minimum(b[t + 1] * beta[t + 1] / scales[t + 1][..., None], LARGE)
            beta[t] = np.matvec(parameters.transmat, ahead)
    return beta


def log_likelihood(parameters: Parameters, sequences: Sequences) -> Floats:
    """Return the log-likelihood in nats, the hidden paths summed out ([2]_, equation 13.63).

    Parameters
    ----------
    parameters : Parameters
        With leading axes, one value is returned for each of their indices.
    sequences : tuple of ndarray of int

    Returns
    -------
    ndarray, shape (...)
        Minus infinity where the symbols are impossible.
    """
    V = parameters.emissionprob.shape[-1]
    sequences = check_chunk(sequences, {"n_features": V}, missing=True)
    total = np.zeros(parameters.startprob.shape[:-1])
    with np.errstate(divide="ignore"):
        for symbols in sequences:
            total = total + np.log(forward(parameters, symbols)[1]).sum(axis=0)
    return total


def state_probabilities(parameters: Parameters, symbols: Integers) -> Floats:
    """Return ``p(z_t = i | x_1 .. x_T)``, called gamma ([2]_, equation 13.64).

    Returns
    -------
    ndarray, shape (T, ..., K)
    """
    alpha, scales = forward(parameters, symbols)
    return alpha * backward(parameters, symbols, scales)


def log_densities(parameters: Parameters, sequences: Sequences) -> Floats:
    """Return ``log p(x_t | x_1 .. x_{t-1})`` of every step, one sequence after the other.

    Returns
    -------
    ndarray, shape (..., total number of steps)
    """
    scales = [forward(parameters, symbols)[1] for symbols in sequences]
    return np.moveaxis(simplex.to_logs(np.concatenate(scales)), 0, -1)


def memberships(parameters: Parameters, sequences: Sequences) -> Floats:
    """Return the state probabilities of every step, one sequence after the other.

    Returns
    -------
    ndarray, shape (..., total number of steps, K)
    """
    gamma = [state_probabilities(parameters, symbols) for symbols in sequences]
    return np.moveaxis(np.concatenate(gamma), 0, -2)


def log_joint(
    parameters: Parameters, path: Integers, symbols: Integers, begins: ArrayLike = 0
) -> float:
    """Return ``log p(z, x)`` of paths of hidden states and the symbols, in nats.

    Parameters
    ----------
    parameters : Parameters
    path, symbols : ndarray of int, shape (T,)
        Of several sequences one after the other.
    begins : array_like of int, optional
        The steps at which a sequence begins.
    """
    path = np.asarray(path)
    if path.shape != symbols.shape:
        raise ValueError(
            f"the path has shape {path.shape}; expected {symbols.shape}, as the symbols"
        )
    (path,) = check_chunk((path,), {"n_features": parameters.startprob.shape[-1]})
    moves = np.ones(len(path), bool)
    moves[np.asarray(begins)] = False
    seen = symbols != MASKED
    factors = np.concatenate(
        [
            parameters.startprob[path[~moves]],
            parameters.transmat[path[:-1], path[1:]][moves[1:]],
            parameters.emissionprob[path[seen], symbols[seen]],
        ]
    )
    return float(simplex.to_logs(factors).sum())


def refuse_impossible(symbols: Integers, scales: Floats, n: int = 0) -> None:
    """Raise ValueError if sequence n is impossible: a scale that `forward` returned is zero."""
    for t in np.flatnonzero(scales == 0):
        raise ValueError(
            f"sequence {n} is impossible under these parameters: symbol {symbols[t]} at step "
            f"{t} has probability zero"
        )


def viterbi(parameters: Parameters, symbols: Integers) -> Integers:
    """Return the most probable path of hidden states ([1]_, equations 32 to 35).

    Of paths that are equally probable it is the one with the lower state where they part.

    Parameters
    ----------
    parameters : Parameters
    symbols : ndarray of int, shape (T,)

    Returns
    -------
    ndarray of int, shape (T,)
    """
    log_transitions = simplex.to_logs(parameters.transmat)
    log_b = simplex.to_logs(emission_likelihoods(parameters, symbols))  # (T, K)
    best = simplex.to_logs(parameters.startprob) + log_b[0]  # of all paths to state j
    origin = np.zeros(log_b.shape, dtype=np.int64)
    for t in range(1, len(log_b)):
        through = best[:, None] + log_transitions  # (K, K): to i, and on to j
        origin[t] = through.argmax(axis=0)
        best = through.max(axis=0) + log_b[t]
    path = np.empty(len(log_b), dtype=np.int64)
    path[-1] = best.argmax()
    for t in range(len(log_b) - 1, 0, -1):
        path[t - 1] = origin[t, path[t]]
    return path


def e_step(
    parameters: Parameters, sequences: Sequences, weights: Floats | None = None
) -> tuple[Statistics, float]:
    """Return the expected counts under ``p(z | x)``, and the log-likelihood.

    Parameters
    ----------
    parameters : Parameters
    sequences : tuple of ndarray of int
    weights : ndarray, shape (number of sequences,), optional
        How often each sequence counts; 0 leaves it out.

    Returns
    -------
    statistics : Statistics
        The sum over the sequences.
    log_likelihood : float
        Of `parameters`, in nats.

    Raises
    ------
    ValueError
        If a sequence has probability zero: then there is no ``p(z | x)``.
    """
    K, V = parameters.emissionprob.shape
    sequences = check_chunk(sequences, parameters.dims, missing=True)
    statistics = Statistics(np.zeros(K), np.zeros((K, K)), np.zeros((K, V)))
    total = 0.0
    w = records.checked_weights(weights, len(sequences), "sequence")
    for n in np.flatnonzero(w):
        symbols = sequences[n]
        alpha, scales = forward(parameters, symbols)  # (T, K), (T,)
        refuse_impossible(symbols, scales, int(n))
        beta = backward(parameters, symbols, scales)  # (T, K)
        gamma = w[n] * alpha * beta  # (T, K)  p(z_t = i | x)                 (13.64)
        b = emission_likelihoods(parameters, symbols)
        with np.errstate(over="ignore"):
            ahead = np.minimum(b[1:] * beta[1:] / scales[1:, None], LARGE)  # (T-1, K)
        emissions = np.zeros((V, K))
        seen = symbols != MASKED
        np.add.at(emissions, symbols[seen], gamma[seen])
        statistics += Statistics(
            starts=gamma[0],
            # The sum over t of xi_t[i, j] = p(z_t = i, z_{t+1} = j | x)        (13.65)
            transitions=w[n] * parameters.transmat * (alpha[:-1].T @ ahead),
            emissions=emissions.T,
        )
        total += w[n] * float(np.log(scales).sum())
    return statistics, float(total)


def m_step(statistics: Statistics, *, prior: Prior | None = None) -> Parameters:
    """Return the parameters that maximise the expected complete-data log-likelihood.

    Each is a share of expected counts ([2]_, equations 13.18, 13.19 and 13.23). A row without
    any count is not determined by the data and is returned uniform.

    Parameters
    ----------
    statistics : Statistics
    prior : Prior, optional
        Then its log-density is added to what is maximised: counts seen beforehand.
    """
    if prior is not None:
        statistics = Statistics(
            starts=statistics.starts + prior.startprob_prior - 1,
            transitions=statistics.transitions + prior.transmat_prior - 1,
            emissions=statistics.emissions + prior.emissionprob_prior - 1,
        )
    return Parameters(
        startprob=_shares(statistics.starts),
        transmat=_shares(statistics.transitions),
        emissionprob=_shares(statistics.emissions),
    )


def _shares(counts: Floats) -> Floats:
    totals = counts.sum(axis=-1, keepdims=True)
    return np.where(totals > 0, counts / np.where(totals > 0, totals, 1), 1 / counts.shape[-1])


def score(statistics: Statistics, parameters: Parameters) -> Parameters:
    """Return each parameter's partial derivative of the log-likelihood, by Fisher's identity.

    The gradient of ``log p(x)`` is the expectation, given x, of the gradient of ``log p(x, z)``:
    here each expected count over its probability. Where both are zero the count says nothing, and
    the result is not a number; `gradient` has the derivative there too. Every entry counts as
    free; along a row only differences of the derivatives matter.

    Parameters
    ----------
    statistics : Statistics
        From the E-step at `parameters`.
    parameters : Parameters
    """
    pairs = zip(statistics.arrays().values(), parameters.arrays().values())
    return Parameters(*(simplex.score(counts, p) for counts, p in pairs))


def gradient(parameters: Parameters, sequences: Sequences) -> tuple[Parameters, float]:
    """Return the derivatives of the log-likelihood, at zero probabilities too, and its value.

    A probability's derivative is what a unit of it would add to ``log p(x)`` at each step that
    uses it: ``p(z_t = i, x_1 .. x_t) p(x_{t+1} .. x_T, z_{t+1} = j | z_t = i) / p(x)`` without
    the factor ``transmat[i, j]``, and so on. No expected count is divided. All is in logarithms,
    for a state that cannot be reached may explain the rest of a sequence ``e^1000`` times as well
    as the path does. Every entry counts as free.

    Parameters
    ----------
    parameters : Parameters
    sequences : tuple of ndarray of int

    Returns
    -------
    derivatives : Parameters
        One beyond the largest double is that; not numbers if a sequence is impossible.
    log_likelihood : float
        In nats.
    """
    logs = [simplex.to_logs(p) for p in parameters.arrays().values()]
    derivatives = [np.zeros_like(p) for p in logs]
    total = 0.0
    with np.errstate(over="ignore"):
        for symbols in sequences:
            total += _add_derivatives(logs, symbols, derivatives)
    if total == -np.inf:
        return Parameters(*(np.full_like(p, np.nan) for p in logs)), total
    return Parameters(*map(simplex.bounded, derivatives)), total


def _add_derivatives(logs: Sequence[Floats], symbols: Integers, sums: Sequence[Floats]) -> float:
    """Add a sequence's derivatives to sums; return its log-likelihood."""
    (log_start, log_A, log_B), (starts, transitions, emissions) = logs, sums
    T = len(symbols)
    log_b = np.where(symbols[:, None] == MASKED, 0.0, log_B.T[symbols])  # (T, K)
    predicted = np.empty_like(log_b)  # log p(z_t | x_1 .. x_{t-1})
    log_alpha = np.empty_like(log_b)
    log_scales = np.empty(T)
    predicted[0] = log_start
    for t in range(T):
        if t > 0:
            predicted[t] = np.logaddexp.reduce(log_alpha[t - 1][:, None] + log_A, axis=0)
        joint = predicted[t] + log_b[t]
        log_scales[t] = np.logaddexp.reduce(joint)
        if log_scales[t] == -np.inf:
            return -np.inf
        log_alpha[t] = joint - log_scales[t]

    log_beta = np.zeros_like(log_start)
    for t in range(T - 1, -1, -1):
        shown = log_beta - log_scales[t]
        if symbols[t] != MASKED:
            emissions[:, symbols[t]] += np.exp(predicted[t] + shown)
        entered = log_b[t] + shown
        if t > 0:
            transitions += np.exp(log_alpha[t - 1][:, None] + entered)
            log_beta = np.logaddexp.reduce(log_A + entered, axis=1)
        else:
            starts += np.exp(entered)
    return float(log_scales.sum())


def sample(
    parameters: Parameters, size: int | Sequence[int], rng: np.random.Generator
) -> Sequences:
    """Draw one sequence of `size` symbols, or one of each length in `size`."""
    lengths = size if isinstance(size, Sequence | np.ndarray) else [size]
    for T in lengths:
        records.refuse_no_count("size", T, 0)
    startprob, transmat, emissionprob = (
        records.normalised(p, name) for name, p in parameters.arrays().items()
    )
    K, V = emissionprob.shape
    sequences = []
    for T in lengths:
        z, symbols = 0, np.empty(T, dtype=np.int64)
        for t in range(T):
            z = int(rng.choice(K, p=transmat[z] if t else startprob))
            symbols[t] = rng.choice(V, p=emissionprob[z])
        sequences.append(symbols)
    return tuple(sequences)


def start(
    sequences: Sequences,  # noqa: ARG001 - a start needs no look at the data here
    dims: Mapping[str, int],
    rng: np.random.Generator,
) -> Parameters:
    """Return random parameters to start from, every row uniform on its simplex.

    States are in descending order of their probability of symbol 0.
    """
    if "n_features" not in dims:
        raise ValueError("dims lack n_features, the number of symbols")
    K, V = dims["n_components"], dims["n_features"]
    records.refuse_large(K, V)
    emissionprob = rng.dirichlet(np.ones(V), size=K)
    return Parameters(
        startprob=rng.dirichlet(np.ones(K)),
        transmat=rng.dirichlet(np.ones(K), size=K),
        emissionprob=emissionprob[np.argsort(-emissionprob[:, 0], kind="stable")],
    )


def check_data(data: Any, dims: Mapping[str, int], *, missing: bool = False) -> Sequences:
    """Return the data as a tuple of integer sequences.

    Parameters
    ----------
    data : sequence of array_like of int
    dims : mapping
        ``n_components``, and ``n_features``, the number V of symbols, if it is known.
    missing : bool, optional
        Whether -1 stands for a symbol that was not observed.

    Raises
    ------
    ValueError
        If a sequence is empty or not one-dimensional, a symbol is not an integer from 0 to
        V - 1, or there are fewer symbols than states.
    """
    sequences = check_chunk(data, dims, missing=missing)
    if not sequences:
        raise ValueError("there are no sequences")
    seen = sum(int((symbols != MASKED).sum()) for symbols in sequences)
    records.refuse_too_few(seen, dims["n_components"])
    return sequences


def check_chunk(data: Any, dims: Mapping[str, int], *, missing: bool = False) -> Sequences:
    """Return a part of the data as a tuple of integer sequences.

    As `check_data`, without what can only be asked of the whole. NaN and NA, which stand for a
    hole in a column of integers, become -1 if values may be missing.
    """
    lowest, V = MASKED if missing else 0, dims.get("n_features", np.iinfo(np.int64).max)
    records.refuse_no_count("n_features", V)
    try:
        sequences = tuple(data)
    except TypeError:
        raise ValueError(f"data are a {type(data).__name__}; give a tuple of sequences") from None
    if not sequences:
        return sequences
    if all(map(_native, sequences)):  # many short ones are checked at once
        symbols = np.concatenate(sequences)
        if symbols.min() >= lowest and symbols.max() < V:
            return sequences
    wanted = "0, 1, 2, ..." if "n_features" not in dims else f"0 .. {V - 1}"
    return tuple(_symbols(given, n, lowest, V, wanted) for n, given in enumerate(sequences))


def _native(symbols: Any) -> bool:
    """Return whether these are as `check_chunk` returns them, but for the symbols' range."""
    return (
        type(symbols) is np.ndarray
        and symbols.dtype == np.int64
        and symbols.ndim == 1
        and symbols.flags.c_contiguous
        and symbols.flags.aligned
        and len(symbols) > 0
    )


def _symbols(given: Any, n: int, lowest: int, V: int, wanted: str) -> Integers:
    """Return sequence n as integers from `lowest` to V - 1, or raise ValueError."""
    array = records.plain(given, f"sequence {n}")
    if array.ndim != 1 or not len(array):
        raise ValueError(
            f"sequence {n} has shape {array.shape}; each needs shape (T,) with T >= 1 "
            "(wrap a single sequence in a tuple)"
        )
    if array.dtype.kind not in "biuf":
        raise ValueError(f"sequence {n} has symbols that are no numbers: one is {str(array[0])!r}")
    if lowest == MASKED and array.dtype.kind == "f":
        array = np.where(np.isnan(array), MASKED, array)
    with np.errstate(invalid="ignore"):
        symbols = np.require(array, np.int64, ["C", "A"])
    for t in np.flatnonzero((symbols != array) | (symbols < lowest) | (symbols >= V)):
        hole = symbols[t] == array[t] == MASKED or array[t] != array[t]
        mend = f"; missing=True takes {MASKED} for a symbol not observed" if hole else ""
        raise ValueError(
            f"symbol {array[t]} at step {t} of sequence {n} is not one of {wanted}{mend}"
        )
    return symbols


def split(symbols: Integers, offsets: Integers) -> Sequences:
    """Return the sequences that begin at all but the last of the offsets, where the last ends."""
    return tuple(symbols[begin:end] for begin, end in pairwise(offsets.tolist()))
