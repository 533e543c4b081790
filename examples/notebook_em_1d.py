"""The classroom notebook's 1D EM, its blanks filled in and its loop made a function.

.venv/bin/lockstep validate examples/notebook_em_1d.py:em --model gaussian-mixture-1d
"""

import numpy as np
from scipy.stats import norm


def gaussian_pdf(x, mu, sigma):
    return norm.pdf(x, loc=mu, scale=sigma)


def em(data, mu, sigma, pi, n_iterations=20):
    K = len(mu)
    log_likelihoods = []
    for _ in range(n_iterations):
        # === E-Step ===
        gamma = np.zeros((len(data), K))
        for k in range(K):
            gamma[:, k] = pi[k] * gaussian_pdf(data, mu[k], sigma[k])
        gamma /= gamma.sum(axis=1, keepdims=True)  # Normalize

        # === M-Step ===
        N_k = gamma.sum(axis=0)
        for k in range(K):
            mu[k] = (gamma[:, k] * data).sum() / N_k[k]
            sigma[k] = np.sqrt((gamma[:, k] * (data - mu[k]) ** 2).sum() / N_k[k])
            pi[k] = N_k[k] / len(data)

        # Log-likelihood
        likelihood = np.zeros((len(data), K))
        for k in range(K):
            likelihood[:, k] = pi[k] * gaussian_pdf(data, mu[k], sigma[k])
        log_likelihoods.append(np.sum(np.log(likelihood.sum(axis=1))))
    return mu, sigma, pi, log_likelihoods
