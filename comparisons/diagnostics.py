"""Diagnostics of posteriors, each a named check with its value, its threshold and its result.

A posterior that fails one is shown with its numbers and not trusted with them.

References
----------
Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), Rank-normalization, folding, and
localization, Bayesian Analysis 16, 667-718: R-hat, bulk and tail ESS, and their thresholds.
Betancourt (2016), Diagnosing suboptimal cotangent disintegrations in Hamiltonian Monte Carlo,
arXiv:1604.00695: E-BFMI. Below 0.3 is what Stan warns of.
Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, JMLR 25(72):
k-hat, and its threshold by the number of draws.
Zhang and Stephens (2009), Technometrics 51, 316-325: the error of a tail's shape.
Yao, Vehtari, Simpson and Gelman (2018), Yes, but did it work?, ICML: k-hat for variational fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from lockstep.comparisons.alignment import Relabelled
from lockstep.comparisons.outcomes import Arrays, Diagnostic, Diagnostics, SpreadRatios
from lockstep.comparisons.posterior_agreement import ESS_ERROR
from lockstep.models.fits import PosteriorFit
from lockstep.models.records import Floats, Parameters, entries

R_HAT, ESS, DIVERGENCES, E_BFMI = 1.01, 400.0, 0, 0.3
QUICK_R_HAT, QUICK_ESS = 1.05, 100.0
"""The rank-normalised split R-hat must lie below the first, bulk and tail effective sample sizes
above the second. A quick run has fewer draws and wider gates."""

TAIL = (0.05, 0.95)
"""Quantiles whose effective sample size is the tail ESS."""

SWITCHED = 0.01
"""Draws that may lie in another order than most of their chain. A few are the tails of components
that are apart; more, and the components overlap so far that which is which is a matter of
definition, and the marginals after relabelling are an artefact of it."""

SD_RATIO = 0.8
"""A variational sd below this share of NUTS's is too small: a 95% interval of that width covers
88% of a normal posterior."""

K_HAT = 0.7

ERRORS = 2.0
"""Standard errors within which a figure is on its limit, and passes: another seed might have put
it on the other side."""


_RULES: dict[str, Callable[[float, float], bool]] = {
    "<": lambda value, threshold: value < threshold,
    ">": lambda value, threshold: value > threshold,
    "<=": lambda value, threshold: value <= threshold,
    ">=": lambda value, threshold: value >= threshold,
    "is": lambda value, threshold: value == threshold,
}


def check(
    name: str,
    value: float | bool,
    rule: Literal["<", ">", "<=", ">=", "is"],
    threshold: float | bool,
    note: str = "",
    error: float | None = None,
) -> Diagnostic:
    """Return the check: passed, failed, or within its Monte Carlo error of the threshold."""
    limit = error is not None and abs(value - threshold) <= ERRORS * error
    return Diagnostic(
        name=name,
        value=value,
        rule=rule,
        threshold=threshold,
        passed=limit or bool(_RULES[rule](value, threshold)),
        note=note,
        error=error,
        on_the_limit=limit,
    )


def failure(failed: Diagnostic) -> str:
    """Return in words what did not pass."""
    threshold, note = failed.threshold, failed.note
    value = math.nan if failed.value is None else failed.value
    where = f" ({note})" if note else ""
    match failed.name:
        case "R-hat" | "R-hat of the log-likelihood":
            return f"{failed.name} {value:.3f} is not below {threshold:g}{where}"
        case "bulk ESS" | "tail ESS":
            return f"{failed.name} {value:.0f} is not above {threshold:.0f}{where}"
        case "divergences":
            return f"{value:.0f} divergences"
        case "E-BFMI":
            return f"E-BFMI {value:.2f} is not above {threshold:g}"
        case "label switching":
            return (
                f"labels switch in {100 * value:.1f}% of the draws, more than "
                f"{100 * threshold:g}%: the components overlap too far to be told apart"
            )
        case "ELBO settled":
            return "the ELBO was still rising when the fit stopped"
        case "Pareto k-hat":
            return (
                f"Pareto k-hat {value:.2f} is not below {threshold:.2f}: the approximation is too "
                "far from the posterior for importance sampling to mend it"
            )
        case "sd against NUTS":
            return f"too narrow: an sd of {value:.2f} times NUTS's, less than {threshold:g}{where}"
    return f"{failed.name} {value:g} is not {failed.rule} {threshold:g}{where}"


def diagnose(
    draws: Parameters,
    fit: PosteriorFit,
    log_likelihood: Floats | None = None,
    relabelled: Relabelled | None = None,
    *,
    sampled: bool = False,
    quick: bool = False,
) -> Diagnostics:
    """Return the diagnostics of a posterior, with the checks on them.

    Parameters
    ----------
    draws : Parameters
        In one order of labels, with axes (chain, draw).
    fit : PosteriorFit
        With the draws as they were sampled, and what the sampler recorded.
    log_likelihood : ndarray, shape (chain, draw), optional
        Of the draws: a quantity that no label enters.
    relabelled : Relabelled, optional
        How the draws came into their order.
    sampled : bool, optional
        Whether the draws are chains even if nothing is recorded that only chains have.
    quick : bool, optional
        Whether the gates are the wider ones.
    """
    found: dict[str, Any] = {}
    checks: list[Diagnostic] = []
    found["chains"], found["draws"] = next(iter(draws.arrays().values())).shape[:2]
    if sampled or "diverging" in fit.sample_stats:
        _sampled(found, checks, draws, fit, log_likelihood, quick=quick)
    else:
        _approximated(found, checks, fit)
    if relabelled is not None and relabelled.order.shape[-1] > 1:
        moved = (relabelled.order != np.arange(relabelled.order.shape[-1])).any(axis=-1)
        found["relabelled_draws"] = int(moved.sum())
        found["chains_differ_in_labels"] = relabelled.apart
        note = ""
        if relabelled.apart:
            note = "chains have their labels in different orders"
            raw = _worst(_by_parameter(fit.draws, _r_hat), max)[0]
            found["r_hat_as_sampled"] = raw
            if found.get("r_hat", math.inf) < (QUICK_R_HAT if quick else R_HAT) <= raw:
                note = (
                    f"chains disagree only by labels: R-hat {raw:.2f} as sampled, "
                    f"{found['r_hat']:.3f} relabelled"
                )
        checks.append(check("label switching", relabelled.within, "<=", SWITCHED, note))
    return Diagnostics(checks=checks, **found)


def _sampled(
    found: dict[str, Any],
    checks: list[Diagnostic],
    draws: Parameters,
    fit: PosteriorFit,
    log_likelihood: Floats | None,
    *,
    quick: bool,
) -> None:
    """Add what chains are judged by."""
    import arviz_stats as azs

    r_hat, ess = (QUICK_R_HAT, QUICK_ESS) if quick else (R_HAT, ESS)

    def chance(value: float) -> float:
        """Return the error of what is above 1, a chi-square of the halves of the chains."""
        return max(min(value, r_hat) - 1, 0) * math.sqrt(2 / (2 * found["chains"] - 1))

    value, where = _worst(_by_parameter(draws, _r_hat), max)
    found["r_hat"] = value
    checks.append(check("R-hat", value, "<", r_hat, where, chance(value)))
    if log_likelihood is not None and np.ptp(log_likelihood) > 0:
        value = _r_hat(log_likelihood)
        found["r_hat_log_likelihood"] = value
        note = "no label enters it"
        checks.append(check("R-hat of the log-likelihood", value, "<", r_hat, note, chance(value)))
    error = math.sqrt(ESS_ERROR * ess)
    value, where = _worst(_by_parameter(draws, lambda a: float(azs.ess(a, method="bulk"))), min)
    found["ess_bulk"] = value
    checks.append(check("bulk ESS", value, ">", ess, where, error))
    value, where = _worst(
        _by_parameter(draws, lambda a: float(azs.ess(a, method="tail", prob=TAIL))), min
    )
    found["ess_tail"] = value
    checks.append(check("tail ESS", value, ">", ess, where, error))
    if "diverging" in fit.sample_stats:
        found["divergences"] = int(np.sum(fit.sample_stats["diverging"]))
        checks.append(check("divergences", found["divergences"], "<=", DIVERGENCES))
    if "energy" in fit.sample_stats:
        energy = fit.sample_stats["energy"]
        steps = (np.diff(energy, axis=1) ** 2).mean(axis=1)
        found["e_bfmi"] = float((steps / energy.var(axis=1)).min())
        checks.append(check("E-BFMI", found["e_bfmi"], ">", E_BFMI))


def _approximated(found: dict[str, Any], checks: list[Diagnostic], fit: PosteriorFit) -> None:
    """Add what a variational fit is judged by; its draws are independent."""
    settled = fit.details.get("settled")
    if isinstance(settled, bool):
        checks.append(check("ELBO settled", settled, "is", True))
    if "log_weight" in fit.sample_stats:
        log_weight = fit.sample_stats["log_weight"].ravel()
        found["k_hat"] = k_hat(log_weight)
        found["k_hat_threshold"] = min(1 - 1 / math.log10(log_weight.size), K_HAT)
        limit = found["k_hat_threshold"]
        tail = min(0.2 * log_weight.size, 3 * math.sqrt(log_weight.size))  # weights it is fitted to
        error = (1 + limit) / math.sqrt(tail)
        checks.append(check("Pareto k-hat", found["k_hat"], "<", limit, "", error))


def k_hat(log_weight: Floats) -> float:
    """Return the shape of the generalised Pareto tail of importance weights.

    Parameters
    ----------
    log_weight : ndarray, shape (S,)
        log p - log q at draws from q, up to a constant.

    Returns
    -------
    float
        1 / k is how many moments the weights have; infinite if a weight is no number.
    """
    from arviz_stats.base import array_stats

    if not np.isfinite(log_weight).all():
        return math.inf
    return float(array_stats.psislw(-log_weight)[1])  # it takes ratios the other way round


def spread_ratios(sd: Arrays, of: Arrays) -> tuple[SpreadRatios, Diagnostic] | None:
    """Return each parameter's standard deviation as a share of another posterior's, and the check.

    None if no parameter of the other one varies.
    """
    ratios = {
        f"{field}[{','.join(map(str, index))}]": float(sd[field][index] / theirs)
        for field, array in of.items()
        for index, theirs in np.ndenumerate(array)
        if theirs > 0
    }
    if not ratios:
        return None
    values = list(ratios.values())
    found = SpreadRatios(
        min=min(values), median=float(np.median(values)), max=max(values), by_parameter=ratios
    )
    narrowest = min(ratios, key=lambda name: ratios[name])
    return found, check("sd against NUTS", ratios[narrowest], ">=", SD_RATIO, narrowest)


def _r_hat(values: Floats) -> float:
    import arviz_stats as azs

    if len(values) == 1:  # the halves of one chain are two
        values = values[0, : values.size // 2 * 2].reshape(2, -1)
    return float(azs.rhat(values))


def _by_parameter(draws: Parameters, figure: Callable[[Floats], float]) -> dict[str, float]:
    """Return a figure of each parameter that varies."""
    found = {}
    for name, field, index in entries(draws.draw(0, 0)):
        values: Floats = np.moveaxis(draws.arrays()[field], (0, 1), (-2, -1))[index]
        if np.ptp(values) > 0:  # not a constant, such as the weight of a single component
            found[name] = figure(values)
    return found


def _worst(values: dict[str, float], pick: Callable[..., Any]) -> tuple[float, str]:
    """Return the worst value and whose it is; one that is not a number is worse than any."""
    for name, value in values.items():
        if math.isnan(value):
            return math.nan, name
    worst = pick(values, key=lambda name: values[name])
    return values[worst], str(worst)
