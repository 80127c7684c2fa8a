"""What is scored: tokenised candidates and references, with their n-grams counted once for all metrics.

Everything is integers in flat arrays, so that a metric is a few array operations over all pictures at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipcap_cli.errors import InputError
from clipcap_cli.evaluation.metrics.tokenizer import tokenize

ORDERS = 4  # n-grams of one to four words

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Ngrams:
    """The n-grams of one order in all captions: references first, then candidates.

    Attributes:
        grams: how many different ones there are.
        caption, gram, count: [entries], sorted by caption and gram: this gram occurs so often in this caption.
        examples: [grams, order], the words of each gram, by number.
    """

    grams: int
    caption: Integers
    gram: Integers
    count: Integers
    examples: Integers


@dataclass(frozen=True)
class Corpus:
    """References and candidates of some pictures, one candidate each.

    Attributes:
        ids: of the pictures.
        references: tokenised, of all pictures, one after the other [references].
        picture: the row of each reference's picture [references].
        candidates: tokenised [pictures].
        words: the vocabulary.
        lengths: words of each caption, references first [references + pictures].
        ngrams: of one to four words.
    """

    ids: tuple[str, ...]
    references: list[str]
    picture: Integers
    candidates: list[str]
    words: list[str]
    lengths: Integers
    ngrams: list[Ngrams]

    @property
    def pictures(self) -> int:
        """How many."""
        return len(self.candidates)

    @property
    def firsts(self) -> Integers:
        """The place of each picture's first reference [pictures]."""
        return np.searchsorted(self.picture, np.arange(self.pictures))

    def owners(self, ngrams: Ngrams) -> tuple[Integers, NDArray[np.bool_]]:
        """For each entry of `ngrams`, the row of its picture, and whether its caption is a candidate."""
        is_candidate = ngrams.caption >= len(self.references)
        owner = np.concatenate([self.picture, np.arange(self.pictures)])[ngrams.caption]
        return owner, is_candidate


def looked_up(asked: Integers, keys: Integers, values: Integers) -> Integers:
    """The value of each key that was asked for; 0 for those that are not among the sorted `keys`."""
    if not len(keys):
        return np.zeros(len(asked), np.int64)
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, values[place], 0)


def make_corpus(references: Mapping[str, Sequence[str]], candidates: Mapping[str, str]) -> Corpus:
    """Tokenise and count.

    Args:
        references: at least one caption for each picture, as they were written.
        candidates: one for each picture that has references.

    Raises:
        InputError: there are none, a picture has no reference, or the pictures of the two are not the same.
    """
    _check(references, candidates)
    flat = [caption for captions in references.values() for caption in captions]
    tokenized = tokenize([*flat, *(candidates[image] for image in references)])
    return corpus_of_tokens(tuple(references), [len(captions) for captions in references.values()], tokenized)


def corpus_of_tokens(ids: tuple[str, ...], reference_counts: Sequence[int], tokenized: list[str]) -> Corpus:
    """The corpus of captions that are tokenised already: all references picture by picture, then a candidate for each picture."""
    picture = np.repeat(np.arange(len(ids)), np.asarray(reference_counts, np.int64))
    words, lengths, ngrams = _count(tokenized)
    return Corpus(ids, tokenized[: len(picture)], picture, tokenized[len(picture) :], words, lengths, ngrams)


def _check(references: Mapping[str, Sequence[str]], candidates: Mapping[str, str]) -> None:
    if not references:
        raise InputError("there is nothing to score: no picture has references")
    bare = [image for image, captions in references.items() if not captions]
    for what, missing in (
        ("references for", bare or sorted(candidates.keys() - references.keys())),
        ("caption for", sorted(references.keys() - candidates.keys())),
    ):
        if missing:
            raise InputError(f"there is no {what} {len(missing):,} of the pictures, such as {', '.join(map(repr, missing[:3]))}")


def _count(tokenized: list[str]) -> tuple[list[str], Integers, list[Ngrams]]:
    split = [line.split() for line in tokenized]
    numbers: dict[str, int] = {}
    tokens = np.array([numbers.setdefault(word, len(numbers)) for words in split for word in words], np.int64)
    lengths = np.array([len(words) for words in split], np.int64)
    caption = np.repeat(np.arange(len(split)), lengths)
    starts = np.arange(len(tokens))
    grams = tokens
    counted = []
    for order in range(1, ORDERS + 1):
        if order > 1:
            # One word more, as long as it is of the same caption; a gram is the gram before it and that word.
            ends = starts + order - 1
            inside = ends < len(tokens)
            inside[inside] = caption[ends[inside]] == caption[starts[inside]]
            starts = starts[inside]
            grams = grams[inside] * max(1, len(numbers)) + tokens[starts + order - 1]
        grams, somewhere = _numbered(grams)
        examples = tokens[starts[somewhere][:, None] + np.arange(order)]
        entries, count = np.unique(caption[starts] * max(1, len(somewhere)) + grams, return_counts=True)
        where, gram = np.divmod(entries, max(1, len(somewhere)))
        counted.append(Ngrams(len(somewhere), where, gram, count, examples))
    return list(numbers), lengths, counted


def _numbered(keys: Integers) -> tuple[Integers, Integers]:
    """The keys as numbers from 0, and of each number a place where it stands."""
    # As np.unique does with its inverse, which insists on a stable sort: this one takes a third of the time.
    order = np.argsort(keys)
    ranked = keys[order]
    is_new = np.append(True, ranked[1:] != ranked[:-1]) if len(keys) else np.empty(0, bool)
    numbers = np.empty(len(keys), np.int64)
    numbers[order] = np.cumsum(is_new) - 1
    return numbers, order[is_new]
