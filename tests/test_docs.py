"""README, CONTRIBUTING and the pages under docs: their Python runs, their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(str(p.relative_to(ROOT)) for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.filterwarnings("ignore:Setting the shape on a NumPy array")  # hmmlearn's own
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_python_of_a_page_runs(page):
    text = (ROOT / page).read_text("utf-8")
    namespace: dict[str, object] = {}
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        line = text[: block.start(1)].count("\n")
        code = compile("\n" * line + block[1], str(ROOT / page), "exec")
        exec(code, namespace)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_points_at_is_there(page):
    text = (ROOT / page).read_text("utf-8")
    for name, target in re.findall(r"\[`?([^]`]+)`?\]\(([^)#:]+)\)", text):
        path = (ROOT / page).parent / target
        assert path.exists(), f"{page} points at {target}"
        defined = name.rpartition(".")[2]
        if path.suffix == ".py" and "/" not in name:
            assert re.search(rf"(def|class) {defined}\b", path.read_text("utf-8")), name
