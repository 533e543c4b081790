"""The loop: priors, chunks, leaps, restricted covariances, ridges."""

from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import oracles
from conftest import make_case
from lockstep.comparisons.scenarios import scenarios
from lockstep.models import categorical_hmm as hmm
from lockstep.models import chunks, em, kernels
from lockstep.models import gaussian_mixture_1d as gm1
from lockstep.models import gaussian_mixture_2d as gm2
from lockstep.models.fits import Status

# Priors


def a_prior(case):
    if case.model is gm1:
        return gm1.Prior.of(mean=1, strength=0.5, df=4, scale=2, concentration=1.5)
    if case.model is gm2:
        return gm2.Prior.of(
            mean=[1, -1], strength=0.5, df=5, scale=[[2, 0.3], [0.3, 1]], concentration=1.5
        )
    return hmm.Prior.of(startprob_prior=1.5, transmat_prior=2, emissionprob_prior=[1.1, 2, 3, 1.3])


def penalty_gradient(case, parameters):
    """Differentiate the prior's log-density, which a test of the density itself covers."""
    return oracles.numerical_gradient(
        lambda at: a_prior(case).log_density(parameters.from_free(at)),
        parameters.to_free(),
        step=1e-4,
    )


@pytest.mark.parametrize("seed", range(3))
def test_penalised_m_step_is_stationary(model_name, seed):
    case = make_case(model_name, seed)
    statistics, _ = case.model.e_step(case.parameters, case.data)
    new = case.model.m_step(statistics, prior=a_prior(case))
    # The score of the expected complete data at the new parameters, plus that of the prior.
    gradient = new.by_free(case.model.score(statistics, new)) + penalty_gradient(case, new)
    np.testing.assert_allclose(gradient, 0, atol=1e-7)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("accelerate", [False, True])
def test_map_em_never_lowers_the_penalised_objective(model_name, seed, accelerate):
    case = make_case(model_name, seed)
    prior = a_prior(case)
    fit = em.fit(
        case.model, case.parameters, case.data, prior=prior, max_iter=3000, accelerate=accelerate
    )
    assert fit.status is Status.CONVERGED
    assert np.diff(fit.objective).min() >= -1e-10 * np.abs(fit.objective).max()
    np.testing.assert_allclose(
        fit.objective[-1], fit.trace[-1] + prior.log_density(fit.parameters), rtol=1e-13
    )
    statistics, _ = case.model.e_step(fit.parameters, case.data)
    score = fit.parameters.by_free(case.model.score(statistics, fit.parameters))
    np.testing.assert_allclose(score + penalty_gradient(case, fit.parameters), 0, atol=1e-5)


def test_a_prior_keeps_a_component_from_collapsing_onto_a_point():
    x = np.array([0.0, 0.0, 0.0, 5.0, 6.0, 7.5])
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[0, 6], variances=[0.1, 1])
    assert em.fit(gm1, start, x).status is Status.DEGENERATE
    fit = em.fit(gm1, start, x, prior=gm1.Prior.defaults(x, 2))
    assert fit.status is Status.CONVERGED
    assert fit.parameters.variances.min() > 0.1


def test_default_priors_are_those_of_fraley_and_raftery():
    x = np.array([0.0, 1.0, 2.0, 5.0, 7.0])
    prior = gm1.Prior.defaults(x, 2)
    s = gm1.Statistics.of(counts=[3, 2], first=[3, 12], second=[5, 74], reference=[0, 0])
    found = gm1.m_step(s, prior=prior)
    # Their table 1: mean 3, shrinkage 0.01, 3 degrees of freedom, scale 8.5 / 2^2.
    scale, mean, shrinkage = x.var(ddof=1) / 4, 3, 0.01
    means = (np.array([3, 12]) + shrinkage * mean) / (np.array([3, 2]) + shrinkage)
    about = np.array([2.0, 2.0])  # sums of squares about the components' own means 1 and 6
    pull = shrinkage * np.array([3, 2]) / (np.array([3, 2]) + shrinkage)
    variances = (scale + pull * (np.array([1, 6]) - mean) ** 2 + about) / (3 + np.array([3, 2]) + 3)
    np.testing.assert_allclose(found.means, means, rtol=1e-13)
    np.testing.assert_allclose(found.variances, variances, rtol=1e-13)
    np.testing.assert_allclose(found.weights, [0.6, 0.4], rtol=1e-13)
    in_2d = gm2.Prior.defaults(np.column_stack([x, x**2]), 2)
    np.testing.assert_allclose(in_2d.scale, np.cov(x, x**2) / 2, rtol=1e-13)
    assert in_2d.df == 4


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: hmm.Prior.of(transmat_prior=[[1, 0.5], [1, 1]]), "transmat_prior"),
        (lambda: gm1.Prior.of(mean=0, strength=1, df=3, scale=1, concentration=0.5), "concentrat"),
    ],
)
def test_a_prior_without_a_mode_is_refused(make, name):
    with pytest.raises(ValueError, match=rf"{name}.*0\.5; a Dirichlet parameter below 1"):
        make()


