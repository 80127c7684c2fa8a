"""Tables of captions in JSON: a list of objects, captions by picture, columns, or a line for each object.

    [{"image": "a.jpg", "caption": "A dog runs."}, …]         {"a.jpg": ["A dog runs.", "A brown dog."], …}
    {"image": ["a.jpg", …], "caption": ["A dog runs.", …]}    {"image": "a.jpg", "caption": "A dog runs."} on each line

A document is in memory as a whole, which takes six times its size; lines are read one by one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from clipcap_cli.datasets.files.folders import is_picture_name
from clipcap_cli.datasets.files.json_files import bad_item, load_json
from clipcap_cli.datasets.files.text_files import text_encoding
from clipcap_cli.datasets.records import Problem, ReaderOptions, Report
from clipcap_cli.datasets.tables.columns import Columns, Table, known_columns
from clipcap_cli.datasets.tables.delimited import lines_of
from clipcap_cli.errors import InputError
from clipcap_cli.storage.reading import LARGEST_FILE, check_plain

_LOOKED_AT = 20  # objects, whose keys are the header
_NAME, _CAPTION = "image", "caption"  # the columns where a file has captions by the pictures' names
_BOTH = 2  # columns that are needed
_MOST_COLUMNS = 1_000  # an object with more keys has them by the pictures' names
_COCO = ("annotations", "images")  # what files have that are about more than captions


@dataclass(frozen=True)
class JsonTable(Table):
    """A document. `by_name`: its captions stand under the names of their pictures, so that nothing but these names tells that they are captions."""

    entries: Sequence[Any] = field(repr=False)
    by_name: bool = False

    def cells(self, columns: Columns, report: Report) -> Iterator[tuple[str, Sequence[object]]]:
        """As `Table.cells`."""
        for number, entry in enumerate(self.entries, 1):
            where = f"{self.path.name}, entry {number}"
            if isinstance(entry, dict):
                yield where, [entry.get(name) for name in self.header]
            else:
                report(bad_item(where, "this entry is not an object with a picture and a caption", entry))


@dataclass(frozen=True)
class JsonLines(Table):
    """A file with an object on each line."""

    encoding: str

    def cells(self, columns: Columns, report: Report) -> Iterator[tuple[str, Sequence[object]]]:
        """As `Table.cells`."""
        if self.encoding == "cp1252":
            message = "this file is not UTF-8; it was read as Windows-1252"
            report(Problem("encoding", "info", self.path.name, message, "Save it as UTF-8 if letters look wrong."))
        for number, line in _lines(self.path, self.encoding):
            where = f"{self.path.name}:{number}"
            entry = _object(line)
            if entry is not None:
                yield where, [entry.get(name) for name in self.header]
            elif line.strip():
                report(Problem("bad-row", "warning", where, f"this line is not a JSON object: {line.strip()[:80]!r}", "Write one object a line."))


def read_json_table(path: Path, options: ReaderOptions, report: Report) -> Table | None:
    """The table in a JSON file, or None if it holds none.

    Raises:
        InputError: it cannot be read, is too large, or is no JSON.
    """
    if _has_lines(path):
        return read_json_lines(path)
    try:
        check_plain(path, LARGEST_FILE)
    except OSError as error:
        raise InputError(f"this file cannot be read: {error.strerror}", where=str(path), hint="Write one object a line (.jsonl).") from error
    value = load_json(path, report)
    if isinstance(value, dict):
        return None if any(key in value for key in _COCO) else _table_in(value, path, options)
    return _table_of(value, path) if isinstance(value, list) else None


def read_json_lines(path: Path) -> JsonLines | None:
    """The table in a file of JSON lines, or None if none of its first lines is an object.

    Raises:
        InputError: it cannot be read.
    """
    try:
        encoding = text_encoding(path)
    except OSError as error:
        raise InputError(f"this file cannot be read: {error.strerror}", where=str(path)) from error
    first = islice(_lines(path, encoding), _LOOKED_AT)
    header = _keys(filter(None, (_object(line) for _, line in first)))
    return JsonLines(path, header, encoding) if header else None


def _table_of(entries: list[Any], path: Path, *, by_name: bool = False) -> JsonTable | None:
    header = _keys(entry for entry in entries[:_LOOKED_AT] if isinstance(entry, dict))
    return JsonTable(path, header, entries, by_name) if header else None


def _table_in(value: dict[str, Any], path: Path, options: ReaderOptions) -> JsonTable | None:
    """The table that an object is: columns, a list of objects beside other things, objects by number, or captions or objects by the pictures' names."""
    objects = {name: cells for name, cells in value.items() if isinstance(cells, dict)}
    lists: dict[str, list[Any]] = {}
    if len(value) <= _MOST_COLUMNS:
        lists = {name: cells for name, cells in value.items() if isinstance(cells, list)}
        for columns in (lists, objects):
            if known_columns(JsonTable(path, tuple(columns), ()), options) == _BOTH:
                return JsonTable(path, tuple(columns), _rows_of(lists) if columns is lists else _rows_by_key(objects))
    for entries in (*lists.values(), list(objects.values())):
        table = _table_of(entries, path)
        if table and known_columns(table, options) == _BOTH:
            return table
    named = [{**(said if isinstance(said, dict) else {_CAPTION: said}), _NAME: name} for name, said in value.items()]
    table = _table_of(named, path, by_name=True)
    is_meant = table is not None and (known_columns(table, options) == _BOTH or any(map(is_picture_name, islice(value, _LOOKED_AT))))
    return table if is_meant else None


def _rows_of(columns: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """The rows of columns that are lists; what a shorter one lacks is null."""
    return [dict(zip(columns, row, strict=True)) for row in zip_longest(*columns.values())]


def _rows_by_key(columns: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of columns that are objects of values by the row's number, as pandas writes them."""
    keys = dict.fromkeys(key for cells in columns.values() for key in cells)
    return [{name: cells.get(key) for name, cells in columns.items()} for key in keys]


def _keys(entries: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for entry in entries for key in entry))


def _has_lines(path: Path) -> bool:
    """Whether a file that is called JSON has an object on each line."""
    try:
        first = list(islice(_lines(path, text_encoding(path)), 2))
    except (OSError, InputError):
        return False
    return len(first) > 1 and _object(first[0][1]) is not None


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding=encoding, errors="replace") as stream:
            yield from enumerate(lines_of(stream), 1)
    except OSError as error:
        raise InputError(f"this file cannot be read: {error.strerror}", where=str(path)) from error


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
