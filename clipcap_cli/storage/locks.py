"""One writer at a time for each resource of the store.

A lock is a courtesy between processes on one machine; what keeps files whole is the rename in `atomic`. The operating system drops the lock of a process that
died, so a stale one is simply taken over; the file beside it says who holds it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import filelock

from clipcap_cli.errors import StoreError
from clipcap_cli.storage.atomic import store_errors
from clipcap_cli.storage.home import Home


@contextmanager
def hold(home: Home, resource: str, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of `resource` ("dataset-food", "run-food-2") while the block runs.

    Raises:
        StoreError: another living process holds it, and did not let go within `wait_s` seconds.
    """
    path = home.prepare().locks / f"{resource}.lock"
    with store_errors(path):
        path.parent.mkdir(exist_ok=True)
        holder = path.with_suffix(".holder")
        lock = filelock.FileLock(path)
        try:
            lock.acquire(timeout=wait_s)
        except filelock.Timeout as error:
            who = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
            raise StoreError(f"{resource} is being changed by {who}", where=str(path), hint="Wait for it to end, then type this again.") from error
    try:
        with store_errors(path):
            holder.write_text(f"process {os.getpid()}", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def is_held(home: Home, resource: str) -> bool:
    """Whether a living process holds the lock of `resource` now."""
    path = home.locks / f"{resource}.lock"
    if not path.exists():
        return False
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except (filelock.Timeout, OSError):
        return True
    lock.release()
    return False
