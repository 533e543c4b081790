"""Estimators with the interfaces of scikit-learn and hmmlearn, over the models' own E and M.

Letters: N observations of D coordinates, K components or hidden states, V symbols, T steps.

From the same start and the same settings the fitted parameters and the number of iterations are
the peer's, unless the peer stops on a plateau: a small gain ends a fit here only if the next one
is small as well. What differs is what a fit says of itself:

- a log-likelihood reported by a fit is that of the parameters it returns; the peers report the
  one before the last M-step;
- `converged_` is true only if the last iteration raised the log-likelihood by less than the
  tolerance; a fall, or the iteration limit, never counts. `status_` and `message_` say which;
- a component that collapses ends the fit with a status that names it;
- of several starts the best is kept, and `hit_rate_` says how many of them reached it.

References
----------
.. [1] Pedregosa et al. (2011), Scikit-learn: machine learning in Python, JMLR 12, 2825-2830.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from lockstep.models import (
    Model,
    categorical_hmm,
    chunks,
    em,
    kernels,
    load,
    records,
)
from lockstep.models import gaussian_mixture_2d as gaussian_mixture
from lockstep.models.categorical_hmm import Sequences, compiled
from lockstep.models.fits import PointFit, Status
from lockstep.models.gaussian_mixture_2d import CovarianceType
from lockstep.models.gaussian_mixture_2d import diagonal as mixture_diagonal
from lockstep.models.records import DegenerateError, Floats, Integers, Parameters

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
INIT_PARAMS = ("kmeans", "k-means++", "random", "random_from_data")

COLLAPSED = (
    "Fitting the mixture model failed because some components have ill-defined empirical "
    "covariance (for instance caused by singleton or collapsed samples). Try to decrease the "
    "number of components, increase reg_covar, or scale the input data."
)
NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or "
    "increase max_iter, tol, or check for degenerate data."
)
"""scikit-learn's words, which users and their tests may look for; ours follow them."""

MIXTURE, HMM = load(gaussian_mixture.NAME), load(categorical_hmm.NAME)
DIAGONAL = cast("Model", mixture_diagonal)

type Mixture = gaussian_mixture.Parameters | mixture_diagonal.Parameters


@dataclass
class _Watch:
    """Tells of each iteration, and ends a fit where the peers end it.

    They test the gain of the iteration before the last M-step; here two small gains in a row
    end the fit, so the fit is theirs and the last gain is known to be small.

    Attributes
    ----------
    tol : float
        Below it a gain is small, per unit of `mass`.
    max_iter : int
    report : callable or None
        Called with iteration, objective and gain, the latter two per unit of `mass`.
    mass : float
    small : bool
        Whether the last gain was small: at first, whether the start is itself the end of a fit.
    """

    tol: float
    max_iter: int
    report: Callable[[int, float, float], None] | None
    mass: float = 1.0
    small: bool = False

    def __call__(self, iteration: int, objective: float, gain: float) -> tuple[Status, str] | None:
        objective, gain = objective / self.mass, gain / self.mass
        if self.report is not None:
            self.report(iteration, objective, gain)
        was_small, self.small = self.small, abs(gain) < self.tol
        if not (self.small and (was_small or iteration == self.max_iter)):
            return None
        if gain < -em.ROUNDING * max(1.0, abs(objective)):  # a ridge climbs no objective
            what = f"the log-likelihood fell by {-gain:.3g} at iteration {iteration}"
            return Status.LOG_LIKELIHOOD_FELL, what
        what = f"the log-likelihood rose by less than {self.tol:g} at iteration {iteration}"
        return Status.CONVERGED, what


def _best(fits: Sequence[PointFit], resolution: float) -> tuple[PointFit, float]:
    """Return the best fit, and the share of all that came within `resolution` of it."""
    sound = [f for f in fits if f.status is not Status.DEGENERATE] or fits
    best = max(sound, key=em.final_objective)
    floor = em.final_objective(best) - resolution
    return best, sum(em.final_objective(f) >= floor for f in sound) / len(fits)


def _climbed(fit: PointFit) -> Floats:
    """Return what the fit climbed, at the start and after each iteration."""
    values = fit.trace if fit.objective is None else fit.objective
    assert values is not None
    return values


def _at_least_zero(name: str, value: Any) -> None:
    if not records.is_between(value, 0, np.inf):
        raise ValueError(f"{name}={value!r}; it must be a number of at least 0")


def _one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}={value!r}; it must be one of {', '.join(map(repr, allowed))}")


def _yes_or_no(name: str, value: Any) -> None:
    if not isinstance(value, bool | np.bool_ | Integral):
        raise ValueError(f"{name}={value!r}; it must be True or False")


def _random(random_state: Any) -> np.random.RandomState:
    """Return the generator that was given, or one made of the seed."""
    try:
        generator: np.random.RandomState = check_random_state(random_state)
    except ValueError:
        raise ValueError(
            f"random_state={random_state!r} cannot be used to seed a RandomState: give an integer "
            "from 0 to 2**32 - 1, a numpy.random.RandomState or None"
        ) from None
    return generator


def _weights(given: Any, number: int, what: str) -> Floats | None:
    """Return sample weights as an array of shape (number,), or None."""
    if given is None:
        return None
    weights = records.floats(given, "sample_weight")
    if weights.shape != (number,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}; {number} {what} need shape ({number},)"
        )
    for n in np.flatnonzero(~(np.isfinite(weights) & (weights >= 0))):
        raise ValueError(
            f"sample_weight[{n}] is {weights[n]}; a weight must be finite and not negative "
            "(zero leaves its sample out)"
        )
    records.refuse_extreme(weights, "sample_weight")
    return weights


def _weighted(values: Floats, weights: Floats | None) -> Floats:
    """Return each value times its weight; what is left out counts zero, whatever its value."""
    if weights is None:
        return values
    return np.where(weights > 0, weights * np.where(weights > 0, values, 0), 0)


def _mass(number: int, weights: Floats | None) -> float:
    """Return how many observations there are, by weight."""
    return float(number if weights is None else weights.sum())


