"""From scenarios to results: what is fitted, run and judged for one report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from platform import machine, system

import numpy as np

from lockstep.comparisons.cache import FitCache, key, versions
from lockstep.comparisons.implementations import Implementation, implementations
from lockstep.comparisons.judging import Judge
from lockstep.comparisons.outcomes import Environment, Results
from lockstep.comparisons.problem import Mode, Problem
from lockstep.comparisons.run import Result, Task, run
from lockstep.comparisons.scenarios import Prepared, Scenario
from lockstep.models.records import Parameters


@dataclass(frozen=True)
class Plan:
    """Everything that a report is to compare.

    Attributes
    ----------
    scenarios : sequence of (Scenario, Prepared)
    implementations : sequence of str
        Names of those that take part.
    seed : int
        For whatever is random in the fits; data do not depend on it.
    quick : bool
        Shorter posteriors.
    """

    scenarios: Sequence[tuple[Scenario, Prepared]]
    implementations: Sequence[str]
    seed: int = 0
    quick: bool = False

    def _seed(self, implementation: Implementation) -> int:
        """Return a row's seed: two posteriors from one seed may be one sample drawn twice."""
        if implementation.KIND == "point":
            return self.seed
        own = np.random.SeedSequence([self.seed, *implementation.NAME.encode()])
        return int(own.generate_state(1)[0]) // 2

    def tasks(self) -> list[Task]:
        """Return the fits to do; matched ones only of those that can be matched."""
        tasks = []
        for scenario, prepared in self.scenarios:
            for mode in Mode:
                matched = mode is Mode.MATCHED
                for name in self.implementations:
                    implementation = implementations()[name]
                    problem = Problem(
                        model=scenario.model,
                        data=prepared.data,
                        dims=prepared.dims,
                        mode=mode,
                        seed=self._seed(implementation),
                        start=prepared.start if matched else None,
                        n_iter=scenario.n_iter if matched else None,
                        quick=self.quick,
                    )
                    if matched and implementation.unsupported(problem) is not None:
                        continue
                    tasks.append(Task(scenario.name, name, problem))
        return tasks


@dataclass(frozen=True)
class Comparison:
    """What a run found: the content of ``results.json``, and the draws to be filed beside it.

    Attributes
    ----------
    content : Results
    posteriors : mapping of (scenario, implementation) to Parameters
        Aligned draws.
    """

    content: Results
    posteriors: Mapping[tuple[str, str], Parameters] = field(default_factory=dict)


def compare(
    plan: Plan, cache: FitCache, announce: Callable[[Task, Result, bool], None]
) -> Comparison:
    """Run a plan and judge it.

    Parameters
    ----------
    plan : Plan
    cache : FitCache
    announce : callable
        As for `lockstep.comparisons.run.run`.
    """
    began = time.perf_counter()
    tasks = plan.tasks()
    done = run(tasks, cache, announce)
    entries, posteriors = [], {}
    for scenario, prepared in plan.scenarios:
        own = [(task, done[task]) for task in tasks if task.scenario == scenario.name]
        judge = Judge(scenario, prepared, own, quick=plan.quick)
        entries.append(judge.judge())
        for name, draws in judge.posteriors.items():
            posteriors[scenario.name, name] = draws
    installed = versions(plan.implementations)
    environment = Environment(
        python=installed["python"],
        platform=f"{system()} {machine()}",
        packages={k: v for k, v in installed.items() if k != "python"},
        seed=plan.seed,
        quick=plan.quick,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - began, 3),
    )
    return Comparison(Results(environment=environment, scenarios=entries), posteriors)


def fingerprint(plan: Plan) -> list[str]:
    """Return the identities of all fits of a plan: equal ones have equal results."""
    return [f"{t.scenario} {key(t.implementation, t.problem)}" for t in plan.tasks()]
