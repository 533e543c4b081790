"""What PyMC's two variational implementations share: the ascent of the ELBO and its stopping rule.

Of the unconstrained parameters the approximation is a normal distribution q with mean mu and
covariance L L', L lower triangular: diagonal in the mean-field family, full in the other. Adam
climbs one-draw estimates of the evidence lower bound E_q[log p(x, theta) - log q(theta)].

It has settled when the ELBO no longer rises: steps are counted in blocks, and whenever a block's
mean is above that of the block before by less than the standard error of the difference, the step
size falls by a factor; the same again at the last step size ends the fit. A fit that uses up its
blocks has not settled.

Each draw carries its log p - log q, from which the judge computes Pareto's k-hat.

References
----------
Kucukelbir, Tran, Ranganath, Gelman and Blei (2017), JMLR 18(14), 1-45.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from lockstep.comparisons.implementations import _pymc
from lockstep.comparisons.problem import Problem
from lockstep.models import bayesian
from lockstep.models.fits import PosteriorFit
from lockstep.models.records import Floats

type Family = Literal["mean field", "full rank"]

FAMILIES: dict[Family, str] = {
    "mean field": "independent normals on the unconstrained scale (mean field)",
    "full rank": "one correlated normal on the unconstrained scale (full rank)",
}

WHOSE: dict[Family, str] = {
    "mean field": "ADVI,",
    "full rank": "reparametrisation gradient on the compiled log density of",
}

DRAWS, QUICK_DRAWS = 2000, 1000

# The restarts run briefly; the best goes on.
RESTARTS, RESTART_STEPS = 4, 500
BLOCK, QUICK_BLOCK, MAX_BLOCKS = 1000, 500, 40
RATE, RATE_FACTOR, LAST_RATE = 0.05, 0.4, 0.0005
START_SD = 0.1


class Ascent(Protocol):
    """What climbs the ELBO on one graph, and can start again on other data."""

    def begin(self, location: Floats, seed: int) -> None:
        """Put the approximation somewhere, narrow and without correlations."""
        ...

    def go_on(self, state: tuple[Floats, Floats], seed: int) -> None:
        """Go back to a state, and forget the optimiser's past."""
        ...

    def run(self, steps: int, rate: float) -> Floats:
        """Return the one-draw estimate of the ELBO at each of some steps of Adam, in nats."""
        ...

    def state(self) -> tuple[Floats, Floats]:
        """Return what the family is parametrised by, to go on from."""
        ...

    def normal(self) -> tuple[Floats, Floats]:
        """Return the approximation's mean (F,) and the factor L (F, F) of its covariance."""
        ...


class MeanField:
    """PyMC's ADVI; its step is compiled.

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
        parameters = inference.approx.groups[0].params_dict
        self._location, self._rho = parameters["mu"], parameters["rho"]
        moments: list[Any] = []

        def adam(gradients: Any, parameters: Any) -> Any:
            updates = pm.adam(gradients, parameters, learning_rate=self._rate)
            moments.extend(shared for shared in updates if shared not in parameters)
            return updates

        with graph.model:  # so that it is compiled without checks of the priors' constants
            self._step = inference.objective.step_function(score=True, obj_optimizer=adam)
        self._moments = moments

    def begin(self, location: Floats, seed: int) -> None:
        """Put the approximation somewhere, narrow."""
        self.go_on((location, np.full_like(location, np.log(np.expm1(START_SD)))), seed)

    def go_on(self, state: tuple[Floats, Floats], seed: int) -> None:
        """Go back to a state, and forget the optimiser's past."""
        from pymc.pytensorf import reseed_rngs
        from pytensor.tensor.random.type import RandomType

        self._location.set_value(state[0])
        self._rho.set_value(state[1])
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

    def normal(self) -> tuple[Floats, Floats]:
        """Return the approximation's mean (F,) and the factor L (F, F) of its covariance."""
        location, rho = self.state()
        return location, np.diag(np.logaddexp(0, rho))


