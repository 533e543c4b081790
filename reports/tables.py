"""The tables that page, Markdown and terminal share, cut from one results file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from lockstep.comparisons.diagnostics import SD_RATIO
from lockstep.comparisons.implementations import reference
from lockstep.comparisons.outcomes import (
    Fitted,
    Interval,
    LeaveOneOut,
    Outcome,
    PointOutcome,
    PosteriorAgreement,
    PosteriorOutcome,
    Results,
    Scalar,
    ScenarioResult,
    Score,
)
from lockstep.comparisons.posterior_agreement import FALSE_ALARM, sentence
from lockstep.comparisons.posterior_causes import in_words
from lockstep.comparisons.problem import Mode
from lockstep.comparisons.yardstick import LOCKSTEP
from lockstep.models.fits import Status
from lockstep.reports import numbers, reading, verdicts
from lockstep.reports.numbers import DASH
from lockstep.reports.reading import AS_CONFIGURED, MATCHED

SHOWN_FARTHEST, SHOWN_PARTS = 8, 2
"""Of a posterior's statistics, and of parts of its draws, that are shown."""


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes
    ----------
    text : str
    tone : str
        ``good``, ``bad``, ``declared`` or nothing: a hint for colour, which repeats the text.
    """

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Column:
    """A column's heading; numbers are set flush right."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes
    ----------
    cells : tuple of Cell
        The first is the row's heading.
    implementation : str
        To whom the row belongs, for switching it off.
    group : str
        Rows of one group stand together under this heading.
    """

    cells: tuple[Cell, ...]
    implementation: str = ""
    group: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption and notes.

    Attributes
    ----------
    key : str
        Names the table within its scenario.
    caption : str
    columns : tuple of Column
    rows : tuple of Row
    notes : tuple of str
    group_title : str
        Heads the groups where they need a column of their own.
    """

    key: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    group_title: str = ""

    def groups(self) -> list[tuple[str, list[Row]]]:
        """Return the rows by group, in order."""
        found: list[tuple[str, list[Row]]] = []
        for row in self.rows:
            if not found or found[-1][0] != row.group:
                found.append((row.group, []))
            found[-1][1].append(row)
        return found


def table(
    key: str,
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    notes: Sequence[str] = (),
    group_title: str = "",
) -> Table:
    """Return a table; a column whose title begins with ``#`` holds numbers."""
    heads = tuple(Column(c.removeprefix("#"), c.startswith("#")) for c in columns)
    return Table(key, caption, heads, tuple(rows), tuple(n for n in notes if n), group_title)


def row(*cells: str | Cell, implementation: str = "", group: str = "") -> Row:
    """Return a row of texts or cells."""
    made = tuple(c if isinstance(c, Cell) else Cell(c) for c in cells)
    return Row(made, implementation, group)


@dataclass(frozen=True)
class Precision:
    """The decimals that an outcome's numbers deserve."""

    outcome: Outcome
    sizes: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", reading.effective_sizes(self.outcome))

    def estimate(self, value: float | None, sd: float | None) -> str:
        """Return an estimate, or a difference from one."""
        return self._write(value, sd, 1 / math.sqrt(self.sizes[0]))

    def sd(self, value: float | None) -> str:
        """Return a posterior standard deviation; its error is about sd / sqrt(2 n)."""
        return self._write(value, value, 1 / math.sqrt(2 * self.sizes[0]))

    def quantile(self, value: float | None, sd: float | None) -> str:
        """Return an end of a 95% interval; its error is about 2.7 sd / sqrt(n)."""
        return self._write(value, sd, 2.7 / math.sqrt(self.sizes[1]))

    def nats(self, value: float | None, most: int = 6) -> str:
        """Return a log-likelihood, a posterior's with the decimals of its mean over the draws."""
        spread = (
            self.outcome.log_likelihood.train_sd
            if isinstance(self.outcome, PosteriorOutcome)
            else None
        )
        if not spread:
            return numbers.nats(value, most)
        error = spread / math.sqrt(self.sizes[0])
        return numbers.fixed(value, numbers.supported_decimals(error, most))

    def nats_at_mean(self, scenario: ScenarioResult, most: int = 6) -> str:
        """Return the training log-likelihood at the estimate.

        At a posterior's mean, g nats below a maximum of p parameters, the mean's own error moves
        it by about sqrt(2 g / n) + p / (2 n).
        """
        value = reading.scores(self.outcome).train
        best = reading.record(scenario, scenario.reference)
        gap = verdicts.gap(scenario, self.outcome)
        if not isinstance(self.outcome, PosteriorOutcome) or best is None or gap is None:
            return self.nats(value, most)
        n, p = self.sizes[0], best.n_free
        error = math.sqrt(2 * gap / n) + p / (2 * n)
        return numbers.fixed(value, numbers.supported_decimals(error, most))

    def _write(self, value: float | None, sd: float | None, share: float) -> str:
        if not isinstance(self.outcome, PosteriorOutcome) or not sd:
            return numbers.estimate(value)
        return numbers.fixed(value, numbers.supported_decimals(sd * share, 8))


