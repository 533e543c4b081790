"""The processes of the fits: what they print and leave, and whose the seconds are."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lockstep.comparisons import implementations, lanes, run
from lockstep.comparisons.cache import FitCache, Timed
from lockstep.comparisons.problem import Mode, Problem
from lockstep.models import gaussian_mixture_1d as model
from lockstep.models.fits import PointFit, Status


def by_python():
    print("said by Python")


def by_a_warning():
    warnings.warn("said by a warning", stacklevel=1)


def below_python():
    os.write(1, b"said by the system")


def by_c():
    ctypes.CDLL(None).printf(b"said by C")


def by_another_program():
    subprocess.run(["sh", "-c", "echo said by a program >&2"], check=True)


def much():
    os.write(2, b"first words\n" + b"x" * 10_000_000 + b"\nlast words \x1b[31m")


def nothing(*_):
    pass


def die():
    os.write(2, b"cannot go on")
    os.kill(os.getpid(), signal.SIGKILL)


def leave():
    with tempfile.NamedTemporaryFile(delete=False) as file:
        Path(tempfile.gettempdir(), "folder").mkdir()
        Path(tempfile.gettempdir(), "folder", "file").write_text("left")
        subprocess.run(["mktemp"], check=True, stdout=subprocess.DEVNULL)
        return file.name


@pytest.fixture
def lane():
    made = lanes.Lane(nothing)
    yield made
    lanes.close([made], list(made.pool._processes.values()) if made.pool._processes else [])
    assert not made.folder.exists()


def test_what_is_printed_comes_back_and_reaches_no_terminal(lane, capfd):
    for function in (by_python, by_a_warning, below_python, by_c, by_another_program):
        _, said = lane.submit(function).result()
        assert "said by" in said, function
        assert len(said.splitlines()) <= 2, "each has its own"
    assert lane.submit(nothing).result() == (None, "")
    _, said = lane.submit(much).result()
    assert len(said) < lanes.MOST_SAID + 100
    assert "first words" not in said
    assert said.endswith("last words \\x1b[31m"), "legible"
    assert capfd.readouterr() == ("", "")


def test_the_last_words_of_a_process_that_died(lane):
    future = lane.submit(die)
    with pytest.raises(run.BrokenProcessPool):
        future.result()
    assert lane.said() == "cannot go on"


def test_what_a_process_leaves_goes_with_it(lane):
    left, _ = lane.submit(leave).result()
    assert Path(left).parent == lane.folder
    assert len(list(lane.folder.iterdir())) == 4, "the file of what is printed, and three"


KILLED = """
import sys, time
sys.path.insert(0, {folder!r})
import test_lanes
from lockstep.comparisons import lanes

if __name__ == "__main__":
    lane = lanes.Lane(test_lanes.nothing)
    print(lane.submit(test_lanes.leave).result()[0], flush=True)
    time.sleep(60)
"""


def test_what_a_process_leaves_goes_when_the_program_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(KILLED.format(folder=str(Path(__file__).parent)))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as process:
        left = Path(process.stdout.readline().strip())
        assert left.exists()
        process.kill()
    until = time.monotonic() + 20
    while left.parent.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not left.parent.exists()


def problem(mode=Mode.AS_CONFIGURED):
    x = np.random.default_rng(0).normal(size=50)
    start = model.Parameters.of(weights=[0.5, 0.5], means=[-1, 1], variances=[1, 1])
    matched = {"start": start, "n_iter": 2} if mode is Mode.MATCHED else {}
    return Problem("gaussian_mixture_1d", x, {"n_components": 2}, mode, 0, **matched)


def answer():
    return PointFit(problem(Mode.MATCHED).start, Status.CONVERGED, "", 0)


def row(fit, kind="point"):
    return SimpleNamespace(
        NAME="row", PACKAGE="numpy", SUMMARY="", KIND=kind, fit=fit, unsupported=lambda _: None
    )


@pytest.mark.parametrize("order", [["as_configured"], ["matched"], ["as_configured", "matched"]])
@pytest.mark.parametrize("late", [0, 1, 2])
def test_the_seconds_of_a_point_fit_are_not_those_of_compilation(monkeypatch, order, late):
    """Compilation comes with the loading of a module, in whichever fit that is."""
    calls = []

    def fit(problem):
        calls.append(problem.mode)
        if problem.mode == order[-1] and calls.count(order[-1]) <= 1 + late:
            name = f"compiled_{len(calls)}_{order}_{late}"
            monkeypatch.setitem(sys.modules, name, None)
            time.sleep(0.3)
        return answer()

    monkeypatch.setattr(run, "_warm", set())
    monkeypatch.setattr(run, "implementations", lambda: {"row": row(fit)})
    for mode in order:
        result = run.attempt("row", problem(Mode(mode)))
        assert isinstance(result, Timed)
        assert result.seconds < 0.15
        assert run.attempt("row", problem(Mode(mode))).seconds < 0.15
    assert len(calls) <= 8


def test_a_fit_that_always_loads_something_ends(monkeypatch):
    calls = []

    def fit(problem):
        calls.append(problem)
        monkeypatch.setitem(sys.modules, f"compiled_anew_{len(calls)}", None)
        return replace(answer(), iterations=len(calls))

    monkeypatch.setattr(run, "implementations", lambda: {"row": row(fit)})
    result = run.attempt("row", problem())
    assert len(calls) == 1 + run.MOST_REPEATED
    assert result.fit.iterations == 1, "the first"


def test_a_posterior_is_sampled_once(monkeypatch):
    calls = []

    def fit(problem):
        calls.append(problem)
        monkeypatch.setitem(sys.modules, "compiled_for_a_posterior", None)
        return answer()

    monkeypatch.setitem(implementations._guests, "row", row(fit, "posterior"))
    run.attempt("row", problem())
    assert len(calls) == 1


class Talking:
    """An implementation that prints, and then fits, fails or dies."""

    __file__ = None
    PACKAGE, SUMMARY, KIND = "numpy", "", "point"

    def __init__(self, how):
        self.NAME = self.how = how

    def unsupported(self, problem):
        return None

    def fit(self, problem):
        os.write(2, b"warning: from g++\n")
        if self.how == "fails":
            raise ValueError("no")
        if self.how == "dies":
            os.kill(os.getpid(), signal.SIGSEGV)
        return answer()


@pytest.fixture
def talking(monkeypatch):
    for how in ("fits", "fails", "dies"):
        monkeypatch.setitem(implementations._guests, how, Talking(how))


def test_what_a_fit_printed_is_in_its_row(talking, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    tasks = [run.Task("scenario", how, problem()) for how in ("fits", "fails", "dies")]
    results = run.run(tasks, FitCache(tmp_path / "cache"), nothing)
    said = {task.implementation: result for task, result in results.items()}
    assert said["fits"].fit.details["output"] == "warning: from g++"
    assert said["fails"].output == said["dies"].output == "warning: from g++"
    assert said["fails"].message == "ValueError: no"
    assert "process died" in said["dies"].message
    assert capfd.readouterr() == ("", "")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("lockstep-")]
