"""A pytest plugin: ``pytest --lockstep my_em.py:em_step --lockstep-model gaussian-mixture-1d``.

Each check of the validation is a test. Loaded by every pytest of the environment, it imports
nothing until it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lockstep.comparisons.validation import Trial


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("lockstep", "validation of an EM implementation")
    group.addoption(
        "--lockstep",
        metavar="TARGET",
        help="what to validate: package.module:object or path/to/file.py:object",
    )
    group.addoption(
        "--lockstep-command", metavar="'PROGRAM ARGS'", help="a program to validate in its place"
    )
    group.addoption("--lockstep-model", metavar="MODEL", help="the model it is meant to fit")
    group.addoption(
        "--lockstep-limit",
        type=float,
        default=10.0,
        metavar="S",
        help="seconds that an answer may take (default: 10)",
    )


@pytest.hookimpl(tryfirst=True)  # so that -k and -m select among our tests as well
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add one test for each check."""
    target, command = config.getoption("--lockstep"), config.getoption("--lockstep-command")
    if not (target or command):
        return
    from lockstep import models
    from lockstep.comparisons.validation.checks import checks

    name = (config.getoption("--lockstep-model") or "").replace("-", "_")
    if target and command:
        raise pytest.UsageError("give --lockstep or --lockstep-command, not both")
    if name not in models.names():
        there = ", ".join(model.replace("_", "-") for model in models.names())
        raise pytest.UsageError(f"--lockstep-model must be one of {there}")
    from lockstep.comparisons.legible import legible

    held = Held(config, target, command, name)
    collector = Candidates.from_parent(session, name="lockstep", path=Path(config.rootpath))
    items.extend(
        CheckItem.from_parent(
            collector, name=f"{legible(target or command)}[{check.name}]", held=held, check=check
        )
        for check in checks(name)
    )


class Held:
    """The trial that the tests share: begun by the first, ended with the session."""

    def __init__(self, config: pytest.Config, target: str, command: str, model: str) -> None:
        self.config, self.target, self.command, self.model = config, target, command, model
        self._trial: Trial | None = None
        self._error: Exception | None = None

    def trial(self) -> Trial:
        """Return the trial."""
        from lockstep.comparisons.validation import trial

        if self._error is not None:
            raise self._error
        if self._trial is None:
            stack = ExitStack()
            try:
                self._trial = stack.enter_context(
                    trial(
                        self.command or self.target,
                        self.model,
                        command=bool(self.command),
                        limit=self.config.getoption("--lockstep-limit"),
                    )
                )
            except Exception as error:
                self._error = error
                raise
            self.config.add_cleanup(stack.close)
        return self._trial


class Candidates(pytest.Collector):
    """What the tests of the candidate belong to."""

    def collect(self) -> Iterator[Any]:
        """Return nothing: the tests are added by name."""
        return iter(())


class CheckItem(pytest.Item):
    """One check as a test."""

    def __init__(self, *, held: Held, check: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.held, self.check = held, check

    def runtest(self) -> None:
        """Carry the check out."""
        from lockstep.comparisons.validation.verdicts import Ended
        from lockstep.reports.validation import failure_text

        trial = self.held.trial()
        outcome = trial.carry_out(self.check)
        if outcome.status is Ended.NOT_CHECKED:
            pytest.skip(outcome.message)
        if outcome.status is Ended.FAILED:
            raise CheckFailed(failure_text(trial.verdict(), outcome))

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """Return what is known of the failure; no traceback of ours."""
        from lockstep.comparisons.validation.candidate import UnusableError
        from lockstep.comparisons.validation.channel import StartError

        if isinstance(excinfo.value, CheckFailed | UnusableError | StartError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return where the test is, for its heading."""
        return self.path, None, f"lockstep: {self.check.title}"


class CheckFailed(Exception):  # noqa: N818 - the test's outcome
    """A check that failed, with all that is known of it."""
