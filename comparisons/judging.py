"""The judge: every figure of the report comes from here, and none from a contestant.

Each fit, by whoever, is brought into the reference's order of components and scored by the one
hand-written log-likelihood.
"""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import metadata
from typing import Any

import numpy as np
from msgspec.structs import replace as changed

from lockstep import models
from lockstep.comparisons import agreement, collapse, diagnostics, predictive
from lockstep.comparisons.alignment import matching, relabel
from lockstep.comparisons.cache import Timed
from lockstep.comparisons.implementations import (
    implementations,
    reference,
    targets_reference,
)
from lockstep.comparisons.outcomes import (
    Agreement,
    Array,
    Arrays,
    Bootstrap,
    Diagnostics,
    Elbo,
    First,
    Histogram,
    Interval,
    Labels,
    Likeness,
    PointLogLikelihoods,
    PointOutcome,
    Pointwise,
    PosteriorLogLikelihoods,
    PosteriorOutcome,
    PredictedDensity,
    PredictedShares,
    PublishedFigure,
    Recovery,
    Row,
    Scalar,
    ScenarioResult,
    Start,
    Told,
    Unfitted,
)
from lockstep.comparisons.posterior_agreement import Quantities, compare, quantities
from lockstep.comparisons.posterior_causes import explained, habits, log_priors
from lockstep.comparisons.problem import Mode
from lockstep.comparisons.results_file import written
from lockstep.comparisons.run import Failure, Result, Task
from lockstep.comparisons.scenarios import Prepared, Published, Scenario
from lockstep.comparisons.yardstick import LOCKSTEP, Yardstick
from lockstep.models import Data, Model, bayesian, records, uncertainty
from lockstep.models.fits import PointFit, PosteriorFit, Status
from lockstep.models.records import DegenerateError, Floats, Integers, Parameters, entries

PROBABILITY = 0.95
"""Of the intervals."""

BOOTSTRAPPED, QUICK_BOOTSTRAPPED = 300, 100
"""Resamples of the bootstrap whose intervals stand beside the Wald and the credible ones."""

MOST_BOOTSTRAPPED, MOST_REFITTED = 300_000, 1_000_000
"""Resamples times observations, and times parameters; beyond, there are no bootstrap intervals."""

MOST_FOLLOWED = 500_000
"""Numbers of a path of iterations that is kept in the results."""

BINS = 40
"""Of the histogram of the log-likelihood over draws."""

TRACED = 200
"""Points kept of an ELBO trace."""

BATCHES, STEP = 40, 0.02
"""Means of so many parts of the draws say how sure the mean of all is; and the share of the way to
each at which the log-likelihood's slope is taken. As far beyond the mean of all, what is positive
stays so: no part's mean is more than so many times that of all."""

PRIOR_DRAWS, PRIOR_NUMBERS = 20_000, 5_000_000
"""By which the prior's marginals are known, and numbers in them at the most."""

SCORED_AT_ONCE = 2_000_000
"""Draws times observations scored in one piece, to bound the memory."""

SHOWN = 20_000
"""Data points kept in the results for drawing; of more, an even selection."""


TOLD_APART = {
    "starts", "hits", "elbo", "elbo_standard_error", "settled", "chains", "draws", "output",
}  # fmt: skip
"""What fits tell in their details that outcomes have fields for."""


