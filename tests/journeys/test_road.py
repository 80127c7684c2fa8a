"""The road from pictures to captions, by the real command."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from journey_tools import ROOT, SHORT, Road, contents, run_command

pytestmark = pytest.mark.journey
Clipcap = Callable[..., Any]


def test_three_lines_lead_from_pictures_to_captions(road: Road) -> None:
    assert road.added.returncode == 0, road.added.stderr
    assert "shapes v1: 10 pictures, 20 captions" in road.added.stdout
    assert "10 of 10 pictures have a .txt" in road.added.stderr
    assert "clipcap train quickstart --dataset shapes" in road.added.stderr
    assert road.trained.returncode == 0, road.trained.stderr
    assert "plan: " in road.trained.stderr
    assert "run quickstart: finished" in road.trained.stdout
    assert "clipcap caption PICTURE --model quickstart" in road.trained.stderr
    captioned = run_command(road.home, "caption", road.pictures, "--beam", 5)
    assert captioned.returncode == 0, captioned.stderr
    lines = captioned.stdout.splitlines()
    assert len(lines) == 10
    assert all(line.startswith(f"{road.pictures}/") and ".jpg: " in line for line in lines)
    assert "caption: run 'quickstart' (it is the newest run's)" in captioned.stderr


def test_training_again_embeds_nothing_and_takes_another_name(road: Road, clipcap: Clipcap) -> None:
    said = clipcap("embed", "shapes", "--encoder", "efficientnet-lite0", "--json")
    assert said.code == 0
    assert (json.loads(said.out)["new"], json.loads(said.out)["reused"]) == (0, 10)
    said = clipcap("train", "quickstart", "dataset.name=shapes", "train.epochs=1", "--json")
    assert said.code == 0, said.err
    run = json.loads(said.out)
    assert (run["name"], run["status"], run["dataset"]) == ("quickstart-2", "finished", "shapes")
    assert Path(run["bundle"]).is_dir()
    removed = clipcap("runs", "remove", "quickstart-2", "--yes", "--json")
    assert json.loads(removed.out) == {"removed": "quickstart-2", "runs": ["quickstart-2"]}
    assert not Path(run["path"]).exists()


def test_each_format_says_the_same(road: Road, clipcap: Clipcap, tmp_path: Path) -> None:
    pictures = shutil.copytree(road.pictures, tmp_path / "new")
    for sidecar in pictures.glob("*.txt"):
        sidecar.unlink()
    lines = [json.loads(line) for line in clipcap("caption", pictures, "--format", "jsonl").out.splitlines()]
    assert [Path(line["image"]).name for line in lines] == sorted(path.name for path in pictures.glob("*.jpg"))
    captions = {line["image"]: line["caption"] for line in lines}
    assert clipcap("caption", pictures).out == "".join(f"{image}: {text}\n" for image, text in captions.items())
    assert clipcap("caption", pictures, "--json").out.splitlines() == [json.dumps(line, ensure_ascii=False) for line in lines]
    assert clipcap("caption", pictures, "--format", "csv", "--output", tmp_path / "out.csv", "--batch-size", 3).code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert {row["image"]: row["caption"] for row in rows} == captions
    assert clipcap("caption", pictures, "--format", "sidecar").code == 0
    assert {str(path): path.with_suffix(".txt").read_text() for path in pictures.glob("*.jpg")} == {image: f"{text}\n" for image, text in captions.items()}


def test_sidecars_that_are_there_are_never_replaced_unasked(road: Road, clipcap: Clipcap, tmp_path: Path) -> None:
    pictures = shutil.copytree(road.pictures, tmp_path / "mine")
    before = contents(pictures)
    said = clipcap("caption", pictures, "--format", "sidecar")
    assert said.code == 0
    assert "10 sidecars there already" in said.err
    assert contents(pictures) == before
    assert clipcap("caption", pictures / "red circle.jpg", "--format", "sidecar", "--overwrite").code == 0
    changed = contents(pictures)
    assert {name for name in before if changed[name] != before[name]} <= {"red circle.txt"}
    assert changed.keys() == before.keys()


def test_strategies_and_seeds(road: Road, clipcap: Clipcap) -> None:
    picture = road.pictures / "red circle.jpg"
    greedy = clipcap("caption", picture, "--greedy", "--json").out
    assert clipcap("caption", picture, "--beam", 1, "--json").out == greedy
    drawn = [clipcap("caption", picture, "--sample", "--top-p", 1, "--temperature", 2, "--seed", seed, "--json").out for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    both = json.loads(clipcap("caption", picture, "--candidates", 2, "--json").out)["candidates"]
    assert len(both) == 2
    assert both[0]["score"] >= both[1]["score"]


def test_what_is_trained_can_be_looked_at_and_chosen(road: Road, clipcap: Clipcap) -> None:
    [run] = json.loads(clipcap("runs", "list", "--json").out)
    assert (run["name"], run["status"]) == ("quickstart", "finished")
    shown = clipcap("runs", "show", "quickstart")
    assert "bundle " in shown.out
    assert len(json.loads(clipcap("runs", "show", "quickstart", "--json").out)["validations"]) >= 2
    assert [model["name"] for model in json.loads(clipcap("model", "list", "--json").out)] == ["quickstart"]
    assert clipcap("model", "use", "quickstart").code == 0
    assert "in use" in clipcap("model", "list").out
    manifest = json.loads(clipcap("model", "show", "--json").out)
    assert (manifest["name"], manifest["encoder"]["spec"]) == ("quickstart", "efficientnet-lite0")
    assert "a red circle" in clipcap("dataset", "show", "shapes", "--samples", 10).out
    (road.home / "models" / "default").unlink()


def test_the_python_face_walks_the_same_road(road: Road) -> None:
    import clipcap_cli as clipcap
    from clipcap_cli.storage.home import Home

    home = Home(road.home)
    dataset = clipcap.open_dataset("shapes", home=home)
    assert clipcap.embed(dataset, encoder="efficientnet-lite0").new == 0
    captioner = clipcap.load("quickstart", home=home)
    captions = list(captioner.caption([road.pictures / "red circle.jpg"], beams=2))
    assert len(captions) == 1
    assert isinstance(captions[0], clipcap.Caption)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_ends_a_training_cleanly_and_keeps_its_captioner(road: Road) -> None:
    settings = ("name=long", "train.epochs=100000", "train.validate_every=2", *SHORT)
    line = [sys.executable, "-m", "clipcap_cli", "train", "quickstart", "--dataset", "shapes", *settings]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CLIPCAP_HOME": str(road.home), "CLIPCAP_OFFLINE": "1"}
    bundle = road.home / "runs" / "long" / "best" / "captioner.json"
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not bundle.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "run long: stopped" in out
    assert "clipcap train long --resume" in err
    assert "Traceback" not in err
    assert bundle.exists()
    steps = json.loads((road.home / "runs" / "long" / "run.json").read_text())["steps"]
    resumed = run_command(road.home, "train", "long", "--resume", "--stop-after", 3)
    assert resumed.returncode == 0, resumed.stderr
    assert f"run long: stopped, {steps + 3} steps" in resumed.stdout
    assert run_command(road.home, "runs", "remove", "long", "--yes").returncode == 0
