"""Pictures of hidden Markov models: symbols with state probabilities, and the matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lockstep.comparisons.implementations import reference
from lockstep.comparisons.outcomes import ScenarioResult
from lockstep.comparisons.sequences import MASKED
from lockstep.models import Model
from lockstep.models.records import Floats, Integers, Parameters
from lockstep.reports import numbers, reading
from lockstep.reports.figures import style
from lockstep.reports.figures.mixtures import Picture, fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = 200
"""Steps drawn, over as many sequences as fit."""

MATRICES = {"startprob", "transmat", "emissionprob"}
"""Fields of the parameters that are drawn as matrices."""

COLUMNS = 200
"""Symbols in the picture of the matrices; of more, the most probable."""

WRITTEN = 160
"""Cells of the matrices that are still written as numbers."""


def sequences(scenario: ScenarioResult) -> list[Any]:
    """Return the sequences to draw, whole ones as far as they fit."""
    found: list[Any] = []
    left = STEPS
    for given in scenario.sequences or []:
        symbols = np.array(given, dtype=np.int64)
        if not len(symbols) or left <= 0 or (found and len(symbols) > left):
            break
        found.append(symbols[:left])
        left -= len(found[-1])
    return found


def symbols(scenario: ScenarioResult) -> Picture | None:
    """Draw the symbols and the probabilities of the states, given all symbols."""
    shown = sequences(scenario)
    if not shown:
        return None
    fits = fitted(scenario)
    names, states = reading.symbol_names(scenario), reading.component_names(scenario)
    V, K = len(names), len(states)
    figure = style.new_figure(3.9)
    above = figure.add_axes((0.105, 0.60, 0.875, 0.36))
    below = figure.add_axes((0.105, 0.22, 0.875, 0.33))
    begins = np.concatenate([[0], np.cumsum([len(s) for s in shown])])
    every = np.concatenate(shown)
    mark = "|" if V <= 12 else "."
    seen = every != MASKED
    above.plot(np.flatnonzero(seen), every[seen], mark, ms=7, mew=1.2, color=style.INK)
    above.set_ylim(-0.6, V - 0.4)
    above.set_yticks(range(V) if V <= 8 else range(0, V, max(1, V // 6)))
    above.set_yticklabels([str(names[int(v)])[:14] for v in above.get_yticks()])
    above.tick_params(labelbottom=False)
    handles, labels = _probabilities(scenario, below, shown, fits, K)
    below.set_ylim(-0.03, 1.03)
    what = f"P({states[0]})" if K == 2 else "em: P(state)"
    below.set_ylabel(what)
    below.set_xlabel("step")
    for axes in (above, below):
        axes.set_xlim(-1, len(every))
        for begin in begins[1:-1]:
            axes.axvline(begin - 0.5, color="#8c959f", lw=0.8, ls=(0, (4, 2)))
    if handles:
        style.legend(
            below, handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.32), ncols=6
        )
    total = sum(map(len, scenario.sequences or []))
    part = f" The first {len(every):,} of {total:,} steps are drawn." if len(every) < total else ""
    several = " Dashed lines part the sequences." if len(shown) > 1 else ""
    several += "" if seen.all() else " Where there is no mark, no symbol was observed."
    shares = np.bincount(every[seen], minlength=V)[:V] / max(seen.sum(), 1)
    told = ", ".join(f"{n} {s:.0%}" for n, s in list(zip(names, shares))[:12])
    return (
        figure,
        f"Observed symbols over {len(every)} steps ({told}), and below the probability of "
        f"{states[0]} at each step, given all symbols, under each fit.",
        "The observed symbols, and what each fit infers of the hidden state from all of them"
        f"{', posteriors at their mean' if reading.posteriors(scenario) else ''}."
        f"{several}{part}",
    )


def _probabilities(
    scenario: ScenarioResult, axes: Axes, shown: list[Any], fits: dict[str, Parameters], K: int
) -> tuple[list[Any], list[str]]:
    model = reading.module(scenario)
    handles: list[Any] = []
    labels: list[str] = []
    if K > 2:
        lead = reference("point") if reference("point") in fits else next(iter(fits), None)
        gamma = None if lead is None else _smoothed(model, fits[lead], shown)
        if gamma is not None:
            steps = np.arange(len(gamma))
            colours = [style.component(k) for k in range(K)]
            handles = list(axes.stackplot(steps, gamma.T, colors=colours, alpha=0.75, lw=0))
            labels = reading.component_names(scenario)
        return handles, labels
    known = reading.record(scenario, scenario.truth)
    lines: list[tuple[str, Parameters]] = [] if known is None else [("truth", known)]
    for who, parameters in [*lines, *fits.items()]:
        gamma = _smoothed(model, parameters, shown)
        if gamma is None:
            continue
        unknown = {"color": style.INK, "ls": ":", "lw": 1.5, "zorder": 3}
        look = unknown if who == "truth" else style.line(who, 0.65)
        (line,) = axes.plot(gamma[:, 0], **look)
        if who != "truth":
            style.owned(line, who)
        handles.append(line)
        labels.append("true parameters" if who == "truth" else who)
    return handles, labels


def _smoothed(model: Model, parameters: Parameters, shown: list[Any]) -> Floats | None:
    """Return the states' probabilities, sequence after sequence; None where they do not exist."""
    V = parameters.dims["n_features"]
    if any(s.max() >= V for s in shown):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        gamma = model.memberships(parameters, tuple(shown))
    return gamma if np.isfinite(gamma).all() else None


