"""Pictures of how far a posterior may be trusted, and of what it shares with the maximum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lockstep.comparisons import implementations
from lockstep.comparisons.outcomes import (
    Arrays,
    PosteriorOutcome,
    PredictedDensity,
    PredictedShares,
    ScenarioResult,
)
from lockstep.comparisons.predictive import QUANTILES
from lockstep.models.records import Floats, Parameters
from lockstep.reports import numbers, reading
from lockstep.reports.figures import style
from lockstep.reports.figures.mixtures import Picture, points
from lockstep.reports.figures.posteriors import of, part, small_panels, varying
from lockstep.reports.reading import AS_CONFIGURED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RANK_PANELS, RANK_BINS = 8, 20
SHADES = ("#0072b2", "#e69f00", "#009e73", "#d55e00")
"""Of chains."""

PRIOR = "#6e7781"


def log_likelihood_over_draws(scenario: ScenarioResult) -> Picture | None:
    """Draw the posterior of the log-likelihood, with the maximum as a line."""
    shown = {
        o.implementation: histogram
        for o in reading.posteriors(scenario, AS_CONFIGURED)
        if (histogram := _histogram(o)) is not None
    }
    best, reference = (scenario.best_log_likelihood, reading.record(scenario, scenario.reference))
    if not shown or best is None or reference is None:
        return None
    from scipy.stats import chi2

    p = reference.n_free
    figure = style.new_figure(2.3)
    axes = figure.add_axes((0.03, 0.20, 0.74, 0.72))
    handles: list[Any] = []
    labels: list[str] = []
    for who, (edges, density) in shown.items():
        drawn = axes.stairs(density, edges, color=style.colour(who), lw=1.6)
        handles.append(style.owned(drawn, who))
        labels.append(who)
    low = min(edges[0] for edges, _ in shown.values())
    low = max(low, best - chi2.ppf(0.9999, p) / 2)
    below = np.linspace(0, best - low, 200)[1:]
    theory = 2 * chi2.pdf(2 * below, p)
    (line,) = axes.plot(best - below, theory, color=style.INK, lw=1.2, ls=":")
    handles.append(line)
    labels.append(f"maximum - χ²({p}) / 2")
    handles.append(
        axes.axvline(best, color=style.colour(implementations.reference("point")), lw=1.8)
    )
    labels.append("maximum (MLE)")
    axes.set_xlim(low, best + 0.06 * (best - low))
    top = max(float(density.max()) for _, density in shown.values())
    axes.set_ylim(0, 1.1 * max(top, float(theory[len(theory) // 20 :].max())))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("log-likelihood of the training data (nats)")
    style.legend(axes, handles, labels, loc="center left", bbox_to_anchor=(1.01, 0.5))
    told = "; ".join(
        f"{o.implementation} {numbers.fixed(o.log_likelihood.train_mean, 1)} ± "
        f"{numbers.three(o.log_likelihood.train_sd)}"
        for o in reading.posteriors(scenario, AS_CONFIGURED)
    )
    return (
        figure,
        f"Distribution of the training log-likelihood over posterior draws: {told}; the maximum "
        f"is {numbers.fixed(best, 1)}.",
        "The log-likelihood of the training data over the draws of each posterior, and the "
        "maximum. No draw can be more likely than the maximum; with much data, draws lie below "
        f"it by half a chi-square with {p} degrees of freedom, {p / 2:g} nats on average (dotted). "
        f"{told}.",
    )


def _histogram(outcome: PosteriorOutcome) -> tuple[Floats, Floats] | None:
    given = outcome.log_likelihood.train_histogram
    edges, counts = given.edges, np.array(given.counts)
    # Of edges that are no numbers no difference is above zero.
    if counts.sum() < 1 or len(edges) != len(counts) + 1 or not (np.diff(edges) > 0).all():
        return None
    return edges, counts / counts.sum() / np.diff(edges)


def ranks(scenario: ScenarioResult, draws: Mapping[str, Parameters]) -> Picture | None:
    """Draw how the ranks of each chain's draws are spread among those of all chains."""
    sampled = [o for o in reading.posteriors(scenario, AS_CONFIGURED) if o.diagnostics.sampled]
    who = next((who for who in draws if reading.find(sampled, who) is not None), None)
    if who is None:
        return None
    parameters = varying(scenario, draws[who])
    shown = [p for p in parameters if np.ptp(of(draws[who], p)) > 0][:RANK_PANELS]
    chains = draws[who].lead[0]
    if not shown or chains < 2:
        return None
    figure, panels = small_panels(len(shown), 0.55, 1.15, (0.12, 0.10, 0.45))
    for axes, parameter in zip(panels, shown):
        _ranked(axes, of(draws[who], parameter).reshape(chains, -1))
        axes.set_title(parameter, fontsize=8, pad=3)
    figure.legend(
        [panels[0].plot([], [], color=SHADES[c % len(SHADES)], lw=1.4)[0] for c in range(chains)],
        [f"chain {c + 1}" for c in range(chains)],
        loc="upper left",
        ncols=6,
        bbox_to_anchor=(0.005, 1.0),
    )
    return (
        figure,
        f"Rank plots of {who}: for each of {', '.join(shown)} the ranks of every chain's draws "
        "among all draws, as a histogram.",
        f"Rank plots of {who}: where the draws of each chain rank among those of all chains. "
        "Chains that sample the same distribution have level histograms; the band holds 99% of a "
        "bin's counts if draws are independent, which those of a chain are only nearly."
        f"{part(shown, parameters)}",
    )


