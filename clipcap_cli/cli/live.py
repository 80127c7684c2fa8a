"""What goes on, as it is drawn on a terminal: a bar for each task, and under that of a training its losses, its scores and its newest captions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from clipcap_cli.cli.counts import Count
from clipcap_cli.cli.curves import Curve, sparkline
from clipcap_cli.cli.out import printable
from clipcap_cli.events import Advanced, Event, Finished, Started, Validated

_TRAIN = "train"
_BAR = (8, 30)  # columns: a shorter bar says nothing, a longer one says no more
_CURVE = 30  # columns at most
_FRAMED_FROM = 60  # columns that there must be for a frame


class View:
    """Everything that is going on now."""

    def __init__(self) -> None:
        self._tasks: dict[str, Count] = {}
        self._training = _Training()
        self._now = 0.0

    def take(self, event: Event, now: float) -> None:
        """Take in what happened."""
        self._now = now
        match event:
            case Started(task, total, unit, before):
                self._tasks[task] = Count(total, unit, now, before)
            case Advanced(task, amount) if task in self._tasks:
                self._tasks[task].done += amount
            case Finished(task):
                self._tasks.pop(task, None)
        self._training.take(event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Lines that are not longer than the options allow."""
        for task, count in self._tasks.items():
            yield _bar(task, count, self._now, options)
        if _TRAIN in self._tasks:
            framed = options.max_width >= _FRAMED_FROM
            lines = self._training.lines(options)
            yield Panel(Group(*lines), border_style="dim") if framed else Group(*lines)


class _Training:
    """How a training goes."""

    def __init__(self) -> None:
        self._loss, self._found = Curve(), Curve()
        self._values: dict[str, float] = {}
        self._last: Validated | None = None
        self._best: Validated | None = None

    def take(self, event: Event) -> None:
        match event:
            case Advanced(task, _, values) if task == _TRAIN:
                self._values = dict(values)
                self._loss.add(values["loss"])
            case Validated():
                self._last = event
                self._found.add(next(iter(event.values.values())))
                if event.best:
                    self._best = event

    def lines(self, options: ConsoleOptions) -> Iterator[Text]:
        if self._values:
            values = self._values
            yield _line(options, ("loss ", "dim"), (f"{values['loss']:.3f}  ", "bold"), (_curve(self._loss, options), "cyan"))
            yield _line(options, (f"lr {values['lr']:.3g}, {values['captions_per_s']:,.0f} captions/s, epoch {values['epoch']:.0f}", "dim"))
        if self._last is None:
            return
        for number, (name, value) in enumerate(self._last.values.items()):
            line = _line(options, (f"{name} ", "dim"), (f"{value:.3f}  ", "bold"))
            if number == 0:
                line.append(_curve(self._found, options), "cyan")
                if self._best:
                    line.append(f"  best {self._best.values[name]:.3f} at step {self._best.step:,}", "green")
            yield line
        for picture, caption in self._last.samples.items():
            yield _line(options, (f"{printable(PurePath(picture).name)}: ", "dim"), (printable(caption), ""))


def _bar(task: str, count: Count, now: float, options: ConsoleOptions) -> Text:
    """`train ━━━━━━────── 60 of 720 steps, 3.1/s, 3 min 33 s left`; without the bar where there is no room for it, or no end to be seen."""
    state = count.state(now)
    least, most = _BAR
    room = min(most, options.max_width - len(task) - len(state) - 2)
    line = _line(options, (f"{printable(task)} ", "bold"))
    if count.total and room >= least:
        full, empty = "#-" if options.ascii_only else "━─"
        done = round(room * min(1.0, count.done / count.total))
        line.append(full * done, "green").append(empty * (room - done), "dim").append(" ")
    return line.append(state)


def _curve(curve: Curve, options: ConsoleOptions) -> str:
    return "" if options.ascii_only else sparkline(curve.points, min(_CURVE, options.max_width // 2))


def _line(options: ConsoleOptions, *parts: tuple[str, str]) -> Text:
    """One line, cut where there is no more room."""
    return Text.assemble(*parts, no_wrap=True, overflow="crop" if options.ascii_only else "ellipsis")
