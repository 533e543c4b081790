"""EM in 50-digit arithmetic: textbook loops on lists, which share nothing with `models`.

Nothing is scaled and nothing taken in logarithms: these numbers have no smallest exponent, so a
density of 1e-100000 is as good as any other. The formulas are those of Bishop (2006), Pattern
Recognition and Machine Learning: (9.23) to (9.28) for the mixtures, (13.18) to (13.65) for the
hidden Markov model; for a missing coordinate those of Ghahramani and Jordan (1994), NIPS 6.

Letters: N observations of D coordinates, K components or states, T steps, V symbols.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
from mpmath import mpf

DIGITS = 50
SMALLEST = 2.0**-1074
"""The smallest double."""

type Fields = dict[str, Any]


class NoMaximumError(ArithmeticError):
    """An M-step has no maximum: a component has collapsed."""


@dataclass(frozen=True)
class Point:
    """Parameters on the way of EM, and what they make of the data.

    Attributes
    ----------
    parameters : dict
        Fields as nested lists.
    log_likelihood : mpf
        In nats.
    magnitude : mpf
        What the log-likelihood's rounding is in proportion to: the sum of the absolute values of
        its terms; for a sequence of T steps times sqrt(T), since a program that works in logarithms
        rounds a sum as large as that at every step.
    magnified : mpf
        By how much a sound program may magnify rounding on the way here: one that takes moments
        about the old means, by the largest ``(shift / sd)^2`` of a component; one that works in
        logarithms, by the largest logarithm of a sequence's probability.
    undetermined : set of (str, int)
        Field and component that the M-step before left open, since nothing counts for them.
    """

    parameters: Fields
    log_likelihood: Any
    magnitude: Any
    magnified: Any
    undetermined: set[tuple[str, int]]


@dataclass(frozen=True)
class Step:
    """What one E-step and M-step give: figures as in `Point`, and the new parameters."""

    log_likelihood: Any
    magnitude: Any
    magnified: Any
    parameters: Fields
    undetermined: set[tuple[str, int]]


def exactly(value: Any) -> Any:
    """Return nested lists of doubles as numbers of 50 digits, each equal to its double."""
    if isinstance(value, dict):
        return {name: exactly(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [exactly(each) for each in value]
    return None if value is None else mpf(value)


def em(
    model: str,
    start: Fields,
    data: Any,
    *,
    uniform: bool = True,
    noise: Callable[[], Any] | None = None,
) -> Iterator[Point]:
    """Yield the start and what each iteration makes of it, without end.

    Parameters
    ----------
    model : str
    start : dict
        Of doubles or of numbers with 50 digits.
    data : list
        None stands for what was not observed.
    uniform : bool
        Whether a row of probabilities that the data leave open becomes uniform or stays.
    noise : callable, optional
        Returns a relative error: a fresh one for each variance and covariance, and for the
        logarithm of each component's joint density with each observation. This is what rounding
        does to a program that works in doubles, a Cholesky factorisation included.

    Raises
    ------
    NoMaximumError
        In place of the iteration that has no maximum.
    """

    def step(parameters: Fields) -> Step:
        if model == "categorical_hmm":
            return hmm_step(parameters, data, uniform)
        mixture = mixture_1d_step if model == "gaussian_mixture_1d" else mixture_step
        return mixture(parameters, data, noise)

    # The precision is set at each turn: a generator would leave its own to whoever runs it.
    with mpmath.workdps(DIGITS):
        parameters = exactly(start)
        data = data if model == "categorical_hmm" else exactly(data)
        undetermined: set[tuple[str, int]] = set()
        magnified = mpf(1)
    while True:
        with mpmath.workdps(DIGITS):
            done = step(parameters)
        yield Point(parameters, done.log_likelihood, done.magnitude, magnified, undetermined)
        with mpmath.workdps(DIGITS):
            refuse_collapsed(done.parameters)
        parameters, undetermined = done.parameters, done.undetermined
        magnified = max(magnified, done.magnified)


def refuse_collapsed(parameters: Fields) -> None:
    """Raise NoMaximumError if a variance is zero or a covariance not positive definite.

    A variance that no double can hold is on its way to zero, and gets there ever faster. At 50
    digits an exact zero may come out as 1e-50: a determinant below 1e-40 of the variances' product
    is zero.
    """
    for k, variance in enumerate(parameters.get("variances", ())):
        if not variance > SMALLEST:
            raise NoMaximumError(f"the variance of component {k} is zero")
    for k, covariance in enumerate(parameters.get("covariances", ())):
        product = mpf(1)
        for d in range(len(covariance)):
            if not covariance[d][d] > SMALLEST:
                raise NoMaximumError(f"variance {d} of component {k} is zero")
            product *= covariance[d][d]
        if not inverse(covariance)[1] > product * mpf(10) ** -40:
            raise NoMaximumError(f"the covariance of component {k} is singular")


def _disturbed(joint: Any, noise: Callable[[], Any] | None) -> Any:
    """Return joint densities with their logarithms off by relative errors."""
    if noise is None:
        return joint
    return [p * mpmath.exp(noise() * mpmath.log(p)) if p else p for p in joint]


def _symmetric(covariance: Any) -> Any:
    """Return the matrix that has this lower triangle."""
    D = range(len(covariance))
    return [[covariance[max(i, j)][min(i, j)] for j in D] for i in D]


def _shift(shift: Any, variance: Any) -> Any:
    """Return the square of a mean's shift in standard deviations."""
    return shift**2 / variance if variance > 0 else mpf(0)


