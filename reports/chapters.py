"""The order in which a report tells its story, shared by the page and the Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lockstep.reports import numbers, reading, tables, verdicts
from lockstep.reports.figures import STUDIES, Drawn, small_samples
from lockstep.reports.figures.style import slug
from lockstep.reports.reading import Entry
from lockstep.reports.tables import Table

TITLE = "Lockstep"
SUBTITLE = (
    "Latent-variable models fitted side by side: EM written by hand, scikit-learn, hmmlearn, and "
    "PyMC by ADVI, mean-field and full-rank, and NUTS. Every fit is scored by one hand-written "
    "log-likelihood, after its components have been brought into one order."
)
SUMMARY = (
    "Matched: Δ is the largest difference from em in any parameter at any iteration, means in "
    "standard deviations and variances relative. As configured: nats below the best fit."
)
READING = (
    "Matched fits begin at the same parameters and take the same number of EM iterations, "
    "without ridge or prior: they must agree at every iteration. Fits as configured run as "
    "their users run them, from their own starts to their own stopping rules: what agrees there "
    "is where they end.",
    "Agreeing with a library and recovering the truth are different claims, so |difference from "
    "em| and |error| are kept in columns of their own.",
    "Log-likelihoods are totals in nats, the latent variables summed out. A posterior's digits "
    "stop where its Monte Carlo error begins.",
)
SPEED = "How fast the hand-written EM is beside the libraries, on the same work:"


@dataclass(frozen=True)
class Section:
    """A part of a chapter: what is shown under one heading, in this order.

    Attributes
    ----------
    title, anchor : str
    blocks : tuple of Drawn, Table or str
    folded : bool
        Whether a page may show it folded up.
    """

    title: str
    anchor: str
    blocks: tuple[Drawn | Table | str, ...]
    folded: bool = False


@dataclass(frozen=True)
class Chapter:
    """A scenario for a reader.

    Attributes
    ----------
    name, title, anchor, lesson : str
    facts : str
        Model and data in a line.
    picture : Drawn or None
    notes : tuple of str
        What stands below the lesson: the published figures' tally, declared disagreements, and
        what could not be computed.
    sections : tuple of Section
    scenario : Entry
        Empty for a study, which has no verdicts.
    """

    name: str
    title: str
    anchor: str
    lesson: str
    facts: str
    picture: Drawn | None
    notes: tuple[str, ...]
    sections: tuple[Section, ...]
    scenario: Entry


def chapters(content: Entry, drawn: Mapping[str, Mapping[str, Drawn | str]]) -> list[Chapter]:
    """Return the chapters of a report.

    Parameters
    ----------
    content : mapping
        As ``results.json``.
    drawn : mapping
        Figures by scenario and by what they show; in place of one that failed, why.
    """
    found = []
    for scenario in content.get("scenarios") or []:
        name = str(scenario.get("name"))
        figures = drawn.get(name, {})
        anchor, picture = slug(name), figures.get("data")
        found.append(
            Chapter(
                name=name,
                title=str(scenario.get("title") or name),
                anchor=anchor,
                lesson=str(scenario.get("lesson") or ""),
                facts=facts(scenario),
                picture=picture if isinstance(picture, Drawn) else None,
                notes=(*_notes(scenario), *([picture] if isinstance(picture, str) else [])),
                sections=tuple(_sections(scenario, figures, anchor)),
                scenario=scenario,
            )
        )
    found += _studies(drawn.get(STUDIES, {}))
    return found


def _studies(figures: Mapping[str, Drawn | str]) -> list[Chapter]:
    """Return the study of small samples, if its figure was drawn."""
    figure = figures.get(small_samples.NAME)
    if not isinstance(figure, Drawn):
        return []
    return [
        Chapter(
            name=small_samples.NAME,
            title=small_samples.TITLE,
            anchor=f"study-{small_samples.NAME}",
            lesson=small_samples.LESSON,
            facts=small_samples.FACTS,
            picture=figure,
            notes=(),
            sections=(),
            scenario={},
        )
    ]


def facts(scenario: Entry) -> str:
    """Return the model and the data in a line."""
    model = reading.module(scenario).TITLE
    noun = reading.module(scenario).shows.NOUN
    parts = [model, numbers.count(reading.n_components(scenario), noun)]
    n = scenario.get("n_train")
    what = reading.module(scenario).shows.UNIT
    train = f"{numbers.count(n, what)} to fit"
    data = scenario.get("data") or []
    if reading.has_sequences(scenario) and len(data) > 1:
        train += f" in {len(data)} sequences"
    parts.append(train)
    held = scenario.get("n_heldout")
    parts.append(f"{held:,} held out" if held else "none held out")
    parts.append("truth known" if scenario.get("truth") else "truth unknown")
    return " · ".join(parts)


def _notes(scenario: Entry) -> tuple[str, ...]:
    published = verdicts.published_verdict(scenario)
    declared = [
        f"Declared: {tables.name(o)} ({verdicts.mode(o)}) {verdicts.WORDS[str(o['verdict'])]}: "
        f"{o['expected']}."
        for o in reading.outcomes(scenario)
        if verdicts.is_declared(o)
    ]
    failed = map(str, scenario.get("notes") or [])
    return tuple(n for n in (f"{published}." if published else "", *declared, *failed) if n)


def _sections(scenario: Entry, figures: Mapping[str, Drawn | str], anchor: str) -> list[Section]:
    posterior = any(
        reading.is_posterior(o) and reading.has_fit(o) for o in reading.outcomes(scenario)
    )
    no_draws = (
        "The marginals are drawn from the posterior draws, which this report was rebuilt without."
        if posterior and "posterior" not in figures
        else None
    )
    plan: list[tuple[str, str, tuple[Drawn | Table | str | None, ...], bool]] = [
        ("Verdicts", "verdicts", (tables.verdict_table(scenario),), False),
        (
            "Iterations in lock-step",
            "lockstep",
            (
                figures.get("iterations"),
                tables.lockstep_table(scenario),
                figures.get("lockstep"),
                tables.matched_table(scenario),
            ),
            False,
        ),
        (
            "Parameter recovery" if scenario.get("truth") else "Parameters",
            "recovery",
            (figures.get("recovery"), figures.get("matrices"), tables.recovery_table(scenario)),
            False,
        ),
        (
            "Log-likelihood",
            "log-likelihood",
            (
                figures.get("log-likelihood"),
                figures.get("starts"),
                tables.log_likelihood_table(scenario),
            ),
            False,
        ),
        (
            "Posteriors",
            "posteriors",
            (
                figures.get("posterior"),
                no_draws,
                tables.diagnostics_table(scenario),
                figures.get("ranks"),
                tables.priors_table(scenario),
                figures.get("predictive"),
            ),
            False,
        ),
        (
            "Variational fits",
            "variational",
            (figures.get("elbo"), tables.spread_table(scenario)),
            False,
        ),
        (
            "MLE and Bayes on one scale",
            "scale",
            (figures.get("scale"), tables.scale_table(scenario)),
            False,
        ),
        ("Published figures", "published", (tables.published_table(scenario),), False),
        ("Settings and versions", "settings", (tables.settings_table(scenario),), True),
    ]
    sections = []
    for title, key, blocks, folded in plan:
        there = tuple(block for block in blocks if block is not None)
        if there:
            sections.append(Section(title, f"{anchor}-{key}", there, folded))
    return sections
