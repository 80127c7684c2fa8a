"""Parquet tables: pictures in them or beside them, one file or many, whole or damaged."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reading_tools import read_source

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.detection import detect
from clipcap_cli.datasets.readers.metadata import Metadata
from clipcap_cli.datasets.readers.parquet import Parquet
from clipcap_cli.datasets.records import NO_OPTIONS, Evidence, Problem, ReaderOptions, Record, ignore
from clipcap_cli.errors import InputError
from clipcap_cli.storage.home import Home

Draw = Callable[..., Path]


def picture(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (6, 4), colour).save(stream, "PNG")
    return stream.getvalue()


RED, BLUE, WHITE = map(picture, ("red", "blue", "white"))


def write(path: Path, columns: dict[str, Any], **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **how)
    return path


def read(source: Path, options: ReaderOptions = NO_OPTIONS) -> tuple[Evidence, list[Record], list[Problem]]:
    reader, evidence = detect(source, options)
    problems: list[Problem] = []
    return evidence, list(reader.read(source, options, problems.append)), problems


def structs(*pictures: tuple[bytes | None, str | None]) -> list[dict[str, Any]]:
    return [{"bytes": data, "path": path} for data, path in pictures]


def test_pictures_as_the_hub_has_them_are_read_out_of_the_table(tmp_path: Path) -> None:
    columns = {
        "image": structs((RED, "red.png"), (BLUE, None), (None, None), (WHITE, "white.png")),
        "caption": [["a red one", "all red"], ["a blue one"], ["nothing"], ["", None]],
        "json": [{"deep": {"er": [1]}}] * 4,
        "split": ["train", "validation", "train", "train"],
        "rating": [4.5, None, 1.0, 2.0],
    }
    path = write(tmp_path / "mine.parquet", columns)
    evidence, records, problems = read(path, ReaderOptions(tag_columns=("rating",)))
    assert evidence.layout == "parquet"
    assert evidence.reason == "mine.parquet has the columns 'image,caption' in 4 rows with splits, and the pictures are in it"
    assert dict(evidence.columns) == {"image": "image", "captions": "caption", "split": "split", "tags": "rating"}
    assert records == [
        Record(Path("red.png"), ("a red one", "all red"), "train", "mine.parquet, row 0", data=RED, tags={"rating": "4.5"}),
        Record(Path("mine.parquet/1"), ("a blue one",), "val", "mine.parquet, row 1", data=BLUE, tags={"rating": ""}),
    ]
    assert [(problem.kind, problem.where) for problem in problems] == [
        ("missing-picture", "mine.parquet, row 2"),
        ("empty-caption", "mine.parquet, row 3"),
    ]


@pytest.mark.parametrize("name", ["image", "jpg", "png", "webp", "image_bytes", "bytes", "picture", "whatever"])
def test_a_column_of_bytes_is_pictures_under_any_of_the_usual_names_or_if_it_is_the_only_one(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "t.parquet", {"key": ["0", "1"], name: [RED, BLUE], "caption_1": ["b", "d"], "caption_0": ["a", "c"]})
    _, records, problems = read(path)
    assert [(record.data, record.captions, str(record.image)) for record in records] == [
        (RED, ("a", "b"), "t.parquet/0"),
        (BLUE, ("c", "d"), "t.parquet/1"),
    ]
    assert problems == []


def test_a_column_of_pictures_is_preferred_to_one_of_names_and_other_bytes_are_not_pictures(tmp_path: Path, draw: Draw) -> None:
    path = write(tmp_path / "t.parquet", {"filename": ["a.png"], "hash": [b"1234"], "jpg": [RED], "caption": ["one"]})
    assert read(path)[1][0].data == RED
    draw(tmp_path / "a.png")
    write(path, {"filename": ["a.png"], "hash": [b"1234"], "caption": ["one"]})
    assert read(path)[1] == [Record(tmp_path / "a.png", ("one",), None, "t.parquet, row 0")]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), "struct"])
def test_names_of_pictures_are_matched_with_the_folder_as_those_of_other_tables(tmp_path: Path, draw: Draw, kind: Any) -> None:
    for name in ("a.png", "b.png"):
        draw(tmp_path / "pictures" / name)
    names = ["a.png", "pictures/b.png", "c.png"]
    images = structs(*((None, name) for name in names)) if kind == "struct" else pa.array(names, pa.string()).cast(kind)
    write(tmp_path / "t.parquet", {"image": images, "text": ["one", "two", "three"]})
    reading = read_source(tmp_path)
    assert reading.captions == {"pictures/a.png": ("one",), "pictures/b.png": ("two",)}
    assert reading.said("missing-picture") == ["t.parquet, row 2: there is no picture 'c.png'"]
    assert reading.evidence.reason == "t.parquet has the columns 'image,text' in 3 rows, and pictures/ has 2 pictures"


def test_metadata_parquet_is_read_as_other_metadata(tmp_path: Path, draw: Draw) -> None:
    for folder in ("train", "val"):
        draw(tmp_path / folder / "1.png", folder)
        write(tmp_path / folder / "metadata.parquet", {"file_name": ["1.png"], "text": [[folder, "more"]]})
    reading = read_source(tmp_path)
    assert reading.evidence.layout == "metadata"
    assert reading.captions == {"train/1.png": ("train", "more"), "val/1.png": ("val", "more")}
    assert reading.splits == {"train/1.png": "train", "val/1.png": "val"}


def test_metadata_parquet_with_pictures_in_it_is_read_too(tmp_path: Path) -> None:
    write(tmp_path / "metadata.parquet", {"image": structs((RED, "r.png")), "text": ["one"]})
    evidence, records, _ = read(tmp_path)
    assert (evidence.layout, records[0].data) == ("parquet", RED)


@pytest.mark.parametrize(
    "names",
    [
        ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/validation-00000-of-00001.parquet"),
        ("train/0000.parquet", "train/0001.parquet", "val/0000.parquet"),
        ("train.parquet", "train_more.parquet", "dev.parquet"),
    ],
)
def test_the_files_of_one_dataset_say_its_splits(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for name, data in zip(names, (RED, BLUE, WHITE), strict=True):
        write(tmp_path / name, {"image": structs((data, None)), "caption": [name]})
    evidence, records, _ = read(tmp_path)
    assert {record.captions[0]: record.split for record in records} == {names[0]: "train", names[1]: "train", names[2]: "val"}
    assert "and 2 other files have the columns 'image,caption' in 3 rows with splits" in evidence.reason


def test_a_file_alone_is_no_split_whatever_its_name(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00001.parquet", {"image": structs((RED, None)), "caption": ["one"]})
    assert read(tmp_path)[1][0].split is None


def test_rows_of_one_picture_that_follow_each_other_are_one_picture(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"image": structs((RED, "r"), (RED, "r"), (BLUE, "b"), (RED, "r")), "caption": list("abcd")})
    assert [(record.data, record.captions) for record in read(path)[1]] == [(RED, ("a", "b")), (BLUE, ("c",)), (RED, ("d",))]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/etc/passwd", "passwd"),
        ("../../a.png", "a.png"),
        ("C:\\pictures\\a.png", "a.png"),
        ("s3://bucket/a.png", "a.png"),
        ("x/a.png", "x/a.png"),
        (".a.png", ".a.png"),
        ("..", "t.parquet/0"),
        ("../..", "t.parquet/0"),
        (".", "t.parquet/0"),
        ("", "t.parquet/0"),
    ],
)
def test_the_path_of_a_picture_in_a_table_leads_nowhere(tmp_path: Path, path: str, name: str) -> None:
    source = write(tmp_path / "t.parquet", {"image": structs((RED, path)), "caption": ["one"]})
    assert read(source)[1][0].image == Path(name)


def test_such_a_table_becomes_a_dataset(tmp_path: Path) -> None:
    source = tmp_path / "shop"
    write(source / "t.parquet", {"image": structs((RED, "red.png"), (b"<html>", "page.png"), (BLUE, None)), "caption": ["red", "none", "blue"]})
    home = Home(tmp_path / "home")
    dataset = add_dataset(source, home=home)
    assert dataset.name == "shop"
    assert {picture.name: picture.captions for picture in dataset.entries()} == {"red.png": ("red",), "t.parquet/2": ("blue",)}
    assert {dataset.file_of(picture).read_bytes() for picture in dataset.images()} == {RED, BLUE}
    assert [(problem.kind, problem.where) for problem in dataset.problems()] == [("unreadable-picture", "page.png")]


def test_a_table_without_the_columns_says_what_it_has(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"image": structs((RED, "r")), "beschreibung": ["eins"]})
    for source in (path, tmp_path):
        with pytest.raises(InputError, match=r"no column for captions: it has 'image', 'beschreibung'.*--caption-column beschreibung"):
            read(source)
    assert read(path, ReaderOptions(caption_column="beschreibung"))[1][0].captions == ("eins",)
    with pytest.raises(InputError, match=r"no column 'tag': the header has 'image', 'beschreibung'"):
        read(tmp_path, ReaderOptions(caption_column="beschreibung", tag_columns=("tag",)))


def test_pictures_that_are_numbers_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"image": [[[0, 255], [0, 255]]], "caption": ["one"]})
    with pytest.raises(InputError, match=r"the column 'image' has pictures as list<.*>, not as files"):
        read(path)


def test_addresses_are_refused_with_the_tool_that_fetches_them(tmp_path: Path) -> None:
    path = write(tmp_path / "laion.parquet", {"URL": ["https://example.org/1.jpg"], "TEXT": ["one"], "similarity": [0.3]})
    for source in (path, tmp_path):
        with pytest.raises(InputError, match=r"addresses of pictures on the web.*--input_format parquet --url_col URL --caption_col TEXT"):
            read(source)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" * 100, b"no table at all", bytes(5000), b"PAR1" + b"\xff" * 200 + b"\xff\xff\xff\x7fPAR1"])
def test_what_is_no_parquet_is_refused_in_a_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(data)
    for source in (path, tmp_path):
        with pytest.raises(InputError, match="damaged or cut short") as caught:
            read(source)
        assert caught.value.where == str(path)


def test_a_damaged_file_among_others_is_listed_and_the_others_are_read(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"image": structs((RED, "r")), "caption": ["one"]})
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-9])
    write(tmp_path / "c.parquet", {"numbers": [1]})
    _, records, problems = read(tmp_path)
    assert [record.captions for record in records] == [("one",)]
    assert [(problem.kind, problem.where) for problem in problems] == [("damaged-table", "b.parquet"), ("other-table", "c.parquet")]


def test_a_damaged_row_group_is_listed_and_the_others_are_read(tmp_path: Path) -> None:
    pictures = [picture(f"#{number:02x}0000") for number in range(60)]
    path = write(tmp_path / "t.parquet", {"image": pictures, "caption": [str(number) for number in range(60)]}, row_group_size=20)
    column = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start, size = column.dictionary_page_offset, column.total_compressed_size
    data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    _, records, problems = read(path)
    assert [record.captions[0] for record in records] == [str(number) for number in (*range(20), *range(40, 60))]
    assert [(problem.kind, problem.where) for problem in problems] == [("damaged-table", "t.parquet, row 20")]
    assert "up to row 39" in problems[0].message


def test_text_that_is_no_utf8_is_read_as_well_as_can_be(tmp_path: Path, draw: Draw) -> None:
    for name in "ab":
        draw(tmp_path / f"{name}.png")
    wrong = pa.array([b"caf\xe9", b"good"], pa.binary()).view(pa.string())
    write(tmp_path / "t.parquet", {"image": ["a.png", "b.png"], "caption": wrong})
    assert read_source(tmp_path).captions == {"a.png": ("caf\ufffd",), "b.png": ("good",)}


def test_a_table_that_unpacks_to_very_much_more_is_not_read(tmp_path: Path) -> None:
    columns = {"image": [bytes(2**27)], "caption": ["zeros"]}
    path = write(tmp_path / "t.parquet", columns, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 2**17
    _, records, problems = read(path)
    assert records == []
    assert "and unpacks to 134 MB, which no honest table does" in problems[0].message


_PEAK = """
import sys
from pathlib import Path
import pyarrow as pa
from clipcap_cli.datasets.readers.parquet import Parquet
from clipcap_cli.datasets.records import NO_OPTIONS, ignore
rows = sum(1 for _ in Parquet().read(Path(sys.argv[1]), NO_OPTIONS, ignore))
print(rows, pa.default_memory_pool().max_memory())
"""


def test_of_a_large_row_group_a_few_rows_at_a_time_are_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    images = [number.to_bytes(2) * 50_000 for number in range(800)]
    write(path, {"image": images, "caption": ["a dog"] * 800}, use_dictionary=False, write_batch_size=8, compression="none")
    assert pq.read_metadata(path).num_row_groups == 1
    counted, peak = map(int, subprocess.run([sys.executable, "-c", _PEAK, str(path)], capture_output=True, check=True).stdout.split())
    assert counted == 800
    assert peak < path.stat().st_size // 4


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("good")
    files = {
        "t.parquet": {"image": structs((RED, "r.png"), (BLUE, None)) * 10, "caption": [["one", "two"], ["three"]] * 10, "split": ["train", None] * 10},
        "metadata.parquet": {"file_name": ["a.png", "b.png"] * 10, "text": ["one", "two"] * 10},
    }
    return {name: write(folder / name, columns, row_group_size=7).read_bytes() for name, columns in files.items()}


@pytest.mark.parametrize("name", ["t.parquet", "metadata.parquet"])
@settings(max_examples=120, deadline=None)
@given(
    damages=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=12)), max_size=4),
    kept=st.floats(0, 1) | st.just(1.0),
)
def test_a_file_with_other_bytes_in_it_is_read_or_refused(
    name: str, damages: list[tuple[float, int, bytes]], kept: float, good: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("spoilt")
    for picture_name in ("a.png", "b.png"):
        (folder / picture_name).write_bytes(b"")
    data = good[name]
    for place, cut, inserted in damages:
        at = int(place * len(data))
        data = data[:at] + inserted + data[at + cut :]
    (folder / name).write_bytes(data[: int(kept * len(data))])
    problems: list[Problem] = []
    for source in (folder, folder / name):
        for reader in (Parquet(), Metadata()):
            with suppress(InputError):
                if reader.detect(source, NO_OPTIONS) is not None:
                    assert all(record.captions for record in reader.read(source, NO_OPTIONS, problems.append))
        with suppress(InputError):
            detect(source, NO_OPTIONS)
    assert all(problem.where and problem.message for problem in problems)
    shutil.rmtree(folder)


def test_the_good_files_are_good(good: dict[str, bytes], tmp_path: Path, draw: Draw) -> None:
    for name in "ab":
        draw(tmp_path / f"{name}.png")
    for name, rows in (("t.parquet", 20), ("metadata.parquet", 2)):
        (tmp_path / name).write_bytes(good[name])
        assert len(list(detect(tmp_path / name, NO_OPTIONS)[0].read(tmp_path / name, NO_OPTIONS, ignore))) == rows
