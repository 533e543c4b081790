"""Candidates that do what they can to end without a verdict: a fuzz (``make fuzz-candidates``).

Each is a right step with a hostile line in one of the places where it can be. Asserted is that
`lockstep validate` ends with a verdict in time, leaves no process, stays small, and prints no
control character.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from lockstep.comparisons.validation import candidate, checks
from lockstep.reports import cli

PREAMBLE = """
import ctypes, os, signal, subprocess, sys, threading, time
import numpy as np

def orphan(depth=1):
    if os.fork():
        return
    os.setsid()
    for _ in range(depth - 1):
        if os.fork():
            os._exit(0)
        os.setsid()
    os.execvp("sleep", ["sleep", "600"])

def comet():
    if os.fork() == 0:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            os.setsid()
            if os.fork():
                os._exit(0)

def bush(depth):
    for _ in range(depth):
        os.fork()
    time.sleep(600)

def thread(function):
    threading.Thread(target=function).start()

class Mute(Exception):
    def __str__(self):
        raise ValueError("none")
    __repr__ = __str__

class Foreign(BaseException):
    pass

class Endless:
    def __len__(self): return 10**9
    def __getitem__(self, i): return 1.0

def right(weights, means, variances, x):
    logs = np.log(weights) - 0.5 * np.log(2 * np.pi * variances)
    logs = logs - 0.5 * (x[:, None] - means) ** 2 / variances
    r = np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))
    n = r.sum(axis=0)
    means = r.T @ x / n
    return n / len(x), means, (r * (x[:, None] - means) ** 2).sum(axis=0) / n
