"""Spikes: fits of a mixture on a point or a line, where the likelihood has no maximum.

A component that narrows about a single value raises the likelihood without bound. A fit that got
there by rounding is no better than the others; nor is one that a ridge holds up on its way, whose
likelihood says how small the ridge is.
"""

from __future__ import annotations

from dataclasses import replace

from lockstep.models import Data, Model, singularity
from lockstep.models.fits import PointFit, Status
from lockstep.models.records import DegenerateError, Parameters


def judged(model: Model, fit: PointFit, data: Data) -> PointFit:
    """Return a fit of a spike as degenerate, whatever status it gave itself."""
    if fit.status is Status.DEGENERATE:
        return fit
    what = singularity(model, fit.parameters, data)
    if what is None:
        return fit
    if fit.path is not None:
        return _cut(model, fit, fit.path, data)
    ridge = (fit.details.get("settings") or {}).get("reg_covar")
    if ridge:
        held = f"its likelihood is that of a spike held up by its ridge of {ridge:g}"
        return _degenerate(fit, f"{held}, and no maximum; by EM without the ridge {what}")
    return _degenerate(fit, f"it is on its way into a spike, and no maximum; by EM {what}")


def _degenerate(fit: PointFit, message: str) -> PointFit:
    return replace(
        fit, status=Status.DEGENERATE, message=f"{message} (its own account: {fit.message})"
    )


def _cut(model: Model, fit: PointFit, path: Parameters, data: Data) -> PointFit:
    """Return the way to the collapse of a fit that went on past it, as our EM would end.

    One that was told to stop before it got there has not collapsed.
    """
    length = len(next(iter(path.arrays().values())))
    for i in range(length - 1):
        try:
            model.m_step(model.e_step(path.draw(i), data)[0])
        except DegenerateError as error:
            way = type(path)(**{name: array[: i + 1] for name, array in path.arrays().items()})
            ended = _degenerate(fit, f"{error}, at iteration {i + 1}")
            return replace(ended, parameters=way.draw(i), iterations=i, trace=None, path=way)
    return fit
