"""The conformance vectors: sound, reproducible, passed by what is right, failed by what is not."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import jsonschema
import mpmath
import numpy as np
import pytest
from scipy import stats

import oracles
from lockstep.comparisons import exact, vectors
from lockstep.comparisons.scenarios import scenarios
from lockstep.comparisons.vectors import __main__ as runner
from lockstep.comparisons.vectors import answers, cases, generate

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "conformance.md").read_text("utf-8")
FILES = {model: vectors.FOLDER / f"{model}.json" for model in vectors.MODELS}
CASES = {case.id: case for model in vectors.MODELS for case in cases.cases(model)}
BY_ID = {vector.id: vector for vector in vectors.load()}


def outcome(program, vector):
    """Return the findings of a vector that fail, for a function from request to answer."""
    found = [vectors.check(program(r), vector) for r in vectors.requests(vector)]
    return [f.message for f in found if not f.passed]


def failures(program, chosen):
    return {v.id: messages for v in chosen if (messages := outcome(program, v))}


# --- The files ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("model", vectors.MODELS)
def test_a_file_follows_the_schema(model):
    schema = json.loads((vectors.FOLDER / "schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    document = json.loads(FILES[model].read_text("utf-8"))
    validator.validate(document)
    assert document["number"] == len(document["vectors"])
    used = {flag for vector in document["vectors"] for flag in vector["flags"]}
    assert set(document["flags"]) == used
    # And it would notice: an answer without tolerance, a refusal with an answer.
    broken = copy.deepcopy(document)
    del broken["vectors"][0]["expected"][1]["tolerance"]["parameters"]
    assert not validator.is_valid(broken)
    broken = copy.deepcopy(document)
    broken["vectors"][0]["result"] = "must-error"
    assert not validator.is_valid(broken)


def test_there_are_enough_vectors_and_the_files_are_small():
    assert len(BY_ID) == len(vectors.load()) >= 200
    kinds = Counter((v.model, v.result) for v in vectors.load())
    for model in vectors.MODELS:
        assert kinds[model, vectors.VALID] >= 50
        assert kinds[model, vectors.MUST_ERROR] >= 15
    assert sum(path.stat().st_size for path in FILES.values()) < 700_000
    for flag in ("underflow", "degenerate", "missing", "offset", "duplicates", "k-equals-n"):
        assert sum(flag in v.flags for v in vectors.load()) >= 3, flag


def test_expected_numbers_have_17_digits_and_doubles_come_back_exactly():
    for path in FILES.values():
        text = path.read_text("utf-8")
        lines = [line for line in text.splitlines() if '{"iterations"' in line]
        numbers = re.findall(r"-?\d+\.\d+(?:e[+-]\d+)?", " ".join(lines))
        lengths = [
            len(n.split("e")[0].replace("-", "").replace(".", "").lstrip("0")) for n in numbers
        ]
        assert max(lengths) == 17
        # Trailing zeros are not written: one number in ten ends in one, one in a hundred in two.
        assert np.mean(np.array(lengths) >= 16) > 0.8
    for case in CASES.values():
        assert BY_ID[case.id].data == case.data
        assert BY_ID[case.id].start == case.start


QUICK = [
    case
    for n, case in enumerate(CASES.values())
    if case.result == "must-error"
    or (n % 5 == 0 and len(json.dumps(case.data)) * len(json.dumps(case.start)) < 25_000)
]


@pytest.mark.slow
def test_vectors_made_again_are_the_same_to_the_byte():
    assert len([case for case in QUICK if case.result == "valid"]) >= 20
    texts = {model: path.read_text("utf-8") for model, path in FILES.items()}
    for case in QUICK:
        assert f"\n{generate.written(case)}" in texts[case.model], f"{case.id}: run make vectors"
    for model, text in texts.items():  # the rest of the file, and its order
        own = [case for case in CASES.values() if case.model == model]
        parts = re.findall(r"^\{\n  \"id\".*?^\}", text, re.DOTALL | re.MULTILINE)
        assert [json.loads(part)["id"] for part in parts] == [case.id for case in own]
        flags = {flag for case in own for flag in case.flags}
        assert generate.document(model, parts, flags) == text


# --- Where their numbers come from --------------------------------------------------------------


def test_the_exact_mixture_equals_another_program_at_50_digits():
    case = CASES["gmm1d-k2-separation-2"]
    (w, m, v), trace = oracles.mixture_1d_em(*case.start.values(), case.data, 5)
    point = generate.follow(case, case.data, case.start)[5]
    assert abs(point.log_likelihood - trace[5]) < 1e-45
    for ours, theirs in zip(point.parameters.values(), (w, m, v)):
        assert max(abs(a - b) for a, b in zip(ours, theirs)) < mpmath.mpf(10) ** -45


@pytest.mark.parametrize(
    "name",
    [
        "gmm1d-far-start",
        "gmm1d-offset-1e8",
        "gmm1d-equal-components",
        "gmm2d-correlation-0.99999",
        "gmm2d-missing-offset",
        "hmm-surprise",
        "hmm-geyser-50",
    ],
)
def test_fifty_digits_are_enough(name, monkeypatch):
    case = CASES[name]
    fifty = generate.follow(case, case.data, case.start)
    monkeypatch.setattr(exact, "DIGITS", 90)
    for n, point in generate.follow(case, case.data, case.start).items():
        assert generate.distance(point.parameters, fifty[n].parameters) < 1e-25
        assert abs(point.log_likelihood - fifty[n].log_likelihood) < 1e-25


def test_the_exact_step_with_missing_coordinates_follows_the_score():
    """Fisher's identity: the step is the likelihood's gradient, here by differences of scipy's."""
    case = CASES["gmm2d-missing-many"]
    x, w, m, S = (np.array(a, float) for a in (case.data, *case.start.values()))
    point = generate.follow(case, case.data, case.start)[1]
    new = {name: np.array(json.loads(generate.text(v))) for name, v in point.parameters.items()}
    counts, shift = len(x) * new["weights"], new["means"] - m

    by_weights = oracles.numerical_gradient(lambda at: scipy_log_likelihood(x, at, m, S), w)
    np.testing.assert_allclose(by_weights, counts / w, rtol=1e-8)
    by_means = oracles.numerical_gradient(lambda at: scipy_log_likelihood(x, w, at, S), m)
    expected = counts[:, None] * np.linalg.solve(S, shift[..., None])[..., 0]
    np.testing.assert_allclose(by_means, expected, rtol=1e-7, atol=1e-9)
    scatter = counts[:, None, None] * (new["covariances"] + shift[:, :, None] * shift[:, None])
    for direction in np.array([[[1, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 1], [1, 0]]]):
        by_covariances = oracles.numerical_gradient(
            lambda t, D=direction: scipy_log_likelihood(x, w, m, S + t[:, None, None] * D),
            np.zeros(2),
        )
        P = np.linalg.inv(S)
        expected = 0.5 * np.trace(
            (P @ scatter @ P - counts[:, None, None] * P) @ direction, 0, 1, 2
        )
        np.testing.assert_allclose(by_covariances, expected, rtol=1e-7, atol=1e-9)


