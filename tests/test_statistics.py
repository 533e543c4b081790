"""What every E-step keeps to: sums over parts, weights, relabelling, Fisher's identity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import oracles
from conftest import make_case
from lockstep import models
from lockstep.models import categorical_hmm as hmm
from lockstep.models import em, kernels
from lockstep.models import gaussian_mixture_1d as gm1
from lockstep.models import gaussian_mixture_2d as gm2
from lockstep.models.fits import Status

problems = st.builds(
    make_case,
    st.sampled_from(models.names()),
    seed=st.integers(0, 10_000),
    K=st.integers(1, 4),
    size=st.integers(14, 50),
)


def close(ours, theirs, rtol=1e-11):
    for a, b in zip(ours.arrays().values(), theirs.arrays().values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-11 * max(1.0, np.abs(b).max()))


def pieces(data, labels):
    """Split the data by label."""
    for label in np.unique(labels):
        chosen = np.flatnonzero(labels == label)
        yield tuple(data[n] for n in chosen) if isinstance(data, tuple) else data[chosen]


def e_steps(model):
    return {model.e_step, kernels.e_step(model)}


@given(problems, st.integers(0, 2**31))
def test_statistics_add_over_any_split(case, seed):
    labels = np.random.default_rng(seed).integers(0, 4, len(case.data))
    for e_step in e_steps(case.model):
        whole, log_likelihood = e_step(case.parameters, case.data)
        parts = [e_step(case.parameters, part) for part in pieces(case.data, labels)]
        total, summed = parts[0]
        for statistics, part in parts[1:]:
            total, summed = total + statistics, summed + part
        close(total, whole)
        assert summed == pytest.approx(log_likelihood, rel=1e-12)


@given(problems, st.integers(0, 2**31))
def test_sample_weight_integer_equals_repetition_and_zero_equals_deletion(case, seed):
    weights = np.random.default_rng(seed).integers(0, 4, len(case.data))
    assume(weights.any())
    rows = np.repeat(np.arange(len(case.data)), weights)
    data = case.data
    repeated = tuple(data[n] for n in rows) if isinstance(data, tuple) else data[rows]
    for e_step in e_steps(case.model):
        weighted, log_likelihood = e_step(case.parameters, case.data, weights)
        theirs, same = e_step(case.parameters, repeated)
        close(weighted, theirs)
        assert log_likelihood == pytest.approx(same, rel=1e-12)


@pytest.mark.parametrize("name", ["gaussian_mixture_1d", "gaussian_mixture_2d"])
def test_sample_weight_zero_hides_even_a_value_that_overflows(name):
    case = make_case(name, K=2)
    data = np.concatenate([case.data, np.full_like(case.data[:1], 1e200)])
    weights = np.append(np.ones(len(case.data)), 0)
    statistics, log_likelihood = case.model.e_step(case.parameters, data, weights)
    close(statistics, case.model.e_step(case.parameters, case.data)[0])
    assert np.isfinite(log_likelihood)


def test_sample_weights_reach_the_fit(case):
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 3, len(case.data))
    weights[0] = 1
    rows = np.repeat(np.arange(len(case.data)), weights)
    data = case.data
    repeated = tuple(data[n] for n in rows) if isinstance(data, tuple) else data[rows]
    ours = em.fit(case.model, case.parameters, case.data, weights=weights, max_iter=5, tol=-1)
    theirs = em.fit(case.model, case.parameters, repeated, max_iter=5, tol=-1)
    np.testing.assert_allclose(ours.trace, theirs.trace, rtol=1e-11)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], r"weights have shape \(1,\); expected \(3,\), one for each sequence"),
        ([1, -2, 1], r"weights\[1\] is -2; a weight must be at least 0 \(0 leaves the sequence"),
        ([1, np.nan, 1], r"weights\[1\] is nan"),
        (["a", "b", "c"], "weights must be numbers"),
    ],
)
def test_bad_sample_weights_are_named(weights, message):
    case = make_case("categorical_hmm")
    for e_step in e_steps(hmm):
        with pytest.raises(ValueError, match=message):
            e_step(case.parameters, case.data, weights)


@given(problems, st.randoms(use_true_random=False))
def test_relabelled_parameters_give_relabelled_updates(case, random):
    order = list(range(case.parameters.n_components))
    random.shuffle(order)
    here = case.model.m_step(case.model.e_step(case.parameters, case.data)[0])
    there = case.model.m_step(case.model.e_step(case.parameters.relabelled(order), case.data)[0])
    close(there, here.relabelled(order))


@given(problems)
def test_score_equals_the_numerical_derivative_in_free_coordinates(case):
    model = case.model
    free = case.parameters.to_free()
    close(case.parameters.from_free(free), case.parameters)
    statistics, log_likelihood = model.e_step(case.parameters, case.data)
    numerical = oracles.numerical_gradient(
        lambda at: float(model.log_likelihood(case.parameters.from_free(at), case.data)), free, 1e-4
    )
    ours = case.parameters.by_free(model.score(statistics, case.parameters))
    scale = max(1.0, np.abs(numerical).max(), abs(log_likelihood))
    np.testing.assert_allclose(ours, numerical, rtol=1e-6, atol=1e-7 * scale)


@pytest.mark.parametrize("seed", range(3))
def test_score_equals_the_numerical_derivative_entry_by_entry(model_name, seed):
    case = make_case(model_name, seed)
    model, parameters = case.model, case.parameters
    ours = model.score(model.e_step(parameters, case.data)[0], parameters).arrays()

    for name, array in parameters.arrays().items():
        for index in np.ndindex(array.shape):
            direction = np.zeros_like(array)
            direction[index] = 1
            if name == "covariances":  # stays symmetric
                direction = np.maximum(direction, direction.mT)

            def along(s, name=name, direction=direction):
                arrays = parameters.arrays()
                arrays[name] = arrays[name] + s * direction
                return float(model.log_likelihood(type(parameters)(**arrays), case.data))

            step = 1e-4 * min(1.0, abs(array[index]) if name != "means" else 1.0)
            step = max(step, 1e-6)
            numerical = (8 * (along(step) - along(-step)) - along(2 * step) + along(-2 * step)) / (
                12 * step
            )
            expected = float((ours[name] * direction).sum())
            assert expected == pytest.approx(numerical, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", ["gaussian_mixture_1d", "gaussian_mixture_2d"])
def test_score_does_not_depend_on_the_point_the_moments_are_about(name):
    case = make_case(name)
    model = case.model
    statistics, _ = model.e_step(case.parameters, case.data)
    moved = statistics.about(statistics.reference + 0.3)
    close(moved.about(statistics.reference), statistics)
    close(model.score(moved, case.parameters), model.score(statistics, case.parameters), 1e-9)
    close(model.m_step(moved), model.m_step(statistics), 1e-9)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["gaussian_mixture_1d", "gaussian_mixture_2d"])
def test_score_is_zero_at_a_converged_fit(name, seed):
    case = make_case(name, seed, K=2, size=200)
    fit = em.fit(case.model, case.parameters, case.data, accelerate=True)
    assert fit.status is Status.CONVERGED
    statistics, _ = case.model.e_step(fit.parameters, case.data)
    score = fit.parameters.by_free(case.model.score(statistics, fit.parameters))
    units = fit.parameters.free_units()
    # The last step moved nothing by more than 1e-9 of its unit, and information is at most N = 200.
    np.testing.assert_allclose(score * units, 0, atol=1e-6)


def test_score_is_zero_at_a_converged_hmm():
    truth = hmm.Parameters.of(
        startprob=[0.6, 0.4],
        transmat=[[0.8, 0.2], [0.3, 0.7]],
        emissionprob=[[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]],
    )
    data = hmm.sample(truth, [40] * 30, np.random.default_rng(0))
    fit = em.fit(hmm, truth, data)
    assert fit.status is Status.CONVERGED
    statistics, _ = hmm.e_step(fit.parameters, data)
    np.testing.assert_allclose(
        fit.parameters.by_free(hmm.score(statistics, fit.parameters)), 0, atol=1e-5
    )
    # By entry, the derivatives of a row are equal: they can only be moved along the simplex.
    by_entry = hmm.score(statistics, fit.parameters)
    np.testing.assert_allclose(np.ptp(by_entry.transmat, axis=-1), 0, atol=1e-4)


def test_score_of_a_probability_of_zero_is_not_a_number():
    parameters = hmm.Parameters.of(
        startprob=[1, 0], transmat=[[0, 1], [1, 0]], emissionprob=[[0.5, 0.5], [0.5, 0.5]]
    )
    statistics, _ = hmm.e_step(parameters, (np.array([0, 1, 1]),))
    assert np.isnan(hmm.score(statistics, parameters).startprob[1])
    assert parameters.by_free(hmm.score(statistics, parameters))[1] == 0


@given(
    st.integers(0, 10_000),
    st.integers(1, 4),
    st.integers(2, 4),
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
)
def test_log_space_equals_scaled(seed, K, V, lengths):
    rng = np.random.default_rng(seed)
    parameters = hmm.Parameters(
        rng.dirichlet(np.full(K, 0.3)),
        rng.dirichlet(np.full(K, 0.3), K),
        rng.dirichlet(np.full(V, 0.3), K),
    )
    data = hmm.sample(parameters, lengths, rng)
    expected = [oracles.hmm_in_log_space(*parameters.arrays().values(), x) for x in data]
    for e_step in e_steps(hmm):
        statistics, log_likelihood = e_step(parameters, data)
        assert log_likelihood == pytest.approx(sum(e[0] for e in expected), rel=1e-10, abs=1e-12)
        for i, counts in enumerate(statistics.arrays().values()):
            theirs = sum(e[i + 1] for e in expected)
            np.testing.assert_allclose(counts, theirs, rtol=1e-10, atol=1e-11)


def test_a_product_of_5000_states_that_would_underflow_is_finite():
    rng = np.random.default_rng(0)
    K, T = 3, 5000
    parameters = hmm.Parameters(
        np.full(K, 1 / K), rng.dirichlet(np.ones(K), K), rng.dirichlet(np.full(50, 0.2), K)
    )
    (symbols,) = hmm.sample(parameters, T, rng)
    expected = oracles.hmm_in_log_space(*parameters.arrays().values(), symbols)
    assert np.exp(expected[0]) == 0
    for e_step in e_steps(hmm):
        statistics, log_likelihood = e_step(parameters, (symbols,))
        assert log_likelihood == pytest.approx(expected[0], rel=1e-10)
        np.testing.assert_allclose(statistics.transitions, expected[2], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("shift", "scale"), [(0, 1e-8), (0, 1e8), (1e8, 1.0), (1e8, 1e8)])
def test_2d_fits_move_with_the_data(shift, scale):
    case = make_case("gaussian_mixture_2d", 1, K=2, size=80)
    x, start = case.data, case.parameters
    moved = shift + scale * x
    x = (moved - shift) / scale  # as the shifted data are rounded
    there = gm2.Parameters(start.weights, shift + scale * start.means, scale**2 * start.covariances)
    ours = em.fit(gm2, there, moved, max_iter=25, tol=-1)
    here = em.fit(gm2, start, x, max_iter=25, tol=-1)
    assert ours.iterations == here.iterations == 25
    for a, b in (
        (ours.parameters.weights, here.parameters.weights),
        ((ours.parameters.means - shift) / scale, here.parameters.means),
        (ours.parameters.covariances / scale**2, here.parameters.covariances),
        (ours.trace + 2 * len(x) * np.log(scale), here.trace),
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("D", [1, 3, 5])
def test_any_dimension(D):
    rng = np.random.default_rng(D)
    x = np.concatenate([rng.normal(0, 1, (60, D)), rng.normal(4, 2, (60, D))])
    start = gm2.start(x, {"n_components": 2}, rng)
    fit = em.fit(gm2, start, x)
    assert fit.status is Status.CONVERGED
    statistics, _ = gm2.e_step(fit.parameters, x)
    score = (
        fit.parameters.by_free(gm2.score(statistics, fit.parameters)) * fit.parameters.free_units()
    )
    np.testing.assert_allclose(score, 0, atol=1e-6)
    assert fit.parameters.to_free().size == fit.parameters.n_free + 1


def test_1d_statistics_are_those_of_one_dimension():
    case = make_case("gaussian_mixture_1d")
    ours = gm1.score(gm1.e_step(case.parameters, case.data)[0], case.parameters)
    p = case.parameters
    full = gm2.Parameters(p.weights, p.means[:, None], p.variances[:, None, None])
    theirs = gm2.score(gm2.e_step(full, case.data[:, None])[0], full)
    np.testing.assert_allclose(theirs.means[:, 0], ours.means, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(theirs.covariances[:, 0, 0], ours.variances, rtol=1e-10, atol=1e-10)
