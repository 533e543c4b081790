"""A model that lockstep does not know, put in place by entry points, and nothing else edited."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from inprocess import judged
from lockstep import models
from lockstep.comparisons import calibration, scenarios, studies
from lockstep.comparisons.implementations import implementations
from lockstep.comparisons.problem import Mode, Problem
from lockstep.comparisons.validation import mistakes, problems, trial
from lockstep.comparisons.validation.candidate import UnusableError
from lockstep.comparisons.validation.verdicts import Ended, Word
from lockstep.models import bayesian, em

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
NAME = "poisson_mixture"


def installed(folder: Path) -> Path:
    """Return a folder that holds what an installation of the example would leave there."""
    project = tomllib.loads((EXAMPLES / "pyproject.toml").read_text("utf-8"))["project"]
    place = folder / "site" / f"{project['name'].replace('-', '_')}-0.1.dist-info"
    place.mkdir(parents=True)
    place.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    place.joinpath("entry_points.txt").write_text(
        "\n".join(
            f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in points.items())
            for group, points in project["entry-points"].items()
        )
    )
    return place.parent


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return [str(installed(tmp_path_factory.mktemp("poisson"))), str(EXAMPLES)]


def forget():
    models._places.cache_clear()
    models._model.cache_clear()
    scenarios.scenarios.cache_clear()


@pytest.fixture(scope="module")
def model(path):
    """The example's model, in place as long as the tests of this module last."""
    before = set(sys.modules)
    sys.path[:0] = path
    forget()
    yield models.load(NAME)
    sys.path[:] = [place for place in sys.path if place not in path]
    forget()
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == NAME:
            del sys.modules[name]


