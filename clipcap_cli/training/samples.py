"""What is learned from: captions, each with the embedding of its picture.

Nothing here grows with what is learned from but captions and row numbers: embeddings stay in the store's files until a batch asks for them, and captions
are turned into tokens batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
import torch

from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.datasets.pairs import Pairs

Objective = Literal["standard", "original"]

_AT_ONCE = 10_000  # captions tokenised in one go: bounds the lists of the tokenizer
# Tokenising millions of captions before the first step takes minutes; above this, they are measured when their turn comes (see `batches.pooled_order`).
_MEASURED_AT_MOST = 500_000
_PADDING = 0  # the token that the published code pads with
_DEVIATIONS = 10  # of the lengths above their mean, where the published code cuts captions


class Embeddings(Protocol):
    """Rows that are read when they are asked for; an array is one too."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> np.ndarray: ...


@dataclass(frozen=True)
class Samples:
    """Captions with their pictures.

    Attributes:
        embeddings: one row a picture; `embeddings[rows]` is float32 [len(rows), embedding_size].
        rows: the picture of each caption, int64 [captions].
        captions: their texts; anything with `take(indices).to_pylist()`, as Arrow arrays have it.
        lengths: of each caption in tokens or, where there are too many to be measured (`measured` is False), in bytes; [captions].
        tokens_of: token ids of texts as they are learned, with an end token or without, cut where they are too long.
        mean_tokens: of a caption.
        cut: captions that lose their end; where there are very many, of a part of them.
        never_learned: a token that is no target, wherever it stands.
    """

    embeddings: Embeddings
    rows: np.ndarray
    captions: Any
    lengths: np.ndarray
    measured: bool
    tokens_of: Callable[[Sequence[str]], list[list[int]]]
    mean_tokens: float
    cut: int
    never_learned: int | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def tokens(self, members: np.ndarray) -> list[list[int]]:
        """Token ids of the captions `members`."""
        return self.tokens_of(self.captions.take(members).to_pylist())


def collect_samples(pairs: Pairs, embeddings: Embeddings, language_model: LanguageModel, prefix_length: int, objective: Objective = "standard") -> Samples:
    """The samples of captions and pictures.

    Args:
        pairs: captions, and the picture of each.
        embeddings: a row for each picture of `pairs`, in their order.
        prefix_length: places that the prefix takes of the language model's positions.
        objective: "standard" ends each caption with the end token; "original" does not, never learns token 0, and cuts where the published code does.
    """
    original = objective == "original"
    end = [] if original else [language_model.end_token]
    # The last token is only ever predicted, so it needs no place of its own.
    longest = None if language_model.max_positions is None else language_model.max_positions - prefix_length + 1
    measured = np.arange(len(pairs.captions))
    if len(measured) > _MEASURED_AT_MOST and not original:
        measured = measured[:: len(measured) // _AT_ONCE]
    whole = _lengths(language_model, pairs.captions, measured) + len(end)
    if original and len(whole):
        limit = published_limit(whole)
        longest = limit if longest is None else min(limit, longest)
    kept = whole if longest is None else np.minimum(whole, longest)
    return Samples(
        embeddings=embeddings,
        rows=pairs.pictures,
        captions=pairs.captions,
        lengths=kept if len(measured) == len(pairs.captions) else pairs.bytes_of_captions(),
        measured=len(measured) == len(pairs.captions),
        tokens_of=partial(_tokens, language_model, end, longest),
        mean_tokens=float(kept.mean()) if len(kept) else 0.0,
        cut=int((whole > kept).sum()),
        never_learned=_PADDING if original else None,
    )


def published_limit(lengths: np.ndarray) -> int:
    """Where the published code cuts captions, in tokens: ten deviations above the mean, at most the longest.

    Args:
        lengths: tokens of each caption, [captions].
    """
    longest = int(lengths.max())
    if len(lengths) < 2:
        return longest  # the published code crashes on a single caption
    numbers = torch.from_numpy(lengths.astype(np.float32))
    return min(int(numbers.mean() + _DEVIATIONS * numbers.std()), longest)


def _lengths(language_model: LanguageModel, captions: Any, members: np.ndarray) -> np.ndarray:
    lengths = np.empty(len(members), np.int64)
    for first in range(0, len(members), _AT_ONCE):
        texts = captions.take(members[first : first + _AT_ONCE]).to_pylist()
        lengths[first : first + len(texts)] = [len(ids) for ids in language_model.tokenize(texts)]
    return lengths


def _tokens(language_model: LanguageModel, end: list[int], longest: int | None, texts: Sequence[str]) -> list[list[int]]:
    return [[*ids, *end][:longest] for ids in language_model.tokenize(texts)]
