"""Running the fits: each implementation in a process of its own, each failure a row."""

from __future__ import annotations

import multiprocessing
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

from lockstep.comparisons.cache import FitCache, Timed, key
from lockstep.comparisons.implementations import Implementation, guests, implementations, invite
from lockstep.comparisons.lanes import Lane, close
from lockstep.comparisons.legible import said
from lockstep.comparisons.problem import Mode, Problem
from lockstep.models.fits import Status


@dataclass(frozen=True, eq=False)
class Task:
    """One fit to do: which scenario it belongs to, who fits, and what."""

    scenario: str
    implementation: str
    problem: Problem


@dataclass(frozen=True)
class Failure:
    """A fit that there is not, and why; with what it printed."""

    status: Status
    message: str
    traceback: str = ""
    seconds: float = 0.0
    output: str = ""


type Result = Timed | Failure


def _with_output(result: Result, output: str) -> Result:
    """Return a result that has with it what was printed, if anything was."""
    if not output:
        return result
    if isinstance(result, Failure):
        return replace(result, output=output)
    fit = replace(result.fit, details={**result.fit.details, "output": output})
    return replace(result, fit=fit)


def _invite(invited: Collection[Implementation]) -> None:
    """Invite the main process's guests."""
    for guest in invited:
        invite(guest)


MOST_REPEATED = 3
"""Times that a fit is repeated for its seconds, at the most."""

_warm: set[tuple[str, str]] = set()


def attempt(implementation: str, problem: Problem) -> Result:
    """Fit one problem; whatever goes wrong is returned, not raised.

    The seconds of point fits should not be those of imports and compilation: the first matched one
    of a model is done twice and the second timed, and one during which modules were loaded is
    repeated until none is. What is returned is the first of those.
    """
    row = implementations()[implementation]
    # A guest's seconds have its process in them, whatever was compiled before.
    point = row.KIND == "point" and implementation not in guests()
    began = time.perf_counter()
    try:
        if point and problem.mode is Mode.MATCHED and (implementation, problem.model) not in _warm:
            row.fit(problem)
            _warm.add((implementation, problem.model))
        loaded, began = len(sys.modules), time.perf_counter()
        fit = row.fit(problem)
        for _ in range(MOST_REPEATED):
            if not point or len(sys.modules) == loaded:
                break
            loaded, began = len(sys.modules), time.perf_counter()
            row.fit(problem)
    except ModuleNotFoundError as error:
        return Failure(
            Status.NOT_INSTALLED, f"{error}; install it to get this row", traceback.format_exc()
        )
    except Exception as error:  # noqa: BLE001 - one row must not take the others with it
        return Failure(
            Status.FAILED,
            said(error),
            traceback.format_exc(),
            time.perf_counter() - began,
        )
    return Timed(fit, time.perf_counter() - began)


def run(
    tasks: Iterable[Task],
    cache: FitCache,
    announce: Callable[[Task, Result, bool], None],
) -> dict[Task, Result]:
    """Do all tasks and return what became of each.

    Parameters
    ----------
    tasks : iterable of Task
    cache : FitCache
        Asked before, and given each new fit as soon as it is done: an interrupted run goes on
        where it was.
    announce : callable
        Called with the task, its result and whether it came from the cache.
    """
    results: dict[Task, Result] = {}
    todo: dict[Task, str] = {}
    for task in tasks:
        reason = implementations()[task.implementation].unsupported(task.problem)
        if reason is not None:
            results[task] = Failure(Status.UNSUPPORTED, reason)
            continue
        identity = key(task.implementation, task.problem)
        known = cache.load(identity)
        if known is None:
            todo[task] = identity
        else:
            results[task] = known
            announce(task, known, True)

    for task, result in _in_lanes(todo):
        if isinstance(result, Timed) and task.implementation not in guests():
            cache.store(todo[task], result)
        results[task] = result
        announce(task, result, False)
    return results


def _in_lanes(tasks: Collection[Task]) -> Iterator[tuple[Task, Result]]:
    """Do tasks, one process for each implementation: what it compiled serves its next fit."""
    others = set(multiprocessing.active_children())
    invited = list(guests().values())
    lanes = {name: Lane(_invite, invited) for name in {task.implementation for task in tasks}}
    try:
        futures = {
            lanes[task.implementation].submit(attempt, task.implementation, task.problem): task
            for task in tasks
        }
        lost = []
        for future in as_completed(futures):
            try:
                yield futures[future], _with_output(*future.result())
            except BrokenProcessPool:
                lost.append(futures[future])
        # A dead process takes all its waiting tasks along; only one of them is to blame.
        for number, task in enumerate(lost):
            lane = lanes[f"again {number}"] = Lane(_invite, invited)
            try:
                yield (
                    task,
                    _with_output(*lane.submit(attempt, task.implementation, task.problem).result()),
                )
            except BrokenProcessPool:
                message = "its process died: out of memory, or a crash in compiled code"
                yield task, Failure(Status.FAILED, message, output=lane.said())
            lane.pool.shutdown()
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        close(lanes.values(), set(multiprocessing.active_children()) - others)
