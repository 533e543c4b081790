# ruff: noqa: E501
"""Six programs as people write them, and changes to each: what a verdict must say of them.

A change is the text that it replaces and what stands in its place; the verdict is its word, and the
name of the first cause, or choice, that it must give.
"""

SCALED_HMM = """
import numpy as np

def em(obs_seq, pi, A, B, n_iter):
    for _ in range(n_iter):
        T, K, V = len(obs_seq), len(pi), B.shape[1]
        a, b, c = np.zeros((T, K)), np.ones((T, K)), np.zeros(T)
        for t in range(T):
            a[t] = (pi if t == 0 else a[t - 1] @ A) * B[:, obs_seq[t]]
            c[t] = a[t].sum()
            a[t] /= c[t]
        for t in range(T - 2, -1, -1):
            b[t] = A @ (B[:, obs_seq[t + 1]] * b[t + 1]) / c[t + 1]
        g = a * b
        N = np.zeros((K, K))
        for t in range(T - 1):
            N += a[t][:, None] * A * (B[:, obs_seq[t + 1]] * b[t + 1]) / c[t + 1]
        E = np.stack([g[obs_seq == v].sum(0) for v in range(V)], 1)
        pi = g[0]
        if T > 1:
            A = N / N.sum(1)[:, None]
        B = E / E.sum(1)[:, None]
    return pi, A, B
"""

SEVERAL_HMM = """
import numpy as np

def step(startprob, transmat, emissionprob, sequences):
    first, pairs, shown = 0.0, np.zeros_like(transmat), np.zeros_like(emissionprob)
    lA, lB = np.log(transmat), np.log(emissionprob)
    for x in sequences:
        T = len(x)
        f, h = np.empty((T, len(lA))), np.zeros((T, len(lA)))
        f[0] = np.log(startprob) + lB[:, x[0]]
        for t in range(1, T):
            f[t] = np.logaddexp.reduce(f[t - 1][:, None] + lA, axis=0) + lB[:, x[t]]
        for t in reversed(range(T - 1)):
            h[t] = np.logaddexp.reduce(lA + lB[:, x[t + 1]] + h[t + 1], axis=1)
        total = np.logaddexp.reduce(f[-1])
        gamma = np.exp(f + h - total)
        first = first + gamma[0]
        for t in range(T - 1):
            pairs += np.exp(f[t][:, None] + lA + lB[:, x[t + 1]] + h[t + 1] - total)
        for t in range(T):
            shown[:, x[t]] += gamma[t]
    left = pairs.sum(axis=1, keepdims=True)
    transmat = np.divide(pairs, left, out=transmat.copy(), where=left > 0)
    return first / len(sequences), transmat, shown / shown.sum(axis=1, keepdims=True)
"""

LINE = """
import numpy as np

def em(data, mu, sigma, pi, n_iterations):
    N, K = len(data), len(mu)
    for _ in range(n_iterations):
        z = (data[:, None] - mu) / sigma
        log_p = np.log(pi) - np.log(sigma) - 0.5 * z**2 - 0.5 * np.log(2 * np.pi)
        top = log_p.max(axis=1, keepdims=True)
        gamma = np.exp(log_p - top)
        gamma = gamma / gamma.sum(axis=1, keepdims=True)
        N_k = gamma.sum(axis=0)
        mu = (gamma * data[:, None]).sum(axis=0) / N_k
        var = (gamma * (data[:, None] - mu) ** 2).sum(axis=0) / N_k
        sigma = np.sqrt(var)
        pi = N_k / N
    return mu, sigma, pi
"""

PLANE = """
import numpy as np
from scipy.stats import multivariate_normal

def em(X, weights, means, covs, n_iter):
    N, K = len(X), len(weights)
    for _ in range(n_iter):
        p = np.empty((N, K))
        for k in range(K):
            p[:, k] = weights[k] * multivariate_normal(means[k], covs[k]).pdf(X)
        R = p / p.sum(axis=1, keepdims=True)
        n = R.sum(axis=0)
        weights = n / N
        means = (R.T @ X) / n[:, None]
        covs = np.array([(R[:, k, None] * (X - means[k])).T @ (X - means[k]) / n[k]
                         for k in range(K)])
    return weights, means, covs
"""

