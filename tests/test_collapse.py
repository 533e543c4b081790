"""Spikes, numbers of any scale, and failures of the judge: a row each, never a lost report."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from lockstep.comparisons import agreement, judging, predictive, yardstick
from lockstep.comparisons.cache import Timed
from lockstep.comparisons.implementations import implementations
from lockstep.comparisons.outcomes import Results
from lockstep.comparisons.own_data import DataError
from lockstep.comparisons.own_data import scenario as own_scenario
from lockstep.comparisons.problem import Mode, Problem
from lockstep.comparisons.run import Task
from lockstep.comparisons.scenarios import Prepared, Scenario, scenarios
from lockstep.models import categorical_hmm as hmm
from lockstep.models import em, uncertainty
from lockstep.models import gaussian_mixture_1d as gm1
from lockstep.models import gaussian_mixture_2d as gm2
from lockstep.models.fits import PointFit, Status
from lockstep.models.labels import matching
from lockstep.reports import figures, reading, tables, terminal, verdicts
from lockstep.reports.build import rebuild
from test_outcomes import a_posterior, environment


def run(data, K, start, *, n_iter=50, seed=0, also=()):
    """Judge em and scikit-learn, matched and as configured, and further point fits."""
    data = np.asarray(data, float)
    model = gm1 if data.ndim == 1 else gm2
    prepared = Prepared(data=data, dims={"n_components": K}, start=start)
    own = Scenario("own", "own", model.NAME, "", n_iter, lambda: prepared)
    results = []
    for mode in Mode:
        matched = mode is Mode.MATCHED
        for name in ("em", "scikit-learn"):
            problem = Problem(
                model=model.NAME,
                data=data,
                dims=prepared.dims,
                mode=mode,
                seed=seed,
                start=start if matched else None,
                n_iter=n_iter if matched else None,
            )
            fit = implementations()[name].fit(problem)
            results.append((Task("own", name, problem), Timed(fit, 0.1)))
    for name, fit in also:
        task = Task("own", name, replace(results[-1][0].problem, mode=Mode.AS_CONFIGURED))
        results.append((task, Timed(fit, 0.1)))
    return judging.Judge(own, prepared, results).judge()


def outcome(entry, implementation, mode):
    return reading.find(reading.outcomes(entry, mode), implementation)


def on_a_line():
    rng = np.random.default_rng(4)
    t = rng.normal(size=40)
    flat = np.column_stack([5 + t, 5 + 2 * t])
    return np.concatenate([rng.normal(-5, 1, (80, 2)), flat])


def spiked(kind):
    """Return data with a spike, the number of components, and a start whose EM runs into it."""
    rng = np.random.default_rng(7)
    if kind == "1d, K=3":
        x = np.r_[rng.normal(-4, 1, 80), rng.normal(4, 1, 80), np.full(12, 30.25)]
        return x, 3, gm1.Parameters.of(weights=[1 / 3] * 3, means=[-4, 4, 30], variances=[1, 1, 4])
    if kind == "1d, in thousandths":
        x = 1e-3 * np.r_[rng.normal(0, 1, 90), np.full(9, 17.0)]
        return x, 2, gm1.Parameters.of(weights=[0.5, 0.5], means=[0, 0.017], variances=[1e-6, 1e-6])
    if kind == "1d, about 1e6":
        x = 1e6 + np.r_[rng.normal(0, 50, 90), np.full(9, 700.0)]
        start = {"weights": [0.5, 0.5], "means": [1e6, 1e6 + 700], "variances": [2500, 2500]}
        return x, 2, gm1.Parameters.of(**start)
    if kind == "2d, a point":
        x = np.concatenate([rng.normal(0, 1, (80, 2)), np.full((10, 2), 20.0)])
        start = gm2.Parameters.of(
            weights=[0.5, 0.5], means=[[0, 0], [20, 20]], covariances=[np.eye(2)] * 2
        )
        return x, 2, start
    x = on_a_line()
    start = gm2.Parameters.of(
        weights=[0.5, 0.5], means=[[-5, -5], [5, 5]], covariances=[np.eye(2), [[1, 1], [1, 4]]]
    )
    return x, 2, start


KINDS = ("1d, K=3", "1d, in thousandths", "1d, about 1e6", "2d, a point", "2d, a line")


@pytest.mark.parametrize("kind", KINDS)
def test_a_matched_spike_is_one_finding_and_never_the_best(kind):
    entry = run(*spiked(kind))
    ours, theirs = (outcome(entry, who, "matched") for who in ("em", "scikit-learn"))
    assert ours.status == theirs.status == "degenerate"
    assert theirs.verdict == "agrees"
    assert not theirs.counts_against
    assert "both found the collapse" in theirs.reason
    assert theirs.agreement.units == "data"
    assert theirs.agreement.max_scaled_difference <= yardstick.LOCKSTEP
    sound = [o for o in entry.outcomes if o.status != "degenerate"]
    best = entry.best_log_likelihood
    if sound:
        assert best == pytest.approx(max(o.log_likelihood.train for o in sound), rel=1e-12)
    else:
        assert best is None
    for o in entry.outcomes:
        if o.status == "degenerate":
            assert verdicts.gap(entry, o) is None
            assert verdicts.figure(entry, o) == "degenerate"


@pytest.mark.parametrize("kind", [k for k in KINDS if "thousandths" not in k])
def test_a_spike_held_up_by_a_ridge_is_no_maximum(kind):
    data, K, start = spiked(kind)
    arrays = start.arrays()
    covariances = arrays.get("covariances")
    if covariances is None:
        covariances = arrays["variances"][:, None, None]
    held = GaussianMixture(
        K,
        weights_init=arrays["weights"],
        means_init=arrays["means"].reshape(K, -1),
        precisions_init=np.linalg.inv(covariances),
    ).fit(data.reshape(len(data), -1))
    fitted = (held.weights_, held.means_, held.covariances_)
    if data.ndim == 1:
        fitted = (held.weights_, held.means_[:, 0], held.covariances_[:, 0, 0])
    kept = PointFit(
        type(start)(*fitted), Status.CONVERGED, "its own rule", 9,
        details={"settings": {"reg_covar": 1e-6}},
    )  # fmt: skip
    entry = run(data, K, start, also=[("hmmlearn", kept)])
    found = outcome(entry, "hmmlearn", "as_configured")
    assert found.status == "degenerate"
    assert found.verdict == "differs"
    assert "a spike held up by its ridge of 1e-06" in found.reason
    assert "nats short" not in found.reason
    em_too = outcome(entry, "em", "as_configured").status == "degenerate"
    assert found.counts_against == (not em_too)


def test_a_narrow_component_is_no_spike_and_may_be_the_best():
    rng = np.random.default_rng(3)
    x = np.r_[rng.normal(0, 1, 300), rng.normal(50, 0.01, 100)]
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[0, 50], variances=[1, 1])
    entry = run(x, 2, start)
    assert all(o.status != "degenerate" for o in entry.outcomes)
    top = outcome(entry, "em", "as_configured")
    assert top.verdict == "agrees"
    assert entry.best_log_likelihood == pytest.approx(top.log_likelihood.train, rel=1e-9)


def test_without_a_sound_fit_a_posterior_is_unsettled():
    data, _, start = spiked("2d, a point")
    nothing = yardstick.Yardstick({}, best=None, n_free=start.n_free, data=data, expected={})
    said = nothing.verdict(a_posterior(x=np.zeros(2)))
    assert said.verdict == "unsettled"
    assert "no sound fit" in said.reason


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_no_numbers_are_a_failed_row(value):
    x = np.random.default_rng(0).normal(size=60)
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[-1, 1], variances=[1, 1])
    broken = gm1.Parameters.of(weights=[0.5, 0.5], means=[0, value], variances=[1, 1])
    fit = PointFit(broken, Status.CONVERGED, "so it says", 3)
    found = outcome(run(x, 2, start, also=[("hmmlearn", fit)]), "hmmlearn", "as_configured")
    assert found.status == found.verdict == "failed"
    assert "means[1]" in found.reason


@pytest.mark.parametrize("variance", [0.0, 1e-300, 5e-324])
def test_a_variance_of_nothing_is_judged(variance):
    x = np.r_[np.random.default_rng(0).normal(size=60), [3.0, 3.0]]
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[-1, 1], variances=[1, 1])
    spike = gm1.Parameters.of(weights=[0.9, 0.1], means=[0, 3], variances=[1, variance])
    fit = PointFit(spike, Status.CONVERGED, "so it says", 3)
    found = outcome(run(x, 2, start, also=[("hmmlearn", fit)]), "hmmlearn", "as_configured")
    assert found.status == "degenerate"
    json.dumps(found, allow_nan=False, default=str)


def test_a_singular_covariance_is_judged():
    x = on_a_line()
    start = gm2.Parameters.of(
        weights=[0.5, 0.5], means=[[-5, -5], [5, 5]], covariances=[np.eye(2)] * 2
    )
    flat = gm2.Parameters.of(
        weights=[0.5, 0.5], means=[[-5, -5], [5, 5]], covariances=[np.eye(2), [[1, 2], [2, 4]]]
    )
    fit = PointFit(flat, Status.CONVERGED, "so it says", 3)
    found = outcome(run(x, 2, start, also=[("hmmlearn", fit)]), "hmmlearn", "as_configured")
    assert found.status == "degenerate"


@pytest.mark.parametrize("part", ["matching", "collapsed", "log_likelihood"])
def test_a_failure_of_the_judge_is_that_rows(part, monkeypatch):
    """Whatever raises on one fit's parameters, the other rows are judged."""
    x = np.random.default_rng(0).normal(size=60)
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[-1, 1], variances=[1, 1])
    odd = gm1.Parameters.of(weights=[0.25, 0.75], means=[-1, 1], variances=[1, 1])
    where = judging if part == "matching" else gm1
    right = getattr(where, part)

    def wrong(*given):
        if any(isinstance(g, gm1.Parameters) and g.weights.tolist() == [0.25, 0.75] for g in given):
            raise np.linalg.LinAlgError("Eigenvalues did not converge")
        return right(*given)

    monkeypatch.setattr(where, part, wrong)
    fit = PointFit(odd, Status.CONVERGED, "so it says", 3)
    if part == "log_likelihood":
        monkeypatch.setattr(judging.Judge, "_best", lambda _: -60.0)
    entry = run(x, 2, start, also=[("hmmlearn", fit)])
    found = outcome(entry, "hmmlearn", "as_configured")
    assert found.verdict == "failed"
    assert "could not be judged: LinAlgError: Eigenvalues did not converge" in found.reason
    assert found.traceback
    assert outcome(entry, "em", "as_configured").status == "converged"


