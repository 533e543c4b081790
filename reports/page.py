"""The report as one HTML file that asks nothing of a network."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lockstep.comparisons.implementations import implementations
from lockstep.comparisons.outcomes import Outcome, Results, ScenarioResult, Unfitted
from lockstep.models.fits import Status
from lockstep.reports import reading, tables, verdicts
from lockstep.reports.chapters import READING, SPEED, SUBTITLE, SUMMARY, TITLE, Chapter
from lockstep.reports.figures import Drawn, style
from lockstep.reports.figures.mixtures import points
from lockstep.reports.reading import MATCHED
from lockstep.reports.tables import Table

TEMPLATES = Path(__file__).parent / "templates"
LONG = 24
"""Rows from which a table comes folded up."""

PLAYED = 600
"""Points that the slider moves."""

MOST = 5000
"""Values that the slider's histogram counts."""

STEPS = 200
"""Iterations that the slider has at the most."""


def page(results: Results, chapters: Sequence[Chapter], benchmark: str | None = None) -> str:
    """Return the whole page.

    Parameters
    ----------
    results : Results
    chapters : sequence of Chapter
    benchmark : str, optional
        The way to the page of the benchmark.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    inline = Inliner(colours(results))
    figures = {
        block.stem: Markup(inline(block))
        for chapter in chapters
        for block in (chapter.picture, *(b for s in chapter.sections for b in s.blocks))
        if isinstance(block, Drawn)
    }
    environment.filters["svg"] = lambda drawn: figures[drawn.stem]
    environment.filters["typeset"] = typeset
    environment.filters["cssname"] = style.slug
    environment.tests["table"] = lambda block: isinstance(block, Table)
    environment.tests["figure"] = lambda block: isinstance(block, Drawn)
    template = environment.get_template("page.html")
    return template.render(
        title=TITLE,
        subtitle=SUBTITLE,
        reading=READING,
        speed=SPEED,
        benchmark=benchmark,
        summary=SUMMARY,
        glossary=tables.glossary(),
        overall=verdicts.overall(results),
        cards=[(c, verdicts.card_title(c), verdicts.card_lines(c)) for c in results.cards],
        implementations=reading.implementations(results),
        colours=colours(results),
        matrix=matrix(results),
        chapters=chapters,
        players={
            c.name: Markup(told)
            for c in chapters
            if c.scenario is not None and (told := player(c.scenario))
        },
        logs=logs,
        environment=tables.environment_table(results),
        made=results.environment.created,
        quick=results.environment.quick,
        long=LONG,
        style=Markup((TEMPLATES / "style.css").read_text("utf-8") + inline.css()),
        script=Markup((TEMPLATES / "script.js").read_text("utf-8")),
    )


def colours(results: Results) -> dict[str, tuple[str, str]]:
    """Return the page's names of colours, each on a light and on a dark ground."""
    found = {
        f"m-{style.slug(who)}": (style.colour(who), style.on_dark(style.colour(who)))
        for who in dict.fromkeys([*implementations(), *reading.implementations(results)])
    }
    for k, colour in enumerate(style.COMPONENTS):
        found[f"c{k}"] = (colour, style.on_dark(colour))
    return found


def matrix(results: Results) -> list[dict[str, Any]]:
    """Return the summary: for each scenario, for each implementation, its verdicts."""
    return [
        {
            "name": scenario.name,
            "title": scenario.title,
            "anchor": style.slug(scenario.name),
            "published": verdicts.published_verdict(scenario),
            "cells": [
                [_cell(scenario, o) for o in scenario.outcomes if o.implementation == who]
                for who in reading.implementations(results)
            ],
        }
        for scenario in results.scenarios
    ]


def _cell(scenario: ScenarioResult, o: Outcome) -> dict[str, Any]:
    return {
        "mode": verdicts.mode(o),
        "glyph": verdicts.glyph(o),
        "word": verdicts.word(o),
        "supported": o.status is not Status.UNSUPPORTED,
        "tone": verdicts.tone(o),
        "figure": verdicts.figure(scenario, o),
        "reason": tables.reason(o),
    }


def logs(scenario: ScenarioResult | None) -> list[tuple[str, str]]:
    """Return the tracebacks of what failed and the output of what printed, each with a title."""
    return [
        (f"{title} of {o.implementation} ({verdicts.mode(o)})", text)
        for o in ([] if scenario is None else scenario.outcomes)
        for title, text in (
            ("Traceback", o.traceback if isinstance(o, Unfitted) else ""),
            ("Output", o.output),
        )
        if text
    ]