OWN_LINE = """
import numpy as np

def fit(data, n_components, COUNT=300):
    K, N = n_components, len(data)
    w, v = np.full(K, 1 / K), np.full(K, data.var())
    m = np.quantile(data, (np.arange(K) + 0.5) / K)
    for _ in range(COUNT):
        r = w * np.exp(-0.5 * (data[:, None] - m) ** 2 / v) / np.sqrt(v)
        r /= r.sum(axis=1, keepdims=True)
        n, old = r.sum(axis=0), m
        w, m = n / N, r.T @ data / n
        v = (r * (data[:, None] - m) ** 2).sum(axis=0) / n
    return w, m, v
"""

OWN_HMM = """
import numpy as np

def fit(obs_seq, n_components, n_features, COUNT=120):
    K, V, T = n_components, n_features, len(obs_seq)
    rng = np.random.default_rng(3)
    pi, A, B = np.full(K, 1 / K), rng.dirichlet(np.ones(K), K), rng.dirichlet(np.ones(V), K)
    for _ in range(COUNT):
        a, b, c = np.zeros((T, K)), np.ones((T, K)), np.zeros(T)
        for t in range(T):
            a[t] = (pi if t == 0 else a[t - 1] @ A) * B[:, obs_seq[t]]
            c[t] = a[t].sum()
            a[t] /= c[t]
        for t in range(T - 2, -1, -1):
            b[t] = A @ (B[:, obs_seq[t + 1]] * b[t + 1]) / c[t + 1]
        g, N = a * b, np.zeros((K, K))
        for t in range(T - 1):
            N += a[t][:, None] * A * (B[:, obs_seq[t + 1]] * b[t + 1]) / c[t + 1]
        E = np.stack([g[obs_seq == v].sum(0) for v in range(V)], 1)
        pi, A, B = g[0], N / N.sum(1)[:, None], E / E.sum(1)[:, None]
    return pi, A, B
"""

HIDDEN = {"COUNT=300": "zeal=300", "COUNT=120": "zeal=120", "COUNT": "zeal"}
"""A number of iterations by a name that nobody knows: only the end is seen."""
SEEN = {"COUNT": "n_iter"}

PROGRAMS = {
    "hmm": (SCALED_HMM, "em", "categorical_hmm"),
    "several": (SEVERAL_HMM, "step", "categorical_hmm"),
    "line": (LINE, "em", "gaussian_mixture_1d"),
    "plane": (PLANE, "em", "gaussian_mixture_2d"),
    "own_line": (OWN_LINE, "fit", "gaussian_mixture_1d"),
    "own_hmm": (OWN_HMM, "fit", "categorical_hmm"),
}

_OWN_PACE = {"range(n_iterations)": "range(40)"}
_EARLY = {"for _ in range(n_iterations):": "before = np.inf\n    for _ in range(n_iterations):"} | {
    "        pi = N_k / N\n": "        pi = N_k / N\n        now = (top[:, 0] + np.log(np.exp("
    "log_p - top).sum(axis=1))).sum()\n        if abs(now - before) < 0.05:\n            break\n"
    "        before = now\n"
}
_E_ONLY_ONCE = {
    "for _ in range(n_iterations):": "w0, m0 = pi, mu\n    for _ in range(n_iterations):"
}

