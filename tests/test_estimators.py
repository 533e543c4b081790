"""The estimators: a peer's results in the peer's place, and what the peers' users asked for."""

from __future__ import annotations

import itertools
import pickle
import warnings

import numpy as np
import pytest
from hmmlearn.hmm import CategoricalHMM as TheirHMM
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as TheirMixture
from sklearn.utils.estimator_checks import check_estimator

from lockstep.comparisons.scenarios import scenarios
from lockstep.models import chunks, gaussian_mixture_2d
from lockstep.models.estimators import COVARIANCE_TYPES, CategoricalHMM, GaussianMixture

# hmmlearn's own
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape on a NumPy array")

MIXTURE = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
HMM = ("startprob_", "transmat_", "emissionprob_")


def apart(one, other, names):
    return max(np.abs(getattr(one, a) - getattr(other, a)).max() for a in names)


def normal(rng, mean, covariance, number):
    """By Cholesky: the generator's own factor has signs that vary with the machine."""
    return mean + rng.standard_normal((number, len(mean))) @ np.linalg.cholesky(covariance).T


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    left = normal(rng, [0, 0, 0], np.eye(3) + 0.5, 60)
    right = normal(rng, [3, 1, 2], np.diag([1, 2, 0.5]), 90)
    return rng.permutation(np.vstack([left, right]))


@pytest.fixture(scope="module")
def start():
    return {
        "weights_init": [0.5, 0.5],
        "means_init": [[0.0, 0, 0], [3, 3, 3]],
        "precisions_init": np.stack([np.eye(3), np.eye(3)]),
    }


def chain(seed=0, T=300, V=3):
    return np.random.default_rng(seed).integers(V, size=(T, 1))


LENGTHS = [100, 1, 149, 50]


# In the place of scikit-learn's


@pytest.mark.slow
def test_scikit_learn_accepts_it_as_an_estimator():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a check that needs another array library is skipped
        ours = check_estimator(GaussianMixture(), on_fail="raise")
        theirs = check_estimator(TheirMixture(), on_fail="raise")
    passed = {c["check_name"] for c in ours if c["status"] == "passed"}
    assert passed >= {c["check_name"] for c in theirs if c["status"] == "passed"}
    assert {c["status"] for c in ours} <= {"passed", "skipped"}


@pytest.mark.parametrize(
    ("kind", "init"),
    [
        *((kind, "kmeans") for kind in COVARIANCE_TYPES),
        *((kind, "random") for kind in COVARIANCE_TYPES),
        ("full", "k-means++"),
        ("full", "random_from_data"),
    ],
)
def test_the_same_seed_gives_scikit_learns_fit(X, kind, init):
    settings = {"covariance_type": kind, "init_params": init, "random_state": 4}
    theirs, ours = TheirMixture(2, **settings).fit(X), GaussianMixture(2, **settings).fit(X)
    assert apart(theirs, ours, MIXTURE) < 1e-9
    assert (theirs.n_iter_, theirs.converged_) == (ours.n_iter_, ours.converged_)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.aic(X) == pytest.approx(theirs.aic(X), rel=1e-12)
    assert ours.bic(X) == pytest.approx(theirs.bic(X), rel=1e-12)
    drawn, of = ours.sample(20)
    np.testing.assert_allclose(drawn, theirs.sample(20)[0], atol=1e-7)
    np.testing.assert_array_equal(of, theirs.sample(20)[1])


def test_a_plateau_is_not_the_end():
    rng = np.random.RandomState(0)
    left = normal(rng, [0, 0, 0], np.eye(3) + 0.5, 100)
    X = np.vstack([left, normal(rng, [3, 1, 2], np.diag([1, 2, 0.5]), 150)])
    settings = {"init_params": "random", "random_state": 0}  # components that hardly differ
    theirs, ours = TheirMixture(2, **settings).fit(X), GaussianMixture(2, **settings).fit(X)
    assert theirs.converged_
    assert theirs.n_iter_ == 2
    assert ours.score(X) > theirs.score(X) + 0.1


def test_a_tied_start_is_within_the_data(X):
    # scikit-learn divides the scatter of all N rows by K: a start of enormous covariance.
    settings = {"covariance_type": "tied", "init_params": "k-means++", "random_state": 2}
    theirs, ours = TheirMixture(2, **settings).fit(X), GaussianMixture(2, **settings).fit(X)
    assert ours.score(X) > theirs.score(X) + 0.05


