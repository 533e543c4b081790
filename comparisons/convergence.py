"""Do the posteriors pass their checks from any seed? Every scenario with structure, four seeds.

``make convergence`` (``python -m lockstep.comparisons.convergence docs/convergence.md``) fits every
scenario with every implementation that gives a posterior, full length, from each seed, and files
each check. Finished fits are kept as for a report.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lockstep import models
from lockstep.comparisons.alignment import relabel
from lockstep.comparisons.cache import FitCache, Timed, version
from lockstep.comparisons.diagnostics import E_BFMI, ESS, R_HAT, diagnose
from lockstep.comparisons.implementations import implementations, reference
from lockstep.comparisons.judging import log_likelihoods
from lockstep.comparisons.outcomes import Diagnostic
from lockstep.comparisons.run import run
from lockstep.comparisons.scenarios import scenarios
from lockstep.comparisons.suite import Plan
from lockstep.models.fits import PosteriorFit

SEEDS = (0, 1, 2, 3)
"""The default and three others."""

WITHOUT_STRUCTURE = ("hmm-weather-noise",)
"""Independent uniform symbols: the posterior is flat, and no sampler should find it easy."""


@dataclass(frozen=True)
class Run:
    """The checks of one posterior.

    Attributes
    ----------
    scenario, implementation : str
    seed : int
    sampled : bool
        By chains: what the study asks to pass. A variational fit is shown beside it.
    checks : sequence of Diagnostic
        Empty if the fit failed.
    message : str
        Why it failed.
    """

    scenario: str
    implementation: str
    seed: int
    sampled: bool
    checks: Sequence[Diagnostic]
    message: str = ""

    @property
    def passed(self) -> bool:
        """Whether there is a posterior, and it passed every check."""
        return bool(self.checks) and all(check.passed for check in self.checks)


def study(
    names: Sequence[str], who: Sequence[str], seeds: Sequence[int], cache: FitCache
) -> list[Run]:
    """Fit every scenario with every implementation from every seed.

    Parameters
    ----------
    names : sequence of str
        Of scenarios.
    who : sequence of str
        Of implementations that give posteriors.
    seeds : sequence of int
    cache : FitCache

    Returns
    -------
    list of Run
    """
    chosen = [(scenarios()[name], scenarios()[name].prepare()) for name in names]
    plans = {seed: Plan(chosen, who, seed=seed) for seed in seeds}
    tasks = {task: seed for seed, plan in plans.items() for task in plan.tasks()}
    done = run(tasks, cache, lambda task, *_: print(task.scenario, task.implementation, flush=True))
    prepared = {scenario.name: given for scenario, given in chosen}
    runs = []
    for task, seed in tasks.items():
        result, given = done[task], prepared[task.scenario]
        if not isinstance(result, Timed) or not isinstance(result.fit, PosteriorFit):
            message = "" if isinstance(result, Timed) else result.message
            runs.append(Run(task.scenario, task.implementation, seed, True, (), message))
            continue
        model, draws = models.load(task.problem.model), result.fit.draws
        density = log_likelihoods(model, draws, given.data)
        reference = given.truth or given.reference or given.start
        found = relabel(model, draws, given.data, reference, density)
        checks = diagnose(draws.relabelled(found.order), result.fit, density, found).checks
        sampled = "diverging" in result.fit.sample_stats
        runs.append(Run(task.scenario, task.implementation, seed, sampled, checks))
    return sorted(
        runs, key=lambda r: (names.index(r.scenario), who.index(r.implementation), r.seed)
    )


COLUMNS = (
    ("R-hat", "{:.4f}"),
    ("R-hat of the log-likelihood", "{:.4f}"),
    ("bulk ESS", "{:.0f}"),
    ("tail ESS", "{:.0f}"),
    ("divergences", "{:.0f}"),
    ("E-BFMI", "{:.2f}"),
    ("label switching", "{:.1%}"),
)


def table(runs: Sequence[Run]) -> str:
    """Return the study as a page in Markdown."""
    sampler = implementations()[reference("posterior")]
    packages = ", ".join(f"{k} {version(k)}" for k in (sampler.PACKAGE, "nutpie", "arviz"))
    lines = [
        "# Convergence from four seeds",
        "",
        "Every scenario with structure, fitted at full length from the default seed and three "
        f"others ({packages}). Of chains it is asked that R-hat be below {R_HAT:g} (largest over "
        f"the parameters, after relabelling), bulk and tail ESS above {ESS:g} (smallest), no "
        f"transition divergent, E-BFMI above {E_BFMI:g} in every chain, and that labels be apart. "
        "Of a variational fit, whose draws are independent, that its ELBO has settled and that "
        "Pareto's k-hat is small; it is shown for comparison and may fail. "
        "`make convergence` writes this page.",
        "",
        "| scenario | posterior | seed | " + " | ".join(n for n, _ in COLUMNS) + " | passed |",
        "|---|---|--:|" + "--:|" * len(COLUMNS) + "---|",
    ]
    for r in runs:
        if r.sampled:
            values = {check.name: check for check in r.checks}
            cells = [
                form.format(values[name].value) if name in values else "–" for name, form in COLUMNS
            ]
            lines.append(
                f"| `{r.scenario}` | {r.implementation} | {r.seed} | {' | '.join(cells)} "
                f"| {_passed(r)} |"
            )
    variational = [r for r in runs if not r.sampled]
    if variational:
        lines += [
            "",
            "| scenario | approximation | seed | Pareto k-hat | threshold | settled | passed |",
            "|---|---|--:|--:|--:|---|---|",
        ]
    for r in variational:
        values = {check.name: check for check in r.checks}
        k, settled = values["Pareto k-hat"], values["ELBO settled"]
        lines.append(
            f"| `{r.scenario}` | {r.implementation} | {r.seed} | {k.value:.2f} "
            f"| {k.threshold:.2f} | {'yes' if settled.value else 'no'} | {_passed(r)} |"
        )
    asked = [r for r in runs if r.sampled]
    failed = [r for r in asked if not r.passed]
    verdict = (
        f"{len(failed)} of {len(asked)} sampled posteriors fail a check."
        if failed
        else f"All {len(asked)} sampled posteriors pass every check."
    )
    return "\n".join([*lines, "", verdict, ""])


def _passed(r: Run) -> str:
    if r.passed:
        return "✓"
    failed = ", ".join(check.name for check in r.checks if not check.passed)
    return f"✗ {failed or r.message}"


def main(path: str) -> int:
    """Run the study, write its page, and return 1 if a sampled posterior fails a check."""
    names = [name for name in scenarios() if name not in WITHOUT_STRUCTURE]
    who = [name for name, i in implementations().items() if i.KIND == "posterior"]
    cache = FitCache(Path(os.environ.get("LOCKSTEP_CACHE", ".cache/lockstep")))
    runs = study(names, who, SEEDS, cache)
    page = table(runs)
    Path(path).write_text(page, "utf-8")
    print(page)
    return int(any(r.sampled and not r.passed for r in runs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
