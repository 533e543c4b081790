"""What a comparison found: these records are ``results.json``, written and read as they stand.

Of each fit there is one of three: a point, a posterior, or the reason why there is neither. A
number that is not finite is null in the file; read again it is None, or NaN within an array.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import numpy as np
from msgspec import Struct, field

from lockstep.comparisons.problem import Mode
from lockstep.models.fits import Status

SCHEMA_VERSION: Literal[2] = 2

type Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
"""Written as nested lists."""

type Arrays = dict[str, Array]
"""Parameters, or what there is of each, by field."""

type Scalar = bool | int | float | str | None
type Told = Scalar | list[Scalar] | dict[str, Scalar | list[Scalar]]
"""What an implementation tells of itself."""


class Verdict(StrEnum):
    """What is said of an outcome."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNSETTLED = "unsettled"
    FAILED = "failed"
    NOT_RUN = "not_run"


class _Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Interval(_Record, frozen=True, kw_only=True):
    """Ends by field, NaN where a parameter has no interval."""

    kind: str
    probability: float
    lower: Arrays
    upper: Arrays


class Bootstrap(Interval, frozen=True, kw_only=True):
    """Intervals from refits of data drawn from the estimate."""

    resamples: int
    sd: Arrays


class Recovery(_Record, frozen=True, kw_only=True):
    """How far an estimate is from the truth, and whether its intervals hold it."""

    max_abs_error: float | None
    rmse: float | None
    covered: int | None = None
    of: int | None = None
    by_parameter: dict[str, bool] = {}


class First(_Record, frozen=True, kw_only=True):
    """The first iteration at which a fit leaves em's, and the entry that differs most there."""

    iteration: int
    entry: str
    value: float | None
    ours: float | None


class Agreement(_Record, frozen=True, kw_only=True):
    """A matched fit held against em's at every iteration.

    `max_scaled_difference` and `by_iteration` are counted in standard deviations of the components,
    or, where both fits collapsed, of the data; `max_abs_difference` in the parameters' own units.
    """

    against: str = field(name="with")
    iterations_compared: int
    max_scaled_difference: float | None
    by_iteration: Array
    units: Literal["components", "data"]
    max_abs_difference: float | None
    same_length: bool
    first: First | None = None


class Start(_Record, frozen=True, kw_only=True):
    """Where one of em's random starts ended."""

    status: Status
    log_likelihood: float | None


class Score(_Record, frozen=True, kw_only=True):
    """A log score over units in nats, and what it is above em's, with its standard error."""

    total: float | None
    units: int
    above: float | None = None
    above_error: float | None = None


class Pointwise(_Record, frozen=True, kw_only=True):
    """Held-out units predicted by the density averaged over draws, and at the posterior mean."""

    averaged: Score
    plugged_in: Score


class LeaveOneOut(_Record, frozen=True, kw_only=True):
    """The leave-one-out log predictive density by PSIS.

    `p` is the effective number of parameters, `k_max` the largest Pareto k-hat, and `k_bad` how
    many lie above the `threshold`.
    """

    elpd: float | None
    se: float | None
    p: float | None
    k_max: float | None
    k_bad: int
    threshold: float
    units: int


class Histogram(_Record, frozen=True, kw_only=True):
    """Counts between edges."""

    edges: Array
    counts: list[int]


class LogLikelihoods(_Record, frozen=True, kw_only=True):
    """Log-likelihoods of the estimate in nats; of a posterior, of its mean."""

    train: float | None
    heldout: float | None


class PointLogLikelihoods(LogLikelihoods, frozen=True, kw_only=True):
    """The same, and after each iteration."""

    trace: Array | None


class PosteriorLogLikelihoods(LogLikelihoods, frozen=True, kw_only=True):
    """The same, and over the draws; `train_error` is the Monte Carlo error of `train`."""

    train_error: float | None = None
    train_mean: float | None
    train_sd: float | None
    train_histogram: Histogram
    heldout_predictive: float | None = None
    heldout_pointwise: Pointwise | None = None
    leave_one_out: LeaveOneOut | None = None


