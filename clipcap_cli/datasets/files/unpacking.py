"""Archives of datasets, zip and tar: unpacked into the store for as long as they are read.

What could do harm is refused before it is written: names that lead out of the folder, links, devices, more files or bytes than a dataset has, and bytes that
unpack to very many more. What lies in an archive inside the archive is not unpacked, and what folders are read without is not written: hidden files.
"""

from __future__ import annotations

import errno
import io
import lzma
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from clipcap_cli.datasets.files.archives import PIECE, damaged, is_hidden, most_bytes, parts_of, tar_members, too_large
from clipcap_cli.errors import InputError
from clipcap_cli.events import Advanced, Finished, Listener, Note, Started
from clipcap_cli.storage.atomic import make_folder, store_errors
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.leftovers import part_path
from clipcap_cli.storage.reading import check_plain
from clipcap_cli.words import count

_ZIP = ".zip"
_ENDINGS = (_ZIP, ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_OTHER_ENDINGS = (".7z", ".rar")
_MOST_FILES = 5_000_000
_LONGEST_LIST = 2**27  # bytes of a zip's list of files: two million of them, which Python keeps as a gigabyte of records
_LOCAL_HEADER = 30  # bytes before each file of a zip, without its name
_TASK = "unpack"
_BAD_NAMES = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
_SPOILT = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OverflowError, RecursionError, MemoryError)
_BY_HAND = "Unpack it yourself and add the folder."


def is_archive(path: Path) -> bool:
    """Whether a file is named like an archive that can be unpacked."""
    return path.name.lower().endswith(_ENDINGS)


@contextmanager
def unpacked(path: Path, home: Home, events: Listener) -> Iterator[Path]:
    """Yield a folder in the store with what the archive holds, or the one folder in it that holds everything; it is gone when the block ends.

    Raises:
        InputError: it is damaged, or refused.
        StoreError: there is no room for it.
    """
    home.prepare()
    part = part_path(home.images / "unpacked")
    folder = part / (path.name.partition(".")[0] or "archive")
    try:
        with store_errors(home.images):
            make_folder(folder)
            _unpack(path, folder, events)
        yield _top(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _unpack(path: Path, folder: Path, events: Listener) -> None:
    target = _Target(path, folder, events)
    events(Started(_TASK, None, "bytes"))
    try:
        if path.name.lower().endswith(_ZIP):
            _unpack_zip(path, target)
        else:
            _unpack_tar(path, target)
    finally:
        events(Finished(_TASK))
    target.tell()


def _unpack_tar(path: Path, target: _Target) -> None:
    for member, content in tar_members(path):
        if content is not None:
            target.put(member.name, content)
        elif not member.isdir():
            raise target.refusal(f"a link or a device, {member.name[:200]!r}")


def _unpack_zip(path: Path, target: _Target) -> None:
    try:
        check_plain(path)
        file = _ZipFile(path.open("rb", buffering=0))
    except OSError as error:
        raise InputError(f"this file cannot be read: {error.strerror}", where=str(path)) from error
    with file:
        try:
            with zipfile.ZipFile(file) as archive:
                for member in _checked(archive.infolist(), target):
                    with archive.open(member) as stream:
                        target.put(member.filename, stream)
        except NotImplementedError as error:
            raise InputError(f"this archive is packed in a way that is not known here ({error})", where=str(path), hint=_BY_HAND) from error
        except _SPOILT as error:
            raise damaged(path, error) from error


def _checked(members: list[zipfile.ZipInfo], target: _Target) -> list[zipfile.ZipInfo]:
    """The files of a zip in the order of their bytes, if each is no more than a file, and none is a part of another."""
    end = 0
    members = sorted(members, key=lambda member: member.header_offset)
    for member in members:
        if member.flag_bits & 1:
            raise target.refusal(f"a password, at least for {member.filename[:200]!r}")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise target.refusal(f"a link or a device, {member.filename[:200]!r}")
        if member.header_offset < end:
            raise target.refusal(f"files that share their bytes, {member.filename[:200]!r} and the one before it")
        end = member.header_offset + _LOCAL_HEADER + member.compress_size
    return [member for member in members if not member.filename.endswith("/")]


class _ZipFile(io.BufferedReader):
    """A zip whose list of files is read only if it fits well into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LONGEST_LIST:
            raise zipfile.BadZipFile(f"its list of files has {size:,} bytes")
        return super().read(size)


def _top(folder: Path) -> Path:
    """The folder in which there is more than one folder."""
    held = list(folder.iterdir())
    return _top(held[0]) if len(held) == 1 and held[0].is_dir() else folder


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Target:
    """Where an archive is unpacked to, and what it may still write."""

    def __init__(self, path: Path, folder: Path, events: Listener) -> None:
        self._path, self._folder, self._events = path, folder, events
        self._files, self._bytes, self._limit = 0, 0, most_bytes(path)
        self._written_ns = path.stat().st_mtime_ns
        self._repeated: list[str] = []
        self._inner: list[str] = []

    def put(self, name: str, stream: _Stream) -> None:
        """Write a file.

        Raises:
            InputError: its name leads elsewhere or cannot be given to a file, or the archive has too many files or bytes.
        """
        parts = parts_of(name)
        if parts is None:
            raise self.refusal(f"a name that leads out of it or very deep, {name[:200]!r}")
        if is_hidden(parts):
            return
        self._files += 1
        if self._files > _MOST_FILES:
            raise self.refusal(f"more than {_MOST_FILES:,} files")
        place = self._folder.joinpath(*parts)
        if name.lower().endswith((*_ENDINGS, *_OTHER_ENDINGS)):
            self._inner.append(name)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_file():
                self._repeated.append(name)
            target = place.open("wb")
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise self.refusal(f"a file and a folder of one name, {name[:200]!r}") from error
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno not in _BAD_NAMES:
                raise
            raise self.refusal(f"a name that no file can have here, {name[:200]!r}") from error
        with target:
            while piece := stream.read(PIECE):
                self._bytes += len(piece)
                if self._bytes > self._limit:
                    raise too_large(self._path, self._limit)
                target.write(piece)
                self._events(Advanced(_TASK, len(piece)))
        os.utime(place, ns=(self._written_ns, self._written_ns))  # as old as its archive, so that unpacking again gives the same

    def tell(self) -> None:
        """Say what may not be as expected."""
        for names, what in (
            (self._repeated, "there twice, or under names that are one here; the last was taken"),
            (self._inner, "archives themselves and stay packed"),
        ):
            if names:
                shown = ", ".join(map(repr, names[:3])) + (" …" if len(names) > 3 else "")
                self._events(Note(f"{count(len(names), 'file')} of {self._path.name} are {what}: {shown}", "warning"))

    def refusal(self, what: str) -> InputError:
        """The error for an archive that has something that it should not."""
        return InputError(f"this archive was refused: it has {what}", where=str(self._path), hint=f"If you trust it: {_BY_HAND[0].lower()}{_BY_HAND[1:]}")
