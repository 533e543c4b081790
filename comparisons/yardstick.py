"""Verdicts: what an outcome is held against, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace as changed

from lockstep.comparisons.implementations import implementations, reference
from lockstep.comparisons.outcomes import (
    Fitted,
    Likeness,
    Outcome,
    PointOutcome,
    PosteriorOutcome,
    Verdict,
)
from lockstep.comparisons.posterior_agreement import sentence
from lockstep.comparisons.problem import Mode
from lockstep.models import Data
from lockstep.models.fits import PointFit, Status

LOCKSTEP = 1e-9
"""Matched fits agree if at every iteration no parameter differs by more than this, means counted
in standard deviations and variances relative. Both sides round differently by some 1e-16 a step;
a slip in an update shows at 1e-2 or more."""

NEAR_OPTIMUM = 0.05
"""Fits as configured agree if they come within this many nats of the best. A gap of g nats moves
no parameter by more than sqrt(2 g) of its standard errors: here by less than a third of one."""

ERRORS = 4.0
"""Monte Carlo errors within which a posterior mean's log-likelihood is on its limit, and agrees: a
mean at the limit is found beyond them from one seed in 30,000."""

UNLIKE = {Likeness.DIFFERS: Verdict.DIFFERS, Likeness.UNDECIDED: Verdict.UNSETTLED}
"""What is said of a posterior that cannot be said to be the reference's."""

EPSILON = 2.0**-52
"""By which neighbouring doubles differ, relative to themselves."""

BOTH = "both found the collapse"
"""Of em and another; what em's own row counts, the other's does not."""


@dataclass(frozen=True)
class Judged:
    """A verdict with its reason."""

    verdict: Verdict
    reason: str
    known: bool = False
    """Whether em's own row says the same: it is one finding, and counts once."""


