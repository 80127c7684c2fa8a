"""What a source of pictures is made of: shards that have their own files (tars, Parquet tables), or files of which a list is a shard.

A source is a folder, a file or an address. Its pictures are read where they lie; a shard at an address is fetched to a worker's temporary folder, read once,
and removed.
"""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from clipcap_cli.cluster.engine import absolute
from clipcap_cli.datasets.files.archives import is_hidden, parts_of, tar_members
from clipcap_cli.datasets.files.folders import is_picture_name, what_it_holds
from clipcap_cli.datasets.pictures import MAX_BYTES
from clipcap_cli.datasets.places import Place
from clipcap_cli.datasets.records import Problem, ReaderOptions
from clipcap_cli.datasets.tables.columns import Columns, image_column, missing_columns
from clipcap_cli.datasets.tables.parquet_tables import picture_in, read_parquet_table
from clipcap_cli.errors import InputError
from clipcap_cli.storage.addresses import Entry, copy_to, is_address, list_files
from clipcap_cli.words import size as in_words

Kind = Literal["tar", "parquet", "files"]

TAR, PACKED, PARQUET = ".tar", (".tar.gz", ".tgz"), ".parquet"


@dataclass(frozen=True)
class Shard:
    """A part of a source that one task reads.

    Attributes:
        name: relative to the source, for people; of a list the name of its first file.
        files: the shard's own file, or the pictures of the list.
    """

    kind: Kind
    name: str
    files: tuple[Entry, ...]

    @property
    def facts(self) -> list[Any]:
        """What it is, as far as it shows without reading it."""
        return [self.kind, [[entry.address, entry.size, entry.mark] for entry in self.files]]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Shard:
        return cls(facts["kind"], facts["name"], tuple(Entry(**entry) for entry in facts["files"]))


@dataclass(frozen=True)
class Listed:
    """The files of a source.

    Attributes:
        address: of the source, absolute.
        is_file: it is one file, and no folder.
    """

    address: str
    files: tuple[Entry, ...]
    is_file: bool

    def name(self, entry: Entry) -> str:
        """Of a file, relative to the source."""
        return posixpath.basename(entry.address) if self.is_file else entry.address.removeprefix(self.address.rstrip("/") + "/")


def list_source(source: str) -> Listed:
    """The files of a source.

    Raises:
        InputError: there is nothing, or it may not be read.
        MissingError, UnreachableError: see `list_files`.
    """
    address = absolute(source).rstrip("/")
    files = list_files(address)
    if not files:
        raise InputError("this folder is empty", where=source, hint="Name a folder of pictures, tars or Parquet files.")
    return Listed(address, tuple(files), len(files) == 1 and files[0].address == address)


def shards_of(listed: Listed, size: int) -> list[Shard]:
    """The shards of a source: its pictures, `size` in a list; where there are none, its tars; where there are none, its tables.

    Raises:
        InputError: it has nothing of the kind.
    """
    pictures = [entry for entry in listed.files if is_picture_name(entry.address)]
    if pictures:
        parts = (tuple(pictures[start : start + size]) for start in range(0, len(pictures), size))
        return [Shard("files", _span([listed.name(entry) for entry in part]), part) for part in parts]
    found = own_shards(listed)
    if found:
        return found
    held = what_it_holds(tuple(listed.name(entry) for entry in listed.files))
    raise InputError(f"there are no pictures here, no tars and no Parquet files: it holds {held}", where=listed.address, hint="Name the folder that has them.")


def _span(names: Sequence[str]) -> str:
    """What a list of pictures is called: by its first and its last."""
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"


def own_shards(listed: Listed) -> list[Shard]:
    """The tars of a source, or else its Parquet files."""
    kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (("tar", (TAR, *PACKED)), ("parquet", (PARQUET,)))
    for kind, endings in kinds:
        if found := [entry for entry in listed.files if entry.address.lower().endswith(endings)]:
            return [Shard(kind, listed.name(entry), (entry,)) for entry in found]
    return []


@contextmanager
def on_disk(entry: Entry) -> Iterator[Path]:
    """A file of a source as one of this machine: itself, or a copy for as long as it is read."""
    if not is_address(entry.address):
        yield Path(entry.address)
        return
    with tempfile.TemporaryDirectory(prefix="clipcap-shard-") as folder:
        copy = Path(folder) / posixpath.basename(entry.address)
        copy_to(entry.address, copy)
        yield copy


Named = tuple[str, Path | Place | bytes | Problem]  # of a picture, how it is called, and itself or why it is not there


def pictures_in(shard: Shard, options: ReaderOptions) -> Iterator[Named]:
    """The pictures of a shard, one by one.

    Raises:
        InputError: it is damaged; what came before has been given.
    """
    if shard.kind == "files":
        for entry in shard.files:
            yield entry.address, Place(entry.address) if is_address(entry.address) else Path(entry.address)
        return
    with on_disk(shard.files[0]) as path:
        try:
            yield from _in_tar(shard.name, path) if shard.kind == "tar" else _in_table(shard.name, path, options)
        except InputError as error:
            raise InputError(error.message, where=shard.files[0].address, hint=error.hint) from error


def _in_tar(shard: str, path: Path) -> Iterator[Named]:
    for member, content in tar_members(path):
        parts = parts_of(member.name)
        if content is None or parts is None or is_hidden(parts) or not is_picture_name(parts[-1]):
            continue
        name = posixpath.join(shard, *parts)
        if member.size > MAX_BYTES:
            yield name, Problem("unreadable", "error", name, f"this file has {in_words(member.size)}, more than the {in_words(MAX_BYTES)} that are read")
        else:
            yield name, content.whole()


def _in_table(shard: str, path: Path, options: ReaderOptions) -> Iterator[Named]:
    table = read_parquet_table(path, shard)
    place = image_column(table, options)
    if place is None:
        raise missing_columns(table, options)
    columns = Columns(place, ())
    if not table.holds_pictures(columns):
        message = f"the column {table.header[place]!r} of this table has names of pictures, not pictures"
        raise InputError(message, where=shard, hint="Name the folder that has the pictures, or another column with --image-column.")
    damaged: list[Problem] = []
    for number, cells in table.numbered(columns, damaged.append):
        data, name = picture_in(cells[place])
        called = f"{shard}/{name or number}"
        yield called, data if data is not None else Problem("missing-picture", "error", called, "this row has no picture")
    for problem in damaged:
        yield problem.where, replace(problem, kind="unreadable")


def unread(shard: Shard, error: InputError) -> Problem:
    """The problem of a shard that cannot be read, or not to its end."""
    return Problem("damaged-shard", "error", error.where or shard.name, error.message, error.hint or "")


def options_json(options: ReaderOptions) -> dict[str, Any]:
    """What a worker has to know of them."""
    return {**asdict(options), "images": None}


def options_from(facts: Mapping[str, Any]) -> ReaderOptions:
    """The way back."""
    return ReaderOptions(**{**facts, "tag_columns": tuple(facts["tag_columns"])})
