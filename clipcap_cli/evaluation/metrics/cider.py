"""CIDEr and CIDEr-D.

Source: Vedantam et al. 2015, sections 5 and 6 (arXiv 1411.5726). CIDEr-D is what pycocoevalcap 1.2 prints as "CIDEr": counts are clipped to the
reference's, and captions of another length are held back by a Gaussian with sigma 6. Both are multiplied by 10.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clipcap_cli.errors import InputError
from clipcap_cli.evaluation.metrics.corpus import ORDERS, Corpus, Integers, Ngrams, corpus_of_tokens, looked_up
from clipcap_cli.evaluation.metrics.metric import Floats, Metric, mean_metric, summed
from clipcap_cli.evaluation.metrics.tokenizer import tokenize
from clipcap_cli.storage.atomic import write_text
from clipcap_cli.storage.reading import LARGEST_FILE, read_json

_SIGMA = 6.0  # words
_SCALE = 10.0


@dataclass(frozen=True)
class DocumentFrequencies:
    """In how many pictures' references each n-gram occurs.

    Attributes:
        name: what they were counted in; for people.
        documents: pictures.
        counts: of n-grams, words separated by a space.
    """

    name: str
    documents: int
    counts: dict[str, int] = field(repr=False)


def cider(corpus: Corpus, frequencies: DocumentFrequencies | None = None) -> list[Metric]:
    """CIDEr and CIDEr-D.

    Args:
        frequencies: of a corpus; None for those of the evaluated references, as COCO's reference has it (then one picture alone scores 0).
    """
    plain, clipped = np.zeros(corpus.pictures), np.zeros(corpus.pictures)
    references_of = np.bincount(corpus.picture, minlength=corpus.pictures)
    penalty = _length_penalty(corpus)
    for ngrams in corpus.ngrams:
        cosine, clipped_cosine = _similarities(corpus, ngrams, idf_of(corpus, ngrams, frequencies))
        plain += summed(corpus.picture, cosine, corpus.pictures)
        clipped += summed(corpus.picture, clipped_cosine * penalty, corpus.pictures)
    scale = _SCALE / (ORDERS * references_of)
    return [mean_metric("CIDEr", plain * scale), mean_metric("CIDEr-D", clipped * scale)]


def idf_of(corpus: Corpus, ngrams: Ngrams, frequencies: DocumentFrequencies | None = None) -> Floats:
    """The weight of each gram, log(documents / documents with it) [grams]; one that is in no document counts as being in one."""
    documents = frequencies.documents if frequencies else corpus.pictures
    in_documents = _known(corpus, ngrams, frequencies) if frequencies else _counted(corpus, ngrams)
    weights: Floats = np.log(documents) - np.log(np.maximum(1.0, in_documents))
    return weights


def _similarities(corpus: Corpus, ngrams: Ngrams, idf: Floats) -> tuple[Floats, Floats]:
    """The cosine of each reference with its picture's candidate, and the one with clipped counts [references]."""
    captions = len(corpus.lengths)
    weights = ngrams.count * idf[ngrams.gram]
    norms = np.sqrt(summed(ngrams.caption, weights**2, captions))
    owner, is_candidate = corpus.owners(ngrams)
    key = owner * max(1, ngrams.grams) + ngrams.gram
    of_references = ~is_candidate
    caption, gram = ngrams.caption[of_references], ngrams.gram[of_references]
    candidate_weights = looked_up(key[of_references], key[is_candidate], ngrams.count[is_candidate]) * idf[gram]
    reference_weights = weights[of_references]
    references = len(corpus.references)
    both = norms[:references] * norms[references:][corpus.picture]
    found = []
    for hypothesis in (candidate_weights, np.minimum(candidate_weights, reference_weights)):
        product = summed(caption, hypothesis * reference_weights, references)
        found.append(np.divide(product, both, out=np.zeros_like(product), where=both > 0))
    return found[0], found[1]


def _length_penalty(corpus: Corpus) -> Floats:
    """[references]; lengths are counted in pairs of words, as the reference does."""
    pairs = np.maximum(corpus.lengths - 1, 0)
    references = len(corpus.references)
    difference = pairs[:references] - pairs[references:][corpus.picture]
    penalty: Floats = np.exp(-(difference**2) / (2 * _SIGMA**2))
    return penalty


def _counted(corpus: Corpus, ngrams: Ngrams) -> Integers:
    """In how many pictures' references each gram occurs [grams]."""
    owner, is_candidate = corpus.owners(ngrams)
    # Asked for counts, numpy sorts; without them it hashes, which takes ten times as long here.
    pairs, _ = np.unique(owner[~is_candidate] * max(1, ngrams.grams) + ngrams.gram[~is_candidate], return_counts=True)
    counts: Integers = np.bincount(pairs % max(1, ngrams.grams), minlength=ngrams.grams)
    return counts


def _known(corpus: Corpus, ngrams: Ngrams, frequencies: DocumentFrequencies) -> Integers:
    texts = (" ".join([corpus.words[word] for word in words]) for words in ngrams.examples.tolist())
    return np.array([frequencies.counts.get(text, 0) for text in texts], np.int64)


def count_documents(name: str, references: Sequence[Sequence[str]]) -> DocumentFrequencies:
    """The document frequencies of a corpus: captions, as they were written, of each picture.

    Raises:
        InputError: there are no captions.
    """
    captions = [list(texts) for texts in references if texts]
    if not captions:
        raise InputError(f"{name} has no captions to count words in")
    tokenized = tokenize([caption for texts in captions for caption in texts])
    corpus = corpus_of_tokens(tuple(map(str, range(len(captions)))), [len(texts) for texts in captions], [*tokenized, *[""] * len(captions)])
    counts: dict[str, int] = {}
    for ngrams in corpus.ngrams:
        for words, count in zip(ngrams.examples.tolist(), _counted(corpus, ngrams).tolist(), strict=True):
            counts[" ".join([corpus.words[word] for word in words])] = count
    return DocumentFrequencies(name, len(captions), counts)


def write_frequencies(path: Path, frequencies: DocumentFrequencies) -> None:
    """Save as JSON `{"name", "documents", "counts": {"a dog": 12}}`.

    Raises:
        StoreError: it cannot be written.
    """
    write_text(path, json.dumps({"name": frequencies.name, "documents": frequencies.documents, "counts": frequencies.counts}, ensure_ascii=False) + "\n")


def read_frequencies(path: Path) -> DocumentFrequencies:
    """What `write_frequencies` wrote.

    Raises:
        InputError: there is no such file, or it is something else.
    """
    hint = "Such a file is made by `clipcap eval … --save-idf FILE`."
    try:
        found = read_json(path, LARGEST_FILE)
    except FileNotFoundError as error:
        raise InputError("there is no such file of document frequencies", where=str(path), hint=hint) from error
    except (OSError, ValueError) as error:
        raise InputError(f"these document frequencies cannot be read: {error}", where=str(path), hint=hint) from error
    name, documents, counts = (found.get(key) if isinstance(found, dict) else None for key in ("name", "documents", "counts"))
    if not (isinstance(documents, int) and documents > 0 and isinstance(counts, dict) and all(isinstance(count, int) for count in counts.values())):
        raise InputError('this file has no document frequencies: {"name", "documents", "counts": {"a dog": 12}}', where=str(path), hint=hint)
    return DocumentFrequencies(str(name or path.name), documents, counts)
