"""Wrong on purpose: Baum and Welch, see `wrong_mixtures_1d`.

Some take one sequence and some several; they are unscaled, scaled or in logarithms.
"""

import itertools

import numpy as np


def notebook(obs_seq, A, B, pi, n_iter):
    """Run the classroom example as it stands, slip and all."""
    T, N_states, N_obs = len(obs_seq), len(pi), B.shape[1]
    for _ in range(n_iter):
        alpha = np.zeros((T, N_states))
        alpha[0] = pi * B[:, obs_seq[0]]
        for t in range(1, T):
            for j in range(N_states):
                alpha[t, j] = (alpha[t - 1] @ A[:, j]) * B[j, obs_seq[t]]
        beta = np.zeros((T, N_states))
        beta[-1] = 1
        for t in range(T - 2, -1, -1):
            for i in range(N_states):
                beta[t, i] = (A[i] * B[:, obs_seq[t + 1]] * beta[t + 1]).sum()
        gamma = alpha * beta
        gamma /= gamma.sum(axis=1, keepdims=True)
        xi = np.zeros((T - 1, N_states, N_states))
        for t in range(T - 1):
            denom = (alpha[t][:, None] * A * B[:, obs_seq[t + 1]] * beta[t + 1]).sum()
            for i in range(N_states):
                xi[t, i, :] = alpha[t, i] * A[i] * B[:, obs_seq[t + 1]] * beta[t + 1] / denom
        pi = gamma[0]
        A = xi.sum(axis=0) / xi.sum(axis=(0, 2), keepdims=True)
        for j in range(N_states):
            for k in range(N_obs):
                B[j, k] = gamma[obs_seq == k, j].sum() / gamma[:, j].sum()
    return A, B, pi


def _logs(pi, A, B, x):
    """Return gamma and xi of one sequence, in logarithms."""
    with np.errstate(divide="ignore"):
        a, b, p = np.log(A), np.log(B), np.log(pi)
    T, K = len(x), len(p)
    f, g = np.empty((T, K)), np.zeros((T, K))
    f[0] = p + b[:, x[0]]
    for t in range(1, T):
        f[t] = b[:, x[t]] + np.logaddexp.reduce(f[t - 1][:, None] + a, axis=0)
    for t in range(T - 1)[::-1]:
        g[t] = np.logaddexp.reduce(a + b[:, x[t + 1]] + g[t + 1], axis=1)
    evidence = np.logaddexp.reduce(f[-1])
    gamma = np.exp(f + g - evidence)
    xi = [np.exp(f[t][:, None] + a + b[:, x[t + 1]] + g[t + 1] - evidence) for t in range(T - 1)]
    return gamma, np.array(xi).reshape(-1, K, K)


def _symbols(gamma, x, V):
    return np.array([[gamma[x == v, i].sum() for v in range(V)] for i in range(gamma.shape[1])])


def squeezed_keepdims(obs_seq, A, B, pi):
    gamma, xi = _logs(pi, A, B, obs_seq)
    A = xi.sum(axis=0) / xi.sum(axis=(0, 2))
    return A, _symbols(gamma, obs_seq, B.shape[1]) / gamma.sum(axis=0)[:, None], gamma[0]


def xi_at_t(parameters, sequences):
    pi, A, B = parameters
    K, V = B.shape
    first, trans, emit = np.zeros(K), np.zeros((K, K)), np.zeros((K, V))
    for x in sequences:
        T = len(x)
        c = np.zeros(T)
        alpha, beta = np.zeros((T, K)), np.ones((T, K))
        a = pi * B[:, x[0]]
        for t in range(T):
            if t:
                a = alpha[t - 1] @ A * B[:, x[t]]
            c[t] = a.sum()
            alpha[t] = a / c[t]
        for t in reversed(range(T - 1)):
            beta[t] = A @ (B[:, x[t + 1]] * beta[t + 1]) / c[t + 1]
        first += alpha[0] * beta[0]
        for t in range(T):
            emit[:, x[t]] += alpha[t] * beta[t]
        for t in range(T - 1):
            xi = np.outer(alpha[t], B[:, x[t]] * beta[t + 1]) * A
            trans += xi / xi.sum()
    rows = [m / m.sum(axis=1, keepdims=True) for m in (trans, emit)]
    return first / first.sum(), *rows