def scipy_log_likelihood(x, weights, means, covariances):
    total = 0.0
    for row in x:
        o = np.flatnonzero(~np.isnan(row))
        density = 0.0
        for w, m, S in zip(weights, means, covariances):
            at = stats.multivariate_normal(m[o], S[np.ix_(o, o)]).pdf(row[o]) if o.size else 1.0
            density += w * at
        total += np.log(density)
    return total


def test_exact_recursions_equal_all_paths():
    hmm = exact.twin("categorical_hmm")
    short = [
        case
        for case in cases.cases("categorical_hmm")
        if case.result == "valid"
        and len(case.start["startprob"]) ** max(map(len, case.data)) <= hmm.PATHS
    ]
    assert len(short) >= 20
    for case in sorted(short, key=lambda c: len(json.dumps(c.data)))[:8]:
        assert hmm.enumerated(exact.exactly(case.start), case.data)
        generate.refuse_wrong_recursion(case)


def test_a_wrong_recursion_is_noticed(monkeypatch):
    hmm = exact.twin("categorical_hmm")
    shifted = {"by-hand": [[0, 1, 1]], "missing-gap": [[0, 1, 2]], "two-symbols": [[2, 1]]}
    for name, data in shifted.items():
        with monkeypatch.context() as patch:
            patch.setattr(hmm, "enumerated", lambda p, _, d=data: type(hmm).enumerated(hmm, p, d))
            with pytest.raises(generate.UnfitError, match="recursion and enumeration differ"):
                generate.refuse_wrong_recursion(CASES[f"hmm-{name}"])


