"""What long work says while it goes on, on stderr: bars on a terminal, else a line now and then so that a log shows life."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipcap_cli.cli.out import out, printable
from clipcap_cli.cli.words import duration, size
from clipcap_cli.events import Advanced, Event, Finished, Listener, Note, Started

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_EVERY_S = 10.0


@contextmanager
def progress(*, results_show_it: bool = False) -> Iterator[Listener]:
    """Yield the listener that fits where stderr goes and what was asked for.

    Args:
        results_show_it: the results appear on the same terminal one by one, so that bars would be in their way.
    """
    if out.quiet:
        yield _only_warnings
    elif results_show_it:
        yield _only_notes
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        bars = _Bars()
        try:
            yield bars
        finally:
            bars.close()
    else:
        yield Lines()


def _only_warnings(event: Event) -> None:
    if isinstance(event, Note) and event.level == "warning":
        out.warning(event.text)


def _only_notes(event: Event) -> None:
    if isinstance(event, Note):
        _say(event)


def _say(note: Note) -> None:
    if note.level == "warning":
        out.warning(note.text)
    else:
        out.note(note.text)


@dataclass
class _Count:
    """How far a task is."""

    total: int | None
    unit: str
    began: float
    said: float
    done: int = 0

    def amount(self, number: float) -> str:
        return size(number) if self.unit == "bytes" else f"{number:,.0f}"

    def rate(self, now: float) -> float:
        return self.done / max(now - self.began, 1e-9)

    def state(self, now: float, values: Mapping[str, float]) -> str:
        """`1,200 of 30,000 pictures, 54/s, loss 2.31, 9 min 0 s left`."""
        unit = "" if self.unit == "bytes" else f" {self.unit}"
        of = "" if self.total is None else f" of {self.amount(self.total)}"
        parts = [f"{self.amount(self.done)}{of}{unit}", self.speed(now), *_shown(values)]
        if self.total is not None and self.done:
            parts.append(f"{duration((self.total - self.done) / self.rate(now))} left")
        return ", ".join(parts)

    def speed(self, now: float) -> str:
        rate = self.rate(now)
        return f"{size(rate)}/s" if self.unit == "bytes" else f"{rate:.3g}/s" if rate < 100 else f"{rate:,.0f}/s"


def _shown(values: Mapping[str, float]) -> list[str]:
    return [f"{name} {value:.4g}" for name, value in values.items()]


class Lines:
    """For logs: a line at most every ten seconds, and one at the end of what took longer."""

    def __init__(self) -> None:
        self._tasks: dict[str, _Count] = {}

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        now = time.monotonic()
        match event:
            case Note():
                _say(event)
            case Started(task, total, unit):
                self._tasks[task] = _Count(total, unit, now, now)
            case Advanced(task, amount, values) if task in self._tasks:
                count = self._tasks[task]
                count.done += amount
                if now - count.said >= _LINE_EVERY_S:
                    count.said = now
                    out.note(f"{task}: {count.state(now, values)}")
            case Finished(task) if task in self._tasks:
                count = self._tasks.pop(task)
                if now - count.began >= _LINE_EVERY_S:
                    unit = "" if count.unit == "bytes" else f" {count.unit}"
                    out.note(f"{task}: {count.amount(count.done)}{unit} in {duration(now - count.began)} ({count.speed(now)})")


class _Bars:
    """For terminals."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, tuple[TaskID, _Count]] = {}

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        now = time.monotonic()
        match event:
            case Note():
                if self._bars:
                    self._bars.stop()
                _say(event)
                if self._bars:
                    self._bars.start()
            case Started(task, total, unit):
                identity = self._opened().add_task(printable(task), total=total, state="")
                self._tasks[task] = (identity, _Count(total, unit, now, now))
            case Advanced(task, amount, values) if task in self._tasks:
                identity, count = self._tasks[task]
                count.done += amount
                self._opened().update(identity, advance=amount, state=count.state(now, values))
            case Finished(task) if task in self._tasks:
                identity, _ = self._tasks.pop(task)
                self._opened().remove_task(identity)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bars:
            self._bars.stop()

    def _opened(self) -> Progress:
        if self._bars is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[state]}", markup=False),
                console=Console(stderr=True, markup=False, highlight=False),
                transient=True,
                # Results have their own way out, also while bars are drawn.
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bars.start()
        return self._bars
