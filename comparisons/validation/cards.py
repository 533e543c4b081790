"""What a report says first of a candidate that is wrong: where it shows, and the probable cause."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from lockstep.comparisons.outcomes import Card, First, PointOutcome, Results, Row
from lockstep.comparisons.validation.verdicts import Word

if TYPE_CHECKING:
    from lockstep.comparisons.validation.guest import Guest
    from lockstep.comparisons.validation.verdicts import Validation


def with_cards(results: Results, guests: Iterable[Guest]) -> Results:
    """Return results with a card for each guest that counts against them."""
    cards = [card for guest in guests if (card := _card(results, guest)) is not None]
    return msgspec.structs.replace(results, cards=cards) if cards else results


def _card(results: Results, guest: Guest) -> Card | None:
    wrong = [
        (scenario.name, outcome)
        for scenario in results.scenarios
        for outcome in scenario.outcomes
        if outcome.implementation == guest.NAME and outcome.counts_against
    ]
    if not wrong:
        return None
    # The earliest difference says most: later ones follow from it.
    scenario, outcome = min(wrong, key=lambda each: _iteration(each[1]))
    first = _first(outcome)
    card = Card(
        implementation=guest.NAME,
        scenario=scenario,
        mode=outcome.mode,
        reason=outcome.reason or outcome.message,
        first=first,
    )
    judged = _validated(guest)
    if judged is None or judged.word not in (Word.WRONG, Word.PARTIAL):
        return card
    card = msgspec.structs.replace(card, wrong=judged.word is Word.WRONG)
    failed = [o for o in judged.outcomes if o.status == "failed"]
    if not judged.causes:
        said = f"{failed[0].title}: {failed[0].message}" if failed else ""
        return msgspec.structs.replace(card, evidence=said)
    cause = judged.causes[0] if card.wrong else judged.choices[0]
    return msgspec.structs.replace(
        card, cause=cause.name, evidence=cause.evidence, mend=cause.mend, read=cause.read
    )


def _first(outcome: Row) -> First | None:
    if isinstance(outcome, PointOutcome) and outcome.agreement is not None:
        return outcome.agreement.first
    return None


def _iteration(outcome: Row) -> float:
    first = _first(outcome)
    return float("inf") if first is None else first.iteration


def _validated(guest: Guest) -> Validation | None:
    """Return the verdict of the cheap checks, which name a cause; None if it cannot be had."""
    from lockstep.comparisons.validation import validate
    from lockstep.comparisons.validation.candidate import UnusableError
    from lockstep.comparisons.validation.channel import StartError

    try:
        return validate(
            guest.target,
            guest.model,
            command=guest.command,
            limit=guest.limit,
            only=lambda check: check.stage != "deep" or check.start is False,
        )
    except (UnusableError, StartError):
        return None
