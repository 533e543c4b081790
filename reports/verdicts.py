"""Verdicts for a reader: a glyph, a word and a number, so that colour is never needed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lockstep.comparisons.judging import LOCKSTEP, NEAR_OPTIMUM
from lockstep.reports.numbers import count, fixed, given, scientific, three
from lockstep.reports.reading import (
    MATCHED,
    MODES,
    Entry,
    is_degenerate,
    is_posterior,
    number,
    outcomes,
)

GLYPHS = {"agrees": "✓", "differs": "≠", "unsettled": "~", "failed": "✗", "not_run": "–"}
ASCII = {
    "✓": "+",
    "≠": "!=",
    "✗": "x",
    "–": "-",
    "→": "->",
    "±": "+-",
    "·": "|",
    "Δ": "diff",
    "…": "...",
}
WORDS = {
    "agrees": "agrees",
    "differs": "differs",
    "unsettled": "unsettled",
    "failed": "failed",
    "not_run": "not run",
}
MEANINGS = {
    "agrees": "Matched: no parameter differed from em's by more than "
    f"{LOCKSTEP:g} at any iteration (means in standard deviations, variances relative). "
    f"As configured: the fit came within {NEAR_OPTIMUM:g} nats of the best one; for a posterior, "
    "its diagnostics passed and its mean lies within p/2 nats of the best fit, p being the number "
    "of free parameters.",
    "differs": "The same yardstick was missed, or the fit degenerated or lost likelihood. A fit of "
    "a spike, where the likelihood has no maximum, is degenerate however it got there, and never "
    "the best; two that found the same collapse are one finding.",
    "unsettled": "A posterior whose diagnostics failed: its numbers are shown, and not to be "
    "trusted. Or one for which there is no sound fit to hold it against.",
    "failed": "The implementation stopped with an error, which is shown.",
    "not_run": "The implementation does not do this model, or is not installed.",
}
STATUSES = {
    "converged": "converged",
    "iteration_limit": "iteration limit",
    "log_likelihood_fell": "log-likelihood fell",
    "degenerate": "degenerate",
    "not_converged": "not converged",
    "unsupported": "unsupported",
    "not_installed": "not installed",
    "failed": "failed",
}


def glyph(outcome: Entry) -> str:
    """Return the verdict's glyph."""
    return GLYPHS.get(str(outcome.get("verdict")), "?")


def word(outcome: Entry) -> str:
    """Return the verdict's word; one that the scenario declares says so."""
    verdict = str(outcome.get("verdict"))
    text = WORDS.get(verdict, verdict.replace("_", " "))
    if outcome.get("status") == "not_installed":
        return "not installed"
    return f"{text}, as declared" if is_declared(outcome) else text


def label(outcome: Entry) -> str:
    """Return glyph and word."""
    return f"{glyph(outcome)} {word(outcome)}"


def is_declared(outcome: Entry) -> bool:
    """Return whether this disagreement belongs to the scenario."""
    return bool(outcome.get("expected")) and outcome.get("verdict") in (
        "differs",
        "unsettled",
        "failed",
    )


def tone(outcome: Entry) -> str:
    """Return how the verdict is to be styled: good, bad, declared or none."""
    if outcome.get("verdict") == "agrees":
        return "good"
    if is_declared(outcome):
        return "declared"
    return "none" if outcome.get("verdict") == "not_run" else "bad"


def status(outcome: Entry) -> str:
    """Return the status in words; a matched fit stops where it was told to."""
    given = outcome.get("status")
    if given == "iteration_limit" and outcome.get("mode") == MATCHED:
        return "stopped as asked"
    return STATUSES.get(str(given), str(given or "unknown").replace("_", " "))


def gap(scenario: Entry, outcome: Entry) -> float | None:
    """Return how many nats the fit lies below the best one on the training data.

    None for a degenerate one: its likelihood is that of a spike.
    """
    if is_degenerate(outcome):
        return None
    train = number((outcome.get("log_likelihood") or {}).get("train"))
    best = number(scenario.get("best_log_likelihood"))
    return None if train is None or best is None else max(best - train, 0.0)


def nats_short(value: float | None) -> str:
    """Return a gap to the best fit in nats; what is below 1e-9 is rounding."""
    if value is None:
        return ""
    if value < 1e-9:
        return "best"
    return "< 0.001 nats" if value < 0.001 else f"{three(value)} nats"