@pytest.fixture(scope="module")
def lockstep(path, tmp_path_factory):
    """Run the command in a folder, with the example in place."""

    def run(*arguments, cwd, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "lockstep.reports.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([*path, str(ROOT)]), "COLUMNS": "200"},
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    return run


def example(model, K=3, N=40, seed=1):
    rng = np.random.default_rng(seed)
    parameters = model.Parameters(rng.dirichlet(np.full(K, 4.0)), rng.uniform(1, 20, K))
    return parameters, model.sample(parameters, N, rng)


# --- the equations, against SciPy ---------------------------------------------------------------

# Some tens of products and exponentials, each rounded by 1e-16, and logarithms of factorials near
# 50 that SciPy and NumPy round differently.
ROUNDED = 1e-12


@pytest.mark.parametrize(("K", "weighted"), [(1, False), (2, True), (3, False), (5, True)])
def test_the_e_step_is_bayes_rule_on_scipys_probabilities(model, K, weighted):
    parameters, x = example(model, K)
    w = np.random.default_rng(2).uniform(0, 3, len(x)) if weighted else np.ones(len(x))
    joint = parameters.weights * stats.poisson.pmf(x[:, None], parameters.rates)  # (N, K)
    r = w[:, None] * joint / joint.sum(axis=1, keepdims=True)
    found, value = model.e_step(parameters, x, w if weighted else None)
    np.testing.assert_allclose(found.counts, r.sum(axis=0), rtol=ROUNDED)
    np.testing.assert_allclose(found.totals, (r * x[:, None]).sum(axis=0), rtol=ROUNDED)
    np.testing.assert_allclose(value, w @ np.log(joint.sum(axis=1)), rtol=ROUNDED)


@pytest.mark.parametrize("K", [1, 2, 4])
def test_the_score_is_the_slope_of_the_log_likelihood(model, K):
    parameters, x = example(model, K)
    free, statistics = parameters.to_free(), model.e_step(parameters, x)[0]
    score = parameters.by_free(model.score(statistics, parameters))

    def value(v):
        return float(model.log_likelihood(parameters.from_free(v), x))

    # Central differences with steps h and h / 2, extrapolated: an error of h^4 ~ 1e-12 and
    # rounding of 100 * 1e-16 / h ~ 1e-11, in slopes of some tens.
    for i, direction in enumerate(np.eye(len(free))):
        wide, narrow = (
            (value(free + h * direction) - value(free - h * direction)) / (2 * h)
            for h in (1e-3, 5e-4)
        )
        np.testing.assert_allclose(score[i], (4 * narrow - wide) / 3, atol=1e-8, rtol=1e-8)


def test_the_m_step_is_the_maximum(model):
    parameters, x = example(model)
    best = model.m_step(model.e_step(parameters, x)[0])
    score = best.by_free(model.score(model.e_step(parameters, x)[0], best))
    np.testing.assert_allclose(score, 0, atol=1e-12 * len(x))


def test_the_prior_is_scipys(model):
    parameters, x = example(model)
    expected = stats.dirichlet(np.full(3, 2.0)).logpdf(parameters.weights)
    expected += stats.gamma(2, scale=5).logpdf(parameters.rates).sum()
    assert bayesian.log_density(NAME, parameters, x) == pytest.approx(expected, rel=1e-12)
    drawn = bayesian.draws(NAME, {"n_components": 3}, None, 4000, np.random.default_rng(0))
    for k in range(3):
        # 4,000 draws: 0.001 of all Kolmogorov distances are larger.
        assert stats.kstest(drawn.rates[:, k], stats.gamma(2, scale=5).cdf).pvalue > 0.001


def test_em_ends_where_a_general_optimiser_does(model):
    from scipy.optimize import minimize

    prepared = scenarios.scenarios()["poisson-counts"].prepare()
    fit = em.fit(model, prepared.start, prepared.data)

    def negative(v):
        w, a, b = 1 / (1 + np.exp(-v[0])), *np.exp(v[1:])
        each = [stats.poisson.logpmf(prepared.data, rate) for rate in (a, b)]
        return -np.logaddexp(np.log(w) + each[0], np.log1p(-w) + each[1]).sum()

    found = minimize(negative, [0.0, 1.0, 2.0], tol=1e-10)
    assert em.final_log_likelihood(fit) == pytest.approx(-found.fun, abs=1e-7)
    np.testing.assert_allclose(fit.parameters.rates, np.exp(found.x[1:]), rtol=1e-4)


# --- the libraries ------------------------------------------------------------------------------


def test_who_cannot_fit_it_says_why(model):
    data = example(model)[1]
    problem = Problem(NAME, data, {"n_components": 3}, Mode.AS_CONFIGURED, seed=0)
    said = {name: i.unsupported(problem) for name, i in implementations().items()}
    assert said["scikit-learn"] == "scikit-learn has no Poisson mixture"
    assert "no plain mixture" in said["hmmlearn"]
    assert said["pymc-stock"] == "its log-likelihood is not written in PyMC's own terms"
    able = {name for name, reason in said.items() if reason is None}
    assert {"em", "pymc-nuts", "pymc-advi", "pymc-fullrank"} <= able


# --- the command --------------------------------------------------------------------------------


@pytest.mark.slow
def test_list_and_bench_know_it(lockstep, tmp_path):
    listed = lockstep("list", cwd=tmp_path)
    assert "poisson-counts" in listed
    assert "\n  poisson-mixture\n" in listed
    timed = lockstep("bench", "--quick", "--only", "Poisson", cwd=tmp_path)
    assert "nothing beside the Poisson mixture, which no library has an estimator of" in timed


def counts(tmp_path, text=None):
    x = np.random.default_rng(3).poisson(np.repeat([2, 9], [80, 60]))
    file = tmp_path / "counts.csv"
    file.write_text(text or "n\n" + "\n".join(map(str, x)) + "\n")
    return file, x


@pytest.mark.slow
def test_compare_takes_counts(lockstep, tmp_path):
    file, x = counts(tmp_path)
    options = ["--model", "poisson-mixture", "--components", "2", "--json", "r.json", "--out", "o"]
    lockstep(
        "compare", file, *options, "--implementations", "em", "scikit-learn", "hmmlearn",
        cwd=tmp_path,
    )  # fmt: skip
    (scenario,) = json.loads((tmp_path / "r.json").read_text())["scenarios"]
    by_name = {o["implementation"]: o for o in scenario["outcomes"]}
    assert scenario["dims"] == {"n_components": 2}
    found = by_name["em"]["parameters"]
    density = found["weights"] @ stats.poisson.pmf(x, np.array(found["rates"])[:, None])
    expected = np.log(density).sum()
    assert by_name["em"]["log_likelihood"]["train"] == pytest.approx(expected, rel=1e-12)
    assert by_name["scikit-learn"]["verdict"] == by_name["hmmlearn"]["verdict"] == "not_run"
    assert (tmp_path / "o" / "figures" / "counts-data.png").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n\n1\n2.5\n3\n", "x[1] is 2.5; a count is one of 0, 1, 2"),
        ("n\n1\n-2\n3\n", "x[1] is -2; a count"),
        ("n,m\n1,2\n2,3\n3,5\n", "this model takes 1 column and the file has n, m"),
        ("n\n4\n4\n4\n", "every value is 4; a constant has nothing to fit"),
    ],
)
def test_what_are_no_counts_is_said(model, tmp_path, text, said):
    from lockstep.comparisons import own_data
    from lockstep.comparisons.csv_file import DataError

    with pytest.raises(DataError) as caught:
        own_data.scenario(counts(tmp_path, text)[0], NAME, 2)
    assert said in str(caught.value)


