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


def image(number: int, **more: Any) -> dict[str, Any]:
    return {"license": 4, "id": number, "file_name": f"{number:012}.jpg", "height": 8, "width": 12, **more}


def said(number: int, caption: Any, annotation_id: Any = None) -> dict[str, Any]:
    return {"image_id": number, "id": number * 10 if annotation_id is None else annotation_id, "caption": caption}


def write(path: Path, images: list[Any], annotations: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"info": {"year": 2017}, "licenses": [], "images": images, "annotations": annotations}))
    return path


@pytest.mark.parametrize("place", ["captions.json", "annotations/captions_val2017.json", "mine.json"])
def test_a_captions_file_is_found_by_what_is_in_it(tmp_path: Path, draw: Draw, place: str) -> None:
    for number in (1, 2):
        draw(tmp_path / "val2017" / f"{number:012}.jpg")
    file = write(tmp_path / place, [image(1), image(2)], [said(1, "A dog."), said(2, "A cat."), said(1, " A brown\ndog. ", 11)])
    reading = read_source(tmp_path)
    assert (reading.evidence.layout, reading.problems) == ("coco captions", [])
    assert reading.evidence.reason == f"{file.name} has 3 captions in COCO's format, and val2017/ has 2 pictures"
    assert reading.captions == {"val2017/000000000001.jpg": ("A dog.", "A brown dog."), "val2017/000000000002.jpg": ("A cat.",)}
    assert set(reading.splits.values()) == {None}, "a file alone is no split, whatever its name"


def test_a_captions_file_may_be_named_itself_and_its_pictures_lie_elsewhere(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "pictures/000000000001.jpg")
    file = write(tmp_path / "annotations/captions.json", [image(1)], [said(1, "A dog.")])
    assert read_source(file, ReaderOptions(images=tmp_path / "pictures")).captions == {"000000000001.jpg": ("A dog.",)}
    with pytest.raises(InputError, match=r"no pictures in this folder.*--images"):
        read_source(file)


def test_several_files_are_splits_by_their_names(tmp_path: Path, draw: Draw) -> None:
    for number, name in enumerate(("train2017", "val2017", "test"), 1):
        draw(tmp_path / name / f"{number:012}.jpg")
        write(tmp_path / "annotations" / f"captions_{name}.json", [image(number)], [said(number, name)])
    reading = read_source(tmp_path)
    assert reading.problems == []
    assert "captions_train2017.json has 1 caption and captions_val2017.json has 1 caption in COCO's format (splits " in reading.evidence.reason
    assert reading.splits == {"train2017/000000000001.jpg": "train", "val2017/000000000002.jpg": "val", "test/000000000003.jpg": "test"}


def test_a_file_whose_pictures_are_not_there_is_one_problem(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "val2017/000000000001.jpg")
    write(tmp_path / "annotations/captions_val2017.json", [image(1)], [said(1, "A dog.")])
    write(tmp_path / "annotations/captions_train2017.json", [image(2), image(3)], [said(2, "A cat."), said(3, "A cow.")])
    reading = read_source(tmp_path)
    assert list(reading.captions) == ["val2017/000000000001.jpg"]
    assert reading.said("missing-picture") == [f"captions_train2017.json: none of its 2 pictures is in {tmp_path}; the file is left out"]


@pytest.mark.parametrize(("named", "there"), [("COCO_val2014_000000000042.jpg", "000000000042.jpg"), ("000000000042.jpg", "COCO_train2014_000000000042.jpg")])
def test_pictures_of_coco_are_found_under_their_names_of_another_year(tmp_path: Path, draw: Draw, named: str, there: str) -> None:
    draw(tmp_path / there)
    write(tmp_path / "captions.json", [image(42, file_name=named)], [said(42, "A dog.")])
    assert read_source(tmp_path).captions == {there: ("A dog.",)}


def test_numbers_of_other_names_are_no_names_of_coco(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "dog_42.jpg")
    draw(tmp_path / "7.jpg")
    write(tmp_path / "captions.json", [image(42, file_name="cat_42.jpg"), image(7, file_name="7.jpg")], [said(42, "A cat."), said(7, "A dog.")])
    reading = read_source(tmp_path)
    assert reading.captions == {"7.jpg": ("A dog.",)}
    assert reading.kinds == {"missing-picture": 1, "no-caption": 1}


