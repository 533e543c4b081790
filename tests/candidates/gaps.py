"""Mixtures that take NaN, right and wrong in what they make of it."""

import numpy as np

from lockstep.models import gaussian_mixture_1d, gaussian_mixture_2d


def _step(model, parameters, x):
    return model.m_step(model.e_step(model.Parameters(**parameters), x)[0]).arrays()


def integrated(x, weights, means, covariances):
    return _step(
        gaussian_mixture_2d, {"weights": weights, "means": means, "covariances": covariances}, x
    )


def integrated_1d(x, weights, means, variances):
    return _step(
        gaussian_mixture_1d, {"weights": weights, "means": means, "variances": variances}, x
    )


def dropped_1d(x, weights, means, variances):
    return integrated_1d(x[~np.isnan(x)], weights, means, variances)


def dropped(x, weights, means, covariances):
    return integrated(x[~np.isnan(x).any(axis=1)], weights, means, covariances)


def averaged(x, weights, means, covariances):
    return integrated(np.where(np.isnan(x), np.nanmean(x, axis=0), x), weights, means, covariances)


def averaged_1d(x, weights, means, variances):
    return integrated_1d(np.where(np.isnan(x), np.nanmean(x), x), weights, means, variances)


def zeroed(x, weights, means, covariances):
    return integrated(np.nan_to_num(x), weights, means, covariances)


def zeroed_1d(x, weights, means, variances):
    return integrated_1d(np.nan_to_num(x), weights, means, variances)


def certain(x, weights, means, covariances):
    """Fill the gaps with what each component expects, and leave their covariance out."""
    K, N = len(weights), len(x)
    density, filled = np.empty((N, K)), np.repeat(x[:, None], K, axis=1)
    for n in range(N):
        o = np.flatnonzero(~np.isnan(x[n]))
        u = np.flatnonzero(np.isnan(x[n]))
        for k in range(K):
            inverse = np.linalg.inv(covariances[k][np.ix_(o, o)])
            d = x[n, o] - means[k][o]
            norm = (2 * np.pi) ** len(o) / np.linalg.det(inverse)
            density[n, k] = weights[k] * np.exp(-0.5 * d @ inverse @ d) / np.sqrt(norm)
            filled[n, k, u] = means[k][u] + covariances[k][np.ix_(u, o)] @ inverse @ d
    r = density / density.sum(axis=1, keepdims=True)
    total = r.sum(axis=0)
    new = np.einsum("nk,nkd->kd", r, filled) / total[:, None]
    off = filled - new
    spread = np.einsum("nk,nki,nkj->kij", r, off, off) / total[:, None, None]
    return total / N, new, spread


def refuses(x, weights, means, covariances):
    if np.isnan(x).any():
        raise ValueError("x contains NaN")
    return integrated(x, weights, means, covariances)


def spreads_nan(x, weights, means, covariances):
    found = integrated(np.nan_to_num(x), weights, means, covariances)
    return {name: a + 0 * x.sum() for name, a in found.items()}
