"""Names by content."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256_of_bytes(data: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """64 hex digits, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def image_id_of(data: bytes) -> str:
    """The id of a picture: the first 32 hex digits of the SHA-256 of its bytes."""
    return sha256_of_bytes(data)[:32]
