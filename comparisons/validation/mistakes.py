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
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
from scipy.special import logsumexp

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

    def responsibilities(self) -> Floats:
        """(N, K)."""
        joint = self.log_weights() + self.log_density()
        return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))

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

    def xi_factors(self, x: Integers, alpha: Floats, beta: Floats) -> Floats:
        """Return p(z_t, z_{t+1}, x), (T - 1, K, K)."""
        b = self.seen(x)
        return alpha[:-1, :, None] * self.A * (b[1:] * beta[1:])[:, None, :]

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


def _mistake(cls: type[Any]) -> type[Any]:
    REGISTER.append(cls)
    return cls


# --- Gaussian mixtures: the E-step --------------------------------------------------------------


@_mistake
class OverPoints(Mixture):
    NAME = "responsibilities normalised over the points"
    SAYS = "responsibilities divided by their sum over the points, not over the components"
    MEND = "divide each row by its own sum: gamma / gamma.sum(axis=1, keepdims=True)"

    def responsibilities(self) -> Floats:
        joint = self.log_weights() + self.log_density()
        return np.exp(joint - logsumexp(joint, axis=0, keepdims=True))


@_mistake
class NotNormalised(Mixture):
    NAME = "responsibilities not normalised"
    SAYS = "weight times density in place of responsibilities: they are not divided by p(x_n)"
    MEND = "divide each row by its sum: gamma / gamma.sum(axis=1, keepdims=True)"

    def responsibilities(self) -> Floats:
        constant = -0.5 * self.D * np.log(2 * np.pi)
        return np.exp(self.log_weights() + self.log_density() + constant)


@_mistake
class NoWeights(Mixture):
    NAME = "weights left out of the responsibilities"
    SAYS = "responsibilities without the weights: densities alone, divided by their sum"
    MEND = "multiply each density by its weight (equation 9.23)"

    def log_weights(self) -> Floats:
        return np.zeros(self.K)


@_mistake
class Hard(Mixture):
    NAME = "hard assignments"
    SAYS = "each point given whole to its likeliest component (k-means, classification EM)"
    MEND = "keep the probabilities: do not take the argmax"

    def responsibilities(self) -> Floats:
        joint = self.log_weights() + self.log_density()
        return np.eye(self.K)[joint.argmax(axis=1)]


@_mistake
class VarianceForSd(Mixture):
    FIELDS = (MIXTURE_1D,)
    NAME = "variance taken for standard deviation"
    SAYS = "densities whose standard deviation is the variance"
    MEND = "norm.pdf takes the standard deviation: give it the square root of the variance"

    def spread(self) -> Floats:
        return self.covariances**2


@_mistake
class SdForVariance(Mixture):
    FIELDS = (MIXTURE_1D,)
    NAME = "standard deviation taken for variance"
    SAYS = "densities whose variance is the standard deviation"
    MEND = "square the standard deviation where the formula has the variance"

    def spread(self) -> Floats:
        return np.sqrt(self.covariances)


@_mistake
class NoHalf(Mixture):
    NAME = "the half in the exponent left out"
    SAYS = "densities with exp(-d^2) in place of exp(-d^2 / 2)"
    MEND = "multiply the squared distance by one half"

    def squares(self) -> Floats:
        return 2 * super().squares()


@_mistake
class WrongSign(Mixture):
    NAME = "the minus in the exponent left out"
    SAYS = "densities with exp(+d^2 / 2): they grow with the distance"
    MEND = "the exponent is minus half the squared distance"

    def squares(self) -> Floats:
        return -super().squares()


@_mistake
class UnitSpread(Mixture):
    NAME = "the variance left out of the exponent"
    SAYS = "squared distances that are not divided by the variance"
    MEND = "divide the squared distance by the variance (multiply by the inverse covariance)"

    def inverse(self) -> Floats:
        return np.broadcast_to(np.eye(self.D), (self.K, self.D, self.D))


@_mistake
class NoConstant(Mixture):
    NAME = "the density's constant left out"
    SAYS = "densities without 1 / sigma (without the determinant): it differs by component"
    MEND = "keep the normalising constant of each component's density"

    def log_scale(self) -> Floats:
        return np.zeros(self.K)


@_mistake
class WholeDeterminant(Mixture):
    NAME = "the square root of the determinant left out"
    SAYS = "densities divided by the variance (the determinant), not by its square root"
    MEND = "divide by sqrt((2 pi)^D det(cov)): the root is over the determinant as well"

    def log_scale(self) -> Floats:
        return 2 * super().log_scale()


