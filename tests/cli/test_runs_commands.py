from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from clipcap_cli.recipe import dump_recipe, load_recipe
from clipcap_cli.storage.home import Home
from clipcap_cli.training.runs import Run, RunInfo, run_lock

Clipcap = Callable[..., Any]


@pytest.fixture
def run(home: Home) -> Run:
    """A run that was stopped after two validations."""
    run = Run(home.prepare(), "food")
    run.path.mkdir(parents=True)
    (run.path / "recipe.yaml").write_text(dump_recipe(load_recipe("quickstart")))
    run.write_info(
        RunInfo(
            name="food",
            status="stopped",
            started="2024-05-01T10:00:00+00:00",
            dataset="food",
            dataset_version=2,
            encoder="efficientnet-lite0",
            language_model="builtin:nano",
            planned_steps=1000,
            steps=200,
            minutes=1.5,
            best_step=100,
            best_loss=2.25,
            ended_because="interrupted",
        )
    )
    for step, loss, best in ((100, 2.25, True), (200, 2.5, False)):
        run.log({"step": step, "loss": 3.0, "lr": 1e-3})
        run.log({"step": step, "val_loss": loss, "best": best, "samples": [{"image": "a.jpg", "caption": f"an [apple] at {step}"}]})
    return run


def test_list_has_a_line_for_each_run(clipcap: Clipcap, run: Run) -> None:
    line = clipcap("runs", "list").out.splitlines()[1]
    assert [word for word in line.split("  ") if word.strip()][:2] == ["food", "stopped"]
    assert "200 of 1,000" in line
    assert "2.250" in line


def test_show_has_the_curve_the_captions_and_the_bundle(clipcap: Clipcap, run: Run) -> None:
    said = clipcap("runs", "show", "food").out
    assert "food: stopped (interrupted)" in said
    assert "▁█  from 2.250 to 2.500, best 2.250" in said
    assert "a.jpg: an [apple] at 100" in said
    assert "none: it ended before there was one" in said
    run.best.mkdir()
    shown = json.loads(clipcap("runs", "show", "food", "--json").out)
    assert shown["bundle"] == str(run.best)
    assert [validation["val_loss"] for validation in shown["validations"]] == [2.25, 2.5]


def test_a_run_chosen_by_a_score_shows_it(clipcap: Clipcap, run: Run) -> None:
    run.write_info(replace(run.info, select_by="cider", best_score=0.875))
    for step, score in ((300, 0.875), (400, 0.5)):
        run.log({"step": step, "val_loss": 2.0, "score": score, "select_by": "cider", "best": score > 0.5, "samples": []})
    assert "cider 0.875" in clipcap("runs", "list").out
    said = clipcap("runs", "show", "food").out
    assert "cider          █▁  from 0.875 to 0.500, best 0.875" in said
    assert [line.split() for line in said.splitlines() if line.startswith(("step", " 100", " 300"))] == [
        ["step", "loss", "cider", "first", "sample"],
        ["100", "2.250", "-", "best", "an", "[apple]", "at", "100"],
        ["300", "2.000", "0.875", "best"],
    ]
    assert json.loads(clipcap("runs", "show", "food", "--json").out)["best_score"] == 0.875


def test_a_run_that_is_training_or_was_killed_shows_how_far_it_has_come(clipcap: Clipcap, run: Run) -> None:
    run.write_info(replace(run.info, status="running", steps=0, ended_because=""))
    assert "200 of 1,000" in clipcap("runs", "list").out
    with run_lock(run):
        said = clipcap("runs", "show", "food").out
    assert "food: running\n" in said
    assert "steps          200 of 1,000" in said
    checkpoint = run.path / "checkpoints" / "step-00000250"
    checkpoint.mkdir(parents=True)
    (checkpoint / "captioner.json").write_text("{}")
    said = clipcap("runs", "show", "food").out
    assert "food: broken off\n" in said
    assert "steps          250 of 1,000" in said
    assert json.loads(clipcap("runs", "list", "--json").out)[0]["steps"] == 250


@pytest.mark.parametrize("name", ["runs/food", "runs/food/", "FOLDER"])
def test_a_run_is_meant_by_its_place_too(name: str, clipcap: Clipcap, run: Run) -> None:
    name = str(run.path) if name == "FOLDER" else name
    shown = clipcap("runs", "show", name)
    assert (shown.code, shown.out) == (0, clipcap("runs", "show", "food").out)
    assert "run 'food' has no lock" in clipcap("runs", "verify", name).err
    assert clipcap("runs", "remove", name, "--yes").out == "The run food is removed.\n"
    assert not run.path.exists()


def test_a_run_that_is_not_there_is_named_without_its_place(clipcap: Clipcap, run: Run) -> None:
    for command in (("runs", "show"), ("runs", "verify"), ("runs", "remove"), ("train",), ("train", "--resume")):
        said = clipcap(*command, "runs/fod")
        assert (said.code, said.err.splitlines()[0]) == (3, "Error: there is no run named 'fod'")
        assert "Did you mean 'food'?" in said.err


def test_whoever_goes_on_with_what_is_not_there_is_told_of_runs_and_recipes(clipcap: Clipcap, run: Run) -> None:
    run.path.rename(run.path.with_name("k9"))
    said = clipcap("train", "k8", "--resume")
    assert (said.code, said.err) == (3, "Error: there is no run or recipe named 'k8'\n  Did you mean 'k9'? `clipcap runs list` lists them.\n")
    said = clipcap("train", "something-else", "--resume")
    assert all(name in said.err for name in ("k9", "quickstart"))


def test_on_a_read_only_store_the_hint_fits_what_is_removed_too(clipcap: Clipcap, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(run.path))

    monkeypatch.setattr("clipcap_cli.storage.atomic.os.rename", refuse)
    said = clipcap("runs", "remove", "food", "--yes")
    assert said.code == 6
    assert "Give yourself permission to write there, or choose another place" in said.err
    assert run.path.exists()


def test_remove_asks_first_and_needs_yes_where_nobody_can_answer(clipcap: Clipcap, run: Run) -> None:
    assert clipcap("runs", "remove", "food").code == 3
    assert run.path.exists()
    assert clipcap("runs", "remove", "food", "--yes").code == 0
    assert not run.path.exists()


def test_a_run_whose_record_is_damaged_says_how_to_get_rid_of_it(clipcap: Clipcap, run: Run) -> None:
    (run.path / "run.json").write_text("{")
    said = clipcap("runs", "show", "food")
    assert said.code == 6
    assert "clipcap runs remove food" in said.err
    assert clipcap("runs", "remove", "food", "--yes").code == 0
