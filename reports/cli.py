"""The command line: ``lockstep report``, ``compare``, ``validate``, ``bench`` and ``list``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lockstep import models
from lockstep.comparisons.files import Notice, probe
from lockstep.comparisons.implementations import implementations, reference
from lockstep.comparisons.legible import printable
from lockstep.comparisons.scenarios import scenarios

if TYPE_CHECKING:
    from rich.console import Console

    from lockstep.comparisons.run import Result, Task
    from lockstep.comparisons.suite import Plan

DISTRIBUTION = implementations()[reference("point")].PACKAGE
"""Our own."""

AGREE, DISAGREE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class UsageError(Exception):
    """The command cannot be carried out as given; the message says what to change."""


def cache_folder() -> Path:
    """Return where finished fits are kept: ``$LOCKSTEP_CACHE``, or the user's cache folder."""
    if chosen := os.environ.get("LOCKSTEP_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lockstep"
    except RuntimeError:  # the user has no home
        return Path(tempfile.gettempdir()) / f"lockstep-{os.getuid()}"


def _version() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:  # a checkout on the path
        return "not installed"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


_positive.__name__ = "whole number from 1"
_natural.__name__ = "whole number from 0"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = _Parser(
        prog="lockstep",
        description="Hand-written EM side by side with scikit-learn, hmmlearn and PyMC.",
        epilog="Exit status: 0 all ran and agree; 1 an undeclared disagreement or failure; "
        "2 bad usage or input. Finished fits are kept in $LOCKSTEP_CACHE "
        "(default: lockstep in the user's cache folder) and used again. A report goes "
        "to lockstep-report or lockstep-DATA in the current folder, or where --out says, and "
        "replaces the one that is there; a folder with anything else in it is left alone.",
    )
    top.add_argument("--version", action="version", version=f"{DISTRIBUTION} {_version()}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _add_report(commands)
    _add_compare(commands)
    _add_bench(commands)
    _add_validate(commands)
    commands.add_parser(
        "list",
        help="list scenarios and implementations",
        description="List the built-in scenarios, the implementations and the models.",
    )
    return top


def _add_report(commands: Any) -> None:
    report = commands.add_parser(
        "report",
        help="compare all on the built-in scenarios and write a report",
        description="Fit every built-in scenario with every implementation, judge the fits and "
        "write a report: a page, Markdown, tables, figures and the posterior draws.",
    )
    report.add_argument(
        "--only",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="only these scenarios (see 'lockstep list')",
    )
    report.set_defaults(out=Path("lockstep-report"))
    _add_shared(report, "lockstep-report")
    report.add_argument(
        "--model",
        type=_hyphened,
        choices=[_hyphened(name) for name in models.names()],
        help="the model that --with fits",
    )


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="compare all on your own data",
        description="Run the same comparison on a table of yours: text with a header, Parquet, "
        "Arrow or Feather.",
        epilog="Example: lockstep compare waiting.csv --model gaussian-mixture-1d --components 2",
    )
    compare.add_argument(
        "data",
        type=Path,
        metavar="DATA.csv",
        help="a table with column names; '-' is standard input",
    )
    compare.add_argument(
        "--model",
        required=True,
        choices=[name.replace("_", "-") for name in models.names()],
        help="the model to fit",
    )
    compare.add_argument(
        "--components",
        required=True,
        type=_positive,
        metavar="K",
        help="number of components or hidden states",
    )
    compare.add_argument(
        "--columns",
        nargs="+",
        action="extend",
        metavar="COLUMN",
        help="the columns with the data (default: all)",
    )
    compare.add_argument(
        "--lengths-column",
        metavar="COLUMN",
        help="HMM only: its non-blank entries are the lengths of the sequences, in order "
        "(default: one sequence)",
    )
    _add_reading(compare)
    _add_shared(compare, "lockstep-DATA")


def _add_shared(command: argparse.ArgumentParser, default: str) -> None:
    """Add what `report` and `compare` have in common."""
    command.add_argument(
        "--implementations",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="only these implementations (see 'lockstep list')",
    )
    command.add_argument("--quick", action="store_true", help="fewer posterior draws, wider gates")
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="where the report goes " + (f"(default: {default})")
    )
    command.add_argument(
        "--seed",
        type=_natural,
        default=0,
        metavar="N",
        help="for whatever is random in the fits (default: %(default)s)",
    )
    command.add_argument(
        "--with",
        dest="guest",
        metavar="TARGET",
        help="also fit with this, as named for 'lockstep validate'",
    )
    command.add_argument(
        "--with-command",
        dest="guest_command",
        metavar="'PROGRAM ARGS'",
        help="also fit with this program",
    )
    command.add_argument(
        "--tables", action="store_true", help="print the tables though nothing has changed"
    )
    command.add_argument(
        "--json",
        metavar="FILE",
        help="also write the results as JSON there; '-' is standard output",
    )


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench",
        help="time the estimators beside the libraries",
        description="Fit the same data from the same start with ours and each library by turns, "
        "check that the results are equal, and print the ratios of the times. Leave the machine "
        "alone meanwhile; all of it takes about half an hour.",
        epilog="Exit status: 0 if all results are equal, however long they took; 1 if not.",
    )
    bench.add_argument(
        "--quick", action="store_true", help="only up to 10,000 rows or steps: some seconds"
    )
    bench.add_argument(
        "--only",
        nargs="+",
        action="extend",
        metavar="WORD",
        help="only what has one of these words in its title, such as 'HMM' or 'posterior'",
    )
    bench.add_argument(
        "--json", metavar="FILE", help="also write the results there; '-' is standard output"
    )
    bench.add_argument(
        "--out", type=Path, metavar="DIR", help="write a page there: Markdown, picture and JSON"
    )


