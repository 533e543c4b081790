"""The table of verdicts at the end of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lockstep.comparisons.legible import legible
from lockstep.comparisons.outcomes import (
    Outcome,
    PointOutcome,
    PosteriorOutcome,
    Results,
    ScenarioResult,
    Verdict,
)
from lockstep.comparisons.posterior_agreement import sentence
from lockstep.models.fits import Status
from lockstep.reports import numbers, reading, tables, verdicts
from lockstep.reports.reading import MATCHED

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.table import Table

COLOURS = {"good": "green", "bad": "bold red", "declared": "yellow", "none": "dim", "": ""}
STATUSES = {
    Status.ITERATION_LIMIT: "limit",
    Status.NOT_CONVERGED: "unconverged",
    Status.LOG_LIKELIHOOD_FELL: "fell",
}
"""Shorter than on the page."""

LEGEND = (
    "largest: matched, |difference from em| at any iteration; as configured, |error| where there "
    "is a truth, |difference from em| (Δ) where there is none; of differences, means in standard "
    "deviations, variances relative. Log-likelihoods in nats."
)


def print_verdicts(
    results: Results, out_dir: Path, console: Console, *, brief: bool = False
) -> None:
    """Print every verdict, where the report lies, and last the overall verdict.

    Parameters
    ----------
    results : Results
    out_dir : Path
    console : rich.console.Console
    brief : bool, optional
        Whether to leave out the tables.
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

    for card in results.cards:
        say(f"{verdicts.GLYPHS[Verdict.DIFFERS]} {verdicts.card_title(card)}.", "bold red")
        for told in verdicts.card_lines(card):
            say(told, "", 2)
        say("")
    for scenario in () if brief else results.scenarios:
        say(f"{scenario.name}  {scenario.title}".rstrip(), "bold")
        console.print(_block(scenario, plain), highlight=False)
        for remark in _remarks(scenario):
            say(remark, "dim", 2)
        say("")
    if not brief:
        say(LEGEND, "dim")
    console.print(Text(f"Report: {plain(str(out_dir / 'index.html'))}"), soft_wrap=True)
    overall = verdicts.overall(results)
    tone = "good" if overall.ok else "bad"
    say(f"{overall.glyph} {overall.headline}. {overall.detail}.", COLOURS[tone])


def _block(scenario: ScenarioResult, plain: Callable[[str], str]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    made.add_column("", overflow="fold", max_width=16, min_width=12)
    made.add_column("verdict", no_wrap=True, overflow="crop", min_width=12)
    made.add_column("status", no_wrap=True, overflow="crop", max_width=13)
    for heading in ("train", "held out", "largest", "s"):
        made.add_column(heading, justify="right", no_wrap=True, overflow="crop")
    for mode, title in reading.MODES.items():
        shown = [o for o in tables.shown(scenario) if o.mode is mode]
        if shown:
            made.add_row(Text(title, style="italic dim"))
        for o in shown:
            digits, scores = tables.Precision(o), reading.scores(o)
            made.add_row(
                Text(f"  {plain(o.implementation)}"),
                Text(plain(_short(o)), style=COLOURS[verdicts.tone(o)]),
                plain(_status(o)),
                plain(digits.nats_at_mean(scenario, _decimals(scores.train))),
                plain(digits.nats(scores.heldout, _decimals(scores.heldout))),
                plain(_largest(scenario, o)),
                plain(numbers.duration(o.seconds or None)),
            )
    return made


def _decimals(value: float | None) -> int:
    """Return the decimals for which there is room."""
    return 4 if value is None else max(0, min(4, 8 - len(f"{abs(value):.0f}")))


def _short(outcome: Outcome) -> str:
    mark = "*" if verdicts.is_declared(outcome) else ""
    return f"{verdicts.glyph(outcome)} {verdicts.words(outcome.verdict)}{mark}"


def _status(outcome: Outcome) -> str:
    stopped = outcome.mode is MATCHED and outcome.status is Status.ITERATION_LIMIT
    if stopped and isinstance(outcome, PointOutcome):
        return f"{outcome.iterations} steps"
    return STATUSES.get(outcome.status, verdicts.status(outcome))


def _largest(scenario: ScenarioResult, outcome: Outcome) -> str:
    if outcome.mode is MATCHED:
        agreement = outcome.agreement if isinstance(outcome, PointOutcome) else None
        return numbers.scientific(None if agreement is None else agreement.max_scaled_difference)
    error = tables.largest_error(outcome)
    if error is not None:
        return numbers.three(error)
    apart = tables.largest_difference(scenario, outcome)
    return numbers.DASH if apart is None else f"Δ {numbers.three(apart)}"


def _remarks(scenario: ScenarioResult) -> list[str]:
    remarks = []
    for o in tables.shown(scenario):
        who = f"{o.implementation} ({verdicts.mode(o)})"
        if verdicts.is_declared(o):
            remarks.append(f"* {who}: declared: {o.expected}")
        elif o.verdict is not Verdict.AGREES:
            remarks.append(f"{verdicts.glyph(o)} {who}: {tables.reason(o)}")
        elif isinstance(o, PosteriorOutcome) and o.agreement is not None:
            remarks.append(f"{verdicts.glyph(o)} {who}: {sentence(o.agreement)}")
    published = verdicts.published_verdict(scenario)
    if published:
        remarks.append(published)
    remarks += scenario.notes
    missing = tables.not_supporting(scenario)
    if missing:
        remarks.append(f"– {missing}")
    return remarks


def to_ascii(text: str) -> str:
    """Return the text without the glyphs that some terminals lack."""
    for glyph, plain in verdicts.ASCII.items():
        text = text.replace(glyph, plain)
    return text.encode("ascii", "replace").decode()