def largest_error(outcome: Outcome) -> float | None:
    """Return the largest distance from the truth."""
    if not isinstance(outcome, Fitted) or outcome.recovery is None:
        return None
    return outcome.recovery.max_abs_error


def largest_difference(scenario: ScenarioResult, outcome: Outcome) -> float | None:
    """Return the largest distance from em in the same mode, matched at any iteration.

    It is the one that is judged, in units that those of the data do not enter; None for em itself.
    """
    if outcome.implementation == reference("point") or not isinstance(outcome, Fitted):
        return None
    agreement = outcome.agreement if isinstance(outcome, PointOutcome) else None
    if agreement is not None and agreement.max_scaled_difference is not None:
        return agreement.max_scaled_difference
    em = reading.lead(scenario, outcome.mode)
    if em is None or reading.is_degenerate(em) or reading.is_degenerate(outcome):
        return None
    return reading.largest(reading.scaled_differences(scenario, outcome, em))


def not_supporting(scenario: ScenarioResult) -> str:
    """Return in a sentence who does not do this model, and why."""
    reasons = {
        o.implementation: o.message or o.reason or "unsupported"
        for o in scenario.outcomes
        if o.status is Status.UNSUPPORTED
    }
    return "; ".join(f"{who}: {why}" for who, why in reasons.items())


def shown(scenario: ScenarioResult) -> list[Outcome]:
    """Return the outcomes that get a row: all but the unsupported."""
    return [o for o in scenario.outcomes if o.status is not Status.UNSUPPORTED]


def verdict_table(scenario: ScenarioResult) -> Table:
    """Return who agrees, how each fit ended, and its scores."""
    rows = [
        row(
            o.implementation,
            Cell(verdicts.label(o), verdicts.tone(o)),
            verdicts.status(o),
            Precision(o).nats_at_mean(scenario, most=4),
            Precision(o).nats(reading.scores(o).heldout, most=4),
            numbers.three(largest_error(o)),
            numbers.three(largest_difference(scenario, o)),
            f"{o.iterations:,}" if isinstance(o, PointOutcome) else DASH,
            numbers.duration(o.seconds),
            o.reason or o.message,
            implementation=o.implementation,
            group=_mode_title(scenario, o.mode),
        )
        for o in shown(scenario)
    ]
    skipped = not_supporting(scenario)
    notes = [
        "Log-likelihoods are totals in nats at the estimate (of a posterior: at its mean).",
        "|error| is the distance from the truth, |difference| from em in the same mode (matched: "
        "at any iteration), each of the parameter where it is largest: two claims, and neither "
        "follows from the other. Errors are in the parameter's own unit; differences are as they "
        "are judged, means in standard deviations and variances relative.",
        f"Not compared here: {skipped}." if skipped else "",
    ]
    columns = [
        *("Implementation", "Verdict", "Status", "#Train log-lik.", "#Held-out log-lik."),
        *("#Largest |error|", "#Largest |difference|", "#Iterations", "#Seconds", "Reason"),
    ]
    made = table("verdicts", "Verdicts, and what they rest on", columns, rows, notes, "Mode")
    return without_empty_columns(made)


def reason(outcome: Outcome) -> str:
    """Return the judge's reason, and the scenario's own where it declared the disagreement."""
    text = outcome.reason or outcome.message
    return f"{text}. Declared: {outcome.expected}" if verdicts.is_declared(outcome) else text


def _mode_title(scenario: ScenarioResult, mode: Mode) -> str:
    if mode is not MATCHED:
        return "As configured: its own start and stopping rule"
    iterations = {o.iterations for o in reading.points(scenario, MATCHED)}
    count = f", {iterations.pop()} iterations" if len(iterations) == 1 else ""
    return f"Matched: same start{count}, no ridge, no prior"


