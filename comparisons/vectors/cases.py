"""The problems of the conformance vectors: data, starts, and what each is there to find.

Data that are drawn come from Python's own generator, whose numbers are the same everywhere, and
are rounded to a few digits; so are those of the seed examples. What is expected of them is not
here: `lockstep.comparisons.vectors.generate` computes it.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lockstep.comparisons.vectors import ACCEPTABLE, MUST_ERROR, VALID, Fields

DATA = Path(__file__).parents[1] / "scenarios" / "data"

ITERATIONS = (0, 1, 2, 5, 20)

FLAGS = {
    "degenerate": "a component collapses or loses its observations: the likelihood has no maximum",
    "duplicates": "observations are repeated",
    "empty-component": "a component has almost no weight, or none",
    "empty-state": "a state is never visited, so that its row is left open",
    "equal-components": "components start as one: a saddle, which exact EM never leaves",
    "equivariance": "the same problem as another vector's, relabelled, reordered, moved or scaled",
    "hard-assignment": "every responsibility is 0 or 1 to the last digit",
    "high-dimension": "more than two coordinates",
    "ill-conditioned": "the answer hangs on the last digits of the data more than by rounding",
    "invalid-data": "data that must be refused",
    "invalid-start": "parameters that must be refused",
    "k-equals-n": "as many components as observations",
    "length-1": "a sequence of one symbol, which has no transition",
    "long": "a sequence of thousands of symbols",
    "missing": "values that were not observed (null), which are integrated out",
    "offset": "data far from zero: sums of raw squares cancel",
    "one-component": "K = 1: the answer is known in closed form after one iteration",
    "one-dimension": "the mixture in any dimension, given one",
    "one-observation": "a single observation",
    "overlapping": "components that lie within each other: EM is slow",
    "plateau": "EM gains next to nothing for many iterations",
    "published": "real data with a published fit",
    "scale": "data in units that make them very large or very small",
    "seed-example": "one of the four examples that this suite grew from",
    "several-sequences": "more than one sequence: counts add up, and nothing runs across an end",
    "simple": "an ordinary problem",
    "structural-zero": "probabilities that are zero, and stay zero",
    "underflow": "densities or path probabilities below the smallest double",
    "unseen-symbol": "a symbol that never occurs",
    "well-separated": "components that hardly overlap",
}


@dataclass(frozen=True)
class Case:
    """One problem.

    Attributes
    ----------
    id, model, comment : str
    flags : set of str
    data : list
    start : dict
    result : str
    iterations : tuple of int
        For which something is expected; one number if it must be refused.
    enumerated : bool
        Whether the generator goes through all hidden paths as well.
    """

    id: str
    model: str
    comment: str
    flags: frozenset[str]
    data: Any
    start: Fields
    result: str = VALID
    iterations: tuple[int, ...] = ITERATIONS
    enumerated: bool = False

    def __post_init__(self) -> None:
        if unknown := self.flags - set(FLAGS):
            raise ValueError(f"{self.id}: flags {sorted(unknown)} are not explained")


def cases(model: str) -> list[Case]:
    """Return the cases of a model, in the order of its file."""
    of = {
        "gaussian_mixture_1d": mixture_1d_cases,
        "gaussian_mixture_2d": mixture_cases,
        "categorical_hmm": hmm_cases,
    }
    found = list(of[model]())
    ids = [case.id for case in found]
    if len(set(ids)) < len(ids):
        raise ValueError(
            f"{model}: ids are used twice: {sorted({i for i in ids if ids.count(i) > 1})}"
        )
    return found


def column(file: str, *names: str) -> list[list[float]]:
    """Return columns of a file of real data, row by row."""
    with (DATA / file).open(encoding="utf-8", newline="") as rows:
        return [[float(row[name]) for name in names] for row in csv.DictReader(rows)]


def rounded(array: Any, digits: int) -> Any:
    """Return nested lists of the array's values, rounded to so many decimals."""
    return np.round(np.asarray(array, np.float64), digits).tolist()


# --- Gaussian mixture, 1D -----------------------------------------------------------------------


def _g1(
    name: str,
    comment: str,
    flags: str,
    x: Sequence[Any],
    start: tuple[Any, ...],
    **options: Any,
) -> Case:
    fields = dict(zip(("weights", "means", "variances"), start))
    return Case(
        f"gmm1d-{name}",
        "gaussian_mixture_1d",
        comment,
        frozenset(flags.split()),
        list(x),
        fields,
        **options,
    )


def _draw_1d(
    seed: int, N: int, weights: Sequence[float], means: Sequence[float], sds: Sequence[float]
) -> list[float]:
    rng = random.Random(seed)
    K = len(weights)
    z = rng.choices(range(K), weights, k=N)
    return [round(means[k] + sds[k] * rng.gauss(0, 1), 3) for k in z]


FIVE = [-1.5, -0.5, 0.25, 1.0, 3.0]
TWO_CLUSTERS = [-2.5, -2.0, -1.75, -1.25, 1.0, 1.5, 2.25, 2.5, 3.0]
EVEN_2 = ([0.5, 0.5], [-1.0, 1.0], [1.0, 1.0])