def test_intervals_and_checks_that_fail_leave_the_rows(monkeypatch):
    def wrong(*_, **__):
        raise ValueError("no such thing")

    x = np.random.default_rng(0).normal(size=60)
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[-1, 1], variances=[1, 1])
    monkeypatch.setattr(uncertainty, "wald", wrong)
    monkeypatch.setattr(predictive, "check", wrong)
    monkeypatch.setattr(judging.Judge, "_prior", wrong)
    entry = run(x, 2, start)
    found = outcome(entry, "em", "as_configured")
    assert found.verdict == "agrees"
    assert found.interval is None
    assert "no such thing" in found.details["intervals"]
    assert entry.notes == ["The priors could not be computed: ValueError: no such thing."]
    assert entry.notes[0] in terminal._remarks(entry)


def test_a_figure_that_fails_is_a_sentence(monkeypatch, tmp_path):
    def wrong(*_):
        raise OverflowError("cannot convert float infinity to integer")

    x = np.random.default_rng(0).normal(size=60)
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[-1, 1], variances=[1, 1])
    entry = run(x, 2, start)
    for module, name in ((figures.mixtures, "data"), (figures.fits, "lockstep")):
        monkeypatch.setattr(module, name, wrong)
    rebuild(Results(environment=environment(), scenarios=[entry]), tmp_path)
    for name in ("report.md", "index.html"):
        text = (tmp_path / name).read_text("utf-8").replace("&#39;", "'")
        assert "The figure 'data' could not be drawn: OverflowError" in text
        assert "The figure 'lockstep' could not be drawn" in text
    assert (tmp_path / "figures" / "own-log-likelihood.png").is_file()