@_mistake
class NotInverted(Mixture):
    NAME = "covariance not inverted"
    SAYS = "squared distances multiplied by the covariance, not by its inverse"
    MEND = "use the inverse (or np.linalg.solve) in the quadratic form"

    def inverse(self) -> Floats:
        return self.spread()


@_mistake
class NotSquared(Mixture):
    NAME = "distance not squared"
    SAYS = "densities with exp(-|d| / 2) in place of exp(-d^2 / 2)"
    MEND = "square the standardised distance"

    def squares(self) -> Floats:
        return np.sqrt(super().squares())


@_mistake
class DiagonalDensity(Mixture):
    FIELDS = (MIXTURE_2D,)
    NAME = "off-diagonals left out of the density"
    SAYS = "densities computed coordinate by coordinate, without the covariances between them"
    MEND = "use the whole covariance matrix in the density"

    def spread(self) -> Floats:
        return self.covariances * np.eye(self.D)


@_mistake
class OneAfterTheOther(Mixture):
    NAME = "components updated one after another"
    SAYS = "each component updated, in place, before the next one's responsibilities are computed"
    MEND = "compute all responsibilities first, then update all components from them"

    def step(self) -> Arrays:
        weights, means, covariances = (
            a.copy() for a in (self.weights, self.means, self.covariances)
        )
        for k in range(self.K):
            self.weights, self.means, self.covariances = weights, means, covariances
            r = self.responsibilities()
            new_means = self.new_means(r)
            covariances[k] = self.new_covariances(r, new_means)[k]
            means[k], weights[k] = new_means[k], r[:, k].sum() / self.N
        return self.named(weights, means, covariances)


# --- Gaussian mixtures: the M-step --------------------------------------------------------------


@_mistake
class OldMeans(Mixture):
    NAME = "old means in the new variances"
    SAYS = "variances about the means from before the update"
    MEND = "compute the new means first, and take deviations from them (equation 9.25)"

    def centre(self, means: Floats) -> Floats:  # noqa: ARG002
        return self.means


@_mistake
class GrandMean(Mixture):
    NAME = "variances about the mean of all data"
    SAYS = "deviations taken from the mean of all data, not from each component's"
    MEND = "take deviations from the component's own new mean"

    def centre(self, means: Floats) -> Floats:  # noqa: ARG002
        return np.broadcast_to(self.x.mean(axis=0), (self.K, self.D))


@_mistake
class Again(Mixture):
    NAME = "means updated in place before the variances"
    SAYS = "variances from responsibilities that were computed again with the new means"
    MEND = "compute the responsibilities once, before any update, and use them for all updates"

    def for_covariances(self, r: Floats, means: Floats) -> Floats:  # noqa: ARG002
        old, self.means = self.means, means
        again = self.responsibilities()
        self.means = old
        return again


@_mistake
class AgainWithWeights(Mixture):
    NAME = "weights and means updated in place before the variances"
    SAYS = "variances from responsibilities computed again with the new weights and means"
    MEND = "compute the responsibilities once, before any update, and use them for all updates"

    def for_covariances(self, r: Floats, means: Floats) -> Floats:
        old = self.weights, self.means
        self.weights, self.means = self.new_weights(r), means
        again = self.responsibilities()
        self.weights, self.means = old
        return again


@_mistake
class VarianceByN(Mixture):
    NAME = "variances divided by N"
    SAYS = "squared deviations divided by N, not by N_k"
    MEND = "divide by the component's own total N_k (equation 9.25)"

    def covariance_divisor(self, r: Floats) -> Floats:  # noqa: ARG002
        return np.array(float(self.N))


@_mistake
class MeansByN(Mixture):
    NAME = "means divided by N"
    SAYS = "sums of r x divided by N, not by N_k"
    MEND = "divide by the component's own total N_k (equation 9.24)"

    def mean_divisor(self, r: Floats) -> Floats:  # noqa: ARG002
        return np.array(float(self.N))


@_mistake
class Unbiased(Mixture):
    NAME = "variances divided by N_k - 1"
    SAYS = "squared deviations divided by N_k - 1"
    MEND = "maximum likelihood divides by N_k: no correction"

    def covariance_divisor(self, r: Floats) -> Floats:
        return self.totals(r) - 1


@_mistake
class Reliability(Mixture):
    NAME = "np.cov's correction for weights"
    SAYS = "divided by N_k - sum r^2 / N_k, np.cov's default with aweights"
    MEND = "give np.cov ddof=0"

    def covariance_divisor(self, r: Floats) -> Floats:
        n = self.totals(r)
        return n - (r**2).sum(axis=0) / n