def without_empty_columns(given: Table) -> Table:
    """Return the table without the columns that hold nothing."""
    keep = [
        i
        for i in range(len(given.columns))
        if i == 0 or any(r.cells[i].text not in ("", DASH) for r in given.rows)
    ]
    return replace(
        given,
        columns=tuple(given.columns[i] for i in keep),
        rows=tuple(replace(r, cells=tuple(r.cells[i] for i in keep)) for r in given.rows),
    )


def lockstep_table(scenario: ScenarioResult) -> Table | None:
    """Return how far the matched fits went apart, over all iterations."""
    compared = [
        (o, o.agreement) for o in reading.points(scenario, MATCHED) if o.agreement is not None
    ]
    if not compared:
        return None
    rows = [
        row(
            o.implementation,
            Cell(verdicts.label(o), verdicts.tone(o)),
            str(agreement.iterations_compared),
            "yes" if agreement.same_length else "no",
            numbers.scientific(agreement.max_scaled_difference),
            numbers.scientific(agreement.max_abs_difference),
            implementation=o.implementation,
        )
        for o, agreement in compared
    ]
    collapsed = any(agreement.units == "data" for _, agreement in compared)
    return table(
        "lockstep",
        "Largest difference from em in any parameter at any iteration",
        [
            *("Implementation", "Verdict", "#Iterations compared", "Same number"),
            *("#Largest difference", "#Unscaled"),
        ],
        rows,
        [
            f"Means in standard deviations of their component, variances relative. The verdict "
            f"asks for at most {LOCKSTEP:g}; rounding alone makes some 1e-16 a step. Unscaled: in "
            "the parameters' own units, which are not judged.",
            "Where both fits collapsed, in standard deviations of the data." if collapsed else "",
        ],
    )


def matched_table(scenario: ScenarioResult) -> Table | None:
    """Return em's estimate after the matched iterations, and the others' distance from it."""
    em = reading.lead(scenario, MATCHED)
    if em is None:
        return None
    start = reading.flat({k: array[0] for k, array in (em.path or {}).items()})
    final = reading.flat(em.parameters)
    parameters, more = reading.largest_parameters(scenario, final)
    others = [o for o in reading.fits(scenario, MATCHED) if o.implementation != reference("point")]
    apart = [reading.scaled_differences(scenario, o, em) for o in others]
    rows = [
        row(
            parameter,
            reading.describe(scenario, parameter),
            _eight(start.get(parameter)),
            _eight(final[parameter]),
            *(numbers.scientific(distance.get(parameter)) for distance in apart),
        )
        for parameter in parameters
    ]
    rows += [
        row(
            f"sds[{k}]",
            f"standard deviation of {reading.component_names(scenario)[k]}",
            _root(start.get(f"variances[{k}]")),
            _root(final.get(f"variances[{k}]")),
            *("" for _ in others),
        )
        for k in range(reading.n_components(scenario))
        if f"variances[{k}]" in final
    ]
    return table(
        "matched",
        f"em after {em.iterations} iterations from the common start, and the distance of "
        "the others from it",
        ["Parameter", "Meaning", "#Start", "#em", *(f"#|{o.implementation} - em|" for o in others)],
        rows,
        [
            order_note(scenario, em),
            "The distances are scaled, as they are judged: means in standard deviations, variances "
            "relative."
            if others and not reading.has_sequences(scenario)
            else "",
            more,
        ],
    )


def _eight(value: float | None) -> str:
    if value is not None and 0 < abs(value) < 5e-9:
        return f"{value:.3e}"
    return numbers.fixed(value, 8)


def _root(value: float | None) -> str:
    return DASH if value is None or value < 0 else _eight(math.sqrt(value))


def order_note(scenario: ScenarioResult, outcome: PointOutcome) -> str:
    """Return whether the fit's own labels had to be permuted."""
    order, name = outcome.order, outcome.implementation
    noun = f"{reading.module(scenario).shows.NOUN}s"
    who = "the reference" if scenario.truth is None else "truth"
    if order == sorted(order):
        return f"{name}'s {noun} came out in the order of {who}."
    places = ", ".join(str(k + 1) for k in order)
    swapped = "Labels swapped" if len(order) == 2 else "Labels permuted"
    return (
        f"{swapped}: {name}'s own {noun} are numbered {places} where {who} has "
        f"{', '.join(str(k + 1) for k in range(len(order)))}; tables "
        f"show them in the order of {who}."
    )


