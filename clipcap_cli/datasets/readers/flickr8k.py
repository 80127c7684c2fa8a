"""Flickr8k as it was published: `Flickr8k.token.txt` with `NAME#N<TAB>caption`, and lists of the pictures of each split."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from clipcap_cli.datasets.folders import beside, pictures_of, subfolders, top_files
from clipcap_cli.datasets.matching import match_rows
from clipcap_cli.datasets.records import Evidence, Problem, ReaderOptions, Record, Report
from clipcap_cli.datasets.tables import Row
from clipcap_cli.datasets.text_files import text_encoding
from clipcap_cli.errors import InputError
from clipcap_cli.words import count

_TOKENS = "flickr8k.token.txt"
_LISTS = {"flickr_8k.trainimages.txt": "train", "flickr_8k.devimages.txt": "val", "flickr_8k.testimages.txt": "test"}
_TEXT_FOLDER = "flickr8k_text"  # what the published archive of the texts unpacks to
_LINE = re.compile(r"(?P<image>.+)#\d+\t(?P<caption>.*)")


class Flickr8k:
    """The published files of Flickr8k."""

    layout = "flickr8k"

    def detect(self, source: Path, options: ReaderOptions) -> Evidence | None:
        tokens = _tokens(source)
        if tokens is None:
            return None
        folder = pictures_of(source, options.images)
        lists = ", ".join(_lists(tokens).values()) or "no splits"
        return Evidence(
            self.layout, f"{tokens.name} is there, with lists for {lists}, and {folder.shared_place()} has {count(len(folder.pictures), 'picture')}"
        )

    def read(self, source: Path, options: ReaderOptions, report: Report) -> Iterator[Record]:
        tokens = _tokens(source)
        if tokens is None:
            raise InputError("there is no Flickr8k.token.txt here any more", where=str(source))
        splits = {name: split for path, split in _lists(tokens).items() for name in _lines(path) if name}
        folder = pictures_of(source, options.images)
        seen: set[str] = set()
        for record in match_rows(_rows(tokens, splits, seen, report), folder, report, beside=beside(tokens, folder)):
            if splits and record.split is None:
                message = "this picture is in none of the split lists; it is kept, but in no split"
                report(Problem("no-split", "info", record.image.name, message, "Add its name to one of the lists."))
            yield record
        for name, split in splits.items():
            if name not in seen and not folder.find(name):  # the pictures that are there have been reported
                report(Problem("no-caption", "warning", name, f"the list of {split} names this picture, but it has no caption", "Take it out of the list."))


def _rows(tokens: Path, splits: dict[str, str], seen: set[str], report: Report) -> Iterator[Row]:
    for number, line in enumerate(_lines(tokens), 1):
        where = f"{tokens.name}:{number}"
        match = _LINE.fullmatch(line)
        if match:
            name = match["image"].strip()
            seen.add(name)
            yield Row(name, match["caption"], splits.get(name), where)
        elif line:
            report(Problem("bad-row", "warning", where, f"this line is not NAME#NUMBER, a tab and a caption: {line[:80]!r}"))


def _tokens(source: Path) -> Path | None:
    if source.is_file():
        return source if source.name.casefold() == _TOKENS else None
    folders = [source, *(path for path in subfolders(source) if path.name.casefold() == _TEXT_FOLDER)]
    return next((path for folder in folders for path in top_files(folder) if path.name.casefold() == _TOKENS), None)


def _lists(tokens: Path) -> dict[Path, str]:
    names = {path.name.casefold(): path for path in top_files(tokens.parent)}
    return {names[name]: split for name, split in _LISTS.items() if name in names}


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding=text_encoding(path), errors="replace") as stream:
            for line in stream:
                yield line.strip()
    except OSError as error:
        raise InputError(f"this file cannot be read: {error.strerror}", where=str(path)) from error
