"""EM for mixtures in the plane in many forms: what is right has a name without ``wrong``."""

import numpy as np


def gauss(points, centre, cov):
    """Density at the columns of an array."""
    d = points - centre[:, None]
    q = np.sum(d * np.linalg.solve(cov, d), axis=0)
    return np.exp(-q / 2) / (2 * np.pi * np.sqrt(np.linalg.det(cov)))


def columns(X, priors, M, C, num_iter):
    """Points, means and covariances along the last axis: (D, N), (D, K), (D, D, K)."""
    K = len(priors)
    for _ in range(num_iter):
        G = np.array([priors[k] * gauss(X, M[:, k], C[:, :, k]) for k in range(K)])
        G = G / G.sum(axis=0)
        total = G.sum(axis=1)
        priors = total / X.shape[1]
        M = X @ G.T / total
        C = np.stack(
            [(X - M[:, k, None]) * G[k] @ (X - M[:, k, None]).T / total[k] for k in range(K)], 2
        )
    return priors, M, C


def columns_wrong(X, priors, M, C, num_iter):
    """The same, about the means from before."""
    K = len(priors)
    for _ in range(num_iter):
        G = np.array([priors[k] * gauss(X, M[:, k], C[:, :, k]) for k in range(K)])
        G = G / G.sum(axis=0)
        total = G.sum(axis=1)
        old = M
        priors, M = total / X.shape[1], X @ G.T / total
        C = np.stack(
            [(X - old[:, k, None]) * G[k] @ (X - old[:, k, None]).T / total[k] for k in range(K)],
            2,
        )
    return priors, M, C


def do_expectation(points, mixing, mu, Sigmas):
    """Return the responsibilities, (K, N), and the log-likelihood."""
    joint = np.stack([p * gauss(points.T, m, S) for p, m, S in zip(mixing, mu, Sigmas)])
    return joint / joint.sum(0), float(np.log(joint.sum(0)).sum())


def do_maximization(points, resp):
    """Return a dictionary with lists of matrices."""
    total = resp.sum(1)
    mu = resp @ points / total[:, None]
    return {
        "mixing": total / len(points),
        "mu": mu,
        "Sigmas": [((points - m).T * r) @ (points - m) / n for m, r, n in zip(mu, resp, total)],
    }


def do_maximization_wrong(points, resp):
    """Divide the covariances by the number of points."""
    total = resp.sum(1)
    mu = resp @ points / total[:, None]
    return {
        "mixing": total / len(points),
        "mu": mu,
        "Sigmas": [((points - m).T * r) @ (points - m) / len(points) for m, r in zip(mu, resp)],
    }


class Clusters:
    """A mixture that begins where it likes, and trains for a while."""

    def __init__(self, n_clusters, epochs=100):
        self.n_clusters, self.epochs = n_clusters, epochs
        self.probs = self.centers = self.covs = None

    def _initialize(self, X):
        self.centers = X[: self.n_clusters].copy()
        self.covs = np.array([np.cov(X.T)] * self.n_clusters)
        self.probs = np.full(self.n_clusters, 1 / self.n_clusters)

    def train(self, X):
        self._initialize(X)
        for _ in range(self.epochs):
            dens = [gauss(X.T, m, S) for m, S in zip(self.centers, self.covs)]
            r = self.probs[:, None] * np.array(dens)
            r /= r.sum(0)
            nk = r.sum(1)
            self.probs = nk / nk.sum()
            self.centers = r @ X / nk[:, None]
            for k in range(self.n_clusters):
                d = X - self.centers[k]
                self.covs[k] = d.T @ (r[k][:, None] * d) / nk[k]


class ClustersWrong(Clusters):
    """The same with one covariance for all."""

    def __init__(self, n_clusters, epochs=100):
        super().__init__(n_clusters, epochs)
        self.probs = self.centers = self.covs = None

    def train(self, X):
        self._initialize(X)
        for _ in range(self.epochs):
            dens = [gauss(X.T, m, S) for m, S in zip(self.centers, self.covs)]
            r = self.probs[:, None] * np.array(dens)
            r /= r.sum(0)
            nk = r.sum(1)
            self.probs = nk / nk.sum()
            self.centers = r @ X / nk[:, None]
            d = X[None] - self.centers[:, None]
            self.covs[:] = np.einsum("kn,kni,knj->ij", r, d, d) / len(X)


def nested(data, theta, iterations):
    """Return ((weights, means, covariances), log-likelihood) from one dictionary."""
    w, mu, cov = theta["w"], theta["mu"], theta["cov"]
    for _ in range(iterations):
        g = np.stack([p * gauss(data.T, m, S) for p, m, S in zip(w, mu, cov)], 1)
        ll = np.log(g.sum(1)).sum()
        g /= g.sum(1, keepdims=True)
        w, mu = g.mean(0), g.T @ data / g.sum(0)[:, None]
        cov = [np.cov(data.T, aweights=g[:, k], bias=True) for k in range(len(w))]
    return (w, mu, cov), ll
