"""Captions for correction in a spreadsheet, and back again.

The table has a row for each caption: version, image_id, image, split, caption. What is read back is held against the version that was written out and against
the one that is current, so that a caption which was changed on both sides is listed and not overwritten.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from clipcap_cli.datasets.dataset import Dataset, open_dataset
from clipcap_cli.datasets.files.text_files import text_encoding
from clipcap_cli.datasets.records import ReaderOptions, clean_caption
from clipcap_cli.datasets.splits import split_name
from clipcap_cli.datasets.tables.delimited import read_head
from clipcap_cli.datasets.versioning import change_dataset
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, silent
from clipcap_cli.storage.atomic import replacing
from clipcap_cli.words import count

COLUMNS = ("version", "image_id", "image", "split", "caption")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for a formula at the beginning of a cell
_MARK = "'"  # in front of such a caption; taken off again


@dataclass(frozen=True)
class Edited:
    """What became of a table that was read back.

    Attributes:
        dataset: the new version; the one before if nothing differs.
        captions, splits: pictures whose captions, or split, were changed.
        conflicts: pictures that were changed here too, and were left as they are: name, and what is here and in the table.
        strangers: rows of pictures that the dataset does not have.
        emptied: pictures whose captions were all taken out; they are left as they are.
    """

    dataset: Dataset
    captions: int
    splits: int
    conflicts: tuple[str, ...]
    strangers: tuple[str, ...]
    emptied: tuple[str, ...]


def write_captions(dataset: Dataset, path: Path, *, split: str | None = None) -> int:
    """Write the captions into a CSV table (UTF-8 with a mark, which spreadsheets know); how many there are.

    Raises:
        InputError: there is no such split.
        StoreError: the dataset is damaged, or the file cannot be written.
    """
    if split is not None and split not in dataset.split_counts:
        raise InputError(f"the dataset {dataset.name!r} has no split {split!r}", where="--split", hint=f"It has {', '.join(dataset.split_counts)}.")
    written = 0
    with replacing(path) as part, part.open("w", encoding="utf-8-sig", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        for picture in dataset.entries():
            if split is None or picture.split == split:
                for caption in picture.captions:
                    table.writerow((dataset.version, picture.image_id, _safe(picture.name), picture.split or "", _safe(caption)))
                    written += 1
    return written


def read_captions(dataset: Dataset, path: Path, *, force: bool = False, events: Listener = silent) -> Edited:
    """Take over what was corrected. Pictures that are not in the table stay as they are.

    Args:
        force: where a picture was changed here too, the table counts.

    Raises:
        InputError: this is no such table, or of another dataset's version.
        StoreError: the dataset is damaged, or was changed meanwhile.
    """
    rows = _rows(path)
    base = _base(dataset, rows, path)
    pictures = dataset.entries()
    rows = _named(rows, pictures)
    known = {(picture.image_id, picture.name) for picture in pictures}
    told = _Told(base, force)
    settled = [told.settle(picture, rows.get((picture.image_id, picture.name))) for picture in pictures]
    strangers = tuple(f"{of[0].where}: {name or image_id}" for (image_id, name), of in rows.items() if (image_id, name) not in known)
    change = f"{count(told.captions, 'picture')} with other captions, {count(told.splits, 'picture')} in another split, from {path.name}"
    made = change_dataset(dataset, settled, made_by="edit", change=change, events=events)
    return Edited(made, told.captions, told.splits, tuple(told.conflicts), strangers, tuple(told.emptied))


@dataclass(frozen=True)
class _Row:
    where: str
    version: str
    split: str | None
    caption: str


class _Told:
    """What a table says, picture by picture, and what became of it."""

    def __init__(self, base: dict[tuple[str, str], Picture] | None, force: bool) -> None:
        self._base, self._force = base, force
        self.captions = self.splits = 0
        self.conflicts: list[str] = []
        self.emptied: list[str] = []

    def settle(self, picture: Picture, rows: list[_Row] | None) -> Picture:
        """The picture as it is from now on."""
        if rows is None:
            return picture
        captions = tuple(caption for row in rows if (caption := clean_caption(row.caption)))
        if not captions:
            self.emptied.append(picture.name)
            return picture
        split = rows[0].split
        was = picture if self._base is None else self._base.get((picture.image_id, picture.name), picture)
        captions = self._chosen(picture, captions, was.captions != picture.captions) if captions != was.captions else picture.captions
        split = split if split != was.split else picture.split
        self.captions += captions != picture.captions
        self.splits += split != picture.split
        return replace(picture, captions=captions, split=split)

    def _chosen(self, picture: Picture, captions: tuple[str, ...], is_changed_here: bool) -> tuple[str, ...]:
        if is_changed_here and not self._force and captions != picture.captions:
            self.conflicts.append(f"{picture.name}: {' / '.join(picture.captions)!r} here, {' / '.join(captions)!r} in the table")
            return picture.captions
        return captions


def _rows(path: Path) -> dict[tuple[str, str], list[_Row]]:
    """The table's rows by picture, in their order."""
    hint = "Write one with `clipcap dataset edit NAME --export FILE.csv`, and keep its columns."
    head = read_head(path, ReaderOptions()) if path.is_file() else None
    if head is None:
        raise InputError("there is no such table" if not path.exists() else "this table is empty", where=str(path), hint=hint)
    header = [name.strip().casefold() for name in head.header]
    lacking = [name for name in COLUMNS if name not in header]
    if lacking:
        raise InputError(f"this table lacks the column {lacking[0]!r}", where=str(path), hint=hint)
    places = [header.index(name) for name in COLUMNS]
    found: defaultdict[tuple[str, str], list[_Row]] = defaultdict(list)
    try:
        with path.open(encoding=text_encoding(path), errors="replace", newline="") as stream:
            table = csv.reader(stream, delimiter=head.delimiter)
            next(table)
            for row in table:
                if any(cell.strip() for cell in row):
                    version, image_id, image, split, caption = (row[place].strip() if place < len(row) else "" for place in places)
                    found[image_id, _bare(image)].append(_Row(f"{path.name}:{table.line_num}", version, split_name(split), _bare(caption)))
    except (OSError, csv.Error) as error:
        raise InputError(f"this table cannot be read: {error}", where=str(path), hint=hint) from error
    if not found:
        raise InputError("this table has no rows", where=str(path), hint=hint)
    return dict(found)


