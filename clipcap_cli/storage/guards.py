"""What a small file could ask for in memory, looked at before it is read: pickles that remember under huge numbers, archives that grow when they are unpacked.

Nothing is made here and nothing is run. What is wrong is told as ValueError; the caller knows what the file should have been.
"""

from __future__ import annotations

import re
import zipfile
from typing import Any

# Opcodes of pickles whose length is known: alone, and with 1, 2, 4 and 8 bytes behind them. Runs of them are passed over at once.
_FIXED = re.compile(rb"(?:[(012NQRabdelostu)}\]\x81\x85-\x89\x8f-\x94\x97\x98]|[Khq\x80\x82].|[M\x83]..|[Jj\x84].{4}|[G\x95].{8})*+", re.DOTALL)
# Those that are followed by a length in so many bytes, and then by as much.
_COUNTED = {op: size for size, ops in ((1, b"UC\x8c\x8a"), (4, b"TXB\x8b"), (8, b"\x8d\x8e\x96")) for op in ops}
_LINES = {op: 2 if op in b"ci" else 1 for op in b"FILPSVgci"}  # those that are followed by lines of text
_LONG_PUT, _PUT = b"rp"
_LONGEST_LINE = 2**30  # bytes; the oldest pickles have all numbers of a tensor in one


def check_memo(data: Any) -> None:
    """Whether a pickle remembers no more things than it can hold.

    The reader of pickles keeps a table as long as the largest number under which anything is remembered, so that ten bytes can ask for 64 GB. Each number takes
    two bytes or more in an honest file, which begins at 0.

    Args:
        data: all of it: bytes, or a file that is mapped.

    Raises:
        ValueError: it does.
    """
    place, size = 0, len(data)
    while True:
        found = _FIXED.match(data, place)
        assert found is not None  # it matches nothing at least
        place = found.end()
        if place >= size:
            return
        code = data[place]
        place += 1
        if code in _COUNTED:
            width = _COUNTED[code]
            place += width + int.from_bytes(data[place : place + width], "little")
        elif code == _LONG_PUT:
            _check_number(int.from_bytes(data[place : place + 4], "little"), size)
            place += 4
        elif code == _PUT:
            end = _end_of_line(data, place)
            _check_number(int(data[place:end]), size)
            place = end
        elif code in _LINES:
            for _ in range(_LINES[code]):
                place = _end_of_line(data, place)
        else:  # the end, or what no reader goes on behind
            return


def _end_of_line(data: Any, place: int) -> int:
    """The place behind a line; the end of the data where it has no end."""
    end = int(data.find(b"\n", place, place + _LONGEST_LINE)) + 1
    if not end and len(data) - place > _LONGEST_LINE:
        raise ValueError("it has a line without an end")
    return end or len(data)


def _check_number(number: int, size: int) -> None:
    if not 0 <= number <= size:
        raise ValueError("it asks for more memory than it could need")


def check_stored(archive: zipfile.ZipFile, size: int) -> None:
    """Whether the files of a zip lie in it as they are. torch compresses no weights, and a small archive must not become a large one.

    Args:
        size: of the archive, in bytes.

    Raises:
        ValueError: a file in it is compressed, or together they are larger than the archive.
    """
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(entry.file_size for entry in entries) > size:
        raise ValueError("its files are compressed")
