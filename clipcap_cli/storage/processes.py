"""Processes of this machine: which one this is, and whether another is still there."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path


def machine() -> str:
    """Six hex digits for where process ids mean the same: this machine, or this container of it."""
    try:
        room = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        room = ""
    return hashlib.sha256(f"{platform.node()} {room}".encode()).hexdigest()[:6]


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has this id."""
    if sys.platform == "win32":
        import ctypes

        synchronize, timeout = 0x00100000, 0x102
        handle = ctypes.windll.kernel32.OpenProcess(synchronize, False, pid)
        if not handle:
            return False
        waited = ctypes.windll.kernel32.WaitForSingleObject(handle, 0)
        ctypes.windll.kernel32.CloseHandle(handle)
        return bool(waited == timeout)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True


def birth(pid: int) -> str:
    """When a process began, in the kernel's own count, so that a later one of the same id is known to be another; "" where that cannot be told."""
    try:
        # The name of the program stands in brackets and may hold anything; the start time is the 20th number behind it.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