@_mistake
class SdReturned(Mixture):
    FIELDS = (MIXTURE_1D,)
    NAME = "standard deviation returned for variance"
    SAYS = "the square root of the right variances"
    MEND = "return variances, or name the argument sigma: it is then read as standard deviations"

    def finish(self, covariances: Floats) -> Floats:
        return np.sqrt(covariances)


@_mistake
class RootForgotten(Mixture):
    FIELDS = (MIXTURE_1D,)
    NAME = "variance returned for standard deviation"
    SAYS = "the square of the right variances: sigma lacks its square root"
    MEND = "take the square root of the mean squared deviation"

    def finish(self, covariances: Floats) -> Floats:
        return covariances**2


@_mistake
class Precision(Mixture):
    NAME = "precision returned for covariance"
    SAYS = "the inverse of the right covariances"
    MEND = "return the covariance, not its inverse"

    def finish(self, covariances: Floats) -> Floats:
        return np.linalg.inv(covariances)


@_mistake
class Diagonal(Mixture):
    FIELDS = (MIXTURE_2D,)
    NAME = "off-diagonals dropped"
    SAYS = "the right variances with covariances of zero"
    MEND = "sum the outer products of the deviations, not only their squares"

    def finish(self, covariances: Floats) -> Floats:
        return covariances * np.eye(self.D)


@_mistake
class OneTriangle(Mixture):
    FIELDS = (MIXTURE_2D,)
    NAME = "one triangle of the covariance only"
    SAYS = "the lower triangle of the right covariances, not made symmetric"
    MEND = "copy the lower triangle to the upper one"

    def finish(self, covariances: Floats) -> Floats:
        return np.tril(covariances)


@_mistake
class Factor(Mixture):
    FIELDS = (MIXTURE_2D,)
    NAME = "Cholesky factor returned for covariance"
    SAYS = "the Cholesky factor of the right covariances"
    MEND = "return L L', not L"

    def finish(self, covariances: Floats) -> Floats:
        return np.linalg.cholesky(covariances)


@_mistake
class Spherical(Mixture):
    FIELDS = (MIXTURE_2D,)
    NAME = "one variance for all coordinates"
    SAYS = "the mean of the right variances on every diagonal, and zero beside it"
    MEND = "estimate the whole covariance matrix"

    def finish(self, covariances: Floats) -> Floats:
        trace = np.trace(covariances, axis1=1, axis2=2) / self.D
        return trace[:, None, None] * np.eye(self.D)


@_mistake
class Tied(Mixture):
    NAME = "one variance for all components"
    SAYS = "the components' scatter pooled and divided by N"
    MEND = "divide each component's scatter by its own N_k"

    def new_covariances(self, r: Floats, means: Floats) -> Floats:
        pooled = self.scatter(r, means).sum(axis=0) / self.N
        return np.broadcast_to(pooled, (self.K, self.D, self.D))


@_mistake
class SquaredWeighting(Mixture):
    NAME = "responsibilities squared in the variances"
    SAYS = "sums of (r (x - mean))^2: the responsibility is squared as well"
    MEND = "weight the squared deviation by r: (r * d**2).sum(axis=0)"

    def scatter(self, r: Floats, means: Floats) -> Floats:
        return super().scatter(r**2, means)


@_mistake
class TotalsAsWeights(Mixture):
    NAME = "weights not divided by N"
    SAYS = "the totals N_k in place of N_k / N"
    MEND = "divide the totals by the number of points (equation 9.26)"

    def new_weights(self, r: Floats) -> Floats:
        return self.totals(r)


@_mistake
class WeightsByK(Mixture):
    NAME = "weights divided by K"
    SAYS = "the totals N_k divided by the number of components"
    MEND = "divide the totals by the number of points (equation 9.26)"

    def new_weights(self, r: Floats) -> Floats:
        return self.totals(r) / self.K


@_mistake
class WeightsKept(Mixture):
    NAME = "weights not updated"
    SAYS = "the weights of the start"
    MEND = "set the weights to N_k / N in every iteration, and hand them back"

    def new_weights(self, r: Floats) -> Floats:  # noqa: ARG002
        return self.weights


@_mistake
class EqualWeights(Mixture):
    NAME = "weights held equal"
    SAYS = "1 / K for every component"
    MEND = "set the weights to N_k / N"

    def new_weights(self, r: Floats) -> Floats:  # noqa: ARG002
        return np.full(self.K, 1 / self.K)


