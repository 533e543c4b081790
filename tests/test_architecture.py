"""Imports run one way, and start-up loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_readable_models_do_not_know_their_compiled_twins():
    for name in ("gaussian_mixture_1d", "gaussian_mixture_2d", "categorical_hmm"):
        for used in imported(ROOT / "models" / name / "equations.py"):
            assert "kernels" not in used
            assert "numba" not in used


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
