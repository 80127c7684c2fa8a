from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from clipcap_cli.datasets.detection import detect
from clipcap_cli.datasets.readers import registry
from clipcap_cli.datasets.records import Evidence, Problem, ReaderOptions, Record
from clipcap_cli.errors import InputError, MissingError

Draw = Callable[..., Path]


def read(source: Path, options: ReaderOptions | None = None) -> tuple[Evidence, dict[str, Record], list[Problem]]:
    options = options or ReaderOptions()
    reader, evidence = detect(source, options)
    problems: list[Problem] = []
    root = options.images or (source if source.is_dir() else source.parent)
    records = {record.image.relative_to(root).as_posix(): record for record in reader.read(source, options, problems.append)}
    return evidence, records, problems


def kinds(problems: list[Problem]) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in problems))


def captions(records: dict[str, Record]) -> dict[str, tuple[str, ...]]:
    return {name: record.captions for name, record in records.items()}


def test_sidecars_are_read_in_nested_folders_one_caption_a_line(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("one\n\n  two   words \n")
    draw(tmp_path / "deep/er/b c.png")
    (tmp_path / "deep/er/b c.txt").write_bytes("café".encode("cp1252"))
    draw(tmp_path / "none.png")
    draw(tmp_path / "empty.png")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "gone.txt").write_text("a dog")
    (tmp_path / "README.txt").write_text("about these pictures")
    evidence, records, problems = read(tmp_path)
    assert evidence == Evidence("sidecar", "3 of 4 pictures have a .txt of their name beside them")
    assert captions(records) == {"a.png": ("one", "two words"), "deep/er/b c.png": ("café",)}
    assert kinds(problems) == {"no-caption": 1, "missing-picture": 1, "empty-caption": 1, "encoding": 1}


def test_topmost_folders_named_for_splits_are_the_splits_of_sidecars(tmp_path: Path, draw: Draw) -> None:
    for folder in ("train/x", "valid", "test"):
        draw(tmp_path / folder / "a.png")
        (tmp_path / folder / "a.txt").write_text("one")
    assert {name: record.split for name, record in read(tmp_path)[1].items()} == {"train/x/a.png": "train", "valid/a.png": "val", "test/a.png": "test"}


def test_a_lone_folder_named_test_is_no_split(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "test/a.png")
    (tmp_path / "test/a.txt").write_text("one")
    assert read(tmp_path)[1]["test/a.png"].split is None


@pytest.mark.parametrize("place", [".", "images"])
def test_a_captions_table_lies_beside_the_pictures_or_above_them(tmp_path: Path, draw: Draw, place: str) -> None:
    for name in "ab":
        draw(tmp_path / place / f"{name}.png")
    (tmp_path / "captions.csv").write_text("image,caption\na.png,one\na.png,two\nb.png,nan\nc.png,three\nc.png,four\n")
    evidence, records, problems = read(tmp_path)
    assert evidence.layout == "captions table"
    assert evidence.reason == f"captions.csv has the columns 'image,caption', and {'the folder' if place == '.' else 'images/'} has 2 pictures"
    assert [record.captions for record in records.values()] == [("one", "two")]
    assert [(problem.kind, problem.where) for problem in problems] == [("empty-caption", "captions.csv:4"), ("missing-picture", "captions.csv:5")]
    assert "(2 captions)" in problems[1].message


def test_the_table_itself_or_the_folder_of_the_pictures_may_be_named(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "food/images/a.png")
    table = tmp_path / "food/captions.tsv"
    table.write_text("image\tcaption\na.png\tone\n")
    assert captions(read(table)[1]) == {"images/a.png": ("one",)}
    assert captions(read(tmp_path / "food/images")[1]) == {"a.png": ("one",)}


def test_a_table_above_that_names_other_pictures_is_not_taken(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "mine/a.png")
    (tmp_path / "captions.csv").write_text("image,caption\nother.png,one\n")
    with pytest.raises(InputError, match="no captions"):
        read(tmp_path / "mine")


