"""Small copies of pictures as data URIs, so that a report of thousands of them is still a file that can be sent.

All together take a fixed number of characters at most: the more pictures, the smaller each, and the more it is compressed. A picture that cannot be shown is an
empty text and no error: its file may be gone, damaged, or another one than the one that was captioned.
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
from clipcap_cli.datasets.pictures import open_picture, read_picture
from clipcap_cli.errors import ClipcapError
from clipcap_cli.storage.hashing import image_id_of

_ALL = 10_000_000  # characters of all data URIs together
_EACH = 16_000  # characters of one at most: 320 pixels need no more
_LARGEST, _SMALLEST = 320, 40  # pixels of the longer side
_QUALITIES = (75, 50, 25)
_BITS_PER_PIXEL = 1.3  # of photographs at a middling quality
_FORMAT = "WEBP" if features.check("webp") else "JPEG"


def thumbnails(images: Sequence[Image], *, characters: int = _ALL) -> list[str]:
    """A data URI of each picture, upright; an empty text where there is none.

    Args:
        characters: of all of them together at most.
    """
    each = min(_EACH, characters // max(1, len(images)))
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # decoders and encoders let go of Python's lock
        return list(threads.map(lambda image: _thumbnail(image, each), images))


def _thumbnail(image: Image, characters: int) -> str:
    if image.path is None:
        return ""
    try:
        data = read_picture(image.path)
        if image_id_of(data) != image.image_id:
            return ""
        picture = open_picture(data, image.name)
    except (OSError, ClipcapError):
        return ""
    head = f"data:image/{_FORMAT.lower()};base64,"
    small = _small(picture, (characters - len(head)) * 3 // 4)
    return head + base64.b64encode(small).decode() if small else ""


def _small(picture: Pillow.Image, room: int) -> bytes:
    """A picture in at most `room` bytes, as large and as good as that allows; nothing if that is not enough for one that can be made out."""
    width, height = picture.size
    side = min(_LARGEST, int(math.sqrt(max(0, room) * 8 / _BITS_PER_PIXEL * max(width, height) / min(width, height))))
    while side >= _SMALLEST:
        small = picture.copy()
        small.thumbnail((side, side), Pillow.Resampling.LANCZOS, reducing_gap=2.0)
        for quality in _QUALITIES:
            stream = io.BytesIO()
            small.save(stream, _FORMAT, quality=quality)
            if stream.tell() <= room:
                return stream.getvalue()
        side = int(side * 0.9 * math.sqrt(room / stream.tell()))  # bytes grow about as pixels do
    return b""
