"""A captioner that was trained and scored goes to others, by the real command."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from journey_tools import Road, contents
from said import Said

import clipcap_cli
from clipcap_cli.storage.home import Home

pytestmark = pytest.mark.journey
Clipcap = Callable[..., Said]


def test_the_card_has_the_data_the_scores_and_the_recipe(road: Road, clipcap: Clipcap, tmp_path: Path) -> None:
    scored = clipcap("eval", "quickstart", "--split", "val", "--no-baselines", "--json")
    assert scored.code == 0, scored.err
    assert clipcap("eval", "quickstart", "--split", "train", "--no-baselines").code == 0
    said = clipcap("export", "quickstart", "--output", tmp_path / "out", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert (told["format"], told["output"], told["files"][:2]) == ("bundle", str(tmp_path / "out"), ["README.md", "captioner.json"])
    card = (tmp_path / "out" / "README.md").read_text()
    for metric, value in json.loads(scored.out)["scores"].items():
        assert f"| {metric} | {value['score']:.3f} | {value['low']:.3f} to {value['high']:.3f} |" in card
    assert "shapes v1, split val: " in card
    assert "Its best step was chosen on these pictures" in card
    assert "Under 100 pictures, scores of the same captioner differ widely" in card
    assert "split train:" not in card  # how well it knows what it has learned is no score
    for fact in ("- Dataset: shapes, version 1", "- Size: 10 pictures, 20 captions (train ", "- Licence: not recorded", "name: quickstart\n", "## Limits"):
        assert fact in card
    assert str(road.pictures.parent) not in card  # whose machine it was is nobody's business
    shown = clipcap("model", "show", tmp_path / "out")
    assert "scores         shapes v1, val: BLEU-1 " in shown.out


def test_a_self_contained_model_is_scored_with_the_encoder_that_it_brings(road: Road, clipcap: Clipcap, tmp_path: Path) -> None:
    scored = [json.loads(clipcap("eval", "quickstart", "--split", "val", "--no-baselines", "--json").out)["scores"]]
    assert clipcap("export", "quickstart", "--self-contained", "--output", tmp_path / "whole").code == 0
    said = clipcap("eval", tmp_path / "whole", "--split", "val", "--no-baselines", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["scores"] == scored[0]


def test_exporting_changes_nothing_in_the_store(road: Road, clipcap: Clipcap, tmp_path: Path) -> None:
    before = contents(road.home)
    for number, options in enumerate(([], ["--self-contained"], ["--tar"])):
        assert clipcap("export", "quickstart", "--output", tmp_path / str(number), *options).code == 0
    assert {name: sha for name, sha in contents(road.home).items() if name != "weights/hashes.json"} == {
        name: sha for name, sha in before.items() if name != "weights/hashes.json"
    }


def test_python_gives_the_same_file_as_the_command(road: Road, clipcap: Clipcap, tmp_path: Path) -> None:
    assert clipcap("export", "quickstart", "--tar", "--output", tmp_path / "a" / "food.tar").code == 0
    made = clipcap_cli.export("quickstart", "bundle", tmp_path / "b" / "food.tar", tar=True, home=Home(road.home))
    assert (tmp_path / "a" / "food.tar").read_bytes() == Path(made).read_bytes()
    with tarfile.open(made) as archive:
        assert {member.mtime for member in archive} == {0}
        assert {member.name.partition("/")[0] for member in archive} == {"food"}


def test_what_the_original_code_cannot_have_is_said(road: Road, clipcap: Clipcap, tmp_path: Path) -> None:
    said = clipcap("export", "quickstart", "--format", "original", "--output", tmp_path / "out.pt")
    assert said.code == 3
    assert "it standardizes embeddings (encoder.standardize), and there nothing does" in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_tar_in_the_place_of_a_captioner_is_told_how_to_bring_it(road: Road, clipcap: Clipcap, tmp_path: Path) -> None:
    assert clipcap("export", "quickstart", "--tar", "--output", tmp_path / "food.tar").code == 0
    said = clipcap("caption", road.pictures / "red circle.jpg", "--model", tmp_path / "food.tar")
    assert said.code == 3
    assert f"clipcap model import {tmp_path / 'food.tar'}" in said.err
