"""Whether a version of a dataset is as it was written. Imports nothing heavy before there is something to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from clipcap_cli.datasets.versions import (
    CAPTIONS_FILE,
    IMAGES_FILE,
    PROBLEMS_FILE,
    VERSION_FILE,
    content_digest,
    damaged,
    read_json,
    read_pictures,
    read_problems,
)
from clipcap_cli.errors import StoreError
from clipcap_cli.storage.hashing import sha256_quietly


def require_whole(folder: Path) -> None:
    """Let nobody learn from, or judge by, a version that is not as it was written: a flipped bit of a word would be in many captions.

    Raises:
        StoreError: the first thing that is wrong with it.
    """
    for problem in check_version(folder, lambda _: None):
        raise problem


def check_version(folder: Path, read: Callable[[int], None]) -> list[StoreError]:
    """Everything that is wrong with a version.

    Args:
        read: is told how many bytes were read, piece by piece.
    """
    try:
        facts = read_json(folder / VERSION_FILE)
        if not isinstance(facts.get("files"), dict):
            return _check_content(folder, facts, read)
    except StoreError as error:
        return [error]
    found = [_check_file(folder / str(name), expected, read) for name, expected in facts["files"].items()]
    return [problem for problem in found if problem is not None]


def _check_file(path: Path, expected: Any, read: Callable[[int], None]) -> StoreError | None:
    try:
        found = sha256_quietly(path, read)
    except OSError as error:
        return damaged(path, f"the file cannot be read ({error.strerror or error})")
    return None if found == expected else damaged(path, "the file is not as it was written")


def _check_content(folder: Path, facts: dict[str, Any], read: Callable[[int], None]) -> list[StoreError]:
    """For versions that have no hashes of their files yet: what they say is hashed, as it was when they were added."""
    try:
        pictures, problems = read_pictures(folder), read_problems(folder / PROBLEMS_FILE)
    except StoreError as error:
        return [error]
    read(sum((folder / name).stat().st_size for name in (IMAGES_FILE, CAPTIONS_FILE, PROBLEMS_FILE)))
    if content_digest(pictures, problems) != facts.get("digest"):
        return [damaged(folder / VERSION_FILE, "what its files say is not what was added")]
    return []