def _add_reading(compare: argparse.ArgumentParser) -> None:
    """Add the options that say how a file is to be read."""
    reading = compare.add_argument_group("how the file is read; what is not given is found")
    reading.add_argument(
        "--sequence-column",
        metavar="COLUMN",
        help="HMM only: it says which sequence a row belongs to",
    )
    reading.add_argument(
        "--weights-column", metavar="COLUMN", help="how often a row, or a sequence, counts"
    )
    reading.add_argument(
        "--holdout",
        type=float,
        metavar="SHARE",
        help="of the rows or sequences (of few sequences, of the end of each) that is not fitted, "
        "but predicted, such as 0.2",
    )
    reading.add_argument(
        "--missing",
        nargs="+",
        action="extend",
        default=[],
        metavar="VALUE",
        help="what stands for a missing value, beside NA, NaN, null, '.', '?' and nothing",
    )
    reading.add_argument(
        "--delimiter", metavar="CHARACTER", help="between values; also tab, space, comma, ..."
    )
    reading.add_argument("--decimal", choices=(".", ","), help="the decimal mark")
    reading.add_argument("--encoding", metavar="NAME", help="such as utf-8, cp1252, utf-16")


def _hyphened(text: str) -> str:
    return text.replace("_", "-")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def _gibibytes(text: str) -> int:
    return int(2**30 * _seconds(text))


_gibibytes.__name__ = "number of GiB"
_seconds.__name__ = "number of seconds"


