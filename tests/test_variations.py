"""Programs changed in one place: no right one is called wrong, no wrong one passes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from inprocess import judged
from lockstep import models
from lockstep.comparisons.validation import checks, mistakes, problems, validate
from lockstep.comparisons.validation.restricted import restrictions
from lockstep.comparisons.validation.verdicts import Word
from lockstep.reports import cli
from lockstep.reports import validation as rendered

FILE = Path(__file__).parent / "candidates" / "variations.py"
SPEC = importlib.util.spec_from_file_location("variations", FILE)
assert SPEC is not None
assert SPEC.loader is not None
variations = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(variations)

SLOW = ("timing", "very-long", "long", "optimum")


def verdict_on(folder, program, changes, **options):
    _, name, model = variations.PROGRAMS[program]
    source = variations.text(program, changes)
    assert not changes or source != variations.PROGRAMS[program][0]
    path = folder / "candidate.py"
    path.write_text(source)
    return judged(f"{path}:{name}", model, lambda check: check.name not in SLOW, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "changes", "word", "named"),
    variations.VARIATIONS,
    ids=[f"{program}: {named or word}" for program, _, word, named in variations.VARIATIONS],
)
def test_a_variation_gets_its_verdict(tmp_path, program, changes, word, named):
    verdict = verdict_on(tmp_path, program, changes)
    assert verdict.word == word, [(o.name, o.message) for o in verdict.of("failed")]
    told = [c.name for c in (verdict.choices if word != "wrong" else verdict.causes)]
    assert told[:1] == ([named] if named else []), verdict.causes


CHOICES = [v for v in variations.VARIATIONS if v[2] in ("partial", "fragile") and v[3]]


@pytest.mark.parametrize(
    ("program", "changes", "word", "named"), CHOICES[::3], ids=[v[3] for v in CHOICES[::3]]
)
def test_strict_makes_a_choice_a_failure(tmp_path, program, changes, word, named):
    verdict = verdict_on(tmp_path, program, changes, strict=True)
    assert verdict.word is Word.WRONG
    assert not verdict.choices


def test_variations_are_half_right_and_of_all_models():
    words = [word for *_, word, _ in variations.VARIATIONS]
    assert words.count("wrong") >= 20
    assert len(words) - words.count("wrong") >= 20
    models = {variations.PROGRAMS[program][2] for program, *_ in variations.VARIATIONS}
    assert len(models) == 3


# --- restricted models -----------------------------------------------------------------------

FINGERPRINTED = [
    (model, restriction)
    for model in ("gaussian_mixture_1d", "gaussian_mixture_2d", "categorical_hmm")
    for restriction in restrictions(model)
    if len(restriction.names) == 1 and not restriction.from_within
]


@pytest.mark.parametrize(
    ("model", "restriction"), FINGERPRINTED, ids=lambda v: getattr(v, "model", v)
)
def test_a_restricted_iteration_is_that_of_the_fingerprint(model, restriction):
    """Composed of E-step and M-step it is what the iteration in parts makes of it."""
    problem = problems.general(model, 91, 3, 30, one=False)
    module = models.load(model)
    start = module.Parameters(**problem.start)
    free = module.m_step(module.e_step(start, problem.data)[0]).arrays()
    found = restriction.maximum(free, problem.start)
    kind = next(m for m in mistakes.REGISTER if restriction.names == [m.NAME])
    expected = mistakes.run((kind,), problem.start, problem.data)
    assert max(mistakes.distances(found, expected).values()) < 1e-12


@pytest.mark.parametrize("model", ["gaussian_mixture_1d", "gaussian_mixture_2d", "categorical_hmm"])
def test_restricted_em_never_falls(model):
    """A generic maximum: the likelihood rises at each iteration within the restricted model."""
    problem = problems.general(model, 61, 2, 60, one=True)
    module = models.load(model)

    def score(arrays):
        return float(module.log_likelihood(module.Parameters(**arrays), problem.data))

    for restriction in restrictions(model):
        p = restriction.maximum(dict(problem.start), problem.start)
        trace = []
        for _ in range(12):
            free = module.m_step(module.e_step(module.Parameters(**p), problem.data)[0])
            p = restriction.maximum(free.arrays(), p)
            trace.append(score(p))
        falls = np.diff(trace).min()
        assert falls > -1e-9, (restriction, falls)


def test_a_program_that_returns_less_is_judged_by_the_rest(tmp_path):
    """As a program in another language may: what is missing is taken as kept, or as estimated."""
    right = variations.text("line", {})
    lacking = (
        "import json, sys, numpy as np\n" + right + "for line in sys.stdin:\n"
        "    q = json.loads(line); s = q['start']\n"
        "    if q['op'] != 'iterate': print(json.dumps({'id': q['id'], 'error': 'no'})); continue\n"
        "    m, d, w = em(np.array(q['data']), *(np.array(s[k]) ** e for k, e in "
        "(('means', 1), ('variances', 0.5), ('weights', 1))), q['iterations'])\n"
        "    p = {'means': m.tolist(), 'variances': (d**2).tolist()}\n"
        "    print(json.dumps({'id': q['id'], 'parameters': p}), flush=True)\n"
    )
    path = tmp_path / "program.py"
    path.write_text(lacking)
    only = ("interface", "first-step", "lockstep")
    verdict = validate(
        f"{sys.executable} {path}",
        "gaussian_mixture_1d",
        command=True,
        only=lambda check: check.name in only,
    )
    assert [(o.name, o.message) for o in verdict.of("failed")] == []
    assert [c.name for c in verdict.choices] == ["weights not returned"]
    assert verdict.word is Word.PARTIAL


# --- what a verdict says ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (("hmm", "startprob not updated"), "Right for what it does (startprob not updated)"),
        (("own_line", ""), "Valid"),
    ],
)
def test_a_headline_says_of_what(tmp_path, place, said):
    program, _ = place
    changes = next(c for p, c, _, n in variations.VARIATIONS if (p, n) == place)
    verdict = verdict_on(tmp_path, program, changes)
    assert rendered.headline(verdict).startswith(said)
    assert rendered.scope(verdict).startswith("Seen to be right: ")


def test_an_end_alone_is_too_little_to_say_and_has_its_own_exit_status(tmp_path, capsys):
    path = tmp_path / "candidate.py"
    path.write_text(variations.text("own_line", variations.HIDDEN))
    command = ["validate", f"{path}:fit", "--model", "gaussian-mixture-1d"]
    assert cli.main(command) == 2
    told = " ".join(capsys.readouterr().out.split())
    assert "? Seen too little to say: 2 checks passed" in told
    assert "Seen to be right: where its own fits end." in told


@pytest.mark.slow
def test_a_choice_ends_with_zero_unless_it_is_strict(tmp_path, capsys, monkeypatch):
    few = [check for check in checks.CHECKS if check.name not in SLOW]
    monkeypatch.setattr(checks, "CHECKS", few)
    path = tmp_path / "candidate.py"
    path.write_text(variations.text("line", {"        pi = N_k / N\n": ""}))
    command = ["validate", f"{path}:em", "--model", "gaussian-mixture-1d"]
    assert cli.main(command) == 0
    assert "Taken as a choice: weights not updated" in capsys.readouterr().out
    assert cli.main([*command, "--strict"]) == 1
    assert "Probable cause: weights not updated" in capsys.readouterr().out