VARIATIONS = (
    # right for what they do
    ("hmm", {}, "valid", ""),
    ("hmm", {"        pi = g[0]\n": ""}, "partial", "startprob not updated"),
    ("hmm", {"        B = E / E.sum(1)[:, None]\n": ""}, "partial", "emission matrix not updated"),
    ("hmm", {"pi = g[0]": "pi = np.full(K, 1 / K)"}, "partial", "startprob held equal"),
    (
        "hmm",
        {"return pi, A, B": "return np.round(pi, 4), np.round(A, 4), B.round(4)"},
        "partial",
        "rounded to 4 decimals",
    ),
    ("several", {}, "valid", ""),
    (
        "several",
        {"return first / len(sequences)": "return startprob"},
        "partial",
        "startprob not updated",
    ),
    ("line", {}, "valid", ""),
    ("line", {"        pi = N_k / N\n": ""}, "partial", "weights not updated"),
    ("line", {"pi = N_k / N": "pi = np.full(K, 1 / K)"}, "partial", "weights held equal"),
    (
        "line",
        {
            "    N, K = len(data), len(mu)\n": "    N, K = len(data), len(mu)\n    pi = np.full(K, 1 / K)\n",
            "        pi = N_k / N\n": "",
        },
        "partial",
        "weights held equal",
    ),
    (
        "line",
        {"        sigma = np.sqrt(var)\n        pi = N_k / N\n": ""},
        "partial",
        "weights not updated",
    ),
    (
        "line",
        {"np.sqrt(var)": "np.full(K, np.sqrt(N_k @ var / N))"},
        "partial",
        "one variance for all components",
    ),
    (
        "line",
        {"return mu, sigma, pi": "return mu.round(5), sigma.round(5), pi.round(5)"},
        "partial",
        "rounded to 5 decimals",
    ),
    ("line", _OWN_PACE, "partial", "iterations without effect"),
    ("line", _EARLY, "partial", "a stopping rule of its own"),
    (
        "plane",
        {"for k in range(K)])": "for k in range(K)]) * np.eye(2)"},
        "fragile",
        "off-diagonals dropped",
    ),
    (
        "plane",
        {
            "    N, K = len(X), len(weights)\n": "    N, K = len(X), len(weights)\n"
            "    covs = covs * np.eye(X.shape[1])\n",
            "for k in range(K)])": "for k in range(K)]) * np.eye(X.shape[1])",
        },
        "fragile",
        "off-diagonals dropped",
    ),
    (
        "plane",
        {
            "for k in range(K)])": "for k in range(K)])\n        "
            "covs = np.array([(n[:, None, None] * covs).sum(axis=0) / N] * K)"
        },
        "fragile",
        "one variance for all components",
    ),
    (
        "plane",
        {
            "for k in range(K)])": "for k in range(K)])\n        "
            "covs = np.array([np.trace(c) / 2 * np.eye(2) for c in covs])"
        },
        "fragile",
        "one variance for all coordinates",
    ),
    ("own_line", SEEN, "valid", ""),
    ("own_line", HIDDEN, "unseen", ""),
    ("own_hmm", SEEN, "valid", ""),
    ("own_hmm", HIDDEN, "unseen", ""),
    # wrong
    ("hmm", {" / c[t + 1]\n        E": "\n        E"}, "wrong", "xi not divided by the scale"),
    (
        "hmm",
        {"N = np.zeros((K, K))": "N = np.ones((K, K))"},
        "wrong",
        "a pseudo-count in the transitions",
    ),
    (
        "hmm",
        {"E / E.sum(1)[:, None]": "(E + 0.5) / (E + 0.5).sum(1)[:, None]"},
        "wrong",
        "a pseudo-count in the emissions",
    ),
    (
        "hmm",
        {"E / E.sum(1)[:, None]": "0.01 + (1 - 0.01 * V) * E / E.sum(1)[:, None]"},
        "wrong",
        "estimates mixed with a constant",
    ),
    (
        "hmm",
        {"N / N.sum(1)[:, None]": "N / (N.sum(1)[:, None] + 1e-5)"},
        "wrong",
        "a small number in the divisor of the transitions",
    ),
    (
        "hmm",
        {"g[obs_seq == v]": "g[:-1][obs_seq[1:] == v]"},
        "wrong",
        "emission counts shifted by a step",
    ),
    (
        "hmm",
        {"E / E.sum(1)[:, None]": "np.maximum(E / E.sum(1)[:, None], 0.05)"},
        "wrong",
        "a floor on the probabilities",
    ),
    (
        "hmm",
        {"        T, K, V": "        B = B.astype(np.float32)\n        T, K, V"},
        "wrong",
        "single precision of the emission probabilities",
    ),
    (
        "several",
        {
            "pairs, shown = 0.0, np.zeros_like(transmat)": "pairs, shown = 0.0, np.ones_like(transmat)"
        },
        "wrong",
        "a pseudo-count in the transitions",
    ),
    (
        "several",
        {"return first / len(sequences)": "return first / len(sequences) + 1e-4"},
        "wrong",
        "estimates mixed with a constant",
    ),
    (
        "line",
        {
            "gamma.sum(axis=1, keepdims=True)": "(gamma.sum(axis=1, keepdims=True) + 1e-4 / np.exp(top))"
        },
        "wrong",
        "a small number in the responsibilities' denominator",
    ),
    ("line", {"np.sqrt(var)": "np.sqrt(var + 1e-3)"}, "wrong", "a ridge on the variances"),
    (
        "line",
        {
            "/ sigma\n": "/ np.sqrt(sigma**2 + 1e-3)\n",
            "- np.log(sigma)": "- 0.5 * np.log(sigma**2 + 1e-3)",
        },
        "wrong",
        "a ridge in the density",
    ),
    (
        "line",
        {
            "/ sigma\n": "/ np.sqrt(sigma**2 + 1e-3)\n",
            "- np.log(sigma)": "- 0.5 * np.log(sigma**2 + 1e-3)",
            "np.sqrt(var)": "np.sqrt(var + 1e-3)",
        },
        "wrong",
        "a ridge in the density and on the variances",
    ),
    (
        "line",
        {"log_p = np.log(pi)": "log_p = np.log(np.append(pi[:-1], 1.0))"},
        "wrong",
        "the weight of one component left out",
    ),
    (
        "line",
        {"np.sqrt(var)": "np.full(K, np.sqrt(var.mean()))"},
        "wrong",
        "pooled covariance not weighted by N_k",
    ),
    (
        "line",
        _E_ONLY_ONCE
        | {
            "data[:, None] - mu) / sigma": "data[:, None] - m0) / sigma",
            "log_p = np.log(pi)": "log_p = np.log(w0)",
        },
        "wrong",
        "E-step with the weights and means of the start",
    ),
    (
        "line",
        {"return mu, sigma, pi": "return mu, sigma, pi, (gamma * log_p).sum()"},
        "wrong",
        "a wrong log-likelihood beside right parameters",
    ),
    (
        "plane",
        {"covs[k]).pdf(X)": "covs[k] + 1e-4 * np.eye(2)).pdf(X)"},
        "wrong",
        "a ridge in the density",
    ),
    (
        "plane",
        {"R = p /": "p = np.maximum(p, 1e-3)\n        R = p /"},
        "wrong",
        "a floor on the density",
    ),
    (
        "plane",
        {
            "R = p / p.sum(axis=1, keepdims=True)": "R = (p / p.sum(axis=1, keepdims=True)).astype('f4')"
        },
        "wrong",
        "single precision of the responsibilities",
    ),
    (
        "own_line",
        SEEN | {"data[:, None] - m) ** 2).sum": "data[:, None] - old) ** 2).sum"},
        "wrong",
        "old means in the new variances",
    ),
    (
        "own_line",
        HIDDEN | {".sum(axis=0) / n\n": ".sum(axis=0) / (n - 1)\n"},
        "wrong",
        "variances divided by N_k - 1",
    ),
    (
        "own_line",
        HIDDEN | {".sum(axis=0) / n\n": ".sum(axis=0) / n + 0.01\n"},
        "wrong",
        "a ridge on the variances",
    ),
    (
        "own_line",
        HIDDEN | {"w, m = n / N": "w, m = (n + 1) / (N + K)"},
        "wrong",
        "a pseudo-count in the weights",
    ),
    (
        "own_hmm",
        HIDDEN | {"np.zeros((K, K))": "np.ones((K, K))"},
        "wrong",
        "a pseudo-count in the transitions",
    ),
)
"""Program, changes, word of the verdict, first cause."""


def text(program: str, changes: dict[str, str]) -> str:
    """Return a program with changes made, each of which must change something."""
    source = PROGRAMS[program][0]
    for old, new in changes.items():
        source = source.replace(old, new)
    return source