@_mistake
class MeansKept(Mixture):
    NAME = "means not updated"
    SAYS = "the means of the start, and variances about them"
    MEND = "set the means to the weighted means of the data, and hand them back"

    def new_means(self, r: Floats) -> Floats:  # noqa: ARG002
        return self.means


@_mistake
class VariancesKept(Mixture):
    NAME = "variances not updated"
    SAYS = "the variances of the start"
    MEND = "set the variances to the weighted squared deviations, and hand them back"

    def new_covariances(self, r: Floats, means: Floats) -> Floats:  # noqa: ARG002
        return self.covariances


@_mistake
class Smoothed(Mixture):
    NAME = "a pseudo-count in the weights"
    SAYS = "(N_k + 1) / (N + K): a Dirichlet prior of 2, not maximum likelihood"
    MEND = "divide the totals by N as they are, or say that this is MAP"

    def new_weights(self, r: Floats) -> Floats:
        return (self.totals(r) + 1) / (self.N + self.K)


# --- hidden Markov models: the passes -----------------------------------------------------------


@_mistake
class TransposedForward(HMM):
    NAME = "transition matrix transposed in the forward pass"
    SAYS = "a forward pass with A @ alpha in place of alpha @ A"
    MEND = "alpha[t] = (alpha[t-1] @ A) * B[:, x[t]]"

    def predicted(self, a: Floats) -> Floats:
        return self.A @ a


@_mistake
class TransposedBackward(HMM):
    NAME = "transition matrix transposed in the backward pass"
    SAYS = "a backward pass with the transposed transition matrix"
    MEND = "beta[t] = A @ (B[:, x[t+1]] * beta[t+1])"

    def back(self, ahead: Floats) -> Floats:
        return ahead @ self.A


@_mistake
class NoStart(HMM):
    NAME = "startprob left out of the forward pass"
    SAYS = "a forward pass that begins with the emissions alone"
    MEND = "alpha[0] = pi * B[:, x[0]]"

    def first(self, b: Floats) -> Floats:
        return b[0]


@_mistake
class NoFirstEmission(HMM):
    NAME = "first emission left out of the forward pass"
    SAYS = "a forward pass that begins with the start probabilities alone"
    MEND = "alpha[0] = pi * B[:, x[0]]"

    def first(self, b: Floats) -> Floats:  # noqa: ARG002
        return self.pi


@_mistake
class BackwardAtT(HMM):
    NAME = "emission at t instead of t+1 in the backward pass"
    SAYS = "a backward pass with the emission of step t in place of t+1"
    MEND = "beta[t] = A @ (B[:, x[t+1]] * beta[t+1])"

    def ahead(self, b: Floats, beta: Floats, t: int) -> Floats:
        return b[t] * beta[t + 1]


@_mistake
class BackwardBlind(HMM):
    NAME = "emissions left out of the backward pass"
    SAYS = "a backward pass without emissions"
    MEND = "beta[t] = A @ (B[:, x[t+1]] * beta[t+1])"

    def ahead(self, b: Floats, beta: Floats, t: int) -> Floats:  # noqa: ARG002
        return beta[t + 1]


@_mistake
class LastBackward(HMM):
    NAME = "backward pass begun with the last emission"
    SAYS = "a backward pass whose last value is the emission of the last step, counted twice"
    MEND = "beta[T-1] = 1"

    def backward(self, x: Integers) -> Floats:
        b = self.seen(x)
        beta = np.ones_like(b)
        beta[-1] = b[-1]
        for t in range(len(x) - 2, -1, -1):
            beta[t] = self.back(self.ahead(b, beta, t))
        return beta


@_mistake
class Filtered(HMM):
    NAME = "gamma from the forward pass alone"
    SAYS = "gamma without beta: filtered, not smoothed"
    MEND = "gamma[t] is alpha[t] * beta[t], normalised"

    def gamma(self, alpha: Floats, beta: Floats) -> Floats:  # noqa: ARG002
        return alpha / alpha.sum(axis=1, keepdims=True)


@_mistake
class GammaNotNormalised(HMM):
    NAME = "gamma not normalised"
    SAYS = "gamma = alpha beta as it is: p(z_t, x) in place of p(z_t | x)"
    MEND = "divide gamma[t] by its sum, which is p(x)"

    def gamma(self, alpha: Floats, beta: Floats) -> Floats:
        return alpha * beta

    def startprob(self, starts: Floats, total: Floats) -> Floats:  # noqa: ARG002
        return starts / len(self.joined())


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