class GaussianMixture(DensityMixin, BaseEstimator):  # type: ignore[misc]
    """Gaussian mixture with scikit-learn's interface, in any dimension.

    Parameters
    ----------
    n_components : int, default=1
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
    tol : float, default=1e-3
        EM stops when an iteration raises the mean log-likelihood by less; see `converged_`.
    reg_covar : float, default=1e-6
        Added to the diagonal of every covariance. It makes the fit depend on the units of the
        data; zero is maximum likelihood.
    max_iter : int, default=100
    n_init : int, default=1
        Starts; the best fit is kept.
    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data'}, default='kmeans'
    weights_init, means_init, precisions_init : array_like, optional
        Start from these, in the shapes of `weights_`, `means_` and `precisions_`.
    random_state : int, RandomState or None
    warm_start : bool, default=False
        Whether `fit` starts from where the last one ended.
    verbose : int, default=0
    verbose_interval : int, default=10
    missing : bool, default=False
        Whether NaN stands for a coordinate that was not seen; it is integrated out. Otherwise
        NaN is refused.
    prior : object, optional
        As `models.gaussian_mixture_2d.m_step` takes it; the fit is then the posterior mode,
        and the bounds are penalised.
    accelerate : bool, default=False
        Whether every third iteration of `fit` leaps ahead where that raises the likelihood, as
        in `models.em`: the same optimum in fewer iterations, which are then not scikit-learn's.

    Attributes
    ----------
    weights_ : ndarray, shape (K,)
    means_ : ndarray, shape (K, D)
    covariances_, precisions_, precisions_cholesky_ : ndarray
        Of shape (K, D, D), (D, D), (K, D) or (K,), by `covariance_type` in the order above.
        The factor U of a full precision is upper triangular, ``precision = U U'``.
    lower_bound_ : float
        Mean log-likelihood per observation (or unit of weight) of the parameters returned;
        scikit-learn's is that before the last M-step.
    lower_bounds_ : list of float
        The same after iterations 1 to `n_iter_`. After `partial_fit`, see there.
    converged_ : bool
        Whether the last iteration raised `lower_bound_` by less than `tol`. In scikit-learn a
        fall counts as well.
    n_iter_ : int
    n_features_in_ : int
    status_ : str
        ``converged``, ``iteration_limit``, ``log_likelihood_fell`` (possible with `reg_covar`
        above zero, which moves the fit off the maximum) or ``degenerate`` (the parameters are
        then the last before the collapse; scikit-learn raises).
    message_ : str
        The same for a reader.
    hit_rate_ : float
        Share of the starts that ended within `tol` of the best.
    """

    weights_: Floats
    means_: Floats
    covariances_: Floats
    n_features_in_: int

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: CovarianceType = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        missing: bool = False,
        prior: Any = None,
        accelerate: bool = False,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.missing = missing
        self.prior = prior
        self.accelerate = accelerate

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: ARG002
        """Fit by EM from `n_init` starts and keep the best.

        Parameters
        ----------
        X : array_like, shape (N, D)
        y : ignored
        sample_weight : array_like, shape (N,), optional
            How often each row counts. From the same start, an integer is the same as that
            many copies of the row, and zero the same as leaving it out.

        Raises
        ------
        ValueError
            If a setting or the data are unusable, or every start is degenerate.
        """
        self._check_settings()
        x, weights = self._check_data(X, sample_weight, reset=True, at_least=2)
        warm = self.warm_start and hasattr(self, "converged_")
        rng, mass = _random(self.random_state), _mass(len(x), weights)
        fits, failure = [], None
        for number in range(1 if warm else self.n_init):
            if self.verbose:
                print(f"Start {number}")
            try:
                start = self._parameters() if warm else self._start(x, weights, rng)
                fits.append(self._climb(start, x, weights, mass, warm))
            except DegenerateError as error:
                failure = error
                continue
            if self.verbose:
                print(f"Start {number}: {fits[-1].message}")
        if not fits:
            raise ValueError(f"{COLLAPSED} Here {failure}.") from failure
        best, hit_rate = _best(fits, max(self.tol * mass, em.SAME_OPTIMUM))
        bounds = _climbed(best) / mass
        self._keep(best.parameters)
        self.lower_bound_ = float(bounds[-1])
        self.lower_bounds_ = bounds[1:].tolist()
        self.n_iter_ = best.iterations
        self.status_, self.message_ = str(best.status), best.message
        self.converged_ = best.status is Status.CONVERGED
        self.hit_rate_ = hit_rate * len(fits) / (1 if warm else self.n_init)
        if not self.converged_ and self.max_iter:
            warnings.warn(f"{NOT_CONVERGED} Here {best.message}.", ConvergenceWarning, stacklevel=2)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Integers:
        """Fit, and return the most probable component of each row, shape (N,)."""
        return self.fit(X, y, sample_weight).predict(X)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: ARG002
        """Do one EM iteration over data that need not fit into memory.

        This is not the usual `partial_fit`, which learns from a batch and moves on. EM needs
        all data in every iteration: each call passes once over *all* of them, adds up the
        statistics of the chunks, and does one M-step; calls in a row are `fit` with the same
        result, in the memory of one chunk. Call it until `converged_`.

        The first call, unless after a `fit`, starts from the `_init` parameters, or from the
        first chunk where they are not given.

        Parameters
        ----------
        X : array_like, path, or iterable of array_like
            An array of shape (N, D), which may be memory-mapped; the path of a ``.npy``,
            Parquet or Arrow file; or the chunks themselves, each of shape (n, D).
        y : ignored
        sample_weight : array_like, shape (N,), optional
            For the rows of all chunks together.

        Notes
        -----
        The pass measures the parameters that it began with, so `lower_bounds_` has one value
        per pass, of the parameters *before* its M-step, and `converged_` compares the last
        two. `lower_bound_` is not set, for it would be the stale one: `score` gives it.
        """
        self._check_settings()
        parameters = self._parameters() if hasattr(self, "weights_") else None
        if hasattr(self, "lower_bound_") or not hasattr(self, "lower_bounds_"):
            self.__dict__.pop("lower_bound_", None)
            self.lower_bounds_, self.n_iter_ = [], 0
        given = None if sample_weight is None else records.floats(sample_weight, "sample_weight")
        if given is not None and given.ndim == 1:  # of all chunks: those of one may be zero
            _weights(given, len(given), "rows")
        e_step, prior = kernels.e_step(self._model()), self._prior()
        statistics: Any = None
        objective, mass, rows = 0.0, 0.0, 0
        for chunk in _chunks(X):
            if not hasattr(chunk, "__len__"):
                raise TypeError(f"a chunk is of type {type(chunk).__name__}; give arrays of rows")
            here = None if given is None or not given.ndim else given[rows : rows + len(chunk)]
            rows += len(chunk)
            if here is not None and len(here) == len(chunk) and not here.any():
                continue
            x, weights = self._check_data(chunk, here, reset=parameters is None)
            if parameters is None:
                parameters = self._start(x, weights, _random(self.random_state))
            part, value = e_step(parameters, x, weights)
            statistics = part if statistics is None else statistics + part
            objective += value
            mass += _mass(len(x), weights)
        if statistics is None or parameters is None:
            raise ValueError(
                "there are no chunks: an iterator is spent after one pass, so give each call a "
                "new one"
            )
        if given is not None and given.shape != (rows,):
            raise ValueError(
                f"sample_weight has shape {given.shape}; the chunks have {rows} rows in all"
            )
        try:
            self._keep(self._m_step(statistics))
        except DegenerateError as error:
            raise ValueError(f"{COLLAPSED} Here {error}.") from error
        if prior is not None:
            objective += prior.log_density(parameters)
        self.lower_bounds_.append(objective / mass)
        self.n_iter_ += 1
        gain = np.inf if self.n_iter_ == 1 else self.lower_bounds_[-1] - self.lower_bounds_[-2]
        self.converged_ = bool(-em.ROUNDING <= gain < self.tol)
        self.status_ = str(Status.CONVERGED if self.converged_ else Status.NOT_CONVERGED)
        self.message_ = f"pass {self.n_iter_} measured a gain of {gain:.3g}"
        return self

    def score_samples(self, X: Any, sample_weight: Any = None) -> Floats:
        """Return the log-likelihood of each row, shape (N,), in nats: that of all its copies.

        Parameters
        ----------
        X : array_like, shape (N, D)
        sample_weight : array_like, shape (N,), optional
            How often each row counts, as for `fit`.
        """
        values = np.asarray(logsumexp(self._log_joint(X), axis=1))
        return _weighted(values, _weights(sample_weight, len(values), "rows"))

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # noqa: ARG002
        """Return the mean log-likelihood of the rows (or per unit of weight), in nats."""
        values = self.score_samples(X, sample_weight)
        weights = _weights(sample_weight, len(values), "rows")
        return float(values.sum() / _mass(len(values), weights))

    def predict(self, X: Any) -> Integers:
        """Return the most probable component of each row, shape (N,)."""
        joint = self._log_joint(X)
        if np.isneginf(joint.max(axis=1)).any():  # too far from everything for a density
            return self.predict_proba(X).argmax(axis=1)
        return joint.argmax(axis=1)

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each component given each row, shape (N, K)."""
        check_is_fitted(self)
        parameters: Any = self._parameters()
        x = self._check_data(X)[0]
        if self._diagonal():
            return mixture_diagonal.responsibilities(parameters, x)
        return gaussian_mixture.responsibilities(parameters, x)

    def sample(self, n_samples: int = 1) -> tuple[Floats, Integers]:
        """Draw from the mixture, component by component; scikit-learn's draws from a seed.

        Returns
        -------
        X : ndarray, shape (n_samples, D)
        y : ndarray of int, shape (n_samples,)
            The components, in ascending order.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral):
            raise ValueError(f"n_samples={n_samples!r}; it must be an integer of at least 1")
        if n_samples < 1:
            raise ValueError(
                f"Invalid value for 'n_samples': {n_samples}. At least one sample must be asked for"
            )
        rng = _random(self.random_state)
        weights, means, spreads = self._parameters().arrays().values()
        if not self._diagonal():
            gaussian_mixture.cholesky(spreads)  # or says that there is none
        numbers = rng.multinomial(n_samples, weights)
        drawn = []
        for mean, spread, number in zip(means, spreads, numbers, strict=True):
            if self._diagonal():
                standard = rng.standard_normal(size=(number, len(mean)))
                drawn.append(mean + standard * np.sqrt(spread))
            else:
                drawn.append(rng.multivariate_normal(mean, spread, number))
        return np.vstack(drawn), np.repeat(np.arange(len(numbers)), numbers)

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Return Akaike's criterion on X, its rows weighted as in `fit`: the lower the better."""
        return float(2 * self._n_parameters() - 2 * self.score_samples(X, sample_weight).sum())

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Return the Bayesian information criterion on X: the lower the better.

        With weights, the number of observations is their sum.
        """
        values = self.score_samples(X, sample_weight)
        mass = _mass(len(values), _weights(sample_weight, len(values), "rows"))
        return float(self._n_parameters() * np.log(mass) - 2 * values.sum())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing
        return tags

    def _n_parameters(self) -> int:
        K, D = self.means_.shape
        of_covariances = {"full": K * D * (D + 1) // 2, "tied": D * (D + 1) // 2, "diag": K * D}
        return int((K - 1) + K * D + of_covariances.get(self.covariance_type, K))

    def _check_settings(self) -> None:
        for name, least in (("n_components", 1), ("max_iter", 0), ("n_init", 1)):
            records.refuse_no_count(name, getattr(self, name), least)
        records.refuse_no_count("verbose_interval", self.verbose_interval, 1)
        _at_least_zero("tol", self.tol)
        _at_least_zero("reg_covar", self.reg_covar)
        _one_of("covariance_type", self.covariance_type, COVARIANCE_TYPES)
        _one_of("init_params", self.init_params, INIT_PARAMS)
        for name in ("warm_start", "verbose", "missing", "accelerate"):
            _yes_or_no(name, getattr(self, name))
        if self.reg_covar > records.LARGEST:
            raise ValueError(f"reg_covar={self.reg_covar!r}; it must be at most {records.LARGEST}")
        if self.prior is not None and not isinstance(self.prior, gaussian_mixture.Prior):
            raise TypeError(
                f"prior is of type {type(self.prior).__name__}; give a gaussian_mixture_2d.Prior"
            )

    def _check_data(
        self, X: Any, sample_weight: Any = None, *, reset: bool = False, at_least: int = 1
    ) -> tuple[Floats, Floats | None]:
        """Return the rows that count and their weights."""
        if isinstance(X, np.ma.MaskedArray):  # the mask must not be lost
            X = records.floats(X, "X")
        plain = type(X) is np.ndarray and X.dtype == np.float64 and X.ndim == 2
        if plain and reset and len(X) >= at_least and X.shape[1]:
            # What validate_data makes of such an array, in less time than a small fit takes.
            x, self.n_features_in_ = X, X.shape[1]
            self.__dict__.pop("feature_names_in_", None)
        else:
            x = self._validated(X, reset, at_least)
        x = records.finite_floats(x, "X", missing=self.missing)
        weights = _weights(sample_weight, len(x), "rows")
        if weights is not None and not weights.all():
            x, weights = x[weights > 0], weights[weights > 0]
        if reset and self.prior is not None:
            self.prior.refuse_misshaped(x.shape[1])
        return x, weights

    def _validated(self, X: Any, reset: bool, at_least: int) -> Any:
        """Return what scikit-learn makes of the data; in our words if they are no numbers."""
        if isinstance(X, np.ndarray) and X.dtype == object:
            X = _numbers(X)
        try:
            return validate_data(
                self,
                X,
                reset=reset,
                dtype=np.float64,
                ensure_all_finite=False,
                ensure_min_samples=at_least,
            )
        except (TypeError, ValueError, OverflowError):
            if not issparse(X):
                _numbers(X)
            raise

    def _log_joint(self, X: Any) -> Floats:
        check_is_fitted(self)
        parameters: Any = self._parameters()
        model = mixture_diagonal if self._diagonal() else gaussian_mixture
        joint: Floats = model.log_joint(parameters, self._check_data(X)[0])
        return joint

    def _diagonal(self) -> bool:
        return self.covariance_type in ("diag", "spherical")

    def _model(self) -> Model:
        return DIAGONAL if self._diagonal() else MIXTURE

    def _prior(self) -> Any:
        if self.prior is None or not self._diagonal():
            return self.prior
        return mixture_diagonal.Prior(self.prior)

    def _m_step(self, statistics: Any) -> Any:
        return self._model().m_step(statistics, prior=self._prior(), **self._options())

    def _options(self) -> dict[str, Any]:
        return {"covariance_type": self.covariance_type, "reg_covar": self.reg_covar}

    def _climb(
        self, start: Parameters, x: Floats, weights: Floats | None, mass: float, warm: bool
    ) -> PointFit:
        report = self._report if self.verbose else None
        fit = em.fit_admitted(
            self._model(),
            start,
            x,
            weights=weights,
            max_iter=self.max_iter,
            tol=-1,
            prior=self._prior(),
            accelerate=self.accelerate,
            options=self._options(),
            watch=_Watch(self.tol, self.max_iter, report, mass, small=warm),
            keep_path=False,
        )
        if not len(_climbed(fit)):
            raise DegenerateError(fit.message)  # the start itself has no likelihood
        return fit

    def _report(self, iteration: int, value: float, gain: float) -> None:
        if iteration % self.verbose_interval == 0:
            print(f"  Iteration {iteration}: {value:.8f} ({gain:+.3g})")

    def _parameters(self) -> Mixture:
        """Return the fitted parameters as the model's record."""
        weights, means, covariances = (
            records.floats(getattr(self, name), name)
            for name in ("weights_", "means_", "covariances_")
        )
        if not (np.isfinite(means).all() and np.isfinite(covariances).all()):
            raise ValueError("means_ and covariances_ must be finite, and are not")
        shape = means.shape if means.ndim == 2 else (len(weights), self.n_features_in_)
        expected = {"weights_": shape[:1], "means_": shape}
        expected["covariances_"] = _shape_of(self.covariance_type, *shape)
        for name, array in zip(expected, (weights, means, covariances)):
            if array.shape != expected[name]:
                raise ValueError(f"{name} has shape {array.shape}; expected {expected[name]}")
        if self.covariance_type in ("diag", "spherical") and covariances.min() <= 0:
            raise ValueError(f"covariances_ must be positive, but has {covariances.min():g}")
        weights = records.normalised(weights, "weights_")
        return self._record(weights, means, _of_model(covariances, self.covariance_type, shape))

    def _record(self, weights: Floats, means: Floats, covariances: Floats) -> Mixture:
        if self._diagonal():
            return mixture_diagonal.Parameters(weights, means, covariances)
        return gaussian_mixture.Parameters(weights, means, covariances)

    def _keep(self, parameters: Any) -> None:
        """Set the attributes that hold parameters."""
        kind = self.covariance_type
        weights, means, covariances = parameters.arrays().values()
        self.weights_ = weights.copy()
        self.means_ = means.copy()
        self.covariances_ = _of_type(covariances, kind)
        if kind in ("full", "tied"):
            L = np.linalg.cholesky(self.covariances_)
            self.precisions_cholesky_ = np.linalg.inv(L).mT.copy()
            self.precisions_ = self.precisions_cholesky_ @ self.precisions_cholesky_.mT
        else:
            self.precisions_cholesky_ = 1 / np.sqrt(self.covariances_)
            self.precisions_ = self.precisions_cholesky_**2

    def _start(self, x: Floats, weights: Floats | None, rng: np.random.RandomState) -> Mixture:
        """Return the parameters to start from; scikit-learn's from the same random state."""
        K, D = self.n_components, x.shape[1]
        if len(x) < K:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {K}, "
                f"n_samples = {len(x)}"
            )
        given = self._given(D)
        if len(given) == 3:
            return self._record(**given)

        filled = x
        if np.isnan(x).any():
            for d in np.flatnonzero(np.isnan(x).all(axis=0)):
                raise ValueError(f"column {d} of X is NaN throughout: leave it out")
            filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
        r = self._responsibilities(filled, weights, rng)  # (N, K)
        if weights is not None:
            r = r * weights[:, None]
        counts = r.sum(axis=0)
        first = {"weights": counts / counts.sum(), "means": r.T @ filled / counts[:, None]}
        if "covariances" not in given:
            *_, first["covariances"] = self._spread(x, filled, r, first["means"]).arrays().values()
        return self._record(**(first | given))

    def _spread(self, x: Floats, filled: Floats, r: Floats, means: Floats) -> Any:
        """Return the parameters of an M-step about these means, with these responsibilities."""
        variances = filled.var(axis=0)
        variances = np.where(variances > 0, variances, 1)
        if self._diagonal():
            around = np.broadcast_to(variances, means.shape)
            return self._m_step(mixture_diagonal.moments(r, x, means, around))
        # One E-step per component, with its responsibilities as weights.
        parts = [
            gaussian_mixture.e_step(
                gaussian_mixture.Parameters(np.ones(1), mean[None], np.diag(variances)[None]),
                x,
                r[:, k],
            )[0].arrays()
            for k, mean in enumerate(means)
        ]
        statistics = gaussian_mixture.Statistics(
            **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )
        return self._m_step(statistics)

    def _given(self, D: int) -> dict[str, Floats]:
        """Return what the user gave to start from, checked."""
        K, kind = self.n_components, self.covariance_type
        given = {}
        if self.weights_init is not None:
            weights = _shaped("weights", self.weights_init, (K,))
            if np.any((weights < 0) | (weights > 1)):
                raise ValueError(
                    "The parameter 'weights' should be in the range [0, 1], but got max value "
                    f"{weights.max():.5f}, min value {weights.min():.5f}"
                )
            if abs(weights.sum() - 1) > 1e-6:
                raise ValueError(
                    "The parameter 'weights' should be normalized, but got sum(weights) = "
                    f"{weights.sum():.5f}: divide weights_init by its sum"
                )
            given["weights"] = records.normalised(weights, "weights_init")
        if self.means_init is not None:
            given["means"] = _shaped("means", self.means_init, (K, D))
        if self.precisions_init is not None:
            shape = _shape_of(kind, K, D)
            precisions = _shaped(f"{kind} precision", self.precisions_init, shape)
            if kind in ("diag", "spherical"):
                if np.any(precisions <= 0):
                    raise ValueError(
                        f"'{kind} precision' should be positive, but precisions_init has the "
                        f"value {precisions.min():g}"
                    )
                covariances = 1 / precisions
            else:
                try:
                    np.linalg.cholesky(precisions)
                    symmetric = np.abs(precisions - precisions.mT).max() <= 1e-8 * precisions.max()
                except np.linalg.LinAlgError:
                    symmetric = False
                if not symmetric:
                    raise ValueError(
                        f"'{kind} precision' should be symmetric, positive-definite, but "
                        "precisions_init is not"
                    )
                covariances = np.linalg.inv(precisions)
                covariances = (covariances + covariances.mT) / 2
            given["covariances"] = _of_model(covariances, kind, (K, D))
        return given

    def _responsibilities(
        self, x: Floats, weights: Floats | None, rng: np.random.RandomState
    ) -> Floats:
        """Return responsibilities to start from, shape (N, K)."""
        N, K = len(x), self.n_components
        if self.init_params == "random":
            r: Floats = rng.uniform(size=(N, K))
            return r / r.sum(axis=1, keepdims=True)
        r = np.zeros((N, K))
        if self.init_params == "kmeans":
            means = KMeans(K, n_init=1, random_state=rng)
            labels = means.fit(x, sample_weight=weights).labels_
            for k in range(K):  # a cluster that stayed empty takes a row from the largest
                if not np.any(labels == k):
                    labels[np.flatnonzero(labels == np.bincount(labels).argmax())[0]] = k
            r[np.arange(N), labels] = 1
        elif self.init_params == "k-means++":
            _, rows = kmeans_plusplus(x, K, sample_weight=weights, random_state=rng)
            r[rows, np.arange(K)] = 1
        else:
            r[rng.choice(N, size=K, replace=False), np.arange(K)] = 1
        return r


