"""EM for mixtures on the line in many forms: what is right has a name without ``wrong``."""

import math
from collections import namedtuple

import numpy as np


def density(x, m, v):
    return math.exp(-((x - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v)


def with_lists(values, props, centres, var, rounds):
    """Pure Python: lists in, lists out, the trace first."""
    history = []
    for _ in range(rounds):
        table = [[p * density(x, m, v) for p, m, v in zip(props, centres, var)] for x in values]
        history.append(sum(math.log(sum(row)) for row in table))
        table = [[cell / sum(row) for cell in row] for row in table]
        totals = [sum(row[k] for row in table) for k in range(len(props))]
        props = [t / len(values) for t in totals]
        centres = [
            sum(row[k] * x for row, x in zip(table, values)) / totals[k] for k in range(len(props))
        ]
        var = [
            sum(row[k] * (x - centres[k]) ** 2 for row, x in zip(table, values)) / totals[k]
            for k in range(len(props))
        ]
    return history, props, centres, var


def with_lists_wrong(values, props, centres, var, rounds):
    """The same, the means divided by the number of points."""
    for _ in range(rounds):
        table = [[p * density(x, m, v) for p, m, v in zip(props, centres, var)] for x in values]
        table = [[cell / sum(row) for cell in row] for row in table]
        totals = [sum(row[k] for row in table) for k in range(len(props))]
        props = [t / len(values) for t in totals]
        centres = [
            sum(row[k] * x for row, x in zip(table, values)) / len(values)
            for k in range(len(props))
        ]
        var = [
            sum(row[k] * (x - centres[k]) ** 2 for row, x in zip(table, values)) / totals[k]
            for k in range(len(props))
        ]
    return props, centres, var


Fitted = namedtuple("Fitted", "centroids spread_sd shares")


def named_tuple(points, centroids, stds, shares, niter):
    """A named tuple in another order, with standard deviations."""
    for _ in range(niter):
        z = (points[:, np.newaxis] - centroids) / stds
        joint = shares * np.exp(-0.5 * z * z) / stds
        joint /= joint.sum(axis=1, keepdims=True)
        total = joint.sum(axis=0)
        centroids = joint.T.dot(points) / total
        stds = np.sqrt((joint * (points[:, np.newaxis] - centroids) ** 2).sum(axis=0) / total)
        shares = total / total.sum()
    return Fitted(centroids, stds, shares)


def dictionary_step(y, params):
    """One iteration over a dictionary that is changed in place."""
    mu, sigma, pi = (np.array(params[key]) for key in ("mu", "sigma", "pi"))
    lik = pi * np.exp(-0.5 * ((y[:, None] - mu) / sigma) ** 2) / sigma
    post = lik / lik.sum(1, keepdims=True)
    nk = post.sum(0)
    params["pi"] = nk / len(y)
    params["mu"] = (post * y[:, None]).sum(0) / nk
    params["sigma"] = np.sqrt((post * (y[:, None] - params["mu"]) ** 2).sum(0) / nk)
    return params


def dictionary_step_wrong(y, params):
    """The same about the old means."""
    mu, sigma, pi = (np.array(params[key]) for key in ("mu", "sigma", "pi"))
    lik = pi * np.exp(-0.5 * ((y[:, None] - mu) / sigma) ** 2) / sigma
    post = lik / lik.sum(1, keepdims=True)
    nk = post.sum(0)
    return {
        "pi": nk / len(y),
        "mu": (post * y[:, None]).sum(0) / nk,
        "sigma": np.sqrt((post * (y[:, None] - mu) ** 2).sum(0) / nk),
    }


def in_any_dimension(X, alpha, mu, Sigma, max_iter=10):
    """Code for any dimension, used in one: columns and 1 x 1 matrices."""
    n, d = X.shape
    k = len(alpha)
    for _ in range(max_iter):
        R = np.empty((n, k))
        for j in range(k):
            diff = X - mu[j]
            quad = np.einsum("ni,ij,nj->n", diff, np.linalg.inv(Sigma[j]), diff)
            norm = np.sqrt((2 * np.pi) ** d * np.linalg.det(Sigma[j]))
            R[:, j] = alpha[j] * np.exp(-0.5 * quad) / norm
        R /= R.sum(axis=1, keepdims=True)
        Nk = R.sum(axis=0)
        alpha = Nk / n
        mu = R.T @ X / Nk[:, None]
        Sigma = np.array([(R[:, j, None] * (X - mu[j])).T @ (X - mu[j]) / Nk[j] for j in range(k)])
    return alpha, mu, Sigma


def two_normals(x, mu1, mu2, sigma1, sigma2, lam, iters):
    """Two components with numbers of their own; lam is the weight of the second."""
    for _ in range(iters):
        f1 = np.exp(-0.5 * ((x - mu1) / sigma1) ** 2) / sigma1
        f2 = np.exp(-0.5 * ((x - mu2) / sigma2) ** 2) / sigma2
        g = lam * f2 / ((1 - lam) * f1 + lam * f2)
        lam = g.mean()
        mu1, mu2 = np.sum((1 - g) * x) / np.sum(1 - g), np.sum(g * x) / np.sum(g)
        sigma1 = np.sqrt(np.sum((1 - g) * (x - mu1) ** 2) / np.sum(1 - g))
        sigma2 = np.sqrt(np.sum(g * (x - mu2) ** 2) / np.sum(g))
    return mu1, mu2, sigma1, sigma2, lam


def two_normals_wrong(x, mu1, mu2, sigma1, sigma2, lam, iters):
    """The same with the weights left out of the responsibilities."""
    for _ in range(iters):
        f1 = np.exp(-0.5 * ((x - mu1) / sigma1) ** 2) / sigma1
        f2 = np.exp(-0.5 * ((x - mu2) / sigma2) ** 2) / sigma2
        g = f2 / (f1 + f2)
        lam = g.mean()
        mu1, mu2 = np.sum((1 - g) * x) / np.sum(1 - g), np.sum(g * x) / np.sum(g)
        sigma1 = np.sqrt(np.sum((1 - g) * (x - mu1) ** 2) / np.sum(1 - g))
        sigma2 = np.sqrt(np.sum(g * (x - mu2) ** 2) / np.sum(g))
    return mu1, mu2, sigma1, sigma2, lam


def precisions(obs, weights, mu, tau, steps):
    """Precisions in place of variances."""
    for _ in range(steps):
        q = weights * np.sqrt(tau) * np.exp(-0.5 * tau * (obs[:, None] - mu) ** 2)
        q /= q.sum(1)[:, None]
        n = q.sum(0)
        weights, mu = n / n.sum(), obs @ q / n
        tau = n / (q * (obs[:, None] - mu) ** 2).sum(0)
    return {"weights": weights, "mu": mu, "tau": tau}


def every_step(samples, w, mu, s2):
    """A generator of tuples."""
    while True:
        p = w * np.exp(-((samples[:, None] - mu) ** 2) / (2 * s2)) / np.sqrt(s2)
        p = p / p.sum(1, keepdims=True)
        c = p.sum(0)
        w, mu = c / len(samples), samples @ p / c
        s2 = (p * (samples[:, None] - mu) ** 2).sum(0) / c
        yield w, mu, s2


def every_step_wrong(samples, w, mu, s2):
    """A generator whose weights stay."""
    while True:
        p = w * np.exp(-((samples[:, None] - mu) ** 2) / (2 * s2)) / np.sqrt(s2)
        p = p / p.sum(1, keepdims=True)
        c = p.sum(0)
        mu = samples @ p / c
        s2 = (p * (samples[:, None] - mu) ** 2).sum(0) / c
        yield w, mu, s2
