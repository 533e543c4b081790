"""PyMC's model fitted by ADVI: the nearest independent normals on the unconstrained scale.

The approximation is mean-field: it ignores correlations, and its standard deviations are
therefore too small where parameters are correlated.

References
----------
Kucukelbir, Tran, Ranganath, Gelman and Blei (2017), JMLR 18(14), 1-45.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from comparisons.implementations import _pymc
from comparisons.problem import Problem
from models import bayesian
from models.fits import PosteriorFit
from models.records import Floats

NAME = "pymc-advi"
PACKAGE = "pymc"
KIND = "posterior"
SUMMARY = "PyMC, mean-field variational approximation of the posterior"

DRAWS, QUICK_DRAWS = 2000, 1000

# The restarts run briefly; the best goes on. Steps are counted in blocks, and the step size falls
# whenever a block's mean ELBO is no better than that of the block before.
RESTARTS, RESTART_STEPS = 4, 500
BLOCK, QUICK_BLOCK, MAX_BLOCKS = 1000, 500, 40
RATE, RATE_FACTOR, LAST_RATE = 0.05, 0.4, 0.0005
START_SD = 0.1

unsupported = _pymc.unsupported


class Ascent:
    """ADVI's compiled step on one graph, which can start again on other data.

    Parameters
    ----------
    graph : Graph
        Its model is approximated.
    """

    def __init__(self, graph: _pymc.Graph) -> None:
        import pymc as pm
        import pytensor

        self._rate = pytensor.shared(RATE, "rate")
        inference = pm.ADVI(model=graph.model, random_seed=0)
        self._location, self._rho = inference.approx.params
        moments: list[Any] = []

        def adam(gradients: Any, parameters: Any) -> Any:
            updates = pm.adam(gradients, parameters, learning_rate=self._rate)
            moments.extend(shared for shared in updates if shared not in parameters)
            return updates

        with graph.model:  # so that it is compiled without checks of the priors' constants
            self._step = inference.objective.step_function(score=True, obj_optimizer=adam)
        self._moments = moments

    def restart(self, location: Floats, rho: Floats, seed: int) -> None:
        """Put the approximation somewhere, and forget the optimiser's past."""
        from pymc.pytensorf import reseed_rngs
        from pytensor.tensor.random.type import RandomType

        self._location.set_value(location)
        self._rho.set_value(rho)
        for shared in self._moments:
            shared.set_value(np.zeros_like(shared.get_value()))
        reseed_rngs([v for v in self._step.get_shared() if isinstance(v.type, RandomType)], seed)

    def run(self, steps: int, rate: float) -> Floats:
        """Return the one-draw estimate of the ELBO at each of some steps of Adam, in nats."""
        self._rate.set_value(np.asarray(rate))
        return -np.array([float(self._step()) for _ in range(steps)])

    def state(self) -> tuple[Floats, Floats]:
        """Return the means and the inverse softplus of the standard deviations."""
        return self._location.get_value(), self._rho.get_value()


_ASCENTS: dict[_pymc.Graph, Ascent] = {}


def fit(problem: Problem) -> PosteriorFit:
    """Maximise the evidence lower bound, and draw from the approximation.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    PosteriorFit
        One chain of independent draws, and the ELBO by step.
    """
    import pymc as pm

    draws = QUICK_DRAWS if problem.quick else DRAWS
    block = QUICK_BLOCK if problem.quick else BLOCK
    rng = np.random.default_rng(problem.seed)
    with _pymc.quiet():
        graph = _pymc.graph(problem)
        if graph not in _ASCENTS:
            _ASCENTS[graph] = Ascent(graph)
        ascent = _ASCENTS[graph]

        elbo, rate, settled, restarts = _ascend(
            ascent,
            lambda: graph.flat(bayesian.start(problem.model, problem.dims, problem.data, rng)),
            block,
            rng,
        )
        location, rho = ascent.state()
        sd = np.logaddexp(0, rho)
        unconstrained = location + sd * rng.normal(size=(1, draws, graph.n_dim))
        parameters = graph.parameters(unconstrained)

    last = elbo[-block:]
    details: dict[str, Any] = {
        "sampler": f"ADVI, PyMC {pm.__version__}",
        "family": "independent normals on the unconstrained scale (mean field)",
        "draws": draws,
        "steps": len(elbo),
        "optimizer": f"Adam, one draw a step, step size {RATE:g} falling to {rate:.2g}",
        "restarts": restarts,
        "elbo": float(last.mean()),
        "elbo_standard_error": float(last.std() / np.sqrt(len(last))),
        "settled": settled,
        "priors": bayesian.describe(problem.model),
        "labels": _pymc.LABELS[problem.model],
    }
    return PosteriorFit(draws=parameters, elbo=elbo, details=details)


def _ascend(
    ascent: Ascent, start: Callable[[], Floats], block: int, rng: np.random.Generator
) -> tuple[Floats, float, bool, list[float]]:
    """Return the ELBO by step, the last step size, whether it settled, the restarts' ELBOs."""
    candidates = []
    for _ in range(RESTARTS):
        location = start()
        rho = np.full_like(location, np.log(np.expm1(START_SD)))
        ascent.restart(location, rho, int(rng.integers(2**31)))
        elbo = ascent.run(RESTART_STEPS, RATE)
        candidates.append((float(elbo[-RESTART_STEPS // 4 :].mean()), ascent.state(), elbo))
    _, state, elbo = max(candidates, key=lambda candidate: candidate[0])
    ascent.restart(*state, int(rng.integers(2**31)))

    rate, blocks = RATE, [elbo]
    settled = False
    for _ in range(MAX_BLOCKS):
        blocks.append(ascent.run(block, rate))
        before, after = blocks[-2:]
        gain = after.mean() - before.mean()
        if gain < np.hypot(before.std(), after.std()) / np.sqrt(block):
            if rate * RATE_FACTOR < LAST_RATE:
                settled = True
                break
            rate *= RATE_FACTOR
    return np.concatenate(blocks), rate, settled, [candidate[0] for candidate in candidates]
