"""The figures of a report, each as SVG and PNG; matplotlib is imported only to draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lockstep.comparisons.outcomes import Results, ScenarioResult
from lockstep.comparisons.scenarios import scenarios
from lockstep.reports import reading
from lockstep.reports.figures import chains, checks, fits, mixtures, posteriors, small_samples
from lockstep.reports.figures.style import Drawn, house_style, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lockstep.models.records import Parameters

__all__ = ["STUDIES", "Drawn", "draw", "draw_all", "write"]

STUDIES = ""
"""Under this name, which no scenario has, are figures of studies: they belong to no scenario."""


def draw_all(
    results: Results, draws: Mapping[tuple[str, str], Parameters]
) -> dict[str, dict[str, Drawn | str]]:
    """Draw every figure of a report.

    Parameters
    ----------
    results : Results
    draws : mapping of (scenario, implementation) to Parameters
        Aligned; without them there are no marginals.

    Returns
    -------
    dict
        Figures by scenario and by what they show; in place of one that failed, why.
    """
    found: dict[str, dict[str, Drawn | str]] = {}
    for scenario in results.scenarios:
        own = {who: d for (name, who), d in draws.items() if name == scenario.name}
        found[scenario.name] = draw(scenario, own)
    if any(s.name in scenarios() and reading.posteriors(s) for s in results.scenarios):
        study = small_samples.drawn()
        if study is not None:
            found[STUDIES] = {study.what: study}
    return found


def draw(scenario: ScenarioResult, draws: Mapping[str, Parameters]) -> dict[str, Drawn | str]:
    """Draw the figures of one scenario, those that its results allow.

    A figure that fails becomes the sentence that says so.
    """
    makers: dict[str, Callable[[ScenarioResult], tuple[Figure, str, str] | None]] = {
        "data": chains.symbols if reading.has_sequences(scenario) else mixtures.data,
        "iterations": mixtures.iterations,
        "log-likelihood": fits.traces,
        "lockstep": fits.lockstep,
        "starts": fits.starts,
        "recovery": fits.recovery,
        "matrices": chains.matrices,
        "posterior": lambda s: posteriors.marginals(s, draws),
        "predictive": checks.predictive,
        "scale": checks.log_likelihood_over_draws,
        "elbo": checks.elbo,
        "ranks": lambda s: checks.ranks(s, draws),
    }
    drawn: dict[str, Drawn | str] = {}
    for what, make in makers.items():
        try:
            with house_style():
                made = make(scenario)
                if made is not None:
                    figure, alt, caption = made
                    svg, png = render(figure)
                    drawn[what] = Drawn(scenario.name, what, alt, caption, svg, png)
        except Exception as error:  # noqa: BLE001 - a figure must not take the report with it
            drawn[what] = (
                f"The figure {what!r} could not be drawn: {type(error).__name__}: {error}."
            )
    return drawn


def write(drawn: Mapping[str, Mapping[str, Drawn | str]], folder: Path) -> None:
    """Write every figure into a folder, as SVG and PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for figures in drawn.values():
        for figure in figures.values():
            if isinstance(figure, str):
                continue
            (folder / f"{figure.stem}.svg").write_text(figure.svg, encoding="utf-8")
            (folder / f"{figure.stem}.png").write_bytes(figure.png)