def test_the_bound_is_that_of_the_parameters_returned(X):
    ours = GaussianMixture(2, random_state=0).fit(X)
    assert ours.lower_bound_ == pytest.approx(ours.score(X), rel=1e-14)
    assert ours.lower_bounds_[-1] == ours.lower_bound_
    assert len(ours.lower_bounds_) == ours.n_iter_
    theirs = TheirMixture(2, random_state=0).fit(X)
    assert theirs.lower_bound_ < theirs.score(X)  # one M-step behind


def test_a_fall_is_not_convergence():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(0, 1, 50), rng.normal(3, 1, 50)][:, None]
    # From the maximum, a ridge on the variances can only lower the likelihood.
    best = GaussianMixture(2, reg_covar=0, tol=1e-12, max_iter=3000, random_state=0).fit(X)
    start = {f"{a}_init": getattr(best, f"{a}_") for a in ("weights", "means", "precisions")}
    theirs = TheirMixture(2, **start, reg_covar=0.1).fit(X)
    with pytest.warns(ConvergenceWarning, match="the log-likelihood fell by 0.0006"):
        ours = GaussianMixture(2, **start, reg_covar=0.1).fit(X)
    assert apart(ours, theirs, MIXTURE) < 1e-9
    assert theirs.converged_
    assert not ours.converged_
    assert ours.status_ == "log_likelihood_fell"


def test_the_limit_is_not_convergence(X):
    with pytest.warns(ConvergenceWarning, match="limit of 2 iterations"):
        ours = GaussianMixture(2, max_iter=2, random_state=0).fit(X)
    assert (ours.status_, ours.converged_, ours.n_iter_) == ("iteration_limit", False, 2)


def test_a_collapse_names_its_component_and_keeps_the_fit():
    X = np.r_[np.random.default_rng(0).normal(0, 1, 50), 30.0, 30.0][:, None]
    with pytest.warns(ConvergenceWarning, match=r"component 1 collapsed.*30"):
        ours = GaussianMixture(
            2, reg_covar=0, means_init=[[0], [30]], weights_init=[0.5, 0.5],
            precisions_init=[[[1.0]], [[1.0]]],
        ).fit(X)  # fmt: skip
    assert ours.status_ == "degenerate"
    assert np.isfinite(ours.score(X))


def test_no_start_at_all_is_an_error_that_names_the_component():
    settings = {"reg_covar": 0, "init_params": "random_from_data"}
    with pytest.raises(ValueError, match=r"ill-defined.*component 0 collapsed"):
        GaussianMixture(5, **settings).fit(np.eye(5))
    with pytest.raises(ValueError, match=r"ill-defined.*collapsed"):
        GaussianMixture(2, reg_covar=0).fit([[0.0, 1], [1, 1], [3, 1], [4, 1]])


def test_a_start_without_a_likelihood_is_an_error_that_says_why(X):
    ours = GaussianMixture(2, random_state=0, warm_start=True).fit(X)
    ours.covariances_ = np.zeros((2, 3, 3))
    with pytest.raises(ValueError, match=r"ill-defined.*a covariance is not positive definite"):
        ours.fit(X)


def test_the_hit_rate_says_how_many_starts_found_the_best():
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(c, 0.4, (30, 2)) for c in ((0, 0), (4, 0), (0, 4), (4, 4))])
    settings = {"init_params": "random_from_data", "tol": 1e-6, "max_iter": 2000}
    many = GaussianMixture(4, n_init=12, random_state=0, **settings).fit(X)
    rng = np.random.RandomState(0)
    single = [GaussianMixture(4, random_state=rng, **settings).fit(X) for _ in range(12)]
    bounds = np.array([one.lower_bound_ for one in single])
    assert many.lower_bound_ == bounds.max()
    assert many.hit_rate_ == np.mean(bounds >= bounds.max() - 1e-6)
    assert 0 < many.hit_rate_ < 1


