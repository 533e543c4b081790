"""A chain whose number of states and symbols stand beside it, with a list that is filled."""

import numpy as np

state_num = 2
symbol = np.array([0, 1])
symbol_num = len(symbol)


def _passes(observ, A, B, pi):
    T = len(observ)
    alpha, beta = np.zeros((T, state_num)), np.ones((T, state_num))
    scale = np.zeros(T)
    for t in range(T):
        before = pi if t == 0 else alpha[t - 1] @ A
        alpha[t] = before * B[:, observ[t]]
        scale[t] = alpha[t].sum()
        alpha[t] /= scale[t]
    for t in range(T - 1, 0, -1):
        beta[t - 1] = A @ (B[:, observ[t]] * beta[t]) / scale[t]
    return alpha, beta, scale


def learn(observ, A, B, pi, history, max_iter=50):
    """Iterate Baum and Welch."""
    for _ in range(max_iter):
        alpha, beta, scale = _passes(observ, A, B, pi)
        history.append(np.log(scale).sum())
        gamma = alpha * beta
        pairs = np.zeros((state_num, state_num))
        for t in range(1, len(observ)):
            pairs += np.outer(alpha[t - 1], B[:, observ[t]] * beta[t]) * A / scale[t]
        pi = gamma[0]
        A = pairs / pairs.sum(1, keepdims=True)
        counts = np.zeros((state_num, symbol_num))
        for k in range(symbol_num):
            counts[:, k] = gamma[observ == symbol[k]].sum(0)
        B = counts / gamma.sum(0)[:, None]
    return A, B, pi
