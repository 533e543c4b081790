"""The bands of the calibration study, and that it would see a posterior that is wrong."""

from __future__ import annotations

import numpy as np

from conftest import make_case
from lockstep.comparisons import calibration
from lockstep.comparisons.calibration import Study, band, ecdf, outside
from lockstep.models.records import entries

NUMBER, DRAWS = 200, 100


def test_uniform_ranks_leave_the_band_as_often_as_is_said(monkeypatch):
    monkeypatch.setattr(calibration, "SIMULATIONS", 4000)
    lower, upper = band(NUMBER, DRAWS, 0.1)
    rng = np.random.default_rng(1)
    ranks = {str(i): rng.integers(0, DRAWS + 1, NUMBER) for i in range(2000)}
    left = len(outside(Study("", ranks, DRAWS, 0), lower, upper)) / len(ranks)
    # The level, from 4,000 simulations, and the share of 2,000 have standard errors of 0.005 and
    # 0.007; 5 of them together.
    assert abs(left - 0.1) < 0.043
    assert (lower <= np.arange(1, DRAWS + 1) / (DRAWS + 1)).all()


def test_ranks_of_a_wrong_posterior_leave_the_band(monkeypatch):
    monkeypatch.setattr(calibration, "SIMULATIONS", 4000)
    lower, upper = band(NUMBER, DRAWS, 0.002)
    rng = np.random.default_rng(2)
    drawn = rng.normal(size=(NUMBER, DRAWS))
    for shift, scale in ((0.5, 1), (0, 0.6), (0, 1.7)):  # biased, too narrow, too wide
        ranks = (shift + scale * drawn < rng.normal(size=(NUMBER, 1))).sum(axis=1)
        assert outside(Study("", {"theta": ranks}, DRAWS, 0), lower, upper) == ["theta"]
    right = (drawn < rng.normal(size=(NUMBER, 1))).sum(axis=1)
    assert outside(Study("", {"theta": right}, DRAWS, 0), lower, upper) == []
    np.testing.assert_allclose(ecdf(np.array([0, 0, 2, 3]), 3), [0.5, 0.5, 0.75])


def test_functions_do_not_depend_on_labels_and_match_between_one_and_many(model_name):
    case = make_case(model_name, K=3)
    order = [2, 0, 1]
    one = calibration.functions(model_name, calibration.ordered(case.parameters), case.data)
    moved = calibration.ordered(case.parameters.relabelled(order))
    many = type(moved)(**{k: np.stack([a, a])[None] for k, a in moved.arrays().items()})
    found = calibration.functions(model_name, many, case.data)
    assert one.keys() == found.keys()
    for name, value in one.items():
        assert found[name].shape == (1, 2)
        np.testing.assert_allclose(found[name], value, rtol=1e-12)
    assert len(one) == case.parameters.n_free + 1
    assert len(one) < len(list(entries(case.parameters))) + 1
