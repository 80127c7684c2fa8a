"""From a captioner, or anybody's captions, to numbers that can be trusted, by the real command."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from journey_tools import Road, contents

pytestmark = pytest.mark.journey
Clipcap = Callable[..., Any]

METRICS = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr", "CIDEr-D"]


@pytest.fixture
def predictions(road: Road, tmp_path: Path) -> Path:
    """The first caption of each picture, as a tool of other people would write them."""
    path = tmp_path / "others.json"
    path.write_text(json.dumps([{"image_id": picture.stem, "caption": f"a {picture.stem}"} for picture in sorted(road.pictures.glob("*.jpg"))]))
    return path


def test_a_run_is_scored_on_the_split_that_is_named(road: Road, clipcap: Clipcap) -> None:
    said = clipcap("eval", "quickstart", "--split", "train")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("quickstart on shapes v1, split train: ")
    assert lines[2].split()[:2] == ["metric", "score"]
    assert [line.split()[0] for line in lines[3:10]] == METRICS
    assert "signature: CIDEr-D|data:shapes-v1-train|n:" in said.out
    assert "pictures: under 100" in said.err
    assert "learned from (split train)" in said.err
    again = clipcap("eval", "quickstart", "--split", "train", "--json")
    assert "written before" in again.err
    scores = json.loads(again.out)
    assert list(scores["scores"]) == METRICS
    assert scores["scores"]["CIDEr-D"]["low"] <= scores["scores"]["CIDEr-D"]["score"] <= scores["scores"]["CIDEr-D"]["high"]
    assert {"human", "random caption", "most frequent"} <= set(scores["baselines"])
    kept = json.loads(Path(scores["predictions"]).read_text())
    assert len(kept) == scores["pictures"]
    assert {"image_id", "caption"} <= kept[0].keys()


def test_anybodys_captions_are_scored_as_a_table_and_picture_by_picture(road: Road, clipcap: Clipcap, predictions: Path, tmp_path: Path) -> None:
    said = clipcap("eval", predictions, "--dataset", "shapes", "--split", "train", "--partial", "--csv", "--per-image", tmp_path / "each.csv")
    assert said.code == 0, said.err  # captions of other splits are left out, no picture of this one is
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert [row["metric"] for row in rows if row["system"] == "others.json"] == METRICS
    assert float(rows[0]["score"]) == 1
    each = list(csv.DictReader(io.StringIO((tmp_path / "each.csv").read_text())))
    assert len(each) == int(rows[0]["pictures"])
    assert all(float(row["BLEU-1"]) == pytest.approx(1) for row in each)


def test_two_are_compared_picture_by_picture(road: Road, clipcap: Clipcap, predictions: Path) -> None:
    everything = json.loads(predictions.read_text())
    train = {
        entry["image_id"] for entry in json.loads(Path(json.loads(clipcap("eval", "quickstart", "--split", "train", "--json").out)["predictions"]).read_text())
    }
    predictions.write_text(json.dumps([entry for entry in everything if f"{entry['image_id']}.jpg" in train]))
    said = clipcap("runs", "compare", "quickstart", predictions, "--dataset", "shapes", "--split", "train")
    assert said.code == 0, said.err
    assert "others.json" in said.out
    assert "are the same word for word" in said.out
    found = json.loads(clipcap("runs", "compare", "quickstart", predictions, "--dataset", "shapes", "--split", "train", "--json", "--show", 2).out)
    assert [difference["metric"] for difference in found["differences"]] == METRICS
    assert len(found["changes"]) <= 2
    itself = clipcap("runs", "compare", "quickstart", "quickstart", "--split", "train")
    assert "They are one and the same captioner." in itself.out


def test_wrong_questions_get_a_sentence_and_change_nothing(road: Road, clipcap: Clipcap, predictions: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    twice = tmp_path / "twice.jsonl"
    name = json.loads(Path(json.loads(clipcap("eval", "quickstart", "--split", "train", "--json").out)["predictions"]).read_text())[0]["image_id"]
    twice.write_text(f'{{"image": "{name}", "caption": "a"}}\n{{"image": "{Path(name).stem}", "caption": "b"}}\n')
    before = contents(road.home)
    for arguments, code, words in (
        (["quickstart", "--split", "tset"], 3, "has no split 'tset'"),
        (["quickstart", "--metric", "cidr"], 3, "did you mean 'cider'?"),
        (["quickstart", "--dataset", "shape"], 3, "Did you mean 'shapes'?"),
        (["quickstart", "--decode", "beems=3", "--split", "train"], 3, "did you mean 'beams'?"),
        (["quickstart", "--decode", "beams", "--split", "train"], 2, "does not set a key"),
        (["nobody"], 3, "no model or run named 'nobody'"),
        ([predictions], 3, "Add --dataset NAME (`clipcap eval` also takes --references FILE)."),
        ([broken, "--dataset", "shapes", "--split", "train"], 3, "this is not JSON"),
        ([twice, "--dataset", "shapes", "--split", "train", "--partial"], 3, "has two captions; the first is at twice.jsonl:1"),
        ([predictions, "--dataset", "shapes", "--split", "train"], 3, "score what both have with --partial"),
        ([tmp_path / "none.csv", "--dataset", "shapes", "--split", "train"], 3, "no such file of captions"),
        (["quickstart", "--metric", "clipscore", "--split", "train"], 3, "Name one with --clip"),
        (["quickstart", "--idf", tmp_path / "none.json", "--split", "train"], 3, "no such file of document frequencies"),
        (["quickstart", "--save-idf", "x.json"], 2, "--save-idf keeps what --idf names."),
        (["quickstart", "--csv", "--json"], 2, "exclude each other"),
        (["quickstart", "--against", "other"], 2, "--against is for --report"),
        (["quickstart", "--split", "train", "--report", tmp_path], 3, "this is a folder"),
        (["quickstart", "--split", "train", "--report", broken], 3, "it was left as it is"),
        (["quickstart", "--split", "train", "--per-image", tmp_path], 3, "this is a folder"),
    ):
        said = clipcap("eval", *arguments)
        assert (said.code, words in said.err, said.out) == (code, True, ""), (arguments, said)
    assert contents(road.home) == before
