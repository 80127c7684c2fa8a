"""Two folders that change places in one instant, where the operating system has a call for it: Linux (renameat2) and macOS (renamex_np)."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

# Whether the system has such a call; a file system (NFS, some FUSE ones) may still refuse it.
ON_THIS_SYSTEM = sys.platform in ("linux", "darwin")
_REFUSED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h
_RENAME_SWAP = 2  # sys/stdio.h of macOS


def exchange(first: Path, second: Path) -> bool:
    """Let two paths of one file system change places; at each instant both are there.

    Returns:
        Whether they have; False where there is no such call.

    Raises:
        OSError: one of them is not there, or the file system cannot be written.
    """
    call = _call()
    if call is None:
        return False
    here, there = os.fsencode(first), os.fsencode(second)
    arguments = (_AT_FDCWD, here, _AT_FDCWD, there, _RENAME_EXCHANGE) if sys.platform == "linux" else (here, there, _RENAME_SWAP)
    if call(*arguments) == 0:
        return True
    number = ctypes.get_errno()
    if number in _REFUSED:
        return False
    raise OSError(number, os.strerror(number), str(second))


@cache
def _call() -> Any:
    """The C library's function; None where it has none."""
    if not ON_THIS_SYSTEM:
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2" if sys.platform == "linux" else "renamex_np", None)
    if function is not None:
        one = [ctypes.c_int, ctypes.c_char_p]
        function.argtypes = [*one, *one, ctypes.c_uint] if sys.platform == "linux" else [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint]
        function.restype = ctypes.c_int
    return function