def mixture_1d_cases() -> Iterator[Case]:
    """Yield the cases of the 1D mixture."""
    yield _g1(
        "one-component",
        "K = 1: mean and variance of the data (divided by N, not N - 1) after one iteration",
        "simple one-component",
        FIVE,
        ([1.0], [0.0], [1.0]),
    )
    yield _g1(
        "by-hand",
        "nine values, few enough to follow with a calculator",
        "simple",
        TWO_CLUSTERS,
        EVEN_2,
    )
    yield _g1(
        "by-hand-unequal-start",
        "unequal weights and variances in the start: a variance taken for a standard deviation, "
        "or a weight left out, shows after one iteration",
        "simple",
        TWO_CLUSTERS,
        ([0.25, 0.75], [-1.0, 1.0], [4.0, 0.25]),
    )
    yield _g1(
        "relabelled",
        "gmm1d-by-hand-unequal-start with its components in the other order",
        "equivariance",
        TWO_CLUSTERS,
        ([0.75, 0.25], [1.0, -1.0], [0.25, 4.0]),
    )
    yield _g1(
        "reordered",
        "gmm1d-by-hand-unequal-start with its data in another order",
        "equivariance",
        TWO_CLUSTERS[::-2] + TWO_CLUSTERS[1::2],
        ([0.25, 0.75], [-1.0, 1.0], [4.0, 0.25]),
    )
    yield _g1(
        "mirrored",
        "gmm1d-by-hand-unequal-start times -1",
        "equivariance",
        [-x for x in TWO_CLUSTERS],
        ([0.25, 0.75], [1.0, -1.0], [4.0, 0.25]),
    )
    yield _g1(
        "scaled",
        "gmm1d-by-hand-unequal-start times 1024: exact in binary, so the same digits",
        "equivariance scale",
        [1024 * x for x in TWO_CLUSTERS],
        ([0.25, 0.75], [-1024.0, 1024.0], [4.0 * 2**20, 0.25 * 2**20]),
    )
    yield _g1(
        "shifted",
        "gmm1d-by-hand-unequal-start plus 4096",
        "equivariance offset",
        [4096 + x for x in TWO_CLUSTERS],
        ([0.25, 0.75], [4095.0, 4097.0], [4.0, 0.25]),
    )
    yield _g1(
        "repeated",
        "gmm1d-by-hand-unequal-start with every value three times: the same parameters, three "
        "times the log-likelihood",
        "equivariance duplicates",
        TWO_CLUSTERS * 3,
        ([0.25, 0.75], [-1.0, 1.0], [4.0, 0.25]),
    )
    for K in (1, 2, 3):
        for separation in (0.5, 1.0, 2.0, 4.0, 8.0):
            truth = [separation * k for k in range(K)]
            x = _draw_1d(100 * K + round(10 * separation), 40, [1.0] * K, truth, [1.0] * K)
            flags = "simple"
            flags += " one-component" if K == 1 else ""
            flags += " overlapping" if K > 1 and separation <= 1 else ""
            flags += " well-separated" if K > 1 and separation >= 8 else ""
            yield _g1(
                f"k{K}-separation-{separation:g}",
                f"40 values, {K} component(s) whose means are {separation:g} standard deviations "
                "apart",
                flags,
                x,
                (
                    [1 / K] * K,
                    [separation * (k - 0.25 + 0.5 * (k == 0)) for k in range(K)],
                    [1.5 + 0.25 * k for k in range(K)],
                ),
            )
    yield _g1(
        "k5",
        "five components, 80 values",
        "simple",
        _draw_1d(5, 80, [1, 2, 3, 2, 1], [-8, -3, 0, 4, 9], [1, 0.5, 1.5, 1, 0.25]),
        ([0.2] * 5, [-7.0, -4.0, 0.5, 3.0, 8.0], [1.0, 2.0, 1.0, 2.0, 1.0]),
    )
    yield _g1(
        "k8",
        "eight components, 60 values: most responsibilities are shared",
        "simple overlapping",
        _draw_1d(8, 60, [1] * 8, [2.0 * k for k in range(8)], [1.0] * 8),
        ([0.125] * 8, [2.0 * k + 0.3 for k in range(8)], [2.0] * 8),
    )
    yield _g1(
        "unequal-widths",
        "a narrow component inside a wide one",
        "simple overlapping",
        _draw_1d(11, 60, [1, 1], [0.5, 0.0], [0.1, 4.0]),
        ([0.5, 0.5], [0.0, 0.0], [0.25, 9.0]),
    )
    yield _g1(
        "unequal-weights",
        "19 to 1",
        "simple",
        _draw_1d(12, 60, [19, 1], [0.0, 4.0], [1.0, 1.0]),
        ([0.9, 0.1], [0.0, 3.0], [1.0, 1.0]),
    )
    yield _g1(
        "wide-start",
        "both variances start a million times too large: all responsibilities near 1/2",
        "plateau",
        _draw_1d(13, 40, [1, 1], [0.0, 4.0], [1.0, 1.0]),
        ([0.5, 0.5], [0.0, 4.0], [1e6, 1e6]),
    )
    yield _g1(
        "narrow-start",
        "variances start so small that every responsibility is 0 or 1: the first step is k-means, "
        "and of most values every density underflows",
        "hard-assignment underflow",
        _draw_1d(14, 40, [1, 1], [0.0, 4.0], [1.0, 1.0]),
        ([0.5, 0.5], [0.0, 4.0], [1e-4, 1e-4]),
    )
    yield _g1(
        "same-means",
        "means start equal and variances differ: only the variances tell components apart",
        "overlapping",
        _draw_1d(15, 40, [1, 1], [0.0, 3.0], [1.0, 2.0]),
        ([0.5, 0.5], [1.0, 1.0], [1.0, 4.0]),
    )
    yield _g1(
        "equal-components",
        "both components start as one and stay so: rounding must not part them by much",
        "equal-components",
        TWO_CLUSTERS,
        ([0.5, 0.5], [0.5, 0.5], [2.0, 2.0]),
    )
    yield _g1(
        "equal-components-unequal-weights",
        "as gmm1d-equal-components, and the weights stay where they start",
        "equal-components",
        TWO_CLUSTERS,
        ([0.25, 0.75], [0.5, 0.5], [2.0, 2.0]),
    )
    yield _g1(
        "two-of-three-equal",
        "two of three components start as one",
        "equal-components",
        _draw_1d(16, 30, [1, 1], [0.0, 4.0], [1.0, 1.0]),
        ([0.25, 0.25, 0.5], [0.0, 0.0, 4.0], [1.0, 1.0, 1.0]),
    )
    # Far from zero, and in other units.
    base = _draw_1d(20, 40, [1, 1], [0.0, 4.0], [1.0, 1.0])
    for offset, words in ((1e4, "1e4"), (1e6, "1e6"), (1e8, "1e8"), (-1e8, "minus-1e8")):
        yield _g1(
            f"offset-{words}",
            f"gmm1d-scale-1 moved by {offset:g}: a variance as mean of squares less square of "
            "mean loses as many digits as the offset has, twice",
            "offset",
            [offset + x for x in base],
            ([0.5, 0.5], [offset + 1.0, offset + 3.0], [2.0, 2.0]),
        )
    for scale in (1.0, 1e-8, 1e8, 1e-100, 1e100):
        yield _g1(
            f"scale-{scale:g}".replace("+", ""),
            "two components at a distance of four standard deviations"
            + (
                f", times {scale:g}: an absolute ridge, threshold or tolerance shows"
                if scale != 1
                else ""
            ),
            "simple" if scale == 1 else "scale",
            [scale * x for x in base],
            ([0.5, 0.5], [scale * 1.0, scale * 3.0], [scale * scale * 2.0] * 2),
        )
    yield _g1(
        "offset-and-scale",
        "standard deviation 1e-3 at 1e5",
        "offset scale",
        [1e5 + 1e-3 * x for x in base],
        ([0.5, 0.5], [1e5 + 1e-3, 1e5 + 3e-3], [2e-6, 2e-6]),
    )
    yield _g1(
        "unequal-scales",
        "components whose widths differ by 1e5",
        "scale",
        [1e-2 * x for x in FIVE] + [1e3 * x for x in TWO_CLUSTERS],
        ([0.5, 0.5], [0.0, 0.0], [1e-4, 1e6]),
    )
    yield _g1(
        "very-unequal-scales",
        "components whose widths differ by 1e8: one variance is 1e-16 of the data's, which a "
        "program may take for a collapse",
        "scale degenerate",
        [1e-4 * x for x in FIVE] + [1e4 * x for x in TWO_CLUSTERS],
        ([0.5, 0.5], [0.0, 0.0], [1e-8, 1e8]),
        result=ACCEPTABLE,
    )
    # Underflow.
    yield _g1(
        "far-start",
        "both components start a hundred standard deviations from all data: every density is "
        "below 1e-1700, and only their ratio matters",
        "underflow",
        [100 + x for x in TWO_CLUSTERS],
        ([0.5, 0.5], [0.0, 1.0], [1.0, 1.0]),
        iterations=(0, 1, 2, 5),
    )
    yield _g1(
        "far-start-both-sides",
        "components start on either side of the data, fifty standard deviations away",
        "underflow hard-assignment",
        TWO_CLUSTERS,
        ([0.5, 0.5], [-50.0, 52.0], [1.0, 1.0]),
    )
    yield _g1(
        "outlier",
        "one value lies sixty standard deviations from every component",
        "underflow",
        [*TWO_CLUSTERS, 60.0],
        EVEN_2,
    )
    yield _g1(
        "outlier-far",
        "one value at 1e6: its densities are below 1e-100000000000",
        "underflow",
        [*TWO_CLUSTERS, 1e6],
        ([0.5, 0.5], [-1.0, 1.0], [1.0, 1.0]),
        iterations=(0, 1, 2),
    )
    # Small components.
    yield _g1(
        "light-1e-6",
        "a component starts with a weight of 1e-6 and grows",
        "empty-component",
        TWO_CLUSTERS,
        ([1 - 1e-6, 1e-6], [-1.0, 2.0], [1.0, 1.0]),
    )
    yield _g1(
        "light-1e-12",
        "a component starts with a weight of 1e-12",
        "empty-component",
        TWO_CLUSTERS,
        ([1 - 1e-12, 1e-12], [0.0, 2.0], [6.0, 1.0]),
        iterations=(0, 1, 2, 5),
    )
    yield _g1(
        "light-1e-200",
        "a component starts with a weight of 1e-200: its mean and variance are still ratios of "
        "two tiny sums, and well determined",
        "empty-component",
        TWO_CLUSTERS,
        ([1.0, 1e-200], [0.0, 2.0], [6.0, 1.0]),
        iterations=(0, 1, 2, 5),
    )
    yield _g1(
        "far-component",
        "a component starts 30 standard deviations off and lives on the tail of one value: its "
        "count is about 1e-170",
        "empty-component",
        TWO_CLUSTERS,
        ([0.5, 0.5], [0.0, 31.0], [4.0, 1.0]),
        iterations=(0, 1),
    )
    yield _g1(
        "no-weight",
        "a component starts with weight 0: nothing counts for it, its mean and variance are left "
        "open, and to refuse is right as well",
        "empty-component degenerate",
        TWO_CLUSTERS,
        ([1.0, 0.0], [0.0, 2.0], [6.0, 1.0]),
        result=ACCEPTABLE,
    )
    yield _g1(
        "count-below-doubles",
        "a component whose count is about 1e-1100: with logarithms its mean can be had; a program "
        "that finds it empty and says so is right as well",
        "empty-component underflow degenerate",
        TWO_CLUSTERS,
        ([0.5, 0.5], [0.0, 75.0], [4.0, 1.0]),
        result=ACCEPTABLE,
        iterations=(0, 1),
    )
    # Few observations.
    yield _g1(
        "k-equals-n-2",
        "two values, two components",
        "k-equals-n",
        [0.0, 3.0],
        ([0.5, 0.5], [0.5, 2.0], [4.0, 4.0]),
        iterations=(0, 1, 2),
    )
    yield _g1(
        "k-equals-n-3",
        "three values, three wide components",
        "k-equals-n overlapping",
        [0.0, 1.0, 3.0],
        ([0.25, 0.5, 0.25], [0.0, 1.0, 2.5], [9.0, 9.0, 9.0]),
        iterations=(0, 1, 2, 5),
    )
    yield _g1(
        "two-values",
        "K = 1, N = 2",
        "one-component",
        [1.0, 4.0],
        ([1.0], [0.0], [1.0]),
    )
    yield _g1(
        "more-components-than-values",
        "three components, two values: no maximum is near, and a few iterations are well defined; "
        "to refuse is right as well",
        "degenerate",
        [0.0, 3.0],
        ([0.25, 0.5, 0.25], [0.0, 1.0, 2.5], [9.0, 9.0, 9.0]),
        result=ACCEPTABLE,
        iterations=(0, 1, 2),
    )
    yield _g1(
        "one-observation-start",
        "the log-likelihood of a single value, before any iteration",
        "one-observation",
        [1.5],
        ([0.25, 0.75], [0.0, 2.0], [1.0, 4.0]),
        iterations=(0,),
    )
    yield _g1(
        "one-observation",
        "the first iteration makes the variance of a single value zero: no parameters are left",
        "one-observation degenerate",
        [1.5],
        ([1.0], [0.0], [1.0]),
        result=MUST_ERROR,
        iterations=(1,),
    )
    yield _g1(
        "all-equal",
        "four equal values: every variance becomes zero",
        "duplicates degenerate",
        [2.0, 2.0, 2.0, 2.0],
        EVEN_2,
        result=MUST_ERROR,
        iterations=(1,),
    )
    # Duplicates and collapse.
    yield _g1(
        "ties",
        "four distinct values, many times each",
        "duplicates",
        [0.0] * 10 + [1.0] * 5 + [2.0] * 3 + [4.0] * 7,
        ([0.5, 0.5], [0.0, 3.0], [4.0, 4.0]),
        iterations=(0, 1, 2, 5),
    )
    yield _g1(
        "half-equal",
        "half the values are one: a component shrinks onto them, slowly at first",
        "duplicates",
        [1.0] * 8 + TWO_CLUSTERS,
        ([0.5, 0.5], [1.0, 0.0], [1.0, 4.0]),
        iterations=(0, 1, 2, 5),
    )
    yield _g1(
        "collapse",
        "a narrow component starts on one value: its variance after one iteration is below "
        "1e-10000, which no double holds",
        "degenerate underflow",
        TWO_CLUSTERS,
        ([0.5, 0.5], [1.0, 0.0], [1e-6, 4.0]),
        result=MUST_ERROR,
        iterations=(1,),
    )
    yield _g1(
        "collapse-later",
        "gmm1d-light-1e-12 goes on to collapse onto a value at iteration 15, after a dozen in "
        "which nothing is amiss",
        "degenerate",
        TWO_CLUSTERS,
        ([1 - 1e-12, 1e-12], [0.0, 2.0], [6.0, 1.0]),
        result=MUST_ERROR,
        iterations=(20,),
    )
    yield _g1(
        "near-collapse",
        "a component's variance falls to 1e-14 of the data's: to refuse is right as well",
        "degenerate",
        [0.0, 1e-7, *TWO_CLUSTERS],
        ([0.5, 0.5], [0.0, 0.5], [1e-3, 4.0]),
        result=ACCEPTABLE,
        iterations=(0, 1, 2, 5),
    )
    # Missing values.
    yield _g1(
        "missing-one",
        "one value was not observed: its density is 1, and it counts by the weights",
        "missing",
        [*TWO_CLUSTERS[:4], None, *TWO_CLUSTERS[4:]],
        ([0.25, 0.75], [-1.0, 1.0], [4.0, 0.25]),
    )
    yield _g1(
        "missing-half",
        "every other value was not observed",
        "missing",
        [x for value in TWO_CLUSTERS for x in (value, None)],
        EVEN_2,
    )
    yield _g1(
        "missing-k3",
        "40 values, of which a quarter were not observed, and three components",
        "missing",
        [
            None if n % 4 == 1 else x
            for n, x in enumerate(_draw_1d(30, 40, [1, 1, 1], [0.0, 4.0, 9.0], [1.0, 1.0, 2.0]))
        ],
        ([0.5, 0.25, 0.25], [0.0, 3.0, 8.0], [1.0, 1.0, 1.0]),
    )
    yield _g1(
        "missing-all-but-three",
        "three values of thirteen: the rest keep the parameters near where they start",
        "missing",
        [None] * 5 + [0.0, 1.0, 4.0] + [None] * 5,
        ([0.5, 0.5], [0.0, 3.0], [1.0, 1.0]),
    )
    # Seed examples and published data.
    rng = np.random.RandomState(42)
    separated = np.concatenate([rng.normal(-2, 0.5, 250), rng.normal(3, 1.0, 250)])
    means = rng.choice(separated, 2)
    yield _g1(
        "separated",
        "the first seed example, rounded to six decimals: 500 values, 20 iterations",
        "seed-example well-separated",
        rounded(separated, 6),
        ([0.5, 0.5], rounded(means, 6), [1.0, 1.0]),
    )
    rng = np.random.RandomState(100)
    notebook = np.concatenate([rng.normal(0, 1, 210), rng.normal(5, 1, 90)])
    means = np.random.RandomState(42).choice(notebook, 2)
    yield _g1(
        "notebook",
        "the second seed example, rounded to six decimals: 300 values, a start in the far tails",
        "seed-example",
        rounded(notebook, 6),
        ([0.5, 0.5], rounded(means, 6), [6.25, 6.25]),
    )
    waiting = [row[0] for row in column("faithful.csv", "waiting")]
    yield _g1(
        "faithful-waiting",
        "Old Faithful's 272 waiting times; the optimum is at -1034.00174983",
        "published",
        waiting,
        ([0.5, 0.5], [58.0, 82.0], [184.0, 184.0]),
    )
    yield _g1(
        "faithful-waiting-k1",
        "Old Faithful's 272 waiting times, one component: mean 70.897, the closed form",
        "published one-component",
        waiting,
        ([1.0], [58.0], [184.0]),
        iterations=(0, 1, 2),
    )
    yield _g1(
        "faithful-eruptions",
        "Old Faithful's 272 durations",
        "published",
        [row[0] for row in column("faithful.csv", "eruptions")],
        ([0.5, 0.5], [2.0, 4.0], [0.25, 0.25]),
    )
    yield _g1(
        "faithful-eruptions-k3",
        "Old Faithful's first 100 durations, three components",
        "published",
        [row[0] for row in column("faithful.csv", "eruptions")][:100],
        ([0.25, 0.25, 0.5], [1.75, 2.5, 4.25], [0.25, 0.25, 0.25]),
    )
    yield from _mixture_1d_refusals()


