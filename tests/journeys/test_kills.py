"""Whenever a command is killed, nothing is lost, and the same line typed again ends as if nothing had been.

The short form of `python benchmarks/kills.py`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import kills
import pytest
from journey_tools import ROOT

pytestmark = pytest.mark.journey
SHORT = ("dataset", "embed", "train, gone", "export", "cache")  # without those whose preparation and repetition take longest


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("gcc"), reason="counting calls needs Linux and gcc")
def test_no_kill_loses_anything() -> None:
    line = [sys.executable, str(ROOT / "benchmarks" / "kills.py"), "--kills", "1", "--only", *SHORT]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.returncode == 0, done.stdout + done.stderr
    [(count, wrong)] = re.findall(r"(\d+) kills in .*; lost or wrong: (\d+)", done.stdout)
    assert wrong == "0"
    assert int(count) >= len(SHORT)  # each command is killed once at least


def test_the_check_sees_a_changed_byte_and_a_missing_file_but_no_clock(tmp_path: Path) -> None:
    world = tmp_path / "world"
    (world / "home" / "models").mkdir(parents=True)
    (world / "home" / "locks").mkdir()
    vectors, facts = world / "home" / "vectors.f16", world / "home" / "run.json"
    vectors.write_bytes(b"\0\1")
    facts.write_text('{"started": "2020-01-01", "steps": 3}')
    before = kills.contents(world)

    facts.write_text('{"started": "2021-02-02", "steps": 3}')
    (world / "home" / "locks" / "a.lock").touch()
    (world / "home" / "models" / ".m.1-000000-00000000.part").touch()
    assert kills.contents(world) == before
    facts.write_text('{"started": "2021-02-02", "steps": 4}')
    assert kills.contents(world) != before
    facts.write_text('{"started": "2021-02-02", "steps": 3}')
    vectors.write_bytes(b"\0\2")
    assert kills.contents(world) != before
    vectors.unlink()
    assert kills.contents(world) != before