@pytest.mark.slow
def test_report_judges_em_nuts_and_advi(lockstep, tmp_path):
    who = ["em", "scikit-learn", "hmmlearn", "pymc-nuts", "pymc-advi", "pymc-stock"]
    lockstep(
        "report", "--only", "poisson-counts", "--quick", "--implementations", *who,
        "--out", "out", cwd=tmp_path,
    )  # fmt: skip
    out = tmp_path / "out"
    (scenario,) = json.loads((out / "results.json").read_text())["scenarios"]
    rows = {(o["implementation"], o["mode"]): o for o in scenario["outcomes"]}
    configured = {who: o for (who, mode), o in rows.items() if mode == "as_configured"}
    assert {who: o["verdict"] for who, o in configured.items()} == {
        **dict.fromkeys(("em", "pymc-nuts", "pymc-advi"), "agrees"),
        **dict.fromkeys(("scikit-learn", "hmmlearn", "pymc-stock"), "not_run"),
    }
    assert rows["em", "matched"]["verdict"] == "agrees"
    assert configured["scikit-learn"]["message"] == "scikit-learn has no Poisson mixture"
    assert configured["em"]["recovery"]["covered"] == configured["em"]["recovery"]["of"] == 4

    with (out / "recovery.csv").open() as file:
        assert {row["parameter"] for row in csv.DictReader(file)} > {"rates[0]", "weights[1]"}
    drawn = {p.stem.removeprefix("poisson-counts-") for p in (out / "figures").glob("poisson*.svg")}
    assert drawn >= {"data", "recovery", "log-likelihood", "posterior", "predictive", "ranks"}
    text = (out / "report.md").read_text("utf-8")
    assert "gamma(shape 2, rate 0.2)" in text
    assert "rate of component 2 · truth 12" in text
    _the_posterior_is_that_of_a_grid(configured["pymc-nuts"])


def _the_posterior_is_that_of_a_grid(nuts):
    """Compare means and sds with sums over a grid of the three parameters."""
    data = scenarios_data()
    w, a, b = np.linspace(0.4, 0.75, 71), np.linspace(2.1, 3.5, 71), np.linspace(10.3, 13.5, 71)
    values, times = np.unique(data, return_counts=True)
    log = np.zeros((71, 71, 71))
    one, two = (stats.poisson.pmf(values, rates[:, None]) for rates in (a, b))
    for i, n in enumerate(times):
        share = w[:, None, None] * one[None, :, None, i]
        log += n * np.log(share + (1 - w)[:, None, None] * two[None, None, :, i])
    log += np.log(w * (1 - w))[:, None, None]  # Dirichlet(2, 2)
    for axis, rates in ((1, a), (2, b)):
        shape = [1, 1, 1]
        shape[axis] = -1
        log += stats.gamma(2, scale=5).logpdf(rates).reshape(shape)
    p = np.exp(log - log.max())
    p /= p.sum()
    for name, index, at, others in (
        ("weights", 0, w, (1, 2)), ("rates", 0, a, (0, 2)), ("rates", 1, b, (0, 1)),
    ):  # fmt: skip
        share = p.sum(axis=others)
        mean = share @ at
        sd = np.sqrt(share @ (at - mean) ** 2)
        error = sd / np.sqrt(nuts["diagnostics"]["ess_bulk"])
        assert abs(nuts["parameters"][name][index] - mean) < 4 * error, name
        # The relative error of a standard deviation is 1 / sqrt(2 ESS).
        assert abs(nuts["sd"][name][index] / sd - 1) < 4 / np.sqrt(
            2 * nuts["diagnostics"]["ess_tail"]
        ), name


def scenarios_data():
    rng = np.random.default_rng(7)
    z = rng.choice(2, size=400, p=[0.6, 0.4])
    return rng.poisson(np.array([3.0, 12.0])[z])


