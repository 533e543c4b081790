"""EM in 50-digit arithmetic: textbook loops on lists, which share nothing with `models`.

Nothing is scaled and nothing taken in logarithms: these numbers have no smallest exponent, so a
density of 1e-100000 is as good as any other. The formulas are those of Bishop (2006), Pattern
Recognition and Machine Learning: (9.23) to (9.28) for the mixtures, (13.18) to (13.65) for the
hidden Markov model; for a missing coordinate those of Ghahramani and Jordan (1994), NIPS 6.

Parameters are fields of nested lists, and None in data stands for what was not observed.
Letters: N observations of D coordinates, K components or states, T steps, V symbols.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, override

import mpmath
import numpy as np
from mpmath import mpf

from lockstep.models import load
from lockstep.models.records import Floats

DIGITS = 50
SMALLEST = 2.0**-1074
"""The smallest double."""

type Fields = dict[str, Any]
type Noise = Callable[[], Any] | None


class UndefinedError(ArithmeticError):
    """There is no answer: a component has collapsed, or a sequence is impossible."""


@dataclass(frozen=True)
class Expectation:
    """What an E-step gives.

    Attributes
    ----------
    statistics : dict
        What the M-step takes, as nested lists.
    log_likelihood : mpf
        In nats.
    magnitude : mpf
        What the log-likelihood's rounding is in proportion to: the sum of the absolute values of
        its terms; for a sequence of T steps times sqrt(T), since a program that works in logarithms
        rounds a sum as large as that at every step.
    magnified : mpf
        By how much a sound program may magnify rounding in the statistics: one that works in
        logarithms, by the largest logarithm of a sequence's probability.
    """

    statistics: Fields
    log_likelihood: Any
    magnitude: Any
    magnified: Any


@dataclass(frozen=True)
class Maximum:
    """What an M-step gives.

    Attributes
    ----------
    parameters : dict
    undetermined : set of tuple
        Fields, and components of fields, for which nothing counts: ``("startprob",)``,
        ``("means", 1)``.
    magnified : mpf
        By how much a sound program may magnify rounding here: one that takes moments about the
        old means, by the largest ``(shift / sd)^2`` of a component.
    """

    parameters: Fields
    undetermined: frozenset[tuple[Any, ...]]
    magnified: Any = 1


@dataclass(frozen=True)
class Point:
    """Parameters on the way of EM, and what they make of the data: see `Maximum`, `Expectation`.

    Attributes
    ----------
    magnified : mpf
        The largest so far.
    """

    parameters: Fields
    undetermined: frozenset[tuple[Any, ...]]
    log_likelihood: Any
    magnitude: Any
    magnified: Any


def exactly(value: Any) -> Any:
    """Return nested lists of doubles as numbers of 50 digits, each equal to its double."""
    if isinstance(value, dict):
        return {name: exactly(each) for name, each in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [exactly(each) for each in value]
    return None if value is None else mpf(value)


class Twin(ABC):
    """A model's EM at 50 digits."""

    @abstractmethod
    def e_step(self, p: Fields, data: Any, noise: Noise = None) -> Expectation:
        """Return what is expected of the latent variables, and the log-likelihood."""

    @abstractmethod
    def m_step(self, p: Fields, data: Any, statistics: Fields, uniform: bool) -> Maximum:
        """Return the parameters that maximise; `p` are the old ones.

        A distribution that the data leave open becomes uniform, or stays.
        """

    def data(self, data: Any) -> Any:
        """Return data as the E-step takes them."""
        return exactly(data)

    def disturbed(self, p: Fields, noise: Callable[[], Any]) -> Fields:
        """Return parameters as rounding may leave them where they enter densities."""
        _ = noise
        return p

    def refuse_collapsed(self, p: Fields) -> None:
        """Raise UndefinedError if the parameters have no likelihood."""
        _ = p

    def enumerated(self, p: Fields, data: Any) -> Expectation | None:
        """Return the E-step by another way, through all latent paths, if there are not too many."""
        _ = p, data
        return None

    def em(
        self, start: Fields, data: Any, *, uniform: bool = True, noise: Noise = None
    ) -> Iterator[Point]:
        """Yield the start and what each iteration makes of it, without end.

        Parameters
        ----------
        start : dict
            Of doubles or of numbers with 50 digits.
        data : list
        uniform : bool
            Whether a distribution that the data leave open becomes uniform or stays.
        noise : callable, optional
            Returns a relative error: a fresh one for each variance and covariance, and for the
            logarithm of each component's joint density with each observation. This is what
            rounding does to a program that works in doubles, a Cholesky factorisation included.

        Raises
        ------
        UndefinedError
            In place of the iteration that has no maximum.
        """
        # The precision is set at each turn: a generator would leave its own to whoever runs it.
        with mpmath.workdps(DIGITS):
            here, data = Maximum(exactly(start), frozenset()), self.data(data)
        while True:
            with mpmath.workdps(DIGITS):
                p = here.parameters if noise is None else self.disturbed(here.parameters, noise)
                e = self.e_step(p, data, noise)
                m = self.m_step(p, data, e.statistics, uniform)
            yield Point(
                here.parameters, here.undetermined, e.log_likelihood, e.magnitude, here.magnified
            )
            with mpmath.workdps(DIGITS):
                self.refuse_collapsed(m.parameters)
                here = replace(m, magnified=max(here.magnified, e.magnified, m.magnified))

    def expectation(self, start: Fields, data: Any) -> tuple[dict[str, Floats], float]:
        """Return what an E-step expects and the log-likelihood, rounded to doubles at the end.

        Where there are few latent paths, all are gone through.
        """
        with mpmath.workdps(DIGITS):
            p, data = exactly(start), self.data(data)
            self.refuse_collapsed(p)
            e = self.enumerated(p, data) or self.e_step(p, data)
            return _doubles(e.statistics), float(e.log_likelihood)

    def iteration(self, start: Fields, data: Any) -> dict[str, Floats]:
        """Return the parameters after one iteration, in the same way."""
        with mpmath.workdps(DIGITS):
            p, data = exactly(start), self.data(data)
            e = self.enumerated(p, data) or self.e_step(p, data)
            return _doubles(self.m_step(p, data, e.statistics, True).parameters)


