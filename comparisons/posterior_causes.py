"""What the differences of two posteriors look like, as far as it shows in their draws.

Mistakes leave traces: a likelihood that is counted b times divides every sd by the root of b; a
prior that is counted once more moves the means by their covariances with its log density, to first
order; a chain that is stuck, or a warm-up that was kept, is gone when it is left out. Different
mistakes can leave one trace (the likelihood to the power 1/2, half of the data without their
scatter): what is said is what the differences are like.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec.structs import replace as changed
from scipy.optimize import brentq

from lockstep.comparisons import predictive
from lockstep.comparisons.outcomes import Habits, Likeness, PosteriorAgreement
from lockstep.comparisons.posterior_agreement import BEGINNINGS, Quantities, compare
from lockstep.models import Data, Model, bayesian
from lockstep.models.records import Floats, Parameters

COMMON = 0.25
"""Logarithms of sd ratios may scatter by this share of their median and still be one factor."""

LEAST = 0.05
"""Of the logarithm of a factor that is named."""

MOVED = 0.4
"""Of the sd: a mean that is farther off has moved; and of the logarithm of an sd."""

APART = 2.5
"""So many times as far off as the next, and it is the one."""

MOST_POWER = 100.0
"""Of the likelihood, that is tried."""

ALIGNED = 0.8
"""The cosine above which means have moved in a direction."""

PRIOR_DRAWS = 500
"""Draws by which the direction of the prior is known."""

CUT = 0.9
"""The middle 98% of a parameter's draws over the middle 80%: less than this share of the
reference's, and the tails are cut. Of a normal that ends at two sd it is 0.87."""


def in_words(habits: Habits) -> str:
    """Return the habits of an approximation in words."""
    given = (habits.narrowest, habits.widest, habits.farthest, habits.log_likelihood)
    narrow, wide, far, nats = (math.nan if value is None else value for value in given)
    return (
        f"an approximation: sds {narrow:.2f} to {wide:.2f} of {habits.against}'s, means within "
        f"{far:.2f} sd, the mean log-likelihood {abs(nats):.2g} nats "
        f"{'higher' if nats > 0 else 'lower'}"
    )


def habits(own: Quantities, reference: Quantities, name: str) -> Habits:
    """Return how an approximation stands to the reference of that name."""
    ratios, shifts = _ratios(own, reference), _shifts(own, reference)
    score = "log-likelihood"
    return Habits(
        against=name,
        narrowest=min(ratios.tolist(), default=None),
        widest=max(ratios.tolist(), default=None),
        farthest=max(np.abs(shifts).tolist(), default=None),
        log_likelihood=own.moments[score][0] - reference.moments[score][0],
    )


def explained(
    found: PosteriorAgreement, own: Quantities, reference: Quantities, log_prior: Floats | None
) -> PosteriorAgreement:
    """Return the finding with the causes that show.

    Parameters
    ----------
    found : PosteriorAgreement
    own, reference : Quantities
    log_prior : ndarray or None
        Of draws of the reference, as `log_priors` returns them.
    """
    if found.likeness is not Likeness.DIFFERS:
        return found
    causes = (*found.causes, *_constant(own, reference))
    causes = (
        causes
        or _parts_of_chains(found, own, reference)
        or _one_parameter(found, own, reference)
        or _joint(found, own)
        or _tails(own, reference)
        or _tempered(own, reference)
        or _towards(own, reference, log_prior)
        or _factor(own, reference)
    )
    return changed(found, causes=list(causes))


def log_priors(model: Model, draws: Parameters, data: Data) -> Floats:
    """Return the log prior density of some draws, evenly taken over all chains."""
    some = predictive.thinned(draws, PRIOR_DRAWS)
    return np.array(
        [bayesian.log_density(model.NAME, some.draw(i), data) for i in range(some.lead[0])]
    )


def _vary(own: Quantities, reference: Quantities) -> list[str]:
    """Return the parameters that vary in both."""
    return [n for n in own.parameters if own.moments[n][1] > 0 and reference.moments[n][1] > 0]


