"""The E-step as a gradient: against autodiff, its compiled twin and quadrature."""

from __future__ import annotations

import warnings

import arviz as az
import numpy as np
import nutpie
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from nutpie.compiled_pyfunc import from_pyfunc
from pymc.logprob.utils import ParameterValueError
from pytensor.gradient import NullTypeGradError
from scipy import stats
from scipy.special import expit

from lockstep.models import fisher, load, names, part
from lockstep.models.categorical_hmm import graph as graph_hmm
from lockstep.models.categorical_hmm import stock as stock_hmm
from lockstep.models.gaussian_mixture_1d import graph as graph_1d
from lockstep.models.gaussian_mixture_2d import graph as graph_2d

# Sums of some tens of terms in another order.
RTOL = 1e-10

TWINS = {
    "gaussian_mixture_1d": (graph_1d.GaussianMixture1D(), graph_1d._score_1d),
    "gaussian_mixture_2d": (graph_2d.GaussianMixture(), graph_2d._score_2d),
    "by_precisions": (graph_2d.GaussianMixtureByPrecisions(), graph_2d._score_by_precisions),
    "categorical_hmm": (graph_hmm.CategoricalHMM(), graph_hmm._score_hmm),
}
SEQUENCES = (np.array([0, 2, 1, 1, 2, 0, 1, 2]), np.array([3, 5]))


@pytest.fixture
def interpreted():
    with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""):
        yield


