"""A machine's chart as a picture: SVG or PNG, painted by matplotlib.

Answers for: how large texts are, shapes, colours, the file.
Leaves to others: what is in the chart (`machine_charts`), where it stands
(`picture_layout`).
Always holds: the same chart gives the same picture; a stored text is shown as it is,
and never read as a formula.
"""

import io
import math
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import msgspec
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path
from rich.cells import cell_len

from holdfast.cli.machine_charts import Arrow, Chart, Node
from holdfast.cli.output import one_line
from holdfast.cli.picture_layout import Layout, Line, Route, Size, laid_out

_TITLE, _SMALL, _LABEL = 11.0, 8.0, 9.0
_LEADING = 1.35
_MARGIN = 22.0
_START = 26.0
_PADDING = 11.0
_SLACK = 1.04
"""Room for the fonts of whoever looks at an SVG, which may be a little wider."""
_LOOP = 24.0
_BETWEEN_ENDS = 11.0
_HEAD = 7.0
_DOTS_PER_INCH, _POINTS_PER_INCH = 160, 72
_MOST_DOTS, _LONGEST_SIDE = 50_000_000, 24_000
"""So many a PNG has at most, in all and on a side: a large chart, fewer to the inch."""
_MEASURED = 4
"""Texts are measured so many times as large, since dots are whole."""
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "Hiragino Sans",
    "Yu Gothic",
    "Microsoft YaHei",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
)
"""matplotlib's own font, and those which, if they are there, have what it has not."""
_BLUE, _GREY, _INK, _PALE = "#1f6feb", "#8c959f", "#1f2328", "#57606a"


class _Colours(msgspec.Struct, frozen=True):
    fill: str
    edge: str
    text: str
    width: float = 1.0


_PLAIN = _Colours("#f6f8fa", _GREY, _INK)
_VISITED = _Colours("#dbeafe", _BLUE, "#0b1f44", 1.4)
_PRESENT = _Colours(_BLUE, "#0b3d91", "#ffffff", 2.2)


