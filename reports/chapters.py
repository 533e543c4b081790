"""The order in which a report tells its story, shared by the page and the Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lockstep.comparisons.outcomes import Results, ScenarioResult
from lockstep.reports import numbers, reading, tables, verdicts
from lockstep.reports.figures import STUDIES, Drawn, small_samples
from lockstep.reports.figures.style import slug
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
NO_DRAWS = (
    "The marginals are drawn from the posterior draws, which this report was rebuilt without."
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
    scenario : ScenarioResult or None
        None for a study, which has no verdicts.
    """

    name: str
    title: str
    anchor: str
    lesson: str
    facts: str
    picture: Drawn | None
    notes: tuple[str, ...]
    sections: tuple[Section, ...]
    scenario: ScenarioResult | None


def chapters(results: Results, drawn: Mapping[str, Mapping[str, Drawn | str]]) -> list[Chapter]:
    """Return the chapters of a report.

    Parameters
    ----------
    results : Results
    drawn : mapping
        Figures by scenario and by what they show; in place of one that failed, why.
    """
    found = []
    for scenario in results.scenarios:
        figures = drawn.get(scenario.name, {})
        anchor, picture = slug(scenario.name), figures.get("data")
        found.append(
            Chapter(
                name=scenario.name,
                title=scenario.title or scenario.name,
                anchor=anchor,
                lesson=scenario.lesson,
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
            scenario=None,
        )
    ]


def facts(scenario: ScenarioResult) -> str:
    """Return the model and the data in a line."""
    model = reading.module(scenario)
    train = f"{numbers.count(scenario.n_train, model.shows.UNIT)} to fit"
    if scenario.sequences is not None and len(scenario.sequences) > 1:
        train += f" in {len(scenario.sequences)} sequences"
    held = scenario.n_heldout
    parts = [
        model.TITLE,
        numbers.count(reading.n_components(scenario), model.shows.NOUN),
        train,
        f"{held:,} held out" if held else "none held out",
        "truth unknown" if scenario.truth is None else "truth known",
    ]
    return " · ".join(parts)


def _notes(scenario: ScenarioResult) -> tuple[str, ...]:
    published = verdicts.published_verdict(scenario)
    declared = [
        f"Declared: {o.implementation} ({verdicts.mode(o)}) {verdicts.words(o.verdict)}: "
        f"{o.expected}."
        for o in scenario.outcomes
        if verdicts.is_declared(o)
    ]
    return (*([f"{published}."] if published else []), *declared, *scenario.notes)


def _sections(
    scenario: ScenarioResult, figures: Mapping[str, Drawn | str], anchor: str
) -> list[Section]:
    def told(*blocks: str | Table | None) -> list[Drawn | Table | str]:
        """Return what there is of figures, by name, and of tables."""
        named = [figures.get(block) if isinstance(block, str) else block for block in blocks]
        return [block for block in named if block is not None]

    posteriors = told("posterior")
    if reading.posteriors(scenario) and not posteriors:
        posteriors = [NO_DRAWS]
    posteriors += told(tables.diagnostics_table(scenario), "ranks")
    posteriors += told(tables.agreement_table(scenario))
    posteriors += told(tables.priors_table(scenario), "predictive")
    lockstep = told("iterations", tables.lockstep_table(scenario), "lockstep")
    lockstep += told(tables.matched_table(scenario))
    scores = told("log-likelihood", "starts", tables.log_likelihood_table(scenario))
    plan: dict[str, tuple[str, list[Drawn | Table | str]]] = {
        "verdicts": ("Verdicts", told(tables.verdict_table(scenario))),
        "lockstep": ("Iterations in lock-step", lockstep),
        "recovery": (
            "Parameters" if scenario.truth is None else "Parameter recovery",
            told("recovery", "matrices", tables.recovery_table(scenario)),
        ),
        "log-likelihood": ("Log-likelihood", scores),
        "posteriors": ("Posteriors", posteriors),
        "variational": ("Variational fits", told("elbo", tables.spread_table(scenario))),
        "scale": ("MLE and Bayes on one scale", told("scale", tables.scale_table(scenario))),
        "published": ("Published figures", told(tables.published_table(scenario))),
        "settings": ("Settings and versions", told(tables.settings_table(scenario))),
    }
    return [
        Section(title, f"{anchor}-{key}", tuple(blocks), folded=key == "settings")
        for key, (title, blocks) in plan.items()
        if blocks
    ]
