"""A library from outside: found by its entry point, with a colour, a version and a key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lockstep.comparisons import cache
from lockstep.comparisons import implementations as known
from lockstep.models import names
from lockstep.models.fits import PosteriorFit
from planted import MIXTURE
from test_posterior_agreement import by_name, drawn, judged

FILE = """
NAME = "outsider"
PACKAGE = "outside-library"
DEPENDS = ("numpy",)
KIND = "point"
SUMMARY = "our EM under another name"


def unsupported(problem):
    return None if problem.model.endswith("1d") else "one dimension only"


def fit(problem):
    from lockstep.comparisons.implementations import em

    return em.fit(problem)
"""

ASK = """
import json
import numpy as np
from lockstep.comparisons.cache import key, versions
from lockstep.comparisons.implementations import implementations
from lockstep.comparisons.problem import Mode, Problem
from lockstep.reports.figures import style

known = list(implementations())
problem = Problem("gaussian_mixture_1d", np.arange(9.0), {"n_components": 2}, Mode.AS_CONFIGURED, 0)
print(json.dumps({
    "names": known,
    "looks": [[style.colour(n), style.mark(n)] for n in [*known, "unheard-of", "another"]],
    "keys": {n: key(n, problem) for n in known},
    "version": versions(["outsider"])["outside-library"],
}))
"""


@pytest.fixture
def asked(tmp_path):
    """Install the library in some version, and ask what lockstep makes of it."""

    def ask(version, *command):
        tmp_path.joinpath("outside_library.py").write_text(FILE)
        info = tmp_path / "outside_library.dist-info"
        info.mkdir(exist_ok=True)
        info.joinpath("METADATA").write_text(
            f"Metadata-Version: 2.1\nName: outside-library\nVersion: {version}\n"
        )
        info.joinpath("entry_points.txt").write_text(
            "[lockstep.implementations]\noutsider = outside_library\n"
        )
        done = subprocess.run(
            [sys.executable, *(command or ("-c", ASK))],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return ask


@pytest.mark.slow
def test_it_has_a_place_a_look_and_a_version_of_its_own(asked):
    first, again = (json.loads(asked(version)) for version in ("1.0", "2.0"))
    assert first["names"][-1] == "outsider"
    assert len({tuple(look) for look in first["looks"]}) == len(first["looks"])
    colours = [colour for colour, _ in first["looks"]]
    assert len(set(colours)) == len(colours)
    assert (first["version"], again["version"]) == ("1.0", "2.0")
    changed = {name for name in first["keys"] if first["keys"][name] != again["keys"][name]}
    assert changed == {"outsider"}


@pytest.mark.slow
def test_it_is_a_row_of_a_comparison(asked, tmp_path):
    tmp_path.joinpath("x.csv").write_text("x\n" + "\n".join(map(str, [*range(9), *range(30, 39)])))
    run = ("-m", "lockstep.reports.cli", "compare", "x.csv", "--model", "gaussian-mixture-1d")
    rows = ("--components", "2", "--implementations", "em", "outsider", "--json", "out.json")
    asked("1.5", *run, *rows, "--out", "out")
    outcomes = json.loads(Path(tmp_path, "out.json").read_text())["scenarios"][0]["outcomes"]
    own = [o for o in outcomes if o["implementation"] == "outsider"]
    assert {o["verdict"] for o in own} == {"agrees"}
    assert {o["version"] for o in own} == {"1.5"}


SAMPLER = """
NAME = "outside-sampler"
PACKAGE = "outside-library"
KIND = "posterior"
SUMMARY = "draws and nothing else"


def unsupported(problem):
    return None


def fit(problem):
    from dataclasses import replace

    from lockstep.models.fits import PosteriorFit
    from planted import MIXTURE

    target = replace(MIXTURE, likelihood=POWER)
    return PosteriorFit(target.records(target.draw(problem.seed)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("power", "verdict"), [(1, "agrees"), (2, "differs"), (4, "differs")])
def test_its_draws_and_nothing_else_are_judged_as_a_posterior(
    power, verdict, tmp_path, monkeypatch
):
    tmp_path.joinpath("outside_sampler.py").write_text(SAMPLER.replace("POWER", str(power)))
    info = tmp_path / "outside_library.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(
        "Metadata-Version: 2.1\nName: outside-library\nVersion: 1\n"
    )
    info.joinpath("entry_points.txt").write_text(
        "[lockstep.implementations]\nsampler = outside_sampler\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "outside_sampler", raising=False)
    known._modules.cache_clear()
    try:
        sampler = known.implementations()["outside-sampler"]
        draws = {
            "pymc_nuts": PosteriorFit(drawn(MIXTURE, 6)),
            "outside_sampler": sampler.fit(SimpleNamespace(seed=8)),
        }
        row = by_name(judged(MIXTURE, **draws))["outside-sampler"]
    finally:
        known._modules.cache_clear()
    assert row.verdict == verdict, row.reason
    assert row.counts_against == (verdict == "differs")
    assert row.agreement.against == "pymc-nuts"


@pytest.mark.parametrize("edited", names())
def test_an_edit_of_a_model_changes_the_source_of_its_own_fits_only(edited, monkeypatch):
    """And of those of a model that borrows its code: the mixture in any dimension does."""
    borrowers = {name for name in names() if edited in cache._with_borrowed(name)}
    assert edited in borrowers

    def sources():
        cache._source_hash.cache_clear()
        return {name: cache._source_hash("em", name) for name in names()}

    before, place = sources(), cache._folder(edited)
    unedited = Path.read_bytes
    monkeypatch.setattr(
        Path,
        "read_bytes",
        lambda path: unedited(path) + b"# edited" * (path == place / "equations.py"),
    )
    after = sources()
    monkeypatch.undo()
    cache._source_hash.cache_clear()
    assert {name for name in names() if before[name] != after[name]} == borrowers
    assert borrowers <= {edited, "gaussian_mixture_2d"}
