from __future__ import annotations

import io

import pytest

from clipcap_cli.cli import progress as module
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import Lines, progress
from clipcap_cli.events import Advanced, Finished, Note, Started


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_log_gets_a_line_every_ten_seconds_and_one_at_the_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    listen = Lines()
    listen(Started("embed", 30_000, "pictures"))
    for _ in range(25):
        clock.now += 1
        listen(Advanced("embed", 100, {"loss": 2.3456789}))
    listen(Finished("embed"))
    assert capsys.readouterr().err.splitlines() == [
        "embed: 1,000 of 30,000 pictures, 100/s, loss 2.346, 4 min 50 s left",
        "embed: 2,000 of 30,000 pictures, 100/s, loss 2.346, 4 min 40 s left",
        "embed: 2,500 pictures in 25 s (100/s)",
    ]


def test_what_is_short_leaves_no_line_in_a_log(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    listen = Lines()
    listen(Started("embed", None, "pictures"))
    clock.now += 3
    listen(Advanced("embed", 100))
    listen(Finished("embed"))
    assert capsys.readouterr().err == ""


def test_bytes_are_said_as_sizes(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    listen = Lines()
    listen(Started("download", 354_000_000, "bytes"))
    clock.now += 12
    listen(Advanced("download", 12_000_000))
    assert capsys.readouterr().err == "download: 12 MB of 354 MB, 1 MB/s, 5 min 42 s left\n"


def test_notes_are_said_once_and_warnings_even_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as listen:
        listen(Note("bf16: this CPU has AMX"))
    out.quiet = True
    try:
        with progress() as listen:
            listen(Note("not said"))
            listen(Note("mend [this]", "warning"))
    finally:
        out.quiet = False
    assert capsys.readouterr().err == "bf16: this CPU has AMX\nWarning: mend [this]\n"


def test_on_a_terminal_a_bar_is_drawn_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress() as listen:
        listen(Started("train", 10, "steps"))
        listen(Advanced("train", 5, {"loss": 1.5}))
        listen(Note("a [red] note"))
        listen(Finished("train"))
    drawn = terminal.getvalue()
    assert "5 of 10 steps" in drawn
    assert "loss 1.5" in drawn
    assert "a [red] note\n" in drawn
    assert drawn.rstrip().endswith(("\x1b[2K", "\x1b[?25h"))
