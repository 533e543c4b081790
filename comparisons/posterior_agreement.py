"""Are two posteriors one? Draws are held against the reference's draws, quantity by quantity.

A quantity is a function of the parameters: every free parameter after relabelling, and what no
label enters: the log-likelihood and the log density of a few observations. Of each, five
statistics are compared: mean, standard deviation, and the 5%, 50% and 95% quantiles.

If both sample one distribution, the difference of a statistic has mean zero and the variance
v (1 / n_a + 1 / n_b), with v the variance of the statistic's influence function (x - mean of a
mean, ((x - mean) / sd)^2 / 2 of log sd, pooled over both posteriors) and n the effective sample
size of just that function in each [1]_. A quantile q is compared by the shares of draws below the
pooled quantile: two binomial shares of n_a and n_b effective draws, by the signed root of their
deviance [2]_, which holds far into the tails and needs no density, so that heavy tails do no harm.
The estimated variance has itself an error: `ESS_ERROR` / n from the effective sample size, and
(kurtosis - 1) / n from v. With their sum r^2 the ratio is referred to Student's t with 2 / r^2
degrees of freedom (Welch and Satterthwaite), and z is the normal quantile of the same probability.
Heavy tails and few effective draws thereby widen the limit by themselves.

A row of m statistics differs if a |z| is above the normal quantile of `FALSE_ALARM` / (2 m):
Bonferroni's bound, which no dependence among them breaks. Half of `FALSE_ALARM` is for this table,
half for each chain by itself and for the beginnings of all, where one chain that is stuck, or a
warm-up that was kept, is seen and not averaged away.

References
----------
.. [1] Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), Bayesian Analysis 16, 667-718.
.. [2] Barndorff-Nielsen and Cox (1994), Inference and asymptotics, section 4: the signed root.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri, stdtr, xlogy

from lockstep.comparisons.outcomes import Comparison, Likeness, PosteriorAgreement
from lockstep.models import Data, Model
from lockstep.models.records import Floats, Integers, Parameters, entries

FALSE_ALARM = 1e-4
"""Probability at most that a posterior that is the reference's is said to differ."""

QUANTILES = (0.05, 0.5, 0.95)

ESS_ERROR = 12.0
"""The squared relative error of an effective sample size n is taken to be this over n: large enough
that z of right posteriors is no wider than a normal, by the simulations of the tests."""

FARTHEST = 37.0
"""The largest |z|: that of the smallest probability in double precision."""

DENSITIES, STEPS = 5, 200
"""Observations whose density is a quantity; of sequences, within so many first steps."""

BEGINNINGS = (0.01, 0.1)
"""Shares of each chain's draws that count as its beginning."""

ROUNDING = 1e-8
"""Draws that differ by less, in the reference's sd, are the same trajectory: a different density
or gradient is amplified by some tens of leapfrog steps far beyond."""

STUCK = 0.3
"""A chain that does not move for a larger share of its draws is stuck."""

UNSEEN = 1.0
"""If a mean that is off by so many sd would not be seen, nothing can be said."""


KEPT, PARTS_KEPT = 200, 20
"""Rows of the tables that are kept: the worst."""


def sentence(found: PosteriorAgreement) -> str:
    """Return the finding in words."""
    name, what = found.against, "nothing varies"
    for worst in found.table[:1]:
        what = f"{worst.statistic} of {worst.quantity}, z {worst.z:.1f} (limit {found.limit:.1f})"
    match found.likeness:
        case Likeness.EQUAL:
            return (
                f"its draws are {name}'s to {found.largest_difference:.0e} sd: one sampler on one "
                "trajectory, so density and gradient are equal, and there is no second sample"
            )
        case Likeness.UNDECIDED:
            off = "" if found.seen is None else f": a mean {found.seen:.1f} sd off would pass"
            return f"too few effective draws to hold it against {name}{off}"
        case Likeness.AGREES:
            return f"{found.statistics} statistics as {name}'s; the farthest is the {what}"
    if not found.beyond and found.parts and abs(found.parts[0].z) > found.parts_limit:
        part = found.parts[0]
        limit = f"(limit {found.parts_limit:.1f})"
        what = f"{part.statistic} of {part.quantity}, z {part.z:.1f} {limit}"
    return f"not {name}'s posterior: " + "; ".join([what, *found.causes])


