"""What is said of posteriors: labels, checks, predictions, priors, against independent truth."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from conftest import make_case
from lockstep.comparisons import diagnostics, predictive, results_file
from lockstep.comparisons.alignment import Relabelled, relabel, stephens
from lockstep.comparisons.implementations import _advi, _pymc
from lockstep.comparisons.judging import log_likelihoods
from lockstep.comparisons.problem import Mode
from lockstep.comparisons.scenarios import scenarios
from lockstep.models import bayesian, em, gaussian_mixture_1d, load, records
from lockstep.models.fits import PosteriorFit
from lockstep.models.priors import Dirichlet, Normal, Prior
from oracles import hmm_by_enumeration
from test_comparisons import judged
from test_reports import draws_near


def permuted(draws, rng):
    """Return the draws with labels in an order of each chain's own, some draws in others."""
    chains, length = next(iter(draws.arrays().values())).shape[:2]
    K = draws.n_components
    order = np.stack([np.tile(rng.permutation(K), (length, 1)) for _ in range(chains)])
    some = rng.uniform(size=(chains, length)) < 0.3
    order[some] = rng.permuted(order[some], axis=-1)
    return draws.relabelled(order)


@pytest.mark.parametrize("seed", range(3))
def test_labels_permuted_at_random_are_put_back(case, seed):
    rng = np.random.default_rng(seed)
    model, K = case.model, case.dims["n_components"]
    if "n_features" in case.dims:  # states that can be told apart, as those of the others can
        sharp = [0.7 * np.eye(K, 4) + 0.075, 0.6 * np.eye(K) + 0.4 / K]
        case = SimpleNamespace(
            parameters=model.Parameters(np.full(K, 1 / K), sharp[1], sharp[0]), data=case.data
        )
    draws = draws_near(case.parameters, rng)
    ordered = draws.relabelled(
        relabel(
            model, draws, case.data, case.parameters, log_likelihoods(model, draws, case.data)
        ).order
    )
    shuffled = permuted(ordered, rng)
    density = log_likelihoods(model, shuffled, case.data)
    found = relabel(model, shuffled, case.data, case.parameters, density)
    assert shuffled.relabelled(found.order) == ordered
    assert found.within > 0.1
    # No label enters the log-likelihood: it is the same sum in another order.
    np.testing.assert_allclose(
        density, log_likelihoods(model, ordered, case.data), rtol=1e-12, atol=1e-10
    )


@pytest.mark.parametrize("K", [2, 3])
def test_every_draw_has_the_permutation_nearest_to_the_average(K):
    rng = np.random.default_rng(K)
    p = rng.dirichlet(np.full(K, 0.4), size=(30, 12)) * 0.98 + 0.02 / K
    order = stephens(p)
    q = np.stack([p[s][:, order[s]] for s in range(30)]).mean(axis=0)
    for s in range(30):
        divergences = {
            o: (p[s][:, o] * np.log(p[s][:, o] / q)).sum() for o in itertools.permutations(range(K))
        }
        assert divergences[tuple(order[s])] == pytest.approx(min(divergences.values()))


def test_components_with_one_mean_are_told_apart_by_their_widths():
    rng = np.random.default_rng(0)
    truth = gaussian_mixture_1d.Parameters([0.5, 0.5], [0.0, 0.0], [0.05, 25.0])
    x = gaussian_mixture_1d.sample(truth, 300, rng)
    draws = gaussian_mixture_1d.Parameters(
        np.full((2, 50, 2), 0.5),
        rng.normal(0, 0.2, (2, 50, 2)),
        truth.variances * rng.uniform(0.8, 1.2, (2, 50, 2)),
    )
    shuffled = permuted(draws, rng)
    order = relabel(
        gaussian_mixture_1d, shuffled, x, truth, log_likelihoods(gaussian_mixture_1d, shuffled, x)
    ).order
    assert shuffled.relabelled(order) == draws


def sampled(draws, **other):
    shape = next(iter(draws.arrays().values())).shape[:2]
    rng = np.random.default_rng(1)
    return PosteriorFit(
        draws, {"diverging": np.zeros(shape), "energy": rng.normal(size=shape), **other}
    )


def by_name(checks):
    return {check.name: check for check in checks}


