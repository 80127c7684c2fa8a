"""How a measure grows with a size: fitted by a start and so much for each, or by a power, whichever is nearer; and what that gives for sizes that were not
measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

_AS_GOOD = 0.02  # a law that is off by so much more than another is taken where it is simpler
_NO_LAW = 0.4  # by what is off as much nothing is foretold


@dataclass(frozen=True)
class Growth:
    """One measure at several sizes.

    Attributes:
        points: value by size.
    """

    title: str
    points: Mapping[int, float]

    @property
    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(list(self.points), float), np.array(list(self.points.values()))

    def line(self) -> tuple[float, float]:
        """Start and increase of the line from which the points differ least, each in proportion to itself; neither is negative, and one is 0 where that is
        nearly as good."""
        sizes, values = self._known
        ways = []
        for columns in ((1 / values, 0 / values), (0 / values, sizes / values), (1 / values, sizes / values)):
            (start, each), *_ = np.linalg.lstsq(np.stack(columns, 1), np.ones(len(values)), rcond=None)
            if start >= 0 and each >= 0:
                ways.append((float(np.abs((start + each * sizes) / values - 1).max()), float(start), float(each)))
        least = min(off for off, _, _ in ways)
        _, start, each = next(way for way in ways if way[0] <= least + _AS_GOOD)
        return start, each

    def power(self) -> tuple[float, float]:
        """Factor and exponent of the power law from which the logarithms of the points differ least."""
        sizes, values = self._known
        exponent, factor = np.polyfit(np.log(sizes), np.log(values), 1)
        return float(np.exp(factor)), float(exponent)

    def law(self) -> tuple[str, float]:
        """The nearer of the two, and by how much it is off at worst, in proportion."""
        (start, each), (factor, exponent) = self.line(), self.power()
        sizes, values = self._known
        off_line, off_power = (float(np.abs(found / values - 1).max()) for found in (start + each * sizes, factor * sizes**exponent))
        if off_line <= off_power + _AS_GOOD:
            return f"{number(start)} + {each:.3g} n" if each and start else f"{each:.3g} n" if each else number(start), off_line
        return f"{factor:.3g} n^{exponent:.2f}", off_power

    def at(self, size: int) -> float:
        """What the law gives for a size."""
        (start, each), (factor, exponent) = self.line(), self.power()
        return factor * float(size) ** exponent if "^" in self.law()[0] else start + each * size

    def last_exponent(self) -> float:
        """Of the last two sizes: 1 where ten times as many cost ten times as much."""
        sizes, values = self._known
        return float(np.log(values[-1] / values[-2]) / np.log(sizes[-1] / sizes[-2]))

    def measured(self, sizes: Iterable[int]) -> tuple[str, ...]:
        """The title and the values."""
        return self.title, *(number(self.points[size]) if size in self.points else "" for size in sizes)

    def fitted(self, sizes: Iterable[int]) -> tuple[str, ...]:
        """The title, the law, how far off it is, the last exponent, and what it gives for sizes beyond."""
        law, off = self.law()
        fits = off < _NO_LAW
        foretold = (number(self.at(size)) if fits else "" for size in sizes)
        return self.title, law if fits else "none", f"{off * 100:.0f} %", f"{self.last_exponent():.2f}", *foretold


def number(value: float) -> str:
    """Three digits of it, of thousands four."""
    return f"{float(f'{value:.4g}'):,.0f}" if value >= 1000 else f"{value:.3g}"