def test_the_cases_of_seed_examples_are_their_data():
    for name in ("gmm1d-separated", "gmm1d-notebook", "gmm2d-notebook", "hmm-weather-noise"):
        data = scenarios()[name].prepare().data
        np.testing.assert_array_equal(CASES[name].data, np.round(data, 6))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"flags": ["simple", "unheard-of"]}, "flags.json does not explain unheard-of"),
        ({"iteration": [1]}, "there is no field iteration"),
        ({"id": "gmm1d-by-hand"}, "ids are used twice: \\['gmm1d-by-hand'\\]"),
    ],
)
def test_a_faulty_case_is_refused(tmp_path, monkeypatch, change, said):
    text = (cases.FOLDER / "gaussian_mixture_1d.json").read_text("utf-8")
    first, *rest = json.loads(text)
    (tmp_path / "other.json").write_text(json.dumps([first | change, *rest]), "utf-8")
    monkeypatch.setattr(cases, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=said):
        cases.cases("other")


def test_a_model_without_exact_twin_is_told_in_words(monkeypatch):
    monkeypatch.setattr(exact, "TWINS", {})
    with pytest.raises(LookupError, match="there is no EM at 50 digits for the Categorical HMM"):
        exact.twin("categorical_hmm")
    with pytest.raises(ValueError, match="there are no vectors for 'poisson_mixture'"):
        vectors.load("poisson_mixture")


# --- Who passes ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("readable", [True, False], ids=["readable", "kernels"])
@pytest.mark.parametrize("model", vectors.MODELS)
def test_our_em_passes_every_vector(model, readable):
    with np.errstate(all="ignore"):  # impossible starts are met on the way to being refused
        wrong = failures(
            lambda request: answers.answer(request, readable=readable), vectors.load(model)
        )
    assert not wrong


@pytest.mark.parametrize("vector", [v for v in BY_ID.values() if v.result == "must-error"])
def test_our_refusals_are_in_words(vector):
    (request,) = vectors.requests(vector)
    message = answers.answer(request)["error"]
    assert 15 < len(message) < 250, message
    assert not re.search(r"operand|broadcast|object has no|subscriptable|core dim", message), (
        message
    )


