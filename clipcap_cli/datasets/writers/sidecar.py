"""A `.txt` beside each picture, one caption a line; a folder for each split."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path

from clipcap_cli.datasets.writers.written import Put, Written, by_split


def write_sidecar(name: str, pictures: Sequence[Written], folder: Path, put: Put, done: Callable[[], None]) -> None:
    """Pictures in train/, val/, test/; where some are in no split, all lie in one folder, since folders could not say that."""
    splits = by_split(pictures)
    has_folders = None not in splits and "train" in splits and len(splits) > 1
    for it in pictures:
        place = folder / it.picture.split / it.name if has_folders and it.picture.split else folder / it.name
        put(it.file, place)
        text = place.with_name(f"{posixpath.splitext(place.name)[0]}.txt")
        text.write_text("".join(f"{caption}\n" for caption in it.picture.captions), encoding="utf-8")
        done()
