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
    Picture,
    content_digest,
    damaged,
    read_json,
    read_problems,
    read_table,
)
from clipcap_cli.errors import StoreError
from clipcap_cli.storage.hashing import sha256_quietly

_COLUMNS = ("image_id", "path", "name", "split", "width", "height", "size", "mtime_ns")


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
    images = read_table(folder / IMAGES_FILE, _COLUMNS).to_pylist()
    captions = read_table(folder / CAPTIONS_FILE, ("row", "caption"))
    told: list[list[str]] = [[] for _ in images]
    for row, text in zip(captions["row"].to_pylist(), captions["caption"].to_pylist(), strict=True):
        if not 0 <= row < len(images):
            return [damaged(folder / CAPTIONS_FILE, f"a caption is of picture {row}, and there are {len(images):,}")]
        told[row].append(text)
    pictures = [Picture(**image, captions=tuple(texts)) for image, texts in zip(images, told, strict=True)]
    read(sum((folder / name).stat().st_size for name in (IMAGES_FILE, CAPTIONS_FILE, PROBLEMS_FILE)))
    if content_digest(pictures, read_problems(folder / PROBLEMS_FILE)) != facts.get("digest"):
        return [damaged(folder / VERSION_FILE, "what its files say is not what was added")]
    return []