def recovery_table(scenario: ScenarioResult) -> Table | None:
    """Return every parameter: truth or published figure, estimates, intervals and distances."""
    fits = reading.fits(scenario, AS_CONFIGURED)
    if not fits:
        return None
    truth = reading.flat(scenario.truth)
    quoted = _published_values(scenario)
    known = [_Known(scenario, o, truth) for o in fits]
    parameters, more = reading.largest_parameters(scenario, known[0].estimate)
    rows = []
    for parameter in parameters:
        group = f"{parameter}  {reading.describe(scenario, parameter)}".rstrip()
        if parameter in truth:
            group += f" · truth {numbers.given(truth[parameter])}"
        elif parameter in quoted:
            group += f" · published {quoted[parameter]}"
        rows += [line for one in known for line in one.rows(parameter, group)]
    heads = ["Implementation", "#Estimate", "#sd", f"#{interval_title(fits)}"]
    made = table(
        "recovery",
        "Parameters as configured: estimate, uncertainty, distance from truth and from em",
        [*heads, "Holds truth", "#|error|", "#|difference from em|"],
        rows,
        [
            more,
            _interval_note(fits),
            _bootstrap_note(fits),
            "A posterior's estimate is its mean; its digits stop where its Monte Carlo error "
            "begins (sd / sqrt(ESS), ESS being that of the worst parameter)."
            if any(isinstance(o, PosteriorOutcome) for o in fits)
            else "",
            "" if truth else "There is no truth to recover here: the |error| column is absent.",
            "Errors and differences are in the parameter's own unit, as it is.",
        ],
        "Parameter",
    )
    return without_empty_columns(made)


def _ends(interval: Interval | None) -> tuple[dict[str, float | None], dict[str, float | None]]:
    if interval is None:
        return {}, {}
    return reading.flat(interval.lower), reading.flat(interval.upper)


class _Known:
    """What an outcome says of every parameter."""

    def __init__(self, scenario: ScenarioResult, o: Fitted, truth: dict[str, float | None]) -> None:
        self.name, self.digits, self.truth = o.implementation, Precision(o), truth
        self.estimate, self.sd = reading.flat(o.parameters), reading.flat(o.sd)
        self.interval = _ends(o.interval)
        self.bootstrap = o.bootstrap if isinstance(o, PointOutcome) else None
        self.refits = _ends(self.bootstrap)
        self.spread = {} if self.bootstrap is None else reading.flat(self.bootstrap.sd)
        em = reading.lead(scenario, AS_CONFIGURED)
        self.apart = {} if o is em else reading.differences(o, em)

    def rows(self, parameter: str, group: str) -> Iterator[Row]:
        """Yield the parameter's row, and the bootstrap's below it."""
        digits, truth = self.digits, self.truth.get(parameter)
        value, sd = self.estimate.get(parameter), self.sd.get(parameter)
        lower, upper = (ends.get(parameter) for ends in self.interval)
        yield row(
            self.name,
            digits.estimate(value, sd),
            digits.sd(sd) if sd is not None else DASH,
            _between(digits.quantile(lower, sd), digits.quantile(upper, sd)),
            _held(lower, truth, upper),
            digits.estimate(None if truth is None or value is None else abs(value - truth), sd),
            digits.estimate(self.apart.get(parameter), sd),
            implementation=self.name,
            group=group,
        )
        if self.bootstrap is None:
            return
        sd = self.spread.get(parameter)
        lower, upper = (ends.get(parameter) for ends in self.refits)
        # The error of a 2.5% quantile of n refits is about 2.7 sd / sqrt(n).
        error = 2.7 * (sd or 0) / math.sqrt(self.bootstrap.resamples)
        decimals = numbers.supported_decimals(error, 8)
        yield row(
            f"{self.name}, bootstrap",
            DASH,
            numbers.three(sd),
            _between(numbers.fixed(lower, decimals), numbers.fixed(upper, decimals)),
            _held(lower, truth, upper),
            DASH,
            DASH,
            implementation=self.name,
            group=group,
        )


def _between(lower: str, upper: str) -> str:
    return DASH if DASH in (lower, upper) else f"{lower} … {upper}"


def _held(lower: float | None, truth: float | None, upper: float | None) -> Cell:
    """Return whether an interval holds the truth; nothing where there is none."""
    if lower is None or truth is None or upper is None:
        return Cell(DASH)
    return _yes_or_no(lower <= truth <= upper)


def _yes_or_no(held: bool) -> Cell:
    return Cell("✓ yes", "good") if held else Cell("✗ no", "bad")


