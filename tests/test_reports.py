"""The report: every file, every number, whatever is missing from the results."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace as changed
from rich.console import Console

from lockstep import models
from lockstep.comparisons import judging, outcomes, results_file
from lockstep.comparisons.cache import Timed
from lockstep.comparisons.outcomes import PointOutcome, PosteriorOutcome, Results, Unfitted
from lockstep.comparisons.problem import Mode, Problem
from lockstep.comparisons.run import Failure, Task
from lockstep.comparisons.scenarios import Prepared, Published, Scenario, scenarios
from lockstep.comparisons.suite import Comparison
from lockstep.models import em
from lockstep.models.fits import PointFit, PosteriorFit, Status
from lockstep.reports import numbers, reading, tables, verdicts
from lockstep.reports.build import benchmark, build, rebuild
from lockstep.reports.figures import mixtures
from lockstep.reports.reading import AS_CONFIGURED, MATCHED
from lockstep.reports.terminal import print_verdicts
from test_outcomes import VALIDATOR, environment

NAMES = {
    "em": "point",
    "scikit-learn": "point",
    "hmmlearn": "point",
    "pymc-advi": "posterior",
    "pymc-fullrank": "posterior",
    "pymc-nuts": "posterior",
}
LIBRARY = {"categorical_hmm": ("hmmlearn", "scikit-learn")}


def draws_near(parameters, rng, chains=2, length=60):
    """Return draws scattered about a point; some of them under other labels."""
    found = {}
    for name, array in parameters.arrays().items():
        shape = (chains, length, *array.shape)
        if name in ("weights", "startprob", "transmat", "emissionprob"):
            raw = rng.gamma(60 * array + 1, size=shape)
            found[name] = raw / raw.sum(axis=-1, keepdims=True)
        elif name == "variances":
            found[name] = array * np.exp(0.1 * rng.normal(size=shape))
        elif name == "covariances":
            found[name] = array * np.exp(0.1 * rng.normal(size=shape[:3]))[..., None, None]
        else:
            found[name] = array + 0.1 * rng.normal(size=shape)
    order = rng.permuted(np.tile(np.arange(parameters.n_components), (chains, length, 1)), axis=-1)
    return type(parameters)(**found).relabelled(order)


def judged(scenario, max_iter=30):
    """Return a scenario's entry and posteriors, from quick EM fits and invented others."""
    prepared = scenario.prepare()
    model = models.load(scenario.model)
    rng = np.random.default_rng(5)

    def task(name, mode):
        matched = mode is Mode.MATCHED
        start, n_iter = (prepared.start, scenario.n_iter) if matched else (None, None)
        problem = Problem(
            scenario.model, prepared.data, prepared.dims, mode, seed=0, start=start, n_iter=n_iter
        )
        return Task(scenario.name, name, problem)

    library, other = LIBRARY.get(scenario.model, ("scikit-learn", "hmmlearn"))
    matched = em.fit(model, prepared.start, prepared.data, max_iter=scenario.n_iter, tol=-1)
    start = model.start(prepared.data, prepared.dims, rng)
    best = em.fit(model, start, prepared.data, max_iter=max_iter)
    ends = [{"status": "converged", "log_likelihood": v} for v in (best.trace[-1], -1e4, None)]
    best = replace(best, details={"starts": ends, "hits": 1})
    short = PointFit(matched.parameters, Status.CONVERGED, "its own rule", 3, matched.trace[:4])
    draws = draws_near(best.parameters, rng)
    stats = {name: rng.normal(size=(2, 60)) for name in ("diverging", "energy")}
    stats["diverging"] = np.zeros((2, 60))
    details = {
        "priors": dict.fromkeys(best.parameters.arrays(), "Dirichlet(2, ..., 2)"),
        "labels": "none",
        "settings": {"tune": 100, "target_accept": 0.9},
        "output": "said by the sampler",
    }
    results = [
        (task("em", Mode.MATCHED), Timed(matched, 0.1)),
        (task(library, Mode.MATCHED), Timed(matched, 0.2)),
        (task("em", Mode.AS_CONFIGURED), Timed(best, 0.3)),
        (task(library, Mode.AS_CONFIGURED), Timed(short, 0.4)),
        (task(other, Mode.AS_CONFIGURED), Failure(Status.UNSUPPORTED, "it has no such model")),
        (
            task("pymc-advi", Mode.AS_CONFIGURED),
            Failure(
                Status.FAILED,
                "ValueError: <boom> & more",
                "Traceback <x>\n  boom",
                output="g++: <warning>",
            ),
        ),
        (
            task("pymc-nuts", Mode.AS_CONFIGURED),
            Timed(PosteriorFit(draws, stats, details=details), 5.0),
        ),
    ]
    judge = judging.Judge(scenario, prepared, results)
    entry = judge.judge()
    return entry, {(scenario.name, who): d for who, d in judge.posteriors.items()}


