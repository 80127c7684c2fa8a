from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clipcap_cli.datasets import examining
from clipcap_cli.datasets.examining import Examined, Refused, examine, examine_all

Draw = Callable[..., Path]


@pytest.fixture
def paths(tmp_path: Path, draw: Draw) -> list[str]:
    """Three hundred pictures, some bad."""
    found = [str(draw(tmp_path / f"{number} ü.png")) for number in range(300)]
    Path(found[7]).write_bytes(b"<html>")
    Path(found[299]).unlink()
    return found


def test_helpers_find_what_a_plain_loop_finds_in_the_same_order(paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "_WORTH_HELPERS", 1)
    monkeypatch.setattr(examining, "_BATCH", 10)
    monkeypatch.setattr(examining, "_cores", lambda: 3)
    wanted = [examine(path) for path in paths]
    assert [found for batch in examine_all(paths) for found in batch] == wanted
    assert [type(found) for found in wanted].count(Refused) == 2
    assert isinstance(wanted[0], Examined)


def test_the_work_is_done_here_if_helpers_do_not_start(paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "_WORTH_HELPERS", 1)
    monkeypatch.setattr(examining, "_cores", lambda: 2)
    monkeypatch.setattr(examining, "_HELPER", "raise SystemExit")
    assert [found for batch in examine_all(paths) for found in batch] == [examine(path) for path in paths]


def test_no_helper_is_left_when_the_work_is_broken_off(paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "_WORTH_HELPERS", 1)
    monkeypatch.setattr(examining, "_BATCH", 10)
    monkeypatch.setattr(examining, "_cores", lambda: 3)
    started: list[subprocess.Popen[str]] = []
    original = subprocess.Popen

    def popen(*arguments: object, **options: object) -> subprocess.Popen[str]:
        started.append(original(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    batches = examine_all(paths)
    next(batches)
    batches.close()
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def test_a_helper_loads_nothing_but_what_reads_pictures() -> None:
    code = "import sys, clipcap_cli.datasets.examining; print(*(name for name in ('numpy', 'pandas', 'pyarrow', 'torch') if name in sys.modules))"
    root = Path(examining.__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert said.stdout.strip() == ""


def test_a_file_that_would_fill_the_memory_is_not_read(tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "MAX_BYTES", 10)
    found = examine(str(draw(tmp_path / "a.png")))
    assert isinstance(found, Refused)
    assert "more than" in found.message
