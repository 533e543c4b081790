"""The keeper of a candidate: starts it, watches what it takes, and leaves none of its processes.

A program of the standard library alone, since it starts with every candidate; `Channel` runs it
as ``python -I -S keeper.py LINE MEMORY PROGRAM ARGUMENTS...``. LINE is a socket on which it says in
a line how the candidate ended; when the other end is closed, it ends the candidate. Under Linux the
kernel gives it every orphan among the candidate's descendants, whatever session it made.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import time

MARK = "LOCKSTEP_CANDIDATE"
"""The environment variable that a candidate's processes inherit."""

PROCESSES = 2_000
"""That a candidate may have at the same time."""

POOLS = 2**30, 2**26
"""Bytes that a process may reserve beyond its memory: by itself, and for each core. Compilers and
the thread pools of linear algebra reserve what they never touch."""

PAUSE = 0.02
"""Seconds between two looks at whether it has ended."""

SHARE = 0.05
"""Of a core that watching may take."""

PATIENCE = 5.0
"""Seconds after which what cannot be killed is left."""

PR_SET_CHILD_SUBREAPER = 36


def family(root: int) -> list[int]:
    """Return the descendants of a process, the newest first; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for pid in _all():
        if told := _read(pid, "stat").rpartition(b")")[2].split():
            children.setdefault(int(told[1]), []).append(pid)
    found, new = [], [root]
    while new:
        new = [child for pid in new for child in children.get(pid, ())]
        found += new
    return sorted(found, reverse=True)


def marked(mark: str) -> list[int]:
    """Return the processes that inherited a mark; none where there is no /proc."""
    wanted = f"{MARK}={mark}".encode()
    return [pid for pid in _all() if wanted in _read(pid, "environ").split(b"\0")]


def _all() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _read(pid: int, name: str) -> bytes:
    """Return what /proc says of a process; nothing if it has ended, or is another's."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def resident(pids: list[int]) -> int:
    """Return the bytes of memory that processes hold; what they share counts for each."""
    pages = 0
    for pid in pids:
        told = _read(pid, "statm").split()
        pages += int(told[1]) if told else 0
    return pages * resource.getpagesize()


def proportional(pids: list[int]) -> int:
    """Return the same with shares divided among those that share, which takes longer."""
    kilobytes = 0
    for pid in pids:
        told = _read(pid, "smaps_rollup").split()
        kilobytes += int(told[told.index(b"Pss:") + 1]) if b"Pss:" in told else 0
    return 1024 * kilobytes


def kill(pids: list[int]) -> None:
    """Kill processes, and the groups that they are in."""
    for pid in pids:
        with contextlib.suppress(OSError):
            if (group := os.getpgid(pid)) != os.getpgrp():
                os.killpg(group, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def end_all(first: int) -> None:
    """Kill all descendants, and those that they make meanwhile, until there is none."""
    until = time.monotonic() + PATIENCE
    with contextlib.suppress(OSError):
        os.killpg(first, signal.SIGKILL)
    while time.monotonic() < until:
        kill(family(os.getpid()))
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:  # orphans come to us: without a child there is no descendant
            return
        time.sleep(0.002)


def limited(memory: int) -> None:
    """Limit this process, before it becomes the candidate."""
    most = memory + POOLS[0] + POOLS[1] * (os.cpu_count() or 1)
    for kind, number in ((resource.RLIMIT_DATA, most), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(OSError, ValueError):  # a lower one is there already
            resource.setrlimit(kind, (number, number))
    # Where memory runs out all the same, the candidate is what the system should end.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def watch(line: int, memory: int, candidate: subprocess.Popen[bytes]) -> str:
    """Return how a candidate ended, or what it took too much of; nothing if it is to end."""
    look = 0.0
    while not select.select([line], [], [], PAUSE)[0]:
        if (code := candidate.poll()) is not None:
            return f"ended {code}"
        began = time.monotonic()
        if began < look:
            continue
        there = family(os.getpid())
        if len(there) > PROCESSES:
            return f"processes {len(there)}"
        if resident(there) > memory and proportional(there) > memory:
            return "memory"
        for pid in there:  # orphans that have ended
            if pid != candidate.pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        look = time.monotonic() + max(0.1, (time.monotonic() - began) / SHARE)
    return ""


def main(line: int, memory: int, command: list[str]) -> None:
    """Keep a candidate until it ends, or is to end."""
    with contextlib.suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        candidate = subprocess.Popen(
            command, start_new_session=True, preexec_fn=lambda: limited(memory)
        )
    except (OSError, subprocess.SubprocessError) as error:
        os.write(line, f"unstarted {getattr(error, 'strerror', None) or error}".encode())
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # the candidate's alone
        os.dup2(nowhere, stream)
    fate = watch(line, memory, candidate)
    with contextlib.suppress(OSError):
        os.write(line, fate.encode())
    end_all(candidate.pid)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