def near(chains=4, length=500):
    parameters = gaussian_mixture_1d.Parameters([0.4, 0.6], [-2.0, 2.0], [1.0, 0.5])
    rng = np.random.default_rng(3)
    x = gaussian_mixture_1d.sample(parameters, 200, rng)
    means = parameters.means + 0.05 * rng.normal(size=(chains, length, 2))
    weights = rng.dirichlet([40, 60], (chains, length))
    variances = parameters.variances * np.exp(0.05 * rng.normal(size=(chains, length, 2)))
    return parameters, x, gaussian_mixture_1d.Parameters(weights, means, variances)


def diagnosed(draws, x, reference, **sample_stats):
    density = log_likelihoods(gaussian_mixture_1d, draws, x)
    relabelled = relabel(gaussian_mixture_1d, draws, x, reference, density)
    return diagnostics.diagnose(
        draws.relabelled(relabelled.order), sampled(draws, **sample_stats), density, relabelled
    )


def test_chains_that_disagree_only_by_labels_are_said_to():
    reference, x, draws = near()
    order = np.zeros((4, 500, 2), dtype=int)
    order[:2], order[2:] = [0, 1], [1, 0]
    found = diagnosed(draws.relabelled(order), x, reference)
    switching = by_name(found.checks)["label switching"]
    assert switching.passed
    assert "disagree only by labels" in switching.note
    assert found.chains_differ_in_labels
    assert found.r_hat_as_sampled > 1.5
    assert not found.failed
    checks = diagnosed(draws, x, reference).checks
    assert by_name(checks)["label switching"].note == ""


def test_labels_that_switch_within_chains_are_a_failed_check():
    _, _, draws = near()
    switched = Relabelled(np.tile([0, 1], (4, 500, 1)), 0.02, apart=False)
    failed = diagnostics.diagnose(draws, sampled(draws), None, switched).failed
    assert [check.name for check in failed] == ["label switching"]
    assert "2.0% of the draws" in diagnostics.failure(failed[0])


def test_checks_have_the_values_of_arviz():
    import arviz_base
    import arviz_stats as azs

    reference, x, draws = near(length=200)
    energy = np.cumsum(np.random.default_rng(0).normal(size=(4, 200)), axis=1)  # slow: low E-BFMI
    diverging = np.zeros((4, 200))
    diverging[1, 3:5] = 1
    found = diagnosed(draws, x, reference, energy=energy, diverging=diverging)
    checks = found.checks
    tree = arviz_base.from_dict({"posterior": draws.arrays(), "sample_stats": {"energy": energy}})
    worst = {
        "R-hat": max(float(azs.rhat(tree)[n].max()) for n in draws.arrays()),
        "bulk ESS": min(float(azs.ess(tree, method="bulk")[n].min()) for n in draws.arrays()),
        "tail ESS": min(
            float(azs.ess(tree, method="tail", prob=(0.05, 0.95))[n].min()) for n in draws.arrays()
        ),
        "E-BFMI": float(azs.bfmi(tree)["energy"].min()),
        "divergences": 2,
    }
    for name, value in worst.items():
        # E-BFMI may be defined with n or n - 1: they differ by 1/200.
        rtol = 1e-2 if name == "E-BFMI" else 1e-12
        assert by_name(checks)[name].value == pytest.approx(value, rel=rtol), name
    failed = {check.name for check in checks if not check.passed}
    assert failed == {"E-BFMI", "divergences"}
    assert found.e_bfmi < 0.3


@pytest.mark.parametrize("sd", [0.8, 0.6, 0.5])
def test_k_hat_of_a_normal_that_is_too_narrow(sd):
    """Weights N(0, 1) / N(0, sd^2) are exp((1 - sd^2) chi-square / 2): a tail of 1 - sd^2."""
    x = np.random.default_rng(4).normal(0, sd, 100_000)
    log_weight = stats.norm.logpdf(x) - stats.norm.logpdf(x, 0, sd)
    # The chi-square's density has a factor y^(-1/2) beside the exponential, which makes the
    # tail that is seen a little lighter.
    assert diagnostics.k_hat(log_weight + 700) == pytest.approx(1 - sd**2, abs=0.1)


def test_weights_that_are_no_numbers_never_pass():
    assert diagnostics.k_hat(np.array([0.0, -np.inf, 1.0])) == np.inf