def test_what_is_wrong_in_a_captions_file_is_listed_and_the_rest_is_read(tmp_path: Path, draw: Draw) -> None:
    for number in range(1, 6):
        draw(tmp_path / f"{number:012}.jpg")
    images = [image(1), image(2), image(3), image(9), image(2, file_name="other.jpg"), {"id": 5}, "6", image(4), image(1)]
    annotations = [
        *(said(1, "A dog."), said(1, 12), said(1, ["A dog", "runs"]), said(1, None), said(1, "  "), said(1, "A second dog.")),
        *(said(77, "Who?"), said(77, "Who else?"), 5, {"id": 3, "caption": "of nothing"}, said(2, "A cat.", 20), {"image_id": [2], "caption": "x"}),
        {"image_id": True, "caption": "x"},
    ]
    write(tmp_path / "captions.json", images, annotations)
    reading = read_source(tmp_path)
    assert reading.captions == {"000000000001.jpg": ("A dog.", "A second dog."), "000000000002.jpg": ("A cat.",)}
    assert reading.kinds == {"bad-row": 9, "repeated-id": 2, "empty-caption": 1, "unknown-image": 1, "no-caption": 4}
    assert reading.said("unknown-image") == ["captions.json: 2 captions of image 77, which is not among the images of this file, are left out"]
    assert reading.said("repeated-id")[0].startswith("captions.json, images[4]: the id 2 is that of '000000000002.jpg', too")
    assert "2 ids of annotations are used more than once (10, 770); all captions are kept" in reading.said("repeated-id")[1]
    assert "captions.json, annotations[1]: the caption of '000000000001.jpg' is not text: 12" in reading.said("bad-row")
    assert [problem.where for problem in reading.problems if problem.kind == "no-caption"] == ["captions.json", *(f"{n:012}.jpg" for n in (3, 4, 5))]


def test_what_a_file_says_of_its_pictures_is_kept_if_asked_for(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "000000000001.jpg")
    write(tmp_path / "captions.json", [image(1, flickr_url="http://flickr.example/1.jpg", size=[8, 12])], [said(1, "A dog.")])
    reader, _ = detect(tmp_path, options := ReaderOptions(tag_columns=("license", "flickr_url", "size")))
    assert [record.tags for record in reader.read(tmp_path, options, ignore)] == [{"license": "4", "flickr_url": "http://flickr.example/1.jpg"}]
    with pytest.raises(InputError, match=r"no picture of this file has 'licence': they have 'license', 'id', 'file_name'"):
        read_source(tmp_path, ReaderOptions(tag_columns=("licence",)))


RESULTS = [{"image_id": 1, "caption": "a dog"}, {"image_id": 22, "caption": "a cat"}, {"image_id": 333, "caption": "a cow"}]


def test_results_find_pictures_by_number(tmp_path: Path, draw: Draw) -> None:
    for name in ("COCO_val2014_000000000001.jpg", "sub/000000000022.jpg", "333.png"):
        draw(tmp_path / name)
    (tmp_path / "captions_val2014_mine_results.json").write_text(json.dumps(RESULTS))
    reading = read_source(tmp_path)
    assert reading.evidence.layout == "coco results"
    assert reading.evidence.reason == "captions_val2014_mine_results.json has 3 captions by picture number, and the folder has 3 pictures"
    assert reading.captions == {"COCO_val2014_000000000001.jpg": ("a dog",), "sub/000000000022.jpg": ("a cat",), "333.png": ("a cow",)}
    assert reading.problems == []


