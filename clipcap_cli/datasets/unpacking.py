"""Archives of datasets, zip and tar: unpacked into the store for as long as they are read.

What could do harm is refused before it is written: names that lead out of the folder, links, devices, more files or bytes than a dataset has, and bytes that
unpack to very many more. What lies in an archive inside the archive is not unpacked.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from clipcap_cli.errors import InputError
from clipcap_cli.events import Advanced, Finished, Listener, Started
from clipcap_cli.storage.atomic import make_folder, store_errors
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.leftovers import part_path

_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_MOST_FILES = 5_000_000
_MOST_BYTES = 2**40
_MOST_GROWTH = 200  # times: captions are compressed to a tenth, pictures not at all
_WORTH_A_LOOK = 2**26  # bytes: what is smaller than this may grow as it likes
_PIECE = 2**20
_TASK = "unpack"
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError)
_AGAIN = "Get it again from where it came."


def is_archive(path: Path) -> bool:
    """Whether a file is named like an archive that can be unpacked."""
    return path.name.lower().endswith(_ENDINGS)


@contextmanager
def unpacked(path: Path, home: Home, events: Listener) -> Iterator[Path]:
    """Yield a folder in the store with what the archive holds; it is gone when the block ends.

    Raises:
        InputError: it is damaged, or refused.
        StoreError: there is no room for it.
    """
    home.prepare()
    folder = part_path(home.images / "unpacked")
    events(Started(_TASK, None, "bytes"))
    try:
        with store_errors(home.images):
            make_folder(folder)
            _unpack(path, folder, events)
        events(Finished(_TASK))
        yield folder
    except _DAMAGED as error:
        raise InputError(f"this archive is damaged or cut short ({error})", where=str(path), hint=_AGAIN) from error
    finally:
        events(Finished(_TASK))
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Room:
    """What an archive may still write."""

    path: Path
    limit: int
    files: int = 0
    written: int = 0

    def take(self, amount: int) -> None:
        """Count bytes that are about to be written."""
        self.written += amount
        if self.written > self.limit:
            raise InputError(
                f"this archive unpacks to more than {self.limit / 1e6:,.0f} MB, which no honest one does",
                where=str(self.path),
                hint="If you trust it, unpack it yourself and add the folder.",
            )

    def take_file(self) -> None:
        """Count a file."""
        self.files += 1
        if self.files > _MOST_FILES:
            raise InputError(f"this archive has more than {_MOST_FILES:,} files", where=str(self.path), hint="Unpack it yourself and add the folder.")


def _unpack(path: Path, folder: Path, events: Listener) -> None:
    size = path.stat().st_size
    room = _Room(path, min(_MOST_BYTES, max(_WORTH_A_LOOK, size * _MOST_GROWTH)))
    if path.name.lower().endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _refused(path, member.filename, "a link or a device")
                if member.flag_bits & 1:
                    raise InputError("this archive has a password", where=str(path), hint="Unpack it yourself and add the folder.")
                if not member.is_dir():
                    with archive.open(member) as stream:
                        _write(stream, _place(folder, member.filename, path), room, events)
        return
    with tarfile.open(path, "r|*") as tar:  # as a stream: nothing is read twice, and no list of members is kept
        for entry in tar:
            tar.members = []  # type: ignore[attr-defined]  # which it would keep all the same
            if entry.isdir():
                continue
            if not entry.isreg():
                raise _refused(path, entry.name, "a link or a device")
            content = tar.extractfile(entry)
            if content is not None:
                _write(content, _place(folder, entry.name, path), room, events)


def _place(folder: Path, name: str, path: Path) -> Path:
    """Where a member goes."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise _refused(path, name, "a name that leads out of it")
    return folder.joinpath(*parts)


def _refused(path: Path, name: str, what: str) -> InputError:
    return InputError(
        f"this archive was refused: it has {what}, {name[:200]!r}", where=str(path), hint="Unpack it yourself if you trust it, and add the folder."
    )


def _write(stream: IO[bytes], place: Path, room: _Room, events: Listener) -> None:
    room.take_file()
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("wb") as target:
        while piece := stream.read(_PIECE):
            room.take(len(piece))
            target.write(piece)
            events(Advanced(_TASK, len(piece)))
