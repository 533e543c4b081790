"""What a fit returns: a point with its trace, or draws from a posterior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from lockstep.models.records import Floats, Parameters


class Status(StrEnum):
    """How a fit ended."""

    CONVERGED = "converged"
    ITERATION_LIMIT = "iteration_limit"
    LOG_LIKELIHOOD_FELL = "log_likelihood_fell"
    DEGENERATE = "degenerate"
    NOT_CONVERGED = "not_converged"
    UNSUPPORTED = "unsupported"
    NOT_INSTALLED = "not_installed"
    FAILED = "failed"


@dataclass(frozen=True)
class PointFit:
    """A maximum-likelihood estimate and the way to it.

    Attributes
    ----------
    parameters : Parameters
        The estimate.
    status : Status
        How the iterations ended.
    message : str
        The same for a reader, with the numbers.
    iterations : int
        EM iterations done, for the start that was kept.
    trace : ndarray or None
        Its own account of the total log-likelihood after 0, 1, ... iterations, in nats, as far
        as it goes; None where it keeps none.
    path : Parameters or None
        The parameters after 0, 1, ..., `iterations` iterations, stacked on a leading axis;
        None where the implementation does not show them.
    objective : ndarray or None
        What EM climbed, at the same iterations, where that is not the log-likelihood alone: the
        log-likelihood plus the prior's log-density, up to its constant.
    details : mapping
        Anything else worth reporting (restarts and their optima, settings), JSON types only.
    """

    parameters: Parameters
    status: Status
    message: str
    iterations: int
    trace: Floats | None = None
    path: Parameters | None = None
    objective: Floats | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PosteriorFit:
    """Draws from a posterior, or from an approximation to it.

    Attributes
    ----------
    draws : Parameters
        Fields with leading axes (chain, draw).
    sample_stats : mapping of str to ndarray, shape (chain, draw)
        What the sampler recorded per draw (``diverging``, ``energy``, ...); of a variational fit
        ``log_weight``, the log of posterior over approximation, up to a constant.
    elbo : ndarray or None
        The evidence lower bound after each step of a variational fit, in nats.
    details : mapping
        Settings and anything else worth reporting, JSON types only.
    """

    draws: Parameters
    sample_stats: Mapping[str, Floats] = field(default_factory=dict)
    elbo: Floats | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


type Fit = PointFit | PosteriorFit


def stack[P: Parameters](path: Sequence[P]) -> P:
    """Return parameters one after the other as one record with a leading axis."""
    columns = zip(*(parameters.arrays().values() for parameters in path))
    return type(path[0])(**dict(zip(path[0].arrays(), map(np.stack, columns))))
