"""Tables of captions as people have them: any encoding, delimiter and quoting, any of the usual headers.

The head of the file tells how it is written (`read_head`); its rows are then read one by one, so that memory does not grow with the file. A row that does
not fit the header is reported, never dropped in silence.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from clipcap_cli.datasets.files.text_files import text_encoding
from clipcap_cli.datasets.pictures import PICTURE_SUFFIXES
from clipcap_cli.datasets.records import Problem, ReaderOptions, Report, no_tags
from clipcap_cli.datasets.splits import split_name
from clipcap_cli.datasets.tables.cells import list_in, text_in, texts_in
from clipcap_cli.datasets.tables.columns import Columns, Table, known_columns
from clipcap_cli.errors import InputError

if TYPE_CHECKING:
    import _csv

_HEAD_BYTES = 1 << 16
_HEAD_ROWS = 50
_DELIMITERS = ",;\t|"
_LONGEST_LINE = 1 << 25  # characters
_LIST = ('["', "['")  # how lists of captions begin, which commas without marks around them have torn apart
_END = "end of the table"  # a row that is put behind the last one
# What a caption has in it whose quotation mark was closed in a row further down: a line that begins with the name of a picture.
_SWALLOWED = r"\n[^\n]*(?:{})[\"']?\s*{}"


@dataclass(frozen=True, slots=True)
class Row:
    """One caption of a table, and the picture as it is named there."""

    image: str
    caption: str
    split: str | None
    where: str
    tags: Mapping[str, str] = field(default_factory=no_tags)


def read_rows(table: Table, columns: Columns, report: Report, *, default_split: str | None = None) -> Iterator[Row]:
    """The captions of a table, in order: of each row those of all its caption columns, or an empty one if it has none.

    Raises:
        InputError: the table cannot be read.
    """
    for where, cells in table.cells(columns, report):
        image = text_in(cells[columns.image])
        captions = captions_of(cells, columns)
        if image or captions:  # neither: a blank line
            split, tags = split_of(cells, columns) or default_split, tags_of(cells, columns, table)
            for caption in captions or [""]:
                yield Row(image, caption, split, where, tags)


def captions_of(cells: Sequence[object], columns: Columns) -> list[str]:
    """All captions of a row."""
    return [text for place in columns.captions for text in texts_in(cells[place]) if text.strip()]


def split_of(cells: Sequence[object], columns: Columns) -> str | None:
    """The split that a row says."""
    return None if columns.split is None else split_name(text_in(cells[columns.split]))


def tags_of(cells: Sequence[object], columns: Columns, table: Table) -> Mapping[str, str]:
    """What is kept of a row, by the names of its columns."""
    return {table.header[place]: text_in(cells[place]) for place in columns.tags} if columns.tags else no_tags()


def lines_of(stream: TextIO) -> Iterator[str]:
    """The lines of a text; one beyond all measure in pieces, so that it does not fill the memory."""
    return iter(partial(stream.readline, _LONGEST_LINE), "")


@dataclass(frozen=True)
class TextTable(Table):
    """A table in a text file, and how it is written."""

    encoding: str
    delimiter: str
    quote: str
    escape: str | None

    def cells(self, columns: Columns, report: Report) -> Iterator[tuple[str, Sequence[object]]]:
        """As `Table.cells`. A row with more fields than the header is read if they may be the commas of its last column, a caption; else it is reported."""
        name, width = self.path.name, len(self.header)
        if self.encoding == "cp1252":
            report(Problem("encoding", "info", name, "the table is not UTF-8; it was read as Windows-1252", "Save it as UTF-8 if letters look wrong."))
        bare = not self._quotes_are_closed(columns)
        if bare:
            report(Problem("quoting", "info", name, "a quotation mark is opened and never closed; the table was read with such marks as plain text"))
        last = max((columns.image, *columns.captions, columns.split or 0, *columns.tags))
        for line, row in self._rows(bare=bare):
            where = f"{name}:{line}"
            if any(row[width:]):
                caption = self.delimiter.join([row[width - 1], *filter(None, row[width:])])
                message = f"this row has more fields than the header's {width}"
                if width - 1 not in columns.captions or caption.startswith(_LIST):
                    report(Problem("bad-row", "warning", where, message, "Put its caption in quotation marks."))
                    continue
                report(Problem("bad-row", "info", where, f"{message}; the last ones were read as one caption"))
                row[width - 1] = caption
            row += [""] * (last + 1 - len(row))
            yield where, [_unquoted(cell) for cell in row[: last + 1]] if bare else row

    def _rows(self, *, bare: bool) -> Iterator[tuple[int, list[str]]]:
        """The line on which each row begins, and its fields; the header is left out."""
        with self._open() as stream:
            reader = _parser(lines_of(stream), self.delimiter, self.quote, self.escape, bare=bare)
            next(filter(None, reader), None)
            line = reader.line_num + 1
            for row in reader:
                yield line, row
                line = reader.line_num + 1

    def _quotes_are_closed(self, columns: Columns) -> bool:
        """Whether each quotation mark that is opened is closed in its own row."""
        suffixes = "|".join(map(re.escape, sorted(PICTURE_SUFFIXES)))
        swallowed = re.compile(_SWALLOWED.format(suffixes, re.escape(self.delimiter)), re.IGNORECASE)
        row: list[str] = []
        try:
            with self._open() as stream:
                for row in _parser(chain(lines_of(stream), [_END]), self.delimiter, self.quote, self.escape):
                    for place in columns.captions:
                        if place < len(row) and "\n" in row[place] and list_in(row[place]) is None and swallowed.search(row[place]):
                            return False
        except csv.Error:  # a field beyond all measure
            return False
        return row == [_END]

    @contextmanager
    def _open(self) -> Iterator[TextIO]:
        try:
            with self.path.open(encoding=self.encoding, errors="replace") as stream:  # Windows-1252 leaves five bytes without a meaning
                yield stream
        except OSError as error:
            raise InputError(f"this table cannot be read: {error.strerror}", where=str(self.path)) from error


def read_head(path: Path, options: ReaderOptions) -> TextTable | None:
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
    heads = []
    for delimiter in _DELIMITERS:
        escape = _escape(text, delimiter)
        rows = _first_rows(text, delimiter, quote, escape)
        if not rows:
            return None
        header = tuple(cell.strip() for cell in rows[0])
        even = sum(len(row) == len(header) for row in rows) / len(rows)
        by_ending = delimiter == "\t" and path.suffix.lower() == ".tsv"
        table = TextTable(path, header, encoding, delimiter, quote, escape)
        heads.append(((known_columns(table, options), len(header) > 1, even, by_ending), table))
    return max(heads, key=lambda pair: pair[0])[1]


def _first_rows(text: str, delimiter: str, quote: str, escape: str | None) -> list[list[str]]:
    """The first rows that are not blank."""
    rows: list[list[str]] = []
    with suppress(csv.Error):  # a field beyond all measure: what was read until there has to do
        for row in _parser(io.StringIO(text, newline=None), delimiter, quote, escape):
            if row:
                rows.append(row)
            if len(rows) == _HEAD_ROWS:
                break
    return rows


def _parser(lines: Iterable[str], delimiter: str, quote: str, escape: str | None, *, bare: bool = False) -> _csv.Reader:
    csv.field_size_limit(_LONGEST_LINE)  # of the whole process, which has no other use for it
    if bare:
        return csv.reader(lines, delimiter=delimiter, quotechar=quote, quoting=csv.QUOTE_NONE, skipinitialspace=True)
    return csv.reader(lines, delimiter=delimiter, quotechar=quote, escapechar=escape, skipinitialspace=True)


def _quote(text: str) -> str:
    """What stands around fields: the double mark, unless there is none and most lines have a field in single ones."""
    single = len(re.findall(rf"(?:^|[{_DELIMITERS}])[ ]*'[^'\n]*'[ ]*(?:$|[{_DELIMITERS}])", text, re.MULTILINE))
    return "'" if '"' not in text and single * 2 > text.count("\n") else '"'


def _escape(text: str, delimiter: str) -> str | None:
    """The backslash, if it stands before marks inside of fields that have marks around them, and nowhere else (two marks in a row are the usual way)."""
    escaped = re.search(rf'(?:^|{re.escape(delimiter)})[ ]*"[^"\n]*\\"(?!")', text, re.MULTILINE)
    return "\\" if escaped and not re.search(r'\\[^"\\]', text) else None


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text
