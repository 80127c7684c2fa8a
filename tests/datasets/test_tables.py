from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcap_cli.datasets.records import Problem, ReaderOptions
from clipcap_cli.datasets.tables.columns import require_columns
from clipcap_cli.datasets.tables.delimited import Row, read_head, read_rows
from clipcap_cli.errors import InputError


def rows_of(path: Path, options: ReaderOptions | None = None) -> tuple[list[Row], list[Problem]]:
    problems: list[Problem] = []
    options = options or ReaderOptions()
    head = read_head(path, options)
    assert head is not None
    return list(read_rows(head, require_columns(head, options), problems.append)), problems


def pairs(path: Path, options: ReaderOptions | None = None) -> list[tuple[str, str]]:
    return [(row.image, row.caption.strip()) for row in rows_of(path, options)[0]]


TEXT = 'image{d}caption\na.jpg{d}a café\nb c.jpg{d}"two{d} words, ""here"""\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_encoding_and_delimiter_is_found_out(tmp_path: Path, encoding: str, delimiter: str) -> None:
    path = tmp_path / "captions.csv"
    path.write_bytes(TEXT.format(d=delimiter).encode(encoding))
    assert pairs(path) == [("a.jpg", "a café"), ("b c.jpg", f'two{delimiter} words, "here"')]


def test_line_ends_of_windows_and_old_macs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    for end in ("\r\n", "\r"):
        path.write_bytes(end.join(["image,caption", "a.jpg,one", "b.jpg,two", ""]).encode())
        assert pairs(path) == [("a.jpg", "one"), ("b.jpg", "two")]


@pytest.mark.parametrize("header", ["Image,Caption", "file_name,text", "filename,description", "path,desc", "id,comment,img", " File Name , Captions "])
def test_the_usual_headers_are_known(tmp_path: Path, header: str) -> None:
    path = tmp_path / "captions.csv"
    path.write_text(f"{header}\na.jpg,one,x.jpg\n" if header.startswith("id") else f"{header}\na.jpg,one\n")
    assert pairs(path) == [("x.jpg", "one")] if header.startswith("id") else [("a.jpg", "one")]


def test_flickr30ks_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("image_name| comment_number| comment\n1.jpg| 0| Two men , outside .\n1.jpg| 1|  A man .\n")
    assert pairs(path) == [("1.jpg", "Two men , outside ."), ("1.jpg", "A man .")]


def test_columns_are_named_by_the_user(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("pic,lang,words\na.jpg,en,one\n")
    assert pairs(path, ReaderOptions("pic", "words")) == [("a.jpg", "one")]
    with pytest.raises(InputError, match=r"no column 'wrods'.*'pic', 'lang', 'words'.*--caption-column words"):
        rows_of(path, ReaderOptions("pic", "wrods"))
    with pytest.raises(InputError, match=r"no column for pictures and captions: it has 'pic', 'lang', 'words' .*--image-column pic --caption-column words"):
        rows_of(path)


def test_a_table_without_a_header_says_so(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a.jpg,one\nb.jpg,two\n")
    with pytest.raises(InputError, match="not a header"):
        rows_of(path)


def test_other_quoting_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("image,caption\n'a.jpg','one, two'\n'b.jpg','three, four'\n")
    assert pairs(path) == [("a.jpg", "one, two"), ("b.jpg", "three, four")]
    path.write_text('image,caption\na.jpg,"a \\"big\\" dog, running"\n')
    assert pairs(path) == [("a.jpg", 'a "big" dog, running')]


def test_backslashes_of_paths_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('image,caption\npics\\a.jpg,"a \\"big\\" dog"\n')
    assert pairs(path)[0][0] == "pics\\a.jpg"


def test_a_quotation_mark_that_is_never_closed_swallows_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text('image\tcaption\na.jpg\t"Hello, he said\nb.jpg\ttwo\nc.jpg\t"three"\n')
    rows, problems = rows_of(path)
    assert [(row.image, row.caption) for row in rows] == [("a.jpg", '"Hello, he said'), ("b.jpg", "two"), ("c.jpg", "three")]
    assert [problem.kind for problem in problems] == ["quoting"]
    path.write_text('image\tcaption\na.jpg\t"Hello\nb.jpg\ttwo\nc.jpg\t"three\nd.jpg\tfour\n')
    assert [row.image for row in rows_of(path)[0]] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


def test_commas_without_quotation_marks_are_part_of_the_last_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("image,caption\na.jpg,one\nb.jpg,two,three, four\n")
    rows, problems = rows_of(path)
    assert rows[1].caption == "two,three,four"
    assert [(problem.kind, problem.severity, problem.where) for problem in problems] == [("bad-row", "info", "t.csv:3")]


def test_a_row_too_long_for_its_header_is_reported_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("caption,image\ntwo, three,b.jpg\none,a.jpg\n")
    rows, problems = rows_of(path)
    assert [row.image for row in rows] == ["a.jpg"]
    assert [(problem.kind, problem.severity, problem.where) for problem in problems] == [("bad-row", "warning", "t.csv:2")]


def test_a_row_says_its_line_also_after_captions_of_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('image,caption\na.jpg,"one\ntwo\nthree"\n\nb.jpg,four\nc.jpg\n')
    assert [(row.image, row.where) for row in rows_of(path)[0]] == [("a.jpg", "t.csv:2"), ("b.jpg", "t.csv:6"), ("c.jpg", "t.csv:7")]


def test_text_that_is_not_utf8_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("image,caption\na.jpg,café\n".encode("cp1252"))
    assert [problem.kind for problem in rows_of(path)[1]] == ["encoding"]


def test_an_empty_table_and_a_header_alone_give_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("")
    assert read_head(path, ReaderOptions()) is None
    path.write_text("image,caption\n")
    assert pairs(path) == []


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=30).filter(
    lambda text: text.strip() == text and text not in ('"', "'") and "\\" not in text
)


@settings(max_examples=40)
@given(rows=st.lists(st.tuples(st.from_regex(r"[a-z0-9 ]{1,8}\.jpg", fullmatch=True).map(str.strip), words), min_size=1, max_size=8))
def test_what_pythons_csv_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
    writer.writerows([("image", "caption"), *rows])
    path = tmp_path_factory.mktemp("table") / "t.csv"
    path.write_bytes(stream.getvalue().encode())
    assert pairs(path) == rows
