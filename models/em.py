"""The EM iteration, one loop for every model.

``parameters -> e_step -> m_step -> parameters`` never lowers the log-likelihood (Dempster, Laird
and Rubin 1977, theorem 1); a fall beyond rounding is therefore reported as a status of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from models import Data, Model, kernels
from models.fits import PointFit, Status, stack
from models.records import DegenerateError, Parameters

TOLERANCE = 1e-9
"""Stop when no parameter moved by more than this, in units that the model has no scale in.
A tolerance on the log-likelihood would be blind sooner: near the optimum it is flat, and a step
that moves a parameter by 1e-7 of its standard error changes it by 1e-14."""

ROUNDING = 1e-10
"""A fall of the log-likelihood by more than this share of its size is not rounding."""

MAX_ITER = 10_000
"""Iterations at the most, unless a caller says otherwise."""

SAME_OPTIMUM = 1e-4
"""Starts whose final log-likelihoods are within this many nats reached the same optimum."""


def fit(
    model: Model,
    start: Parameters,
    data: Data,
    *,
    max_iter: int = MAX_ITER,
    tol: float = TOLERANCE,
) -> PointFit:
    """Iterate EM from one start.

    Parameters
    ----------
    model : Model
    start : Parameters
    data : Data
        As the model's `check_data` returns them.
    max_iter : int
        Iterations at the most.
    tol : float
        Converged when the model's `change` over an iteration is at most this; a negative
        tolerance never stops.

    Returns
    -------
    PointFit
        Its `trace` has the log-likelihood after 0, 1, ... iterations.
    """
    e_step = kernels.e_step(model)
    parameters = start
    path, trace = [start], []
    status, message = Status.ITERATION_LIMIT, f"stopped at the limit of {max_iter} iterations"
    try:
        statistics, log_likelihood = e_step(parameters, data)
        trace.append(log_likelihood)
        for iteration in range(1, max_iter + 1):
            new = model.m_step(statistics)
            statistics, log_likelihood = e_step(new, data)
            step = model.change(parameters, new)
            parameters = new
            path.append(parameters)
            trace.append(log_likelihood)
            gain = trace[-1] - trace[-2]
            if gain < -ROUNDING * abs(log_likelihood):
                status = Status.LOG_LIKELIHOOD_FELL
                message = f"the log-likelihood fell by {-gain:.3g} at iteration {iteration}"
                break
            if step <= tol:
                status = Status.CONVERGED
                message = f"no parameter moved by more than {tol:g} at iteration {iteration}"
                break
    except DegenerateError as error:
        status = Status.DEGENERATE
        message = f"{error}, at iteration {len(path)}"
    return PointFit(
        parameters=parameters,
        status=status,
        message=message,
        iterations=len(path) - 1,
        trace=np.array(trace),
        path=stack(path),
    )


def fit_best(
    model: Model,
    data: Data,
    dims: Mapping[str, int],
    *,
    n_starts: int,
    rng: np.random.Generator,
    max_iter: int = MAX_ITER,
    tol: float = TOLERANCE,
) -> PointFit:
    """Run EM from several random starts and keep the fit of highest log-likelihood.

    Parameters
    ----------
    model : Model
    data : Data
    dims : mapping of str to int
        The model's sizes.
    n_starts : int
    rng : numpy.random.Generator
    max_iter, tol
        As for `fit`.

    Returns
    -------
    PointFit
        Its details have under ``starts`` the status and log-likelihood of each start. A
        degenerate fit is kept only if every start degenerated.
    """
    fits = [
        fit(model, model.start(data, dims, rng), data, max_iter=max_iter, tol=tol)
        for _ in range(n_starts)
    ]
    # Where a component collapses the likelihood is unbounded: the higher, the less it means.
    sound = [f for f in fits if f.status is not Status.DEGENERATE] or fits
    best = max(sound, key=final_log_likelihood)
    starts = [{"status": str(f.status), "log_likelihood": final_log_likelihood(f)} for f in fits]
    hits = sum(final_log_likelihood(f) >= final_log_likelihood(best) - SAME_OPTIMUM for f in sound)
    message = f"{best.message}; {hits} of {n_starts} starts reached this optimum"
    if degenerate := len(fits) - len(sound):
        message += f", {degenerate} degenerated"
    return replace(
        best,
        message=message,
        details={"starts": starts, "hits": hits},
    )


def final_log_likelihood(fit: PointFit) -> float:
    """Return the log-likelihood at the end of a fit that kept its trace, in nats."""
    assert fit.trace is not None
    return float(fit.trace[-1]) if len(fit.trace) else -np.inf
