"""Studies over many simulated data sets: too long for a test, short enough for a coffee.

``make coverage`` (``python -m lockstep.comparisons.studies docs/coverage.md``) simulates data sets
from a scenario's truth, fits each, and counts how often the Wald intervals hold the truth.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lockstep import models
from lockstep.comparisons.scenarios import scenarios
from lockstep.models import em, records, uncertainty
from lockstep.models.fits import Status
from lockstep.models.labels import matching
from lockstep.models.records import Floats, Parameters, entries

SCENARIO = "gmm1d-notebook"
DATA_SETS = 1000
SEED = 11
"""Not 7: a study with that seed is what chose the scale of the variances' intervals."""
MEANT = (0.93, 0.97)
"""Coverage of 95% intervals that passes."""


@dataclass(frozen=True)
class Coverage:
    """How Wald intervals did over the data sets, by parameter.

    Attributes
    ----------
    names : tuple of str
    truth : ndarray, shape (P,)
    bias : ndarray, shape (P,)
        Mean of the estimates, less the truth.
    scatter : ndarray, shape (P,)
        Standard deviation of the estimates.
    sd : ndarray, shape (P,)
        Mean standard error.
    below, above : ndarray, shape (P,)
        Shares of intervals that lie below and above the truth.
    data_sets : int
        With an interval for every parameter.
    left_out : int
        Data sets whose fit did not converge or has no intervals.
    """

    names: tuple[str, ...]
    truth: Floats
    bias: Floats
    scatter: Floats
    sd: Floats
    below: Floats
    above: Floats
    data_sets: int
    left_out: int

    @property
    def covered(self) -> Floats:
        """The share of intervals that hold the truth."""
        return 1 - self.below - self.above

    @property
    def error(self) -> Floats:
        """The Monte Carlo standard error of `covered`."""
        return np.asarray(np.sqrt(self.covered * (1 - self.covered) / self.data_sets))


def _flat(parameters: Parameters) -> Floats:
    return np.concatenate([array.ravel() for array in parameters.arrays().values()])


def coverage(scenario: str, data_sets: int, seed: int) -> Coverage:
    """Simulate data sets of the scenario's size from its truth, and fit each from the truth.

    Parameters
    ----------
    scenario : str
    data_sets : int
    seed : int

    Returns
    -------
    Coverage
    """
    model, prepared = models.load(scenarios()[scenario].model), scenarios()[scenario].prepare()
    truth = prepared.truth
    if truth is None:
        raise ValueError(f"{scenario} has no truth to cover")
    rng, size = np.random.default_rng(seed), records.size(prepared.data)
    rows = []
    for _ in range(data_sets):
        data = model.sample(truth, size, rng)
        fit = em.fit(model, truth, data)
        estimate = fit.parameters.relabelled(matching(fit.parameters, truth))
        known = uncertainty.wald(model, estimate, data)
        if fit.status is Status.CONVERGED and not known.no_interval:
            rows.append([_flat(p) for p in (estimate, known.sd, known.lower, known.upper)])
    estimates, sds, lower, upper = np.moveaxis(np.array(rows), 1, 0)  # each (data sets, P)
    true = _flat(truth)
    return Coverage(
        names=tuple(name for name, _, _ in entries(truth)),
        truth=true,
        bias=estimates.mean(axis=0) - true,
        scatter=estimates.std(axis=0, ddof=1),
        sd=sds.mean(axis=0),
        below=(upper < true).mean(axis=0),
        above=(lower > true).mean(axis=0),
        data_sets=len(rows),
        left_out=data_sets - len(rows),
    )


def table(scenario: str, found: Coverage, seed: int) -> str:
    """Return the study as a page in Markdown."""
    passed = (found.covered >= MEANT[0]) & (found.covered <= MEANT[1])
    lines = [
        "# Coverage of the Wald intervals",
        "",
        f"{found.data_sets} data sets were drawn from the truth of `{scenario}` (seed {seed}), "
        "each of the scenario's size, and fitted by EM from the truth to convergence; the "
        "components of each fit were matched with the truth's. "
        f"{found.left_out} data sets were left out for want of convergence or of an interval. "
        "An interval that covers 95% of the time would be seen to cover within "
        f"{1.96 * 100 * np.sqrt(0.95 * 0.05 / found.data_sets):.1f} points of that in 19 studies "
        "of 20. `make coverage` writes this page.",
        "",
        "| parameter | truth | bias | sd of the estimates | mean standard error | covered "
        "| Monte Carlo error | interval below | interval above |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for i, name in enumerate(found.names):
        lines.append(
            f"| `{name}` | {found.truth[i]:g} | {found.bias[i]:+.4f} | {found.scatter[i]:.4f} "
            f"| {found.sd[i]:.4f} | {100 * found.covered[i]:.1f}% | {100 * found.error[i]:.1f} "
            f"| {100 * found.below[i]:.1f}% | {100 * found.above[i]:.1f}% |"
        )
    outside = [name for name, good in zip(found.names, passed) if not good]
    limits = f"{100 * MEANT[0]:.0f} to {100 * MEANT[1]:.0f}%"
    verdict = (
        f"Outside {limits}: {', '.join(f'`{name}`' for name in outside)}."
        if outside
        else f"Every parameter is covered within {limits}."
    )
    history = (
        "The scale on which the intervals of variances are symmetric was chosen after a first "
        "study (1000 data sets, seed 7), in which intervals symmetric in the logarithm covered "
        "`variances[1]` 92.9% of the time; those in use now covered it 93.5% there. This study "
        "has another seed."
    )
    return "\n".join([*lines, "", history, "", verdict, ""])


def main(path: str) -> int:
    """Run the study, write its page, and return 1 if a parameter's coverage is out of bounds."""
    found = coverage(SCENARIO, DATA_SETS, SEED)
    page = table(SCENARIO, found, SEED)
    Path(path).write_text(page, "utf-8")
    print(page)
    return int(bool(((found.covered < MEANT[0]) | (found.covered > MEANT[1])).any()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