def test_the_scenario_has_these_data(model):
    prepared = scenarios.scenarios()["poisson-counts"].prepare()
    np.testing.assert_array_equal(prepared.data, scenarios_data())


# --- validation ---------------------------------------------------------------------------------

CANDIDATES = """
import numpy as np
from scipy.special import gammaln, logsumexp
from scipy.stats import poisson


def expected(x, weights, rates):
    joint = np.log(weights) + poisson.logpmf(x[:, None], rates)
    return np.exp(joint - logsumexp(joint, axis=1, keepdims=True)), logsumexp(joint, axis=1).sum()


def step(x, weights, rates):
    r, _ = expected(x, weights, rates)
    return r.mean(axis=0), r.T @ x / r.sum(axis=0)


def fit(x, weights, rates, n_iter):
    for _ in range(n_iter):
        weights, rates = step(x, weights, rates)
    return {"weights": weights, "rate": rates, "log_likelihood": expected(x, weights, rates)[1]}


def without_weights(x, weights, rates):
    return step(x, np.full_like(weights, 1 / len(weights)), rates)


def rates_by_n(x, weights, rates):
    r, _ = expected(x, weights, rates)
    return r.mean(axis=0), r.T @ x / len(x)


def too_many(x, weights, rates):
    return step(x, *step(x, weights, rates))


def in_bits(x, weights, rates, n_iter):
    found = fit(x, weights, rates, n_iter)
    return found | {"log_likelihood": found["log_likelihood"] / np.log(2)}


def negative(x, weights, rates):
    weights, rates = step(x, weights, rates)
    return weights, -rates


class Mixture:
    def __init__(self, n_components=2, random_state=0):
        self.n_components, self.random_state = n_components, random_state

    def fit(self, X):
        x = X[:, 0]
        self.weights_ = np.full(self.n_components, 1 / self.n_components)
        self.rates_ = np.quantile(x, (np.arange(self.n_components) + 0.5) / self.n_components) + 0.5
        for _ in range(500):
            self.weights_, self.rates_ = step(x, self.weights_, self.rates_)
        return self
"""


@pytest.fixture
def candidate(tmp_path):
    file = tmp_path / "candidates.py"
    file.write_text(CANDIDATES)
    return lambda name: f"{file}:{name}"


@pytest.mark.slow
def test_validate_says_right_and_wrong(lockstep, candidate, tmp_path):
    said = lockstep("validate", candidate("step"), "--model", "poisson-mixture", cwd=tmp_path)
    assert "✓ Valid" in said
    assert "there is no EM at 50 digits for the Poisson mixture" in said
    wrong = candidate("without_weights")
    said = lockstep("validate", wrong, "--model", "poisson-mixture", cwd=tmp_path, code=1)
    assert "✗ Wrong" in said
    assert "No mistakes are known of EM for the Poisson mixture" in said
    assert "docs/poisson" not in said  # there is no such page


@pytest.mark.slow
@pytest.mark.parametrize("name", ["step", "fit", "Mixture"])
def test_right_candidates_of_every_kind_are_valid(model, candidate, name):
    found = judged(candidate(name), NAME)
    # Of an estimator with a start of its own only the end is seen.
    word = Word.UNSEEN if name == "Mixture" else Word.VALID
    assert found.word is word, [o for o in found.outcomes if o.status is Ended.FAILED]
    passed = {o.name for o in found.of(Ended.PASSED)}
    assert passed >= ({"interface", "own-fit"} if name == "Mixture" else {"lockstep", "m-step"})
    assert ("log-likelihood" in passed) == (name == "fit")
    lacking = {o.name for o in found.outcomes} & {"shifted", "renamed", "far-away", "long"}
    assert not lacking, "checks of what the model does not have"


@pytest.mark.parametrize(
    ("name", "failed", "cause"),
    [
        ("without_weights", "lockstep", "not among the known mistakes"),
        ("rates_by_n", "lockstep", "the update of the rates"),
        ("too_many", "lockstep", "one iteration too many"),
        ("in_bits", "log-likelihood", "log-likelihood in bits (log2)"),
        ("negative", "valid", "the update of the rates"),
    ],
)
def test_wrong_candidates_are_found_and_told(model, candidate, name, failed, cause):
    found = judged(candidate(name), NAME)
    assert found.word is Word.WRONG
    assert failed in {o.name for o in found.of(Ended.FAILED)}
    assert cause in [c.name for c in found.causes]


