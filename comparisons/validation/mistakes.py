"""Known mistakes: each is one EM iteration that is wrong in one part, on purpose.

What a mistake does to given data from given parameters is its fingerprint: a candidate whose
result is the mistake's to rounding has made it. The right iteration of each model is written in
parts; a mistake replaces one or more of them, and two mistakes that replace different parts can
be made together.

Letters as in the models: N observations of D coordinates, K components or states, T steps, V
symbols. A 1D mixture is one of D = 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
from scipy.special import softmax

from lockstep.models import load
from lockstep.models.records import Floats, Integers

type Arrays = dict[str, Floats]

SAME = 1e-9
"""Results this near each other, relative to the largest number of their field, are the same: both
sides round by some 1e-15, and two different mistakes differ by 1e-4 and more."""


class Mixture:
    """One EM iteration of a Gaussian mixture, in parts."""

    FIELDS: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("weights", "means", "variances"),
        ("weights", "means", "covariances"),
    )
    NAME = SAYS = MEND = ""
    size = 0.0
    """Of a mistake that has one: a ridge, a pseudo-count."""

    def __init__(self, start: Arrays, data: Any) -> None:
        x = np.asarray(data, dtype=np.float64)
        K, self.N = len(start["weights"]), len(x)
        self.flat = x.ndim == 1
        self.x = x.reshape(self.N, -1)  # (N, D)
        self.D = self.x.shape[1]
        self.weights = start["weights"]
        self.means = start["means"].reshape(K, self.D)
        covariances = start["variances"] if self.flat else start["covariances"]
        self.covariances = covariances.reshape(K, self.D, self.D)
        self.K = K

    # The parts, in the order in which they are computed
    def log_weights(self) -> Floats:
        """(K,)."""
        return np.log(self.weights)

    def spread(self) -> Floats:
        """Return the covariances that the density is computed with, (K, D, D)."""
        return self.covariances

    def inverse(self) -> Floats:
        """(K, D, D)."""
        return np.linalg.inv(self.spread())

    def squares(self) -> Floats:
        """Return squared Mahalanobis distances, (N, K)."""
        d = self.x[:, None] - self.means  # (N, K, D)
        return np.einsum("nkd,kde,nke->nk", d, self.inverse(), d)

    def log_scale(self) -> Floats:
        """Return half the log-determinants, (K,)."""
        return 0.5 * np.linalg.slogdet(self.spread())[1]

    def log_density(self) -> Floats:
        """(N, K), without the constant that all components share."""
        return -0.5 * self.squares() - self.log_scale()

    def joint(self) -> Floats:
        """Return log(weight density), (N, K), without the constant that all components share."""
        return self.log_weights() + self.log_density()

    def whole(self) -> Floats:
        """Return weight times density, (N, K)."""
        return np.exp(self.joint() - 0.5 * self.D * np.log(2 * np.pi))

    def responsibilities(self) -> Floats:
        """(N, K)."""
        return softmax(self.joint(), axis=1)

    def totals(self, r: Floats) -> Floats:
        """Return N_k, (K,)."""
        return r.sum(axis=0)

    def mean_divisor(self, r: Floats) -> Floats:
        """(K,) or a number."""
        return self.totals(r)

    def new_means(self, r: Floats) -> Floats:
        """(K, D)."""
        divisor = np.broadcast_to(self.mean_divisor(r), self.K)
        return r.T @ self.x / divisor[:, None]

    def for_covariances(self, r: Floats, means: Floats) -> Floats:  # noqa: ARG002
        """Return the responsibilities used for the covariances, (N, K)."""
        return r

    def centre(self, means: Floats) -> Floats:
        """Return what deviations are taken from, (K, D)."""
        return means

    def scatter(self, r: Floats, means: Floats) -> Floats:
        """(K, D, D)."""
        d = self.x[:, None] - self.centre(means)  # (N, K, D)
        return np.einsum("nk,nkd,nke->kde", r, d, d)

    def covariance_divisor(self, r: Floats) -> Floats:
        """(K,) or a number."""
        return self.totals(r)

    def new_covariances(self, r: Floats, means: Floats) -> Floats:
        """(K, D, D)."""
        r = self.for_covariances(r, means)
        divisor = np.broadcast_to(self.covariance_divisor(r), self.K)
        return self.scatter(r, means) / divisor[:, None, None]

    def finish(self, covariances: Floats) -> Floats:
        """Return the covariances as they are handed back."""
        return covariances

    def new_weights(self, r: Floats) -> Floats:
        """(K,)."""
        n = self.totals(r)
        return n / n.sum()

    def step(self) -> Arrays:
        """Return the parameters after one iteration."""
        r = self.responsibilities()
        means = self.new_means(r)
        covariances = self.finish(self.new_covariances(r, means))
        return self.named(self.new_weights(r), means, covariances)

    def named(self, weights: Floats, means: Floats, covariances: Floats) -> Arrays:
        """Return the parameters in the model's shapes, by its names."""
        if self.flat:
            return {"weights": weights, "means": means[:, 0], "variances": covariances[:, 0, 0]}
        return {"weights": weights, "means": means, "covariances": covariances}


class HMM:
    """One iteration of Baum and Welch, in parts; for sequences short enough to need no scaling."""

    FIELDS: ClassVar[tuple[tuple[str, ...], ...]] = (("startprob", "transmat", "emissionprob"),)
    NAME = SAYS = MEND = ""
    size = 0.0

    def __init__(self, start: Arrays, data: Any) -> None:
        self.pi, self.A, self.B = start["startprob"], start["transmat"], start["emissionprob"]
        self.K, self.V = self.B.shape
        self.sequences = [np.asarray(s, dtype=np.int64) for s in data]

    def joined(self) -> list[Integers]:
        """Return the sequences as the passes see them."""
        return self.sequences

    def seen(self, x: Integers) -> Floats:
        """Return p(x_t | z_t), (T, K)."""
        return self.B[:, x].T

    def first(self, b: Floats) -> Floats:
        """Return p(z_1, x_1), (K,)."""
        return self.pi * b[0]

    def predicted(self, a: Floats) -> Floats:
        """Return where the state goes next, (K,)."""
        return a @ self.A

    def forward(self, x: Integers) -> Floats:
        """Return p(z_t, x_1 .. x_t), (T, K)."""
        b = self.seen(x)
        alpha = np.empty_like(b)
        alpha[0] = self.first(b)
        for t in range(1, len(x)):
            alpha[t] = self.predicted(alpha[t - 1]) * b[t]
        return alpha

    def ahead(self, b: Floats, beta: Floats, t: int) -> Floats:
        """Return p(x_{t+1} .. x_T | z_{t+1}), (K,)."""
        return b[t + 1] * beta[t + 1]

    def back(self, ahead: Floats) -> Floats:
        """Return p(x_{t+1} .. x_T | z_t), (K,)."""
        return self.A @ ahead

    def backward(self, x: Integers) -> Floats:
        """Return p(x_{t+1} .. x_T | z_t), (T, K)."""
        b = self.seen(x)
        beta = np.ones_like(b)
        for t in range(len(x) - 2, -1, -1):
            beta[t] = self.back(self.ahead(b, beta, t))
        return beta

    def passes(self, x: Integers) -> tuple[Floats, Floats]:
        """Return alpha and beta, as they are scaled."""
        return self.forward(x), self.backward(x)

    def gamma(self, alpha: Floats, beta: Floats) -> Floats:
        """(T, K)."""
        g = alpha * beta
        return g / g.sum(axis=1, keepdims=True)

    def step_to(self, alpha: Floats, there: Floats) -> Floats:
        """Return alpha_t(i) A_ij there_t(j), (T - 1, K, K)."""
        return alpha[:-1, :, None] * self.A * there[:, None, :]

    def xi_factors(self, x: Integers, alpha: Floats, beta: Floats) -> Floats:
        """Return p(z_t, z_{t+1}, x), (T - 1, K, K)."""
        return self.step_to(alpha, self.seen(x)[1:] * beta[1:])

    def xi(self, x: Integers, alpha: Floats, beta: Floats) -> Floats:
        """(T - 1, K, K)."""
        xi = self.xi_factors(x, alpha, beta)
        return xi / xi.sum(axis=(1, 2), keepdims=True)

    def starts(self, gamma: Floats) -> Floats:
        """(K,)."""
        return gamma[0]

    def leaving(self, gamma: Floats, xi: Floats) -> Floats:  # noqa: ARG002
        """Return how often each state is left, (K,): the divisor of the transitions."""
        return xi.sum(axis=(0, 2))

    def emitted(self, gamma: Floats, x: Integers) -> tuple[Floats, Floats]:
        """Return counts of symbols by state, (K, V), and their divisors, (K,)."""
        counts = np.stack([gamma[x == v].sum(axis=0) for v in range(self.V)], axis=1)
        return counts, gamma.sum(axis=0)

    def expect(self, x: Integers) -> list[Floats]:
        """Return the expected counts of one sequence, each with its divisor."""
        alpha, beta = self.passes(x)
        gamma = self.gamma(alpha, beta)
        xi = self.xi(x, alpha, beta)
        starts = self.starts(gamma)
        counts, shown = self.emitted(gamma, x)
        return [
            starts,
            np.asarray(starts.sum()),
            xi.sum(axis=0),
            self.leaving(gamma, xi),
            counts,
            shown,
        ]

    def pooled(self, parts: list[list[Floats]]) -> list[Floats]:
        """Return the sequences' counts and divisors together."""
        return [np.sum(column, axis=0) for column in zip(*parts)]

    def divide(self, counts: Floats, divisor: Floats) -> Floats:
        """(K, K): the transition probabilities."""
        return counts / divisor[:, None]

    def shares(self, counts: Floats, divisor: Floats) -> Floats:
        """(K, V): the emission probabilities."""
        return counts / divisor[:, None]

    def startprob(self, starts: Floats, total: Floats) -> Floats:
        """(K,)."""
        return starts / total

    def finish(self, A: Floats) -> Floats:
        """Return the transition matrix as it is handed back."""
        return A

    def step(self) -> Arrays:
        """Return the parameters after one iteration."""
        s, s0, t, t0, e, e0 = self.pooled([self.expect(x) for x in self.joined()])
        return {
            "startprob": self.startprob(s, s0),
            "transmat": self.finish(self.divide(t, t0)),
            "emissionprob": self.shares(e, e0),
        }