def _doubles(fields: Fields) -> dict[str, Floats]:
    return {name: np.array(values, np.float64) for name, values in fields.items() if name[0] != "_"}


class GaussianMixture(Twin):
    """The mixture in D dimensions, missing coordinates integrated out.

    Statistics are the ``responsibilities`` (N, K), and ``_completed`` (N, K): each row as a
    component expects it, and the covariance that is left of its missing coordinates.
    """

    @override
    def disturbed(self, p: Fields, noise: Callable[[], Any]) -> Fields:
        off = [[[a * (1 + noise()) for a in row] for row in S] for S in p["covariances"]]
        symmetric = [
            [[S[max(i, j)][min(i, j)] for j in range(len(S))] for i in range(len(S))] for S in off
        ]
        return {**p, "covariances": symmetric}

    @override
    def e_step(self, p: Fields, data: Any, noise: Noise = None) -> Expectation:
        K, D = len(p["weights"]), len(p["means"][0])
        conditionals: dict[tuple[int, ...], list[Any]] = {}
        log_likelihood = magnitude = mpf(0)
        r, completed = [], []
        for row in data:
            o = tuple(d for d in range(D) if row[d] is not None)
            if o not in conditionals:
                conditionals[o] = [_conditional(S, o) for S in p["covariances"]]
            joint, rows = [], []
            for k in range(K):
                density, filled = _density(row, p["means"][k], o, conditionals[o][k])
                joint.append(p["weights"][k] * density)
                rows.append((filled, conditionals[o][k][-1]))
            if noise is not None:
                joint = [a * mpmath.exp(noise() * mpmath.log(a)) if a else a for a in joint]
            evidence = mpmath.fsum(joint)
            if evidence == 0:
                raise UndefinedError("an observation is impossible")
            r.append([each / evidence for each in joint])
            completed.append(rows)
            log_likelihood += mpmath.log(evidence)
            magnitude += abs(mpmath.log(evidence))
        statistics = {"responsibilities": r, "_completed": completed}
        return Expectation(statistics, log_likelihood, magnitude, 1)

    @override
    def m_step(self, p: Fields, data: Any, statistics: Fields, uniform: bool) -> Maximum:
        D = range(len(p["means"][0]))
        weights, means, covariances = [], [], []
        undetermined, magnified = set(), mpf(1)
        for k, (m, S) in enumerate(zip(p["means"], p["covariances"])):
            r = [row[k] for row in statistics["responsibilities"]]
            filled, left = zip(*(rows[k] for rows in statistics["_completed"]))
            N_k = mpmath.fsum(r)
            weights.append(N_k / len(data))
            if N_k == 0:
                undetermined |= {("means", k), ("covariances", k)}
            else:
                old = m
                m = [mpmath.fsum(a * x[d] for a, x in zip(r, filled)) / N_k for d in D]
                centred = [[x[d] - m[d] for d in D] for x in filled]
                S = [
                    [
                        mpmath.fsum(
                            a * (x[i] * x[j] + c.get((i, j), 0))
                            for a, x, c in zip(r, centred, left)
                        )
                        / N_k
                        for j in D
                    ]
                    for i in D
                ]
                shifts = [(m[d] - old[d]) ** 2 / S[d][d] for d in D if S[d][d] > 0]
                magnified = max(magnified, *shifts, 0)
            means.append(m)
            covariances.append(S)
        new = {"weights": weights, "means": means, "covariances": covariances}
        return Maximum(new, frozenset(undetermined), magnified)

    @override
    def refuse_collapsed(self, p: Fields) -> None:
        """Raise UndefinedError if a covariance is not positive definite.

        A variance that no double can hold is on its way to zero, and gets there ever faster. At 50
        digits an exact zero may come out as 1e-50: a determinant below 1e-40 of the variances'
        product is zero.
        """
        for k, covariance in enumerate(p["covariances"]):
            variances = [row[d] for d, row in enumerate(covariance)]
            for d, variance in enumerate(variances):
                if not variance > SMALLEST:
                    raise UndefinedError(f"variance {d} of component {k} is zero")
            if not inverse(covariance)[1] > mpmath.fprod(variances) * mpf(10) ** -40:
                raise UndefinedError(f"the covariance of component {k} is singular")