def _mixture_1d_refusals() -> Iterator[Case]:
    refused: dict[str, Any] = {"result": MUST_ERROR, "iterations": (1,)}
    inf = float("inf")
    for name, comment, start in (
        ("weights-sum", "the weights sum to 1.1", ([0.6, 0.5], [-1.0, 1.0], [1.0, 1.0])),
        ("weights-negative", "a weight is negative", ([1.5, -0.5], [-1.0, 1.0], [1.0, 1.0])),
        ("variance-negative", "a variance is negative", ([0.5, 0.5], [-1.0, 1.0], [1.0, -1.0])),
        ("variance-zero", "a variance is zero", ([0.5, 0.5], [-1.0, 1.0], [1.0, 0.0])),
        ("variance-infinite", "a variance is infinite", ([0.5, 0.5], [-1.0, 1.0], [1.0, inf])),
        ("mean-infinite", "a mean is infinite", ([0.5, 0.5], [-1.0, inf], [1.0, 1.0])),
        ("mean-null", "a mean is null", ([0.5, 0.5], [-1.0, None], [1.0, 1.0])),
        ("shapes", "two weights, three means", ([0.5, 0.5], [-1.0, 1.0, 2.0], [1.0, 1.0])),
        ("short-variances", "two means, one variance", ([0.5, 0.5], [-1.0, 1.0], [1.0])),
        ("no-components", "no component at all", ([], [], [])),
        ("no-variances", "a field is not there", ([0.5, 0.5], [-1.0, 1.0])),
    ):
        yield _g1(f"refuse-{name}", comment, "invalid-start", TWO_CLUSTERS, start, **refused)
    for name, comment, data in (
        ("data-infinite", "a value is infinite (1e999 in JSON)", [*TWO_CLUSTERS, inf]),
        ("data-minus-infinite", "a value is minus infinity", [*TWO_CLUSTERS, -inf]),
        ("data-text", "a value is text", [*TWO_CLUSTERS, "seven"]),
        ("data-rows", "rows where single values belong", [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]),
        ("data-empty", "no data", []),
    ):
        yield _g1(f"refuse-{name}", comment, "invalid-data", data, EVEN_2, **refused)


# --- Gaussian mixture in two and other dimensions ------------------------------------------------


def _g2(
    name: str, comment: str, flags: str, x: Any, start: tuple[Any, ...], **options: Any
) -> Case:
    fields = dict(zip(("weights", "means", "covariances"), start))
    return Case(
        f"gmm2d-{name}",
        "gaussian_mixture_2d",
        comment,
        frozenset(flags.split()),
        x,
        fields,
        **options,
    )


