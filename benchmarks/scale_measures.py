"""What `scale.py` measures, each in a process of its own that has loaded nothing else: `python scale_measures.py NAME HOME SIZE` prints seconds and memory."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from clipcap_cli.datasets.checking import require_whole
from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.datasets.manifest import Manifest, write_manifest
from clipcap_cli.datasets.versions import Picture, version_folder, write_version
from clipcap_cli.embeddings.index import reading
from clipcap_cli.embeddings.pipeline import embed_dataset
from clipcap_cli.embeddings.store import EmbeddingStore, open_store
from clipcap_cli.storage.home import Home

SIZE = 512
GROUP = 10_000  # rows that are added at once: about what a fast GPU encodes in the five seconds between two commits
LATEST = 20  # groups, of which the fastest is that of a size
LISTED = 1_000_000  # pictures that are made as a list, as `dataset add` has them; of more, one at a time
FEW = 1_000
NAME = "made"
WORDS = ("a dog", "two red apples", "a man", "some bread", "an old car", "three cats", "the table", "a street", "a bowl", "a plate", "snow")
PLACES = ("runs over the wet grass", "lies on a white plate", "stands beside a bus", "rides a large wave", "waits in the rain", "is seen from above", "sleeps")


class Synthetic:
    """Stands in for an encoder whose embeddings are all there."""

    spec, fingerprint, embedding_size, image_size, precision = "synthetic:512", "5ca1e" * 4, SIZE, 224, "fp32"

    def preprocess(self, image: Any) -> Any:
        raise AssertionError("everything is embedded")

    encode = preprocess


class Pictures:
    """So many pictures of a dataset, each made when it is looked at."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Picture]:
        for number in range(self._size):
            name = f"{number // 1000:06d}/{number:010d}.jpg"
            caption = f"{WORDS[number % 11]} {PLACES[number % 7]} and {WORDS[number // 7 % 11]} {PLACES[number // 11 % 7]} {number % 9973}"
            yield Picture(id_of(number), f"/data/pictures/{name}", name, "train", 640, 480, 50_000 + number % 5000, 10**18 + number, (caption,))


def id_of(number: int) -> str:
    return blake2b(str(number).encode(), digest_size=16).hexdigest()


def grow(home: Home, start: int, size: int) -> dict[str, float]:
    """Add rows from `start` to `size`: seconds of the fastest of the last groups, and of all groups together."""
    store = open_store(home, Synthetic())
    vectors = np.random.default_rng(0).standard_normal((GROUP, SIZE), np.float32)
    taken = []
    for first in range(start, size, GROUP):
        ids = [id_of(number) for number in range(first, first + GROUP)]
        taken.append(timed(lambda ids=ids: store.append(ids, vectors))[1])
    latest = taken[-LATEST:]
    return {"s": min(one["s"] for one in latest), "cpu": min(one["cpu"] for one in latest), "built": sum(one["s"] for one in taken)}


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What it gives, and its seconds: by the clock, and of all cores together."""
    began, cpu_began = time.perf_counter(), time.process_time()
    result = work()
    return result, {"s": time.perf_counter() - began, "cpu": time.process_time() - cpu_began}


def write_dataset(home: Home, size: int) -> dict[str, float]:
    """A dataset of `size` pictures: seconds, and memory where they were a list."""
    pictures: Any = list(Pictures(size)) if size <= LISTED else Pictures(size)
    folder = home.datasets / NAME
    version_folder(folder, 1).mkdir(parents=True)
    facts = {"version": 1, "created": "2000-01-01T00:00:00+00:00", "source": "made", "layout": "made", "reason": "made", "digest": ""}
    taken = timed(lambda: write_version(version_folder(folder, 1), pictures, [], facts))[1]
    write_manifest(folder, Manifest(NAME, "made", "in-place", 1))
    return taken


def opened(store: EmbeddingStore, size: int) -> int:
    return len(store)


def few(store: EmbeddingStore, size: int) -> int:
    chosen = [id_of(int(number)) for number in np.random.default_rng(1).integers(0, size, FEW)]
    return int((store.places(chosen) >= 0).sum())


def few_rows(store: EmbeddingStore, size: int) -> int:
    chosen = np.random.default_rng(2).integers(0, size, FEW)
    return len(store.at(chosen)[:])


def every(store: EmbeddingStore, size: int) -> int:
    return int((store.places(open_dataset(NAME, home=store.home).image_ids()) >= 0).sum())


def embedded(store: EmbeddingStore, size: int) -> int:
    dataset = open_dataset(NAME, home=store.home)
    require_whole(dataset.folder)
    return embed_dataset(dataset, Synthetic()).reused


def images(store: EmbeddingStore, size: int) -> int:
    """What `embed` begins with where something is missing."""
    return len(open_dataset(NAME, home=store.home).images())


def sort_ids(store: EmbeddingStore, size: int) -> int:
    """The index as what could take its place: ids as 16 bytes in their order, and their rows beside them."""
    folder, written = store.home.root / "sorted", 0
    folder.mkdir(exist_ok=True)
    with reading(store.folder) as index, (folder / "ids").open("wb") as ids, (folder / "rows").open("wb") as rows:
        found = index.execute("SELECT image_id, row FROM vectors ORDER BY image_id")
        while pairs := found.fetchmany(100_000):
            ids.write(bytes.fromhex("".join(image_id for image_id, _ in pairs)))
            np.array([row for _, row in pairs], np.int64).tofile(rows)
            written += len(pairs)
    return written


def few_sorted(store: EmbeddingStore, size: int) -> int:
    ids = np.memmap(store.home.root / "sorted" / "ids", "S16", "r")
    rows = np.memmap(store.home.root / "sorted" / "rows", np.int64, "r")
    asked = np.array([bytes.fromhex(id_of(int(number))) for number in np.random.default_rng(1).integers(0, size, FEW)], "S16")
    place = np.searchsorted(ids, asked)
    assert (rows[place] >= 0).all()
    return int((ids[place] == asked).sum())


MEASURES = {work.__name__: work for work in (opened, few, few_rows, every, embedded, images, sort_ids, few_sorted)}
_FOUND = {"few": FEW, "few_rows": FEW, "few_sorted": FEW}  # of the others, all


def peak(status: str) -> float:
    """Greatest resident memory in MB (Linux)."""
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def measured(name: str, home: Home, size: int) -> dict[str, float]:
    """One measure, in this process."""
    if name == "write_dataset":
        taken = write_dataset(home, size)
    else:
        store = open_store(home, Synthetic())
        found, taken = timed(lambda: MEASURES[name](store, size))
        assert found == _FOUND.get(name, size), f"{name} found {found:,} of {size:,}"
    return {**taken, "mb": peak(Path("/proc/self/status").read_text())}


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], Home(Path(sys.argv[2])), int(sys.argv[3]))))
