"""Captions that cost nothing to make: what a captioner has to beat.

The commonest training caption; any training caption; a human's; and of the captions of the training pictures that are nearest in the captioner's own space of
embeddings the one that the others agree with most. Source of the last: Devlin et al. 2015, Exploring Nearest Neighbor Approaches for Image Captioning
(arXiv 1505.04467), section 3, with the cosine of CIDEr as the similarity of captions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from clipcap_cli.encoders.base import Vectors
from clipcap_cli.evaluation.metrics.cider import cider, idf_of
from clipcap_cli.evaluation.metrics.corpus import Corpus, Integers, corpus_of_tokens, make_corpus
from clipcap_cli.evaluation.metrics.metric import Floats, summed
from clipcap_cli.evaluation.metrics.tokenizer import tokenize

HUMAN, NEAREST, RANDOM, FREQUENT = "human", "nearest neighbours", "random caption", "most frequent"
_NEIGHBOURS = (1, 5, 15, 60)  # pictures; the number that fits the training pictures best is taken
_TRIED_ON = 500  # training pictures at most, evenly taken
_AT_ONCE = 500  # pictures whose neighbours are looked for at once


def most_frequent(training: Sequence[str], pictures: int) -> list[str]:
    """The commonest training caption, for each picture."""
    tokenized = tokenize(training)
    commonest = Counter(tokenized).most_common(1)[0][0]
    return [training[tokenized.index(commonest)]] * pictures


def random_captions(training: Sequence[str], pictures: int, seed: int = 0) -> list[str]:
    """Any training caption, for each picture."""
    return [training[number] for number in np.random.default_rng(seed).integers(0, len(training), pictures)]


def human_captions(references: Sequence[Sequence[str]], seed: int = 0) -> list[tuple[str, tuple[str, ...]]]:
    """Of each picture, one reference as the candidate, and the others. Each picture needs two."""
    generator = np.random.default_rng(seed)
    found = []
    for captions in references:
        left_out = int(generator.integers(len(captions)))
        found.append((captions[left_out], tuple(captions[:left_out]) + tuple(captions[left_out + 1 :])))
    return found


def nearest_consensus(images: Vectors, training_images: Vectors, training: Sequence[Sequence[str]]) -> tuple[list[str], int]:
    """Of the captions of each picture's nearest training pictures, the one that is most like the others.

    How many neighbours are asked is chosen on training pictures, each captioned by the others, by CIDEr-D.

    Args:
        images: embeddings [pictures, embedding_size].
        training_images: embeddings [training pictures, embedding_size].
        training: captions of each training picture; there must be two pictures at least.

    Returns:
        The captions, and the number of neighbours.
    """
    gallery = _Gallery(training_images, training)
    some = np.arange(0, len(training), -(-len(training) // _TRIED_ON))
    near = gallery.neighbours(training_images[some], max(_NEIGHBOURS) + 1)
    others = np.array([row[row != own][: near.shape[1] - 1] for row, own in zip(near, some, strict=True)])
    references = {str(number): training[number] for number in some.tolist()}
    best, best_score = _NEIGHBOURS[0], -1.0
    for count in _NEIGHBOURS:
        captions = {str(number): gallery.consensus(row[:count]) for number, row in zip(some, others, strict=True)}
        score = cider(make_corpus(references, captions))[1].score
        if score > best_score:
            best, best_score = count, score
    return [gallery.consensus(row) for row in gallery.neighbours(images, best)], best


class _Gallery:
    """Training pictures, by their embeddings, and their captions, by their n-grams."""

    def __init__(self, images: Vectors, captions: Sequence[Sequence[str]]) -> None:
        # Embeddings of one encoder share a direction; what tells pictures apart is how they differ from the mean.
        self._center = images.mean(0, dtype=np.float64).astype(np.float32)
        self._images = _unit(images - self._center)
        self._texts = [caption for texts in captions for caption in texts]
        self._counts = np.array([len(texts) for texts in captions])
        self._firsts = np.cumsum(self._counts) - self._counts
        corpus = corpus_of_tokens(tuple(map(str, range(len(captions)))), self._counts.tolist(), [*tokenize(self._texts), *[""] * len(captions)])
        self._vectors = [_CaptionVectors(corpus, order) for order in range(len(corpus.ngrams))]

    def neighbours(self, images: Vectors, count: int) -> Integers:
        """The nearest pictures of each, the nearest first [pictures, count]."""
        count = min(count, len(self._images))
        found = []
        for start in range(0, len(images), _AT_ONCE):
            near = _unit(images[start : start + _AT_ONCE] - self._center) @ self._images.T
            nearest = np.argpartition(-near, count - 1, axis=1)[:, :count]
            order = np.argsort(-np.take_along_axis(near, nearest, 1), axis=1, kind="stable")
            found.append(np.take_along_axis(nearest, order, 1))
        return np.concatenate(found)

    def consensus(self, pictures: Integers) -> str:
        """The caption of these pictures that is most like all of theirs."""
        captions = np.concatenate([np.arange(self._firsts[place], self._firsts[place] + self._counts[place]) for place in pictures])
        agreement = sum(part.agreement(captions) for part in self._vectors)
        return self._texts[int(captions[int(np.argmax(agreement))])]


class _CaptionVectors:
    """The n-grams of one order as unit vectors of tf-idf, one a caption, as entries behind one another."""

    def __init__(self, corpus: Corpus, order: int) -> None:
        ngrams = corpus.ngrams[order]
        captions = len(corpus.references)
        weights = ngrams.count * idf_of(corpus, ngrams)[ngrams.gram]
        norms = np.sqrt(summed(ngrams.caption, weights**2, captions))
        self.weights = weights / np.maximum(norms[ngrams.caption], 1e-12)
        self.grams = ngrams.gram
        self.starts = np.searchsorted(ngrams.caption, np.arange(captions + 1))
        self.sum = np.zeros(ngrams.grams)

    def agreement(self, captions: Integers) -> Floats:
        """The mean cosine of each caption with all of them [captions]: its product with the sum of them all."""
        lengths = self.starts[captions + 1] - self.starts[captions]
        ends = np.cumsum(lengths)
        entries = np.arange(ends[-1]) + np.repeat(self.starts[captions] - (ends - lengths), lengths)
        grams, weights = self.grams[entries], self.weights[entries]
        np.add.at(self.sum, grams, weights)
        products = weights * self.sum[grams]
        self.sum[grams] = 0.0
        owner = np.repeat(np.arange(len(captions)), lengths)
        return summed(owner, products, len(captions)) / len(captions)


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
