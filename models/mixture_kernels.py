"""Compiled twins of the mixtures' E-steps, from which `models.kernels` chooses, and their scores.

`gaussian_mixture_1d` and `gaussian_mixture_2d` are the definitions and the place to read; here is
the same arithmetic in an order that a processor likes. Rows are taken in blocks that stay in the
cache, and every loop over the rows of a block is one that its vector units can do, with `_exp` and
`_log` written out because the compiler's own come one number at a time. Sums over a block are
added up with a compensation (Neumaier 1974), so that their error does not grow with the number of
rows.

References
----------
.. [1] Tang (1989), Table-driven implementation of the exponential function in IEEE floating-point
   arithmetic, ACM TOMS 15, 144-157: the reduction of the argument by ``k ln 2`` in two parts.
.. [2] Sun Microsystems, fdlibm, e_log.c: the polynomial for the logarithm, with its error bound
   of one unit in the last place.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numba
import numpy as np
from numba import types

from lockstep.models.records import RESOLUTION, SMALLEST, Floats
from lockstep.models.simplex import TINY

ROWS = 512
"""Rows of a block: with K = 8, a log joint of 32 KiB."""

LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""The logarithm of 2 in two parts; the first has so many zeros at its end that ``k LN2_HIGH`` is
exact."""

NEAR = math.sqrt(RESOLUTION)
"""A scatter of less than this share of the moment it is taken from has lost half its digits."""

LOWEST_EXPONENT = -708.0
"""Below this the exponential is taken for zero: it is less than 4e-308."""

_COEFFICIENTS = tuple(1 / math.factorial(n) for n in range(13))
(_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12) = _COEFFICIENTS

# What an entry is called with, so that it is ready when this module has been imported. Arrays that
# may be written to pass for read-only ones.
_Vector, _Matrix, _Cube = (types.Array(types.float64, n, "C", readonly=True) for n in (1, 2, 3))
_IN_1D = (_Vector, _Vector, _Vector, _Vector, _Vector)
_IN = (_Matrix, _Vector, _Vector, _Matrix, _Cube)
_ITERATE = (types.float64, types.int64, types.float64)

# Sums may be taken in any order; in _exp, _log and the compensation the order is the point.
_sums = numba.njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"}
)
_exact = numba.njit(cache=True, nogil=True, error_model="numpy")
_entry = partial(numba.njit, cache=True, nogil=True, error_model="numpy")
_fused = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})


@_fused  # type: ignore[untyped-decorator]
def _exp(x: float) -> float:
    """Return the exponential of a number that is not positive, to one unit in the last place.

    With ``x = k ln 2 + r`` it is ``2^k e^r`` ([1]_); for ``|r| <= ln(2) / 2`` the Taylor series
    errs after its thirteenth term by 2e-16 of it.
    """
    bounded = max(x, LOWEST_EXPONENT)
    k = np.floor(bounded * (1 / 0.6931471805599453) + 0.5)
    r = (bounded - k * LN2_HIGH) - k * LN2_LOW
    p = _C12
    p = p * r + _C11
    p = p * r + _C10
    p = p * r + _C9
    p = p * r + _C8
    p = p * r + _C7
    p = p * r + _C6
    p = p * r + _C5
    p = p * r + _C4
    p = p * r + _C3
    p = p * r + _C2
    p = p * r + _C1
    p = p * r + _C0
    power = np.int64((np.int64(k) + 1023) << 52).view(np.float64)
    return p * power if x >= LOWEST_EXPONENT else 0.0


