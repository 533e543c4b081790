"""The table of verdicts at the end of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockstep.comparisons.legible import legible
from lockstep.reports import numbers, reading, tables, verdicts
from lockstep.reports.reading import MATCHED, Entry

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

COLOURS = {"good": "green", "bad": "bold red", "declared": "yellow", "none": "dim", "": ""}
STATUSES = {
    "iteration_limit": "limit",
    "not_converged": "unconverged",
    "log_likelihood_fell": "fell",
}
"""Shorter than on the page."""


def print_verdicts(content: dict[str, Any], out_dir: Path, console: Console) -> None:
    """Print every verdict, the overall one, and where the report lies.

    Parameters
    ----------
    content : dict
        As ``results.json``.
    out_dir : Path
    console : rich.console.Console
    """
    from rich.padding import Padding
    from rich.text import Text

    ascii_only = not (console.encoding or "").lower().startswith("utf")

    def plain(text: str) -> str:
        text = legible(text, len(text), lines=True)
        return to_ascii(text) if ascii_only else text

    def say(text: str, style: str = "", indent: int = 0) -> None:
        line = Text(plain(text), style=style)
        console.print(Padding(line, (0, 0, 0, indent), expand=False) if indent else line)

    for scenario in content.get("scenarios") or []:
        title = f"{scenario.get('name')}  {scenario.get('title') or ''}".rstrip()
        say(title, "bold")
        console.print(_block(scenario, plain), highlight=False)
        for remark in _remarks(scenario):
            say(remark, "dim", 2)
        say("")
    say(
        "largest: matched, |difference from em| at any iteration; as configured, |error| where "
        "there is a truth, |difference from em| (Δ) where there is none; of differences, means "
        "in standard deviations, variances relative. Log-likelihoods in nats.",
        "dim",
    )
    overall = verdicts.overall(content)
    tone = "good" if overall.ok else "bad"
    say(f"{overall.glyph} {overall.headline}. {overall.detail}.", COLOURS[tone])
    console.print(Text(f"Report: {plain(str(out_dir / 'index.html'))}"), soft_wrap=True)


def _block(scenario: Entry, plain: Any) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    made.add_column("", no_wrap=True, overflow="crop", max_width=16, min_width=12)
    made.add_column("verdict", no_wrap=True, overflow="crop", min_width=12)
    made.add_column("status", no_wrap=True, overflow="crop", max_width=13)
    for heading in ("train", "held out", "largest", "s"):
        made.add_column(heading, justify="right", no_wrap=True, overflow="crop")
    for mode, title in reading.MODES.items():
        shown = [o for o in tables.shown(scenario) if o.get("mode") == mode]
        if shown:
            made.add_row(Text(title, style="italic dim"))
        for o in shown:
            digits = tables.Precision(o)
            scores = tables.scores(o)
            train, heldout = (reading.number(scores.get(key)) for key in ("train", "heldout"))
            made.add_row(
                Text(f"  {plain(tables.name(o))}"),
                Text(plain(_short(o)), style=COLOURS[verdicts.tone(o)]),
                plain(_status(o)),
                plain(digits.nats_at_mean(scenario, train, _decimals(train))),
                plain(digits.nats(heldout, _decimals(heldout))),
                plain(_largest(scenario, o)),
                plain(numbers.duration(reading.number(o.get("seconds") or None))),
            )
    return made


def _decimals(value: float | None) -> int:
    """Return the decimals for which there is room."""
    return 4 if value is None else max(0, min(4, 8 - len(f"{abs(value):.0f}")))


def _short(outcome: Entry) -> str:
    mark = "*" if verdicts.is_declared(outcome) else ""
    return f"{verdicts.glyph(outcome)} {verdicts.WORDS.get(str(outcome.get('verdict')), '?')}{mark}"


def _status(outcome: Entry) -> str:
    if outcome.get("mode") == MATCHED and outcome.get("status") == "iteration_limit":
        return f"{outcome.get('iterations')} steps"
    return STATUSES.get(str(outcome.get("status")), verdicts.status(outcome))


def _largest(scenario: Entry, outcome: Entry) -> str:
    if outcome.get("mode") == MATCHED:
        agreement = outcome.get("agreement") or {}
        return numbers.scientific(reading.number(agreement.get("max_scaled_difference")))
    error = tables.largest_error(outcome)
    if error is not None:
        return numbers.three(error)
    apart = tables.largest_difference(scenario, outcome)
    return numbers.DASH if apart is None else f"Δ {numbers.three(apart)}"


def _remarks(scenario: Entry) -> list[str]:
    remarks = []
    for o in tables.shown(scenario):
        who = f"{tables.name(o)} ({verdicts.mode(o)})"
        if verdicts.is_declared(o):
            remarks.append(f"* {who}: declared: {o['expected']}")
        elif o.get("verdict") not in ("agrees", None):
            remarks.append(f"{verdicts.glyph(o)} {who}: {tables.reason(o)}")
    published = verdicts.published_verdict(scenario)
    if published:
        remarks.append(published)
    remarks += map(str, scenario.get("notes") or [])
    missing = tables.not_supporting(scenario)
    if missing:
        remarks.append(f"– {missing}")
    return remarks


def to_ascii(text: str) -> str:
    """Return the text without the glyphs that some terminals lack."""
    for glyph, plain in verdicts.ASCII.items():
        text = text.replace(glyph, plain)
    return text.encode("ascii", "replace").decode()