def backward_unscaled(parameters, sequences):
    pi, A, B = parameters
    K, V = B.shape
    first, trans, emit = np.zeros(K), np.zeros((K, K)), np.zeros((K, V))
    for x in sequences:
        T = len(x)
        alpha, beta = [pi * B[:, x[0]]], [np.ones(K)]
        alpha[0] = alpha[0] / alpha[0].sum()
        for t in range(1, T):
            a = A.T @ alpha[-1] * B[:, x[t]]
            alpha.append(a / a.sum())
        for t in range(T - 1, 0, -1):
            beta.insert(0, A @ (B[:, x[t]] * beta[0]))
        for t in range(T):
            g = alpha[t] * beta[t] / (alpha[t] @ beta[t])
            emit[:, x[t]] += g
            if t == 0:
                first += g
            if t < T - 1:
                trans += alpha[t][:, None] * A * (B[:, x[t + 1]] * beta[t + 1])
    rows = [m / m.sum(axis=1, keepdims=True) for m in (trans, emit)]
    return first / len(sequences), *rows


def backward_by_its_own_sums(parameters, sequences):
    pi, A, B = parameters
    K, V = B.shape
    first, trans, emit, shown = np.zeros(K), np.zeros((K, K)), np.zeros((K, V)), np.zeros(K)
    for x in sequences:
        T = len(x)
        alpha, beta = np.empty((T, K)), np.ones((T, K))
        for t in range(T):
            alpha[t] = (alpha[t - 1] @ A if t else pi) * B[:, x[t]]
            alpha[t] /= alpha[t].sum()
        for t in range(T - 2, -1, -1):
            beta[t] = A @ (B[:, x[t + 1]] * beta[t + 1])
            beta[t] /= beta[t].sum()
        gamma = alpha * beta
        first += gamma[0]
        shown += gamma.sum(axis=0)
        for v in range(V):
            emit[:, v] += gamma[x == v].sum(axis=0)
        for t in range(T - 1):
            trans += alpha[t][:, None] * A * (B[:, x[t + 1]] * beta[t + 1])[None]
    return first / first.sum(), trans / trans.sum(axis=1)[:, None], emit / shown[:, None]


def last_in_divisor(obs_seq, A, B, pi, n_iter):
    for _ in range(n_iter):
        gamma, xi = _logs(pi, A, B, obs_seq)
        pi, A = gamma[0], xi.sum(axis=0) / gamma.sum(axis=0)[:, None]
        B = _symbols(gamma, obs_seq, B.shape[1]) / gamma.sum(axis=0)[:, None]
    return A, B, pi


def start_forgotten(sequences, startprob, transmat, emissionprob):
    K, V = emissionprob.shape
    T, E = np.zeros((K, K)), np.zeros((K, V))
    for x in sequences:
        gamma, xi = _logs(startprob, transmat, emissionprob, x)
        T += xi.sum(axis=0)
        E += _symbols(gamma, x, V)
    return startprob, T / T.sum(axis=1, keepdims=True), E / E.sum(axis=1, keepdims=True)


def forward_transposed(obs_seq, A, B, pi):
    T, K = len(obs_seq), len(pi)
    alpha, beta = np.empty((T, K)), np.ones((T, K))
    alpha[0] = pi * B[:, obs_seq[0]]
    for t in range(1, T):
        for j in range(K):
            alpha[t, j] = sum(A[j, i] * alpha[t - 1, i] for i in range(K)) * B[j, obs_seq[t]]
    for t in range(T - 2, -1, -1):
        beta[t] = A @ (B[:, obs_seq[t + 1]] * beta[t + 1])
    gamma = alpha * beta
    gamma /= gamma.sum(axis=1, keepdims=True)
    A_new = np.zeros((K, K))
    for t in range(T - 1):
        xi = alpha[t][:, None] * A * (B[:, obs_seq[t + 1]] * beta[t + 1])
        A_new += xi / xi.sum()
    B_new = _symbols(gamma, obs_seq, B.shape[1])
    return A_new / A_new.sum(1)[:, None], B_new / B_new.sum(1)[:, None], gamma[0]


def _textbook(obs_seq, A, B, pi, first, then, ahead):
    """Run Rabiner's formulas, divided by p(x): which emissions, where, is up to the caller."""
    T, K = len(obs_seq), len(pi)
    b = B[:, obs_seq].T
    alpha, beta = np.empty((T, K)), np.ones((T, K))
    alpha[0] = first(pi, b)
    for t in range(1, T):
        alpha[t] = alpha[t - 1] @ A * b[t]
    for t in range(T - 2, -1, -1):
        beta[t] = A @ (then(b, t) * beta[t + 1])
    evidence = alpha[-1].sum()
    gamma = alpha * beta / evidence
    xi = np.array([np.outer(alpha[t], ahead(b, t) * beta[t + 1]) * A for t in range(T - 1)])
    A = xi.sum(axis=0) / evidence / gamma[:-1].sum(axis=0)[:, None]
    return A, _symbols(gamma, obs_seq, B.shape[1]) / gamma.sum(axis=0)[:, None], gamma[0]


