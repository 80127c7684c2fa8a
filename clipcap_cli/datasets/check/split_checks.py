"""Whether the splits can be learned from and judged by."""

from __future__ import annotations

from collections.abc import Sequence

from clipcap_cli.datasets.check import remedies
from clipcap_cli.datasets.check.findings import Finding, shown
from clipcap_cli.datasets.check.material import Check, Material
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.words import count

_TRAIN, _VAL, _TEST = "train", "val", "test"

# With fewer pictures a score is mostly chance: a share of one half is known to 14 % at best.
_FEW = 50

# In Flickr8k 0.7 % of the captions of val are in train as well, word for word: short sentences of dogs that run. Where it is a tenth, captions were made from
# a pattern, and what is scored is whether it was learned by heart.
_MANY_KNOWN = 0.1


def no_train(material: Material) -> Finding | None:
    """Nothing to learn from."""
    if _TRAIN in material.by_split:
        return None
    splits = ", ".join(material.by_split) or "none"
    message = f"0 pictures in the split train, which is learned from (its splits: {splits})"
    return Finding("no-train", "error", 0, message, remedy=remedies.split_larger(material.name))


def no_val(material: Material) -> Finding | None:
    """Nothing by which the best captioner is chosen."""
    if _VAL in material.by_split:
        return None
    message = "0 pictures in the split val, by which the best step of a training is chosen"
    return Finding("no-val", "warning", 0, message, remedy=remedies.split_larger(material.name))


def no_test(material: Material) -> Finding | None:
    """Nothing that was never looked at."""
    if _TEST in material.by_split:
        return None
    message = "0 pictures in the split test: scores on val are a little too good, since the best step is chosen by it"
    return Finding("no-test", "info", 0, message, remedy=remedies.split_larger(material.name))


def few_to_judge_by(material: Material) -> Finding | None:
    """Splits that are too small for a score."""
    small = {split: pictures for split in (_VAL, _TEST) if 0 < len(pictures := material.by_split.get(split, [])) < _FEW}
    if not small:
        return None
    told = " and ".join(f"{count(len(pictures), 'picture')} in {split}" for split, pictures in small.items())
    names = _names([picture for pictures in small.values() for picture in pictures])
    message = f"{told}: with fewer than {_FEW} a score is mostly chance"
    remedy = f"Add pictures, or give these splits larger shares: {remedies.split_larger(material.name)}"
    return Finding("small-split", "warning", len(names), message, (), remedy, names)


def in_no_split(material: Material) -> Finding | None:
    """Pictures that nobody looks at."""
    left = [picture for picture in material.pictures if not picture.split]
    if not left or not material.by_split:
        return None
    message = f"{count(len(left), 'picture')} in no split: they are not used"
    return Finding("in-no-split", "info", len(left), message, shown(_names(left)), remedies.split(material.name), _names(left))


def leak(material: Material) -> Finding | None:
    """The same bytes in several splits."""
    torn = [pictures for pictures in material.by_id.values() if _is_torn(pictures)]
    if not torn:
        return None
    message = f"{count(len(torn), 'picture')} in more than one split: what is learned by heart scores there"
    return _leak("leak", torn, message, material)


def near_leak(material: Material) -> Finding | None:
    """Nearly the same picture in several splits."""
    groups = [[picture for image_id in group for picture in material.by_id.get(image_id, ())] for group in material.groups]
    torn = [pictures for pictures in groups if _is_torn(pictures)]
    if not torn:
        return None
    message = f"{count(len(torn), 'group')} of nearly the same pictures in more than one split: what is learned by heart scores there"
    return _leak("near-leak", torn, message, material)


def known_captions(material: Material) -> Finding | None:
    """Captions to be judged by that were learned word for word."""
    learned = {caption for picture in material.by_split.get(_TRAIN, ()) for caption in picture.captions}
    judged = [(picture, caption) for split in (_VAL, _TEST) for picture in material.by_split.get(split, ()) for caption in picture.captions]
    hits = [(picture.name, caption) for picture, caption in judged if caption in learned]
    if len(hits) <= _MANY_KNOWN * len(judged):
        return None
    message = f"{count(len(hits), 'caption')} of val and test ({len(hits) / len(judged):.0%}) are in train as well, word for word: scores tell what was kept"
    names = tuple(dict.fromkeys(name for name, _ in hits))
    examples = shown(f"{name}: {caption}" for name, caption in hits)
    remedy = f"Look whether they are the same things; if so, split by what makes them alike (--group folder, or a kept column): {remedies.look(material.name)}"
    return Finding("known-captions", "warning", len(hits), message, examples, remedy, names, tuple(hits))


def _is_torn(pictures: Sequence[Picture]) -> bool:
    return len({picture.split for picture in pictures if picture.split}) > 1


def _leak(kind: str, torn: Sequence[Sequence[Picture]], message: str, material: Material) -> Finding:
    examples = [" ~ ".join(f"{picture.name} ({picture.split})" for picture in pictures) for pictures in torn]
    names = _names([picture for pictures in torn for picture in pictures])
    return Finding(kind, "warning", len(torn), message, shown(examples), remedies.split_anew(material.name, "near-duplicates"), names)


def _names(pictures: Sequence[Picture]) -> tuple[str, ...]:
    return tuple(picture.name for picture in pictures)


CHECKS: tuple[Check, ...] = (no_train, no_val, no_test, few_to_judge_by, in_no_split, leak, near_leak, known_captions)
