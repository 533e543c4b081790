"""Validation without a process for the candidate: the same questions, quicker to begin."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from lockstep.comparisons.validation import Trial
from lockstep.comparisons.validation.candidate import Candidate
from lockstep.comparisons.validation.channel import TroubleError
from lockstep.comparisons.validation.checks import Check
from lockstep.comparisons.validation.verdicts import Validation
from lockstep.comparisons.validation.worker import Server

ROOT = Path(__file__).parents[1]


class InProcess:
    """A channel that asks a worker's server directly."""

    limit, running = 60.0, True

    def __init__(self, target: str, model: str) -> None:
        self.server = Server(target, model, ROOT)

    def ask(self, question: dict[str, Any], limit: float | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(
            json.dumps(self.server(json.loads(json.dumps(question))))
        )
        if "error" in answer:
            raise TroubleError("refused", answer["error"], answer["traceback"])
        return answer


def judged(
    target: str,
    model: str,
    only: Callable[[Check], bool] = lambda check: check.name != "timing",
    *,
    strict: bool = False,
) -> Validation:
    """Return the verdict on a Python target that can be trusted to end."""
    channel: Any = InProcess(target, model)
    candidate = Candidate(target, model, channel, python=True)
    settings = np.geterr()
    try:
        # Arrays are small here: the threads of a linear algebra library would only wait.
        with warnings.catch_warnings(), threadpool_limits(1):
            candidate.describe()
            trial = Trial(candidate, limit=60.0, strict=strict)
            for check in trial.checks:
                if only(check):
                    trial.carry_out(check)
            return trial.verdict()
    finally:
        np.seterr(**settings)
