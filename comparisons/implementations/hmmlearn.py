"""hmmlearn's CategoricalHMM.

Its habits: ``monitor_.converged`` is true at the iteration limit and after a fall as well, and
its history is taken before each M-step; the default is ten iterations in log space.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from lockstep.comparisons.problem import Problem
    from lockstep.models.fits import PointFit
    from lockstep.models.records import Parameters

NAME = "hmmlearn"
PACKAGE = "hmmlearn"
PLACE = 2
DEPENDS = ("numpy", "scipy", "scikit-learn")
KIND: Literal["point"] = "point"
SUMMARY = "CategoricalHMM"
ESTIMATOR = "hmmlearn.hmm:CategoricalHMM"
"""What validation times beside a candidate."""
FIELDS = ("startprob", "transmat", "emissionprob")
"""Of the model that it fits."""


def unsupported(problem: Problem) -> str | None:
    """Return a reason for anything but the categorical HMM."""
    from lockstep import models

    model = models.load(problem.model)
    if tuple(model.Parameters.SPACES) == FIELDS:
        holes = problem.holes()
        return f"hmmlearn takes no sequence with gaps: {holes}" if holes else None
    if model.shows.SEQUENCES:
        return f"hmmlearn has no {model.TITLE}"
    return "hmmlearn's own mixtures are emissions of an HMM; it fits no plain mixture"


def _parameters(model: str, hmm: Any) -> Parameters:
    from lockstep import models

    found = {name: getattr(hmm, f"{name}_") for name in FIELDS}
    return models.load(model).Parameters.of(**found)


def fit(problem: Problem) -> PointFit:
    """Run CategoricalHMM with its defaults, or step by step from the given start."""
    logging.getLogger("hmmlearn").setLevel(logging.ERROR)  # the status says what it would
    with warnings.catch_warnings():
        # It sets the shape of arrays in a way that NumPy 2.5 deprecates.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="hmmlearn")
        return _fit(problem)


def _fit(problem: Problem) -> PointFit:
    import numpy as np
    from hmmlearn.hmm import CategoricalHMM

    from lockstep.comparisons.problem import Mode
    from lockstep.models import em
    from lockstep.models.fits import PointFit, Status, stack

    sequences = tuple(np.asarray(symbols) for symbols in problem.data)
    X = np.concatenate(sequences)[:, None]
    lengths = [len(symbols) for symbols in sequences]
    K, V = problem.dims["n_components"], problem.dims["n_features"]

    if problem.mode is Mode.MATCHED:
        start, n_iter = problem.matched()
        # "scaling" is the more accurate of its two implementations on long sequences.
        hmm = CategoricalHMM(K, n_features=V, n_iter=1, init_params="", implementation="scaling")
        for name, array in start.arrays().items():
            setattr(hmm, f"{name}_", array.copy())
        path = [start]
        for _ in range(n_iter):  # one iteration at a time, to see each
            hmm.fit(X, lengths)
            path.append(_parameters(problem.model, hmm))
        return PointFit(
            parameters=path[-1],
            status=Status.ITERATION_LIMIT,
            message=f"{n_iter} iterations, as asked",
            iterations=n_iter,
            path=stack(path),
        )

    hmm = CategoricalHMM(K, n_features=V, random_state=problem.seed).fit(X, lengths)
    history = np.array(hmm.monitor_.history)
    gain = float(history[-1] - history[-2]) if len(history) > 1 else np.inf
    if gain < -em.ROUNDING * max(1.0, abs(history[-1])):  # as our own fits are judged
        status, message = Status.LOG_LIKELIHOOD_FELL, f"the log-likelihood fell by {-gain:.3g}"
    elif gain < hmm.tol:
        status = Status.CONVERGED
        message = f"the log-likelihood gained less than tol={hmm.tol:g}"
    else:
        status = Status.ITERATION_LIMIT
        message = f"stopped at its limit of {hmm.n_iter} iterations, last gain {gain:.3g}"
    return PointFit(
        parameters=_parameters(problem.model, hmm),
        status=status,
        message=message,
        iterations=len(history),
        trace=history,
        details={"settings": {"tol": hmm.tol, "n_iter": hmm.n_iter}},
    )
