"""Standard errors against a numerical Hessian, the bootstrap, and what has no interval."""

from __future__ import annotations

import numpy as np
import pytest

import oracles
from lockstep import models
from lockstep.comparisons import studies
from lockstep.comparisons.scenarios import scenarios
from lockstep.models import categorical_hmm as hmm
from lockstep.models import em, kernels, uncertainty
from lockstep.models import gaussian_mixture_1d as gm1
from lockstep.models import gaussian_mixture_2d as gm2


def seed_fit(name):
    prepared = scenarios()[name].prepare()
    model = models.load(scenarios()[name].model)
    rng = np.random.default_rng(0)
    fit = em.fit_best(model, prepared.data, prepared.dims, n_starts=5, rng=rng, accelerate=True)
    return model, fit.parameters, prepared.data


def independent(parameters):
    """Return the entries that determine all others, as a mask per field."""
    masks = {}
    for name, array in parameters.arrays().items():
        masks[name] = np.ones(array.shape, dtype=bool)
        if name in parameters.PROBABILITIES:
            masks[name][..., -1] = False
        if name == "covariances":
            masks[name] = np.broadcast_to(np.tri(array.shape[-1], dtype=bool), array.shape)
    return masks


def rebuilt(parameters, values):
    """Put values into the independent entries and work out the others."""
    arrays, begin = {}, 0
    for name, mask in independent(parameters).items():
        array = parameters.arrays()[name].copy()
        array[mask] = values[begin : begin + mask.sum()]
        begin += mask.sum()
        if name in parameters.PROBABILITIES:
            array[..., -1] = 1 - array[..., :-1].sum(axis=-1)
        if name == "covariances":
            array = np.tril(array) + np.tril(array, -1).mT
        arrays[name] = array
    return type(parameters)(**arrays)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "gmm1d-separated",
        "gmm1d-notebook",
        "gmm2d-notebook",
        "faithful-1d",
        "faithful-2d",
        "hmm-weather",
    ],
)
def test_standard_errors_equal_those_of_a_numerical_hessian(name):
    model, parameters, data = seed_fit(name)
    masks = independent(parameters)
    at = np.concatenate([parameters.arrays()[f][mask] for f, mask in masks.items()])
    known = uncertainty.wald(model, parameters, data)
    assert not known.no_interval
    ours = np.concatenate([known.sd.arrays()[f][mask] for f, mask in masks.items()])
    e_step = kernels.e_step(model)

    # In units of standard errors, so that every step of the differences is of the same size.
    def log_likelihood(z):
        return e_step(rebuilt(parameters, at + ours * z), data)[1]

    def gradient(z):
        return oracles.numerical_gradient(log_likelihood, z, step=0.02)

    hessian = np.empty((len(at), len(at)))
    for i, e in enumerate(0.02 * np.eye(len(at))):
        hessian[i] = (8 * (gradient(e) - gradient(-e)) - (gradient(2 * e) - gradient(-2 * e))) / (
            12 * 0.02
        )
    ratio = np.sqrt(np.diag(np.linalg.inv(-(hessian + hessian.T) / 2)))
    np.testing.assert_allclose(ratio, 1, rtol=1e-4)


def test_standard_errors_of_one_normal_are_the_textbook_ones():
    x = np.random.default_rng(0).normal(3, 2, 400)
    fit = em.fit(gm1, gm1.Parameters.of(weights=[1], means=[0], variances=[1]), x)
    known = uncertainty.wald(gm1, fit.parameters, x)
    v = x.var()
    np.testing.assert_allclose(known.sd.means, np.sqrt(v / 400), rtol=1e-6)
    np.testing.assert_allclose(known.sd.variances, v * np.sqrt(2 / 400), rtol=1e-6)
    assert "boundary" in known.no_interval["weights[0]"]


