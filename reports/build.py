"""The one entry: from results to a folder that people can read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockstep.reports import figures, tidy
from lockstep.reports.chapters import chapters
from lockstep.reports.figures.style import slug
from lockstep.reports.markdown import markdown
from lockstep.reports.page import page

if TYPE_CHECKING:
    from lockstep.comparisons.suite import Results
    from lockstep.models.records import Parameters


def build(results: Results, out: Path) -> None:
    """Write a whole report into an empty folder.

    Parameters
    ----------
    results : Results
    out : Path
        Gets ``results.json``, ``index.html``, ``report.md``, the tidy tables, ``figures`` and,
        for each posterior, its draws in ``posterior``.
    """
    _write(results.content, results.posteriors, out)


def rebuild(content: dict[str, Any], out: Path) -> None:
    """Write a report from the content of ``results.json`` alone, without what needs the draws.

    Parameters
    ----------
    content : dict
    out : Path
    """
    _write(content, {}, out)


def _write(content: dict[str, Any], draws: Mapping[tuple[str, str], Parameters], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    drawn = figures.draw_all(content, draws)
    told = chapters(content, drawn)
    files = {
        "results.json": json.dumps(content, allow_nan=False, indent=1) + "\n",
        "recovery.csv": tidy.to_csv(tidy.RECOVERY, tidy.recovery_rows(content)),
        "log_likelihood.csv": tidy.to_csv(tidy.LOG_LIKELIHOOD, tidy.log_likelihood_rows(content)),
        "report.md": markdown(content, told, benchmark(out)),
        "index.html": page(content, told, benchmark(out)),
    }
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    figures.write(drawn, out / "figures")
    if draws:
        _write_draws(content, draws, out / "posterior")


def benchmark(out: Path) -> str | None:
    """Return the way from a report in the repository to the page of the benchmark; else None."""
    there = (Path(__file__).parents[1] / "docs" / "benchmark.md").resolve()
    if not (there.is_file() and out.resolve().is_relative_to(there.parents[1])):
        return None
    return Path(os.path.relpath(there, out.resolve())).as_posix()


def _write_draws(
    content: Mapping[str, Any], draws: Mapping[tuple[str, str], Parameters], folder: Path
) -> None:
    """File the aligned draws of each posterior as netCDF, with named dimensions."""
    from lockstep.reports.draws import to_datatree

    folder.mkdir(parents=True, exist_ok=True)
    scenarios = {scenario.get("name"): scenario for scenario in content.get("scenarios") or []}
    for (name, implementation), parameters in draws.items():
        tree = to_datatree(scenarios[name], parameters)
        tree.to_netcdf(folder / f"{slug(name)}.{slug(implementation)}.nc")
