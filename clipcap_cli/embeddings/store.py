"""Embeddings by image id: one folder an encoder, shared by all datasets, only ever added to.

    embeddings/FINGERPRINT-PRECISION/encoder.json          which encoder made them, and their size
                                    /index.sqlite          image id -> row, and checksums (see `index`)
                                    /vectors-00000.f16 …   rows of fp16, a fixed number in each file

Vectors are written and flushed first, then their ids in one transaction: whenever a process is killed, the index names only whole vectors, and what lies behind
the last row it names is written over by the next one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from clipcap_cli.embeddings.index import INDEX, WAIT_S, checksum, damaged, reading, writing
from clipcap_cli.embeddings.lookup import ID, places_of
from clipcap_cli.embeddings.rows import Shard, StoredRows
from clipcap_cli.encoders.base import ImageEncoder, Vectors
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.events import Listener, silent
from clipcap_cli.storage.atomic import store_errors, sync_folder, write_json
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import hold
from clipcap_cli.storage.reading import read_json

if TYPE_CHECKING:
    import sqlite3

_FORMAT = 1
_DTYPE = np.dtype("<f2")
_SHARD_BYTES = 256 * 2**20
_LARGEST = 2**40  # bytes of a file of vectors, or numbers of a vector
_WAIT_S = WAIT_S


@dataclass(frozen=True)
class EmbeddingStore:
    """The embeddings of one encoder in one precision. Opening it touches nothing; its folder is made when the first vectors come.

    Attributes:
        folder: where it lies.
        spec: a spec of the encoder, for people.
        embedding_size: length of each vector.
    """

    home: Home
    folder: Path
    spec: str
    fingerprint: str
    embedding_size: int
    precision: str
    shard_bytes: int = _SHARD_BYTES

    def __len__(self) -> int:
        """How many images have an embedding here."""
        with reading(self.folder) as index:
            return int(index.execute("SELECT count(*) FROM vectors").fetchone()[0]) if index else 0

    def places(self, ids: Sequence[str] | NDArray[np.bytes_]) -> NDArray[np.int64]:
        """The row of each image, [len(ids)]; -1 for those that have no embedding here.

        Args:
            ids: image ids, as texts or as an array of bytes.
        """
        asked = np.asarray(ids, ID)
        with reading(self.folder) as index:
            if index is None or not len(asked):
                return np.full(len(asked), -1, np.int64)
            return self._places(index, asked)

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Those of `ids` that have no embedding here, in their order, each once."""
        asked = list(dict.fromkeys(ids))
        return [image_id for image_id, place in zip(asked, self.places(asked), strict=True) if place < 0]

    def rows(self, ids: Sequence[str] | NDArray[np.bytes_]) -> StoredRows:
        """The embeddings of `ids`, read from the files when they are asked for.

        Raises:
            StoreError: some are not here, or the store is damaged.
        """
        places = self.places(ids)
        absent = len(np.unique(np.asarray(ids, ID)[places < 0]))
        if absent:
            raise StoreError(
                f"{absent:,} of {len({*ids}):,} images have no embedding by {self.spec}",
                where=str(self.folder),
                hint="Type `clipcap embed NAME` for their dataset.",
            )
        return self.at(places)

    def at(self, places: NDArray[np.int64]) -> StoredRows:
        """The embeddings at these places, none of which may be -1.

        Raises:
            StoreError: the store is damaged.
        """
        shards = {int(number): self._shard(int(number)) for number in np.unique(places // self._shard_rows)}
        return StoredRows(shards, self._shard_rows, places, self.embedding_size)

    def gather(self, ids: Sequence[str]) -> Vectors:
        """The embeddings of `ids`, all at once.

        Returns:
            [len(ids), embedding_size], in the order of `ids`, which may repeat.

        Raises:
            StoreError: some are not here, or the store is damaged.
        """
        return self.rows(ids)[:]

    def append(self, ids: Sequence[str], vectors: Vectors, *, events: Listener = silent) -> None:
        """Add embeddings; those of images that are here already are left as they are.

        Args:
            ids: image ids.
            vectors: [len(ids), embedding_size].
            events: are told when one has to wait for another process.

        Raises:
            InputError: a vector holds what fp16 cannot (more than 65,504, or no number at all), or the shape is wrong.
            StoreError: the store cannot be written, or another process is writing for too long. What was here is as it was.
        """
        if vectors.shape != (len(ids), self.embedding_size):
            raise InputError(f"{len(ids)} embeddings by {self.spec} are [{len(ids)}, {self.embedding_size}], not {list(vectors.shape)}")
        with np.errstate(over="ignore"):
            stored = vectors.astype(_DTYPE)
        good = np.isfinite(stored).all(1)
        if not good.all():
            image_id = ids[int(np.flatnonzero(~good)[0])]
            raise InputError(
                f"the embedding of image {image_id} by {self.spec} holds values that are no numbers or beyond 65,504",
                hint="Encode in fp32; if that does not help, the weights are damaged.",
            )
        with hold(self.home, f"embeddings-{self.folder.name}", wait_s=_WAIT_S, events=events), store_errors(self.folder):
            self._prepare()
            with writing(self.folder) as index:
                first_of: dict[str, int] = {}
                for place in np.flatnonzero(self._places(index, np.asarray(ids, ID)) < 0).tolist():
                    first_of.setdefault(ids[place], place)
                if not first_of:
                    return
                start = int(index.execute("SELECT coalesce(max(row) + 1, 0) FROM vectors").fetchone()[0])
                added = stored[list(first_of.values())]
                self._write(start, added)
                with index:
                    index.executemany("INSERT INTO vectors VALUES (?, ?)", zip(first_of, range(start, start + len(first_of)), strict=True))
                    index.execute("INSERT OR REPLACE INTO checksums VALUES (?, ?, ?)", (start, len(first_of), checksum(list(first_of), added.tobytes())))

    def _places(self, index: sqlite3.Connection, asked: NDArray[np.bytes_]) -> NDArray[np.int64]:
        try:
            return places_of(index, asked)
        except (TypeError, ValueError, OverflowError) as error:  # SQLite lets a column hold anything
            raise damaged(self.folder, self.folder / INDEX, "its index holds what is no row") from error

    @property
    def _shard_rows(self) -> int:
        return max(1, self.shard_bytes // self._row_bytes)

    @property
    def _row_bytes(self) -> int:
        return self.embedding_size * _DTYPE.itemsize

    def _shard_file(self, shard: int) -> Path:
        return self.folder / f"vectors-{shard:05d}.f16"

    def _prepare(self) -> None:
        if not (self.folder / "encoder.json").exists():
            facts = {name: getattr(self, name) for name in ("spec", "fingerprint", "embedding_size", "precision", "shard_bytes")}
            write_json(self.folder / "encoder.json", {"format": _FORMAT, **facts})

    def _write(self, row: int, vectors: NDArray[np.float16]) -> None:
        while len(vectors):
            shard, place = divmod(row, self._shard_rows)
            part = vectors[: self._shard_rows - place]
            handle = os.open(self._shard_file(shard), os.O_RDWR | os.O_CREAT, 0o644)
            with os.fdopen(handle, "r+b") as stream:
                stream.seek(place * self._row_bytes)
                stream.write(part.tobytes())
                stream.flush()
                os.fsync(stream.fileno())
            if place == 0:  # the file may be new
                sync_folder(self.folder)
            row, vectors = row + len(part), vectors[len(part) :]

    def _shard(self, number: int) -> Shard:
        path = self._shard_file(number)
        try:
            shard = Shard(path, self.embedding_size)
        except OSError as error:
            raise damaged(self.folder, path, error.strerror or str(error)) from error
        with reading(self.folder) as index:
            last = index.execute("SELECT max(row) FROM vectors WHERE row < ?", ((number + 1) * self._shard_rows,)).fetchone()[0] if index else -1
        if not isinstance(last, int):
            raise damaged(self.folder, self.folder / INDEX, "its index holds what is no row")
        if shard.rows <= last - number * self._shard_rows:
            raise damaged(self.folder, path, f"it holds {shard.rows:,} vectors, fewer than the index names")
        return shard


def check_sizes(embedding_size: int, shard_bytes: int) -> None:
    """Whether encoder.json has sizes that can be.

    Raises:
        ValueError: it has not.
    """
    if not (1 <= embedding_size <= _LARGEST and 1 <= shard_bytes <= _LARGEST):
        raise ValueError("its sizes cannot be")


def open_store(home: Home, encoder: ImageEncoder, *, of: Literal["pictures", "text"] = "pictures") -> EmbeddingStore:
    """The embeddings of an encoder, whether there are some yet or not.

    Args:
        of: those of pictures, by image id; or of texts, by the first 32 hex digits of the SHA-256 of their UTF-8.

    Raises:
        StoreError: the folder is not what this encoder would have made, is damaged, or was made by a newer clipcap.
    """
    store = EmbeddingStore(
        home=home,
        folder=home.embeddings / (f"{encoder.fingerprint}-{encoder.precision}" + ("-text" if of == "text" else "")),
        spec=encoder.spec,
        fingerprint=encoder.fingerprint,
        embedding_size=encoder.embedding_size,
        precision=encoder.precision,
    )
    path = store.folder / "encoder.json"
    if not path.exists():
        return store
    try:
        facts = read_json(path)
        file_format, embedding_size, shard_bytes = (int(facts[name]) for name in ("format", "embedding_size", "shard_bytes"))
        check_sizes(embedding_size, shard_bytes)
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise damaged(store.folder, path, f"this file cannot be read ({error})") from error
    if file_format > _FORMAT:
        raise StoreError(
            f"these embeddings have format {file_format}, newer than the {_FORMAT} that this clipcap knows", where=str(path), hint="Update clipcap."
        )
    if embedding_size != store.embedding_size:
        raise damaged(store.folder, path, f"it says {embedding_size} numbers a vector, and {encoder.spec} makes {encoder.embedding_size}")
    return replace(store, shard_bytes=shard_bytes)
