"""What charts are drawn with: scales, ticks at round numbers, and SVG that is built element by element.

Texts and attributes are escaped by the XML library. Colours and fonts are those of the page's style sheet, by class, so that a chart follows light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

WIDTH = 420  # units of a chart; the page shows one at 300 to 420 pixels, so that its texts stay readable on a phone
_TICKS = 5
_FINE, _COARSE = 1e-4, 1e6  # numbers beyond these are written with an exponent


@dataclass(frozen=True)
class Scale:
    """Where values stand: `low` at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        return self.start + (value - self.low) / ((self.high - self.low) or 1.0) * (self.end - self.start)


def ticks(low: float, high: float, at_most: int = _TICKS) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) between `low` and `high`, `at_most` + 1 of them at most."""
    if low == high:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / at_most))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if (high - low) / (factor * power) <= at_most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def readable(value: float) -> str:
    """`1,500`, `2.31`, `2e-5`: three digits that count."""
    if value and not _FINE <= abs(value) < _COARSE:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class Drawing:
    """An SVG picture with one sentence for those who do not see it."""

    def __init__(self, height: float, label: str) -> None:
        self._svg = ElementTree.Element("svg", {"viewBox": f"0 0 {WIDTH} {height:g}", "role": "img", "aria-label": label})

    def add(self, tag: str, kind: str = "", *, inside: ElementTree.Element | None = None, text: str = "", **attributes: float | str) -> ElementTree.Element:
        """An element of a class, with a text; underscores in names of attributes stand for hyphens."""
        element = ElementTree.SubElement(self._svg if inside is None else inside, tag, {"class": kind} if kind else {})
        for name, value in attributes.items():
            element.set(name.replace("_", "-"), value if isinstance(value, str) else f"{value:.5g}")
        element.text = text
        return element

    def line(self, kind: str, x1: float, y1: float, x2: float, y2: float, inside: ElementTree.Element | None = None) -> None:
        """A straight line."""
        self.add("line", kind, inside=inside, x1=x1, y1=y1, x2=x2, y2=y2)

    def spot(self, says: str, x: float, y: float, width: float, height: float) -> ElementTree.Element:
        """A place that says something when it is pointed at: a group, to which what belongs to it can be added."""
        group = self.add("g", "spot")
        self.add("title", inside=group, text=says)
        self.add("rect", "touch", inside=group, x=x, y=y, width=width, height=height)
        return group

    def bottom_axis(self, scale: Scale, y: float, marks: Sequence[float], title: str = "") -> None:
        """Numbers below a line, and what they are."""
        self.line("axis", scale.start, y, scale.end, y)
        for mark in marks:
            self.line("axis", scale(mark), y, scale(mark), y + 4)
            self.add("text", "tick", x=scale(mark), y=y + 16, text=readable(mark), text_anchor="middle")
        if title:
            self.add("text", "unit", x=scale.end, y=y + 31, text=title, text_anchor="end")

    def left_axis(self, scale: Scale, x: float, end: float, marks: Sequence[float], title: str) -> None:
        """Numbers left of thin lines across the chart, and above them what they are."""
        for mark in marks:
            self.line("grid", x, scale(mark), end, scale(mark))
            self.add("text", "tick", x=x - 7, y=scale(mark) + 4, text=readable(mark), text_anchor="end")
        self.add("text", "unit", x=2, y=12, text=title)

    def markup(self) -> Markup:
        """The picture, to be put into a page as it is."""
        return Markup(ElementTree.tostring(self._svg, encoding="unicode"))