def textbook_start(obs_seq, A, B, pi):
    return _textbook(
        obs_seq, A, B, pi, lambda pi, b: b[0], lambda b, t: b[t + 1], lambda b, t: b[t + 1]
    )


def textbook_backward(obs_seq, A, B, pi):
    return _textbook(
        obs_seq, A, B, pi, lambda pi, b: pi * b[0], lambda b, t: b[t], lambda b, t: b[t + 1]
    )


def textbook_xi(obs_seq, A, B, pi):
    return _textbook(
        obs_seq, A, B, pi, lambda pi, b: pi * b[0], lambda b, t: b[t + 1], lambda b, t: 1
    )


def returned_transposed(obs_seq, A, B, pi):
    gamma, xi = _logs(pi, A, B, obs_seq)
    n = xi.sum(axis=0)
    return {
        "A": (n / n.sum(axis=1)[:, None]).T,
        "B": _symbols(gamma, obs_seq, B.shape[1]) / gamma.sum(axis=0)[:, None],
        "pi": gamma[0],
    }


def filtered(parameters, sequences):
    pi, A, B = parameters
    first, T, E = 0.0, 0.0, 0.0
    for x in sequences:
        _, xi = _logs(pi, A, B, x)
        a = pi * B[:, x[0]]
        rows = [a / a.sum()]
        for v in x[1:]:
            a = rows[-1] @ A * B[:, v]
            rows.append(a / a.sum())
        rows = np.array(rows)
        first, T = first + rows[0], T + xi.sum(axis=0)
        E = E + _symbols(rows, x, B.shape[1])
    return first / len(sequences), T / T.sum(1)[:, None], E / E.sum(1)[:, None]


def no_beta_in_xi(parameters, sequences):
    pi, A, B = parameters
    K, V = B.shape
    first, trans, emit = np.zeros(K), np.zeros((K, K)), np.zeros((K, V))
    for x in sequences:
        gamma, _ = _logs(pi, A, B, x)
        first += gamma[0]
        emit += _symbols(gamma, x, V)
        a = pi * B[:, x[0]]
        for v in x[1:]:
            pair = a[:, None] * A * B[:, v]
            trans += pair / pair.sum()
            a = pair.sum(axis=0)
    return first / first.sum(), trans / trans.sum(1)[:, None], emit / emit.sum(1)[:, None]


def joined(parameters, sequences):
    pi, A, B = parameters
    x = np.concatenate(sequences)
    gamma, xi = _logs(pi, A, B, x)
    n, e = xi.sum(axis=0), _symbols(gamma, x, B.shape[1])
    return gamma[0], n / n.sum(1)[:, None], e / e.sum(1)[:, None]


def overwritten(parameters, sequences):
    pi, A, B = parameters
    for x in sequences:
        gamma, xi = _logs(pi, A, B, x)
        first, n, e = gamma[0], xi.sum(axis=0), _symbols(gamma, x, B.shape[1])
    return first, n / n.sum(1)[:, None], e / e.sum(1)[:, None]


def averaged(parameters, sequences):
    fits = []
    for x in sequences:
        gamma, xi = _logs(*parameters, x)
        n, e = xi.sum(axis=0), _symbols(gamma, x, parameters.emissionprob.shape[1])
        fits.append((gamma[0], n / n.sum(1)[:, None], e / e.sum(1)[:, None]))
    return tuple(np.mean(part, axis=0) for part in zip(*fits))


def by_likelihood(parameters, sequences):
    pi, A, B = parameters
    first, T, E = 0.0, 0.0, 0.0
    for x in sequences:
        p = pi * B[:, x[0]]
        for v in x[1:]:
            p = p @ A * B[:, v]
        gamma, xi = _logs(pi, A, B, x)
        first = first + gamma[0] * p.sum()
        T = T + xi.sum(axis=0) * p.sum()
        E = E + _symbols(gamma, x, B.shape[1]) * p.sum()
    return first / first.sum(), T / T.sum(1)[:, None], E / E.sum(1)[:, None]


