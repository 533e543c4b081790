"""A posterior is judged as a posterior: wrong ones are caught, right ones are not accused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from lockstep.comparisons import diagnostics, judge_study, posterior_agreement
from lockstep.comparisons.implementations import implementations
from lockstep.comparisons.judging import Judge
from lockstep.comparisons.outcomes import Likeness
from lockstep.comparisons.posterior_agreement import Quantities, compare, sentence
from lockstep.comparisons.posterior_causes import explained, in_words, log_priors
from lockstep.comparisons.problem import Mode
from lockstep.comparisons.scenarios import scenarios
from lockstep.comparisons.suite import Plan
from lockstep.comparisons.yardstick import Yardstick
from lockstep.models.fits import PosteriorFit
from lockstep.reports import tables, terminal, verdicts
from planted import HMM, MIXTURE, PLANE, RIGHT, SMALL, SMALL_PLANE

SEEDS = 20


@cache
def right(target, seed=1000):
    return target.quantities(target.records(target.draw(seed)))


def found_of(target, draws, log_likelihoods_of=None):
    own, reference = target.quantities(draws), right(target)
    found = compare(own, reference)
    return explained(found, own, reference, priors(target))


@cache
def priors(target):
    return log_priors(target.model, target.records(target.draw(1000)), target.data)


@cache
def drawn(wrong, seed=1):
    return wrong.records(wrong.draw(seed))


TEMPERED = {
    f"{name} likelihood to the power {power}": (target, power)
    for name, target in (("mixture", MIXTURE), ("plane", PLANE), ("hmm", HMM))
    for power in (0.25, 0.5, 2, 4)
    if (name, power) != ("hmm", 0.25)  # labels are no longer apart there
}


@pytest.mark.slow
@pytest.mark.parametrize("case", TEMPERED)
def test_a_tempered_likelihood_is_caught_and_its_power_named(case):
    target, power = TEMPERED[case]
    found = found_of(target, drawn(replace(target, likelihood=power)))
    assert found.likeness is Likeness.DIFFERS
    assert "to the power" in found.causes[0], found.causes
    named = float(found.causes[0].split("to the power ")[1].split(":")[0])
    assert named == pytest.approx(power, rel=0.3)  # of 0.25, known by few of the wide draws


DENSITIES = {
    "prior left out": (SMALL, {"prior": 0.0}, "away from the prior"),
    "prior counted twice": (SMALL, {"prior": 2.0}, "towards the prior"),
    "prior counted four times": (SMALL, {"prior": 4.0}, "towards the prior"),
    "a Jacobian forgotten": (SMALL, {"jacobian": 0.0}, ""),
    "a Jacobian counted twice": (SMALL, {"jacobian": 2.0}, ""),
    "a Jacobian forgotten in two dimensions": (SMALL_PLANE, {"jacobian": 0.0}, ""),
    "a Jacobian counted four times in a chain": (HMM, {"jacobian": 4.0}, ""),
    "a gradient off in one entry": (MIXTURE, {"tilt": 4.0, "tilted": 1}, "means[0] only"),
    "a gradient off in another entry": (MIXTURE, {"tilt": 3.0, "tilted": 4}, "variances[1] only"),
    "a gradient off in an entry of a chain": (
        HMM,
        {"tilt": 3.0, "tilted": 2},
        "transmat[1,0] only",
    ),
    "half of the data": (MIXTURE, {"used": 0.5}, "a part of the data"),
    "half of the data of a chain": (HMM, {"used": 0.5}, ""),
    "nine tenths of the data": (PLANE, {"used": 0.9}, ""),
    "another scale of the prior": (SMALL, {"scale": 0.25}, ""),
    "a wider scale of the prior": (SMALL, {"scale": 2.0}, ""),
    "a start distribution that is fixed": (HMM, {"fixed": ((0, 0.0),)}, "startprob[0] is 0.5"),
    "another start that is fixed": (HMM, {"fixed": ((0, 1.0),)}, "startprob[0]"),
    "diagonal covariances": (PLANE, {"fixed": ((9, 0.0), (10, 0.0))}, "covariances[0,0,1] is 0"),
    "one diagonal covariance": (PLANE, {"fixed": ((10, 0.0),)}, "covariances[1,0,1] is 0"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", DENSITIES)
def test_a_wrong_density_is_caught(case):
    target, wrong, cause = DENSITIES[case]
    found = found_of(target, drawn(replace(target, **wrong)))
    assert found.likeness is Likeness.DIFFERS
    assert cause in "; ".join(found.causes), found.causes


def edited(draws, edit):
    return type(draws)(**{name: edit(np.array(a)) for name, a in draws.arrays().items()})


def stuck(draws, chain, begin):
    def edit(a):
        a[chain, begin:] = a[chain, begin]
        return a

    return edited(draws, edit)


def elsewhere(target, draws, chain=2):
    """One chain samples another posterior."""
    other = drawn(replace(target, likelihood=0.5), 3).arrays()

    def edit(a, name):
        a[chain] = other[name][chain]
        return a

    return type(draws)(**{n: edit(np.array(a), n) for n, a in draws.arrays().items()})


def warm_up(target, length):
    """Chains that come from far off, halving their way with every draw."""
    v = target.draw(1)
    far = target.start + 3 * np.random.default_rng(2).normal(size=(len(v), 1, v.shape[-1]))
    part = np.arange(length)[:, None] / length
    v[:, :length] = far * (1 - part) + v[:, :length] * part
    return target.records(v)


def unmatched(draws):
    """Labels that are each field's own: half of the draws have weights of the other component."""
    arrays = {name: np.array(a) for name, a in draws.arrays().items()}
    swap = np.random.default_rng(0).uniform(size=arrays["weights"].shape[:2]) < 0.5
    arrays["weights"][swap] = arrays["weights"][swap][..., ::-1]
    return type(draws)(**arrays)


