"""Learning from text alone: the embedding of a caption is that of the caption itself, by the encoder's text tower.

Where pictures and texts share a space, a captioner that has learned to say a text's embedding, with noise on it, can say a picture's.
Source: CapDec (Nukrai et al., Text-Only Training for Image Captioning using Noise-Injected CLIP, arXiv 2211.00575), section 3.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from clipcap_cli.datasets.dataset import Pairs
from clipcap_cli.datasets.records import clean_caption
from clipcap_cli.embeddings.store import EmbeddingStore, open_store
from clipcap_cli.encoders.base import ImageEncoder, TextEncoder
from clipcap_cli.errors import InputError
from clipcap_cli.events import Advanced, Finished, Listener, Started
from clipcap_cli.storage.home import Home

_AT_ONCE = 1024  # texts that are encoded and then kept


def pairs_of_texts(texts: list[str]) -> Pairs:
    """Each text as a caption, whose picture is the text itself."""
    import pyarrow as pa

    ids = np.array([_id_of(text) for text in texts], "S32")
    return Pairs(ids, pa.array(texts, pa.string()), np.arange(len(texts)))


def read_texts(path: str) -> list[str]:
    """The captions of a text file, one a line; empty lines are left out.

    Raises:
        InputError: it cannot be read, or has none.
    """
    file = Path(path).expanduser()
    try:
        texts = [caption for line in file.read_text(encoding="utf-8-sig").splitlines() if (caption := clean_caption(line))]
    except FileNotFoundError as error:
        raise InputError(
            f"there is no file of captions {path!r}", where="dataset.texts", hint="Name a text file with a caption a line, or `captions`."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"these captions cannot be read: {error}", where=str(file), hint="Save them as UTF-8 text, a caption a line.") from error
    if not texts:
        raise InputError("there is no caption in this file", where=str(file), hint="Write a caption a line.")
    return texts


def embed_texts(texts: list[str], encoder: ImageEncoder, home: Home, events: Listener) -> EmbeddingStore:
    """The store that holds the embeddings of `texts`; those that are there already are not made again.

    Raises:
        InputError: the encoder has no text tower.
        MissingError: its weights are missing.
        StoreError: the store cannot be written.
    """
    if not isinstance(encoder, TextEncoder):
        raise InputError(
            f"{encoder.spec} turns no texts into vectors, so nothing can be learned from text alone",
            where="encoder.name",
            hint="Use a CLIP or SigLIP encoder, such as openai:ViT-B/32.",
        )
    store = open_store(home, encoder, of="text")
    by_id = {_id_of(text): text for text in texts}
    missing = store.missing(list(by_id))
    if missing:
        events(Started("embed", len(missing), "texts"))
        try:
            for start in range(0, len(missing), _AT_ONCE):
                ids = missing[start : start + _AT_ONCE]
                store.append(ids, encoder.encode_text([by_id[text_id] for text_id in ids]))
                events(Advanced("embed", len(ids)))
        finally:
            events(Finished("embed"))
    return store


def _id_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
