"""The one entry: from results to a folder that people can read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lockstep.comparisons import results_file
from lockstep.comparisons.outcomes import Results
from lockstep.reports import figures, tidy
from lockstep.reports.chapters import chapters
from lockstep.reports.figures.style import slug
from lockstep.reports.markdown import markdown
from lockstep.reports.page import page

if TYPE_CHECKING:
    from lockstep.comparisons.suite import Comparison
    from lockstep.models.records import Parameters


def build(comparison: Comparison, out: Path) -> None:
    """Write a whole report into an empty folder.

    Parameters
    ----------
    comparison : Comparison
    out : Path
        Gets ``results.json``, ``index.html``, ``report.md``, the tidy tables, ``figures`` and,
        for each posterior, its draws in ``posterior``.
    """
    _write(comparison.content, comparison.posteriors, out)


def rebuild(results: Results, out: Path) -> None:
    """Write a report from ``results.json`` alone, without what needs the draws.

    Parameters
    ----------
    results : Results
        As `lockstep.comparisons.results_file.decode` returns them.
    out : Path
    """
    _write(results, {}, out)


def _write(results: Results, draws: Mapping[tuple[str, str], Parameters], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    drawn = figures.draw_all(results, draws)
    told = chapters(results, drawn)
    files = {
        "results.json": results_file.text(results),
        "recovery.csv": tidy.to_csv(tidy.RECOVERY, tidy.recovery_rows(results)),
        "log_likelihood.csv": tidy.to_csv(tidy.LOG_LIKELIHOOD, tidy.log_likelihood_rows(results)),
        "report.md": markdown(results, told, benchmark(out)),
        "index.html": page(results, told, benchmark(out)),
    }
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    figures.write(drawn, out / "figures")
    if draws:
        _write_draws(results, draws, out / "posterior")


def benchmark(out: Path) -> str | None:
    """Return the way from a report in the repository to the page of the benchmark; else None."""
    there = (Path(__file__).parents[1] / "docs" / "benchmark.md").resolve()
    if not (there.is_file() and out.resolve().is_relative_to(there.parents[1])):
        return None
    return Path(os.path.relpath(there, out.resolve())).as_posix()


def _write_draws(
    results: Results, draws: Mapping[tuple[str, str], Parameters], folder: Path
) -> None:
    """File the aligned draws of each posterior as netCDF, with named dimensions."""
    from lockstep.reports.draws import to_datatree

    folder.mkdir(parents=True, exist_ok=True)
    scenarios = {scenario.name: scenario for scenario in results.scenarios}
    for (name, implementation), parameters in draws.items():
        tree = to_datatree(scenarios[name], parameters)
        tree.to_netcdf(folder / f"{slug(name)}.{slug(implementation)}.nc")