def invented(name, title, model_name, data, dims, start, **known):
    """Return a scenario made for a test."""
    prepared = Prepared(data=data, dims=dims, start=start, **known)
    return Scenario(name, title, model_name, "A test.", 6, lambda: prepared)


def odd_scenarios():
    """Return scenarios as `compare` may make them, at the ends of what is allowed."""
    from lockstep.models import categorical_hmm, gaussian_mixture_1d, gaussian_mixture_2d

    rng = np.random.default_rng(1)
    x = rng.normal(size=40)
    one = gaussian_mixture_1d.Parameters([1.0], [x.mean()], [x.var()])
    yield invented("<b>x</b>", "a | b <i>*c*</i> & d", "gaussian_mixture_1d", x,
                   {"n_components": 1}, one, labels={"axes": ("<u>y</u>",)})  # fmt: skip
    y = np.concatenate([rng.normal(m, 1, (30, 3)) for m in range(0, 25, 5)])
    dims = {"n_components": 5}
    yield invented("a-very-long-name-" * 5, "Five in three dimensions", "gaussian_mixture_2d", y,
                   dims, gaussian_mixture_2d.start(y, dims, rng))  # fmt: skip
    z = rng.normal(size=(40, 1)) * 1e6 + 1e9
    dims = {"n_components": 2}
    yield invented("flat", "One column", "gaussian_mixture_2d", z, dims,
                   gaussian_mixture_2d.start(z, dims, rng))  # fmt: skip
    for V, K in ((2, 2), (30, 3)):
        dims = {"n_components": K, "n_features": V}
        s = tuple(rng.integers(0, V, size=n) for n in (150, 1, 90))
        yield invented(f"symbols-{V}", "Symbols", "categorical_hmm", s, dims,
                       categorical_hmm.start(s, dims, rng))  # fmt: skip


@pytest.fixture(scope="module")
def results():
    plain = {
        name: SimpleNamespace(PACKAGE="numpy", KIND=kind, NAME=name) for name, kind in NAMES.items()
    }
    chosen = ["gmm2d-notebook", "faithful-1d", "hmm-weather-noise"]
    entries, posteriors = [], {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "implementations", lambda: plain)
        pairs = [judged(scenarios()[name], max_iter=200) for name in chosen]
        pairs += [judged(scenario) for scenario in odd_scenarios()]
        for entry, draws in pairs:
            entries.append(entry)
            posteriors |= draws
    return Comparison(Results(environment=environment(), scenarios=entries), posteriors)