def mixture_1d_step(p: Fields, x: Sequence[Any], noise: Callable[[], Any] | None) -> Step:
    """Take one EM step of the 1D mixture; the density of a missing value is 1."""
    w, m, v = p["weights"], p["means"], p["variances"]
    K = len(w)
    log_likelihood = magnitude = magnified = mpf(0)
    if noise is not None:
        v = [each * (1 + noise()) for each in v]
    r = []  # (N, K)
    norms = [w[k] / mpmath.sqrt(2 * mpmath.pi * v[k]) for k in range(K)]
    for a in x:
        joint = w
        if a is not None:
            joint = [norms[k] * mpmath.exp(-((a - m[k]) ** 2) / (2 * v[k])) for k in range(K)]
        joint = _disturbed(joint, noise)
        evidence = mpmath.fsum(joint)
        r.append([each / evidence for each in joint])
        log_likelihood += mpmath.log(evidence)
        magnitude += abs(mpmath.log(evidence))
    new: Fields = {"weights": [], "means": [], "variances": []}
    undetermined = set()
    for k in range(K):
        N_k = mpmath.fsum(row[k] for row in r)
        new["weights"].append(N_k / len(x))
        if N_k == 0:
            undetermined |= {("means", k), ("variances", k)}
            mean, variance = m[k], v[k]
        else:
            expected = [m[k] if a is None else a for a in x]
            left = [v[k] if a is None else mpf(0) for a in x]
            mean = mpmath.fsum(row[k] * a for row, a in zip(r, expected)) / N_k
            squares = ((a - mean) ** 2 + c for a, c in zip(expected, left))
            variance = mpmath.fsum(row[k] * s for row, s in zip(r, squares)) / N_k
            magnified = max(magnified, _shift(mean - m[k], variance))
        new["means"].append(mean)
        new["variances"].append(variance)
    return Step(log_likelihood, magnitude, magnified, new, undetermined)


