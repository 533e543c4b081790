"""A mixture that keeps its parameters in a dictionary."""

import numpy as np
from scipy.stats import multivariate_normal


class Blobs:
    """Fits K of them."""

    def __init__(self, K):
        self.K = K
        self.state = {}

    def _initialize(self, X):
        self.state = {
            "pi": np.full(self.K, 1 / self.K),
            "mu": X[np.random.choice(len(X), self.K, replace=False)],
            "sigma": np.array([np.cov(X.T)] * self.K),
        }

    def fit(self, X, n_iter=20):
        """Iterate."""
        self._initialize(X)
        for _ in range(n_iter):
            s = self.state
            joint = [
                w * multivariate_normal.pdf(X, m, c)
                for w, m, c in zip(s["pi"], s["mu"], s["sigma"])
            ]
            resp = np.array(joint) / np.sum(joint, axis=0)
            n = resp.sum(1)
            s["pi"], s["mu"] = n / len(X), resp @ X / n[:, None]
            away = X - s["mu"][:, None]
            s["sigma"] = np.einsum("kn,kni,knj->kij", resp, away, away) / n[:, None, None]
