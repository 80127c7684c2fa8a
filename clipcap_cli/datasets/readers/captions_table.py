"""A captions table (CSV or TSV) beside the pictures, or above their folder: a row has a picture's name and one caption."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clipcap_cli.datasets.folders import Folder, beside, pictures_of, scan, top_files
from clipcap_cli.datasets.matching import match_rows
from clipcap_cli.datasets.records import Evidence, ReaderOptions, Record, Report
from clipcap_cli.datasets.tables import Columns, Head, find_columns, missing_columns, read_head, read_rows
from clipcap_cli.errors import InputError
from clipcap_cli.words import count

TABLE_SUFFIXES = (".csv", ".tsv", ".tab")
_LOOKED_AT = 20  # rows
# Names that say what is in the table, the clearest first; another table is only taken if it is the only one.
_TELLING = ("captions", "caption", "annotations", "labels", "descriptions", "results")


class CaptionsTable:
    """A table with a column of picture names and one of captions."""

    layout = "captions table"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        found = _find(source, options)
        if found is None:
            return None
        head, columns = found
        folder = pictures_of(source, options.images)
        header = f"{head.header[columns.image]},{head.header[columns.caption]}"
        splits = " with splits" if columns.split is not None else ""
        return Evidence(
            self.layout, f"{head.path.name} has the columns '{header}'{splits}, and {folder.shared_place()} has {count(len(folder.pictures), 'picture')}"
        )

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        found = _find(source, options)
        if found is None:
            raise InputError("there is no captions table here any more", where=str(source))
        head, columns = found
        folder = pictures_of(source, options.images)
        yield from match_rows(read_rows(head, columns, report), folder, report, beside=beside(head.path, folder))


def table_files(source: Path) -> list[Path]:
    """The files of a source that may be captions tables: itself, or those right in the folder."""
    if source.is_file():
        return [source] if source.suffix.lower() in (*TABLE_SUFFIXES, ".txt") else []
    return [path for path in top_files(source) if path.suffix.lower() in TABLE_SUFFIXES or path.name.casefold() == "captions.txt"]


def _find(source: Path, options: ReaderOptions) -> tuple[Head, Columns] | None:
    heads = [head for path in table_files(source) if (head := read_head(path, options))]
    if not heads and source.is_dir():  # the folder of the pictures was named; the table may be above it
        heads = _above(source, options)
    usable = _usable(heads, options)
    if len(usable) > 1:
        usable.sort(key=lambda pair: _rank(pair[0].path))
        if _rank(usable[0][0].path) == _rank(usable[1][0].path):
            names = ", ".join(head.path.name for head, _ in usable)
            raise InputError(f"{len(usable)} tables here have captions: {names}", where=str(source), hint=f"Name the one that is meant: {usable[0][0].path}")
    return usable[0] if usable else None


def _usable(heads: list[Head], options: ReaderOptions) -> list[tuple[Head, Columns]]:
    """The tables with both columns; if the user named columns, they must be in one of them."""
    usable, refused = [], None
    for head in heads:
        try:
            columns = find_columns(head, options)
        except InputError as error:
            refused = refused or error
            continue
        if columns is not None:
            usable.append((head, columns))
        elif options.image_column or options.caption_column:
            refused = refused or missing_columns(head, options)
    if refused and not usable:
        raise refused
    return usable


def _above(source: Path, options: ReaderOptions) -> list[Head]:
    folder = scan(source)
    if not folder.pictures:
        return []
    # Only a table that is named for it and in whose first rows are pictures of this very folder: what lies above is not the user's word.
    tables = [path for path in table_files(source.parent) if path.stem.casefold() in _TELLING]
    return [head for path in tables if (head := read_head(path, options)) and _names_pictures_of(head, folder, options)]


def _names_pictures_of(head: Head, folder: Folder, options: ReaderOptions) -> bool:
    columns = find_columns(head, options)
    return columns is not None and any(folder.find(row.image) for row, _ in zip(read_rows(head, columns, lambda _: None), range(_LOOKED_AT), strict=False))


def _rank(path: Path) -> int:
    stem = path.stem.casefold()
    return _TELLING.index(stem) if stem in _TELLING else len(_TELLING)
