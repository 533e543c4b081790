"""What estimators say besides their fit: right classes pass, each wrong method is named."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from inprocess import judged
from lockstep.comparisons.validation import methods
from lockstep.comparisons.validation.verdicts import Ended

HERE = Path(__file__).parent
WRONG = [
    ("TotalScore", "score", "is a total"),
    ("Unweighted", "score_samples", "leaves the weights out"),
    ("Nearest", "predict", "takes the nearest mean"),
    ("Hard", "predict_proba", "gives the likeliest component the probability 1"),
    ("OneTooMany", "bic", "counts one parameter too many"),
    ("HalfAic", "aic", ""),
    ("TooWide", "sample", "draws the spread of component"),
    ("EqualShares", "sample", "draws the weight of component"),
    ("OneStart", "n_init", "is ignored"),
    ("WorstStart", "n_init", "does not give the best fit"),
    ("NoRidge", "reg_covar", "is ignored"),
    ("SquaredRidge", "reg_covar", "is squared"),
    ("WeightsIgnored", "sample_weight", "is ignored"),
    ("MeanScore", "score", "is a mean"),
    ("JoinedScore", "score", "ignores lengths"),
    ("Underflowing", "long-score", "underflows"),
    ("Filtered", "score_samples", "has only seen the steps so far"),
    ("JoinedProbabilities", "predict_proba", "ignores lengths"),
    ("PosteriorPath", "decode", "is posterior decoding"),
    ("LikelihoodOfThePath", "decode", "gives the log-likelihood in place of the path's"),
    ("PosteriorPrediction", "predict", "is posterior decoding"),
    ("PredictsOne", "predict", "ignores lengths"),
    ("BySequences", "bic", "takes the number of sequences for that of steps"),
    ("AllEntries", "aic", "counts 7 parameters too many"),
    ("TransposedDraws", "sample", "draws the step from"),
    ("UniformStart", "sample", "draws the first state"),
]


def model_of(name: str) -> list[str]:
    """Return the models that a wrong class is tried as."""
    # In the plane the weights are nearly equal; on the line few fits end elsewhere.
    if name in ("EqualShares", "WorstStart"):
        return ["gaussian_mixture_1d" if name == "EqualShares" else "gaussian_mixture_2d"]
    place = [row[0] for row in WRONG].index(name)
    first = [row[0] for row in WRONG].index("MeanScore")
    return ["categorical_hmm"] if place >= first else ["gaussian_mixture_1d", "gaussian_mixture_2d"]


@pytest.mark.parametrize(
    ("model", "name", "check", "slip"),
    [(model, *row) for row in WRONG for model in model_of(row[0])],
)
def test_a_wrong_method_is_caught_and_named(model: str, name: str, check: str, slip: str) -> None:
    target = f"{HERE / 'candidates' / 'wrong_methods.py'}:{name}"
    verdict = judged(target, model, only=lambda c: c.name == check)
    failed = {o.name: o for o in verdict.of(Ended.FAILED)}
    assert set(failed) in ({check}, {check, "log-likelihood"})
    if slip:
        assert any(slip in cause.name for cause in verdict.causes)
        assert slip in failed[check].message


RIGHT = [
    ("sklearn.mixture:GaussianMixture", "gaussian_mixture_1d"),
    ("sklearn.mixture:GaussianMixture", "gaussian_mixture_2d"),
    ("hmmlearn.hmm:CategoricalHMM", "categorical_hmm"),
    ("lockstep.models.estimators:GaussianMixture", "gaussian_mixture_1d"),
    ("lockstep.models.estimators:GaussianMixture", "gaussian_mixture_2d"),
    ("lockstep.models.estimators:CategoricalHMM", "categorical_hmm"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("target", "model"), RIGHT)
def test_no_right_class_is_accused(target: str, model: str) -> None:
    verdict = judged(target, model, only=lambda c: c.method)
    assert not verdict.of(Ended.FAILED)
    made = {o.name for o in verdict.of(Ended.PASSED)}
    asked = {"score", "score_samples", "predict", "predict_proba", "bic", "aic", "sample"}
    more = {"decode", "long-score"} if model == "categorical_hmm" else {"reg_covar", "n_init"}
    assert asked | more <= made
    if target.startswith("lockstep"):
        assert {"sample_weight", "n_init"} <= made


def test_what_has_no_methods_has_no_checks_of_them() -> None:
    target = f"{HERE / 'candidates' / 'right.py'}:mixture_in_logs"
    verdict = judged(target, "gaussian_mixture_1d", only=lambda c: c.name in methods.CHECKED)
    assert not {o.name for o in verdict.outcomes} & set(methods.CHECKED)


def test_paths_are_all_there_and_sum_to_the_likelihood() -> None:
    rng = np.random.default_rng(3)
    p = {
        "startprob": rng.dirichlet(np.ones(3)),
        "transmat": rng.dirichlet(np.ones(3), size=3),
        "emissionprob": rng.dirichlet(np.ones(4), size=3),
    }
    x = np.array([2, 0, 3, 3])
    every, logs = methods.paths(p, x)
    assert {tuple(path) for path in every} == set(itertools.product(range(3), repeat=4))
    alpha = p["startprob"] * p["emissionprob"][:, x[0]]
    for symbol in x[1:]:
        alpha = (alpha @ p["transmat"]) * p["emissionprob"][:, symbol]
    assert np.exp(logs).sum() == pytest.approx(alpha.sum(), rel=1e-13)
    assert methods.smoothed(every, logs, 3)[-1] == pytest.approx(alpha / alpha.sum(), rel=1e-13)


def test_p_values_of_right_draws_are_uniform() -> None:
    held = {
        "weights": np.array([0.3, 0.7]),
        "means": np.array([[0.0, 1.0], [4.0, -2.0]]),
        "covariances": np.array([[[1.0, 0.5], [0.5, 2.0]], [[0.4, -0.1], [-0.1, 0.3]]]),
    }
    found = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        labels = rng.choice(2, size=methods.NUMBER, p=held["weights"])
        noise = rng.normal(size=(methods.NUMBER, 2))
        roots = np.linalg.cholesky(held["covariances"])
        x = held["means"][labels] + np.einsum("nde,ne->nd", roots[labels], noise)
        found.append(methods._of_rows(held, x, labels))
    for what in found[0]:  # each at 1e-4: twelve of them fail together with 0.1 %, and seeds stay
        assert stats.kstest([each[what] for each in found], "uniform").pvalue > 1e-4, what
