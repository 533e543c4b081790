"""Finished fits, kept so that a report with nothing new to fit is only a matter of reading.

A fit is found again by the hash of everything it depends on: the problem, the source of the
engine, of its model and of the implementation, and the versions of what these depend on. An entry
is a NumPy archive behind the hash of its own bytes, and says the hash it is to be found by; one
that does not match is as good as none. Of more than `MOST_KEPT` bytes those go that were not asked
for longest.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from platform import machine, python_version
from typing import Any
from uuid import uuid4

import numpy as np

import lockstep.comparisons.implementations as rows
from lockstep import models
from lockstep.comparisons import problem as problem_module
from lockstep.comparisons.files import Notice, write_whole
from lockstep.comparisons.implementations import depends, guests, implementations
from lockstep.comparisons.legible import printable
from lockstep.comparisons.problem import Problem
from lockstep.models.fits import Fit, PointFit, PosteriorFit, Status
from lockstep.models.records import Floats, Parameters

MOST_KEPT = 2 * 2**30
"""Bytes of all fits that are kept."""

ABANDONED = 24 * 3600.0
"""Seconds after which a file that a killed run was writing is removed."""


@cache
def version(package: str) -> str:
    """Return the installed version of a distribution, or that there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the version of Python, and of all that the fits of some implementations depend on."""
    found = {"python": python_version()}
    for name in names:
        found |= {package: version(package) for package in depends(implementations()[name])}
    return found


def hash_sources(*paths: Path) -> str:
    """Return a hash of the Python files given, or in the folders given."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _source_hash(implementation: str, model: str) -> str:
    """Return a hash of all source that a fit depends on: of the models, the one fitted."""
    if implementation in guests():
        return uuid4().hex  # its source may lie anywhere: no other run's fit is known to be its own
    file = Path(str(implementations()[implementation].__file__))
    shared = sorted(Path(rows.__path__[0]).glob("_*.py"))
    engine = sorted(Path(models.__path__[0]).glob("*.py"))
    problem = Path(str(problem_module.__file__))
    this = Path(__file__)  # the format of an entry
    folders = [_folder(name) for name in _with_borrowed(model)]
    return hash_sources(*engine, *folders, file, problem, this, *shared)


def _folder(model: str) -> Path:
    return Path(str(models.load(model).__file__)).parent


def _with_borrowed(model: str) -> list[str]:
    """Return a model and those whose code its own imports."""
    found, todo = [], [model]
    while todo:
        name = todo.pop()
        found.append(name)
        text = "".join(file.read_text("utf-8") for file in sorted(_folder(name).rglob("*.py")))
        todo += [n for n in models.names() if n not in found + todo and f".{n}" in text]
    return found


def key(implementation: str, problem: Problem) -> str:
    """Return the hash of everything the fit depends on."""
    digest = hashlib.sha256()
    described = {
        "implementation": implementation,
        "source": _source_hash(implementation, problem.model),
        "versions": versions([implementation]),
        "machine": machine(),
        "model": problem.model,
        "dims": dict(problem.dims),
        "mode": problem.mode,
        "seed": problem.seed,
        "n_iter": problem.n_iter,
        "quick": problem.quick,
    }
    digest.update(json.dumps(described, sort_keys=True).encode())
    arrays = problem.data if isinstance(problem.data, tuple) else (problem.data,)
    start = () if problem.start is None else tuple(problem.start.arrays().values())
    for array in (*arrays, *start):
        digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Timed:
    """A finished fit and the seconds it took; a posterior's include its compilation."""

    fit: Fit
    seconds: float


class FitCache:
    """A folder of finished fits; one that cannot be used costs a warning, and their time.

    Parameters
    ----------
    folder : Path
    most_kept : int, optional
        Bytes.
    """

    def __init__(self, folder: Path, most_kept: int = MOST_KEPT) -> None:
        self.folder = folder
        self.most_kept = most_kept
        self._usable = True

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def load(self, key: str) -> Timed | None:
        """Return the fit under that key; None if there is none that is whole and says so."""
        path = self._path(key)
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        checksum, _, content = stored.partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != checksum:
            return None
        try:
            timed = _unpack(key, content)
        except Exception:  # noqa: BLE001 - whatever it is, it is no fit
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return timed

    def store(self, key: str, timed: Timed) -> None:
        """Keep a fit, unless an earlier one could not be kept."""
        if not self._usable:
            return
        content = _pack(key, timed)
        checksum = hashlib.sha256(content).hexdigest().encode()
        try:
            write_whole(self._path(key), checksum + b"\n" + content)
            self._prune()
        except OSError as error:
            self._usable = False
            warnings.warn(
                f"finished fits cannot be kept in {printable(str(self.folder))}: "
                f"{error.strerror or error}; they will be done again next time",
                Notice,
                stacklevel=2,
            )

    def _prune(self) -> None:
        """Remove the fits that were not asked for longest, and what killed runs left."""
        kept, now = [], time.time()
        for path in self.folder.glob("[0-9a-f][0-9a-f]/*"):
            with contextlib.suppress(FileNotFoundError):  # another run may prune too
                at = path.stat()
                if re.fullmatch("[0-9a-f]{64}", path.name):
                    kept.append((at.st_mtime, at.st_size, path))
                elif re.match(r"\.[0-9a-f]{64}\.", path.name) and now - at.st_mtime > ABANDONED:
                    path.unlink(missing_ok=True)
        excess = sum(size for _, size, _ in kept) - self.most_kept
        for _, size, path in sorted(kept):
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size


def _pack(key: str, timed: Timed) -> bytes:
    fit = timed.fit
    about: dict[str, Any] = {"key": key, "seconds": timed.seconds, "details": dict(fit.details)}
    arrays: dict[str, Floats] = {}

    def add(name: str, value: Parameters | Floats | None) -> None:
        if isinstance(value, Parameters):
            about["model"] = next(
                name for name in models.names() if models.load(name).Parameters is type(value)
            )
            arrays.update({f"{name}.{field}": a for field, a in value.arrays().items()})
        elif value is not None:
            arrays[name] = value

    if isinstance(fit, PointFit):
        about |= {"status": fit.status, "message": fit.message, "iterations": fit.iterations}
        add("parameters", fit.parameters)
        add("path", fit.path)
        add("trace", fit.trace)
    else:
        add("draws", fit.draws)
        add("elbo", fit.elbo)
        for name, array in fit.sample_stats.items():
            add(f"sample_stats.{name}", array)
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)
    return out.getvalue()


def _unpack(key: str, content: bytes) -> Timed:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        about = json.loads(str(archive["about"]))
        arrays: dict[str, Floats] = {name: archive[name] for name in archive if name != "about"}
    if about["key"] != key:
        raise ValueError(f"this is the fit of {about['key']}")

    def under(prefix: str) -> dict[str, Floats]:
        return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

    make = models.load(about["model"]).Parameters
    fit: Fit
    if "status" in about:
        path = under("path.")
        fit = PointFit(
            parameters=make(**under("parameters.")),
            status=Status(about["status"]),
            message=about["message"],
            iterations=about["iterations"],
            trace=arrays.get("trace"),
            path=make(**path) if path else None,
            details=about["details"],
        )
    else:
        fit = PosteriorFit(
            draws=make(**under("draws.")),
            sample_stats=under("sample_stats."),
            elbo=arrays.get("elbo"),
            details=about["details"],
        )
    return Timed(fit, about["seconds"])
