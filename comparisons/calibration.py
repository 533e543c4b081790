"""Simulation-based calibration: are the posteriors what Bayes' rule says they are.

``make calibration`` (``python -m lockstep.comparisons.calibration docs/calibration.md``) draws
parameters from the prior, data from the parameters, and a posterior from the data, many times. If
prior, model and sampler are in order, the rank of what was drawn among its posterior draws is
uniform, for every function of parameters and data [1]_. That is judged by the ECDF of the ranks
within simultaneous bands [2]_.

References
----------
.. [1] Talts, Betancourt, Simpson, Vehtari and Gelman (2018), arXiv:1804.06788. The log-likelihood
   is among the functions because it depends on the data: Modrak et al. (2023), Bayesian Analysis.
.. [2] Sailynoja, Burkner and Vehtari (2022), Statistics and Computing 32, 32: graphical test for
   discrete uniformity, by simulation of the coverage.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from lockstep.comparisons.implementations import _nuts, _pymc
from lockstep.models import bayesian, load
from lockstep.models.bayesian import PRIORS
from lockstep.models.records import Floats, Integers, Parameters, entries

DATA_SETS = 200
SEED = 5
CHAINS, DRAWS, TUNE = 2, 1000, 600
THIN = 20
"""Of each chain's draws one in so many is ranked: those are nearly independent."""

FALSE_ALARM = 0.05
"""Probability that any ECDF of the study leaves its band though all is well."""

SIMULATIONS = 20_000
"""By which the bands' coverage is found."""

SIZES: dict[str, Any] = {
    "gaussian_mixture_1d": 40,
    "gaussian_mixture_2d": 60,
    "categorical_hmm": [60, 20],
}
K, D, V = 2, 2, 3


def prior_1d(rng: np.random.Generator) -> Parameters:
    """Return parameters of the 1D mixture, drawn from `bayesian`'s prior by other means."""
    shape, scale = (1 + PRIORS.covariance_df) / 2, PRIORS.covariance_scale / 2
    variances = stats.invgamma(shape, scale=scale).rvs(K, random_state=rng)
    return load("gaussian_mixture_1d").Parameters.of(
        weights=rng.dirichlet(np.full(K, PRIORS.weights)),
        means=np.sort(rng.normal(0, PRIORS.mean_sd, K)),
        variances=variances,
    )


def prior_2d(rng: np.random.Generator) -> Parameters:
    """Return parameters of the 2D mixture, drawn from `bayesian`'s prior by other means."""
    wishart = stats.invwishart(D + PRIORS.covariance_df, PRIORS.covariance_scale * np.eye(D))
    return load("gaussian_mixture_2d").Parameters.of(
        weights=rng.dirichlet(np.full(K, PRIORS.weights)),
        means=rng.normal(0, PRIORS.mean_sd, (K, D)),
        covariances=wishart.rvs(K, random_state=rng),
    )


def prior_hmm(rng: np.random.Generator) -> Parameters:
    """Return parameters of the HMM, drawn from `bayesian`'s prior."""
    return load("categorical_hmm").Parameters.of(
        startprob=rng.dirichlet(np.full(K, PRIORS.rows)),
        transmat=rng.dirichlet(np.full(K, PRIORS.rows), K),
        emissionprob=rng.dirichlet(np.full(V, PRIORS.rows), K),
    )


PRIOR: dict[str, Callable[[np.random.Generator], Parameters]] = {
    "gaussian_mixture_1d": prior_1d,
    "gaussian_mixture_2d": prior_2d,
    "categorical_hmm": prior_hmm,
}


def ordered(name: str, parameters: Any) -> Any:
    """Return parameters with their components in order; what depends on labels then does not.

    They are in the order of the means' first coordinate, or of the probabilities of symbol 0.
    """
    if name == "categorical_hmm":
        order = np.argsort(parameters.emissionprob[..., 0], axis=-1)
    else:
        means = parameters.means
        order = np.argsort(means if name == "gaussian_mixture_1d" else means[..., 0], axis=-1)
    return parameters.relabelled(order)


def functions(name: str, parameters: Any, data: Any) -> dict[str, Floats]:
    """Return every function that is ranked, by name, for each index of the leading axes.

    Of a row of probabilities the last is left out, as is the upper half of a covariance.
    """
    model = load(name)
    found = {}
    leading = next(iter(parameters.arrays().values())).ndim - 1
    first = parameters.draw(*(0,) * leading)
    for label, field, index in entries(first):
        last = first.arrays()[field].shape[-1] - 1
        redundant = field in first.PROBABILITIES and index[-1] == last
        if not redundant and not (field == "covariances" and index[1] < index[2]):
            found[label] = parameters.arrays()[field][(..., *index)]
    found["log-likelihood"] = model.log_likelihood(parameters, data)
    return found


