"""Baum-Welch in many forms: what is right has a name without ``wrong``."""

import math

import numpy as np
import pandas as pd


def passes(x, start, T, E):
    """Return gamma (T, K) and the sum of xi, scaled."""
    n, k = len(x), len(start)
    f, b, c = np.zeros((n, k)), np.ones((n, k)), np.zeros(n)
    for t in range(n):
        f[t] = (start if t == 0 else f[t - 1] @ T) * E[:, x[t]]
        c[t] = f[t].sum()
        f[t] /= c[t]
    for t in reversed(range(n - 1)):
        b[t] = T @ (E[:, x[t + 1]] * b[t + 1]) / c[t + 1]
    xi = sum(np.outer(f[t], E[:, x[t + 1]] * b[t + 1] / c[t + 1]) * T for t in range(n - 1))
    return f * b, xi, np.log(c).sum()


def counts(gamma, x, V):
    return np.array([gamma[np.asarray(x) == v].sum(0) for v in range(V)]).T


def from_columns(seq, p0, A, B, niter=5):
    """A[j, i] is the probability of j after i, and B[v, i] that of v in i: columns sum to 1."""
    for _ in range(niter):
        gamma, xi, _ = passes(seq, p0, A.T, B.T)
        p0 = gamma[0]
        A = (xi / xi.sum(1, keepdims=True)).T
        B = (counts(gamma, seq, len(B)) / gamma.sum(0)[:, None]).T
    return p0, A, B


def from_columns_wrong(seq, p0, A, B, niter=5):
    """The same with the last step in the divisor."""
    for _ in range(niter):
        gamma, xi, _ = passes(seq, p0, A.T, B.T)
        p0 = gamma[0]
        A = (xi / gamma.sum(0)[:, None]).T
        B = (counts(gamma, seq, len(B)) / gamma.sum(0)[:, None]).T
    return p0, A, B


def in_logarithms(observations, log_start, log_trans, log_emit):
    """One iteration: logarithms of probabilities in and out, over a list of sequences."""
    first, steps, shown = 0, 0, 0
    for x in observations:
        gamma, xi, _ = passes(x, np.exp(log_start), np.exp(log_trans), np.exp(log_emit))
        first, steps = first + gamma[0], steps + xi
        shown = shown + counts(gamma, x, log_emit.shape[1])
    return (
        np.log(first / first.sum()),
        np.log(steps / steps.sum(1, keepdims=True)),
        np.log(shown / shown.sum(1, keepdims=True)),
    )


def in_logarithms_wrong(observations, log_start, log_trans, log_emit):
    """The same, of the last sequence alone."""
    for x in observations:
        gamma, xi, _ = passes(x, np.exp(log_start), np.exp(log_trans), np.exp(log_emit))
        shown = counts(gamma, x, log_emit.shape[1])
    return (
        np.log(gamma[0]),
        np.log(xi / xi.sum(1, keepdims=True)),
        np.log(shown / shown.sum(1, keepdims=True)),
    )


def by_name(obs, states, start, trans, emit, repeats):
    """Nested dictionaries with strings for states and symbols."""
    alphabet = list(emit[states[0]])
    for _ in range(repeats):
        x = [alphabet.index(o) for o in obs]
        gamma, xi, _ = passes(
            x,
            np.array([start[s] for s in states]),
            np.array([[trans[s][r] for r in states] for s in states]),
            np.array([[emit[s][a] for a in alphabet] for s in states]),
        )
        shown = counts(gamma, x, len(alphabet))
        start = dict(zip(states, gamma[0]))
        trans = {s: dict(zip(states, row / row.sum())) for s, row in zip(states, xi)}
        emit = {s: dict(zip(alphabet, row / row.sum())) for s, row in zip(states, shown)}
    return {"start": start, "trans": trans, "emit": emit}


def by_name_wrong(obs, states, start, trans, emit, repeats):
    """The same, each count of a symbol one too large."""
    alphabet = list(emit[states[0]])
    for _ in range(repeats):
        x = [alphabet.index(o) for o in obs]
        gamma, xi, _ = passes(
            x,
            np.array([start[s] for s in states]),
            np.array([[trans[s][r] for r in states] for s in states]),
            np.array([[emit[s][a] for a in alphabet] for s in states]),
        )
        shown = counts(gamma, x, len(alphabet)) + 1
        start = dict(zip(states, gamma[0]))
        trans = {s: dict(zip(states, row / row.sum())) for s, row in zip(states, xi)}
        emit = {s: dict(zip(alphabet, row / row.sum())) for s, row in zip(states, shown)}
    return {"start": start, "trans": trans, "emit": emit}


def with_frames(sequence, pi, transitions, emissions, n_iter):
    """Tables of pandas, with names of states and symbols."""
    names, symbols = list(transitions.index), list(emissions.columns)
    x = [symbols.index(o) for o in sequence]
    for _ in range(n_iter):
        gamma, xi, _ = passes(
            x, pi.loc[names].to_numpy(), transitions.to_numpy(), emissions.to_numpy()
        )
        shown = counts(gamma, x, len(symbols))
        pi = pd.Series(gamma[0], index=names)
        transitions = pd.DataFrame(xi, names, names).pipe(lambda d: d.div(d.sum(axis=1), axis=0))
        emissions = pd.DataFrame(shown, names, symbols).pipe(lambda d: d.div(d.sum(axis=1), axis=0))
    return pi, transitions, emissions


class Chain:
    """A chain that is given its observations when it is made."""

    def __init__(self, observations, transition, emission, initial):
        self.observations = np.asarray(observations)
        self.transition, self.emission, self.initial = transition, emission, initial
        self.loglik = -math.inf

    def baum_welch_step(self):
        gamma, xi, self.loglik = passes(
            self.observations, self.initial, self.transition, self.emission
        )
        self.initial = gamma[0]
        self.transition = xi / xi.sum(axis=1, keepdims=True)
        shown = counts(gamma, self.observations, self.emission.shape[1])
        self.emission = shown / shown.sum(axis=1, keepdims=True)


class ChainWrong(Chain):
    """The same, emissions divided over the states."""

    def baum_welch_step(self):
        gamma, xi, self.loglik = passes(
            self.observations, self.initial, self.transition, self.emission
        )
        self.initial = gamma[0]
        self.transition = xi / xi.sum(axis=1, keepdims=True)
        shown = counts(gamma, self.observations, self.emission.shape[1])
        self.emission = shown / shown.sum(axis=0, keepdims=True)


def start_kept(chain, trans, emit, init, n_steps):
    """Return the two matrices alone; the start distribution stays."""
    for _ in range(n_steps):
        gamma, xi, _ = passes(chain, init, trans, emit)
        trans = xi / xi.sum(axis=1, keepdims=True)
        emit = counts(gamma, chain, emit.shape[1]) / gamma.sum(axis=0)[:, None]
    return trans, emit
