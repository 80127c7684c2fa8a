"""What differs between two datasets, or two versions of one: pictures by their bytes, captions, splits, names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.datasets.versions import Picture


@dataclass(frozen=True)
class Change:
    """One thing that differs: the picture's name, and what it was and is."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Differences:
    """What the second has and the first has not, and the other way round.

    Attributes:
        added, removed: names of pictures.
        captions_added, captions_removed: of pictures that are in both.
        moved: pictures that are in another split.
        renamed: pictures that have another name.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    captions_added: tuple[Change, ...]
    captions_removed: tuple[Change, ...]
    moved: tuple[Change, ...]
    renamed: tuple[Change, ...]

    def as_dict(self) -> dict[str, list[Any]]:
        """For JSON."""
        return {
            key: [vars_of(it) if isinstance(it, Change) else it for it in value]
            for key, value in ((key, getattr(self, key)) for key in self.__dataclass_fields__)
        }


def vars_of(change: Change) -> dict[str, str]:
    """A change as JSON."""
    return {"image": change.name, "before": change.before, "after": change.after}


def differences(first: Dataset, second: Dataset) -> Differences:
    """Compare two.

    Raises:
        StoreError: one of them is damaged.
    """
    old, new = _by_id(first), _by_id(second)
    captions_added, captions_removed, moved, renamed = [], [], [], []
    for image_id, after in new.items():
        before = old.get(image_id)
        if before is None:
            continue
        name = after[0].name
        was, now = _captions(before), _captions(after)
        captions_added += [Change(name, "", caption) for caption in now if caption not in was]
        captions_removed += [Change(name, caption, "") for caption in was if caption not in now]
        if _told(before, "split") != _told(after, "split"):
            moved.append(Change(name, _told(before, "split"), _told(after, "split")))
        if _told(before, "name") != _told(after, "name"):
            renamed.append(Change(name, _told(before, "name"), _told(after, "name")))
    return Differences(
        added=tuple(picture.name for image_id, pictures in new.items() if image_id not in old for picture in pictures),
        removed=tuple(picture.name for image_id, pictures in old.items() if image_id not in new for picture in pictures),
        captions_added=tuple(captions_added),
        captions_removed=tuple(captions_removed),
        moved=tuple(moved),
        renamed=tuple(renamed),
    )


def _by_id(dataset: Dataset) -> dict[str, list[Picture]]:
    found: dict[str, list[Picture]] = {}
    for picture in dataset.entries():
        found.setdefault(picture.image_id, []).append(picture)
    return found


def _captions(pictures: Sequence[Picture]) -> dict[str, None]:
    """In their order."""
    return dict.fromkeys(caption for picture in pictures for caption in picture.captions)


def _told(pictures: Sequence[Picture], what: str) -> str:
    return ", ".join(sorted({str(getattr(picture, what) or "no split") for picture in pictures}))
