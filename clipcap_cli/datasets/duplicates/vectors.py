"""Embeddings that point nearly the same way, without comparing each with each.

A hash of a vector is the sides of 64 planes, at random through the middle of all vectors, on which it lies; vectors that point nearly the same way lie on the
same sides of most. Several such hashes are looked up one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clipcap_cli.datasets.duplicates.hashes import BITS, Hashes, least_certain, pack
from clipcap_cli.datasets.duplicates.lookup import Rows, alike

# Cosine of two embeddings, seen from the mean of all. Of pictures of Flickr8k that are nothing like near-duplicates the likest pair had 0.88 with CLIP
# ViT-B/32 (1,000 pictures) and 0.84 with EfficientNet-Lite0 (7,000 pictures), where those above were shots of one scene.
_LEAST_COSINE = 0.9

_FEW = 100  # vectors: their mean is not yet that of all pictures, and what is seen from it means nothing

_HASHES = 4
_MOST_BITS = 14  # vectors of that cosine differ in 9 of 64 on average, and one of four hashes is better than that
_BATCH = 8_192  # vectors
_PAIRS = 1 << 16

Vectors = NDArray[np.float32]


def same_direction(vectors: Vectors) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of rows whose vectors have a cosine of at least `_LEAST_COSINE`, seen from their mean; a pair may come several times. Few vectors have none.

    Args:
        vectors: [pictures, embedding_size], none of which is infinite or no number.
    """
    if len(vectors) < _FEW:
        return
    middle = vectors.mean(0, dtype=np.float64).astype(np.float32)
    for number in range(_HASHES):
        hashes, doubts = _hash(vectors, middle, seed=number)
        for first, second in alike(hashes, doubts, hashes[:, None], _MOST_BITS):
            for start in range(0, len(first), _PAIRS):
                part = slice(start, start + _PAIRS)
                near = _cosines(vectors[first[part]] - middle, vectors[second[part]] - middle) >= _LEAST_COSINE
                yield first[part][near], second[part][near]


def _hash(vectors: Vectors, middle: Vectors, seed: int) -> tuple[Hashes, Hashes]:
    planes = np.random.default_rng(seed).standard_normal((vectors.shape[1], BITS), np.float32)
    hashes, doubts = np.empty(len(vectors), np.uint64), np.empty(len(vectors), np.uint64)
    for start in range(0, len(vectors), _BATCH):
        part = slice(start, start + _BATCH)
        sides = (vectors[part] - middle) @ planes
        hashes[part], doubts[part] = pack(sides > 0), least_certain(np.abs(sides))
    return hashes, doubts


def _cosines(first: Vectors, second: Vectors) -> Vectors:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines: Vectors = (first * second).sum(1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return cosines