class FullRank:
    """Full-rank ADVI on PyMC's compiled log density, by the reparametrisation gradient.

    With theta = mu + L e, e standard normal, the ELBO is E[log p(theta)] + sum log L_ii + const,
    and its gradients are those of log p: E[g] by mu, and the lower triangle of E[g e'] + diag(1 /
    L_ii) by L. L is diag(d) C, C with ones on its diagonal, and the coordinates are log d and the
    rest of C: a step of Adam is then relative to the width of each parameter. PyMC's own
    FullRankADVI climbs in L itself, where steps of a narrow parameter overshoot by far, and takes
    most of a minute to compile; this is for nothing once the density is there.

    Parameters
    ----------
    graph : Graph
        Its model is approximated.
    """

    def __init__(self, graph: _pymc.Graph) -> None:
        self._log_density = graph.log_density

    def begin(self, location: Floats, seed: int) -> None:
        """Put the approximation somewhere, narrow and without correlations."""
        self.go_on((location, np.log(START_SD) * np.eye(len(location))), seed)

    def go_on(self, state: tuple[Floats, Floats], seed: int) -> None:
        """Go back to a state, and forget the optimiser's past."""
        F = len(state[0])
        self._point = np.concatenate([state[0][None], state[1]])  # (1 + F, F)
        self._first, self._second = np.zeros((2, 1 + F, F))
        self._steps, self._rng = 0, np.random.default_rng(seed)

    def run(self, steps: int, rate: float) -> Floats:
        """Return the one-draw estimate of the ELBO at each of some steps of Adam, in nats."""
        F = self._point.shape[1]
        elbo, gradient = np.empty(steps), np.empty_like(self._point)
        for i, e in enumerate(self._rng.standard_normal((steps, F))):
            location, factor = self.normal()
            value, g = self._log_density(location + factor @ e)
            elbo[i] = value + 0.5 * e @ e + 0.5 * F * np.log(2 * np.pi)
            elbo[i] += np.trace(self._point[1:])
            gradient[0] = g
            gradient[1:] = np.tril(np.outer(np.diag(factor) * g, e), -1)  # by C_ij
            gradient[range(1, 1 + F), range(F)] = g * (factor @ e) + 1  # by log d_i
            self._climb(gradient, rate)
        return elbo

    def _climb(self, gradient: Floats, rate: float) -> None:
        """Take a step of Adam (Kingma and Ba 2015, algorithm 1)."""
        self._steps += 1
        self._first += 0.1 * (gradient - self._first)
        self._second += 0.001 * (gradient**2 - self._second)
        first = self._first / (1 - 0.9**self._steps)
        second = self._second / (1 - 0.999**self._steps)
        self._point = self._point + rate * first / (np.sqrt(second) + 1e-8)

    def state(self) -> tuple[Floats, Floats]:
        """Return the means, and C with log d on its diagonal."""
        return self._point[0], self._point[1:]

    def normal(self) -> tuple[Floats, Floats]:
        """Return the approximation's mean (F,) and the factor L (F, F) of its covariance."""
        location, factor = self._point[0], self._point[1:].copy()
        widths = np.exp(np.diag(factor))
        np.fill_diagonal(factor, 1)
        return location, widths[:, None] * factor


_ASCENTS: dict[tuple[_pymc.Graph, Family], Ascent] = {}


@dataclass(frozen=True)
class Climbed:
    """How an ascent went.

    Attributes
    ----------
    elbo : ndarray
        By step, each from one draw.
    rate : float
        The last step size.
    settled : bool
    restarts : list of float
        The ELBO that each restart had reached.
    """

    elbo: Floats
    rate: float
    settled: bool
    restarts: list[float]


def fit(problem: Problem, family: Family) -> PosteriorFit:
    """Maximise the evidence lower bound, and draw from the approximation.

    Parameters
    ----------
    problem : Problem
    family : {"mean field", "full rank"}

    Returns
    -------
    PosteriorFit
        One chain of independent draws with their ``log_weight``, and the ELBO by step.
    """
    import pymc as pm

    draws = QUICK_DRAWS if problem.quick else DRAWS
    block = QUICK_BLOCK if problem.quick else BLOCK
    rng = np.random.default_rng(problem.seed)
    with _pymc.quiet():
        graph = _pymc.graph(problem)
        if (graph, family) not in _ASCENTS:
            kind = MeanField if family == "mean field" else FullRank
            _ASCENTS[graph, family] = kind(graph)
        ascent = _ASCENTS[graph, family]

        climbed = _ascend(
            ascent,
            lambda: graph.flat(bayesian.start(problem.model, problem.dims, problem.data, rng)),
            block,
            rng,
        )
        location, factor = ascent.normal()
        standard = rng.normal(size=(1, draws, graph.n_dim))
        unconstrained = location + standard @ factor.T
        parameters = graph.parameters(unconstrained)
        log_p = np.array([float(graph.log_density(at)[0]) for at in unconstrained[0]])
    log_q = -0.5 * (standard[0] ** 2 + np.log(2 * np.pi)).sum(axis=-1)
    log_q -= np.log(np.diag(factor)).sum()

    last = climbed.elbo[-block:]
    details: dict[str, Any] = {
        "sampler": f"{WHOSE[family]} PyMC {pm.__version__}",
        "family": FAMILIES[family],
        "draws": draws,
        "steps": len(climbed.elbo),
        "optimizer": f"Adam, one draw a step, step size {RATE:g} falling to {climbed.rate:.2g}",
        "stopping_rule": f"the mean ELBO of {block} steps no longer rises by more than its "
        f"standard error, at a step size that then falls, and has fallen, below {LAST_RATE:g}",
        "restarts": climbed.restarts,
        "elbo": float(last.mean()),
        "elbo_standard_error": float(last.std() / np.sqrt(len(last))),
        "settled": climbed.settled,
        "priors": bayesian.describe(problem.model),
        "labels": bayesian.identification(problem.model),
    }
    weights = {"log_weight": (log_p - log_q)[None]}
    return PosteriorFit(parameters, weights, elbo=climbed.elbo, details=details)


def _ascend(
    ascent: Ascent, start: Callable[[], Floats], block: int, rng: np.random.Generator
) -> Climbed:
    candidates = []
    for _ in range(RESTARTS):
        ascent.begin(start(), int(rng.integers(2**31)))
        elbo = ascent.run(RESTART_STEPS, RATE)
        candidates.append((float(elbo[-RESTART_STEPS // 4 :].mean()), ascent.state(), elbo))
    _, state, elbo = max(candidates, key=lambda candidate: candidate[0])
    ascent.go_on(state, int(rng.integers(2**31)))

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
    return Climbed(np.concatenate(blocks), rate, settled, [first for first, _, _ in candidates])
