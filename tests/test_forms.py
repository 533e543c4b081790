"""Code in the forms in which people write EM: read as it is, and judged for its mathematics."""

from __future__ import annotations

from pathlib import Path

import pytest

from inprocess import judged
from lockstep.comparisons.validation import validate
from lockstep.comparisons.validation.candidate import UnusableError
from lockstep.comparisons.validation.verdicts import Ended, Word
from lockstep.reports import cli

FORMS = Path(__file__).with_name("candidates") / "forms"
LINE, PLANE, CHAIN = "gaussian_mixture_1d", "gaussian_mixture_2d", "categorical_hmm"

RIGHT = {
    "mixtures_1d.py:with_lists": (LINE, "centres = means; var = variances"),
    "mixtures_1d.py:named_tuple": (LINE, "stds = standard deviations"),
    "mixtures_1d.py:dictionary_step": (LINE, "all parameters in one dictionary"),
    "mixtures_1d.py:in_any_dimension": (LINE, "variances as 1 x 1 matrices"),
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
    "beside_mixture.py": (PLANE, "number_of_gaussians = n components"),
    "in_a_dictionary.py": (PLANE, "self.state.mu = means"),
    "beside_hmm.py": (CHAIN, "symbol_num = n features"),
    "made_with_data.py:Welch": (CHAIN, "p = transmat; q = emissionprob; b_0 = startprob"),
}
"""The model that they fit, and a part of how they are read."""

WRONG = {
    "mixtures_1d.py:with_lists_wrong": (LINE, "means divided by N"),
    "mixtures_1d.py:dictionary_step_wrong": (LINE, "old means in the new variances"),
    "mixtures_1d.py:two_normals_wrong": (LINE, ""),
    "script_while_wrong.py": (LINE, "weights not divided by N"),
    "mixtures_2d.py:columns_wrong": (PLANE, "old means in the new variances"),
    "mixtures_2d.py:do_expectation,do_maximization_wrong": (PLANE, "variances divided by N"),
    "plane_wrong.ipynb": (PLANE, ""),
    "hmms.py:from_columns_wrong": (CHAIN, "last step's gamma in the transition denominator"),
    "hmms.py:in_logarithms_wrong": (CHAIN, "only the last sequence counted"),
    "hmms.py:by_name_wrong": (CHAIN, "a pseudo-count in the emissions"),
    "hmms.py:ChainWrong": (CHAIN, "emission matrix normalised over the states"),
    "script_hmm_wrong.py": (CHAIN, "beta left out of xi"),
}
"""The model that they are to fit, and the cause; none if the mistake has no name."""

LESS = {
    "mixtures_1d.py:every_step_wrong": (LINE, "weights not updated"),
    "mixtures_2d.py:ClustersWrong": (PLANE, "one variance for all components"),
    "hmms.py:start_kept": (CHAIN, "startprob not updated"),
}
"""The model of which they fit a part, and what they leave out."""


def core(check):
    return check.stage != "deep"


@pytest.mark.parametrize("target", RIGHT)
def test_a_right_one_is_read_as_it_is_and_not_accused(target):
    model, reading = RIGHT[target]
    verdict = judged(str(FORMS / target), model, core)
    assert [(o.name, o.message) for o in verdict.of(Ended.FAILED)] == []
    assert verdict.outcomes[4].status is Ended.PASSED, "its first iteration was compared"
    assert reading in verdict.reading


@pytest.mark.slow
@pytest.mark.parametrize("target", WRONG)
def test_a_wrong_one_is_caught_and_named(target):
    model, cause = WRONG[target]
    verdict = judged(str(FORMS / target), model, core)
    assert verdict.word is Word.WRONG
    assert not cause or verdict.causes[0].name == cause


@pytest.mark.parametrize("target", LESS)
def test_one_that_does_less_is_right_for_what_it_does(target):
    model, what = LESS[target]
    verdict = judged(str(FORMS / target), model, core)
    assert verdict.word is Word.PARTIAL
    assert what in [cause.name for cause in verdict.choices]


# --- what is said where something is missing --------------------------------------------------


def refused(target, model):
    with pytest.raises(UnusableError) as refusal:
        judged(str(target), model, core)
    return str(refusal.value)


def test_blanks_are_told_as_blanks():
    said = refused(FORMS / "plane_blank.ipynb", PLANE)
    assert "blanks that are still to be filled in" in said
    assert "line 10 of code cell 4: means[k] = ### weighted mean" in said


