"""The tables that page, Markdown and terminal share, cut from one results file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lockstep.comparisons.diagnostics import SD_RATIO
from lockstep.comparisons.implementations import reference
from lockstep.comparisons.judging import LOCKSTEP
from lockstep.reports import numbers, reading, verdicts
from lockstep.reports.numbers import DASH
from lockstep.reports.reading import AS_CONFIGURED, MATCHED, Entry


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

    outcome: Entry
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
        spread = reading.number((self.outcome.get("log_likelihood") or {}).get("train_sd"))
        if not reading.is_posterior(self.outcome) or not spread:
            return numbers.nats(value, most)
        error = spread / math.sqrt(self.sizes[0])
        return numbers.fixed(value, numbers.supported_decimals(error, most))

    def nats_at_mean(self, scenario: Entry, value: float | None, most: int = 6) -> str:
        """Return the training log-likelihood at the estimate.

        At a posterior's mean, g nats below a maximum of p parameters, the mean's own error moves
        it by about sqrt(2 g / n) + p / (2 n).
        """
        best = reading.record(scenario, scenario.get("reference"))
        gap = verdicts.gap(scenario, self.outcome)
        if not reading.is_posterior(self.outcome) or best is None or gap is None:
            return self.nats(value, most)
        n, p = self.sizes[0], best.n_free
        error = math.sqrt(2 * gap / n) + p / (2 * n)
        return numbers.fixed(value, numbers.supported_decimals(error, most))

    def _write(self, value: float | None, sd: float | None, share: float) -> str:
        if not reading.is_posterior(self.outcome) or not sd:
            return numbers.estimate(value)
        return numbers.fixed(value, numbers.supported_decimals(sd * share, 8))


def name(outcome: Entry) -> str:
    """Return the outcome's implementation."""
    return str(outcome.get("implementation"))


def scores(outcome: Entry) -> Mapping[str, Any]:
    """Return the outcome's log-likelihoods."""
    return outcome.get("log_likelihood") or {}


def largest_error(outcome: Entry) -> float | None:
    """Return the largest distance from the truth."""
    return reading.number((outcome.get("recovery") or {}).get("max_abs_error"))


def largest_difference(scenario: Entry, outcome: Entry) -> float | None:
    """Return the largest distance from em in the same mode, matched at any iteration.

    It is the one that is judged, in units that those of the data do not enter; None for em itself.
    """
    if name(outcome) == reference("point"):
        return None
    agreement = outcome.get("agreement") or {}
    if (largest := reading.number(agreement.get("max_scaled_difference"))) is not None:
        return largest
    em = reading.lead(scenario, str(outcome.get("mode")))
    if em is None or reading.is_degenerate(em) or reading.is_degenerate(outcome):
        return None
    return reading.largest(reading.scaled_differences(scenario, outcome, em))


def coverage(outcome: Entry) -> str:
    """Return how many intervals hold the truth."""
    recovery = outcome.get("recovery") or {}
    if recovery.get("of") is None or recovery.get("covered") is None:
        return DASH
    return f"{recovery['covered']} of {recovery['of']}"


def not_supporting(scenario: Entry) -> str:
    """Return in a sentence who does not do this model, and why."""
    reasons = {
        name(o): str(o.get("message") or o.get("reason") or "unsupported")
        for o in reading.outcomes(scenario)
        if o.get("status") == "unsupported"
    }
    return "; ".join(f"{who}: {why}" for who, why in reasons.items())


def shown(scenario: Entry) -> list[Entry]:
    """Return the outcomes that get a row: all but the unsupported."""
    return [o for o in reading.outcomes(scenario) if o.get("status") != "unsupported"]