"""

ACTS = {
    "orphan": "orphan()",
    "daemon": "orphan(2)",
    "twin": "os.fork()",
    "shell": "subprocess.Popen('sleep 600 & sleep 600', shell=True, start_new_session=True)",
    "nameless": "subprocess.Popen(['sleep', '600'], env={}, start_new_session=True)",
    "comet": "comet()",
    "bush": "os.fork() or bush(5)",
    "forgets its children": "signal.signal(signal.SIGCHLD, signal.SIG_IGN); orphan()",
    "kills its parent": "os.kill(os.getppid(), signal.SIGKILL); orphan(2); time.sleep(600)",
    "kills its group": "os.killpg(0, signal.SIGKILL)",
    "stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "real-time signal": "os.kill(os.getpid(), 40)",
    "alarm": "signal.alarm(1)",
    "segfault": "ctypes.string_at(0)",
    "abort": "os.abort()",
    "os._exit": "os._exit(77)",
    "sys.exit": "sys.exit('\\x1b[2J\\ud83d')",
    "interrupt": "raise KeyboardInterrupt('\\x9b31m')",
    "generator exit": "raise GeneratorExit",
    "foreign": "raise Foreign('\\x00\\x07' * 10)",
    "mute": "raise Mute",
    "nameless exception": "raise type('\\x1b[5m' * 50, (Exception,), {})('x')",
    "endless words": "raise ValueError('\\x1b[31mx\\n' * 5_000_000)",
    "surrogates": "raise ValueError('\\ud800\\udfff \\u202e \\x85 \\r')",
    "large key": "raise KeyError('a' * 50_000_000)",
    "digits": "raise ValueError(10**4000)",
    "recursion": "(lambda f: f(f))(lambda f: f(f))",
    "deep stack": "sys.setrecursionlimit(10**9); (lambda f: f(f))(lambda f: [f(f)])",
    "loop": "\n    while True: pass",
    "sleep": "time.sleep(600)",
    "memory": "kept = [np.ones(2**27) for _ in range(99)]",
    "lazy memory": "kept = np.zeros(2**36)",
    "memory elsewhere": "\n    for _ in range(9):\n"
    "        if not os.fork(): a = bytearray(b'x') * 2**29; time.sleep(600)\n    time.sleep(600)",
    "bytes": "kept = bytearray(2**33)",
    "list": "kept = []\n    while True: kept.append('x' * 10**7)",
    "noise": "\n    for _ in range(200): print('\\x1b[31m' * 10**5)",
    "noise on stderr": "\n    for _ in range(200): os.write(2, b'\\xff\\x1b]0;x\\x07' * 10**5)",
    "no output": "os.close(1); os.close(2)",
    "all closed": "os.closerange(0, 100)",
    "garbage": "\n    for fd in range(3, 30):\n        try: os.write(fd, b'\\x1b[1m{}\\n\\xff')\n"
    "        except OSError: pass",
    "forged": '\n    for fd in range(3, 30):\n        try: os.write(fd, b\'{"id": "q1"}\\n\')\n'
    "        except OSError: pass",
    "much garbage": "\n    for fd in range(3, 30):\n        try: os.write(fd, b'[' * 10**8)\n"
    "        except OSError: pass",
    "threads": "[thread(lambda: time.sleep(600)) for _ in range(20)]",
    "busy thread": "thread(lambda: [None for _ in iter(int, 1)])",
    "printing thread": "thread(lambda: [print('\\x1b[7m' * 99) for _ in iter(int, 1)])",
    "no modules": "sys.modules.clear()",
    "no numpy": "sys.modules['numpy'] = None",
    "other numpy": "np.asarray = np.array = lambda *a, **k: 'abc'",
    "no time": "time.perf_counter = lambda: '\\x1b'",
    "odd time": "time.perf_counter = iter([1e300, -1e300] * 99).__next__",
    "other json": "import json; json.dumps = lambda *a, **k: '\\x1b[31m'",
    "other str": "import builtins; builtins.str = builtins.isinstance = None",
    "elsewhere": "os.chdir('/')",
    "nowhere": "import tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)",
    "no environment": "os.environ.clear()",
    "hooks": "sys.excepthook = sys.unraisablehook = lambda *a: os._exit(0)",
    "at exit": "import atexit; atexit.register(time.sleep, 600)",
    "deaf": "[signal.signal(s, signal.SIG_IGN) for s in (1, 2, 3, 13, 15)]",
    "no files": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))",
}

VALUES = {
    "complex": "tuple(a + 0j for a in answer)",
    "masked": "tuple(np.ma.masked_all(a.shape) for a in answer)",
    "one masked": "(np.ma.masked_array(answer[0], [1, 0, 0][: len(answer[0])]), *answer[1:])",
    "text": "tuple(a.astype(str) for a in answer)",
    "bytes": "tuple(a.astype('S25') for a in answer)",
    "objects": "tuple(a.astype(object) for a in answer)",
    "dates": "tuple(a.astype('M8[s]') for a in answer)",
    "durations": "tuple(a.astype('m8[s]') for a in answer)",
    "records": "tuple(a.view([('\\x1b', 'f8')]) for a in answer)",
    "truth": "tuple(a > 0 for a in answer)",
    "sparse": "tuple(__import__('scipy.sparse').sparse.csr_array(a[None]) for a in answer)",
    "scalars": "(1.0, 2.0, 3.0)",
    "nan": "tuple(a * np.nan for a in answer)",
    "infinite": "tuple(a / 0.0 for a in answer)",
    "huge": "(np.broadcast_to(1.0, 10**9), *answer[1:])",
    "huge and flat": "(np.broadcast_to(1.0, (10**9, 1, 10**9)), *answer[1:])",
    "endless": "(Endless(), *answer[1:])",
    "generator": "(x for x in iter(int, 1))",
    "generators": "tuple((x for x in iter(int, 1)) for _ in answer)",
    "long integers": "tuple([10**4000] * len(a) for a in answer)",
    "ragged": "([1.0, [2.0]], *answer[1:])",
    "none": "(None, None, None)",
    "dictionary": "{'\\x1b[31m\\ud800' * 1000: 1}",
    "complex score": "(*answer, -3.0 + 1j)",
    "text score": "(*answer, '\\x1b[31m')",
    "masked score": "(*answer, np.ma.masked)",
    "long score": "(*answer, 10**4000)",
    "itself": "step",
    "loop": "(l := [0], l.append(l), l)[2]",
}

PLACES = ("import", "step", "later", "exception")


def source(place: str, act: str) -> str:
    """Return a candidate that does something in a place."""
    step = "\ndef step(data, weights, means, variances):\n"
    answer = "    answer = right(weights, means, variances, data)\n"
    if place == "value":
        return f"{PREAMBLE}{step}{answer}    return {VALUES[act]}\n"
    line = ACTS[act]
    if place == "import":
        return f"{PREAMBLE}\nif True:\n    {line}\n{step}{answer}    return answer\n"
    if place == "step":
        return f"{PREAMBLE}{step}    {line}\n{answer}    return answer\n"
    if place == "later":  # when the checks are under way
        inner = line.replace("\n", "\n    ")
        return (
            f"{PREAMBLE}{step}{answer}    if len(data) == 12:\n        {inner}\n    return answer\n"
        )
    inner = line.replace("\n", "\n    ")
    raised = f"\nclass Hostile(Exception):\n    def __str__(self):\n        {inner}\n"
    return f"{PREAMBLE}{raised}        return 'said'\n{step}    raise Hostile\n"


def survivors(mark: str, seconds: str) -> list[str]:
    """Return the processes begun in an environment, or asleep for so long."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes()
                asleep = words == f"sleep\0{seconds}\0".encode()
                if asleep or mark.encode() in (entry / "environ").read_bytes():
                    found.append(words.decode("utf-8", "replace"))
            except OSError:
                continue
    return found