def mixture_step(p: Fields, x: Sequence[Sequence[Any]], noise: Callable[[], Any] | None) -> Step:
    """Take one EM step of the mixture in D dimensions, missing coordinates integrated out."""
    w, m, S = p["weights"], p["means"], p["covariances"]
    K, D = len(w), len(m[0])
    if noise is not None:
        S = [_symmetric([[a * (1 + noise()) for a in row] for row in each]) for each in S]
    # For each pattern of observed coordinates and each component: its constant, the precision of
    # what was observed, the regression of the missing ones on it, and what that leaves of them.
    known: dict[tuple[int, ...], list[Any]] = {}
    for row in x:
        o = tuple(d for d in range(D) if row[d] is not None)
        if o not in known:
            known[o] = [_conditional(S[k], o) for k in range(K)]
    log_likelihood = magnitude = magnified = mpf(0)
    r, completed = [], []  # (N, K), and (N, K) pairs of an expected row and its covariance
    for row in x:
        o = tuple(d for d in range(D) if row[d] is not None)
        joint, rows = [], []
        for k in range(K):
            norm, precision, regression, left = known[o][k]
            d = [row[i] - m[k][i] for i in o]
            form = mpmath.fsum(
                d[i] * precision[i][j] * d[j] for i in range(len(o)) for j in range(len(o))
            )
            joint.append(w[k] * norm * mpmath.exp(-form / 2))
            filled = list(row)
            for i, weights in regression.items():
                filled[i] = m[k][i] + mpmath.fsum(a * b for a, b in zip(weights, d))
            rows.append((filled, left))
        joint = _disturbed(joint, noise)
        evidence = mpmath.fsum(joint)
        r.append([each / evidence for each in joint])
        completed.append(rows)
        log_likelihood += mpmath.log(evidence)
        magnitude += abs(mpmath.log(evidence))
    new: Fields = {"weights": [], "means": [], "covariances": []}
    undetermined = set()
    for k in range(K):
        N_k = mpmath.fsum(row[k] for row in r)
        new["weights"].append(N_k / len(x))
        if N_k == 0:
            undetermined |= {("means", k), ("covariances", k)}
            new["means"].append(m[k])
            new["covariances"].append(S[k])
            continue
        mean = [
            mpmath.fsum(row[k] * rows[k][0][d] for row, rows in zip(r, completed)) / N_k
            for d in range(D)
        ]
        covariance = [[mpf(0)] * D for _ in range(D)]
        for row, rows in zip(r, completed):
            filled, left = rows[k]
            for i in range(D):
                for j in range(D):
                    product = (filled[i] - mean[i]) * (filled[j] - mean[j]) + left.get((i, j), 0)
                    covariance[i][j] += row[k] * product / N_k
        new["means"].append(mean)
        new["covariances"].append(covariance)
        for i in range(D):
            magnified = max(magnified, _shift(mean[i] - m[k][i], covariance[i][i]))
    return Step(log_likelihood, magnitude, magnified, new, undetermined)


def _conditional(S: Any, o: tuple[int, ...]) -> Any:
    """Return what one component says of rows that have the coordinates `o`.

    Returns
    -------
    norm : mpf
        The density of the observed coordinates at their mean.
    precision : list, shape (o, o)
    regression : dict
        For each missing coordinate the weights of the observed deviations.
    left : dict
        For each pair of missing coordinates the conditional covariance.
    """
    missing = [d for d in range(len(S)) if d not in o]
    if not o:
        return (
            mpf(1),
            [],
            {i: [] for i in missing},
            {(i, j): S[i][j] for i in missing for j in missing},
        )
    precision, determinant = inverse([[S[i][j] for j in o] for i in o])
    norm = 1 / mpmath.sqrt((2 * mpmath.pi) ** len(o) * determinant)
    regression = {
        i: [mpmath.fsum(S[i][o[a]] * precision[a][b] for a in range(len(o))) for b in range(len(o))]
        for i in missing
    }
    left = {
        (i, j): S[i][j] - mpmath.fsum(g * S[b][j] for g, b in zip(regression[i], o))
        for i in missing
        for j in missing
    }
    return norm, precision, regression, left


def inverse(S: Sequence[Sequence[Any]]) -> tuple[list[list[Any]], Any]:
    """Return the inverse and the determinant of a positive definite matrix, by elimination.

    The determinant is what was found up to a pivot that is not positive; no inverse then.
    """
    n, determinant = len(S), mpf(1)
    rows = [[*row, *(mpf(i == j) for j in range(n))] for i, row in enumerate(S)]
    for i in range(n):
        pivot = rows[i][i]
        determinant *= pivot
        if not pivot > 0:
            return [], determinant
        rows[i] = [a / pivot for a in rows[i]]
        for j in range(n):
            if j != i:
                factor = rows[j][i]
                rows[j] = [b - factor * a for a, b in zip(rows[i], rows[j])]
    return [row[n:] for row in rows], determinant


def hmm_step(p: Fields, sequences: Sequence[Sequence[int | None]], uniform: bool) -> Step:
    """Take one Baum-Welch step, unscaled; a masked symbol has probability 1."""
    counts = {name: _zeros(values) for name, values in p.items()}
    log_likelihood = magnitude = largest = mpf(0)
    for symbols in sequences:
        logarithm = mpmath.log(_count_by_recursion(p, symbols, counts))
        log_likelihood += logarithm
        magnitude += abs(logarithm) * mpmath.sqrt(len(symbols))
        largest = max(largest, abs(logarithm))
    new, undetermined = _shares(p, counts, uniform)
    return Step(log_likelihood, magnitude, largest, new, undetermined)


