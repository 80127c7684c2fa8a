"""Tables of captions as people have them: any encoding, delimiter and quoting, any of the usual headers.

The head of the file tells how it is written (`read_head`); pandas then reads all of it (`read_rows`). A row that does not fit the header is reported, never
dropped in silence.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipcap_cli.datasets.folders import is_picture_name
from clipcap_cli.datasets.records import Problem, ReaderOptions, Report
from clipcap_cli.datasets.splits import split_name
from clipcap_cli.datasets.text_files import text_encoding
from clipcap_cli.errors import InputError
from clipcap_cli.storage.names import nearest

IMAGE_ALIASES = (
    *("image", "image_name", "image_file", "image_filename", "image_path", "file_name", "filename", "file", "file_path", "filepath", "path"),
    *("img", "img_name", "img_path", "picture", "photo", "image_id", "img_id"),
)
CAPTION_ALIASES = ("caption", "captions", "text", "description", "descriptions", "desc", "comment", "comments", "sentence", "sentences")
SPLIT_COLUMN = "split"

_HEAD_BYTES = 1 << 16
_HEAD_ROWS = 50
_MOST_FIELDS = 1_000  # of a row; pandas takes seconds and gigabytes for 100,000
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Row:
    """One line of a captions file: the picture as it is named there, and one caption."""

    image: str
    caption: str
    split: str | None
    where: str


@dataclass(frozen=True)
class Head:
    """How a table is written, and its header."""

    path: Path
    encoding: str
    delimiter: str
    quote: str
    escape: str | None
    header: tuple[str, ...]

    def column(self, wanted: str | None, aliases: Sequence[str]) -> int | None:
        """The place of a column: the one that the user named, else the first alias that is there."""
        names = [_plain(name) for name in self.header]
        if wanted is not None:
            return self.header.index(wanted) if wanted in self.header else names.index(_plain(wanted)) if _plain(wanted) in names else None
        return next((names.index(alias) for alias in aliases if alias in names), None)


@dataclass(frozen=True)
class Columns:
    """Where in a table the picture, the caption and the split stand."""

    image: int
    caption: int
    split: int | None


def read_head(path: Path, options: ReaderOptions) -> Head | None:
    """How the table at `path` is written, or None if it is empty.

    Raises:
        InputError: it cannot be read.
    """
    try:
        encoding = text_encoding(path)
        with path.open("rb") as stream:
            data = stream.read(_HEAD_BYTES)
    except OSError as error:
        raise InputError(f"this file cannot be read: {error.strerror}", where=str(path)) from error
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(data)
    if len(data) == _HEAD_BYTES:
        text = text[: text.rfind("\n") + 1] or text
    quote = _quote(text)
    escape = "\\" if '\\"' in text and not re.search(r'\\[^"\\]', text) else None
    heads = []
    for delimiter in _DELIMITERS:
        rows = _parse(text, delimiter, quote, escape)
        if not rows:
            return None
        head = Head(path, encoding, delimiter, quote, escape, tuple(cell.strip() for cell in rows[0]))
        known = sum(column is not None for column in (head.column(options.image_column, IMAGE_ALIASES), head.column(options.caption_column, CAPTION_ALIASES)))
        even = sum(len(row) == len(head.header) for row in rows) / len(rows)
        heads.append(((known, len(head.header) > 1, even, delimiter == "\t" and path.suffix.lower() == ".tsv"), head))
    return max(heads, key=lambda pair: pair[0])[1]


def find_columns(head: Head, options: ReaderOptions) -> Columns | None:
    """The columns that the user named, or that are named as usual; None if the picture's or the caption's is not there.

    Raises:
        InputError: the table has no column that the user named.
    """
    for flag, wanted in (("--image-column", options.image_column), ("--caption-column", options.caption_column)):
        if wanted is not None and head.column(wanted, ()) is None:
            meant = nearest(wanted, [name for name in head.header if name]) or next((name for name in head.header if name), "NAME")
            raise InputError(f"there is no column {wanted!r}: the header has {_listed(head.header)}", where=str(head.path), hint=f"Try {flag} {meant}.")
    image, caption = head.column(options.image_column, IMAGE_ALIASES), head.column(options.caption_column, CAPTION_ALIASES)
    if image is None or caption is None or image == caption:
        return None
    return Columns(image, caption, head.column(None, (SPLIT_COLUMN,)))


def require_columns(head: Head, options: ReaderOptions) -> Columns:
    """`find_columns`, or the error that says which are not there.

    Raises:
        InputError: a column is not there.
    """
    columns = find_columns(head, options)
    if columns is None:
        raise missing_columns(head, options)
    return columns


def missing_columns(head: Head, options: ReaderOptions) -> InputError:
    """The error for a table whose columns are not the usual ones."""
    if any(is_picture_name(cell) for cell in head.header):
        return InputError(
            f"the first line of this table is not a header: it has {_listed(head.header)}",
            where=str(head.path),
            hint="Put a line with 'image,caption' on top (with the table's own delimiter).",
        )
    image, caption = head.column(options.image_column, IMAGE_ALIASES), head.column(options.caption_column, CAPTION_ALIASES)
    others = [name for place, name in enumerate(head.header) if name and place not in (image, caption)] or ["NAME"]
    lacks = [what for what, place in (("pictures", image), ("captions", caption)) if place is None] or ["captions"]
    flags = {"pictures": f"--image-column {others[0]}", "captions": f"--caption-column {others[-1]}"}
    return InputError(
        f"this table has no column for {' and '.join(lacks)}: it has {_listed(head.header)}",
        where=str(head.path),
        hint=f"Name {'it' if len(lacks) == 1 else 'them'}, as with {' '.join(flags[what] for what in lacks)}.",
    )


def read_rows(head: Head, columns: Columns, report: Report, *, default_split: str | None = None) -> Iterator[Row]:
    """Every row of the table, in order.

    Raises:
        InputError: pandas cannot make rows of it.
    """
    name = head.path.name
    if head.encoding == "cp1252":
        report(Problem("encoding", "info", name, "the table is not UTF-8; it was read as Windows-1252", "Save it as UTF-8 if letters look wrong."))
    frame, bare = _read_frame(head, columns)
    if bare:
        report(Problem("quoting", "info", name, "a quotation mark is opened and never closed; the table was read with such marks as plain text"))
    width = len(head.header)
    lines = _line_numbers(frame)
    surplus = frame.iloc[:, width:].ne("").any(axis=1).tolist()
    splits = frame[columns.split].tolist() if columns.split is not None else [""] * len(frame)
    for place, (image, caption, split) in enumerate(zip(frame[columns.image].tolist(), frame[columns.caption].tolist(), splits, strict=True)):
        where = f"{name}:{lines[place]}"
        if surplus[place]:
            if columns.caption != width - 1:
                report(Problem("bad-row", "warning", where, f"this row has more fields than the header's {width}", "Put its caption in quotation marks."))
                continue
            rest = [cell for cell in frame.iloc[place, width:].tolist() if cell]
            caption = head.delimiter.join([caption, *rest])
            report(Problem("bad-row", "info", where, f"this row has more fields than the header's {width}; the last ones were read as one caption"))
        if bare:
            image, caption = _unquoted(image), _unquoted(caption)
        if image.strip() or caption.strip():  # neither: a blank line
            yield Row(image.strip(), caption, split_name(split) or default_split, where)


def _read_frame(head: Head, columns: Columns) -> tuple[Any, bool]:
    """The table with numbered columns, at least one more than the header has, and whether its quotation marks had to be taken as text."""
    from pandas.errors import ParserError

    width = _checked(len(head.header), head) + 1
    try:
        try:
            frame = _pandas(head, width, bare=False)
        except ParserError:
            # Some row is longer (or a quotation mark stays open): make room for the longest.
            rows = csv.reader(io.StringIO(head.path.read_text(head.encoding, "replace")), delimiter=head.delimiter, quotechar=head.quote)
            frame = _pandas(head, _checked(max(map(len, rows), default=0), head) + 1, bare=False)
        # A quotation mark that is closed by one many rows below leaves a caption with further rows in it.
        swallowed = rf"\n[^\n]*\.\w{{3,4}}[\"']?\s*{re.escape(head.delimiter)}"
        if not frame[columns.caption].str.contains(swallowed, regex=True).any():
            return frame, False
    except (ParserError, csv.Error):
        pass
    try:
        longest = max((line.count(head.delimiter) for line in head.path.read_text(head.encoding, "replace").splitlines()), default=0) + 1
        return _pandas(head, max(width, _checked(longest, head) + 1), bare=True), True
    except ParserError as error:
        raise InputError(f"this table cannot be read: {error}", where=str(head.path), hint="Save it again as CSV with a header line.") from error


def _checked(fields: int, head: Head) -> int:
    """This number of fields, if it is one that tables have."""
    if fields > _MOST_FIELDS:
        message = f"a row of this table has {fields:,} fields, more than the {_MOST_FIELDS:,} that are read"
        raise InputError(message, where=str(head.path), hint="Save it again as CSV with the columns 'image' and 'caption'.")
    return fields


def _pandas(head: Head, width: int, *, bare: bool) -> Any:
    import pandas

    try:
        return pandas.read_csv(
            head.path,
            sep=head.delimiter,
            encoding=head.encoding,
            encoding_errors="replace",  # Windows-1252 leaves five bytes without a meaning
            header=None,
            names=list(range(width)),
            index_col=False,
            skiprows=1,
            skip_blank_lines=False,
            skipinitialspace=True,
            dtype=str,
            na_filter=False,
            quotechar=head.quote,
            quoting=csv.QUOTE_NONE if bare else csv.QUOTE_MINIMAL,
            escapechar=None if bare else head.escape,
        ).fillna("")
    except pandas.errors.EmptyDataError:
        return pandas.DataFrame(columns=list(range(width)), dtype=str)


def _line_numbers(frame: Any) -> list[int]:
    """The line of the file on which each row begins; the header is line 1."""
    inner = [0] * len(frame)
    for column in frame.columns:
        for place, count in enumerate(frame[column].str.count("\n").tolist()):
            inner[place] += count
    lines, line = [], 2
    for count in inner:
        lines.append(line)
        line += 1 + count
    return lines


def _parse(text: str, delimiter: str, quote: str, escape: str | None) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, quotechar=quote, escapechar=escape, skipinitialspace=True):
            rows.append(row)
            if len(rows) == _HEAD_ROWS:
                break
    except csv.Error:  # a field beyond all measure: what was read until there has to do
        pass
    return rows


def _quote(text: str) -> str:
    """What stands around fields: the double mark, unless there is none and most lines have a field in single ones."""
    single = len(re.findall(rf"(?:^|[{_DELIMITERS}])[ ]*'[^'\n]*'[ ]*(?:$|[{_DELIMITERS}])", text, re.MULTILINE))
    return "'" if '"' not in text and single * 2 > text.count("\n") else '"'


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.strip().casefold()).strip("_")


def _listed(header: Sequence[str]) -> str:
    shown = [repr(name) for name in header if name][:12]
    return ", ".join(shown) or "nothing"