def viterbi(parameters, sequences):
    pi, A, B = parameters
    K, V = B.shape
    first, T, E = np.zeros(K), np.zeros((K, K)), np.zeros((K, V))
    for x in sequences:
        best = {k: (pi[k] * B[k, x[0]], [k]) for k in range(K)}
        for v in x[1:]:
            best = {
                j: max((p * A[path[-1], j] * B[j, v], [*path, j]) for p, path in best.values())
                for j in range(K)
            }
        path = max(best.values())[1]
        first[path[0]] += 1
        for a, b in itertools.pairwise(path):
            T[a, b] += 1
        for k, v in zip(path, x):
            E[k, v] += 1
    return first / first.sum(), T / T.sum(1)[:, None], E / E.sum(1)[:, None]


def over_states(parameters, sequences):
    first, T, E = 0.0, 0.0, 0.0
    for x in sequences:
        gamma, xi = _logs(*parameters, x)
        first, T = first + gamma[0], T + xi.sum(axis=0)
        E = E + _symbols(gamma, x, parameters.emissionprob.shape[1])
    return first / first.sum(), T / T.sum(1)[:, None], E / E.sum(axis=0)


def smoothed(parameters, sequences):
    first, T, E = 0.0, 0.0, 0.0
    for x in sequences:
        gamma, xi = _logs(*parameters, x)
        first, T = first + gamma[0], T + xi.sum(axis=0)
        E = E + _symbols(gamma, x, parameters.emissionprob.shape[1])
    E = E + 1
    return first / first.sum(), T / T.sum(1)[:, None], E / E.sum(1)[:, None]


def two_at_once(obs_seq, A, B, pi):
    """Take the emission at t in xi, and keep startprob."""
    gamma, _ = _logs(pi, A, B, obs_seq)
    K = len(pi)
    f = [pi * B[:, obs_seq[0]]]
    for v in obs_seq[1:]:
        f.append(f[-1] @ A * B[:, v])
    g = [np.ones(K)]
    for v in obs_seq[:0:-1]:
        g.append(A @ (B[:, v] * g[-1]))
    g.reverse()
    n = np.zeros((K, K))
    for t in range(len(obs_seq) - 1):
        pair = np.outer(f[t], B[:, obs_seq[t]] * g[t + 1]) * A
        n += pair / pair.sum()
    e = _symbols(gamma, obs_seq, B.shape[1])
    return n / n.sum(1)[:, None], e / e.sum(1)[:, None], pi


def unscaled(obs_seq, A, B, pi, n_iter):
    """Right on short sequences: nothing is scaled."""
    T, K = len(obs_seq), len(pi)
    for _ in range(n_iter):
        alpha, beta = np.empty((T, K)), np.ones((T, K))
        alpha[0] = pi * B[:, obs_seq[0]]
        for t in range(1, T):
            alpha[t] = alpha[t - 1] @ A * B[:, obs_seq[t]]
        for t in range(T - 2, -1, -1):
            beta[t] = A @ (B[:, obs_seq[t + 1]] * beta[t + 1])
        gamma = alpha * beta / alpha[-1].sum()
        xi = alpha[:-1, :, None] * A * (B[:, obs_seq[1:]].T * beta[1:])[:, None] / alpha[-1].sum()
        pi, A = gamma[0], xi.sum(axis=0) / gamma[:-1].sum(axis=0)[:, None]
        B = _symbols(gamma, obs_seq, B.shape[1]) / gamma.sum(axis=0)[:, None]
    return A, B, pi


WRONG = {
    "notebook": "keepdims over the wrong axes",
    "squeezed_keepdims": "transitions divided by the wrong axis's totals",
    "xi_at_t": "emission at t instead of t+1 in xi",
    "backward_unscaled": "backward pass not scaled as the forward pass",
    "backward_by_its_own_sums": "backward pass not scaled as the forward pass",
    "last_in_divisor": "last step's gamma in the transition denominator",
    "start_forgotten": "startprob not updated",
    "forward_transposed": "transition matrix transposed in the forward pass",
    "textbook_start": "startprob left out of the forward pass",
    "textbook_backward": "emission at t instead of t+1 in the backward pass",
    "textbook_xi": "emission left out of xi",
    "returned_transposed": "transition matrix returned transposed",
    "filtered": "gamma from the forward pass alone",
    "no_beta_in_xi": "beta left out of xi",
    "joined": "sequences joined into one",
    "overwritten": "only the last sequence counted",
    "averaged": "probabilities averaged over the sequences",
    "by_likelihood": "sequences weighted by their likelihoods",
    "viterbi": "the likeliest path in place of expectations",
    "over_states": "emission matrix normalised over the states",
    "smoothed": "a pseudo-count in the emissions",
    "two_at_once": "emission at t instead of t+1 in xi and startprob not updated",
    "unscaled": "underflow",
}