@_mistake
class BackwardUnscaled(_RawXi, _AlphaScaled):
    NAME = "backward pass not scaled as the forward pass"
    SAYS = "xi from a scaled forward and an unscaled backward pass"
    MEND = SCALING


@_mistake
class BackwardUnscaledBoth(_RawGamma, _RawXi, _AlphaScaled):
    NAME = "backward pass not scaled as the forward pass"
    SAYS = "gamma and xi from a scaled forward and an unscaled backward pass"
    MEND = SCALING


@_mistake
class BackwardOwn(_RawXi, _OwnScales):
    NAME = "backward pass not scaled as the forward pass"
    SAYS = "xi from a backward pass that is scaled by its own sums"
    MEND = SCALING


@_mistake
class BackwardOwnBoth(_RawGamma, _RawXi, _OwnScales):
    NAME = "backward pass not scaled as the forward pass"
    SAYS = "gamma and xi from a backward pass that is scaled by its own sums"
    MEND = SCALING


@_mistake
class Viterbi(HMM):
    NAME = "the likeliest path in place of expectations"
    SAYS = "counts along the single likeliest path (Viterbi training)"
    MEND = "weight every path by its probability: forward and backward passes"

    def expect(self, x: Integers) -> list[Floats]:
        b = self.seen(x)
        best, came = np.log(self.first(b)), []
        for t in range(1, len(x)):
            reached = best[:, None] + np.log(self.A)
            came.append(reached.argmax(axis=0))
            best = reached.max(axis=0) + np.log(b[t])
        path = [int(best.argmax())]
        for pointers in reversed(came):
            path.append(int(pointers[path[-1]]))
        gamma = np.eye(self.K)[path[::-1]]
        xi = gamma[:-1, :, None] * gamma[1:, None, :]
        counts, shown = self.emitted(gamma, x)
        starts = self.starts(gamma)
        return [
            starts,
            np.asarray(starts.sum()),
            xi.sum(axis=0),
            self.leaving(gamma, xi),
            counts,
            shown,
        ]


# --- hidden Markov models: xi -------------------------------------------------------------------


@_mistake
class XiAtT(HMM):
    NAME = "emission at t instead of t+1 in xi"
    SAYS = "xi with the emission of step t in place of t+1"
    MEND = "xi[t] is alpha[t][:, None] * A * (B[:, x[t+1]] * beta[t+1]), normalised"

    def xi_factors(self, x: Integers, alpha: Floats, beta: Floats) -> Floats:
        b = self.seen(x)
        return alpha[:-1, :, None] * self.A * (b[:-1] * beta[1:])[:, None, :]


@_mistake
class XiBetaAtT(HMM):
    NAME = "beta at t instead of t+1 in xi"
    SAYS = "xi with beta of step t in place of t+1"
    MEND = "xi[t] is alpha[t][:, None] * A * (B[:, x[t+1]] * beta[t+1]), normalised"

    def xi_factors(self, x: Integers, alpha: Floats, beta: Floats) -> Floats:
        b = self.seen(x)
        return alpha[:-1, :, None] * self.A * (b[1:] * beta[:-1])[:, None, :]


@_mistake
class XiNoEmission(HMM):
    NAME = "emission left out of xi"
    SAYS = "xi without the emission of step t+1"
    MEND = "xi[t] is alpha[t][:, None] * A * (B[:, x[t+1]] * beta[t+1]), normalised"

    def xi_factors(self, x: Integers, alpha: Floats, beta: Floats) -> Floats:  # noqa: ARG002
        return alpha[:-1, :, None] * self.A * beta[1:][:, None, :]


@_mistake
class XiNoBeta(HMM):
    NAME = "beta left out of xi"
    SAYS = "xi without beta: what comes after t+1 does not count"
    MEND = "xi[t] is alpha[t][:, None] * A * (B[:, x[t+1]] * beta[t+1]), normalised"

    def xi_factors(self, x: Integers, alpha: Floats, beta: Floats) -> Floats:  # noqa: ARG002
        b = self.seen(x)
        return alpha[:-1, :, None] * self.A * b[1:][:, None, :]


@_mistake
class XiNoA(HMM):
    NAME = "transition matrix left out of xi"
    SAYS = "xi without the transition probabilities"
    MEND = "xi[t] is alpha[t][:, None] * A * (B[:, x[t+1]] * beta[t+1]), normalised"

    def xi_factors(self, x: Integers, alpha: Floats, beta: Floats) -> Floats:
        b = self.seen(x)
        return alpha[:-1, :, None] * (b[1:] * beta[1:])[:, None, :] * np.ones((self.K, self.K))


