"""Whatever the unit, the offset and the relative size: what is sound is fitted, what is not named.

Right answers are closed forms (clusters so far apart that responsibilities are 0 and 1),
scikit-learn's fits where its arithmetic is right, and the same data in another unit.
"""

import tracemalloc
import warnings
from functools import partial

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs

from lockstep.models import em, kernels, load, singularity
from lockstep.models import gaussian_mixture_1d as gm1
from lockstep.models import gaussian_mixture_2d as gm2
from lockstep.models.estimators import GaussianMixture
from lockstep.models.gaussian_mixture_2d import diagonal as mixture_diagonal
from lockstep.models.records import CollapseError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PAIR = {"n_components": 2}
CENTURY = 3.15e9  # seconds


@pytest.fixture(params=["compiled", "readable"])
def how(request, monkeypatch):
    """Each test with compiled functions, and without."""
    if request.param == "readable":
        monkeypatch.setattr(kernels, "compiled", lambda *_: None)
    else:
        kernels.compiled("mixture_kernels")
    return request.param


def apart(fit, right):
    """Return the largest difference in the units of the model's `change`."""
    return right.change(fit)


def fit_model(parameters):
    return gm1 if isinstance(parameters, gm1.Parameters) else gm2


def clusters(rng, *places):
    """Return groups of values, for (mean, sd, number)."""
    return [rng.normal(mean, sd, number) for mean, sd, number in places]


def closed_form(parts):
    """Return weights, means and variances of groups that do not overlap, and the likelihood."""
    number = sum(map(len, parts))
    weights = [len(v) / number for v in parts]
    value = sum(
        len(v) * np.log(w) + scipy.stats.norm(v.mean(), v.std()).logpdf(v).sum()
        for v, w in zip(parts, weights)
    )
    right = gm1.Parameters.of(
        weights=weights, means=[v.mean() for v in parts], variances=[v.var() for v in parts]
    )
    return right, value


APART = {
    "two bursts, months apart": [(0, 1, 200), (2e7, 1, 200)],
    "pulses, in picoseconds": [(-4e12, 3, 80), (5e12, 40, 120)],
    "years and ages of rocks": [(1990, 12, 150), (3.1e9, 2e8, 90)],
    "a narrow line on a wide one's flank": [(0, 1e-9, 100), (40, 1, 100)],
    "widths that differ by 1e12": [(0, 1, 120), (1e13, 1e12, 60)],
}


@pytest.mark.parametrize("places", APART.values(), ids=list(APART))
def test_clusters_far_apart_or_of_very_different_widths_are_sound(places, how):
    parts = clusters(np.random.default_rng(1), *places)
    right, value = closed_form(parts)
    x = gm1.check_data(np.concatenate(parts), PAIR)
    start = gm1.Parameters.of(
        weights=[0.5, 0.5],
        means=[v[0] for v in parts],
        variances=[4 * v.var() for v in parts],
    )
    fit = em.fit(gm1, start, x)
    assert fit.status == "converged", fit.message
    # Rounding of values at 5e12 is 1e-3 of a sd; the mean is the sum of so rounded deviations.
    assert apart(fit.parameters, right) < 1e-9 + 4 * gm1.rounding(right)
    assert fit.trace[-1] == pytest.approx(value, rel=1e-9)
    assert gm1.collapsed(fit.parameters, x) is None
    ours = GaussianMixture(
        2, weights_init=start.weights, means_init=start.means[:, None], reg_covar=0,
        precisions_init=1 / start.variances[:, None, None],
    ).fit(x[:, None])  # fmt: skip
    assert ours.converged_
    assert ours.score(x[:, None]) * len(x) == pytest.approx(value, rel=1e-9)


def test_a_mean_that_comes_from_afar_is_resolved_in_the_next_iteration(how):
    # In the first M-step second moments of 1e22 cancel to variances of 1.
    parts = clusters(np.random.default_rng(3), (-50, 1, 50), (50, 2, 70))
    x = np.concatenate(parts)
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[-1e11, 1e11], variances=[1e12, 1e12])
    plane = gm2.Parameters.of(
        weights=start.weights,
        means=np.column_stack([start.means, -start.means]),
        covariances=start.variances[:, None, None] * np.eye(2),
    )
    fit = em.fit(gm1, start, x)
    assert fit.status == "converged"
    assert apart(fit.parameters, closed_form(parts)[0]) < 1e-8
    both = em.fit(gm2, plane, np.column_stack([x, -x + np.random.default_rng(0).normal(size=120)]))
    assert both.status == "converged"
    np.testing.assert_allclose(both.parameters.means[:, 0], fit.parameters.means, rtol=1e-9)


