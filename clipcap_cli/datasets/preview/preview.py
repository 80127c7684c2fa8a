"""What the page of a dataset shows, handed to `page.html.jinja`, which escapes all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipcap_cli.datasets.dataset import Dataset, Image
from clipcap_cli.datasets.manifest import read_manifest
from clipcap_cli.datasets.pages.page import write_page
from clipcap_cli.datasets.pages.thumbnails import thumbnails
from clipcap_cli.datasets.preview.sampling import sample
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, silent

# Pictures. The file then has 20 MB, about the most that mail takes, and each picture 10,000 characters: 250 pixels of a photograph.
LIMIT = 2_000

_ALL = 20_000_000  # characters of all pictures together
_LEAST = 2_000  # characters of one, where more pictures are asked for than that has room for: 80 pixels
_EACH, _SIDE = 48_000, 640  # characters and pixels of one at most: where there are few, they fill a screen
_WITHOUT_SCRIPT = 24  # are shown
_FIGURES = 6  # splits that the head of the page names
_NOT_SHOWN = "cannot be shown"

Card = dict[str, Any]


@dataclass(frozen=True)
class Preview:
    """What a page has come to.

    Attributes:
        pictures: of the dataset, or of the split that was asked for.
        shown: of them are on the page.
        unreadable: of those cannot be shown: their file is gone, damaged or another one by now, or only their embedding is known.
    """

    path: Path
    pictures: int
    shown: int
    unreadable: int


def write_preview(
    dataset: Dataset,
    path: Path,
    *,
    problems: Mapping[str, Sequence[str]] | None = None,
    split: str | None = None,
    limit: int = LIMIT,
    events: Listener = silent,
) -> Preview:
    """Write a dataset as one HTML file.

    Args:
        path: of the file; one that is there is replaced.
        problems: by kind, the names of the pictures that have it; names that the dataset lacks are passed over.
        split: only the pictures of this one.
        limit: pictures on the page; of more, an even sample is taken, with some of each problem.

    Raises:
        InputError: there is no such split, or no room for a picture.
        StoreError: files of the version are missing or damaged, or the page cannot be written.
    """
    if limit < 1:
        raise InputError(f"a page of {limit} pictures shows nothing", hint="Choose a limit of 1 or more.")
    if split is not None and split not in dataset.split_counts:
        raise InputError(f"the dataset {dataset.name!r} has no split {split!r}", hint=f"It has {', '.join(dataset.split_counts) or 'no splits at all'}.")
    pictures = [picture for picture in dataset.entries() if split is None or picture.split == split]
    rows_of = _rows_by_problem(pictures, problems or {})
    rows = sample(len(pictures), rows_of, limit)
    shown = [pictures[row] for row in rows]
    images = [_image(dataset, picture) for picture in shown]
    small = thumbnails(images, characters=max(_ALL, _LEAST * len(images)), characters_each=_EACH, side=_SIDE, events=events)
    cards = _cards(shown, rows, rows_of, small)
    unreadable = small.count("")
    write_page(
        path,
        Path(__file__).parent,
        dataset=dataset,
        provenance=read_manifest(dataset.home.datasets / dataset.name).provenance,
        split=split,
        pictures=len(pictures),
        captions=sum(len(picture.captions) for picture in pictures),
        figures=_figures(pictures, dataset),
        splits=_by_split(shown, dataset),
        problems=Counter(kind for card in cards for kind in card["problems"]).most_common(),
        problem_totals={kind: len(found) for kind, found in rows_of.items()} | {_NOT_SHOWN: unreadable},
        cards=cards,
        few=list(zip(cards, small, strict=True))[:_WITHOUT_SCRIPT],
        data={"pictures": cards},
        thumbnails=small,
    )
    return Preview(path, len(pictures), len(shown), unreadable)


def _rows_by_problem(pictures: Sequence[Picture], problems: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """By kind, the rows of its pictures in their order."""
    names = {kind: frozenset(named) for kind, named in problems.items()}
    found = {kind: [row for row, picture in enumerate(pictures) if picture.name in named] for kind, named in names.items()}
    return {kind: rows for kind, rows in found.items() if rows}


def _cards(pictures: Sequence[Picture], rows: Sequence[int], rows_of: Mapping[str, Sequence[int]], small: Sequence[str]) -> list[Card]:
    """What the page knows of each picture, as plain values."""
    kinds: dict[int, list[str]] = {row: [] for row in rows}
    for kind, found in rows_of.items():
        for row in found:
            if row in kinds:
                kinds[row].append(kind)
    return [
        {
            "name": picture.name,
            "captions": list(picture.captions),
            "split": picture.split,
            "size": [picture.width, picture.height],
            "problems": kinds[row] if thumbnail else [*kinds[row], _NOT_SHOWN],
            "tags": dict(picture.tags),
        }
        for picture, row, thumbnail in zip(pictures, rows, small, strict=True)
    ]


def _image(dataset: Dataset, picture: Picture) -> Image:
    return Image(picture.image_id, dataset.file_of(picture), picture.name, picture.split, picture.width, picture.height, picture.captions)


def _by_split(pictures: Sequence[Picture], dataset: Dataset) -> list[tuple[str | None, int]]:
    """How many pictures each split has, in the order of the dataset; None is no split."""
    counted = Counter(picture.split for picture in pictures)
    return [(name, counted[name]) for name in (*dataset.splits(), None) if counted[name]]


def _figures(pictures: Sequence[Picture], dataset: Dataset) -> list[tuple[str, int]]:
    """The splits with their pictures, as many as the head has room for, and the rest in one."""
    found = [(name or "no split", number) for name, number in _by_split(pictures, dataset)]
    if len(found) <= _FIGURES:
        return found
    rest = found[_FIGURES - 1 :]
    return [*found[: _FIGURES - 1], (f"{len(rest):,} others", sum(number for _, number in rest))]