ROOTS = (Mixture, HMM)
M_PARTS = {
    "mean_divisor", "new_means", "centre", "scatter", "covariance_divisor", "new_covariances",
    "finish", "new_weights", "starts", "leaving", "emitted", "pooled", "divide", "shares",
    "startprob", "joined",
}  # fmt: skip
"""Parts of an iteration that belong to the M-step; the others are the E-step's."""

MIXTURE_1D, MIXTURE_2D = Mixture.FIELDS
REGISTER: list[type[Any]] = []
"""All mistakes, in the order in which they are told apart."""
SHORT: list[type[Any]] = []
"""Quantities kept in single precision: wrong by little."""
SIZED: list[type[Any]] = []
"""Mistakes that have a size, to be read off the numbers."""


def _wrong(
    bases: type[Any] | tuple[type[Any], ...],
    name: str,
    says: str,
    mend: str,
    *,
    fields: Any = None,
    register: Any = REGISTER,
    **replaced: Any,
) -> None:
    """Register a mistake: the iteration with some parts replaced by functions of it (``m``)."""
    bases = bases if isinstance(bases, tuple) else (bases,)
    words = {"NAME": name, "SAYS": says, "MEND": mend, "__module__": __name__}
    known = {} if fields is None else {"FIELDS": fields}
    register.append(type("Mistake", bases, words | known | replaced))


_sized = partial(_wrong, register=SIZED)
"""Register a mistake that has a size, ``m.size``."""


def _single(part: str, what: str, root: type[Any]) -> None:
    """Register a part of an iteration that is right but in single precision, kept so or not."""
    for kept in (np.float32, np.float64):

        def short(m: Any, *arguments: Any, kept: Any = kept) -> Floats:
            return getattr(root, part)(m, *arguments).astype(np.float32).astype(kept)

        _wrong(
            root,
            f"single precision of the {what}",
            f"the {what} in 32-bit floats",
            "compute in float64 throughout: look for float32 and for arrays made with a dtype",
            register=SHORT,
            **{part: short},
        )


# --- Gaussian mixtures: the E-step --------------------------------------------------------------

_wrong(
    Mixture,
    "responsibilities normalised over the points",
    "responsibilities divided by their sum over the points, not over the components",
    "divide each row by its own sum: gamma / gamma.sum(axis=1, keepdims=True)",
    responsibilities=lambda m: softmax(m.joint(), axis=0),
)
_wrong(
    Mixture,
    "responsibilities not normalised",
    "weight times density in place of responsibilities: they are not divided by p(x_n)",
    "divide each row by its sum: gamma / gamma.sum(axis=1, keepdims=True)",
    responsibilities=lambda m: m.whole(),
)
_wrong(
    Mixture,
    "weights left out of the responsibilities",
    "responsibilities without the weights: densities alone, divided by their sum",
    "multiply each density by its weight (equation 9.23)",
    log_weights=lambda m: np.zeros(m.K),
)
_wrong(
    Mixture,
    "hard assignments",
    "each point given whole to its likeliest component (k-means, classification EM)",
    "keep the probabilities: do not take the argmax",
    responsibilities=lambda m: np.eye(m.K)[m.joint().argmax(axis=1)],
)
_wrong(
    Mixture,
    "variance taken for standard deviation",
    "densities whose standard deviation is the variance",
    "norm.pdf takes the standard deviation: give it the square root of the variance",
    fields=(MIXTURE_1D,),
    spread=lambda m: m.covariances**2,
)
_wrong(
    Mixture,
    "standard deviation taken for variance",
    "densities whose variance is the standard deviation",
    "square the standard deviation where the formula has the variance",
    fields=(MIXTURE_1D,),
    spread=lambda m: np.sqrt(m.covariances),
)
_wrong(
    Mixture,
    "the half in the exponent left out",
    "densities with exp(-d^2) in place of exp(-d^2 / 2)",
    "multiply the squared distance by one half",
    squares=lambda m: 2 * Mixture.squares(m),
)
_wrong(
    Mixture,
    "the minus in the exponent left out",
    "densities with exp(+d^2 / 2): they grow with the distance",
    "the exponent is minus half the squared distance",
    squares=lambda m: -Mixture.squares(m),
)
_wrong(
    Mixture,
    "the variance left out of the exponent",
    "squared distances that are not divided by the variance",
    "divide the squared distance by the variance (multiply by the inverse covariance)",
    inverse=lambda m: np.broadcast_to(np.eye(m.D), (m.K, m.D, m.D)),
)
_wrong(
    Mixture,
    "the density's constant left out",
    "densities without 1 / sigma (without the determinant): it differs by component",
    "keep the normalising constant of each component's density",
    log_scale=lambda m: np.zeros(m.K),
)
_wrong(
    Mixture,
    "the square root of the determinant left out",
    "densities divided by the variance (the determinant), not by its square root",
    "divide by sqrt((2 pi)^D det(cov)): the root is over the determinant as well",
    log_scale=lambda m: 2 * Mixture.log_scale(m),
)
_wrong(
    Mixture,
    "covariance not inverted",
    "squared distances multiplied by the covariance, not by its inverse",
    "use the inverse (or np.linalg.solve) in the quadratic form",
    inverse=lambda m: m.spread(),
)
_wrong(
    Mixture,
    "distance not squared",
    "densities with exp(-|d| / 2) in place of exp(-d^2 / 2)",
    "square the standardised distance",
    squares=lambda m: np.sqrt(Mixture.squares(m)),
)
_wrong(
    Mixture,
    "off-diagonals left out of the density",
    "densities computed coordinate by coordinate, without the covariances between them",
    "use the whole covariance matrix in the density",
    fields=(MIXTURE_2D,),
    spread=lambda m: m.covariances * np.eye(m.D),
)


def _one_after_the_other(m: Any) -> Arrays:
    weights, means, covariances = (a.copy() for a in (m.weights, m.means, m.covariances))
    for k in range(m.K):
        m.weights, m.means, m.covariances = weights, means, covariances
        r = m.responsibilities()
        new_means = m.new_means(r)
        covariances[k] = m.new_covariances(r, new_means)[k]
        means[k], weights[k] = new_means[k], r[:, k].sum() / m.N
    return m.named(weights, means, covariances)


_wrong(
    Mixture,
    "components updated one after another",
    "each component updated, in place, before the next one's responsibilities are computed",
    "compute all responsibilities first, then update all components from them",
    step=_one_after_the_other,
)


# --- Gaussian mixtures: the M-step --------------------------------------------------------------


