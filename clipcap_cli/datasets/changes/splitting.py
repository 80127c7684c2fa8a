"""Splitting a dataset by a rule: what belongs together goes together, what has a split keeps it, and pictures that come later move no other."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from clipcap_cli.datasets.check.checking import find_duplicates
from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.datasets.splits import SplitRule, in_order, split_units
from clipcap_cli.datasets.versioning import change_dataset
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, silent
from clipcap_cli.storage.home import Home
from clipcap_cli.words import count

FOLDER = "folder"
NEAR_DUPLICATES = "near-duplicates"
BY_SOURCE, BY_HASH, BY_RULE = "source", "hash", "rule"  # what decided the splits of a version


@dataclass(frozen=True)
class SplitResult:
    """What became of it.

    Attributes:
        dataset: the new version; the one before if nothing moved.
        moved: pictures that have another split now.
        torn: names of pictures that belong together and are in several splits, since the source says so or since they were there before.
    """

    dataset: Dataset
    moved: int
    torn: tuple[tuple[str, ...], ...]


def split_dataset(dataset: Dataset, rule: SplitRule, *, anew: bool = False, events: Listener = silent) -> SplitResult:
    """Split a dataset, and remember the rule for pictures that are added later.

    Splits that the source gives are kept, and so are those of the same rule; those of another rule, or of none, are made anew.

    Args:
        anew: the source's splits are not kept either.

    Raises:
        InputError: the rule names a tag that the pictures do not have.
        StoreError: the dataset is damaged, or was changed meanwhile.
    """
    pictures = dataset.entries()
    manifest = dataset.manifest
    keeps = not anew and (dataset.splits_by == BY_SOURCE or rule == manifest.split_rule)
    fixed = _fixed(pictures) if keeps else {}
    units = units_of(pictures, rule, dataset.home, dataset.name, events)
    found = split_units(units, rule, fixed, _strata(pictures, rule))
    # Two files of one picture may be in two splits by the source's own word: each keeps its own.
    settled = [picture if keeps and picture.split else replace(picture, split=found[picture.image_id]) for picture in pictures]
    moved = sum(new.split != old.split for new, old in zip(settled, pictures, strict=True))
    change = f"split {told(rule)}: {count(moved, 'picture')} moved"
    wanted = replace(manifest, split_rule=rule, keeps_source_splits=dataset.splits_by == BY_SOURCE and not anew)
    splits_by = dataset.splits_by if wanted.keeps_source_splits else BY_RULE
    made = change_dataset(dataset, settled, made_by="split", change=change, manifest=wanted, splits_by=splits_by, is_changed=dataset.is_changed, events=events)
    return SplitResult(made, moved, torn(settled, units))


def decide(pictures: Sequence[Picture], rule: SplitRule, fixed: Mapping[str, str], home: Home, name: str, *, events: Listener = silent) -> dict[str, str]:
    """The split of each id by a rule that was set before; what is `fixed` stays.

    Args:
        name: of the dataset that they are, or will be, pictures of.

    Raises:
        InputError: the rule names a tag that the pictures do not have.
    """
    return split_units(units_of(pictures, rule, home, name, events), rule, fixed, _strata(pictures, rule))


def units_of(pictures: Sequence[Picture], rule: SplitRule, home: Home, name: str, events: Listener = silent) -> list[list[str]]:
    """Ids that go together by the rule; a picture that is there twice, in two groups, joins the two.

    Raises:
        InputError: the rule names a tag that the pictures do not have.
    """
    if rule.group is None:
        groups: Iterable[Sequence[str]] = ()
    elif rule.group == NEAR_DUPLICATES:
        groups = find_duplicates(home, name, pictures, events=events)
    else:
        by_key: defaultdict[Hashable, list[str]] = defaultdict(list)
        for picture in pictures:
            by_key[_key(picture, rule.group, "--group")].append(picture.image_id)
        groups = by_key.values()
    return joined([picture.image_id for picture in pictures], groups)


def joined(ids: Iterable[str], groups: Iterable[Sequence[str]]) -> list[list[str]]:
    """The ids, those that are in one group, or in groups that share some, together; each once."""
    parent: dict[str, str] = {image_id: image_id for image_id in ids}

    def root(image_id: str) -> str:
        while parent[image_id] != image_id:
            parent[image_id] = parent[parent[image_id]]
            image_id = parent[image_id]
        return image_id

    for group in groups:
        for image_id in group[1:]:
            parent[root(image_id)] = root(group[0])
    units: defaultdict[str, list[str]] = defaultdict(list)
    for image_id in parent:
        units[root(image_id)].append(image_id)
    return list(units.values())


def torn(pictures: Sequence[Picture], units: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """The names of pictures that belong together and are in more than one split."""
    by_id: defaultdict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        by_id[picture.image_id].append(picture)
    found = []
    for unit in units:
        members = [picture for image_id in unit for picture in by_id[image_id]]
        if len({picture.split for picture in members if picture.split}) > 1:
            found.append(tuple(f"{picture.name} ({picture.split})" for picture in members))
    return tuple(found)


def told(rule: SplitRule) -> str:
    """A rule for people: "80 % train, 10 % val, 10 % test by seed 0"."""
    shares = ", ".join(f"{share * 100:g} % {split}" for split, share in in_order_of(rule.shares))
    group = f", {rule.group} together" if rule.group else ""
    return f"{shares} by seed {rule.seed}{group}{f', even over {rule.stratify}' if rule.stratify else ''}"


def in_order_of(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    """Shares in the order of splits."""
    return [(split, shares[split]) for split in in_order(Counter(dict.fromkeys(shares, 1)))]


def _fixed(pictures: Sequence[Picture]) -> dict[str, str]:
    fixed: dict[str, str] = {}
    for picture in pictures:
        if picture.split:
            fixed.setdefault(picture.image_id, picture.split)
    return fixed


def _strata(pictures: Sequence[Picture], rule: SplitRule) -> dict[str, str] | None:
    if rule.stratify is None:
        return None
    return {picture.image_id: _key(picture, rule.stratify, "--stratify") for picture in reversed(pictures)}


def _key(picture: Picture, what: str, flag: str) -> str:
    if what == FOLDER:
        return posixpath.dirname(picture.name)
    try:
        return picture.tags[what]
    except KeyError:
        known = ", ".join(picture.tags) or "none"
        raise InputError(
            f"the picture {picture.name!r} has no tag {what!r}; it has {known}",
            where=flag,
            hint=f"Use `folder`, or add the dataset again with --keep-column {what}.",
        ) from None