def _density(row: Any, mean: Any, o: tuple[int, ...], conditional: Any) -> tuple[Any, Any]:
    """Return the density of the observed coordinates `o`, and the row completed."""
    norm, precision, regression, _ = conditional
    d = [row[i] - mean[i] for i in o]
    form = mpmath.fsum(
        a * weight * b for a, weights in zip(d, precision) for weight, b in zip(weights, d)
    )
    filled = list(row)
    for i, weights in regression.items():
        filled[i] = mean[i] + mpmath.fsum(a * b for a, b in zip(weights, d))
    return norm * mpmath.exp(-form / 2), filled


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
    precision, determinant = inverse([[S[i][j] for j in o] for i in o])
    norm = 1 / mpmath.sqrt((2 * mpmath.pi) ** len(o) * determinant)
    regression = {
        i: [mpmath.fsum(S[i][a] * row[b] for a, row in zip(o, precision)) for b in range(len(o))]
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


class GaussianMixture1D(GaussianMixture):
    """The mixture of single values: that of rows with one coordinate, its fields without it."""

    @override
    def data(self, data: Any) -> Any:
        return [[value] for value in exactly(data)]

    @override
    def disturbed(self, p: Fields, noise: Callable[[], Any]) -> Fields:
        return {**p, "variances": [v * (1 + noise()) for v in p["variances"]]}

    @override
    def e_step(self, p: Fields, data: Any, noise: Noise = None) -> Expectation:
        return super().e_step(_in_one_dimension(p), data, noise)

    @override
    def m_step(self, p: Fields, data: Any, statistics: Fields, uniform: bool) -> Maximum:
        done = super().m_step(_in_one_dimension(p), data, statistics, uniform)
        new = {
            "weights": done.parameters["weights"],
            "means": [mean[0] for mean in done.parameters["means"]],
            "variances": [covariance[0][0] for covariance in done.parameters["covariances"]],
        }
        named = {"means": "means", "covariances": "variances"}
        return replace(
            done,
            parameters=new,
            undetermined=frozenset((named[name], k) for name, k in done.undetermined),
        )

    @override
    def refuse_collapsed(self, p: Fields) -> None:
        super().refuse_collapsed(_in_one_dimension(p))


def _in_one_dimension(p: Fields) -> Fields:
    return {
        "weights": p["weights"],
        "means": [[mean] for mean in p["means"]],
        "covariances": [[[variance]] for variance in p["variances"]],
    }


class CategoricalHMM(Twin):
    """The hidden Markov model, unscaled; a masked symbol has probability 1.

    Statistics are the expected counts ``starts``, ``transitions`` and ``emissions``, and for a
    single sequence of T steps ``gamma`` (T, K) and ``xi`` (T-1, K, K).
    """

    PATHS = 2_500
    """As many hidden paths of a sequence are gone through."""

    @override
    def data(self, data: Any) -> Any:
        return [getattr(symbols, "tolist", lambda s=symbols: s)() for symbols in data]

    @override
    def e_step(self, p: Fields, data: Any, noise: Noise = None) -> Expectation:
        return self._summed(p, data, _recursion)

    @override
    def enumerated(self, p: Fields, data: Any) -> Expectation | None:
        if max(len(p["startprob"]) ** len(symbols) for symbols in data) > self.PATHS:
            return None
        return self._summed(p, data, _all_paths)

    def _summed(self, p: Fields, data: Any, joint: Callable[..., Any]) -> Expectation:
        """Add what each sequence is expected to count."""
        names = {"starts": "startprob", "transitions": "transmat", "emissions": "emissionprob"}
        counts = {name: _mapped(lambda _: mpf(0), p[field]) for name, field in names.items()}
        states = range(len(p["startprob"]))
        log_likelihood = magnitude = largest = mpf(0)
        for x in data:
            gamma, xi = joint(p, x)
            evidence = sum(gamma[-1])
            if evidence == 0:
                raise UndefinedError("a sequence is impossible")
            own = _mapped(lambda _: mpf(0), p["emissionprob"])
            for symbol, at in zip(x[::-1], gamma[::-1]):
                for i in states if symbol is not None else ():
                    own[i][symbol] += at[i]
            through = [[sum(pair[i][j] for pair in xi[::-1]) for j in states] for i in states]
            for name, values in zip(counts, (gamma[0], through, own)):
                counts[name] = _mapped(lambda a, b, e=evidence: a + b / e, counts[name], values)
            logarithm = mpmath.log(evidence)
            log_likelihood += logarithm
            magnitude += abs(logarithm) * mpmath.sqrt(len(x))
            largest = max(largest, abs(logarithm))
        if len(data) == 1:
            gamma, xi = (_mapped(lambda a: a / evidence, each) for each in (gamma, xi))
            counts |= {"gamma": gamma, "xi": xi}
        return Expectation(counts, log_likelihood, magnitude, largest)

    @override
    def m_step(self, p: Fields, data: Any, statistics: Fields, uniform: bool) -> Maximum:
        undetermined = set()

        def shares(counts: Any, old: Any, *place: Any) -> Any:
            if isinstance(counts[0], list):
                rows = enumerate(zip(counts, old))
                return [shares(row, before, *place, i) for i, (row, before) in rows]
            total = sum(counts)
            if total > 0:
                return [each / total for each in counts]
            undetermined.add(place)
            return [mpf(1) / len(counts)] * len(counts) if uniform else old

        new = {
            name: shares(statistics[counts], p[name], name)
            for name, counts in (
                ("startprob", "starts"),
                ("transmat", "transitions"),
                ("emissionprob", "emissions"),
            )
        }
        return Maximum(new, frozenset(undetermined))


def _emission(p: Fields) -> Callable[[int, int | None], Any]:
    one = mpf(1)
    return lambda i, symbol: one if symbol is None else p["emissionprob"][i][symbol]


def _mapped(function: Callable[..., Any], *values: Any) -> Any:
    """Return nested lists of what a function makes of the numbers of nested lists."""
    if isinstance(values[0], list):
        return [_mapped(function, *each) for each in zip(*values)]
    return function(*values)


def _recursion(p: Fields, symbols: Sequence[int | None]) -> tuple[Any, Any]:
    """Return p(x, z_t), (T, K), and p(x, z_t, z_{t+1}), (T-1, K, K), forward and backward."""
    pi, A = p["startprob"], p["transmat"]
    states, b = range(len(pi)), _emission(p)
    alpha = [[pi[i] * b(i, symbols[0]) for i in states]]  # (T, K)  p(x_1 .. x_t, z_t = i)
    for symbol in symbols[1:]:
        last = alpha[-1]
        alpha.append([sum(last[i] * A[i][j] for i in states) * b(j, symbol) for j in states])
    beta = [mpf(1) for _ in states]  # p(x_{t+1} .. x_T | z_t = i)
    gamma, xi = [alpha[-1]], []  # from the last step to the first
    for t in range(len(symbols) - 1, 0, -1):
        ahead = [b(j, symbols[t]) * beta[j] for j in states]
        xi.append([[alpha[t - 1][i] * A[i][j] * ahead[j] for j in states] for i in states])
        beta = [sum(A[i][j] * ahead[j] for j in states) for i in states]
        gamma.append([a * b for a, b in zip(alpha[t - 1], beta)])
    return gamma[::-1], xi[::-1]


def _all_paths(p: Fields, symbols: Sequence[int | None]) -> tuple[Any, Any]:
    """Return the same by going through all K^T hidden paths."""
    T, states, b = len(symbols), range(len(p["startprob"])), _emission(p)
    gamma = [[mpf(0) for _ in states] for _ in symbols]
    xi = [[[mpf(0) for _ in states] for _ in states] for _ in symbols[1:]]
    for path in itertools.product(states, repeat=T):
        weight = p["startprob"][path[0]] * b(path[0], symbols[0])
        for t in range(1, T):
            weight *= p["transmat"][path[t - 1]][path[t]] * b(path[t], symbols[t])
        for t in range(T):
            gamma[t][path[t]] += weight
            if t:
                xi[t - 1][path[t - 1]][path[t]] += weight
    return gamma, xi


TWINS: dict[tuple[str, ...], Twin] = {
    ("weights", "means", "variances"): GaussianMixture1D(),
    ("weights", "means", "covariances"): GaussianMixture(),
    ("startprob", "transmat", "emissionprob"): CategoricalHMM(),
}
"""Exact EM, by the fields of the model's parameters."""


def twin(model: str) -> Twin:
    """Return the exact EM of a model.

    Raises
    ------
    LookupError
        If there is none; the message says so.
    """
    module = load(model)
    found = TWINS.get(tuple(module.Parameters.SPACES))
    if found is None:
        raise LookupError(f"there is no EM at 50 digits for the {module.TITLE}")
    return found