def by_scikit_learn(vector):
    """Yield an answer for each number of iterations, from one fit that goes on."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    start = {name: np.array(values) for name, values in vector.start.items()}
    flat = "variances" in start
    K, x = len(start["weights"]), np.array(vector.data)
    covariances = start["variances"][:, None, None] if flat else start["covariances"]
    mixture = GaussianMixture(
        K,
        tol=0.0,
        reg_covar=0.0,
        max_iter=1,
        warm_start=True,
        init_params="random",
        weights_init=start["weights"],
        means_init=start["means"].reshape(K, -1),
        precisions_init=np.linalg.inv(covariances),
        random_state=0,
    )
    x = x.reshape(len(x), -1)
    # Twenty calls of a millisecond each: enough on the published data and the seed examples.
    last = 20 if {"published", "seed-example"} & set(vector.flags) else 5
    for n in range(1, 1 + max(i for i in vector.iterations if i <= last)):
        answer = {"id": f"{vector.id}@{n}"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                mixture.fit(x)
            except ValueError as error:
                yield {**answer, "error": str(error)}
                return
        if n not in vector.iterations:
            continue
        means, covariances = mixture.means_, mixture.covariances_
        answer["parameters"] = {
            "weights": mixture.weights_.tolist(),
            "means": (means[:, 0] if flat else means).tolist(),
            "variances" if flat else "covariances": (
                covariances[:, 0, 0] if flat else covariances
            ).tolist(),
        }
        yield {**answer, "log_likelihood": float(mixture.score_samples(x).sum())}


SMALL_COUNTS = {
    "gmm1d-far-component",
    "gmm1d-far-start",
    "gmm1d-light-1e-12",
    "gmm1d-light-1e-200",
    "gmm1d-light-1e-6",
    "gmm2d-far-start",
    "gmm2d-light-1e-200",
    "gmm2d-light-1e-6",
}
"""scikit-learn adds 10 * eps to every count: a component with next to nothing to count is lost."""


@pytest.mark.slow
def test_scikit_learn_passes_but_where_counts_are_tiny():
    chosen = [
        v
        for v in vectors.load()
        if v.model != "categorical_hmm"
        and v.result == "valid"
        and "missing" not in v.flags
        and max(v.iterations)
    ]
    assert len(chosen) > 100
    wrong = {}
    for vector in chosen:
        found = [vectors.check(answer, vector) for answer in by_scikit_learn(vector)]
        assert found
        if messages := [f.message for f in found if not f.passed]:
            wrong[vector.id] = messages
    assert set(wrong) == SMALL_COUNTS, wrong


def by_hmmlearn(implementation):
    def program(request):
        from hmmlearn.hmm import CategoricalHMM

        start = {name: np.array(values) for name, values in request["start"].items()}
        K, V = start["emissionprob"].shape
        hmm = CategoricalHMM(
            K, n_features=V, n_iter=1, init_params="", implementation=implementation
        )
        for name, values in start.items():
            setattr(hmm, f"{name}_", values)
        x = np.concatenate(request["data"])[:, None]
        lengths = [len(symbols) for symbols in request["data"]]
        try:
            for _ in range(request["iterations"]):
                hmm.fit(x, lengths)
            log_likelihood = float(hmm.score(x, lengths))
        except ValueError as error:
            return {"id": request["id"], "error": str(error)}
        parameters = {name: getattr(hmm, f"{name}_").tolist() for name in start}
        return {"id": request["id"], "parameters": parameters, "log_likelihood": log_likelihood}

    return program


OPEN_ROWS = {
    "hmm-all-length-1",
    "hmm-one-observation",
    "hmm-ruled-out-state",
    "hmm-unreachable-state",
}
"""hmmlearn makes a row without any count zero, and refuses it at the next step."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Setting the shape on a NumPy array")  # hmmlearn's own
@pytest.mark.parametrize("implementation", ["scaling", "log"])
def test_hmmlearn_passes_but_where_a_row_has_no_count(implementation, caplog):
    caplog.set_level("CRITICAL", logger="hmmlearn")
    chosen = [
        v
        for v in vectors.load("categorical_hmm")
        if v.result == "valid" and "missing" not in v.flags
    ]
    assert len(chosen) > 50
    wrong = failures(by_hmmlearn(implementation), chosen)
    assert set(wrong) == OPEN_ROWS, wrong


# --- Who fails ----------------------------------------------------------------------------------


def textbook(x, w, m, v):
    """Return responsibilities (N, K) of a 1D mixture, and what goes into them."""
    log_joint = np.log(w) - 0.5 * (np.log(2 * np.pi * v) + (x[:, None] - m) ** 2 / v)
    top = log_joint.max(axis=1, keepdims=True)
    return np.exp(log_joint - top) / np.exp(log_joint - top).sum(axis=1, keepdims=True)


def right(x, w, m, v):
    r = textbook(x, w, m, v)
    counts = r.sum(axis=0)
    means = r.T @ x / counts
    return counts / len(x), means, (r * (x[:, None] - means) ** 2).sum(axis=0) / counts


def old_means_in_the_variance(x, w, m, v):
    r = textbook(x, w, m, v)
    counts = r.sum(axis=0)
    return counts / len(x), r.T @ x / counts, (r * (x[:, None] - m) ** 2).sum(axis=0) / counts


def weights_left_out(x, w, m, v):
    return right(x, np.ones_like(w), m, v)


def weights_never_updated(x, w, m, v):
    return w, *right(x, w, m, v)[1:]


def variance_for_deviation(x, w, m, v):
    return right(x, w, m, v**2)


def unbiased_variance(x, w, m, v):
    w, m, new = right(x, w, m, v)
    return w, m, new * (w * len(x)) / np.maximum(w * len(x) - 1, 1e-3)


def raw_moments(x, w, m, v):
    r = textbook(x, w, m, v)
    counts = r.sum(axis=0)
    means = r.T @ x / counts
    return counts / len(x), means, r.T @ x**2 / counts - means**2


def ridge(x, w, m, v):
    w, m, v = right(x, w, m, v)
    return w, m, v + 1e-6


