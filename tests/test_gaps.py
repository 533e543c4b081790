"""Candidates on missing values: the right pass, the wrong are named, who refuses is not blamed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from rich.console import Console

from inprocess import judged
from lockstep.comparisons.validation import validate
from lockstep.comparisons.validation.channel import last_lines
from lockstep.comparisons.validation.verdicts import Ended
from lockstep.reports import cli, validation

GAPS = Path(__file__).parent / "candidates" / "gaps.py"
LINE, PLANE = "gaussian_mixture_1d", "gaussian_mixture_2d"


def seen(name: str) -> tuple[object, str, str]:
    model = LINE if name.endswith("_1d") else PLANE
    verdict = judged(f"{GAPS}:{name}", model, only=lambda c: c.name == "missing")
    found = next(o for o in verdict.outcomes if o.name == "missing")
    return found.status, found.message, verdict.causes[0].name if verdict.causes else ""


@pytest.mark.parametrize("name", ["integrated", "integrated_1d", "dropped_1d"])
def test_who_integrates_gaps_out_is_right(name: str) -> None:
    assert seen(name)[0] is Ended.PASSED


@pytest.mark.parametrize(("name", "why"), [("refuses", "refuses"), ("spreads_nan", "NaN")])
def test_who_takes_no_gaps_is_not_blamed(name: str, why: str) -> None:
    status, message, _ = seen(name)
    assert status is Ended.NOT_CHECKED
    assert why in message


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("dropped", "rows with missing values dropped"),
        ("averaged", "missing values replaced by the column's mean"),
        ("averaged_1d", "missing values replaced by the column's mean"),
        ("zeroed", "missing values replaced by zero"),
        ("zeroed_1d", "missing values replaced by zero"),
        ("certain", "the conditional covariance of the gaps left out"),
    ],
)
def test_a_mistake_with_gaps_is_named(name: str, cause: str) -> None:
    status, _, named = seen(name)
    assert status is Ended.FAILED
    assert named == cause


STEP = "def step(x, weights, means, variances):\n"


@pytest.mark.slow
def test_the_first_answer_has_no_more_time_than_the_others(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(f"import time\n{STEP}    time.sleep(2.5)\n    return 1\n")
    began = time.perf_counter()
    verdict = validate(
        f"{tmp_path / 'slow.py'}:step", LINE, limit=1.0, only=lambda c: c.name == "interface"
    )
    (failed,) = verdict.of(Ended.FAILED)
    assert failed.message == "it hangs: no answer within 1 s"
    assert failed.seconds < 2.4
    assert time.perf_counter() - began < 60


@pytest.mark.slow
def test_memory_is_limited_as_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"import numpy as np\n{STEP}    np.ones(2**27).sum()\n    return 1\n"
    (tmp_path / "greedy.py").write_text(text)
    target = [f"{tmp_path / 'greedy.py'}:step", "--model", "gaussian-mixture-1d"]
    assert cli.main(["validate", *target, "--memory", "0.75", "--format", "markdown"]) != 0
    assert "it takes more than 0.75 GiB of memory" in capsys.readouterr().out


def test_a_long_traceback_does_not_bury_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    target = f"{GAPS.parent / 'deep.py'}:step"
    verdict = judged(target, LINE)
    failed = verdict.of(Ended.FAILED)
    assert len(failed[0].detail.splitlines()) > 60
    validation.print_text(verdict, Console(width=100))
    shown = capsys.readouterr().out
    assert "lines before)" in shown
    assert shown.count("File ") < 8
    assert verdict.to_dict()["checks"][0]["detail"] == failed[0].detail


def test_the_last_lines_are_shown_with_the_number_of_the_others() -> None:
    assert last_lines("a\nb\nc", 3) == "a\nb\nc"
    assert last_lines("a\nb\nc\nd\n", 2) == "(2 lines before)\nc\nd"
    assert last_lines("", 2) == ""