@pytest.mark.parametrize(
    ("target", "model", "said"),
    [
        ("made_with_data.py:Holder", CHAIN, "Holder is a class without a fit()"),
        ("made_with_data.py:Unstored", CHAIN, "readings were tried"),
        ("e_step_alone.py", PLANE, "nothing in e_step_alone.py could be called"),
    ],
)
def test_what_is_no_iteration_is_not_judged_as_one(target, model, said):
    assert said in refused(FORMS / target, model)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("r = ...  # responsibilities", "line 6: r = ..."),
        ("r = None  # TODO: responsibilities", "line 6: r = None  # TODO"),
        ("raise NotImplementedError", "line 6: raise NotImplementedError"),
    ],
)
def test_placeholders_are_blanks_too(tmp_path, line, said):
    path = tmp_path / "exercise.py"
    path.write_text(
        "import numpy as np\nx = np.arange(9.0)\nmu, s, pi = np.array([1, 5.0]), np.ones(2), "
        f"np.ones(2) / 2\n\nfor i in range(9):\n    {line}\n    mu = r.T @ x / r.sum(0)\n"
    )
    assert said in refused(path, LINE)


def test_what_stops_a_script_is_told_with_its_line(tmp_path):
    path = tmp_path / "script.py"
    text = (FORMS / "script_while.py").read_text("utf-8")
    text = text.replace("heights.size", "int(open('n.txt').read())").replace("n_points", "every")
    path.write_text(text)
    assert "line 13 stopped it: every = int(open('n.txt').read())" in refused(path, LINE)


def test_a_file_without_em_says_what_it_has(tmp_path):
    path = tmp_path / "other.py"
    path.write_text("def area(radius): return 3 * radius ** 2\n")
    assert "it defines area" in refused(path, LINE)
    assert "it has area" in refused(f"{path}:em", LINE)


STRANGE = """
import numpy as np

def iterate(foo, bar, baz, qux, n):
    for _ in range(n):
        r = qux * np.exp(-0.5 * (foo[:, None] - bar) ** 2 / baz) / np.sqrt(baz)
        r /= r.sum(1, keepdims=True)
        bar, qux = foo @ r / r.sum(0), r.mean(0)
        baz = (r * (foo[:, None] - bar) ** 2).sum(0) / r.sum(0)
    return bar, baz, qux
"""


def test_names_without_any_meaning_are_found_out_by_trial_or_by_map(tmp_path, capsys):
    path = tmp_path / "strange.py"
    path.write_text(STRANGE)
    verdict = judged(f"{path}:iterate", LINE, core)
    assert verdict.word is Word.VALID
    assert "foo = data; bar = means; baz = variances; qux = weights" in verdict.reading
    said = {"foo": "data", "bar": "means", "baz": "sds", "qux": "weights"}
    asked = validate(f"{path}:iterate", LINE, said=said, only=lambda c: c.name == "interface")
    assert "baz = standard deviations" in asked.reading
    arguments = ["validate", f"{path}:iterate", "--model", "gaussian-mixture-1d", "--map"]
    assert cli.main([*arguments, "foo=banana"]) == 2
    assert "give NAME=MEANING, where MEANING is one of n_iter, weights, means" in (
        capsys.readouterr().err
    )


def test_a_whole_file_is_searched_for_what_it_holds():
    for name, model, kind in (
        ("mixtures_2d.py", PLANE, ""),
        ("hmms.py", CHAIN, ""),
        ("script_hmm.py", CHAIN, "loop of a script"),
    ):
        verdict = judged(str(FORMS / name), model, lambda check: check.stage == "interface")
        assert kind in verdict.kind
        assert verdict.word is Word.VALID


def test_what_is_not_returned_is_said_to_be_kept():
    target = f"{FORMS / 'hmms.py'}:start_kept"
    verdict = judged(target, CHAIN, lambda check: check.stage == "interface")
    assert verdict.reading == (
        "chain = data; trans = transmat; emit = emissionprob; init = startprob; "
        "n_steps = iterations; a single sequence; startprob kept, since not returned"
    )


def test_a_file_of_a_package_finds_its_neighbours(tmp_path):
    folder = tmp_path / "clusterings" / "gaussian"
    folder.mkdir(parents=True)
    for made in (folder.parent, folder):
        (made / "__init__.py").touch()
    (folder.parent / "densities.py").write_text(
        "from scipy.stats import norm\n\ndef density(x, m, s):\n    return norm.pdf(x, m, s)\n"
    )
    path = folder / "em.py"
    path.write_text(
        "import numpy as np\nfrom ..densities import density\n\n"
        "def em_step(x, w, mu, sd):\n"
        "    r = w * density(x[:, None], mu, sd)\n"
        "    r = r / r.sum(1, keepdims=True)\n"
        "    n = r.sum(0)\n    mu = x @ r / n\n"
        "    sd = np.sqrt((r * (x[:, None] - mu) ** 2).sum(0) / n)\n"
        "    return n / len(x), mu, sd\n"
    )
    verdict = judged(str(path), LINE, lambda check: check.stage == "interface")
    assert verdict.word is Word.VALID
