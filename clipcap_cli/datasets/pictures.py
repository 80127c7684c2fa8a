"""Pictures as they are meant to be seen: right side up, RGB, eight bits a channel.

Bytes come in, a Pillow image or its size goes out, or an InputError that says what the bytes are instead. Only picture formats are tried (Pillow would also
start on documents and video), and a picture that would fill the memory is refused by its header.
"""

from __future__ import annotations

import errno
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from clipcap_cli.datasets.places import Place, read_place
from clipcap_cli.errors import InputError
from clipcap_cli.storage.reading import check_plain

# The largest phone cameras make 200 megapixels; what is larger is 600 MB and more of RGB, and hardly ever meant.
MAX_PIXELS = 200_000_000
# A picture file of more bytes is not read: it would not fit beside others into memory.
MAX_BYTES = 1 << 29

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "MPO", "PPM", "AVIF", "JPEG2000")
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".ppm", ".pgm", ".jp2"})

_SIXTEEN_BITS = 65_535
_EIGHT_BITS = 255
_STRIP = 1_024  # rows
_SIDEWAYS = (5, 6, 7, 8)  # the EXIF orientations that swap width and height

# Where Pillow keeps what may have an orientation in it; TIFF has it among its tags.
_HAS_EXIF = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})

_PNG_MARKS = (b"eXIf", b"Raw profile type", b"tiff:Orientation")

# What people have under a picture's name, by how it begins.
_IMPOSTORS = (
    ((b"<!doctype html", b"<html", b"<head", b"<body"), "this is a web page (HTML), not a picture"),
    ((b"<svg", b"<?xml"), "this is a drawing or document in XML (SVG, perhaps), not a picture of pixels"),
    ((b"version https://git-lfs",), "this is a Git LFS pointer, not the picture itself (git lfs pull fetches it)"),
    ((b"%pdf",), "this is a PDF document, not a picture"),
    ((b"{", b"["), "this is text (JSON, perhaps), not a picture"),
)

_opening = threading.RLock()


class TooManyPixelsError(InputError):
    """A picture's header asks for more pixels than are read."""


def open_picture(data: bytes, where: str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture: the first frame, upright, RGB, transparency on white.

    Args:
        data: the bytes of a file.
        where: its name, for errors.
        max_pixels: a picture of more is not decoded.

    Returns:
        An image of mode RGB that holds its pixels.

    Raises:
        TooManyPixelsError: its header tells of more than `max_pixels`.
        InputError: the bytes are no picture, or are cut short.
    """
    image = _open(data, where, max_pixels)
    try:
        return to_rgb(image)
    except Exception as error:  # decoders raise whatever damaged bytes lead them to
        raise _unreadable(error, where) from error


def read_picture(path: Path | Place) -> bytes:
    """The bytes of a picture, wherever it lies.

    Raises:
        OSError: it cannot be read, is no plain file, or has more than MAX_BYTES.
    """
    if isinstance(path, Place):
        data = read_place(path, MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise OSError(errno.EFBIG, f"it has more than the {MAX_BYTES:,} bytes that are read", str(path))
        return data
    check_plain(path, MAX_BYTES)
    return path.read_bytes()


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a picture tells: width and height in pixels, as seen upright, and Pillow's name of the format."""

    width: int
    height: int
    format: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height


def picture_header(data: bytes, where: str) -> Header:
    """What the header tells; the pixels are decoded only where they must be to know.

    Raises:
        InputError: as `open_picture`, as far as the header shows it.
    """
    image = _open(data, where)
    sideways = _orientation(image) in _SIDEWAYS
    # A PNG may have its EXIF data behind the pixels, and a TIFF is turned by some versions of Pillow when it is opened, by others when it is decoded.
    if (image.format == "PNG" and any(mark in data for mark in _PNG_MARKS)) or (image.format == "TIFF" and sideways):
        return Header(*open_picture(data, where).size, str(image.format))
    width, height = image.size
    return Header(height, width, str(image.format)) if sideways else Header(width, height, str(image.format))


@dataclass(frozen=True, slots=True)
class Sight:
    """A picture as it is looked at, not embedded.

    Attributes:
        image: upright, RGB, and perhaps smaller than it is.
        format: Pillow's name of it.
        turned: its EXIF data say that it is stored another way up.
        animated: it has more than one frame or page.
    """

    image: Image.Image
    format: str
    turned: bool
    animated: bool


def look_at(data: bytes, where: str, side: int) -> Sight:
    """Decode a picture to its end, as small as its format allows, but with no side below `side` pixels that was above: a JPEG then takes a third of the time.

    Raises:
        InputError: as `open_picture`.
    """
    opened = _open(data, where)
    form, turned = str(opened.format), _orientation(opened) != 1
    try:
        # Phones put depth and brightness maps behind a JPEG: that is MPO, and no animation.
        animated = form != "MPO" and bool(getattr(opened, "is_animated", False))
        opened.draft("RGB", (side, side))
        return Sight(to_rgb(opened), form, turned, animated)
    except Exception as error:
        raise _unreadable(error, where) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """An opened picture upright and as RGB: 16 bits scaled to 8, transparency on white.

    Args:
        image: any Pillow image; it is not changed, but may be returned as it is.

    Returns:
        An image of mode RGB.
    """
    image.load()
    sixteen_bits = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
    if _orientation(image) != 1:
        with _quiet():
            image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image, sixteen_bits).convert("RGB")
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return _on_white(image if image.mode == "RGBA" else _with_alpha(image))
    return image.convert("RGB")


