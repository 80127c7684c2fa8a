"""A bundle as one file: an uncompressed tar, the same bytes for the same bundle, and the careful way back.

A tar from elsewhere can name any path, any kind of file and any size. Taken out of it are plain files that belong to a bundle, into a new folder, and nothing
else: the first thing in it that is not such a file ends it.
"""

from __future__ import annotations

import io
import tarfile
from contextlib import suppress
from itertools import islice
from pathlib import Path

from clipcap_cli.captioner.manifest import CARD, LIMIT, NAME, belongs, check_not_onnx
from clipcap_cli.errors import InputError
from clipcap_cli.storage.reading import check_plain, parse_json

SUFFIX = ".tar"
_PIECE = 1 << 20
_FILES_AT_MOST = 1000  # a language model in shards has some dozens
_HINT = "A captioner's tar is made by `clipcap export MODEL --tar`."


def write_tar(folder: Path, path: Path, *, name: str) -> None:
    """Write the files of `folder` into a tar, under the folder `name`, in the order of their paths and without times, owners and rights."""
    files = sorted((file for file in folder.rglob("*") if file.is_file()), key=lambda file: file.relative_to(folder).as_posix())
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            member = tarfile.TarInfo(f"{name}/{file.relative_to(folder).as_posix()}")
            member.size = file.stat().st_size
            with file.open("rb") as stream:
                archive.addfile(member, stream)


def extract_bundle(path: Path, folder: Path) -> None:
    """Take the bundle out of a tar into an empty folder; whether its files are those that were written is not looked at.

    Raises:
        InputError: it is no tar of a bundle and nothing else, or that of an onnx export.
    """
    try:
        check_plain(path)
        opened = _Pieces(path)
    except OSError as error:
        raise InputError(f"this file cannot be read: {error.strerror}", where=str(path), hint=_HINT) from error
    _check_kind(path)
    try:
        with opened as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            found: set[str] = set()
            tops: set[str] = set()
            for member in archive:
                if member.isdir():  # it has no folders that its files do not need
                    continue
                top, place = _place(member, path)
                tops.add(top)
                if len(tops) > 1:
                    raise _refused(f"its files lie in several folders: {', '.join(sorted(tops))}", path)
                if place in found or len(found) == _FILES_AT_MOST:
                    raise _refused(f"it has {place!r} twice" if place in found else f"it has more than {_FILES_AT_MOST} files", path)
                found.add(place)
                _take_out(archive, member, folder / place)
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise InputError(f"this is no tar that can be read: {error}", where=str(path), hint=_HINT) from error
    if NAME not in found:
        raise _refused(f"it has no {NAME}", path)


def listing(path: Path) -> tuple[set[str], bytes]:
    """The paths of what lies in the folder of a tar, and its captioner.json; empty where it is no tar of ours."""
    try:
        with _Pieces(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            there = [*islice(archive, _FILES_AT_MOST + 1)]
            if len(there) > _FILES_AT_MOST:
                return set(), b""
            members = {member.name.partition("/")[2]: member for member in there if not member.isdir()}
            manifest = members.get(NAME)
            source = archive.extractfile(manifest) if manifest is not None and manifest.isreg() and manifest.size <= LIMIT else None
            return set(members), b"".join(iter(lambda: source.read(_PIECE), b"")) if source else b""
    except (tarfile.TarError, EOFError, ValueError, OverflowError, OSError, KeyError):
        return set(), b""


def _check_kind(path: Path) -> None:
    with suppress(ValueError):  # what is wrong with its captioner.json is told when the bundle is read
        facts = parse_json(listing(path)[1].decode("utf-8"))
        check_not_onnx(facts, path, "Unpack it; in its folder: python caption.py PICTURE")


class _Pieces(io.FileIO):
    """A file that is only read in small pieces: a header of a tar could ask for as much memory as the file is long."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _PIECE:
            raise tarfile.ReadError(f"a header of it is {size:,} bytes long" if size and size > 0 else "a header of it is damaged")
        return super().read(size) or b""


def _place(member: tarfile.TarInfo, path: Path) -> tuple[str, str]:
    """The folder that all files of the tar lie in, and the path of this one in it."""
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse is not None:
        raise _refused(f"{member.name!r} in it is a link or no plain file", path)
    top, _, place = member.name.partition("/")
    if top in ("", ".", "..") or not belongs(place):
        raise _refused(f"it has {member.name!r}, which no captioner has", path)
    if place in (NAME, CARD) and member.size > LIMIT:
        raise _refused(f"{member.name!r} in it has {member.size:,} bytes", path)
    return top, place


def _take_out(archive: tarfile.TarFile, member: tarfile.TarInfo, to: Path) -> None:
    source = archive.extractfile(member)
    assert source is not None
    to.parent.mkdir(exist_ok=True)
    left = member.size
    with to.open("xb") as target:
        while piece := source.read(min(_PIECE, left)) if left else b"":
            target.write(piece)
            left -= len(piece)
    if left:
        raise tarfile.ReadError(f"{member.name!r} is cut off")


def _refused(reason: str, path: Path) -> InputError:
    return InputError(f"this tar was refused: {reason}", where=str(path), hint=_HINT)
