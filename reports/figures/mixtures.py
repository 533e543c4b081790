"""Pictures of mixtures: histogram and densities, scatter and ellipses, the ten panels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lockstep.comparisons.implementations import reference
from lockstep.comparisons.outcomes import PointOutcome, ScenarioResult
from lockstep.models import Model
from lockstep.models.records import Floats, Parameters
from lockstep.reports import numbers, reading
from lockstep.reports.figures import style
from lockstep.reports.reading import AS_CONFIGURED, MATCHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 1500
"""Points drawn; of more, an even selection."""

LEVELS = 16
"""Shades of responsibility; an eye tells no more apart in a point."""

INSIDE = 0.95
"""Probability inside an ellipse."""

PANELS = 10

type Picture = tuple[Figure, str, str]
"""A figure, its description for who cannot see it, and its caption."""


def fitted(scenario: ScenarioResult) -> dict[str, Parameters]:
    """Return each implementation's estimate: as configured, or else matched."""
    found: dict[str, Parameters] = {}
    for mode in (AS_CONFIGURED, MATCHED):
        for o in reading.fits(scenario, mode):
            parameters = reading.record(scenario, o.parameters)
            if parameters is not None:
                found.setdefault(o.implementation, parameters)
    return found


def points(scenario: ScenarioResult) -> Floats:
    """Return the data to draw, shape (N,) or (N, D)."""
    x = np.empty(0) if scenario.data is None else scenario.data
    return x[np.isfinite(x.reshape(len(x), -1)).all(axis=1)] if x.size else np.empty(0)


def selection(x: Floats) -> Floats:
    """Return an even selection of at most `SHOWN` rows."""
    return x[:: max(1, math.ceil(len(x) / SHOWN))]


def data(scenario: ScenarioResult) -> Picture | None:
    """Draw the data with every method's fit."""
    x = points(scenario)
    if not len(x):
        return None
    columns = x.reshape(len(x), -1)
    plane = "covariances" in reading.module(scenario).Parameters.SPACES
    if plane and columns.shape[1] > 1:
        return _scatter(scenario, columns)
    return _histogram(scenario, columns[:, 0])


def _histogram(scenario: ScenarioResult, x: Floats) -> Picture | None:
    """Draw the seed's picture: the histogram, the mixture density and its components."""
    fits, shows = fitted(scenario), reading.module(scenario).shows
    truth = reading.record(scenario, scenario.truth)
    figure = style.new_figure(3.6)
    axes = figure.add_axes((0.075, 0.14, 0.905, 0.82))
    low, high = float(x.min()), float(x.max())
    margin = 0.06 * (high - low) or 1.0
    grid = np.linspace(low - margin, high + margin, 240)
    counts, edges = np.histogram(x, bins=30, density=True)
    handles: list[Any] = [axes.stairs(counts, edges, fill=True, color="#8c959f", alpha=0.45)]
    labels = ["data"]
    if truth is not None:
        (line,) = axes.plot(
            grid,
            shows.densities(truth, grid, 0).sum(axis=1),
            ":",
            color=style.INK,
            lw=1.6,
            zorder=3,
        )
        handles.append(line)
        labels.append("truth")
    lead = reference("point") if reference("point") in fits else next(iter(fits), None)
    if lead is not None:
        names = reading.component_names(scenario)
        for k, density in enumerate(shows.densities(fits[lead], grid, 0).T):
            (line,) = axes.plot(grid, density, color=style.component(k), lw=1.1)
            fill = axes.fill_between(grid, density, color=style.component(k), alpha=0.10, lw=0)
            style.owned(line, lead), style.owned(fill, lead)
            handles.append(line)
            labels.append(f"{lead}: {names[k] if k < len(names) else k + 1}")
    for who, parameters in fits.items():
        (line,) = axes.plot(
            grid, shows.densities(parameters, grid, 0).sum(axis=1), **style.line(who)
        )
        handles.append(style.owned(line, who))
        labels.append(f"{who}: mixture")
    axes.set_xlabel(reading.axis_names(scenario, 1)[0])
    axes.set_ylabel("density")
    axes.set_ylim(0, None)
    axes.margins(x=0)
    style.legend(axes, handles, labels, loc="best")
    told = "; ".join(
        f"{who}: "
        + ", ".join(f"weight {numbers.three(w)} at {numbers.three(m)}" for w, m in _located(p))
        for who, p in fits.items()
    )
    return (
        figure,
        f"Histogram of the data with the fitted mixture densities. {told}.",
        "The data, the components that em found, and the mixture density of every method"
        + (", posteriors at their mean." if reading.posteriors(scenario) else "."),
    )


