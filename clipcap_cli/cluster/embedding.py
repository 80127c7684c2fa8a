"""Embedding a dataset on a cluster: tasks write shards of vectors, and this process alone adds them to the store, in the order of the shards.

    STAGING/0123….parquet     image_id, vector (fp16), problem (JSON): one row for each picture of a task

The name is a hash of the task's pictures and of the encoder; a shard that is in the store is taken away. What a killed run has left is added by the next one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from clipcap_cli.cluster.engine import Engine
from clipcap_cli.cluster.running import Task, Worker
from clipcap_cli.cluster.shard_files import get_table, name_of, names_in, put_table
from clipcap_cli.cluster.staging import finished_shards, staging_of
from clipcap_cli.cluster.surroundings import load_here, store_here, use_cores
from clipcap_cli.datasets.dataset import Dataset, Image
from clipcap_cli.datasets.places import where_is
from clipcap_cli.datasets.records import Problem
from clipcap_cli.embeddings.pipeline import Embedded, encode_pictures, images_of, no_file, problem_of
from clipcap_cli.embeddings.store import EmbeddingStore, open_store
from clipcap_cli.encoders.base import ImageEncoder
from clipcap_cli.encoders.memory import keeping_freed_memory
from clipcap_cli.errors import ClipcapError
from clipcap_cli.events import Advanced, Finished, Listener, Started, silent
from clipcap_cli.storage.addresses import joined, remove
from clipcap_cli.storage.downloads import is_offline

_FORMAT = 1
_TASK = "embed"
_DTYPE = np.dtype("<f2")  # as the store keeps them


def embed_on_cluster(dataset: Dataset, encoder: ImageEncoder, engine: Engine, *, device: str = "auto", events: Listener = silent) -> Embedded:
    """As `embed_dataset`, with the work done by a cluster.

    Args:
        encoder: as it is loaded here; workers load their own, which must have the same fingerprint.
        device: of the workers.

    Raises:
        InputError, MissingError: the cluster or an address cannot be used, or a worker has no such encoder.
        StoreError: the store cannot be written.
        UnreachableError: the cluster is gone.
    """
    began = time.monotonic()
    store = open_store(dataset.home, encoder)
    ids = dataset.image_ids()
    places = store.places(ids)
    reused = len(np.unique(places[places >= 0]))
    images, missing = images_of(dataset, ids), {image_id.decode() for image_id in ids[places < 0]}
    problems = [no_file(image, dataset.name) for image in images if image.image_id in missing and image.path is None]
    # Shards are parts of the whole dataset, so that those that a killed run has finished are the same shards now.
    shards = _shards(images, missing, encoder, engine.shard_size)
    new = 0
    if shards:
        staging = staging_of(engine, dataset.home)
        events(Started(_TASK, sum(map(len, shards.values())), "pictures"))
        try:
            with closing(_finished(dataset, encoder, engine, device, staging, shards, events)) as finished:
                for name, table in finished:
                    new += _add(store, table, shards[name], problems, events)
                    remove(joined(staging, name))
            for name in names_in(staging) & shards.keys():  # written once more for a node that died when it had just finished
                remove(joined(staging, name))
        finally:
            events(Finished(_TASK))
    return Embedded(store, new, reused, tuple(problems), time.monotonic() - began)


def _shards(images: Sequence[Image], missing: set[str], encoder: ImageEncoder, size: int) -> dict[str, list[Image]]:
    """The pictures of each shard, by its name."""
    parts = (images[start : start + size] for start in range(0, len(images), size))
    wanted = ([image for image in part if image.path is not None and image.image_id in missing] for part in parts)
    return {name_of([_FORMAT, encoder.fingerprint, encoder.precision, [image.image_id for image in part]]): part for part in wanted if part}


def _finished(
    dataset: Dataset, encoder: ImageEncoder, engine: Engine, device: str, staging: str, shards: Mapping[str, Sequence[Image]], events: Listener
) -> Generator[tuple[str, Any], None, None]:
    """Each shard's name and table, in order."""
    settings = {
        "spec": encoder.spec,
        "fingerprint": encoder.fingerprint,
        "precision": encoder.precision,
        "device": device,
        "home": str(dataset.home.root),
        "offline": is_offline(),
        "batch_size": engine.batch_size,
        "threads": engine.threads,
    }
    names = [*shards]
    tasks = {name: {"pictures": [[image.image_id, str(image.path)] for image in images]} for name, images in shards.items()}

    def done(number: int) -> None:
        events(Advanced(_TASK, len(shards[names[number]])))

    with closing(finished_shards(engine, staging, Embedder, settings, tasks, done=done, events=events)) as finished:
        for number, table in finished:
            yield names[number], table


def _add(store: EmbeddingStore, table: Any, images: Sequence[Image], problems: list[Problem], events: Listener) -> int:
    names = {image.image_id: image for image in images}
    good: dict[str, bytes] = {}
    for image_id, vector, problem in zip(*(table[name].to_pylist() for name in ("image_id", "vector", "problem")), strict=True):
        if vector is not None:
            good[image_id] = vector
        else:
            told = Problem(**json.loads(problem))
            problems.append(told if told.where else Problem(told.kind, told.severity, names[image_id].name, told.message, told.remedy))
    if good:
        vectors = np.frombuffer(b"".join(good.values()), _DTYPE).reshape(len(good), store.embedding_size)
        store.append(list(good), vectors.astype(np.float32), events=events)
    return len(good)


class Embedder(Worker):
    """Turns pictures into vectors, somewhere in the cluster."""

    _encoder: ImageEncoder | None = None

    def work(self, task: Task) -> Mapping[str, Any]:
        """Embed the pictures of a task, unless another one has."""
        if get_table(task["output"]) is None:
            with keeping_freed_memory():
                table = self._embedded(task["pictures"])
            put_table(task["output"], table)
        return {}

    def _embedded(self, pictures: Sequence[tuple[str, str]]) -> Any:
        import pyarrow as pa

        ids = [image_id for image_id, _ in pictures]
        images = [Image(image_id, where_is(Path("/"), text), "", None, 0, 0, ()) for image_id, text in pictures]
        vectors: list[bytes | None] = []
        problems: list[str | None] = []
        sources = [image.path for image in images if image.path is not None]
        batch_size, threads = int(self.settings["batch_size"]), self.settings["threads"] or self.settings["cores"]
        for number, result in encode_pictures(sources, self._loaded(), batch_size=batch_size, workers=threads, expected_ids=ids):
            failed = isinstance(result, ClipcapError)
            vectors.append(None if isinstance(result, ClipcapError) else _as_stored(result))
            problems.append(json.dumps(asdict(problem_of(images[number], result))) if failed and isinstance(result, ClipcapError) else None)
        return pa.table({"image_id": ids, "vector": pa.array(vectors, pa.binary()), "problem": pa.array(problems, pa.string())})

    def _loaded(self) -> ImageEncoder:
        if self._encoder is None:
            use_cores(int(self.settings["cores"]))
            self._encoder = load_here(self.settings, store_here(self.settings["home"]))
        return self._encoder


def _as_stored(vector: Any) -> bytes:
    with np.errstate(over="ignore"):  # the store refuses what fp16 cannot hold
        return bytes(np.asarray(vector).astype(_DTYPE).tobytes())
