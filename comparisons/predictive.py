"""What fits say of data they have not seen: MLE and Bayes on one scale.

The unit is whatever is predicted in one piece: an observation of a mixture; a symbol of a hidden
Markov model given the symbols before it, whose densities add up to the log-likelihood of the
sequence. A plug-in fit predicts it with p(x_i | estimate), a posterior with the average of
p(x_i | theta) over its draws. Both are log scores in nats on the same units, so they can be
subtracted, and the difference has a standard error over the units.

Of an HMM's one-step-ahead average the weights of the draws stay those of the posterior given the
training data: what is held out does not teach.

References
----------
Gelman, Hwang and Vehtari (2014), Statistics and Computing 24, 997-1016: the averaged density.
Vehtari, Gelman and Gabry (2017), Statistics and Computing 27, 1413-1432: PSIS-LOO.
Buerkner, Gabry and Vehtari (2020), J. Stat. Comput. Simul. 90, 2499-2523: one step ahead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import logsumexp

from lockstep.comparisons.outcomes import LeaveOneOut, PredictedDensity, PredictedShares, Score
from lockstep.models import Data, Model, bayesian, records
from lockstep.models.records import Floats, Integers, Parameters

AT_ONCE = 4_000_000
"""Draws times units times components held in memory."""

MOST = 50_000_000
"""The same, in all: of more draws an even selection is taken."""

MOST_LEFT_OUT, AT_EACH = 5_000, 8_000_000
"""Observations for which leave-one-out is computed, and draws times observations: all are kept."""

CHECKED, COLUMNS = 5_000, 4
"""Steps of an HMM's data, and columns of a mixture's, that a predictive check looks at."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of the bands of a predictive check."""

SIMULATED, SHOWN = 1000, 12
"""Data sets, or densities, of a predictive check; and how many of the prior's are kept whole."""

GRID = 80
"""Points at which densities are drawn."""


def pointwise(model: Model, parameters: Parameters, data: Data) -> Floats:
    """Return the log density of every unit, for each index of the leading axes.

    Parameters
    ----------
    model : Model
    parameters : Parameters
    data : Data

    Returns
    -------
    ndarray, shape (..., units)
        They add up to the log-likelihood. For an HMM log p(x_t | x_1 .. x_{t-1}).
    """
    return model.log_densities(parameters, data)


def thinned(draws: Parameters, most: int) -> Parameters:
    """Return at most so many draws, evenly taken over all chains, on one leading axis."""
    lead = draws.lead
    total = math.prod(lead)
    kept = np.unique(np.linspace(0, total - 1, min(total, max(most, 1))).astype(int))
    return type(draws)(
        **{n: a.reshape(total, *a.shape[len(lead) :])[kept] for n, a in draws.arrays().items()}
    )