def arguments(name, seed, K, D=2):
    """Return random parameters as the Op takes them, and data: D coordinates, or symbols."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(K, 3.0))
    if name == "gaussian_mixture_1d":
        return [weights, rng.normal(0, 2, K), rng.uniform(0.3, 2, K)], [rng.normal(0, 3, 20)]
    if name in ("gaussian_mixture_2d", "by_precisions"):
        factors = np.tril(rng.normal(0, 0.5, (K, D, D)), -1) + np.eye(D) * rng.uniform(0.5, 2, D)
        factors = factors.mT if name == "by_precisions" else factors
        return [weights, rng.normal(0, 2, (K, D)), factors], [rng.normal(0, 3, (20, D))]
    rows = [rng.dirichlet(np.ones(n), size=K) for n in (K, D)]
    return [weights, *rows], [rng.integers(-1, D, 20).astype(np.int32), np.array([12, 1, 7])]


def in_python(op, inputs):
    storage = [[None] for _ in range(5)]
    op.perform(None, inputs, storage)
    return [cell[0] for cell in storage]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("K", "D"), [(1, 1), (1, 3), (2, 2), (3, 2), (4, 3)])
@pytest.mark.parametrize("name", TWINS)
def test_the_compiled_twin_gives_what_the_models_own_score_gives(name, K, D, seed):
    op, compiled = TWINS[name]
    inputs = [a for group in arguments(name, seed, K, D) for a in group]
    for mine, expected in zip(compiled(*inputs), in_python(op, inputs), strict=True):
        assert mine.shape == expected.shape
        np.testing.assert_allclose(mine, expected, rtol=RTOL, atol=1e-11)


def test_arrays_need_not_be_contiguous():
    _, compiled = TWINS["gaussian_mixture_1d"]
    inputs = [a for group in arguments("gaussian_mixture_1d", 0, 3) for a in group]
    strided = [np.repeat(a[..., None], 2, axis=-1)[..., 0] for a in inputs]
    for mine, expected in zip(compiled(*strided), compiled(*inputs)):
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("name", TWINS)
def test_no_data_say_nothing(name):
    op, compiled = TWINS[name]
    parameters, data = arguments(name, 0, 2, 2)
    empty = [*parameters, *(array[:0] for array in data)]
    for value in (*compiled(*empty), *in_python(op, empty)):
        np.testing.assert_array_equal(value, 0)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("name", names())
def test_value_and_gradient_are_those_of_autodiff(name, K, interpreted, monkeypatch):
    # Two programs that share no arithmetic: the E-step, and PyMC's own likelihoods differentiated.
    monkeypatch.setattr(stock_hmm, "MIN_LENGTH", 1)
    parameters, data = arguments(name, K, K)
    if name == "categorical_hmm":
        data = [np.abs(data[0]), data[1]]  # stock knows no masked symbols
    inputs = [pt.tensor(dtype="float64", shape=array.shape) for array in parameters]
    shared = [pytensor.shared(array) for array in data]
    ours, theirs = (
        log_likelihood(
            **dict(zip(TWINS[name][0].PARAMETERS, inputs)), **dict(zip(TWINS[name][0].DATA, shared))
        )
        for log_likelihood in (getattr(fisher, name), part(load(name), "stock").log_likelihood)
    )
    found = []
    for value in (ours, theirs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function = pytensor.function(inputs, [value, *pt.grad(value, inputs)])
        found.append(function(*parameters))
    for mine, expected in zip(*found, strict=True):
        if expected.ndim == 3:
            expected = np.tril(expected)  # what is above the diagonal is not looked at
        np.testing.assert_allclose(mine, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("D", [1, 2, 3])
def test_covariances_and_precisions_are_two_ways_to_say_the_same(D, interpreted):
    (weights, means, U), (x,) = arguments("by_precisions", D, 2, D)
    cholesky = np.linalg.inv(U).mT
    found = []
    for factors in ({"cholesky": cholesky}, {"precisions_cholesky": U}):
        w, m, step = pt.vector(shape=(2,)), pt.matrix(shape=(2, D)), pt.scalar()
        # The same step in both: of all standard deviations by a factor.
        scaled = {
            name: value * (pt.exp(step) if name == "cholesky" else pt.exp(-step))
            for name, value in factors.items()
        }
        value = fisher.gaussian_mixture_2d(x, w, m, **scaled)
        function = pytensor.function([w, m, step], [value, *pt.grad(value, [w, m, step])])
        found.append(function(weights, means, 0.0))
    for mine, expected in zip(*found, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-10, atol=1e-11)


def test_a_mixture_takes_factors_of_covariances_or_of_precisions_and_rather_these():
    two, rows, factors = np.full(2, 0.5), np.zeros((2, 2)), np.array([np.eye(2)] * 2)
    with pytest.raises(TypeError, match="give cholesky or precisions_cholesky"):
        fisher.gaussian_mixture_2d(rows, two, rows)
    both = {"cholesky": 3 * factors, "precisions_cholesky": 2 * factors}
    alone = fisher.gaussian_mixture_2d(rows, two, rows, precisions_cholesky=2 * factors)
    assert fisher.gaussian_mixture_2d(rows, two, rows, **both).eval() == alone.eval()


def test_an_impossible_sequence_has_no_likelihood_and_no_gradient():
    inputs = [np.array([1.0, 0]), np.eye(2), np.eye(2), np.array([0, 1], np.int32), np.array([2])]
    op, compiled = TWINS["categorical_hmm"]
    for value, *scores, fault in (compiled(*inputs), in_python(op, inputs)):
        assert (value, fault) == (-np.inf, 0)
        assert all(np.isnan(score).all() for score in scores)


def test_one_compilation_serves_other_data_and_refuses_bad_ones():
    symbols, lengths = (pytensor.shared(array) for array in SEQUENCES)
    parameters, _ = arguments("categorical_hmm", 0, 2, 3)
    inputs = [pt.tensor(dtype="float64", shape=array.shape) for array in parameters]
    value = fisher.categorical_hmm(symbols, *inputs, lengths)
    function = pytensor.function(inputs, [value, *pt.grad(value, inputs)], mode="NUMBA")
    model = load("categorical_hmm")
    for data in ([np.array([0, 1, 1]), np.array([2])], [np.arange(3)]):
        symbols.set_value(np.concatenate(data))
        lengths.set_value(np.array([len(sequence) for sequence in data]))
        p = model.Parameters(*parameters)
        expected, value = model.e_step(p, data)
        expected = model.score(expected, p).arrays().values()
        for mine, theirs in zip(function(*parameters), (value, *expected), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=RTOL)
    sparse = [
        np.array([1.0, 0]),
        np.array([[0.5, 0.5], [0, 1]]),
        np.array([[1.0, 0, 0], [0, 0, 1]]),
    ]
    symbols.set_value(np.array([0, 0, 2]))
    lengths.set_value(np.array([3]))
    expected, value = model.gradient(model.Parameters(*sparse), (np.array([0, 0, 2]),))
    for mine, theirs in zip(function(*sparse), (value, *expected.arrays().values()), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=RTOL)
    for place, wrong, message in (
        (0, np.array([0.5, 0.6]), "each row of startprob sums to 1"),
        (1, sparse[1].T, "it is transposed"),
        (1, sparse[1] * 1.01, "each row of transmat sums to 1"),
        (2, -sparse[2], "0 <= emissionprob"),
    ):
        with pytest.raises(ParameterValueError, match=message):
            function(*sparse[:place], wrong, *sparse[place + 1 :])
    symbols.set_value(np.array([0, 3, 1]))
    with pytest.raises(ValueError, match="a symbol is not one of 0"):
        function(*parameters)
    symbols.set_value(np.array([0, 2]))
    with pytest.raises(ValueError, match="do not add up"):
        function(*parameters)
    lengths.set_value(np.array([2, 0]))
    with pytest.raises(ValueError, match="a sequence has no symbol"):
        function(*parameters)


def test_wrong_arguments_are_refused_when_the_graph_is_built():
    x, three, two = np.zeros((5, 2)), np.full(3, 1 / 3), np.full(2, 0.5)
    rows = np.full((2, 3), 1 / 3)
    with pytest.raises(ValueError, match=r"x has 2 axes; the shapes needed are weights \(K,\)"):
        fisher.gaussian_mixture_1d(x, two, two, two)
    with pytest.raises(ValueError, match="K cannot be 2 and 3"):
        fisher.gaussian_mixture_1d(x[:, 0], three, two, two)
    with pytest.raises(ValueError, match="D cannot be 2 and 3"):
        fisher.gaussian_mixture_2d(x, two, rows, np.array([np.eye(3)] * 2))
    with pytest.raises(ValueError, match="x has values that are not finite"):
        fisher.gaussian_mixture_1d([1.0, np.nan], two, two, two)
    with pytest.raises(ValueError, match=r"symbols\[1\] is 3; emissionprob has 3 columns"):
        fisher.categorical_hmm(pytensor.shared(np.array([0, 3])), two, np.eye(2), rows)
    with pytest.raises(ValueError, match=r"symbols\[0\] is -2"):
        fisher.categorical_hmm([-2, 1], two, np.eye(2), rows)
    with pytest.raises(ValueError, match="lengths add up to 3, but there are 2 symbols"):
        fisher.categorical_hmm([0, 1], two, np.eye(2), rows, [3])
    with pytest.raises(ValueError, match="lengths has 0"):
        fisher.categorical_hmm([0, 1], two, np.eye(2), rows, [2, 0])
    with pytest.raises(TypeError, match="symbols are float64; they must be integers"):
        fisher.categorical_hmm([0.0, 1.0], two, np.eye(2), rows)


@pytest.mark.parametrize("name", TWINS)
def test_shapes_not_known_before_are_refused_in_the_end(name):
    op, compiled = TWINS[name]
    parameters, data = arguments(name, 0, 2)
    for wrong in range(3):
        cut = [array[:-1] if i == wrong else array for i, array in enumerate(parameters)]
        with pytest.raises(ValueError, match="cannot be"):
            in_python(op, [*cut, *data])
        with pytest.raises(ValueError, match=r"do not fit|differ in length"):
            compiled(*cut, *data)


def test_what_has_no_gradient_says_so_in_place_of_a_zero():
    mean = pt.vector("mean", shape=(2,))
    half, x = np.full(2, 0.5), np.array([0.0, 1, 2])
    value = fisher.gaussian_mixture_1d(x, half, mean, half)
    with pytest.raises(NullTypeGradError, match="first derivatives only"):
        pt.hessian(value, mean)
    shift = pt.scalar("shift")
    value = fisher.gaussian_mixture_1d(x - shift, half, mean, half)
    with pytest.raises(NullTypeGradError, match="are data"):
        pt.grad(value, shift)


def slice_1d():
    """One mean of a 1D mixture."""
    model, x = load("gaussian_mixture_1d"), np.random.default_rng(0).normal([[-1], [2]], 1, (2, 15))
    x = x.ravel()
    with pm.Model() as pymc_model:
        mean = pm.Normal("theta", 0, 3)
        means = pt.stack([mean, 2.0])
        pm.Potential(
            "value", fisher.gaussian_mixture_1d(pm.Data("x", x), [0.4, 0.6], means, [1.0, 1])
        )

    def log_density(theta):
        p = model.Parameters.of(weights=[0.4, 0.6], means=[theta, 2], variances=[1, 1])
        return stats.norm(0, 3).logpdf(theta) + model.log_likelihood(p, x)

    return pymc_model, log_density, np.linspace(-4, 3, 2001)


def slice_2d():
    """The size of one covariance of a 2D mixture."""
    model, L = load("gaussian_mixture_2d"), np.array([[1, 0], [0.5, 1]])
    x = np.random.default_rng(1).normal(0, 1.5, (25, 2)) @ L.T
    x[15:] += 3
    with pm.Model() as pymc_model:
        sd = pm.HalfNormal("theta", 2)
        cholesky = pt.stack([sd * L, np.eye(2)])
        means = np.array([[0.0, 0], [3, 3]])
        value = fisher.gaussian_mixture_2d(pm.Data("x", x), [0.6, 0.4], means, cholesky)
        pm.Potential("value", value)

    def log_density(theta):
        p = model.Parameters.of(
            weights=[0.6, 0.4], means=means, covariances=[theta**2 * L @ L.T, np.eye(2)]
        )
        return stats.halfnorm(scale=2).logpdf(theta) + model.log_likelihood(p, x)

    return pymc_model, log_density, np.linspace(0.3, 6, 2001)


def slice_hmm():
    """The probability of staying in a state, for two sequences."""
    model, emission = load("categorical_hmm"), np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    symbols, lengths = np.array([0, 0, 1, 0, 2, 2, 1, 2, 2, 0, 0, 0, 1, 2]), np.array([9, 5])
    with pm.Model() as pymc_model:
        stay = pm.Beta("theta", 2, 2)
        transmat = pt.stack([pt.stack([stay, 1 - stay]), pt.stack([1 - stay, stay])])
        value = fisher.categorical_hmm(
            pm.Data("symbols", symbols), [0.5, 0.5], transmat, emission, pm.Data("each", lengths)
        )
        pm.Potential("value", value)

    def log_density(theta):
        transmat = [[theta, 1 - theta], [1 - theta, theta]]
        p = model.Parameters.of(startprob=[0.5, 0.5], transmat=transmat, emissionprob=emission)
        return stats.beta(2, 2).logpdf(theta) + model.log_likelihood(p, np.split(symbols, [9]))

    return pymc_model, log_density, expit(np.linspace(-30, 30, 4001))


def slice_left_right():
    """The probability of staying in the first of two states, the way back shut by a mask."""
    model, emission = load("categorical_hmm"), np.array([[0.6, 0.4, 0], [0.3, 0.5, 0.2]])
    symbols, lengths = np.array([0, 1, 0, 0, 0, 1, 2, 0, 0, -1, 0, 1, 2, 1]), np.array([9, 5])
    start, mask = np.array([1.0, 0]), np.array([[1.0, 1], [0, 1]])
    with pm.Model() as pymc_model:
        stay = pm.Beta("theta", 2, 2)
        raw = pt.stack([pt.stack([stay, 1 - stay]), pt.stack([1 - stay, stay])]) * mask
        transmat = raw / raw.sum(axis=1, keepdims=True)
        value = fisher.categorical_hmm(
            pm.Data("symbols", symbols), start, transmat, emission, pm.Data("each", lengths)
        )
        pm.Potential("value", value)

    def log_density(theta):
        p = model.Parameters.of(
            startprob=start, transmat=[[theta, 1 - theta], [0, 1]], emissionprob=emission
        )
        return stats.beta(2, 2).logpdf(theta) + model.log_likelihood(p, np.split(symbols, [9]))

    return pymc_model, log_density, expit(np.linspace(-30, 30, 4001))


def slice_no_weight():
    """A weight, where a third component has none and a mask keeps it so."""
    model, x = load("gaussian_mixture_1d"), np.random.default_rng(2).normal(0, 2, 20)
    fixed = {"means": np.array([-1.0, 1, 0]), "variances": np.array([1.0, 2, 1])}
    with pm.Model() as pymc_model:
        share = pm.Beta("theta", 2, 2)
        raw = pt.stack([share, 1 - share, share]) * np.array([1.0, 1, 0])
        value = fisher.gaussian_mixture_1d(pm.Data("x", x), raw / raw.sum(), *fixed.values())
        pm.Potential("value", value)

    def log_density(theta):
        p = model.Parameters.of(weights=[theta, 1 - theta, 0], **fixed)
        return stats.beta(2, 2).logpdf(theta) + model.log_likelihood(p, x)

    return pymc_model, log_density, expit(np.linspace(-30, 30, 4001))


def natively(model):
    """Return the model as nutpie compiles it, for other data: nothing of it runs in Python."""
    meant = {name: model[name].get_value() for name in ("symbols", "each")}
    pm.set_data({"symbols": [0, 1, 2], "each": [3]}, model=model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba's, on caching
        return nutpie.compile_pymc_model(model).with_data(**meant)


def through_python(model):
    """Return the model for nutpie, the Op in Python: slower by the call, at once ready."""
    with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""), model:
        function = model.logp_dlogp_function(ravel_inputs=True)._pytensor_function
    (value_variable,) = model.value_vars
    undo = model.compile_fn(
        model.replace_rvs_by_values([model["theta"]])[0], point_fn=False, mode="FAST_COMPILE"
    )
    assert value_variable.ndim == 0
    return from_pyfunc(
        1,
        make_logp_fn=lambda: lambda x: tuple(function(x)),
        make_expand_fn=lambda *_: lambda x: {"theta": np.asarray(undo(x[0]))},
        expanded_dtypes=[np.dtype(np.float64)],
        expanded_shapes=[()],
        expanded_names=["theta"],
        make_initial_point_fn=lambda seed: np.random.default_rng(seed).normal(size=1),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "compiled"),
    [
        (slice_1d, through_python),
        (slice_2d, through_python),
        (slice_no_weight, through_python),
        (slice_hmm, through_python),
        (slice_left_right, through_python),
        (slice_left_right, natively),
    ],
)
def test_a_posterior_is_that_of_quadrature(family, compiled):
    pymc_model, log_density, grid = family()
    logs = np.array([log_density(theta) for theta in grid])
    density = np.exp(logs - logs.max())
    assert max(density[0], density[-1]) < 1e-10, "the grid must hold the posterior"
    density /= np.trapezoid(density, grid)
    mean = np.trapezoid(density * grid, grid)
    variance = np.trapezoid(density * (grid - mean) ** 2, grid)
    settings = {"draws": 2000, "tune": 500, "chains": 2, "cores": 1, "seed": 1}
    trace = nutpie.sample(compiled(pymc_model), progress_bar=False, **settings)
    assert not trace.sample_stats["diverging"].any()
    draws = trace.posterior["theta"].to_numpy()
    for values, expected in ((draws, mean), ((draws - mean) ** 2, variance)):
        error = values.std() / np.sqrt(float(az.ess(values)))
        assert error < 0.1 * np.sqrt(variance) * max(1, np.sqrt(variance))
        assert abs(values.mean() - expected) < 3 * error