@dataclass(frozen=True)
class Quantities:
    """The quantities of one posterior.

    Attributes
    ----------
    series : mapping of str to ndarray, shape (chain, draw)
    parameters : tuple of str
        Those of `series` that are parameters.
    """

    series: Mapping[str, Floats]
    parameters: tuple[str, ...]

    @cached_property
    def moments(self) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation of each."""
        return {name: (float(x.mean()), float(x.std())) for name, x in self.series.items()}

    def without(self, chain: int) -> Quantities:
        """Return those of the other chains."""
        kept = {name: np.delete(x, chain, axis=0) for name, x in self.series.items()}
        return Quantities(kept, self.parameters)

    def later(self) -> Quantities:
        """Return those without the beginnings."""
        kept = {
            name: x[:, math.ceil(max(BEGINNINGS) * x.shape[1]) :] for name, x in self.series.items()
        }
        return Quantities(kept, self.parameters)


def quantities(model: Model, draws: Parameters, data: Data, log_likelihood: Floats) -> Quantities:
    """Return the quantities by which a posterior is compared.

    Parameters
    ----------
    model : Model
    draws : Parameters
        In one order of labels, with axes (chain, draw).
    data : Data
    log_likelihood : ndarray, shape (chain, draw)
        Of the draws.
    """
    arrays, series = draws.arrays(), dict[str, Floats]()
    for name, field, index in entries(draws.draw(0, 0)):
        values = arrays[field]
        if not draws.SPACES[field].redundant(index, values.shape[2:]):
            series[name] = np.asarray(np.moveaxis(values, (0, 1), (-2, -1))[index])
    parameters = tuple(series)
    series["log-likelihood"] = log_likelihood
    flat = type(draws)(**{name: a.reshape(-1, *a.shape[2:]) for name, a in arrays.items()})
    chosen, units, labels = _observed(data)
    if not units:
        return Quantities(series, parameters)
    densities = model.log_densities(flat, chosen)[:, units]  # (S, units)
    for label, column in zip(labels, densities.T, strict=True):
        series[f"log density of {label}"] = column.reshape(log_likelihood.shape)
    return Quantities(series, parameters)


def _observed(data: Data) -> tuple[Data, list[int], list[str]]:
    """Return a few data, which units of them are taken, and what these are called.

    Of a table, rows from the least to the greatest of the first column; of sequences, steps. None
    has a value missing.
    """
    if isinstance(data, tuple):
        kept = data[0][:STEPS]
        units = _evenly(np.flatnonzero(kept >= 0))
        return (kept,), units, [f"step {t}" for t in units]
    columns = data.reshape(len(data), -1)
    known = np.flatnonzero(np.isfinite(columns).all(axis=1))
    rows = _evenly(known[np.argsort(columns[known, 0], kind="stable")])
    return data[rows], list(range(len(rows))), [f"row {i}" for i in rows]


def _evenly(indices: Integers) -> list[int]:
    """Return a few of these, from the first to the last."""
    some = np.unique(np.linspace(0, len(indices) - 1, min(DENSITIES, len(indices))).astype(int))
    return [int(i) for i in indices[some]]


def compare(own: Quantities, reference: Quantities, name: str = "reference") -> PosteriorAgreement:
    """Hold a posterior against the reference.

    Parameters
    ----------
    own, reference : Quantities
        Of draws from chains, both in the reference's order of labels.
    name : str, optional
        The reference's.

    Returns
    -------
    PosteriorAgreement
        Its `causes` are those that show in the draws alone.
    """
    table = _table(own, reference)
    parts = _parts(own, reference)
    limit, parts_limit = _limit(len(table)), _limit(len(parts))
    apart = _pairwise(own, reference)
    faults = _faults(own)
    seen = limit * _largest_error(table, own, reference)
    worst = any(abs(c.z) > limit for c in table) or any(abs(c.z) > parts_limit for c in parts)
    if apart is not None and apart < ROUNDING:
        likeness = Likeness.EQUAL
    elif worst or faults:
        likeness = Likeness.DIFFERS
    else:
        likeness = Likeness.UNDECIDED if seen > UNSEEN else Likeness.AGREES
    return PosteriorAgreement(
        against=name,
        likeness=likeness,
        statistics=len(table),
        table=table[:KEPT],
        limit=limit,
        parts=parts[:PARTS_KEPT],
        parts_limit=parts_limit,
        seen=seen,
        largest_difference=apart,
        causes=faults,
    )


def _limit(number: int) -> float:
    """Return the |z| that is as improbable as half of FALSE_ALARM allows to each of so many."""
    return -float(ndtri(FALSE_ALARM / 4 / max(number, 1)))


def _largest_error(table: Sequence[Comparison], own: Quantities, reference: Quantities) -> float:
    """Return the largest error of a mean, in the sd of its quantity."""

    def unit(name: str) -> float:
        return reference.moments[name][1] or own.moments[name][1]

    errors = [c.error / unit(c.quantity) for c in table if c.statistic == "mean" and c.error]
    return max(errors, default=math.inf)


def _pairwise(own: Quantities, reference: Quantities) -> float | None:
    """Return the largest difference of paired draws, in sd; None if they do not pair."""
    apart = 0.0
    for name in own.parameters:
        x, y = own.series[name], reference.series[name]
        if x.shape != y.shape:
            return None
        difference = float(np.abs(x - y).max())
        apart = max(apart, difference / (reference.moments[name][1] or 1.0))
    return apart


def effective(series: Floats) -> float:
    """Return the effective sample size of the mean of a series, shape (chain, draw)."""
    import arviz_stats as azs

    found = float(azs.ess(series, method="mean"))
    return max(found, 1.0) if math.isfinite(found) else 1.0


def _z(ratio: float, uncertainty: float) -> float:
    """Return the normal quantile of a ratio that is Student's t.

    Parameters
    ----------
    ratio : float
    uncertainty : float
        Squared relative error of the variance in its denominator.
    """
    z = -float(ndtri(stdtr(2 / uncertainty, -abs(ratio))))
    return math.copysign(min(z, FARTHEST), ratio)


def _uncertainty(n: float, m: float) -> float:
    """Return the squared relative error of 1 / n + 1 / m, estimated effective sample sizes."""
    return ESS_ERROR * (m**2 / n + n**2 / m) / (n + m) ** 2


def _compared(
    quantity: str, statistic: str, value: float, reference: float, error: float, z: float
) -> Comparison:
    return Comparison(
        quantity=quantity,
        statistic=statistic,
        value=float(value),
        reference=float(reference),
        error=float(error),
        z=z,
    )


def _table(own: Quantities, reference: Quantities) -> list[Comparison]:
    """Compare all statistics of all quantities that vary, the worst first."""
    found: list[Comparison] = []
    for name, x in own.series.items():
        y = reference.series[name]
        if np.ptp(x) > 0 or np.ptp(y) > 0:
            found += _statistics(name, x, y)
        elif x.flat[0] != y.flat[0]:
            found.append(
                _compared(name, "value", float(x.flat[0]), float(y.flat[0]), 0.0, FARTHEST)
            )
    return sorted(found, key=lambda c: -abs(c.z))


def _statistics(name: str, x: Floats, y: Floats) -> list[Comparison]:
    """Compare the statistics of one quantity."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        shares = float(np.isfinite(x).mean()), float(np.isfinite(y).mean())
        return [_compared(name, "share that is finite", *shares, 0.0, FARTHEST)]
    centre = float(y.mean())
    a, b = x - centre, y - centre
    scale = max(float(a.std()), float(b.std()))
    a, b = a / scale, b / scale
    rows = {
        "mean": (*_mean(a, b), centre),
        "sd": (*_sd(a, b), 0.0),
        **{f"{100 * p:g}% quantile": (*_quantile(a, b, p), centre) for p in QUANTILES},
    }
    return [
        _compared(name, what, value * scale + zero, other * scale + zero, error * scale, z)
        for what, (value, other, error, z, zero) in rows.items()
    ]


