from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipcap_cli.recipe import Recipe, load_recipe, shipped_recipes

Clipcap = Callable[..., Any]


def test_list_says_what_each_recipe_makes(clipcap: Clipcap) -> None:
    said = clipcap("recipe", "list", "--json")
    listed = json.loads(said.out)
    assert [recipe["name"] for recipe in listed] == list(shipped_recipes())
    assert all(recipe["about"].endswith(".") and not recipe["about"].endswith("code does with.") and Path(recipe["path"]).is_file() for recipe in listed)


def test_show_prints_the_file_and_with_full_every_key(clipcap: Clipcap) -> None:
    path = shipped_recipes()["quickstart"]
    assert clipcap("recipe", "show", "quickstart").out == path.read_text(encoding="utf-8")
    full = clipcap("recipe", "show", "quickstart", "--full").out
    assert all(f"{key}:" in full for key in Recipe.model_fields)


def test_a_copy_is_the_same_recipe_and_replaces_nothing(clipcap: Clipcap, tmp_path: Path) -> None:
    target = tmp_path / "mine.yaml"
    assert clipcap("recipe", "copy", "quickstart", target).code == 0
    assert load_recipe(target) == load_recipe("quickstart")
    target.write_text("mine")
    said = clipcap("recipe", "copy", "quickstart", target)
    assert (said.code, target.read_text()) == (3, "mine")


@pytest.mark.parametrize("name", list(shipped_recipes()))
def test_check_judges_every_shipped_recipe_without_torch_or_network(name: str, clipcap: Clipcap) -> None:
    said = clipcap("recipe", "check", name, "--json")
    levels = {finding["subject"]: finding["level"] for finding in json.loads(said.out)}
    assert levels["recipe"] == "good"
    assert levels["texts" if name == "text-only" else "dataset"] == "warn"
    assert said.code in (0, 4)  # 4 where weights are missing and may not be fetched


def test_check_fails_for_what_cannot_be_had(clipcap: Clipcap) -> None:
    said = clipcap("recipe", "check", "quickstart", "encoder.name=nothing", "language_model.name=builtin:none", "--json")
    assert said.code == 3
    levels = {finding["subject"]: finding["level"] for finding in json.loads(said.out)}
    assert levels == {"recipe": "good", "dataset": "warn", "encoder": "fail", "language model": "fail"}


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("name=CON", "name: 'CON' cannot name a run: it is a device on Windows. Choose another name, such as CON-1."),
        ("name=../x", "name: '../x' cannot name a run. Use letters, digits, '.', '-' and '_'"),
        ("name=", "name has no value: write one, or leave the key out"),
        ("train.epochs=", "train.epochs has no value: write one, or leave the key out"),
    ],
)
def test_a_value_that_cannot_be_is_answered_with_what_can(typed: str, told: str, clipcap: Clipcap) -> None:
    said = clipcap("recipe", "check", "quickstart", typed)
    assert said.code == 3
    assert f"command line: {told}" in said.err


@pytest.mark.parametrize("command", ["train", "recipe check", "recipe show"])
def test_a_file_that_is_not_there_and_a_folder_are_called_what_they_are(
    command: str, clipcap: Clipcap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "folder.yaml").mkdir()
    for name, told in (
        ("nosuch.yaml", "there is no such file"),
        ("./nosuch", "there is no such file"),
        ("pictures", "this is a folder, not a recipe"),
        ("./pictures", "this is a folder, not a recipe"),
        ("folder.yaml", "this is a folder, not a recipe"),
    ):
        said = clipcap(*command.split(), name)
        assert (said.code, said.err.splitlines()[0]) == (3, f"Error: {name}: {told}")
    assert "Did you mean 'quickstart'?" in clipcap(*command.split(), "quikstart.yml").err


def test_check_names_the_published_model_that_a_recipe_starts_from(clipcap: Clipcap) -> None:
    said = clipcap("recipe", "check", "food-from-coco", "--json")
    [init] = [finding for finding in json.loads(said.out) if finding["subject"] == "init"]
    assert (said.code, init["level"]) == (4, "fail")
    assert "clipcap model pull coco-mlp" in init["hint"]


def test_what_may_be_downloaded_is_a_warning_and_offline_a_failure(clipcap: Clipcap, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ("recipe", "check", "quickstart", "language_model.name=gpt2", "encoder.name=openai:RN50")
    said = clipcap(*line)
    assert said.code == 4
    assert "by hand" in said.out
    monkeypatch.delenv("CLIPCAP_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    said = clipcap(*line)
    assert said.code == 0
    assert "gpt2 is not here. It is downloaded when it is used first." in said.out
