"""From the rows of a captions file to records: which picture of the folder each row means, and what is left over on either side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clipcap_cli.datasets.files.folders import Folder, is_picture_name
from clipcap_cli.datasets.records import Problem, Record, Report, clean_caption
from clipcap_cli.datasets.tables.delimited import Row
from clipcap_cli.errors import InputError


@dataclass
class _Group:
    """What the rows say about one picture; `where` is the first of them."""

    where: str
    split: str | None
    tags: Mapping[str, str]
    captions: list[str] = field(default_factory=list)


def match_rows(rows: Iterable[Row], folder: Folder, report: Report, *, beside: str = "", report_left: bool = True) -> Iterator[Record]:
    """Join rows with the pictures that they name; a picture has the tags of its first row.

    Args:
        beside: the folder of the captions file, relative to the folder of the pictures.
        report_left: whether pictures that no row names are problems.

    Raises:
        InputError: the folder has no pictures at all.
    """
    pictures: dict[str, tuple[str, ...]] = {}  # that each name may mean: most tables have a name many times
    groups: dict[str, _Group] = {}  # by the picture's path
    lost: dict[str, tuple[Problem, int]] = {}
    for row in rows:
        if not row.image:
            report(Problem("bad-row", "warning", row.where, f"this row names no picture: {row.caption[:80]!r}"))
            continue
        found = pictures.get(row.image)
        if found is None:
            found = pictures[row.image] = _find(row.image, folder, beside)
        caption = clean_caption(row.caption)
        if not caption:
            report(Problem("empty-caption", "warning", row.where, f"the caption of {row.image!r} is empty", "Write one, or take the line out."))
            continue
        if len(found) != 1:
            problem, captions = lost.get(row.image) or (_lost(row, found), 0)
            lost[row.image] = (problem, captions + 1)
            continue
        group = groups.get(found[0])
        if group is None:
            group = groups[found[0]] = _Group(row.where, row.split, row.tags)
        group.captions.append(caption)
        if row.split and row.split != group.split:
            if group.split is None:
                group.split = row.split
            else:
                message = f"{row.image!r} is in {row.split} here but was in {group.split} before; it stays in {group.split}"
                report(Problem("split-conflict", "warning", row.where, message, "Give each picture one split."))
    if not folder.pictures and not groups:
        raise InputError("there are captions, but no pictures in this folder", where=str(folder.root), hint="Name the folder of the pictures with --images.")
    for problem, captions in lost.values():
        counted = f"{problem.message} ({captions} captions)" if captions > 1 else problem.message
        report(Problem(problem.kind, problem.severity, problem.where, counted, problem.remedy))
    if report_left:
        named = {name for found in pictures.values() for name in found}
        report_without_caption((name for name in folder.pictures if name not in named), report)
    for path, group in groups.items():
        yield Record(folder.path(path), tuple(group.captions), group.split, group.where, tags=group.tags)


def _find(name: str, folder: Folder, beside: str) -> tuple[str, ...]:
    """The pictures that a name may mean, relative to the folder where they are in it; else by their whole path."""
    found = folder.find(name, beside=beside)
    if found:
        return found
    outside = _outside(name, folder.root / beside)
    return (str(outside),) if outside else ()


def report_without_caption(names: Iterable[str], report: Report) -> None:
    """Report pictures that nothing is said about."""
    for name in names:
        report(Problem("no-caption", "warning", name, "this picture has no caption; it is left out", "Write one, then add the folder again."))


def _lost(row: Row, found: tuple[str, ...]) -> Problem:
    if found:
        shown = ", ".join(map(repr, found[:3])) + (" …" if len(found) > 3 else "")
        message = f"{row.image!r} may mean {len(found)} pictures: {shown}"
        return Problem("ambiguous-picture", "error", row.where, message, "Write their paths into the table, from the folder on.")
    return Problem("missing-picture", "warning", row.where, f"there is no picture {row.image!r}", "Bring the picture, or take its lines out.")


def _outside(name: str, beside: Path) -> Path | None:
    """A picture that is named by a path out of the folder."""
    if "/" not in name or not is_picture_name(name):
        return None
    try:
        path = (beside / name).resolve()
        return path if path.is_file() else None
    except (OSError, ValueError):  # not a path at all
        return None
