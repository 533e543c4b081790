"""Habits of estimators in scikit-learn's and hmmlearn's style, each measured where it lives.

None is wrong; all have surprised somebody who compared numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lockstep.comparisons.validation.binding import Arrays
from lockstep.comparisons.validation.calling import Estimator


def measured(adapter: Estimator, start: Arrays, data: Any) -> list[dict[str, str]]:
    """Return the habits found, each with its evidence; one that cannot be measured is left out."""
    found = []
    for habit in HMM if adapter.sequences else MIXTURE:
        try:
            for name, evidence in habit(adapter, start, data):
                found.append({"name": name, "evidence": evidence})
        except Exception:  # noqa: BLE001 - it has no such attribute or setting
            continue
    return found


type Habit = Iterator[tuple[str, str]]


def _ridge(adapter: Estimator, start: Arrays, data: Any) -> Habit:
    plain = adapter.begin(start, 1).fit(*adapter.arguments(data))
    usual = adapter.make(1).reg_covar
    ridged = adapter.begin(start, 1, reg_covar=usual).fit(*adapter.arguments(data))
    added = np.ravel(ridged.covariances_ - plain.covariances_)
    if usual and added.max() > 0:
        yield (
            "a ridge by default",
            f"with its default reg_covar={usual:g} every variance is {added.max():.2g} larger; "
            "the checks set reg_covar=0",
        )


def _bound(adapter: Estimator, start: Arrays, data: Any) -> Habit:
    arguments = adapter.arguments(data)
    one, two = (adapter.begin(start, n).fit(*arguments) for n in (1, 2))
    before, after = one.score(*arguments), two.score(*arguments)
    bound = float(two.lower_bound_)
    N = len(data)
    if abs(bound - before) < 1e-9 * abs(before) < abs(after - before):
        yield (
            "lower_bound_ is stale, and a mean",
            f"after two iterations it is {bound:.8g}, the log-likelihood per observation after "
            f"one; the parameters returned have {after:.8g} ({after * N:.8g} in all)",
        )
    elif abs(bound - after) < 1e-9 * abs(after):
        yield (
            "lower_bound_ is a mean",
            f"it is {bound:.8g}, per observation; the log-likelihood is {after * N:.8g}",
        )


def _fall(adapter: Estimator, start: Arrays, data: Any) -> Habit:
    # A ridge as wide as the data, from the optimum without one: the likelihood must fall.
    arguments = adapter.arguments(data)
    ridge = float(np.var(data))
    optimum = adapter.fitted(adapter.begin(start, 60).fit(*arguments), data).parameters
    made = adapter.begin(optimum, 100, reg_covar=ridge, tol=1e6).fit(*arguments)
    values = list(made.lower_bounds_)
    if made.converged_ and len(values) > 1 and values[-1] < values[-2]:
        yield (
            "converged_ after a fall",
            f"the bound fell from {values[-2]:.6g} to {values[-1]:.6g} and converged_ is True: it "
            "asks for |change| < tol",
        )


def _limit(adapter: Estimator, start: Arrays, data: Any) -> Habit:
    made = adapter.begin(start, 2)
    made.tol = 1e-9
    made.fit(*adapter.arguments(data))
    history = list(made.monitor_.history)
    if made.monitor_.converged and history[-1] - history[-2] > 1e-6:
        yield (
            "converged at the iteration limit",
            f"after 2 of 2 iterations, the last of which gained {history[-1] - history[-2]:.3g} "
            "nats, monitor_.converged is True",
        )


def _history(adapter: Estimator, start: Arrays, data: Any) -> Habit:
    arguments = adapter.arguments(data)
    made = adapter.begin(start, 2).fit(*arguments)
    last, now = float(made.monitor_.history[-1]), float(made.score(*arguments))
    before = adapter.begin(start, 1).fit(*arguments).score(*arguments)
    if abs(last - before) < 1e-9 * abs(before) < abs(now - before):
        yield (
            "history is stale",
            f"after two iterations its last value is {last:.8g}, the log-likelihood after one; "
            f"the parameters returned have {now:.8g}",
        )


def _zero_rows(adapter: Estimator, start: Arrays, data: Any) -> Habit:  # noqa: ARG001
    single = tuple(np.array([v]) for v in (0, 1, 0, 2))
    made = adapter.begin(start, 1).fit(*adapter.arguments(single))
    rows = made.transmat_.sum(axis=1)
    if np.any(rows == 0):
        yield (
            "rows of zeros",
            "from sequences of length 1 alone it returns a transition matrix whose rows sum to 0",
        )


MIXTURE = (_ridge, _bound, _fall)
HMM = (_limit, _history, _zero_rows)
