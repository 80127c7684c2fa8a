"""Names by content."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

_PIECE = 1 << 20
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)
# Looking whether a file is whole is no use of it: where the system can, its time of access stays as it was.
_QUIETLY = _READ | getattr(os, "O_NOATIME", 0)


def sha256_of_bytes(data: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """64 hex digits, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_quietly(path: Path, read: Callable[[int], None]) -> str:
    """As `sha256_of_file`, without marking the file as used, and telling `read` of each piece how many bytes it had."""
    digest = hashlib.sha256()
    with open_quietly(path) as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            read(len(piece))
    return digest.hexdigest()


def open_quietly(path: Path) -> io.FileIO:
    """A file to be read for a check, which keeps its time of access; without a buffer."""
    try:
        return io.FileIO(os.open(path, _QUIETLY))
    except PermissionError:  # only the owner may ask for that
        return io.FileIO(os.open(path, _READ))


def image_id_of(data: bytes) -> str:
    """The id of a picture: the first 32 hex digits of the SHA-256 of its bytes."""
    return sha256_of_bytes(data)[:32]
