"""How far a task is, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clipcap_cli.words import duration, size


@dataclass
class Count:
    """Units that are done of a task, and the clock by which that is told; `before` of them were done by an earlier process."""

    total: int | None
    unit: str
    began: float
    before: int = 0
    done: int = field(init=False)

    def __post_init__(self) -> None:
        self.done = self.before

    def amount(self, number: float) -> str:
        """`1,200`, `18.8 MB`."""
        return size(number) if self.unit == "bytes" else f"{number:,.0f}"

    def state(self, now: float, values: Mapping[str, float] | None = None) -> str:
        """`1,200 of 30,000 pictures, 54/s, loss 2.31, 9 min 0 s left`."""
        of = "" if self.total is None else f" of {self.amount(self.total)}"
        parts = [f"{self.amount(self.done)}{of}{self._noun}", self.speed(now), *(f"{name} {value:.4g}" for name, value in (values or {}).items())]
        if self.total is not None and self.done > self.before:
            parts.append(f"{duration((self.total - self.done) / self._rate(now))} left")
        return ", ".join(parts)

    def summary(self, now: float) -> str:
        """`30,000 pictures in 9 min 15 s (54/s)`."""
        noun = self._noun.removesuffix("s") if self.done - self.before == 1 else self._noun
        return f"{self.amount(self.done - self.before)}{noun} in {duration(now - self.began)} ({self.speed(now)})"

    def speed(self, now: float) -> str:
        """`54/s`."""
        rate = self._rate(now)
        return f"{size(rate)}/s" if self.unit == "bytes" else f"{rate:.3g}/s" if rate < 100 else f"{rate:,.0f}/s"

    @property
    def _noun(self) -> str:
        return "" if self.unit == "bytes" else f" {self.unit}"

    def _rate(self, now: float) -> float:
        return (self.done - self.before) / max(now - self.began, 1e-9)
