"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from lockstep.comparisons.implementations import implementations
from lockstep.comparisons.scenarios import scenarios
from lockstep.models.fits import Status
from lockstep.reports import folder, verdicts
from test_outcomes import VALIDATOR

COMMAND = [sys.executable, "-m", "lockstep.reports.cli"]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def lockstep(cache, tmp_path):
    def run(*arguments, **options):
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"LOCKSTEP_CACHE": str(cache), "COLUMNS": "100"},
            **options,
        )

    return run


def whole(path):
    """Return whether every file of a report is there as it was written."""
    manifest = json.loads((path / "manifest.json").read_text())
    return manifest["files"] and all(
        hashlib.sha256((path / name).read_bytes()).hexdigest() == checksum
        for name, checksum in manifest["files"].items()
    )


def write_csv(path, header, rows):
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    return path


def test_help_and_list(lockstep):
    top = lockstep("--help")
    assert top.returncode == 0
    assert "Exit status: 0 all ran and agree" in top.stdout
    for command in ("report", "compare", "bench", "list"):
        assert command in top.stdout
        assert lockstep(command, "--help").returncode == 0
    listed = lockstep("list")
    assert listed.returncode == 0
    for name in (*scenarios(), *implementations(), "gaussian-mixture-2d"):
        assert name in listed.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["fit"], "invalid choice: 'fit'"),
        (["report", "--only", "nothing"], "there is no scenario 'nothing'; there are gmm1d-"),
        (["report", "--implementations", "R"], "there is no implementation 'R'; there are em"),
        (["bench", "--only", "GPU"], "has such a word in its title; there are: 1D mixture"),
        (["report", "--seed", "-1"], "invalid whole number from 0 value: '-1'"),
        (["compare", "x.csv", "--components", "2"], "required: --model"),
        (["compare", "x.csv", "--model", "lda", "--components", "2"], "invalid choice: 'lda'"),
        (
            ["compare", "x.csv", "--model", "categorical-hmm", "--components", "0"],
            "invalid whole number from 1 value: '0'",
        ),
        (
            ["compare", "x.csv", "--model", "categorical-hmm", "--components", "2"],
            "x.csv: there is no such file",
        ),
    ],
)
def test_bad_usage_exits_with_2_and_one_clear_line(lockstep, arguments, message):
    done = lockstep(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_report_quick_end_to_end(lockstep, tmp_path):
    names = ["gmm1d-notebook", "gmm2d-notebook", "hmm-weather"]
    done = lockstep("report", "--quick", "--only", *names, "--out", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "out"
    assert whole(out)
    results = json.loads((out / "results.json").read_text())
    VALIDATOR.validate(results)
    assert set(results["environment"]) >= {"python", "platform", "packages", "seed", "seconds"}
    assert [s["name"] for s in results["scenarios"]] == names
    for scenario in results["scenarios"]:
        rows = {(o["implementation"], o["mode"]): o for o in scenario["outcomes"]}
        assert {name for name, _ in rows} == set(implementations())
        for (name, mode), outcome in rows.items():
            if outcome["status"] == "unsupported":
                assert outcome["message"]
                continue
            assert outcome["status"] not in ("failed", "not_installed"), outcome["message"]
            assert np.isfinite(outcome["log_likelihood"]["train"])
            assert np.isfinite(outcome["log_likelihood"]["heldout"])
            assert outcome["recovery"]["max_abs_error"] > 0
            if mode == "matched" and name != "em":
                assert outcome["agreement"]["max_abs_difference"] <= 1e-9
            if outcome["kind"] == "posterior":
                assert outcome["recovery"]["of"] >= 6
                assert (out / "posterior" / f"{scenario['name']}.{name}.nc").stat().st_size > 1000
    for name in ("index.html", "report.md", "recovery.csv", "log_likelihood.csv"):
        assert (out / name).stat().st_size > 1000
    for name in names:
        assert list((out / "figures").glob(f"{name}-*.svg"))
        assert list((out / "figures").glob(f"{name}-*.png"))
    assert "agree where they should" in done.stdout
    assert "\x1b[" not in done.stdout + done.stderr, "colour is for terminals"
    assert "gmm1d-notebook: em (matched)" in done.stderr, "progress goes to stderr"

    began = time.perf_counter()
    again = lockstep("report", "--quick", "--only", *names, "--out", "out")
    assert again.returncode == 0
    assert "Nothing has changed" in again.stderr
    assert time.perf_counter() - began < 60, "nothing may be fitted again"

    # A damaged report is made again from the kept fits, and comes out the same.
    (out / "recovery.csv").write_text("damaged")
    repaired = lockstep("report", "--quick", "--only", *names, "--out", "out")
    assert repaired.returncode == 0
    assert "Nothing has changed" not in repaired.stderr
    assert "kept from before" in repaired.stderr
    assert whole(out)
    assert json.loads((out / "results.json").read_text())["scenarios"] == results["scenarios"]


@pytest.mark.slow
def test_compare_on_a_users_file(lockstep, tmp_path):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, 120), rng.normal(6, 1, 80)])
    write_csv(tmp_path / "mine.csv", ["id", "length"], [(i, v) for i, v in enumerate(x)])
    done = lockstep(
        *("compare", "mine.csv", "--model", "gaussian-mixture-1d", "--components", 2),
        *("--columns", "length", "--implementations", "em", "scikit-learn", "--json", "-"),
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    (scenario,) = content["scenarios"]
    assert scenario["title"] == "mine.csv"
    assert scenario["truth"] is None
    matched = scenario["outcomes"][1]
    assert matched["agreement"]["max_abs_difference"] <= 1e-9
    weights = scenario["outcomes"][2]["parameters"]["weights"]
    assert weights == pytest.approx([0.6, 0.4], abs=0.02)
    assert "mine.csv" in done.stderr, "the table moves to stderr when stdout carries JSON"
    assert whole(tmp_path / "lockstep-mine")


@pytest.mark.slow
def test_compare_symbols_in_several_sequences(lockstep, tmp_path):
    rng = np.random.default_rng(0)
    rows = [(int(v), 25 if i % 25 == 0 else "") for i, v in enumerate(rng.integers(0, 3, 100))]
    write_csv(tmp_path / "days.csv", ["symbol", "length"], rows)
    done = lockstep(
        *("compare", "days.csv", "--model", "categorical-hmm", "--components", 2),
        *("--lengths-column", "length", "--implementations", "em", "hmmlearn"),
        *("--out", "out", "--json", "results.json"),
    )
    # hmmlearn's ten iterations may end short of the optimum, which is a disagreement.
    assert done.returncode in (0, 1), done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    matched = results["scenarios"][0]["outcomes"][1]
    assert matched["implementation"] == "hmmlearn"
    assert matched["agreement"]["max_abs_difference"] <= 1e-9
    differs = any(o["verdict"] == "differs" for o in results["scenarios"][0]["outcomes"])
    assert done.returncode == int(differs)


@pytest.mark.slow
def test_a_disagreement_exits_with_1(lockstep, tmp_path):
    """Three points in one place: EM collapses there, and says so, on every start that tries."""
    write_csv(tmp_path / "x.csv", ["x"], [(v,) for v in [0, 0, 0, 5, 5, 5]])
    done = lockstep(
        *("compare", "x.csv", "--model", "gaussian-mixture-1d", "--components", 2),
        *("--implementations", "em"),
    )
    assert done.returncode == 1
    assert "collapsed onto a point" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_report_replaces_no_folder_of_yours(lockstep, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("precious")
    done = lockstep("report", "--only", "gmm1d-separated", "--out", "photos")
    assert done.returncode == 2
    assert "photos has files that are not a report" in done.stderr
    assert (tmp_path / "photos" / "cat.png").read_text() == "precious"
    done = lockstep("report", "--only", "gmm1d-separated", "--out", "photos/cat.png")
    assert done.returncode == 2
    assert "is a file" in done.stderr


def report(path, **more):
    """Put what a report consists of into a folder."""
    path.mkdir()
    (path / "figures").mkdir()
    for name in ("index.html", "figures/a.svg"):
        (path / name).write_text("ours")
    manifest = {"fingerprint": None, "files": dict.fromkeys(["index.html", "figures/a.svg"], "")}
    (path / "manifest.json").write_text(json.dumps(manifest | more))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.md", "what I think of it"),
        ("figures/mine.png", "a picture of mine"),
        (".git/HEAD", "ref: refs/heads/main"),
        ("__init__.py", ""),
        ("figures/a.svg.orig", "ours, before I changed it"),
    ],
)
def test_a_report_in_which_somebody_put_a_file_is_left_alone(tmp_path, name, content):
    report(tmp_path / "out")
    folder.refuse_foreign(tmp_path / "out")
    (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "out" / name).write_text(content)
    with pytest.raises(folder.ForeignFolderError, match=f"such as {name}, and a report replaces"):
        folder.refuse_foreign(tmp_path / "out")


