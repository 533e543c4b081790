"""What readers ask of results: who is there, what a parameter is called, how far two fits are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np

from lockstep import models
from lockstep.comparisons import agreement
from lockstep.comparisons.implementations import reference
from lockstep.comparisons.outcomes import (
    Arrays,
    Fitted,
    LogLikelihoods,
    Outcome,
    PointOutcome,
    PosteriorOutcome,
    Results,
    Row,
    ScenarioResult,
)
from lockstep.comparisons.problem import Mode
from lockstep.models import Model
from lockstep.models.fits import Status
from lockstep.models.records import Parameters

MATCHED, AS_CONFIGURED = Mode.MATCHED, Mode.AS_CONFIGURED
MODES = {MATCHED: "matched", AS_CONFIGURED: "as configured"}


def outcomes(scenario: ScenarioResult, mode: Mode | None = None) -> list[Row]:
    """Return the scenario's outcomes, or those of one mode."""
    return [o for o in scenario.outcomes if mode in (None, o.mode)]


def fits(
    scenario: ScenarioResult, mode: Mode | None = None
) -> list[PointOutcome | PosteriorOutcome]:
    """Return those with an estimate."""
    return [o for o in outcomes(scenario, mode) if isinstance(o, Fitted)]


def points(scenario: ScenarioResult, mode: Mode | None = None) -> list[PointOutcome]:
    """Return the point fits."""
    return [o for o in outcomes(scenario, mode) if isinstance(o, PointOutcome)]


def posteriors(scenario: ScenarioResult, mode: Mode | None = None) -> list[PosteriorOutcome]:
    """Return the posteriors."""
    return [o for o in outcomes(scenario, mode) if isinstance(o, PosteriorOutcome)]


def implementations(results: Results) -> list[str]:
    """Return every implementation that has an outcome, in their order."""
    every = chain.from_iterable(s.outcomes for s in results.scenarios)
    return list(dict.fromkeys(o.implementation for o in every))


def find[O: Outcome](found: Iterable[O], implementation: str) -> O | None:
    """Return an implementation's own among outcomes, if it is there."""
    return next((o for o in found if o.implementation == implementation), None)


def lead(scenario: ScenarioResult, mode: Mode) -> PointOutcome | None:
    """Return the fit that the other point fits are held against, if it is there."""
    return find(points(scenario, mode), reference("point"))


def scores(outcome: Outcome) -> LogLikelihoods:
    """Return the outcome's log-likelihoods; of no fit, none."""
    if isinstance(outcome, Fitted):
        return outcome.log_likelihood
    return LogLikelihoods(train=None, heldout=None)


def number(value: float | None) -> float | None:
    """Return a finite float, or None."""
    return None if value is None or not math.isfinite(value) else float(value)


def interval_kinds(fits: Sequence[Fitted]) -> str:
    """Return whose intervals are of which kind and probability; empty if there are none."""
    owners: dict[str, list[str]] = {}
    for o in fits:
        if o.interval is not None:
            kind = f"{100 * o.interval.probability:g}% {o.interval.kind}"
            owners.setdefault(kind, []).append(o.implementation)
    return "; ".join(f"{kind} of {', '.join(names)}" for kind, names in owners.items())


def is_degenerate(outcome: Outcome) -> bool:
    """Return whether the fit is that of a spike, whose likelihood says nothing."""
    return outcome.status is Status.DEGENERATE


def flat(fields: Arrays | None) -> dict[str, float | None]:
    """Return fields entry by entry, as ``{"means[0,1]": 2.0, ...}``."""
    return {
        f"{field}[{','.join(map(str, index))}]": number(value)
        for field, array in (fields or {}).items()
        for index, value in np.ndenumerate(array)
    }


def split(parameter: str) -> tuple[str, tuple[int, ...]]:
    """Return ``("means", (0, 1))`` for ``means[0,1]``."""
    field, _, rest = parameter.partition("[")
    return field, tuple(int(i) for i in rest.rstrip("]").split(",") if i)


def is_redundant(scenario: ScenarioResult, parameter: str) -> bool:
    """Return whether other entries determine this one: by symmetry, or as the rest of a row."""
    return is_repeated(scenario, parameter) or _space(scenario, parameter)[1]


def is_repeated(scenario: ScenarioResult, parameter: str) -> bool:
    """Return whether symmetry makes the entry the copy of another."""
    return _space(scenario, parameter)[0]


def _space(scenario: ScenarioResult, parameter: str) -> tuple[bool, bool]:
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


