"""Charts in lines of text: bars that keep to their width, in characters that the terminal has."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from clipcap_cli.cli.charts import bars, charts, has_blocks
from clipcap_cli.datasets.statistics import Bin, Distribution, Statistics

STATISTICS = Statistics(
    caption_words=Distribution(1, 10, 118, (Bin(0, 4, 16_583), Bin(5, 9, 385_904), Bin(10, None, 3208))),
    picture_captions=Distribution(5, 5, 5, (Bin(5, 5, 81_139),)),
    shorter_sides=Distribution(333, 480, 768, (Bin(224, 335, 24_835), Bin(336, 511, 58_557), Bin(512, 767, 8323))),
    words=10_782_363,
    vocabulary=8409,
    top_words={"dog": 202_227, "man": 178_112, "t-shirt": 12},
)
SPLITS = {"train": 64_000, "val": 8000}


def test_bars_are_as_long_as_numbers_are_large() -> None:
    assert bars([("one", 1), ("four", 4), ("none", 0)], 15) == ["one  ██       1", "four ████████ 4", "none          0"]
    assert bars([("one", 1), ("four", 4)], 15, blocks=False) == ["one  ##       1", "four ######## 4"]


def test_parts_of_a_column_are_drawn() -> None:
    assert bars([("a", 15), ("b", 16)], 7) == ["a █▉ 15", "b ██ 16"]


def test_what_is_there_has_a_bar_however_short() -> None:
    assert bars([("few", 1), ("many", 1_000_000)], 24)[0] == "few  ▏                 1"
    assert bars([("few", 1), ("many", 1_000_000)], 24, blocks=False)[0] == "few  #                 1"


def test_nothing_has_no_bars() -> None:
    assert bars([], 40) == []
    assert bars([("a", 0)], 10) == ["a        0"]


def test_hostile_names_stay_on_their_line() -> None:
    line = bars([("a\x1b[31m\nb", 1)], 40)[0]
    assert line.startswith("a\\x1b[31m\\nb ")


@given(st.lists(st.tuples(st.text(max_size=30), st.integers(0, 10**9)), max_size=8), st.integers(40, 120), st.booleans())
def test_lines_keep_to_their_width(rows: list[tuple[str, int]], width: int, blocks: bool) -> None:
    assert all(cell_len(line) <= width for line in bars(rows, width, blocks=blocks))


def test_a_dataset_is_shown_in_two_columns_where_there_is_room() -> None:
    assert charts(STATISTICS, SPLITS, 81_139, 80) == [
        "splits                                    captions of a picture: 5",
        "  train    ████████████████████ 64,000",
        "  val      ██▌                   8,000",
        "  no split ██▉                   9,139",
        "",
        "words in a caption                        pixels of the shorter side",
        "  from 1 to 118, median 10                  from 333 to 768, median 480",
        "  0–4 █                         16,583      224–335 ████████▉             24,835",
        "  5–9 ████████████████████████ 385,904      336–511 █████████████████████ 58,557",
        "  10+ ▎                          3,208      512–767 ███                    8,323",
        "",
        "words: 10,782,363, 8,409 different ones",
        "  dog 202,227, man 178,112, t-shirt 12",
    ]


def test_a_narrow_terminal_has_one_below_the_other_and_an_old_one_plain_characters() -> None:
    lines = charts(STATISTICS, SPLITS, 72_000, 50, blocks=False)
    assert lines[:4] == [
        "splits",
        "  train ################################### 64,000",
        "  val   ####                                 8,000",
        "",
    ]
    assert "  0-4 ##                                    16,583" in lines
    assert all(line.isascii() and len(line) <= 50 for line in lines)


def test_many_splits_are_summed_up() -> None:
    lines = charts(STATISTICS, {f"fold {number}": 10 for number in range(300)}, 3000, 60)
    assert lines[7].startswith("  fold 6 ")
    assert lines[8].startswith("  293 others ")
    assert lines[8].endswith(" 2,930")


def test_what_is_not_known_is_left_out() -> None:
    none = Distribution(0, 0, 0, ())
    bare = Statistics(none, none, none, 0, 0, {})
    assert charts(bare, {}, 0, 80) == ["words: 0, 0 different ones"]
    without_files = replace(STATISTICS, shorter_sides=none)
    assert not any("shorter side" in line for line in charts(without_files, SPLITS, 72_000, 80))


@pytest.mark.parametrize(("encoding", "can"), [("utf-8", True), ("ascii", False), ("cp1252", False), ("latin-1", False)])
def test_blocks_are_drawn_where_they_can_be_written(encoding: str, can: bool) -> None:
    assert has_blocks(io.TextIOWrapper(io.BytesIO(), encoding=encoding)) is can


@given(st.integers(1, 200), st.booleans(), st.dictionaries(st.text(max_size=50), st.integers(1, 10**7), max_size=20))
def test_charts_keep_to_their_width(width: int, blocks: bool, words: dict[str, int]) -> None:
    lines = charts(replace(STATISTICS, top_words=words), SPLITS, 81_139, width, blocks=blocks)
    assert all(cell_len(line) <= width for line in lines)
    assert not any("\n" in line for line in lines)
