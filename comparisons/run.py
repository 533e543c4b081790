"""Running the fits: each implementation in a process of its own, each failure a row."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from lockstep.comparisons.cache import FitCache, Timed, key
from lockstep.comparisons.implementations import Implementation, guests, implementations, invite
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
    """A fit that there is not, and why."""

    status: Status
    message: str
    traceback: str = ""
    seconds: float = 0.0


type Result = Timed | Failure


def _begin(invited: Collection[Implementation]) -> None:
    """Invite the main process's guests, and leave no orphan when it is killed."""
    for guest in invited:
        invite(guest)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


_warm: set[tuple[str, str]] = set()


def attempt(implementation: str, problem: Problem) -> Result:
    """Fit one problem; whatever goes wrong is returned, not raised.

    The first matched fit of a model is done twice and the second timed: it is quick, and the
    seconds of point fits should not be those of imports and compilation.
    """
    fit_one = implementations()[implementation].fit
    began = time.perf_counter()
    try:
        if problem.mode is Mode.MATCHED and (implementation, problem.model) not in _warm:
            fit_one(problem)
            _warm.add((implementation, problem.model))
            began = time.perf_counter()
        fit = fit_one(problem)
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
    context = multiprocessing.get_context("spawn")

    def lane() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1, mp_context=context, initializer=_begin, initargs=(list(guests().values()),)
        )

    lanes = {name: lane() for name in {task.implementation for task in tasks}}
    try:
        futures = {
            lanes[task.implementation].submit(attempt, task.implementation, task.problem): task
            for task in tasks
        }
        lost = []
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                lost.append(futures[future])
        # A dead process takes all its waiting tasks along; only one of them is to blame.
        for task in lost:
            lanes["again"] = lane()
            try:
                yield (
                    task,
                    lanes["again"].submit(attempt, task.implementation, task.problem).result(),
                )
            except BrokenProcessPool:
                message = "its process died: out of memory, or a crash in compiled code"
                yield task, Failure(Status.FAILED, message)
            lanes["again"].shutdown()
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        for pool in lanes.values():
            pool.shutdown(wait=False, cancel_futures=True)