@dataclass(frozen=True)
class Study:
    """The ranks of one model.

    Attributes
    ----------
    name : str
    ranks : dict of str to ndarray, shape (data sets,)
        By function, each from 0 to `draws`.
    draws : int
        Posterior draws that each was ranked among.
    divergences : int
        In all data sets together.
    """

    name: str
    ranks: dict[str, Integers]
    draws: int
    divergences: int


def study(name: str, data_sets: int = DATA_SETS, seed: int = SEED) -> Study:
    """Rank parameters drawn from the prior among draws from their data's posterior."""
    model, ranks = load(name), dict[str, list[int]]()
    graph: Any = None
    divergences = draws = 0
    for number, child in enumerate(np.random.SeedSequence(seed).spawn(data_sets)):
        rng = np.random.default_rng(child)
        truth = PRIOR[name](rng)
        data = model.sample(truth, SIZES[name], rng)
        dims = model.dims(truth)
        observed = bayesian.observations(name, data)
        if name != "categorical_hmm":  # the prior is on the scale of z: leave the data as they are
            zero, one = np.zeros_like(observed["centre"]), np.ones_like(observed["scale"])
            observed = {"z": np.asarray(data), "centre": zero, "scale": one}
        with _pymc.quiet():
            import pymc as pm

            if graph is None:
                graph = _pymc.Graph(name, bayesian.build(name, dims, observed))
            pm.set_data(observed, model=graph.model)
            trace = _nuts.draw(
                graph,
                partial(_start, graph, dims, data),
                chains=CHAINS,
                draws=DRAWS,
                tune=TUNE,
                seed=number,
            )
            posterior = graph.parameters(trace.posterior["x"].to_numpy()[:, ::THIN])
        divergences += int(trace.sample_stats["diverging"].sum())
        drawn = functions(name, ordered(name, posterior), data)
        for label, value in functions(name, ordered(name, truth), data).items():
            ranks.setdefault(label, []).append(int((drawn[label] < value).sum()))
            draws = drawn[label].size
    return Study(name, {k: np.array(v) for k, v in ranks.items()}, draws, divergences)


def _start(graph: _pymc.Graph, dims: Any, data: Any, rng: np.random.Generator) -> Floats:
    return graph.flat(bayesian.start(graph.name, dims, data, rng))


def ecdf(ranks: Integers, draws: int) -> Floats:
    """Return the share of ranks up to 0, 1, ..., draws - 1."""
    return np.array((ranks[:, None] <= np.arange(draws)).mean(axis=0))


def _tails(counts: Integers, number: int, at: Floats) -> Floats:
    """Return the two-sided binomial tail probability of each count."""
    below = stats.binom.cdf(counts, number, at)
    above = stats.binom.sf(counts - 1, number, at)
    return np.asarray(2 * np.minimum(below, above))


def band(number: int, draws: int, false_alarm: float, seed: int = 0) -> tuple[Floats, Floats]:
    """Return bounds that the ECDF of uniform ranks leaves with the given probability ([2]_).

    Parameters
    ----------
    number : int
        Of ranks.
    draws : int
        The largest rank.
    false_alarm : float
    seed : int, optional
        Of the simulation that finds the level at each point.

    Returns
    -------
    lower, upper : ndarray, shape (draws,)
        Bounds of `ecdf`, themselves within.
    """
    rng, at = np.random.default_rng(seed), np.arange(1, draws + 1) / (draws + 1)
    counts = np.arange(number + 1)[:, None]
    tails = _tails(counts, number, at)  # (number + 1, draws)
    smallest = np.empty(SIMULATIONS)
    for i in range(SIMULATIONS):
        histogram = np.bincount(rng.integers(0, draws + 1, number), minlength=draws + 1)
        smallest[i] = tails[np.cumsum(histogram)[:-1], np.arange(draws)].min()
    level = np.quantile(smallest, false_alarm)
    inside = tails >= level
    return inside.argmax(axis=0) / number, (number - inside[::-1].argmax(axis=0)) / number


