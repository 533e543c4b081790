"""The picture of MLE and Bayes from 15 observations to 5,000, from the study's stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lockstep.comparisons import small_samples as study
from lockstep.comparisons.implementations import reference
from lockstep.models.records import Floats
from lockstep.reports import numbers
from lockstep.reports.figures import style
from lockstep.reports.figures.mixtures import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "small-samples"
TITLE = "MLE and Bayes, from 15 observations to 5,000"
LESSON = (
    "Data sets of every size from three Gaussians four standard deviations apart, fitted by EM "
    "and by NUTS: where the likelihood has singularities and the maximum overfits, where the "
    "prior speaks, and how the two meet."
)
FACTS = "A study, drawn from stored results · `make small-samples` runs it again"

SERIES = {
    "kl_mle": ("plug-in, MLE", reference("point"), "-"),
    "kl_posterior_mean": ("plug-in, posterior mean", reference("posterior"), "--"),
    "kl_averaged": ("averaged over draws", reference("posterior"), "-"),
}


type Rows = Sequence[Mapping[str, float]]


def meeting(rows: Rows) -> Picture:
    """Draw degeneracy, divergence from the truth, the meeting of the two, and coverage, over n."""
    sizes = sorted({int(row["n"]) for row in rows})
    n = np.array(sizes, dtype=np.float64)
    figure = style.new_figure(4.9)
    grid = figure.subplots(2, 2)
    figure.subplots_adjust(0.085, 0.095, 0.985, 0.94, 0.34, 0.42)
    for axes, panel in zip(grid.ravel(), (_singularities, _losses, _meeting, _coverage)):
        panel(axes, rows, n)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=7)
        axes.minorticks_off()
        axes.grid(axis="y")
    for axes in grid[1]:
        axes.set_xlabel("observations n")

    def at(size: int, name: str) -> float:
        return float(np.median(study.column(rows, size, name)))

    low, high = sizes[0], sizes[-1]
    told = (
        f"at n = {low:,} the MLE loses {numbers.three(at(low, 'kl_mle'))} nats on an observation "
        f"to come and the average over draws {numbers.three(at(low, 'kl_averaged'))}; at n = "
        f"{high:,} {numbers.three(at(high, 'kl_mle'))} and {numbers.three(at(high, 'kl_averaged'))}"
    )
    return (
        figure,
        f"Four panels over the number of observations: {told}.",
        f"MLE and Bayes over the number of observations: {told}. Lines are medians over data sets, "
        "bands their middle half; of coverage means, bars two standard errors. Dotted is what "
        "theory says of large n: p/2 nats of overfitting, a loss of p/2n, a ratio of 1 "
        "(Bernstein and von Mises), 95%. Where there is no standard error, at a degenerate or "
        "singular fit, a data set is left out of the lower panels.",
    )


def _singularities(axes: Axes, rows: Rows, n: Floats) -> None:
    axes.set_title("EM: singularities, and overfitting")
    overfit = [study.column(rows, int(size), "overfit").mean() for size in n]
    degenerate = [10 * study.column(rows, int(size), "degenerate_starts").mean() for size in n]
    mle = style.colour(reference("point"))
    (line,) = axes.plot(n, overfit, "o-", ms=4, color=mle, lw=1.5)
    theory = axes.axhline(study.FREE / 2, color=style.INK, lw=1, ls=":")
    axes.set_ylabel("MLE above truth, nats")
    axes.set_ylim(0, 1.15 * max(overfit))
    beside = axes.twinx()
    bars = beside.bar(n, degenerate, width=0.25 * n, color=style.COMPONENTS[3], alpha=0.5)
    beside.set_ylabel("% of starts degenerate")
    beside.set_ylim(0, max(40.0, 1.3 * max(degenerate)))
    axes.legend(
        [line, theory, bars],
        ["MLE above the truth", f"p/2 = {study.FREE / 2:g}", "starts that degenerate"],
        loc="upper right",
    )


def _losses(axes: Axes, rows: Rows, n: Floats) -> None:
    axes.set_title("Loss on an observation to come, nats")
    for name, (label, who, dash) in SERIES.items():
        _median(axes, rows, n, name, color=style.colour(who), ls=dash, label=label)
    axes.plot(n, study.FREE / (2 * n), color=style.INK, lw=1, ls=":", label="p / 2n")
    axes.set_yscale("log")
    axes.legend(loc="upper right")


def _meeting(axes: Axes, rows: Rows, n: Floats) -> None:
    axes.set_title("How posterior and MLE meet")
    for name, kind, label in (
        ("sd_ratio", "posterior", "posterior sd / standard error"),
        ("shift", "point", "|posterior mean - MLE| / standard error"),
    ):
        _median(axes, rows, n, name, color=style.colour(reference(kind)), label=label)
    axes.axhline(1, color=style.INK, lw=1, ls=":")
    axes.set_ylim(0, None)
    axes.legend(loc="upper right")


def _coverage(axes: Axes, rows: Rows, n: Floats) -> None:
    axes.set_title("Coverage of 95% intervals, %")
    for name, label, who in (
        ("wald_covered", "Wald", reference("point")),
        ("credible_covered", "credible", reference("posterior")),
    ):
        found = [study.column(rows, int(size), name) * 100 / study.FREE for size in n]
        errors = [2 * c.std(ddof=1) / np.sqrt(len(c)) if len(c) > 1 else 0 for c in found]
        shift = 0.97 if who == reference("point") else 1.03
        axes.errorbar(
            n * shift,
            [c.mean() if len(c) else np.nan for c in found],
            errors,
            fmt=f"{style.mark(who)}-",
            ms=4,
            lw=1.3,
            color=style.colour(who),
            label=label,
        )
    axes.axhline(95, color=style.INK, lw=1, ls=":")
    axes.set_ylim(None, 101)
    axes.legend(loc="lower right")


def _median(axes: Axes, rows: Rows, n: Floats, name: str, **look: Any) -> None:
    values = [study.column(rows, int(size), name) for size in n]
    low, middle, high = np.array([np.quantile(v, [0.25, 0.5, 0.75]) for v in values]).T
    axes.fill_between(n, low, high, color=look["color"], alpha=0.13, lw=0)
    axes.plot(n, middle, lw=1.6, **look)


def drawn() -> style.Drawn | None:
    """Return the figure of the stored rows; None if there are none."""
    if not study.CSV.is_file():
        return None
    with style.house_style():
        figure, alt, caption = meeting(study.stored())
        svg, png = style.render(figure)
    return style.Drawn("study", NAME, alt, caption, svg, png)


def main(path: str) -> None:
    """Write the figure of the stored rows as PNG, for the study's page."""
    made = drawn()
    if made is None:
        raise SystemExit(f"{study.CSV} is not there: run make small-samples")
    Path(path).write_bytes(made.png)