def log_likelihoods(model: Model, parameters: Parameters, data: Data) -> Floats:
    """Return the log-likelihood for each index of the leading axes, in pieces."""
    lead = parameters.lead
    arrays = {k: a.reshape(-1, *a.shape[len(lead) :]) for k, a in parameters.arrays().items()}
    total = math.prod(lead)
    piece = max(1, SCORED_AT_ONCE // (records.size(data) * parameters.n_components))
    scores = [
        model.log_likelihood(
            type(parameters)(**{k: a[i : i + piece] for k, a in arrays.items()}), data
        )
        for i in range(0, total, piece)
    ]
    return np.concatenate(scores).reshape(lead)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


class Judge:
    """Judges the outcomes of one scenario.

    Parameters
    ----------
    scenario : Scenario
    prepared : Prepared
    results : sequence of (Task, Result)
        All of the scenario's.
    quick : bool
        Whether the posteriors are short ones.
    """

    def __init__(
        self,
        scenario: Scenario,
        prepared: Prepared,
        results: Sequence[tuple[Task, Result]],
        *,
        quick: bool = False,
    ) -> None:
        self.scenario, self.prepared = scenario, prepared
        self.model = models.load(scenario.model)
        self.results = [(task, self._sound(_finite(result))) for task, result in results]
        self.quick = quick
        self.reference = self._reference()
        self.posteriors: dict[str, Parameters] = {}
        """Aligned draws by implementation, once `judge` has run."""
        self.quantities: dict[str, Quantities] = {}
        """What posteriors are compared by, likewise."""
        self.notes: list[str] = []
        """What could not be done beside the rows, and why."""

    def _sound(self, result: Result) -> Result:
        """Return a point fit of a spike as degenerate."""
        if isinstance(result, Failure) or isinstance(result.fit, PosteriorFit):
            return result
        try:
            return replace(result, fit=collapse.judged(self.model, result.fit, self.prepared.data))
        except Exception as error:  # noqa: BLE001 - one row must not take the others with it
            return _unjudged(error, result)

    def _point_fits(self, mode: Mode) -> dict[str, PointFit]:
        return {
            task.implementation: result.fit
            for task, result in self.results
            if isinstance(result, Timed)
            and isinstance(result.fit, PointFit)
            and task.problem.mode is mode
        }

    def _reference(self) -> Parameters:
        for given in (self.prepared.truth, self.prepared.reference):
            if given is not None:
                return given
        fits = {**self._point_fits(Mode.AS_CONFIGURED), **self._point_fits(Mode.MATCHED)}
        if reference("point") in fits:
            return fits[reference("point")].parameters
        return self.prepared.start

    def _lead(self, mode: Mode) -> PointFit | None:
        """Return the fit that the other point fits are held against."""
        return self._point_fits(mode).get(reference("point"))

    @cached_property
    def _plugged_in(self) -> Floats | None:
        """The log density of every held-out unit under em's estimate, as configured."""
        fit = self._lead(Mode.AS_CONFIGURED)
        if fit is None or self.prepared.heldout is None or fit.status is Status.DEGENERATE:
            return None
        return predictive.pointwise(self.model, fit.parameters, self.prepared.heldout)

    def judge(self) -> ScenarioResult:
        """Return the scenario's entry of ``results.json``."""
        scenario, prepared, data = self.scenario, self.prepared, self.prepared.data
        outcomes = [self._outcome(task, result) for task, result in self.results]
        compared = self._attempt("comparison of the posteriors", lambda: self._compared(outcomes))
        yardstick = Yardstick(
            leads={mode: fit for mode in Mode if (fit := self._lead(mode)) is not None},
            best=self._best(),
            n_free=self.reference.n_free,
            data=data,
            expected=scenario.expected,
        )
        names = {k: list(map(str, v)) for k, v in prepared.labels.items()}
        return written(
            ScenarioResult(
                name=scenario.name,
                title=scenario.title,
                model=scenario.model,
                lesson=scenario.lesson,
                n_train=records.size(data),
                n_heldout=0 if prepared.heldout is None else records.size(prepared.heldout),
                dims=dict(prepared.dims),
                labels=Labels(**{k: names[k] for k in Labels.__struct_fields__ if k in names}),
                truth=None if prepared.truth is None else prepared.truth.arrays(),
                reference=self.reference.arrays(),
                best_log_likelihood=yardstick.best,
                published=[self._published(p) for p in prepared.published],
                data=None if isinstance(data, tuple) else data[:: math.ceil(len(data) / SHOWN)],
                sequences=_first(data) if isinstance(data, tuple) else None,
                prior=self._attempt("priors", self._prior),
                predictive_check=self._attempt("predictive checks", self._predictive_check),
                outcomes=[yardstick.judged(_passed_or_failed(o)) for o in compared or outcomes],
                notes=self.notes,
            )
        )

    def _attempt[T](self, what: str, compute: Callable[[], T]) -> T | None:
        """Return what is computed; a failure becomes a note, and None."""
        try:
            return compute()
        except Exception as error:  # noqa: BLE001 - a figure must not take the report with it
            self.notes.append(f"The {what} could not be computed: {_said(error)}.")
            return None

    def _best(self) -> float | None:
        """Return the highest training log-likelihood that a sound point fit reached."""
        data = self.prepared.data
        reached = [
            float(self.model.log_likelihood(fit.parameters, data))
            for mode in Mode
            for fit in self._point_fits(mode).values()
            if fit.status is not Status.DEGENERATE
            and models.singularity(self.model, fit.parameters, data) is None
        ]
        return max((value for value in reached if math.isfinite(value)), default=None)

    def _outcome(self, task: Task, result: Result) -> Row:
        implementation = implementations()[task.implementation]
        row: dict[str, Any] = {
            "implementation": task.implementation,
            "package": implementation.PACKAGE,
            "version": _version(implementation.PACKAGE),
            "mode": task.problem.mode,
            "seconds": result.seconds,
        }
        if isinstance(result, Timed):
            row["output"] = str(result.fit.details.get("output", ""))
            try:
                if isinstance(result.fit, PointFit):
                    return self._point(row, task, result.fit)
                return self._posterior(row, task, result.fit)
            except Exception as error:  # noqa: BLE001 - one row must not take the others with it
                result = _unjudged(error, result)
        return Unfitted(
            **row | {"output": result.output},
            status=result.status,
            message=result.message,
            traceback=result.traceback,
        )

    def _point(self, row: dict[str, Any], task: Task, fit: PointFit) -> PointOutcome:
        data, heldout = self.prepared.data, self.prepared.heldout
        order = matching(fit.parameters, self.reference)
        estimate = fit.parameters.relabelled(order)
        train = self._scored(estimate, data)
        trace: Array | None = None
        if fit.path is not None:
            trace = log_likelihoods(self.model, fit.path, data)
        elif fit.trace is not None:
            trace = np.array([*fit.trace[: fit.iterations], train])
        ours, matched = task.implementation == reference("point"), task.problem.mode is Mode.MATCHED
        outcome = PointOutcome(
            **row,
            status=fit.status,
            message=fit.message,
            iterations=fit.iterations,
            parameters=estimate.arrays(),
            order=order.tolist(),
            log_likelihood=PointLogLikelihoods(
                train=train,
                heldout=None if heldout is None else self._scored(estimate, heldout),
                trace=trace,
            ),
            recovery=self._recovery(estimate),
            agreement=self._agreement(fit) if matched and not ours else None,
            path=_followed(fit.path, order) if matched and ours else None,
            starts=[Start(**end) for end in fit.details.get("starts", ())],
            hits=fit.details.get("hits"),
            details=dict(_told(fit.details)),
        )
        if ours and not matched and fit.status is Status.CONVERGED:
            return self._with_intervals(outcome, task, estimate)
        return outcome

    def _scored(self, estimate: Parameters, data: Data) -> float:
        """Return the log-likelihood; not a number at a spike that cannot be computed."""
        try:
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                return float(self.model.log_likelihood(estimate, data))
        except DegenerateError:
            return math.nan

    def _with_intervals(
        self, outcome: PointOutcome, task: Task, estimate: Parameters
    ) -> PointOutcome:
        """Add em's Wald intervals, and the bootstrap's where there are posteriors."""
        try:
            known = uncertainty.wald(
                self.model, estimate, self.prepared.data, probability=PROBABILITY
            )
        except Exception as error:  # noqa: BLE001 - the estimate stands without them
            return changed(
                outcome, details={**outcome.details, "intervals": f"none: {_said(error)}"}
            )
        posteriors = any(
            implementations()[t.implementation].KIND == "posterior" for t, _ in self.results
        )
        return changed(
            outcome,
            sd=known.sd.arrays(),
            interval=_interval(known.kind, known.lower, known.upper, known.probability),
            recovery=self._recovery(estimate, known.lower, known.upper),
            no_interval=_in_short(known.no_interval, estimate),
            bootstrap=self._bootstrap(task, estimate) if posteriors else None,
        )

    def _bootstrap(self, task: Task, estimate: Parameters) -> Bootstrap | None:
        """Return percentile intervals of the parametric bootstrap; None if it would take long."""
        data = self.prepared.data
        n = QUICK_BOOTSTRAPPED if self.quick else BOOTSTRAPPED
        numbers = sum(array.size for array in estimate.arrays().values())
        if n * records.size(data) > MOST_BOOTSTRAPPED or n * numbers > MOST_REFITTED:
            return None
        rng = np.random.default_rng(task.problem.seed)
        try:
            known, _ = uncertainty.bootstrap(self.model, estimate, data, n=n, rng=rng)
        except (ValueError, ArithmeticError):
            return None
        return Bootstrap(
            kind=known.kind,
            resamples=n,
            probability=known.probability,
            sd=known.sd.arrays(),
            lower=known.lower.arrays(),
            upper=known.upper.arrays(),
        )

    def _posterior(self, row: dict[str, Any], task: Task, fit: PosteriorFit) -> PosteriorOutcome:
        data = self.prepared.data
        density = log_likelihoods(self.model, fit.draws, data)
        relabelled = relabel(self.model, fit.draws, data, self.reference, density)
        draws = fit.draws.relabelled(relabelled.order)

        def over_draws(summary: Callable[[Floats], Floats]) -> Parameters:
            return type(draws)(**{name: summary(a) for name, a in draws.arrays().items()})

        tail = (1 - PROBABILITY) / 2
        mean = over_draws(lambda a: a.mean(axis=(0, 1)))
        lower = over_draws(lambda a: np.quantile(a, tail, axis=(0, 1)))
        upper = over_draws(lambda a: np.quantile(a, 1 - tail, axis=(0, 1)))
        found = diagnostics.diagnose(
            draws,
            fit,
            density,
            relabelled,
            sampled=targets_reference(task.implementation),
            quick=self.quick,
        )
        outcome = PosteriorOutcome(
            **row,
            status=Status.CONVERGED,
            message="",
            parameters=mean.arrays(),
            sd=over_draws(lambda a: a.std(axis=(0, 1), ddof=1)).arrays(),
            interval=_interval("equal-tailed", lower, upper),
            log_likelihood=self._over_draws(draws, mean, density, found),
            recovery=self._recovery(mean, lower, upper),
            diagnostics=found,
            elbo=None if fit.elbo is None else _smoothed(fit.elbo, fit.details),
            details=dict(_told(fit.details)),
        )
        self.posteriors[task.implementation] = draws
        self.quantities[task.implementation] = quantities(self.model, draws, data, density)
        return outcome

    def _compared(self, outcomes: Sequence[Row]) -> list[Row]:
        """Hold every posterior against the reference's, if that has one."""
        found = {o.implementation: o for o in outcomes if isinstance(o, PosteriorOutcome)}
        of = found.pop(reference("posterior"), None)
        if of is None:
            return list(outcomes)
        return [
            self._held_against(o, of)
            if isinstance(o, PosteriorOutcome) and o.implementation in found
            else o
            for o in outcomes
        ]

    def _held_against(self, outcome: PosteriorOutcome, of: PosteriorOutcome) -> PosteriorOutcome:
        """Compare chains with chains; measure the habits of an approximation."""
        own, theirs = (self.quantities[o.implementation] for o in (outcome, of))
        if not targets_reference(outcome.implementation):
            measured = habits(own, theirs, of.implementation)
            return changed(_spread(outcome, of), habits=measured)
        if of.diagnostics.failed:
            return outcome
        agreed, log_prior = compare(own, theirs, of.implementation), None
        if agreed.likeness is Likeness.DIFFERS:
            draws = self.posteriors[of.implementation]
            log_prior = log_priors(self.model, draws, self.prepared.data)
        return changed(outcome, agreement=explained(agreed, own, theirs, log_prior))

    def _over_draws(
        self, draws: Parameters, mean: Parameters, density: Floats, found: Diagnostics
    ) -> PosteriorLogLikelihoods:
        """Return the log-likelihoods of a posterior, given that of the data under each draw."""
        data, heldout = self.prepared.data, self.prepared.heldout
        counts, edges = np.histogram(density[np.isfinite(density)], BINS)
        scores = PosteriorLogLikelihoods(
            train=float(self.model.log_likelihood(mean, data)),
            train_error=self._error_at(mean, draws),
            heldout=None,
            train_mean=float(density.mean()),
            train_sd=float(density.std(ddof=1)),
            train_histogram=Histogram(edges=edges, counts=counts.tolist()),
        )
        if heldout is not None:
            from scipy.special import logsumexp

            per_draw = log_likelihoods(self.model, draws, heldout)
            averaged = predictive.averaged(self.model, draws, heldout)
            plugged_in = predictive.pointwise(self.model, mean, heldout)
            scores = changed(
                scores,
                heldout=float(self.model.log_likelihood(mean, heldout)),
                heldout_predictive=float(logsumexp(per_draw) - np.log(per_draw.size)),
                heldout_pointwise=Pointwise(
                    averaged=predictive.score(averaged, self._plugged_in),
                    plugged_in=predictive.score(plugged_in, self._plugged_in),
                ),
            )
        if found.ess_bulk is None:
            return scores
        loo = predictive.leave_one_out(self.model, draws, data, found.ess_bulk)
        return changed(scores, leave_one_out=loo)

    def _error_at(self, mean: Parameters, draws: Parameters) -> float:
        """Return the Monte Carlo error of the log-likelihood at the mean of draws.

        The slopes towards the means of parts of the draws scatter as those means do.
        """
        chains, length = draws.lead
        parts = min(math.ceil(BATCHES / chains), length)
        size = length // parts

        def towards(step: float) -> Parameters:
            found = {}
            for name, at in mean.arrays().items():
                a = draws.arrays()[name][:, : parts * size]
                means = a.reshape(chains * parts, size, *a.shape[2:]).mean(axis=1)
                found[name] = at + step * (means - at)
            return type(mean)(**found)

        ends = [log_likelihoods(self.model, towards(h), self.prepared.data) for h in (STEP, -STEP)]
        with np.errstate(invalid="ignore"):  # of data that are impossible
            slopes = (ends[0] - ends[1]) / (2 * STEP)
        return float(slopes.std(ddof=1) / math.sqrt(len(slopes))) if len(slopes) > 1 else math.nan

    def _prior(self) -> Arrays | None:
        """Return 101 quantiles of each parameter's prior, if there is a posterior."""
        if not self.posteriors:
            return None
        prepared, rng = self.prepared, np.random.default_rng(0)
        numbers = sum(array.size for array in self.reference.arrays().values())
        n = min(PRIOR_DRAWS, max(1, PRIOR_NUMBERS // numbers))
        drawn = bayesian.draws(self.model.NAME, prepared.dims, prepared.data, n, rng)
        at = np.linspace(0, 1, 101)
        return {
            name: np.moveaxis(np.quantile(a, at, axis=0), 0, -1)
            for name, a in drawn.arrays().items()
        }

    def _predictive_check(self) -> list[PredictedDensity | PredictedShares] | None:
        if not self.posteriors:
            return None
        return predictive.check(
            self.model,
            dict(self.prepared.dims),
            self.prepared.data,
            self.posteriors,
            np.random.default_rng(0),
        )

    def _recovery(
        self, estimate: Parameters, lower: Parameters | None = None, upper: Parameters | None = None
    ) -> Recovery | None:
        truth = self.prepared.truth
        if truth is None:
            return None
        true, error = _line(truth), _line(estimate) - _line(truth)
        recovery = Recovery(
            max_abs_error=float(np.abs(error).max()), rmse=float(np.sqrt((error**2).mean()))
        )
        if lower is None or upper is None:
            return recovery
        low = _line(lower)
        held, known = (low <= true) & (true <= _line(upper)), ~np.isnan(low)
        names = [name for name, _, _ in entries(truth)]
        return changed(
            recovery,
            covered=int(held.sum()),
            of=int(known.sum()),  # there may be no interval
            by_parameter={name: bool(yes) for name, yes, is_ in zip(names, held, known) if is_},
        )

    def _agreement(self, fit: PointFit) -> Agreement | None:
        """Compare a matched fit with our EM's, iterate for iterate."""
        ours = self._lead(Mode.MATCHED)
        if ours is None or ours.path is None or fit.path is None:
            return None
        steps = min(ours.iterations, fit.iterations)
        pairs = [(fit.path.draw(i), ours.path.draw(i)) for i in range(steps + 1)]
        both = fit.status is ours.status is Status.DEGENERATE
        by_iteration = [
            _largest(
                # Of a component that vanishes no share is known: its own sd is no unit.
                agreement.in_data(theirs, mine, np.asarray(self.prepared.data))
                if both
                else agreement.scaled(theirs, mine)
            )
            for theirs, mine in pairs
        ]
        return Agreement(
            against=reference("point"),
            iterations_compared=steps,
            max_scaled_difference=float(np.max(by_iteration)),
            by_iteration=np.array(by_iteration),
            units="data" if both else "components",
            max_abs_difference=float(np.max([_largest(agreement.raw(*pair)) for pair in pairs])),
            same_length=ours.iterations == fit.iterations,
            first=_parting(pairs, by_iteration),
        )

    def _published(self, published: Published) -> PublishedFigure:
        ours: float | None = None
        fit = self._lead(Mode.AS_CONFIGURED)
        if published.at is not None:
            ours = float(self.model.log_likelihood(published.at, self.prepared.data))
        elif fit is not None:
            ours = self._quantity(published.quantity, fit.parameters)
        decimals = len(published.printed.partition(".")[2])
        matches = None
        if ours is not None and not published.note:
            matches = f"{ours:.{decimals}f}" == published.printed
        return PublishedFigure(
            quantity=published.quantity,
            value=float(published.printed),
            printed=published.printed,
            source=published.source,
            note=published.note,
            at=None if published.at is None else published.at.arrays(),
            ours=ours,
            matches=matches,
        )

    def _quantity(self, name: str, parameters: Parameters) -> float:
        """Return a named figure of a fit."""
        data = self.prepared.data
        log_likelihood = float(self.model.log_likelihood(parameters, data))
        if name == "log_likelihood":
            return log_likelihood
        if name == "bic_mclust":
            penalty = parameters.n_free * math.log(records.size(data))
            return 2 * log_likelihood - penalty
        aligned = parameters.relabelled(matching(parameters, self.reference))
        found = re.fullmatch(r"(\w+)\[([\d,]+)\]", name)
        assert found is not None, name
        field, index = found[1], tuple(int(i) for i in found[2].split(","))
        if field == "sds":
            owner = next(s.unit for s in aligned.SPACES.values() if s.unit)
            return float(aligned.SPACES[owner].sds(aligned.arrays()[owner])[index])
        return float(aligned.arrays()[field][index])


def _first(sequences: Sequence[Any]) -> list[list[int]]:
    """Return the first sequences, `SHOWN` symbols at the most."""
    shown: list[list[int]] = []
    left = SHOWN
    for symbols in sequences:
        if left > 0:
            shown.append(symbols[:left].tolist())
            left -= len(shown[-1])
    return shown


def _interval(
    kind: str, lower: Parameters, upper: Parameters, probability: float = PROBABILITY
) -> Interval:
    return Interval(kind=kind, probability=probability, lower=lower.arrays(), upper=upper.arrays())


def _followed(path: Parameters | None, order: Integers) -> Arrays | None:
    """Return em's path in the order of the reference, if it is not too long to keep."""
    if path is None or sum(a.size for a in path.arrays().values()) > MOST_FOLLOWED:
        return None
    return path.relabelled(order).arrays()


def _told(details: Mapping[str, Any]) -> Iterator[tuple[str, Told]]:
    """Yield what else a fit tells of itself; names nested deeper than once are joined by dots."""
    for name, value in details.items():
        if name not in TOLD_APART:
            nested = isinstance(value, Mapping)
            yield str(name), dict(_flat(value)) if nested else _scalars(value)


def _flat(given: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _scalars(value)


def _scalars(value: Any) -> Scalar | list[Scalar]:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [v if isinstance(v, bool | int | float | str | None) else str(v) for v in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _line(parameters: Parameters) -> Floats:
    return np.concatenate([a.ravel() for a in parameters.arrays().values()])


def _largest(by_field: dict[str, Floats]) -> float:
    return float(np.max([array.max() for array in by_field.values()]))  # NaN is the largest


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _unjudged(error: Exception, timed: Timed) -> Failure:
    """Return the failure of judging a fit, to be called where it was caught."""
    message = f"the fit could not be judged: {_said(error)}"
    output = timed.fit.details.get("output", "")
    return Failure(Status.FAILED, message, traceback.format_exc(), timed.seconds, output)


def _in_short(reasons: Mapping[str, str], parameters: Parameters) -> dict[str, str]:
    """Return the reasons by parameter; once, if all parameters have the same."""
    of_all = set(reasons.values())
    if len(of_all) == 1 and len(reasons) == sum(a.size for a in parameters.arrays().values()):
        return {"all parameters": of_all.pop()}
    return dict(reasons)


def _finite(result: Result) -> Result:
    """Return a failure in place of a fit with parameters that are no numbers."""
    if isinstance(result, Failure):
        return result
    if isinstance(result.fit, PointFit):
        return _finite_point(result, result.fit.parameters)
    draws = result.fit.draws.arrays().values()
    broken = np.logical_or.reduce(
        [~np.isfinite(a).reshape(*a.shape[:2], -1).all(axis=-1) for a in draws]
    )
    if not broken.any():
        return result
    message = f"{broken.sum()} of {broken.size} draws are not finite: the chain broke down"
    return Failure(Status.FAILED, message, seconds=result.seconds)


def _finite_point(result: Timed, parameters: Parameters) -> Result:
    for name, field, index in entries(parameters):
        value = parameters.arrays()[field][index]
        if not np.isfinite(value):
            message = f"its {name} is {value}: the fit broke down"
            return Failure(Status.FAILED, message, seconds=result.seconds)
    return result


def _parting(pairs: Sequence[tuple[Any, Any]], by_iteration: Sequence[float]) -> First | None:
    """Return where a fit first leaves em's: after it, differences only grow from that one."""
    for i, ((theirs, mine), apart) in enumerate(zip(pairs, by_iteration, strict=True)):
        if not apart <= LOCKSTEP:
            off = agreement.scaled(theirs, mine)
            found = [(off[name][index], entry, name, index) for entry, name, index in entries(mine)]
            _, entry, name, index = max(found, key=lambda each: np.nan_to_num(each[0], nan=np.inf))
            return First(
                iteration=i,
                entry=entry,
                value=float(theirs.arrays()[name][index]),
                ours=float(mine.arrays()[name][index]),
            )
    return None


def _spread(outcome: PosteriorOutcome, of: PosteriorOutcome) -> PosteriorOutcome:
    found = diagnostics.spread_ratios(outcome.sd, of.sd)
    if found is None:
        return outcome
    ratios, check = found
    checks = outcome.diagnostics.checks + ([] if of.diagnostics.failed else [check])
    return changed(
        outcome, diagnostics=changed(outcome.diagnostics, sd_ratio_to_nuts=ratios, checks=checks)
    )


def _passed_or_failed(outcome: Row) -> Row:
    """Let a posterior's checks say how it ended."""
    if not isinstance(outcome, PosteriorOutcome):
        return outcome
    failed = [diagnostics.failure(check) for check in outcome.diagnostics.failed]
    return changed(
        outcome,
        status=Status.NOT_CONVERGED if failed else Status.CONVERGED,
        message="; ".join(failed) or _summary(outcome.diagnostics),
    )


def _smoothed(elbo: Floats, details: Mapping[str, Any]) -> Elbo:
    """Return the means of equal stretches of an ELBO trace, with their standard errors."""
    length = max(2, math.ceil(len(elbo) / TRACED))
    whole = elbo[: len(elbo) // length * length].reshape(-1, length)
    settled = details.get("settled")
    return Elbo(
        step=length * (np.arange(len(whole), dtype=np.float64) + 0.5),
        mean=whole.mean(axis=1),
        error=whole.std(axis=1, ddof=1) / math.sqrt(length),
        steps=len(elbo),
        final=details.get("elbo"),
        final_error=details.get("elbo_standard_error"),
        settled=settled if isinstance(settled, bool) else None,
    )


def _summary(found: Diagnostics) -> str:
    if found.sampled:
        ess = f"R-hat {found.r_hat:.3f}, ESS {found.ess_bulk:.0f} bulk {found.ess_tail:.0f} tail"
        return ess if found.divergences is None else f"{ess}, {found.divergences} divergences"
    drawn = f"{found.chains * found.draws} draws from the approximation"
    return drawn + ("" if found.k_hat is None else f", Pareto k-hat {found.k_hat:.2f}")
