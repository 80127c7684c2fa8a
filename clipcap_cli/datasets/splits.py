"""Which pictures are learned from, and which are kept to judge by.

A split that the source gives is kept. Where it gives none, a picture's own hash decides, so that pictures which are added later never move the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SPLITS = ("train", "val", "test")

_KNOWN = {
    "train": ("train", "training", "trn", "restval"),
    "val": ("val", "valid", "validation", "dev", "development"),
    "test": ("test", "testing", "tst"),
}
_MEANING = {word: split for split, words in _KNOWN.items() for word in words}

# Ten equal parts by hash: eight to learn from, one to validate with, one to test with.
_PARTS = ("train",) * 8 + ("val", "test")


def split_name(text: str) -> str | None:
    """The split that a source means: "dev" is val; a word of its own stays as it is; an empty one is none."""
    word = text.strip()
    return _MEANING.get(word.casefold(), word or None)


def is_split(text: str) -> bool:
    """Whether a folder or file of this name is one of the usual splits."""
    return text.strip().casefold() in _MEANING


def split_by_hash(image_id: str) -> str:
    """The split of a picture by its id alone: 80 % train, 10 % val, 10 % test."""
    return _PARTS[(int(image_id[:8], 16) * len(_PARTS)) >> 32]


def assign_splits(image_ids: Iterable[str], earlier: Mapping[str, str | None]) -> dict[str, str]:
    """A split for every picture.

    Args:
        image_ids: the pictures of the version that is made.
        earlier: the splits of an earlier version, which stay.

    Returns:
        Split by id. train is never empty: if no hash falls there, the picture with the smallest one goes there.
    """
    image_ids = list(image_ids)
    splits = {image_id: earlier.get(image_id) or split_by_hash(image_id) for image_id in image_ids}
    if image_ids and "train" not in splits.values():
        splits[min((image_id for image_id in image_ids if image_id not in earlier), default=min(image_ids))] = "train"
    return splits


def in_order(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by split: train, val, test, then the others by name."""
    return {split: counts[split] for split in (*SPLITS, *sorted(set(counts) - set(SPLITS))) if split in counts}