def test_a_warm_start_goes_on_where_the_last_fit_ended(X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        steps = GaussianMixture(2, warm_start=True, max_iter=1, tol=0, random_state=0)
        for _ in range(5):
            steps.fit(X)
        whole = GaussianMixture(2, max_iter=5, tol=0, random_state=0).fit(X)
    assert apart(steps, whole, MIXTURE) < 1e-12


# What mixtures' users asked for


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_an_integer_weight_is_that_many_copies_and_zero_is_none(X, start, kind):
    weights = np.random.default_rng(2).integers(0, 4, len(X))
    settings = {**start, "covariance_type": kind}
    settings["precisions_init"] = {
        "full": np.stack([np.eye(3)] * 2), "tied": np.eye(3), "diag": np.ones((2, 3)),
        "spherical": np.ones(2),
    }[kind]  # fmt: skip
    weighted = GaussianMixture(2, **settings).fit(X, sample_weight=weights)
    copied = GaussianMixture(2, **settings).fit(np.repeat(X, weights, axis=0))
    assert apart(weighted, copied, MIXTURE) < 1e-12
    assert weighted.lower_bound_ == pytest.approx(copied.lower_bound_, rel=1e-12)


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
def test_a_row_of_weight_zero_is_as_if_deleted_from_any_start(X, init):
    weights = np.r_[np.zeros(20), np.ones(len(X) - 20)]
    settings = {"init_params": init, "random_state": 0}
    weighted = GaussianMixture(2, **settings).fit(X, sample_weight=weights)
    deleted = GaussianMixture(2, **settings).fit(X[20:])
    assert apart(weighted, deleted, MIXTURE) < 1e-12


def test_nan_is_refused_with_a_way_out(X):
    holed = X.copy()
    holed[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"X\[3, 1\] is nan.*missing=True"):
        GaussianMixture(2).fit(holed)
    with pytest.raises(ValueError, match=r"X\[3, 1\] is nan"):
        GaussianMixture(2).fit(X).predict(holed)
    with pytest.raises(ValueError, match=r"X\[3, 1\] is nan"):  # a mask is never lost
        GaussianMixture(2).fit(np.ma.masked_invalid(holed))


def test_a_missing_coordinate_is_integrated_out(X):
    holed = X.copy()
    holed[np.random.default_rng(3).random(X.shape) < 0.2] = np.nan
    holed[0] = np.nan
    ours = GaussianMixture(2, missing=True, random_state=0, tol=1e-6).fit(holed)
    assert ours.converged_
    # The density of what is seen is the marginal's, component by component.
    marginals = np.zeros(len(X))
    for n, row in enumerate(holed):
        seen = ~np.isnan(row)
        if seen.any():
            marginal = TheirMixture(2)
            marginal.weights_, marginal.means_ = ours.weights_, ours.means_[:, seen]
            covariances = ours.covariances_[:, seen][:, :, seen]
            marginal.precisions_cholesky_ = np.stack(
                [np.linalg.inv(np.linalg.cholesky(c)).T for c in covariances]
            )
            marginal.n_features_in_ = seen.sum()
            marginals[n] = marginal.score_samples(row[None, seen])[0]
    # A row without any value has the logarithm of the weights' sum, 0 up to rounding.
    np.testing.assert_allclose(ours.score_samples(holed), marginals, rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(ours.predict_proba(holed)[0], ours.weights_, rtol=1e-12)
    masked = GaussianMixture(2, missing=True, random_state=0, tol=1e-6).fit(
        np.ma.masked_invalid(holed)
    )
    assert apart(ours, masked, MIXTURE) == 0


def test_a_prior_keeps_components_from_collapsing():
    X = np.r_[np.random.default_rng(0).normal(0, 1, 50), 30.0, 30.0][:, None]
    prior = gaussian_mixture_2d.Prior.defaults(X, 2)
    ours = GaussianMixture(
        2, reg_covar=0, means_init=[[0], [30]], prior=prior, tol=1e-8, max_iter=1000
    ).fit(X)
    assert ours.status_ == "converged"
    assert ours.covariances_.min() > 1e-3
    assert np.diff(ours.lower_bounds_).min() > -1e-12


def stream(X, start, source, passes, **settings):
    ours = GaussianMixture(2, **start, **settings)
    for _ in range(passes):
        ours.partial_fit(source())
    return ours


@pytest.mark.parametrize("form", ["array", "chunks", "list", "npy", "parquet", "arrow"])
def test_data_larger_than_memory_give_the_fit_in_memory(X, start, form, tmp_path):
    paths = {f: tmp_path / f"x.{f}" for f in ("npy", "parquet", "arrow")}
    if form == "npy":
        np.save(paths["npy"], X)
    elif form in ("parquet", "arrow"):
        import pyarrow
        from pyarrow import feather, parquet

        table = pyarrow.table({f"x{d}": X[:, d] for d in range(3)})
        if form == "parquet":
            parquet.write_table(table, paths["parquet"], row_group_size=40)
        else:
            feather.write_feather(table, str(paths["arrow"]))
    sources = {
        "array": lambda: X,
        "chunks": lambda: iter([X[:7], X[7:100], X[100:]]),
        "list": lambda: X.tolist(),
    }
    source = sources.get(form, lambda: paths[form])
    streamed = stream(X, start, source, 6)
    with pytest.warns(ConvergenceWarning):
        memory = GaussianMixture(2, **start, max_iter=6, tol=0).fit(X)
    assert apart(streamed, memory, MIXTURE) < 1e-12
    assert streamed.n_iter_ == 6
    np.testing.assert_allclose(streamed.lower_bounds_[1:], memory.lower_bounds_[:-1], rtol=1e-12)
    assert not hasattr(streamed, "lower_bound_")


def test_streaming_holds_no_more_than_a_chunk(start):
    largest = 0

    class Source:
        shape = (3 * chunks.ROWS, 3)

        def __len__(self):
            return self.shape[0]

        def __getitem__(self, rows):
            nonlocal largest
            begin, end, _ = rows.indices(self.shape[0])
            largest = max(largest, end - begin)
            return np.random.default_rng(begin).normal(size=(end - begin, 3))

    ours = GaussianMixture(2, **start).partial_fit(Source())
    assert largest == chunks.ROWS
    assert ours.n_iter_ == 1


def test_streaming_converges_and_takes_weights(X, start):
    weights = np.random.default_rng(2).integers(0, 4, len(X))
    ours = GaussianMixture(2, **start)
    for _ in range(100):
        ours.partial_fit(iter([X[:50], X[50:]]), sample_weight=weights)
        if ours.converged_:
            break
    memory = GaussianMixture(2, **start).fit(X, sample_weight=weights)
    assert ours.n_iter_ == memory.n_iter_
    assert apart(ours, memory, MIXTURE) < 1e-12
    with pytest.raises(ValueError, match="the chunks have 150 rows"):
        ours.partial_fit(X, sample_weight=np.ones(200))


def test_a_spent_iterator_is_an_error_not_an_empty_fit(X, start):
    chunks = iter([X])
    ours = GaussianMixture(2, **start).partial_fit(chunks)
    with pytest.raises(ValueError, match="spent after one pass"):
        ours.partial_fit(chunks)


def test_samples_have_the_moments_of_the_mixture(X):
    for kind in COVARIANCE_TYPES:
        ours = GaussianMixture(2, covariance_type=kind, random_state=0).fit(X)
        drawn, of = ours.sample(200_000)
        # Six standard errors: a false failure of 2e-9 per number.
        np.testing.assert_allclose(
            np.bincount(of) / len(of), ours.weights_, atol=6 * 0.5 / np.sqrt(len(of))
        )
        for k in range(2):
            mine = drawn[of == k]
            if kind in ("diag", "spherical"):
                covariance = np.eye(3) * ours.covariances_[k]
            else:
                covariance = np.broadcast_to(ours.covariances_, (2, 3, 3))[k]
            sd = np.sqrt(covariance.max())
            error = 6 / np.sqrt(len(mine))
            np.testing.assert_allclose(mine.mean(axis=0), ours.means_[k], atol=error * sd)
            np.testing.assert_allclose(np.cov(mine.T), covariance, atol=1.5 * error * sd**2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_components": 0}, "n_components=0; it must be an integer of at least 1"),
        ({"n_components": 2.0}, "n_components=2.0; it must be an integer"),
        ({"tol": -1}, "tol=-1; it must be a number of at least 0"),
        ({"covariance_type": "round"}, "'full', 'tied', 'diag', 'spherical'"),
        ({"init_params": "best"}, "init_params='best'; it must be one of"),
        ({"weights_init": [0.5, 0.6]}, r"sum\(weights\) = 1.10000: divide"),
        ({"weights_init": [-0.5, 1.5]}, "but got max value 1.50000, min value -0.50000"),
        ({"means_init": [[0.0, 0.0]]}, r"should have the shape of \(2, 3\), but got \(1, 2\)"),
        ({"precisions_init": -np.stack([np.eye(3)] * 2)}, "symmetric, positive-definite"),
        ({"n_components": 151}, "n_components = 151, n_samples = 150"),
    ],
)
def test_a_bad_setting_is_told_what_was_expected(X, settings, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(**{"n_components": 2, **settings}).fit(X)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], r"shape \(2,\); 150 rows need shape \(150,\)"),
        (-np.ones(150), r"sample_weight\[0\] is -1.0; .*not negative"),
        (np.full(150, np.nan), r"sample_weight\[0\] is nan"),
        (np.zeros(150), "nothing is left to fit"),
    ],
)
def test_a_bad_weight_is_told_what_was_expected(X, weights, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(2).fit(X, sample_weight=weights)


def test_an_infinite_value_is_found(X):
    with pytest.raises(ValueError, match=r"X\[0, 0\] is inf; every value must be finite"):
        GaussianMixture(2, missing=True).fit(np.vstack([[np.inf, 0, 0], X]))


# In the place of hmmlearn's


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_iter": 200, "tol": 1e-4},
        {"n_iter": 20, "params": "te"},
        {"n_iter": 20, "tol": -1, "transmat_prior": 2.0, "startprob_prior": 3.0,
         "emissionprob_prior": 1.5},
    ],
)  # fmt: skip
@pytest.mark.parametrize("implementation", ["log", "scaling"])
def test_the_same_seed_gives_hmmlearns_fit(seed, settings, implementation):
    X = chain(seed)
    settings = {**settings, "random_state": seed, "implementation": implementation}
    theirs, ours = TheirHMM(3, **settings).fit(X, LENGTHS), CategoricalHMM(3, **settings)
    ours.fit(X, LENGTHS)
    assert apart(theirs, ours, HMM) < 1e-9
    assert theirs.monitor_.iter == ours.monitor_.iter
    assert ours.score(X, LENGTHS) == pytest.approx(theirs.score(X, LENGTHS), rel=1e-11)
    np.testing.assert_allclose(
        ours.predict_proba(X, LENGTHS), theirs.predict_proba(X, LENGTHS), atol=1e-9
    )
    assert ours.decode(X, LENGTHS)[0] == pytest.approx(theirs.decode(X, LENGTHS)[0], rel=1e-11)
    assert ours.bic(X, LENGTHS) == pytest.approx(theirs.bic(X, LENGTHS), rel=1e-11)
    assert ours.aic(X, LENGTHS) == pytest.approx(theirs.aic(X, LENGTHS), rel=1e-11)
    for a, b in zip(ours.sample(30, random_state=1), theirs.sample(30, random_state=1)):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(
        ours.get_stationary_distribution(), theirs.get_stationary_distribution(), atol=1e-9
    )


