"""The report as Markdown, with PNG figures: for readers of a repository."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lockstep.comparisons.legible import printable
from lockstep.comparisons.outcomes import Card, Results
from lockstep.reports import reading, tables, verdicts
from lockstep.reports.chapters import READING, SPEED, SUBTITLE, SUMMARY, TITLE, Chapter
from lockstep.reports.figures import Drawn
from lockstep.reports.tables import Table

LONG = 60
"""Rows of a table that are shown; of the rest it is said where they are."""


def markdown(results: Results, chapters: Sequence[Chapter], benchmark: str | None = None) -> str:
    """Return the whole report.

    Parameters
    ----------
    results : Results
    chapters : sequence of Chapter
    benchmark : str, optional
        The way to the page of the benchmark.
    """
    overall = verdicts.overall(results)
    parts = [
        f"# {TITLE}",
        _paragraph(SUBTITLE),
        f"**{overall.glyph} {_escaped(overall.headline)}.** {_escaped(overall.detail)}.",
        *map(_card, results.cards),
        "## Every verdict",
        _summary(results, chapters),
        "## How to read this",
        *map(_paragraph, READING),
        *([f"{SPEED} [{benchmark}]({benchmark})."] if benchmark else []),
        "\n".join(f"- **{name}**: {_escaped(text)}" for name, text in tables.glossary()),
    ]
    for chapter in chapters:
        parts += _chapter(chapter)
    parts += [
        "## What the report was made with",
        _table(tables.environment_table(results), caption=False),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _card(card: Card) -> str:
    lines = [f"**≠ {_escaped(verdicts.card_title(card))}.**"]
    lines += [_paragraph(line) for line in verdicts.card_lines(card)]
    return "\n".join(f"> {line}  " for line in lines).rstrip()


def _summary(results: Results, chapters: Sequence[Chapter]) -> str:
    """Return scenarios against implementations, each verdict with its number."""
    who = reading.implementations(results)
    lines = [_line(["Scenario", *who]), _line(["---"] * (len(who) + 1), escape=False)]
    for chapter in chapters:
        if chapter.scenario is None:
            continue
        cells = []
        for implementation in who:
            said = [
                _escaped(f"{verdicts.label(o)} ({verdicts.brief(chapter.scenario, o)})")
                for o in chapter.scenario.outcomes
                if o.implementation == implementation
            ]
            cells.append("<br>".join(said))
        link = f"[{_escaped(chapter.name)}](#{chapter.anchor})"
        lines.append(_line([link, *cells], escape=False))
    return "\n".join(lines) + f"\n\n{_paragraph(SUMMARY)}"


def _chapter(chapter: Chapter) -> list[str]:
    parts = [
        f'<a id="{chapter.anchor}"></a>\n\n## {_escaped(chapter.title)}',
        f"{_code(chapter.name)} · {_escaped(chapter.facts)}",
        _paragraph(chapter.lesson),
        *([_figure(chapter.picture)] if chapter.picture else []),
        *map(_paragraph, chapter.notes),
    ]
    for section in chapter.sections:
        parts.append(f"### {_escaped(section.title)}")
        for block in section.blocks:
            if isinstance(block, Table):
                parts.append(_table(block))
            elif isinstance(block, Drawn):
                parts.append(_figure(block))
            else:
                parts.append(_paragraph(block))
    return parts


def _figure(drawn: Drawn) -> str:
    return f"![{_escaped(drawn.alt)}](figures/{drawn.stem}.png)\n\n*{_escaped(drawn.caption)}*"


def _table(table: Table, *, caption: bool = True) -> str:
    grouped = any(row.group for row in table.rows)
    heads = [c.title for c in table.columns]
    rules = ["---:" if c.numeric else "---" for c in table.columns]
    if grouped:
        heads, rules = [table.group_title, *heads], ["---", *rules]
    lines = [_line(heads), _line(rules, escape=False)]
    above = None
    for row in table.rows[:LONG]:
        cells = [cell.text for cell in row.cells]
        lines.append(_line(["" if row.group == above else row.group, *cells] if grouped else cells))
        above = row.group
    parts = [f"**{_escaped(table.caption)}**"] if caption else []
    parts.append("\n".join(lines))
    left = len(table.rows) - LONG
    if left > 0:
        parts.append(f"{left} more rows are in `recovery.csv` and `index.html`.")
    if table.notes:
        parts.append("\n".join(f"- {_paragraph(note)}" for note in table.notes))
    return "\n\n".join(parts)


def _line(cells: Sequence[str], *, escape: bool = True) -> str:
    return "| " + " | ".join(_escaped(c) if escape else c for c in cells) + " |"


def _escaped(text: str) -> str:
    """Return text within a line that Markdown and HTML take literally."""
    text = printable(" ".join(text.split()))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_|~\[\]#$])", r"\\\1", text)


def _paragraph(text: str) -> str:
    """Return text at the beginning of a line, where it is no heading, list or rule either."""
    return re.sub(r"^([-+=]|\d+(?=[.)]))", _not_first, _escaped(text))


def _not_first(found: re.Match[str]) -> str:
    return f"\\{found[1]}" if found[1] in "-+=" else f"&#{ord(found[1][0])};{found[1][1:]}"


def _code(text: str) -> str:
    """Return text as code, in more backticks than it has itself."""
    text = printable(" ".join(text.split()))
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    room = " " if "`" in text else ""
    return f"{fence}{room}{text}{room}{fence}"