@pytest.fixture
def interpreted():
    with _pymc.quiet():
        import pytensor

        with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""):
            yield


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mean field", "full rank"])
def test_advi_on_a_correlated_normal(family, interpreted, monkeypatch):
    """The best independent normal has the sd given the other, sqrt(1 - r^2)."""
    import pymc as pm

    correlation = np.array([[1.0, 0.9], [0.9, 1.0]])
    with pm.Model() as model:
        pm.MvNormal("x", mu=[3.0, -1.0], cov=correlation)
    graph = _pymc.Graph("normal", model)
    ascent = (_advi.MeanField if family == "mean field" else _advi.FullRank)(graph)
    monkeypatch.setattr(_advi, "RESTARTS", 1)
    climbed = _advi._ascend(ascent, lambda: np.zeros(2), 500, np.random.default_rng(0))
    assert climbed.settled
    location, factor = ascent.normal()
    covariance = factor @ factor.T
    expected = correlation if family == "full rank" else (1 - 0.9**2) * np.eye(2)
    # Adam's last steps are of 1e-3 or so, on gradients from one draw each.
    np.testing.assert_allclose(location, [3, -1], atol=0.05)
    np.testing.assert_allclose(covariance, expected, atol=0.07)
    # The bound is exact only if the family holds the posterior: the mean field's falls short of
    # log 1 by the Kullback-Leibler divergence, -log(1 - r^2) / 2.
    short = 0 if family == "full rank" else -0.5 * np.log(1 - 0.9**2)
    assert climbed.elbo[-500:].mean() == pytest.approx(-short, abs=0.12)
    ratios, check = diagnostics.spread_ratios(
        {"x": np.sqrt(np.diag(covariance))}, {"x": np.ones(2)}
    )
    assert check.passed == (family == "full rank")
    assert set(ratios.by_parameter) == {"x[0]", "x[1]"}


def test_units_add_up_to_the_log_likelihood(case):
    units = predictive.pointwise(case.model, case.parameters, case.data)
    assert units.shape == (records.size(case.data),)
    assert units.sum() == pytest.approx(
        float(case.model.log_likelihood(case.parameters, case.data)), rel=1e-12
    )


def test_one_step_ahead_is_a_ratio_of_enumerated_sums():
    case = make_case("categorical_hmm", K=2)
    arrays = case.parameters.arrays().values()
    data = (np.array([1, 0, 3, 2, 2]), np.array([3, 3]))
    expected = []
    for symbols in data:
        sums = [
            1.0,
            *(hmm_by_enumeration(*arrays, symbols[: t + 1])[0] for t in range(len(symbols))),
        ]
        expected += [np.log(b / a) for a, b in itertools.pairwise(sums)]
    np.testing.assert_allclose(
        predictive.pointwise(case.model, case.parameters, data), expected, rtol=1e-12
    )


def test_densities_are_averaged_unit_by_unit(case, monkeypatch):
    draws = draws_near(case.parameters, np.random.default_rng(0), chains=2, length=5)
    per_draw = [
        predictive.pointwise(case.model, draws.draw(c, d), case.data)
        for c in range(2)
        for d in range(5)
    ]
    expected = np.log(np.exp(per_draw).mean(axis=0))
    np.testing.assert_allclose(
        predictive.averaged(case.model, draws, case.data), expected, rtol=1e-12
    )
    monkeypatch.setattr(predictive, "AT_ONCE", 1)  # one draw at a time
    again = predictive.averaged(case.model, draws, case.data)
    np.testing.assert_allclose(again, expected, rtol=1e-12)
    monkeypatch.setattr(predictive, "MOST", 1)  # one draw has to do
    first = predictive.averaged(case.model, draws, case.data)
    np.testing.assert_allclose(first, per_draw[0], rtol=1e-12)
    score = predictive.score(expected, per_draw[0])
    assert score.above == pytest.approx(expected.sum() - per_draw[0].sum())
    apart = expected - per_draw[0]
    assert score.above_error == pytest.approx(np.sqrt(len(apart) * np.var(apart, ddof=1)))


