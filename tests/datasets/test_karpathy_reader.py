from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reading_tools import read_source

from clipcap_cli.datasets.detection import detect
from clipcap_cli.datasets.records import ReaderOptions, ignore
from clipcap_cli.errors import InputError

Draw = Callable[..., Path]


def image(filename: str, split: Any, *sentences: Any, **more: Any) -> dict[str, Any]:
    return {"filename": filename, "imgid": 0, "split": split, "sentids": [], "sentences": [*sentences], **more}


def raw(text: str) -> dict[str, Any]:
    return {"tokens": text.lower().rstrip(".").split(), "raw": text, "imgid": 0, "sentid": 0}


def write(path: Path, *images: Any) -> Path:
    path.write_text(json.dumps({"images": images, "dataset": path.stem.partition("_")[2]}))
    return path


def test_karpathys_flickr8k(tmp_path: Path, draw: Draw) -> None:
    for name in ("1_a.jpg", "2_b.jpg", "3_c.jpg"):
        draw(tmp_path / "Images" / name)
    images = [image("1_a.jpg", "train", raw("A dog runs."), raw("Dogs !")), image("2_b.jpg", "val", raw("A cat.")), image("3_c.jpg", "test", raw("Cows."))]
    file = write(tmp_path / "dataset_flickr8k.json", *images)
    for source in (tmp_path, file):
        reading = read_source(source)
        assert reading.evidence.layout == "karpathy"
        assert reading.evidence.reason == "dataset_flickr8k.json names 3 pictures with 4 sentences in Karpathy's splits, and Images/ has 3 pictures"
        assert reading.captions == {"Images/1_a.jpg": ("A dog runs.", "Dogs !"), "Images/2_b.jpg": ("A cat.",), "Images/3_c.jpg": ("Cows.",)}
        assert list(reading.splits.values()) == ["train", "val", "test"]
        assert reading.problems == []


@pytest.mark.parametrize("place", ["val2014/COCO_val2014_000000000042.jpg", "COCO_val2014_000000000042.jpg", "train2017/000000000042.jpg"])
def test_karpathys_coco_has_a_folder_for_each_picture_and_restval_is_train(tmp_path: Path, draw: Draw, place: str) -> None:
    draw(tmp_path / "pictures" / place)
    write(tmp_path / "dataset_coco.json", image("COCO_val2014_000000000042.jpg", "restval", raw("A dog."), filepath="val2014", cocoid=42))
    reading = read_source(tmp_path, ReaderOptions(images=tmp_path / "pictures"))
    assert (reading.captions, reading.splits, reading.problems) == ({place: ("A dog.",)}, {place: "train"}, [])


def test_what_karpathys_file_says_of_its_pictures_is_kept_if_asked_for(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "1.jpg")
    write(tmp_path / "dataset_coco.json", image("1.jpg", "train", raw("A dog."), cocoid=391895))
    reader, _ = detect(tmp_path, options := ReaderOptions(tag_columns=("cocoid",)))
    assert [record.tags for record in reader.read(tmp_path, options, ignore)] == [{"cocoid": "391895"}]


def test_a_sentence_without_raw_text_is_its_tokens(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "1.jpg")
    write(tmp_path / "dataset_mine.json", image("1.jpg", "train", {"tokens": ["two", "dogs"]}))
    assert read_source(tmp_path).captions == {"1.jpg": ("two dogs",)}


def test_what_is_wrong_in_karpathys_file_is_listed_and_the_rest_is_read(tmp_path: Path, draw: Draw) -> None:
    for number in range(1, 5):
        draw(tmp_path / f"{number}.jpg")
    write(
        tmp_path / "dataset_mine.json",
        image("1.jpg", None, raw("A dog."), {"raw": 5}, {"tokens": ["a", 1]}, "text", raw(" ")),
        image("2.jpg", "train"),
        image("3.jpg", "train") | {"sentences": "A cat."},
        *(image("5.jpg", "val"), image("6.jpg", "val", raw("Gone.")), {"filename": 7}, None, 8, {"filename": ""}),
    )
    reading = read_source(tmp_path)
    assert (reading.captions, reading.splits) == ({"1.jpg": ("A dog.",)}, {"1.jpg": None})
    assert reading.kinds == {"bad-row": 8, "empty-caption": 1, "no-caption": 4, "missing-picture": 1}
    assert reading.said("no-caption")[0] == "dataset_mine.json, images[3]: '5.jpg' has no sentences and no picture; it is left out"


def test_two_of_karpathys_files_are_not_chosen_between(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "1.jpg")
    for name in ("dataset_flickr8k.json", "dataset_flickr30k.json"):
        write(tmp_path / name, image("1.jpg", "train", raw("A dog.")))
    with pytest.raises(InputError, match=r"2 files here have Karpathy's splits: dataset_flickr30k\.json, dataset_flickr8k\.json.*Name the one"):
        read_source(tmp_path)
    assert read_source(tmp_path / "dataset_flickr8k.json").captions == {"1.jpg": ("A dog.",)}


def test_karpathys_splits_are_taken_before_the_files_that_they_were_made_of(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "1.jpg")
    write(tmp_path / "dataset_coco.json", image("1.jpg", "test", raw("A dog.")))
    captions = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "id": 1, "caption": "A dog."}]}
    (tmp_path / "captions_train2014.json").write_text(json.dumps(captions))
    (tmp_path / "Flickr8k.token.txt").write_text("1.jpg#0\tA dog .\n")
    assert read_source(tmp_path).evidence.layout == "karpathy"
