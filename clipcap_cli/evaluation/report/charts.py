"""Three kinds of charts: lines over steps, scores with their intervals, and how often values occur."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from clipcap_cli.evaluation.report.drawing import WIDTH, Drawing, Scale, readable, ticks

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 26, 38  # margins
_NUMBERS = 22  # the height of an axis that needs no title
_HEIGHT = 230
_ROW, _NAMES, _VALUES = 27, 132, 48  # a row of whiskers: its height, room for its name, and for its value
_LONGEST_NAME = 20  # characters that fit into _NAMES, and two of which fit into a legend
_BINS = 20
_PLACES = 3  # digits of a score behind the point


@dataclass(frozen=True)
class Chart:
    """A drawing with what stands above and below it."""

    title: str
    svg: Markup
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        points: (x, y), by x.
        marked: with a dot at each point: few values that count, as those of validations.
        best: the x of the point that was chosen, if one was.
    """

    name: str
    points: Sequence[tuple[float, float]]
    marked: bool = False
    best: float | None = None


@dataclass(frozen=True)
class Whisker:
    """One score with its interval; `kind` decides the dot: "subject", "other", "human" or "baseline"."""

    name: str
    score: float
    low: float
    high: float
    kind: str


def lines(title: str, lines: Sequence[Line], *, x: str, y: str, note: str = "") -> Chart:
    """Lines over a common x; none of them is empty."""
    xs = sorted({place for line in lines for place, _ in line.points})
    ys = [value for line in lines for _, value in line.points]
    room = (max(ys) - min(ys)) * 0.06 or abs(ys[0]) * 0.1 or 1.0
    across = Scale(xs[0], xs[-1], _LEFT, WIDTH - _RIGHT)
    up = Scale(min(ys) - room if min(ys) > room else min(0.0, min(ys)), max(ys) + room, _HEIGHT - _BOTTOM, _TOP)
    ends = "; ".join(f"{line.name} from {readable(line.points[0][1])} to {readable(line.points[-1][1])}" for line in lines)
    drawing = Drawing(_HEIGHT, f"{title} over {readable(xs[-1])} {x}s: {ends}")
    drawing.left_axis(up, _LEFT, WIDTH - _RIGHT, ticks(up.low, up.high), y)
    drawing.bottom_axis(across, up.start, ticks(xs[0], xs[-1]), x)
    for line in lines:
        kind = "marked" if line.marked else "plain"
        drawing.add("polyline", f"line {kind}", points=" ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in line.points))
        for a, b in line.points if line.marked else ():
            drawing.add("circle", "dot best" if a == line.best else "dot", cx=across(a), cy=up(b), r=5 if a == line.best else 3)
    if len(lines) > 1:
        _legend(drawing, [(line.name, "marked" if line.marked else "plain") for line in lines])
    _spots_over(drawing, lines, xs, across, up, x)
    return Chart(title, drawing.markup(), note)


def _spots_over(drawing: Drawing, lines: Sequence[Line], xs: Sequence[float], across: Scale, up: Scale, x: str) -> None:
    """At each x a strip as high as the chart that tells the values there."""
    values = [dict(line.points) for line in lines]
    middles = [across.start, *((across(a) + across(b)) / 2 for a, b in pairwise(xs)), across.end]
    for place, (start, end) in zip(xs, pairwise(middles), strict=True):
        said = [
            f"{line.name} {readable(of[place])}{' (the best)' if line.best == place else ''}" for line, of in zip(lines, values, strict=True) if place in of
        ]
        spot = drawing.spot(f"{x} {readable(place)}: {', '.join(said)}", start, up.end, end - start, up.start - up.end)
        drawing.line("hair", across(place), up.end, across(place), up.start, inside=spot)
        for of in values:
            if place in of:
                drawing.add("circle", "hair", inside=spot, cx=across(place), cy=up(of[place]), r=4)


def whiskers(title: str, rows: Sequence[Whisker]) -> Chart:
    """Scores one below the other, each a dot on the line of its interval."""
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    room = (high - low) * 0.08 or 0.1  # dots need no zero, and differences are seen better without
    bottom = len(rows) * _ROW + 8
    across = Scale(max(low - room, min(0.0, low)), high + room, _NAMES, WIDTH - _VALUES)
    drawing = Drawing(bottom + _NUMBERS, f"{title}: " + ", ".join(f"{row.name} {row.score:.{_PLACES}f}" for row in rows))
    marks = ticks(across.low, across.high)
    for mark in marks:
        drawing.line("grid", across(mark), 0, across(mark), bottom)
    drawing.bottom_axis(across, bottom, marks)
    for number, row in enumerate(rows):
        middle = number * _ROW + _ROW / 2 + 2
        told = f"{row.name}: {title} {row.score:.{_PLACES}f}, 95 % interval {row.low:.{_PLACES}f} to {row.high:.{_PLACES}f}"
        spot = drawing.spot(told, 0, middle - _ROW / 2, WIDTH, _ROW)
        spot.set("class", f"spot {row.kind}")
        drawing.add("text", "name", inside=spot, x=_NAMES - 10, y=middle + 4, text=_shortened(row.name), text_anchor="end")
        drawing.line("whisker", across(row.low), middle, across(row.high), middle, inside=spot)
        for end in (row.low, row.high):
            drawing.line("whisker", across(end), middle - 4, across(end), middle + 4, inside=spot)
        if row.kind == "human":
            drawing.add("path", "point", inside=spot, d=f"M{across(row.score) - 6:.1f} {middle} l6 -6 6 6 -6 6 z")
        else:
            drawing.add("circle", "point", inside=spot, cx=across(row.score), cy=middle, r=5)
        drawing.add("text", "value", inside=spot, x=WIDTH - 2, y=middle + 4, text=f"{row.score:.{_PLACES}f}", text_anchor="end")
    return Chart(title, drawing.markup())


def histogram(title: str, filled: tuple[str, Sequence[float]], outlined: tuple[str, Sequence[float]], *, x: str, whole: bool) -> Chart:
    """How often values occur: bars for those that matter, an outline for those they are compared with.

    Args:
        filled, outlined: a name, and values; there may be none to compare with.
        whole: whether values are whole numbers, so that a bar stands for one, or for a few, of them.
    """
    sets = [(_shortened(name), np.asarray(values, dtype=np.float64)) for name, values in (filled, outlined) if len(values)]
    edges = _edges(np.concatenate([values for _, values in sets]), whole)
    shares = [np.histogram(values, edges)[0] / len(values) * 100 for _, values in sets]
    across = Scale(edges[0], edges[-1], _LEFT, WIDTH - _RIGHT)
    up = Scale(0, max(float(share.max()) for share in shares) * 1.06 or 1.0, _HEIGHT - _BOTTOM, _TOP)
    middles = "; ".join(f"the median of {name} is {readable(float(np.median(values)))}" for name, values in sets)
    drawing = Drawing(_HEIGHT, f"{title}: {middles}")
    drawing.left_axis(up, _LEFT, WIDTH - _RIGHT, ticks(0, up.high), "% of them")
    shift = 0.5 if whole else 0.0  # a bar of whole numbers stands around its number
    marks = [mark for mark in ticks(edges[0] + shift, edges[-1] - shift, 8) if not whole or mark == round(mark)]
    drawing.bottom_axis(across, up.start, marks, x)
    for number, (start, end) in enumerate(pairwise(edges)):
        left, right = across(start), across(end)
        said = ", ".join(f"{name} {share[number]:.3g} %" for (name, _), share in zip(sets, shares, strict=True))
        spot = drawing.spot(f"{_between(start, end, whole)} {x}: {said}", left, up.end, right - left, up.start - up.end)
        top = up(float(shares[0][number]))
        drawing.add("rect", "bar", inside=spot, x=left + 0.75, y=top, width=max(0.5, right - left - 1.5), height=up.start - top)
    if len(sets) > 1:
        steps = [f"{across(edge):.1f},{up(float(share)):.1f}" for share, ends in zip(shares[1], pairwise(edges), strict=True) for edge in ends]
        drawing.add("polyline", "outline", points=" ".join([f"{across.start},{up.start}", *steps, f"{across.end},{up.start}"]))
        _legend(drawing, [(sets[0][0], "bar"), (sets[1][0], "outline")])
    return Chart(title, drawing.markup())


def _edges(values: np.ndarray, whole: bool) -> list[float]:
    """Where bars begin and end."""
    low, high = float(values.min()), float(values.max())
    if whole:
        width = max(1, -(-int(high - low + 1) // _BINS))
        return [low - 0.5 + width * number for number in range(int((high - low) // width) + 2)]
    marks = ticks(min(0.0, low), high, _BINS)
    step = marks[1] - marks[0] if len(marks) > 1 else 1.0
    return [marks[0] - step, *marks, marks[-1] + step] if low < marks[0] else [*marks, marks[-1] + step]


def _between(start: float, end: float, whole: bool) -> str:
    if not whole:
        return f"{readable(start)} to {readable(end)}"
    first, last = round(start + 0.5), round(end - 0.5)
    return f"{first}" if first == last else f"{first} to {last}"


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _legend(drawing: Drawing, entries: Sequence[tuple[str, str]]) -> None:
    """Samples with their names at the right above the chart."""
    x = float(WIDTH - _RIGHT)
    for name, kind in reversed(entries):
        drawing.add("text", "legend", x=x, y=12, text=name, text_anchor="end")
        x -= len(name) * 6.3 + 24
        if kind == "bar":
            drawing.add("rect", "bar", x=x, y=3, width=14, height=10)
        elif kind == "outline":
            drawing.add("rect", "outline", x=x, y=3, width=14, height=10)
        else:
            drawing.line(f"line {kind}", x - 2, 8, x + 16, 8)
            if kind == "marked":
                drawing.add("circle", "dot", cx=x + 7, cy=8, r=3)
        x -= 14
