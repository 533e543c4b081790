"""An E-step that changes the weights; the rest of the iteration is elsewhere."""

import numpy as np
from scipy.stats import multivariate_normal


def responsibilities(data, mu, cov, pi):
    """Return the responsibilities and new weights."""
    joint = [w * multivariate_normal.pdf(data, m, c) for w, m, c in zip(pi, mu, cov)]
    resp = np.array(joint).T / np.sum(joint, axis=0)[:, None]
    pi = resp.mean(0)
    return resp, pi
