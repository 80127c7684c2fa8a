"""What long work says while it goes on, on stderr: drawn on a terminal, else a line now and then so that a log shows life."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from clipcap_cli.cli.counts import Count
from clipcap_cli.cli.out import out
from clipcap_cli.events import Advanced, Event, Finished, Listener, Note, Started, Validated

_LINE_EVERY_S = 10.0
_IN_LINES = ("loss", "epoch")  # of what is worth watching, what a line of a log has room for
_DRAWN_EVERY_S = 0.2


@contextmanager
def progress(*, results_show_it: bool = False) -> Iterator[Listener]:
    """Yield the listener that fits where stderr goes and what was asked for.

    Args:
        results_show_it: the results appear on the same terminal one by one, so that what is drawn would be in their way.
    """
    if out.quiet:
        yield _only_warnings
    elif results_show_it:
        yield _only_notes
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        drawn = _Drawn()
        try:
            yield drawn
        finally:
            drawn.close()
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


def _say_found(validated: Validated) -> None:
    found = ", ".join(f"{name} {value:.3f}" for name, value in validated.values.items())
    out.note(f"step {validated.step:,}: {found}{' (best)' if validated.best else ''}")


class Lines:
    """For logs: a line at most every ten seconds, and one at the end of what took longer."""

    def __init__(self) -> None:
        self._tasks: dict[str, Count] = {}
        self._said: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        now = time.monotonic()
        match event:
            case Note():
                _say(event)
            case Validated():
                _say_found(event)
                for picture, caption in event.samples.items():
                    out.note(f"  {picture}: {caption}")
            case Started(task, total, unit, before):
                self._tasks[task] = Count(total, unit, now, before)
                self._said[task] = now
            case Advanced(task, amount, values) if task in self._tasks:
                count = self._tasks[task]
                count.done += amount
                if now - self._said[task] >= _LINE_EVERY_S:
                    self._said[task] = now
                    out.note(f"{task}: {count.state(now, {name: values[name] for name in _IN_LINES if name in values})}")
            case Finished(task) if task in self._tasks:
                count = self._tasks.pop(task)
                if now - count.began >= _LINE_EVERY_S:
                    out.note(f"{task}: {count.summary(now)}")


class _Drawn:
    """For terminals: what goes on stands at the bottom and is drawn over; what is said comes above it."""

    def __init__(self) -> None:
        from clipcap_cli.cli.drawing import Block
        from clipcap_cli.cli.live import View

        self._block = Block()
        self._view = View()
        self._drawn_at = 0.0

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        now = time.monotonic()
        self._view.take(event, now)
        if isinstance(event, Note | Validated):
            self._block.erase()
            if isinstance(event, Note):
                _say(event)
            else:
                _say_found(event)
        elif isinstance(event, Advanced) and now - self._drawn_at < _DRAWN_EVERY_S:
            return
        self._block.draw(self._view)
        self._drawn_at = now

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._block.erase()