_wrong(
    Mixture,
    "old means in the new variances",
    "variances about the means from before the update",
    "compute the new means first, and take deviations from them (equation 9.25)",
    centre=lambda m, *_: m.means,
)
_wrong(
    Mixture,
    "variances about the mean of all data",
    "deviations taken from the mean of all data, not from each component's",
    "take deviations from the component's own new mean",
    centre=lambda m, *_: np.broadcast_to(m.x.mean(axis=0), (m.K, m.D)),
)


def _again(m: Any, _: Floats, means: Floats) -> Floats:
    old, m.means = m.means, means
    again = m.responsibilities()
    m.means = old
    return again


_wrong(
    Mixture,
    "means updated in place before the variances",
    "variances from responsibilities that were computed again with the new means",
    "compute the responsibilities once, before any update, and use them for all updates",
    for_covariances=_again,
)


def _again_with_weights(m: Any, r: Floats, means: Floats) -> Floats:
    old = m.weights, m.means
    m.weights, m.means = m.new_weights(r), means
    again = m.responsibilities()
    m.weights, m.means = old
    return again


_wrong(
    Mixture,
    "weights and means updated in place before the variances",
    "variances from responsibilities computed again with the new weights and means",
    "compute the responsibilities once, before any update, and use them for all updates",
    for_covariances=_again_with_weights,
)
_wrong(
    Mixture,
    "variances divided by N",
    "squared deviations divided by N, not by N_k",
    "divide by the component's own total N_k (equation 9.25)",
    covariance_divisor=lambda m, *_: np.array(float(m.N)),
)
_wrong(
    Mixture,
    "means divided by N",
    "sums of r x divided by N, not by N_k",
    "divide by the component's own total N_k (equation 9.24)",
    mean_divisor=lambda m, *_: np.array(float(m.N)),
)
_wrong(
    Mixture,
    "variances divided by N_k - 1",
    "squared deviations divided by N_k - 1",
    "maximum likelihood divides by N_k: no correction",
    covariance_divisor=lambda m, r: m.totals(r) - 1,
)
_wrong(
    Mixture,
    "np.cov's correction for weights",
    "divided by N_k - sum r^2 / N_k, np.cov's default with aweights",
    "give np.cov ddof=0",
    covariance_divisor=lambda m, r: m.totals(r) - (r**2).sum(axis=0) / m.totals(r),
)
_wrong(
    Mixture,
    "standard deviation returned for variance",
    "the square root of the right variances",
    "return variances, or name the argument sigma: it is then read as standard deviations",
    fields=(MIXTURE_1D,),
    finish=lambda _m, covariances: np.sqrt(covariances),
)
_wrong(
    Mixture,
    "variance returned for standard deviation",
    "the square of the right variances: sigma lacks its square root",
    "take the square root of the mean squared deviation",
    fields=(MIXTURE_1D,),
    finish=lambda _m, covariances: covariances**2,
)
_wrong(
    Mixture,
    "precision returned for covariance",
    "the inverse of the right covariances",
    "return the covariance, not its inverse",
    finish=lambda _m, covariances: np.linalg.inv(covariances),
)
_wrong(
    Mixture,
    "off-diagonals dropped",
    "the right variances with covariances of zero",
    "sum the outer products of the deviations, not only their squares",
    fields=(MIXTURE_2D,),
    finish=lambda m, covariances: covariances * np.eye(m.D),
)
_wrong(
    Mixture,
    "one triangle of the covariance only",
    "the lower triangle of the right covariances, not made symmetric",
    "copy the lower triangle to the upper one",
    fields=(MIXTURE_2D,),
    finish=lambda _m, covariances: np.tril(covariances),
)
_wrong(
    Mixture,
    "Cholesky factor returned for covariance",
    "the Cholesky factor of the right covariances",
    "return L L', not L",
    fields=(MIXTURE_2D,),
    finish=lambda _m, covariances: np.linalg.cholesky(covariances),
)


def _spherical(m: Any, covariances: Floats) -> Floats:
    trace = np.trace(covariances, axis1=1, axis2=2) / m.D
    return trace[:, None, None] * np.eye(m.D)


_wrong(
    Mixture,
    "one variance for all coordinates",
    "the mean of the right variances on every diagonal, and zero beside it",
    "estimate the whole covariance matrix",
    fields=(MIXTURE_2D,),
    finish=_spherical,
)


def _tied(m: Any, r: Floats, means: Floats) -> Floats:
    pooled = m.scatter(r, means).sum(axis=0) / m.N
    return np.broadcast_to(pooled, (m.K, m.D, m.D))


_wrong(
    Mixture,
    "one variance for all components",
    "the components' scatter pooled and divided by N",
    "divide each component's scatter by its own N_k",
    new_covariances=_tied,
)
_wrong(
    Mixture,
    "responsibilities squared in the variances",
    "sums of (r (x - mean))^2: the responsibility is squared as well",
    "weight the squared deviation by r: (r * d**2).sum(axis=0)",
    scatter=lambda m, r, means: Mixture.scatter(m, r**2, means),
)
_wrong(
    Mixture,
    "weights not divided by N",
    "the totals N_k in place of N_k / N",
    "divide the totals by the number of points (equation 9.26)",
    new_weights=lambda m, r: m.totals(r),
)
_wrong(
    Mixture,
    "weights divided by K",
    "the totals N_k divided by the number of components",
    "divide the totals by the number of points (equation 9.26)",
    new_weights=lambda m, r: m.totals(r) / m.K,
)
_wrong(
    Mixture,
    "weights not updated",
    "the weights of the start",
    "set the weights to N_k / N in every iteration, and hand them back",
    new_weights=lambda m, *_: m.weights,
)
_wrong(
    Mixture,
    "weights held equal",
    "1 / K for every component",
    "set the weights to N_k / N",
    new_weights=lambda m, *_: np.full(m.K, 1 / m.K),
)
_wrong(
    Mixture,
    "means not updated",
    "the means of the start, and variances about them",
    "set the means to the weighted means of the data, and hand them back",
    new_means=lambda m, *_: m.means,
)
_wrong(
    Mixture,
    "variances not updated",
    "the variances of the start",
    "set the variances to the weighted squared deviations, and hand them back",
    new_covariances=lambda m, *_: m.covariances,
)


for k, which in enumerate(("first", "second", "third")):
    _wrong(
        Mixture,
        "the weight of one component left out",
        f"responsibilities in which the density of the {which} component has no weight",
        "multiply each density by its own weight (equation 9.23)",
        log_weights=lambda m, k=k: np.where(np.arange(m.K) == k, 0.0, Mixture.log_weights(m)),
    )
_wrong(
    Mixture,
    "pooled covariance not weighted by N_k",
    "the components' covariances averaged as if all had as many points",
    "weight each covariance by N_k / N, or keep them apart",
    new_covariances=lambda m, r, means: np.broadcast_to(
        Mixture.new_covariances(m, r, means).mean(axis=0), (m.K, m.D, m.D)
    ),
)
_single("log_density", "log-densities", Mixture)
_single("responsibilities", "responsibilities", Mixture)
_single("new_means", "means", Mixture)
_single("new_covariances", "variances", Mixture)


# --- hidden Markov models: the passes -----------------------------------------------------------


_wrong(
    HMM,
    "transition matrix transposed in the forward pass",
    "a forward pass with A @ alpha in place of alpha @ A",
    "alpha[t] = (alpha[t-1] @ A) * B[:, x[t]]",
    predicted=lambda m, a: m.A @ a,
)
_wrong(
    HMM,
    "transition matrix transposed in the backward pass",
    "a backward pass with the transposed transition matrix",
    "beta[t] = A @ (B[:, x[t+1]] * beta[t+1])",
    back=lambda m, ahead: ahead @ m.A,
)
_wrong(
    HMM,
    "startprob left out of the forward pass",
    "a forward pass that begins with the emissions alone",
    "alpha[0] = pi * B[:, x[0]]",
    first=lambda _m, b: b[0],
)
_wrong(
    HMM,
    "first emission left out of the forward pass",
    "a forward pass that begins with the start probabilities alone",
    "alpha[0] = pi * B[:, x[0]]",
    first=lambda m, *_: m.pi,
)
_wrong(
    HMM,
    "emission at t instead of t+1 in the backward pass",
    "a backward pass with the emission of step t in place of t+1",
    "beta[t] = A @ (B[:, x[t+1]] * beta[t+1])",
    ahead=lambda _m, b, beta, t: b[t] * beta[t + 1],
)
_wrong(
    HMM,
    "emissions left out of the backward pass",
    "a backward pass without emissions",
    "beta[t] = A @ (B[:, x[t+1]] * beta[t+1])",
    ahead=lambda _m, _b, beta, t: beta[t + 1],
)