class Diagnostic(_Record, frozen=True, kw_only=True):
    """One check of a posterior: how its value must stand to its threshold.

    A value that is not a number does not pass; one that is within its Monte Carlo error of the
    threshold is on the limit, and passes. The note says which parameter it is, or what it means
    here.
    """

    name: str
    value: bool | float | None
    rule: Literal["<", ">", "<=", ">=", "is"]
    threshold: bool | float
    passed: bool
    note: str = ""
    error: float | None = None
    on_the_limit: bool = False


class SpreadRatios(_Record, frozen=True, kw_only=True):
    """Standard deviations as shares of those of the reference posterior."""

    min: float
    median: float
    max: float
    by_parameter: dict[str, float]


class Diagnostics(_Record, frozen=True, kw_only=True):
    """What a posterior is judged by, each the worst over its parameters, and the checks on it."""

    chains: int
    draws: int
    checks: list[Diagnostic]
    r_hat: float | None = None
    r_hat_as_sampled: float | None = None
    r_hat_log_likelihood: float | None = None
    ess_bulk: float | None = None
    ess_tail: float | None = None
    divergences: int | None = None
    e_bfmi: float | None = None
    k_hat: float | None = None
    k_hat_threshold: float | None = None
    relabelled_draws: int | None = None
    chains_differ_in_labels: bool | None = None
    sd_ratio_to_nuts: SpreadRatios | None = None

    @property
    def sampled(self) -> bool:
        """Whether there are chains to judge by; else the draws are independent."""
        return self.r_hat is not None

    @property
    def failed(self) -> list[Diagnostic]:
        """The checks that did not pass, the gravest first."""
        return [check for check in self.checks if not check.passed]


class Likeness(StrEnum):
    """How a posterior stands to the reference's."""

    AGREES = "agrees"
    DIFFERS = "differs"
    EQUAL = "equal to rounding"
    UNDECIDED = "undecided"


class Comparison(_Record, frozen=True, kw_only=True):
    """One statistic of one quantity in two posteriors.

    The `error` is the combined Monte Carlo standard error of their difference; `z` the normal
    quantile of the probability that they are as far apart.
    """

    quantity: str
    statistic: str
    value: float | None
    reference: float | None
    error: float | None
    z: float


class PosteriorAgreement(_Record, frozen=True, kw_only=True):
    """A posterior held against the reference's.

    In `table` are the statistics that are farthest apart, the worst first, of all the
    `statistics`; a |z| above `limit` differs. In `parts` is each chain by itself, and the
    beginnings of all. `seen` is the difference of a mean, in its sd, that would reach the limit;
    `largest_difference` that of any two draws, where they can be paired.
    """

    against: str = field(name="with")
    likeness: Likeness
    statistics: int
    table: list[Comparison]
    limit: float
    parts: list[Comparison]
    parts_limit: float
    seen: float | None
    largest_difference: float | None
    causes: list[str] = []

    @property
    def beyond(self) -> list[Comparison]:
        """The statistics whose |z| is above the limit."""
        return [c for c in self.table if abs(c.z) > self.limit]


class Habits(_Record, frozen=True, kw_only=True):
    """How an approximation stands to the posterior that it does not claim to be.

    The `narrowest` and the `widest` sd of a parameter, as shares of the reference's; the `farthest`
    mean, in the reference's sd; and the mean `log_likelihood`, less the reference's, in nats.
    """

    against: str = field(name="with")
    narrowest: float | None
    widest: float | None
    farthest: float | None
    log_likelihood: float | None


class Elbo(_Record, frozen=True, kw_only=True):
    """Means of equal stretches of an ELBO trace with their standard errors, and where it ended."""

    step: Array
    mean: Array
    error: Array
    steps: int
    final: float | None
    final_error: float | None
    settled: bool | None


class Outcome(_Record, frozen=True, kw_only=True, tag_field="kind"):
    """What became of one fit."""

    implementation: str
    package: str
    version: str | None
    mode: Mode
    status: Status
    message: str
    seconds: float
    output: str = ""
    verdict: Verdict = Verdict.NOT_RUN
    reason: str = ""
    expected: str | None = None
    counts_against: bool = False


class Unfitted(Outcome, frozen=True, kw_only=True, tag="none"):
    """There is no fit: it failed, is not supported or not installed."""

    traceback: str = ""


