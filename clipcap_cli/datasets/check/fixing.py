"""`fix_dataset`: a version in which is mended what can be mended without knowing what it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from clipcap_cli.datasets.check.mending import without_entities, without_mojibake, without_stray_space
from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.datasets.versioning import change_dataset
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.events import Listener, silent
from clipcap_cli.words import count

_MENDED: Mapping[str, Callable[[str], str]] = {"mojibake": without_mojibake, "html-entity": without_entities, "stray-space": without_stray_space}
_JOINED, _ONCE = "duplicate-picture", "said-twice"


@dataclass(frozen=True)
class Fixed:
    """What `fix_dataset` did.

    Attributes:
        dataset: the new version; the one it was if there was nothing to mend.
        counts: how many were mended, by the kind of finding.
    """

    dataset: Dataset
    counts: Mapping[str, int]


def fix_dataset(dataset: Dataset, *, events: Listener = silent) -> Fixed:
    """Make a version in which captions have no mojibake, HTML entities or stray blanks, and no picture is twice in a split or has a caption twice.

    The source and its files are not touched.

    Raises:
        StoreError: the dataset is damaged, was changed meanwhile, or cannot be written.
    """
    pictures, counts = mend_pictures(dataset.entries())
    if not counts:
        return Fixed(dataset, counts)
    return Fixed(change_dataset(dataset, pictures, made_by="fix", change=_told(counts), events=events), counts)


def mend_pictures(pictures: Sequence[Picture]) -> tuple[list[Picture], Counter[str]]:
    """The pictures mended, and how many captions and pictures were, by the kind of finding."""
    counts: Counter[str] = Counter()
    joined: dict[tuple[str, str | None], Picture] = {}
    for picture in pictures:
        mended = replace(picture, captions=tuple(_mend(caption, counts) for caption in picture.captions))
        key = (picture.image_id, picture.split)
        if key in joined:
            counts[_JOINED] += 1
            # Both files had the caption rightly: that it is there once now is no mending.
            new = tuple(caption for caption in mended.captions if caption not in joined[key].captions)
            mended = replace(joined[key], captions=joined[key].captions + new)
        joined[key] = mended
    once = [replace(picture, captions=tuple(dict.fromkeys(picture.captions))) for picture in joined.values()]
    counts[_ONCE] = sum(len(before.captions) - len(after.captions) for before, after in zip(joined.values(), once, strict=True))
    return once, +counts


def _mend(caption: str, counts: Counter[str]) -> str:
    for kind, mend in _MENDED.items():
        mended = mend(caption)
        counts[kind] += mended != caption
        caption = mended
    return caption


def _told(counts: Mapping[str, int]) -> str:
    captions = {"mojibake": "with mojibake", "html-entity": "with HTML entities", "stray-space": "with stray blanks", _ONCE: "said twice"}
    parts = [f"{count(counts[kind], 'caption')} {what}" for kind, what in captions.items() if kind in counts]
    if _JOINED in counts:
        parts.append(f"{count(counts[_JOINED], 'copy')} of pictures in the same split")
    return f"mended: {', '.join(parts)}"
