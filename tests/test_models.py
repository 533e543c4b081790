"""The E-step, the M-step and the log-likelihood of every model against brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

import oracles
from conftest import make_case
from lockstep import models
from lockstep.comparisons import exact
from lockstep.models import categorical_hmm as hmm
from lockstep.models import em, kernels
from lockstep.models import gaussian_mixture_1d as gm1
from lockstep.models import gaussian_mixture_2d as gm2
from lockstep.models.fits import Status, stack
from lockstep.models.records import DegenerateError


@pytest.mark.parametrize("K", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["gaussian_mixture_1d", "gaussian_mixture_2d"])
def test_mixture_log_likelihood_equals_that_at_50_digits(name, seed, K):
    case = make_case(name, seed, K, size=40)
    _, expected = exact.twin(name).expectation(case.parameters.arrays(), case.data)
    ours = case.model.log_likelihood(case.parameters, case.data)
    # 40 terms, each within a few roundings of 1e-16 relative
    assert abs(float(ours) - expected) <= 1e-13 * abs(expected)


def test_mixture_log_likelihood_far_from_every_component_does_not_underflow():
    parameters = gm1.Parameters.of(weights=[0.5, 0.5], means=[0, 1], variances=[1, 1])
    x = np.array([200.0])  # the density is exp(-19800), far below the smallest double
    _, expected = exact.twin(gm1.NAME).expectation(parameters.arrays(), x)
    assert float(gm1.log_likelihood(parameters, x)) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("name", ["gaussian_mixture_1d", "gaussian_mixture_2d"])
def test_mixture_e_step_is_the_textbook_sum(name):
    case = make_case(name)
    x = case.data.reshape(len(case.data), -1)
    means = case.parameters.means.reshape(3, -1)
    spread = list(case.parameters.arrays().values())[-1]
    joint = np.stack(
        [
            w * stats.multivariate_normal(m, c).pdf(x)
            for w, m, c in zip(case.parameters.weights, means, spread)
        ],
        axis=1,
    )
    r = joint / joint.sum(axis=1, keepdims=True)
    ours = case.model.responsibilities(case.parameters, case.data)
    np.testing.assert_allclose(ours, r, rtol=0, atol=1e-14)
    new = case.model.m_step(case.model.e_step(case.parameters, case.data)[0])
    N = r.sum(axis=0)
    new_means = r.T @ x / N[:, None]
    new_spread = np.stack(
        [np.cov(x.T, bias=True, aweights=r[:, k]).reshape(spread.shape[1:]) for k in range(3)]
    )
    np.testing.assert_allclose(new.weights, N / len(x), rtol=1e-12)
    np.testing.assert_allclose(new.means.reshape(3, -1), new_means, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(list(new.arrays().values())[-1], new_spread, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("seed", "K", "T"), [(0, 2, 8), (1, 3, 6), (2, 4, 5), (3, 2, 1), (4, 1, 4)]
)
def test_hmm_equals_the_enumeration_of_all_paths(seed, K, T):
    rng = np.random.default_rng(seed)
    startprob, transmat = rng.dirichlet(np.ones(K)), rng.dirichlet(np.ones(K), K)
    emissionprob, symbols = rng.dirichlet(np.ones(3), K), rng.integers(0, 3, T)
    parameters = hmm.Parameters(startprob, transmat, emissionprob)
    evidence, starts, transitions, emissions, gamma = oracles.hmm_by_enumeration(
        startprob, transmat, emissionprob, symbols
    )
    for e_step in (hmm.e_step, kernels.e_step(hmm)):
        statistics, log_likelihood = e_step(parameters, (symbols,))
        # Sums of positive terms: relative rounding stays near 1e-16 times the number of steps.
        assert log_likelihood == pytest.approx(np.log(evidence), rel=1e-12, abs=1e-13)
        np.testing.assert_allclose(statistics.starts, starts, rtol=1e-12)
        np.testing.assert_allclose(statistics.transitions, transitions, rtol=1e-12)
        np.testing.assert_allclose(statistics.emissions, emissions, rtol=1e-12, atol=1e-15)
    assert float(hmm.log_likelihood(parameters, (symbols,))) == pytest.approx(
        np.log(evidence), rel=1e-12, abs=1e-13
    )
    np.testing.assert_allclose(hmm.state_probabilities(parameters, symbols), gamma, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_compiled_hmm_e_step_equals_the_readable_one(seed):
    case = make_case("categorical_hmm", seed, K=2 + seed, size=400)
    readable, log_likelihood = hmm.e_step(case.parameters, case.data)
    compiled, same = kernels.e_step(hmm)(case.parameters, case.data)
    assert same == pytest.approx(log_likelihood, rel=1e-13)
    for ours, theirs in zip(compiled.arrays().values(), readable.arrays().values()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def test_hmm_of_a_million_steps_does_not_underflow():
    rng = np.random.default_rng(0)
    T = 1_000_000
    parameters = hmm.Parameters.of(
        startprob=[0.6, 0.4],
        transmat=[[0.9, 0.1], [0.2, 0.8]],
        emissionprob=[[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]],
    )
    symbols = rng.integers(0, 3, T)
    statistics, log_likelihood = kernels.e_step(hmm)(parameters, (symbols,))
    assert np.isfinite(log_likelihood)
    assert log_likelihood < -700_000  # exp of it is far below the smallest double
    # Every step is counted once: sums of 1e6 terms, rounding near 1e-16 * sqrt(1e6) of the total.
    assert statistics.transitions.sum() == pytest.approx(T - 1, rel=1e-10)
    assert statistics.emissions.sum() == pytest.approx(T, rel=1e-10)
    np.testing.assert_allclose(statistics.emissions.sum(axis=0), np.bincount(symbols), rtol=1e-10)
    readable = float(hmm.log_likelihood(parameters, (symbols[:5000],)))
    assert kernels.e_step(hmm)(parameters, (symbols[:5000],))[1] == pytest.approx(
        readable, rel=1e-13
    )


def test_statistics_of_parts_add_up_to_those_of_the_whole(case):
    model, data = case.model, case.data
    parts = (data[:1], data[1:]) if isinstance(data, tuple) else (data[:7], data[7:])
    whole, log_likelihood = model.e_step(case.parameters, data)
    (a, la), (b, lb) = (model.e_step(case.parameters, part) for part in parts)
    assert la + lb == pytest.approx(log_likelihood, rel=1e-13)
    for ours, theirs in zip((a + b).arrays().values(), whole.arrays().values()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_statistics_about_different_points_do_not_add():
    case = make_case("gaussian_mixture_1d")
    a, _ = case.model.e_step(case.parameters, case.data)
    b, _ = case.model.e_step(case.model.m_step(a), case.data)
    with pytest.raises(ValueError, match="different points"):
        a + b


def _expected_complete_log_likelihood(name, statistics):
    """Return Q as a function of free coordinates, and the M-step's optimum in them."""
    s = statistics
    if name == "categorical_hmm":

        def Q(*logits):
            total = 0.0
            for counts, logit in zip((s.starts, s.transitions, s.emissions), logits):
                norm = np.log(np.exp(logit).sum(axis=-1, keepdims=True))
                total += (counts * (logit - norm)).sum()
            return total

        return Q, [np.log(a) for a in hmm.m_step(s).arrays().values()]
    model = gm1 if name == "gaussian_mixture_1d" else gm2
    best = model.m_step(s)
    K = len(s.counts)

    def Q(logit, means, spread):
        total = (s.counts * (logit - np.log(np.exp(logit).sum()))).sum()
        for k in range(K):
            d = np.atleast_1d(s.reference[k] - means[k])
            first, second = np.atleast_1d(s.first[k]), np.atleast_2d(s.second[k])
            moment = second + np.outer(first, d) + np.outer(d, first) + s.counts[k] * np.outer(d, d)
            sigma = np.atleast_2d(spread[k])
            sigma = (sigma + sigma.T) / 2
            total -= 0.5 * s.counts[k] * np.linalg.slogdet(sigma)[1]
            total -= 0.5 * np.trace(np.linalg.solve(sigma, moment))
        return total

    return Q, [np.log(best.weights), best.means, list(best.arrays().values())[-1]]


