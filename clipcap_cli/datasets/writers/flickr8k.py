"""The files of Flickr8k: `Flickr8k.token.txt`, and a list of the pictures of each split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from clipcap_cli.datasets.writers.written import Put, Written, flat

_LISTS = {"train": "Flickr_8k.trainImages.txt", "val": "Flickr_8k.devImages.txt", "test": "Flickr_8k.testImages.txt"}


def write_flickr8k(name: str, pictures: Sequence[Written], folder: Path, put: Put, done: Callable[[], None]) -> None:
    """All pictures in `Images/`, without folders. There are lists for train, val and test only; other splits are lost."""
    lists: dict[str, list[str]] = {}
    with (folder / "Flickr8k.token.txt").open("w", encoding="utf-8") as stream:
        for it in flat(pictures):
            put(it.file, folder / "Images" / it.name)
            stream.writelines(f"{it.name}#{number}\t{caption}\n" for number, caption in enumerate(it.picture.captions))
            if it.picture.split in _LISTS:
                lists.setdefault(_LISTS[it.picture.split], []).append(it.name)
            done()
    for file, names in lists.items():
        (folder / file).write_text("".join(f"{it}\n" for it in names), encoding="utf-8")