def densities_unscaled(x, w, m, v):
    joint = w * np.exp(-((x[:, None] - m) ** 2) / (2 * v)) / np.sqrt(v)
    r = joint / joint.sum(axis=1, keepdims=True)
    counts = r.sum(axis=0)
    means = r.T @ x / counts
    return counts / len(x), means, (r * (x[:, None] - means) ** 2).sum(axis=0) / counts


def program_of(step):
    def program(request):
        x = np.array(request["data"], float)
        p = tuple(np.array(values) for values in request["start"].values())
        with np.errstate(all="ignore"):
            for _ in range(request["iterations"]):
                p = step(x, *p)
        names = ("weights", "means", "variances")
        return {"id": request["id"], "parameters": {n: a.tolist() for n, a in zip(names, p)}}

    return program


def step_failures(step):
    wrong = {}
    for vector in vectors.load("gaussian_mixture_1d"):
        if vector.result != "valid" or "missing" in vector.flags:
            continue
        asked = [r for r in vectors.requests(vector) if r["iterations"]]
        found = [vectors.check(program_of(step)(r), vector) for r in asked]
        if any(not f.passed for f in found):
            wrong[vector.id] = vector.flags
    return wrong


def test_a_textbook_em_passes():
    assert not step_failures(right)


@pytest.mark.parametrize(
    "step",
    [
        old_means_in_the_variance,
        weights_left_out,
        weights_never_updated,
        variance_for_deviation,
        unbiased_variance,
        ridge,
    ],
)
def test_a_slip_fails_at_least_half_of_the_vectors(step):
    checked = [v for v in vectors.load("gaussian_mixture_1d") if v.result == "valid"]
    assert len(step_failures(step)) > len(checked) / 2


def test_poor_numerics_fail_where_the_flags_say():
    wrong = step_failures(raw_moments)
    assert {"gmm1d-offset-1e8", "gmm1d-offset-1e4", "gmm1d-offset-and-scale"} <= set(wrong)
    assert "gmm1d-by-hand" not in wrong
    wrong = step_failures(densities_unscaled)
    assert {"gmm1d-far-start", "gmm1d-outlier"} <= set(wrong)
    assert all("underflow" in flags for flags in wrong.values()), wrong


# --- Judging ------------------------------------------------------------------------------------


def right_answer(vector, n):
    expected = next(e for e in vector.expected if e.iterations == n)
    return {
        "id": f"{vector.id}@{n}",
        "parameters": copy.deepcopy(expected.parameters),
        "log_likelihood": expected.log_likelihood,
    }


def filled(values):
    """Return nested lists with 0.5 in place of what is left open."""
    if isinstance(values, list):
        return [filled(each) for each in values]
    return 0.5 if values is None else values


def nudged(values, scale, tolerance):
    """Return nested lists with the last number ten tolerances off, or None if all are open."""
    if isinstance(values, list):
        for i in reversed(range(len(values))):
            if (new := nudged(values[i], scale[i], tolerance)) is not None:
                return [*values[:i], new, *values[i + 1 :]]
        return None
    # Far from zero, a tolerance may be no more than the number's own rounding.
    return None if values is None else values + max(10 * tolerance * scale, 2 * np.spacing(values))


@pytest.mark.parametrize("model", vectors.MODELS)
def test_what_is_expected_passes_and_ten_tolerances_off_fails(model):
    for vector in vectors.load(model):
        for expected in vector.expected:
            answer = right_answer(vector, expected.iterations)
            parameters = answer["parameters"]
            answer["parameters"] = filled_fields = parameters and {
                name: filled(values) for name, values in parameters.items()
            }
            assert vectors.check(answer, vector).error == 0
            off = expected.log_likelihood + 10 * expected.tolerance["log_likelihood"]
            assert not vectors.check({**answer, "log_likelihood": off}, vector).passed
            for name, scale in vectors.units(parameters or {}).items():
                values = nudged(parameters[name], scale, expected.tolerance["parameters"])
                if values is None:
                    continue
                changed = {**filled_fields, name: filled(values)}
                found = vectors.check({**answer, "parameters": changed}, vector)
                assert not found.passed, (vector.id, name)
                assert name in found.message


