"""Places: a store that is none, and names that are paths to what belongs to somebody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hostile_tools import Stage


@pytest.mark.parametrize("name", ["../../outside", "../../outside/run", "../runs/../../outside", "..", "runs/../../outside", "../datasets/pictures"])
def test_a_run_outside_of_the_store_is_no_run_and_is_not_removed(name: str, stage: Stage, tmp_path: Path) -> None:
    record = (stage.home / "runs" / "quickstart" / "run.json").read_bytes()
    theirs = [tmp_path / "outside", tmp_path / "outside" / "run", stage.home / "datasets" / "pictures", stage.home]
    for folder in theirs:
        folder.mkdir(exist_ok=True)
        (folder / "run.json").write_bytes(record)
    try:
        for line in ("runs remove --yes {}", "runs show {}", "runs verify {}", "runs compare quickstart {}", "train {} --resume", "train {} --resume --reset"):
            said = stage.run(*line.format(name).split())
            assert said.code in (2, 3), (line, said.err)
            assert "Traceback" not in said.err
        assert all((folder / "run.json").read_bytes() == record for folder in theirs)
    finally:
        for folder in theirs[:2]:
            (folder / "run.json").unlink()
        theirs[1].rmdir()


@pytest.mark.parametrize("place", ["a file", "a device", "a file's inside"])
def test_a_store_that_is_no_folder_is_refused(place: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    precious = stage.outside / "precious.txt"
    root = {"a file": precious, "a device": Path("/dev/null"), "a file's inside": precious / "store"}[place]
    monkeypatch.setenv("CLIPCAP_HOME", str(root))
    stage.refuses("dataset", "add", stage.pictures, codes=(6,))
    if place != "a file's inside":
        stage.refuses("dataset", "list", codes=(6,))
        stage.refuses("runs", "list", "--home", root, codes=(6,))


def test_what_a_run_says_of_itself_leads_nowhere(stage: Stage) -> None:
    path = stage.home / "runs" / "quickstart" / "run.json"
    facts = {**json.loads(path.read_bytes()), "name": "../../outside", "dataset": "../../outside"}
    path.write_text(json.dumps(facts))
    stage.survives("runs", "list")
    stage.survives("runs", "show", "quickstart")
    stage.survives("eval", "quickstart", "--split", "val")
    stage.survives("runs", "remove", "quickstart", "--yes")