def test_pictures_may_lie_elsewhere(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "pictures/a.png")
    (tmp_path / "text").mkdir()
    (tmp_path / "text/captions.csv").write_text("image,caption\na.png,one\n")
    assert captions(read(tmp_path / "text", ReaderOptions(images=tmp_path / "pictures"))[1]) == {"a.png": ("one",)}
    with pytest.raises(InputError, match=r"no pictures in this folder.*--images"):
        read(tmp_path / "text")


def test_a_split_column_is_kept_and_two_splits_for_one_picture_are_reported(tmp_path: Path, draw: Draw) -> None:
    for name in "abc":
        draw(tmp_path / f"{name}.png")
    (tmp_path / "captions.csv").write_text("image,caption,split\na.png,one,dev\nb.png,two,train\nb.png,three,test\nc.png,four,\n")
    evidence, records, problems = read(tmp_path)
    assert "with splits" in evidence.reason
    assert {name: record.split for name, record in records.items()} == {"a.png": "val", "b.png": "train", "c.png": None}
    assert kinds(problems) == {"split-conflict": 1}


def test_pictures_of_one_name_in_two_folders_are_told_apart_by_path(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "cats/1.png")
    draw(tmp_path / "dogs/1.png")
    (tmp_path / "captions.csv").write_text("image,caption\ncats/1.png,a cat\ndogs/1.png,a dog\n1.png,which?\n")
    _, records, problems = read(tmp_path)
    assert captions(records) == {"cats/1.png": ("a cat",), "dogs/1.png": ("a dog",)}
    assert [(problem.kind, problem.severity) for problem in problems] == [("ambiguous-picture", "error")]
    assert "'cats/1.png', 'dogs/1.png'" in problems[0].message


def test_odd_file_names_and_markup_come_through(tmp_path: Path, draw: Draw) -> None:
    names = ["a b.png", "new\nline.png", "Ünïcödé 猫.png", "[red].png"]
    for name in names:
        draw(tmp_path / name)
    rows = "".join(f'"{name}","a [red] dog, {place}"\n' for place, name in enumerate(names))
    (tmp_path / "captions.csv").write_text(f"image,caption\n{rows}", encoding="utf-8")
    assert captions(read(tmp_path)[1]) == {name: (f"a [red] dog, {place}",) for place, name in enumerate(names)}


def test_two_tables_that_would_do_are_not_chosen_between(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "a.png")
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("image,caption\na.png,words\n")
    with pytest.raises(InputError, match=r"one\.csv, two\.csv"):
        read(tmp_path)
    (tmp_path / "captions.csv").write_text("image,caption\na.png,these\n")
    assert captions(read(tmp_path)[1]) == {"a.png": ("these",)}


def test_the_columns_of_a_strange_table_are_asked_for(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "captions.csv").write_text("file,beschreibung,lang\na.png,ein Hund,de\n")
    with pytest.raises(InputError, match=r"no column for captions: it has 'file', 'beschreibung', 'lang'.*--caption-column"):
        read(tmp_path)
    assert captions(read(tmp_path, ReaderOptions(caption_column="beschreibung"))[1]) == {"a.png": ("ein Hund",)}
    with pytest.raises(InputError, match="no column 'descr'"):
        read(tmp_path, ReaderOptions(caption_column="descr"))


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_metadata_beside_the_pictures(tmp_path: Path, draw: Draw, ending: str) -> None:
    for name in ("a.png", "sub/b.png"):
        draw(tmp_path / name)
    rows = [("a.png", "one"), ("sub/b.png", "two")]
    if ending == "csv":
        (tmp_path / "metadata.csv").write_text("file_name,text\n" + "".join(f"{name},{text}\n" for name, text in rows))
    else:
        lines = [json.dumps({"file_name": name, "text": [text, "more"]}) for name, text in rows]
        (tmp_path / "metadata.jsonl").write_text("\n".join([*lines, "{broken", '{"file_name": "a.png", "text": null}']))
    evidence, records, problems = read(tmp_path)
    columns = {"image": "file_name", "captions": "text"}
    assert evidence == Evidence("metadata", f"metadata.{ending} has 'file_name' and 'text', and the folder has 2 pictures", columns=columns)
    more = () if ending == "csv" else ("more",)
    assert captions(records) == {"a.png": ("one", *more), "sub/b.png": ("two", *more)}
    assert kinds(problems) == ({} if ending == "csv" else {"bad-row": 1, "empty-caption": 1})


