"""The wheel in an environment of its own, beside a project that has our folders' names for its own.

The environment sees the packages of this one, and not the checkout: a folder that a `.pth` names is
on the path, but the `.pth` files in it are not read.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow

MODELS = """
def start(x):
    return x.mean()
"""

EM = """
import numpy as np

from models import start
from reports import rounded


def em(x, weights, means, variances):
    assert np.isfinite(start(x)) and rounded(0.4) == 0
    scaled = (x[:, None] - means) ** 2 / variances
    p = weights * np.exp(-0.5 * scaled) / np.sqrt(2 * np.pi * variances)
    r = p / p.sum(axis=1, keepdims=True)
    counts = r.sum(axis=0)
    means = r.T @ x / counts
    return counts / len(x), means, (r * (x[:, None] - means) ** 2).sum(axis=0) / counts
"""

PROGRAM = """
import json
import sys

from models import LOADED

for line in sys.stdin:
    print(json.dumps({"id": json.loads(line)["id"], "error": LOADED}), flush=True)
"""

PROJECT = {
    "reports/__init__.py": "from reports.rounding import rounded\n",
    "reports/rounding.py": "def rounded(value):\n    return round(value)\n",
    "reports/latest/theirs.txt": "precious\n",
    "models.py": MODELS + "LOADED = 'models.py'\n",
    "package/models/__init__.py": MODELS + "LOADED = 'models/'\n",
    "package/em.py": EM,
    "em.py": EM,
    "program.py": PROGRAM,
    "x.csv": "x,y\n" + "".join(f"{(-1) ** n * 3 + n % 7 / 5},{n}\n" for n in range(60)),
    "tests/test_project.py": "import models\nimport reports\n\n\n"
    "def test_names():\n    assert models.LOADED == 'models.py' and reports.rounded(0.6) == 1\n",
    "pytest.ini": "[pytest]\ntestpaths = tests\npythonpath = .\n",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel unpacked in an empty environment; its commands."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    (site,) = place.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    lend_compiled(site / "lockstep" / "models")
    entries = ConfigParser()
    entries.read_string(next(site.glob("*.dist-info/entry_points.txt")).read_text())
    for name, value in entries["console_scripts"].items():
        module, function = value.split(":")
        script = place / "bin" / name
        script.write_text(
            f"#!{place}/bin/python\nimport sys\nfrom {module} import {function}\n"
            f"if __name__ == '__main__':\n    sys.exit({function}())\n"
        )
        script.chmod(0o755)
    return place / "bin"


def lend_compiled(models):
    """Give the kernels what was compiled of them here: numba goes by a file's time and size."""
    for ours in (ROOT / "models").glob("*.py"):
        now = ours.stat()
        os.utime(models / ours.name, ns=(now.st_atime_ns, now.st_mtime_ns))
    (models / "__pycache__").mkdir(exist_ok=True)
    for kept in (ROOT / "models" / "__pycache__").glob("*.nb[ci]"):
        shutil.copy2(kept, models / "__pycache__")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with packages `reports` and `package.models`, and a `models.py`."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in PROJECT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def run(installed, project, tmp_path_factory):
    """Return a function that runs a program of the environment in the project."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    cache = tmp_path_factory.getbasetemp() / "wheel-cache"
    environment = clean | {"LOCKSTEP_CACHE": str(cache), "COLUMNS": "200"}

    def ran(program, *arguments, status=0, cwd=project):
        done = subprocess.run(
            [installed / program, *map(str, arguments)],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    return ran


def test_the_wheel_holds_one_package_whole(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "lockstep",
        "lockstep_em-0.1.0.dist-info",
    }
    held = {name.removeprefix("lockstep/") for name in names if name.startswith("lockstep/")}
    listed = subprocess.run(
        ["git", "ls-files", "models", "comparisons", "reports", "docs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("no checkout to hold it against")
    tracked = {f for f in listed.stdout.splitlines() if not f.startswith("reports/published/")}
    assert tracked <= held
    untracked = held - tracked - {"__init__.py", "py.typed"}
    assert not [name for name in untracked if not name.endswith(".py")], "no cache, no report"
    sizes = {info.filename: info.file_size for info in zipfile.ZipFile(wheel).infolist()}
    for name in ("models/em.py", "comparisons/vectors/v1/schema.json", "docs/fisher.md"):
        assert sizes[f"lockstep/{name}"] == (ROOT / name).stat().st_size, "files, no links"


def test_it_is_the_installation_that_is_tested(run):
    code = "import lockstep.reports, sys; print(lockstep.reports.__file__); print(sys.path)"
    where, path = run("python", "-P", "-c", code).splitlines()
    assert "environment" in where
    assert str(ROOT) not in eval(path)


def test_version_and_list(run):
    assert run("lockstep", "--version") == "lockstep-em 0.1.0\n"
    listed = run("lockstep", "list")
    for name in ("gmm1d-notebook", "scikit-learn", "categorical-hmm"):
        assert name in listed


def test_report_writes_beside_what_is_there(run, project):
    names = ("gmm1d-notebook", "hmm-weather")
    chosen = ("--implementations", "em", "hmmlearn", "scikit-learn", "--quick")
    run("lockstep", "report", "--only", *names, *chosen)
    results = json.loads((project / "lockstep-report" / "results.json").read_text())
    assert [scenario["name"] for scenario in results["scenarios"]] == list(names)
    assert [o["status"] for s in results["scenarios"] for o in s["outcomes"]].count("failed") == 0
    assert (project / "reports/latest/theirs.txt").read_text() == "precious\n"
    assert len(list((project / "reports").iterdir())) <= 4, "nothing new beside their modules"
    page = (project / "lockstep-report" / "report.md").read_text()
    assert "benchmark.md" not in page, "a link that leads into this machine only"


def test_a_report_does_not_replace_a_package(run, project):
    run("lockstep", "report", "--out", "reports/latest", status=2)
    assert (project / "reports/latest/theirs.txt").read_text() == "precious\n"


def test_compare(run, project):
    model = ("--model", "gaussian-mixture-1d", "--columns", "x", "--components", 2)
    run("lockstep", "compare", "x.csv", *model, "--implementations", "em", "scikit-learn")
    assert (project / "lockstep-x" / "index.html").is_file()


@pytest.mark.parametrize("folder", [".", "package"])
def test_a_candidate_imports_a_models_of_its_own(run, project, folder):
    if folder == "package":  # em.py beside a package models/
        shutil.copytree(project / "reports", project / "package/reports", dirs_exist_ok=True)
    arguments = ("em.py:em", "--model", "gaussian-mixture-1d", "--format", "json")
    verdict = json.loads(run("lockstep", "validate", *arguments, status=1, cwd=project / folder))
    assert {o["name"]: o["status"] for o in verdict["checks"]}["first-step"] == "passed"
    assert verdict["causes"], "densities underflow far from the data"
    page, _, section = verdict["causes"][0]["read"].partition(", ")
    assert f"## {section}" in (project / folder / page).read_text()


def test_the_conformance_vectors(run, installed):
    said = run(
        *("python", "-m", "lockstep.comparisons.vectors"),
        *("--command", f"{installed}/python program.py", "--model", "gaussian_mixture_1d"),
        *("--only", "gmm1d-by-hand"),
        status=1,
    )
    assert "models.py" in said, "the program's own module answers"
    answers = f"{installed}/python -P -m lockstep.comparisons.vectors.answers --readable"
    said = run(
        *("python", "-m", "lockstep.comparisons.vectors", "--command", answers),
        *("--model", "gaussian_mixture_1d", "--only", "gmm1d-by-hand"),
    )
    assert "2 of 2 vectors pass" in said


def test_the_projects_own_pytest(run):
    assert "1 passed" in run("python", "-m", "pytest", "-q")
    options = ("--lockstep", "em.py:em", "--lockstep-model", "gaussian-mixture-1d")
    said = run("python", "-m", "pytest", "-q", *options, "-k", "names or first-step or e-step")
    assert "2 passed, 1 skipped" in said, "theirs, and the first step; no E-step is to be had"


def test_types_are_shipped(wheel):
    assert "lockstep/py.typed" in zipfile.ZipFile(wheel).namelist()
