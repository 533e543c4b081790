"""Verdicts for a reader: a glyph, a word and a number, so that colour is never needed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lockstep.comparisons.outcomes import (
    Card,
    Diagnostic,
    Likeness,
    Outcome,
    PointOutcome,
    PosteriorOutcome,
    Results,
    ScenarioResult,
    Verdict,
)
from lockstep.comparisons.yardstick import LOCKSTEP, NEAR_OPTIMUM
from lockstep.models.fits import Status
from lockstep.reports.numbers import count, fixed, given, scientific, three
from lockstep.reports.reading import MATCHED, MODES, is_degenerate, scores

GLYPHS = {
    Verdict.AGREES: "✓",
    Verdict.DIFFERS: "≠",
    Verdict.UNSETTLED: "~",
    Verdict.FAILED: "✗",
    Verdict.NOT_RUN: "–",
}
ASCII = {
    "✓": "+",
    "≠": "!=",
    "✗": "x",
    "–": "-",
    "→": "->",
    "±": "+-",
    "·": "|",
    "≈": "~",
    "Δ": "diff",
    "…": "...",
}
MEANINGS = {
    Verdict.AGREES: "Matched: no parameter differed from em's by more than "
    f"{LOCKSTEP:g} at any iteration (means in standard deviations, variances relative). "
    f"As configured: the fit came within {NEAR_OPTIMUM:g} nats of the best one; for a posterior, "
    "its diagnostics passed and its mean lies within p/2 nats of the best fit, p being the number "
    "of free parameters; and one that is meant to be the reference posterior is that, by its "
    "parameters, its log-likelihood and its densities, within their Monte Carlo errors. On the "
    "limit is what lies within its own Monte Carlo error of it: it agrees.",
    Verdict.DIFFERS: "The same yardstick was missed, or the fit degenerated or lost likelihood. A "
    "fit of a spike, where the likelihood has no maximum, is degenerate however it got there, and "
    "never the best; two that found the same collapse are one finding.",
    Verdict.UNSETTLED: "A posterior whose diagnostics failed: its numbers are shown, and not to be "
    "trusted. Or one for which there is no sound fit to hold it against.",
    Verdict.FAILED: "The implementation stopped with an error, which is shown.",
    Verdict.NOT_RUN: "The implementation does not do this model, or is not installed.",
}


def words(name: Verdict | Status) -> str:
    """Return a verdict or a status in words."""
    if name is Status.LOG_LIKELIHOOD_FELL:
        return "log-likelihood fell"
    return name.replace("_", " ")


def glyph(outcome: Outcome) -> str:
    """Return the verdict's glyph."""
    return GLYPHS[outcome.verdict]


def word(outcome: Outcome) -> str:
    """Return the verdict's word; one that the scenario declares says so."""
    if outcome.status is Status.NOT_INSTALLED:
        return words(outcome.status)
    text = words(outcome.verdict)
    return f"{text}, as declared" if is_declared(outcome) else text


def label(outcome: Outcome) -> str:
    """Return glyph and word."""
    return f"{glyph(outcome)} {word(outcome)}"


def is_declared(outcome: Outcome) -> bool:
    """Return whether this disagreement belongs to the scenario."""
    return bool(outcome.expected) and outcome.verdict not in (Verdict.AGREES, Verdict.NOT_RUN)


def tone(outcome: Outcome) -> str:
    """Return how the verdict is to be styled: good, bad, declared or none."""
    if outcome.verdict is Verdict.AGREES:
        return "good"
    if is_declared(outcome):
        return "declared"
    return "none" if outcome.verdict is Verdict.NOT_RUN else "bad"


def status(outcome: Outcome) -> str:
    """Return the status in words; a matched fit stops where it was told to."""
    if outcome.status is Status.ITERATION_LIMIT and outcome.mode is MATCHED:
        return "stopped as asked"
    return words(outcome.status)


def gap(scenario: ScenarioResult, outcome: Outcome) -> float | None:
    """Return how many nats the fit lies below the best one on the training data.

    None for a degenerate one: its likelihood is that of a spike.
    """
    if is_degenerate(outcome):
        return None
    train, best = scores(outcome).train, scenario.best_log_likelihood
    return None if train is None or best is None else max(best - train, 0.0)


def nats_short(value: float | None) -> str:
    """Return a gap to the best fit in nats; what is below 1e-9 is rounding."""
    if value is None:
        return ""
    if value < 1e-9:
        return "best"
    return "< 0.001 nats" if value < 0.001 else f"{three(value)} nats"


def figure(scenario: ScenarioResult, outcome: Outcome) -> str:
    """Return the number behind the verdict, as short as it can be said."""
    if outcome.verdict in (Verdict.FAILED, Verdict.NOT_RUN):
        return ""
    if is_degenerate(outcome):
        return "degenerate"
    if isinstance(outcome, PointOutcome) and outcome.mode is MATCHED:
        if outcome.agreement is None or outcome.agreement.max_scaled_difference is None:
            return "reference"
        return f"Δ {scientific(outcome.agreement.max_scaled_difference)}"
    if isinstance(outcome, PosteriorOutcome) and outcome.diagnostics.failed:
        return _worst_diagnostic(outcome)
    if isinstance(outcome, PosteriorOutcome) and is_unlike(outcome):
        return farthest(outcome)
    return nats_short(gap(scenario, outcome))


def is_unlike(outcome: PosteriorOutcome) -> bool:
    """Return whether a posterior cannot be said to be the reference's, which it is meant to be."""
    likeness = None if outcome.agreement is None else outcome.agreement.likeness
    return likeness in (Likeness.DIFFERS, Likeness.UNDECIDED)