def test_the_monitor_tells_convergence_from_the_limit():
    X = chain()
    theirs = TheirHMM(3, random_state=0, n_iter=3, tol=0).fit(X)
    ours = CategoricalHMM(3, random_state=0, n_iter=3, tol=0).fit(X)
    assert theirs.monitor_.converged
    assert not ours.monitor_.converged
    assert ours.status_ == "iteration_limit"
    assert ours.monitor_.history[-1] == pytest.approx(ours.score(X), rel=1e-12)
    assert theirs.monitor_.history[-1] < theirs.score(X)  # one M-step behind
    assert CategoricalHMM(3, random_state=0, n_iter=500).fit(X).monitor_.converged


def given(**more):
    ours = CategoricalHMM(2, init_params="", **more)
    ours.startprob_ = np.array([0.6, 0.4])
    ours.transmat_ = np.array([[0.7, 0.3], [0.4, 0.6]])
    ours.emissionprob_ = np.array([[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]])
    return ours


def paths(ours, symbols):
    """Return every hidden path with its joint probability; -1 is a symbol not seen."""
    found = {}
    for path in itertools.product(range(2), repeat=len(symbols)):
        p = ours.startprob_[path[0]]
        for t, (z, x) in enumerate(zip(path, symbols)):
            p *= ours.transmat_[path[t - 1], z] if t else 1
            p *= 1 if x == -1 else ours.emissionprob_[z, x]
        found[path] = p
    return found