WORLDS = {
    "incomes": lambda r: np.exp(r.normal(10.5, 1.0, (300, 1))),
    "years": lambda r: np.r_[r.normal(1890, 6, (150, 1)), r.normal(1990, 20, (150, 1))],
    "pixels": lambda r: np.c_[r.uniform(0, 4096, 200), r.uniform(0, 2160, 200)],
    "Unix seconds": lambda r: 1.7e9 + r.normal([[0], [4e6]], 1e6, (2, 120)).reshape(-1, 1),
    "populations and areas": lambda r: np.exp(r.normal([13, 8], [2, 1], (200, 2))),
    "an outlier": lambda r: np.r_[r.normal(0, 2000, (200, 1)), [[60000.0]]],
}


@pytest.mark.slow
@pytest.mark.parametrize("make", WORLDS.values(), ids=list(WORLDS))
@pytest.mark.parametrize("settings", [{"n_components": 4}, {"init_params": "k-means++"}], ids=str)
def test_default_settings_fit_what_scikit_learn_fits(make, settings):
    settings = {"n_components": 2} | settings | {"random_state": 0, "max_iter": 1000, "tol": 1e-6}
    for seed in range(5):
        X = make(np.random.default_rng(seed))
        ours, theirs = (G(**settings).fit(X) for G in (GaussianMixture, Theirs))
        assert ours.status_ in ("converged", "log_likelihood_fell")
        if "init_params" not in settings:  # one row a component may leave the choice to rounding
            # Two points in a plane with a ridge have a covariance that magnifies rounding.
            magnified = gm2.rounding(gm2.Parameters(ours.weights_, ours.means_, ours.covariances_))
            assert ours.score(X) == pytest.approx(theirs.score(X), abs=1e-5 + magnified)


SPIKES = {
    "a price": (19.99, 10, (40, 8)),
    "zeros": (0.0, 10, (3, 1)),
    "zeros within": (0.0, 30, (0, 1)),
    "a ceiling": (4095.0, 25, (3000, 300)),
    "a time": (1.7e9, 12, (1.7e9 + 5e5, 1e5)),
    "a tiny constant": (-3e-80, 12, (1e-79, 1e-80)),
}


@pytest.mark.parametrize("spike", SPIKES.values(), ids=list(SPIKES))
def test_a_component_on_one_repeated_value_is_a_collapse_in_any_unit(spike, how):
    value, times, (mean, sd) = spike
    x = np.r_[np.full(times, value), np.random.default_rng(0).normal(mean, sd, 100)]
    start = gm1.Parameters.of(
        weights=[0.9, 0.1], means=[mean, value], variances=[sd**2, sd**2 / 1e4]
    )
    plane = gm2.Parameters(start.weights, start.means[:, None], start.variances[:, None, None])
    fits = em.fit(gm1, start, x), em.fit(gm2, plane, x[:, None])
    for fit in fits:
        assert fit.status == "degenerate"
        assert fit.message.startswith("component 1 collapsed")
        assert f"{value:.6g}" in fit.message
        assert fit.iterations < 100
    # Scikit-learn's variance of rounding, a ridge's, and any that EM would shrink.
    for variance in (1e-30 * sd**2, 1e-6 * sd**2, 1e-4 * sd**2):
        there = gm1.Parameters.of(
            weights=[0.9, 0.1], means=[mean, value], variances=[sd**2, variance]
        )
        assert gm1.collapsed(there, x).startswith("component 1 collapsed onto a point")


