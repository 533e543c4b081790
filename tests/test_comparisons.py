"""Alignment, judging, running and keeping fits."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from conftest import make_case
from lockstep.comparisons import judging, results_file, run
from lockstep.comparisons.alignment import matching
from lockstep.comparisons.cache import FitCache, Timed, key
from lockstep.comparisons.diagnostics import diagnose
from lockstep.comparisons.files import write_whole
from lockstep.comparisons.judging import Judge
from lockstep.comparisons.outcomes import Verdict
from lockstep.comparisons.problem import Mode, Problem
from lockstep.comparisons.run import Failure, Task
from lockstep.comparisons.scenarios import Prepared, Scenario, scenarios
from lockstep.comparisons.suite import Plan, compare
from lockstep.models import em
from lockstep.models import gaussian_mixture_1d as gm1
from lockstep.models.fits import PointFit, PosteriorFit, Status, stack


def a_problem(case, name, **changes):
    given = {"model": name, "data": case.data, "dims": case.dims, "seed": 0}
    return Problem(**given | {"mode": Mode.AS_CONFIGURED} | changes)


def test_matching_undoes_any_relabelling(case):
    rng = np.random.default_rng(0)
    orders = np.array([rng.permutation(3) for _ in range(20)])
    draws = stack([case.parameters] * 20).relabelled(orders)
    found = draws.relabelled(matching(draws, case.parameters))
    for i in range(20):
        assert found.draw(i) == case.parameters


def test_matching_is_done_draw_by_draw():
    """Averaging before matching would give two components the same mean."""
    p = gm1.Parameters.of(weights=[0.5, 0.5], means=[-2, 2], variances=[1, 1])
    draws = stack([p, p.relabelled([1, 0])])
    aligned = draws.relabelled(matching(draws, p))
    np.testing.assert_array_equal(aligned.means.mean(axis=0), [-2, 2])


@pytest.fixture
def separated():
    scenario = scenarios()["gmm1d-separated"]
    return scenario, scenario.prepare()


def judged(scenario, prepared, *fits, quick=False):
    """Judge fits given as (implementation, mode, fit or failure)."""
    results = []
    for implementation, mode, fit in fits:
        matched = mode is Mode.MATCHED
        problem = Problem(
            model=scenario.model,
            data=prepared.data,
            dims=prepared.dims,
            mode=mode,
            seed=0,
            start=prepared.start if matched else None,
            n_iter=scenario.n_iter if matched else None,
        )
        result = fit if isinstance(fit, Failure) else Timed(fit, 0.1)
        results.append((Task(scenario.name, implementation, problem), result))
    return Judge(scenario, prepared, results, quick=quick).judge()


def posterior_about(parameters, sd=0.02, chains=4, draws=600, seed=0, **stats_):
    rng = np.random.default_rng(seed)

    def around(array):
        return array + sd * rng.normal(size=(chains, draws, *array.shape))

    weights = around(parameters.weights)
    drawn = gm1.Parameters(
        weights / weights.sum(axis=-1, keepdims=True),
        around(parameters.means),
        np.abs(around(parameters.variances)),
    )
    sampled = {"diverging": np.zeros((chains, draws)), "energy": rng.normal(size=(chains, draws))}
    return PosteriorFit(drawn, sampled | stats_)


def test_every_fit_is_scored_by_the_judge_and_put_in_order(separated):
    scenario, prepared = separated
    matched = em.fit(gm1, prepared.start, prepared.data, max_iter=20, tol=-1)
    entry = judged(scenario, prepared, ("em", Mode.MATCHED, matched))
    (outcome,) = entry.outcomes
    assert outcome.order == [1, 0], "the seed's start swaps the labels"
    np.testing.assert_allclose(outcome.parameters["means"], [-2.00724927, 3.00632410], 1e-8)
    scipy_score = np.log(
        sum(
            w * stats.norm(m, np.sqrt(v)).pdf(prepared.data)
            for w, m, v in zip(*(outcome.parameters[k] for k in prepared.truth.arrays()))
        )
    ).sum()
    assert outcome.log_likelihood.train == pytest.approx(scipy_score, rel=1e-12)
    assert outcome.log_likelihood.trace == pytest.approx(matched.trace.tolist(), rel=1e-12)
    assert len(outcome.log_likelihood.trace) == 21
    errors = np.abs(
        np.concatenate([outcome.parameters[k] for k in prepared.truth.arrays()])
        - np.concatenate(list(prepared.truth.arrays().values()))
    )
    assert outcome.recovery.max_abs_error == pytest.approx(errors.max())
    assert outcome.recovery.rmse == pytest.approx(np.sqrt((errors**2).mean()))


def test_a_slip_in_an_update_is_seen_in_matched_mode(separated):
    """Old means in the new variance: the likelihood still rises, the parameters differ."""
    scenario, prepared = separated
    right = em.fit(gm1, prepared.start, prepared.data, max_iter=20, tol=-1)
    path = [prepared.start]
    for _ in range(20):
        s, _ = gm1.e_step(path[-1], prepared.data)
        good = gm1.m_step(s)
        path.append(gm1.Parameters(good.weights, good.means, s.second / s.counts))
    wrong = PointFit(path[-1], Status.ITERATION_LIMIT, "", 20, path=stack(path))
    entry = judged(
        scenario, prepared, ("em", Mode.MATCHED, right), ("scikit-learn", Mode.MATCHED, wrong)
    )
    outcome = entry.outcomes[1]
    assert outcome.verdict == Verdict.DIFFERS
    assert outcome.counts_against
    assert outcome.agreement.max_abs_difference > 1e-3
    assert outcome.agreement.by_iteration[0] == 0


def test_point_fits_as_configured_are_held_against_the_best(separated):
    scenario, prepared = separated
    best = em.fit(gm1, prepared.start, prepared.data)
    short = em.fit(gm1, prepared.start, prepared.data, max_iter=2)
    entry = judged(
        scenario,
        prepared,
        ("em", Mode.AS_CONFIGURED, best),
        ("scikit-learn", Mode.AS_CONFIGURED, short),
    )
    assert [o.verdict for o in entry.outcomes] == ["agrees", "differs"]
    assert "short of the best fit" in entry.outcomes[1].reason


def test_a_declared_disagreement_does_not_count(separated):
    scenario, prepared = separated
    scenario = replace(
        scenario, expected={("scikit-learn", Mode.AS_CONFIGURED): "for the sake of the test"}
    )
    best = em.fit(gm1, prepared.start, prepared.data)
    short = em.fit(gm1, prepared.start, prepared.data, max_iter=2)
    entry = judged(
        scenario,
        prepared,
        ("em", Mode.AS_CONFIGURED, best),
        ("scikit-learn", Mode.AS_CONFIGURED, short),
    )
    outcome = entry.outcomes[1]
    assert outcome.verdict == "differs"
    assert outcome.expected == "for the sake of the test"
    assert not outcome.counts_against


def test_a_sound_posterior_agrees_and_is_summarised(separated):
    scenario, prepared = separated
    best = em.fit(gm1, prepared.start, prepared.data)
    centre = best.parameters.relabelled([1, 0])
    fit = posterior_about(centre)
    entry = judged(
        scenario,
        prepared,
        ("em", Mode.AS_CONFIGURED, best),
        ("pymc-nuts", Mode.AS_CONFIGURED, fit),
    )
    outcome = entry.outcomes[1]
    assert outcome.verdict == "agrees"
    assert outcome.status == "converged"
    np.testing.assert_allclose(outcome.parameters["means"], fit.draws.means.mean(axis=(0, 1)))
    assert outcome.interval.kind == "equal-tailed"
    np.testing.assert_allclose(
        outcome.interval.lower["means"], np.quantile(fit.draws.means, 0.025, axis=(0, 1))
    )
    assert outcome.diagnostics.r_hat < 1.01
    # Independent draws: as many effective as there are, within sampling error.
    assert outcome.diagnostics.ess_bulk == pytest.approx(2400, rel=0.2)
    truth = np.concatenate(list(prepared.truth.arrays().values()))
    low, high = (
        np.concatenate([np.ravel(a) for a in end.values()])
        for end in (outcome.interval.lower, outcome.interval.upper)
    )
    assert outcome.recovery.covered == ((low <= truth) & (truth <= high)).sum()
    assert outcome.recovery.of == 6


@pytest.mark.slow
def test_chains_that_differ_only_in_labels_are_one_posterior(separated):
    scenario, prepared = separated
    best = em.fit(gm1, prepared.start, prepared.data)
    fit = posterior_about(best.parameters)
    swapped = np.zeros((4, 600, 2), dtype=int)
    swapped[:2] = [1, 0]
    swapped[2:] = [0, 1]
    fit = replace(fit, draws=fit.draws.relabelled(swapped))
    assert diagnose(fit.draws, fit).r_hat > 1.5
    entry = judged(scenario, prepared, ("pymc-nuts", Mode.AS_CONFIGURED, fit))
    outcome = entry.outcomes[0]
    assert outcome.diagnostics.r_hat < 1.01
    assert outcome.diagnostics.relabelled_draws == 1200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda fit: {"diverging": np.eye(4, 600)}, "4 divergences"),
        (lambda fit: {"shift": 1}, "R-hat"),
        (lambda fit: {"short": 1}, "ESS"),
    ],
)
def test_a_bad_posterior_is_shown_as_bad(separated, spoil, message):
    scenario, prepared = separated
    best = em.fit(gm1, prepared.start, prepared.data)
    fit = posterior_about(best.parameters)
    how = spoil(fit)
    draws = fit.draws
    if "shift" in how:
        moved = draws.means + 0.1 * np.arange(4)[:, None, None]
        draws = gm1.Parameters(draws.weights, moved, draws.variances)
    if "short" in how:
        draws = gm1.Parameters(*(a[:, :60] for a in draws.arrays().values()))
    sampled = {"diverging": how.get("diverging", fit.sample_stats["diverging"])}
    entry = judged(
        scenario,
        prepared,
        ("em", Mode.AS_CONFIGURED, best),
        ("pymc-nuts", Mode.AS_CONFIGURED, PosteriorFit(draws, sampled)),
    )
    outcome = entry.outcomes[1]
    assert outcome.status == "not_converged"
    assert outcome.verdict == "unsettled"
    assert outcome.counts_against
    assert message in outcome.reason


@pytest.mark.slow
def test_a_settled_posterior_in_the_wrong_place_differs(separated):
    scenario, prepared = separated
    best = em.fit(gm1, prepared.start, prepared.data)
    moved = gm1.Parameters(
        best.parameters.weights, best.parameters.means + 1, best.parameters.variances
    )
    entry = judged(
        scenario,
        prepared,
        ("em", Mode.AS_CONFIGURED, best),
        ("pymc-nuts", Mode.AS_CONFIGURED, posterior_about(moved)),
    )
    assert entry.outcomes[1].verdict == "differs"
    assert "below the best fit" in entry.outcomes[1].reason


def test_heldout_predictive_density_is_averaged_over_draws(separated):
    scenario, prepared = separated
    fit = posterior_about(prepared.truth, chains=2, draws=50)
    entry = judged(scenario, prepared, ("pymc-nuts", Mode.AS_CONFIGURED, fit))
    per_draw = [
        float(gm1.log_likelihood(fit.draws.draw(c, d), prepared.heldout))
        for c in range(2)
        for d in range(50)
    ]
    top = max(per_draw)
    expected = top + np.log(np.mean(np.exp(np.array(per_draw) - top)))
    scores = entry.outcomes[0].log_likelihood
    assert scores.heldout_predictive == pytest.approx(expected, rel=1e-12)
    train = [
        float(gm1.log_likelihood(fit.draws.draw(c, d), prepared.data))
        for c in range(2)
        for d in range(50)
    ]
    assert scores.train_mean == pytest.approx(np.mean(train), rel=1e-12)
    assert scores.train_sd == pytest.approx(np.std(train, ddof=1), rel=1e-9)


def test_scoring_in_pieces_changes_nothing(monkeypatch, case):
    draws = stack([case.parameters] * 7)
    whole = judging.log_likelihoods(case.model, draws, case.data)
    monkeypatch.setattr(judging, "SCORED_AT_ONCE", 1)
    np.testing.assert_array_equal(judging.log_likelihoods(case.model, draws, case.data), whole)


def test_failures_are_rows_and_do_not_stop_the_rest(separated):
    scenario, prepared = separated
    best = em.fit(gm1, prepared.start, prepared.data)
    entry = judged(
        scenario,
        prepared,
        ("em", Mode.AS_CONFIGURED, best),
        ("pymc-nuts", Mode.AS_CONFIGURED, Failure(Status.FAILED, "RuntimeError: chain 2 failed")),
        ("hmmlearn", Mode.AS_CONFIGURED, Failure(Status.UNSUPPORTED, "no mixtures")),
        ("scikit-learn", Mode.AS_CONFIGURED, Failure(Status.NOT_INSTALLED, "No module")),
    )
    found = [(o.status, o.verdict, o.counts_against) for o in entry.outcomes]
    assert found == [
        ("converged", "agrees", False),
        ("failed", "failed", True),
        ("unsupported", "not_run", False),
        ("not_installed", "not_run", False),
    ]
    json.loads(results_file.encode(entry), parse_constant=pytest.fail)


def test_an_impossible_data_set_is_null_in_json_and_differs():
    from lockstep.models import categorical_hmm as hmm

    scenario = scenarios()["geyser-hmm"]
    prepared = scenario.prepare()
    sure = hmm.Parameters.of(
        startprob=[0.5, 0.5], transmat=np.full((2, 2), 0.5), emissionprob=[[1, 0], [1, 0]]
    )
    entry = judged(
        scenario,
        prepared,
        ("em", Mode.AS_CONFIGURED, PointFit(sure, Status.CONVERGED, "", 1)),
    )
    assert entry.outcomes[0].log_likelihood.train is None
    assert entry.outcomes[0].verdict == "differs"
    json.loads(results_file.encode(entry), parse_constant=pytest.fail)


def test_published_figures_stand_beside_ours():
    scenario = scenarios()["faithful-2d"]
    prepared = scenario.prepare()
    fit = em.fit(scenario_model(scenario), prepared.start, prepared.data)
    entry = judged(scenario, prepared, ("em", Mode.AS_CONFIGURED, fit))
    assert len(entry.published) == 15
    assert all(figure.matches for figure in entry.published)
    shifted = replace(prepared.published[0], printed="-1130.265")
    entry = judged(
        scenario, replace(prepared, published=(shifted,)), ("em", Mode.AS_CONFIGURED, fit)
    )
    assert entry.published[0].matches is False


def scenario_model(scenario):
    from lockstep import models

    return models.load(scenario.model)


# --- keeping fits ---------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path, case, model_name):
    start = case.model.start(case.data, case.dims, np.random.default_rng(0))
    fit = em.fit(case.model, start, case.data, max_iter=5)
    fit = replace(fit, details={"settings": {"tol": 1e-3}})
    identity = key("em", a_problem(case, model_name))
    cache = FitCache(tmp_path)
    cache.store(identity, Timed(fit, 1.5))
    return cache, identity, fit


def test_a_kept_fit_comes_back_as_it_was(kept):
    cache, identity, fit = kept
    back = cache.load(identity)
    assert back.seconds == 1.5
    assert back.fit.parameters == fit.parameters
    assert back.fit.path == fit.path
    assert (back.fit.trace == fit.trace).all()
    assert (back.fit.status, back.fit.message) == (fit.status, fit.message)
    assert back.fit.details == fit.details


def test_a_kept_posterior_comes_back_as_it_was(tmp_path, separated):
    _, prepared = separated
    fit = posterior_about(prepared.truth, draws=10)
    fit = replace(fit, elbo=np.array([1.0, 2.0]), details={"prior": "text"})
    cache = FitCache(tmp_path)
    cache.store("abc", Timed(fit, 2.0))
    back = cache.load("abc").fit
    assert back.draws == fit.draws
    assert set(back.sample_stats) == {"diverging", "energy"}
    assert (back.sample_stats["energy"] == fit.sample_stats["energy"]).all()
    assert (back.elbo == fit.elbo).all()
    assert back.details == fit.details


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_entry_is_as_good_as_none(kept, damage):
    cache, identity, _ = kept
    (path,) = (p for p in cache.folder.rglob("*") if p.is_file())
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "flip": content[:200] + bytes([content[200] ^ 1]) + content[201:],
            "empty": b"",
            "other": b"something else entirely",
        }[damage]
    )
    assert cache.load(identity) is None


def test_anything_that_matters_changes_the_key(monkeypatch, case, model_name):
    from lockstep.comparisons import cache

    base = a_problem(case, model_name)
    data = case.data[:-1] if not isinstance(case.data, tuple) else case.data[:2]
    keys = [
        key("em", base),
        key("scikit-learn", base),
        key("em", replace(base, data=data)),
        key("em", replace(base, seed=1)),
        key("em", replace(base, quick=True)),
        key("em", replace(base, dims=base.dims | {"n_components": 4})),
        key("em", replace(base, mode=Mode.MATCHED, start=case.parameters, n_iter=3)),
        key("em", replace(base, mode=Mode.MATCHED, start=case.parameters, n_iter=4)),
    ]
    monkeypatch.setattr(cache, "versions", lambda names: {"numpy": "0"})
    keys.append(key("em", base))
    monkeypatch.setattr(cache, "_source_hash", lambda *names: "edited")
    keys.append(key("em", base))
    assert len(set(keys)) == len(keys)
    monkeypatch.undo()
    assert key("em", a_problem(case, model_name)) == keys[0]


def test_sequences_of_other_lengths_are_another_problem():
    case = make_case("categorical_hmm")
    one = replace(a_problem(case, "categorical_hmm"), data=(np.array([0, 1, 2]),))
    two = replace(one, data=(np.array([0, 1]), np.array([2])))
    assert key("em", one) != key("em", two)


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a" / "file"
    write_whole(path, "first")
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, "second")
    assert path.read_text() == "first"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


# --- running --------------------------------------------------------------------------------


def quick_plan(*implementations):
    scenario = scenarios()["gmm1d-separated"]
    return Plan([(scenario, scenario.prepare())], implementations, quick=True)


def test_finished_fits_are_used_again(tmp_path):
    heard = []

    def announce(task, result, cached):
        heard.append((task.implementation, str(task.problem.mode), cached))

    plan = quick_plan("em", "hmmlearn")
    first = compare(plan, FitCache(tmp_path), announce).content.scenarios
    assert heard == [("em", "matched", False), ("em", "as_configured", False)]
    heard.clear()
    second = compare(plan, FitCache(tmp_path), announce).content.scenarios
    assert heard == [("em", "matched", True), ("em", "as_configured", True)]
    assert list(map(results_file.encode, first)) == list(map(results_file.encode, second))
    rows = [(o.implementation, o.mode, o.status) for o in first[0].outcomes]
    assert rows == [
        ("em", "matched", "iteration_limit"),
        ("em", "as_configured", "converged"),
        ("hmmlearn", "as_configured", "unsupported"),
    ]


@pytest.mark.slow
def test_a_process_that_dies_takes_no_other_fit_along(tmp_path, monkeypatch):
    """Kill the worker while it works: the task is tried once more, by itself."""
    plan = quick_plan("em")
    tasks = plan.tasks()
    import multiprocessing

    stop = threading.Event()

    def kill_once():
        while not stop.is_set():
            for process in multiprocessing.active_children():
                os.kill(process.pid, signal.SIGKILL)
                return
            time.sleep(0.001)

    thread = threading.Thread(target=kill_once)
    thread.start()
    try:
        results = run.run(tasks, FitCache(tmp_path), lambda *a: None)
    finally:
        stop.set()
        thread.join()
    assert len(results) == 2
    assert all(isinstance(result, Timed) for result in results.values())


def test_a_scenario_without_truth_or_reference_takes_our_order(separated):
    _, prepared = separated
    own = Scenario("mine", "mine.csv", "gaussian_mixture_1d", "", 20, lambda: bare)
    bare = Prepared(data=prepared.data, dims=prepared.dims, start=prepared.start)
    fit = em.fit(gm1, prepared.start, prepared.data)
    entry = judged(own, bare, ("em", Mode.AS_CONFIGURED, fit))
    assert entry.outcomes[0].order == [0, 1]
    assert entry.truth is None
    assert entry.outcomes[0].recovery is None
    assert entry.outcomes[0].log_likelihood.heldout is None
