"""What is wrong with single pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from clipcap_cli.datasets.check import remedies
from clipcap_cli.datasets.check.facts import Facts, Fault
from clipcap_cli.datasets.check.findings import Finding, shown
from clipcap_cli.datasets.check.material import Check, Material
from clipcap_cli.datasets.duplicates.thumbnails import are_flat, as_array
from clipcap_cli.datasets.records import Severity
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.words import count, size

# Encoders look at 224 pixels a side and more: here a pixel becomes more than three, and there is little to see in them.
_TINY = 64

# What takes an encoder's time only to be thrown away: 50 megapixels are a thousand times what it looks at.
_HUGE_PIXELS = 50_000_000
_HUGE_BYTES = 20_000_000

# Most encoders look at the square in the middle: of a picture three times as long as it is wide they see less than a third.
_LONG = 3.0

_FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), ("JPEG", "MPO")),
    **dict.fromkeys((".tif", ".tiff"), ("TIFF",)),
    **dict.fromkeys((".ppm", ".pgm"), ("PPM",)),
    ".png": ("PNG",),
    ".gif": ("GIF",),
    ".bmp": ("BMP",),
    ".webp": ("WEBP",),
    ".avif": ("AVIF",),
    ".jp2": ("JPEG2000",),
}
_BATCH = 8_192  # thumbnails


def unreadable(material: Material) -> Finding | None:
    """Files that are gone, or that may not be read."""
    return _faulty(material, "unreadable-picture", "unreadable", "whose file cannot be read")


def no_picture(material: Material) -> Finding | None:
    """Files that are something else by now."""
    return _faulty(material, "no-picture", "no-picture", "whose file is no picture any more")


def damaged(material: Material) -> Finding | None:
    """Files that begin as a picture and break off, or go wrong on the way."""
    return _faulty(material, "damaged-picture", "damaged", "whose file is damaged or cut short, so that it cannot be decoded to its end")


def _faulty(material: Material, kind: str, fault: Fault, what: str) -> Finding | None:
    pictures = [(picture, facts.reason) for picture, facts in material.looked_at if facts.fault == fault]
    examples = [f"{picture.name}: {reason}" for picture, reason in pictures]
    remedy = f"Put the files back, or leave the pictures out: {remedies.leave_out(material.name, kind)}"
    return _finding(kind, "error", [picture for picture, _ in pictures], f"{what}: not embedded, and left out of training", remedy, examples)


def changed(material: Material) -> Finding | None:
    """Files that have other bytes than when they were added."""
    pictures = [picture for picture, facts in material.looked_at if facts.image_id not in ("", picture.image_id)]
    remedy = f"Put the old files back, or take the new ones: {remedies.add_again(material.name, material.source)}"
    return _finding("changed-picture", "error", pictures, "whose file has changed since it was added: not embedded, and left out of training", remedy)


def tiny(material: Material) -> Finding | None:
    """Pictures with little to see in them."""
    pictures = [picture for picture in material.pictures if picture.path and min(picture.width, picture.height) < _TINY]
    what = f"with a side under {_TINY} pixels, which encoders enlarge several times"
    return _finding("tiny-picture", "warning", pictures, what, remedies.leave_out(material.name, "tiny-picture"), _with_sizes(pictures))


def huge(material: Material) -> Finding | None:
    """Pictures that take long to decode."""
    pictures = [picture for picture in material.pictures if picture.width * picture.height > _HUGE_PIXELS or picture.size > _HUGE_BYTES]
    what = f"of more than {_HUGE_PIXELS // 1_000_000} megapixels or {size(_HUGE_BYTES)}: embedding takes long, and is no better for it"
    return _finding("huge-picture", "info", pictures, what, "Scale them down to a thousand pixels a side, and add them again.", _with_sizes(pictures))


def long_shape(material: Material) -> Finding | None:
    """Pictures of which most is never seen."""
    pictures = [picture for picture in material.pictures if picture.path and max(picture.width, picture.height) > _LONG * min(picture.width, picture.height)]
    what = f"more than {_LONG:g} times as long as wide: most encoders see only the square in the middle"
    return _finding("long-picture", "warning", pictures, what, "Crop them to what their captions tell of, and add them again.", _with_sizes(pictures))


def blank(material: Material) -> Finding | None:
    """Pictures of one colour."""
    pictures: list[Picture] = []
    for start in range(0, len(material.whole), _BATCH):
        part = material.whole[start : start + _BATCH]
        flat = are_flat(as_array([facts.thumbnail for _, facts in part]))
        pictures += [picture for (picture, _), is_flat in zip(part, flat, strict=True) if is_flat]
    what = "of one colour all over, with nothing to see"
    return _finding("blank-picture", "warning", pictures, what, remedies.leave_out(material.name, "blank-picture"))


def wrong_suffix(material: Material) -> Finding | None:
    """Files that are called after another format; clipcap goes by what is in them, other programs may not."""
    found = [(picture, facts) for picture, facts in material.whole if facts.format not in _FORMATS.get(_suffix(picture), (facts.format,))]
    examples = [f"{picture.name}: {facts.format}" for picture, facts in found]
    what = "whose name ends as that of another format; clipcap goes by what is in the file, other programs may not"
    return _finding("wrong-suffix", "info", [picture for picture, _ in found], what, "Rename them, and add them again.", examples)


def animated(material: Material) -> Finding | None:
    """Pictures of which the first frame is all that is seen."""
    what = "with several frames or pages: only the first is seen"
    return _finding("animated-picture", "info", _with(material, lambda facts: facts.animated), what, "Look whether their captions tell of the first frame.")


def turned(material: Material) -> Finding | None:
    """Pictures that are stored another way up."""
    what = "stored another way up, as their EXIF data say; clipcap turns them upright, other programs may not"
    return _finding("turned-picture", "info", _with(material, lambda facts: facts.turned), what, "Nothing needs to be done.")


def without_file(material: Material) -> Finding | None:
    """Pictures of which only the embedding is known."""
    pictures = [picture for picture in material.pictures if not picture.path]
    what = "of which only the embedding is known, so that there was nothing to look at"
    return _finding("no-file", "info", pictures, what, "Add the pictures themselves to have them checked.")


def _with(material: Material, holds: Callable[[Facts], bool]) -> list[Picture]:
    return [picture for picture, facts in material.whole if holds(facts)]


def _suffix(picture: Picture) -> str:
    return PurePosixPath(picture.name).suffix.lower()


def _with_sizes(pictures: Sequence[Picture]) -> list[str]:
    return [f"{picture.name}: {picture.width} x {picture.height}, {size(picture.size)}" for picture in pictures]


def _finding(kind: str, severity: Severity, pictures: Sequence[Picture], what: str, remedy: str, examples: Sequence[str] = ()) -> Finding | None:
    names = tuple(picture.name for picture in pictures)
    return Finding(kind, severity, len(names), f"{count(len(names), 'picture')} {what}", shown(examples or names), remedy, names) if names else None


CHECKS: tuple[Check, ...] = (unreadable, no_picture, damaged, changed, tiny, huge, long_shape, blank, wrong_suffix, animated, turned, without_file)
