"""Posteriors that are right, and posteriors that are wrong in a known way, drawn in a moment.

The density is written here anew, in coordinates of its own, and sampled by independence Metropolis
from a Student's t that was fitted to it: no gradient, and no line of what PyMC samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from scipy import optimize, stats

from lockstep import models
from lockstep.comparisons.alignment import relabel
from lockstep.comparisons.judging import log_likelihoods
from lockstep.comparisons.posterior_agreement import Quantities, quantities
from lockstep.models import bayesian

CHAINS, DRAWS = 4, 600


@dataclass(frozen=True)
class Target:
    """A log posterior density, right unless told otherwise.

    `likelihood`, `prior` and `jacobian` are the powers that each is taken to; `tilt` is added to
    the gradient of the coordinate `tilted`; `scales` multiply the prior's; `used` is the share of
    the data; `fixed` holds coordinates at a value.
    """

    name: str
    size: int
    likelihood: float = 1.0
    prior: float = 1.0
    jacobian: float = 1.0
    tilt: float = 0.0
    tilted: int = 0
    scale: float = 1.0
    used: float = 1.0
    fixed: tuple[tuple[int, float], ...] = ()

    @property
    def model(self) -> Any:
        return models.load(self.name)

    @cached_property
    def truth(self) -> Any:
        p = self.model.Parameters
        if self.name == "gaussian_mixture_1d":
            return p([0.4, 0.6], [-3.0, 2.0], [1.0, 2.0])
        if self.name == "gaussian_mixture_2d":
            covariances = [[[1.0, 0.6], [0.6, 1.5]], [[1.0, -0.4], [-0.4, 0.5]]]
            return p([0.4, 0.6], [[-3.0, 0.0], [2.0, 1.0]], covariances)
        return p([0.6, 0.4], [[0.85, 0.15], [0.2, 0.8]], [[0.7, 0.15, 0.15], [0.15, 0.25, 0.6]])

    @cached_property
    def data(self) -> Any:
        size = [self.size // 20] * 20 if self.name == "categorical_hmm" else self.size
        return self.model.sample(self.truth, size, np.random.default_rng(7))

    @cached_property
    def _seen(self) -> Any:
        return self.data[: max(1, round(self.used * len(self.data)))]

    def parameters(self, v):
        """Return parameters, and the log of the Jacobian, at coordinates (S, F)."""
        v = v.copy()
        for i, value in self.fixed:
            v[:, i] = value
        p = self.model.Parameters
        if self.name == "categorical_hmm":
            blocks = (v[:, None, :1], v[:, 1:3, None], v[:, 3:].reshape(-1, 2, 2))
            rows = [_rows(block) for block in blocks]
            found = p(rows[0][:, 0], rows[1], rows[2])
            return found, sum(np.log(row).sum(axis=(-1, -2)) for row in rows)
        weights = _rows(v[:, None, :1])[:, 0]
        jacobian = np.log(weights).sum(axis=-1)
        if self.name == "gaussian_mixture_1d":
            return p(weights, v[:, 1:3], np.exp(v[:, 3:])), jacobian + v[:, 3:].sum(axis=-1)
        logs, beside = v[:, 5:9].reshape(-1, 2, 2), v[:, 9:]
        factors = np.zeros((len(v), 2, 2, 2))
        factors[..., [0, 1], [0, 1]] = np.exp(logs)
        factors[..., 1, 0] = beside
        # |d covariance / d factor| = 2^D prod L_ii^(D - i), and another L_ii for its logarithm
        jacobian = jacobian + (logs * [3, 2]).sum(axis=(-1, -2))
        return p(weights, v[:, 1:5].reshape(-1, 2, 2), factors @ factors.mT), jacobian

    def log_prior(self, parameters):
        """Return the log of the prior's density, up to a constant."""
        if self.name == "categorical_hmm":
            return np.zeros(len(parameters.startprob))
        x = np.asarray(self.data)
        z = bayesian._rescaled(parameters, -x.mean(axis=0) / x.std(axis=0), 1 / x.std(axis=0))
        value = np.log(z.weights).sum(axis=-1)  # Dirichlet(2)
        means = z.means.reshape(len(z.weights), -1)
        value = value + stats.norm.logpdf(means, 0, 2 * self.scale).sum(axis=-1)
        if self.name == "gaussian_mixture_1d":
            variances = stats.invgamma.logpdf(z.variances, 1.5, scale=0.05 * self.scale**2)
            return value + variances.sum(axis=-1)
        log_det = np.linalg.slogdet(z.covariances)[1]
        traces = np.trace(np.linalg.inv(z.covariances), axis1=-2, axis2=-1)
        return value - (3.5 * log_det + 0.05 * self.scale**2 * traces).sum(axis=-1)

    def log_density(self, v):
        parameters, jacobian = self.parameters(v)
        value = self.likelihood * log_likelihoods(self.model, parameters, self._seen)
        value = value + self.prior * self.log_prior(parameters) + self.jacobian * jacobian
        value = value + self.tilt * v[:, self.tilted]
        for i, at in self.fixed:  # a proper density all the same
            value = value + stats.norm.logpdf(v[:, i], at, 1)
        return value

    @cached_property
    def start(self):
        t = self.truth
        if self.name == "categorical_hmm":
            rows = [t.startprob[None], t.transmat, t.emissionprob]
            return np.concatenate([np.log(r[:, :-1] / r[:, -1:]).ravel() for r in rows])
        weight = np.log(t.weights[:1] / t.weights[1:])
        if self.name == "gaussian_mixture_1d":
            return np.concatenate([weight, t.means, np.log(t.variances)])
        L = np.linalg.cholesky(t.covariances)
        logs = np.log(np.diagonal(L, axis1=-2, axis2=-1)).ravel()
        return np.concatenate([weight, t.means.ravel(), logs, L[:, 1, 0]])

    @cached_property
    def proposal(self):
        """A Student's t, after rounds of importance sampling."""
        plain = _right(self.name, self.size)
        if self == plain:
            mode = optimize.minimize(
                lambda v: -self.log_density(v[None])[0], self.start, method="BFGS"
            )
            family = stats.multivariate_t(mode.x, 1.2 * mode.hess_inv, df=6)
        else:
            family = stats.multivariate_t(plain.proposal.loc, 3 * plain.proposal.shape, df=6)
        for round_ in range(3):
            v = family.rvs(1500, random_state=round_)
            log_weight = self.log_density(v) - family.logpdf(v)
            weight = np.exp(np.minimum(log_weight - np.quantile(log_weight, 0.99), 0))
            covariance = np.cov(v.T, aweights=weight)
            centre = np.average(v, axis=0, weights=weight)
            wide = 1.1 if self.name == "categorical_hmm" else 1.3
            family = stats.multivariate_t(centre, wide * covariance, df=4)
        return family

    def draw(self, seed, chains=CHAINS, draws=DRAWS, *, accepted_only=False):
        """Return coordinates, shape (chain, draw, F), from stationary chains."""
        rng = np.random.default_rng(seed)
        total = (9 if accepted_only else 1) * draws + 20
        proposal = self.proposal
        if accepted_only:  # where many are refused
            proposal = stats.multivariate_t(proposal.loc, 4 * proposal.shape, df=4)
        v = proposal.rvs((chains, total), random_state=rng)
        log_weight = (
            self.log_density(v.reshape(-1, v.shape[-1])) - proposal.logpdf(v).ravel()
        ).reshape(chains, total)
        accept = np.log(rng.uniform(size=(chains, total)))
        at = np.zeros(chains, dtype=int)
        kept = np.empty((chains, total), dtype=int)
        rows = np.arange(chains)
        for t in range(total):
            moves = accept[:, t] < log_weight[:, t] - log_weight[rows, at]
            at = np.where(moves, t, at)
            kept[:, t] = at
        if accepted_only:
            moved = [np.unique(k)[20 : 20 + draws] for k in kept]
            kept = np.stack([k[: min(map(len, moved))] for k in moved])
        else:
            kept = kept[:, 20:]
        return np.take_along_axis(v, kept[..., None], axis=1)

    def records(self, v):
        """Return coordinates as parameters with the same leading axes."""
        lead = v.shape[:2]
        flat = self.parameters(v.reshape(-1, v.shape[-1]))[0].arrays()
        return self.model.Parameters(**{n: a.reshape(*lead, *a.shape[1:]) for n, a in flat.items()})

    def quantities(self, draws) -> Quantities:
        """Return what is compared, relabelled as the judge does it."""
        density = log_likelihoods(self.model, draws, self.data)
        order = relabel(self.model, draws, self.data, self.truth, density).order
        return quantities(self.model, draws.relabelled(order), self.data, density)


@cache
def _right(name, size):
    return Target(name, size)


def _rows(logits):
    """Return distributions whose last logit is zero."""
    logits = np.concatenate([logits, np.zeros((*logits.shape[:-1], 1))], axis=-1)
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


MIXTURE, SMALL = _right("gaussian_mixture_1d", 200), _right("gaussian_mixture_1d", 40)
PLANE, HMM = _right("gaussian_mixture_2d", 150), _right("categorical_hmm", 600)
SMALL_PLANE = _right("gaussian_mixture_2d", 60)
RIGHT = {"mixture": MIXTURE, "small": SMALL, "plane": PLANE, "small plane": SMALL_PLANE}
"""Those whose proposal is near enough for chains that mix; of the HMM NUTS's are compared, by
``make judge-study``."""
