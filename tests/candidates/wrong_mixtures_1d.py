"""Wrong on purpose: EM for the 1D mixture as people write it, with what people get wrong.

Nothing here is shared with the fingerprints that are to find it out: whole loops, in pure Python,
in logarithms or in arrays, with standard deviations or variances.
"""

import math

import numpy as np


def pdf(x, mu, sigma):
    return np.exp(-0.5 * ((x - mu) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))


def logpdf(x, mu, sigma):
    return -0.5 * ((x - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * math.log(2 * math.pi)


def over_points(data, mu, sigma, pi, n_iterations):
    for _ in range(n_iterations):
        gamma = np.array([p * pdf(data, m, s) for p, m, s in zip(pi, mu, sigma)]).T
        gamma = gamma / gamma.sum(axis=0)
        N_k = gamma.sum(axis=0)
        mu = gamma.T @ data / N_k
        sigma = np.sqrt(np.array([g @ (data - m) ** 2 for g, m in zip(gamma.T, mu)]) / N_k)
        pi = N_k / len(data)
    return mu, sigma, pi


def not_normalised(data, mu, sigma, pi):
    gamma = pi * pdf(data[:, None], mu, sigma)
    N_k = gamma.sum(axis=0)
    mu = gamma.T @ data / N_k
    return mu, np.sqrt((gamma * (data[:, None] - mu) ** 2).sum(axis=0) / N_k), N_k / N_k.sum()


def means_by_n_raw(parameters, data):
    w, m, v = parameters
    joint = np.log(w) + logpdf(data[:, None], m, np.sqrt(v))
    r = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
    m = (r * data[:, None]).mean(axis=0)
    return r.mean(axis=0), m, data**2 @ r / r.sum(axis=0) - m**2


def no_weights(parameters, data):
    _, m, v = parameters
    like = np.exp(-((data[:, None] - m) ** 2) / (2 * v)) / np.sqrt(2 * math.pi * v)
    r = like / like.sum(1)[:, None]
    n = r.sum(0)
    m = (r * data[:, None]).sum(0) / n
    return n / len(data), m, (r * (data[:, None] - m) ** 2).sum(0) / n


def variance_as_scale(x, weights, means, variances):
    dens = np.stack([w * pdf(x, m, v) for w, m, v in zip(weights, means, variances)], axis=1)
    resp = dens / dens.sum(axis=1, keepdims=True)
    nk = resp.sum(axis=0)
    mk = resp.T @ x / nk
    vk = np.array([np.average((x - m) ** 2, weights=resp[:, k]) for k, m in enumerate(mk)])
    return {"weights": nk / nk.sum(), "means": mk, "variances": vk}


def sd_as_variance(x, mu, sigma, pi):
    def log_normal(k):
        return (
            -0.5 * math.log(2 * math.pi)
            - 0.5 * np.log(sigma[k])
            - (x - mu[k]) ** 2 / (2 * sigma[k])
        )

    joint = np.array([math.log(pi[k]) + log_normal(k) for k in range(len(mu))])
    r = np.exp(joint - np.logaddexp.reduce(joint, axis=0))
    total = r.sum(axis=1)
    mu = r @ x / total
    sigma = np.sqrt([r[k] @ (x - mu[k]) ** 2 / total[k] for k in range(len(mu))])
    return mu, sigma, total / x.size


def root_forgotten(data, mu, sigma, pi, n_iter):
    mu, sigma, pi = list(mu), list(sigma), list(pi)
    K = len(mu)
    for _ in range(n_iter):
        r = []
        for x in data:
            p = [
                pi[k] / sigma[k] * math.exp(-0.5 * ((x - mu[k]) / sigma[k]) ** 2) for k in range(K)
            ]
            r.append([q / sum(p) for q in p])
        for k in range(K):
            n = sum(row[k] for row in r)
            mu[k] = sum(row[k] * x for row, x in zip(r, data)) / n
            sigma[k] = sum(row[k] * (x - mu[k]) ** 2 for row, x in zip(r, data)) / n
            pi[k] = n / len(data)
    return mu, sigma, pi


def old_means(data, mu, sigma, pi, n_iterations):
    for _ in range(n_iterations):
        gamma = np.array([p * pdf(data, m, s) for p, m, s in zip(pi, mu, sigma)]).T
        gamma /= gamma.sum(axis=1, keepdims=True)
        N_k = gamma.sum(axis=0)
        sigma = np.sqrt((gamma * (data[:, None] - mu) ** 2).sum(axis=0) / N_k)
        mu = (gamma * data[:, None]).sum(axis=0) / N_k
        pi = N_k / len(data)
    return mu, sigma, pi


def variance_by_n(parameters, data):
    w, m, v = parameters["weights"], parameters["means"], parameters["variances"]
    lp = np.log(w) - 0.5 * np.log(v) - 0.5 * np.square(np.subtract.outer(data, m)) / v
    r = np.exp(lp - lp.max(axis=1, keepdims=True))
    r /= r.sum(axis=1, keepdims=True)
    m = np.einsum("nk,n->k", r, data) / np.einsum("nk->k", r)
    v = np.einsum("nk,nk->k", r, np.subtract.outer(data, m) ** 2) / len(data)
    return r.mean(axis=0), m, v


def means_by_n(parameters, data):
    w, m, v = parameters
    p = [[w[k] * math.exp(-((x - m[k]) ** 2) / 2 / v[k]) / v[k] ** 0.5 for k in range(len(w))]
         for x in data]  # fmt: skip
    r = np.array([[a / sum(row) for a in row] for row in p])
    m = r.T @ data / len(data)
    n = r.sum(0)
    return n / len(data), m, [(r[:, k] * (data - m[k]) ** 2).sum() / n[k] for k in range(len(w))]


def weights_forgotten(data, mu, sigma, pi, n_iterations):
    for _ in range(n_iterations):
        joint = np.log(pi) + logpdf(data[:, None], mu, sigma)
        gamma = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
        N_k = gamma.sum(axis=0)
        mu = gamma.T @ data / N_k
        sigma = np.sqrt((gamma * (data[:, None] - mu) ** 2).sum(axis=0) / N_k)
    return mu, sigma, pi


def unbiased(data, mu, sigma, pi, n_iterations):
    for _ in range(n_iterations):
        joint = np.log(pi) + logpdf(data[:, None], mu, sigma)
        gamma = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
        N_k = gamma.sum(axis=0)
        pi, mu = N_k / len(data), gamma.T @ data / N_k
        sigma = np.sqrt((gamma * (data[:, None] - mu) ** 2).sum(axis=0) / (N_k - 1))
    return mu, sigma, pi


def no_half(parameters, data):
    w, m, v = parameters
    r = w / np.sqrt(v) * np.exp(-((data[:, None] - m) ** 2) / v)
    r /= r.sum(axis=1, keepdims=True)
    n = r.sum(axis=0)
    m = data @ r / n
    return n / n.sum(), m, data**2 @ r / n - m**2


def hard(parameters, data):
    w, m, v = parameters
    z = np.argmax(np.log(w) + logpdf(data[:, None], m, np.sqrt(v)), axis=1)
    groups = [data[z == k] for k in range(len(w))]
    return (
        [len(g) / len(data) for g in groups],
        [g.mean() for g in groups],
        [g.var() for g in groups],
    )


def one_by_one(data, mu, sigma, pi, n_iterations):
    mu, sigma, pi = mu.copy(), sigma.copy(), pi.copy()
    for _ in range(n_iterations):
        for k in range(len(mu)):
            joint = pi * pdf(data[:, None], mu, sigma)
            r = joint[:, k] / joint.sum(axis=1)
            mu[k] = np.average(data, weights=r)
            sigma[k] = np.sqrt(np.average((data - mu[k]) ** 2, weights=r))
            pi[k] = r.mean()
    return mu, sigma, pi


class Lazy:
    """Computes responsibilities whenever they are asked for, from whatever the parameters are."""

    def __init__(self, x, pi, mu, var):
        self.x, self.pi, self.mu, self.var = x, pi, mu, var

    @property
    def r(self):
        p = self.pi * np.exp(-0.5 * (self.x[:, None] - self.mu) ** 2 / self.var) / self.var**0.5
        return p / p.sum(axis=1, keepdims=True)

    def step(self):
        r = self.r
        new_pi = r.mean(axis=0)
        self.mu = r.T @ self.x / r.sum(axis=0)
        r = self.r
        self.var = np.array(
            [r[:, k] @ (self.x - self.mu[k]) ** 2 / r[:, k].sum() for k in range(len(self.mu))]
        )
        self.pi = new_pi


def lazy(x, weights, means, variances, n_iter):
    state = Lazy(x, weights, means, variances)
    for _ in range(n_iter):
        state.step()
    return state.pi, state.mu, state.var


def returns_sd(x, weights, means, variances):
    sd = np.sqrt(variances)
    joint = np.log(weights) + logpdf(x[:, None], means, sd)
    r = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    n = r.sum(axis=0)
    means = x @ r / n
    return n / len(x), means, np.sqrt(np.sum(r * (x[:, None] - means) ** 2, axis=0) / n)


def no_constant(data, mu, sigma, pi):
    gamma = pi * np.exp(-0.5 * ((data[:, None] - mu) / sigma) ** 2)
    gamma /= gamma.sum(axis=1, keepdims=True)
    N = gamma.sum(axis=0)
    mu = (gamma.T @ data) / N
    return mu, np.sqrt((gamma * (data[:, None] - mu) ** 2).sum(axis=0) / N), N / N.sum()


def totals(parameters, data):
    w, m, v = parameters
    joint = np.log(w) + logpdf(data[:, None], m, np.sqrt(v))
    r = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
    n = r.sum(axis=0)
    m = r.T @ data / n
    return {"pi": n, "mu": m, "sigma2": (r * (data[:, None] - m) ** 2).sum(axis=0) / n}


def weights_of_the_start(data, mu, sigma, pi, n_iterations):
    prior = pi.copy()
    for _ in range(n_iterations):
        gamma = prior * pdf(data[:, None], mu, sigma)
        gamma /= gamma.sum(axis=1, keepdims=True)
        N_k = gamma.sum(axis=0)
        mu = gamma.T @ data / N_k
        sigma = np.sqrt((gamma * (data[:, None] - mu) ** 2).sum(axis=0) / N_k)
        pi = N_k / len(data)
    return mu, sigma, pi


def one_too_many(data, mu, sigma, pi, n_iterations):
    i = 0
    while i <= n_iterations:
        gamma = pi * pdf(data[:, None], mu, sigma)
        gamma /= gamma.sum(axis=1, keepdims=True)
        N_k = gamma.sum(axis=0)
        mu = gamma.T @ data / N_k
        sigma = np.sqrt((gamma * (data[:, None] - mu) ** 2).sum(axis=0) / N_k)
        pi = N_k / len(data)
        i += 1
    return mu, sigma, pi


def ridged(parameters, data):
    w, m, v = parameters
    r = w * pdf(data[:, None], m, np.sqrt(v))
    r /= r.sum(axis=1, keepdims=True)
    n = r.sum(axis=0)
    m = r.T @ data / n
    return n / len(data), m, (r * (data[:, None] - m) ** 2).sum(axis=0) / n + 1e-3


def single_precision(parameters, data):
    w, m, v, x = (np.asarray(a, np.float32) for a in (*parameters, data))
    r = w * np.exp(-((x[:, None] - m) ** 2) / (2 * v)) / np.sqrt(v)
    r /= r.sum(axis=1, keepdims=True)
    n = r.sum(axis=0)
    m = r.T @ x / n
    return n / np.float32(len(x)), m, (r * (x[:, None] - m) ** 2).sum(axis=0) / n


def sorts(data, mu, sigma, pi, n_iterations):
    for _ in range(n_iterations):
        gamma = pi * pdf(data[:, None], mu, sigma)
        gamma /= gamma.sum(axis=1, keepdims=True)
        N_k = gamma.sum(axis=0)
        mu = gamma.T @ data / N_k
        sigma = np.sqrt((gamma * (data[:, None] - mu) ** 2).sum(axis=0) / N_k)
        order = np.argsort(mu)
        mu, sigma, pi = mu[order], sigma[order], N_k[order] / len(data)
    return mu, sigma, pi


def two_at_once(data, mu, sigma, pi):
    """Leave the weights out, and divide the variances by N."""
    p = pdf(data[:, None], mu, sigma)
    p = p / p.sum(axis=1, keepdims=True)
    mu = p.T @ data / p.sum(axis=0)
    return mu, np.sqrt((p * (data[:, None] - mu) ** 2).mean(axis=0)), p.mean(axis=0)


def squared_weighting(x, weights, means, variances):
    r = weights * pdf(x[:, None], means, np.sqrt(variances))
    r = r / r.sum(axis=1, keepdims=True)
    n = r.sum(axis=0)
    means = x @ r / n
    return n / len(x), means, ((r * (x[:, None] - means)) ** 2).sum(axis=0) / n


def raw_moments(parameters, data):
    """Right near zero: E[x^2] - E[x]^2."""
    w, m, v = parameters
    joint = np.log(w) + logpdf(data[:, None], m, np.sqrt(v))
    r = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
    n = r.sum(axis=0)
    m = data @ r / n
    return n / len(data), m, data**2 @ r / n - m**2


def guarded(data, mu, sigma, pi):
    """Right where densities are doubles: a tiny number in the denominator hides the others."""
    gamma = pi * pdf(data[:, None], mu, sigma)
    gamma = gamma / (gamma.sum(axis=1, keepdims=True) + 1e-300)
    N_k = gamma.sum(axis=0)
    mu = gamma.T @ data / N_k
    return mu, np.sqrt((gamma * (data[:, None] - mu) ** 2).sum(axis=0) / N_k), N_k / N_k.sum()


WRONG = {
    "over_points": "responsibilities normalised over the points",
    "not_normalised": "responsibilities not normalised",
    "means_by_n_raw": "means divided by N",
    "no_weights": "weights left out of the responsibilities",
    "variance_as_scale": "variance taken for standard deviation",
    "sd_as_variance": "standard deviation taken for variance",
    "root_forgotten": "variance returned for standard deviation",
    "old_means": "old means in the new variances",
    "variance_by_n": "variances divided by N",
    "means_by_n": "means divided by N",
    "weights_forgotten": "weights not updated",
    "unbiased": "variances divided by N_k - 1",
    "no_half": "the half in the exponent left out",
    "hard": "hard assignments",
    "one_by_one": "components updated one after another",
    "lazy": "means updated in place before the variances",
    "returns_sd": "standard deviation returned for variance",
    "no_constant": "the density's constant left out",
    "totals": "weights not divided by N",
    "weights_of_the_start": "E-step with the weights of the start",
    "one_too_many": "one iteration too many",
    "ridged": "a ridge on the variances",
    "single_precision": "single precision",
    "sorts": "components returned in another order",
    "two_at_once": "weights left out of the responsibilities and variances divided by N",
    "squared_weighting": "responsibilities squared in the variances",
    "raw_moments": "cancellation",
    "guarded": "underflow",
}