def _last_backward(m: Any, x: Integers) -> Floats:
    b = m.seen(x)
    beta = np.ones_like(b)
    beta[-1] = b[-1]
    for t in range(len(x) - 2, -1, -1):
        beta[t] = m.back(m.ahead(b, beta, t))
    return beta


_wrong(
    HMM,
    "backward pass begun with the last emission",
    "a backward pass whose last value is the emission of the last step, counted twice",
    "beta[T-1] = 1",
    backward=_last_backward,
)
_wrong(
    HMM,
    "gamma from the forward pass alone",
    "gamma without beta: filtered, not smoothed",
    "gamma[t] is alpha[t] * beta[t], normalised",
    gamma=lambda _m, alpha, *_: alpha / alpha.sum(axis=1, keepdims=True),
)
_wrong(
    HMM,
    "gamma not normalised",
    "gamma = alpha beta as it is: p(z_t, x) in place of p(z_t | x)",
    "divide gamma[t] by its sum, which is p(x)",
    gamma=lambda _m, alpha, beta: alpha * beta,
    startprob=lambda m, starts, *_: starts / len(m.joined()),
)


class _AlphaScaled(HMM):
    """Forward scaled to sum to one, backward not, and their products taken as they are."""

    def passes(self, x: Integers) -> tuple[Floats, Floats]:
        alpha, beta = super().passes(x)
        return alpha / alpha.sum(axis=1, keepdims=True), beta


class _OwnScales(HMM):
    """Forward and backward each scaled to sum to one by itself."""

    def passes(self, x: Integers) -> tuple[Floats, Floats]:
        alpha, beta = super().passes(x)
        own = beta / beta.sum(axis=1, keepdims=True)
        own[-1] = beta[-1]
        return alpha / alpha.sum(axis=1, keepdims=True), own


class _RawXi(HMM):
    def xi(self, x: Integers, alpha: Floats, beta: Floats) -> Floats:
        return self.xi_factors(x, alpha, beta)


class _RawGamma(HMM):
    def gamma(self, alpha: Floats, beta: Floats) -> Floats:
        return alpha * beta


SCALING = (
    "divide beta[t] by the scale of the forward pass at t+1, or normalise gamma[t] and xi[t] at "
    "each step"
)
_wrong(
    (_RawXi, _AlphaScaled),
    "backward pass not scaled as the forward pass",
    "xi from a scaled forward and an unscaled backward pass",
    SCALING,
)
_wrong(
    (_RawGamma, _RawXi, _AlphaScaled),
    "backward pass not scaled as the forward pass",
    "gamma and xi from a scaled forward and an unscaled backward pass",
    SCALING,
)
_wrong(
    (_RawXi, _OwnScales),
    "backward pass not scaled as the forward pass",
    "xi from a backward pass that is scaled by its own sums",
    SCALING,
)
_wrong(
    (_RawGamma, _RawXi, _OwnScales),
    "backward pass not scaled as the forward pass",
    "gamma and xi from a backward pass that is scaled by its own sums",
    SCALING,
)


def _viterbi(m: Any, x: Integers) -> list[Floats]:
    b = m.seen(x)
    best, came = np.log(m.first(b)), []
    for t in range(1, len(x)):
        reached = best[:, None] + np.log(m.A)
        came.append(reached.argmax(axis=0))
        best = reached.max(axis=0) + np.log(b[t])
    path = [int(best.argmax())]
    for pointers in reversed(came):
        path.append(int(pointers[path[-1]]))
    gamma = np.eye(m.K)[path[::-1]]
    xi = gamma[:-1, :, None] * gamma[1:, None, :]
    counts, shown = m.emitted(gamma, x)
    starts = m.starts(gamma)
    return [
        starts,
        np.asarray(starts.sum()),
        xi.sum(axis=0),
        m.leaving(gamma, xi),
        counts,
        shown,
    ]


_wrong(
    HMM,
    "the likeliest path in place of expectations",
    "counts along the single likeliest path (Viterbi training)",
    "weight every path by its probability: forward and backward passes",
    expect=_viterbi,
)


XI = "xi[t] is alpha[t][:, None] * A * (B[:, x[t+1]] * beta[t+1]), normalised"

# --- hidden Markov models: xi -------------------------------------------------------------------

_wrong(
    HMM,
    "emission at t instead of t+1 in xi",
    "xi with the emission of step t in place of t+1",
    XI,
    xi_factors=lambda m, x, alpha, beta: m.step_to(alpha, m.seen(x)[:-1] * beta[1:]),
)
_wrong(
    HMM,
    "beta at t instead of t+1 in xi",
    "xi with beta of step t in place of t+1",
    XI,
    xi_factors=lambda m, x, alpha, beta: m.step_to(alpha, m.seen(x)[1:] * beta[:-1]),
)
_wrong(
    HMM,
    "emission left out of xi",
    "xi without the emission of step t+1",
    XI,
    xi_factors=lambda m, _x, alpha, beta: alpha[:-1, :, None] * m.A * beta[1:][:, None, :],
)
_wrong(
    HMM,
    "beta left out of xi",
    "xi without beta: what comes after t+1 does not count",
    XI,
    xi_factors=lambda m, x, alpha, _beta: m.step_to(alpha, m.seen(x)[1:]),
)


def _xi_no_a(m: Any, x: Integers, alpha: Floats, beta: Floats) -> Floats:
    b = m.seen(x)
    return alpha[:-1, :, None] * (b[1:] * beta[1:])[:, None, :] * np.ones((m.K, m.K))


_wrong(
    HMM,
    "transition matrix left out of xi",
    "xi without the transition probabilities",
    XI,
    xi_factors=_xi_no_a,
)


def _xi_by_row(m: Any, x: Integers, alpha: Floats, beta: Floats) -> Floats:
    xi = m.xi_factors(x, alpha, beta)
    return xi / xi.sum(axis=2, keepdims=True)


_wrong(
    HMM,
    "xi normalised row by row",
    "xi[t] with every row summing to one: each state counts as if it had been visited",
    "divide xi[t] by the sum of all its entries",
    xi=_xi_by_row,
)


def _independent(m: Any, _: Integers, alpha: Floats, beta: Floats) -> Floats:
    g = m.gamma(alpha, beta)
    return g[:-1, :, None] * g[1:, None, :]


_wrong(
    HMM,
    "xi from products of gammas",
    "xi[t] = gamma[t] gamma[t+1]', as if consecutive states were independent",
    XI,
    xi=_independent,
)


def _scales(x: Integers, alpha: Floats) -> Floats:  # noqa: ARG001
    """Return p(x_t | x_1 .. x_{t-1}), (T,): what each step of the forward pass is scaled by."""
    evidence = alpha.sum(axis=1)
    return evidence / np.concatenate([[1.0], evidence[:-1]])


_wrong(
    HMM,
    "xi not divided by the scale",
    "xi from scaled passes, each step without its 1 / c[t+1]: it weighs as its own probability",
    "divide xi[t] by the scale of the forward pass at t+1 (Bishop, equation 13.65)",
    xi=lambda m, x, alpha, beta: HMM.xi(m, x, alpha, beta) * _scales(x, alpha)[1:, None, None],
)
_wrong(
    HMM,
    "xi divided by the scale of another step",
    "xi from scaled passes, divided by c[t] in place of c[t+1]",
    "divide xi[t] by the scale of the forward pass at t+1 (Bishop, equation 13.65)",
    xi=lambda m, x, alpha, beta: (
        HMM.xi(m, x, alpha, beta) * (_scales(x, alpha)[1:] / _scales(x, alpha)[:-1])[:, None, None]
    ),
)
_wrong(
    HMM,
    "xi divided by the scale twice",
    "xi from scaled passes with one 1 / c[t+1] too many",
    "divide xi[t] by the scale once",
    xi=lambda m, x, alpha, beta: HMM.xi(m, x, alpha, beta) / _scales(x, alpha)[1:, None, None],
)
for power, what in ((1, "multiplied"), (-1, "divided")):
    _wrong(
        HMM,
        "gamma not normalised with its scale",
        f"gamma {what} by the scale of its step: it does not sum to one",
        "divide gamma[t] by its sum, whatever the scaling",
        gamma=lambda m, alpha, beta, power=power: (
            HMM.gamma(m, alpha, beta) * _scales(m, alpha)[:, None] ** power
        ),
    )