def _numbers(X: Any) -> Any:
    """Return anything but complex arrays as an array of numbers, or say what is none.

    Of arrays this is a TypeError, as in scikit-learn.
    """
    try:
        array = records.plain(X, "X")
        return array if array.dtype.kind in "biuf" else records.floats(array, "X")
    except ValueError as error:
        if isinstance(X, np.ndarray):
            if np.iscomplexobj(X):
                return X
            raise TypeError(f"{error}; every argument must be a string or a number") from None
        raise


def _shaped(name: str, given: Any, shape: tuple[int, ...]) -> Floats:
    array = records.finite_floats(given, name)
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}"
        )
    return array


def _shape_of(kind: str, K: int, D: int) -> tuple[int, ...]:
    """Return the shape of covariances and precisions of a kind."""
    _one_of("covariance_type", kind, COVARIANCE_TYPES)
    return {"full": (K, D, D), "tied": (D, D), "diag": (K, D), "spherical": (K,)}[kind]


def _of_model(covariances: ArrayLike, kind: str, shape: tuple[int, ...]) -> Floats:
    """Return covariances of a type as its model has them, for means of shape (K, D)."""
    array = np.asarray(covariances, dtype=np.float64)
    if kind == "full":
        return array
    if kind == "tied":
        shape = (*shape, shape[1])
    elif kind == "spherical":
        array = array[:, None]
    result: Floats = np.broadcast_to(array, shape)
    return result