@_mistake
class XiByRow(HMM):
    NAME = "xi normalised row by row"
    SAYS = "xi[t] with every row summing to one: each state counts as if it had been visited"
    MEND = "divide xi[t] by the sum of all its entries"

    def xi(self, x: Integers, alpha: Floats, beta: Floats) -> Floats:
        xi = self.xi_factors(x, alpha, beta)
        return xi / xi.sum(axis=2, keepdims=True)


@_mistake
class Independent(HMM):
    NAME = "xi from products of gammas"
    SAYS = "xi[t] = gamma[t] gamma[t+1]', as if consecutive states were independent"
    MEND = "xi[t] is alpha[t][:, None] * A * (B[:, x[t+1]] * beta[t+1]), normalised"

    def xi(self, x: Integers, alpha: Floats, beta: Floats) -> Floats:  # noqa: ARG002
        g = self.gamma(alpha, beta)
        return g[:-1, :, None] * g[1:, None, :]


# --- hidden Markov models: the M-step -----------------------------------------------------------


@_mistake
class LastInDivisor(HMM):
    NAME = "last step's gamma in the transition denominator"
    SAYS = "transitions divided by gamma summed over all T steps, the last included"
    MEND = "sum gamma over t = 0 .. T-2: the last step has no transition out of it"

    def leaving(self, gamma: Floats, xi: Floats) -> Floats:  # noqa: ARG002
        return gamma.sum(axis=0)


@_mistake
class ByColumns(HMM):
    NAME = "transitions divided by the wrong axis's totals"
    SAYS = "each entry divided by its column's state: the division lacks keepdims (or [:, None])"
    MEND = "divide row by row: xi.sum(axis=0) / xi.sum(axis=(0, 2))[:, None]"

    def divide(self, counts: Floats, divisor: Floats) -> Floats:
        return counts / divisor


@_mistake
class ColumnSums(HMM):
    NAME = "transition matrix normalised over columns"
    SAYS = "columns that sum to one in place of rows"
    MEND = "divide by counts.sum(axis=1, keepdims=True)"

    def divide(self, counts: Floats, divisor: Floats) -> Floats:  # noqa: ARG002
        return counts / counts.sum(axis=0, keepdims=True)


@_mistake
class AllSum(HMM):
    NAME = "transition matrix divided by the sum of all entries"
    SAYS = "a joint probability of both states: the whole matrix sums to one"
    MEND = "divide each row by its own sum"

    def divide(self, counts: Floats, divisor: Floats) -> Floats:  # noqa: ARG002
        return counts / counts.sum()


@_mistake
class TransposedBack(HMM):
    NAME = "transition matrix returned transposed"
    SAYS = "the right transition matrix, transposed"
    MEND = "transmat[i, j] is the probability of j after i: rows sum to one"

    def finish(self, A: Floats) -> Floats:
        return A.T


@_mistake
class StartKept(HMM):
    NAME = "startprob not updated"
    SAYS = "the start probabilities of the start"
    MEND = "set startprob to gamma[0] (averaged over the sequences)"

    def startprob(self, starts: Floats, total: Floats) -> Floats:  # noqa: ARG002
        return self.pi


@_mistake
class StartFromAll(HMM):
    NAME = "startprob from all steps"
    SAYS = "gamma averaged over all steps in place of the first one's"
    MEND = "startprob is gamma[0]"

    def starts(self, gamma: Floats) -> Floats:
        return gamma.mean(axis=0)


@_mistake
class StartFromLast(HMM):
    NAME = "startprob from the last step"
    SAYS = "gamma of the last step in place of the first"
    MEND = "startprob is gamma[0]"

    def starts(self, gamma: Floats) -> Floats:
        return gamma[-1]


@_mistake
class StartSummed(HMM):
    NAME = "startprob summed over the sequences"
    SAYS = "gamma[0] summed over the sequences and not divided by their number"
    MEND = "divide by the number of sequences"

    def startprob(self, starts: Floats, total: Floats) -> Floats:  # noqa: ARG002
        return starts


@_mistake
class TransitionsKept(HMM):
    NAME = "transition matrix not updated"
    SAYS = "the transition matrix of the start"
    MEND = "set transmat to the expected transitions, row by row, and hand it back"

    def divide(self, counts: Floats, divisor: Floats) -> Floats:  # noqa: ARG002
        return self.A


@_mistake
class EmissionsKept(HMM):
    NAME = "emission matrix not updated"
    SAYS = "the emission matrix of the start"
    MEND = "set emissionprob to the expected counts of symbols by state, and hand it back"

    def shares(self, counts: Floats, divisor: Floats) -> Floats:  # noqa: ARG002
        return self.B


