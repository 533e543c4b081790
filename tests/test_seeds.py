"""The seed examples and the published fits, to the digits that were printed."""

from __future__ import annotations

import numpy as np
import pytest

from lockstep.comparisons.scenarios import scenarios
from lockstep.models import categorical_hmm as hmm
from lockstep.models import em, records
from lockstep.models import gaussian_mixture_1d as gm1
from lockstep.models import gaussian_mixture_2d as gm2
from lockstep.models.fits import Status
from oracles import digits, mixture_1d_em


def fit(name, model, iterations):
    prepared = scenarios()[name].prepare()
    return em.fit(model, prepared.start, prepared.data, max_iter=iterations, tol=-1)


def assert_printed(values, printed):
    for value, text in zip(np.ravel(values), printed.split(), strict=True):
        assert digits(float(value), text), f"{value!r} is not {text}"


def test_gmm1d_separated():
    prepared = scenarios()["gmm1d-separated"].prepare()
    assert_printed(prepared.start.means, "3.66213067 2.86985695")
    found = fit("gmm1d-separated", gm1, 20)
    assert_printed(found.parameters.means, "3.00632410 -2.00724927")
    assert_printed(np.sqrt(found.parameters.variances), "1.00969361 0.47054994")
    assert_printed(found.parameters.weights, "0.50157698 0.49842302")
    assert_printed(found.trace[-1], "-869.41927970")


def test_gmm1d_notebook():
    prepared = scenarios()["gmm1d-notebook"].prepare()
    assert_printed(prepared.start.means, "-2.97331547 5.0251919")
    found = fit("gmm1d-notebook", gm1, 20)
    assert_printed(found.trace[[1, 20]], "-643.75624235 -616.67879969")
    assert_printed(found.parameters.means, "-0.07249269 5.11098083")
    assert_printed(np.sqrt(found.parameters.variances), "1.0261964 1.08498638")
    assert_printed(found.parameters.weights, "0.70085592 0.29914408")


def test_gmm1d_notebook_equals_em_at_50_digits():
    prepared = scenarios()["gmm1d-notebook"].prepare()
    start = prepared.start
    (weights, means, variances), trace = mixture_1d_em(
        start.weights, start.means, start.variances, prepared.data, 5
    )
    found = fit("gmm1d-notebook", gm1, 5)
    np.testing.assert_allclose(found.trace, np.array(trace, dtype=float), rtol=1e-14)
    for ours, exact in zip(found.parameters.arrays().values(), (weights, means, variances)):
        np.testing.assert_allclose(ours, np.array(exact, dtype=float), rtol=1e-12)


def test_gmm2d_notebook():
    found = fit("gmm2d-notebook", gm2, 40)
    assert_printed(found.trace[[0, 40]], "-1115.303 -993.38295362")
    assert_printed(found.parameters.weights, "0.30294641 0.69705359")
    # Labels come out swapped against the truth, whose first component is the larger.
    assert found.parameters.means[0].min() > 3 > found.parameters.means[1].max()
    # The plateau: 20 iterations gain less than 20 nats, the ten after it more than 90.
    assert found.trace[20] - found.trace[0] < 20
    assert found.trace[32] - found.trace[22] > 90
    converged = fit_to_convergence("gmm2d-notebook", gm2)
    assert_printed(converged.trace[-1], "-993.38179")


def fit_to_convergence(name, model):
    prepared = scenarios()[name].prepare()
    found = em.fit(model, prepared.start, prepared.data)
    assert found.status is Status.CONVERGED
    return found


def test_hmm_weather_noise():
    prepared = scenarios()["hmm-weather-noise"].prepare()
    np.testing.assert_array_equal(np.bincount(prepared.data[0]), [33, 36, 31])
    assert_printed(prepared.start.startprob, "0.70842974 0.29157026")
    assert_printed(prepared.start.transmat, "0.97561433 0.02438567 0.57932842 0.42067158")
    assert_printed(
        prepared.start.emissionprob,
        "0.45687587 0.51620515 0.02691899 0.17369599 0.04818885 0.77811515",
    )
    found = fit("hmm-weather-noise", hmm, 10)
    assert_printed(found.trace[[0, 10]], "-126.55634006 -104.44119557")
    assert_printed(found.parameters.startprob, "5.94582771e-12 1")
    assert_printed(found.parameters.transmat, "0.8683111 0.1316889 0.15443039 0.84556961")
    assert_printed(
        found.parameters.emissionprob,
        "0.24440231 0.62492652 0.13067118 0.42648882 0.06136523 0.51214595",
    )