def test_standard_errors_follow_the_units_of_the_data():
    model, parameters, x = seed_fit("faithful-2d")
    c = np.array([1e4, 1e-4])
    scaled = gm2.Parameters(
        parameters.weights, parameters.means * c, parameters.covariances * c * c[:, None]
    )
    here, there = (uncertainty.wald(model, p, d) for p, d in ((parameters, x), (scaled, x * c)))
    np.testing.assert_allclose(there.sd.means, here.sd.means * c, rtol=1e-6)
    np.testing.assert_allclose(
        there.sd.covariances, here.sd.covariances * c * c[:, None], rtol=1e-6
    )
    np.testing.assert_allclose(there.upper.weights, here.upper.weights, rtol=1e-6)


def test_weights_count_as_observations():
    model, parameters, x = seed_fit("gmm1d-notebook")
    once = uncertainty.wald(model, parameters, x)
    four = uncertainty.wald(model, parameters, x, weights=np.full(len(x), 4.0))
    np.testing.assert_allclose(four.sd.means, once.sd.means / 2, rtol=1e-8)


def test_parameters_on_the_boundary_have_no_interval_and_say_why():
    model, parameters, data = seed_fit("geyser-hmm")
    known = uncertainty.wald(model, parameters, data)
    on = {name for name, reason in known.no_interval.items() if "boundary" in reason}
    # The start, the long state's sure emission, and the short state's sure move.
    assert len(on) == 6
    assert set(known.no_interval) == on
    assert np.isnan(known.sd.startprob).all()
    inside = ~np.isnan(known.sd.transmat)
    assert inside.sum() == 2
    assert (known.lower.transmat[inside] > 0).all()
    assert (known.upper.transmat[inside] < 1).all()


@pytest.mark.slow
def test_intervals_stay_within_their_range():
    model, parameters, data = seed_fit("hmm-weather")
    known = uncertainty.wald(model, parameters, data, probability=1 - 1e-9)
    for lower, upper in zip(known.lower.arrays().values(), known.upper.arrays().values()):
        assert (lower > 0).all()
        assert (upper < 1).all()
    model, parameters, data = seed_fit("gmm1d-notebook")
    few = np.full(len(data), 0.01)  # as if there were three observations
    known = uncertainty.wald(model, parameters, data, weights=few)
    assert (known.lower.variances > 0).all()
    assert known.upper.variances[1] == np.inf


def test_an_estimate_that_is_no_maximum_has_no_interval():
    model, parameters, x = seed_fit("gmm1d-notebook")
    moved = gm1.Parameters(parameters.weights, parameters.means + 0.05, parameters.variances)
    known = uncertainty.wald(model, moved, x)
    assert all("Newton step would gain" in reason for reason in known.no_interval.values())
    twins = gm1.Parameters.of(weights=[0.5, 0.5], means=[x.mean()] * 2, variances=[x.var()] * 2)
    known = uncertainty.wald(model, twins, x)
    assert all("not positive definite" in reason for reason in known.no_interval.values())
    assert np.isnan(known.sd.means).all()
    never = hmm.Parameters.of(startprob=[1], transmat=[[1]], emissionprob=[[1, 0]])
    known = uncertainty.wald(hmm, never, (np.array([0, 1]),))
    assert "startprob[0]" in known.no_interval


def sandwich(model, parameters, x):
    """Return standard errors that do not take the model for true: of log sds, by observation."""
    scores = np.array(
        [
            parameters.by_free(model.score(model.e_step(parameters, x[n : n + 1])[0], parameters))
            for n in range(len(x))
        ]
    )[:, 1:]  # the first log weight is held
    inverse = np.linalg.inv(
        uncertainty.observed_information(model, parameters, x)[1:, 1:],
    )
    return np.sqrt(np.diag(inverse @ scores.T @ scores @ inverse))


def test_nonparametric_bootstrap_agrees_with_the_sandwich():
    """Both know the data's own fourth moments, where the model trusts those of a normal."""
    model, parameters, x = seed_fit("gmm1d-notebook")
    _, refits = uncertainty.bootstrap(
        model,
        parameters,
        x,
        kind="nonparametric",
        n=300,
        rng=np.random.default_rng(0),
        tol=1e-6,
    )
    log_sds = 0.5 * np.log(refits.variances).std(axis=0, ddof=1)
    # A standard deviation from 300 draws is known to 4%, and the sandwich is of first order.
    np.testing.assert_allclose(log_sds, sandwich(model, parameters, x)[-2:], rtol=0.2)