@pytest.mark.parametrize("symbols", [[0, 1, 2], [2], [1, 1, 0, 2, 0, 1, 2, 2], [0, -1, -1, 2, 1]])
def test_decoding_is_that_of_enumeration(symbols):
    ours = given(missing=True)
    all_paths = paths(ours, symbols)
    log_prob, path = ours.decode(symbols, algorithm="viterbi")
    assert tuple(path) == max(all_paths, key=all_paths.get)
    assert log_prob == pytest.approx(np.log(max(all_paths.values())), rel=1e-12)
    total = sum(all_paths.values())
    posterior = [
        [sum(p for z, p in all_paths.items() if z[t] == i) / total for i in range(2)]
        for t in range(len(symbols))
    ]
    log_prob, path = ours.decode(symbols, algorithm="map")
    np.testing.assert_array_equal(path, np.argmax(posterior, axis=1))
    assert log_prob == pytest.approx(np.log(all_paths[tuple(path)]), rel=1e-12)
    np.testing.assert_allclose(ours.predict_proba(symbols), posterior, rtol=1e-12)
    assert ours.score(symbols) == pytest.approx(np.log(total), rel=1e-12)


def test_the_path_of_single_steps_may_be_impossible_and_says_so():
    ours = CategoricalHMM(3, n_features=1)
    ours.startprob_, ours.emissionprob_ = [0.4, 0.3, 0.3], np.ones((3, 1))
    ours.transmat_ = [[0, 0.5, 0.5], [0, 0, 1], [0, 0, 1]]
    log_prob, path = ours.decode([0, 0], algorithm="map")
    assert path.tolist() == [0, 2]
    ours.transmat_ = [[0, 1, 0], [0, 0, 1], [0, 0, 1]]
    log_prob, path = ours.decode([0, 0], algorithm="map")
    assert path.tolist() == [0, 2]
    assert log_prob == -np.inf
    assert np.isfinite(ours.decode([0, 0])[0])