def verdict_table(scenario: Entry) -> Table:
    """Return who agrees, how each fit ended, and its scores."""
    rows = []
    for o in shown(scenario):
        digits = Precision(o)
        rows.append(
            row(
                name(o),
                Cell(f"{verdicts.label(o)}", verdicts.tone(o)),
                verdicts.status(o),
                digits.nats_at_mean(scenario, reading.number(scores(o).get("train")), most=4),
                digits.nats(reading.number(scores(o).get("heldout")), most=4),
                numbers.three(largest_error(o)),
                numbers.three(largest_difference(scenario, o)),
                DASH if o.get("iterations") is None else f"{o['iterations']:,}",
                numbers.duration(reading.number(o.get("seconds"))),
                str(o.get("reason") or o.get("message") or ""),
                implementation=name(o),
                group=_mode_title(scenario, str(o.get("mode"))),
            )
        )
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
        "Implementation",
        "Verdict",
        "Status",
        "#Train log-lik.",
        "#Held-out log-lik.",
        "#Largest |error|",
        "#Largest |difference|",
        "#Iterations",
        "#Seconds",
        "Reason",
    ]
    made = table("verdicts", "Verdicts, and what they rest on", columns, rows, notes, "Mode")
    return without_empty_columns(made)


def reason(outcome: Entry) -> str:
    """Return the judge's reason, and the scenario's own where it declared the disagreement."""
    text = str(outcome.get("reason") or outcome.get("message") or "")
    if verdicts.is_declared(outcome):
        text += f". Declared: {outcome['expected']}"
    return text


def _mode_title(scenario: Entry, mode: str) -> str:
    if mode != MATCHED:
        return "As configured: its own start and stopping rule"
    iterations = {o.get("iterations") for o in reading.outcomes(scenario, MATCHED)} - {None}
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


def lockstep_table(scenario: Entry) -> Table | None:
    """Return how far the matched fits went apart, over all iterations."""
    rows = []
    for o in reading.outcomes(scenario, MATCHED):
        agreement = o.get("agreement")
        if not agreement:
            continue
        same = "yes" if agreement.get("same_length") else "no"
        rows.append(
            row(
                name(o),
                Cell(verdicts.label(o), verdicts.tone(o)),
                str(agreement.get("iterations_compared")),
                same,
                numbers.scientific(reading.number(agreement.get("max_scaled_difference"))),
                numbers.scientific(reading.number(agreement.get("max_abs_difference"))),
                implementation=name(o),
            )
        )
    if not rows:
        return None
    return table(
        "lockstep",
        "Largest difference from em in any parameter at any iteration",
        [
            "Implementation",
            "Verdict",
            "#Iterations compared",
            "Same number",
            "#Largest difference",
            "#Unscaled",
        ],
        rows,
        [
            f"Means in standard deviations of their component, variances relative. The verdict "
            f"asks for at most {LOCKSTEP:g}; rounding alone makes some 1e-16 a step. Unscaled: in "
            "the parameters' own units, which are not judged.",
            "Where both fits collapsed, in standard deviations of the data."
            if any(
                (o.get("agreement") or {}).get("units") == "data"
                for o in reading.outcomes(scenario, MATCHED)
            )
            else "",
        ],
    )


