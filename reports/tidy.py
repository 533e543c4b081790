"""The tidy tables, one observation a row, for whoever goes on from here."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lockstep.comparisons.outcomes import Fitted, PosteriorOutcome, Results, ScenarioResult
from lockstep.reports import reading

RECOVERY = (
    "scenario", "model", "implementation", "mode", "parameter", "truth", "estimate", "sd",
    "lower", "upper", "interval_kind", "interval_probability", "covered", "abs_error",
    "difference_from_em",
)  # fmt: skip
LOG_LIKELIHOOD = (
    "scenario", "model", "implementation", "mode", "set", "quantity", "n", "value",
    "per_observation", "difference_from_best",
)  # fmt: skip


def recovery_rows(results: Results) -> Iterator[dict[str, Any]]:
    """Yield a row for each parameter of each fit, with the columns `RECOVERY`.

    ``difference_from_em`` is the absolute difference from em's estimate in the same mode, in the
    parameter's own unit.
    """
    for scenario in results.scenarios:
        truth = reading.flat(scenario.truth)
        for o in reading.fits(scenario):
            apart = reading.differences(o, reading.lead(scenario, o.mode))
            sd, interval = reading.flat(o.sd), o.interval
            lower = reading.flat(None if interval is None else interval.lower)
            upper = reading.flat(None if interval is None else interval.upper)
            for parameter, estimate in reading.flat(o.parameters).items():
                true, low, high = (d.get(parameter) for d in (truth, lower, upper))
                known = true is not None and low is not None and high is not None
                yield {
                    **_identity(scenario, o),
                    "parameter": parameter,
                    "truth": true,
                    "estimate": estimate,
                    "sd": sd.get(parameter),
                    "lower": low,
                    "upper": high,
                    "interval_kind": None if interval is None else interval.kind,
                    "interval_probability": None if interval is None else interval.probability,
                    "covered": low <= true <= high if known else None,  # type: ignore[operator]
                    "abs_error": None if true is None or estimate is None else abs(estimate - true),
                    "difference_from_em": apart.get(parameter),
                }


def log_likelihood_rows(results: Results) -> Iterator[dict[str, Any]]:
    """Yield a row for each log-likelihood, with the columns `LOG_LIKELIHOOD`.

    ``difference_from_best`` compares with the best point fit on the training data, and with the
    highest figure of any fit on the held-out data. A mean over draws is not ranked and has none,
    nor has a fit that degenerated: its likelihood is that of a spike.
    """
    for scenario in results.scenarios:
        best_train, best_heldout = scenario.best_log_likelihood, reading.best_heldout(scenario)
        for o in reading.fits(scenario):
            s = o.log_likelihood
            over = o.log_likelihood if isinstance(o, PosteriorOutcome) else None
            for which, quantity, value in (
                ("train", "at_estimate", s.train),
                ("train", "mean_over_draws", None if over is None else over.train_mean),
                ("heldout", "at_estimate", s.heldout),
                ("heldout", "log_predictive", None if over is None else over.heldout_predictive),
            ):
                if value is None:
                    continue
                n, top = scenario.n_heldout, best_heldout
                if which == "train":
                    n, top = scenario.n_train, best_train
                ranked = quantity != "mean_over_draws" and not reading.is_degenerate(o)
                yield {
                    **_identity(scenario, o),
                    "set": which,
                    "quantity": quantity,
                    "n": n,
                    "value": value,
                    "per_observation": value / n if n else None,
                    "difference_from_best": value - top if ranked and top is not None else None,
                }


def _identity(scenario: ScenarioResult, outcome: Fitted) -> dict[str, Any]:
    return {
        "scenario": scenario.name,
        "model": scenario.model,
        "implementation": outcome.implementation,
        "mode": outcome.mode,
    }


def to_csv(columns: Sequence[str], rows: Iterator[Mapping[str, Any]]) -> str:
    """Return rows as CSV; what is missing is empty, floats have all their digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_written(row[column]) for column in columns])
    return text.getvalue()


def _written(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value
