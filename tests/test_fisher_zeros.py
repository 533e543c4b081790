"""The gradient where probabilities are zero, or nearly; and parameters that are none."""

from __future__ import annotations

import functools

import mpmath
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.logprob.utils import ParameterValueError

from lockstep.models import fisher, hmm_kernels, load
from test_fisher import TWINS, in_python

PURE = {"mode": "FAST_COMPILE", "cxx": ""}
LARGEST = np.finfo(np.float64).max


def both(name, inputs):
    """Return what the Op gives in Python and compiled: value, derivatives, fault."""
    op, compiled = TWINS[name]
    return in_python(op, inputs), compiled(*inputs)


def sparse_rows(rng, *shape):
    """Return rows of probabilities of which some are zero."""
    p = rng.dirichlet(np.ones(shape[-1]), shape[:-1]) * (rng.random(shape) < 0.55)
    p[..., 0] += p.sum(axis=-1) == 0
    return p / p.sum(axis=-1, keepdims=True)


def draw(rng, startprob, transmat, emissionprob, T):
    """Return a sequence that is possible, some of it masked."""
    sequence = load("categorical_hmm").sample(
        load("categorical_hmm").Parameters(startprob, transmat, emissionprob), [T], rng
    )[0]
    return np.where(rng.random(T) < 0.15, -1, sequence)


@functools.cache
def forward(T):
    """Return value and gradient of one sequence, by automatic differentiation of a forward pass."""
    startprob, transmat, emissionprob = parameters = pt.dvector(), pt.dmatrix(), pt.dmatrix()
    symbols = pt.lvector()
    joint = startprob
    for t in range(T):
        joint = pt.dot(joint, transmat) if t else joint
        joint *= pt.switch(symbols[t] < 0, 1.0, emissionprob[:, symbols[t]])
    value = pt.log(joint.sum())
    slopes = pt.grad(value, parameters, disconnected_inputs="ignore")  # transmat if T is 1
    with pytensor.config.change_flags(**PURE):
        return pytensor.function([*parameters, symbols], [value, *slopes])


@pytest.mark.parametrize("seed", range(60))
def test_of_random_sparse_hmms_the_gradient_is_that_of_autodiff(seed):
    rng = np.random.default_rng(seed)
    K, V = int(rng.integers(1, 6)), int(rng.integers(2, 7))
    parameters = sparse_rows(rng, K), sparse_rows(rng, K, K), sparse_rows(rng, K, V)
    lengths = rng.choice([1, 2, 6, 9], size=rng.integers(1, 5))
    sequences = [draw(rng, *parameters, T) for T in lengths]
    each = [forward(len(symbols))(*parameters, symbols) for symbols in sequences]
    expected = [sum(terms) for terms in zip(*each)]
    assert any((p == 0).any() for p in parameters) or K == 1
    inputs = [*parameters, np.concatenate(sequences), lengths]
    for *found, fault in both("categorical_hmm", inputs):
        assert fault == 0
        for mine, theirs in zip(found, expected, strict=True):
            # Sums of positive terms; unscaled, they lose no digits in so few steps.
            np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-12)


def exact(parameters, symbols):
    """Return value and gradient by central differences, at 760 digits."""

    def value(flat):
        startprob, transmat, emissionprob = (
            flat[:K], flat[K : K + K * K].reshape(K, K), flat[K + K * K :].reshape(K, V)
        )  # fmt: skip
        joint = startprob
        for t, x in enumerate(symbols):
            joint = joint @ transmat if t else joint
            joint = joint * emissionprob[:, x] if x >= 0 else joint
        return mpmath.log(sum(joint))

    K, V = parameters[2].shape
    with mpmath.workdps(760):
        flat = np.array([mpmath.mpf(float(p)) for a in parameters for p in a.ravel()])
        step = mpmath.mpf(10) ** -700
        slopes = []
        for n in range(len(flat)):
            ends = [flat.copy(), flat.copy()]
            ends[0][n] += step
            ends[1][n] -= step
            slopes.append((value(ends[0]) - value(ends[1])) / (2 * step))
        slopes = [float(min(slope, mpmath.mpf(LARGEST))) for slope in slopes]
        return float(value(flat)), np.array(slopes)


def left_right():
    """Three states by a mask, and a symbol that only the last shows."""
    transmat = np.array([[0.9, 0.1, 0], [0, 0.8, 0.2], [0, 0, 1.0]])
    emissionprob = np.array([[0.7, 0.3, 0], [0.2, 0.8, 0], [0, 0, 1.0]])
    return np.array([1.0, 0, 0]), transmat, emissionprob, np.r_[[0] * 30, [1] * 30, [2] * 8]