def interval_title(fits: Sequence[Fitted]) -> str:
    """Return the intervals' heading, with their probability if all have the same."""
    given = {o.interval.probability for o in fits if o.interval is not None}
    return f"{100 * given.pop():g}% interval" if len(given) == 1 else "Interval"


def _interval_note(fits: Sequence[Fitted]) -> str:
    kinds = reading.interval_kinds(fits)
    if not kinds:
        return "No fit here carries intervals."
    missing: dict[str, list[str]] = {}
    for o in fits:
        for parameter, reason in o.no_interval.items() if isinstance(o, PointOutcome) else ():
            missing.setdefault(f"{o.implementation}: {reason}", []).append(parameter)
    without = [f"{_some(parameters)} ({why})" for why, parameters in missing.items()]
    return f"Intervals: {kinds}." + (f" None for {'; '.join(without)}." if without else "")


def _some(names: Sequence[str], most: int = 20) -> str:
    """Return names in a line, of many the first."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _bootstrap_note(fits: Sequence[Fitted]) -> str:
    for o in fits:
        if isinstance(o, PointOutcome) and o.bootstrap is not None:
            return (
                f"The bootstrap refits {o.bootstrap.resamples} data sets drawn from em's estimate "
                f"({o.bootstrap.kind} intervals)."
            )
    return ""


def _published_values(scenario: ScenarioResult) -> dict[str, str]:
    """Return the first published value of each parameter, those comparable with ours first."""
    found: dict[str, str] = {}
    for p in sorted(scenario.published, key=lambda p: bool(p.note)):
        if p.at is None:
            found.setdefault(p.quantity, p.printed)
    return found


def log_likelihood_table(scenario: ScenarioResult) -> Table | None:
    """Return every log-likelihood, each under its own name."""
    rows = []
    for o in reading.fits(scenario):
        s, digits, over, predicted = o.log_likelihood, Precision(o), DASH, None
        if s.train is None and s.heldout is None:
            continue
        if isinstance(o, PosteriorOutcome):
            mean, predicted = o.log_likelihood.train_mean, o.log_likelihood.heldout_predictive
            if mean is not None:
                over = f"{digits.nats(mean)} ± {numbers.three(o.log_likelihood.train_sd)}"
        rows.append(
            row(
                o.implementation,
                digits.nats_at_mean(scenario),
                numbers.three(verdicts.gap(scenario, o)),
                over,
                digits.nats(s.heldout),
                digits.nats(predicted),
                implementation=o.implementation,
                group=_mode_title(scenario, o.mode),
            )
        )
    if not rows:
        return None
    made = table(
        "log-likelihood",
        "Log-likelihood in nats, latent variables summed out, one function for all",
        [
            *("Implementation", "#Train, at estimate", "#Below the best"),
            *("#Train, mean ± sd over draws", "#Held out, at estimate"),
            "#Held out, predictive over draws",
        ],
        rows,
        [
            "Over draws the training log-likelihood is not ranked against the maximum: the "
            "maximum-likelihood fit wins by definition, and a draw lies on average p/2 nats "
            "below it. The predictive figure averages the density over draws."
            if reading.posteriors(scenario)
            else "",
            "" if scenario.n_heldout else "There are no held-out data.",
        ],
        "Mode",
    )
    return without_empty_columns(made)


def scale_table(scenario: ScenarioResult) -> Table | None:
    """Return plug-in fits and averages over draws as predictions of the same unseen units."""
    posteriors = reading.posteriors(scenario, AS_CONFIGURED)
    em, n = reading.lead(scenario, AS_CONFIGURED), scenario.n_heldout
    rows = []
    if em is not None and em.log_likelihood.heldout is not None and n:
        score = Score(total=em.log_likelihood.heldout, units=n)
        rows.append(_scored(em, "plug-in: at the maximum", score))
    for o in posteriors:
        given = o.log_likelihood.heldout_pointwise
        if given is not None:
            rows.append(_scored(o, "plug-in: at the posterior mean", given.plugged_in))
            rows.append(_scored(o, "density averaged over draws", given.averaged))
        if o.log_likelihood.leave_one_out is not None:
            rows.append(_left_out(o, o.log_likelihood.leave_one_out))
    rows = [r for r in rows if r.cells[3].text != DASH]
    if not posteriors or not rows:
        return None
    left_out = any(o.log_likelihood.leave_one_out is not None for o in posteriors)
    made = table(
        "scale",
        "Log predictive densities in nats: what each says of data it has not seen",
        ["Fit", "Prediction", "On", "#Log score", "#Per unit", "#Above em's", "Note"],
        rows,
        [
            f"A unit is one {reading.module(scenario).shows.PREDICTED}. Differences from em's "
            "plug-in score are taken unit by unit; ± is their standard error over the units. "
            "Averaging allows for what is not known of the parameters; with much data it makes no "
            "difference, with little it is the better bet. Here what is held out does not teach; "
            "in the table of log-likelihoods the joint density of all of it is averaged, where the "
            "first units teach about the rest.",
            "Leave-one-out needs no held-out data: each observation is predicted from all others."
            if left_out
            else "",
        ],
    )
    return without_empty_columns(made)


def _scored(o: Outcome, what: str, score: Score) -> Row:
    return row(
        o.implementation,
        what,
        f"{score.units:,} held out",
        Precision(o).nats(score.total, 3),
        numbers.fixed(None if score.total is None else score.total / score.units, 4),
        _above(score),
        "",
        implementation=o.implementation,
    )


def _left_out(o: Outcome, loo: LeaveOneOut) -> Row:
    elpd = numbers.fixed(loo.elpd, 1)
    return row(
        o.implementation,
        "leave-one-out, averaged over draws (PSIS)",
        f"{loo.units:,} left out in turn",
        DASH if loo.elpd is None else f"{elpd} ± {numbers.three(loo.se)}",
        numbers.fixed(None if loo.elpd is None else loo.elpd / loo.units, 4),
        DASH,
        _reliability(loo),
        implementation=o.implementation,
    )


def _above(score: Score) -> str:
    above, error = score.above, score.above_error
    if above is None:
        return DASH
    decimals = 2 if error is None else max(2, min(4, 1 - math.floor(math.log10(error or 1))))
    text = f"{above:+.{decimals}f}"
    return text if error is None else f"{text} ± {numbers.three(error)}"


def _reliability(loo: LeaveOneOut) -> str:
    text = f"effective parameters {numbers.fixed(loo.p, 1)}; largest k-hat "
    text += numbers.fixed(loo.k_max, 2)
    return f"{text}: {loo.k_bad} unreliable" if loo.k_bad else f"{text}, all reliable"


def diagnostics_table(scenario: ScenarioResult) -> Table | None:
    """Return each check on the posteriors: its value, its threshold, passed or failed."""
    rows = [
        row(what, text, gate, result, note, implementation=o.implementation, group=o.implementation)
        for o in reading.posteriors(scenario)
        for what, text, gate, result, note in _diagnostics(o)
    ]
    if not rows:
        return None
    made = table(
        "diagnostics",
        "Diagnostics of the posteriors, each the worst over all parameters",
        ["Diagnostic", "#Value", "#Threshold", "Result", "Where"],
        rows,
        [
            "R-hat is rank-normalised and split; R-hat and ESS are computed after relabelling "
            "every draw, that of the log-likelihood needs no labels. Label switching counts draws "
            "whose labels stand in another order than in most of their chain. A variational fit "
            "has independent draws and no chains: Pareto k-hat says how heavy the tail of "
            "posterior over approximation is, and its smallest sd is held against that of NUTS."
        ],
        "Posterior",
    )
    return without_empty_columns(made)


def _diagnostics(outcome: PosteriorOutcome) -> Iterator[tuple[str, str, str, Cell, str]]:
    """Yield what was measured, its value, its gate, the result, and which parameter it is."""
    d, elbo = outcome.diagnostics, outcome.elbo
    free = DASH, Cell("no threshold"), ""
    yield "draws", f"{d.chains} × {d.draws}", *free
    for check in d.checks:
        result = Cell(verdicts.result(check), "good" if check.passed else "bad")
        yield check.name, verdicts.said(check), verdicts.gate(check), result, check.note
    if elbo is not None and elbo.final is not None:
        text = numbers.fixed(elbo.final, numbers.supported_decimals(elbo.final_error, 4))
        error = f" ± {numbers.three(elbo.final_error)}" if elbo.final_error else ""
        yield "ELBO (nats)", text + error, *free
    if d.relabelled_draws is not None:
        yield "draws relabelled", f"{d.relabelled_draws}", *free


def agreement_table(scenario: ScenarioResult) -> Table | None:
    """Return how posteriors stand to the reference's, the statistics farthest apart first."""
    compared = [(o, o.agreement) for o in reading.posteriors(scenario) if o.agreement is not None]
    rows = [
        row(*cells, implementation=o.implementation, group=o.implementation)
        for o, found in compared
        for cells in _comparisons(found)
    ]
    measured = [o for o in reading.posteriors(scenario) if o.habits is not None]
    notes = [f"{o.implementation}: {sentence(found)}." for o, found in compared]
    notes += [f"{o.implementation} is {in_words(o.habits)}." for o in measured if o.habits]
    if not rows:
        return None
    return table(
        "agreement",
        f"Posteriors held against {compared[0][1].against}: the statistics farthest apart first",
        ["Quantity", "Statistic", "#Value", "#Reference", "#Error of the difference", "#z"],
        rows,
        [
            "Mean, sd and three quantiles of every parameter after relabelling, of the "
            "log-likelihood and of the log density of a few observations, each with the Monte "
            "Carlo error of both posteriors together; z is the normal quantile of being so far "
            "apart. If both sample one posterior, a row has one beyond its limit once in "
            f"{1 / FALSE_ALARM:,.0f} at most. Each chain by itself, and the beginnings of all, are "
            "compared by ranks.",
            *notes,
        ],
        "Posterior",
    )


