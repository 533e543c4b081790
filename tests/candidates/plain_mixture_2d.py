"""The 2D mixture as plainly as can be, see `plain_mixture_1d`."""

import numpy as np


def step(parameters, X):
    w, mu, cov = parameters
    K = len(w)
    r = np.zeros((len(X), K))
    for k in range(K):
        d = X - mu[k]
        q = np.einsum("ni,ij,nj->n", d, np.linalg.inv(cov[k]), d)
        r[:, k] = w[k] * np.exp(-0.5 * q) / np.sqrt(4 * np.pi**2 * np.linalg.det(cov[k]))
    r = r / r.sum(axis=1, keepdims=True)
    n = r.sum(axis=0)
    m = r.T @ X / n[:, None]
    c = np.zeros((K, 2, 2))
    for k in range(K):
        d = X - m[k]
        c[k] = (r[:, k] * d.T) @ d / n[k]
    return n / len(X), m, c