def short_sequences(number, **settings):
    """Return hmmlearn's estimator, ours with the same parameters, and sequences of 5 to 20."""
    rng = np.random.default_rng(number)
    lengths = rng.integers(5, 21, number)
    X = rng.integers(4, size=(lengths.sum(), 1))
    rows = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3), 3), rng.dirichlet(np.ones(4), 3)
    both = TheirHMM(3, implementation="scaling"), CategoricalHMM(3, n_features=4, **settings)
    for model in both:
        model.startprob_, model.transmat_, model.emissionprob_ = rows
        model.n_features = 4
    return *both, X, lengths


def test_many_short_sequences_are_hmmlearns():
    theirs, ours, X, lengths = short_sequences(400)
    assert ours.score(X, lengths) == pytest.approx(theirs.score(X, lengths), rel=1e-12)
    for (value, gamma), (their_value, their_gamma) in [
        (ours.score_samples(X, lengths), theirs.score_samples(X, lengths)),
        (ours.decode(X, lengths), theirs.decode(X, lengths)),
    ]:
        assert value == pytest.approx(their_value, rel=1e-12)
        if gamma.ndim == 2:  # paths may be as probable as one another
            np.testing.assert_allclose(gamma, their_gamma, atol=1e-12)


@pytest.mark.parametrize("number", [1, 7, 90])
def test_many_sequences_at_once_are_one_after_the_other(number):
    _, ours, X, lengths = short_sequences(number, missing=True)
    X[::5] = -1
    parts = np.split(X, np.cumsum(lengths)[:-1])
    total = sum(ours.score(part) for part in parts)
    assert ours.score(X, lengths) == pytest.approx(total, rel=1e-14)
    np.testing.assert_array_equal(
        ours.predict_proba(X, lengths), np.concatenate([ours.predict_proba(p) for p in parts])
    )
    for algorithm in ("viterbi", "map"):
        values, paths = zip(*(ours.decode(part, algorithm=algorithm) for part in parts))
        value, path = ours.decode(X, lengths, algorithm=algorithm)
        assert value == pytest.approx(sum(values), rel=1e-14)
        np.testing.assert_array_equal(path, np.concatenate(paths))


@pytest.mark.parametrize("bad", [0, 40, 89])
def test_one_impossible_sequence_among_many_is_named(bad):
    _, ours, X, lengths = short_sequences(90)
    ours.emissionprob_ = np.array([[0.5, 0.5, 0, 0], [0.2, 0.8, 0, 0], [0.6, 0.4, 0, 0]])
    X %= 2
    X[np.cumsum(lengths)[bad] - 1] = 3
    assert ours.score(X, lengths) == -np.inf
    with pytest.raises(ValueError, match=f"sequence {bad} is impossible .* symbol 3 at step"):
        ours.predict_proba(X, lengths)


# What hidden Markov models' users asked for


def test_sequences_of_length_one_leave_the_transitions_proper():
    X = chain(T=40)
    ours = CategoricalHMM(2, random_state=0).fit(X, np.ones(40, dtype=int))
    np.testing.assert_allclose(ours.transmat_.sum(axis=1), 1)
    np.testing.assert_allclose(TheirHMM(2, random_state=0).fit(X, np.ones(40, int)).transmat_, 0)
    # With one step a mixture of categoricals: only the symbols' shares are determined.
    np.testing.assert_allclose(
        ours.startprob_ @ ours.emissionprob_, np.bincount(X[:, 0]) / 40, rtol=1e-12
    )


def test_symbols_not_in_training_need_only_n_features():
    ours = CategoricalHMM(2, n_features=4, random_state=0).fit(chain())
    assert ours.emissionprob_.shape == (2, 4)
    assert ours.score([[3]]) == -np.inf  # possible to ask; maximum likelihood says never
    smoothed = CategoricalHMM(2, n_features=4, emissionprob_prior=2, random_state=0).fit(chain())
    assert np.isfinite(smoothed.score([[3]]))
    with pytest.raises(ValueError, match=r"Largest symbol is 3 .* up to 2: give n_features=4"):
        CategoricalHMM(2, random_state=0).fit(chain()).score([[3]])
    with pytest.raises(ValueError, match="symbol 3 at step 1 has probability zero"):
        ours.predict_proba([[0], [3]])