# Covariance types and the ridge


@pytest.mark.parametrize("kind", ["tied", "diag", "spherical"])
def test_restricted_covariances_are_the_best_of_their_kind(kind):
    case = make_case("gaussian_mixture_2d")
    statistics, _ = gm2.e_step(case.parameters, case.data)
    new = gm2.m_step(statistics, covariance_type=kind)
    slope = gm2.score(statistics, new).covariances  # of the expected complete log-likelihood
    allowed = {
        "tied": lambda g: g.sum(axis=0),
        "diag": lambda g: np.diagonal(g, axis1=1, axis2=2),
        "spherical": lambda g: np.trace(g, axis1=1, axis2=2),
    }[kind](slope)
    np.testing.assert_allclose(allowed, 0, atol=1e-10)
    fit = em.fit(gm2, new, case.data, options={"covariance_type": kind}, accelerate=True)
    assert np.diff(fit.trace).min() >= -1e-10 * abs(fit.trace[-1])
    again = gm2.m_step(gm2.e_step(fit.parameters, case.data)[0], covariance_type=kind)
    assert fit.parameters.change(again) < 1e-8


def test_an_unknown_covariance_type_is_named():
    case = make_case("gaussian_mixture_2d")
    with pytest.raises(ValueError, match="covariance_type is 'round'; expected 'full', 'tied'"):
        gm2.m_step(gm2.e_step(case.parameters, case.data)[0], covariance_type="round")


def test_a_ridge_is_added_and_not_taken_for_a_fall():
    x = np.array([0.0, 0.0, 0.0, 5.0, 6.0, 7.5])
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[0, 6], variances=[0.1, 1])
    fit = em.fit(gm1, start, x, options={"reg_covar": 1e-3})
    assert fit.status is Status.CONVERGED
    np.testing.assert_allclose(fit.parameters.variances[0], 1e-3, rtol=1e-6)


def test_small_units_are_not_taken_for_a_collapse():
    x = 1e-9 * make_case("gaussian_mixture_2d", K=2, size=100).data
    start = gm2.start(x, {"n_components": 2}, np.random.default_rng(0))
    assert em.fit(gm2, start, x).status is Status.CONVERGED


# Chunks


def same_fit(ours, theirs):
    assert ours.status == theirs.status
    assert ours.iterations == theirs.iterations
    np.testing.assert_allclose(ours.trace, theirs.trace, rtol=1e-12)
    for a, b in zip(ours.parameters.arrays().values(), theirs.parameters.arrays().values()):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_data_in_chunks_give_the_fit_of_the_whole(case, size):
    whole = em.fit(case.model, case.parameters, case.data, max_iter=20, tol=-1)
    ours = em.fit_chunks(
        case.model, case.parameters, chunks.rows(case.data, size), max_iter=20, tol=-1
    )
    same_fit(ours, whole)


