"""Pictures of fits: log-likelihood traces, lock-step differences, starts and recovery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lockstep.comparisons.implementations import reference
from lockstep.comparisons.outcomes import Fitted, PointOutcome, ScenarioResult
from lockstep.comparisons.yardstick import LOCKSTEP
from lockstep.models.fits import Status
from lockstep.models.records import Floats, Integers
from lockstep.reports import numbers, reading
from lockstep.reports.figures import style
from lockstep.reports.figures.mixtures import Picture, points
from lockstep.reports.reading import AS_CONFIGURED, MATCHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = 8
"""Parameters of a kind in a picture at the most."""

APART = 1e-3
"""Starts whose ends differ by less, in nats, need no picture."""


def _trace(outcome: PointOutcome) -> tuple[Integers, Floats] | None:
    """Return iterations and log-likelihoods, thinned where there are many."""
    given = outcome.log_likelihood.trace
    y = np.empty(0) if given is None else given
    n = np.arange(len(y), dtype=np.int64)
    keep = np.isfinite(y)
    n, y = n[keep], y[keep]
    if len(y) < 2:
        return None
    if len(y) > 150:
        wanted = np.unique(np.geomspace(1, len(y), 120).astype(int)) - 1
        n, y = n[wanted], y[wanted]
    return n, y


def traces(scenario: ScenarioResult) -> Picture | None:
    """Draw the log-likelihood over iterations, matched and as configured."""
    from matplotlib.ticker import MaxNLocator

    panels = []
    for mode in (MATCHED, AS_CONFIGURED):
        found = {
            o.implementation: trace
            for o in reading.points(scenario, mode)
            if (trace := _trace(o)) is not None
        }
        if found:
            panels.append((mode, found))
    if not panels:
        return None
    figure = style.new_figure(2.9)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    figure.subplots_adjust(0.095, 0.16, 0.985, 0.90, 0.24)
    told = []
    for axes, (mode, found) in zip(grid, panels):
        matched = mode is MATCHED
        handles = []
        for who, (n, y) in found.items():
            (line,) = axes.plot(
                n,
                y,
                marker=style.mark(who) if not matched and len(n) < 30 else None,
                ms=3.5,
                **(style.line(who) if matched else {"color": style.colour(who), "lw": 1.5}),
            )
            handles.append(style.owned(line, who))
            told.append(
                f"{who} ({reading.MODES[mode]}) from {numbers.fixed(y[0], 2)} to "
                f"{numbers.fixed(y[-1], 2)} in {n[-1]} iterations"
            )
        last = max(n[-1] for n, _ in found.values())
        if last > 120:
            axes.set_xscale("symlog", linthresh=10)
            axes.set_xticks([v for v in (0, 5, 10, 100, 1000, 10000) if v <= last])
            axes.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
            axes.minorticks_off()
        else:
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_title("matched: same start" if matched else "as configured: own starts")
        axes.set_xlabel("iteration")
        axes.grid(axis="y")
        style.legend(axes, handles, list(found), loc="lower right")
    grid[0].set_ylabel("log-likelihood (nats)")
    together = any(mode is MATCHED and len(found) > 1 for mode, found in panels)
    return (
        figure,
        f"Log-likelihood traces: {'; '.join(told)}.",
        "The log-likelihood of the training data as each fit goes on."
        + (" Matched traces lie on top of each other." if together else "")
        + " A library's own trace is as it reports it; only its last point is scored by us.",
    )


def lockstep(scenario: ScenarioResult) -> Picture | None:
    """Draw the largest difference from em at each matched iteration."""
    from matplotlib.ticker import MaxNLocator

    found = {
        o.implementation: o.agreement.by_iteration
        for o in reading.points(scenario, MATCHED)
        if o.agreement is not None
    }
    if not found:
        return None
    figure = style.new_figure(2.1)
    axes = figure.add_axes((0.095, 0.22, 0.69, 0.72))
    floor = 1e-17
    handles = []
    for who, by in found.items():
        (line,) = axes.plot(
            np.maximum(by, floor), color=style.colour(who), marker=style.mark(who), ms=3, lw=1
        )
        handles.append(style.owned(line, who))
    last = max(map(len, found.values())) - 1
    (bound,) = axes.plot([0, last], [LOCKSTEP, LOCKSTEP], "--", lw=1, color=style.INK)
    axes.set_yscale("log")
    axes.minorticks_off()
    highest = max(float(np.nanmax(by, initial=0)) for by in found.values())
    axes.set_ylim(floor / 2, max(highest * 10, LOCKSTEP * 20))
    axes.set_yticks([1e-16, 1e-12, 1e-8, *([1e-4, 1.0] if highest > 1e-7 else [])])
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("iteration")
    axes.set_ylabel("largest difference (scaled)")
    axes.grid(axis="y")
    style.legend(
        axes,
        [*handles, bound],
        [*(f"{who} - em" for who in found), f"allowed: {LOCKSTEP:.0e}".replace("e-0", "e-")],
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
    )
    told = "; ".join(
        f"{who} at most {numbers.scientific(float(np.nanmax(by, initial=0)))}"
        for who, by in found.items()
    )
    return (
        figure,
        f"Largest difference from em in any parameter at each matched iteration: {told}.",
        "Largest difference from em in any parameter at each matched iteration (means in standard "
        f"deviations, variances relative), on a logarithmic scale; {floor:g} stands for none at "
        f"all. {told}.",
    )


def starts(scenario: ScenarioResult) -> Picture | None:
    """Draw where em's random starts ended, if not all in one place."""
    em = reading.lead(scenario, AS_CONFIGURED)
    ends = sorted(
        (start.log_likelihood, start.status)
        for start in ([] if em is None else em.starts)
        if start.log_likelihood is not None
    )
    if len(ends) < 2 or ends[-1][0] - ends[0][0] < APART:
        return None
    figure = style.new_figure(0.75 + 0.17 * len(ends))
    axes = figure.add_axes((0.095, 0.45 / (0.75 + 0.17 * len(ends)), 0.80, 0.86 - 0.3 / len(ends)))
    best = ends[-1][0]
    for i, (value, status) in enumerate(ends):
        sound = status is Status.CONVERGED
        axes.plot([ends[0][0], value], [i, i], color=style.RULE, lw=1)
        axes.plot(value, i, "o" if sound else "X", ms=6, color=style.colour(reference("point")))
        short = "best" if best - value < APART else f"{numbers.three(best - value)} nats short"
        ending = "" if sound else f", {status.replace('_', ' ')}"
        axes.annotate(
            f"{short}{ending}",
            (value, i),
            (7, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            annotation_clip=False,
        )
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("log-likelihood where each random start of em ended (nats)")
    hits = sum(best - v < APART for v, _ in ends)
    return (
        figure,
        f"Ends of {len(ends)} random starts, from {numbers.fixed(ends[0][0], 3)} to "
        f"{numbers.fixed(best, 3)} nats; {hits} reached the best.",
        f"Where em's {len(ends)} random starts ended: {hits} in the best place, the others in "
        "local optima, or on their way.",
    )


def recovery(scenario: ScenarioResult) -> Picture | None:
    """Draw every estimate as a distance from the truth, or from em's where there is none."""
    fits = reading.fits(scenario, AS_CONFIGURED)
    truth = reading.flat(scenario.truth)
    em = reading.lead(scenario, AS_CONFIGURED)
    zero = truth or reading.flat(None if em is None else em.parameters)
    if not zero or not fits or (not truth and len(fits) < 2):
        return None
    parameters = [p for p in zero if zero[p] is not None and not reading.is_redundant(scenario, p)]
    if not parameters:
        return None
    fields = list(dict.fromkeys(reading.split(p)[0] for p in parameters))
    units, scaled = _units(scenario, parameters)
    own = {f: [p for p in parameters if reading.split(p)[0] == f][:ROWS] for f in fields}
    line = 0.12 * len(fits) + 0.13  # inches for one parameter
    height = 1.0 + line * max(map(len, own.values()))
    figure = style.new_figure(height)
    handles: dict[str, Any] = {}
    width = 1 / len(fields)
    for i, name in enumerate(fields):
        tall = line * len(own[name])
        axes = figure.add_axes(
            (i * width + 0.075, 1 - (0.52 + tall) / height, width - 0.095, tall / height)
        )
        _forest(axes, own[name], fits, zero, units, handles)
        axes.set_title(name, fontsize=8.5)
        away = "estimate - truth" if truth else "estimate - em's"
        axes.set_xlabel(f"{away}{' (data sd)' if scaled and name != 'weights' else ''}", fontsize=8)
    legend = figure.legend(
        handles.values(), handles, loc="upper left", ncols=6, bbox_to_anchor=(0.005, 1.0)
    )
    style.own_entries(legend, list(handles.values()))
    every = sum(map(len, own.values())) == len(parameters)
    part = "" if every else f" At most {ROWS} parameters of a kind are drawn."
    worst = "; ".join(
        f"{o.implementation} at most {numbers.three(_farthest(o, zero))}" for o in fits
    )
    origin = "the truth" if truth else "em's estimate"
    bars = _bars(fits, truth=bool(truth))
    return (
        figure,
        f"Distance of every estimate from {origin}: {worst}.",
        f"Distance of every estimate from {origin} (the line at zero){bars}.{part}",
    )


def _bars(fits: Sequence[Fitted], *, truth: bool) -> str:
    """Return what the bars are, and how often they should hold the truth."""
    kinds = reading.interval_kinds(fits)
    promise = "; each kind should cross the line as often as its probability says" if truth else ""
    return f"; bars are intervals ({kinds}){promise}" if kinds else ""


def _farthest(outcome: Fitted, zero: dict[str, float | None]) -> float | None:
    apart = {
        p: None if v is None or (z := zero.get(p)) is None else abs(v - z)
        for p, v in reading.flat(outcome.parameters).items()
    }
    return reading.largest(apart)


def _units(scenario: ScenarioResult, parameters: list[str]) -> tuple[dict[str, float], bool]:
    """Return what to divide each parameter by: the data's spread where coordinates differ much."""
    ones = dict.fromkeys(parameters, 1.0)
    x = points(scenario)
    if x.ndim != 2:
        return ones, False
    sd = x.std(axis=0)
    if not sd.min() > 0 or sd.max() / sd.min() < 3:
        return ones, False
    spaces = reading.module(scenario).Parameters.SPACES
    for p in parameters:
        name, index = reading.split(p)
        coordinates = [i for axis, i in zip(spaces[name].axes, index) if axis == "D"]
        ones[p] = float(np.prod(sd[coordinates]))
    return ones, True


def _forest(
    axes: Axes,
    parameters: list[str],
    fits: Sequence[Fitted],
    zero: dict[str, float | None],
    units: dict[str, float],
    handles: dict[str, Any],
) -> None:
    from matplotlib.ticker import MaxNLocator

    offsets = np.linspace(-0.3, 0.3, len(fits)) if len(fits) > 1 else [0.0]
    axes.axvline(0, color=style.INK, lw=1)
    for o, offset in zip(fits, offsets):
        who, values, interval = o.implementation, reading.flat(o.parameters), o.interval
        lower = reading.flat(None if interval is None else interval.lower)
        upper = reading.flat(None if interval is None else interval.upper)
        at, rows, ends, bars = [], [], [], []
        for i, p in enumerate(parameters):
            value, origin, unit = values.get(p), zero[p], units[p]
            if value is None or origin is None:
                continue
            at.append((value - origin) / unit)
            rows.append(i + offset)
            low, high = lower.get(p), upper.get(p)
            if low is not None and high is not None:
                ends.append([(low - origin) / unit, (high - origin) / unit])
                bars.append(i + offset)
        if ends:
            low_ends, high_ends = np.array(ends).T
            style.owned(
                axes.hlines(bars, low_ends, high_ends, color=style.colour(who), lw=1.4), who
            )
        (marks,) = axes.plot(
            at, rows, ls="", marker=style.mark(who), ms=4.5, color=style.colour(who)
        )
        handles.setdefault(who, style.owned(marks, who))
    axes.set_yticks(range(len(parameters)))
    axes.set_yticklabels([f"[{p.partition('[')[2]}" for p in parameters])
    axes.set_ylim(len(parameters) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="x")