def record(scenario: ScenarioResult, fields: Arrays | None) -> Parameters | None:
    """Return parameters as the model's record; None unless every entry is a finite number."""
    make = module(scenario).Parameters
    if not fields or fields.keys() != make.SPACES.keys():
        return None
    if not all(array.size and np.isfinite(array).all() for array in fields.values()):
        return None
    return make(**fields)


def module(scenario: ScenarioResult) -> Model:
    """Return the scenario's model."""
    return models.load(scenario.model)


def has_sequences(scenario: ScenarioResult) -> bool:
    """Return whether the data are sequences of symbols."""
    return module(scenario).shows.SEQUENCES


def n_components(scenario: ScenarioResult) -> int:
    """Return the number of components or states."""
    return scenario.dims["n_components"]


def component_names(scenario: ScenarioResult) -> list[str]:
    """Return a reader's name of each component or state."""
    given, noun = scenario.labels.components, module(scenario).shows.NOUN
    K = n_components(scenario)
    return given[:K] + [f"{noun} {k + 1}" for k in range(len(given), K)]


def symbol_names(scenario: ScenarioResult) -> list[str]:
    """Return a reader's name of each symbol, where data are symbols."""
    given, V = scenario.labels.symbols, n_symbols(scenario)
    return given[:V] + [str(v) for v in range(len(given), V)]


def axis_names(scenario: ScenarioResult, D: int) -> list[str]:
    """Return a reader's name of each coordinate of the data."""
    given = scenario.labels.axes
    return given[:D] + [f"x{d + 1}" for d in range(len(given), D)]


def n_symbols(scenario: ScenarioResult) -> int:
    """Return the number of symbols, where data are symbols."""
    return dict(scenario.dims).pop("n_features", len(scenario.labels.symbols))


MOST_SHOWN = 200
"""Parameters that a table shows; of more, the largest."""


def largest_parameters(
    scenario: ScenarioResult, values: Mapping[str, float | None]
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


def describe(scenario: ScenarioResult, parameter: str) -> str:
    """Return what a parameter is, in the scenario's own words."""
    field, index = split(parameter)
    shows, space = module(scenario).shows, module(scenario).Parameters.SPACES.get(field)
    if space is None or len(space.axes) != len(index):
        return ""
    names = {"K": component_names(scenario), "V": scenario.labels.symbols}
    if "D" in space.axes:
        names["D"] = axis_names(scenario, max(index) + 1)
    places = [(names[axis], i) for axis, i in zip(space.axes, index)]
    return shows.meaning(field, *(own[i] if i < len(own) else str(i) for own, i in places))


def differences(mine: Fitted, theirs: Fitted | None) -> dict[str, float | None]:
    """Return for each parameter how far an outcome's estimate is from another's, in its unit."""
    if theirs is None:
        return dict.fromkeys(flat(mine.parameters))
    return flat({k: np.abs(a - theirs.parameters[k]) for k, a in mine.parameters.items()})


def scaled_differences(
    scenario: ScenarioResult, mine: Fitted, theirs: Fitted
) -> dict[str, float | None]:
    """Return the same as the judge counts it: means in standard deviations, variances relative."""
    given, reference = (record(scenario, o.parameters) for o in (mine, theirs))
    if given is None or reference is None:
        return dict.fromkeys(flat(mine.parameters))
    return flat(agreement.scaled(given, reference))


def largest(values: Mapping[str, float | None]) -> float | None:
    """Return the largest value that is there."""
    return max((v for v in values.values() if v is not None), default=None)


def effective_sizes(outcome: Outcome) -> tuple[float, float]:
    """Return the effective number of draws for the mean and for the tails.

    Those of the worst parameter where a sampler's chains were judged; the number of draws where
    they are independent; one where nothing is known.
    """
    if not isinstance(outcome, PosteriorOutcome):
        return 1.0, 1.0
    d = outcome.diagnostics
    if not d.sampled:
        return float(d.chains * d.draws), float(d.chains * d.draws)
    return max(d.ess_bulk or 1.0, 1.0), max(d.ess_tail or 1.0, 1.0)


def best_heldout(scenario: ScenarioResult) -> float | None:
    """Return the highest held-out figure of any sound fit, plug-in or predictive."""
    sound = [o for o in fits(scenario) if not is_degenerate(o)]
    values = [o.log_likelihood.heldout for o in sound]
    values += [
        o.log_likelihood.heldout_predictive for o in sound if isinstance(o, PosteriorOutcome)
    ]
    return max((v for v in values if v is not None), default=None)
