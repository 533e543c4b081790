"""Imports run one way, and start-up loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from lockstep import models
from lockstep.comparisons.implementations import implementations

ROOT = Path(__file__).parents[1]
LAYERS = ["models", "comparisons", "reports"]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module)


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_run_one_way(layer):
    above = {f"lockstep.{name}" for name in LAYERS[LAYERS.index(layer) + 1 :]} | {"tests"}
    above |= set(LAYERS)  # by their folders' own names nothing is imported
    files = sorted((ROOT / layer).rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            first, second, *_ = [*name.split("."), ""]
            top = f"{first}.{second}" if first == "lockstep" else first
            assert top not in above, f"{path.relative_to(ROOT)} imports {name}"


FOLDERS = [ROOT / "models" / name for name in models.names()]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_readable_models_do_not_know_their_compiled_twins(folder):
    for used in imported(folder / "equations.py"):
        assert "kernels" not in used
        assert "compiled" not in used
        assert "numba" not in used


# --- no name is known outside its own place -----------------------------------------------------

MODELS = {form for name in models.names() for form in (name, name.replace("_", "-"))}
LIBRARIES = {word for i in implementations().values() for word in (i.NAME, i.PACKAGE)}

KNOWN_BY_NAME = {
    "models/estimators.py": "drop-ins for one estimator each of scikit-learn and hmmlearn",
    "models/hmm_kernels.py": "arithmetic that the compiled twin of one model is made of",
    "models/gaussian_mixture_2d/compiled.py": "in one column it is the other mixture",
    "comparisons/benchmark.py": "times the estimators beside the libraries that they stand for",
    "comparisons/benchmark_posteriors.py": "times three posteriors beside stock PyMC's",
}
"""Files that know a model or a library by name, and why."""


def named(path):
    """Yield names of models, and literal names of libraries, that a file has, with their lines."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Constant(value=str(word)) if word in MODELS | LIBRARIES:
                yield word, line
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.arg(arg=word):
                yield from ((word, line) for _ in [0] if word in MODELS)
            case ast.FunctionDef(name=word) | ast.ClassDef(name=word) | ast.keyword(arg=word):
                yield from ((word, line) for _ in [0] if word in MODELS)
            case ast.ImportFrom(module=module, names=aliases):
                words = {*str(module).split("."), *(alias.name for alias in aliases)}
                yield from ((word, line) for word in words & MODELS)
            case ast.Import(names=aliases):
                words = {part for alias in aliases for part in alias.name.split(".")}
                yield from ((word, line) for word in words & MODELS)


def strangers(path):
    """Yield the names that a file should not know."""
    parts = path.relative_to(ROOT).parts
    for word, line in named(path):
        own = word.replace("-", "_") in parts[:-1]
        library = word in LIBRARIES and parts[:2] == ("comparisons", "implementations")
        if not (own or library):
            yield f"{path.relative_to(ROOT)}:{line} knows {word!r}"


def test_no_model_or_library_is_known_by_name():
    found, excused = [], set()
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            here = list(strangers(path))
            if name.startswith("comparisons/scenarios/"):
                continue
            if name in KNOWN_BY_NAME:
                excused |= {name for _ in here}
            else:
                found += here
    assert not found, "\n".join(found)
    assert excused == set(KNOWN_BY_NAME), "an exception that none needs"


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ('if name == "gaussian_mixture_1d": pass', "gaussian_mixture_1d"),
        ("from lockstep.models.categorical_hmm import Parameters", "categorical_hmm"),
        ("from lockstep.models import gaussian_mixture_2d as model", "gaussian_mixture_2d"),
        ("found = fisher.categorical_hmm(x)", "categorical_hmm"),
        ("choices = ['em', 'mine']", "em"),
        ('version = installed("scikit-learn")', "scikit-learn"),
        ("def gaussian_mixture_1d(): pass", "gaussian_mixture_1d"),
    ],
)
def test_a_name_that_is_known_is_seen(tmp_path, source, word):
    path = tmp_path / "file.py"
    path.write_text(source)
    assert [found for found, _ in named(path)] == [word]


@pytest.mark.parametrize(
    "command",
    [["--help"], ["list"], *([name, "--help"] for name in ("report", "validate", "bench"))],
)
def test_start_up_loads_nothing_heavy(command):
    heavy = ["pymc", "arviz", "matplotlib", "sklearn", "scipy", "pandas", "numba", "rich"]
    code = f"""
import sys
from lockstep.reports.cli import main
try:
    main({command!r})
except SystemExit as stop:
    assert stop.code == 0
loaded = set({heavy!r}) & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
