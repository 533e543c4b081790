"""Scripts and notebooks as they are: the loop of EM over module-level names, made callable.

The loop is found in the syntax tree, and lifted with what it needs: imports, definitions, and the
assignments that feed it. Nothing else of the file runs: no plots, no prints, no data. Whoever
calls it gives data and parameters in place of what the file would have made, and a number of
iterations in place of its own range or stopping rule.
"""

from __future__ import annotations

import ast
import json
import linecache
import re
import sys
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, override

import numpy as np

from lockstep.comparisons.legible import said
from lockstep.comparisons.validation.drivers import Driver, Slot, patience
from lockstep.comparisons.validation.reading import TargetError
from lockstep.comparisons.validation.vocabulary import meanings

NOISE = [
    "print",
    "plt",
    "sns",
    "ax",
    "axs",
    "axes",
    "fig",
    "display",
    "clear_output",
    "input",
    "pprint",
    "logging",
    "logger",
    "time",
    "pbar",
    "warnings",
    "writer",
    "log",
    "pylab",
    "pyplot",
]
"""Names whose calls only tell or show something."""

SHOWS = {"plt", "sns", "pylab", "pyplot"}
"""Modules that nothing else needs."""

COUNTED = ["range", "trange", "tqdm", "arange", "count", "xrange"]
"""What a loop of EM counts with."""

BLANK = re.compile(r"^\s*\S.*=\s*(#.*)$|_{3,}|<[\w ]+>|\?\?\?")
"""A line that is left for the reader to fill in."""


class StoppedError(TargetError):
    """A line of a file that its loop needs could not be carried out."""

    line = 0


@dataclass
class Source:
    """The code of a file, with where each line comes from.

    Attributes
    ----------
    path : Path
    text : str
    cells : list of int
        The first line of each cell; none for a script.
    blanks : list of str
        What is left to fill in, in words.
    statements : list of ast.stmt
        Of the module, those of its ``main`` among them.
    """

    path: Path
    text: str
    cells: list[int] = field(default_factory=list)
    blanks: list[str] = field(default_factory=list)
    statements: list[ast.stmt] = field(default_factory=list)

    def place(self, line: int) -> str:
        """Return where a line is, in words."""
        if not self.cells:
            return f"line {line}"
        cell = max(i for i, first in enumerate(self.cells) if first <= line)
        return f"line {line - self.cells[cell] + 1} of code cell {cell + 1}"

    def line(self, number: int) -> str:
        """Return a line."""
        return self.text.splitlines()[number - 1].strip()


