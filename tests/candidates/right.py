"""Right, each in its own way: none of these may be called wrong."""

import math

import numba
import numpy as np
from scipy.special import logsumexp

from lockstep import models
from lockstep.models import kernels


def mixture_in_logs(data, mu, sigma, pi, n_iterations, tol=1e-8):
    """Climb in logarithms, with standard deviations, and stop early unless told not to."""
    trace = [-np.inf]
    for _ in range(n_iterations):
        z = (data[:, None] - mu) / sigma
        joint = np.log(pi) - np.log(sigma) - 0.5 * math.log(2 * math.pi) - 0.5 * z**2
        evidence = logsumexp(joint, axis=1)
        trace.append(evidence.sum())
        if trace[-1] - trace[-2] < tol:
            break
        gamma = np.exp(joint - evidence[:, None])
        N_k = gamma.sum(axis=0)
        mu = mu + (gamma * (data[:, None] - mu)).sum(axis=0) / N_k
        sigma = np.sqrt((gamma * (data[:, None] - mu) ** 2).sum(axis=0) / N_k)
        pi = N_k / len(data)
    return mu, sigma, pi, trace[1:]


@numba.njit
def compiled(weights, means, variances, x):
    """One iteration, compiled; one pass, deviations from the old means."""
    K = len(weights)
    n, first, second = np.zeros(K), np.zeros(K), np.zeros(K)
    joint = np.empty(K)
    for value in x:
        for k in range(K):
            d = value - means[k]
            joint[k] = math.log(weights[k] / math.sqrt(variances[k])) - 0.5 * d * d / variances[k]
        top = joint.max()
        total = np.exp(joint - top).sum()
        for k in range(K):
            r = math.exp(joint[k] - top) / total
            d = value - means[k]
            n[k] += r
            first[k] += r * d
            second[k] += r * d * d
    return n / len(x), means + first / n, second / n - (first / n) ** 2


class Plane:
    """E-step and M-step as methods, over the precision's Cholesky factor."""

    def e_step(self, theta, X):
        joint = []
        for w, m, c in zip(theta.weights, theta.means, theta.covariances):
            half = np.linalg.cholesky(np.linalg.inv(c))  # (x-m)' P (x-m) = |(x-m) half|^2
            y = (X - m) @ half
            joint.append(np.log(w) + np.log(np.diag(half)).sum() - 0.5 * (y**2).sum(axis=1))
        joint = np.array(joint).T - np.log(2 * np.pi)
        evidence = logsumexp(joint, axis=1)
        return np.exp(joint - evidence[:, None]), evidence.sum()

    def m_step(self, X, resp):
        n = resp.sum(axis=0)
        means = [np.average(X, axis=0, weights=r) for r in resp.T]
        covs = [np.cov(X.T, aweights=r, ddof=0) for r in resp.T]
        return n / len(X), means, covs


def hmm_in_logs(sequences, A, B, pi, n_iter):
    """Run forward and backward on logarithms."""
    with np.errstate(divide="ignore"):
        for _ in range(n_iter):
            a, b = np.log(A), np.log(B)
            first, steps, shown = np.zeros(len(pi)), np.zeros(A.shape), np.zeros(B.shape)
            total = 0.0
            for x in sequences:
                f, g = np.empty((len(x), len(pi))), np.zeros((len(x), len(pi)))
                f[0] = np.log(pi) + b[:, x[0]]
                for t in range(1, len(x)):
                    m = f[t - 1].max()
                    f[t] = np.log(np.exp(f[t - 1] - m) @ A) + m + b[:, x[t]]
                for t in range(len(x) - 2, -1, -1):
                    h = b[:, x[t + 1]] + g[t + 1]
                    g[t] = np.log(A @ np.exp(h - h.max())) + h.max()
                evidence = np.logaddexp.reduce(f[-1])
                total += evidence
                gamma = np.exp(f + g - evidence)
                first += gamma[0]
                ahead = b[:, x[1:]].T + g[1:] - evidence
                steps += np.exp(f[:-1, :, None] + a + ahead[:, None]).sum(axis=0)
                for v in range(B.shape[1]):
                    shown[:, v] += gamma[x == v].sum(axis=0)
            pi = first / first.sum()
            rows = steps.sum(axis=1, keepdims=True)
            A = np.where(rows > 0, steps / np.where(rows > 0, rows, 1), A)
            B = shown / shown.sum(axis=1, keepdims=True)
    return A, B, pi


def one_sequence(obs_seq, pi, A, B):
    """Scale by the forward pass, for a single sequence, as in Rabiner's section V.A."""
    T, K = len(obs_seq), len(pi)
    alpha, beta, c = np.empty((T, K)), np.empty((T, K)), np.empty(T)
    for t in range(T):
        alpha[t] = (alpha[t - 1] @ A if t else pi) * B[:, obs_seq[t]]
        c[t] = 1 / alpha[t].sum()
        alpha[t] *= c[t]
    beta[-1] = c[-1]
    for t in range(T - 2, -1, -1):
        beta[t] = c[t] * (A @ (B[:, obs_seq[t + 1]] * beta[t + 1]))
    gamma = alpha * beta / c[:, None]
    steps = A * (alpha[:-1].T @ (B[:, obs_seq[1:]].T * beta[1:]))
    rows = steps.sum(axis=1, keepdims=True)
    A = np.where(rows > 0, steps / np.where(rows > 0, rows, 1), A)
    B = np.array([gamma[obs_seq == v].sum(axis=0) for v in range(B.shape[1])]).T
    return gamma[0], A, B / gamma.sum(axis=0)[:, None]


def fits_alone(X, n_components, seed=0):
    """Fit a 1D mixture from a start of its own: quantiles, 500 iterations."""
    q = (np.arange(n_components) + 0.5) / n_components
    mu, sigma = np.quantile(X, q), np.full(n_components, X.std())
    pi = np.full(n_components, 1 / n_components)
    mu, sigma, pi, trace = mixture_in_logs(X, mu, sigma, pi, 500, tol=1e-10)
    return {"weights": pi, "means": mu, "variances": sigma**2, "log_likelihood": trace[-1]}


def _kernel(model):
    def step(parameters, data):
        given = model.Parameters(*parameters)
        return model.m_step(kernels.e_step(model)(given, data)[0])

    return step


kernel_gaussian_mixture_1d = _kernel(models.load("gaussian_mixture_1d"))
kernel_gaussian_mixture_2d = _kernel(models.load("gaussian_mixture_2d"))
kernel_categorical_hmm = _kernel(models.load("categorical_hmm"))

RIGHT = {
    "mixture_in_logs": "gaussian_mixture_1d",
    "compiled": "gaussian_mixture_1d",
    "fits_alone": "gaussian_mixture_1d",
    "Plane": "gaussian_mixture_2d",
    "hmm_in_logs": "categorical_hmm",
    "one_sequence": "categorical_hmm",
}