def test_what_fails_is_named():
    vector = BY_ID["hmm-left-to-right"]
    good = right_answer(vector, 5)
    assert vectors.check(good, vector).passed

    def found(**changes):
        return vectors.check({**copy.deepcopy(good), **changes}, vector)

    def changed(field, index, value):
        answer = copy.deepcopy(good)
        values = np.array(answer["parameters"][field], object)
        values[index] = value
        answer["parameters"][field] = values.tolist()
        return vectors.check(answer, vector)

    assert (
        "transmat[1,0] is 1e-20, expected 0 exactly" in changed("transmat", (1, 0), 1e-20).message
    )
    assert "not a finite number" in changed("startprob", 0, float("nan")).message
    assert "not a finite number" in changed("startprob", 0, True).message
    assert (
        "emissionprob should be a list of 3"
        in found(parameters={**good["parameters"], "emissionprob": [[1.0]]}).message
    )
    no_start = {k: v for k, v in good["parameters"].items() if k != "startprob"}
    assert "no 'startprob'" in found(parameters=no_start).message
    assert "no parameters" in found(parameters=None).message
    assert "id is 'x'" in found(id="x").message
    assert "can be answered" in found(error="too hard").message
    assert "nats" in found(log_likelihood=good["log_likelihood"] + 1e-3).message
    assert found(log_likelihood=None).passed, "the log-likelihood is optional"
    assert "not a JSON object" in vectors.check([1], vector).message
    refused = BY_ID["hmm-refuse-impossible-symbol"]
    assert vectors.check({"id": f"{refused.id}@1", "error": "impossible"}, refused).passed
    found = vectors.check({**good, "id": f"{refused.id}@1"}, refused)
    assert not found.passed
    assert "must be refused" in found.message


def test_what_is_left_open_may_be_anything_and_acceptable_refusals_pass():
    vector = BY_ID["hmm-all-length-1"]
    answer = right_answer(vector, 1)
    assert answer["parameters"]["transmat"] == [[None, None], [None, None]]
    answer["parameters"]["transmat"] = [[0.5, 0.5], [0.0, 1.0]]
    assert vectors.check(answer, vector).passed
    answer["parameters"]["transmat"][0][0] = None
    assert not vectors.check(answer, vector).passed
    vector = BY_ID["gmm1d-no-weight"]
    assert vectors.check({"id": f"{vector.id}@1", "error": "empty"}, vector).passed
    answer = right_answer(vector, 1)
    answer["parameters"] |= {"means": [answer["parameters"]["means"][0], 7.0]}
    answer["parameters"] |= {"variances": [answer["parameters"]["variances"][0], 7.0]}
    assert vectors.check(answer, vector).passed
    answer["parameters"]["means"][0] += 0.01
    assert not vectors.check(answer, vector).passed


def test_a_request_is_one_line_of_strict_json():
    def no_constant(name):
        raise AssertionError(name)

    for vector in vectors.load():
        for request in vectors.requests(vector):
            text = vectors.line(request)
            assert "\n" not in text
            assert json.loads(text, parse_constant=no_constant) == request
    with pytest.raises(ValueError, match="no vectors for 'x'"):
        vectors.load("x")


# --- The runner ---------------------------------------------------------------------------------


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lockstep.comparisons.vectors", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


def python(tmp_path, code):
    path = tmp_path / "program.py"
    path.write_text(code, "utf-8")
    return f"'{sys.executable}' '{path}'"