def test_what_is_wrong_in_results_is_listed(tmp_path: Path, draw: Draw) -> None:
    for name in ("1.jpg", "a/22.jpg", "b/22.jpg"):
        draw(tmp_path / name)
    file = tmp_path / "results.json"
    file.write_text(json.dumps([*RESULTS, {"image_id": "1", "caption": "text"}, 7, {"image_id": 1, "caption": 5}, RESULTS[2]]))
    reading = read_source(file)
    assert reading.captions == {"1.jpg": ("a dog",)}
    assert reading.kinds == {"bad-row": 3, "ambiguous-picture": 1, "missing-picture": 1, "no-caption": 2}
    assert reading.said("missing-picture") == ["results.json: there is no picture with the number 333 at the end of its name (2 captions)"]
    assert reading.said("ambiguous-picture") == ["results.json: 2 pictures have the number 22: 'a/22.jpg', 'b/22.jpg' (1 caption)"]


def test_two_files_of_results_are_not_chosen_between(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "1.jpg")
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(RESULTS))
    with pytest.raises(InputError, match=r"2 files here are COCO results: a\.json, b\.json.*Name the one"):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("name", "annotation", "has"),
    [
        ("instances_val2017", {"image_id": 1, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2]], "category_id": 3}, "outlines of things and boxes around things"),
        ("person_keypoints_val2017", {"image_id": 1, "keypoints": [0, 0, 0], "num_keypoints": 0}, "keypoints"),
        ("panoptic_val2017", {"image_id": 1, "file_name": "000000000001.png", "segments_info": []}, "segments"),
        ("image_info_test2017", None, "images"),
    ],
)
def test_other_files_of_coco_are_refused_with_the_reason(tmp_path: Path, draw: Draw, name: str, annotation: dict[str, Any] | None, has: str) -> None:
    draw(tmp_path / "val2017/000000000001.jpg")
    file = write(tmp_path / "annotations" / f"{name}.json", [image(1)], [annotation] if annotation else [])
    for source in (tmp_path, file):
        with pytest.raises(InputError, match=rf"format with {has}, but without captions Bring .*captions_\*\.json") as caught:
            read_source(source)
        assert caught.value.where == str(file)


def test_captions_beside_coco_files_of_other_kinds_are_read(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "000000000001.jpg")
    (tmp_path / "000000000001.txt").write_text("A dog.")
    write(tmp_path / "instances.json", [image(1)], [{"image_id": 1, "bbox": [1, 2, 3, 4]}])
    assert read_source(tmp_path).evidence.layout == "sidecar"
    write(tmp_path / "captions.json", [image(1)], [said(1, "A cat.")])
    assert read_source(tmp_path).captions == {"000000000001.jpg": ("A cat.",)}


def test_the_lists_may_come_in_any_order_after_a_mark_and_with_any_blanks(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "000000000001.jpg")
    text = json.dumps({"annotations": [said(1, 'He says "annotations": [] and "caption": é 🐕')], "images": [image(1)]}, indent=4, ensure_ascii=False)
    (tmp_path / "captions.json").write_bytes(b"\xef\xbb\xbf\r\n" + text.replace("\n", "\r\n").encode())
    reading = read_source(tmp_path)
    assert reading.evidence.reason.startswith("captions.json has 1 caption ")
    assert reading.captions == {"000000000001.jpg": ('He says "annotations": [] and "caption": é 🐕',)}


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "000000000001.jpg")
    file = write(tmp_path / "captions.json", [image(1)], [said(1, "A dog."), said(1, "Another dog.", 11)])
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"captions\.json: this file is not valid JSON: .*fetch it again"):
        read_source(tmp_path)


def test_a_file_without_the_two_lists_is_refused(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "000000000001.jpg")
    (tmp_path / "captions.json").write_text(json.dumps({"images": {"1": "x"}, "annotations": [said(1, "A dog.")]}))
    with pytest.raises(InputError, match="does not have COCO's two lists"):
        read_source(tmp_path)


def test_a_text_that_is_not_utf8_is_noted(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "000000000001.jpg")
    file = write(tmp_path / "captions.json", [image(1)], [said(1, "A cafe.")])
    file.write_bytes(file.read_bytes().replace(b"cafe", "café".encode("cp1252")))
    reading = read_source(tmp_path)
    assert (reading.captions, reading.kinds) == ({"000000000001.jpg": ("A café.",)}, {"encoding": 1})