def _ratios(own: Quantities, reference: Quantities) -> Floats:
    names = _vary(own, reference)
    return np.array([own.moments[n][1] / reference.moments[n][1] for n in names])


def _shifts(own: Quantities, reference: Quantities) -> Floats:
    """Return by how many of the reference's sd each mean has moved."""
    names = _vary(own, reference)
    mine, theirs = own.moments, reference.moments
    return np.array([(mine[n][0] - theirs[n][0]) / theirs[n][1] for n in names])


def _constant(own: Quantities, reference: Quantities) -> tuple[str, ...]:
    return tuple(
        f"{name} is {own.moments[name][0]:.3g} in every draw"
        for name in own.parameters
        if np.ptp(own.series[name]) == 0 < np.ptp(reference.series[name])
    )


def _parts_of_chains(
    found: PosteriorAgreement, own: Quantities, reference: Quantities
) -> tuple[str, ...]:
    """Leave out the beginnings, or the chain that is farthest."""

    def mended(rest: Quantities) -> bool:
        return compare(rest, reference).likeness is not Likeness.DIFFERS

    beyond = [c.quantity for c in found.parts if abs(c.z) > found.parts_limit]
    if any(" in the first " in name for name in beyond) and mended(own.later()):
        share = f"{100 * max(BEGINNINGS):g}%"
        return (f"without the first {share} of its draws it agrees: a warm-up that was kept?",)
    worst: dict[int, float] = {}
    for c in found.parts:
        if " in chain " in c.quantity:
            worst.setdefault(int(c.quantity.rsplit(" ", 1)[-1]), abs(c.z))
    if len(worst) > 1:
        first, second, *_ = sorted(worst, key=lambda chain: -worst[chain])
        apart = worst[first] > max(found.parts_limit, APART * worst[second])
        if apart and mended(own.without(first)):
            return (f"chain {first} only: the others agree",)
    return ()


def _one_parameter(
    found: PosteriorAgreement, own: Quantities, reference: Quantities
) -> tuple[str, ...]:
    """Say whether one parameter is off, or all are as they covary with one.

    A term c theta_j more in the log density moves the means by c Cov(theta, theta_j), to first
    order: given all the others, one parameter has moved.
    """
    names = {c.quantity for c in found.beyond} & set(own.parameters)
    if len(own.parameters) < 3 or not names:
        return ()
    if len(names) == 1:
        (name,) = names
        (mean, sd), (other, unit) = own.moments[name], reference.moments[name]
        moved, ratio = (mean - other) / unit, sd / unit
        return (f"{name} only, its mean by {moved:+.2f} sd, its sd {ratio:.2f} times",)
    vary = _vary(own, reference)
    correlation = np.corrcoef([reference.series[name].ravel() for name in vary])
    given = np.linalg.lstsq(correlation, _shifts(own, reference))[0]
    last, first = np.argsort(np.abs(given))[-2:]
    if abs(given[first]) < APART * abs(given[last]) or _one_sided(own, reference):
        return ()
    return (
        f"{vary[first]} only, given the others ({given[first]:+.2f} sd): as by one entry of the "
        "gradient",
    )


def _one_sided(own: Quantities, reference: Quantities) -> bool:
    """Return whether nearly all sds are larger, or smaller, by more than a little."""
    logs = np.log(_ratios(own, reference))
    low, high = np.quantile(logs, [0.1, 0.9])
    return bool(low > LEAST or high < -LEAST)


def _joint(found: PosteriorAgreement, own: Quantities) -> tuple[str, ...]:
    if found.beyond and not any(c.quantity in own.parameters for c in found.beyond):
        return ("each parameter by itself agrees: how they vary together does not",)
    return ()


