"""A verdict on somebody's EM, for a reader: in the terminal, as JSON, JUnit XML or Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from lockstep.comparisons.legible import legible
from lockstep.comparisons.validation.channel import last_lines
from lockstep.comparisons.validation.verdicts import Cause, Checked, Ended, Validation, Word
from lockstep.reports.numbers import count, duration, scientific
from lockstep.reports.terminal import to_ascii

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

GLYPHS = {Ended.PASSED: "✓", Ended.FAILED: "✗", Ended.NOT_CHECKED: "–"}
COLOURS = {Ended.PASSED: "green", Ended.FAILED: "bold red", Ended.NOT_CHECKED: "dim"}
HEADLINES = {
    Word.VALID: "Valid",
    Word.PARTIAL: "Right for what it does",
    Word.FRAGILE: "Right, but it breaks down in hard cases",
    Word.WRONG: "Wrong",
    Word.UNSEEN: "Seen too little to say",
}


LONGEST = 10_000
"""Characters of a paragraph."""

FEW = 6
"""Lines of a traceback that are shown in the terminal; JSON has all of it."""

MANY = 6
"""Titles in a row that are still read."""


def headline(verdict: Validation) -> str:
    """Return the verdict in a sentence."""
    passed, failed, skipped = (
        len(verdict.of(s)) for s in (Ended.PASSED, Ended.FAILED, Ended.NOT_CHECKED)
    )
    word = HEADLINES[verdict.word]
    if not passed and verdict.word is Word.UNSEEN:
        word = "Nothing could be checked"
    if verdict.word in (Word.PARTIAL, Word.FRAGILE) and verdict.choices:
        listed = "; ".join(cause.name for cause in verdict.choices)
        word = f"{HEADLINES[Word.PARTIAL]} ({listed})"
        if verdict.word is Word.FRAGILE:
            word += ", but it breaks down in hard cases"
    if verdict.word is Word.WRONG and [o.name for o in failed_core(verdict)] == ["log-likelihood"]:
        word = "Wrong in the log-likelihood it reports, and right in its parameters"
    said = f"{word}: {count(passed, 'check')} passed"
    if failed:
        said += f", {failed} failed"
    if skipped:
        said += f", {skipped} not made"
    return f"{said}, in {duration(verdict.seconds)} s."


def failed_core(verdict: Validation) -> list[Checked]:
    """Return the checks that failed and are no hard cases."""
    return [o for o in verdict.of(Ended.FAILED) if not o.hard]


SCOPES = {
    "first-step": "single iterations to the last digit",
    "lockstep": "ten in lock step with the reference",
    "optimum": "the optimum from random starts",
    "own-steps": "the iterations of its own fits, each from the one before",
    "own-fit": "where its own fits end",
}
"""By check, what has been seen if it passed."""


def scope(verdict: Validation) -> str:
    """Return what was seen to be right."""
    passed = verdict.of(Ended.PASSED)
    said = [SCOPES[o.name] for o in passed if o.name in SCOPES]
    if hard := sum(o.hard for o in passed):
        said.append(count(hard, "hard case"))
    return f"Seen to be right: {'; '.join(said)}." if said else ""


def _glyph(verdict: Validation) -> str:
    if verdict.word is Word.UNSEEN:
        return "?"
    return "✓" if verdict.word in (Word.VALID, Word.PARTIAL) else "✗"


def _role(cause: Cause, place: int) -> str:
    """Return what a cause is in the verdict."""
    if cause.choice:
        return "Taken as a choice"
    return "Or" if place else "Probable cause"


def _how_far(outcome: Checked) -> str:
    """Return what was measured beside what is allowed."""
    if outcome.measured is None:
        return ""
    if outcome.allowed is None:
        return scientific(outcome.measured)
    sign = "≤" if outcome.measured <= outcome.allowed else ">"
    return f"{scientific(outcome.measured)} {sign} {scientific(outcome.allowed)}"


def _message(outcome: Checked) -> str:
    if outcome.status is Ended.NOT_CHECKED:
        return f"not checked: {outcome.message}"
    said = outcome.message
    if outcome.status is Ended.FAILED and outcome.iteration is not None:
        if "iteration" not in said:
            said += f", at iteration {outcome.iteration}"
        if outcome.read:
            said += f"; see {outcome.read}"
    return said


def print_text(verdict: Validation, console: Console) -> None:
    """Print a verdict in the terminal."""
    from rich.padding import Padding
    from rich.text import Text

    ascii_only = not (console.encoding or "").lower().startswith("utf")

    def plain(text: str) -> str:
        text = legible(text, LONGEST, lines=True)
        return to_ascii(text.replace("≤", "<=")) if ascii_only else text

    def say(text: str = "", style: str = "", indent: int = 0) -> None:
        if not text:
            console.print()
            return
        console.print(Padding(Text(plain(text), style=style), (0, 0, 0, indent), expand=False))

    say(f"{verdict.target}  {verdict.model.replace('_', '-')}", "bold")
    say(f"{verdict.kind}: {verdict.text}" if verdict.text else verdict.kind, "dim")
    if verdict.reading:
        say(f"read as: {verdict.reading}", "dim")
    say()
    console.print(_checks(verdict, plain), highlight=False)
    say()
    for reason, titles in _not_checked(verdict).items():
        what = "; ".join(titles)
        if len(titles) > MANY:
            what = f"{len(titles)} checks, from {titles[0]} to {titles[-1]}"
        say(f"– Not checked, {reason}: {what}.", "dim")
    if verdict.of(Ended.NOT_CHECKED):
        say()
    for outcome in verdict.of(Ended.FAILED):
        say(f"✗ {outcome.title}: {_message(outcome)}.")
    if verdict.of(Ended.FAILED):
        say()
    for detail, titles in _last_words(verdict).items():
        say(f"{'; '.join(titles)}, the last it said:", "dim")
        say(last_lines(detail, FEW), "dim", 2)
        say()
    if verdict.deviations:
        say("Deviations, known and not wrong", "bold")
        for deviation in verdict.deviations:
            say(f"~ {deviation.name}: {deviation.evidence}.", "yellow", 2)
        say()
    if verdict.timing:
        times = [f"{row['who']} {row['nanoseconds']:,.0f}" for row in verdict.timing]
        say(f"Nanoseconds per observation and iteration: {', '.join(times)}.", "dim")
        say()
    tone = {"✓": "green", "?": "bold yellow"}.get(_glyph(verdict), "bold red")
    say(f"{_glyph(verdict)} {headline(verdict)}", tone)
    if seen := scope(verdict):
        say(seen, "dim", 2)
    for place, cause in enumerate(verdict.causes):
        say()
        say(f"{_role(cause, place)}: {cause.name}", "bold")
        say(f"{_sentence(cause.evidence)}", "", 2)
        say(f"{'To change' if cause.choice else 'To mend'} it: {cause.mend}.", "", 2)
        if cause.read:
            say(f"To read: {cause.read}.", "dim", 2)


def _checks(verdict: Validation, plain: Callable[[str], str]) -> Table:
    """Return the checks that were made, those that passed first."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    for outcome in (*verdict.of(Ended.PASSED), *verdict.of(Ended.FAILED)):
        style = COLOURS[outcome.status]
        table.add_row(
            Text(plain(GLYPHS[outcome.status]), style=style),
            Text(outcome.title, style="" if outcome.status is Ended.PASSED else style),
            Text(plain(_how_far(outcome) or _brief(outcome)), style=style),
        )
    return table


