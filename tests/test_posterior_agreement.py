"""A posterior is judged as a posterior: wrong ones are caught, right ones are not accused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from lockstep.comparisons.outcomes import Likeness
from lockstep.comparisons.posterior_agreement import compare, sentence
from lockstep.comparisons.posterior_causes import explained, log_priors
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
    "another start that is fixed": (HMM, {"fixed": ((0, 1.0),)}, "startprob[0] is 0.731"),
    "diagonal covariances": (PLANE, {"fixed": ((9, 0.0), (10, 0.0))}, "covariances[0,0,1] is 0"),
    "one diagonal covariance": (PLANE, {"fixed": ((10, 0.0),)}, "covariances[1,0,1] is 0"),
}


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


@pytest.mark.parametrize("case", SAMPLERS)
def test_a_wrong_sampler_is_caught(case):
    target, draw, cause = SAMPLERS[case]
    found = found_of(target, draw(target))
    assert found.likeness is Likeness.DIFFERS
    assert cause in "; ".join(found.causes), found.causes


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
