"""The facts of all pictures of a dataset: remembered from the last time, or found out now on every core.

Threads are enough: Pillow lets go of the interpreter while it decodes, which is most of the work, and so does hashing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice

from clipcap_cli.datasets.check.facts import Facts, facts_of
from clipcap_cli.datasets.check.facts_file import FACTS_FILE, read_facts, write_facts
from clipcap_cli.datasets.places import reading_order, where_is
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.errors import StoreError
from clipcap_cli.events import Advanced, Finished, Listener, Note, Started, silent
from clipcap_cli.storage.home import Home

TASK = "look"
_AHEAD = 256  # pictures that are being looked at, or wait for it


def gather_facts(home: Home, name: str, pictures: Sequence[Picture], *, reread: bool = False, events: Listener = silent) -> list[Facts | None]:
    """The facts of each picture's file; None for a picture without one.

    Args:
        name: of the dataset.
        pictures: of the dataset, in any version, or in one that is not made yet.
        reread: look at every file, even if it has the size and the time that it had when it was looked at last.
    """
    folder = home.datasets / name
    known = read_facts(folder / FACTS_FILE)
    paths = [str(where_is(home.root, picture.path)) if picture.path else "" for picture in pictures]
    new = [path for path in dict.fromkeys(paths) if path and (reread or not _is_known(path, known))]
    if new:
        known.update(_look_at_all(sorted(new, key=lambda path: reading_order(where_is(home.root, path))), events))
        try:
            if folder.is_dir():  # a dataset that is being added has no folder yet, and gets it whole
                write_facts(folder / FACTS_FILE, known)
        except StoreError as error:
            events(Note(f"what was found out about {name}'s pictures is not kept: {error.message}", "warning"))
    return [known[path] if path else None for path in paths]


def _is_known(path: str, known: dict[str, Facts]) -> bool:
    facts = known.get(path)
    if facts is None or facts.fault == "unreadable":
        return False
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path for each of very many files takes as long as asking
    except OSError:
        return False
    return (facts.size, facts.mtime_ns) == (status.st_size, status.st_mtime_ns)


def _look_at_all(paths: list[str], events: Listener) -> dict[str, Facts]:
    events(Started(TASK, len(paths), "pictures"))
    found: dict[str, Facts] = {}
    try:
        with closing(_each(paths)) as each:
            for facts in each:
                found[facts.path] = facts
                events(Advanced(TASK))
    finally:
        events(Finished(TASK))
    return found


def _each(paths: list[str]) -> Generator[Facts, None, None]:
    """In order; memory holds no more than the pictures that are being decoded."""
    waiting: deque[Future[Facts]] = deque()
    left = iter(paths)
    with ThreadPoolExecutor(_cores(), "clipcap-look") as threads:
        try:
            waiting.extend(threads.submit(facts_of, path) for path in islice(left, _AHEAD))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(threads.submit(facts_of, path) for path in islice(left, 1))
        finally:
            threads.shutdown(cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