def _brief(outcome: Checked) -> str:
    """Return the words that stand for a number where there is none, if they are few."""
    return outcome.message if outcome.status is Ended.PASSED and len(outcome.message) < 40 else ""


def _not_checked(verdict: Validation) -> dict[str, list[str]]:
    """Return what was not checked, by the reason."""
    found: dict[str, list[str]] = {}
    for outcome in verdict.of(Ended.NOT_CHECKED):
        found.setdefault(outcome.message, []).append(outcome.title)
    return found


def _last_words(verdict: Validation) -> dict[str, list[str]]:
    """Return what was said at failures, each once, with the titles of the checks."""
    found: dict[str, list[str]] = {}
    for outcome in verdict.of(Ended.FAILED):
        if outcome.detail:
            found.setdefault(outcome.detail, []).append(outcome.title)
    return found


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""


def as_json(verdict: Validation) -> str:
    """Return the verdict as JSON."""
    return json.dumps(verdict.to_dict(), allow_nan=False, indent=1)


def as_junit(verdict: Validation) -> str:
    """Return the verdict as JUnit XML: one test case a check."""
    suite = ElementTree.Element(
        "testsuite",
        name=f"lockstep {verdict.model}",
        tests=str(len(verdict.outcomes)),
        failures=str(len(verdict.of(Ended.FAILED))),
        errors="0",
        skipped=str(len(verdict.of(Ended.NOT_CHECKED))),
        time=f"{verdict.seconds:.3f}",
    )
    for outcome in verdict.outcomes:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"lockstep.{verdict.model}",
            name=outcome.name,
            time=f"{outcome.seconds:.3f}",
        )
        if outcome.status is Ended.FAILED:
            failure = ElementTree.SubElement(case, "failure", message=_whole(outcome.message))
            failure.text = _whole(failure_text(verdict, outcome))
        elif outcome.status is Ended.NOT_CHECKED:
            ElementTree.SubElement(case, "skipped", message=_whole(outcome.message))
    output = ElementTree.SubElement(suite, "system-out")
    output.text = _whole(as_markdown(verdict))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def _whole(text: str) -> str:
    """Spell out what XML 1.0 cannot hold, nor a terminal obey; a program may print anything."""
    return legible(text, len(text), lines=True)


