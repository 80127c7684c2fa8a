"""How a text file is encoded."""

from __future__ import annotations

import codecs
from pathlib import Path

from clipcap_cli.storage.reading import check_plain

MAX_BYTES = 1 << 32  # of a table; the one of Conceptual 12M has 2.7 GB

_PIECE = 1 << 16  # bytes
_MARKS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def text_encoding(path: Path, limit: int = MAX_BYTES) -> str:
    """The encoding of a text file: by its mark, else UTF-8 if it is that, else UTF-16 by its zero bytes, else Windows-1252.

    Raises:
        OSError: it cannot be read, is no plain file, or has more than `limit` bytes.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    check_plain(path, limit)
    with path.open("rb") as stream:
        start = stream.read(_PIECE)
        if encoding := _by_its_start(start):
            return encoding
        piece = start
        try:
            while piece:
                decoder.decode(piece)
                piece = stream.read(_PIECE)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8"


def decode(data: bytes) -> tuple[str, str]:
    """The text of some bytes, and the encoding that they were taken to have, as `text_encoding` finds it."""
    encoding = _by_its_start(data[:_PIECE]) or "utf-8"
    try:
        return data.decode(encoding), encoding
    except UnicodeDecodeError:
        encoding = "cp1252" if encoding == "utf-8" else encoding
        return data.decode(encoding, errors="replace"), encoding


def _by_its_start(start: bytes) -> str | None:
    """The encoding that a mark or zero bytes give away."""
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding
    for encoding, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if zeros and zeros.count(0) > len(zeros) // 2:
            return encoding
    return None