def averaged(draws, size=4):
    """Means over blocks of draws in which labels have switched."""
    swap = np.random.default_rng(0).uniform(size=draws.lead) < 0.2
    order = np.where(swap[..., None], [1, 0], [0, 1])
    mixed = draws.relabelled(order)
    return edited(mixed, lambda a: a.reshape(4, -1, size, *a.shape[2:]).mean(axis=2))


def cut(target, at=2.0):
    """Draws within `at` sd of the mean in every coordinate: the others are drawn again."""
    v = target.draw(1, draws=2000)
    flat = v.reshape(-1, v.shape[-1])
    inside = (np.abs(flat - flat.mean(axis=0)) < at * flat.std(axis=0)).all(axis=-1)
    kept = flat[inside]
    rows = np.random.default_rng(0).permutation(len(kept))[:2400]
    return target.records(kept[rows].reshape(4, 600, -1))


def scaled(draws, field, index, factor):
    arrays = {name: np.array(a) for name, a in draws.arrays().items()}
    values = arrays[field][(..., *index)]
    arrays[field][(..., *index)] = values.mean() + factor * (values - values.mean())
    return type(draws)(**arrays)


def shifted(draws, field, index, sds):
    arrays = {name: np.array(a) for name, a in draws.arrays().items()}
    arrays[field][(..., *index)] += sds * arrays[field][(..., *index)].std()
    return type(draws)(**arrays)


