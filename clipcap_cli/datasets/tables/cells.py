"""What one cell of a table says: a caption, or a list of them, in any of the ways that tables have lists.

Text tables have lists as JSON (["a", "b"]), as Python prints them (['a', 'b']), or as numpy does (['a' 'b'], over several lines). Nothing of a cell is
ever evaluated.
"""

from __future__ import annotations

import json
import re

_TEXT_KEYS = ("raw", "caption", "text", "sentence")  # of a caption that is an object
_ELEMENT = re.compile(r"""\s*,?\s*(?:'([^'\\]*(?:\\.[^'\\]*)*)'|"([^"\\]*(?:\\.[^"\\]*)*)"|None|nan|null|\.\.\.)""", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_LAST_CHARACTER = 0x10FFFF


def texts_in(cell: object) -> list[str]:
    """The captions of a cell, in their order; none of one that holds no text."""
    if not isinstance(cell, str):
        cell = _told(cell)
    if isinstance(cell, str):
        listed = list_in(cell) if "[" in cell else None
        return [cell] if listed is None else listed
    return _texts(cell) if isinstance(cell, list) else []


def text_in(cell: object) -> str:
    """A cell as one text: a number by its digits, nothing as ""; a list or an object is none."""
    if not isinstance(cell, str):
        cell = _told(cell)
    return "" if cell is None or isinstance(cell, list) else str(cell).strip()


def list_in(text: str) -> list[str] | None:
    """The texts of a list that is written out; None if this is no list of texts."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return _printed_list(text)
    return _texts(found) if _texts(found) or not found else None


def _printed_list(text: str) -> list[str] | None:
    """As Python and numpy print lists; Python itself would read 'a' 'b' as one text."""
    place, end = 1, len(text) - 1
    elements: list[str | None] = []
    while match := _ELEMENT.match(text, place, end):
        place = match.end()
        inner = match[1] if match[1] is not None else match[2]
        elements.append(None if inner is None else _ESCAPE.sub(_meant, inner))
    return _texts(elements) if elements and not text[place:end].strip(" \t\r\n,") else None


def _texts(elements: list[object] | list[str | None]) -> list[str]:
    return [text for text in map(_told, elements) if isinstance(text, str)]


def _told(value: object) -> object:
    """A value as it is, but bytes as text, and of an object with a caption in it that caption."""
    if isinstance(value, dict):
        return next((value[key] for key in _TEXT_KEYS if key in value), None)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _meant(escape: re.Match[str]) -> str:
    digits = escape[1] or escape[2] or escape[3]
    if digits is None:
        return _ESCAPED.get(escape[4], escape[4])
    return chr(int(digits, 16)) if int(digits, 16) <= _LAST_CHARACTER else escape[0]
