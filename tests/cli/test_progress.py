from __future__ import annotations

import pytest

from clipcap_cli.cli import progress as module
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import Lines, progress
from clipcap_cli.events import Advanced, Finished, Note, Started, Validated


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


def test_a_log_gets_what_a_validation_found_with_its_captions_and_of_a_step_what_a_line_has_room_for(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    listen = Lines()
    listen(Started("train", 20, "steps"))
    clock.now += 10
    listen(Advanced("train", 10, {"loss": 2.5, "epoch": 1, "lr": 0.001, "captions_per_s": 64.0}))
    listen(Validated(10, {"cider": 0.8125, "validation loss": 2.25}, True, {"a.jpg": "an [apple]"}))
    listen(Validated(20, {"validation loss": 2.5}, False, {}))
    assert capsys.readouterr().err.splitlines() == [
        "train: 10 of 20 steps, 1/s, loss 2.5, epoch 1, 10 s left",
        "step 10: cider 0.812, validation loss 2.250 (best)",
        "  a.jpg: an [apple]",
        "step 20: validation loss 2.500",
    ]
