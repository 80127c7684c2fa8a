"""Looking after stores of embeddings without their encoders: what lies there, whether it is as it was written, and dropping what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipcap_cli.embeddings.index import INDEX, WAIT_S, checksum, damaged, has_table, reading, writing
from clipcap_cli.embeddings.store import check_sizes
from clipcap_cli.storage.atomic import store_errors
from clipcap_cli.storage.hashing import open_quietly
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import hold
from clipcap_cli.storage.reading import read_json

if TYPE_CHECKING:
    import sqlite3

_ITEM_BYTES = 2  # fp16
_TOGETHER = 10_000  # rows that are read at once, and of a checksum that is given afterwards
_SHORT = "the file of vectors has fewer than the index names"
TEXT = "-text"  # how the name of a folder ends that holds embeddings of texts


@dataclass(frozen=True)
class StoreFacts:
    """What encoder.json says: which encoder made the embeddings of a folder, and how they lie."""

    folder: Path
    spec: str
    fingerprint: str
    precision: str
    embedding_size: int
    shard_bytes: int

    @property
    def of_texts(self) -> bool:
        """Whether they are of texts, not of pictures."""
        return self.folder.name.endswith(TEXT)


@dataclass(frozen=True)
class Group:
    """Rows that came together, why they are not as they were, and the ids that the index has for them."""

    first_row: int
    rows: int
    reason: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Checked:
    """How a store is: rows, those that have no checksum, and groups that are damaged."""

    rows: int
    without: int
    damaged: tuple[Group, ...]


def store_folders(home: Home) -> list[Path]:
    """The folders of all stores, by name; one that holds nothing yet is none: a process that was killed had only begun it."""
    room = home.embeddings
    there = [path for path in room.iterdir() if path.is_dir() and not path.name.startswith(".")] if room.is_dir() else []
    return sorted(path for path in there if any(not file.name.startswith(".") for file in path.iterdir()))


def facts_of(folder: Path) -> StoreFacts:
    """What is known of a store.

    Raises:
        StoreError: encoder.json is missing or damaged.
    """
    path = folder / "encoder.json"
    try:
        facts = read_json(path)
        embedding_size, shard_bytes = int(facts["embedding_size"]), int(facts["shard_bytes"])
        check_sizes(embedding_size, shard_bytes)
        return StoreFacts(folder, str(facts["spec"]), str(facts["fingerprint"]), str(facts["precision"]), embedding_size, shard_bytes)
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise damaged(folder, path, f"this file cannot be read ({error})") from error


def rows_in(folder: Path) -> int:
    """How many embeddings a store has."""
    with reading(folder) as index:
        return int(index.execute("SELECT count(*) FROM vectors").fetchone()[0]) if index else 0


def ids_in(folder: Path) -> set[str]:
    """The ids of all images of a store."""
    with reading(folder) as index:
        return {image_id for (image_id,) in index.execute("SELECT image_id FROM vectors")} if index else set()


def check_store(folder: Path, read: Callable[[int], None]) -> Checked:
    """Compare every row with its checksum. Rows that are added meanwhile are not looked at.

    Args:
        read: is told how many bytes were read, piece by piece.

    Raises:
        StoreError: the store as a whole is damaged: its index or its encoder.json.
    """
    facts = facts_of(folder)
    with reading(folder) as index:
        if index is None:
            return Checked(0, 0, ())
        index.execute("BEGIN")  # one state of the index from here on
        wrong = index.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if wrong != "ok":
            raise damaged(folder, folder / INDEX, f"its index is not whole ({wrong})")
        rows = int(index.execute("SELECT count(*) FROM vectors").fetchone()[0])
        groups = index.execute("SELECT first_row, rows, sha256 FROM checksums ORDER BY first_row").fetchall() if has_table(index, "checksums") else []
        _check_types(folder, index, groups)
        bad = []
        for first, number, expected in groups:
            reason = _difference(facts, index, first, number, expected)
            read(number * facts.embedding_size * _ITEM_BYTES)
            if reason:
                bad.append(Group(first, number, reason, tuple(_ids(index, first, number))))
        bare = list(_runs_without(index, [(first, number) for first, number, _ in groups]))
        for first, number in (piece for run in bare for piece in _pieces(*run)):
            if _vectors(facts, first, number) is None:
                bad.append(Group(first, number, _SHORT, tuple(_ids(index, first, number))))
        return Checked(rows, sum(number for _, number in bare), tuple(bad))


def add_checksums(home: Home, folder: Path) -> int:
    """Give checksums to rows that have none, as they are now.

    Returns:
        How many rows got one.

    Raises:
        StoreError: the store cannot be written, or is damaged.
    """
    facts, given = facts_of(folder), 0
    with _changing(home, folder) as index:
        groups = index.execute("SELECT first_row, rows FROM checksums ORDER BY first_row").fetchall()
        with index:
            for run in list(_runs_without(index, groups)):
                for first, number in _pieces(*run):
                    vectors = _vectors(facts, first, number)
                    if vectors is not None:
                        index.execute("INSERT INTO checksums VALUES (?, ?, ?)", (first, number, checksum(_ids(index, first, number), vectors)))
                        given += number
    return given


def drop_rows(home: Home, folder: Path, groups: Sequence[Group]) -> None:
    """Forget embeddings: `clipcap embed` makes them anew.

    Raises:
        StoreError: the store cannot be written.
    """
    with _changing(home, folder) as index, index:
        for group in groups:
            index.execute("DELETE FROM vectors WHERE row >= ? AND row < ?", (group.first_row, group.first_row + group.rows))
            index.execute("DELETE FROM checksums WHERE first_row = ?", (group.first_row,))


def _check_types(folder: Path, index: sqlite3.Connection, groups: Sequence[tuple[int, int, str]]) -> None:
    """SQLite lets a column hold anything; what has become something else by damage is told.

    Raises:
        StoreError: a number is none, or an id no text.
    """
    odd = index.execute("SELECT count(*) FROM vectors WHERE typeof(row) != 'integer' OR typeof(image_id) != 'text' OR row < 0").fetchone()[0]
    if odd or any(not (isinstance(first, int) and isinstance(number, int) and first >= 0 and number > 0) for first, number, _ in groups):
        raise damaged(folder, folder / INDEX, "its index holds what is no row")


@contextmanager
def _changing(home: Home, folder: Path) -> Iterator[sqlite3.Connection]:
    with hold(home, f"embeddings-{folder.name}", wait_s=WAIT_S), store_errors(folder), writing(folder) as index:
        yield index


def _pieces(first: int, number: int) -> Iterator[tuple[int, int]]:
    """Rows that follow one another, in parts that fit into memory."""
    for start in range(first, first + number, _TOGETHER):
        yield start, min(_TOGETHER, first + number - start)


def _difference(facts: StoreFacts, index: sqlite3.Connection, first: int, number: int, expected: str) -> str | None:
    """What is wrong with a group of rows."""
    ids, vectors = _ids(index, first, number), _vectors(facts, first, number)
    if vectors is None:
        return _SHORT
    if len(ids) != number:
        return "the index lacks some of them"
    return None if checksum(ids, vectors) == expected else "the bytes are not those that were written"


def _ids(index: sqlite3.Connection, first: int, number: int) -> list[str]:
    """The ids of rows, in their order."""
    return [image_id for (image_id,) in index.execute("SELECT image_id FROM vectors WHERE row >= ? AND row < ? ORDER BY row", (first, first + number))]


def _vectors(facts: StoreFacts, first: int, number: int) -> bytes | None:
    """The bytes of rows; None where the files have fewer."""
    row_bytes = facts.embedding_size * _ITEM_BYTES
    shard_rows = max(1, facts.shard_bytes // row_bytes)
    parts = []
    while number:
        shard, place = divmod(first, shard_rows)
        many = min(number, shard_rows - place)
        try:
            with open_quietly(facts.folder / f"vectors-{shard:05d}.f16") as stream:
                stream.seek(place * row_bytes)
                part = stream.read(many * row_bytes)
        except OSError:
            return None
        if part is None or len(part) != many * row_bytes:
            return None
        parts.append(part)
        first, number = first + many, number - many
    return b"".join(parts)


def _runs_without(index: sqlite3.Connection, groups: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Rows that follow one another and have no checksum: the first, and how many."""
    begins = [0, *(first + number for first, number in groups)]
    ends = [*(first for first, _ in groups), index.execute("SELECT coalesce(max(row) + 1, 0) FROM vectors").fetchone()[0]]
    for begin, end in zip(begins, ends, strict=True):
        first, number = begin, 0
        for (row,) in index.execute("SELECT row FROM vectors WHERE row >= ? AND row < ? ORDER BY row", (begin, end)):
            if number and row != first + number:
                yield first, number
                number = 0
            first, number = (first, number + 1) if number else (row, 1)
        if number:
            yield first, number