def test_m_step_is_stationary_and_a_maximum(case, model_name):
    statistics, _ = case.model.e_step(case.parameters, case.data)
    Q, best = _expected_complete_log_likelihood(model_name, statistics)
    rng = np.random.default_rng(1)
    scale = abs(Q(*best))
    for i, at in enumerate(best):
        gradient = oracles.numerical_gradient(
            lambda value, i=i: Q(*best[:i], value, *best[i + 1 :]), at, step=1e-4
        )
        # Differences of numbers near `scale` over steps of 1e-4: rounding near 1e-12 * scale.
        np.testing.assert_allclose(gradient, 0, atol=1e-9 * scale)
        for _ in range(20):
            nearby = at + 1e-3 * rng.normal(size=at.shape)
            assert Q(*best[:i], nearby, *best[i + 1 :]) <= Q(*best) + 1e-12 * scale


@pytest.mark.parametrize("seed", range(10))
def test_log_likelihood_never_falls(model_name, seed):
    case = make_case(model_name, seed)
    start = case.model.start(case.data, case.dims, np.random.default_rng(seed))
    fit = em.fit(case.model, start, case.data, max_iter=200, tol=-1)
    assert len(fit.trace) > 2
    assert np.diff(fit.trace).min() >= -1e-10 * np.abs(fit.trace).max()
    rescored = [float(case.model.log_likelihood(fit.path.draw(i), case.data)) for i in (0, 1, -1)]
    np.testing.assert_allclose(fit.trace[[0, 1, -1]], rescored, rtol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8])