def _draw(
    seed: int, N: int, means: Sequence[Sequence[float]], factors: Sequence[Any], digits: int = 3
) -> list[list[float]]:
    """Draw rows from equally likely components with covariances L L'."""
    rng = random.Random(seed)
    rows = []
    for _ in range(N):
        k = rng.randrange(len(means))
        e = [rng.gauss(0, 1) for _ in means[k]]
        rows.append(
            [
                round(m + sum(a * b for a, b in zip(row, e)), digits)
                for m, row in zip(means[k], factors[k])
            ]
        )
    return rows


def _eye(D: int, scale: float = 1.0) -> list[list[float]]:
    return [[scale if i == j else 0.0 for j in range(D)] for i in range(D)]


def _affine(x: Any, scales: Sequence[float], offsets: Sequence[float]) -> Any:
    return [
        [None if a is None else o + s * a for a, s, o in zip(row, scales, offsets)] for row in x
    ]


NINE = [
    [-2.0, -1.0],
    [-1.5, -2.0],
    [-1.0, -0.5],
    [-0.5, -1.5],
    [0.0, 0.5],
    [1.0, 1.5],
    [1.5, 0.5],
    [2.0, 2.5],
    [3.0, 1.0],
]
EVEN_PLANE = ([0.5, 0.5], [[-1.0, -1.0], [1.0, 1.0]], [_eye(2), _eye(2)])
SKEWED = (
    [0.25, 0.75],
    [[-1.0, 0.5], [1.0, 1.0]],
    [[[2.0, 0.5], [0.5, 1.0]], [[1.0, -0.25], [-0.25, 3.0]]],
)