def test_chunks_take_weights_priors_and_leaps(case):
    weights = np.linspace(0.5, 2, len(case.data))
    settings = {"max_iter": 30, "tol": -1, "prior": a_prior(case), "accelerate": True}
    whole = em.fit(case.model, case.parameters, case.data, weights=weights, **settings)
    ours = em.fit_chunks(
        case.model,
        case.parameters,
        chunks.rows(case.data, 2),
        weights=chunks.rows(weights, 2),
        **settings,
    )
    np.testing.assert_allclose(ours.objective[:10], whole.objective[:10], rtol=1e-10)
    np.testing.assert_allclose(ours.objective[-1], whole.objective[-1], rtol=1e-10)


def test_data_larger_than_memory_are_read_from_a_memory_map(tmp_path):
    case = make_case("gaussian_mixture_2d", size=500)
    np.save(tmp_path / "x.npy", case.data)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    ours = em.fit_chunks(gm2, case.parameters, chunks.rows(mapped, 64), max_iter=10, tol=-1)
    same_fit(ours, em.fit(gm2, case.parameters, case.data, max_iter=10, tol=-1))


def test_data_larger_than_memory_are_read_from_parquet(tmp_path):
    case = make_case("gaussian_mixture_2d", size=300)
    x = case.data.copy()
    x[5, 1] = np.nan
    file = tmp_path / "x.parquet"
    parquet.write_table(
        pa.table({"b": pa.array(x[:, 1], from_pandas=True), "a": x[:, 0]}), file, row_group_size=100
    )

    def batches():
        with parquet.ParquetFile(file) as opened:
            yield from opened.iter_batches(batch_size=64)

    settings = {"max_iter": 10, "tol": -1}
    ours = em.fit_chunks(
        gm2, case.parameters, chunks.tables(batches, ["a", "b"]), missing=True, **settings
    )
    same_fit(ours, em.fit(gm2, case.parameters, x, **settings))
    flat = gm1.Parameters.of(weights=[1], means=[0], variances=[1])
    ours = em.fit_chunks(gm1, flat, chunks.tables(batches, "a"), **settings)
    same_fit(ours, em.fit(gm1, flat, x[:, 0], **settings))
    with pytest.raises(ValueError, match="no column 'c'; there are b, a"):
        em.fit_chunks(gm1, flat, chunks.tables(batches, "c"))
    with pytest.raises(ValueError, match=r"x\[5, 1\] is nan.*missing=True"):
        em.fit_chunks(gm2, case.parameters, chunks.tables(batches, ["a", "b"]))


def test_only_a_chunk_or_two_are_in_memory():
    case = make_case("gaussian_mixture_1d")
    alive, most = [], 0

    def stream():
        nonlocal most
        rng = np.random.default_rng(0)
        for _ in range(20):
            chunk = rng.normal(0, 1, 50)
            alive.append(weakref.ref(chunk))
            most = max(most, sum(ref() is not None for ref in alive))
            yield chunk

    em.fit_chunks(gm1, case.parameters, stream, max_iter=3, tol=-1)
    assert most <= 2


def test_a_stream_that_runs_dry_is_named():
    case = make_case("gaussian_mixture_1d")
    once = iter([case.data])
    with pytest.raises(ValueError, match="no chunks: each call must return a fresh iterable"):
        em.fit_chunks(gm1, case.parameters, lambda: once)
    with pytest.raises(ValueError, match="at least 1"):
        chunks.rows(case.data, 0)


# Leaps


def count_e_steps(monkeypatch, model):
    calls = []
    real = kernels.e_step(model)
    monkeypatch.setattr(kernels, "e_step", lambda model: lambda *a: (calls.append(1), real(*a))[1])
    return calls


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("gmm1d-notebook", 0.6),
        ("gmm2d-notebook", 0.6),
        ("faithful-1d", 0.6),
        ("hmm-weather-noise", 0.3),
        ("hmm-weather", 0.3),
        ("geyser-hmm", 0.8),
    ],
)
def test_leaps_reach_the_same_optimum_in_fewer_steps(monkeypatch, name, share):
    prepared = scenarios()[name].prepare()
    model = {1: gm1, 2: gm2}.get(getattr(prepared.data, "ndim", 0), hmm)
    plain = em.fit(model, prepared.start, prepared.data)
    calls = count_e_steps(monkeypatch, model)
    fast = em.fit(model, prepared.start, prepared.data, accelerate=True)
    assert fast.status is Status.CONVERGED
    assert fast.trace[-1] == pytest.approx(plain.trace[-1], abs=1e-8)
    assert np.diff(fast.trace).min() >= -1e-10 * abs(fast.trace[-1])
    for a, b in zip(fast.parameters.arrays().values(), plain.parameters.arrays().values()):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    assert len(calls) <= share * (plain.iterations + 1)
    assert fast.details["leaps"] > 0