def _of_type(covariances: Floats, kind: str) -> Floats:
    """Return covariances as a model has them in the shape of their type."""
    if kind == "tied":
        return np.array(covariances[0])
    return np.array(covariances[:, 0] if kind == "spherical" else covariances)


def _chunks(source: Any) -> Iterator[Any]:
    """Yield pieces of shape (n, D) of an array, of the file at a path, or of an iterable."""
    if isinstance(source, str | os.PathLike):
        source = _opened(os.fspath(source))
    elif _is_list_of_rows(source):
        source = records.plain(source, "X")
    if hasattr(source, "shape"):
        source = chunks.rows(source)()
    if not isinstance(source, Iterable):
        raise TypeError(f"X is of type {type(source).__name__}; give an array, a path or chunks")
    yield from source


def _is_list_of_rows(source: Any) -> bool:
    """Return whether this is one chunk in nested lists, and no list of chunks."""
    if not isinstance(source, Sequence) or not len(source):
        return False
    return records.plain(source[0], "a chunk").ndim < 2


def _opened(path: str) -> Any:
    """Return a file as a memory-mapped array, or as an iterator over its chunks."""
    if not os.path.exists(path):
        raise ValueError(f"there is no file {path!r}; X is an array, a path or chunks")
    if path.endswith(".npy"):
        return np.load(path, mmap_mode="r")
    try:
        from pyarrow import dataset
    except ImportError as error:
        raise ImportError(f"reading {path} needs pyarrow: install it, or give arrays") from error
    form = "parquet" if path.endswith((".parquet", ".pq")) else "ipc"
    table = dataset.dataset(path, format=form)
    read = partial(table.to_batches, batch_size=chunks.ROWS, batch_readahead=1)
    return filter(len, chunks.tables(read, table.schema.names)())


