"""One writer at a time for each resource of the store.

A lock is a courtesy between processes on one machine; what keeps files whole is the rename in `atomic`. The operating system drops the lock of a process that
died, so a stale one is simply taken over. The file beside it says who holds it, and is believed only as long as that very process lives.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import filelock

from clipcap_cli.errors import StoreError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.storage.atomic import store_errors
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.processes import birth, is_alive
from clipcap_cli.storage.reading import read_json
from clipcap_cli.words import duration, moment

_GLANCE_S = 0.3  # is_held takes a lock for an instant: so long nobody is taken for busy
_TELL_AFTER_S, _TELL_EVERY_S = 1.0, 30.0  # of waiting
_POLL_S = 0.05
_COMMAND_LENGTH = 120  # characters of a command line in a message
_PROGRAM = "clipcap"


class BusyError(StoreError):
    """Another living process holds a lock."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock; `birth` tells the process from a later one of the same number."""

    pid: int
    command: str
    since: str
    host: str
    birth: str

    def __str__(self) -> str:
        where = "" if self.host == platform.node() else f" on {self.host}"
        return f"process {self.pid}{where} ({self.command}, since {moment(self.since)})"


@contextmanager
def hold(home: Home, resource: str, *, wait_s: float = 0.0, events: Listener = silent) -> Iterator[None]:
    """Hold the lock of `resource` ("dataset-food", "run-food-2") while the block runs.

    Args:
        wait_s: how long another process may take to let go of it.
        events: are told when it takes longer than a second, and for whom one waits.

    Raises:
        BusyError: another living process holds it, and did not let go within `wait_s` seconds.
    """
    kind, _, name = resource.partition("-")
    with hold_file(home.prepare().locks / f"{resource}.lock", f"the {kind} {name!r}" if name else f"the list of {kind}", wait_s=wait_s, events=events):
        yield


@contextmanager
def hold_file(path: Path, what: str, *, wait_s: float = 0.0, events: Listener = silent) -> Iterator[None]:
    """Hold the lock of a file while the block runs.

    Args:
        path: the lock itself, an empty file that stays: whoever waits has it open.
        what: it stands for, for people.
        wait_s, events: as in `hold`.

    Raises:
        BusyError: as in `hold`.
    """
    holder = path.with_suffix(".holder")
    lock = filelock.FileLock(path)
    with store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, path, what, wait_s, events)
    try:
        with suppress(OSError):  # a full disk must not keep anybody from making room
            holder.write_text(json.dumps(asdict(_me())), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
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


def holder_of(path: Path) -> Holder | None:
    """Who holds the lock at `path`; None where that is not known, or what is written there is of a process that is gone."""
    try:
        found = Holder(**read_json(path.with_suffix(".holder")))
        if found.host == platform.node() and (not is_alive(found.pid) or found.birth != birth(found.pid)):
            return None
        return found
    except (OSError, ValueError, TypeError):
        return None


def _acquire(lock: filelock.BaseFileLock, path: Path, what: str, wait_s: float, events: Listener) -> None:
    began = time.monotonic()
    ends, tell_at = began + max(wait_s, _GLANCE_S), began + _TELL_AFTER_S
    while True:
        now = time.monotonic()
        try:
            lock.acquire(timeout=max(0.0, min(ends, tell_at) - now), poll_interval=_POLL_S)
            return
        except filelock.Timeout as error:
            who = holder_of(path) or "another process"
            if time.monotonic() >= ends:
                waited = f"It was waited for {duration(wait_s)}. " if wait_s >= 1 else ""
                hint = f"{waited}Wait for it to end, or stop it with Ctrl-C where it runs; then type this again."
                raise BusyError(f"{what} is being changed by {who}", where=str(path), hint=hint) from error
            events(Note(f"waiting for {who}, which is changing {what}"))
            tell_at = time.monotonic() + _TELL_EVERY_S


def _me() -> Holder:
    program = Path(sys.argv[0]).name if sys.argv else ""
    words = [_PROGRAM if program in ("__main__.py", "") else program, *sys.argv[1:]]
    command = " ".join(words)
    shown = command if len(command) <= _COMMAND_LENGTH else f"{command[: _COMMAND_LENGTH - 2]} …"
    return Holder(os.getpid(), shown, datetime.now(UTC).isoformat(timespec="seconds"), platform.node(), birth(os.getpid()))