def mixture_cases() -> Iterator[Case]:
    """Yield the cases of the mixture in any dimension."""
    yield _g2(
        "one-component",
        "K = 1: mean and covariance of the data (divided by N) after one iteration",
        "simple one-component",
        NINE,
        ([1.0], [[0.0, 0.0]], [_eye(2)]),
    )
    yield _g2("by-hand", "nine points", "simple", NINE, EVEN_PLANE)
    yield _g2(
        "by-hand-skewed-start",
        "unequal weights and correlated components in the start: a covariance transposed, not "
        "inverted, or a determinant left out shows after one iteration",
        "simple",
        NINE,
        SKEWED,
    )
    yield _g2(
        "relabelled",
        "gmm2d-by-hand-skewed-start with its components in the other order",
        "equivariance",
        NINE,
        tuple(each[::-1] for each in SKEWED),
    )
    yield _g2(
        "axes-swapped",
        "gmm2d-by-hand-skewed-start with its coordinates in the other order",
        "equivariance",
        [row[::-1] for row in NINE],
        (
            SKEWED[0],
            [mean[::-1] for mean in SKEWED[1]],
            [[row[::-1] for row in covariance[::-1]] for covariance in SKEWED[2]],
        ),
    )
    yield _g2(
        "reordered",
        "gmm2d-by-hand-skewed-start with its rows in another order",
        "equivariance",
        NINE[1::2] + NINE[::-2],
        SKEWED,
    )
    yield _g2(
        "shifted",
        "gmm2d-by-hand-skewed-start moved by (4096, -8192)",
        "equivariance offset",
        _affine(NINE, [1.0, 1.0], [4096.0, -8192.0]),
        (SKEWED[0], _affine(SKEWED[1], [1.0, 1.0], [4096.0, -8192.0]), SKEWED[2]),
    )
    yield _g2(
        "scaled",
        "gmm2d-by-hand-skewed-start in other units: x times 1024, y divided by 64, exact in binary",
        "equivariance scale",
        _affine(NINE, [1024.0, 1 / 64], [0.0, 0.0]),
        (
            SKEWED[0],
            _affine(SKEWED[1], [1024.0, 1 / 64], [0.0, 0.0]),
            [
                [[2.0 * 2**20, 0.5 * 16], [0.5 * 16, 1.0 / 4096]],
                [[1.0 * 2**20, -0.25 * 16], [-0.25 * 16, 3.0 / 4096]],
            ],
        ),
    )
    yield _g2(
        "repeated",
        "gmm2d-by-hand-skewed-start with every row twice",
        "equivariance duplicates",
        NINE * 2,
        SKEWED,
    )
    slanted = [[1.0, 0.0], [0.75, 0.5]]
    for K in (1, 2, 3):
        for separation in (1.0, 2.0, 4.0, 8.0):
            means = [[separation * k, separation * (k % 2)] for k in range(K)]
            flags = "simple"
            flags += " one-component" if K == 1 else ""
            flags += " overlapping" if K > 1 and separation <= 1 else ""
            flags += " well-separated" if K > 1 and separation >= 8 else ""
            yield _g2(
                f"k{K}-separation-{separation:g}",
                f"30 points, {K} correlated component(s), {separation:g} apart in each coordinate",
                flags,
                _draw(200 * K + round(separation), 30, means, [slanted] * K),
                (
                    [1 / K] * K,
                    [[a + 0.5 * (1 - 2 * (k % 2)), b] for k, (a, b) in enumerate(means)],
                    [[[2.0, 0.25], [0.25, 1.0 + 0.5 * k]] for k in range(K)],
                ),
            )
    yield _g2(
        "k5",
        "five components, 60 points",
        "simple",
        _draw(50, 60, [[0, 0], [5, 0], [0, 5], [5, 5], [10, 2]], [slanted] * 5),
        (
            [0.2] * 5,
            [[0.5, 0.0], [4.0, 0.0], [0.0, 4.0], [5.0, 6.0], [9.0, 2.0]],
            [_eye(2, 2.0)] * 5,
        ),
    )
    cross = _draw(51, 40, [[0, 0], [0, 0]], [[[3.0, 0], [0, 0.3]], [[0.3, 0], [0, 3.0]]])
    yield _g2(
        "cross",
        "two long components that cross: means equal, covariances apart",
        "overlapping",
        cross,
        ([0.5, 0.5], [[0.0, 0.0], [0.0, 0.0]], [[[4.0, 0], [0, 1.0]], [[1.0, 0], [0, 4.0]]]),
    )
    for correlation, words in ((0.99, "0.99"), (-0.99, "minus-0.99"), (0.99999, "0.99999")):
        side = (1 - correlation**2) ** 0.5
        factor = [[1.0, 0.0], [correlation, side]]
        yield _g2(
            f"correlation-{words}",
            f"components with a correlation of {correlation:g}",
            "ill-conditioned",
            _draw(52, 30, [[0, 0], [3, -3]], [factor] * 2, digits=6),
            ([0.5, 0.5], [[0.5, 0.0], [2.0, -3.0]], [_eye(2, 2.0)] * 2),
        )
    yield _g2(
        "singular-start",
        "a covariance of the start has a condition number of 2e6 and is positive definite",
        "ill-conditioned",
        _draw(53, 20, [[0, 0], [1, 1]], [[[1.0, 0.0], [1.0, 0.001]]] * 2, digits=5),
        (
            [0.5, 0.5],
            [[-0.5, -0.5], [1.0, 1.0]],
            [[[1.0, 1.0 - 1e-6], [1.0 - 1e-6, 1.0]], _eye(2)],
        ),
        iterations=(0, 1, 2, 5),
    )
    base = _draw(60, 30, [[0, 0], [4, 3]], [slanted] * 2)
    start = ([0.5, 0.5], [[1.0, 0.0], [3.0, 3.0]], [_eye(2, 2.0)] * 2)
    yield _g2("scale-1", "two components, 30 points", "simple", base, start)
    for offset, words in ((1e4, "1e4"), (1e6, "1e6"), (1e8, "1e8")):
        yield _g2(
            f"offset-{words}",
            f"gmm2d-scale-1 moved by ({offset:g}, {-offset:g})",
            "offset",
            _affine(base, [1.0, 1.0], [offset, -offset]),
            (start[0], _affine(start[1], [1.0, 1.0], [offset, -offset]), start[2]),
        )
    for a, b, words in (
        (1e-8, 1e-8, "1e-8"),
        (1e8, 1e8, "1e8"),
        (1e-8, 1e8, "1e-8-and-1e8"),
        (1e60, 1e-60, "1e60-and-1e-60"),
    ):
        yield _g2(
            f"scale-{words}",
            f"gmm2d-scale-1 with x times {a:g} and y times {b:g}: an absolute ridge, or a bound "
            "on a condition number, shows",
            "scale",
            _affine(base, [a, b], [0.0, 0.0]),
            (
                start[0],
                _affine(start[1], [a, b], [0.0, 0.0]),
                [[[2.0 * a * a, 0.0], [0.0, 2.0 * b * b]]] * 2,
            ),
        )
    yield _g2(
        "far-start",
        "both components start a hundred standard deviations from all data",
        "underflow",
        _affine(NINE, [1.0, 1.0], [100.0, 100.0]),
        ([0.5, 0.5], [[0.0, 0.0], [1.0, 0.0]], [_eye(2), _eye(2)]),
        iterations=(0, 1, 2, 5),
    )
    yield _g2(
        "outlier",
        "one point lies eighty standard deviations from every component",
        "underflow",
        [*NINE, [60.0, -55.0]],
        EVEN_PLANE,
        iterations=(0, 1, 2, 5),
    )
    yield _g2(
        "narrow-start",
        "variances start so small that every responsibility is 0 or 1",
        "hard-assignment underflow",
        base,
        ([0.5, 0.5], [[1.0, 0.0], [3.0, 3.0]], [_eye(2, 1e-4)] * 2),
    )
    yield _g2(
        "wide-start",
        "covariances start ten thousand times too large",
        "plateau",
        base,
        ([0.5, 0.5], [[1.0, 0.0], [3.0, 3.0]], [_eye(2, 1e4)] * 2),
    )
    yield _g2(
        "equal-components",
        "both components start as one and stay so",
        "equal-components",
        NINE,
        ([0.5, 0.5], [[0.5, 0.5]] * 2, [_eye(2, 2.0)] * 2),
    )
    yield _g2(
        "light-1e-6",
        "a component starts with a weight of 1e-6",
        "empty-component",
        NINE,
        ([1 - 1e-6, 1e-6], [[0.0, 0.0], [2.0, 1.0]], [_eye(2, 4.0), _eye(2)]),
        iterations=(0, 1, 2),
    )
    yield _g2(
        "light-1e-200",
        "a component starts with a weight of 1e-200: its moments are ratios of tiny sums",
        "empty-component",
        NINE,
        ([1.0, 1e-200], [[0.0, 0.0], [2.0, 1.0]], [_eye(2, 4.0), _eye(2)]),
        iterations=(0, 1, 2),
    )
    yield _g2(
        "no-weight",
        "a component starts with weight 0: its mean and covariance are left open, and to refuse is "
        "right as well",
        "empty-component degenerate",
        NINE,
        ([1.0, 0.0], [[0.0, 0.0], [2.0, 1.0]], [_eye(2, 4.0), _eye(2)]),
        result=ACCEPTABLE,
    )
    yield _g2(
        "k-equals-n-3",
        "three points, three wide components",
        "k-equals-n overlapping",
        [[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]],
        (
            [0.25, 0.5, 0.25],
            [[0.0, 0.0], [1.0, 1.0], [2.0, 1.0]],
            [_eye(2, 9.0)] * 3,
        ),
        iterations=(0, 1, 2),
    )
    yield _g2(
        "three-points",
        "K = 1, N = 3: the fewest points with a covariance in the plane",
        "one-component",
        [[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]],
        ([1.0], [[0.0, 0.0]], [_eye(2)]),
        iterations=(0, 1, 2),
    )
    yield _g2(
        "one-observation-start",
        "the log-likelihood of a single point, before any iteration",
        "one-observation",
        [[1.5, -0.5]],
        SKEWED,
        iterations=(0,),
    )
    yield _g2(
        "one-observation",
        "the first iteration makes the covariance of a single point zero",
        "one-observation degenerate",
        [[1.5, -0.5]],
        ([1.0], [[0.0, 0.0]], [_eye(2)]),
        result=MUST_ERROR,
        iterations=(1,),
    )
    yield _g2(
        "all-equal",
        "four equal points: every covariance becomes zero",
        "duplicates degenerate",
        [[1.0, 2.0]] * 4,
        EVEN_PLANE,
        result=MUST_ERROR,
        iterations=(1,),
    )
    yield _g2(
        "constant-column",
        "the second coordinate is constant: every covariance becomes singular",
        "degenerate",
        [[row[0], 2.0] for row in NINE],
        EVEN_PLANE,
        result=MUST_ERROR,
        iterations=(1,),
    )
    yield _g2(
        "collinear",
        "all points lie on a line: every covariance becomes singular, to rounding, and an answer "
        "that looks sound is rounding itself",
        "degenerate",
        [[row[0], 2 * row[0] + 1] for row in NINE],
        EVEN_PLANE,
        result=MUST_ERROR,
        iterations=(1,),
    )
    yield _g2(
        "collapse",
        "a narrow component starts on one point: its covariance falls below 1e-10000 at once",
        "degenerate underflow",
        NINE,
        ([0.5, 0.5], [[0.0, 0.5], [0.0, 0.0]], [_eye(2, 1e-6), _eye(2, 4.0)]),
        result=MUST_ERROR,
        iterations=(1,),
    )
    yield _g2(
        "ties",
        "five distinct points, many times each",
        "duplicates",
        [[0.0, 0.0]] * 4
        + [[1.0, 0.0]] * 4
        + [[0.0, 2.0]] * 3
        + [[3.0, 3.0]] * 5
        + [[2.0, 1.0]] * 3,
        ([0.5, 0.5], [[0.0, 0.0], [2.0, 2.0]], [_eye(2, 9.0)] * 2),
        iterations=(0, 1, 2, 5),
    )
    # Missing coordinates.
    holes = [list(row) for row in NINE]
    yield _g2(
        "missing-one",
        "one coordinate of one point was not observed: the point counts by the other's density, "
        "and the missing one is completed from each component's own regression",
        "missing",
        [*NINE[:3], [-0.5, None], *NINE[4:]],
        SKEWED,
    )
    yield _g2(
        "missing-row",
        "of one point nothing was observed: its density is 1",
        "missing",
        [*NINE[:3], [None, None], *NINE[4:]],
        SKEWED,
    )
    for n, row in enumerate(holes):
        if n % 3 < 2:
            row[n % 3] = None  # type: ignore[call-overload]
    yield _g2(
        "missing-many",
        "six of nine points lack one coordinate or the other",
        "missing",
        holes,
        SKEWED,
    )
    yield _g2(
        "missing-k1",
        "one component: what Little and Rubin's EM for a normal sample does",
        "missing one-component",
        [
            [None if (n + d) % 5 == 0 else a for d, a in enumerate(row)]
            for n, row in enumerate(base)
        ],
        ([1.0], [[0.0, 0.0]], [_eye(2)]),
    )
    yield _g2(
        "missing-offset",
        "gmm2d-missing-many moved by (1e6, -1e6)",
        "missing offset",
        _affine(holes, [1.0, 1.0], [1e6, -1e6]),
        (SKEWED[0], _affine(SKEWED[1], [1.0, 1.0], [1e6, -1e6]), SKEWED[2]),
    )
    # Other dimensions.
    yield _g2(
        "d1",
        "one coordinate: the numbers of gmm1d-by-hand-unequal-start",
        "one-dimension equivariance",
        [[x] for x in TWO_CLUSTERS],
        ([0.25, 0.75], [[-1.0], [1.0]], [[[4.0]], [[0.25]]]),
    )
    yield _g2(
        "d1-missing",
        "one coordinate, not observed twice",
        "one-dimension missing",
        [[x] for x in [None, *TWO_CLUSTERS, None]],
        ([0.25, 0.75], [[-1.0], [1.0]], [[[4.0]], [[0.25]]]),
    )
    factor3 = [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [-0.5, 0.25, 0.75]]
    cube = _draw(70, 30, [[0, 0, 0], [3, 3, -3]], [factor3] * 2)
    start3 = ([0.5, 0.5], [[0.5, 0.0, 0.0], [2.0, 3.0, -3.0]], [_eye(3, 2.0)] * 2)
    yield _g2("d3", "three coordinates", "high-dimension simple", cube, start3)
    yield _g2(
        "d3-missing",
        "three coordinates, a fifth of them not observed, in six patterns",
        "high-dimension missing",
        [
            [None if (3 * n + 2 * d) % 5 == 0 else a for d, a in enumerate(row)]
            for n, row in enumerate(cube)
        ],
        start3,
    )
    yield _g2(
        "d3-k3",
        "three coordinates, three components",
        "high-dimension simple",
        _draw(71, 36, [[0, 0, 0], [4, 4, -4], [-4, 4, 4]], [factor3] * 3),
        (
            [0.25, 0.25, 0.5],
            [[0.5, 0.0, 0.0], [3.0, 3.0, -3.0], [-3.0, 3.0, 3.0]],
            [_eye(3, 2.0)] * 3,
        ),
    )
    factor5 = [[1.0 if i == j else 0.25 * (i > j) for j in range(5)] for i in range(5)]
    yield _g2(
        "d5",
        "five coordinates",
        "high-dimension simple",
        _draw(72, 40, [[0] * 5, [2, -2, 2, -2, 2]], [factor5] * 2),
        ([0.5, 0.5], [[0.5] * 5, [2.0, -2.0, 2.0, -2.0, 1.0]], [_eye(5, 2.0)] * 2),
    )
    # Seed example and published data.
    yield _notebook_plane()
    rows = column("faithful.csv", "eruptions", "waiting")
    yield _g2(
        "faithful",
        "Old Faithful's 272 eruptions; the optimum is at -1130.26396018",
        "published",
        rows,
        ([0.5, 0.5], [[2.0, 55.0], [4.0, 80.0]], [[[1.0, 10.0], [10.0, 180.0]]] * 2),
    )
    yield _g2(
        "faithful-k1",
        "Old Faithful's 272 eruptions, one component",
        "published one-component",
        rows,
        ([1.0], [[2.0, 55.0]], [[[1.0, 10.0], [10.0, 180.0]]]),
        iterations=(0, 1, 2),
    )
    yield _g2(
        "faithful-k3",
        "Old Faithful's first 100 eruptions, three components",
        "published",
        rows[:100],
        (
            [0.25, 0.25, 0.5],
            [[2.0, 50.0], [2.0, 60.0], [4.0, 80.0]],
            [[[0.5, 0.0], [0.0, 50.0]]] * 3,
        ),
    )
    yield from _mixture_refusals()


