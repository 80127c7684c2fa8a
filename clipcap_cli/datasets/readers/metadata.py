"""`metadata.csv`, `.jsonl` or `.parquet` beside the pictures: `file_name` and `text`, or the usual other names.

One such file for the whole folder, or one in each subfolder; subfolders named train, val(idation) and test are splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clipcap_cli.datasets.files.folders import beside, pictures_of, scan, subfolders, top_files
from clipcap_cli.datasets.matching import match_rows
from clipcap_cli.datasets.records import Evidence, ReaderOptions, Record, Report, ignore
from clipcap_cli.datasets.splits import is_split, split_name
from clipcap_cli.datasets.tables.addresses import are_addresses
from clipcap_cli.datasets.tables.columns import Columns, Table, find_columns
from clipcap_cli.datasets.tables.delimited import read_rows
from clipcap_cli.datasets.tables.parquet_tables import ParquetTable
from clipcap_cli.datasets.tables.table_files import open_table
from clipcap_cli.errors import InputError
from clipcap_cli.words import count

_NAMES = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet")


class Metadata:
    """A metadata file, as Hugging Face's image folders have it."""

    layout = "metadata"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        try:
            tables = _tables(source, options)
        except InputError:  # it may be about something else, and the captions in another file
            return None
        if not tables:
            return None
        folder = pictures_of(source, options.images)
        table, columns = tables[0]
        if are_addresses(read_rows(table, columns, ignore), folder):
            return None
        files = [table.path for table, _ in tables]
        listed = ", ".join(file.relative_to(folder.root).as_posix() if file.is_relative_to(folder.root) else file.name for file in files)
        named = " and ".join(repr(table.header[place]) for place in (columns.image, *columns.captions))
        reason = f"{listed} has {named}, and {folder.shared_place()} has {count(len(folder.pictures), 'picture')}"
        return Evidence(self.layout, reason, columns=columns.named(table))

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        folder = pictures_of(source, options.images)
        tables = _tables(source, options)
        if not tables:
            raise InputError("there is no metadata file here any more", where=str(source))
        for table, columns in tables:
            place = table.path.parent
            split = split_name(place.name) if len(tables) > 1 and is_split(place.name) else None
            # A file in a subfolder speaks for that subfolder alone.
            part = folder if len(tables) == 1 else scan(place)
            rows = read_rows(table, columns, report, default_split=split)
            yield from match_rows(rows, part, report, beside=beside(table.path, folder) if part is folder else "")


def metadata_files(source: Path) -> list[Path]:
    """The metadata file of a source, or those of its subfolders.

    Raises:
        InputError: a folder cannot be read.
    """
    if source.is_file():
        return [source] if source.name.casefold() in _NAMES else []
    here = [path for path in top_files(source) if path.name.casefold() in _NAMES]
    if here:
        return here[:1]
    return [file for folder in subfolders(source) if (file := next(filter(Path.is_file, (folder / name for name in _NAMES)), None))]


def _tables(source: Path, options: ReaderOptions) -> list[tuple[Table, Columns]]:
    """The tables with names of pictures and captions; none if one of the files is something else.

    Raises:
        InputError: a file cannot be read, or lacks a column that the user named.
    """
    tables = []
    for file in metadata_files(source):
        table = open_table(file, options)
        columns = find_columns(table, options) if table else None
        if table is None or columns is None or (isinstance(table, ParquetTable) and table.holds_pictures(columns)):
            return []
        tables.append((table, columns))
    return tables
