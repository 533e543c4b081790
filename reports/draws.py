"""Posterior draws as ArviZ keeps them: named dimensions, named components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockstep.comparisons.outcomes import ScenarioResult
from lockstep.models.records import Parameters, Space
from lockstep.reports import reading

if TYPE_CHECKING:
    from xarray import DataTree

AXES = {"K": ("component", "next"), "D": ("axis", "other_axis"), "V": ("symbol", "other_symbol")}
"""Names of the axes of a field, the second where a letter comes twice."""


def _dims(space: Space, noun: str) -> list[str]:
    """Return the names of a field's axes."""
    names = []
    for place, letter in enumerate(space.axes):
        name = AXES[letter][space.axes[:place].count(letter)]
        names.append({"component": noun, "next": f"next_{noun}"}.get(name, name))
    return names


def to_datatree(scenario: ScenarioResult, draws: Parameters) -> DataTree:
    """Return aligned draws with dimensions chain, draw and the model's own.

    Parameters
    ----------
    scenario : ScenarioResult
        Gives components, axes and symbols their names.
    draws : Parameters
        With leading axes (chain, draw).
    """
    import arviz_base

    arrays = draws.arrays()
    noun = reading.module(scenario).shows.NOUN
    dims = {name: _dims(space, noun) for name, space in draws.SPACES.items()}
    sizes = {d: n for name, a in arrays.items() for d, n in zip(dims[name], a.shape[2:])}
    components = _distinct(reading.component_names(scenario))
    names: dict[str, list[str]] = {
        noun: components,
        f"next_{noun}": components,
        "symbol": _distinct(reading.symbol_names(scenario)),
    }
    axes = _distinct(reading.axis_names(scenario, sizes.get("axis", 0)))
    names |= {"axis": axes, "other_axis": axes}
    coords: dict[str, Any] = {d: names[d] for d, n in sizes.items() if len(names[d]) == n}
    tree: DataTree = arviz_base.from_dict({"posterior": arrays}, dims=dims, coords=coords)
    tree["posterior"].attrs = {
        "scenario": scenario.name,
        "model": scenario.model,
        "note": "components are in the order of the report, relabelled draw by draw",
    }
    return tree


def _distinct(names: list[str]) -> list[str]:
    """Return the names, numbered where two are alike."""
    return names if len(set(names)) == len(names) else [f"{n} {i}" for i, n in enumerate(names)]
