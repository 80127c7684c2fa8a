"""What one picture's file is like: read, hashed, and decoded to its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from clipcap_cli.datasets.duplicates.thumbnails import SIDE, thumbnail_of
from clipcap_cli.datasets.pictures import look_at, picture_header, read_picture
from clipcap_cli.datasets.places import where_is
from clipcap_cli.errors import InputError
from clipcap_cli.storage.hashing import image_id_of

Fault = Literal["", "unreadable", "no-picture", "damaged"]


@dataclass(frozen=True, slots=True)
class Facts:
    """A file as it was when it was looked at.

    Attributes:
        path: where it lies.
        size, mtime_ns: of the file; zeros if it could not be read.
        image_id: of its bytes; "" if they could not be read.
        fault: why it cannot be used, if so: it cannot be read, is no picture, or cannot be decoded to its end.
        reason: the fault in words.
        format: Pillow's name of it.
        animated, turned: it has several frames or pages; its EXIF data say that it is stored another way up.
        thumbnail: see `duplicates.thumbnails`; b"" where there is a fault.
    """

    path: str
    size: int = 0
    mtime_ns: int = 0
    image_id: str = ""
    fault: Fault = ""
    reason: str = ""
    format: str = ""
    animated: bool = False
    turned: bool = False
    thumbnail: bytes = field(default=b"", repr=False)


def facts_of(path: str) -> Facts:
    """Look at one file."""
    try:
        place = where_is(Path(), path)
        data = read_picture(place)
        changed = place.stat().st_mtime_ns if isinstance(place, Path) else 0
    except OSError as error:
        return Facts(path, fault="unreadable", reason=error.strerror or str(error))
    known = (path, len(data), changed, image_id_of(data))
    try:
        sight = look_at(data, path, 2 * SIDE)  # twice the thumbnail's, so that it is smooth
    except InputError as error:
        return Facts(*known, fault="damaged" if _has_header(data, path) else "no-picture", reason=error.message)
    return Facts(*known, format=sight.format, animated=sight.animated, turned=sight.turned, thumbnail=thumbnail_of(sight.image))


def _has_header(data: bytes, path: str) -> bool:
    try:
        picture_header(data, path)
    except InputError:
        return False
    return True