def _add_validate(commands: Any) -> None:
    validate = commands.add_parser(
        "validate",
        help="check anyone's EM, and say what is wrong with it",
        description="Check an implementation of EM, in Python or any other language, against "
        "enumeration, 50-digit arithmetic and the reference; name the likely mistake if its "
        "numbers are wrong. It runs in a process of its own, under a time limit.",
        epilog="Exit status: 0 valid, or right for what it does; 1 a check failed; 2 bad usage, a "
        "target that cannot be loaded or called, or too little seen to say. "
        "Example: lockstep validate my_em.py:em_step --model gaussian-mixture-1d",
    )
    validate.add_argument(
        "target",
        nargs="?",
        metavar="TARGET",
        help="package.module:object or path/to/file.py:object: a function of one iteration, an "
        "E-step and an M-step (file.py:e_step,m_step), a fit function, a class, or an estimator; "
        "or a whole script.py or notebook.ipynb",
    )
    validate.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=MEANING",
        help="what a name of the target stands for, where it is taken for something else: data, "
        "n_iter, n_components, or a parameter of the model, as in --map S=covariances; may be "
        "given several times",
    )
    validate.add_argument(
        "--command",
        dest="program",
        metavar="'PROGRAM ARGS'",
        help="a program in place of TARGET: one JSON problem a line on its standard input, one "
        "JSON answer a line on its standard output",
    )
    validate.add_argument(
        "--model",
        required=True,
        type=_hyphened,
        choices=[_hyphened(name) for name in models.names()],
        help="the model it is meant to fit",
    )
    validate.add_argument(
        "--format",
        default="text",
        choices=("text", "json", "junit", "markdown"),
        help="how the verdict is printed (default: %(default)s)",
    )
    validate.add_argument(
        "--limit",
        type=_seconds,
        default=10.0,
        metavar="S",
        help="seconds that an answer may take (default: %(default)g)",
    )
    validate.add_argument(
        "--strict",
        action="store_true",
        help="call it a failure if something is not estimated (a start distribution kept, equal "
        "weights, diagonal covariances), results are rounded, or it stops by a rule of its own",
    )
    validate.add_argument(
        "--memory",
        type=_gibibytes,
        default="4",
        metavar="GIB",
        help="memory that it may hold with all that it starts, in GiB (default: %(default)s)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("always", Notice)
        warnings.showwarning = _shown(warnings.showwarning)
        return _carried_out(arguments)


def _shown(otherwise: Callable[..., None]) -> Callable[..., None]:
    """Return how warnings are shown: a notice of ours in one line, the others as always."""

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, Notice):
            _complain(str(message))
        else:
            otherwise(message, category, *where, **more)

    return show


def _complain(message: str) -> None:
    """Print one line on standard error; of what others wrote, nothing reaches a terminal raw."""
    print(f"lockstep: {printable(message)}", file=sys.stderr)