def run(place: str, act: str, folder: Path, form: str = "text") -> tuple[list[str], int, str]:
    """Validate a candidate; return what is wrong with that, the status, and what was printed."""
    path, asleep = folder / "candidate.py", str(next(NAPS))
    path.write_text(source(place, act).replace("600", asleep))
    mark = f"{os.getpid()}_{asleep}"
    target = ["validate", f"{path}:step", "--model", "gaussian-mixture-1d"]
    out, began = io.StringIO(), time.perf_counter()
    os.environ["HOSTILE"] = mark
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = cli.main([*target, "--limit", "2", "--format", form])
    seconds, text = time.perf_counter() - began, out.getvalue()
    del os.environ["HOSTILE"]
    wrong = []
    if code not in (0, 1, 2):
        wrong.append(f"status {code}: {text[-300:]!r}")
    if seconds > LONGEST:
        wrong.append(f"{seconds:.0f} s")
    if place == "value" and code == 0 and act != "text score":
        wrong.append(f"status {code} for an answer that is none")
    if left := survivors(mark, asleep):
        wrong.append(f"{len(left)} processes left: {left[0]!r}")
    text.encode()  # whatever is printed can be written to a file
    if bad := {c for c in text if not (c.isprintable() or c == "\n")}:
        wrong.append(f"control characters {bad!r}")
    if len(text) > 100_000:
        wrong.append(f"{len(text)} characters of output")
    return wrong, code, text


LONGEST = 120.0
"""Seconds until a verdict; most take two, on a machine that has nothing else to do."""

NAPS = itertools.count(7_000)
"""Seconds of sleep, by which the processes of a candidate are known again."""


def cases(number: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return so many hostile candidates, of all kinds."""
    acts = list(itertools.product(PLACES, ACTS))
    random.Random(seed).shuffle(acts)
    values = [("value", name) for name in VALUES]
    return [*values, *acts][:number]


def peak() -> int:
    """Return the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def quick() -> None:
    """Leave out most of the deep checks, and wait less for what hangs when it is imported."""
    few = ("shifted", "far-away")
    checks.CHECKS = tuple(c for c in checks.CHECKS if c.stage != "deep" or c.name in few)
    candidate.LOADING = 6.0


def main(number: int) -> None:
    """Try so many candidates, and say what went wrong."""
    quick()
    all_wrong, codes, longest = [], [], 0.0
    forms = itertools.cycle(("text", "json", "junit", "markdown"))
    for (place, act), form in zip(cases(number), forms):
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            wrong, code, _ = run(place, act, Path(folder), form)
        seconds = time.perf_counter() - began
        longest = max(longest, seconds)
        codes.append(code)
        all_wrong += [f"{place}, {act}: {what}" for what in wrong]
        print(f"{place}, {act}: {code}, {seconds:.1f} s, {peak()} MB {wrong or ''}", flush=True)
    print(
        f"{len(codes)} candidates: {codes.count(0)} valid, {codes.count(1)} not, {codes.count(2)} "
        f"cannot be loaded; at most {longest:.0f} s, and {peak()} MB in all"
    )
    if all_wrong or peak() > 1000:
        raise SystemExit("\n".join(all_wrong))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
