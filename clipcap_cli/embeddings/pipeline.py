"""From files of pictures to vectors: several threads read, decode and prepare while networks encode what is ready (see `feeding`), and the store keeps them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.datasets.dataset import Image as DatasetImage
from clipcap_cli.datasets.places import reading_order
from clipcap_cli.datasets.records import Problem
from clipcap_cli.embeddings.feeding import Lane, feed
from clipcap_cli.embeddings.limits import Effort
from clipcap_cli.embeddings.preparing import ChangedError, Source
from clipcap_cli.embeddings.store import EmbeddingStore, open_store
from clipcap_cli.encoders.base import ImageEncoder, Pixels, Vectors
from clipcap_cli.encoders.memory import keeping_freed_memory
from clipcap_cli.errors import ClipcapError
from clipcap_cli.events import Advanced, Finished, Listener, Started, silent

_COMMIT_S = 5.0  # seconds of work that a killed process may lose

Encoders = ImageEncoder | Sequence[ImageEncoder]  # copies of one encoder, each on a device of its own


@dataclass(frozen=True)
class Embedded:
    """What `embed_dataset` did.

    Attributes:
        new, reused: how many pictures are new in the store, how many were there.
        problems: which could not be embedded.
        limit: what limited, a sentence; None where that was too short to say it.
    """

    store: EmbeddingStore
    new: int
    reused: int
    problems: tuple[Problem, ...]
    seconds: float
    limit: str | None = None


def encode_pictures(
    sources: Iterable[Source | str],
    encoder: Encoders,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    expected_ids: Sequence[str] | None = None,
    effort: Effort | None = None,
) -> Generator[tuple[int, Vectors | ClipcapError], None, None]:
    """The vector of each picture, in order; of one that cannot be read, the error.

    Args:
        sources: paths, bytes of files, Pillow images, or arrays of bytes [height, width, 3] (or 1 or 4 channels, or none); taken as they are needed.
        encoder: an encoder, or a copy of it for each device.
        batch_size: pictures that go through an encoder at once.
        workers: threads that read and decode; None for one a core.
        expected_ids: the image id that the bytes of each source must have; another one is a ChangedError.
        effort: is told who waited for whom.

    Yields:
        Pairs of the source's number and its vector [embedding_size] or its ClipcapError.

    Raises:
        ClipcapError: the encoder itself failed (its weights are missing, its device has too little memory).
    """
    lanes = [_lane(copy) for copy in _copies(encoder)]
    return feed(sources, lanes, batch_size=batch_size, workers=workers, expected_ids=expected_ids, effort=effort)


def _copies(encoder: Encoders) -> Sequence[ImageEncoder]:
    return encoder if isinstance(encoder, Sequence) else (encoder,)


def _lane(encoder: ImageEncoder) -> Lane[Vectors]:
    def encode(pixels: Pixels, numbers: list[int]) -> Iterable[Vectors]:
        return encoder.encode(pixels)

    return Lane(encoder, encode)


def embed_dataset(
    dataset: Dataset, encoder: Encoders, *, split: str | None = None, batch_size: int = 32, workers: int | None = None, events: Listener = silent
) -> Embedded:
    """Bring the embeddings of a dataset's pictures into the store. Those that are there cost nothing, whichever dataset brought them.

    Args:
        encoder: an encoder, or a copy of it for each device.
        split: only the pictures of this one.

    Raises:
        InputError: there is no such split, or a device has too little memory.
        MissingError: the encoder's weights are missing.
        StoreError: the store cannot be written. What was embedded until then is kept, as it is when this is interrupted.
    """
    began = time.monotonic()
    store = open_store(dataset.home, _copies(encoder)[0])
    effort = Effort(taker="writing to the store")
    ids = dataset.image_ids(split)
    places = store.places(ids)
    missing = images_of(dataset, ids[places < 0])
    reused = len(np.unique(places[places >= 0]))
    problems = [no_file(image, dataset.name) for image in missing if image.path is None]
    missing = [image for image in missing if image.path is not None]
    new = 0
    if missing:
        events(Started("embed", len(missing), "pictures"))
        try:
            new = _fill(store, missing, encoder, batch_size, workers, events, problems, effort)
        finally:
            events(Finished("embed"))
    return Embedded(store, new, reused, tuple(problems), time.monotonic() - began, effort.note())


def images_of(dataset: Dataset, ids: np.ndarray) -> list[DatasetImage]:
    """The pictures of these ids, each id once, in the order of the dataset; those inside of shards as they lie there."""
    if not len(ids):
        return []
    wanted = {image_id.decode() for image_id in ids}
    images = {image.image_id: image for image in dataset.images() if image.image_id in wanted}.values()
    return sorted(images, key=lambda image: reading_order(image.path))


def _fill(
    store: EmbeddingStore,
    images: list[DatasetImage],
    encoder: Encoders,
    batch_size: int,
    workers: int | None,
    events: Listener,
    problems: list[Problem],
    effort: Effort,
) -> int:
    ready: dict[str, Vectors] = {}
    committed, since = 0, time.monotonic()
    paths, ids = [image.path for image in images if image.path is not None], [image.image_id for image in images]
    vectors = encode_pictures(paths, encoder, batch_size=batch_size, workers=workers, expected_ids=ids, effort=effort)
    with keeping_freed_memory(), closing(vectors) as results:
        try:
            for number, result in results:
                if isinstance(result, ClipcapError):
                    problems.append(problem_of(images[number], result))
                else:
                    ready[ids[number]] = result
                events(Advanced("embed"))
                if time.monotonic() - since > _COMMIT_S:
                    committed += _commit(store, ready, events)
                    since = time.monotonic()
        finally:
            committed += _commit(store, ready, events)
    return committed


def _commit(store: EmbeddingStore, ready: dict[str, Vectors], events: Listener) -> int:
    count = len(ready)
    if count:
        store.append(list(ready), np.stack(list(ready.values())), events=events)
        ready.clear()
    return count


def no_file(image: DatasetImage, dataset: str) -> Problem:
    remedy = f"Bring the embeddings of the file it came from: clipcap embed {dataset} --import FILE.pkl --encoder SPEC"
    return Problem("no-file", "error", image.name, "there is no file of this picture, only its embedding was known", remedy)


def problem_of(image: DatasetImage, error: ClipcapError) -> Problem:
    kind = "changed" if isinstance(error, ChangedError) else "unreadable"
    return Problem(kind, "error", error.where or image.name, error.message, error.hint or "")
