"""The prior, stated once: words, draws, density, graph and coordinates say the same."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from conftest import make_case
from lockstep.comparisons.implementations import _pymc
from lockstep.models import bayesian, load, names
from lockstep.models.priors import Dirichlet, Gamma, InverseGamma, InverseWishart, Normal

# The same closed form in another order: some tens of terms, each to 1e-16.
RTOL = 1e-10

FAMILIES = {
    "Dirichlet": (Dirichlet(2.5), (2, 4)),
    "Normal": (Normal(1.7), (3, 2)),
    "ordered": (Normal(0.6, ordered=True), (3,)),
    "Gamma": (Gamma(2.2, 0.4), (3,)),
    "InverseGamma": (InverseGamma(1.5, 0.05), (3,)),
    "InverseWishart": (InverseWishart(2.0, 0.1), (2, 3, 3)),
    "InverseWishart in one dimension": (InverseWishart(2.0, 0.1), (2, 1, 1)),
}


def by_scipy(family, value):
    match family:
        case Dirichlet(a):
            return sum(stats.dirichlet(np.full(len(row), a)).logpdf(row) for row in value)
        case Normal(sd, in_order):
            orders = 6 if in_order else 1  # of three numbers
            return stats.norm(0, sd).logpdf(value).sum() + np.log(orders)
        case Gamma(a, b):
            return stats.gamma(a, scale=1 / b).logpdf(value).sum()
        case InverseGamma(a, b):
            return stats.invgamma(a, scale=b).logpdf(value).sum()
        case InverseWishart():
            D = value.shape[-1]
            wishart = stats.invwishart(D + family.beyond, family.scale * np.eye(D))
            return sum(wishart.logpdf(matrix) for matrix in value)
    raise AssertionError(family)


@pytest.mark.parametrize("name", FAMILIES)
def test_density_is_scipys(name):
    family, shape = FAMILIES[name]
    for value in family.draw(shape, 20, np.random.default_rng(3)):
        np.testing.assert_allclose(family.log_density(value), by_scipy(family, value), rtol=RTOL)


@pytest.mark.parametrize("name", FAMILIES)
def test_draws_have_the_distribution_of_the_density(name):
    """Importance weights from another member of the family average to one."""
    family, shape = FAMILIES[name]
    near = {
        Dirichlet: lambda f: Dirichlet(f.concentration * 1.1),
        Normal: lambda f: Normal(f.sd * 0.93, f.ordered),
        Gamma: lambda f: Gamma(f.shape * 1.1, f.rate),
        InverseGamma: lambda f: InverseGamma(f.shape * 1.1, f.scale),
        InverseWishart: lambda f: InverseWishart(f.beyond * 1.1, f.variance),
    }[type(family)](family)
    n = 4000
    drawn = family.draw(shape, n, np.random.default_rng(5))
    weights = np.exp([near.log_density(v) - family.log_density(v) for v in drawn])
    # 5 standard errors: false once in 10^6.
    assert abs(weights.mean() - 1) < 5 * weights.std() / np.sqrt(n)
    assert weights.std() > 0.05  # the two differ


@pytest.mark.parametrize("name", FAMILIES)
def test_coordinates_are_those_of_the_graph(name):
    import pymc as pm
    import pytensor

    family, shape = FAMILIES[name]
    value = family.draw(shape, 1, np.random.default_rng(7))[0]
    with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""), _pymc.quiet():
        with pm.Model() as graph:
            found = family.variables("theta", "theta", shape)
        point = family.coordinates("theta", value)
        assert set(point) == {v.name for v in graph.value_vars}
        (back,) = graph.compile_fn(graph.replace_rvs_by_values([found["theta"]]))(point)
    np.testing.assert_allclose(back, value, rtol=1e-9)


@pytest.mark.parametrize("name", names())
def test_the_models_prior_is_on_the_scale_that_it_says(name):
    """A change of the data's unit and origin moves the density by nothing, on its own scale."""
    case = make_case(name, K=2)
    prior = bayesian.prior_of(case.model)
    drawn = bayesian.draws(name, case.dims, case.data, 5, np.random.default_rng(1))
    for i in range(5):
        density = bayesian.log_density(name, drawn.draw(i), case.data)
        assert np.isfinite(density)
        if prior.standardised:
            moved = 3.0 * np.asarray(case.data) + 50.0
            spaces = drawn.SPACES
            columns = np.atleast_1d(np.full(np.shape(case.data)[1:], 3.0))
            scale = columns if np.ndim(case.data) == 2 else 3.0
            there = type(drawn)(
                **{f: spaces[f].rescaled(a, 50.0, scale) for f, a in drawn.draw(i).arrays().items()}
            )
            again = bayesian.log_density(name, there, moved)
            np.testing.assert_allclose(again, density, rtol=1e-9)


@pytest.mark.parametrize("constant", [0.0, -1.0, np.inf, np.nan])
@pytest.mark.parametrize(
    "family", [Dirichlet, Normal, lambda c: Gamma(c, 1), lambda c: Gamma(1, c)]
)
def test_an_improper_prior_is_refused(family, constant):
    with pytest.raises(ValueError, match="that prior is improper"):
        family(constant)


def test_a_covariance_needs_an_expectation():
    with pytest.raises(ValueError, match="beyond is 1"):
        InverseWishart(beyond=1, variance=0.1)


def test_words():
    assert bayesian.describe("gaussian_mixture_1d") == {
        "weights": "Dirichlet(2, ..., 2)",
        "means": "Normal(0, sd 2) in units of the data's sd about its mean, in increasing order",
        "variances": "inverse gamma(shape 1.5, scale 0.05) in units of the data's variance",
    }
    assert bayesian.describe("gaussian_mixture_2d")["covariances"] == (
        "inverse Wishart(D + 2 degrees of freedom, expectation 0.1 I) "
        "for columns scaled to variance 1"
    )
    assert bayesian.describe("categorical_hmm")["transmat"] == "each row Dirichlet(1, ..., 1)"
    assert load("categorical_hmm").NAME == "categorical_hmm"
