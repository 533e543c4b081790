"""Baum and Welch as plainly as can be, see `plain_mixture_1d`."""

import numpy as np


def em(obs_seq, A, B, pi, n_iter):
    T, K = len(obs_seq), len(pi)
    V = B.shape[1]
    for _ in range(n_iter):
        alpha = np.zeros((T, K))
        alpha[0] = pi * B[:, obs_seq[0]]
        for t in range(1, T):
            alpha[t] = (alpha[t - 1] @ A) * B[:, obs_seq[t]]
        beta = np.ones((T, K))
        for t in range(T - 2, -1, -1):
            beta[t] = A @ (B[:, obs_seq[t + 1]] * beta[t + 1])
        gamma = alpha * beta
        gamma = gamma / gamma.sum(axis=1, keepdims=True)
        xi = np.zeros((T - 1, K, K))
        for t in range(T - 1):
            xi[t] = alpha[t][:, None] * A * B[:, obs_seq[t + 1]] * beta[t + 1]
            xi[t] = xi[t] / xi[t].sum()
        pi = gamma[0]
        A = xi.sum(axis=0) / xi.sum(axis=(0, 2))[:, None]
        B = np.zeros((K, V))
        for v in range(V):
            B[:, v] = gamma[obs_seq == v].sum(axis=0) / gamma.sum(axis=0)
    return A, B, pi