def opened(path: Path) -> Source:
    """Return the code of a script or a notebook.

    Raises
    ------
    TargetError
        If it is neither.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(f"{path.name} cannot be read: {said(error)}") from None
    if path.suffix != ".ipynb":
        source = Source(path, text)
        _parsed(source, [text])
    else:
        try:
            cells = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
            codes = [_without_magic("".join(c["source"])) for c in cells]
        except (ValueError, KeyError, TypeError) as error:
            raise TargetError(f"{path.name} is no notebook: {said(error)}") from None
        source = Source(path, "")
        _parsed(source, codes)
    linecache.cache[str(path)] = (
        len(source.text), None, source.text.splitlines(keepends=True), str(path),
    )  # fmt: skip
    return source


def _without_magic(code: str) -> str:
    return "\n".join("" if re.match(r"\s*[%!?]", line) else line for line in code.splitlines())


def _parsed(source: Source, codes: Sequence[str]) -> None:
    lines: list[str] = []
    for code in codes:
        if source.path.suffix == ".ipynb":
            source.cells.append(len(lines) + 1)
        first = len(lines)
        lines += [*code.splitlines(), ""]
        source.text = "\n".join(lines)
        try:
            tree = ast.parse(code)
        except SyntaxError as error:
            _incomplete(source, code, first, error)
            continue
        ast.increment_lineno(tree, first)
        source.statements += list(_flat(tree.body))
    for statement in source.statements:
        _placeholders(source, statement)


def _incomplete(source: Source, code: str, first: int, error: SyntaxError) -> None:
    """Note the blanks that keep code from being parsed; another error is told as it is."""
    found = [
        f"{source.place(first + i)}: {line.strip()}"
        for i, line in enumerate(code.splitlines(), start=1)
        if BLANK.search(line) and not _parses(line)
    ]
    source.blanks += found
    if not found:
        where = source.place(first + (error.lineno or 1))
        if source.path.suffix == ".py":
            raise TargetError(f"{source.path.name} cannot be imported: {said(error)}, {where}")
        source.blanks.append(f"{where}: {error.msg}")


def _parses(line: str) -> bool:
    try:
        ast.parse(line.strip())
    except SyntaxError:
        return False
    return True


def _placeholders(source: Source, statement: ast.stmt) -> None:
    """Note what is assigned ``...``, or None where a comment asks for more."""
    for node in ast.walk(statement):
        match node:
            case ast.Assign(value=ast.Constant(value=value)) if value is ... or (
                value is None and _asks(source.line(node.lineno))
            ):
                source.blanks.append(f"{source.place(node.lineno)}: {source.line(node.lineno)}")
            case (
                ast.Raise(exc=ast.Name("NotImplementedError"))
                | ast.Raise(exc=ast.Call(func=ast.Name("NotImplementedError")))
            ):
                source.blanks.append(f"{source.place(node.lineno)}: {source.line(node.lineno)}")


def _asks(line: str) -> bool:
    return re.search(r"#.*(todo|your|fill|complete|here|replace|\?)", line, re.I) is not None


def _flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements, those of ``if __name__ == ...``, ``with`` and ``main`` in their place."""
    mains = {s.name: s for s in body if isinstance(s, ast.FunctionDef) and not s.args.args}
    for statement in body:
        match statement:
            case ast.If(test=ast.Compare(left=ast.Name("__name__"))) | ast.With():
                yield from _flat([*mains.values(), *statement.body] if mains else statement.body)
            case ast.Expr(value=ast.Call(func=ast.Name(name))) if name in mains:
                yield from _flat(mains[name].body)
            case ast.Return():
                continue
            case _:
                yield statement


# --- names ----------------------------------------------------------------------------------------


def stored(node: ast.AST) -> set[str]:
    """Return the names that code assigns or changes."""
    found: set[str] = set()
    for n in ast.walk(node):
        match n:
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case (
                ast.Subscript(value=inner, ctx=ast.Store())
                | ast.Attribute(value=inner, ctx=ast.Store())
            ):
                found |= _root(inner)
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=inner))):
                found |= _root(inner)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.alias(name=name, asname=other):
                found.add((other or name).split(".")[0])
    return found


def _root(node: ast.expr) -> set[str]:
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def loaded(node: ast.AST) -> set[str]:
    """Return the names that code reads, or changes in place."""
    found = {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    }
    for n in ast.walk(node):
        if isinstance(n, ast.AugAssign):
            found |= _root(n.target)
    for n in ast.walk(node):
        if isinstance(n, ast.comprehension) or (isinstance(n, ast.For) and n is not node):
            found -= stored(n.target)
    found -= SHOWS
    if isinstance(node, ast.FunctionDef):
        own = {a.arg for n in ast.walk(node) if isinstance(n, ast.arguments) for a in n.args}
        found -= own | {name for s in node.body for name in stored(s)}
    return found


def exposed(body: Sequence[ast.stmt]) -> set[str]:
    """Return the names that statements read before they assign them."""
    found: set[str] = set()
    made: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.For | ast.While | ast.If | ast.With):
            head = [v for n, v in ast.iter_fields(statement) if n in ("iter", "test", "items")]
            parts = [p for v in head for p in (v if isinstance(v, list) else [v])]
            inner = exposed([*statement.body, *getattr(statement, "orelse", [])])
            if isinstance(statement, ast.For):
                inner -= stored(statement.target)
            found |= set().union(inner, *(loaded(p) for p in parts)) - made
            continue
        found |= loaded(statement) - made
        made |= assigned(statement)
    return found


