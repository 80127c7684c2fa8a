"""How a token is written down once its shape is known: the piece of the caption goes in, what stands for it in the Penn Treebank comes out.

The lower case is left to the caller. Source: the bracketing guidelines of the Penn Treebank (quotes as in LaTeX, brackets by name), as the COCO caption
evaluation's tokeniser applies them.
"""

from __future__ import annotations

import re

_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_FRACTIONS = {"¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}
_CURRENCIES = {"¢": "cents", "£": "#", "¤": "$", "₠": "$", "€": "$", "\x80": "$"}  # \x80 is the euro of Windows' code page 1252
_CURLY_QUOTES = str.maketrans(
    {
        **dict.fromkeys("\x91‘‛‹", "`"),
        **dict.fromkeys("\x92’›", "'"),
        **dict.fromkeys("\x93“«", "``"),
        **dict.fromkeys("\x94”»", "''"),
    }
)
_SOFT_HYPHEN = "\xad"


def as_it_stands(piece: str) -> str:
    return piece


def nothing(piece: str) -> str:
    return ""


def without_soft_hyphens(piece: str) -> str:
    return piece.replace(_SOFT_HYPHEN, "") or "-"


def with_ampersand(piece: str) -> str:
    return re.sub("&amp;", "&", piece, flags=re.ASCII | re.IGNORECASE)


def less_than(piece: str) -> str:
    return "<"


def greater_than(piece: str) -> str:
    return ">"


def dash(piece: str) -> str:
    return "--"


def hyphens(piece: str) -> str:
    return "--" if 3 <= len(piece) <= 4 else piece


def ellipsis(piece: str) -> str:
    return "..."


def bracket(piece: str) -> str:
    return _BRACKETS[piece]


def with_round_brackets(piece: str) -> str:
    return piece.replace("(", "-lrb-").replace(")", "-rrb-")


def with_hard_spaces(piece: str) -> str:
    return piece.replace(" ", "\xa0")


def phone_number(piece: str) -> str:
    return with_round_brackets(with_hard_spaces(piece))


def fraction(piece: str) -> str:
    return _FRACTIONS.get(piece, piece)


def currency(piece: str) -> str:
    return _CURRENCIES.get(piece, piece)


def opening_quote(piece: str) -> str:
    return _quotes(piece, "`")


def closing_quote(piece: str) -> str:
    return _quotes(piece, "'")


def _quotes(piece: str, single: str) -> str:
    # Only these entities in lower case are known to the reference here, though it takes "&APOS;" for one token too.
    piece = piece.replace("&apos;", "'").replace("'", single)
    return piece.replace('"', single * 2).replace("&quot;", single * 2).translate(_CURLY_QUOTES)
