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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from lockstep.comparisons.implementations import _nuts, _pymc
from lockstep.models import Model, bayesian, load, names
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

K, D, V = 2, 2, 3


def size_of(model: Model) -> Any:
    """Return how much data of a model is simulated: observations, or steps of each sequence."""
    return [60, 20] if model.shows.SEQUENCES else 20 * (1 + model.shows.COLUMNS[0])


def ordered(parameters: Parameters) -> Parameters:
    """Return parameters with their components in order; what depends on labels then does not.

    It is the order of the first number of each component: the first coordinate of its mean, the
    probability of symbol 0. What is a distribution over the components themselves does not count.
    """
    for name, axes in parameters.COMPONENT_AXES.items():
        if not (name in parameters.PROBABILITIES and -1 in axes):
            values = parameters.arrays()[name]
            first = values.reshape(*values.shape[: axes[0] + values.ndim + 1], -1)[..., 0]
            return parameters.relabelled(np.argsort(first, axis=-1))
    raise ValueError("no field tells one component from another")


def functions(name: str, parameters: Any, data: Any) -> dict[str, Floats]:
    """Return every function that is ranked, by name, for each index of the leading axes.

    What other entries determine is left out.
    """
    model = load(name)
    found = {}
    leading = next(iter(parameters.arrays().values())).ndim - 1
    first = parameters.draw(*(0,) * leading)
    for label, field, index in entries(first):
        if not first.SPACES[field].redundant(index, first.arrays()[field].shape):
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
        sizes = {"n_components": K, "n_features": V, "n_columns": model.shows.COLUMNS[0]}
        truth = bayesian.draws(name, sizes, None, 1, rng).draw(0)
        data = model.sample(truth, size_of(model), rng)
        dims = truth.dims
        # A prior on the scale of standardised data takes these to be on that scale.
        observed = bayesian.observations(name, data, standardise=False)
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
        drawn = functions(name, ordered(posterior), data)
        for label, value in functions(name, ordered(truth), data).items():
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
        "the prior (with NumPy and SciPy, not PyMC), data from the parameters, a posterior from "
        f"the data by `pymc-nuts` ({CHAINS} chains of {DRAWS} draws after {TUNE}, one in {THIN} "
        f"ranked: {studies[0].draws} draws). The rank of what was drawn among those is uniform if "
        "prior, likelihood, gradient and sampler are right (simulation-based calibration, Talts "
        "et al. 2018).",
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
        size = size_of(load(found.name))
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
    for name in names():
        if bayesian.prior_of(load(name)) is None:
            continue
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
