"""The rules of the house: who may import whom, what must stay light, which names are given out."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import clipcap_cli

ROOT = Path(__file__).resolve().parent.parent
# What makes a command slow to start: none of it is loaded by these rooms when they are imported.
HEAVY = ("torch", "transformers", "pandas")
LIGHT = ("errors", "events", "words", "storage", "recipe", "datasets", "upkeep", "cli")
EXPORTED = {
    "Caption",
    "Captioner",
    "ClipcapError",
    "Dataset",
    "Recipe",
    "Run",
    "Scores",
    "__version__",
    "add_dataset",
    "embed",
    "evaluate",
    "export",
    "load",
    "open_dataset",
    "train",
}

# One fresh interpreter imports them one after the other, and the first that brings a heavy package with it is named.
_IMPORT_ALL = """
import importlib, json, sys
modules, heavy = json.loads(sys.argv[1])
for module in modules:
    importlib.import_module(module)
    loaded = [name for name in heavy if name in sys.modules]
    if loaded:
        sys.exit(f"{module} loads {', '.join(loaded)}")
"""

# What looks at the store and at recipes never needs torch, not even when it runs.
_RUN_LIGHT_COMMANDS = """
import sys
from clipcap_cli.cli.main import main
looks = ("--help", "dataset list", "dataset show none", "runs list", "model list", "cache info", "cache verify", "cache prune --dry-run")
for line in (*looks, "recipe list", "recipe show quickstart --full", "recipe check quickstart"):
    main(line.split())
    if "torch" in sys.modules:
        sys.exit(f"`clipcap {line}` loads torch")
"""


def _fresh(code: str, *arguments: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CLIPCAP_OFFLINE": "1", **({"CLIPCAP_HOME": str(home)} if home else {})}
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, check=False)


def _modules_of(room: str) -> list[str]:
    name = f"clipcap_cli.{room}"
    folder = ROOT / "clipcap_cli" / room
    return [name, *(module.name for module in pkgutil.walk_packages([str(folder)], prefix=f"{name}."))] if folder.is_dir() else [name]


def test_a_floor_imports_from_itself_and_from_below() -> None:
    linter = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert linter.returncode == 0, linter.stdout + linter.stderr


def test_light_rooms_load_no_heavy_package() -> None:
    modules = ["clipcap_cli", *(module for room in LIGHT for module in _modules_of(room))]
    assert len(modules) > 30
    ended = _fresh(_IMPORT_ALL, json.dumps([modules, HEAVY]))
    assert ended.returncode == 0, ended.stderr


def test_looking_at_the_store_never_loads_torch(tmp_path: Path) -> None:
    ended = _fresh(_RUN_LIGHT_COMMANDS, home=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "quickstart" in ended.stdout


def test_the_exported_names_are_these_and_each_can_be_had() -> None:
    assert set(clipcap_cli.__all__) == EXPORTED
    assert dir(clipcap_cli) == sorted(EXPORTED)
    for name in EXPORTED:
        assert getattr(clipcap_cli, name) is not None


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="evaluator"):
        clipcap_cli.evaluator  # noqa: B018