def failure_text(verdict: Validation, outcome: Checked) -> str:
    """Return all that is known of a failed check, for a log."""
    lines = [f"{outcome.title}: {_message(outcome)}"]
    if far := _how_far(outcome):
        lines.append(f"off by, and allowed: {far}")
    lines += [_cause_text(cause) for cause in verdict.causes]
    if outcome.detail:
        lines.append(last_lines(outcome.detail))
    return _whole("\n".join(lines))


def _cause_text(cause: Cause) -> str:
    text = f"{_role(cause, 0).lower()}: {cause.name}. {_sentence(cause.evidence)} "
    text += f"To mend it: {cause.mend}."
    return f"{text} To read: {cause.read}." if cause.read else text


def as_markdown(verdict: Validation) -> str:
    """Return the verdict as Markdown, for a pull request or an issue."""
    lines = [
        f"## {_glyph(verdict)} `{verdict.target}`, {verdict.model.replace('_', '-')}",
        "",
        headline(verdict),
        *([scope(verdict)] if scope(verdict) else []),
        "",
    ]
    for cause in verdict.causes:
        lines += [f"**{_role(cause, 0)}: {cause.name}.** {_sentence(cause.evidence)}"]
        lines += [f"To mend it: {cause.mend}.", ""]
    lines += ["| | check | result | off by, and allowed |", "|---|---|---|---|"]
    for o in verdict.outcomes:
        cells = (GLYPHS[o.status], o.title, _message(o), _how_far(o))
        lines.append("| " + " | ".join(_cell(c) for c in cells) + " |")
    if verdict.deviations:
        lines += ["", "Deviations, known and not wrong:", ""]
        lines += [f"- {d.name}: {d.evidence}." for d in verdict.deviations]
    if verdict.timing:
        lines += ["", "| | ns per observation and iteration |", "|---|--:|"]
        lines += [f"| {row['who']} | {row['nanoseconds']:,.0f} |" for row in verdict.timing]
    return _whole("\n".join(lines))


def _cell(text: str) -> str:
    return legible(text.replace("\n", " "), LONGEST).replace("|", "\\|")


FORMATS: dict[str, Callable[[Validation], str]] = {
    "json": as_json,
    "junit": as_junit,
    "markdown": as_markdown,
}
