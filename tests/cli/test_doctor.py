from __future__ import annotations

import importlib
import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipcap_cli.cli import machine
from clipcap_cli.storage.home import Home

Clipcap = Callable[..., Any]


def _levels(said: Any) -> dict[str, set[str]]:
    levels: dict[str, set[str]] = {}
    for finding in json.loads(said.out):
        levels.setdefault(finding["subject"], set()).add(finding["level"])
    return levels


def test_a_machine_that_works_ends_with_0_and_leaves_no_trace(clipcap: Clipcap, home: Home) -> None:
    said = clipcap("doctor", "--json")
    assert said.code == 0, said.out
    levels = _levels(said)
    assert {"clipcap", "python", "torch", "device", "precision", "memory", "store", "encoder", "language model", "network"} <= levels.keys()
    assert not any("fail" in level for level in levels.values())
    assert not home.root.exists()


def test_a_torchvision_that_does_not_fit_is_named(clipcap: Clipcap, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def broken(name: str, package: str | None = None) -> Any:
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real(name, package)

    monkeypatch.setattr(machine.importlib.metadata, "version", lambda package: "0.1")
    monkeypatch.setattr(machine.importlib, "import_module", broken)
    said = clipcap("doctor")
    assert said.code == 4
    assert "operator torchvision::nms does not exist" in said.out
    assert "pip uninstall torchvision" in said.out


def test_a_store_that_cannot_be_written_fails(clipcap: Clipcap, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = clipcap("doctor", "--json", "--home", tmp_path / "file" / "store")
    assert said.code == 6
    assert _levels(said)["store"] == {"fail"}