def _carried_out(arguments: argparse.Namespace) -> int:
    """Carry out the command and return its exit status; complain in one line if it cannot be."""
    try:
        if arguments.command == "list":
            return _list()
        if arguments.command == "bench":
            return _bench(arguments)
        if arguments.command == "validate":
            return _validate(arguments)
        return _run(arguments)
    except UsageError as error:
        _complain(str(error))
        return BAD_INPUT
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DISAGREE
    except OSError as error:  # a folder or file that cannot be written
        _complain(str(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        kept = "; finished fits are kept, run the command again to go on"
        said = "" if arguments.command == "validate" else kept
        print(f"\nlockstep: interrupted{said}", file=sys.stderr)
        return INTERRUPTED


def _list() -> int:
    print("Scenarios")
    for scenario in scenarios().values():
        print(f"  {scenario.name:<18} {scenario.title} ({scenario.model.replace('_', '-')})")
    print("\nImplementations")
    for implementation in implementations().values():
        print(f"  {implementation.NAME:<18} {implementation.SUMMARY}")
    print("\nModels")
    for name in models.names():
        print(f"  {name.replace('_', '-')}")
    return AGREE


def _bench(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from lockstep.comparisons import benchmark
    from lockstep.comparisons.files import write_whole
    from lockstep.reports import speed

    notes = Console(stderr=True)
    plan = benchmark.plan(arguments.only or (), quick=arguments.quick)
    if not plan:
        titles = "; ".join(title for title, _ in benchmark.plan(quick=arguments.quick))
        raise UsageError(f"nothing to measure has such a word in its title; there are: {titles}")
    measured: list[Any] = []
    for number, (title, measure) in enumerate(plan, start=1):
        with notes.status(f"[{number}/{len(plan)}] {title} ..."):
            measured += measure()
        if not notes.is_terminal:
            print(f"[{number}/{len(plan)}] {title}", file=sys.stderr, flush=True)
    content = benchmark.as_json(measured)
    text = json.dumps(content, allow_nan=False, indent=1) + "\n"
    if arguments.json and arguments.json != "-":
        write_whole(Path(arguments.json), text)
    if arguments.out:
        speed.write(content, arguments.out, text)
    if arguments.json == "-":
        print(text, end="")
    speed.print_table(content, notes if arguments.json == "-" else Console())
    wrong = benchmark.failures(measured)
    for line in wrong:
        print(f"lockstep: {line}", file=sys.stderr)
    return DISAGREE if wrong else AGREE


def _chosen(names: Sequence[str] | None, there: Sequence[str], what: str) -> list[str]:
    """Return the names asked for in the usual order; all if none was."""
    for name in names or ():
        if name not in there:
            raise UsageError(f"there is no {what} {name!r}; there are {', '.join(there)}")
    return [name for name in there if not names or name in names]


def _invite(arguments: argparse.Namespace) -> list[str]:
    """Invite the candidate, if there is one, and return its name."""
    target = arguments.guest or arguments.guest_command
    if target is None:
        return []
    if arguments.guest and arguments.guest_command:
        raise UsageError("name either --with or --with-command")
    if arguments.model is None:
        raise UsageError(f"say with --model which model {target} fits")
    from lockstep.comparisons.implementations import invite
    from lockstep.comparisons.validation import LIMIT
    from lockstep.comparisons.validation.candidate import UnusableError
    from lockstep.comparisons.validation.channel import StartError
    from lockstep.comparisons.validation.guest import invited

    model, command = arguments.model.replace("-", "_"), arguments.guest is None
    try:
        guest = invited(target, model, command=command, limit=LIMIT)
    except (UnusableError, StartError) as error:
        raise UsageError(str(error)) from None
    invite(guest)
    return [guest.NAME]


def _plan(arguments: argparse.Namespace) -> Plan:
    from lockstep.comparisons import own_data
    from lockstep.comparisons.dialect import DataError, Dialect
    from lockstep.comparisons.suite import Plan

    chosen = _chosen(arguments.implementations, list(implementations()), "implementation")
    chosen += _invite(arguments)
    if arguments.command == "report":
        names = _chosen(arguments.only, list(scenarios()), "scenario")
        pairs = [(scenarios()[name], scenarios()[name].prepare()) for name in names]
    else:
        try:
            pairs = [
                own_data.scenario(
                    arguments.data,
                    arguments.model.replace("-", "_"),
                    arguments.components,
                    columns=arguments.columns,
                    lengths_column=arguments.lengths_column,
                    sequence_column=arguments.sequence_column,
                    weights_column=arguments.weights_column,
                    holdout=arguments.holdout,
                    missing=arguments.missing,
                    written=Dialect(arguments.delimiter, arguments.decimal, arguments.encoding),
                    seed=arguments.seed,
                )
            ]
        except DataError as error:
            raise UsageError(str(error)) from None
    return Plan(pairs, chosen, seed=arguments.seed, quick=arguments.quick)


def _refuse_foreign(place: Path) -> None:
    from lockstep.reports import folder

    try:
        folder.refuse_foreign(place)
    except folder.ForeignFolderError as error:
        raise UsageError(str(error)) from None


def _run(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from lockstep.comparisons import own_data, results_file
    from lockstep.comparisons.cache import FitCache
    from lockstep.comparisons.files import write_whole
    from lockstep.comparisons.implementations import guests
    from lockstep.comparisons.suite import compare
    from lockstep.comparisons.validation.cards import with_cards
    from lockstep.reports import folder, verdicts
    from lockstep.reports.build import build
    from lockstep.reports.terminal import print_verdicts

    out: Path = arguments.out or Path(f"lockstep-{own_data.name(arguments.data)}")
    place = Path(os.path.realpath(out))
    _refuse_foreign(place)
    if arguments.json and Path(arguments.json).is_dir():
        raise UsageError(f"{arguments.json} is a folder; name a file with --json")
    plan = _plan(arguments)
    if more := folder.more_than(place, plan):
        notice = f"{out} stays, which has {more} too; this report goes to {out}-part"
        out, place = (path.with_name(f"{path.name}-part") for path in (out, place))
        _refuse_foreign(place)
        _complain(notice)
    # A place that cannot be written is better refused now than after the fits.
    folder.prepare(place)
    if arguments.json and arguments.json != "-":
        probe(Path(arguments.json).parent)
    if arguments.command == "compare":
        own, _ = plan.scenarios[0]
        print(f"{own.title}: {own.lesson}", file=sys.stderr, flush=True)
    notes = Console(stderr=True)
    tables = notes if arguments.json == "-" else Console()

    fingerprint = folder.fingerprint(plan)
    content = folder.unchanged(place, fingerprint)
    brief = content is not None and not arguments.tables
    if content is not None:
        more = " Its tables: --tables." if brief else ""
        notes.print(f"Nothing has changed since this report was made.{more}", highlight=False)
    else:
        with _progress(plan, notes) as announce:
            comparison = compare(plan, FitCache(cache_folder()), announce)
        with notes.status("Looking for causes ..."):
            content = with_cards(comparison.content, guests().values())  # type: ignore[arg-type]
        comparison = replace(comparison, content=content)
        with (
            notes.status("Drawing and writing the report ..."),
            folder.replaced(place, fingerprint if folder.complete(content) else None) as fresh,
        ):
            build(comparison, fresh)

    text = results_file.text(content)
    if arguments.json == "-":
        print(text, end="")
    elif arguments.json:
        write_whole(Path(arguments.json), text)
    print_verdicts(content, out, tables, brief=brief)
    return DISAGREE if verdicts.against(content) else AGREE


def _meanings(given: Sequence[str], model: str) -> dict[str, str]:
    """Return what names stand for, by what was said of them."""
    from lockstep.comparisons.validation.vocabulary import roles

    known = roles(tuple(models.load(model).Parameters.SPACES))
    found = {}
    for text in given:
        name, equals, meaning = text.partition("=")
        meaning = {"n_iter": "iterations"}.get(meaning, meaning)
        if not (name and equals) or meaning not in known:
            raise UsageError(
                f"--map {text}: give NAME=MEANING, where MEANING is one of n_iter, "
                f"{', '.join(known)}"
            )
        found[name] = meaning
    return found


def _validate(arguments: argparse.Namespace) -> int:
    if (arguments.target is None) == (arguments.program is None):
        raise UsageError("name either a TARGET or a --command")
    from rich.console import Console

    from lockstep.comparisons.validation import validate
    from lockstep.comparisons.validation.candidate import UnusableError
    from lockstep.comparisons.validation.channel import StartError
    from lockstep.comparisons.validation.verdicts import Word
    from lockstep.reports import validation

    notes = Console(stderr=True)
    with contextlib.ExitStack() as stack:
        tell = (
            stack.enter_context(notes.status("Starting ...")).update if notes.is_terminal else None
        )
        try:
            verdict = validate(
                arguments.program or arguments.target,
                arguments.model.replace("-", "_"),
                command=arguments.program is not None,
                limit=arguments.limit,
                said=_meanings(arguments.map, arguments.model.replace("-", "_")),
                strict=arguments.strict,
                memory=arguments.memory,
                announce=lambda check: tell(f"{check.title} ...") if tell else None,
            )
        except (UnusableError, StartError) as error:
            raise UsageError(str(error)) from None
    if arguments.format == "text":
        validation.print_text(verdict, Console())
    else:
        print(validation.FORMATS[arguments.format](verdict))
    if verdict.word is Word.UNSEEN:
        return BAD_INPUT
    return AGREE if verdict.word in (Word.VALID, Word.PARTIAL) else DISAGREE


@contextlib.contextmanager
def _progress(plan: Plan, console: Console) -> Iterator[Any]:
    """Show each fit as it ends: a bar on a terminal, a line otherwise."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    total = sum(
        implementations()[task.implementation].unsupported(task.problem) is None
        for task in plan.tasks()
    )

    def told(task: Task, result: Result, cached: bool) -> str:
        what = f"{task.scenario}: {task.implementation} ({task.problem.mode.replace('_', ' ')})"
        if cached:
            return f"{what}, kept from before"
        failed = getattr(result, "message", None)
        return f"{what}, {f'failed: {printable(failed)}' if failed else f'{result.seconds:.1f} s'}"

    if console.is_terminal:
        columns = (
            TextColumn("Fitting"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            fits = bar.add_task("", total=total)

            def advance(task: Task, result: Result, cached: bool) -> None:
                bar.update(fits, advance=1, description=told(task, result, cached))

            yield advance
    else:
        done = 0

        def line(task: Task, result: Result, cached: bool) -> None:
            nonlocal done
            done += 1
            print(f"[{done}/{total}] {told(task, result, cached)}", file=sys.stderr, flush=True)

        yield line


if __name__ == "__main__":
    sys.exit(main())