def test_noise_gains_less_than_its_parameters_cost():
    prepared = scenarios()["hmm-weather-noise"].prepare()
    counts = np.bincount(prepared.data[0])
    one_state = float((counts * np.log(counts / 100)).sum())
    assert_printed(one_state, "-109.67198395")
    best = em.fit_best(hmm, prepared.data, prepared.dims, n_starts=10, rng=np.random.default_rng(0))
    assert_printed(best.trace[-1], "-104.1572")
    # BIC: five more parameters cost 5/2 log 100 = 11.5 nats, the gain is 5.5.
    assert best.trace[-1] - one_state < 2.5 * np.log(100)


def test_faithful_2d_plateau_free_optimum_is_the_published_one():
    found = fit_to_convergence("faithful-2d", gm2)
    assert_printed(found.trace[-1], "-1130.264")
    assert_printed(found.trace[-1], "-1130.26396018")


def test_mixtools_equal_variances_are_its_ninth_iterate():
    """The figures in the mixtools paper are where its tolerance stopped it."""
    x = scenarios()["faithful-1d"].prepare().data
    w, m, v = np.array([0.5, 0.5]), np.array([55.0, 80.0]), 25.0
    for _ in range(9):  # an M-step with one variance for both
        r = gm1.responsibilities(gm1.Parameters(w, m, np.array([v, v])), x)
        w, m = r.mean(axis=0), r.T @ x / r.sum(axis=0)
        v = float((r * (x[:, None] - m) ** 2).sum() / len(x))
    assert_printed(w, "0.3608498 0.6391502")
    assert_printed(m, "54.61364 80.09031")
    assert_printed(np.sqrt(v), "5.869089")
    found = gm1.log_likelihood(gm1.Parameters(w, m, np.array([v, v])), x)
    assert_printed(found, "-1034.002")


def test_our_waiting_time_optimum_is_stationary_and_mixtools_is_not():
    """At 50 digits another EM step leaves our fit alone and moves the printed one."""
    prepared = scenarios()["faithful-1d"].prepare()
    ours = fit_to_convergence("faithful-1d", gm1).parameters
    printed = gm1.Parameters.of(
        weights=[0.3608868, 0.6391132],
        means=[54.61489, 80.09109],
        variances=[5.871241**2, 5.867718**2],
    )

    def movement(p):
        (_, means, _), trace = mixture_1d_em(p.weights, p.means, p.variances, prepared.data, 1)
        return max(abs(float(a) - b) for a, b in zip(means, p.means)), trace[0]

    our_step, our_height = movement(ours)
    their_step, their_height = movement(printed)
    assert our_step < 1e-8
    assert their_step > 1e-6
    assert 0 < our_height - their_height < 1e-8


def test_geyser_published_chain_has_the_published_likelihood():
    prepared = scenarios()["geyser-hmm"].prepare()
    assert prepared.data[0].sum() == 194
    published = prepared.published[1]
    found = float(hmm.log_likelihood(published.at, prepared.data))
    # The book prints three digits of each parameter; 127.31 is reached to its two decimals.
    assert digits(found, published.printed)
    # A free start can only do better than a stationary one.
    best = em.fit_best(hmm, prepared.data, prepared.dims, n_starts=10, rng=np.random.default_rng(0))
    assert_printed(best.trace[-1], "-126.70776")
    assert best.trace[-1] > found


@pytest.mark.parametrize("name", list(scenarios()))
def test_scenarios_are_sound(name):
    scenario = scenarios()[name]
    prepared = scenario.prepare()
    from lockstep import models

    model = models.load(scenario.model)
    checked = model.check_data(prepared.data, prepared.dims)
    assert records.size(checked) == records.size(prepared.data)
    assert np.isfinite(model.log_likelihood(prepared.start, prepared.data))
    assert (prepared.heldout is None) == (prepared.truth is None and name != "hmm-weather-noise")
    assert scenario.lesson.endswith(".")
    for reason in scenario.expected.values():
        assert reason
