"""Which component of one fit is which of another: labels are arbitrary until matched.

A point fit is matched with the reference by its parameters (`lockstep.models.labels.matching`). A
posterior is relabelled draw by draw before anything is averaged over draws, by Stephens's
algorithm [1]_: with p_nk = p(z_n = k | x) in one draw and q_nk the average over all relabelled
draws, each draw takes the permutation whose p is nearest to q (Kullback-Leibler), an assignment
problem; then q is averaged anew, until no draw changes. It sees only which observations go
together, so components that share a mean or a width are told apart all the same, and no
parameter has to be ordered. Which label is whose is settled once for all draws: their mean is
matched with the reference.

Quantities that do not depend on labels (log-likelihood, predictive density) need none of this.

References
----------
.. [1] Stephens (2000), Dealing with label switching in mixture models, JRSS B 62, 795-809,
   algorithm 2 and section 4.1.
.. [2] Papastamoulis (2016), label.switching, J. Stat. Software 69, code snippet 1: a survey, with
   the pivot of highest likelihood to begin from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lockstep.models import Data, Model
from lockstep.models.labels import assignments, matching
from lockstep.models.records import Floats, Integers, Parameters

__all__ = ["Relabelled", "matching", "memberships", "relabel", "stephens"]

OBSERVATIONS = 200
"""By which draws are relabelled, evenly taken; for an HMM the first steps of the first
sequences. Two labels that so many cannot tell apart are not apart."""

SMALLEST = 1e-12
"""Probabilities are taken to be at least this when their logarithm is needed: one observation
cannot decide alone."""

ROUNDS = 100

AT_ONCE = 1000
"""Draws whose responsibilities are computed in one piece, to bound the memory."""


@dataclass(frozen=True)
class Relabelled:
    """How the draws of a posterior were brought into one order.

    Attributes
    ----------
    order : ndarray of int, shape (chain, draw, K)
        For `Parameters.relabelled`.
    within : float
        Share of the draws whose order is not the most frequent one of their chain.
    apart : bool
        Whether the chains' most frequent orders differ.
    """

    order: Integers
    within: float
    apart: bool


def memberships(model: Model, draws: Parameters, data: Data) -> Floats:
    """Return p(z_n = k | x) under every draw.

    Parameters
    ----------
    model : Model
    draws : Parameters
        With one leading axis S.
    data : Data

    Returns
    -------
    ndarray, shape (S, N, K)
        N at most `OBSERVATIONS`.
    """
    kept = _few(data)
    arrays, total = draws.arrays(), draws.lead[0]
    pieces = (
        type(draws)(**{name: a[i : i + AT_ONCE] for name, a in arrays.items()})
        for i in range(0, total, AT_ONCE)
    )
    return np.concatenate([model.memberships(piece, kept) for piece in pieces])


def _few(data: Data) -> Data:
    """Return rows evenly taken, or the first steps of the first sequences."""
    if not isinstance(data, tuple):
        rows = np.unique(np.linspace(0, len(data) - 1, OBSERVATIONS).astype(int))
        return np.asarray(data[rows])
    kept, left = [], OBSERVATIONS
    for symbols in data:
        if left > 0:
            kept.append(symbols[:left])
            left -= len(symbols)
    return tuple(kept)


def stephens(probabilities: Floats, pivot: int = 0) -> Integers:
    """Return for each draw the order of its labels that agrees best with all the others.

    Parameters
    ----------
    probabilities : ndarray, shape (S, N, K)
        ``p(z_n = k | x)`` in each of S draws.
    pivot : int, optional
        The draw to begin from; the nearer to a mode the better.

    Returns
    -------
    ndarray of int, shape (S, K)
        Entry k is the label to be put in place k. The pivot's own labels name the places.
    """
    p = probabilities
    S, _, K = p.shape
    order = np.tile(np.arange(K), (S, 1))
    if K == 1:
        return order
    q = p[pivot]  # (N, K)
    for _ in range(ROUNDS):
        # sum_n p_nj log(p_nj / q_nk), less its first part, which no permutation changes
        cost = -np.matmul(np.log(np.maximum(q, SMALLEST)).T, p)  # (S, K, K): place k, label j
        before, order = order, assignments(cost)
        q = np.take_along_axis(p, order[:, None, :], axis=2).mean(axis=0)
        if np.array_equal(before, order):
            break
    return order


def relabel(
    model: Model, draws: Parameters, data: Data, reference: Parameters, log_likelihood: Floats
) -> Relabelled:
    """Bring the draws of a posterior into one order, that of the reference.

    Parameters
    ----------
    model : Model
    draws : Parameters
        With leading axes (chain, draw).
    data : Data
    reference : Parameters
    log_likelihood : ndarray, shape (chain, draw)
        Of the draws; the most likely one is the pivot.
    """
    lead = log_likelihood.shape
    flat = type(draws)(
        **{name: a.reshape(-1, *a.shape[len(lead) :]) for name, a in draws.arrays().items()}
    )
    order = stephens(memberships(model, flat, data), int(np.nanargmax(log_likelihood)))
    alike = flat.relabelled(order)
    mean = type(draws)(**{name: a.mean(axis=0) for name, a in alike.arrays().items()})
    order = order[:, matching(mean, reference)].reshape(*lead, -1)

    usual = []
    within = 0
    for chain in order:
        rows, counts = np.unique(chain, axis=0, return_counts=True)
        usual.append(tuple(rows[counts.argmax()]))
        within += len(chain) - int(counts.max())
    return Relabelled(order, within / log_likelihood.size, len(set(usual)) > 1)