def test_neighbouring_doubles_are_one_value_and_close_values_are_two(how):
    wide = np.random.default_rng(0).normal(0, 1, 50)
    start = gm1.Parameters.of(weights=[0.5, 0.5], means=[10, 0], variances=[1e-10, 1])
    fit = em.fit(gm1, start, np.r_[wide, np.tile([10.0, np.nextafter(10, 11)], 5)])
    assert (fit.status, fit.message[:21]) == ("degenerate", "component 0 collapsed")
    fit = em.fit(gm1, start, np.r_[wide, np.tile([10.0, 10 + 1e-9], 5)])
    assert fit.status == "converged"
    assert fit.parameters.variances[0] == pytest.approx(0.25e-18, rel=1e-5)  # 10 has 1e-15


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_component_on_a_line_is_a_collapse_and_a_thin_one_is_none(scale, how):
    rng = np.random.default_rng(2)
    along, cloud = rng.normal(0, 1e-4, 60), rng.normal(9, 2, (60, 2))
    start = gm2.Parameters.of(
        weights=[0.5, 0.5], means=np.array([[0, 0], [9, 9]]) * scale,
        covariances=np.array([1e-6 * np.eye(2), 4 * np.eye(2)]) * scale**2,
    )  # fmt: skip
    flat = scale * np.r_[np.c_[along, 3 * along], cloud]
    fit = em.fit(gm2, start, flat)
    assert (fit.status, fit.message[:21]) == ("degenerate", "component 0 collapsed")
    thin = flat + 1e-9 * scale * np.r_[rng.normal(size=(60, 2)), np.zeros((60, 2))]
    fit = em.fit(gm2, start, thin)
    assert fit.status == "converged"
    np.testing.assert_allclose(
        fit.parameters.covariances[0], np.cov(thin[:60].T, bias=True), rtol=1e-9
    )
    assert gm2.collapsed(fit.parameters, thin) is None


def test_a_ridge_holds_a_component_and_collapsed_still_says_so():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(0, 3000, (100, 2)), np.full((8, 2), 2e4)]
    ours, theirs = (G(2, random_state=0, tol=1e-8).fit(X) for G in (GaussianMixture, Theirs))
    assert ours.converged_
    assert ours.score(X) == pytest.approx(theirs.score(X), abs=1e-6)
    there = gm2.Parameters(theirs.weights_, theirs.means_, theirs.covariances_)
    k = int(theirs.means_[:, 0].argmax())
    assert gm2.collapsed(there, X).startswith(
        f"component {k} collapsed: the covariance about [20000"
    )
    # A ridge is nothing beside the rounding of nanoseconds since 1970.
    times = np.r_[1.7e18 + rng.normal(0, 1e9, 100), np.full(8, 1.7e18 + 1e12)][:, None]
    with pytest.raises(ValueError, match=r"ill-defined.*reg_covar=1e-06 is lost in the rounding"):
        GaussianMixture(2, random_state=0).fit(times)
    assert GaussianMixture(2, random_state=0, reg_covar=1e12).fit(times).converged_


def test_the_component_named_is_the_one_that_collapsed():
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(0, 1, 100), np.full(5, 3.25), 1e9 * rng.normal(5, 1, 30)]
    start = gm1.Parameters.of(
        weights=[0.3, 0.4, 0.3], means=[5e9, 0, 3.25], variances=[1e18, 1, 1e-4]
    )
    fit = em.fit(gm1, start, x)
    assert fit.message.startswith("component 2 collapsed onto a point: its variance fell to")
    assert " at 3.25" in fit.message


def test_sound_parameters_are_not_collapsed_and_a_lost_component_is_no_singularity():
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(0, 1, 100), rng.normal(6, 1, 100)]
    make = partial(gm1.Parameters.of, weights=[0.5, 0.5])
    for means, variances in (([0, 6], [1, 1]), ([0, 1e6], [1, 1]), ([2, 4], [9, 0.5])):
        assert gm1.collapsed(make(means=means, variances=variances), x) is None
    assert "component 1" in gm1.collapsed(make(means=[0, 6], variances=[1, 0]), x)
    assert "component 0" in gm1.collapsed(make(means=[1, 6], variances=[np.nan, 1]), x)
    square = gm2.Parameters.of(weights=[1], means=[[0, 0]], covariances=[[[1, 1], [1, 1]]])
    assert "component 0" in gm2.collapsed(square, rng.normal(size=(9, 2)))
    hmm = load("categorical_hmm")
    p = hmm.Parameters.of(startprob=[1], transmat=[[1]], emissionprob=[[1, 0]])
    assert singularity(load("categorical_hmm"), p, (np.zeros(4, np.int64),)) is None