# Scale


def compare(tmp_path, columns, model, monkeypatch, K=2):
    """Run the command line on a file, in this process; return status, output and results."""
    file = tmp_path / "t.csv"
    names = ",".join(f"x{d}" for d in range(len(columns)))
    np.savetxt(file, np.column_stack(columns), "%.17g", ",", header=names, comments="")
    command = [sys.executable, "-m", "lockstep.reports.cli"]
    arguments = ["compare", str(file), "--model", model, "--components", str(K)]
    arguments += ["--implementations", "em", "scikit-learn", "--out", str(tmp_path / "o")]
    monkeypatch.setenv("LOCKSTEP_CACHE", str(tmp_path / "fits"))
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    results = tmp_path / "o" / "results.json"
    content = json.loads(results.read_text()) if results.is_file() else None
    return done.returncode, done.stdout + done.stderr, content


def two_clusters(seed=5, n=120):
    rng = np.random.default_rng(seed)
    return np.r_[rng.normal(0, 1, n), rng.normal(7, 1, n)]


def test_the_interval_far_from_zero_is_the_one_at_zero(monkeypatch):
    """By differences of 1e-5 sd there would be none beyond 1e11 sd: neighbours are wider apart."""
    x = np.round(two_clusters(), 1)
    for offset in (2.0**33, -(2.0**38), 2.0**41):
        near, far = x - 0.0, x + offset
        start = gm1.Parameters.of(weights=[0.5, 0.5], means=[0, 7], variances=[1, 1])
        moved = replace(start, means=start.means + offset)
        here = em.fit(gm1, start, far - offset).parameters  # the data as they are after rounding
        there = replace(here, means=np.round(here.means * 2**11) / 2**11 + offset)
        del near, moved
        known = uncertainty.wald(gm1, there, far)
        right = uncertainty.wald(gm1, replace(there, means=there.means - offset), far - offset)
        assert not known.no_interval
        for name, sd in known.sd.arrays().items():
            np.testing.assert_allclose(sd, right.sd.arrays()[name], rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-140, 1e-77, 1e110])