@pytest.mark.parametrize(
    "manifest",
    ['{"name": "a browser\'s extension", "files": {"a.js": ""}}', "[]", "no JSON", "", "null"],
)
def test_a_manifest_of_another_kind_makes_no_report(tmp_path, manifest):
    (tmp_path / "a.js").write_text("theirs")
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(folder.ForeignFolderError, match="files that are not a report"):
        folder.refuse_foreign(tmp_path)


def test_a_link_in_a_report_is_not_ours(tmp_path):
    report(tmp_path / "out")
    (tmp_path / "data").mkdir()
    (tmp_path / "out" / "data").symlink_to(tmp_path / "data")
    with pytest.raises(folder.ForeignFolderError, match="such as data"):
        folder.refuse_foreign(tmp_path / "out")


def test_a_report_that_is_replaced_meanwhile_is_ours(tmp_path, monkeypatch):
    report(tmp_path / "out")
    (tmp_path / "out" / "new.svg").write_text("ours")
    texts = iter([(tmp_path / "out" / "manifest.json").read_bytes()])
    files = dict.fromkeys(["index.html", "figures/a.svg", "new.svg"], "")
    now = json.dumps({"fingerprint": None, "files": files}).encode()
    monkeypatch.setattr(folder, "_manifest", lambda _: next(texts, now))
    folder.refuse_foreign(tmp_path / "out")