class Fitted(Outcome, frozen=True, kw_only=True):
    """An estimate: of a posterior, its mean."""

    parameters: Arrays
    sd: Arrays | None
    interval: Interval | None
    log_likelihood: LogLikelihoods
    recovery: Recovery | None
    details: dict[str, Told]


class PointOutcome(Fitted, frozen=True, kw_only=True, tag="point"):
    """A maximum-likelihood estimate.

    `order` says which of the fit's own components stands in each place, `path` what em's
    parameters were after each matched iteration, `no_interval` why parameters have none.
    """

    iterations: int
    order: list[int]
    sd: Arrays | None = None
    interval: Interval | None = None
    log_likelihood: PointLogLikelihoods
    agreement: Agreement | None = None
    bootstrap: Bootstrap | None = None
    path: Arrays | None = None
    starts: list[Start] = []
    hits: int | None = None
    no_interval: dict[str, str] = {}


class PosteriorOutcome(Fitted, frozen=True, kw_only=True, tag="posterior"):
    """A posterior: the mean of its draws, and what they are worth.

    One that is meant to be the reference posterior has its `agreement` with it, another its
    `habits`.
    """

    sd: Arrays
    interval: Interval
    log_likelihood: PosteriorLogLikelihoods
    diagnostics: Diagnostics
    elbo: Elbo | None = None
    agreement: PosteriorAgreement | None = None
    habits: Habits | None = None


type Row = PointOutcome | PosteriorOutcome | Unfitted


class PublishedFigure(_Record, frozen=True, kw_only=True):
    """A figure from the literature beside ours; a note says why it is not expected to match."""

    quantity: str
    value: float
    printed: str
    source: str
    note: str
    at: Arrays | None
    ours: float | None
    matches: bool | None


class PredictedDensity(_Record, frozen=True, kw_only=True, tag="density"):
    """Densities of a column of the data on a grid, under the prior and each posterior.

    `average` over draws of the parameters, in `bands` their quantiles.
    """

    grid: Array
    average: Arrays
    bands: Arrays
    prior_draws: Array


class PredictedShares(_Record, frozen=True, kw_only=True, tag="shares"):
    """Shares of each symbol and of repeated ones in simulated data, and in the data themselves."""

    observed: Array
    bands: Arrays


class Labels(_Record, frozen=True, kw_only=True):
    """Names for a reader, and the limits of a picture's axes."""

    axes: list[str] = []
    components: list[str] = []
    symbols: list[str] = []
    limits: list[str] = []


class ScenarioResult(_Record, frozen=True, kw_only=True):
    """One scenario with all its outcomes.

    Of the data, at most an even selection is kept: `data` of a mixture, `sequences` of symbols.
    In `prior` are 101 quantiles of each parameter's prior.
    """

    name: str
    title: str
    model: str
    lesson: str
    n_train: int
    n_heldout: int
    dims: dict[str, int]
    labels: Labels
    truth: Arrays | None
    reference: Arrays
    best_log_likelihood: float | None
    published: list[PublishedFigure]
    data: Array | None
    sequences: list[list[int]] | None
    prior: Arrays | None
    predictive_check: list[PredictedDensity | PredictedShares] | None
    outcomes: list[Row]
    notes: list[str]


class Card(_Record, frozen=True, kw_only=True):
    """What is said first of a candidate that differs: where, and the probable cause.

    It is wrong if validation says so as well; if it is right for what it does, `cause` is what it
    leaves out.
    """

    implementation: str
    scenario: str
    mode: Mode
    reason: str
    first: First | None = None
    wrong: bool = False
    cause: str = ""
    evidence: str = ""
    mend: str = ""
    read: str = ""


class Environment(_Record, frozen=True, kw_only=True):
    """What a report was made with."""

    python: str
    platform: str
    packages: dict[str, str | None]
    seed: int
    quick: bool
    created: str
    seconds: float


class Results(_Record, frozen=True, kw_only=True):
    """Results of lockstep: the content of results.json."""

    schema_version: Literal[2] = SCHEMA_VERSION
    environment: Environment
    scenarios: list[ScenarioResult]
    cards: list[Card] = []
