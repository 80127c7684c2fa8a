"""The tokens of captions: captions go in, and out come their tokens in lower case and without punctuation, as BLEU, ROUGE-L and CIDEr count them.

The tokens are exactly those of the COCO caption evaluation (pycocoevalcap 1.2), which runs PTBTokenizer of Stanford CoreNLP 3.4.1 with `-preserveLines
-lowerCase` and drops what is in its list of punctuation. Two things of it are not copied. There, a carriage return or another end of a line inside a caption
shifts all captions after it; here it is white space. And there, what the next caption begins with may decide how a caption's last word is cut ("plan A.",
"no."); here every caption stands alone, and is cut as if one that begins with the word "A" came next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from clipcap_cli.evaluation.metrics.tokenizer.automaton import Automaton, Node, backwards
from clipcap_cli.evaluation.metrics.tokenizer.shapes import token_shapes

# The names of brackets are never met, for tokens are in lower case when they are looked up: as in the reference, "-lrb-" is kept and counts as a word.
PUNCTUATION: frozenset[str] = frozenset(["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"])

_END = "\n"
_NEXT_CAPTION = "A "
_ENDS_OF_LINES = str.maketrans(dict.fromkeys("\n\r\x0b\x0c\u2028\u2029", " "))
_BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")
_SPACES = frozenset(" \t\xa0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u3000")
_HAS_SPACE = re.compile(r"\s").search
_PIECES_KEPT, _LONGEST_KEPT = 100_000, 64


def tokenize(captions: Sequence[str]) -> list[str]:
    """Cut captions into tokens.

    Args:
        captions: any texts.

    Returns:
        For each caption its tokens, separated by single spaces, in lower case and without punctuation.
    """
    lexer = _lexer()
    return [lexer.tokenize(caption) for caption in captions]


class _Context(NamedTuple):
    """What tells where a token ends inside a match that covers what must follow it, too."""

    token: Automaton
    following: Automaton


class _Lexer:
    """Cuts captions, and remembers how it cut the pieces between their spaces."""

    def __init__(self) -> None:
        self._shapes = token_shapes()
        self._whole = Automaton([shape.pattern if shape.before is None else Node("then", (shape.pattern, shape.before)) for shape in self._shapes])
        self._contexts = [
            None if shape.before is None else _Context(Automaton([shape.pattern]), Automaton([backwards(shape.before)])) for shape in self._shapes
        ]
        # Only pieces whose cutting looked no farther than at the space (or the end) behind them: whatever follows, they are always cut so.
        self._pieces: dict[str, tuple[str, ...]] = {}
        # Of those whose tokens have no white space in them, what comes out in the end: most captions need nothing but this.
        self._ready: dict[str, str] = {"": ""}

    def tokenize(self, caption: str) -> str:
        text = caption if caption.isascii() and caption.isprintable() else _BEYOND_16_BITS.sub(_as_java_has_it, caption.translate(_ENDS_OF_LINES))
        text += _END
        ready = [self._ready.get(piece) for piece in text.split(" ")]
        if None not in ready:
            return " ".join([piece for piece in ready if piece])
        tokens = self._cut(text)
        # Joined and split, because the reference looks for white space at the end of a line of tokens, where a token itself may have some.
        return " ".join(token for token in " ".join(tokens).rstrip().split(" ") if token and token not in PUNCTUATION)

    def _cut(self, text: str) -> list[str]:
        size = len(text) - len(_END)
        text += _NEXT_CAPTION
        tokens: list[str] = []
        dead_ends: set[tuple[int, int]] = set()
        place = 0
        while place < size:
            start = place
            space = text.find(" ", start, size)
            stop = size if space < 0 else space
            piece = text[start : stop if stop < size else stop + len(_END)]
            known = self._pieces.get(piece)
            if known is None:
                found: list[str] = []
                read = place
                while place < stop:
                    match = self._whole.longest(text, place, dead_ends)
                    end = self._end(text, place, match.end, match.pattern)
                    if token := self._shapes[match.pattern].spelling(text[place:end]):
                        found.append(_as_python_has_it(token).lower())
                    read = max(read, match.read)
                    place = end
                if place == stop and read <= stop + 1 and self._worth_keeping(piece):
                    self._pieces[piece] = tuple(found)
                    if not any(map(_HAS_SPACE, found)):
                        self._ready[piece] = " ".join(token for token in found if token not in PUNCTUATION)
                tokens += found
            else:
                tokens += known
                place = stop
            # From a space on, all spaces are one piece of white space; without one before it, a hard space may begin the address of a site.
            if place == space:
                while text[place] in _SPACES:
                    place += 1
        return tokens

    def _worth_keeping(self, piece: str) -> bool:
        return len(piece) <= _LONGEST_KEPT and len(self._pieces) < _PIECES_KEPT and piece[:1] not in _SPACES

    def _end(self, text: str, start: int, stop: int, number: int) -> int:
        """Where the token ends: as far as possible, so that it and what must follow it share the match between them."""
        context = self._contexts[number]
        if context is None:
            return stop
        return max(set(context.token.ends(text, start, stop)) & set(context.following.ends(text, stop, start)))


@cache
def _lexer() -> _Lexer:
    return _Lexer()


def _as_java_has_it(found: re.Match[str]) -> str:
    """A character beyond 16 bits as two halves: the reference counts it as two characters."""
    code = ord(found.group()) - 0x10000
    return chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))


def _as_python_has_it(token: str) -> str:
    return token if token.isascii() else token.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
