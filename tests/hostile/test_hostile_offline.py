"""Nothing is asked of the network that was not named: offline no socket is opened, and otherwise none on the road of the quickstart.

Every process of the road, and every process that it starts, has a hook of Python's own (PEP 578) that writes down each socket and each name that is looked up,
and refuses it. What libraries do without Python is seen by strace, where that is installed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_tools import make_pictures

import clipcap_cli

ROOT = Path(clipcap_cli.__file__).parent.parent
# Read by Python itself at its start, since it lies on PYTHONPATH under this name.
_HOOK = """
import os, sys

def refuse(event, arguments):
    if event in ("socket.__new__", "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        with open(os.environ["CLIPCAP_ASKED"], "a") as stream:
            stream.write(f"{event} {arguments[1:] if event != 'socket.getaddrinfo' else arguments}\\n")
        raise OSError(f"the network was asked: {event}")

sys.addaudithook(refuse)
# Comes with the tests' server of S3, not with clipcap: transformers imports it by way of accelerate, and it opens a socket to see whether there is IPv6.
sys.modules["boto3"] = None
"""
_WALK = """
import json, sys
from clipcap_cli.cli.main import main

for line in json.loads(sys.argv[1]):
    sys.stdout.flush()
    code = main(line)
    print(json.dumps([line[:3], code]), file=sys.stderr, flush=True)
"""
_SHORT = "train.epochs=1 train.batch_size=4 decode.beams=1 decode.max_tokens=2 mapper.prefix_length=2"
ROAD = (
    "doctor",
    "recipe list",
    "recipe check quickstart",
    "dataset add {pictures}",
    "dataset show pictures",
    "embed pictures --encoder efficientnet-lite0",
    f"train quickstart --dataset pictures {_SHORT}",
    "caption {pictures}",
    "eval quickstart --dataset pictures --split val --report report.html",
    "runs list",
    "runs show quickstart",
    "runs verify quickstart",
    "model list",
    "model use quickstart",
    "export quickstart --output out --self-contained",
    "model import out --name again",
    "caption {pictures} --model again",
    "cache info",
    "cache verify",
    "cache prune --dry-run",
)
DOWNLOADS = (
    "model pull someone/food",
    "embed pictures --encoder hf:google/siglip-base-patch16-224",
    "embed pictures --encoder openai:ViT-B/32",
    "train quickstart --dataset pictures language_model.name=gpt2",
    "train quickstart --dataset pictures encoder.name=hf:openai/clip-vit-base-patch32",
    "export quickstart --format hub --repo someone/food",
)


def _walk(lines: tuple[str, ...], folder: Path, *, extra: tuple[str, ...] = (), tracer: tuple[str, ...] = (), **environment: str) -> tuple[list[int], str, str]:
    """Run command lines in one process: their exit codes, what was said, and what was asked of the network."""
    make_pictures(folder / "pictures")
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(_HOOK)
    asked = folder / "asked.txt"
    mine = {
        "PYTHONPATH": os.pathsep.join([str(folder / "hook"), str(ROOT)]),
        "CLIPCAP_ASKED": str(asked),
        "CLIPCAP_HOME": str(folder / "home"),
        "HF_HOME": str(folder / "hub"),  # where nothing is
        "HOME": str(folder),
        **environment,
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CLIPCAP_", "HF_"))}
    typed = [[word.format(pictures=folder / "pictures") for word in line.split()] for line in lines]
    command = [*tracer, sys.executable, "-c", _WALK, json.dumps([[*line, *extra] for line in typed])]
    ended = subprocess.run(command, env={**kept, **mine}, cwd=folder, capture_output=True, text=True, check=False)
    codes = [json.loads(line)[1] for line in ended.stderr.splitlines() if line.startswith("[[")]
    assert len(codes) == len(lines), ended.stderr[-3000:]
    return codes, ended.stdout + ended.stderr, asked.read_text() if asked.exists() else ""


@pytest.mark.parametrize("how", [pytest.param("the variable", marks=pytest.mark.slow), "the option"])
def test_offline_opens_no_socket_and_says_so_where_one_would_be_needed(how: str, tmp_path: Path) -> None:
    if how == "the variable":
        road = ROAD
        codes, said, asked = _walk((*road, *DOWNLOADS), tmp_path, CLIPCAP_OFFLINE="1")
    else:
        road = ROAD[3:8]
        codes, said, asked = _walk((*road, *DOWNLOADS), tmp_path, extra=("--offline",))
    assert asked == ""
    assert codes == [0] * len(road) + [4] * len(DOWNLOADS), said[-6000:]
    errors = [line for line in said.splitlines() if line.startswith("Error:")]
    assert len(errors) == len(DOWNLOADS)
    assert all("clipcap is offline" in error for error in errors)


def test_the_road_of_the_quickstart_needs_no_network_at_all(tmp_path: Path) -> None:
    tracer: tuple[str, ...] = ()
    if strace := shutil.which("strace"):  # what libraries do without Python is seen too
        tracer = (strace, "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,bind", "-o", str(tmp_path / "calls.txt"))
    codes, said, asked = _walk(ROAD, tmp_path, tracer=tracer)
    assert asked == ""
    assert codes == [0] * len(ROAD), said[-6000:]
    assert not tracer or "AF_INET" not in (tmp_path / "calls.txt").read_text()


def test_the_hook_sees_who_asks(tmp_path: Path) -> None:
    """What is downloaded is asked for, so a road on which nothing was asked for was really walked without."""
    codes, said, asked = _walk(("embed pictures --encoder openai:ViT-B/32", "dataset add {pictures}", "embed pictures --encoder openai:ViT-B/32"), tmp_path)
    assert codes == [3, 0, 4], said
    assert "openaipublic" in asked
    assert "the network was asked" in said
