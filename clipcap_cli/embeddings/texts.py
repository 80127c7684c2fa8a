"""From texts to vectors, by an encoder's text tower: kept like those of pictures, under the hash of the text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clipcap_cli.embeddings.store import EmbeddingStore, open_store
from clipcap_cli.encoders.base import ImageEncoder, TextEncoder
from clipcap_cli.errors import InputError
from clipcap_cli.events import Advanced, Finished, Listener, Started, silent
from clipcap_cli.storage.home import Home

_AT_ONCE = 1024  # texts that are encoded and then kept


def embed_texts(texts: Sequence[str], encoder: ImageEncoder, home: Home, events: Listener = silent) -> EmbeddingStore:
    """The store that holds the embeddings of `texts`, by `text_ids`; those that are there already are not made again.

    Raises:
        InputError: the encoder has no text tower.
        MissingError: its weights are missing.
        StoreError: the store cannot be written.
    """
    if not isinstance(encoder, TextEncoder):
        hint = "Use a CLIP or SigLIP encoder, such as openai:ViT-B/32."
        raise InputError(f"{encoder.spec} turns no texts into vectors, only pictures", hint=hint)
    store = open_store(home, encoder, of="text")
    by_id = {_id_of(text): text for text in texts}
    missing = store.missing(list(by_id))
    if missing:
        events(Started("embed", len(missing), "texts"))
        try:
            for start in range(0, len(missing), _AT_ONCE):
                ids = missing[start : start + _AT_ONCE]
                store.append(ids, encoder.encode_text([by_id[text_id] for text_id in ids]), events=events)
                events(Advanced("embed", len(ids)))
        finally:
            events(Finished("embed"))
    return store


def text_ids(texts: Sequence[str]) -> NDArray[np.bytes_]:
    """The ids under which the embeddings of texts are kept [texts]."""
    return np.array([_id_of(text) for text in texts], "S32")


def _id_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
