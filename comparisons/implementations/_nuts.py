"""PyMC's model sampled by NUTS, run by nutpie: what the two implementations that do so share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lockstep.comparisons.implementations import _pymc
from lockstep.comparisons.problem import Problem
from lockstep.models import bayesian
from lockstep.models.fits import PosteriorFit
from lockstep.models.records import Floats

CHAINS, QUICK_CHAINS = 4, 2
DRAWS, QUICK_DRAWS = 2000, 500
TUNE = 500  # nutpie adapts in 400
TARGET_ACCEPT = 0.9
# Diagonal plus a few directions: on the HMM, whose parameters are correlated, it makes about 1.5
# times the effective draws of a diagonal mass matrix in 0.6 of the steps.
ADAPTATION = "low_rank"

STARTS = 20
"""Tries to find a place that has a density."""

STATISTICS = ("diverging", "energy", "n_steps", "depth", "mean_tree_accept", "step_size_bar")


def draw(
    graph: _pymc.Graph,
    start: Callable[[np.random.Generator], Floats],
    *,
    chains: int,
    draws: int,
    tune: int,
    seed: int,
) -> Any:
    """Return nutpie's trace of a graph's posterior, in which ``x`` are unconstrained vectors.

    Parameters
    ----------
    graph : Graph
    start : callable
        Given random numbers, returns an unconstrained vector for a chain to start from.
    chains, draws, tune : int
        Draws to keep and to adapt with, of each chain.
    seed : int

    Raises
    ------
    ValueError
        If there is no place to start from; and whatever the log-density raises.
    """
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    density = graph.log_density
    failures: list[Exception] = []

    def log_density(x: Floats) -> tuple[float, Floats]:
        """Say that there is no density once it has failed: nutpie's thread would not survive."""
        try:
            if not failures:
                value, gradient = density(x)
                return float(value), gradient
        except Exception as error:  # noqa: BLE001 - raised when the sampler is done
            failures.append(error)
        return np.nan, np.full_like(x, np.nan)

    rng = np.random.default_rng(seed)
    first = (density(start(rng)) for _ in range(STARTS))
    if not any(np.isfinite(value) and np.isfinite(gradient).all() for value, gradient in first):
        raise ValueError(f"none of {STARTS} starting points has a finite density and gradient")

    # Through Python the sampler needs the interpreter lock, so chains run one after another;
    # in return the compiled density comes from PyTensor's disk cache, where nutpie's own
    # compilation takes 10 seconds of each process and graph.
    sampler = from_pyfunc(
        graph.n_dim,
        make_logp_fn=lambda: log_density,
        make_expand_fn=lambda *_: lambda x: {"x": x},
        expanded_dtypes=[np.dtype(np.float64)],
        expanded_shapes=[(graph.n_dim,)],
        expanded_names=["x"],
        make_initial_point_fn=lambda seed: start(np.random.default_rng(seed)),
    )
    try:
        trace = nutpie.sample(
            sampler,
            draws=draws,
            tune=tune,
            chains=chains,
            cores=1,
            seed=seed,
            target_accept=TARGET_ACCEPT,
            adaptation=ADAPTATION,
            save_warmup=False,
            progress_bar=False,
        )
    finally:
        if failures:
            raise failures[0]
    return trace


def sample(problem: Problem, *, stock: bool) -> PosteriorFit:
    """Sample the posterior.

    Parameters
    ----------
    problem : Problem
    stock : bool
        As for `bayesian.build`.

    Returns
    -------
    PosteriorFit
        `CHAINS` chains of `DRAWS` draws, or fewer if the problem asks to be quick.
    """
    import nutpie
    import pymc as pm

    chains = QUICK_CHAINS if problem.quick else CHAINS
    draws = QUICK_DRAWS if problem.quick else DRAWS

    with _pymc.quiet():
        graph = _pymc.graph(problem, stock=stock)

        def start(rng: np.random.Generator) -> Floats:
            return graph.flat(bayesian.start(problem.model, problem.dims, problem.data, rng))

        trace = draw(graph, start, chains=chains, draws=draws, tune=TUNE, seed=problem.seed)
        parameters = graph.parameters(trace.posterior["x"].to_numpy())

    statistics = {
        name: trace.sample_stats[name].to_numpy().astype(np.float64)
        for name in STATISTICS
        if name in trace.sample_stats
    }
    details: dict[str, Any] = {
        "sampler": f"nutpie {nutpie.__version__}, PyMC {pm.__version__}",
        "chains": chains,
        "draws": draws,
        "tune": TUNE,
        "target_accept": TARGET_ACCEPT,
        "mass_matrix": ADAPTATION,
        "priors": bayesian.describe(problem.model),
        "labels": bayesian.identification(problem.model),
    }
    return PosteriorFit(draws=parameters, sample_stats=statistics, details=details)