def _notebook_plane() -> Case:
    """Return the third seed example: points and start rounded, so that they are the same anywhere.

    The start is what an M-step makes of random responsibilities.
    """
    rng = np.random.RandomState(1)
    x = np.vstack(
        [
            rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 210),
            rng.multivariate_normal([4, 4], [[1, -0.3], [-0.3, 1]], 90),
        ]
    )
    r = np.random.RandomState(42).dirichlet([1, 1], size=300)  # (N, K)
    weights, means, covariances = [], [], []
    for k in range(2):
        share = r[:, k] / r[:, k].sum()
        mean = share @ x
        covariance = np.round((share[:, None] * (x - mean)).T @ (x - mean), 8)
        weights.append(r[:, k].mean())
        means.append(mean)
        covariances.append((covariance + covariance.T) / 2)
    first = round(float(weights[0]), 8)
    return _g2(
        "notebook",
        "the third seed example, rounded: a start from random responsibilities, and a plateau on "
        "which EM stays for all of these 20 iterations",
        "seed-example plateau",
        rounded(x, 6),
        ([first, 1 - first], rounded(means, 8), rounded(covariances, 8)),
    )


def _mixture_refusals() -> Iterator[Case]:
    refused: dict[str, Any] = {"result": MUST_ERROR, "iterations": (1,)}
    inf = float("inf")
    w, m, S = EVEN_PLANE
    for name, comment, start in (
        ("weights-sum", "the weights sum to 0.9", ([0.5, 0.4], m, S)),
        ("weights-negative", "a weight is negative", ([1.25, -0.25], m, S)),
        (
            "not-symmetric",
            "a covariance is not symmetric",
            (w, m, [[[1.0, 0.5], [0.2, 1.0]], S[1]]),
        ),
        (
            "indefinite",
            "a covariance has a negative eigenvalue, though its variances are positive",
            (w, m, [[[1.0, 2.0], [2.0, 1.0]], S[1]]),
        ),
        (
            "negative-definite",
            "a covariance is negative definite: its determinant is positive",
            (w, m, [[[-1.0, 0.0], [0.0, -1.0]], S[1]]),
        ),
        ("singular", "a covariance has rank one", (w, m, [[[1.0, 1.0], [1.0, 1.0]], S[1]])),
        ("zero-covariance", "a covariance is zero", (w, m, [[[0.0, 0.0], [0.0, 0.0]], S[1]])),
        ("variances-only", "variances where covariances belong", (w, m, [[1.0, 1.0], [1.0, 1.0]])),
        ("three-means", "two weights, three means", (w, [*m, [2.0, 2.0]], S)),
        ("mean-of-three", "means of three coordinates", (w, [[0.0] * 3, [1.0] * 3], S)),
        (
            "wrong-dimension",
            "a start in three dimensions for data in two",
            (w, [[0.0] * 3, [1.0] * 3], [_eye(3)] * 2),
        ),
        ("mean-infinite", "a mean is infinite", (w, [[-1.0, inf], m[1]], S)),
        ("no-covariances", "a field is not there", (w, m)),
    ):
        yield _g2(f"refuse-{name}", comment, "invalid-start", NINE, start, **refused)
    for name, comment, data in (
        ("data-infinite", "a value is infinite (1e999 in JSON)", [*NINE, [1.0, inf]]),
        ("data-ragged", "a row lacks its second coordinate", [*NINE, [1.0]]),
        ("data-flat", "single values where rows belong", TWO_CLUSTERS),
        ("data-text", "a value is text", [*NINE, [1.0, "two"]]),
        ("data-empty", "no data", []),
    ):
        yield _g2(f"refuse-{name}", comment, "invalid-data", data, EVEN_PLANE, **refused)


# --- Categorical hidden Markov model -------------------------------------------------------------


def _hm(
    name: str,
    comment: str,
    flags: str,
    sequences: Sequence[Any],
    start: tuple[Any, ...],
    **options: Any,
) -> Case:
    return Case(
        f"hmm-{name}",
        "categorical_hmm",
        comment,
        frozenset(flags.split()),
        list(sequences),
        dict(zip(("startprob", "transmat", "emissionprob"), start)),
        **options,
    )


def _simulate(seed: int, T: int, start: tuple[Any, ...]) -> list[int]:
    startprob, transmat, emissionprob = start
    rng = random.Random(seed)
    symbols = []
    z = 0
    for t in range(T):
        row = transmat[z] if t else startprob
        z = rng.choices(range(len(row)), row)[0]
        symbols.append(rng.choices(range(len(emissionprob[z])), emissionprob[z])[0])
    return symbols


def _row(rng: random.Random, size: int) -> list[float]:
    """Return a random distribution in multiples of 1/64, so that it sums to 1 exactly."""
    cuts = sorted(rng.sample(range(1, 64), size - 1))
    return [(b - a) / 64 for a, b in zip([0, *cuts], [*cuts, 64])]


def _random_start(seed: int, K: int, V: int) -> tuple[Any, ...]:
    rng = random.Random(seed)
    return (
        _row(rng, K),
        [_row(rng, K) for _ in range(K)],
        [_row(rng, V) for _ in range(K)],
    )


WEATHER = (
    [0.625, 0.375],
    [[0.75, 0.25], [0.375, 0.625]],
    [[0.125, 0.375, 0.5], [0.625, 0.25, 0.125]],
)
"""Two states, three symbols: rainy and sunny; walk, shop and clean."""

STEPS = [0, 1, 2, 2, 1, 0, 0, 2, 1, 2]