@dataclass(frozen=True)
class Yardstick:
    """What the outcomes of one scenario are held against.

    Attributes
    ----------
    leads : mapping of Mode to PointFit
        The fits that the other point fits are held against, where they are.
    best : float or None
        The highest training log-likelihood that a sound point fit reached.
    n_free : int
        Free parameters.
    data : Data
    expected : mapping of (implementation, Mode) to str
        Disagreements that the scenario declares.
    """

    leads: Mapping[Mode, PointFit]
    best: float | None
    n_free: int
    data: Data
    expected: Mapping[tuple[str, Mode], str]

    def judged[O: Outcome](self, outcome: O) -> O:
        """Return the outcome with its verdict, and whether it counts."""
        said = self.verdict(outcome)
        expected = self.expected.get((outcome.implementation, outcome.mode))
        expected = expected or _known_failing(said, outcome)
        agreement = outcome.agreement if isinstance(outcome, PosteriorOutcome) else None
        if agreement is not None and agreement.likeness is Likeness.DIFFERS:
            expected = None  # nobody expects another posterior than the reference's
        wrong = said.verdict in (Verdict.DIFFERS, Verdict.UNSETTLED, Verdict.FAILED)
        return changed(
            outcome,
            verdict=said.verdict,
            reason=said.reason,
            expected=expected,
            counts_against=expected is None and not said.known and wrong,
        )

    def verdict(self, outcome: Outcome) -> Judged:
        """Return what is said of an outcome, and why."""
        status, message = outcome.status, outcome.message
        if not isinstance(outcome, Fitted) or status is Status.FAILED:
            failed = status is Status.FAILED
            return Judged(Verdict.FAILED if failed else Verdict.NOT_RUN, message)
        if isinstance(outcome, PointOutcome) and outcome.mode is Mode.MATCHED:
            return self._verdict_matched(outcome)
        follows = outcome.implementation != reference("point")
        collapsed = self._collapsed(outcome.mode)
        if status is Status.DEGENERATE and follows and collapsed:
            return Judged(Verdict.DIFFERS, f"{message}; {BOTH}", known=True)
        if status in (Status.DEGENERATE, Status.LOG_LIKELIHOOD_FELL):
            return Judged(Verdict.DIFFERS, message)
        found = outcome.agreement if isinstance(outcome, PosteriorOutcome) else None
        if status is Status.NOT_CONVERGED:
            if found is not None and found.likeness is Likeness.DIFFERS:
                message += f"; {sentence(found)}"
            return Judged(Verdict.UNSETTLED, message)
        if found is not None and found.likeness in UNLIKE:
            return Judged(UNLIKE[found.likeness], sentence(found))
        train = outcome.log_likelihood.train
        possible = train is not None and math.isfinite(train)
        if isinstance(outcome, PointOutcome) and not possible:
            return Judged(Verdict.DIFFERS, "the data are impossible under its estimate")
        if self.best is None:
            why = "there is no sound fit to hold it against"
            return Judged(Verdict.UNSETTLED, why, known=collapsed)
        gap = self.best - train if train is not None and possible else math.inf
        if isinstance(outcome, PosteriorOutcome):
            return self._verdict_on_mean(outcome, gap)
        if gap <= NEAR_OPTIMUM:
            return Judged(Verdict.AGREES, f"within {max(gap, 0):.2g} nats of the best fit")
        return Judged(Verdict.DIFFERS, f"{gap:.3g} nats short of the best fit; {message}")

    def _collapsed(self, mode: Mode) -> bool:
        """Return whether em collapsed."""
        return mode in self.leads and self.leads[mode].status is Status.DEGENERATE

    def _verdict_on_mean(self, outcome: PosteriorOutcome, gap: float) -> Judged:
        # A draw from a settled posterior lies on average p/2 nats below the maximum (half a
        # chi-square with p degrees of freedom); its mean should not lie lower than that.
        allowed, error = self.n_free / 2, outcome.log_likelihood.train_error or 0.0
        known = outcome.agreement is not None  # what it agrees with has a row of its own
        before = f"{sentence(outcome.agreement)}; " if outcome.agreement is not None else ""
        what = f"{before}the posterior mean lies {gap:.2f} nats below the best fit"
        if abs(gap - allowed) <= ERRORS * error:
            what += f", ± {error:.2f} by its draws: on the limit, p/2 = {allowed:g}"
            return Judged(Verdict.AGREES, what)
        if gap <= allowed:
            return Judged(Verdict.AGREES, f"{what}, within p/2 = {allowed:g}")
        return Judged(Verdict.DIFFERS, f"{what}, more than p/2 = {allowed:g}", known)

    def _verdict_matched(self, outcome: PointOutcome) -> Judged:
        degenerate, found = outcome.status is Status.DEGENERATE, outcome.agreement
        fell = outcome.status is Status.LOG_LIKELIHOOD_FELL
        if outcome.implementation == reference("point"):
            if degenerate or fell:
                return Judged(Verdict.DIFFERS, outcome.message)
            return Judged(Verdict.AGREES, "the fit that the others are held against")
        if fell or (degenerate and not self._collapsed(Mode.MATCHED)):
            return Judged(Verdict.DIFFERS, outcome.message)
        if found is None or found.max_scaled_difference is None:
            return Judged(Verdict.NOT_RUN, "there is no EM fit of ours to compare with")
        steps, largest = found.iterations_compared, found.max_scaled_difference
        what = f"largest difference from em in {steps} iterations: {largest:.1e}"
        if degenerate:
            told = f"{BOTH}: {outcome.message}; until then the {what} sd of the data"
            verdict = Verdict.AGREES if largest <= LOCKSTEP else Verdict.DIFFERS
            return Judged(verdict, told, known=largest <= LOCKSTEP)
        if largest <= LOCKSTEP and found.same_length:
            return Judged(Verdict.AGREES, what)
        if self._collapsed(Mode.MATCHED):
            what += f", where em ended: {self.leads[Mode.MATCHED].message}"
        return Judged(Verdict.DIFFERS, what + self._far())

    def _far(self) -> str:
        """Return how much rounding does to data far from zero, where it is more than LOCKSTEP."""
        data = self.data
        if isinstance(data, tuple):
            return ""
        far = float((np.nanmax(np.abs(data), axis=0) / np.nanstd(data, axis=0)).max())
        if far * EPSILON <= LOCKSTEP / 10:
            return ""
        return (
            f"; the data lie {far:.0e} standard deviations from zero, where rounding alone makes "
            f"some {far * EPSILON:.0e} a step: subtract a constant"
        )


def _known_failing(judged: Judged, outcome: Outcome) -> str | None:
    """Return why the checks that a posterior failed are ones that its method is known to fail."""
    if judged.verdict is not Verdict.UNSETTLED or not isinstance(outcome, PosteriorOutcome):
        return None
    known = getattr(implementations()[outcome.implementation], "KNOWN_FAILINGS", {})
    failed = [check.name for check in outcome.diagnostics.failed]
    return "; ".join(dict.fromkeys(known[n] for n in failed)) if set(failed) <= set(known) else None
