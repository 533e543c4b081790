"""The EM iteration, one loop for every model.

``parameters -> e_step -> m_step -> parameters`` never lowers the log-likelihood (Dempster, Laird
and Rubin 1977, theorem 1); a fall beyond rounding is therefore reported as a status of its own.
With a prior the same holds of the log-likelihood plus the prior's log-density.

The expected statistics of parts of the data add up to the whole's, so the data may come in
chunks, each seen once an iteration and then forgotten.

References
----------
.. [1] Varadhan and Roland (2008), Simple and globally convergent methods for accelerating the
   convergence of any EM algorithm, Scand. J. Statistics 35, 335-353: SQUAREM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from types import MappingProxyType
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from lockstep.models import Data, Model, kernels, simplex
from lockstep.models.admission import (
    admitted,
    admitted_data,
    admitted_parameters,
    not_observed,
    refuse_misfit,
    refuse_no_generator,
)
from lockstep.models.fits import PointFit, Status
from lockstep.models.records import (
    DegenerateError,
    Floats,
    Parameters,
    Statistics,
    checked_weights,
    refuse_extreme,
    refuse_no_count,
)

TOLERANCE = 1e-9
"""Stop when no parameter moved by more than this, in units that the model has no scale in.
A tolerance on the log-likelihood would be blind sooner: near the optimum it is flat, and a step
that moves a parameter by 1e-7 of its standard error changes it by 1e-14."""

ROUNDING = 1e-10
"""A fall of the log-likelihood by more than this share of its size, or of a nat, is not
rounding."""

STILL = 1e-14
"""A gain of no more than this share of the log-likelihood, or of a nat, is none: a fit that gains
nothing and moves by no more than rounding moves it has come as near as the data can say."""

MAX_ITER = 10_000
"""Iterations at the most, unless a caller says otherwise."""

STRETCH, LONGEST = 32, 1024
"""Iterations that the kernels do in a row, at first and at the most: a fit that a caller's `watch`
ends leaves the rest of its last stretch undone."""

MOST_IN_A_ROW = 10_000_000
"""Numbers in the parameters of one stretch, all of which it returns."""

SAME_OPTIMUM = 1e-4
"""Starts whose final log-likelihoods are within this many nats reached the same optimum."""

type Expect = Callable[[Parameters], tuple[Statistics, float]]
type Update = Callable[[Any, Any], Parameters]
type Watch = Callable[[int, float, float], tuple[Status, str] | None]


class Settings(TypedDict, total=False):
    """How to iterate.

    Attributes
    ----------
    max_iter : int
        Iterations at the most.
    tol : float
        Converged when the model's `change` over an iteration is at most this, or is rounding
        and raised nothing; a negative tolerance never stops.
    prior : the model's Prior, or None
        Then its log-density is climbed as well.
    accelerate : bool
        Whether every third iteration leaps ahead (SQUAREM, [1]_).
    options : mapping
        Further arguments of the model's `m_step`. With a ridge (`reg_covar`) the objective may
        fall, and is not watched.
    update : callable
        ``(old, new) -> parameters``: what becomes of the parameters that a step proposes, for
        one who holds some of the old ones fixed.
    watch : callable
        ``(iteration, objective, gain) -> None``, or the status and message that end the fit. A
        fall that is no ridge's ends it in any case.
    keep_path : bool
        Whether the fit keeps the parameters after each iteration.
    """

    max_iter: int
    tol: float
    prior: Any
    accelerate: bool
    options: Mapping[str, Any]
    update: Update | None
    watch: Watch
    keep_path: bool


def fit(
    model: Model,
    start: Parameters,
    data: Data,
    *,
    weights: Floats | None = None,
    **settings: Unpack[Settings],
) -> PointFit:
    """Iterate EM from one start.

    Parameters
    ----------
    model : Model
    start : Parameters
        Probabilities may be rounded: sums within 1e-5 of 1 are divided out.
    data : Data
        Whatever the model's `check_data` takes; NaN, or in a sequence -1, is a value that was not
        observed, and the fit's message counts them.
    weights : ndarray, optional
        How often each observation (for the HMM each sequence) counts.
    **settings
        As in `Settings`.

    Returns
    -------
    PointFit
        Its `trace` has the log-likelihood after 0, 1, ... iterations.

    Raises
    ------
    TypeError, ValueError
        If start, data, weights or settings are not sound or do not fit one another, or a
        sequence is impossible at the start.
    """
    start, data, weights = admitted(model, start, data, weights)
    refuse_misfit(model, start, settings)
    fit = fit_admitted(model, start, data, weights=weights, **settings)
    if number := not_observed(data):
        ending = f"; {number} values were not observed, and are summed out"
        fit = replace(fit, message=fit.message + ending)
    return fit


def fit_admitted(
    model: Model,
    start: Parameters,
    data: Data,
    *,
    weights: Floats | None = None,
    **settings: Unpack[Settings],
) -> PointFit:
    """Iterate EM as `fit` does, for a caller that has checked what it gives (see `admitted`)."""
    return _climb(model, start, kernels.Expectation(model, data, weights), **settings)


def fit_chunks(
    model: Model,
    start: Parameters,
    chunks: Callable[[], Iterable[Any]],
    *,
    weights: Callable[[], Iterable[Any]] | None = None,
    missing: bool = False,
    **settings: Unpack[Settings],
) -> PointFit:
    """Iterate EM over data that come in chunks: one pass over all of them is one iteration.

    This is the same EM as `fit`, to rounding, with one chunk in memory at a time.

    Parameters
    ----------
    model : Model
    start : Parameters
    chunks : callable
        Returns a fresh iterable of chunks at each call, such as those of `lockstep.models.chunks`.
    weights : callable, optional
        Returns, at each call, the weights of each chunk.
    missing : bool, optional
        Whether values may be missing, as for the model's `check_data`.
    **settings
        As in `Settings`.

    Returns
    -------
    PointFit
    """
    start = admitted_parameters(model, start)
    refuse_misfit(model, start, settings)
    for name, function in (("chunks", chunks), ("weights", weights)):
        if not callable(function) and (name == "chunks" or function is not None):
            raise TypeError(f"{name} must be a function that returns a fresh iterable, and is none")
    e_step, dims = kernels.e_step(model), start.dims

    def expect(parameters: Parameters) -> tuple[Statistics, float]:
        total: Statistics | None = None
        log_likelihood, largest = 0.0, 0.0
        for data, w in _pairs(chunks(), None if weights is None else weights()):
            data = model.check_chunk(data, dims, missing=missing)
            if w is not None:
                w = checked_weights(w, len(data))
                largest = max(largest, w.max(initial=0.0))
            statistics, of_chunk = e_step(parameters, data, w)
            total = statistics if total is None else total + statistics
            log_likelihood += of_chunk
        if total is None:
            raise ValueError(
                "there are no chunks: each call must return a fresh iterable, "
                "as 'lambda: iter(parts)' does and 'lambda: generator' does not"
            )
        if weights is not None:
            refuse_extreme(np.array([largest]), "weights")
        return total, log_likelihood

    return _climb(model, start, expect, **settings)


def _pairs(chunks: Iterable[Any], weights: Iterable[Any] | None) -> Iterator[tuple[Any, Any]]:
    """Yield each chunk with its weights, or None."""
    if weights is None:
        yield from ((chunk, None) for chunk in chunks)
        return
    rest = iter(weights)
    for chunk in chunks:
        for w in rest:
            yield chunk, w
            break
        else:
            raise ValueError("there are weights for fewer chunks than there are")
    for _ in rest:
        raise ValueError("there are weights for more chunks than there are")


@dataclass(frozen=True)
class _Point:
    """Parameters with what one E-step says of them."""

    parameters: Parameters
    statistics: Statistics
    log_likelihood: float
    objective: float


type Visit = Callable[[Parameters], _Point]
type Ending = tuple[Status, str] | None
type Judge = Callable[[int, float, float, float, Callable[[], float]], Ending]


class _Trail:
    """The way of a fit so far: parameters, log-likelihood and objective after each iteration.

    Parameters
    ----------
    model : Model
    start : Parameters
    keep_path : bool
        Whether to keep all parameters, or only the last.
    judge : callable
        ``(iteration, objective, gain, change, rounding) -> Ending``; the last is a function.

    Attributes
    ----------
    last, before : Parameters
        The last; and, after `add`, those before.
    """

    def __init__(self, model: Model, start: Parameters, keep_path: bool, judge: Judge) -> None:
        self.before, self.last = start, start
        self.iterations = 0
        self.trace: list[float] = []
        self.objective: list[float] = []
        self.ended: Ending = None
        self._rounding = getattr(model, "rounding", lambda _: 0.0)
        self._keep_path, self._judge = keep_path, judge
        self._pieces = [tuple(array[None] for array in start.arrays().values())]

    def begin(self, log_likelihood: float, objective: float) -> None:
        """Note the values at the start."""
        if not self.trace:
            self.trace.append(log_likelihood)
            self.objective.append(objective)

    def add(self, point: _Point, change: float) -> None:
        """Go on to the point that one iteration led to."""
        self.before, self.last = self.last, point.parameters
        self.iterations += 1
        self.trace.append(point.log_likelihood)
        self.objective.append(point.objective)
        if self._keep_path:
            self._pieces.append(tuple(array[None] for array in self.last.arrays().values()))
        gain = self.objective[-1] - self.objective[-2]
        rounding = partial(self._rounding, self.before)
        self.ended = self._judge(self.iterations, point.objective, gain, change, rounding)

    def follow(self, stretch: kernels.Stretch) -> None:
        """Go through iterations in a row, up to one that ends the fit."""
        values, n = stretch.trace.tolist(), 0
        self.begin(values[0], values[0])
        rounding = cache(lambda: self._rounding(type(self.last)(*(a[-2] for a in stretch.path))))
        for change in stretch.changes.tolist():
            n += 1
            gain = values[n] - values[n - 1]
            self.ended = self._judge(self.iterations + n, values[n], gain, change, rounding)
            if self.ended is not None:
                break
        self.iterations += n
        self.last = type(self.last)(*(array[n] for array in stretch.path))
        self.trace += values[1 : n + 1]
        self.objective += values[1 : n + 1]
        if self._keep_path:
            self._pieces.append(tuple(array[1 : n + 1] for array in stretch.path))

    def path(self) -> Parameters | None:
        """Return the parameters after 0, 1, ... iterations, if they were kept."""
        if not self._keep_path:
            return None
        return type(self.last)(*(np.concatenate(arrays) for arrays in zip(*self._pieces)))


@dataclass(frozen=True)
class _End:
    """When a fit ends, and what is said of it: the judge of a `_Trail`."""

    tol: float
    watch: Watch
    monotone: bool
    climbed: str

    def __call__(
        self,
        iteration: int,
        objective: float,
        gain: float,
        change: float,
        rounding: Callable[[], float],
    ) -> Ending:
        size = max(1.0, abs(objective))
        still = change > self.tol and gain <= STILL * size and change <= rounding()
        ended = self.watch(iteration, objective, max(gain, 0.0) if still else gain)
        if self.monotone and gain < -ROUNDING * size and not still:
            message = f"the {self.climbed} fell by {-gain:.3g} at iteration {iteration}"
            return Status.LOG_LIKELIHOOD_FELL, message
        if ended is None and change <= self.tol:
            message = f"no parameter moved by more than {self.tol:g} at iteration {iteration}"
            return Status.CONVERGED, message
        if ended is None and still and self.tol >= 0:
            message = f"no parameter moved by more than rounding at iteration {iteration}"
            return Status.CONVERGED, message
        return ended


class _Strides:
    """Plain EM by the kernels, many iterations in a row, as far as they take it."""

    def __init__(
        self, climb: Any, start: Parameters, options: Mapping[str, Any], tol: float
    ) -> None:
        self._climb, self._options, self._tol = climb, options, tol
        numbers = sum(array.size for array in start.arrays().values())
        self._longest = min(LONGEST, max(1, MOST_IN_A_ROW // numbers))
        self._length = min(STRETCH, self._longest)

    def take(self, trail: _Trail, most: int) -> bool:
        """Go on by at most so many iterations, and return whether there was one."""
        if self._climb is None:
            return False
        stretch = self._climb(trail.last, self._options, min(self._length, most), self._tol)
        if stretch is None:  # nor will there be another
            self._climb = None
            return False
        if not len(stretch.changes):
            return False
        trail.follow(stretch)
        self._length = min(2 * self._length, self._longest)
        return True


def _climb(
    model: Model,
    start: Parameters,
    expect: Expect,
    *,
    max_iter: int = MAX_ITER,
    tol: float = TOLERANCE,
    prior: Any = None,
    accelerate: bool = False,
    options: Mapping[str, Any] = MappingProxyType({}),
    update: Update | None = None,
    watch: Watch = lambda *_: None,
    keep_path: bool = True,
) -> PointFit:
    penalty = {} if prior is None else {"prior": prior}
    m_step: Callable[[Any], Parameters] = partial(model.m_step, **penalty, **options)

    def visit(parameters: Parameters) -> _Point:
        statistics, log_likelihood = expect(parameters)
        density = 0.0 if prior is None else prior.log_density(parameters)
        return _Point(parameters, statistics, log_likelihood, log_likelihood + density)

    climbed = "log-likelihood" if prior is None else "penalised log-likelihood"
    end = _End(tol, watch, not options.get("reg_covar"), climbed)
    trail, leaper = _Trail(model, start, keep_path, end), _Leaper(start, update)
    plain = prior is None and not accelerate and update is None
    strides = _Strides(getattr(expect, "climb", None) if plain else None, start, options, tol)
    here: _Point | None = None
    try:
        while trail.ended is None and trail.iterations < max_iter:
            if strides.take(trail, max_iter - trail.iterations):
                here = None
                continue
            if here is None:
                here = visit(trail.last)
                trail.begin(here.log_likelihood, here.objective)
            new = m_step(here.statistics)
            if update is not None:
                new = update(here.parameters, new)
            leapt = None
            # An EM step, a step stretched into a leap, an EM step to settle: then again.
            if accelerate and trail.iterations % 3 == 1:
                leapt = leaper.leap(trail.before, here, new, visit)
            change = here.parameters.change(new)
            here = visit(new) if leapt is None else leapt
            trail.add(here, change)
        if not trail.trace:
            here = visit(start)
            trail.begin(here.log_likelihood, here.objective)
    except DegenerateError as error:
        trail.ended = Status.DEGENERATE, f"{error}, at iteration {trail.iterations + 1}"
    limit = Status.ITERATION_LIMIT, f"stopped at the limit of {max_iter} iterations"
    status, message = trail.ended or limit
    return PointFit(
        parameters=trail.last,
        status=status,
        message=message,
        iterations=trail.iterations,
        trace=np.array(trail.trace),
        path=trail.path(),
        objective=None if prior is None else np.array(trail.objective),
        details={"leaps": leaper.done} if accelerate else {},
    )


class _Leaper:
    """Leaps far along the way that three EM iterates show ([1]_, scheme S3).

    With ``r`` the first step and ``v`` the change from the first to the second, a leap goes to
    ``before + 2 s r + s^2 v`` for ``s = |r| / |v|``; s = 1 is the third iterate itself.
    The coordinates are the model's free ones, but probabilities are taken as they are: one on its
    way to zero gets there in a leap, where its logarithm has for ever to go. No probability falls
    to less than a tenth in a leap.
    """

    FIRST, GROWTH = 4.0, 4.0
    """Bound of s at first, and its growth whenever a leap at the bound succeeds ([1]_)."""

    def __init__(self, start: Parameters, update: Update | None) -> None:
        self.update = update or (lambda _, new: new)
        self.longest, self.done = self.FIRST, 0
        self._start = start

    @cached_property
    def probabilities(self) -> NDArray[np.bool_]:
        """Which coordinates are probabilities; a fit that never leaps does not ask."""
        return self._start.free_probabilities()

    def _coordinates(self, parameters: Parameters) -> Floats:
        x, p = parameters.to_free(), self.probabilities
        x[p] = np.exp(x[p])
        return x

    def leap(
        self, before: Parameters, here: _Point, after: Parameters, visit: Visit
    ) -> _Point | None:
        """Return the point leapt to; None if it is lower than `here` or out of bounds."""
        a, b, c = (self._coordinates(p) for p in (before, here.parameters, after))
        r, v = b - a, c - 2 * b + a
        units = here.parameters.free_units()
        bend = np.linalg.norm(v / units)
        s = min(float(np.linalg.norm(r / units) / bend), self.longest) if bend else 0.0
        if s <= 1:
            return None
        x, p = a + 2 * s * r + s**2 * v, self.probabilities
        x[p] = simplex.to_logs(np.maximum(x[p], c[p] / 10))
        try:
            with np.errstate(over="raise"):
                new = here.parameters.from_free(x)
                point = visit(self.update(here.parameters, new))
        except (DegenerateError, FloatingPointError):  # beyond what the model can hold
            point = None
        succeeded = point is not None and point.objective >= here.objective
        if s == self.longest:
            factor = self.GROWTH if succeeded else 1 / self.GROWTH
            self.longest = max(self.FIRST, self.longest * factor)
        self.done += succeeded
        return point if succeeded else None


def fit_best(
    model: Model,
    data: Data,
    dims: Mapping[str, int],
    *,
    n_starts: int,
    rng: np.random.Generator,
    weights: Floats | None = None,
    **settings: Unpack[Settings],
) -> PointFit:
    """Run EM from several random starts and keep the fit of highest objective.

    Parameters
    ----------
    model : Model
    data : Data
    dims : mapping of str to int
        The model's sizes.
    n_starts : int
    rng : numpy.random.Generator
    weights : ndarray, optional
        As for `fit`.
    **settings
        As in `Settings`.

    Returns
    -------
    PointFit
        Its details have under ``starts`` the status and log-likelihood of each start, and under
        ``hits`` how many reached its optimum. A degenerate fit is kept only if every start
        degenerated.
    """
    refuse_no_count("n_starts", n_starts)
    refuse_no_generator(rng)
    data, weights = admitted_data(model, data, dims, weights)
    if weights is not None:
        kept = np.flatnonzero(weights)
        data = tuple(data[n] for n in kept) if isinstance(data, tuple) else data[kept]
        weights = weights[kept]
    starts = [model.start(data, dims, rng) for _ in range(n_starts)]
    refuse_misfit(model, starts[0], settings)
    fits = [fit_admitted(model, start, data, weights=weights, **settings) for start in starts]
    # Where a component collapses the likelihood is unbounded: the higher, the less it means.
    sound = [f for f in fits if f.status is not Status.DEGENERATE] or fits
    best = max(sound, key=final_objective)
    ends = [{"status": str(f.status), "log_likelihood": final_log_likelihood(f)} for f in fits]
    hits = sum(final_objective(f) >= final_objective(best) - SAME_OPTIMUM for f in sound)
    message = f"{best.message}; {hits} of {n_starts} starts reached this optimum"
    if degenerate := len(fits) - len(sound):
        message += f", {degenerate} degenerated"
    return replace(
        best,
        message=message,
        details={**best.details, "starts": ends, "hits": hits},
    )


def final_log_likelihood(fit: PointFit) -> float:
    """Return the log-likelihood at the end of a fit that kept its trace, in nats."""
    return _last(fit.trace)


def final_objective(fit: PointFit) -> float:
    """Return what EM climbed at the end of a fit: with a prior, the penalised log-likelihood."""
    return _last(fit.trace if fit.objective is None else fit.objective)


def _last(values: Floats | None) -> float:
    assert values is not None
    return float(values[-1]) if len(values) else -np.inf