@pytest.mark.parametrize("shift", [0.0, 1e8])
def test_mixture_fits_move_with_the_data(scale, shift):
    x = make_case("gaussian_mixture_1d").data
    if shift:
        scale *= 1.0 if scale >= 1 else 1e8  # at 1e8 a double cannot hold steps of 1e-8
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[-2, 2], variances=[1, 1])
    there = gm1.Parameters(start.weights, shift + scale * start.means, scale**2 * start.variances)
    moved = shift + scale * x
    here = em.fit(gm1, start, (moved - shift) / scale, max_iter=30, tol=-1).parameters
    fit = em.fit(gm1, there, moved, max_iter=30, tol=-1).parameters
    # The data themselves are rounded to 1.5e-8 at 1e8; `here` sees the rounded ones.
    np.testing.assert_allclose((fit.means - shift) / scale, here.means, rtol=0, atol=1e-7)
    np.testing.assert_allclose(fit.variances / scale**2, here.variances, rtol=1e-7)
    np.testing.assert_allclose(fit.weights, here.weights, rtol=1e-7)


def test_1d_and_2d_mixtures_are_one_model():
    case = make_case("gaussian_mixture_1d")
    flat = em.fit(gm1, case.parameters, case.data, max_iter=15, tol=-1)
    start = gm2.Parameters(
        case.parameters.weights,
        case.parameters.means[:, None],
        case.parameters.variances[:, None, None],
    )
    full = em.fit(gm2, start, case.data[:, None], max_iter=15, tol=-1)
    np.testing.assert_allclose(full.trace, flat.trace, rtol=1e-13)
    np.testing.assert_allclose(full.parameters.means[:, 0], flat.parameters.means, rtol=1e-10)


def test_log_likelihood_takes_leading_axes(case):
    other = case.model.start(case.data, case.dims, np.random.default_rng(3))
    both = stack([case.parameters, other])
    stacked = case.model.log_likelihood(both, case.data)
    single = [float(case.model.log_likelihood(p, case.data)) for p in (case.parameters, other)]
    np.testing.assert_allclose(stacked, single, rtol=1e-14)


