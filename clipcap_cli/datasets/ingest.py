"""From records to the pictures of a version: every file hashed and checked, each with a split; the same bytes under two names are named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from clipcap_cli.datasets.examining import Examined, Refused, examine_all
from clipcap_cli.datasets.records import Problem, Record, Report, as_text, clean_caption
from clipcap_cli.datasets.splits import assign_splits
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.errors import InputError
from clipcap_cli.events import Advanced, Finished, Listener, Started, silent
from clipcap_cli.words import count

TASK = "add"
_SHOWN = 5


def ingest(records: Iterable[Record], root: Path, report: Report, *, events: Listener = silent) -> list[Picture]:
    """Hash and check the pictures of records.

    Args:
        root: the folder that names are relative to.
        report: is told of every picture that is left out, and of every file with the same bytes as another.

    Returns:
        Pictures in the order of their names, with the split that the source gave. Two files of the same bytes are two pictures of one id.
    """
    named: dict[str, Record] = {}
    fileless: dict[str, Record] = {}  # by image id
    for record in records:
        if record.image_id is not None:
            before = fileless.get(record.image_id)
            fileless[record.image_id] = replace(before, captions=before.captions + record.captions) if before else record
            continue
        path = str(record.image)
        if as_text(path) != path:
            message = "this file's name is not valid text; it is left out"
            report(Problem("bad-name", "error", path, message, "Give the file another name."))
            continue
        before = named.get(path)
        named[path] = replace(record, captions=before.captions + record.captions, split=before.split or record.split) if before else record
    names = {path: _name(path, root) for path in named}
    paths = sorted(named, key=lambda path: (names[path], path))
    pictures = [_without_file(image_id, record) for image_id, record in sorted(fileless.items(), key=lambda item: (str(item[1].image), item[0]))]
    first: dict[str, Picture] = {}  # of each id
    events(Started(TASK, len(paths), "pictures"))
    try:
        done = iter(paths)
        for batch in examine_all(paths):
            for found in batch:
                path = next(done)
                picture = _picture(found, path, names[path], named.pop(path), report)
                if picture:
                    pictures.append(picture)
                    _compare(first.setdefault(picture.image_id, picture), picture, report)
            events(Advanced(TASK, len(batch)))
    finally:
        events(Finished(TASK))
    return pictures


def _without_file(image_id: str, record: Record) -> Picture:
    captions = tuple(filter(None, map(clean_caption, record.captions)))
    return Picture(image_id, "", as_text(str(record.image)), record.split, 0, 0, 0, 0, captions)


def _picture(found: Examined | Refused, path: str, name: str, record: Record, report: Report) -> Picture | None:
    captions = tuple(filter(None, map(clean_caption, record.captions)))
    if isinstance(found, Refused):
        report(Problem("unreadable-picture", "error", name, found.message, found.hint))
        return None
    if not captions:
        report(Problem("no-caption", "warning", name, "this picture has no caption; it is left out", "Write one, then add the folder again."))
        return None
    return Picture(found.image_id, path, name, record.split, found.width, found.height, found.size, found.mtime_ns, captions)


def _compare(first: Picture, picture: Picture, report: Report) -> None:
    """Both are kept, since whoever counts pictures or compares scores counts files; the embedding is one."""
    if picture is first:
        return
    leaks = first.split and picture.split and first.split != picture.split
    where = f", which is in {first.split} while this one is in {picture.split}" if leaks else ""
    message = f"this is the same picture as {first.name!r}{where}; both are kept"
    report(Problem("duplicate-picture", "warning" if leaks else "info", picture.name, message, "Remove one of the two files."))


def settle_splits(pictures: list[Picture], earlier: Mapping[str, str | None], report: Report) -> tuple[list[Picture], str]:
    """Give every picture its split for good.

    Args:
        earlier: splits by id of the version before; they stay, whatever the source says now.

    Returns:
        The pictures, and who decided: "source" or "hash".
    """
    by_source = any(picture.split for picture in pictures)
    decided = {} if by_source else assign_splits((picture.image_id for picture in pictures), earlier)
    settled = []
    for picture in pictures:
        before = earlier.get(picture.image_id)
        if before and picture.split and before != picture.split:
            message = f"the source now puts this picture into {picture.split}; it stays in {before}, where it was"
            report(Problem("split-kept", "warning", picture.name, message, "Add the source under another name to take its splits as they are."))
        settled.append(replace(picture, split=before or picture.split or decided.get(picture.image_id)))
    return settled, "source" if by_source else "hash"


def nothing_left(source: Path, problems: list[Problem]) -> InputError:
    """The error for a source of which no picture can be used."""
    first = "; ".join(f"{problem.where}: {problem.message}" for problem in problems[:_SHOWN])
    more = f"; and {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
    found = f"{count(len(problems), 'problem')}: {first}{more}" if problems else "no picture has a caption"
    remedy = next((problem.remedy for problem in problems if problem.remedy), "")
    return InputError(f"no picture with a caption is left, so nothing was added ({found})", where=str(source), hint=remedy or None)


def _name(path: str, root: Path) -> str:
    beneath = path.removeprefix(os.path.join(root, ""))  # noqa: PTH118 - as text, since there may be very many
    return beneath.replace(os.sep, "/")