def averaged(model: Model, draws: Parameters, data: Data) -> Floats:
    """Return the log of the density of every unit averaged over draws, shape (units,)."""
    size = records.size(data) * draws.n_components
    kept = thinned(draws, MOST // size)
    sums = [logsumexp(part, axis=0) for part in _in_pieces(model, kept, data)]
    return np.asarray(logsumexp(sums, axis=0) - math.log(math.prod(kept.lead)))


def _in_pieces(model: Model, draws: Parameters, data: Data) -> Iterator[Floats]:
    """Yield the log densities of all units, shape (draws, units), some draws at a time."""
    piece = max(1, AT_ONCE // (records.size(data) * draws.n_components))
    for begin in range(0, math.prod(draws.lead), piece):
        part = {k: a[begin : begin + piece] for k, a in draws.arrays().items()}
        yield pointwise(model, type(draws)(**part), data)


def score(mine: Floats, theirs: Floats | None = None) -> Score:
    """Return the score of units' log densities, compared unit by unit with another's."""
    total = float(mine.sum())
    if theirs is None:
        return Score(total=total, units=len(mine))
    with np.errstate(invalid="ignore"):  # two impossible units have no difference
        apart = mine - theirs
        error = float(apart.std(ddof=1) * math.sqrt(len(apart))) if len(apart) > 1 else None
    above = float(apart.sum())
    return Score(total=total, units=len(mine), above=above, above_error=error)


def leave_one_out(
    model: Model, draws: Parameters, data: Data, effective: float
) -> LeaveOneOut | None:
    """Return the leave-one-out log predictive density of a mixture by PSIS.

    Parameters
    ----------
    model : Model
    draws : Parameters
        From the posterior itself, with axes (chain, draw).
    data : Data
    effective : float
        How many independent draws they are worth.

    Returns
    -------
    LeaveOneOut or None
        None for an HMM, whose symbols are not independent, and for more than `MOST_LEFT_OUT`
        observations.
    """
    if isinstance(data, tuple) or not 1 < records.size(data) <= MOST_LEFT_OUT:
        return None
    import warnings

    import arviz_base
    import arviz_stats

    total = math.prod(draws.lead)
    kept = thinned(draws, AT_EACH // records.size(data))
    density = np.concatenate(list(_in_pieces(model, kept, data)))[None]  # (1, draw, N)
    groups = {"posterior": {"total": density.sum(axis=-1)}, "log_likelihood": {"x": density}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large k-hats, which are counted below
        found = arviz_stats.loo(
            arviz_base.from_dict(groups), pointwise=True, reff=min(1.0, effective / total)
        )
    k = found.pareto_k.to_numpy()
    return LeaveOneOut(
        elpd=float(found.elpd),
        se=float(found.se),
        p=float(found.p),
        k_max=float(k.max()),
        k_bad=int((k > found.good_k).sum()),
        threshold=float(found.good_k),
        units=int(k.size),
    )


def check(
    model: Model,
    dims: dict[str, int],
    data: Data,
    posteriors: dict[str, Parameters],
    rng: np.random.Generator,
) -> list[PredictedDensity | PredictedShares]:
    """Return what prior and posteriors say the data should look like, and how they do look.

    Parameters
    ----------
    model : Model
    dims : dict of str to int
    data : Data
    posteriors : dict of str to Parameters
        Draws by implementation.
    rng : numpy.random.Generator

    Returns
    -------
    list of PredictedDensity or PredictedShares
        A density for each column of a mixture's data; the shares of an HMM's symbols.
    """
    sources = {"prior": bayesian.draws(model.NAME, dims, data, SIMULATED, rng)}
    sources |= {who: thinned(draws, SIMULATED) for who, draws in posteriors.items()}
    if isinstance(data, tuple):
        data, V = _beginning(data), dims["n_features"]
        lengths = [len(symbols) for symbols in data]
        bands = {
            who: np.quantile(shares(simulated_by(model, p, lengths, rng), V), QUANTILES, axis=0)
            for who, p in sources.items()
        }
        observed = shares([symbols[None] for symbols in data], V)[0]
        return [PredictedShares(observed=observed, bands=bands)]
    columns = data.reshape(len(data), -1)
    found: list[PredictedDensity | PredictedShares] = []
    for d in range(min(columns.shape[1], COLUMNS)):
        low, high = np.nanmin(columns[:, d]), np.nanmax(columns[:, d])
        room = 0.25 * (high - low)
        grid = np.linspace(low - room, high + room, GRID)
        given = {
            who: model.shows.densities(draws, grid, d).sum(axis=-1)
            for who, draws in sources.items()
        }
        found.append(
            PredictedDensity(
                grid=grid,
                average={who: density.mean(axis=0) for who, density in given.items()},
                bands={who: np.quantile(p, QUANTILES, axis=0) for who, p in given.items()},
                prior_draws=given["prior"][:SHOWN],
            )
        )
    return found


def _beginning(sequences: tuple[Integers, ...]) -> tuple[Integers, ...]:
    """Return the first sequences, `CHECKED` steps at the most."""
    kept, left = [], CHECKED
    for symbols in sequences:
        if left > 0:
            kept.append(symbols[:left])
            left -= len(symbols)
    return tuple(kept)


def simulated_by(
    model: Model, draws: Parameters, lengths: list[int], rng: np.random.Generator
) -> list[Any]:
    """Return what `simulate` does, for any model of sequences."""
    if tuple(draws.SPACES) == ("startprob", "transmat", "emissionprob"):
        return simulate(draws, lengths, rng)  # all draws at once
    each = [model.sample(draws.draw(i), lengths, rng) for i in range(draws.lead[0])]
    return [np.stack(sequences) for sequences in zip(*each)]


def simulate(draws: Parameters, lengths: list[int], rng: np.random.Generator) -> list[Any]:
    """Return sequences of a hidden Markov model, one for every draw and length: (draws, T)."""
    a = draws.arrays()
    rows = np.arange(len(a["startprob"]))
    found = []
    for T in lengths:
        symbols = np.empty((len(rows), T), dtype=np.int64)
        p = a["startprob"]
        for t in range(T):
            z = _choose(p, rng)
            symbols[:, t] = _choose(a["emissionprob"][rows, z], rng)
            p = a["transmat"][rows, z]
        found.append(symbols)
    return found


def _choose(p: Floats, rng: np.random.Generator) -> Any:
    """Return for each row of probabilities an index drawn from it."""
    beyond = rng.uniform(size=len(p))[:, None] >= np.cumsum(p, axis=-1)[:, :-1]
    return beyond.sum(axis=-1)


def shares(sequences: list[Any], V: int) -> Floats:
    """Return the share of each symbol, and of steps that repeat the symbol before.

    Parameters
    ----------
    sequences : list of ndarray of int, shape (S, T)
        Symbols that were not observed, -1, count for nothing.
    V : int
        The number of symbols.

    Returns
    -------
    ndarray, shape (S, V + 1)
    """
    every = np.concatenate(sequences, axis=1)
    seen = np.maximum((every >= 0).sum(axis=1), 1)
    counts = np.stack([(every == v).sum(axis=1) / seen for v in range(V)], axis=1)
    again = sum(((s[:, 1:] == s[:, :-1]) & (s[:, 1:] >= 0)).sum(axis=1) for s in sequences)
    steps = sum(((s[:, 1:] >= 0) & (s[:, :-1] >= 0)).sum(axis=1) for s in sequences)
    return np.column_stack([counts, again / np.maximum(steps, 1)])