def test_relabelling_permutes_components_and_keeps_the_likelihood(case):
    order = [2, 0, 1]
    moved = case.parameters.relabelled(order)
    name, array = next(iter(case.parameters.arrays().items()))
    np.testing.assert_array_equal(moved.arrays()[name], array[order])
    before, after = (
        float(case.model.log_likelihood(p, case.data)) for p in (case.parameters, moved)
    )
    assert after == pytest.approx(before, rel=1e-14)
    draws = stack([case.parameters, case.parameters]).relabelled([[0, 1, 2], order])
    assert draws.draw(0) == case.parameters
    assert draws.draw(1) == moved


def test_relabelling_an_hmm_permutes_both_axes_of_transmat():
    case = make_case("categorical_hmm")
    order = np.array([2, 0, 1])
    moved = case.parameters.relabelled(order)
    np.testing.assert_array_equal(moved.transmat, case.parameters.transmat[np.ix_(order, order)])


def test_parameters_are_read_only_copies():
    means = np.array([0.0, 1.0])
    parameters = gm1.Parameters(np.array([0.5, 0.5]), means, np.ones(2))
    means[0] = 7
    assert parameters.means[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        parameters.means[0] = 1


def test_collapse_onto_a_point_is_named():
    x = np.array([0.0, 0.0, 0.0, 5.0, 6.0, 7.5])
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[0, 6], variances=[0.1, 1])
    fit = em.fit(gm1, start, x)
    assert fit.status is Status.DEGENERATE
    assert "component 0 collapsed onto a point" in fit.message
    assert np.isfinite(fit.parameters.variances).all()
    plane = np.column_stack([x, x**2])
    start = gm2.Parameters.of(
        weights=[0.5, 0.5], means=[[0, 0], [6, 36]], covariances=[np.eye(2), 9 * np.eye(2)]
    )
    fit = em.fit(gm2, start, plane)
    assert fit.status is Status.DEGENERATE
    assert "component 0 collapsed" in fit.message


def test_a_column_in_which_all_components_collapse_is_named():
    # Without a covariance in column 1, there is nothing to measure a collapse by.
    flat = gm2.Statistics.of(
        counts=[3, 2],
        first=np.zeros((2, 2)),
        second=[[[3, 0], [0, 0]], [[2, 0], [0, 0]]],
        reference=[[0, 7.5], [1, 7.5]],
    )
    for kind in ("full", "tied", "diag"):
        with pytest.raises(DegenerateError, match=r"collapsed in column 1: it is constant at 7\.5"):
            gm2.m_step(flat, covariance_type=kind)
    assert gm2.m_step(flat, covariance_type="spherical").covariances[0, 1, 1] == 0.5
    assert gm2.m_step(flat, reg_covar=0.1).covariances[0, 1, 1] == 0.1
    with pytest.raises(DegenerateError, match=r"component 0 collapsed: .* about \[0, 7.5\]"):
        gm2.m_step(replace(flat, reference=np.array([[0, 7.5], [1, 8]])))


def test_a_component_without_observations_is_named():
    far = gm1.Parameters.of(weights=[0.5, 0.5], means=[0, 1e6], variances=[1, 1])
    fit = em.fit(gm1, far, np.array([-1.0, 0.0, 1.5]))
    assert fit.status is Status.DEGENERATE
    assert "component 1 has no observations left" in fit.message


def test_the_best_of_several_starts_is_not_a_degenerate_one():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, 20), rng.normal(6, 1, 20)])
    fit = em.fit_best(gm1, x, {"n_components": 3}, n_starts=40, rng=rng)
    starts = fit.details["starts"]
    assert {start["status"] for start in starts} == {"degenerate", "converged"}
    assert fit.status is Status.CONVERGED
    degenerate = [s["log_likelihood"] for s in starts if s["status"] == "degenerate"]
    assert max(degenerate) > fit.trace[-1], "the higher likelihood is the meaningless one"
    assert f"{len(degenerate)} degenerated" in fit.message