def _stacked(scenario: ScenarioResult) -> list[tuple[str, Parameters]]:
    """Return whose matrices are drawn: the truth's or what is published, and the fits'."""
    rows = list(fitted(scenario).items())
    for who, given in (("truth", scenario.truth), ("published", scenario.reference)):
        known = reading.record(scenario, given)
        if known is not None and (who == "truth" or scenario.published):
            return [(who, known), *rows]
    return rows


def matrices(scenario: ScenarioResult) -> Picture | None:
    """Draw start, transition and emission probabilities of truth and fits, one above the other."""
    if set(reading.module(scenario).Parameters.SPACES) != MATRICES:
        return None
    rows = _stacked(scenario)
    if not rows:
        return None
    names, of_all = reading.symbol_names(scenario), f"{reading.n_symbols(scenario):,} symbols"
    columns = np.arange(len(names))
    if len(names) > COLUMNS:
        most = np.stack([p.arrays()["emissionprob"] for _, p in rows]).max(axis=(0, 1))
        columns = np.sort(np.argsort(-most, kind="stable")[:COLUMNS])
        names, of_all = [names[v] for v in columns], f"the {COLUMNS} most probable of {of_all}"
    image = np.vstack([block for _, p in rows for block in _blocks(p, columns)][:-1])
    height = 0.62 + min(0.21 * len(image), 6.5)
    figure = style.new_figure(height)
    axes = figure.add_axes((0.20, 0.02, 0.785, 1 - 0.55 / height - 0.02))
    y, x = (np.arange(n + 1) - 0.5 for n in image.shape)
    axes.pcolormesh(
        x, y, np.ma.masked_invalid(image), cmap=_ramp(), vmin=0, vmax=1, edgecolors="none"
    )
    axes.set_ylim(len(image) - 0.5, -0.5)
    _write_cells(axes, image)
    states = reading.component_names(scenario)
    _head(axes, states, names, of_all)
    K = len(states)
    axes.set_yticks([i * (K + 1) + k for i in range(len(rows)) for k in range(K)])
    axes.set_yticklabels(
        [
            f"{who} · {state[:10]}" if k == 0 else state[:10]
            for who, _ in rows
            for k, state in enumerate(states)
        ],
        fontsize=8,
    )
    told = "; ".join(
        f"{who}: stays with "
        + ", ".join(numbers.three(v) for v in np.diag(p.arrays()["transmat"]).tolist())
        for who, p in rows
    )
    return (
        figure,
        f"Matrices of start, transition and emission probabilities. {told}.",
        f"Probabilities of {rows[0][0]} and of every fit, one above the other: where the row's "
        "state starts, where it goes, and what it shows. Darker is more probable.",
    )


def _blocks(p: Parameters, columns: Integers) -> tuple[Floats, Floats]:
    """Return the three matrices side by side, and a row that parts them from the next."""
    a = p.arrays()
    space = np.full((p.n_components, 1), np.nan)
    shown = a["emissionprob"][:, columns]
    block = np.hstack([a["startprob"][:, None], space, a["transmat"], space, shown])
    return block, np.full((1, block.shape[1]), np.nan)


def _head(axes: Axes, states: list[str], names: list[str], of_all: str) -> None:
    """Write above each column what it is; of many symbols, how many they are."""
    K, V = len(states), len(names)
    heads: dict[float, str] = {0: "start"}
    if V <= 12:
        heads |= {2 + k: f"→ {state[:9]}" for k, state in enumerate(states)}
        heads |= {3 + K + v: symbol[:9] for v, symbol in enumerate(names)}
    else:
        heads |= {2 + (K - 1) / 2: "→", 3 + K + (V - 1) / 2: of_all}
    axes.set_xticks(list(heads), list(heads.values()), fontsize=7.5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _ramp() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("ramp", ["#eef3f8", "#9ec1de", "#2f6ea5"])


def _write_cells(axes: Axes, image: Floats) -> None:
    if np.isfinite(image).sum() > WRITTEN:
        return
    for (i, j), value in np.ndenumerate(image):
        if np.isfinite(value):
            axes.text(
                j,
                i,
                f"{value:.3f}",
                ha="center",
                va="center",
                fontsize=7.5,
                color="#fefefe" if value > 0.85 else "#1b1f24",
            )
