"""From what was typed after `clipcap caption` to a list of pictures."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcap_cli.errors import InputError

STDIN = "-"


@dataclass(frozen=True)
class Inputs:
    """The pictures that were meant, each once, in the order they were named; and what was named but is not there."""

    pictures: tuple[Path, ...]
    failures: tuple[InputError, ...]


def find_pictures(named: Sequence[str], *, nul: bool = False) -> Inputs:
    """The pictures that `named` stands for.

    Args:
        named: files, folders (with all pictures below them, by name), patterns that the shell left as they are (`**` too), and `-` for a list on stdin.
        nul: the list on stdin is separated by NUL characters, as of `find -print0`, not by lines.
    """
    pictures: dict[Path, None] = {}
    failures: list[InputError] = []
    for text in _with_stdin(named, nul):
        try:
            pictures.update(dict.fromkeys(_meant_by(text)))
        except InputError as error:
            failures.append(error)
    return Inputs(tuple(pictures), tuple(failures))


def _with_stdin(named: Sequence[str], nul: bool) -> Iterator[str]:
    for text in named:
        if text == STDIN:
            yield from _listed(nul)
        else:
            yield text


def _listed(nul: bool) -> Iterable[str]:
    # As file names are: bytes of no encoding in particular.
    data = sys.stdin.buffer.read()
    items = data.split(b"\0") if nul else data.splitlines()
    return [os.fsdecode(item) for item in items if item.strip()]


def _meant_by(text: str) -> list[Path]:
    from clipcap_cli.datasets.pictures import PICTURE_SUFFIXES

    path = Path(text)
    if path.is_dir():
        found = sorted(below for below in path.rglob("*") if below.suffix.lower() in PICTURE_SUFFIXES and below.is_file())
        if not found:
            raise InputError("this folder has no pictures in it", where=text)
        return found
    if path.exists():
        return [path]
    if glob.has_magic(text):
        found = sorted(Path(match) for match in glob.iglob(text, recursive=True) if Path(match).is_file())  # noqa: PTH207  # absolute patterns too
        if not found:
            raise InputError("no file matches this pattern", where=text)
        return found
    raise InputError("there is no such file or folder", where=text)