def picture(chart: Chart, caption: str, format: str) -> bytes:
    """The chart as a file of that format, `svg` or `png`."""
    fonts = [name for name in _FONTS if name in set(fontManager.get_font_names())]
    settings: Any = {
        "font.family": "sans-serif",
        "font.sans-serif": fonts,
        "svg.fonttype": "none",
        "svg.hashsalt": "holdfast",
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        return _Painter(chart, one_line(caption)).file(format)


class _Text(msgspec.Struct, frozen=True):
    """A line of text, and how large it is."""

    said: str
    size: float
    bold: bool
    width: float

    @property
    def height(self) -> float:
        return self.size * _LEADING


class _Painter:
    """A chart on its way to be a picture; lengths are points."""

    def __init__(self, chart: Chart, caption: str) -> None:
        self.chart = chart
        dots = _POINTS_PER_INCH * _MEASURED
        self._ruler: Any = RendererAgg(1, 1, dots)  # type: ignore[no-untyped-call]
        self.caption = self._text(caption, _SMALL)
        self.insides = [self._inside(node) for node in chart.nodes]
        numbers = {node.name: number for number, node in enumerate(chart.nodes)}
        self.loops = {
            numbers[arrow.source]: arrow
            for arrow in chart.arrows
            if arrow.source == arrow.target
        }
        self.arrows = [arrow for arrow in chart.arrows if arrow.source != arrow.target]
        self.labels = [self._label(arrow) for arrow in self.arrows]
        self.loop_labels = {
            number: self._label(arrow) for number, arrow in self.loops.items()
        }
        self.halves = [self._half(number) for number in range(len(chart.nodes))]
        self.layout: Layout = laid_out(
            [self._size(number) for number in range(len(chart.nodes))],
            [
                Line(numbers[arrow.source], numbers[arrow.target], _around(label))
                for arrow, label in zip(self.arrows, self.labels, strict=True)
            ],
            numbers[chart.initial],
        )
        self.first = numbers[chart.initial]

    def file(self, format: str) -> bytes:
        """Paint it all."""
        width = max(self.layout.width, self.caption.width) + 2 * _MARGIN
        top = _MARGIN + self.caption.height + _START
        height = self.layout.height + top + _MARGIN
        inches = width / _POINTS_PER_INCH, height / _POINTS_PER_INCH
        figure = Figure(figsize=inches, facecolor="white")
        self.axes = figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.axes.set_xlim(-_MARGIN, width - _MARGIN)
        self.axes.set_ylim(height - top, -top)
        self._write(self.caption, -_MARGIN / 2, _MARGIN - top, _PALE, "left")
        self._begin()
        for arrow, route in self._taken_last():
            self._line(arrow, route)
        for number, arrow in self.loops.items():
            self._loop(number, arrow)
        for arrow, label, route in zip(
            self.arrows, self.labels, self.layout.routes, strict=True
        ):
            self._say(arrow, label, *route.label)
        for number, node in enumerate(self.chart.nodes):
            self._box(number, node)
        fitting = math.sqrt(_MOST_DOTS / (inches[0] * inches[1]))
        dots = min(_DOTS_PER_INCH, fitting, _LONGEST_SIDE / max(inches))
        file = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None} if format == "svg" else {}
        figure.savefig(file, format=format, dpi=dots, metadata=metadata)
        return file.getvalue()

    def _taken_last(self) -> list[tuple[Arrow, Route]]:
        """The arrows and their ways; those that were gone are painted over others."""
        pairs = zip(self.arrows, self.layout.routes, strict=True)
        return sorted(pairs, key=lambda pair: pair[0].taken)

    def _text(self, said: str, size: float, *, bold: bool = False) -> _Text:
        properties = FontProperties(size=size, weight="bold" if bold else "normal")
        width, _, _ = self._ruler.get_text_width_height_descent(
            said, properties, ismath=False
        )
        by_cells = 0.55 * size * cell_len(said) if not said.isascii() else 0.0
        return _Text(said, size, bold, max(width / _MEASURED, by_cells) * _SLACK)

    def _inside(self, node: Node) -> list[_Text]:
        title = self._text(node.title, _TITLE, bold=True)
        return [title, *(self._text(does, _SMALL) for does in node.does)]

    def _label(self, arrow: Arrow) -> list[_Text]:
        return [
            self._text(way.told(), _LABEL, bold=bool(way.steps)) for way in arrow.ways
        ]

    def _half(self, number: int) -> float:
        """Half a state's width: its texts have room, and its arrows."""
        name = self.chart.nodes[number].name
        ends = sum(name in {arrow.source, arrow.target} for arrow in self.arrows)
        return max(
            _width(self.insides[number]) / 2 + _PADDING, ends * _BETWEEN_ENDS / 2
        )

    def _size(self, number: int) -> Size:
        """What a state takes up, with its loop and that one's label."""
        half, height = self.halves[number], self._height(number)
        loop = self.loop_labels.get(number)
        beside = 0.0 if loop is None else _LOOP + 6 + _width(loop)
        return Size(half, half + beside, height)

    def _height(self, number: int) -> float:
        loop = self.loop_labels.get(number)
        least = 20.0 if loop is None else max(34.0, _tall(loop))
        return max(_tall(self.insides[number]) + _PADDING, least)

    def _begin(self) -> None:
        """The dot from which it begins."""
        x, y = self.layout.boxes[self.first]
        top, at = y - self._height(self.first) / 2, -_START + 6
        self.axes.add_patch(Circle((x, at), 5, color=_INK))
        self._stroke([(x, at), (x, top)], _INK, 1.2, "-")
        self._head((x, top), down=True, colour=_INK)

    def _box(self, number: int, node: Node) -> None:
        x, y = self.layout.boxes[number]
        half, height = self.halves[number], self._height(number)
        look = _PRESENT if node.present else _VISITED if node.visited else _PLAIN
        self.axes.add_patch(
            FancyBboxPatch(
                (x - half, y - height / 2),
                2 * half,
                height,
                boxstyle="round,pad=0,rounding_size=7",
                facecolor="#ffffff" if node.gone else look.fill,
                edgecolor=look.edge,
                linewidth=look.width,
                linestyle="--" if node.gone else "-",
            )
        )
        top = y - _tall(self.insides[number]) / 2
        for text in self.insides[number]:
            self._write(text, x, top + text.height / 2, look.text, "center")
            top += text.height

    def _line(self, arrow: Arrow, route: Route) -> None:
        colour, width, style = _stroke_of(arrow)
        *points, before, end = route.points
        down = end[1] > points[0][1]
        neck = end[1] + (1 - _HEAD if down else _HEAD - 1)
        bent = min(before[1], neck) if down else max(before[1], neck)
        points += [(before[0], bent), (end[0], neck)]
        self._stroke(points, colour, width, style)
        self._head(end, down=down, colour=colour)

    def _loop(self, number: int, arrow: Arrow) -> None:
        """A way back to the same state, on its right."""
        x, y = self.layout.boxes[number]
        x += self.halves[number]
        rise = min(self._height(number) / 2 - 6, 11)
        colour, width, style = _stroke_of(arrow)
        corners = [
            (x, y - rise),
            (x + _LOOP * 1.25, y - rise * 1.7),
            (x + _LOOP * 1.25, y + rise * 1.7),
            (x + _HEAD - 1, y + rise),
        ]
        codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
        self._path(Path(corners, codes), colour, width, style)
        tip = x, y + rise
        wings = [(x + _HEAD, y + rise - 3.4), (x + _HEAD, y + rise + 3.6)]
        self.axes.add_patch(Polygon([tip, *wings], closed=True, color=colour, lw=0))
        label = self.loop_labels[number]
        top = y - _tall(label) / 2
        for way, text in zip(arrow.ways, label, strict=True):
            colour = _BLUE if way.steps else _PALE
            self._write(text, x + _LOOP + 4, top + text.height / 2, colour, "left")
            top += text.height

    def _say(self, arrow: Arrow, label: Sequence[_Text], x: float, y: float) -> None:
        """An arrow's label, on a ground that hides the arrow below it."""
        width, height = _width(label), _tall(label)
        self.axes.add_patch(
            FancyBboxPatch(
                (x - width / 2 - 2, y - height / 2),
                width + 4,
                height,
                boxstyle="square,pad=0",
                facecolor="white",
                edgecolor="none",
                zorder=2,
            )
        )
        top = y - height / 2
        for way, text in zip(arrow.ways, label, strict=True):
            colour = _BLUE if way.steps else _PALE
            self._write(text, x, top + text.height / 2, colour, "center")
            top += text.height

    def _write(self, text: _Text, x: float, y: float, colour: str, side: str) -> None:
        self.axes.text(
            x,
            y,
            text.said,
            fontsize=text.size,
            fontweight="bold" if text.bold else "normal",
            color=colour,
            horizontalalignment=side,
            verticalalignment="center_baseline",
            parse_math=False,
            zorder=3,
        )

    def _stroke(
        self,
        points: Sequence[tuple[float, float]],
        colour: str,
        width: float,
        style: str,
    ) -> None:
        """A line that is straight from each even point, and bends to the one after."""
        corners, codes = [points[0]], [Path.MOVETO]
        for number, (here, there) in enumerate(pairwise(points)):
            if number % 2 == 0:
                corners.append(there)
                codes.append(Path.LINETO)
            else:
                middle = (here[1] + there[1]) / 2
                corners += [(here[0], middle), (there[0], middle), there]
                codes += [Path.CURVE4] * 3
        self._path(Path(corners, codes), colour, width, style)

    def _path(self, path: Path, colour: str, width: float, style: str) -> None:
        self.axes.add_patch(
            PathPatch(
                path,
                fill=False,
                edgecolor=colour,
                linewidth=width,
                linestyle=style,
                capstyle="butt",
            )
        )

    def _head(self, tip: tuple[float, float], *, down: bool, colour: str) -> None:
        x, y = tip
        back = y - _HEAD if down else y + _HEAD
        wings = [(x - 3.6, back), (x + 3.6, back)]
        self.axes.add_patch(Polygon([tip, *wings], closed=True, color=colour, lw=0))


def _width(texts: Sequence[_Text]) -> float:
    return max(text.width for text in texts)


def _tall(texts: Sequence[_Text]) -> float:
    return sum(text.height for text in texts)


def _around(label: Sequence[_Text]) -> Size:
    half = _width(label) / 2
    return Size(half, half, _tall(label))


def _stroke_of(arrow: Arrow) -> tuple[str, float, str]:
    """The colour, width and style of an arrow."""
    colour, width = (_BLUE, 1.8) if arrow.taken else (_GREY, 1.0)
    return colour, width, "--" if arrow.gone else "-"
