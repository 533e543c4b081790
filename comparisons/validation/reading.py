"""Finding the object that a target names: in a module, or in a file."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

from lockstep.comparisons.legible import said


class TargetError(Exception):
    """The target is not there, or cannot be called; the message says what to change."""


def load(target: str, folder: Path) -> Any:
    """Return the object that ``package.module:object`` or ``path/to/file.py:object`` names.

    Parameters
    ----------
    target : str
        Two names with a comma between them give a tuple: ``em.py:e_step,m_step``.
    folder : Path
        Where paths and modules are looked for first.

    Raises
    ------
    TargetError
    """
    place, colon, names = target.rpartition(":")
    if not colon or not place or not names:
        raise TargetError(
            f"{target!r} does not name an object: give package.module:object or "
            "path/to/file.py:object"
        )
    module = _module(place, folder)
    found = tuple(_attribute(module, name.strip(), place) for name in names.split(","))
    return found[0] if len(found) == 1 else found


def file_of(target: str, folder: Path) -> Path | None:
    """Return the file that a target is, if it names no object in it.

    Raises
    ------
    TargetError
        If there is no such file.
    """
    if not target.endswith((".py", ".ipynb")):
        return None
    path = (folder / target).resolve()
    if not path.is_file():
        raise TargetError(f"there is no file {target}")
    return path


def _is_own(value: Any, module: Any) -> bool:
    """Return whether something was defined in a module, and can be called."""
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _module(place: str, folder: Path) -> types.ModuleType:
    sys.path.insert(0, str(folder))
    try:
        if not place.endswith((".py", ".ipynb")):
            return importlib.import_module(place)
        path = file_of(place, folder)
        assert path is not None
        if place.endswith(".ipynb"):
            return _defined(path) or types.ModuleType(path.stem)
        sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(path.stem, module)
        spec.loader.exec_module(module)
    except TargetError:
        raise
    except BaseException as error:
        defined = _defined(folder / place)
        if defined is not None:
            return defined
        raise TargetError(f"{place} cannot be imported: {said(error)}") from error
    return module


def _defined(path: Path) -> types.ModuleType | None:
    """Return what a file defines, without the rest that stopped its import; None if nothing."""
    from lockstep.comparisons.validation import lifting

    if not path.is_file():
        return None
    try:
        source = lifting.opened(path.resolve())
    except TargetError:
        return None
    return lifting.definitions(source) if any(lifting.defined(source)) else None


def _attribute(module: Any, name: str, place: str) -> Any:
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [n for n in vars(found) if not n.startswith("_")]
            near = difflib.get_close_matches(part, public, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            own = [n for n in public if _is_own(vars(found)[n], module)]
            there = f"; it has {', '.join(own[:20])}" if own else ""
            raise TargetError(f"{place} has no {name!r}{hint}{there}")
        found = getattr(found, part)
    return found
