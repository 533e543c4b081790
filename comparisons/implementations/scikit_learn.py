"""scikit-learn's GaussianMixture with full covariances.

Its habits: ``lower_bound_`` is a mean per observation and one M-step stale, a ridge of 1e-6 is
added to every covariance unless ``reg_covar=0``, and ``10 * eps`` to every count always.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from lockstep.comparisons.problem import Problem
    from lockstep.models.fits import PointFit
    from lockstep.models.records import Floats, Parameters

NAME = "scikit-learn"
PACKAGE = "scikit-learn"
PLACE = 1
DEPENDS = ("numpy", "scipy")
KIND: Literal["point"] = "point"
SUMMARY = "GaussianMixture with full covariances"
ESTIMATOR = "sklearn.mixture:GaussianMixture"
"""What validation times beside a candidate."""

ILL_DEFINED = "ill-defined empirical covariance"
"""By which its exception tells a collapse from other errors."""


COLUMN, ANY = ("weights", "means", "variances"), ("weights", "means", "covariances")
"""The fields of a Gaussian mixture of one column, and of any number."""


def unsupported(problem: Problem) -> str | None:
    """Return a reason for anything but a Gaussian mixture."""
    from lockstep import models

    model = models.load(problem.model)
    if tuple(model.Parameters.SPACES) in (COLUMN, ANY):
        holes = problem.holes()
        return f"scikit-learn's mixtures take none that is missing: {holes}" if holes else None
    if model.shows.SEQUENCES:
        return "scikit-learn has no hidden Markov models"
    return f"scikit-learn has no {model.TITLE}"


def _parameters(model: str, mixture: Any) -> Parameters:
    from lockstep import models

    record = models.load(model).Parameters
    values: tuple[Any, ...] = (mixture.weights_, mixture.means_, mixture.covariances_)
    if tuple(record.SPACES) == COLUMN:
        values = (mixture.weights_, mixture.means_[:, 0], mixture.covariances_[:, 0, 0])
    return record.of(**dict(zip(record.SPACES, values)))


def fit(problem: Problem) -> PointFit:
    """Run GaussianMixture with its defaults, or step by step from the given start."""
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    from lockstep.comparisons.problem import Mode
    from lockstep.models.fits import PointFit, Status, stack

    K = problem.dims["n_components"]
    x: Floats = np.asarray(problem.data)
    X = x.reshape(len(x), -1)  # (N, D)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the status says it
        if problem.mode is Mode.MATCHED:
            start, n_iter = problem.matched()
            arrays = start.arrays()
            covariances = arrays.get("covariances")
            if covariances is None:
                covariances = arrays["variances"][:, None, None]
            mixture = GaussianMixture(
                K,
                tol=0.0,
                reg_covar=0.0,
                max_iter=1,
                warm_start=True,
                init_params="random",
                weights_init=arrays["weights"],
                means_init=arrays["means"].reshape(K, -1),
                precisions_init=np.linalg.inv(covariances),
                random_state=problem.seed,
            )
            path = [start]
            status = Status.ITERATION_LIMIT
            message = f"{n_iter} iterations, as asked; reg_covar=0"
            for i in range(n_iter):  # one iteration at a time, to see each
                try:
                    mixture.fit(X)
                except ValueError as error:
                    if ILL_DEFINED not in str(error):
                        raise
                    status = Status.DEGENERATE
                    message = f"some components have {ILL_DEFINED}, at iteration {i + 1}"
                    break
                path.append(_parameters(problem.model, mixture))
            return PointFit(
                parameters=path[-1],
                status=status,
                message=message,
                iterations=len(path) - 1,
                path=stack(path),
            )
        mixture = GaussianMixture(K, random_state=problem.seed).fit(X)
    settings = {"tol": mixture.tol, "reg_covar": mixture.reg_covar, "init": mixture.init_params}
    last = _parameters(problem.model, mixture)
    if mixture.converged_:
        status = Status.CONVERGED
        message = f"log-likelihood per observation changed by less than tol={mixture.tol:g}"
    else:
        status = Status.ITERATION_LIMIT
        message = f"stopped at the limit of {mixture.max_iter} iterations"
    return PointFit(
        parameters=last,
        status=status,
        message=message,
        iterations=int(mixture.n_iter_),
        trace=len(X) * np.asarray(mixture.lower_bounds_),
        details={"settings": settings},
    )