def _located(parameters: Parameters) -> list[tuple[float, float]]:
    """Return each component's weight and first number, such as its mean."""
    weights, *rest = (a.reshape(parameters.n_components, -1) for a in parameters.arrays().values())
    return list(zip(weights[:, 0].tolist(), rest[0][:, 0].tolist()))


def in_the_plane(parameters: Any) -> Any:
    """Return a mixture in its first two coordinates alone."""
    means, covariances = parameters.means[:, :2], parameters.covariances[:, :2, :2]
    return type(parameters)(parameters.weights, means, covariances)


def ellipses(parameters: Any) -> list[Floats]:
    """Return the outline that holds 95% of each component, shape (61, 2)."""
    angle = np.linspace(0, 2 * np.pi, 61)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    radius = math.sqrt(-2 * math.log(1 - INSIDE))  # the chi-square quantile with 2 d.f., rooted
    outlines = []
    for mean, covariance in zip(parameters.means, parameters.covariances):
        values, vectors = np.linalg.eigh(covariance)
        axes = vectors * np.sqrt(np.maximum(values, 0))
        outlines.append((mean[:, None] + radius * axes @ circle).T)
    return outlines


def _scatter(scenario: ScenarioResult, x: Floats) -> Picture | None:
    """Draw points by responsibility, the density's contours, and every method's ellipses."""
    fits = {who: in_the_plane(p) for who, p in fitted(scenario).items()}
    truth = reading.record(scenario, scenario.truth)
    D = x.shape[1]
    lead = reference("point") if reference("point") in fits else next(iter(fits), None)
    figure = style.new_figure(5.4, 7.2)
    axes = figure.add_axes((0.09, 0.09, 0.88, 0.89))
    shown = selection(x)
    handles: list[Any] = []
    labels: list[str] = []
    if lead is None:
        axes.plot(shown[:, 0], shown[:, 1], "o", ms=3, color="#8c959f", mew=0)
    else:
        r = reading.module(scenario).memberships(fitted(scenario)[lead], shown)
        draw_points(axes, shown[:, :2], r, size=4.2)
        _contours(axes, reading.module(scenario), fits[lead], x[:, :2])
    if truth is not None:
        for outline in ellipses(in_the_plane(truth)):
            (line,) = axes.plot(*outline.T, ":", color=style.INK, lw=1.8, zorder=3)
        handles.append(line)
        labels.append("truth")
    names = reading.component_names(scenario)
    for who, parameters in fits.items():
        for outline in ellipses(parameters):
            (line,) = axes.plot(*outline.T, **style.line(who, 1.0 if len(names) < 3 else 0.55))
            style.owned(line, who)
        (cross,) = axes.plot(*parameters.means.T, "+", ms=9, mew=1.6, color=style.colour(who))
        style.owned(cross, who)
        handles.append(line)
        labels.append(who)
    first, second, *_ = reading.axis_names(scenario, D)
    axes.set_xlabel(first)
    axes.set_ylabel(second)
    style.legend(axes, handles, labels, loc="best")
    note = f" Only the first two of {D} coordinates are drawn." if D > 2 else ""
    few = f" {len(shown):,} of {len(x):,} points are drawn." if len(shown) < len(x) else ""
    told = "; ".join(
        f"{who}: "
        + ", ".join(
            f"weight {numbers.three(w)} at ({numbers.three(m[0])}, {numbers.three(m[1])})"
            for w, m in zip(p.weights.tolist(), p.means.tolist())
        )
        for who, p in fits.items()
    )
    return (
        figure,
        f"Scatter plot of the data with the components' ellipses. {told}.{note}",
        "Points coloured by the responsibilities that em gives them, contours of em's density, "
        f"and for every method the ellipses that hold {INSIDE:.0%} of each component.{note}{few}",
    )


def _contours(axes: Axes, model: Model, parameters: Parameters, x: Floats) -> None:
    low, high = x.min(axis=0), x.max(axis=0)
    margin = 0.08 * (high - low)
    u, v = (np.linspace(a, b, 70) for a, b in zip(low - margin, high + margin))
    grid = np.stack(np.meshgrid(u, v), axis=-1)
    density = np.exp(model.log_densities(parameters, grid.reshape(-1, 2)))
    density = density.reshape(len(v), len(u))
    levels = density.max() * np.array([0.02, 0.08, 0.2, 0.4, 0.65, 0.9])
    drawn = axes.contour(u, v, density, levels=levels, colors="#8c959f", linewidths=0.7, alpha=0.8)
    style.owned(drawn, reference("point"))


