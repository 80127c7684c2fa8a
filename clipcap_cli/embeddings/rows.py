"""Embeddings that stay on disk: the rows of some images, read from the store's files when they are asked for.

They are read, not mapped: a map brings up to two megabytes of its file into the process for every row that is touched (1.7 GB were seen after 30 batches
of 64).
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipcap_cli.encoders.base import Vectors

_DTYPE = np.dtype("<f2")
_AT_ONCE = 65_536  # rows that are in memory as fp16 and fp32 at a time


class Shard:
    """A file of vectors; it stays open as long as this lives."""

    def __init__(self, path: Path, embedding_size: int) -> None:
        self._file = path.open("rb", buffering=0)
        weakref.finalize(self, self._file.close)
        self._size = embedding_size
        self.rows = path.stat().st_size // (embedding_size * _DTYPE.itemsize)

    def read(self, places: NDArray[np.int64]) -> NDArray[np.float16]:
        """The vectors at these places, fp16 [places, embedding_size]; neighbours are read in one go."""
        vectors = np.empty((len(places), self._size), _DTYPE)
        ends = [*(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
        start = 0
        for end in ends:
            self._file.seek(int(places[start]) * self._size * _DTYPE.itemsize)
            self._file.readinto(vectors[start:end].data.cast("B"))
            start = end
        return vectors


class StoredRows:
    """The embeddings of some images; `rows[indices]` reads those of a few.

    Args:
        shards: the files by number; those that no place lies in may be absent.
        shard_rows: vectors of a whole file.
        places: of each image in the store, int64 [images].
        embedding_size: length of a vector.
    """

    def __init__(self, shards: dict[int, Shard], shard_rows: int, places: NDArray[np.int64], embedding_size: int) -> None:
        self._shards = shards
        self._shard_rows = shard_rows
        self._places = places
        self.embedding_size = embedding_size

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, indices: Any) -> Vectors:
        """float32 [len(indices), embedding_size]; `indices` is an array or a slice."""
        places = self._places[indices]
        vectors = np.empty((len(places), self.embedding_size), np.float32)
        for start in range(0, len(places), _AT_ONCE):
            part = places[start : start + _AT_ONCE]
            of = part // self._shard_rows
            for number in np.unique(of):
                chosen = np.flatnonzero(of == number)
                vectors[start + chosen] = self._shards[int(number)].read(part[chosen] % self._shard_rows)
        return vectors