SAMPLERS = {
    "one chain stuck": (MIXTURE, lambda t: stuck(drawn(t), 2, 0), "chain 2 stands still"),
    "a chain that gets stuck": (HMM, lambda t: stuck(drawn(t), 0, 300), "chain 0 stands still"),
    "one chain that samples something else": (MIXTURE, lambda t: elsewhere(t, drawn(t)), "chain 2"),
    "warm-up kept": (MIXTURE, lambda t: warm_up(t, 30), "a warm-up that was kept"),
    "a short warm-up kept": (PLANE, lambda t: warm_up(t, 25), "a warm-up that was kept"),
    "a long warm-up kept": (HMM, lambda t: warm_up(t, 40), "a warm-up that was kept"),
    "labels mixed between fields": (MIXTURE, lambda t: unmatched(drawn(t)), ""),
    "labels mixed before averaging": (MIXTURE, lambda t: averaged(drawn(t)), ""),
    "labels mixed before averaging in two dimensions": (PLANE, lambda t: averaged(drawn(t)), ""),
    "only accepted proposals kept": (
        MIXTURE,
        lambda t: t.records(t.draw(1, accepted_only=True)),
        "",
    ),
    "every draw kept ten times": (
        MIXTURE,
        lambda t: edited(drawn(t), lambda a: np.repeat(a[:, ::10], 10, axis=1)),
        "every draw stands 10 times",
    ),
    "one chain given four times": (
        PLANE,
        lambda t: edited(drawn(t), lambda a: np.repeat(a[:1], 4, axis=0)),
        "chain 1 has the draws of another chain",
    ),
    "means of ten draws each": (
        MIXTURE,
        lambda t: edited(drawn(t), lambda a: a.reshape(4, -1, 10, *a.shape[2:]).mean(axis=2)),
        "to the power",
    ),
    "tails cut": (MIXTURE, cut, "the tails are cut"),
    "an sd too large by two fifths": (
        MIXTURE,
        lambda t: scaled(drawn(t), "means", (1,), 1.4),
        "means[1] only",
    ),
    "a mean a quarter of an sd off": (
        MIXTURE,
        lambda t: shifted(drawn(t), "means", (0,), 0.25),
        "means[0] only",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", SAMPLERS)
def test_a_wrong_sampler_is_caught(case):
    target, draw, cause = SAMPLERS[case]
    found = found_of(target, draw(target))
    assert found.likeness is Likeness.DIFFERS
    assert cause in "; ".join(found.causes), found.causes


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_posterior_is_not_accused(name):
    target = RIGHT[name]
    worst = []
    for seed in range(SEEDS):
        found = compare(right(target, 2000 + seed), right(target, 2001 + seed))
        assert found.likeness is Likeness.AGREES, sentence(found)
        worst.append(abs(found.table[0].z))
    # All of one row's z below 2 in 20 rows would be errors that are taken too large.
    assert max(worst) > 2


def alone(x):
    return Quantities({"x": x}, ("x",))


def autoregressive(rng, correlation, chains=4, draws=800):
    noise = rng.normal(size=(chains, draws + 100))
    x = lfilter([np.sqrt(1 - correlation**2)], [1, -correlation], noise, axis=1)
    return x[:, 100:]


QUANTITIES = {
    "normal": lambda x: x,
    "long tails": lambda x: stats.t(3).ppf(stats.norm.cdf(x)),
    "skewed": np.exp,
    "at an edge": lambda x: stats.beta(0.5, 3).ppf(stats.norm.cdf(x)),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "own", "other"), [*zip(QUANTITIES, (0.6, -0.3, 0.9, 0.0), (0.6, 0.5, 0.0, 0.9))]
)
def test_z_of_right_posteriors_is_standard_normal_or_less(kind, own, other):
    """Whatever the tails are, and however the two mix: 100 pairs of posteriors."""
    rng, f = np.random.default_rng(3), QUANTITIES[kind]
    tables, parts = [], []
    for _ in range(100):
        x, y = f(autoregressive(rng, own)), f(autoregressive(rng, other, draws=400))
        found = compare(alone(x), alone(y))
        assert found.likeness is Likeness.AGREES
        tables.append([c.z for c in found.table])
        parts.append([c.z for c in found.parts])
    # 500 z's, five to a pair: their mean square is 1 within 0.2, three standard errors or so.
    assert 0.5 < np.square(tables).mean() < 1.25
    assert np.square(parts).mean() < 1.25
    assert (np.abs(tables) > 2.576).mean() < 0.03


def test_statistics_of_independent_draws_are_those_of_scipy(monkeypatch):
    monkeypatch.setattr(posterior_agreement, "effective", lambda series: float(series.size))
    monkeypatch.setattr(posterior_agreement, "ESS_ERROR", 1e-12)
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.05, 1, (4, 500)), rng.normal(0, 1, (4, 500))
    found = {c.statistic: c for c in compare(alone(x), alone(y)).table}
    welch = stats.ttest_ind(x.ravel(), y.ravel(), equal_var=False)
    assert found["mean"].z == pytest.approx(
        np.sign(welch.statistic) * stats.norm.isf(welch.pvalue / 2), rel=5e-3
    )
    assert found["mean"].error == pytest.approx(np.hypot(x.std(), y.std()) / np.sqrt(2000))
    at = np.quantile(np.concatenate([x, y]), 0.5)
    counts = [[(a <= at).sum(), (a > at).sum()] for a in (x, y)]
    p = stats.chi2_contingency(counts, correction=False, lambda_="log-likelihood").pvalue
    assert abs(found["50% quantile"].z) == pytest.approx(stats.norm.isf(p / 2), rel=1e-6)
    # The asymptotic variance of log sd of a normal is 1 / 2n.
    assert found["sd"].error == pytest.approx(y.std() / np.sqrt(2000), rel=0.1)


def test_a_row_is_accused_once_in_ten_thousand_at_most():
    limit = posterior_agreement._limit(55)
    assert 2 * 55 * stats.norm.sf(limit) == pytest.approx(posterior_agreement.FALSE_ALARM / 2)


