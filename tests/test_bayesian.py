"""The Bayesian graphs against densities written independently, and the ways to their draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from conftest import make_case
from lockstep.comparisons.implementations import (
    _advi,
    _nuts,
    _pymc,
    pymc_advi,
    pymc_fullrank,
    pymc_nuts,
)
from lockstep.comparisons.problem import Mode, Problem
from lockstep.comparisons.run import Timed, attempt
from lockstep.models import bayesian, load
from lockstep.models.categorical_hmm import stock
from lockstep.models.fits import Status
from lockstep.models.priors import Dirichlet
from oracles import hmm_by_enumeration

# Two evaluations of the same sum in another order: some tens of terms, each to 1e-16.
RTOL = 1e-10


@pytest.fixture(autouse=True)
def small_graphs(monkeypatch):
    """Compile HMM graphs of the length at hand, and none for other tests to find."""
    monkeypatch.setattr(stock, "MIN_LENGTH", 1)
    monkeypatch.setattr(_pymc, "_GRAPHS", {})
    monkeypatch.setattr(_advi, "_ASCENTS", {})


@pytest.fixture
def interpreted():
    """Evaluate graphs without compiling them: slower by the call, quicker for a few of them."""
    with _pymc.quiet():
        import pytensor

        with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""):
            yield


def problem(name, data, dims, seed=0):
    return Problem(name, data, dims, Mode.AS_CONFIGURED, seed=seed, quick=True)


def draw_problem(name, seed=0, size=40):
    case = make_case(name, seed, K=2, size=size)
    return problem(name, case.data, case.dims)


def density_and_values(name, data, dims, names, seed, likelihood):
    """Return the graph's log density at a random point, Jacobians left out, and values there."""
    with _pymc.quiet():
        observed = bayesian.observations(name, data)
        model = bayesian.build(name, dims, observed, stock=likelihood == "stock")
        start = bayesian.start(name, dims, data, np.random.default_rng(seed))
        point = {v.name: start[v.name] for v in model.value_vars}
        outputs = model.replace_rvs_by_values([model[n] for n in names])
        values = model.compile_fn(outputs, on_unused_input="ignore")(point)
        density = model.compile_logp(jacobian=False)(point)
    return float(density), dict(zip(names, values))


@pytest.fixture(params=["fisher", "stock"])
def likelihood(request):
    return request.param


def dirichlet(rows, concentration):
    rows = np.atleast_2d(rows)
    return sum(stats.dirichlet(np.full(len(row), concentration)).logpdf(row) for row in rows)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("K", [1, 2, 3])
def test_density_of_the_1d_mixture(K, seed, likelihood, interpreted):
    x = np.random.default_rng(seed).normal(50, 7, 30)
    names = ["weights", "means", "variances", "standard_means", "standard_variances"]
    density, v = density_and_values(
        "gaussian_mixture_1d", x, {"n_components": K}, names, seed, likelihood
    )
    joint = np.log(v["weights"]) + stats.norm.logpdf(
        x[:, None], v["means"], np.sqrt(v["variances"])
    )
    prior = dirichlet(v["weights"], 2) if K > 1 else 0
    prior += stats.norm.logpdf((v["means"] - x.mean()) / x.std(), 0, 2).sum()
    prior += stats.invgamma.logpdf(v["variances"] / x.var(), a=1.5, scale=0.05).sum()
    assert np.all(np.diff(v["means"]) > 0)
    np.testing.assert_allclose(density, prior + logsumexp(joint, axis=1).sum(), rtol=RTOL)


@pytest.mark.parametrize(("K", "D"), [(1, 2), (2, 1), (2, 2), (3, 3)])
def test_density_of_the_2d_mixture(K, D, likelihood, interpreted):
    x = np.random.default_rng(K).normal(0, 1, (30, D)) * [3, 0.5, 2][:D] + [1, 2, -3][:D]
    names = ["weights", "means", "covariances", "bartlett_squares"]
    density, v = density_and_values(
        "gaussian_mixture_2d", x, {"n_components": K}, names, 1, likelihood
    )
    joint = np.log(v["weights"]) + np.stack(
        [
            stats.multivariate_normal(mean, covariance).logpdf(x)
            for mean, covariance in zip(v["means"], v["covariances"])
        ],
        axis=1,
    )
    prior = dirichlet(v["weights"], 2) if K > 1 else 0
    prior += stats.norm.logpdf((v["means"] - x.mean(axis=0)) / x.std(axis=0), 0, 2).sum()
    scale = np.outer(x.std(axis=0), x.std(axis=0))
    for covariance, squares in zip(v["covariances"] / scale, v["bartlett_squares"]):
        # The inverse Wishart with expectation 0.1 I, times |d covariance / d (squares, below)|:
        # from A to A A' it is 2^D prod A_ii^(i+1), i from 0; from a square to its root
        # 1 / (2 A_ii); scaling by 10 acts on D (D + 1) / 2 entries; inverting gives |S|^(D + 1).
        prior += stats.invwishart(df=D + 2, scale=0.1 * np.eye(D)).logpdf(covariance)
        prior += 0.5 * (np.log(squares) * np.arange(D)).sum()
        prior += D * (D + 1) / 2 * np.log(10) + (D + 1) * np.linalg.slogdet(covariance)[1]
    np.testing.assert_allclose(density, prior + logsumexp(joint, axis=1).sum(), rtol=RTOL)


