"""The compiled E-steps: equal to the readable ones, wherever they are used and wherever they give
way to them."""

import itertools
import subprocess
import sys

import mpmath
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep.models import categorical_hmm as hmm
from lockstep.models import em, hmm_kernels, kernels, load, mixture_kernels
from lockstep.models import gaussian_mixture_1d as gm1
from lockstep.models import gaussian_mixture_2d as gm2
from lockstep.models.categorical_hmm import compiled

MODELS = [load(m.NAME) for m in (gm1, gm2, hmm)]

# Relative to the largest of its kind, as sums of so many numbers of that size can be trusted:
# each of N additions of the readable E-step may err by 1.1e-16 of the sum, mostly to both sides.
SAME = 1e-12


def apart(one, other):
    return max(
        np.abs(a - b).max() / max(np.abs(b).max(), 1e-300)
        for a, b in zip(one.arrays().values(), other.arrays().values())
    )


def mixture_1d(rng, K, N):
    p = gm1.Parameters(rng.dirichlet(np.ones(K)), rng.normal(0, 3, K), rng.gamma(2, 1, K) + 0.1)
    return p, gm1.sample(p, N, rng)


def mixture(rng, K, N, D):
    roots = rng.normal(size=(K, D, D)) + 2 * np.eye(D)
    p = gm2.Parameters(
        rng.dirichlet(np.ones(K)), rng.normal(0, 3, (K, D)), roots @ roots.mT + 0.1 * np.eye(D)
    )
    return p, gm2.sample(p, N, rng)


def chain(rng, K, V, lengths):
    p = hmm.Parameters(
        rng.dirichlet(np.ones(K)), rng.dirichlet(np.ones(K), K), rng.dirichlet(np.ones(V), K)
    )
    return p, tuple(rng.integers(V, size=T) for T in lengths)


@pytest.mark.parametrize(("function", "reference"), [("_exp", mpmath.exp), ("_log", mpmath.log)])
def test_exp_and_log_err_by_less_than_two_units_in_the_last_place(function, reference):
    rng = np.random.default_rng(0)
    if function == "_exp":
        values = np.concatenate(
            [-rng.exponential(5, 500), -rng.uniform(0, 700, 500), [0.0, -1e-300]]
        )
    else:
        values = np.concatenate(
            [rng.uniform(1, 64, 500), np.exp(rng.uniform(-700, 700, 500)), [1.0]]
        )
    for value in values:
        exact = float(reference(mpmath.mpf(float(value))))
        assert abs(getattr(mixture_kernels, function)(value) - exact) <= 2 * np.spacing(abs(exact))


def test_exp_of_what_is_too_small_is_zero():
    for value in (-708.1, -1e9, -np.inf):
        assert mixture_kernels._exp(value) == 0


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    K=st.integers(1, 9),
    N=st.sampled_from([1, 2, 511, 512, 513, 1500]),
    weighted=st.booleans(),
)
def test_kernel_of_the_1d_mixture_equals_the_readable_e_step(seed, K, N, weighted):
    rng = np.random.default_rng(seed)
    p, x = mixture_1d(rng, K, N)
    w = rng.integers(0, 3, N).astype(float) if weighted else None
    statistics, value = gm1.e_step(p, x, w)
    quick, quick_value = kernels.e_step(MODELS[0])(p, x, w)
    assert apart(quick, statistics) < SAME
    assert quick_value == pytest.approx(value, rel=SAME, abs=SAME)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    K=st.integers(1, 5),
    D=st.integers(1, 8),
    N=st.sampled_from([1, 2, 511, 512, 513, 1500]),
    weighted=st.booleans(),
)
def test_kernel_of_the_mixture_equals_the_readable_e_step(seed, K, D, N, weighted):
    rng = np.random.default_rng(seed)
    p, x = mixture(rng, K, N, D)
    w = rng.integers(0, 3, N).astype(float) if weighted else None
    statistics, value = gm2.e_step(p, x, w)
    quick, quick_value = kernels.e_step(MODELS[1])(p, x, w)
    assert apart(quick, statistics) < SAME
    assert quick_value == pytest.approx(value, rel=SAME, abs=SAME)


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    K=st.integers(1, 9),
    V=st.integers(1, 40),
    lengths=st.lists(st.sampled_from([1, 2, 3, 4, 16, 17, 33, 100, 257]), min_size=1, max_size=5),
    masked=st.booleans(),
)
def test_kernel_of_the_hmm_equals_the_readable_e_step(seed, K, V, lengths, masked):
    rng = np.random.default_rng(seed)
    p, x = chain(rng, K, V, lengths)
    if masked:
        x = tuple(np.where(rng.random(len(s)) < 0.3, -1, s) for s in x)
    w = rng.integers(0, 3, len(x)).astype(float)
    statistics, value = hmm.e_step(p, x, w)
    quick, quick_value = kernels.e_step(MODELS[2])(p, x, w)
    assert apart(quick, statistics) < SAME
    assert quick_value == pytest.approx(value, rel=SAME, abs=SAME)


