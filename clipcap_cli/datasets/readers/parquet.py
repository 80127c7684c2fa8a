"""Tables in Parquet files: the pictures lie in the table itself, as in the datasets of the Hugging Face hub, or beside it, as those of other tables do.

Several files are read as one dataset. Where their names say splits (`data/train-00000-of-00002.parquet`, `val/0000.parquet`), these are its splits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath

from clipcap_cli.datasets.files.folders import beside, pictures_of
from clipcap_cli.datasets.matching import match_rows
from clipcap_cli.datasets.places import inside_table
from clipcap_cli.datasets.records import Evidence, Problem, ReaderOptions, Record, Report, ignore
from clipcap_cli.datasets.splits import splits_of_places
from clipcap_cli.datasets.tables.addresses import are_addresses
from clipcap_cli.datasets.tables.columns import Columns, find_columns
from clipcap_cli.datasets.tables.delimited import captions_of, read_rows, split_of, tags_of
from clipcap_cli.datasets.tables.parquet_tables import ParquetTable, picture_in, read_parquet_table
from clipcap_cli.datasets.tables.table_files import parquet_files, split_word
from clipcap_cli.errors import InputError
from clipcap_cli.words import count

_NO_COLUMNS = "this file has no columns of pictures and captions; it is left out"


@dataclass(frozen=True)
class _Found:
    """A table with captions, and the split that its name says."""

    table: ParquetTable
    columns: Columns
    split: str | None = None


class Parquet:
    """Parquet files with captions, and the pictures or their names."""

    layout = "parquet"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        found = _find(source, options, ignore)
        if not found:
            return None
        table, columns = found[0].table, found[0].columns
        header = ",".join(table.header[place] for place in (columns.image, *columns.captions))
        listed = table.name if len(found) == 1 else f"{table.name} and {count(len(found) - 1, 'other file')}"
        rows = count(sum(each.table.rows for each in found), "row")
        splits = " with splits" if columns.split is not None or found[0].split else ""
        where = "the pictures are in it"
        if not table.holds_pictures(columns):
            folder = pictures_of(source, options.images)
            if are_addresses(read_rows(table, columns, ignore), folder):
                return None
            where = f"{folder.shared_place()} has {count(len(folder.pictures), 'picture')}"
        reason = f"{listed} {'has' if len(found) == 1 else 'have'} the columns '{header}' in {rows}{splits}, and {where}"
        return Evidence(self.layout, reason, columns=columns.named(table))

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        found = _find(source, options, report)
        if not found:
            raise InputError("there is no Parquet file with captions here any more", where=str(source))
        if found[0].table.holds_pictures(found[0].columns):
            for each in found:
                yield from joined(_records(each, report))
            return
        folder = pictures_of(source, options.images)
        rows = chain.from_iterable(read_rows(each.table, each.columns, report, default_split=each.split) for each in found)
        yield from match_rows(rows, folder, report, beside=beside(found[0].table.path, folder))


def read_table_with_pictures(name: str, path: Path, split: str | None, options: ReaderOptions, report: Report) -> Iterator[Record]:
    """The pictures in one Parquet file, by rows, with their captions; a file that has none, or is damaged, is reported."""
    try:
        table = read_parquet_table(path, name)
        columns = find_columns(table, options)
        if columns is None:
            report(Problem("other-table", "info", name, _NO_COLUMNS))
        elif not table.holds_pictures(columns):
            message = f"the column {table.header[columns.image]!r} has names of pictures, which are not here; the file is left out"
            report(Problem("other-table", "warning", name, message, "Bring the pictures into the same folder."))
        else:
            yield from joined(_records(_Found(table, columns, split), report))
    except InputError as error:
        report(Problem("damaged-table", "error", name, error.message, error.hint or ""))


def splits_of_tables(names: Iterable[str]) -> dict[str, str]:
    """The split that the name of each table says, if they are splits."""
    words = {name: split_word(PurePosixPath(name)) for name in names}
    return splits_of_places({name: word for name, word in words.items() if word})


def _find(source: Path, options: ReaderOptions, report: Report) -> list[_Found]:
    """The tables with captions of a source; what else there is of Parquet files is reported.

    Raises:
        InputError: the file that the user named is damaged, or none has the columns that the user named.
    """
    found: list[_Found] = []
    refused: InputError | None = None
    for path in parquet_files(source):
        name = path.relative_to(source).as_posix() if source.is_dir() else path.name
        try:
            table = read_parquet_table(path, name)
            columns = find_columns(table, options)
        except InputError as error:
            refused = refused or error
            report(Problem("damaged-table", "error", name, error.message, error.hint or ""))
            continue
        if columns is not None:
            found.append(_Found(table, columns))
        else:
            report(Problem("other-table", "info", name, _NO_COLUMNS))
    if refused and not found and (source.is_file() or options.image_column or options.caption_column or options.tag_columns):
        raise refused
    splits = splits_of_tables(each.table.name for each in found)
    return [replace(each, split=splits.get(each.table.name)) for each in found]


def _records(found: _Found, report: Report) -> Iterator[Record]:
    """Each row with a picture in it and a caption."""
    table, columns = found.table, found.columns
    for number, cells in table.numbered(columns, report):
        where = f"{table.name}, row {number}"
        data, name = picture_in(cells[columns.image])
        captions = captions_of(cells, columns)
        if data is None:
            report(Problem("missing-picture", "warning", where, "this row has no picture", "Bring the picture, or take the row out."))
        elif not captions:
            report(Problem("empty-caption", "warning", where, "the caption of this row is empty", "Write one, or take the row out."))
        else:
            image = Path(_harmless(name) or f"{table.name}/{number}")
            inside = inside_table(number, table.header[columns.image])
            yield Record(image, tuple(captions), split_of(cells, columns) or found.split, where, data=data, tags=tags_of(cells, columns, table), inside=inside)


def joined(records: Iterator[Record]) -> Iterator[Record]:
    """Rows of one picture that follow each other are one record."""
    before: Record | None = None
    for record in records:
        if before is not None and before.data == record.data:
            before = replace(before, captions=before.captions + record.captions)
            continue
        if before is not None:
            yield before
        before = record
    if before is not None:
        yield before


def _harmless(name: str) -> str:
    """A path that the table gives a picture, as a name: one that leads elsewhere is its last part alone."""
    path = PurePosixPath(name.replace("\\", "/"))
    leads_elsewhere = path.is_absolute() or ".." in path.parts or ":" in name
    harmless = path.name if leads_elsewhere else path.as_posix()
    return "" if harmless in (".", "..") else harmless
