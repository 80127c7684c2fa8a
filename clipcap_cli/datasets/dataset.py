"""A dataset as it lies in the store: opened by name from two small files; its pictures are read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipcap_cli.datasets.manifest import Manifest, read_manifest
from clipcap_cli.datasets.pairs import Pairs, ids_of
from clipcap_cli.datasets.places import Place, source_of, where_is
from clipcap_cli.datasets.records import Problem
from clipcap_cli.datasets.versions import (
    CAPTIONS_FILE,
    IMAGES_FILE,
    PROBLEMS_FILE,
    VERSION_FILE,
    Picture,
    damaged,
    read_json,
    read_pictures,
    read_problems,
    read_table,
    version_folder,
)
from clipcap_cli.errors import InputError
from clipcap_cli.storage.atomic import remove_folder
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.storage.locks import hold
from clipcap_cli.storage.names import unknown

if TYPE_CHECKING:
    import numpy as np

_LISTING = "clipcap dataset list"


@dataclass(frozen=True, slots=True)
class Image:
    """A picture of a dataset.

    Attributes:
        image_id: the first 32 hex digits of the SHA-256 of its bytes; of its embedding where there is no file.
        path: where it lies, a file or inside of a shard; None for a picture of which only the embedding is known.
        name: its path relative to the source.
        split: train, val, test or a name of the source's own; None if the source puts it into none.
        width, height: in pixels, as seen upright.
        captions: at least one.
    """

    image_id: str
    path: Path | Place | None
    name: str
    split: str | None
    width: int
    height: int
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """One version of a dataset. Everything but `images` and `problems` is known without reading more.

    Attributes:
        source: the folder, file or address that it was added from.
        layout, reason: how the source was read, and why so.
        created: when this version was made, ISO 8601 with time zone.
        made_by: the verb that made this version: add, edit, filter, …
        change: what that changed, a sentence for people.
        added_in: the versions in which pictures of the source came in.
        splits_by: what decided the splits: source, hash or rule.
        is_changed: whether pictures or captions are others than the source's, since they were changed here.
        pictures, captions: how many.
        split_counts: pictures by split.
        problem_counts: problems by kind, the most frequent first; severity_counts: by severity.
    """

    home: Home
    name: str
    version: int
    source: Path | Place
    layout: str
    reason: str
    created: str
    made_by: str
    change: str
    added_in: tuple[int, ...]
    splits_by: str
    is_changed: bool
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

    @property
    def manifest(self) -> Manifest:
        """What is said of the dataset as a whole.

        Raises:
            StoreError: dataset.json is missing or damaged.
        """
        return read_manifest(self.home.datasets / self.name)

    def entries(self) -> list[Picture]:
        """The pictures as the version's files have them, with sizes and tags, in their order.

        Raises:
            StoreError: files of the version are missing or damaged.
        """
        return read_pictures(self.folder)

    def file_of(self, picture: Picture) -> Path | Place | None:
        """Where a picture lies; None if only its embedding is known."""
        return where_is(self.home.root, str(picture.path)) if picture.path else None

    def sample(self, many: int) -> list[Image]:
        """So many of its pictures, evenly over all of them, without reading more captions than theirs.

        Raises:
            StoreError: files of the version are missing or damaged.
        """
        if many == 0 or self.pictures == 0:
            return []
        rows = list(range(self.pictures))[:: max(1, self.pictures // many)][:many]
        images = read_table(self.folder / IMAGES_FILE, ["image_id", "path", "name", "split", "width", "height"])
        if len(images) != self.pictures:
            raise damaged(self.folder / IMAGES_FILE, "its pictures are not those of the other files")
        captions = read_table(self.folder / CAPTIONS_FILE, ["row", "caption"], among=("row", rows))
        told: dict[int, list[str]] = {row: [] for row in rows}
        for place, row in enumerate(captions["row"].to_pylist()):  # Arrow's own ways to pick rows load pandas: a third of a second
            if row in told:
                told[row].append(captions["caption"][place].as_py())
        return [self._image(images.slice(row, 1).to_pylist()[0], told[row]) for row in rows]

    def _image(self, image: Mapping[str, Any], captions: Iterable[str]) -> Image:
        path = where_is(self.home.root, image["path"]) if image["path"] else None
        return Image(image["image_id"], path, image["name"], image["split"], image["width"], image["height"], tuple(captions))

    def images(self, split: str | None = None) -> list[Image]:
        """The pictures, or those of one split, always in the order of their names.

        Raises:
            InputError: there is no such split.
            StoreError: files of the version are missing or damaged.
        """
        if split is not None and split not in self.split_counts:
            raise InputError(f"the dataset {self.name!r} has no split {split!r}", hint=f"It has {', '.join(self.split_counts) or 'no splits at all'}.")
        images, captions = self._tables(["image_id", "path", "name", "split", "width", "height"], split)
        told: list[list[str]] = [[] for _ in range(len(images))]
        for row, text in zip(captions["row"].to_pylist(), captions["caption"].to_pylist(), strict=True):
            told[row].append(text)
        columns = (images.column(name).to_pylist() for name in images.column_names)
        return [
            Image(image_id, where_is(self.home.root, path) if path else None, name, of, width, height, tuple(texts))
            for image_id, path, name, of, width, height, texts in zip(*columns, told, strict=True)
        ]

    def pairs(self, split: str | None = None) -> Pairs:
        """The captions, or those of one split, each with its picture: what training needs, in little memory. Pictures are in the order of their names.

        Raises:
            InputError: there is no such split.
            StoreError: files of the version are missing or damaged.
        """
        images, captions = self._tables(["image_id", "split"], split)
        return Pairs(ids_of(images["image_id"]), captions["caption"].combine_chunks(), captions["row"].to_numpy().astype("int64"))

    def image_ids(self, split: str | None = None) -> np.ndarray:
        """The ids of the pictures, or of those of one split, bytes of 32 hex digits [pictures], in the order of their names.

        Raises:
            InputError: there is no such split.
            StoreError: a file of the version is missing or damaged.
        """
        if split is not None:
            return self.pairs(split).image_ids
        return ids_of(read_table(self.folder / IMAGES_FILE, ["image_id"])["image_id"])

    def _tables(self, columns: list[str], split: str | None) -> tuple[Any, Any]:
        """Pictures with these columns and, as `row` and `caption`, their captions; `row` counts within the pictures that are returned."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if split is not None and split not in self.split_counts:
            raise InputError(f"the dataset {self.name!r} has no split {split!r}", hint=f"It has {', '.join(self.split_counts) or 'no splits at all'}.")
        images = read_table(self.folder / IMAGES_FILE, columns)
        captions = read_table(self.folder / CAPTIONS_FILE, ["row", "caption"])
        rows = captions["row"].to_numpy()
        counted = (len(images), len(captions)) == (self.pictures, self.captions)
        if not counted or captions["row"].null_count or rows.min(initial=0) < 0 or rows.max(initial=0) >= self.pictures:
            raise damaged(self.folder / IMAGES_FILE, "its pictures are not those of the other files")
        if split is None:
            return images, captions
        chosen = pc.fill_null(pc.equal(images["split"], split), False).to_numpy()
        place = chosen.cumsum() - 1
        mine = chosen[rows]
        captions = captions.filter(pa.array(mine))
        return images.filter(pa.array(chosen)), captions.set_column(0, "row", pa.array(place[rows[mine]], pa.int64()))

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
    current = read_manifest(folder).current
    if version is not None and not 1 <= version <= current:
        raise InputError(f"the dataset {name!r} has no version {version}", hint=f"It has versions 1 to {current}.")
    number = version or current
    if number != current and not version_folder(folder, number).exists():
        raise InputError(
            f"version {number} of the dataset {name!r} is not there any more", hint=f"`clipcap cache prune versions` removed it; now is {current}."
        )
    file = version_folder(folder, number) / VERSION_FILE
    facts = read_json(file)
    try:
        return Dataset(
            home=home,
            name=name,
            version=number,
            source=source_of(facts["source"]),
            layout=facts["layout"],
            reason=facts["reason"],
            created=facts["created"],
            made_by=str(facts.get("made_by", "add")),
            change=str(facts.get("change", "")),
            splits_by=str(facts.get("splits_by", "source")),
            is_changed=bool(facts.get("is_changed", False)),
            added_in=tuple(map(int, facts.get("added_in", [number]))),
            pictures=facts["pictures"],
            captions=facts["captions"],
            split_counts=dict(facts["splits"]),
            problem_counts=dict(facts["problems"]),
            severity_counts=dict(facts["severities"]),
            digest=facts["digest"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(file, f"it lacks {error}") from error


def list_versions(dataset: Dataset) -> list[Dataset]:
    """The versions of a dataset that are there, up to this one, the oldest first.

    Raises:
        StoreError: one of them is damaged.
    """
    folder = dataset.home.datasets / dataset.name
    numbers = (number for number in range(1, dataset.version + 1) if version_folder(folder, number).is_dir())
    return [open_dataset(dataset.name, home=dataset.home, version=number) for number in numbers]


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
