"""Where a picture lies that has no file of its own: at an address, or inside of a shard, which may be at an address too.

    s3://photos/2024/a.jpg                              a file at an address
    s3://photos/00000.tar#bytes=1536-22016              in a tar: its bytes from the first on, up to the last, which is not among them
    file:///data/train.parquet#row=17&column=image      in a table: its row, from 0 on

A version of a dataset has this text in the place of a path. Nothing is copied; whoever wants the picture reads it there.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from clipcap_cli.datasets.row_reading import read_cell
from clipcap_cli.errors import ClipcapError
from clipcap_cli.storage.addresses import is_address, read

FILE = "file://"

_BYTES = re.compile(r"(?P<address>.+)#bytes=(?P<start>\d+)-(?P<end>\d+)")
_ROW = re.compile(r"(?P<address>.+)#row=(?P<row>\d+)&column=(?P<column>[^#&]+)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture lies.

    Attributes:
        text: as above.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def name(self) -> str:
        """The last part of it."""
        return posixpath.basename(self.text)

    @property
    def suffix(self) -> str:
        """The ending of its name; "" inside of a shard."""
        return "" if "#" in self.name else posixpath.splitext(self.name)[1]

    @property
    def order(self) -> tuple[str, int]:
        """By this, the pictures of a shard are in the order in which they lie in it, which is how they are read fastest."""
        if found := _BYTES.fullmatch(self.text):
            return found["address"], int(found["start"])
        if found := _ROW.fullmatch(self.text):
            return found["address"], int(found["row"])
        return self.text, 0


def inside_tar(start: int, size: int) -> str:
    """What is put behind the address of a tar."""
    return f"bytes={start}-{start + size}"


def inside_table(row: int, column: str) -> str:
    """What is put behind the address of a table."""
    return f"row={row}&column={quote(column, safe='')}"


def place_within(address: str, inside: str) -> Place:
    """The place of a picture inside of a shard; `address` may be a path of this machine."""
    return Place(f"{address if is_address(address) else FILE + address}#{inside}")


def is_place(text: str) -> bool:
    """Whether this text of a version is no path."""
    return is_address(text)


def where_is(root: Path, text: str) -> Path | Place:
    """Where a picture lies by the text that a version has: a path relative to the store `root`, any other path, or a place."""
    return Place(text) if is_place(text) else root / text


def source_of(text: str) -> Path | Place:
    """Where a dataset comes from by the text that dataset.json has."""
    return Place(text) if is_place(text) else Path(text)


def by_engine(source: str) -> str:
    """What else is typed to add this source again."""
    return " --engine ray" if is_place(source) else ""


def reading_order(place: Path | Place | None) -> tuple[str, int]:
    """The key by which pictures are sorted that are read one after the other: those inside of shards as they lie there, files as they come."""
    return place.order if isinstance(place, Place) else ("", 0)


def read_place(place: Place, limit: int) -> bytes:
    """The bytes of a picture, `limit` at most.

    Raises:
        OSError: they cannot be read; `strerror` says why.
    """
    try:
        if found := _BYTES.fullmatch(place.text):
            start, end = int(found["start"]), int(found["end"])
            return read(_address(found["address"]), start, min(limit, max(0, end - start)))
        if found := _ROW.fullmatch(place.text):
            cell = read_cell(_address(found["address"]), int(found["row"]), unquote(found["column"]))
            return (cell.get("bytes") if isinstance(cell, dict) else cell) or b""
        return read(_address(place.text), 0, limit)
    except ClipcapError as error:
        raise OSError(None, " ".join(filter(None, (error.message, error.hint))), place.text) from error


def _address(text: str) -> str:
    return text.removeprefix(FILE)
