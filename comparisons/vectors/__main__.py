"""Run the conformance vectors on a program in any language.

``python -m lockstep.comparisons.vectors --command "./em"`` starts the program once, writes one JSON
request a line to it and reads one JSON answer a line. It ends with status 0 if every answer passes,
1 if one does not, 2 if the command cannot be run or asked as given.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from lockstep.comparisons.vectors import MODELS, Finding, Vector, check, line, load, requests

PASSED, FAILED = 0, 1  # and 2, which argparse ends with, for bad usage


def ask(command: Sequence[str], lines: Iterable[str], timeout: float) -> tuple[list[str], str]:
    """Run a program on lines of input.

    Parameters
    ----------
    command : sequence of str
    lines : iterable of str
    timeout : float
        In seconds; the program and what it started are stopped then.

    Returns
    -------
    output : list of str
        The lines that came, of a program that did not end well too.
    ending : str
        Empty if it ended by itself with status 0, else how it ended.

    Raises
    ------
    OSError
        If it cannot be started.
    """
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        text, ending = "".join(f"{each}\n" for each in lines).encode(), ""
        try:
            output = process.communicate(text, timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            output = process.communicate()[0]
            ending = f"stopped after {timeout:g} seconds"
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if not ending and process.returncode:
        ending = f"ended with status {process.returncode}"
        if process.returncode < 0:
            ending = f"ended by signal {signal.Signals(-process.returncode).name}"
    return output.decode("utf-8", "replace").splitlines(), ending


def judge(vectors: Sequence[Vector], output: Sequence[str], ending: str) -> list[list[Finding]]:
    """Return for each vector what became of each of its requests."""
    asked = [request["id"] for vector in vectors for request in requests(vector)]
    answers: dict[str, object] = {}
    rubbish: list[str] = []
    for text in output:
        try:
            answer = json.loads(text)
            answers[answer["id"]] = answer
        except (ValueError, TypeError, KeyError):
            rubbish.append(text)
    # Answers come in order: if there are as many as requests, rubbish is in the place of one.
    places = dict(zip(asked, output)) if len(output) == len(asked) else {}

    def found(id_: str, vector: Vector) -> Finding:
        if id_ in answers:
            return check(answers[id_], vector)
        if (text := places.get(id_)) in rubbish:
            number = re.search(r"(?<![\w\"])-?(nan|inf)", text or "", re.IGNORECASE)
            what = f"it has the number {number[0]}" if number else f"{(text or '')[:60]!r}"
            return Finding(False, f"the answer is not a JSON object with an id: {what}")
        reason = f"no answer: the program {ending}" if ending else "no answer"
        if rubbish:
            reason += f"; {len(rubbish)} lines of its output are no JSON objects with an id"
        return Finding(False, reason)

    return [[found(request["id"], vector) for request in requests(vector)] for vector in vectors]


def report(
    vectors: Sequence[Vector],
    findings: Sequence[Sequence[Finding]],
    say: Callable[[str], None],
    *,
    verbose: bool = False,
) -> int:
    """Say what passed and what failed, and return how many vectors failed."""
    failed = 0
    for vector, each in zip(vectors, findings):
        wrong = [(n, f) for n, f in zip(vector.iterations, each) if not f.passed]
        failed += bool(wrong)
        if wrong:
            n, first = wrong[0]
            say(f"FAIL {vector.id} ({', '.join(vector.flags)}): {vector.comment}")
            say(f"     after {n} iteration{'s' * (n != 1)}: {first.message}")
        elif verbose:
            errors = [f.error for f in each if f.error is not None]
            how = f"at most {max(errors):.2g} of the tolerance" if errors else each[0].message
            say(f"pass {vector.id}: {how}")
    return failed


def by_flag(vectors: Sequence[Vector], findings: Sequence[Sequence[Finding]]) -> str:
    """Return how many vectors of each flag failed, those flags first of which most did."""
    everything, wrong = Counter[str](), Counter[str]()
    for vector, each in zip(vectors, findings):
        everything.update(vector.flags)
        if not all(f.passed for f in each):
            wrong.update(vector.flags)
    order = sorted(wrong, key=lambda flag: (-wrong[flag] / everything[flag], flag))
    return ", ".join(f"{flag} {wrong[flag]} of {everything[flag]}" for flag in order)


def _seconds(text: str) -> float:
    if not float(text) > 0:
        raise ValueError
    return float(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its status."""
    flags = sorted({flag for vector in load() for flag in vector.flags})
    parser = argparse.ArgumentParser(
        prog="python -m lockstep.comparisons.vectors",
        description="Run the conformance vectors on a program in any language. It reads one JSON "
        "request a line from its standard input and writes one JSON answer a line to its standard "
        "output, as docs/conformance.md describes.",
        epilog="Status: 0 if every answer passes, 1 if one does not, 2 for bad usage.",
    )
    parser.add_argument("--command", required=True, help='the program, such as "./em --fast"')
    parser.add_argument(
        "--model", action="append", choices=MODELS, help="only this model (may be repeated)"
    )
    parser.add_argument(
        "--skip",
        action="append",
        choices=flags,
        default=[],
        metavar="FLAG",
        help="leave out vectors with this flag, such as missing (may be repeated)",
    )
    parser.add_argument(
        "--only", default="", metavar="ID", help="only vectors whose id begins like this"
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="S", help="seconds in all (default: 60)"
    )
    parser.add_argument("--verbose", action="store_true", help="say what passed, and how well")
    options = parser.parse_args(arguments)
    chosen = [
        vector
        for model in options.model or MODELS
        for vector in load(model)
        if vector.id.startswith(options.only)
    ]
    vectors = [vector for vector in chosen if not set(options.skip) & set(vector.flags)]
    if not vectors:
        parser.error(f"no vector is left: none has an id that begins with {options.only!r}")
    try:
        command = shlex.split(options.command)
        if not command:
            raise ValueError("it is empty")
        lines = [line(request) for vector in vectors for request in requests(vector)]
        output, ending = ask(command, lines, options.timeout)
    except (OSError, ValueError) as error:
        parser.error(f"cannot run {options.command!r}: {error}")
    findings = judge(vectors, output, ending)
    failed = report(vectors, findings, print, verbose=options.verbose)
    if failed:
        print(f"failed, by flag: {by_flag(vectors, findings)}")
    passed = f"{len(vectors) - failed} of {len(vectors)} vectors pass"
    left_out = len(chosen) - len(vectors)
    also = f"; {left_out} not checked ({', '.join(options.skip)})" if left_out else ""
    print(f"{passed}{also}{f'; the program {ending}' if ending else ''}")
    return FAILED if failed or ending else PASSED


if __name__ == "__main__":
    sys.exit(main())
