"""Eight processes at once on one store: the short form of benchmarks/together.py, which says what is tried and what has to hold afterwards."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from journey_tools import ROOT

pytestmark = pytest.mark.journey


def test_eight_processes_at_once_lose_nothing_and_say_who_is_in_their_way() -> None:
    line = [sys.executable, str(ROOT / "benchmarks" / "together.py"), "--rounds", "1"]
    ended = subprocess.run(line, check=False, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0 wrong" in ended.stdout
    for command in ("dataset add", "append", "embed", "train", "caption", "eval", "cache prune", "cache verify", "cache info", "model use"):
        assert f"| {command} | " in ended.stdout
