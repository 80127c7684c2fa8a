"""Which pictures are learned from, and which are kept to judge by.

A split that the source gives is kept. Where it gives none, a picture's own hash decides, so that pictures which are added later never move the others.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

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


def splits_of_places(places: Mapping[str, str]) -> dict[str, str]:
    """Which split each folder or file of a source is, by the word in its name that may say so ("" for none).

    Returns:
        The split of every place; empty if some are none, or if there are not several with one to learn from: a lone folder named "test" is no split.
    """
    splits = {place: _MEANING.get(word.strip().casefold(), "") for place, word in places.items()}
    return splits if all(splits.values()) and len(set(splits.values())) > 1 and "train" in splits.values() else {}


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


USUAL: Mapping[str, float] = MappingProxyType({"train": 0.8, "val": 0.1, "test": 0.1})


@dataclass(frozen=True)
class SplitRule:
    """How a dataset is split where its source does not say.

    Attributes:
        shares: of the pictures, by split; they add up to 1.
        seed: other seeds, other splits.
        group: what must not be torn apart: "near-duplicates", "folder", or a tag; None for nothing but the same picture.
        stratify: what each split shall have the same share of: "folder", or a tag; None for nothing.
    """

    shares: Mapping[str, float] = field(default_factory=lambda: USUAL)
    seed: int = 0
    group: str | None = None
    stratify: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where the shares are none."""
        if not self.shares or min(self.shares.values()) < 0 or not math.isclose(sum(self.shares.values()), 1, abs_tol=1e-6):
            raise ValueError(f"the shares {dict(self.shares)} do not add up to 1")

    def as_json(self) -> dict[str, Any]:
        """For dataset.json."""
        return {"shares": dict(self.shares), "seed": self.seed, "group": self.group, "stratify": self.stratify}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> SplitRule:
        """What `as_json` made.

        Raises:
            TypeError, ValueError, KeyError: it is something else.
        """
        shares = {str(split): float(share) for split, share in facts["shares"].items()}
        return cls(shares, int(facts["seed"]), facts.get("group"), facts.get("stratify"))


def split_units(units: Sequence[Sequence[str]], rule: SplitRule, fixed: Mapping[str, str], strata: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give every picture a split, whole units together; what is `fixed` stays, so that pictures which come later move no other.

    Args:
        units: ids that belong together, each id in one unit.
        fixed: splits by id. A unit that has some goes where most of them are.
        strata: the stratum of each id; a unit is in that of its first id.

    Returns:
        Split by id, of all ids of all units.
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)  # pictures by split, for each stratum
    sizes: Counter[str] = Counter()
    found: dict[str, str] = {}
    open_units: list[tuple[float, str, Sequence[str]]] = []
    for unit in units:
        stratum = strata[unit[0]] if strata else ""
        sizes[stratum] += len(unit)
        there = Counter(fixed[image_id] for image_id in unit if image_id in fixed)
        if not there:
            open_units.append((_place(rule.seed, min(unit)), stratum, unit))
            continue
        most = max(in_order(there).items(), key=lambda pair: pair[1])[0]
        for image_id in unit:
            found[image_id] = fixed.get(image_id, most)
            counts[stratum][found[image_id]] += 1
    for place, stratum, unit in sorted(open_units):
        of = counts[stratum]
        # Without strata a picture's place decides alone; within one, the split that lacks most.
        split = _by_lack(rule, of, sizes[stratum]) if strata else _by_place(rule, place)
        of[split] += len(unit)
        found.update(dict.fromkeys(unit, split))
    return found


def _place(seed: int, image_id: str) -> float:
    """A number from 0 to below 1 that follows from seed and id."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{image_id}".encode()).digest()[:8]) / 2**64


def _by_place(rule: SplitRule, place: float) -> str:
    end = 0.0
    for split, share in rule.shares.items():
        end += share
        if place < end:
            return split
    return [split for split, share in rule.shares.items() if share][-1]  # sums of shares may end a little below 1


def _by_lack(rule: SplitRule, counts: Mapping[str, int], size: int) -> str:
    return max((split for split in rule.shares if rule.shares[split]), key=lambda split: rule.shares[split] * size - counts[split])


def in_order(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by split: train, val, test, then the others by name."""
    return {split: counts[split] for split in (*SPLITS, *sorted(set(counts) - set(SPLITS))) if split in counts}
