"""Standard errors and intervals of a maximum-likelihood estimate.

At an interior maximum the estimate is, for many observations, normal about the truth, and its
covariance is the inverse of the observed information: minus the Jacobian of the score. The score
is exact (Fisher's identity, from one E-step), so central differences of it lose little; Louis's
formula [1]_ is the same matrix in closed form. The Jacobian is taken in the free coordinates of
the model, with one probability of each row held fixed, and carried over to the parameters by the
delta method.

Wald intervals are symmetric on a scale on which the likelihood is near to a parabola: the logit
for a probability; for a variance v the power v^(-1/3), where the third derivative of a normal
sample's log-likelihood vanishes at its maximum [4]_; for all else the parameter itself. They
cannot leave the range of the parameter.

At the boundary, where a probability is zero, none of this holds. Such a parameter gets no
interval, and the others' are those of the model in which it is held where it is.

References
----------
.. [1] Louis (1982), Finding the observed information matrix when using the EM algorithm,
   JRSS B 44, 226-233.
.. [2] Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 6 and 13.
.. [3] McLachlan and Peel (2000), Finite Mixture Models, sections 2.15 and 2.16.
.. [4] Sprott (1973), Normal likelihoods and their relation to large sample theory of estimation,
   Biometrika 60, 457-465.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from lockstep.models import Data, Model, em, kernels
from lockstep.models.admission import (
    admitted,
    refuse_misfit,
    refuse_no_generator,
)
from lockstep.models.fits import Status, stack
from lockstep.models.labels import matching
from lockstep.models.records import (
    DegenerateError,
    Floats,
    Integers,
    Parameters,
    entries,
    is_between,
    refuse_no_count,
)

PROBABILITY = 0.95
"""Of the intervals."""

BOUNDARY = 1e-6
"""A probability nearer than this to 0 or 1 is on the boundary."""

STEP = 1e-5
"""Of the differences, in natural units: near the cube root of the rounding of a double, where the
error of the difference, STEP^2, and that of rounding, 1e-16 / STEP, are alike."""

STATIONARY = 1e-4
"""An estimate that a Newton step would improve by more than this many nats is no maximum."""

SPACINGS = 4
"""A step is at least so many spacings of the doubles about the coordinate: data far from zero
leave no room for a smaller one."""

SINGULAR = 1e-10
"""Information with a ratio of eigenvalues below this, in natural units, is singular: its smallest
is lost in the rounding of the differences."""

MOST_COORDINATES = 1000
"""Free coordinates of which the information is taken: each costs two E-steps, and it is square."""

ON_BOUNDARY = "on the boundary: a probability within 1e-6 of 0 or 1 has no Wald interval"
NOT_DETERMINED = (
    "the observed information is not positive definite: the data do not determine the parameters "
    "here, or this is no maximum"
)


@dataclass(frozen=True)
class Uncertainty:
    """How well the parameters are known.

    Attributes
    ----------
    kind : str
        Of the intervals.
    probability : float
        That the intervals are meant to cover with.
    sd, lower, upper : Parameters
        Standard error and interval of each parameter; not a number where there is none.
    no_interval : mapping of str to str
        The reason by parameter, such as ``startprob[0]``, for each that has none.
    """

    kind: str
    probability: float
    sd: Parameters
    lower: Parameters
    upper: Parameters
    no_interval: Mapping[str, str]


def observed_information(
    model: Model, parameters: Parameters, data: Data, weights: Floats | None = None
) -> Floats:
    """Return minus the Jacobian of the score in the model's free coordinates.

    Parameters
    ----------
    model : Model
    parameters : Parameters
    data : Data
    weights : ndarray, optional
        As for the model's `e_step`.

    Returns
    -------
    ndarray, shape (F, F)
        Zero in the rows of coordinates at infinity. Singular, as the coordinates of
        probabilities are redundant by a constant per row.

    Raises
    ------
    DegenerateError
        If it is beyond double precision.
    """
    parameters, data, weights = admitted(model, parameters, data, weights)
    return _differentiated(model, parameters, data, weights)[0]


def _differentiated(
    model: Model, parameters: Parameters, data: Data, weights: Floats | None
) -> tuple[Floats, Floats]:
    """Return the information (F, F), and the Jacobian (P, F) of the parameters."""
    e_step = kernels.e_step(model)
    free, units = parameters.to_free(), parameters.free_units()
    information = np.zeros((len(free), len(free)))
    jacobian = np.zeros((_flat(parameters).size, len(free)))
    for i in np.flatnonzero(np.isfinite(free)):
        scores, values, at = [], [], []
        for sign in (1, -1):
            moved = free.copy()
            moved[i] += sign * max(STEP * units[i], SPACINGS * np.spacing(abs(free[i])))
            there = parameters.from_free(moved)
            scores.append(there.by_free(model.score(e_step(there, data, weights)[0], there)))
            values.append(_flat(there))
            at.append(moved[i])
        information[i] = -(scores[0] - scores[1]) / (at[0] - at[1])
        jacobian[:, i] = (values[0] - values[1]) / (at[0] - at[1])
    if not np.isfinite(information).all():
        raise DegenerateError(
            "the information overflows: a variance is too small for the data's distance from its "
            "mean, so this is no maximum"
        )
    return (information + information.T) / 2, jacobian


def wald(
    model: Model,
    parameters: Parameters,
    data: Data,
    *,
    weights: Floats | None = None,
    probability: float = PROBABILITY,
) -> Uncertainty:
    """Return standard errors and Wald intervals at a maximum of the likelihood.

    Parameters
    ----------
    model : Model
    parameters : Parameters
        The estimate; if it is no maximum, or has more than `MOST_COORDINATES` free parameters, no
        parameter gets an interval.
    data : Data
    weights : ndarray, optional
        As for the model's `e_step`: how often each observation was made.
    probability : float, optional

    Returns
    -------
    Uncertainty
        Its covariances are taken as full ones: for tied, diagonal or spherical mixtures the
        information would be that of a larger model, which has no maximum there.
    """
    parameters, data, weights = admitted(model, parameters, data, weights)
    _refuse_improper(probability)
    held, reasons = _boundary(parameters)
    sd, whole = np.full(_flat(parameters).shape, np.nan), ""
    moving = np.setdiff1d(np.arange(len(parameters.to_free())), held)
    if len(moving) > MOST_COORDINATES:
        whole = (
            f"{len(moving):,} free parameters are too many for the observed information: at most "
            f"{MOST_COORDINATES:,}"
        )
    elif not np.isfinite(model.log_likelihood(parameters, data)):
        whole = "not a maximum: the data are impossible under these parameters"
    elif len(moving):
        information, jacobian = _differentiated(model, parameters, data, weights)
        units = parameters.free_units()[moving]
        scaled = information[np.ix_(moving, moving)] * units[:, None] * units
        values = vectors = np.full(scaled.shape[:1], np.nan)
        if np.isfinite(scaled).all():
            values, vectors = np.linalg.eigh(scaled)
        if not values[0] > SINGULAR * values[-1]:
            whole = NOT_DETERMINED
        else:
            statistics, _ = kernels.e_step(model)(parameters, data, weights)
            score = parameters.by_free(model.score(statistics, parameters))[moving] * units
            gain = 0.5 * float(((vectors.T @ score) ** 2 / values).sum())
            if gain > STATIONARY:
                whole = f"not a maximum: a Newton step would gain {gain:.2g} nats"
            roots = (jacobian[:, moving] * units) @ vectors / np.sqrt(values)  # delta method
            sd = np.sqrt((roots**2).sum(axis=1))
    for i, (name, _, _) in enumerate(entries(parameters)):
        if whole:
            reasons.setdefault(name, whole)
        if name in reasons:
            sd[i] = np.nan
    lower, upper = _intervals(parameters, sd, probability)
    return Uncertainty(
        "Wald",
        probability,
        _shaped(parameters, sd),
        _shaped(parameters, lower),
        _shaped(parameters, upper),
        reasons,
    )


def _refuse_improper(probability: Any) -> None:
    if not is_between(probability, 0, 1) or probability in (0, 1):
        raise ValueError(f"probability={probability!r}; it must be a number between 0 and 1")


def _boundary(parameters: Parameters) -> tuple[Integers, dict[str, str]]:
    """Return which coordinates are held, and the parameters that get no interval, with the reason.

    Held are probabilities on the boundary, and of each row the largest, so that the others are
    free.
    """
    held: list[NDArray[np.bool_]] = []
    reasons: dict[str, str] = {}
    probabilities = np.flatnonzero(parameters.free_probabilities())
    for name in parameters.PROBABILITIES:
        p = parameters.arrays()[name]
        outside = (p < BOUNDARY) | (p > 1 - BOUNDARY)
        reasons |= {f"{name}[{','.join(map(str, i))}]": ON_BOUNDARY for i in np.argwhere(outside)}
        largest = np.arange(p.shape[-1]) == p.argmax(axis=-1, keepdims=True)
        held.append((outside | largest).ravel())
    return probabilities[np.concatenate(held)] if held else probabilities, reasons


def _intervals(parameters: Parameters, sd: Floats, probability: float) -> tuple[Floats, Floats]:
    z = float(norm.ppf((1 + probability) / 2))
    lower, upper = np.full((2, len(sd)), np.nan)
    for i, (_, field, index) in enumerate(entries(parameters)):
        if np.isfinite(sd[i]):
            at = float(parameters.arrays()[field][index])
            space = parameters.SPACES[field]
            lower[i], upper[i] = space.interval(at, float(sd[i]), z, index)
    return lower, upper


def bootstrap(
    model: Model,
    parameters: Parameters,
    data: Data,
    *,
    kind: Literal["parametric", "nonparametric"] = "parametric",
    n: int = 1000,
    rng: np.random.Generator,
    probability: float = PROBABILITY,
    **settings: Unpack[em.Settings],
) -> tuple[Uncertainty, Parameters]:
    """Refit resampled data, each from the estimate, and see how the fits scatter ([2]_, [3]_).

    Components of a refit are matched with those of the estimate before anything is summarised.
    Degenerate refits are left out.

    Parameters
    ----------
    model : Model
    parameters : Parameters
        The estimate.
    data : Data
    kind : {"parametric", "nonparametric"}
        Whether data are drawn from the model at the estimate, with the same values missing, or
        from the observations (for the HMM the sequences), with replacement.
    n : int, optional
        Resamples.
    rng : numpy.random.Generator
    probability : float, optional
    **settings
        As for `em.fit`.

    Returns
    -------
    uncertainty : Uncertainty
        With percentile intervals.
    refits : Parameters
        One on each index of a leading axis.

    Raises
    ------
    ValueError
        If there is a single sequence to resample, or too few refits did not degenerate.
    """
    if kind not in ("parametric", "nonparametric"):
        raise ValueError(f"kind={kind!r}; it must be 'parametric' or 'nonparametric'")
    refuse_no_count("n", n, 2)
    refuse_no_generator(rng)
    _refuse_improper(probability)
    parameters, data, _ = admitted(model, parameters, data)
    refuse_misfit(model, parameters, settings)
    if kind == "nonparametric" and len(data) < 2:
        raise ValueError(
            "a single sequence cannot be resampled: use kind='parametric', or give several"
        )
    refits = []
    for _ in range(n):
        if kind == "parametric":
            drawn = _redrawn(model, parameters, data, rng)
            again = em.fit_admitted(model, parameters, drawn, **settings)
        else:
            weights = rng.multinomial(len(data), np.full(len(data), 1 / len(data)))
            again = em.fit_admitted(
                model, parameters, data, weights=weights.astype(float), **settings
            )
        if again.status is not Status.DEGENERATE:
            refits.append(again.parameters)
    if len(refits) < 2:
        raise ValueError(f"{len(refits)} of {n} refits did not degenerate; at least 2 are needed")
    draws = stack(refits)
    draws = draws.relabelled(matching(draws, parameters))
    tail = (1 - probability) / 2

    def over(summary: Any) -> Parameters:
        return type(draws)(**{name: summary(a) for name, a in draws.arrays().items()})

    uncertainty = Uncertainty(
        f"{kind} bootstrap, percentile",
        probability,
        over(lambda a: a.std(axis=0, ddof=1)),
        over(lambda a: np.quantile(a, tail, axis=0)),
        over(lambda a: np.quantile(a, 1 - tail, axis=0)),
        {},
    )
    return uncertainty, draws


def _redrawn(model: Model, parameters: Parameters, data: Data, rng: np.random.Generator) -> Data:
    """Return data from the model, of the same sizes and with the same values missing."""
    if isinstance(data, tuple):
        drawn = model.sample(parameters, [len(symbols) for symbols in data], rng)
        return tuple(np.where(old < 0, old, new) for old, new in zip(data, drawn))
    drawn = model.sample(parameters, len(data), rng)
    return np.where(np.isnan(data), np.nan, drawn)


def _flat(parameters: Parameters) -> Floats:
    return np.concatenate([array.ravel() for array in parameters.arrays().values()])


def _shaped[P: Parameters](like: P, flat: Floats) -> P:
    """Return the flat values in the shapes of the parameters."""
    arrays, begin = {}, 0
    for name, array in like.arrays().items():
        arrays[name] = flat[begin : begin + array.size].reshape(array.shape)
        begin += array.size
    return type(like)(**arrays)