def cycle():
    """Everything is certain."""
    turn = np.roll(np.eye(5), 1, axis=1)
    return np.eye(5)[0], turn, np.eye(5), np.arange(70) % 5


def an_absorbing_state_that_explains_badly():
    """What cannot be reached would explain the rest e^1000 times as well."""
    transmat = np.array([[0.5, 0.5], [0, 1.0]])
    emissionprob = np.array([[1.0, 0, 0], [1e-4, 0.9999 - 1e-9, 1e-9]])
    return np.array([0, 1.0]), transmat, emissionprob, np.r_[[0] * 150, 1, -1, [2] * 3]


def underflow():
    """A softmax of (0, -714): what it leaves is needed, and has few digits."""
    p = np.array([1.0, 1e-310])
    return p, np.array([[1.0, 0], [1e-310, 1]]), np.array([[1.0, 0], [0, 1.0]]), np.r_[1, 1, 0, 0]


def nearly_zero():
    """Probabilities whose expected counts are no doubles."""
    transmat = np.array([[1 - 1e-9, 1e-9, 1e-200], [1e-300, 0.5, 0.5], [5e-324, 1.0, 0]])
    emissionprob = np.array([[0.5, 0.5], [1e-160, 1.0], [1.0, 1e-308]])
    return np.array([1.0, 1e-250, 0]), transmat, emissionprob, np.r_[[0, 1, -1] * 12]


@pytest.mark.parametrize(
    "model", [left_right, cycle, an_absorbing_state_that_explains_badly, underflow, nearly_zero]
)
def test_the_gradient_is_that_of_differences_at_760_digits(model):
    *parameters, symbols = model()
    value, slopes = exact(parameters, symbols)
    for found, *derivatives, fault in both(
        "categorical_hmm", [*parameters, symbols, np.array([len(symbols)])]
    ):
        assert fault == 0
        assert found == pytest.approx(value, rel=1e-13, abs=1e-14)
        mine = np.concatenate([d.ravel() for d in derivatives])
        # Logarithms of the size of 1,000 have an absolute error of 1e-13.
        np.testing.assert_allclose(mine, slopes, rtol=1e-11, atol=1e-150)


def test_times_a_mask_of_zero_the_largest_derivative_is_zero():
    *parameters, symbols = an_absorbing_state_that_explains_badly()
    for _, by_start, by_transmat, *_ in both(
        "categorical_hmm", [*parameters, symbols, np.array([len(symbols)])]
    ):
        assert by_transmat[1, 0] == LARGEST
        assert by_start[0] == LARGEST
        assert (by_transmat * [[1, 1], [0, 1]])[1, 0] == 0


def test_the_e_step_has_no_nan_where_a_state_that_cannot_be_reached_explains_the_rest():
    # The counts need no derivative: the path is in the second state, whatever the first would do.
    model = load("categorical_hmm")
    *parameters, symbols = an_absorbing_state_that_explains_badly()
    given = model.Parameters(*parameters)
    text = hmm_kernels.read(symbols, np.array([0, len(symbols)]), 2, 3)
    twin = hmm_kernels.counts(hmm_kernels.states_of(2), *parameters, text, np.ones(1))
    readable, _ = model.e_step(given, (symbols,))
    for starts, transitions, emissions in (readable.arrays().values(), twin[:3]):
        np.testing.assert_allclose(starts, [0, 1])
        np.testing.assert_allclose(transitions, [[0, 0], [0, 154]])
        np.testing.assert_allclose(emissions, [[0, 0, 0], [150, 1, 3]])
    gamma = np.tile([0.0, 1], (len(symbols), 1))
    np.testing.assert_allclose(model.state_probabilities(given, symbols), gamma)
    offsets = np.array([0, len(symbols)])
    np.testing.assert_allclose(hmm_kernels.smoothed(*parameters, symbols, offsets)[1], gamma)


def mixture(name, rng, K, D):
    """Return random means, factors and rows as the Op takes them, and their densities."""
    means, x = rng.normal(0, 2, (K, D)), rng.normal(0, 3, (15, D))
    L = np.tril(rng.normal(0, 0.5, (K, D, D)), -1) + np.eye(D) * rng.uniform(0.5, 2, (K, 1, D))
    u = np.stack([np.linalg.solve(L[k], (x - means[k]).T) for k in range(K)])  # (K, D, N)
    log_determinants = np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
    logs = -0.5 * (D * np.log(2 * np.pi) + (u**2).sum(axis=1)) - log_determinants[:, None]
    if name == "gaussian_mixture_1d":
        return means[:, 0], L[:, 0, 0] ** 2, x[:, 0], logs
    return means, np.linalg.inv(L).mT if name == "by_precisions" else L, x, logs


