"""Validation: right implementations pass, wrong ones are caught and named, whatever they do."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import mpmath
import numpy as np
import pytest
from scipy import stats

import mutants
import oracles
import validated
from inprocess import judged
from lockstep import models
from lockstep.comparisons import exact
from lockstep.comparisons.validation import (
    Trial,
    bench,
    checks,
    mistakes,
    problems,
    validate,
)
from lockstep.comparisons.validation.binding import Call, read
from lockstep.comparisons.validation.candidate import Candidate, UnusableError
from lockstep.comparisons.validation.channel import Channel, StartError, TroubleError
from lockstep.comparisons.validation.reading import TargetError
from lockstep.comparisons.validation.verdicts import Ended, Word
from lockstep.reports import cli
from lockstep.reports import validation as rendered

ROOT = Path(__file__).parents[1]
MIXTURE = "gaussian_mixture_1d"
WRONG, RIGHT = list(validated.wrong()), list(validated.right())
PAGE = validated.PAGE.read_text("utf-8")


# --- right and wrong ones ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_a_wrong_implementation_is_caught_and_named(case):
    verdict = judged(case.target, case.model, strict=True)
    assert verdict.word is not Word.VALID
    assert verdict.causes
    assert verdict.causes[0].name == case.cause
    assert validated.wrong_row(case, verdict) in PAGE.splitlines(), "run make validation"


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [case for case in RIGHT if not case.program], ids=lambda c: f"{c.name} {c.model}"
)
def test_a_right_implementation_is_valid(case):
    # 100,000 steps in pure Python take seconds: two will do here, make validation does all.
    quick = "kernels" in case.name or "hmmlearn" in case.name
    left_out = ("timing",) if quick else ("timing", "very-long")
    verdict = judged(case.target, case.model, lambda check: check.name not in left_out)
    assert [(o.name, o.message) for o in verdict.of(Ended.FAILED)] == []
    assert not verdict.causes
    assert validated.right_row(case, verdict) in PAGE.splitlines(), "run make validation"


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [case for case in RIGHT if case.program and case.there], ids=lambda case: case.name
)
def test_a_program_in_any_language_is_valid(case):
    verdict = case.validate()
    assert [(o.name, o.message) for o in verdict.of(Ended.FAILED)] == []
    assert validated.right_row(case, verdict) in PAGE.splitlines(), "run make validation"


@pytest.mark.slow
@pytest.mark.parametrize("model", mutants.SOURCES)
def test_some_changes_to_a_right_implementation(model, tmp_path):
    path, function = mutants.SOURCES[model]
    assert judged(f"{ROOT / path}:{function}", model, few).word is not Word.WRONG
    texts = mutants.mutants((ROOT / path).read_text("utf-8"))
    for text in texts[2::40]:
        (tmp_path / "mutant.py").write_text(text)
        try:
            verdict = judged(f"{tmp_path}/mutant.py:{function}", model, few)
        except UnusableError:
            continue
        if verdict.word is Word.VALID:  # then it is one that the page lists
            line = f"- {model.replace('_', '-')}: `{mutants.difference(model, text)}"
            assert line in PAGE.splitlines()


def test_the_page_claims_what_the_tests_find():
    number = len(WRONG)
    assert number >= 25
    assert f"Of {number} wrong implementations {number} are caught, and {number} are" in PAGE
    assert f"Of {len(RIGHT)} right implementations 0 are called wrong:" in PAGE


@pytest.mark.slow
def test_the_classroom_example_by_the_command_of_the_readme():
    command = "validate examples/homework_1d.py --model gaussian-mixture-1d"
    assert command in (ROOT / "README.md").read_text("utf-8")
    run = lockstep(*command.split()[1:], "--format", "json", cwd=ROOT)
    assert run.returncode == 1, run.stderr
    said = json.loads(run.stdout)
    assert said["verdict"] == "fragile"
    assert [c["name"] for c in said["checks"] if c["status"] == "failed"] == ["far-away"]
    assert [c["name"] for c in said["causes"]] == ["underflow"]
    assert {row["who"] for row in said["timing"]} == {
        "candidate", "our readable EM", "our kernels", "scikit-learn"
    }  # fmt: skip
    assert all(row["nanoseconds"] > 0 for row in said["timing"])
    assert not said["deviations"], "what a script writes to is its own"


# --- the truths that candidates are compared with ---------------------------------------------


def test_exact_mixture_is_the_oracles():
    problem = problems.general(MIXTURE, 5, 2, 9, one=False)
    (w, m, v), trace = oracles.mixture_1d_em(*problem.start.values(), problem.data, 1)
    found = exact.twin(MIXTURE).iteration(problem.start, problem.data)
    for name, expected in (("weights", w), ("means", m), ("variances", v)):
        np.testing.assert_array_equal(found[name], [float(a) for a in expected])
    assert exact.twin(MIXTURE).expectation(problem.start, problem.data)[1] == float(trace[0])


def test_exact_mixture_in_the_plane_is_scipys_and_numpys():
    problem = problems.general("gaussian_mixture_2d", 5, 2, 9, one=False)
    twin = exact.twin("gaussian_mixture_2d")
    r, found = twin.expectation(problem.start, problem.data)
    joint = [
        w * stats.multivariate_normal(m, S).pdf(problem.data)
        for w, m, S in zip(*problem.start.values())
    ]
    assert found == pytest.approx(np.log(np.sum(joint, axis=0)).sum(), rel=1e-14)
    # The M-step from exact responsibilities, in doubles: a dozen roundings.
    r = r["responsibilities"]
    after = twin.iteration(problem.start, problem.data)
    for k in range(2):
        cov = np.cov(problem.data.T, aweights=r[:, k], ddof=0)
        np.testing.assert_allclose(after["covariances"][k], cov, rtol=1e-13)
        mean = np.average(problem.data, axis=0, weights=r[:, k])
        np.testing.assert_allclose(after["means"][k], mean, rtol=1e-13)
    np.testing.assert_allclose(after["weights"], r.mean(axis=0), rtol=1e-14)


@pytest.mark.parametrize("enumerated", [True, False], ids=["all paths", "recursion"])
def test_exact_hmm_is_the_oracles(enumerated, monkeypatch):
    twin = exact.twin("categorical_hmm")
    monkeypatch.setattr(type(twin), "PATHS", 128 if enumerated else 127)
    problem = problems.general("categorical_hmm", 5, 2, 7, one=True)
    evidence, *counts, gamma = oracles.hmm_by_enumeration(*problem.start.values(), problem.data[0])
    found, score = twin.expectation(problem.start, problem.data)
    assert score == pytest.approx(float(mpmath.log(evidence)), rel=1e-14)
    np.testing.assert_allclose(found["gamma"], gamma, rtol=1e-13)
    np.testing.assert_allclose(found["xi"].sum(axis=0), counts[1], rtol=1e-13)
    after = twin.iteration(problem.start, problem.data)
    for name, field, expected in zip(("starts", "transitions", "emissions"), after, counts):
        np.testing.assert_allclose(found[name], expected, rtol=1e-13)
        shares = expected / expected.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(after[field], shares, rtol=1e-13)


@pytest.mark.parametrize(
    ("model", "start", "said"),
    [
        (MIXTURE, {"weights": [1.0], "means": [0.0], "variances": [0.0]}, "variance 0"),
        (MIXTURE, {"weights": [1.0], "means": [0.0], "variances": [-1.0]}, "variance 0"),
        (
            "gaussian_mixture_2d",
            {"weights": [1.0], "means": [[0.0, 0.0]], "covariances": [[[1.0, 2.0], [2.0, 1.0]]]},
            "the covariance of component 0 is singular",
        ),
        (
            "categorical_hmm",
            {"startprob": [1.0], "transmat": [[1.0]], "emissionprob": [[1.0, 0.0]]},
            "a sequence is impossible",
        ),
    ],
)
def test_parameters_without_likelihood_are_refused_in_words(model, start, said):
    data = {MIXTURE: [0.0, 1.0], "categorical_hmm": [[0, 1]]}.get(model, [[0.0, 1.0]])
    with pytest.raises(exact.UndefinedError, match=said):
        exact.twin(model).expectation(start, data)


def test_without_exact_twin_what_needs_one_is_not_checked_and_says_why(monkeypatch):
    monkeypatch.delitem(exact.TWINS, tuple(models.load(MIXTURE).Parameters.SPACES))
    target = f"{ROOT / 'examples' / 'notebook_em_1d.py'}:em"
    verdict = validate(target, MIXTURE, only=lambda check: check.stage != "deep")
    outcomes = {o.name: o for o in verdict.outcomes}
    assert outcomes["first-step"].status is Ended.NOT_CHECKED
    assert outcomes["first-step"].message.startswith("there is no EM at 50 digits for the")
    for name in ("lockstep", "log-likelihood"):  # by our own E-step, and our own function
        assert outcomes[name].status is Ended.PASSED


# --- fingerprints -----------------------------------------------------------------------------


def general(model, seed, one=False):
    return problems.general(model, seed, 3, 30, one=one)


def test_a_fingerprint_without_a_mistake_is_the_right_iteration(model_name):
    problem = general(model_name, 91)
    model = models.load(model_name)
    right = mistakes.run((mistakes.root(model_name),), problem.start, problem.data)
    statistics, _ = model.e_step(model.Parameters(**problem.start), problem.data)
    expected = model.m_step(statistics).arrays()
    assert max(mistakes.distances(right, expected).values()) < 1e-13


def test_there_are_enough_fingerprints_and_each_has_its_words():
    assert len(mistakes.REGISTER) >= 25
    for mistake in mistakes.REGISTER:
        assert mistake.NAME
        assert mistake.SAYS
        assert mistake.MEND
        assert mistakes.parts(mistake), mistake


def test_no_two_mistakes_leave_the_same_fingerprint(model_name):
    # Some differ little at a given start; a thousand times the tolerance is still no coincidence.
    apart = 1e3 * mistakes.SAME
    made = []
    for (kind,) in mistakes.candidates(model_name)[0]:
        results = [
            mistakes.run((kind,), p.start, p.data)
            for p in (general(model_name, 91), general(model_name, 92))
        ]
        assert None not in results, kind
        made.append((kind, results))
    right = [
        mistakes.run((mistakes.root(model_name),), p.start, p.data)
        for p in (general(model_name, 91), general(model_name, 92))
    ]
    for (a, first), (b, second) in combinations([*made, (mistakes.root(model_name), right)], 2):
        furthest = max(max(mistakes.distances(x, y).values()) for x, y in zip(first, second))
        assert furthest > apart, (a, b)


@pytest.mark.slow
def test_every_mistake_explains_itself_whatever_the_conventions_around_it(model_name):
    seen = [general(model_name, seed) for seed in (91, 92)]
    for (kind,) in mistakes.candidates(model_name)[0]:
        for chosen in (mistakes.conventions(model_name)[0], mistakes.conventions(model_name)[-1]):
            made = [mistakes.run((kind, *chosen), p.start, p.data) for p in seen]
            observed = [mistakes.Observed(p.start, p.data, [m]) for p, m in zip(seen, made)]
            names = [guess.name for guess in mistakes.guesses(model_name, observed)]
            assert names[0] == kind.NAME, (kind, chosen)


def test_a_convention_alone_changes_nothing(model_name):
    p, root = general(model_name, 91), mistakes.root(model_name)
    right = mistakes.run((root,), p.start, p.data)
    for chosen in mistakes.conventions(model_name)[1:]:
        made = mistakes.run(chosen, p.start, p.data)
        assert max(mistakes.distances(made, right).values()) < 1e-12, chosen


def test_the_right_numbers_have_no_explanation(model_name):
    observed = []
    for seed in (91, 92):
        p, path = general(model_name, seed), []
        start = p.start
        for _ in range(2):
            start = mistakes.run((mistakes.root(model_name),), start, p.data)
            path.append(start)
        observed.append(mistakes.Observed(p.start, p.data, path))
    assert mistakes.guesses(model_name, observed) == []


def test_an_unknown_mistake_is_located_not_named(tmp_path):
    verdict = judged(
        write(
            tmp_path,
            STEP.replace("means = r.T @ x / n", "means = r.T @ x / n + 0.01").replace(
                "- means)", "- r.T @ x / n)"
            ),
        ),
        MIXTURE,
    )
    assert verdict.causes[0].name == "the update of the means"
    assert "your weights and variances right" in verdict.causes[0].evidence


# --- whatever a candidate does ----------------------------------------------------------------

STEP = """
import numpy as np

