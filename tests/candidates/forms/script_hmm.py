"""Weather from what somebody does: Baum-Welch in a script, in main()."""

import numpy as np


def forward(y, start, P, Q):
    a, scale = np.zeros((len(y), len(start))), np.zeros(len(y))
    for t, symbol in enumerate(y):
        a[t] = (start if t == 0 else a[t - 1] @ P) * Q[:, symbol]
        scale[t] = a[t].sum()
        a[t] /= scale[t]
    return a, scale


def backward(y, P, Q, scale):
    b = np.ones((len(y), len(P)))
    for t in range(len(y) - 2, -1, -1):
        b[t] = P @ (Q[:, y[t + 1]] * b[t + 1]) / scale[t + 1]
    return b


def main():
    rng = np.random.default_rng(11)
    n_states, n_symbols = 2, 3
    y = rng.integers(0, n_symbols, size=200)
    start = np.full(n_states, 1 / n_states)
    trans = rng.dirichlet(np.ones(n_states), n_states)
    emit = rng.dirichlet(np.ones(n_symbols), n_states)
    for it in range(1, 31):
        a, scale = forward(y, start, trans, emit)
        b = backward(y, trans, emit, scale)
        gamma = a * b
        moves = np.zeros((n_states, n_states))
        for t in range(len(y) - 1):
            moves += a[t][:, None] * trans * emit[:, y[t + 1]] * b[t + 1] / scale[t + 1]
        start = gamma[0]
        trans = moves / moves.sum(axis=1)[:, None]
        for v in range(n_symbols):
            emit[:, v] = gamma[y == v].sum(axis=0) / gamma.sum(axis=0)
        print(f"{it}: {np.log(scale).sum():.3f}")
    print(start, trans, emit)


if __name__ == "__main__":
    main()
