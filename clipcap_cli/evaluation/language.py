"""What captions are like by themselves, without references: how long, how varied, how often the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from clipcap_cli.evaluation.metrics.tokenizer import tokenize

_SHOWN = 10  # most frequent captions
# When a captioner says the same to everything. People who caption everyday pictures repeat a caption for about one picture in a hundred.
_COLLAPSED_TOP = 0.2  # share of pictures with the most frequent caption
_COLLAPSED_DISTINCT = 0.2  # distinct captions / pictures
_FEW = 20  # pictures, below which nothing is said about it


@dataclass(frozen=True)
class LanguageStatistics:
    """What was found; shares are of 1.

    Attributes:
        captions: how many.
        mean_words, shortest, longest: words of a caption, punctuation left out.
        vocabulary: different words.
        distinct_captions: different captions.
        distinct_1, distinct_2: different words / words, different pairs / pairs (Li et al. 2016, section 5.2).
        seen_in_training: share that a caption of the training split says word for word; None where that is not known.
        repetitive: share in which a word, or two to four words, come twice in a row.
        empty: share without any word.
        cut: share that was ended by the length limit; None where that is not known.
        most_frequent: the captions that come most often, and how often.
        collapse: what is wrong, in one sentence, if nearly everything gets the same caption; else None.
    """

    captions: int
    mean_words: float
    shortest: int
    longest: int
    vocabulary: int
    distinct_captions: int
    distinct_1: float
    distinct_2: float
    seen_in_training: float | None
    repetitive: float
    empty: float
    cut: float | None
    most_frequent: tuple[tuple[str, int], ...]
    collapse: str | None


def describe(captions: Sequence[str], *, training: Iterable[str] | None = None, cut: Sequence[bool] | None = None) -> LanguageStatistics:
    """The statistics of at least one caption.

    Args:
        training: captions that the captioner has learned from.
        cut: of each caption, whether the length limit ended it.
    """
    total = len(captions)
    tokenized = tokenize(captions)
    split = [line.split() for line in tokenized]
    words = [word for line in split for word in line]
    pairs = [pair for line in split for pair in pairwise(line)]
    frequent = Counter(tokenized).most_common(_SHOWN)
    as_written = dict(zip(reversed(tokenized), reversed(captions), strict=True))
    learned = set(tokenize(list(training))) if training is not None else None
    return LanguageStatistics(
        captions=total,
        mean_words=len(words) / total,
        shortest=min(map(len, split)),
        longest=max(map(len, split)),
        vocabulary=len(set(words)),
        distinct_captions=len(set(tokenized)),
        distinct_1=len(set(words)) / max(1, len(words)),
        distinct_2=len(set(pairs)) / max(1, len(pairs)),
        seen_in_training=None if learned is None else sum(line in learned for line in tokenized) / total,
        repetitive=sum(map(_repeats, split)) / total,
        empty=sum(not line for line in split) / total,
        cut=None if cut is None else sum(cut) / total,
        most_frequent=tuple((as_written[line], count) for line, count in frequent),
        collapse=_collapse(total, len(set(tokenized)), as_written[frequent[0][0]], frequent[0][1]),
    )


def _repeats(words: Sequence[str]) -> bool:
    """Whether one to four words come twice in a row: "a dog dog", "on the on the"."""
    return any(
        words[start : start + length] == words[start + length : start + 2 * length] for length in range(1, 5) for start in range(len(words) - 2 * length + 1)
    )


def _collapse(total: int, distinct: int, top: str, count: int) -> str | None:
    if total < _FEW:
        return None
    if count / total >= _COLLAPSED_TOP:
        return f"{count / total:.0%} of the pictures get the same caption, {top!r}"
    if distinct / total <= _COLLAPSED_DISTINCT:
        return f"{total:,} pictures get only {distinct:,} different captions"
    return None
