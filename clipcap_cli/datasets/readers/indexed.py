"""`Captions.csv` with the header `,Index,Captions`, and pictures that are named by their index: `0.jpg`, `1.jpg`, …"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from clipcap_cli.datasets.files.folders import beside, pictures_of, top_files
from clipcap_cli.datasets.matching import match_rows
from clipcap_cli.datasets.records import Evidence, ReaderOptions, Record, Report
from clipcap_cli.datasets.tables.columns import Columns
from clipcap_cli.datasets.tables.delimited import TextTable, read_head, read_rows
from clipcap_cli.errors import InputError
from clipcap_cli.words import count

_COLUMNS = {"index", "captions"}


class Indexed:
    """A table of captions by index."""

    layout = "indexed captions"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        head = _head(source, options)
        if head is None:
            return None
        folder = pictures_of(source, options.images)
        columns = _columns(head).named(head)
        numbered = sum(Path(name).stem.isdecimal() for name in folder.pictures)
        header = ",".join(head.header)
        reason = f"{head.path.name} has the header '{header}', and {folder.shared_place()} has {count(numbered, 'picture')} named by a number"
        return Evidence(self.layout, reason, columns=columns)

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        head = _head(source, options)
        if head is None:
            raise InputError("there is no Captions.csv here any more", where=str(source))
        folder = pictures_of(source, options.images)
        # A column with gaps is saved as floats by some programs: 12.0 is 12.
        rows = (replace(row, image=f"{row.image.removesuffix('.0')}.jpg" if row.image else "") for row in read_rows(head, _columns(head), report))
        yield from match_rows(rows, folder, report, beside=beside(head.path, folder))


def _columns(head: TextTable) -> Columns:
    names = [name.casefold() for name in head.header]
    return Columns(names.index("index"), (names.index("captions"),))


def _head(source: Path, options: ReaderOptions) -> TextTable | None:
    if options.image_column or options.caption_column or options.tag_columns:
        return None
    for path in [source] if source.is_file() else top_files(source):
        if path.name.casefold() == "captions.csv":
            head = read_head(path, options)
            if head is not None and {name.casefold() for name in head.header} - {""} == _COLUMNS:
                return head
    return None