def _ranked(axes: Axes, values: Floats) -> None:
    """Draw the ranks of one parameter, shape (chain, draw)."""
    from scipy.stats import binom, rankdata

    length = values.shape[1]
    bins = min(RANK_BINS, max(2, length // 10))
    low, high = (binom.ppf(q, length, 1 / bins) * bins / length for q in (0.005, 0.995))
    edges = np.linspace(0, 1, bins + 1)
    share = (rankdata(values.ravel()) - 0.5) / values.size
    axes.axhspan(low, high, color=style.RULE, lw=0)
    axes.axhline(1, color=style.INK, lw=0.6)
    farthest = 0.5
    for c, chain in enumerate(share.reshape(values.shape)):
        heights = np.histogram(chain, edges)[0] * bins / length
        farthest = max(farthest, float(np.abs(heights - 1).max()))
        axes.stairs(heights, edges, baseline=None, color=SHADES[c % len(SHADES)], lw=1.1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlim(0, 1)
    axes.set_ylim(1 - 1.05 * min(farthest, 1), 1 + 1.05 * farthest)
    for spine in axes.spines.values():
        spine.set_visible(False)


def elbo(scenario: ScenarioResult) -> Picture | None:
    """Draw the ELBO of the variational fits as they climb."""
    shown = {
        o.implementation: o.elbo
        for o in reading.posteriors(scenario, AS_CONFIGURED)
        if o.elbo is not None and len(o.elbo.step) > 1 and np.isfinite(o.elbo.mean).all()
    }
    if not shown:
        return None
    figure = style.new_figure(2.3)
    axes = figure.add_axes((0.095, 0.20, 0.70, 0.74))
    handles, told = [], []
    ends = []
    for who, trace in shown.items():
        step, mean, error = trace.step, trace.mean, trace.error
        band = axes.fill_between(
            step, mean - 2 * error, mean + 2 * error, color=style.colour(who), alpha=0.18, lw=0
        )
        style.owned(band, who)
        (line,) = axes.plot(step, mean, color=style.colour(who), lw=1.3)
        handles.append(style.owned(line, who))
        last = float(mean[-1]) if trace.final is None else trace.final
        ends += [last, float(np.quantile(mean, 0.1))]
        how = "settled" if trace.settled else "still rising"
        told.append(f"{who} {numbers.fixed(last, 1)} after {trace.steps:,} steps, {how}")
    room = max(max(ends) - min(ends), 2.0)
    axes.set_ylim(max(ends) - 2.5 * room, max(ends) + 0.5 * room)
    axes.set_xlabel("step")
    axes.set_ylabel("ELBO (nats)")
    axes.grid(axis="y")
    style.legend(axes, handles, list(shown), loc="center left", bbox_to_anchor=(1.01, 0.5))
    said = "; ".join(told)
    return (
        figure,
        f"Evidence lower bound of the variational fits over steps: {said}.",
        "The evidence lower bound as the variational fits climb: means of stretches of steps, the "
        "band two standard errors either way. A fit has settled when one block of steps is no "
        "better than the one before by more than its standard error, at the last and smallest "
        f"step size. {said}.",
    )


def predictive(scenario: ScenarioResult) -> Picture | None:
    """Draw what prior and posterior say the data should look like, and the data."""
    given = scenario.predictive_check or []
    shares = [panel for panel in given if isinstance(panel, PredictedShares)]
    densities = [panel for panel in given if isinstance(panel, PredictedDensity)]
    if shares:
        return _shares(scenario, shares[0])
    return _densities(scenario, densities) if densities else None


def _bands(given: Arrays) -> dict[str, Floats]:
    return {
        who: bands
        for who, bands in given.items()
        if len(bands) == len(QUANTILES) and np.isfinite(bands).all()
    }


def _shade(who: str) -> str:
    return PRIOR if who == "prior" else style.colour(who)


def _chosen(bands: Mapping[str, Floats]) -> list[str]:
    """Return the prior and one posterior: NUTS's where there is one."""
    others = [who for who in bands if who != "prior"]
    best = [who for who in others if "nuts" in who] or others
    return [who for who in ("prior", *best[:1]) if who in bands]


def _densities(scenario: ScenarioResult, given: list[PredictedDensity]) -> Picture | None:
    x = points(scenario)
    if not len(x):
        return None
    columns = x.reshape(len(x), -1)
    names = reading.axis_names(scenario, columns.shape[1])
    panels = [(d, panel) for d, panel in enumerate(given[: min(4, columns.shape[1])])]
    figure = style.new_figure(2.5)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    figure.subplots_adjust(0.03, 0.19, 0.98, 0.84, 0.08)
    handles: dict[str, Any] = {}
    for axes, (d, panel) in zip(grid, panels):
        bands, at = _bands(panel.bands), panel.grid
        heights, edges = np.histogram(columns[:, d], bins=30, density=True)
        handles["data"] = axes.stairs(
            heights, edges, fill=True, facecolor=style.RULE, edgecolor="#8c959f", lw=0.6
        )
        for curve in panel.prior_draws:
            axes.plot(at, curve, color=PRIOR, lw=0.5, alpha=0.6)
        for who in _chosen(bands):
            q, average = bands[who], panel.average[who]
            if who == "prior":
                (line,) = axes.plot(at, average, color=PRIOR, lw=1.5, ls="--")
            else:
                band = axes.fill_between(at, q[0], q[-1], color=style.colour(who), alpha=0.22, lw=0)
                style.owned(band, who)
                (line,) = axes.plot(at, average, color=style.colour(who), lw=1.5)
                style.owned(line, who)
            handles[who] = line
        axes.set_xlabel(names[d])
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        highest = max(
            [float(heights.max()), *(float(b[2].max()) for w, b in bands.items() if w != "prior")]
        )
        axes.set_ylim(0, 1.25 * highest)
    legend = figure.legend(
        handles.values(), handles, loc="upper left", ncols=6, bbox_to_anchor=(0.005, 1.0)
    )
    style.own_entries(legend, list(handles.values()))
    part = f" The first {len(panels)} columns are drawn." if len(given) > len(panels) else ""
    return (
        figure,
        "Predictive check: the densities that the prior and the posterior give the data, as bands "
        "over draws of the parameters, with a histogram of the data.",
        "What the prior says of the data before it sees them: densities drawn from it (thin), and "
        "their average, the prior predictive density (dashed); and what the posterior says: the "
        "predictive density, with the middle 90% of densities over its draws. The prior is weak, "
        "not absent: it knows the data's centre and scale, and expects components narrower than "
        f"the whole.{part}",
    )


def _shares(scenario: ScenarioResult, panel: PredictedShares) -> Picture | None:
    bands, observed = _bands(panel.bands), panel.observed
    if not bands or not len(observed):
        return None
    names = [*reading.symbol_names(scenario), "same again"]
    chosen = _chosen(bands)
    n = min(len(observed), 12)
    kept = [*range(n - 1), len(observed) - 1]
    figure = style.new_figure(2.5)
    axes = figure.add_axes((0.075, 0.14, 0.90, 0.72))
    handles: dict[str, Any] = {}
    for offset, who in zip((-0.15, 0.15), chosen):
        q, colour = bands[who][:, kept], _shade(who)
        at = np.arange(n) + offset
        thin = axes.vlines(at, q[0], q[-1], color=colour, lw=1.4)
        thick = axes.vlines(at, q[1], q[-2], color=colour, lw=5)
        if who != "prior":
            style.owned(thin, who)
            style.owned(thick, who)
        handles[who] = thick
    (marks,) = axes.plot(np.arange(n), observed[kept], "D", ms=6, color=style.INK, mfc="none")
    handles["data"] = marks
    axes.set_xticks(range(n), [names[k][:12] if k < len(names) else str(k) for k in kept])
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("share of steps")
    axes.grid(axis="y")
    legend = figure.legend(
        handles.values(), handles, loc="upper left", ncols=6, bbox_to_anchor=(0.005, 1.0)
    )
    style.own_entries(legend, list(handles.values()))
    self_consistent = _inside(bands, observed, kept)
    return (
        figure,
        "Predictive check: shares of each symbol and of repeated symbols in data simulated from "
        f"prior and posterior, with those of the data. {self_consistent}",
        "Shares of each symbol, and of steps that repeat the symbol before, in data simulated "
        "from the prior and from the posterior (bars: middle 50 and 90%), and in the data "
        f"themselves. {self_consistent}",
    )


def _inside(bands: Mapping[str, Floats], observed: Floats, kept: list[int]) -> str:
    told = []
    for who in _chosen(bands):
        q = bands[who][:, kept]
        inside = int(((q[0] <= observed[kept]) & (observed[kept] <= q[-1])).sum())
        told.append(f"{inside} of {len(kept)} lie within the middle 90% of the {who}'s")
    return "; ".join(told) + "."
