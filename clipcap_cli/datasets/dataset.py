"""A dataset as it lies in the store: opened by name from two small files; its pictures are read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clipcap_cli.datasets.records import Problem
from clipcap_cli.datasets.versions import (
    CAPTIONS_FILE,
    DATASET_FILE,
    IMAGES_FILE,
    PROBLEMS_FILE,
    VERSION_FILE,
    damaged,
    read_columns,
    read_json,
    read_problems,
    version_folder,
)
from clipcap_cli.errors import InputError
from clipcap_cli.storage.atomic import remove_folder
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.storage.locks import hold
from clipcap_cli.storage.names import unknown

_LISTING = "clipcap dataset list"


@dataclass(frozen=True, slots=True)
class Image:
    """A picture of a dataset.

    Attributes:
        image_id: the first 32 hex digits of the SHA-256 of its bytes.
        path: where it lies.
        name: its path relative to the source.
        split: train, val, test or a name of the source's own; None if the source puts it into none.
        width, height: in pixels, as seen upright.
        captions: at least one.
    """

    image_id: str
    path: Path
    name: str
    split: str | None
    width: int
    height: int
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """One version of a dataset. Everything but `images` and `problems` is known without reading more.

    Attributes:
        source: the folder or file that it was added from.
        layout, reason: how the source was read, and why so.
        created: when this version was made, ISO 8601 with time zone.
        pictures, captions: how many.
        split_counts: pictures by split.
        problem_counts: problems by kind, the most frequent first; severity_counts: by severity.
    """

    home: Home
    name: str
    version: int
    source: Path
    layout: str
    reason: str
    created: str
    pictures: int
    captions: int
    split_counts: Mapping[str, int] = field(compare=False)
    problem_counts: Mapping[str, int] = field(compare=False)
    severity_counts: Mapping[str, int] = field(compare=False)
    digest: str = field(repr=False)

    @property
    def folder(self) -> Path:
        """Where this version lies."""
        return version_folder(self.home.datasets / self.name, self.version)

    def images(self, split: str | None = None) -> list[Image]:
        """The pictures, or those of one split, always in the order of their names.

        Raises:
            InputError: there is no such split.
            StoreError: files of the version are missing or damaged.
        """
        if split is not None and split not in self.split_counts:
            raise InputError(f"the dataset {self.name!r} has no split {split!r}", hint=f"It has {', '.join(self.split_counts) or 'no splits at all'}.")
        columns = read_columns(self.folder / IMAGES_FILE, ["image_id", "path", "name", "split", "width", "height"])
        captions: list[list[str]] = [[] for _ in columns[0]]
        rows, texts = read_columns(self.folder / CAPTIONS_FILE, ["row", "caption"])
        if len(captions) != self.pictures or len(texts) != self.captions or max(rows, default=0) >= self.pictures:
            raise damaged(self.folder / IMAGES_FILE, "its pictures are not those of the other files")
        for row, text in zip(rows, texts, strict=True):
            captions[row].append(text)
        return [
            Image(image_id, Path(path), name, of, width, height, tuple(told))
            for image_id, path, name, of, width, height, told in zip(*columns, captions, strict=True)
            if split is None or of == split
        ]

    def splits(self) -> dict[str, int]:
        """How many pictures each split has: train, val, test, then others; pictures in no split are not counted."""
        return dict(self.split_counts)

    def problems(self) -> list[Problem]:
        """What was left out or decided when this version was added.

        Raises:
            StoreError: the list is missing or damaged.
        """
        return read_problems(self.folder / PROBLEMS_FILE)


def open_dataset(name: str, *, home: Home | None = None, version: int | None = None) -> Dataset:
    """A dataset by name, in its current version or an older one.

    Raises:
        InputError: there is no such dataset or version.
        StoreError: its files are missing or damaged.
    """
    home = home or open_home()
    if name not in _names(home):
        raise unknown("dataset", name, _names(home), listing=_LISTING)
    folder = home.datasets / name
    path = folder / DATASET_FILE
    current = read_json(path).get("current")
    if not isinstance(current, int):
        raise damaged(path, "it does not say which version is the current one")
    if version is not None and not 1 <= version <= current:
        raise InputError(f"the dataset {name!r} has no version {version}", hint=f"It has versions 1 to {current}.")
    number = version or current
    file = version_folder(folder, number) / VERSION_FILE
    facts = read_json(file)
    try:
        return Dataset(
            home=home,
            name=name,
            version=number,
            source=Path(facts["source"]),
            layout=facts["layout"],
            reason=facts["reason"],
            created=facts["created"],
            pictures=facts["pictures"],
            captions=facts["captions"],
            split_counts=dict(facts["splits"]),
            problem_counts=dict(facts["problems"]),
            severity_counts=dict(facts["severities"]),
            digest=facts["digest"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(file, f"it lacks {error}") from error


def list_datasets(home: Home) -> list[Dataset]:
    """Every dataset of a store in its current version, by name.

    Raises:
        StoreError: one of them is damaged; it can be removed all the same.
    """
    return [open_dataset(name, home=home) for name in _names(home)]


def remove_dataset(home: Home, name: str) -> None:
    """Remove a dataset with all its versions; the pictures stay where they are.

    Raises:
        InputError: there is no such dataset.
        StoreError: another process is changing it, or it cannot be removed.
    """
    if name not in _names(home):
        raise unknown("dataset", name, _names(home), listing=_LISTING)
    with hold(home, f"dataset-{name}"):
        if name in _names(home):
            remove_folder(home.datasets / name)


def _names(home: Home) -> list[str]:
    if not home.datasets.is_dir():
        return []
    return sorted(folder.name for folder in home.datasets.iterdir() if folder.is_dir() and not folder.name.startswith("."))
