"""The judge: every figure of the report comes from here, and none from a contestant.

Each fit, by whoever, is brought into the reference's order of components and scored by the one
hand-written log-likelihood.
"""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cached_property
from importlib import metadata
from typing import Any

import numpy as np

from lockstep import models
from lockstep.comparisons import agreement, collapse, diagnostics, predictive
from lockstep.comparisons.alignment import matching, relabel
from lockstep.comparisons.cache import Timed
from lockstep.comparisons.implementations import implementations, reference
from lockstep.comparisons.problem import Mode
from lockstep.comparisons.run import Failure, Result, Task
from lockstep.comparisons.scenarios import Prepared, Published, Scenario
from lockstep.models import Data, Model, bayesian, records, uncertainty
from lockstep.models.fits import PointFit, PosteriorFit, Status
from lockstep.models.records import DegenerateError, Floats, Parameters, entries

LOCKSTEP = 1e-9
"""Matched fits agree if at every iteration no parameter differs by more than this, means counted
in standard deviations and variances relative. Both sides round differently by some 1e-16 a step;
a slip in an update shows at 1e-2 or more."""

NEAR_OPTIMUM = 0.05
"""Fits as configured agree if they come within this many nats of the best. A gap of g nats moves
no parameter by more than sqrt(2 g) of its standard errors: here by less than a third of one."""

PROBABILITY = 0.95
"""Of the intervals."""

BOOTSTRAPPED, QUICK_BOOTSTRAPPED = 300, 100
"""Resamples of the bootstrap whose intervals stand beside the Wald and the credible ones."""

MOST_BOOTSTRAPPED, MOST_REFITTED = 300_000, 1_000_000
"""Resamples times observations, and times parameters; beyond, there are no bootstrap intervals."""

MOST_FOLLOWED = 500_000
"""Numbers of a path of iterations that is kept in the results."""

EPSILON = 2.0**-52
"""By which neighbouring doubles differ, relative to themselves."""

BOTH = "both found the collapse"
"""Of em and another; what em's own row counts, the other's does not."""

BINS = 40
"""Of the histogram of the log-likelihood over draws."""

TRACED = 200
"""Points kept of an ELBO trace."""

PRIOR_DRAWS, PRIOR_NUMBERS = 20_000, 5_000_000
"""By which the prior's marginals are known, and numbers in them at the most."""

SCORED_AT_ONCE = 2_000_000
"""Draws times observations scored in one piece, to bound the memory."""

SHOWN = 20_000
"""Data points kept in the results for drawing; of more, an even selection."""


class Verdict(StrEnum):
    """What is said of an outcome."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNSETTLED = "unsettled"
    FAILED = "failed"
    NOT_RUN = "not_run"


@dataclass(frozen=True)
class Judged:
    """A verdict with its reason."""

    verdict: Verdict
    reason: str
    known: bool = False
    """Whether em's own row says the same: it is one finding, and counts once."""


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


