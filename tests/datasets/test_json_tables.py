"""Tables in JSON: lists of objects, captions by picture, columns, lines; and JSON that is something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading_tools import read_source

from clipcap_cli.datasets.detection import detect
from clipcap_cli.datasets.readers.captions_table import CaptionsTable
from clipcap_cli.datasets.records import NO_OPTIONS, Problem, ReaderOptions, ignore
from clipcap_cli.datasets.tables.json_tables import read_json_table
from clipcap_cli.errors import InputError

Draw = Callable[..., Path]
CAPTIONS = {"a.png": ("one", "zwölf"), "b.png": ("two",)}

FORMS: dict[str, Any] = {
    "a list of objects": [{"image": "a.png", "caption": "one"}, {"image": "a.png", "caption": "zwölf"}, {"image": "b.png", "caption": "two"}],
    "a list with lists": [{"file_name": "a.png", "captions": ["one", "zwölf"]}, {"file_name": "b.png", "captions": "two"}],
    "a list with objects": [{"img": "a.png", "sentences": [{"raw": "one", "tokens": []}, {"raw": "zwölf"}]}, {"img": "b.png", "sentences": [{"raw": "two"}]}],
    "several keys": [{"image": "a.png", "caption_2": "zwölf", "caption_1": "one"}, {"image": "b.png", "caption_1": "two"}],
    "captions by name": {"a.png": ["one", "zwölf"], "b.png": "two"},
    "captions by name without ending": {"a": ["one", "zwölf"], "b": ["two"]},
    "objects by name": {"a.png": {"captions": ["one", "zwölf"], "id": 1}, "b.png": {"captions": ["two"], "id": 2}},
    "objects by number": {"0": {"image": "a.png", "text": ["one", "zwölf"]}, "1": {"image": "b.png", "text": ["two"]}},
    "columns": {"image": ["a.png", "a.png", "b.png"], "caption": ["one", "zwölf", "two"]},
    "columns by number": {"caption": {"0": "one", "1": "zwölf", "2": "two"}, "image": {"2": "b.png", "0": "a.png", "1": "a.png"}},
    "a list beside other things": {
        "version": 1,
        "info": {"by": "us"},
        "data": [{"image": "a.png", "text": ["one", "zwölf"]}, {"image": "b.png", "text": "two"}],
    },
}


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    for name in "ab":
        draw(tmp_path / f"{name}.png")
    return tmp_path


def write(path: Path, value: Any, encoding: str = "utf-8") -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), encoding=encoding)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_captions_from_the_folder_and_from_the_file(folder: Path, form: str) -> None:
    path = write(folder / "mine.json", FORMS[form])
    for source in (folder, path):
        reading = read_source(source)
        assert (reading.captions, reading.problems) == (CAPTIONS, [])
        assert reading.evidence.layout == "captions table"
        assert set(reading.evidence.columns) == {"image", "captions"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("name", ["mine.jsonl", "mine.ndjson", "mine.json"])
def test_a_line_for_each_object_is_read_under_any_name(folder: Path, name: str, encoding: str) -> None:
    lines = [json.dumps(entry, ensure_ascii=False) for entry in FORMS["a list of objects"]]
    path = write(folder / name, "\n".join([*lines[:2], "", "[1]", "{broken", lines[2]]), encoding)
    for source in (folder, path):
        reading = read_source(source)
        assert reading.captions == CAPTIONS
        assert [where.partition(": ")[0] for where in reading.said("bad-row")] == [f"{name}:4", f"{name}:5"]
        assert ("encoding" in reading.kinds) == (encoding == "cp1252")


def test_what_the_evidence_says(folder: Path) -> None:
    path = write(folder / "t.json", [{"image": "a.png", "caption_1": "one", "caption_2": "two", "split": "dev"}])
    evidence = read_source(path).evidence
    assert evidence.reason == "t.json has the columns 'image,caption_1,caption_2' with splits, and the folder has 2 pictures"
    assert dict(evidence.columns) == {"image": "image", "captions": "caption_1, caption_2", "split": "split"}
    write(path, FORMS["captions by name"])
    assert read_source(path).evidence.reason == "t.json has 2 pictures by name with captions, and the folder has 2 pictures"


def test_an_entry_that_is_none_is_listed_and_the_others_are_read(folder: Path) -> None:
    entries = [
        {"image": "a.png", "caption": "one"},
        "b.png",
        {"image": "b.png"},
        {"caption": "two"},
        {"image": 7, "caption": "x"},
        {"image": "b.png", "caption": 5},
    ]
    reading = read_source(write(folder / "t.json", entries))
    assert reading.captions == {"a.png": ("one",)}
    assert reading.said("bad-row") == [
        "t.json, entry 2: this entry is not an object with a picture and a caption: 'b.png'",
        "t.json, entry 4: this row names no picture: 'two'",
    ]
    assert reading.said("empty-caption") == ["t.json, entry 3: the caption of 'b.png' is empty", "t.json, entry 6: the caption of 'b.png' is empty"]
    assert reading.said("missing-picture") == ["t.json, entry 5: there is no picture '7'"]


def test_columns_are_named_by_the_user_and_kept(folder: Path) -> None:
    path = write(folder / "t.json", [{"foto": "a.png", "satz": "eins", "jahr": 1999, "gut": True}, {"foto": "b.png", "satz": "zwei", "jahr": None}])
    options = ReaderOptions("foto", "satz", tag_columns=("jahr", "gut"))
    reader, _ = detect(path, options)
    tags = {record.captions: dict(record.tags) for record in reader.read(path, options, ignore)}
    assert tags == {("eins",): {"jahr": "1999", "gut": "True"}, ("zwei",): {"jahr": "", "gut": ""}}
    with pytest.raises(InputError, match=r"no column for pictures and captions: it has 'foto', 'satz', 'jahr', 'gut'"):
        read_source(path)
    with pytest.raises(InputError, match=r"no column 'jahre'.*Try --keep-column jahr"):
        read_source(folder, ReaderOptions("foto", "satz", tag_columns=("jahre",)))


def test_files_that_are_named_for_splits_are_read_as_one(folder: Path) -> None:
    for split, name in (("train", "a.png"), ("test", "b.png")):
        write(folder / f"{split}.jsonl", json.dumps({"image": name, "caption": split}))
    assert read_source(folder).splits == {"a.png": "train", "b.png": "test"}


def test_addresses_are_refused_with_the_tool_that_fetches_them(folder: Path) -> None:
    path = write(folder / "urls.json", [{"url": "https://example.org/1.jpg", "caption": "one"}])
    for source in (folder, path):
        with pytest.raises(InputError, match=r"addresses of pictures on the web.*--input_format json --url_col url --caption_col caption"):
            read_source(source)


COCO = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, "id": 1, "caption": "one"}]}
KARPATHY = {"images": [{"filename": "a.png", "split": "train", "sentences": [{"raw": "one", "tokens": ["one"]}]}], "dataset": "coco"}


@pytest.mark.parametrize("value", [COCO, KARPATHY, {"images": COCO["images"]}, 5, "a.png", None, [], {}, [1, 2], [[]], {"a": 1}, {"name": "x", "version": "1"}])
def test_json_of_other_layouts_or_about_something_else_is_not_taken(folder: Path, value: Any) -> None:
    write(folder / "captions.json", value)
    assert CaptionsTable().detect(folder, NO_OPTIONS) is None
    if isinstance(value, dict) and "images" in value:
        assert read_json_table(folder / "captions.json", NO_OPTIONS, ignore) is None


def test_a_settings_file_does_not_keep_texts_beside_pictures_from_being_read(folder: Path) -> None:
    (folder / "a.txt").write_text("a dog")
    settings = ('{"name": "mine", "caption": "x"}', '{"a": {"b": 1}, "c": {"d": 2}}', "{broken", "[" * 100_000)
    for text in settings:
        write(folder / "settings.json", text)
        assert read_source(folder).evidence.layout == "sidecar"
    (folder / "a.txt").unlink()
    for text in settings[:2]:
        write(folder / "settings.json", text)
        with pytest.raises(InputError, match=r"no captions; else it holds 1 \.json"):
            read_source(folder)


def test_objects_by_name_without_captions_say_what_they_have(folder: Path) -> None:
    path = write(folder / "t.json", {"a.png": {"beschreibung": "eins"}, "b.png": {"beschreibung": "zwei"}})
    with pytest.raises(InputError, match="no column for captions: it has 'beschreibung', 'image'"):
        read_source(path)
    assert read_source(path, ReaderOptions(caption_column="beschreibung")).captions == {"a.png": ("eins",), "b.png": ("zwei",)}


def test_of_many_json_files_the_one_with_a_telling_name_is_read(folder: Path) -> None:
    for name in "abc":
        write(folder / f"{name}.json", {"key": name, "caption": "from its own file", "image": f"{name}.png"})
    with pytest.raises(InputError, match="no captions"):
        read_source(folder)
    write(folder / "captions.json", FORMS["captions by name"])
    assert read_source(folder).captions == CAPTIONS


@pytest.mark.parametrize("text", ["{", '[{"image": "a.png", "caption": "one"}, {"image"', "[" * 100_000, "", "nonsense"])
def test_json_that_is_none_is_refused_in_a_sentence(folder: Path, text: str) -> None:
    path = write(folder / "captions.json", text)
    for source in (folder, path):
        with pytest.raises(InputError) as caught:
            read_source(source)
        assert caught.value.where == str(path)
        assert caught.value.hint
        assert "not valid JSON" in caught.value.message


def test_a_document_that_would_fill_the_memory_is_refused_and_lines_are_named_instead(folder: Path) -> None:
    path = write(folder / "t.json", '[{"image": "a.png", "caption": "one"},\n')
    with path.open("ab") as stream:
        stream.truncate(2**40)
    with pytest.raises(InputError, match=r"more than the .* that are read.*one object a line"):
        read_source(path)


junk = st.sampled_from([b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b'"', b"[", b"{", b"]", b"}", b",", b":", b"\\ud800", b"\\u0000", b"NaN", b"9" * 5000])
damage = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), junk | st.binary(max_size=8)), max_size=4)


def try_reading(source: Path) -> None:
    """Records and problems come of it, or an InputError."""
    problems: list[Problem] = []
    with suppress(InputError):
        if CaptionsTable().detect(source, NO_OPTIONS):
            assert all(record.captions for record in CaptionsTable().read(source, NO_OPTIONS, problems.append))
    with suppress(InputError):
        detect(source, NO_OPTIONS)
    assert all(problem.where and problem.message for problem in problems)


@pytest.mark.parametrize("form", [*FORMS, "lines"])
@settings(max_examples=40, deadline=None)
@given(damages=damage, kept=st.floats(0, 1) | st.just(1.0), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
def test_a_file_with_other_bytes_in_it_is_read_or_refused(
    form: str, damages: list[tuple[float, int, bytes]], kept: float, encoding: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("spoilt")
    for picture in ("a.png", "b.png"):
        (folder / picture).write_bytes(b"")
    lines = "\n".join(map(json.dumps, FORMS["several keys"]))
    data = (lines if form == "lines" else json.dumps(FORMS[form], ensure_ascii=False)).encode(encoding)
    for place, cut, inserted in damages:
        at = int(place * len(data))
        data = data[:at] + inserted + data[at + cut :]
    name = "t.jsonl" if form == "lines" else "t.json"
    (folder / name).write_bytes(data[: int(kept * len(data))])
    for source in (folder, folder / name):
        try_reading(source)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([10**400, "\ud800", "\x00", "../../x.jpg", "a.png"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["raw", "caption", "image", "split", "a.png", "data"]), below, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(value=values)
def test_any_json_is_read_or_refused(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.png").write_bytes(b"")
    (folder / "captions.json").write_text(json.dumps(value))
    (folder / "t.jsonl").write_text(json.dumps(value))
    for source in (folder, folder / "captions.json", folder / "t.jsonl"):
        try_reading(source)