def _tempered(own: Quantities, reference: Quantities) -> tuple[str, ...]:
    """Say to which power of the likelihood the one posterior is the other.

    Draws of the wider one with weights L^d are draws of the narrower one; d is where their mean
    log-likelihoods are equal.
    """
    score = "log-likelihood"
    wide, narrow = own, reference
    if own.moments[score][0] > reference.moments[score][0]:
        wide, narrow = reference, own
    at = wide.series[score].ravel()

    def weights(d: float) -> Floats:
        w = np.exp(d * (at - at.max()))
        return np.asarray(w / w.sum())

    def short(d: float) -> float:
        return float(weights(d) @ at) - narrow.moments[score][0]

    if not short(0) < 0 < short(MOST_POWER):
        return ()
    d = float(brentq(short, 0, MOST_POWER, xtol=1e-6))
    power = 1 - d if wide is own else 1 + d
    w, off, spread = weights(d), [], []
    for name in _vary(own, reference):
        x, (mean, sd) = wide.series[name].ravel(), narrow.moments[name]
        off.append(abs(w @ x - mean) / sd)
        spread.append(abs(math.log(math.sqrt(w @ (x - w @ x) ** 2) / sd)))
    if power < LEAST or abs(math.log(power)) < LEAST or max(off) > MOVED or max(spread) > MOVED:
        return ()
    ratios = _ratios(own, reference)
    return (
        f"as with the likelihood to the power {power:.2g}: sds {ratios.min():.2f} to "
        f"{ratios.max():.2f} of the reference's",
    )


def _factor(own: Quantities, reference: Quantities) -> tuple[str, ...]:
    """Say whether all sds are larger, or smaller, and whether by one factor."""
    if not _one_sided(own, reference):
        return ()
    ratios = _ratios(own, reference)
    logs = np.log(ratios)
    middle = float(np.median(logs))
    scatter = np.quantile(np.abs(logs - middle), 0.75)
    one = "by one factor" if scatter < COMMON * abs(middle) else "by factors"
    said = f"every sd {one} of {ratios.min():.2f} to {ratios.max():.2f}"
    if np.median(np.abs(_shifts(own, reference))) < MOVED:
        return (said,)
    fewer = "a part of the data" if middle > 0 else "more data"
    return (f"{said}, and the means have moved: as with other data, such as {fewer}",)


def _tails(own: Quantities, reference: Quantities) -> tuple[str, ...]:
    """Say whether the tails of most parameters are shorter than their middles allow."""

    def weight(x: Floats) -> float:
        far, low, high, near = np.quantile(x, [0.99, 0.1, 0.9, 0.01])
        return float((far - near) / (high - low)) if high > low else math.nan

    shares = [
        weight(own.series[name]) / weight(reference.series[name]) for name in _vary(own, reference)
    ]
    share = float(np.median(shares)) if shares else 1.0
    if not share < CUT or np.median(np.abs(_shifts(own, reference))) > MOVED:
        return ()
    return (f"the tails are cut: 98% of the draws over 80% are {share:.2f} of the reference's",)


def _towards(own: Quantities, reference: Quantities, log_prior: Floats | None) -> tuple[str, ...]:
    """Say whether the means have moved as by more, or less, of the prior.

    The derivative of E[theta] by the power of the prior is the covariance of theta with its log.
    """
    if log_prior is None or np.ptp(log_prior) == 0:
        return ()
    names, shifts = _vary(own, reference), _shifts(own, reference)
    total = reference.series[names[0]].size
    some = np.unique(np.linspace(0, total - 1, len(log_prior)).astype(int))
    centred = log_prior - log_prior.mean()
    slopes = np.array(
        [
            (reference.series[n].ravel()[some] * centred).mean() / reference.moments[n][1]
            for n in names
        ]
    )
    cosine = float(shifts @ slopes / (np.linalg.norm(shifts) * np.linalg.norm(slopes)))
    if abs(cosine) < ALIGNED:
        return ()
    power = 1 + float(shifts @ slopes / (slopes @ slopes))
    way = "towards" if cosine > 0 else "away from"
    return (f"the means have moved {way} the prior, as if it counted {power:.1f} times",)