@dataclass
class Monitor:
    """How the fit of a hidden Markov model went; hmmlearn's `ConvergenceMonitor`, to read.

    Attributes
    ----------
    tol, n_iter, verbose
        The settings.
    history : list of float
        The log-likelihood (with priors: plus their log-density) after each iteration.
        hmmlearn's is that before each M-step.
    iter : int
        Iterations done.
    converged : bool
        Whether the last iteration raised it by less than `tol`. hmmlearn's is also true at the
        limit of iterations and after a fall.
    """

    tol: float
    n_iter: int
    verbose: bool
    history: list[float] = field(default_factory=list)
    iter: int = 0
    converged: bool = False


class CategoricalHMM(BaseEstimator):  # type: ignore[misc]
    """Hidden Markov model with categorical emissions, with hmmlearn's interface.

    Data are symbols 0 .. V-1 in an array of shape (T, 1) or (T,), and the `lengths` of the
    sequences in it.

    Parameters
    ----------
    n_components : int, default=1
        Hidden states.
    startprob_prior, transmat_prior, emissionprob_prior : float or ndarray, default=1
        Dirichlet parameters, 1 or above; 1 is flat. A zero in `startprob_` or `transmat_` that
        a fit starts from stays zero.
    n_features : int, optional
        The number V of symbols; otherwise one more than the largest in the data, and kept.
        Give it if later data may have symbols that the training data do not.
    algorithm : {'viterbi', 'map'}, default='viterbi'
    random_state : int, RandomState or None
        Unlike in hmmlearn it stays what was given.
    n_iter : int, default=10
    tol : float, default=1e-2
        EM stops when an iteration raises the log-likelihood by less.
    verbose : bool, default=False
    params, init_params : str, default='ste'
        Which of startprob, transmat and emissionprob are fitted, and drawn to start from.
    implementation : {'log', 'scaling'}, default='log'
        Taken for compatibility: both are the same scaled recursion here, which neither
        underflows nor takes logarithms.
    n_init : int, default=1
        Starts; the best fit is kept. The first is hmmlearn's from the same random state.
    missing : bool, default=False
        Whether the symbol -1, or a masked entry of a masked array, was not seen: it
        contributes no emission.
    accelerate : bool, default=False
        Whether every third iteration leaps ahead where that raises the likelihood, as in
        `lockstep.models.em`: the same optimum in fewer iterations, which are then not hmmlearn's.

    Attributes
    ----------
    startprob_ : ndarray, shape (K,)
    transmat_ : ndarray, shape (K, K)
    emissionprob_ : ndarray, shape (K, V)
    monitor_ : Monitor
    status_, message_ : str
        How the fit ended; see `GaussianMixture`.
    hit_rate_ : float
        Share of the starts that ended within `tol` of the best.
    """

    startprob_: Floats
    transmat_: Floats
    emissionprob_: Floats

    def __init__(
        self,
        n_components: int = 1,
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        *,
        emissionprob_prior: Any = 1.0,
        n_features: int | None = None,
        algorithm: str = "viterbi",
        random_state: Any = None,
        n_iter: int = 10,
        tol: float = 1e-2,
        verbose: bool = False,
        params: str = "ste",
        init_params: str = "ste",
        implementation: str = "log",
        n_init: int = 1,
        missing: bool = False,
        accelerate: bool = False,
    ) -> None:
        self.n_components = n_components
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.emissionprob_prior = emissionprob_prior
        self.n_features = n_features
        self.algorithm = algorithm
        self.random_state = random_state
        self.n_iter = n_iter
        self.tol = tol
        self.verbose = verbose
        self.params = params
        self.init_params = init_params
        self.implementation = implementation
        self.n_init = n_init
        self.missing = missing
        self.accelerate = accelerate

    def fit(self, X: Any, lengths: Any = None, sample_weight: Any = None) -> Self:
        """Fit by EM (Baum and Welch) from `n_init` starts and keep the best.

        Parameters
        ----------
        X : array_like of int, shape (T, 1) or (T,)
            The sequences, one after the other.
        lengths : array_like of int, optional
            Their lengths; one sequence if not given. A length of 1 is a sequence too: it says
            nothing of transitions.
        sample_weight : array_like, one per sequence, optional
            How often each counts.
        """
        self._check_settings()
        sequences = self._sequences(X, lengths)
        weights = _weights(sample_weight, len(sequences), "sequences")
        streams = _random(self.random_state), _random(self.random_state)
        given = self._given()
        fits = []
        for _ in range(self.n_init):
            self._draw(streams, given)
            start = self._check()
            fits.append(
                em.fit_admitted(
                    HMM,
                    start,
                    sequences,
                    weights=weights,
                    max_iter=self.n_iter,
                    tol=-1,
                    prior=self._prior(start),
                    accelerate=self.accelerate,
                    update=self._update if self._holds(start) else None,
                    watch=_Watch(self.tol, self.n_iter, self._report if self.verbose else None),
                    keep_path=False,
                )
            )
        best, self.hit_rate_ = _best(fits, max(self.tol, em.SAME_OPTIMUM))
        for letter, values in zip(ATTRIBUTES, best.parameters.arrays().values(), strict=True):
            setattr(self, ATTRIBUTES[letter], values.copy())
        self.status_, self.message_ = str(best.status), best.message
        self.monitor_ = Monitor(
            self.tol,
            self.n_iter,
            self.verbose,
            history=_climbed(best)[1:].tolist(),
            iter=best.iterations,
            converged=best.status is Status.CONVERGED,
        )
        return self

    def score(self, X: Any, lengths: Any = None, sample_weight: Any = None) -> float:
        """Return the log-likelihood in nats; minus infinity if X is impossible.

        Parameters
        ----------
        X, lengths, sample_weight
            As for `fit`.
        """
        parameters, joined = self._fitted(), self._joined(X, lengths)
        weights = _weights(sample_weight, len(joined[1]) - 1, "sequences")
        return float(_weighted(compiled.log_likelihoods(parameters, *joined), weights).sum())

    def score_samples(
        self, X: Any, lengths: Any = None, sample_weight: Any = None
    ) -> tuple[float, Floats]:
        """Return the log-likelihood, and the probability of each state at each step.

        Parameters
        ----------
        X, lengths, sample_weight
            As for `fit`; weights are those of the log-likelihood.

        Returns
        -------
        log_prob : float
        posteriors : ndarray, shape (T, K)

        Raises
        ------
        ValueError
            If a sequence is impossible: then there are no such probabilities.
        """
        parameters, joined = self._fitted(), self._joined(X, lengths)
        weights = _weights(sample_weight, len(joined[1]) - 1, "sequences")
        values, posteriors = compiled.smoothed(parameters, *joined)
        if -np.inf in values:
            _refuse_impossible(parameters, categorical_hmm.split(*joined))
        return float(_weighted(values, weights).sum()), posteriors

    def predict_proba(self, X: Any, lengths: Any = None) -> Floats:
        """Return the probability of each state at each step, shape (T, K)."""
        return self.score_samples(X, lengths)[1]

    def decode(
        self, X: Any, lengths: Any = None, algorithm: str | None = None
    ) -> tuple[float, Integers]:
        """Return a path of hidden states and its log-probability.

        Parameters
        ----------
        X, lengths
            As for `fit`.
        algorithm : {'viterbi', 'map'}, optional
            The most probable path, or the most probable state at each step; by default the
            estimator's own.

        Returns
        -------
        log_prob : float
            ``log p(path, X)``, for both. For 'map' hmmlearn returns the sum of the largest
            probabilities instead. It may be minus infinity: the states that are each most
            probable need not follow one another.
        state_sequence : ndarray of int, shape (T,)

        Raises
        ------
        ValueError
            If a sequence is impossible: then no path is more probable than another.
        """
        algorithm = self.algorithm if algorithm is None else algorithm
        _one_of("algorithm", algorithm, ("viterbi", "map"))
        parameters, (symbols, offsets) = self._fitted(), self._joined(X, lengths)
        if algorithm == "map":
            path: Integers = self.predict_proba(X, lengths).argmax(axis=1)
        else:
            path = compiled.viterbi(parameters, symbols, offsets)
        log_prob = categorical_hmm.log_joint(parameters, path, symbols, offsets[:-1])
        if log_prob == -np.inf:
            _refuse_impossible(parameters, categorical_hmm.split(symbols, offsets))
        return log_prob, path

    def predict(self, X: Any, lengths: Any = None) -> Integers:
        """Return the path of `decode`, shape (T,)."""
        return self.decode(X, lengths)[1]

    def sample(
        self, n_samples: int = 1, random_state: Any = None, currstate: int | None = None
    ) -> tuple[Integers, Integers]:
        """Draw one sequence; hmmlearn's from the same random state.

        Parameters
        ----------
        n_samples : int
        random_state : int, RandomState or None
            By default the estimator's own.
        currstate : int, optional
            The state of the first step.

        Returns
        -------
        X : ndarray of int, shape (n_samples, 1)
        state_sequence : ndarray of int, shape (n_samples,)
        """
        parameters = self._fitted()
        records.refuse_no_count("n_samples", n_samples)
        if currstate is not None:
            records.refuse_no_count("currstate", currstate, 0)
            if currstate >= self.n_components:
                raise ValueError(f"currstate={currstate}; states are 0 .. {self.n_components - 1}")
        rng = _random(self.random_state if random_state is None else random_state)
        transitions = np.cumsum(parameters.transmat, axis=1)
        emissions = np.cumsum(parameters.emissionprob, axis=1)
        states = np.empty(n_samples, dtype=np.int64)
        symbols = np.empty(n_samples, dtype=np.int64)
        for t in range(n_samples):
            if t == 0 and currstate is not None:
                states[t] = currstate
            else:
                row = transitions[states[t - 1]] if t else np.cumsum(parameters.startprob)
                states[t] = (row > rng.rand()).argmax()
            symbols[t] = (emissions[states[t]] > rng.rand()).argmax()
        return symbols[:, None], states

    def aic(self, X: Any, lengths: Any = None, sample_weight: Any = None) -> float:
        """Return Akaike's criterion on X, sequences weighted as in `fit`: the lower the better."""
        n_free = self._fitted().n_free
        return 2 * n_free - 2 * self.score(X, lengths, sample_weight)

    def bic(self, X: Any, lengths: Any = None, sample_weight: Any = None) -> float:
        """Return the Bayesian information criterion on X: the lower the better.

        Observations are the steps, each counted as often as its sequence.
        """
        n_free = self._fitted().n_free
        steps = np.array([len(symbols) for symbols in self._sequences(X, lengths)])
        mass = _weighted(steps, _weights(sample_weight, len(steps), "sequences")).sum()
        return float(n_free * np.log(mass) - 2 * self.score(X, lengths, sample_weight))

    def get_stationary_distribution(self) -> Floats:
        """Return the probabilities p of the states that the transitions keep, ``p A = p``.

        Where several do, the one of least norm.
        """
        A = self._fitted().transmat
        K = len(A)
        equations = np.vstack([A.T - np.eye(K), np.ones(K)])
        return np.asarray(np.linalg.lstsq(equations, np.append(np.zeros(K), 1))[0])

    def _check_settings(self) -> None:
        for name, least in (("n_components", 1), ("n_iter", 0), ("n_init", 1)):
            records.refuse_no_count(name, getattr(self, name), least)
        if self.n_features is not None:
            records.refuse_no_count("n_features", self.n_features, 1)
        _one_of("algorithm", self.algorithm, ("viterbi", "map"))
        _one_of("implementation", self.implementation, ("log", "scaling"))
        records.refuse_large(self.n_components, self.n_features or 1)
        if not records.is_between(self.tol, -np.inf, np.inf):
            raise ValueError(f"tol={self.tol!r}; it must be a number")
        for name in ("params", "init_params"):
            letters = getattr(self, name)
            if not isinstance(letters, str) or set(letters) - set(ATTRIBUTES):
                raise ValueError(
                    f"{name}={letters!r}; it must be made of the letters 's' (startprob), 't' "
                    "(transmat) and 'e' (emissionprob)"
                )
        for name in ("verbose", "missing", "accelerate"):
            _yes_or_no(name, getattr(self, name))

    def _sequences(self, X: Any, lengths: Any) -> Sequences:
        """Return the data as the model takes them; the first data set n_features."""
        return categorical_hmm.split(*self._joined(X, lengths))

    def _joined(self, X: Any, lengths: Any) -> tuple[Integers, Integers]:
        """Return the symbols of all sequences, and where each begins, and the end."""
        X = records.plain(X, "X")
        if self.missing and X.dtype.kind == "f":  # so pandas holds integers with a hole
            filled = np.where(np.isnan(X), categorical_hmm.MASKED, X)
            if np.all((np.abs(filled) < 2**53) & (filled == np.rint(filled))):
                X = filled.astype(np.int64)
        if X.ndim > 2 or X.ndim == 0 or X.size != len(X) or not X.size:
            raise ValueError(
                f"X has shape {X.shape}; symbols need shape (T, 1) or (T,) with T >= 1: sequences "
                "go one after the other, and their lengths into lengths"
            )
        symbols = X.reshape(-1)
        given = "e" not in self.init_params and hasattr(self, "emissionprob_")
        if self.n_features is None and given:
            self.n_features = records.floats(self.emissionprob_, "emissionprob_").shape[-1]
        self._check_and_set_n_features(symbols)
        if lengths is None:
            lengths = [len(symbols)]
        parts = records.plain(lengths, "lengths")
        if parts.ndim != 1 or not np.issubdtype(parts.dtype, np.integer) or np.any(parts < 1):
            raise ValueError(f"lengths={lengths!r}; they must be integers of at least 1")
        if parts.sum() != len(symbols):
            raise ValueError(
                f"lengths sum to {parts.sum()}, but X has {len(symbols)} steps: the lengths must "
                "add up to it"
            )
        return symbols.astype(np.int64), np.append(0, np.cumsum(parts, dtype=np.int64))

    def _check_and_set_n_features(self, X: Any) -> None:
        """Refuse what is no symbol; take the number of symbols from the data if not known."""
        if not np.issubdtype(X.dtype, np.integer):
            raise ValueError(
                f"Symbols should be integers, but X holds {X.dtype}: X.astype(int), or number "
                "them with sklearn.preprocessing.LabelEncoder"
            )
        if X.min() < -self.missing:
            mend = "" if self.missing else "; missing=True takes -1 for a symbol not seen"
            raise ValueError(f"Symbols should be nonnegative, but X has {X.min()}{mend}")
        if self.n_features is None:
            if X.max() < 0:
                raise ValueError("every symbol is missing: give n_features")
            records.refuse_large(self.n_components, int(X.max()) + 1)
            self.n_features = int(X.max()) + 1
        if X.max() >= self.n_features:
            raise ValueError(
                f"Largest symbol is {X.max()} but the model only emits symbols up to "
                f"{self.n_features - 1}: give n_features={int(X.max()) + 1} and fit again"
            )

    def _check(self) -> categorical_hmm.Parameters:
        """Return the attributes as the model's record, or say what is wrong with them."""
        K = self.n_components
        if self.n_features is None:
            self.n_features = records.floats(self.emissionprob_, "emissionprob_").shape[-1]
        shapes = {"s": (K,), "t": (K, K), "e": (K, self.n_features)}
        for letter, name in ATTRIBUTES.items():
            values = records.floats(getattr(self, name), name)
            if values.shape != shapes[letter]:
                raise ValueError(f"{name} has shape {values.shape}; expected {shapes[letter]}")
            setattr(self, name, records.normalised(values, name))
        return categorical_hmm.Parameters(self.startprob_, self.transmat_, self.emissionprob_)

    def _fitted(self) -> categorical_hmm.Parameters:
        check_is_fitted(self, list(ATTRIBUTES.values()))
        self._check_settings()
        return self._check()

    def _init(self, X: Any, lengths: Any = None) -> None:
        """Set the attributes to what a fit would start from."""
        self._sequences(X, lengths)
        streams = _random(self.random_state), _random(self.random_state)
        self._draw(streams, self._given())

    def _given(self) -> dict[str, Floats]:
        """Return the parameters to start from that are there and are not to be drawn."""
        given = {}
        for letter, name in ATTRIBUTES.items():
            if hasattr(self, name) and letter not in self.init_params:
                given[letter] = getattr(self, name)
            elif hasattr(self, name) and not hasattr(self, "monitor_"):
                warnings.warn(
                    f"{name} was set, but is drawn anew: leave {letter!r} out of init_params to "
                    "start from it",
                    stacklevel=3,
                )
        return given

    def _draw(
        self,
        streams: tuple[np.random.RandomState, np.random.RandomState],
        given: dict[str, Floats],
    ) -> None:
        """Draw the parameters that are not given.

        hmmlearn seeds the emissions anew, so they have a stream of their own.
        """
        assert self.n_features is not None
        K, (stream, emissions) = self.n_components, streams
        flat = np.full(K, 1 / K)
        for letter, name in ATTRIBUTES.items():
            if letter in given:
                setattr(self, name, given[letter])
            elif letter == "e":
                self.emissionprob_ = emissions.rand(K, self.n_features)
                self.emissionprob_ /= self.emissionprob_.sum(axis=1, keepdims=True)
            else:
                setattr(self, name, stream.dirichlet(flat, size=None if letter == "s" else K))

    def _prior(self, start: categorical_hmm.Parameters) -> categorical_hmm.Prior | None:
        """Return the Dirichlet priors; a structural zero of the start gets no mass."""
        prior = categorical_hmm.Prior(
            self.startprob_prior, self.transmat_prior, self.emissionprob_prior
        )
        prior.refuse_misfit(start)
        given = prior.arrays().values()
        if all(np.all(concentration == 1) for concentration in given):
            return None
        (s, t, e), (of_s, of_t, of_e) = start.arrays().values(), given
        return categorical_hmm.Prior(
            np.where(s > 0, of_s, 1), np.where(t > 0, of_t, 1), np.broadcast_to(of_e, e.shape)
        )

    def _holds(self, start: categorical_hmm.Parameters) -> bool:
        """Return whether anything of the start is to be held fixed: a parameter, or a zero."""
        zeros = any(np.any(p == 0) for p in (start.startprob, start.transmat))
        return zeros or not set(self.params) >= set(ATTRIBUTES)

    def _update(
        self, old: categorical_hmm.Parameters, new: categorical_hmm.Parameters
    ) -> categorical_hmm.Parameters:
        """Return the new values of what is to be fitted, zeros of start and transitions kept."""
        kept = old.arrays()
        for letter, name in zip(ATTRIBUTES, kept):
            if letter in self.params:
                values = getattr(new, name)
                if letter != "e":
                    values = np.where(kept[name] > 0, values, 0)
                    values = values / values.sum(axis=-1, keepdims=True)
                kept[name] = values
        return categorical_hmm.Parameters(**kept)

    def _report(self, iteration: int, value: float, gain: float) -> None:
        print(f"{iteration:>10d} {value:>16.8f} {gain:>+16.8f}", file=sys.stderr)


def _refuse_impossible(parameters: categorical_hmm.Parameters, sequences: Sequences) -> None:
    """Raise ValueError that names the first sequence of probability zero, its step and symbol."""
    for n, symbols in enumerate(sequences):
        scales = categorical_hmm.forward(parameters, symbols)[1]
        categorical_hmm.refuse_impossible(symbols, scales, n)


ATTRIBUTES = {"s": "startprob_", "t": "transmat_", "e": "emissionprob_"}
"""hmmlearn's letters for the parameters, in the order of the model's record."""
