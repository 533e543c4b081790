"""A mixture whose steps read a constant beside them; the E-step hands on the new weights."""

import numpy as np
from scipy.stats import multivariate_normal

number_of_gaussians = 4
tolerance = 1e-6


def e_step(points, mu, cov, pi):
    """Return the responsibilities, their totals and the weights made of them."""
    dens = [multivariate_normal.pdf(points, mu[j], cov[j]) for j in range(number_of_gaussians)]
    joint = np.array(pi)[:, None] * np.array(dens)
    resp = joint / joint.sum(0)
    totals = resp.sum(1)
    pi = totals / len(points)
    return resp, totals, pi


def m_step(points, resp, totals):
    """Return means and covariances."""
    mu, cov = [], []
    for j in range(number_of_gaussians):
        centre = resp[j] @ points / totals[j]
        away = points - centre
        mu.append(centre)
        cov.append((resp[j][:, None] * away).T @ away / totals[j])
    return np.array(mu), np.array(cov)