def test_a_state_never_visited_keeps_the_fit_finite():
    parameters = hmm.Parameters.of(
        startprob=[1, 0], transmat=[[1, 0], [0.5, 0.5]], emissionprob=[[0.5, 0.5], [0.5, 0.5]]
    )
    new = hmm.m_step(hmm.e_step(parameters, (np.array([0, 1, 1]),))[0])
    np.testing.assert_allclose(new.transmat, [[1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(new.emissionprob, [[1 / 3, 2 / 3], [0.5, 0.5]])


def test_sequences_of_length_one_give_rows_that_sum_to_one():
    case = make_case("categorical_hmm", K=2)
    singles = tuple(np.array([v]) for v in (0, 1, 3, 1))
    new = hmm.m_step(hmm.e_step(case.parameters, singles)[0])
    for array in new.arrays().values():
        np.testing.assert_allclose(array.sum(axis=-1), 1, rtol=1e-14)


@pytest.mark.parametrize("e_step", [hmm.e_step, kernels.e_step(hmm)])
def test_an_impossible_sequence_is_named(e_step):
    parameters = hmm.Parameters.of(
        startprob=[0.5, 0.5], transmat=np.full((2, 2), 0.5), emissionprob=[[1, 0], [1, 0]]
    )
    with pytest.raises(ValueError, match=r"sequence 1 is impossible.*symbol 1 at step 2"):
        e_step(parameters, (np.array([0, 0]), np.array([0, 0, 1])))
    assert hmm.log_likelihood(parameters, (np.array([0, 1]),)) == -np.inf


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("gaussian_mixture_1d", [[1.0, 2.0]], r"shape \(1, 2\)"),
        ("gaussian_mixture_1d", [1.0, np.nan, 2.0], r"x\[1\] is nan"),
        ("gaussian_mixture_1d", [1.0, np.inf, 2.0], r"x\[1\] is inf"),
        ("gaussian_mixture_1d", ["a", "b"], "must be numbers"),
        ("gaussian_mixture_1d", [1.0], "1 observations are too few for 2"),
        ("gaussian_mixture_1d", [3.0, 3.0, 3.0], "every value is 3"),
        ("gaussian_mixture_2d", [[0.0, 1.0]] * 2, "column 0 is constant"),
        ("gaussian_mixture_2d", [1.0, 2.0, 3.0], r"shape \(3,\)"),
        ("gaussian_mixture_2d", [[1.0, 4.0], [2.0, 4.0], [0.0, 4.0]], "column 1 is constant"),
        ("gaussian_mixture_2d", [[1.0, 2.0], [2.0, 4.0], [5.0, 10.0]], "determine one another"),
        ("categorical_hmm", [], "no sequences"),
        ("categorical_hmm", [[0, 1], []], r"sequence 1 has shape \(0,\)"),
        ("categorical_hmm", [[0, 1.5]], "symbol 1.5 at step 1 of sequence 0"),
        ("categorical_hmm", [[0, -1]], "symbol -1 at step 1"),
        ("categorical_hmm", [[0, 3]], r"symbol 3 at step 1 of sequence 0 is not one of 0 .. 2"),
        ("categorical_hmm", [[0]], "1 observations are too few"),
    ],
)
def test_bad_data_are_named(name, data, message):
    with pytest.raises(ValueError, match=message):
        models.load(name).check_data(data, {"n_components": 2, "n_features": 3})


def test_parameters_come_back_from_nested_lists(case):
    assert case.model.Parameters.checked(case.parameters.to_dict()) == case.parameters


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        ("gaussian_mixture_1d", "weights", [0.6, 0.6], "weights must sum to 1"),
        ("gaussian_mixture_1d", "weights", [1.5, -0.5], "weights has a negative entry, -0.5"),
        (
            "gaussian_mixture_1d",
            "means",
            [0.0],
            r"means has shape \(1,\); expected \(K\) with K = 2",
        ),
        ("gaussian_mixture_1d", "means", [0.0, None], r"means\[1\] is nan; every parameter"),
        (
            "gaussian_mixture_1d",
            "variances",
            [1.0, 0.0],
            r"variances\[1\] is 0; it must be positive",
        ),
        ("gaussian_mixture_1d", "variances", ["a", "b"], "variances must be numbers"),
        ("gaussian_mixture_1d", "sds", [1.0, 1.0], "are weights, means, variances, sds; expected"),
        ("gaussian_mixture_2d", "covariances", [np.eye(2)] * 3, "covariances has shape"),
        ("gaussian_mixture_2d", "covariances", [[[1, 0.5], [0, 1]]] * 2, "0. is not symmetric"),
        ("gaussian_mixture_2d", "covariances", [[[1, 2], [2, 1]]] * 2, "0. is not positive def"),
        ("gaussian_mixture_2d", "covariances", [-np.eye(2)] * 2, "a variance that is not positive"),
        ("categorical_hmm", "transmat", [[0.5, 0.6], [0.5, 0.5]], "transmat must sum to 1"),
        ("categorical_hmm", "emissionprob", [[1.0]], "emissionprob has shape"),
        ("categorical_hmm", "startprob", [], "nothing empty"),
    ],
)
def test_bad_parameters_are_named(name, field, value, message):
    model = models.load(name)
    good = make_case(name, K=2).parameters.to_dict()
    with pytest.raises(ValueError, match=message):
        model.Parameters.checked({**good, field: value})