def _plain(value: Any) -> Any:
    """Return the value in JSON's types; what is not finite becomes None."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


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

    def judge(self) -> dict[str, Any]:
        """Return the scenario's entry of ``results.json``."""
        scenario, prepared = self.scenario, self.prepared
        outcomes = [self._outcome(task, result) for task, result in self.results]
        self._attempt("spreads of the posteriors", lambda: self._compare_spreads(outcomes))
        for outcome in outcomes:
            _pass_or_fail(outcome)
        best = self._best()
        for (task, result), outcome in zip(self.results, outcomes):
            judged = self._verdict(task, result, outcome, best)
            expected = scenario.expected.get(
                (task.implementation, task.problem.mode)
            ) or _known_failing(task.implementation, judged, outcome)
            outcome["verdict"] = judged.verdict
            outcome["reason"] = judged.reason
            outcome["expected"] = expected
            outcome["counts_against"] = (
                expected is None
                and not judged.known
                and judged.verdict in (Verdict.DIFFERS, Verdict.UNSETTLED, Verdict.FAILED)
            )
        return dict(
            _plain(
                {
                    "name": scenario.name,
                    "title": scenario.title,
                    "model": scenario.model,
                    "lesson": scenario.lesson,
                    "n_train": records.size(prepared.data),
                    "n_heldout": 0 if prepared.heldout is None else records.size(prepared.heldout),
                    "dims": dict(prepared.dims),
                    "labels": {k: list(v) for k, v in prepared.labels.items()},
                    "truth": None if prepared.truth is None else prepared.truth.to_dict(),
                    "reference": self.reference.to_dict(),
                    "best_log_likelihood": best,
                    "published": [self._published(p) for p in prepared.published],
                    "data": self._shown_data(),
                    "prior": self._attempt("priors", self._prior),
                    "predictive_check": self._attempt("predictive checks", self._predictive_check),
                    "outcomes": outcomes,
                    "notes": self.notes,
                }
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

    def _outcome(self, task: Task, result: Result) -> dict[str, Any]:
        implementation = implementations()[task.implementation]
        outcome: dict[str, Any] = {
            "implementation": task.implementation,
            "package": implementation.PACKAGE,
            "version": _version(implementation.PACKAGE),
            "kind": implementation.KIND,
            "mode": task.problem.mode,
            "status": None,
            "message": "",
            "seconds": result.seconds,
            "iterations": None,
            "parameters": None,
            "order": None,
            "sd": None,
            "interval": None,
            "log_likelihood": None,
            "recovery": None,
            "agreement": None,
            "bootstrap": None,
            "elbo": None,
            "diagnostics": {},
        }
        if isinstance(result, Failure):
            return outcome | _failed(result)
        described = outcome | {"diagnostics": {}}
        try:
            if isinstance(result.fit, PointFit):
                self._describe_point(described, task, result.fit)
            else:
                self._describe_posterior(described, task, result.fit)
        except Exception as error:  # noqa: BLE001 - one row must not take the others with it
            return outcome | _failed(_unjudged(error, result))
        return described

    def _describe_point(self, outcome: dict[str, Any], task: Task, fit: PointFit) -> None:
        data, heldout = self.prepared.data, self.prepared.heldout
        order = matching(fit.parameters, self.reference)
        estimate = fit.parameters.relabelled(order)
        train = self._scored(estimate, data)
        if fit.path is not None:
            trace = log_likelihoods(self.model, fit.path, data).tolist()
        elif fit.trace is not None:
            trace = [*fit.trace[: fit.iterations].tolist(), train]
        else:
            trace = None
        outcome |= {
            "status": fit.status,
            "message": fit.message,
            "iterations": fit.iterations,
            "parameters": estimate.to_dict(),
            "order": order,
            "log_likelihood": {
                "train": train,
                "heldout": None if heldout is None else self._scored(estimate, heldout),
                "trace": trace,
            },
            "recovery": self._recovery(estimate, None, None),
            "diagnostics": dict(fit.details),
        }
        if (
            task.implementation == reference("point")
            and task.problem.mode is Mode.AS_CONFIGURED
            and fit.status is Status.CONVERGED
        ):
            self._describe_uncertainty(outcome, task, estimate)
        if task.problem.mode is Mode.MATCHED:
            outcome["agreement"] = self._agreement(task.implementation, fit)
            if (
                task.implementation == reference("point")
                and fit.path is not None
                and sum(a.size for a in fit.path.arrays().values()) <= MOST_FOLLOWED
            ):
                outcome["path"] = fit.path.relabelled(order).to_dict()

    def _scored(self, estimate: Parameters, data: Data) -> float:
        """Return the log-likelihood; not a number at a spike that cannot be computed."""
        try:
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                return float(self.model.log_likelihood(estimate, data))
        except DegenerateError:
            return math.nan

    def _describe_uncertainty(
        self, outcome: dict[str, Any], task: Task, estimate: Parameters
    ) -> None:
        """Add em's Wald intervals, and the bootstrap's where there are posteriors."""
        try:
            known = uncertainty.wald(
                self.model, estimate, self.prepared.data, probability=PROBABILITY
            )
        except Exception as error:  # noqa: BLE001 - the estimate stands without them
            outcome["diagnostics"]["intervals"] = f"none: {_said(error)}"
            return
        outcome |= {
            "sd": known.sd.to_dict(),
            "interval": {
                "kind": known.kind,
                "probability": known.probability,
                "lower": known.lower.to_dict(),
                "upper": known.upper.to_dict(),
            },
            "recovery": self._recovery(estimate, known.lower, known.upper),
        }
        outcome["diagnostics"]["no_interval"] = _in_short(known.no_interval, estimate)
        if any(implementations()[t.implementation].KIND == "posterior" for t, _ in self.results):
            outcome["bootstrap"] = self._bootstrap(task, estimate)

    def _bootstrap(self, task: Task, estimate: Parameters) -> dict[str, Any] | None:
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
        return {
            "kind": known.kind,
            "resamples": n,
            "probability": known.probability,
            "sd": known.sd.to_dict(),
            "lower": known.lower.to_dict(),
            "upper": known.upper.to_dict(),
        }

    def _describe_posterior(self, outcome: dict[str, Any], task: Task, fit: PosteriorFit) -> None:
        data, heldout = self.prepared.data, self.prepared.heldout
        train_draws = log_likelihoods(self.model, fit.draws, data)
        relabelled = relabel(self.model, fit.draws, data, self.reference, train_draws)
        draws = fit.draws.relabelled(relabelled.order)

        def over_draws(summary: Callable[[Floats], Floats]) -> Parameters:
            return type(draws)(**{name: summary(a) for name, a in draws.arrays().items()})

        tail = (1 - PROBABILITY) / 2
        mean = over_draws(lambda a: a.mean(axis=(0, 1)))
        sd = over_draws(lambda a: a.std(axis=(0, 1), ddof=1))
        lower = over_draws(lambda a: np.quantile(a, tail, axis=(0, 1)))
        upper = over_draws(lambda a: np.quantile(a, 1 - tail, axis=(0, 1)))
        counts, edges = np.histogram(train_draws[np.isfinite(train_draws)], BINS)
        scores: dict[str, Any] = {
            "train": float(self.model.log_likelihood(mean, data)),
            "heldout": None,
            "trace": None,
            "train_mean": float(train_draws.mean()),
            "train_sd": float(train_draws.std(ddof=1)),
            "train_histogram": {"edges": edges, "counts": counts},
            "heldout_predictive": None,
            "leave_one_out": None,
        }
        found, checks = diagnostics.diagnose(draws, fit, train_draws, relabelled, quick=self.quick)
        if heldout is not None:
            from scipy.special import logsumexp

            per_draw = log_likelihoods(self.model, draws, heldout)
            scores["heldout"] = float(self.model.log_likelihood(mean, heldout))
            scores["heldout_predictive"] = float(logsumexp(per_draw) - np.log(per_draw.size))
            averaged = predictive.averaged(self.model, draws, heldout)
            plugged_in = predictive.pointwise(self.model, mean, heldout)
            scores["heldout_pointwise"] = {
                "averaged": asdict(predictive.score(averaged, self._plugged_in)),
                "plugged_in": asdict(predictive.score(plugged_in, self._plugged_in)),
            }
        if "ess_bulk" in found:
            scores["leave_one_out"] = predictive.leave_one_out(
                self.model, draws, data, found["ess_bulk"]
            )
        outcome |= {
            "status": Status.CONVERGED,
            "message": "",
            "parameters": mean.to_dict(),
            "sd": sd.to_dict(),
            "interval": {
                "kind": "equal-tailed",
                "probability": PROBABILITY,
                "lower": lower.to_dict(),
                "upper": upper.to_dict(),
            },
            "log_likelihood": scores,
            "recovery": self._recovery(mean, lower, upper),
            "diagnostics": found | dict(fit.details) | {"checks": [c.to_dict() for c in checks]},
        }
        if fit.elbo is not None:
            outcome["elbo"] = _smoothed(fit.elbo)
        self.posteriors[task.implementation] = draws

    def _prior(self) -> dict[str, Any] | None:
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

    def _predictive_check(self) -> list[dict[str, Any]] | None:
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
        self, estimate: Parameters, lower: Parameters | None, upper: Parameters | None
    ) -> dict[str, Any] | None:
        truth = self.prepared.truth
        if truth is None:
            return None
        true = np.concatenate([a.ravel() for a in truth.arrays().values()])
        error = np.concatenate([a.ravel() for a in estimate.arrays().values()]) - true
        recovery: dict[str, Any] = {
            "max_abs_error": float(np.abs(error).max()),
            "rmse": float(np.sqrt((error**2).mean())),
            "covered": None,
            "of": None,
        }
        if lower is not None and upper is not None:
            low = np.concatenate([a.ravel() for a in lower.arrays().values()])
            high = np.concatenate([a.ravel() for a in upper.arrays().values()])
            held = (low <= true) & (true <= high)
            recovery["covered"] = int(held.sum())
            recovery["by_parameter"] = {
                name: bool(yes)
                for (name, _, _), yes, end in zip(entries(truth), held, low)
                if not np.isnan(end)
            }
            recovery["of"] = int((~np.isnan(low)).sum())  # there may be no interval
        return recovery

    def _agreement(self, implementation: str, fit: PointFit) -> dict[str, Any] | None:
        """Compare a matched fit with our EM's, iterate for iterate."""
        ours = self._lead(Mode.MATCHED)
        if (
            implementation == reference("point")
            or ours is None
            or ours.path is None
            or fit.path is None
        ):
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
        return {
            "with": reference("point"),
            "iterations_compared": steps,
            "max_scaled_difference": float(np.max(by_iteration)),
            "by_iteration": by_iteration,
            "units": "data" if both else "components",
            "max_abs_difference": float(np.max([_largest(agreement.raw(*pair)) for pair in pairs])),
            "same_length": ours.iterations == fit.iterations,
        }

    def _compare_spreads(self, outcomes: list[dict[str, Any]]) -> None:
        """Give a variational posterior the ratios of its standard deviations to NUTS's."""
        posteriors = [o for o in outcomes if o["kind"] == "posterior" and o["sd"] is not None]
        nuts = next((o for o in posteriors if o["implementation"] == reference("posterior")), None)
        for outcome in posteriors:
            own = outcome["diagnostics"]
            if nuts is None or "r_hat" in own:
                continue
            ratios, check = diagnostics.spread_ratios(outcome["sd"], nuts["sd"])
            if check is not None:
                values = list(ratios.values())
                own["sd_ratio_to_nuts"] = {
                    "min": min(values),
                    "median": float(np.median(values)),
                    "max": max(values),
                    "by_parameter": ratios,
                }
                if all(c["passed"] for c in nuts["diagnostics"]["checks"]):
                    own["checks"].append(check.to_dict())

    def _verdict(
        self, task: Task, result: Result, outcome: dict[str, Any], best: float | None
    ) -> Judged:
        status = outcome["status"]
        if isinstance(result, Failure) or status == Status.FAILED:
            failed = status == Status.FAILED
            return Judged(Verdict.FAILED if failed else Verdict.NOT_RUN, outcome["message"])
        if task.problem.mode is Mode.MATCHED:
            return self._verdict_matched(outcome)
        follows = task.implementation != reference("point")
        if status == Status.DEGENERATE and follows and self._em_collapsed(task):
            return Judged(Verdict.DIFFERS, f"{outcome['message']}; {BOTH}", known=True)
        if status in (Status.DEGENERATE, Status.LOG_LIKELIHOOD_FELL):
            return Judged(Verdict.DIFFERS, outcome["message"])
        if status == Status.NOT_CONVERGED:
            return Judged(Verdict.UNSETTLED, outcome["message"])
        train = outcome["log_likelihood"]["train"]
        possible = train is not None and math.isfinite(train)
        if outcome["kind"] == "point" and not possible:
            return Judged(Verdict.DIFFERS, "the data are impossible under its estimate")
        if best is None:
            why = "there is no sound fit to hold it against"
            return Judged(Verdict.UNSETTLED, why, known=self._em_collapsed(task))
        gap = best - train if possible else math.inf
        if outcome["kind"] == "posterior":
            return self._verdict_on_mean(gap)
        if gap <= NEAR_OPTIMUM:
            return Judged(Verdict.AGREES, f"within {max(gap, 0):.2g} nats of the best fit")
        return Judged(
            Verdict.DIFFERS, f"{gap:.3g} nats short of the best fit; {outcome['message']}"
        )

    def _em_collapsed(self, task: Task) -> bool:
        fit = self._lead(task.problem.mode)
        return fit is not None and fit.status is Status.DEGENERATE

    def _verdict_on_mean(self, gap: float) -> Judged:
        # A draw from a settled posterior lies on average p/2 nats below the maximum (half a
        # chi-square with p degrees of freedom); its mean should not lie lower than that.
        allowed = self.reference.n_free / 2
        what = f"the posterior mean lies {gap:.2f} nats below the best fit"
        if gap <= allowed:
            return Judged(Verdict.AGREES, f"{what}, within p/2 = {allowed:g}")
        return Judged(Verdict.DIFFERS, f"{what}, more than p/2 = {allowed:g}")

    def _verdict_matched(self, outcome: dict[str, Any]) -> Judged:
        degenerate = outcome["status"] == Status.DEGENERATE
        if outcome["implementation"] == reference("point"):
            if degenerate or outcome["status"] == Status.LOG_LIKELIHOOD_FELL:
                return Judged(Verdict.DIFFERS, outcome["message"])
            return Judged(Verdict.AGREES, "the fit that the others are held against")
        found = outcome["agreement"]
        ours = self._lead(Mode.MATCHED)
        if outcome["status"] == Status.LOG_LIKELIHOOD_FELL or (
            degenerate and (ours is None or ours.status is not Status.DEGENERATE)
        ):
            return Judged(Verdict.DIFFERS, outcome["message"])
        if found is None or ours is None:
            return Judged(Verdict.NOT_RUN, "there is no EM fit of ours to compare with")
        steps, largest = found["iterations_compared"], found["max_scaled_difference"]
        what = f"largest difference from em in {steps} iterations: {largest:.1e}"
        if degenerate:
            told = f"{BOTH}: {outcome['message']}; until then the {what} sd of the data"
            verdict = Verdict.AGREES if largest <= LOCKSTEP else Verdict.DIFFERS
            return Judged(verdict, told, known=largest <= LOCKSTEP)
        if largest <= LOCKSTEP and found["same_length"]:
            return Judged(Verdict.AGREES, what)
        if ours.status is Status.DEGENERATE:
            what += f", where em ended: {ours.message}"
        return Judged(Verdict.DIFFERS, what + self._far())

    def _far(self) -> str:
        """Return how much rounding does to data far from zero, where it is more than LOCKSTEP."""
        if isinstance(self.prepared.data, tuple):
            return ""
        data = self.prepared.data
        far = float((np.abs(data).max(axis=0) / data.std(axis=0)).max())
        if far * EPSILON <= LOCKSTEP / 10:
            return ""
        return (
            f"; the data lie {far:.0e} standard deviations from zero, where rounding alone makes "
            f"some {far * EPSILON:.0e} a step: subtract a constant"
        )

    def _published(self, published: Published) -> dict[str, Any]:
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
        return {
            "quantity": published.quantity,
            "value": float(published.printed),
            "printed": published.printed,
            "source": published.source,
            "note": published.note,
            "at": None if published.at is None else published.at.to_dict(),
            "ours": ours,
            "matches": matches,
        }

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

    def _shown_data(self) -> Any:
        data = self.prepared.data
        if isinstance(data, tuple):
            shown, left = [], SHOWN
            for symbols in data:
                shown.append(symbols[:left].tolist())
                left -= len(shown[-1])
                if left <= 0:
                    break
            return shown
        return data[:: max(1, math.ceil(len(data) / SHOWN))].tolist()


def _largest(by_field: dict[str, Floats]) -> float:
    return float(np.max([array.max() for array in by_field.values()]))  # NaN is the largest


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _unjudged(error: Exception, timed: Timed) -> Failure:
    """Return the failure of judging a fit, to be called where it was caught."""
    message = f"the fit could not be judged: {_said(error)}"
    output = timed.fit.details.get("output", "")
    return Failure(Status.FAILED, message, traceback.format_exc(), timed.seconds, output)


def _failed(failure: Failure) -> dict[str, Any]:
    return {
        "status": failure.status,
        "message": failure.message,
        "diagnostics": {
            name: text
            for name, text in (("traceback", failure.traceback), ("output", failure.output))
            if text
        },
    }


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


def _known_failing(implementation: str, judged: Judged, outcome: dict[str, Any]) -> str | None:
    """Return why the checks that a posterior failed are ones that its method is known to fail."""
    known = getattr(implementations()[implementation], "KNOWN_FAILINGS", {})
    failed = [c["name"] for c in outcome["diagnostics"].get("checks", []) if not c["passed"]]
    if judged.verdict is not Verdict.UNSETTLED or not set(failed) <= set(known):
        return None
    return "; ".join(dict.fromkeys(known[name] for name in failed))


def _pass_or_fail(outcome: dict[str, Any]) -> None:
    """Let a posterior's checks say how it ended."""
    checks = outcome["diagnostics"].get("checks")
    if checks is None:
        return
    failed = [diagnostics.failure(diagnostics.Check(**c)) for c in checks if not c["passed"]]
    outcome["status"] = Status.NOT_CONVERGED if failed else Status.CONVERGED
    outcome["message"] = "; ".join(failed) or _summary(outcome["diagnostics"])


def _smoothed(elbo: Floats) -> dict[str, Any]:
    """Return the means of equal stretches of an ELBO trace, with their standard errors."""
    length = max(2, math.ceil(len(elbo) / TRACED))
    whole = elbo[: len(elbo) // length * length].reshape(-1, length)
    return {
        "step": (np.arange(len(whole)) + 0.5) * length,
        "mean": whole.mean(axis=1),
        "error": whole.std(axis=1, ddof=1) / math.sqrt(length),
    }


def _summary(found: dict[str, Any]) -> str:
    if "r_hat" in found:
        return (
            f"R-hat {found['r_hat']:.3f}, ESS {found['ess_bulk']:.0f} bulk "
            f"{found['ess_tail']:.0f} tail, {found['divergences']} divergences"
        )
    drawn = f"{found['chains'] * found['draws']} draws from the approximation"
    return drawn + (f", Pareto k-hat {found['k_hat']:.2f}" if "k_hat" in found else "")
