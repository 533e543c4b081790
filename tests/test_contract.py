"""One contract for every implementation and every model: whoever is not covered here fails."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import arviz as az
import numpy as np
import pytest

from conftest import make_case
from lockstep import models
from lockstep.comparisons.alignment import matching
from lockstep.comparisons.implementations import implementations
from lockstep.comparisons.problem import Mode, Problem
from lockstep.comparisons.run import attempt
from lockstep.models.fits import PointFit, PosteriorFit, Status
from lockstep.models.records import entries

POINT = [name for name, i in implementations().items() if i.KIND == "point"]
POSTERIOR = [name for name, i in implementations().items() if i.KIND == "posterior"]


def problem(case, name, mode, n_iter=12, quick=True):
    matched = mode is Mode.MATCHED
    return Problem(
        model=name,
        data=case.data,
        dims=case.dims,
        mode=mode,
        seed=3,
        start=case.parameters if matched else None,
        n_iter=n_iter if matched else None,
        quick=quick,
    )


SUPPORTED = [
    (name, model)
    for name, implementation in implementations().items()
    for model in models.names()
    if implementation.unsupported(problem(make_case(model), model, Mode.AS_CONFIGURED, quick=False))
    is None
]


def assert_valid(name, parameters):
    """Check that parameters are in their space, up to rounding."""
    for field, array in parameters.arrays().items():
        assert np.isfinite(array).all(), field
        if field in ("weights", "startprob", "transmat", "emissionprob"):
            assert (array >= 0).all(), field
            np.testing.assert_allclose(array.sum(axis=-1), 1, rtol=1e-9)
        elif field == "variances":
            assert (array > 0).all()
        elif field == "covariances":
            np.testing.assert_allclose(array, array.mT, rtol=1e-12)
            assert (np.linalg.eigvalsh(array) > 0).all()


def test_every_model_has_its_rows_and_every_row_a_model(model_name):
    rows = {name for name, model in SUPPORTED if model == model_name}
    assert {"em", *POSTERIOR} <= rows
    assert any(name in rows for name in POINT if name != "em"), "a library to compare with"
    assert {name for name, _ in SUPPORTED} == set(implementations())


@pytest.mark.parametrize(
    ("implementation", "name"),
    [p for p in product(implementations(), models.names()) if p not in SUPPORTED],
)
def test_an_implementation_says_why_it_does_not_support_a_model(implementation, name):
    asked = problem(make_case(name), name, Mode.AS_CONFIGURED, quick=False)
    reason = implementations()[implementation].unsupported(asked)
    assert reason is not None
    assert len(reason) > 10


@pytest.mark.parametrize("implementation", POSTERIOR)
def test_posteriors_cannot_be_matched(implementation, model_name):
    case = make_case(model_name)
    assert implementations()[implementation].unsupported(problem(case, model_name, Mode.MATCHED))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("implementation", "name"), [p for p in SUPPORTED if p[0] in POINT])
def test_matched_fits_keep_lockstep_with_em(implementation, name, seed):
    case = make_case(name, seed, K=2, size=150)
    asked = problem(case, name, Mode.MATCHED)
    ours = implementations()["em"].fit(asked)
    fit = implementations()[implementation].fit(asked)
    assert isinstance(fit, PointFit)
    assert fit.iterations == 12
    for field, path in fit.path.arrays().items():
        assert len(path) == 13
        np.testing.assert_array_equal(path[0], case.parameters.arrays()[field])
        # A dozen iterations of two programs that round differently: far below any real slip.
        np.testing.assert_allclose(path, ours.path.arrays()[field], rtol=1e-9, atol=1e-10)
    assert_valid(name, fit.parameters)


@pytest.mark.parametrize(("implementation", "name"), [p for p in SUPPORTED if p[0] in POINT])
def test_point_fits_as_configured(implementation, name):
    case = make_case(name, K=2, size=150)
    asked = problem(case, name, Mode.AS_CONFIGURED)
    fit = implementations()[implementation].fit(asked)
    assert fit.status in (Status.CONVERGED, Status.ITERATION_LIMIT)
    assert fit.message
    assert_valid(name, fit.parameters)
    score = case.model.log_likelihood(fit.parameters, case.data)
    start = case.model.start(case.data, case.dims, np.random.default_rng(0))
    assert score > case.model.log_likelihood(start, case.data)
    again = implementations()[implementation].fit(asked)
    assert again.parameters == fit.parameters, "the same seed must give the same fit"


@cache
def posterior(implementation, name):
    case = make_case(name, seed=5, K=2, size=150)
    return case, implementations()[implementation].fit(problem(case, name, Mode.AS_CONFIGURED))


@pytest.mark.slow
@pytest.mark.parametrize(("implementation", "name"), [p for p in SUPPORTED if p[0] in POSTERIOR])
def test_posteriors(implementation, name):
    case, fit = posterior(implementation, name)
    assert isinstance(fit, PosteriorFit)
    chains, draws = next(iter(fit.draws.arrays().values())).shape[:2]
    assert chains * draws >= 500
    assert_valid(name, fit.draws)
    for array in fit.draws.arrays().values():
        assert array.shape[:2] == (chains, draws)
        assert np.ptp(array) > 0, "draws that do not vary are no posterior"
    # The posterior is about these data: its mean is far more likely than an arbitrary start,
    # and near the parameters that the data were drawn from.
    aligned = fit.draws.relabelled(matching(fit.draws, case.parameters))
    mean = case.model.Parameters(**{k: a.mean(axis=(0, 1)) for k, a in aligned.arrays().items()})
    at_mean = case.model.log_likelihood(mean, case.data)
    at_truth = case.model.log_likelihood(case.parameters, case.data)
    assert at_mean > at_truth - case.parameters.n_free


def test_the_posterior_by_the_e_step_is_the_stock_one(model_name):
    means, errors = [], []
    for implementation in ("pymc-nuts", "pymc-stock"):
        case, fit = posterior(implementation, model_name)
        draws = fit.draws.relabelled(matching(fit.draws, case.parameters))
        values = [
            draws.arrays()[field][(..., *index)] for _, field, index in entries(case.parameters)
        ]
        values.append(case.model.log_likelihood(fit.draws, case.data))
        means.append(np.array([value.mean() for value in values]))
        errors.append([float(value.std() / np.sqrt(az.ess(value))) for value in values])
    # A dozen figures, each within 4 of the two runs' Monte Carlo errors taken together.
    assert np.all(np.abs(means[0] - means[1]) < 4 * np.hypot(*errors))


def test_a_quick_report_does_without_the_stock_posterior(model_name):
    case = make_case(model_name)
    reason = implementations()["pymc-stock"].unsupported(
        problem(case, model_name, Mode.AS_CONFIGURED)
    )
    assert "quick" in reason


def test_the_stock_posterior_is_not_tried_on_data_that_would_take_it_hours():
    case = make_case("gaussian_mixture_1d")
    unsupported = implementations()["pymc-stock"].unsupported
    asked = replace(problem(case, case.model.NAME, Mode.AS_CONFIGURED), quick=False)
    assert unsupported(asked) is None
    large = replace(asked, data=np.zeros(20_001))
    assert unsupported(large).startswith("20,001 observations would take it long")


def test_what_goes_wrong_in_a_fit_is_returned_with_its_traceback(monkeypatch):
    case = make_case("gaussian_mixture_1d")
    asked = problem(case, "gaussian_mixture_1d", Mode.AS_CONFIGURED)

    def broken(problem):
        raise RuntimeError("the library has a bad day")

    monkeypatch.setattr(implementations()["em"], "fit", broken)
    failure = attempt("em", asked)
    assert failure.status is Status.FAILED
    assert failure.message == "RuntimeError: the library has a bad day"
    assert "in broken" in failure.traceback


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    case = make_case("gaussian_mixture_1d")

    def missing(problem):
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")

    monkeypatch.setattr(implementations()["scikit-learn"], "fit", missing)
    failure = attempt("scikit-learn", problem(case, "gaussian_mixture_1d", Mode.AS_CONFIGURED))
    assert failure.status is Status.NOT_INSTALLED
    assert "No module named 'sklearn'" in failure.message
