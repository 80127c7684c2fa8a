"""What is drawn on a terminal while work goes on, as a terminal shows it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from rich.text import Text

from clipcap_cli.cli import progress as module
from clipcap_cli.cli.curves import Curve, sparkline
from clipcap_cli.cli.drawing import Block
from clipcap_cli.cli.progress import progress
from clipcap_cli.events import Advanced, Event, Finished, Listener, Note, Started, Validated

STEP = {"loss": 2.5, "epoch": 1, "lr": 0.00125, "captions_per_s": 64.4}
FOUND = Validated(10, {"cider": 0.8125, "validation loss": 2.25}, True, {"images/a.jpg": "a bowl of ramen on a wooden board beside a cup of tea"})
WORSE = Validated(20, {"cider": 0.5, "validation loss": 2.0}, False, {"images/a.jpg": "two bowls \x1b[2Jof ramen"})


class Terminal(io.StringIO):
    """A terminal that knows the few sequences that are used, and remembers its lines."""

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self.lines, self.row = [""], 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        for part in re.findall(r"\x1b\[\d*[A-Za-z]|\x1b\[[\d;]*m|\r|\n|[^\x1b\r\n]+", text):
            if part == "\x1b[1A":
                self.row -= 1
            elif part == "\x1b[2K":
                self.lines[self.row] = ""
            elif part == "\n":
                self.row += 1
                self.lines += [""] * (self.row == len(self.lines))
            elif part[0] not in "\x1b\r":
                self.lines[self.row] += part
        return super().write(text)

    @property
    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.lines if line.strip()]


TerminalOf = Callable[..., Terminal]


@pytest.fixture
def terminal_of(monkeypatch: pytest.MonkeyPatch) -> TerminalOf:
    """Makes stderr a terminal of some size."""

    def become(columns: int = 80, lines: int = 24) -> Terminal:
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setattr(module, "_DRAWN_EVERY_S", 0.0)
        for name, value in {"TERM": "xterm", "COLUMNS": str(columns), "LINES": str(lines)}.items():
            monkeypatch.setenv(name, value)
        return terminal

    return become


def train(listen: Listener, *events: Event) -> None:
    listen(Started("train", 40, "steps"))
    listen(Advanced("train", 20, STEP))
    for event in events:
        listen(event)


def test_a_training_is_shown_with_its_loss_its_scores_and_its_newest_captions(terminal_of: TerminalOf) -> None:
    terminal = terminal_of()
    with progress() as listen:
        train(listen, FOUND, Advanced("train", 5, {**STEP, "loss": 2.0}), WORSE)
        found, worse, bar, *panel = terminal.shown
    assert (found, worse) == ("step 10: cider 0.812, validation loss 2.250 (best)", "step 20: cider 0.500, validation loss 2.000")
    assert re.fullmatch(r"train ━+─+ 25 of 40 steps, .*/s, 0 s left", bar)
    assert [line.strip("│ ") for line in panel[1:-1]] == [
        "loss 2.000  █▁",
        "lr 0.00125, 64 captions/s, epoch 1",
        "cider 0.500  █▁  best 0.812 at step 10",
        "validation loss 2.000",
        r"a.jpg: two bowls \x1b[2Jof ramen",
    ]


def test_a_narrow_terminal_gets_lines_that_fit(terminal_of: TerminalOf) -> None:
    terminal = terminal_of(columns=40)
    with progress() as listen:
        train(listen, FOUND)
        shown = terminal.shown[1:]
    assert all(len(line) < 40 for line in shown)
    assert shown[-1] == "a.jpg: a bowl of ramen on a wooden boa…"


def test_a_low_terminal_gets_the_first_lines(terminal_of: TerminalOf) -> None:
    terminal = terminal_of(lines=4)
    with progress() as listen:
        train(listen, FOUND)
        assert len(terminal.shown) == 1 + 3


def test_notes_and_warnings_stand_above_and_nothing_else_is_left(terminal_of: TerminalOf) -> None:
    terminal = terminal_of()
    with progress() as listen:
        train(listen, Note("a [red] note"), FOUND, Note("mend this", "warning"))
        assert len(terminal.shown) > 3
    assert terminal.shown == ["a [red] note", "step 10: cider 0.812, validation loss 2.250 (best)", "Warning: mend this"]


def test_an_interruption_leaves_nothing_drawn(terminal_of: TerminalOf) -> None:
    terminal = terminal_of()
    with pytest.raises(KeyboardInterrupt), progress() as listen:
        train(listen, FOUND)
        raise KeyboardInterrupt
    assert terminal.shown == ["step 10: cider 0.812, validation loss 2.250 (best)"]


def test_a_task_of_unknown_length_has_no_bar_and_goes_when_it_is_done(terminal_of: TerminalOf) -> None:
    terminal = terminal_of()
    with progress() as listen:
        listen(Started("embed", None, "pictures"))
        listen(Advanced("embed", 5))
        assert re.fullmatch(r"embed 5 pictures, .*/s", terminal.shown[0])
        listen(Finished("embed"))
        assert terminal.shown == []


def test_lines_that_a_narrower_terminal_has_broken_are_taken_away_whole(terminal_of: TerminalOf) -> None:
    terminal = terminal_of()
    block = Block()
    block.draw(Text("x" * 70 + "\n" + "y" * 30))
    block._console.width = 40
    before = len(terminal.getvalue())
    terminal.row, terminal.lines = 3, ["x" * 40, "x" * 30, "y" * 30, ""]
    block.erase()
    assert terminal.shown == []
    assert terminal.getvalue()[before:].count("\x1b[1A") == 3


def test_without_colours_none_are_drawn(terminal_of: TerminalOf, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of()
    monkeypatch.setenv("NO_COLOR", "1")
    with progress() as listen:
        train(listen, FOUND)
    assert not re.search(r"\x1b\[[\d;]*3\dm", terminal.getvalue())


def test_a_terminal_without_unicode_gets_none(terminal_of: TerminalOf, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of()
    monkeypatch.setattr(Terminal, "encoding", "latin-1")
    with progress() as listen:
        train(listen, FOUND)
    assert terminal.getvalue().isascii()


def test_a_long_curve_keeps_its_shape_in_few_points() -> None:
    curve = Curve()
    for number in range(10_000):
        curve.add(float(number))
    assert len(curve.points) <= 512
    assert curve.points == sorted(curve.points)
    assert sparkline(curve.points, 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([], 8) == ""
    assert sparkline([1.0, 1.0], 8) == "▁▁"