def assigned(statement: ast.stmt) -> set[str]:
    """Return the names that a statement assigns anew, whatever they were."""
    match statement:
        case ast.Assign(targets=targets):
            return {n.id for t in targets for n in _plain_names(t)}
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.FunctionDef(name=name):
            return {name}
    return set()


def _plain_names(target: ast.expr) -> list[ast.Name]:
    if isinstance(target, ast.Tuple | ast.List):
        return [n for item in target.elts for n in _plain_names(item)]
    return [target] if isinstance(target, ast.Name) else []


class Quiet(ast.NodeTransformer):
    """Leaves out what only shows or tells, and a loop's own stopping rule."""

    def __init__(self) -> None:
        self.depth, self.stops = 0, False

    def visit_Expr(self, node: ast.Expr) -> Any:
        """Leave out prints and plots."""
        if isinstance(node.value, ast.Call):
            root = _root(node.value.func)
            if root & set(NOISE):
                return None
        return None if isinstance(node.value, ast.Constant | ast.Name | ast.Tuple) else node

    def visit_Assign(self, node: ast.Assign) -> Any:
        """Leave out figures."""
        called = isinstance(node.value, ast.Call) and _root(node.value.func)
        return None if called and called & {"plt", "sns", "pylab", "input"} else node

    def visit_Break(self, node: ast.Break) -> Any:
        """Leave out the end of the loop, not those of loops inside."""
        if self.depth == 1:
            self.stops = True
            return ast.copy_location(ast.Pass(), node)
        return node

    def _nested(self, node: Any) -> Any:
        self.depth += 1
        self._filled(node)
        self.depth -= 1
        return node

    def _filled(self, node: Any) -> Any:
        self.generic_visit(node)
        if not node.body:
            node.body = [ast.copy_location(ast.Pass(), node)]
        return node

    visit_For = visit_While = _nested  # noqa: N815 - as `ast` calls them
    visit_If = visit_With = visit_FunctionDef = _filled  # noqa: N815


# --- the loop -------------------------------------------------------------------------------------