def step(parameters, x):
    w, m, v = parameters
    logs = np.log(w) - 0.5 * np.log(2 * np.pi * v) - 0.5 * (x[:, None] - m) ** 2 / v
    r = np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))
    n = r.sum(axis=0)
    means = r.T @ x / n
    return n / len(x), means, (r * (x[:, None] - means) ** 2).sum(axis=0) / n
"""


def write(folder, text, name="step"):
    path = folder / "candidate.py"
    path.write_text(text)
    return f"{path}:{name}"


def few(check):
    return check.stage != "deep" or check.name in ("relabelled", "shifted", "one-each")


def failures(verdict):
    return {o.name: o.message for o in verdict.of(Ended.FAILED)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "check", "message"),
    [
        ("while len(x) == 12: pass", "first-step", "it hangs: no answer within 1 s"),
        ("import os; len(x) == 12 and os._exit(3)", "first-step", "its process ended with status"),
        ("import os; len(x) == 12 and os.abort()", "first-step", "ended by signal SIGABRT"),
        ("1 / (len(x) != 12)", "first-step", "ZeroDivisionError: division by zero"),
        ("raise SystemExit('no')", "interface", "SystemExit: no"),
        ("return None", "interface", "None was returned, without weights, means, variances"),
        ("return 'abc', 1, 2", "interface", "the weights returned are no array of numbers"),
        ("return w, m", "interface", "2 values were returned; expected weights, means, variances"),
        ("return w, m[:2], v", "interface", "means has shape (2,); expected (3,)"),
        ("return w, m * np.nan, v", "interface", "means[0] is nan"),
        ("x[0] = 0.0", "untouched", "it writes to the data that it is given"),
        ("m = m + np.random.default_rng().normal(size=m.shape)", "untouched", "has two answers"),
        ("input()", "interface", "EOFError"),
    ],
)
def test_a_candidate_that_misbehaves_gets_a_verdict_and_the_suite_goes_on(
    tmp_path, line, check, message
):
    text = STEP.replace("    logs =", f"    {line}\n    logs =", 1)
    verdict = validate(write(tmp_path, text), MIXTURE, limit=1.0, only=few)
    # What raises before it has answered at all says nothing of the mathematics.
    unheard = check == "interface" and "shape" not in message and "nan" not in message
    assert verdict.word is (Word.UNSEEN if unheard else Word.WRONG)
    assert message in failures(verdict)[check]
    assert len(verdict.outcomes) == len([c for c in Trial(candidate(), 1.0).checks if few(c)])
    if check == "first-step":  # the others are asked of a new process, and are right
        assert {o.name for o in verdict.of(Ended.PASSED)} >= {"interface", "m-step", "lockstep"}


def candidate():
    return Candidate("", MIXTURE, Channel(["true"], 1.0), python=False)


def test_what_a_candidate_prints_is_no_answer(tmp_path):
    text = STEP.replace("    logs =", '    print(\'{"id": "q2"}\', flush=True)\n    logs =', 1)
    assert validate(write(tmp_path, text), MIXTURE, only=few).word is Word.VALID


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("print('hello', flush=True); input()", "printed 'hello', which is no JSON"),
        ("print('{}', flush=True); input()", "which does not have the id 'q1'"),
        ("pass", "its process ended with status 0"),
        ("import time; time.sleep(60)", "no answer within 1 s"),
        ("import sys; sys.stdin.close(); print('[' * 10**6)", "which is no JSON"),
        ('print(\'{"id": "q1"}\', flush=True); input()', "answered without an object 'parameters'"),
        (
            'print(\'{"id": "q1", "parameters": {"weights": [[1], 2]}}\', flush=True)',
            "answered with weights that are no array of numbers",
        ),
    ],
)
def test_a_program_that_talks_rubbish_gets_a_verdict(tmp_path, program, message):
    path = tmp_path / "program.py"
    path.write_text(program)
    command = f"{sys.executable} {path}"
    verdict = validate(command, MIXTURE, command=True, limit=1.0)
    assert message in failures(verdict)["interface"]
    others = [o for o in verdict.outcomes if o.name != "interface"]
    assert all(o.status is Ended.NOT_CHECKED for o in others)


def test_a_program_that_reads_nothing_of_a_long_question_is_ended(tmp_path):
    path = tmp_path / "program.py"
    path.write_text("import time; time.sleep(60)")
    with (
        Channel([sys.executable, str(path)], 0.3) as channel,
        pytest.raises(TroubleError, match=r"no answer within 0\.3 s"),
    ):
        channel.ask({"data": [0.0] * 200_000})
    assert not channel.running


def test_an_interrupted_validation_leaves_no_process(tmp_path):
    with Channel([sys.executable, "-c", "import time; time.sleep(60)"], 0.2) as channel:
        process = channel._start()
    assert process.poll() is not None


@pytest.mark.slow
def test_what_is_too_slow_for_a_long_case_is_not_called_wrong(tmp_path):
    text = STEP.replace("    logs =", "    import time; time.sleep(4e-4 * len(x))\n    logs =", 1)
    few = ("interface", "lockstep", "optimum", "timing")
    verdict = validate(write(tmp_path, text), MIXTURE, limit=2.0, only=lambda c: c.name in few)
    said = {o.name: o.message for o in verdict.of(Ended.NOT_CHECKED)}
    assert "at its speed this would take about" in said["optimum"]
    assert "at its speed" in said["timing"]
    assert verdict.word is Word.VALID


# --- recognising targets ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("step", "does not name an object"),
        ("nowhere.py:step", "there is no file nowhere.py"),
        ("no_such_package:step", "No module named 'no_such_package'"),
        ("candidate.py:stpe", "has no 'stpe'; did you mean 'step'?"),
        ("candidate.py:np", "is neither a function nor an estimator"),
        ("candidate.py:broken", "what is 'banana'? Known names are data"),
        ("candidate.py:half", "takes no variances"),
        ("candidate.py:blind", "takes no data"),
        ("candidate.py:step,step,step", "an E-step and an M-step"),
    ],
)
def test_a_target_that_cannot_be_used_is_refused_with_what_to_change(
    tmp_path, monkeypatch, target, message
):
    more = (
        "\ndef broken(x, banana, apple): ...\ndef half(data, weights, means): ...\n"
        "def blind(weights, means, variances): ...\n"
    )
    write(tmp_path, STEP + more)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnusableError, match=message.replace("?", r"\?")):
        validate(target, MIXTURE)


def test_a_target_that_cannot_be_imported_says_why(tmp_path):
    with pytest.raises(UnusableError, match=r"(?s)cannot be imported: SyntaxError.*candidate\.py"):
        validate(write(tmp_path, "def step(:\n"), MIXTURE)
    with pytest.raises(StartError, match="cannot run no-such-program: No such file"):
        validate("no-such-program -x", MIXTURE, command=True)
    with pytest.raises(UnusableError, match="No closing quotation"):
        validate("a 'b", MIXTURE, command=True)


@pytest.mark.parametrize(
    ("signature", "roles"),
    [
        ("theta, y", "parameters data"),
        ("x, old", "data parameters"),
        ("a, b", "parameters data"),
        ("data, K", "data n_components"),
        ("K, data", "n_components data"),
        ("X, pi, mu, sigma, n_iter=9", "data weights means sds iterations"),
        ("mu_init, var0, weights, data", "means variances weights data"),
        ("start, data, max_iter, tol=1e-9", "parameters data iterations tol"),
    ],
)
def test_arguments_are_known_by_their_names(signature, roles):
    namespace: dict[str, object] = {}
    exec(f"def f({signature}): ...", namespace)
    call = Call(namespace["f"], models.load(MIXTURE))
    assert " ".join(call.roles.values()) == roles


def test_answers_are_read_in_many_forms():
    names = ("weights", "means", "variances")
    w, m, v = np.array([0.4, 0.6]), np.array([1.0, 2.0]), np.array([4.0, 9.0])

    class Holder:
        def __init__(self):
            self.pi_, self.mu_, self.sigma_ = w, m, np.sqrt(v)

    for returned, order in (
        ((w, m, v), names),
        ([w, m, v, -3.5], names),
        ((m, np.sqrt(v), w, [-9.0, -3.5]), ("means", "sds", "weights")),
        ({"pi": w, "mu": m, "sigma": np.sqrt(v), "loglik": -3.5}, names),
        (({"weights": w, "means": m, "variances": v}, -3.5), names),
        (models.load(MIXTURE).Parameters(w, m, v), names),
        (Holder(), names),
    ):
        answer = read(returned, names, order)
        assert answer.log_likelihood in (None, -3.5)
        for name, expected in zip(names, (w, m, v)):
            np.testing.assert_allclose(answer.parameters[name], expected, rtol=1e-15)
    with pytest.raises(ValueError, match="without variances"):
        read({"weights": w, "means": m}, names, names)
    with pytest.raises(TargetError, match="takes no weights, variances"):
        Call(lambda data, mu: None, models.load(MIXTURE))


OWN = """
class Mine:
    def __init__(self, K):
        self.K = K

    def fit(self, X):
        x = X[:, 0]
        self.mu = np.quantile(x, (np.arange(self.K) + 0.5) / self.K)
        self.pi, self.sigma = np.full(self.K, 1 / self.K), np.full(self.K, x.std())
        for _ in range(STEPS):
            self.pi, self.mu, v = step((self.pi, self.mu, self.sigma**2), x)
            self.sigma = np.sqrt(v)