@pytest.fixture(scope="module")
def built(results, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "out"
    build(results, out)
    return out


class Outline(html.parser.HTMLParser):
    """Checks that elements nest, and collects ids, links and anything that asks for a file."""

    VOID = frozenset({"meta", "link", "input", "br", "img", "hr"})

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tags, self.wanted = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self._note(tag, attributes)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self._note(tag, attributes)

    def _note(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        if "id" in given:
            self.ids.append(given["id"])
        if given.get("href", "").startswith("#"):
            self.links.append(given["href"][1:])
        elif "href" in given or "src" in given:
            self.wanted.append(given.get("href") or given.get("src"))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"


@pytest.fixture(scope="module")
def outline(built):
    return Outline((built / "index.html").read_text("utf-8"))


def rows(file):
    return list(csv.DictReader(io.StringIO(file.read_text("utf-8"))))


@pytest.mark.slow
def test_every_file_is_written(results, built):
    names = {f.name for f in built.iterdir()}
    assert names == {
        "index.html", "report.md", "results.json", "recovery.csv", "log_likelihood.csv",
        "figures", "posterior",
    }  # fmt: skip
    kept = results_file.decode((built / "results.json").read_bytes())
    assert results_file.encode(kept) == results_file.encode(results.content)
    stems = {f.stem for f in (built / "figures").glob("*.svg")}
    assert stems == {f.stem for f in (built / "figures").glob("*.png")}
    for what in ("data", "iterations", "log-likelihood", "lockstep", "recovery", "posterior"):
        assert f"gmm2d-notebook-{what}" in stems
    assert "hmm-weather-noise-matrices" in stems
    assert len(list((built / "posterior").iterdir())) == len(results.posteriors)


def test_results_follow_the_schema(built):
    """Points, posteriors and failures, with truth and without, and scenarios with odd names."""
    content = json.loads((built / "results.json").read_text("utf-8"), parse_constant=pytest.fail)
    VALIDATOR.validate(content)
    assert {s["truth"] is None for s in content["scenarios"]} == {True, False}
    assert {s["sequences"] is None for s in content["scenarios"]} == {True, False}
    for scenario in content["scenarios"]:
        assert {o["kind"] for o in scenario["outcomes"]} == {"point", "posterior", "none"}


def places(value, *way):
    """Yield the way to everything within JSON, and to one entry of each list of numbers."""
    yield way
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from places(entry, *way, key)
    elif isinstance(value, list) and value:
        numbers = all(isinstance(v, int | float | None) for v in value)
        for i, entry in enumerate(value[:1] if numbers else value):
            yield from places(entry, *way, i)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["word", True, 1.5, None, {}, []], ids=str)
def test_what_the_schema_refuses_is_not_read_and_the_other_way_round(results, wrong):
    few = [s for s in results.content.scenarios if s.name == "<b>x</b>"]
    few = [changed(s, data=s.data[:2], prior=None, predictive_check=None) for s in few]
    small = json.loads(results_file.encode(changed(results.content, scenarios=few)))
    ways = [way for way in places(small) if way and "path" not in way]
    refused = 0
    for number in np.random.default_rng(0).permutation(len(ways))[:120]:
        *way, last = ways[number]
        content = json.loads(json.dumps(small))
        inner = content
        for key in way:
            inner = inner[key]
        inner[last] = wrong
        try:
            results_file.decode(json.dumps(content))
        except results_file.ResultsError as error:
            said = str(error)
            refused += 1
        else:
            said = ""
        uneven = "all of one length" in said  # which a schema cannot say
        assert uneven or VALIDATOR.is_valid(content) == (not said), (ways[number], said)
    assert refused > 40


def test_draws_are_filed_with_names(results, built):
    import xarray

    for (scenario, who), draws in results.posteriors.items():
        if scenario not in scenarios():
            continue
        with xarray.open_datatree(built / "posterior" / f"{scenario}.{who}.nc") as tree:
            for name, array in draws.arrays().items():
                kept = tree["posterior"][name]
                assert kept.dims[:2] == ("chain", "draw")
                np.testing.assert_array_equal(kept.to_numpy(), array)
            if scenario == "hmm-weather-noise":
                assert tree["posterior"].state.to_numpy().tolist() == ["Rainy", "Sunny"]
                assert tree["posterior"].symbol.to_numpy().tolist() == ["Walk", "Shop", "Clean"]


def test_the_page_asks_nothing_of_a_network(built, outline):
    text = (built / "index.html").read_text("utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.search(r"""(?:src|href|action)\s*=\s*["']?//""", text)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert set(outline.wanted) == {"data:,"}
    assert (built / "index.html").stat().st_size < 2_000_000


def test_the_page_is_well_formed_and_its_links_resolve(outline):
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.links) <= set(outline.ids)
    assert outline.tags.count("h1") == 1
    assert outline.tags.count("main") == 1


def test_figures_in_the_page_refer_to_their_own_parts(built):
    text = (built / "index.html").read_text("utf-8")
    for svg in re.findall(r"<svg role.*?</svg>", text, flags=re.DOTALL):
        assert "aria-label" in svg
        used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
        assert used <= set(re.findall(r' id="([^"]+)"', svg))


def test_whatever_a_name_holds_is_escaped(built):
    text = (built / "index.html").read_text("utf-8")
    for raw in ("<b>x</b>", "<i>*c*", "<u>y", "<boom>", "Traceback <x>", "<warning>"):
        assert raw not in text
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    markdown = (built / "report.md").read_text("utf-8")
    assert "<i>" not in markdown
    assert "<u>" not in markdown


def test_markdown_figures_and_links_resolve(built):
    text = (built / "report.md").read_text("utf-8")
    figures = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert figures
    for figure in figures:
        assert (built / figure).is_file(), figure
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        assert f'<a id="{anchor}"></a>' in text


def test_markdown_tables_are_rectangular(built):
    text = (built / "report.md").read_text("utf-8")
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


def outcome(results, row):
    scenario = next(s for s in results.content.scenarios if s.name == row["scenario"])
    return scenario, reading.find(reading.outcomes(scenario, row["mode"]), row["implementation"])


def test_recovery_is_tidy_and_equals_the_results(results, built):
    table = rows(built / "recovery.csv")
    keys = [(r["scenario"], r["implementation"], r["mode"], r["parameter"]) for r in table]
    assert len(keys) == len(set(keys))
    expected = sum(
        len(reading.flat(o.parameters)) for s in results.content.scenarios for o in reading.fits(s)
    )
    assert len(table) == expected
    for row in table:
        scenario, o = outcome(results, row)
        assert float(row["estimate"]) == reading.flat(o.parameters)[row["parameter"]]
        truth = reading.flat(scenario.truth).get(row["parameter"])
        assert (float(row["truth"]) if row["truth"] else None) == truth
        if truth is not None:
            assert float(row["abs_error"]) == abs(float(row["estimate"]) - truth)
        sd = reading.flat(o.sd).get(row["parameter"])
        assert (float(row["sd"]) if row["sd"] else None) == sd
        if sd is None:  # no posterior, and no Wald interval
            assert row["lower"] == row["upper"] == row["covered"] == ""
        else:
            kind = "equal-tailed" if isinstance(o, PosteriorOutcome) else "Wald"
            assert row["interval_kind"] == kind
            if truth is not None:
                inside = float(row["lower"]) <= truth <= float(row["upper"])
                assert row["covered"] == ("true" if inside else "false")
        if row["interval_kind"] == "Wald":
            assert (row["implementation"], row["mode"]) == ("em", "as_configured")
        if row["implementation"] == "em":
            assert float(row["difference_from_em"]) == 0


def test_covered_rows_add_up_to_the_judges_count(results, built):
    table = rows(built / "recovery.csv")
    for scenario in results.content.scenarios:
        for o in reading.fits(scenario):
            if o.recovery is not None and o.recovery.of:
                own = [
                    r["covered"]
                    for r in table
                    if (r["scenario"], r["implementation"]) == (scenario.name, o.implementation)
                    and r["covered"]
                ]
                assert len(own) == o.recovery.of
                assert own.count("true") == o.recovery.covered


def test_log_likelihoods_are_tidy_and_equal_the_results(results, built):
    keys = {
        ("train", "at_estimate"): "train",
        ("train", "mean_over_draws"): "train_mean",
        ("heldout", "at_estimate"): "heldout",
        ("heldout", "log_predictive"): "heldout_predictive",
    }
    for row in rows(built / "log_likelihood.csv"):
        scenario, o = outcome(results, row)
        value = float(row["value"])
        assert value == getattr(o.log_likelihood, keys[row["set"], row["quantity"]])
        assert float(row["per_observation"]) == value / getattr(scenario, f"n_{row['set']}")
        if row["quantity"] == "mean_over_draws":
            assert row["difference_from_best"] == ""
        elif isinstance(o, PointOutcome):
            assert float(row["difference_from_best"]) <= 1e-9


@pytest.mark.slow
def test_building_twice_gives_the_same_bytes(results, tmp_path):
    name = "hmm-weather-noise"
    content = changed(results.content, scenarios=results.content.scenarios[2:3])
    draws = {key: d for key, d in results.posteriors.items() if key[0] == name}
    first, second = tmp_path / "first", tmp_path / "second"
    for out in (first, second):
        build(Comparison(content, draws), out)
    files = [f for f in sorted(first.rglob("*")) if f.is_file() and f.suffix != ".nc"]
    assert len(files) > 15
    for file in files:
        assert file.read_bytes() == (second / file.relative_to(first)).read_bytes(), file


def test_what_a_fit_printed_is_folded_into_the_page_alone(built, results):
    page = (built / "index.html").read_text("utf-8")
    chapters = len(results.content.scenarios)
    assert page.count("<summary>Output of pymc-nuts (as configured)</summary>") == chapters
    assert page.count("<pre>said by the sampler</pre>") == chapters
    assert page.count("<pre>g++: &lt;warning&gt;</pre>") == chapters
    assert "said by the sampler" not in (built / "report.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("out", "way"),
    [
        ("reports/latest", "../../docs/benchmark.md"),
        ("lockstep-report", "../docs/benchmark.md"),
        ("reports/../a/b/c", "../../../docs/benchmark.md"),
        ("/somewhere/else", None),
        ("..", None),
    ],
)
def test_the_way_to_the_benchmark_is_that_within_the_repository(out, way, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    assert benchmark(Path(out)) == way


def test_rebuilding_needs_only_the_results(built, tmp_path):
    content = results_file.decode((built / "results.json").read_bytes())
    rebuild(changed(content, scenarios=content.scenarios[:1]), tmp_path)
    assert not (tmp_path / "posterior").exists()
    assert rows(tmp_path / "recovery.csv") == [
        row for row in rows(built / "recovery.csv") if row["scenario"] == "gmm2d-notebook"
    ]
    there = {f.name for f in (built / "figures").glob("gmm2d-notebook-*")}
    again = {f.name for f in (tmp_path / "figures").iterdir()}
    assert there - again == {
        f"gmm2d-notebook-{what}.{kind}"
        for what in ("posterior", "ranks")
        for kind in ("svg", "png")
    }
    for name in again:
        assert (tmp_path / "figures" / name).read_bytes() == (built / "figures" / name).read_bytes()
    assert "rebuilt without" in (tmp_path / "report.md").read_text("utf-8")


def nulls(kind, value):
    """Return a record with nothing wherever its type allows that, in place of numbers only."""
    if isinstance(value, np.ndarray):
        return np.full_like(value, np.nan)
    if isinstance(value, dict):
        return {k: nulls(kind, v) for k, v in value.items()}
    if isinstance(value, list):
        return [nulls(kind, v) for v in value]
    if isinstance(value, msgspec.Struct):
        may = {f.name: f.type for f in msgspec.structs.fields(value)}
        return changed(value, **{name: nulls(may[name], getattr(value, name)) for name in may})
    number = isinstance(value, float)
    return None if number and type(None) in getattr(kind, "__args__", ()) else value


def emptied(record, *names):
    """Return a record without some of what need not be there."""
    defaults = {f.name: f.default for f in msgspec.structs.fields(record)}
    there = {name: None for name in names if name in defaults}
    return changed(record, **there)


def unfitted(o):
    kept = {f.name: getattr(o, f.name) for f in msgspec.structs.fields(outcomes.Outcome)}
    return Unfitted(**kept)


SPOILT = {
    "no fits": unfitted,
    "null numbers": lambda o: nulls(None, o),
    "no scores": lambda o: emptied(o, "recovery", "agreement", "bootstrap", "path", "elbo"),
    "no diagnostics": lambda o: (
        changed(
            o,
            diagnostics=outcomes.Diagnostics(chains=1, draws=1, checks=[]),
            message="",
            details={},
        )
        if isinstance(o, PosteriorOutcome)
        else changed(o, message="")
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SPOILT)
def test_null_entries_do_no_harm(results, tmp_path, name):
    scenarios = [
        changed(s, outcomes=[SPOILT[name](o) for o in s.outcomes])
        for s in results.content.scenarios[:3:2]
    ]
    content = results_file.written(changed(results.content, scenarios=scenarios))
    if name == "null numbers":
        assert (
            reading.number(reading.lead(content.scenarios[0], "matched").log_likelihood.train)
            is None
        )
    rebuild(content, tmp_path)
    print_verdicts(content, tmp_path, Console(file=io.StringIO()))
    Outline((tmp_path / "index.html").read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("kept", [[], ["em"], ["pymc-nuts"], ["scikit-learn", "hmmlearn"]])
def test_subsets_of_implementations_do_no_harm(results, tmp_path, kept):
    scenarios = [
        changed(
            s,
            outcomes=[o for o in s.outcomes if o.implementation in kept],
            truth=None,
            published=[],
            n_heldout=0,
        )
        for s in results.content.scenarios[:3:2]
    ]
    content = changed(results.content, scenarios=scenarios)
    rebuild(content, tmp_path)
    print_verdicts(content, tmp_path, Console(file=io.StringIO()))
    Outline((tmp_path / "index.html").read_text("utf-8"))


def test_results_without_scenarios_still_make_a_report(tmp_path):
    content = Results(environment=environment(), scenarios=[])
    rebuild(content, tmp_path)
    Outline((tmp_path / "index.html").read_text("utf-8"))
    assert not verdicts.overall(content).ok


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_terminal_table_fits(results, tmp_path, width, encoding):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_verdicts(results.content, tmp_path, Console(file=file, width=width, color_system=None))
    file.flush()
    text = raw.getvalue().decode(encoding)
    lines = text.splitlines()
    assert all(len(line) <= width for line in lines if not line.startswith("Report: "))
    assert "\x1b" not in text
    report = lines.index(f"Report: {tmp_path / 'index.html'}")
    assert verdicts.overall(results.content).headline[:40] in lines[report + 1], "it is last"
    for scenario in results.content.scenarios:
        assert scenario.name[:60] in text
    assert "-993.3830" in text  # em after 40 matched iterations
    assert "declared" in text


def test_a_failure_counts_and_is_told(results):
    overall = verdicts.overall(results.content)
    assert not overall.ok
    assert "gmm2d-notebook: pymc-advi (as configured) failed" in overall.detail


def test_declared_disagreements_do_not_count(results):
    declared = {"expected": "it is known", "counts_against": False}
    scenarios = [
        changed(s, outcomes=[changed(o, **declared) if o.counts_against else o for o in s.outcomes])
        for s in results.content.scenarios
    ]
    content = changed(results.content, scenarios=scenarios)
    assert verdicts.overall(content).ok
    failed = reading.find(reading.outcomes(scenarios[0], AS_CONFIGURED), "pymc-advi")
    assert verdicts.label(failed) == "✗ failed, as declared"


def test_published_figures_that_do_not_match_count(results):
    one = results.content.scenarios[1]
    one = changed(one, outcomes=[o for o in one.outcomes if o.implementation == "em"])
    assert [p.matches for p in one.published[:8]] == [True] * 8
    content = changed(results.content, scenarios=[one])
    assert verdicts.overall(content).ok
    missed = [changed(one.published[0], matches=False), *one.published[1:]]
    content = changed(content, scenarios=[changed(one, published=missed)])
    assert not verdicts.overall(content).ok


def test_the_ten_panels_are_the_notebooks(results):
    scenario = results.content.scenarios[0]
    assert mixtures.panel_iterations(40) == [2, 6, 10, 14, 18, 22, 26, 30, 34, 38]
    matched = reading.lead(scenario, MATCHED)
    assert matched.order == [1, 0]  # the notebook's labels come out swapped
    path = mixtures.own_path(scenario, matched)
    np.testing.assert_array_equal(
        path.draw(0).weights, scenarios()["gmm2d-notebook"].prepare().start.weights
    )
    np.testing.assert_allclose(path.draw(40).weights, [0.30294641, 0.69705359], atol=5e-9)


def test_posteriors_show_no_more_digits_than_their_error_supports(results):
    for scenario in results.content.scenarios:
        o = reading.find(reading.posteriors(scenario, AS_CONFIGURED), "pymc-nuts")
        digits = tables.Precision(o)
        for name, value in reading.flat(o.parameters).items():
            sd = reading.flat(o.sd)[name]
            if not sd:
                continue
            shown = digits.estimate(value, sd)
            unit = 10.0 ** -len(shown.partition(".")[2])
            assert unit >= min(sd / np.sqrt(digits.sizes[0]), 1), (name, shown)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.3608868, "0.360887"),
        (54.614856, "54.61486"),
        (-2.00724927, "-2.007249"),
        (7.67e-23, "7.7e-23"),
        (0.0, "0.000000"),
        (1e9 + 0.25, "1000000000"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_estimates_have_seven_digits(value, expected):
    assert numbers.estimate(value) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [(0.0012, "3.14"), (0.0099, "3.14"), (0.011, "3.1"), (1.0, "3"), (20.0, "0"), (0.0, "3.1416")],
)
def test_errors_limit_decimals(error, expected):
    assert numbers.fixed(3.14159, numbers.supported_decimals(error, 4)) == expected


def test_small_negative_numbers_are_not_minus_zero():
    assert numbers.fixed(-0.0004, 2) == "0.00"


def test_published_figures_stand_beside_ours():
    published = Published("means[0]", "1.50", "a book")
    assert published.note == ""
    figures = [
        {"quantity": "a", "printed": "1.50", "ours": 1.5012, "matches": True, "note": ""},
        {"quantity": "b", "printed": "2", "ours": None, "matches": None, "note": "why",
         "at": {}},
    ]  # fmt: skip
    scenario = SimpleNamespace(
        published=[
            outcomes.PublishedFigure(
                **{"source": "x", "at": None, "value": float(f["printed"])} | f
            )
            for f in figures
        ]
    )
    table = tables.published_table(scenario)
    assert [c.text for c in table.rows[0].cells] == ["a", "1.50", "1.50", "✓ matches"]
    assert table.rows[1].cells[3].text == "– not expected to match"
    assert table.notes == ("Note 1: why.",)
