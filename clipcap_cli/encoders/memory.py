"""Memory that long work asks for again and again stays with the process while it lasts.

Every training step, and every batch of pictures, makes and frees the same large tensors. glibc hands each of them back to the kernel and takes fresh pages for
the next, which have to be mapped and zeroed first: a sixth of a training step on the CPU, a third of the time of embedding (docs/performance.md).
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of mallopt, from glibc's malloc.h, with its default or, of the two thresholds, which grow with what is freed, what they soon arrive at.
_M_TRIM_THRESHOLD, _USUAL_TRIM_THRESHOLD = -1, 64 * 2**20
_M_MMAP_THRESHOLD, _USUAL_MMAP_THRESHOLD = -3, 32 * 2**20
_M_MMAP_MAX, _USUAL_MMAP_MAX = -4, 65536
_NEVER = 2**31 - 1  # bytes free at the top before any go back to the kernel; the largest that mallopt's int can hold
_CHOSEN_BY_USERS = ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@contextmanager
def keeping_freed_memory() -> Iterator[bool]:
    """Inside, glibc keeps what is freed; afterwards it is given back, and all is as glibc does it by itself.

    Whoever has set glibc's own variables for this, or uses another C library, is left alone.

    Yields:
        Whether it is so.
    """
    libc = _glibc()
    if libc is None:
        yield False
        return
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
    try:
        yield True
    finally:
        libc.mallopt(_M_MMAP_MAX, _USUAL_MMAP_MAX)
        libc.mallopt(_M_MMAP_THRESHOLD, _USUAL_MMAP_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, _USUAL_TRIM_THRESHOLD)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _CHOSEN_BY_USERS):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
