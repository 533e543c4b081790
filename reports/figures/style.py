"""How figures look: one colour and one mark for each implementation, everywhere."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from lockstep.comparisons.implementations import implementations

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, RULE, PAPER = "#24292f", "#d8dee4", "#ffffff"
"""Text, grid and ground; a page with a dark ground exchanges them."""

COLOURS = (
    *("#0072b2", "#e69f00", "#009e73", "#4aa8dc", "#7a6bd1", "#b5367a"),
    *("#d55e00", "#8a7d00", "#a0522d", "#7f7f7f", "#0f8f9c"),
)
"""Of implementations in their order, after Okabe and Ito: apart for every kind of colour vision, on
light and dark ground."""

MARKS = ("o", "s", "^", "D", "P", "v", "X", "<", ">", "p", "*", "h")
"""One more than there are colours: the two together come back only after the product of both."""

WIDTHS = (4.6, 2.8, 2.8, 1.8, 1.4, 0.9)
"""Of lines that may lie on top of each other, the later the thinner: all can be seen."""

COMPONENTS = ("#c8323c", "#2b5fd0", "#2f9e44", "#b8860b", "#8250df", "#0f8f9c", "#6e7781")
"""Of components: red and blue first, as in the notebook's picture."""

WIDTH = 8.6
"""Of a figure, in inches."""

PNG_DPI = 110


@dataclass(frozen=True)
class Drawn:
    """A figure, rendered.

    Attributes
    ----------
    scenario, what : str
        Together its name.
    alt : str
        What it shows, for whoever cannot see it.
    caption : str
    svg : str
    png : bytes
    """

    scenario: str
    what: str
    alt: str
    caption: str
    svg: str
    png: bytes

    @property
    def stem(self) -> str:
        """The name of its files, without the ending."""
        return f"{slug(self.scenario)}-{self.what}"


def slug(name: str) -> str:
    """Return a name that is safe as a file's and as an anchor."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:100].strip("-.") or "unnamed"


@cache
def _strangers() -> dict[str, int]:
    """Return the places given to names that are no implementation's here, such as old results'."""
    return {}


def place(implementation: str) -> int:
    """Return an implementation's place among all, which gives it its colour and its mark."""
    known = list(implementations())
    if implementation in known:
        return known.index(implementation)
    return _strangers().setdefault(implementation, len(known) + len(_strangers()))


def colour(implementation: str) -> str:
    """Return the implementation's colour."""
    return COLOURS[place(implementation) % len(COLOURS)]


def on_dark(colour: str) -> str:
    """Return a colour as it is shown on a dark ground: a third of the way to white."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{p + (255 - p) * 3 // 10:02x}" for p in parts)


def mark(implementation: str) -> str:
    """Return the implementation's mark."""
    return MARKS[place(implementation) % len(MARKS)]


def line(implementation: str, share: float = 1.0) -> dict[str, Any]:
    """Return how the implementation's line looks where others may lie upon it."""
    width = WIDTHS[min(place(implementation), len(WIDTHS) - 1)]
    return {"color": colour(implementation), "lw": share * width}


def component(k: int) -> str:
    """Return a component's colour."""
    return COMPONENTS[k % len(COMPONENTS)]


def owned(artist: Any, implementation: str) -> Any:
    """Mark an artist as an implementation's, so that a page can switch it off."""
    artist.set_gid(f"m-{slug(implementation)}")
    return artist


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style."""
    import matplotlib

    settings: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "lockstep",
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.7,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "axes.grid": False,
        "grid.color": RULE,
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "axes.facecolor": "none",
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        "lines.solid_capstyle": "round",
        "axes.unicode_minus": True,
        "axes.formatter.useoffset": False,
        "path.simplify": True,
    }
    with matplotlib.rc_context(settings):
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure; no state is shared with any other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def render(figure: Figure) -> tuple[str, bytes]:
    """Return a figure as SVG and as PNG; the same figure gives the same bytes."""
    svg, png = io.StringIO(), io.BytesIO()
    _take_literally(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in another script
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.savefig(png, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return slim(svg.getvalue()), png.getvalue()


def _take_literally(figure: Figure) -> None:
    """Let no dollar in a name begin a formula; tick labels are matplotlib's own."""
    legends = [*figure.legends]
    texts = [*figure.texts]
    for axes in figure.axes:
        texts += [axes.xaxis.label, axes.yaxis.label, *axes.texts]
        legends += [found for found in [axes.get_legend()] if found is not None]
    for text in [*texts, *(text for legend in legends for text in legend.get_texts())]:
        text.set_parse_math(False)


def legend(axes: Axes, handles: Sequence[Any], labels: Sequence[str], **where: Any) -> None:
    """Draw a legend whose entries can be switched off with what they stand for."""
    drawn = axes.legend(list(handles), list(labels), **where)
    own_entries(drawn, handles)


def own_entries(legend: Any, handles: Sequence[Any]) -> None:
    """Make a legend's entries belong to whom their handles do."""
    for handle, entry, text in zip(handles, legend.legend_handles, legend.get_texts()):
        gid = handle.get_gid()
        if not gid or entry is None:
            continue
        entry.set_gid(gid)
        text.set_gid(gid)


def slim(svg: str) -> str:
    """Return the SVG without what no reader sees, a third of its size."""
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", _shorter_numbers, svg)  # inside tags only: texts are for reading
    svg = re.sub(r"font-family: [^;\"]*(; )?", "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r'id="m-([^"]*)"', r'class="m m-\1"', svg)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = _styles_once(_without_bare_groups(svg))
    svg = re.sub(r"\n\s*", "\n", svg)
    svg = re.sub(r"\n([LMCQz])", r"\1", svg)
    svg = re.sub(r' \n?"', '"', svg)
    return svg.replace(
        '<style type="text/css">*{',
        "<style>text{font-family:'DejaVu Sans',Verdana,sans-serif}*{",
    )


def _shorter_numbers(tag: re.Match[str]) -> str:
    return re.sub(r"-?\d+\.\d{3,}(?!\d)(?:e-?\d+)?", _shorter, tag[0])


def _shorter(found: re.Match[str]) -> str:
    text = f"{float(found[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _without_bare_groups(svg: str) -> str:
    """Return the SVG without groups that have no attribute."""
    bare: list[bool] = []

    def keep(tag: re.Match[str]) -> str:
        if tag[0] == "</g>":
            return "" if bare.pop() else tag[0]
        bare.append(tag[0] == "<g>")
        return "" if bare[-1] else tag[0]

    return re.sub(r"<g>|<g [^>]*[^/>]>|</g>", keep, svg)


def _styles_once(svg: str) -> str:
    """Move the style that all marks of a group share to the group."""

    def share(found: re.Match[str]) -> str:
        styles = set(re.findall(r'style="([^"]*)"', found[2]))
        if len(styles) != 1 or len(re.findall("<use ", found[2])) < 2:
            return found[0]
        uses = re.sub(r' style="[^"]*"', "", found[2])
        return f'<g{found[1]} style="{styles.pop()}">{uses}</g>'

    return re.sub(r"<g((?: clip-path=\"[^\"]*\")?)>((?:\s*<use [^>]*/>)+\s*)</g>", share, svg)
