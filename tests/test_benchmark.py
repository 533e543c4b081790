"""The benchmark: that it compares equal work, and tells when results differ. No test times."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from lockstep.comparisons import benchmark, benchmark_posteriors
from lockstep.reports import cli, speed


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(benchmark, "ROUNDS", 3)
    monkeypatch.setattr(benchmark, "SHORTEST", 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("work", benchmark.WORKS, ids=lambda work: work.name)
@pytest.mark.filterwarnings("ignore:Setting the shape on a NumPy array")  # hmmlearn's own
def test_each_cell_compares_equal_results(work, hasty):
    cells = benchmark.cells(work, min(work.sizes[0], 2000))
    assert [cell.peer for cell in cells] == list(work.peers)
    for cell in cells:
        assert cell.kernel < 1e-13  # a thousand rows, not 10^7
        if cell.ratio is None:
            assert cell.note.endswith("is not installed")
            continue
        # scikit-learn adds 10 eps to counts; iterations amplify that and the rounding.
        assert cell.apart < 1e-9
        assert 0 < cell.lowest <= cell.ratio <= cell.highest
    assert benchmark.failures(cells) == []


def test_a_fit_that_differs_is_told(hasty, monkeypatch):
    work = replace(benchmark.WORKS[0], peers=(benchmark.SKL,))
    right = benchmark.Mixture.scikit_learn

    def wrong(self):
        self.settings["max_iter"] = 1
        return right(self)

    monkeypatch.setattr(benchmark.Mixture, "scikit_learn", wrong)
    (cell,) = benchmark.cells(work, 100)
    (line,) = benchmark.failures([cell])
    assert line.startswith("1D mixture, K=2, size 100: our fit is ")
    assert line.endswith(" off that of scikit-learn")


def test_a_compiled_e_step_that_differs_is_told():
    cell = benchmark.Cell("work", "peer", 100, 20, kernel=2e-12, note="")
    (line,) = benchmark.failures([cell])
    assert line == "work, size 100: the compiled E-step is 2.0e-12 off the readable one"
    assert benchmark.failures([replace(cell, kernel=np.nan)])


def test_all_work_is_planned_and_a_quick_one_leaves_out_what_takes_long():
    titles = [title for title, _ in benchmark.plan()]
    assert len(set(titles)) == len(titles)
    for work in benchmark.WORKS:
        for size, peer in work.targets:
            assert size in work.sizes
            assert peer in work.peers
            assert f"{work.name}, size {size:,}" in titles
    quick = [title for title, _ in benchmark.plan(quick=True)]
    assert set(quick) < set(titles)
    assert not [t for t in quick if "memory" in t or "000,000" in t or "posterior" in t]
    only = [title for title, _ in benchmark.plan(["POSTERIOR", "streamed"])]
    assert len(only) == 1 + len(benchmark_posteriors.STUDIES)


@pytest.mark.slow
def test_peaks_are_those_of_a_process_of_their_own():
    # Five arrays of N x K doubles are 8 MB; that this process has had more must not count, nor hide
    # what the other takes.
    (peak,) = benchmark._peak("1D mixture, K=2", "scikit_learn", 10**5, None)
    assert 8 < peak.megabytes < 30
    (peak,) = benchmark._peak("1D mixture, K=2", "ours", 10**5, None)
    assert 0 <= peak.megabytes < 8
    with pytest.raises(RuntimeError, match="nonsense 5 failed"):
        benchmark._in_a_process("1D mixture, K=2", "nonsense", "5")


@pytest.fixture
def content():
    cell = benchmark.Cell(
        "1D mixture, K=2", "scikit-learn", 100, 20, 1e-16, "scikit-learn 1.9, 1 thread",
        target=30, ours=2e-4, theirs=8e-3, ratio=40.0, lowest=35.0, highest=41.0, apart=1e-15,
    )  # fmt: skip
    missed = replace(cell, size=10**6, ratio=20.0, ours=3e-4)
    absent = benchmark.Cell("1D mixture, K=2", "pomegranate", 100, 20, 1e-16, "it is not there")
    first = benchmark.FirstFit("1D mixture, K=2", 300, "scikit-learn", 1.5, 1.4)
    peak = benchmark.Peak("1D mixture, K=2, streamed from a file", "ours", 10**8, 120.4, 300.0)
    posterior = benchmark_posteriors.Row("gradient", "µs", 20.0, 1600.0, 80.0, 60.0, "a bound")
    return benchmark.as_json([cell, missed, absent, first, peak, posterior])


def test_the_page_and_the_table_tell_what_was_measured(content, tmp_path):
    speed.write(content, tmp_path, json.dumps(content))
    page = (tmp_path / "benchmark.md").read_text("utf-8")
    assert "2 of 3 aims are met." in page
    assert "| gradient | 20 µs | 1.6e+03 µs | 80.0 | 60 ✓ |" in page
    assert "gradient: a bound." in page
    assert "Not measured: it is not there." in page
    row = "| 100 | scikit-learn | 200 µs | 8 ms | 40.0 | 35.0-41.0 | 30 ✓ | 1e-15 | 1e-16 |"
    assert row in page
    assert "| 20.0 | 35.0-41.0 | 30 ✗ |" in page
    assert "| 100,000,000 | 120 MB | 300 MB ✓ |" in page
    assert (tmp_path / "benchmark.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "benchmark.json").read_text()) == content
    console = Console(width=80, record=True, file=io.StringIO())
    speed.print_table(content, console)
    text = console.export_text()
    assert "…" not in text
    for word in ("200 µs", "40.0", "30 ✓", "30 ✗", "120 MB", "it is not there"):
        assert word in text


@pytest.mark.filterwarnings("ignore:Setting the shape on a NumPy array")
def test_the_command_writes_json_and_fails_if_results_differ(hasty, monkeypatch, capsys, tmp_path):
    cells = [replace(benchmark.WORKS[5], sizes=(100,))]
    monkeypatch.setattr(benchmark, "WORKS", cells)
    monkeypatch.setattr(benchmark, "FIRST", ())
    monkeypatch.setattr(benchmark, "MEMORY", ())
    monkeypatch.setattr(benchmark_posteriors, "STUDIES", {})
    assert cli.main(["bench", "--json", "-", "--out", str(tmp_path)]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {cell["peer"] for cell in content["cells"]} == set(benchmark.HMM_PEERS)
    assert (tmp_path / "benchmark.md").is_file()
    monkeypatch.setattr(benchmark, "SAME", 0.0)
    assert cli.main(["bench"]) == 1
    assert "off the readable one" in capsys.readouterr().err
