"""Right implementations changed in one place: whatever still passes must compute the same.

``python tests/mutants.py`` tries every change and prints what passes, for a reader to look through;
`validated` writes the numbers to docs/validation.md.
"""

from __future__ import annotations

import ast
import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

from inprocess import judged
from lockstep.comparisons.validation.candidate import UnusableError
from lockstep.comparisons.validation.verdicts import Word

ROOT = Path(__file__).parents[1]
SOURCES = {
    "gaussian_mixture_1d": ("tests/candidates/plain_mixture_1d.py", "em"),
    "gaussian_mixture_2d": ("tests/candidates/plain_mixture_2d.py", "step"),
    "categorical_hmm": ("tests/candidates/plain_hmm.py", "em"),
}
OPPOSITE = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.Pow: ast.Mult,
}


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node may be replaced by."""
    if isinstance(node, ast.BinOp):
        yield ast.BinOp(node.left, OPPOSITE[type(node.op)](), node.right)
        yield node.left
        yield node.right
        if isinstance(node.op, ast.Div | ast.MatMult):
            yield ast.BinOp(node.right, node.op, node.left)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
        yield ast.Constant(node.value - 1)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("sqrt", "exp", "inv"):
        yield node.args[0]
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield node.value
    elif isinstance(node, ast.Assign):
        yield ast.Pass()


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def mutants(source: str) -> list[str]:
    """Return the source with each change, every text once."""
    tree = ast.parse(source)
    found: dict[str, None] = {}
    for place, node in enumerate(ast.walk(tree)):
        for number, _ in enumerate(changes(node)):
            fresh = copy.deepcopy(tree)
            old = list(ast.walk(fresh))[place]
            new = list(changes(old))[number]
            found[ast.unparse(ast.fix_missing_locations(_Replace(old, new).visit(fresh)))] = None
    found.pop(ast.unparse(tree), None)
    return list(found)


def tried(model: str) -> tuple[int, list[str]]:
    """Return how many mutants there are, and those that pass."""
    path, function = SOURCES[model]
    source = (ROOT / path).read_text("utf-8")
    texts, passed = mutants(source), []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mutant.py"
        for text in texts:
            file.write_text(text, "utf-8")
            try:
                verdict = judged(f"{file}:{function}", model, lambda c: c.stage != "deep")
            except UnusableError:
                continue
            if verdict.word is Word.VALID:
                passed.append(text)
    return len(texts), passed


def difference(model: str, text: str) -> str:
    """Return the line of a mutant that is not in its source, or the line that it lacks."""
    source = ast.unparse(ast.parse((ROOT / SOURCES[model][0]).read_text("utf-8"))).splitlines()
    pairs = zip(source, text.splitlines(), strict=True)
    was, now = next((a.strip(), b.strip()) for a, b in pairs if a != b)
    return f"{was}` left out" if now == "pass" else f"{now}`"


if __name__ == "__main__":
    for name in SOURCES:
        number, survivors = tried(name)
        print(f"{name}: {number - len(survivors)} of {number} are caught; these pass:")
        for survivor in survivors:
            print(f"    `{difference(name, survivor)}")
