"""Truth by brute force: slow, obvious, and independent of the code under test."""

from __future__ import annotations

import itertools
import math

import mpmath
import numpy as np

DIGITS = 50


def hmm_by_enumeration(startprob, transmat, emissionprob, symbols):
    """Sum over all K^T hidden paths: return p(x) and the expected counts given x."""
    K, V, T = len(startprob), emissionprob.shape[1], len(symbols)
    evidence = 0.0
    starts, transitions, emissions = np.zeros(K), np.zeros((K, K)), np.zeros((K, V))
    gamma = np.zeros((T, K))
    for path in itertools.product(range(K), repeat=T):
        p = startprob[path[0]] * emissionprob[path[0], symbols[0]]
        for t in range(1, T):
            p *= transmat[path[t - 1], path[t]] * emissionprob[path[t], symbols[t]]
        evidence += p
        starts[path[0]] += p
        for t in range(T):
            gamma[t, path[t]] += p
            emissions[path[t], symbols[t]] += p
            if t:
                transitions[path[t - 1], path[t]] += p
    parts = (starts, transitions, emissions, gamma)
    return evidence, *(part / evidence for part in parts)


def hmm_in_log_space(startprob, transmat, emissionprob, symbols):
    """Run forward and backward on logarithms; return log p(x) and the expected counts given x."""
    with np.errstate(divide="ignore"):
        pi, A, B = np.log(startprob), np.log(transmat), np.log(emissionprob)
    T, K = len(symbols), len(pi)
    alpha, beta = np.empty((T, K)), np.zeros((T, K))
    alpha[0] = pi + B[:, symbols[0]]
    for t in range(1, T):
        alpha[t] = np.logaddexp.reduce(alpha[t - 1][:, None] + A, axis=0) + B[:, symbols[t]]
    for t in range(T - 2, -1, -1):
        beta[t] = np.logaddexp.reduce(A + B[:, symbols[t + 1]] + beta[t + 1], axis=1)
    evidence = np.logaddexp.reduce(alpha[-1])
    gamma = np.exp(alpha + beta - evidence)
    transitions, emissions = np.zeros((K, K)), np.zeros((K, B.shape[1]))
    for t in range(T):
        emissions[:, symbols[t]] += gamma[t]
        if t:
            ahead = B[:, symbols[t]] + beta[t]
            transitions += np.exp(alpha[t - 1][:, None] + A + ahead - evidence)
    return evidence, gamma[0], transitions, emissions


def mixture_1d_em(weights, means, variances, x, iterations):
    """Run textbook EM for a 1D mixture at 50 digits; return parameters and log-likelihoods."""
    with mpmath.workdps(DIGITS):
        w, m, v = ([mpmath.mpf(float(a)) for a in given] for given in (weights, means, variances))
        x = [mpmath.mpf(float(value)) for value in x]
        K, trace = len(w), []
        for iteration in range(iterations + 1):
            joint = [
                [
                    w[k] * mpmath.exp(-((a - m[k]) ** 2) / (2 * v[k])) / mpmath.sqrt(v[k])
                    for k in range(K)
                ]
                for a in x
            ]
            trace.append(
                sum(mpmath.log(sum(row)) for row in joint) - len(x) * mpmath.log(2 * mpmath.pi) / 2
            )
            if iteration == iterations:
                return (w, m, v), trace
            r = [[p / sum(row) for p in row] for row in joint]
            N = [sum(row[k] for row in r) for k in range(K)]
            m = [sum(row[k] * a for row, a in zip(r, x)) / N[k] for k in range(K)]
            v = [sum(row[k] * (a - m[k]) ** 2 for row, a in zip(r, x)) / N[k] for k in range(K)]
            w = [n / len(x) for n in N]
    raise AssertionError


def numerical_gradient(function, at, step=1e-5):
    """Return the gradient by central differences of fourth order: error of order step^4."""
    at = np.asarray(at, dtype=float)
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        e = np.zeros_like(at)
        e[index] = step * max(1.0, abs(at[index]))
        gradient[index] = (
            8 * (function(at + e) - function(at - e))
            - (function(at + 2 * e) - function(at - 2 * e))
        ) / (12 * e[index])
    return gradient


def digits(value, printed):
    """Return whether the value, rounded to the digits printed, is what was printed."""
    mantissa, _, exponent = printed.partition("e")
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    unit = 10.0**-decimals
    return math.isclose(round(value / unit) * unit, float(printed), abs_tol=unit / 4)
