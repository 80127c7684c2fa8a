"""What the captions and pictures of a dataset are like, in a few numbers: how long, how large, how many, and which words.

They are counted once, when a version is written, and kept in its version.json, so that a million captions are shown as quickly as ten.

A word is what stands between blanks, without the punctuation around it; in Chinese and Japanese, which have no blanks, each character is one. Thai, Lao and
Khmer have no blanks either: there a word is a phrase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from clipcap_cli.datasets.versions import Picture

TOP_WORDS = 20
# Pixels at which the shorter side of a picture begins to be of another kind: 224 and 336 are what encoders look at, the others are usual sizes.
SIDES = (1, 64, 128, 224, 336, 512, 768, 1024, 2048, 4096)

_BINS = 10
_BULK = 99  # per cent of the values that have bins of their own; what is larger shares one
_AT_ONCE = 1 << 17  # captions: 100 MB of words
_LONGEST_WORD = 40  # characters of one that is shown

# Patterns of RE2, which knows the scripts.
_WITHOUT_BLANKS = r"([\p{Han}\p{Hiragana}\p{Katakana}])"
_AROUND_WORDS = r"^[^\pL\pN\pM]+|[^\pL\pN\pM]+$"

# Words that say nothing about a picture: of English, and articles and the like of five neighbours. What is a thing in English (a van, a son) is not among them.
_SAY_NOTHING = """
a about above after against all along an and another any are around as at away back be beside been being behind below between both but by can could did
do does down during each every for from had has have he her here him his how i if in inside into is it its just like many me more most my near next no not
of off on one onto or other others our out outside over s several she so some such t than that the their them then there these they this those through to
too toward towards two under up upon us very was we were what when where which while who will with within without you your
am auf aus bei das dem den der des die ein eine einem einen einer eines im ist mit nach sind und vom von vor zu zum zur über
au aux avec ce cette dans de du elle en est et il la le les leur par pour qui sa ses sont sur un une
al con del el ella es esta este lo los las para por que se su sus una uno y
che da dal della delle di e gli ha nel nella sono sul sulla
com da das dos ele ela em mais na nas no nos o os ou seu sua um uma
aan bij een en het hij naar niet op te voor ze zijn
"""
_STOP_WORDS = frozenset(_SAY_NOTHING.split())


@dataclass(frozen=True)
class Bin:
    """How many values are at least `low` and at most `high`; None is no limit."""

    low: int
    high: int | None
    count: int


@dataclass(frozen=True)
class Distribution:
    """Whole numbers: the least, the middle one and the most, and how many there are in each bin. Without values all are 0, and there is no bin."""

    least: int
    median: int
    most: int
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Statistics:
    """What a version's captions and pictures are like.

    Attributes:
        caption_words: words in a caption.
        picture_captions: captions of a picture.
        shorter_sides: of the pictures that have a file, in pixels.
        words: in all captions together.
        vocabulary: different ones of them, in lower case.
        top_words: the most frequent that say something about pictures, and how often.
    """

    caption_words: Distribution
    picture_captions: Distribution
    shorter_sides: Distribution
    words: int
    vocabulary: int
    top_words: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "top_words": dict(self.top_words)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Statistics:
        """The way back.

        Raises:
            KeyError, TypeError, ValueError, OverflowError: this is not what `as_json` makes.
        """
        return cls(
            caption_words=_distribution_from(value["caption_words"]),
            picture_captions=_distribution_from(value["picture_captions"]),
            shorter_sides=_distribution_from(value["shorter_sides"]),
            words=int(value["words"]),
            vocabulary=int(value["vocabulary"]),
            top_words={str(word): int(times) for word, times in dict(value["top_words"]).items()},
        )


def statistics_of(pictures: Sequence[Picture]) -> Statistics:
    """Count what the pictures of a version and their captions are like."""
    import numpy as np

    vocabulary: Counter[str] = Counter()
    lengths: list[np.ndarray] = []
    captions = (caption for picture in pictures for caption in picture.captions)
    while batch := list(islice(captions, _AT_ONCE)):
        found, counted = _words(batch)
        lengths.append(found)
        vocabulary.update(counted)
    telling = ((word, times) for word, times in _most_frequent(vocabulary) if word not in _STOP_WORDS and any(map(str.isalpha, word)))
    return Statistics(
        caption_words=distribution(np.concatenate(lengths) if lengths else np.zeros(0, np.int64)),
        picture_captions=distribution(np.array([len(picture.captions) for picture in pictures], np.int64)),
        shorter_sides=distribution(np.array([min(picture.width, picture.height) for picture in pictures if picture.path], np.int64), SIDES),
        words=vocabulary.total(),
        vocabulary=len(vocabulary),
        top_words={word[:_LONGEST_WORD]: times for word, times in islice(telling, TOP_WORDS)},
    )


def distribution(values: np.ndarray, edges: Sequence[int] | None = None) -> Distribution:
    """Count whole numbers from 0 on.

    Args:
        edges: where bins begin; else they are of one round width, with one for the few values that are far larger than the others.
    """
    import numpy as np

    if not len(values):
        return Distribution(0, 0, 0, ())
    least, most = int(values.min()), int(values.max())
    starts = np.array(_round_edges(least, int(np.percentile(values, _BULK)), most) if edges is None else [0, *edges])
    counts = np.bincount(np.searchsorted(starts, values, side="right") - 1, minlength=len(starts)).tolist()
    lows = starts.tolist()
    highs = [low - 1 for low in lows[1:]]
    bins = [Bin(low, high, count) for low, high, count in zip(lows, [*highs, None], counts, strict=True)]
    there = [place for place, bin_ in enumerate(bins) if bin_.count]
    return Distribution(least, int(np.median(values)), most, tuple(bins[there[0] : there[-1] + 1]))


def _round_edges(least: int, bulk: int, most: int) -> list[int]:
    """Where bins begin that hold `least` to `bulk`, and the one for what is larger; that one ends where the others would, if `most` is in it."""
    power = 1
    while (bulk - least) // (10 * power) >= _BINS:
        power *= 10
    width = next(factor * power for factor in (1, 2, 5, 10) if (bulk - least) // (factor * power) < _BINS)
    starts = list(range(least // width * width, bulk + width + 1, width))
    return [*starts, starts[-1] + width] if most < starts[-1] + width else starts


def _words(captions: Sequence[str]) -> tuple[np.ndarray, Counter[str]]:
    """Words in each caption [captions], and how often each word comes. Ten million words are 2 s; Python's own way with them takes three times as long."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.replace_substring_regex(pc.utf8_lower(pa.array(captions, pa.large_string())), pattern=_WITHOUT_BLANKS, replacement=r" \1 ")
    parts = pc.utf8_split_whitespace(texts)
    encoded = parts.flatten().dictionary_encode()
    kinds, places = pc.replace_substring_regex(encoded.dictionary, pattern=_AROUND_WORDS, replacement="").to_pylist(), encoded.indices.to_numpy()
    is_word = np.array([bool(kind) for kind in kinds], bool)
    words_before = np.concatenate([[0], np.cumsum(is_word[places])])
    ends = parts.offsets.to_numpy()
    counted: Counter[str] = Counter()
    for kind, times in zip(kinds, np.bincount(places, minlength=len(kinds)).tolist(), strict=True):
        if kind:
            counted[kind] += times
    return words_before[ends[1:]] - words_before[ends[:-1]], counted


def _most_frequent(vocabulary: Counter[str]) -> Iterator[tuple[str, int]]:
    """The most frequent first; those that come as often by their letters."""
    return iter(sorted(vocabulary.items(), key=lambda item: (-item[1], item[0])))


def _distribution_from(value: Mapping[str, Any]) -> Distribution:
    bins = tuple(Bin(int(each["low"]), None if each["high"] is None else int(each["high"]), int(each["count"])) for each in value["bins"])
    return Distribution(int(value["least"]), int(value["median"]), int(value["most"]), bins)