def _open(data: bytes, where: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    try:
        with _quiet():
            image = Image.open(io.BytesIO(data), formats=_formats())
    except Exception as error:
        raise _unreadable(error, where, data) from error
    width, height = image.size
    if width * height > max_pixels:
        raise TooManyPixelsError(
            f"this picture has {width:,} x {height:,} = {width * height / 1e6:,.0f} megapixels, more than the {max_pixels / 1e6:g} that are read",
            where=where,
            hint="Scale it down, or leave it out.",
        )
    return image


@contextmanager
def _quiet() -> Iterator[None]:
    # Pillow warns of large pictures and of small faults in headers, and gives up at a size of its own. Both are settings of the whole process, so they are
    # changed only while a header is read, by one thread at a time, and the size is judged by the caller.
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _unreadable(error: Exception, where: str, data: bytes = b"") -> InputError:
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    hint = "Get it again from where it came, or leave it out."
    if isinstance(error, MemoryError):
        return InputError("this picture does not fit into memory", where=where, hint="Scale it down, or leave it out.")
    if data == b"" and isinstance(error, UnidentifiedImageError):
        return InputError("the file is empty", where=where, hint=hint)
    for marks, message in _IMPOSTORS:
        if start.startswith(marks):
            return InputError(message, where=where, hint=hint)
    if isinstance(error, UnidentifiedImageError):
        return InputError("this is not a picture in a known format, or its header is cut short", where=where, hint=hint)
    return InputError(f"this picture is damaged or cut short ({error})", where=where, hint=hint)


def _orientation(image: Image.Image) -> int:
    if image.format != "TIFF" and _HAS_EXIF.isdisjoint(image.info):
        return 1
    try:
        with _quiet():
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data says nothing; the pixels may still be right
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _with_alpha(image: Image.Image) -> Image.Image:
    # Premultiplied modes know only their own way to RGBA.
    if image.mode == "La":
        image = image.convert("LA")
    return image.convert("RGBA")


def _on_white(layer: Image.Image) -> Image.Image:
    """An RGBA picture on white, strip by strip: at 200 megapixels each copy of the whole has 800 MB."""
    width, height = layer.size
    made = Image.new("RGB", layer.size)
    for top in range(0, height, _STRIP):
        strip = layer.crop((0, top, width, min(height, top + _STRIP)))
        made.paste(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB"), (0, top))
    return made


def _eight_bits(image: Image.Image, sixteen_bits: bool) -> Image.Image:
    import numpy as np

    values = np.asarray(image, dtype=np.float64)
    values = np.where(np.isfinite(values), values, 0.0)
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    if sixteen_bits:
        low, high = 0.0, _SIXTEEN_BITS
    elif low >= 0.0:  # whole numbers and floats have no agreed white: take the smallest usual one that holds them
        usual = (1.0, _EIGHT_BITS, _SIXTEEN_BITS) if image.mode == "F" else (_EIGHT_BITS, _SIXTEEN_BITS)
        low, high = 0.0, next((white for white in usual if high <= white), high)
    scaled = (values - low) * (_EIGHT_BITS / (high - low)) if high > low else np.zeros_like(values)
    return Image.fromarray(np.rint(scaled).astype(np.uint8))