@pytest.mark.parametrize(
    "data", [([1, 0, 2, 2, 1, 0],), ([2],), ([0, 1, 1], [2], [1, 0, 2, 2, 0, 1]), ([0], [1])]
)
@pytest.mark.parametrize("K", [1, 2, 3])
def test_density_of_the_hmm(K, data, likelihood, interpreted):
    data = tuple(np.array(sequence) for sequence in data)
    names = ["startprob", "transmat", "emissionprob"]
    dims = {"n_components": K, "n_features": 3}
    density, v = density_and_values("categorical_hmm", data, dims, names, 3, likelihood)
    prior = sum(dirichlet(v[name], 1) for name in names if v[name].shape[-1] > 1)
    evidence = [hmm_by_enumeration(*(v[name] for name in names), x)[0] for x in data]
    np.testing.assert_allclose(density, prior + np.log(evidence).sum(), rtol=RTOL)


def test_long_sequences_do_not_underflow(likelihood, interpreted):
    rng = np.random.default_rng(5)
    data = (rng.integers(0, 4, 3000), rng.integers(0, 4, 1))
    names = ["startprob", "transmat", "emissionprob"]
    density, v = density_and_values(
        "categorical_hmm", data, {"n_components": 2, "n_features": 4}, names, 0, likelihood
    )
    model = load("categorical_hmm")
    expected = model.log_likelihood(model.Parameters(**v), data)
    expected += sum(dirichlet(v[name], 1) for name in names)
    np.testing.assert_allclose(density, expected, rtol=RTOL)


def test_the_mixture_follows_the_units_of_the_data(interpreted):
    first = draw_problem("gaussian_mixture_1d")
    shift, scale = 1e6, 2.0**-20
    second = problem(first.model, shift + scale * first.data, first.dims)
    at = np.random.default_rng(0).normal(0, 0.3, (1, 5, 5))
    with _pymc.quiet():
        graph = _pymc.graph(first)
        value, gradient = graph.log_density(at[0, 0])
        plain = graph.parameters(at)
        graph = _pymc.graph(second)
        moved_value, moved_gradient = graph.log_density(at[0, 0])
        moved = graph.parameters(at)
    # The shifted data carry 1e6 x 1e-16 of rounding, against a spread of 1e-6: 1e-4 in z, at most.
    np.testing.assert_allclose(moved_value, value - len(first.data) * np.log(scale), rtol=1e-4)
    np.testing.assert_allclose(moved_gradient, gradient, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(moved.means, shift + scale * plain.means, rtol=1e-15)
    np.testing.assert_allclose(moved.variances, scale**2 * plain.variances, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["fisher", "stock"])
@pytest.mark.parametrize("name", ["gaussian_mixture_1d", "categorical_hmm"])
def test_a_graph_serves_other_data_as_a_fresh_one_would(name, likelihood, interpreted):
    first, second = draw_problem(name, seed=1), draw_problem(name, seed=2)
    with _pymc.quiet():
        kept = _pymc.graph(first, stock=likelihood == "stock")
        before = kept.log_density(np.linspace(-1, 1, kept.n_dim))[0]
        assert _pymc.graph(second, stock=likelihood == "stock") is kept
        observed = bayesian.observations(name, second.data)
        fresh = bayesian.build(name, second.dims, observed, stock=likelihood == "stock")
        fresh = _pymc.Graph(name, fresh)
        for at in np.random.default_rng(0).normal(size=(3, kept.n_dim)):
            for mine, expected in zip(kept.log_density(at), fresh.log_density(at)):
                np.testing.assert_array_equal(mine, expected)
        assert kept.log_density(np.linspace(-1, 1, kept.n_dim))[0] != before


@pytest.mark.slow
@pytest.mark.parametrize("implementation", [pymc_nuts, pymc_advi, pymc_fullrank])
@pytest.mark.parametrize("name", ["gaussian_mixture_1d", "gaussian_mixture_2d", "categorical_hmm"])
def test_draws_are_parameters_and_depend_on_the_seed_alone(
    name, implementation, interpreted, monkeypatch, capfd
):
    for constant in ("QUICK_DRAWS", "TUNE", "QUICK_BLOCK", "RESTART_STEPS", "MAX_BLOCKS"):
        monkeypatch.setattr(_nuts, constant, 6, raising=False)
        monkeypatch.setattr(_advi, constant, 6, raising=False)
    first, other = draw_problem(name, seed=1, size=16), draw_problem(name, seed=2, size=16)
    fit = implementation.fit(first)
    implementation.fit(other)
    again = implementation.fit(first)
    assert fit.draws == again.draws
    assert capfd.readouterr() == ("", "")

    lead = (2, 6) if implementation is pymc_nuts else (1, 6)
    for field, array in fit.draws.arrays().items():
        assert array.shape[:2] == lead
        assert np.isfinite(array).all()
        if field.endswith("prob") or field in ("weights", "transmat"):
            assert (array >= 0).all()
            np.testing.assert_allclose(array.sum(axis=-1), 1, rtol=1e-12)
    if name == "gaussian_mixture_1d":
        assert (fit.draws.variances > 0).all()
    if name == "gaussian_mixture_2d":
        assert (np.linalg.eigvalsh(fit.draws.covariances) > 0).all()
    assert all(values.shape == lead for values in fit.sample_stats.values())
    assert (fit.elbo is None) == (implementation is pymc_nuts)


def test_nuts_samples_a_posterior_known_in_closed_form():
    # One state: the emission probabilities are Dirichlet(1 + counts).
    counts = np.array([2, 6, 0])
    data = (np.repeat(np.arange(3), counts),)
    fit = pymc_nuts.fit(
        problem("categorical_hmm", data, {"n_components": 1, "n_features": 3}, seed=1)
    )
    draws = fit.draws.emissionprob[:, :, 0].reshape(-1, 3)
    exact = stats.dirichlet(1 + counts)
    # At least 200 effective draws: 5 standard errors, 1e-6 a comparison.
    error = np.sqrt(exact.var() / 200)
    assert np.all(np.abs(draws.mean(axis=0) - exact.mean()) < 5 * error)


def test_what_is_not_supported_says_why():
    case = make_case("gaussian_mixture_1d")
    matched = Problem(
        "gaussian_mixture_1d", case.data, case.dims, Mode.MATCHED, 0, case.parameters, 3
    )
    for implementation in (pymc_nuts, pymc_advi, pymc_fullrank):
        assert (
            implementation.unsupported(problem("gaussian_mixture_1d", case.data, case.dims)) is None
        )
        assert "iterations" in implementation.unsupported(matched)


@pytest.fixture
def short(monkeypatch):
    for constant in ("QUICK_DRAWS", "TUNE"):
        monkeypatch.setattr(_nuts, constant, 6)


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["pymc-nuts", "pymc-stock"])
def test_a_symbol_never_seen_and_a_single_component_are_no_trouble(
    implementation, interpreted, short
):
    data = (np.array([0, 1, 1, 0, 1, 0, 0]),)
    unseen = problem("categorical_hmm", data, {"n_components": 2, "n_features": 4})
    single = problem("gaussian_mixture_1d", np.linspace(0, 1, 9), {"n_components": 1})
    for asked in (unseen, single):
        result = attempt(implementation, asked)
        assert isinstance(result, Timed), result.message
        assert all(np.isfinite(array).all() for array in result.fit.draws.arrays().values())