def test_leaps_are_off_unless_asked_for(case):
    plain = em.fit(case.model, case.parameters, case.data, max_iter=9, tol=-1)
    parameters = case.parameters
    for _ in range(9):
        parameters = case.model.m_step(case.model.e_step(parameters, case.data)[0])
    for a, b in zip(plain.parameters.arrays().values(), parameters.arrays().values()):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


# Hooks


def test_an_update_holds_parameters_fixed_in_steps_and_leaps(case):
    field = next(iter(case.parameters.arrays()))
    held = getattr(case.parameters, field)
    for accelerate in (False, True):
        fit = em.fit(
            case.model,
            case.parameters,
            case.data,
            max_iter=3000,
            accelerate=accelerate,
            update=lambda old, new: replace(new, **{field: getattr(old, field)}),
        )
        assert fit.status is Status.CONVERGED
        assert np.all(getattr(fit.path, field) == held)
        assert np.diff(fit.trace).min() >= -1e-10 * abs(fit.trace[-1])


@pytest.mark.parametrize("penalised", [False, True])
def test_a_watch_sees_every_iteration_and_may_end_the_fit(case, penalised):
    seen = []

    def watch(iteration, objective, gain):
        seen.append((objective, gain))
        return (Status.NOT_CONVERGED, "enough") if iteration == 4 else None

    prior = a_prior(case) if penalised else None
    fit = em.fit(
        case.model, case.parameters, case.data, tol=-1, prior=prior, watch=watch, keep_path=False
    )
    assert (fit.status, fit.message, fit.iterations) == (Status.NOT_CONVERGED, "enough", 4)
    objective = fit.objective if penalised else fit.trace
    np.testing.assert_array_equal(seen, np.column_stack([objective[1:], np.diff(objective)]))


@pytest.mark.parametrize("accelerate", [False, True])
def test_a_fit_is_the_same_without_its_path(case, accelerate):
    settings = {"max_iter": 20, "tol": -1, "accelerate": accelerate}
    whole = em.fit(case.model, case.parameters, case.data, **settings)
    short = em.fit(case.model, case.parameters, case.data, **settings, keep_path=False)
    assert short.path is None
    assert short.iterations == whole.iterations == 20
    assert short.parameters == whole.parameters
    np.testing.assert_array_equal(short.trace, whole.trace)


def test_rounding_about_a_log_likelihood_of_zero_is_no_fall():
    start = hmm.Parameters.of(
        startprob=[0.3, 0.7], transmat=[[0.9, 0.1], [0.3, 0.7]], emissionprob=[[1], [1]]
    )
    fit = em.fit(hmm, start, (np.zeros(100, dtype=np.int64),))  # one symbol: always certain
    assert fit.status is Status.CONVERGED
    np.testing.assert_allclose(fit.trace, 0, atol=1e-13)


# Starts


def test_hit_rate_counts_the_starts_that_reached_the_optimum():
    prepared = scenarios()["hmm-weather-noise"].prepare()
    fit = em.fit_best(
        hmm, prepared.data, prepared.dims, n_starts=8, rng=np.random.default_rng(0), accelerate=True
    )
    reached = [s["log_likelihood"] for s in fit.details["starts"]]
    assert fit.details["hits"] == sum(r >= max(reached) - em.SAME_OPTIMUM for r in reached) < 8


def test_starts_are_never_observations_of_weight_zero():
    x = np.concatenate([np.random.default_rng(0).normal(0, 1, 50), np.full(50, 1e6)])
    weights = (np.abs(x) < 1e5).astype(float)
    fit = em.fit_best(
        gm1, x, {"n_components": 2}, n_starts=3, rng=np.random.default_rng(1), weights=weights
    )
    assert fit.path.means.max() < 10