def hmm_cases() -> Iterator[Case]:
    """Yield the cases of the hidden Markov model."""
    yield _hm(
        "by-hand",
        "three symbols: eight hidden paths, few enough to write down",
        "simple",
        [[0, 1, 2]],
        WEATHER,
        enumerated=True,
        iterations=(0, 1, 2, 5),
    )
    yield _hm("ten", "ten symbols", "simple", [STEPS], WEATHER, enumerated=True)
    yield _hm(
        "relabelled",
        "hmm-ten with its states in the other order",
        "equivariance",
        [STEPS],
        (
            WEATHER[0][::-1],
            [row[::-1] for row in WEATHER[1][::-1]],
            WEATHER[2][::-1],
        ),
        enumerated=True,
    )
    yield _hm(
        "symbols-relabelled",
        "hmm-ten with symbols 0, 1, 2 called 2, 0, 1",
        "equivariance",
        [[(2, 0, 1)[v] for v in STEPS]],
        (WEATHER[0], WEATHER[1], [[row[1], row[2], row[0]] for row in WEATHER[2]]),
        enumerated=True,
    )
    yield _hm(
        "repeated",
        "hmm-ten twice, as two sequences: the same parameters, twice the log-likelihood",
        "equivariance several-sequences duplicates",
        [STEPS, STEPS],
        WEATHER,
        enumerated=True,
    )
    yield _hm(
        "end-to-end",
        "hmm-ten twice, as one sequence of twenty: not the same as two",
        "simple",
        [STEPS * 2],
        WEATHER,
    )
    for K, V, T in (
        (1, 2, 20),
        (1, 4, 20),
        (2, 2, 8),
        (2, 2, 60),
        (2, 3, 2),
        (2, 3, 60),
        (2, 5, 60),
        (3, 2, 7),
        (3, 2, 60),
        (3, 3, 60),
        (3, 4, 6),
        (4, 3, 5),
        (4, 4, 60),
        (5, 3, 60),
    ):
        truth = _random_start(1000 + 100 * K + 10 * V + T, K, V)
        yield _hm(
            f"k{K}-v{V}-t{T}",
            f"{K} state(s), {V} symbols, {T} steps, from random parameters",
            "simple one-component" if K == 1 else "simple",
            [_simulate(T + K, T, truth)],
            _random_start(2000 + 100 * K + 10 * V + T, K, V),
            enumerated=K**T <= 2500,
            iterations=(0, 1, 2) if T <= 8 else ITERATIONS,
        )
    yield _hm(
        "sticky",
        "states that last for fifty steps",
        "simple",
        [_simulate(3, 200, ([0.5, 0.5], [[0.98, 0.02], [0.02, 0.98]], WEATHER[2]))],
        ([0.5, 0.5], [[0.875, 0.125], [0.125, 0.875]], WEATHER[2]),
    )
    yield _hm(
        "alternating",
        "states that change at nearly every step",
        "simple",
        [_simulate(4, 60, ([0.5, 0.5], [[0.02, 0.98], [0.98, 0.02]], WEATHER[2]))],
        ([0.5, 0.5], [[0.25, 0.75], [0.75, 0.25]], WEATHER[2]),
    )
    yield _hm(
        "asymmetric",
        "a transition matrix far from its transpose: rows and columns mixed up show at once",
        "simple",
        [_simulate(5, 60, ([1.0, 0.0, 0.0], [[0.1, 0.8, 0.1]] * 3, [[0.8, 0.1, 0.1]] * 3))],
        (
            [0.5, 0.25, 0.25],
            [[0.125, 0.75, 0.125], [0.125, 0.125, 0.75], [0.5, 0.25, 0.25]],
            [[0.75, 0.125, 0.125], [0.25, 0.5, 0.25], [0.125, 0.25, 0.625]],
        ),
    )
    yield _hm(
        "equal-states",
        "both states start as one: they stay so, and the transition matrix too",
        "equal-components",
        [STEPS],
        ([0.5, 0.5], [[0.5, 0.5], [0.5, 0.5]], [[0.25, 0.5, 0.25]] * 2),
        enumerated=True,
    )
    yield _hm(
        "independent",
        "a mixture in disguise: rows of the transition matrix are the start's distribution",
        "simple",
        [STEPS * 2],
        ([0.25, 0.75], [[0.25, 0.75], [0.25, 0.75]], WEATHER[2]),
    )
    # Structural zeros.
    yield _hm(
        "left-to-right",
        "three states passed from left to right: the zeros of the transition matrix and of the "
        "start stay zero",
        "structural-zero",
        [[0, 0, 0, 1, 1, 2, 2, 2, 0, 2]],
        (
            [1.0, 0.0, 0.0],
            [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]],
            [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]],
        ),
    )
    yield _hm(
        "cycle",
        "three states in a fixed order, start unknown",
        "structural-zero",
        [[0, 1, 2, 0, 1, 1, 0, 1, 2, 0, 2, 2]],
        (
            [0.5, 0.25, 0.25],
            [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]],
            [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]],
        ),
    )
    yield _hm(
        "identity",
        "states that never change: a mixture of sequences",
        "structural-zero several-sequences",
        [[0, 0, 1], [2, 2, 1, 2], [0, 1, 0], [2, 1]],
        ([0.5, 0.5], [[1.0, 0.0], [0.0, 1.0]], WEATHER[2]),
        enumerated=True,
    )
    yield _hm(
        "zero-emissions",
        "each state lacks a symbol: the zeros stay, and some steps have a certain state",
        "structural-zero",
        [STEPS],
        (WEATHER[0], WEATHER[1], [[0.0, 0.5, 0.5], [0.5, 0.5, 0.0]]),
        enumerated=True,
    )
    yield _hm(
        "visible",
        "each state shows a symbol of its own: a Markov chain, whose transitions are counted",
        "structural-zero hard-assignment",
        [[0, 0, 1, 0, 1, 1, 1, 0, 0, 0]],
        ([0.5, 0.5], [[0.5, 0.5], [0.25, 0.75]], [[1.0, 0.0], [0.0, 1.0]]),
        enumerated=True,
    )
    yield _hm(
        "certain-start",
        "the first state is certain",
        "structural-zero",
        [STEPS],
        ([0.0, 1.0], WEATHER[1], WEATHER[2]),
        enumerated=True,
    )
    yield _hm(
        "absorbing",
        "a state that is never left once entered",
        "structural-zero",
        [STEPS, STEPS[::-1]],
        ([0.75, 0.25], [[0.75, 0.25], [0.0, 1.0]], WEATHER[2]),
        enumerated=True,
    )
    yield _hm(
        "unreachable-state",
        "a state that cannot be reached: its rows are left open, and the others' answer stands",
        "structural-zero empty-state",
        [STEPS],
        (
            [0.5, 0.5, 0.0],
            [[0.75, 0.25, 0.0], [0.375, 0.625, 0.0], [0.25, 0.25, 0.5]],
            [*WEATHER[2], [0.25, 0.25, 0.5]],
        ),
        enumerated=False,
    )
    yield _hm(
        "ruled-out-state",
        "a state whose only symbol never occurs: its rows are left open",
        "structural-zero empty-state unseen-symbol",
        [[0, 1, 0, 0, 1, 1, 0]],
        (
            [0.5, 0.25, 0.25],
            [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]],
            [[0.75, 0.25, 0.0], [0.25, 0.75, 0.0], [0.0, 0.0, 1.0]],
        ),
        enumerated=True,
    )
    # Tiny probabilities.
    tiny = 2.0**-40
    yield _hm(
        "tiny-transition",
        "a transition of probability 1e-12 that the symbols force",
        "structural-zero",
        [[0, 0, 0, 1, 1, 1]],
        ([1.0, 0.0], [[1 - tiny, tiny], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]),
        enumerated=True,
        iterations=(0, 1, 2),
    )
    yield _hm(
        "tiny-emission",
        "a symbol that one state shows once in 1e12 steps, and the other never",
        "structural-zero",
        [[0, 0, 1, 0, 0]],
        (WEATHER[0], WEATHER[1], [[1 - tiny, tiny], [1.0, 0.0]]),
        enumerated=True,
        iterations=(0, 1, 2),
    )
    yield _hm(
        "nearly-certain",
        "emissions of 1e-12: state paths are all but certain",
        "hard-assignment",
        [[0, 0, 1, 1, 0, 1, 1, 1, 0, 0]],
        (WEATHER[0], WEATHER[1], [[1 - tiny, tiny], [tiny, 1 - tiny]]),
        enumerated=True,
    )
    # Symbols never seen.
    yield _hm(
        "unseen-symbol",
        "symbol 3 never occurs: its probability becomes zero, and nothing else",
        "unseen-symbol",
        [STEPS],
        (WEATHER[0], WEATHER[1], [[0.125, 0.25, 0.375, 0.25], [0.5, 0.25, 0.125, 0.125]]),
        enumerated=True,
    )
    yield _hm(
        "unseen-first-symbol",
        "symbol 0 never occurs: symbols are not to be numbered anew",
        "unseen-symbol",
        [[v + 1 for v in STEPS]],
        (WEATHER[0], WEATHER[1], [[0.25, 0.125, 0.25, 0.375], [0.125, 0.5, 0.25, 0.125]]),
        enumerated=True,
    )
    yield _hm(
        "one-symbol",
        "V = 1: every emission is certain, and the transitions stay where they start",
        "simple",
        [[0, 0, 0, 0, 0, 0]],
        (WEATHER[0], WEATHER[1], [[1.0], [1.0]]),
        enumerated=True,
        iterations=(0, 1, 2),
    )
    yield _hm(
        "constant",
        "one of three symbols throughout",
        "unseen-symbol duplicates",
        [[1] * 12],
        WEATHER,
    )
    # Several sequences, and short ones.
    yield _hm(
        "three-sequences",
        "three sequences: a start is counted for each",
        "several-sequences",
        [[0, 1, 2, 2], [1, 1, 0], [2, 0, 0, 1, 2]],
        WEATHER,
        enumerated=True,
    )
    yield _hm(
        "sequences-reordered",
        "hmm-three-sequences in another order",
        "several-sequences equivariance",
        [[2, 0, 0, 1, 2], [0, 1, 2, 2], [1, 1, 0]],
        WEATHER,
        enumerated=True,
    )
    yield _hm(
        "unequal-lengths",
        "sequences of 40, 1, 3 and 17 symbols: their counts are added, not averaged",
        "several-sequences length-1",
        [_simulate(6, 40, WEATHER), [2], [0, 0, 1], _simulate(7, 17, WEATHER)],
        ([0.5, 0.5], [[0.5, 0.5], [0.25, 0.75]], [[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]]),
    )
    yield _hm(
        "many-short",
        "thirty sequences of two symbols",
        "several-sequences",
        [_simulate(100 + n, 2, WEATHER) for n in range(30)],
        ([0.5, 0.5], [[0.5, 0.5], [0.25, 0.75]], [[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]]),
    )
    yield _hm(
        "length-1-among-others",
        "two of four sequences have one symbol",
        "several-sequences length-1",
        [[0, 1, 2, 2], [1], [2, 0, 0], [0]],
        WEATHER,
        enumerated=True,
    )
    yield _hm(
        "all-length-1",
        "only sequences of one symbol: there is no transition, and the matrix is left open",
        "several-sequences length-1",
        [[0], [1], [2], [2], [0]],
        WEATHER,
        enumerated=True,
    )
    yield _hm(
        "one-observation",
        "one sequence of one symbol: a mixture of two with a single observation",
        "one-observation length-1",
        [[1]],
        WEATHER,
        enumerated=True,
        iterations=(0, 1, 2),
    )
    yield _hm(
        "two-symbols",
        "one sequence of two symbols: one transition",
        "simple",
        [[1, 2]],
        WEATHER,
        enumerated=True,
        iterations=(0, 1, 2),
    )
    yield _hm(
        "k-equals-n-3",
        "three states, three steps",
        "k-equals-n",
        [[0, 2, 1]],
        _random_start(77, 3, 3),
        enumerated=True,
        iterations=(0, 1, 2),
    )
    # Masked symbols.
    yield _hm(
        "missing-one",
        "one symbol was not observed: no emission counts there, and the chain goes on",
        "missing",
        [[0, 1, None, 2, 1, 0, 0, 2]],
        WEATHER,
        enumerated=True,
    )
    yield _hm(
        "missing-first",
        "the first symbol was not observed",
        "missing",
        [[None, 1, 2, 2, 1, 0]],
        WEATHER,
        enumerated=True,
    )
    yield _hm(
        "missing-last",
        "the last two symbols were not observed: they add nothing to the log-likelihood",
        "missing",
        [[0, 1, 2, 2, None, None]],
        WEATHER,
        enumerated=True,
    )
    yield _hm(
        "missing-gap",
        "a gap of five in the middle",
        "missing",
        [[0, 1, 2, None, None, None, None, None, 0, 0]],
        WEATHER,
        enumerated=True,
    )
    yield _hm(
        "missing-sequence",
        "one of three sequences was not observed at all",
        "missing several-sequences",
        [[0, 1, 2, 2], [None, None, None], [2, 0, 0, 1]],
        WEATHER,
        enumerated=True,
    )
    yield _hm(
        "missing-half",
        "every other symbol of sixty",
        "missing",
        [[None if t % 2 else v for t, v in enumerate(_simulate(9, 60, WEATHER))]],
        ([0.5, 0.5], [[0.5, 0.5], [0.25, 0.75]], [[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]]),
    )
    # Long sequences.
    other = ([0.5, 0.5], [[0.5, 0.5], [0.25, 0.75]], [[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]])
    yield _hm(
        "long-1200",
        "1,200 steps: the probability of the symbols is about 1e-560, and unscaled recursions "
        "underflow",
        "underflow long",
        [_simulate(10, 1200, WEATHER)],
        other,
    )
    yield _hm(
        "long-3000",
        "3,000 steps",
        "underflow long",
        [_simulate(11, 3000, WEATHER)],
        other,
        iterations=(0, 1, 2, 5),
    )
    yield _hm(
        "long-k3",
        "1,500 steps, three states",
        "underflow long",
        [_simulate(12, 1500, _random_start(501, 3, 4))],
        _random_start(502, 3, 4),
        iterations=(0, 1, 2, 5),
    )
    yield _hm(
        "long-several",
        "1,000 + 1 + 1,000 steps in three sequences",
        "underflow long several-sequences length-1",
        [_simulate(13, 1000, WEATHER), [0], _simulate(14, 1000, WEATHER)],
        other,
        iterations=(0, 1, 2, 5),
    )
    yield _hm(
        "long-missing",
        "1,500 steps of which every seventh was not observed",
        "underflow long missing",
        [[None if t % 7 == 3 else v for t, v in enumerate(_simulate(15, 1500, WEATHER))]],
        other,
        iterations=(0, 1, 2, 5),
    )
    yield _hm(
        "long-zeros",
        "1,500 steps of a chain with structural zeros",
        "underflow long structural-zero",
        [
            _simulate(
                16,
                1500,
                (
                    [1.0, 0.0, 0.0],
                    [[0.75, 0.25, 0.0], [0.0, 0.75, 0.25], [0.25, 0.0, 0.75]],
                    [[0.75, 0.25, 0.0], [0.0, 0.75, 0.25], [0.25, 0.0, 0.75]],
                ),
            )
        ],
        (
            [1.0, 0.0, 0.0],
            [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]],
            [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]],
        ),
        iterations=(0, 1, 2, 5),
    )
    yield _hm(
        "surprise",
        "each of forty steps has a probability below 1e-11: path probabilities reach 1e-400",
        "underflow",
        [[1] * 40],
        ([0.5, 0.5], [[0.5, 0.5], [0.25, 0.75]], [[1 - tiny, tiny], [1 - tiny / 2, tiny / 2]]),
        iterations=(0, 1, 2),
    )
    # Seed example and published data.
    rng = np.random.RandomState(42)
    noise = rng.choice(3, size=100).tolist()
    A, B, pi = rng.dirichlet(np.ones(2), 2), rng.dirichlet(np.ones(3), 2), rng.dirichlet(np.ones(2))
    yield _hm(
        "weather-noise",
        "the fourth seed example, its start rounded to eight decimals: symbols without structure",
        "seed-example plateau",
        [noise],
        _closed_start(pi, A, B),
    )
    long = [int(row[0]) for row in column("geyser.csv", "long")]
    geyser = ([0.5, 0.5], [[0.3, 0.7], [0.7, 0.3]], [[0.7, 0.3], [0.2, 0.8]])
    yield _hm(
        "geyser",
        "Old Faithful's 299 eruptions, long or short; the optimum is at -126.70776, with two "
        "probabilities on their way to zero",
        "published",
        [long],
        geyser,
    )
    yield _hm(
        "geyser-50",
        "the first 50 of them",
        "published",
        [long[:50]],
        geyser,
    )
    yield _hm(
        "geyser-split",
        "the 299 eruptions as three sequences",
        "published several-sequences",
        [long[:100], long[100:200], long[200:]],
        geyser,
    )
    yield from _hmm_refusals()


