"""Validation: whether anyone's EM is right, and if not, what is wrong.

A candidate runs in a process of its own (`channel`, `worker`); a Python object is recognised by its
interface (`targets`), any other program speaks JSON. `checks` (`iterations` and `hard` cases) ask
it questions whose answers are known (`problems`, and `comparisons.exact`); where its numbers are
wrong, `causes` compares them with those of known `mistakes`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lockstep.comparisons.validation.bench import Bench
    from lockstep.comparisons.validation.candidate import Candidate
    from lockstep.comparisons.validation.checks import Check
    from lockstep.comparisons.validation.verdicts import Checked, Validation

LIMIT = 10.0
"""Seconds that an answer may take, unless a caller says otherwise."""


class Trial:
    """The validation of one candidate, check by check.

    Parameters
    ----------
    candidate : Candidate
        Described already.
    limit : float
        Seconds that an answer may take.
    strict : bool, optional
        Whether what it leaves out, and could have estimated, is a failure.
    """

    def __init__(self, candidate: Candidate, limit: float, *, strict: bool = False) -> None:
        from lockstep.comparisons.validation.bench import Bench
        from lockstep.comparisons.validation.checks import checks

        self.bench: Bench = Bench(candidate, limit, strict=strict)
        self.checks: list[Check] = [
            c for c in checks(candidate.model) if not c.method or c.name in candidate.methods
        ]
        self.outcomes: dict[str, Checked] = {}
        self._began = time.perf_counter()
        self._diagnosed = False

    def _in_the_way(self, check: Check) -> str:
        """Return why a check would say nothing new: what failed before it."""
        from lockstep.comparisons.validation.verdicts import Ended

        stages = {"interface": (), "core": ("interface",), "deep": ("interface", "core")}
        for other in self.checks:
            outcome = self.outcomes.get(other.name)
            before = other.stage in stages[check.stage]
            aside = other.name == "log-likelihood"  # its parameters may be right all the same
            if before and not aside and outcome is not None and outcome.status is Ended.FAILED:
                return f"as long as this fails: {outcome.title}"
        return ""

    def carry_out(self, check: Check) -> Checked:
        """Carry out one check, after those before it."""
        from lockstep.comparisons.validation import causes
        from lockstep.comparisons.validation.checks import carry_out
        from lockstep.comparisons.validation.verdicts import Checked, Ended

        if check.name in self.outcomes:
            return self.outcomes[check.name]
        if check.stage != "interface":
            for other in self.checks:
                if other.name not in self.outcomes and self._before(other, check):
                    self.carry_out(other)
        if reason := self._in_the_way(check):
            outcome = Checked(check.name, check.title, Ended.NOT_CHECKED, reason, hard=check.hard)
        else:
            outcome = carry_out(check, self.bench)
        self.outcomes[check.name] = outcome
        candidate = self.bench.candidate
        core = outcome.status is Ended.FAILED and not check.hard
        if core and candidate.answered and candidate.from_start and not self._diagnosed:
            self._diagnosed = True
            told = [c for c in causes.diagnose(self.bench) if c not in self.bench.causes]
            self.bench.causes[:0] = told
        return outcome

    def _before(self, other: Check, check: Check) -> bool:
        order = {"interface": 0, "core": 1, "deep": 2}
        return order[other.stage] < order[check.stage]

    def verdict(self) -> Validation:
        """Return the verdict on what was carried out."""
        from lockstep.comparisons.legible import legible
        from lockstep.comparisons.validation.verdicts import Validation

        candidate = self.bench.candidate
        seen: dict[str, None] = {}
        deviations = [
            d for d in self.bench.deviations if not (d.name in seen or seen.update({d.name: None}))
        ]
        return Validation(
            target=legible(candidate.name),
            model=candidate.model,
            kind=candidate.kind,
            text=legible(candidate.text),
            outcomes=[self.outcomes[c.name] for c in self.checks if c.name in self.outcomes],
            # What failed comes before what was left out on purpose.
            causes=tuple(sorted(self.bench.causes, key=lambda cause: cause.choice)),
            deviations=tuple(deviations),
            timing=tuple(self.bench.timing),
            seconds=time.perf_counter() - self._began,
            reading=legible(candidate.reading),
        )


@contextmanager
def trial(
    target: str,
    model: str,
    *,
    command: bool = False,
    strict: bool = False,
    limit: float = LIMIT,
    memory: int | None = None,
    said: Mapping[str, str] | None = None,
) -> Iterator[Trial]:
    """Give a candidate's trial, and end its process afterwards.

    Parameters
    ----------
    target : str
        ``package.module:object``, ``path/to/file.py:object``, or a command line.
    model : str
        The name of a module in `models`.
    command : bool, optional
        Whether the target is a command line.
    limit : float, optional
        Seconds that an answer may take.
    memory : int, optional
        Bytes that the candidate may hold, with all that it starts; 4 GiB if not given.
    said : mapping of str to str, optional
        What its names stand for, where that is not to be found out.
    strict : bool, optional
        Whether what it leaves out, and could have estimated, is a failure.

    Raises
    ------
    UnusableError
        If the target cannot be loaded or called, or the model has nothing to try it on.
    StartError
        If a command cannot be run.
    """
    from lockstep.comparisons.validation.candidate import Candidate, UnusableError
    from lockstep.comparisons.validation.channel import MEMORY
    from lockstep.comparisons.validation.problems import general

    try:
        general(model, 41, K=3, size=60, one=False)
    except LookupError as error:
        raise UnusableError(str(error)) from None
    most = MEMORY if memory is None else memory
    if command:
        candidate = Candidate.of_command(target, model, limit, most)
    else:
        candidate = Candidate.of(target, model, limit, most, said)
    with candidate:
        candidate.describe()
        yield Trial(candidate, limit, strict=strict)


def validate(
    target: str,
    model: str,
    *,
    command: bool = False,
    strict: bool = False,
    limit: float = LIMIT,
    memory: int | None = None,
    said: Mapping[str, str] | None = None,
    announce: Callable[[Check], None] = lambda _: None,
    only: Callable[[Check], bool] = lambda _: True,
) -> Validation:
    """Carry out all checks on a candidate and return the verdict.

    Parameters
    ----------
    target, model, command, strict, limit, memory, said
        As for `trial`.
    announce : callable, optional
        Called with each check before it is carried out.
    only : callable, optional
        Which checks to carry out.
    """
    options = {"command": command, "limit": limit, "memory": memory, "strict": strict, "said": said}
    with trial(target, model, **options) as held:  # type: ignore[arg-type]
        for check in held.checks:
            if only(check):
                announce(check)
                held.carry_out(check)
        return held.verdict()
