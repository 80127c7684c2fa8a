"""Anybody's captions can be scored."""

import json

import pytest

from clipcap_cli.datasets.records import ReaderOptions
from clipcap_cli.errors import InputError
from clipcap_cli.evaluation.predictions import grouped, one_each, read_predictions, write_predictions

NAMES = ["val/a.jpg", "val/b.jpg", "COCO_val2014_000000391895.jpg"]
IDS = ["0a" * 16, "0b" * 16, "0c" * 16]


def read(tmp_path, name, content, **options):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return [(prediction.image, prediction.caption) for prediction in read_predictions(path, ReaderOptions(**options))]


def test_every_form_gives_the_same_captions(tmp_path):
    expected = [("a.jpg", 'a "red", dog'), ("b.jpg", "two cats")]
    results = [{"image_id": image, "caption": caption} for image, caption in expected]
    assert read(tmp_path, "results.json", results) == expected
    assert read(tmp_path, "lines.jsonl", "\n".join(map(json.dumps, results)) + "\n\n") == expected
    assert read(tmp_path, "ours.jsonl", '{"image": "a.jpg", "caption": "a \\"red\\", dog", "score": -1}\n{"image": "b.jpg", "caption": "two cats"}') == expected
    assert read(tmp_path, "table.csv", 'image,caption\na.jpg,"a ""red"", dog"\nb.jpg,two cats\n') == expected
    assert read(tmp_path, "table.tsv", 'file_name\ttext\na.jpg\ta "red", dog\nb.jpg\ttwo cats\n') == expected
    assert read(tmp_path, "named.csv", 'foto,satz\na.jpg,"a ""red"", dog"\nb.jpg,two cats\n', image_column="foto", caption_column="satz") == expected
    coco = {"images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}]}
    annotations = [{"image_id": 7, "caption": expected[0][1], "id": 1}, {"image_id": 8, "caption": expected[1][1], "id": 2}]
    assert read(tmp_path, "captions.json", {**coco, "annotations": annotations}) == expected


def test_what_is_written_can_be_read_again(tmp_path):
    path = tmp_path / "out.json"
    write_predictions(path, [{"image_id": "a.jpg", "caption": 'quotes " and ünïcode', "score": -0.5}, {"image_id": "b.jpg", "caption": ""}])
    assert [(entry["image_id"], entry["caption"]) for entry in json.loads(path.read_text())] == [("a.jpg", 'quotes " and ünïcode'), ("b.jpg", "")]
    assert [prediction.caption for prediction in read_predictions(path)] == ['quotes " and ünïcode', ""]


@pytest.mark.parametrize("name", ["val/a.jpg", "a.jpg", "a", "/elsewhere/val/a.jpg", "VAL\\A.JPG", "0a" * 16])
def test_a_picture_is_known_by_any_of_its_names(tmp_path, name):
    read(tmp_path, "x.json", [{"image_id": name, "caption": "x"}])
    captions, missing, strangers = one_each(read_predictions(tmp_path / "x.json"), NAMES, IDS)
    assert (captions, missing, strangers) == ({"val/a.jpg": "x"}, NAMES[1:], [])


def test_a_number_means_the_picture_with_that_number(tmp_path):
    read(tmp_path, "x.json", [{"image_id": 391895, "caption": "x"}])
    assert one_each(read_predictions(tmp_path / "x.json"), NAMES, IDS)[0] == {NAMES[2]: "x"}


def test_what_is_missing_on_either_side_is_listed(tmp_path):
    read(tmp_path, "x.json", [{"image_id": "b.jpg", "caption": "x"}, {"image_id": "z.jpg", "caption": "y"}])
    captions, missing, strangers = one_each(read_predictions(tmp_path / "x.json"), NAMES, IDS)
    assert (list(captions), missing, strangers) == (["val/b.jpg"], [NAMES[0], NAMES[2]], ["z.jpg"])


def test_a_picture_with_two_captions_is_an_error_that_says_where_both_are(tmp_path):
    read(tmp_path, "x.jsonl", '{"image": "a.jpg", "caption": "x"}\n{"image": "val/a.jpg", "caption": "y"}\n')
    with pytest.raises(InputError, match=r"'val/a.jpg' has two captions; the first is at x.jsonl:1") as caught:
        one_each(read_predictions(tmp_path / "x.jsonl"), NAMES, IDS)
    assert caught.value.where == "x.jsonl:2"


def test_a_name_that_may_mean_two_pictures_is_an_error(tmp_path):
    read(tmp_path, "x.json", [{"image_id": "a.jpg", "caption": "x"}])
    with pytest.raises(InputError, match=r"may mean 2 pictures, such as 'one/a.jpg' and 'two/a.jpg'"):
        one_each(read_predictions(tmp_path / "x.json"), ["one/a.jpg", "two/a.jpg"], IDS[:2])


def test_references_are_all_captions_of_a_picture(tmp_path):
    read(tmp_path, "x.csv", "image,caption\na.jpg,one\nb.jpg,two\na.jpg,three\n")
    assert grouped(read_predictions(tmp_path / "x.csv")) == [("a.jpg", "a.jpg", ("one", "three")), ("b.jpg", "b.jpg", ("two",))]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.json", "{", "this is not JSON"),
        ("x.json", "[" * 100_000, "nested too deeply|not JSON"),
        ("x.json", '"text"', "no list of captions"),
        ("x.json", "[]", "no caption in this file"),
        ("x.json", '["text"]', "should be an object"),
        ("x.json", '[{"image_id": 1}]', "has no 'caption': it has 'image_id'"),
        ("x.json", '[{"caption": "x"}]', "has no 'image_id': it has 'caption'"),
        ("x.json", '[{"image_id": true, "caption": "x"}]', "its 'image_id' is 'True', of the type bool"),
        ("x.json", '[{"image_id": 1, "caption": 2}]', "its 'caption' is '2', of the type int"),
        ("x.jsonl", '{"image": "a", "caption": "x"}\nnonsense\n', "this is not JSON"),
        ("x.csv", "", "no caption in this file"),
        ("x.csv", "one,two\n1,2\n", "no column for pictures and captions"),
    ],
)
def test_a_file_that_is_no_captions_is_refused_in_one_sentence(tmp_path, name, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, name, content)
    assert caught.value.where
    assert caught.value.hint


def test_a_file_that_is_not_there_is_named(tmp_path):
    for name in ("none.json", "none.csv"):
        with pytest.raises(InputError, match="no such file"):
            read_predictions(tmp_path / name)
