"""What is wrong with a caption's characters and can be mended without knowing what it means.

Each function gives a text back as it was if nothing is wrong with it.
"""

from __future__ import annotations

import html
import re

from clipcap_cli.datasets.records import clean_caption

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_TWICE = 3  # "&amp;amp;" and worse
# Characters that take no room and mean nothing between words: zero-width space, word joiner, byte-order mark, soft hyphen. The joiners of Persian and of
# emoji are none of them.
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad]")


def without_mojibake(text: str) -> str:
    """UTF-8 that was read as something else ("cafÃ©") as it was meant."""
    if text.isascii():
        return text
    from ftfy import fix_encoding
    from ftfy.badness import is_bad

    return fix_encoding(text) if is_bad(text) else text


def without_entities(text: str) -> str:
    """HTML entities ("salt &amp; pepper") as the characters that they stand for."""
    for _ in range(_TWICE):
        if "&" not in text:
            break
        text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    return text


def without_stray_space(text: str) -> str:
    """One blank between words, none around them, and no invisible characters."""
    return clean_caption(_INVISIBLE.sub("", text)) or text
