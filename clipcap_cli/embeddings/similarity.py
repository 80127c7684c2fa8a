"""How well captions fit their pictures, as an encoder with a text tower sees it."""

from __future__ import annotations

import numpy as np

from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.embeddings.pipeline import embed_dataset
from clipcap_cli.embeddings.texts import embed_texts, text_ids
from clipcap_cli.encoders.base import ImageEncoder
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, silent

_AT_ONCE = 16_384  # captions


def caption_similarities(dataset: Dataset, encoder: ImageEncoder, *, events: Listener = silent) -> list[list[float]]:
    """The cosine of each picture with each of its captions, in the order of `dataset.entries()`; missing embeddings are made and kept.

    Raises:
        InputError: the encoder has no text tower, or a picture cannot be embedded.
        MissingError: its weights are missing.
        StoreError: the store cannot be read or written.
    """
    pictures = dataset.entries()
    texts = [caption for picture in pictures for caption in picture.captions]
    ids = [picture.image_id for picture in pictures for _ in picture.captions]
    text_store = embed_texts(texts, encoder, dataset.home, events)
    embedded = embed_dataset(dataset, encoder, events=events)
    if embedded.problems:
        problem = embedded.problems[0]
        raise InputError(f"{problem.message}, so nobody knows how well its captions fit", where=problem.where, hint=f"clipcap dataset check {dataset.name}")
    found: list[float] = []
    for start in range(0, len(texts), _AT_ONCE):
        of_texts = text_store.gather(text_ids(texts[start : start + _AT_ONCE]).astype(str).tolist())
        of_pictures = embedded.store.gather(ids[start : start + _AT_ONCE])
        lengths = np.linalg.norm(of_texts, axis=1) * np.linalg.norm(of_pictures, axis=1)
        found += (np.einsum("nd,nd->n", of_texts, of_pictures) / np.maximum(lengths, 1e-12)).tolist()
    values = iter(found)
    return [[next(values) for _ in picture.captions] for picture in pictures]
