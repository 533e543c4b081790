"""Reading the content of ``results.json``: any entry of it may be missing or null."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lockstep import models
from lockstep.comparisons import agreement
from lockstep.comparisons.implementations import reference
from lockstep.models import Model
from lockstep.models.records import Parameters

type Entry = Mapping[str, Any]

MATCHED, AS_CONFIGURED = "matched", "as_configured"
MODES = {MATCHED: "matched", AS_CONFIGURED: "as configured"}


def outcomes(scenario: Entry, mode: str | None = None) -> list[Entry]:
    """Return the scenario's outcomes, or those of one mode."""
    return [o for o in scenario.get("outcomes") or [] if mode in (None, o.get("mode"))]


def implementations(content: Entry) -> list[str]:
    """Return every implementation that has an outcome, in their order."""
    every = [o for s in content.get("scenarios") or [] for o in outcomes(s)]
    return list(dict.fromkeys(str(o.get("implementation")) for o in every))


def find(scenario: Entry, implementation: str, mode: str) -> Entry | None:
    """Return one outcome, if it is there."""
    for outcome in outcomes(scenario, mode):
        if outcome.get("implementation") == implementation:
            return outcome
    return None


def lead(scenario: Entry, mode: str) -> Entry | None:
    """Return the outcome that the other point fits are held against, if it is there."""
    return find(scenario, reference("point"), mode)


def number(value: Any) -> float | None:
    """Return a finite float, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def interval_kinds(fits: Sequence[Entry]) -> str:
    """Return whose intervals are of which kind and probability; empty if there are none."""
    owners: dict[str, list[str]] = {}
    for o in fits:
        if interval := o.get("interval"):
            share = 100 * (number(interval.get("probability")) or 0)
            kind = f"{share:g}% {interval.get('kind')}"
            owners.setdefault(kind, []).append(str(o.get("implementation")))
    return "; ".join(f"{kind} of {', '.join(names)}" for kind, names in owners.items())


def is_posterior(outcome: Entry) -> bool:
    """Return whether the outcome is a posterior's, with draws behind it."""
    return outcome.get("kind") == "posterior"


def has_fit(outcome: Entry) -> bool:
    """Return whether there is an estimate."""
    return bool(outcome.get("parameters"))


def is_degenerate(outcome: Entry) -> bool:
    """Return whether the fit is that of a spike, whose likelihood says nothing."""
    return outcome.get("status") == "degenerate"


def flat(fields: Mapping[str, Any] | None) -> dict[str, float | None]:
    """Return nested lists as ``{"means[0,1]": 2.0, ...}``."""
    found: dict[str, float | None] = {}
    for field, value in (fields or {}).items():
        for index, entry in _leaves(value):
            found[f"{field}[{','.join(map(str, index))}]"] = number(entry)
    return found


def _leaves(value: Any, index: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Any]]:
    if isinstance(value, list | tuple):
        for i, entry in enumerate(value):
            yield from _leaves(entry, (*index, i))
    else:
        yield index, value


def split(parameter: str) -> tuple[str, tuple[int, ...]]:
    """Return ``("means", (0, 1))`` for ``means[0,1]``."""
    field, _, rest = parameter.partition("[")
    return field, tuple(int(i) for i in rest.rstrip("]").split(",") if i)


def is_redundant(scenario: Entry, parameter: str) -> bool:
    """Return whether other entries determine this one: by symmetry, or as the rest of a row."""
    return is_repeated(scenario, parameter) or _space(scenario, parameter)[1]


def is_repeated(scenario: Entry, parameter: str) -> bool:
    """Return whether symmetry makes the entry the copy of another."""
    return _space(scenario, parameter)[0]


def _space(scenario: Entry, parameter: str) -> tuple[bool, bool]:
    """Return whether the entry is a copy of another, and whether it is the rest of its row."""
    field, index = split(parameter)
    space = module(scenario).Parameters.SPACES.get(field)
    if space is None:
        return False, False
    sizes = {"K": n_components(scenario), "V": n_symbols(scenario)}
    shape = tuple(sizes.get(axis, 0) for axis in space.axes)
    redundant = space.redundant(index, shape)
    if space.probability:
        return False, redundant and shape[-1] > 1
    return redundant, False


def record(scenario: Entry, fields: Mapping[str, Any] | None) -> Parameters | None:
    """Return parameters as the model's record; None unless every entry is a finite number."""
    if not fields:
        return None
    make = module(scenario).Parameters
    try:
        arrays = {
            f.name: np.array(fields[f.name], dtype=np.float64) for f in dataclasses.fields(make)
        }
    except (KeyError, TypeError, ValueError):
        return None
    if not all(array.size and np.isfinite(array).all() for array in arrays.values()):
        return None
    return make(**arrays)


def model_of(scenario: Entry) -> str:
    """Return the name of the scenario's model."""
    return str(scenario.get("model"))


def module(scenario: Entry) -> Model:
    """Return the scenario's model."""
    return models.load(model_of(scenario))


def has_sequences(scenario: Entry) -> bool:
    """Return whether the data are sequences of symbols."""
    return module(scenario).shows.SEQUENCES