@_fused  # type: ignore[untyped-decorator]
def _log(x: float) -> float:
    """Return the logarithm of a normal positive number, to one unit in the last place ([2]_)."""
    bits = np.float64(x).view(np.int64)
    mantissa = np.int64((bits & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000).view(np.float64)
    k = np.float64((bits >> 52) - 1023)
    if mantissa > 1.4142135623730951:
        mantissa *= 0.5
        k += 1.0
    f = mantissa - 1.0
    s = f / (2.0 + f)
    z = s * s
    p = 1.479819860511658591e-01
    p = p * z + 1.531383769920937332e-01
    p = p * z + 1.818357216161805012e-01
    p = p * z + 2.222219843214978396e-01
    p = p * z + 2.857142874366239149e-01
    p = p * z + 3.999999999940941908e-01
    p = p * z + 6.666666666666735130e-01
    half = 0.5 * f * f
    return k * LN2_HIGH - ((half - (s * (half + p * z) + k * LN2_LOW)) - f)


@_sums  # type: ignore[untyped-decorator]
def _dot(a: Floats, k: int, b: Floats, d: int, n: int) -> float:
    total = 0.0
    for i in range(n):
        total += a[k, i] * b[d, i]
    return total


@_sums  # type: ignore[untyped-decorator]
def _sum(a: Floats, n: int) -> float:
    total = 0.0
    for i in range(n):
        total += a[0, i]
    return total


@_exact  # type: ignore[untyped-decorator]
def _add(totals: Floats, place: int, value: float) -> None:
    """Add to a sum; its rounding error goes into the second row."""
    old = totals[0, place]
    new = old + value
    if abs(old) >= abs(value):
        totals[1, place] += (old - new) + value
    else:
        totals[1, place] += (value - new) + old
    totals[0, place] = new


@_exact  # type: ignore[untyped-decorator]
def _normalise(joint: Floats, row: Floats, n: int) -> None:
    """Turn the log joint of a block into responsibilities times weights.

    Parameters
    ----------
    joint : ndarray, shape (K, >= n)
        On return ``w_n r_nk sum_k``: to be multiplied by the second row of `row`.
    row : ndarray, shape (3, >= n)
        The largest log joint of each row of the data, a scratch, and the weight of each row. On
        return the first has the evidence ``log p(x_n)``, the second the factor that is missing.
    n : int
    """
    for i in range(n):
        joint[0, i] = _exp(joint[0, i] - row[0, i])
        row[1, i] = joint[0, i]
    for k in range(1, len(joint)):
        for i in range(n):
            joint[k, i] = _exp(joint[k, i] - row[0, i])
            row[1, i] += joint[k, i]
    for i in range(n):
        row[0, i] += _log(row[1, i])
        row[1, i] = row[2, i] / row[1, i]


@_fused  # type: ignore[untyped-decorator]
def _log_joint_1d(
    x: Floats, n: int, scale: Floats, halves: Floats, means: Floats, joint: Floats, row: Floats
) -> None:  # fmt: skip
    for k in range(len(means)):
        for i in range(n):
            d = x[i] - means[k]
            value = scale[k] + halves[k] * d * d
            joint[k, i] = value
            if k == 0 or value > row[0, i]:
                row[0, i] = value


@_sums  # type: ignore[untyped-decorator]
def _moments_1d(
    x: Floats, n: int, mean: float, joint: Floats, k: int, row: Floats
) -> tuple[float, float, float]:
    count = first = second = 0.0
    for i in range(n):
        r = joint[k, i] * row[1, i]
        d = x[i] - mean
        count += r
        first += r * d
        second += r * d * d
    return count, first, second


@_entry(_IN_1D)  # type: ignore[untyped-decorator]
def moments_1d(
    x: Floats, w: Floats, weights: Floats, means: Floats, variances: Floats
) -> tuple[Floats, Floats, Floats, float]:
    """Return `gaussian_mixture_1d.e_step`: expected moments about the means.

    Parameters
    ----------
    x : ndarray, shape (N,)
        Without missing values.
    w : ndarray, shape (N,) or (0,)
        How often each observation counts; empty for once each.
    weights, means, variances : ndarray, shape (K,)

    Returns
    -------
    counts, first, second : ndarray, shape (K,)
    log_likelihood : float
    """
    N, K = len(x), len(means)
    size = min(ROWS, N)
    scale, halves = np.empty(K), np.empty(K)
    for k in range(K):
        scale[k] = np.log(weights[k]) - 0.5 * np.log(2 * np.pi * variances[k])
        halves[k] = -0.5 / variances[k]
    joint, row, totals = np.empty((K, size)), np.ones((3, size)), np.zeros((2, 3 * K + 1))
    for begin in range(0, N, size):
        n = min(size, N - begin)
        if len(w):
            row[2, :n] = w[begin : begin + n]
        block = x[begin : begin + n]  # an index from 0 is known not to count from the end
        _log_joint_1d(block, n, scale, halves, means, joint, row)
        _normalise(joint, row, n)
        _add(totals, 3 * K, _dot(row, 2, row, 0, n))
        for k in range(K):
            count, first, second = _moments_1d(block, n, means[k], joint, k, row)
            _add(totals, k, count)
            _add(totals, K + k, first)
            _add(totals, 2 * K + k, second)
    sums = totals[0] + totals[1]
    return sums[:K], sums[K : 2 * K], sums[2 * K : 3 * K], sums[3 * K]


@_fused  # type: ignore[untyped-decorator]
def _columns(x: Floats, n: int, out: Floats) -> None:
    """Copy a block of rows, a coordinate after the other."""
    for d in range(x.shape[1]):
        for i in range(n):
            out[d, i] = x[i, d]


@_fused  # type: ignore[untyped-decorator]
def _log_joint(
    columns: Floats, n: int, scale: float, mean: Floats, k: int, factors: Floats,
    u: Floats, joint: Floats, row: Floats,
) -> None:  # fmt: skip
    """Solve ``L u = x - mean`` downwards; the log density is ``scale - |u|^2 / 2``."""
    D = len(columns)
    for i in range(n):
        joint[k, i] = scale
    for d in range(D):
        for i in range(n):
            u[d, i] = columns[d, i] - mean[k, d]
        for e in range(d):
            factor = factors[k, d, e]
            for i in range(n):
                u[d, i] -= factor * u[e, i]
        inverse = 1.0 / factors[k, d, d]
        for i in range(n):
            u[d, i] *= inverse
            joint[k, i] -= 0.5 * u[d, i] * u[d, i]
    for i in range(n):
        if k == 0 or joint[k, i] > row[0, i]:
            row[0, i] = joint[k, i]


@_entry(_IN)  # type: ignore[untyped-decorator]
def moments(
    x: Floats, w: Floats, weights: Floats, means: Floats, factors: Floats
) -> tuple[Floats, Floats, Floats, float]:
    """Return `gaussian_mixture_2d.e_step`: expected moments about the means.

    Parameters
    ----------
    x : ndarray, shape (N, D)
        Without missing values.
    w : ndarray, shape (N,) or (0,)
        How often each observation counts; empty for once each.
    weights : ndarray, shape (K,)
    means : ndarray, shape (K, D)
    factors : ndarray, shape (K, D, D)
        The lower Cholesky factors of the covariances.

    Returns
    -------
    counts : ndarray, shape (K,)
    first : ndarray, shape (K, D)
    second : ndarray, shape (K, D, D)
    log_likelihood : float
    """
    (N, D), K = x.shape, len(means)
    size = min(ROWS, N)
    scale = np.log(weights) - 0.5 * D * np.log(2 * np.pi)
    for k in range(K):
        for d in range(D):
            scale[k] -= np.log(factors[k, d, d])
    joint, row = np.empty((K, size)), np.ones((3, size))
    columns, u, weighted = np.empty((D, size)), np.empty((D, size)), np.empty((1, size))
    each = 1 + D + D * (D + 1) // 2
    totals = np.zeros((2, K * each + 1))
    for begin in range(0, N, size):
        n = min(size, N - begin)
        if len(w):
            row[2, :n] = w[begin : begin + n]
        _columns(x[begin : begin + n], n, columns)
        for k in range(K):
            _log_joint(columns, n, scale[k], means, k, factors, u, joint, row)
        _normalise(joint, row, n)
        _add(totals, K * each, _dot(row, 2, row, 0, n))
        for k in range(K):
            place = k * each
            _add(totals, place, _dot(joint, k, row, 1, n))
            for d in range(D):
                for i in range(n):
                    u[d, i] = columns[d, i] - means[k, d]
                    weighted[0, i] = joint[k, i] * row[1, i] * u[d, i]
                place += 1
                _add(totals, place, _sum(weighted, n))
                for e in range(d + 1):
                    place += 1
                    _add(totals, place, _dot(weighted, 0, u, e, n))
    sums = totals[0] + totals[1]
    counts, first, second = np.empty(K), np.empty((K, D)), np.empty((K, D, D))
    for k in range(K):
        place = k * each
        counts[k] = sums[place]
        for d in range(D):
            place += 1
            first[k, d] = sums[place]
            for e in range(d + 1):
                place += 1
                second[k, d, e] = second[k, e, d] = sums[place]
    return counts, first, second, sums[K * each]


@_fused  # type: ignore[untyped-decorator]
def _log_joint_diagonal(
    columns: Floats,
    n: int,
    scale: float,
    mean: Floats,
    halves: Floats,
    joint: Floats,
    k: int,
    row: Floats,
) -> None:
    for i in range(n):
        joint[k, i] = scale
    for d in range(len(mean)):
        for i in range(n):
            u = columns[d, i] - mean[d]
            joint[k, i] += halves[d] * u * u
    for i in range(n):
        if k == 0 or joint[k, i] > row[0, i]:
            row[0, i] = joint[k, i]


@_entry((_Matrix, _Vector, _Vector, _Matrix, _Matrix))  # type: ignore[untyped-decorator]
def moments_diagonal(
    x: Floats, w: Floats, weights: Floats, means: Floats, variances: Floats
) -> tuple[Floats, Floats, Floats, float]:
    """Return `mixture_diagonal.e_step`: expected moments about the means.

    Parameters
    ----------
    x, w, weights, means
        As for `moments`.
    variances : ndarray, shape (K, D)

    Returns
    -------
    counts : ndarray, shape (K,)
    first, second : ndarray, shape (K, D)
    log_likelihood : float
    """
    (N, D), K = x.shape, len(means)
    size = min(max(16, min(ROWS, 2**15 // D)), N)  # the columns of a block stay in the cache
    halves, scale = np.empty((K, D)), np.log(weights) - 0.5 * D * np.log(2 * np.pi)
    for k in range(K):
        for d in range(D):
            halves[k, d] = -0.5 / variances[k, d]
            scale[k] -= 0.5 * np.log(variances[k, d])
    joint, row, columns = np.empty((K, size)), np.ones((3, size)), np.empty((D, size))
    each = 1 + 2 * D
    totals = np.zeros((2, K * each + 1))
    for begin in range(0, N, size):
        n = min(size, N - begin)
        if len(w):
            row[2, :n] = w[begin : begin + n]
        _columns(x[begin : begin + n], n, columns)
        for k in range(K):
            _log_joint_diagonal(columns, n, scale[k], means[k], halves[k], joint, k, row)
        _normalise(joint, row, n)
        _add(totals, K * each, _dot(row, 2, row, 0, n))
        for k in range(K):
            for d in range(D):
                count, first, second = _moments_1d(columns[d], n, means[k, d], joint, k, row)
                if d == 0:
                    _add(totals, k * each, count)
                _add(totals, k * each + 1 + d, first)
                _add(totals, k * each + 1 + D + d, second)
    sums = totals[0] + totals[1]
    by_component = sums[: K * each].reshape(K, each)
    counts, firsts = by_component[:, 0].copy(), by_component[:, 1 : 1 + D].copy()
    return counts, firsts, by_component[:, 1 + D :].copy(), sums[K * each]


@_entry(_IN_1D + _ITERATE)  # type: ignore[untyped-decorator]
def climb_1d(
    x: Floats,
    w: Floats,
    weights: Floats,
    means: Floats,
    variances: Floats,
    reg_covar: float,
    iterations: int,
    tol: float,
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Iterate EM until a parameter's `change` is at most `tol`, as long as nothing is amiss.

    The first five arguments are those of `moments_1d`; `reg_covar` is that of the M-step.

    Returns
    -------
    weights, means, variances : ndarray, shape (n + 1, K)
        The parameters after 0, 1, ..., n iterations. There are fewer iterations than asked for
        also if the next needs care, because a component may be about to collapse.
    trace : ndarray, shape (n + 1,)
        Their log-likelihoods.
    changes : ndarray, shape (n,)
    """
    K = len(means)
    path = np.empty((3, iterations + 1, K))
    path[0, 0], path[1, 0], path[2, 0] = weights, means, variances
    trace, changes = np.empty(iterations + 1), np.empty(iterations)
    done = 0
    while True:
        old_weights, old_means, old_variances = path[0, done], path[1, done], path[2, done]
        counts, first, second, trace[done] = moments_1d(x, w, old_weights, old_means, old_variances)
        if done == iterations or (done > 0 and changes[done - 1] <= tol):
            break
        total, sound = counts.sum(), np.isfinite(trace[done])
        change = 0.0
        for k in range(K):
            shift, moment = first[k] / counts[k], second[k] / counts[k]
            path[0, done + 1, k] = counts[k] / total
            mean = path[1, done + 1, k] = old_means[k] + shift
            variance = path[2, done + 1, k] = moment - shift * shift + reg_covar
            least = max(RESOLUTION * moment, (RESOLUTION * mean) ** 2, SMALLEST)
            sound = sound and counts[k] > 0 and variance > least
            sd = np.sqrt(old_variances[k])
            change = max(change, abs(path[0, done + 1, k] - old_weights[k]))
            change = max(change, abs(shift) / sd)
            change = max(change, abs(variance - old_variances[k]) / old_variances[k])
        if not sound:
            break
        changes[done] = change
        done += 1
    n = done + 1
    return path[0, :n], path[1, :n], path[2, :n], trace[:n], changes[:done]


@_exact  # type: ignore[untyped-decorator]
def _cholesky(matrix: Floats, out: Floats, k: int) -> bool:
    """Set ``out[k]`` to the lower Cholesky factor; return whether there is one."""
    D = len(matrix)
    for d in range(D):
        for e in range(d + 1):
            value = matrix[d, e]
            for f in range(e):
                value -= out[k, d, f] * out[k, e, f]
            if e < d:
                out[k, d, e], out[k, e, d] = value / out[k, e, e], 0.0
            elif value > 0:
                out[k, d, d] = np.sqrt(value)
            else:
                return False
    return True


@_exact  # type: ignore[untyped-decorator]
def _sound(covariances: Floats, weights: Floats, means: Floats, factors: Floats) -> bool:
    """Return whether no covariance can have collapsed, and set their Cholesky factors.

    Of a correlation matrix with determinant d the smallest eigenvalue is at least
    ``d ((D - 1) / D)^(D - 1)``, since the others' product is at most their mean's power.
    """
    K, D = means.shape
    for k in range(K):
        least = 2 * RESOLUTION * D
        for d in range(D):
            rounding = (RESOLUTION * means[k, d]) ** 2
            if not covariances[k, d, d] > max(rounding, SMALLEST):
                return False
            least += rounding / covariances[k, d, d]
        if not (weights[k] > 0 and _cholesky(covariances[k], factors, k)):
            return False
        bound = ((D - 1) / D) ** (D - 1)
        for d in range(D):
            bound *= factors[k, d, d] ** 2 / covariances[k, d, d]
        if not bound > least:
            return False
    return True


@_entry(_IN + _ITERATE)  # type: ignore[untyped-decorator]
def climb(
    x: Floats,
    w: Floats,
    weights: Floats,
    means: Floats,
    covariances: Floats,
    reg_covar: float,
    iterations: int,
    tol: float,
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Iterate EM with full covariances, as `climb_1d` does in one dimension.

    Returns
    -------
    weights : ndarray, shape (n + 1, K)
    means : ndarray, shape (n + 1, K, D)
    covariances : ndarray, shape (n + 1, K, D, D)
    trace : ndarray, shape (n + 1,)
    changes : ndarray, shape (n,)
    """
    K, D = means.shape
    path_weights, path_means = np.empty((iterations + 1, K)), np.empty((iterations + 1, K, D))
    path_covariances = np.empty((iterations + 1, K, D, D))
    path_weights[0], path_means[0], path_covariances[0] = weights, means, covariances
    trace, changes = np.empty(iterations + 1), np.empty(iterations)
    factors = np.empty((K, D, D))
    done = 0
    sound = _sound(covariances, weights, means, factors)
    while sound:
        old, m, S = path_weights[done], path_means[done], path_covariances[done]
        counts, first, second, trace[done] = moments(x, w, old, m, factors)
        if done == iterations or (done > 0 and changes[done - 1] <= tol):
            break
        total, change, near = counts.sum(), 0.0, np.isfinite(trace[done])
        for k in range(K):
            path_weights[done + 1, k] = counts[k] / total
            change = max(change, abs(path_weights[done + 1, k] - old[k]))
            for d in range(D):
                shift = first[k, d] / counts[k]
                path_means[done + 1, k, d] = m[k, d] + shift
                change = max(change, abs(shift) / np.sqrt(S[k, d, d]))
                for e in range(D):
                    value = second[k, d, e] / counts[k] - shift * (first[k, e] / counts[k])
                    value += reg_covar if d == e else 0.0
                    path_covariances[done + 1, k, d, e] = value
                    units = np.sqrt(S[k, d, d]) * np.sqrt(S[k, e, e])  # no overflow
                    change = max(change, abs(value - S[k, d, e]) / units)
                moment = second[k, d, d] / counts[k]
                near = near and path_covariances[done + 1, k, d, d] > NEAR * moment
        sound = near and _sound(
            path_covariances[done + 1], path_weights[done + 1], path_means[done + 1], factors
        )
        if sound:
            changes[done] = change
            done += 1
    n = done + 1 if sound or done else 0
    return path_weights[:n], path_means[:n], path_covariances[:n], trace[:n], changes[:done]


_Numbers = types.CPointer(types.float64)


@_exact  # type: ignore[untyped-decorator]
def _solve(L: Floats, b: Floats) -> None:
    """Replace b, of shape (D, n), by the solution u of ``L u = b``."""
    for i in range(len(L)):
        for j in range(b.shape[1]):
            for k in range(i):
                b[i, j] -= L[i, k] * b[k, j]
            b[i, j] /= L[i, i]


@_exact  # type: ignore[untyped-decorator]
def _solve_transposed(L: Floats, b: Floats) -> None:
    """Replace b, of shape (D, n), by the solution u of ``L' u = b``."""
    for i in range(len(L) - 1, -1, -1):
        for j in range(b.shape[1]):
            for k in range(i + 1, len(L)):
                b[i, j] -= L[k, i] * b[k, j]
            b[i, j] /= L[i, i]


@_exact  # type: ignore[untyped-decorator]
def _by_weights(
    x: Floats, weights: Floats, means: Floats, factors: Floats, counts: Floats, out: Floats
) -> None:
    """Set `out` to the derivatives of the log-likelihood by the weights.

    They are ``counts / weights``, and where a weight is too small for that
    ``sum_n N(x_n | k) / p(x_n)``.
    """
    (N, D), K = x.shape, len(means)
    least = np.inf
    for k in range(K):
        out[k] = counts[k] / weights[k]
        least = min(least, weights[k])
    if least >= TINY:
        return
    ratios, log_density, u = np.zeros(K), np.empty(K), np.empty((D, 1))
    for n in range(N):
        evidence = -np.inf
        for k in range(K):
            u[:, 0] = x[n] - means[k]
            _solve(factors[k], u)
            log_density[k] = -0.5 * D * np.log(2 * np.pi)
            for d in range(D):
                log_density[k] -= 0.5 * u[d, 0] ** 2 + np.log(factors[k, d, d])
            joint = np.log(weights[k]) + log_density[k]
            if joint > -np.inf:
                high, low = max(evidence, joint), min(evidence, joint)
                evidence = high + np.log1p(np.exp(low - high))
        for k in range(K):
            ratios[k] += np.exp(log_density[k] - evidence)
    for k in range(K):
        if weights[k] < TINY:
            out[k] = ratios[k]


@numba.cfunc(  # type: ignore[untyped-decorator]
    types.void(*(_Numbers,) * 5, types.int64, types.int64), cache=True, error_model="numpy"
)
def score_1d(weights: Any, means: Any, variances: Any, x: Any, out: Any, K: int, N: int) -> None:
    """Compute the log-likelihood and `gaussian_mixture_1d.gradient`, for callers in C's manner.

    Parameters
    ----------
    weights, means, variances : address of K numbers
    x : address of N numbers
    out : address of 1 + 3 K numbers
        Set to the log-likelihood, and the derivatives by weights, means and variances.
    K, N : int
    """
    w, m, v, data, result = (
        numba.carray(weights, K),
        numba.carray(means, K),
        numba.carray(variances, K),
        numba.carray(x, N),
        numba.carray(out, 1 + 3 * K),
    )
    counts, first, second, result[0] = moments_1d(data, np.empty(0), w, m, v)
    sds = np.sqrt(v).reshape(K, 1, 1)
    _by_weights(data.reshape(N, 1), w, m.reshape(K, 1), sds, counts, result[1 : 1 + K])
    for k in range(K):
        result[1 + K + k] = first[k] / v[k]
        result[1 + 2 * K + k] = 0.5 * (second[k] / v[k] - counts[k]) / v[k]


@numba.cfunc(  # type: ignore[untyped-decorator]
    types.void(*(_Numbers,) * 5, *(types.int64,) * 3), cache=True, error_model="numpy"
)
def score(
    weights: Any, means: Any, cholesky: Any, x: Any, out: Any, K: int, D: int, N: int
) -> None:
    """Compute the log-likelihood and its score, for callers in C's manner.

    With W the second moment of ``L^-1 (x - mean)``, the score of a Cholesky factor L is the lower
    half of ``L^-T (W - N_k)``. That is ``2 G L`` for ``G = (P S P - N_k P) / 2``, the derivative by
    the covariance in `gaussian_mixture_2d.score`, and the precision ``P = L^-T L^-1``.

    Parameters
    ----------
    weights : address of K numbers
    means : address of K D numbers
    cholesky : address of K D D numbers
        The lower Cholesky factors of the covariances.
    x : address of N D numbers
    out : address of 1 + K + K D + K D D numbers
        Set to the log-likelihood, and the derivatives by weights, means and factors.
    K, D, N : int
    """
    w, factors = numba.carray(weights, K), numba.carray(cholesky, (K, D, D))
    data, centres = numba.carray(x, (N, D)), numba.carray(means, (K, D))
    result = numba.carray(out, 1 + K + K * D + K * D * D)
    counts, first, second, result[0] = moments(data, np.empty(0), w, centres, factors)
    _by_weights(data, w, centres, factors, counts, result[1 : 1 + K])
    for k in range(K):
        L, u, W = factors[k], first[k].reshape(D, 1), second[k]
        _solve(L, u)
        _solve_transposed(L, u)
        _solve(L, W)
        _solve(L, W.T)
        for i in range(D):
            W[i, i] -= counts[k]
        _solve_transposed(L, W)
        for i in range(D):
            W[i, i + 1 :] = 0.0
    result[1 + K : 1 + K + K * D] = first.ravel()
    result[1 + K + K * D :] = second.ravel()


@numba.cfunc(  # type: ignore[untyped-decorator]
    types.void(*(_Numbers,) * 5, *(types.int64,) * 3), cache=True, error_model="numpy"
)
def score_by_precisions(
    weights: Any, means: Any, precisions_cholesky: Any, x: Any, out: Any, K: int, D: int, N: int
) -> None:
    """Compute what `score` does, of factors U of the precisions ``U U'``.

    With S the second moment of ``x - mean``, the score of U is the upper half of
    ``N_k U^-T - S U``, and that of a mean ``U U'`` times the first moment.

    Parameters
    ----------
    precisions_cholesky : address of K D D numbers
        Upper triangular.
    weights, means, x, out, K, D, N
        As for `score`.
    """
    w, factors = numba.carray(weights, K), numba.carray(precisions_cholesky, (K, D, D))
    result = numba.carray(out, 1 + K + K * D + K * D * D)
    cholesky = np.zeros((K, D, D))
    for k in range(K):
        for i in range(D):
            cholesky[k, i, i] = 1.0
        _solve(factors[k].T, cholesky[k])
    data, centres = numba.carray(x, (N, D)), numba.carray(means, (K, D))
    counts, first, second, result[0] = moments(data, np.empty(0), w, centres, cholesky)
    _by_weights(data, w, centres, cholesky, counts, result[1 : 1 + K])
    for k in range(K):
        U, mean, factor = factors[k], 1 + K + k * D, 1 + K + K * D + k * D * D
        result[mean : mean + D] = 0.0
        for j in range(D):
            whitened = 0.0
            for i in range(j + 1):
                whitened += U[i, j] * first[k, i]
            for i in range(j + 1):
                result[mean + i] += U[i, j] * whitened
        for i in range(D):
            for j in range(D):
                place = factor + i * D + j
                result[place] = counts[k] / U[i, i] if i == j else 0.0
                for l in range(j + 1 if i <= j else 0):  # noqa: E741 - a row of S
                    result[place] -= second[k, i, l] * U[l, j]
