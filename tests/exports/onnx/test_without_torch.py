"""The acceptance: a machine that has no torch. The test makes a new environment, which needs a package registry."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx_tools import FOOD, Exported
from said import Said

PICTURES = FOOD[:12]


@pytest.fixture(scope="module")
def python(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has what requirements.txt names."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile", "--retries", "1", "--timeout", "10"]
    done = subprocess.run([*install, "-r", str(exported.folder / "requirements.txt")], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pip cannot fetch four packages: {done.stderr.strip().splitlines()[-1]}")
    return python


def run(python: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-I", *map(str, arguments)], capture_output=True, text=True, encoding="utf-8", check=False)


def test_there_is_no_torch(python: Path) -> None:
    for package in ("torch", "transformers", "clipcap_cli"):
        assert f"No module named '{package}'" in run(python, "-c", f"import {package}").stderr


@pytest.mark.parametrize("beams", [1, 5])
def test_caption_py_says_what_clipcap_caption_says(beams: int, python: Path, exported: Exported, clipcap: Callable[..., Said], in_fp32: None) -> None:
    theirs = clipcap("caption", *PICTURES, "--model", exported.bundle, "--beam", beams, "--format", "jsonl")
    assert theirs.code == 0
    ours = run(python, exported.folder / "caption.py", *PICTURES, "--beam", beams, "--json")
    assert (ours.returncode, ours.stderr) == (0, "")
    found, expected = ([json.loads(line) for line in text.splitlines()] for text in (ours.stdout, theirs.out))
    assert [(one["image"], one["caption"]) for one in found] == [(one["image"], one["caption"]) for one in expected]
    assert [one["score"] for one in found] == pytest.approx([one["score"] for one in expected], abs=1e-4)
    assert len({one["caption"] for one in found}) > 4


def test_a_folder_is_captioned_and_what_is_no_picture_is_named(python: Path, exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for number, path in enumerate(PICTURES[:2]):
        (tmp_path / "below" / f"{number}.jpg").write_bytes(path.read_bytes())
    (tmp_path / "below" / "broken.jpg").write_bytes(b"not a picture")
    (tmp_path / "notes.txt").write_text("not looked at")
    done = run(python, exported.folder / "caption.py", tmp_path, "--greedy")
    assert done.returncode == 5
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()] == [str(tmp_path / "below" / f"{number}.jpg") for number in range(2)]
    assert "broken.jpg" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_that_cannot_be_are_refused(python: Path, exported: Exported) -> None:
    done = run(python, exported.folder / "caption.py", PICTURES[0], "--max-tokens", 400)
    assert done.returncode == 2
    assert "the tokens at most 45" in done.stderr
