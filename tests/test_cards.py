"""A wrong candidate in a report: a card first, on the page, in Markdown and the terminal."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from lockstep.comparisons import implementations as registry
from lockstep.comparisons import results_file
from lockstep.comparisons.outcomes import Card, First
from lockstep.comparisons.problem import Mode
from lockstep.reports import cli, verdicts
from lockstep.reports.figures import style

CANDIDATES = Path(__file__).parent / "candidates"


def reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, model: str, scenario: str
) -> tuple[int, Path]:
    monkeypatch.setattr(registry, "_guests", {})
    monkeypatch.setenv("COLUMNS", "100")
    only = ["--only", scenario, "--implementations", "em", "--quick"]
    status = cli.main(
        ["report", *only, "--with", target, "--model", model, "--out", str(tmp_path / "r")]
    )
    return status, tmp_path / "r"


def flat(text: str) -> str:
    return " ".join(re.sub(r"[\\]", "", text).split())


@pytest.mark.parametrize(
    ("target", "model", "scenario", "cause"),
    [
        (
            "wrong_mixtures_1d.py:old_means",
            "gaussian-mixture-1d",
            "gmm1d-notebook",
            "old means in the new variances",
        ),
        pytest.param(
            "wrong_mixtures_2d.py:diagonal",
            "gaussian-mixture-2d",
            "gmm2d-notebook",
            "off-diagonals dropped",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "wrong_hmms.py:start_forgotten",
            "categorical-hmm",
            "hmm-weather",
            "startprob not updated",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_report_of_a_wrong_candidate_begins_with_a_card(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    target: str,
    model: str,
    scenario: str,
    cause: str,
) -> None:
    status, out = reported(tmp_path, monkeypatch, f"{CANDIDATES / target}", model, scenario)
    assert status == 1
    (card,) = results_file.decode((out / "results.json").read_bytes()).cards
    assert (card.implementation, card.scenario, card.cause) == (target, scenario, cause)
    assert card.first is not None
    assert card.first.value is not None
    assert card.first.ours is not None
    assert card.first.value != card.first.ours
    assert 1 <= card.first.iteration <= 2
    title, lines = verdicts.card_title(card), verdicts.card_lines(card)
    page = (out / "index.html").read_text("utf-8")
    assert page.index('class="card"') < page.index('id="summary"')
    assert f"m-{style.slug(target)}" in page
    text = flat((out / "report.md").read_text("utf-8"))
    assert text.index(flat(title)) < text.index("## Every verdict")
    shown = flat(capsys.readouterr().out)
    for line in lines:
        assert flat(line)[:60] in shown
    assert shown.index(flat(title)) < shown.index("matched")


@pytest.mark.slow
def test_a_right_candidate_has_no_card_and_its_own_colour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"{CANDIDATES / 'right.py'}:mixture_in_logs"
    began = time.perf_counter()
    status, out = reported(tmp_path, monkeypatch, target, "gaussian-mixture-1d", "gmm1d-notebook")
    assert time.perf_counter() - began < 60
    assert status == 0
    results = results_file.decode((out / "results.json").read_bytes())
    assert results.cards == []
    name = "right.py:mixture_in_logs"
    assert name in {o.implementation for o in results.scenarios[0].outcomes}
    others = {style.colour(who) for who in registry.implementations() if who != name}
    assert style.colour(name) not in others


@pytest.mark.parametrize("cause", ["", "underflow"])
def test_a_card_says_what_it_knows(cause: str) -> None:
    card = Card(
        implementation="my.py:em",
        scenario="s",
        mode=Mode.MATCHED,
        reason="it differs",
        first=First(iteration=3, entry="means[1]", value=None, ours=2.5),
        cause=cause,
        wrong=bool(cause),
        mend="use logarithms" if cause else "",
    )
    said = " ".join([verdicts.card_title(card), *verdicts.card_lines(card)])
    assert "its means[1] is no number after iteration 3, and ours is 2.5" in said
    assert "the row my.py:em (matched) of s" in said
    assert ("probable cause" in said) == bool(cause)
    assert ("no mistake is found" in said) != bool(cause)
    assert ("To mend it: use logarithms." in said) == bool(cause)
