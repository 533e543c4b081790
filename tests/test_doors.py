"""What enters the library is checked once, taken in any form that people have it in, and refused in
words; all of it alike whether or not the compiled kernels are loaded."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

import fuzz
from conftest import make_case
from lockstep.models import categorical_hmm as hmm
from lockstep.models import chunks, em, kernels, load, uncertainty
from lockstep.models import gaussian_mixture_1d as gm1
from lockstep.models import gaussian_mixture_2d as gm2
from lockstep.models.estimators import CategoricalHMM, GaussianMixture
from lockstep.models.fits import Status
from lockstep.models.records import DegenerateError, floats

P1 = gm1.Parameters.of(weights=[0.4, 0.6], means=[-1, 1], variances=[1, 2])
P2 = gm2.Parameters.of(weights=[0.4, 0.6], means=[[0, 0], [2, 3]], covariances=[np.eye(2)] * 2)
PH = hmm.Parameters.of(
    startprob=[0.5, 0.5], transmat=[[0.7, 0.3], [0.2, 0.8]], emissionprob=[[0.2, 0.8], [0.6, 0.4]]
)
START = {"gaussian_mixture_1d": P1, "gaussian_mixture_2d": P2, "categorical_hmm": PH}
SHORT = {"max_iter": 4, "tol": -1}


@pytest.fixture(params=["loaded", "not loaded"])
def kernels_are(request, monkeypatch):
    """Run a test with the compiled kernels, and as if they were not there yet."""
    if request.param == "not loaded":
        monkeypatch.setattr(kernels, "compiled", lambda *_: None)


def whole_numbers(name, N=30):
    """Return data that any type of number holds exactly."""
    rng = np.random.default_rng(4)
    if name == "categorical_hmm":
        return rng.integers(0, 2, N)
    return rng.integers(0, 9, N if name == "gaussian_mixture_1d" else (N, 2)).astype(float)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def misaligned(array):
    return (
        np.frombuffer(b"." + array.tobytes(), np.uint8)[1:].view(array.dtype).reshape(array.shape)
    )


def frame(array):
    return pd.DataFrame(array).rename(columns=str) if array.ndim == 2 else pd.Series(array)


DRESS = {
    "Fortran order": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "a slice": lambda a: np.repeat(a, 3, axis=0)[::3],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": read_only,
    "misaligned": misaligned,
    "float16": lambda a: a.astype(np.float16),
    "float32": lambda a: a.astype(np.float32),
    "long double": lambda a: a.astype(np.longdouble),
    "uint8": lambda a: a.astype(np.uint8),
    "int16, big-endian": lambda a: a.astype(">i2"),
    "uint64": lambda a: a.astype(np.uint64),
    "objects": lambda a: a.astype(object),
    "a list": lambda a: a.tolist(),
    "nothing masked": np.ma.array,
    "pandas": frame,
    "pandas, nullable": lambda a: frame(a).convert_dtypes(),
    "pandas, Arrow": lambda a: frame(a).astype("double[pyarrow]"),
}


@pytest.mark.parametrize("way", DRESS)
@pytest.mark.parametrize("name", START)
def test_arrays_are_taken_as_people_have_them(name, way, kernels_are):
    model, array = load(name), whole_numbers(name)
    data, worn = ((array,), (DRESS[way](array),)) if model is hmm else (array, DRESS[way](array))
    plain = em.fit(model, START[name], data, **SHORT)
    np.testing.assert_array_equal(em.fit(model, START[name], worn, **SHORT).trace, plain.trace)
    first = em.fit_best(model, data, {"n_components": 2, "n_features": 2}, n_starts=2,
        rng=np.random.default_rng(0), **SHORT)  # fmt: skip
    second = em.fit_best(model, worn, {"n_components": 2, "n_features": 2}, n_starts=2,
        rng=np.random.default_rng(0), **SHORT)  # fmt: skip
    np.testing.assert_array_equal(first.trace, second.trace)
    if not isinstance(worn, pd.DataFrame):  # which is sliced by columns
        streamed = em.fit_chunks(model, START[name], chunks.rows(worn, 7), **SHORT)
        np.testing.assert_allclose(streamed.trace, plain.trace, rtol=1e-13)  # sums in parts
    information = uncertainty.observed_information(model, START[name], data)
    again = uncertainty.observed_information(model, START[name], worn)
    np.testing.assert_array_equal(information, again)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(START)),
    order=st.sampled_from("CFTS"),
    kind=st.sampled_from([">f8", "<f8", ">f4", "f2", "g", "O"]),
    swap=st.booleans(),
)
def test_parameters_are_taken_in_any_order_and_type(name, order, kind, swap, kernels_are):
    dress = {
        "C": np.asarray, "F": np.asfortranarray, "T": lambda a: np.ascontiguousarray(a.T).T,
        "S": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    }[order]  # fmt: skip
    model, data = load(name), whole_numbers(name)
    data = (data,) if model is hmm else data
    # Every value is exact in float16, so that all types hold the same.
    fields = {k: np.round(a * 8) / 8 for k, a in START[name].arrays().items()}
    fields |= {
        k: np.array([0.25, 0.75])[[int(swap), int(not swap)]]
        for k in ("weights", "startprob")
        if k in fields
    }
    for k in ("transmat", "emissionprob"):
        if k in fields:
            fields[k] = np.array([[0.25, 0.75], [0.5, 0.5]])
    plain = model.Parameters.of(**fields)
    worn = model.Parameters.of(**{k: dress(a).astype(kind) for k, a in fields.items()})
    assert worn == plain
    assert all(a.flags.c_contiguous and a.dtype.isnative for a in worn.arrays().values())
    np.testing.assert_array_equal(
        em.fit(model, worn, data, **SHORT).trace, em.fit(model, plain, data, **SHORT).trace
    )


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint16, np.uint64, ">i4", np.float32])
def test_a_masked_symbol_of_any_type_is_missing(dtype, kernels_are):
    symbols = np.random.default_rng(0).integers(0, 3, 60)
    holes = np.arange(60) % 7 == 0
    expected = CategoricalHMM(2, missing=True, random_state=0).fit(np.where(holes, -1, symbols))
    masked = np.ma.array(symbols.astype(dtype), mask=holes)
    ours = CategoricalHMM(2, missing=True, random_state=0).fit(masked)
    assert ours.monitor_.history == expected.monitor_.history
    holed = pd.Series(np.where(holes, np.nan, symbols))
    for column in (holed, holed.astype("Int64"), holed.astype("int64[pyarrow]")):
        ours = CategoricalHMM(2, missing=True, random_state=0).fit(column)
        assert ours.monitor_.history == expected.monitor_.history
    with pytest.raises(ValueError, match="Symbols should be integers"):
        CategoricalHMM(2).fit(masked)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, object])
def test_what_lies_under_a_mask_is_never_used(dtype):
    x = whole_numbers("gaussian_mixture_2d", 40)
    holes = np.zeros(x.shape, bool)
    holes[3, 1] = holes[8, 0] = True
    x[holes] = 99
    masked, holed = np.ma.array(x.astype(dtype), mask=holes), np.where(holes, np.nan, x)
    np.testing.assert_array_equal(floats(masked, "x"), holed)
    np.testing.assert_array_equal(floats(list(masked), "x"), holed)  # rows that are masked arrays
    ours, theirs = (
        GaussianMixture(2, missing=True, random_state=0).fit(a) for a in (masked, holed)
    )
    np.testing.assert_array_equal(ours.means_, theirs.means_)
    with pytest.raises(ValueError, match=r"X\[3, 1\] is nan.*missing=True"):
        GaussianMixture(2).fit(masked)


NAN, INF = np.nan, np.inf
MISFITS = [
    # model, data, message
    (hmm, (np.array([0, 1, 2]),), r"symbol 2 at step 2 of sequence 0 is not one of 0 \.\. 1"),
    (hmm, (np.array([0]), np.array([1, -2])), "symbol -2 at step 1 of sequence 1"),
    (hmm, ([0, 2**40],), "symbol 1099511627776 at step 1"),
    (hmm, (np.array([0, 2**64 - 1], np.uint64),), "symbol 18446744073709551615 at step 1"),
    (hmm, ([0.5],), r"symbol 0\.5 at step 0"),
    (hmm, ([0, INF],), "symbol inf at step 1"),
    (hmm, (np.array([], int),), r"sequence 0 has shape \(0,\)"),
    (hmm, ([0, 1], []), r"sequence 1 has shape \(0,\)"),
    (hmm, np.array([0, 1]), "wrap a single sequence in a tuple"),
    (hmm, (), "there are no sequences"),
    (hmm, None, "data are a NoneType; give a tuple"),
    (hmm, (["a", "b"],), "symbols that are no numbers: one is 'a'"),
    (gm1, np.array([1.0, INF]), r"x\[1\] is inf; every value must be finite"),
    (gm1, np.array([1.0, -1e150]), r"x\[1\] is -1e\+150; beyond 1e\+120 sums of squares overflow"),
    (gm1, np.ones((3, 1)), r"x has shape \(3, 1\)"),
    (gm1, np.array([]), "there are no observations"),
    (gm1, ["one", "two"], "x must be numbers, and one is 'one'"),
    (gm1, [1 + 1j], "these are complex128"),
    (gm1, np.array(["2020-01-01"], "M8[D]"), "these are datetime64"),
    (gm2, np.ones((3, 3)), r"x has shape \(3, 3\); the parameters are for 2 columns"),
    (gm2, np.ones(3), r"x has shape \(3,\)"),
    (gm2, [[1, 2], [3]], "rows of equal length; these are ragged"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "data", "message"), MISFITS)
def test_data_that_nobody_checked_are_refused_at_every_entrance(model, data, message, kernels_are):
    start = START[model.NAME]
    entrances = [
        lambda: em.fit(model, start, data),
        lambda: uncertainty.wald(model, start, data),
        lambda: uncertainty.observed_information(model, start, data),
        lambda: uncertainty.bootstrap(model, start, data, n=2, rng=np.random.default_rng(0)),
    ]
    if "no " not in message:  # there may be empty chunks
        entrances.append(lambda: em.fit_chunks(model, start, lambda: iter([data])))
    if "columns" not in message:  # of starts that are drawn from the data
        dims = {"n_components": 2, "n_features": 2}
        entrances.append(
            lambda: em.fit_best(model, data, dims, n_starts=1, rng=np.random.default_rng(0))
        )
    for entrance in entrances:
        with pytest.raises(ValueError, match=message):
            entrance()


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        (gm1, {"means": [0.0, NAN]}, r"means\[1\] is nan"),
        (gm1, {"variances": [1.0, -1.0]}, r"variances\[1\] is -1; it must be positive"),
        (gm1, {"weights": [0.5, 0.51]}, "weights must have .* rows that sum to 1"),
        (gm1, {"means": [0.0, 1.0, 2.0]}, r"means has shape \(3,\)"),
        (gm2, {"covariances": [[[1, 2], [2, 1]]] * 2}, "not positive definite"),
        (gm2, {"means": np.zeros((2, 3))}, "covariances has shape"),
        (hmm, {"transmat": [[NAN, NAN], [0.5, 0.5]]}, r"transmat\[0, 0\] is nan"),
        (hmm, {"startprob": [1.5, -0.5]}, "startprob must have no negative entry"),
        (hmm, {"emissionprob": [[0.6, 0.2], [0.8, 0.4]]}, "rows that sum to 1"),  # transposed
    ],
)
def test_parameters_that_are_not_sound_are_refused(model, change, message, kernels_are):
    start = model.Parameters.of(**{**START[model.NAME].arrays(), **change})
    data = whole_numbers(model.NAME)
    data = (data,) if model is hmm else data
    for entrance in (em.fit, uncertainty.wald, uncertainty.observed_information):
        with pytest.raises(ValueError, match=message):
            entrance(model, start, data)
    with pytest.raises(ValueError, match=message):
        em.fit_chunks(model, start, lambda: iter([data]))


@pytest.mark.parametrize("nothing", [None, 3, {}, np.array(5.0)])
def test_what_cannot_be_cut_is_no_data(nothing):
    with pytest.raises(TypeError, match="cannot be cut: give an array or a sequence"):
        chunks.rows(nothing)


def test_parameters_of_another_kind_are_refused():
    with pytest.raises(TypeError, match=r"of type dict; .*Parameters.of"):
        em.fit(gm1, {"weights": [1]}, np.ones(3))
    with pytest.raises(TypeError, match="gaussian_mixture_2d needs its own"):
        em.fit(gm2, P1, np.ones((3, 2)))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], r"weights have shape \(2,\); expected \(30,\)"),
        (np.full(30, -1.0), r"weights\[0\] is -1; a weight must be at least 0"),
        (np.full(30, NAN), r"weights\[0\] is nan"),
        (np.zeros(30), "every entry of weights is zero"),
        (np.full(30, 1e90), r"largest of weights is 1e\+90"),
        (np.full(30, 1e-320), "largest of weights is 9.99989e-321"),
        ("many", "weights must be numbers"),
    ],
)
def test_wrong_weights_are_refused(weights, message, kernels_are):
    x, rng = whole_numbers("gaussian_mixture_1d"), np.random.default_rng(0)
    with pytest.raises(ValueError, match=message):
        em.fit(gm1, P1, x, weights=weights)
    with pytest.raises(ValueError, match=message):
        em.fit_best(gm1, x, {"n_components": 2}, n_starts=1, rng=rng, weights=weights)
    with pytest.raises(ValueError, match=message):
        em.fit_chunks(gm1, P1, lambda: iter([x]), weights=lambda: iter([weights]))
    with pytest.raises(ValueError, match=message):
        uncertainty.wald(gm1, P1, x, weights=weights)


def test_a_tiny_weight_beside_others_changes_nothing(kernels_are):
    x = np.append(whole_numbers("gaussian_mixture_1d"), 50.0)
    tiny, none = (em.fit(gm1, P1, x, weights=np.append(np.ones(30), w)) for w in (1e-320, 0))
    np.testing.assert_allclose(tiny.trace, none.trace, rtol=1e-13)


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"max_iter": -1}, ValueError, "max_iter=-1; it must be an integer of at least 0"),
        ({"tol": "a"}, ValueError, "tol='a'; it must be a number"),
        ({"tol": NAN}, ValueError, "tol=nan"),
        ({"prior": 3}, TypeError, "prior is of type int; give gaussian_mixture_2d.Prior"),
        ({"prior": gm2.Prior.of(mean=[0, 0, 0], strength=1, df=4, scale=np.eye(2))}, ValueError,
            r"prior's mean has shape \(3,\); expected \(2,\)"),
        ({"prior": gm2.Prior.of(mean=[0, 0], strength=1, df=4, scale=-np.eye(2))}, ValueError,
            "prior's scale is no covariance"),
        ({"prior": gm2.Prior.of(mean=[0, 0], strength=-1, df=4, scale=np.eye(2))}, ValueError,
            "prior's strength must be at least 0"),
        ({"options": {"ridge": 1}}, ValueError, "knows .'covariance_type', 'reg_covar'"),
        ({"options": {"reg_covar": NAN}}, ValueError, "reg_covar=nan"),
        ({"watch": 3}, TypeError, "watch must be a function"),
    ],
)  # fmt: skip
def test_settings_that_are_none_are_refused(setting, error, message):
    x, rng = whole_numbers("gaussian_mixture_2d"), np.random.default_rng(0)
    with pytest.raises(error, match=message):
        em.fit(gm2, P2, x, **setting)
    with pytest.raises(error, match=message):
        em.fit_best(gm2, x, {"n_components": 2}, n_starts=1, rng=rng, **setting)
    with pytest.raises(error, match=message):
        em.fit_chunks(gm2, P2, lambda: iter([x]), **setting)
    with pytest.raises(error, match=message):
        uncertainty.bootstrap(gm2, P2, x, n=2, rng=rng, **setting)


def test_values_not_observed_are_summed_out_and_counted(kernels_are):
    x = whole_numbers("gaussian_mixture_1d")
    holed = x.copy()
    holed[[3, 5, 9]] = NAN
    fit = em.fit(gm1, P1, holed)
    assert fit.message.endswith("; 3 values were not observed, and are summed out")
    rest = em.fit(gm1, P1, holed[~np.isnan(holed)])
    np.testing.assert_allclose(fit.parameters.means, rest.parameters.means, rtol=1e-6)
    masked = em.fit(hmm, PH, (np.array([0, 1, -1, 0, -1]),), max_iter=3)
    assert "2 values were not observed" in masked.message
    with pytest.raises(ValueError, match=r"x\[3\] is nan.*missing=True"):
        em.fit_chunks(gm1, P1, lambda: iter([holed]))


@pytest.mark.parametrize("digits", [6, 7, 12])
def test_a_fit_goes_on_from_parameters_saved_with_few_digits(digits, model_name):
    case = make_case(model_name, seed=3)
    best = em.fit(case.model, case.parameters, case.data, max_iter=30, tol=-1).parameters
    start = type(best)(**{k: np.round(a, digits) for k, a in best.arrays().items()})
    ours = em.fit(case.model, start, case.data, max_iter=10, tol=-1)
    assert ours.status is Status.ITERATION_LIMIT
    for name in best.PROBABILITIES:
        sums = ours.path.arrays()[name][0].sum(axis=-1)
        np.testing.assert_allclose(sums, 1, rtol=0, atol=4 * 2.0**-52)
    uncertainty.wald(case.model, start, case.data)


@pytest.mark.parametrize("off", [1e-6, -3e-6, 9e-6])
def test_attributes_and_starts_off_by_rounding_are_normalised(off):
    X = np.random.default_rng(5).integers(0, 3, 4000)
    fitted = CategoricalHMM(2, random_state=0, n_iter=20).fit(X)
    warm = CategoricalHMM(2, init_params="", n_iter=5, tol=-1)
    for name in ("startprob_", "transmat_", "emissionprob_"):
        setattr(warm, name, getattr(fitted, name) * (1 + off))
    assert warm.score(X) == pytest.approx(fitted.score(X), rel=1e-12)
    assert warm.fit(X).status_ == "iteration_limit"
    x = np.random.default_rng(0).normal(0, 1, (60, 2))
    start = {"means_init": [[0, 0], [1, 1]], "precisions_init": [np.eye(2)] * 2}
    exact, rounded = (
        GaussianMixture(2, weights_init=[0.4, 0.6 + by], **start).fit(x) for by in (0, off / 10)
    )
    np.testing.assert_allclose(rounded.means_, exact.means_, atol=1e-5)
    exact.weights_ = exact.weights_ * (1 + off)
    assert exact.score(x) == pytest.approx(exact.lower_bound_, rel=1e-12)


# The estimators


def impossible(**settings):
    ours = CategoricalHMM(2, init_params="", **settings)
    ours.startprob_, ours.transmat_ = [1, 0], [[0.5, 0.5], [0, 1]]
    ours.emissionprob_ = [[1, 0], [0, 1]]
    return ours


@pytest.mark.parametrize(
    ("X", "lengths", "message"),
    [
        ([0, 1, 0], None, "sequence 0 .* symbol 0 at step 2"),
        ([1, 1], None, "sequence 0 .* symbol 1 at step 0"),
        ([0, 0, 1, 0, 1, 1, 0, 0, 1, 1], [3, 4, 3], "sequence 1 .* symbol 0 at step 3"),
    ],
)
def test_whoever_cannot_answer_names_the_impossible_sequence(X, lengths, message, kernels_are):
    ours = impossible()
    assert ours.score(X, lengths) == -INF  # the logarithm of its probability
    for method in ("predict", "decode", "predict_proba", "score_samples"):
        for algorithm in ("viterbi", "map"):
            ours.algorithm = algorithm
            with pytest.raises(
                ValueError, match=f"impossible under these parameters.*{message[-18:]}"
            ):
                getattr(ours, method)(X, lengths)


@pytest.mark.parametrize(
    ("estimator", "setting", "message"),
    [
        (GaussianMixture, {"tol": "a"}, "tol='a'"),
        (GaussianMixture, {"reg_covar": NAN}, "reg_covar=nan"),
        (GaussianMixture, {"init_params": ["kmeans"]}, "init_params="),
        (GaussianMixture, {"covariance_type": None}, "covariance_type=None"),
        (GaussianMixture, {"random_state": -1}, "random_state=-1 cannot be used to seed"),
        (GaussianMixture, {"warm_start": "yes"}, "warm_start='yes'; it must be True or False"),
        (GaussianMixture, {"verbose": None}, "verbose=None"),
        (GaussianMixture, {"means_init": [[0, 0], [1]]}, "means must be numbers in rows of equal"),
        (GaussianMixture, {"precisions_init": "a"}, "full precision must be numbers"),
        (GaussianMixture, {"n_init": 1.5}, "n_init=1.5"),
        (CategoricalHMM, {"params": "xyz"}, "params='xyz'; it must be made of the letters 's'"),
        (CategoricalHMM, {"init_params": None}, "init_params=None"),
        (CategoricalHMM, {"tol": "a"}, "tol='a'"),
        (CategoricalHMM, {"startprob_prior": [1, 2, 3]}, r"startprob_prior has shape \(3,\)"),
        (CategoricalHMM, {"transmat_prior": np.ones((3, 2))}, "transmat_prior has shape"),
        (CategoricalHMM, {"emissionprob_prior": "flat"}, "emissionprob_prior must be numbers"),
        (CategoricalHMM, {"startprob_prior": NAN}, "startprob_prior has the value nan"),
        (CategoricalHMM, {"random_state": 2**40}, "cannot be used to seed"),
        (CategoricalHMM, {"missing": "no"}, "missing='no'"),
        (
            CategoricalHMM,
            {"n_features": 10**12},
            "2 states and 1000000000000 symbols need",
        ),
        (CategoricalHMM, {"n_components": 10**6}, "8e[+]03 GB"),
    ],
)
def test_every_setting_is_told_what_was_expected(estimator, setting, message):
    X = whole_numbers("gaussian_mixture_2d") if estimator is GaussianMixture else [0, 1, 1, 0, 1]
    with pytest.raises(ValueError, match=message):
        estimator(**{"n_components": 2, **setting}).fit(X)


@pytest.mark.parametrize("symbol", [10**8, 10**9, 2**62])
def test_an_absurd_symbol_asks_for_no_memory(symbol):
    with pytest.raises(ValueError, match="LabelEncoder"):
        CategoricalHMM(2).fit([0, 1, symbol])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[0, 1], [1, 0, 1]], "X must be numbers in rows of equal length; these are ragged"),
        (["sun", "rain"], "Symbols should be integers, but X holds <U4"),
        ([0, None], "Symbols should be integers"),
    ],
)
def test_symbols_of_no_shape_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        CategoricalHMM(2).fit(X)


@pytest.mark.parametrize("state", [-1, 2, "a", 0.5])
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises(ValueError, match="currstate"):
        impossible().sample(3, currstate=state)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("scale", [1e-140, 1.0, 1e90])
@pytest.mark.parametrize("far", [1e20, -1e99, 1e120])
def test_probabilities_of_finite_rows_are_never_nan(kind, scale, far):
    x = np.random.default_rng(0).normal(0, 1, (50, 2)) + 5 * (np.arange(50) % 2)[:, None]
    ours = GaussianMixture(2, covariance_type=kind, random_state=0).fit(x)
    ours.means_ = ours.means_ * scale
    ours.covariances_ = ours.covariances_ * scale**2 if scale >= 1 else ours.covariances_ * scale
    X = np.array([[far, far], [0, far], [far, 0], [0, 0]])
    proba = ours.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(ours.predict(X), proba.argmax(axis=1))


def test_of_rows_too_far_for_a_density_the_nearest_component_is_certain():
    p = gm1.Parameters.of(weights=[0.3, 0.7, 0], means=[0, 10, 50], variances=[1e-290, 4e-290, 1e9])
    r = gm1.responsibilities(p, np.array([-1e50, 1e50, 3.0, 9.0]))
    # In standard deviations 9 is nearer to 10, and 3 to 10 as well: 3 against 3.5.
    np.testing.assert_array_equal(r, [[0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]])
    same = gm1.Parameters.of(weights=[0.3, 0.7], means=[0, 0], variances=[1e-290, 1e-290])
    np.testing.assert_allclose(
        gm1.responsibilities(same, np.array([1e50])), [[0.3, 0.7]], rtol=1e-12
    )


def test_information_beyond_double_precision_is_no_nan():
    p = gm1.Parameters.of(weights=[0.4, 0.6], means=[0, 1], variances=[1e-200, 1e-200])
    for entrance in (uncertainty.observed_information, uncertainty.wald):
        with np.errstate(all="ignore"), pytest.raises(DegenerateError, match="overflows"):
            entrance(gm1, p, whole_numbers("gaussian_mixture_1d"))


# Weights in scores


@pytest.mark.parametrize("kind", ["full", "spherical"])
def test_scores_of_weighted_rows_are_those_of_the_copies(kind):
    rng = np.random.default_rng(1)
    x, w = rng.normal(0, 1, (60, 2)), rng.integers(0, 4, 60)
    ours = GaussianMixture(2, covariance_type=kind, random_state=0, reg_covar=0).fit(
        x, sample_weight=w
    )
    copies = np.repeat(x, w, axis=0)
    assert ours.score(x, sample_weight=w) == pytest.approx(ours.score(copies), rel=1e-12)
    assert ours.lower_bound_ == pytest.approx(ours.score(x, sample_weight=w), rel=1e-12)
    assert ours.aic(x, sample_weight=w) == pytest.approx(ours.aic(copies), rel=1e-12)
    assert ours.bic(x, sample_weight=w) == pytest.approx(ours.bic(copies), rel=1e-12)
    shares = ours.score_samples(x, sample_weight=w)
    np.testing.assert_allclose(shares, w * ours.score_samples(x), rtol=1e-12)


def test_scores_of_weighted_sequences_are_those_of_the_copies():
    rng = np.random.default_rng(1)
    X, lengths, w = rng.integers(0, 3, 60), [10, 20, 30], [2, 0, 3]
    parts = np.split(X, [10, 30])
    copies, long = np.concatenate([parts[0]] * 2 + [parts[2]] * 3), [10, 10, 30, 30, 30]
    ours = CategoricalHMM(2, random_state=0).fit(X, lengths)
    for method in ("score", "aic", "bic"):
        weighted = getattr(ours, method)(X, lengths, sample_weight=w)
        assert weighted == pytest.approx(getattr(ours, method)(copies, long), rel=1e-12)
    log_prob, posteriors = ours.score_samples(X, lengths, sample_weight=w)
    assert log_prob == pytest.approx(ours.score(copies, long), rel=1e-12)
    assert posteriors.shape == (60, 2)


@pytest.mark.parametrize("seed", range(3))
def test_bic_of_a_histogram_chooses_as_that_of_its_data(seed):
    r = np.random.default_rng(seed)
    v = np.round(np.r_[r.normal(0, 1, 1500), r.normal(4, 1, 500)], 1)
    values, counts = np.unique(v, return_counts=True)
    bins, data = [], []
    for K in (1, 2, 3):
        start = {
            "weights_init": np.full(K, 1 / K),
            "means_init": np.linspace(0, 4, K)[:, None],
            "precisions_init": np.ones((K, 1, 1)),
        }
        ours = GaussianMixture(K, **start, tol=1e-6, max_iter=3000, reg_covar=0)
        ours.fit(values[:, None], sample_weight=counts)
        bins.append(ours.bic(values[:, None], sample_weight=counts))
        data.append(ours.bic(v[:, None]))
        if K == 1:  # against scipy: a normal with two parameters
            logs = norm.logpdf(v, v.mean(), v.std()).sum()
            assert bins[0] == pytest.approx(2 * np.log(2000) - 2 * logs, rel=1e-10)
    np.testing.assert_allclose(bins, data, rtol=1e-10)


# Whatever else


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(fuzz.calls)
def test_random_calls_end_in_results_or_in_words(made):
    _, call, _ = made
    fuzz.sound(call)
