"""MLE and Bayes from 15 observations to 5,000: where each is in its element, and how they meet.

``make small-samples`` (``python -m lockstep.comparisons.small_samples FILE``) draws data
sets of each size from three Gaussians, fits each by EM (as configured: the best of ten starts) and
by NUTS, and writes a row for each into ``comparisons/small_samples.csv``, from which the report's
figure and the page are made.

What a fit says of unseen data is measured exactly, not on a sample: by its Kullback-Leibler
divergence from the truth, KL = integral of p log(p / q), in nats for each observation to come.
With n observations and p free parameters it tends to p / 2n on average for either, and the
posterior of each parameter to the normal about the MLE whose sd is the standard error
(Bernstein and von Mises).

References
----------
van der Vaart (1998), Asymptotic Statistics, section 10.2.
Aitchison (1975), Goodness of prediction fit, Biometrika 62, 547-554: averaging against plugging in.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lockstep import models
from lockstep.comparisons import predictive
from lockstep.comparisons.implementations import implementations, reference
from lockstep.comparisons.problem import Mode, Problem
from lockstep.comparisons.scenarios import scenarios
from lockstep.models import uncertainty
from lockstep.models.fits import PointFit, PosteriorFit, Status
from lockstep.models.labels import matching
from lockstep.models.records import Floats, Parameters

MODEL = models.load(scenarios()["gmm1d-separated"].model)

TRUTH = MODEL.Parameters.of(weights=[0.5, 0.3, 0.2], means=[0, 4, 8], variances=[1, 1, 1])
"""Three components, four standard deviations apart: of 15 observations, the last has three."""

SIZES = {15: 20, 30: 20, 60: 20, 125: 20, 250: 20, 500: 10, 1000: 10, 5000: 10}
"""How many data sets of each size: of the small ones more, as they scatter more."""

SEED = 3
SAMPLER = reference("posterior")

FREE = 8
"""The number p of free parameters: of the weights, the last follows from the others."""

CSV = Path(__file__).parent / "small_samples.csv"
COLUMNS = (
    "n", "replicate", "degenerate_starts", "overfit", "kl_mle", "kl_posterior_mean",
    "kl_averaged", "sd_ratio", "shift", "wald_covered", "credible_covered", "converged",
)  # fmt: skip
"""Of the CSV, a row for each data set: starts of ten that ended in a singularity; nats that the
MLE lies above the truth on its own data; divergences from the truth; medians over the parameters
of posterior sd over standard error, and of the distance of the posterior mean from the MLE in
standard errors; how many of the eight 95% intervals hold the truth; whether R-hat is below 1.05.
Empty where there is no standard error."""

GRID = np.linspace(-10, 18, 5601)
"""On which divergences are integrated: 10 sds beyond the outermost component either way."""


def data_set(n: int, replicate: int) -> Floats:
    """Return one data set of n observations."""
    return np.asarray(MODEL.sample(TRUTH, n, np.random.default_rng([SEED, n, replicate])))


def divergence(log_q: Floats) -> float:
    """Return the Kullback-Leibler divergence from the truth, in nats, of a density on `GRID`.

    By the trapezoid rule, which for a smooth density that vanishes at both ends has an error
    that falls faster than any power of the step.
    """
    log_p = predictive.pointwise(MODEL, TRUTH, GRID)
    return float(np.trapezoid(np.exp(log_p) * (log_p - log_q), GRID))


def point_part(x: Floats, seed: int) -> tuple[PointFit, dict[str, float]]:
    """Return the MLE, in the truth's order, and its columns."""
    em = implementations()[reference("point")]
    fit = em.fit(Problem(MODEL.NAME, x, {"n_components": 3}, Mode.AS_CONFIGURED, seed))
    assert isinstance(fit, PointFit)
    estimate = fit.parameters.relabelled(matching(fit.parameters, TRUTH))
    starts = fit.details["starts"]
    columns = {
        "degenerate_starts": sum(start["status"] == Status.DEGENERATE for start in starts),
        "overfit": float(MODEL.log_likelihood(estimate, x) - MODEL.log_likelihood(TRUTH, x)),
        "kl_mle": divergence(predictive.pointwise(MODEL, estimate, GRID)),
    }
    return PointFit(estimate, fit.status, fit.message, fit.iterations), columns


def posterior_part(x: Floats, mle: PointFit, seed: int) -> dict[str, float]:
    """Return the posterior's columns, and those that compare it with the MLE."""
    import arviz_stats as azs

    sampler = implementations()[SAMPLER]
    problem = Problem(MODEL.NAME, x, {"n_components": 3}, Mode.AS_CONFIGURED, seed, quick=True)
    fit = sampler.fit(problem)
    assert isinstance(fit, PosteriorFit)
    draws = fit.draws  # the prior orders the means, as the truth has them
    means = draws.arrays()["means"]
    mean = MODEL.Parameters(**{k: a.mean(axis=(0, 1)) for k, a in draws.arrays().items()})
    columns = {
        "kl_posterior_mean": divergence(predictive.pointwise(MODEL, mean, GRID)),
        "kl_averaged": divergence(predictive.averaged(MODEL, draws, GRID)),
        "converged": float(all(float(azs.rhat(means[:, :, k])) < 1.05 for k in range(3))),
    }
    true, at, centre = (_free(p) for p in (TRUTH, mle.parameters, mean))
    spread = _free(MODEL.Parameters(**{k: a.std(axis=(0, 1)) for k, a in draws.arrays().items()}))
    low, high = (
        _free(MODEL.Parameters(**{k: np.quantile(a, q, (0, 1)) for k, a in draws.arrays().items()}))
        for q in (0.025, 0.975)
    )
    columns["credible_covered"] = float(((low <= true) & (true <= high)).sum())
    if mle.status is Status.CONVERGED:
        known = uncertainty.wald(MODEL, mle.parameters, x)
        if not known.no_interval:
            sd, lower, upper = (_free(p) for p in (known.sd, known.lower, known.upper))
            columns["wald_covered"] = float(((lower <= true) & (true <= upper)).sum())
            columns["sd_ratio"] = float(np.median(spread / sd))
            columns["shift"] = float(np.median(np.abs(centre - at) / sd))
    return columns