def test_wald_ends_in_intervals_or_in_a_reason(scale):
    x = scale * two_clusters()
    p = gm1.Parameters.of(
        weights=[0.5, 0.5], means=[0, 7 * scale], variances=[scale * scale, scale * scale]
    )
    with np.errstate(all="ignore"):
        known = uncertainty.wald(gm1, p, x)
    assert all(np.isfinite(known.sd.arrays()["means"])) or known.no_interval


def test_matching_survives_what_is_not_finite():
    reference = gm1.Parameters.of(weights=[0.5, 0.3, 0.2], means=[-5, 0, 5], variances=[1, 1, 1])
    for variances in ([1, 1, 0], [1, np.inf, 1], [np.nan, 1, 1]):
        odd = gm1.Parameters.of(weights=[0.2, 0.5, 0.3], means=[5, -5, 0], variances=variances)
        with np.errstate(all="ignore"):
            assert sorted(matching(odd, reference).tolist()) == [0, 1, 2]
    spike = gm1.Parameters.of(weights=[0.2, 0.5, 0.3], means=[5, -5, 0], variances=[0, 1, 1])
    assert matching(spike, reference).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (1e-180 * two_clusters(), "and squares of numbers below"),
        (1e150 * two_clusters(), "overflow"),
        (3e15 + two_clusters(), "subtract 3e+15"),
        (1e300 * two_clusters(), "divide the column by"),
    ],
)
@pytest.mark.parametrize("model", ["gaussian_mixture_1d", "gaussian_mixture_2d"])
def test_what_doubles_cannot_hold_is_refused_with_a_way_out(tmp_path, x, said, model):
    file = tmp_path / "x.csv"
    columns = [x] if model.endswith("1d") else [np.random.default_rng(0).normal(size=len(x)), x]
    names = ",".join("ab"[-len(columns) :])
    np.savetxt(file, np.column_stack(columns), "%.17g", ",", header=names, comments="")
    with pytest.raises(DataError, match="column 'b'") as refused:
        own_scenario(file, model, 2)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "x", [1e99 * two_clusters() / 20, 1e-99 * two_clusters(), 2e12 + two_clusters()]
)
def test_what_doubles_hold_is_taken(tmp_path, x):
    file = tmp_path / "x.csv"
    np.savetxt(file, x, "%.17g", header="x", comments="")
    _, prepared = own_scenario(file, "gaussian_mixture_1d", 2)
    np.testing.assert_array_equal(prepared.data, x)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("columns", "model"),
    [
        ([5e12 + two_clusters()], "gaussian-mixture-1d"),
        ([1e-98 * two_clusters()], "gaussian-mixture-1d"),
        ([1e97 * two_clusters()], "gaussian-mixture-1d"),
        ([1e9 + 1e-3 * two_clusters(), 1e-90 * two_clusters(9)], "gaussian-mixture-2d"),
    ],
    ids=["5e12", "1e-98", "1e97", "two columns"],
)
def test_any_scale_ends_in_rows(tmp_path, columns, model, monkeypatch):
    status, text, content = compare(tmp_path, columns, model, monkeypatch)
    assert status in (0, 1), text
    assert "Traceback" not in text
    rows = content["scenarios"][0]["outcomes"]
    assert len(rows) == 4
    assert all(o["reason"] for o in rows)
    assert [o["status"] for o in rows if o["implementation"] == "em"][1] == "converged"