@_mistake
class EmissionsOverStates(HMM):
    NAME = "emission matrix normalised over the states"
    SAYS = "columns that sum to one: p(state | symbol) in place of p(symbol | state)"
    MEND = "divide each state's counts by their sum over the symbols"

    def shares(self, counts: Floats, divisor: Floats) -> Floats:  # noqa: ARG002
        return counts / counts.sum(axis=0, keepdims=True)


@_mistake
class LastNotShown(HMM):
    NAME = "last step left out of the emissions"
    SAYS = "emission counts over t = 0 .. T-2"
    MEND = "the emissions sum gamma over all T steps; only transitions stop at T-2"

    def emitted(self, gamma: Floats, x: Integers) -> tuple[Floats, Floats]:
        return super().emitted(gamma[:-1], x[:-1])


@_mistake
class LastOutOfDivisor(HMM):
    NAME = "last step left out of the emission denominator"
    SAYS = "emission counts over all T steps, divided by gamma summed over T - 1 of them"
    MEND = "sum gamma over all T steps in the emissions' denominator"

    def emitted(self, gamma: Floats, x: Integers) -> tuple[Floats, Floats]:
        return super().emitted(gamma, x)[0], gamma[:-1].sum(axis=0)


@_mistake
class PseudoCounts(HMM):
    NAME = "a pseudo-count in the emissions"
    SAYS = "emission counts with 1 added to each: a Dirichlet prior of 2, not maximum likelihood"
    MEND = "divide the counts as they are, or say that this is MAP"

    def shares(self, counts: Floats, divisor: Floats) -> Floats:
        return (counts + 1) / (divisor[:, None] + self.V)


# --- hidden Markov models: several sequences ----------------------------------------------------


@_mistake
class Joined(HMM):
    NAME = "sequences joined into one"
    SAYS = "all sequences as a single one, with transitions across their ends"
    MEND = "run forward and backward on each sequence by itself, and add the expected counts"

    def joined(self) -> list[Integers]:
        return [np.concatenate(self.sequences)]


@_mistake
class LastOnly(HMM):
    NAME = "only the last sequence counted"
    SAYS = "the expected counts of the last sequence: each overwrote the one before"
    MEND = "add the expected counts (+=) over the sequences"

    def joined(self) -> list[Integers]:
        return self.sequences[-1:]


@_mistake
class FirstOnly(HMM):
    NAME = "only the first sequence counted"
    SAYS = "the expected counts of the first sequence"
    MEND = "loop over all sequences, and add their expected counts"

    def joined(self) -> list[Integers]:
        return self.sequences[:1]


@_mistake
class Averaged(HMM):
    NAME = "probabilities averaged over the sequences"
    SAYS = "each sequence's own estimates, averaged"
    MEND = "add the expected counts over the sequences and divide once"

    def pooled(self, parts: list[list[Floats]]) -> list[Floats]:
        s = np.mean([p[0] / p[1] for p in parts], axis=0)
        t = np.mean([p[2] / p[3][:, None] for p in parts], axis=0)
        e = np.mean([p[4] / p[5][:, None] for p in parts], axis=0)
        ones = np.ones(self.K)
        return [s, np.array(1.0), t, ones, e, ones]


@_mistake
class ByLikelihood(_RawXi, _RawGamma):
    NAME = "sequences weighted by their likelihoods"
    SAYS = "expected counts not divided by each sequence's own p(x)"
    MEND = "divide each sequence's counts by its p(x) before adding them (Rabiner, equation 109)"


# --- conventions: no mistakes, and without effect where there is none ----------------------------


class _InEvidence(Mixture):
    NAME = "a small number in the responsibilities' denominator"
    MEND = "leave the guard out: logarithms (logsumexp) never divide zero by zero"
    EPSILON = 0.0

    def responsibilities(self) -> Floats:
        constant = -0.5 * self.D * np.log(2 * np.pi)
        p = np.exp(self.log_weights() + self.log_density() + constant)
        return p / (p.sum(axis=1, keepdims=True) + self.EPSILON)


class _InTotals(Mixture):
    NAME = "a small number in the totals"
    MEND = "leave the guard out, or treat a component without points as an error"
    EPSILON = 0.0

    def totals(self, r: Floats) -> Floats:
        return r.sum(axis=0) + self.EPSILON


