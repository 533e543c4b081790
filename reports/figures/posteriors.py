"""Pictures of posteriors, from their draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lockstep.comparisons.implementations import reference
from lockstep.comparisons.outcomes import Arrays, ScenarioResult
from lockstep.models.records import Floats, Parameters
from lockstep.reports import numbers, reading
from lockstep.reports.figures import style
from lockstep.reports.figures.mixtures import Picture
from lockstep.reports.reading import AS_CONFIGURED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 12
BINS = 36
PRIOR = "#6e7781"


def marginals(scenario: ScenarioResult, draws: Mapping[str, Parameters]) -> Picture | None:
    """Draw each parameter's posterior, with em's estimate and the truth."""
    if not draws:
        return None
    parameters = varying(scenario, next(iter(draws.values())))
    shown = parameters[:PANELS]
    if not shown:
        return None
    figure, panels = small_panels(len(shown), 0.45, 1.28, (0.24, 0.12, 0.62))
    handles: dict[str, Any] = {}
    for axes, parameter in zip(panels, shown):
        _marginal(axes, scenario, parameter, draws, handles)
    legend = figure.legend(
        handles.values(), handles, loc="upper left", ncols=6, bbox_to_anchor=(0.005, 1.0)
    )
    style.own_entries(legend, list(handles.values()))
    told = "; ".join(
        f"{p}: "
        + ", ".join(
            f"{who} {numbers.three(float(a.mean()))} ± {numbers.three(float(a.std()))}"
            for who, d in draws.items()
            for a in [of(d, p)]
        )
        for p in shown
    )
    return (
        figure,
        f"Histograms of the posterior draws. {told}.",
        "Posterior marginals from the aligned draws, with the prior on the same scale (dashed: "
        "flat at the bottom where the data have spoken, near the histogram where they have "
        "not), em's estimate, and the truth where there is one; entries that follow from the "
        f"others are left out.{part(shown, parameters)}",
    )


def varying(scenario: ScenarioResult, draws: Parameters) -> list[str]:
    """Return the parameters that do not follow from others."""
    every = reading.flat(draws.draw(0, 0).arrays())
    return [p for p in every if not reading.is_redundant(scenario, p)]


def part(shown: Sequence[str], of: Sequence[str]) -> str:
    """Return how many parameters are drawn, if not all."""
    return f" {len(shown)} of {len(of)} parameters are drawn." if len(shown) < len(of) else ""


def small_panels(
    n: int, above: float, each: float, room: tuple[float, float, float]
) -> tuple[Figure, list[Axes]]:
    """Return a figure with n small axes, four in a row; the room is below, between, over them."""
    columns = min(4, n)
    rows = math.ceil(n / columns)
    height = above + each * rows
    figure = style.new_figure(height)
    grid = figure.subplots(rows, columns, squeeze=False)
    below, between, over = room
    figure.subplots_adjust(0.02, below / height, 0.98, 1 - 0.55 / height, between, over)
    for axes in grid.ravel()[n:]:
        axes.set_axis_off()
    return figure, list(grid.ravel()[:n])


def _marginal(
    axes: Axes,
    scenario: ScenarioResult,
    parameter: str,
    draws: Mapping[str, Parameters],
    handles: dict[str, Any],
) -> None:
    """Draw one parameter's histograms, its prior, em's estimate and the truth."""
    from matplotlib.colors import to_rgba
    from matplotlib.ticker import MaxNLocator

    samples = {who: of(d, parameter) for who, d in draws.items()}
    ends = np.concatenate([np.quantile(s, [0.002, 0.998]) for s in samples.values()])
    low, high = float(ends.min()), float(ends.max())
    if not high > low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    last = list(draws)[-1]
    for who, sample in samples.items():
        drawn = axes.stairs(
            np.histogram(sample, edges)[0] / len(sample),
            edges,
            fill=True,
            facecolor=to_rgba(style.colour(who), 0.22 if who == last else 0),
            edgecolor=style.colour(who),
            lw=1.1,
        )
        handles.setdefault(who, style.owned(drawn, who))
    if (quantiles := _prior(scenario, parameter)) is not None:
        (line,) = axes.plot(*_per_bin(quantiles, edges), color=PRIOR, lw=1.3, ls="--")
        handles.setdefault("prior", line)
    em, lead = reading.lead(scenario, AS_CONFIGURED), reference("point")
    if em is not None and (value := entry(em.parameters, parameter)) is not None:
        line = axes.axvline(value, color=style.colour(lead), lw=1.5)
        handles.setdefault("em's estimate", style.owned(line, lead))
    if (value := entry(scenario.truth, parameter)) is not None:
        line = axes.axvline(value, color=style.INK, lw=1.5, ls=":")
        handles.setdefault("truth", line)
    axes.set_title(parameter, fontsize=8, pad=3)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylim(0, None)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=7.5)


def entry(fields: Arrays | None, parameter: str) -> float | None:
    """Return one parameter's value, if it is a number."""
    name, index = reading.split(parameter)
    return None if fields is None else reading.number(fields[name][index])


def _prior(scenario: ScenarioResult, parameter: str) -> Floats | None:
    """Return the quantiles of a parameter's prior at equal steps of probability."""
    if scenario.prior is None:
        return None
    name, index = reading.split(parameter)
    quantiles = scenario.prior[name][index]
    if np.isnan(quantiles).any():
        return None
    return quantiles if len(quantiles) > 2 and np.ptp(quantiles) > 0 else None


def _per_bin(quantiles: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """Return the middles of a histogram's bins, and the prior's probability of each."""
    at = np.linspace(0, 1, len(quantiles))
    inside = np.diff(np.interp(edges, quantiles, at))
    return (edges[:-1] + edges[1:]) / 2, np.asarray(inside)


def of(draws: Parameters, parameter: str) -> Floats:
    """Return all draws of one parameter."""
    name, index = reading.split(parameter)
    chains, length = draws.arrays()[name].shape[:2]
    flat = draws.arrays()[name].reshape(chains * length, -1)
    shape = draws.arrays()[name].shape[2:]
    return np.asarray(flat[:, int(np.ravel_multi_index(index, shape))])