def farthest(outcome: PosteriorOutcome) -> str:
    """Return the largest |z| of a posterior that is held against the reference's."""
    found = outcome.agreement
    if found is None:
        return ""
    if found.likeness is Likeness.EQUAL:
        return "equal draws"
    by_part = not found.beyond and found.parts and abs(found.parts[0].z) > found.parts_limit
    worst = (found.parts if by_part else found.table)[0]
    return f"z {fixed(abs(worst.z), 1)} from {found.against}"


def result(check: Diagnostic) -> str:
    """Return how a check went."""
    return "≈ on the limit" if check.on_the_limit else "✓ passed" if check.passed else "✗ failed"


def said(check: Diagnostic) -> str:
    """Return a check's value with the digits that it deserves."""
    name, value = check.name, check.value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "label switching":
        return f"{fixed(None if value is None else 100 * value, 1)}% of draws"
    decimals = {"bulk ESS": 0, "tail ESS": 0, "divergences": 0, "E-BFMI": 2, "sd against NUTS": 2}
    return fixed(value, decimals.get(name, 2 if "k-hat" in name else 4))


def gate(check: Diagnostic) -> str:
    """Return a check's threshold."""
    threshold, name = check.threshold, check.name
    if isinstance(threshold, bool):
        return "yes" if threshold else "no"
    if name == "label switching":
        return f"at most {100 * threshold:g}%"
    rule = {"<=": "at most", ">=": "at least"}.get(check.rule, check.rule)
    return f"{rule} {three(threshold) if name == 'Pareto k-hat' else given(threshold)}"


def _worst_diagnostic(outcome: PosteriorOutcome) -> str:
    """Return the first check that a posterior failed: they come with the gravest first."""
    for check in outcome.diagnostics.failed:
        value = fixed(check.value, 2) if check.name == "R-hat" else said(check)
        return "ELBO" if check.name == "ELBO settled" else f"{check.name} {value}"
    return ""


def brief(scenario: ScenarioResult, outcome: Outcome) -> str:
    """Return the mode and the number behind the verdict."""
    unsupported = outcome.status is Status.UNSUPPORTED
    what = words(outcome.status) if unsupported else mode(outcome)
    return f"{what} {figure(scenario, outcome)}".rstrip()


def mode(outcome: Outcome) -> str:
    """Return the mode in words."""
    return MODES[outcome.mode]


@dataclass(frozen=True)
class Overall:
    """One verdict for the whole report.

    Attributes
    ----------
    ok : bool
        Whether nothing counts against it.
    glyph, headline, detail : str
    """

    ok: bool
    glyph: str
    headline: str
    detail: str


def against(results: Results) -> list[str]:
    """Return what counts against a report: undeclared disagreements, published figures missed."""
    return [
        f"{s.name}: {o.implementation} ({mode(o)}) {words(o.verdict)}"
        for s in results.scenarios
        for o in s.outcomes
        if o.counts_against
    ] + [
        f"{s.name}: published {p.quantity} {p.printed} is not matched"
        for s in results.scenarios
        for p in s.published
        if p.matches is False
    ]


def overall(results: Results) -> Overall:
    """Return the verdict on a whole report."""
    every = [o for scenario in results.scenarios for o in scenario.outcomes]
    run = [o for o in every if o.verdict is not Verdict.NOT_RUN]
    wrong = against(results)
    tally = Counter(tone(o) for o in run)
    fits, where = count(len(run), "fit"), count(len(results.scenarios), "scenario")
    detail = f"{fits} in {where}: {tally['good']} agree"
    if tally["declared"]:
        detail += f", {tally['declared']} disagree as declared"
    missing = sum(o.status is Status.NOT_INSTALLED for o in every)
    if missing:
        detail += f", {missing} not installed"
    if not run:
        return Overall(False, "–", "Nothing was run", "There are no fits to compare")
    if wrong:
        headline = f"{count(len(wrong), 'undeclared disagreement')}"
        return Overall(False, "≠", headline, f"{detail}; against it: {'; '.join(wrong)}")
    headline = "All fits agree" if not tally["declared"] else "All fits agree where they should"
    return Overall(True, "✓", headline, detail)


def card_title(card: Card) -> str:
    """Return what a card says in a line."""
    if card.cause and not card.wrong:
        return f"{card.implementation} is right for what it does, which is not all: {card.cause}"
    if card.cause:
        return f"{card.implementation} is wrong, and the probable cause is: {card.cause}"
    if card.wrong:
        return f"{card.implementation} is wrong"
    return f"{card.implementation} differs, and no mistake is found in its iterations"


def card_lines(card: Card) -> list[str]:
    """Return where a wrong candidate first differs, why, how to mend it, and the row to read."""
    row = f"To read: the row {card.implementation} ({MODES[card.mode]}) of {card.scenario}"
    if card.read:
        row += f", and {card.read}"
    if card.first is None:
        lines = [f"In {card.scenario}: {card.reason}."]
    else:
        f = card.first
        lines = [
            f"In {card.scenario} its {f.entry} is {_digits(f.value)} after iteration "
            f"{f.iteration}, and ours is {_digits(f.ours)}."
        ]
    if card.evidence:
        lines.append(f"{card.evidence[0].upper()}{card.evidence[1:]}.")
    if card.mend:
        lines.append(f"To mend it: {card.mend}.")
    return [*lines, f"{row}."]


def _digits(value: float | None) -> str:
    return "no number" if value is None else f"{value:.10g}"


def published_verdict(scenario: ScenarioResult) -> str:
    """Return how many published figures match ours of those that ought to; empty if none is."""
    compared = [p.matches for p in scenario.published if p.matches is not None]
    if not compared:
        return ""
    mark = GLYPHS[Verdict.AGREES if all(compared) else Verdict.DIFFERS]
    return f"{mark} {sum(compared)} of {len(compared)} published figures match"