def test_draws_that_are_equal_to_rounding_are_no_second_sample():
    own = drawn(MIXTURE)
    again = edited(own, lambda a: a * (1 + 1e-13))
    q = MIXTURE.quantities(own)
    found = compare(MIXTURE.quantities(again), q, "pymc-nuts")
    assert found.likeness is Likeness.EQUAL
    assert "density and gradient are equal" in sentence(found)
    apart = compare(MIXTURE.quantities(edited(own, lambda a: a * (1 + 1e-4))), q)
    assert apart.likeness is Likeness.AGREES


def test_what_never_varies_is_compared_by_its_value():
    constant = np.full((4, 50), 0.5)
    assert compare(alone(constant), alone(constant)).likeness is Likeness.EQUAL
    found = compare(alone(constant), alone(constant + 0.1))
    assert found.likeness is Likeness.DIFFERS
    assert "value of x" in sentence(found)
    impossible = np.random.default_rng(0).normal(size=(4, 50))
    impossible[0, 0] = -np.inf
    found = compare(alone(impossible), alone(np.zeros((4, 50))))
    assert found.likeness is Likeness.DIFFERS


def test_few_effective_draws_decide_nothing():
    rng = np.random.default_rng(0)
    x, y = (autoregressive(rng, 0.995, draws=500) for _ in range(2))
    found = compare(alone(x), alone(y))
    assert found.likeness is Likeness.UNDECIDED
    assert "too few effective draws" in sentence(found)


def test_power_is_that_of_the_default_number_of_draws():
    """Of 8,000 independent draws each, in a row of 55 statistics."""
    rng = np.random.default_rng(1)
    pairs = [
        tuple(
            Quantities({str(i): rng.normal(size=(4, 2000)) for i in range(11)}, ("0",))
            for _ in range(2)
        )
        for _ in range(4)
    ]
    seen = judge_study.power(pairs)
    assert seen["an sd 20% too large"] == seen["a mean 0.2 sd off"] == 1
    assert seen["an sd 10% too large"] == seen["an sd 20% too small"] == 1
    assert seen["a mean 0.05 sd off"] < 0.5


def judged(target, **fits):
    """Judge planted posteriors under the names of implementations."""
    from test_comparisons import judged as judge

    prepared = SimpleNamespace(
        data=target.data, dims=target.truth.dims, start=target.truth, heldout=None,
        truth=target.truth, reference=None, published=(), labels={},
    )  # fmt: skip
    scenario = SimpleNamespace(
        name="planted", title="", model=target.name, lesson="", n_iter=5, expected={}
    )
    point = implementations()["em"].fit(
        SimpleNamespace(
            model=target.name, data=target.data, dims=target.truth.dims, seed=0, quick=True,
            mode=Mode.AS_CONFIGURED, start=None, n_iter=None,
        )
    )  # fmt: skip
    rows = [(name.replace("_", "-"), Mode.AS_CONFIGURED, fit) for name, fit in fits.items()]
    return judge(scenario, prepared, ("em", Mode.AS_CONFIGURED, point), *rows, quick=True)


def by_name(result):
    return {o.implementation: o for o in result.outcomes}


@pytest.mark.slow
@pytest.mark.parametrize(("power", "verdict"), [(1, "agrees"), (4, "differs"), (0.5, "differs")])
def test_a_row_that_targets_the_reference_is_judged_by_it(power, verdict):
    """The fourth power was once passed: its mean is no worse than the right one's."""
    own, right_ = drawn(replace(MIXTURE, likelihood=power), 5), drawn(MIXTURE, 6)
    fits = {"pymc_nuts": PosteriorFit(right_), "pymc_stock": PosteriorFit(own)}
    result = judged(MIXTURE, **fits)
    rows = by_name(result)
    row = rows["pymc-stock"]
    assert row.verdict == verdict, row.reason
    assert row.counts_against == (verdict == "differs")
    assert row.diagnostics.r_hat < 1.05
    assert rows["pymc-nuts"].verdict == "agrees"
    assert rows["pymc-nuts"].agreement is None
    zs = [abs(c.z) for c in row.agreement.table]
    assert zs == sorted(zs, reverse=True)
    assert ("to the power" in row.reason) == (verdict == "differs")

    shown = tables.agreement_table(result)
    assert shown.rows[0].cells[0].text == row.agreement.table[0].quantity
    beyond = [cell.text for cell in (r.cells[-1] for r in shown.rows) if cell.tone == "bad"]
    assert bool(beyond) == (verdict == "differs")
    assert all(text.endswith("✗") for text in beyond)
    assert row.reason.startswith(sentence(row.agreement))
    (remark,) = (text for text in terminal._remarks(result) if "pymc-stock" in text)
    assert sentence(row.agreement) in remark
    assert ("from pymc-nuts" in verdicts.figure(result, row)) == (verdict == "differs")