class Script(Driver):
    """A loop of EM with what it needs of its file.

    Parameters
    ----------
    source : Source
    place : int
        Of the loop among the statements.
    fields : sequence of str
        Of the model.
    """

    kind = "loop of a script"
    counts = True

    def __init__(self, source: Source, place: int, fields: Sequence[str]) -> None:
        self.source, self.before = source, source.statements[:place]
        loop = source.statements[place]
        assert isinstance(loop, ast.For | ast.While)
        self.line = loop.lineno
        quiet = Quiet()
        text = ast.unparse(loop).splitlines()[0]
        self.loop = _counted(quiet.visit(_copied(loop)))
        self.carried = stored(self.loop)
        self.read = exposed([self.loop])
        self._code: dict[frozenset[str], list[tuple[Any, ast.stmt]]] = {}
        own_stop = quiet.stops or isinstance(loop, ast.While)
        super().__init__(self._slots(fields))
        self.text = f"{source.path.name}, {source.place(self.line)}: {text}"
        if own_stop:
            self.text += " (its own stopping rule left out)"
        if source.cells:
            self.kind = "loop of a notebook"
        self.same_names = True
        self.hints = self._hints(fields)

    def _slots(self, fields: Sequence[str]) -> list[Slot]:
        """Return what may be given in place of the file's own."""
        names = self._wanted(frozenset())
        slots = []
        for name in names:
            known = dict(meanings(name, fields) or meanings(name[:-1].rstrip("_"), fields))
            own = {*fields, "sds"} & set(known)
            if name in self.carried:
                if own:
                    slots.append(Slot(name, required=min(known[r] for r in own) < 1))
                continue
            if known or name in self.read:
                slots.append(Slot(name, required=False))
        return slots

    def _own(self) -> dict[str, Any]:
        """Return what the file itself begins with; nothing if it cannot be had."""
        names: dict[str, Any] = {"__name__": "lifted", "__file__": str(self.source.path)}
        for code, statement in self._needed(frozenset()):
            imports = isinstance(statement, ast.Import | ast.ImportFrom)
            try:
                with patience(60 if imports else EVALUATION):
                    exec(code, names)
            except BaseException:  # noqa: BLE001 - a file that is not there, say
                continue
        return names

    def _hints(self, fields: Sequence[str]) -> dict[str, str | None]:
        """Return what values say of names: the data, and what counts components and points."""
        own = self._own()
        slots = [s.name for s in self.slots if s.name in own]
        starts = [np.shape(own[n]) for n in slots if n in self.carried and _is_field(n, fields)]
        sizes = [shape[0] for shape in starts if shape]
        if not sizes:
            return {}
        K = max(set(sizes), key=sizes.count)
        V = max((s[1] for s in starts if len(s) == 2), default=0)
        rows = {n: own[n] for n in slots if n not in self.carried and _many(own[n], K)}
        rows = {n: v for n, v in rows.items() if n in self.read} or rows
        given = {n for n in self.carried if _is_field(n, fields)} | set(rows)
        needed = set(self._wanted(frozenset(given)))
        self.slots = [s for s in self.slots if s.name in needed | given]
        hints: dict[str, str | None] = {}
        for name in slots:
            if name in self.carried:
                continue
            value = own[name]
            if name in rows:
                if len(rows) == 1:
                    hints[name] = "data"
            elif isinstance(value, int | np.integer) and not isinstance(value, bool):
                known = [role for role, _ in meanings(name, fields)]
                counted = {
                    "n_components": value == K,
                    "n_features": value == V and "emissionprob" in fields,
                    "size": any(value == len(r) for r in rows.values()),
                    "columns": any(value == (*np.shape(r), 1)[1] for r in rows.values()),
                    "iterations": dict(meanings(name, fields)).get("iterations", 9.0) < 1,
                }
                fits = [role for role, there in counted.items() if there]
                fits.sort(key=lambda r: known.index(r) if r in known else len(known))
                hints[name] = fits[0] if fits else None
        return hints

    def _wanted(self, given: frozenset[str]) -> list[str]:
        """Return the names, assigned before the loop, on which it depends."""
        wanted = self.read - given
        found: dict[str, None] = {}
        for statement in reversed(self.before):
            used = stored(statement) & wanted
            if not used:
                continue
            wanted = (wanted - assigned(statement)) | (loaded(statement) - given)
            if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.For):
                found |= dict.fromkeys(sorted(used))
        return list(found)

    def _needed(self, given: frozenset[str]) -> list[tuple[Any, ast.stmt]]:
        """Return the statements that a loop needs whose other names are given, compiled."""
        if given not in self._code:
            wanted, kept = self.read - given, []
            for statement in reversed(self.before):
                if stored(statement) & wanted:
                    kept.append(statement)
                    wanted = (wanted - assigned(statement)) | (loaded(statement) - given)
            self._code[given] = [(self._compiled(_copied(s)), s) for s in reversed(kept)]
        return self._code[given]

    def _compiled(self, statement: ast.stmt) -> Any:
        quiet = Quiet().visit(statement)
        module = ast.Module([quiet] if quiet is not None else [], [])
        return compile(ast.fix_missing_locations(module), str(self.source.path), "exec")

    @override
    def __call__(self, values: dict[str, Any], iterations: int) -> Any:
        names: dict[str, Any] = {"__name__": "lifted", "__file__": str(self.source.path), **values}
        for code, statement in self._needed(frozenset(values)):
            try:
                exec(code, names)
            except Exception as error:
                where = self.source.place(statement.lineno)
                line = self.source.line(statement.lineno)
                stopped = StoppedError(f"{where} stopped it: {line} ({said(error)})")
                stopped.line = statement.lineno
                raise stopped from error
            names |= values
        names["_iterations"] = iterations
        module = ast.fix_missing_locations(ast.Module([self.loop], []))
        exec(compile(module, str(self.source.path), "exec"), names)
        return {name: names[name] for name in sorted(self.carried | set(values)) if name in names}