def outside(found: Study, lower: Floats, upper: Floats) -> list[str]:
    """Return the functions whose ECDF leaves the band."""
    names = []
    for label, ranks in found.ranks.items():
        share = ecdf(ranks, found.draws)
        if (share < lower - 1e-12).any() or (share > upper + 1e-12).any():
            names.append(label)
    return names


def figure(studies: list[Study], lower: Floats, upper: Floats, path: Path) -> None:
    """Draw each ECDF less the uniform one, within the band."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(8.6, 3.2), layout="constrained")
    FigureCanvasAgg(drawing)
    at = np.arange(1, len(lower) + 1) / (len(lower) + 1)
    panels = drawing.subplots(1, len(studies), sharey=True)
    for panel, found in zip(panels, studies):
        panel.fill_between(at, lower - at, upper - at, color="#d8dee4", lw=0, step="mid")
        for label, ranks in found.ranks.items():
            bold = label == "log-likelihood"
            panel.plot(
                at,
                ecdf(ranks, found.draws) - at,
                color="#b5367a" if bold else "#0072b2",
                lw=1.4 if bold else 0.7,
                label=label
                if bold
                else "a parameter"
                if label == next(iter(found.ranks))
                else None,
            )
        panel.set_title(load(found.name).TITLE, fontsize=10)
        panel.set_xlabel("rank / draws", fontsize=9)
        panel.tick_params(labelsize=8)
    panels[0].set_ylabel("ECDF less uniform", fontsize=9)
    panels[0].legend(fontsize=8, frameon=False)
    drawing.savefig(path, dpi=110)


def page(studies: list[Study], lower: Floats, upper: Floats, picture: str) -> str:
    """Return the study as a page in Markdown."""
    tested = sum(len(found.ranks) for found in studies)
    lines = [
        "# Calibration of the posteriors",
        "",
        f"For each model {len(next(iter(studies[0].ranks.values())))} times: parameters drawn from "
        "the prior (with SciPy, not PyMC), data from the parameters, a posterior from the data by "
        f"`pymc-nuts` ({CHAINS} chains of {DRAWS} draws after {TUNE}, one in {THIN} ranked: "
        f"{studies[0].draws} draws). The rank of what was drawn among those is uniform if prior, "
        "likelihood, gradient and sampler are right (simulation-based calibration, Talts et al. "
        "2018).",
        "",
        f"![ECDFs of the ranks, less the uniform one, within their bands]({picture})",
        "",
        "The grey bands are simultaneous (Sailynoja et al. 2022): if all is well, an ECDF leaves "
        f"its band anywhere with probability {FALSE_ALARM:g}/{tested}, and any of the {tested} "
        f"with at most {FALSE_ALARM:g}. Components are in order of the means' first coordinate, "
        "states of the probability of symbol 0, in what was drawn as in each posterior draw. The "
        "mixtures' priors are on the scale of standardised data; here the data are taken to be on "
        "that scale, since a prior that depends on the data cannot be simulated from. "
        f"Seed {SEED}; `make calibration` writes this page.",
        "",
        "| model | data | functions ranked | outside the band | divergences |",
        "|---|---|--:|---|--:|",
    ]
    wrong = []
    for found in studies:
        bad = outside(found, lower, upper)
        wrong += [f"{found.name} {label}" for label in bad]
        size = SIZES[found.name]
        size = (
            f"{size} observations"
            if isinstance(size, int)
            else f"sequences of {' and '.join(map(str, size))} symbols"
        )
        lines.append(
            f"| {load(found.name).TITLE} | {size} | {len(found.ranks)} "
            f"| {', '.join(f'`{label}`' for label in bad) or 'none'} | {found.divergences} |"
        )
    verdict = f"Not calibrated: {', '.join(wrong)}." if wrong else "Every ECDF is within its band."
    return "\n".join([*lines, "", verdict, ""])


def main(path: str) -> int:
    """Run the study, write its page and figure, and return 1 if an ECDF leaves its band."""
    studies = []
    for name in PRIOR:
        studies.append(study(name))
        print(f"{name}: {len(studies[-1].ranks)} functions ranked", flush=True)
    tested = sum(len(found.ranks) for found in studies)
    number = len(next(iter(studies[0].ranks.values())))
    lower, upper = band(number, studies[0].draws, FALSE_ALARM / tested)
    target = Path(path)
    figure(studies, lower, upper, target.with_suffix(".png"))
    text = page(studies, lower, upper, target.with_suffix(".png").name)
    target.write_text(text, "utf-8")
    print(text)
    return int(any(outside(found, lower, upper) for found in studies))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