@pytest.mark.parametrize(
    "zeros", [{0: 0.0}, {1: 0.0, 3: 0.0}, {2: 1e-310}, {0: 5e-324, 2: 1e-200}, {1: 1e-290, 2: 0.0}]
)
@pytest.mark.parametrize(
    ("name", "D"),
    [("gaussian_mixture_1d", 1)]
    + [(name, D) for name in ("gaussian_mixture_2d", "by_precisions") for D in (1, 2, 3)],
)
def test_by_a_weight_of_zero_the_derivative_is_the_ratio_of_densities(name, D, zeros):
    rng = np.random.default_rng(D)
    means, factors, x, logs = mixture(name, rng, 4, D)
    weights = rng.dirichlet(np.ones(4))
    weights[list(zeros)] = 0
    weights /= weights.sum()
    for k, weight in zeros.items():
        weights[k] = weight
    w, densities = pt.dvector(), np.exp(logs)
    log_likelihood = pt.log(pt.dot(w, densities)).sum()
    with pytensor.config.change_flags(**PURE):
        autodiff = pytensor.function([w], [log_likelihood, pt.grad(log_likelihood, w)])
    value, slopes = autodiff(weights)
    for found, by_weights, *others, fault in both(name, [weights, means, factors, x]):
        assert fault == 0
        assert found == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(by_weights, slopes, rtol=1e-10)
        for derivatives in others:
            assert np.isfinite(derivatives).all()
            np.testing.assert_allclose(derivatives[list(zeros)], 0, atol=1e-150)


@pytest.mark.parametrize("seed", range(5))
def test_the_models_own_gradient_is_its_score_where_that_is_one(seed, model_name):
    rng, model = np.random.default_rng(seed), load(model_name)
    dims = {"n_components": 3, "n_features": 4}
    if model_name == "categorical_hmm":
        data = tuple(rng.integers(-1, 4, T) for T in (9, 4))
    else:
        data = rng.normal(size=12 if model_name == "gaussian_mixture_1d" else (12, 2))
        data[3] = np.nan
    parameters = model.start(data if model_name == "categorical_hmm" else data[4:], dims, rng)
    found, value = model.gradient(parameters, data)
    statistics, expected = model.e_step(parameters, data)
    assert value == pytest.approx(expected, rel=1e-13)
    for name, array in model.score(statistics, parameters).arrays().items():
        np.testing.assert_allclose(getattr(found, name), array, rtol=1e-11, atol=1e-12)


def test_an_impossible_sequence_among_others_has_no_gradient():
    rows = np.array([[0.5, 0.5, 0], [1.0, 0, 0]])
    for symbols in ([2], [0, 1, 2, 0], [-1, 2, -1]):
        inputs = [np.array([0, 1.0]), np.eye(2), rows, np.r_[0, symbols], np.r_[1, len(symbols)]]
        for value, *derivatives, fault in both("categorical_hmm", inputs):
            assert (value, fault) == (-np.inf, 0)
            assert all(np.isnan(d).all() for d in derivatives)


