"""How pictures and captions go together, and pictures that are there more than once."""

from __future__ import annotations

from collections import Counter

from clipcap_cli.datasets.check import remedies
from clipcap_cli.datasets.check.findings import Finding, shown
from clipcap_cli.datasets.check.material import Check, Material
from clipcap_cli.datasets.records import Severity
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.words import count


def uneven_captions(material: Material) -> Finding | None:
    """Pictures with fewer or more captions than most: they weigh less or more when it is learned."""
    numbers = Counter(len(picture.captions) for picture in material.pictures)
    if len(numbers) < 2:
        return None
    usual = numbers.most_common(1)[0][0]
    others = [picture for picture in material.pictures if len(picture.captions) != usual]
    few, many = (limit(number for number in numbers if number != usual) for limit in (min, max))
    told = f"{few} to {many} captions" if few != many else count(few, "caption")
    message = f"{count(len(others), 'picture')} with {told}, where most have {usual}: each caption counts alike, so they count more or less"
    examples = [f"{picture.name}: {count(len(picture.captions), 'caption')}" for picture in others]
    return Finding("uneven-captions", "info", len(others), message, shown(examples), "Nothing needs to be done.", _names(others))


def same_picture(material: Material) -> Finding | None:
    """Files with the same bytes and the same captions."""
    return _same(material, "duplicate-picture", "info", "the same captions", same_captions=True)


def same_picture_other_captions(material: Material) -> Finding | None:
    """Files with the same bytes of which different things are said."""
    return _same(material, "duplicate-picture-other-captions", "info", "different captions", same_captions=False)


def _same(material: Material, kind: str, severity: Severity, captions: str, *, same_captions: bool) -> Finding | None:
    several = [pictures for pictures in material.by_id.values() if len(pictures) > 1]
    found = [pictures for pictures in several if (len({frozenset(picture.captions) for picture in pictures}) == 1) == same_captions]
    if not found:
        return None
    files = [picture for pictures in found for picture in pictures]
    message = f"{count(len(found), 'picture')} in several files ({len(files):,}) with {captions}"
    examples = [" = ".join(picture.name for picture in pictures) for pictures in found]
    remedy = f"{remedies.fix(material.name)} (makes one of those that are in the same split)"
    return Finding(kind, severity, len(found), message, shown(examples), remedy, _names(files))


def near_duplicates(material: Material) -> Finding | None:
    """Copies that were resized, re-encoded, cropped or brightened."""
    if not material.groups:
        return None
    files = [picture for group in material.groups for image_id in group for picture in material.by_id.get(image_id, ())]
    message = f"{count(len(material.groups), 'group')} of nearly the same pictures ({count(len(files), 'picture')}): what is said of them counts more often"
    examples = [" ~ ".join(material.by_id[image_id][0].name for image_id in group if image_id in material.by_id) for group in material.groups]
    remedy = f"Keep them in one split: {remedies.split_anew(material.name, 'near-duplicates')}"
    return Finding("near-duplicates", "info", len(material.groups), message, shown(examples), remedy, _names(files))


def _names(pictures: list[Picture]) -> tuple[str, ...]:
    return tuple(picture.name for picture in pictures)


CHECKS: tuple[Check, ...] = (uneven_captions, same_picture, same_picture_other_captions, near_duplicates)
