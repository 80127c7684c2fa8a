"""Embeddings out of data pickles of the original code into the store, and back, so that nobody has to embed anything twice."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from clipcap_cli.datasets.dataset import Dataset, Image
from clipcap_cli.datasets.original_pickles import OriginalData, picture_names, read_original
from clipcap_cli.datasets.records import Problem
from clipcap_cli.embeddings.pipeline import encode_pictures
from clipcap_cli.embeddings.store import EmbeddingStore, open_store
from clipcap_cli.encoders.base import ImageEncoder
from clipcap_cli.encoders.openai_models import OPENAI_MODELS, find_weights
from clipcap_cli.errors import ClipcapError, InputError
from clipcap_cli.storage.atomic import replacing

_COMPARED = 3  # pictures that are embedded to see whether the encoder is the right one
_LIKE = 0.98  # cosine from which two embeddings of a picture are of one encoder: fp16 and another decoder change the third digit
_SAME = 1e-3  # between two rows of one picture
_AT_ONCE = 10_000  # rows that are added in one go
_PROTOCOL = 4


@dataclass(frozen=True)
class Imported:
    """What `import_embeddings` did: embeddings new in the store, those that were there, pictures of the dataset that the file does not have, and problems."""

    store: EmbeddingStore
    new: int
    reused: int
    unmatched: tuple[str, ...]
    problems: tuple[Problem, ...]


def import_embeddings(dataset: Dataset, path: Path, encoder: ImageEncoder, *, check: bool = True) -> Imported:
    """Bring the embeddings of a data pickle into the store of `encoder`, for the pictures of `dataset`. Those that are there are left as they are.

    Args:
        check: embed some pictures, where their files and the encoder's weights are at hand, and refuse embeddings that are not like theirs.

    Raises:
        InputError: it is no such file, or its embeddings are not of this encoder.
        StoreError: the store cannot be written.
    """
    data = read_original(path)
    size = data.vectors.shape[1]
    if size != encoder.embedding_size:
        fitting = ", ".join(f"openai:{model.name}" for model in OPENAI_MODELS.values() if model.embedding_size == size)
        raise InputError(
            f"its embeddings have {size} numbers, and those of {encoder.spec} have {encoder.embedding_size}",
            where=str(path),
            hint=f"Name the encoder that made them: --encoder {fitting or 'SPEC'}.",
        )
    problems: list[Problem] = []
    images = {image.image_id: image for image in dataset.images()}
    rows = _rows_of(images.values(), data, path, problems)
    if not rows and not problems:
        raise InputError(
            f"none of the {len(images):,} pictures of {dataset.name} is in this file",
            where=str(path),
            hint=f"Name the file that belongs to {dataset.name}, or add this one as a dataset: clipcap dataset add {path}",
        )
    if check:
        _compare(dataset, images, rows, data, encoder, path)
    store = open_store(dataset.home, encoder)
    absent = set(store.missing(list(rows)))
    ids = [image_id for image_id in rows if image_id in absent]
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        store.append(part, data.vectors[[rows[image_id] for image_id in part]].astype(np.float32))
    unmatched = tuple(image.name for image_id, image in images.items() if image_id not in rows)
    return Imported(store, len(ids), len(rows) - len(ids), unmatched, tuple(problems))


def _rows_of(images: Iterable[Image], data: OriginalData, path: Path, problems: list[Problem]) -> dict[str, int]:
    """The row of each image that the file has, by id."""
    by_name: dict[str, Image] = {}
    by_vector: dict[str, Image] = {}
    for image in images:
        if image.path is None:
            by_vector[image.image_id] = image
        else:
            by_name.setdefault(_key(image.name), image)
            by_name.setdefault(_key(PurePosixPath(image.name).name), image)
    rows: dict[str, int] = {}
    for number, caption in enumerate(data.captions):
        if caption.row >= len(data.vectors):
            where = f"{path.name}, caption {number}"
            problems.append(Problem("no-embedding", "error", where, f"it names embedding {caption.row}, and there are {len(data.vectors):,}"))
            continue
        names = (_key(name) for wanted in (caption.image, *picture_names(caption.image, data.kind)) for name in (wanted, PurePosixPath(wanted).name))
        found = next((by_name[name] for name in names if name in by_name), None) or by_vector.get(data.vector_id(caption.row) if by_vector else "")
        if found is None:
            continue
        problem = _problem_with(data, caption.row, rows.get(found.image_id))
        if problem:
            problems.append(Problem("bad-embedding", "error", f"{path.name}, caption {number}", f"{problem}, of the picture {found.name!r}; it is left out"))
        else:
            rows.setdefault(found.image_id, caption.row)
    return rows


def _key(name: str) -> str:
    """A name without ending, in small letters."""
    return str(PurePosixPath(name).with_suffix("")).casefold() if name else name


def _problem_with(data: OriginalData, row: int, before: int | None) -> str | None:
    vector = data.vectors[row].astype(np.float32)
    if not np.isfinite(vector).all():
        return f"embedding {row} holds what is no number"
    if not vector.any():
        return f"embedding {row} is all zeros"
    if before is not None and before != row and not np.allclose(vector, data.vectors[before].astype(np.float32), atol=_SAME, rtol=_SAME):
        return f"embedding {row} is another than embedding {before}"
    return None


def _compare(dataset: Dataset, images: dict[str, Image], rows: dict[str, int], data: OriginalData, encoder: ImageEncoder, path: Path) -> None:
    """Refuse embeddings that are unlike those of the encoder itself."""
    model = OPENAI_MODELS.get(encoder.spec.removeprefix("openai:"))
    files = [(image_id, images[image_id].path) for image_id in rows]
    chosen = [(image_id, file) for image_id, file in files if isinstance(file, Path) and file.is_file()][:_COMPARED]
    if not chosen or (model is not None and find_weights(model, dataset.home) is None):
        return  # nothing is downloaded for a comparison
    for (image_id, file), (_, made) in zip(chosen, encode_pictures([file for _, file in chosen], encoder, batch_size=_COMPARED), strict=True):
        if isinstance(made, ClipcapError):
            continue
        given = data.vectors[rows[image_id]].astype(np.float32)
        likeness = float(made @ given / (np.linalg.norm(made) * np.linalg.norm(given)))
        if likeness < _LIKE:
            raise InputError(
                f"the embeddings are not those of {encoder.spec}: of {file} it makes another (cosine {likeness:.2f})",
                where=str(path),
                hint="Name the encoder that made them with --encoder, or add --no-check to take them as they are.",
            )


def export_original(dataset: Dataset, encoder: ImageEncoder, path: Path, *, split: str | None = None) -> tuple[int, int]:
    """Write a dataset and its embeddings as the original train.py reads them.

    Args:
        split: only this one.

    Returns:
        How many embeddings and captions were written.

    Raises:
        InputError: there is no such split, or some pictures have no embedding yet.
        StoreError: the file cannot be written.
    """
    images = dataset.images(split)
    store, ids = open_store(dataset.home, encoder), [image.image_id for image in images]
    absent = len(store.missing(ids))
    if absent:
        from_file = " --import FILE.pkl" if any(image.path is None for image in images) else ""
        raise InputError(
            f"{absent:,} of {len(images):,} pictures of {dataset.name} have no embedding by {encoder.spec}",
            hint=f"clipcap embed {dataset.name} --encoder {encoder.spec}{from_file}",
        )
    vectors = store.rows(ids)[:].astype(np.float16)
    captions = [{"image_id": image.name, "id": 0, "caption": caption, "clip_embedding": row} for row, image in enumerate(images) for caption in image.captions]
    for number, caption in enumerate(captions):
        caption["id"] = number
    with replacing(path) as part, part.open("wb") as stream:
        pickle.dump({"clip_embedding": torch.from_numpy(vectors), "captions": captions}, stream, protocol=_PROTOCOL)
    return len(vectors), len(captions)