def test_an_approximation_is_measured_and_not_accused():
    rng = np.random.default_rng(0)
    base = drawn(MIXTURE, 6)
    mean_field = edited(base, lambda a: rng.permuted(a.reshape(-1, *a.shape[2:]), axis=0)[None])
    approximation = PosteriorFit(scaled_all(mean_field, 0.9))
    rows = by_name(judged(MIXTURE, pymc_nuts=PosteriorFit(base), pymc_advi=approximation))
    row = rows["pymc-advi"]
    assert "sds 0.90 to 0.90 of pymc-nuts's" in in_words(row.habits)
    assert row.agreement is None
    assert row.habits.narrowest == pytest.approx(0.9, abs=0.01)
    assert row.habits.widest == pytest.approx(0.9, abs=0.01)
    assert row.verdict == "agrees", row.reason


def scaled_all(draws, factor):
    return edited(draws, lambda a: a.mean(axis=(0, 1)) + factor * (a - a.mean(axis=(0, 1))))


@pytest.mark.slow
def test_the_error_of_the_mean_is_its_scatter_over_seeds():
    judge = Judge.__new__(Judge)
    judge.model, judge.prepared = MIXTURE.model, SimpleNamespace(data=MIXTURE.data)
    at, errors = [], []
    for seed in range(20):
        draws = drawn(MIXTURE, 100 + seed)
        mean = type(draws)(**{n: a.mean(axis=(0, 1)) for n, a in draws.arrays().items()})
        errors.append(judge._error_at(mean, draws))
        at.append(float(MIXTURE.model.log_likelihood(mean, MIXTURE.data)))
    # Of 20 values the sd is known within a factor of 1.6, three standard errors.
    assert np.std(at, ddof=1) / np.sqrt(np.mean(np.square(errors))) == pytest.approx(1, rel=0.6)


@pytest.mark.parametrize(
    ("gap", "error", "verdict", "limit"),
    [
        (2.40, 0.01, "agrees", False),
        (2.50, 0.01, "agrees", True),
        (2.52, 0.01, "agrees", True),
        (2.48, 0.01, "agrees", True),
        (2.60, 0.01, "differs", False),
        (2.60, 0.04, "agrees", True),
        (9.00, 0.04, "differs", False),
    ],
)
def test_a_mean_within_its_error_of_the_limit_is_on_it(gap, error, verdict, limit):
    yardstick = Yardstick(leads={}, best=0.0, n_free=5, data=np.zeros(2), expected={})
    outcome = SimpleNamespace(agreement=None, log_likelihood=SimpleNamespace(train_error=error))
    said = yardstick._verdict_on_mean(outcome, gap)
    assert said.verdict == verdict
    assert ("on the limit" in said.reason) == limit


@pytest.mark.parametrize(
    ("value", "rule", "threshold", "error", "passed", "limit"),
    [
        (420.0, ">", 400.0, 69.0, True, True),
        (380.0, ">", 400.0, 69.0, True, True),
        (200.0, ">", 400.0, 69.0, False, False),
        (900.0, ">", 400.0, 69.0, True, False),
        (0.75, "<", 0.7, 0.1, True, True),
        (1.2, "<", 0.7, 0.1, False, False),
        (np.nan, "<", 0.7, 0.1, False, False),
    ],
)
def test_a_check_within_its_error_of_the_threshold_is_on_it(
    value, rule, threshold, error, passed, limit
):
    found = diagnostics.check("bulk ESS", value, rule, threshold, "", error)
    assert (found.passed, found.on_the_limit) == (passed, limit)


def test_every_posterior_has_a_seed_of_its_own():
    scenario = next(iter(scenarios().values()))
    plans = [
        Plan([(scenario, scenario.prepare())], list(implementations()), seed=s) for s in (0, 1)
    ]
    seeds = [
        {t.implementation: t.problem.seed for t in plan.tasks() if t.problem.mode != Mode.MATCHED}
        for plan in plans
    ]
    posteriors = [name for name, i in implementations().items() if i.KIND == "posterior"]
    assert len({seeds[0][name] for name in posteriors}) == len(posteriors) > 3
    assert not {seeds[0][n] for n in posteriors} & {seeds[1][n] for n in posteriors}
    assert seeds[0]["em"] == 0
