"""Truth for small problems: mixtures at 50 digits, hidden Markov models by all their paths.

Slow, obvious and independent of `models`: no logarithm is taken before the end, nothing is
scaled, and nothing can underflow.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lockstep.models.records import Floats

DIGITS = 50

type Arrays = Mapping[str, Floats]


def expectation(start: Arrays, data: Any) -> tuple[dict[str, Floats], float]:
    """Return what an E-step expects, rounded to doubles, and the log-likelihood.

    Returns
    -------
    expected : dict
        For a mixture ``responsibilities``, (N, K). For an HMM ``starts``, ``transitions`` and
        ``emissions``; and for a single sequence ``gamma`` and ``xi``, summed over nothing.
    log_likelihood : float
    """
    with mpmath.workdps(DIGITS):
        if "emissionprob" in start:
            counts, total = _paths(start, data)
            return {name: _doubles(array) for name, array in counts.items()}, float(total)
        joint = _joint(start, data)
        evidence = [mpmath.fsum(row) for row in joint]
        r = [[p / e for p in row] for row, e in zip(joint, evidence)]
        total = mpmath.fsum(mpmath.log(e) for e in evidence)
        return {"responsibilities": _doubles(np.array(r, dtype=object))}, float(total)


def iteration(start: Arrays, data: Any) -> dict[str, Floats]:
    """Return the parameters after one EM iteration, rounded to doubles once, at the end."""
    with mpmath.workdps(DIGITS):
        if "emissionprob" in start:
            counts, _ = _paths(start, data)
            rows = {"startprob": "starts", "transmat": "transitions", "emissionprob": "emissions"}
            return {k: _doubles(_shares(counts[name])) for k, name in rows.items()}
        joint = _joint(start, data)
        evidence = [mpmath.fsum(row) for row in joint]
        r = np.array([[p / e for p in row] for row, e in zip(joint, evidence)], dtype=object)
        x = np.array([[mpmath.mpf(float(v)) for v in row] for row in _rows(data)], dtype=object)
        n = r.sum(axis=0)
        means = (r.T @ x) / n[:, None]
        d = x[:, None] - means  # (N, K, D)
        covariances = np.stack(
            [(r[:, k, None] * d[:, k]).T @ d[:, k] / n[k] for k in range(len(n))]
        )
        weights = n / len(x)
        if np.ndim(data) == 1:
            return {
                "weights": _doubles(weights),
                "means": _doubles(means[:, 0]),
                "variances": _doubles(covariances[:, 0, 0]),
            }
        return {
            "weights": _doubles(weights),
            "means": _doubles(means),
            "covariances": _doubles(covariances),
        }


def _doubles(array: Any) -> Floats:
    return np.asarray(np.vectorize(float, otypes=[np.float64])(array))


def _rows(data: Any) -> Any:
    return np.reshape(data, (len(data), -1))


def _joint(start: Arrays, data: Any) -> list[list[Any]]:
    """Return ``p(x_n, z_n = k)`` at 50 digits."""
    x = _rows(data)
    K, D = len(start["weights"]), x.shape[1]
    covariances = start.get("covariances", start.get("variances"))
    assert covariances is not None
    means, covariances = start["means"].reshape(K, D), covariances.reshape(K, D, D)
    parts = []
    for k in range(K):
        sigma = mpmath.matrix(covariances[k].tolist())
        scale = mpmath.mpf(float(start["weights"][k])) / mpmath.sqrt(
            (2 * mpmath.pi) ** D * mpmath.det(sigma)
        )
        parts.append((scale, mpmath.matrix(means[k].tolist()), sigma**-1))
    joint = []
    for row in x.tolist():
        point, densities = mpmath.matrix(row), []
        for scale, mean, precision in parts:
            d = point - mean
            densities.append(scale * mpmath.exp(-(d.T * precision * d)[0] / 2))
        joint.append(densities)
    return joint


def _paths(start: Arrays, sequences: Any) -> tuple[dict[str, Any], Any]:
    """Sum over all K^T hidden paths of each sequence."""
    pi, A, B = (
        np.vectorize(lambda v: mpmath.mpf(float(v)), otypes=[object])(start[name])
        for name in ("startprob", "transmat", "emissionprob")
    )
    K, V = B.shape
    zero = mpmath.mpf(0)
    total = zero
    sums = {
        "starts": np.full(K, zero, dtype=object),
        "transitions": np.full((K, K), zero, dtype=object),
        "emissions": np.full((K, V), zero, dtype=object),
    }
    for x in sequences:
        T, evidence = len(x), zero
        gamma = np.full((T, K), zero, dtype=object)
        xi = np.full((max(T - 1, 0), K, K), zero, dtype=object)
        for path in itertools.product(range(K), repeat=T):
            p = pi[path[0]] * B[path[0], x[0]]
            for t in range(1, T):
                p *= A[path[t - 1], path[t]] * B[path[t], x[t]]
            evidence += p
            for t in range(T):
                gamma[t, path[t]] += p
                if t:
                    xi[t - 1, path[t - 1], path[t]] += p
        gamma, xi = gamma / evidence, xi / evidence
        total += mpmath.log(evidence)
        sums["starts"] = sums["starts"] + gamma[0]
        for t in range(T):
            sums["emissions"][:, x[t]] += gamma[t]
            if t:
                sums["transitions"] = sums["transitions"] + xi[t - 1]
        if len(sequences) == 1:
            sums |= {"gamma": gamma, "xi": xi}
    return sums, total


def _shares(counts: Any) -> Any:
    totals = counts.sum(axis=-1, keepdims=True)
    even = mpmath.mpf(1) / counts.shape[-1]
    return np.where(totals > 0, counts / np.where(totals > 0, totals, 1), even)