"""


@pytest.mark.parametrize(("steps", "word"), [(400, Word.UNSEEN), (2, Word.WRONG)])
def test_an_estimator_with_a_start_of_its_own_is_judged_by_where_it_ends(tmp_path, steps, word):
    text = STEP + OWN.replace("STEPS", str(steps))
    verdict = judged(write(tmp_path, text, "Mine"), MIXTURE)
    assert verdict.word is word
    assert verdict.kind.endswith("from its own start")
    said = {o.name: o for o in verdict.outcomes}
    assert said["lockstep"].message == "it cannot be told where to begin"
    if word is Word.WRONG:
        assert "where one more iteration would gain" in said["own-fit"].message


LOG_LIKELIHOODS = {
    "score / len(x)": ("per observation", Word.VALID),
    "-score": ("negative log-likelihood", Word.VALID),
    "score / np.log(2)": ("in bits", Word.WRONG),
    "score + len(x) * 0.5 * np.log(2 * np.pi)": ("without the constant", Word.WRONG),
    "score + 0.001": ("a wrong log-likelihood beside right parameters", Word.WRONG),
}


@pytest.mark.parametrize(("value", "told"), LOG_LIKELIHOODS.items(), ids=LOG_LIKELIHOODS)
def test_a_log_likelihood_that_is_something_else_is_told(tmp_path, value, told):
    text = STEP.replace("step", "plain", 1) + (
        "\ndef step(parameters, x):\n"
        "    w, m, v = plain(parameters, x)\n"
        "    logs = np.log(w) - 0.5 * np.log(2 * np.pi * v) - 0.5 * (x[:, None] - m) ** 2 / v\n"
        "    score = np.logaddexp.reduce(logs, axis=1).sum()\n"
        f"    return w, m, v, {value}\n"
    )
    verdict = judged(write(tmp_path, text), MIXTURE, only=few)
    said = [d.name for d in verdict.deviations] + [c.name for c in verdict.causes]
    assert verdict.word is told[1]
    assert any(told[0] in name for name in said)


# --- readers ----------------------------------------------------------------------------------


def lockstep(*arguments, cwd=None):
    command = [sys.executable, "-m", "lockstep.reports.cli", "validate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.mark.slow
def test_the_command_line(tmp_path, monkeypatch, capsys):
    write(tmp_path, STEP)
    model = ("--model", "gaussian-mixture-1d")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "CHECKS", [c for c in checks.CHECKS if few(c)])
    assert cli.main(["validate", "candidate.py:step", *model]) == 0
    assert "Valid: 10 checks passed" in capsys.readouterr().out
    write(tmp_path, STEP.replace("- means)", "- m)"))
    assert cli.main(["validate", "candidate.py:step", *model]) == 1
    assert "Probable cause: old means in the new variances" in capsys.readouterr().out
    for arguments, message in (
        ((), "name either a TARGET or a --command"),
        (("a.py:b", "--command", "x"), "name either a TARGET or a --command"),
        (("candidate.py:stop",), "did you mean 'step'?"),
    ):
        assert cli.main(["validate", *arguments, *model]) == 2
        said = capsys.readouterr()
        assert message in said.err
        assert not said.out
    with pytest.raises(SystemExit, match="2"):
        cli.main(["validate", "a.py:b", "--model", "gmm"])
    assert "invalid choice: 'gmm'" in capsys.readouterr().err


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("section", ["The model", "E-step", "M-step"])
def test_what_a_verdict_tells_people_to_read_is_there(name, section, tmp_path, monkeypatch):
    asked = bench.Bench(SimpleNamespace(model=name), 1.0)
    for folder in (ROOT, tmp_path):
        monkeypatch.chdir(folder)
        page, told = asked.read(section).split(", ")
        assert told == section
        assert f"\n## {section}" in (folder / page).read_text("utf-8")
        assert page.startswith("docs/") == (folder == ROOT)


def test_a_model_without_a_page_is_read_in_its_equations(tmp_path, monkeypatch):
    there = tmp_path / "poisson" / "equations.py"
    theirs = SimpleNamespace(NAME="poisson", __file__=str(there.with_name("__init__.py")))
    monkeypatch.setattr(bench.Bench, "model", theirs)
    monkeypatch.chdir(tmp_path)
    assert bench.Bench(SimpleNamespace(model="poisson"), 1.0).read("E-step") == (
        "poisson/equations.py"
    )


@pytest.fixture(scope="module")
def mixed():
    """Return a verdict with something of everything."""
    case = next(c for c in WRONG if c.name.endswith(":guarded"))
    verdict = judged(case.target, case.model)
    odd = replace(verdict.outcomes[0], message="a <b> | \x00 & ]]>", detail="at line\n1")
    outcomes = [odd, *verdict.outcomes[1:]]
    timing = ({"who": "candidate", "nanoseconds": 12.0},)
    return replace(verdict, outcomes=outcomes, timing=timing)


def test_json_has_no_nan_and_all_that_was_found(mixed):
    strange = replace(mixed, outcomes=[replace(mixed.outcomes[0], measured=np.inf)])
    said = json.loads(rendered.as_json(strange))
    assert said["checks"][0]["measured"] is None
    said = json.loads(rendered.as_json(mixed))
    assert len(said["checks"]) == len(mixed.outcomes)
    assert said["verdict"] == "fragile"


def test_junit_is_xml_whatever_the_candidate_printed(mixed):
    suite = ElementTree.fromstring(rendered.as_junit(mixed))
    assert len(suite.findall("testcase")) == int(suite.get("tests")) == len(mixed.outcomes)
    failed = suite.findall("testcase/failure")
    assert len(failed) == int(suite.get("failures")) == 1
    assert "probable cause: underflow" in failed[0].text
    assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped"))


def test_markdown_keeps_its_table_whole(mixed):
    lines = rendered.as_markdown(mixed).splitlines()
    rows = [line for line in lines if line.startswith(("| ✓", "| ✗", "| –"))]
    assert len(rows) == len(mixed.outcomes)
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
    assert any("**Probable cause: underflow.**" in line for line in lines)


@pytest.mark.parametrize("width", [60, 140])
def test_the_terminal_says_it_all(mixed, width):
    import io

    from rich.console import Console

    out = io.StringIO()
    rendered.print_text(mixed, Console(file=out, width=width))
    said = " ".join(out.getvalue().split())
    assert "Probable cause: underflow" in said
    assert "A point far from everything: " in said
    assert "Not checked, " in said
    assert "breaks down in hard cases" in said


@pytest.mark.slow
def test_the_pytest_plugin(tmp_path):
    write(tmp_path, STEP.replace("- means)", "- m)"))
    (tmp_path / "test_own.py").write_text("def test_own(): pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider"]
    options = ["--lockstep", "candidate.py:step", "--lockstep-model", "gaussian-mixture-1d"]
    run = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "candidate.py:step[lockstep]" in run.stdout
    assert "probable cause: old means in the new variances" in run.stdout
    assert "Traceback" not in run.stdout
    assert "3 failed" in run.stdout
    assert "5 passed" in run.stdout, "ours, and what is right in spite of the mistake"
    wrong = [*command, "--lockstep", "candidate.py:step", "--lockstep-model", "gmm"]
    run = subprocess.run(wrong, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--lockstep-model must be one of categorical-hmm" in run.stderr


def test_the_pytest_plugin_costs_nothing_unasked():
    code = "import sys, lockstep.reports.pytest_plugin; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- as one more implementation of a report ---------------------------------------------------


@pytest.mark.slow
def test_a_candidate_takes_part_in_a_report_for_one_run(tmp_path, monkeypatch):
    from lockstep.comparisons import cache
    from lockstep.comparisons import implementations as registry
    from lockstep.comparisons.cache import FitCache
    from lockstep.comparisons.scenarios import scenarios
    from lockstep.comparisons.suite import Plan, compare, fingerprint
    from lockstep.comparisons.validation.guest import invited

    monkeypatch.setattr(registry, "_guests", {})
    cache._source_hash.cache_clear()
    monkeypatch.chdir(tmp_path)
    write(tmp_path, STEP)
    (tmp_path / "wrong.py").write_text(STEP.replace("- means)", "- m)"))
    for target in ("candidate.py:step", "wrong.py:step"):
        registry.invite(invited(target, MIXTURE, command=False, limit=10.0))
    scenario = scenarios()["gmm1d-notebook"]
    hmm = scenarios()["hmm-weather-noise"]
    names = ["em", "candidate.py:step", "wrong.py:step"]
    plan = Plan([(scenario, scenario.prepare()), (hmm, hmm.prepare())], names)
    first, second = compare(plan, FitCache(tmp_path / "fits"), lambda *_: None).content.scenarios
    found = {(o.implementation, o.mode): o for o in first.outcomes}
    right, wrong = (found[name, "matched"] for name in names[1:])
    assert right.verdict == "agrees"
    assert right.agreement.max_abs_difference < 1e-12
    assert wrong.verdict == "differs"
    assert wrong.counts_against
    own = found["candidate.py:step", "as_configured"]
    assert (own.status, own.counts_against) == ("unsupported", False)
    assert {o.implementation for o in second.outcomes if o.verdict == "agrees"} == {"em"}
    stored = [f for f in (tmp_path / "fits").rglob("*") if f.is_file()]
    assert len(stored) == 4, "only em's fits are kept"
    before = fingerprint(plan)
    cache._source_hash.cache_clear()  # as in another run: nothing says that it is still the same
    assert fingerprint(plan) != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "--with", "a.py:b"], "say with --model which model a.py:b fits"),
        (
            ["report", "--with", "a:b", "--with-command", "c", "--model", "categorical-hmm"],
            "either",
        ),
        (["report", "--with", "a.py:b", "--model", "categorical-hmm"], "there is no file a.py"),
    ],
)
def test_a_candidate_that_cannot_take_part_is_refused(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*arguments, "--out", "report"]) == 2
    assert message in capsys.readouterr().err