def _closed_start(*fields: Any) -> tuple[Any, ...]:
    """Return distributions rounded to eight decimals, the last entry making up the sum."""

    def closed(row: Any) -> list[float]:
        first = rounded(row[:-1], 8)
        return [*first, round(1 - sum(first), 8)]

    return tuple(
        closed(each) if np.ndim(each) == 1 else [closed(row) for row in each] for each in fields
    )


def _hmm_refusals() -> Iterator[Case]:
    refused: dict[str, Any] = {"result": MUST_ERROR, "iterations": (1,)}
    pi, A, B = WEATHER
    for name, comment, start in (
        ("startprob-sum", "the start's distribution sums to 1.25", ([0.625, 0.625], A, B)),
        ("transmat-sum", "a row of transitions sums to 0.9", (pi, [[0.7, 0.2], A[1]], B)),
        (
            "transmat-columns",
            "the transition matrix is transposed: its columns sum to 1, its rows do not",
            (pi, [list(row) for row in zip(*A)], B),
        ),
        ("emission-sum", "emissions sum to 1.5", (pi, A, [[0.5, 0.5, 0.5], B[1]])),
        ("startprob-negative", "a probability is negative", ([1.25, -0.25], A, B)),
        ("transmat-negative", "a transition is negative", (pi, [[1.25, -0.25], A[1]], B)),
        (
            "transmat-shape",
            "a transition matrix of three states for two",
            (pi, [*A, [0.5, 0.5]], B),
        ),
        ("emission-shape", "emissions of one state for two", (pi, A, B[:1])),
        ("startprob-null", "a probability is null", ([None, 0.375], A, B)),
        ("no-states", "no state at all", ([], [], [])),
        ("no-transmat", "a field is not there", (pi,)),
    ):
        yield _hm(f"refuse-{name}", comment, "invalid-start", [STEPS], start, **refused)
    for name, comment, data in (
        ("symbol-too-large", "symbol 3, and emissions for 0 to 2", [[0, 1, 3]]),
        ("symbol-negative", "symbol -2", [[0, -2, 1]]),
        ("symbol-fraction", "symbol 1.5", [[0, 1.5, 1]]),
        ("symbol-text", "a symbol is text", [[0, "rain", 1]]),
        ("sequence-empty", "a sequence of no symbols", [[0, 1, 2], []]),
        ("no-sequences", "no sequences", []),
    ):
        yield _hm(f"refuse-{name}", comment, "invalid-data", data, WEATHER, **refused)
    yield _hm(
        "refuse-flat",
        "one list of symbols where a list of sequences belongs",
        "invalid-data",
        STEPS,
        WEATHER,
        **refused,
    )
    for name, comment, sequences, start in (
        (
            "impossible-symbol",
            "a symbol that no state shows: the sequence has probability zero",
            [[0, 1, 2]],
            (pi, A, [[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]]),
        ),
        (
            "impossible-transition",
            "symbols that demand a transition of probability zero",
            [[0, 1, 0]],
            ([0.5, 0.5], [[0.5, 0.5], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]),
        ),
        (
            "impossible-start",
            "a first symbol that the only possible first state does not show",
            [[1, 0]],
            ([1.0, 0.0], A, [[1.0, 0.0], [0.0, 1.0]]),
        ),
        (
            "impossible-second-sequence",
            "the first sequence is possible, the second is not",
            [[0, 0, 1], [0, 1, 0]],
            ([0.5, 0.5], [[0.5, 0.5], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]),
        ),
    ):
        yield _hm(f"refuse-{name}", comment, "structural-zero", sequences, start, **refused)