def n_components(scenario: Entry) -> int:
    """Return the number of components or states."""
    return int((scenario.get("dims") or {}).get("n_components") or 1)


def component_names(scenario: Entry) -> list[str]:
    """Return a reader's name of each component or state."""
    given = list((scenario.get("labels") or {}).get("components") or [])
    noun = module(scenario).shows.NOUN
    K = n_components(scenario)
    return [str(given[k]) if k < len(given) else f"{noun} {k + 1}" for k in range(K)]


def symbol_names(scenario: Entry) -> list[str]:
    """Return a reader's name of each symbol, where data are symbols."""
    given = list((scenario.get("labels") or {}).get("symbols") or [])
    return [str(given[v]) if v < len(given) else str(v) for v in range(n_symbols(scenario))]


def axis_names(scenario: Entry, D: int) -> list[str]:
    """Return a reader's name of each coordinate of the data."""
    given = list((scenario.get("labels") or {}).get("axes") or [])
    return [str(given[d]) if d < len(given) else f"x{d + 1}" for d in range(D)]


def n_symbols(scenario: Entry) -> int:
    """Return the number of symbols, where data are symbols."""
    given = (scenario.get("labels") or {}).get("symbols") or []
    return int((scenario.get("dims") or {}).get("n_features") or len(given))


MOST_SHOWN = 200
"""Parameters that a table shows; of more, the largest."""


def largest_parameters(
    scenario: Entry, values: Mapping[str, float | None]
) -> tuple[list[str], str]:
    """Return the parameters that are shown, in their order, and what is left out in a sentence.

    Each kind of parameter has the same share of the places; what a small one leaves is the
    others'.
    """
    names = [name for name in values if not is_repeated(scenario, name)]
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(split(name)[0], []).append(name)
    kept: set[str] = set()
    for left, own in zip(range(len(kinds), 0, -1), sorted(kinds.values(), key=len)):
        share = (MOST_SHOWN - len(kept)) // left
        kept |= set(sorted(own, key=lambda name: -abs(values[name] or 0))[:share])
    if len(names) <= MOST_SHOWN:
        return names, ""
    more = f"{len(names) - len(kept):,} smaller parameters are not shown; recovery.csv has all."
    return [name for name in names if name in kept], more


def describe(scenario: Entry, parameter: str) -> str:
    """Return what a parameter is, in the scenario's own words."""
    field, index = split(parameter)
    shows, space = module(scenario).shows, module(scenario).Parameters.SPACES.get(field)
    if space is None or len(space.axes) != len(index):
        return ""
    symbols = (scenario.get("labels") or {}).get("symbols") or []
    names = {"K": component_names(scenario), "V": symbols}
    if "D" in space.axes:
        names["D"] = axis_names(scenario, max(index) + 1)
    places = [(names[axis], i) for axis, i in zip(space.axes, index)]
    return shows.meaning(field, *(str(own[i]) if i < len(own) else str(i) for own, i in places))


def differences(mine: Entry, theirs: Entry | None) -> dict[str, float | None]:
    """Return for each parameter how far an outcome's estimate is from another's, in its unit."""
    ours = flat(theirs.get("parameters")) if theirs else {}
    found: dict[str, float | None] = {}
    for name, value in flat(mine.get("parameters")).items():
        other = ours.get(name)
        found[name] = None if value is None or other is None else abs(value - other)
    return found


def scaled_differences(
    scenario: Entry, mine: Entry, theirs: Entry | None
) -> dict[str, float | None]:
    """Return the same as the judge counts it: means in standard deviations, variances relative."""
    given, reference = (record(scenario, (o or {}).get("parameters")) for o in (mine, theirs))
    if given is None or reference is None:
        return dict.fromkeys(flat(mine.get("parameters")))
    apart = agreement.scaled(given, reference)
    return flat({name: array.tolist() for name, array in apart.items()})


def largest(values: Mapping[str, float | None]) -> float | None:
    """Return the largest value that is there."""
    return max((v for v in values.values() if v is not None), default=None)


def effective_sizes(outcome: Entry) -> tuple[float, float]:
    """Return the effective number of draws for the mean and for the tails.

    Those of the worst parameter where a sampler's chains were judged; the number of draws where
    they are independent; one where nothing is known.
    """
    diagnostics = outcome.get("diagnostics") or {}
    bulk, tail = number(diagnostics.get("ess_bulk")), number(diagnostics.get("ess_tail"))
    if bulk is None and tail is None and "r_hat" not in diagnostics:
        draws = (number(diagnostics.get("chains")) or 1) * (number(diagnostics.get("draws")) or 1)
        return draws, draws
    return max(bulk or 1.0, 1.0), max(tail or 1.0, 1.0)


def best_heldout(scenario: Entry) -> float | None:
    """Return the highest held-out figure of any sound fit, plug-in or predictive."""
    values = []
    for outcome in outcomes(scenario):
        if is_degenerate(outcome):
            continue
        scores = outcome.get("log_likelihood") or {}
        values += [number(scores.get("heldout")), number(scores.get("heldout_predictive"))]
    return max((v for v in values if v is not None), default=None)
