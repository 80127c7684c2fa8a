"""ROUGE-L as COCO's reference computes it.

Source: Lin 2004, section 3; pycocoevalcap 1.2: beta 1.2, the best precision and the best recall over the references are taken separately.
"""

from __future__ import annotations

import numpy as np
from rapidfuzz.distance import LCSseq

from clipcap_cli.evaluation.metrics.corpus import Corpus
from clipcap_cli.evaluation.metrics.metric import Floats, Metric, mean_metric

_BETA = 1.2


def rouge_l(corpus: Corpus) -> Metric:
    """F-measure of the longest common subsequence of words."""
    # Split at the space alone, as the reference does: a caption without words is one empty word.
    candidates = [caption.split(" ") for caption in corpus.candidates]
    references = [caption.split(" ") for caption in corpus.references]
    common = np.array([LCSseq.similarity(reference, candidates[picture]) for reference, picture in zip(references, corpus.picture, strict=True)], np.float64)
    reference_lengths = np.array([len(words) for words in references])
    candidate_lengths = np.array([len(words) for words in candidates])
    firsts = corpus.firsts
    recall = np.maximum.reduceat(common / reference_lengths, firsts)
    precision = np.maximum.reduceat(common, firsts) / candidate_lengths
    return mean_metric("ROUGE-L", _f_measure(precision, recall))


def _f_measure(precision: Floats, recall: Floats) -> Floats:
    below = recall + _BETA**2 * precision
    return np.divide((1 + _BETA**2) * precision * recall, below, out=np.zeros_like(below), where=below > 0)
