"""Our own EM as a program that answers the conformance vectors: requests in, answers out.

``python -m lockstep.comparisons.vectors.answers`` reads one JSON request a line and writes one JSON
answer a line, as docs/conformance.md describes. With ``--readable`` it runs the models' own
E-steps, else the compiled ones.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

import numpy as np

from lockstep import models
from lockstep.models import Data, Model, em
from lockstep.models.fits import Status
from lockstep.models.records import DegenerateError, Parameters


def taken(model: Model, data: Any, start: Parameters, iterations: int) -> Data:
    """Return the data of a request as the model takes them, or raise ValueError.

    A single observation has a log-likelihood; to fit a mixture takes more.
    """
    dims = start.dims
    sequences = model.shows.SEQUENCES
    if sequences:
        masked = model.MASKED  # type: ignore[attr-defined]  # of a symbol not observed
        given = [symbols if isinstance(symbols, list) else [symbols] for symbols in data]
        if given != data:
            raise ValueError("the data must be a list of sequences, each a list of symbols")
        if any(masked in symbols for symbols in given):
            raise ValueError(f"a symbol is {masked}; null stands for a missing one")
        data = [[masked if v is None else v for v in symbols] for symbols in given]
    if not data:
        raise ValueError("there are no data")
    fits = iterations > 0 and not sequences
    check = model.check_data if fits else model.check_chunk
    checked = check(data, dims, missing=True)
    if not isinstance(checked, tuple) and checked.shape[1:] != start.arrays()["means"].shape[1:]:
        raise ValueError(
            f"the data have shape {checked.shape} and the means {start.arrays()['means'].shape}"
        )
    return checked


def iterated(
    model: Model, start: Parameters, data: Data, iterations: int, readable: bool
) -> tuple[Parameters, float]:
    """Return the parameters after so many iterations, and their log-likelihood.

    Raises
    ------
    DegenerateError, ValueError
        If EM cannot go so far.
    """
    if readable:
        for _ in range(iterations):
            start = model.m_step(model.e_step(start, data)[0])
        return start, model.e_step(start, data)[1]
    fit = em.fit(model, start, data, max_iter=iterations, tol=0.0, keep_path=False)
    if fit.status in (Status.DEGENERATE, Status.LOG_LIKELIHOOD_FELL):
        raise DegenerateError(fit.message)
    return fit.parameters, em.final_log_likelihood(fit)


def answer(request: Mapping[str, Any], *, readable: bool = False) -> dict[str, Any]:
    """Return the answer to one request."""
    try:
        model = models.load(request["model"])
        start = model.Parameters.checked(request["start"])
        iterations = request["iterations"]
        data = taken(model, request["data"], start, iterations)
        parameters, log_likelihood = iterated(model, start, data, iterations, readable)
    except (DegenerateError, ValueError) as error:
        return {"id": request["id"], "error": str(error)}
    return {
        "id": request["id"],
        "parameters": parameters.to_dict(),
        "log_likelihood": log_likelihood,
    }


def main(lines: Iterable[str], out: TextIO, *, readable: bool = False) -> None:
    """Answer every request in turn."""
    for line in lines:
        print(json.dumps(answer(json.loads(line), readable=readable)), file=out, flush=True)


if __name__ == "__main__":
    np.seterr(all="ignore")  # what is not finite is refused, in words
    READABLE = "--readable" in sys.argv[1:]
    if not READABLE:
        # Small fits would do without the compiled E-steps; once loaded, they are used.
        from lockstep.models import hmm_kernels, mixture_kernels  # noqa: F401
    main(sys.stdin, sys.stdout, readable=READABLE)
