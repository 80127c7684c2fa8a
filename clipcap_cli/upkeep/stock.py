"""What lies in the store, how large it is, and when it was last used. Nothing is opened but the small files that name things, so that it is quick."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clipcap_cli.embeddings.checking import facts_of
from clipcap_cli.errors import ClipcapError
from clipcap_cli.storage.downloads import DOWNLOAD
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.leftovers import ASIDE, PART

LEFTOVERS = "leftovers"
# Rooms of the store whose folders are things with names; in the others the files count together.
_NAMED = ("datasets", "embeddings", "models", "runs", "sweeps", "evaluations")
_RUN_PARTS = ("best", "last", "checkpoints")


@dataclass(frozen=True)
class Item:
    """A thing in the store.

    Attributes:
        kind: datasets, images, embeddings, weights, models, runs, sweeps, evaluations, logs, locks; leftovers for what was being written.
        name: of the dataset, the run, …; "" where a room counts as one.
        files, size_bytes: of all its files.
        used: when one of them was last read or written, in seconds since 1970, as far as the file system remembers.
        parts: of a run, the bytes of best, last, checkpoints and other.
        encoder: of embeddings, the spec and precision.
    """

    kind: str
    name: str
    files: int
    size_bytes: int
    used: float
    parts: dict[str, int]
    encoder: str | None


@dataclass(frozen=True)
class Stock:
    """Everything in a store, and the bytes that are free on its disk."""

    items: tuple[Item, ...]
    free_bytes: int

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.items)


@dataclass
class _Heap:
    files: int = 0
    size: int = 0
    used: float = 0.0

    def add(self, stat: os.stat_result) -> None:
        self.files += 1
        self.size += stat.st_size
        self.used = max(self.used, stat.st_atime, stat.st_mtime)


def take_stock(home: Home) -> Stock:
    """Everything in a store, by kind and name."""
    heaps: dict[tuple[str, str], dict[str, _Heap]] = {}
    for place, stat in _files(home.root, ()):
        kind, name, part = _where(place)
        heaps.setdefault((kind, name), {}).setdefault(part, _Heap()).add(stat)
    return Stock(tuple(_item(home, kind, name, heaps[kind, name]) for kind, name in sorted(heaps)), _free(home.root))


def _files(folder: Path, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], os.stat_result]]:
    """Each file by the names that lead to it."""
    try:
        entries = list(os.scandir(folder))
    except OSError:  # it went away meanwhile, or is not for us
        return
    for entry in entries:
        place = (*above, entry.name)
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path), place)
            else:
                yield place, entry.stat(follow_symlinks=False)
        except OSError:
            continue


def _where(place: tuple[str, ...]) -> tuple[str, str, str]:
    """Kind, name and part of a file."""
    if any(name.startswith(".") and name.endswith((PART, ASIDE, DOWNLOAD)) for name in place):
        return LEFTOVERS, "", ""
    if len(place) == 1:
        return "store", "", ""
    if place[0] not in _NAMED or len(place) == 2:
        return place[0], "", ""
    part = (place[2] if place[2] in _RUN_PARTS else "other") if place[0] == "runs" else ""
    return place[0], place[1], part


def _item(home: Home, kind: str, name: str, heaps: dict[str, _Heap]) -> Item:
    return Item(
        kind,
        name,
        sum(heap.files for heap in heaps.values()),
        sum(heap.size for heap in heaps.values()),
        max(heap.used for heap in heaps.values()),
        {part: heaps[part].size for part in (*_RUN_PARTS, "other") if part in heaps},
        _encoder(home.embeddings / name) if kind == "embeddings" and name else None,
    )


def _encoder(folder: Path) -> str:
    try:
        facts = facts_of(folder)
    except ClipcapError:
        return "unknown"
    return f"{facts.spec}, {facts.precision}" + (", texts" if facts.of_texts else "")


def _free(folder: Path) -> int:
    there = next((path for path in (folder, *folder.parents) if path.is_dir()), folder)
    return shutil.disk_usage(there).free
