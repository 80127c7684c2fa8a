"""The bytes of many pictures: each read once, hashed, and its header checked, on every core.

Reading a header is Python's own work and holds its lock: two threads are hardly faster than none (1.1 times, measured on two cores). So the work is done
by bare helper processes, `python -c` with a line of JSON in and out for each batch; they import nothing but Pillow, and, other than those of multiprocessing,
do not import the user's script again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from queue import SimpleQueue

from clipcap_cli.datasets.pictures import MAX_BYTES, picture_header
from clipcap_cli.errors import InputError
from clipcap_cli.storage.hashing import image_id_of

_BATCH = 128
_WORTH_HELPERS = 1_000  # pictures; fewer are done before helpers have started
_MOST_HELPERS = 12  # 14 MB of their own each

_HELPER = "import sys; sys.path.append(sys.argv[1]); from clipcap_cli.datasets.examining import serve; serve()"


@dataclass(frozen=True, slots=True)
class Examined:
    """What a picture's bytes tell: its id, width and height as seen upright, Pillow's name of its format; its file's bytes and time of change in ns."""

    image_id: str
    width: int
    height: int
    format: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a picture cannot be used, and what would mend it."""

    message: str
    hint: str


def examine(path: str) -> Examined | Refused:
    """Read, hash and check one picture."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - a Path for each of many small files costs as much as reading them
            status = os.fstat(stream.fileno())
            if status.st_size > MAX_BYTES:
                return Refused(f"this file has {status.st_size / 1e6:,.0f} MB, more than the {MAX_BYTES / 1e6:,.0f} that are read", "Scale the picture down.")
            data = stream.read()
    except OSError as error:
        return Refused(f"this picture cannot be read: {error.strerror}", "Give yourself permission to read it.")
    return examine_bytes(data, path, status.st_mtime_ns)


def examine_bytes(data: bytes, where: str, mtime_ns: int = 0) -> Examined | Refused:
    """Hash and check one picture that has been read."""
    try:
        header = picture_header(data, where)
    except InputError as error:
        return Refused(error.message, error.hint or "")
    return Examined(image_id_of(data), header.width, header.height, header.format, len(data), mtime_ns)


def examine_all(paths: Sequence[str]) -> Iterator[list[Examined | Refused]]:
    """`examine` each path, in order, in batches as they are done; memory does not grow with the number of pictures."""
    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    helpers = min(_cores() - 1, _MOST_HELPERS) if len(paths) >= _WORTH_HELPERS and sys.executable else 0
    with ExitStack() as stack:
        free: SimpleQueue[_Helper] = SimpleQueue()
        for _ in range(helpers):
            helper = _Helper()
            stack.callback(helper.close)
            free.put(helper)
        threads = stack.enter_context(ThreadPoolExecutor(max(1, helpers)))
        waiting: deque[Future[list[Examined | Refused]]] = deque()
        stack.callback(lambda: [future.cancel() for future in waiting])
        for batch in batches:
            # Helpers have always a batch to go on with; what they do not get to, and all while they start, is done here.
            if sum(not future.done() for future in waiting) < 2 * helpers:
                waiting.append(threads.submit(_by_helper, free, batch))
            else:
                waiting.append(_done([examine(path) for path in batch]))
            while waiting and waiting[0].done():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def serve() -> None:
    """The helper process: a JSON list of paths on each line in, what they were found to be on each line out."""
    for line in sys.stdin:
        found = [astuple(examine(path)) for path in json.loads(line)]
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


class _Helper:
    """One helper process."""

    def __init__(self) -> None:
        package = Path(__file__).resolve().parents[2]
        command = [sys.executable, "-P", "-c", _HELPER, str(package)]
        # Ctrl-C is for this process, which ends its helpers itself: they get a session of their own.
        # JSON escapes whatever is not ASCII, file names that are no text included.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="ascii", start_new_session=True
        )

    def ask(self, paths: Sequence[str]) -> list[Examined | Refused]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(list(paths)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise BrokenPipeError
        return [Refused(*fields) if len(fields) == 2 else Examined(*fields) for fields in json.loads(answer)]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def _done(found: list[Examined | Refused]) -> Future[list[Examined | Refused]]:
    future: Future[list[Examined | Refused]] = Future()
    future.set_result(found)
    return future


def _by_helper(free: SimpleQueue[_Helper], batch: Sequence[str]) -> list[Examined | Refused]:
    helper = free.get()
    try:
        return helper.ask(batch)
    except (OSError, ValueError):  # the helper could not start or was killed: the work is done here
        return [examine(path) for path in batch]
    finally:
        free.put(helper)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
