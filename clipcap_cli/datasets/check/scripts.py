"""Which script a text is written in."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

# Chinese and Japanese texts mix these; and they, as some others, put no blanks between words.
_EAST_ASIAN = {"CJK": "Chinese or Japanese", "HIRAGANA": "Chinese or Japanese", "KATAKANA": "Chinese or Japanese", "KATAKANA-HIRAGANA": "Chinese or Japanese"}
WITHOUT_BLANKS = frozenset({"Chinese or Japanese", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"})
LATIN = "Latin"


def script_of(text: str) -> str | None:
    """The script of most letters of a text ("Latin", "Cyrillic", …); None if it has no letters."""
    if text.isascii():
        return LATIN if any(map(str.isalpha, text)) else None
    counts = Counter(script for script in map(_script_of_letter, text) if script)
    return counts.most_common(1)[0][0] if counts else None


@lru_cache(maxsize=1 << 16)
def _script_of_letter(letter: str) -> str | None:
    if not letter.isalpha():
        return None
    first = unicodedata.name(letter, "").partition(" ")[0]
    # ª, º and the like belong to no script.
    return None if first in ("", "MODIFIER", "FEMININE", "MASCULINE") else _EAST_ASIAN.get(first, first.capitalize())