def test_a_masked_symbol_contributes_no_emission():
    X = chain()
    X[5:9] = -1
    ours = CategoricalHMM(2, missing=True, n_iter=50, random_state=0).fit(X)
    masked = CategoricalHMM(2, missing=True, n_iter=50, random_state=0).fit(
        np.ma.array(X, mask=X < 0)
    )
    assert apart(ours, masked, HMM) == 0
    assert np.diff(ours.monitor_.history).min() > -1e-9
    with pytest.raises(ValueError, match="nonnegative, but X has -1; missing=True"):
        CategoricalHMM(2).fit(X)


def test_a_sequences_weight_is_that_many_copies():
    X, weights = chain(), [2, 0, 1, 3]
    parts = np.split(X, np.cumsum(LENGTHS)[:-1])
    copies = [p for p, w in zip(parts, weights) for _ in range(w)]
    settings = {"n_iter": 30, "random_state": 0}
    weighted = CategoricalHMM(2, **settings).fit(X, LENGTHS, sample_weight=weights)
    copied = CategoricalHMM(2, **settings).fit(np.concatenate(copies), [len(c) for c in copies])
    assert apart(weighted, copied, HMM) < 1e-10


def test_several_starts_keep_the_best_and_say_how_many_reached_it():
    X = np.random.RandomState(42).choice(3, size=100)  # the weather example: no structure
    settings = {"n_iter": 3000, "tol": 1e-6}
    ours = CategoricalHMM(2, n_init=8, random_state=0, **settings).fit(X)
    assert ours.score(X) == pytest.approx(-104.1572, abs=1e-3)
    assert 0 < ours.hit_rate_ < 1
    first = CategoricalHMM(2, random_state=0, **settings).fit(X)
    assert ours.score(X) >= first.score(X)


def test_zeros_of_a_left_right_model_stay_zero_under_a_prior():
    ours = CategoricalHMM(2, init_params="e", transmat_prior=2, startprob_prior=2, random_state=0)
    ours.startprob_, ours.transmat_ = [1.0, 0.0], [[0.8, 0.2], [0.0, 1.0]]
    ours.fit(chain(T=50))
    assert ours.startprob_.tolist() == [1, 0]
    assert ours.transmat_[1].tolist() == [0, 1]
    assert 0 < ours.transmat_[0, 1] < 1


def test_a_start_that_would_be_overwritten_is_not_silently():
    ours = given()
    ours.init_params = "s"
    with pytest.warns(UserWarning, match="startprob_ was set.*leave 's' out of init_params"):
        ours.fit(chain())


@pytest.mark.slow
def test_a_long_sequence_neither_underflows_nor_takes_long():
    ours = given()
    X, _ = ours.sample(200_000, random_state=0)
    assert np.isfinite(ours.score(X))
    np.testing.assert_allclose(ours.predict_proba(X).sum(axis=1), 1, rtol=1e-9)
    assert np.isfinite(ours.decode(X)[0])


def test_an_hmms_samples_have_the_models_frequencies():
    ours = given()
    X, z = ours.sample(100_000, random_state=0)
    share = ours.get_stationary_distribution()
    np.testing.assert_allclose(share @ ours.transmat_, share, rtol=1e-12)
    # Six standard errors; the chain's correlation at most doubles the variance.
    np.testing.assert_allclose(np.bincount(z) / len(z), share, atol=6 * 0.5 * 2 / np.sqrt(len(z)))
    seen = np.zeros((2, 3))
    np.add.at(seen, (z, X[:, 0]), 1)
    np.testing.assert_allclose(
        seen / seen.sum(axis=1, keepdims=True), ours.emissionprob_, atol=6 * 0.5 / np.sqrt(4e4)
    )
    assert ours.sample(3, random_state=0, currstate=1)[1][0] == 1


