"""The index of an embedding store: which row an image's vector is in, and what each group of rows that came together must hash to.

    vectors     image_id -> row
    checksums   first_row, rows -> SHA-256 of the ids and vectors of these rows

Both are written in one transaction, so that there is no row without a checksum but in stores of earlier versions.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from clipcap_cli.errors import StoreError
from clipcap_cli.storage.atomic import refusal

if TYPE_CHECKING:
    import sqlite3

INDEX = "index.sqlite"
WAIT_S = 60.0  # for another process that is adding to the same store: it lets go after each batch
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS vectors (image_id TEXT PRIMARY KEY, row INTEGER NOT NULL UNIQUE) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS checksums (first_row INTEGER PRIMARY KEY, rows INTEGER NOT NULL, sha256 TEXT NOT NULL)",
)
_FULL_BYTES = 256 * 1024  # SQLite reports an input/output error where it cannot make the files it shares with others


class DamagedError(StoreError):
    """A store of embeddings is not as it was written."""


def checksum(ids: Sequence[str], vectors: bytes) -> str:
    """What a group of rows hashes to: their ids in the order of the rows, then the bytes of their vectors."""
    digest = hashlib.sha256("\n".join(ids).encode())
    digest.update(vectors)
    return digest.hexdigest()


@contextmanager
def writing(folder: Path) -> Iterator[sqlite3.Connection]:
    """The index of the store in `folder`, made if it is not there.

    Raises:
        StoreError: it cannot be written, or is damaged.
    """
    with _telling(folder), closing(_connect(folder, "mode=rwc")) as index:
        index.execute("PRAGMA journal_mode=WAL")
        for table in _SCHEMA:
            index.execute(table)
        yield index


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection | None]:
    """The index of the store in `folder`; None where there is none yet.

    Raises:
        StoreError: it cannot be read, or is damaged.
    """
    if not (folder / INDEX).exists():
        yield None
        return
    with _telling(folder), closing(_connected_for_reading(folder)) as index:
        # A process that was killed at once may have left a file without tables.
        yield index if has_table(index, "vectors") else None


def has_table(index: sqlite3.Connection, name: str) -> bool:
    """Whether the index has this table; those of earlier versions have no checksums."""
    return bool(index.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)).fetchone()[0])


def damaged(folder: Path, path: Path, reason: str) -> DamagedError:
    """The error for a store that is not as it was written."""
    hint = f"Remove the folder {folder} and type the same line again: its embeddings are made anew."
    return DamagedError(f"this store of embeddings is damaged: {reason}", where=str(path), hint=hint)


def _connected_for_reading(folder: Path) -> sqlite3.Connection:
    import sqlite3

    if not os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        # SQLite cannot make the files that it shares with writers; there are no writers. Where a killed process left such files, they are read too.
        left = (folder / f"{INDEX}-wal").exists()
        return _connect(folder, "mode=ro" if left else "mode=ro&immutable=1")
    # Not mode=ro: whoever comes after a killed process finishes what it began.
    index = _connect(folder, "mode=rw")
    try:
        has_table(index, "vectors")
    except sqlite3.OperationalError as error:
        index.close()
        if _kind(error) not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            raise
        index = _connect(folder, "mode=rw")
        index.execute("PRAGMA locking_mode=EXCLUSIVE")  # on a full disk: what would be shared stays in memory
    return index


def _connect(folder: Path, how: str) -> sqlite3.Connection:
    import sqlite3

    return sqlite3.connect(f"{(folder / INDEX).absolute().as_uri()}?{how}", uri=True, timeout=WAIT_S)


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    """SQLite's errors in the words of the store."""
    import sqlite3

    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _told(folder, folder / INDEX, error) from error
    except UnicodeDecodeError as error:  # of an id, or of a message of SQLite's own about one
        raise damaged(folder, folder / INDEX, "it holds a text that is none") from error


def _kind(error: sqlite3.DatabaseError) -> int:
    """SQLite's number for an error, without what it adds to tell kinds of one error apart."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _told(folder: Path, path: Path, error: sqlite3.DatabaseError) -> StoreError:
    import sqlite3

    code = _kind(error)
    numbers = {
        sqlite3.SQLITE_FULL: errno.ENOSPC,
        sqlite3.SQLITE_READONLY: errno.EROFS if _is_read_only(folder) else errno.EACCES,
        sqlite3.SQLITE_PERM: errno.EACCES,
        sqlite3.SQLITE_IOERR: errno.EIO,
    }
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and shutil.disk_usage(folder).free < _FULL_BYTES:
        return refusal(errno.ENOSPC, path)
    number = numbers.get(code)
    if number is not None:
        return refusal(number, path)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError("the index of embeddings is in use by another process", where=str(path), hint="Wait a little, then type this again.")
    if isinstance(error, sqlite3.OperationalError) and code not in (0, sqlite3.SQLITE_ERROR):  # these are texts that are none, and tables that are not there
        return StoreError(f"the index of embeddings cannot be used: {error}", where=str(path), hint="Look at the disk and its free space.")
    return damaged(folder, path, str(error))


def _is_read_only(folder: Path) -> bool:
    """Whether it is the file system that takes nothing."""
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