EVALUATION = 1.0
"""Seconds that a statement may take that makes a file's own data."""


def _many(value: Any, K: int) -> bool:
    """Return whether a value may be data: more numbers or words than components."""
    if isinstance(value, str | dict) or callable(value):
        return False
    try:
        return len(value) > max(K, 3) and not isinstance(value, set)
    except TypeError:
        return False


def _copied(node: Any) -> Any:
    import copy

    return copy.deepcopy(node)


def _counted(loop: ast.For | ast.While) -> ast.For:
    """Return a loop with the number of iterations that is asked for."""
    number = ast.Name("_iterations", ast.Load())
    bounds: list[ast.expr] = [number]
    target: ast.expr = ast.Name("_", ast.Store())
    if isinstance(loop, ast.For):
        target = loop.target
        match loop.iter:
            case ast.Call(func=ast.Name("range"), args=[first, _, *_]):
                bounds = [first, ast.BinOp(first, ast.Add(), number)]
    made = ast.For(target, ast.Call(ast.Name("range", ast.Load()), bounds, []), loop.body, [])
    return ast.copy_location(made, loop)


def scripts(source: Source, fields: Sequence[str]) -> list[Script]:
    """Return the loops of a file that may be EM for a model with these fields."""
    found = []
    for place, statement in enumerate(source.statements):
        match statement:
            case ast.While() | ast.For(iter=ast.Call(func=ast.Name() | ast.Attribute())):
                if isinstance(statement, ast.For) and not _counts(statement.iter):
                    continue
            case _:
                continue
        before = set().union(*(stored(s) for s in source.statements[:place]))
        carried = stored(statement) & before & loaded(statement)
        likely = [n for n in carried if _is_field(n, fields)]
        if likely:
            found.append(Script(source, place, fields))
    return sorted(found, key=lambda s: -len([n for n in s.carried if _is_field(n, fields)]))


def _counts(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and (
        (isinstance(node.func, ast.Name) and node.func.id in COUNTED)
        or (isinstance(node.func, ast.Attribute) and node.func.attr in COUNTED)
    )


def _is_field(name: str, fields: Sequence[str]) -> bool:
    known = meanings(name, fields) or meanings(name[:-1].rstrip("_"), fields)
    return any(role in (*fields, "sds") for role, _ in known)


# --- definitions ----------------------------------------------------------------------------------


PLAIN = ["len", "range", "list", "tuple", "dict", "set", "array", "arange", "zeros", "ones"]
"""What may be called for a constant."""


def definitions(source: Source) -> types.ModuleType:
    """Return a module with a file's imports, functions, classes and constants, and nothing else."""
    module = types.ModuleType(source.path.stem)
    module.__file__ = str(source.path)
    sys.modules.setdefault(source.path.stem, module)
    sys.path.insert(0, str(source.path.parent))
    root = source.path.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    if root != source.path.parent:  # a part of a package
        sys.path.insert(0, str(root))
        module.__package__ = ".".join(source.path.parent.relative_to(root).parts)
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef
    for statement in source.statements:
        constant = isinstance(statement, ast.Assign) and all(
            not isinstance(n, ast.Call) or ast.unparse(n.func).split(".")[-1] in PLAIN
            for n in ast.walk(statement)
        )
        if not (isinstance(statement, kinds) or constant):
            continue
        code = compile(
            ast.fix_missing_locations(ast.Module([statement], [])), str(source.path), "exec"
        )
        try:
            exec(code, module.__dict__)
        except Exception:  # noqa: BLE001 - what needs it will say so
            continue
    return module


def defined(source: Source) -> tuple[list[str], list[str]]:
    """Return the names of the functions and of the classes that a file defines."""
    functions = [s.name for s in source.statements if isinstance(s, ast.FunctionDef)]
    classes = [s.name for s in source.statements if isinstance(s, ast.ClassDef)]
    return functions, classes