_single("seen", "emission probabilities", HMM)
_single("gamma", "gamma", HMM)
_single("xi", "xi", HMM)
_single("forward", "forward pass", HMM)
_single("backward", "backward pass", HMM)


# --- hidden Markov models: the M-step -----------------------------------------------------------


_wrong(
    HMM,
    "last step's gamma in the transition denominator",
    "transitions divided by gamma summed over all T steps, the last included",
    "sum gamma over t = 0 .. T-2: the last step has no transition out of it",
    leaving=lambda _m, gamma, *_: gamma.sum(axis=0),
)
_wrong(
    HMM,
    "transitions divided by the wrong axis's totals",
    "each entry divided by its column's state: the division lacks keepdims (or [:, None])",
    "divide row by row: xi.sum(axis=0) / xi.sum(axis=(0, 2))[:, None]",
    divide=lambda _m, counts, divisor: counts / divisor,
)
_wrong(
    HMM,
    "transition matrix normalised over columns",
    "columns that sum to one in place of rows",
    "divide by counts.sum(axis=1, keepdims=True)",
    divide=lambda _m, counts, *_: counts / counts.sum(axis=0, keepdims=True),
)
_wrong(
    HMM,
    "transition matrix divided by the sum of all entries",
    "a joint probability of both states: the whole matrix sums to one",
    "divide each row by its own sum",
    divide=lambda _m, counts, *_: counts / counts.sum(),
)
_wrong(
    HMM,
    "transition matrix returned transposed",
    "the right transition matrix, transposed",
    "transmat[i, j] is the probability of j after i: rows sum to one",
    finish=lambda _m, A: A.T,
)
_wrong(
    HMM,
    "startprob not updated",
    "the start probabilities of the start",
    "set startprob to gamma[0] (averaged over the sequences)",
    startprob=lambda m, *_: m.pi,
)
_wrong(
    HMM,
    "startprob from all steps",
    "gamma averaged over all steps in place of the first one's",
    "startprob is gamma[0]",
    starts=lambda _m, gamma: gamma.mean(axis=0),
)
_wrong(
    HMM,
    "startprob from the last step",
    "gamma of the last step in place of the first",
    "startprob is gamma[0]",
    starts=lambda _m, gamma: gamma[-1],
)
_wrong(
    HMM,
    "startprob summed over the sequences",
    "gamma[0] summed over the sequences and not divided by their number",
    "divide by the number of sequences",
    startprob=lambda _m, starts, *_: starts,
)
_wrong(
    HMM,
    "transition matrix not updated",
    "the transition matrix of the start",
    "set transmat to the expected transitions, row by row, and hand it back",
    divide=lambda m, *_: m.A,
)
_wrong(
    HMM,
    "emission matrix not updated",
    "the emission matrix of the start",
    "set emissionprob to the expected counts of symbols by state, and hand it back",
    shares=lambda m, *_: m.B,
)
_wrong(
    HMM,
    "emission matrix normalised over the states",
    "columns that sum to one: p(state | symbol) in place of p(symbol | state)",
    "divide each state's counts by their sum over the symbols",
    shares=lambda _m, counts, *_: counts / counts.sum(axis=0, keepdims=True),
)
_wrong(
    HMM,
    "last step left out of the emissions",
    "emission counts over t = 0 .. T-2",
    "the emissions sum gamma over all T steps; only transitions stop at T-2",
    emitted=lambda m, gamma, x: HMM.emitted(m, gamma[:-1], x[:-1]),
)
_wrong(
    HMM,
    "last step left out of the emission denominator",
    "emission counts over all T steps, divided by gamma summed over T - 1 of them",
    "sum gamma over all T steps in the emissions' denominator",
    emitted=lambda m, gamma, x: (HMM.emitted(m, gamma, x)[0], gamma[:-1].sum(axis=0)),
)


_wrong(
    HMM,
    "startprob held equal",
    "1 / K for every state",
    "set startprob to gamma[0] (averaged over the sequences)",
    startprob=lambda m, *_: np.full(m.K, 1 / m.K),
)
for later in (True, False):
    for whole in (True, False):
        _wrong(
            HMM,
            "emission counts shifted by a step",
            f"gamma[t] counted for the symbol of step t {'+' if later else '-'} 1"
            + (", and divided by gamma summed over all steps" if whole else ""),
            "gamma[t] belongs to x[t]: B[:, v] sums gamma over the steps at which x[t] is v",
            emitted=lambda m, gamma, x, later=later, whole=whole: (
                HMM.emitted(m, *((gamma[:-1], x[1:]) if later else (gamma[1:], x[:-1])))[0],
                (gamma if whole else gamma[:-1] if later else gamma[1:]).sum(axis=0),
            ),
        )


# --- hidden Markov models: several sequences ----------------------------------------------------


_wrong(
    HMM,
    "sequences joined into one",
    "all sequences as a single one, with transitions across their ends",
    "run forward and backward on each sequence by itself, and add the expected counts",
    joined=lambda m: [np.concatenate(m.sequences)],
)
_wrong(
    HMM,
    "only the last sequence counted",
    "the expected counts of the last sequence: each overwrote the one before",
    "add the expected counts (+=) over the sequences",
    joined=lambda m: m.sequences[-1:],
)
_wrong(
    HMM,
    "only the first sequence counted",
    "the expected counts of the first sequence",
    "loop over all sequences, and add their expected counts",
    joined=lambda m: m.sequences[:1],
)


def _averaged(m: Any, parts: list[list[Floats]]) -> list[Floats]:
    s = np.mean([p[0] / p[1] for p in parts], axis=0)
    t = np.mean([p[2] / p[3][:, None] for p in parts], axis=0)
    e = np.mean([p[4] / p[5][:, None] for p in parts], axis=0)
    ones = np.ones(m.K)
    return [s, np.array(1.0), t, ones, e, ones]


_wrong(
    HMM,
    "probabilities averaged over the sequences",
    "each sequence's own estimates, averaged",
    "add the expected counts over the sequences and divide once",
    pooled=_averaged,
)
_wrong(
    (_RawXi, _RawGamma),
    "sequences weighted by their likelihoods",
    "expected counts not divided by each sequence's own p(x)",
    "divide each sequence's counts by its p(x) before adding them (Rabiner, equation 109)",
)


# --- mistakes that have a size -------------------------------------------------------------------

LEAVE_GUARD = "leave the guard out: logarithms (logsumexp) never divide zero by zero"
LEAVE_RIDGE = "leave it out, or make it an option called reg_covar: EM maximises without it"
LEAVE_COUNT = "divide the counts as they are, or say that this is MAP"
UNUSED = "; a step of zeros too many in an array of logarithms counts as 1 everywhere"


def _added(m: Any, covariances: Floats) -> Floats:
    """Return covariances with the size on the diagonal."""
    return covariances + m.size * np.eye(m.D)


def _with_joint(p: Floats, rest: Any = 0.0) -> Floats:
    return p / (p.sum(axis=1, keepdims=True) + rest)