def draw_points(axes: Axes, x: Floats, r: Floats, *, size: float, pure: bool = False) -> None:
    """Draw points coloured by their responsibilities.

    Parameters
    ----------
    axes : Axes
    x : ndarray, shape (N, 2)
    r : ndarray, shape (N, K)
    size : float
        Of a point.
    pure : bool
        Mix full red and full blue, as the notebook does, where there are two components.
    """
    for colour, mask in shades(r, pure=pure):
        axes.plot(
            x[mask, 0],
            x[mask, 1],
            ls="",
            marker="o",
            ms=size,
            mfc=colour,
            mec=style.INK if pure else style.PAPER,
            mew=0.35,
        )


def shades(r: Floats, *, pure: bool) -> Iterator[tuple[str, Any]]:
    """Yield each shade that occurs with the points that have it."""
    from matplotlib.colors import to_hex, to_rgb

    K = r.shape[1]
    levels = LEVELS if K == 2 else 5
    steps = np.rint(r * levels) / levels
    steps /= np.maximum(steps.sum(axis=1, keepdims=True), 1e-12)
    corners = np.array([to_rgb(style.component(k)) for k in range(K)])
    if pure and K == 2:
        corners = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    kinds, which = np.unique(steps, axis=0, return_inverse=True)
    for i, kind in enumerate(kinds):
        yield to_hex(np.clip(kind @ corners, 0, 1)), which.ravel() == i


def iterations(scenario: ScenarioResult) -> Picture | None:
    """Draw the notebook's ten panels: responsibilities as EM goes on."""
    if "covariances" not in reading.module(scenario).Parameters.SPACES:
        return None
    em = reading.lead(scenario, MATCHED)
    x = points(scenario)
    path = own_path(scenario, em)
    if em is None or path is None or x.ndim != 2 or x.shape[1] < 2:
        return None
    x = selection(x)
    steps = len(path.arrays()["weights"]) - 1
    chosen = panel_iterations(steps)
    if not chosen:
        return None
    columns = min(5, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    figure = style.new_figure(0.35 + 1.85 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(0.01, 0.02, 0.99, 1 - 0.22 / (0.35 + 1.85 * rows) - 0.03, 0.06, 0.16)
    low, high = _limits(scenario, x)
    shares = []
    for axes in grid.ravel()[len(chosen) :]:
        axes.set_axis_off()
    for axes, title in zip(grid.ravel(), chosen):
        # The notebook's list begins with the random responsibilities before the first M-step,
        # and it numbers from 1: its panel n shows the E-step at the parameters after n - 2 steps.
        at = path.draw(title - 2)
        r = reading.module(scenario).memberships(at, x)
        shares.append(float(r[:, 0].mean()))
        draw_points(axes, x[:, :2], r, size=3.4, pure=True)
        axes.set_title(f"Iteration {title}", fontsize=8.5, pad=3, loc="center")
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
        if high[0] - low[0] == high[1] - low[1]:
            axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(True)
            spine.set_color("#8c959f")
    colours = (
        "red by the responsibility of component 1 and blue by that of component 2"
        if path.n_components == 2
        else "by a blend of their components' colours"
    )
    order = em.order
    swapped = (
        " These labels came out in another order than that of the rest of the page, so the "
        "colours are exchanged here."
        if order != sorted(order)
        else ""
    )
    return (
        figure,
        f"{len(chosen)} scatter plots, iterations {', '.join(map(str, chosen))}. Component 1's "
        f"share of the points: {', '.join(numbers.three(s) for s in shares)}.",
        f"Responsibilities as EM goes on, each point coloured {colours}, as this fit itself "
        f"numbers them.{swapped} Numbered as in the notebook: panel n shows the responsibilities "
        "that lead to the parameters after n - 1 updates.",
    )


def panel_iterations(steps: int) -> list[int]:
    """Return the panels' titles, spread as in the notebook: 2, 6, ..., 38 of 40 iterations."""
    stride = max(1, steps // PANELS)
    return [it + 1 for it in range(1, steps + 1, stride)][:PANELS]


def own_path(scenario: ScenarioResult, em: PointOutcome | None) -> Parameters | None:
    """Return em's path with the components in the order in which that fit numbers them."""
    path = None if em is None else reading.record(scenario, em.path)
    return path if path is None or em is None else path.relabelled(np.argsort(em.order))


def _limits(scenario: ScenarioResult, x: Floats) -> tuple[Floats, Floats]:
    low, high = x[:, :2].min(axis=0), x[:, :2].max(axis=0)
    if limits := scenario.labels.limits:
        return np.full(2, float(limits[0])), np.full(2, float(limits[1]))
    margin = 0.08 * (high - low)
    return low - margin, high + margin