@pytest.mark.slow
def test_parts_add_up_in_the_same_order_on_any_number_of_threads(monkeypatch):
    rng = np.random.default_rng(1)
    cases = [
        (MODELS[0], *mixture_1d(rng, 3, 400_000)),
        (MODELS[1], *mixture(rng, 3, 100_000, 2)),
        (MODELS[2], *chain(rng, 2, 3, [20] * 8_000)),
    ]
    monkeypatch.setattr(kernels, "WORK", 2**20)
    for model, p, x in cases:
        expectation = kernels.Expectation(model, x)
        statistics, value = expectation(p)
        assert len(expectation._parts) > 2
        reference, exact = model.e_step(p, x)
        assert apart(statistics, reference) < SAME
        assert value == pytest.approx(exact, rel=SAME)
        with monkeypatch.context() as alone:
            alone.setattr(numba, "get_num_threads", lambda: 1)
            again, same = kernels.Expectation(model, x)(p)
        assert again == statistics
        assert same == value


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("length", range(1, 7))
def test_words_of_any_length_give_the_counts_of_their_letters(length, masked):
    rng = np.random.default_rng(length)
    p, x = chain(rng, 2, 2, [1, 2, length, length + 1, length + 2, 301])
    if masked:
        x = tuple(np.where(rng.random(len(s)) < 0.3, -1, s) for s in x)
    symbols, offsets = np.concatenate(x), np.cumsum([0, *map(len, x)])
    letters = 3 if masked else 2
    text = hmm_kernels.Text(
        symbols, offsets, *hmm_kernels._read(symbols, offsets, 2, letters, length), letters, length
    )
    w = np.array([1.0, 2.0, 0.5, 3.0, 0.0, 1.0])
    *counts, value = hmm_kernels.counts(hmm_kernels.states_of(2), *p.arrays().values(), text, w)
    statistics, exact = hmm.e_step(p, x, w)
    assert apart(hmm.Statistics(*counts), statistics) < 1e-14  # a few hundred additions
    assert value == pytest.approx(exact, rel=1e-14)


def test_words_are_as_long_as_the_data_pay_for():
    def length(T, K, V, symbol=0):
        symbols = np.full(T, symbol)
        return hmm_kernels.read(symbols, np.array([0, T]), K, V).length

    assert [length(T, 2, 3) for T in (1, 100, 1000, 10**5)] == [1, 1, 3, 5]
    assert length(10**5, 2, 3, symbol=-1) == 4  # the masked symbol is a fourth letter
    assert length(10**5, 8, 32) == 1
    assert length(10**5, 1, 1) == hmm_kernels.EVERY  # one word of each length


@pytest.mark.slow
def test_a_long_sequence_neither_underflows_nor_loses_digits():
    p, x = chain(np.random.default_rng(4), 2, 3, [200_000])
    statistics, value = hmm.e_step(p, x)
    quick, quick_value = kernels.e_step(MODELS[2])(p, x)
    assert apart(quick, statistics) < SAME
    assert quick_value == pytest.approx(value, rel=SAME)


def test_numbers_that_would_underflow_between_two_rescalings_are_taken_again():
    # Each symbol has a probability of about 1e-20 in both states: 1e-320 in sixteen steps.
    rare = np.array([[1e-20, 1 - 1e-20], [3e-20, 1 - 3e-20]])
    p = hmm.Parameters([0.4, 0.6], [[0.7, 0.3], [0.2, 0.8]], rare)
    x = (np.zeros(200, np.int64),)
    states = hmm_kernels.states_of(2)
    text = hmm_kernels.read(x[0], np.array([0, 200]), 2, 2)
    arguments = (*p.arrays().values(), text, np.ones(1))
    assert np.isnan(hmm_kernels._quick_pairs(states, *arguments)[-1])
    statistics, value = kernels.e_step(MODELS[2])(p, x)
    reference, exact = hmm.e_step(p, x)
    assert apart(statistics, reference) < SAME
    assert value == pytest.approx(exact, rel=SAME)