_sized(
    Mixture,
    "a small number in the responsibilities' denominator",
    "{size} added to each p(x_n)",
    LEAVE_GUARD,
    responsibilities=lambda m: _with_joint(m.whole(), m.size),
)
_sized(
    Mixture,
    "a small number in the totals",
    "{size} added to each N_k",
    "leave the guard out, or treat a component without points as an error",
    totals=lambda m, r: r.sum(axis=0) + m.size,
)
_sized(
    Mixture,
    "a small number in the totals",
    "{size} added to each N_k that divides",
    "leave the guard out, or treat a component without points as an error",
    mean_divisor=lambda m, r: m.totals(r) + m.size,
    covariance_divisor=lambda m, r: m.totals(r) + m.size,
)
_sized(
    Mixture,
    "a small number in the totals",
    "{size} added to each N_k that divides the means",
    "leave the guard out, or treat a component without points as an error",
    mean_divisor=lambda m, r: m.totals(r) + m.size,
)
_sized(
    Mixture,
    "a small number in the totals",
    "{size} added to each N_k that divides the variances",
    "leave the guard out, or treat a component without points as an error",
    covariance_divisor=lambda m, r: m.totals(r) + m.size,
)
_sized(
    Mixture,
    "a small number added to the density",
    "{size} added to each density",
    LEAVE_GUARD,
    responsibilities=lambda m: _with_joint(
        m.whole() + m.size * np.exp(m.log_weights() + np.zeros((m.N, 1)))
    ),
)
_sized(
    Mixture,
    "a small number added to the density",
    "{size} added to each weight times density",
    LEAVE_GUARD,
    responsibilities=lambda m: _with_joint(m.whole() + m.size),
)
_sized(
    Mixture,
    "a ridge on the variances",
    "{size} added to each variance",
    LEAVE_RIDGE,
    finish=lambda m, covariances: _added(m, covariances),
)
_sized(
    Mixture,
    "a ridge in the density",
    "{size} added to each variance in the density, and nowhere else",
    LEAVE_RIDGE,
    spread=lambda m: _added(m, m.covariances),
)
_sized(
    Mixture,
    "a ridge in the density and on the variances",
    "{size} added to each variance, in the density and in what is returned",
    LEAVE_RIDGE,
    spread=lambda m: _added(m, m.covariances),
    finish=lambda m, covariances: _added(m, covariances),
)
_sized(
    Mixture,
    "a pseudo-count in the weights",
    "(N_k + {size}) / (N + K {size}): a Dirichlet prior, not maximum likelihood",
    "divide the totals by N as they are, or say that this is MAP",
    new_weights=lambda m, r: (m.totals(r) + m.size) / (m.N + m.K * m.size),
)
_sized(
    Mixture,
    "variances divided by N_k less a number",
    "squared deviations divided by N_k - {size}",
    "maximum likelihood divides by N_k: no correction",
    covariance_divisor=lambda m, r: m.totals(r) - m.size,
)


def _counted(part: str, width: str) -> dict[str, Any]:
    """Return a division of counts to each of which the size was added."""

    def divided(m: Any, counts: Floats, divisor: Floats) -> Floats:
        n = np.asarray(divisor)[..., None] if counts.ndim == 2 else divisor
        return (counts + m.size) / (n + getattr(m, width) * m.size)

    return {part: divided}


def _mixed(part: str, width: str, kind: str) -> dict[str, Any]:
    """Return a division of counts whose result is mixed with a constant."""

    def divided(m: Any, counts: Floats, divisor: Floats) -> Floats:
        p = getattr(HMM, part)(m, counts, divisor)
        kept = {"uniform": 1 - getattr(m, width) * m.size, "rest": 1 - m.size, "added": 1.0}[kind]
        return m.size + kept * p

    return {part: divided}


def _guarded(part: str) -> dict[str, Any]:
    """Return a division of counts with the size added to the divisor."""
    return {part: lambda m, counts, divisor: getattr(HMM, part)(m, counts, divisor + m.size)}


PARTS = {
    "transitions": ("divide", "K"),
    "emissions": ("shares", "V"),
    "startprob": ("startprob", "K"),
}
MIXED = {
    "uniform": "p = a + (1 - n a) p with a = {size}, n the number of entries in a row",
    "rest": "p = a + (1 - a) p with a = {size}: rows no longer sum to one",
    "added": "p = a + p with a = {size}: rows no longer sum to one",
}
LEAVE_MIXING = "hand back the estimates as they are: a floor is no maximum likelihood"
for names in ((n,) for n in PARTS), [tuple(PARTS)], combinations(PARTS, 2):
    for chosen in names:
        what = " and ".join(chosen)
        several = "all" if len(chosen) == len(PARTS) else f"the {what}"
        _sized(
            HMM,
            f"a pseudo-count in {several}",
            "{size} added to each count: a Dirichlet prior, not maximum likelihood",
            LEAVE_COUNT + (UNUSED if chosen == ("transitions",) else ""),
            **{k: v for n in chosen for k, v in _counted(*PARTS[n]).items()},
        )
        for kind, says in MIXED.items():
            _sized(
                HMM,
                "estimates mixed with a constant",
                f"each estimate of {what} replaced by {says}",
                LEAVE_MIXING,
                **{k: v for n in chosen for k, v in _mixed(*PARTS[n], kind).items()},
            )
        _sized(
            HMM,
            f"a small number in the divisor of {several}",
            f"{{size}} added to the divisor of {what}",
            "leave the guard out, or treat a state without visits as an error",
            **{k: v for n in chosen for k, v in _guarded(PARTS[n][0]).items()},
        )
_sized(
    HMM,
    "a small number in the scale",
    "{size} added to the sum that each step of the forward pass is divided by",
    "leave the guard out: a sequence that is possible has no scale of zero",
    gamma=lambda m, alpha, beta: (
        HMM.gamma(m, alpha, beta) / (1 + m.size / _scales(m, alpha))[:, None]
    ),
)
_sized(
    HMM,
    "a small number in gamma's divisor",
    "{size} added to the sum that gamma is divided by",
    "leave the guard out: gamma[t] sums to p(x), which is not zero",
    gamma=lambda m, alpha, beta: _with_joint(alpha * beta, m.size),
)
_sized(
    HMM,
    "a small number in xi's divisor",
    "{size} added to the sum that xi is divided by",
    "leave the guard out: xi[t] sums to p(x), which is not zero",
    xi=lambda m, x, alpha, beta: (
        m.xi_factors(x, alpha, beta)
        / (m.xi_factors(x, alpha, beta).sum(axis=(1, 2), keepdims=True) + m.size)
    ),
)


def _lifted(p: Floats, floor: float, *, again: bool) -> Floats:
    """Return probabilities of which none is below a floor."""
    p = np.maximum(p, floor)
    return p / p.sum(axis=-1, keepdims=True) if again else p


FLOORS: tuple[float, ...] = tuple(a * 10.0**-b for b in range(1, 9) for a in (1.0, 2.0, 5.0))
"""A floor that some numbers are above and others below cannot be solved for: these are tried."""
TRIED = 0.3
"""Of any size, large enough to show."""
FLOORED: list[type[Any]] = []
_floored = partial(_wrong, register=FLOORED)
_floored(
    Mixture,
    "a floor on the density",
    "densities of which none is below {size}",
    LEAVE_GUARD,
    responsibilities=lambda m: _with_joint(
        np.exp(m.log_weights())
        * np.maximum(np.exp(m.log_density() - 0.5 * m.D * np.log(2 * np.pi)), m.size)
    ),
)
_floored(
    Mixture,
    "a floor on the density",
    "weights times densities of which none is below {size}",
    LEAVE_GUARD,
    responsibilities=lambda m: _with_joint(np.maximum(m.whole(), m.size)),
)
_floored(
    Mixture,
    "a floor on the responsibilities",
    "responsibilities of which none is below {size}",
    "keep them as they are",
    responsibilities=lambda m: np.maximum(Mixture.responsibilities(m), m.size),
)


def _raised(m: Any, covariances: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariances)
    return np.einsum("kij,kj,klj->kil", vectors, np.maximum(values, m.size), vectors)


_floored(
    Mixture,
    "a floor on the variances",
    "variances (eigenvalues) of which none is below {size}",
    LEAVE_RIDGE,
    finish=_raised,
)
for again in (False, True):
    for chosen in (("transitions",), ("emissions",), tuple(PARTS)):
        _floored(
            HMM,
            "a floor on the probabilities",
            f"{' and '.join(chosen)} of which none is below {{size}}"
            + (", divided by their sums again" if again else ""),
            LEAVE_MIXING,
            **{
                PARTS[name][0]: lambda m, counts, divisor, part=PARTS[name][0], again=again: (
                    _lifted(getattr(HMM, part)(m, counts, divisor), m.size, again=again)
                )
                for name in chosen
            },
        )


# --- conventions: no mistakes, and without effect where there is none ----------------------------


class WeightsByN(Mixture):
    def new_weights(self, r: Floats) -> Floats:
        return self.totals(r) / self.N


class RawMoments(Mixture):
    """Variances as E[x^2] - mean^2: the same, about the right means."""

    def scatter(self, r: Floats, means: Floats) -> Floats:
        centre, n = self.centre(means), self.totals(r)
        squares = np.einsum("nk,nd,ne->kde", r, self.x, self.x)
        return squares - n[:, None, None] * centre[:, :, None] * centre[:, None]


class ByGamma(HMM):
    """Transitions divided by gamma summed over all steps but the last."""

    def leaving(self, gamma: Floats, xi: Floats) -> Floats:  # noqa: ARG002
        return gamma[:-1].sum(axis=0)


