"""Pictures inside of shards, read by themselves."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cluster_tools import draw_tables, draw_tars, picture
from hypothesis import given
from hypothesis import strategies as st

from clipcap_cli.datasets.pictures import read_picture
from clipcap_cli.datasets.places import Place, inside_table, inside_tar, place_within, reading_order, where_is
from clipcap_cli.datasets.row_reading import read_cell


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "rows.parquet"
    pq.write_table(pa.table({"bytes": [b"%03d" % number * 50 for number in range(100)]}), path, row_group_size=17)
    return path


@given(rows=st.lists(st.integers(0, 99), min_size=1, max_size=60))
def test_any_row_is_read_whichever_was_read_before(table: Path, rows: list[int]) -> None:
    assert [read_cell(str(table), row, "bytes") for row in rows] == [b"%03d" % row * 50 for row in rows]


def test_a_picture_in_a_tar_is_the_bytes_of_its_member(tmp_path: Path) -> None:
    path = draw_tars(tmp_path / "tars", 1, 3) / "00000.tar"
    with tarfile.open(path) as tar:
        members = [member for member in tar if member.name.endswith(".png")]
    places = [place_within(str(path), inside_tar(member.offset_data, member.size)) for member in members]
    assert [read_picture(place) for place in places] == [picture(number) for number in range(4)]
    assert str(places[0]) == f"file://{path}#bytes=512-{512 + len(picture(0))}"
    assert sorted([places[2], places[0], places[3], places[1]], key=reading_order) == places


def test_a_picture_in_a_table_is_its_cell_whatever_the_column_is_called(tmp_path: Path) -> None:
    path = tmp_path / "odd.parquet"
    pq.write_table(pa.table({"a #&= b": [picture(0), picture(1)]}), path)
    assert read_picture(place_within(str(path), inside_table(1, "a #&= b"))) == picture(1)


def test_what_is_gone_is_told_in_one_sentence(tmp_path: Path) -> None:
    path = draw_tables(tmp_path / "tables", 1, 2) / "validation-00000.parquet"
    with pytest.raises(OSError, match="row 99 of this Parquet file cannot be read any more"):
        read_picture(place_within(str(path), inside_table(99, "image")))
    with pytest.raises(OSError, match="there is no such file or folder"):
        read_picture(Place(f"file://{tmp_path}/gone.tar#bytes=0-10"))


def test_paths_of_the_store_and_of_this_machine_stay_paths(tmp_path: Path) -> None:
    assert where_is(tmp_path, "images/ab/abc.png") == tmp_path / "images/ab/abc.png"
    assert where_is(tmp_path, "/photos/a#row=1&column=x.png") == Path("/photos/a#row=1&column=x.png")
    assert where_is(tmp_path, "s3://photos/a.png") == Place("s3://photos/a.png")
    assert Place("s3://photos/a.png").suffix == ".png"