def matched_table(scenario: Entry) -> Table | None:
    """Return em's estimate after the matched iterations, and the others' distance from it."""
    em = reading.lead(scenario, MATCHED)
    if em is None or not reading.has_fit(em):
        return None
    path = {k: v[0] for k, v in (em.get("path") or {}).items() if v}
    start, final = reading.flat(path), reading.flat(em["parameters"])
    parameters, more = reading.largest_parameters(scenario, final)
    others = [
        o
        for o in reading.outcomes(scenario, MATCHED)
        if name(o) != reference("point") and reading.has_fit(o)
    ]
    apart = {name(o): reading.scaled_differences(scenario, o, em) for o in others}
    rows = [
        row(
            parameter,
            reading.describe(scenario, parameter),
            _eight(start.get(parameter)),
            _eight(final[parameter]),
            *(numbers.scientific(apart[name(o)].get(parameter)) for o in others),
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
        for k in range(len(em["parameters"].get("variances") or []))
    ]
    return table(
        "matched",
        f"em after {em.get('iterations')} iterations from the common start, and the distance of "
        "the others from it",
        ["Parameter", "Meaning", "#Start", "#em", *(f"#|{name(o)} - em|" for o in others)],
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


def order_note(scenario: Entry, outcome: Entry) -> str:
    """Return whether the fit's own labels had to be permuted."""
    order = outcome.get("order")
    if not order or not isinstance(order[0], int):
        return ""
    noun = f"{reading.module(scenario).shows.NOUN}s"
    who = "truth" if scenario.get("truth") else "the reference"
    if order == sorted(order):
        return f"{name(outcome)}'s {noun} came out in the order of {who}."
    places = ", ".join(str(k + 1) for k in order)
    swapped = "Labels swapped" if len(order) == 2 else "Labels permuted"
    return (
        f"{swapped}: {name(outcome)}'s own {noun} are numbered {places} where {who} has "
        f"{', '.join(str(k + 1) for k in range(len(order)))}; tables "
        f"show them in the order of {who}."
    )


def recovery_table(scenario: Entry) -> Table | None:
    """Return every parameter: truth or published figure, estimates, intervals and distances."""
    fits = [o for o in reading.outcomes(scenario, AS_CONFIGURED) if reading.has_fit(o)]
    if not fits:
        return None
    em = reading.lead(scenario, AS_CONFIGURED)
    truth = reading.flat(scenario.get("truth"))
    quoted = _published_values(scenario)
    known = {id(o): _Known(o) for o in fits}
    parameters, more = reading.largest_parameters(scenario, known[id(fits[0])].estimate)
    apart = {id(o): {} if o is em else reading.differences(o, em) for o in fits}
    rows = []
    for parameter in parameters:
        meaning = reading.describe(scenario, parameter)
        group = f"{parameter}  {meaning}".rstrip()
        if parameter in truth:
            group += f" · truth {numbers.given(truth[parameter])}"
        elif parameter in quoted:
            group += f" · published {quoted[parameter]}"
        for o in fits:
            ours, distance = known[id(o)], apart[id(o)].get(parameter)
            rows.append(_recovery_row(o, ours, distance, parameter, truth.get(parameter), group))
            if o.get("bootstrap"):
                rows.append(_bootstrap_row(o, parameter, truth.get(parameter), group))
    made = table(
        "recovery",
        "Parameters as configured: estimate, uncertainty, distance from truth and from em",
        [
            "Implementation",
            "#Estimate",
            "#sd",
            f"#{interval_title(fits)}",
            "Holds truth",
            "#|error|",
            "#|difference from em|",
        ],
        rows,
        [
            more,
            _interval_note(fits),
            _bootstrap_note(fits),
            "A posterior's estimate is its mean; its digits stop where its Monte Carlo error "
            "begins (sd / sqrt(ESS), ESS being that of the worst parameter)."
            if any(map(reading.is_posterior, fits))
            else "",
            "" if truth else "There is no truth to recover here: the |error| column is absent.",
            "Errors and differences are in the parameter's own unit, as it is.",
        ],
        "Parameter",
    )
    return without_empty_columns(made)


class _Known:
    """What an outcome says of every parameter."""

    def __init__(self, o: Entry) -> None:
        interval = o.get("interval") or {}
        self.estimate, self.sd = reading.flat(o.get("parameters")), reading.flat(o.get("sd"))
        self.lower = reading.flat(interval.get("lower"))
        self.upper = reading.flat(interval.get("upper"))


def _recovery_row(
    o: Entry, known: _Known, apart: float | None, parameter: str, truth: float | None, group: str
) -> Row:
    digits = Precision(o)
    value, sd = known.estimate.get(parameter), known.sd.get(parameter)
    lower, upper = known.lower.get(parameter), known.upper.get(parameter)
    between, covered = DASH, Cell(DASH)
    if lower is not None and upper is not None:
        between = f"{digits.quantile(lower, sd)} … {digits.quantile(upper, sd)}"
        if truth is not None:
            held = lower <= truth <= upper
            covered = Cell("✓ yes" if held else "✗ no", "good" if held else "bad")
    error = None if truth is None or value is None else abs(value - truth)
    return row(
        name(o),
        digits.estimate(value, sd),
        digits.sd(sd) if sd is not None else DASH,
        between,
        covered,
        digits.estimate(error, sd),
        digits.estimate(apart, sd),
        implementation=name(o),
        group=group,
    )


def _bootstrap_row(o: Entry, parameter: str, truth: float | None, group: str) -> Row:
    """Return the bootstrap's interval, which stands below the Wald interval."""
    known = o.get("bootstrap") or {}
    sd, lower, upper = (
        reading.flat(known.get(key)).get(parameter) for key in ("sd", "lower", "upper")
    )
    between, covered = DASH, Cell(DASH)
    if lower is not None and upper is not None:
        # The error of a 2.5% quantile of n refits is about 2.7 sd / sqrt(n).
        n = reading.number(known.get("resamples")) or 1
        decimals = numbers.supported_decimals(2.7 * (sd or 0) / math.sqrt(n), 8)
        between = f"{numbers.fixed(lower, decimals)} … {numbers.fixed(upper, decimals)}"
        if truth is not None:
            held = lower <= truth <= upper
            covered = Cell("✓ yes" if held else "✗ no", "good" if held else "bad")
    return row(
        f"{name(o)}, bootstrap",
        DASH,
        numbers.three(sd),
        between,
        covered,
        DASH,
        DASH,
        implementation=name(o),
        group=group,
    )


def interval_title(fits: Sequence[Entry]) -> str:
    """Return the intervals' heading, with their probability if all have the same."""
    given = {reading.number((o.get("interval") or {}).get("probability")) for o in fits} - {None}
    return f"{100 * (given.pop() or 0):g}% interval" if len(given) == 1 else "Interval"


def _interval_note(fits: Sequence[Entry]) -> str:
    kinds = reading.interval_kinds(fits)
    if not kinds:
        return "No fit here carries intervals."
    missing: dict[str, list[str]] = {}
    for o in fits:
        for parameter, reason in ((o.get("diagnostics") or {}).get("no_interval") or {}).items():
            missing.setdefault(f"{name(o)}: {reason}", []).append(parameter)
    without = [f"{_some(parameters)} ({why})" for why, parameters in missing.items()]
    return f"Intervals: {kinds}." + (f" None for {'; '.join(without)}." if without else "")


def _some(names: Sequence[str], most: int = 20) -> str:
    """Return names in a line, of many the first."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _bootstrap_note(fits: Sequence[Entry]) -> str:
    found = [o["bootstrap"] for o in fits if o.get("bootstrap")]
    if not found:
        return ""
    return (
        f"The bootstrap refits {found[0].get('resamples')} data sets drawn from em's estimate "
        f"({found[0].get('kind')} intervals)."
    )


def _published_values(scenario: Entry) -> dict[str, str]:
    """Return the first published value of each parameter, those comparable with ours first."""
    found: dict[str, str] = {}
    for p in sorted(scenario.get("published") or [], key=lambda p: bool(p.get("note"))):
        if p.get("at") is None:
            found.setdefault(str(p.get("quantity")), str(p.get("printed")))
    return found


def log_likelihood_table(scenario: Entry) -> Table | None:
    """Return every log-likelihood, each under its own name."""
    rows = []
    for o in reading.outcomes(scenario):
        s, digits = scores(o), Precision(o)
        if reading.number(s.get("train")) is None and reading.number(s.get("heldout")) is None:
            continue
        mean = reading.number(s.get("train_mean"))
        spread = reading.number(s.get("train_sd"))
        over = f"{digits.nats(mean)} ± {numbers.three(spread)}" if mean is not None else DASH
        rows.append(
            row(
                name(o),
                digits.nats_at_mean(scenario, reading.number(s.get("train"))),
                numbers.three(verdicts.gap(scenario, o)),
                over,
                digits.nats(reading.number(s.get("heldout"))),
                digits.nats(reading.number(s.get("heldout_predictive"))),
                implementation=name(o),
                group=_mode_title(scenario, str(o.get("mode"))),
            )
        )
    if not rows:
        return None
    posterior = any(map(reading.is_posterior, reading.outcomes(scenario)))
    made = table(
        "log-likelihood",
        "Log-likelihood in nats, latent variables summed out, one function for all",
        [
            "Implementation",
            "#Train, at estimate",
            "#Below the best",
            "#Train, mean ± sd over draws",
            "#Held out, at estimate",
            "#Held out, predictive over draws",
        ],
        rows,
        [
            "Over draws the training log-likelihood is not ranked against the maximum: the "
            "maximum-likelihood fit wins by definition, and a draw lies on average p/2 nats "
            "below it. The predictive figure averages the density over draws."
            if posterior
            else "",
            "" if scenario.get("n_heldout") else "There are no held-out data.",
        ],
        "Mode",
    )
    return without_empty_columns(made)


def scale_table(scenario: Entry) -> Table | None:
    """Return plug-in fits and averages over draws as predictions of the same unseen units."""
    rows = []
    em = reading.lead(scenario, AS_CONFIGURED)
    heldout = reading.number(scores(em).get("heldout")) if em is not None else None
    unit = reading.module(scenario).shows.PREDICTED
    n = scenario.get("n_heldout") or 0
    if heldout is not None and n:
        rows.append(
            row(
                reference("point"),
                "plug-in: at the maximum",
                f"{n:,} held out",
                numbers.nats(heldout, 3),
                numbers.fixed(heldout / n, 4),
                DASH,
                "",
                implementation=reference("point"),
            )
        )
    for o in reading.outcomes(scenario, AS_CONFIGURED):
        digits = Precision(o)
        given = scores(o).get("heldout_pointwise") or {}
        for key, what in (
            ("plugged_in", "plug-in: at the posterior mean"),
            ("averaged", "density averaged over draws"),
        ):
            score = given.get(key) or {}
            total, units = reading.number(score.get("total")), score.get("units")
            if total is None or not units:
                continue
            rows.append(
                row(
                    name(o),
                    what,
                    f"{units:,} held out",
                    digits.nats(total, 3),
                    numbers.fixed(total / units, 4),
                    _above(score),
                    "",
                    implementation=name(o),
                )
            )
        loo = scores(o).get("leave_one_out") or {}
        elpd, units = reading.number(loo.get("elpd")), loo.get("units")
        if elpd is not None and units:
            rows.append(
                row(
                    name(o),
                    "leave-one-out, averaged over draws (PSIS)",
                    f"{units:,} left out in turn",
                    f"{numbers.fixed(elpd, 1)} ± {numbers.three(reading.number(loo.get('se')))}",
                    numbers.fixed(elpd / units, 4),
                    DASH,
                    _reliability(loo),
                    implementation=name(o),
                )
            )
    if not any(reading.is_posterior(o) for o in reading.outcomes(scenario)) or not rows:
        return None
    made = table(
        "scale",
        "Log predictive densities in nats: what each says of data it has not seen",
        ["Fit", "Prediction", "On", "#Log score", "#Per unit", "#Above em's", "Note"],
        rows,
        [
            f"A unit is one {unit}. Differences from em's plug-in score are taken unit by unit; "
            "± is their standard error over the units. Averaging allows for what is not known of "
            "the parameters; with much data it makes no difference, with little it is the better "
            "bet. Here what is held out does not teach; in the table of log-likelihoods the joint "
            "density of all of it is averaged, where the first units teach about the rest.",
            "Leave-one-out needs no held-out data: each observation is predicted from all others."
            if any(scores(o).get("leave_one_out") for o in reading.outcomes(scenario))
            else "",
        ],
    )
    return without_empty_columns(made)


def _above(score: Entry) -> str:
    above, error = (reading.number(score.get(key)) for key in ("above", "above_error"))
    if above is None:
        return DASH
    decimals = 2 if error is None else max(2, min(4, 1 - math.floor(math.log10(error or 1))))
    text = f"{above:+.{decimals}f}"
    return text if error is None else f"{text} ± {numbers.three(error)}"


def _reliability(loo: Entry) -> str:
    bad, largest = loo.get("k_bad"), reading.number(loo.get("k_max"))
    text = f"effective parameters {numbers.fixed(reading.number(loo.get('p')), 1)}; largest k-hat "
    text += numbers.fixed(largest, 2)
    return f"{text}: {bad} unreliable" if bad else f"{text}, all reliable"


def diagnostics_table(scenario: Entry) -> Table | None:
    """Return each check on the posteriors: its value, its threshold, passed or failed."""
    rows = [
        row(what, text, gate, result, note, implementation=name(o), group=name(o))
        for o in reading.outcomes(scenario)
        if reading.is_posterior(o) and reading.has_fit(o)
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
            "posterior over approximation is, and its smallest sd is held against that of NUTS.",
        ],
        "Posterior",
    )
    return without_empty_columns(made)


def _diagnostics(outcome: Entry) -> Iterator[tuple[str, str, str, Cell, str]]:
    """Yield what was measured, its value, its gate, the result, and which parameter it is."""
    d = outcome.get("diagnostics") or {}
    free = DASH, Cell("no threshold"), ""
    yield "draws", f"{d.get('chains') or DASH} × {d.get('draws') or DASH}", *free
    for check in verdicts.checks(outcome):
        passed = bool(check.get("passed"))
        result = Cell("✓ passed", "good") if passed else Cell("✗ failed", "bad")
        yield (
            str(check.get("name")),
            verdicts.said(check),
            verdicts.gate(check),
            result,
            str(check.get("note") or ""),
        )
    if (elbo := reading.number(d.get("elbo"))) is not None:
        error = reading.number(d.get("elbo_standard_error"))
        text = numbers.fixed(elbo, numbers.supported_decimals(error, 4))
        yield "ELBO (nats)", f"{text} ± {numbers.three(error)}" if error else text, *free
    if d.get("relabelled_draws") is not None:
        yield "draws relabelled", f"{d['relabelled_draws']}", *free


def spread_table(scenario: Entry) -> Table | None:
    """Return each parameter of the variational fits in units of NUTS's posterior."""
    nuts = reading.find(scenario, reference("posterior"), AS_CONFIGURED)
    fits = [
        o
        for o in reading.outcomes(scenario, AS_CONFIGURED)
        if (o.get("diagnostics") or {}).get("sd_ratio_to_nuts") and reading.has_fit(o)
    ]
    if nuts is None or not reading.has_fit(nuts) or not fits:
        return None
    mean, sd = reading.flat(nuts["parameters"]), reading.flat(nuts.get("sd"))
    rows = []
    for parameter in mean:
        if reading.is_repeated(scenario, parameter) or not sd.get(parameter):
            continue
        cells: list[str | Cell] = []
        for o in fits:
            value = reading.flat(o["parameters"]).get(parameter)
            ratio = reading.number(
                ((o["diagnostics"]["sd_ratio_to_nuts"]).get("by_parameter") or {}).get(parameter)
            )
            near, width = mean[parameter], sd[parameter]
            apart = None if value is None or near is None else (value - near) / (width or 1)
            narrow = ratio is not None and ratio < SD_RATIO
            text = f"{numbers.fixed(ratio, 2)} {'✗ too narrow' if narrow else ''}".rstrip()
            cells += [
                Cell(text, "bad" if narrow else ""),
                numbers.fixed(apart, 1),
                _held(o, parameter),
            ]
        rows.append(row(parameter, reading.describe(scenario, parameter), *cells))
    heads = [
        f"{head}{name(o)}: {what}"
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


def _held(outcome: Entry, parameter: str) -> str | Cell:
    """Return whether the interval holds the truth; nothing where there is none."""
    recovery = outcome.get("recovery") or {}
    covered = (recovery.get("by_parameter") or {}).get(parameter)
    if covered is None:
        return DASH
    return Cell("✓ yes", "good") if covered else Cell("✗ no", "bad")


SHOWN_ELSEWHERE = {
    "r_hat", "r_hat_log_likelihood", "r_hat_as_sampled", "ess_bulk", "ess_tail", "divergences",
    "e_bfmi", "settled", "elbo", "elbo_standard_error", "relabelled_draws",
    "chains_differ_in_labels", "k_hat", "k_hat_threshold", "checks", "sd_ratio_to_nuts", "chains",
    "draws", "starts", "hits", "traceback", "output", "no_interval",
}  # fmt: skip


def details(outcome: Entry) -> dict[str, str]:
    """Return whatever else an outcome tells of itself, nested names joined by dots."""
    found: dict[str, str] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, entry in value.items():
                walk(f"{name}.{key}" if name else str(key), entry)
        elif isinstance(value, list) and len(value) > 12:
            found[name] = f"{len(value)} values, in results.json"
        elif isinstance(value, list):
            found[name] = ", ".join(_said(v) for v in value)
        else:
            found[name] = _said(value)

    for key, value in (outcome.get("diagnostics") or {}).items():
        if key not in SHOWN_ELSEWHERE:
            walk(str(key), value)
    return found


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return DASH if value is None else str(value)


def is_prior(key: str) -> bool:
    """Return whether a detail tells of priors or of the rule that identifies the labels."""
    return any(part in key.lower() for part in ("prior", "label", "identif"))


def priors_table(scenario: Entry) -> Table | None:
    """Return the priors and the rule for the labels, as each posterior states them."""
    told: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for o in reading.outcomes(scenario):
        own = tuple((key, text) for key, text in details(o).items() if is_prior(key))
        if reading.is_posterior(o) and own:
            told.setdefault(own, []).append(name(o))
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


def settings_table(scenario: Entry) -> Table | None:
    """Return settings, versions and component orders."""
    rows = []
    for o in shown(scenario):
        who = f"{name(o)} ({verdicts.mode(o)})"
        package = f"{o.get('package') or DASH} {o.get('version') or ''}".strip()
        told = [
            f"{k.removeprefix('settings.').replace('_', ' ')} = {v}"
            for k, v in details(o).items()
            if not is_prior(k)
        ]
        rows.append(
            row(
                who,
                package,
                str(o.get("message") or ""),
                _order(o),
                "; ".join(told),
                implementation=name(o),
            )
        )
    if not rows:
        return None
    made = table(
        "settings",
        "What was run",
        ["Fit", "Package", "Its own message", "Own order of labels", "Settings"],
        rows,
    )
    return without_empty_columns(made)


def _order(outcome: Entry) -> str:
    order = outcome.get("order")
    if not order or not isinstance(order[0], int):
        return DASH
    text = ", ".join(str(k + 1) for k in order)
    return text if order == sorted(order) else f"{text} (swapped)"


def published_table(scenario: Entry) -> Table | None:
    """Return published figures beside ours."""
    rows, notes = [], []
    for p in scenario.get("published") or []:
        note = str(p.get("note") or "")
        source = str(p.get("source") or "")
        if p.get("at") is not None:
            source += "; our log-likelihood at the published parameters"
        if note:
            if note not in notes:
                notes.append(note)
            source += f" (note {notes.index(note) + 1})"
        match p.get("matches"):
            case True:
                result = Cell("✓ matches", "good")
            case False:
                result = Cell("≠ differs", "bad")
            case _:
                result = Cell("– not expected to match" if note else "– not compared")
        printed = str(p.get("printed"))
        decimals = len(printed.partition(".")[2])
        rows.append(
            row(
                str(p.get("quantity")),
                printed,
                numbers.fixed(reading.number(p.get("ours")), decimals),
                result,
                group=source,
            )
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


def environment_table(content: Entry) -> Table:
    """Return what the report was made with."""
    environment = content.get("environment") or {}
    rows = [
        row(key.replace("_", " "), _said(value))
        for key, value in environment.items()
        if not isinstance(value, Mapping)
    ]
    rows += [row(k, _said(v)) for k, v in (environment.get("packages") or {}).items()]
    rows.append(row("schema of results.json", _said(content.get("schema_version"))))
    return table("environment", "What the report was made with", ["What", "Which"], rows)


def glossary() -> list[tuple[str, str]]:
    """Return what the verdicts mean."""
    return [
        (f"{verdicts.GLYPHS[key]} {verdicts.WORDS[key]}", text)
        for key, text in verdicts.MEANINGS.items()
    ]
