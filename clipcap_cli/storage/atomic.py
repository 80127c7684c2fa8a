"""Writing that a reader never sees half done: beside the place, flushed, then renamed.

A file is written as `.NAME.RANDOM.part` in its own folder and renamed over NAME. A folder is built under such a name and becomes visible by one rename.
What a killed process leaves behind is only ever a `.part` that nobody reads.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipcap_cli.errors import StoreError

_PART = ".part"
_REASONS = {
    errno.ENOSPC: ("the disk is full", "Free some space, or choose another store with --home."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or choose another store with --home."),
    errno.EROFS: ("the file system is read-only", "Choose another place; the store is chosen with --home."),
    errno.EACCES: ("there is no permission to write here", "Choose another place; the store is chosen with --home."),
    errno.EPERM: ("there is no permission to write here", "Choose another place; the store is chosen with --home."),
    errno.ENOTDIR: ("a file stands where a folder should be", "Move it away, or choose another store with --home."),
    errno.EEXIST: ("a file stands where a folder should be", "Move it away, or choose another store with --home."),
    errno.EISDIR: ("a folder stands where a file should be", "Choose another name."),
    errno.ENOTEMPTY: ("another process has put something here meanwhile", "Look at what is there, then type this again."),
    errno.EIO: ("the disk reports an input/output error", "Check the disk; what was there before is unchanged."),
}


@contextmanager
def store_errors(place: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write at `place` into StoreError."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else _number_in(error)
        if number == errno.ENOENT and str(getattr(error, "filename", "")).endswith(_PART):  # /proc and its like: the folder is there, and takes no files
            number = errno.EACCES
        if number not in _REASONS:
            raise
        reason, hint = _REASONS[number]
        named = str(getattr(error, "filename", None) or place)
        raise StoreError(f"this cannot be written: {reason}", where=str(place) if named.endswith(_PART) else named, hint=hint) from error


def _number_in(error: Exception) -> int | None:
    """The operating system's number in an error of a library written in Rust, such as safetensors: "… (os error 28)"."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def partial_path(path: Path) -> Path:
    """A free name beside `path` for what is being written."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_PART}")


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut (a no-op where folders cannot be opened)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data`, wholly or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    with replacing(path) as part:
        part.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """`write_bytes` of indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to; when the block ends well it takes the place of `path`.

    Raises:
        StoreError: it cannot be written; `path` is as it was.
    """
    with store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = partial_path(path)
        try:
            yield part
            _sync_file(part)
            os.replace(part, path)
            sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill; when the block ends well it becomes `path` by one rename.

    Args:
        replace: an older folder at `path` is moved aside first and removed afterwards; without it, one that exists is an error.

    Raises:
        StoreError: it cannot be written; what was at `path` is as it was.
    """
    with store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = partial_path(path)
        part.mkdir()
        try:
            yield part
            for file in part.rglob("*"):
                if file.is_file():
                    _sync_file(file)
            sync_folder(part)
            if replace and path.exists():
                aside = partial_path(path)
                os.rename(path, aside)
                os.rename(part, path)
                shutil.rmtree(aside, ignore_errors=True)
            else:
                os.rename(part, path)
            sync_folder(path.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder so that no reader sees it half gone: renamed first, then emptied."""
    with store_errors(path):
        aside = partial_path(path)
        os.rename(path, aside)
        sync_folder(path.parent)
        shutil.rmtree(aside, ignore_errors=True)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