def test_rounding_far_from_zero_is_said(monkeypatch):
    data = 1e9 + two_clusters()
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[1e9, 1e9 + 7], variances=[1, 1])
    found = outcome(run(data, 2, start), "scikit-learn", "matched")
    if found.verdict == "differs":
        assert "standard deviations from zero, where rounding alone makes" in found.reason
    assert found.agreement.max_scaled_difference < 1e-2


# The difference shown


@pytest.mark.parametrize("unit", [1e-6, 1.0, 365.25, 1e8])
@pytest.mark.parametrize("K", [2, 3])
def test_the_difference_shown_is_the_one_judged_in_any_unit(unit, K):
    x = unit * np.r_[two_clusters(), np.random.default_rng(8).normal(-9, 2, 60)]
    q = np.quantile(x, np.linspace(0.1, 0.9, K))
    start = gm1.Parameters.of(weights=[1 / K] * K, means=q, variances=[x.var()] * K)
    entry = run(x, K, start)
    found = outcome(entry, "scikit-learn", "matched")
    largest = found.agreement.max_scaled_difference
    assert found.verdict == "agrees"
    assert largest <= yardstick.LOCKSTEP
    assert max(found.agreement.by_iteration) == largest
    assert f"{largest:.1e}" in found.reason
    assert tables.largest_difference(entry, found) == largest
    assert verdicts.figure(entry, found) == f"Δ {largest:.1e}"
    assert terminal._largest(entry, found) == f"{largest:.1e}"
    last = tables.matched_table(entry)
    shown = [float(r.cells[4].text) for r in last.rows if r.cells[4].text]
    assert max(shown) <= yardstick.LOCKSTEP
    short = outcome(entry, "scikit-learn", "as_configured")
    ours = outcome(entry, "em", "as_configured").parameters
    apart = [
        *np.abs(np.subtract(short.parameters["weights"], ours["weights"])),
        *np.abs(np.subtract(short.parameters["means"], ours["means"])) / np.sqrt(ours["variances"]),
        *np.abs(np.subtract(short.parameters["variances"], ours["variances"])) / ours["variances"],
    ]
    assert tables.largest_difference(entry, short) == pytest.approx(max(apart), rel=1e-12)


