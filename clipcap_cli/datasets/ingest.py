"""From records to the pictures of a version: every file hashed and checked, each with a split; the same bytes under two names are named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from clipcap_cli.datasets.examining import Examined, Refused, examine_all, examine_bytes
from clipcap_cli.datasets.keeping import Keeper
from clipcap_cli.datasets.records import Problem, Record, Report, as_text, clean_caption
from clipcap_cli.datasets.splits import assign_splits
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.errors import InputError
from clipcap_cli.events import Advanced, Finished, Listener, Started, silent
from clipcap_cli.words import count

TASK = "add"
Examine = Callable[[Sequence[str]], Iterator[list[Examined | Refused]]]

_SHOWN = 5


def ingest(
    records: Iterable[Record], root: Path, report: Report, *, keeper: Keeper, events: Listener = silent, examine: Examine = examine_all
) -> list[Picture]:
    """Hash and check the pictures of records.

    Args:
        root: the folder that names are relative to.
        report: is told of every picture that is left out, and of every file with the same bytes as another.
        keeper: takes pictures into the store.
        examine: looks at files, in their order.

    Returns:
        Pictures in the order of their names, with the split that the source gave. Two files of the same bytes are two pictures of one id.
    """
    named: dict[str, Record] = {}
    fileless: dict[str, Record] = {}  # by image id
    streamed = _Streamed(report, keeper, events)
    for record in records:
        path = str(record.image)
        if record.image_id is not None:
            fileless[record.image_id] = _joined(fileless.get(record.image_id), record)
        elif record.data is not None or record.found is not None:
            streamed.take(record)
        elif as_text(path) != path:
            message = "this file's name is not valid text; it is left out"
            report(Problem("bad-name", "error", path, message, "Give the file another name."))
        else:
            named[path] = _joined(named.get(path), record)
    pictures = [_without_file(image_id, record) for image_id, record in sorted(fileless.items(), key=lambda item: (str(item[1].image), item[0]))]
    pictures += streamed.pictures()
    first: dict[str, Picture] = {}  # of each id
    for picture in pictures:
        if picture.path:
            _compare(first.setdefault(picture.image_id, picture), picture, report)
    for picture in _of_files(named, root, report, keeper, events, examine):
        pictures.append(picture)
        _compare(first.setdefault(picture.image_id, picture), picture, report)
    return pictures


def _joined(before: Record | None, record: Record) -> Record:
    if before is None:
        return record
    return replace(before, captions=before.captions + record.captions, split=before.split or record.split, tags=before.tags or record.tags)


def _of_files(named: dict[str, Record], root: Path, report: Report, keeper: Keeper, events: Listener, examine: Examine) -> Iterator[Picture]:
    """The pictures of records by path, which are taken out of `named` one by one."""
    names = {path: _name(path, root) for path in named}
    paths = sorted(named, key=lambda path: (names[path], path))
    events(Started(TASK, len(paths), "pictures"))
    try:
        done = iter(paths)
        for batch in examine(paths):
            for found in batch:
                path = next(done)
                record = named.pop(path)
                if _is_usable(found, names[path], record, report):
                    kept = keeper.keep_file(path, found.image_id, found.format)
                    yield _picture(found, kept, names[path], record)
            events(Advanced(TASK, len(batch)))
    finally:
        events(Finished(TASK))


class _Streamed:
    """Pictures that lie inside other files: each is looked at and taken in when it comes by, so that one at a time is in memory."""

    def __init__(self, report: Report, keeper: Keeper, events: Listener) -> None:
        self._report, self._keeper, self._events = report, keeper, events
        self._found: dict[tuple[str, str], Picture] = {}
        self._names: set[str] = set()

    def take(self, record: Record) -> None:
        """Look at one picture, and take it in."""
        if not self._names:
            self._events(Started(TASK, None, "pictures"))
        name = as_text(record.image.as_posix())
        self._names.add(name)
        self._events(Advanced(TASK, 1))
        found = record.found or examine_bytes(record.data or b"", name)
        if not _is_usable(found, name, record, self._report):
            return
        before = self._found.get((name, found.image_id))
        if before:
            captions = before.captions + _cleaned(record.captions)
            self._found[name, found.image_id] = replace(before, captions=captions, split=before.split or record.split)
            return
        kept = record.place or self._keeper.keep_bytes(record.data or b"", found.image_id, found.format)
        self._found[name, found.image_id] = _picture(found, kept, name, record)

    def pictures(self) -> list[Picture]:
        """All of them, in the order of their names."""
        if self._names:
            self._events(Finished(TASK))
        return [self._found[key] for key in sorted(self._found)]


def _without_file(image_id: str, record: Record) -> Picture:
    return Picture(image_id, "", as_text(str(record.image)), record.split, 0, 0, 0, 0, _cleaned(record.captions), record.tags)


def _is_usable(found: Examined | Refused, name: str, record: Record, report: Report) -> TypeGuard[Examined]:
    if isinstance(found, Refused):
        report(Problem("unreadable-picture", "error", name, found.message, found.hint))
        return False
    if not _cleaned(record.captions):
        report(Problem("no-caption", "warning", name, "this picture has no caption; it is left out", "Write one, then add the folder again."))
        return False
    return True


def _picture(found: Examined, path: str, name: str, record: Record) -> Picture:
    size = (found.width, found.height, found.size, found.mtime_ns)
    return Picture(found.image_id, path, name, record.split, *size, _cleaned(record.captions), record.tags)


def _cleaned(captions: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(filter(None, map(clean_caption, captions)))


def _compare(first: Picture, picture: Picture, report: Report) -> None:
    """Both are kept, since whoever counts pictures or compares scores counts files; the embedding is one."""
    if picture is first:
        return
    leaks = first.split and picture.split and first.split != picture.split
    where = f", which is in {first.split} while this one is in {picture.split}" if leaks else ""
    message = f"this is the same picture as {first.name!r}{where}; both are kept"
    report(Problem("duplicate-picture", "warning" if leaks else "info", picture.name, message, "Remove one of the two files."))


def settle_splits(
    pictures: list[Picture], earlier: Mapping[str, str | None], report: Report, decide: Callable[[list[Picture]], Mapping[str, str]] | None = None
) -> tuple[list[Picture], str]:
    """Give every picture its split for good.

    Args:
        earlier: splits by id of the version before; they stay, whatever the source says now.
        decide: the split of each id where the source gives none; by the usual rule if nothing is said.

    Returns:
        The pictures, and what decided: "source", "hash" or "rule".
    """
    by_source = any(picture.split for picture in pictures)
    decided: Mapping[str, str] = {}
    if decide is not None:
        decided = decide(pictures)
    elif not by_source:
        decided = assign_splits((picture.image_id for picture in pictures), earlier)
    settled = []
    for picture in pictures:
        before = earlier.get(picture.image_id)
        if before and picture.split and before != picture.split:
            message = f"the source now puts this picture into {picture.split}; it stays in {before}, where it was"
            report(Problem("split-kept", "warning", picture.name, message, "Add the source with --replace to take its splits as they are."))
        settled.append(replace(picture, split=before or picture.split or decided.get(picture.image_id)))
    return settled, "rule" if decide is not None and not by_source else "source" if by_source else "hash"


def nothing_left(source: object, problems: list[Problem]) -> InputError:
    """The error for a source of which no picture can be used."""
    first = "; ".join(f"{problem.where}: {problem.message}" for problem in problems[:_SHOWN])
    more = f"; and {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
    found = f"{count(len(problems), 'problem')}: {first}{more}" if problems else "no picture has a caption"
    remedy = next((problem.remedy for problem in problems if problem.remedy), "")
    return InputError(f"no picture with a caption is left, so nothing was added ({found})", where=str(source), hint=remedy or None)


def _name(path: str, root: Path) -> str:
    beneath = path.removeprefix(os.path.join(root, ""))  # noqa: PTH118 - as text, since there may be very many
    return beneath.replace(os.sep, "/")
