"""The report's folder: replaced whole, left alone when nothing has changed."""

from __future__ import annotations

import contextlib
import ctypes
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lockstep import comparisons, models, reports
from lockstep.comparisons import results_file
from lockstep.comparisons.cache import hash_sources
from lockstep.comparisons.files import write_whole
from lockstep.comparisons.implementations import implementations
from lockstep.comparisons.legible import printable
from lockstep.comparisons.outcomes import Results
from lockstep.comparisons.scenarios import scenarios
from lockstep.models.fits import Status

if TYPE_CHECKING:
    from lockstep.comparisons.suite import Plan

MANIFEST = "manifest.json"
RENDERERS = ("matplotlib", "jinja2", "msgspec", "rich", "arviz")


class ForeignFolderError(Exception):
    """The folder holds something that is not a report, and must not be replaced."""


def refuse_foreign(folder: Path) -> None:
    """Raise ForeignFolderError unless the folder is absent, empty or a report of ours."""
    name = printable(str(folder))
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ForeignFolderError(f"{name} is a file; name a folder with --out")
    if os.path.ismount(folder):
        raise ForeignFolderError(f"{name} cannot be replaced; name a folder in it with --out")
    if (foreign := _foreign(folder)) is not None:
        raise ForeignFolderError(
            f"{name} has files that are not a report of lockstep, such as {printable(foreign)}, "
            "and a report replaces its folder; name another with --out"
        )


def _foreign(folder: Path) -> str | None:
    """Return what a folder holds that its manifest does not name; None if there is nothing."""
    listed = _manifest(folder)
    inside = {f for f in folder.rglob("*") if f.is_symlink() or not f.is_dir()}
    try:
        manifest = json.loads(listed)
        ours = {MANIFEST, *manifest["files"]} if "fingerprint" in manifest else set()
    except (ValueError, KeyError, TypeError):
        ours = set()
    foreign = {str(file.relative_to(folder)) for file in inside} - ours
    if not foreign:
        return None
    # Another run may have put its report there meanwhile.
    return min(foreign) if listed == _manifest(folder) else _foreign(folder)


def _manifest(folder: Path) -> bytes:
    with contextlib.suppress(OSError):
        return (folder / MANIFEST).read_bytes()
    return b""


def prepare(folder: Path) -> None:
    """Make the place for the folder, and clear away what a run that was killed left there.

    Raises
    ------
    OSError
        If no report can be written there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.partial-*"):
        with _locked(left) as ours:
            if ours:
                shutil.rmtree(left, ignore_errors=True)
    with _partial(folder):
        pass


@contextlib.contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    """Give a new folder beside the folder; no other run takes it for one that was left."""
    while True:
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.partial-"))
        with _locked(fresh) as ours:
            if ours is False or not fresh.exists():
                continue  # another run was quicker, and has cleared it away
            try:
                yield fresh
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
            return


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool | None]:
    """Lock a folder while the context lasts, and say whether no other process had done so.

    The lock goes with the process, however it ends. None where nothing can be locked.
    """
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield None
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours: bool | None = True
        except BlockingIOError:
            ours = False
        except OSError:
            ours = None
        yield ours
    finally:
        os.close(handle)


def fingerprint(plan: Plan) -> str:
    """Return a hash of all that a report depends on: fits, code, templates and packages."""
    from lockstep.comparisons.suite import fingerprint as fits

    digest = hashlib.sha256("\n".join(fits(plan)).encode())
    for scenario, prepared in plan.scenarios:
        named = (scenario.name, scenario.title, scenario.lesson, sorted(prepared.labels.items()))
        digest.update(repr(named).encode())
        held = prepared.heldout
        for array in held if isinstance(held, tuple) else (held,):
            digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    packages = [Path(package.__path__[0]) for package in (models, comparisons, reports)]
    digest.update(hash_sources(*packages).encode())
    digest.update(b"".join(f.read_bytes() for f in sorted(packages[1].glob("*.csv"))))
    for template in sorted((Path(reports.__path__[0]) / "templates").iterdir()):
        digest.update(template.read_bytes())
    digest.update(repr([metadata.version(name) for name in RENDERERS]).encode())
    return digest.hexdigest()


def more_than(folder: Path, plan: Plan) -> str:
    """Return in words what a report on the same data has beyond a plan; empty if nothing."""
    try:
        there = results_file.decode((folder / "results.json").read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    planned = {(own.name, own.model, *sorted(given.dims.items())) for own, given in plan.scenarios}
    found = {(own.name, own.model, *sorted(own.dims.items())): own for own in there.scenarios}
    if planned.isdisjoint(found):
        return ""
    known = scenarios() if found.keys() - planned else {}
    others = [key[0] for key in found if key not in planned and key[0] in known]
    rows = {o.implementation for own in found.values() for o in own.outcomes}
    rows = (rows & implementations().keys()) - set(plan.implementations)
    return " and ".join(", ".join(names) for names in (others, sorted(rows)) if names)


def complete(results: Results) -> bool:
    """Return whether nothing would be gained by running again: no fit failed or was missing."""
    return not any(
        outcome.status in (Status.FAILED, Status.NOT_INSTALLED)
        for scenario in results.scenarios
        for outcome in scenario.outcomes
    )


def _checksums(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    }


def unchanged(folder: Path, fingerprint: str) -> Results | None:
    """Return the results of the report in the folder, if it is whole and as it would be again."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        if manifest["fingerprint"] != fingerprint or manifest["files"] != _checksums(folder):
            return None
        return results_file.decode((folder / "results.json").read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def replaced(folder: Path, fingerprint: str | None) -> Iterator[Path]:
    """Give a new folder to fill; when it is full it takes the place of the old one at once.

    Parameters
    ----------
    folder : Path
    fingerprint : str or None
        Noted in the manifest; None if the report should be made anew next time.
    """
    with _partial(folder) as fresh:
        yield fresh
        manifest = {"fingerprint": fingerprint, "files": _checksums(fresh)}
        write_whole(fresh / MANIFEST, json.dumps(manifest, indent=1) + "\n")
        fresh.chmod(0o755)
        _exchange(fresh, folder)


def _exchange(fresh: Path, folder: Path) -> None:
    """Put `fresh` in the place of `folder`, in one step where the system has one."""
    with contextlib.suppress(OSError):
        os.rename(fresh, folder)  # where nothing is, or an empty folder
        return
    at_cwd, exchange = -100, 2  # Linux: AT_FDCWD, RENAME_EXCHANGE
    try:
        renameat2 = ctypes.CDLL(None).renameat2
        if renameat2(at_cwd, os.fsencode(fresh), at_cwd, os.fsencode(folder), exchange) == 0:
            return
    except (AttributeError, OSError):
        pass
    old = fresh.with_name(f"{fresh.name}-old")
    os.rename(folder, old)
    os.rename(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)
