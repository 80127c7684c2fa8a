"""Datasets put into a store as they are, for whoever shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image as Pillow

from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.datasets.manifest import Manifest, Provenance
from clipcap_cli.datasets.versioning import Contents, put_version
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.storage.hashing import image_id_of
from clipcap_cli.storage.home import Home

THINGS = ("red apple", "green pear", "yellow banana", "blue plum", "white egg")
SPLITS = ("train", "train", "val", "test", None)


def made_pictures(folder: Path, count: int) -> list[Picture]:
    """Pictures of one colour each, the later the larger, with two captions; they take turns in three splits and none."""
    folder.mkdir(exist_ok=True)
    made = []
    for number in range(count):
        path, size = folder / f"picture-{number:04d}.png", (40 + number, 30)
        Pillow.new("RGB", size, (number * 37 % 256, number * 11 % 256, 128)).save(path)
        thing = THINGS[number % len(THINGS)]
        captions = (f"a {thing} on a table", f"there is a {thing}, number {number}")
        data = path.read_bytes()
        made.append(Picture(image_id_of(data), str(path), path.name, SPLITS[number % len(SPLITS)], *size, len(data), 0, captions))
    return made


def made_dataset(home: Home, pictures: Sequence[Picture], *, name: str = "shapes", provenance: Provenance | None = None) -> Dataset:
    """A dataset of them."""
    manifest = Manifest(name, "/pictures", "in-place", 1, provenance or Provenance())
    return put_version(home, manifest, Contents(pictures, [], "captions table", "captions.csv is a table"))
