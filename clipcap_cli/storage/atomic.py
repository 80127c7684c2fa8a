"""Writing that a reader never sees half done: beside the place, flushed, then renamed.

A file is written as a `.part` (see `leftovers`) in its own folder and renamed over NAME. A folder is built under such a name and becomes visible by one
rename; where an older one is there, the two change places by one system call, so that at each instant one of them is there, whole. Where the system or the
file system has no such call, the older one is moved aside first: a process that is killed between the two renames leaves no folder, and the next writer of
that place brings the older one back, as does opening the store on a system without the call.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clipcap_cli.errors import StoreError
from clipcap_cli.storage.exchange import exchange
from clipcap_cli.storage.leftovers import PART, aside_path, heal, part_path

_TRIES = 5  # of putting a folder into a place that others put theirs into or take theirs from at the same time
_NO_PERMISSION = "Give yourself permission to write there, or choose another place; the store is chosen with --home."
_REASONS = {
    errno.ENOSPC: ("the disk is full", "Free some space, or choose another store with --home."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or choose another store with --home."),
    errno.EROFS: ("the file system is read-only", "Make it writable, or choose another place; the store is chosen with --home."),
    errno.EACCES: ("there is no permission to write here", _NO_PERMISSION),
    errno.EPERM: ("there is no permission to write here", _NO_PERMISSION),
    errno.ENOTDIR: ("a file stands where a folder should be", "Move it away, or choose another store with --home."),
    errno.EEXIST: ("a file stands where a folder should be", "Move it away, or choose another store with --home."),
    errno.EISDIR: ("a folder stands where a file should be", "Choose another name."),
    errno.ENOTEMPTY: ("another process has put something here meanwhile", "Look at what is there, then type this again."),
    errno.EFBIG: ("the file would be larger than is allowed here", "Raise the limit (`ulimit -f`), or choose another store with --home."),
    errno.ENAMETOOLONG: ("the name is too long for this file system", "Choose a shorter name."),
    errno.EIO: ("the disk reports an input/output error", "Check the disk; what was there before is unchanged."),
}


@contextmanager
def store_errors(place: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write at `place` into StoreError."""
    try:
        yield
    except StoreError as error:
        if f"{PART}{os.sep}" in (error.where or ""):  # people know `place`, not what it was being written as
            error.where = str(place)
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else _number_in(error)
        if number == errno.ENOENT and str(getattr(error, "filename", "")).endswith(PART):  # /proc and its like: the folder is there, and takes no files
            number = errno.EACCES
        if number not in _REASONS:
            raise
        named = str(getattr(error, "filename", None) or place)
        raise refusal(number, place if PART in named else Path(named)) from error


def refusal(number: int, place: Path) -> StoreError:
    """The error for what the operating system said by this number (`errno`) when something was to be written at `place`."""
    reason, hint = _REASONS[number]
    return StoreError(f"this cannot be written: {reason}", where=str(place), hint=hint)


def _number_in(error: Exception) -> int | None:
    """The operating system's number in an error of a library written in Rust, such as safetensors: "… (os error 28)"."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut (a no-op where folders cannot be opened, or cannot be flushed)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # so some network file systems say that they have nothing to flush
            raise
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, as far as they are not there, so that they survive a power cut."""
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # /proc and its like: what is above is there, and takes no folders
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder)) from error
    for path in reversed(absent):
        sync_folder(path.parent)


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
        make_folder(path.parent)
        part = part_path(path)
        try:
            yield part
            _sync_file(part)
            os.replace(part, path)
            sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill; when the block ends well it becomes `path`, at once and whole.

    Args:
        replace: an older folder at `path` changes places with it and is removed afterwards; without it, one that exists is an error.

    Raises:
        StoreError: it cannot be written; what was at `path` is as it was.
    """
    with store_errors(path):
        make_folder(path.parent)
        heal(path.parent, depth=0)
        part = part_path(path)
        part.mkdir()
        try:
            yield part
            _sync(part)
            if replace:
                _put(part, path)
            else:
                os.rename(part, path)
                sync_folder(path.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder so that no reader sees it half gone: renamed first, then emptied."""
    with store_errors(path):
        gone = part_path(path)
        os.rename(path, gone)
        sync_folder(path.parent)
        shutil.rmtree(gone, ignore_errors=True)


def _put(part: Path, path: Path) -> None:
    """Let the folder `part` become `path`; one that was there is at `part` afterwards, or gone."""
    for attempt in range(_TRIES):
        try:
            os.rename(part, path)  # nothing is there, or an empty folder
            break
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) or not path.is_dir() or attempt == _TRIES - 1:
                raise
        try:
            if exchange(part, path):
                break
            _swap_by_two_renames(part, path)
            break
        except FileNotFoundError:  # somebody has removed the older one meanwhile
            continue
    sync_folder(path.parent)


def _swap_by_two_renames(part: Path, path: Path) -> None:
    aside = aside_path(path)
    os.rename(path, aside)
    try:
        os.rename(part, path)
    except BaseException:
        with suppress(OSError):  # another process has put its folder there: `heal` removes this one
            os.rename(aside, path)
        raise
    os.rename(aside, part)


def _sync(folder: Path) -> None:
    """Flush all files of a folder, then the folders, the innermost first. Whoever may read the folder may read its files: some libraries forbid it."""
    usual = folder.stat().st_mode & 0o666
    for room, _, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(room, name)
            if path.stat().st_mode & 0o666 != usual:
                path.chmod(usual)
            _sync_file(path)
        sync_folder(Path(room))


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # Windows flushes only what may be written
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