def _free(parameters: Parameters) -> Floats:
    a = parameters.arrays()
    return np.concatenate([a["weights"][:-1], a["means"], a["variances"]])


def row(n: int, replicate: int) -> dict[str, float]:
    """Return one row of the CSV."""
    x = data_set(n, replicate)
    mle, columns = point_part(x, replicate)
    return {"n": n, "replicate": replicate, **columns, **posterior_part(x, mle, replicate)}


def stored() -> list[dict[str, float]]:
    """Return the rows of the CSV; what is empty there is not a number."""
    with CSV.open(encoding="utf-8", newline="") as lines:
        return [
            {k: float(v) if v else float("nan") for k, v in given.items()}
            for given in csv.DictReader(lines)
        ]


def column(rows: Sequence[Mapping[str, float]], n: int, name: str) -> Floats:
    """Return a column's values at one size, those that are there."""
    values = np.array([r[name] for r in rows if r["n"] == n])
    return values[np.isfinite(values)]


def table(rows: Sequence[Mapping[str, float]]) -> str:
    """Return the study as a page in Markdown."""
    p = FREE
    lines = [
        "# MLE and Bayes, from 15 observations to 5,000",
        "",
        f"{min(SIZES.values())} to {max(SIZES.values())} data sets of each size n were drawn from "
        "three Gaussians of weights 0.5, 0.3 and 0.2, four standard deviations apart, and fitted "
        "by EM (the best of ten starts) and by NUTS under the report's priors. `make "
        "small-samples` writes this page and the rows behind it, `comparisons/small_samples.csv`.",
        "",
        "![Four panels over n: starts that degenerate, divergence from the truth, how posterior "
        "and standard error meet, and coverage](small-samples.png)",
        "",
        "| n | starts that degenerate | MLE above the truth, nats | KL of the MLE | of the "
        "posterior mean | averaged over draws | p / 2n | posterior sd / standard error "
        "| |posterior mean - MLE| / standard error | Wald covers | credible covers |".replace(
            "|posterior mean - MLE|", "\\|posterior mean - MLE\\|"
        ),
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for n in SIZES:
        c = {name: column(rows, n, name) for name in COLUMNS}
        medians = [float(np.median(c[k])) for k in COLUMNS if k.startswith("kl_")]
        lines.append(
            f"| {n:,} | {10 * c['degenerate_starts'].mean():.0f}% | {c['overfit'].mean():.1f} | "
            + " | ".join(f"{v:.2g}" for v in medians)
            + f" | {p / (2 * n):.2g} | {np.median(c['sd_ratio']):.2f} "
            f"| {np.median(c['shift']):.2f} | {c['wald_covered'].mean() / p:.0%} "
            f"| {c['credible_covered'].mean() / p:.0%} |"
        )
    small, large = min(SIZES), max(SIZES)
    kl = {k: float(np.median(column(rows, small, k))) for k in ("kl_mle", "kl_averaged")}
    lines += [
        "",
        "Divergences, ratios and distances are medians over the data sets, the ratio and the "
        "distance medians over the eight free parameters too; coverage is a mean over data sets "
        "and parameters, of those data sets whose fit has standard errors.",
        "",
        f"- **Where the MLE degenerates.** The likelihood of a mixture has no maximum: a component "
        f"on a single observation makes it infinite. At n = {small}, "
        f"{10 * column(rows, small, 'degenerate_starts').mean():.0f}% of EM's starts end so, at "
        f"n = {large:,} {10 * column(rows, large, 'degenerate_starts').mean():.0f}%. The prior on "
        "the variances leaves the posterior nothing to fall into.",
        f"- **Where it overfits.** On its own data the MLE lies above the truth by p/2 = {p / 2:g} "
        "nats on average if n is large, and by more if it is small. On new data at "
        f"n = {small} the median plug-in MLE loses {kl['kl_mle']:.2g} nats an observation, the "
        f"density averaged over draws {kl['kl_averaged']:.2g}.",
        "- **Where the prior speaks.** Where the posterior mean stands away from the MLE by a "
        "standard error or so, and its sd differs from it.",
        f"- **How the two meet.** At n = {large:,} the posterior's sd is "
        f"{np.median(column(rows, large, 'sd_ratio')):.2f} standard errors, its mean lies "
        f"{np.median(column(rows, large, 'shift')):.2f} from the MLE, and all three predictions "
        "lose p/2n: the theorem of Bernstein and von Mises.",
        "",
    ]
    left_out = int(sum(not r["converged"] for r in rows))
    lines += [
        f"R-hat of a mean was at or above 1.05 in {left_out} of {len(rows)} posteriors (two "
        "chains of 500 draws each); they are counted with the others.",
        "",
    ]
    return "\n".join(lines)


def write(rows: Sequence[Mapping[str, float]]) -> None:
    """Write the rows to the CSV."""
    with CSV.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for given in rows:
            writer.writerow({k: f"{v:.6g}" for k, v in given.items()})


def main(path: Path) -> int:
    """Run the study, and write its rows and its page."""
    rows = []
    for n, replicates in SIZES.items():
        rows += [row(n, replicate) for replicate in range(replicates)]
        print(f"{n}: {replicates} data sets", flush=True)
    write(rows)
    path.write_text(table(stored()), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