def hmm_step_by_enumeration(
    p: Fields, sequences: Sequence[Sequence[int | None]]
) -> tuple[Any, Fields]:
    """Take the same step by going through all K^T hidden paths of each sequence.

    Returns
    -------
    log_likelihood : mpf
        Of the old parameters.
    parameters : dict
        The new ones.
    """
    counts = {name: _zeros(values) for name, values in p.items()}
    log_likelihood = mpf(0)
    K = len(p["startprob"])
    b = _emission(p)
    for symbols in sequences:
        own = {name: _zeros(values) for name, values in p.items()}
        evidence = mpf(0)
        for path in itertools.product(range(K), repeat=len(symbols)):
            weight = p["startprob"][path[0]]
            for t, symbol in enumerate(symbols):
                weight *= b(path[t], symbol)
                if t:
                    weight *= p["transmat"][path[t - 1]][path[t]]
            evidence += weight
            own["startprob"][path[0]] += weight
            for t, symbol in enumerate(symbols):
                if symbol is not None:
                    own["emissionprob"][path[t]][symbol] += weight
                if t:
                    own["transmat"][path[t - 1]][path[t]] += weight
        _add(counts, own, evidence)
        log_likelihood += mpmath.log(evidence)
    return log_likelihood, _shares(p, counts, True)[0]


def _emission(p: Fields) -> Callable[[int, int | None], Any]:
    one = mpf(1)
    return lambda i, symbol: one if symbol is None else p["emissionprob"][i][symbol]


def _zeros(values: Any) -> Any:
    return [_zeros(each) if isinstance(each, list) else mpf(0) for each in values]


def _add(counts: Fields, own: Fields, evidence: Any) -> None:
    """Add the counts of one sequence, given it."""
    for name, values in own.items():
        if name == "startprob":
            counts[name] = [a + b / evidence for a, b in zip(counts[name], values)]
        else:
            counts[name] = [
                [a + b / evidence for a, b in zip(row, add)]
                for row, add in zip(counts[name], values)
            ]


def _count_by_recursion(p: Fields, symbols: Sequence[int | None], counts: Fields) -> Any:
    """Add the expected counts of one sequence; return its probability."""
    pi, A = p["startprob"], p["transmat"]
    T, states, b = len(symbols), range(len(pi)), _emission(p)
    alpha = [[pi[i] * b(i, symbols[0]) for i in states]]  # (T, K)  p(x_1 .. x_t, z_t = i)
    for symbol in symbols[1:]:
        last = alpha[-1]
        alpha.append([sum(last[i] * A[i][j] for i in states) * b(j, symbol) for j in states])
    evidence = sum(alpha[-1])
    if evidence == 0:
        raise NoMaximumError("a sequence is impossible")
    own = {name: _zeros(values) for name, values in p.items()}
    beta = [mpf(1) for _ in states]  # p(x_{t+1} .. x_T | z_t = i)
    for t in range(T - 1, -1, -1):
        if symbols[t] is not None:
            for i in states:
                own["emissionprob"][i][symbols[t]] += alpha[t][i] * beta[i]
        if t == 0:
            own["startprob"] = [alpha[0][i] * beta[i] for i in states]
            break
        ahead = [b(j, symbols[t]) * beta[j] for j in states]
        for i in states:
            for j in states:
                own["transmat"][i][j] += alpha[t - 1][i] * A[i][j] * ahead[j]
        beta = [sum(A[i][j] * ahead[j] for j in states) for i in states]
    _add(counts, own, evidence)
    return evidence


def _shares(p: Fields, counts: Fields, uniform: bool) -> tuple[Fields, set[tuple[str, int]]]:
    """Return each row's shares of its count, and the rows that have none."""
    new: Fields = {}
    undetermined = set()
    for name, values in counts.items():
        rows, old = ([values], [p[name]]) if name == "startprob" else (values, p[name])
        shares = []
        for i, row in enumerate(rows):
            total = sum(row)
            if total > 0:
                shares.append([each / total for each in row])
                continue
            undetermined.add((name, i))
            shares.append([mpf(1) / len(row)] * len(row) if uniform else old[i])
        new[name] = shares[0] if name == "startprob" else shares
    return new, undetermined