def test_symbols_that_there_are_not_end_in_a_row_that_names_them(interpreted, short):
    dims = {"n_components": 2, "n_features": 3}
    bad = problem("categorical_hmm", (np.array([0, 1, 7, 2]),), dims)
    result = attempt("pymc-nuts", bad)
    assert result.status is Status.FAILED
    assert result.message.startswith("ValueError: symbols[2] is 7; emissionprob has 3 columns")
    good = problem("categorical_hmm", (np.array([0, 1, 0, 2]),), dims)
    assert isinstance(attempt("pymc-nuts", good), Timed)
    again = attempt("pymc-nuts", bad)  # the graph is compiled and gets these data later
    assert again.status is Status.FAILED
    assert again.message.startswith("ValueError: symbols[2] is 7")


def test_what_fails_is_a_row_and_the_other_rows_stand(monkeypatch, interpreted, short):
    asked = draw_problem("gaussian_mixture_1d")

    def improper(*args, **kwargs):
        return Dirichlet(0)

    with monkeypatch.context() as patched:
        patched.setattr(bayesian, "build", improper)
        result = attempt("pymc-nuts", asked)
    assert result.status is Status.FAILED
    assert "improper" in result.message

    calls = []

    def breaks_off(x):
        calls.append(x)
        if len(calls) > 20:
            raise FloatingPointError("the chain met a singularity")
        return -0.5 * x @ x, -x

    def nowhere(x):
        return np.nan, x

    with monkeypatch.context() as patched:
        patched.setattr(_pymc.Graph, "log_density", property(lambda self: breaks_off))
        result = attempt("pymc-nuts", asked)
    assert result.status is Status.FAILED
    assert result.message == "FloatingPointError: the chain met a singularity"

    with monkeypatch.context() as patched:
        patched.setattr(_pymc.Graph, "log_density", property(lambda self: nowhere))
        result = attempt("pymc-nuts", asked)
    assert result.status is Status.FAILED
    assert "none of 20 starting points has a finite density" in result.message

    assert isinstance(attempt("em", asked), Timed)
    assert isinstance(attempt("pymc-nuts", asked), Timed)