def test_leave_one_out_of_a_conjugate_normal_is_exact():
    """Normal data, normal-inverse-gamma prior: left out, an observation is Student's t."""
    rng = np.random.default_rng(2)
    x = rng.normal(1, 2, 30)
    strength, shape, rate = 0.5, 2.0, 3.0  # of a prior mean of 0

    def posterior(y):
        n, mean = len(y), y.mean()
        k = strength + n
        b = rate + 0.5 * ((y - mean) ** 2).sum() + 0.5 * strength * n * mean**2 / k
        return n * mean / k, k, shape + n / 2, b

    exact = 0.0
    for i in range(len(x)):
        centre, k, a, b = posterior(np.delete(x, i))
        exact += stats.t(2 * a, centre, np.sqrt(b * (k + 1) / (a * k))).logpdf(x[i])
    centre, k, a, b = posterior(x)
    variances = b / rng.gamma(a, size=(4, 4000, 1))
    means = rng.normal(centre, np.sqrt(variances / k))
    draws = gaussian_mixture_1d.Parameters(np.ones((4, 4000, 1)), means, variances)
    found = predictive.leave_one_out(gaussian_mixture_1d, draws, x, 16_000)
    # Over 20 seeds the error had a standard deviation of 0.019: this is four of them.
    assert found.k_max < 0.6
    assert found.k_bad == 0
    assert found.elpd == pytest.approx(exact, abs=0.08)
    in_sample = predictive.averaged(gaussian_mixture_1d, draws, x).sum()
    assert found.p == pytest.approx(in_sample - exact, abs=0.08)


def test_leave_one_out_is_for_independent_observations():
    case = make_case("categorical_hmm")
    draws = draws_near(case.parameters, np.random.default_rng(0))
    assert predictive.leave_one_out(case.model, draws, case.data, 100) is None


@pytest.mark.parametrize("name", ["gaussian_mixture_1d", "gaussian_mixture_2d", "categorical_hmm"])
def test_prior_draws_are_those_of_the_graph(name, interpreted):
    """PyMC draws from the graph's own variables; the two samples have the same distribution."""
    import pymc as pm

    case = make_case(name, K=2, size=40)
    n, dims = 1500, case.dims
    ours = bayesian.draws(name, dims, case.data, n, np.random.default_rng(1)).arrays()
    observed = bayesian.observations(name, case.data)
    model = bayesian.build(name, dims, observed)
    theirs = dict(
        zip(ours, pm.draw([model[field] for field in ours], draws=n, random_seed=2), strict=True)
    )
    if name == "gaussian_mixture_1d":  # the order is a transform, which pm.draw does not know
        theirs["means"] = np.sort(theirs["means"], axis=-1)
    for field, array in ours.items():
        for index in np.ndindex(array.shape[1:]):
            mine, other = array[:, *index], theirs[field][:, *index]
            # 1 in 10^5 a comparison, and there are fewer than 20 of them a model.
            assert stats.ks_2samp(mine, other).pvalue > 1e-5, (field, index)


def test_prior_draws_follow_the_one_place_to_change_them():
    case = make_case("gaussian_mixture_1d", K=2)
    families = bayesian.prior_of(case.model).families
    narrow = Prior({**families, "means": Normal(0.001), "weights": Dirichlet(1e6)}, True)
    draws = bayesian.draws(
        "gaussian_mixture_1d", case.dims, case.data, 200, np.random.default_rng(0), narrow
    )
    np.testing.assert_allclose(draws.means, case.data.mean(), atol=0.01 * case.data.std())
    np.testing.assert_allclose(draws.weights, 0.5, atol=0.01)


def test_simulated_sequences_have_the_shares_that_are_expected():
    case = make_case("categorical_hmm", K=2)
    p = case.parameters
    lengths, S = [4, 3], 20_000
    draws = type(p)(**{k: np.broadcast_to(a, (S, *a.shape)) for k, a in p.arrays().items()})
    found = predictive.shares(
        predictive.simulate(draws, lengths, np.random.default_rng(0)), 4
    ).mean(axis=0)
    symbols, again = np.zeros(4), 0.0
    for T in lengths:
        at = p.startprob
        for t in range(T):
            symbols += at @ p.emissionprob
            if t + 1 < T:
                pairs = (at[:, None] * p.transmat)[:, :, None, None]
                both = pairs * p.emissionprob[:, None, :, None] * p.emissionprob[None, :, None, :]
                again += np.trace(both.sum(axis=(0, 1)))
            at = at @ p.transmat
    expected = [*(symbols / 7), again / 5]
    # 5 standard errors of a mean of 20,000 shares, each with an sd below 0.5.
    np.testing.assert_allclose(found, expected, atol=5 * 0.5 / np.sqrt(S))