W, M, V1, X = np.array([0.3, 0.7]), np.array([0.0, 1]), np.array([1.0, 2]), np.array([0.5, 1, 2])
A, B = np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([[0.2, 0.3, 0.5], [0.5, 0.5, 0]])
M2, L, X2 = np.zeros((2, 2)), np.array([[[1.0, 0], [0.3, 2]]] * 2), np.ones((3, 2))
NEGATIVE, ZERO = L * [[1.0, 1], [1, -1]], L * [[0.0, 0], [1, 1]]
SYMBOLS = np.array([0, 1, 2])
HMM = ("categorical_hmm", fisher.categorical_hmm)
WRONG = {
    "too little weight": ("gaussian_mixture_1d", (W * 0.9, M, V1, X), r"sum\(weights\) = 1"),
    "a negative weight": ("gaussian_mixture_1d", ([-0.1, 1.1], M, V1, X), "0 <= weights"),
    "no number for a weight": ("gaussian_mixture_1d", ([np.nan, 1], M, V1, X), "0 <= weights"),
    "an infinite mean": ("gaussian_mixture_1d", (W, [0, np.inf], V1, X), "means are finite"),
    "a variance of zero": ("gaussian_mixture_1d", (W, M, [0.0, 1], X), "variances > 0"),
    "a negative variance": ("gaussian_mixture_1d", (W, M, [1, -2.0], X), "variances > 0"),
    "an infinite variance": ("gaussian_mixture_1d", (W, M, [1, np.inf], X), "variances > 0"),
    "weights of 2": ("gaussian_mixture_2d", (2 * W, M2, L, X2), "weights"),
    "a mean that is none": ("gaussian_mixture_2d", (W, M2 * np.nan, L, X2), "means are finite"),
    "a negative diagonal": ("gaussian_mixture_2d", (W, M2, NEGATIVE, X2), "posdef covariance"),
    "a diagonal of zero": ("gaussian_mixture_2d", (W, M2, ZERO, X2), "posdef covariance"),
    "an infinite factor": ("gaussian_mixture_2d", (W, M2, L + np.inf, X2), "posdef covariance"),
    "a negative precision": ("by_precisions", (W, M2, NEGATIVE.mT, X2), "posdef precision"),
    "a precision of zero": ("by_precisions", (W, M2, ZERO.mT, X2), "posdef precision"),
    "counts for a start": ("categorical_hmm", ([3.0, 1], A, B), "each row of startprob"),
    "a transposed transmat": ("categorical_hmm", (W, A.T, B), "it is transposed"),
    "a row too small": ("categorical_hmm", (W, A * [[1], [0.99]], B), "each row of transmat"),
    "a negative transition": ("categorical_hmm", (W, [[1.5, -0.5], A[1]], B), "0 <= transmat"),
    "logarithms": ("categorical_hmm", (W, A, np.log(B + 0.1)), "0 <= emissionprob"),
    "shares of columns": ("categorical_hmm", (W, A, B / B.sum(axis=0)), "each row of emission"),
}


def arrays(name, given):
    inputs = [np.asarray(array, np.float64) for array in given]
    return [*inputs, SYMBOLS, np.array([3])] if name == "categorical_hmm" else inputs


def log_likelihood(name, inputs):
    """Return the public function's graph of what the Op takes."""
    if name == "categorical_hmm":
        *parameters, symbols, lengths = inputs
        return fisher.categorical_hmm(symbols, *parameters, lengths)
    *parameters, factors, x = inputs
    if name == "gaussian_mixture_1d":
        return fisher.gaussian_mixture_1d(x, *parameters, factors)
    kind = "precisions_cholesky" if name == "by_precisions" else "cholesky"
    return fisher.gaussian_mixture_2d(x, *parameters, **{kind: factors})


@pytest.mark.parametrize("case", WRONG)
def test_parameters_that_are_none_are_refused_as_pymc_refuses_its_own(case):
    name, given, message = WRONG[case]
    inputs = arrays(name, given)
    for known in (inputs, [pytensor.shared(array) for array in inputs]):
        with pytest.raises(ValueError, match=message):
            log_likelihood(name, known)
    variables = [pt.tensor(dtype=a.dtype, shape=(None,) * a.ndim) for a in inputs]
    value = log_likelihood(name, variables)
    with pytensor.config.change_flags(**PURE):
        function = pytensor.function(variables, value)
        in_a_model = pm.pytensorf.compile(variables, value)
    with pytest.raises(ParameterValueError, match=message):
        function(*inputs)
    assert in_a_model(*inputs) == -np.inf
    (*_, fault), (compiled, *derivatives, compiled_fault) = both(name, inputs)
    assert fault == compiled_fault > 0
    assert compiled == -np.inf
    assert all(np.isnan(d).all() for d in derivatives)


@pytest.mark.parametrize("error", [4e-6, -4e-6, 1e-15])
def test_rows_that_sum_to_one_within_pymcs_tolerance_pass(error):
    for name, given in (
        ("categorical_hmm", (W * (1 + error), A * (1 + error), B * (1 + error))),
        ("gaussian_mixture_1d", (W * (1 + error), M, V1, X)),
        ("categorical_hmm", ([1 + 1e-12, 0], [[0, 1 + 1e-12], [1, 0]], B)),
    ):
        inputs = arrays(name, given)
        log_likelihood(name, inputs)
        for value, *derivatives, fault in both(name, inputs):
            assert fault == 0
            assert np.isfinite(value)
            assert all(np.isfinite(d).all() for d in derivatives)
    for name, given in (
        ("categorical_hmm", (W, A * (1 + 10 * error), B)),
        ("gaussian_mixture_1d", (W * (1 + 10 * error), M, V1, X)),
    ):
        faults = [int(fault) for *_, fault in both(name, arrays(name, given))]
        assert faults == [0, 0] if abs(error) < 1e-14 else min(faults) > 0
