"""What a benchmark measured, for a terminal, as Markdown and as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockstep.comparisons.files import write_whole
from lockstep.comparisons.implementations import reference
from lockstep.reports import numbers
from lockstep.reports.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

type Entry = Mapping[str, Any]
"""A row of the benchmark."""

COLUMNS = ("size", "beside", "ours", "theirs", "ratio", "range", "aim", "fits", "E-steps")

METHOD = (
    "Both sides get the same data, the same start and the same number of iterations (20, or 2 "
    "above a million), as estimators that a user calls, with all their checks; they take turns "
    "in one process, and the peer has the thread setting it is quickest with. A ratio is the "
    "peer's time over ours: the median over the rounds; the range is from the lowest to the "
    "highest. *Fits* says how far the fitted parameters are apart, and *E-steps* how far the "
    "compiled E-step is from the readable one, relative to the largest of their kind. dynamax "
    "compiles at every call of its fit, and pomegranate keeps its sums in single precision."
)

FRESH = (
    "From the start of Python to the end of the fit, imports included. Small data are fitted by "
    "the readable E-step until a process has spent half a second on it; only then are the compiled "
    "functions loaded."
)

ALT = (
    "For each kind of work, seconds of an iteration against the size of the data, a line for each "
    "library, on logarithmic scales"
)

FIRST = ("work", "size", "beside", "ours", "theirs")
PEAK = ("work", "library", "size", "peak", "limit")
POSTERIOR = ("what", "ours", "stock", "ratio", "aim")

STOCK = (
    "The E-step as the gradient ([Fisher's identity](fisher.md)), beside stock PyMC with the same "
    "priors: `pm.NormalMixture`, `pm.Mixture` of `pm.MvNormal`, and a forward algorithm by `scan`. "
    "Draws are nutpie's on both sides: ours as `pymc-nuts` takes them, its log-density called "
    "through Python and 500 draws to adapt; stock's as `pm.sample` takes them, compiled by nutpie "
    "and 1,000 to adapt. As many are kept, four times 2,000."
)


def sections(content: Entry) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Yield each piece of work with the rows of its table, as text."""
    for work, cells in groupby(content["cells"], key=itemgetter("work")):
        yield work, [_row(cell) for cell in cells if cell["ratio"] is not None]


def absent(content: Entry) -> str:
    """Return what was not measured, and why."""
    notes = dict.fromkeys(c["note"] for c in content["cells"] if c["ratio"] is None)
    return "; ".join(notes) and f"Not measured: {'; '.join(notes)}."


def _row(cell: Entry) -> tuple[str, ...]:
    return (
        f"{cell['size']:,}",
        cell["peer"],
        _duration(cell["ours"]),
        _duration(cell["theirs"]),
        f"{cell['ratio']:.1f}",
        f"{cell['lowest']:.1f}-{cell['highest']:.1f}",
        numbers.DASH if cell["target"] is None else _aim(cell["ratio"], cell["target"]),
        f"{cell['apart']:.0e}",
        f"{cell['kernel']:.0e}",
    )


def _aim(ratio: float, target: float) -> str:
    return f"{target:g} {'✓' if ratio >= target else '✗'}"


def _duration(seconds: float) -> str:
    unit, factor = ("s", 1.0) if seconds >= 1 else ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)
    return f"{seconds * factor:.3g} {unit}"


def print_table(content: Entry, console: Console) -> None:
    """Print the ratios, the first fits and the peaks of memory."""
    from rich import box
    from rich.table import Table

    def table(heads: Sequence[str], left: int) -> Table:
        made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
        for n, head in enumerate(heads):
            words = n in (0, left)
            made.add_column(head, justify="left" if words else "right", no_wrap=not words)
        return made

    def show(title: str, heads: Sequence[str], left: int, body: Iterable[Sequence[str]]) -> None:
        made = table(heads, left)
        for row in body:
            made.add_row(*row)
        if made.rows:
            console.print(title, style="bold", highlight=False)
            console.print(made, "", highlight=False)

    for work, rows in sections(content):
        heads, *body = (row[:3] + row[4:] for row in (COLUMNS, *rows))  # the ratio tells theirs
        show(work, heads, 1, body)
    show("First fit in a fresh process", FIRST, 2, map(_first, content["first_fits"]))
    show("Posteriors, beside stock PyMC", POSTERIOR, 0, map(_posterior, content["posteriors"]))
    show("Memory at the peak, beyond data and imports", PEAK, 1, map(_peak, content["memory"]))
    if absent(content):
        console.print(absent(content), style="dim", highlight=False)


