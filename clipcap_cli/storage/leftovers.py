"""What is being written, and what a killed process leaves of it.

    .NAME.PID-MACHINE-RANDOM.part     being written, or being removed; nobody reads it
    .NAME.PID-MACHINE-RANDOM.aside    an older folder NAME while a new one takes its place, where no system call lets them change places

The process in the name tells whether somebody is still at it. Where the process is another machine's (or another container's), a day without a change tells.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from clipcap_cli.storage.processes import is_alive, machine

PART = ".part"
ASIDE = ".aside"
_WRITTEN = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)-(?P<machine>[0-9a-f]{6})-[0-9a-f]{8}\.(?:part|aside)")
_KEPT_OF_A_NAME = 50  # characters: a file may have a name as long as the file system allows, and this one's is longer
_FOREIGN_S = 86_400.0  # no clipcap of another machine leaves what it writes untouched for a day


def part_path(path: Path) -> Path:
    """A free name beside `path` for what is being written."""
    return _beside(path, path.name[:_KEPT_OF_A_NAME], PART)


def aside_path(path: Path) -> Path:
    """A free name beside the folder `path`, from which `heal` brings it back."""
    return _beside(path, path.name, ASIDE)


def leftovers(folder: Path) -> Iterator[Path]:
    """What lies in `folder`, however deep, half written or half removed, and belongs to no living process."""
    for path in _found(folder):
        if path.name.endswith(PART) and is_abandoned(path):
            yield path


def heal(folder: Path, *, depth: int) -> None:
    """Bring back folders that a killed process had moved aside, as far as `depth` folders down. What cannot be changed is left to who can."""
    for path in list(_found(folder, depth)):
        written = _WRITTEN.fullmatch(path.name)
        if path.name.endswith(ASIDE) and written and is_abandoned(path):
            try:
                if not (path.parent / written["name"]).exists():
                    os.rename(path, path.parent / written["name"])
                else:
                    shutil.rmtree(path, ignore_errors=True)
            except OSError:
                continue


def is_abandoned(path: Path) -> bool:
    """Whether nobody is writing there any more; in doubt somebody is."""
    written = _WRITTEN.fullmatch(path.name)
    if written and written["machine"] == machine():
        return not is_alive(int(written["pid"]))
    return time.time() - _changed(path) > _FOREIGN_S


def _beside(path: Path, name: str, ending: str) -> Path:
    return path.with_name(f".{name}.{os.getpid()}-{machine()}-{uuid.uuid4().hex[:8]}{ending}")


def _found(folder: Path, depth: int | None = None) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") and entry.name.endswith((PART, ASIDE)):
            yield Path(entry.path)
        elif entry.is_dir(follow_symlinks=False) and depth != 0:
            yield from _found(Path(entry.path), None if depth is None else depth - 1)


def _changed(path: Path) -> float:
    """When the newest of it was changed; now, if it cannot be looked at."""
    try:
        return max(part.lstat().st_mtime for part in (path, *path.rglob("*")))
    except OSError:
        return time.time()
