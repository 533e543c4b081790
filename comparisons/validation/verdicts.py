"""What validation finds: an outcome for each check, and the verdict on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 1


class Ended(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


class Word(StrEnum):
    """The verdict in a word."""

    VALID = "valid"
    PARTIAL = "partial"
    FRAGILE = "fragile"
    WRONG = "wrong"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class Cause:
    """What probably went wrong.

    Attributes
    ----------
    name : str
        The mistake.
    evidence : str
        The numbers that say so.
    mend : str
        What to do.
    read : str
        Where it is explained.
    choice : bool
        Whether it is nothing wrong, but something that a right EM may leave out.
    """

    name: str
    evidence: str
    mend: str
    read: str = ""
    choice: bool = False


@dataclass(frozen=True)
class Deviation:
    """Something that differs, is known, and is not wrong."""

    name: str
    evidence: str


@dataclass(frozen=True)
class Checked:
    """What became of a check.

    Attributes
    ----------
    name, title : str
    status : Ended
    message : str
        The result for a reader, or why it was not checked.
    measured, allowed : float or None
        The largest difference, and the largest that would pass.
    where : str
        The entry that differs most, such as ``variances[1]``.
    iteration : int or None
        The first iteration at which it failed.
    detail : str
        A traceback, or the last words of a process.
    read : str
        Where it is explained.
    hard : bool
        Whether it is a hard case: one that arithmetic, not the equations, can fail.
    unheard : bool
        Whether it failed without an answer that the mathematics could be judged by.
    seconds : float
    """

    name: str
    title: str
    status: Ended
    message: str
    measured: float | None = None
    allowed: float | None = None
    where: str = ""
    iteration: int | None = None
    detail: str = ""
    read: str = ""
    hard: bool = False
    unheard: bool = False
    seconds: float = 0.0


ITERATIONS = frozenset({"first-step", "lockstep", "own-steps"})
"""Checks of which one at least must have passed before an EM is called right."""


@dataclass(frozen=True)
class Validation:
    """The outcomes of all checks.

    Attributes
    ----------
    target, model, kind, text : str
        What was validated, and as what it was recognised.
    outcomes : sequence of Checked
    causes : sequence of Cause
        The likeliest first.
    deviations : sequence of Deviation
    timing : sequence of dict
        Rows of who took how long.
    seconds : float
    reading : str
        How it was read, where its names alone do not say it.
    """

    target: str
    model: str
    kind: str
    text: str
    outcomes: Sequence[Checked]
    causes: Sequence[Cause] = ()
    deviations: Sequence[Deviation] = ()
    timing: Sequence[dict[str, Any]] = field(default_factory=tuple)
    seconds: float = 0.0
    reading: str = ""

    @property
    def word(self) -> Word:
        """The verdict in a word: fragile if only hard cases failed, unseen if too little passed."""
        failed = self.of(Ended.FAILED)
        if any(not (o.hard or o.unheard) for o in failed):
            return Word.WRONG
        tried = [o for o in self.outcomes if o.name in ITERATIONS]
        if any(o.unheard for o in failed) or (
            tried and all(o.status is not Ended.PASSED for o in tried)
        ):
            return Word.UNSEEN
        if failed:
            return Word.FRAGILE
        return Word.PARTIAL if any(c.choice for c in self.causes) else Word.VALID

    @property
    def choices(self) -> list[Cause]:
        """What it does not do, and is not wrong for."""
        return [cause for cause in self.causes if cause.choice]

    def of(self, status: Ended) -> list[Checked]:
        """Return the outcomes of that status."""
        return [o for o in self.outcomes if o.status == status]

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict in JSON's types, as ``--format json`` prints it."""
        said = {"schema_version": SCHEMA_VERSION, "verdict": self.word, **asdict(self)}
        said["checks"] = said.pop("outcomes")
        return _finite(said)  # type: ignore[no-any-return]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