def test_the_runner_says_what_passed_and_ends_with_a_status(tmp_path, capsys):
    echo = "import json, sys\nfor line in sys.stdin:\n    request = json.loads(line)\n"
    refuse = echo + "    print(json.dumps({'id': request['id'], 'error': 'no'}), flush=True)\n"
    command = python(tmp_path, refuse)
    refusals = ["--model", "categorical_hmm", "--only", "hmm-refuse"]
    assert runner.main(["--command", command, *refusals, "--verbose"]) == 0
    output = capsys.readouterr().out
    assert "pass hmm-refuse-startprob-sum: refused: no" in output
    assert re.search(r"(\d+) of \1 vectors pass", output)
    assert runner.main(["--command", command, "--only", "hmm-", "--skip", "missing"]) == 1
    output = capsys.readouterr().out
    assert "FAIL hmm-by-hand (simple): three symbols" in output
    assert "after 0 iterations: refused, and it can be answered: no" in output
    assert "not checked (missing)" in output


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('hello')", "1 lines of its output are no JSON objects with an id"),
        ("import sys; sys.exit(3)", "the program ended with status 3"),
        ("import os; os.abort()", "the program ended by signal SIGABRT"),
        ("import time; time.sleep(60)", "the program stopped after 0.5 seconds"),
        ('print(\'{"id": "hmm-ten@0"}\')', "nothing else"),
        ("print('{\"id\": [1]}')", "1 lines of its output"),
    ],
)
def test_a_program_that_misbehaves_fails(tmp_path, capsys, code, said):
    arguments = ["--only", "hmm-ten", "--timeout", "0.5" if "sleep" in code else "20"]
    assert runner.main(["--command", python(tmp_path, code), *arguments]) == 1
    output = capsys.readouterr().out
    assert said in output
    assert "0 of 1 vectors pass" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--command", "./there-is-no-such-program"],
        ["--command", ""],
        ["--command", "'unclosed"],
        ["--command", "true", "--only", "nothing-like-this"],
        ["--command", "true", "--model", "unknown"],
        ["--command", "true", "--timeout", "0"],
        [],
    ],
)
def test_bad_usage_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        runner.main(arguments)
    assert stop.value.code == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.slow
def test_our_own_program_speaks_the_protocol():
    done = run(
        "--command", f"'{sys.executable}' -m lockstep.comparisons.vectors.answers", "--only", "hmm-"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "vectors pass" in done.stdout


@pytest.fixture
def compiled(tmp_path):
    """Return a function that compiles the example in C, with one piece of text replaced."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None:  # .ci/run demands one
        pytest.skip("no C compiler: set CC")
    source = (ROOT / "examples" / "conformance" / "em.c").read_text("utf-8")

    def build(old="", new=""):
        assert not old or source.count(old) == 1
        (tmp_path / "em.c").write_text(source.replace(old, new) if old else source, "utf-8")
        flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"]
        program = [compiler, *flags, "-o", tmp_path / "em", tmp_path / "em.c", "-lm"]
        subprocess.run(program, check=True)
        return tmp_path / "em"

    return build


def test_the_example_in_c_passes(compiled, capsys):
    program = compiled()
    models = ["--model", "gaussian_mixture_1d", "--model", "categorical_hmm"]
    assert runner.main(["--command", str(program), *models]) == 0
    output = capsys.readouterr().out
    assert re.fullmatch(r"(\d+) of \1 vectors pass\n", output)
    assert f"`{output.strip()}`" in PAGE
    # The model that it lacks is refused, and so are problems that it cannot read.
    text = (
        '{"id": "a", "model": "gaussian_mixture_2d", "iterations": 1}\n{"id": "b", "model"\n[1]\n'
    )
    lines = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    assert ["error" in json.loads(line) for line in lines.stdout.splitlines()] == [True] * 3


@pytest.mark.parametrize(
    ("old", "new", "first"),
    [
        ("if (r[k] > largest) largest = r[k];", "largest = 0;", "FAIL gmm1d-outlier"),
        ("= variance / count;", "= variance / N;", "FAIL gmm1d-by-hand"),
    ],
)
def test_the_page_says_what_a_slip_in_the_example_prints(compiled, capsys, old, new, first):
    program = compiled(old, new)
    assert runner.main(["--command", str(program), "--model", "gaussian_mixture_1d"]) == 1
    output = capsys.readouterr().out
    shown = next(b for b in re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE) if first in b)
    for line in shown.splitlines():
        assert line == "    ..." or f"{line[4:]}\n" in output


def test_the_page_counts_right():
    counts = Counter(v.model for v in vectors.load())
    assert f"holds {len(BY_ID)} problems" in PAGE
    for model, words in zip(vectors.MODELS, ("categorical", "1D Gaussian", "mixture in any")):
        assert re.search(rf"{counts[model]} for the\s{words}", PAGE)
    complete = [v for v in vectors.load() if v.result == "valid" and "missing" not in v.flags]
    hmm = len([v for v in complete if v.model == "categorical_hmm"])
    assert f"| {hmm - len(OPEN_ROWS)} of {hmm} valid" in PAGE
    mixtures = len([v for v in complete if v.model != "categorical_hmm" and max(v.iterations)])
    assert f"| {mixtures - len(SMALL_COUNTS)} of {mixtures} valid" in PAGE