def _first(fit: Entry) -> tuple[str, ...]:
    times = (_duration(fit["ours"]), _duration(fit["theirs"]))
    return (fit["work"], f"{fit['size']:,}", fit["peer"], *times)


def _peak(peak: Entry) -> tuple[str, ...]:
    limit = numbers.DASH
    if peak["limit"] is not None:
        kept = peak["megabytes"] < peak["limit"]
        limit = f"{peak['limit']:g} MB {'✓' if kept else '✗'}"
    size = f"{peak['size']:,}"
    return (peak["work"], peak["library"], size, f"{peak['megabytes']:.0f} MB", limit)


def _posterior(row: Entry) -> tuple[str, ...]:
    figures = (f"{row[side]:.3g} {row['unit']}" for side in ("ours", "stock"))
    return (row["name"], *figures, f"{row['ratio']:.1f}", _aim(row["ratio"], row["target"]))


def markdown(content: Entry) -> str:
    """Return the page, with the picture `benchmark.png` beside it."""
    machine = ", ".join(f"{name} {value}" for name, value in content["machine"].items() if value)
    aims = [c for c in content["cells"] if c["target"] is not None and c["ratio"] is not None]
    aims += content["posteriors"]
    met = sum(c["ratio"] >= c["target"] for c in aims)
    kernel = max(c["kernel"] for c in content["cells"])
    parts = [
        "# How fast",
        f"{met} of {len(aims)} aims are met. {METHOD} The compiled E-step is nowhere further than "
        f"{kernel:.0e} from the readable one. `make bench` measures it all again and writes this "
        "page.",
        f"Measured on: {machine}. {absent(content)}",
        f"![{ALT}](benchmark.png)",
    ]
    for work, rows in sections(content):
        parts += [f"## {work}", _table(COLUMNS, rows)]
    parts += [
        "## The first fit in a fresh process",
        FRESH,
        _table(FIRST, map(_first, content["first_fits"])),
        "## Posteriors",
        STOCK,
        _table(POSTERIOR, map(_posterior, content["posteriors"])),
        *dict.fromkeys(f"{r['name']}: {r['note']}." for r in content["posteriors"] if r["note"]),
        "## Memory",
        "What a fit takes at its peak beyond its data, the interpreter and its imports, in a "
        "process of its own.",
        _table(PEAK, map(_peak, content["memory"])),
        "The figures are in [benchmark.json](benchmark.json).",
    ]
    return "\n\n".join(parts) + "\n"


def _table(heads: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figure(content: Entry) -> Figure:
    """Draw the time of a fit against the size of the data, for each piece of work."""
    shown: dict[str, list[Entry]] = {}
    for cell in content["cells"]:
        shown.setdefault(cell["work"], []).append(cell)
    columns = 3
    drawn = style.new_figure(2.8 * -(-len(shown) // columns))
    axes = drawn.subplots(-(-len(shown) // columns), columns, squeeze=False)
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    for ax, (work, cells) in zip(axes.flat, shown.items()):
        lines = {"lockstep": {c["size"]: _each(c, "ours") for c in cells if c["ours"]}}
        for cell in cells:
            if cell["theirs"]:
                lines.setdefault(cell["peer"], {})[cell["size"]] = _each(cell, "theirs")
        for library, times in lines.items():
            who = reference("point") if library == "lockstep" else library
            ax.plot(
                list(times), list(times.values()), marker=style.mark(who), ms=4, lw=1.4,
                color=style.colour(who), label=library,
            )  # fmt: skip
        ax.set(xscale="log", yscale="log", title=work)
        ax.grid(visible=True)
        ax.margins(y=0.3)
        ax.legend(loc="upper left")
    for row in axes:
        row[0].set_ylabel("seconds an iteration")
    for ax in axes.flat[max(0, len(shown) - columns) : len(shown)]:
        ax.set_xlabel("rows, or steps")
    drawn.tight_layout()
    return drawn


def _each(cell: Entry, side: str) -> float:
    return float(cell[side] / cell["iterations"])


def write(content: Entry, folder: Path, text: str) -> None:
    """Write the page, its picture and the figures.

    Parameters
    ----------
    content : mapping
        As `lockstep.comparisons.benchmark.as_json` returns it.
    folder : Path
    text : str
        The same as JSON.
    """
    with style.house_style():
        _, png = style.render(figure(content))
    write_whole(folder / "benchmark.json", text)
    write_whole(folder / "benchmark.png", png)
    write_whole(folder / "benchmark.md", markdown(content))
