"""Pictures of posteriors, from their draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lockstep.comparisons.implementations import reference
from lockstep.models.records import Floats, Parameters
from lockstep.reports import numbers, reading
from lockstep.reports.figures import style
from lockstep.reports.figures.mixtures import Picture
from lockstep.reports.reading import AS_CONFIGURED, Entry

PANELS = 12
BINS = 36
PRIOR = "#6e7781"


def marginals(scenario: Entry, draws: Mapping[str, Parameters]) -> Picture | None:
    """Draw each parameter's posterior, with em's estimate and the truth."""
    from matplotlib.colors import to_rgba
    from matplotlib.ticker import MaxNLocator

    if not draws:
        return None
    em = reading.lead(scenario, AS_CONFIGURED)
    point, truth = reading.flat((em or {}).get("parameters")), reading.flat(scenario.get("truth"))
    one = next(iter(draws.values()))
    parameters = [
        p for p in reading.flat(one.draw(0, 0).to_dict()) if not reading.is_redundant(scenario, p)
    ]
    shown = parameters[:PANELS]
    if not shown:
        return None
    columns = min(4, len(shown))
    rows = math.ceil(len(shown) / columns)
    height = 0.45 + 1.28 * rows
    figure = style.new_figure(height)
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(0.02, 0.24 / height, 0.98, 1 - 0.55 / height, 0.12, 0.62)
    handles: dict[str, Any] = {}
    last = list(draws)[-1]
    for axes in grid.ravel()[len(shown) :]:
        axes.set_axis_off()
    for axes, parameter in zip(grid.ravel(), shown):
        samples = {who: of(d, parameter) for who, d in draws.items()}
        ends = np.concatenate([np.quantile(s, [0.002, 0.998]) for s in samples.values()])
        low, high = float(ends.min()), float(ends.max())
        if not high > low:
            low, high = low - 0.5, high + 0.5
        edges = np.linspace(low, high, BINS + 1)
        for who, sample in samples.items():
            heights = np.histogram(sample, edges)[0] / len(sample)
            drawn = axes.stairs(
                heights,
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
        if (value := point.get(parameter)) is not None:
            line = axes.axvline(value, color=style.colour(reference("point")), lw=1.5)
            handles.setdefault("em's estimate", style.owned(line, reference("point")))
        if (value := truth.get(parameter)) is not None:
            line = axes.axvline(value, color=style.INK, lw=1.5, ls=":")
            handles.setdefault("truth", line)
        axes.set_title(parameter, fontsize=8, pad=3)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_ylim(0, None)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.tick_params(labelsize=7.5)
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
    part = (
        f" {len(shown)} of {len(parameters)} parameters are drawn."
        if len(shown) < len(parameters)
        else ""
    )
    return (
        figure,
        f"Histograms of the posterior draws. {told}.",
        "Posterior marginals from the aligned draws, with the prior on the same scale (dashed: "
        "flat at the bottom where the data have spoken, near the histogram where they have "
        "not), em's estimate, and the truth where there is one; entries that follow from the "
        f"others are left out.{part}",
    )


def _prior(scenario: Entry, parameter: str) -> Floats | None:
    """Return the quantiles of a parameter's prior at equal steps of probability."""
    name, index = reading.split(parameter)
    given: Any = (scenario.get("prior") or {}).get(name)
    for i in index:
        given = given[i] if isinstance(given, list) and i < len(given) else None
    if not isinstance(given, list) or any(v is None for v in given):
        return None
    quantiles = np.array(given, dtype=np.float64)
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