def _named(rows: dict[tuple[str, str], list[_Row]], pictures: list[Picture]) -> dict[tuple[str, str], list[_Row]]:
    """Rows that people have added may have a picture's name alone: they join those of that picture."""
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for picture in pictures:
        ids[picture.name].append(picture.image_id)
    found: defaultdict[tuple[str, str], list[_Row]] = defaultdict(list)
    for (image_id, name), of in rows.items():
        found[(image_id or (ids[name][0] if len(ids.get(name, ())) == 1 else ""), name)] += of
    return dict(found)


def _base(dataset: Dataset, rows: dict[tuple[str, str], list[_Row]], path: Path) -> dict[tuple[str, str], Picture] | None:
    """The pictures of the version that the table was written from; None if that version is not there any more."""
    versions = {row.version for of in rows.values() for row in of if row.version}  # rows that were added may have none
    if len(versions) != 1 or not next(iter(versions)).isdecimal():
        raise InputError(f"the column 'version' should have one number, and has {', '.join(sorted(versions)) or 'none'}", where=str(path))
    number = int(versions.pop())
    if number > dataset.version:
        raise InputError(f"this table was written from version {number}, and {dataset.name!r} is at {dataset.version}", where=str(path))
    try:
        old = open_dataset(dataset.name, home=dataset.home, version=number)
    except InputError:
        return None
    return {(picture.image_id, picture.name): picture for picture in old.entries()}


def _safe(text: str) -> str:
    return f"{_MARK}{text}" if text.startswith(_FORMULAS) else text


def _bare(text: str) -> str:
    return text[1:] if text.startswith(_MARK) and text[1:].startswith(_FORMULAS) else text
