"""Wrong on purpose: EM for the 2D mixture, see `wrong_mixtures_1d`."""

import numpy as np


def logpdf(x, mean, cov):
    L = np.linalg.cholesky(cov)
    u = np.linalg.solve(L, (x - mean).T)
    return -0.5 * (u**2).sum(axis=0) - np.log(np.diag(L)).sum() - np.log(2 * np.pi)


def old_means(data, pi, mu, cov, n_iterations):
    mu, cov, pi = list(mu), list(cov), list(pi)
    for _ in range(n_iterations):
        gamma = np.stack([p * np.exp(logpdf(data, m, c)) for p, m, c in zip(pi, mu, cov)], axis=1)
        gamma /= gamma.sum(axis=1, keepdims=True)
        N_k = gamma.sum(axis=0)
        for k in range(len(pi)):
            diff = data - mu[k]
            cov[k] = (gamma[:, k, None, None] * np.einsum("ni,nj->nij", diff, diff)).sum(0) / N_k[k]
            mu[k] = gamma[:, k] @ data / N_k[k]
            pi[k] = N_k[k] / len(data)
    return pi, mu, cov


def _posterior(weights, means, covariances, x):
    logs = np.stack([np.log(w) + logpdf(x, m, c) for w, m, c in zip(weights, means, covariances)])
    return np.exp(logs - np.logaddexp.reduce(logs, axis=0))  # (K, N)


def diagonal(parameters, data):
    q = _posterior(*parameters, data)
    n = q.sum(axis=1)
    means = q @ data / n[:, None]
    cov = [np.diag(q[k] @ (data - means[k]) ** 2 / n[k]) for k in range(len(n))]
    return n / n.sum(), means, np.array(cov)


def determinant(parameters, data):
    weights, means, cov = parameters
    density = []
    for w, m, c in zip(weights, means, cov):
        d = data - m
        z = np.sum(d @ np.linalg.inv(c) * d, axis=1)
        density.append(w * np.exp(-z / 2) / (2 * np.pi * np.linalg.det(c)))
    r = np.array(density) / np.sum(density, axis=0)
    n = r.sum(axis=1)
    means = r @ data / n[:, None]
    cov = [(r[k] * (data - means[k]).T) @ (data - means[k]) / n[k] for k in range(len(n))]
    return n / len(data), means, cov


def aweights(parameters, data):
    q = _posterior(*parameters, data)
    return (
        q.mean(axis=1),
        [np.average(data, axis=0, weights=w) for w in q],
        [np.cov(data.T, aweights=w) for w in q],
    )


def tied(parameters, data):
    q = _posterior(*parameters, data)
    n = q.sum(axis=1)
    means = q @ data / n[:, None]
    pooled = np.zeros((2, 2))
    for k in range(len(n)):
        for row, x in zip(q[k], data):
            pooled += row * np.outer(x - means[k], x - means[k])
    return n / len(data), means, np.array([pooled / len(data)] * len(n))


def triangle(parameters, data):
    q = _posterior(*parameters, data)
    n = q.sum(axis=1)
    means = q @ data / n[:, None]
    cov = np.zeros((len(n), 2, 2))
    for k in range(len(n)):
        for i in range(2):
            for j in range(i + 1):
                cov[k, i, j] = q[k] @ ((data[:, i] - means[k, i]) * (data[:, j] - means[k, j]))
        cov[k] /= n[k]
    return n / len(data), means, cov


def not_inverted(parameters, data):
    weights, means, cov = parameters
    logs = np.empty((len(data), len(weights)))
    for k in range(len(weights)):
        d = data - means[k]
        z = np.einsum("ni,ij,nj->n", d, cov[k], d)
        logs[:, k] = np.log(weights[k]) - 0.5 * np.linalg.slogdet(cov[k])[1] - z / 2
    r = np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))
    n = r.sum(axis=0)
    means = r.T @ data / n[:, None]
    d = data[:, None] - means
    return n / len(data), means, np.einsum("nk,nki,nkj->kij", r, d, d) / n[:, None, None]


def grand_mean(parameters, data):
    q = _posterior(*parameters, data)
    n = q.sum(axis=1)
    centred = data - data.mean(axis=0)
    cov = np.array([(w[:, None] * centred).T @ centred / w.sum() for w in q])
    return n / len(data), q @ data / n[:, None], cov


def e_step(parameters, data):
    return _posterior(*parameters, data).T


def m_step_means_kept(data, gamma, parameters):
    """Hand the old means back."""
    n = gamma.sum(axis=0)
    d = data[:, None] - parameters.means
    return (
        n / n.sum(),
        parameters.means,
        np.einsum("nk,nki,nkj->kij", gamma, d, d) / n[:, None, None],
    )


def e_step_diagonal(parameters, data):
    p = parameters.weights[:, None] * np.prod(
        [
            np.exp(-((data[:, i] - parameters.means[:, i, None]) ** 2)
                   / 2 / parameters.covariances[:, i, i, None])
            / np.sqrt(parameters.covariances[:, i, i, None])
            for i in range(2)
        ],
        axis=0,
    )  # fmt: skip
    return (p / p.sum(axis=0)).T


def m_step(data, gamma):
    n = gamma.sum(axis=0)
    means = gamma.T @ data / n[:, None]
    cov = [np.cov(data.T, aweights=g, ddof=0) for g in gamma.T]
    return n / len(data), means, cov


WRONG = {
    "old_means": "old means in the new variances",
    "diagonal": "off-diagonals dropped",
    "determinant": "the square root of the determinant left out",
    "aweights": "np.cov's correction for weights",
    "tied": "one variance for all components",
    "triangle": "one triangle of the covariance only",
    "not_inverted": "covariance not inverted",
    "grand_mean": "variances about the mean of all data",
    "e_step,m_step_means_kept": "means not updated",
    "e_step_diagonal,m_step": "off-diagonals left out of the density",
}