def test_a_general_problem_is_a_draw_from_the_prior_with_a_start_near_it(model):
    assert not mistakes.known(NAME)
    for seed in range(5):
        problem = problems.general(NAME, seed, K=3, size=50, one=False)
        start = model.Parameters.checked(problem.start)
        assert len(model.check_chunk(problem.data, problem.dims)) == problem.size == 50
        assert problem.dims == {"n_components": 3}
        once = problems._from_prior(model, 3, np.random.default_rng(seed))
        change = np.abs(start.to_free() - once.to_free())
        assert 1e-3 < change.max() < 2


def test_a_model_without_prior_or_problems_cannot_be_validated_and_says_so(
    model, monkeypatch, candidate
):
    monkeypatch.setattr(bayesian, "prior_of", lambda _: None)
    problems.general.cache_clear()
    said = r"give its folder a prior\.py or a problems\.py"
    with pytest.raises(UnusableError, match=said), trial(candidate("step"), NAME):
        pass
    problems.general.cache_clear()


@pytest.mark.parametrize(
    ("entry", "text", "said"),
    [
        ("bare", "NAME = 'bare'", "bare is no model yet: it lacks TITLE, shows, Parameters"),
        (
            "blind",
            "from poisson_mixture.equations import *\nNAME = 'blind'",
            "blind is no model yet: it lacks shows;",
        ),
        (
            "by-hyphen",
            "from poisson_mixture import *\nfrom poisson_mixture import shows\nNAME = 'by_hyphen'",
            "is found as 'by-hyphen' and its NAME is 'by_hyphen'",
        ),
        (
            "short",
            "from poisson_mixture import *\nfrom poisson_mixture import shows\nNAME = 'short'\n"
            "del score, memberships",
            "short is no model yet: it lacks score, memberships;",
        ),
    ],
)
def test_what_a_model_lacks_is_said_when_it_is_loaded(
    model, tmp_path, monkeypatch, entry, text, said
):
    module = f"half_{entry.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(models, "_places", lambda: {entry: module})
    with pytest.raises(ValueError, match=said):
        models.load(entry)


# --- studies ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_intervals_cover_the_truth(model):
    found = studies.coverage("poisson-counts", 60, seed=4)
    assert found.names == ("weights[0]", "weights[1]", "rates[0]", "rates[1]")
    assert found.left_out == 0
    # Of 60 intervals that cover 95% of the time fewer than 50 do so once in 10,000 studies.
    assert (found.covered >= 50 / 60).all()
    # The standard error of a scatter over 60 data sets is a tenth of it.
    np.testing.assert_allclose(found.sd, found.scatter, rtol=0.4)


@pytest.mark.slow
def test_calibration_ranks_it(model, monkeypatch):
    monkeypatch.setattr(calibration, "DRAWS", 200)
    monkeypatch.setattr(calibration, "TUNE", 200)
    monkeypatch.setattr(calibration, "SIMULATIONS", 2000)
    found = calibration.study(NAME, data_sets=12, seed=1)
    assert set(found.ranks) == {"weights[0]", "rates[0]", "rates[1]", "log-likelihood"}
    assert all(((ranks >= 0) & (ranks <= found.draws)).all() for ranks in found.ranks.values())
    lower, upper = calibration.band(12, found.draws, 1e-4)
    assert calibration.outside(found, lower, upper) == []


# --- a model that has locations and scales, under names that nothing here knows ------------------

EQUATIONS = """
from dataclasses import dataclass
from typing import Annotated

from lockstep.models import gaussian_mixture_1d as own, records
from lockstep.models.gaussian_mixture_1d import Statistics, check_chunk, check_data, shows
from lockstep.models.records import Floats
from lockstep.models.spaces import Real, Simplex, Variance

NAME, TITLE = "renamed", "renamed mixture"


@dataclass(frozen=True, eq=False)
class Parameters(records.Parameters):
    shares: Annotated[Floats, Simplex("K")]
    places: Annotated[Floats, Real("K", unit="squares")]
    squares: Annotated[Floats, Variance("K")]


def of(p, kind=own.Parameters):
    return kind(*p.arrays().values())


def m_step(statistics, **options):
    return of(own.m_step(statistics, **options), Parameters)


def score(statistics, p):
    return of(own.score(statistics, of(p)), Parameters)


def sample(p, size, rng):
    return own.sample(of(p), size, rng)


def start(x, dims, rng):
    return of(own.start(x, dims, rng), Parameters)


def e_step(p, x, weights=None):
    return own.e_step(of(p), x, weights)


def log_densities(p, x):
    return own.log_densities(of(p), x)


def memberships(p, x):
    return own.memberships(of(p), x)


def log_likelihood(p, x):
    return own.log_likelihood(of(p), x)
"""