def _comparisons(found: PosteriorAgreement) -> Iterator[tuple[str | Cell, ...]]:
    """Yield what is farthest apart, and then the farthest parts of the draws."""
    for some, limit, most in (
        (found.table, found.limit, SHOWN_FARTHEST),
        (found.parts, found.parts_limit, SHOWN_PARTS),
    ):
        for c in some[:most]:
            beyond = abs(c.z) > limit
            text = f"{numbers.fixed(c.z, 1)}{' ✗' if beyond else ''}"
            digits = numbers.supported_decimals(c.error, 4) + 1
            values = (numbers.fixed(v, digits) for v in (c.value, c.reference))
            error = numbers.three(c.error)
            yield c.quantity, c.statistic, *values, error, Cell(text, "bad" if beyond else "")


def spread_table(scenario: ScenarioResult) -> Table | None:
    """Return each parameter of the variational fits in units of NUTS's posterior."""
    posteriors = reading.posteriors(scenario, AS_CONFIGURED)
    nuts = reading.find(posteriors, reference("posterior"))
    fits = [o for o in posteriors if o.diagnostics.sd_ratio_to_nuts is not None]
    if nuts is None or not fits:
        return None
    mean, sd = reading.flat(nuts.parameters), reading.flat(nuts.sd)
    rows = [
        row(
            parameter,
            reading.describe(scenario, parameter),
            *(cell for o in fits for cell in _spread(o, parameter, mean[parameter], width)),
        )
        for parameter, width in sd.items()
        if width and not reading.is_repeated(scenario, parameter)
    ]
    heads = [
        f"{head}{o.implementation}: {what}"
        for o in fits
        for head, what in (
            ("#", "sd / NUTS's sd"),
            ("#", "mean, in NUTS's sds"),
            ("", "holds truth"),
        )
    ]
    made = table(
        "spread",
        "Variational fits against NUTS, parameter by parameter",
        ["Parameter", "Meaning", *heads],
        rows,
        [
            f"A ratio below {SD_RATIO:g} is too narrow: a 95% interval of that width covers 88% of "
            "a normal posterior. The mean-field family ignores correlations, and where "
            "parameters are correlated its standard deviations are those given all the others: "
            "too small, however long it is run."
        ],
    )
    return without_empty_columns(made)