def _pooled(a: Floats, b: Floats, n: float, m: float) -> tuple[float, float]:
    """Return variance and kurtosis of influence functions about zero, pooled by n and m."""
    second = (n * (a**2).mean() + m * (b**2).mean()) / (n + m)
    fourth = (n * (a**4).mean() + m * (b**4).mean()) / (n + m)
    return float(second), float(fourth / second**2)


type Statistic = tuple[float, float, float, float]
"""Its value, the reference's, the error of their difference, and z."""


def _mean(a: Floats, b: Floats) -> Statistic:
    value, other = float(a.mean()), float(b.mean())
    n, m = effective(a), effective(b)
    variance, kurtosis = _pooled(a - value, b - other, n, m)
    error = math.sqrt(variance * (1 / n + 1 / m))
    z = _z((value - other) / error, _uncertainty(n, m) + (kurtosis - 1) / (n + m))
    return value, other, error, z


def _sd(a: Floats, b: Floats) -> Statistic:
    value, other = float(a.std()), float(b.std())
    f, g = (_spread(x) for x in (a, b))
    n, m = effective(f), effective(g)
    variance, kurtosis = _pooled(f, g, n, m)
    error = math.sqrt(variance * (1 / n + 1 / m))  # of log sd
    if min(value, other) == 0:
        ratio = math.copysign(math.inf, value - other)
    else:
        ratio = math.log(value / other) / error
    z = _z(ratio, _uncertainty(n, m) + (kurtosis - 1) / (n + m))
    return value, other, error * other, z


def _spread(x: Floats) -> Floats:
    """Return the influence function of log sd."""
    square = (x - x.mean()) ** 2
    variance = square.mean()
    return np.asarray((square / variance - 1) / 2 if variance > 0 else np.zeros_like(x))


