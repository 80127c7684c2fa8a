"""The columns of a table of captions, and which of them is what: as the user says, else by the names that are usual."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcap_cli.datasets.files.folders import is_picture_name
from clipcap_cli.datasets.records import ReaderOptions, Report
from clipcap_cli.errors import InputError
from clipcap_cli.storage.names import nearest

IMAGE_ALIASES = (
    *("image", "image_name", "image_file", "image_filename", "image_path", "file_name", "filename", "file", "file_path", "filepath", "path"),
    *("img", "img_name", "img_path", "picture", "photo", "image_id", "img_id", "url", "image_url", "img_url"),
)
CAPTION_ALIASES = (
    *("caption", "captions", "text", "description", "descriptions", "desc", "comment", "comments", "sentence", "sentences", "sentences_raw", "txt"),
    "alt_text",
)
PICTURE_ALIASES = ("jpg", "jpeg", "png", "webp", "image_bytes", "img_bytes", "bytes")  # of columns that hold pictures
SPLIT_COLUMN = "split"

_NUMBERED = re.compile("(.+?)_?([0-9]{1,4})")  # caption_1, caption2
_LISTED_AT_MOST = 12


@dataclass(frozen=True)
class Table(ABC):
    """A file with rows, and the names of its columns."""

    path: Path
    header: tuple[str, ...]

    @property
    def inside(self) -> frozenset[str]:
        """The columns that hold pictures themselves, not names of them."""
        return frozenset()

    @abstractmethod
    def cells(self, columns: Columns, report: Report) -> Iterator[tuple[str, Sequence[object]]]:
        """Each row in order: its place for people, and its cells at least as far as the last of these columns; what is no row is reported.

        Raises:
            InputError: the file cannot be read.
        """


@dataclass(frozen=True)
class Columns:
    """Where in a table the picture, its captions, its split, and what is kept with it stand."""

    image: int
    captions: tuple[int, ...]
    split: int | None = None
    tags: tuple[int, ...] = ()

    def named(self, table: Table) -> Mapping[str, str]:
        """Which column is what, by name: {"image": "file_name", "captions": "caption_0, caption_1"}."""
        places = {"image": [self.image], "captions": self.captions, "split": [] if self.split is None else [self.split], "tags": self.tags}
        return {what: ", ".join(table.header[place] for place in found) for what, found in places.items() if found}


def find_columns(table: Table, options: ReaderOptions) -> Columns | None:
    """The columns that the user named, or that are named as usual; None if the picture's or the captions' are not there.

    Captions may stand in several columns of one name with numbers: caption_0, caption_1, … in the order of the numbers.

    Raises:
        InputError: the table has no column that the user named.
    """
    image, captions = image_column(table, options), _caption_columns(table.header, options)
    tags = [_place(table.header, name) for name in options.tag_columns]
    asked = [("--image-column", options.image_column, image is not None), ("--caption-column", options.caption_column, bool(captions))]
    asked += [("--keep-column", name, place is not None) for name, place in zip(options.tag_columns, tags, strict=True)]
    for flag, name, is_there in asked:
        if name is not None and not is_there:
            meant = nearest(name, [column for column in table.header if column]) or next((column for column in table.header if column), "NAME")
            raise InputError(f"there is no column {name!r}: the header has {_listed(table.header)}", where=str(table.path), hint=f"Try {flag} {meant}.")
    if image is None or not captions or image in captions:
        return None
    return Columns(image, captions, _place(table.header, SPLIT_COLUMN), tuple(place for place in tags if place is not None))


def require_columns(table: Table, options: ReaderOptions) -> Columns:
    """`find_columns`, or the error that says which are not there.

    Raises:
        InputError: a column is not there.
    """
    columns = find_columns(table, options)
    if columns is None:
        raise missing_columns(table, options)
    return columns


def missing_columns(table: Table, options: ReaderOptions) -> InputError:
    """The error for a table whose columns are not the usual ones."""
    if any(is_picture_name(name) for name in table.header):
        return InputError(
            f"the first line of this table is not a header: it has {_listed(table.header)}",
            where=str(table.path),
            hint="Put a line with 'image,caption' on top (with the table's own delimiter).",
        )
    image, captions = image_column(table, options), _caption_columns(table.header, options)
    others = [name for place, name in enumerate(table.header) if name and place != image and place not in captions] or ["NAME"]
    lacks = [what for what, is_there in (("pictures", image is not None), ("captions", bool(captions))) if not is_there] or ["captions"]
    flags = {"pictures": f"--image-column {others[0]}", "captions": f"--caption-column {others[-1]}"}
    return InputError(
        f"this table has no column for {' and '.join(lacks)}: it has {_listed(table.header)}",
        where=str(table.path),
        hint=f"Name {'it' if len(lacks) == 1 else 'them'}, as with {' '.join(flags[what] for what in lacks)}.",
    )


def known_columns(table: Table, options: ReaderOptions) -> int:
    """How many of the two that are needed, pictures and captions, have a column here."""
    return (image_column(table, options) is not None) + bool(_caption_columns(table.header, options))


def image_column(table: Table, options: ReaderOptions) -> int | None:
    """The place of the column that holds the pictures; else of the one that names them; else of the only one that holds any."""
    if options.image_column is not None:
        return _place(table.header, options.image_column)
    names = [_plain(name) for name in table.header]
    inside = [_plain(name) for name in table.header if name in table.inside]
    usual = [alias for alias in (*IMAGE_ALIASES, *PICTURE_ALIASES) if alias in inside] + [alias for alias in IMAGE_ALIASES if alias in names]
    found = usual or (inside if len(inside) == 1 else [])
    return names.index(found[0]) if found else None


def _caption_columns(header: Sequence[str], options: ReaderOptions) -> tuple[int, ...]:
    """The places of the columns with captions: the one that the user named, or all that have one name and a number."""
    wanted = options.caption_column
    if wanted is not None and (place := _place(header, wanted)) is not None:
        return (place,)
    families: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)  # number and place of each column of one name
    for place, name in enumerate(map(_plain, header)):
        families[name].append((-1, place))
        if match := _NUMBERED.fullmatch(name):
            families[match[1]].append((int(match[2]), place))
    for name in CAPTION_ALIASES if wanted is None else (_plain(wanted),):
        if name in families:
            return tuple(place for _, place in sorted(families[name]))
    return ()


def _place(header: Sequence[str], wanted: str) -> int | None:
    if wanted in header:
        return header.index(wanted)
    names = [_plain(name) for name in header]
    return names.index(_plain(wanted)) if _plain(wanted) in names else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.strip().casefold()).strip("_")


def _listed(header: Sequence[str]) -> str:
    shown = [repr(name) for name in header if name][:_LISTED_AT_MOST]
    return ", ".join(shown) or "nothing"
