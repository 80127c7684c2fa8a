"""Curves in one line of text: `█▅▃▂▁`."""

from __future__ import annotations

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_POINTS = 256  # kept of a curve, and never more than twice as many


def sparkline(values: Sequence[float], width: int) -> str:
    """At most `width` of the values, evenly taken, the highest as a full block."""
    step = max(1, -(-len(values) // width))
    shown = values[::step]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    return "".join(_BARS[round((value - low) / ((high - low) or 1.0) * (len(_BARS) - 1))] for value in shown)


class Curve:
    """A curve of any length in a few hundred points: where there are more, neighbours become their mean."""

    def __init__(self) -> None:
        self.points: list[float] = []
        self._each = 1  # values that make a point
        self._waiting: list[float] = []

    def add(self, value: float) -> None:
        """Go on with a value."""
        self._waiting.append(value)
        if len(self._waiting) < self._each:
            return
        self.points.append(sum(self._waiting) / self._each)
        self._waiting = []
        if len(self.points) == 2 * _POINTS:
            self.points = [(first + second) / 2 for first, second in zip(self.points[::2], self.points[1::2], strict=True)]
            self._each *= 2
