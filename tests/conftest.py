"""What every test has: a store of its own, no network, one thread."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from said import Said

from clipcap_cli.storage.home import Home

# Before torch and the hub's client read them. One thread: sums come out the same, and tests that run side by side do not fight for cores.
_NOBODYS_HOME = tempfile.TemporaryDirectory(prefix="clipcap-tests-")
os.environ["CLIPCAP_HOME"] = _NOBODYS_HOME.name
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

settings.register_profile("clipcap", deadline=None, derandomize=True)
settings.load_profile("clipcap")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty store."""
    return Home(tmp_path / "home")


@pytest.fixture
def clipcap(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command line in this process: `clipcap("dataset", "list")`; `stdin` is what is piped in."""
    from clipcap_cli.cli.main import main

    monkeypatch.setenv("CLIPCAP_HOME", str(home.root))
    monkeypatch.setenv("CLIPCAP_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object, stdin: bytes = b"") -> Said:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run
