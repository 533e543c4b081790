"""Results as records: the schema, what is written, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest

from lockstep.comparisons import outcomes, results_file
from lockstep.comparisons.outcomes import (
    Diagnostics,
    Environment,
    Histogram,
    Interval,
    PosteriorLogLikelihoods,
    PosteriorOutcome,
    Results,
)
from lockstep.comparisons.problem import Mode
from lockstep.models.fits import Status

SCHEMA = Path(__file__).parents[1] / "docs" / "results.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(results_file.schema())


def environment():
    return Environment(
        python="3", platform="x", packages={"numpy": "1"}, seed=0, quick=False, created="2000",
        seconds=1.0,
    )  # fmt: skip


def a_posterior(**parameters):
    """Return a posterior that passed, of which nothing is known."""
    histogram = Histogram(edges=np.array([-2.0, -1.0]), counts=[1])
    return PosteriorOutcome(
        implementation="x", package="x", version=None, mode=Mode.AS_CONFIGURED,
        status=Status.CONVERGED, message="", seconds=0.0, parameters=parameters, sd=parameters,
        interval=Interval(kind="x", probability=0.95, lower=parameters, upper=parameters),
        recovery=None, details={}, diagnostics=Diagnostics(chains=1, draws=1, checks=[]),
        log_likelihood=PosteriorLogLikelihoods(
            train=-1.0, heldout=None, train_mean=-1.0, train_sd=0.1, train_histogram=histogram
        ),
    )  # fmt: skip


def test_the_committed_schema_is_the_generated_one():
    assert json.loads(SCHEMA.read_text("utf-8")) == results_file.schema(), "run `make schema`"
    VALIDATOR.check_schema(results_file.schema())


def types_of(kind, seen):
    """Yield every type that a record is made of, at any depth."""
    if kind in seen:
        return
    seen.add(kind)
    yield kind
    within = getattr(kind, "__args__", ()) or (getattr(kind, "__value__", None),)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        within = [field.type for field in msgspec.structs.fields(kind)]
    for part in within:
        if part is not None:
            yield from types_of(part, seen)


def test_no_field_may_hold_just_anything():
    from typing import Any

    found = list(types_of(Results, set()))
    assert Any not in found
    assert object not in found
    assert {outcomes.PointOutcome, outcomes.PosteriorOutcome, outcomes.Unfitted} <= set(found)
    for kind in found:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            assert kind.__struct_config__.frozen
            assert kind.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_null(value):
    given = msgspec.structs.replace(a_posterior(x=np.array([1.5, value])), seconds=np.float64(2))
    given = msgspec.structs.replace(given, details={"a": value, "b": [1, value]})
    text = results_file.encode(given)
    told = json.loads(text, parse_constant=pytest.fail)
    assert told["parameters"]["x"] == [1.5, None]
    assert told["details"] == {"a": None, "b": [1, None]}
    back = results_file.written(given)
    np.testing.assert_array_equal(back.parameters["x"], [1.5, np.nan])
    assert type(back.seconds) is float
    assert results_file.encode(back) == text


def scenario(**changes):
    return {
        "name": "a", "title": "A", "model": "gaussian_mixture_1d", "lesson": "", "n_train": 2,
        "n_heldout": 0, "dims": {"n_components": 1}, "labels": {}, "truth": None,
        "reference": {"weights": [1.0], "means": [0.0], "variances": [1.0]},
        "best_log_likelihood": None, "published": [], "data": [0.5, None], "sequences": None,
        "prior": None, "predictive_check": None, "outcomes": [], "notes": [],
    } | changes  # fmt: skip


def content(version=outcomes.SCHEMA_VERSION, **changes):
    told = json.loads(results_file.encode(environment()))
    return {"schema_version": version, "environment": told, "scenarios": [scenario(**changes)]}


def test_a_scenario_by_hand_is_read():
    (read,) = results_file.decode(json.dumps(content())).scenarios
    np.testing.assert_array_equal(read.data, [0.5, np.nan])
    VALIDATOR.validate(content())


MANGLED = {
    "another version": (content(version=1), "schema_version 1, and this lockstep reads"),
    "a later version": (content(version=2**70), "and this lockstep reads"),
    "no version": ({"scenarios": []}, "schema_version none"),
    "a list": ([1, 2], "no results of lockstep"),
    "a word for a number": (content(n_train="2"), "n_train"),
    "words for parameters": (content(reference={"means": ["0.0"]}), "reference"),
    "truth for a number": (content(data=[0.5, True]), "data"),
    "rows of two lengths": (content(data=[[1.0], [1.0, 2.0]]), "data"),
    "one number for all": (content(data=1.5), "data"),
    "a number beyond all": (content(data=[10**400]), "no results of lockstep"),
    "something more": (content(extra=1), "extra"),
    "something less": (
        {k: v for k, v in content().items() if k != "environment"}, "environment"
    ),
    "an unknown kind": (content(outcomes=[{"kind": "guess"}]), "guess"),
    "half a fit": (content(outcomes=[{"kind": "point"}]), "outcomes"),
    "deep": (content(data=json.loads("[" * 900 + "]" * 900)), "no results of lockstep"),
}  # fmt: skip


@pytest.mark.parametrize("name", MANGLED)
def test_mangled_results_are_refused_in_one_line(name):
    given, said = MANGLED[name]
    with pytest.raises(results_file.ResultsError) as caught:
        results_file.decode(json.dumps(given))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    if name not in ("rows of two lengths", "a number beyond all", "deep"):
        assert not VALIDATOR.is_valid(given)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"null", b"[" * 100_000, b"nan", b"{}x"])
def test_what_is_no_json_is_refused_in_one_line(text):
    with pytest.raises(results_file.ResultsError, match=r"^[^\n]+$"):
        results_file.decode(text)