@pytest.mark.parametrize("units", [(1.0, 1.0), (1e-9, 1e9), (1e-3, 6e4)])
def test_scaled_differences_do_not_know_the_unit(units):
    rng = np.random.default_rng(2)
    A = rng.normal(size=(3, 2, 2))
    p = gm2.Parameters.of(
        weights=[0.2, 0.3, 0.5], means=rng.normal(size=(3, 2)), covariances=A @ A.mT + np.eye(2)
    )
    q = replace(p, means=p.means + 0.01, covariances=1.03 * p.covariances)
    by = np.array(units)

    def scaled(r):
        return replace(r, means=by * r.means, covariances=r.covariances * np.outer(by, by))

    here, there = agreement.scaled(q, p), agreement.scaled(scaled(q), scaled(p))
    for name, array in here.items():
        np.testing.assert_allclose(there[name], array, rtol=1e-12)
    # and, away from rounding, as EM's own stopping rule counts them
    assert max(a.max() for a in here.values()) == pytest.approx(p.change(q), rel=1e-12)
    one = gm1.Parameters.of(weights=[1], means=[3 * units[1]], variances=[units[1] ** 2])
    two = replace(one, means=[3.5 * units[1]])
    assert max(a.max() for a in agreement.scaled(two, one).values()) == pytest.approx(0.5)


def test_probabilities_are_compared_as_they_are():
    rng = np.random.default_rng(0)
    p, q = (
        hmm.Parameters(rng.dirichlet([1, 1]), rng.dirichlet([1, 1], 2), rng.dirichlet([1] * 4, 2))
        for _ in range(2)
    )
    found = agreement.scaled(q, p)
    assert max(a.max() for a in found.values()) == pytest.approx(p.change(q), rel=1e-15)


# Rounding of another's


@pytest.mark.parametrize(
    ("fall", "status"),
    [
        (2e-13, "converged"),
        (3e-9, "converged"),
        (0.0, "converged"),
        (2e-8, "log_likelihood_fell"),
        (0.5, "log_likelihood_fell"),
    ],
)
def test_a_fall_is_judged_by_the_rounding_of_its_size(fall, status, monkeypatch):
    """Of 100 nats 1e-8 is rounding, as for our own fits: em.ROUNDING of their size."""
    from hmmlearn import hmm as theirs

    right = theirs.CategoricalHMM.fit

    def fit(self, X, lengths=None):
        right(self, X, lengths)
        self.monitor_.history.clear()
        self.monitor_.history.extend([-100.0, -100.0 - fall])
        return self

    monkeypatch.setattr(theirs.CategoricalHMM, "fit", fit)
    problem = Problem(
        model="categorical_hmm",
        data=(np.random.default_rng(0).integers(3, size=80),),
        dims={"n_components": 2, "n_features": 3},
        mode=Mode.AS_CONFIGURED,
        seed=0,
    )
    found = implementations()["hmmlearn"].fit(problem)
    assert found.status == status
    assert (fall > em.ROUNDING * 100) == (status == "log_likelihood_fell")


def test_the_books_start_is_stationary_and_costs_what_the_lesson_says():
    scenario = scenarios()["geyser-hmm"]
    prepared = scenario.prepare()
    book = prepared.published[1].at
    np.testing.assert_allclose(book.startprob @ book.transmat, book.startprob, rtol=1e-12)
    at_book = float(hmm.log_likelihood(book, prepared.data))
    free = em.fit(hmm, prepared.start, prepared.data).trace[-1]
    assert f"{free - at_book:.1f} nats" in scenario.lesson
    assert f"{at_book:.2f}" in scenario.lesson
