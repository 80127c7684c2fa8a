"""`clipcap serve`, as far as it comes before it serves."""

from __future__ import annotations

import builtins
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Clipcap = Callable[..., Any]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("serve", 3, "there is no captioner yet"),
        ("serve --model none", 3, "there is no model or run named 'none'"),
        ("serve --host 0.0.0.0", 2, "at 0.0.0.0 other machines reach this server, and it has no key"),
        ("serve --port 70000", 2, "--port"),
        ("serve --queue 8", 2, "a queue of 8 has no room for a request of 32 pictures"),
        ("serve --api-key-file none.txt", 3, "none.txt: there is no such file of keys"),
        ("serve --max-megapixels 300", 2, "--max-megapixels"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(line: str, code: int, message: str, clipcap: Clipcap) -> None:
    said = clipcap(*line.split())
    assert said.code == code
    assert message in said.err
    assert said.err.count("Error:") == 1
    assert said.out == ""


def test_a_file_without_a_key_is_refused(clipcap: Clipcap, tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("# none yet\n")
    said = clipcap("serve", "--api-key-file", tmp_path / "keys.txt")
    assert said.code == 3
    assert "this file has no key in it" in said.err


def test_keys_that_others_can_read_are_warned_of(clipcap: Clipcap, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("a-key-of-enough-characters\n")
    keys.chmod(0o644)
    said = clipcap("serve", "--api-key-file", keys)
    assert "other users of this machine can read these keys (chmod 600 keys.txt)" in said.err
    assert "a-key-of-enough" not in said.err


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """What looks like a captioner until it is loaded."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "captioner.json").write_text("{}")
    return folder


def test_a_port_that_is_taken_is_known_before_anything_is_loaded(clipcap: Clipcap, model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = clipcap("serve", "--model", model, "--port", port)
    assert said.code == 3
    assert f"port {port} is taken by another program" in said.err
    assert f"--port {port + 1}" in said.err


def test_an_address_that_is_not_this_machines_is_named(clipcap: Clipcap, model: Path) -> None:
    for host in ("203.0.113.7", "no such host"):
        said = clipcap("serve", "--model", model, "--host", host, "--insecure")
        assert said.code == 3
        assert f"{host!r}" in said.err


def test_a_model_that_cannot_be_loaded_ends_the_server_with_its_reason(clipcap: Clipcap, model: Path) -> None:
    said = clipcap("serve", "--model", model, "--port", "0")
    assert said.code == 3
    assert "captioner.json" in said.err
    assert said.err.count("Error:") == 1
    assert "Traceback" not in said.err


def test_two_models_of_one_name_are_refused(clipcap: Clipcap, model: Path) -> None:
    said = clipcap("serve", "--model", model, "--model", model)
    assert said.code == 2
    assert "two models would be called 'bundle'" in said.err


def test_without_the_extra_it_says_what_to_install(clipcap: Clipcap, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "uvicorn":
            raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
        return usual(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    said = clipcap("serve")
    assert said.code == 4
    assert "a server needs the package uvicorn, which is not installed" in said.err
    assert 'pip install "clipcap-cli[serve]"' in said.err
