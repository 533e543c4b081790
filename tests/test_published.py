"""The report kept in the repository says what a fresh run says, where chance has no part."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from lockstep.comparisons.cache import FitCache
from lockstep.comparisons.scenarios import scenarios
from lockstep.comparisons.suite import Plan, compare
from lockstep.reports import tidy

PUBLISHED = Path(__file__).parents[1] / "reports" / "published"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    plan = Plan([(s, s.prepare()) for s in scenarios().values()], ["em"])
    return compare(plan, FitCache(tmp_path_factory.mktemp("fits")), lambda *_: None).content


def published(name):
    with (PUBLISHED / name).open(encoding="utf-8", newline="") as rows:
        return [row for row in csv.DictReader(rows) if row["implementation"] == "em"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "rows", "identity"),
    [
        ("recovery.csv", tidy.recovery_rows, ("scenario", "mode", "parameter")),
        ("log_likelihood.csv", tidy.log_likelihood_rows, ("scenario", "mode", "set", "quantity")),
    ],
)
def test_published_em_rows_are_those_of_a_fresh_run(fresh, file, rows, identity):
    found = {tuple(row[k] for k in identity): row for row in rows(fresh)}
    kept = {tuple(row[k] for k in identity): row for row in published(file)}
    assert kept.keys() == found.keys()
    for key, row in kept.items():
        for column in ("truth", "estimate", "sd", "lower", "upper", "value"):
            if column in row:
                ours = found[key][column]
                assert (row[column] == "") == (ours is None), (key, column)
                if ours is not None:
                    # EM stops when a step is below 1e-9: another machine may stop a step apart.
                    np.testing.assert_allclose(ours, float(row[column]), rtol=1e-6, atol=1e-8)


def test_every_picture_of_the_published_report_is_there():
    text = (PUBLISHED / "report.md").read_text("utf-8")
    for line in text.splitlines():
        if line.startswith("!["):
            target = line.rpartition("](")[2].rstrip(")")
            assert (PUBLISHED / target).is_file(), target