@pytest.mark.parametrize(
    ("X", "lengths", "message"),
    [
        ([[0.0], [1.0]], None, r"integers, but X holds float64: X.astype\(int\)"),
        ([[0, 1], [1, 0]], None, r"X has shape \(2, 2\); symbols need shape \(T, 1\)"),
        ([], None, r"X has shape \(0,\)"),
        ([[0], [1]], [1, 2], "lengths sum to 3, but X has 2 steps"),
        ([[0], [1]], [2, 0], "integers of at least 1"),
        ([[0], [1]], [0.5, 1.5], "integers of at least 1"),
    ],
)
def test_bad_sequences_are_told_what_was_expected(X, lengths, message):
    with pytest.raises(ValueError, match=message):
        CategoricalHMM(2).fit(X, lengths)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"startprob_": [0.6, 0.6]}, r"startprob_ must have .* rows that sum to 1, but the sums"),
        ({"transmat_": [[1.5, -0.5], [0, 1]]}, "no negative entry"),
        ({"emissionprob_": np.eye(2)}, r"emissionprob_ has shape \(2, 2\); expected \(2, 3\)"),
    ],
)
def test_bad_probabilities_are_told_what_was_expected(change, message):
    ours = given(n_features=3)
    for name, value in change.items():
        setattr(ours, name, value)
    with pytest.raises(ValueError, match=message):
        ours.score([[0]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_components": 0}, "n_components=0"),
        ({"algorithm": "best"}, "algorithm='best'; it must be one of 'viterbi', 'map'"),
        ({"implementation": "fast"}, "implementation='fast'"),
        ({"transmat_prior": 0.5}, "transmat_prior has the value 0.5"),
    ],
)
def test_a_bad_setting_of_an_hmm_is_told_what_was_expected(settings, message):
    with pytest.raises(ValueError, match=message):
        CategoricalHMM(**{"n_components": 2, **settings}).fit(chain())


# Both


@pytest.mark.parametrize("reg_covar", [0, 1e-6])
def test_a_mixtures_leaps_reach_the_same_optimum_in_fewer_iterations(reg_covar):
    prepared = scenarios()["gmm2d-notebook"].prepare()  # a long plateau
    start = prepared.start
    settings = {
        "weights_init": start.weights,
        "means_init": start.means,
        "precisions_init": np.linalg.inv(start.covariances),
        "reg_covar": reg_covar,
        "tol": 1e-9,
    }
    plain = GaussianMixture(2, **settings).fit(prepared.data)
    fast = GaussianMixture(2, **settings, accelerate=True).fit(prepared.data)
    assert plain.converged_
    assert fast.converged_
    assert fast.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-8)
    assert apart(fast, plain, ("weights_", "means_", "covariances_")) < 1e-3
    assert fast.n_iter_ < 0.6 * plain.n_iter_
    assert fast.lower_bound_ == pytest.approx(fast.score(prepared.data), rel=1e-14)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_leaps_keep_to_the_covariance_type(X, kind):
    settings = {"covariance_type": kind, "random_state": 0, "reg_covar": 0, "tol": 1e-10}
    plain = GaussianMixture(2, **settings).fit(X)
    fast = GaussianMixture(2, **settings, accelerate=True).fit(X)
    assert fast.n_iter_ < plain.n_iter_
    assert fast.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-9)
    assert fast.lower_bound_ == pytest.approx(fast.score(X), rel=1e-14)


def test_an_hmms_leaps_hold_what_is_held():
    symbols = chain()
    fits = []
    for accelerate in (False, True):
        ours = CategoricalHMM(
            3, init_params="e", params="te", transmat_prior=2, random_state=0, n_iter=3000,
            tol=1e-8, accelerate=accelerate,
        )  # fmt: skip
        ours.startprob_ = np.array([0.7, 0.3, 0])
        ours.transmat_ = np.array([[0.8, 0.2, 0], [0, 0.8, 0.2], [0.2, 0, 0.8]])
        zeros = ours.transmat_ == 0
        fits.append(ours.fit(symbols))
        assert ours.monitor_.converged
        assert ours.startprob_.tolist() == [0.7, 0.3, 0]
        np.testing.assert_array_equal(ours.transmat_ == 0, zeros)
        assert np.diff(ours.monitor_.history).min() > -1e-9
    plain, fast = (ours.monitor_ for ours in fits)
    assert fast.iter < 0.5 * plain.iter
    assert fast.history[-1] == pytest.approx(plain.history[-1], abs=1e-4)


def test_estimators_survive_pickling_and_cloning(X):
    fitted = [
        (GaussianMixture(2, random_state=0).fit(X), X, MIXTURE),
        (CategoricalHMM(2, random_state=0).fit(chain()), chain(), HMM),
    ]
    for ours, data, names in fitted:
        again = pickle.loads(pickle.dumps(ours))
        assert apart(ours, again, names) == 0
        assert again.score(data) == ours.score(data)
        fresh = clone(ours)
        assert fresh.get_params() == ours.get_params()
        assert not any(hasattr(fresh, name) for name in names)
        assert apart(fresh.fit(data), ours, names) == 0