class ByEvidence(HMM):
    """Gamma and xi divided by p(x), not normalised at each step."""

    def gamma(self, alpha: Floats, beta: Floats) -> Floats:
        return alpha * beta / alpha[-1].sum()

    def xi(self, x: Integers, alpha: Floats, beta: Floats) -> Floats:
        return self.xi_factors(x, alpha, beta) / alpha[-1].sum()


class StartAsIs(HMM):
    """Start probabilities divided by the number of sequences, not by their sum."""

    def startprob(self, starts: Floats, total: Floats) -> Floats:  # noqa: ARG002
        return starts / len(self.joined())


CONVENTIONS: dict[type[Any], tuple[type[Any], ...]] = {
    Mixture: (WeightsByN, RawMoments),
    HMM: (ByGamma, ByEvidence, StartAsIs),
}
"""What right implementations do differently, to the same end; around a mistake it shows."""


# --- any model ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guess:
    """A mistake, or two, whose results are the candidate's.

    Attributes
    ----------
    name, says, mend : str
    distance : float
        Largest relative difference from the candidate's results.
    fields : tuple of str
        The fields in which the mistake's results are not the right ones.
    wrong_by : float
        Largest relative difference of the right results from the candidate's.
    section : str
        Of the model's page, where the part is explained.
    stateful : bool
        Whether only the second iteration is wrong.
    ended : bool
        Whether it explains where a fit ends.
    """

    name: str
    says: str
    mend: str
    distance: float
    fields: tuple[str, ...]
    wrong_by: float
    section: str = ""
    stateful: bool = False
    ended: bool = False


@dataclass(frozen=True)
class Observed:
    """What a candidate made of a problem: parameters after 1, 2, ... iterations.

    Attributes
    ----------
    start, data
    path : sequence of dict
        Of one that only ends, where it ends; it began there as well.
    same : float
        Relative differences up to this are none.
    """

    start: Arrays
    data: Any
    path: Sequence[Arrays]
    same: float = SAME

    @property
    def ended(self) -> bool:
        """Whether only the end of a fit was seen."""
        return self.path[0] is self.start


def parts(cls: type[Any]) -> frozenset[str]:
    """Return the parts that a mistake replaces."""
    replaced: set[str] = set()
    for base in cls.__mro__:
        if base in ROOTS:
            break
        replaced |= {name for name in vars(base) if name.islower() and not name.startswith("_")}
    return frozenset(replaced)


@cache
def candidates(model: str) -> tuple[Sequence[tuple[type[Any], ...]], ...]:
    """Return the model's mistakes: each alone, and each two that replace different parts."""
    fields = tuple(load(model).Parameters.SPACES)
    single = [m for m in REGISTER if fields in m.FIELDS]
    pairs = [
        (a, b) for a, b in combinations(single, 2) if not parts(a) & parts(b) and _mixable(a, b)
    ]
    return [(m,) for m in single], pairs


def _mixable(a: type[Any], b: type[Any]) -> bool:
    try:
        type("Both", (a, b), {})
    except TypeError:  # no consistent order of their bases
        return False
    return True


@cache
def root(model: str) -> type[Any]:
    """Return the right iteration of a model: in parts, if mistakes in it are known."""
    module = load(model)
    fields = tuple(module.Parameters.SPACES)
    for known in ROOTS:
        if fields in known.FIELDS:
            return known

    class Whole:
        """The model's own E-step and M-step."""

        def __init__(self, start: Arrays, data: Any) -> None:
            self.start, self.data = module.Parameters(**start), data

        def step(self) -> Arrays:
            return module.m_step(module.e_step(self.start, self.data)[0]).arrays()

    return Whole


def no_log_likelihoods(arrays: Arrays, data: Any) -> Iterator[tuple[str, float]]:
    """Yield what people sum in place of a mixture's log-likelihood."""
    if tuple(arrays) not in Mixture.FIELDS:
        return
    m = Mixture(dict(arrays), data)
    with np.errstate(all="ignore"):
        p, r = m.whole(), m.responsibilities()
        density = p / m.weights
        yield "the sum of log(r p), r the responsibilities", float(np.log(r * density).sum())
        yield (
            "the sum of r log(weight density), no logarithm of a sum",
            float((r * np.log(p)).sum()),
        )
        yield "the sum of log(weight density) over all components", float(np.log(p).sum())
        yield "the sum of r log(density), without weights", float((r * np.log(density)).sum())
        yield "the sum of log(density) over all components", float(np.log(density).sum())
        yield "without the weights", float(np.log(density.sum(axis=1)).sum())
        yield "the logarithm of a sum over all points", float(np.log(p.sum()))


def known(model: str) -> bool:
    """Return whether mistakes in EM for the model are known."""
    return root(model) in ROOTS


def distances(a: Mapping[str, Floats], b: Mapping[str, Floats]) -> dict[str, float]:
    """Return the largest difference in each field, relative to the largest entry of `b`'s."""
    found = {}
    for name, theirs in b.items():
        ours = np.asarray(a[name], dtype=np.float64)
        if ours.shape != theirs.shape:
            found[name] = np.inf
            continue
        scale = np.abs(theirs).max()
        difference = np.abs(ours - theirs).max() / (scale or 1.0)
        found[name] = float(difference) if np.isfinite(difference) else np.inf
    return found


def conventions(model: str) -> list[tuple[type[Any], ...]]:
    """Return every choice among the model's conventions, the plainest first."""
    there = CONVENTIONS.get(root(model), ())
    return [chosen for n in range(len(there) + 1) for chosen in combinations(there, n)]


@cache
def _made(kinds: tuple[type[Any], ...]) -> type[Any]:
    """Return the iteration with all of these mistakes and conventions."""
    return kinds[0] if len(kinds) == 1 else type("Made", kinds, {})


def run(kinds: Sequence[type[Any]], start: Arrays, data: Any, size: float = 0.0) -> Arrays | None:
    """Return one iteration with these mistakes made; None if it cannot be computed."""
    try:
        with np.errstate(all="ignore"):
            iteration = _made(tuple(kinds))(start, data)
            iteration.size = size
            made: Arrays = iteration.step()
    except (ArithmeticError, ValueError, IndexError):  # LinAlgError is a ValueError
        return None
    return made if all(np.isfinite(a).all() for a in made.values()) else None


def guesses(model: str, observed: Sequence[Observed]) -> list[Guess]:
    """Return the mistakes that explain all that was observed, the best first.

    A mistake explains a problem if one iteration with it gives the candidate's parameters; or, if
    the candidate's first iteration is right, if its second is that of a loop that has something
    stale. Where none explains anything, those are tried whose size has to be read off the numbers,
    and then two at once.

    Parameters
    ----------
    model : str
    observed : sequence of Observed
        Problems general enough that no two mistakes give the same.
    """
    rights = [run((root(model),), o.start, o.data) for o in observed]
    off = [_apart(o.path[0], right) for o, right in zip(observed, rights)]
    by = max(off)
    if all(o.same >= d for o, d in zip(observed, off)):
        return list(_later(model, observed))
    seen = _Comparison(observed, rights, by)
    chosen, singles = conventions(model), candidates(model)[0]
    if observed[0].ended:
        # What is not updated ends wherever it is: that explains any one field, and so none.
        chosen = chosen[:1]
        singles = [(k,) for (k,) in singles if not k.NAME.endswith("not updated")]
    elif found := list(_miscounted(model, observed, rights, by)):
        return found
    for group in (
        ((seen.explained(k, c) for k in singles) for c in chosen),
        ((seen.of_a_size(k, c) for k in sized(model)) for c in chosen),
        ((seen.explained(k, c) for k in seen.pairs(model, c)) for c in chosen if not seen.ended),
    ):
        for tried in group:
            named = {guess.name: guess for guess in tried if guess is not None}
            if named:
                return list(named.values())
    return []


@cache
def sized(model: str) -> list[type[Any]]:
    """Return the model's mistakes that have a size, and those that are small."""
    fields = tuple(load(model).Parameters.SPACES)
    return [m for m in (*SHORT, *SIZED, *FLOORED) if fields in m.FIELDS]


