"""BLEU-1 to BLEU-4 as COCO's reference computes them.

Source: Papineni et al. 2002, sections 2.1 and 2.2; pycocoevalcap 1.2: closest reference length, and 1e-15 and 1e-9 added where a quotient could be 0/0.
"""

from __future__ import annotations

import functools

import numpy as np

from clipcap_cli.evaluation.metrics.corpus import ORDERS, Corpus, Integers, looked_up
from clipcap_cli.evaluation.metrics.metric import Floats, Metric, summed

_TINY, _SMALL = 1e-15, 1e-9


def bleu(corpus: Corpus) -> list[Metric]:
    """BLEU-1, …, BLEU-4. Pictures' scores are smoothed by the two constants alone, so that most of BLEU-4 are nearly 0."""
    candidate_lengths = corpus.lengths[len(corpus.references) :]
    correct = np.stack([_correct(corpus, order) for order in range(1, ORDERS + 1)], 1)
    guessed = np.maximum(candidate_lengths[:, None] - np.arange(ORDERS), 0)
    rows = np.column_stack([candidate_lengths, _closest_reference_lengths(corpus), correct, guessed]).astype(np.float64)
    scores = [functools.partial(_of_sums, order=order) for order in range(1, ORDERS + 1)]
    return [Metric(f"BLEU-{order}", of_sums(rows), rows, of_sums) for order, of_sums in enumerate(scores, 1)]


def _of_sums(sums: Floats, order: int) -> Floats:
    """From sums [..., length, reference length, correct x 4, guessed x 4] to BLEU [...]."""
    length, reference_length = sums[..., 0], sums[..., 1]
    correct, guessed = sums[..., 2 : 2 + order], sums[..., 2 + ORDERS : 2 + ORDERS + order]
    precision = np.prod((correct + _TINY) / (guessed + _SMALL), axis=-1) ** (1 / order)
    ratio = (length + _TINY) / (reference_length + _SMALL)
    brevity: Floats = np.exp(np.minimum(0.0, 1 - 1 / ratio))
    return np.asarray(precision * brevity)


def _correct(corpus: Corpus, order: int) -> Floats:
    """n-grams of each candidate that a reference has too, no more often than the reference with the most of them [pictures]."""
    ngrams = corpus.ngrams[order - 1]
    owner, is_candidate = corpus.owners(ngrams)
    key = owner * max(1, ngrams.grams) + ngrams.gram
    reference_keys, at_most = _greatest(key[~is_candidate], ngrams.count[~is_candidate])
    candidate_keys, counts = key[is_candidate], ngrams.count[is_candidate]
    shared = np.minimum(counts, looked_up(candidate_keys, reference_keys, at_most))
    return summed(owner[is_candidate], shared, corpus.pictures)


def _greatest(keys: Integers, values: Integers) -> tuple[Integers, Integers]:
    """The keys, sorted, each with the greatest of its values."""
    order = np.lexsort((values, keys))
    keys, values = keys[order], values[order]
    last = np.append(keys[1:] != keys[:-1], True) if len(keys) else np.empty(0, bool)
    return keys[last], values[last]


def _closest_reference_lengths(corpus: Corpus) -> Integers:
    """Of each picture's references, the length nearest to the candidate's, the shorter of two [pictures]."""
    lengths = corpus.lengths[: len(corpus.references)]
    distance = np.abs(lengths - corpus.lengths[len(corpus.references) :][corpus.picture])
    order = np.lexsort((lengths, distance, corpus.picture))
    return lengths[order][corpus.firsts]
