"""Tables of text: several columns of captions, lists in cells, columns that are kept, addresses instead of pictures, and tables that are spoilt."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading_tools import read_source

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.detection import detect
from clipcap_cli.datasets.manifest import read_manifest
from clipcap_cli.datasets.readers.captions_table import CaptionsTable
from clipcap_cli.datasets.readers.indexed import Indexed
from clipcap_cli.datasets.readers.metadata import Metadata
from clipcap_cli.datasets.records import NO_OPTIONS, Problem, ReaderOptions, ignore
from clipcap_cli.datasets.tables.cells import texts_in
from clipcap_cli.errors import InputError
from clipcap_cli.storage.home import Home

Draw = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    for name in "ab":
        draw(tmp_path / f"{name}.png")
    return tmp_path


def table(path: Path, rows: list[list[str]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)
    return path


@pytest.mark.parametrize("named", ["caption_{}", "caption{}", "Caption {}", "text_{}", "sentence {}", "caption.{}"])
def test_captions_in_several_columns_are_read_in_the_order_of_their_numbers(folder: Path, named: str) -> None:
    header = [named.format(10), "image", named.format(2), named.format(1), "split"]
    table(folder / "t.csv", [header, ["c", "a.png", "b", "a", "dev"], ["", "b.png", "", " d ", ""], ["", "b.png", "", "", ""]])
    reading = read_source(folder)
    assert reading.captions == {"a.png": ("a", "b", "c"), "b.png": ("d",)}
    assert reading.splits == {"a.png": "val", "b.png": None}
    assert reading.kinds == {"empty-caption": 1}, "an empty cell beside others is no problem, a row of empty ones is"
    assert dict(reading.evidence.columns) == {"image": "image", "captions": f"{named.format(1)}, {named.format(2)}, {named.format(10)}", "split": "split"}


def test_a_column_without_number_comes_before_those_of_its_name_with_numbers(folder: Path) -> None:
    table(folder / "t.csv", [["image", "caption_2", "caption", "caption_note", "comment_number"], ["a.png", "two", "one", "x", "1"]])
    assert read_source(folder).captions == {"a.png": ("one", "two")}


def test_the_user_may_name_one_column_or_what_several_have_in_common(folder: Path) -> None:
    table(folder / "t.csv", [["pic", "satz_1", "satz_2"], ["a.png", "eins", "zwei"]])
    assert read_source(folder, ReaderOptions("pic", "satz_2")).captions == {"a.png": ("zwei",)}
    assert read_source(folder, ReaderOptions("pic", "satz")).captions == {"a.png": ("eins", "zwei")}


LISTS: dict[str, list[str] | None] = {
    '["a dog", "it\'s [big], \\"so\\""]': ["a dog", 'it\'s [big], "so"'],
    "['a dog', \"it's\", 'two, \\'three\\'']": ["a dog", "it's", "two, 'three'"],
    "['a dog' 'two\\ndogs'\n \"it's\"]": ["a dog", "two\ndogs", "it's"],
    "['a' 'b' ... 'z']": ["a", "b", "z"],
    "['caf\\xe9 \\u732b', nan, None]": ["café 猫"],
    '[{"raw": "a dog", "tokens": ["a", "dog"]}]': ["a dog"],
    "[]": [],
    "[ ]": [],
    "[red] and [blue]": None,
    "[a red dog]": None,
    "['open": None,
    "['a'] and ['b']": None,
    "['a' + 'b']": None,
    "[__import__('os').system('true')]": None,
    "[1, 2]": None,
    "[" * 50_000 + "]" * 50_000: None,
    "['" + "\\" * 50_001 + "']": None,
}


@pytest.mark.parametrize("cell", LISTS, ids=lambda cell: cell[:30])
def test_a_list_in_a_cell_is_its_texts_and_what_is_none_stays_one_text(cell: str) -> None:
    expected = LISTS[cell]
    assert texts_in(cell) == ([cell] if expected is None else expected)


@pytest.mark.parametrize("form", ["json", "python", "numpy", "tsv"])
def test_each_text_of_a_list_is_a_caption(folder: Path, form: str) -> None:
    texts = ["A dog runs, fast.", 'It says "woof".', "It's one."]
    numpy = "[" + "\n ".join(map(repr, texts)) + "]"
    cell = {"json": json.dumps(texts), "python": repr(texts), "numpy": numpy, "tsv": json.dumps(texts)}[form]
    rows = [["image", "captions"], ["a.png", cell], ["b.png", "[a plain one]"]]
    if form == "tsv":  # without marks around the cell, as people write them by hand
        (folder / "t.tsv").write_text("\n".join("\t".join(row) for row in rows))
    else:
        table(folder / "t.csv", rows)
    reading = read_source(folder)
    assert (reading.captions, reading.problems) == ({"a.png": tuple(texts), "b.png": ("[a plain one]",)}, [])


def test_a_list_that_commas_have_torn_apart_is_not_taken_for_a_caption(folder: Path) -> None:
    (folder / "t.csv").write_text('image,captions\na.png,["one", "two"]\nb.png,[sic] three, four\n')
    reading = read_source(folder)
    assert reading.captions == {"b.png": ("[sic] three,four",)}
    assert reading.said("bad-row")[0] == "t.csv:2: this row has more fields than the header's 2"


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5))
def test_what_python_and_json_print_as_a_list_is_read_back(texts: list[str]) -> None:
    assert texts_in(json.dumps(texts)) == texts
    if not any(ord(character) < 32 or character == "\x7f" for text in texts for character in text):
        assert texts_in(repr(texts)) == texts
        assert texts_in(repr(texts).replace("', '", "'\n '")) == texts or any("'" in text for text in texts)


def test_columns_that_are_to_be_kept_are_kept_with_each_picture(folder: Path) -> None:
    rows = [["image", "caption", "Origin", "year"], ["a.png", "one", "museum", "1999"], ["a.png", "two", "shop", ""], ["b.png", "three", "", "2001"]]
    table(folder / "t.csv", rows)
    options = ReaderOptions(tag_columns=("origin", "year"))
    reader, evidence = detect(folder, options)
    tags = {record.image.name: dict(record.tags) for record in reader.read(folder, options, ignore)}
    assert tags == {"a.png": {"Origin": "museum", "year": "1999"}, "b.png": {"Origin": "", "year": "2001"}}, "of a picture's rows the first one's"
    assert evidence.columns["tags"] == "Origin, year"
    with pytest.raises(InputError, match=r"no column 'yaer': the header has 'image', 'caption', 'Origin', 'year' Try --keep-column year"):
        detect(folder, ReaderOptions(tag_columns=("yaer",)))


def test_the_dataset_remembers_which_column_was_what(folder: Path, tmp_path: Path) -> None:
    table(folder / "t.csv", [["file", "text_1", "text_2", "split"], ["a.png", "one", "two", "train"]])
    home = Home(tmp_path / "home")
    dataset = add_dataset(folder / "t.csv", name="mine", home=home, options=ReaderOptions(tag_columns=("split",)))
    assert read_manifest(home.datasets / "mine").columns == {"image": "file", "captions": "text_1, text_2", "split": "split", "tags": "split"}
    assert [picture.tags for picture in dataset.entries()] == [{"split": "train"}]


@pytest.mark.parametrize("name", ["urls.csv", "metadata.csv", "urls.tsv"])
def test_a_table_of_addresses_names_the_tool_that_fetches_them(folder: Path, name: str) -> None:
    delimiter = "\t" if name.endswith("tsv") else ","
    path = table(folder / name, [["URL", "TEXT"], ["https://example.org/1.jpg", "one"], ["http://example.org/2.jpg", "two"]], delimiter)
    for source in (folder, path):
        with pytest.raises(InputError, match="addresses of pictures on the web") as caught:
            detect(source, NO_OPTIONS)
        form = path.suffix[1:]
        line = f"img2dataset --url_list {path} --input_format {form} --url_col URL --caption_col TEXT --output_format webdataset --output_folder pictures"
        assert line in (caught.value.hint or "")
        assert caught.value.where == str(path)


def test_addresses_of_pictures_that_are_here_are_found_by_their_names(folder: Path) -> None:
    table(folder / "t.csv", [["image_url", "caption"], ["https://example.org/a.png", "one"], ["https://example.org/b.png", "two"]])
    assert read_source(folder).captions == {"a.png": ("one",), "b.png": ("two",)}


def test_a_table_of_addresses_does_not_keep_texts_beside_pictures_from_being_read(folder: Path) -> None:
    table(folder / "urls.csv", [["url", "caption"], ["https://example.org/1.jpg", "one"]])
    (folder / "a.txt").write_text("a dog")
    assert read_source(folder).evidence.layout == "sidecar"


def test_tables_that_are_named_for_splits_are_read_as_one(folder: Path) -> None:
    table(folder / "food_train.csv", [["image", "caption"], ["a.png", "one"]])
    table(folder / "food_valid.csv", [["image", "caption"], ["b.png", "two"]])
    reading = read_source(folder)
    assert reading.splits == {"a.png": "train", "b.png": "val"}
    assert reading.problems == []
    assert reading.evidence.reason.startswith("food_train.csv and food_valid.csv have the columns 'image,caption' with splits")


def test_blank_lines_above_the_header_do_no_harm(folder: Path) -> None:
    (folder / "t.csv").write_text("\n\nimage,caption\n\na.png,one\n,\n")
    assert read_source(folder).captions == {"a.png": ("one",)}


def test_a_field_beyond_all_measure_is_read(folder: Path) -> None:
    (folder / "t.csv").write_text(f'image,caption,embedding\na.png,one,"{"0.1," * 500_000}"\nb.png,two,\n')
    reading = read_source(folder)
    assert (reading.captions, reading.problems) == ({"a.png": ("one",), "b.png": ("two",)}, [])


GOOD = {
    "captions.csv": 'image,caption_1,caption_2,split\na.png,"A dog, « brun »","[""x"", ""y""]",train\nb.png,"Two\nlines",,val\n',
    "captions.tsv": "image\tcaptions\tsplit\na.png\t['a dog' 'it''s']\ttrain\nb.png\tzwei Hünde\tval\n",
    "metadata.csv": "file_name;text\na.png;'one'\nb.png;\"two\"\n",
    "metadata.jsonl": '{"file_name": "a.png", "text": ["one", "zw\\u00f6lf"]}\n{"file_name": "b.png", "text": "two"}\n',
    "Captions.csv": ",Index,Captions\n0,0,one\n1,1.0,two\n",
}
junk = st.sampled_from([b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\r\n", b'"', b"'", b"[", b"]", b"\\", b",", b";", b"\t", b"\n", b"\\ud800", b"9" * 3000])
damage = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), junk | st.binary(max_size=8)), min_size=0, max_size=4)


def spoil(data: bytes, damages: list[tuple[float, int, bytes]], kept: float) -> bytes:
    for place, cut, inserted in damages:
        at = int(place * len(data))
        data = data[:at] + inserted + data[at + cut :]
    return data[: int(kept * len(data))]


def try_reading(source: Path, options: ReaderOptions) -> None:
    """Read a source in each way that may be meant: records and problems come of it, or an InputError."""
    problems: list[Problem] = []
    for reader in (CaptionsTable(), Metadata(), Indexed()):
        with suppress(InputError):
            evidence = reader.detect(source, options)
            if evidence is not None:
                assert all(record.captions for record in reader.read(source, options, problems.append))
    with suppress(InputError):
        detect(source, options)
    assert all(problem.where and problem.message for problem in problems)


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=60, deadline=None)
@given(
    damages=damage,
    kept=st.floats(0, 1) | st.just(1.0),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "utf-32"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_a_table_with_other_bytes_in_it_is_read_or_refused(
    name: str, damages: list[tuple[float, int, bytes]], kept: float, encoding: str, end: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("spoilt")
    for picture in ("a.png", "b.png", "0.jpg", "1.jpg"):
        (folder / picture).write_bytes(b"")
    (folder / name).write_bytes(spoil(GOOD[name].replace("\n", end).encode(encoding, "replace"), damages, kept))
    for source in (folder, folder / name):
        try_reading(source, NO_OPTIONS)
    try_reading(folder, ReaderOptions(image_column="image", tag_columns=("split",)))


cells = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=12).filter(
    lambda text: text.strip() == text and not text.startswith(("[", '"', "'")) and "\\" not in text and text.casefold() not in ("nan", "null", "none", "na")
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from(["a.png", "b.png"]), cells, cells), min_size=1, max_size=6),
    order=st.permutations([0, 1, 2, 3]),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_whatever_the_order_of_columns_each_caption_goes_to_its_picture(
    rows: list[tuple[str, str, str]], order: list[int], delimiter: str, end: str, encoding: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("shuffled")
    expected: dict[str, list[Any]] = {}
    for image, first, second in rows:
        (folder / image).write_bytes(b"")
        expected.setdefault(image, []).extend(" ".join(text.split()) for text in (first, second))
    lines = [("image", "caption_1", "caption_2", "id"), *((*row, "7") for row in rows)]
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([[line[place] for place in order] for line in lines])
    (folder / "t.csv").write_bytes(stream.getvalue().encode(encoding))
    reader, _ = detect(folder, NO_OPTIONS)
    found = {record.image.name: list(record.captions) for record in reader.read(folder, NO_OPTIONS, ignore)}
    assert found == expected