@pytest.mark.parametrize("name", ["gaussian_mixture_1d", "gaussian_mixture_2d"])
def test_bands_of_a_predictive_check_are_quantiles_of_densities(name):
    case = make_case(name, K=2)
    draws = draws_near(case.parameters, np.random.default_rng(0), chains=1, length=9)
    panels = predictive.check(
        case.model, case.dims, case.data, {"a": draws}, np.random.default_rng(0)
    )
    columns = case.data.reshape(len(case.data), -1)
    assert len(panels) == columns.shape[1]
    for d, panel in enumerate(panels):
        curves = []
        for i in range(9):
            p = draws.draw(0, i)
            variances = p.variances if name.endswith("1d") else p.covariances[:, d, d]
            means = p.means if name.endswith("1d") else p.means[:, d]
            joint = stats.norm.logpdf(panel.grid[:, None], means, np.sqrt(variances))
            curves.append(np.exp(logsumexp(joint + np.log(p.weights), axis=1)))
        np.testing.assert_allclose(panel.bands["a"][2], np.median(curves, axis=0), rtol=1e-9)
        assert set(panel.bands) == {"prior", "a"}


def test_draws_that_are_no_numbers_are_a_failed_row():
    from lockstep.comparisons import judging
    from lockstep.comparisons.cache import Timed
    from lockstep.comparisons.run import Failure
    from lockstep.models.fits import Status

    _, _, draws = near(length=50)
    broken = draws.means.copy()
    broken[2, 10:13, 1] = np.nan
    fit = sampled(gaussian_mixture_1d.Parameters(draws.weights, broken, draws.variances))
    result = judging._finite(Timed(fit, 1.0))
    assert isinstance(result, Failure)
    assert result.status is Status.FAILED
    assert "3 of 200 draws are not finite" in result.message
    assert load("gaussian_mixture_1d") is gaussian_mixture_1d


@pytest.mark.slow
@pytest.mark.parametrize(("width", "failed"), [(1.0, []), (0.5, ["sd against NUTS"])])
def test_what_a_method_is_known_to_fail_is_shown_and_does_not_count(width, failed):
    """Mean field gave half of NUTS's sds; a chain that fails has no such excuse."""
    prepared = scenarios()["gmm1d-notebook"].prepare()
    rng = np.random.default_rng(0)
    best = em.fit(gaussian_mixture_1d, prepared.start, prepared.data)

    def about(scale, shape):
        return gaussian_mixture_1d.Parameters(
            rng.dirichlet(best.parameters.weights * 400 / scale**2, shape),
            best.parameters.means + 0.05 * scale * rng.normal(size=(*shape, 2)),
            best.parameters.variances * np.exp(0.05 * scale * rng.normal(size=(*shape, 2))),
        )

    nuts = sampled(about(1.0, (4, 500)))
    weights = {"log_weight": rng.normal(0, 0.1, (1, 1000))}
    advi = PosteriorFit(about(width, (1, 1000)), weights, details={"settled": True})
    entry = judged(
        scenarios()["gmm1d-notebook"],
        prepared,
        ("em", Mode.AS_CONFIGURED, best),
        ("pymc-advi", Mode.AS_CONFIGURED, advi),
        ("pymc-nuts", Mode.AS_CONFIGURED, nuts),
    )
    outcome = entry.outcomes[1]
    assert [check.name for check in outcome.diagnostics.failed] == failed
    checks = json.loads(results_file.encode(outcome))["diagnostics"]["checks"]
    keys = {"name", "value", "rule", "threshold", "passed", "note", "error", "on_the_limit"}
    assert keys == set(checks[0])
    assert outcome.verdict == ("unsettled" if failed else "agrees")
    assert not outcome.counts_against
    assert ("ignores correlations" in (outcome.expected or "")) == bool(failed)
    ratios = outcome.diagnostics.sd_ratio_to_nuts.by_parameter
    # 1,000 draws against 2,000: each sd is known to a few percent.
    assert ratios["means[0]"] == pytest.approx(width, rel=0.15)


def test_every_mean_field_fit_that_has_not_settled_counts():
    prepared = scenarios()["gmm1d-notebook"].prepare()
    _, _, draws = near(chains=1, length=200)
    unfinished = PosteriorFit(draws, details={"settled": False})
    entry = judged(
        scenarios()["gmm1d-notebook"], prepared, ("pymc-advi", Mode.AS_CONFIGURED, unfinished)
    )
    assert entry.outcomes[0].counts_against
    assert "still rising" in entry.outcomes[0].reason