def typeset(text: str) -> str:
    """Return text whose negative numbers have a minus sign."""
    return re.sub(r"(?<![\w.\]-])-(?=\d)", "−", text)


class Inliner:
    """Puts figures inside a page: themed, with names of their own and styles told once.

    Parameters
    ----------
    colours : mapping
        As `colours` returns them.
    """

    def __init__(self, colours: Mapping[str, tuple[str, str]]) -> None:
        self._themed = {
            style.INK: "currentColor",
            style.RULE: "var(--rule)",
            style.PAPER: "var(--card)",
        }
        for name, (colour, _) in colours.items():
            self._themed.setdefault(colour, f"var(--{name})")
        self._classes: dict[str, str] = {}
        self._figures = 0

    def __call__(self, drawn: Drawn) -> str:
        """Return a figure's SVG for the inside of the page."""
        from markupsafe import escape

        svg = re.sub(r"<style>.*?</style>", "", drawn.svg, flags=re.DOTALL)
        for old, new in self._themed.items():
            svg = svg.replace(f": {old}", f": {new}")
        self._figures += 1
        names = {name: f"f{self._figures}-{i}" for i, name in enumerate(_names(svg))}
        svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"', svg)
        svg = re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{names[m[1]]})", svg)
        svg = re.sub(r'xlink:href="#([^"]+)"', lambda m: f'href="#{names[m[1]]}"', svg)
        svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
        svg = re.sub(r'<svg width="[^"]*" height="[^"]*"', "<svg", svg, count=1)
        svg = re.sub(r"<[a-z]+ [^>]*>", self._classed, svg)
        return svg.replace("<svg", f'<svg role="img" aria-label="{escape(drawn.alt)}"', 1)

    def _classed(self, tag: re.Match[str]) -> str:
        found = re.search(r' style="([^"]*)"', tag[0])
        if found is None:
            return tag[0]
        told = self._classes.setdefault(found[1], f"s{len(self._classes)}")
        bare = tag[0].replace(found[0], "", 1)
        if ' class="' in bare:
            return bare.replace(' class="', f' class="{told} ', 1)
        return re.sub(r"(/?>)$", rf' class="{told}"\1', bare)

    def css(self) -> str:
        """Return the styles of all figures put in so far."""
        return "\n".join(f".{name} {{ {told} }}" for told, name in self._classes.items())


def _names(svg: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r' id="([^"]+)"', svg)))


PLAYED_FIELDS = {1: {"weights", "means", "variances"}, 2: {"weights", "means", "covariances"}}
"""What the slider knows how to draw, by the number of columns."""


def player(scenario: ScenarioResult) -> str:
    """Return the data of a scenario's slider as JSON; empty if it has none."""
    em = reading.lead(scenario, MATCHED)
    path = reading.record(scenario, None if em is None else em.path)
    if path is None or em is None or reading.has_sequences(scenario):
        return ""
    x, trace, fields = points(scenario), em.log_likelihood.trace, path.arrays()
    steps = len(fields["weights"])
    if not len(x) or steps < 2 or trace is None or len(trace) < steps:
        return ""
    if not np.isfinite(trace[:steps]).all():
        return ""
    D = 1 if x.ndim == 1 else x.shape[1]
    if set(fields) != PLAYED_FIELDS.get(D):
        return ""
    stride = max(1, -(-steps // STEPS))
    kept = sorted({*range(0, steps, stride), steps - 1})
    few = x.ravel() if D == 1 else x
    few = few[:: -(-len(few) // (MOST if D == 1 else PLAYED))]
    data = {
        "dimensions": D,
        "axes": reading.axis_names(scenario, D),
        "components": reading.component_names(scenario),
        "colours": [(c, style.on_dark(c)) for c in style.COMPONENTS],
        "data": _shortened(few.tolist()),
        "iterations": kept,
        "trace": trace[kept].tolist(),
        "path": {name: _shortened(values[kept].tolist()) for name, values in fields.items()},
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _shortened(value: Any) -> Any:
    if isinstance(value, list):
        return [_shortened(v) for v in value]
    return float(f"{value:.9g}")