class _Comparison:
    """What was observed, beside what mistakes make of the same.

    Parameters
    ----------
    observed : sequence of Observed
    rights : sequence
        One right iteration of each.
    by : float
        The largest difference from them.
    """

    def __init__(
        self, observed: Sequence[Observed], rights: Sequence[Arrays | None], by: float
    ) -> None:
        self.observed, self.rights, self.by = observed, rights, by
        self.ended, self.same = observed[0].ended, observed[0].same

    def explained(
        self, kinds: tuple[type[Any], ...], chosen: tuple[type[Any], ...], size: float = 0.0
    ) -> Guess | None:
        """Return the guess that these mistakes were made, if all that was observed says so."""
        worst, wrong = 0.0, set[str]()
        for o, right in zip(self.observed, self.rights):
            made = run((*kinds, *chosen), o.start, o.data, size)
            if made is None or right is None:
                return None
            apart = _apart(o.path[0], made)
            if apart > o.same:
                return None
            worst = max(worst, apart)
            wrong |= {name for name, d in distances(right, made).items() if d > o.same}
        fields = tuple(name for name in self.observed[0].start if name in wrong)
        guess = _guess(kinds, worst, fields, self.by, size)
        return replace(guess, ended=self.ended) if fields else None

    def of_a_size(self, kind: type[Any], chosen: tuple[type[Any], ...]) -> Guess | None:
        """Return the guess that a mistake was made, with the size that the numbers say."""
        if not self._could(kind, chosen):
            return None
        if kind in FLOORED:
            tried: Sequence[float] = FLOORS
        elif kind in SHORT:
            tried = [0.0]
        else:
            tried = [size for size in [self._middle(kind, chosen)] if size > 0]
        found = (self.explained((kind,), chosen, size) for size in tried)
        return next((guess for guess in found if guess is not None), None)

    def _middle(self, kind: type[Any], chosen: tuple[type[Any], ...]) -> float:
        """Return the size that the numbers say, 0 if none explains the first of them."""
        pairs = list(zip(self.observed, self.rights))
        sizes = [self._size(kind, chosen, *pairs[0])]
        o = self.observed[0]
        if _apart(o.path[0], run((kind, *chosen), o.start, o.data, sizes[0])) > self.same:
            return 0.0
        if self.ended:  # which is near to a size only: the middle one is the nearest
            sizes += [self._size(kind, chosen, *pair) for pair in pairs[1:]]
        return _plain(float(np.median(sizes)))

    def _could(self, kind: type[Any], chosen: tuple[type[Any], ...]) -> bool:
        """Return whether a mistake changes what is wrong, and leaves what is right."""
        o, right = self.observed[0], self.rights[0]
        made = run((kind, *chosen), o.start, o.data, TRIED)
        if right is None or made is None:
            return False
        off, moved = distances(o.path[0], right), distances(made, right)
        if self.ended:  # what it changes may have come to rest all the same
            return all(off[name] <= self.same or moved[name] > self.same for name in right)
        return all((off[name] > self.same) == (moved[name] > self.same) for name in right)

    def _size(
        self,
        kind: type[Any],
        chosen: tuple[type[Any], ...],
        o: Observed,
        right: Arrays | None,
    ) -> float:
        """Return the size at which a mistake's numbers are nearest, by Newton's method."""
        if right is None:
            return 0.0
        scales = {name: np.abs(a).max() for name, a in right.items()}

        def flat(arrays: Arrays) -> Floats:
            return np.concatenate([np.ravel(arrays[n]) / scale for n, scale in scales.items()])

        found, size, step = flat(o.path[0]), 0.0, 1e-6
        for _ in range(12):
            here = run((kind, *chosen), o.start, o.data, size)
            there = run((kind, *chosen), o.start, o.data, size + step)
            if here is None or there is None:
                return 0.0
            slope = (flat(there) - flat(here)) / step
            if not (square := float(slope @ slope)) > 0:
                return 0.0
            change = float((found - flat(here)) @ slope) / square
            if not -size < change < 1e3:
                return 0.0
            size += change
            if abs(change) <= (1e-6 if self.ended else 1e-12) * size:
                break
            step = 1e-6 * size if size else step
        return size

    def pairs(self, model: str, chosen: tuple[type[Any], ...]) -> Iterator[tuple[type[Any], ...]]:
        """Yield the pairs of mistakes that can explain what was observed.

        A field that only one of the two changes must be as that one alone makes it.
        """
        singles, pairs = candidates(model)
        o, right = self.observed[0], self.rights[0]
        if right is None:
            return
        fields = set(right)
        changed: dict[Any, set[str]] = {}
        right_in: dict[Any, set[str]] = {}
        for (kind,) in singles:
            made = run((kind, *chosen), o.start, o.data)
            changed[kind], right_in[kind] = fields, set()
            if made is not None:
                changed[kind] = {n for n, d in distances(made, right).items() if d > self.same}
                off = distances(o.path[0], made)
                right_in[kind] = {n for n in fields if off[n] <= self.same}
        off = distances(o.path[0], right)
        good = {n for n in fields if off[n] <= self.same}
        for a, b in pairs:
            only_a, only_b = changed[a] - changed[b], changed[b] - changed[a]
            neither = fields - changed[a] - changed[b]
            if only_a <= right_in[a] and only_b <= right_in[b] and neither <= good:
                yield a, b


def _plain(size: float) -> float:
    """Return a number as it was probably written, if it is near to one of few digits."""
    short = float(f"{size:.3g}")
    return short if abs(short - size) <= 1e-4 * size else size


def _guess(
    kinds: Sequence[type[Any]],
    distance: float,
    fields: tuple[str, ...],
    by: float,
    size: float = 0.0,
) -> Guess:
    return Guess(
        name=" and ".join(k.NAME for k in kinds),
        says=", and ".join(k.SAYS for k in kinds).replace("{size}", f"{size:.4g}"),
        mend="; ".join(k.MEND for k in kinds),
        distance=distance,
        fields=fields,
        wrong_by=by,
        section="M-step" if all(parts(k) <= M_PARTS for k in kinds) else "E-step",
    )


def _miscounted(
    model: str, observed: Sequence[Observed], rights: Sequence[Arrays | None], by: float
) -> Iterator[Guess]:
    """Yield an iteration too many, or too few."""

    def worst(expected: Sequence[Arrays | None]) -> float:
        pairs = zip(observed, expected)
        return max(_apart(o.path[0], e) for o, e in pairs)

    fields = tuple(observed[0].start)
    kept = worst([o.start for o in observed])
    if kept <= SAME:
        yield Guess(
            "one iteration short",
            "the start, unchanged: no iteration was done",
            "do as many iterations as asked for, and return the last parameters",
            kept,
            fields,
            by,
        )
    kind = (root(model),)
    twice = [None if r is None else run(kind, r, o.data) for o, r in zip(observed, rights)]
    far = worst(twice)
    if far <= SAME:
        yield Guess(
            "one iteration too many",
            "the parameters after two iterations where one was asked for",
            "one iteration is one E-step and one M-step",
            far,
            fields,
            by,
        )


def _apart(found: Arrays, expected: Arrays | None) -> float:
    return np.inf if expected is None else max(distances(found, expected).values())


def _later(model: str, observed: Sequence[Observed]) -> Iterator[Guess]:
    """Yield what is right in the first iteration and wrong in the second: something is stale."""
    kind, fields = (root(model),), tuple(observed[0].start)
    if any(len(o.path) < 2 for o in observed):
        return
    rights = [run(kind, o.path[0], o.data) for o in observed]
    by = max(_apart(o.path[1], right) for o, right in zip(observed, rights))
    if by <= SAME:
        return
    same = max(_apart(o.path[1], o.path[0]) for o in observed)
    if same <= SAME:
        yield Guess(
            "one iteration only",
            "the first: nothing changed any more",
            "do as many iterations as asked for, each from the result of the last",
            same,
            fields,
            by,
            "M-step",
            stateful=True,
        )
        return
    for group in (g for n in range(1, len(fields)) for g in combinations(fields, n)):
        used, kept, stale = 0.0, 0.0, " and ".join(group)
        for o, right in zip(observed, rights):
            mixed = {k: (o.start if k in group else o.path[0])[k] for k in fields}
            used = max(used, _apart(o.path[1], run(kind, mixed, o.data)))
            frozen = None if right is None else right | {k: o.path[0][k] for k in group}
            kept = max(kept, _apart(o.path[1], frozen))
        if used <= SAME:
            yield Guess(
                f"E-step with the {stale} of the start",
                f"an iteration whose E-step still used the {stale} of the start",
                "give each E-step the parameters of the last M-step",
                used,
                fields,
                by,
                "E-step",
                stateful=True,
            )
        elif kept <= SAME:
            yield Guess(
                f"{stale} updated once only",
                f"the first: the {stale} changed no more",
                "update all parameters in every iteration",
                kept,
                group,
                by,
                "M-step",
                stateful=True,
            )