OFFSETS = {
    "Unix nanoseconds": (1.7e18, 1e9),
    "milliseconds since 1970": (1.7e12, 0.02),
    "a depth in nanometres": (-4e12, 1e3),
    "1e12 standard deviations": (1e12, 1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("offset", OFFSETS.values(), ids=list(OFFSETS))
@pytest.mark.parametrize("model", [gm1, gm2], ids=["1d", "2d"])
def test_far_from_zero_a_fit_converges_as_far_as_the_data_are_resolved(model, offset, how):
    far, unit = offset
    x = np.random.default_rng(4).normal([[0], [3.0]], 1, (2, 150)).ravel()
    if model is gm2:
        x = np.c_[x, np.random.default_rng(5).normal(size=300)]
    shifted = far + unit * x
    start = model.start(shifted, PAIR, np.random.default_rng(0))
    fit = em.fit(model, start, shifted)
    assert fit.status == "converged", fit.message
    assert fit.iterations < 2000
    # The data as rounded, moved back: differences of near doubles are exact.
    there = (shifted - far) / unit
    back = dict(start.arrays())
    back["means"] = (back["means"] - far) / unit
    last = "variances" if model is gm1 else "covariances"
    back[last] = back[last] / unit**2
    near = em.fit(model, model.Parameters(**back), there)
    found = dict(fit.parameters.arrays())
    found["means"] = (found["means"] - far) / unit
    found[last] = found[last] / unit**2
    # EM closes about a twentieth of the distance an iteration here.
    assert near.parameters.change(model.Parameters(**found)) < (
        1e-6 + 200 * model.rounding(fit.parameters)
    )


@pytest.mark.parametrize("share", [1e-3, 1e-5, 3e-6])
def test_near_collinear_columns_converge(share, how):
    rng = np.random.default_rng(6)
    x = rng.normal([[0, 0], [6, 1]], 1, (150, 2, 2)).reshape(-1, 2)
    x = np.c_[x, x @ [1, -2] + share * rng.normal(size=300)]
    fit = em.fit(gm2, gm2.start(gm2.check_data(x, PAIR), PAIR, rng), x)
    assert fit.status == "converged", fit.message
    assert fit.iterations < 1000


def test_a_fall_that_is_none_of_rounding_is_still_one():
    x = 1e9 + np.random.default_rng(0).normal([[0], [4]], 1, (2, 100)).ravel()
    start = gm1.start(x, PAIR, np.random.default_rng(1))
    worse = lambda old, new: gm1.Parameters(new.weights, new.means, 1.001 * new.variances)  # noqa: E731
    fit = em.fit(gm1, em.fit(gm1, start, x).parameters, x, update=worse)
    assert fit.status == "log_likelihood_fell"


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    power=st.floats(-100, 100),
    shift=st.floats(-1e5, 1e5),
    seed=st.integers(0, 7),
    flip=st.booleans(),
    plane=st.booleans(),
)
def test_fits_follow_a_change_of_unit_and_origin(power, shift, seed, flip, plane):
    rng = np.random.default_rng(seed)
    a = (-1 if flip else 1) * 2.0 ** round(power * np.log2(10))  # exact but for the shift
    x = rng.normal([[0], [5]], [[1], [0.3]], (2, 60)).ravel()
    if seed % 4 == 3:
        x[:7] = 2.5  # some collapse
    model, last = (gm2, "covariances") if plane else (gm1, "variances")
    x = np.c_[x, rng.normal(size=120)] if plane else x
    shifted = x + shift
    start = model.start(shifted, PAIR, np.random.default_rng(seed))
    if seed % 4 == 3 and not plane:
        start = gm1.Parameters([0.1, 0.9], [2.5 + shift, 2 + shift], [1e-2, 9.0])
    scaled = dict(start.arrays())
    scaled["means"], scaled[last] = a * start.means, a * a * scaled[last]
    here = em.fit(model, start, shifted, max_iter=400)
    there = em.fit(model, model.Parameters(**scaled), a * shifted, max_iter=400)
    assert here.status == there.status
    assert here.iterations == there.iterations
    back = dict(there.parameters.arrays())
    back["means"], back[last] = back["means"] / a, back[last] / a / a
    if here.status == "converged":
        assert here.parameters.change(model.Parameters(**back)) < 1e-12


@pytest.mark.parametrize("unit", [1e200, 1e-200, 1e160, 1e-150])
def test_a_unit_whose_squares_are_no_doubles_is_refused(unit):
    x = unit * np.random.default_rng(0).normal(size=(50, 2))
    for model, data in ((gm1, x[:, 0]), (gm2, x)):
        with pytest.raises(ValueError, match=r"(choose|in) another unit"):
            model.check_data(data, PAIR)
    if unit > 1:
        for kind in ("full", "diag"):
            with pytest.raises(ValueError, match=r"give the data in another unit"):
                GaussianMixture(2, covariance_type=kind).fit(x)


# Diagonal covariances as vectors


def as_full(p):
    return gm2.Parameters(p.weights, p.means, p.variances[:, :, None] * np.eye(p.means.shape[1]))


@pytest.mark.parametrize("kind", ["diag", "spherical"])
@pytest.mark.parametrize(
    "extra", ["plain", "weights", "prior", "missing", "leaps", "ridge", "all at once"]
)
def test_vectors_of_variances_are_the_model_with_matrices(kind, extra, how):
    rng = np.random.default_rng(7)
    x = rng.normal([[0, 0, 0], [3, -2, 1]], [[1, 2, 0.5], [1, 1, 3]], (90, 2, 3)).reshape(-1, 3)
    every = extra == "all at once"
    if extra == "missing" or every:
        x[rng.random(x.shape) < 0.2] = np.nan
    weights = rng.uniform(0, 2, len(x)) if extra == "weights" or every else None
    prior = gm2.Prior.defaults(x, 2) if extra == "prior" or every else None
    start = mixture_diagonal.Parameters([0.5, 0.5], [[0, 0, 0], [1, -1, 1]], np.full((2, 3), 4.0))
    common = {
        "weights": weights,
        "accelerate": extra == "leaps" or every,
        "options": {"covariance_type": kind, "reg_covar": 0.1 if extra == "ridge" else 0.0},
        "max_iter": 25,
        "tol": -1,
    }
    short = None if prior is None else mixture_diagonal.Prior(prior)
    ours = em.fit(mixture_diagonal, start, x, prior=short, **common)
    right = em.fit(gm2, as_full(start), x, prior=prior, **common)
    assert ours.details.get("leaps", 0) > 0 or extra not in ("leaps", "all at once")
    np.testing.assert_allclose(ours.trace, right.trace, rtol=1e-12)
    # A leap multiplies a difference in the last digit.
    assert right.parameters.change(as_full(ours.parameters)) < 1e-10
    one = kernels.Expectation(mixture_diagonal, x, weights)(start)[0]
    whole = gm2.e_step(as_full(start), x, weights)[0]
    for a, b in ((one.counts, whole.counts), (one.first, whole.first),
                 (one.second, np.diagonal(whole.second, axis1=1, axis2=2))):  # fmt: skip
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["diag", "spherical"])
def test_many_columns_take_no_matrices(kind):
    D, rng = 3000, np.random.default_rng(0)
    X = rng.normal(size=(60, D)) + np.repeat([0, 1], 30)[:, None]
    small = {"random_state": 0, "covariance_type": kind, "max_iter": 20}
    tracemalloc.start()
    ours = GaussianMixture(2, **small).fit(X)
    ours.partial_fit([X[:30], X[30:]])
    ours.sample(5)
    ours.bic(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * D * D / 4  # one matrix is 72 MB; the data are 1.4
    ours, theirs = (G(2, **small).fit(X) for G in (GaussianMixture, Theirs))
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-10)
    np.testing.assert_allclose(ours.precisions_, theirs.precisions_, rtol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_a_diagonal_collapse_names_component_and_column():
    X = np.r_[np.random.default_rng(0).normal(0, 1, (40, 3)), np.full((9, 3), [7.0, 8.0, 9.0])]
    X[40:, 1] += np.linspace(0, 1, 9)
    start = {"weights_init": [0.8, 0.2], "means_init": [[0, 0, 0], [7, 8, 9]],
             "precisions_init": np.ones((2, 3))}  # fmt: skip
    with pytest.warns(ConvergenceWarning, match=r"component 1 collapsed in column 0: .* at 7"):
        ours = GaussianMixture(2, covariance_type="diag", reg_covar=0, **start).fit(X)
    assert ours.status_ == "degenerate"
    with pytest.raises(CollapseError, match="component 1 collapsed in column 0"):
        mixture_diagonal.refuse_collapsed(
            mixture_diagonal.Parameters([1, 1], np.zeros((2, 2)), [[1, 1], [0, 1]])
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = GaussianMixture(2, covariance_type="diag", **start, warm_start=True).fit(X)
    ours.covariances_ = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"covariances_ must be positive, but has 0"):
        ours.fit(X)
