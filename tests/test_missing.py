"""Missing values: integrated out, never filled in, and refused unless asked for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import oracles
from conftest import make_case
from lockstep.comparisons import predictive
from lockstep.comparisons.implementations import implementations
from lockstep.comparisons.problem import Mode, Problem
from lockstep.models import categorical_hmm as hmm
from lockstep.models import em, kernels
from lockstep.models import gaussian_mixture_1d as gm1
from lockstep.models import gaussian_mixture_2d as gm2
from lockstep.models.categorical_hmm import stock
from lockstep.models.fits import Status


def with_holes(x, share=0.3, seed=0):
    holes = np.random.default_rng(seed).random(x.shape) < share
    return np.where(holes, np.nan, x)


def three_dimensional(seed=0, N=40):
    rng = np.random.default_rng(seed)
    factors = rng.normal(0, 1, (2, 3, 3))
    parameters = gm2.Parameters(
        np.array([0.4, 0.6]), rng.normal(0, 2, (2, 3)), factors @ factors.mT + 0.3 * np.eye(3)
    )
    return parameters, with_holes(gm2.sample(parameters, N, rng), seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_missing_coordinates_are_integrated_out(seed):
    parameters, x = three_dimensional(seed)
    x[0] = np.nan  # a row of which nothing was seen has probability 1
    total, counts = 0.0, np.zeros(2)
    first, second = np.zeros((2, 3)), np.zeros((2, 3, 3))
    for row in x:
        o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        joint = parameters.weights.copy()
        for k, (mean, S) in enumerate(zip(parameters.means, parameters.covariances)):
            if o.size:
                joint[k] *= stats.multivariate_normal(mean[o], S[np.ix_(o, o)]).pdf(row[o])
        total += np.log(joint.sum())
        for k, (mean, S) in enumerate(zip(parameters.means, parameters.covariances)):
            gain = S[:, o] @ np.linalg.inv(S[np.ix_(o, o)]) if o.size else np.zeros((3, 0))
            d = np.where(np.isnan(row), gain @ (row[o] - mean[o]), row - mean)
            left = np.zeros((3, 3))
            left[np.ix_(m, m)] = (S - gain @ S[o])[np.ix_(m, m)]
            r = joint[k] / joint.sum()
            counts[k] += r
            first[k] += r * d
            second[k] += r * (np.outer(d, d) + left)
    statistics, log_likelihood = gm2.e_step(parameters, x)
    assert log_likelihood == pytest.approx(total, rel=1e-12)
    assert float(gm2.log_likelihood(parameters, x)) == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(statistics.counts, counts, rtol=1e-11)
    np.testing.assert_allclose(statistics.first, first, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(statistics.second, second, rtol=1e-9, atol=1e-10)


@pytest.mark.slow
@given(st.integers(0, 1000))
def test_score_with_missing_coordinates_equals_the_numerical_derivative(seed):
    parameters, x = three_dimensional(seed)
    free = parameters.to_free()
    numerical = oracles.numerical_gradient(
        lambda at: float(gm2.log_likelihood(parameters.from_free(at), x)), free, 1e-4
    )
    ours = parameters.by_free(gm2.score(gm2.e_step(parameters, x)[0], parameters))
    np.testing.assert_allclose(ours, numerical, rtol=1e-6, atol=1e-6 * np.abs(numerical).max())


def test_fit_with_missing_coordinates_climbs_to_a_stationary_point():
    case = make_case("gaussian_mixture_2d", 1, K=2, size=150)
    x = gm2.check_data(with_holes(case.data), case.dims, missing=True)
    start = gm2.start(x, case.dims, np.random.default_rng(0))
    fit = em.fit(gm2, start, x, accelerate=True)
    assert fit.status is Status.CONVERGED
    assert np.diff(fit.trace).min() >= -1e-10 * abs(fit.trace[-1])
    score = fit.parameters.by_free(gm2.score(gm2.e_step(fit.parameters, x)[0], fit.parameters))
    np.testing.assert_allclose(score * fit.parameters.free_units(), 0, atol=1e-6)


def test_a_row_of_which_nothing_was_seen_says_nothing():
    for model, name in ((gm1, "gaussian_mixture_1d"), (gm2, "gaussian_mixture_2d")):
        case = make_case(name)
        x = np.concatenate([case.data, np.full_like(case.data[:2], np.nan)])
        with_row, same = model.e_step(case.parameters, x)
        without, log_likelihood = model.e_step(case.parameters, case.data)
        assert same == pytest.approx(log_likelihood, rel=1e-14)
        np.testing.assert_allclose(with_row.counts - without.counts, 2 * case.parameters.weights)
        np.testing.assert_allclose(
            case.parameters.by_free(model.score(with_row, case.parameters)),
            case.parameters.by_free(model.score(without, case.parameters)),
            rtol=1e-9,
            atol=1e-9,
        )


@pytest.mark.parametrize("e_step", [hmm.e_step, kernels.e_step(hmm)])
@pytest.mark.parametrize("masked", [(0,), (2,), (4,), (1, 2), (0, 3, 4), (0, 1, 2, 3, 4)])
def test_masked_symbol_contributes_no_emission(e_step, masked):
    case = make_case("categorical_hmm", 3, K=2)
    symbols = np.array([0, 3, 1, 1, 2])
    evidence, starts, transitions, emissions = 0.0, 0.0, 0.0, 0.0
    for fill in itertools.product(range(4), repeat=len(masked)):
        symbols[list(masked)] = fill
        p, a, b, _, gamma = oracles.hmm_by_enumeration(*case.parameters.arrays().values(), symbols)
        evidence, starts, transitions = evidence + p, starts + p * a, transitions + p * b
        seen = np.setdiff1d(np.arange(5), masked)
        shown = np.zeros((2, 4))
        np.add.at(shown.T, symbols[seen], gamma[seen])
        emissions = emissions + p * shown
    symbols[list(masked)] = hmm.MASKED
    statistics, log_likelihood = e_step(case.parameters, (symbols,))
    assert log_likelihood == pytest.approx(np.log(evidence), rel=1e-12, abs=1e-12)
    for ours, sums in zip(statistics.arrays().values(), (starts, transitions, emissions)):
        np.testing.assert_allclose(ours, sums / evidence, rtol=1e-11, atol=1e-14)


def test_fit_with_masked_symbols_never_falls():
    case = make_case("categorical_hmm", 1, K=2, size=300)
    rng = np.random.default_rng(0)
    data = tuple(np.where(rng.random(len(x)) < 0.3, hmm.MASKED, x) for x in case.data)
    data = hmm.check_data(data, case.dims, missing=True)
    fit = em.fit(hmm, case.parameters, data, max_iter=100)
    assert np.diff(fit.trace).min() >= -1e-10 * abs(fit.trace[-1])


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("gaussian_mixture_1d", [1.0, np.nan, 2.0], r"x\[1\] is nan.*missing=True takes NaN"),
        ("gaussian_mixture_2d", [[1.0, np.nan], [2.0, 1.0]], r"x\[0, 1\] is nan.*missing=True"),
        ("categorical_hmm", [[0, -1, 1]], r"symbol -1 at step 1.*missing=True takes -1"),
    ],
)
def test_missing_values_are_refused_unless_asked_for(name, data, message):
    case = make_case(name)
    with pytest.raises(ValueError, match=message):
        case.model.check_data(data, {"n_components": 1, "n_features": 3})


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("gaussian_mixture_1d", [1.0, np.inf, 2.0], r"x\[1\] is inf"),
        ("gaussian_mixture_1d", [np.nan, np.nan], "0 observations are too few"),
        ("gaussian_mixture_2d", [[1.0, np.nan], [2.0, np.nan]], "column 1 was never observed"),
        ("gaussian_mixture_2d", [[1.0, 3], [2.0, np.nan], [3, 3]], "column 1 is constant at 3"),
        ("categorical_hmm", [[0, -2, 1]], "symbol -2 at step 1"),
        ("categorical_hmm", [[-1, -1]], "0 observations are too few"),
    ],
)
def test_missing_values_do_not_excuse_others(name, data, message):
    case = make_case(name)
    with pytest.raises(ValueError, match=message):
        case.model.check_data(data, {"n_components": 1, "n_features": 3}, missing=True)


# --- the comparison ------------------------------------------------------------------------


def test_libraries_that_take_no_gaps_say_how_many_there_are():
    def reasons(model, data, **dims):
        problem = Problem(model, data, {"n_components": 2, **dims}, Mode.AS_CONFIGURED, 0)
        found = {name: row.unsupported(problem) for name, row in implementations().items()}
        return {name for name, reason in found.items() if reason and "missing" in reason}

    x = np.random.default_rng(0).normal(size=(50, 2))
    x[3, 0] = x[7, 1] = np.nan
    takes_none = {"scikit-learn", "pymc-advi", "pymc-fullrank", "pymc-nuts", "pymc-stock"}
    assert reasons("gaussian_mixture_2d", x) == takes_none
    assert reasons("gaussian_mixture_1d", x[:, 1]) == takes_none
    assert reasons("categorical_hmm", (np.array([0, 1, -1, 1]),), n_features=2) == {"hmmlearn"}
    assert reasons("gaussian_mixture_2d", np.nan_to_num(x)) == set()
    assert reasons("categorical_hmm", (np.array([0, 1, 1]),), n_features=2) == set()


@pytest.mark.parametrize("seed", range(3))
def test_pymcs_own_forward_algorithm_sums_gaps_out(seed):
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    rng = np.random.default_rng(seed)
    case = make_case("categorical_hmm", seed=seed, K=2)
    sequences = [np.where(rng.random(len(s)) < 0.3, -1, s) for s in case.data]
    sequences = (*sequences, np.array([-1]), np.array([-1, 2, -1]))
    with pm.Model():
        symbols = pm.Data("symbols", np.concatenate(sequences))
    given = [pt.as_tensor(array) for array in case.parameters.arrays().values()]
    value = stock.log_likelihood(symbols, pt.as_tensor([len(s) for s in sequences]), *given)
    mode = pytensor.compile.mode.Mode(linker="py", optimizer=None)
    found = float(pytensor.function([], value, mode=mode)())
    # Some hundred products of numbers near one, each rounded once.
    assert found == pytest.approx(float(hmm.log_likelihood(case.parameters, sequences)), rel=1e-13)
    brute = sum(by_enumeration(case.parameters, s) for s in sequences[-2:])
    assert float(hmm.log_likelihood(case.parameters, sequences[-2:])) == pytest.approx(brute)


def by_enumeration(parameters, symbols):
    """Return the log-likelihood of one sequence, summed over what its gaps may have been."""
    V = parameters.dims["n_features"]
    choices = [range(V) if v < 0 else [v] for v in symbols]
    return np.logaddexp.reduce(
        [hmm.log_likelihood(parameters, (np.array(s),)) for s in itertools.product(*choices)]
    )


def test_shares_of_symbols_leave_gaps_out():
    sequences = [np.array([[0, 0, -1, 1, 1]]), np.array([[-1, 2, -1, -1]])]
    found = predictive.shares(sequences, 3)
    # Of five symbols 2, 2 and 1; of the two steps between symbols both repeat one.
    np.testing.assert_allclose(found, [[0.4, 0.4, 0.2, 1.0]], rtol=1e-15)