PRIOR = """
from lockstep.models.priors import Dirichlet, InverseGamma, Normal, Prior

PRIOR = Prior(
    {"shares": Dirichlet(4), "places": Normal(sd=2), "squares": InverseGamma(3, 1)},
    standardised=True,
)
"""

RENAMED_CANDIDATES = """
import numpy as np
from scipy.stats import norm


def step(x, shares, places, squares):
    joint = shares * norm.pdf(x[:, None], places, np.sqrt(squares))
    r = joint / joint.sum(axis=1, keepdims=True)
    n = r.sum(axis=0)
    places = r.T @ x / n
    return n / len(x), places, (r * (x[:, None] - places) ** 2).sum(axis=0) / n


def ridge(x, shares, places, squares):
    shares, places, squares = step(x, shares, places, squares)
    return shares, places, squares + 1e-3


def shrunk(x, shares, places, squares):
    shares, places, squares = step(x, shares, places, squares)
    return shares, 0.99 * places, squares
"""


@pytest.fixture
def renamed(tmp_path, monkeypatch):
    folder = tmp_path / "renamed"
    folder.mkdir()
    folder.joinpath("__init__.py").write_text(EQUATIONS)
    folder.joinpath("prior.py").write_text(PRIOR)
    (tmp_path / "by_other_names.py").write_text(RENAMED_CANDIDATES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(models, "_places", lambda: {"renamed": "renamed"})
    forget_renamed()
    yield lambda name: judged(f"{tmp_path / 'by_other_names.py'}:{name}", "renamed")
    forget_renamed()
    for name in [name for name in sys.modules if name.partition(".")[0] == "renamed"]:
        del sys.modules[name]


def forget_renamed():
    models._model.cache_clear()
    problems.general.cache_clear()
    mistakes.root.cache_clear()
    mistakes.candidates.cache_clear()


def test_checks_ask_what_a_model_has_and_not_what_its_fields_are_called(renamed):
    found = renamed("step")
    assert found.word is Word.VALID, [o for o in found.outcomes if o.status is Ended.FAILED]
    assert {o.name for o in found.of(Ended.PASSED)} >= {
        "shifted",
        "scaled",
        "lockstep",
        "m-step",
    }
    said = {o.name: o.message for o in found.of(Ended.NOT_CHECKED)}
    assert said["offset"] == "there is no EM at 50 digits for the renamed mixture"
    assert "rotated" not in {o.name for o in found.outcomes}


@pytest.mark.parametrize(
    ("name", "cause"),
    [("ridge", "the update of the squares"), ("shrunk", "the update of the places")],
)
def test_mistakes_in_fields_of_other_names_are_told(renamed, name, cause):
    found = renamed(name)
    assert found.word is Word.WRONG
    assert [c.name for c in found.causes] == [cause]


def test_any_model_of_sequences_is_simulated_as_the_hidden_markov_model_is():
    from lockstep.comparisons import predictive

    model, rng = models.load("categorical_hmm"), np.random.default_rng(0)
    one = model.Parameters.of(
        startprob=[0.9, 0.1],
        transmat=[[0.8, 0.2], [0.3, 0.7]],
        emissionprob=[[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]],
    )
    draws = model.Parameters(**{k: np.stack([a] * 1500) for k, a in one.arrays().items()})

    class Other:
        """The same draws, whose fields nothing knows."""

        SPACES = ()
        lead = draws.lead
        draw = draws.draw

    found = [predictive.simulated_by(model, p, [4, 7], rng) for p in (draws, Other())]
    assert [[s.shape for s in each] for each in found] == [[(1500, 4), (1500, 7)]] * 2
    shares = [predictive.shares(each, 3) for each in found]
    # Of 1,500 sequences of 11 steps: standard errors of the means below 0.006.
    np.testing.assert_allclose(shares[0].mean(axis=0), shares[1].mean(axis=0), atol=0.03)
