"""What writers are given: pictures with the file that they lie in and the name that they get; and how a file is put into its place."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from clipcap_cli.datasets.files.folders import is_picture_name
from clipcap_cli.datasets.pictures import read_picture
from clipcap_cli.datasets.places import Place
from clipcap_cli.datasets.versions import Picture

_UNSAFE = re.compile(r'[\x00-\x1f<>:"|?*\\]')  # no part of a file's name on some system


@dataclass(frozen=True)
class Written:
    """A picture that is written.

    Attributes:
        file: where it lies now.
        name: what it is called in the new layout, with '/' between the parts: unlike all others, also where large and small letters are one.
    """

    picture: Picture
    file: Path | Place
    name: str

    @property
    def suffix(self) -> str:
        """The ending of its name, in small letters."""
        return posixpath.splitext(self.name)[1].lower()

    @property
    def data(self) -> bytes:
        """Its bytes."""
        return read_picture(self.file)


class Writer(Protocol):
    """One layout. It fills an empty folder, and calls `done` after each picture."""

    def __call__(self, name: str, pictures: Sequence[Written], folder: Path, put: Put, done: Callable[[], None]) -> None:
        """Write the pictures of the dataset `name` into `folder`."""


Put = Callable[[Path | Place, Path], None]


def put_by(link: bool) -> Put:
    """How a picture's file gets to its place: by a second name of the same file where that can be had, or as a copy."""

    def put(file: Path | Place, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(file, Place):
            place.write_bytes(read_picture(file))
            return
        if link:
            try:
                os.link(file, place)
                return
            except OSError:  # another file system
                pass
        shutil.copyfile(file, place)

    return put


def named(pictures: Sequence[tuple[Picture, Path | Place]]) -> Iterator[Written]:
    """Give each picture a name that is a path within a folder, has the ending of a picture, and is its own. A folder that all are in is left away."""
    taken: set[str] = set()
    paths = [[part for part in PurePosixPath(picture.name).parts if part not in ("/", "..", ".")] for picture, _ in pictures]
    shared = len(PurePosixPath(posixpath.commonpath(["/".join(path[:-1]) for path in paths])).parts) if paths else 0
    for (picture, file), path in zip(pictures, paths, strict=True):
        parts = path[shared:]
        clean = "/".join(_UNSAFE.sub("_", part).strip(" ") or "_" for part in parts) or picture.image_id
        if not is_picture_name(clean):
            clean += file.suffix.lower() or ".jpg"
        stem, suffix = posixpath.splitext(clean)
        name, number = clean, 1
        # By the stem, since a layout may have a text of that name beside it.
        while posixpath.splitext(name)[0].casefold() in taken:
            number += 1
            name = f"{stem}-{number}{suffix}"
        taken.add(posixpath.splitext(name)[0].casefold())
        yield Written(picture, file, name)


def flat(pictures: Sequence[Written]) -> list[Written]:
    """The same without folders and blanks in their names, as lists of names need them."""
    renamed = [(replace(it.picture, name=re.sub(r"[/\s]+", "_", it.name)), it.file) for it in pictures]
    return [replace(it, name=new.name) for it, new in zip(pictures, named(renamed), strict=True)]


def by_split(pictures: Sequence[Written]) -> dict[str | None, list[Written]]:
    """The pictures of each split, those in none under None."""
    found: dict[str | None, list[Written]] = {}
    for it in pictures:
        found.setdefault(it.picture.split, []).append(it)
    return found
