"""Right posteriors are not accused, and this is how small an error the judge sees.

``make judge-study`` (``python -m lockstep.comparisons.judge_study docs/judge.md``) samples every
scenario with structure by the reference posterior's implementation from 21 seeds, and holds each
seed's posterior against the next one's: nothing is wrong with any. Then one parameter at a time is
given a wrong sd or mean, and it is counted how often that is seen. Finished fits are kept as for a
report.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from lockstep import models
from lockstep.comparisons.alignment import relabel
from lockstep.comparisons.cache import FitCache, Timed
from lockstep.comparisons.convergence import WITHOUT_STRUCTURE
from lockstep.comparisons.implementations import reference
from lockstep.comparisons.judging import log_likelihoods
from lockstep.comparisons.outcomes import Likeness
from lockstep.comparisons.posterior_agreement import Quantities, compare, quantities
from lockstep.comparisons.run import run
from lockstep.comparisons.scenarios import scenarios
from lockstep.comparisons.suite import Plan
from lockstep.models.fits import PosteriorFit

SEEDS = 21
WRONG = {
    "an sd 5% too large": (1.05, 0.0),
    "an sd 10% too large": (1.1, 0.0),
    "an sd 20% too large": (1.2, 0.0),
    "an sd 20% too small": (0.8, 0.0),
    "a mean 0.05 sd off": (1.0, 0.05),
    "a mean 0.1 sd off": (1.0, 0.1),
    "a mean 0.2 sd off": (1.0, 0.2),
}
"""Factors of the deviations from the mean, and shifts in sd."""


@dataclass(frozen=True)
class Study:
    """What was found of one scenario.

    Attributes
    ----------
    scenario : str
    worst : sequence of float
        The largest |z| of each pair of right posteriors, as a share of its limit.
    accused : int
        Pairs that were said to differ.
    seen : mapping of str to float
        By what is wrong, the share of parameters and pairs for which it was seen.
    """

    scenario: str
    worst: Sequence[float]
    accused: int
    seen: dict[str, float]


def mistaken(right: Quantities, name: str, factor: float, shift: float) -> Quantities:
    """Return a posterior with one parameter's sd and mean changed, and nothing else."""
    x = right.series[name]
    changed = x.mean() + factor * (x - x.mean()) + shift * x.std()
    return Quantities({name: np.asarray(changed)}, (name,))


def power(pairs: Sequence[tuple[Quantities, Quantities]]) -> dict[str, float]:
    """Return how often each mistake is seen, of all parameters of all pairs.

    The limit is that of the whole row, the statistics those of the parameter.
    """
    seen: dict[str, list[bool]] = {what: [] for what in WRONG}
    for own, other in pairs:
        limit = compare(own, other).limit
        for name in own.parameters:
            alone = Quantities({name: other.series[name]}, (name,))
            for what, change in WRONG.items():
                found = compare(mistaken(own, name, *change), alone)
                seen[what].append(abs(found.table[0].z) > limit)
    return {what: float(np.mean(each)) for what, each in seen.items()}


def study(scenario: str, seeds: int, cache: FitCache) -> Study:
    """Compare posteriors of one scenario from so many seeds."""
    chosen, given = scenarios()[scenario], scenarios()[scenario].prepare()
    name, model = reference("posterior"), models.load(chosen.model)
    tasks = [t for s in range(seeds) for t in Plan([(chosen, given)], [name], seed=s).tasks()]
    done = run(tasks, cache, lambda task, *_: print(task.scenario, task.problem.seed, flush=True))
    found = []
    for task in tasks:
        result = done[task]
        if isinstance(result, Timed) and isinstance(result.fit, PosteriorFit):
            draws = result.fit.draws
            density = log_likelihoods(model, draws, given.data)
            at = given.truth or given.reference or given.start
            order = relabel(model, draws, given.data, at, density).order
            found.append(quantities(model, draws.relabelled(order), given.data, density))
    pairs = list(pairwise(found))
    compared = [compare(*pair) for pair in pairs]
    return Study(
        scenario,
        [abs(c.table[0].z) / c.limit for c in compared],
        sum(c.likeness is not Likeness.AGREES for c in compared),
        power(pairs),
    )


def page(studies: Sequence[Study]) -> str:
    """Return the studies as a page in Markdown."""
    pairs = sum(len(s.worst) for s in studies)
    lines = [
        "# The judge of posteriors",
        "",
        f"Pairs of right posteriors by `{reference('posterior')}`, full length, from different "
        "seeds; then one parameter of one of them is given a wrong sd or mean, and nothing else. "
        "`make judge-study` writes this page.",
        "",
        "| scenario | pairs | said to differ | largest z over its limit | "
        + " | ".join(WRONG)
        + " |",
        "|---|--:|--:|--:|" + "--:|" * len(WRONG),
    ]
    for s in studies:
        cells = " | ".join(f"{100 * s.seen[what]:.0f}%" for what in WRONG)
        lines.append(
            f"| `{s.scenario}` | {len(s.worst)} | {s.accused} | {max(s.worst):.2f} | {cells} |"
        )
    accused = sum(s.accused for s in studies)
    return "\n".join([*lines, "", f"Of {pairs} right posteriors {accused} are accused.", ""])


def main(path: str, *arguments: str) -> int:
    """Run the study of all scenarios, or of those named, and return 1 if a right one is accused."""
    names = arguments or [name for name in scenarios() if name not in WITHOUT_STRUCTURE]
    seeds = int(os.environ.get("LOCKSTEP_JUDGED_SEEDS", SEEDS))
    cache = FitCache(Path(os.environ.get("LOCKSTEP_CACHE", ".cache/lockstep")))
    studies = [study(name, seeds, cache) for name in names]
    text = page(studies)
    Path(path).write_text(text, "utf-8")
    print(text)
    return int(any(s.accused for s in studies))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