def test_metadata_in_each_folder_of_a_split(tmp_path: Path, draw: Draw) -> None:
    for folder, split in (("train", "train"), ("validation", "val")):
        draw(tmp_path / folder / "1.png", folder)
        (tmp_path / folder / "metadata.csv").write_text(f"file_name,text\n1.png,{split}\n")
    _, records, problems = read(tmp_path)
    assert {name: (record.captions, record.split) for name, record in records.items()} == {
        "train/1.png": (("train",), "train"),
        "validation/1.png": (("val",), "val"),
    }
    assert problems == []


def test_captions_by_index(tmp_path: Path, draw: Draw) -> None:
    for number in (0, 1, 7):
        draw(tmp_path / "images" / f"{number}.jpg")
    (tmp_path / "Captions.csv").write_text(",Index,Captions\n0,0,one\n1,1,\n2,2.0,three\n3,7.0,seven\n")
    evidence, records, problems = read(tmp_path)
    reason = "Captions.csv has the header ',Index,Captions', and images/ has 3 pictures named by a number"
    assert evidence == Evidence("indexed captions", reason, columns={"image": "Index", "captions": "Captions"})
    assert captions(records) == {"images/0.jpg": ("one",), "images/7.jpg": ("seven",)}
    assert [(problem.kind, problem.where) for problem in problems] == [("empty-caption", "Captions.csv:3"), ("missing-picture", "Captions.csv:4")]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "this folder is empty"),
        (["a.pdf", "b.pdf", "c.zip"], "no pictures in this folder: it holds 2 .pdf, 1 .zip.*Unpack"),
        (["a.png", "b.png"], "2 pictures in this folder and no captions.*Lay a .txt"),
        (["a.png", "notes.md"], "1 picture in this folder and no captions; else it holds 1 .md"),
        (["cat/1.png", "cat/2.png", "dog/1.png"], r"3 pictures in 2 subfolders \(cat, dog\) and no captions; if these are classes"),
    ],
)
def test_a_folder_of_no_known_layout_is_described(tmp_path: Path, draw: Draw, files: list[str], said: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in files:
        draw(source / name)
    with pytest.raises(InputError, match=said) as caught:
        read(source)
    assert caught.value.where == str(source)


def test_a_path_that_is_not_there_is_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(InputError, match=r"no such folder or file Did you mean .*pictures"):
        read(tmp_path / "pitcures")


@pytest.mark.parametrize(("name", "said"), [("a.zip", "archive"), ("a.png", "one picture"), ("a.docx", "not a captions table")])
def test_a_file_that_is_no_captions_table_is_named_for_what_it_is(tmp_path: Path, draw: Draw, name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(draw(tmp_path / name))


class Mine:
    layout = "mine"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        return Evidence("mine", "it is mine")

    def read(self, source: Path, options: ReaderOptions, report: object) -> list[Record]:
        return []


class Entry:
    value = "package:Reader"

    def __init__(self, name: str, loaded: object) -> None:
        self.name, self._loaded = name, loaded

    def load(self) -> object:
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


def test_a_reader_of_another_package_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [Entry("mine", Mine)] if group == "clipcap.readers" else [])
    assert detect(tmp_path, ReaderOptions())[1].reason == "it is mine"


@pytest.mark.parametrize("loaded", [ImportError("no module named x"), dict])
def test_a_reader_of_another_package_that_does_not_work_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: object) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [Entry("theirs", loaded)])
    with pytest.raises(MissingError, match="'theirs'"):
        detect(tmp_path, ReaderOptions())


def test_halves_of_json_escapes_do_not_spoil_a_caption(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "a \\ud83d dog"}\n')
    assert captions(read(tmp_path)[1]) == {"a.png": ("a \\ud83d dog",)}
