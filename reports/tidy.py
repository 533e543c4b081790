"""The tidy tables, one observation a row, for whoever goes on from here."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lockstep.reports import reading
from lockstep.reports.reading import Entry

RECOVERY = (
    "scenario", "model", "implementation", "mode", "parameter", "truth", "estimate", "sd",
    "lower", "upper", "interval_kind", "interval_probability", "covered", "abs_error",
    "difference_from_em",
)  # fmt: skip
LOG_LIKELIHOOD = (
    "scenario", "model", "implementation", "mode", "set", "quantity", "n", "value",
    "per_observation", "difference_from_best",
)  # fmt: skip


def recovery_rows(content: Entry) -> Iterator[dict[str, Any]]:
    """Yield a row for each parameter of each fit, with the columns `RECOVERY`.

    ``difference_from_em`` is the absolute difference from em's estimate in the same mode, in the
    parameter's own unit.
    """
    for scenario in content.get("scenarios") or []:
        truth = reading.flat(scenario.get("truth"))
        for o in reading.outcomes(scenario):
            if not reading.has_fit(o):
                continue
            em = reading.lead(scenario, str(o.get("mode")))
            apart = reading.differences(o, em)
            sd = reading.flat(o.get("sd"))
            interval = o.get("interval") or {}
            lower, upper = (reading.flat(interval.get(end)) for end in ("lower", "upper"))
            for parameter, estimate in reading.flat(o["parameters"]).items():
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
                    "interval_kind": interval.get("kind"),
                    "interval_probability": interval.get("probability"),
                    "covered": low <= true <= high if known else None,  # type: ignore[operator]
                    "abs_error": None if true is None or estimate is None else abs(estimate - true),
                    "difference_from_em": apart.get(parameter),
                }


def log_likelihood_rows(content: Entry) -> Iterator[dict[str, Any]]:
    """Yield a row for each log-likelihood, with the columns `LOG_LIKELIHOOD`.

    ``difference_from_best`` compares with the best point fit on the training data, and with the
    highest figure of any fit on the held-out data. A mean over draws is not ranked and has none,
    nor has a fit that degenerated: its likelihood is that of a spike.
    """
    for scenario in content.get("scenarios") or []:
        best = {
            "train": reading.number(scenario.get("best_log_likelihood")),
            "heldout": reading.best_heldout(scenario),
        }
        for o in reading.outcomes(scenario):
            scores = o.get("log_likelihood") or {}
            for which, quantity, key in (
                ("train", "at_estimate", "train"),
                ("train", "mean_over_draws", "train_mean"),
                ("heldout", "at_estimate", "heldout"),
                ("heldout", "log_predictive", "heldout_predictive"),
            ):
                value = reading.number(scores.get(key))
                if value is None:
                    continue
                n = scenario.get(f"n_{which}")
                ranked = quantity != "mean_over_draws" and not reading.is_degenerate(o)
                top = best[which] if ranked else None
                yield {
                    **_identity(scenario, o),
                    "set": which,
                    "quantity": quantity,
                    "n": n,
                    "value": value,
                    "per_observation": value / n if n else None,
                    "difference_from_best": None if top is None else value - top,
                }


def _identity(scenario: Entry, outcome: Entry) -> dict[str, Any]:
    return {
        "scenario": scenario.get("name"),
        "model": scenario.get("model"),
        "implementation": outcome.get("implementation"),
        "mode": outcome.get("mode"),
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