class _InDivisors(_InTotals):
    def totals(self, r: Floats) -> Floats:
        return r.sum(axis=0)

    def mean_divisor(self, r: Floats) -> Floats:
        return self.totals(r) + self.EPSILON

    def covariance_divisor(self, r: Floats) -> Floats:
        return self.totals(r) + self.EPSILON


GUARDS: tuple[type[Any], ...] = tuple(
    type(f"Guard{kind.__name__}{power}", (kind,), {"EPSILON": 10.0**-power, "SAYS": says})
    for power in range(1, 13)
    for kind, what in (
        (_InEvidence, "each p(x_n)"),
        (_InTotals, "each N_k"),
        (_InDivisors, "each N_k that divides"),
    )
    for says in [f"1e-{power:02d} added to {what}"]
)
"""Numbers that keep a division from failing, where they are large enough to show."""


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
    """

    name: str
    says: str
    mend: str
    distance: float
    fields: tuple[str, ...]
    wrong_by: float
    section: str = ""
    stateful: bool = False


@dataclass(frozen=True)
class Observed:
    """What a candidate made of a problem: parameters after 1, 2, ... iterations."""

    start: Arrays
    data: Any
    path: Sequence[Arrays]


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
    """Return the model's mistakes: each alone, guards, each two that replace different parts."""
    fields = tuple(load(model).Parameters.SPACES)
    single = [m for m in REGISTER if fields in m.FIELDS]
    guards = [g for g in GUARDS if fields in g.FIELDS]
    pairs = [
        (a, b) for a, b in combinations(single, 2) if not parts(a) & parts(b) and _mixable(a, b)
    ]
    return [(m,) for m in single], [(g,) for g in guards], pairs


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


def run(kinds: Sequence[type[Any]], start: Arrays, data: Any) -> Arrays | None:
    """Return one iteration with these mistakes made; None if it cannot be computed."""
    try:
        with np.errstate(all="ignore"):
            made: Arrays = _made(tuple(kinds))(start, data).step()
    except (ArithmeticError, ValueError, IndexError):  # LinAlgError is a ValueError
        return None
    return made if all(np.isfinite(a).all() for a in made.values()) else None


def guesses(model: str, observed: Sequence[Observed]) -> list[Guess]:
    """Return the mistakes that explain all that was observed, the best first.

    A mistake explains a problem if one iteration with it gives the candidate's parameters; or, if
    the candidate's first iteration is right, if its second is that of a loop that has something
    stale. Two mistakes are thought of where none alone explains anything.

    Parameters
    ----------
    model : str
    observed : sequence of Observed
        Problems general enough that no two mistakes give the same.
    """
    rights = [run((root(model),), o.start, o.data) for o in observed]
    by = max(_apart(o.path[0], right) for o, right in zip(observed, rights))
    if by <= SAME:
        return list(_later(model, observed))
    found = list(_miscounted(model, observed, rights, by))
    if found:
        return found
    for group in candidates(model):
        for chosen in conventions(model):
            for kinds in group:
                guess = _explained(kinds, chosen, observed, rights)
                if guess is not None and guess.name not in (f.name for f in found):
                    found.append(guess)
            if found:
                return found
    return found


def _explained(
    kinds: tuple[type[Any], ...],
    chosen: tuple[type[Any], ...],
    observed: Sequence[Observed],
    rights: Sequence[Arrays | None],
) -> Guess | None:
    """Return the guess that these mistakes were made, if all that was observed says so."""
    worst, by, wrong = 0.0, 0.0, set[str]()
    for o, right in zip(observed, rights):
        made = run((*kinds, *chosen), o.start, o.data)
        if made is None or right is None:
            return None
        worst = max(worst, *distances(o.path[0], made).values())
        if worst > SAME:
            return None
        wrong |= {name for name, d in distances(right, made).items() if d > SAME}
        by = max(by, *distances(o.path[0], right).values())
    fields = tuple(name for name in observed[0].start if name in wrong)
    return _guess(kinds, worst, fields, by) if fields else None


def _guess(
    kinds: Sequence[type[Any]], distance: float, fields: tuple[str, ...], by: float
) -> Guess:
    return Guess(
        name=" and ".join(k.NAME for k in kinds),
        says=", and ".join(k.SAYS for k in kinds),
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
    for stale in fields:
        used, kept = 0.0, 0.0
        for o, right in zip(observed, rights):
            mixed = {k: (o.start if k == stale else o.path[0])[k] for k in fields}
            used = max(used, _apart(o.path[1], run(kind, mixed, o.data)))
            frozen = None if right is None else {**right, stale: o.path[0][stale]}
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
                (stale,),
                by,
                "M-step",
                stateful=True,
            )
