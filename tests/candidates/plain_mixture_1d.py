"""The 1D mixture as plainly as can be: `mutants` changes it in one place at a time."""

import numpy as np


def norm(x, mu, sigma):
    return np.exp(-0.5 * ((x - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


def em(data, mu, sigma, pi, n_iterations):
    K = len(mu)
    for _ in range(n_iterations):
        gamma = np.zeros((len(data), K))
        for k in range(K):
            gamma[:, k] = pi[k] * norm(data, mu[k], sigma[k])
        gamma = gamma / gamma.sum(axis=1, keepdims=True)
        N_k = gamma.sum(axis=0)
        for k in range(K):
            mu[k] = (gamma[:, k] * data).sum() / N_k[k]
            sigma[k] = np.sqrt((gamma[:, k] * (data - mu[k]) ** 2).sum() / N_k[k])
            pi[k] = N_k[k] / len(data)
    return mu, sigma, pi
