"""How near captions are to their pictures in the space of CLIP: CLIPScore, RefCLIPScore, and retrieval.

Source: Hessel et al. 2021, CLIPScore (arXiv 2104.08718), section 3: w = 2.5, captions are put behind "A photo depicts".
"""

from __future__ import annotations

import numpy as np

from clipcap_cli.evaluation.metrics.corpus import Integers
from clipcap_cli.evaluation.metrics.metric import Floats, Metric, mean_metric

PROMPT = "A photo depicts"
_WEIGHT = 2.5
_RANKS = (1, 5, 10)
_AT_ONCE = 2_000  # pictures whose captions are ranked at once


def clip_scores(images: Floats, candidates: Floats, references: Floats, picture: Integers) -> list[Metric]:
    """CLIPScore = 2.5 max(cos, 0), and RefCLIPScore, its harmonic mean with the greatest cosine to a reference (if above 0).

    Args:
        images, candidates: embeddings [pictures, embedding_size]; of any length.
        references: embeddings [references, embedding_size].
        picture: the row of each reference's picture, in rising order [references].
    """
    images, candidates, references = (_unit(vectors) for vectors in (images, candidates, references))
    score = _WEIGHT * np.maximum((images * candidates).sum(1), 0)
    to_references = (candidates[picture] * references).sum(1)
    nearest = np.maximum(np.maximum.reduceat(to_references, np.searchsorted(picture, np.arange(len(images)))), 0)
    both = score + nearest
    harmonic = np.divide(2 * score * nearest, both, out=np.zeros_like(both), where=both > 0)
    return [mean_metric("CLIPScore", score), mean_metric("RefCLIPScore", harmonic)]


def retrieval(images: Floats, candidates: Floats) -> list[Metric]:
    """R@1, R@5 and R@10: how often a caption's own picture is among the nearest of all pictures that are evaluated.

    Pictures of the same embedding as the own one are not held against it; of others that are as near, all are.
    """
    images, candidates = _unit(images), _unit(candidates)
    ranks = []
    for start in range(0, len(images), _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, len(images)))
        near = candidates[rows] @ images.T
        own = (candidates[rows] * images[rows]).sum(1)
        twins = (images[rows] @ images.T) > 1 - 1e-9
        ranks.append(((near >= own[:, None] - 1e-12) & ~twins).sum(1))
    rank = np.concatenate(ranks)
    return [mean_metric(f"R@{k}", (rank < k).astype(np.float64)) for k in _RANKS]


def _unit(vectors: Floats) -> Floats:
    vectors = np.asarray(vectors, np.float64)
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
