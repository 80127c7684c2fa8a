"""What is learned from: every caption as tokens, once, beside the embedding of its picture.

Captions lie end to end in one array, so that millions of them are three arrays and not millions of objects. Each ends with the language model's end token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.datasets.dataset import Image
from clipcap_cli.embeddings.store import EmbeddingStore

_CAPTIONS_AT_ONCE = 10_000  # tokenised in one go: bounds the lists of the tokenizer


@dataclass(frozen=True)
class Samples:
    """Captions with their pictures.

    Attributes:
        embeddings: one row a picture, float32 [pictures, embedding_size].
        rows: the picture of each caption, int64 [captions].
        tokens: all captions end to end, int64 [tokens].
        starts: where each caption begins in `tokens`, and the end, int64 [captions + 1].
        cut: captions that were longer than fits and lost their end.
    """

    embeddings: np.ndarray
    rows: np.ndarray
    tokens: np.ndarray
    starts: np.ndarray
    cut: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each caption, its end token included, int64 [captions]."""
        return np.diff(self.starts)


def collect_samples(images: Sequence[Image], store: EmbeddingStore, language_model: LanguageModel, prefix_length: int) -> Samples:
    """The samples of `images`, in their order; pictures without captions are left out.

    Args:
        images: pictures whose embeddings are in `store`.
        prefix_length: places that the prefix takes of the language model's positions.
    """
    images = [image for image in images if image.captions]
    captions = [caption for image in images for caption in image.captions]
    rows = np.repeat(np.arange(len(images)), [len(image.captions) for image in images])
    # The last token is only ever predicted, so it needs no place of its own.
    longest = None if language_model.max_positions is None else language_model.max_positions - prefix_length + 1
    pieces: list[np.ndarray] = []
    lengths = np.empty(len(captions), np.int64)
    cut = 0
    for first in range(0, len(captions), _CAPTIONS_AT_ONCE):
        for number, ids in enumerate(language_model.tokenize(captions[first : first + _CAPTIONS_AT_ONCE]), first):
            whole = np.asarray([*ids, language_model.end_token], np.int64)
            kept = whole[:longest]
            cut += len(kept) < len(whole)
            lengths[number] = len(kept)
            pieces.append(kept)
    return Samples(
        embeddings=store.gather([image.image_id for image in images]),
        rows=rows,
        tokens=np.concatenate(pieces) if pieces else np.empty(0, np.int64),
        starts=np.concatenate([[0], lengths.cumsum()]),
        cut=cut,
    )