@pytest.mark.slow
def test_what_cannot_be_written_is_refused_before_anything_is_fitted(lockstep, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for options, message in (
        (("--json", "folder"), "folder is a folder; name a file with --json"),
        (("--out", "file/report"), "file"),
    ):
        done = lockstep("report", "--only", "gmm1d-separated", *options)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_killing_a_run_at_any_moment_leaves_the_last_report_whole(lockstep, tmp_path, cache):
    arguments = ["report", "--only", "gmm1d-separated", "--implementations", "em", "--out", "out"]
    began = time.perf_counter()
    assert lockstep(*arguments).returncode == 0
    took = time.perf_counter() - began
    before = (tmp_path / "out" / "results.json").read_bytes()
    for share in (0.3, 0.6, 0.8, 0.95):
        process = subprocess.Popen(
            [*COMMAND, *arguments, "--seed", "1"],
            cwd=tmp_path,
            env=os.environ | {"LOCKSTEP_CACHE": str(tmp_path / f"fits-{share}")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(share * took)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert whole(tmp_path / "out")
        if (tmp_path / "out" / "results.json").read_bytes() != before:
            break  # the machine was quick: the new report had taken its place, whole
    assert lockstep(*arguments).returncode == 0
    assert whole(tmp_path / "out")
    assert not list(tmp_path.glob(".out.partial-*")), "what a killed run left is cleared away"


def test_interrupting_says_how_to_go_on(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "report", "--implementations", "em", "--out", "out"],
        cwd=tmp_path,
        env=os.environ | {"LOCKSTEP_CACHE": str(tmp_path / "fits")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stderr.readline()
    assert line.startswith("[1/")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "finished fits are kept, run the command again to go on" in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "fits").rglob("*"))


def test_a_failed_fit_is_tried_again_next_time():
    def content(status):
        outcomes = [SimpleNamespace(status=status)]
        return SimpleNamespace(scenarios=[SimpleNamespace(outcomes=outcomes)])

    assert folder.complete(content(Status.CONVERGED))
    assert folder.complete(content(Status.UNSUPPORTED))
    assert not folder.complete(content(Status.FAILED))
    assert not folder.complete(content(Status.NOT_INSTALLED))


def test_a_published_figure_that_is_missed_exits_with_1():
    figure = SimpleNamespace(quantity="means[0]", printed="1.5", matches=None)
    scenario = SimpleNamespace(
        name="x", outcomes=[SimpleNamespace(counts_against=False)], published=[figure]
    )
    assert not verdicts.against(SimpleNamespace(scenarios=[scenario]))
    figure.matches = False
    assert verdicts.against(SimpleNamespace(scenarios=[scenario])) == [
        "x: published means[0] 1.5 is not matched"
    ]


@pytest.mark.slow
def test_what_a_killed_run_left_is_cleared_even_if_nothing_has_changed(lockstep, tmp_path):
    arguments = ["report", "--only", "gmm1d-separated", "--implementations", "em", "--out", "out"]
    assert lockstep(*arguments).returncode == 0
    (tmp_path / ".out.partial-left").mkdir()
    (tmp_path / ".out.partial-left" / "index.html").write_text("half")
    again = lockstep(*arguments)
    assert "Nothing has changed" in again.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
