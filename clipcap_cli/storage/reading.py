"""Reading files that anybody may have written: plain files only, no larger than such a file can be, and JSON no deeper than Python reads.

What is wrong is told as OSError or ValueError; the caller knows what the file should have been.
"""

from __future__ import annotations

import errno
import json
import stat
from pathlib import Path
from typing import Any

LARGEST = 64 * 2**20  # bytes of a record of the store or of a model's folder: they have kilobytes
LARGEST_FILE = 256 * 2**20  # bytes of a file that has something of every picture; as JSON in memory it is up to 25 times as large


def check_plain(path: Path, limit: int | None = None) -> None:
    """Whether `path` is a plain file, which opening cannot wait for, of at most `limit` bytes.

    Raises:
        OSError: it is not, or not there; `strerror` says why.
    """
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    if limit is not None and found.st_size > limit:
        raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes, more than the {limit:,} that are read", str(path))


def read_small(path: Path, limit: int = LARGEST) -> str:
    """The text of a file in UTF-8.

    Raises:
        OSError: it cannot be read, is no plain file, or has more than `limit` bytes.
        UnicodeDecodeError: it is not UTF-8.
    """
    check_plain(path, limit)
    return path.read_text(encoding="utf-8")


def read_json(path: Path, limit: int = LARGEST) -> Any:
    """What a file of JSON holds.

    Raises:
        OSError: as `read_small`.
        ValueError: it is not UTF-8, not JSON, or nested too deeply.
    """
    return parse_json(read_small(path, limit))


def parse_json(text: str) -> Any:
    """What JSON says.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
