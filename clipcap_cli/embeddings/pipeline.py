"""From files of pictures to vectors: several threads read, decode and prepare while the network encodes what is ready.

Threads are enough: Pillow lets go of the interpreter while it decodes and resizes, and the network while it computes. Only a few batches exist at any time, so
memory does not grow with the number of pictures.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.datasets.dataset import Image as DatasetImage
from clipcap_cli.datasets.pictures import open_picture, read_picture, to_rgb
from clipcap_cli.datasets.records import Problem
from clipcap_cli.embeddings.store import EmbeddingStore, open_store
from clipcap_cli.encoders.base import ImageEncoder, Pixels, Vectors
from clipcap_cli.encoders.memory import keeping_freed_memory
from clipcap_cli.errors import ClipcapError, InputError
from clipcap_cli.events import Advanced, Finished, Listener, Started, silent
from clipcap_cli.storage.hashing import image_id_of

Source = Path | bytes | Image.Image | np.ndarray

_BATCHES_AHEAD = 3  # decoded, or being decoded, beyond the batch that is being encoded
_COMMIT_S = 5.0  # seconds of work that a killed process may lose


class ChangedError(InputError):
    """A picture is not what it was when it was added to its dataset."""


@dataclass(frozen=True)
class Embedded:
    """What `embed_dataset` did: how many pictures are new in the store, how many were there, which could not be embedded, in how many seconds."""

    store: EmbeddingStore
    new: int
    reused: int
    problems: tuple[Problem, ...]
    seconds: float


def encode_pictures(
    sources: Iterable[Source | str], encoder: ImageEncoder, *, batch_size: int = 32, workers: int | None = None, expected_ids: Sequence[str] | None = None
) -> Generator[tuple[int, Vectors | ClipcapError], None, None]:
    """The vector of each picture, in order; of one that cannot be read, the error.

    Args:
        sources: paths, bytes of files, Pillow images, or arrays of bytes [height, width, 3] (or 1 or 4 channels, or none); taken as they are needed.
        batch_size: pictures that go through the encoder at once.
        workers: threads that read and decode; None for one a core.
        expected_ids: the image id that the bytes of each source must have; another one is a ChangedError.

    Yields:
        Pairs of the source's number and its vector [embedding_size] or its ClipcapError.

    Raises:
        ClipcapError: the encoder itself failed (its weights are missing).
    """
    ids = iter(expected_ids) if expected_ids is not None else None
    numbered = ((number, source, next(ids) if ids else None) for number, source in enumerate(sources))
    with ThreadPoolExecutor(workers or _cores(), "clipcap-decode") as decoders, ThreadPoolExecutor(1, "clipcap-encode") as forward:
        decoding: deque[tuple[int, Future[Pixels | ClipcapError]]] = deque()
        encoding: deque[Future[list[tuple[int, Vectors | ClipcapError]]]] = deque()

        def decode_more() -> None:
            for number, source, image_id in islice(numbered, _BATCHES_AHEAD * batch_size - len(decoding)):
                decoding.append((number, decoders.submit(_prepare, source, number, encoder, image_id)))

        try:
            decode_more()
            while decoding or encoding:
                if decoding:
                    batch = [decoding.popleft() for _ in range(min(batch_size, len(decoding)))]
                    encoding.append(forward.submit(_encode, batch, encoder))
                    decode_more()
                if len(encoding) > 1 or not decoding:  # one is computed while the caller uses the one before
                    yield from encoding.popleft().result()
        finally:
            decoders.shutdown(cancel_futures=True)
            forward.shutdown(cancel_futures=True)


def embed_dataset(
    dataset: Dataset, encoder: ImageEncoder, *, split: str | None = None, batch_size: int = 32, workers: int | None = None, events: Listener = silent
) -> Embedded:
    """Bring the embeddings of a dataset's pictures into the store. Those that are there cost nothing, whichever dataset brought them.

    Args:
        split: only the pictures of this one.

    Raises:
        InputError: there is no such split.
        MissingError: the encoder's weights are missing.
        StoreError: the store cannot be written. What was embedded until then is kept, as it is when this is interrupted.
    """
    began = time.monotonic()
    store = open_store(dataset.home, encoder)
    ids = dataset.image_ids(split)
    places = store.places(ids)
    missing = _images_of(dataset, ids[places < 0])
    reused = len(np.unique(places[places >= 0]))
    problems = [_no_file(image, dataset.name) for image in missing if image.path is None]
    missing = [image for image in missing if image.path is not None]
    new = 0
    if missing:
        events(Started("embed", len(missing), "pictures"))
        try:
            new = _fill(store, missing, encoder, batch_size, workers, events, problems)
        finally:
            events(Finished("embed"))
    return Embedded(store, new, reused, tuple(problems), time.monotonic() - began)


def _images_of(dataset: Dataset, ids: np.ndarray) -> list[DatasetImage]:
    """The pictures of these ids, each id once, in the order of the dataset."""
    if not len(ids):
        return []
    wanted = {image_id.decode() for image_id in ids}
    return list({image.image_id: image for image in dataset.images() if image.image_id in wanted}.values())


def _fill(
    store: EmbeddingStore, images: list[DatasetImage], encoder: ImageEncoder, batch_size: int, workers: int | None, events: Listener, problems: list[Problem]
) -> int:
    ready: dict[str, Vectors] = {}
    committed, since = 0, time.monotonic()
    paths, ids = [image.path for image in images if image.path is not None], [image.image_id for image in images]
    with keeping_freed_memory(), closing(encode_pictures(paths, encoder, batch_size=batch_size, workers=workers, expected_ids=ids)) as results:
        try:
            for number, result in results:
                if isinstance(result, ClipcapError):
                    problems.append(_problem(images[number], result))
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


def _no_file(image: DatasetImage, dataset: str) -> Problem:
    remedy = f"Bring the embeddings of the file it came from: clipcap embed {dataset} --import FILE.pkl --encoder SPEC"
    return Problem("no-file", "error", image.name, "there is no file of this picture, only its embedding was known", remedy)


def _problem(image: DatasetImage, error: ClipcapError) -> Problem:
    kind = "changed" if isinstance(error, ChangedError) else "unreadable"
    return Problem(kind, "error", error.where or image.name, error.message, error.hint or "")


def _encode(batch: list[tuple[int, Future[Pixels | ClipcapError]]], encoder: ImageEncoder) -> list[tuple[int, Vectors | ClipcapError]]:
    prepared = [(number, future.result()) for number, future in batch]
    good = [pixels for _, pixels in prepared if not isinstance(pixels, ClipcapError)]
    vectors = iter(encoder.encode(np.stack(good)) if good else ())
    return [(number, pixels if isinstance(pixels, ClipcapError) else next(vectors)) for number, pixels in prepared]


def _prepare(source: Source | str, number: int, encoder: ImageEncoder, image_id: str | None) -> Pixels | ClipcapError:
    where = str(source) if isinstance(source, str | os.PathLike) else f"picture {number + 1}"
    try:
        return encoder.preprocess(_open(source, where, image_id))
    except ClipcapError as error:
        error.where = error.where or where
        return error


def _open(source: Source | str, where: str, image_id: str | None) -> Image.Image:
    if isinstance(source, Image.Image):
        try:
            return to_rgb(source)
        except Exception as error:  # a picture that was opened may still turn out to be damaged when its pixels are read
            raise InputError(f"this picture is damaged ({error})", hint="Get it again from where it came, or leave it out.") from error
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] not in (3, 4)) or not source.size:
            raise InputError(f"an array of {source.dtype} {list(source.shape)} is no picture", hint="Give bytes (uint8), [height, width, 3], red first.")
        return to_rgb(Image.fromarray(np.ascontiguousarray(source)))
    if not isinstance(source, bytes):
        try:
            source = read_picture(Path(source))
        except OSError as error:
            raise InputError(f"this picture cannot be read: {error.strerror or error}", hint="Put it back, or add the dataset again.") from error
    if image_id is not None and image_id_of(source) != image_id:
        raise ChangedError(
            "this picture has changed since it was added to the dataset", where=where, hint="Add the dataset again, or put the old picture back."
        )
    return open_picture(source, where)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