def _spread(
    o: PosteriorOutcome, parameter: str, near: float | None, width: float
) -> Iterator[Cell]:
    """Yield a variational fit's sd and mean beside NUTS's, and whether it holds the truth."""
    ratios, value = o.diagnostics.sd_ratio_to_nuts, reading.flat(o.parameters)[parameter]
    ratio = None if ratios is None else dict(ratios.by_parameter).pop(parameter, None)
    narrow = ratio is not None and ratio < SD_RATIO
    text = f"{numbers.fixed(ratio, 2)} {'✗ too narrow' if narrow else ''}".rstrip()
    yield Cell(text, "bad" if narrow else "")
    yield Cell(numbers.fixed(None if value is None or near is None else (value - near) / width, 1))
    held = {} if o.recovery is None else o.recovery.by_parameter
    yield _yes_or_no(held[parameter]) if parameter in held else Cell(DASH)


def details(outcome: Outcome) -> dict[str, str]:
    """Return whatever else an outcome tells of itself, nested names joined by dots."""
    found: dict[str, str] = {}
    for name, value in outcome.details.items() if isinstance(outcome, Fitted) else ():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": _said(entry) for key, entry in value.items()}
        else:
            found[name] = _said(value)
    return found


def _said(value: Scalar | list[Scalar]) -> str:
    if isinstance(value, list):
        many = len(value) > 12
        return f"{len(value)} values, in results.json" if many else ", ".join(map(_said, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return DASH if value is None else str(value)


def is_prior(key: str) -> bool:
    """Return whether a detail tells of priors or of the rule that identifies the labels."""
    return any(part in key.lower() for part in ("prior", "label", "identif"))


def priors_table(scenario: ScenarioResult) -> Table | None:
    """Return the priors and the rule for the labels, as each posterior states them."""
    told: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for o in reading.posteriors(scenario):
        own = tuple((key, text) for key, text in details(o).items() if is_prior(key))
        if own:
            told.setdefault(own, []).append(o.implementation)
    rows = [
        row(
            key.removeprefix("priors.").replace("_", " "),
            text,
            implementation=who[0] if len(who) == 1 else "",
            group=" and ".join(who),
        )
        for own, who in told.items()
        for key, text in own
    ]
    if not rows:
        return None
    caption = "Priors, and the rule that identifies the labels"
    note = (
        "Whatever the prior says, every single draw is relabelled before anything is averaged, by "
        "the probabilities of its labels for each observation (Stephens's algorithm); which label "
        "is whose is then settled once for all draws, by truth or reference."
    )
    return table("priors", caption, ["Of", "Statement"], rows, [note], "Posterior")


def settings_table(scenario: ScenarioResult) -> Table | None:
    """Return settings, versions and component orders."""
    rows = [
        row(
            f"{o.implementation} ({verdicts.mode(o)})",
            f"{o.package} {o.version or ''}".rstrip(),
            o.message,
            _order(o),
            "; ".join(
                f"{k.removeprefix('settings.').replace('_', ' ')} = {v}"
                for k, v in details(o).items()
                if not is_prior(k)
            ),
            implementation=o.implementation,
        )
        for o in shown(scenario)
    ]
    if not rows:
        return None
    made = table(
        "settings",
        "What was run",
        ["Fit", "Package", "Its own message", "Own order of labels", "Settings"],
        rows,
    )
    return without_empty_columns(made)


def _order(outcome: Outcome) -> str:
    if not isinstance(outcome, PointOutcome):
        return DASH
    order = outcome.order
    text = ", ".join(str(k + 1) for k in order)
    return text if order == sorted(order) else f"{text} (swapped)"


def published_table(scenario: ScenarioResult) -> Table | None:
    """Return published figures beside ours."""
    rows, notes = [], []
    for p in scenario.published:
        source = p.source
        if p.at is not None:
            source += "; our log-likelihood at the published parameters"
        if p.note:
            if p.note not in notes:
                notes.append(p.note)
            source += f" (note {notes.index(p.note) + 1})"
        match p.matches:
            case True:
                result = Cell("✓ matches", "good")
            case False:
                result = Cell("≠ differs", "bad")
            case _:
                result = Cell("– not expected to match" if p.note else "– not compared")
        decimals = len(p.printed.partition(".")[2])
        rows.append(
            row(p.quantity, p.printed, numbers.fixed(p.ours, decimals), result, group=source)
        )
    if not rows:
        return None
    return table(
        "published",
        "Published figures beside em's",
        ["Quantity", "#Published", "#Ours", "Result"],
        rows,
        [f"Note {i}: {note}." for i, note in enumerate(notes, 1)],
        "Source",
    )


def environment_table(results: Results) -> Table:
    """Return what the report was made with."""
    environment = results.environment
    made: dict[str, Scalar] = {
        "python": environment.python,
        "platform": environment.platform,
        "seed": environment.seed,
        "quick": environment.quick,
        "created": environment.created,
        "seconds": environment.seconds,
        **environment.packages,
        "schema of results.json": results.schema_version,
    }
    rows = [row(key, _said(value)) for key, value in made.items()]
    return table("environment", "What the report was made with", ["What", "Which"], rows)


def glossary() -> list[tuple[str, str]]:
    """Return what the verdicts mean."""
    return [
        (f"{verdicts.GLYPHS[key]} {verdicts.words(key)}", text)
        for key, text in verdicts.MEANINGS.items()
    ]
