"""Leaving captions and pictures out of a dataset by what they are. The version before stays, so nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.datasets.versioning import change_dataset
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, silent
from clipcap_cli.words import count


@dataclass(frozen=True)
class Filter:
    """What is kept. A picture goes when none of its captions is left.

    Attributes:
        min_words, max_words: of a caption.
        match, unlike: regular expressions that a caption must, or must not, have somewhere in it.
        splits: only pictures of these.
        without: names of pictures that go.
        without_captions: captions that go, with the name of their picture.
        least_similar: of picture and caption, the cosine below which the caption goes.
    """

    min_words: int | None = None
    max_words: int | None = None
    match: str | None = None
    unlike: str | None = None
    splits: tuple[str, ...] = ()
    without: Collection[str] = ()
    without_captions: Collection[tuple[str, str]] = ()
    least_similar: float | None = None


@dataclass(frozen=True)
class Filtered:
    """What became of it: the new version, and how many captions and pictures went."""

    dataset: Dataset
    captions: int
    pictures: int


def filter_dataset(dataset: Dataset, wanted: Filter, *, similarities: Sequence[Sequence[float]] | None = None, events: Listener = silent) -> Filtered:
    """Make a version with what a filter keeps.

    Args:
        similarities: of each picture with each of its captions, in the dataset's order, where the filter asks for them.

    Raises:
        InputError: a regular expression is none, there is no such split, or nothing would be left.
        StoreError: the dataset is damaged, or was changed meanwhile.
    """
    for split in wanted.splits:
        if split not in dataset.split_counts:
            raise InputError(f"the dataset {dataset.name!r} has no split {split!r}", where="--split", hint=f"It has {', '.join(dataset.split_counts)}.")
    match, unlike = _compiled(wanted.match, "--match"), _compiled(wanted.unlike, "--unlike")
    before = dataset.entries()
    kept: list[Picture] = []
    for place, picture in enumerate(before):
        if picture.name in wanted.without or (wanted.splits and picture.split not in wanted.splits):
            continue
        of = similarities[place] if similarities is not None else [1.0] * len(picture.captions)
        captions = tuple(
            caption
            for caption, similarity in zip(picture.captions, of, strict=True)
            if (picture.name, caption) not in wanted.without_captions
            and _is_long_enough(caption, wanted)
            and (match is None or match.search(caption))
            and (unlike is None or not unlike.search(caption))
            and (wanted.least_similar is None or similarity >= wanted.least_similar)
        )
        if captions:
            kept.append(replace(picture, captions=captions))
    fewer = sum(len(picture.captions) for picture in before) - sum(len(picture.captions) for picture in kept)
    pictures = len(before) - len(kept)
    change = f"{count(fewer, 'caption')} and {count(pictures, 'picture')} left out"
    return Filtered(change_dataset(dataset, kept, made_by="filter", change=change, events=events), fewer, pictures)


def _compiled(expression: str | None, flag: str) -> re.Pattern[str] | None:
    try:
        return None if expression is None else re.compile(expression)
    except re.error as error:
        raise InputError(f"{expression!r} is no regular expression: {error}", where=flag) from error


def _is_long_enough(caption: str, wanted: Filter) -> bool:
    words = len(caption.split())
    return (wanted.min_words is None or words >= wanted.min_words) and (wanted.max_words is None or words <= wanted.max_words)
