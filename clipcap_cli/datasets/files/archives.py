"""What every reader of archives must look out for, and tars from anywhere, packed or not, gone through once from front to back.

Python's own reader of tars trusts their headers: one of them can ask for as much memory as the file unpacks to, lead back so that it is read for ever, or end
the tar early without a word. Here each of these is damage, and so is an end without the mark that every tar has there.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from clipcap_cli.errors import InputError
from clipcap_cli.storage.reading import check_plain
from clipcap_cli.words import size as in_words

PIECE = 2**20  # bytes; no more is read at once

_MOST_BYTES = 2**40
_MOST_GROWTH = 200  # times: captions are compressed to a tenth, pictures not at all
_WORTH_A_LOOK = 2**26  # bytes: what is smaller than this may grow as it likes
_DEEPEST = 64  # folders in one another
_BLOCK = 512  # bytes: everything in a tar begins at a multiple of it
_PACKED: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}  # by how the file begins
_SPOILT = (OSError, EOFError, zlib.error, lzma.LZMAError, MemoryError)  # what they raise


def parts_of(name: str) -> tuple[str, ...] | None:
    """The folders and the file that a member's name means; None where it leads out of the archive, to nothing, or deeper than any honest one."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    leads_out = name.startswith(("/", "\\")) or ".." in parts or any(re.match("[A-Za-z]:", part) for part in parts)
    return None if not parts or leads_out or len(parts) > _DEEPEST or "\0" in name else parts


def is_hidden(parts: tuple[str, ...]) -> bool:
    """Whether a member is one of those that folders are read without: hidden ones, and what macOS adds."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def is_packed(path: Path) -> bool:
    """Whether a tar is compressed as a whole.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return stream.read(8).startswith(tuple(_PACKED))


def most_bytes(path: Path) -> int:
    """As much as the archive at `path` may unpack to."""
    return min(_MOST_BYTES, max(_WORTH_A_LOOK, path.stat().st_size * _MOST_GROWTH))


def too_large(path: Path, limit: int) -> InputError:
    """The error for an archive that unpacks to more than `limit` bytes."""
    hint = "If you trust it, unpack it yourself and add the folder."
    return InputError(f"this archive unpacks to more than {in_words(limit)}, which no honest one does", where=str(path), hint=hint)


def damaged(path: Path, why: object) -> InputError:
    """The error for an archive that cannot be read to its end."""
    told = "it asks for more memory than there is" if isinstance(why, MemoryError) else str(why) or "unexpected end of data"
    return InputError(f"this archive is damaged or cut short ({told})", where=str(path), hint="Get it again from where it came.")


class Content:
    """What one member of a tar holds; it can be read until the next member is asked for."""

    def __init__(self, stream: _Stream, size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, size: int) -> bytes:
        """The next bytes, `PIECE` at most; none at the end.

        Raises:
            InputError: the tar is damaged, or ends here.
        """
        piece = self._stream.content(min(size, self._left, PIECE))
        self._left -= len(piece)
        return piece

    def whole(self) -> bytes:
        """All that is left.

        Raises:
            InputError: as `read`.
        """
        return b"".join(iter(lambda: self.read(PIECE), b""))


def tar_members(path: Path) -> Iterator[tuple[tarfile.TarInfo, Content | None]]:
    """Each member of a tar, with its content if it is a plain file.

    Raises:
        InputError: it cannot be read, is damaged, cut short, or unpacks to more than an honest one.
    """
    try:
        check_plain(path)
        stream = _Stream(path)
    except OSError as error:
        raise InputError(f"this file cannot be read: {error.strerror}", where=str(path)) from error
    with stream:
        try:
            tar = tarfile.TarFile(fileobj=stream, tarinfo=_Header)  # type: ignore[arg-type]  # it reads, tells and seeks, no more
            while (member := tar.next()) is not None:
                if member.size < 0:
                    raise tarfile.ReadError("a file in it has less than no bytes")
                tar.members.clear()  # type: ignore[attr-defined]  # which it would keep, all of them
                yield member, Content(stream, member.size) if member.isreg() and not member.issparse() else None
        except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
            raise damaged(path, error) from error


class _Header(tarfile.TarInfo):
    """A header of a tar. Only a block of zeros is its end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf == bytes(_BLOCK):
                raise
            raise tarfile.ReadError(str(error) if buf else "it ends without an end mark") from error


class _Stream:
    """The bytes of a tar, unpacked, which are read forwards and in small pieces."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        opener = next((opener for mark, opener in _PACKED.items() if self._file.peek(8).startswith(mark)), None)
        self._bytes: IO[bytes] = opener(self._file) if opener else self._file
        self._limit = most_bytes(path) if opener else _MOST_BYTES

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._bytes.close()
        self._file.close()

    def tell(self) -> int:
        return int(self._bytes.tell())

    def read(self, size: int) -> bytes:
        if not 0 <= size <= PIECE:
            raise tarfile.ReadError(f"a header of it is {size:,} bytes long" if size > 0 else "a header of it is damaged")
        self._check(self.tell() + size)
        try:
            return bytes(self._bytes.read(size))
        except _SPOILT as error:
            raise damaged(self._path, error) from error

    def seek(self, place: int) -> None:
        if place < self.tell():
            raise tarfile.ReadError("a header of it leads back")
        self._check(place)
        try:
            self._bytes.seek(place)
        except _SPOILT as error:
            raise damaged(self._path, error) from error

    def content(self, size: int) -> bytes:
        """Bytes of a member, all of them."""
        found = self.read(size)
        if len(found) < size:
            raise damaged(self._path, "unexpected end of data")
        return found

    def _check(self, place: int) -> None:
        if place > self._limit:
            raise too_large(self._path, self._limit)