def figure(scenario: Entry, outcome: Entry) -> str:
    """Return the number behind the verdict, as short as it can be said."""
    if outcome.get("verdict") in ("failed", "not_run", None):
        return ""
    if is_degenerate(outcome):
        return "degenerate"
    if outcome.get("mode") == MATCHED:
        agreement = outcome.get("agreement") or {}
        largest = number(agreement.get("max_scaled_difference"))
        return f"Δ {scientific(largest)}" if largest is not None else "reference"
    if is_posterior(outcome) and outcome.get("verdict") == "unsettled":
        return _worst_diagnostic(outcome)
    return nats_short(gap(scenario, outcome))


def checks(outcome: Entry) -> list[Entry]:
    """Return the checks of a posterior's diagnostics."""
    return list((outcome.get("diagnostics") or {}).get("checks") or [])


def said(check: Entry) -> str:
    """Return a check's value with the digits that it deserves."""
    name, value = str(check.get("name")), check.get("value")
    if isinstance(value, bool):
        return "yes" if value else "no"
    size = number(value)
    if name == "label switching":
        return f"{fixed(None if size is None else 100 * size, 1)}% of draws"
    decimals = {"bulk ESS": 0, "tail ESS": 0, "divergences": 0, "E-BFMI": 2, "sd against NUTS": 2}
    return fixed(size, decimals.get(name, 2 if "k-hat" in name else 4))


def gate(check: Entry) -> str:
    """Return a check's threshold."""
    threshold, name = check.get("threshold"), check.get("name")
    if isinstance(threshold, bool):
        return "yes" if threshold else "no"
    if name == "label switching":
        return f"at most {100 * (number(threshold) or 0):g}%"
    rule = {"<=": "at most", ">=": "at least"}.get(str(check.get("rule")), str(check.get("rule")))
    return (
        f"{rule} {given(number(threshold)) if name != 'Pareto k-hat' else three(number(threshold))}"
    )


def _worst_diagnostic(outcome: Entry) -> str:
    """Return the first check that a posterior failed: they come with the gravest first."""
    for check in checks(outcome):
        if check.get("passed") is False:
            name, value = str(check.get("name")), said(check)
            if check.get("name") == "R-hat":
                value = fixed(number(check.get("value")), 2)
            return "ELBO" if name == "ELBO settled" else f"{name} {value}"
    return ""


def brief(scenario: Entry, outcome: Entry) -> str:
    """Return the mode and the number behind the verdict."""
    what = "unsupported" if outcome.get("status") == "unsupported" else mode(outcome)
    return f"{what} {figure(scenario, outcome)}".rstrip()


def mode(outcome: Entry) -> str:
    """Return the mode in words."""
    return MODES.get(str(outcome.get("mode")), str(outcome.get("mode")))


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


def overall(content: Entry) -> Overall:
    """Return the verdict on a whole report."""
    scenarios = content.get("scenarios") or []
    every = [o for scenario in scenarios for o in outcomes(scenario)]
    run = [o for o in every if o.get("verdict") != "not_run"]
    against = [
        f"{s.get('name')}: {o.get('implementation')} ({mode(o)}) {WORDS.get(str(o.get('verdict')))}"
        for s in scenarios
        for o in outcomes(s)
        if o.get("counts_against")
    ]
    against += [
        f"{s.get('name')}: published {p.get('quantity')} {p.get('printed')} is not matched"
        for s in scenarios
        for p in s.get("published") or []
        if p.get("matches") is False
    ]
    tally = Counter(tone(o) for o in run)
    detail = (
        f"{count(len(run), 'fit')} in {count(len(scenarios), 'scenario')}: {tally['good']} agree"
    )
    if tally["declared"]:
        detail += f", {tally['declared']} disagree as declared"
    missing = sum(o.get("status") == "not_installed" for o in every)
    if missing:
        detail += f", {missing} not installed"
    if not run:
        return Overall(False, "–", "Nothing was run", "There are no fits to compare")
    if against:
        headline = f"{count(len(against), 'undeclared disagreement')}"
        return Overall(False, "≠", headline, f"{detail}; against it: {'; '.join(against)}")
    headline = "All fits agree" if not tally["declared"] else "All fits agree where they should"
    return Overall(True, "✓", headline, detail)


def published_tally(scenario: Entry) -> tuple[int, int]:
    """Return how many published figures match ours, and how many ought to."""
    compared = [p for p in scenario.get("published") or [] if p.get("matches") is not None]
    return sum(bool(p["matches"]) for p in compared), len(compared)


def published_verdict(scenario: Entry) -> str:
    """Return the same in words; empty if nothing is published."""
    matches, of = published_tally(scenario)
    if not of:
        return ""
    mark = GLYPHS["agrees"] if matches == of else GLYPHS["differs"]
    return f"{mark} {matches} of {of} published figures match"