def test_degenerate_covariance_is_named():
    flat = gm2.Parameters.of(weights=[1.0], means=[[0, 0]], covariances=[[[1, 1], [1, 1]]])
    with pytest.raises(DegenerateError, match="not positive definite"):
        gm2.log_likelihood(flat, np.zeros((3, 2)))


def test_loading_a_model_that_is_not_there_names_those_that_are():
    with pytest.raises(ValueError, match="no model 'lda'; there are categorical_hmm, gaussian"):
        models.load("lda")


def test_samples_have_the_moments_of_the_model():
    rng = np.random.default_rng(0)
    case = make_case("gaussian_mixture_2d")
    N = 200_000
    x = gm2.sample(case.parameters, N, rng)
    p = case.parameters
    mean = p.weights @ p.means
    centred = p.means - mean
    covariance = np.einsum("k,kde->de", p.weights, p.covariances) + np.einsum(
        "k,kd,ke->de", p.weights, centred, centred
    )
    # Six standard errors of a mean: a false failure in 1e9 runs.
    assert (np.abs(x.mean(axis=0) - mean) < 6 * np.sqrt(np.diag(covariance) / N)).all()
    assert np.abs(np.cov(x.T) / covariance - 1).max() < 6 * np.sqrt(10 / N)


def test_converged_fit_cannot_be_improved_by_a_general_optimiser():
    x = make_case("gaussian_mixture_1d", K=2).data
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[-2, 2], variances=[1, 1])
    fit = em.fit(gm1, start, x)
    assert fit.status is Status.CONVERGED

    def negative(theta):
        w = 1 / (1 + np.exp(-theta[0]))
        return -float(
            gm1.log_likelihood(
                gm1.Parameters(np.array([w, 1 - w]), theta[1:3], np.exp(theta[3:])), x
            )
        )

    p = fit.parameters
    at = np.concatenate([[np.log(p.weights[0] / p.weights[1])], p.means, np.log(p.variances)])
    found = optimize.minimize(negative, at + 0.05, method="BFGS", options={"gtol": 1e-7})
    assert -found.fun <= fit.trace[-1] + 1e-9
    np.testing.assert_allclose(found.x, at, atol=1e-4)
