"""Small copies of pictures as data URIs, so that a page of thousands of them is still a file that can be sent.

All together take a fixed number of characters at most: the more pictures, the smaller each, and the more it is compressed. A picture that cannot be shown is an
empty text and no error: its file may be gone, damaged, or another one than the one that was added.
"""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image as Pillow
from PIL import features

from clipcap_cli.datasets.dataset import Image
from clipcap_cli.datasets.pictures import look_at, read_picture
from clipcap_cli.errors import ClipcapError
from clipcap_cli.events import Advanced, Finished, Listener, Started, silent
from clipcap_cli.storage.hashing import image_id_of

TASK = "draw"

_ALL = 10_000_000  # characters of all data URIs together
_EACH = 16_000  # characters of one at most: 320 pixels need no more
_LARGEST, _SMALLEST = 320, 40  # pixels of the longer side
_QUALITIES = (75, 50, 25)
_EFFORT = 2  # of WebP, 0 to 6: the usual 4 takes twice as long and saves 3 % (measured on 150 photographs)
_BITS_PER_PIXEL = 1.3  # of photographs at a middling quality
_FORMAT = "WEBP" if features.check("webp") else "JPEG"


def thumbnails(images: Sequence[Image], *, characters: int = _ALL, characters_each: int = _EACH, side: int = _LARGEST, events: Listener = silent) -> list[str]:
    """A data URI of each picture, upright; an empty text where there is none.

    Args:
        characters: of all of them together at most.
        characters_each: of one at most.
        side: pixels of the longer side at most.
    """
    room = min(characters_each, characters // max(1, len(images)))
    small = []
    events(Started(TASK, len(images), "pictures"))
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # decoders and encoders let go of Python's lock
        for uri in threads.map(lambda image: _thumbnail(image, room, side), images):
            small.append(uri)
            events(Advanced(TASK))
    events(Finished(TASK))
    return small


def _thumbnail(image: Image, characters: int, side: int) -> str:
    if image.path is None:
        return ""
    try:
        data = read_picture(image.path)
        if image_id_of(data) != image.image_id:
            return ""
        picture = look_at(data, image.name, side).image
    except (OSError, ClipcapError):
        return ""
    head = f"data:image/{_FORMAT.lower()};base64,"
    small = _small(picture, (characters - len(head)) * 3 // 4, side)
    return head + base64.b64encode(small).decode() if small else ""


def _small(picture: Pillow.Image, room: int, largest: int) -> bytes:
    """A picture in at most `room` bytes, as large, up to `largest`, and as good as that allows; nothing if that is not enough for one that can be made out."""
    width, height = picture.size
    side = min(largest, int(math.sqrt(max(0, room) * 8 / _BITS_PER_PIXEL * max(width, height) / min(width, height))))
    while side >= _SMALLEST:
        small = picture.copy()
        small.thumbnail((side, side), Pillow.Resampling.LANCZOS, reducing_gap=2.0)
        for quality in _QUALITIES:
            stream = io.BytesIO()
            small.save(stream, _FORMAT, quality=quality, method=_EFFORT)
            if stream.tell() <= room:
                return stream.getvalue()
        side = int(side * 0.9 * math.sqrt(room / stream.tell()))  # bytes grow about as pixels do
    return b""
