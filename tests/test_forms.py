"""Code in the forms in which people write EM: read as it is, and judged for its mathematics."""

from __future__ import annotations

from pathlib import Path

import pytest

from inprocess import judged
from lockstep.comparisons.validation.verdicts import Status, Word

FORMS = Path(__file__).with_name("candidates") / "forms"
LINE, PLANE, CHAIN = "gaussian_mixture_1d", "gaussian_mixture_2d", "categorical_hmm"

RIGHT = {
    "mixtures_1d.py:with_lists": (LINE, "rounds = iterations; parameters in lists"),
    "mixtures_1d.py:named_tuple": (LINE, "stds = standard deviations"),
    "mixtures_1d.py:dictionary_step": (LINE, "all parameters in one dictionary"),
    "mixtures_1d.py:in_any_dimension": (LINE, "variances as 1 x 1 matrices; the data a column"),
    "mixtures_1d.py:two_normals": (LINE, "lam = weights"),
    "mixtures_1d.py:precisions": (LINE, "variances as precisions"),
    "mixtures_1d.py:every_step": (LINE, "s2 = variances"),
    "script_while.py": (LINE, "heights = data"),
    "mixtures_2d.py:columns": (PLANE, "covariances as components last; the data turned"),
    "mixtures_2d.py:do_expectation,do_maximization": (PLANE, ""),
    "mixtures_2d.py:Clusters": (PLANE, "self.probs = weights"),
    "mixtures_2d.py:nested": (PLANE, ""),
    "plane.ipynb": (PLANE, "covs = covariances"),
    "hmms.py:from_columns": (CHAIN, "transmat as turned; emissionprob as turned"),
    "hmms.py:in_logarithms": (CHAIN, "transmat as logarithms"),
    "hmms.py:by_name": (CHAIN, "dictionaries of named states and symbols"),
    "hmms.py:with_frames": (CHAIN, "parameters in pandas"),
    "hmms.py:Chain": (CHAIN, "initial = startprob"),
    "script_hmm.py": (CHAIN, "emit = emissionprob"),
}
"""The model that they fit, and a part of how they are read."""

WRONG = {
    "mixtures_1d.py:with_lists_wrong": (LINE, "means divided by N"),
    "mixtures_1d.py:dictionary_step_wrong": (LINE, "old means in the new variances"),
    "mixtures_1d.py:two_normals_wrong": (LINE, "weights left out of the responsibilities"),
    "mixtures_1d.py:every_step_wrong": (LINE, "weights not updated"),
    "script_while_wrong.py": (LINE, "weights not divided by N"),
    "mixtures_2d.py:columns_wrong": (PLANE, "old means in the new variances"),
    "mixtures_2d.py:do_expectation,do_maximization_wrong": (PLANE, "variances divided by N"),
    "mixtures_2d.py:ClustersWrong": (PLANE, "one variance for all components"),
    "plane_wrong.ipynb": (PLANE, ""),
    "hmms.py:from_columns_wrong": (CHAIN, "last step's gamma in the transition denominator"),
    "hmms.py:in_logarithms_wrong": (CHAIN, "only the last sequence counted"),
    "hmms.py:by_name_wrong": (CHAIN, "a pseudo-count in the emissions"),
    "hmms.py:ChainWrong": (CHAIN, "emission matrix normalised over the states"),
    "script_hmm_wrong.py": (CHAIN, "beta left out of xi"),
}
"""The model that they are to fit, and the cause; none if the mistake has no name."""


def core(check):
    return check.stage != "deep"


@pytest.mark.parametrize("target", RIGHT)
def test_a_right_one_is_read_as_it_is_and_not_accused(target):
    model, reading = RIGHT[target]
    verdict = judged(str(FORMS / target), model, core)
    assert [(o.name, o.message) for o in verdict.of(Status.FAILED)] == []
    assert verdict.outcomes[4].status is Status.PASSED, "its first iteration was compared"
    assert reading in verdict.reading


@pytest.mark.parametrize("target", WRONG)
def test_a_wrong_one_is_caught_and_named(target):
    model, cause = WRONG[target]
    verdict = judged(str(FORMS / target), model, core)
    assert verdict.word is Word.WRONG
    assert not cause or verdict.causes[0].name == cause
