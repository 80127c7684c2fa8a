from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import clipcap_cli
from clipcap_cli.storage.home import Home

ROOT = Path(clipcap_cli.__file__).resolve().parent.parent


def _offered(home: Home, typed: str) -> list[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CLIPCAP_HOME": str(home.root),
        "_CLIPCAP_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - (not typed.endswith(" "))),
    }
    code = "import sys; sys.argv[0] = 'clipcap'; from clipcap_cli.cli.main import main; sys.exit(main())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.fixture
def stored(home: Home) -> Home:
    for folder in (home.datasets / "food", home.datasets / "birds", home.datasets / ".food.1234.part", home.runs / "food-2", home.models / "fine"):
        folder.mkdir(parents=True)
    return home


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("clipcap da", ["dataset"]),
        ("clipcap embed ", ["birds", "food"]),
        ("clipcap dataset show f", ["food"]),
        ("clipcap runs show ", ["food-2"]),
        ("clipcap caption a.jpg --model f", ["fine", "food-2"]),
        ("clipcap train quick", ["quickstart"]),
    ],
)
def test_tab_offers_names_of_the_store(typed: str, offered: list[str], stored: Home) -> None:
    assert _offered(stored, typed) == offered


def test_tab_offers_nothing_where_there_is_no_store(home: Home) -> None:
    assert _offered(home, "clipcap embed ") == []
    assert not home.root.exists()