def test_parametric_bootstrap_agrees_with_the_information():
    model, parameters, x = seed_fit("gmm1d-notebook")
    known = uncertainty.wald(model, parameters, x)
    again, refits = uncertainty.bootstrap(
        model, parameters, x, n=200, rng=np.random.default_rng(0), tol=1e-6
    )
    assert refits.means.shape == (200, 2)
    for name, sd in again.sd.arrays().items():
        # A standard deviation from 200 draws is known to 5%; four of these.
        np.testing.assert_allclose(sd, known.sd.arrays()[name], rtol=0.25)
        assert (again.lower.arrays()[name] < parameters.arrays()[name]).all()
        assert (again.upper.arrays()[name] > parameters.arrays()[name]).all()


def test_bootstrap_relabels_its_refits():
    x = np.random.default_rng(3).normal(0, 1, 60) + np.repeat([0, 2.2], 30)
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[2.2, 0], variances=[1, 1])
    estimate = em.fit(gm1, start, x, max_iter=50).parameters
    _, refits = uncertainty.bootstrap(
        gm1, estimate, x, n=40, rng=np.random.default_rng(0), max_iter=50
    )
    found = np.array([models.labels.matching(refits.draw(i), estimate) for i in range(40)])
    np.testing.assert_array_equal(found, np.tile([0, 1], (len(found), 1)))


def test_bootstrap_of_sequences_keeps_their_lengths_and_their_gaps():
    truth = hmm.Parameters.of(
        startprob=[0.6, 0.4],
        transmat=[[0.8, 0.2], [0.3, 0.7]],
        emissionprob=[[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]],
    )
    data = hmm.sample(truth, [20, 1, 30], np.random.default_rng(0))
    data[0][3] = hmm.MASKED
    redrawn = uncertainty._redrawn(hmm, truth, data, np.random.default_rng(1))
    assert [len(x) for x in redrawn] == [20, 1, 30]
    assert [int((x < 0).sum()) for x in redrawn] == [1, 0, 0]
    with pytest.raises(ValueError, match="a single sequence cannot be resampled"):
        uncertainty.bootstrap(
            hmm, truth, data[:1], kind="nonparametric", rng=np.random.default_rng(0)
        )


def test_the_report_gives_em_rows_intervals():
    from lockstep.comparisons import results_file
    from lockstep.comparisons.cache import Timed
    from lockstep.comparisons.implementations import implementations
    from lockstep.comparisons.judging import Judge
    from lockstep.comparisons.problem import Mode, Problem
    from lockstep.comparisons.run import Task

    for name, none in (("gmm1d-notebook", 0), ("geyser-hmm", 6)):
        scenario = scenarios()[name]
        prepared = scenario.prepare()
        problem = Problem(scenario.model, prepared.data, prepared.dims, Mode.AS_CONFIGURED, 0)
        fit = implementations()["em"].fit(problem)
        task = Task(name, "em", problem)
        (outcome,) = Judge(scenario, prepared, [(task, Timed(fit, 0.1))]).judge().outcomes
        assert outcome.interval.kind == "Wald"
        assert len(outcome.no_interval) == none
        assert results_file.encode(outcome).count(b"NaN") == 0
        if prepared.truth is not None:
            assert outcome.recovery.of == 6
            assert 0 < outcome.recovery.covered <= 6


def test_the_coverage_study_in_small(tmp_path):
    found = studies.coverage("gmm1d-notebook", 40, 0)
    assert found.names[0] == "weights[0]"
    assert found.data_sets + found.left_out == 40
    # Coverage 0.95 of 40: fewer than 30 would be a chance of 1e-6.
    assert (found.covered >= 30 / 40).all()
    page = studies.table("gmm1d-notebook", found, 0)
    assert "| `variances[1]` | 1 |" in page
    assert page.splitlines()[-1].startswith(("Every parameter", "Outside"))
    with pytest.raises(ValueError, match="has no truth"):
        studies.coverage("faithful-1d", 1, 0)