def _quantile(a: Floats, b: Floats, p: float) -> Statistic:
    value, other = float(np.quantile(a, p)), float(np.quantile(b, p))
    pooled = np.sort(np.concatenate([a.ravel(), b.ravel()]))
    at = np.quantile(pooled, p)
    f, g = a <= at, b <= at
    n, m = effective(f.astype(float)), effective(g.astype(float))
    below, beside = float(f.mean()), float(g.mean())
    share = (n * below + m * beside) / (n + m)
    deviance = n * _divergence(below, share) + m * _divergence(beside, share)
    root = math.copysign(math.sqrt(2 * max(deviance, 0.0)), beside - below)
    half = math.sqrt(p * (1 - p) * (1 / n + 1 / m))
    low, high = np.quantile(pooled, [max(p - half, 0), min(p + half, 1)])
    # How rarely an indicator changes is known by the rarer draws.
    z = _z(root, _uncertainty(n, m) / (4 * p * (1 - p)))
    return value, other, float(high - low) / 2, z


def _divergence(p: float, q: float) -> float:
    """Return the Kullback-Leibler divergence of a binary distribution from another."""
    if not 0 < q < 1:
        return 0.0
    return float(xlogy(p, p / q) + xlogy(1 - p, (1 - p) / (1 - q)))


def _parts(own: Quantities, reference: Quantities) -> list[Comparison]:
    """Compare each chain, and the beginnings of all, with the reference; the worst first.

    They are compared by their draws' ranks among the reference's, u from 0 to 1: the means of u
    and of its distance from 1/2 are known, and no tail is heavy. Effective draws are those of the
    chain itself; of the beginnings, as those of what comes later.
    """
    found: list[Comparison] = []
    for name, x in own.series.items():
        y = reference.series[name]
        if np.ptp(y) > 0:
            u, v = _ranks(x, y), _ranks(y, y)
            found += _apart(name, "mean rank", u, v)
            found += _apart(name, "mean distance of ranks from 1/2", abs(u - 0.5), abs(v - 0.5))
    return sorted(found, key=lambda c: -abs(c.z))


def _ranks(x: Floats, among: Floats) -> Floats:
    """Return the share of draws that each is above, ties counted half."""
    ordered = np.sort(among, axis=None)
    sides = (np.searchsorted(ordered, x, side=side) for side in ("left", "right"))
    return np.asarray(sum(sides) / (2 * ordered.size))


def _apart(name: str, statistic: str, u: Floats, v: Floats) -> list[Comparison]:
    """Compare means of parts of u with the mean of v, whose variance theirs is taken to be."""
    m, later = effective(v), u[:, math.ceil(max(BEGINNINGS) * u.shape[1]) :]
    per_draw = effective(later) / later.size
    parts = []
    for share in BEGINNINGS:
        values = u[:, : math.ceil(share * u.shape[1])]
        n = max(per_draw * values.size, 1.0)
        parts.append((f"the first {100 * share:g}%", values, n, per_draw * later.size))
    if len(u) > 1:
        for i, chain in enumerate(u):
            n = effective(chain[None]) if np.ptp(chain) > 0 else 1.0
            parts.append((f"chain {i}", chain, n, n))
    found = []
    for part, values, n, behind in parts:  # n is known as from so many effective draws
        error = math.sqrt(v.var() * (1 / n + 1 / m))
        uncertainty = ESS_ERROR * ((m / (n + m)) ** 2 / behind + (n / (n + m)) ** 2 / m)
        value, middle = float(values.mean()), float(v.mean())
        z = _z((value - middle) / error, uncertainty)
        found.append(_compared(f"{name} in {part}", statistic, value, middle, error, z))
    return found


def _faults(own: Quantities) -> list[str]:
    """Return what is wrong with the draws as draws, whatever they are of."""
    every = np.stack([own.series[name] for name in own.parameters], axis=-1)  # (chain, draw, P)
    every = every[..., np.ptp(every, axis=(0, 1)) > 0]
    chains, length = every.shape[:2]
    found = [
        f"chain {j} has the draws of another chain"
        for j in range(1, chains)
        if any(np.array_equal(every[i], every[j]) for i in range(j))
    ]
    runs = []
    for i, chain in enumerate(every):
        moved = np.flatnonzero((np.diff(chain, axis=0) != 0).any(axis=-1)) + 1
        lengths = np.diff(np.concatenate([[0], moved, [length]]))
        if lengths.max() > max(STUCK * length, 10):
            found.append(f"chain {i} stands still for {lengths.max()} of its {length} draws")
        runs.append(lengths)
    step = int(np.gcd.reduce(np.concatenate(runs)))
    if step > 1 and not found:
        found.append(f"every draw stands {step} times")
    return found