def test_forward_and_backward_that_hardly_overlap_are_taken_again():
    # The path must leave state 0, which the forward vector favours, against odds of 1e-300.
    p = hmm.Parameters(
        [1 - 1e-12, 1e-12], [[1 - 1e-300, 1e-300], [0.0, 1.0]], [[1.0, 0.0], [0.5, 0.5]]
    )
    x = (np.array([0] * 30 + [1]),)
    statistics, value = kernels.e_step(MODELS[2])(p, x)
    reference, exact = hmm.e_step(p, x)
    assert apart(statistics, reference) < SAME
    assert value == pytest.approx(exact, rel=SAME)


def test_what_is_impossible_is_said_as_the_readable_e_step_says_it():
    p = hmm.Parameters([1.0, 0.0], [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(ValueError, match="symbol 1 at step 3 has probability zero"):
        kernels.e_step(MODELS[2])(p, (np.array([0, 0, 0, 1]),))


@pytest.mark.parametrize("reg_covar", [0.0, 1e-3])
@pytest.mark.parametrize("which", range(3))
def test_a_stretch_of_iterations_equals_single_ones(which, reg_covar):
    rng = np.random.default_rng(2)
    p, x = [
        mixture_1d(rng, 3, 400),
        mixture(rng, 3, 400, 3),
        chain(rng, 3, 4, [100, 1, 40]),
    ][which]
    options = {} if which == 2 else {"reg_covar": reg_covar}
    model = MODELS[which]
    stretch = kernels.Expectation(model, x).climb(p, options, 25, -1.0)
    assert len(stretch.changes) == 25
    for n in range(25):
        statistics, value = model.e_step(p, x)
        new = model.m_step(statistics, **options)
        assert stretch.trace[n] == pytest.approx(value, rel=1e-12)
        assert stretch.changes[n] == pytest.approx(p.change(new), rel=1e-6, abs=1e-13)
        p = new
        # Iteration 25 may have amplified a difference of the last digit: EM contracts, mostly.
        assert apart(type(p)(*(a[n + 1] for a in stretch.path)), p) < 1e-11


def test_a_stretch_ends_where_a_component_may_collapse():
    x = np.array([0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0])
    start = gm1.Parameters([0.5, 0.5], [0.0, 2.0], [0.01, 1.0])
    fit = em.fit(MODELS[0], start, x)
    assert fit.status == "degenerate"
    assert "component 0 collapsed onto a point" in fit.message
    assert len(fit.trace) == fit.iterations + 1
    plane = em.fit(
        MODELS[1],
        gm2.Parameters(start.weights, start.means[:, None], start.variances[:, None, None]),
        x[:, None],
    )
    assert plane.status == "degenerate"
    assert plane.iterations == fit.iterations


@pytest.mark.parametrize("value", [0.1, 1e8 / 3, -7.3e-9])
@pytest.mark.parametrize("step_by_step", [False, True])
def test_a_constant_is_told_from_its_rounding(value, step_by_step):
    held = {"update": lambda _, new: new} if step_by_step else {}
    flat = np.full(50, value)
    start = gm1.Parameters([0.4, 0.6], [value * 0.9, value * 1.2], np.full(2, value**2))
    fit = em.fit(MODELS[0], start, flat, **held)
    assert fit.status == "degenerate"
    assert "collapsed onto a point" in fit.message
    x = np.column_stack([np.random.default_rng(0).normal(size=50), flat])
    plane = gm2.Parameters(
        [0.4, 0.6], [[-1, value * 0.9], [1, value * 1.2]], [np.diag([1.0, value**2])] * 2
    )
    fit = em.fit(MODELS[1], plane, x, **held)
    assert fit.status == "degenerate"
    assert "collapsed" in fit.message


def test_a_fit_in_stretches_is_the_fit_step_by_step():
    rng = np.random.default_rng(3)
    _, x = mixture_1d(rng, 2, 500)
    start = gm1.start(x, {"n_components": 2}, rng)
    by_stretch = em.fit(MODELS[0], start, x, tol=1e-8)
    by_step = em.fit(MODELS[0], start, x, tol=1e-8, update=lambda _, new: new)
    assert by_stretch.status == by_step.status == "converged"
    assert by_stretch.iterations == by_step.iterations
    assert by_stretch.message == by_step.message
    np.testing.assert_allclose(by_stretch.trace, by_step.trace, rtol=1e-13)
    assert by_stretch.path.weights.shape == (by_stretch.iterations + 1, 2)
    assert apart(by_stretch.path, by_step.path) < 1e-11
    watched = em.fit(
        MODELS[0], start, x, watch=lambda n, *_: ("converged", "enough") if n == 7 else None
    )
    assert (watched.iterations, watched.message, len(watched.trace)) == (7, "enough", 8)
    assert apart(watched.parameters, by_step.path.draw(7)) < 1e-12


FRESH = """
import sys
import numpy as np
from lockstep.models import em, kernels, load

model = load("gaussian_mixture_1d")
x = np.random.default_rng(0).normal([[-2], [3]], 1, (2, 150)).ravel()
start = model.Parameters.of(weights=[0.5, 0.5], means=[-1, 1], variances=[1, 1])
first = em.fit(model, start, x)
assert "numba" not in sys.modules, "a small fit waited for the compiled functions"
number = 1
while "lockstep.models.mixture_kernels" not in sys.modules:
    last = em.fit(model, start, x)
    number += 1
assert "lockstep.models.hmm_kernels" not in sys.modules
later = em.fit(model, start, x)
assert (later.status, later.iterations) == (first.status, first.iterations)
print(number, np.abs(later.trace / first.trace - 1).max())
"""


@pytest.mark.slow
def test_a_small_fit_does_not_wait_for_the_compiled_functions_and_many_do_not_do_without():
    ran = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    number, difference = ran.stdout.split()
    assert 10 < int(number) < 10_000
    assert float(difference) < 1e-14


def many(rng, K, V, lengths, *, sparse=0.0, masked=0.0):
    """Return parameters, some of them zero, and sequences one after the other, some masked."""
    rows = [rng.dirichlet(np.ones(n), size) for n, size in ((K, 1), (K, K), (V, K))]
    for row in rows:
        row[rng.random(row.shape) < sparse] = 0
        row[row.sum(axis=1) == 0] = 1  # what sums to 0 is no row
        row /= row.sum(axis=1, keepdims=True)
    symbols = rng.integers(V, size=sum(lengths))
    symbols[rng.random(len(symbols)) < masked] = hmm.MASKED
    return hmm.Parameters(rows[0][0], *rows[1:]), symbols, np.cumsum([0, *lengths])


@pytest.fixture(params=["compiled", "readable"])
def either(request, monkeypatch):
    """Whether the compiled functions are loaded or not, results are the same."""
    if request.param == "readable":
        monkeypatch.setattr(kernels, "compiled", lambda *_: None)


@pytest.mark.parametrize(
    ("K", "V", "lengths", "sparse", "masked"),
    [
        (3, 4, [1, 2, 200], 0, 0),
        (1, 3, [1, 1, 4, 1], 0, 0),
        (2, 2, [1] * 30, 0, 0.3),
        (5, 9, [7, 1, 60, 3], 0, 0.5),
        (4, 3, [3, 5, 2] * 20, 0.4, 0.1),
        (9, 2, [40, 1, 1, 25], 0.6, 0),
        (2, 300, [6, 300], 0.2, 0),
    ],
)
def test_what_is_asked_of_many_sequences_is_what_the_readable_functions_say_of_each(
    either, K, V, lengths, sparse, masked
):
    p, symbols, offsets = many(
        np.random.default_rng(5), K, V, lengths, sparse=sparse, masked=masked
    )
    values = compiled.log_likelihoods(p, symbols, offsets)
    same, gamma = compiled.smoothed(p, symbols, offsets)
    path = compiled.viterbi(p, symbols, offsets)
    np.testing.assert_array_equal(same, values)
    assert values.shape == (len(lengths),)
    assert gamma.shape == (len(symbols), K)
    assert path.shape == symbols.shape
    for n, own in enumerate(hmm.split(symbols, offsets)):
        here = slice(offsets[n], offsets[n + 1])
        np.testing.assert_array_equal(path[here], hmm.viterbi(p, own))
        expected = float(hmm.log_likelihood(p, (own,)))
        assert values[n] == pytest.approx(expected, rel=1e-12)
        if expected > -np.inf:
            np.testing.assert_allclose(
                gamma[here], hmm.state_probabilities(p, own), rtol=1e-12, atol=1e-300
            )
        else:
            assert np.isnan(gamma[here]).all()


def test_some_of_the_cases_above_are_impossible_and_some_are_not():
    p, symbols, offsets = many(
        np.random.default_rng(5), 4, 3, [3, 5, 2] * 20, sparse=0.4, masked=0.1
    )
    impossible = compiled.log_likelihoods(p, symbols, offsets) == -np.inf
    assert 0 < impossible.sum() < 60


def test_many_sequences_are_what_enumerating_their_paths_gives(either):
    K, lengths = 3, [4, 1, 5, 2]
    p, symbols, offsets = many(np.random.default_rng(8), K, 3, lengths, masked=0.2)
    values, gamma = compiled.smoothed(p, symbols, offsets)
    path = compiled.viterbi(p, symbols, offsets)
    for n, own in enumerate(hmm.split(symbols, offsets)):
        paths = np.array(list(itertools.product(range(K), repeat=len(own))))
        joint = np.exp([hmm.log_joint(p, z, own) for z in paths])
        here = slice(offsets[n], offsets[n + 1])
        assert values[n] == pytest.approx(np.log(joint.sum()), rel=1e-13)
        shares = [joint @ (paths == i) / joint.sum() for i in range(K)]
        np.testing.assert_allclose(gamma[here], np.transpose(shares), rtol=1e-12)
        np.testing.assert_array_equal(path[here], paths[joint.argmax()])
    begun = hmm.log_joint(p, path, symbols, offsets[:-1])
    pairs = zip(hmm.split(path, offsets), hmm.split(symbols, offsets))
    each = [hmm.log_joint(p, *pair) for pair in pairs]
    assert begun == pytest.approx(sum(each), rel=1e-14)


@pytest.mark.parametrize("halves", [(1, 1), (2, 2), (1, 2)])
def test_of_paths_equally_probable_the_compiled_search_takes_the_readable_one(either, halves):
    """All probabilities are halves and quarters, whose logarithms add without rounding apart."""
    rng = np.random.default_rng(sum(halves))
    K = 2 ** halves[0]
    chosen = [rng.permuted([0.5, 0.5, 0, 0], axis=0) for _ in range(4)]
    transmat = np.full((K, K), 1 / K) if K == 2 else np.array(chosen)
    p = hmm.Parameters(np.full(K, 1 / K), transmat, np.full((K, 2 ** halves[1]), 0.5 ** halves[1]))
    lengths = rng.integers(1, 12, 50)
    symbols = rng.integers(p.emissionprob.shape[1], size=lengths.sum())
    offsets = np.cumsum([0, *lengths])
    path = compiled.viterbi(p, symbols, offsets)
    expected = [hmm.viterbi(p, own) for own in hmm.split(symbols, offsets)]
    np.testing.assert_array_equal(path, np.concatenate(expected))
    if K == 2:
        assert not path.any()  # every path is as probable as any


def test_smoothing_what_is_impossible_says_so(either):
    p = hmm.Parameters([1.0, 0.0], [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]])
    symbols, offsets = np.array([0, 1, 0, 0, 0, 1]), np.array([0, 3, 5, 6])
    values, gamma = compiled.smoothed(p, symbols, offsets)
    assert values.tolist() == [-np.inf, 0, -np.inf]
    assert np.isnan(gamma).all(axis=1).tolist() == [True] * 3 + [False] * 2 + [True]
    np.testing.assert_array_equal(gamma[3:5], [[1, 0], [1, 0]])


def test_the_smallest_probabilities_lose_no_digits(either):
    """Each step's sum is near the smallest number; a product of two would vanish."""
    tiny = np.array([1e-300, 1 - 1e-300])
    p = hmm.Parameters([0.5, 0.5], [[0.5, 0.5], [0.5, 0.5]], np.tile(tiny, (2, 1)))
    symbols, offsets = np.zeros(12, int), np.array([0, 7, 12])
    values, gamma = compiled.smoothed(p, symbols, offsets)
    np.testing.assert_allclose(values, np.log(1e-300) * np.array([7, 5]), rtol=1e-14)
    np.testing.assert_allclose(gamma, 0.5, rtol=1e-14)
