"""A captions table (CSV, TSV, JSON or JSON lines) beside the pictures, or above their folder: a row has a picture's name and its captions.

Several tables of one folder that are named for splits (`train.csv`, `val.csv`) are read as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from clipcap_cli.datasets.files.folders import Folder, beside, pictures_of
from clipcap_cli.datasets.matching import match_rows
from clipcap_cli.datasets.records import Evidence, ReaderOptions, Record, Report, ignore
from clipcap_cli.datasets.splits import splits_of_places
from clipcap_cli.datasets.tables.addresses import are_addresses
from clipcap_cli.datasets.tables.columns import Columns, Table, find_columns, missing_columns
from clipcap_cli.datasets.tables.delimited import read_rows
from clipcap_cli.datasets.tables.json_tables import JsonTable
from clipcap_cli.datasets.tables.table_files import clearness, is_telling, open_table, split_word, table_files
from clipcap_cli.errors import InputError
from clipcap_cli.words import count

_LOOKED_AT = 20  # rows


@dataclass(frozen=True)
class _Found:
    """A table with captions, and the split that its name says where there are several."""

    table: Table
    columns: Columns
    split: str | None = None


class CaptionsTable:
    """A table with a column of picture names and one or more of captions."""

    layout = "captions table"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        found = _find(source, options)
        if not found:
            return None
        table, columns = found[0].table, found[0].columns
        folder = pictures_of(source, options.images)
        listed = " and ".join(each.table.path.name for each in found)
        what = f"the columns '{','.join(table.header[place] for place in (columns.image, *columns.captions))}'"
        if isinstance(table, JsonTable) and table.by_name:
            what = f"{count(len(table.entries), 'picture')} by name with captions"
        splits = " with splits" if columns.split is not None or found[0].split else ""
        reason = f"{listed} {'has' if len(found) == 1 else 'have'} {what}{splits}, and {folder.shared_place()} has {count(len(folder.pictures), 'picture')}"
        return Evidence(self.layout, reason, columns=columns.named(table))

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        found = _find(source, options, report)
        if not found:
            raise InputError("there is no captions table here any more", where=str(source))
        folder = pictures_of(source, options.images)
        rows = chain.from_iterable(read_rows(each.table, each.columns, report, default_split=each.split) for each in found)
        yield from match_rows(rows, folder, report, beside=beside(found[0].table.path, folder))


def _find(source: Path, options: ReaderOptions, report: Report = ignore) -> list[_Found]:
    """The table with captions, or the tables that are the splits of one.

    Raises:
        InputError: there are several, or none has the columns that the user named, or the file that the user named is damaged.
    """
    files = table_files(source)
    if not files and source.is_dir():  # the folder of the pictures was named; the table may be above it
        files = [path for path in table_files(source.parent) if is_telling(path)]
    if not files:
        return []
    folder = pictures_of(source, options.images)
    found, refused = [], None
    for path in files:
        try:
            if usable := _usable(path, folder, source, options, report):
                found.append(usable)
        except InputError as error:
            refused = refused or error
    if refused and not found and (source.is_file() or options.image_column or options.caption_column or options.tag_columns):
        raise refused
    return _clearest(found, source)


def _usable(path: Path, folder: Folder, source: Path, options: ReaderOptions, report: Report) -> _Found | None:
    """The table in a file, if it has captions of pictures that may be here.

    Raises:
        InputError: it cannot be read, or does not have the columns that the user named.
    """
    table = open_table(path, options, report)
    columns = find_columns(table, options) if table else None
    if table is None or columns is None:
        if table and (options.image_column or options.caption_column):
            raise missing_columns(table, options)
        return None
    first = list(islice(read_rows(table, columns, ignore), _LOOKED_AT))
    if are_addresses(first, folder):
        return None
    # What lies above is not the user's word, and captions under names are only such if the names are those of pictures.
    doubtful = source.is_dir() and (path.parent != source or (isinstance(table, JsonTable) and table.by_name))
    return None if doubtful and not any(row.caption and folder.find(row.image) for row in first) else _Found(table, columns)


def _clearest(found: list[_Found], source: Path) -> list[_Found]:
    """The table whose name tells most, or all that are named for splits."""
    ranks = [clearness(each.table.path) for each in found]
    best = [each for each, rank in zip(found, ranks, strict=True) if rank == min(ranks)]
    if len(best) < 2:
        return best
    splits = splits_of_places({each.table.path.name: split_word(Path(each.table.path.name)) for each in best})
    if not splits:
        names = ", ".join(each.table.path.name for each in best)
        raise InputError(f"{len(best)} tables here have captions: {names}", where=str(source), hint=f"Name the one that is meant: {best[0].table.path}")
    return [replace(each, split=splits[each.table.path.name]) for each in best]
