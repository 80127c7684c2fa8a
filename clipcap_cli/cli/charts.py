"""Charts in lines of text: horizontal bars, in columns where there is room.

words in a caption
  from 1 to 36, median 10
  0–4    ▍                     16,583
  5–9    ██████████▏          385,904
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, TextIO

from rich.cells import cell_len, set_cell_size

from clipcap_cli.cli.out import printable

if TYPE_CHECKING:
    from clipcap_cli.datasets.statistics import Bin, Distribution, Statistics

Row = tuple[str, int]

_EIGHTHS = "▏▎▍▌▋▊▉█"
_PLAIN = "#"
_RANGE = "–"
_INDENT = "  "
_GAP = 4  # columns between two charts
_COLUMN = 36  # a chart needs so many columns
_WIDEST = 100  # columns: longer bars say no more
_LONGEST_NAME = 20  # columns of a row's name
_SPLITS = 8  # are shown


def has_blocks(stream: TextIO) -> bool:
    """Whether the characters that bars are drawn with can be written to `stream`."""
    try:
        (_EIGHTHS + _RANGE).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def bars(rows: Sequence[Row], width: int, *, blocks: bool = True) -> list[str]:
    """Names, bars and numbers, a line each; the largest number fills the room that names and numbers leave.

    Args:
        width: columns of a line.
        blocks: draw with block characters, else with ASCII.
    """
    names = [printable(name) for name, _ in rows]
    numbers = [f"{number:,}" for _, number in rows]
    name_width = min(_LONGEST_NAME, max(map(cell_len, names), default=0))
    number_width = max(map(len, numbers), default=0)
    room = max(1, width - name_width - number_width - 2)
    largest = max((number for _, number in rows), default=0)
    return [
        f"{set_cell_size(name, name_width)} {set_cell_size(_bar(number, largest, room, blocks), room)} {told:>{number_width}}"
        for name, told, (_, number) in zip(names, numbers, rows, strict=True)
    ]


def charts(statistics: Statistics, splits: Mapping[str, int], pictures: int, width: int, *, blocks: bool = True) -> list[str]:
    """What a dataset is like: its splits, how long captions are, how large pictures, and which words come often.

    Args:
        splits: pictures of each.
        pictures: of the dataset; those in no split are told too.
        width: columns of a line.
        blocks: draw with block characters, else with ASCII.
    """
    width = min(width, _WIDEST)
    columns = 2 if width >= 2 * _COLUMN + _GAP else 1
    each = (width - (columns - 1) * _GAP) // columns
    drawn = [
        _chart(["splits"], _split_rows(splits, pictures), each, blocks),
        _distribution("captions of a picture", statistics.picture_captions, each, blocks),
        _distribution("words in a caption", statistics.caption_words, each, blocks),
        _distribution("pixels of the shorter side", statistics.shorter_sides, each, blocks),
    ]
    drawn = [lines for lines in drawn if lines]
    lines = []
    for start in range(0, len(drawn), columns):
        lines += [*_side_by_side(drawn[start : start + columns], each), ""]
    return [set_cell_size(line, width).rstrip() for line in [*lines, *_words(statistics, width)]]


def _bar(number: int, largest: int, room: int, blocks: bool) -> str:
    """What is there has a bar, however short."""
    if number <= 0:
        return ""
    if not blocks:
        return _PLAIN * max(1, round(room * number / largest))
    eighths = max(1, round(room * number / largest * len(_EIGHTHS)))
    whole, rest = divmod(eighths, len(_EIGHTHS))
    return _EIGHTHS[-1] * whole + (_EIGHTHS[rest - 1] if rest else "")


def _chart(heading: Sequence[str], rows: Sequence[Row], width: int, blocks: bool) -> list[str]:
    return [*heading, *(_INDENT + line for line in bars(rows, width - len(_INDENT), blocks=blocks))] if rows else []


def _distribution(title: str, found: Distribution, width: int, blocks: bool) -> list[str]:
    if not found.bins:
        return []
    if found.least == found.most:
        return [f"{title}: {found.most:,}"]
    heading = [title, f"{_INDENT}from {found.least:,} to {found.most:,}, median {found.median:,}"]
    return _chart(heading, [(_bin_name(each, blocks), each.count) for each in found.bins], width, blocks)


def _bin_name(each: Bin, blocks: bool) -> str:
    if each.high is None:
        return f"{each.low}+"
    return str(each.low) if each.low == each.high else f"{each.low}{_RANGE if blocks else '-'}{each.high}"


def _split_rows(splits: Mapping[str, int], pictures: int) -> list[Row]:
    named = list(splits.items())
    rows, more = (named, []) if len(named) <= _SPLITS else (named[: _SPLITS - 1], named[_SPLITS - 1 :])
    others = [(f"{len(more):,} others", sum(number for _, number in more))] if more else []
    without = pictures - sum(splits.values())
    return [*rows, *others, *([("no split", without)] if without > 0 else [])]


def _side_by_side(drawn: Sequence[Sequence[str]], width: int) -> list[str]:
    gap = " " * _GAP
    return [gap.join(set_cell_size(line, width) for line in lines).rstrip() for lines in zip_longest(*drawn, fillvalue="")]


def _words(statistics: Statistics, width: int) -> list[str]:
    heading = f"words: {statistics.words:,}, {statistics.vocabulary:,} different ones"
    told = [f"{printable(word)} {times:,}" for word, times in statistics.top_words.items()]
    separated = [*(f"{each}," for each in told[:-1]), *told[-1:]]
    return [heading, *(_INDENT + line for line in _filled(separated, width - len(_INDENT)))]


def _filled(pieces: Sequence[str], width: int) -> list[str]:
    """Lines of as many pieces as fit."""
    lines: list[str] = []
    for piece in pieces:
        if lines and cell_len(f"{lines[-1]} {piece}") <= width:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return lines
