"""Several processes that train one captioner: as if there were one, whatever happens to them. The long form is `python benchmarks/together_training.py`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from journey_tools import ROOT, SHORT, Road, run_command
from safetensors.numpy import load_file

pytestmark = [pytest.mark.journey, pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")]

STEPS = 50
# Shares are uneven (5 captions for 2 or 3 processes), a step has two batches, and noise is added.
LINE = ("train", "quickstart", "--dataset", "shapes", f"train.steps={STEPS}", "train.batch_size=5", "train.accumulate=2", "train.validate_every=25", *SHORT)
EXACT = ("train.precision=fp32", "train.dropout=0", "train.lr=1e-4", "train.lm_lr=1e-5")
SOON_S = 30


def losses(run: Path) -> dict[int, list[float]]:
    """By step: of training, of validation."""
    found: dict[int, list[float]] = {}
    for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        found.setdefault(line["step"], []).append(line["val_loss"] if "val_loss" in line else line["loss"])
    return found


def captions(run: Path) -> list[object]:
    return [json.loads(line)["samples"] for line in (run / "metrics.jsonl").read_text().splitlines() if "samples" in line]


def assert_alike(run: Path, other: Path) -> None:
    """The same losses, captions and weights, but for the order of sums."""
    ours, theirs = losses(run), losses(other)
    assert ours.keys() == theirs.keys()
    for step in theirs:
        assert ours[step] == pytest.approx(theirs[step], abs=1e-5)
    assert captions(run) == captions(other)
    for file in ("mapper.safetensors", "lm/model.safetensors"):
        weights, expected = load_file(run / "last" / file), load_file(other / "last" / file)
        assert weights.keys() == expected.keys()
        for name, numbers in expected.items():
            np.testing.assert_allclose(weights[name], numbers, rtol=0, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def home(road: Road, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the newcomer's store: runs that are made in it are nobody else's newest."""
    return Path(shutil.copytree(road.home, tmp_path_factory.mktemp("devices") / "home"))


@pytest.fixture(scope="module")
def alone(home: Path) -> Path:
    """The run of one process."""
    done = run_command(home, *LINE, *EXACT, "name=alone")
    assert done.returncode == 0, done.stderr
    return home / "runs" / "alone"


def started(home: Path, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CLIPCAP_HOME": str(home), "CLIPCAP_OFFLINE": "1"}
    line = [sys.executable, "-m", "clipcap_cli", *map(str, arguments)]
    return subprocess.Popen(line, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def torchrun(home: Path, processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in several processes that torch's own launcher starts."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CLIPCAP_HOME": str(home), "CLIPCAP_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "-m", "clipcap_cli", *arguments]
    return subprocess.run(line, env=environment, text=True, capture_output=True, check=False)


def logged(run: Path) -> set[int]:
    """Steps of which there is a line."""
    return set(losses(run)) if (run / "metrics.jsonl").exists() else set()


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def process_of(launcher: int, rank: int) -> int:
    """The process of a launcher that has this rank."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if parent == launcher and f"RANK={rank}".encode() in (status.parent / "environ").read_bytes().split(b"\0"):
                return int(status.parent.name)
        except OSError:  # it has ended
            continue
    raise AssertionError(f"there is no process of rank {rank}")


def test_two_processes_learn_what_one_learns(home: Path, alone: Path) -> None:
    done = run_command(home, *LINE, *EXACT, "name=two", "--devices", 2)

    assert done.returncode == 0, done.stderr
    assert "2 processes, each with 3 of the 5 captions of a batch" in done.stderr
    assert done.stdout.count("run two: finished") == 1
    assert_alike(home / "runs" / "two", alone)


def test_when_one_dies_the_others_keep_what_was_learned_and_one_alone_goes_on(home: Path, alone: Path) -> None:
    run = home / "runs" / "dead"
    training = started(home, *LINE, *EXACT, "name=dead", "--devices", 2)
    wait_for(lambda: 10 in logged(run))
    os.kill(process_of(training.pid, 0), signal.SIGKILL)  # the one that writes; another one does then
    _, err = training.communicate(timeout=SOON_S)
    assert training.returncode == 7
    assert err.count("Error") == 1
    assert "process 0 of 2 is gone (SIGKILL), and the others were ended" in err
    [step] = [int(folder.name.removeprefix("step-")) for folder in (run / "checkpoints").iterdir()]
    assert step >= 10
    assert f"Run 'dead' is kept as it was at step {step}; to go on: clipcap train dead --resume" in err

    done = run_command(home, "train", "dead", "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"dead goes on from step {step} of {STEPS}") == 1
    assert_alike(run, alone)


@pytest.mark.slow
def test_ctrl_c_ends_all_after_the_step_in_hand_and_three_go_on(home: Path, alone: Path) -> None:
    run = home / "runs" / "stopped"
    training = started(home, *LINE, *EXACT, "name=stopped", "--devices", 2)
    wait_for(lambda: 10 in logged(run))
    training.send_signal(signal.SIGINT)
    out, err = training.communicate(timeout=SOON_S)
    assert training.returncode == 130, err
    assert "run stopped: stopped" in out
    assert "Error" not in err

    done = torchrun(home, 3, "train", "stopped", "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("stopped goes on from step ") == 1
    assert_alike(run, alone)


def test_what_is_wrong_is_said_once(home: Path) -> None:
    done = torchrun(home, 2, "train", "quickstart", "--dataset", "nowhere")

    assert done.returncode != 0
    assert done.stderr.count("Error: there is no dataset named 'nowhere'") == 1


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ("0", "--devices 0 is neither auto nor a number from 1"),
        ("cpu,cpu", "lists of devices are for embed and caption"),
        ("9999", "--devices 9999 is more than there is"),
    ],
)
def test_devices_that_are_not_there_are_refused(clipcap: Callable[..., object], devices: str, message: str) -> None:
    said = clipcap("train", "quickstart", "--dataset", "shapes", "--devices", devices)
    assert (said.code, message in said.err) == (3, True)  # type: ignore[attr-defined]
