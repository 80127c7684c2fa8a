"""Embeddings that stay on disk: the rows of some images, read from the store's files when they are asked for."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipcap_cli.encoders.base import Vectors

_DTYPE = np.dtype("<f2")
_TOUCHED_AT_MOST = 4096  # rows: each may bring 64 KiB of its file into the memory that the process is counted for


class Shard:
    """A file of vectors, mapped into memory; `vectors` is fp16 [rows, embedding_size]."""

    def __init__(self, path: Path, embedding_size: int) -> None:
        with path.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        rows = len(self._map) // (embedding_size * _DTYPE.itemsize)
        self.vectors: NDArray[np.float16] = np.frombuffer(self._map, _DTYPE, rows * embedding_size).reshape(rows, embedding_size)
        self._advise("MADV_RANDOM")

    def let_go(self) -> None:
        """Give back what was read; the operating system may still have it at hand."""
        self._advise("MADV_DONTNEED")

    def _advise(self, name: str) -> None:
        advice = getattr(mmap, name, None)  # there is none on Windows
        if advice is not None:
            self._map.madvise(advice)


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
        self._touched = 0
        self.embedding_size = embedding_size

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, indices: Any) -> Vectors:
        """float32 [len(indices), embedding_size]; `indices` is an array or a slice."""
        places = self._places[indices]
        vectors = np.empty((len(places), self.embedding_size), np.float32)
        for start in range(0, len(places), _TOUCHED_AT_MOST):
            self._read(places[start : start + _TOUCHED_AT_MOST], vectors[start : start + _TOUCHED_AT_MOST])
        return vectors

    def _read(self, places: NDArray[np.int64], vectors: Vectors) -> None:
        if self._touched + len(places) > _TOUCHED_AT_MOST:
            for shard in self._shards.values():
                shard.let_go()
            self._touched = 0
        self._touched += len(places)
        of = places // self._shard_rows
        for number in np.unique(of):
            chosen = np.flatnonzero(of == number)
            vectors[chosen] = self._shards[int(number)].vectors[places[chosen] % self._shard_rows]
